"""Plots of notebook 12: the shares of a batch, and what comes of normalizing each by itself."""

import numpy as np

from bnlib.course.kit.figures import described
from bnlib.course.kit.plots import figure
from bnlib.course.kit.style import COLORS, MARKERS, OTHERS
from bnlib.course.kit.words import listing, number, span

# The joint batch -> how its line looks.
LOOKS = dict(zip((16, 32, 64), OTHERS, strict=True))
MOST = 8  # devices


def draw_shares(ax, values):
    """The lasting part of a picture of shares: axes for `move_shares`. Returns its artists."""
    low, high = values.min(), values.max()
    room = 0.06 * (high - low)
    (joint,) = ax.plot([0, 0], [0, 1], color="black", linestyle="--", linewidth=2.2,
                       label="mean of the joint batch")  # fmt: skip
    (dots,) = ax.plot([], [], marker="|", linestyle="none", color="#8a8a8a", markersize=11,
                      markeredgewidth=1.6, label="a digit's value")  # fmt: skip
    (means,) = ax.plot([], [], marker="o", linestyle="none", color=COLORS["sky"], markersize=11,
                       markeredgecolor="black", label="mean of the share")  # fmt: skip
    ax.set(xlim=(low - room, high + room), ylim=(MOST + 0.6, 0.4), xlabel="x of one unit")
    ax.set_yticks(range(1, MOST + 1), [f"{i}" for i in range(MOST)])
    ax.locator_params(axis="x", nbins=5)
    ax.set_ylabel("rank")
    return joint, dots, means


def move_shares(artists, values, devices):
    """Show a joint batch (N,) cut into shares. Returns the shares' means."""
    joint, dots, means = artists
    shares = np.array_split(values, devices)
    rows = np.arange(1, devices + 1)
    of_shares = np.array([share.mean() for share in shares])
    joint.set_data([values.mean()] * 2, [0.5, devices + 0.5])
    dots.set_data(values, np.repeat(rows, [len(share) for share in shares]))
    means.set_data(of_shares, rows)
    return of_shares


def plot_shares(values, devices=8, *, ax=None):
    """A joint batch of one unit's values, a row for each rank's share, and the shares' means.

    values   (N,)
    devices  into how many shares, one after the other, they are cut

    Returns the Axes.
    """
    values = np.asarray(values)
    ax = figure(size=(8.4, 4.4))[1] if ax is None else ax
    means = move_shares(draw_shares(ax, values), values, devices)
    ax.set_ylim(devices + 0.6, 0.4)
    ax.figure.legend(loc="outside lower center", ncols=3)
    return described(
        ax,
        f"{devices} rows, one a rank, of {len(values) // devices} values each. The mean of the "
        f"joint batch is {number(values.mean())}, the shares' means are "
        f"{listing(number(mean) for mean in means)}.",
    )


def draw_accuracy(ax, accuracy, batches, devices):
    """Accuracy against digits per device, a line for each joint batch. Returns the sentences."""
    said = []
    for batch, of_batch in zip(batches, accuracy, strict=True):
        digits = batch // np.asarray(devices)
        middle = np.median(of_batch, axis=-1)
        low, high = of_batch.min(axis=-1), of_batch.max(axis=-1)
        look = LOOKS[int(batch)]
        ax.fill_between(digits, low, high, color=look["color"], alpha=0.14, linewidth=0)
        ax.plot(digits, middle, label=f"joint batch {batch}", **look)
        found = ", ".join(f"{m:.2f} with {d}" for m, d in zip(middle, digits, strict=True))
        said.append(f"joint batch {batch}: {found}")
    ax.set_xscale("log")
    ticks = [2, 4, 8, 16, 32, 64]
    ax.set_xticks(ticks, [f"{t}" for t in ticks])
    ax.minorticks_off()
    ax.set(ylim=(0.55, 1), xlabel="digits per device")
    return said


def plot_devices(mlp, conv, batches, devices, *, live=()):
    """Accuracy against digits per device, without synchronizing: the MLP left, the conv net right.

    mlp, conv  (batches, devices, seeds) shares 0..1
    live       (digits per device, accuracy) of MLPs trained here, drawn as black rings

    A line joins the medians, a band holds all seeds; the right end of a line is one device.
    Returns the Axes.
    """
    fig, axes = figure(1, 2, size=(9.6, 4.4), sharey=True)
    for ax, name, accuracy in zip(axes, ("MLP", "convolutional net"), (mlp, conv), strict=True):
        said = draw_accuracy(ax, accuracy, batches, devices)
        ax.set_title(name)
        described(ax, f"{name}, medians by digits per device. {'; '.join(said)}.")
    for digits, value in live:
        axes[0].plot([digits], [value], marker="o", markersize=16, color="none", linestyle="none",
                     markeredgecolor="black", markeredgewidth=2.4, zorder=5)  # fmt: skip
    axes[0].set_ylabel("share of test digits right")
    handles, labels = axes[0].get_legend_handles_labels()
    if live:
        (ring,) = axes[1].plot([], [], marker="o", markersize=11, color="none", linestyle="none",
                               markeredgecolor="black", markeredgewidth=2.4)  # fmt: skip
        handles, labels = [*handles, ring], [*labels, "trained here"]
    fig.legend(handles, labels, loc="outside lower center", ncols=4, handlelength=3.5)
    return axes


def plot_points_lost(lost, steps):
    """Points that two digits per device cost, as training goes on: a hollow mark is one seed.

    lost   dict name of a net -> (steps, seeds), shares 0..1
    steps  dict name of a net -> (steps,) at which it was read

    A line joins the medians.
    Returns the Axes.
    """
    ax = figure(size=(7.6, 4.2))[1]
    said = []
    for (name, values), look in zip(lost.items(), OTHERS, strict=False):
        at, middle = steps[name], 100 * np.median(values, axis=1)
        ax.plot(at, middle, **look, markersize=10, label=f"{name}, median")
        ax.plot(np.repeat(at, values.shape[1]), 100 * values.ravel(), linestyle="none",
                marker=look["marker"], color="white", markeredgecolor=look["color"], markersize=6,
                markeredgewidth=1.8, label="one seed")  # fmt: skip
        found = ", ".join(f"{number(m)} after {s}" for m, s in zip(middle, at, strict=True))
        said.append(f"{name}: {found} steps")
    ax.axhline(0, color="#888888", linewidth=1.2, linestyle="-")
    ax.set(xlabel="step", ylabel="points behind one device", ylim=(-3, None), xlim=(0, None))
    ax.figure.legend(loc="outside lower center", ncols=2, handlelength=3.5)
    return described(ax, f"Points lost with two digits per device, medians. {'; '.join(said)}.")


def plot_strips(groups, *, xlabel, xlim=(0, 1)):
    """One row of marks per group: a mark a seed, a bar at the median.

    groups  dict label -> (seeds,) shares 0..1

    Returns the Axes.
    """
    ax = figure(size=(8.6, 0.75 * len(groups) + 1.3))[1]
    for row, values in enumerate(groups.values()):
        ax.plot(values, np.full(len(values), row), linestyle="none", marker=MARKERS[row % 4],
                color=COLORS["blue"], alpha=0.7)  # fmt: skip
        ax.plot([np.median(values)] * 2, [row - 0.3, row + 0.3], color="black", linewidth=2.6,
                linestyle="-")  # fmt: skip
    ax.set_yticks(range(len(groups)), list(groups))
    ax.set(xlim=xlim, ylim=(len(groups) - 0.5, -0.5), xlabel=xlabel)
    said = "; ".join(f"{label}: {number(np.median(v))} ({span(v)})" for label, v in groups.items())
    return described(ax, f"A row of marks each, one per seed, a bar at the median. {said}.")
