"""A bank of forty exam questions with answers and marks, as Markdown and as Moodle XML.

usage: python .make/questions.py [--seed 1] [FOLDER]      into .out/handout/questions

Twenty-five ask for a number: the numbers in them are drawn by the seed, the answer is computed, and
a known wrong turn gets half of two or three marks, and nothing of one: there the wrong turn is what
was asked. Most are exercises of the notebooks with other numbers. Ten are drawn from the quizzes,
three from the open questions for a class, two want a word or two.
"""

import argparse
import importlib
import json
import math
import random
import re
import sys
import xml.etree.ElementTree as ET
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))  # this checkout's bnlib
OUT = ROOT / ".out" / "handout" / "questions"
HALF = 50  # per cent of two or three marks, for a wrong turn that we know


@dataclass
class Answer:
    """text: a number for a numerical question; share: per cent of the marks; says: feedback."""

    text: object
    share: float
    says: str = ""
    tolerance: float = 0.0


@dataclass
class Question:
    """kind: numerical, multichoice, shortanswer or essay; why: what is shown with the answer."""

    notebook: str
    name: str
    kind: str
    text: str
    answers: list
    marks: int
    why: str

    @property
    def right(self):
        return [answer for answer in self.answers if answer.share == 100]


# ---- with numbers: each function draws some and returns (text, value, why, wrong turns) ----------

NUMBERS = []  # (notebook, name, marks, function)


def asks(notebook, name, marks=2):
    def register(function):
        NUMBERS.append((notebook, name, marks, function))
        return function

    return register


@asks("01", "the slope of sigmoids", 1)
def _(draw):
    n = draw.choice([3, 4, 5, 7])
    text = (
        f"An error comes down through {n} sigmoid layers. Each multiplies it by the slope of its "
        "sigmoids; leave the weights out. At best, what share of it is left at the bottom?"
    )
    wrong = [(0.5**n, "The largest slope of a sigmoid is 1/4, not 1/2, its value there.")]
    return text, 0.25**n, f"The slope is at most 1/4, where the input is 0: $(1/4)^{n}$.", wrong


@asks("02", "standardize a test value")
def _(draw):
    mean, deviation, z = draw.randint(20, 90), draw.choice([4, 5, 8]), draw.choice([-1.5, 0.5, 2.5])
    value, batch = mean + z * deviation, mean + draw.choice([-7, 9])
    text = (
        f"A feature of the training set has mean {mean} and standard deviation {deviation}. In the "
        f"test set its mean is {batch}. Standardize the test value {value:g}."
    )
    why = f"With the training set's numbers: $({value:g} - {mean})/{deviation}$."
    wrong = [
        (
            (value - batch) / deviation,
            "That is the test set's mean. The model was trained with the training set's.",
        ),
        ((value - mean) / deviation**2, "You divide by the variance."),
    ]
    return text, z, why, wrong


@asks("02", "condition number from a correlation")
def _(draw):
    rho = draw.choice([0.5, 0.6, 0.75, 0.9])
    text = (
        f"Two features are standardized, and their correlation is {rho}. So the matrix $H$ has 1 "
        f"and 1 on its diagonal and {rho} beside it. What is its condition number $\\kappa$?"
    )
    why = f"The eigenvalues are $1 + {rho}$ and $1 - {rho}$; $\\kappa$ is their quotient."
    wrong = [
        (1 / (1 - rho), f"The larger eigenvalue is $1 + {rho}$, not 1."),
        (((1 + rho) / (1 - rho)) ** 0.5, "That is the square root of $\\kappa$."),
    ]
    return text, (1 + rho) / (1 - rho), why, wrong


@asks("02", "the stable rate", 1)
def _(draw):
    low, high = draw.choice([(0.5, 4), (0.1, 5), (1, 16), (0.25, 10)])
    text = (
        f"The eigenvalues of $H$, the second derivative of a quadratic loss, are {low} and {high}. "
        "Below which learning rate is gradient descent stable?"
    )
    wrong = [
        (1 / high, "At $1/\\lambda_{\\max}$ the steepest direction is done in one step; twice that "
         "is the border."),
        (2 / low, "The steepest direction decides, not the flattest."),
    ]  # fmt: skip
    return (
        text,
        2 / high,
        "A step multiplies the error by $1 - \\eta\\lambda$, which must stay above $-1$ for the "
        "largest $\\lambda$, too: $\\eta < 2/\\lambda_{\\max}$.",
        wrong,
    )


@asks("03", "the spread of a batch mean")
def _(draw):
    sigma, m = draw.choice([2, 3, 5]), draw.choice([16, 36, 64, 144])
    text = (
        f"A unit's values have standard deviation {sigma}. What is the standard deviation of the "
        f"mean of {m} values that are drawn independently?"
    )
    wrong = [
        (sigma / m, f"The variance is divided by {m}, so the deviation by its root."),
        (sigma**2 / m, "That is the variance of the mean."),
    ]
    return text, sigma / m**0.5, "$\\sigma/\\sqrt{m}$.", wrong


@asks("03", "the lone pixel")
def _(draw):
    m = draw.choice([5, 10, 17, 26, 37])
    text = (
        f"A pixel is lit in one digit of a batch of {m} and black in all others. Leave out "
        "$\\varepsilon$. What is $\\hat{x}$ of the lit one?"
    )
    wrong = [
        (m**0.5, "Nearly: the mean is not 0, the lit pixel is part of it."),
        ((m - 1) / m**0.5, "You divide by the variance with $m - 1$; the batch's has $m$."),
    ]
    why = f"Mean $1/m$, variance $(1/m)(1 - 1/m)$ for brightness 1: $\\sqrt{{m-1}}$, $m = {m}$."
    return text, (m - 1) ** 0.5, why, wrong


@asks("03", "mean and variance by hand")
def _(draw):
    values = draw.choice([[1, 3, 7, 9], [2, 4, 6, 12], [0, 2, 5, 9], [1, 2, 3, 10]])
    mean = sum(values) / 4
    squares = sum((v - mean) ** 2 for v in values)
    text = (
        f"A batch holds the four values {', '.join(map(str, values))} of one feature. Which "
        "variance does Batch Normalization divide by in training (without $\\varepsilon$)?"
    )
    wrong = [
        (squares / 3, "Divided by $m - 1$: that is what the running variance is given."),
        ((squares / 4) ** 0.5, "That is the standard deviation."),
    ]
    return text, squares / 4, f"The mean is {mean:g}; squared distances, divided by $m = 4$.", wrong


@asks("04", "forward by hand")
def _(draw):
    centre, half = draw.randint(-4, 6), draw.choice([2, 3, 5])
    gamma, beta = draw.choice([(2, -1), (-3, 2), (4, 1)])
    x = [centre - half, centre + half, centre - half, centre + half]
    text = (
        f"A batch holds ${', '.join(map(str, x))}$ of one feature; $\\gamma = {gamma}$, "
        f"$\\beta = {beta}$, $\\varepsilon = 0$. What does Batch Normalization give for the second "
        "value in training?"
    )
    wrong = [
        (gamma * (x[1] - centre) / half**2 + beta, "You divide by the variance, not by its root."),
        (gamma * 1 * 1.0, "$\\beta$ is missing."),
    ]
    why = f"Mean {centre}, deviation {half}: $\\hat{{x}} = 1$, and $\\gamma + \\beta$."
    return text, gamma + beta, why, wrong


@asks("04", "the rate after growth", 1)
def _(draw):
    a = draw.choice([3, 4, 5, 8])
    text = (
        f"All weights of a layer before Batch Normalization have become {a} times as large. By "
        "what factor must the learning rate change, so that one step again changes the weights by "
        "the same fraction of their size?"
    )
    wrong = [
        (a, f"The gradient has become {a} times smaller, too."),
        (1 / a**2, "The other way round: longer weights turn less."),
        (1 / a, "The other way round: longer weights turn less."),
    ]
    return text, a**2, f"Weights {a} times as long, a gradient {a} times smaller: {a} · {a}.", wrong


@asks("05", "count what is learned")
def _(draw):
    n_in, n_out = draw.choice([100, 256, 300]), draw.choice([20, 60, 80])
    weights = n_in * n_out
    text = (
        f"A fully connected layer from {n_in} inputs to {n_out} outputs is followed by Batch "
        "Normalization and ReLU, as in the 2015 paper, without a redundant parameter. How many "
        "numbers does training change?"
    )
    wrong = [
        (weights + 3 * n_out, "You kept the bias. The mean takes it out again; β does its work."),
        (weights + 4 * n_out, "The running statistics are stored, but not learned."),
        (weights, "Those are the weights. γ and β are learned, too: one of each per output."),
        (weights + 2 * n_in, "γ and β belong to the outputs, not to the inputs."),
        (weights + 2, "γ and β are vectors: one of each per feature."),
    ]
    return text, weights + 2 * n_out, f"{n_in} · {n_out} weights, {n_out} γ, {n_out} β.", wrong


@asks("05", "what ReLU lets pass")
def _(draw):
    beta, gamma = draw.choice([(-1, 2), (1, 2), (-2, 2), (2, 1), (-2, 1)])
    inside = {0.5: 0.3829, 1.0: 0.6827, 2.0: 0.9545}
    border = -beta / gamma
    below = (1 - inside[abs(border)]) / 2
    value = below if border > 0 else 1 - below
    text = (
        f"Batch Normalization with $\\gamma = {gamma}$ and $\\beta = {beta}$ stands before ReLU. "
        "Take $\\hat{x}$ to follow a bell curve: 38.29 % of it lie within half a deviation of its "
        "centre, 68.27 % within one, 95.45 % within two. What share (0 to 1) does ReLU let "
        "pass?"
    )
    wrong = [
        (1 - value, "That is the share that is cut."),
        (1 - inside[abs(border)], "That is both tails; ReLU looks at one."),
    ]
    return text, value, f"$\\gamma\\hat{{x}} + \\beta > 0$ where $\\hat{{x}} > {border:g}$.", wrong


@asks("06", "dx by hand", 3)
def _(draw):
    gamma, s = draw.choice([(2, 4), (3, 2), (4, 8)])
    dy = draw.choice([[6, 2, 4, 0], [7, 1, 3, -3], [8, 0, 2, 2]])
    x_hat = [1, -1, 1, -1]
    mean, by_x = sum(dy) / 4, sum(d * x for d, x in zip(dy, x_hat, strict=True)) / 4
    text = (
        "A batch of four has $\\hat{x} = (1, -1, 1, -1)$ and the standard deviation "
        f"${s}$ ($\\varepsilon = 0$); $\\gamma = {gamma}$. From above comes "
        f"$\\partial\\ell/\\partial y = ({', '.join(map(str, dy))})$. What is "
        "$\\partial\\ell/\\partial x_1$ of the first example?"
    )
    wrong = [
        (gamma / s * dy[0], "The statistics are not constants: two terms are missing."),
        (gamma / s * (dy[0] - mean), "The term through the variance is missing."),
        (gamma / s * (dy[0] - by_x), "The term through the mean is missing."),
    ]
    why = (
        "$\\frac{\\gamma}{s}(dy - \\overline{dy} - \\hat{x}\\,\\overline{dy\\,\\hat{x}})$, "
        f"with the means {mean:g} and {by_x:g}."
    )
    return text, gamma / s * (dy[0] - mean - x_hat[0] * by_x), why, wrong


@asks("06", "the gradient of gamma")
def _(draw):
    dy = draw.choice([[2, 1, -3, 4], [5, -1, 2, 2], [3, 3, -2, 0]])
    value = dy[0] - dy[1] + dy[2] - dy[3]
    text = (
        "A batch of four has $\\hat{x} = (1, -1, 1, -1)$, and from above comes "
        f"$\\partial\\ell/\\partial y = ({', '.join(map(str, dy))})$. What is "
        "$\\partial\\ell/\\partial\\gamma$?"
    )
    wrong = [
        (value / 4, "You took the mean; the gradient is the sum over the batch."),
        (sum(dy), "That is $\\partial\\ell/\\partial\\beta$."),
    ]
    return text, value, "$\\sum dy\\,\\hat{x}$.", wrong


@asks("07", "a running mean on its way")
def _(draw):
    target, p, k = draw.choice([5, 8, 20]), draw.choice([0.1, 0.2]), draw.choice([2, 3, 4])
    text = (
        f"A running mean starts at 0, with PyTorch's momentum {p}. Every batch has the mean "
        f"{target}. Where does it stand after {k} batches?"
    )
    wrong = [
        (target * (1 - p**k), "Momentum weighs the new value in PyTorch, not the old one."),
        (target * k * p, "Each step goes a part of what is left, not of the whole way."),
    ]
    why = f"Each batch multiplies what is left by {1 - p:g}: ${target}(1 - {1 - p:g}^{k})$."
    return text, target * (1 - (1 - p) ** k), why, wrong


@asks("07", "how long the start value counts", 1)
def _(draw):
    p, share = draw.choice([0.05, 0.1, 0.2]), draw.choice([0.5, 0.05, 0.001])
    exact = math.log(share) / math.log(1 - p)
    text = (
        f"PyTorch's momentum is {p}. After how many updates (a whole number) does the start value "
        f"of a running statistic weigh less than {share * 100:g} % for the first time?"
    )
    wrong = [(math.floor(exact), "One too early: then it still weighs a little more.")]
    return text, math.floor(exact) + 1, f"The least $n$ with ${1 - p:g}^n < {share:g}$.", wrong


@asks("07", "fold into the weights")
def _(draw):
    w, gamma, root = draw.choice([(6, 2, 3), (5, 3, 5), (-4, 3, 2), (8, -1, 4)])
    text = (
        f"In evaluation mode a linear layer with the single weight {w} is followed by Batch "
        f"Normalization with $\\gamma = {gamma}$, running variance {root**2} and "
        "$\\varepsilon = 0$. Which weight has the one linear layer that does the work of both?"
    )
    wrong = [
        (w * gamma / root**2, "You divide by the variance, not by its root."),
        (w * gamma, "The division by the deviation is missing."),
        (w / root, "$\\gamma$ is missing."),
    ]
    return text, w * gamma / root, "$w\\gamma/\\sqrt{\\mathrm{Var}}$.", wrong


@asks("07", "fold into the bias", 3)
def _(draw):
    b, mean, gamma, root, beta = draw.choice(
        [(1, 4, 2, 3, 5), (2, 8, 3, 2, 4), (2, -6, 1, 4, 2), (3, 1, -2, 4, 1)]
    )
    text = (
        f"In evaluation mode a linear layer with bias {b} is followed by Batch Normalization with "
        f"running mean {mean}, running variance {root**2}, $\\gamma = {gamma}$, $\\beta = {beta}$ "
        "and $\\varepsilon = 0$. Which bias has the one linear layer that does the work of both?"
    )
    wrong = [
        (beta - mean * gamma / root, "The old bias goes through Batch Normalization, too."),
        (b + beta - mean * gamma / root, "The old bias is scaled like all the rest."),
        ((b - mean) * gamma / root, "$\\beta$ is missing."),
    ]
    why = "$\\beta + (b - \\mathrm{mean})\\,\\gamma/\\sqrt{\\mathrm{Var}}$."
    return text, beta + (b - mean) * gamma / root, why, wrong


@asks("09", "neighbours in half precision", 1)
def _(draw):
    name, bits = draw.choice([("bfloat16", 7), ("float16", 10)])
    power = draw.choice([9, 10, 11])
    text = (
        f"{name} keeps {bits} bits after the leading one. How far apart are neighbouring numbers "
        f"just above {2**power:,}?"
    )
    wrong = [
        (2.0 ** (power - bits + 1), f"The leading one is not among the {bits} bits."),
        (2.0 ** (power - bits - 1), "That is half of it: the largest error of rounding there."),
        (2.0**-bits, f"That is the step just above 1; here it is {2**power:,} times as large."),
    ]
    return text, 2.0 ** (power - bits), f"$2^{{{power} - {bits}}}$.", wrong


@asks("10", "values behind a mean", 1)
def _(draw):
    N, C, H = draw.choice([8, 16, 32]), draw.choice([12, 24, 64]), draw.choice([7, 14])
    text = (
        f"A batch has shape $(N, C, H, W) = ({N}, {C}, {H}, {H})$. Over how many values does Batch "
        "Normalization take each of its means?"
    )
    wrong = [
        (N, "All places of a map belong to its channel's statistics."),
        (N * C * H * H, "Each channel has its own mean."),
        (H * H, "That would be instance normalization."),
        (C * H * H, "That would be layer normalization."),
    ]
    return text, N * H * H, "$m = N \\cdot H \\cdot W$.", wrong


@asks("10", "count a convolution and its BN")
def _(draw):
    c_in, c_out, k = draw.choice([8, 16, 24]), draw.choice([20, 32, 48]), draw.choice([3, 5])
    weights = c_in * c_out * k * k
    text = (
        f"A {k} × {k} convolution from {c_in} to {c_out} channels is followed by Batch "
        "Normalization. Written as they should be, how many numbers does training change in both?"
    )
    wrong = [
        (weights + 3 * c_out, "A convolution in front of Batch Normalization needs no bias."),
        (weights + 4 * c_out, "The running statistics are stored, but not learned."),
        (weights + 2 * c_in, "γ and β belong to the channels that come out."),
    ]
    why = f"{c_in} · {c_out} · {k} · {k} weights, {c_out} γ, {c_out} β."
    return text, weights + 2 * c_out, why, wrong


@asks("12", "the variance of a joint batch", 3)
def _(draw):
    one, two = draw.choice([(10, 30), (20, 60), (40, 10)])
    mean, other = draw.choice([(0, 4), (1, 5), (2, -2)])
    var, more = draw.choice([(1, 3), (2, 5), (4, 2)])
    m = one + two
    joint = (one * mean + two * other) / m
    inside = (one * var + two * more) / m
    between = (one * (mean - joint) ** 2 + two * (other - joint) ** 2) / m
    text = (
        f"Two devices hold {one} and {two} values of a channel, with means {mean} and {other} and "
        f"variances {var} and {more}. What is the variance of the joint batch? (All variances are "
        "sums divided by the number of values, not by one less.)"
    )
    wrong = [
        (inside, "What the means differ by is part of the joint variance."),
        ((var + more) / 2, "The devices count by their numbers of values, and their means differ."),
    ]
    why = f"The mean is {joint:g}; inside the shares {inside:g}, between them {between:g}."
    return text, inside + between, why, wrong


@asks("12", "accumulated gradients", 1)
def _(draw):
    devices, parts, size = draw.choice([2, 4]), draw.choice([3, 5]), draw.choice([8, 12])
    text = (
        f"{devices} devices train one net with fully connected layers and ordinary (not "
        f"synchronized) Batch Normalization; each gets {size} examples at a time, and gradients "
        f"are added up over {parts} such parts before each step. Over how many examples does a "
        "layer take its means?"
    )
    wrong = [
        (size * devices, "Only synchronized Batch Normalization looks at the other devices."),
        (size * parts, "Gradients are added up, statistics are not."),
        (size * parts * devices, "That is the batch of the optimizer's step."),
    ]
    return text, size, "Each forward pass on each device is a batch of its own.", wrong


@asks("14", "values behind a group's mean", 1)
def _(draw):
    N, C, H, groups = 16, draw.choice([12, 24, 48]), draw.choice([5, 7]), draw.choice([3, 4, 6])
    size = C // groups * H * H
    text = (
        f"A batch has shape $(N, C, H, W) = ({N}, {C}, {H}, {H})$. Group normalization "
        f"has {groups} groups. Over how many values does it take each of its means?"
    )
    wrong = [
        (N * size, "A group's statistics stay inside one example."),
        (groups * H * H, f"{groups} is the number of groups, not of channels in one."),
    ]
    return text, size, f"{C // groups} channels of {H} · {H} places, in one example.", wrong


@asks("14", "batch renormalization", 1)
def _(draw):
    batch, running, limit = draw.choice([(6, 2, 4), (10, 4, 3), (9, 2, 3), (8, 2, 2)])
    text = (
        f"In batch renormalization a batch has the standard deviation {batch}, the running one is "
        f"{running}, and $r_{{\\max}} = {limit}$. By which $r$ is $\\hat{{x}}$ multiplied?"
    )
    wrong = [(running / batch, "The other way round: the batch's deviation over the running one.")]
    if batch / running > limit:
        wrong.append((batch / running, "$r$ is kept between $1/r_{\\max}$ and $r_{\\max}$."))
    why = "$r = \\sigma_\\mathcal{B}/\\sigma$, kept between $1/r_{\\max}$ and $r_{\\max}$."
    return text, min(batch / running, limit), why, wrong


@asks("17", "a Keras layer in PyTorch")
def _(draw):
    m, variance = draw.choice([4, 5, 9]), draw.choice([2, 6, 12])
    text = (
        f"A Keras layer was trained in many batches with $m = {m}$ values a channel (BN of a fully "
        f"connected layer) and stores a `moving_variance` of {variance}. It averages the variance "
        "that divides by $m$. Which `running_var` would a PyTorch layer have from the same "
        "batches, with the momentum that corresponds to Keras's?"
    )
    wrong = [
        (variance, "PyTorch averages the unbiased variance."),
        (variance * (m - 1) / m, "The other way round: PyTorch's is larger."),
    ]
    why = "PyTorch's running variance is that of the batch times $m/(m-1)$."
    return text, variance * m / (m - 1), why, wrong


def room_for(value):
    """How far an answer may be from a value: 1 %, but nothing from a whole number."""
    return 0.0 if float(value).is_integer() else 0.01 * abs(value)


def numerical(seed):
    found = []
    for notebook, name, marks, function in NUMBERS:
        text, value, why, wrong = function(random.Random(f"{seed} {notebook} {name}"))
        value, *others = (float(f"{number:.9g}") for number in (value, *(n for n, _ in wrong)))
        short = math.isclose(float(f"{value:.3g}"), value)
        hint = "" if short or not room_for(value) else " (Three significant digits are enough.)"
        share = HALF if marks > 1 else 0
        answers = [Answer(value, 100, "Right.", room_for(value))]
        for other, (_, says) in zip(others, wrong, strict=True):
            room = room_for(other)
            if all(abs(other - a.text) > room + a.tolerance for a in answers):
                answers.append(Answer(other, share, says, room))
        found.append(Question(notebook, name, "numerical", text + hint, answers, marks, why))
    return found


# ---- from the quizzes and the lecturers' notes, and those that want a word -----------------------


def room(notebook):
    return importlib.import_module(f"bnlib.course.nb{notebook}.exercises")


HERE = re.compile(  # what only those understand who have just read the notebook
    r"notebook|\bours?\b|\bwe\b|on mnist|another data set|its reason|a cell prints|^the same,"
    r"|\bthe (map|bug|kit)\b"
    r"|\bthis (net|test|layer)\b|the paper's did|G'|was enough|the sigmoid net|best compared"
    r"|`fuse`|settle it|01's|noisy BN|equal movement|nineteen|be done|of 16 values|disappears",
    re.IGNORECASE,
)
ASKED = re.compile(  # what is asked here with numbers or in words, or gives its answer away
    r"eigenvalues|correlation|one example at a time|noise in \$|which variance|joint batch"
    r"|accumulate gradients|gradients added up|eval\(\)",
    re.IGNORECASE,
)


def stands_alone(text):
    """May a question of a notebook stand in an exam beside the others?"""
    return not (HERE.search(text) or ASKED.search(text))


def is_for_an_exam(question):
    return stands_alone(question.text) and not any(map(ASKED.search, question.options))


def from_quizzes(seed, count=10):
    """Questions of quizzes that stand alone, no two from one notebook."""
    draw = random.Random(f"{seed} quizzes")
    numbers = [f"{n:02d}" for n in range(1, 18)]
    found = []
    for notebook in sorted(draw.sample(numbers, count)):
        alone = [q for q in room(notebook).QUIZ if is_for_an_exam(q)]
        question = draw.choice(alone)
        answers = [
            Answer(option, 100 if right else 0, says) for option, says, right in question.shuffled()
        ]
        why = next(says for _, says, right in question.shuffled() if right)
        name = f"quiz, question {room(notebook).QUIZ.index(question) + 1}"
        found.append(Question(notebook, name, "multichoice", question.text, answers, 1, why))
    return found


OPEN = re.compile(r"^- \*(.+?)\*\s+(.+?)(?=^- \*|\Z|^</details>)", re.MULTILINE | re.DOTALL)


def open_questions(cells):
    """[(question, what is usually said and what is better)] of a notebook's lecturers' notes."""
    texts = ["".join(c["source"]) for c in cells if c["cell_type"] == "markdown"]
    notes = next((t for t in texts if "For lecturers" in t and "pen questions" in t), "")
    part = re.split(r"\*\*Open questions[^\n]*\*\*", notes)[-1]
    return [(" ".join(q.split()), " ".join(a.split())) for q, a in OPEN.findall(part)]


def from_notes(seed, count=3):
    """Open questions, each from another notebook of Part III, where there is most to discuss."""
    draw, found = random.Random(f"{seed} notes"), []
    for path in sorted(draw.sample(sorted((ROOT / "notebooks").glob("1[0-6]_*.ipynb")), count)):
        cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
        asked = [pair for pair in open_questions(cells) if stands_alone(pair[0])]
        question, answer = draw.choice(asked)
        found.append(Question(path.name[:2], "open question", "essay", question, [], 4, answer))
    return found


ESSAY = (
    "Four marks for this answer with its reason, two for one of the two alone, none for the "
    "usual answer without a reason."
)
AXES = [  # axes, share, what is said
    ((0, 2, 3), 100, "Right."),
    ((0, -2, -1), 100, "Right."),
    ((0,), 0, "Each place would have a mean of its own."),
    ((2, 3), 0, "That is instance normalization."),
    ((1, 2, 3), 0, "That is layer normalization."),
]


def spellings(axes):
    """A tuple as it may be written: with brackets or without, with blanks or without."""
    inside = ", ".join(map(str, axes))
    return dict.fromkeys(
        text.replace(" ", blank) for blank in (" ", "") for text in (str(axes), inside)
    )


def in_words():
    return [
        Question(
            "10", "the axes of BN for images", "shortanswer",
            "`x` has shape `(N, C, H, W)`. Batch Normalization's mean is `x.mean(axis=…)`. Which "
            "axes, as a Python tuple?",
            [Answer(text, share, says) for axes, share, says in AXES for text in spellings(axes)],
            1, "Over all but the channels.",
        ),
        Question(
            "07", "the switch to running statistics", "shortanswer",
            "Which method of a PyTorch module must be called before it is used on single examples, "
            "so that Batch Normalization takes its running statistics? (Its name.)",
            [
                *(Answer(text, 100, "Right.") for text in ("eval", "eval()", "*.eval", "*.eval()")),
                *(Answer(text, 100, "Right: that is what eval() calls.")
                  for text in ("*train(False)", "*train(mode=False)")),
                *(Answer(text, 0, "The other way round.")
                  for text in ("train", "train()", "*.train", "*.train()")),
                *(Answer(text, 0, "That stops gradients, not the batch's statistics.")
                  for text in ("*no_grad*", "*inference_mode*")),
            ],
            1, "`model.eval()`; `torch.no_grad()` is another thing.",
        ),
    ]  # fmt: skip


def bank(seed=1):
    """The forty questions, in the order of the notebooks."""
    found = [*numerical(seed), *from_quizzes(seed), *in_words(), *from_notes(seed)]
    return sorted(found, key=lambda q: q.notebook)


# ---- as Markdown ---------------------------------------------------------------------------------


def written(answer):
    if isinstance(answer.text, str):
        return answer.text
    return f"{answer.text:.0f}" if answer.text.is_integer() else f"{answer.text:.4g}"


def once(answers):
    """Answers as people read them: one spelling of each, and no pattern."""
    found = {}
    for answer in answers:
        words = isinstance(answer.text, str)
        found.setdefault(re.sub(r"[ *.(),]", "", answer.text) if words else answer.text, answer)
    return list(found.values())


def markdown(questions, answers):
    total = sum(q.marks for q in questions)
    lines = [f"# {len(questions)} questions, {total} marks" + (": answers" if answers else ""), ""]
    for number, question in enumerate(questions, 1):
        marks = f"{question.marks} mark{'s' * (question.marks > 1)}"
        lines += [f"**{number}.** ({marks}; notebook {question.notebook}) {question.text}", ""]
        if question.kind == "multichoice":
            for letter, answer in zip("abcdefgh", question.answers, strict=False):
                sign = " ✓" * (answer.share == 100) if answers else ""
                says = f" — {answer.says}" if answers else ""
                lines.append(f"- {letter}) {answer.text}{sign}{says}")
            lines.append("")
        if not answers:
            continue
        if question.kind == "essay":
            lines += [f"> {question.why}", ">", f"> {ESSAY}", ""]
        elif question.kind != "multichoice":
            shown = once(question.answers)
            right = " or ".join(f"`{written(a).strip('*')}`" for a in shown if a.share == 100)
            lines += [f"> **{right}** {question.why}", ">"]
            for answer in shown:
                if answer.share < 100:
                    got = question.marks * answer.share / 100
                    lines.append(f"> - `{written(answer).strip('*')}` ({got:g}): {answer.says}")
            lines.append("")
    return "\n".join(lines).rstrip() + "\n"


# ---- as Moodle XML (docs.moodle.org, "Moodle XML format") ----------------------------------------


def for_moodle(text):
    """HTML, with formulas as Moodle's filter wants them: \\( … \\)."""
    from bnlib.course.kit.markup import to_html

    return re.sub(r"\$([^$]+)\$", lambda m: rf"\({m[1]}\)", to_html(text))


def element(parent, tag, text=None, **attributes):
    new = ET.SubElement(parent, tag, attributes)
    new.text = text
    return new


def in_text(parent, tag, text, **attributes):
    new = element(parent, tag, **attributes)
    element(new, "text", text)
    return new


def moodle(questions, category="Batch Normalization"):
    quiz = ET.Element("quiz")
    head = element(quiz, "question", type="category")
    in_text(head, "category", f"$course$/top/{category}")
    for number, question in enumerate(questions, 1):
        node = element(quiz, "question", type=question.kind)
        in_text(node, "name", f"{number:02d} {question.name} (notebook {question.notebook})")
        in_text(node, "questiontext", for_moodle(question.text), format="html")
        why = "" if question.kind == "essay" else for_moodle(question.why)
        in_text(node, "generalfeedback", why, format="html")
        element(node, "defaultgrade", f"{question.marks}.0")
        element(node, "penalty", "0.0" if question.kind == "essay" else "0.3333333")
        element(node, "hidden", "0")
        {"multichoice": choices, "numerical": values, "shortanswer": words, "essay": essay}[
            question.kind
        ](node, question)
        tags = element(node, "tags")
        in_text(tags, "tag", f"notebook {question.notebook}")
    ET.indent(quiz, " ")
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ET.tostring(quiz, encoding="unicode") + "\n"


def choices(node, question):
    for tag, text in [("single", "true"), ("shuffleanswers", "true"), ("answernumbering", "abc")]:
        element(node, tag, text)
    for tag in ("correctfeedback", "partiallycorrectfeedback", "incorrectfeedback"):
        in_text(node, tag, "", format="html")
    for answer in question.answers:
        one = in_text(
            node, "answer", for_moodle(answer.text), fraction=f"{answer.share:g}", format="html"
        )
        in_text(one, "feedback", for_moodle(answer.says), format="html")


def values(node, question):
    for answer in question.answers:
        text = repr(round(float(answer.text), 9)).removesuffix(".0")
        one = in_text(
            node, "answer", text, fraction=f"{answer.share:g}", format="moodle_auto_format"
        )
        in_text(one, "feedback", for_moodle(answer.says), format="html")
        element(one, "tolerance", f"{answer.tolerance:.6g}")


def words(node, question):
    element(node, "usecase", "0")
    for answer in question.answers:
        one = in_text(
            node, "answer", answer.text, fraction=f"{answer.share:g}", format="moodle_auto_format"
        )
        in_text(one, "feedback", for_moodle(answer.says), format="html")


def essay(node, question):
    for tag, text in [("responseformat", "editor"), ("responserequired", "1"),
                      ("responsefieldlines", "15"), ("attachments", "0"),
                      ("attachmentsrequired", "0")]:  # fmt: skip
        element(node, tag, text)
    in_text(node, "graderinfo", for_moodle(f"{question.why} {ESSAY}"), format="html")
    in_text(node, "responsetemplate", "", format="html")


# ---- what Moodle's importer accepts --------------------------------------------------------------

SHARES = (100, 90, 83.33333, 80, 75, 70, 66.66667, 60, 50, 40, 33.33333, 30, 25, 20, 16.66667,
          14.28571, 12.5, 11.11111, 10, 5, 0)  # fmt: skip
FORMATS = {"html", "moodle_auto_format", "plain_text", "markdown"}
WITH_TEXT = {"name", "questiontext", "generalfeedback", "answer", "feedback", "graderinfo", "tag",
             "responsetemplate", "correctfeedback", "partiallycorrectfeedback", "category",
             "incorrectfeedback"}  # fmt: skip
COMMON = {"name", "questiontext", "generalfeedback", "defaultgrade", "penalty", "hidden", "tags"}
OF_KIND = {  # what an importer reads besides: {tag: the values that it knows, None: any}
    "multichoice": {
        "single": {"true", "false"}, "shuffleanswers": {"true", "false"}, "answer": None,
        "answernumbering": {"none", "abc", "ABCD", "123", "iii", "IIII"}, "correctfeedback": None,
        "partiallycorrectfeedback": None, "incorrectfeedback": None,
    },
    "numerical": {"answer": None},
    "shortanswer": {"usecase": {"0", "1"}, "answer": None},
    "essay": {
        "responseformat": {"editor", "editorfilepicker", "plain", "monospaced", "noinline"},
        "responserequired": {"0", "1"}, "responsefieldlines": None, "attachments": None,
        "attachmentsrequired": None, "graderinfo": None, "responsetemplate": None,
    },
}  # fmt: skip


def faults(text):
    """What Moodle's importer would refuse or guess in a file; [] where it takes it as meant.

    As its documentation describes the format; the shares are those that it knows (it refuses
    others, as set by default), and every question needs a right answer.
    """
    if not text.startswith("<?xml"):
        return ["the XML declaration must be the file's first characters"]
    quiz = ET.fromstring(text.encode("utf-8"))
    found = [] if quiz.tag == "quiz" else [f"the root is <{quiz.tag}>, not <quiz>"]
    for place, node in enumerate(quiz):
        kind, where = node.get("type"), f"question {place}"
        if node.tag != "question":
            found.append(f"<{node.tag}> in <quiz>")
        elif kind == "category":
            path = node.findtext("category/text", "")
            found += [] if path.startswith("$course$/") else [f"{where}: category {path!r}"]
        elif kind not in OF_KIND:
            found.append(f"{where}: type {kind!r}")
        else:
            found += [f"{where}: {fault}" for fault in _faults(node, kind)]
    return found


def _faults(node, kind):
    for tag in ("name", "questiontext"):
        if not (node.findtext(f"{tag}/text") or "").strip():
            yield f"<{tag}> has no text"
    for child in node:
        known = OF_KIND[kind].get(child.tag, COMMON if child.tag in COMMON else "unknown")
        if known == "unknown":
            yield f"<{child.tag}> is not read"
        elif isinstance(known, set) and child.tag not in COMMON and child.text not in known:
            yield f"<{child.tag}> is {child.text!r}"
    for inside in node.iter():
        if inside.tag in WITH_TEXT and [c.tag for c in inside].count("text") != 1:
            yield f"<{inside.tag}> must hold one <text>"
        if "format" in inside.keys() and inside.get("format") not in FORMATS:
            yield f"format {inside.get('format')!r}"
    for tag in ("defaultgrade", "penalty"):
        if not (node.findtext(tag) or "").replace(".", "", 1).isdigit():
            yield f"<{tag}> is no number"
    if kind == "essay":
        return
    shares = [float(answer.get("fraction", 0)) for answer in node.iter("answer")]
    if 100 not in shares:
        yield "no answer gets all the marks"
    if any(min(abs(abs(share) - known) for known in SHARES) > 1e-5 for share in shares):
        yield f"a share that it does not know: {shares}"
    if kind == "multichoice" and (len(shares) < 2 or shares.count(100) != 1):
        yield "one right option of two or more is wanted"
    for answer in node.iter("answer"):
        if kind == "numerical" and not _is_number(answer.findtext("text")):
            yield f"{answer.findtext('text')!r} is no number"
        if kind == "numerical" and not _is_number(answer.findtext("tolerance")):
            yield "a numerical answer needs a tolerance"


def _is_number(text):
    try:
        return math.isfinite(float(text))
    except (TypeError, ValueError):
        return False


def write(folder=OUT, seed=1):
    questions = bank(seed)
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in [
        ("questions.md", markdown(questions, answers=False)),
        ("answers.md", markdown(questions, answers=True)),
        ("moodle.xml", moodle(questions)),
    ]:
        (folder / name).write_text(text, encoding="utf-8", newline="\n")
    return questions


def main(words=None):
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", nargs="?", type=Path, default=OUT)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args(words)
    questions = write(options.folder, options.seed)
    print(f"bnlib: {len(questions)} questions in {options.folder}")


if __name__ == "__main__":
    main()
