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
    """Test accuracy in training: the first curve is this notebook's net, a second a mixed one.

    texts  what else kit.plots.plot_curves takes: title, marks, another xlabel or ylabel
    """
    looks = dict(zip(curves, (_NET, _MIXED), strict=False))
    texts = {"xlabel": "training step", "ylabel": "share of test digits right"} | texts
    return plots.plot_curves(x, curves, looks=looks, **texts)


def plot_layer_drift(steps, inputs, *, until=200, title=None):
    """How the inputs of every layer's units move while the net trains, one panel a layer.

    steps   (T,) training steps
    inputs  one (T, N, D) array per layer: x of D units on the same N examples after each step
    until   the last step that is drawn

    Each panel holds the band between the 15th and the 85th percentile over all units and
    examples, the median in the middle of it, and thin lines for the medians of every fourth unit.
    Returns an array of Axes, one per layer.
    """
    fig, axes = figure(1, len(inputs), size=(3.0 * len(inputs) + 0.6, 3.9), sharey=True)
    axes, drawn, told = np.atleast_1d(axes), steps <= until, []
    steps = steps[drawn]
    thin = {"color": "#8c8c8c", "linestyle": "-", "linewidth": 0.8, "zorder": 1.5}
    color = _NET["color"]
    for layer, (ax, x) in enumerate(zip(axes, inputs, strict=True), 1):
        low, middle, high = np.percentile(x[drawn], (15, 50, 85), axis=(1, 2))
        units = ax.plot(steps, np.median(x[drawn, :, ::4], axis=1), antialiased=False, **thin)
        units[0].set_label("median of one unit")
        ax.fill_between(steps, low, high, color=color, alpha=0.25, label="15th to 85th percentile")
        ax.plot(steps, middle, color=color, linestyle="-", label="median of all")
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
        ax=figure(size=(7.6, 4.0))[1],
        title=title,
    )
    ax.set(ylim=(0, 1))
    ax.legend(loc="center right")
    return ax


def plot_by_layer(curves, layers=None, *, ylabel="|gradient| / |weights|", ax=None, title=None):
    """One value per layer on a logarithmic axis, several nets told apart.

    curves  dict label -> (L,) positive values, first layer first
    layers  L tick labels; by default "layer 1", "layer 2", …
    """
    ax = figure(size=(7.2, 3.6))[1] if ax is None else ax
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
