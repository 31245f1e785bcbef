"""The room of notebook 12, more than one device: what it draws, asks and lets play.

The nets are in bnlib.course.nb12.nets and the processes in bnlib.course.nb12.processes; both need
torch and are imported on their own.
"""

from bnlib.course.nb12.explorer import ManyDevices
from bnlib.course.nb12.plots import (
    plot_devices,
    plot_points_lost,
    plot_shares,
    plot_strips,
)
from bnlib.course.nb12.runs import at_best_rate, points_lost, split_at_best_rate, stored_runs

__all__ = [
    "ManyDevices",
    "at_best_rate",
    "plot_devices",
    "plot_points_lost",
    "plot_shares",
    "plot_strips",
    "points_lost",
    "split_at_best_rate",
    "stored_runs",
]
