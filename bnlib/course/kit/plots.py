"""The plots that many notebooks need. Colour never carries a meaning alone."""

import numpy as np
from matplotlib.figure import Figure
from matplotlib.legend_handler import HandlerTuple
from matplotlib.lines import Line2D

from bnlib.course.kit.figures import described, figure_of
from bnlib.course.kit.style import COLORS, HATCHES, look
from bnlib.course.kit.words import from_to, listing, number, span, spoken


def figure(rows=1, cols=1, size=None, **subplots):
    """A figure outside pyplot, so that nothing is displayed by itself, and its axes.

    rows, cols  the grid of axes
    size        (width, height) in inches, 100 CSS pixels each; by default from the grid
    subplots    further arguments of Figure.subplots, such as sharex=True

    Returns (fig, axes): axes is one Axes when rows = cols = 1, else an array of them.
    """
    size = size or (min(4.6 * cols + 3.4 * (cols == 1), 11.0), 3.4 * rows + 1.1 * (rows == 1))
    fig = Figure(figsize=size, layout="constrained")
    return fig, fig.subplots(rows, cols, **subplots)


def title_over_all(fig, title):
    """Write the finding over all panels of a figure, or nothing where title is None."""
    if title:
        fig.suptitle(title, x=0.01, ha="left", weight="bold")


def legend_below(fig, handles, labels, *, ncols, live=()):
    """A legend under all panels, with an entry more for the outlines of runs made here.

    live  the markers of these outlines, which are black
    """
    markers = list(dict.fromkeys(live))
    if markers:
        size = max(7, min(11, 22 / len(markers)))  # of all of them side by side
        outlines = (
            Line2D([], [], linestyle="none", marker=marker, markersize=size, color="none",
                   markeredgecolor="black", markeredgewidth=2)
            for marker in markers
        )  # fmt: skip
        handles, labels = [*handles, tuple(outlines)], [*labels, "black: run here"]
    return fig.legend(
        handles,
        labels,
        loc="outside lower center",
        ncols=ncols,
        handlelength=max(2 + 0.2 * len(markers), 0.8 * len(markers)),
        columnspacing=1.4,
        handler_map={tuple: HandlerTuple(ndivide=None, pad=0)},
    )


def apart(heights, gap):
    """Heights in the same order, moved up or down until each two are a gap apart.

    heights  (n,) of labels at the ends of lines, all moved together as little as it takes

    >>> apart([0.2, 0.9, 0.2], 0.1)
    array([0.15, 0.9 , 0.25])
    """
    heights = np.asarray(heights, float)
    order = np.argsort(heights, kind="stable")
    groups = []  # [places in the order, middle] of those that would touch
    for place in order:
        groups.append([[place], heights[place]])
        while len(groups) > 1 and _touch(*groups[-2:], gap):
            upper, lower = groups.pop(), groups.pop()
            members = lower[0] + upper[0]
            groups.append([members, heights[members].mean()])
    moved = np.empty_like(heights)
    for members, middle in groups:
        moved[members] = middle + gap * (np.arange(len(members)) - (len(members) - 1) / 2)
    return moved


def _touch(lower, upper, gap):
    return upper[1] - lower[1] < gap * (len(lower[0]) + len(upper[0])) / 2 - 1e-12


def plot_histograms(*arrays, labels, xlabel, bins=40, range=None, ax=None, title=None):
    """Histograms of the same quantity over one set of bins, each with its own hatch and line.

    arrays   any shapes, flattened; heights are densities, so that sizes may differ
    labels   one str per array
    xlabel   symbol and unit, e.g. "x (grey level, 0 to 1)"
    bins     number of bins, or their edges
    range    (low, high) of the bins; by default from the smallest to the largest value

    Returns the Axes. Raises ValueError when labels and arrays differ in number.
    """
    _same_length("labels", labels, "arrays", arrays)
    ax = _axes(ax)
    arrays = [np.asarray(a, float).ravel() for a in arrays]
    edges = np.histogram_bin_edges(np.concatenate(arrays), bins, range)
    for i, (values, label) in enumerate(zip(arrays, labels, strict=True)):
        heights, _ = np.histogram(values, edges, density=True)
        style = look(label, i)
        ax.stairs(heights, edges, fill=True, facecolor=style["color"], alpha=0.25, edgecolor="none")
        ax.stairs(
            heights,
            edges,
            color=style["color"],
            linewidth=2.2,
            linestyle=style["linestyle"],
            hatch=HATCHES[i % len(HATCHES)],
            label=label,
        )
    told = []
    for values, label in zip(arrays, labels, strict=True):
        low, middle, high = np.percentile(values, (5, 50, 95))
        told.append(
            f"{spoken(label)}: {len(values):,} values, nine in ten of them {span([low, high])}, "
            f"the median {number(middle)}."
        )
    described(ax, f"Histograms of {spoken(xlabel)}. {' '.join(told)}")
    return _finish(ax, xlabel, "density", title, legend=len(arrays) > 1)


def plot_curves(
    x, curves, *, xlabel, ylabel, band=(0, 100), marks=None, looks=None, ax=None, title=None
):
    """Curves over x, told apart by colour, dashes and markers.

    x       (T,) array
    curves  dict label -> (T,) array, or (seeds, T): then the median with a band
    band    percentiles between which the band lies; (0, 100) covers all seeds
    marks   dict label -> height: horizontal dotted reference lines
    looks   dict label -> color, linestyle and marker, where kit.style.look is not to choose them
    xlabel, ylabel  symbol and unit

    Returns the Axes. Raises ValueError when a curve is not as long as x.
    """
    ax = _axes(ax)
    x = np.asarray(x)
    for i, (label, y) in enumerate(curves.items()):
        y = np.asarray(y, float)
        if y.ndim not in (1, 2) or y.shape[-1] != len(x):
            raise ValueError(
                f"curve {label!r} has shape {y.shape}; x of length {len(x)} needs "
                f"({len(x)},) or (seeds, {len(x)})"
            )
        style = (looks or {}).get(label) or look(label, i)
        if y.ndim == 2:
            low, high = np.percentile(y, band, axis=0)
            ax.fill_between(x, low, high, color=style["color"], alpha=0.2, linewidth=0)
            y = np.median(y, axis=0)
        often = max(1, len(x) // 10) if len(x) > 15 else 1
        ax.plot(x, y, **style, markevery=often, label=label)
    for label, height in (marks or {}).items():
        ax.axhline(height, color="#444444", linestyle=":", linewidth=1.8)
        ax.annotate(
            label,
            (1.0, height),
            xycoords=("axes fraction", "data"),
            xytext=(-4, 4),
            textcoords="offset points",
            ha="right",
            fontsize=12,
        )
    told = [f"{spoken(label)}: {course_of(x, y)}" for label, y in curves.items()]
    told += [
        f"A dotted line at {number(y)}: {spoken(label)}." for label, y in (marks or {}).items()
    ]
    described(ax, f"{spoken(ylabel)} against {spoken(xlabel)}. {' '.join(told)}")
    return _finish(ax, xlabel, ylabel, title, legend=len(curves) > 1)


def rate_axis(ax, rates):
    """Make the horizontal axis logarithmic, with a tick at every rate that was measured.

    rates  learning rates. Powers of ten are labelled first, then 3, 0.3 and so on, then the
           others, as far as there is room on the axis with the limits that it has now
    """
    rates = np.unique(np.asarray(rates, float))
    ax.set_xscale("log")
    low, high = np.log10(ax.get_xlim())
    grid, column = ax.get_subplotspec().get_gridspec(), ax.get_subplotspec().colspan.start
    shares = np.ones(grid.ncols) if (ratios := grid.get_width_ratios()) is None else ratios
    inches = 0.8 * figure_of(ax).get_figwidth() * shares[column] / np.sum(shares)
    places = (np.log10(rates) - low) / (high - low) * inches
    texts = [f"{rate:g}" for rate in rates]
    widths = [0.115 * len(text) + 0.08 for text in texts]  # of 13 points, and a gap
    first = {"1": 0, "3": 1}  # by the leading digit
    shown = []
    for i in sorted(range(len(rates)), key=lambda i: first.get(f"{rates[i]:e}"[0], 2)):
        if all(abs(places[i] - places[j]) > (widths[i] + widths[j]) / 2 for j in shown):
            shown.append(i)
    ax.set_xticks(rates, [text if i in shown else "" for i, text in enumerate(texts)])
    ax.minorticks_off()


def course_of(x, y, digits=2):
    """A curve in words: its height at five places along x, of several runs the median."""
    x, y = np.asarray(x), np.asarray(y, float)
    runs = f", median of {len(y)} runs" if y.ndim == 2 else ""
    y = np.median(y, axis=0) if y.ndim == 2 else y
    places = np.unique(np.linspace(0, len(x) - 1, 5).round().astype(int))
    heights = [f"{number(y[i], digits, least=1e-5)} at {number(x[i], 4)}" for i in places]
    return f"{listing(heights)}{runs}."


def plot_twins(steps, curves, *, title=None, ax=None):
    """Two curves that should be one: the first broad and pale, the second thin on top of it.

    steps   (T,) training steps
    curves  dict of two: label -> (T,) training loss
    """
    ax = figure()[1] if ax is None else ax
    (first, pale), (second, thin) = curves.items()
    ax.plot(steps, pale, color=COLORS["orange"], linestyle="-", linewidth=9, alpha=0.5, label=first)
    ax.plot(steps, thin, color=COLORS["black"], linestyle="-", linewidth=1.8, label=second)
    ax.set(xlabel="training step", ylabel="training loss (nats)", ylim=(0, None))
    ax.set_title(title or "Training loss, one on top of the other")
    ax.legend()
    apart = max(abs(a - b) for a, b in zip(pale, thin, strict=True))
    near = "less than 0.001" if apart < 0.001 else number(apart)  # rounding is every machine's own
    return described(
        ax,
        f"Training loss: {first} as a broad pale line, {second} as a thin dark one on top of it. "
        f"{first}: {course_of(steps, pale)} The two are {near} apart at most.",
    )


def plot_heatmap(
    values, *, rows, cols, xlabel, ylabel, zlabel, fmt="{:.2f}", vmin=None, vmax=None,
    cmap="cividis", ax=None, title=None,
):  # fmt: skip
    """A table as coloured cells with the number written in each.

    values  (R, C) array; NaN cells say "NaN" on grey
    rows    R tick labels, from top to bottom; cols  C tick labels
    xlabel, ylabel, zlabel  symbol and unit of columns, rows and colour
    fmt     how a number is written, e.g. "{:.0%}"; None writes none

    Returns the Axes. Raises ValueError when rows or cols do not fit values.
    """
    values = np.asarray(values, float)
    if values.shape != (len(rows), len(cols)):
        raise ValueError(
            f"values has shape {values.shape}; {len(rows)} rows and {len(cols)} cols need "
            f"({len(rows)}, {len(cols)})"
        )
    ax = _axes(ax)
    ax.set_facecolor("#cccccc")  # where NaN leaves a cell out
    image = ax.imshow(values, cmap=cmap, vmin=vmin, vmax=vmax, aspect="auto")
    ax.set_xticks(np.arange(len(cols)), [str(c) for c in cols])
    ax.set_yticks(np.arange(len(rows)), [str(r) for r in rows])
    ax.grid(False)
    ax.spines[:].set_visible(False)
    ax.tick_params(length=0)
    if fmt:
        for r, c in np.ndindex(values.shape):
            text = fmt.format(values[r, c]) if np.isfinite(values[r, c]) else "NaN"
            text = text.replace("-", "\N{MINUS SIGN}")
            ax.text(c, r, text, ha="center", va="center", color=_ink(image, values[r, c]))
    bar = ax.figure.colorbar(image, ax=ax, label=zlabel)
    bar.outline.set_visible(False)
    least, most = (
        np.unravel_index(find(values), values.shape) for find in (np.nanargmin, np.nanargmax)
    )
    described(
        ax,
        f"A table of {spoken(zlabel)}: {len(rows)} rows, {spoken(ylabel)} {rows[0]} to {rows[-1]}, "
        f"and {len(cols)} columns, {spoken(xlabel)} {cols[0]} to {cols[-1]}. The largest value, "
        f"{number(values[most])}, stands in row {rows[most[0]]}, column {cols[most[1]]}; the "
        f"smallest, {number(values[least])}, in row {rows[least[0]]}, column {cols[least[1]]}.",
    )
    return _finish(ax, xlabel, ylabel, title, legend=False)


def plot_digits(images, labels=None, *, cols=None, vmin=None, vmax=None, ax=None, title=None):
    """Images side by side on one grid, dark ink on white, each with its label below.

    images  (K, H, W) or (K, 784); numbers of any range (0 is white) unless vmin, vmax say so
    labels  K values or None

    Returns the Axes. Raises ValueError when labels and images differ in number.
    """
    images = np.asarray(images, float)
    if images.ndim == 2:
        side = round(images.shape[1] ** 0.5)
        images = images.reshape(len(images), side, -1)
    count, height, width = images.shape
    if labels is not None:
        _same_length("labels", labels, "images", images)
    cols = cols or min(count, 10)
    rows = -(-count // cols)
    if ax is None:
        _, ax = figure(size=(min(8.0, 1.1 * cols), (1.1 + 0.32 * (labels is not None)) * rows))
    gap, foot = width // 7, (height // 3 if labels is not None else height // 7)
    vmin = images.min() if vmin is None else vmin
    vmax = images.max() if vmax is None else vmax
    for i, image in enumerate(images):
        left, top = (i % cols) * (width + gap), (i // cols) * (height + foot)
        ax.imshow(
            image,
            cmap="gray_r",
            vmin=vmin,
            vmax=vmax,
            extent=(left, left + width, top + height, top),
        )
        if labels is not None:
            ax.text(left + width / 2, top + height + foot * 0.45, str(labels[i]), ha="center",
                    va="center")  # fmt: skip
    ax.set_xlim(-gap / 2, cols * (width + gap) - gap / 2)
    ax.set_ylim(rows * (height + foot), -gap / 2)
    ax.set_axis_off()
    if title:
        ax.set_title(title)
    below = "" if labels is None else f" Below them stands: {listing(labels)}."
    return described(ax, f"{count} pictures in {rows} rows, dark ink on white.{below}")


def plot_accuracy_map(
    accuracy, *, rates, stds, good=0.85, other=None, color="vermillion", ax=None, title=None
):
    """Test accuracy for each learning rate and scale of the first weights; good cells are framed.

    accuracy  (S, R) shares 0..1, one row per standard deviation, one column per learning rate
    rates     (R,) learning rates, rising
    stds      (S,) standard deviations of the weights at the start, rising; drawn upwards
    good      cells at least this accurate get a frame, of the colour that is named
    other     (S, R) another net's accuracies, whose good cells get a dashed frame, or None
    """
    accuracy = np.asarray(accuracy, float)
    ax = figure(size=(7.8, 4.5))[1] if ax is None else ax
    ax.imshow(accuracy, cmap="cividis", vmin=0, vmax=1, aspect="auto", origin="lower")
    for s, r in np.ndindex(accuracy.shape):
        value = accuracy[s, r]
        ax.text(
            r,
            s,
            f"{value:.2f}"[1:] if value < 0.995 else "1.0",
            ha="center",
            va="center",
            fontsize=13,
            color="white" if value < 0.55 else "black",
            weight="bold" if value >= good else "normal",
        )
    other = None if other is None else np.asarray(other)
    _frame(ax, accuracy >= good, color=COLORS[color], linestyle="-", linewidth=4)
    if other is not None:
        _frame(
            ax,
            other >= good,
            color=COLORS["vermillion"],
            linestyle=(0, (2, 1)),
            linewidth=4,
        )
    ax.set_xticks(range(len(rates)), [f"{rate:g}" for rate in rates])
    ax.set_yticks(range(len(stds)), [f"{std:g}" for std in stds])
    ax.set(xlabel="learning rate", ylabel="standard deviation\nof the weights at the start")
    ax.grid(False)
    ax.spines[:].set_visible(False)
    ax.tick_params(length=0)
    if title:
        ax.set_title(title)
    text = (
        f"Map of test accuracy over the learning rate, {span(rates)}, and the standard deviation "
        f"of the first weights, {span(stds)}. A frame holds the cells of {good:g} and more: "
        f"{_region(accuracy >= good, rates, stds)}."
    )
    if other is not None:
        text += f" A dashed frame holds the other net's: {_region(other >= good, rates, stds)}."
    return described(ax, text)


def _region(inside, rates, stds):
    """Which cells of a map a frame holds, in words."""
    rows, columns = np.nonzero(inside)
    if not len(rows):
        return f"none of {inside.size}"
    return (
        f"{len(rows)} of {inside.size}, {from_to(np.asarray(stds)[rows])} in the weights and "
        f"{span(np.asarray(rates)[columns])} in the rate"
    )


def _axes(ax):
    return figure()[1] if ax is None else ax


def _finish(ax, xlabel, ylabel, title, *, legend):
    ax.set_xlabel(xlabel)
    ax.set_ylabel(ylabel)
    if title:
        ax.set_title(title)
    if legend:
        ax.legend()
    return ax


def _ink(image, value):
    """Black or white, whichever reads better on the cell's colour."""
    red, green, blue, _ = image.cmap(image.norm(value)) if np.isfinite(value) else (1, 1, 1, 1)
    return "black" if 0.299 * red + 0.587 * green + 0.114 * blue > 0.5 else "white"


def _same_length(name, these, other, those):
    if len(these) != len(those):
        raise ValueError(f"{len(these)} {name} for {len(those)} {other}; each needs its own")


def _frame(ax, inside, **style):
    """A line along the border of the region where `inside` (rows, columns) is true."""
    padded = np.pad(inside, 1)
    for s, r in np.argwhere(inside):
        edges = {
            (0, -1): ([r - 0.5, r - 0.5], [s - 0.5, s + 0.5]),
            (0, 1): ([r + 0.5, r + 0.5], [s - 0.5, s + 0.5]),
            (-1, 0): ([r - 0.5, r + 0.5], [s - 0.5, s - 0.5]),
            (1, 0): ([r - 0.5, r + 0.5], [s + 0.5, s + 0.5]),
        }
        for (ds, dr), (xs, ys) in edges.items():
            if not padded[s + 1 + ds, r + 1 + dr]:
                ax.plot(xs, ys, clip_on=False, **style)
