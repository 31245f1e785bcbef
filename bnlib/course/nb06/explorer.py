"""Notebook 06: one example moves, and every normalized value of the batch moves with it."""

from types import SimpleNamespace

import numpy as np

from bnlib.course.kit.explorer import Explorer, Slider
from bnlib.course.kit.style import look

EPS = 1e-5


class Nudge(Explorer):
    """Nudge of one example → the batch before and after, and what its x̂ values do.

    h    (N,) values of one unit, one per example, N at least 32
    """

    title = "Who moves when one example moves?"
    alt = (
        "Two panels, each with a row of marks before the nudge and one after it, joined by lines. "
        "Above, the values of a mini-batch: only the first example's line slants. Below, the "
        "normalized values: all lines slant, most of the others against the first."
    )
    controls = (
        Slider("nudge", "nudge of example 1", low=-2.0, high=2.0, step=0.1, value=1.0, unit="σ"),
        Slider("m", "batch size m", values=(3, 4, 6, 8, 16, 32), value=6),
    )
    size = (9.2, 4.8)

    def __init__(self, h, **values):
        self.h = (h - h.mean()) / h.std()  # so that the nudge is counted in the unit's own sigma
        super().__init__(**values)

    def draw(self, fig):
        art = SimpleNamespace(others=[], first=[])
        for ax, title in zip(
            fig.subplots(2, 1),
            (
                r"The $x$ of the batch: the first one moves",
                r"The $\hat x$ of the batch",
            ),
            strict=True,
        ):
            art.others += ax.plot([], [], **look("", 0), markersize=8, linewidth=1.8)
            art.first += ax.plot([], [], **look("", 1), markersize=12, linewidth=2.6)
            ax.set(xlim=(-4.3, 4.3), ylim=(-0.4, 1.4), title=title)
            ax.set_yticks([1, 0], ["before", "after"])
            ax.grid(False, axis="y")
        fig.axes[0].set_xlabel(r"$x$ (in $\sigma$ of the unit)")
        fig.axes[1].set_xlabel(r"$\hat x$ (no unit)")
        return art

    def update(self, art, nudge, m):
        x = self.h[:m].copy()
        moved = x.copy()
        moved[0] += nudge
        hats = [(v - v.mean()) / np.sqrt(v.var() + EPS) for v in (x, moved)]
        for row, (old, new) in enumerate(((x, moved), hats)):
            gap = np.full(m - 1, np.nan)  # lifts the pen between one example and the next
            ways = np.column_stack([old[1:], new[1:], gap]).ravel()
            art.others[row].set_data(ways, np.tile([1.0, 0.0, np.nan], m - 1))
            art.first[row].set_data([old[0], new[0]], [1.0, 0.0])
        change = hats[1] - hats[0]
        return (
            f"Example 1 of {m} moves by {nudge:+.1f} σ. Its x̂ changes by {change[0]:+.2f}, those "
            f"of the other {m - 1} by {change[1:].mean():+.2f} on average; all changes together "
            f"add up to {abs(change.sum()):.2f}."
        ).replace("-", "\N{MINUS SIGN}")
