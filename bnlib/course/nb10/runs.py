"""The stored training runs of notebook 10."""

import functools

import numpy as np

from bnlib.course.kit.runs import read_runs


@functools.lru_cache(maxsize=1)
def stored_runs():
    """Return the arrays of data/10_runs.npz by name, read-only.

    data/README.md says what each array is, data/build_10_runs.py makes them again. Raises
    FileNotFoundError as `read_runs` does.
    """
    return read_runs("10_runs.npz", rebuild="build_10_runs.py")


def moved_at_best_rate(runs):
    """name of the set that shares a mean -> (seeds, 5) accuracy on digits moved by 0 to 4 pixels.

    Each net is shown at the rate whose median over the seeds is highest on the unmoved digits.
    """
    found = {}
    for name, by_rate in zip(runs["sets"], runs["sets_moved"], strict=True):
        best = np.median(by_rate[:, :, 0], axis=1).argmax()
        found[str(name)] = by_rate[best]
    return found
