"""The room of notebook 14, when it fails: what it draws, asks and lets play.

The nets are in bnlib.course.nb14.nets, which needs torch and is imported on its own.
"""

from bnlib.course.nb14.explorer import OtherLight
from bnlib.course.nb14.plots import plot_sets, plot_sizes, plot_strips, plot_table
from bnlib.course.nb14.runs import (
    after_blanks,
    at_best_rate,
    by_norm,
    longer,
    of_classes,
    stored_runs,
)

__all__ = [
    "OtherLight",
    "after_blanks",
    "at_best_rate",
    "by_norm",
    "longer",
    "of_classes",
    "plot_sets",
    "plot_sizes",
    "plot_strips",
    "plot_table",
    "stored_runs",
]
