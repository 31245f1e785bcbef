"""Plots of notebook 09: the torch backend beside PyTorch's, and where sums are kept."""

from bnlib.course.explorers.half_precision import HalfPrecision
from bnlib.course.plots.general import figure
from bnlib.course.style import COLORS


def plot_twins(steps, curves, *, ax=None):
    """Two curves that should be one: the first broad and pale, the second thin on top of it.

    steps   (T,) training steps
    curves  dict of two: label -> (T,) training loss
    """
    ax = figure()[1] if ax is None else ax
    (first, pale), (second, thin) = curves.items()
    ax.plot(steps, pale, color=COLORS["orange"], linestyle="-", linewidth=9, alpha=0.5, label=first)
    ax.plot(steps, thin, color=COLORS["black"], linestyle="-", linewidth=1.8, label=second)
    ax.set(xlabel="training step", ylabel="training loss (nats)", ylim=(0, None))
    ax.set_title("Put one in the other's place: the same curve")
    ax.legend()
    return ax


def plot_half_precision(*, mean, format, size=(10.6, 4.6)):
    """Computed against exact x_hat, with the sums kept in 16 bits, and in 32.

    mean    of the data, whose deviation is 1
    format  "float16" or "bfloat16"

    Returns the Figure.
    """
    fig, axes = figure(1, 2, size=size, sharey=True)
    lost, right = f"Sums in {format}: x̂ is lost", "Sums in float32: x̂ is right"
    for ax, sums, title in zip(axes, ("the same format", "float32"), (lost, right), strict=True):
        explorer = HalfPrecision()
        art = explorer.draw_in(ax)
        explorer.update(art, mean=mean, format=format, sums=sums)
        ax.set_title(title)
    axes[1].set_ylabel("")
    return fig
