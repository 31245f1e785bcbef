"""Layer, group, instance and RMS norm: drop-ins for torch.nn.functional's.

All four normalize values of one example, whatever the other examples hold. Layer, group and
instance norm centre the values and hand them to torch's own kernels: these lose digits where the
mean is far from zero in units of the deviation (3e-3 at a mean of 1e4), but lose none on centred
values, and a constant taken off changes neither y nor any derivative. Derivatives of higher order
and transforms follow batch norm's formula (_formulas.py), with the values of one example in the
place of one channel's.

Half precision is computed in float32, since a centred value has more digits than 16 bits hold.
The centred values are kept for the backward: one batch more in memory than torch keeps.
Running statistics, which only instance_norm may have, are averages over examples. TorchScript
keeps torch's own operation, as with batch_norm.
"""

import math

import torch
from torch.overrides import handle_torch_function, has_torch_function_variadic

from bnlib.torch import _formulas
from bnlib.torch._autograd import by_hand, follow, unobserved
from bnlib.torch._checks import (
    check_eps,
    check_flag,
    check_floating,
    check_groups,
    check_momentum,
    check_normalized_shape,
    check_running_pair,
    check_shaped,
    statistics_dtype,
)
from bnlib.torch._formulas import cast
from bnlib.torch._passes import channel_sum, dense, moments_of_sums, per_channel
from bnlib.torch.batchnorm import batch_norm


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
    if torch.jit.is_tracing():
        return torch.nn.functional.layer_norm(input, normalized_shape, weight, bias, eps)
    check_floating(input, "layer_norm")
    values = check_normalized_shape(normalized_shape, input, "layer_norm")
    _check_parameters(weight, bias, values, input, eps, "layer_norm")
    y = _normalize(input, weight, bias, eps, values=values)
    return cast(y, _result_dtype(input))


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
    if torch.jit.is_tracing():
        return torch.nn.functional.group_norm(input, num_groups, weight, bias, eps)
    check_floating(input, "group_norm")
    groups = check_groups(num_groups, input)
    _check_parameters(weight, bias, input.shape[1:2], input, eps, "group_norm")
    y = _normalize(input, weight, bias, eps, groups=groups)
    return cast(y, _result_dtype(input))


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
    if torch.jit.is_tracing():
        return torch.nn.functional.instance_norm(*tensors, use_input_stats, momentum, eps)
    check_floating(input, "instance_norm")
    check_flag("use_input_stats", use_input_stats, "instance_norm")
    check_momentum(momentum, "instance_norm")
    if not use_input_stats:
        return batch_norm(*tensors, False, momentum, eps)
    values = math.prod(input.shape[2:])
    if values == 1:
        raise ValueError(
            f"Expected more than 1 spatial element when training, got input size {input.shape}"
        )
    check_running_pair(running_mean, running_var)
    running = {"running_mean": running_mean, "running_var": running_var}
    for name, value in running.items() if running_mean is not None else ():
        check_shaped(name, value, input.shape[1:2], input, "instance_norm")
    _check_parameters(weight, bias, input.shape[1:2], input, eps, "instance_norm")
    tracked = running_mean is not None and input.numel() > 0
    y = _normalize(input, weight, bias, eps, groups=input.shape[1], tracked=tracked)
    if tracked:
        y, mean, var = y
        follow(running_mean, mean.mean(0), momentum)
        follow(running_var, var.mean(0) * (values / (values - 1)), momentum)
    return cast(y, input.dtype)


def rms_norm(input, normalized_shape, weight=None, eps=None):
    """Divide each example by its root mean square over the last dimensions, then scale.

    A drop-in for torch.nn.functional.rms_norm, with derivatives of every order. Layer norm without
    the mean: nothing is taken off, nothing is added.

    input       (*, *normalized_shape), float32, float64, float16 or bfloat16
    normalized_shape
                the last dimensions of input, a list or tuple of one int or more
    weight      of shape normalized_shape, scale γ; None stands for ones
    eps         ≥ 0, added to the mean square inside the root; None: the machine epsilon of the
                dtype that statistics are taken in

    float16 and bfloat16 take statistics in float32, and weight in either dtype. Returns y, with
    the shape and dtype of input. Raises ValueError and TypeError as batch_norm does.

    Zhang & Sennrich 2019, arXiv:1910.07467, equation 4.
    >>> rms_norm(torch.tensor([[1.0, 7.0], [3.0, -3.0]]), [2])
    tensor([[ 0.2000,  1.4000],
            [ 1.0000, -1.0000]])
    """
    tensors = (input, weight)
    if has_torch_function_variadic(*tensors):
        return handle_torch_function(
            rms_norm, tensors, input, normalized_shape, weight=weight, eps=eps
        )
    if torch.jit.is_tracing():
        return torch.nn.functional.rms_norm(input, normalized_shape, weight, eps)
    check_floating(input, "rms_norm")
    values = check_normalized_shape(normalized_shape, input, "rms_norm")
    x, gamma = _wide(input), _wide(weight)
    eps = torch.finfo(x.dtype).eps if eps is None else eps
    _check_parameters(weight, None, values, input, eps, "rms_norm")
    mean_square = x.square().mean(_last(values), keepdim=True)
    return cast(_affine(x * torch.rsqrt(mean_square + eps), gamma, None), _result_dtype(input))


# ---- what they share


def _wide(tensor):
    """A tensor or None in the dtype that it is computed in."""
    return None if tensor is None else cast(tensor, statistics_dtype(tensor.dtype))


def _result_dtype(input):
    """Under autocast on CUDA torch computes and returns these norms in float32."""
    if input.is_cuda and torch.is_autocast_enabled("cuda"):
        return statistics_dtype(input.dtype)
    return input.dtype


def _last(values):
    """The axes of normalized_shape."""
    return tuple(range(-len(values), 0))


def _affine(x_hat, gamma, beta):
    """γ·x_hat + β, with whichever of the two there is, lined up already."""
    y = x_hat if gamma is None else x_hat * gamma
    return y if beta is None else y + beta


# ---- layer, group and instance norm
#
# Which values share a mean: `values`, the last sizes of x, or else `groups` of channels.


def _normalize(input, weight, bias, eps, values=None, groups=None, tracked=False):
    """y, in the dtype of the statistics or in that of input; if tracked, also mean and biased
    variance (N, groups)."""
    gamma, beta, eps = _wide(weight), _wide(bias), float(eps)
    if input.numel() == 0:  # nothing to normalize; the parameters' gradients are zeros
        return _affine(input.clone(), *_lined_up(gamma, beta, input, groups))
    if not by_hand():
        parts = _parts(_wide(input), values, groups)
        x_hat, pivot, delta, var, _ = _formulas.forward(parts, None, None, eps)
        y = _affine(x_hat.reshape(input.shape), *_lined_up(gamma, beta, input, groups))
        return (y, (pivot + delta).view(-1, groups), var.view(-1, groups)) if tracked else y
    if groups is not None and gamma is None and beta is not None:
        gamma = torch.ones_like(beta)  # torch 2.13 has no backward for β alone
    if torch.is_grad_enabled() or tracked:
        return _ByKernel.apply(input, gamma, beta, eps, values, groups, tracked)
    # without the Function, which takes as long as the norm of a small batch
    return _kernel(input, gamma, beta, eps, values, groups)[0]


class _ByKernel(torch.autograd.Function):
    """torch's kernels on centred values. Whatever differentiates or batches the backward gets the
    formula instead: the third derivative of torch's layer norm is silently wrong, and forward mode
    does not go through its group norm (torch 2.13)."""

    @staticmethod
    def forward(ctx, x, gamma, beta, eps, values, groups, tracked):
        y, pivot, *kept = _kernel(x, gamma, beta, eps, values, groups)
        # x as well as what is centred, since further derivatives go on to whatever x was made of
        ctx.save_for_backward(x, gamma, beta, *kept)
        ctx.arguments = eps, values, groups
        if not tracked:
            return y
        statistics = _statistics(pivot, *kept)
        ctx.mark_non_differentiable(*statistics)
        return y, *statistics

    @staticmethod
    def backward(ctx, dy, *_):
        x, gamma, beta, *kept = ctx.saved_tensors
        eps, values, groups = ctx.arguments
        wanted = ctx.needs_input_grad[:3]
        if unobserved(dy):
            dx, dgamma, dbeta = _kernel_backward(dy, gamma, beta, *kept, wanted, values, groups)
            if dx is not None:
                dx = cast(dx if groups is None else dense(dx, like=x), x.dtype)
        else:
            dx, dgamma, dbeta = _gradients(dy, x, gamma, eps, values, groups)
            dgamma = None if gamma is None else dgamma
            dbeta = None if beta is None else dbeta
        return dx, dgamma, dbeta, None, None, None, None


def _kernel(x, gamma, beta, eps, values, groups):
    """y; a pivot near the mean; then what _kernel_backward takes: x − pivot, and mean and
    1/√(var + ε) of that."""
    x = _wide(x)
    if groups is None:
        pivot = x.narrow(-len(values), 0, _sixteenth(values[0])).mean(_last(values), keepdim=True)
        c = x - pivot
        y, mean, invstd = torch.native_layer_norm(c, values, gamma, beta, eps)
        return y, pivot, c, mean, invstd
    x = dense(x)
    pivot = _group_pivots(x, groups)
    c = x - pivot
    if not c.is_contiguous() and (groups == x.shape[1] or not x.is_cpu):
        # channels last, which CUDA's kernel does not know; where a group is one channel, the CPU's
        # takes twice as long as with copies
        c = c.clone(memory_format=torch.contiguous_format)
    kernel = torch.native_group_norm if c.is_contiguous() else _group_norm_channels_last
    y, mean, invstd = kernel(c, gamma, beta, *_sizes(c), groups, eps)
    return dense(y, like=x), pivot, c, mean, invstd


def _group_norm_channels_last(c, gamma, beta, examples, channels, values, groups, eps):
    """torch.native_group_norm for channels-last memory on a CPU, where torch's own loses digits
    whatever the mean: 6e-5 in an image of 224 × 224."""

    def of_groups(x):
        return x.flatten(2).sum(2).view(examples, groups, -1).sum(2)

    squares = c * c
    m = channels // groups * values
    mean, var = moments_of_sums(of_groups(c), of_groups(squares), m)
    invstd = torch.rsqrt(var + eps)
    mean_of_channel, a = (v.repeat_interleave(channels // groups, 1) for v in (mean, invstd))
    a = a if gamma is None else a * gamma
    b = -a * mean_of_channel if beta is None else torch.addcmul(beta, a, mean_of_channel, value=-1)
    y = torch.addcmul(_lined_up_each(b, c), c, _lined_up_each(a, c), out=squares)
    return y, mean, invstd


def _statistics(pivot, c, mean, invstd):
    """Mean and biased variance of every channel of every example, (N, C), from what _kernel made of
    groups of one channel. 1/√(var + ε) would not do: it has lost a var that is far below ε."""
    var = c.square().flatten(2).mean(2) - mean.square()
    return pivot.flatten(1) + mean, var.clamp_min(0)


def _kernel_backward(dy, gamma, beta, c, mean, invstd, wanted, values, groups):
    """dx, dγ and dβ of `_kernel`."""
    if groups is None:
        return torch.ops.aten.native_layer_norm_backward(
            dy, c, values, mean, invstd, gamma, beta, wanted
        )
    return torch.ops.aten.native_group_norm_backward(
        dense(dy, like=c), c, mean, invstd, gamma, *_sizes(c), groups, wanted
    )


def _gradients(dy, x, gamma, eps, values, groups):
    """dx, dγ and dβ, by operations that can be differentiated and batched."""
    parts = _parts(_wide(x), values, groups)
    x_hat, pivot, delta, _, invstd = _formulas.forward(parts, None, None, eps)
    dx_hat = _affine(dy, *_lined_up(gamma, None, x, groups)).reshape(parts.shape)
    dx, _, _ = _formulas.backward(dx_hat, parts, None, pivot, delta, invstd)
    terms = dy * x_hat.reshape(x.shape), dy
    if groups is None:
        sums = (t.reshape(-1, *values).sum(0) for t in terms)
    else:
        sums = (channel_sum(t) for t in terms)
    return cast(dx.reshape(x.shape), x.dtype), *sums


def _parts(x, values, groups):
    """x as batch norm would have it: what shares a mean is a channel, (1, parts, values)."""
    parts = x.numel() // math.prod(values) if groups is None else x.shape[0] * groups
    return x.reshape(1, parts, -1)


def _lined_up(gamma, beta, x, groups):
    """γ and β, ready to be multiplied by x and added."""
    if groups is None:
        return gamma, beta
    return (None if v is None else per_channel(v, x) for v in (gamma, beta))


def _lined_up_each(v, x):
    """(N, C) -> (N, C, 1, ...)"""
    return v.view(*v.shape, *[1] * (x.dim() - 2))


def _sizes(x):
    """N, C and the values of a channel, as group norm's kernels want them."""
    return x.shape[0], x.shape[1], math.prod(x.shape[2:])


def _sixteenth(size):
    """The part of an axis whose mean is the pivot of all: as near the mean as early_mean's."""
    return (size + 15) // 16


def _group_pivots(x, groups):
    """A pivot of every group, near its mean, for each of its channels and lined up with x."""
    examples, channels, *rest = x.shape
    early = x
    if (
        rest and x.is_contiguous()
    ):  # the CPU's channels-last kernel, by E[c²] − E[c]², needs it exact
        early = x.narrow(2, 0, _sixteenth(rest[0]))
    pivots = early.flatten(2).mean(2) if rest else x
    pivots = pivots.unflatten(1, (groups, -1)).mean(2, keepdim=True)
    return _lined_up_each(pivots.expand(-1, -1, channels // groups).reshape(examples, channels), x)


# ---- checks


def _check_parameters(weight, bias, shape, input, eps, function):
    for name, value in (("weight", weight), ("bias", bias)):
        if value is not None:
            check_shaped(name, value, shape, input, function)
    check_eps(eps, False, function)
