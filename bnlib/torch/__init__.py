"""The torch backend: drop-in batch normalization on any device, by our own formulas.

batch_norm              torch.nn.functional.batch_norm
layer_norm, group_norm, instance_norm, rms_norm
                        torch.nn.functional's
BatchNorm1d/2d/3d       torch.nn's modules
SyncBatchNorm           torch.nn's, on CPUs too
convert, revert         a model's batch norms become ours, and the way back
fuse                    a model for evaluation, its batch norms folded into its other layers
recompute_statistics    population statistics in place of running averages
fit, evaluate, last_history
                        bnlib.numpy's training loop, on a device
"""

from bnlib.torch.batchnorm import batch_norm
from bnlib.torch.deploy import convert, fuse, recompute_statistics, revert
from bnlib.torch.distributed import SyncBatchNorm
from bnlib.torch.modules import BatchNorm1d, BatchNorm2d, BatchNorm3d
from bnlib.torch.norms import group_norm, instance_norm, layer_norm, rms_norm
from bnlib.torch.training import evaluate, fit
from bnlib.training import last_history

__all__ = [
    "BatchNorm1d",
    "BatchNorm2d",
    "BatchNorm3d",
    "SyncBatchNorm",
    "batch_norm",
    "convert",
    "evaluate",
    "fit",
    "fuse",
    "group_norm",
    "instance_norm",
    "last_history",
    "layer_norm",
    "recompute_statistics",
    "revert",
    "rms_norm",
]
