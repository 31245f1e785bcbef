"""Folded: nothing is stored before it is asked for, and the kernel tells only what was asked."""

import json
import re

import pytest

from bnlib.course.kit.asked import browser_code
from bnlib.course.kit.asking import exercises_of, notebooks
from bnlib.course.kit.folded import Folded
from bnlib.course.kit.quiz import quiz

PARTS = [("Hint for 3.2", "<p>Count <em>all</em> axes.</p>"), ("One more hint", "<p>(0, 2, 3)</p>")]
EXERCISES = [exercise for n in notebooks() for exercise in exercises_of(n).values()]


def stored(widget):
    """All that a notebook file holds of a widget: its state and its output."""
    state = {key: value for key, value in widget.get_state().items() if key != "layout"}
    data, *_ = widget._repr_mimebundle_()
    return json.dumps([state, data], ensure_ascii=False)


def asked(widget, *keys):
    """What the kernel sends once the browser has asked for these."""
    widget.set_state({"_asked": list(keys)})
    return widget.get_state()["_told"]


def test_stored_text_says_how_to_open_it():
    data, *_ = Folded("Hint for 3.2", PARTS)._repr_mimebundle_()
    assert data["text/plain"] == "Hint for 3.2: run this cell to open it."
    assert "text/html" not in data


def test_lead_stands_before_it():
    folded = Folded("The answer to 3.1", [("Show", "0.13")], "3.1 How far? You wrote *no* guess.")
    assert repr(folded) == (
        "3.1 How far? You wrote no guess. The answer to 3.1: run this cell to open it."
    )


def test_nothing_is_stored_before_it_is_asked():
    assert "axes" not in stored(Folded("Hint for 3.2", PARTS))


def test_only_what_was_asked_is_told():
    folded = Folded("Hint for 3.2", PARTS)
    assert asked(folded, "0.0") == {"0.0": PARTS[0][1]}
    assert asked(folded, "0.0", "0.1") == {"0.0": PARTS[0][1], "0.1": PARTS[1][1]}


def test_nonsense_from_the_browser_is_ignored():
    assert asked(Folded("Hint for 3.2", PARTS), "7.7", "x", "0.0") == {"0.0": PARTS[0][1]}


def texts_of(exercise):
    """What an exercise must not tell unasked."""
    hints = [exercise.hint] if isinstance(exercise.hint, str) else exercise.hint
    return [*hints, *([exercise.note] if exercise.note else [])]


@pytest.mark.parametrize("exercise", EXERCISES, ids=lambda exercise: exercise.id)
def test_exercise_stores_neither_hint_nor_solution(exercise):
    for shown in (exercise.show_hint(), exercise.show_solution()):
        held = stored(shown)
        assert not [html for _, html in shown.parts if json.dumps(html)[1:-1] in held]
        assert not [text for text in texts_of(exercise) if json.dumps(text)[1:-1] in held]


@pytest.mark.parametrize("number", notebooks())
def test_quiz_stores_no_feedback(number):
    shown = quiz(number)
    held = stored(shown)
    assert "Right" not in held.replace("right or not", "")
    assert not [html for html in shown._answers.values() if json.dumps(html)[1:-1] in held]


@pytest.mark.parametrize("name", ["folded.js", "quiz.js"])
def test_browser_code_loads_nothing_and_is_small(name):
    code = browser_code(name)
    assert not re.search(r"https?:|\bimport\b|\bfetch\b", code)
    assert len(code) < 4500  # it is stored once for each hint and each solution
    assert "export default { render }" in code
