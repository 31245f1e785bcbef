"""The stored training runs of notebook 14."""

import numpy as np

from bnlib.course.kit.runs import at_best_rate, reader

stored_runs = reader("14")


def by_norm(runs, part, reading):
    """norm -> (…, seeds) accuracy of a part of the runs, each norm at its best rate.

    part     "mlp", "conv", "classes", "replacements" …; reading  0 stored statistics, 1 recomputed
    """
    norms = {
        "mlp": "mlp_norms", "conv": "conv_norms", "classes": "class_norms",
        "replacements": "replacements", "residual": "residual_norms",
        "transformer": "transformer_norms",
    }[part]  # fmt: skip
    found = at_best_rate(runs[f"{part}_accuracy"][..., reading])
    return dict(zip(runs[norms].tolist(), found, strict=True))


def longer(runs):
    """norm -> (steps, seeds) accuracy of the convolutional net at two digits a batch, as it trains
    on: statistics recomputed, at each reading the better rate."""
    by_rate = np.moveaxis(runs["long_accuracy"][..., 1], 3, 1)  # (norm, step, rate, seed)
    return dict(zip(runs["long_norms"].tolist(), at_best_rate(by_rate), strict=True))


def of_classes(runs):
    """classes a batch -> norm -> (seeds,) accuracy of the MLP, each at its best rate."""
    found = by_norm(runs, "classes", 0)
    return {
        int(count): {name: values[i] for name, values in found.items()}
        for i, count in enumerate(runs["classes"])
    }


def after_blanks(runs):
    """blank rows first -> norm -> (seeds,) accuracy of the recurrent net, each at the rate that
    is best without blank rows."""
    found = {}
    for name, by_rate in zip(runs["sequence_norms"], runs["sequences_accuracy"], strict=True):
        best = np.median(by_rate[..., 0], axis=1).argmax()  # of (rate, seed, blanks)
        for count, values in zip(runs["blanks"], by_rate[best].T, strict=True):
            found.setdefault(int(count), {})[str(name)] = values
    return found
