"""Argument checks of the torch backend: every one before anything is computed or changed."""

import math
import operator

import numpy as np
import torch
from torch.masked import MaskedTensor

HALF = (torch.float16, torch.bfloat16)
FLOATING = (torch.float32, torch.float64, *HALF)


class ArgumentError(ValueError, RuntimeError):
    """A bad argument. bnlib promises ValueError, torch raises RuntimeError: this is both."""


class DtypeError(TypeError, NotImplementedError):
    """A dtype that cannot be normalized. TypeError for bnlib; torch's is a NotImplementedError."""


def statistics_dtype(dtype):
    """The dtype that sums are taken in: float32 for half and bfloat16, else `dtype` itself."""
    return torch.float32 if dtype in HALF else dtype


def check_floating(input, function):
    if not isinstance(input, torch.Tensor):
        raise TypeError(
            f"{function}(): argument 'input' (position 1) must be Tensor, "
            f"not {type(input).__name__}"
        )
    if type(input) is not torch.Tensor and isinstance(input, MaskedTensor):
        raise TypeError(f"{function}(): argument 'input' is a MaskedTensor; masks are not honoured")
    if input.dtype not in FLOATING:
        name = torch.empty(0, dtype=input.dtype).type().removesuffix("Tensor").split(".")[-1]
        raise DtypeError(
            f"\"{function}\" not implemented for '{name}': input has dtype {input.dtype}, "
            "expected float32, float64, float16 or bfloat16"
        )


def check_companion(name, value, input, count, function):
    """Refuse a parameter or buffer that does not hold one suitable number per channel."""
    if not isinstance(value, torch.Tensor):
        raise TypeError(
            f"{function}(): argument '{name}' must be Tensor, not {type(value).__name__}"
        )
    if value.numel() != count:
        raise ArgumentError(
            f"{name} should contain {count} elements not {value.numel()}: "
            f"it has shape {tuple(value.shape)}, input has shape {tuple(input.shape)}"
        )
    if value.device != input.device:
        raise ArgumentError(
            f"{name} is on {value.device}, input is on {input.device}; expected one device"
        )
    dtype = input.dtype
    if value.dtype != dtype and value.dtype != statistics_dtype(dtype):
        wanted = dtype if dtype == statistics_dtype(dtype) else f"{dtype} or torch.float32"
        raise ArgumentError(
            f"mixed dtype: {name} has dtype {value.dtype}; input of {dtype} needs {wanted}"
        )


def check_shaped(name, value, shape, input, function):
    """check_companion for the other norms, where torch takes one shape only."""
    if isinstance(value, torch.Tensor) and value.shape != torch.Size(shape):
        raise ArgumentError(
            f"{name} has shape {tuple(value.shape)}; input of shape {tuple(input.shape)} needs "
            f"{tuple(shape)}"
        )
    check_companion(name, value, input, math.prod(shape), function)


def check_number(name, value, function):
    """Refuse what torch takes for no number. A 0-d tensor and NumPy's scalars are numbers."""
    if isinstance(value, (int, float)):
        return
    is_tensor = isinstance(value, torch.Tensor)
    if is_tensor and value.dim() == 0 and not value.requires_grad and not value.is_complex():
        return
    if not isinstance(value, np.floating | np.integer):
        raise TypeError(f"{function}(): argument {name} must be float, not {type(value).__name__}")


def check_momentum(momentum, function):
    if type(momentum) is not float:
        check_number("'momentum' (position 7)", momentum, function)
    if not 0 <= momentum <= 1:
        raise ArgumentError(f"momentum must be between 0 and 1, but got {momentum}")


def check_eps(eps, training, function):
    if type(eps) is not float:
        check_number("'eps'", eps, function)
    # The texts are torch's own.
    if training and eps <= 0.0:
        raise ValueError(f"{function} eps must be positive during training, but got {eps}")
    if eps < 0.0:
        raise ValueError(f"{function} eps must be non-negative, but got {eps}")


def check_flag(name, value, function):
    if not isinstance(value, bool):
        raise TypeError(
            f"{function}(): argument '{name}' (position 6) must be bool, not {type(value).__name__}"
        )


def check_index(name, value, function):
    """The int that `value` stands for, NumPy's or a 0-d tensor. A bool is none, as in torch."""
    try:
        return operator.index(None if isinstance(value, bool) else value)
    except TypeError:
        raise TypeError(
            f"{function}(): argument '{name}' (position 2) must be int, not {type(value).__name__}"
        ) from None


def check_normalized_shape(normalized_shape, input, function):
    """normalized_shape as a tuple of ints, which input has to end in."""
    if not isinstance(normalized_shape, (list, tuple)):
        raise TypeError(
            f"{function}(): argument 'normalized_shape' (position 2) must be tuple of ints, "
            f"not {type(normalized_shape).__name__}"
        )
    values = tuple(normalized_shape)
    if not all(isinstance(size, (int, torch.SymInt)) for size in values):
        values = tuple(
            check_index(f"normalized_shape[{i}]", size, function) for i, size in enumerate(values)
        )
    if not values:
        raise ArgumentError("normalized_shape is empty; expected one dimension of input or more")
    if tuple(input.shape[-len(values) :]) != values:
        raise ArgumentError(
            f"input has shape {tuple(input.shape)}; normalized_shape {values} needs it to end so"
        )
    return values


def check_groups(num_groups, input):
    """num_groups as an int, which has to divide the channels of input."""
    groups = check_index("num_groups", num_groups, "group_norm")
    check_dimensions(input)
    examples, channels, *rest = input.shape
    if groups < 1 or channels % groups:
        raise ArgumentError(
            f"num_groups is {groups}; input of shape {tuple(input.shape)} needs a divisor of "
            f"its {channels} channels"
        )
    if examples * (channels // groups) * math.prod(rest) == 1:
        raise_single_value(input)
    return groups


def check_dimensions(input):
    if input.dim() < 2:
        raise ArgumentError(
            f"input has shape {tuple(input.shape)}; expected (N, C) or (N, C, ...), "
            "two dimensions or more"
        )


def check_running_pair(running_mean, running_var):
    if (running_mean is None) != (running_var is None):
        raise ValueError("running_mean and running_var must either both be None or neither be None")


def check_batch_norm(
    input, running_mean, running_var, weight, bias, training, momentum, eps, shared=False
):
    """The checks of `batch_norm`, in the order in which torch makes them.

    shared      True where input is one process's share of a batch: it may hold one value
    """
    check_floating(input, "batch_norm")
    check_dimensions(input)
    check_flag("training", training, "batch_norm")
    check_momentum(momentum, "batch_norm")
    if training and not shared:
        check_more_than_one(input)
    check_eps(eps, training, "batch_norm")
    if training:
        check_running_pair(running_mean, running_var)
    channels = input.shape[1]
    for name, value in (("running_mean", running_mean), ("running_var", running_var)):
        if value is not None:
            check_companion(name, value, input, channels, "batch_norm")
            if value.requires_grad:
                raise ArgumentError(
                    "The function 'batch_norm' is not differentiable with respect to argument "
                    f"'{name}'. This input cannot have requires_grad True."
                )
            if value.dim() != 1:
                raise ArgumentError(
                    f"{name} has shape {tuple(value.shape)}; expected ({channels},)"
                )
        elif not training:
            raise ArgumentError(f"{name} must be defined in evaluation mode")
    if weight is not None:
        check_companion("weight", weight, input, channels, "batch_norm")
    if bias is not None:
        check_companion("bias", bias, input, channels, "batch_norm")


def check_more_than_one(input):
    channels = input.shape[1]
    # the first half, which is cheap, is enough where there are channels
    if input.numel() == channels and input.shape[0] * math.prod(input.shape[2:]) == 1:
        raise_single_value(input)


def raise_single_value(input):
    raise ValueError(
        f"Expected more than 1 value per channel when training, got input size {input.shape}"
    )
