"""Plots of notebook 01: what happens inside a deep net before and while it learns."""

import numpy as np

from bnlib.course.kit import plots
from bnlib.course.kit.figures import described
from bnlib.course.kit.plots import figure, title_over_all
from bnlib.course.kit.style import COLORS, NETS, look
from bnlib.course.kit.words import listing, number, span, spoken

_NET = NETS["without BN"]  # the only net of this notebook
_MIXED = {"color": COLORS["black"], "linestyle": (0, (6, 1.5, 1, 1.5)), "marker": "D"}


def plot_curves(x, curves, **texts):
    """Like kit.plots.plot_curves: the first curve is this notebook's net, a second a mixed one."""
    looks = dict(zip(curves, (_NET, _MIXED), strict=False))
    return plots.plot_curves(x, curves, looks=looks, **texts)


def plot_layer_drift(steps, inputs, *, zoom=200, title=None):
    """How the inputs of every layer's units move while the net trains, one column a layer.

    steps   (T,) training steps
    inputs  one (T, N, D) array per layer: x of D units on the same N examples after each step
    zoom    the upper row ends at this step, the lower row shows all of them

    Each panel holds the band between the 15th and the 85th percentile over all units and
    examples, the median in the middle of it, and thin lines for the medians of every fourth unit.
    Returns an array of Axes, (2, layers).
    """
    fig, axes = figure(2, len(inputs), size=(9.6, 6.6), sharey=True)
    told, early = [], steps <= zoom
    for layer, x in enumerate(inputs):
        bands = np.percentile(x, (15, 50, 85), axis=(1, 2))
        units = np.median(x[..., ::4], axis=1)
        _drift(axes[0, layer], steps[early], bands[:, early], units[early])
        _drift(axes[1, layer], steps, bands, units)
        axes[0, layer].set_title(f"hidden layer {layer + 1}")
        axes[1, layer].set_xlabel("training step")
        told.append(f"Layer {layer + 1}: {_course_of_band(steps, *bands, early)}")
    for ax in axes[:, 0]:
        ax.set_ylabel("x, input of the sigmoids")
    fig.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=3)
    title_over_all(fig, title)
    described(
        fig,
        f"{len(inputs)} columns, one per hidden layer: input x of its sigmoids against the "
        f"training step, above up to step {zoom}, below {span(steps, 4)}. A band from the 15th to "
        "the 85th percentile over all units and digits, and thin lines for the medians of single "
        f"units. {' '.join(told)}",
    )
    return axes


def _drift(ax, steps, bands, units):
    """One panel: thin lines for single units, a band over all, its median."""
    thin = {"color": "#8c8c8c", "linestyle": "-", "linewidth": 0.8, "zorder": 1.5}
    lines = ax.plot(steps, units, antialiased=False, **thin)
    lines[0].set_label("median of one unit")
    low, middle, high = bands
    color = _NET["color"]
    ax.fill_between(steps, low, high, color=color, alpha=0.25, label="15th to 85th percentile")
    ax.plot(steps, middle, color=color, linestyle="-", label="median of all")


def _course_of_band(steps, low, middle, high, early):
    """Where a band starts, where it is when the upper row ends, and where it ends."""
    last = np.flatnonzero(early)[-1]
    places = (
        f"{span([low[i], high[i]])} at step {steps[i]:,}, its median {number(middle[i])}"
        for i in (0, last, len(steps) - 1)
    )
    return f"the band is {'; '.join(places)}."


def plot_one_line_more(steps, curves, *, title=None):
    """Test accuracy of a net without and with a BN in each hidden layer.

    steps   (T,) training steps
    curves  dict "without BN", "with BN" -> (seeds, T) shares 0..1: the median, and a band over all
    """
    ax = plots.plot_curves(
        steps,
        curves,
        xlabel="training step",
        ylabel="share of test digits right",
        marks={"guessing": 0.1},
        title=title,
    )
    ax.set(ylim=(0, 1))
    ax.legend(loc="center right")
    return ax


def plot_by_layer(curves, *, ylabel, layers=None, ax=None, title=None):
    """One value per layer on a logarithmic axis, several nets told apart.

    curves  dict label -> (L,) positive values, first layer first
    layers  L tick labels; by default "layer 1", "layer 2", …
    """
    ax = figure()[1] if ax is None else ax
    count = len(next(iter(curves.values())))
    layers = layers or [f"layer {i}" for i in range(1, count + 1)]
    for i, (label, values) in enumerate(curves.items()):
        ax.semilogy(range(count), values, **look(label, i), label=label)
    ax.set_xticks(range(count), layers)
    ax.set(xlim=(-0.2, count - 0.8), ylabel=ylabel)
    if title:
        ax.set_title(title)
    ax.legend()
    told = (f"{spoken(label)}: {listing(map(number, v))}." for label, v in curves.items())
    return described(
        ax,
        f"{spoken(ylabel)} for {listing(layers)}, a logarithmic axis. {' '.join(told)}",
    )
