"""Plots of notebook 10: who shares a mean in a batch of images, and what comes of it."""

import numpy as np
from matplotlib.patches import Rectangle

from bnlib.course.kit.figures import described
from bnlib.course.kit.plots import figure, legend_below, rate_axis
from bnlib.course.kit.style import COLORS, LINESTYLES, MARKERS, NETS, OTHERS

BLOCK = (3, 2, 6)  # images, channels and places of the block that is drawn
# Which values share a mean -> what the course calls it. The key names the axes averaged over.
SETS = {
    "N, H, W": "one mean per channel (BN)",
    "N": "one mean per pixel (the bug)",
    "H, W": "one mean per image and channel",
    "C, H, W": "one mean per image",
    "none": "no norm",
}
STYLES = {
    "N, H, W": NETS["with BN"],
    "N": {"color": COLORS["orange"], "linestyle": LINESTYLES[2], "marker": "^"},
    "H, W": {"color": COLORS["green"], "linestyle": LINESTYLES[3], "marker": "D"},
    "C, H, W": {"color": COLORS["purple"], "linestyle": LINESTYLES[4], "marker": "v"},
    "none": NETS["without BN"],
}
MARKED = (1, 0, 2)  # image, channel and place of the value that is looked at


def shares_mean_with_marked(name, block=BLOCK):
    """(N, C, H·W) bool: the values whose mean the marked value shares."""
    shared = np.zeros(block, bool)
    if name == "none":
        return shared
    n, c, p = MARKED
    axes = name.split(", ")
    images = slice(None) if "N" in axes else n
    channels = slice(None) if "C" in axes else c
    shared[images, channels, slice(None) if "H" in axes else p] = True
    return shared


def draw_block(ax, name="N, H, W", block=BLOCK):
    """The (N, C, H·W) block as cells; returns the cells' patches, an (N, C, H·W) array."""
    images, channels, places = block
    cells = np.empty(block, object)
    for n, c, p in np.ndindex(block):
        left, top = c * (places + 1.2) + p, n
        cells[n, c, p] = ax.add_patch(
            Rectangle((left, top), 1, 1, edgecolor="#666666", linewidth=1.2, zorder=2)
        )
    n, c, p = MARKED
    ax.plot(c * (places + 1.2) + p + 0.5, n + 0.5, "o", color="black", markersize=9, zorder=4)
    width = channels * (places + 1.2) - 1.2
    ax.set(xlim=(-0.1, width + 0.1), ylim=(images + 0.1, -0.1), aspect="equal")
    ax.set_xticks(
        [c * (places + 1.2) + places / 2 for c in range(channels)],
        [f"channel {c + 1}:\nplaces 1 to {places}" for c in range(channels)],
    )
    ax.set_yticks(np.arange(images) + 0.5, [f"image {n + 1}" for n in range(images)])
    ax.tick_params(length=0)
    ax.grid(False)
    ax.spines[:].set_visible(False)
    fill_block(cells, name)
    return cells


def fill_block(cells, name):
    """Fill and hatch the cells that share the marked value's mean."""
    for cell, shared in zip(cells.flat, shares_mean_with_marked(name).flat, strict=True):
        cell.set_facecolor("#9ecbe8" if shared else "white")
        cell.set_hatch("//" if shared else "")


def plot_block(names=("N, H, W",), *, size=(8.4, 2.6)):
    """A batch of three images with two channels and six places: who shares the dot's mean?

    names  keys of SETS, one panel each

    Returns the Axes, or an array of them.
    """
    _, axes = figure(1, len(names), size=size)
    for ax, name in zip(np.atleast_1d(axes), names, strict=True):
        draw_block(ax, name)
        count = shares_mean_with_marked(name).sum()
        images, channels, places = BLOCK
        described(
            ax,
            f"A block of cells: {images} images as rows, {channels} channels as groups of "
            f"{places} places. {count} of the {np.prod(BLOCK)} cells are filled, those that share "
            f"a mean over {name} with the marked one in image 2, channel 1.",
        )
    return axes


def plot_rates(rates, accuracy, inits, *, live=()):
    """Test accuracy after training at each rate, without and with BN, one panel per init.

    rates     (R,) learning rates, rising
    accuracy  (inits, 2, R, seeds) shares 0..1, without and with BN
    inits     names of the first weights
    live      (rate, net, accuracy) of runs made here, drawn as large marks in the panel of "He"

    A line joins the medians over the seeds; each seed is a mark. Returns the Axes.
    """
    fig, axes = figure(1, 2, size=(9.6, 4.3), sharey=True)
    for ax, init, nets in zip(axes, inits, accuracy, strict=True):
        said = []
        for (label, style), values in zip(list(NETS.items())[:2], nets, strict=True):
            middle = np.median(values, axis=1)
            ax.plot(rates, middle, color=style["color"], linestyle=style["linestyle"])
            ax.plot(
                np.repeat(rates, values.shape[1]), values.ravel(), linestyle="none",
                marker=style["marker"], color=style["color"], markersize=5, label=label,
            )  # fmt: skip
            numbers = ", ".join(f"{m:.2f} at {r:g}" for r, m in zip(rates, middle, strict=True))
            said.append(f"{label}: medians {numbers}")
        ax.set(ylim=(0, 1), xlabel="learning rate", title=f"{init} weights")
        rate_axis(ax, rates)
        described(ax, f"First weights: {init}. {'; '.join(said)}.")
    for rate, label, value in live:
        style = NETS[label]
        axes[-1].plot(
            [rate], [value], marker=style["marker"], color="none", markeredgewidth=2.4,
            markeredgecolor="black", markersize=14, linestyle="none",
        )  # fmt: skip
    axes[0].set_ylabel("share of test digits right")
    handles, labels = axes[0].get_legend_handles_labels()
    marks = [NETS[label]["marker"] for _, label, _ in live]
    legend_below(fig, handles, labels, ncols=3, live=marks)
    return axes


def plot_moved(moved, *, live=None, ax=None):
    """Test accuracy on digits moved by 0 to 4 pixels, a line per set of values that shares a mean.

    moved  dict key of SETS -> (seeds, 5) accuracy; a line is the median, a band all seeds
    live   dict key of SETS -> (5,) of a run made here, drawn as black marks, or None

    Returns the Axes.
    """
    ax = figure(size=(9.6, 4.4))[1] if ax is None else ax
    pixels, said = np.arange(5), []
    for name, values in moved.items():
        low, middle, high = np.percentile(values, (0, 50, 100), axis=0)
        ax.fill_between(pixels, low, high, color=STYLES[name]["color"], alpha=0.13, linewidth=0)
        ax.plot(pixels, middle, label=SETS[name], **STYLES[name])
        said.append(f"{SETS[name]}: {', '.join(f'{m:.2f}' for m in middle)}")
    for name, values in (live or {}).items():
        ax.plot(
            pixels, values, linestyle="none", marker=STYLES[name]["marker"], markersize=13,
            color="none", markeredgecolor="black", markeredgewidth=2.2, zorder=5,
        )  # fmt: skip
    ax.set(xlabel="digits moved by … pixels", ylabel="share of test digits right", ylim=(0, 1))
    ax.set_title("Moved digits: three seeds, and a band over them")
    ax.set_xticks(pixels)
    ax.legend(loc="center left", bbox_to_anchor=(1.01, 0.5))
    text = "Medians at 0, 1, 2, 3 and 4 pixels. " + "; ".join(said) + "."
    if live:
        text += " Black marks, run here: "
        text += "; ".join(
            f"{SETS[name]}: {', '.join(f'{v:.2f}' for v in values)}"
            for name, values in live.items()
        )
        text += "."
    return described(ax, text)


def plot_values(values):
    """How many values of an image count, convolution by convolution, before and after training.

    values  (seeds, 2, 5, 4): before and after, for each convolution the least, the median and the
            largest over its channels, and H·W

    Returns the Axes.
    """
    ax = figure(size=(7.6, 4.3))[1]
    layers, said = np.arange(1, 6), []
    places = values[0, 0, :, 3]
    ax.plot(layers, places, color="black", linestyle="none", marker="_", markersize=34,
            markeredgewidth=2.5, label="values of an image, H·W")  # fmt: skip
    looks = [("before training", OTHERS[0], -0.12), ("after training", OTHERS[1], 0.12)]
    for when, (label, look, aside) in enumerate(looks):
        medians = values[:, when, :, 1]
        for seed in medians:
            ax.plot(layers + aside, seed, **(look | {"linestyle": "none"}), markersize=9,
                    label=label)  # fmt: skip
            label = "_"
        found = ", ".join(f"{v:.1f}" for v in np.median(medians, axis=0))
        said.append(f"{looks[when][0]}: {found}")
    ax.set_yscale("log")
    ticks = [2, 5, 10, 20, 50, 100, 200]
    ax.set_yticks(ticks, [f"{t}" for t in ticks])
    ax.minorticks_off()
    ax.set(
        ylim=(2, 300), xlim=(0.5, 5.5), xlabel="convolution", ylabel="values that count, per image"
    )
    ax.set_title("Five convolutions, three seeds, median channel")
    ax.legend(loc="lower left")
    there = ", ".join(f"{p:.0f}" for p in places)
    return described(ax, f"An image has {there} values per channel in convolutions 1 to 5. Those "
                         f"that count, medians: {'; '.join(said)}.")  # fmt: skip


def plot_strips(groups, *, xlabel, title=None):
    """One row of marks per group: a mark a seed, a bar at the median.

    groups  dict label -> (seeds,) shares 0..1

    Returns the Axes.
    """
    ax = figure(size=(8.6, 0.55 * len(groups) + 1.5))[1]
    for row, values in enumerate(groups.values()):
        ax.plot(values, np.full(len(values), row), linestyle="none", marker=MARKERS[row % 4],
                color=COLORS["blue"], alpha=0.7)  # fmt: skip
        ax.plot([np.median(values)] * 2, [row - 0.3, row + 0.3], color="black", linewidth=2.6,
                linestyle="-")  # fmt: skip
    ax.set_yticks(range(len(groups)), list(groups))
    ax.set(xlim=(0, 1), ylim=(len(groups) - 0.5, -0.5), xlabel=xlabel)
    if title:
        ax.set_title(title)
    said = "; ".join(f"{k}: {np.median(v):.2f}" for k, v in groups.items())
    return described(ax, f"A row of marks each, one per seed, a bar at the median. {said}.")
