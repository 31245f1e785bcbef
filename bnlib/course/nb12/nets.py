"""The nets of notebook 12, and one process that plays several devices.

Imported where torch is there: from bnlib.course.nb12 import nets.
"""

import torch
from torch import nn
from torch.nn.functional import cross_entropy

import bnlib.torch as bt
from bnlib.course.kit.nets import STRIDES, WIDTHS, digit_images, norms_of, with_hes_weights

digits = digit_images

NETS = ("MLP", "conv")


class _Ghost:
    """Batch norm as several devices compute it that do not talk: each share by itself.

    devices  into how many shares, one after the other, a batch is cut in training

    The running statistics follow the first share alone: before each forward pass
    DistributedDataParallel gives every rank those of rank 0.
    """

    def __init__(self, channels, devices):
        super().__init__(channels)
        self.devices = devices

    def forward(self, x):
        if not self.training:
            return super().forward(x)
        first, *others = x.tensor_split(self.devices)
        own = self.weight, self.bias
        ys = [bt.batch_norm(part, None, None, *own, training=True, eps=self.eps) for part in others]
        return torch.cat([super().forward(first), *ys])


class Ghost1d(_Ghost, bt.BatchNorm1d):
    """`_Ghost` for (N, C)."""


class Ghost2d(_Ghost, bt.BatchNorm2d):
    """`_Ghost` for (N, C, H, W)."""


# ── nets ────────────────────────────────────────────────────────────────────────────────────────


def net(kind="MLP", devices=1, *, norm=True, seed=0):
    """A net for digits with batch norm before each ReLU, as so many devices train it.

    kind     "MLP": 784-100-100-10; "conv": five 3×3 convolutions, the mean over the places, a
             Linear
    devices  each share of a batch is normalized by itself, see `_Ghost`; 1: bnlib.torch's layer
    norm     False: the net without batch norm, with biases in its place
    """
    torch.manual_seed(seed)
    layers = _conv_layers(devices, norm) if kind == "conv" else _mlp_layers(devices, norm)
    return with_hes_weights(nn.Sequential(*layers))


def _mlp_layers(devices, norm):
    layers = [nn.Flatten()]
    for inputs in (784, 100):
        layers.append(nn.Linear(inputs, 100, bias=not norm))
        layers += _norm(100, devices, bt.BatchNorm1d, Ghost1d) if norm else []
        layers.append(nn.ReLU())
    return [*layers, nn.Linear(100, 10)]


def _conv_layers(devices, norm):
    layers, channels = [], 1
    for width, stride in zip(WIDTHS, STRIDES, strict=True):
        layers.append(nn.Conv2d(channels, width, 3, stride, padding=1, bias=not norm))
        layers += _norm(width, devices, bt.BatchNorm2d, Ghost2d) if norm else []
        layers.append(nn.ReLU())
        channels = width
    return [*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, 10)]


def _norm(channels, devices, one, many):
    return [one(channels) if devices == 1 else many(channels, devices)]


def kind_of(model):
    """The name in NETS of a net that `net` made."""
    return "conv" if isinstance(model[0], nn.Conv2d) else "MLP"


def with_statistics(model, x):
    """A net for one device with the same numbers, its statistics recomputed on 1,000 images x."""
    plain = net(kind_of(model)).to(x.device)
    plain.load_state_dict(model.state_dict())
    bt.recompute_statistics(plain, x[:1000].split(50))
    return plain


@torch.no_grad()
def first_layer(x):
    """(N, 100): what the first batch norm of a fresh MLP gets for images x (N, 1, 28, 28)."""
    return net().to(x.device)[:2](x)


def one_unit(x, batches=4, size=64, unit=3):
    """(batches, size) array of one unit's values in `first_layer`, for the explorer."""
    return first_layer(x[: batches * size])[:, unit].view(batches, size).cpu().numpy()


# ── devices that see different digits ───────────────────────────────────────────────────────────


class Halves(nn.Module):
    """A net that takes pairs (N, 2, …): all first ones are the first half of the batch."""

    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, pairs):
        return self.model(pairs.transpose(0, 1).flatten(0, 1))


def loss_of_halves(outputs, labels):
    """The mean loss of Halves' outputs; labels (N, 2)."""
    return cross_entropy(outputs, labels.T.flatten())


def pairs_by_class(x, y):
    """Pairs of a digit 0–4 and a digit 5–9: images (M, 2, …) and labels (M, 2)."""
    low, high = torch.nonzero(y < 5)[:, 0], torch.nonzero(y >= 5)[:, 0]
    rows = torch.stack([low[: len(high)], high[: len(low)]], dim=1)
    return x[rows], y[rows]


# ── sizes and gradients ─────────────────────────────────────────────────────────────────────────


def bytes_of_synchronizing(model):
    """How many bytes of float32 a rank hands over in a training step, for all batch norms.

    Forward, for each channel a pivot, the mean's distance from it and the sum of squares, and one
    count; backward, two sums for each channel: 4·(5C + 1) a layer.
    """
    return sum(4 * (5 * norm.num_features + 1) for norm in norms_of(model))


def bytes_of_gradients(model):
    """How many bytes of float32 the gradients of all parameters have."""
    return sum(4 * p.numel() for p in model.parameters())


def gradient(model, x, y, parts=1):
    """The gradient of the mean loss as one vector, accumulated over so many parts of the batch."""
    model.zero_grad()
    for part, labels in zip(x.tensor_split(parts), y.tensor_split(parts), strict=True):
        (cross_entropy(model(part), labels) / parts).backward()
    return torch.cat([p.grad.flatten() for p in model.parameters()])


def train(model, x, y, lr=0.1):
    """Plain SGD steps on given batches x (steps, N, …), y (steps, N). Returns the model."""
    optimizer = torch.optim.SGD(model.parameters(), lr)
    for batch, labels in zip(x, y, strict=True):
        optimizer.zero_grad()
        cross_entropy(model(batch), labels).backward()
        optimizer.step()
    return model


def parameters_of(state):
    """The learned numbers of a state_dict as one vector."""
    return torch.cat([v.flatten() for k, v in state.items() if k.endswith(("weight", "bias"))])


def statistics_of(state):
    """The running means and variances of a state_dict as one vector."""
    return torch.cat([v.flatten() for k, v in state.items() if ".running_" in k])
