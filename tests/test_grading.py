"""nbgrader on our assignments: full marks for a solved copy, none for an untouched one, a part for
wrong turns (make grade).

Each notebook is a course of its own in a folder of its own, so that several can be marked at once.
Students hand in the cells that are marked and the set-up; one notebook is handed in whole.
"""

import csv
import json
from pathlib import Path

import pytest
from loading import load

from bnlib.course.kit.asking import exercises_of, find
from bnlib.course.kit.exercises import PredictionExercise, TestExercise, ValueExercise

pytestmark = pytest.mark.nbgrader

ROOT = Path(__file__).resolve().parent.parent
NOTEBOOKS = [  # one process marks what one fixture needs
    pytest.param(path, id=path.stem, marks=pytest.mark.xdist_group(path.stem))
    for path in sorted((ROOT / "notebooks").glob("[0-9][0-9]_*.ipynb"))
]
WHOLE = "03"


handout, answers, grader = load("handout"), load("answers"), load("grader")


def turn(exercise, name):
    """A cell's text that takes the first wrong turn of an exercise; None where it lists none. A
    test finds the first wrong layer alone."""
    if isinstance(exercise, TestExercise):
        return (
            "from bnlib.course.kit.asking import find\n"
            f'wrong = find("{exercise.id}").wrong[0].wrong\n\n\n'
            f"def {name}(layer):\n    return layer is not wrong"
        )
    if not exercise.wrong_turns or not hasattr(exercise.wrong_turns[0], "wrong"):
        return None
    wrong = exercise.wrong_turns[0].wrong
    if isinstance(exercise, PredictionExercise):
        return f"{name} = {wrong[0] if isinstance(wrong, tuple) else wrong!r}"
    called = "()" * (isinstance(exercise, ValueExercise) and callable(wrong))
    return (
        "from bnlib.course.kit.asking import find\n"
        f'{name} = find("{exercise.id}").wrong_turns[0].wrong{called}'
    )


def handed_in(release, answer, whole):
    """A student's notebook: `answer` gives a cell's text for (exercise, name), or None."""
    nb = json.loads(release.read_text(encoding="utf-8"))
    kept = []
    for cell in nb["cells"]:
        source = cell["source"] = "".join(cell["source"])
        if asked := answers.asked(cell):
            text = answer(find(asked[0]), asked[1])
            cell["source"] = answers.answered(source, text) if text else source
        marked = "nbgrader" in cell["metadata"]
        if whole or marked or "use_course_style()" in source:
            kept.append(cell)
    return json.dumps({**nb, "cells": kept})


STUDENTS = {
    "solved": lambda exercise, name: answers.answer_to(exercise.id, name),
    "untouched": lambda exercise, name: None,
    "wrong": turn,
}


@pytest.fixture(scope="module", params=NOTEBOOKS)
def marked(request, tmp_path_factory):
    """(number, the exported grades {student: row}) of one notebook's assignment."""
    path, folder = request.param, tmp_path_factory.mktemp("mein Kürs")
    course, name = folder / "course", path.stem
    handout.write_notebooks({path: handout.copies.read(path)}, folder / "handout")
    (folder / "handout" / "nbgrader").rename(course)

    def nbgrader(*words):
        return grader.nbgrader(words, course, folder / "jupyter")

    nbgrader("generate_assignment", name)
    release = course / "release" / name / path.name
    assert "SOLUTION" not in release.read_text(encoding="utf-8")
    for student, answer in STUDENTS.items():
        target = course / "submitted" / student / name / path.name
        target.parent.mkdir(parents=True)
        whole = path.name.startswith(WHOLE) and student == "solved"
        target.write_text(handed_in(release, answer, whole), encoding="utf-8")
    nbgrader("autograde", name)
    nbgrader("export")
    with (course / "grades.csv").open(encoding="utf-8", newline="") as file:
        return path.name[:2], {row["student_id"]: row for row in csv.DictReader(file)}


def test_points_are_those_of_the_exercises(marked):
    number, rows = marked
    total = sum(exercise.worth for exercise in exercises_of(number).values())
    assert {float(row["max_score"]) for row in rows.values()} == {total}


def test_solved_copy_gets_full_marks(marked):
    _, rows = marked
    assert float(rows["solved"]["score"]) == float(rows["solved"]["max_score"])


def test_untouched_copy_gets_no_marks(marked):
    _, rows = marked
    assert float(rows["untouched"]["score"]) == 0


def test_wrong_turns_get_part_of_the_marks(marked):
    number, rows = marked
    expected = 0
    for exercise in exercises_of(number).values():
        if turn(exercise, "x") is None:
            continue
        share = 1 / 2
        if isinstance(exercise, PredictionExercise) and exercise.answer is None:
            share = 1  # a guess at what is measured counts, right or wrong
        elif isinstance(exercise, TestExercise):
            share = 1 / len(exercise.wrong)
        expected += int(2 * exercise.worth * share) / 2
    assert float(rows["wrong"]["score"]) == expected
