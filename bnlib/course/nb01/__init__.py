"""The room of notebook 01, the moving target: what it draws, asks and lets play."""

from bnlib.course.kit.plots import plot_accuracy_map
from bnlib.course.nb01.explorer import LayerHistograms
from bnlib.course.nb01.plots import plot_by_layer, plot_curves, plot_layer_drift

__all__ = [
    "LayerHistograms",
    "plot_accuracy_map",
    "plot_by_layer",
    "plot_curves",
    "plot_layer_drift",
]
