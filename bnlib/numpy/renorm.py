"""Batch renormalization in NumPy: batch norm that trains on what it will be evaluated with."""

from typing import NamedTuple

import numpy as np

from bnlib.numpy.batchnorm import batch_norm, batch_norm_backward, follow
from bnlib.numpy.checks import (
    WORK,
    check_array,
    check_axis,
    check_eps,
    check_flag,
    check_floating,
    check_like,
    check_momentum,
    check_parameter,
    check_real,
    check_running,
)
from bnlib.numpy.core import Cache, name_of


class RenormCache(NamedTuple):
    """What batch_renorm keeps for batch_renorm_backward."""

    cache: Cache  # of a batch norm without gamma and beta
    r: np.ndarray  # (C,), both constants to the gradient
    d: np.ndarray
    gamma: np.ndarray
    dtype: np.dtype  # of x


@np.errstate(all="ignore")
def batch_renorm(
    x,
    gamma=None,
    beta=None,
    running_mean=None,
    running_var=None,
    *,
    r_max=3.0,
    d_max=5.0,
    training=True,
    momentum=0.1,
    eps=1e-5,
    axis=1,
):
    """Normalize by the batch's statistics, then move the result to where the running ones put it.

    With σ² = running_var + eps and σ_B² = var_B + eps
        y = γ · (x̂ · r + d) + β,   r = σ_B / σ,   d = (μ_B − running_mean) / σ,
    r kept within 1 / r_max to r_max and d within −d_max to d_max. Inside these bounds y is what
    evaluation gives; the gradient flows through μ_B and σ_B and takes r and d as constants.

    r_max       1 or more; 1 with d_max = 0 is batch norm. The paper starts so and opens both
    d_max       zero or more
    running_mean, running_var
                (C,) arrays, both needed; training uses them, then updates them in place
    others      as in batch_norm

    Returns y, cache. Raises TypeError and ValueError before anything is changed.

    Ioffe 2017, arXiv:1702.03275, Algorithm 1, with batch_norm's running variance in place of a
    running deviation.
    >>> import numpy as np
    >>> y, _ = batch_renorm(np.array([[1.0], [3.0]]), None, None, np.zeros(1), np.ones(1))
    >>> y.round(3)
    array([[1.],
           [3.]])
    """
    x = check_array("x", x)
    check_floating("x", x.dtype)
    axis = check_axis(x.shape, axis)
    training, shape = check_flag("training", training), (x.shape[axis],)
    for name, running in (("running_mean", running_mean), ("running_var", running_var)):
        if running is None:
            raise ValueError(f"{name} is None; batch renormalization needs it in both modes")
    check_running(running_mean, running_var, x, shape, axis, training)
    for name, bound, least in (("r_max", r_max, 1), ("d_max", d_max, 0)):
        if not check_real(name, bound) >= least:
            raise ValueError(f"{name} is {bound}; expected {least} or more")
    r_max, d_max, momentum = float(r_max), float(d_max), check_momentum(momentum)
    eps = check_eps(eps, positive=training)
    wide = x.astype(WORK[x.dtype.newbyteorder("=")], copy=False)
    ones = np.ones(shape, wide.dtype)
    gamma = ones if gamma is None else check_parameter("gamma", gamma, x, shape, axis)
    beta = 0 * ones if beta is None else check_parameter("beta", beta, x, shape, axis)
    if training:
        y, cache = batch_norm(wide, eps=eps, axis=axis)
        std = np.sqrt(running_var + eps)
        r = np.clip(cache.statistics.std / std, 1 / r_max, r_max)
        d = np.clip((cache.statistics.mean - running_mean) / std, -d_max, d_max)
        follow(running_mean, running_var, cache, momentum)
    else:
        y, cache = batch_norm(
            wide,
            running_mean=running_mean.astype(wide.dtype),
            running_var=running_var.astype(wide.dtype),
            training=False,
            eps=eps,
            axis=axis,
        )
        r, d = ones, 0 * ones
    y *= _line_up(gamma * r, x, axis)
    y += _line_up(gamma * d + beta, x, axis)
    dtype = x.dtype.newbyteorder("=")
    return y.astype(dtype, copy=False), RenormCache(cache, r, d, gamma.copy(), dtype)


@np.errstate(all="ignore")
def batch_renorm_backward(dy, cache):
    """Carry the gradient of the loss back through batch_renorm.

    dy          ∂ℓ/∂y, shaped like y and of its dtype
    cache       what batch_renorm returned beside y

    Returns dx, dgamma, dbeta. Raises TypeError and ValueError when dy or cache does not fit.

    >>> import numpy as np
    >>> y, cache = batch_renorm(np.array([[1.0], [3.0]]), None, None, np.zeros(1), np.ones(1))
    >>> dx, dgamma, dbeta = batch_renorm_backward(np.array([[1.0], [0.0]]), cache)
    >>> dgamma.round(3), dbeta
    (array([1.]), array([1.]))
    """
    if not isinstance(cache, RenormCache):
        raise TypeError(f"cache is {name_of(cache)}; expected what batch_renorm returned")
    inner, r, d, gamma, dtype = cache
    dy = check_like("dy", dy, inner.plan.shape, dtype)
    dx, sum_x_hat_dy, sum_dy = batch_norm_backward(dy.astype(inner.plan.dtype, copy=False), inner)
    dx *= _line_up(gamma * r, dx, inner.plan.axis)
    dgamma = r * sum_x_hat_dy + d * sum_dy
    return dx.astype(dtype, copy=False), dgamma.astype(gamma.dtype), sum_dy.astype(gamma.dtype)


def _line_up(v, x, axis):
    """(C,) in a shape that meets the channels of x."""
    return v.reshape([-1 if i == axis else 1 for i in range(x.ndim)])
