"""Repeat the training runs that notebook 12 shows, and store what they measured.

usage: python data/build_12_runs.py [--jobs N] [--only PART ...] [--output FILE]

Every run is of a net of bnlib/course/nb12/nets.py on the course's MNIST digits, in torch on the
processor: one process plays several devices that do not synchronize their batch norms. README.md
beside this file says what the arrays are. The runs take about five minutes on two cores; --jobs
says how many run at once (default: one per core). --only names the parts to be run again, the
others stay as they are in the file. Nothing is downloaded.
"""

import sys
from pathlib import Path

import numpy as np

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent), str(HERE)]  # also before bnlib is installed
import storing  # noqa: E402

OUTPUT = HERE / "12_runs.npz"

SEEDS = (0, 1, 2)

BATCHES = (16, 32, 64)
DEVICES = (1, 2, 4, 8)
MLP_RATES, MLP_STEPS = (0.03, 0.1, 0.3), (500,)
LONGER_BATCHES, LONGER_DEVICES, LONGER_STEPS = (16,), (1, 8), (500, 1000, 2000)  # the MLP again
CONV_RATES, CONV_STEPS = (0.3,), (100, 300, 800)

SPLITS = ("mixed", "by class")
SHARED = ("not synchronized", "synchronized")
SPLIT_RATES, SPLIT_STEPS = (0.1, 0.3), (60, 300)
PARTS = ("mlp", "longer", "conv", "split")


def train(kind, batch, devices, rate, seed, steps):
    """Train one net on devices that normalize their shares by themselves. name -> array:

    accuracy  (readings,) on the test digits, with statistics recomputed on 1,000 training digits
    running   (readings,) the same with the running averages, which are those of rank 0
    """
    import torch

    import bnlib.torch as bt
    from bnlib.course.nb12 import nets

    torch.set_num_threads(1)
    x, y, x_test, y_test = nets.digits()
    found = {"accuracy": [], "running": []}

    def reading(step, model, loss):
        if step in steps:
            found["running"].append(bt.evaluate(model, x_test, y_test)[1])
            recomputed = nets.with_statistics(model, x)
            found["accuracy"].append(bt.evaluate(recomputed, x_test, y_test)[1])

    bt.fit(
        nets.net(kind, devices, seed=seed), x, y, steps=steps[-1], batch_size=batch, rng=seed,
        lr=rate, progress=False, callback=reading,
    )  # fmt: skip
    return {name: np.array(values, np.float32) for name, values in found.items()}


def train_split(split, shared, rate, seed, steps=SPLIT_STEPS):
    """Train the MLP on two devices with 16 digits each. Returns what train does.

    split   "by class": one device sees the digits 0 to 4, the other 5 to 9; "mixed": both see both
    """
    import torch

    import bnlib.torch as bt
    from bnlib.course.nb12 import nets

    torch.set_num_threads(1)
    x, y, x_test, y_test = nets.digits()
    pairs, labels = nets.pairs_by_class(x, y)
    if split == "mixed":
        order = np.random.default_rng(seed).permutation(2 * len(pairs))
        pairs = pairs.flatten(0, 1)[order].unflatten(0, (-1, 2))
        labels = labels.flatten()[order].unflatten(0, (-1, 2))
    found = {"accuracy": [], "running": []}

    def reading(step, halves, loss):
        if step in steps:
            model = halves.model
            found["running"].append(bt.evaluate(model, x_test, y_test)[1])
            recomputed = nets.with_statistics(model, x)
            found["accuracy"].append(bt.evaluate(recomputed, x_test, y_test)[1])

    model = nets.net("MLP", 1 if shared == "synchronized" else 2, seed=seed)
    bt.fit(
        nets.Halves(model), pairs, labels, steps=steps[-1], batch_size=16, rng=seed, lr=rate,
        loss_function=nets.loss_of_halves, progress=False, callback=reading,
    )  # fmt: skip
    return {name: np.array(values, np.float32) for name, values in found.items()}


def parts():
    """name -> (axes of its grid, function of a point -> the run, what to keep)."""
    keep = ("accuracy", "running")

    def run_of(kind, steps):
        def run(batch, devices, rate, seed):
            return train, (kind, batch, devices, rate, seed, steps)

        return run

    return {
        "mlp": ((BATCHES, DEVICES, MLP_RATES, SEEDS), run_of("MLP", MLP_STEPS), keep),
        "longer": (
            (LONGER_BATCHES, LONGER_DEVICES, MLP_RATES, SEEDS),
            run_of("MLP", LONGER_STEPS),
            ("accuracy",),
        ),
        "conv": ((BATCHES, DEVICES, CONV_RATES, SEEDS), run_of("conv", CONV_STEPS), keep),
        "split": (
            (SPLITS, SHARED, SPLIT_RATES, SEEDS),
            lambda *point: (train_split, point),
            keep,
        ),
    }


def constants():
    """The axes of the arrays, stored beside them."""
    axes = {
        "seeds": SEEDS, "batches": BATCHES, "devices": DEVICES,
        "mlp_rates": MLP_RATES, "mlp_steps": MLP_STEPS,
        "longer_batches": LONGER_BATCHES, "longer_devices": LONGER_DEVICES,
        "longer_steps": LONGER_STEPS,
        "conv_rates": CONV_RATES, "conv_steps": CONV_STEPS,
        "splits": SPLITS, "shared": SHARED, "split_rates": SPLIT_RATES, "split_steps": SPLIT_STEPS,
    }  # fmt: skip
    return {name: np.array(values) for name, values in axes.items()}


def train_one(run):
    function, arguments = run
    return function(*arguments)


def main(arguments=None):
    runs = storing.over_grids(parts())
    storing.repeat(__doc__, OUTPUT, runs, train_one, constants(), arguments)


if __name__ == "__main__":
    main()
