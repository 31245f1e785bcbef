"""Plots of notebook 01: what happens inside a deep net before and while it learns."""

import numpy as np

from bnlib.course.kit import plots
from bnlib.course.kit.figures import described
from bnlib.course.kit.plots import figure, title_over_all
from bnlib.course.kit.style import COLORS, NETS, look
from bnlib.course.kit.words import number, span, spoken

_NET = NETS["without BN"]  # the only net of this notebook
_MIXED = {"color": COLORS["black"], "linestyle": (0, (6, 1.5, 1, 1.5)), "marker": "D"}


def plot_curves(x, curves, **texts):
    """Like kit.plots.plot_curves: the first curve is this notebook's net, a second a mixed one."""
    looks = dict(zip(curves, (_NET, _MIXED), strict=False))
    return plots.plot_curves(x, curves, looks=looks, **texts)


def plot_layer_drift(steps, inputs, *, title=None):
    """How the inputs of every layer's units move while the net trains, one panel a layer.

    steps   (T,) training steps
    inputs  one (T, N, D) array per layer: x of D units on the same N examples after each step

    Each panel holds the band between the 15th and the 85th percentile over all units and
    examples, the median in the middle of it, and thin lines for the medians of every fourth unit.
    Returns an array of Axes, one per layer.
    """
    fig, axes = figure(1, len(inputs), size=(3.0 * len(inputs) + 0.6, 3.9), sharey=True)
    axes, told = np.atleast_1d(axes), []
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
            steps, low, high, color=_NET["color"], alpha=0.25, label="15th to 85th percentile"
        )
        ax.plot(steps, middle, color=_NET["color"], linestyle="-", label="median of all")
        deep = middle.argmin()
        told.append(
            f"Layer {layer}: the band is {span([low[0], high[0]])} at first and "
            f"{span([low[-1], high[-1]])} at the end; the median of all is lowest at step "
            f"{steps[deep]:,}, {number(middle[deep])}."
        )
        ax.set(xlabel="training step", title=f"hidden layer {layer}")
    axes[0].set_ylabel("x, input of the sigmoids")
    fig.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=3)
    title_over_all(fig, title)
    described(
        fig,
        f"{len(axes)} panels, one per hidden layer: input x of its sigmoids against the training "
        f"step, {span(steps, 4)}. A band from the 15th to the 85th percentile over all units and "
        f"digits, and thin lines for the medians of single units. {' '.join(told)}",
    )
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
            **look(label, i),
            label=label,
        )
    ax.set_xticks(range(count), layers)
    ax.set(xlim=(-0.2, count - 0.8), ylabel=ylabel)
    if title:
        ax.set_title(title)
    ax.legend()
    told = (
        f"{spoken(label)}: {number(values[0])} at {layers[0]}, {number(values[-1])} at "
        f"{layers[-1]}, the least of all {number(np.min(values))}."
        for label, values in curves.items()
    )
    return described(ax, f"{spoken(ylabel)} by layer, a logarithmic axis. {' '.join(told)}")
