"""Plots of notebook 15: which test finds which suspect."""

import itertools

import numpy as np
from matplotlib.patches import Rectangle

from bnlib.course.kit.figures import described
from bnlib.course.kit.plots import figure
from bnlib.course.kit.style import COLORS
from bnlib.course.kit.words import listing
from bnlib.course.nb15.layers import WRONG_IN

TITLES = {"output": "output", "gradient": "gradient", "memory": "memory", "use": "use"}
LETTERS = [letter for letters in WRONG_IN.values() for letter in letters]  # as in the columns
SIZE = 14  # of the lettering, in points
GAP = 0.6  # between two kinds of fault


def places():
    """{letter: where its column stands}, the four kinds a little apart."""
    at, found = 0.0, {}
    for letters in WRONG_IN.values():
        found.update({letter: at + i for i, letter in enumerate(letters)})
        at += len(letters) + GAP
    return found


def draw_frame(ax, tests):
    """Rows of tests, columns of suspects in four kinds; nothing is found yet."""
    at = places()
    for where, letters in WRONG_IN.items():
        left = at[letters[0]] - 0.5
        ax.add_patch(
            Rectangle(
                (left, -0.5),
                len(letters),
                len(tests),
                facecolor="#f2f2f2",
                edgecolor="#888888",
                linewidth=1,
                zorder=0,
            )
        )
        ax.text(left + len(letters) / 2, -1.4, TITLES[where], ha="center", va="bottom",
                fontsize=SIZE, weight="bold")  # fmt: skip
    for letter, x in at.items():
        ax.text(x, -0.55, letter, ha="center", va="bottom", fontsize=SIZE)
    ax.set(xlim=(-0.6, max(at.values()) + 0.6), ylim=(len(tests) - 0.5, -0.5))
    ax.set_yticks(range(len(tests)), tests, fontsize=SIZE)
    ax.set_xticks([])
    ax.tick_params(length=0)
    ax.grid(False)
    ax.spines[:].set_visible(False)
    return at


def plot_matrix(caught):
    """A dot where a test finds a suspect, and at the right how many it finds.

    caught  {test: letters of the suspects that it finds}

    Returns the Axes.
    """
    ax = figure(size=(9.6, 0.26 * len(caught) + 0.75))[1]  # low enough for a slide
    at = draw_frame(ax, list(caught))
    for row, letters in enumerate(caught.values()):
        ax.axhline(row + 0.5, color="white", linewidth=1, linestyle="-", zorder=1)
        ax.plot([at[x] for x in letters], [row] * len(letters), "o", color=COLORS["blue"],
                markersize=9, linestyle="none", zorder=3)  # fmt: skip
        ax.text(max(at.values()) + 1.1, row, f"{len(letters)}", ha="center", va="center",
                fontsize=SIZE)  # fmt: skip
    ax.text(max(at.values()) + 1.1, -1.4, "found", ha="center", va="bottom", fontsize=SIZE)
    found = "; ".join(
        f"{test}: {listing(letters) if letters else 'none'}" for test, letters in caught.items()
    )
    text = f"A row for each of {len(caught)} tests, a column for each of {len(LETTERS)} suspects."
    return described(ax, f"{text} A dot where the test finds the suspect. {found}.")


def still_dark(caught, ticked):
    """The letters that none of the ticked tests finds, in the columns' order."""
    found = {letter for test in ticked for letter in caught[test]}
    return [letter for letter in LETTERS if letter not in found]


def complete_sets(caught, size):
    """All sets of so many tests that leave nobody in the dark, each a tuple of their names."""
    found = as_array(caught).astype(bool)
    return [
        tuple(np.array([*caught])[[*chosen]])
        for chosen in itertools.combinations(range(len(caught)), size)
        if found[:, chosen].any(axis=1).all()
    ]


def as_array(caught):
    """(suspects, tests): 1 where the test finds the suspect; suspects in the order of LETTERS."""
    found = [[letter in letters for letters in caught.values()] for letter in LETTERS]
    return np.array(found, dtype=int)
