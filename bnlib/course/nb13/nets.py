"""The nets of notebook 13, and what is measured of them.

Imported where torch is there: from bnlib.course.nb13 import nets.
"""

import copy
import math

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.utils import parameters_to_vector, vector_to_parameters

import bnlib.torch as bt
from bnlib.course.kit.nets import digit_rows

digits = digit_rows

WIDTH, BATCH, STEPS = 100, 60, 200
EPS = 1e-5
ACTIVATIONS = {"sigmoid": nn.Sigmoid, "ReLU": nn.ReLU, "tanh": nn.Tanh, "linear": nn.Identity}

# The nets by name: their activation, hidden layers, and the standard deviation of their weights
# (None: He's for ReLU, else 1/√n).
NETS = {
    "sigmoid, weights 0.1": {"activation": "sigmoid", "depth": 3, "std": 0.1},
    "sigmoid": {"activation": "sigmoid", "depth": 3, "std": 0.3},
    "ReLU": {"activation": "ReLU", "depth": 6, "std": None},
    "tanh": {"activation": "tanh", "depth": 6, "std": None},
    "linear": {"activation": "linear", "depth": 6, "std": None},
}


def mlp(norm=None, net="sigmoid, weights 0.1", *, seed=0, scale=1.0):
    """784 pixels, hidden layers of 100 units, ten outputs; norm(100) before each activation.

    norm   a function width -> layer, or None for a net without (its Linears then have a bias)
    net    a key of NETS
    scale  factor on all weights of the hidden layers

    The same seed gives the same first weights with every norm.
    """
    kind = NETS[net]
    torch.manual_seed(seed)
    layers, width = [], 784
    for _ in range(kind["depth"]):
        layers.append(nn.Linear(width, WIDTH, bias=norm is None))
        layers += [norm(WIDTH)] if norm else []
        layers.append(ACTIVATIONS[kind["activation"]]())
        width = WIDTH
    model = nn.Sequential(*layers, nn.Linear(width, 10))
    draw = torch.Generator().manual_seed(seed)
    for layer in linears(model):
        gain = 2 if kind["activation"] == "ReLU" and layer.out_features > 10 else 1
        std = kind["std"] or math.sqrt(gain / layer.in_features)
        with torch.no_grad():
            layer.weight.copy_(std * torch.randn(layer.weight.shape, generator=draw))
            if layer is not model[-1]:
                layer.weight *= scale
            if layer.bias is not None:
                layer.bias.zero_()
    return model


def linears(model):
    return [layer for layer in model if isinstance(layer, nn.Linear)]


def hidden_weights(model):
    return [layer.weight for layer in linears(model)[:-1]]


@torch.no_grad()
def with_statistics(model, x):
    """A copy in evaluation mode whose running statistics are those of the first 1,000 digits x.

    Any layer that has them will do, the learner's and the parts below: layer by layer, the
    statistics are set to those of what comes in, just before they are used.
    """
    model = copy.deepcopy(model).eval()

    def measure(norm, given):
        norm.running_mean.copy_(given[0].mean(dim=0))
        norm.running_var.copy_(given[0].var(dim=0))

    norms = [m for m in model.modules() if getattr(m, "running_mean", None) is not None]
    hooks = [norm.register_forward_pre_hook(measure) for norm in norms]
    model(x[:1000])
    for hook in hooks:
        hook.remove()
    return model


# ── parts of batch norm ─────────────────────────────────────────────────────────────────────────


class Part(nn.Module):
    """A layer like BN, but for the line that normalizes: its γ, β, running statistics.

    normalize  function (x, mean, var) -> x̂, in which anything may be left out or detached
    """

    def __init__(self, width, normalize):
        super().__init__()
        self.normalize = normalize
        self.weight, self.bias = nn.Parameter(torch.ones(width)), nn.Parameter(torch.zeros(width))
        self.register_buffer("running_mean", torch.zeros(width))
        self.register_buffer("running_var", torch.ones(width))

    def forward(self, x):
        mean, var = self.running_mean, self.running_var
        if self.training:
            mean, var = x.mean(dim=0), x.var(dim=0, correction=0)
            self.running_mean.lerp_(mean.detach(), 0.1)
            self.running_var.lerp_(var.detach(), 0.1)
        return self.weight * self.normalize(x, mean, var) + self.bias


def layer_of(normalize):
    """A function width -> layer, for mlp(norm): BN with this line in place of its own."""
    return lambda width: Part(width, normalize)


def centre_only(x, mean, var):
    return x - mean


def scale_only(x, mean, var):
    return x / (var + EPS) ** 0.5


def mean_detached(x, mean, var):
    return (x - mean.detach()) / (var + EPS) ** 0.5


def variance_detached(x, mean, var):
    return (x - mean) / (var.detach() + EPS) ** 0.5


def both_detached(x, mean, var):
    return (x - mean.detach()) / (var.detach() + EPS) ** 0.5


class Noisy(nn.Module):
    """What exercise 13.1 asks for, for the stored runs."""

    def __init__(self, width):
        super().__init__()
        self.norm = bt.BatchNorm1d(width)

    def forward(self, x):
        y = self.norm(x)
        if self.training:
            shift, scale = 2 * torch.rand_like(y[0]) - 1, 0.5 + torch.rand_like(y[0])
            y = scale * y + shift
        return y


# Name -> norm for mlp(norm): what the stored runs compare.
NORMS = {
    "none": None,
    "BN": bt.BatchNorm1d,
    "noisy BN": Noisy,
    "centre only": layer_of(centre_only),
    "scale only": layer_of(scale_only),
    "mean detached": layer_of(mean_detached),
    "variance detached": layer_of(variance_detached),
    "both detached": layer_of(both_detached),
}


def watch_inputs(model, unit=0):
    """Keep, from now on, what one unit of the last hidden layer is given in training mode.

    Returns a list that gets (mean, deviation) over each mini-batch.
    """
    seen = []

    def look(activation, given, out):
        if activation.training:
            x = given[0][:, unit]
            seen.append((x.mean().item(), x.std().item()))

    model[len(model) - 2].register_forward_hook(look)
    return seen


# ── the gradient's shift ────────────────────────────────────────────────────────────────────────


class Below:
    """A net's parameters below one of its Linears as one vector, and this Linear's own weights.

    model      torch net; a copy is used, so nothing of it changes
    layer      number of the Linear, from 1 (the first has only 0 below)
    x, y       the batch on which all gradients are taken

    gradients(below, own) -> (gradient of below, gradient of own); below and own: the values now.
    """

    def __init__(self, model, layer, x, y):
        self.model, self.x, self.y = copy.deepcopy(model).train(), x, y
        self._own = linears(self.model)[layer].weight
        parameters = list(self.model.parameters())
        place = next(i for i, p in enumerate(parameters) if p is self._own)
        self._below = parameters[:place]
        self.below = parameters_to_vector(self._below).detach().clone()
        self.own = self._own.detach().clone()

    def gradients(self, below, own):
        with torch.no_grad():
            vector_to_parameters(below.clone(), self._below)
            self._own.copy_(own)
        loss = F.cross_entropy(self.model(self.x), self.y)
        *of_below, of_own = torch.autograd.grad(loss, [*self._below, self._own])
        return parameters_to_vector(of_below), of_own

    def rates_that_move(self, share):
        """Per number of below: the rate at which each weight matrix moves by that share of its
        length against its gradient; 0 for biases, γ and β."""
        sizes = [p.numel() for p in self._below]
        gradients = self.gradients(self.below, self.own)[0].split(sizes)
        rates = []
        for p, g in zip(self._below, gradients, strict=True):
            moves = p.ndim == 2
            rates.append(torch.full_like(g, share * (p.norm() / g.norm()).item() * moves))
        return torch.cat(rates)


def change(G, G_after):
    """|G − G′| / |G| of two gradients, and their cosine."""
    G, G_after = G.flatten(), G_after.flatten()
    return ((G - G_after).norm() / G.norm()).item(), F.cosine_similarity(G, G_after, dim=0).item()


def shift(model, x, y, before_and_after, *, rate=None, share=None):
    """(2,) relative change and cosine, mean over all layers that have one below.

    before_and_after  function (gradients, below, own, rate) -> (G, G′): exercise 13.2
    rate              the rate at which everything below is moved; or
    share             how far every weight matrix below is moved, as a share of its length
    """
    found = []
    for layer in range(1, len(linears(model))):
        at = Below(model, layer, x, y)
        step = rate if share is None else at.rates_that_move(share)
        found.append(change(*before_and_after(at.gradients, at.below, at.own, step)))
    return np.mean(found, axis=0)


def near_loss_1(norm, x, y, seed):
    """A net of six ReLU layers, trained to a loss of about 1, and its loss on 200 digits.

    norm  a function width -> layer, or None: without BN
    """
    model = mlp(norm, "ReLU", seed=seed).to(x.device)
    steps, rate = (60, 0.05) if norm is None else (8, 0.3)
    bt.fit(model, x, y, steps=steps, batch_size=BATCH, rng=seed, lr=rate, progress=False)
    with torch.no_grad():
        return model, F.cross_entropy(model(x[:200]), y[:200]).item()


# ── one step ────────────────────────────────────────────────────────────────────────────────────


def loss_after_one_step(model, x, y, rates):
    """(R,) the loss after one step of each rate from where the net is, over the loss before."""
    model = copy.deepcopy(model).train()
    parameters = list(model.parameters())
    loss = F.cross_entropy(model(x), y)
    gradients = torch.autograd.grad(loss, parameters)
    start = [p.detach().clone() for p in parameters]
    after = []
    with torch.no_grad():
        for rate in rates:
            for p, at, g in zip(parameters, start, gradients, strict=True):
                p.copy_(at - rate * g)
            after.append(F.cross_entropy(model(x), y).item() / loss.item())
    return np.array(after)


# ── residual nets ───────────────────────────────────────────────────────────────────────────────


class Block(nn.Module):
    """x + branch(x)."""

    def __init__(self, branch):
        super().__init__()
        self.branch = branch

    def forward(self, x):
        return x + self.branch(x)


def branch(width, norm=None):
    """A residual branch: norm, ReLU, Linear with He's weights."""
    linear = nn.Linear(width, width, bias=norm is None)
    nn.init.normal_(linear.weight, 0, math.sqrt(2 / width))
    if linear.bias is not None:
        nn.init.zeros_(linear.bias)
    return nn.Sequential(*([norm(width)] if norm else []), nn.ReLU(), linear)


def residual_net(blocks, *, norm=None, block=Block, width=64, seed=0):
    """784 pixels, a Linear, that many residual blocks, (norm,) ReLU, ten outputs.

    block  function branch -> module
    """
    torch.manual_seed(seed)
    first, last = nn.Linear(784, width), nn.Linear(width, 10)
    nn.init.normal_(first.weight, 0, math.sqrt(1 / 78.4))  # a tenth of 784: most pixels are blank
    nn.init.normal_(last.weight, 0, math.sqrt(1 / width))
    nn.init.zeros_(first.bias)
    nn.init.zeros_(last.bias)
    made = [block(branch(width, norm)) for _ in range(blocks)]
    return nn.Sequential(first, *made, *([norm(width)] if norm else []), nn.ReLU(), last)


@torch.no_grad()
def variances(model, x, blocks):
    """(blocks + 1,) the variance over the digits, mean over the units, at the entry of each block
    and after the last one."""
    model, found = copy.deepcopy(model).train(), []
    for layer in model[: blocks + 1]:
        x = layer(x)
        found.append(x.var(dim=0, correction=0).mean().item())
    return np.array(found)


class SkipInit(nn.Module):
    """What exercise 13.4 asks for, for the stored runs."""

    def __init__(self, branch, alpha=0.0):
        super().__init__()
        self.branch, self.alpha = branch, nn.Parameter(torch.tensor(float(alpha)))

    def forward(self, x):
        return x + self.alpha * self.branch(x)


# ── the length of the weights ───────────────────────────────────────────────────────────────────


def two_rates(model, hidden, others=0.1):
    """SGD with one rate for the hidden layers' weights and another for all else."""
    weights = hidden_weights(model)
    rest = [p for p in model.parameters() if not any(p is w for w in weights)]
    return torch.optim.SGD([{"params": weights, "lr": hidden}, {"params": rest, "lr": others}])


def hold_lengths(model):
    """A callback for fit: after each step the hidden weights get their first lengths again."""
    lengths = [w.norm().item() for w in hidden_weights(model)]

    @torch.no_grad()
    def hold(step, model, loss):
        for weight, length in zip(hidden_weights(model), lengths, strict=True):
            weight *= length / weight.norm()

    return hold


class Turning:
    """A callback for fit that keeps, step by step, of each hidden layer's weights: their length,
    the angle by which the step turned them, and their cosine with their gradient."""

    def __init__(self, model):
        self.lengths, self.angles, self.cosines = [], [], []
        self.before = [w.detach().clone() for w in hidden_weights(model)]

    @torch.no_grad()
    def __call__(self, step, model, loss):
        weights = hidden_weights(model)
        pairs = list(zip(self.before, weights, strict=True))
        self.lengths.append([w.norm().item() for w in weights])
        self.angles.append([_angle(old, new) for old, new in pairs])
        self.cosines.append([_cosine(old, new.grad) for old, new in pairs])
        self.before = [w.detach().clone() for w in weights]


def turned(x, y, *, rate, decay, scale, steps=400, seed=0):
    """(steps, 3) the angle by which each step turns the hidden weights of a sigmoid net with BN.

    scale  of the first weights: 1 is the usual one
    """
    model = mlp(bt.BatchNorm1d, "sigmoid", seed=seed, scale=scale).to(x.device)
    turning, optimizer = Turning(model), decayed(model, rate, decay)
    bt.fit(model, x, y, steps=steps, batch_size=BATCH, rng=seed, optimizer=optimizer,
           callback=turning)  # fmt: skip
    return np.array(turning.angles)


def with_hidden_rate(x, y, rate, *, hold=False, steps=300, seed=0):
    """A ReLU net with BN whose hidden weights have a rate of their own, all else 0.1.

    hold  bring the hidden weights back to their first lengths after each step
    """
    model = mlp(bt.BatchNorm1d, "ReLU", seed=seed).to(x.device)
    bt.fit(model, x, y, steps=steps, batch_size=BATCH, rng=seed, optimizer=two_rates(model, rate),
           callback=hold_lengths(model) if hold else None)  # fmt: skip
    return with_statistics(model, x)


def _cosine(a, b):
    return F.cosine_similarity(a.flatten().double(), b.flatten().double(), dim=0).item()


def _angle(a, b):
    return math.acos(max(-1.0, min(1.0, _cosine(a, b))))


def decayed(model, rate, decay, scales=False):
    """SGD with weight decay on the weights; on γ and β, too, if `scales`. Never on biases."""
    weights = [layer.weight for layer in linears(model)]
    rest = [p for p in model.parameters() if not any(p is w for w in weights)]
    groups = [{"params": weights, "weight_decay": decay},
              {"params": rest, "weight_decay": decay if scales else 0.0}]  # fmt: skip
    return torch.optim.SGD(groups, rate)
