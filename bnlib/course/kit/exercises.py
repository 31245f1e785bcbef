"""Exercises that answer back: one kind sentence that names one thing, and never a traceback.

An exercise module, bnlib/course/nbXX/exercises.py, lists its exercises as EXERCISES and its
questions as QUIZ. What is shown as a solution is the source of the function that the tests run.
"""

import copy
import dis
import html
import inspect
import re
import textwrap
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from bnlib.course.kit.differences import (
    as_array,
    capital,
    describe,
    describe_difference,
    listed,
    same,
    too_far,
)
from bnlib.course.kit.markup import CSS, Rich, to_html, to_plain
from bnlib.course.kit.verdicts import Verdict, one_line

TRIALS = 4  # fresh inputs per check


@dataclass(frozen=True)
class WrongTurn:
    """A known mistake.

    name     a few words, for tests and readers of the module
    wrong    FunctionExercise: a function that makes the mistake; ValueExercise: the wrong value or
             a function without arguments returning it; PredictionExercise: the wrong guess, or a
             (low, high) range of guesses
    verdict  what a learner who made it reads: one sentence that names the one thing
    """

    name: str
    wrong: Any
    verdict: str


@dataclass(frozen=True, kw_only=True)
class Exercise:
    """What all exercises have: a number such as "3.2", a title, a hint and a solution.

    hint      str, or several str that open one after the other
    praise    str or None: what the verdict says when the answer is right
    note      str or None: shown below the solution
    """

    id: str
    title: str
    hint: str | Sequence[str]
    praise: str = ""
    note: str = ""
    wrong_turns: Sequence[WrongTurn] = field(default=())

    def __post_init__(self):
        if not re.fullmatch(r"\d{1,2}\.\d{1,2}", self.id):
            raise ValueError(f"id is {self.id!r}; an exercise is numbered like '3.2'")
        verdicts = [w.verdict for w in self.wrong_turns]
        if len(set(verdicts)) < len(verdicts):
            raise ValueError(f"exercise {self.id}: two wrong turns share a verdict")

    @property
    def label(self):
        return f"{self.id} {self.title}" + ("" if self.title.endswith("?") else ":")

    def verdict(self, status, text=""):
        return Verdict(status, text, self.label)

    def check(self, answer, rng=None):
        """Judge an answer. Never raises; rng is for tests, which want the same inputs twice."""
        try:
            if answer is None or answer is Ellipsis:
                return self.not_attempted()
            return self._judge(answer, np.random.default_rng() if rng is None else rng)
        except Exception as error:
            return self.verdict(
                "broken", f"That is our mistake, not yours: `{one_line(error)}`. Please report it."
            )

    def not_attempted(self):
        return self.verdict("not attempted", self.stub)

    def show_hint(self):
        """The hint, folded; several hints open one after the other."""
        hints = [self.hint] if isinstance(self.hint, str) else list(self.hint)
        body = ""
        for i, text in reversed(list(enumerate(hints))):
            name = f"Hint for {self.id}" if i == 0 else "One more hint"
            body = f"<details><summary>{name}</summary><p>{to_html(text)}</p>{body}</details>"
        plain = "\n".join(to_plain(text) for text in hints)
        return Rich(f"Hint for {self.id}: {plain}", f'{CSS}<div class="bn">{body}</div>')

    def show_solution(self):
        """The source that the tests run, folded."""
        code, note = self._source(), self.note
        inside = f"<pre><code>{html.escape(code)}</code></pre>" if code else ""
        inside += f"<p>{to_html(note)}</p>" if note else ""
        body = f"<details><summary>Solution of {self.id}</summary>{inside}</details>"
        plain = "\n".join(part for part in (code, to_plain(note)) if part)
        return Rich(f"Solution of {self.id}:\n{plain}", f'{CSS}<div class="bn">{body}</div>')

    def _source(self):
        return textwrap.dedent(inspect.getsource(self.solution)).strip()


@dataclass(frozen=True, kw_only=True)
class FunctionExercise(Exercise):
    """The learner writes a function; it is run beside ours on fresh random inputs.

    solution   a named function of the exercise module: its source is what solution() shows
    inputs     function rng -> tuple of arguments; gamma ≠ 1, beta ≠ 0, N ≥ 4, so that nothing hides
    returns    names of the returned arrays, when the solution returns a tuple of several
    statistics_axis  axis or axes over which a wrong result's mean and deviation are compared first
               (0 for (N, D), (0, 2, 3) for (N, C, H, W)); None where they say nothing
    rtol, atol how close is right
    call       function (answer, *inputs) -> result, when an answer is not simply called: e.g. a
               class that is built first. Solution and wrong turns are called the same way.
    also       further tests, each a function (answer, rng) -> None, or a sentence that names the
               fault; run once the results agree
    """

    solution: Callable
    inputs: Callable
    returns: Sequence[str] = ()
    statistics_axis: int | tuple | None = None
    rtol: float = 1e-6
    atol: float = 1e-8
    call: Callable | None = None
    also: Sequence[Callable] = ()

    stub = "Replace `...` by your code and run this cell again."

    def _judge(self, answer, rng):
        fault = _refuse_uncallable(answer, self.solution)
        if fault:
            return self.verdict("not yet", fault)
        trials = [self.inputs(rng) for _ in range(TRIALS)]
        expected = [self._run(self.solution, inputs) for inputs in trials]
        results = []
        for inputs in trials:
            fault = _refuse_arguments(answer, self.solution, inputs) if not self.call else None
            if fault:
                return self.verdict("not yet", fault)
            given = copy.deepcopy(inputs)
            try:
                results.append(self._run(answer, given, copied=True))
            except (Exception, SystemExit) as error:
                if isinstance(error, NotImplementedError) or "ellipsis" in str(error):
                    return self.not_attempted()  # a stub that says so, or one half filled in
                return self.verdict(
                    "not yet", f"Your function stopped with `{one_line(error)}`. {_where(error)}"
                )
            if not same(given, inputs, 0, 0):
                return self.verdict(
                    "not yet",
                    "Your function changes its input in place: whoever called it still needs those "
                    "numbers. Work on new arrays (`x = x - mean`, not `x -= mean`).",
                )
        if all(result is None or result is Ellipsis for result in results):
            if _says_nothing(answer):
                return self.not_attempted()
            return self.verdict(
                "not yet", "Your function returns nothing (None): is a `return` missing at its end?"
            )
        right = [self._agrees(result, wish) for result, wish in zip(results, expected, strict=True)]
        if all(right):
            for test in self.also:
                with _quiet():
                    fault = test(answer, rng)
                if fault:
                    return self.verdict("not yet", fault)
            return self.verdict("right", self.praise)
        for turn in self.wrong_turns:
            if all(self._repeats(turn, *trial) for trial in zip(trials, results, strict=True)):
                return self.verdict("not yet", turn.verdict)
        first = right.index(False)
        return self.verdict("not yet", self._difference(results[first], expected[first]))

    def _run(self, function, inputs, copied=False):
        inputs = inputs if copied else copy.deepcopy(inputs)
        with _quiet():
            return self.call(function, *inputs) if self.call else function(*inputs)

    def _agrees(self, result, expected):
        return same(result, expected, self.rtol, self.atol)

    def _repeats(self, turn, inputs, result):
        return self._agrees(result, self._run(turn.wrong, inputs))

    def _difference(self, result, expected):
        """The first thing that is wrong, in words."""
        if isinstance(expected, tuple):
            names = self.returns or [f"result {i + 1}" for i in range(len(expected))]
            wish = f"a tuple of {len(expected)}: ({', '.join(names)})"
            if not isinstance(result, tuple | list):
                return f"Your function returns {describe(result)}; it should return {wish}."
            if len(result) != len(expected):
                return f"Your function returns {len(result)} values; it should return {wish}."
            good = []
            for name, got, want in zip(names, result, expected, strict=True):
                if not same(got, want, self.rtol, self.atol):
                    before = f"{listed(good)} right. " if good else ""
                    return before + self._one_difference(f"`{name}`", got, want)
                good.append(f"`{name}`")
        return self._one_difference("your result", result, expected)

    def _one_difference(self, name, result, expected):
        has_eps = "eps" in inspect.signature(self.solution).parameters
        return describe_difference(
            name, result, expected, axis=self.statistics_axis, has_eps=has_eps, rtol=self.rtol
        )


@dataclass(frozen=True, kw_only=True)
class ValueExercise(Exercise):
    """The learner computes a number or an array.

    solution   a named function without arguments that returns it; its source is shown
    rtol, atol how close is right: wide enough for a value rounded by hand
    unit       str, for verdicts
    """

    solution: Callable
    rtol: float = 1e-3
    atol: float = 0.0
    unit: str = ""

    stub = "Replace `...` by your answer and run this cell again."

    def _judge(self, answer, rng):
        expected = self.solution()
        if callable(answer) and not hasattr(answer, "shape"):
            return self.verdict("not yet", "You passed a function; this check wants its value.")
        if same(answer, expected, self.rtol, self.atol):
            return self.verdict("right", self.praise)
        for turn in self.wrong_turns:
            wrong = turn.wrong() if callable(turn.wrong) else turn.wrong
            if same(answer, wrong, self.rtol, self.atol):
                return self.verdict("not yet", turn.verdict)
        got, want = as_array(answer), as_array(expected)
        if got is not None and got.shape == want.shape == () and np.isfinite(got):
            return self.verdict("not yet", too_far(float(got), float(want), self.unit))
        return self.verdict(
            "not yet", describe_difference("your answer", answer, expected, rtol=self.rtol)
        )


@dataclass(frozen=True, kw_only=True)
class PredictionExercise(Exercise):
    """The learner guesses before the cell that settles it. check() notes the guess and gives
    nothing away; settle() compares it with what was measured, and explains.

    choices     the words to choose from; or, for a number,
    low, high   the range in which a guess makes sense, and unit
    answer      the value, when it needs no measurement; else settle(id, measured) brings it
    factor      a number counts as right within this factor of the truth (or within atol)
    wrong_turns known wrong guesses, each with the sentence that answers it
    note        why it is so: shown when settled, whatever the guess, and as the solution
    """

    choices: Sequence[str] = ()
    low: float | None = None
    high: float | None = None
    unit: str = ""
    answer: Any = None
    factor: float = 1.25
    atol: float = 0.0

    stub = "Write your guess in place of `...`: a wrong one teaches as much as a right one."

    def __post_init__(self):
        super().__post_init__()
        if bool(self.choices) == (self.low is not None and self.high is not None):
            raise ValueError(f"exercise {self.id}: give either choices, or low and high")
        if not self.note:
            raise ValueError(f"exercise {self.id}: note must say why it is so")

    def _judge(self, answer, rng):
        guess = self._guess(answer)
        if guess is None:
            GUESSES.pop(self.id, None)
            return self.verdict("not yet", self._wish(answer))
        GUESSES[self.id] = guess
        return self.verdict(
            "noted", f"You guess {self._written(guess)}. Run on: a cell below settles it."
        )

    def check(self, answer, rng=None):
        if answer is None or answer is Ellipsis:
            GUESSES.pop(self.id, None)
        return super().check(answer, rng)

    def settle(self, measured=None):
        """Compare the noted guess with what was measured. Never raises."""
        try:
            return self._settled(measured)
        except Exception as error:
            return self.verdict(
                "broken", f"That is our mistake, not yours: `{one_line(error)}`. Please report it."
            )

    def _settled(self, measured):
        truth = self.answer if measured is None else measured
        truth = truth() if callable(truth) else truth
        truth = self._guess(truth, judged=False)
        if truth is None:
            return self.verdict("not yet", "Nothing was measured yet: run the cells above first.")
        found, guess = f"It is {self._written(truth)}.", GUESSES.get(self.id)
        if guess is None:
            return self.verdict("settled", f"You wrote no guess. {found} {self.note}")
        if self._hits(guess, truth):
            return self.verdict(
                "right", f"You guessed {self._written(guess)}. {found} {self.praise or self.note}"
            )
        for turn in self.wrong_turns:
            if self._is(guess, turn.wrong):
                return self.verdict(
                    "settled", f"You guessed {self._written(guess)}. {found} {turn.verdict}"
                )
        return self.verdict("settled", f"You guessed {self._written(guess)}. {found} {self.note}")

    def _guess(self, answer, judged=True):
        """The guess as one of the choices or a float in range; None when it is neither."""
        if self.choices:
            word = answer.strip().casefold() if isinstance(answer, str) else None
            return next((c for c in self.choices if c.casefold() == word), None)
        value = as_array(answer)
        if value is None or value.size != 1 or isinstance(answer, bool) or not np.isfinite(value):
            return None
        value = float(value.reshape(()))
        return value if not judged or self.low <= value <= self.high else None

    def _wish(self, answer):
        if self.choices:
            words = " or ".join(f'`"{c}"`' for c in self.choices)
            return f"{capital(describe(answer))} is not among the choices: write {words}."
        unit = f" {self.unit}" if self.unit else ""
        return (
            f"{capital(describe(answer))} cannot be it: write one number between "
            f"{self.low:g} and {self.high:g}{unit}."
        )

    def _written(self, value):
        if isinstance(value, str):
            return f"“{value}”"
        return f"{value:.3g}" + (f" {self.unit}" if self.unit else "")

    def _hits(self, guess, truth):
        if self.choices:
            return guess == truth
        if abs(guess - truth) <= self.atol:
            return True
        if guess * truth <= 0:
            return guess == truth
        return 1 / self.factor <= guess / truth <= self.factor

    def _is(self, guess, wrong):
        if self.choices:
            return guess == self._guess(wrong)
        if isinstance(wrong, tuple):
            return wrong[0] <= guess <= wrong[1]
        return self._hits(guess, float(wrong))

    def _source(self):
        return ""


GUESSES = {}  # exercise id -> the guess noted in this session


def _refuse_uncallable(answer, solution):
    if callable(answer):
        return None
    return (
        f"The check wants your function itself, and got {describe(answer)}: pass "
        f"`{solution.__name__}`, without parentheses."
    )


def _says_nothing(answer):
    """Is this function an untouched stub: nothing but `...`, `pass`, a docstring, or holes?"""
    code = getattr(answer, "__code__", None)
    if code is None or Ellipsis in code.co_consts:
        return True
    idle = {"RESUME", "NOP", "LOAD_CONST", "RETURN_VALUE", "RETURN_CONST"}
    return all(step.opname in idle for step in dis.get_instructions(code))


def _refuse_arguments(answer, solution, inputs):
    try:
        inspect.signature(answer).bind(*inputs)
    except TypeError:
        names = list(inspect.signature(solution).parameters)[: len(inputs)]
        return (
            f"Your function cannot take these arguments: it is called with {len(inputs)}, "
            f"`({', '.join(names)})`."
        )
    except ValueError:  # built-in functions may have no signature
        return None
    return None


def _quiet():
    """The learner's warnings are not the lesson: a verdict says what matters."""
    stack = warnings.catch_warnings(action="ignore")
    errors = np.errstate(all="ignore")

    class Both:
        def __enter__(self):
            stack.__enter__()
            errors.__enter__()

        def __exit__(self, *about):
            errors.__exit__(*about)
            stack.__exit__(*about)

    return Both()


def _where(error):
    """A hint at what the exception usually means here."""
    if isinstance(error, NameError):
        return "Is a name misspelt, or defined in a cell that was not run?"
    if isinstance(error, ValueError) and "broadcast" in str(error):
        return "Which of the two has lost an axis? `keepdims=True` keeps it."
    if isinstance(error, RecursionError):
        return "It calls itself without an end."
    return "Call it by hand in a new cell, on a small array, to look inside."
