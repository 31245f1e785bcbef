"""Plots of notebook 07: what a network answers once training is over."""

import numpy as np

from bnlib.course.kit.figures import described
from bnlib.course.kit.plots import course_of, figure
from bnlib.course.kit.style import COLORS, look
from bnlib.course.kit.words import listing, number, span, spoken


def plot_error_against_batch(sizes, errors, *, stored, title=None, ax=None):
    """Test error when the test batch normalizes itself, against its size.

    sizes   (S,) test batch sizes
    errors  (seeds, S) test error, 0..1
    stored  (seeds,) test error with stored statistics, which no batch size changes
    """
    ax = figure()[1] if ax is None else ax
    errors, stored = 100 * np.asarray(errors), 100 * np.asarray(stored)
    for i, run in enumerate(errors):
        ax.semilogx(
            sizes, run, **look("", 1), linewidth=1.8,
            label="statistics of the test batch (3 seeds)" if i == 0 else None,
        )  # fmt: skip
    ax.axhspan(stored.min(), stored.max(), color=COLORS["black"], alpha=0.25, linewidth=0)
    ax.axhline(stored.mean(), color=COLORS["black"], linestyle="-", label="stored statistics")
    ax.set_xticks(sizes, [str(m) for m in sizes])
    ax.minorticks_off()
    ax.set(xlabel="test batch size", ylabel="test error (%)", ylim=(0, None))
    ax.set_title(title or "")
    ax.legend()
    middle = np.median(errors, axis=0)
    points = (f"{number(error)} % at {m}" for m, error in zip(sizes, middle, strict=True))
    return described(
        ax,
        f"Test error against the size of the test batch. With the statistics of the test batch, "
        f"median of {len(errors)} seeds: {listing(points)}. With stored statistics it is "
        f"{span(stored)} % at every size.",
    )


def plot_paired_errors(groups, *, labels, title=None, ax=None):
    """Pairs of bars: the test error before and after, every seed as a dot.

    groups  dict group -> (2, seeds) test errors, 0..1: before, after
    labels  (before, after)
    """
    ax = figure(size=(9.0, 4.6))[1] if ax is None else ax
    looks = [(COLORS["orange"], "///"), (COLORS["sky"], "")]
    for place, pair in enumerate(groups.values()):
        for side, (errors, (color, hatch)) in enumerate(zip(pair, looks, strict=True)):
            errors, at = 100 * np.asarray(errors), place + 0.38 * (side - 0.5)
            ax.bar(
                at, errors.mean(), 0.34, color=color, hatch=hatch,
                label=labels[side] if place == 0 else None,
            )  # fmt: skip
            ax.plot(
                np.full(len(errors), at), errors, color="black", marker="o", markersize=5,
                linestyle="none", label="one seed" if place == side == 0 else None,
            )  # fmt: skip
    ax.set_xticks(range(len(groups)), list(groups))
    ax.grid(False, axis="x")
    ax.set(ylabel="test error (%)", ylim=(0, 138), yticks=range(0, 101, 20))  # room for the legend
    ax.set_title(title or "")
    ax.legend(loc="upper left")
    pairs = (
        f"{spoken(name)}: {listing(f'{100 * np.mean(errors):.0f} %' for errors in pair)}."
        for name, pair in groups.items()
    )
    return described(
        ax,
        f"Pairs of bars of test error for {len(groups)} kinds of test data, first "
        f"{labels[0]}, then {labels[1]}. {' '.join(pairs)}",
    )


def plot_repair(steps, curves, *, title=None, ax=None):
    """Test accuracy of the net of notebook 01 and of the same net with a BN in each layer.

    steps   (T,) training steps
    curves  dict of three: without BN, with bnlib's, with the learner's -> (T,) shares 0..1
    """
    ax = figure(size=(8.0, 4.6))[1] if ax is None else ax
    (plain, low), (library, broad), (own, thin) = curves.items()
    ax.plot(steps, low, color=COLORS["vermillion"], linestyle="-", marker="o", label=plain)
    ax.plot(steps, broad, color=COLORS["sky"], linestyle="-", linewidth=9, alpha=0.6, label=library)
    ax.plot(steps, thin, color=COLORS["blue"], linestyle="--", marker="s", label=own)
    ax.set(xlabel="training step", ylabel="share of test digits right", ylim=(0, 1))
    ax.set_title(title or "Six sigmoid layers, without and with BN")
    ax.legend(loc="center right")
    told = " ".join(f"{label}: {course_of(steps, curve)}" for label, curve in curves.items())
    return described(ax, f"Share of test digits right over the training step. {told}")
