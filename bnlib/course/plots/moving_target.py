"""Plots of notebook 01: what happens inside a deep net before and while it learns."""

import numpy as np

from bnlib.course.plots.general import figure, title_over_all
from bnlib.course.style import COLORS, LINESTYLES, MARKERS

_COLORS = list(COLORS.values())


def plot_layer_drift(steps, inputs, *, title=None):
    """How the inputs of every layer's units move while the net trains, one panel a layer.

    steps   (T,) training steps
    inputs  one (T, N, D) array per layer: x of D units on the same N examples after each step

    Each panel holds the band between the 15th and the 85th percentile over all units and
    examples, the median in the middle of it, and thin lines for the medians of every fourth unit.
    Returns an array of Axes, one per layer.
    """
    fig, axes = figure(1, len(inputs), size=(3.0 * len(inputs) + 0.6, 3.9), sharey=True)
    axes = np.atleast_1d(axes)
    for layer, (ax, x) in enumerate(zip(axes, inputs, strict=True), 1):
        low, middle, high = np.percentile(x, (15, 50, 85), axis=(1, 2))
        units = ax.plot(
            steps,
            np.median(x[..., ::4], axis=1),
            color="#8c8c8c",
            linestyle="-",
            linewidth=0.8,
            zorder=1.5,
            antialiased=False,
        )
        units[0].set_label("median of one unit")
        ax.fill_between(
            steps, low, high, color=COLORS["sky"], alpha=0.35, label="15th to 85th percentile"
        )
        ax.plot(steps, middle, color=COLORS["blue"], linestyle="-", label="median of all")
        ax.set(xlabel="training step", title=f"hidden layer {layer}")
    axes[0].set_ylabel("x, input of the sigmoids")
    fig.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=3)
    title_over_all(fig, title)
    return axes


def plot_by_layer(curves, *, ylabel, layers=None, ax=None, title=None):
    """One value per layer on a logarithmic axis, several nets told apart.

    curves  dict label -> (L,) positive values, first layer first
    layers  L tick labels; by default "layer 1", "layer 2", …
    """
    ax = figure()[1] if ax is None else ax
    count = len(next(iter(curves.values())))
    layers = layers or [f"layer {i}" for i in range(1, count + 1)]
    for i, (label, values) in enumerate(curves.items()):
        ax.semilogy(
            range(count),
            values,
            color=_COLORS[i],
            linestyle=LINESTYLES[i],
            marker=MARKERS[i],
            label=label,
        )
    ax.set_xticks(range(count), layers)
    ax.set(xlim=(-0.2, count - 0.8), ylabel=ylabel)
    if title:
        ax.set_title(title)
    ax.legend()
    return ax


def plot_accuracy_map(
    accuracy, *, rates, stds, good=0.85, other=None, color="vermillion", ax=None, title=None
):
    """Test accuracy for each learning rate and scale of the first weights; good cells are framed.

    accuracy  (S, R) shares 0..1, one row per standard deviation, one column per learning rate
    rates     (R,) learning rates, rising
    stds      (S,) standard deviations of the weights at the start, rising; drawn upwards
    good      cells at least this accurate get a frame, of the colour that is named
    other     (S, R) another net's accuracies, whose good cells get a dashed frame, or None
    """
    accuracy = np.asarray(accuracy, float)
    ax = figure(size=(7.8, 4.5))[1] if ax is None else ax
    ax.imshow(accuracy, cmap="cividis", vmin=0, vmax=1, aspect="auto", origin="lower")
    for s, r in np.ndindex(accuracy.shape):
        value = accuracy[s, r]
        ax.text(
            r,
            s,
            f"{value:.2f}"[1:] if value < 0.995 else "1.0",
            ha="center",
            va="center",
            fontsize=13,
            color="white" if value < 0.55 else "black",
            weight="bold" if value >= good else "normal",
        )
    _frame(ax, accuracy >= good, color=COLORS[color], linestyle="-", linewidth=4)
    if other is not None:
        _frame(
            ax,
            np.asarray(other) >= good,
            color=COLORS["vermillion"],
            linestyle=(0, (2, 1)),
            linewidth=4,
        )
    ax.set_xticks(range(len(rates)), [f"{rate:g}" for rate in rates])
    ax.set_yticks(range(len(stds)), [f"{std:g}" for std in stds])
    ax.set(xlabel="learning rate", ylabel="standard deviation\nof the weights at the start")
    ax.grid(False)
    ax.spines[:].set_visible(False)
    ax.tick_params(length=0)
    if title:
        ax.set_title(title)
    return ax


def _frame(ax, inside, **style):
    """A line along the border of the region where `inside` (rows, columns) is true."""
    padded = np.pad(inside, 1)
    for s, r in np.argwhere(inside):
        edges = {
            (0, -1): ([r - 0.5, r - 0.5], [s - 0.5, s + 0.5]),
            (0, 1): ([r + 0.5, r + 0.5], [s - 0.5, s + 0.5]),
            (-1, 0): ([r - 0.5, r + 0.5], [s - 0.5, s - 0.5]),
            (1, 0): ([r - 0.5, r + 0.5], [s + 0.5, s + 0.5]),
        }
        for (ds, dr), (xs, ys) in edges.items():
            if not padded[s + 1 + ds, r + 1 + dr]:
                ax.plot(xs, ys, clip_on=False, **style)
