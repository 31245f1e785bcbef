"""Plots of notebook 01: what happens inside a deep net before and while it learns."""

import numpy as np

from bnlib.course.kit.plots import figure, title_over_all
from bnlib.course.kit.style import COLORS, LINESTYLES, MARKERS

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
