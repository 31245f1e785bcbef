"""The room of notebook 06, the backward pass: what it draws, asks and lets play."""

from bnlib.course.nb06.explorer import Nudge
from bnlib.course.nb06.plots import (
    plot_backward_graph,
    plot_gradient_error,
    plot_jacobian,
    plot_two_gradients,
)

__all__ = [
    "Nudge",
    "plot_backward_graph",
    "plot_gradient_error",
    "plot_jacobian",
    "plot_two_gradients",
]
