"""The stored training runs of notebook 12."""

import functools

import numpy as np

from bnlib.course.kit.runs import read_runs


@functools.lru_cache(maxsize=1)
def stored_runs():
    """Return the arrays of data/12_runs.npz by name, read-only.

    data/README.md says what each array is, data/build_12_runs.py makes them again. Raises
    FileNotFoundError as `read_runs` does.
    """
    return read_runs("12_runs.npz", rebuild="build_12_runs.py")


def at_best_rate(runs, kind, reading=-1):
    """(batches, devices, seeds) accuracy, statistics recomputed, each setting at its best rate.

    kind     "mlp" or "conv"
    reading  which of the steps at which the net was read; -1: the last

    Best is the rate with the highest median over the seeds.
    """
    accuracy = runs[f"{kind}_accuracy"][..., reading]  # (batch, devices, rate, seed)
    best = np.median(accuracy, axis=-1).argmax(axis=-1)[..., None, None]
    return np.take_along_axis(accuracy, best, axis=2)[:, :, 0]


def points_lost(accuracy):
    """(batches, devices, seeds): by how much a setting is behind one device, seed by seed."""
    return accuracy[:, :1] - accuracy


def split_at_best_rate(runs):
    """Label -> (seeds,) accuracy where two ranks see different digits, after the last step.

    Each row is a way of training and a way of reading, at the rate with the highest median.
    """
    found = {}
    ways = [
        ("by class", "not synchronized", "running", "not synchronized, saved"),
        ("by class", "not synchronized", "accuracy", "not synchronized, recomputed"),
        ("by class", "synchronized", "running", "synchronized, saved"),
        ("by class", "synchronized", "accuracy", "synchronized, recomputed"),
        ("mixed", "not synchronized", "running", "all digits on both, not\nsynchronized, saved"),
    ]
    for split, shared, reading, label in ways:
        place = runs["splits"].tolist().index(split), runs["shared"].tolist().index(shared)
        by_rate = runs[f"split_{reading}"][place][..., -1]  # (rate, seed)
        found[label] = by_rate[np.median(by_rate, axis=1).argmax()]
    return found
