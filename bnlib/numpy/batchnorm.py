"""Batch normalization in NumPy: the formulas of bnlib.reference, in few passes over memory.

With a pivot near the mean, c = x − pivot, delta = mean − pivot and a = γ/σ the layer is

    y  = c · a + (β − delta · a)
    dx = (c · q + dy + k) · a,    q = −Σ(x − mean)·dy / (m σ²),    k = −Σdy / m − q · delta

and these are the passes there are, block by block (bnlib.numpy.walk), in place in the result.

Nothing far from zero is ever squared: c is near zero, because pivot is near the mean. And the
mean is kept as pivot + delta, a number of x's own dtype and the float64 rest that this dtype
could not hold. So float32 stays as accurate as float32 can be, at mean 1e4 and deviation 1 too.
"""

import functools
import math
import operator
from typing import NamedTuple

import numpy as np

from bnlib.numpy import checks
from bnlib.numpy.layers import Layer, need
from bnlib.numpy.walk import total, walk_over

SHORT = 1 << 14  # up to so many elements Python's own time counts: the short path
FEW = 128  # values per channel; up to here any of them is a good enough pivot


class Cache(NamedTuple):
    """What batch_norm keeps for batch_norm_backward.

    Statistics are of shape (C,), and float64; those of the short path are of the working dtype.
    """

    # Of these two the long path keeps x, the short path the other.
    x: np.ndarray | None  # the input, contiguous: change it in place and the gradients are wrong
    centred: np.ndarray | None  # x − mean, (m, C)
    pivot: np.ndarray | None  # a value near the mean, of x's dtype; None: 0 is near enough
    delta: np.ndarray  # the mean minus pivot
    var: np.ndarray  # var_B; in eval mode the running variance
    std: np.ndarray  # sqrt(var + eps)
    a: np.ndarray  # gamma / std, spread over c or over a row of the walk
    parameter_dtype: np.dtype
    form: "_Form"
    training: bool

    @property
    def mean(self):
        """mu_B; in eval mode the running mean."""
        return self.delta if self.pivot is None else self.pivot + self.delta


@np.errstate(all="ignore")
def batch_norm(
    x,
    gamma=None,
    beta=None,
    running_mean=None,
    running_var=None,
    *,
    training=True,
    momentum=0.1,
    eps=1e-5,
    axis=1,
):
    """Normalize each channel, then scale and shift; follow the statistics when training.

    x               floating array of two or more dimensions; any strides, any byte order
    gamma, beta     (C,) scale and shift; None stands for ones and zeros
    running_mean, running_var
                    (C,) arrays or None. Training updates them in place, PyTorch's way:
                    running = (1 - momentum) · running + momentum · batch, where the batch
                    variance is the unbiased one. Eval mode (training=False) normalizes with
                    them and leaves them alone
    momentum        weight of the new value, 0 to 1. Other values are refused, though torch
                    takes them
    eps             added to the variance inside the square root, in units of x squared;
                    positive in training, zero allowed in eval mode
    axis            where the channels lie: 1 as in (N, C, H, W), -1 for channels last

    gamma, beta and the running arrays have x's dtype; for a float16 x float32 is welcome too,
    and the work is done in float32. Not-a-number and infinity propagate without a warning.

    Returns y, cache. y is shaped like x and of its dtype; batch_norm_backward takes the cache.
    Raises TypeError and ValueError as described above, always before anything is changed; in
    training also when x has fewer than two values per channel.

    Ioffe & Szegedy 2015, arXiv:1502.03167, Algorithms 1 and 2.
    >>> import numpy as np
    >>> y, cache = batch_norm(np.array([[1.0, 5.0], [3.0, 5.0]]), gamma=np.array([2.0, 2.0]))
    >>> y.round(4)
    array([[-2.,  0.],
           [ 2.,  0.]])
    """
    x = np.asarray(x)
    form = _form_of(x, axis)
    if gamma is not None:
        gamma = checks.per_channel("gamma", gamma, x, form.axis)
    if beta is not None:
        beta = checks.per_channel("beta", beta, x, form.axis)
    if running_mean is not None or running_var is not None or not training:
        checks.running_pair(running_mean, running_var, x, form.axis, training)
    checks.epsilon(eps, positive=training)
    checks.weight_of_the_new(momentum)
    m = form.m
    if training and m < 2:
        raise ValueError(
            f"x has shape {x.shape}, {m} value(s) per channel; training needs at least 2"
        )
    given = None if training else (running_mean, running_var)
    result = form.short and _short_forward(x, gamma, beta, given, eps, form)
    y, cache = result or _forward(x, gamma, beta, given, eps, form)
    if training and running_mean is not None:
        follow(running_mean, running_var, cache, momentum)
    return y, cache


def follow(running_mean, running_var, cache, momentum):
    """Update the running arrays in place by the batch of a training-mode cache."""
    old, new, unbiased = _shares(float(momentum), cache.form.m, cache.var.dtype)
    running_mean *= old
    running_mean += new * cache.mean
    running_var *= old
    running_var += unbiased * cache.var


@functools.lru_cache(maxsize=64)
def _shares(momentum, m, dtype):
    """The weights of the old value, of the batch's mean and of its variance.

    As arrays without axes: beside a short array NumPy is twice as fast with these as with
    Python's numbers, and every step of a small net would feel it.
    """
    weights = 1 - momentum, momentum, momentum * m / (m - 1)
    return [np.array(weight, dtype) for weight in weights]


@np.errstate(all="ignore")
def batch_norm_backward(dy, cache):
    """Carry the gradient of the loss back through batch_norm.

    dy          ∂ℓ/∂y, shaped like y and of its dtype
    cache       what batch_norm returned beside y

    Returns dx, dgamma, dbeta: ∂ℓ/∂x shaped like x, ∂ℓ/∂γ and ∂ℓ/∂β of shape (C,), these two
    also where batch_norm was called without gamma or beta. In training mode the statistics
    depend on x and the gradient flows through them; in eval mode they are constants.
    Raises TypeError and ValueError when dy or cache does not fit.

    Training: dx = γ/σ · (dy − mean(dy) − x̂ · mean(dy · x̂)), the six steps of the paper's
    section 3 in one line.
    """
    if not isinstance(cache, Cache):
        raise TypeError(f"cache is a {type(cache).__name__}; expected what batch_norm returned")
    dy = checks.like("dy", dy, cache.form.shape, cache.form.dtype)
    dx, dgamma, dbeta = (_backward if cache.centred is None else _short_backward)(dy, cache)
    dtype = cache.parameter_dtype
    return dx, dgamma.astype(dtype, copy=False), dbeta.astype(dtype, copy=False)


# ---- the short path: a small batch of rows of channels, such as (N, D), in plain NumPy


def _short_forward(x, gamma, beta, given, eps, form):
    """y and the cache, or None where deviations above 1e5 ask for the long path's care."""
    x, weights = form.to_rows(x), form.weights  # weights are 1/m: weights.dot(x) is the mean
    if given is None:
        # No value of a batch is more than sqrt(m) deviations from the mean: with few, any will do.
        pivot = x[0].copy() if len(x) <= FEW else weights.dot(x)
        c = x - pivot
        delta = weights.dot(c)
        c -= delta
        y = c * c  # y is room for the squares first
        var = weights.dot(y)
    else:
        pivot, var = (v.astype(form.work) for v in given)
        c, delta, y = x - pivot, np.zeros_like(var), np.empty_like(x)
    std = np.sqrt(var + eps)
    if not std.dot(std) < 1e10:
        return None
    a = np.empty_like(c)
    a[...] = 1 / std if gamma is None else gamma / std  # spread once for both directions
    np.multiply(c, a, y)
    if beta is not None:
        y += beta
    dtype = form.parameter_dtype if gamma is None else gamma.dtype
    cache = Cache(None, c, pivot, delta, var, std, a, dtype, form, given is None)
    return form.from_rows(y), cache


def _short_backward(dy, cache):
    form, weights, c = cache.form, cache.form.weights, cache.centred
    dy = form.to_rows(dy)
    mean_dy = weights.dot(dy)
    dx = c * dy  # dx is room for the products first
    mean_x_hat_dy = weights.dot(dx) / cache.std
    if cache.training:
        np.multiply(c, mean_x_hat_dy / cache.std, dx)
        np.subtract(dy, dx, dx)
        dx -= mean_dy
        dx *= cache.a
    else:
        np.multiply(dy, cache.a, dx)
    return form.from_rows(dx), mean_x_hat_dy * form.rows_m, mean_dy * form.rows_m


# ---- any size, any form, block by block


def _forward(x, gamma, beta, given, eps, form):
    """y and the cache, by the batch's own statistics or by a given mean and variance."""
    walk, arranged = form.walk, form.arrange(x)
    y = np.empty_like(arranged)
    xs, ys = walk.split(arranged), walk.split(y)
    if given is None:
        statistics = _statistics(xs, ys, walk, eps)
        if statistics is None:
            return _forward(x, gamma, beta, given, eps, form.wider())
        pivot, delta, var = statistics
        blocks = _back_to_front(xs if pivot is None else ys, ys)
    else:
        mean, var = (v.astype(np.float64) for v in given)
        pivot = None if _is_near(mean * mean, var + eps) else mean.astype(walk.dtype)
        delta = mean if pivot is None else mean - pivot
        blocks = zip(_centre(xs, pivot, ys, walk), ys, strict=True)
    std = np.sqrt(var + eps)
    a = 1 / std if gamma is None else gamma / std
    a_row, b_row = walk.spread(a), walk.spread(-delta * a if beta is None else beta - delta * a)
    for c, out in blocks:
        width = out.shape[1]
        np.multiply(c, a_row[:width], out)
        np.add(out, b_row[:width], out)
    dtype = form.parameter_dtype if gamma is None else gamma.dtype
    cache = Cache(arranged, None, pivot, delta, var, std, a_row, dtype, form, given is None)
    return form.restore(y), cache


def _backward(dy, cache):
    form, walk, dx = cache.form, cache.form.walk, np.empty_like(cache.x)
    if dx.size == 0:
        return form.restore(dx), np.zeros(walk.C), np.zeros(walk.C)
    xs, dys, dxs = walk.split(cache.x), walk.split(form.arrange(dy)), walk.split(dx)
    means, products = [], []
    for c, d in zip(_centre(xs, cache.pivot, dxs, walk), dys, strict=True):
        means.append(walk.mean(d))
        products.append(walk.mean_product(c, d))
    mean_dy = total(means)
    mean_x_hat_dy = (total(products) - cache.delta * mean_dy) / cache.std
    if cache.training:
        q = mean_x_hat_dy / cache.std
        q_row, k_row = walk.spread(q), walk.spread(mean_dy - q * cache.delta)
        for c, d, out in _back_to_front(xs if cache.pivot is None else dxs, dys, dxs):
            width = out.shape[1]
            np.multiply(c, q_row[:width], out)
            np.subtract(d, out, out)
            np.subtract(out, k_row[:width], out)
            np.multiply(out, cache.a[:width], out)
    else:
        for d, out in zip(dys, dxs, strict=True):
            np.multiply(d, cache.a[: out.shape[1]], out)
    return form.restore(dx), mean_x_hat_dy * walk.m, mean_dy * walk.m


def _statistics(xs, cs, walk, eps):
    """pivot, delta and var of each channel; unless pivot is None, cs hold x − pivot afterwards.

    None when float32 is too narrow: a square of c, or the square of that, exceeds its 1e38.
    """
    if not xs:  # a batch without values
        return None, np.zeros(walk.C), np.zeros(walk.C)
    pivot = _first_pivot(xs, walk)
    for _ in range(4):
        means, squares = [], []
        for c in _centre(xs, pivot, cs, walk):
            means.append(walk.mean(c))
            squares.append(walk.mean_product(c, c))
        delta, mean_square = total(means), total(squares)
        if walk.dtype != np.float64 and math.isinf(mean_square.dot(mean_square)):
            return None
        square = delta * delta
        var = np.maximum(mean_square - square, 0)
        if _is_near(square, var + eps):
            break
        mean = delta if pivot is None else pivot + delta
        pivot = mean.astype(walk.dtype)  # a bad pivot: some mean lies 3 deviations off. Once more
    return pivot, delta, var


def _first_pivot(xs, walk):
    """The mean of the first rows, near enough to that of all; None where 0 is near enough too."""
    head = xs[0][: max(1, len(xs[0]) // 8)]
    share = walk.m * walk.C / head.size
    mean = walk.mean(head) * share
    square = mean * mean
    var = walk.mean_product(head, head) * share - square
    return None if _is_near(square, var) else mean


def _is_near(square, var, times=9.0):
    """True when no channel's squared distance exceeds so many times its variance.

    A sum of squares around a pivot two or three deviations off loses less than one digit.
    """
    return not np.count_nonzero(square > times * var)


def _centre(xs, pivot, cs, walk):
    """The blocks of x − pivot, written to cs; or x's own blocks where the pivot is 0."""
    if pivot is None:
        yield from xs
        return
    row = walk.spread(pivot)
    for x, c in zip(xs, cs, strict=True):
        yield np.subtract(x, row[: x.shape[1]], c)


def _back_to_front(*lists):
    """Matching blocks, the last first: the sweep before has left them in the cache."""
    return zip(*(blocks[::-1] for blocks in lists), strict=True)


class BatchNorm(Layer):
    """A batch-normalization layer: parameters, running averages, and the last batch's gradients.

    num_features    C, the number of channels
    eps             added to the variance inside the square root; positive
    momentum        weight of the new value in the running averages, 0 to 1; None averages all
                    batches seen with equal weight
    affine          False: no gamma and beta
    axis            where the channels lie: 1 as in (N, C, H, W), -1 for channels last
    dtype           of the parameters and of x: float32 or float64 (float16 x: float32)

    gamma, beta, dgamma, dbeta      (C,), or None without affine; gamma starts at 1, beta at 0
    running_mean, running_var       (C,), start at 0 and 1
    num_batches_tracked             how many training batches the averages have seen
    training                        True from the start; train() and eval() switch it

    >>> import numpy as np
    >>> bn = BatchNorm(2, dtype=np.float64)
    >>> bn(np.array([[1.0, 5.0], [3.0, 5.0]])).round(4)
    array([[-1.,  0.],
           [ 1.,  0.]])
    >>> bn.running_mean
    array([0.2, 0.5])
    """

    def __init__(
        self, num_features, eps=1e-5, momentum=0.1, affine=True, axis=1, *, dtype=np.float32
    ):
        if operator.index(num_features) < 1:
            raise ValueError(f"num_features is {num_features}; expected at least 1")
        checks.epsilon(eps, positive=True)
        if momentum is not None:
            checks.weight_of_the_new(momentum)
        dtype = np.dtype(dtype)
        if dtype not in (np.float32, np.float64):
            raise TypeError(f"dtype is {dtype}; expected float32 or float64")
        self.num_features, self.eps, self.momentum = num_features, eps, momentum
        self.affine, self.axis = affine, operator.index(axis)
        self.gamma = np.ones(num_features, dtype) if affine else None
        self.beta = np.zeros(num_features, dtype) if affine else None
        self.dgamma = self.dbeta = None
        self.running_mean = np.zeros(num_features, dtype)
        self.running_var = np.ones(num_features, dtype)
        self.num_batches_tracked = 0
        self._cache = None

    def forward(self, x):
        """Normalize x by its own statistics (train) or by the running ones (eval)."""
        momentum = self.momentum
        if momentum is None:
            momentum = 1 / (self.num_batches_tracked + 1)
        y, self._cache = batch_norm(
            x,
            self.gamma,
            self.beta,
            self.running_mean,
            self.running_var,
            training=self.training,
            momentum=momentum,
            eps=self.eps,
            axis=self.axis,
        )
        self.num_batches_tracked += self.training
        return y

    def backward(self, dy):
        """Return dx for the last forward call, and leave dgamma and dbeta in the layer."""
        dx, dgamma, dbeta = batch_norm_backward(dy, need(self._cache))
        if self.affine:
            self.dgamma, self.dbeta = dgamma, dbeta
        return dx

    def parameters(self):
        return {"gamma": self.gamma, "beta": self.beta} if self.affine else {}

    def gradients(self):
        return {"gamma": self.dgamma, "beta": self.dbeta} if self.affine else {}

    def __repr__(self):
        text = f"BatchNorm({self.num_features}, eps={self.eps}, momentum={self.momentum}"
        text += "" if self.affine else ", affine=False"
        text += "" if self.axis == 1 else f", axis={self.axis}"
        return text + ")"


class _Form:
    """The outer form of a batch: where its channels lie, and how it becomes a contiguous walk."""

    def __init__(self, shape, axis, dtype, channels_last, work):
        self.shape, self.axis, self.channels_last, self.work = shape, axis, channels_last, work
        self.dtype = dtype.newbyteorder("=")
        self.parameter_dtype = checks.WORK[self.dtype]
        before, after = math.prod(shape[:axis]), math.prod(shape[axis + 1 :])
        if channels_last:
            before, after = before * after, 1
        self.walk = walk_over(before, shape[axis], after, work)
        self.m = before * after
        self.short = after == 1 and math.prod(shape) <= SHORT
        if self.short:
            self.rows = (before, shape[axis])
            self.is_rows = len(shape) == 2 and axis == 1 and work == self.dtype
            moved = (*shape[:axis], *shape[axis + 1 :], shape[axis])
            self.arranged = moved if channels_last else shape
            self.weights = np.full(before, 1 / max(before, 1), work)
            self.rows_m = np.array(before, work)

    def arrange(self, a):
        """a in the order and dtype of the walk; a itself, mostly."""
        if self.channels_last:
            a = np.moveaxis(a, self.axis, -1)
        return np.ascontiguousarray(a, self.work)

    def restore(self, a):
        """An arranged array back in the form that x came in."""
        if self.work != self.dtype:
            a = a.astype(self.dtype)
        return np.moveaxis(a, -1, self.axis) if self.channels_last else a

    def to_rows(self, a):
        """a as rows of channels, (m, C), for the short path."""
        a = self.arrange(a)
        return a if self.is_rows else a.reshape(self.rows)

    def from_rows(self, a):
        """Rows of channels back in the form that x came in."""
        return a if self.is_rows else self.restore(a.reshape(self.arranged))

    def wider(self):
        """The same form, worked on in float64."""
        dtype = np.dtype(np.float64)
        return _Form(self.shape, self.axis, self.dtype, self.channels_last, dtype)


def _form_of(x, axis):
    """The form of x, made once for each shape, dtype and axis; refuses what has none."""
    axis = axis if type(axis) is int else checks.integer("axis", axis)
    if x.flags.c_contiguous:
        return _form(x.shape, x.dtype, axis, False)
    # Memory that, unlike the shape, has the channels last needs no copy either.
    return _form(x.shape, x.dtype, axis, x.ndim > 1 and np.moveaxis(x, axis, -1).flags.c_contiguous)


@functools.lru_cache(maxsize=256)
def _form(shape, dtype, axis, channels_last):
    checks.floating("x", dtype)
    axis = checks.channel_axis(shape, axis)
    return _Form(shape, axis, dtype, channels_last, checks.WORK[dtype.newbyteorder("=")])
