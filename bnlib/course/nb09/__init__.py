"""The room of notebook 09, from NumPy to torch: what it draws, asks and lets play."""

from bnlib.course.kit.plots import plot_twins
from bnlib.course.nb09.experiments import (
    TermMissing,
    all_close,
    buffers_agree,
    in_training,
    y_and_gradients,
)
from bnlib.course.nb09.explorer import HalfPrecision, plot_half_precision, x_hat_in

__all__ = [
    "HalfPrecision",
    "TermMissing",
    "all_close",
    "buffers_agree",
    "in_training",
    "plot_half_precision",
    "plot_twins",
    "x_hat_in",
    "y_and_gradients",
]
