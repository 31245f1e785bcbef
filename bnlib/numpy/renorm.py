"""Batch renormalization in NumPy: batch norm that trains on what it will be evaluated with."""

from typing import NamedTuple

import numpy as np

from bnlib.numpy import checks
from bnlib.numpy.batchnorm import Cache, batch_norm, batch_norm_backward, follow


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
    x = np.asarray(x)
    checks.floating("x", x.dtype)
    axis = checks.channel_axis(x.shape, checks.integer("axis", axis))
    for name, running in (("running_mean", running_mean), ("running_var", running_var)):
        if running is None:
            raise ValueError(f"{name} is None; batch renormalization needs it in both modes")
    checks.running_pair(running_mean, running_var, x, axis, training)
    for name, bound, least in (("r_max", r_max, 1), ("d_max", d_max, 0)):
        checks.real(name, bound)
        if not bound >= least:
            raise ValueError(f"{name} is {bound}; expected {least} or more")
    checks.weight_of_the_new(momentum)
    wide = x.astype(checks.WORK[x.dtype.newbyteorder("=")], copy=False)
    ones = np.ones(x.shape[axis], wide.dtype)
    gamma = ones if gamma is None else checks.per_channel("gamma", gamma, x, axis)
    beta = 0 * ones if beta is None else checks.per_channel("beta", beta, x, axis)
    if training:
        y, cache = batch_norm(wide, eps=eps, axis=axis)
        std = np.sqrt(running_var + eps)
        r = np.clip(cache.std / std, 1 / r_max, r_max)
        d = np.clip((cache.mean - running_mean) / std, -d_max, d_max)
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
    """
    if not isinstance(cache, RenormCache):
        raise TypeError(f"cache is a {type(cache).__name__}; expected what batch_renorm returned")
    inner, r, d, gamma, dtype = cache
    dy = checks.like("dy", dy, inner.form.shape, dtype)
    dx, sum_x_hat_dy, sum_dy = batch_norm_backward(dy.astype(inner.form.dtype, copy=False), inner)
    dx *= _line_up(gamma * r, dx, inner.form.axis)
    dgamma = r * sum_x_hat_dy + d * sum_dy
    return dx.astype(dtype, copy=False), dgamma.astype(gamma.dtype), sum_dy.astype(gamma.dtype)


def _line_up(v, x, axis):
    """(C,) in a shape that meets the channels of x."""
    return v.reshape([-1 if i == axis else 1 for i in range(x.ndim)])
