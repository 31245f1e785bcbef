"""The room of notebook 01, the moving target: what it draws, asks and lets play."""

from bnlib.course.kit.plots import plot_accuracy_map
from bnlib.course.nb01.experiments import (
    by_setting,
    count,
    kept,
    parts_of_drift,
    relative_change,
    saturated,
    slope,
    spread,
    wide_net,
    with_a_fault,
)
from bnlib.course.nb01.explorer import LayerHistograms
from bnlib.course.nb01.plots import (
    plot_by_layer,
    plot_curves,
    plot_layer_drift,
    plot_one_line_more,
)

__all__ = [
    "LayerHistograms",
    "by_setting",
    "count",
    "kept",
    "parts_of_drift",
    "plot_accuracy_map",
    "plot_by_layer",
    "plot_curves",
    "plot_layer_drift",
    "plot_one_line_more",
    "relative_change",
    "saturated",
    "slope",
    "spread",
    "wide_net",
    "with_a_fault",
]
