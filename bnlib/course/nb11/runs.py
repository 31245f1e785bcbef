"""The stored training runs of notebook 11."""

import functools

import numpy as np

from bnlib.course.kit.runs import read_runs


@functools.lru_cache(maxsize=1)
def stored_runs():
    """Return the arrays of data/11_runs.npz by name, read-only.

    data/README.md says what each array is, data/build_11_runs.py makes them again. Raises
    FileNotFoundError as `read_runs` does.
    """
    return read_runs("11_runs.npz", rebuild="build_11_runs.py")


def tuned_by_way(runs, shift, batch):
    """way -> (rates, seeds) accuracy after fine-tuning on that shift in batches of that size."""
    i = runs["shifts"].tolist().index(shift)
    j = runs["batches"].tolist().index(batch)
    by_way = runs["tuning_accuracy"][:, i, j, ..., 0]  # (seeds, ways, rates)
    return {str(way): by_way[:, k].T for k, way in enumerate(runs["ways"])}


def at_best_rate(by_rate):
    """(seeds,) accuracy at the rate whose median over the seeds is highest, of (rates, seeds)."""
    return by_rate[np.median(by_rate, axis=1).argmax()]
