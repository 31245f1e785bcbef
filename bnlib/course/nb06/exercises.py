"""Exercises and quiz of notebook 06, the backward pass."""

import numpy as np

from bnlib.course.kit.exercises import (
    FunctionExercise,
    PredictionExercise,
    ValueExercise,
    WrongTurn,
)
from bnlib.course.kit.quiz import Question

# ── 6.2 ─────────────────────────────────────────────────────────────────────────────────────────


def center_backward(dy):
    return dy - dy.mean(axis=0)


# ── 6.3 ─────────────────────────────────────────────────────────────────────────────────────────


def batch_norm_backward(dy, x, gamma, eps):
    s = np.sqrt(x.var(axis=0) + eps)
    x_hat = (x - x.mean(axis=0)) / s
    return gamma / s * (dy - dy.mean(axis=0) - x_hat * (dy * x_hat).mean(axis=0))


def _batch(rng):
    x = rng.normal(size=(7, 4)) * rng.uniform(0.5, 2, size=4) + rng.uniform(-3, 3, size=4)
    return rng.normal(size=(7, 4)), x, rng.uniform(1.5, 3, size=4), rng.uniform(0.05, 0.2)


def _parts(dy, x, eps):
    s = np.sqrt(x.var(axis=0) + eps)
    return s, (x - x.mean(axis=0)) / s


def _constants(dy, x, gamma, eps):
    return gamma / _parts(dy, x, eps)[0] * dy


def _no_gamma(dy, x, gamma, eps):
    return batch_norm_backward(dy, x, np.ones_like(gamma), eps)


def _no_mean_term(dy, x, gamma, eps):
    s, x_hat = _parts(dy, x, eps)
    return gamma / s * (dy - x_hat * (dy * x_hat).mean(axis=0))


def _no_variance_term(dy, x, gamma, eps):
    s, _ = _parts(dy, x, eps)
    return gamma / s * (dy - dy.mean(axis=0))


def _sums(dy, x, gamma, eps):
    s, x_hat = _parts(dy, x, eps)
    return gamma / s * (dy - dy.sum(axis=0) - x_hat * (dy * x_hat).sum(axis=0))


def _variance_term_added(dy, x, gamma, eps):
    s, x_hat = _parts(dy, x, eps)
    return gamma / s * (dy - dy.mean(axis=0) + x_hat * (dy * x_hat).mean(axis=0))


def _no_eps(dy, x, gamma, eps):
    return batch_norm_backward(dy, x, gamma, 0.0)


def _unbiased(dy, x, gamma, eps):
    s = np.sqrt(x.var(axis=0, ddof=1) + eps)
    x_hat = (x - x.mean(axis=0)) / s
    return gamma / s * (dy - dy.mean(axis=0) - x_hat * (dy * x_hat).mean(axis=0))


def _eps_outside(dy, x, gamma, eps):
    s = x.std(axis=0) + eps
    x_hat = (x - x.mean(axis=0)) / s
    return gamma / s * (dy - dy.mean(axis=0) - x_hat * (dy * x_hat).mean(axis=0))


def _gamma_twice(dy, x, gamma, eps):
    return gamma * batch_norm_backward(dy, x, gamma, eps)


def _variance_not_root(dy, x, gamma, eps):
    s, _ = _parts(dy, x, eps)
    return batch_norm_backward(dy, x, gamma, eps) / s


# ── 6.4 ─────────────────────────────────────────────────────────────────────────────────────────


def eval_backward(dy, gamma, running_var, eps):
    return dy * gamma / np.sqrt(running_var + eps)


def _eval_inputs(rng):
    variance = rng.uniform(0.5, 4, size=3)
    return rng.normal(size=(5, 3)), rng.uniform(1.5, 3, size=3), variance, rng.uniform(0.05, 0.2)


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
        inputs=lambda rng: (rng.normal(0.5, 1.0, size=(6, 3)),),
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
            WrongTurn(
                "only the own share",
                lambda dy: dy * (1 - 1 / len(dy)),
                "You count what $x_j$ does to its own $y_j$ through the mean; it does the same to "
                "all the other $y_i$.",
            ),
            WrongTurn(
                "sum instead of mean",
                lambda dy: dy - dy.sum(axis=0),
                "The mean passes on only a share $1/m$ of each move: subtract the mean of `dy`, "
                "not its sum.",
            ),
            WrongTurn(
                "mean added",
                lambda dy: dy + dy.mean(axis=0),
                "The mean enters $y$ with a minus sign, and keeps it on the way back.",
            ),
            WrongTurn(
                "mean over the features",
                lambda dy: dy - dy.mean(axis=1, keepdims=True),
                "Your mean runs over the features. The examples share a mean: `axis=0`.",
            ),
        ],
    ),
    FunctionExercise(
        id="6.3",
        title="The whole backward pass",
        solution=batch_norm_backward,
        inputs=_batch,
        hint=(
            "Start from the closed form: $\\partial\\ell/\\partial x = \\frac{\\gamma}{s}(dy - "
            "\\text{mean of } dy - \\hat{x}\\cdot\\text{mean of } dy\\,\\hat{x})$.",
            "`s = np.sqrt(x.var(axis=0) + eps)`, and every mean runs over `axis=0`.",
        ),
        praise="One line, three terms: itself, the mean's share, the variance's share.",
        wrong_turns=[
            WrongTurn(
                "statistics as constants",
                _constants,
                "You take both statistics as constants: two terms are missing, the one through "
                "the mean and the one through the variance.",
            ),
            WrongTurn("γ missing", _no_gamma, "γ is missing: $\\hat{x}$ was multiplied by it."),
            WrongTurn(
                "no term through the mean",
                _no_mean_term,
                "The term through the mean is missing: $-\\text{mean of } dy$.",
            ),
            WrongTurn(
                "no term through the variance",
                _no_variance_term,
                "The term through the variance is missing: $-\\hat{x}\\cdot$ mean of "
                "$dy\\,\\hat{x}$.",
            ),
            WrongTurn(
                "sums instead of means",
                _sums,
                "You subtract sums where means belong: a factor $1/m$ is missing in both terms.",
            ),
            WrongTurn(
                "sign of the variance term",
                _variance_term_added,
                "The term through the variance has the wrong sign: a larger $s$ makes $\\hat{x}$ "
                "*smaller*.",
            ),
            WrongTurn(
                "ε forgotten",
                _no_eps,
                "ε is missing: the $s$ of the backward pass is the $s$ of the forward pass.",
            ),
            WrongTurn("m − 1", _unbiased, "Your variance divides by $m-1$; forward, it was $m$."),
            WrongTurn("ε outside", _eps_outside, "Your `eps` stands outside the root."),
            WrongTurn("γ twice", _gamma_twice, "γ is in it twice: once is enough."),
            WrongTurn(
                "divided by s²",
                _variance_not_root,
                "You divide by $s$ once too often.",
            ),
        ],
    ),
    FunctionExercise(
        id="6.4",
        title="When the statistics really are constants",
        solution=eval_backward,
        inputs=_eval_inputs,
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
            WrongTurn(
                "ε outside the root",
                lambda dy, gamma, running_var, eps: dy * gamma / (np.sqrt(running_var) + eps),
                "Your `eps` stands outside the root.",
            ),
            WrongTurn(
                "γ missing",
                lambda dy, gamma, running_var, eps: dy / np.sqrt(running_var + eps),
                "γ is missing from the slope.",
            ),
            WrongTurn(
                "variance, not its root",
                lambda dy, gamma, running_var, eps: dy * gamma / (running_var + eps),
                "You divide by the variance; the slope has its square root.",
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
