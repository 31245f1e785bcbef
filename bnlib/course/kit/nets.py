"""What the rooms' torch nets share: digits as tensors, first weights, layers with statistics.

Imported where torch is there: nets.py of each room.
"""

import copy
import math

import torch
from torch import nn

import bnlib.torch as bt
from bnlib.data import as_features, mnist10k

# Of the small convolutional net: channels of each convolution, and its step.
WIDTHS, STRIDES = (8, 16, 16, 32, 32), (2, 1, 2, 1, 2)


def digit_rows(device="cpu"):
    """(x_train, y_train, x_test, y_test): pixels (N, 784) from 0 to 1, and labels.

    device  None: torch's default device
    """
    data = mnist10k()
    arrays = as_features(data.x_train), data.y_train, as_features(data.x_test), data.y_test
    return tuple(torch.tensor(array, device=device) for array in arrays)


def digit_images(device="cpu"):
    """(x_train, y_train, x_test, y_test): images (N, 1, 28, 28) from 0 to 1, and labels."""
    x_train, y_train, x_test, y_test = digit_rows(device)
    return x_train.view(-1, 1, 28, 28), y_train, x_test.view(-1, 1, 28, 28), y_test


@torch.no_grad()
def with_hes_weights(model):
    """The model with He's weights: variance 2 / fan-in, 1 / fan-in in the last layer; biases 0."""
    layers = [layer for layer in model.modules() if isinstance(layer, nn.Conv2d | nn.Linear)]
    for layer in layers:
        gain = 1.0 if layer is layers[-1] else 2.0
        layer.weight.normal_(0, math.sqrt(gain / layer.weight[0].numel()))
        if layer.bias is not None:
            layer.bias.zero_()
    return model


def norms_of(model):
    """The layers of a net that have running statistics, the learner's own among them."""
    return [layer for layer in model.modules() if getattr(layer, "running_mean", None) is not None]


def with_known_norms(model):
    """A copy in which batch norms that bnlib does not know, such as yours, are bnlib's.

    Their numbers travel by state_dict, so the copy gives what the model gives.
    """
    model = copy.deepcopy(model)
    for module in list(model.modules()):
        for name, norm in list(module.named_children()):
            if norm in norms_of(module) and not isinstance(norm, nn.modules.batchnorm._BatchNorm):
                known = bt.BatchNorm1d(len(norm.running_mean), eps=getattr(norm, "eps", 1e-5))
                known = known.to(norm.running_mean)
                known.load_state_dict(norm.state_dict())
                setattr(module, name, known.train(norm.training))
    return model
