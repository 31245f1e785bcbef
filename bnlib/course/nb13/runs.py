"""The stored training runs of notebook 13."""

import functools

import numpy as np

from bnlib.course.kit.runs import read_runs


@functools.lru_cache(maxsize=1)
def stored_runs():
    """Return the arrays of data/13_runs.npz by name, read-only.

    data/README.md says what each array is, data/build_13_runs.py makes them again. Raises
    FileNotFoundError as `read_runs` does.
    """
    return read_runs("13_runs.npz", rebuild="build_13_runs.py")


def by_name(runs, part, net, names=None, reading="accuracy"):
    """name of the norm -> (rates, seeds) accuracy, for one net of a part of the runs.

    names    which norms, in this order; None: all
    reading  "accuracy", or of the part "parts" also "running"
    """
    values = runs[f"{part}_{reading}"][runs[f"{part}_nets"].tolist().index(net)]
    found = dict(zip(runs[f"{part}_norms"].tolist(), values, strict=True))
    return {name: found[name] for name in names or found}


def largest_steps(runs, net):
    """(2, seeds): the largest rate of one step that lowers the loss, without BN and with it."""
    losses = runs["step_loss"][runs["step_nets"].tolist().index(net)]
    return np.where(losses < 1, runs["step_rates"], 0).max(axis=-1)


def best_rate(accuracy):
    """Number of the rate whose median over the seeds is best; accuracy is (…, rates, seeds)."""
    return np.median(accuracy, axis=-1).argmax(axis=-1)


def at_best_rate(accuracy, values=None):
    """The (…, seeds) of `values` (default: accuracy itself) at the rate that reads best."""
    values = accuracy if values is None else values
    best = best_rate(accuracy)[..., None, None]
    return np.take_along_axis(values, best, axis=-2)[..., 0, :]
