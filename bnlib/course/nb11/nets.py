"""The nets of notebook 11, their statistics along training, and what fine-tuning makes of them.

Imported where torch is there: from bnlib.course.nb11 import nets.
"""

import copy
import math

import numpy as np
import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

import bnlib.torch as bt
from bnlib.course.kit.nets import STRIDES, WIDTHS, digit_images

digits = digit_images

BATCH, RATE = 60, 0.3
MOMENTA = (0.1, 0.01, None)  # None: the plain average of all batches so far
WATCHED = (2, 3, 5)  # channels of the last norm whose running means are kept

# What the camera changed: pixels from 0 to 1 -> pixels from 0 to 1.
SHIFTS = {
    "inverted": lambda x: 1 - x,
    "dimmed": lambda x: 0.3 * x + 0.5,
    "as trained": lambda x: x,
}
TUNED = 200  # labelled digits for fine-tuning
TUNING_STEPS = {32: 60, 2: 300}  # digits in a batch -> steps
WAYS = ("trained", "frozen", "recomputed, then frozen")


def conv_net(norm=bt.BatchNorm2d, *, seed=0):
    """Five times 3×3 convolution, norm, ReLU; the mean over the places; ten outputs. He's weights.

    norm  a function channels -> layer
    """
    torch.manual_seed(seed)
    layers, channels = [], 1
    for width, stride in zip(WIDTHS, STRIDES, strict=True):
        conv = nn.Conv2d(channels, width, 3, stride, padding=1, bias=False)
        nn.init.normal_(conv.weight, 0, math.sqrt(2 / (9 * channels)))
        layers += [conv, norm(width), nn.ReLU()]
        channels = width
    last = nn.Linear(channels, 10)
    nn.init.normal_(last.weight, 0, channels**-0.5)
    nn.init.zeros_(last.bias)
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), last)


def norms_of(model):
    """The batch norms of a net, in order."""
    return [layer for layer in model.modules() if isinstance(layer, _BatchNorm)]


def recomputed(model, x, batch=50):
    """A copy whose statistics are those of the first thousand images x, in batches."""
    model = copy.deepcopy(model)
    bt.recompute_statistics(model, x[:1000].split(batch))
    return model


@torch.no_grad()
def answers(run, x):
    """The digit that run reads in each image."""
    return run(x).argmax(1)


def share(run, x, y):
    """The share of images x that are read rightly, in evaluation mode where run has a mode."""
    if isinstance(run, nn.Module):
        return bt.evaluate(run, x, y)[1]
    return (answers(run, x) == y).float().mean().item()


def agree(one, other):
    """Do two outputs in float32 agree, to a thousandth?"""
    return torch.allclose(one, other, rtol=1e-3, atol=1e-3)


def border_and_inside(values):
    """The outermost rows and columns of (H, W) values, and the rest: two flat arrays."""
    edge = np.ones(values.shape, bool)
    edge[1:-1, 1:-1] = False
    return values[edge], values[~edge]


def refuses(run, x):
    """Does run(x) stop with an error?"""
    try:
        run(x)
    except Exception:
        return True
    return False


def for_small_images(run):
    """A function of colour images (N, 3, H, W) of any size: grey and enlarged, they go to run."""

    @torch.no_grad()
    def small(x):
        grey = x.mean(1, keepdim=True)
        return run(nn.functional.interpolate(grey, (28, 28)))

    return small


# ── folded and rounded ──────────────────────────────────────────────────────────────────────────


@torch.no_grad()
def folded_by(fold, model):
    """A copy for evaluation without batch norms: each went into the convolution before it.

    fold  function (weight, bias, gamma, beta, mean, var, eps) -> (weight, bias)
    """
    layers = []
    for layer in copy.deepcopy(model).eval():
        if not isinstance(layer, _BatchNorm):
            layers.append(layer)
            continue
        conv, norm = layers[-1], layer
        weight, bias = fold(
            conv.weight, conv.bias, norm.weight, norm.bias, norm.running_mean, norm.running_var,
            norm.eps,
        )  # fmt: skip
        conv.weight, conv.bias = nn.Parameter(weight), nn.Parameter(bias)
    return nn.Sequential(*layers)


def random_pair(conv, before=False):
    """(conv, batch norm) in evaluation mode and float64, all numbers of the batch norm random.

    before  the batch norm stands before the convolution
    """
    norm = bt.BatchNorm2d(conv.in_channels if before else conv.out_channels)
    pair = nn.Sequential(norm, conv) if before else nn.Sequential(conv, norm)
    return with_random_statistics(pair).double()


@torch.no_grad()
def with_random_statistics(model):
    """The model in evaluation mode, with random γ, β and statistics in its batch norms."""
    for norm in norms_of(model):
        for tensor in (norm.weight, norm.running_var):
            tensor.uniform_(0.5, 2)
        for tensor in (norm.bias, norm.running_mean):
            tensor.normal_()
    return model.eval()


def convs_of(model):
    """The convolutions of a net, in order."""
    return [layer for layer in model.modules() if isinstance(layer, nn.Conv2d)]


@torch.no_grad()
def rounded(model, bits=8, per_channel=True):
    """A copy whose convolutions and Linear have weights of so many bits, with one scale for each
    output channel or one for the tensor."""
    model, most = copy.deepcopy(model), 2 ** (bits - 1) - 1
    for layer in model.modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            weight = layer.weight
            size = weight.abs().flatten(1).amax(1) if per_channel else weight.abs().max()
            scale = (size / most).view(-1, *[1] * (weight.ndim - 1))
            scale[scale == 0] = 1  # a channel of zeros, as after folding γ = 0
            layer.weight.copy_((weight / scale).round() * scale)
    return model


class Residual(nn.Module):
    """A net with a branch: the stem's output goes through two convolutions, and is added again."""

    def __init__(self, channels=8):
        super().__init__()
        self.stem = nn.Conv2d(1, channels, 3, padding=1)
        self.norm0 = bt.BatchNorm2d(channels)
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.norm1 = bt.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.norm2 = bt.BatchNorm2d(channels)
        self.norm3 = bt.BatchNorm2d(channels)

    def forward(self, x):
        u = torch.relu(self.norm0(self.stem(x)))
        z = torch.relu(self.norm1(self.conv1(u)))
        return self.norm3(u + self.norm2(self.conv2(z)))


# ── running averages along training ─────────────────────────────────────────────────────────────


def along_training(x, y, x_test, y_test, readings, *, seed=0, rate=RATE, momenta=MOMENTA,
                   progress=False):  # fmt: skip
    """Train a net, and read it on the way with several kinds of statistics.

    readings  steps at which to read; training ends at the last
    momenta   of the running averages that are kept side by side; training is the same for all

    Returns (model, accuracy, means): accuracy (len(momenta) + 1, readings) with each running
    average, and last with recomputed statistics; means (the same, readings, channels) the means of
    WATCHED channels of the last norm.
    """
    model = conv_net(seed=seed).to(x.device)
    kept, hooks = zip(*(_beside(norm, momenta) for norm in norms_of(model)), strict=True)
    accuracy, means = [], []

    def read(step, model, loss):
        if step not in readings:
            return
        nets = [_with(model, [norms[i] for norms in kept]) for i in range(len(momenta))]
        nets.append(recomputed(model, x))
        accuracy.append([bt.evaluate(net, x_test, y_test)[1] for net in nets])
        means.append([norms_of(net)[-1].running_mean[list(WATCHED)].tolist() for net in nets])

    bt.fit(
        model, x, y, steps=max(readings), batch_size=BATCH, rng=seed, lr=rate, progress=progress,
        callback=read,
    )  # fmt: skip
    for hook in hooks:
        hook.remove()
    return model, np.transpose(accuracy), np.moveaxis(np.array(means), 0, 1)


def _beside(norm, momenta):
    """Copies of a norm with other momenta, each fed in training what the norm is given; the hook
    that feeds them."""
    copies = [copy.deepcopy(norm) for _ in momenta]
    for one, momentum in zip(copies, momenta, strict=True):
        one.momentum = momentum

    def feed(layer, args):
        if layer.training and torch.is_grad_enabled():
            with torch.no_grad():
                for one in copies:
                    one.train()(args[0])

    return copies, norm.register_forward_pre_hook(feed)


def _with(model, kept):
    """A copy of a model with the running statistics of these norms."""
    other = copy.deepcopy(model)
    for norm, source in zip(norms_of(other), kept, strict=True):
        norm.running_mean.copy_(source.running_mean)
        norm.running_var.copy_(source.running_var)
    return other


# ── fine-tuning ─────────────────────────────────────────────────────────────────────────────────


def freeze(model):
    """Let the batch norms use and keep the statistics that they have, while the rest trains."""
    model.train()
    for norm in norms_of(model):
        norm.eval()
    return model


def tuned(model, x, y, way, rate, batch=32, seed=0):
    """A copy, trained further on images x with one of the WAYS to treat the statistics."""
    model = copy.deepcopy(model)
    if way == "recomputed, then frozen":
        bt.recompute_statistics(model, x.split(50))
    model.train() if way == "trained" else freeze(model)
    bt.fit(
        model, x, y, steps=TUNING_STEPS[batch], batch_size=batch, rng=seed, lr=rate, progress=False
    )
    return model


# ── four ways that do not freeze ────────────────────────────────────────────────────────────────


def _parameters_alone(model):
    for norm in norms_of(model):
        norm.requires_grad_(False)


def _no_momentum(model):
    for norm in norms_of(model):
        norm.momentum = 0.0


def _mode_undone(model):
    for norm in norms_of(model):
        norm.eval()
    model.train()


def _not_tracked(model):
    for norm in norms_of(model):
        norm.track_running_stats = False
        norm.running_mean = norm.running_var = None


COLLEAGUES = {
    "A": _mode_undone,
    "B": _parameters_alone,
    "C": _not_tracked,
    "D": _no_momentum,
}


def traces(model, x, y, change):
    """What twenty steps of training leave behind after a change that was to freeze the norms.

    Returns (statistics, γ, training, evaluation): how the first norm's statistics and γ differ from
    before, and whether in each mode an image's outputs depend on the rest of its batch.
    """
    model = copy.deepcopy(model).train()
    before = copy.deepcopy(norms_of(model)[0])
    change(model)
    in_training, in_evaluation = (
        not _alone_is_as_in_company(net, x[:8])
        for net in (copy.deepcopy(model), copy.deepcopy(model).eval())
    )
    bt.fit(model, x, y, steps=20, batch_size=BATCH, rng=0, lr=0.03, progress=False)
    norm = norms_of(model)[0]
    pairs = [(norm.running_mean, before.running_mean), (norm.weight, before.weight)]
    left = ["none" if now is None else "rest" if now.equal(was) else "move" for now, was in pairs]
    return *left, in_training, in_evaluation


@torch.no_grad()
def _alone_is_as_in_company(net, x):
    return torch.allclose(net(x)[:1], net(x[:1]), atol=1e-3)


def table_of_traces(model, x, y):
    """The traces of all COLLEAGUES, as a text."""
    lines = ["              statistics   γ      an image's outputs depend on its batch"]
    lines += ["                                  in training mode    in evaluation mode"]
    for name, change in {"not frozen": lambda model: None, **COLLEAGUES}.items():
        statistics, gamma, *depend = traces(model, x, y, change)
        yes_no = ["yes" if one else "no" for one in depend]
        lines.append(f"{name:<12}  {statistics:<11}  {gamma:<5}  {yes_no[0]:<18}  {yes_no[1]}")
    return "\n".join(lines)


# ── a running mean in few bits ──────────────────────────────────────────────────────────────────


def running_mean_of(value, momentum, dtype, updates):
    """(updates + 1,) a running mean from 0 on, as the layer keeps it in this format, of batches
    whose mean is always the same."""
    running, batch = torch.zeros((), dtype=dtype), torch.tensor(value, dtype=dtype)
    found = [0.0]
    for _ in range(updates):
        running.lerp_(batch, momentum)  # running + momentum · (batch − running), rounded
        found.append(running.item())
    return np.array(found)
