"""Plots of notebook 09: the torch backend beside PyTorch's, and where sums are kept."""

from bnlib.course.kit.figures import described
from bnlib.course.kit.plots import course_of, figure
from bnlib.course.kit.style import COLORS
from bnlib.course.kit.words import number


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
    apart = max(abs(a - b) for a, b in zip(pale, thin, strict=True))
    near = "less than 0.001" if apart < 0.001 else number(apart)  # rounding is every machine's own
    return described(
        ax,
        f"Training loss: {first} as a broad pale line, {second} as a thin dark one on top of it. "
        f"{first}: {course_of(steps, pale)} The two are {near} apart at most.",
    )
