"""Make what a class needs in .out/handout, from the notebooks as they are stored (make handout).

usage: python .make/handout.py [--seed 1] [03 05 …]

    student/      the notebooks as learners get them, without lecturers' cells, with marks
    instructor/   the same with solutions, wrong turns and what to say to them, marks and minutes
    print/        both as PDF, and the plan of the board for each lecture, a page each
    nbgrader/     a course for nbgrader: assignments that are marked by the course's own checks
    questions/    forty exam questions with answers, as Markdown and as Moodle XML (--seed)

Nothing is executed. The PDFs need Chromium; where there is none, the rest is made.
"""

import argparse
import copy
import json
import re
import shutil
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # this checkout's bnlib
sys.path.insert(0, str(Path(__file__).resolve().parent))
import copies
import paper
import questions
import vendor
from answers import answer_to, around_stub, asked

ROOT = Path(__file__).resolve().parent.parent
NOTEBOOKS = ROOT / "notebooks"
SOURCES = ROOT / ".make" / "handout"  # what is written by hand: boards/, nbgrader_config.py, …
OUT = ROOT / ".out" / "handout"
SOLUTION = re.compile(r'solution\("[\d.]+"\)')
HEADING = re.compile(r"\*\*Exercise (\d+\.\d+)[^*]*\*\*")
BOX = "for-the-instructor"  # the CSS class of what is added for the instructor


# ---- cells ---------------------------------------------------------------------------------------


def is_for_lecturers(cell):
    noted = cell["metadata"].get("slideshow", {}).get("slide_type") == "notes"
    return noted or cell["source"].startswith("<details><summary>For lecturers")


def exercise_of(number):
    from bnlib.course.kit.asking import find

    return find(number)


def marks(number):
    worth = exercise_of(number).worth
    return f"{worth} mark{'s' * (worth > 1)}"


def for_students(cells):
    """A notebook's cells without those for lecturers and without what makes slides of them, the
    marks behind each exercise's number."""
    found = []
    for cell in cells:
        if is_for_lecturers(cell):
            continue
        cell = copy.deepcopy(cell)
        for key in ("slide", "slideshow"):
            cell["metadata"].pop(key, None)
        if cell["cell_type"] == "markdown":
            cell["source"] = HEADING.sub(lambda m: f"{m[0]} *({marks(m[1])})*", cell["source"])
        found.append(cell)
    return found


def note(name, text):
    metadata = {"bnlib": BOX}
    return {"cell_type": "markdown", "id": name, "metadata": metadata, "source": text}


def for_instructors(cells):
    """A notebook's cells with what an instructor wants to know of each exercise and quiz."""
    found = [copy.deepcopy(cells[0]), note("instructor-marks", table_of_marks(cells))]
    for cell in cells[1:]:
        source = cell["source"]
        if cell["cell_type"] == "code" and SOLUTION.fullmatch(source.strip()):
            continue
        found.append(copy.deepcopy(cell))
        if cell["cell_type"] != "code":
            continue
        if number := asked(cell):
            text = about_exercise(exercise_of(number[0]))
            found.append(note(f"instructor-{number[0].replace('.', '-')}", text))
        if quiz := re.search(r'\bquiz\("(\d\d)"\)', source):
            found.append(note("instructor-quiz", about_quiz(quiz[1])))
        for letter, text in report_on_paper(cell, parts=2):
            found.append(note(f"instructor-report-{letter}", text))
    return found


def numbers(cells):
    return [pair[0] for cell in cells if (pair := asked(cell))]


def table_of_marks(cells):
    found = [exercise_of(number) for number in numbers(cells)]
    total, minutes = sum(e.worth for e in found), sum(e.minutes for e in found)
    rows = [
        f"| {e.id} | {in_table(e.title)} | {kind(e)} | {e.worth} | {e.minutes} |" for e in found
    ]
    return "\n".join([
        "### For the instructor",
        "",
        "| exercise | | kind | marks | about … minutes |",
        "|---|---|---|---|---|",
        *rows,
        f"| **all** | | | **{total}** | **{minutes}** |",
        "",
        "A right answer gets all marks, a wrong turn that the check knows gets half, a test the "
        "share of the wrong layers that it finds, a report the share of its points. A guess at "
        "what the notebook will measure gets its mark for being made. The minutes are a rule of "
        "thumb for each kind of exercise.",
    ])  # fmt: skip


def in_table(text):
    return text.replace("|", r"\|")


KINDS = {
    "PredictionExercise": "prediction", "ValueExercise": "value", "FunctionExercise": "function",
    "ClassExercise": "class", "TestExercise": "test", "HuntExercise": "test",
    "ReviewExercise": "review", "RubricExercise": "report",
}  # fmt: skip


def kind(exercise):
    own = " for your own layer" * bool(getattr(exercise, "keeps", ""))
    return KINDS[type(exercise).__name__] + own


def about_exercise(exercise):
    """An exercise for who teaches it, as Markdown."""
    hints = [exercise.hint] if isinstance(exercise.hint, str) else exercise.hint
    lines = [
        f"### For the instructor: {exercise.id} {exercise.title}",
        "",
        f"{marks(exercise.id)}, {kind(exercise)}, about {exercise.minutes} minutes.",
        "",
    ]
    if source := exercise._source():
        lines += ["**Solution**", "", "```python", source, "```", ""]
    elif exercise.answer is not None:
        answer = exercise.answer() if callable(exercise.answer) else exercise.answer
        unit = f" {exercise.unit}" if exercise.unit else ""
        lines += [f"**Answer:** {answer}{unit}", ""]
    else:
        lines += ["**Answer:** what the notebook measures, in the cell that settles it.", ""]
    if exercise.note:
        lines += [exercise.note, ""]
    if exercise.praise and exercise.praise != exercise.note:
        lines += [f"*When it is right:* {exercise.praise}", ""]
    lines += ["**Hints**", "", *(f"1. {one_line(hint)}" for hint in hints), ""]
    for title, turns in wrong_turns(exercise):
        lines += [
            f"**{title}**",
            "",
            *(f"- *{name}:* {one_line(says)}" for name, says in fewer(turns)),
            "",
        ]
    if says := slips_of(exercise):
        lines += [
            "**Slips that the check finds by itself, and what it says**",
            "",
            " · ".join(together(says)),
        ]
    return "\n".join(lines).rstrip()


def one_line(text):
    return " ".join(text.split())


def wrong_turns(exercise):
    """[(title, [(name, what to say)])]: the mistakes that an exercise's check knows."""
    groups = []
    if exercise.wrong_turns:
        groups.append((
            "Wrong turns that the check knows, and what to say",
            [(turn.name, turn.verdict) for turn in exercise.wrong_turns],
        ))  # fmt: skip
    if wrong := getattr(exercise, "wrong", ()):
        groups.append((
            "What a weak test lets pass, and what to say",
            [(turn.name, turn.verdict) for turn in wrong],
        ))  # fmt: skip
    if points := getattr(exercise, "points", ()):
        groups.append(("Points, and what to do for each", [(p.name, p.do) for p in points]))
    return groups


NUMBERS = re.compile(r"[\d.,() ]+")


def fewer(turns):
    """Wrong turns of which five or more differ in numbers alone as one, the first."""
    groups = {}
    for turn in turns:
        groups.setdefault(NUMBERS.sub(" ", turn[1]), []).append(turn)
    for group in groups.values():
        if len(group) < 5:
            yield from group
        else:
            yield f"{group[0][0]}, and {len(group) - 1} more like it", group[0][1]


def slips_of(exercise):
    """What the check says to the slips that it plants in the solution by rule; [] without any."""
    from bnlib.course.kit.slips import slips

    found = slips(exercise.solution) if hasattr(exercise, "inputs") else ()
    return list(dict.fromkeys(one_line(slip.says) for slip in found))


def together(says):
    """Sentences that differ only in the code they name as one, the first, with the others' code."""
    groups = {}
    for one in says:
        groups.setdefault(re.sub("`[^`]+`", "", one), []).append(one)
    for first, *others in groups.values():
        codes = [" and ".join(dict.fromkeys(re.findall("`[^`]+`", one))) for one in others]
        yield f"{first} (The same of {', '.join(codes)}.)" if codes else first


def about_quiz(number):
    """A notebook's quiz with its answers, as Markdown."""
    lines = ["### For the instructor: the quiz", ""]
    for place, question in enumerate(questions.room(number).QUIZ, 1):
        lines += [f"**{place}.** {one_line(question.text)}", ""]
        for letter, (option, says, right) in zip("abcdefgh", question.shuffled(), strict=False):
            sign = "✓" if right else "✗"
            lines.append(f"- {sign} {letter}) {one_line(option)}: {one_line(says)}")
        lines.append("")
    return "\n".join(lines).rstrip()


def quiz_on_paper(cell):
    """The quiz without its answers, for who reads on paper; None where the cell has none."""
    found = re.search(r'\bquiz\("(\d\d)"\)', cell["source"])
    if cell["cell_type"] != "code" or not found:
        return None
    lines = []
    for place, question in enumerate(questions.room(found[1]).QUIZ, 1):
        lines += [f"**{place}.** {one_line(question.text)}", ""]
        for letter, (option, *_) in zip("abcdefgh", question.shuffled(), strict=False):
            lines.append(f"- {letter}) {one_line(option)}")
        lines.append("")
    return {"cell_type": "markdown", "metadata": {"bnlib": "quiz"}, "source": "\n".join(lines)}


def report_on_paper(cell, parts):
    """[(letter, Markdown)]: a model report of notebook 16, its marks too with parts=2; or []."""
    from bnlib.course import nb16

    found = []
    for letter in re.findall(r'\bmodel_report\("(\w)"\)', cell["source"]):
        shown = nb16.model_report(letter).parts[:parts]
        found.append((letter, "\n\n".join(f"**{name}**\n\n{text}" for name, text in shown)))
    return found


def for_print(cells):
    """Students' cells as they are printed: the quiz and the model reports are added, folded answers
    are left out."""
    found = []
    for cell in cells:
        if cell["cell_type"] == "markdown":
            text = re.sub(r"<details>.*?</details>", "", cell["source"], flags=re.DOTALL)
            cell = {**cell, "source": text}
        found += [cell, quiz] if (quiz := quiz_on_paper(cell)) else [cell]
        if cell["cell_type"] == "code":
            for _, text in report_on_paper(cell, parts=1):
                found.append({"cell_type": "markdown", "metadata": {}, "source": text})
    return found


# ---- nbgrader ------------------------------------------------------------------------------------


def for_nbgrader(cells):
    """Students' cells as nbgrader's source: solutions between its marks, a cell that gives marks
    behind each answer, and no cell that shows a solution."""
    found = []
    for cell in for_students(cells):
        if cell["cell_type"] == "code" and SOLUTION.fullmatch(cell["source"].strip()):
            continue
        found.append(cell)
        if not (pair := asked(cell)):
            continue
        number, name = pair
        before, stub, after = around_stub(cell["source"])
        answer = f"### BEGIN SOLUTION\n{answer_to(number, name)}\n### END SOLUTION"
        cell["source"] = "\n".join(filter(None, [before, stub, "", answer, after]))
        place = number.replace(".", "-")
        worth = exercise_of(number).worth
        cell["metadata"]["nbgrader"] = grading(f"answer-{place}", solution=True)
        found.append({
            "cell_type": "code", "id": f"marks-{place}",
            "metadata": {"nbgrader": grading(f"marks-{place}", grade=True, points=worth)},
            "source": "from bnlib.course.kit.marks import marks\n\n"
            f'marks("{number}", {name}, of={worth})',
        })  # fmt: skip
    return found


def grading(name, grade=False, solution=False, **more):
    return {
        "schema_version": 3, "grade_id": name, "grade": grade, "solution": solution,
        "locked": grade, "task": False, **more,
    }  # fmt: skip


# ---- files ---------------------------------------------------------------------------------------


def title(course):
    return re.search(r"^# (.+)$", course["cells"][0]["source"], re.MULTILINE)[1]


def with_outputs(course, cells):
    """The text of a notebook that keeps what its cells have shown, but for widgets."""
    metadata = {key: value for key, value in course["metadata"].items() if key != "widgets"}
    nb = {"cells": cells, "metadata": metadata, "nbformat": 4, "nbformat_minor": 5}
    return json.dumps(nb, indent=1, ensure_ascii=False, sort_keys=True) + "\n"


def put(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8", newline="\n")


def write_notebooks(courses, out):
    for path, course in courses.items():
        cells = course["cells"]
        put(out / "student" / path.name, copies.copy_of(course, for_students(cells)))
        put(out / "instructor" / path.name, with_outputs(course, for_instructors(cells)))
        assignment = copies.copy_of(course, for_nbgrader(cells))
        put(out / "nbgrader" / "source" / path.stem / path.name, assignment)
    for folder in ("student", "instructor"):
        for extra in [*NOTEBOOKS.glob("*.md"), *(NOTEBOOKS / "images").glob("*")]:
            target = out / folder / extra.relative_to(NOTEBOOKS)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(extra, target)
    shutil.copy(SOURCES / "nbgrader_config.py", out / "nbgrader")


def print_all(courses, out):
    """The PDFs; returns how many, and complaints."""
    wrong, count = [], 0
    with paper.printer() as print_pdf:
        for path, course in courses.items():
            name, cells = title(course), course["cells"]
            prints = {
                "": for_print(for_students(cells)),
                "_instructor": for_instructors(cells),
            }
            for ending, chosen in prints.items():
                text = paper.notebook(name, chosen, ending.strip("_"))
                foot = f"{path.name[:2]} {name}{' (instructor)' * bool(ending)}"
                print_pdf(text, out / "print" / f"{path.stem}{ending}.pdf", foot)
                count += 1
            board = SOURCES / "boards" / f"{path.name[:2]}.md"
            if not board.exists():
                wrong.append(f"there is no plan of the board for {path.name[:2]}")
                continue
            text = paper.board(f"Board {path.name[:2]}", board.read_text(encoding="utf-8"))
            count += 1
            if print_pdf(text, out / "print" / f"{path.stem}_board.pdf", "", one_page=True) > 1:
                wrong.append(f"the board of {path.name[:2]} is longer than a page")
    return count, wrong


def main(words=None):
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("notebook", nargs="*")
    parser.add_argument("--seed", type=int, default=1, help="of the numbers in the questions")
    options = parser.parse_args(words)
    began = time.monotonic()
    courses = {path: copies.read(path) for path, _ in copies.pairs(ROOT, options.notebook)}
    shutil.rmtree(OUT, ignore_errors=True)
    write_notebooks(courses, OUT)
    put(OUT / "README.md", (SOURCES / "README.md").read_text(encoding="utf-8"))
    asked_for = questions.write(OUT / "questions", options.seed)
    print(f"bnlib: {len(courses)} notebooks three times, {len(asked_for)} questions")
    try:
        count, wrong = print_all(courses, OUT)
        print(f"bnlib: {count} PDFs")
    except (paper.chromium.Missing, vendor.Missing) as why:
        wrong = [f"no PDFs: {why}"]
    for line in wrong:
        print(f"bnlib: {line}", file=sys.stderr)
    print(f"bnlib: in {time.monotonic() - began:.0f} s: see\n  {OUT / 'README.md'}")
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main())
