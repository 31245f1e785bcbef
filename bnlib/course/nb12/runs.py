"""The stored training runs of notebook 12."""

import numpy as np

from bnlib.course.kit import runs as kit

stored_runs = kit.reader("12")


def at_best_rate(runs, kind, reading=-1):
    """(batches, devices, seeds) accuracy, statistics recomputed, each setting at its best rate.

    kind     "mlp", "conv" or "longer" (the MLP with a joint batch of 16, 1 and 8 devices)
    reading  which of the steps at which the net was read; -1: the last

    Best is the rate with the highest median over the seeds.
    """
    return kit.at_best_rate(runs[f"{kind}_accuracy"][..., reading])  # (batch, devices, rate, seed)


def points_lost(accuracy):
    """(batches, devices, seeds): by how much a setting is behind one device, seed by seed."""
    return accuracy[:, :1] - accuracy


def lost_to_two(runs, kind):
    """(steps, seeds): points that two digits per device cost, at each step of a reading.

    kind  as for `at_best_rate`; each reading is compared at the best rates for that step
    """
    readings = range(len(runs[f"{kind}_steps"]))
    return np.array([points_lost(at_best_rate(runs, kind, i))[0, -1] for i in readings])


def split_at_best_rate(runs):
    """Label -> (seeds,) accuracy where two ranks see different digits, after the last step.

    Each row is a way of training and a way of reading, at the rate with the highest median.
    """
    found = {}
    ways = [
        ("by class", "not synchronized", "running"),
        ("by class", "not synchronized", "accuracy"),
        ("by class", "synchronized", "running"),
        ("by class", "synchronized", "accuracy"),
        ("mixed", "not synchronized", "running"),
    ]
    digits = {"by class": "0–4 and 5–9", "mixed": "all digits on both"}
    read = {"running": "saved", "accuracy": "recomputed"}
    for split, shared, reading in ways:
        label = f"{digits[split]}:\n{shared}, {read[reading]}"
        place = runs["splits"].tolist().index(split), runs["shared"].tolist().index(shared)
        by_rate = runs[f"split_{reading}"][place][..., -1]  # (rate, seed)
        found[label] = by_rate[np.median(by_rate, axis=1).argmax()]
    return found
