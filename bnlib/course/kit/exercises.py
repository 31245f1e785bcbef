"""Exercises that give feedback: one kind sentence that names one thing, and never a traceback.

An exercise module, bnlib/course/nbXX/exercises.py, lists its exercises as EXERCISES and its
questions as QUIZ. What is shown as a solution is the source of the function that the tests run.

How to write an exercise
------------------------
1. Choose the kind: `FunctionExercise` (a function, compared with yours on fresh inputs),
   `ClassExercise` (a class, driven through a scenario), `ValueExercise` (a number or a small
   array), `PredictionExercise` (a guess, settled later), `TestExercise` (the learner writes the
   test, and it must tell right layers from wrong ones).
2. Write `solution` as a plain function, in steps with the course's letters (`mu_B`, `s`, `x_hat`).
   The kit reads its source: it plants every known slip in it (another axis, $m-1$, ε outside
   the root, a term lost, a factor twice, two arguments exchanged, a `reshape` without the move
   before it …), and recognizes an answer that gives the same numbers. It takes the names of steps
   and arguments for its sentences. So write `axis=0` and `.mean(...)`, no helper that hides them,
   and nothing but `np` (`torch`) and what the notebook has: the text is pasted by learners.
3. Write `inputs(rng)`: fresh arguments, γ ≠ 1 with both signs, β ≠ 0, ε from 0.05 up, N ≥ 4. No two
   sizes of an array are equal, and none is 1: a size then says which axis it is, and a
   wrong broadcast cannot pass. Draw N, too, where the answer might have a size written into it.
   Inputs that are rows at times and images at times are both tried in each check. Where the
   first array is no batch, as with weights, name its `axes`: no verdict then speaks of examples.
4. Several results: `returns=("mu_B", "var_B")`. A dict, or a result and a cache: `steps=("c", "s",
   "x_hat", "y")` is the order in which they are compared; the first wrong one is named, and the
   verdict says what before it is right. The learner's dict must have your keys, and may have more.
5. List `properties` (properties.py) that the numbers must have: they are tried first, and what
   is broken is shown on the smallest input. A gradient: also `terms`, such as
   `lambda dy, cache: backward_terms(dy, cache["x_hat"], cache["gamma"] / cache["s"])`
   (faults.py), so that each term is recognized. `autograd=True`: torch's gradient is compared.
6. Wrong turns by hand are for what the kit cannot know, or where your sentence teaches more than
   its own. Try yours first: `print(EXERCISE.check(wrong))`. A hand-written turn goes first.
7. A class: `scenario(answer, *inputs)` yields (name, value) steps, the name as a sentence
   begins: `yield "the running mean after one batch", layer.running_mean`. Arrays are copied
   as they pass. Where it cannot go on, `raise Refused(sentence)`. An answer that needs building
   without being a class: `call`.
8. `keeps="batch_norm"` keeps a passed answer as the learner's own layer (own_layer.py).
9. `variants=(with_loops, with_einsum)` are right answers written otherwise; each wrong turn is a
   mistake that must get its sentence. Both are tested for every exercise by themselves, and so is
   that the solution, its pasted text, float32, lists, tensors and stacked results pass, and that
   no stub, junk or slip does (tests/test_course_rooms.py, tests/test_course_exercises.py).

An answer is judged to the precision in which it was computed, and the verdict says so when that is
not float64's. No verdict prints the expected array, and a ValueExercise's tells no value of it.
"""

import copy
import html
import inspect
import re
import textwrap
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from bnlib.course.kit import properties as kept
from bnlib.course.kit.answers import (
    IN_PLACE,
    advice,
    asserts,
    frozen,
    is_stub,
    quiet,
    refuse_arguments,
    refuse_uncallable,
)
from bnlib.course.kit.differences import (
    as_array,
    axis_words,
    capital,
    describe,
    describe_difference,
    like,
    listed,
    narrowed,
    precision,
    same,
    shapes_in,
    too_far,
)
from bnlib.course.kit.faults import Evidence, cause, quoted, relation, right_so_far
from bnlib.course.kit.folded import Folded
from bnlib.course.kit.markup import to_html
from bnlib.course.kit.slips import detached, slips
from bnlib.course.kit.verdicts import Verdict, one_line

TRIALS = 4  # fresh inputs per check, and one more of each kind that they missed
KNOWN = 0.5  # the share of the marks for a mistake that the check knows


@dataclass(frozen=True)
class WrongTurn:
    """A known mistake.

    name     a few words, for tests and readers of the module
    wrong    FunctionExercise: a function that makes the mistake; ValueExercise: the wrong value or
             a function without arguments returning it; PredictionExercise: the wrong guess, or a
             (low, high) range of guesses; TestExercise: a wrong layer
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

    # ── marks, for a class (marks.py) ──

    worth, minutes = 3, 5  # marks; how long it takes most people, a rule of thumb

    def graded(self, answer, rng=None):
        """(Verdict, the share of the marks that the answer gets, from 0 to 1). Never raises."""
        verdict = self.check(answer, rng)
        if verdict.status != "not yet":
            return verdict, float(verdict.passed)
        try:
            return verdict, self._share(answer, verdict)
        except Exception:
            return verdict, 0.0

    def _share(self, answer, verdict):
        """What a wrong answer gets: a part where the check knows the mistake."""
        return KNOWN * any(turn.verdict in verdict.text for turn in self.wrong_turns)

    def show_hint(self):
        """The hint, folded; several hints open one after the other."""
        hints = [self.hint] if isinstance(self.hint, str) else list(self.hint)
        labels = [f"Hint for {self.id}"] + ["One more hint"] * (len(hints) - 1)
        parts = [
            (label, f"<p>{to_html(text)}</p>") for label, text in zip(labels, hints, strict=True)
        ]
        return Folded(labels[0], parts)

    def show_solution(self):
        """The source that the tests run, folded."""
        code, note = self._source(), self.note
        inside = f"<pre><code>{html.escape(code)}</code></pre>" if code else ""
        inside += f"<p>{to_html(note)}</p>" if note else ""
        name = f"Solution of {self.id}"
        return Folded(name, [(name, inside)])

    def _source(self):
        return textwrap.dedent(inspect.getsource(self.solution)).strip()


@dataclass(frozen=True, kw_only=True)
class FunctionExercise(Exercise):
    """The learner writes a function; it is run beside ours on fresh random inputs.

    solution   a named function of the exercise module: its source is what solution() shows, and
               what the kit plants slips in
    inputs     function rng -> tuple of arguments; gamma ≠ 1, beta ≠ 0, N ≥ 4, no two sizes equal
    returns    names of the returned values, when the solution returns a tuple of several
    steps      names in `returns`, or keys of a returned dict, in the order in which to compare;
               what is not named comes last
    properties what a right result keeps (properties.py), tried before numbers are compared
    terms      function (*inputs) -> [Term …] whose sum the result is (faults.py); of the part
               `terms_of` where there are several
    autograd   True: the inputs are tensors, and the gradients are compared, too
    axes       words for the axes of the first array, such as ("rate", "seed"); known for
               (example, feature) and (example, channel, row, column)
    statistics_axis  axis or axes over which a wrong result's mean and deviation are compared first
               (0 for (N, D), (0, 2, 3) for (N, C, H, W)); None where they say nothing
    rtol, atol how close is right for an answer in float64
    coarsest   the coarsest format in which an answer may be computed: "bfloat16" or "float32"
    call       function (answer, *inputs) -> result, when an answer is not simply called: e.g. a
               class that is built first. Solution and wrong turns are called the same way.
    also       further tests, each a function (answer, rng) -> None, or a sentence that names the
               fault; run once the results agree
    keeps      name under which a passed answer is kept as part of the learner's own layer
    variants   right answers written otherwise (loops, einsum, another order), for the tests
    """

    solution: Callable
    inputs: Callable
    returns: Sequence[str] = ()
    steps: Sequence[str] = ()
    properties: Sequence[kept.Property] = ()
    terms: Callable | None = None
    terms_of: str = ""
    autograd: bool = False
    axes: Sequence[str] = ()
    statistics_axis: int | tuple | None = None
    rtol: float = 1e-6
    atol: float = 1e-8
    coarsest: str = "bfloat16"
    call: Callable | None = None
    also: Sequence[Callable] = ()
    keeps: str = ""
    variants: Sequence[Callable] = ()

    stub = "Replace `...` by your code and run this cell again."

    @property
    def worth(self):
        return 8 if self.keeps else 6

    minutes = 10

    def _share(self, answer, verdict):
        """A slip counts like a wrong turn; a diagnosis alone, such as another shape, does not."""
        share = super()._share(answer, verdict)
        if share or refuse_uncallable(answer, self.solution):
            return share
        trials = self._trials(np.random.default_rng(0))
        expected = [self._run(self.solution, inputs) for inputs in trials]
        results = [self._run(answer, inputs) for inputs in trials]
        with quiet():
            return KNOWN * self._rather_a_slip(self._evidence(answer, trials, results, expected))

    def _judge(self, answer, rng):
        fault = refuse_uncallable(answer, self.solution)
        if fault:
            return self.verdict("not yet", fault)
        trials = self._trials(rng)
        expected = [self._run(self.solution, inputs) for inputs in trials]
        results = []
        for inputs in trials:
            fault = self._refuse_arguments(answer, inputs)
            if fault:
                return self.verdict("not yet", fault)
            given = copy.deepcopy(inputs)
            try:
                results.append(self._run(answer, given, copied=True, prints=not results))
            except (Exception, SystemExit) as error:
                if is_stub(answer) or "'ellipsis'" in str(error):
                    return self.not_attempted()  # a stub that says so, or one half filled in
                return self.verdict("not yet", self._stopped(error, inputs))
            if not same(given, inputs, 0, 0):
                return self.verdict("not yet", IN_PLACE)
        if all(result is None or result is Ellipsis for result in results):
            if is_stub(answer):
                return self.not_attempted()
            return self.verdict(
                "not yet", "Your function returns nothing (None): is a `return` missing at its end?"
            )
        evidence = self._evidence(answer, trials, results, expected)
        with quiet():
            fault = self._fault(evidence, rng)
        if fault:
            return self.verdict("not yet", fault)
        return self.verdict("right", self._praised(evidence))

    def _trials(self, rng):
        """Fresh inputs; where they are drawn as rows or as images, both."""
        trials = [self.inputs(rng) for _ in range(TRIALS)]
        kinds = [[len(shape) for shape in shapes_in(inputs)] for inputs in trials]
        for inputs in (self.inputs(rng) for _ in range(3 * TRIALS)):
            kind = [len(shape) for shape in shapes_in(inputs)]
            if kind not in kinds:
                trials.append(inputs)
                kinds.append(kind)
        return trials

    # ── how an answer is run and taken apart ──

    def _run(self, function, inputs, copied=False, prints=False):
        inputs = inputs if copied else copy.deepcopy(inputs)
        with quiet(prints):
            return self.call(function, *inputs) if self.call else function(*inputs)

    def _argument_names(self):
        if self.call:
            return kept.parameters_of(self.call, skip=1)
        return kept.parameters_of(self.solution)

    def _refuse_arguments(self, answer, inputs):
        return None if self.call else refuse_arguments(answer, self.solution, inputs)

    def _evidence(self, answer, trials, results, expected):
        return Evidence(
            answer, self.solution, self._run, self._parts, self._argument_names(), trials, results,
            expected, self.terms, self.terms_of, self.axes,
        )  # fmt: skip

    def _parts(self, result, expected):
        """[(name, value)] in the order in which they are compared; a sentence when the result
        is not built like the expected one."""
        if isinstance(result, Exception):
            return f"stopped with {one_line(result)}"
        result = like(result, expected)
        found = []
        if isinstance(expected, tuple):
            names = self.returns or [f"result {i + 1}" for i in range(len(expected))]
            wish = f"a tuple of {len(expected)}: ({', '.join(names)})"
            if not isinstance(result, tuple | list):
                return f"Your function returns {describe(result)}; it should return {wish}."
            if len(result) != len(expected):
                return f"Your function returns {len(result)} values; it should return {wish}."
        else:
            names, result, expected = ("",), (result,), (expected,)
        for name, got, want in zip(names, result, expected, strict=True):
            if not isinstance(want, dict):
                found.append((name, got))
                continue
            what = f"`{name}`" if name else "Your result"
            if not isinstance(got, dict):
                return f"{what} is {describe(got)}; a dict with {_quoted(want)} is expected."
            missing = [key for key in want if key not in got]
            if missing:
                return f"{what} has no {_quoted(missing[:1])}; its keys are {_quoted(got)}."
            found += [(key, got[key]) for key in want]
        order = {name: place for place, name in enumerate(self.steps)}
        found.sort(key=lambda part: order.get(part[0], len(order)))
        return found

    # ── what is wrong with it ──

    def _fault(self, evidence, rng):
        """The sentence on a wrong answer; None when it is right."""
        precisions = self._precisions(evidence)
        if None not in precisions:
            fine = not {*precisions} - {"", "float32"}
            return (
                (self._broken_property(evidence) if fine else None)
                or self._changes(evidence)
                or (self._gradient_fault(evidence) if self.autograd else None)
                or next((says for test in self.also if (says := test(evidence.answer, rng))), None)
            )
        for turn in self.wrong_turns:
            if self._repeats(turn, evidence):
                return turn.verdict
        broken = self._broken_property(evidence) if self._fits(evidence) else None
        found = cause(evidence) or self._some_shapes(evidence, precisions)
        if found or broken:
            return " ".join(part for part in (broken, found) if part)
        return self._difference(evidence, precisions.index(None))

    def _fits(self, evidence):
        """Is every part of every result shaped as it should be? If not, that comes first: what the
        numbers keep says little."""
        for result, wish in zip(evidence.results, evidence.expected, strict=True):
            mine, right = self._parts(result, wish), self._parts(wish, wish)
            if isinstance(mine, str):
                return False
            for (_, got), (_, want) in zip(mine, right, strict=True):
                got, want = as_array(got), as_array(want)
                if want is not None and (got is None or got.shape != want.shape):
                    return False
        return True

    def _precisions(self, evidence):
        """For each trial "", "float32", … as `precision` says; None where the result is wrong."""
        found = []
        for inputs, result, wish in zip(
            evidence.trials, evidence.results, evidence.expected, strict=True
        ):
            mine, right = self._parts(result, wish), self._parts(wish, wish)
            if isinstance(mine, str):
                found.append(None)
                continue
            if all(
                same(g, w, self.rtol, self.atol) for (_, g), (_, w) in zip(mine, right, strict=True)
            ):
                found.append("")
                continue
            try:
                coarse = self._parts(self._run(self.solution, narrowed(inputs)), wish)
            except Exception:  # a solution that takes float64 alone
                coarse = right
            how = [
                precision(got, want, _gap(rough, want), self.rtol, self.atol)
                for (_, got), (_, want), (_, rough) in zip(mine, right, coarse, strict=True)
            ]
            order = ["", "float32", "float16", "bfloat16"]
            if None in how or (self.coarsest == "float32" and {*how} - {"", "float32"}):
                found.append(None)
            else:
                found.append(max(how, key=order.index))
        if any(found) and None not in found and self._rather_a_slip(evidence):
            return [None] * len(found)
        return found

    def _rather_a_slip(self, evidence):
        """Is some slip much nearer than the solution, so that it is no matter of precision?"""
        return any(evidence.agrees(slip.function) for slip in slips(self.solution))

    def _praised(self, evidence):
        how = max(self._precisions(evidence), key=["", "float32", "float16", "bfloat16"].index)
        digits = {"float32": "seven", "float16": "three", "bfloat16": "two"}
        judged = (
            f"(Judged to the {digits[how]} digits of {how}, in which it was computed.)"
            if how
            else ""
        )
        return f"{self.praise} {judged}".strip()

    def _repeats(self, turn, evidence):
        return all(
            self._agrees(result, evidence.of(turn.wrong, inputs))
            for inputs, result in zip(evidence.trials, evidence.results, strict=True)
        )

    def _agrees(self, result, other):
        if isinstance(other, Exception):
            return False
        return same(result, other, max(self.rtol, 1e-5), max(self.atol, 1e-6))

    def _broken_property(self, evidence):
        names = evidence.names

        def runs(function):
            def run(of=None, **inputs):
                inputs = tuple(inputs[name] for name in names if name in inputs)
                result = self._run(function, inputs)
                if of is not None or isinstance(result, tuple | dict):
                    parts = self._parts(result, self._run(self.solution, inputs))
                    if isinstance(parts, str):
                        return None
                    result = dict(parts)[of] if of is not None else parts[0][1]
                array = as_array(result)
                return None if array is None else array.astype(float)

            return run

        inputs = dict(zip(names, evidence.trials[0], strict=False))
        words = axis_words(evidence.trials[0], self.axes)
        found = kept.first_broken(
            self.properties, runs(evidence.answer), runs(self.solution), inputs, words
        )
        if found is None:
            return None
        _, says, small = found
        shown = kept.written(small)
        return f"With {shown}, {says}" if shown else capital(says)

    def _changes(self, evidence):
        """Does a second call give the same?"""
        again = evidence.of(evidence.answer, evidence.trials[0])
        if not same(again, evidence.results[0], 1e-6, 1e-9):
            return (
                "Called a second time with the same input, your function answers differently: "
                "something of the first call is left over."
            )
        return None

    def _some_shapes(self, evidence, precisions):
        """Right for some shapes, and wrong for others? Then look at the wrong ones alone."""
        shapes = [next(shapes_in(inputs), ()) for inputs in evidence.trials]
        right = {shape for shape, how in zip(shapes, precisions, strict=True) if how is not None}
        wrong = [i for i, how in enumerate(precisions) if how is None]
        if not right or any(shapes[i] in right for i in wrong):
            return None
        one, other = right.pop(), shapes[wrong[0]]
        lead = f"Your function is right for an input of shape {one}, and wrong for {other}"
        if len(one) == len(other):
            return f"{lead}: is a size written into it as a number?"
        alone = replace(
            evidence,
            known={},
            **{
                name: [getattr(evidence, name)[i] for i in wrong]
                for name in ("trials", "results", "expected")
            },
        )
        return f"{lead}. {cause(alone) or self._difference(alone, 0)}"

    def _gradient_fault(self, evidence):
        """The numbers are right; does autograd see the whole way from input to result?"""
        inputs, weights = evidence.trials[0], np.random.default_rng(1)
        weights = [weights.normal(size=np.shape(as_array(v))) for _, v in self._parts(
            evidence.expected[0], evidence.expected[0])]  # fmt: skip
        wish = self._gradients(self.solution, inputs, weights)
        try:
            got = self._gradients(evidence.answer, inputs, weights)
        except Exception as error:
            return (
                f"The numbers are right, but autograd cannot follow (`{one_line(error)}`). Stay in "
                "torch from input to result: no `.numpy()`, no NumPy function, no `.item()`."
            )
        if got is None:
            return (
                "The numbers are right, but the result has no gradient: it left the graph (through "
                "`.detach()`, `no_grad`, or NumPy)."
            )
        if same(tuple(got), tuple(wish), 1e-4, 1e-6):
            return None
        for name, function in detached(self.solution):
            if same(
                tuple(got), tuple(self._gradients(function, inputs, weights) or ()), 1e-4, 1e-6
            ):
                return (
                    f"The numbers are right, the gradient is not: `{name}` is cut off from the "
                    "graph, and autograd takes it for a constant. It depends on the input."
                )
        return (
            "The numbers are right, the gradient is not: part of the way from input to result is "
            "cut off from the graph (`.detach()`, `no_grad`, NumPy). Autograd takes it for a "
            "constant."
        )

    def _gradients(self, function, inputs, weights):
        """The gradients of a random sum of the results; None where there is no graph."""
        inputs = tuple(
            v.clone().requires_grad_() if hasattr(v, "detach") and v.is_floating_point() else v
            for v in inputs
        )
        with quiet():
            result = self.call(function, *inputs) if self.call else function(*inputs)
            values = [v for _, v in self._parts(result, result)]
            loss = sum(
                (v * v.new_tensor(w)).sum() for v, w in zip(values, weights, strict=True)
            )  # fmt: skip
            if not loss.requires_grad:
                return None
            loss.backward()
        found = [v for v in inputs if hasattr(v, "detach") and v.is_floating_point()]
        return [0 * v.detach() if v.grad is None else v.grad for v in found]

    def _stopped(self, error, inputs):
        """The sentence on an answer that raised."""
        after = f" {error.__notes__[0]}" if getattr(error, "__notes__", None) else ""
        advised = advice(error, axis_words(inputs, self.axes))
        return f"{self._called} stopped{after} with `{one_line(error)}`. {advised}"

    _called = "Your function"

    def _difference(self, evidence, trial):
        """The first thing that is wrong, in words."""
        result, expected = evidence.results[trial], evidence.expected[trial]
        parts = self._parts(result, expected)
        if isinstance(parts, str):
            return parts
        right = self._parts(expected, expected)
        said = self._first_difference(parts, right, evidence.trials[trial])
        return said or "Your result is close, but not close enough."

    def _first_difference(self, parts, right, inputs):
        good, words = [], axis_words(inputs, self.axes)
        for (name, got), (_, want) in zip(parts, right, strict=True):
            if not same(got, want, max(self.rtol, 1e-5), max(self.atol, 1e-6)):
                said = describe_difference(
                    quoted(name), got, want, axis=self.statistics_axis, words=words, rtol=self.rtol,
                    has_eps="eps" in self._argument_names(),
                )  # fmt: skip
                return right_so_far(good) + said
            good.append(name)
        return None


class Refused(Exception):
    """Raised by a scenario that cannot go on: its text is the verdict, whole."""


@dataclass(frozen=True, kw_only=True)
class ClassExercise(FunctionExercise):
    """The learner writes a class; solution and answer go through the same scenario, step by step.

    solution   a class of the exercise module
    scenario   generator function (answer, *inputs) that yields (name, value): what to compare, in
               the order in which things happen. The first step that differs is named, so the name
               reads as the start of a sentence: "the output in inference mode". Values are copied
               as they pass (a running mean may go on changing), a tuple's one by one.
    """

    scenario: Callable

    stub = "Replace `...` by your code and run this cell again."
    worth, minutes = 10, 25
    _called = "Your class"

    def _run(self, function, inputs, copied=False, prints=False):
        inputs = inputs if copied else copy.deepcopy(inputs)
        steps, last = {}, "at the first step"
        with quiet(prints):
            try:
                for name, value in self.scenario(function, *inputs):
                    many = value if isinstance(value, tuple) else (value,)
                    for i, one in enumerate(many):
                        part = f" ({i + 1} of {len(many)})" if len(many) > 1 else ""
                        steps[name + part] = frozen(one)
                    last = f"after {name}"
            except Exception as error:
                error.__notes__, error.done = [last], steps
                raise
        return steps

    def _stopped(self, error, inputs):
        """A step before that was wrong comes first; else the step on the way to which it was."""
        done, wish = getattr(error, "done", {}), self._run(self.solution, inputs)
        said = self._first_difference(list(done.items()), list(wish.items())[: len(done)], inputs)
        if said or isinstance(error, Refused):
            return said or str(error)
        if done and len(done) < len(wish):
            error.__notes__ = [f"{error.__notes__[0]}, on the way to {list(wish)[len(done)]},"]
        return super()._stopped(error, inputs)

    def _argument_names(self):
        return kept.parameters_of(self.scenario, skip=1)

    def _refuse_arguments(self, answer, inputs):
        return None

    def _judge(self, answer, rng):
        if not isinstance(answer, type):
            what = "an instance" if type(answer).__name__ == self.solution.__name__ else (
                describe(answer))  # fmt: skip
            return self.verdict(
                "not yet",
                f"The check wants your class itself, and got {what}: pass "
                f"`{self.solution.__name__}`, without parentheses.",
            )
        if is_stub(answer):
            return self.not_attempted()
        return super()._judge(answer, rng)


@dataclass(frozen=True, kw_only=True)
class TestExercise(Exercise):
    """The learner writes a test: test(layer) -> True for a layer that is right, False for a wrong
    one. It is run on right and on wrong ones, and what slips through is named, not shown.

    solution   a named function, our test: its source is shown
    right      {what a right one is: the layer}; a test that refuses it raises a false alarm
    wrong      the wrong ones, as WrongTurn: `wrong` is the layer, `verdict` what a learner reads
               whose test lets it pass, such as "One that divides by $m-1$ slips through."
    """

    __test__ = False  # not a test of ours

    solution: Callable
    right: dict
    wrong: Sequence[WrongTurn]
    keeps: str = ""

    stub = "Replace `...` by your test and run this cell again."
    worth, minutes = 6, 10

    def _share(self, answer, verdict):
        """The share of the wrong ones that it finds, where it refuses no right one."""
        if any(self._says(answer, layer)[0] is not True for layer in self.right.values()):
            return 0.0
        found = [self._says(answer, turn.wrong)[0] is not True for turn in self.wrong]
        return min(sum(found) / max(len(found), 1), 1 - 1 / self.worth)  # it is not right

    def _judge(self, answer, rng):
        fault = refuse_uncallable(answer, self.solution) or refuse_arguments(
            answer, self.solution, (None,)
        )
        if fault:
            return self.verdict("not yet", fault)
        if is_stub(answer):
            return self.not_attempted()
        for what, layer in self.right.items():
            said, error = self._says(answer, layer)
            if error is not None and "'ellipsis'" in str(error):
                return self.not_attempted()
            if said == "stopped":
                return self.verdict(
                    "not yet",
                    f"Your test stopped with `{one_line(error)}` on a right layer ({what}). "
                    f"{advice(error)}",
                )
            if said == "odd":
                return self.verdict(
                    "not yet",
                    f"Your test returns {describe(error)}; it should return True or False.",
                )
            if said is False:
                return self.verdict(
                    "not yet",
                    f"False alarm: your test refuses a layer that is right ({what}). "
                    "Does it compare rounded numbers for equality, or forget ε?",
                )
        slipped = [turn for turn in self.wrong if self._says(answer, turn.wrong)[0] is True]
        if slipped:
            caught = len(self.wrong) - len(slipped)
            return self.verdict(
                "not yet",
                f"{slipped[0].verdict} (Your test catches {caught} of {len(self.wrong)}.)",
            )
        return self.verdict("right", self.praise)

    def _says(self, test, layer):
        """True, False, "odd" or "stopped" (with the error); a test may assert, too. A test that is
        right only by luck is asked several times: its worst answer counts."""
        found = []
        for _ in range(TRIALS):
            try:
                with quiet():
                    said = test(layer)
            except AssertionError:
                said = False
            except (Exception, SystemExit) as error:
                # on a wrong layer that cannot be run, too: whoever looks on sees that it is wrong
                return "stopped", error
            if said is None and asserts(test):
                said = True
            truth = as_array(said)
            if truth is None or truth.shape != () or truth.dtype.kind != "b":
                return "odd", said
            found.append(bool(truth))
        right = layer in self.right.values()
        return (all(found) if right else any(found)), None


@dataclass(frozen=True, kw_only=True)
class ValueExercise(Exercise):
    """The learner computes a number or an array.

    solution   a named function without arguments that returns it; its source is shown
    rtol, atol how close is right: wide enough for a value rounded by hand
    unit       str, for verdicts
    entries    names of an array's entries, such as ("A", "B"): a verdict says which are right
    because    {(name, wrong value): the sentence on it}, where entries are choices
    """

    solution: Callable
    rtol: float = 1e-3
    atol: float = 0.0
    unit: str = ""
    entries: Sequence[str] = ()
    because: Mapping = field(default_factory=dict)

    stub = "Replace `...` by your answer and run this cell again."

    def _judge(self, answer, rng):
        expected = self.solution()
        if callable(answer) and not hasattr(answer, "shape"):
            answer, fault = self._value_of(answer)
            if fault:
                return fault
        answer = like(answer, expected)
        if self._agrees(answer, expected):
            return self.verdict("right", self.praise)
        for turn in self.wrong_turns:
            wrong = turn.wrong() if callable(turn.wrong) else turn.wrong
            if same(answer, wrong, self.rtol, self.atol):
                return self.verdict("not yet", turn.verdict)
        got, want = as_array(answer), as_array(expected)
        if got is not None and got.shape == want.shape and np.isfinite(got).all():
            if self.entries:
                return self.verdict("not yet", self._entry_by_entry(got, want))
            said = relation("your answer", got.astype(float), want.astype(float))
            if said is None and got.shape == ():
                said = too_far(float(got), float(want), self.unit)
            if said:
                return self.verdict("not yet", said)
        return self.verdict(
            "not yet",
            describe_difference("your answer", answer, expected, rtol=self.rtol, tell=False),
        )

    def _entry_by_entry(self, got, want):
        """Which entries are right, and the sentence on the first that is not."""
        right = [self._agrees(g, w) for g, w in zip(got, want, strict=True)]
        good = [name for name, ok in zip(self.entries, right, strict=True) if ok]
        at = right.index(False)
        name, value = self.entries[at], got[at].item()
        says = self.because.get((name, value))
        if says is None:
            says = f"{capital(name)} is not." if good else f"Look again, beginning with {name}."
        return f"{capital(listed(good))} right. {says}" if good else says

    def _agrees(self, answer, expected):
        """Right, to float32's precision where no more was asked for."""
        return same(answer, expected, max(self.rtol, 1e-6) if self.rtol else 0.0, self.atol)

    def _value_of(self, function):
        """(value, None) of a function that wants no arguments, as the shown solution is one; or
        (None, verdict)."""
        try:
            with quiet():
                value = function()
        except (Exception, SystemExit) as error:
            if is_stub(function) or "'ellipsis'" in str(error):
                return None, self.not_attempted()
            return None, self.verdict(
                "not yet",
                "You passed a function; this check wants its value. Called without arguments, it "
                f"stopped with `{one_line(error)}`.",
            )
        if value is None or value is Ellipsis:
            if is_stub(function):
                return None, self.not_attempted()
            return None, self.verdict(
                "not yet", "Your function returns nothing (None): is a `return` missing at its end?"
            )
        return value, None


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
    minutes = 2

    @property
    def worth(self):
        return 1 if self.answer is None else 2

    def graded(self, answer, rng=None):
        """A guess at what the notebook measures counts as such; where the answer is to be found by
        thought, it must be right."""
        verdict = self.check(answer, rng)
        if verdict.status != "noted":
            return verdict, 0.0
        if self.answer is None:
            return verdict, 1.0
        settled = self._settled(None)
        known = any(turn.verdict in settled.text for turn in self.wrong_turns)
        return settled, 1.0 if settled.passed else KNOWN * known

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
        """Compare the noted guess with what was measured; folded where none was. Never raises."""
        try:
            verdict = self._settled(measured)
        except Exception as error:
            return self.verdict(
                "broken", f"That is our mistake, not yours: `{one_line(error)}`. Please report it."
            )
        if verdict.status != "settled" or self.id in GUESSES:
            return verdict
        lead = f"{self.label} → You wrote no guess."
        return Folded(
            f"The answer to {self.id}", [(f"The answer to {self.id}", verdict.html)], lead
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
            if self._written(guess) != self._written(truth):
                found = f"It is {self._written(truth)}: near enough."
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


def _quoted(names):
    return ", ".join(f"`{name}`" for name in names)


def _gap(rough, want):
    rough, want = as_array(rough), as_array(want)
    if rough is None or want is None or rough.shape != want.shape or not want.size:
        return 0.0
    gap = np.abs(rough.astype(float) - want)
    return float(gap.max()) if np.isfinite(gap).all() else 0.0
