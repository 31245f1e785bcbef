"""Repeat the training runs that notebooks 01 and 08 show, and store what they measured.

usage: python data/build_figure1_runs.py [--jobs N] [--output FILE] [--only PART …]

Every run is of the net of Figure 1 in Ioffe & Szegedy 2015 (784-100-100-100-10), or of a variation
of it, on the course's MNIST digits, with and without Batch Normalization, in NumPy. README.md
beside this file says what the arrays are. Some 1,500 runs take about three quarters of an hour
on two cores; --jobs says how many run at once (default: one per core). --only repeats the named
parts and takes the others from FILE as they are. Nothing is downloaded.
"""

import copy
import sys
from itertools import product
from pathlib import Path

import numpy as np

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent), str(HERE)]  # also before bnlib is installed
import storing  # noqa: E402

import bnlib.numpy as bn  # noqa: E402
from bnlib.data import as_features, mnist10k  # noqa: E402

OUTPUT = HERE / "figure1_runs.npz"
BATCH = 60  # as in the paper
SEEDS = (0, 1, 2)
ACTIVATIONS = {"sigmoid": bn.Sigmoid, "relu": bn.ReLU}

# Figure 1 in full: 50,000 steps at two learning rates (the paper does not name its own).
FIGURE1_RATES = (0.1, 1.0)
FIGURE1_STEPS = (
    *range(0, 1000, 50),
    *range(1000, 3000, 250),
    *range(3000, 10_000, 500),
    *range(10_000, 50_001, 1000),
)
BAND_STEPS = (0, 50, 100, 200, 300, 500, 1000, 2000, 3000, 5000, 7000, *range(10_000, 50_001, 5000))
PERCENTILES = (15, 50, 85)

# Accuracy after 1,000 steps over learning rate × scale of the first weights.
MAP_RATES = (0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0)
MAP_STDS = (0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0)
MAP_STEPS = 1000

# Curves over the learning rate, for the explorer.
CURVE_RATES = (0.01, 0.03, 0.1, 0.3, 1.0, 2.0, 3.0, 5.0, 10.0, 20.0, 30.0, 50.0)
CURVE_STEPS = (0, 25, 50, 75, *range(100, 500, 50), *range(500, 1000, 100), *range(1000, 3001, 250))

# The same with weights that suit the net without Batch Normalization better.
LARGER_STD = 0.3

# These three nets at more rates and read every five steps: when do they read 85 of 100 digits?
EARLY_NETS = (("sigmoid", 0.1), ("sigmoid", LARGER_STD), ("relu", "he"))
EARLY_RATES = (0.1, 0.15, 0.2, 0.3, 0.5, 0.7, 1.0, 1.5, 2.0, 3.0, 5.0, 7.0, 10.0)
EARLY_STEPS = tuple(range(0, 601, 5))
EARLY_SEEDS = tuple(range(6))

# With Batch Normalization, the lengths of the hidden weights free or held at what they were.
BRAKE_LENGTHS = ("free", "held")
BRAKE_RATES = (1.0, 3.0, 10.0, 30.0)
BRAKE_STEPS = (50, 100, 250, 500, 1000, 2000, 3000)

# Six hidden layers instead of three.
DEEP_RATES = (0.1, 0.3, 1.0, 3.0, 10.0)

# Dropout, on few examples and on all: seeds as rows.
DROPOUT_EXAMPLES = (500, 8000)
DROPOUT_STEPS = (2000, 4000)
DROPOUT_RATES = (0.3, 1.0, 3.0, 10.0, 30.0)
DROPOUTS = (0.0, 0.2, 0.5)
DROPOUT_SEEDS = tuple(range(6))

PLACES = ("none", "before", "after")
PLACE_RATES = (0.1, 1.0, 3.0, 10.0)


def net(place, seed, *, std=0.1, depth=3, activation="sigmoid", dropout=0.0):
    """The net of Figure 1, or a variation of it.

    place   Batch Normalization "before" or "after" the activation, or "none"
    std     standard deviation of the first weights, or a name such as "he"
    """
    rng = np.random.default_rng(seed)
    layers, width = [], 784
    for _ in range(depth):
        layers.append(bn.Linear(width, 100, rng=rng, init=std, bias=place == "none"))
        width = 100
        if place == "before":
            layers.append(bn.BatchNorm(100))
        layers.append(ACTIVATIONS[activation]())
        if place == "after":
            layers.append(bn.BatchNorm(100))
        if dropout:
            layers.append(bn.Dropout(dropout, rng=rng))
    return bn.Sequential(*layers, bn.Linear(100, 10, rng=rng, init=std))


def train(place, seed, rate, checkpoints, *, examples=8000, bands=(), held=False, **variation):
    """Train one net. Returns dict of arrays: what was measured after the steps in checkpoints.

    held      after every step, bring each hidden layer's weights back to the length, the root of
              the sum of their squares, that they began with

    accuracy  (T,) share of the 2,000 test digits    finite  (T,) False from the first NaN loss on
    bands     (B, 3, 100) percentiles of every unit's input in the last hidden layer
    fitted, test_loss   at the end: accuracy on the training examples, mean loss on the test digits
    """
    digits, model = mnist10k(), net(place, seed, **variation)
    x, y = as_features(digits.x_train[:examples]), digits.y_train[:examples]
    x_test, y_test = as_features(digits.x_test), digits.y_test
    accuracy, finite, stored = [], [], []

    hidden = [layer for layer in model.layers[:-1] if isinstance(layer, bn.Linear)]
    lengths = [np.linalg.norm(layer.weight) for layer in hidden]

    def measure(step, model, loss):
        if held:
            for layer, length in zip(hidden, lengths, strict=True):
                layer.weight *= length / np.linalg.norm(layer.weight)
        if step in checkpoints:
            accuracy.append(bn.evaluate(model, x_test, y_test)[1])
            finite.append(bool(np.isfinite(loss)))
        if step in bands:
            stored.append(unit_percentiles(model, x_test[:1000]))

    measure(0, model, 0.0)
    bn.fit(
        model,
        x,
        y,
        steps=checkpoints[-1],
        batch_size=BATCH,
        rng=100 + seed,
        lr=rate,
        progress=False,
        callback=measure,
    )
    return {
        "accuracy": np.array(accuracy, np.float32),
        "finite": np.array(finite),
        "bands": np.array(stored, np.float16),
        "fitted": np.float32(bn.evaluate(model, x, y)[1]),
        "test_loss": np.float32(bn.evaluate(model, x_test, y_test)[0]),
    }


def unit_percentiles(model, digits):
    """(3, 100) percentiles, over the digits, of what goes into each unit of the last sigmoid.

    In training mode, so with the statistics of these digits; a copy keeps the running ones.
    """
    model = copy.deepcopy(model).train()
    model(digits)
    last = max(i for i, layer in enumerate(model.layers) if isinstance(layer, bn.Sigmoid))
    return np.percentile(model.inputs[last], PERCENTILES, axis=0)


def parts():
    """name -> (shape of the grid of runs, train's arguments for each, what to keep of them)."""
    nets = ("none", "before")
    return {
        "figure1": grid(
            (FIGURE1_RATES, nets, SEEDS),
            lambda rate, place, seed: dict(
                place=place, seed=seed, rate=rate, checkpoints=FIGURE1_STEPS, bands=BAND_STEPS
            ),
            keep=("accuracy", "bands"),
        ),
        "map": grid(
            (nets, MAP_STDS, MAP_RATES, SEEDS),
            lambda place, std, rate, seed: dict(
                place=place, seed=seed, rate=rate, checkpoints=(MAP_STEPS,), std=std
            ),
            keep=("accuracy",),
        ),
        "curves": grid(
            (tuple(ACTIVATIONS), nets, CURVE_RATES, SEEDS),
            lambda activation, place, rate, seed: dict(
                place=place,
                seed=seed,
                rate=rate,
                checkpoints=CURVE_STEPS,
                activation=activation,
                std="he" if activation == "relu" else 0.1,
            ),
            keep=("accuracy", "finite"),
        ),
        "larger": grid(
            (nets, CURVE_RATES, SEEDS),
            lambda place, rate, seed: dict(
                place=place, seed=seed, rate=rate, checkpoints=CURVE_STEPS, std=LARGER_STD
            ),
            keep=("accuracy",),
        ),
        "early": grid(
            (EARLY_NETS, nets, EARLY_RATES, EARLY_SEEDS),
            lambda kind, place, rate, seed: dict(
                place=place,
                seed=seed,
                rate=rate,
                checkpoints=EARLY_STEPS,
                activation=kind[0],
                std=kind[1],
            ),
            keep=("accuracy",),
        ),
        "brake": grid(
            (BRAKE_LENGTHS, BRAKE_RATES, SEEDS),
            lambda length, rate, seed: dict(
                place="before",
                seed=seed,
                rate=rate,
                checkpoints=BRAKE_STEPS,
                held=length == "held",
            ),
            keep=("accuracy",),
        ),
        "deep": grid(
            (nets, DEEP_RATES, SEEDS),
            lambda place, rate, seed: dict(
                place=place, seed=seed, rate=rate, checkpoints=CURVE_STEPS, depth=6
            ),
            keep=("accuracy",),
        ),
        "dropout": grid(
            (
                tuple(zip(DROPOUT_EXAMPLES, DROPOUT_STEPS, strict=True)),
                DROPOUT_RATES,
                nets,
                DROPOUTS,
                DROPOUT_SEEDS,
            ),
            lambda size, rate, place, dropout, seed: dict(
                place=place,
                seed=seed,
                rate=rate,
                checkpoints=(size[1],),
                examples=size[0],
                dropout=dropout,
            ),
            keep=("accuracy", "fitted", "test_loss"),
        ),
        "place": grid(
            (tuple(ACTIVATIONS), PLACES, PLACE_RATES, SEEDS),
            lambda activation, place, rate, seed: dict(
                place=place,
                seed=seed,
                rate=rate,
                checkpoints=(250, 1000),
                activation=activation,
                std="he" if activation == "relu" else 0.1,
            ),
            keep=("accuracy", "finite"),
        ),
    }


def grid(axes, arguments, keep):
    return tuple(len(axis) for axis in axes), [arguments(*point) for point in product(*axes)], keep


def constants():
    """The axes of the arrays, stored beside them."""
    axes = {
        "seeds": SEEDS,
        "figure1_rates": FIGURE1_RATES,
        "figure1_steps": FIGURE1_STEPS,
        "figure1_band_steps": BAND_STEPS,
        "percentiles": PERCENTILES,
        "map_rates": MAP_RATES,
        "map_stds": MAP_STDS,
        "map_steps": MAP_STEPS,
        "curves_rates": CURVE_RATES,
        "curves_steps": CURVE_STEPS,
        "larger_std": LARGER_STD,
        "early_rates": EARLY_RATES,
        "early_steps": EARLY_STEPS,
        "brake_lengths": BRAKE_LENGTHS,
        "brake_rates": BRAKE_RATES,
        "brake_steps": BRAKE_STEPS,
        "deep_rates": DEEP_RATES,
        "dropout_examples": DROPOUT_EXAMPLES,
        "dropout_rates": DROPOUT_RATES,
        "dropout_probabilities": DROPOUTS,
        "place_names": PLACES,
        "place_rates": PLACE_RATES,
    }
    return {name: np.array(values) for name, values in axes.items()}


def train_one(arguments):
    return train(**arguments)


def main(arguments=None):
    storing.repeat(__doc__, OUTPUT, parts(), train_one, constants(), arguments)


if __name__ == "__main__":
    main()
