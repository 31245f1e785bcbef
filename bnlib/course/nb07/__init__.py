"""The room of notebook 07, inference mode: what it draws, asks and lets play."""

from bnlib.course.nb07.explorer import RunningEstimate
from bnlib.course.nb07.plots import plot_error_against_batch, plot_paired_errors

__all__ = [
    "RunningEstimate",
    "plot_error_against_batch",
    "plot_paired_errors",
]
