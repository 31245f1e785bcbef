"""Batch norm's formulas, forward and backward, on tensors; autograd and buffers are batchnorm.py's.

The letters are the paper's (Ioffe & Szegedy 2015, arXiv:1502.03167). For accuracy the mean is
kept as two numbers, mu_B = pivot + delta: the pivot is near the mean, and delta is how far it
missed. x − pivot is exact where x is near its mean, so that float32 data with mean 1e4 and
deviation 1 loses nothing; torch's own kernels lose half of their digits there.

With c = x − pivot and a = γ/√(var_B + ε) one channel's forward and backward read

    y  = a·c + (β − a·delta)
    dβ = Σ dy
    dγ = Σ dy·x_hat = (Σ dy·c − delta·dβ) / √(var_B + ε)
    dx = a·(dy − dβ/m − x_hat·dγ/m) = a·dy + q·c + k

Per-channel vectors are (C,) in the dtype of the statistics: float32 for half and bfloat16.
"""

import torch

from bnlib.torch._checks import statistics_dtype
from bnlib.torch._passes import channel_mean, channel_sum, per_channel, plain, values_per_channel


def forward(x, weight, bias, eps, passes=plain):
    """Algorithm 1. Returns y, and pivot, delta, var_B and 1/√(var_B + ε) of each channel."""
    c, pivot, delta, var = passes.moments(x)
    invstd = torch.rsqrt(var + eps)
    a = slope(invstd, weight)
    y = passes.scale_shift(c, a, offset(a, delta, bias))
    return cast(y, x.dtype), pivot, delta, var, invstd


def backward(dy, x, weight, pivot, delta, invstd, passes=plain, want_dx=True):
    """dx, dγ and dβ of `forward`."""
    c, dbeta, sum_dy_c = passes.gradient_sums(dy, x, pivot)
    sum_dy_xmu = torch.addcmul(sum_dy_c, delta, dbeta, value=-1)  # Σ dy·(x − mu_B)
    dx = None
    if want_dx:
        dx = input_gradient(
            c, dy, weight, delta, invstd, dbeta, sum_dy_xmu, 1 / values_per_channel(x), passes
        )
    return dx, sum_dy_xmu * invstd, dbeta


def input_gradient(c, dy, weight, delta, invstd, dbeta, sum_dy_xmu, one_over_m, passes):
    """dx, from sums over the whole mini-batch; one_over_m is a number or a 0-d tensor."""
    a = slope(invstd, weight)
    minus_a_over_m = -one_over_m * a
    q = minus_a_over_m * invstd * invstd * sum_dy_xmu
    k = torch.addcmul(minus_a_over_m * dbeta, q, delta, value=-1)
    return cast(passes.combine(c, dy, q, k, a), dy.dtype)


def forward_small(x, weight, bias, eps):
    """`forward` in few operations, for batches where each costs more to start than to run.

    A channel's first value is the pivot: no value lies further from the mean than √m deviations
    (Samuelson's inequality), and with so few values that costs float32 no digit that counts.
    Returns y, pivot, delta, var_B, 1/√(var_B + ε) and x_hat, which backward_small takes.
    """
    pivot = cast(x[0] if x.dim() == 2 else x[0].flatten(1)[:, 0], statistics_dtype(x.dtype))
    c = x - per_channel(pivot, x)
    delta = channel_mean(c)
    c -= per_channel(delta, c)
    var = channel_mean(c * c)
    invstd = (var + eps).rsqrt_()
    x_hat = c.mul_(per_channel(invstd, c))
    return cast(affine(x_hat, weight, bias), x.dtype), pivot, delta, var, invstd, x_hat


def backward_small(dy, x_hat, weight, invstd, want_dx=True):
    """dx, dγ and dβ of `forward_small`."""
    dbeta, dgamma = channel_sum(dy, x_hat.dtype), channel_sum(dy * x_hat)
    if not want_dx:
        return None, dgamma, dbeta
    sums = torch.addcmul(per_channel(dbeta, dy), x_hat, per_channel(dgamma, dy))
    dx = torch.sub(dy, sums, alpha=1 / values_per_channel(dy), out=sums)
    return cast(dx.mul_(per_channel(slope(invstd, weight), dy)), dy.dtype), dgamma, dbeta


def evaluate(x, mean, var, weight, bias, eps, passes=plain):
    """Algorithm 2, line 11: y = a·(x − E[x]) + β"""
    dtype = statistics_dtype(x.dtype)
    a = slope(torch.rsqrt(cast(var, dtype) + eps), weight)
    b = torch.zeros_like(a) if bias is None else vector(bias, a)
    return cast(passes.line(x, cast(mean, dtype), a, b), x.dtype)


def evaluate_backward(dy, x, weight, mean, var, eps, passes=plain, want_dx=True, want_sums=True):
    """dx, dγ and dβ of `evaluate`."""
    dtype = statistics_dtype(x.dtype)
    invstd = torch.rsqrt(cast(var, dtype) + eps)
    dx = dgamma = dbeta = None
    if want_dx:
        dx = cast(dy * per_channel(slope(invstd, weight), x), x.dtype)
    if want_sums:
        _, dbeta, sum_dy_c = passes.gradient_sums(dy, x, cast(mean, dtype))
        dgamma = sum_dy_c * invstd
    return dx, dgamma, dbeta


def slope(invstd, weight):
    """a of y = a·c + b"""
    return invstd if weight is None else invstd * vector(weight, invstd)


def offset(a, delta, bias):
    """b of y = a·c + b"""
    return a * -delta if bias is None else torch.addcmul(vector(bias, a), a, delta, value=-1)


def affine(x, weight, bias):
    """γ·x + β with whichever of the two there is, as a new tensor."""
    if weight is not None and bias is not None:
        return torch.addcmul(per_channel(vector(bias, x), x), x, per_channel(vector(weight, x), x))
    if weight is not None:
        return x * per_channel(vector(weight, x), x)
    return x.clone() if bias is None else x + per_channel(vector(bias, x), x)


def vector(parameter, like):
    """A parameter as (C,) in the dtype of `like`; torch takes (1, C) too."""
    return cast(parameter if parameter.dim() == 1 else parameter.reshape(-1), like.dtype)


def cast(tensor, dtype):
    """tensor.to(dtype), which leaves no trace in an exported graph where it does nothing."""
    return tensor if tensor.dtype == dtype else tensor.to(dtype)
