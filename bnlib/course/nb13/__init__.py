"""The room of notebook 13, why does it work? What it draws, asks and lets play.

The nets are in bnlib.course.nb13.nets, which needs torch and is imported on its own.
"""

from bnlib.course.kit.runs import at_best_rate, best_rate
from bnlib.course.nb13.depth import down_the_net, factor_per_layer, in_a_wide_net
from bnlib.course.nb13.explorer import DownTheNet
from bnlib.course.nb13.plots import (
    plot_down,
    plot_drift,
    plot_one_step,
    plot_parts,
    plot_rates,
    plot_shift,
    plot_turning,
    plot_variances,
)
from bnlib.course.nb13.runs import by_name, largest_steps, stored_runs

__all__ = [
    "DownTheNet",
    "at_best_rate",
    "best_rate",
    "by_name",
    "down_the_net",
    "factor_per_layer",
    "in_a_wide_net",
    "largest_steps",
    "plot_down",
    "plot_drift",
    "plot_one_step",
    "plot_parts",
    "plot_rates",
    "plot_shift",
    "plot_turning",
    "plot_variances",
    "stored_runs",
]
