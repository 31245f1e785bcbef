"""The stored training runs of notebook 10."""

import numpy as np

from bnlib.course.kit.runs import reader

stored_runs = reader("10")


def moved_at_best_rate(runs):
    """name of the set that shares a mean -> (seeds, 5) accuracy on digits moved by 0 to 4 pixels.

    Each net is shown at the rate whose median over the seeds is highest on the unmoved digits.
    """
    found = {}
    for name, by_rate in zip(runs["sets"], runs["sets_moved"], strict=True):
        best = np.median(by_rate[:, :, 0], axis=1).argmax()
        found[str(name)] = by_rate[best]
    return found
