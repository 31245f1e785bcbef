"""Plots of notebook 14: who shares a mean, what a batch's size costs, and what other light does."""

import numpy as np
from matplotlib.patches import Rectangle

from bnlib.course.kit.figures import described
from bnlib.course.kit.plots import figure
from bnlib.course.kit.style import COLORS, LINESTYLES, NETS
from bnlib.course.kit.words import listing, span

BLOCK = (3, 4, 3)  # images, channels and places of the block that is drawn
GROUPS = 2
MARKED = (1, 1, 1)  # image, channel and place of the value that is looked at
SETS = ("BN", "LN", "IN", "GN")
STYLES = {
    "BN": NETS["with BN"],
    "none": NETS["without BN"],
    "LN": {"color": COLORS["purple"], "linestyle": LINESTYLES[4], "marker": "v"},
    "GN": {"color": COLORS["green"], "linestyle": LINESTYLES[3], "marker": "D"},
    "renorm": {"color": COLORS["orange"], "linestyle": LINESTYLES[2], "marker": "^"},
    "RMS": {"color": COLORS["sky"], "linestyle": LINESTYLES[3], "marker": "P"},
    "IN": {"color": "#666666", "linestyle": LINESTYLES[2], "marker": "X"},
    "DyT": {"color": COLORS["black"], "linestyle": LINESTYLES[4], "marker": "*"},
    "BN per step": {"color": COLORS["blue"], "linestyle": LINESTYLES[2], "marker": "h"},
    "WS + GN": {"color": COLORS["green"], "linestyle": LINESTYLES[4], "marker": "p"},
    "scaled WS": {"color": COLORS["orange"], "linestyle": LINESTYLES[2], "marker": "<"},
}  # one colour and marker a norm, in every figure
HOLLOW = {"WS + GN", "scaled WS"}  # the weights are standardized
LABELS = {"renorm": "batch renorm", "none": "no norm"}
RING = {
    "color": "none", "markeredgecolor": "black", "markeredgewidth": 2.4, "linestyle": "none",
    "zorder": 5,
}  # fmt: skip


def label_of(name):
    return LABELS.get(name, name)


def shares_mean_with_marked(name):
    """(N, C, H·W) bool: the values whose mean the marked value shares under BN, LN, IN or GN."""
    n, c, _ = MARKED
    of_group = BLOCK[1] // GROUPS
    group = slice(c // of_group * of_group, (c // of_group + 1) * of_group)
    images, channels = {
        "BN": (slice(None), c), "LN": (n, slice(None)), "IN": (n, c), "GN": (n, group),
    }[name]  # fmt: skip
    shared = np.zeros(BLOCK, bool)
    shared[images, channels] = True
    return shared


def plot_sets(names=SETS):
    """A batch of three images with four channels and three places: who shares the dot's mean?

    names  two or four of SETS, one panel each. Returns an array of Axes.
    """
    rows = len(names) // 2
    _, axes = figure(rows, 2, size=(9.6, 2.3 * rows))
    axes = axes.ravel()
    for ax, name in zip(axes, names, strict=True):
        shared = shares_mean_with_marked(name)
        for (n, c, p), inside in np.ndenumerate(shared):
            ax.add_patch(
                Rectangle(
                    (c * (BLOCK[2] + 0.7) + p, n), 1, 1, edgecolor="#666666", linewidth=1.1,
                    facecolor="#9ecbe8" if inside else "white", hatch="//" if inside else "",
                )
            )  # fmt: skip
        n, c, p = MARKED
        ax.plot(c * (BLOCK[2] + 0.7) + p + 0.5, n + 0.5, "o", color="black", markersize=8)
        width = BLOCK[1] * (BLOCK[2] + 0.7) - 0.7
        ax.set(xlim=(-0.1, width + 0.1), ylim=(BLOCK[0] + 0.1, -0.1), aspect="equal", title=name)
        ax.set_xticks(
            [c * (BLOCK[2] + 0.7) + BLOCK[2] / 2 for c in range(BLOCK[1])],
            [f"{c + 1}" for c in range(BLOCK[1])],
        )
        ax.set_yticks(np.arange(BLOCK[0]) + 0.5, [f"{n + 1}" for n in range(BLOCK[0])])
        ax.set_xlabel("channel")
        ax.set_ylabel("image")
        ax.tick_params(length=0)
        ax.grid(False)
        ax.spines[:].set_visible(False)
        described(
            ax,
            f"{name}: a block of {BLOCK[0]} images as rows, {BLOCK[1]} channels as groups of "
            f"{BLOCK[2]} places. {shared.sum()} of the {shared.size} cells are filled: those that "
            f"share a mean with the marked one in image {n + 1}, channel {c + 1}.",
        )
    return axes


def plot_sizes(panels, *, live=()):
    """Test accuracy against the batch's size, a line per norm, one panel per net.

    panels  dict title -> (sizes, dict norm -> (sizes, seeds) accuracy)
    live    (panel, norm, size, accuracy) of runs made here, drawn as black rings

    A line joins the medians over the seeds; each seed is a mark. Returns an array of Axes.
    """
    fig, axes = figure(1, len(panels), size=(9.8, 4.5), sharey=True)
    for ax, (title, (sizes, norms)) in zip(np.atleast_1d(axes), panels.items(), strict=True):
        said = []
        for name, values in norms.items():
            style, middle = STYLES[name], np.median(values, axis=1)
            ax.plot(sizes, middle, label=label_of(name), **style)
            ax.plot(
                np.repeat(sizes, values.shape[1]), values.ravel(), linestyle="none",
                marker=style["marker"], color=style["color"], markersize=4, alpha=0.6,
            )  # fmt: skip
            numbers = ", ".join(f"{m:.2f}" for m in middle)
            said.append(f"{label_of(name)} {numbers}")
        for panel, _, size, value in live:
            if panel == title:
                ax.plot([size], [value], marker="o", markersize=14, **RING)
        ax.set(xscale="log", xlabel="digits in a batch, N", title=title, ylim=(0, 1))
        ax.set_xticks(sizes, [str(size) for size in sizes])
        ax.minorticks_off()
        listed = ", ".join(map(str, sizes))
        described(ax, f"{title}: medians at batches of {listed}: {'; '.join(said)}.")
    axes = np.atleast_1d(axes)
    axes[0].set_ylabel("share of test digits right")
    handles, labels = axes[0].get_legend_handles_labels()
    known = dict(zip(labels, handles, strict=True))
    for ax in axes[1:]:
        known |= dict(zip(*ax.get_legend_handles_labels()[::-1], strict=True))
    if live:
        (ring,) = axes[0].plot([], [], marker="o", markersize=11, **RING)
        known["black ring: run here"] = ring
    fig.legend(known.values(), known, loc="outside lower center", ncols=6, columnspacing=1.0)
    return axes


def plot_table(values, rows, columns, *, size=(9.2, 4.6)):
    """Accuracies as a table with shades: a row per change of the digits, a column per way to read.

    values  (rows, columns) shares 0..1. Returns the Axes.
    """
    ax = figure(size=size)[1]
    ax.imshow(values, vmin=0, vmax=1, aspect="auto", cmap="cividis")
    for (i, j), value in np.ndenumerate(values):
        color = "white" if value < 0.45 else "black"  # what is read better on cividis
        ax.text(j, i, f"{value:.2f}", ha="center", va="center", color=color, fontsize=15)
    ax.set_xticks(range(len(columns)), columns)
    ax.set_yticks(range(len(rows)), rows)
    ax.xaxis.tick_top()
    ax.tick_params(length=0)
    ax.grid(False)
    ax.spines[:].set_visible(False)
    said = "; ".join(
        f"{row}: {', '.join(f'{v:.2f}' for v in line)}"
        for row, line in zip(rows, values, strict=True)
    )
    wide = listing(column.replace("\n", " ") for column in columns)
    return described(ax, f"Shares of test digits right, a column each for {wide}. {said}.")


def plot_strips(panels, *, xlabel="share of test digits right", live=(), size=None):
    """One row of marks per group: a mark a seed, a bar at the median; one panel per dict.

    panels  dict title -> dict norm (one of STYLES) -> (seeds,) shares 0..1
    live    (panel, label, accuracy) of runs made here, drawn as black rings

    Returns an array of Axes.
    """
    most = max(len(groups) for groups in panels.values())
    same = len({tuple(groups) for groups in panels.values()}) == 1  # then one set of labels will do
    fig, axes = figure(1, len(panels), size=size or (9.6, 0.5 * most + 1.6), sharey=same)
    axes = np.atleast_1d(axes)
    for ax, (title, groups) in zip(axes, panels.items(), strict=True):
        for row, (name, values) in enumerate(groups.items()):
            style = STYLES[name]
            ax.plot(values, np.full(len(values), row), linestyle="none", marker=style["marker"],
                    color=style["color"], markersize=9, markeredgewidth=2 * (name in HOLLOW),
                    markerfacecolor="none" if name in HOLLOW else style["color"])  # fmt: skip
            ax.plot([np.median(values)] * 2, [row - 0.3, row + 0.3], color="black", linewidth=2.6,
                    linestyle="-")  # fmt: skip
        for panel, name, value in live:
            if panel == title:
                row = list(groups).index(name)
                ax.plot([value], [row], marker="o", markersize=14, **RING)
        ax.set_yticks(range(len(groups)), list(map(label_of, groups)))
        ax.set(xlim=(0, 1.02), ylim=(len(groups) - 0.5, -0.5), title=title)
        ax.set_xticks([0, 0.25, 0.5, 0.75, 1], ["0", "", "0.5", "", "1"])
        said = "; ".join(f"{label_of(k)}: {np.median(v):.2f}" for k, v in groups.items())
        seeds = span([len(v) for v in groups.values()])
        lead = f"{title}. " if title else ""
        described(ax, f"{lead}A row of marks each, one for each of {seeds} seeds. Medians: {said}.")
    fig.supxlabel(xlabel, fontsize=14)
    return axes
