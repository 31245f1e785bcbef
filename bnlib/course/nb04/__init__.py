"""The room of notebook 04, gamma and beta: what it draws, asks and lets play."""

from bnlib.course.nb04.explorer import GammaBeta
from bnlib.course.nb04.plots import (
    plot_accuracies,
    plot_learned,
    plot_sigmoid_inputs,
    plot_weight_scale,
)

__all__ = [
    "GammaBeta",
    "plot_accuracies",
    "plot_learned",
    "plot_sigmoid_inputs",
    "plot_weight_scale",
]
