"""The room of notebook 06, the backward pass: what it draws, asks and lets play."""

from bnlib.course.kit.plots import plot_twins
from bnlib.course.nb06.experiments import (
    NODES,
    all_close,
    autograd_agrees,
    by_autograd,
    dx_without,
    moves_of_x_hat,
    own_layer,
    train_with_dropped_terms,
    walk_back,
    x_hat_slopes,
)
from bnlib.course.nb06.explorer import Nudge
from bnlib.course.nb06.plots import (
    plot_backward_graph,
    plot_dropped_terms,
    plot_gradient_error,
    plot_jacobian,
)

__all__ = [
    "NODES",
    "Nudge",
    "all_close",
    "autograd_agrees",
    "by_autograd",
    "dx_without",
    "moves_of_x_hat",
    "own_layer",
    "plot_backward_graph",
    "plot_dropped_terms",
    "plot_gradient_error",
    "plot_jacobian",
    "plot_twins",
    "train_with_dropped_terms",
    "walk_back",
    "x_hat_slopes",
]
