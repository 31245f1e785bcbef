"""torch.nn.functional.batch_norm by our own formulas, on any device.

The letters are the paper's (Ioffe & Szegedy 2015, arXiv:1502.03167). For accuracy the mean is
kept as two numbers, mu_B = pivot + delta: the pivot is the mean as rounding left it, and delta
what it missed. x − pivot is exact where x is near its mean, so that float32 data with mean 1e4
and deviation 1 loses nothing; torch's own kernels lose half of their digits there.

With c = x − pivot and a = γ/√(var_B + ε) one channel's forward and backward read

    y  = a·c + (β − a·delta)
    dβ = Σ dy,   dγ = Σ dy·x_hat = (Σ dy·c − delta·dβ) / √(var_B + ε)
    dx = a·(dy − dβ/m − x_hat·dγ/m) = a·dy + q·c + k

The sums and the lines over whole batches are in _passes.py, the rest is arithmetic on vectors.
"""

import torch
from torch import Tensor
from torch.autograd import forward_ad
from torch.overrides import handle_torch_function, has_torch_function_variadic

from bnlib.torch._checks import check_batch_norm, statistics_dtype
from bnlib.torch._passes import (
    channel_mean,
    channel_sum,
    dense,
    passes_for,
    per_channel,
    plain,
)

SMALL = 1 << 15  # elements; below, an operation costs more to start than to run


def batch_norm(
    input,
    running_mean,
    running_var,
    weight=None,
    bias=None,
    training=False,
    momentum=0.1,
    eps=1e-5,
):
    """Normalize each channel over the mini-batch, or by the running statistics; scale and shift.

    A drop-in for torch.nn.functional.batch_norm: arguments, defaults, results, buffer updates,
    derivatives of every order and errors are torch's, with three exceptions. float32 data far
    from zero keeps its digits; a momentum outside [0, 1] is refused; an error that torch raises
    as RuntimeError is a ValueError (for a dtype, a TypeError) as well.

    input       (N, C) or (N, C, ...), float32, float64, float16 or bfloat16; NCHW and
                channels-last memory stay what they are
    running_mean, running_var
                (C,) or None; training updates them in place, momentum weighing the new value,
                the variance that enters being the unbiased one. Evaluation needs both
    weight, bias
                (C,) scale γ and shift β; None stands for ones and zeros
    training    True: the mini-batch's statistics; False: running_mean and running_var
    momentum    in [0, 1]
    eps         added to the variance inside the root: > 0 in training, ≥ 0 in evaluation

    float16 and bfloat16 take statistics in float32, and parameters and buffers in either dtype.
    Returns y, with the shape and dtype of input. Raises ValueError and TypeError, before anything
    was changed; in training also where a channel has one value only.

    >>> x = torch.tensor([[1.0], [3.0]])
    >>> batch_norm(x, None, None, training=True, eps=1e-12)
    tensor([[-1.],
            [ 1.]])
    """
    tensors = (input, running_mean, running_var, weight, bias)
    if has_torch_function_variadic(*tensors):
        return handle_torch_function(
            batch_norm, tensors, *tensors, training=training, momentum=momentum, eps=eps
        )
    check_batch_norm(*tensors, training, momentum, eps)
    return normalize(*tensors, training, momentum, eps)


def normalize(input, running_mean, running_var, weight, bias, training, momentum, eps):
    """batch_norm without its checks; momentum may also be a 0-d tensor."""
    if input.numel() == 0:  # nothing to learn from; the parameters' gradients are zeros
        return _affine(input, weight, bias)
    arguments = input, running_mean, running_var, weight, bias
    if not training:
        return _EvaluationMode.apply(*arguments, eps) if _by_hand() else evaluate(*arguments, eps)
    if _by_hand():
        return _TrainingMode.apply(*arguments, momentum, eps)
    y, pivot, delta, var, _ = forward(input, weight, bias, eps)
    update_running(*arguments[:3], pivot, delta, var, momentum, _Follow.apply)
    return y


def update_running(x, running_mean, running_var, pivot, delta, var, momentum, follow=Tensor.lerp_):
    """running = (1 − momentum)·running + momentum·batch, in place; m/(m − 1) unbiases var."""
    if running_mean is not None:
        m = values_per_channel(x)
        for running, batch in (
            (running_mean, pivot + delta),
            (running_var, var * (m / (m - 1))),
        ):
            follow(running, _to(batch.detach(), running.dtype), momentum)


# ---- the formulas


def forward(input, weight, bias, eps, passes=plain):
    """Algorithm 1. Returns y, and pivot, delta, var_B and 1/√(var_B + ε) of each channel."""
    c, pivot, sum_c, sum_cc = passes.centred(input)
    delta, var = moments(sum_c, sum_cc, values_per_channel(input))
    invstd = torch.rsqrt(var + eps)
    a = _slope(invstd, weight)
    y = _to(passes.scale_shift(c, a, _offset(a, delta, bias)), input.dtype)
    return y, pivot, delta, var, invstd


def backward(dy, x, weight, pivot, delta, invstd, passes=plain, want_dx=True):
    """dx, dγ and dβ of `forward`; the last two in the dtype of the statistics."""
    c, dbeta, sum_dy_c = passes.gradient_sums(dy, x, pivot)
    dgamma = torch.addcmul(sum_dy_c, delta, dbeta, value=-1) * invstd  # Σ dy·x_hat
    if not want_dx:
        return None, dgamma, dbeta
    a = _slope(invstd, weight)
    minus_a_over_m = a * (-1 / values_per_channel(x))
    q = minus_a_over_m * invstd * dgamma
    k = torch.addcmul(minus_a_over_m * dbeta, q, delta, value=-1)
    return _to(passes.combine(c, dy, q, k, a), x.dtype), dgamma, dbeta


def forward_small(x, weight, bias, eps):
    """`forward` in few operations, for batches where each costs more to start than to run.

    A channel's first value is the pivot: no value lies further from the mean than √m deviations
    (Samuelson's inequality), and with so few values that costs float32 no digit that counts.
    Returns y, pivot, delta, var_B, 1/√(var_B + ε) and x_hat, which backward_small takes.
    """
    pivot = _to(x[0] if x.dim() == 2 else x[0].flatten(1)[:, 0], statistics_dtype(x.dtype))
    c = x - per_channel(pivot, x)
    delta = channel_mean(c)
    c -= per_channel(delta, c)
    var = channel_mean(c * c)
    invstd = (var + eps).rsqrt_()
    x_hat = c.mul_(per_channel(invstd, c))
    return _to(_affine(x_hat, weight, bias), x.dtype), pivot, delta, var, invstd, x_hat


def backward_small(dy, x_hat, weight, invstd, want_dx=True):
    """dx, dγ and dβ of `forward_small`; the last two in the dtype of the statistics."""
    dbeta, dgamma = channel_sum(dy, x_hat.dtype), channel_sum(dy * x_hat)
    if not want_dx:
        return None, dgamma, dbeta
    sums = torch.addcmul(per_channel(dbeta, dy), x_hat, per_channel(dgamma, dy))
    dx = torch.sub(dy, sums, alpha=1 / values_per_channel(dy), out=sums)
    return _to(dx.mul_(per_channel(_slope(invstd, weight), dy)), dy.dtype), dgamma, dbeta


def evaluate(input, mean, var, weight, bias, eps, passes=plain):
    """Algorithm 2, line 11: y = a·(x − E[x]) + β"""
    dtype = statistics_dtype(input.dtype)
    a = _slope(torch.rsqrt(_to(var, dtype) + eps), weight)
    b = torch.zeros_like(a) if bias is None else _vector(bias, a)
    return _to(passes.line(input, _to(mean, dtype), a, b), input.dtype)


def evaluate_backward(dy, x, weight, mean, var, eps, passes=plain, want_dx=True, want_sums=True):
    """dx, dγ and dβ of `evaluate`."""
    dtype = statistics_dtype(x.dtype)
    invstd = torch.rsqrt(_to(var, dtype) + eps)
    dx = dgamma = dbeta = None
    if want_dx:
        dx = _to(dy * per_channel(_slope(invstd, weight), x), x.dtype)
    if want_sums:
        _, dbeta, sum_dy_c = passes.gradient_sums(dy, x, _to(mean, dtype))
        dgamma = sum_dy_c * invstd
    return dx, dgamma, dbeta


def values_per_channel(x):
    return x.numel() // x.shape[1]


def moments(sum_c, sum_cc, m):
    """Mean and biased variance of c. The clamp is for channels where all is rounding error."""
    delta = sum_c / m
    return delta, torch.addcmul(sum_cc, delta, sum_c, value=-1).clamp_min(0) / m


def _affine(x, weight, bias):
    """γ·x + β, whatever there is of the two."""
    if weight is not None and bias is not None:
        return torch.addcmul(
            per_channel(_vector(bias, x), x), x, per_channel(_vector(weight, x), x)
        )
    if weight is not None:
        return x * per_channel(_vector(weight, x), x)
    return x.clone() if bias is None else x + per_channel(_vector(bias, x), x)


def _slope(invstd, weight):
    """a of y = a·c + b"""
    return invstd if weight is None else invstd * _vector(weight, invstd)


def _offset(a, delta, bias):
    """b of y = a·c + b"""
    return a * -delta if bias is None else torch.addcmul(_vector(bias, a), a, delta, value=-1)


def _vector(parameter, like):
    """A parameter as (C,) in the dtype of the statistics; torch takes (1, C) too."""
    return _to(parameter if parameter.dim() == 1 else parameter.reshape(-1), like.dtype)


def _to(tensor, dtype):
    """tensor.to(dtype), which leaves no trace in an exported graph where it does nothing."""
    return tensor if tensor.dtype == dtype else tensor.to(dtype)


# ---- the same for autograd


class _TrainingMode(torch.autograd.Function):
    @staticmethod
    def forward(ctx, input, running_mean, running_var, weight, bias, momentum, eps):
        x = dense(input)
        if x.numel() <= SMALL and x.is_cpu and not torch.compiler.is_compiling():
            y, pivot, delta, var, *kept = forward_small(x, weight, bias, eps)
        else:
            y, pivot, delta, var, *kept = forward(x, weight, bias, eps, passes_for(x))
            kept += pivot, delta
        update_running(x, running_mean, running_var, pivot, delta, var, momentum)
        ctx.save_for_backward(input, weight, *kept)
        ctx.eps, ctx.kinds = eps, (_kind(weight), _kind(bias))
        return y

    @staticmethod
    def backward(ctx, dy):
        x, weight, invstd, *kept = ctx.saved_tensors
        want_dx = ctx.needs_input_grad[0]
        if not _in_place_allowed(dy):
            # the statistics once more, as functions of x that can be differentiated
            _, pivot, sum_c, sum_cc = plain.centred(x)
            delta, var = moments(sum_c, sum_cc, values_per_channel(x))
            invstd = torch.rsqrt(var + ctx.eps)
            gradients = backward(dy, x, weight, pivot, delta, invstd, plain, want_dx)
        elif len(kept) == 1:
            gradients = backward_small(dy, *kept, weight, invstd, want_dx)
        else:
            x = dense(x)
            gradients = backward(dy, x, weight, *kept, invstd, passes_for(x), want_dx)
        return *_as_inputs(gradients, ctx.kinds), None, None


class _EvaluationMode(torch.autograd.Function):
    @staticmethod
    def forward(ctx, input, mean, var, weight, bias, eps):
        ctx.save_for_backward(input, weight, mean, var)
        ctx.eps, ctx.kinds = eps, (_kind(weight), _kind(bias))
        x = dense(input)
        return evaluate(x, mean, var, weight, bias, eps, passes_for(x))

    @staticmethod
    def backward(ctx, dy):
        x, weight, mean, var = ctx.saved_tensors
        passes = plain
        if _in_place_allowed(dy):
            dy, passes = dense(dy, like=x), passes_for(x)
        want_dx, _, _, *want_sums, _ = ctx.needs_input_grad
        gradients = evaluate_backward(
            dy, x, weight, mean, var, ctx.eps, passes, want_dx, any(want_sums)
        )
        return *_as_inputs(gradients, ctx.kinds), None


def _kind(parameter):
    return None if parameter is None else (parameter.shape, parameter.dtype)


def _as_inputs(gradients, kinds):
    """dx, two times nothing for the buffers, and dγ and dβ in their parameters' shape, dtype."""
    dx, dgamma, dbeta = gradients
    return dx, None, None, _as_input(dgamma, kinds[0]), _as_input(dbeta, kinds[1])


def _as_input(gradient, kind):
    if gradient is None or kind is None:
        return None
    shape, dtype = kind
    return _to(gradient if gradient.shape == shape else gradient.view(shape), dtype)


def _by_hand():
    """Can autograd take our own backward? torch.func and forward mode follow the formulas
    operation by operation instead, which is right at every depth of nesting, where a Function's
    own jvp is not (torch 2.13); so does torch.export, whose graphs then hold operations only."""
    return not (
        torch._C._are_functorch_transforms_active()
        or forward_ad._current_level >= 0
        or torch.compiler.is_exporting()
    )


def _in_place_allowed(dy):
    """Will nothing differentiate or batch what a backward does now?"""
    return torch.compiler.is_compiling() or not (
        torch.is_grad_enabled()  # create_graph=True
        or forward_ad._current_level >= 0
        or not torch._C._has_storage(dy)  # a wrapper of vmap's or torch.func's
    )


class _Follow(torch.autograd.Function):
    """Update a running statistic under torch.func, which refuses to let a plain operation
    change a buffer from outside; a Function sees the numbers behind the wrappers."""

    generate_vmap_rule = True

    @staticmethod
    def forward(running, batch, momentum):
        running.mul_(1 - momentum).add_(momentum * batch)  # vmap has no rule for lerp_
        return batch.new_zeros(())

    @staticmethod
    def setup_context(ctx, inputs, output):
        pass
