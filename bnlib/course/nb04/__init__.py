"""The room of notebook 04, gamma and beta: what it draws, asks and lets play."""

from bnlib.course.nb04.experiments import (
    accuracies,
    dy_and_x_hat,
    equals_torch,
    gradients_by_steps,
    layer_with,
)
from bnlib.course.nb04.explorer import GammaBeta
from bnlib.course.nb04.plots import (
    plot_accuracies,
    plot_learned,
    plot_sigmoid_inputs,
    plot_weight_scale,
)

__all__ = [
    "GammaBeta",
    "accuracies",
    "dy_and_x_hat",
    "equals_torch",
    "gradients_by_steps",
    "layer_with",
    "plot_accuracies",
    "plot_learned",
    "plot_sigmoid_inputs",
    "plot_weight_scale",
]
