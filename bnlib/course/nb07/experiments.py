"""What notebook 07 computes beside its own lines: errors in both modes, and estimating again."""

from copy import deepcopy
from itertools import pairwise

import numpy as np

import bnlib.numpy as bn


def error(model, x, y, batch_size=2000, training=False):
    """The share of wrong answers, 0..1, read in batches of batch_size; the model stays as it is.

    training  True: each batch is normalized with its own statistics
    """
    model = deepcopy(model).train() if training else deepcopy(model).eval()
    answers = [model(x[i : i + batch_size]).argmax(axis=1) for i in range(0, len(x), batch_size)]
    return float(np.mean(np.concatenate(answers) != y))


def reestimate(model, x, batch_size=500):
    """A copy in evaluation mode with the statistics of x: Algorithm 2, lines 8 to 11."""
    model = deepcopy(model).train()
    for layer in model:
        if isinstance(layer, bn.BatchNorm):
            layer.momentum, layer.num_batches_tracked = None, 0  # a plain average, from the start
    for i in range(0, len(x), batch_size):
        model(x[i : i + batch_size])
    return model.eval()


def gained_by_reestimating(model, x_train, x, y):
    """How much the error on x, y falls when the statistics are estimated again on x_train."""
    return error(model, x, y) - error(reestimate(model, x_train), x, y)


def spread_of_running_mean(momentum, rng, updates=4000, settled=200):
    """The deviation of a running mean of independent draws of deviation 1, once it has settled."""
    path = [0.0]
    for draw in rng.standard_normal(updates):
        path.append((1 - momentum) * path[-1] + momentum * draw)
    return float(np.std(path[settled:]))


def updates_until_half(layer):
    """How many updates a fresh torch.nn.BatchNorm1d(1) makes until its start value weighs < 1/2."""
    import torch

    layer.running_mean.fill_(1.0)
    around_zero, updates = torch.tensor([[-1.0], [1.0]]), 0
    while layer.running_mean.item() >= 0.5:
        layer(around_zero)
        updates += 1
    return updates


def shifted_digits(x):
    """The same pictures in other light: dict name -> pictures; names have a line break."""
    half, dark = np.float32(0.5), np.float32(0.3)
    return {
        "as\ntrained": x,
        "half\ncontrast": half * x,
        "+0.5": x + half,
        "half, and\n+0.3": half * x + dark,
        "+0.5,\ncut at 1": np.minimum(x + half, 1),
        "negative": 1 - x,
    }


def stored_and_reestimated(models, pictures, y):
    """dict name -> (errors with stored statistics, with statistics of these pictures), by seed."""
    return {
        name: [
            [error(model, x, y) for model in models],
            [error(reestimate(model, x), x, y) for model in models],
        ]
        for name, x in pictures.items()
    }


def error_with_statistics_of(digit, models, x, y):
    """The errors on x, by seed, with statistics estimated on the pictures of one digit alone."""
    return [error(reestimate(model, x[y == digit]), x, y) for model in models]


def silent_units(place, x, y, seed, steps=300):
    """How many of the 100 units of a first layer have a running variance next to 0.

    place  of the BN: "after" the ReLU or "before" it
    """
    weights, layers = np.random.default_rng(seed), []
    for width_in, width in pairwise((784, 100, 100)):
        linear = bn.Linear(width_in, width, rng=weights, init="he", bias=False)
        rest = [bn.ReLU(), bn.BatchNorm(width)]
        layers += [linear, *(rest if place == "after" else rest[::-1])]
    model = bn.Sequential(*layers, bn.Linear(100, 10, rng=weights, init="he"))
    bn.fit(model, x, y, steps=steps, batch_size=60, rng=100 + seed, lr=0.3, progress=False)
    norm = next(layer for layer in model if isinstance(layer, bn.BatchNorm))
    return int((norm.running_var < 1e-6).sum())


def folded(model, fold):
    """A copy in evaluation mode, each BatchNorm folded into the Linear before it.

    fold  fold(weight, bias, gamma, beta, mean, var, eps) -> weight, bias
    """
    layers = []
    for layer in deepcopy(model).eval():
        if isinstance(layer, bn.BatchNorm):
            linear, stored = layers[-1], (layer.running_mean, layer.running_var)
            linear.weight, linear.bias = fold(
                linear.weight, linear.bias, layer.gamma, layer.beta, *stored, layer.eps
            )
        else:
            layers.append(layer)
    return bn.Sequential(*layers).eval()
