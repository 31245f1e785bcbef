"""Plots of notebook 11: the border, running averages along training, fine-tuning, few bits."""

from types import SimpleNamespace

import numpy as np

from bnlib.course.kit.figures import described
from bnlib.course.kit.plots import figure, legend_below, rate_axis
from bnlib.course.kit.style import COLORS, LINESTYLES, MARKERS, OTHERS
from bnlib.course.kit.words import listing, number, span

STORED = {"color": COLORS["orange"], "linestyle": "-", "marker": "v"}
RECOMPUTED = {"color": COLORS["purple"], "linestyle": "--", "marker": "D"}
WAYS = {
    "trained": {"color": COLORS["orange"], "linestyle": "-", "marker": "v"},
    "frozen": {"color": COLORS["sky"], "linestyle": "--", "marker": "P"},
    "recomputed, then frozen": {"color": COLORS["purple"], "linestyle": ":", "marker": "D"},
}
CHANNELS = {"green": "P", "sky": "X", "black": "d"}  # the colour and marker of each


def plot_border(error):
    """How far a folded net's output is off, at each place of the map.

    error  (H, W) largest absolute difference at each place

    Returns the Axes.
    """
    fig, ax = figure(size=(5.6, 3.9))
    picture = ax.imshow(error, cmap="viridis_r", vmin=0)
    fig.colorbar(picture, ax=ax, label="largest difference")
    ax.set(xlabel="column", ylabel="row")
    ax.grid(False)
    inside = error[1:-1, 1:-1]
    edge = np.ones(error.shape, bool)
    edge[1:-1, 1:-1] = False
    return described(
        ax,
        f"A map of {error.shape[0]} × {error.shape[1]} places, darker where two outputs differ "
        f"more. At the border {span(error[edge])}; inside at most "
        f"{number(inside.max(), least=1e-5)}.",
    )


def plot_readings(steps, stored, recomputed, *, live=None, title=None):
    """Test accuracy along training, read with running averages and with recomputed statistics.

    steps   (T,) steps
    stored, recomputed  (seeds, T) accuracy; the first seed is drawn bold
    live    (steps, stored, recomputed) of a run made here, drawn as black marks, or None

    Returns the two Axes.
    """
    _, axes = figure(1, 2, size=(8.4, 3.2), sharey=True)
    names = "running averages", "recomputed"
    for i, (ax, name, style, values) in enumerate(
        zip(axes, names, (STORED, RECOMPUTED), (stored, recomputed), strict=True)
    ):
        for seed in values[1:]:
            ax.plot(steps, seed, color="#bbbbbb", linestyle="-", linewidth=1.3)
        ax.plot(steps, values[0], **style)
        text = (
            f"Accuracy read with {name} from step {steps[0]} to {steps[-1]}, {len(values)} seeds: "
            f"mean {np.mean(values):.3f}, lowest {np.min(values):.2f}, spread of a seed "
            f"{span(values.std(axis=1))}."
        )
        if live is not None:
            ax.plot(
                live[0], live[1 + i], linestyle="none", marker=style["marker"], color="none",
                markeredgecolor="black", markeredgewidth=2.2, markersize=11, label="run here",
            )  # fmt: skip
            text += f" Black marks, run here: {', '.join(f'{v:.2f}' for v in live[1 + i])}."
        ax.set(xlabel="training steps", title=name)
        described(ax, text)
    axes[0].set_ylabel("share of test digits right")
    if live is not None:
        axes[1].legend(loc="lower right")
    return axes


def plot_tuning(rates, by_way, before, *, titles, live=None):
    """Accuracy after fine-tuning against the learning rate, one panel per shift.

    rates    one (R,) array per shift
    by_way   one dict way -> (R, seeds) per shift
    before   one (seeds, 2) per shift: untouched, and with statistics recomputed without labels
    titles   one str per shift
    live     None, or (panel, rate, dict way -> accuracy) of runs made here

    Returns the Axes.
    """
    fig, axes = figure(1, len(titles), size=(3.0 * len(titles), 3.6), sharey=True)
    for ax, x, ways, levels, title in zip(axes, rates, by_way, before, titles, strict=True):
        said = []
        for name, values in ways.items():
            middle = np.median(values, axis=1)
            ax.fill_between(x, values.min(axis=1), values.max(axis=1), color=WAYS[name]["color"],
                            alpha=0.15, linewidth=0)  # fmt: skip
            ax.plot(x, middle, label=name, **WAYS[name])
            numbers = ", ".join(f"{m:.2f} at {r:g}" for r, m in zip(x, middle, strict=True))
            said.append(f"{name}: medians {numbers}")
        untouched, recomputed = np.median(levels, axis=0)
        ax.axhline(untouched, color="#444444", linestyle=":", linewidth=1.8, label="untouched")
        ax.axhline(recomputed, color="#444444", linestyle="-.", linewidth=1.8,
                   label="recomputed, no labels")  # fmt: skip
        ax.set(ylim=(0, 1), xlabel="learning rate", title=title)
        rate_axis(ax, x)
        described(
            ax,
            f"{title}. {'; '.join(said)}. Horizontal lines: untouched {untouched:.2f}, with "
            f"statistics recomputed without labels {recomputed:.2f}.",
        )
    if live:
        panel, rate, found = live
        for name, value in found.items():
            axes[panel].plot(
                [rate], [value], marker=WAYS[name]["marker"], color="none", linestyle="none",
                markeredgecolor="black", markeredgewidth=2.4, markersize=14,
            )  # fmt: skip
    axes[0].set_ylabel("share of test digits right")
    marks = [WAYS[name]["marker"] for name in (live[2] if live else ())]
    legend_below(fig, *axes[0].get_legend_handles_labels(), ncols=3, live=marks)
    return axes


def plot_bits(bits, accuracy):
    """Accuracy against the bits of a weight, one scale for a tensor or one for each channel.

    bits      (B,) from many to few
    accuracy  (seeds, 2, 2, B): not folded and folded; one scale, one per channel

    Returns the Axes.
    """
    ax = figure(size=(7.2, 3.5))[1]
    looks = {
        "one scale, not folded": ((0, 0), "purple", 0, -0.12),
        "one scale, folded": ((1, 0), "orange", 1, -0.04),
        "per channel, not folded": ((0, 1), "sky", 2, 0.04),
        "per channel, folded": ((1, 1), "green", 3, 0.12),
    }
    said = []
    for label, (at, color, look, aside) in looks.items():
        values = accuracy[:, at[0], at[1]]
        middle = np.median(values, axis=0)
        ax.plot(bits, middle, color=COLORS[color], linestyle=LINESTYLES[look], label=label,
                marker="")  # fmt: skip
        for seed in values:
            ax.plot(np.add(bits, aside), seed, color=COLORS[color], marker=MARKERS[look],
                    linestyle="none", markersize=6)  # fmt: skip
        numbers = ", ".join(f"{m:.3f}" for m in middle)
        said.append(f"{label}: {numbers}")
    ax.set(xlim=(max(bits) + 0.5, min(bits) - 0.5), ylim=(0, 1), xlabel="bits of a weight",
           ylabel="share of test digits right")  # fmt: skip
    ax.set_xticks(bits)
    ax.legend(loc="lower left")
    return described(
        ax, f"Medians over the seeds at {listing(bits)} bits. {'; '.join(said)}. Marks are seeds."
    )


def plot_stall(curves, value=10.0):
    """Running means of batches whose mean is always the same, in bfloat16 and in float32.

    curves  dict momentum -> (bfloat16, float32), each (updates + 1,)

    Returns the Axes.
    """
    ax = figure(size=(8.4, 3.5))[1]
    said = []
    for look, (momentum, (narrow, wide)) in zip(OTHERS, curves.items(), strict=False):
        updates = np.arange(len(narrow))
        ax.plot(updates[1:], wide[1:], color=look["color"], linestyle=":", marker="", linewidth=2)
        ax.plot(updates[1:], narrow[1:], **look, markevery=0.12, markersize=9,
                label=f"momentum {momentum:g}")  # fmt: skip
        said.append(f"momentum {momentum:g}: {narrow[-1]:g} and {wide[-1]:.2f}")
    ax.axhline(value, color="#444444", linewidth=1.5, linestyle="-.")
    ax.set(xscale="log", xlabel="updates (dotted: float32)", ylabel="running mean in bfloat16",
           ylim=(0, 1.08 * value))  # fmt: skip
    ax.legend(loc="center left", bbox_to_anchor=(1.01, 0.5), handlelength=3)
    return described(
        ax,
        f"Running means of batches of mean {value:g}, after {len(updates) - 1:,} updates in "
        f"bfloat16 and float32. {'; '.join(said)}.",
    )


# ── the explorer's two panels ───────────────────────────────────────────────────────────────────


def draw_stopped(fig, runs):
    """The panels of the explorer and of its still twin; returns what moves in them."""
    left, right = fig.subplots(1, 2)
    steps = runs["steps"]
    left.plot(steps, runs["along_accuracy"][0, -1], label="recomputed", linestyle="--",
              color=RECOMPUTED["color"], marker="")  # fmt: skip
    (jagged,) = left.plot(steps, steps * 0.0, label="running average",
                          color=STORED["color"], linestyle="-", marker="")  # fmt: skip
    dots = [left.plot([0], [0], marker=style["marker"], markersize=13, color="none",
                      markeredgecolor="black", markeredgewidth=2.4)[0]
            for style in (STORED, RECOMPUTED)]  # fmt: skip
    left.set(xlabel="step where training stopped", ylabel="share of test digits right", ylim=(0, 1))
    left.legend(loc="lower right")
    lines, truth = [], runs["along_means"][0, -1]
    for i, (color, marker) in enumerate(CHANNELS.items()):
        right.plot(steps, truth[:, i], color=COLORS[color], linestyle=":", marker="", linewidth=1.6)
        lines += right.plot(
            steps, truth[:, i], color=COLORS[color], linestyle="-", linewidth=2.6, marker=marker,
            markevery=4, label=f"channel {runs['watched'][i]}",
        )  # fmt: skip
    now = right.axvline(0, color="black", linewidth=1.5)
    means = runs["along_means"][0]
    low, high = means.min(), means.max()
    right.set(
        xlabel="training steps (dotted: the truth)", ylabel="mean in the last layer",
        ylim=(low - 0.05 * (high - low), high + 0.25 * (high - low)),
    )  # fmt: skip
    right.legend(
        loc="upper center",
        ncols=3,
        fontsize=11,
        handlelength=1.2,
        handletextpad=0.4,
        columnspacing=0.9,
    )
    return SimpleNamespace(jagged=jagged, dots=dots, lines=lines, now=now)


def momentum_names(runs):
    """The running averages that the runs kept, in words, in their order."""
    return tuple(f"{m:g}" if m else "plain average" for m in runs["momenta"].round(6).tolist())


def set_stopped(art, runs, step, momentum):
    """Move the artists of draw_stopped; returns (stored, recomputed) accuracy at that step."""
    i, steps = momentum_names(runs).index(momentum), runs["steps"]
    at = int(np.flatnonzero(steps == step)[0])
    stored, recomputed = runs["along_accuracy"][0, i], runs["along_accuracy"][0, -1]
    art.jagged.set_ydata(stored)
    for dot, values in zip(art.dots, (stored, recomputed), strict=True):
        dot.set_data([step], [values[at]])
    for line, means in zip(art.lines, runs["along_means"][0, i].T, strict=True):
        line.set_data(steps[: at + 1], means[: at + 1])
    art.now.set_xdata([step, step])
    return float(stored[at]), float(recomputed[at])


def plot_stopped(runs, *, step=200, momentum="0.1"):
    """The explorer's picture at rest. Returns the two Axes."""
    fig = figure(size=(8.8, 3.3))[0]
    fig.clear()
    art = draw_stopped(fig, runs)
    stored, recomputed = set_stopped(art, runs, step, momentum)
    left, right = fig.axes
    i = momentum_names(runs).index(momentum)
    at = int(np.flatnonzero(runs["steps"] == step)[0])
    means, truth = runs["along_means"][0, [i, -1], at]
    described(
        left,
        f"Accuracy by the step where training stopped, momentum {momentum}. At step {step}: "
        f"{stored:.2f} with the running averages, {recomputed:.2f} recomputed.",
    )
    pairs = "; ".join(f"{a:.2f} and {b:.2f}" for a, b in zip(means, truth, strict=True))
    described(
        right,
        f"Three channels' running means in the last layer up to step {step}, and the truth at "
        f"every step, dotted. At step {step}, running and true: {pairs}.",
    )
    return left, right
