"""The room of notebook 11, shipping it: what it draws, asks and lets play.

The nets are in bnlib.course.nb11.nets and the export in bnlib.course.nb11.shipping; both need torch
and are imported on their own.
"""

from bnlib.course.kit.runs import at_best_rate
from bnlib.course.nb11.explorer import WhereItStopped
from bnlib.course.nb11.plots import (
    plot_bits,
    plot_border,
    plot_readings,
    plot_stall,
    plot_stopped,
    plot_tuning,
)
from bnlib.course.nb11.runs import stored_runs, tuned_by_way

__all__ = [
    "WhereItStopped",
    "at_best_rate",
    "plot_bits",
    "plot_border",
    "plot_readings",
    "plot_stall",
    "plot_stopped",
    "plot_tuning",
    "stored_runs",
    "tuned_by_way",
]
