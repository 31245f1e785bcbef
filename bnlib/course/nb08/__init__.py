"""The room of notebook 08, what it buys: what it draws, asks and lets play."""

from bnlib.course.kit.plots import plot_accuracy_map
from bnlib.course.nb08.explorer import LearningRates
from bnlib.course.nb08.plots import plot_figure1, plot_over_rates, plot_shares, plot_unit_bands

__all__ = [
    "LearningRates",
    "plot_accuracy_map",
    "plot_figure1",
    "plot_over_rates",
    "plot_shares",
    "plot_unit_bands",
]
