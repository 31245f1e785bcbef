"""Exercises and quiz of notebook 16, the capstone."""

import time

import numpy as np
import torch

import bnlib.torch as bt
from bnlib.course import nb16
from bnlib.course.kit.exercises import (
    FunctionExercise,
    PredictionExercise,
    ValueExercise,
    WrongTurn,
)
from bnlib.course.kit.own_layer import mine
from bnlib.course.kit.quiz import Question
from bnlib.course.kit.rubric import RubricExercise
from bnlib.course.nb16 import nets
from bnlib.course.nb16.rubric import POINTS

# ── 16.2 ────────────────────────────────────────────────────────────────────────────────────────


def factor_and_layer():
    factor = np.sqrt(64 * 1 / (3 * 64)) / 4  # 64 inputs, weights of variance 1/(3·64), slope 1/4
    layers = np.log(6e-8 / 0.04) / np.log(factor)  # so many times the factor, from layer 1 on
    return np.array([factor, 1 + np.ceil(layers)])


# ── 16.3 ────────────────────────────────────────────────────────────────────────────────────────


def centring_bias(weight, at_zero):
    return -at_zero * weight.sum(axis=1)


def _weight_and_height(rng):
    return torch.tensor(rng.normal(size=(6, 4))), float(rng.uniform(0.2, 0.8))


# ── 16.4 ────────────────────────────────────────────────────────────────────────────────────────


def growth_per_layer(squares):
    steps = len(squares) - 1
    return (squares[0] / squares[-1]) ** (1 / steps)


def _falling(rng):
    count = rng.integers(6, 12)
    return (np.exp(np.cumsum(rng.uniform(0.1, 0.9, size=count)))[::-1].copy(),)


# ── 16.6 ────────────────────────────────────────────────────────────────────────────────────────


def one_report():
    x_train, y_train, x_test, y_test = nets.digits()
    own = mine("BatchNormModule")
    seconds = {}

    def read(net):
        return bt.evaluate(net, x_test, y_test)[1]

    def run(net, rate, seed, route=None):
        start = time.perf_counter()
        bt.fit(net, x_train, y_train, steps=300, batch_size=60, rng=seed, lr=rate)
        seconds[route] = time.perf_counter() - start  # of the last run
        return net

    def with_yours(rate, seed):
        return run(nets.deep_net(own, seed=seed), rate, seed, "BN")

    def residual(rate, seed):
        return run(nets.residual_net(seed=seed), rate, seed, "residual")

    report = {"plain": {}, "routes": {"BN": {}, "residual": {}}}
    for weights in ("torch", "Xavier"):
        for rate in (0.1, 1.0, 10.0):
            report["plain"][weights, rate] = [read(run(nets.deep_net(weights=weights), rate, 0))]
    for rate in (0.003, 0.03, 0.3):
        found = [read(nets.with_statistics(with_yours(rate, s), x_train)) for s in range(3)]
        report["routes"]["BN"][rate] = found
    for rate in (0.1, 1.0, 10.0):
        report["routes"]["residual"][rate] = [read(residual(rate, s)) for s in range(3)]
    report["price"] = {name: seconds[name] for name in report["routes"]}
    best = {name: max(map(np.mean, table.values())) for name, table in report["routes"].items()}
    report["choice"] = (
        f"I would take the residual net: on average it reads {best['residual']:.2f} and BN "
        f"{best['BN']:.2f}, and it answers each digit by itself."
    )

    trained = with_yours(0.03, 0)
    net = nets.with_statistics(trained, x_train).eval()
    report["net"] = net
    report["read"] = {"running": read(trained), "recomputed": read(net)}
    report["fused"] = bt.fuse(nets.with_known_norms(net))
    any_size = ({0: torch.export.Dim("N")},)
    report["exported"] = torch.export.export(net, (x_test[:2].clone(),), dynamic_shapes=any_size)

    report["growth"] = {}
    for activation in ("sigmoid", "ReLU"):
        fresh = nets.deep_net("BN", activation=activation)
        squares = nets.gradient_by_layer(fresh, x_train[:256], y_train[:256])
        report["growth"][activation] = (squares[0] / squares[-1]) ** (1 / 29)
    report["relu"] = {
        "He": nb16.relu_runs("He's weights"),
        "BN": nb16.relu_runs("BN, He's weights"),
    }
    report["why"] = (
        "With BN the squared gradient grows about 1.5 times from each ReLU layer to the one "
        "before it, so no single rate suits the first layers and the last; with He's weights "
        "it does not grow."
    )
    report["not_shown"] = (
        "One data set, one width and 300 steps: whether the residual net stays ahead "
        "in larger nets, or after longer training, was not measured."
    )
    return report


EXERCISES = [
    PredictionExercise(
        id="16.1",
        title="What else would help?",
        choices=("Adam", "layer normalization", "both", "neither"),
        hint="Adam makes small gradients large. Are they the trouble? Layer normalization makes "
        "the numbers of one digit vary. Do they then differ from those of another digit?",
        note="What is lost is the difference between digits. Adam enlarges gradients, but there is "
        "nothing left in the last layers from which digits could be told apart. Layer "
        "normalization takes mean and variance over the units of one digit, and what all digits "
        "share stays.",
        wrong_turns=[
            WrongTurn(
                "Adam",
                "Adam",
                "Adam makes steps of one size whatever the gradient's size. The last layers still "
                "get the same numbers for every digit.",
            ),
            WrongTurn(
                "LN",
                "layer normalization",
                "It normalizes each digit by itself: the 64 numbers vary, and they are the same "
                "for every digit. What all digits share can only be seen over the batch.",
            ),
            WrongTurn(
                "both",
                "both",
                "Neither sees the batch, and what is lost here is what digits do not share.",
            ),
        ],
    ),
    ValueExercise(
        id="16.2",
        title="Where do the digits end?",
        solution=factor_and_layer,
        rtol=0.035,
        entries=("the factor", "the layer"),
        hint=(
            "A sum of 64 independent products: its variance is 64 times the variance of a weight "
            "times the mean square of what comes in. What does the sigmoid then do to a small "
            "deviation?",
            "The factor is $\\frac14\\sqrt{64 \\cdot \\frac{1}{3 \\cdot 64}}$.",
            "Layer $l$ is reached after the factor was applied $l - 1$ times.",
        ),
        praise="After a quarter of the net digits differ by less than a step of float32.",
        wrong_turns=[
            WrongTurn(
                "without the slope",
                (0.577, 26),
                "Your factor is that of the Linear alone. The sigmoid's slope, at most 1/4, "
                "belongs to each layer, too.",
            ),
            WrongTurn(
                "without the weights",
                (0.25, 11),
                "Your factor is the sigmoid's slope alone. Sums with torch's weights have a third "
                "of the variance, too.",
            ),
            WrongTurn(
                "variance",
                (1 / 48, 5),
                "Your factor is one of variances. Deviations are asked for.",
            ),
            WrongTurn(
                "one layer early",
                (0.1443, 7),
                "Your factor is right. In layer 1 it was applied no time yet, in layer 2 once.",
            ),
        ],
    ),
    FunctionExercise(
        id="16.3",
        title="A bias that centres",
        keeps="centring_bias",
        solution=centring_bias,
        inputs=_weight_and_height,
        axes=("output", "input"),  # of W
        hint=(
            "Write the $k$-th number of $x = Wu + b$ as a sum. If each $u_d$ is `at_zero`, what is "
            "it? Which $b_k$ makes it 0?",
            "`weight` has one row per unit; sum over its inputs.",
        ),
        praise="It costs nothing at run time, and it is right only at the start.",
        wrong_turns=[
            WrongTurn(
                "sum over the units",
                lambda weight, at_zero: -at_zero * weight.sum(axis=0),
                "You have one number per input. A bias has one per unit: sum over the inputs, "
                "which are the columns of `weight`.",
            ),
            WrongTurn(
                "mean",
                lambda weight, at_zero: -at_zero * weight.mean(axis=1),
                "You take the mean of a unit's weights; $x$ adds them up.",
            ),
            WrongTurn(
                "sign",
                lambda weight, at_zero: at_zero * weight.sum(axis=1),
                "That is what the inputs bring. The bias has to take it away.",
            ),
            WrongTurn(
                "one for all",
                lambda weight, at_zero: 0 * weight.sum(axis=1) - at_zero,
                "You take `at_zero` from $x$, not from $u$: each input reaches $x$ through its "
                "weight.",
            ),
        ],
    ),
    FunctionExercise(
        id="16.4",
        title="The growth per layer",
        keeps="growth_per_layer",
        solution=growth_per_layer,
        inputs=_falling,
        axes=("layer",),
        hint=(
            "Going from the last layer to the first, the number is multiplied by a factor at each "
            "step. Between $L$ layers there are $L - 1$ steps.",
            "From last to first the product of all factors is `squares[0] / squares[-1]`. Which "
            "root of it is the factor of one step?",
        ),
        praise="The geometric mean of the steps.",
        wrong_turns=[
            WrongTurn(
                "one step too many",
                lambda squares: (squares[0] / squares[-1]) ** (1 / len(squares)),
                "You divide by the number of layers. Between them there is one step fewer.",
            ),
            WrongTurn(
                "forwards",
                lambda squares: (squares[-1] / squares[0]) ** (1 / (len(squares) - 1)),
                "You go from the first layer to the last. A gradient goes backwards: its factor is "
                "that from a layer to the one before it.",
            ),
            WrongTurn(
                "lengths",
                lambda squares: (squares[0] / squares[-1]) ** (0.5 / (len(squares) - 1)),
                "That is the growth of the length. The numbers are squared lengths, and so is what "
                "notebook 13 predicts.",
            ),
            WrongTurn(
                "arithmetic mean",
                lambda squares: (squares[:-1] / squares[1:]).mean(),
                "You average the factors of the steps. Factors multiply: applied at each step, "
                "yours would lead elsewhere.",
            ),
        ],
    ),
    PredictionExercise(
        id="16.5",
        title="Thirty ReLU layers, 800 steps: who is ahead?",
        choices=("BN", "He's weights", "level"),
        hint="BN makes the squared gradient grow by a factor at each ReLU layer. He's weights keep "
        "it as it is. Twenty-nine steps lie between the first layer and the last.",
        note="With He's weights the gradient of a ReLU layer is, on average, as large as that of "
        "the layer behind it. With BN it grows at each step backwards, and one rate has to do for "
        "both ends: that fits, and proves nothing. It is so on average, not in each seed.",
        wrong_turns=[
            WrongTurn(
                "BN",
                "BN",
                "It is early, and then it is passed: its squared gradient grows from layer to "
                "layer, and one rate has to do for the first and the last. With He's weights it "
                "does not grow.",
            ),
            WrongTurn(
                "level",
                "level",
                "At 400 steps you would be nearer to it. At 800 the means are more than five "
                "points apart.",
            ),
        ],
    ),
    RubricExercise(
        id="16.6",
        title="Your report",
        points=POINTS,
        solution=one_report,
        hint=(
            "One entry after the other: fill `plain`, run the cell, read the verdict. Points that "
            "you have not begun stay as they are.",
            "`{rate: [accuracy of seed 0, of seed 1, of seed 2]}` is a table of rates. Write one "
            "function that trains a net and reads it, and fill the tables with comprehensions.",
            "For `fused`: `bt.fuse(nets.with_known_norms(net))`. For `exported`: "
            "`torch.export.export(net, (x_test[:2].clone(),), dynamic_shapes=…)`, in evaluation "
            'mode, with a free first axis, `{0: torch.export.Dim("N")}`.',
        ),
        praise="All points met.",
        note="One way to a full report. It takes about a minute.",
    ),
]

QUIZ = [
    Question(
        "Thirty sigmoid layers with torch's first weights stay at chance because …",
        {
            "the digits' differences shrink to almost nothing": "About 0.14 times a layer. (More "
            "digits of the format do not help: in float64 it stays at chance, too.)",
            "the rate is too small": "A hundred times the rate changes nothing here.",
            "BN is the only way to train deep nets": "A residual branch trains this one, too.",
        },
        correct=0,
    ),
    Question(
        "Why does layer normalization not help this net?",
        {
            "Its variance is too small": "It makes the variance over the units 1, in every layer.",
            "It works on each digit alone, and what all digits share stays": "Only statistics over "
            "the batch see what the digits have in common.",
            "It has no running statistics": "It needs none; that is no fault.",
        },
        correct=1,
    ),
    Question(
        "You tried 0.01, 0.03 and 0.1, and 0.1 was the best. What do you report?",
        {
            "0.1 is the best rate": "Of three. The best may lie beyond.",
            "nothing yet: try 0.3 first": "The best of a range should lie inside it.",
            "the mean over the three rates": "Nobody would train at all three.",
        },
        correct=1,
    ),
    Question(
        "A net is read in training mode by its own test batch, and looks better than in evaluation "
        "mode. Which reading goes into a report on a net to be shipped?",
        {
            "training mode": "Then its answers depend on what else is in the batch.",
            "evaluation mode, with recomputed statistics": "It is what will run, and its "
            "statistics belong to the final weights.",
            "the larger of the two": "Choosing after the fact is no measurement.",
        },
        correct=1,
    ),
    Question(
        "With BN, thirty ReLU layers read less than with He's weights alone, on average. What fits "
        "this, though it proves nothing?",
        {
            "BN's squared gradient grows by π/(π−1) a ReLU layer": "About 1.47 to the power 29 is "
            "seventy thousand between the ends, and one rate has to do for both.",
            "BN makes the activations explode": "Their variance stays what γ says, in every layer.",
            "The batch of 60 is too small": "The growth is there at any batch size.",
        },
        correct=0,
    ),
]
