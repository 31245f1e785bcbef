"""The room of notebook 10, images: what it draws, asks and lets play.

The nets are in bnlib.course.nb10.nets, which needs torch and is imported on its own.
"""

from bnlib.course.nb10.explorer import WhoseMean
from bnlib.course.nb10.plots import (
    plot_block,
    plot_moved,
    plot_rates,
    plot_strips,
    plot_values,
)
from bnlib.course.nb10.runs import moved_at_best_rate, stored_runs

__all__ = [
    "WhoseMean",
    "moved_at_best_rate",
    "plot_block",
    "plot_moved",
    "plot_rates",
    "plot_strips",
    "plot_values",
    "stored_runs",
]
