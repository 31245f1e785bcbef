"""The room of notebook 07, inference mode: what it draws, asks and lets play."""

from bnlib.course.nb07.experiments import (
    error,
    error_with_statistics_of,
    folded,
    gained_by_reestimating,
    reestimate,
    shifted_digits,
    silent_units,
    spread_of_running_mean,
    stored_and_reestimated,
    updates_until_half,
)
from bnlib.course.nb07.explorer import RunningEstimate
from bnlib.course.nb07.plots import plot_error_against_batch, plot_paired_errors, plot_repair

__all__ = [
    "RunningEstimate",
    "error",
    "error_with_statistics_of",
    "folded",
    "gained_by_reestimating",
    "plot_error_against_batch",
    "plot_paired_errors",
    "plot_repair",
    "reestimate",
    "shifted_digits",
    "silent_units",
    "spread_of_running_mean",
    "stored_and_reestimated",
    "updates_until_half",
]
