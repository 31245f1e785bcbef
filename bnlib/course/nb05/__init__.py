"""The room of notebook 05, where it goes: what it draws, asks and lets play."""

from bnlib.course.nb05.experiments import (
    around_relu,
    change_of_shape,
    curves,
    last_lengths,
    sigmoid_net,
    skewness,
)
from bnlib.course.nb05.explorer import LayerFlow
from bnlib.course.nb05.plots import (
    plot_data_flow,
    plot_gains,
    plot_lengths,
    plot_one_rate,
    plot_over_rates,
    plot_placements,
    plot_premise,
)

__all__ = [
    "LayerFlow",
    "around_relu",
    "change_of_shape",
    "curves",
    "last_lengths",
    "plot_data_flow",
    "plot_gains",
    "plot_lengths",
    "plot_one_rate",
    "plot_over_rates",
    "plot_placements",
    "plot_premise",
    "sigmoid_net",
    "skewness",
]
