"""BatchNorm1d, BatchNorm2d and BatchNorm3d: torch.nn's modules around our batch_norm.

They subclass torch.nn's and replace the computation alone: constructor, attributes, state_dict,
loading, representation and what other tools ask with isinstance stay torch's own.
"""

import operator
import types

import torch
import torch.fx
from torch.nn.modules.batchnorm import _BatchNorm

from bnlib.torch._checks import ArgumentError, check_batch_norm
from bnlib.torch.batchnorm import normalize


class OwnForward:
    """Mixed in before a torch.nn normalization: its forward, by our batch_norm.

    TorchScript (torch.jit.script and trace) keeps torch's own operation instead of our formulas;
    to torch.fx a layer is one operation, as torch.nn's are.
    """

    def __init__(
        self,
        num_features,
        eps=1e-5,
        momentum=0.1,
        affine=True,
        track_running_stats=True,
        device=None,
        dtype=None,
        *,
        bias=True,
    ):
        num_features = _as_size("num_features", num_features)
        eps = _as_number("eps", eps)
        momentum = None if momentum is None else _as_number("momentum", momentum)
        without = {} if bias else {"bias": bias}  # older torch has no such argument: don't pass it
        super().__init__(
            num_features, eps, momentum, affine, track_running_stats, device, dtype, **without
        )

    def forward(self, input):
        """Normalize input; in training mode also count the batch and follow its statistics.

        Raises ValueError or TypeError as batch_norm does, and then leaves every buffer as it was.
        """
        # TorchScript compiles only one of two branches that end alike
        if torch.jit.is_scripting() or torch.jit.is_tracing():
            return self._torchs_forward(input)
        else:
            return self._own_forward(input)

    # under a name of its own, which TorchScript asks for
    _torchs_forward = types.FunctionType(
        _BatchNorm.forward.__code__, _BatchNorm.forward.__globals__, "_torchs_forward"
    )

    def _own_forward(self, input):
        if isinstance(input, torch.fx.Proxy):
            return self._one_operation(input)
        self._check_input_dim(input)
        mean, var = self.running_mean, self.running_var
        use_batch = bool(self.training) or (mean is None and var is None)
        if self.training and not self.track_running_stats:
            mean = var = None
        eps = _as_number("eps", self.eps)
        momentum = 0.0 if self.momentum is None else _as_number("momentum", self.momentum)
        arguments = input, mean, var, self.weight, self.bias, use_batch
        self._check(*arguments, momentum, eps)
        if self.training and self.track_running_stats and self.num_batches_tracked is not None:
            # before the rest, which a checkpoint's second run may leave halfway
            self.num_batches_tracked.add_(1)
            if self.momentum is None:  # the plain average of all batches so far
                # a tensor, since a float would make the host wait for the device
                momentum = self.num_batches_tracked.to(mean.dtype).reciprocal()
        return self._normalize(*arguments, momentum, eps)

    _check = staticmethod(check_batch_norm)
    _normalize = staticmethod(normalize)

    def _one_operation(self, proxy):
        tracer = proxy.tracer
        path = "_itself" if tracer.root is self else tracer.path_of_module(self)
        return tracer.create_proxy("call_module", path, (proxy,), {})

    @property
    def _itself(self):
        """Where torch.fx finds the layer that is the whole model."""
        return self

    __jit_unused_properties__ = ("_itself",)


def _as_size(name, value):
    try:
        size = operator.index(value)
    except TypeError:
        raise TypeError(f"{name} is {value!r}; expected a whole number") from None
    if size < 0:
        raise ArgumentError(f"{name} is {size}; expected a whole number, 0 or more")
    return size


def _as_number(name, value):
    """A Python number for one of NumPy's, or for an array or tensor without dimensions."""
    if not isinstance(value, (int, float)):
        number = value.item() if getattr(value, "ndim", None) == 0 else None
        if not isinstance(number, (int, float)):
            raise TypeError(f"{name} is {value!r}; expected a number")
        value = number
    return value


class BatchNorm1d(OwnForward, torch.nn.BatchNorm1d):
    """Drop-in for torch.nn.BatchNorm1d: (N, C) or (N, C, L) in, the same shape out.

    >>> layer = BatchNorm1d(2, eps=1e-12)
    >>> layer(torch.tensor([[1.0, 10.0], [3.0, 10.0]])).tolist()
    [[-1.0, 0.0], [1.0, 0.0]]
    >>> layer.running_mean.tolist()
    [0.20000000298023224, 1.0]
    """


class BatchNorm2d(OwnForward, torch.nn.BatchNorm2d):
    """Drop-in for torch.nn.BatchNorm2d: (N, C, H, W) in, the same shape out.

    >>> BatchNorm2d(3)(torch.ones(4, 3, 2, 2)).shape
    torch.Size([4, 3, 2, 2])
    """


class BatchNorm3d(OwnForward, torch.nn.BatchNorm3d):
    """Drop-in for torch.nn.BatchNorm3d: (N, C, D, H, W) in, the same shape out.

    >>> BatchNorm3d(3)(torch.ones(4, 3, 2, 2, 2)).shape
    torch.Size([4, 3, 2, 2, 2])
    """
