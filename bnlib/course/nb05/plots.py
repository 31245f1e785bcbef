"""Plots of notebook 05: a layer as a data-flow picture, and placements compared."""

import numpy as np
from matplotlib.figure import Figure

from bnlib.course.kit.figures import described
from bnlib.course.kit.plots import (
    course_of,
    figure,
    plot_curves,
    plot_histograms,
    rate_axis,
    title_over_all,
)
from bnlib.course.kit.style import COLORS, HATCHES, look
from bnlib.course.kit.words import listing, number, span

FILLS = {"Linear": "#DDEBF7", "BatchNorm": "#FCE4D6", "ReLU": "#E2F0D9", "Sigmoid": "#E2F0D9"}


def plot_data_flow(models, *, size=(10.4, 6.0), title=None):
    """Layers side by side as boxes, with the values of the last call as histograms between them.

    models  dict label -> bnlib.numpy.Sequential that was called on a batch. What the longest one
            has and another lacks is left blank there, so that equal boxes stand below each other

    Returns the Figure.
    """
    fig = Figure(figsize=size, layout="constrained")
    longest = [_kind(layer) for layer in max(models.values(), key=len)]
    widths, told = [1.0, *[1.35, 1.0] * len(longest)], []
    bands = np.ravel(fig.subfigures(len(models), 1))
    for band, (label, model) in zip(bands, models.items(), strict=True):
        band.suptitle(label, fontsize=14, weight="bold", x=0.01, ha="left")
        axes = band.subplots(1, len(widths), width_ratios=widths)
        values = model.inputs[0]
        _small_histogram(axes[0], values, "", f"{len(values)} digits\n{values.shape}")
        flow = [*model.inputs[1 : len(model)], model.output]
        stages = (
            f"{_kind(layer)}, after which the mean is {number(_middle(values, np.mean))} and the "
            f"deviation {number(_middle(values, np.std))}"
            for layer, values in zip(model, flow, strict=True)
        )
        told.append(f"{label}: input, {', '.join(stages)}.")
        done = 0  # layers of this model that have been drawn
        for place, kind in enumerate(longest):
            missing = done == len(model) or _kind(model[done]) != kind
            if not missing:
                done += 1
                values = model.inputs[done] if done < len(model) else model.output
            _box(axes[2 * place + 1], kind, None if missing else model[done - 1])
            if missing:
                axes[2 * place + 2].set(xlim=(0, 1), ylim=(0, 1))
                axes[2 * place + 2].set_axis_off()
                [line] = axes[2 * place + 2].plot(
                    [-0.35, 1.35], [0.5, 0.5], color="#555555", linewidth=1.8, linestyle="-",
                    clip_on=False,
                )  # fmt: skip
                line.set_in_layout(False)  # it reaches into its neighbours, and may
            else:
                _small_histogram(axes[2 * place + 2], values, kind, "")
    if title:
        fig.suptitle(title, x=0.01, ha="left", fontsize=15, weight="bold")
    return described(
        fig,
        f"{len(models)} rows of boxes joined by arrows with histograms, and below each histogram "
        f"the mean and the deviation of the median unit. {' '.join(told)}",
    )


def plot_placements(steps, panels, *, size=(11.0, 4.4)):
    """Training curves of placements, a panel for each activation, and the gap at the end.

    steps   (T,) steps at which the test set was read
    panels  dict activation -> dict placement -> (seeds, T) test accuracy, 0..1; the placements
            "before" and "after" among them

    Returns the Figure.
    """
    fig, axes = figure(1, len(panels) + 1, size=size, width_ratios=[1.3] * len(panels) + [1.0])
    for ax, (name, curves) in zip(axes, panels.items(), strict=False):
        percent = {label: 100 * np.asarray(curve) for label, curve in curves.items()}
        plot_curves(steps, percent, xlabel="training step", ylabel="test accuracy (%)", ax=ax,
                    title=name)  # fmt: skip
        ax.set_ylim(50 if min(map(np.min, percent.values())) > 50 else 0, 100)
        ax.get_legend().set_visible(ax is axes[0])
    axes[0].get_legend().set_loc("lower right")
    gaps = [100 * (c["after"][:, -1] - c["before"][:, -1]) for c in panels.values()]
    axes[-1].axhline(0, color="#444444", linewidth=1.6)
    for place, gap in enumerate(gaps):
        beside = np.linspace(-0.12, 0.12, len(gap))  # so that equal gaps are all seen
        axes[-1].plot(
            place + beside, gap, color=COLORS["black"], marker="D", linestyle="none",
            markersize=9, label="one seed" if place == 0 else None,
        )  # fmt: skip
        axes[-1].plot([place - 0.22, place + 0.22], [np.median(gap)] * 2, color=COLORS["purple"],
                      linestyle="-", label="middle seed" if place == 0 else None)  # fmt: skip
    axes[-1].set_xticks(range(len(panels)), list(panels))
    axes[-1].set(xlim=(-0.5, len(panels) - 0.5), ylabel="after − before (points)")
    axes[-1].set_title("gap at the end")
    far = max(1.5, 1.2 * np.max(np.abs(gaps)))
    axes[-1].set_ylim(-far, far)
    axes[-1].legend(loc="upper left")
    told = (
        f"{name}, {label}: {course_of(steps, 100 * np.asarray(curve))}"
        for name, curves in panels.items()
        for label, curve in curves.items()
    )
    ends = (f"{span(gap)} for {name}" for name, gap in zip(panels, gaps, strict=True))
    return described(
        fig,
        f"Test accuracy in percent over {steps[-1]} steps, a panel for each activation. "
        f"{' '.join(told)} The last panel shows the gap at the end in points, after minus before, "
        f"a dot for each seed: {listing(ends)}.",
    )


def plot_gains(flows, *, size=(10.2, 5.2), span=5.0):
    """What a layer hands on, a row for each factor on its weights, a column for each placement.

    flows  dict factor -> dict placement -> values; values beyond ±span are not shown, and a bar
           taller than twice the next one is cut, with its share written beside it
    """
    fig, axes = figure(len(flows), len(next(iter(flows.values()))), size=size)
    edges = np.linspace(-span, span, 61)
    for row, (gain, flow) in zip(axes, flows.items(), strict=True):
        for ax, (name, values) in zip(row, flow.items(), strict=True):
            share = 100 * np.histogram(values, edges)[0] / values.size
            second, top = np.sort(share)[-2:]
            ax.stairs(share, edges, fill=True, color=COLORS["blue"])
            if top > 2 * second:
                ax.set_ylim(0, 1.6 * second)
                ax.text(edges[share.argmax()] - 0.3, 1.5 * second, f"{top:.0f} % \u2191",
                        ha="right", va="top")  # fmt: skip
            ax.set(xlim=(-span, span), xticks=[-4, 0, 4])
            ax.locator_params(axis="y", nbins=3)
            ax.set_title(name if ax in axes[0] else "")
        row[0].set_ylabel(f"weights × {gain}\nvalues (%)")
    for ax in axes[-1]:
        ax.set_xlabel("value (no unit)")
    title_over_all(fig, "What the next layer receives, for two sizes of the weights")
    rows = (
        f"Weights times {gain}: "
        f"{listing(f'deviation {number(np.std(v))} with {name}' for name, v in flow.items())}."
        for gain, flow in flows.items()
    )
    return described(
        fig, f"{len(flows)} rows of histograms of what the layer hands on. {' '.join(rows)}"
    )


def plot_premise(panels, *, size=(10.2, 4.2)):
    """Histograms of a quantity of each unit, before and after its ReLU, a panel for each quantity.

    panels  dict axis label -> (before, after, upper end of the axis); NaN is left out
    """
    fig, axes = figure(1, len(panels), size=size)
    for ax, (label, (before, after, high)) in zip(axes, panels.items(), strict=True):
        before, after = (v[np.isfinite(v)] for v in (before, after))
        plot_histograms(before, after, labels=["before ReLU", "after ReLU"], xlabel=label,
                        bins=25, range=(0, high), ax=ax)  # fmt: skip
        ax.set_ylabel("density of units")
    title_over_all(fig, "The units around a ReLU during training")
    return axes


def plot_one_rate(places, *, rate, size=(6.0, 4.2)):
    """Test accuracy of two nets at one rate, a mark for each seed: a figure with something wrong.

    places  dict placement -> (seeds,) shares 0..1
    """
    _, ax = figure(size=size)
    for i, (place, values) in enumerate(places.items()):
        style = look(place, i) | {"linestyle": "none"}
        beside = np.linspace(-0.15, 0.15, len(values))  # so that equal seeds are all seen
        ax.plot(i + beside, 100 * values, **style, markersize=10)
    ax.set_xticks(range(len(places)), [f"BN {place}" for place in places])
    ax.set(xlim=(-0.6, len(places) - 0.4), ylim=(0, 100), ylabel="test accuracy (%)")
    ax.set_title(f"Sigmoid net, learning rate {rate:g}")
    told = (f"BN {place}: {span(100 * values)}." for place, values in places.items())
    return described(
        ax, f"Test accuracy in percent at learning rate {rate:g}, each seed. {' '.join(told)}"
    )


def plot_over_rates(rates, panels, *, size=(10.2, 4.4)):
    """Test accuracy at each learning rate, a mark for each seed, a panel for each activation.

    rates   (R,) learning rates, rising
    panels  dict activation -> dict placement -> (R, seeds) shares 0..1; a line joins the medians
    """
    fig, axes = figure(1, len(panels), size=size, sharey=True)
    told = []
    for ax, (activation, nets) in zip(axes, panels.items(), strict=True):
        for i, (place, values) in enumerate(nets.items()):
            style, percent = look(place, i), 100 * np.asarray(values)
            each = np.broadcast_to(np.asarray(rates)[:, None], percent.shape)
            ax.plot(each.ravel(), percent.ravel(), **style | {"linestyle": "none"}, alpha=0.6)
            ax.plot(rates, np.median(percent, axis=1), **style | {"marker": ""})
            ax.plot([], [], **style, label=place)
            at = (f"{span(row)} at {rate:g}" for rate, row in zip(rates, percent, strict=True))
            told.append(f"{activation}, {place}: {listing(at)}.")
        rate_axis(ax, rates)
        ax.set(xlabel="learning rate", ylim=(0, 100), title=activation)
    axes[0].set_ylabel("test accuracy (%)")
    fig.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=3)
    return described(
        fig,
        "Test accuracy in percent after 1,000 steps at each learning rate, smallest and largest of "
        f"the seeds. {' '.join(told)}",
    )


def plot_lengths(lengths, *, size=(10.2, 4.2)):
    """The length of the last β and that of the output layer's weights over the first steps.

    lengths  dict label -> (‖β‖, ‖W‖), each (steps,); the labels begin with "before" or "after"
    """
    fig, axes = figure(1, 2, size=size, sharey=True)
    told = []
    for k, (ax, name) in enumerate(zip(axes, ("‖β‖, last BN", "‖W‖, output layer"), strict=True)):
        for label, pair in lengths.items():
            steps = np.arange(1, len(pair[k]) + 1)
            ax.plot(steps, pair[k], **look(label.split()[0]), markevery=4, label=label)
            told.append(f"{name}, {label}: {course_of(steps, pair[k])}")
        ax.set(yscale="log", xlabel="training step", title=name)
    axes[0].set_ylabel("length (no unit)")
    axes[0].legend(loc="upper left")
    return described(fig, f"Two panels, logarithmic. {' '.join(told)}")


def _middle(values, of):
    """The median unit's mean or deviation, as the picture says it."""
    return round(float(np.median(of(values, axis=0))), 2)


def _kind(layer):
    return type(layer).__name__


def _box(ax, kind, layer):
    """An arrow, and on it a box with what the layer is and how many numbers it learns."""
    ax.set(xlim=(0, 1), ylim=(0, 1))
    ax.set_axis_off()
    head = "-" if layer is None else "-|>,head_width=0.3,head_length=0.6"
    arrow = {"arrowstyle": head, "color": "#555555", "lw": 1.8}
    ax.annotate("", (1.08, 0.5), (-0.08, 0.5), arrowprops=arrow, annotation_clip=False)
    if layer is None:
        return
    lines = [kind]
    if kind == "Linear":
        lines.append(f"{layer.in_features} → {layer.out_features}")
    learns = sum(parameter.size for parameter in layer.parameters().values())
    lines.append(f"learns {learns:,}")
    box = {"boxstyle": "round,pad=0.4", "facecolor": FILLS[kind], "edgecolor": "#333333"}
    ax.text(0.47, 0.5, "\n".join(lines), ha="center", va="center", fontsize=13, bbox=box)


def _small_histogram(ax, values, kind, label):
    low, high = (-0.05, 1.05) if kind == "" else (-3.0, 3.0)  # one scale for all but the input
    heights, edges = np.histogram(values, 40, (low, high))
    hatch = HATCHES[1] if kind == "BatchNorm" else ""
    ax.stairs(heights / heights.max(), edges, fill=True, color=COLORS["blue"], hatch=hatch,
              edgecolor="white")  # fmt: skip
    ax.set(yticks=[], ylim=(0, 1.1))
    ax.tick_params(labelsize=12)
    ax.set_xticks([0, 1] if kind == "" else [-2, 0, 2])
    ax.grid(False)
    ax.spines["left"].set_visible(False)
    ax.set_title(label, fontsize=13, weight="normal", loc="center")
    texts = (
        f"{name} {np.median(of(axis=0)):.2f}".replace("-0.00", "0.00").replace("-", "\u2212")
        for name, of in (("mean", values.mean), ("dev.", values.std))
    )
    ax.set_xlabel("\n".join(texts), fontsize=13)
