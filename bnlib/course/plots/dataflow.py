"""Plots of notebook 05: a layer as a data-flow picture, with live histograms on its arrows."""

import numpy as np
from matplotlib.figure import Figure

from bnlib.course.plots.general import figure
from bnlib.course.style import COLORS, HATCHES

FILLS = {"Linear": "#DDEBF7", "BatchNorm": "#FCE4D6", "ReLU": "#E2F0D9", "Sigmoid": "#E2F0D9"}


def plot_data_flow(models, *, size=(11.0, 5.6), title=None):
    """Layers side by side as boxes, with the values of the last call as histograms between them.

    models  dict label -> bnlib.numpy.Sequential that was called on a batch. What the longest one
            has and another lacks is left blank there, so that equal boxes stand below each other

    Returns the Figure.
    """
    fig = Figure(figsize=size, layout="constrained")
    longest = [_kind(layer) for layer in max(models.values(), key=len)]
    widths = [1.0, *[1.35, 1.0] * len(longest)]
    bands = np.ravel(fig.subfigures(len(models), 1))
    for band, (label, model) in zip(bands, models.items(), strict=True):
        band.suptitle(label, fontsize=14, weight="bold", x=0.01, ha="left")
        axes = band.subplots(1, len(widths), width_ratios=widths)
        values = model.inputs[0]
        _small_histogram(axes[0], values, "", f"{len(values)} digits\n{values.shape}")
        done = 0  # layers of this model that have been drawn
        for place, kind in enumerate(longest):
            missing = done == len(model) or _kind(model[done]) != kind
            if not missing:
                done += 1
                values = model.inputs[done] if done < len(model) else model.output
            _box(axes[2 * place + 1], kind, None if missing else model[done - 1])
            _small_histogram(axes[2 * place + 2], values, kind if not missing else "Linear", "")
    if title:
        fig.suptitle(title, x=0.01, ha="left", fontsize=15, weight="bold")
    return fig


def plot_placements(steps, panels, *, size=(10.6, 4.4)):
    """Training curves of several placements, one panel for each activation.

    steps   (T,) steps at which the test set was read
    panels  dict title -> dict placement -> (seeds, T) test accuracy, 0..1
    """
    from bnlib.course.plots.general import plot_curves

    fig, axes = figure(1, len(panels), size=size, sharey=True)
    for ax, (title, curves) in zip(np.ravel(axes), panels.items(), strict=True):
        percent = {label: 100 * np.asarray(curve) for label, curve in curves.items()}
        plot_curves(steps, percent, xlabel="training step", ylabel="test accuracy (%)", ax=ax,
                    title=title)  # fmt: skip
        ax.set_ylim(0, 100)
        ax.get_legend().remove()
    axes[0].legend(loc="lower right")
    axes[-1].set_ylabel("")
    return fig


def _kind(layer):
    return type(layer).__name__


def _box(ax, kind, layer):
    """An arrow, and on it a box with what the layer is and how many numbers it learns."""
    ax.set(xlim=(0, 1), ylim=(0, 1))
    ax.set_axis_off()
    arrow = {"arrowstyle": "-|>,head_width=0.3,head_length=0.6", "color": "#555555", "lw": 1.8}
    ax.annotate("", (1.08, 0.5), (-0.08, 0.5), arrowprops=arrow, annotation_clip=False)
    if layer is None:
        return
    lines = [kind]
    if kind == "Linear":
        lines.append(f"{layer.in_features} → {layer.out_features}")
    learns = sum(parameter.size for parameter in layer.parameters().values())
    lines.append(f"learns {learns:,}")
    box = {"boxstyle": "round,pad=0.4", "facecolor": FILLS[kind], "edgecolor": "#333333"}
    ax.text(0.47, 0.5, "\n".join(lines), ha="center", va="center", fontsize=12, bbox=box)


def _small_histogram(ax, values, kind, label):
    low, high = (-0.05, 1.05) if kind == "" else (-3.0, 3.0)  # one scale for all but the input
    heights, edges = np.histogram(values, 40, (low, high))
    hatch = HATCHES[1] if kind == "BatchNorm" else ""
    ax.stairs(heights / heights.max(), edges, fill=True, color=COLORS["blue"], hatch=hatch,
              edgecolor="white")  # fmt: skip
    ax.set(yticks=[], ylim=(0, 1.1))
    ax.tick_params(labelsize=10)
    ax.set_xticks([0, 1] if kind == "" else [-2, 0, 2])
    ax.grid(False)
    ax.spines["left"].set_visible(False)
    ax.set_title(label, fontsize=12, weight="normal")
    texts = (
        f"{name} {np.median(of(axis=0)):.2f}".replace("-0.00", "0.00").replace("-", "\u2212")
        for name, of in (("mean", values.mean), ("dev.", values.std))
    )
    ax.set_xlabel("\n".join(texts), fontsize=11)
