"""The nets of notebook 17: small, quickly trained, and some with a fault in them.

Imported where torch is there: from bnlib.course.nb17 import nets.
"""

from copy import deepcopy
from functools import cache

import torch
from torch import nn

import bnlib.torch as bt
from bnlib.course.kit.nets import digit_rows

BATCH = 60


@cache
def digits():
    """(x_train, y_train, x_test, y_test): rows of 784 pixels from 0 to 1, and labels."""
    return digit_rows(device=None)


def net(seed=0, *, norm=nn.BatchNorm1d, depth=4, dropout=0.0, **options):
    """784-100-…-100-10: depth times Linear, (Dropout), norm, ReLU; then a Linear to ten outputs.

    norm, options  norm(100, **options) makes the layer
    dropout        the share that a Dropout before each norm sets to 0; none where it is 0
    """
    torch.manual_seed(seed)
    layers, width = [], 784
    for _ in range(depth):
        layers.append(nn.Linear(width, 100, bias=False))
        layers += [nn.Dropout(dropout)] if dropout else []
        layers += [norm(100, **options), nn.ReLU()]
        width = 100
    return nn.Sequential(*layers, nn.Linear(width, 10))


def train(model, steps=300, rate=0.3, seed=0):
    """Train it on the digits in batches of 60, in place; returns it."""
    x_train, y_train, _, _ = digits()
    bt.fit(model, x_train, y_train, steps=steps, batch_size=BATCH, lr=rate, rng=seed,
           progress=False)  # fmt: skip
    return model


@torch.no_grad()
def share_right(model, x, y, mode="eval"):
    """The share of right answers, read by a copy in mode "train" or "eval", 1,000 at a time."""
    model = deepcopy(model).train(mode == "train")
    answers = torch.cat([model(part).argmax(1) for part in x.split(1000)])
    return (answers == y).float().mean().item()


def gradient(model, x, y, size):
    """All gradients of the mean loss on x, y in one row, added up over parts of that size."""
    model = deepcopy(model).train()
    for u, labels in zip(x.split(size), y.split(size), strict=True):
        loss = nn.functional.cross_entropy(model(u), labels)
        (loss * len(u) / len(x)).backward()
    return torch.cat([p.grad.flatten() for p in model.parameters()])


def with_bn_after(model):
    """A copy of a net() in which each batch norm stands behind its ReLU, with the same numbers."""
    layers = list(deepcopy(model))
    for i, layer in enumerate(layers[:-1]):
        if isinstance(layer, nn.BatchNorm1d):
            layers[i], layers[i + 1] = layers[i + 1], layer
    return nn.Sequential(*layers)


class Named(nn.Module):
    """A copy of a net() whose layers are attributes, as in most code: linear1, bn1, …, out.

    bn_behind  each batch norm stands behind its ReLU; the names do not tell
    """

    def __init__(self, model, bn_behind=False):
        super().__init__()
        *linears, self.out = (m for m in deepcopy(model) if isinstance(m, nn.Linear))
        self.depth, self.bn_behind = len(linears), bn_behind
        for i, (linear, norm) in enumerate(zip(linears, norms_of(model), strict=True), 1):
            self.add_module(f"linear{i}", linear)
            self.add_module(f"bn{i}", deepcopy(norm))

    def forward(self, u):
        for i in range(1, self.depth + 1):
            u = self.get_submodule(f"linear{i}")(u)
            norm = self.get_submodule(f"bn{i}")
            u = norm(u.relu()) if self.bn_behind else norm(u).relu()
        return self.out(u)


def norms_of(model):
    """The batch norms of a net."""
    return [layer for layer in model.modules() if isinstance(layer, nn.BatchNorm1d)]


def averaged_weights(seed=0, nets=6, steps=40):
    """(average, nets): torch's AveragedModel of so many nets on one way, and these.

    steps  from one net to the next, at a high rate
    """
    walker = train(net(seed, depth=8), steps=100, seed=seed)
    averaged = torch.optim.swa_utils.AveragedModel(walker)
    passed = []
    for i in range(nets):
        train(walker, steps, rate=3.0, seed=100 * seed + i)
        averaged.update_parameters(walker)
        passed.append(deepcopy(walker))
    return averaged, passed


def patients(healthy):
    """Five nets that read badly in eval(), each for a reason of its own: name -> net.

    healthy  a trained net(), which stays as it is
    """
    ported = train(net(momentum=0.99))
    with torch.no_grad():
        ported.train()(digits()[0][-4:])  # the last batch of the last epoch
    loaded = net(seed=1)
    loaded.load_state_dict(dict(healthy.named_parameters()), strict=False)
    young = train(net(momentum=0.01), steps=30)
    spoiled = deepcopy(healthy)
    with torch.no_grad():
        norms_of(spoiled)[2].running_var[17] = float("nan")
    found = (ported, loaded, young, with_bn_after(healthy), spoiled)
    return {name: model.eval() for name, model in zip("ABCDE", found, strict=True)}
