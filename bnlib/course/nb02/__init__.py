"""The room of notebook 02, standardization: what it draws, asks and lets play."""

from bnlib.course.kit.plots import plot_curves
from bnlib.course.nb02.experiments import own_statistics, sweep_rates, train_longer
from bnlib.course.nb02.explorer import Descent
from bnlib.course.nb02.plots import (
    plot_descents,
    plot_rate_sweep,
    plot_spectra,
    plot_steps_law,
    plot_test_statistics,
)

__all__ = [
    "Descent",
    "own_statistics",
    "plot_curves",
    "plot_descents",
    "plot_rate_sweep",
    "plot_spectra",
    "plot_steps_law",
    "plot_test_statistics",
    "sweep_rates",
    "train_longer",
]
