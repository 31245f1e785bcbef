"""Batch normalization in NumPy: the formulas of bnlib.reference for any layout, dtype and mode.

Inside, every batch is seen as (B, C, L): what lies before the channel axis, the channels, and
what lies after. (N, C, H, W) is (N, C, H·W); a channels-last batch is (N·H·W, C, 1).

Two things keep float32 as accurate as float32 can be, even at mean 1e4 and deviation 1:
x is centred before anything is squared, and the mean is kept as pivot + delta, a number of x's
own dtype and the float64 rest that this dtype could not hold.
"""

import math
import numbers
import operator
from typing import NamedTuple

import numpy as np

from bnlib.numpy.layers import Layer, need

_FLOATS = {np.dtype(t) for t in (np.float16, np.float32, np.float64)}


class Cache(NamedTuple):
    """What batch_norm keeps for batch_norm_backward. Statistics are float64, of shape (C,)."""

    x: np.ndarray  # the input as it came: change it in place and the gradients are wrong
    gamma: np.ndarray  # a copy, ones where there was none
    pivot: np.ndarray  # the mean, rounded to the dtype that the work is done in
    delta: np.ndarray  # the mean minus pivot
    var: np.ndarray  # var_B, or in eval mode the running variance
    std: np.ndarray  # sqrt(var + eps)
    axis: int
    training: bool

    @property
    def mean(self):
        """mu_B, or in eval mode the running mean: (C,) float64."""
        return self.pivot + self.delta


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
    x = _floating("x", x)
    axis = _channel_axis(x, axis)
    B, C, L = _batch_channels_rest(x.shape, axis)
    gamma = _per_channel("gamma", gamma, x, axis)
    beta = _per_channel("beta", beta, x, axis)
    _check_running("running_mean", running_mean, x, axis, training)
    _check_running("running_var", running_var, x, axis, training)
    if (running_mean is None) != (running_var is None):
        raise ValueError("running_mean and running_var: one is None; give both or neither")
    _check_eps(eps, training)
    _check_momentum(momentum)
    if training and B * L < 2:
        raise ValueError(
            f"x has shape {x.shape}, {B * L} value(s) per channel; training needs at least 2"
        )

    work = np.result_type(x, np.float32).newbyteorder("=")  # float16 is worked on in float32
    with np.errstate(all="ignore"):
        x3 = x.reshape(B, C, L).astype(work, copy=False)
        if training:
            pivot, delta, var = _statistics(x3)
        else:
            pivot, delta, var = running_mean.astype(work), np.zeros(C), running_var.astype(float)
        std = np.sqrt(var + eps)
        a = (1.0 if gamma is None else gamma) / std
        b = (0.0 if beta is None else beta) - delta * a
        y = x3 - pivot[:, None]
        y *= a.astype(work)[:, None]
        y += b.astype(work)[:, None]
        y = y.astype(x.dtype.newbyteorder("="), copy=False).reshape(x.shape)
        if training and running_mean is not None:
            m = B * L
            running_mean *= 1 - momentum
            running_mean += momentum * (pivot + delta)
            running_var *= 1 - momentum
            running_var += momentum * (m / (m - 1)) * var
    gamma = np.ones(C, work) if gamma is None else gamma.copy()
    return y, Cache(x, gamma, pivot, delta, var, std, axis, bool(training))


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
    x, gamma, pivot, delta, _, std, axis, training = cache
    dy = _like("dy", dy, x)
    B, C, L = _batch_channels_rest(x.shape, axis)
    m = B * L
    with np.errstate(all="ignore"):
        x3 = x.reshape(B, C, L).astype(pivot.dtype, copy=False)
        dy3 = dy.reshape(B, C, L).astype(pivot.dtype, copy=False)
        dx = x3 - pivot[:, None]
        sum_dy = dy3.sum(axis=(0, 2), dtype=float)
        sum_dy_x = np.einsum("bcl,bcl->c", dx, dy3, dtype=float) - delta * sum_dy  # (x − mean)·dy
        if training:
            q = -sum_dy_x / (m * std * std)
            dx *= q.astype(dx.dtype)[:, None]
            dx += dy3
            dx += (-sum_dy / m - q * delta).astype(dx.dtype)[:, None]
        else:
            dx[...] = dy3
        dx *= (gamma / std).astype(dx.dtype)[:, None]
        dx = dx.astype(x.dtype.newbyteorder("="), copy=False).reshape(x.shape)
        dgamma, dbeta = (sum_dy_x / std).astype(gamma.dtype), sum_dy.astype(gamma.dtype)
    return dx, dgamma, dbeta


def _statistics(x):
    """pivot, delta and var of each channel of x, (B, C, L): the mean is pivot + delta."""
    pivot = x.mean(axis=(0, 2), dtype=float).astype(x.dtype)
    centred = x - pivot[:, None]
    delta = centred.mean(axis=(0, 2), dtype=float)
    var = np.square(centred, dtype=float).mean(axis=(0, 2)) - delta * delta
    return pivot, delta, np.maximum(var, 0.0)


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
        _check_eps(eps, training=True)
        if momentum is not None:
            _check_momentum(momentum)
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


# ---- what is asked of the arguments


def _floating(name, a):
    a = np.asarray(a)
    if a.dtype.newbyteorder("=") not in _FLOATS:
        raise TypeError(f"{name} has dtype {a.dtype}; expected float16, float32 or float64")
    return a


def _channel_axis(x, axis):
    """axis as a number from 0 on."""
    if x.ndim < 2:
        raise ValueError(f"x has shape {x.shape}; expected two or more dimensions")
    try:
        index = operator.index(axis)
    except TypeError:
        raise TypeError(f"axis is {axis!r}; expected an integer") from None
    if not -x.ndim <= index < x.ndim:
        raise ValueError(f"axis is {axis}; x of shape {x.shape} has axes {-x.ndim} to {x.ndim - 1}")
    return index % x.ndim


def _batch_channels_rest(shape, axis):
    return math.prod(shape[:axis]), shape[axis], math.prod(shape[axis + 1 :])


def _per_channel(name, v, x, axis):
    """v as an array with one value per channel of x, or None."""
    if v is None:
        return None
    v = np.asarray(v)
    if v.shape != (x.shape[axis],):
        where = "" if axis == 1 else f" with channels on axis {axis}"
        raise ValueError(
            f"{name} has shape {v.shape}; x of shape {x.shape}{where} needs ({x.shape[axis]},)"
        )
    given, wanted = v.dtype.newbyteorder("="), x.dtype.newbyteorder("=")
    if given != wanted and not (wanted == np.float16 and given == np.float32):
        half = "float16 or float32" if wanted == np.float16 else wanted
        raise TypeError(f"{name} has dtype {given}; x is {wanted} and needs {half}")
    return v


def _check_running(name, v, x, axis, training):
    if v is None:
        if not training:
            raise ValueError(f"{name} is None; eval mode (training=False) normalizes with it")
        return
    if not isinstance(v, np.ndarray):
        raise TypeError(f"{name} is a {type(v).__name__}; expected a NumPy array")
    _per_channel(name, v, x, axis)
    if training and not v.flags.writeable:
        raise ValueError(f"{name} is read-only; training updates it in place")


def _check_eps(eps, training):
    _check_real("eps", eps)
    if not 0 <= eps < math.inf or (training and eps == 0):
        wish = "a positive number in training" if training else "zero or a positive number"
        raise ValueError(f"eps is {eps}; expected {wish}")


def _check_momentum(momentum):
    _check_real("momentum", momentum)
    if not 0 <= momentum <= 1:
        raise ValueError(f"momentum is {momentum}; expected 0 to 1, the weight of the new value")


def _check_real(name, value):
    if not isinstance(value, numbers.Real):
        raise TypeError(f"{name} is {value!r}; expected a real number")


def _like(name, a, x):
    """a as an array of x's shape and dtype."""
    a = np.asarray(a)
    if a.shape != x.shape:
        raise ValueError(f"{name} has shape {a.shape}; x has {x.shape} and they must agree")
    if a.dtype.newbyteorder("=") != x.dtype.newbyteorder("="):
        raise TypeError(f"{name} has dtype {a.dtype}; x is {x.dtype} and they must agree")
    return a
