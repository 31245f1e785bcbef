"""torch.nn.functional.batch_norm by our own formulas, on any device.

Here: the public function, the buffers, and what autograd, torch.func, torch.compile and
torch.export need to know. The formulas themselves are in _formulas.py, the passes over memory
in _passes.py. One case is torch's kernel on values that we centre: training on a GPU without
torch.compile.
"""

import torch
from torch.overrides import handle_torch_function, has_torch_function_variadic

from bnlib.torch import _formulas
from bnlib.torch._autograd import by_hand, follow, unobserved
from bnlib.torch._checks import HALF, check_batch_norm, statistics_dtype
from bnlib.torch._formulas import cast
from bnlib.torch._passes import dense, near_mean, passes_for, per_channel, plain, values_per_channel

# Elements; up to here, what counts is how few operations there are: a batch of this size stays in
# a core's own cache from one to the next. The price is memory: it is kept twice for its backward,
# as it came and centred.
SMALL = 1 << 18


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

    Ioffe & Szegedy 2015, arXiv:1502.03167, Algorithms 1 and 2, and section 3 for the gradients.
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
    if torch.jit.is_tracing():  # TorchScript keeps torch's own operation instead of our formulas
        return torch.nn.functional.batch_norm(*tensors, training, momentum, eps)
    check_batch_norm(*tensors, training, momentum, eps)
    return normalize(*tensors, training, momentum, float(eps))


def normalize(input, running_mean, running_var, weight, bias, training, momentum, eps):
    """batch_norm without its checks; momentum may also be a 0-d tensor."""
    arguments = input, running_mean, running_var, weight, bias
    if input.numel() == 0:  # nothing to learn from; the parameters' gradients are zeros
        return _formulas.affine(input, weight, bias)
    if not by_hand():
        return _followed(*arguments, training, momentum, eps)
    if training and takes_kernel(input):
        return _ByKernel.apply(*arguments, momentum, eps)
    if training:
        return _TrainingMode.apply(*arguments, momentum, eps)
    return _EvaluationMode.apply(*arguments, eps)


def takes_kernel(x):
    """On a GPU, called as it is, torch's kernels are the faster way: two launches and one for the
    centring, where the formulas take a dozen. torch.compile makes kernels of the formulas."""
    return x.is_cuda and not torch.compiler.is_compiling()


class _ByKernel(torch.autograd.Function):
    """Training mode by torch's kernels, on centred values.

    They keep the mean in one float32, which at a mean of 1e4 costs them half of their digits; of
    centred values they lose none, and neither y nor any derivative depends on the constant that was
    taken off. Half precision has fewer digits than that mean, and goes in as it is. Whatever
    differentiates the backward gets the formula: the kernel's third derivative is silently wrong
    (torch 2.13).
    """

    @staticmethod
    def forward(ctx, x, running_mean, running_var, weight, bias, momentum, eps):
        dtype = statistics_dtype(x.dtype)
        pivot, c = None, dense(x)
        if x.dtype not in HALF:
            pivot = near_mean(x)
            c = c - per_channel(pivot, x)
        gamma, beta = (None if v is None else cast(v.reshape(-1), dtype) for v in (weight, bias))
        if gamma is None and beta is not None:
            gamma = torch.ones_like(beta)  # torch 2.13 has no backward on a GPU for β alone
        found = (None, None)
        if running_mean is not None:  # what was there comes in times 0, and has to be finite
            found = torch.zeros(2, x.shape[1], dtype=dtype, device=x.device)
        # as torch.nn.functional.batch_norm does, which chooses between its kernels and cuDNN's
        y, *kept, reserve, choice = torch.ops.aten._batch_norm_impl_index(
            c, gamma, beta, *found, True, 1.0, eps, torch.backends.cudnn.enabled
        )
        if running_mean is not None:
            mean, unbiased = found
            follow(running_mean, mean if pivot is None else mean + pivot, momentum)
            follow(running_var, unbiased, momentum)
        # x as well as what is centred, since further derivatives go on to whatever x was made of
        ctx.save_for_backward(x, weight, c, gamma, reserve, *kept)
        ctx.eps, ctx.kinds, ctx.choice = eps, (kind(weight), kind(bias)), choice
        return y

    @staticmethod
    def backward(ctx, dy):
        x, weight, c, gamma, reserve, *kept = ctx.saved_tensors
        want_dx, _, _, *want_sums, _, _ = ctx.needs_input_grad
        if unobserved(dy):
            wanted, dy = [want_dx, *want_sums], dense(dy, like=c)
            gradients = torch.ops.aten._batch_norm_impl_index_backward(
                ctx.choice, c, dy, gamma, None, None, *kept, True, ctx.eps, wanted, reserve
            )
        else:
            gradients = gradients_to_differentiate(dy, x, weight, ctx.eps, want_dx)
        dx, dweight, dbias = as_inputs(*gradients, ctx.kinds)
        return dx, None, None, dweight, dbias, None, None


class _TrainingMode(torch.autograd.Function):
    @staticmethod
    def forward(ctx, input, running_mean, running_var, weight, bias, momentum, eps):
        x, m = dense(input), values_per_channel(input)
        small = x.is_cpu and x.numel() <= SMALL and not torch.compiler.is_compiling()
        if small:
            y, *sums, c, invstd, a = _formulas.forward_small(x, weight, bias, eps)
            kept = c, invstd, a
        else:
            y, pivot, delta, var, invstd = _formulas.forward(x, weight, bias, eps, passes_for(x))
            kept = pivot, delta, invstd
        if running_mean is not None:
            if small:
                mean, unbiased = _formulas.small_statistics(*sums, m)
            else:
                mean, unbiased = pivot + delta, var * (m / (m - 1))
            follow(running_mean, mean, momentum)
            follow(running_var, unbiased, momentum)
        ctx.save_for_backward(input, weight, *kept)
        ctx.eps, ctx.kinds, ctx.small = eps, (kind(weight), kind(bias)), small
        return y

    @staticmethod
    def backward(ctx, dy):
        x, weight, *kept = ctx.saved_tensors
        want_dx = ctx.needs_input_grad[0]
        if not unobserved(dy):
            gradients = gradients_to_differentiate(dy, x, weight, ctx.eps, want_dx)
        elif ctx.small:
            gradients = _formulas.backward_small(dy, *kept, want_dx)
        else:
            x, dy = dense(x), dense(dy, like=x)
            gradients = _formulas.backward(dy, x, weight, *kept, passes_for(x), want_dx)
        dx, dweight, dbias = as_inputs(*gradients, ctx.kinds)
        return dx, None, None, dweight, dbias, None, None


def gradients_to_differentiate(dy, x, weight, eps, want_dx):
    """dx, dγ and dβ; the statistics once more, as functions of x that can be differentiated."""
    _, pivot, delta, var = plain.moments(x)
    invstd = torch.rsqrt(var + eps)
    return _formulas.backward(dy, x, weight, pivot, delta, invstd, plain, want_dx)


class _EvaluationMode(torch.autograd.Function):
    @staticmethod
    def forward(ctx, input, mean, var, weight, bias, eps):
        ctx.save_for_backward(input, weight, mean, var)
        ctx.eps, ctx.kinds = eps, (kind(weight), kind(bias))
        x = dense(input)
        return _formulas.forward_in_evaluation(x, mean, var, weight, bias, eps, passes_for(x))

    @staticmethod
    def backward(ctx, dy):
        x, weight, mean, var = ctx.saved_tensors
        passes = plain
        if unobserved(dy):
            dy, passes = dense(dy, like=x), passes_for(x)
        want_dx, _, _, *want_sums, _ = ctx.needs_input_grad
        gradients = _formulas.backward_in_evaluation(
            dy, x, weight, mean, var, ctx.eps, passes, want_dx, any(want_sums)
        )
        dx, dweight, dbias = as_inputs(*gradients, ctx.kinds)
        return dx, None, None, dweight, dbias, None


def kind(parameter):
    """What as_inputs has to know of a parameter or None."""
    return None if parameter is None else (parameter.shape, parameter.dtype)


def as_inputs(dx, dgamma, dbeta, kinds):
    """dx, and dγ and dβ in the shape and dtype of their parameters."""
    return dx, _as_input(dgamma, kinds[0]), _as_input(dbeta, kinds[1])


def _as_input(gradient, kind):
    if gradient is None or kind is None:
        return None
    shape, dtype = kind
    return cast(gradient if gradient.shape == shape else gradient.view(shape), dtype)


def _followed(input, running_mean, running_var, weight, bias, training, momentum, eps):
    """normalize, for whoever follows it operation by operation."""
    if not training:
        return _formulas.forward_in_evaluation(input, running_mean, running_var, weight, bias, eps)
    y, pivot, delta, var, _ = _formulas.forward(input, weight, bias, eps)
    if running_mean is not None:
        m = values_per_channel(input)
        follow(running_mean, pivot + delta, momentum)
        follow(running_var, var * (m / (m - 1)), momentum)
    return y
