"""quiz: read whole without a kernel, feedback behind every option, and bytes that repeat."""

import re
import sys
from types import SimpleNamespace

import pytest

from bnlib.course import quiz
from bnlib.course.kit.asking import notebooks
from bnlib.course.kit.quiz import Question

DEMO = [
    Question("What does $\\gamma$ do?", {"scales `x`": "Yes, it does.", "a < b": "No *way*."}, 0),
    Question("And β?", {"scales": "That is γ.", "shifts": "Yes.", "both": "No."}, correct=1),
]


@pytest.fixture
def demo(monkeypatch):
    monkeypatch.setitem(sys.modules, "bnlib.course.nb98.exercises", SimpleNamespace(QUIZ=DEMO))
    return quiz("98")._repr_mimebundle_()


def test_plain_text_lists_everything_and_ends_with_the_key(demo):
    assert demo["text/plain"].splitlines() == [
        "1. What does $\\gamma$ do?",
        "   a) scales x",
        "   b) a < b",
        "2. And β?",
        "   a) scales",
        "   b) shifts",
        "   c) both",
        "Key: 1 a, 2 b",
    ]


def test_every_option_holds_its_folded_feedback(demo):
    options = re.findall(r"<details name=.*?</details>", demo["text/html"])
    assert len(options) == 5
    assert [("✓ Right." in o, "✗ No." in o) for o in options] == [
        (True, False), (False, True), (False, True), (True, False), (False, True),
    ]  # fmt: skip
    assert "<summary>b) a &lt; b</summary>" in options[1]
    assert "No <em>way</em>." in options[1]


def test_html_loads_nothing_and_runs_nothing(demo):
    assert not re.search(r"<script|src=|href=|\bon\w+=", demo["text/html"])


@pytest.mark.parametrize("number", ["97", "x", None, 3.5j], ids=repr)
def test_unknown_notebook_gets_a_sentence(number):
    assert "no quiz" in quiz(number)._repr_mimebundle_()["text/plain"]


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
    shown = quiz(number)._repr_mimebundle_()
    assert shown["text/plain"].startswith("1. ")
    assert shown["text/html"] == quiz(number)._repr_mimebundle_()["text/html"]
