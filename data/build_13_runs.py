"""Repeat the training runs that notebook 13 shows, and store what they measured.

usage: python data/build_13_runs.py [--jobs N] [--only PART ...] [--output FILE]

The nets are those of bnlib/course/nb13/nets.py on the course's MNIST digits, in torch on the
processor, in batches of 60. README.md beside this file says what the arrays are. All runs take
about twenty minutes on two cores; --jobs says how many run at once (default: one per core),
--only names the parts to be run again, the others stay as they are in the file. Nothing is
downloaded.
"""

import functools
import sys
from itertools import product
from pathlib import Path

import numpy as np

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent), str(HERE)]  # also before bnlib is installed
import storing  # noqa: E402

OUTPUT = HERE / "13_runs.npz"
SEEDS, MORE_SEEDS = (0, 1, 2), (0, 1, 2, 3, 4)

PARTS_NETS = ("sigmoid, weights 0.1", "ReLU")
PARTS_NORMS = (
    "none", "BN", "noisy BN", "centre only", "scale only",
    "mean detached", "variance detached", "both detached",
)  # fmt: skip
PARTS_RATES = (0.03, 0.1, 0.3, 1.0, 3.0)

ADAM_NORMS = ("none", "BN", "noisy BN")
ADAM_RATES = (0.001, 0.003, 0.01, 0.03)

PAIR = ("none", "BN")
OWN_NETS = ("sigmoid, weights 0.1", "sigmoid", "ReLU", "tanh")
OWN_RATES = (0.1, 0.3, 1.0, 3.0)

EQUAL_NETS = ("sigmoid", "ReLU", "tanh", "linear")
EQUAL_RATES = {  # at which each net is trained to the loss where it is measured: without, with BN
    "sigmoid": (1.0, 1.0), "ReLU": (0.05, 0.3), "tanh": (0.1, 0.3), "linear": (0.03, 0.1),
}  # fmt: skip
EQUAL_LOSSES = (2.0, 1.0, 0.5)
EQUAL_SHARE = 0.01

STEP_NETS = ("sigmoid, weights 0.1", "sigmoid", "ReLU")
STEP_RATES = tuple(float(f"{rate:.3g}") for rate in np.geomspace(1e-3, 1e2, 21))

BRAKE_ARMS = ("none", "BN", "BN, lengths held")
BRAKE_RATES = (0.001, 0.01, 0.1, 1.0, 10.0, 100.0, 1000.0, 10000.0)

TURNING_SETTINGS = ((0.3, 0.01), (0.1, 0.03), (1.0, 0.003))
TURNING_STEPS = 1200

RESIDUAL_KINDS = ("none", "SkipInit", "BN", "LN")
RESIDUAL_BLOCKS = (20,)
RESIDUAL_RATES = (0.01, 0.03, 0.1, 0.3)

DECAY_ARMS = ("no decay", "weights alone", "weights, γ and β")
DECAY_RATES = (0.3,)


def _read(model, digits):
    """(2,) accuracy on the test digits by the statistics of 1,000 digits, and as the net is."""
    import bnlib.torch as bt
    from bnlib.course.nb13 import nets

    x, _, x_test, y_test = digits
    fresh = nets.with_statistics(model, x)
    return [bt.evaluate(net, x_test, y_test)[1] for net in (fresh, model)]


def _fit(model, digits, rate, seed, steps, callback=None, optimizer=None):
    import bnlib.torch as bt

    with np.errstate(all="ignore"):
        bt.fit(
            model, *digits[:2], steps=steps, batch_size=60, rng=seed, progress=False,
            callback=callback, **({"optimizer": optimizer} if optimizer else {"lr": rate}),
        )  # fmt: skip


def train_part(digits, net, norm, rate, seed, steps=200):
    from bnlib.course.nb13 import nets

    model = nets.mlp(nets.NORMS[norm], net, seed=seed)
    _fit(model, digits, rate, seed, steps)
    fresh, running = _read(model, digits)
    return {"accuracy": fresh, "running": running}


def train_adam(digits, net, norm, rate, seed, steps=200):
    import torch

    from bnlib.course.nb13 import nets

    model = nets.mlp(nets.NORMS[norm], net, seed=seed)
    _fit(model, digits, rate, seed, steps, optimizer=torch.optim.Adam(model.parameters(), rate))
    return {"accuracy": _read(model, digits)[0]}


def train_own(digits, net, norm, rate, seed, steps=200, every=50):
    """The shift of the gradient while each net trains at one rate."""
    import torch

    from bnlib.course.nb13 import exercises, nets

    model, found, losses = nets.mlp(nets.NORMS[norm], net, seed=seed), [], []
    x, y = digits[:2]
    batch = torch.tensor(np.random.default_rng(seed).choice(len(x), 60, replace=False))

    def look(step, model, loss):
        losses.append(float(loss))
        if step % every == 0:
            at = x[batch], y[batch]
            found.append(nets.shift(model, *at, exercises.before_and_after, rate=rate))

    _fit(model, digits, rate, seed, steps, callback=look)
    change, cosine = np.median(found, axis=0)
    return {"change": change, "cosine": cosine, "accuracy": _read(model, digits)[0],
            "loss": np.mean(losses[-10:])}  # fmt: skip


def train_equal(digits, net, norm, seed):
    """The shift when all layers below move by one hundredth, at the start and at three losses."""
    import torch

    from bnlib.course.nb13 import exercises, nets

    model = nets.mlp(nets.NORMS[norm], net, seed=seed)
    x, y = digits[:2]
    batch = torch.tensor(np.random.default_rng(seed).choice(len(x), 200, replace=False))
    rate, left, recent, found = EQUAL_RATES[net][norm == "BN"], list(EQUAL_LOSSES), [], []

    def measure():
        found.append(
            nets.shift(model, x[batch], y[batch], exercises.before_and_after, share=EQUAL_SHARE)
        )

    def look(step, model, loss):
        recent.append(float(loss))
        while len(recent) >= 10 and left and np.mean(recent[-10:]) < left[0]:
            left.pop(0)
            measure()
        return not left

    measure()
    _fit(model, digits, rate, seed, 1500, callback=look)
    if left:
        raise RuntimeError(f"{net}, {norm}, seed {seed}: the loss stayed above {left[0]}")
    change, cosine = np.transpose(found)
    return {"change": change, "cosine": cosine}


def one_step(digits, net, norm, seed):
    """The loss after one step of each rate, from a net that has learned for 30 steps."""
    from bnlib.course.nb13 import nets

    model = nets.mlp(nets.NORMS[norm], net, seed=seed)
    _fit(model, digits, 0.05, seed, 30)
    return {"loss": nets.loss_after_one_step(model, *(d[:500] for d in digits[:2]), STEP_RATES)}


def train_brake(digits, arm, rate, seed, steps=300):
    from bnlib.course.nb13 import nets

    model = nets.mlp(nets.NORMS[arm.split(",")[0]], "ReLU", seed=seed)
    lengths = [w.norm().item() for w in nets.hidden_weights(model)]
    hold = nets.hold_lengths(model) if "held" in arm else None
    _fit(model, digits, None, seed, steps, hold, nets.two_rates(model, rate))
    now = [w.norm().item() for w in nets.hidden_weights(model)]
    return {"accuracy": _read(model, digits)[0], "longer": np.mean(np.divide(now, lengths))}


def train_turning(digits, setting, seed):
    import bnlib.torch as bt
    from bnlib.course.nb13 import nets

    rate, decay = setting
    model = nets.mlp(bt.BatchNorm1d, "sigmoid", seed=seed)
    turning = nets.Turning(model)
    _fit(model, digits, None, seed, TURNING_STEPS, turning, nets.decayed(model, rate, decay))
    angles, lengths = (np.array(v)[-100:].mean(axis=0) for v in (turning.angles, turning.lengths))
    return {"angle": angles, "length": lengths, "accuracy": _read(model, digits)[0]}


def train_residual(digits, blocks, kind, rate, seed, steps=150):
    import torch

    import bnlib.torch as bt
    from bnlib.course.nb13 import nets

    norm = {"BN": bt.BatchNorm1d, "LN": torch.nn.LayerNorm}.get(kind)
    block = nets.SkipInit if kind == "SkipInit" else nets.Block
    model = nets.residual_net(blocks, norm=norm, block=block, seed=seed)
    _fit(model, digits, rate, seed, steps)
    return {"accuracy": _read(model, digits)[0]}


def train_decay(digits, arm, rate, seed, decay=0.01, steps=600):
    import bnlib.torch as bt
    from bnlib.course.nb13 import nets

    model = nets.mlp(bt.BatchNorm1d, "ReLU", seed=seed)
    decay = 0.0 if arm == "no decay" else decay
    _fit(model, digits, None, seed, steps,
         optimizer=nets.decayed(model, rate, decay, scales="γ" in arm))  # fmt: skip
    gamma = np.mean([m.weight.abs().mean().item() for m in model if isinstance(m, bt.BatchNorm1d)])
    return {"accuracy": _read(model, digits)[0], "gamma": gamma}


# Name -> (the axes of its grid by name, the function that measures one point).
PARTS = {
    "parts": (
        {"nets": PARTS_NETS, "norms": PARTS_NORMS, "rates": PARTS_RATES, "seeds": SEEDS},
        train_part,
    ),
    "adam": (
        {"nets": PARTS_NETS, "norms": ADAM_NORMS, "rates": ADAM_RATES, "seeds": SEEDS},
        train_adam,
    ),
    "own": ({"nets": OWN_NETS, "norms": PAIR, "rates": OWN_RATES, "seeds": SEEDS}, train_own),
    "equal": ({"nets": EQUAL_NETS, "norms": PAIR, "seeds": MORE_SEEDS}, train_equal),
    "step": ({"nets": STEP_NETS, "norms": PAIR, "seeds": MORE_SEEDS}, one_step),
    "brake": ({"arms": BRAKE_ARMS, "rates": BRAKE_RATES, "seeds": SEEDS}, train_brake),
    "turning": (
        {"settings": TURNING_SETTINGS, "seeds": SEEDS},
        train_turning,
    ),
    "residual": (
        {"blocks": RESIDUAL_BLOCKS, "kinds": RESIDUAL_KINDS, "rates": RESIDUAL_RATES,
         "seeds": SEEDS},
        train_residual,
    ),
    "decay": ({"arms": DECAY_ARMS, "rates": DECAY_RATES, "seeds": SEEDS}, train_decay),
}  # fmt: skip

# What each of these functions measures.
MEASURED = (
    ("accuracy", "running"), ("accuracy",), ("accuracy", "change", "cosine", "loss"),
    ("change", "cosine"), ("loss",), ("accuracy", "longer"), ("accuracy", "angle", "length"),
    ("accuracy",), ("accuracy", "gamma"),
)  # fmt: skip


def constants(parts=PARTS):
    """The axes of the arrays, stored beside them."""
    found = {f"{name}_{axis}": np.array(values) for name, (axes, _) in parts.items()
             for axis, values in axes.items()}  # fmt: skip
    return found | {"equal_losses": np.array(EQUAL_LOSSES), "step_rates": np.array(STEP_RATES)}


def measure_one(part, point):
    """name -> number or array, of one point of a part's grid."""
    import torch

    torch.set_num_threads(1)
    return PARTS[part][1](_digits(), *point)


@functools.cache
def _digits():
    from bnlib.course.nb13 import nets

    return nets.digits()


def _measure(job):
    return {name: np.asarray(found, np.float32) for name, found in measure_one(*job).items()}


def main(arguments=None):
    runs = {
        name: (tuple(map(len, axes.values())), [(name, p) for p in product(*axes.values())], keep)
        for (name, (axes, _)), keep in zip(PARTS.items(), MEASURED, strict=True)
    }
    storing.repeat(__doc__, OUTPUT, runs, _measure, constants(), arguments)


if __name__ == "__main__":
    main()
