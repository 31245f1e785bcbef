"""The nets of notebook 14, with any norm in them: rows, images, sequences, residual, transformer.

Imported where torch is there: from bnlib.course.nb14 import nets. A norm is a function of the
number of channels (or features) that makes a layer, or None for a net without.
"""

import copy
import math

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

import bnlib.numpy as bn
import bnlib.torch as bt
from bnlib.course.kit.nets import STRIDES, WIDTHS, digit_images, with_hes_weights
from bnlib.course.nb14.exercises import r_and_d

digits = digit_images

PLACES = (196, 196, 49, 49, 16)  # H·W behind each of them
BATCH = 60
BLANK = 8  # a sequence in training begins with up to so many blank rows
PATCH = 7  # pixels a side of what a transformer's token sees


# ── norms that torch.nn lacks ───────────────────────────────────────────────────────────────────


def lined_up(v, x):
    """(C,) in a shape that meets the channels of x, (N, C) or (N, C, H, W)."""
    return v.view(-1, *[1] * (x.dim() - 2))


class Scaled(nn.Module):
    """γ and β of C channels, axis 1: what follows most norms."""

    def __init__(self, channels):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))

    def scale(self, x):
        return lined_up(self.weight, x) * x + lined_up(self.bias, x)


class BatchRenorm(Scaled):
    """Batch renormalization; the bounds open from 1 and 0 over the first `warm` steps.

    find_r_and_d  function (x, running_mean, running_var, r_max, d_max, eps) -> r, d of rows x
    """

    def __init__(self, channels, find_r_and_d=r_and_d, momentum=0.1, warm=200, r_max=3.0, d_max=5.0,
                 eps=1e-5):  # fmt: skip
        super().__init__(channels)
        self.register_buffer("running_mean", torch.zeros(channels))
        self.register_buffer("running_var", torch.ones(channels))
        self.find, self.momentum, self.eps, self.steps = find_r_and_d, momentum, eps, 0
        self.warm, self.r_max, self.d_max = warm, r_max, d_max

    def forward(self, x):
        if not self.training:
            running = self.running_mean, self.running_var
            return bt.batch_norm(x, *running, self.weight, self.bias, eps=self.eps)
        opened = min(1, self.steps / self.warm)
        self.steps += 1
        bounds = 1 + opened * (self.r_max - 1), opened * self.d_max
        rows = x.detach().movedim(1, -1).flatten(0, -2)  # (m, C)
        r, d = self.find(rows, self.running_mean, self.running_var, *bounds, self.eps)
        mean, var = self.running_mean.clone(), self.running_var.clone()
        x_hat = bt.batch_norm(x, mean, var, training=True, momentum=self.momentum, eps=self.eps)
        self.running_mean.copy_(mean)
        self.running_var.copy_(var)
        return self.scale(x_hat * lined_up(r, x) + lined_up(d, x))


class DynamicTanh(Scaled):
    """γ·tanh(αx) + β: no statistics at all (Zhu et al. 2025). α is learned, one for the layer."""

    def __init__(self, channels, alpha=0.5):
        super().__init__(channels)
        self.alpha = nn.Parameter(torch.tensor(float(alpha)))

    def forward(self, x):
        return self.scale(torch.tanh(self.alpha * x))


class RMSOfExample(Scaled):
    """Every value over the root mean square of its example's values; no mean is taken off."""

    def forward(self, x):
        mean_square = x.square().mean([*range(1, x.dim())], keepdim=True)
        return self.scale(x * torch.rsqrt(mean_square + 1e-5))


def standardized(weight, eps=1e-5):
    """Weights (K, ...): each output channel's have mean 0 and variance 1 / fan-in."""
    axes = tuple(range(1, weight.dim()))
    c = weight - weight.mean(axes, keepdim=True)
    variance = c.square().mean(axes, keepdim=True)
    return c / (variance + eps).sqrt() / weight[0].numel() ** 0.5


class StandardizedConv(nn.Conv2d):
    """A convolution by standardized weights, times a gain, which is RELU_GAIN without a norm."""

    gain = 1.0

    def forward(self, x):
        weight = self.gain * standardized(self.weight)
        return F.conv2d(x, weight, self.bias, self.stride, self.padding)


RELU_GAIN = math.sqrt(2 / (1 - 1 / math.pi))  # 1 / the deviation of ReLU(normal); Brock et al. 2021


def last_axis(norm):
    """A norm for (N, C, …) made one for features that lie last, (N, …, C), as in a transformer."""

    class Last(nn.Module):
        def __init__(self, features):
            super().__init__()
            self.norm = norm(features)

        def forward(self, x):
            return self.norm(x.movedim(-1, 1)).movedim(1, -1)

    return Last


NORMS_1D = {  # of features (N, D)
    "BN": bt.BatchNorm1d, "LN": nn.LayerNorm, "RMS": RMSOfExample, "renorm": BatchRenorm,
    "DyT": DynamicTanh, "none": None,
}  # fmt: skip
NORMS_2D = {  # of images (N, C, H, W)
    "BN": bt.BatchNorm2d, "GN": lambda channels: nn.GroupNorm(channels // 4, channels),
    "LN": lambda channels: nn.GroupNorm(1, channels),
    "IN": lambda channels: nn.InstanceNorm2d(channels, affine=True), "RMS": RMSOfExample,
    "renorm": BatchRenorm, "DyT": DynamicTanh, "none": None,
}  # fmt: skip
NORMS_LAST = {  # of features that lie last, (N, T, D)
    "BN": last_axis(bt.BatchNorm1d), "LN": nn.LayerNorm,
    "RMS": lambda features: nn.RMSNorm(features, eps=1e-5), "DyT": last_axis(DynamicTanh),
    "none": None,
}  # fmt: skip


# ── nets ────────────────────────────────────────────────────────────────────────────────────────


def mlp(norm=None, seed=0, width=100):
    """Two hidden layers: Linear, norm, ReLU; then ten outputs. It takes images."""
    torch.manual_seed(seed)
    layers, size = [nn.Flatten()], 784
    for _ in range(2):
        layers.append(nn.Linear(size, width, bias=norm is None))
        layers += [nn.ReLU()] if norm is None else [norm(width), nn.ReLU()]
        size = width
    return with_hes_weights(nn.Sequential(*layers, nn.Linear(width, 10)))


def conv_net(norm=None, seed=0, conv=nn.Conv2d, gain=1.0):
    """Five times 3×3 convolution, norm, ReLU; the mean over the places; a Linear: notebook 10's.

    conv  nn.Conv2d, or StandardizedConv with its gain
    """
    torch.manual_seed(seed)
    layers, channels = [], 1
    for width, stride in zip(WIDTHS, STRIDES, strict=True):
        bias = norm is None or conv is not nn.Conv2d
        layers.append(conv(channels, width, 3, stride, padding=1, bias=bias))
        layers[-1].gain = gain
        layers += [nn.ReLU()] if norm is None else [norm(width), nn.ReLU()]
        channels = width
    return with_hes_weights(
        nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, 10))
    )


REPLACEMENTS = {  # what stands in the convolutional net -> the net of a seed
    **{name: lambda seed, norm=norm: conv_net(norm, seed) for name, norm in NORMS_2D.items()
       if name != "renorm"},
    "WS + GN": lambda seed: conv_net(NORMS_2D["GN"], seed, StandardizedConv),
    "scaled WS": lambda seed: conv_net(None, seed, StandardizedConv, RELU_GAIN),
}  # fmt: skip


class Recurrent(nn.Module):
    """Reads an image row by row: h = tanh(norm(uW + hV)), 64 features; the last h says the digit.

    norm  "none", "LN", "BN" (one set of statistics for all steps), "BN per step"
    In training up to BLANK blank rows come first, so many for a whole batch: sequences of
    several lengths. A step later than any in training uses the last step's norm.
    """

    def __init__(self, norm="none", seed=0, size=64):
        super().__init__()
        torch.manual_seed(seed)
        self.size = size
        self.into, self.again = nn.Linear(28, size), nn.Linear(size, size, bias=False)
        self.out = nn.Linear(size, 10)
        nn.init.orthogonal_(self.again.weight)
        count = 28 + BLANK if norm == "BN per step" else 1
        make = {"none": nn.Identity, "LN": nn.LayerNorm}.get(norm, bt.BatchNorm1d)
        self.norms = nn.ModuleList([make(size) for _ in range(count)])
        self.draw = np.random.default_rng(seed)

    def forward(self, x):
        rows = x.flatten(1, 2)
        if self.training:
            rows = blank_first(rows, int(self.draw.integers(0, BLANK + 1)))
        h = rows.new_zeros(len(rows), self.size)
        for t in range(rows.shape[1]):
            norm = self.norms[min(t, len(self.norms) - 1)]
            h = torch.tanh(norm(self.into(rows[:, t]) + self.again(h)))
        return self.out(h)


def blank_first(rows, count):
    """(N, T, D) -> (N, count + T, D), the first of which are blank."""
    return F.pad(rows, (0, 0, count, 0))


class ClippedSGD(torch.optim.SGD):
    """SGD that shortens a gradient longer than 1, as recurrent nets need it."""

    def step(self):
        for group in self.param_groups:
            nn.utils.clip_grad_norm_(group["params"], 1.0)
        return super().step()


class Block(nn.Module):
    """x + Linear(ReLU(norm(x)))."""

    def __init__(self, width, norm):
        super().__init__()
        inside = [] if norm is None else [norm(width)]
        self.branch = nn.Sequential(*inside, nn.ReLU(), nn.Linear(width, width, bias=norm is None))

    def forward(self, x):
        return x + self.branch(x)


def residual_net(norm=None, seed=0, blocks=20, width=64):
    """Twenty residual blocks of 64 features. It takes images."""
    torch.manual_seed(seed)
    last = [] if norm is None else [norm(width)]
    return with_hes_weights(
        nn.Sequential(
            nn.Flatten(),
            nn.Linear(784, width),
            *[Block(width, norm) for _ in range(blocks)],
            *last,
            nn.ReLU(),
            nn.Linear(width, 10),
        )
    )


class Attention(nn.Module):
    """Self-attention; causal: a token sees none that comes later."""

    def __init__(self, width, heads=4, causal=False):
        super().__init__()
        self.heads, self.causal = heads, causal
        self.into, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)

    def forward(self, x):
        parts = self.into(x).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        seen = F.scaled_dot_product_attention(*parts, is_causal=self.causal)
        return self.out(seen.transpose(1, 2).flatten(2))


class TransformerBlock(nn.Module):
    """Norm and attention, norm and a net of two layers, each added to what came in ("pre-norm")."""

    def __init__(self, width, norm, causal=False, heads=4):
        super().__init__()
        make = nn.Identity if norm is None else norm
        self.attention = nn.Sequential(make(width), Attention(width, heads, causal))
        self.net = nn.Sequential(
            make(width), nn.Linear(width, 2 * width), nn.ReLU(), nn.Linear(2 * width, width)
        )

    def forward(self, x):
        x = x + self.attention(x)
        return x + self.net(x)


class Transformer(nn.Module):
    """Reads an image as 16 tokens, patches of 7 × 7 pixels; the tokens' mean says the digit."""

    def __init__(self, norm=nn.LayerNorm, seed=0, width=32, blocks=4):
        super().__init__()
        torch.manual_seed(seed)
        self.into = nn.Linear(PATCH * PATCH, width)
        self.place = nn.Parameter(0.1 * torch.randn(16, width))
        self.blocks = nn.Sequential(*[TransformerBlock(width, norm) for _ in range(blocks)])
        self.norm = nn.Identity() if norm is None else norm(width)
        self.out = nn.Linear(width, 10)

    def forward(self, x):
        tokens = F.unfold(x, PATCH, stride=PATCH).transpose(1, 2)  # (N, 16, 49)
        tokens = self.norm(self.blocks(self.into(tokens) + self.place))
        return self.out(tokens.mean(1))


# ── how they are trained and read ───────────────────────────────────────────────────────────────


def batch_norms(model):
    return [m for m in model.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]


def with_statistics(model, x, batch=50):
    """A copy whose batch norms' running statistics are recomputed on images x, without labels."""
    model = copy.deepcopy(model)
    if batch_norms(model):
        bt.recompute_statistics(model, x.split(batch))
    return model


def accuracy(model, x, y):
    """The share of images that a model reads rightly in evaluation mode."""
    return bt.evaluate(model, x, y)[1]


@torch.no_grad()
def before_norms(model, x):
    """What each batch norm of a convolutional net gets in evaluation mode: a list."""
    model = copy.deepcopy(model).eval()
    ends = [i for i, layer in enumerate(model) if layer in batch_norms(model)]
    return [model[:end](x) for end in ends]


@torch.no_grad()
def accuracy_by_batch(model, x, y, size):
    """The same in training mode, `size` at a time: batch norms use that batch's statistics."""
    model = copy.deepcopy(model).train()
    batches = zip(x.split(size), y.split(size), strict=True)
    return sum((model(xb).argmax(1) == yb).sum().item() for xb, yb in batches) / len(x)


@torch.no_grad()
def corners(layer, x, which, size=32):
    """(batches, C): what a layer in training mode gives in the top left corner of one image of
    each batch, the one at place `which`. x holds a whole number of batches of `size`."""
    layer = copy.deepcopy(layer).train()
    return torch.stack([layer(batch)[which, :, 0, 0] for batch in x.split(size)])


def gradient_of_first(model, x, y):
    """The gradient of the first example's loss, for the first layer's weights, in training mode.

    The model itself stays as it is: its running statistics are not moved.
    """
    model = copy.deepcopy(model).train()
    loss = F.cross_entropy(model(x)[:1], y[:1])
    return torch.autograd.grad(loss, model[0].weight)[0]


def batches_of_classes(y, classes, size, rng):
    """Endless index arrays: `size` examples of so many classes, drawn afresh for each batch."""
    members = [np.flatnonzero(np.asarray(y) == c) for c in range(10)]
    while True:
        chosen = rng.choice(10, classes, replace=False)
        yield np.concatenate([rng.choice(members[c], size // classes, False) for c in chosen])


def fit_on_classes(model, x, y, classes, *, steps, lr, seed=0, size=40):
    """Train on batches that hold so many classes each."""
    optimizer = torch.optim.SGD(model.parameters(), lr)
    batches = batches_of_classes(y.cpu(), classes, size, np.random.default_rng(seed))
    model.train()
    for _, rows in zip(range(steps), batches, strict=False):
        loss = F.cross_entropy(model(x[rows]), y[rows])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return model


# ── other light ─────────────────────────────────────────────────────────────────────────────────


def noise_like(x, seed=5):
    """Fixed standard normal numbers, shaped like x."""
    draw = torch.Generator().manual_seed(seed)
    return torch.randn(x.shape, generator=draw).to(x)


def in_other_light(x, contrast=1.0, brightness=0.0, noise=0.0):
    """contrast · x + brightness + noise · (a fixed normal number a pixel), cut off at 0 and 1."""
    changed = contrast * x + brightness
    if noise:
        changed = changed + noise * noise_like(x)
    return changed.clamp(0, 1)


def blurred(x, size=5):
    """Each pixel the mean of the size × size pixels around it."""
    kernel = x.new_full((1, 1, size, size), size**-2)
    return F.conv2d(x, kernel, padding=size // 2)


def moved(x, pixels=3):
    """Moved down, blank above."""
    return F.pad(x, (0, 0, pixels, 0))[:, :, : x.shape[2]]


LIGHT = {  # what is done to the test digits
    "as they are": lambda x: x,
    "contrast × 0.3": lambda x: in_other_light(x, contrast=0.3),
    "noise 0.3": lambda x: in_other_light(x, noise=0.3),
    "blurred, 5 × 5": blurred,
    "brighter by 0.3": lambda x: in_other_light(x, brightness=0.3),
    "moved by 3 pixels": moved,
    "inverted": lambda x: 1 - x,
}
WAYS = ("stored", "batch of 10", "recomputed", "GN", "none")


def read_in_all_ways(nets, x, y, unlabelled):
    """(5,) accuracy on x, y: the BN net by its stored statistics, by those of batches of ten, by
    statistics recomputed on other images without labels; then the GN net and that without a norm.

    nets  {"BN": …, "GN": …, "none": …}
    """
    net = nets["BN"]
    ways = [accuracy(net, x, y), accuracy_by_batch(net, x, y, 10)]
    ways += [accuracy(with_statistics(net, unlabelled, 100), x, y)]
    return ways + [accuracy(nets[name], x, y) for name in ("GN", "none")]


# ── by hand, against the libraries ──────────────────────────────────────────────────────────────


def differences(name, by_hand, *more, groups=2):
    """library -> how far its norm lies from one made by hand: y, dx and, where taken, dγ and dβ.

    name     "batch_norm", "layer_norm", "instance_norm", "rms_norm", "group_norm"
    by_hand  function (x, *more) -> y, or (x, gamma, beta) -> y for group_norm, of images x
             (4, 6, 5, 3)

    Inputs and upstream gradient are random, in float64.
    """
    draw = torch.Generator().manual_seed(14)
    x, dy = torch.randn(2, 4, 6, 5, 3, dtype=torch.float64, generator=draw)
    gamma, beta = torch.randn(2, 6, dtype=torch.float64, generator=draw)
    given = [2 * x + 1, gamma, beta] if name == "group_norm" else [2 * x + 1]
    wanted = _with_gradients(by_hand, given, dy, more)
    found = {
        library: _with_gradients(_norm_of(module, name, groups), given, dy)
        for library, module in (("bnlib.torch", bt), ("torch.nn.functional", F))
    } | {"bnlib.numpy": _in_numpy(name, given, dy, groups)}
    return {
        library: max((a - b).abs().max().item() for a, b in zip(parts, wanted, strict=True))
        for library, parts in found.items()
    }


def _with_gradients(function, given, dy, more=()):
    inputs = [v.clone().requires_grad_() for v in given]
    y = function(*inputs, *more)
    return [y.detach(), *torch.autograd.grad(y, inputs, dy)]


def _norm_of(module, name, groups):
    norm = getattr(module, name)
    return {
        "batch_norm": lambda x: norm(x, None, None, training=True),
        "layer_norm": lambda x: norm(x, x.shape[1:]),
        "rms_norm": lambda x: norm(x, x.shape[1:], eps=1e-5),
        "instance_norm": norm,
        "group_norm": lambda x, gamma, beta: norm(x, groups, gamma, beta),
    }[name]


def _in_numpy(name, given, dy, groups):
    x, *parameters = (v.numpy() for v in given)
    more = {"axis": 1} if name in ("layer_norm", "rms_norm") else {}
    more |= {"groups": groups} if name == "group_norm" else {}
    y, cache = getattr(bn, name)(
        x, **dict(zip(("gamma", "beta"), parameters, strict=False)), **more
    )
    gradients = getattr(bn, f"{name}_backward")(dy.numpy(), cache)
    return [torch.from_numpy(v) for v in (y, *gradients[: len(given)])]


class OwnGroupNorm(nn.Module):
    """A module around a function group_norm(x, groups, gamma, beta, eps), four channels a group."""

    def __init__(self, function, channels):
        super().__init__()
        self.function, self.groups = function, channels // 4
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, x):
        return self.function(x, self.groups, self.weight, self.bias, 1e-5)
