"""Plots of notebook 04: what γ and β give back, and what the weights below no longer decide."""

import numpy as np

from bnlib.course.kit.figures import described
from bnlib.course.kit.plots import figure
from bnlib.course.kit.style import COLORS, look
from bnlib.course.kit.words import number, span, spoken

SATURATED = 0.02  # an output this near to 0 or 1 counts as saturated


def sigmoid(y):
    return 1 / (1 + np.exp(-y))


def straightness(y):
    """The share of the variance of sigmoid(y) that the best straight line in y explains, 0..1."""
    return np.corrcoef(y, sigmoid(y))[0, 1] ** 2


def plot_sigmoid_inputs(x_hat, settings, *, axes=None):
    """The histogram of y = γ x_hat + β under the sigmoid, one panel for each (γ, β).

    x_hat     (N,) normalized values of one unit
    settings  dict title -> (γ, β)

    Returns the array of Axes.
    """
    if axes is None:
        _, axes = figure(1, len(settings), size=(10.5, 3.8), sharey=True)
    curve, told = np.linspace(-10, 10, 401), []
    for ax, (title, (gamma, beta)) in zip(axes, settings.items(), strict=True):
        y = gamma * x_hat + beta
        counts, edges = np.histogram(y, np.linspace(-10, 10, 81))
        ax.stairs(counts / counts.max(), edges, fill=True, color=COLORS["sky"], alpha=0.75)
        ax.plot(curve, sigmoid(curve), color=COLORS["black"], linestyle="-")
        ax.plot([-2, 2], [0, 1], color=COLORS["vermillion"], linestyle="--", linewidth=2.2)
        ax.set(xlim=(-10, 10), ylim=(0, 1.04), xlabel=r"$y = \gamma\hat{x} + \beta$")
        ax.set_title(title)
        flat = np.mean(np.minimum(sigmoid(y), 1 - sigmoid(y)) < SATURATED)
        told.append(
            f"{spoken(title)}: nine in ten inputs {span(np.percentile(y, (5, 95)))}; a straight "
            f"line explains {straightness(y):.0%} of the output, and {flat:.0%} end within "
            f"{SATURATED} of 0 or 1."
        )
    axes[0].set_ylabel("sigmoid (line)\nhow often (tallest bar = 1)")
    axes[0].annotate("sigmoid", (3.6, 0.9))
    axes[0].annotate("tangent", (-2.6, 0.12), ha="right", color=COLORS["vermillion"])
    described(
        axes,
        f"The sigmoid with its tangent at zero, over {len(axes)} histograms of its input. "
        f"{' '.join(told)}",
    )
    return axes


def plot_weight_scale(a, spread, gradient, *, axes=None):
    """What scaling the weights by a does to x_hat, and to the gradient with respect to them.

    a         (A,) factors
    spread    (A,) standard deviation of x_hat
    gradient  (A,) norm of the gradient with respect to a·W, that at a = 1 being 1

    Returns the array of Axes.
    """
    if axes is None:
        _, axes = figure(1, 2, size=(10.5, 4.0))
    left, right = axes
    left.semilogx(a, spread, **look("", 0))
    left.set(ylim=(0, 1.1), ylabel=r"standard deviation of $\hat{x}$")
    left.set_title(r"The spread of $\hat{x}$")
    right.loglog(a, 1 / a, color=COLORS["black"], linestyle="--", marker="", label="$1/a$")
    right.loglog(a, gradient, **look("", 1), label="measured")
    right.set(ylabel="norm, that at $a = 1$ being 1")
    right.set_title("The size of the gradient")
    right.legend()
    for ax in axes:
        ax.set_xlabel("factor $a$ on the weights")
    a, spread, gradient = map(np.asarray, (a, spread, gradient))
    whole = a[spread > 0.99].min()
    described(
        axes,
        f"Two curves over the factor a on the weights, {span(a)}, logarithmic. Left, the deviation "
        f"of x̂: {number(spread[0])} at the smallest a, and 1, to within a hundredth, from "
        f"{number(whole)} upwards. Right, the norm of the gradient beside the line 1/a: "
        f"{number(gradient[0])} at the smallest a, where 1/a is {number(1 / a[0])}, and "
        f"{number(gradient[-1])} at the largest, where it is {number(1 / a[-1])}.",
    )
    return axes


def plot_learned(nets, *, ax=None):
    """γ and β of every feature after training, and where all of them started.

    nets  dict label -> (gamma, beta), each (D,)
    """
    ax = figure()[1] if ax is None else ax
    for i, (label, (gamma, beta)) in enumerate(nets.items()):
        style = look(label, 1 - i) | {"linestyle": "none"}
        ax.plot(gamma, beta, **style, alpha=0.8, label=label)
    ax.plot(1, 0, marker="*", markersize=20, linestyle="none", color=COLORS["black"])
    ax.annotate("start", (1, 0), xytext=(0, 14), textcoords="offset points", ha="center")
    ax.margins(0.08)
    ax.set(xlabel=r"scale $\gamma$", ylabel=r"shift $\beta$")
    ax.set_title("Learned γ and β, one mark a feature")
    ax.legend(loc="best")
    clouds = (f"{label}: γ {span(gamma)}, β {span(beta)}." for label, (gamma, beta) in nets.items())
    return described(
        ax,
        f"γ and β of each feature of {len(nets)} trained nets, as dots, and a star at 1, 0 where "
        f"all started. {' '.join(clouds)}",
    )


def plot_accuracies(accuracies, *, ax=None):
    """Test accuracy of several nets, a mark for each seed and a bar at their mean.

    accuracies  dict label -> (seeds,) shares 0..1; drawn from top to bottom, "frozen" ones as
                triangles, "learned" ones as diamonds, others as crosses
    """
    ax = figure(size=(9.2, 4.4))[1] if ax is None else ax
    for row, (label, values) in enumerate(accuracies.items()):
        style = look("", 1 if "frozen" in label else 0 if "learned" in label else 3)
        ax.plot(
            np.mean(values), row, marker="|", markersize=30, markeredgewidth=2.5, color="#444444"
        )
        ax.plot(
            values,
            np.full(len(values), row),
            **style | {"linestyle": "none"},
            markersize=8,
            alpha=0.7,
        )
    ax.set_yticks(range(len(accuracies)), list(accuracies))
    ax.set_ylim(len(accuracies) - 0.4, -0.6)
    ax.set(xlabel="share of 2,000 test digits read right (one mark a seed, bar: mean)")
    ax.set_title("Six kinds of nets, five seeds each")
    ax.grid(axis="y", visible=False)
    rows = (
        f"{spoken(label)}: mean {number(np.mean(values), 3)}, seeds {span(values, 3)}."
        for label, values in accuracies.items()
    )
    return described(ax, f"Share of test digits read right, a mark for each seed. {' '.join(rows)}")
