"""The room of notebook 03, the statistics of a mini-batch: what it draws, asks and lets play."""

from bnlib.course.nb03.explorer import BatchMeans
from bnlib.course.nb03.plots import (
    plot_batch_means,
    plot_biased_variance,
    plot_company,
    plot_eps,
    plot_spread_law,
)

__all__ = [
    "BatchMeans",
    "plot_batch_means",
    "plot_biased_variance",
    "plot_company",
    "plot_eps",
    "plot_spread_law",
]
