"""The checks of all rooms, as one product: each accepts what is right, however it is written, and
no slip, stub or noise passes."""

import inspect
import json
import re
import textwrap
from decimal import Decimal
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch

from bnlib.course.kit.asking import exercises_of, notebooks
from bnlib.course.kit.differences import narrowed
from bnlib.course.kit.exercises import ClassExercise, FunctionExercise, ValueExercise
from bnlib.course.kit.faults import alike
from bnlib.course.kit.slips import slips
from bnlib.numpy import Layer

ALL = {key: e for number in notebooks() for key, e in exercises_of(number).items()}
FUNCTIONS = {key: e for key, e in ALL.items() if isinstance(e, FunctionExercise)}
CLASSES = {key: e for key, e in ALL.items() if isinstance(e, ClassExercise)}
CALLED = {key: e for key, e in FUNCTIONS.items() if key not in CLASSES}
VALUES = {key: e for key, e in ALL.items() if isinstance(e, ValueExercise)}
NOTEBOOKS = Path(__file__).parent.parent / "notebooks"


def each(exercises):
    return pytest.mark.parametrize("exercise", exercises.values(), ids=list(exercises))


def says(exercise, answer, seed=0):
    verdict = exercise.check(answer, np.random.default_rng(seed))
    assert verdict.status != "broken", verdict
    return verdict


# ── inputs ──────────────────────────────────────────────────────────────────────────────────────


def arrays_in(value):
    if isinstance(value, list | tuple):
        return [array for v in value for array in arrays_in(v)]
    if isinstance(value, dict):
        return arrays_in(list(value.values()))
    return [value] if getattr(value, "shape", ()) else []


@each(FUNCTIONS)
def test_no_two_sizes_of_an_input_are_equal(exercise):
    """A size then says which axis it is; only a lone example has one of 1."""
    for seed in range(10):
        for array in arrays_in(exercise.inputs(np.random.default_rng(seed))):
            assert len(set(array.shape)) == len(array.shape), array.shape
            assert 1 not in array.shape[1:]


@each(FUNCTIONS)
def test_one_number_a_feature_is_no_number_an_example(exercise):
    """A vector as long as the batch would let a wrong broadcast pass. (A weight has no batch.)"""
    names = list(inspect.signature(exercise.solution).parameters)
    for seed in range(10):
        inputs = exercise.inputs(np.random.default_rng(seed))
        if not exercise.call and "weight" in names:
            inputs = [v for v, name in zip(inputs, names, strict=True) if name != "weight"]
        arrays = arrays_in(inputs)
        batch = [a.shape[0] for a in arrays if a.ndim > 1][:1]
        assert all(n >= 4 for n in batch)
        assert all(a.shape != tuple(batch) for a in arrays)


# ── what is right passes ────────────────────────────────────────────────────────────────────────


def mapped(result, change):
    """The change made to each array of a result, in tuples and in caches; layers stay."""
    if isinstance(result, tuple):
        return tuple(mapped(v, change) for v in result)
    if isinstance(result, dict):
        return {key: mapped(v, change) for key, v in result.items()}
    if isinstance(result, list) and all(isinstance(v, Layer) for v in result):
        return result
    return change(result)


def in_float32(solution):
    return lambda *args: solution(*narrowed(args))


def float32_widened(solution):
    return lambda *args: mapped(solution(*narrowed(args)), lambda v: np.asarray(v, dtype=float))


def as_lists(solution):
    return lambda *args: mapped(solution(*args), lambda v: np.asarray(v).tolist())


def as_tensors(solution):
    return lambda *args: mapped(solution(*args), torch.as_tensor)


def stacked(solution):
    def function(*args):
        result = solution(*args)
        alike_shapes = isinstance(result, tuple) and len({str(np.shape(v)) for v in result}) == 1
        return np.stack(result) if alike_shapes else result

    return function


def numbers_in_arrays(solution):
    return lambda *args: mapped(solution(*args), np.atleast_1d)


WRITTEN = (in_float32, float32_widened, as_lists, as_tensors, stacked, numbers_in_arrays)


@pytest.mark.parametrize("written", WRITTEN, ids=lambda f: f.__name__)
@each(CALLED)
def test_right_answer_passes_however_it_is_written(exercise, written):
    tensors = any(hasattr(v, "detach") for v in exercise.inputs(np.random.default_rng(0)))
    if tensors and written is not in_float32:
        pytest.skip("asks for tensors")
    for seed in range(3):
        verdict = says(exercise, written(exercise.solution), seed)
        assert verdict.passed, verdict


@each(FUNCTIONS)
def test_variant_passes(exercise):
    for variant in exercise.variants:
        for seed in range(3):
            assert says(exercise, variant, seed).passed, variant


def pasted(key, exercise):
    """The solution, run from its shown text with what the notebook has: its imports, and what
    mine() gives."""
    (notebook,) = NOTEBOOKS.glob(f"{int(key.split('.')[0]):02d}_*.ipynb")
    cells = json.loads(notebook.read_text("utf-8"))["cells"]
    code = "\n".join("".join(c["source"]) for c in cells if c["cell_type"] == "code")
    imports = re.findall(r"^(?:import|from) [^(\n]+$|^from .+ import \([^)]+\)", code, re.MULTILINE)
    space = {e.keeps: e.solution for e in ALL.values() if getattr(e, "keeps", "")}  # mine(…)
    exec("\n".join(imports), space)
    exec(textwrap.dedent(inspect.getsource(exercise.solution)), space)
    return space[exercise.solution.__name__]


@pytest.mark.parametrize("key", FUNCTIONS | VALUES)
def test_pasted_solution_passes(key):
    assert says(ALL[key], pasted(key, ALL[key])).passed


@each(VALUES)
def test_value_passes_in_other_dress(exercise):
    value = exercise.solution()
    assert says(exercise, torch.as_tensor(value)).passed
    assert says(exercise, np.asarray(value).tolist()).passed
    if np.asarray(value).dtype.kind == "f":
        assert says(exercise, np.asarray(value, dtype=np.float32)).passed
    if np.ndim(value) == 0:
        assert says(exercise, [value]).passed
        assert says(exercise, Fraction(float(value))).passed
        assert says(exercise, Decimal(float(value))).passed


# ── what is wrong does not ──────────────────────────────────────────────────────────────────────


MANY, FEW = 60, 15  # slips of a function, of a class: of more, every other one and so on


@each(FUNCTIONS)
def test_no_slip_in_the_solution_passes(exercise):
    """Mutation testing of the inputs: whatever changes the result is seen, and told kindly."""
    trials = [exercise.inputs(np.random.default_rng(seed)) for seed in range(3)]
    right = [exercise._run(exercise.solution, inputs) for inputs in trials]

    def changes(function):
        try:
            found = [exercise._run(function, inputs) for inputs in trials]
        except Exception:
            return False  # it stops, and its own message says so
        return not all(map(alike, found, right))

    def stops(function):
        try:
            return exercise._run(function, trials[0]) is None
        except Exception:
            return True

    known = slips(exercise.solution)
    some = FEW if isinstance(exercise, ClassExercise) else MANY
    wrong = [slip for slip in known[:: 1 + len(known) // some] if changes(slip.function)]
    assert wrong or all(stops(slip.function) for slip in known)
    for slip in wrong:
        verdict = says(exercise, slip.function)
        assert verdict.status == "not yet", slip
        assert len(verdict.text) < 500


def dots(*args): ...


def passes(*args):
    pass


def documented(*args):
    """To do."""


def says_so(*args):
    raise NotImplementedError("your code here")


def hole(*args):
    mean = ...
    return mean


@pytest.mark.parametrize("answer", [dots, passes, documented, says_so, hole, lambda *a: ...],
                         ids=lambda f: f.__name__)  # fmt: skip
@each(CALLED)
def test_no_stub_is_right(exercise, answer):
    assert says(exercise, answer).status == "not attempted"


class NothingYet:
    def __init__(self, *sizes, **more): ...

    def forward(self, x):
        raise NotImplementedError


class Empty:
    pass


@pytest.mark.parametrize("answer", [NothingYet, Empty])
@each(CLASSES)
def test_no_stub_of_a_class_is_right(exercise, answer):
    assert says(exercise, answer).status == "not attempted"


@each(CALLED)
def test_verdict_prints_no_expected_array(exercise):
    """At most one value of the solution's result stands in a verdict."""

    def noisy(*args):
        rng = np.random.default_rng(0)
        return mapped(
            exercise.solution(*args),
            lambda v: (
                v + torch.ones(()) if hasattr(v, "detach") else v + rng.normal(size=np.shape(v))
            ),
        )

    text = says(exercise, noisy).text
    assert "array(" not in text
    assert len(re.findall(r"-?\d+\.\d+", text)) <= 3
