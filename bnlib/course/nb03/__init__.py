"""The room of notebook 03, the statistics of a mini-batch: what it draws, asks and lets play."""

from bnlib.course.nb03.experiments import (
    gradients_are_finite,
    half_power_outside,
    rows_of_a_colleague,
    spread_of_means,
    variance_seen,
    x_hat_in_batches,
)
from bnlib.course.nb03.explorer import BatchMeans
from bnlib.course.nb03.plots import (
    plot_batch_means,
    plot_biased_variance,
    plot_eps,
    plot_in_batches,
    plot_spread_law,
)

__all__ = [
    "BatchMeans",
    "gradients_are_finite",
    "half_power_outside",
    "plot_batch_means",
    "plot_biased_variance",
    "plot_eps",
    "plot_in_batches",
    "plot_spread_law",
    "rows_of_a_colleague",
    "spread_of_means",
    "variance_seen",
    "x_hat_in_batches",
]
