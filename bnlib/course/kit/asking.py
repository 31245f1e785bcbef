"""What notebooks call: check, hint, solution and settle, by an exercise's number."""

import importlib
import pkgutil
import re
import warnings

from bnlib.course.kit.differences import describe
from bnlib.course.kit.verdicts import Verdict, one_line

# `...(axis=0)` in a half-written answer: the verdict says it, kinder than a warning above it does
warnings.filterwarnings(
    "ignore", r"'\w+' object is not (callable|subscriptable)", category=SyntaxWarning
)


def find(number):
    """The exercise with this number, such as "3.2". Raises LookupError with a hint."""
    if not isinstance(number, str) or not re.fullmatch(r"\d{1,2}\.\d{1,2}", number):
        raise LookupError(f'An exercise is named by its number in quotes, like "3.2"; '
                          f"got {describe(number)}.")  # fmt: skip
    known = exercises_of(number.split(".")[0])
    if number not in known:
        listed = ", ".join(known) or "none"
        raise LookupError(f"There is no exercise {number}; this notebook has: {listed}.")
    return known[number]


def exercises_of(notebook):
    """The exercises of notebook "3" or "03", by number. An unknown notebook has none."""
    name = f"bnlib.course.nb{int(notebook):02d}.exercises"
    try:
        module = importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name not in (name, name.removesuffix(".exercises")):
            raise
        return {}
    known = {exercise.id: exercise for exercise in module.EXERCISES}
    if len(known) < len(module.EXERCISES):
        raise ValueError(f"{name}: two exercises share a number")
    return known


def notebooks():
    """The two-digit numbers of the notebooks that have an exercise module."""
    package = importlib.import_module("bnlib.course")
    names = [module.name for module in pkgutil.iter_modules(package.__path__)]
    return sorted(name[2:] for name in names if re.fullmatch(r"nb\d\d", name))


def check(number, answer=None):
    """Judge an answer to an exercise. Returns a Verdict, which a cell's last line displays.

    An answer that is right, and part of the learner's own layer, is kept (own_layer.py).
    """
    return _ask(number, lambda exercise: _kept(exercise, exercise.check(answer), answer))


def _kept(exercise, verdict, answer):
    from bnlib.course.kit import own_layer  # it asks for exercises by name, here

    if not verdict.passed:
        return verdict
    own_layer.record(exercise.id)
    name = getattr(exercise, "keeps", "")
    said = own_layer.keep(name, answer) if name else ""
    return exercise.verdict("right", f"{verdict.text} {said}") if said else verdict


def hint(number):
    """The exercise's hint, folded."""
    return _ask(number, lambda exercise: exercise.show_hint())


def solution(number):
    """The exercise's solution, folded: the source that the tests run."""
    return _ask(number, lambda exercise: exercise.show_solution())


def settle(number, measured=None):
    """Compare the guess noted by check with what was measured, and explain."""
    return _ask(number, lambda exercise: exercise.settle(measured))


def _ask(number, action):
    try:
        return action(find(number))
    except LookupError as error:
        return Verdict("not yet", str(error))
    except Exception as error:
        return Verdict("broken", f"Please report it: `{one_line(error)}`.")
