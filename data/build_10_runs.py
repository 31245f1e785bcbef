"""Repeat the training runs that notebook 10 shows, and store what they measured.

usage: python data/build_10_runs.py [--jobs N] [--only PART …] [--output FILE]

Every run is of the small convolutional net of bnlib/course/nb10/nets.py on the course's MNIST
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

OUTPUT = HERE / "10_runs.npz"
SEEDS = (0, 1, 2)

INITS = ("torch", "He")
RATES = (0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0)
STEPS = (100, 300)

LONG_RATES = (0.3, 0.6)
LONG_STEPS = (200, 1000)

SETS = ("N, H, W", "N", "H, W", "C, H, W", "none")
MOVED_RATES = (0.3, 1.0)

PART_RATES = (1.0, 3.0)
PART_STEPS = 400
HOW = ("smallest", "random", "largest")
SHARE = 0.25
SURGERY_SEEDS = tuple(range(6))


def train(
    norm, rate, seed, steps, *, he=True, which=None, surgery=False, moves=False, counts=False
):
    """Train one net. Returns name -> array, what was measured on the way and at the end.

    accuracy  (readings,) on the test digits, with statistics recomputed on 1,000 training digits
    running   (1,) the same at the end, with the running averages
    moved     (5,) accuracy on test digits moved by 0 to 4 pixels, mean of the four directions
    values    (2, 5, 4) before and after training, for each convolution: the least, the median and
              the largest number of values of an image that count, over the channels, and H·W
    pruned    (3, 2) after each surgery, with the old and with recomputed statistics
    """
    import torch

    import bnlib.torch as bt
    from bnlib.course.nb10 import nets

    torch.set_num_threads(1)
    x, y, x_test, y_test = nets.digits()
    model = nets.conv_net(None if norm == "none" else norm, he=he, seed=seed)
    optimizer = torch.optim.SGD(model.parameters(), rate)
    if which:
        optimizer, _ = nets.optimizer_of(model, which, rate, seed)
    found = {"accuracy": []}
    if counts:
        found["values"] = [_values(model, x)]

    def read(model):
        return bt.evaluate(nets.with_statistics(model, x), x_test, y_test)[1]

    def reading(step, model, loss):
        if step in steps:
            found["accuracy"].append(read(model))

    bt.fit(
        model, x, y, steps=steps[-1], batch_size=nets.BATCH, rng=seed, optimizer=optimizer,
        progress=False, callback=reading,
    )  # fmt: skip
    found["running"] = [bt.evaluate(model, x_test, y_test)[1]]
    if counts:
        found["values"].append(_values(model, x))
    if moves:
        found["moved"] = nets.accuracy_when_moved(nets.with_statistics(model, x), x_test, y_test)
    if surgery:
        model = nets.with_statistics(model, x)
        after = [nets.pruned(model, SHARE, how, seed) for how in HOW]
        found["pruned"] = [(bt.evaluate(net, x_test, y_test)[1], read(net)) for net in after]
    return {name: np.array(values, np.float32) for name, values in found.items()}


def _values(model, x):
    from bnlib.course.nb10 import nets

    sides = (14, 14, 7, 7, 4)
    return [
        (v.min().item(), v.median().item(), v.max().item(), side * side)
        for v, side in zip(nets.values_that_count(model, x), sides, strict=True)
    ]


def parts():
    """name -> (axes of its grid, function of a point -> train's arguments, what to keep)."""
    from bnlib.course.nb10.nets import TRAINED

    pair = ("none", "N, H, W")
    return {
        "rates": (
            (INITS, pair, RATES, SEEDS),
            lambda init, norm, rate, seed: dict(
                norm=norm, rate=rate, seed=seed, steps=STEPS, he=init == "He"
            ),
            ("accuracy", "running"),
        ),
        "long": (
            (pair, LONG_RATES, SEEDS),
            lambda norm, rate, seed: dict(norm=norm, rate=rate, seed=seed, steps=LONG_STEPS),
            ("accuracy",),
        ),
        "sets": (
            (SETS, MOVED_RATES, SEEDS),
            lambda norm, rate, seed: dict(
                norm=norm, rate=rate, seed=seed, steps=(300,), moves=True
            ),
            ("moved",),
        ),
        "values": (
            (SEEDS,),
            lambda seed: dict(norm="N, H, W", rate=0.3, seed=seed, steps=(300,), counts=True),
            ("values",),
        ),
        "parts": (
            (TRAINED, PART_RATES, SEEDS),
            lambda which, rate, seed: dict(
                norm="N, H, W", rate=rate, seed=seed, steps=(PART_STEPS,), which=which
            ),
            ("accuracy",),
        ),
        "surgery": (
            (SURGERY_SEEDS,),
            lambda seed: dict(
                norm="N, H, W", rate=0.3, seed=seed, steps=(PART_STEPS,), surgery=True
            ),
            ("accuracy", "pruned"),
        ),
    }


def constants():
    """The axes of the arrays, stored beside them."""
    from bnlib.course.nb10.nets import TRAINED

    axes = {
        "seeds": SEEDS, "inits": INITS, "rates": RATES, "steps": STEPS,
        "long_rates": LONG_RATES, "long_steps": LONG_STEPS,
        "sets": SETS, "sets_rates": MOVED_RATES,
        "parts": TRAINED, "parts_rates": PART_RATES, "surgeries": HOW,
    }  # fmt: skip
    return {name: np.array(values) for name, values in axes.items()}


def train_one(arguments):
    return train(**arguments)


def main(arguments=None):
    runs = storing.over_grids(parts())
    storing.repeat(__doc__, OUTPUT, runs, train_one, constants(), arguments)


if __name__ == "__main__":
    main()
