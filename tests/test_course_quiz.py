"""quiz: read whole without a kernel, its key nowhere in it, feedback once an option is chosen."""

import importlib
import re
import sys
from collections import Counter
from types import SimpleNamespace

import pytest

from bnlib.course import quiz
from bnlib.course.kit.asking import notebooks
from bnlib.course.kit.quiz import Question

DEMO = [
    Question("What does $\\gamma$ do?", {"scales `x`": "Yes, it does.", "a < b": "No *way*."}, 0),
    Question("And β?", {"scales": "That is γ.", "shifts": "Yes.", "both": "No."}, correct=1),
]
ROOMS = [importlib.import_module(f"bnlib.course.nb{n}.exercises") for n in notebooks()]
ALL = [question for room in ROOMS for question in room.QUIZ]


@pytest.fixture
def demo(monkeypatch):
    monkeypatch.setitem(sys.modules, "bnlib.course.nb98.exercises", SimpleNamespace(QUIZ=DEMO))
    return quiz("98")


def test_plain_text_lists_questions_and_options_alone(demo):
    lines = repr(demo).splitlines()
    assert (lines[0], lines[3]) == ("1. What does $\\gamma$ do?", "2. And β?")
    assert sorted(line[6:] for line in lines[1:3]) == ["a < b", "scales x"]
    assert [line[:5] for line in lines[4:]] == ["   a)", "   b)", "   c)"]


def test_every_option_answers_once_it_is_chosen(demo):
    place = [option for option, *_ in DEMO[0].shuffled()].index("a < b")
    demo.set_state({"_asked": [f"0.{place}"]})
    assert demo.get_state()["_told"] == {
        f"0.{place}": "<strong>✗ No.</strong> No <em>way</em>.",
    }


def test_labels_are_escaped_and_marked_up(demo):
    labels = demo.get_state()["_spec"]["groups"][0]["labels"]
    assert sorted(labels) == ["a &lt; b", "scales <code>x</code>"]


@pytest.mark.parametrize("question", [*DEMO, *ALL], ids=lambda question: question.text[:30])
def test_shuffling_keeps_the_right_option_and_all_others(question):
    rows = question.shuffled()
    assert {option: said for option, said, _ in rows} == question.options
    assert [option for option, _, right in rows if right] == [
        list(question.options)[question.correct]
    ]


def test_order_depends_on_nothing_but_the_words():
    assert [question.shuffled() for question in DEMO] == [q.shuffled() for q in DEMO]
    turned = Question(DEMO[1].text, dict(reversed(DEMO[1].options.items())), 1)
    assert [row[0] for row in turned.shuffled()] == [row[0] for row in DEMO[1].shuffled()]


def test_no_letter_is_the_likely_one():
    """Of each number of options, no place holds the key in more than half of the questions."""
    places = Counter()
    for question in ALL:
        rows = question.shuffled()
        places[len(rows), [right for *_, right in rows].index(True)] += 1
    for count in {count for count, _ in places}:
        found = [places[count, place] for place in range(count)]
        assert sum(found) < 8 or max(found) <= 0.5 * sum(found), found
    letters = Counter()
    for (_, place), many in places.items():
        letters[place] += many
    assert letters.most_common(1)[0][1] <= 0.42 * len(ALL), letters


@pytest.mark.parametrize("question", ALL, ids=lambda question: question.text[:30])
def test_feedback_speaks_of_no_letter(question):
    for text in question.options.values():
        assert not re.search(r"\b[a-e]\)|\b(?:first|second|last|next) (?:option|answer)\b", text)


@pytest.mark.parametrize("number", ["97", "x", None, 3.5j], ids=repr)
def test_unknown_notebook_gets_a_sentence(number):
    assert "no quiz" in repr(quiz(number))


@pytest.mark.parametrize(
    ("options", "correct", "message"),
    [
        ({"a": "yes"}, 0, "two or more"),
        ({"a": "yes", "b": "no"}, 2, "correct is 2"),
        ({"a": "yes", "b": " "}, 0, "no feedback"),
    ],
)
def test_question_refuses_what_cannot_be_asked(options, correct, message):
    with pytest.raises(ValueError, match=message):
        Question("Which?", options, correct)


@pytest.mark.parametrize("number", notebooks())
def test_every_notebook_has_a_quiz(number):
    assert repr(quiz(number)).startswith("1. ")
    assert repr(quiz(number)) == repr(quiz(number))
