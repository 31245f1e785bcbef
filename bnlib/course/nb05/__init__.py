"""The room of notebook 05, where it goes: what it draws, asks and lets play."""

from bnlib.course.kit.plots import plot_histograms
from bnlib.course.nb05.explorer import LayerFlow
from bnlib.course.nb05.plots import plot_data_flow, plot_gains, plot_placements

__all__ = [
    "LayerFlow",
    "plot_data_flow",
    "plot_gains",
    "plot_histograms",
    "plot_placements",
]
