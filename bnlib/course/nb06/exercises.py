"""Exercises and quiz of notebook 06, the backward pass."""

import numpy as np

from bnlib.course.kit.exercises import (
    FunctionExercise,
    PredictionExercise,
    ValueExercise,
    WrongTurn,
)
from bnlib.course.kit.faults import Term, backward_terms
from bnlib.course.kit.properties import each_example_alone, orthogonal_to_x_hat, sums_to_zero
from bnlib.course.kit.quiz import Question

# ── 6.2 ─────────────────────────────────────────────────────────────────────────────────────────


def center_backward(dy):
    return dy - dy.mean(axis=0)


def _center_terms(dy):
    return [
        Term("the example's own term $dy$", dy),
        Term(
            "the term through the mean",
            -dy.mean(axis=0) + 0 * dy,
            {
                "You count what $x_j$ does to its own $y_j$ through the mean; it does the same to "
                "all the other $y_i$: sum over the batch.": -dy / len(dy),
                "Your mean runs over the features. The examples share a mean: `axis=0`.": (
                    -dy.mean(axis=1, keepdims=True)
                ),
            },
        ),
    ]


# ── 6.3 ─────────────────────────────────────────────────────────────────────────────────────────


def batch_norm_backward(dy, x, gamma, eps):
    s = np.sqrt(x.var(axis=0) + eps)
    x_hat = (x - x.mean(axis=0)) / s
    return gamma / s * (dy - dy.mean(axis=0) - x_hat * (dy * x_hat).mean(axis=0))


def _batch(rng):
    shape = (rng.integers(7, 12), 4)
    x = rng.normal(size=shape) * rng.uniform(0.5, 2, size=4) + rng.uniform(-3, 3, size=4)
    gamma = rng.uniform(1.5, 3, size=4) * rng.permutation([1, -1, 1, -1])
    return rng.normal(size=shape), x, gamma, rng.uniform(0.05, 0.2)


def _x_hat(x, eps, **_):
    return (x - x.mean(axis=0)) / np.sqrt(x.var(axis=0) + eps)


def _slope(x, gamma, eps, **_):
    return gamma / np.sqrt(x.var(axis=0) + eps)


def _eps_share(x, eps, **_):
    return eps / (x.var(axis=0) + eps)


def _terms(dy, x, gamma, eps):
    return backward_terms(dy, _x_hat(x, eps), _slope(x, gamma, eps))


# ── 6.4 ─────────────────────────────────────────────────────────────────────────────────────────


def eval_backward(dy, gamma, running_var, eps):
    return dy * gamma / np.sqrt(running_var + eps)


def _eval_inputs(rng):
    variance = rng.uniform(0.5, 4, size=3)
    dy, gamma = rng.normal(size=(rng.integers(5, 10), 3)), rng.uniform(1.5, 3, size=3) * [1, -1, 1]
    return dy, gamma, variance, rng.uniform(0.05, 0.2)


# ── 6.5 ─────────────────────────────────────────────────────────────────────────────────────────


def second_example_only():
    c, s, gamma, m = np.array([-1.0, -1.0, 2.0]), 2.0, 2.0, 3
    dx_hat = gamma * np.array([0.0, 1.0, 0.0])
    x_hat = c / s
    return (dx_hat - dx_hat.sum() / m - x_hat * (dx_hat * x_hat).sum() / m) / s


EXERCISES = [
    PredictionExercise(
        id="6.1",
        title="One example moves",
        choices=("only the first moves", "all move up", "first up, the others down on average"),
        answer="first up, the others down on average",
        wrong_turns=[
            WrongTurn(
                "only the first",
                "only the first moves",
                "The mean of the batch has moved, and every x̂ is measured from it.",
            ),
            WrongTurn(
                "all up",
                "all move up",
                "They cannot: the $\\hat{x}$ of a batch always add up to 0. What one gains, the "
                "others lose.",
            ),
        ],
        hint="What do the $\\hat{x}$ of a batch add up to, before and after?",
        praise="They add up to 0 before and after, so what one gains the others lose together; a "
        "single one of them may still go up.",
        note="The $\\hat{x}$ of a batch add up to 0 before and after: what one gains, the others "
        "lose together. A single one may still go up, when the batch as a whole widens.",
    ),
    FunctionExercise(
        id="6.2",
        title="Back through the mean",
        solution=center_backward,
        inputs=lambda rng: (rng.normal(0.5, 1.0, size=(rng.integers(6, 11), 3)),),
        terms=_center_terms,
        properties=(sums_to_zero(),),
        hint=(
            "$y_i = x_i - \\mu_\\mathcal{B}$. Each $x_j$ reaches the loss on two ways: through its "
            "own $y_j$, and through the mean, which enters every $y_i$ with a minus sign.",
            "The second way gives $-\\frac1m\\sum_i \\partial\\ell/\\partial y_i$.",
        ),
        praise="Subtracting a mean forward subtracts a mean backward.",
        wrong_turns=[
            WrongTurn(
                "the mean as a constant",
                lambda dy: dy,
                "You take the mean as a constant. It moves when $x_j$ moves, and carries that to "
                "every $y_i$.",
            ),
        ],
    ),
    FunctionExercise(
        id="6.3",
        title="The whole backward pass",
        solution=batch_norm_backward,
        inputs=_batch,
        terms=_terms,
        properties=(sums_to_zero(), orthogonal_to_x_hat(_x_hat, _slope, _eps_share)),
        hint=(
            "Start from the closed form: $\\partial\\ell/\\partial x = \\frac{\\gamma}{s}(dy - "
            "\\text{mean of } dy - \\hat{x}\\cdot\\text{mean of } dy\\,\\hat{x})$.",
            "`s = np.sqrt(x.var(axis=0) + eps)`, and every mean runs over `axis=0`.",
        ),
        praise="One line, three terms: itself, the mean's share, the variance's share.",
    ),
    FunctionExercise(
        id="6.4",
        title="When the statistics really are constants",
        solution=eval_backward,
        inputs=_eval_inputs,
        properties=(each_example_alone("dy"),),
        hint=(
            "In inference mode $y = \\gamma (x - \\mathrm{E}[x]) / \\sqrt{\\mathrm{Var}[x] + "
            "\\varepsilon} + \\beta$, and E and Var do not depend on this batch.",
            "It is a straight line. What is its slope?",
        ),
        praise="A straight line: each example keeps its gradient, times the slope.",
        wrong_turns=[
            WrongTurn(
                "training's terms",
                lambda dy, gamma, running_var, eps: (
                    (dy - dy.mean(axis=0)) * gamma / np.sqrt(running_var + eps)
                ),
                "You subtract the mean of `dy`: that is the share of a mean computed from this "
                "batch. Here the mean is a stored number.",
            ),
        ],
    ),
    ValueExercise(
        id="6.5",
        title="By hand",
        solution=second_example_only,
        rtol=5e-3,
        atol=5e-3,
        hint=(
            "$\\gamma\\,dy = (0, 2, 0)$. Its mean is 2/3, and its mean product with $\\hat{x} = "
            "(-½, -½, 1)$ is −1/3.",
            "So $dx = \\frac12\\left((0,2,0) - \\frac23 + \\frac13\\hat{x}\\right)$.",
        ),
        praise="And it adds up to 0, as it must.",
        wrong_turns=[
            WrongTurn(
                "statistics as constants",
                np.array([0.0, 1.0, 0.0]),
                "That is $dy\\,\\gamma/s$, with the statistics taken as constants. It does not add "
                "up to 0.",
            ),
            WrongTurn(
                "no term through the variance",
                np.array([-1 / 3, 2 / 3, -1 / 3]),
                "The term through the mean is there; the one through the variance is missing.",
            ),
            WrongTurn(
                "γ missing",
                np.array([-5, 7, -2]) / 24,
                "Half of what it should be: γ = 2 is missing.",
            ),
            WrongTurn(
                "sign of the variance term",
                np.array([-3, 9, -6]) / 12,
                "The term through the variance has the wrong sign: minus times minus.",
            ),
        ],
    ),
]

QUIZ = [
    Question(
        "The loss is the plain sum of all $y$. What is $\\partial\\ell/\\partial x$?",
        {
            "All ones": "That is $\\partial\\ell/\\partial y$.",
            "γ/s": "Only if the statistics were constants.",
            "Zero": "The $y$ of a channel add up to $m\\beta$ whatever $x$ is. A gradient check "
            "with this loss checks nothing.",
        },
        correct=2,
    ),
    Question(
        "In training mode, $\\partial\\ell/\\partial x$ of a channel always adds up to …",
        {
            "0": "Moving all $x$ alike changes no $y$.",
            "$\\partial\\ell/\\partial\\beta$": "That is the sum of $\\partial\\ell/\\partial y$.",
            "γ": "γ scales the gradient; it does not shift it.",
        },
        correct=0,
    ),
    Question(
        "Your backward pass takes the statistics as constants. What will you see in training?",
        {
            "Nothing: the two terms are small": "The mean's takes out a part of the gradient that "
            "otherwise moves the weights for nothing.",
            "A slower fall of the loss, and biases that grow": "The update has a part that the "
            "next forward pass undoes. The paper warned of it.",
            "NaN at the first step": "It may come to that at high rates, but not at once.",
        },
        correct=1,
    ),
    Question(
        "A finite-difference check with $h = 10^{-12}$ shows an error of 1 %. The likely cause:",
        {
            "A missing term in the gradient": "It would show at $h = 10^{-5}$ just as well.",
            "Rounding": "The two losses agree in almost all their digits, and what is left of "
            "their difference is noise.",
            "Truncation": "The third derivative, which a central difference ignores, spoils a "
            "*large* step.",
        },
        correct=1,
    ),
]
