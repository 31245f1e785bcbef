"""A rubric judges each point by itself, says what to do, and never stops on what it is given."""

import pytest

from bnlib.course.kit.rubric import Point, RubricExercise


def two_rates(report):
    return "" if len(report["table"]) > 1 else "One rate is there: try another."


def a_reason(report):
    return "" if report["why"] == f"{len(report['table'])} rates" else "`why` gives no reason."


def full():
    return {"table": {0.1: [0.5], 0.3: [0.6]}, "why": "2 rates"}


RUBRIC = RubricExercise(
    id="98.7",
    title="A small report",
    hint="Begin with the table.",
    solution=full,
    points=[
        Point("two rates", ["table"], "Fill `table`.", two_rates),
        Point("a reason", ["why", "table"], "Write `why`.", a_reason),
    ],
)


def states(report):
    return list(RUBRIC.check(report).states.values())


def test_full_report_meets_every_point():
    verdict = RUBRIC.check(full())
    assert verdict.passed
    assert set(verdict.states.values()) == {"met"}
    assert "2 of 2 points met" in str(verdict)


@pytest.mark.parametrize("report", [None, ..., {}, {"table": ...}, {"table": None, "why": ...}])
def test_untouched_report_is_not_attempted(report):
    verdict = RUBRIC.check(report)
    assert verdict.status == "not attempted"
    assert set(verdict.states.values()) == {"not attempted"}
    assert "○ not attempted: two rates. Fill table." in str(verdict)


def test_each_point_is_judged_by_itself():
    assert states({**full(), "why": "because"}) == ["met", "missing"]
    assert states({**full(), "table": {}}) == ["missing", "missing"]
    assert states({**full(), "why": ...}) == ["met", "not attempted"]


def test_missing_point_says_what_to_do():
    assert "✗ missing: two rates. One rate is there: try another." in str(
        RUBRIC.check({"table": {1: 2}})
    )


def test_point_whose_other_entry_is_empty_names_it():
    verdict = RUBRIC.check({"table": ..., "why": "2 rates"})
    assert "✗ missing: a reason. table is still to be filled in. Write why." in str(verdict)


def test_judge_that_stops_is_a_missing_point():
    verdict = RUBRIC.check({"table": 3})
    assert verdict.status == "not yet"
    assert "Judging it stopped with TypeError" in str(verdict)


def test_unknown_entry_is_named():
    assert "no entry the string 'tabel'" in str(RUBRIC.check({"tabel": {}}))


def test_anything_but_a_dict_is_refused():
    assert "wants your report, a dict, and got an array" in str(RUBRIC.check([1, 2]))


def test_html_says_what_the_text_says():
    import re

    verdict = RUBRIC.check({"table": {1: 2}, "why": "a < b"})
    words = re.sub(r"<style>.*?</style>|<[^>]+>", "", verdict.html).replace("&lt;", "<")
    assert words.split() == verdict.plain.split()


def test_keys_are_those_of_the_points():
    assert RUBRIC.keys == ["table", "why"]


def test_solution_is_shown():
    assert "def full():" in RUBRIC.show_solution().html
