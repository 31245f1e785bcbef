"""Experiments of notebook 02: a small net on digits that were prepared in different ways."""

import numpy as np

import bnlib.numpy as bn
from bnlib.progress import progress

EVERY = 25  # steps between two looks at the test accuracy


def train(inputs, data, *, lr, seed, steps):
    """Train a net of 784, 50 and 10 units on 60 digits a step.

    inputs  (x_train, x_test), prepared
    data    the digits that they were made from: their labels are used

    Returns the net, and the History of its training, with steps / 25 test accuracies.
    """
    (x, x_test), rng = inputs, np.random.default_rng(seed)
    net = bn.Sequential(bn.Linear(784, 50, rng=rng), bn.ReLU(), bn.Linear(50, 10, rng=rng))
    history = bn.fit(
        net, x, data.y_train, steps=steps, batch_size=60, rng=rng, lr=lr, progress=False,
        x_test=x_test, y_test=data.y_test, eval_every=EVERY,
    )  # fmt: skip
    return net, history


def sweep_rates(inputs, data, *, rates, seeds, steps):
    """The test accuracy after the last step, for each way to prepare the inputs.

    inputs  dict name -> (x_train, x_test)

    Returns a dict name -> (seeds, rates).
    """
    scores = {name: np.empty((len(seeds), len(rates))) for name in inputs}
    done = 0
    with progress(len(inputs) * len(seeds) * len(rates)) as show:
        for name, pair in inputs.items():
            for place in np.ndindex(scores[name].shape):
                seed, rate = seeds[place[0]], rates[place[1]]
                history = train(pair, data, lr=rate, seed=seed, steps=steps)[1]
                scores[name][place] = history.test_accuracy[-1]
                done += 1
                show(done, history.loss[-1])
    return scores


def train_longer(inputs, data, *, rates, seeds, steps):
    """Each way to prepare the inputs at its own rate.

    rates   dict name -> learning rate

    Returns a dict name -> (seeds, steps / 25) test accuracies, and a dict name -> the first
    seed's net.
    """
    curves, nets = {}, {}
    with progress(len(inputs)) as show:
        for done, (name, pair) in enumerate(inputs.items(), 1):
            runs = [train(pair, data, lr=rates[name], seed=seed, steps=steps) for seed in seeds]
            nets[name] = runs[0][0]
            curves[name] = np.array([history.test_accuracy for _, history in runs])
            show(done, runs[-1][1].loss[-1])
    return curves, nets


def own_statistics(x, groups):
    """Standardize each group of rows by its own mean and deviation.

    x       (N, D)
    groups  index arrays; each row is in one of them

    Returns (N, D). A feature that is constant in a group is 0 there.
    """
    x_hat = np.empty_like(x)
    for rows in groups:
        sigma = x[rows].std(axis=0)
        x_hat[rows] = (x[rows] - x[rows].mean(axis=0)) / np.where(sigma > 0, sigma, 1)
    return x_hat
