"""Batch normalization in NumPy: the function, its backward pass, and the layer.

The formulas of bnlib.reference; how they are worked out is in bnlib.numpy.core.
"""

import functools
import math

import numpy as np

from bnlib.numpy.checks import (
    check_array,
    check_axis,
    check_eps,
    check_flag,
    check_floating,
    check_integer,
    check_momentum,
    check_parameter,
    check_running,
)
from bnlib.numpy.core import Plan, backward, forward
from bnlib.numpy.layers import Layer, need
from bnlib.numpy.walk import Columns, walk_over

SHORT = 1 << 14  # up to so many elements Python's own time counts: no walk


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
                    them and leaves them alone. training is a bool, or 1 or 0 of any type
    momentum        weight of the new value, 0 to 1. Other values are refused, though torch
                    takes them
    eps             added to the variance inside the square root, in units of x squared;
                    positive in training, zero allowed in eval mode
    axis            where the channels lie: 1 as in (N, C, H, W), -1 for channels last

    gamma, beta and the running arrays have x's dtype; for a float16 x float32 is welcome too,
    and the work is done in float32. Not-a-number and infinity propagate without a warning.

    Returns y, cache. y is shaped like x and of its dtype; batch_norm_backward takes the cache.
    Raises TypeError and ValueError as described above, always before anything is changed; in
    training also when x has one value per channel. A batch without values has an empty result,
    leaves the running arrays alone, and its gradients of gamma and beta are 0, as in torch.

    Ioffe & Szegedy 2015, arXiv:1502.03167, Algorithms 1 and 2.
    >>> import numpy as np
    >>> y, cache = batch_norm(np.array([[1.0, 5.0], [3.0, 5.0]]), gamma=np.array([2.0, 2.0]))
    >>> y.round(4)
    array([[-2.,  0.],
           [ 2.,  0.]])
    """
    x = check_array("x", x)
    plan = _plan_of(x, axis)
    shape, axis = plan.parameter_shape, plan.axis
    if gamma is not None:
        gamma = check_parameter("gamma", gamma, x, shape, axis)
    if beta is not None:
        beta = check_parameter("beta", beta, x, shape, axis)
    training = check_flag("training", training)
    if running_mean is not None or running_var is not None or not training:
        check_running(running_mean, running_var, x, shape, axis, training)
    eps, momentum = check_eps(eps, positive=training), check_momentum(momentum)
    if training and plan.over.m == 1 and x.size:
        raise ValueError(
            f"x has shape {x.shape}, 1 value(s) per channel; training needs at least 2"
        )
    y, cache = forward(x, gamma, beta, eps, plan, None if training else (running_mean, running_var))
    if training and running_mean is not None:
        follow(running_mean, running_var, cache, momentum)
    return y, cache


def follow(running_mean, running_var, cache, momentum):
    """Update the running arrays in place by the batch of a training-mode cache, if any."""
    if cache.kept.size == 0:
        return
    found, m = cache.statistics, cache.plan.over.m
    old, new, unbiased = _shares(momentum, m, found.var.dtype)
    running_mean *= old
    running_mean += new * found.mean
    running_var *= old
    running_var += unbiased * found.var


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

    >>> import numpy as np
    >>> y, cache = batch_norm(np.array([[1.0], [3.0], [8.0]]))
    >>> dx, dgamma, dbeta = batch_norm_backward(np.array([[1.0], [0.0], [0.0]]), cache)
    >>> dx.round(3), dgamma.round(3), dbeta
    (array([[ 0.109],
           [-0.152],
           [ 0.044]]), array([-1.019]), array([1.]))
    """
    return backward(dy, cache, "batch_norm")


def _plan_of(x, axis):
    """The plan for x, made once for each shape, dtype and axis; refuses what has none."""
    axis = axis if type(axis) is int else check_integer("axis", axis)
    if x.flags.c_contiguous:
        return batch_plan(x.shape, x.dtype, axis, False)
    # Memory that, unlike the shape, has the channels last needs no copy either.
    moved = np.moveaxis(x, check_axis(x.shape, axis), -1)
    return batch_plan(x.shape, x.dtype, axis, moved.flags.c_contiguous)


@functools.lru_cache(maxsize=256)
def batch_plan(shape, dtype, axis, channels_last):
    check_floating("x", dtype)
    axis = check_axis(shape, axis)
    before, C, after = math.prod(shape[:axis]), shape[axis], math.prod(shape[axis + 1 :])
    if channels_last:
        before, after = before * after, 1
    ways = functools.partial(_by_channel, before, C, after)
    to = -1 if channels_last else None
    return Plan("batch_norm", shape, dtype, (C,), ways, axis=axis, to=to)


def _by_channel(before, C, after, work):
    """What averages, and the walk over the parameters: one and the same."""
    small = after == 1 and before * C <= SHORT
    walk = Columns(before, C, work) if small else walk_over(before, C, after, work)
    return walk, walk


class BatchNorm(Layer):
    """A batch-normalization layer: parameters, running averages, and the last batch's gradients.

    num_features    C, the number of channels
    eps             added to the variance inside the square root; positive
    momentum        weight of the new value in the running averages, 0 to 1; None averages all
                    batches seen with equal weight
    affine          False: no gamma and beta
    axis            where the channels lie: 1 as in (N, C, H, W), -1 for channels last
    dtype           of the parameters and of x: float32 or float64 (float16 x: float32). Left
                    out: float32 parameters and running values, and x of any of the three, for
                    the function works with copies in x's dtype, as NumPy promotes

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

    def __init__(self, num_features, eps=1e-5, momentum=0.1, affine=True, axis=1, *, dtype=None):
        num_features = check_integer("num_features", num_features)
        if num_features < 1:
            raise ValueError(f"num_features is {num_features}; expected at least 1")
        self._promotes, dtype = dtype is None, np.dtype(np.float32 if dtype is None else dtype)
        if dtype not in (np.float32, np.float64):
            raise TypeError(f"dtype is {dtype}; expected float32 or float64")
        self.num_features, self.eps = num_features, check_eps(eps, positive=True)
        self.momentum = None if momentum is None else check_momentum(momentum)
        self.affine, self.axis = check_flag("affine", affine), check_integer("axis", axis)
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
        x = check_array("x", x)
        arrays = mine = self.gamma, self.beta, self.running_mean, self.running_var
        if self._promotes and x.dtype.newbyteorder("=") == np.float64 != self.running_mean.dtype:
            arrays = [None if v is None else v.astype(np.float64) for v in mine]
        y, self._cache = batch_norm(
            x, *arrays, training=self.training, momentum=momentum, eps=self.eps, axis=self.axis
        )
        if arrays is not mine:
            self.running_mean[:], self.running_var[:] = arrays[2:]
        self.num_batches_tracked += bool(self.training)
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
