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

from bnlib.torch._checks import HALF, statistics_dtype
from bnlib.torch._passes import (
    FEW,
    batch_axes,
    cast,
    early_mean,
    first_value,
    per_channel,
    plain,
    scale_shift,
    values_per_channel,
)


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
    """`forward` in few operations, for batches where each costs about as much to start as to run.

    With few values a channel's first one is the pivot (near_mean in _passes.py says why).
    Returns y; pivot, Σ (x − pivot) and Σ (x − mu_B)², which small_statistics takes; and what
    backward_small takes: x − mu_B, 1/√(var_B + ε) and a. Vectors keep the dimensions of x.
    """
    m, dtype = values_per_channel(x), x.dtype
    # here a call of a function counts, so that (N, C) of one dtype is written out
    if x.dim() == 2:
        axes, keep, pivot = 0, False, x.select(0, 0)  # x[0], which takes longer
    else:
        axes, keep, pivot = batch_axes(x), True, first_value(x)
    if m > FEW:
        pivot = per_channel(early_mean(x), x)
    elif dtype in HALF:
        pivot = cast(pivot, torch.float32)
    c = x - pivot
    sum_c = c.sum(axes, keep)
    one_over_m = 1 / m
    c.sub_(sum_c, alpha=one_over_m)  # x − mu_B
    squares = c * c
    sum_cc = squares.sum(axes, keep)
    # var_B + ε. A number costs more to add than a tensor, which it is made into first
    invstd = torch.full_like(sum_cc, eps).add_(sum_cc, alpha=one_over_m).rsqrt_()
    if weight is None:
        a = invstd
    elif keep or weight.dim() != 1 or weight.dtype != c.dtype:
        a = invstd * per_channel(vector(weight, c), c)
    else:
        a = invstd * weight
    if bias is not None and (keep or bias.dim() != 1 or bias.dtype != c.dtype):
        bias = per_channel(vector(bias, c), c)
    y = scale_shift(c, a, bias, out=squares)  # over what is in the cache already
    return y if y.dtype == dtype else y.to(dtype), pivot, sum_c, sum_cc, c, invstd, a


def small_statistics(pivot, sum_c, sum_cc, m):
    """The mean and the unbiased variance of forward_small's batch."""
    return torch.add(pivot, sum_c, alpha=1 / m).view(-1), (sum_cc / (m - 1)).view(-1)


def backward_small(dy, c, invstd, a, want_dx=True):
    """dx, dγ and dβ of `forward_small`."""
    axes, keep = (0, False) if c.dim() == 2 else (batch_axes(c), True)
    dtype = c.dtype
    products = c * dy  # in this order the memory format is that of c
    dbeta = dy.sum(axes, keep) if dy.dtype == dtype else dy.sum(axes, keep, dtype=dtype)
    dgamma = products.sum(axes, keep).mul_(invstd)
    if not want_dx:
        return None, dgamma, dbeta
    sums = scale_shift(c, invstd * dgamma, dbeta, out=products)  # x_hat·dγ + dβ
    dx = torch.sub(dy, sums, alpha=1 / values_per_channel(dy), out=sums).mul_(a)
    return dx if dy.dtype == dtype else dx.to(dy.dtype), dgamma, dbeta


def forward_in_evaluation(x, mean, var, weight, bias, eps, passes=plain):
    """Algorithm 2, line 11: y = a·(x − E[x]) + β"""
    dtype = statistics_dtype(x.dtype)
    a = slope(torch.rsqrt(cast(var, dtype) + eps), weight)
    b = torch.zeros_like(a) if bias is None else vector(bias, a)
    return cast(passes.line(x, cast(mean, dtype), a, b), x.dtype)


def backward_in_evaluation(
    dy, x, weight, mean, var, eps, passes=plain, want_dx=True, want_sums=True
):
    """dx, dγ and dβ of `forward_in_evaluation`."""
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
