"""Exercises and quiz of notebook 07, inference mode."""

import numpy as np

from bnlib.course.kit.exercises import (
    FunctionExercise,
    PredictionExercise,
    ValueExercise,
    WrongTurn,
)
from bnlib.course.kit.quiz import Question

# ── 7.2 ─────────────────────────────────────────────────────────────────────────────────────────


def update_running(running_mean, running_var, x, momentum):
    m = len(x)
    mean = (1 - momentum) * running_mean + momentum * x.mean(axis=0)
    var = (1 - momentum) * running_var + momentum * x.var(axis=0) * m / (m - 1)
    return mean, var


def _running(rng):
    x = rng.normal(size=(rng.integers(6, 11), 3)) * rng.uniform(0.5, 2, size=3) + rng.uniform(
        -3, 3, size=3
    )
    return rng.normal(size=3), rng.uniform(0.5, 2, size=3), x, rng.uniform(0.1, 0.35)


def _biased(running_mean, running_var, x, momentum):
    mean, _ = update_running(running_mean, running_var, x, momentum)
    return mean, (1 - momentum) * running_var + momentum * x.var(axis=0)


def _added(running_mean, running_var, x, momentum):
    m = len(x)
    return running_mean + momentum * x.mean(axis=0), running_var + momentum * x.var(axis=0) * m / (
        m - 1
    )


def _replaced(running_mean, running_var, x, momentum):
    return x.mean(axis=0), x.var(axis=0, ddof=1)


def _keras(running_mean, running_var, x, momentum):
    return _biased(running_mean, running_var, x, 1 - momentum)


def _deviation(running_mean, running_var, x, momentum):
    mean, _ = update_running(running_mean, running_var, x, momentum)
    return mean, (1 - momentum) * running_var + momentum * x.std(axis=0, ddof=1)


# ── 7.3 ─────────────────────────────────────────────────────────────────────────────────────────


def fold(weight, bias, gamma, beta, mean, var, eps):
    slope = gamma / np.sqrt(var + eps)
    return weight * slope, (bias - mean) * slope + beta


def _layer(rng):
    D, K = 5, 3
    return (
        rng.normal(size=(D, K)), rng.normal(size=K), rng.uniform(0.5, 2, size=K) * [1, -1, 1],
        rng.normal(size=K), rng.normal(size=K), rng.uniform(0.5, 2, size=K), rng.uniform(0.05, 0.2),
    )  # fmt: skip


# ── 7.4 ─────────────────────────────────────────────────────────────────────────────────────────


def updates_until_one_percent():
    # The start value weighs (1 − 0.1)^t. It falls below 1/100 when t > log(0.01)/log(0.9) = 43.7.
    return int(np.ceil(np.log(0.01) / np.log(0.9)))


EXERCISES = [
    PredictionExercise(
        id="7.1",
        title="A batch of one",
        choices=("its usual answer", "always the same answer", "NaN"),
        answer="always the same answer",
        hint="What is $x - \\mu_\\mathcal{B}$ when the batch is one example?",
        praise="Every $\\hat{x}$ is 0, so what leaves the layer is β, whatever came in.",
        note="With one example $x = \\mu_\\mathcal{B}$, so every $\\hat{x}$ is 0 and the layer's "
        "output is β, whatever came in. ($\\varepsilon$ saves it from 0/0.)",
        wrong_turns=[
            WrongTurn(
                "NaN",
                "NaN",
                "Without $\\varepsilon$ it would be 0/0. With it, 0 over a small number is 0.",
            ),
            WrongTurn(
                "its usual answer",
                "its usual answer",
                "The example is its own mean, so nothing of it is left: every $\\hat{x}$ is 0.",
            ),
        ],
    ),
    FunctionExercise(
        id="7.2",
        title="One update of the running statistics",
        solution=update_running,
        inputs=_running,
        returns=("running_mean", "running_var"),
        hint=(
            "`momentum` weighs the *new* value, here and in PyTorch.",
            "The variance that enters is the unbiased one: `x.var(axis=0) * m / (m - 1)`.",
        ),
        praise="PyTorch's convention, to the last digit.",
        wrong_turns=[
            WrongTurn(
                "Keras altogether",
                _keras,
                "That is the convention of Keras and Flax: `momentum` weighs the old value, and "
                "the variance is biased. Here it is the other way round, twice.",
            ),
            WrongTurn(
                "old value not shrunk",
                _added,
                "You add the new share without making room: the old value must be weighed by "
                "`1 - momentum`.",
            ),
            WrongTurn(
                "the batch's statistics",
                _replaced,
                "You return this batch's statistics: what was stored is lost.",
            ),
            WrongTurn(
                "deviation instead of variance",
                _deviation,
                "`running_mean` is right. You mix a standard deviation into a variance.",
            ),
        ],
    ),
    FunctionExercise(
        id="7.3",
        title="Fold the layer away",
        solution=fold,
        inputs=_layer,
        returns=("weight", "bias"),
        hint=(
            "With $h = xW + b$, write $\\gamma\\,(h - \\mathrm{E}[h])/"
            "\\sqrt{\\mathrm{Var}[h]+\\varepsilon} + \\beta$ as $xW' + b'$.",
            "Every output has one slope, `gamma / np.sqrt(var + eps)`; it multiplies a *column* of "
            "`weight`.",
        ),
        praise="The layer is gone, and no output has changed.",
    ),
    ValueExercise(
        id="7.4",
        title="How long does the start value linger?",
        solution=updates_until_one_percent,
        rtol=0.0,
        atol=0.5,
        unit="updates",
        hint=(
            "After one update the start value weighs 0.9, after two 0.9 · 0.9.",
            "Solve $0.9^t = 0.01$ with logarithms, and round up.",
        ),
        praise="And after ten updates it still weighs $0.9^{10} = 0.35$.",
        wrong_turns=[
            WrongTurn(
                "1/momentum",
                10,
                "After 10 updates the start value still weighs $0.9^{10}$, about a third.",
            ),
            WrongTurn(
                "momentum is the weight of the old value",
                2,
                "That would be $0.1^t$: momentum as the weight of the *old* value. Here the old "
                "value weighs 0.9.",
            ),
            WrongTurn("1 % means 100", 100, "After 100 updates it weighs far less: $0.9^{100}$."),
            WrongTurn(
                "rounded down",
                43,
                "Just short: $0.9^{43}$ is still a little above 1 %.",
            ),
        ],
    ),
]

QUIZ = [
    Question(
        "A model answers the same picture differently in different batches. Why?",
        {
            "Its weights are random": "Then the answer would not depend on the batch.",
            "It is still in training mode": "The batch's own statistics are in use: call `eval()`.",
            "Dropout": "It would differ even for the same batch; here the company decides.",
        },
        correct=1,
    ),
    Question(
        "Keras' `momentum=0.99` is PyTorch's …",
        {
            "`momentum=0.99`": "PyTorch weighs the new value, Keras the old one.",
            "`momentum=0.01`": "One minus it.",
            "`momentum=None`": "That averages all batches alike.",
        },
        correct=1,
    ),
    Question(
        "What does `eval()` do to gradients?",
        {
            "It switches them off": "That is `torch.no_grad()`.",
            "Nothing: they flow, along a straight line": "The statistics are constants then.",
            "It freezes γ and β": "They still get gradients.",
        },
        correct=1,
    ),
    Question(
        "The test images are darker than the training images, and errors soar. A cheap repair?",
        {
            "Use training mode with batches of one": "Then every answer is the same.",
            "Re-estimate the running statistics on unlabelled test images": "No label is needed, "
            "and a change of brightness or contrast is undone but for ε, while no pixel is cut "
            "off.",
            "Raise ε": "That changes what counts as silent, not where the mean lies.",
        },
        correct=1,
    ),
]
