"""Plots of notebook 06: how a gradient flows back through the statistics of a mini-batch."""

import numpy as np

from bnlib.course.kit.figures import described
from bnlib.course.kit.plots import course_of, figure, plot_curves, plot_heatmap
from bnlib.course.kit.style import COLORS, look
from bnlib.course.kit.words import from_to, number, span, spoken

_FORWARD, _BACK = COLORS["blue"], COLORS["vermillion"]


def plot_backward_graph(forward, backward=None, *, title=None, ax=None):
    """The computational graph of one feature, each box with its value and its gradient.

    forward   dict node -> value, an array of a few numbers or one number, for the nodes
              x, mu_B, c (x minus mean), var_B, s (root), x_hat, y
    backward  dict node -> ∂ℓ/∂node, likewise; or None, to draw the values alone
    """
    places = {
        "x": (0.0, 0.0, "$x$"),
        "mu_B": (1.5, 1.0, r"$\mu_\mathcal{B}$"),
        "c": (3.0, 0.0, r"$c = x - \mu_\mathcal{B}$"),
        "var_B": (4.5, 1.0, r"$\sigma^2_\mathcal{B}$"),
        "s": (6.5, 1.0, r"$s=\sqrt{\sigma^2_\mathcal{B}+\varepsilon}$"),
        "x_hat": (6.5, 0.0, r"$\hat x = c / s$"),
        "y": (8.8, 0.0, r"$y = \gamma \hat x + \beta$"),
    }
    edges = ["x mu_B", "x c", "mu_B c", "c var_B", "var_B s", "c x_hat", "s x_hat", "x_hat y"]
    ax = figure(size=(10.6, 4.4))[1] if ax is None else ax
    box = {"boxstyle": "round,pad=0.35", "facecolor": "white", "edgecolor": "#333333"}
    center = {"ha": "center", "va": "center"}
    back = {"color": _BACK, "style": "italic", "weight": "bold", "fontsize": 13}
    texts = {
        name: ax.text(px, py, label, fontsize=15, bbox=box, **center)
        for name, (px, py, label) in places.items()
    }
    for edge in edges:
        start, end = edge.split()
        arrow = {"arrowstyle": "-|>,head_width=0.3,head_length=0.6", "color": "#555555", "lw": 1.8}
        arrow |= {"patchA": texts[start].get_bbox_patch(), "patchB": texts[end].get_bbox_patch()}
        ax.annotate("", places[end][:2], places[start][:2], arrowprops=arrow | {"shrinkB": 3})
    for name, (px, py, _) in places.items():
        value, gradient = (1.48, 1.27) if py else (-0.29, -0.5)  # away from the arrows
        ax.text(px, value, _numbers(forward[name]), color=_FORWARD, fontsize=13, **center)
        if backward:
            ax.text(px, gradient, _numbers(backward[name]), **back, **center)
    ax.text(-0.6, -0.85, "upright: the value", color=_FORWARD, fontsize=13, va="center")
    if backward:
        ax.text(1.7, -0.85, "italic: the gradient of the loss", va="center", **back)
    ax.set(xlim=(-1.1, 9.8), ylim=(-1.0, 1.65))
    ax.set_axis_off()
    ax.set_title(title or "Values flow right, gradients flow left")
    boxes = (
        f"{spoken(label)} is {_numbers(forward[name])}"
        + (f", its gradient {_numbers(backward[name])}." if backward else ".")
        for name, (_, _, label) in places.items()
    )
    return described(
        ax,
        "A graph. x leads to the mean and to c, the mean to c, c to the variance and to x̂, the "
        f"variance to the root s, s to x̂, and x̂ to y. {' '.join(boxes)}",
    )


def plot_jacobian(jacobian, *, title=None, ax=None):
    """How much each x̂ moves per unit of each x: (m, m), with the numbers written in."""
    m, top = len(jacobian), np.abs(jacobian).max()
    ax = plot_heatmap(
        jacobian,
        rows=range(1, m + 1),
        cols=range(1, m + 1),
        xlabel="example that is nudged, $j$",
        ylabel="example that moves, $i$",
        zlabel=r"$\partial\hat x_i\,/\,\partial x_j$ (per unit of $x$)",
        vmin=-top,
        vmax=top,
        cmap="PuOr",
        title=title,
        ax=ax,
    )
    off = jacobian[~np.eye(m, dtype=bool)]
    return described(
        ax,
        f"A table of slopes, {m} by {m}: how much example i moves per unit that example j is "
        f"nudged. The diagonal lies {from_to(np.diag(jacobian))}. Off it, {np.sum(off < 0)} "
        f"of {len(off)} entries are negative, and all lie {from_to(off)}.",
    )


def plot_gradient_error(steps, errors, *, title=None, ax=None):
    """Error of a central difference against its step size, with the two slopes that make the V.

    steps   (S,) step sizes h
    errors  (S,) largest difference from the derived gradient, relative to its largest value
    """
    ax = figure()[1] if ax is None else ax
    steps, errors = np.asarray(steps), np.asarray(errors)
    ax.loglog(steps, errors, **look("", 0), label="measured")
    left, right = steps < 1e-7, steps > 1e-3
    for part, power, style, label in (
        (left, -1, "--", r"rounding, as $1/h$"),
        (right, 2, ":", r"step too large, as $h^2$"),
    ):
        scale = np.exp(np.mean(np.log(errors[part] / steps[part] ** power)))
        line = scale * steps**power
        near = (line > errors.min() / 3) & (line < errors.max() * 3)
        ax.loglog(steps[near], line[near], color="black", linestyle=style, label=label)
    ax.set(xlabel="step size $h$ (units of $x$)", ylabel="relative error of $dx$")
    ax.set_title(title or "A check by finite differences has a best step")
    ax.legend(loc="upper center")
    return described(
        ax,
        f"Relative error of a central difference against its step size, {span(steps)}, both axes "
        f"logarithmic: a V. From the right it falls with the square of the step, from "
        f"{number(errors[steps.argmax()], 1)}; to the left it rises as one over the step, to "
        f"{number(errors[steps.argmin()], 1)}. It is least at a step of about "
        f"{number(steps[errors.argmin()], 1)}.",
    )


def plot_dropped_terms(runs, *, rate, rates=(0.1, 0.3, 1.0), per_point=20, size=(10.4, 4.6)):
    """Training with the full gradient and with terms left out: the loss, and a useless bias.

    runs   dict label -> (loss, length), each (rates, seeds, T); what train_with_dropped_terms gives
    rate   which of the rates is drawn
    """
    fig, (left, right) = figure(1, 2, size=size)
    place = list(rates).index(rate)
    points = next(iter(runs.values()))[0].shape[-1]
    steps = per_point * np.arange(1, points + 1)
    for ax, part, ylabel, title in (
        (left, 0, "training loss (nats)", f"Loss at rate {rate:g}"),
        (right, 1, r"length of the bias, $\|b\|$", "Bias before the first BN"),
    ):
        curves = {label: pair[part][place] for label, pair in runs.items()}
        plot_curves(steps, curves, xlabel="training step", ylabel=ylabel, ax=ax, title=title)
        ax.get_legend().remove()
        ax.set_ylim(0, None)
    fig.legend(*left.get_legend_handles_labels(), loc="outside lower center", ncols=2)
    told = (
        f"{what} {label}: {course_of(steps, pair[part][place])}"
        for part, what in enumerate(("Left, the training loss,", "Right, the bias's length,"))
        for label, pair in runs.items()
    )
    return described(fig, f"Two panels over the training step. {' '.join(told)}")


def _numbers(values):
    values = np.atleast_1d(values)
    text = ", ".join(f"{v:.3g}" for v in values)
    text = f"({text})" if len(values) > 1 else text
    return text.replace("-", "\N{MINUS SIGN}")
