"""The one text behind every norm of the NumPy backend, in few passes over memory.

A norm is a Plan: which values share a mean, whether the mean is taken off, and where the
parameters lie. With a pivot near the mean, c = x − pivot, delta = mean − pivot and a = 1/σ

    x̂  = c · a − delta · a,              y = x̂ · γ + β
    dx = (dx̂ − c · q − k) · a,           q = Σ(x − mean)·dx̂ / (m σ²),   k = Σdx̂ / m − q · delta

with dx̂ = dy · γ. Where one γ belongs to all that share a mean (batch norm) it goes into a, and
dx̂ is dy; else x̂ is kept, with 0 for its mean and 1 for its σ. These are the passes there are,
block by block (bnlib.numpy.walk), in place in the result.

Nothing far from zero is ever squared: c is near zero, because pivot is near the mean. And the
mean is kept as pivot + delta, a number of x's own dtype and the rest that this dtype could not
hold. So float32 stays as accurate as float32 can be, at mean 1e4 and deviation 1 too.
"""

import copy
from typing import NamedTuple

import numpy as np

from bnlib.numpy.blocks import (
    FLOAT64,
    Statistics,
    centre,
    given_statistics,
    gradient,
    measure,
    normalize,
    scale_shift,
)
from bnlib.numpy.checks import WORK, check_like
from bnlib.numpy.walk import Columns, Rows, Walk, scratch, total


class Plan:
    """How one norm goes over arrays of one shape and dtype.

    norm        the name of its function
    ways        ways(dtype) -> by, over: what averages the values that share a mean, and the Walk
                whose channels are the parameters'. The same Walk twice where they agree
    axis, to    x's channels lie at `axis`; the walk wants them at `to`; None: they need not move
    centred     False: the mean is left where it is
    """

    def __init__(self, norm, shape, dtype, parameter_shape, ways, *, axis=1, to=None, centred=True):
        self.norm, self.shape, self.parameter_shape = norm, shape, parameter_shape
        self.ways, self.axis, self.centred = ways, axis, centred
        self.moved = None if to is None else (axis, to)
        arranged = list(shape)
        if self.moved:
            arranged.insert(to % len(shape), arranged.pop(axis))
        self.arranged = tuple(arranged)
        self.dtype = dtype.newbyteorder("=")
        self.parameter_dtype = WORK[self.dtype]
        self._work_in(self.parameter_dtype)

    def _work_in(self, work):
        self.work, self.casts, self.narrow = work, work != self.dtype, work != FLOAT64
        self.by, self.over = self.ways(work)
        rows = getattr(self.by, "shape", None)  # (m, C) of a small batch
        self.rows = None if rows == self.arranged else rows

    def wider(self):
        """The same plan, worked on in float64."""
        plan = copy.copy(self)
        plan._work_in(FLOAT64)
        return plan

    def arrange(self, a):
        """a in the order and dtype of the walk; a itself, mostly."""
        if self.moved:
            a = np.moveaxis(a, *self.moved)
        a = np.ascontiguousarray(a, self.work)
        return a if self.rows is None else a.reshape(self.rows)

    def restore(self, a):
        """An arranged array back in the shape and dtype that x came in."""
        if self.casts:
            a = a.astype(self.dtype)
        if self.rows is not None:
            a = a.reshape(self.arranged)
        return np.moveaxis(a, *self.moved[::-1]) if self.moved else a


class Cache(NamedTuple):
    """What a norm keeps for its backward pass."""

    plan: Plan
    # c of a small batch; x of a large one, contiguous: change it in place and dx is wrong; x_hat of
    # the other norms
    kept: np.ndarray
    statistics: Statistics | list[Statistics]  # the batch's; else those of each block's rows
    slope: np.ndarray | None  # gamma / std of batch norm, else gamma; spread to a row of the walk
    parameter_dtype: np.dtype
    training: bool


def name_of(cache):
    """What an error calls something that came as a cache: the norm it is from, or its type."""
    return f"{cache.plan.norm}'s" if isinstance(cache, Cache) else f"a {type(cache).__name__}"


def forward(x, gamma, beta, eps, plan, given=None):
    """y and the cache, by x's own statistics or by a given mean and variance."""
    made = FORWARD[type(plan.by)](plan.arrange(x), gamma, beta, eps, plan, given)
    if made is None:
        return forward(x, gamma, beta, eps, plan.wider(), given)
    y, kept, found, slope = made
    dtype = plan.parameter_dtype if gamma is None else gamma.dtype
    return plan.restore(y), Cache(plan, kept, found, slope, dtype, given is None)


def backward(dy, cache, norm):
    """dx, dgamma and dbeta of this norm; refuses another norm's cache."""
    if not isinstance(cache, Cache) or cache.plan.norm != norm:
        raise TypeError(f"cache is {name_of(cache)}; expected what {norm} returned")
    plan, dtype = cache.plan, cache.parameter_dtype
    dy = plan.arrange(check_like("dy", dy, plan.shape, plan.dtype))
    dx, dgamma, dbeta = BACKWARD[type(plan.by)](dy, cache)
    return plan.restore(dx), dgamma.astype(dtype, copy=False), dbeta.astype(dtype, copy=False)


# ---- batch norm, block by block


def _forward_blocks(x, gamma, beta, eps, plan, given):
    """y, and what the cache keeps; None where float32 is too narrow. So the others too."""
    by, y = plan.by, np.empty_like(x)
    xs, ys = by.split(x), by.split(y)
    if given is None:
        found = measure(xs, ys, by, eps)
        if found is None:
            return None
        cs, outs = (xs if found.pivot is None else ys)[::-1], ys[::-1]
    else:
        found = given_statistics(*given, eps, by)
        cs, outs = centre(xs, found.pivot, ys, by), ys
    return y, x, found, normalize(cs, outs, by, found, gamma, beta)


def _backward_blocks(dy, cache):
    """dx, dgamma and dbeta. So the others too."""
    by, (pivot, delta, _, std), dx = cache.plan.by, cache.statistics, np.empty_like(dy)
    xs, dys, dxs = by.split(cache.kept), by.split(dy), by.split(dx)
    if not xs:
        return dx, *np.zeros((2, by.C))
    means, products = [], []
    for c, d in zip(centre(xs, pivot, dxs, by), dys, strict=True):
        means.append(by.mean(d))
        products.append(by.mean_product(c, d))
    mean_dy = total(means)
    mean_x_hat_dy = (total(products) - delta * mean_dy) / std
    if cache.training:
        q = mean_x_hat_dy / std
        q_row, k_row = by.spread(q), by.spread(mean_dy - q * delta)
        cs = xs if pivot is None else dxs
        for c, d, out in zip(cs[::-1], dys[::-1], dxs[::-1], strict=True):
            width = out.shape[1]
            gradient(c, d, q_row[:width], k_row[:width], cache.slope[:width], out)
    else:  # the statistics are constants
        for d, out in zip(dys, dxs, strict=True):
            scale_shift(d, cache.slope, None, out)
    return dx, mean_x_hat_dy * by.m, mean_dy * by.m


# ---- batch norm of few values, where Python's own time counts: one block, and c is kept centred


def _forward_small(x, gamma, beta, eps, plan, given):
    mean = plan.by.weights.dot
    if given is None:
        pivot = mean(x)
        c = x - pivot
        delta = mean(c)
        c -= delta  # what the mean's own dtype could not hold of it
        y = c * c  # y is room for the squares first
        var = mean(y)
    else:
        pivot, var = (v.astype(plan.work) for v in given)
        c, delta, y = x - pivot, np.zeros_like(var), np.empty_like(x)
    std = np.sqrt(var + eps)
    if plan.narrow and not std.dot(std) < 1e10:  # NaN too: where squares may have overflowed
        return None
    a = np.empty_like(c)
    a[...] = 1 / std if gamma is None else gamma / std  # a spread factor is twice as fast, twice
    np.multiply(c, a, y)
    if beta is not None:
        y += beta
    return y, c, Statistics(pivot, delta, var, std), a


def _backward_small(dy, cache):
    by, c, std = cache.plan.by, cache.kept, cache.statistics.std
    mean_dy = by.weights.dot(dy)
    dx = c * dy  # dx is room for the products first
    mean_x_hat_dy = by.weights.dot(dx) / std
    if cache.training:
        gradient(c, dy, mean_x_hat_dy / std, mean_dy, cache.slope, dx)
    else:
        np.multiply(dy, cache.slope, dx)
    return dx, mean_x_hat_dy * by.count, mean_dy * by.count


# ---- the norms of rows: a block's statistics are its own


def _forward_rows(x, gamma, beta, eps, plan, given):
    by, over = plan.by, plan.over
    x_hat, y, statistics = np.empty_like(x), np.empty_like(x), []
    slope, shift = (None if v is None else over.spread(v) for v in (gamma, beta))
    for block, h, out in zip(over.split(x), over.split(x_hat), over.split(y), strict=True):
        rows, h_rows = [by.see(block)], [by.see(h)]
        found = measure(rows, h_rows, by, eps, plan.centred)
        if found is None:
            return None
        normalize(rows if found.pivot is None else h_rows, h_rows, by, found)
        scale_shift(h, slope, shift, out)
        statistics.append(found)
    return y, x_hat, statistics, slope


def _backward_rows(dy, cache):
    plan, slope, dx = cache.plan, cache.slope, np.empty_like(dy)
    by, over = plan.by, plan.over
    if not cache.statistics:
        return dx, *np.zeros((2, *plan.parameter_shape))
    means, products = [], []
    blocks = map(over.split, (cache.kept, dy, dx))
    for h, d, out, found in zip(*blocks, cache.statistics, strict=True):
        means.append(over.mean(d))
        products.append(over.mean_product(h, d))
        if slope is not None:  # dx_hat, in the room where the products were
            d = np.multiply(d, slope[: d.shape[1]], scratch(d.shape, d.dtype))
        h, d, out = by.see(h), by.see(d), by.see(out)
        k = by.spread(by.mean(d)) if plan.centred else None
        gradient(h, d, by.spread(by.mean_product(h, d)), k, by.spread(1 / found.std), out)
    sums = ((total(parts) * over.m).reshape(plan.parameter_shape) for parts in (products, means))
    return dx, *sums


FORWARD = {Walk: _forward_blocks, Columns: _forward_small, Rows: _forward_rows}
BACKWARD = {Walk: _backward_blocks, Columns: _backward_small, Rows: _backward_rows}
