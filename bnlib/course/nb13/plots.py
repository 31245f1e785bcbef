"""Plots of notebook 13: drift, the gradient's shift, one step, down the net, rates, turning."""

import numpy as np
from matplotlib.ticker import NullFormatter, NullLocator

from bnlib.course.kit.figures import described
from bnlib.course.kit.plots import course_of, figure, legend_below, rate_axis
from bnlib.course.kit.style import COLORS, LINESTYLES, NETS, OTHERS, look
from bnlib.course.kit.words import number
from bnlib.course.nb13.runs import by_name

NOISY = {"color": COLORS["purple"], "linestyle": LINESTYLES[3], "marker": "D"}
LOOKS = {  # what the legends of this notebook name
    "none": NETS["without BN"],
    "without BN": NETS["without BN"],
    "BN": NETS["with BN"],
    "with BN": NETS["with BN"],
    "noisy BN": NOISY,
    "centre only": {"color": COLORS["green"], "linestyle": LINESTYLES[2], "marker": "^"},
    "scale only": {"color": COLORS["orange"], "linestyle": LINESTYLES[4], "marker": "v"},
    "mean detached": {"color": COLORS["purple"], "linestyle": LINESTYLES[3], "marker": "D"},
    "variance detached": {"color": COLORS["sky"], "linestyle": LINESTYLES[2], "marker": "P"},
    "both detached": {"color": COLORS["black"], "linestyle": "-", "marker": "X"},
    "BN, lengths held": {"color": COLORS["purple"], "linestyle": LINESTYLES[3], "marker": "D"},
    "LN": {"color": COLORS["green"], "linestyle": LINESTYLES[2], "marker": "^"},
    "SkipInit": {"color": COLORS["purple"], "linestyle": LINESTYLES[3], "marker": "D"},
}


def plot_drift(kept, steps=60):
    """What one unit of the last hidden layer is given, step by step: one panel a net.

    kept   dict name -> (T, 2): mean and deviation of the unit's input over each mini-batch
    steps  how many of them are drawn

    Returns the array of Axes.
    """
    _, axes = figure(1, len(kept), size=(8.2, 2.8), sharey=True)
    for ax, (name, values) in zip(axes, kept.items(), strict=True):
        mean, deviation = np.transpose(values[:steps])
        style, at = LOOKS[name], np.arange(1, len(mean) + 1)
        ax.fill_between(at, mean - deviation, mean + deviation, color=style["color"], alpha=0.2,
                        linewidth=0)  # fmt: skip
        ax.plot(at, mean, color=style["color"], linestyle="-", linewidth=1.6)
        ax.set(xlabel="training step", title=name)
        jump = np.abs(np.diff(mean)).mean()
        described(
            ax,
            f"{name}: the mean of one unit's input over the mini-batch at steps 1 to {len(mean)}, "
            f"and a band of one deviation ({number(deviation.mean(), 1)}) around it. "
            f"{course_of(at, mean)} From step to step the mean moves by "
            f"{number(jump, 1)} on average.",
        )
    axes[0].set_ylabel("input of one sigmoid")
    return axes


def plot_shift(panels, nets):
    """How much a layer's gradient changes when the layers below move, without and with BN.

    panels  dict title -> (nets, 2, seeds) relative changes |G − G′| / |G|
    nets    names of the nets

    A mark a seed, a bar at the median; one colour and marker without BN, another with it.
    """
    fig, axes = figure(1, len(panels), size=(4.6 * len(panels) + 0.6, 3.6), sharey=True)
    axes = np.atleast_1d(axes)
    for ax, (title, values) in zip(axes, panels.items(), strict=True):
        said = []
        for column, (label, style) in enumerate(list(NETS.items())[:2]):
            at = np.arange(len(nets)) + (column - 0.5) * 0.34
            seeds = values[:, column]
            medians = np.median(seeds, axis=1)
            ax.plot(np.repeat(at, seeds.shape[1]), seeds.ravel(), linestyle="none", alpha=0.75,
                    marker=style["marker"], color=style["color"], label=label)  # fmt: skip
            for place, median in zip(at, medians, strict=True):
                ax.plot([place - 0.14, place + 0.14], [median] * 2, color="black", linestyle="-")
            numbers = ", ".join(f"{n} {number(m)}" for n, m in zip(nets, medians, strict=True))
            said.append(f"{label}, medians: {numbers}")
        ax.set(yscale="log", title=title, xlim=(-0.6, len(nets) - 0.4))
        ax.set_xticks(range(len(nets)), nets)
        ax.set_yticks([0.25, 0.5, 1, 2, 4], ["0.25", "0.5", "1", "2", "4"])
        ax.yaxis.set_minor_locator(NullLocator())
        described(ax, f"{title}. Relative change of a layer's gradient. {'; '.join(said)}.")
    axes[0].set_ylabel("|G \N{MINUS SIGN} G′| / |G|")
    handles, labels = axes[0].get_legend_handles_labels()
    fig.legend(handles, labels, loc="outside lower center", ncols=2)
    return axes


def plot_one_step(rates, losses, *, title=None):
    """The loss after one step of each rate, over the loss before.

    rates   (R,) rising; drawn up to 10
    losses  dict label -> (seeds, R) or (R,)

    Returns the Axes.
    """
    fig, ax = figure(size=(7.0, 3.6))
    said = []
    for label, values in losses.items():
        values = np.atleast_2d(values)
        shown = np.clip(values, 0, 3)
        style = LOOKS[label]
        ax.plot(rates, shown.T, color=style["color"], linestyle="-", linewidth=0.8, alpha=0.5)
        ax.plot(rates, np.median(shown, axis=0), **style, label=label)
        lowers = largest_that_lowers(rates, values)
        said.append(f"{label}: the largest rate that still lowers the loss is "
                    f"{number(np.median(lowers))} in the median of {len(values)} nets")  # fmt: skip
    ax.axhline(1, color="#444444", linestyle=":", linewidth=1.8)
    ax.set(xscale="log", xlim=(rates[0] * 0.9, 11), ylim=(0.4, 1.6), xlabel="rate of the one step",
           ylabel="loss after / loss before")  # fmt: skip
    ax.xaxis.set_minor_formatter(NullFormatter())
    if title:
        ax.set_title(title)
    fig.legend(loc="outside lower center", ncols=len(losses))
    return described(ax, f"The loss after one step over the loss before, against the rate of the "
                         f"step, with a dotted line at 1. {'; '.join(said)}.")  # fmt: skip


def largest_that_lowers(rates, losses):
    """(seeds,) the largest of the rates after which the loss is lower than before.

    losses  (seeds, R) loss after one step over the loss before
    """
    lower = np.atleast_2d(losses) < 1
    return np.where(lower, rates, 0).max(axis=1)


def plot_down(nets, *, cosine=None, factor=None):
    """Layer by layer: the cosine between two digits, and the length of the gradient.

    nets    dict label -> (cosines, gradients), as down_the_net returns them
    cosine  height of a dotted line on the left, or None
    factor  growth of the squared gradient a layer, of a dotted line on the right, or None
    """
    fig, (left, right) = figure(1, 2, size=(8.6, 3.6))
    cosines_said, gradients_said = [], []
    for label, (cosines, gradients) in nets.items():
        style, layers = LOOKS[label], np.arange(1, len(cosines) + 1)
        often = max(1, len(layers) // 8)
        left.plot(layers, cosines, **style, markevery=often, label=label)
        right.plot(layers, gradients, **style, markevery=often)
        cosines_said.append(f"{label}: {course_of(layers, cosines)}")
        gradients_said.append(f"{label}: {course_of(layers, gradients)}")
    if cosine is not None:
        left.axhline(cosine, color="#444444", linestyle=":", linewidth=2)
        cosines_said.append(f"A dotted line at {number(cosine)}.")
    if factor is not None:
        right.plot(layers, factor ** ((layers[-1] - layers) / 2), color="#444444", linestyle=":",
                   linewidth=2)  # fmt: skip
        gradients_said.append(f"A dotted line whose square grows by {number(factor, 3)} a layer.")
    left.set(xlabel="layer", ylabel="cosine between two digits", ylim=(-0.1, 1.05))
    right.set(xlabel="layer", ylabel="gradient, last layer = 1", yscale="log")
    described(left, f"Cosine between two digits, layer by layer. {' '.join(cosines_said)}")
    described(
        right,
        f"Length of the gradient, in units of the last layer's. {' '.join(gradients_said)}",
    )
    handles, labels = left.get_legend_handles_labels()
    fig.legend(handles, labels, loc="outside lower center", ncols=len(labels))
    return left, right


def plot_variances(nets, *, slope=None):
    """The variance on the way through a residual net, block by block.

    nets   dict label -> (blocks + 1,) variances
    slope  growth a block of a dotted line that begins where "with BN" does, or None

    Returns the Axes.
    """
    ax, said = figure(size=(6.6, 3.4))[1], []
    for label, values in nets.items():
        blocks = np.arange(len(values))
        ax.plot(blocks, values, **LOOKS[label], markevery=5, label=label)
        said.append(f"{label}: {course_of(blocks, values)}")
    if slope is not None:
        line = nets["with BN"][0] + slope * blocks
        ax.plot(blocks, line, color="#444444", linestyle=":", linewidth=3,
                label=f"v₀ + {number(slope)} l")  # fmt: skip
        said.append(f"A dotted line that grows by {number(slope)} a block lies on “with BN”.")
    ax.set(xlabel="blocks passed", ylabel="variance over the digits", yscale="log")
    ax.legend()
    return described(ax, f"Variance against the number of blocks passed. {' '.join(said)}")


def plot_rates(rates, panels, *, xlabel="learning rate", ylim=(0, 1), live=()):
    """Test accuracy over the rates: a mark a seed, a line at the medians, one panel each.

    rates   (R,) rising
    panels  dict title -> dict label -> (R, seeds) accuracy
    live    (title, label, rate, accuracy) of runs made here, drawn as large black marks
    """
    width = 7.2 if len(panels) == 1 else 4.2 * len(panels) + 0.6
    fig, axes = figure(1, len(panels), size=(width, 3.7), sharey=True)
    axes, places = np.atleast_1d(axes), dict(zip(panels, np.atleast_1d(axes), strict=True))
    handles = {}
    for title, arms in panels.items():
        ax, said = places[title], []
        for i, (label, values) in enumerate(arms.items()):
            style = LOOKS.get(label) or look(label, i)
            middle = np.median(values, axis=1)
            ax.plot(rates, middle, color=style["color"], linestyle=style["linestyle"])
            ax.plot(np.repeat(rates, values.shape[1]), values.ravel(), linestyle="none",
                    marker=style["marker"], color=style["color"], markersize=5)  # fmt: skip
            (handles[label],) = ax.plot([], [], **style)
            numbers = ", ".join(f"{m:.2f} at {r:g}" for r, m in zip(rates, middle, strict=True))
            said.append(f"{label}: medians {numbers}")
        ax.set(ylim=ylim, xlabel=xlabel)
        if title:
            ax.set_title(title)
        rate_axis(ax, rates)
        described(ax, f"Test accuracy against the {xlabel}{'. ' + title if title else ''}. "
                      f"{'; '.join(said)}.")  # fmt: skip
    for title, label, rate, value in live:
        places[title].plot([rate], [value], marker=LOOKS[label]["marker"], color="none",
                           markeredgewidth=2.4, markeredgecolor="black", markersize=14,
                           linestyle="none", zorder=5)  # fmt: skip
    axes[0].set_ylabel("share of test digits right")
    marks = [LOOKS[label]["marker"] for _, label, *_ in live]
    legend_below(fig, handles.values(), handles, ncols=min(4, len(handles) + bool(live)),
                 live=marks)  # fmt: skip
    return axes


def plot_parts(runs, net, *, live):
    """Accuracy over the rates of BN and its parts, and of BN with parts of its gradient missing.

    runs  what stored_runs() returns
    net   a name of runs["parts_nets"]
    live  (rate, dict part -> accuracy) of runs made here

    Returns the array of Axes.
    """
    arms = by_name(runs, "parts", net)
    parts = {
        "the parts": ("none", "BN", "centre only", "scale only"),
        "the gradient": ("BN", "mean detached", "variance detached"),
    }
    panels = {title: {name: arms[name] for name in names} for title, names in parts.items()}
    rate, read = live
    marks = [(title, name, rate, read[name]) for title, names in parts.items() for name in names
             if name in read]  # fmt: skip
    return plot_rates(runs["parts_rates"], panels, live=marks)


def plot_turning(angles, predicted):
    """The angle by which each step turns the hidden weights, mean over the layers.

    angles     dict label -> (steps, layers), in radians
    predicted  √(2ηλ), drawn as a dotted line

    Each line is the mean over 20 steps. Returns the Axes.
    """
    ax, said = figure(size=(6.6, 3.4))[1], []
    for style, (label, values) in zip(OTHERS, angles.items(), strict=False):
        smooth = np.convolve(np.mean(values, axis=1), np.ones(20) / 20, "valid")
        steps = np.arange(20, 20 + len(smooth))
        ax.plot(steps, smooth, **style, markevery=40, label=label)
        said.append(f"{label}: {course_of(steps, smooth)}")
    ax.axhline(predicted, color="#444444", linestyle=":", linewidth=2, label="√(2ηλ)")
    ax.set(xlabel="training step", ylabel="turn of a step (radians)", yscale="log")
    ax.legend()
    return described(ax, f"The angle by which a step turns the hidden weights, against the "
                         f"training step, with a dotted line at {number(predicted)}. "
                         f"{' '.join(said)}")  # fmt: skip
