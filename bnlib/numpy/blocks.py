"""The passes over a batch of any size, block by block, in place in the result.

Each function takes lists of blocks, and `by`: the Walk or Rows that averages over what shares a
mean and spreads a value per mean again. Letters and formulas are those of bnlib.numpy.core.
"""

import math
from typing import NamedTuple

import numpy as np

from bnlib.numpy.walk import Rows, total

FLOAT64 = np.dtype(np.float64)


class Statistics(NamedTuple):
    """Of the values that share a mean: float64 where these lie in several blocks, else as x."""

    pivot: np.ndarray | None  # a value near the mean, of x's dtype; None: 0 is near enough
    delta: np.ndarray | None  # the mean minus pivot; None: the mean is left where it is
    var: np.ndarray  # in evaluation the running variance
    std: np.ndarray  # sqrt(var + eps)

    @property
    def mean(self):
        """mu_B; in evaluation the running mean."""
        return self.delta if self.pivot is None else self.pivot + self.delta


def measure(xs, cs, by, eps, centred=True):
    """The blocks' Statistics; unless their pivot is None, cs hold x − pivot afterwards.

    None when float32 is too narrow: a square of c, or the square of that, exceeds its 1e38.
    """
    if not xs:  # a batch without values
        zeros = np.zeros(by.C, by.dtype)
        return Statistics(None, zeros, zeros, np.sqrt(zeros + eps))
    pivot = first_pivot(xs, by) if centred else None
    for _ in range(4):
        means, squares = [], []
        for c in centre(xs, pivot, cs, by):
            if centred:
                means.append(by.mean(c))
            squares.append(by.mean_product(c, c))
        mean_square = total(squares)
        if by.dtype != FLOAT64 and math.isinf(mean_square.dot(mean_square)):
            return None
        if not centred:
            return Statistics(None, None, mean_square, np.sqrt(mean_square + eps))
        delta = total(means)
        square = delta * delta
        var = np.maximum(mean_square - square, 0)
        if _is_near(square, var + eps):
            break
        mean = delta if pivot is None else pivot + delta
        pivot = mean.astype(by.dtype)  # a bad pivot: some mean lies 3 deviations off. Once more
    return Statistics(pivot, delta, var, np.sqrt(var + eps))


def first_pivot(xs, by):
    """Something near the mean; None where 0 is near enough, or where it costs least to try 0.

    Each row's own mean. Of a single block nothing: it lies in the cache, where a second sweep now
    and then costs less than a look at its first rows each time. Several blocks are read from memory
    in each sweep: of them the mean of the first rows, mostly near enough to that of all.
    """
    if isinstance(by, Rows):
        return by.mean(xs[0])
    if len(xs) == 1:
        return None
    head = xs[0][: max(1, len(xs[0]) // 8)]
    share = by.m * by.C / head.size
    mean = by.mean(head) * share
    square = mean * mean
    return None if _is_near(square, by.mean_product(head, head) * share - square) else mean


def given_statistics(mean, var, eps, by):
    """The Statistics of evaluation: a mean and a variance from elsewhere."""
    mean, var = mean.astype(FLOAT64), var.astype(FLOAT64)
    pivot = None if _is_near(mean * mean, var + eps) else mean.astype(by.dtype)
    return Statistics(pivot, mean if pivot is None else mean - pivot, var, np.sqrt(var + eps))


def _is_near(square, var):
    """True when no squared distance exceeds nine times its variance.

    A sum of squares around a pivot two or three deviations off loses less than one digit.
    """
    return not np.count_nonzero(square > 9.0 * var)


def centre(xs, pivot, cs, by):
    """The blocks of x − pivot, written to cs; or x's own blocks where the pivot is 0."""
    if pivot is None:
        return xs
    row = by.spread(pivot)
    # A generator: each block is used while the cache still holds it.
    return (np.subtract(x, row[..., : x.shape[1]], c) for x, c in zip(xs, cs, strict=True))


def normalize(cs, outs, by, found, gamma=None, beta=None):
    """outs = x̂ · gamma + beta, as c · a + b, one gamma and beta a mean. Returns a, spread."""
    a = 1 / found.std if gamma is None else gamma / found.std
    b = 0 if beta is None else beta
    row, shift = by.spread(a), None
    if found.delta is not None:
        shift = by.spread(b - found.delta * a)
    for c, out in zip(cs, outs, strict=True):
        scale_shift(c, row, shift, out)
    return row


def scale_shift(c, a, b, out):
    """out = c · a + b; None stands for ones and zeros. Rows of a short block end before a and b."""
    width = out.shape[1]
    np.multiply(c, 1 if a is None else a[..., :width], out)
    if b is not None:
        np.add(out, b[..., :width], out)


def gradient(c, d, q, k, a, out):
    """out = (d − c · q − k) · a: from d, what x did through the variance and through the mean."""
    np.multiply(c, q, out)
    np.subtract(d, out, out)
    if k is not None:
        np.subtract(out, k, out)
    np.multiply(out, a, out)
