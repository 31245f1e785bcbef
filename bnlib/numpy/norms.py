"""Layer, group and instance normalization in NumPy: batch normalization's relatives.

All three normalize rows of values that lie together in memory; only what makes a row differs:

    layer_norm      (R, K)              one example's features, or any trailing axes
    group_norm      (N·G, C/G·L)        one example's channels of one group
    instance_norm   (N·C, L)            one channel of one example

No example meets another, so there are no running statistics, and training and evaluation are
one and the same. The scale and shift that follow are batch_norm's: one gamma and beta a channel
(layer_norm: a feature).
"""

import math
from typing import NamedTuple

import numpy as np

from bnlib.numpy import checks
from bnlib.numpy.walk import BLOCK_BYTES, Walk, total, walk_over


class RowCache(NamedTuple):
    """What a norm keeps for its backward pass."""

    x_hat: np.ndarray  # (rows, values)
    std: np.ndarray  # (rows, 1), sqrt(var + eps)
    gamma: np.ndarray | None  # spread to a row of the walk
    walk: Walk  # over (B, C, L), where C are gamma's entries
    parameter_shape: tuple
    parameter_dtype: np.dtype
    shape: tuple  # of x
    dtype: np.dtype  # of x
    axis: int | None  # where the channels were, None: they needed no move


@np.errstate(all="ignore")
def layer_norm(x, gamma=None, beta=None, *, eps=1e-5, axis=-1):
    """Normalize each example over its features, then scale and shift.

    x           floating array; the axes from `axis` to the last are normalized together
    gamma, beta arrays of shape x.shape[axis:]; None stands for ones and zeros
    eps         added to the variance inside the square root, zero or more

    Returns y, cache. Raises TypeError and ValueError as batch_norm does.
    Ba, Kiros & Hinton 2016, arXiv:1607.06450.
    >>> import numpy as np
    >>> y, cache = layer_norm(np.array([[1.0, 3.0], [10.0, 30.0]]))
    >>> y.round(3)
    array([[-1.,  1.],
           [-1.,  1.]])
    """
    x = np.asarray(x)
    checks.floating("x", x.dtype)
    axis = checks.integer("axis", axis)
    if not -x.ndim <= axis < x.ndim:
        raise ValueError(f"axis is {axis}; x of shape {x.shape} has axes {-x.ndim} to {x.ndim - 1}")
    rows, features = x.shape[: axis % x.ndim], x.shape[axis % x.ndim :]
    form = (math.prod(rows), math.prod(features), 1)
    return _norm(x, gamma, beta, eps, form[:2], form, features, None)


@np.errstate(all="ignore")
def group_norm(x, groups, gamma=None, beta=None, *, eps=1e-5, axis=1):
    """Normalize each group of channels of each example, then scale and shift each channel.

    x           floating array of two or more dimensions, examples first
    groups      how many; they divide the channels evenly
    gamma, beta (C,); None stands for ones and zeros
    eps         added to the variance inside the square root, zero or more
    axis        where the channels lie: 1 as in (N, C, H, W), -1 for channels last

    Returns y, cache. Raises TypeError and ValueError as batch_norm does.
    Wu & He 2018, arXiv:1803.08494.
    >>> import numpy as np
    >>> y, cache = group_norm(np.array([[1.0, 3.0, 10.0, 30.0]]), groups=2)
    >>> y.round(3)
    array([[-1.,  1., -1.,  1.]])
    """
    x = np.asarray(x)
    checks.floating("x", x.dtype)
    axis = checks.channel_axis(x.shape, checks.integer("axis", axis))
    if axis == 0:
        raise ValueError(f"axis is 0; x of shape {x.shape} has its examples there")
    N, C = x.shape[0], x.shape[axis]
    groups = checks.integer("groups", groups)
    if groups < 1 or C % groups:
        raise ValueError(f"groups is {groups}; it must divide the {C} channels of x evenly")
    L = math.prod(x.shape[1:]) // C
    axis = None if axis == 1 else axis
    return _norm(x, gamma, beta, eps, (N * groups, C // groups * L), (N, C, L), (C,), axis)


def instance_norm(x, gamma=None, beta=None, *, eps=1e-5, axis=1):
    """Normalize each channel of each example, then scale and shift: group_norm with C groups.

    x           floating array, (N, C, L) or (N, C, H, W)
    gamma, beta (C,); None stands for ones and zeros
    eps         added to the variance inside the square root, zero or more
    axis        where the channels lie: 1 as in (N, C, H, W), -1 for channels last

    Returns y, cache. Raises TypeError and ValueError as batch_norm does.
    Ulyanov, Vedaldi & Lempitsky 2016, arXiv:1607.08022.
    """
    x = np.asarray(x)
    channel = checks.channel_axis(x.shape, checks.integer("axis", axis))
    return group_norm(x, max(1, x.shape[channel]), gamma, beta, eps=eps, axis=axis)


def layer_norm_backward(dy, cache):
    """Carry the gradient of the loss back through layer_norm.

    dy          ∂ℓ/∂y, shaped like y and of its dtype
    cache       what layer_norm returned beside y

    Returns dx, dgamma, dbeta, the latter two also where there was no gamma or beta.
    Raises TypeError and ValueError when dy or cache does not fit.

    With dx̂ = γ·dy and means over each row, dx = (dx̂ − mean(dx̂) − x̂ · mean(dx̂·x̂)) / σ:
    batch_norm's formula, with other values sharing a mean.
    """
    return _norm_backward(dy, cache)


def group_norm_backward(dy, cache):
    """Carry the gradient of the loss back through group_norm; see layer_norm_backward."""
    return _norm_backward(dy, cache)


def instance_norm_backward(dy, cache):
    """Carry the gradient of the loss back through instance_norm; see layer_norm_backward."""
    return _norm_backward(dy, cache)


def _norm(x, gamma, beta, eps, rows, form, parameter_shape, axis):
    """y and the cache: rows is (rows, values), form is (B, C, L) with gamma's entries as C."""
    for name, v in (("gamma", gamma), ("beta", beta)):
        if v is not None and np.shape(v) != parameter_shape:
            raise ValueError(
                f"{name} has shape {np.shape(v)}; x of shape {x.shape} needs {parameter_shape}"
            )
    gamma, beta = (
        None if v is None else checks.same_dtype(name, np.asarray(v), x).ravel()
        for name, v in (("gamma", gamma), ("beta", beta))
    )
    checks.epsilon(eps, positive=False)
    if rows[1] < 2:
        raise ValueError(
            f"x has shape {x.shape}, {rows[1]} value(s) to a mean; at least 2 are needed"
        )
    dtype = x.dtype.newbyteorder("=")
    walk = walk_over(*form, checks.WORK[dtype])
    x_hat, std = _standardize(_arrange(x, axis, walk.dtype).reshape(rows), eps)
    gamma_row = None if gamma is None else walk.spread(gamma)
    beta_row = None if beta is None else walk.spread(beta)
    y = np.empty_like(x_hat)
    for h, out in zip(walk.split(x_hat), walk.split(y), strict=True):
        width = out.shape[1]
        np.multiply(h, 1 if gamma is None else gamma_row[:width], out)
        if beta is not None:
            np.add(out, beta_row[:width], out)
    parameter_dtype = walk.dtype if gamma is None else gamma.dtype
    cache = RowCache(
        x_hat, std, gamma_row, walk, parameter_shape, parameter_dtype, x.shape, dtype, axis
    )
    return _restore(y, cache), cache


def _norm_backward(dy, cache):
    if not isinstance(cache, RowCache):
        raise TypeError(f"cache is a {type(cache).__name__}; expected what the norm returned")
    walk, x_hat, dx = cache.walk, cache.x_hat, np.empty_like(cache.x_hat)
    dy = _arrange(checks.like("dy", dy, cache.shape, cache.dtype), cache.axis, walk.dtype)
    means, products = [], []
    for d, h, out in zip(walk.split(dy), walk.split(x_hat), walk.split(dx), strict=True):
        means.append(walk.mean(d))
        products.append(walk.mean_product(d, h))
        np.multiply(d, 1 if cache.gamma is None else cache.gamma[: d.shape[1]], out)  # dx_hat
    weights = _weights(x_hat)
    for block in _blocks(x_hat):
        h, out = x_hat[block], dx[block]
        mean_product = np.vecdot(h, out)[:, None] * weights[0]
        out -= out.dot(weights)[:, None]
        out -= h * mean_product
        out /= cache.std[block]
    dgamma, dbeta = (
        (total(parts) * walk.m).astype(cache.parameter_dtype).reshape(cache.parameter_shape)
        for parts in (products, means)
    )
    return _restore(dx, cache), dgamma, dbeta


def _standardize(x, eps):
    """x_hat and std (rows, 1) of each row of x, block by block: one read, one write."""
    x_hat, std, weights = np.empty_like(x), np.empty((len(x), 1), x.dtype), _weights(x)
    for block in _blocks(x):
        h = x_hat[block]
        np.subtract(x[block], x[block].dot(weights)[:, None], h)
        h -= h.dot(weights)[:, None]  # what the mean's own dtype could not hold of it
        var = np.vecdot(h, h) * weights[0]
        np.sqrt(var[:, None] + eps, std[block])
        h /= std[block]
    return x_hat, std


def _blocks(x):
    """Slices of as many rows as stay in the cache."""
    step = max(1, BLOCK_BYTES // x.itemsize // x.shape[1])
    return [slice(i, i + step) for i in range(0, len(x), step)]


def _weights(x):
    """One over the row's length, so often: x.dot(weights) are the means of the rows."""
    return np.full(x.shape[1], 1 / x.shape[1], x.dtype)


def _arrange(a, axis, work):
    return np.ascontiguousarray(a if axis is None else np.moveaxis(a, axis, 1), work)


def _restore(a, cache):
    """An array of rows back in the shape, order and dtype of x."""
    a = a.astype(cache.dtype, copy=False)
    if cache.axis is None:
        return a.reshape(cache.shape)
    shape = list(cache.shape)
    shape.insert(1, shape.pop(cache.axis))
    return np.moveaxis(a.reshape(shape), 1, cache.axis)
