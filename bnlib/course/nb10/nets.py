"""The convolutional nets of notebook 10, what they read, and what pruning does to them.

Imported where torch is there: from bnlib.course.nb10 import nets.
"""

import copy

import numpy as np
import torch
from torch import nn

import bnlib.torch as bt
from bnlib.course.kit.nets import (
    STRIDES,
    WIDTHS,
    digit_images,
    norms_of,
    with_hes_weights,
    with_known_norms,
)

digits = digit_images

BATCH = 60
FARTHEST = 4  # pixels: the blank border of nearly every digit


class PerPixel(nn.Module):
    """The common mistake: (N, C, H, W) flattened to (N, C·H·W), every place its own statistics."""

    def __init__(self, channels, side):
        super().__init__()
        self.norm = bt.BatchNorm1d(channels * side * side)

    def forward(self, x):
        return self.norm(x.flatten(1)).view_as(x)


# Over which axes values share a mean -> the layer, for so many channels of side × side places.
SHARED = {
    "N, H, W": lambda channels, side: bt.BatchNorm2d(channels),
    "N": PerPixel,
    "H, W": lambda channels, side: nn.InstanceNorm2d(channels, affine=True),
    "C, H, W": lambda channels, side: nn.GroupNorm(1, channels),
}


def conv_net(norm=None, *, he=True, seed=0):
    """Five times 3×3 convolution, norm, ReLU; the mean over the places; ten outputs.

    norm  a key of SHARED, a function (channels, side) -> layer, or None for a net without
    he    He's weights (variance 2 / fan-in, and 1 / fan-in for the output); else torch's own

    A convolution has a bias only where no norm follows.
    """
    torch.manual_seed(seed)
    make = SHARED.get(norm, norm)
    layers, channels, side = [], 1, 28
    for width, stride in zip(WIDTHS, STRIDES, strict=True):
        side = -(-side // stride)
        layers.append(nn.Conv2d(channels, width, 3, stride, padding=1, bias=make is None))
        layers += [nn.ReLU()] if make is None else [make(width, side), nn.ReLU()]
        channels = width
    model = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, 10))
    return with_hes_weights(model) if he else model


def with_statistics(model, x):
    """A copy whose running statistics are recomputed on the first thousand images x.

    Batch norms that bnlib does not know, such as the learner's, become its own by their state_dict.
    """
    model = with_known_norms(model)
    if norms_of(model):
        bt.recompute_statistics(model, x[:1000].split(50))
    return model


def moved(x, right=0, down=0):
    """Images (N, 1, H, W) moved by whole pixels; what leaves at one side is blank at the other."""
    padded = nn.functional.pad(x, (FARTHEST,) * 4)
    height, width = x.shape[2:]
    top, left = FARTHEST - down, FARTHEST - right
    return padded[:, :, top : top + height, left : left + width]


def accuracy_when_moved(model, x, y):
    """(5,) accuracy on images moved by 0 to 4 pixels, each the mean over the four directions."""
    found = []
    for pixels in range(FARTHEST + 1):
        ways = [(pixels, 0), (-pixels, 0), (0, pixels), (0, -pixels)]
        shares = [bt.evaluate(model, moved(x, *way), y)[1] for way in ways[: 4 if pixels else 1]]
        found.append(sum(shares) / len(shares))
    return found


@torch.no_grad()
def largest_x_hat(model, x):
    """The largest |x̂| that a net's first norm makes of images x with its running statistics."""
    norm, values = norms_of(model)[0], model[0](x)
    if len(norm.running_mean) > values.shape[1]:  # per pixel
        values = values.flatten(1)[..., None, None]
    mean, var = (v.view(1, -1, 1, 1) for v in (norm.running_mean, norm.running_var))
    return ((values - mean) / (var + norm.eps) ** 0.5).abs().max().item()


@torch.no_grad()
def convolved(model, x):
    """What each convolution of a net gives in training mode, 500 images at a time: a list."""
    model = copy.deepcopy(model).train()
    ends = [i for i, layer in enumerate(model, 1) if isinstance(layer, nn.Conv2d)]
    parts = [[model[:end](part) for end in ends] for part in x.split(500)]
    return [torch.cat(values) for values in zip(*parts, strict=True)]


def values_that_count(model, x):
    """Per convolution, (C,): Var(values) / Var(image means), the effective number of an image.

    Were the H·W values of an image independent, its mean would have 1 / (H·W) of their variance.
    """
    return [effective_number(values.double()) for values in convolved(model, x)]


def effective_number(x):
    """(C,) of (N, C, H, W): the variance of all values over the variance of the images' means."""
    return x.var((0, 2, 3), correction=0) / x.mean((2, 3)).var(0, correction=0)


# ── only some parameters, and fewer channels ────────────────────────────────────────────────────

TRAINED = ("gamma and beta", "as many weights", "output layer", "all")


def optimizer_of(model, which, lr, seed=0):
    """SGD on some of the parameters: which is one of TRAINED. Returns (optimizer, how many).

    "as many weights": a random choice of the convolutions' weights, as many as there are γ and β.
    """
    scales = [p for norm in norms_of(model) for p in (norm.weight, norm.bias)]
    weights = [layer.weight for layer in model if isinstance(layer, nn.Conv2d)]
    count = sum(p.numel() for p in scales)
    chosen = {
        "gamma and beta": scales,
        "as many weights": weights,
        "output layer": [*model[-1].parameters()],
        "all": [*model.parameters()],
    }[which]
    for p in model.parameters():
        p.requires_grad_(any(p is one for one in chosen))
    if which == "as many weights":
        picks = torch.Generator().manual_seed(seed)
        order = torch.randperm(sum(w.numel() for w in weights), generator=picks)
        for w, ranks in zip(weights, order.split([w.numel() for w in weights]), strict=True):
            keep = (ranks < count).view_as(w).to(w)
            w.register_hook(lambda gradient, keep=keep: gradient * keep)
        return torch.optim.SGD(chosen, lr), count
    return torch.optim.SGD(chosen, lr), sum(p.numel() for p in chosen)


@torch.no_grad()
def pruned(model, share, how, seed=0):
    """A copy in which that share of every norm's channels gives 0: γ = β = 0.

    how  "smallest", "largest" |γ|, or "random"
    """
    model, draw = copy.deepcopy(model), torch.Generator().manual_seed(seed)
    for norm in norms_of(model):
        size = norm.weight.abs().cpu()
        score = {"smallest": size, "largest": -size}.get(how)
        score = torch.rand(len(size), generator=draw) if score is None else score
        out = score.argsort()[: round(share * len(size))]
        norm.weight[out] = norm.bias[out] = 0
    return model


# ── one layer against another ───────────────────────────────────────────────────────────────────


def numbers_of(layer, channels=3):
    """name -> tensor: all that a layer for images makes, from fixed random numbers in float64.

    γ, β and the upstream gradient are random, so that nothing hides; the running statistics are
    those after three batches, and the last entry is what the layer gives in evaluation mode.
    """
    draw = torch.Generator().manual_seed(10)

    def random(*shape):
        return torch.randn(shape, dtype=torch.float64, generator=draw)

    layer = copy.deepcopy(layer).double()
    (gamma, beta), (mean, var, _) = layer.parameters(), layer.buffers()
    with torch.no_grad():
        gamma.copy_(random(channels))
        beta.copy_(random(channels))
    for _ in range(3):
        gamma.grad = beta.grad = None
        x = (2 * random(5, channels, 4, 6) + 3).requires_grad_()
        y = layer(x)
        y.backward(random(*y.shape))
    return {
        "y": y.detach(), "dx": x.grad, "dγ": gamma.grad, "dβ": beta.grad,
        "running mean": mean, "running variance": var, "y in eval mode": layer.eval()(x).detach(),
    }  # fmt: skip


def same_numbers(one, other):
    """Are two results of numbers_of the same, to ten digits?"""
    pairs = [(one[name], other[name]) for name in one]
    return all(torch.allclose(a, b, rtol=0, atol=1e-10) for a, b in pairs)


def batch_means_spread(x, batch=BATCH, draws=300):
    """(C,) how far the means of random batches of images x (N, C, H, W) spread, over their σ."""
    rng = np.random.default_rng(0)
    images = x.mean((2, 3)).cpu().numpy()
    means = [images[rng.choice(len(images), batch, replace=False)].mean(0) for _ in range(draws)]
    return np.std(means, axis=0) / x.std((0, 2, 3), correction=0).cpu().numpy()
