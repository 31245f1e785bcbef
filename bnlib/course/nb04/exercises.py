"""Exercises and quiz of notebook 04, gamma and beta."""

import numpy as np

import bnlib.numpy as bn
import bnlib.reference as reference
from bnlib.course.kit.exercises import (
    FunctionExercise,
    PredictionExercise,
    TestExercise,
    ValueExercise,
    WrongTurn,
)
from bnlib.course.kit.layer import batch_norm
from bnlib.course.kit.properties import order_changes_nothing, shift_changes_nothing
from bnlib.course.kit.quiz import Question

# ── 4.1 ─────────────────────────────────────────────────────────────────────────────────────────


def is_right(batch_norm):
    rng = np.random.default_rng(0)
    x = rng.normal(3.0, [1.0, 2.0, 4.0], size=(6, 3))
    gamma, beta, eps = np.array([0.5, 2.0, 3.0]), np.array([1.0, -2.0, 4.0]), 0.5
    y, _ = batch_norm(x, gamma, beta, eps)
    var_B = x.var(axis=0)
    mean_is_beta = np.allclose(y.mean(axis=0), beta)
    spread = gamma * np.sqrt(var_B / (var_B + eps))  # eps takes a little off
    rises = all(np.corrcoef(x[:, j], y[:, j])[0, 1] > 0.999 for j in range(3))  # a line, upwards
    return bool(mean_is_beta and np.allclose(y.std(axis=0), spread) and rises)


def _textbook(x, gamma, beta, eps):
    return reference.batch_norm(x, gamma, beta, eps), {}


def _library(x, gamma, beta, eps):
    return bn.batch_norm(x, gamma, beta, eps=eps)


def _turned(x, gamma, beta, eps):
    return 2 * beta - reference.batch_norm(x, gamma, beta, eps), {}


def _rows_exchanged(x, gamma, beta, eps):
    return reference.batch_norm(x, gamma, beta, eps)[::-1], {}


def _wrong_layer(axis=0, ddof=0, eps_outside=False, shift_first=False, scale=True, shift=True):
    """A batch norm that goes one wrong way."""

    def batch_norm(x, gamma, beta, eps):
        mu, var = x.mean(axis=axis, keepdims=True), x.var(axis=axis, ddof=ddof, keepdims=True)
        x_hat = (x - mu) / (np.sqrt(var) + eps if eps_outside else np.sqrt(var + eps))
        gamma, beta = gamma if scale else 1.0, beta if shift else 0.0
        return gamma * (x_hat + beta) if shift_first else gamma * x_hat + beta, {}

    return batch_norm


# ── 4.2 ─────────────────────────────────────────────────────────────────────────────────────────


def _gamma_beta(rng, C):
    sign = rng.permutation(np.resize([1.0, -1.0], C))
    return sign * rng.uniform(0.5, 2.0, C), rng.uniform(0.5, 2.0, C) * rng.permutation(sign)


def _on_axes(x, gamma, beta, eps):
    m, x = x.size // x.shape[1], np.moveaxis(x, 1, -1)
    c = x - x.mean(axis=tuple(range(x.ndim - 1)))
    rows = c.reshape(m, -1)
    s = np.sqrt(np.einsum("mc,mc->c", rows, rows) / m + eps)
    y = np.moveaxis(c * (gamma / s) + beta, -1, 1)
    return y, {"c": rows, "s": s, "x_hat": rows / s, "gamma": gamma, "mine": m}


def _rows_or_images(rng):
    N = rng.integers(6, 11)
    shape = (N, 4) if rng.random() < 0.5 else (N, 4, 3, 5)
    line_up = (1, -1) + (1,) * (len(shape) - 2)
    scale = rng.permutation([0.1, *rng.uniform(0.5, 3.0, size=3)])  # one variance below eps
    scale = scale.reshape(line_up)
    centre = rng.uniform(-4.0, 4.0, size=4).reshape(line_up)
    of_example = rng.normal(size=(N,) + (1,) * (len(shape) - 1))  # examples differ as wholes
    x = (rng.normal(size=shape) + of_example) * scale + centre
    return x, *_gamma_beta(rng, 4), rng.uniform(0.05, 0.2)


def _reshaped_without_transpose(x, gamma, beta, eps):
    if x.ndim == 2:
        return batch_norm(x, gamma, beta, eps)
    y, cache = batch_norm(x.reshape(-1, x.shape[1]), gamma, beta, eps)
    return y.reshape(x.shape), cache


def _back_without_transpose(x, gamma, beta, eps):
    y, cache = batch_norm(x, gamma, beta, eps)
    if x.ndim == 4:
        y = y.transpose(0, 2, 3, 1).reshape(x.shape)
    return y, cache


# ── 4.5 ─────────────────────────────────────────────────────────────────────────────────────────


def undo(y, gamma, beta, mu_B, var_B, eps):
    x_hat = (y - beta) / gamma  # the last step first
    return x_hat * np.sqrt(var_B + eps) + mu_B


def _normalized(rng):
    gamma, beta = _gamma_beta(rng, 5)
    x = rng.normal(rng.uniform(-3, 3, 5), rng.uniform(0.5, 2.0, 5), (8, 5))
    mu_B, var_B, eps = x.mean(axis=0), x.var(axis=0), rng.uniform(0.05, 0.2)
    return gamma * (x - mu_B) / np.sqrt(var_B + eps) + beta, gamma, beta, mu_B, var_B, eps


# ── 4.3 ─────────────────────────────────────────────────────────────────────────────────────────


def parameter_gradients(dy, x_hat):
    dgamma = (dy * x_hat).sum(axis=(0, 2, 3))  # every place that gamma of this channel touched
    dbeta = dy.sum(axis=(0, 2, 3))
    return dgamma, dbeta


def _dy_and_x_hat(rng):
    shape = (rng.integers(6, 11), 4, 3, 5)
    dy = rng.normal(size=shape) + rng.normal(size=(1, 4, 1, 1))
    x_hat = reference.batch_norm(rng.normal(size=shape), np.ones(4), np.zeros(4), 1e-5)
    return dy, x_hat


# ── 4.6 ─────────────────────────────────────────────────────────────────────────────────────────


def rate_factor():
    # The gradient is a tenth, so the old rate would move W by a tenth of what it did.
    # W itself is ten times as large: the same fraction of it is ten times as far.
    # One step must reach 10 · 10 times as far as it would.
    return 10 * 10


EXERCISES = [
    TestExercise(
        id="4.1",
        title="Write the test",
        solution=is_right,
        right={
            "bnlib.reference": _textbook,
            "bnlib.numpy": _library,
            "the course's own": batch_norm,
        },
        wrong=[
            WrongTurn(
                "γ left out",
                _wrong_layer(scale=False),
                "A layer that leaves out $\\gamma$ passes your test. Which $\\gamma$ do you try "
                "it with?",
            ),
            WrongTurn(
                "β left out",
                _wrong_layer(shift=False),
                "A layer that leaves out $\\beta$ passes your test. Which $\\beta$ do you try "
                "it with?",
            ),
            WrongTurn(
                "shift before scale",
                _wrong_layer(shift_first=True),
                "A layer passes your test that shifts before it scales, "
                "$\\gamma(\\hat{x}+\\beta)$.",
            ),
            WrongTurn(
                "m − 1",
                _wrong_layer(ddof=1),
                "A layer passes your test whose variance divides by $m-1$. How exactly do you "
                "compare "
                "the deviation, and how large is your batch?",
            ),
            WrongTurn(
                "ε outside the root",
                _wrong_layer(eps_outside=True),
                "A layer passes your test whose $\\varepsilon$ stands outside the root. How large "
                "is "
                "yours, beside the variance of your `x`?",
            ),
            WrongTurn(
                "each example by itself",
                _wrong_layer(axis=1),
                "A layer passes your test that normalizes each example over its features.",
            ),
            WrongTurn(
                "one mean for all features",
                _wrong_layer(axis=None),
                "A layer passes your test that takes one mean and one variance for all features. "
                "Do "
                "the features of your `x` differ in mean and scale?",
            ),
            WrongTurn(
                "sign turned",
                _turned,
                "A layer passes your test that turns $\\hat{x}$ around: mean and deviation do not "
                "see "
                "it. Does `y` rise with `x`?",
            ),
            WrongTurn(
                "rows exchanged",
                _rows_exchanged,
                "A layer passes your test that returns the right rows in the wrong order.",
            ),
        ],
        hint=(
            "Choose features of different scale, a $\\gamma$ and a $\\beta$ that are neither 1 "
            "nor 0, and an $\\varepsilon$ that is not tiny.",
            "Down the examples, `y` has mean $\\beta$. And its deviation? That of $\\hat{x}$ is "
            "$\\sqrt{\\sigma^2/(\\sigma^2+\\varepsilon)}$.",
        ),
        praise="Three properties, one example, nine mistakes caught.",
    ),
    FunctionExercise(
        id="4.2",
        title="The whole layer",
        keeps="batch_norm",
        solution=batch_norm,
        variants=(_on_axes,),
        inputs=_rows_or_images,
        returns=("y", "cache"),
        steps=("c", "s", "x_hat", "y"),
        properties=(
            shift_changes_nothing(of="y"),
            order_changes_nothing(of="y"),
        ),
        hint=(
            "For $(N, D)$ four lines, all down the rows (`axis=0`), and the dict.",
            "Images: `x.transpose(0, 2, 3, 1)` puts the channel last; `.reshape(-1, C)` then makes "
            "one row of each place.",
            "Back: `y.reshape(N, H, W, C).transpose(0, 3, 1, 2)`, the two steps undone in the "
            "reverse order.",
        ),
        praise="The forward half of your own layer, with what the backward pass needs.",
        wrong_turns=[
            WrongTurn(
                "reshape without transpose",
                _reshaped_without_transpose,
                "Rows are right. For images `reshape(-1, C)` alone mixes channels and places: "
                "first the channel must become the last axis.",
            ),
            WrongTurn(
                "back by reshape alone",
                _back_without_transpose,
                "Rows are right. On the way back to an image the rows have shape $(N, H, W, C)$ "
                "first; then the channel goes to its place.",
            ),
        ],
    ),
    PredictionExercise(
        id="4.4",
        title="Ten times the weights",
        choices=("ten times as large", "the same", "a tenth", "zero"),
        answer="a tenth",
        hint="Change one weight by 1 %, once when all are small and once when all are ten times as "
        "large. The loss changes alike. How far did the weight move in each case?",
        praise="Ten times the weights, and each of them matters a tenth as much.",
        note="Turn a unit's weights by one degree, and the loss changes as much as before. But "
        "the weights are ten times as long now, and a degree is ten times as far to go. Per unit "
        "of way the loss changes a tenth as much, and that is the gradient.",
        wrong_turns=[
            WrongTurn(
                "ten times as large",
                "ten times as large",
                "That would hold if the factor reached the loss. It does not: the layer divides "
                "it out. What is left is that 0.01 more on a weight matters a tenth as much when "
                "the weight is ten times as large.",
            ),
            WrongTurn(
                "the same",
                "the same",
                "The *output* is the same, the slope is not: moving a weight by 0.01 is a tenth as "
                "large a change to a weight that is ten times as large.",
            ),
            WrongTurn(
                "zero",
                "zero",
                "Growing *all* weights of a unit together changes nothing, so along that one "
                "direction the slope is zero. Along all others it is not: turning the weights "
                "changes what the unit looks for.",
            ),
        ],
    ),
    FunctionExercise(
        id="4.5",
        title="Run it backwards",
        solution=undo,
        inputs=_normalized,
        statistics_axis=0,
        hint=(
            "Solve $y = \\gamma\\hat{x} + \\beta$ for $\\hat{x}$. Then solve line three of "
            "Algorithm 1 for $x$.",
            "Undo the last step first: take $\\beta$ away, divide by "
            "$\\gamma$, multiply by $\\sqrt{\\sigma^2_\\mathcal{B}+\\varepsilon}$, add "
            "$\\mu_\\mathcal{B}$.",
        ),
        praise="With $\\mu_\\mathcal{B}$ and $\\sigma^2_\\mathcal{B}$ kept, nothing is lost.",
        note="It fails for one $\\gamma$ only: where $\\gamma = 0$, every $y$ is $\\beta$, and the "
        "feature is gone.",
        wrong_turns=[
            WrongTurn(
                "beta taken away after the division",
                lambda y, gamma, beta, mu_B, var_B, eps: (
                    (y / gamma - beta) * np.sqrt(var_B + eps) + mu_B
                ),
                "You divide by $\\gamma$ first and subtract $\\beta$ then. The shift came last, so "
                "it goes first.",
            ),
            WrongTurn(
                "the forward pass again",
                lambda y, gamma, beta, mu_B, var_B, eps: (
                    gamma * (y - mu_B) / np.sqrt(var_B + eps) + beta
                ),
                "That normalizes `y` once more. Run the steps in the other direction.",
            ),
            WrongTurn(
                "ε forgotten",
                lambda y, gamma, beta, mu_B, var_B, eps: undo(y, gamma, beta, mu_B, var_B, 0.0),
                "You do not use `eps`. The layer divided by "
                "$\\sqrt{\\sigma^2_\\mathcal{B}+\\varepsilon}$: multiply by the same root, or "
                "every $x$ comes back too near the mean.",
            ),
        ],
    ),
    FunctionExercise(
        id="4.3",
        title="Gradients for images",
        keeps="parameter_gradients",
        solution=parameter_gradients,
        variants=(
            lambda dy, x_hat: (np.einsum("nchw,nchw->c", dy, x_hat), np.einsum("nchw->c", dy)),
        ),
        inputs=_dy_and_x_hat,
        returns=("dgamma", "dbeta"),
        hint=(
            "One $\\gamma$ scales all values of its channel. Where does a small change of it show?",
            "In $N \\cdot H \\cdot W$ places, and their effects add up: `sum(axis=(0, 2, 3))`.",
        ),
        praise="One sum per channel, over all that its $\\gamma$ and $\\beta$ touched.",
        wrong_turns=[
            WrongTurn(
                "mean instead of sum",
                lambda dy, x_hat: ((dy * x_hat).mean(axis=(0, 2, 3)), dy.mean(axis=(0, 2, 3))),
                "You average. The effects of one $\\gamma$ on all its places add up: take the sum. "
                "(If the loss is a mean, its 1/N is in `dy` already.)",
            ),
            WrongTurn(
                "x_hat forgotten",
                lambda dy, x_hat: (dy.sum(axis=(0, 2, 3)), dy.sum(axis=(0, 2, 3))),
                "`dbeta` is right. In $y = \\gamma\\hat{x} + \\beta$ the factor beside "
                "$\\gamma$ is $\\hat{x}$, so `dgamma` sums `dy * x_hat`.",
            ),
            WrongTurn(
                "product of the sums",
                lambda dy, x_hat: (
                    dy.sum(axis=(0, 2, 3)) * x_hat.sum(axis=(0, 2, 3)),
                    dy.sum(axis=(0, 2, 3)),
                ),
                "`dbeta` is right. For `dgamma` multiply first, place by place, and sum then: the "
                "sum of $\\hat{x}$ alone is zero.",
            ),
            WrongTurn(
                "not summed",
                lambda dy, x_hat: (dy * x_hat, dy),
                "These are the parts that each place adds. There is one $\\gamma$ per channel: sum "
                "them up, to shape $(C,)$.",
            ),
        ],
    ),
    ValueExercise(
        id="4.6",
        title="The learning rate that fits",
        solution=rate_factor,
        rtol=1e-2,
        hint=(
            "A step is the learning rate times the gradient. How large is it beside $W$, before "
            "and after?",
            "The gradient is a tenth, the weights are ten times as large. How much smaller has "
            "the step become, as a fraction of the weights?",
        ),
        praise="So weights that grow take smaller and smaller steps, relative to their size.",
        note="In general $a^2$: what counts behind Batch Normalization is the learning rate over "
        "the squared length of the weights (van Laarhoven 2017).",
        wrong_turns=[
            WrongTurn(
                "the gradient alone",
                10,
                "That makes the step as *long* as before. But the weights are ten times as large, "
                "so beside them it is still a tenth.",
            ),
            WrongTurn(
                "nothing to do",
                1,
                "The output does not depend on the factor, but the steps do: the gradient is a "
                "tenth, "
                "and the weights are ten times as large.",
            ),
            WrongTurn(
                "the other way round",
                1 / 100,
                "The right size, in the wrong direction: the steps have become too *small*.",
            ),
            WrongTurn(
                "smaller, by ten",
                1 / 10,
                "Larger weights do not ask for a smaller rate here: the gradient has shrunk "
                "already.",
            ),
        ],
    ),
]

QUIZ = [
    Question(
        "$\\gamma = -3$ and $\\beta = 2$. What are mean and standard deviation of $y$ over the "
        "batch ($\\varepsilon$ aside)?",
        {
            "2 and 3": "$\\beta$ is the mean, $|\\gamma|$ the deviation, whatever came in.",
            "2 and −3": "A standard deviation has no sign; the minus turns the feature around.",
            "−3 and 2": "$\\gamma$ scales and $\\beta$ shifts.",
            "that depends on x": "$\\hat{x}$ has mean 0 and deviation 1 for every $x$.",
        },
        correct=0,
    ),
    Question(
        "$\\gamma = \\sqrt{\\sigma^2_\\mathcal{B}+\\varepsilon}$ and $\\beta = \\mu_\\mathcal{B}$, "
        "taken from one batch, restore that batch. What do they do to the next one?",
        {
            "restore it, too": "The next batch has another $\\mu_\\mathcal{B}$ and another "
            "$\\sigma_\\mathcal{B}$.",
            "restore it nearly": "Its own statistics differ from the first batch's by about one "
            "part in $\\sqrt{m}$: notebook 03.",
            "nothing": "They are parameters: they act on every batch alike.",
        },
        correct=1,
    ),
    Question(
        "A batch has shape $(32, 64, 14, 14)$. How many parameters does Batch Normalization learn?",
        {
            "2": "Each channel has a pair of its own.",
            "128": "One $\\gamma$ and one $\\beta$ for each of the 64 channels.",
            "128 · 14 · 14": "A channel has one pair for all places of the picture.",
            "64 · 32": "The batch size appears in no parameter's shape.",
        },
        correct=1,
    ),
    Question(
        "The layer before Batch Normalization has a bias. Its gradient is …",
        {
            "the same as $\\beta$'s": "$\\beta$ is added after the mean was taken away; the bias "
            "before.",
            "zero": "A constant is part of $\\mu_\\mathcal{B}$, and goes with it.",
            "small, but it helps a little": "What is left of it is rounding error.",
        },
        correct=1,
    ),
    Question(
        "All weights before Batch Normalization are multiplied by −2. The output is restored by …",
        {
            "$\\gamma \\to -\\gamma$": "The 2 cancels by itself, the sign does not: $\\hat{x}$ "
            "turns around, and so must $\\gamma$.",
            "$\\gamma \\to -\\gamma/2$": "The factor 2 is in $\\sigma_\\mathcal{B}$ as well, and "
            "cancels there.",
            "nothing, it never changed": "True for $+2$. A negative factor turns it around.",
            "$\\gamma \\to -\\gamma$ and $\\beta \\to -\\beta$": "$\\beta$ is added afterwards and "
            "does not see the weights.",
        },
        correct=0,
    ),
    Question(
        "Why does a sigmoid need $\\gamma$ more than a ReLU does?",
        {
            "a sigmoid saturates otherwise": "At deviation 1 it hardly does; the trouble is the "
            "opposite.",
            "the weights after a ReLU can do the same job": "$\\gamma\\max(\\hat{x}, 0)$ is "
            "$\\max(\\gamma\\hat{x}, 0)$ for $\\gamma > 0$. A sigmoid of variance 1 is close to a "
            "line, and 600 steps do not find the weights that would make much of its slight bend.",
            "a ReLU has no parameters": "Neither has a sigmoid.",
        },
        correct=1,
    ),
]
