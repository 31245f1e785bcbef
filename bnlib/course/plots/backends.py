"""Plots of notebook 09: precision and speed of the torch backend."""

import numpy as np

from bnlib.course.plots.general import figure
from bnlib.course.style import COLORS, HATCHES


def plot_times(times, *, title=None, ax=None):
    """Times of several implementations on several shapes, as multiples of the first one.

    times  dict shape -> dict implementation -> seconds; the first implementation is the unit
    """
    ax = figure(size=(9.4, 4.4))[1] if ax is None else ax
    names = list(next(iter(times.values())))
    width = 0.8 / len(names)
    colors = [COLORS["sky"], COLORS["vermillion"], COLORS["green"], COLORS["purple"]]
    for i, name in enumerate(names):
        ratios = [row[name] / row[names[0]] for row in times.values()]
        at = np.arange(len(times)) + (i - (len(names) - 1) / 2) * width
        ax.bar(at, ratios, 0.92 * width, color=colors[i], hatch=HATCHES[i], label=name)
        for place, ratio in zip(at, ratios, strict=True):
            ax.text(place, ratio, f"{ratio:.1f}", ha="center", va="bottom", fontsize=12)
    ax.set_xticks(range(len(times)), [str(shape) for shape in times])
    ax.grid(False, axis="x")
    ax.set(xlabel="shape of the batch", ylabel=f"time ({names[0]} = 1)")
    ax.margins(y=0.15)
    ax.set_title(title or "")
    ax.legend(ncols=len(names), loc="upper left")
    return ax
