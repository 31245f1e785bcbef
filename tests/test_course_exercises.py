"""Exercises of all notebooks, and the machinery on a demonstration: every answer gets a kind,
true sentence about one thing, and none gets a traceback."""

import re
import sys
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from bnlib.course import check, hint, settle, solution
from bnlib.course.kit.asking import exercises_of, notebooks
from bnlib.course.kit.differences import describe_difference
from bnlib.course.kit.exercises import (
    GUESSES,
    ClassExercise,
    FunctionExercise,
    PredictionExercise,
    ValueExercise,
    WrongTurn,
)
from bnlib.course.kit.markup import to_html
from bnlib.course.kit.slips import slips
from bnlib.course.kit.verdicts import Verdict

# ── every exercise of every notebook ────────────────────────────────────────────────────────────

ALL = {key: e for number in notebooks() for key, e in exercises_of(number).items()}
FUNCTIONS = {key: e for key, e in ALL.items() if isinstance(e, FunctionExercise)}
VALUES = {key: e for key, e in ALL.items() if isinstance(e, ValueExercise)}
PREDICTIONS = {key: e for key, e in ALL.items() if isinstance(e, PredictionExercise)}
TRACES = re.compile(r"Traceback|File \"|line \d+, in")


def each(exercises):
    return pytest.mark.parametrize("exercise", exercises.values(), ids=list(exercises))


def turns(exercises):
    cases = {
        f"{key}-{turn.name}": (e, turn) for key, e in exercises.items() for turn in e.wrong_turns
    }
    return pytest.mark.parametrize(("exercise", "turn"), cases.values(), ids=list(cases))


def is_kind(verdict):
    """One short sentence or two, with a sign, a word, and no traceback; HTML and text agree."""
    shown = verdict._repr_mimebundle_()
    words = re.sub(r"<style>.*?</style>|<[^>]+>", "", shown["text/html"])
    words = words.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")
    assert verdict.status in ("right", "not yet", "not attempted", "noted", "settled"), verdict
    assert words.split() == shown["text/plain"].split()
    assert not TRACES.search(shown["text/plain"])
    assert len(verdict.text) < 400
    return True


def stub(*args, **kwargs): ...


def inputs_of(exercise, seed=0):
    return exercise.inputs(np.random.default_rng(seed))


@pytest.fixture(autouse=True)
def _no_guesses():
    GUESSES.clear()
    yield
    GUESSES.clear()


def test_every_notebook_has_exercises_and_one_prediction():
    for number in notebooks():
        exercises = exercises_of(number)
        assert len(exercises) >= (1 if number == "00" else 3), number
        assert all(key.split(".")[0] == str(int(number)) for key in exercises)
        assert any(isinstance(e, PredictionExercise) for e in exercises.values()), number


@each(ALL)
def test_exercise_has_title_hint_and_solution(exercise):
    assert exercise.title
    assert len(exercise.show_hint().html) > 30
    assert len(exercise.show_solution().html) > 40


@each(FUNCTIONS | VALUES)
def test_exercise_knows_three_wrong_turns(exercise):
    known = slips(exercise.solution) if exercise in FUNCTIONS.values() else ()
    assert len(exercise.wrong_turns) + len(known) >= 3


@each(FUNCTIONS)
def test_solution_passes(exercise):
    for seed in range(3):
        verdict = exercise.check(exercise.solution, np.random.default_rng(seed))
        assert verdict.passed, verdict


@each(VALUES)
def test_value_of_the_solution_passes(exercise):
    assert exercise.check(exercise.solution()).passed


@each(FUNCTIONS | VALUES)
def test_solution_shown_is_the_source_that_runs(exercise):
    kind = "class" if isinstance(exercise.solution, type) else "def"
    assert f"{kind} {exercise.solution.__name__}(" in exercise.show_solution().html


class StubClass:
    """A class as a notebook asks for it: every method still to be written."""

    def __init__(self, *sizes): ...

    def forward(self, x): ...


@each(ALL)
def test_untouched_stub_is_not_attempted(exercise):
    empty = StubClass if isinstance(exercise, ClassExercise) else stub
    for untouched in (None, ..., *([empty] if exercise in FUNCTIONS.values() else [])):
        verdict = exercise.check(untouched)
        assert verdict.status == "not attempted"
        assert is_kind(verdict)


@each(ALL)
def test_untouched_stub_reads_the_same_every_time(exercise):
    answer = stub if exercise in FUNCTIONS.values() else ...
    assert exercise.check(answer).html == exercise.check(answer).html


@turns(FUNCTIONS)
def test_wrong_turn_gets_its_own_verdict(exercise, turn):
    for seed in range(3):
        verdict = exercise.check(turn.wrong, np.random.default_rng(seed))
        assert (verdict.status, verdict.text) == ("not yet", turn.verdict)
        assert is_kind(verdict)


@turns(VALUES)
def test_wrong_value_gets_its_own_verdict(exercise, turn):
    wrong = turn.wrong() if callable(turn.wrong) else turn.wrong
    verdict = exercise.check(wrong)
    assert (verdict.status, verdict.text) == ("not yet", turn.verdict)
    assert is_kind(verdict)


def truth_of(exercise):
    """The answer, or else some truth that no known wrong guess hits."""
    if exercise.answer is not None:
        return exercise.answer() if callable(exercise.answer) else exercise.answer
    options = exercise.choices or np.linspace(exercise.low, exercise.high, 997)
    wrong = [guess_of(turn) for turn in exercise.wrong_turns]
    return next(o for o in options if not any(exercise._hits(w, o) for w in wrong))


def guess_of(turn):
    return sum(turn.wrong) / 2 if isinstance(turn.wrong, tuple) else turn.wrong


@turns(PREDICTIONS)
def test_wrong_guess_is_noted_then_answered(exercise, turn):
    noted = exercise.check(guess_of(turn))
    assert noted.status == "noted"
    assert is_kind(noted)
    verdict = exercise.settle(truth_of(exercise))
    assert verdict.status == "settled"
    assert verdict.text.endswith(turn.verdict)
    assert is_kind(verdict)


@each(PREDICTIONS)
def test_right_guess_is_noted_then_right(exercise):
    assert exercise.check(truth_of(exercise)).status == "noted"
    assert exercise.settle(truth_of(exercise)).passed


@each(PREDICTIONS)
def test_without_a_guess_the_answer_stays_folded(exercise):
    folded = exercise.settle(truth_of(exercise))
    assert folded.status == "folded"
    assert to_html(exercise.note) in folded.html
    assert exercise.note not in folded.plain


def raises(*args):
    raise RuntimeError("inside")


def leaves(*args):
    sys.exit()


def recurses(*args):
    return recurses(*args)


JUNK = {
    "a string": "abc",
    "a number": 3,
    "an array": np.zeros((2, 2)),
    "a list": [1, [2, 3]],
    "a dict": {},
    "a class": dict,
    "a built-in": len,
    "raises": raises,
    "leaves": leaves,
    "recurses": recurses,
    "returns a string": lambda *a: "abc",
    "returns its input": lambda *a: a[0],
    "returns all inputs": lambda *a: a,
    "returns an object": lambda *a: object(),
    "returns NaN": lambda *a: np.full(np.shape(a[0]), np.nan),
    "returns infinity": lambda *a: np.full(np.shape(a[0]), np.inf),
    "returns a scalar": lambda *a: 1.5,
    "returns an odd shape": lambda *a: np.zeros((3, 1, 7)),
    "returns an empty array": lambda *a: np.zeros(0),
    "returns a ragged list": lambda *a: [1, [2, 3]],
    "returns a generator": lambda *a: (i for i in range(3)),
    "returns a complex array": lambda *a: np.zeros(3) + 1j,
    "returns a function": lambda *a: stub,
    "returns a tuple of strings": lambda *a: ("a", "b", "c"),
    "takes nothing": lambda: 0,
    "takes too much": lambda a, b, c, d, e, f, g, h, i, j: 0,
    "takes keywords": lambda *, x: x,
    "warns": lambda *a: np.log(-np.ones(3)),
}


@each(ALL)
def test_junk_gets_a_kind_verdict(exercise):
    verdicts = {name: exercise.check(junk) for name, junk in JUNK.items()}
    usual = ("not yet", "noted", "not attempted")
    assert not {n: v for n, v in verdicts.items() if v.status not in usual or not is_kind(v)}


@each(FUNCTIONS)
def test_zeros_of_the_right_shape_are_named(exercise):
    def zeros(*args):
        right = exercise._run(exercise.solution, args)
        if isinstance(right, tuple):
            return tuple(np.zeros_like(np.asarray(v), dtype=float) for v in right)
        return np.zeros_like(np.asarray(right), dtype=float)

    verdict = exercise.check(zeros)
    assert verdict.status == "not yet"
    assert is_kind(verdict)


@each(FUNCTIONS)
def test_changed_input_is_named(exercise):
    changed = [v for v in inputs_of(exercise) if isinstance(v, np.ndarray) and v.dtype.kind == "f"]
    if not changed:
        pytest.skip("no array among the inputs")

    def in_place(*args):
        result = exercise._run(exercise.solution, args)
        for value in args:
            if isinstance(value, np.ndarray):
                value += 1
        return result

    if exercise.call is None and not isinstance(exercise, ClassExercise):
        assert "in place" in exercise.check(in_place).text


# ── the machinery, on a demonstration ───────────────────────────────────────────────────────────


def standardize(x, eps=1e-5):
    mean = x.mean(axis=0)
    var = ((x - mean) ** 2).mean(axis=0)
    return (x - mean) / np.sqrt(var + eps)


def moments(x):
    return x.mean(axis=0), x.var(axis=0)


def spread():
    return 0.125


def divided_by_less(x, eps=1e-5):
    return (x - x.mean(axis=0)) / np.sqrt(x.var(axis=0, ddof=1) + eps)


def draw(rng):
    return (rng.normal(3, 2, (6, 4)),)


DEMO = [
    FunctionExercise(
        id="98.1",
        title="Standardize",
        solution=standardize,
        inputs=draw,
        statistics_axis=0,
        hint=("Which axis runs over the *examples*?", "`x.mean(axis=0)`"),
        praise="Each feature has $\\sigma = 1$.",
        note="The `eps` stands inside the root.",
        wrong_turns=[WrongTurn("ddof", divided_by_less, "Did you divide by `N − 1`?")],
    ),
    FunctionExercise(
        id="98.2", title="Two", solution=moments, inputs=draw, returns=("mu", "var"), hint="h"
    ),
    ValueExercise(
        id="98.3",
        title="Spread",
        solution=spread,
        unit="σ",
        hint="h",
        wrong_turns=[WrongTurn("no root", 1 / 64, "The root is missing.")],
    ),
    PredictionExercise(
        id="98.4",
        title="How far?",
        low=0,
        high=2,
        unit="σ",
        answer=0.125,
        hint="h",
        note="It is $1/\\sqrt{m}$.",
        wrong_turns=[WrongTurn("no root", (0.0, 0.02), "That is 1/m.")],
    ),
    PredictionExercise(
        id="98.5",
        title="Where to?",
        choices=("up", "down"),
        hint="h",
        note="Because.",
        wrong_turns=[WrongTurn("down", "down", "It rises.")],
    ),
]


@pytest.fixture(autouse=True)
def _demo(monkeypatch):
    module = SimpleNamespace(EXERCISES=DEMO)
    monkeypatch.setitem(sys.modules, "bnlib.course.nb98.exercises", module)


def half_filled(x, eps=1e-5):
    mean = ...
    return x - mean


def without_return(x, eps=1e-5):
    (x - x.mean(axis=0)) / np.sqrt(x.var(axis=0) + eps)


def not_implemented(x, eps=1e-5):
    raise NotImplementedError("your code here")


def in_place(x, eps=1e-5):
    x -= x.mean(axis=0)
    return x / np.sqrt(x.var(axis=0) + eps)


def hold(x, eps=1e-5):
    """A stub with a docstring."""


SAYS = {
    "not callable": ("abc", "wants your function itself"),
    "called already": (np.zeros((6, 4)), "without parentheses"),
    "wrong arity": (lambda: 0, "cannot take these arguments: it is called with 1, `(x)`"),
    "raises": (raises, "stopped with `RuntimeError: inside`"),
    "wrong axis": (lambda x: standardize(x.T).T, "over the features of each example"),
    "broadcast": (lambda x: x - x.mean(axis=1), "one value for each example: it was taken over"),
    "a call": (lambda x: x(x), "is a `*` missing?"),
    "misspelt": (lambda x: meen(x), "misspelt"),  # noqa: F821
    "no return": (without_return, "is a `return` missing"),
    "in place": (in_place, "changes its input in place"),
    "type": (lambda x: "abc", "is the string `'abc'`; an array of shape (6, 4)"),
    "a step": (lambda x: x.mean(axis=0), "what the solution calls `mean`, a step on"),
    "lost axis": (lambda x: x.max(axis=0), "one value for each feature (shape (4,))"),
    "transposed": (lambda x: standardize(x).T, "is transposed; otherwise it is right"),
    "NaN": (lambda x: np.where(x > 3, np.nan, x), "values are NaN"),
    "infinite": (lambda x: np.where(x > 3, np.inf, x), "values are infinite"),
    "sign": (lambda x: -standardize(x), "opposite sign"),
    "factor": (lambda x: standardize(x) / 3, "1/3 of what it should be"),
    "offset": (lambda x: standardize(x) + 0.5, "too large by 0.5"),
    "eps": (lambda x: standardize(x, 1e-3), "ε’s size"),
    "ignored": (lambda x: np.ones((6, 4)), "the same whatever comes in"),
    "mean": (lambda x: x - 1, "Look at the mean first"),
    "deviation": (lambda x: standardize(x) * [1, 1, 1.5, 1], "1.5 times too large"),
    "small deviation": (lambda x: standardize(x) * [1, 0.5, 1, 1], "2 times too small"),
    "order": (lambda x: standardize(x)[::-1], "the right examples in another order"),
    "places": (lambda x: standardize(x).reshape(4, 6).T, "right numbers in the wrong places"),
    "the rest": (
        lambda x: standardize(standardize(x) + 0.1 * x**2),
        "mean and deviation are right, but your result",
    ),
}


@pytest.mark.parametrize(("answer", "says"), SAYS.values(), ids=list(SAYS))
def test_verdict_names_the_first_thing_wrong(answer, says):
    verdict = check("98.1", answer)
    assert verdict.status == "not yet"
    assert says.lower() in verdict.text.lower()
    assert is_kind(verdict)


@pytest.mark.parametrize("answer", [None, ..., stub, hold, half_filled, not_implemented],
                         ids=lambda a: getattr(a, "__name__", str(a)))  # fmt: skip
def test_stubs_are_not_attempted(answer):
    assert check("98.1", answer).status == "not attempted"


def test_wrong_turn_is_recognized_before_anything_general():
    assert check("98.1", divided_by_less).text == "Did you divide by `N − 1`?"


def test_verdict_has_sign_and_word():
    assert repr(check("98.1", standardize)) == (
        "98.1 Standardize: ✓ Right. Each feature has $\\sigma = 1$."
    )
    assert "<strong>✗ Not yet.</strong>" in check("98.1", divided_by_less).html


def test_hints_open_one_after_the_other():
    (first, text), (second, more) = hint("98.1").parts
    assert (first, second) == ("Hint for 98.1", "One more hint")
    assert "examples" in text
    assert "axis=0" in more


def test_solution_is_source_and_note():
    html = solution("98.1").html
    assert "<pre><code>def standardize(x, eps=1e-5):\n    mean = x.mean(axis=0)" in html
    assert html.endswith("<p>The <code>eps</code> stands inside the root.</p>")


def test_torch_results_are_welcome():
    assert check("98.1", lambda x: standardize(torch.from_numpy(x.copy()).numpy())).passed
    assert check("98.2", lambda x: tuple(map(torch.from_numpy, moments(x)))).passed
    grown = torch.tensor(0.125, requires_grad=True)
    assert check("98.3", grown).passed


def test_tuple_says_which_part_is_right():
    verdict = check("98.2", lambda x: (x.mean(axis=0), x.std(axis=0)))
    assert verdict.text.startswith("`mu` is right. You take the standard deviation")


def test_tuple_is_asked_for():
    assert "a tuple of 2: (mu, var)" in check("98.2", lambda x: x.mean(axis=0)).text
    assert "returns 3 values" in check("98.2", lambda x: (1, 2, 3)).text


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (1 / 64, "The root is missing."),
        (0.2, "0.2 σ is too large."),
        (0.13, "too large by a little."),
        (0.01, "too small by far."),
        (0.04, "too small by more than a factor of two."),
        (-0.125, "wrong sign"),
        (0, "too small by far"),
        (np.nan, "not finite, but NaN"),
        ("0.125", "is the string"),
        (np.zeros(3), "has shape (3,); one number is expected"),
        pytest.param(stub, "Replace `...`", id="stub"),
        pytest.param(lambda: None or [][0], "wants its value", id="function that stops"),
        pytest.param(lambda x: x, "wants its value", id="function of something"),
    ],
    ids=str,
)
def test_wrong_value_is_answered_without_giving_it_away(answer, says):
    verdict = check("98.3", answer)
    assert says in verdict.text
    assert "0.125" not in verdict.text or "0.125" in str(answer)


def test_guess_is_noted_and_nothing_given_away():
    wrong, right = check("98.4", 1.5), check("98.4", 0.125)
    assert wrong.status == right.status == "noted"
    assert wrong.text.replace("1.5", "?") == right.text.replace("0.125", "?")


def test_last_guess_counts_and_can_be_withdrawn():
    check("98.4", 1.5)
    check("98.4", 0.12)
    assert settle("98.4").passed
    check("98.4", ...)
    assert settle("98.4").status == "folded"


@pytest.mark.parametrize("guess", [3, -1, "x", np.nan, True, [1, 2], {}], ids=str)
def test_impossible_guess_is_told_the_range(guess):
    verdict = check("98.4", guess)
    assert verdict.status == "not yet"
    assert "between 0 and 2 σ" in verdict.text


def test_impossible_choice_is_told_the_choices():
    assert 'write `"up"` or `"down"`' in check("98.5", "left").text


def test_choice_ignores_case_and_space():
    check("98.5", " Up ")
    assert settle("98.5", "up").passed


def test_settling_needs_something_measured():
    assert "Nothing was measured" in settle("98.5").text


def test_far_guess_gets_the_explanation():
    check("98.4", 1.9)
    assert settle("98.4", 0.13).text == "You guessed 1.9 σ. It is 0.13 σ. It is $1/\\sqrt{m}$."


def test_near_guess_is_called_near_enough():
    check("98.4", 0.12)
    assert settle("98.4", 0.13).text.startswith("You guessed 0.12 σ. It is 0.13 σ: near enough.")


def test_exact_guess_is_not_called_near():
    check("98.4", 0.13)
    assert settle("98.4", 0.13).text.startswith("You guessed 0.13 σ. It is 0.13 σ. ")


@pytest.mark.parametrize("number", ["98.9", "97.1", 98.1, None, "x", ""], ids=repr)
@pytest.mark.parametrize("ask", [check, hint, solution, settle], ids=lambda f: f.__name__)
def test_unknown_exercise_gets_a_sentence(ask, number):
    verdict = ask(number)
    assert verdict.status == "not yet"
    assert is_kind(verdict)


def test_further_tests_run_once_the_results_agree():
    def keeps_dtype(answer, rng):
        if answer(np.ones((4, 2), np.float32)).dtype != np.float32:
            return "float32 came in, and something else came out."
        return None

    exercise = FunctionExercise(
        id="98.6", title="t", solution=standardize, inputs=draw, hint="h", also=[keeps_dtype]
    )
    assert exercise.check(standardize).passed
    promoted = exercise.check(lambda x: standardize(x.astype(float)))
    assert promoted.text.startswith("float32 came in")


def test_classes_can_be_answers():
    class Layer:
        def __init__(self, size):
            self.size = size

        def forward(self, x):
            return standardize(x)

    def run(layer, x):
        return layer(x.shape[1]).forward(x)

    exercise = FunctionExercise(
        id="98.6", title="t", solution=Layer, inputs=draw, hint="h", call=run
    )
    assert exercise.check(Layer).passed
    assert "stopped with `TypeError" in exercise.check(object).text


def test_fault_of_the_check_itself_is_owned():
    exercise = FunctionExercise(
        id="98.6", title="t", solution=standardize, inputs=lambda rng: 1 / 0, hint="h"
    )
    verdict = exercise.check(standardize)
    assert verdict.status == "broken"
    assert "our mistake" in verdict.text


def test_kindness_check_rejects_a_traceback():
    with pytest.raises(AssertionError):
        is_kind(Verdict("not yet", "Traceback (most recent call last)"))


def test_kindness_check_rejects_a_broken_check():
    with pytest.raises(AssertionError):
        is_kind(Verdict("broken", "Sorry."))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"id": "3"}, "numbered like"),
        ({"wrong_turns": [WrongTurn("a", 1, "same"), WrongTurn("b", 2, "same")]}, "share"),
    ],
    ids=["id", "verdicts"],
)
def test_exercise_refuses_what_would_confuse(changes, message):
    good = {"id": "98.6", "title": "t", "solution": spread, "hint": "h"}
    with pytest.raises(ValueError, match=message):
        ValueExercise(**(good | changes))


@pytest.mark.parametrize(
    ("kind", "message"),
    [({}, "either choices"), ({"low": 0, "high": 1, "note": ""}, "note must say why")],
    ids=["kind", "note"],
)
def test_prediction_refuses_what_cannot_be_settled(kind, message):
    with pytest.raises(ValueError, match=message):
        PredictionExercise(**({"id": "98.6", "title": "t", "hint": "h", "note": "n"} | kind))


def test_difference_is_described_for_single_numbers():
    assert describe_difference("your result", 3.0, 2.0) == (
        "Your result is off by up to 1: 3 instead of 2."
    )


@pytest.mark.parametrize(
    ("has", "wants", "advice"),
    [
        ((3, 2), (2, 3), "Transposed"),
        ((2, 4, 5, 3), (2, 3, 4, 5), "another order"),
        ((24, 5), (2, 3, 4, 5), "axis is lost"),
        ((2, 3, 20), (6, 20), "layout"),
    ],
)
def test_advice_on_a_shape_fits_it(has, wants, advice):
    """Reshaping axes that stand in another order would mix the values of different channels."""
    said = describe_difference("the result", np.zeros(has), np.zeros(wants))
    assert advice in said
    assert "reshape it" not in said
