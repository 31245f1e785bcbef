"""Layer, group and instance norm: drop-ins for torch.nn.functional's, by one set of formulas.

All three standardize values of one example, seen as (N, G, D, S): G groups of D channels with S
values each. A group's D·S values share mean and variance; each channel has its own γ and β.

                 N           G       D        S
layer_norm       examples    1       values   1         normalized_shape holds the values
group_norm       examples    groups  C/G      H·W
instance_norm    examples    C       1        H·W

They are batch norm's formulas (_formulas.py) with the sums over other axes, so that nothing here
depends on other examples, and on a CPU each block of examples can be done while it is in the
cache. Running statistics, which only instance_norm may have, are averages over examples.
"""

import math

import torch
from torch.overrides import handle_torch_function, has_torch_function_variadic

from bnlib.torch._checks import (
    ArgumentError,
    check_companion,
    check_eps,
    check_floating,
    check_momentum,
    statistics_dtype,
)
from bnlib.torch._formulas import cast
from bnlib.torch._passes import _blocks, dense
from bnlib.torch.batchnorm import _by_hand, _Follow, _in_place_allowed, batch_norm, follow

LARGE = 1 << 15  # elements; einsum is a pass less over memory, but slow to start


def layer_norm(input, normalized_shape, weight=None, bias=None, eps=1e-5):
    """Normalize each example over its last dimensions, then scale and shift.

    A drop-in for torch.nn.functional.layer_norm, with derivatives of every order.

    input       (*, *normalized_shape), float32, float64, float16 or bfloat16
    normalized_shape
                the last dimensions of input, a list or tuple of one int or more
    weight, bias
                of shape normalized_shape, scale γ and shift β; None stands for ones and zeros
    eps         ≥ 0, added to the variance inside the root

    float16 and bfloat16 take statistics in float32, and parameters in either dtype. Returns y,
    with the shape and dtype of input. Raises ValueError and TypeError as batch_norm does.

    Ba, Kiros & Hinton 2016, arXiv:1607.06450.
    >>> layer_norm(torch.tensor([[1.0, 3.0], [5.0, 9.0]]), [2], eps=0.0)
    tensor([[-1.,  1.],
            [-1.,  1.]])
    """
    tensors = (input, weight, bias)
    if has_torch_function_variadic(*tensors):
        return handle_torch_function(
            layer_norm, tensors, input, normalized_shape, weight=weight, bias=bias, eps=eps
        )
    check_floating(input, "layer_norm")
    values = _check_normalized_shape(normalized_shape, input)
    _check_parameters(weight, bias, values, input, eps, "layer_norm")
    input, m = _autocast(input).contiguous(), math.prod(values)
    examples = math.prod(input.shape[: input.dim() - len(values)])
    y, _, _ = _normalize(input.view(examples, 1, m, 1), weight, bias, eps)
    return y.view(input.shape)


def group_norm(input, num_groups, weight=None, bias=None, eps=1e-5):
    """Normalize each group of channels of each example; scale and shift each channel.

    A drop-in for torch.nn.functional.group_norm, with derivatives of every order.

    input       (N, C) or (N, C, ...), float32, float64, float16 or bfloat16; NCHW and
                channels-last memory stay what they are
    num_groups  ≥ 1, divides C
    weight, bias
                (C,) scale γ and shift β; None stands for ones and zeros
    eps         ≥ 0, added to the variance inside the root

    float16 and bfloat16 take statistics in float32, and parameters in either dtype. Returns y,
    with the shape and dtype of input. Raises ValueError and TypeError as batch_norm does, also
    where one value would be normalized alone.

    Wu & He 2018, arXiv:1803.08494.
    >>> group_norm(torch.tensor([[1.0, 3.0, 5.0, 9.0]]), 2, eps=0.0)
    tensor([[-1.,  1., -1.,  1.]])
    """
    tensors = (input, weight, bias)
    if has_torch_function_variadic(*tensors):
        return handle_torch_function(
            group_norm, tensors, input, num_groups, weight=weight, bias=bias, eps=eps
        )
    check_floating(input, "group_norm")
    _check_groups(num_groups, input)
    _check_parameters(weight, bias, input.shape[1:2], input, eps, "group_norm")
    return _normalize_groups(_autocast(input), num_groups, weight, bias, eps)[0]


def instance_norm(
    input,
    running_mean=None,
    running_var=None,
    weight=None,
    bias=None,
    use_input_stats=True,
    momentum=0.1,
    eps=1e-5,
):
    """Normalize each channel of each example, then scale and shift.

    A drop-in for torch.nn.functional.instance_norm, with derivatives of every order; a momentum
    outside [0, 1] is refused.

    input       (N, C, ...), float32, float64, float16 or bfloat16; NCHW and channels-last memory
                stay what they are
    running_mean, running_var
                (C,) or None; updated in place, when use_input_stats, by the examples' mean and
                unbiased variance, averaged over the examples
    weight, bias
                (C,) scale γ and shift β; None stands for ones and zeros
    use_input_stats
                False: running_mean and running_var normalize, as batch_norm's in evaluation
    momentum    in [0, 1], weighs the new value
    eps         ≥ 0, added to the variance inside the root

    float16 and bfloat16 take statistics in float32, and parameters in either dtype. Returns y,
    with the shape and dtype of input. Raises ValueError and TypeError as batch_norm does, also
    where a channel has one value an example.

    Ulyanov, Vedaldi & Lempitsky 2016, arXiv:1607.08022.
    >>> instance_norm(torch.tensor([[[1.0, 3.0], [5.0, 9.0]]]), eps=0.0)
    tensor([[[-1.,  1.],
             [-1.,  1.]]])
    """
    tensors = (input, running_mean, running_var, weight, bias)
    if has_torch_function_variadic(*tensors):
        return handle_torch_function(
            instance_norm,
            tensors,
            *tensors,
            use_input_stats=use_input_stats,
            momentum=momentum,
            eps=eps,
        )
    check_floating(input, "instance_norm")
    check_momentum(momentum, "instance_norm")
    if not use_input_stats:
        return batch_norm(*tensors, False, momentum, eps)
    values = math.prod(input.shape[2:])
    if values == 1:
        raise ValueError(
            f"Expected more than 1 spatial element when training, got input size {input.shape}"
        )
    if (running_mean is None) != (running_var is None):
        raise ValueError("running_mean and running_var must either both be None or neither be None")
    running = {"running_mean": running_mean, "running_var": running_var}
    for name, value in running.items() if running_mean is not None else ():
        _check_parameter(name, value, input.shape[1:2], input, "instance_norm")
    _check_parameters(weight, bias, input.shape[1:2], input, eps, "instance_norm")
    y, mean, var = _normalize_groups(input, input.shape[1], weight, bias, eps)
    if running_mean is not None and input.numel() > 0:
        unbiased = var * (values / (values - 1))
        update = _Follow.apply if torch._C._are_functorch_transforms_active() else follow
        update(running_mean, mean.detach().mean(0), momentum)
        update(running_var, unbiased.detach().mean(0), momentum)
    return y


# ---- the formulas, on x (N, G, D, S), γ and β (1, G, D, 1)


def _moments(x):
    """c = x − pivot, pivot, delta and var: mean = pivot + delta, as in _formulas.py.

    c is like x, the others (N, G, 1, 1).
    """
    m = x.shape[2] * x.shape[3]
    pivot = (_group_sum(x, statistics_dtype(x.dtype)) / m).detach()
    c = x - _spread(pivot, x)
    sum_c, sum_cc = _group_sum(c), _group_sum(c * c)
    delta = sum_c / m
    var = torch.addcmul(sum_cc, delta, sum_c, value=-1).clamp_min(0) / m
    return c, pivot, delta, var


def _forward(x, gamma, beta, eps, out=None):
    """y, and pivot, delta, var and 1/√(var + ε) of each group.

    y = x_hat·γ + β with x_hat = (c − delta)/√(var + ε); where γ and β stand for S values each, or
    there are none, as c·a + b at once.
    """
    c, pivot, delta, var = _moments(x)
    invstd = torch.rsqrt(var + eps)
    if x.shape[3] > 1 or (gamma is None and beta is None):
        a = _times(invstd, gamma)
        y = _line(c, a, -delta * a if beta is None else beta - delta * a, out)
    else:
        x_hat = _line(c, invstd, -delta * invstd)
        y = _line(x_hat, gamma, beta, out)
    return cast(y, x.dtype), pivot, delta, var, invstd


def _backward(dy, c, delta, invstd, gamma, want_sums=True, out=None):
    """dx, dγ and dβ: with dx_hat = γ·dy, dx = (dx_hat − mean(dx_hat) − x_hat·mean(dx_hat·x_hat))/σ

    where the means are over a group's m values, and σ = √(var + ε); that is c·q + k + dy·a, as in
    _formulas.py.
    """
    m = c.shape[2] * c.shape[3]
    sum_dy, sum_dy_c = _channel_sum(dy, c.dtype), _channel_sum(dy * c)  # of each example
    sum_dx_hat = _group_total(sum_dy, gamma)
    sum_product = invstd * (_group_total(sum_dy_c, gamma) - delta * sum_dx_hat)
    q = -invstd * invstd * sum_product / m
    k = -invstd * sum_dx_hat / m - q * delta
    dx = _plus_product(_line(c, q, k), dy, _times(invstd, gamma), out)
    if not want_sums:
        return cast(dx, dy.dtype), None, None
    dgamma = _example_total(sum_dy_c, invstd) - _example_total(sum_dy, invstd * delta)
    return cast(dx, dy.dtype), dgamma, sum_dy.sum(0, keepdim=True)


def _times(v, gamma):
    return v if gamma is None else v * cast(gamma, v.dtype)


def _line(x, a, b, out=None):
    """x·a + b, in the dtype of x or into `out`; either a or b may be None"""
    a, b = (None if v is None else cast(v, x.dtype) for v in (a, b))
    if a is None:
        return torch.add(x, b, out=out)
    if b is None:
        return torch.mul(x, _spread(a, x), out=out)
    # on a CPU, addcmul is five times slower where a and b stand still in the inner loop
    if not x.is_cpu or (x.shape[3] == 1 and a.shape[2] == x.shape[2]):
        return torch.addcmul(b, x, a, out=out)
    return torch.add(x * _spread(a, x), _spread(b, x), out=out)


def _plus_product(x, dy, a, out=None):
    """x + dy·a"""
    if not x.is_cpu or x.shape[3] == 1:
        return torch.addcmul(x, cast(dy, x.dtype), a, out=out)
    return torch.add(x, dy * _spread(a, x), out=out)


def _channel_sum(x, dtype=None):
    """(N, G, D, S) -> (N, G, D, 1)"""
    return x.sum(3, keepdim=True, dtype=dtype) if x.shape[3] > 1 else cast(x, dtype or x.dtype)


def _group_sum(x, dtype=None):
    """(N, G, D, S) -> (N, G, 1, 1)"""
    return _channel_sum(x, dtype).sum(2, keepdim=True)


def _group_total(v, gamma):
    """Σ v·γ over the channels of a group: (N, G, D, 1) -> (N, G, 1, 1)"""
    if gamma is None or not _suits_blas(v):
        return _times(v, gamma).sum(2, keepdim=True)
    gamma = cast(gamma, v.dtype)
    return torch.einsum("ngd,gd->ng", v[..., 0], gamma[0, ..., 0])[..., None, None]


def _example_total(v, weights):
    """Σ v·weights over the examples: (N, G, D, 1) and (N, G, 1, 1) -> (1, G, D, 1)"""
    if not _suits_blas(v):
        return (v * weights).sum(0, keepdim=True)
    return torch.einsum("ngd,ng->gd", v[..., 0], weights[..., 0, 0])[None, ..., None]


def _suits_blas(v):
    """Is einsum, which calls BLAS, the faster way to weigh and add up v, and allowed to?

    Autocast would round its sums to 16 bits, and it has no rule for batches of gradients.
    """
    large = _in_blocks(v) and v.numel() >= LARGE
    return large and torch._C._has_storage(v) and not torch.is_autocast_enabled("cpu")


def _spread(v, x):
    """(N, G, 1, 1) -> (N, G, D, 1) where that lets a CPU's inner loops run over all channels."""
    if x.shape[3] == 1 or x.shape[2] == 1 or not x.is_cpu:
        return v
    return v.expand(-1, -1, x.shape[2], -1).contiguous()


# ---- the same for autograd


def _normalize_groups(input, groups, weight, bias, eps):
    """group_norm without its checks; also mean and variance, (N, G)."""
    x, values = dense(input), math.prod(input.shape[2:])
    if input.numel() == 0:
        groups = 1  # any will do, and 0 channels have no other
    form = (input.shape[0], groups, input.shape[1] // groups, values)
    y, mean, var = _normalize(x.reshape(form), weight, bias, eps)
    return y.reshape(input.shape), mean, var


def _normalize(x, weight, bias, eps):
    """y, mean and variance (N, G) of x (N, G, D, S); weight and bias hold G·D numbers."""
    gamma, beta = (None if v is None else v.reshape(1, *x.shape[1:3], 1) for v in (weight, bias))
    if x.numel() == 0:  # nothing to normalize; the parameters' gradients are zeros
        y = _times(x, gamma)
        return y if beta is None else y + cast(beta, x.dtype), None, None
    if _by_hand():
        return _Normalize.apply(x, gamma, beta, eps)
    y, pivot, delta, var, _ = _forward(x, gamma, beta, eps)
    return y, (pivot + delta).flatten(1), var.flatten(1)


class _Normalize(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, gamma, beta, eps):
        if _in_blocks(x):
            y, statistics = torch.empty_like(x), []
            for x_block, y_block in _blocks(x, y):
                _, *parts = _forward(x_block, gamma, beta, eps, out=y_block)
                statistics.append(parts)
            pivot, delta, var, invstd = (torch.cat(s) for s in zip(*statistics, strict=True))
        else:
            y, pivot, delta, var, invstd = _forward(x, gamma, beta, eps)
        mean, var = (pivot + delta).flatten(1), var.flatten(1)
        ctx.mark_non_differentiable(mean, var)
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(x, gamma, pivot, delta, invstd)
        ctx.eps, ctx.dtypes = eps, [None if v is None else v.dtype for v in (gamma, beta)]
        return y, mean, var

    @staticmethod
    def backward(ctx, dy, *_):
        if dy is None:
            return None, None, None, None
        x, gamma, pivot, delta, invstd = ctx.saved_tensors
        want_sums = any(ctx.needs_input_grad[1:3])
        if not _in_place_allowed(dy):
            # the statistics once more, as functions of x that can be differentiated
            c, _, delta, var = _moments(x)
            dx, *sums = _backward(dy, c, delta, torch.rsqrt(var + ctx.eps), gamma, want_sums)
        elif _in_blocks(x):
            dx, parts = torch.empty_like(x), []
            for dx_block, dy_block, x_block, p, d, i in _blocks(dx, dy, x, pivot, delta, invstd):
                c = x_block - _spread(p, x_block)
                _, *sums = _backward(dy_block, c, d, i, gamma, want_sums, out=dx_block)
                parts.append(sums)
            sums = [sum(s[1:], s[0]) for s in zip(*parts, strict=True)] if want_sums else sums
        else:
            dx, *sums = _backward(dy, x - pivot, delta, invstd, gamma, want_sums)
        dgamma, dbeta = (
            None if dtype is None or total is None else cast(total, dtype)
            for total, dtype in zip(sums, ctx.dtypes, strict=True)
        )
        return dx, dgamma, dbeta, None


def _in_blocks(x):
    return x.is_cpu and not torch.compiler.is_compiling()


def _autocast(input):
    """layer_norm and group_norm of torch compute and return float32 under autocast on CUDA."""
    if input.is_cuda and torch.is_autocast_enabled("cuda"):
        return cast(input, torch.float32) if input.dtype != torch.float64 else input
    return input


# ---- checks


def _check_normalized_shape(normalized_shape, input):
    if not isinstance(normalized_shape, (list, tuple)):
        raise TypeError(
            "layer_norm(): argument 'normalized_shape' (position 2) must be tuple of ints, "
            f"not {type(normalized_shape).__name__}"
        )
    values = tuple(normalized_shape)
    if not values:
        raise ArgumentError("normalized_shape is empty; expected one dimension of input or more")
    if tuple(input.shape[-len(values) :]) != values:
        raise ArgumentError(
            f"input has shape {tuple(input.shape)}; normalized_shape {values} needs it to end so"
        )
    return values


def _check_groups(num_groups, input):
    if not isinstance(num_groups, int):
        raise TypeError(
            "group_norm(): argument 'num_groups' (position 2) must be int, "
            f"not {type(num_groups).__name__}"
        )
    if input.dim() < 2:
        raise ArgumentError(
            f"input has shape {tuple(input.shape)}; expected (N, C) or (N, C, ...), "
            "two dimensions or more"
        )
    examples, channels, *rest = input.shape
    if num_groups < 1 or channels % num_groups:
        raise ArgumentError(
            f"num_groups is {num_groups}; input of shape {tuple(input.shape)} needs a divisor of "
            f"its {channels} channels"
        )
    if examples * (channels // num_groups) * math.prod(rest) == 1:
        raise ValueError(
            f"Expected more than 1 value per channel when training, got input size {input.shape}"
        )


def _check_parameters(weight, bias, shape, input, eps, function):
    for name, value in (("weight", weight), ("bias", bias)):
        if value is not None:
            _check_parameter(name, value, shape, input, function)
    if not isinstance(eps, (int, float)):
        raise TypeError(f"{function}(): argument 'eps' must be float, not {type(eps).__name__}")
    check_eps(eps, False, function)


def _check_parameter(name, value, shape, input, function):
    if isinstance(value, torch.Tensor) and value.shape != torch.Size(shape):
        raise ArgumentError(
            f"{name} has shape {tuple(value.shape)}; input of shape {tuple(input.shape)} needs "
            f"{tuple(shape)}"
        )
    check_companion(name, value, input, math.prod(shape), function)
