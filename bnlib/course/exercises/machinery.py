"""Exercises that answer back: one kind sentence that names one thing, and never a traceback.

An exercise module, bnlib/course/exercises/nbXX.py, lists its exercises as EXERCISES and its
questions as QUIZ. What is shown as a solution is the source of the function that the tests run.
"""

import copy
import dis
import html
import importlib
import inspect
import pkgutil
import re
import textwrap
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from bnlib.course.markup import CSS, Rich, to_html, to_plain

TRIALS = 4  # fresh inputs per check

STATUS = {  # status: (what is read out, CSS class); a sign and a word, never colour alone
    "right": ("✓ Right.", "bn-right"),
    "not yet": ("✗ Not yet.", "bn-notyet"),
    "not attempted": ("○ Not attempted yet.", "bn-noted"),
    "noted": ("✎ Noted.", "bn-noted"),
    "settled": ("→ Settled.", "bn-noted"),
    "broken": ("⚠ The check itself failed.", "bn-notyet"),
}


class Verdict(Rich):
    """The answer to an answer.

    status  a key of STATUS: "right", "not yet", "not attempted", "noted", "settled", "broken"
    text    the sentence, with the marks of bnlib.course.markup
    passed  True when the status is "right"
    """

    def __init__(self, status, text, label=""):
        sign, css = STATUS[status]
        self.status, self.text, self.passed = status, text, status == "right"
        head = f"{label} " if label else ""
        super().__init__(
            f"{head}{sign} {to_plain(text)}".rstrip(),
            f'{CSS}<div class="bn {css}" role="status">{html.escape(head)}'
            f"<strong>{sign}</strong> {to_html(text)}</div>",
        )


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
                "broken", f"That is our mistake, not yours: `{_one_line(error)}`. Please report it."
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
                    "not yet", f"Your function stopped with `{_one_line(error)}`. {_where(error)}"
                )
            if not _same(given, inputs, 0, 0):
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
        return _same(result, expected, self.rtol, self.atol)

    def _repeats(self, turn, inputs, result):
        return self._agrees(result, self._run(turn.wrong, inputs))

    def _difference(self, result, expected):
        """The first thing that is wrong, in words."""
        if isinstance(expected, tuple):
            names = self.returns or [f"result {i + 1}" for i in range(len(expected))]
            wish = f"a tuple of {len(expected)}: ({', '.join(names)})"
            if not isinstance(result, tuple | list):
                return f"Your function returns {_describe(result)}; it should return {wish}."
            if len(result) != len(expected):
                return f"Your function returns {len(result)} values; it should return {wish}."
            good = []
            for name, got, want in zip(names, result, expected, strict=True):
                if not _same(got, want, self.rtol, self.atol):
                    before = f"{_and(good)} right. " if good else ""
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
        if _same(answer, expected, self.rtol, self.atol):
            return self.verdict("right", self.praise)
        for turn in self.wrong_turns:
            wrong = turn.wrong() if callable(turn.wrong) else turn.wrong
            if _same(answer, wrong, self.rtol, self.atol):
                return self.verdict("not yet", turn.verdict)
        got, want = _array(answer), _array(expected)
        if got is not None and got.shape == want.shape == () and np.isfinite(got):
            return self.verdict("not yet", _too_far(float(got), float(want), self.unit))
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
                "broken", f"That is our mistake, not yours: `{_one_line(error)}`. Please report it."
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
        value = _array(answer)
        if value is None or value.size != 1 or isinstance(answer, bool) or not np.isfinite(value):
            return None
        value = float(value.reshape(()))
        return value if not judged or self.low <= value <= self.high else None

    def _wish(self, answer):
        if self.choices:
            words = " or ".join(f'`"{c}"`' for c in self.choices)
            return f"{_capital(_describe(answer))} is not among the choices: write {words}."
        unit = f" {self.unit}" if self.unit else ""
        return (
            f"{_capital(_describe(answer))} cannot be it: write one number between "
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


# ── what a result differs by ────────────────────────────────────────────────────────────────────


def describe_difference(name, result, expected, *, axis=None, has_eps=False, rtol=1e-6):
    """One sentence on the first thing wrong: type, shape, NaN, sign, factor, offset, mean,
    deviation, ε, then the largest error. result is any object; expected an array or a number."""
    want = _array(expected)
    got = _array(result)
    if got is None:
        kind = "one number" if want.shape == () else f"an array of shape {want.shape}"
        return f"{_capital(name)} is {_describe(result)}; {kind} is expected."
    if got.shape != want.shape:
        advice = ""
        if got.T.shape == want.shape:
            advice = " Transposed, it would fit."
        elif got.ndim < want.ndim:
            advice = " Which axis is lost, and should it be?"
        return f"{_capital(name)} has {_shape(got)}; {_shape(want)} is expected.{advice}"
    bad = ~np.isfinite(got) & np.isfinite(want)
    if bad.any():
        what = "NaN" if np.isnan(got[bad]).any() else "infinite"
        count = (
            f": {bad.sum()} of {got.size} values are {what}" if got.size > 1 else f", but {what}"
        )
        return f"{_capital(name)} is not finite{count}. Is there a division by zero?"
    got, want = got.astype(float), want.astype(float)
    scale = np.abs(want).max() or 1.0
    near = max(rtol, 1e-5)

    def close(a, b):
        return np.abs(a - b).max() <= near * scale

    if close(got, -want):
        return f"{_capital(name)} has the right size but the opposite sign."
    if want.size > 2:
        big = np.abs(want) > 1e-3 * scale
        factor = float(np.median(got[big] / want[big]))
        if not got.any():
            return f"{_capital(name)} is zero everywhere."
        if np.isfinite(factor) and abs(factor - 1) > 1e-4 and close(got, factor * want):
            return f"{_capital(name)} is {_times(factor)} what it should be, everywhere alike."
        offset = float(np.median(got - want))
        if abs(offset) > 1e-4 * scale and close(got, want + offset):
            more = "large" if offset > 0 else "small"
            return f"{_capital(name)} is too {more} by {abs(offset):.3g}, everywhere alike."
    if has_eps and np.abs(got - want).max() < 5e-3 * scale:
        return (
            f"{_capital(name)} is right to {_digits(got, want, scale)} digits; what is left is of "
            "ε’s size. Is `eps` added, once, to the variance, inside the root?"
        )
    if axis is not None and want.ndim > np.max(axis):
        fault = _statistics(name, got, want, axis, near)
        if fault:
            return fault
    place = np.unravel_index(np.abs(got - want).argmax(), want.shape)
    where = f" at [{', '.join(map(str, place))}]" if place else ""
    values = f"{got[place]:.4g} instead of {want[place]:.4g}"
    lead = "mean and deviation are right, but " if axis is not None else ""
    return (
        f"{_capital(lead + name)} is off by up to {np.abs(got - want).max():.2g}: {values}{where}."
    )


def _statistics(name, got, want, axis, near):
    """Mean, then deviation, over the axis; None when both are right."""
    means, wished = got.mean(axis), want.mean(axis)
    spread, wish = got.std(axis), want.std(axis)
    size = max(np.abs(wish).max(), 1e-12)
    where = f"over axis {axis}" if np.ndim(axis) == 0 else f"over axes {tuple(axis)}"
    worst = np.unravel_index(np.abs(means - wished).argmax(), means.shape)
    if np.abs(means - wished).max() > 1e3 * near * size:
        at = f", channel {worst[0]}," if worst else ""
        return (
            f"Look at the mean first: {where}{at} {name} has mean {_short(means[worst], size)}; "
            f"{_short(wished[worst], size)} is expected."
        )
    big = wish > 1e-6 * size
    ratio = np.atleast_1d(spread / np.where(big, wish, 1))[np.atleast_1d(big)]
    if len(ratio) and np.abs(ratio - 1).max() > 1e3 * near:
        worst = float(ratio[np.abs(np.log(np.maximum(ratio, 1e-300))).argmax()])
        how = f"{worst:.3g} times too large" if worst > 1 else f"{_inverse(worst)} times too small"
        return f"The mean is right; the standard deviation of {name} is {how}."
    return None


def _too_far(got, want, unit):
    unit = f" {unit}" if unit else ""
    if got * want < 0:
        return f"{got:.4g}{unit} has the wrong sign."
    more = "large" if abs(got) > abs(want) else "small"
    small, large = sorted((abs(got), abs(want)))
    ratio = large / small if small else np.inf
    far = (
        "" if ratio < 2 or not want else "by more than a factor of two" if ratio < 10 else "by far"
    )
    far = "by a little" if ratio < 1.1 else far
    shown = f"{got:,.0f}" if got == round(got) else f"{got:.4g}"
    return f"{shown}{unit} is too {more} {far}".rstrip() + "."


# ── small helpers ───────────────────────────────────────────────────────────────────────────────


def _array(value):
    """value as a numeric array, or None when it is none; torch tensors without importing torch."""
    try:
        if hasattr(value, "detach"):
            value = value.detach().cpu()
            value = (value.float() if str(value.dtype) == "torch.bfloat16" else value).numpy()
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            array = np.asarray(value)
    except Exception:
        return None
    return array if array.dtype.kind in "biuf" else None


def _same(got, want, rtol, atol):
    """Equal in structure, shape and, within the tolerances, in value; NaN equals NaN."""
    if isinstance(want, tuple):
        return (
            isinstance(got, tuple | list)
            and len(got) == len(want)
            and all(_same(g, w, rtol, atol) for g, w in zip(got, want, strict=True))
        )
    g, w = _array(got), _array(want)
    if w is None:
        return g is None and type(got) is type(want) and _equal(got, want)
    if g is None or g.shape != w.shape:
        return False
    with np.errstate(all="ignore"):
        return bool(np.allclose(g, w, rtol=rtol, atol=atol, equal_nan=True))


def _equal(a, b):
    try:
        return bool(a == b) or not isinstance(a, str | int | float | list | dict | type(None))
    except Exception:  # objects that cannot be compared, e.g. a generator's copy
        return True


def _refuse_uncallable(answer, solution):
    if callable(answer):
        return None
    return (
        f"The check wants your function itself, and got {_describe(answer)}: pass "
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


def _one_line(error):
    text = " ".join(str(error).split()).replace("`", "'")
    text = text if len(text) <= 160 else text[:157] + "…"
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def _where(error):
    """A hint at what the exception usually means here."""
    if isinstance(error, NameError):
        return "Is a name misspelt, or defined in a cell that was not run?"
    if isinstance(error, ValueError) and "broadcast" in str(error):
        return "Which of the two has lost an axis? `keepdims=True` keeps it."
    if isinstance(error, RecursionError):
        return "It calls itself without an end."
    return "Call it by hand in a new cell, on a small array, to look inside."


def _describe(value):
    array = _array(value)
    if value is None:
        return "None"
    if array is not None and not isinstance(value, str | bytes):
        return f"{array.item():.4g}" if array.shape == () else f"an array of {_shape(array)}"
    if isinstance(value, str):
        text = value if len(value) <= 40 else value[:39] + "…"
        return f"the string `{text!r}`".replace("``", "`")
    if callable(value):
        return "a function"
    kind = type(value).__name__
    return f"{'an' if kind[0] in 'aeiou' else 'a'} {kind}"


def _shape(array):
    return "one number" if array.shape == () else f"shape {array.shape}"


def _times(factor):
    if factor < 0:
        return f"{factor:.4g} times"
    if abs(factor) < 1 and abs(1 / factor - round(1 / factor)) < 1e-3:
        return f"1/{round(1 / factor)} of"
    return f"{factor:.4g} times"


def _short(value, scale):
    """Three digits; what is zero but for rounding is written 0."""
    return "0" if abs(value) < 1e-9 * scale else f"{value:.3g}"


def _inverse(ratio):
    return f"{1 / ratio:.3g}" if ratio > 1e-12 else "infinitely many"


def _digits(got, want, scale):
    worst = np.abs(got - want).max() / scale
    return max(1, int(-np.log10(max(worst, 1e-16))))


def _and(names):
    return f"{names[0]} is" if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]} are"


def _capital(text):
    return text[:1].upper() + text[1:]


# ── the registry ────────────────────────────────────────────────────────────────────────────────


def find(number):
    """The exercise with this number, such as "3.2". Raises LookupError with a hint."""
    if not isinstance(number, str) or not re.fullmatch(r"\d{1,2}\.\d{1,2}", number):
        raise LookupError(f'An exercise is named by its number in quotes, like "3.2"; '
                          f"got {_describe(number)}.")  # fmt: skip
    known = exercises_of(number.split(".")[0])
    if number not in known:
        listed = ", ".join(known) or "none"
        raise LookupError(f"There is no exercise {number}; this notebook has: {listed}.")
    return known[number]


def exercises_of(notebook):
    """The exercises of notebook "3" or "03", by number. An unknown notebook has none."""
    name = f"bnlib.course.exercises.nb{int(notebook):02d}"
    try:
        module = importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name != name:
            raise
        return {}
    known = {exercise.id: exercise for exercise in module.EXERCISES}
    if len(known) < len(module.EXERCISES):
        raise ValueError(f"{name}: two exercises share a number")
    return known


def notebooks():
    """The two-digit numbers of the notebooks that have an exercise module."""
    package = importlib.import_module("bnlib.course.exercises")
    names = [module.name for module in pkgutil.iter_modules(package.__path__)]
    return sorted(name[2:] for name in names if re.fullmatch(r"nb\d\d", name))


# ── what notebooks call ─────────────────────────────────────────────────────────────────────────


def check(number, answer=None):
    """Judge an answer to an exercise. Returns a Verdict, which a cell's last line displays."""
    return _ask(number, lambda exercise: exercise.check(answer))


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
        return Verdict("broken", f"Please report it: `{_one_line(error)}`.")
