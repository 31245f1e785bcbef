"""Plots of notebook 08: the same net with and without Batch Normalization."""

import copy

import numpy as np
from matplotlib.legend_handler import HandlerTuple
from matplotlib.lines import Line2D

from bnlib.course.kit.figures import described
from bnlib.course.kit.plots import (
    course_of,
    figure,
    plot_accuracy_map,
    rate_axis,
    title_over_all,
)
from bnlib.course.kit.style import COLORS, NETS, look
from bnlib.course.kit.words import from_to, number, span, spoken


def plot_figure1(steps, accuracy, *, live=None, title=None):
    """Test accuracy of both nets over a long training: the start, and the whole length.

    steps     (T,) training steps, 0 first
    accuracy  (2, seeds, T) shares 0..1, without and with Batch Normalization
    live      (steps, (2, t) accuracy) of a run made here, drawn as dots, or None

    Left, the first 3,000 steps on a logarithmic axis; right, all of them, cut at 0.9. A line is
    the median over the seeds, its band reaches from the worst to the best. Returns the Axes.
    """
    fig, (left, right) = figure(1, 2, size=(9.0, 3.8), width_ratios=[1, 1.15])
    for i, (label, style) in enumerate(NETS.items()):
        low, middle, high = np.percentile(accuracy[i], (0, 50, 100), axis=0)
        for ax in (left, right):
            ax.fill_between(steps, low, high, color=style["color"], alpha=0.25, linewidth=0)
            ax.plot(steps, middle, **style | {"marker": ""}, label=label)
        if live is not None:
            left.plot(live[0], live[1][i], **style | {"linestyle": "none"}, label="_")
    left.set_xscale("log")
    left.set(xlim=(50, 3000), ylim=(0, 1), xlabel="training step", title="the first 3,000")
    left.set_xticks([50, 100, 300, 1000, 3000], ["50", "100", "300", "1,000", "3,000"])
    left.minorticks_off()
    left.set_ylabel("share of test digits right")
    handles, labels = left.get_legend_handles_labels()
    marks = {}
    if live is not None:
        plain = {"color": "#666666", "linestyle": "none"}
        pair = [Line2D([], [], marker=style["marker"], **plain) for style in NETS.values()]
        handles.append(tuple(pair))
        labels.append("marks: run here, one seed")
        marks = {"handler_map": {tuple: HandlerTuple(ndivide=None)}}
    fig.legend(handles, labels, loc="outside lower center", ncols=3, **marks)
    right.set(xlim=(0, steps[-1]), ylim=(0.9, 0.96), xlabel="training step")
    right.set_title(f"all {steps[-1]:,}, from 0.90 up")
    right.set_xticks([0, 25_000, 50_000], ["0", "25,000", "50,000"])
    title_over_all(fig, title)
    told = (
        f"{label}: {course_of(steps, runs)}" for label, runs in zip(NETS, accuracy, strict=True)
    )
    described(
        fig,
        f"Test accuracy over training, median and range of {len(accuracy[0])} seeds: left the "
        f"first 3,000 steps, right all. {' '.join(told)}",
    )
    return np.array([left, right])


def plot_unit_moves(steps, bands, *, first=1000, title=None):
    """How far the inputs of the last hidden layer's sigmoids move, without and with BN.

    steps  (T,) training steps
    bands  (2, T, 3, D) the 15th, 50th and 85th percentile of each unit's input over the examples
    first  the step from which on units are drawn: each percentile minus the unit's median then

    A thin line is the median of one unit, every fourth being drawn; the band lies between the
    medians, over all units, of the two outer percentiles. Returns the Axes.
    """
    steps = np.asarray(steps)
    start = list(steps).index(first)
    steps, bands = steps[start:], np.asarray(bands, np.float64)[:, start:]
    fig, axes = figure(1, 2, size=(9.0, 4.0), sharey=True)
    told = []
    for i, (ax, (label, style)) in enumerate(zip(axes, NETS.items(), strict=True)):
        moved = bands[i] - bands[i, 0, 1]  # (T, 3, D)
        lines = ax.plot(
            steps,
            moved[:, 1, ::4],
            color="#6a6a6a",
            linestyle="-",
            linewidth=0.9,
            zorder=2.5,
            antialiased=False,
        )
        lines[0].set_label("median of one unit")
        ax.fill_between(
            steps,
            *np.median(moved[:, (0, 2)], axis=2).T,
            color=style["color"],
            alpha=0.3,
            linewidth=0,
            label="15th to 85th percentile, typical unit",
        )
        wide = np.ptp(np.median(moved[[0, -1]][:, (0, 2)], axis=2), axis=1)
        told.append(
            f"{label}: the band is {number(wide[0])} wide at first and {number(wide[1])} at the "
            f"end; the thin lines end {from_to(moved[-1, 1])}."
        )
        ax.set(xlabel="training step", title=label)
        ax.set_xticks([first, steps[-1] // 2, steps[-1]])
        ax.xaxis.set_major_formatter("{x:,.0f}")
    axes[0].set_ylabel(f"input − median\nat step {first:,}")
    handles, labels = axes[0].get_legend_handles_labels()
    handles[1] = copy.copy(handles[1])  # the same for both nets, so in neither's colour
    handles[1].set_color("#999999")
    fig.legend(handles, labels, loc="outside lower center", ncols=2)
    title_over_all(fig, title)
    described(
        fig,
        f"Inputs of the last hidden layer's sigmoids from step {first:,} to {steps[-1]:,}, each "
        f"unit minus its own median at the start: the band of a typical unit, and a thin line for "
        f"every fourth. {' '.join(told)}",
    )
    return axes


def plot_over_rates(rates, panels, *, ylabel, log=False, ylim=None, looks=(0, 1, 2), title=None):
    """A result of several nets at each learning rate, one mark per seed, one panel a case.

    rates   (R,) learning rates, rising
    panels  dict panel title -> dict label -> (R, seeds) values; NaN where there is none
    ylabel  what the values are; log says whether their axis is logarithmic
    looks   one for each label: 0 without BN, 1 with it, 2 another

    A line joins the medians over the seeds, and breaks where a seed has no value. Returns the Axes.
    """
    fig, axes = figure(1, len(panels), size=(9.0 if len(panels) > 1 else 6.0, 3.9), sharey=True)
    axes, told = np.atleast_1d(axes), []
    for ax, (name, results) in zip(axes, panels.items(), strict=True):
        for i, (label, values) in zip(looks, results.items(), strict=False):
            style = list(NETS.values())[i] if i < len(NETS) else look(label, i - len(NETS))
            middle = np.median(values, axis=1)
            ax.plot(
                np.broadcast_to(np.asarray(rates)[:, None], values.shape),
                values,
                **style | {"linestyle": "none"},
                markersize=6,
                label=[label] + ["_"] * (values.shape[1] - 1),
            )
            ax.plot(rates, middle, **style | {"marker": ""})
            there = np.isfinite(middle)
            told.append(
                f"{name}, {label}: " + _points(np.asarray(rates)[there], middle[there])
                if there.any()
                else f"{name}, {label}: no rate at which every seed has a value."
            )
        ax.set(xlabel="learning rate", xlim=(rates[0] / 1.4, rates[-1] * 1.4), title=name)
        rate_axis(ax, rates)
        if log:
            ax.set_yscale("log")
            ax.yaxis.set_major_formatter("{x:,.0f}")
            ax.set_yticks([30, 100, 300, 1000, 3000])
            ax.minorticks_off()
    axes[0].set(ylabel=ylabel, ylim=ylim)
    fig.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=3)
    title_over_all(fig, title)
    described(
        fig,
        f"{spoken(ylabel)} at each learning rate, a mark for each seed and a line through the "
        f"medians. {' '.join(told)}",
    )
    return axes


def _points(rates, middle):
    """Where a line of medians begins and ends, and how far its values reach."""
    return (
        f"from rate {number(rates[0])}, {number(middle[0])}, to rate {number(rates[-1])}, "
        f"{number(middle[-1])}, between them {span(middle)}."
    )


def plot_two_maps(without, with_bn, *, rates, stds, title=None):
    """Accuracy with BN over rates and scales of first weights; both nets' good cells are framed.

    without, with_bn  (S, R) shares 0..1, as in plot_accuracy_map; blue frame with, dashed without
    """
    _, ax = figure(size=(6.8, 3.9))
    return plot_accuracy_map(
        with_bn, rates=rates, stds=stds, other=without, color="blue", ax=ax, title=title
    )


def plot_shares(groups, *, xlabel="share of test digits right", ax=None, title=None):
    """Results of several nets, one mark per seed and a bar at their mean.

    groups  dict label -> (seeds,) values, drawn from top to bottom; rows whose label begins with
            "BN" are blue squares, the others vermillion dots
    """
    ax = figure(size=(9.0, 0.5 * len(groups) + 1.2))[1] if ax is None else ax
    for row, (label, values) in enumerate(groups.items()):
        style = NETS["with BN" if label.startswith("BN") else "without BN"]
        ax.plot(np.mean(values), row, "|", markersize=26, markeredgewidth=2.5, color="#444444")
        ax.plot(
            values,
            np.full(len(values), row),
            **style | {"linestyle": "none"},
        )
    ax.set_yticks(range(len(groups)), list(groups))
    ax.set_ylim(len(groups) - 0.5, -0.5)
    ax.set_xlabel(f"{xlabel} (a mark per seed; bar: mean)")
    ax.locator_params(axis="x", nbins=6)
    ax.grid(axis="y", visible=False)
    if title:
        ax.set_title(title)
    rows = (
        f"{spoken(label)}: mean {number(np.mean(values), 3)}, seeds {span(values, 3)}."
        for label, values in groups.items()
    )
    described(ax, f"{xlabel}, a mark for each seed. {' '.join(rows)}")
    return ax


def plot_leads(panels, *, title=None):
    """Differences between two nets, one mark per seed: right of 0 the net with BN is ahead.

    panels  dict label of the horizontal axis -> dict row label -> (seeds,) differences, drawn from
            top to bottom; blue squares lie right of 0, vermillion dots left of it; bar: mean

    Returns the Axes.
    """
    rows = max(len(groups) for groups in panels.values())
    size = (5.0 * len(panels) + (len(panels) == 1) * 2.0, 0.5 * rows + 1.7)
    fig, axes = figure(1, len(panels), size=size)
    axes = np.atleast_1d(axes)
    for ax, (label, groups) in zip(axes, panels.items(), strict=True):
        ax.axvline(0, color=COLORS["black"], linewidth=1.5, linestyle="-")
        for row, values in enumerate(map(np.asarray, groups.values())):
            ax.plot(values.mean(), row, "|", markersize=26, markeredgewidth=2.5, color="#444444")
            for ahead, style in enumerate(NETS.values()):
                part = values[(values > 0) == bool(ahead)]
                ax.plot(part, np.full(len(part), row), **style | {"linestyle": "none"})
        ax.set_yticks(range(len(groups)), list(groups))
        ax.set_ylim(len(groups) - 0.5, -0.5)
        reach = 1.15 * max(np.abs(values).max() for values in groups.values())
        ax.set(xlabel=label, xlim=(-reach, reach))
        ax.locator_params(axis="x", nbins=6)
        ax.grid(axis="y", visible=False)
        for side, text in ((0.0, "← BN behind"), (1.0, "BN ahead →")):
            ax.annotate(
                text,
                (side, 1.02),
                xycoords="axes fraction",
                ha="right" if side else "left",
                fontsize=12,
            )
    title_over_all(fig, title)
    rows = (
        f"{spoken(label)}, {spoken(name)}: {np.sum(np.asarray(values) > 0)} of {len(values)} seeds "
        f"ahead, {span(values)}."
        for label, groups in panels.items()
        for name, values in groups.items()
    )
    described(
        fig,
        f"By how much the net with BN is ahead (right of 0) or behind, a mark for each seed. "
        f"{' '.join(rows)}",
    )
    return axes


def plot_means_over_rates(rates, steps, *, title=None):
    """Steps needed at each learning rate, the mean over those seeds that got there: no marks.

    It hides what exercise 8.5 asks for: how many seeds stand behind a point.

    rates  (R,) learning rates, rising
    steps  (2 nets, R, seeds) steps, NaN where a run never got there

    Returns the Axes.
    """
    fig, ax = figure(size=(6.8, 3.8))
    there = np.isfinite(steps)
    counts = there.sum(axis=2)
    means = np.where(there, steps, 0).sum(axis=2) / np.where(counts, counts, np.nan)
    told = []
    for (label, style), mean in zip(NETS.items(), means, strict=True):
        ax.plot(rates, mean, **style, label=label)
        drawn = np.isfinite(mean)
        told.append(f"{label}: {_points(np.asarray(rates)[drawn], mean[drawn])}")
    rate_axis(ax, rates)
    ax.set_yscale("log")
    ax.set_yticks([50, 100, 300, 1000, 3000], ["50", "100", "300", "1,000", "3,000"])
    ax.minorticks_off()
    ax.set(xlabel="learning rate", ylabel="mean steps to 85 in 100")
    fig.legend(*ax.get_legend_handles_labels(), loc="outside lower center", ncols=2)
    title_over_all(fig, title)
    described(
        fig,
        f"Mean steps to 85 in 100 at each learning rate, both axes logarithmic. {' '.join(told)}",
    )
    return ax
