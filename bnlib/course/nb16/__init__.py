"""The room of notebook 16, the capstone: what it draws, asks and lets play.

The nets are in bnlib.course.nb16.nets, which needs torch and is imported on its own.
"""

from bnlib.course.nb16.explorer import Routes
from bnlib.course.nb16.plots import (
    FLOAT32_STEP,
    GROWTH,
    plot_gradients,
    plot_reached,
    plot_relu,
    plot_routes,
    plot_spread,
)
from bnlib.course.nb16.reports import all_points, model_report
from bnlib.course.nb16.runs import (
    best_means,
    plain_by_net,
    relu_at_best_rates,
    relu_runs,
    route_of,
    stored_runs,
)

__all__ = [
    "FLOAT32_STEP",
    "GROWTH",
    "Routes",
    "all_points",
    "best_means",
    "model_report",
    "plain_by_net",
    "plot_gradients",
    "plot_reached",
    "plot_relu",
    "plot_routes",
    "plot_spread",
    "relu_at_best_rates",
    "relu_runs",
    "route_of",
    "stored_runs",
]
