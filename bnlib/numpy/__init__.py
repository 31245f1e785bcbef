"""The NumPy backend: batch normalization, and the small layers and the training loop of Part I.

Needs NumPy alone. The functions carry the maths; the layers carry parameters and buffers.
"""

from bnlib.numpy.batchnorm import BatchNorm, batch_norm, batch_norm_backward
from bnlib.numpy.layers import (
    Dropout,
    Layer,
    Linear,
    ReLU,
    Sequential,
    Sigmoid,
    softmax_cross_entropy,
)
from bnlib.numpy.norms import (
    group_norm,
    group_norm_backward,
    instance_norm,
    instance_norm_backward,
    layer_norm,
    layer_norm_backward,
    rms_norm,
    rms_norm_backward,
)
from bnlib.numpy.renorm import batch_renorm, batch_renorm_backward
from bnlib.numpy.training import SGD, evaluate, fit
from bnlib.training import History, last_history

__all__ = [
    "SGD",
    "BatchNorm",
    "Dropout",
    "History",
    "Layer",
    "Linear",
    "ReLU",
    "Sequential",
    "Sigmoid",
    "batch_norm",
    "batch_norm_backward",
    "batch_renorm",
    "batch_renorm_backward",
    "evaluate",
    "fit",
    "group_norm",
    "group_norm_backward",
    "instance_norm",
    "instance_norm_backward",
    "last_history",
    "layer_norm",
    "layer_norm_backward",
    "rms_norm",
    "rms_norm_backward",
    "softmax_cross_entropy",
]
