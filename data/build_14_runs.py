"""Repeat the training runs that notebook 14 shows, and store what they measured.

usage: python data/build_14_runs.py [--jobs N] [--output FILE] [--only PART …]

Every run is of a net of bnlib/course/nb14/nets.py on the course's MNIST digits, in torch on the
processor. README.md beside this file says what the arrays are. The runs take about ten
minutes on two cores; --jobs says how many run at once (default: one per core). --only repeats the
named parts and takes the others from FILE as they are. Nothing is downloaded.
"""

import sys
from itertools import product
from pathlib import Path

import numpy as np

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent), str(HERE)]  # also before bnlib is installed
import storing  # noqa: E402

OUTPUT = HERE / "14_runs.npz"
SEEDS = (0, 1, 2)

MLP_NORMS = ("BN", "LN", "renorm", "none")
MLP_SIZES = (2, 8, 32, 128)
MLP_RATES = {2: (0.01, 0.03), 8: (0.03, 0.1), 32: (0.1, 0.3), 128: (0.3, 1.0)}  # by batch size
MLP_STEPS = 800

CONV_NORMS = ("BN", "GN", "renorm", "none")
CONV_SIZES = (2, 8, 32)
CONV_RATES = {2: (0.03, 0.1), 8: (0.1, 0.3), 32: (0.3, 1.0)}
CONV_STEPS = 400

LONG_NORMS = ("BN", "GN")
LONG_RATES = (0.03, 0.1)
LONG_STEPS = (400, 1000, 2500)

CONTRASTS = (1.0, 0.8, 0.6, 0.4, 0.2)
BRIGHTNESSES = (0.0, 0.1, 0.2, 0.3, 0.4)
NOISES = (0.0, 0.1, 0.2, 0.3, 0.4)
LIGHT_RATES = {"BN": 0.3, "GN": 0.3, "none": 0.2, "LN": 0.1}
LIGHT_STEPS = 400

CLASS_NORMS = ("BN", "LN", "renorm", "none")
CLASSES = (10, 2, 1)
CLASS_RATES = (0.01, 0.03, 0.1)
CONV_CLASSES = (2, 1)
CONV_CLASS_RATES = (0.1, 0.3)

SEQUENCE_NORMS = ("none", "LN", "BN", "BN per step")
SEQUENCE_RATES = (0.1, 0.3)
BLANKS = (0, 8, 20)

REPLACEMENTS = ("none", "BN", "IN", "GN", "LN", "RMS", "WS + GN", "scaled WS", "DyT")
REPLACEMENT_RATES = (0.3, 1.0, 3.0)

RESIDUAL_NORMS = ("BN", "RMS", "LN", "DyT", "none")
RESIDUAL_RATES = (0.1, 0.3)

TRANSFORMER_NORMS = ("BN", "LN", "RMS", "DyT", "none")
TRANSFORMER_RATES = (0.003, 0.01)
SHORT_STEPS = 250


class Digits:
    """The digits and the nets' room, in the process that trains."""

    def __init__(self):
        import torch

        import bnlib.torch as bt
        from bnlib.course.nb14 import nets

        torch.set_num_threads(1)
        self.torch, self.bt, self.nets = torch, bt, nets
        self.x, self.y, self.x_test, self.y_test = nets.digits()

    def fit(self, model, steps, lr=None, size=60, seed=0, **more):
        arguments = dict(steps=steps, batch_size=size, rng=seed, progress=False) | more
        self.bt.fit(model, self.x, self.y, **arguments, **({} if lr is None else {"lr": lr}))
        return model

    def read(self, model):
        """Accuracy by the stored statistics, and by statistics of 1,000 training digits."""
        again = self.nets.with_statistics(model, self.x[:1000])
        return [self.nets.accuracy(net, self.x_test, self.y_test) for net in (model, again)]


def mlp(digits, norm, size, rate, seed):
    model = digits.nets.mlp(digits.nets.NORMS_1D[norm], seed)
    digits.fit(model, MLP_STEPS, MLP_RATES[size][rate], size, seed)
    return {"accuracy": digits.read(model)}


def conv(digits, norm, size, rate, seed):
    model = digits.nets.conv_net(digits.nets.NORMS_2D[norm], seed)
    digits.fit(model, CONV_STEPS, CONV_RATES[size][rate], size, seed)
    return {"accuracy": digits.read(model)}


def long(digits, norm, rate, seed):
    model, found = digits.nets.conv_net(digits.nets.NORMS_2D[norm], seed), []

    def reading(step, model, loss):
        if step in LONG_STEPS:
            found.append(digits.read(model))

    digits.fit(model, LONG_STEPS[-1], rate, 2, seed, callback=reading)
    return {"accuracy": found}


def light(digits, seed):
    nets, found = digits.nets, {}
    for name in ("BN", "GN", "none"):
        model = nets.conv_net(nets.NORMS_2D[name], seed)
        found[name] = digits.fit(model, LIGHT_STEPS, LIGHT_RATES[name], seed=seed)
    x, y = digits.x_test[:1000], digits.y_test[:1000]
    unlabelled = digits.x_test[1000:1500]
    kinds = [
        nets.read_in_all_ways(found, change(x), y, change(unlabelled))
        for change in nets.LIGHT.values()
    ]
    grid = []
    for change in product(CONTRASTS, BRIGHTNESSES, NOISES):
        seen = nets.in_other_light(digits.x_test[:1500], *change)
        grid.append(nets.read_in_all_ways(found, seen[:500], y[:500], seen[1000:]))
    shape = len(CONTRASTS), len(BRIGHTNESSES), len(NOISES), -1
    return {"kinds": kinds, "grid": np.reshape(grid, shape)}


def light_mlp(digits, seed):
    nets, found = digits.nets, {}
    for name in ("BN", "LN", "none"):
        model = nets.mlp(nets.NORMS_1D[name], seed)
        found["GN" if name == "LN" else name] = digits.fit(model, 600, 0.1, seed=seed)
    x, y = digits.x_test[:1000], digits.y_test[:1000]
    unlabelled = digits.x_test[1000:1500]
    kinds = [
        nets.read_in_all_ways(found, change(x), y, change(unlabelled))
        for change in nets.LIGHT.values()
    ]
    return {"kinds": kinds}


def classes(digits, norm, count, rate, seed):
    model = digits.nets.mlp(digits.nets.NORMS_1D[norm], seed)
    digits.nets.fit_on_classes(model, digits.x, digits.y, count, steps=400, lr=rate, seed=seed)
    return {"accuracy": digits.read(model)}


def classes_conv(digits, norm, count, rate, seed):
    model = digits.nets.conv_net(digits.nets.NORMS_2D[norm], seed)
    digits.nets.fit_on_classes(model, digits.x, digits.y, count, steps=300, lr=rate, seed=seed)
    return {"accuracy": digits.read(model)}


def sequences(digits, norm, rate, seed):
    nets = digits.nets
    model = nets.Recurrent(norm, seed)
    digits.fit(model, 300, seed=seed, optimizer=nets.ClippedSGD(model.parameters(), rate))
    rows = digits.x_test.flatten(1, 2)
    read = [
        nets.accuracy(model, nets.blank_first(rows, count)[:, None], digits.y_test)
        for count in BLANKS
    ]
    return {"accuracy": read}


def replacements(digits, norm, rate, seed):
    model = digits.nets.REPLACEMENTS[norm](seed)
    digits.fit(model, SHORT_STEPS, rate, seed=seed)
    return {"accuracy": digits.read(model)}


def residual(digits, norm, rate, seed):
    model = digits.nets.residual_net(digits.nets.NORMS_1D[norm], seed)
    digits.fit(model, SHORT_STEPS, rate, seed=seed)
    return {"accuracy": digits.read(model)}


def transformer(digits, norm, rate, seed):
    model = digits.nets.Transformer(digits.nets.NORMS_LAST[norm], seed)
    optimizer = digits.torch.optim.Adam(model.parameters(), rate)
    digits.fit(model, SHORT_STEPS, seed=seed, optimizer=optimizer)
    return {"accuracy": digits.read(model)}


def parts():
    """name -> (function of a point of the grid, the grid's axes, names of what it measures)."""
    two = range(2)
    accuracy = ("accuracy",)
    return {
        "mlp": (mlp, (MLP_NORMS, MLP_SIZES, two, SEEDS), accuracy),
        "conv": (conv, (CONV_NORMS, CONV_SIZES, two, SEEDS), accuracy),
        "long": (long, (LONG_NORMS, LONG_RATES, SEEDS), accuracy),
        "light": (light, (SEEDS,), ("kinds", "grid")),
        "light_mlp": (light_mlp, (SEEDS,), ("kinds",)),
        "classes": (classes, (CLASS_NORMS, CLASSES, CLASS_RATES, SEEDS), accuracy),
        "classes_conv": (
            classes_conv, (("BN", "GN"), CONV_CLASSES, CONV_CLASS_RATES, SEEDS), accuracy,
        ),
        "sequences": (sequences, (SEQUENCE_NORMS, SEQUENCE_RATES, SEEDS), accuracy),
        "replacements": (replacements, (REPLACEMENTS, REPLACEMENT_RATES, SEEDS), accuracy),
        "residual": (residual, (RESIDUAL_NORMS, RESIDUAL_RATES, SEEDS), accuracy),
        "transformer": (transformer, (TRANSFORMER_NORMS, TRANSFORMER_RATES, SEEDS), accuracy),
    }  # fmt: skip


def constants():
    """The axes of the arrays, stored beside them."""
    from bnlib.course.nb14 import nets

    axes = {
        "seeds": SEEDS, "mlp_norms": MLP_NORMS, "mlp_sizes": MLP_SIZES,
        "mlp_rates": [*MLP_RATES.values()], "conv_norms": CONV_NORMS, "conv_sizes": CONV_SIZES,
        "conv_rates": [*CONV_RATES.values()], "long_norms": LONG_NORMS, "long_rates": LONG_RATES,
        "long_steps": LONG_STEPS, "lights": [*nets.LIGHT], "ways": nets.WAYS,
        "contrasts": CONTRASTS, "brightnesses": BRIGHTNESSES, "noises": NOISES,
        "class_norms": CLASS_NORMS, "classes": CLASSES, "class_rates": CLASS_RATES,
        "conv_classes": CONV_CLASSES, "sequence_norms": SEQUENCE_NORMS,
        "sequence_rates": SEQUENCE_RATES, "blanks": BLANKS, "replacements": REPLACEMENTS,
        "replacement_rates": REPLACEMENT_RATES, "residual_norms": RESIDUAL_NORMS,
        "residual_rates": RESIDUAL_RATES, "transformer_norms": TRANSFORMER_NORMS,
        "transformer_rates": TRANSFORMER_RATES,
    }  # fmt: skip
    return {name: np.array(values) for name, values in axes.items()}


def train_one(point):
    """What one run of a part measures: ("mlp", "BN", 2, 0, 0) and so on."""
    name, *arguments = point
    found = parts()[name][0](Digits(), *arguments)
    return {key: np.float32(values) for key, values in found.items()}


def main(arguments=None):
    runs = {
        name: (tuple(map(len, axes)), [(name, *point) for point in product(*axes)], keep)
        for name, (_, axes, keep) in parts().items()
    }
    storing.repeat(__doc__, OUTPUT, runs, train_one, constants(), arguments)


if __name__ == "__main__":
    main()
