"""Repeat the training runs that notebook 16 shows, and store what they measured.

usage: python data/build_16_runs.py [--jobs N] [--only PART …] [--output FILE]

Every run is of a deep net of bnlib/course/nb16/nets.py, 64 units wide, on the course's MNIST
digits, in torch on the processor. README.md beside this file says what the arrays are. The runs
take about ten minutes on two cores; --jobs says how many run at once (default: one per core).
--only repeats the named parts and takes the others from FILE as they are. Nothing is downloaded.
"""

import sys
from pathlib import Path

import numpy as np

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent), str(HERE)]  # also before bnlib is installed
import storing  # noqa: E402

OUTPUT = HERE / "16_runs.npz"
SEEDS = (0, 1, 2)
PLAIN_SEEDS = (0, 1)

# A kind of net: (norm, first weights, optimizer); "residual" in the norm's place is the other net.
PLAIN = {
    "torch's weights": (None, "torch"),
    "Xavier's weights": (None, "Xavier"),
    "LN": ("LN", "torch"),
    "RMS": ("RMS", "torch"),
}
OPTIMIZERS = ("SGD", "Adam")
PLAIN_RATES = {"SGD": (0.1, 1.0, 10.0), "Adam": (0.001, 0.003, 0.01)}

ROUTES = {
    "BN": ("BN", "torch", "SGD", (0.01, 0.03, 0.1, 0.3)),
    "centred": (None, "centred", "Adam", (0.0001, 0.0003, 0.001, 0.003)),
    "residual": ("residual", "torch", "SGD", (0.3, 1.0, 3.0, 10.0)),
}
ROUTE_STEPS = (300, 900)

DEPTHS = (5, 10, 20, 30, 50)
ACTIVATIONS = ("sigmoid", "tanh", "ReLU")
CURVES = {
    "torch's weights": (None, "torch", "SGD", (0.1, 1.0)),
    "scaled weights": (None, "scaled", "SGD", (0.01, 0.1)),
    "centred": (None, "centred", "Adam", (0.0003, 0.001)),
    "residual": ("residual", "torch", "SGD", (0.3, 1.0)),
    "BN": ("BN", "torch", "SGD", (0.03, 0.1)),
}
CURVE_SEEDS = (0, 1)
CURVE_STEPS = (25, 50, 75, 100, 150, 200)

RELU = {  # norm, first weights, output layer's, rates
    "He's weights": (None, "He", "He", (0.01, 0.03)),
    "BN, He's weights": ("BN", "He", "He", (0.1, 0.3)),
    "LN, He's weights": ("LN", "He", "He", (0.003, 0.01)),
    "BN, torch's weights": ("BN", "torch", "torch", (0.03, 0.1)),
    "He's weights, small output": (None, "He", "torch", (0.01, 0.03)),
    "BN, He's weights, small output": ("BN", "He", "torch", (0.1, 0.3)),
}
RELU_SEEDS = tuple(range(6))
RELU_STEPS = (400, 800)


def train(
    norm, weights, rate, seed, steps, *, output=None, optimizer="SGD", activation="sigmoid",
    depth=30,
):  # fmt: skip
    """Train one net. Returns name -> array.

    accuracy  (readings,) on the test digits, statistics recomputed where there are any
    running   (1,) the same at the end, with the running averages
    """
    import torch

    import bnlib.torch as bt
    from bnlib.course.nb16 import nets

    torch.set_num_threads(1)
    x, y, x_test, y_test = nets.digits()
    options = dict(activation=activation, depth=depth, seed=seed)
    if norm == "residual":
        model = nets.residual_net(**options)
    else:
        scaled = "He" if activation == "ReLU" else "Xavier"
        model = nets.deep_net(
            torch.nn.BatchNorm1d if norm == "BN" else norm,  # ours, and faster on a processor
            weights=scaled if weights == "scaled" else weights,
            output=output,
            **options,
        )
    found = []

    def reading(step, model, loss):
        if step in steps:
            found.append(bt.evaluate(nets.with_statistics(model, x), x_test, y_test)[1])

    bt.fit(
        model, x, y, steps=steps[-1], batch_size=nets.BATCH, rng=seed, callback=reading,
        optimizer=nets.optimizer_of(model, optimizer, rate), progress=False,
    )  # fmt: skip
    return {
        "accuracy": np.array(found, np.float32),
        "running": np.array([bt.evaluate(model, x_test, y_test)[1]], np.float32),
    }


def parts():
    """name -> (axes of its grid, function of a point -> train's arguments, what to keep)."""

    def plain(name, optimizer, place, seed):
        norm, weights = PLAIN[name]
        rate = PLAIN_RATES[optimizer][place]
        return dict(norm=norm, weights=weights, rate=rate, seed=seed, steps=(300,),
                    optimizer=optimizer)  # fmt: skip

    def route(name, place, seed):
        norm, weights, optimizer, rates = ROUTES[name]
        return dict(norm=norm, weights=weights, rate=rates[place], seed=seed, steps=ROUTE_STEPS,
                    optimizer=optimizer)  # fmt: skip

    def curve(depth, activation, name, place, seed):
        norm, weights, optimizer, rates = CURVES[name]
        return dict(norm=norm, weights=weights, rate=rates[place], seed=seed, steps=CURVE_STEPS,
                    optimizer=optimizer, activation=activation, depth=depth)  # fmt: skip

    def relu(name, place, seed):
        norm, weights, output, rates = RELU[name]
        return dict(norm=norm, weights=weights, output=output, rate=rates[place], seed=seed,
                    steps=RELU_STEPS, activation="ReLU")  # fmt: skip

    two, three, four = range(2), range(3), range(4)
    return {
        "plain": ((PLAIN, OPTIMIZERS, three, PLAIN_SEEDS), plain, ("accuracy",)),
        "routes": ((ROUTES, four, SEEDS), route, ("accuracy", "running")),
        "relu": ((RELU, two, RELU_SEEDS), relu, ("accuracy",)),
        "curves": ((DEPTHS, ACTIVATIONS, CURVES, two, CURVE_SEEDS), curve, ("accuracy",)),
    }


def constants():
    """The axes of the arrays, stored beside them."""
    axes = {
        "plain": tuple(PLAIN), "plain_optimizers": OPTIMIZERS,
        "plain_rates": tuple(PLAIN_RATES.values()), "plain_seeds": PLAIN_SEEDS, "seeds": SEEDS,
        "routes": tuple(ROUTES), "routes_rates": tuple(r[-1] for r in ROUTES.values()),
        "routes_steps": ROUTE_STEPS,
        "relu": tuple(RELU), "relu_rates": tuple(r[-1] for r in RELU.values()),
        "relu_steps": RELU_STEPS, "relu_seeds": RELU_SEEDS,
        "depths": DEPTHS, "activations": ACTIVATIONS, "curves": tuple(CURVES),
        "curves_rates": tuple(r[-1] for r in CURVES.values()), "curves_seeds": CURVE_SEEDS,
        "curves_steps": CURVE_STEPS,
    }  # fmt: skip
    return {name: np.array(values) for name, values in axes.items()}


def train_one(arguments):
    return train(**arguments)


def main(arguments=None):
    runs = storing.over_grids(parts())
    storing.repeat(__doc__, OUTPUT, runs, train_one, constants(), arguments)


if __name__ == "__main__":
    main()
