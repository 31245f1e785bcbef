"""Plots: plot_<what>(data, *, ax=None, title=None) -> Axes, drawn without pyplot, shown by show().

A title states the finding and comes from the caller. Without ax each plot makes its own figure.
One module a theme; every plot that a notebook calls is named here.
"""

from bnlib.course.plots.backends import plot_half_precision, plot_twins
from bnlib.course.plots.backward import (
    plot_backward_graph,
    plot_gradient_error,
    plot_jacobian,
    plot_two_gradients,
)
from bnlib.course.plots.dataflow import plot_data_flow, plot_gains, plot_placements
from bnlib.course.plots.descent import (
    plot_descents,
    plot_rate_sweep,
    plot_spectra,
    plot_steps_law,
    plot_test_statistics,
)
from bnlib.course.plots.gamma_beta import (
    plot_accuracies,
    plot_learned,
    plot_sigmoid_inputs,
    plot_weight_scale,
)
from bnlib.course.plots.general import (
    figure,
    plot_contours_with_path,
    plot_curves,
    plot_digits,
    plot_heatmap,
    plot_histograms,
    plot_percentile_bands,
)
from bnlib.course.plots.inference import plot_error_against_batch, plot_paired_errors
from bnlib.course.plots.mini_batch import (
    plot_batch_means,
    plot_biased_variance,
    plot_company,
    plot_eps,
    plot_spread_law,
)
from bnlib.course.plots.moving_target import plot_accuracy_map, plot_by_layer, plot_layer_drift
from bnlib.course.plots.what_it_buys import (
    plot_figure1,
    plot_over_rates,
    plot_shares,
    plot_unit_bands,
)

__all__ = [
    "figure",
    "plot_accuracies",
    "plot_accuracy_map",
    "plot_backward_graph",
    "plot_batch_means",
    "plot_biased_variance",
    "plot_by_layer",
    "plot_company",
    "plot_contours_with_path",
    "plot_curves",
    "plot_data_flow",
    "plot_descents",
    "plot_digits",
    "plot_eps",
    "plot_error_against_batch",
    "plot_figure1",
    "plot_gains",
    "plot_gradient_error",
    "plot_half_precision",
    "plot_heatmap",
    "plot_histograms",
    "plot_jacobian",
    "plot_layer_drift",
    "plot_learned",
    "plot_over_rates",
    "plot_paired_errors",
    "plot_percentile_bands",
    "plot_placements",
    "plot_rate_sweep",
    "plot_shares",
    "plot_sigmoid_inputs",
    "plot_spectra",
    "plot_spread_law",
    "plot_steps_law",
    "plot_test_statistics",
    "plot_twins",
    "plot_two_gradients",
    "plot_unit_bands",
    "plot_weight_scale",
]
