"""BatchNorm1d, BatchNorm2d and BatchNorm3d: torch.nn's modules around our batch_norm.

They subclass torch.nn's and replace the computation alone: constructor, attributes, state_dict,
loading, representation and what other tools ask with isinstance stay torch's own.
"""

import torch

from bnlib.torch._checks import check_batch_norm
from bnlib.torch.batchnorm import normalize


class OwnForward:
    """Mixed in before a torch.nn normalization: its forward, by our batch_norm."""

    def forward(self, input):
        """Normalize input; in training mode also count the batch and follow its statistics.

        Raises ValueError or TypeError as batch_norm does, and then leaves every buffer as it was.
        """
        self._check_input_dim(input)
        mean, var = self.running_mean, self.running_var
        use_batch = self.training or (mean is None and var is None)
        if self.training and not self.track_running_stats:
            mean = var = None
        momentum = 0.0 if self.momentum is None else self.momentum
        arguments = input, mean, var, self.weight, self.bias, use_batch
        self._check(*arguments, momentum, self.eps)
        count = self.num_batches_tracked if self.training and self.track_running_stats else None
        if count is not None and self.momentum is None:  # the plain average of all batches so far
            # a tensor, since a float would make the host wait for the device
            momentum = (count + 1).to(mean.dtype).reciprocal()
        y = self._normalize(*arguments, momentum, self.eps)
        if count is not None:
            count.add_(1)
        return y

    _check = staticmethod(check_batch_norm)
    _normalize = staticmethod(normalize)


class BatchNorm1d(OwnForward, torch.nn.BatchNorm1d):
    """Drop-in for torch.nn.BatchNorm1d: (N, C) or (N, C, L) in, the same shape out.

    >>> layer = BatchNorm1d(2, eps=1e-12)
    >>> layer(torch.tensor([[1.0, 10.0], [3.0, 10.0]])).tolist()
    [[-1.0, 0.0], [1.0, 0.0]]
    >>> layer.running_mean.tolist()
    [0.20000000298023224, 1.0]
    """


class BatchNorm2d(OwnForward, torch.nn.BatchNorm2d):
    """Drop-in for torch.nn.BatchNorm2d: (N, C, H, W) in, the same shape out."""


class BatchNorm3d(OwnForward, torch.nn.BatchNorm3d):
    """Drop-in for torch.nn.BatchNorm3d: (N, C, D, H, W) in, the same shape out."""
