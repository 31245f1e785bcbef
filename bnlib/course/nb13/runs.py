"""The stored training runs of notebook 13."""

import numpy as np

from bnlib.course.kit.runs import reader

stored_runs = reader("13")


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
