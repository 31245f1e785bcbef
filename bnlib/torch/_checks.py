"""Argument checks of the torch backend: every one before anything is computed or changed."""

import torch

FLOATING = (torch.float32, torch.float64, torch.float16, torch.bfloat16)


class ArgumentError(ValueError, RuntimeError):
    """A bad argument. bnlib promises ValueError, torch raises RuntimeError: this is both."""


class DtypeError(TypeError, NotImplementedError):
    """A dtype that cannot be normalized. TypeError for bnlib; torch's is a NotImplementedError."""


def statistics_dtype(dtype):
    """The dtype that sums are taken in: float32 for half and bfloat16, else `dtype` itself."""
    return torch.float32 if dtype in (torch.float16, torch.bfloat16) else dtype


def check_floating(input, function):
    if not isinstance(input, torch.Tensor):
        raise TypeError(
            f"{function}(): argument 'input' (position 1) must be Tensor, "
            f"not {type(input).__name__}"
        )
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


def check_momentum(momentum, function):
    if not isinstance(momentum, (int, float)):
        raise TypeError(
            f"{function}(): argument 'momentum' (position 7) must be float, "
            f"not {type(momentum).__name__}"
        )
    if not 0 <= momentum <= 1:
        raise ArgumentError(f"momentum must be between 0 and 1, but got {momentum}")


def check_eps(eps, training, function):
    # The texts of the first two are torch's own.
    if training and eps <= 0.0:
        raise ValueError(f"{function} eps must be positive during training, but got {eps}")
    if eps < 0.0:
        raise ValueError(f"{function} eps must be non-negative, but got {eps}")


def check_batch_norm(
    input, running_mean, running_var, weight, bias, training, momentum, eps, shared=False
):
    """The checks of `batch_norm`, in the order in which torch makes them.

    shared      True where input is one process's share of a batch: it may hold one value
    """
    check_floating(input, "batch_norm")
    if input.dim() < 2:
        raise ArgumentError(
            f"input has shape {tuple(input.shape)}; expected (N, C) or (N, C, ...), "
            "two dimensions or more"
        )
    if not isinstance(training, bool):
        raise TypeError(
            "batch_norm(): argument 'training' (position 6) must be bool, "
            f"not {type(training).__name__}"
        )
    check_momentum(momentum, "batch_norm")
    if training and not shared:
        check_more_than_one(input)
    check_eps(eps, training, "batch_norm")
    if training and (running_mean is None) != (running_var is None):
        raise ValueError("running_mean and running_var must either both be None or neither be None")
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
    if input.numel() == channels and channels > 0:
        raise ValueError(
            f"Expected more than 1 value per channel when training, got input size {input.shape}"
        )
