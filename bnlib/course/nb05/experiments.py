"""What notebook 05 computes beside its own lines: the nets that it compares, and their runs."""

from itertools import pairwise

import numpy as np

import bnlib.numpy as bn
from bnlib.progress import progress


def curves(kinds, train, seeds):
    """Test accuracy of each kind of net during training, by seed.

    kinds  dict name -> function seed -> net
    train  function (net, seed) -> History with test_accuracy

    Returns a dict name -> (seeds, T) array.
    """
    found = {name: [] for name in kinds}
    with progress(len(kinds) * len(seeds)) as show:
        for i, (name, make) in enumerate(kinds.items()):
            for j, seed in enumerate(seeds):
                history = train(make(seed), seed)
                found[name].append(history.test_accuracy)
                show(i * len(seeds) + j + 1, history.loss[-1])
    return {name: np.array(runs) for name, runs in found.items()}


def sigmoid_net(places, seed, frozen=()):
    """784-100-100-100-10 with sigmoids and first weights of deviation 0.1.

    A layer whose BN comes after the sigmoid has a bias. (The stored runs have none there.)

    places  the place of each hidden layer's BN, in three words: "before before after"
    frozen  parameters of the last BN that the optimizer does not get: "gamma", "beta", or both
    """
    rng, layers = np.random.default_rng(seed), []
    for place, (n_in, n_out) in zip(places.split(), pairwise((784, 100, 100, 100)), strict=True):
        layers.append(bn.Linear(n_in, n_out, rng=rng, init=0.1, bias=place == "after"))
        norm = _PartlyFrozen(n_out)
        layers += [bn.Sigmoid(), norm] if place == "after" else [norm, bn.Sigmoid()]
    norm.frozen = tuple(frozen)
    return bn.Sequential(*layers, bn.Linear(100, 10, rng=rng, init=0.1))


class _PartlyFrozen(bn.BatchNorm):
    frozen = ()

    def parameters(self):
        return {name: p for name, p in super().parameters().items() if name not in self.frozen}


def last_lengths(model, x, y, *, steps, rate, seed):
    """‖β‖ of a net's last BN layer and ‖W‖ of its output layer after each step: two (steps,)."""
    norm = [layer for layer in model if isinstance(layer, bn.BatchNorm)][-1]
    lengths = []

    def note(step, model, loss):
        lengths.append((np.linalg.norm(norm.beta), np.linalg.norm(model[-1].weight)))

    bn.fit(model, x, y, steps=steps, batch_size=60, rng=seed, lr=rate, callback=note,
           progress=False)  # fmt: skip
    return np.array(lengths).T


def around_relu(x, y, seeds, steps):
    """The values before and after the second ReLU of 784-100-100-10, all x, during training.

    steps  at which to look, rising

    Returns two dicts step -> (N, 100 · seeds): before, after.
    """
    found = {step: [] for step in steps}
    with progress(len(seeds)) as show:
        for i, seed in enumerate(seeds):
            rng, batches = np.random.default_rng(seed), np.random.default_rng(seed)
            first = [bn.Linear(784, 100, rng=rng), bn.ReLU(), bn.Linear(100, 100, rng=rng)]
            model = bn.Sequential(*first, bn.ReLU(), bn.Linear(100, 10, rng=rng))
            for done, step in pairwise((0, *steps)):
                history = bn.fit(model, x, y, steps=step - done, batch_size=60, rng=batches, lr=0.1,
                                 progress=False)  # fmt: skip
                model(x)
                found[step].append((model.inputs[3], model.inputs[4]))
            show(i + 1, history.loss[-1])
    return tuple(
        {step: np.concatenate([pair[k] for pair in pairs], axis=1) for step, pairs in found.items()}
        for k in (0, 1)
    )


def skewness(v):
    """The mean cube of each unit's x̂, v (N, D): (D,). NaN for a unit that never varies."""
    return (_x_hat(v) ** 3).mean(axis=0)


def change_of_shape(v, later):
    """How far the values of a unit's x̂ have moved, smallest to largest: (D,), in deviations.

    v, later  (N, D) the same units at two times. Mean and deviation are taken out, so what is left
              is the shape of the histogram. NaN for a unit that never varies at one of them
    """
    return np.abs(np.sort(_x_hat(later), axis=0) - np.sort(_x_hat(v), axis=0)).mean(axis=0)


def _x_hat(v):
    v = np.asarray(v, float)
    deviation = v.std(axis=0)
    return (v - v.mean(axis=0)) / np.where(deviation > 1e-6, deviation, np.nan)
