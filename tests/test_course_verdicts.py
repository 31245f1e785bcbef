"""What students were told that misled them, and slips of theirs that passed: each stays as a test.

A verdict names the cause of *this* answer: no axis that the exercise does not have, no advice that
leads away from the answer, no numbers alone where the slip is a likely one.
"""

import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch

from bnlib.course.kit import layer
from bnlib.course.kit.answers import advice
from bnlib.course.kit.asking import exercises_of
from bnlib.course.kit.exercises import FunctionExercise
from bnlib.course.kit.slips import divides_by_eps
from bnlib.course.nb06.exercises import stored_backward
from bnlib.course.nb07.exercises import BatchNorm
from bnlib.course.nb09.exercises import BatchNormFunction, BatchNormModule

ROOT = Path(__file__).resolve().parent.parent


def says(number, answer, seed=0):
    exercise = exercises_of(number.split(".")[0])[number]
    verdict = exercise.check(answer, np.random.default_rng(seed))
    assert verdict.status in ("not yet", "right"), verdict
    return verdict.text if verdict.status == "not yet" else "right"


# ── shapes that do not fit ──────────────────────────────────────────────────────────────────────


def absorb_flat(gamma, beta, weight, bias):
    return weight * gamma, beta @ weight + bias


def absorb_exchanged(gamma, beta, weight, bias):
    return gamma[:, None] * weight, weight @ beta + bias


def fold_column(weight, bias, gamma, beta, mean, var, eps):
    slope = gamma / np.sqrt(var + eps)
    return weight * slope[:, None], (bias - mean) * slope + beta


@pytest.mark.parametrize(
    ("number", "answer", "words", "misleading"),
    [
        ("5.5", absorb_flat, "Make it a column, `[:, None]`", "example"),
        ("5.5", absorb_exchanged, "the last size of `a` must be the first of `b`", "by hand"),
        ("7.5", fold_column, "Leave out the axis behind it: shape `(3,)` fits.", "keepdims"),
    ],
)
def test_advice_on_shapes_speaks_of_the_axes_there_are(number, answer, words, misleading):
    text = says(number, answer)
    assert words in text
    assert misleading not in text


@pytest.mark.parametrize(
    ("shapes", "words"),
    [
        ("NumPy (8,5) (8,)", "over the wrong axis"),
        ("NumPy (9,4,3,5) (4,)", "each channel, but"),
        ("NumPy (9,4,3,5) (4,1)", "along the rows"),
        ("NumPy (3,) (7,)", "lined up from the"),
        ("torch 5 8 1", "over the wrong axis"),
        ("torch 8 5 0", "shape `(5,)` fits"),
    ],
)
def test_advice_says_along_which_axis_it_lies(shapes, words):
    axes = {8: "example", 5: "feature"}
    if "9,4" in shapes:
        axes = {9: "example", 4: "channel", 3: "row", 5: "column"}
    kind, *rest = shapes.split()
    error = f"operands could not be broadcast together with shapes {' '.join(rest)}"
    if kind == "torch":
        error = "The size of tensor a ({}) must match the size of tensor b ({}) at non-singleton "
        error = (error + "dimension {}").format(*rest)
    assert words in advice(ValueError(error), axes)


FUNCTIONS = {
    identifier: exercise
    for n in range(18)
    for identifier, exercise in exercises_of(str(n)).items()
    if isinstance(exercise, FunctionExercise)
}


@pytest.mark.parametrize("exercise", FUNCTIONS.values(), ids=list(FUNCTIONS))
def test_axes_of_weights_are_not_called_examples(exercise):
    inputs = exercise.inputs(np.random.default_rng(0))
    named = zip(exercise._argument_names(), inputs, strict=False)
    first = next((name for name, v in named if len(getattr(v, "shape", ())) > 1), "")
    if first in ("weight", "W"):
        assert exercise.axes


def test_weights_have_no_number_of_examples():
    def summed(gamma, beta, weight, bias):
        return gamma[:, None] * weight * weight.shape[0], beta @ weight + bias

    assert "`weight` is the number of features times" in says("5.5", summed)


def joined(x, gamma, beta, eps):
    y, cache = layer.batch_norm(x, gamma, beta, eps)
    return (np.moveaxis(y, 1, -1).reshape(-1, x.shape[1]) if x.ndim == 4 else y), cache


@pytest.mark.parametrize("seed", range(4))
def test_wrong_shape_comes_before_what_the_numbers_keep(seed):
    text = says("4.2", joined, seed)
    assert "another order" not in text
    assert "`y` has shape" in text
    assert "with axes joined into one" in text


# ── ε ───────────────────────────────────────────────────────────────────────────────────────────


def test_eps_outside_the_root_is_told_where_it_must_stand():
    text = says("3.2", lambda x, eps: (x - x.mean(0)) / (x.std(0) + eps))
    assert text.endswith("it must be added to the variance, before the root is taken.")


def multiplied(x, mu_B, var_B, eps):
    return x * np.sqrt(var_B + eps) + mu_B


def through_a_name(x, eps):
    s = np.sqrt(x.var(axis=0) + eps)
    return x / s


def by_power(x, eps):
    return x * (x.var(axis=0) + eps) ** -0.5


def test_eps_forgotten_divides_by_zero_only_where_it_stands_below():
    assert divides_by_eps(layer.normalize)
    assert divides_by_eps(through_a_name)
    assert divides_by_eps(by_power)
    assert not divides_by_eps(multiplied)
    text = says("4.5", lambda y, g, b, mu, var, eps: (y - b) / g * np.sqrt(var) + mu)
    assert "divided by zero" not in text
    assert "multiply by the same root" in text


def test_eps_forgotten_elsewhere_speaks_of_no_division():
    exercise = FunctionExercise(
        id="98.1", title="t", hint="h", solution=multiplied,
        inputs=lambda rng: (*rng.uniform(1, 2, size=(3, 5)), 0.1),
    )  # fmt: skip
    text = exercise.check(lambda x, mu, var, eps: x * np.sqrt(var) + mu).text
    assert "when `eps` changes" in text
    assert "divided by zero" not in text


# ── causes of likely slips ──────────────────────────────────────────────────────────────────────


def full_backward(dy, x, gamma, mean, var, eps):
    cache = layer.batch_norm(x, gamma, np.zeros_like(gamma), eps)[1]
    return layer.batch_norm_backward(dy, cache)


def full_where_both_are_stored(dy, x, gamma, mean, var, eps):
    if mean is None:
        return stored_backward(dy, x, gamma, mean, var, eps)
    s = np.sqrt(var + eps)
    x_hat = (x - mean) / s
    dx = layer.dx_in_one_line(dy, x_hat, gamma, s)
    return dx, (dy * x_hat).sum(axis=0), dy.sum(axis=0)


def full_where_the_mean_is_not(dy, x, gamma, mean, var, eps):
    return (full_backward if mean is None else stored_backward)(dy, x, gamma, mean, var, eps)


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (full_backward, "you go back through the batch's own mean and variance, as in training"),
        (full_where_both_are_stored, "With `mean=None` all is right. With a stored mean you remove "
         "the shares of mean and variance."),
        (full_where_the_mean_is_not, "With a stored mean all is right. With `mean=None` you go "
         "back through the batch's own variance as well"),
    ],
)  # fmt: skip
def test_full_backward_through_stored_statistics_is_named(answer, words):
    assert words in says("6.9", answer)


class CountsExamples(BatchNorm):
    def forward(self, x):
        before, y = self.running_var, super().forward(x)
        if self.training:
            axes, m = ((0,) if x.ndim == 2 else (0, 2, 3)), len(x)
            weight = 1 / self.num_batches_tracked if self.momentum is None else self.momentum
            unbiased = x.var(axis=axes) * m / (m - 1)
            self.running_var = (1 - weight) * before + weight * unbiased
        return y


class MomentumIsANumber(BatchNorm):
    def forward(self, x):
        if self.training:
            self.running_mean = self.running_mean * (1 - self.momentum)
            self.running_mean = self.running_mean / (1 - self.momentum)
        return super().forward(x)


class MomentumOr(BatchNorm):
    def forward(self, x):
        if not self.training:
            return super().forward(x)
        given = self.momentum
        self.momentum = given or None
        y = super().forward(x)
        self.momentum = given
        return y


class WideGradient(BatchNorm):
    def backward(self, dy):
        return super().backward(dy).astype(np.float64)


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (CountsExamples, "You count the examples, `len(x)`."),
        (MomentumIsANumber, "on the way to `running_mean` with `momentum=None`, after two batches, "
         "with `TypeError"),
        (MomentumIsANumber, "Something is None there"),
        (MomentumOr, "You take `momentum=0` for None"),
        (WideGradient, "comes back as a `dx` of float64"),
    ],
)  # fmt: skip
def test_slip_in_the_class_gets_its_cause(answer, words):
    for seed in range(3):
        assert words in says("7.2", answer, seed)


def test_diagnosis_is_answered_letter_by_letter():
    exercise = exercises_of("7")["7.4"]
    for place in np.ndindex(3, 3, 3):
        guess = [1 + i for i in place]
        text = says("7.4", guess)
        assert "index" not in text
        if guess != [3, 2, 1]:
            assert re.search(r"\b[ABC]'?s?\b", text)
            right = {n for n, g, w in zip("ABC", guess, (3, 2, 1), strict=True) if g == w}
            said = re.match(r"((?:[ABC](?:, | and )?)+) (?:is|are) right", text)
            assert not said or {*re.findall("[ABC]", said[1])} == right
    assert set(exercise.because) == {(n, v) for n in "ABC" for v in (1, 2, 3)} - {
        ("A", 3), ("B", 2), ("C", 1),
    }  # fmt: skip


@pytest.mark.parametrize(
    ("number", "answer", "words"),
    [
        ("11.5", [3, 1, 1, 1], "A and B are right. C is not."),
        ("10.5", [4672, 128], "The count of learned numbers is right. The count of statistics is"),
        ("11.5", [2, 2, 2, 3], "Look again, beginning with A."),
    ],
)
def test_several_values_are_told_which_are_right(number, answer, words):
    assert words in says(number, answer)


# ── slips that passed ───────────────────────────────────────────────────────────────────────────


class KeepsTheGraph(BatchNormModule):
    def forward(self, x):
        if not self.training:
            return super().forward(x)
        self.num_batches_tracked += 1
        m = self.momentum
        self.running_mean = (1 - m) * self.running_mean + m * x.mean(dim=0)
        self.running_var = (1 - m) * self.running_var + m * x.var(dim=0)
        return BatchNormFunction.apply(x, self.weight, self.bias, self.eps)


def counting_with(counter):
    class Counting(BatchNormModule):
        def __init__(self, *args, **kwargs):
            super().__init__(*args, **kwargs)
            self.register_buffer("num_batches_tracked", counter.clone())

    return Counting


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (KeepsTheGraph, "`running_mean` and `running_var` need one, too"),
        (counting_with(torch.zeros(1)), "has shape (1,). It is one number"),
        (counting_with(torch.zeros(4, dtype=torch.int64)), "has shape (4,)"),
        (counting_with(torch.tensor(0.0)), "is a floating-point number"),
        (counting_with(torch.tensor(0, dtype=torch.int32)), "right"),
    ],
    ids=["graph", "shape (1,)", "shape (4,)", "float", "int32"],
)
def test_module_that_cannot_be_kept_is_refused_with_a_sentence(answer, words):
    text = says("9.3", answer)
    assert words in text
    assert "stopped" not in text


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_module_test_that_reads_no_checkpoint_lets_one_slip(dtype):
    def is_right(module_class):
        torch.manual_seed(0)
        ours, theirs = (kind(3, eps=0.1).to(dtype) for kind in (module_class, torch.nn.BatchNorm1d))
        with torch.no_grad():
            for module in (ours, theirs):
                module.weight.copy_(torch.tensor([1.5, -0.7, 2.0]))
                module.bias.copy_(torch.tensor([0.3, -1.0, 0.8]))
        for _ in range(3):
            x, dy = torch.randn(2, 5, 3, dtype=dtype)
            leaves = [(2 * x + 4).requires_grad_() for _ in range(2)]
            y, wish = ours(leaves[0]), theirs(leaves[1])
            y.backward(dy)
            wish.backward(dy)
            if not torch.allclose(y, wish, atol=1e-5):
                return False
            if not torch.allclose(leaves[0].grad, leaves[1].grad, atol=1e-5):
                return False
        ours.eval(), theirs.eval()
        return all(torch.allclose(ours(x), theirs(x), atol=1e-5) for _ in range(2))

    assert "saves no running statistics" in says("9.4", is_right)


# ── answers that stand before their exercise ────────────────────────────────────────────────────

ANSWERS = {  # as they stood in the lecturers' plans, which students see, too
    "03": ["are not independent", "share a part"],
    "05": ["mathrm{diag}", "beta W + b", "three seeds agree"],
    "06": ["overline{dy", "counts the ways from x to x̂: four"],
    "07": ["3, 2, 1"],
    "09": ["`running_mean`", "`None`, for ε"],
    "15": ["most accuse it"],
    "16": ["0.144", "Most say Adam"],
}


def cells_of(number):
    (path,) = (ROOT / "notebooks").glob(f"{number}_*.ipynb")
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    return [(cell, "".join(cell["source"])) for cell in cells]


@pytest.mark.parametrize(("number", "answers"), ANSWERS.items())
def test_plan_for_lecturers_holds_no_answer(number, answers):
    plan = next(text for _, text in cells_of(number) if "For lecturers: a plan" in text)
    assert not [answer for answer in answers if answer in plan]


def test_notebook_06_prints_no_backward_in_code():
    code = "\n".join(text for cell, text in cells_of("06") if cell["cell_type"] == "code")
    assert not re.search(r"\w+ \* \(\w+ \* \w+\)\.mean", code)
