"""What notebook 03 computes beside its own lines: draws of mini-batches, by the thousand."""

import numpy as np


def spread_of_means(units, m, draws, rng):
    """The deviation of the batch mean of each unit, (D,), over batches of m drawn without repeats.

    units  (N, D), one row per example
    """
    means = [units[rng.permutation(len(units))[:m]].mean(axis=0) for _ in range(draws)]
    return np.std(means, axis=0)


def variance_seen(unit, m, draws, rng):
    """What share of the variance of a unit, (N,), batches of m see on average."""
    batches = unit[rng.integers(0, len(unit), (draws, m))]
    return batches.var(axis=1).mean() / unit.var()


def x_hat_in_batches(unit, digit, m, normalize, eps, draws, rng):
    """x̂ of one digit in random batches of m that contain it: (draws,).

    unit       (N,), the x of one unit
    normalize  normalize(x, eps), x (m, D): each column is one batch here
    """
    others = np.delete(unit, digit)
    rest = np.stack([rng.choice(others, m - 1, replace=False) for _ in range(draws)], axis=1)
    batches = np.concatenate([np.full((1, draws), unit[digit]), rest])  # (m, draws)
    return normalize(batches, eps)[0]


def rows_of_a_colleague(labels, m=60, draws=1000, seed=3):
    """Row numbers of batches as a colleague draws them, (draws, m); exercise 3.6 asks how."""
    order = np.argsort(labels, kind="stable")
    starts = np.random.default_rng(seed).integers(0, len(labels) - m, draws)
    return order[starts[:, None] + np.arange(m)]


def half_power_outside(eps):
    """The deviation at which σ/(σ + ε), ε outside the root, has fallen to 1/√2: by bisection."""
    low, high = 0.0, 1.0
    for _ in range(80):
        middle = (low + high) / 2
        low, high = (low, middle) if middle / (middle + eps) > 1 / np.sqrt(2) else (middle, high)
    return high


def gradients_are_finite(eps):
    """Is the gradient through a column that never varies finite, with ε inside and outside?"""
    import torch

    found = []
    for outside in (False, True):
        x = torch.zeros(6, dtype=torch.float64, requires_grad=True)
        c = x - x.mean()
        variance = (c**2).mean()
        s = variance.sqrt() + eps if outside else (variance + eps).sqrt()
        ((c / s) * torch.arange(6.0)).sum().backward()
        found.append(bool(x.grad.isfinite().all()))
    return tuple(found)
