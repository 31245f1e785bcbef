"""Draw notebooks/images/readme.png, the picture in README.md; half a minute.

usage: .venv/bin/python .make/readme_picture.py

The net of the 2015 paper's Figure 1 (three hidden layers of 100 sigmoids), trained here twice on
8,000 real digits: without and with Batch Normalization. What is drawn is the paper's quantity, the
15th, 50th and 85th percentile of what goes into one typical unit of the last hidden layer.
"""

from pathlib import Path

import numpy as np
from matplotlib import rc_context

from bnlib.course.kit.plots import figure
from bnlib.course.kit.style import NETS, RC
from bnlib.data import as_features, minibatches, mnist10k
from bnlib.numpy import SGD, BatchNorm, Linear, Sequential, Sigmoid, softmax_cross_entropy

PICTURE = Path(__file__).resolve().parent.parent / "notebooks" / "images" / "readme.png"
STEPS, EVERY, M, UNIT = 4000, 50, 60, 7
LOOK = {name: NETS[f"{name} BN"] | {"marker": ""} for name in ("without", "with")}


def net(normalized, rng):
    """784-100-100-100-10; the paper's initial weights are small and Gaussian."""
    layers = []
    for n_in, n_out in [(784, 100), (100, 100), (100, 100)]:
        layers.append(Linear(n_in, n_out, rng=rng, init=0.1, bias=not normalized))
        layers += [BatchNorm(n_out)] if normalized else []
        layers.append(Sigmoid())
    return Sequential(*layers, Linear(100, 10, rng=rng, init=0.1))


def train(normalized, seed=0):
    """Returns (steps, share of test digits right, percentiles of the unit's input)."""
    rng, digits = np.random.default_rng(seed), mnist10k()
    x, x_test = as_features(digits.x_train), as_features(digits.x_test)
    model, sgd = net(normalized, rng), SGD(lr=0.1)
    batches, found = iter(()), []
    for step in range(STEPS + 1):
        if step % EVERY == 0:
            guesses = model.eval()(x_test).argmax(axis=1)
            into_unit = model.inputs[-2][:, UNIT]  # what the last sigmoid gets
            bands = np.percentile(into_unit, [15, 50, 85])
            found.append((step, (guesses == digits.y_test).mean(), *bands))
            model.train()
        batch = next(batches, None)
        if batch is None:
            batches = minibatches(x, digits.y_train, M, rng)
            batch = next(batches)
        _, dlogits = softmax_cross_entropy(model(batch[0]), batch[1])
        model.backward(dlogits, input_gradient=False)
        sgd.step(model)
    steps, right, *bands = np.array(found).T
    return steps, right, np.array(bands)


def draw(runs):
    fig, (left, middle, right) = figure(1, 3, size=(12, 4.2), width_ratios=[1.25, 1, 1])
    for name, style in LOOK.items():
        steps, accuracy, _ = runs[name]
        left.plot(steps, accuracy, **style, label=f"{name} BN")
    left.set(xlabel="training step", ylabel="test digits read correctly", ylim=(0, 1))
    left.legend(loc="lower right")
    for ax, name in [(middle, "without"), (right, "with")]:
        steps, _, (low, median, high) = runs[name]
        ax.fill_between(steps, low, high, color=LOOK[name]["color"], alpha=0.25, linewidth=0)
        ax.plot(steps, median, **LOOK[name])
        ax.set(xlabel="training step", title=f"{name} BN", ylim=(-3, 3))
    left.set_title("who learns sooner")
    middle.set_ylabel("input of one sigmoid")
    return fig


def main():
    runs = {"without": train(False), "with": train(True)}
    with rc_context(RC):
        fig = draw(runs)
        fig.savefig(PICTURE, dpi=150, metadata={"Software": None})
    for name, (_, accuracy, bands) in runs.items():
        print(name, "accuracy", accuracy[[5, 20, -1]], "bands at the end", bands[:, -1].round(2))


if __name__ == "__main__":
    main()
