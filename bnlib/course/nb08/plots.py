"""Plots of notebook 08: the same net with and without Batch Normalization."""

import copy

import numpy as np
from matplotlib.lines import Line2D

from bnlib.course.kit.figures import described
from bnlib.course.kit.plots import course_of, figure, title_over_all
from bnlib.course.kit.style import NETS, look
from bnlib.course.kit.words import number, span, spoken


def plot_figure1(steps, accuracy, *, live=None, title=None):
    """Test accuracy of both nets over a long training: the start, and the whole length.

    steps     (T,) training steps, 0 first
    accuracy  (2, seeds, T) shares 0..1, without and with Batch Normalization
    live      (steps, (2, t) accuracy) of a run made here, drawn as dots, or None

    Left, the first 3,000 steps on a logarithmic axis; right, all of them, cut at 0.9. A line is
    the median over the seeds, its band reaches from the worst to the best. Returns the Axes.
    """
    fig, (left, right) = figure(1, 2, size=(9.4, 4.2), width_ratios=[1, 1.15])
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
    if live is not None:
        handles.append(Line2D([], [], color="#666666", marker="D", linestyle="none"))
        labels.append("marks: run here, one seed")
    fig.legend(handles, labels, loc="outside lower center", ncols=3)
    right.set(xlim=(0, steps[-1]), ylim=(0.9, 0.96), xlabel="training step")
    right.set_title(f"all {steps[-1]:,}, from 0.90 up")
    right.set_xticks([0, 25_000, 50_000], ["0", "25,000", "50,000"])
    title_over_all(fig, title)
    early = np.asarray(steps) <= 3000
    told = []
    for label, runs in zip(NETS, np.asarray(accuracy, float), strict=True):
        middle = np.median(runs, axis=0)
        soon = steps[np.argmax(middle >= 0.88)] if middle.max() >= 0.88 else None
        told.append(
            f"{label}, in the first 3,000: {course_of(steps[early], middle[early])} "
            + (f"It first passes 0.88 at step {soon:,}; " if soon else "It never passes 0.88; ")
            + f"at the end it is at {number(middle[-1], 3)}."
        )
    described(
        fig,
        f"Test accuracy without and with BN, median and range of {len(accuracy[0])} seeds; left "
        f"the first 3,000 steps, right all {steps[-1]:,}, from 0.90 up. {' '.join(told)}"
        + (" Marks of a run made here lie beside the curves." if live is not None else ""),
    )
    return np.array([left, right])


def plot_unit_bands(steps, bands, *, title=None):
    """Inputs of the last hidden layer's sigmoids over training, without and with BN.

    steps  (T,) training steps
    bands  (2, T, 3, D) the 15th, 50th and 85th percentile of each unit's input over the examples

    A thin line is the median of one unit, every fourth being drawn; the band and its middle line
    are the median over all units of each of the three percentiles. Returns the Axes.
    """
    fig, axes = figure(1, 2, size=(10.0, 4.6), sharey=True)
    told = []
    for ax, (label, style), percentiles in zip(axes, NETS.items(), bands, strict=True):
        percentiles = np.asarray(percentiles, np.float64)
        lines = ax.plot(
            steps,
            percentiles[:, 1, ::4],
            color="#8c8c8c",
            linestyle="-",
            linewidth=0.8,
            zorder=2.5,
            antialiased=False,
        )
        lines[0].set_label("median of one unit")
        low, middle, high = np.median(percentiles, axis=2).T
        ax.fill_between(
            steps,
            low,
            high,
            color=style["color"],
            alpha=0.3,
            linewidth=0,
            zorder=2,
            label="15th to 85th percentile, typical unit",
        )
        ax.plot(
            steps,
            middle,
            **style | {"marker": ""},
            zorder=3,
            label="middle of all medians",
        )
        wander = np.ptp(percentiles[:, 1], axis=0).max()
        told.append(
            f"{label}: the band is {span([low[0], high[0]])} at first and "
            f"{span([low[-1], high[-1]])} at the end; the median of one unit wanders over "
            f"{number(wander)}, of the others over less."
        )
        ax.set(xlabel="training step", title=label)
        ax.set_xticks([0, steps[-1] // 2, steps[-1]])
        ax.xaxis.set_major_formatter("{x:,.0f}")
    axes[0].set_ylabel("x, input of the last sigmoids")
    handles, labels = axes[0].get_legend_handles_labels()
    for i, handle in enumerate(handles[1:], 1):  # the same for both nets, so in neither's colour
        handles[i] = copy.copy(handle)
        handles[i].set_color("#666666")
    fig.legend(handles, labels, loc="outside lower center", ncols=3)
    title_over_all(fig, title)
    described(
        fig,
        f"Inputs of the last hidden layer's sigmoids over {steps[-1]:,} steps, the 15th to the "
        f"85th percentile of a typical unit as a band and thin lines for single units. "
        f"{' '.join(told)}",
    )
    return axes


def plot_over_rates(rates, panels, *, ylabel, log=False, ylim=None, title=None):
    """A result of several nets at each learning rate, one mark per seed, one panel a case.

    rates   (R,) learning rates, rising
    panels  dict panel title -> dict label -> (R, seeds) values; NaN where there is none
    ylabel  what the values are; log says whether their axis is logarithmic

    A line joins the medians over the seeds, and breaks where a seed has no value. Returns the Axes.
    """
    fig, axes = figure(1, len(panels), size=(9.8 if len(panels) > 1 else 6.5, 4.4), sharey=True)
    axes, told = np.atleast_1d(axes), []
    for ax, (name, results) in zip(axes, panels.items(), strict=True):
        for i, (label, values) in enumerate(results.items()):
            style, middle = look(label, i), np.median(values, axis=1)
            ax.plot(
                np.broadcast_to(np.asarray(rates)[:, None], values.shape),
                values,
                **style | {"linestyle": "none"},
                markersize=8,
                alpha=0.7,
                label=[label] + ["_"] * (values.shape[1] - 1),
            )
            ax.plot(rates, middle, **style | {"marker": ""})
            whole = np.isfinite(middle)
            told.append(
                f"{name}, {label}: " + _points(np.asarray(rates)[whole], middle[whole])
                if whole.any()
                else f"{name}, {label}: no seed has a value."
            )
        ax.set_xscale("log")
        ax.set_xticks(*_decades(rates))
        ax.minorticks_off()
        ax.set(xlabel="learning rate", xlim=(rates[0] / 1.4, rates[-1] * 1.4), title=name)
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
        f"{ylabel} against the learning rate, {span(rates)}, a logarithmic axis; a mark for each "
        f"seed, a line through the medians. {' '.join(told)}",
    )
    return axes


def _points(rates, middle):
    """Where a line of medians begins and ends, and how far its values reach."""
    return (
        f"from rate {number(rates[0])}, {number(middle[0])}, to rate {number(rates[-1])}, "
        f"{number(middle[-1])}, between them {span(middle)}."
    )


def _decades(rates):
    """Ticks and labels at the powers of ten among the rates."""
    decades = [rate for rate in rates if np.isclose(np.log10(rate) % 1, 0)]
    return decades, [f"{rate:g}" for rate in decades]


def plot_shares(groups, *, xlabel="share of test digits right", ax=None, title=None):
    """Results of several nets, one mark per seed and a bar at their mean.

    groups  dict label -> (seeds,) values, drawn from top to bottom; rows whose label begins with
            "BN" are blue squares, the others vermillion dots
    """
    ax = figure(size=(9.0, 0.55 * len(groups) + 1.3))[1] if ax is None else ax
    for row, (label, values) in enumerate(groups.items()):
        style = NETS["with BN" if label.startswith("BN") else "without BN"]
        ax.plot(np.mean(values), row, "|", markersize=26, markeredgewidth=2.5, color="#444444")
        ax.plot(
            values,
            np.full(len(values), row),
            **style | {"linestyle": "none"},
            alpha=0.75,
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
    return described(ax, f"{xlabel}, a mark for each seed. {' '.join(rows)}")
