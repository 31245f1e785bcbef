"""Plots of notebook 16: what happens on the way down a deep net, and which route leads through."""

import math

import numpy as np

from bnlib.course.kit.figures import described
from bnlib.course.kit.plots import course_of, figure, legend_below, rate_axis
from bnlib.course.kit.style import COLORS, LINESTYLES, NETS
from bnlib.course.kit.words import number
from bnlib.course.nb16.runs import relu_at_best_rates, route_of

FLOAT32_STEP = 2.0**-24  # from a float32 number between 1/2 and 1 to the next
GROWTH = math.pi / (math.pi - 1)  # of the squared gradient, per ReLU layer with BN
_PURPLE = {"color": COLORS["purple"], "linestyle": LINESTYLES[3], "marker": "D"}
_GREEN = {"color": COLORS["green"], "linestyle": LINESTYLES[2], "marker": "^"}
_ORANGE = {"color": COLORS["orange"], "linestyle": LINESTYLES[4], "marker": "v"}
LOOKS = {
    "no norm": NETS["without BN"],
    "with BN": NETS["with BN"],
    "with LN": _PURPLE,
    "BN": NETS["with BN"],
    "residual": _GREEN,
    "centred": _ORANGE,
    "torch's weights": NETS["without BN"],
    "scaled weights": _PURPLE,
    "sigmoid, BN": NETS["with BN"],
    "tanh, BN": _GREEN,
    "ReLU, BN": _ORANGE,
    "ReLU, He's weights, no BN": NETS["without BN"],
}
SAID = {  # the routes as a legend names them
    "BN": "BN",
    "residual": "residual, α = 0 at first",
    "centred": "centred weights, Adam",
    "torch's weights": "torch's weights",
    "scaled weights": "Xavier's or He's weights",
}


def plot_spread(spreads):
    """How far digits are apart in each layer.

    spreads  dict label -> (layers,) deviation over digits of a unit's output, root mean square

    Returns the Axes.
    """
    ax, said = figure(size=(8.6, 4.4))[1], []
    for label, values in spreads.items():
        layers = np.arange(1, len(values) + 1)
        ax.plot(layers, values, label=label, markevery=3, **LOOKS[label])
        said.append(f"{label}: {course_of(layers, values)}")
    ax.axhline(FLOAT32_STEP, color="#444444", linestyle=":", linewidth=1.8)
    ax.annotate(
        "below: less than\na step of float32",
        (30, FLOAT32_STEP),
        xytext=(0, 5),
        textcoords="offset points",
        ha="right",
        fontsize=12,
    )
    ax.set(yscale="log", ylim=(1e-19, 5), xlabel="layer", ylabel="digits are apart by")
    ax.legend(loc="center left", bbox_to_anchor=(1.01, 0.5))
    return described(ax, f"The deviation over the digits in each layer. {' '.join(said)} A dotted "
                         "line at 0.00000006: what float32 can tell apart near one "
                         "half.")  # fmt: skip


def plot_reached(groups, *, xlabel):
    """One row of marks a group, one mark a run, a bar at the mean.

    groups  dict label -> (runs,) shares 0..1

    Returns the Axes.
    """
    ax = figure(size=(8.8, 0.42 * len(groups) + 1.5))[1]
    for row, values in enumerate(groups.values()):
        shift = np.linspace(-0.18, 0.18, len(values))
        ax.plot(values, row + shift, linestyle="none", marker="o", color="#666666", alpha=0.6)
        ax.plot([np.mean(values)] * 2, [row - 0.36, row + 0.36], color="black", linestyle="-")
    ax.set_yticks(range(len(groups)), list(groups))
    ax.set(xlim=(0, 1), ylim=(len(groups) - 0.4, -0.6), xlabel=xlabel)
    said = "; ".join(
        f"{label}: {len(values)} runs, {min(values):.2f} to {max(values):.2f}, mean "
        f"{np.mean(values):.2f}"
        for label, values in groups.items()
    )
    return described(ax, f"A row of marks each, one per run, a bar at the mean. {said}.")


def plot_routes(runs, *, live=()):
    """Accuracy after 300 and after 900 steps of three routes at four rates each.

    live  (route, rate, accuracy) of runs made here, black marks in the first panel

    A line joins the means over the seeds; each seed is a mark. Returns the Axes.
    """
    fig, axes = figure(1, 2, size=(9.8, 4.4), sharey=True)
    for ax, steps in zip(axes, runs["routes_steps"].tolist(), strict=True):
        said = []
        for name in runs["routes"].tolist():
            rates, accuracy = route_of(runs, name, steps)
            look, mean = LOOKS[name], accuracy.mean(axis=1)
            ax.plot(rates, mean, color=look["color"], linestyle=look["linestyle"])
            ax.plot(np.repeat(rates, accuracy.shape[1]), accuracy.ravel(), linestyle="none",
                    marker=look["marker"], color=look["color"], label=SAID[name])  # fmt: skip
            numbers = ", ".join(f"{m:.2f} at {r:g}" for r, m in zip(rates, mean, strict=True))
            said.append(f"{SAID[name]}: means {numbers}")
        ax.set(ylim=(0, 1), xlabel="learning rate", title=f"{steps:,} steps")
        routes = (route_of(runs, name, steps)[0] for name in runs["routes"].tolist())
        rate_axis(ax, np.concatenate(list(routes)))
        described(ax, f"After {steps:,} steps. {'; '.join(said)}.")
    axes[0].set_ylabel("share of test digits right")
    for name, rate, value in live:
        axes[0].plot([rate], [value], marker=LOOKS[name]["marker"], color="none", markersize=14,
                     markeredgecolor="black", markeredgewidth=2.4, linestyle="none")  # fmt: skip
    marks = [LOOKS[name]["marker"] for name, *_ in live]
    legend_below(fig, *axes[0].get_legend_handles_labels(), ncols=4, live=marks)
    return axes


def plot_gradients(squares, *, growth=None):
    """The squared length of the loss's gradient by each layer's output, the last layer's set to 1.

    squares  dict label -> (layers,), first layer to last
    growth   a factor per layer, drawn as a dotted line from the last layer on, or None

    Returns the Axes.
    """
    ax, said = figure(size=(8.8, 4.6))[1], []
    for label, values in squares.items():
        layers, values = np.arange(1, len(values) + 1), np.asarray(values) / values[-1]
        ax.plot(layers, values, label=label, markevery=3, **LOOKS[label])
        said.append(f"{label}: {number(values[0])} in the first layer")
    if growth:
        ax.plot(layers, growth ** (len(layers) - layers), color="#444444", linestyle=":",
                linewidth=2, label=f"× {growth:.2f} a layer")  # fmt: skip
        said.append(f"a dotted line that grows {growth:.2f} times a layer")
    ax.set(yscale="log", xlabel="layer", ylabel="squared gradient\n(last layer: 1)")
    ax.legend(loc="center left", bbox_to_anchor=(1.01, 0.5))
    return described(
        ax, f"Squared gradients by layer, relative to the last layer. {'; '.join(said)}."
    )


def plot_relu(runs):
    """Thirty ReLU layers after 800 steps: four nets, each at its best rate, six seeds."""
    return plot_reached(
        relu_at_best_rates(runs), xlabel="share of test digits right after 800 steps"
    )
