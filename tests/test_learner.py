"""A learner works through the course: every exercise solved in their own copies, in order.

What passes is kept and used by the notebooks that follow; at the end their own layer trains the
net of notebook 01 that did not learn, and the thirty layers of notebook 16. The notebooks of the
spine run whole, of the others the cells that ask, and their calls of mine(). A new notebook is
taken along by itself. No solution is shown to it that learners do not get: the text of solution().

Two things save half the time. One kernel runs them all, and forgets before each notebook all but
other people's packages, whose import takes the longest. And figures are made, with their texts, but
no pixel of them is: tests/test_notebooks.py looks at those.
"""

import itertools
import json
import re
from pathlib import Path

import pytest
from loading import load

from bnlib.course.kit.asking import exercises_of

ROOT = Path(__file__).resolve().parent.parent
SPINE = ("03", "04", "05", "06", "07", "09", "10", "15", "16")  # they run whole
AFRESH = """%reset -f
import sys
from matplotlib.backends.backend_agg import FigureCanvasAgg

FigureCanvasAgg.draw = FigureCanvasAgg.get_renderer  # figures stay blank
for name in ["", *sys.modules]:
    if name.partition(".")[0] == "bnlib":
        del sys.modules[name]
del sys, FigureCanvasAgg, name
"""
MINE = re.compile(r'\bmine\("\w+"\)')


tool, answers = load("notebooks"), load("answers")
CHECK = answers.CHECK


def solved(source):
    """A cell that asks, with its stub replaced by what the exercise's solution shows."""
    return answers.answered(source, answers.answer_to(*CHECK.search(source).groups()))


def copy_of(path, whole):
    """The cells of the learner's copy, every answer in them; beside the spine, those that ask."""
    nb = json.loads(path.read_text(encoding="utf-8"))
    kept = []
    for cell in nb["cells"]:
        source = "".join(cell["source"])
        asks = cell["cell_type"] == "code" and CHECK.search(source)
        if whole or asks or "use_course_style()" in source:
            kept.append({**cell, "source": solved(source) if asks else source})
        elif cell["cell_type"] == "code" and (calls := MINE.findall(source)):
            kept.append({**cell, "source": "\n".join(calls)})
    return kept


def uses_own_layer(number):
    """Does a notebook call mine()? (00 only tells of it.)"""
    (path,) = (ROOT / "notebooks").glob(f"{number}_*.ipynb")
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    return any(MINE.search("".join(c["source"])) for c in cells if c["cell_type"] == "code")


def said(cells):
    """What each cell that asks answered, by number, and all that was printed."""
    verdicts, printed = {}, []
    for cell in cells:
        texts = [
            o.get("text") or o.get("data", {}).get("text/plain", "")
            for o in cell.get("outputs", [])
        ]
        printed += texts
        if cell.cell_type == "code" and (asked := CHECK.search(cell.source)):
            verdicts[asked[1]] = texts[-1] if texts else ""
    return verdicts, "\n".join(printed)


@pytest.fixture(scope="module")
def course(tmp_path_factory):
    """Every notebook, solved and run in one work folder: {number: (verdicts, printed)}."""
    work = tmp_path_factory.mktemp("mein Kürs") / "work"
    work.mkdir()
    copies = {
        path.name[:2]: copy_of(path, whole=path.name[:2] in SPINE)
        for path in sorted((ROOT / "notebooks").glob("[0-9]*.ipynb"))
    }
    new = tool.nbformat.v4
    cells = []
    for number, copy in copies.items():
        cells.append(new.new_code_cell(AFRESH))
        cells += [tool.nbformat.from_dict({**c, "id": f"{number}-{c['id']}"}) for c in copy]
    environment = tool.ENVIRONMENT | {"BNLIB_WORK": str(work)}
    run = iter(tool.execute(new.new_notebook(cells=cells), work, environment=environment).cells)
    found = {}
    for number, copy in copies.items():
        next(run)
        found[number] = said(itertools.islice(run, len(copy)))
    return work, found


def test_every_answer_is_right_or_noted(course):
    _, found = course
    asked = {number: text for verdicts, _ in found.values() for number, text in verdicts.items()}
    wrong = {
        n: text for n, text in asked.items() if "✓ Right." not in text and "✎ Noted." not in text
    }
    assert not wrong
    everything = {n for name in found for n in exercises_of(name)}
    assert set(asked) == everything


def test_what_passed_is_used_from_then_on(course):
    work, found = course
    kept = {path.stem for path in (work / "my_layer").glob("*.py")}
    assert {"normalize", "batch_norm", "hidden_layer", "batch_norm_backward", "BatchNorm"} <= kept
    assert {"BatchNormFunction", "BatchNormModule"} <= kept
    users = [number for number in found if uses_own_layer(number)]
    assert set(users) >= set(SPINE)
    for number in users:
        printed = found[number][1]
        assert ": yours, from work/my_layer/" in printed, number
        assert "the course's own" not in printed, number


def test_own_layer_repairs_the_net_that_did_not_learn(course):
    _, found = course
    printed = found["07"][1]
    assert "BatchNorm: yours, from work/my_layer/BatchNorm.py" in printed
    assert "✓ with this layer: more than eight in ten" in printed


def test_own_layer_trains_thirty_layers(course):
    work, found = course
    verdicts, printed = found["16"]
    assert "BatchNormModule: yours, from work/my_layer/BatchNormModule.py" in printed
    assert "✓ with this layer: more than eight in ten" in printed
    assert "12 of 12 points met" in verdicts["16.6"]
    assert "work/certificate.html" in printed
    assert (work / "certificate.html").is_file()


def test_progress_counts_them_all(course, monkeypatch):
    from bnlib.course import progress
    from bnlib.course.kit import own_layer

    work, _ = course
    monkeypatch.setenv("BNLIB_WORK", str(work))
    monkeypatch.setattr(own_layer, "_solved_here", set())
    for line in str(progress()).splitlines():
        done, of = re.search(r"(\d+) of (\d+) solved", line).groups()
        assert done == of, line
