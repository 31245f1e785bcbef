"""Repeat the training runs that notebook 11 shows, and store what they measured.

usage: python data/build_11_runs.py [--jobs N] [--only PART …] [--output FILE]

Every run is of the small convolutional net of bnlib/course/nb11/nets.py on the course's MNIST
digits, in torch on the processor. README.md beside this file says what the arrays are. The runs
take about ten minutes on two cores; --jobs says how many run at once (default: one per core).
--only repeats the named parts and takes the others from FILE as they are. Nothing is downloaded.
"""

import sys
from itertools import product
from pathlib import Path

import numpy as np

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent), str(HERE)]  # also before bnlib is installed
import storing  # noqa: E402

OUTPUT = HERE / "11_runs.npz"
SEEDS = (0, 1, 2, 3, 4)
STEPS = tuple(range(10, 401, 10))
BITS = (8, 7, 6, 5, 4, 3)

TUNING_SEEDS = (0, 1, 2)
TUNING_RATES = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3)
SAME_RATES = (0.0001, 0.0003, 0.001, 0.003, 0.01, 0.03)  # where there is little to change
SOURCE_STEPS = 400


def along(seed):
    """Train one net. Returns name -> array.

    accuracy  (statistics, steps) on the test digits with each running average, and recomputed
    means     (statistics, steps, channels) three channels' running means in the last norm
    bits      (2 folded, 2 per channel, bits) accuracy with weights of so many bits
    """
    import torch

    import bnlib.torch as bt
    from bnlib.course.nb11 import nets

    torch.set_num_threads(1)
    x, y, x_test, y_test = nets.digits()
    model, accuracy, means = nets.along_training(x, y, x_test, y_test, STEPS, seed=seed)
    model = nets.recomputed(model, x)
    bits = [
        [
            [bt.evaluate(nets.rounded(net, n, each), x_test, y_test)[1] for n in BITS]
            for each in (False, True)
        ]
        for net in (model, bt.fuse(model))
    ]
    found = {"accuracy": accuracy, "means": means, "bits": bits}
    return {name: np.array(values, np.float32) for name, values in found.items()}


def tune(seed):
    """Train one net, then train it further in every way. Returns name -> array.

    before    (shifts, 2) accuracy on the shifted test digits, as trained and with statistics
              recomputed on the 200 shifted digits, without their labels
    accuracy  (shifts, batches, ways, rates, 2) afterwards, as it is, and with them recomputed
    """
    import torch

    import bnlib.torch as bt
    from bnlib.course.nb11 import nets

    torch.set_num_threads(1)
    x, y, x_test, y_test = nets.digits()
    model = nets.conv_net(seed=seed)
    bt.fit(model, x, y, steps=SOURCE_STEPS, batch_size=nets.BATCH, rng=seed, lr=nets.RATE,
           progress=False)  # fmt: skip
    model = nets.recomputed(model, x)
    before, accuracy = [], []
    for name, shift in nets.SHIFTS.items():
        few, labels, test = shift(x[: nets.TUNED]), y[: nets.TUNED], shift(x_test)

        def read(net, few=few, test=test):
            both = net, nets.recomputed(net, few)
            return [bt.evaluate(one, test, y_test)[1] for one in both]

        before.append(read(model))
        for batch, way, rate in product(nets.TUNING_STEPS, nets.WAYS, rates_of(name)):
            accuracy.append(read(nets.tuned(model, few, labels, way, rate, batch, seed)))
    shape = len(nets.SHIFTS), len(nets.TUNING_STEPS), len(nets.WAYS), len(TUNING_RATES), 2
    found = {"before": before, "accuracy": np.reshape(accuracy, shape)}
    return {name: np.array(values, np.float32) for name, values in found.items()}


def rates_of(shift):
    return SAME_RATES if shift == "as trained" else TUNING_RATES


def parts():
    """name -> (function of a seed, the seeds, what it returns)."""
    return {
        "along": (along, SEEDS, ("accuracy", "means", "bits")),
        "tuning": (tune, TUNING_SEEDS, ("before", "accuracy")),
    }


def run_one(described):
    part, seed = described
    return parts()[part][0](seed)


def constants():
    """The axes of the arrays, stored beside them."""
    from bnlib.course.nb11 import nets

    momenta = [0.0 if momentum is None else momentum for momentum in nets.MOMENTA]
    axes = {
        "seeds": SEEDS, "steps": STEPS, "momenta": momenta, "watched": nets.WATCHED, "bits": BITS,
        "shifts": list(nets.SHIFTS), "batches": list(nets.TUNING_STEPS), "ways": nets.WAYS,
        "tuning_rates": [rates_of(name) for name in nets.SHIFTS],
    }  # fmt: skip
    return {name: np.array(values) for name, values in axes.items()}


def main(arguments=None):
    runs = {
        name: ((len(seeds),), [(name, seed) for seed in seeds], keep)
        for name, (_, seeds, keep) in parts().items()
    }
    storing.repeat(__doc__, OUTPUT, runs, run_one, constants(), arguments)


if __name__ == "__main__":
    main()
