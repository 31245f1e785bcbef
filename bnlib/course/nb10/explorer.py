"""Notebook 10: which values share a mean, and how far the digits are moved."""

from types import SimpleNamespace

import numpy as np

from bnlib.course.kit.explorer import Choice, Explorer, Slider
from bnlib.course.nb10.plots import (
    BLOCK,
    SETS,
    STYLES,
    draw_block,
    fill_block,
    shares_mean_with_marked,
)
from bnlib.course.nb10.runs import moved_at_best_rate

NAMES = {label: name for name, label in SETS.items()}


class WhoseMean(Explorer):
    """Which values share a mean × digits moved by 0 to 4 pixels → accuracy, from stored runs.

    runs  what stored_runs() returns
    """

    title = "Whose mean?"
    alt = (
        "Left, a batch of three images with two channels and six places as cells; those that share "
        "a mean with the marked one are filled. Right, test accuracy against the number of pixels "
        "by which the digits are moved, from 0 to as many as are chosen: the chosen net in bold, "
        "the others faint."
    )
    size = (9.6, 4.0)
    controls = (
        Choice("mean", "who shares a mean", tuple(NAMES)),
        Slider("pixels", "digits moved by", values=(0, 1, 2, 3, 4), value=0, unit="px"),
    )

    def __init__(self, runs, **values):
        self.moved = {name: np.median(v, axis=0) for name, v in moved_at_best_rate(runs).items()}
        super().__init__(**values)

    def draw(self, fig):
        left, right = fig.subplots(1, 2, width_ratios=[1.35, 1])
        cells = draw_block(left)
        others = {
            name: right.plot([], [], color="#bbbbbb", linestyle="-", linewidth=1.4)[0]
            for name in self.moved
        }
        (line,) = right.plot([], [], linewidth=3)
        (dot,) = right.plot([0], [0], marker="o", markersize=16, color="none",
                            markeredgecolor="black", markeredgewidth=2.4)  # fmt: skip
        right.set(xlabel="moved by … pixels", ylabel="share of test digits right", ylim=(0, 1))
        right.set(xlim=(-0.2, 4.2), xticks=range(5))
        return SimpleNamespace(cells=cells, others=others, line=line, dot=dot)

    def update(self, art, mean, pixels):
        name = NAMES[mean]
        fill_block(art.cells, name)
        middle = self.moved[name]
        style = STYLES[name]
        seen = range(pixels + 1)  # what comes after is for the learner to guess
        for other, line in art.others.items():
            line.set_data(seen, self.moved[other][: pixels + 1])
        art.line.set_data(seen, middle[: pixels + 1])
        art.line.set(color=style["color"], linestyle=style["linestyle"], marker=style["marker"])
        art.dot.set_data([pixels], [middle[pixels]])
        count = int(shares_mean_with_marked(name).sum())
        whose = (
            f"{count} of the {np.prod(BLOCK)} values drawn share a mean"
            if count
            else "no value is normalized"
        )
        return (
            f"{mean[0].upper()}{mean[1:]}: {whose}. Digits moved by {pixels} "
            f"{'pixel' if pixels == 1 else 'pixels'}: {middle[pixels]:.2f} read rightly, "
            f"{middle[0]:.2f} unmoved."
        )
