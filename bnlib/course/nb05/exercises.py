"""Exercises and quiz of notebook 05, where the layer goes."""

import numpy as np

from bnlib.course.kit.exercises import (
    FunctionExercise,
    PredictionExercise,
    ValueExercise,
    WrongTurn,
)
from bnlib.course.kit.quiz import Question

# ── 5.2 ─────────────────────────────────────────────────────────────────────────────────────────


def layer(x, weight, gamma, beta, eps):
    h = x @ weight
    h_hat = (h - h.mean(axis=0)) / np.sqrt(h.var(axis=0) + eps)
    return np.maximum(gamma * h_hat + beta, 0)


def _layer_inputs(rng):
    x = rng.normal(size=(rng.integers(7, 12), 5)) + rng.uniform(-2, 2, size=5)
    gamma = rng.uniform(0.5, 2, size=3) * np.array([1, -1, 1])
    return x, rng.normal(size=(5, 3)), gamma, rng.normal(size=3), rng.uniform(0.05, 0.2)


def _norm(h, eps):
    return (h - h.mean(axis=0)) / np.sqrt(h.var(axis=0) + eps)


def _after(x, weight, gamma, beta, eps):
    return gamma * _norm(np.maximum(x @ weight, 0), eps) + beta


def _affine_after_relu(x, weight, gamma, beta, eps):
    return gamma * np.maximum(_norm(x @ weight, eps), 0) + beta


def _input_normalized(x, weight, gamma, beta, eps):
    return np.maximum(gamma * (_norm(x, eps) @ weight) + beta, 0)


def _no_affine(x, weight, gamma, beta, eps):
    return np.maximum(_norm(x @ weight, eps), 0)


# ── 5.3 ─────────────────────────────────────────────────────────────────────────────────────────


def parameters():
    weights = 784 * 100  # no bias: β does its work
    gamma_and_beta = 2 * 100
    return weights + gamma_and_beta


# ── 5.4 ─────────────────────────────────────────────────────────────────────────────────────────


def share_passed():
    # γ x̂ + β > 0 where x̂ > −β/γ = 1. 68.27 % of a bell lie within one deviation of its centre, so
    # half of the rest lies beyond it on one side.
    return (1 - 0.6827) / 2


EXERCISES = [
    PredictionExercise(
        id="5.1",
        title="Before or after?",
        choices=("before", "after", "about equal"),
        hint="The paper argues for *before*. An argument is not a measurement.",
        note="At this size, with ReLU, the two are less than a point apart on average; both learn "
        "sooner than none.",
        praise="Less than a point apart on average; both learn sooner than none.",
        wrong_turns=[
            WrongTurn(
                "before",
                "before",
                "The paper's argument for *before* is sound, and its premise holds here too, but "
                "the difference does not show at this size.",
            ),
            WrongTurn(
                "after",
                "after",
                "With sigmoids *after* is indeed ahead in the next picture. With ReLU the two "
                "cannot be told apart here.",
            ),
        ],
    ),
    FunctionExercise(
        id="5.2",
        title="A layer as in the paper",
        solution=layer,
        inputs=_layer_inputs,
        hint=(
            "Three boxes in a row: `h = x @ weight`, then batch norm with γ and β, then ReLU.",
            "`np.maximum(..., 0)` comes last.",
        ),
        praise="Linear, BatchNorm, ReLU: $g(\\mathrm{BN}(Wx))$.",
        wrong_turns=[
            WrongTurn(
                "after the activation",
                _after,
                "You normalize after ReLU. In the paper ReLU comes last.",
            ),
            WrongTurn(
                "γ and β after ReLU",
                _affine_after_relu,
                "You apply ReLU between $\\hat{x}$ and γ, β. They belong to the normalization: "
                "first $\\gamma\\hat{x} + \\beta$, then ReLU.",
            ),
            WrongTurn(
                "the input normalized",
                _input_normalized,
                "You normalize the input `x`. The paper normalizes `x @ weight`.",
            ),
            WrongTurn(
                "no γ and β",
                _no_affine,
                "γ and β are missing: without them ReLU always cuts at the mean.",
            ),
        ],
    ),
    ValueExercise(
        id="5.3",
        title="Count the parameters",
        solution=parameters,
        rtol=0.0,
        atol=0.5,
        hint=(
            "The linear layer needs no bias when BN follows. What do γ and β add, per feature?",
            "784 · 100 weights, 100 γ, 100 β.",
        ),
        praise="A hundred more than the plain layer, whose bias has become β.",
        wrong_turns=[
            WrongTurn(
                "bias kept",
                78_700,
                "You kept the bias. The mean takes it out again; β does its work.",
            ),
            WrongTurn(
                "running statistics counted",
                78_800,
                "You counted the running mean and variance. They are stored, but not learned.",
            ),
            WrongTurn(
                "weights only",
                78_400,
                "Those are the weights. γ and β are learned, too: one of each per output.",
            ),
            WrongTurn(
                "the plain layer",
                78_500,
                "That is the plain layer with its bias. Where are γ and β?",
            ),
            WrongTurn(
                "one γ and one β",
                78_402,
                "γ and β are vectors: one of each per feature.",
            ),
            WrongTurn(
                "γ and β per input",
                784 * 100 + 2 * 784,
                "γ and β belong to the layer's 100 outputs, not to its 784 inputs.",
            ),
        ],
    ),
    ValueExercise(
        id="5.4",
        title="How much passes ReLU?",
        solution=share_passed,
        rtol=0.05,
        hint=(
            "ReLU passes what is above 0. Where is $\\gamma\\hat{x} + \\beta$ above 0?",
            "Where $\\hat{x} > 1$. 68 % of a bell lie within one deviation on either side; what is "
            "left on one side?",
        ),
        praise="So γ and β decide how sparse a layer is, whatever the weights are.",
        wrong_turns=[
            WrongTurn(
                "the other side",
                0.841,
                "That is the share that is *cut*: below one deviation.",
            ),
            WrongTurn(
                "both tails",
                0.317,
                "That is both tails. ReLU passes only the upper one.",
            ),
            WrongTurn("in percent", 16.0, "Give a share between 0 and 1, not percent."),
            WrongTurn("half", 0.5, "Half passes when β is 0. Here the bell is shifted down."),
        ],
    ),
]

QUIZ = [
    Question(
        "The 2015 paper puts Batch Normalization …",
        {
            "on the layer's input, before the weights": "It discusses that, and decides otherwise.",
            "between the weights and the activation": "$g(\\mathrm{BN}(Wu))$, section 3.2.",
            "after the activation": "Common in later practice, but not the paper's choice.",
        },
        correct=1,
    ),
    Question(
        "Its reason is that …",
        {
            "$Wu$ is more symmetric than $u$": "So mean and variance say more about it.",
            "it is cheaper there": "The cost is the same.",
            "ReLU has no gradient at 0": "That plays no part.",
        },
        correct=0,
    ),
    Question(
        "Which box follows Linear with `bias=False` for good reason?",
        {
            "ReLU": "Without a bias, it could not choose where to cut.",
            "BatchNorm": "It takes out any constant, and has β instead.",
            "Softmax": "A bias per class is useful there.",
        },
        correct=1,
    ),
    Question(
        "On MNIST, with ReLU, this notebook found *before* and *after* …",
        {
            "far apart": "Look at the picture again: the bands overlap.",
            "about equal, both ahead of none": "Say what was measured, not what was expected.",
            "both behind none": "At every rate we tried it is the other way round.",
        },
        correct=1,
    ),
]
