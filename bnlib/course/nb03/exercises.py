"""Exercises and quiz of notebook 03, the statistics of a mini-batch."""

import numpy as np

from bnlib.course.kit.exercises import (
    FunctionExercise,
    PredictionExercise,
    ValueExercise,
    WrongTurn,
)
from bnlib.course.kit.layer import normalize
from bnlib.course.kit.properties import (
    normalized,
    order_changes_nothing,
    scale_changes_nothing,
    shift_changes_nothing,
)
from bnlib.course.kit.quiz import Question

# ── 3.3 ─────────────────────────────────────────────────────────────────────────────────────────


def image_statistics(x):
    mu_B = x.mean(axis=(0, 2, 3))  # m = N·H·W values each
    distance = x - mu_B.reshape(1, -1, 1, 1)
    var_B = (distance**2).mean(axis=(0, 2, 3))
    return mu_B, var_B


def _of_rows(x):
    rows = np.moveaxis(x, 1, -1).reshape(-1, x.shape[1])
    return [rows.mean(axis=0), rows.var(axis=0)]


def _images(rng):
    scale = rng.uniform(0.5, 3.0, size=(1, 4, 1, 1))
    centre = rng.uniform(-4.0, 4.0, size=(1, 4, 1, 1))
    N = rng.integers(6, 11)
    of_image = rng.normal(size=(N, 1, 1, 1))  # images differ as wholes, as photographs do
    return ((rng.normal(size=(N, 4, 3, 5)) + of_image) * scale + centre,)


# ── 3.2 ─────────────────────────────────────────────────────────────────────────────────────────


def _in_loops(x, eps):
    result = [[0.0] * x.shape[1] for _ in x]
    for j in range(x.shape[1]):
        column = [row[j] for row in x]
        mean = sum(column) / len(column)
        var = sum((v - mean) ** 2 for v in column) / len(column)
        for i, v in enumerate(column):
            result[i][j] = (v - mean) / (var + eps) ** 0.5
    return result


def _rows_and_eps(rng):
    scale = rng.permutation([0.1, *rng.uniform(0.3, 3.0, size=4)])  # one variance below eps
    x = rng.normal(size=(rng.integers(7, 12), 5)) * scale + rng.uniform(-3, 3, size=5)
    return x, rng.uniform(0.05, 0.2)


# ── 3.4 ─────────────────────────────────────────────────────────────────────────────────────────


def combine(m_1, mu_1, var_1, m_2, mu_2, var_2):
    m = m_1 + m_2
    mu = (m_1 * mu_1 + m_2 * mu_2) / m
    within = (m_1 * var_1 + m_2 * var_2) / m
    between = (m_1 * (mu_1 - mu) ** 2 + m_2 * (mu_2 - mu) ** 2) / m
    return mu, within + between


def _two_parts(rng):
    sizes = rng.permutation([5, 11])
    parts = [rng.normal(rng.normal(size=3) * 2, rng.uniform(0.5, 2), (m, 3)) for m in sizes]
    return tuple(v for part in parts for v in (len(part), part.mean(axis=0), part.var(axis=0)))


def _combine_unweighted(m_1, mu_1, var_1, m_2, mu_2, var_2):
    return combine(1, mu_1, var_1, 1, mu_2, var_2)


def _combine_within(m_1, mu_1, var_1, m_2, mu_2, var_2):
    m = m_1 + m_2
    return (m_1 * mu_1 + m_2 * mu_2) / m, (m_1 * var_1 + m_2 * var_2) / m


def _combine_plain_average(m_1, mu_1, var_1, m_2, mu_2, var_2):
    return (mu_1 + mu_2) / 2, (var_1 + var_2) / 2


def _combine_pooled(m_1, mu_1, var_1, m_2, mu_2, var_2):
    mu, _ = combine(m_1, mu_1, var_1, m_2, mu_2, var_2)
    return mu, (m_1 * var_1 + m_2 * var_2) / (m_1 + m_2 - 2)


# ── 3.5 ─────────────────────────────────────────────────────────────────────────────────────────


def lone_pixel():
    # Brightness c in one of m digits: mean c/m, variance (c/m)(c − c/m) = c²(m − 1)/m².
    # x̂ = (c − c/m) / (c √(m − 1) / m) = √(m − 1); c has cancelled.
    return np.sqrt(60 - 1)


# ── 3.6 ─────────────────────────────────────────────────────────────────────────────────────────


def cause_of_the_spread():
    return 2


EXERCISES = [
    PredictionExercise(
        id="3.1",
        title="How far do batch means spread?",
        low=0.0,
        high=10.0,
        unit="σ",
        factor=1.3,
        wrong_turns=[
            WrongTurn(
                "as far as single digits",
                (0.8, 10.0),
                "As far as single digits would: but sixty errors, some up, some down, cancel to a "
                "large part. $1/\\sqrt{60}$ is what remains.",
            ),
            WrongTurn(
                "1/m",
                (0.0, 0.04),
                "That is near 1/60, and 1/60 would hold if errors cancelled as well as they "
                "can. They are independent, so they cancel less well: $1/\\sqrt{60}$ remains.",
            ),
        ],
        hint="If one digit errs by 1 and sixty errors are averaged, do they all point one way?",
        praise="That is the law: $1/\\sqrt{60}$.",
        note="Variances of independent values add: the sum of $m$ has variance $m\\sigma^2$, their "
        "mean $\\sigma^2/m$, so the spread is "
        "$\\sigma/\\sqrt{m}$. $1/\\sqrt{60}$ is 0.129; a thousand batches measure it to a few "
        "percent.",
    ),
    FunctionExercise(
        id="3.3",
        title="The statistics of images",
        solution=image_statistics,
        variants=(_of_rows,),
        inputs=_images,
        returns=("mu_B", "var_B"),
        hint=(
            "Two pixels share a mean when they belong to the same channel. Which axes of "
            "$(N, C, H, W)$ tell two such pixels apart?",
            "Average over `axis=(0, 2, 3)`; `mu_B.reshape(1, -1, 1, 1)` lines up with `x`. "
            "There are $m = N \\cdot H \\cdot W$ values per channel.",
        ),
        praise="One mean per channel, over $m = N \\cdot H \\cdot W$ values.",
        wrong_turns=[
            WrongTurn(
                "over the examples only",
                lambda x: (x.mean(axis=0), x.var(axis=0)),
                "You average over the examples only, which leaves a mean for every place in the "
                "picture. A channel is one feature wherever it is: average over H and W, too.",
            ),
            WrongTurn(
                "each image by itself",
                lambda x: (x.mean(axis=(2, 3)), x.var(axis=(2, 3))),
                "You average within each image: that is *instance* normalization. The batch, "
                "axis 0, must be averaged over as well.",
            ),
            WrongTurn(
                "over the channels",
                lambda x: (x.mean(axis=(1, 2, 3)), x.var(axis=(1, 2, 3))),
                "You average over the channels and keep the examples: that is *layer* "
                "normalization. Keep axis 1, and average over all others.",
            ),
            WrongTurn(
                "mean of the images' variances",
                lambda x: (x.mean(axis=(0, 2, 3)), x.var(axis=(2, 3)).mean(axis=0)),
                "`mu_B` is right. Your `var_B` averages the variances within the images, and so "
                "misses that one image is brighter than another. Measure every distance from the "
                "one `mu_B`.",
            ),
        ],
    ),
    FunctionExercise(
        id="3.2",
        title="Normalize a batch",
        keeps="normalize",
        solution=normalize,
        variants=(_in_loops, lambda x, eps: (x - x.mean(0)) * (x.var(0) + eps) ** -0.5),
        inputs=_rows_and_eps,
        statistics_axis=0,
        properties=(
            normalized(),
            shift_changes_nothing(),
            scale_changes_nothing(),
            order_changes_nothing(),
        ),
        hint=(
            "Three lines: the mean of each column, the variance of each column, the quotient.",
            "`np.sqrt(var_B + eps)`: first add, then take the root.",
        ),
        praise="Line three of Algorithm 1.",
    ),
    FunctionExercise(
        id="3.4",
        title="Combine two batches",
        solution=combine,
        inputs=_two_parts,
        returns=("mu", "var"),
        hint=(
            "The joint mean weighs each mean by how many values stand behind it.",
            "A value's distance from the joint mean has two parts: from its own mean, and from "
            "there to the joint one. What is the average square of the second?",
        ),
        praise="Variance within, plus variance between: the same sum works for eight GPUs.",
        wrong_turns=[
            WrongTurn(
                "variance between the parts forgotten",
                _combine_within,
                "`mu` is right. Your `var` averages the two variances. When the two means differ, "
                "the joint batch varies more than either part: add what lies between.",
            ),
            WrongTurn(
                "parts of unequal size weighed alike",
                _combine_unweighted,
                "You treat both parts as equally large. Weigh them by `m_1` and `m_2`.",
            ),
            WrongTurn(
                "plain averages",
                _combine_plain_average,
                "You average the two means, and the two variances. The parts differ in size, and "
                "their means differ: both count.",
            ),
            WrongTurn(
                "pooled",
                _combine_pooled,
                "`mu` is right. Your `var` is the pooled variance of statistics, which divides by "
                "$m-2$ and assumes equal means. Divide by $m$, and add what lies between the "
                "means.",
            ),
        ],
    ),
    ValueExercise(
        id="3.5",
        title="The lone pixel",
        solution=lone_pixel,
        rtol=5e-3,
        hint=(
            "Call its brightness $c$. The mean is $c/60$. What is the variance?",
            "Fifty-nine values lie $c/60$ below the mean, and one lies $59c/60$ above it.",
        ),
        praise="$\\sqrt{m-1}$, the largest $\\hat{x}$ that a batch of $m$ can hold.",
        note="The brightness cancels: mean and deviation are both proportional to it.",
        wrong_turns=[
            WrongTurn(
                "√60",
                np.sqrt(60.0),
                "Very close: did you drop the mean? It is not zero but $c/60$.",
            ),
            WrongTurn(
                "variance instead of its root",
                59.0,
                "That is the square. Divide by the standard deviation, not by the variance over "
                "$c$.",
            ),
            WrongTurn(
                "1",
                1.0,
                "An $\\hat{x}$ of 1 lies one standard deviation from the mean. A value that stands "
                "alone among sixty lies much further out.",
            ),
            WrongTurn(
                "divided by m − 1",
                59.0 / np.sqrt(60.0),
                "Your variance divides by $m-1$; to normalize the batch itself, divide by $m$.",
            ),
        ],
    ),
    ValueExercise(
        id="3.6",
        title="Find the fault",
        solution=cause_of_the_spread,
        rtol=0,
        hint=(
            "`labels[rows_drawn[1:6]]` shows which digits are in five of their batches.",
            "The law says: $m$ *independent* values. What do sixty digits of one kind have in "
            "common?",
        ),
        praise="Sixty values that resemble each other tell less than sixty independent ones.",
        note="Their file was sorted by label, and a batch is sixty neighbours in it: nearly always "
        "sixty times the same digit. Such values share what that digit shares, and the mean of "
        "the batch keeps it.",
        wrong_turns=[
            WrongTurn(
                "overlap",
                1.0,
                "Batches may overlap: each single batch can still be a fair sample. What is inside "
                "*one* of theirs?",
            ),
            WrongTurn(
                "float32",
                3.0,
                "Rounding is far too small for that: these values are near 1, and nothing large is "
                "subtracted.",
            ),
            WrongTurn(
                "m − 1",
                4.0,
                "That would change a variance by one part in sixty. Their spread is off by a "
                "factor of three.",
            ),
        ],
    ),
]

QUIZ = [
    Question(
        "A batch has shape $(32, 64, 14, 14)$. How many means does Batch Normalization compute?",
        {
            "32": "That would be one per image.",
            "64": "One per channel, each over $m = 32 \\cdot 14 \\cdot 14$ values.",
            "32 · 64": "One per image and channel is instance normalization.",
            "64 · 14 · 14": "A channel shares one mean over all places of the picture.",
        },
        correct=1,
    ),
    Question(
        "The batch grows from 50 to 200. The noise in $\\mu_\\mathcal{B}$ becomes …",
        {
            "a quarter": "That is what the *variance* of $\\mu_\\mathcal{B}$ does.",
            "half": "$1/\\sqrt{4}$.",
            "the same, since the data are the same": "A mean of more values spreads less.",
        },
        correct=1,
    ),
    Question(
        "In the paper and in PyTorch, which variance divides the batch, and which is kept?",
        {
            "biased, biased": "Keras 3 and Flax do that; kept for later, it is too small by "
            "$(m-1)/m$ on average.",
            "unbiased, unbiased": "Then the batch would not leave with variance 1.",
            "biased now, unbiased kept": "So that this batch has variance 1, and the estimate is "
            "right on average.",
            "unbiased now, biased kept": "It is the other way round.",
        },
        correct=2,
    ),
    Question(
        "A feature has variance 0 in a batch. Its $\\hat{x}$ is …",
        {
            "NaN": "Without $\\varepsilon$ it would be.",
            "0": "The numerator is 0 for every example; $\\sqrt{\\varepsilon}$ below it is not.",
            "1/√ε": "The numerator is $x - \\mu_\\mathcal{B}$, and that is 0.",
        },
        correct=1,
    ),
    Question(
        "In `float32`, $\\mathbb{E}[x^2] - \\mathbb{E}[x]^2$ fails on data with …",
        {
            "a mean of 0 and a deviation of 100": "Nothing large is subtracted there.",
            "a mean of 10,000 and a deviation of 1": "Two numbers near $10^8$ are subtracted, and "
            "`float32` places them 8 apart.",
            "very small batches": "The batch size does not matter here.",
        },
        correct=1,
    ),
]
