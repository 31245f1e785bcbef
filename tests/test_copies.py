"""The learner's copies (.make/copies.py): made once, brought up to date, and nothing ever lost."""

import datetime
import json
import re
import shutil
from pathlib import Path

import nbformat
import pytest
from loading import load

ROOT = Path(__file__).resolve().parents[1]
TODAY = datetime.date.today().isoformat()
NAME = "05_where.ipynb"

tool = load("copies")

TITLE = ("title", "# Where")
SETUP = ("setup", "import numpy as np")
STUB = ("stub", 'def layer(x):\n    return ...\n\n\ncheck("5.2", layer)')
HINT = ("hint", 'hint("5.2")')
GUESS = ("guess", 'my_guess = ...\n\ncheck("5.3", my_guess)')
END = ("end", "# Summary")
COURSE = (TITLE, SETUP, STUB, HINT, GUESS, END)
ANSWER = 'def layer(x):\n    return x - x.mean(0)\n\n\ncheck("5.2", layer)'


def notebook(*cells, **metadata):
    """A run notebook of (id, source) cells; a source that starts with # is prose."""
    made = []
    for name, source in cells:
        cell = {"id": name, "metadata": {}, "source": source.splitlines(keepends=True)}
        cell |= {"cell_type": "markdown" if source.startswith("#") else "code"}
        if cell["cell_type"] == "code":
            printed = {"output_type": "stream", "name": "stdout", "text": ["spoiled\n"]}
            cell |= {"execution_count": 1, "outputs": [printed]}
        made.append(cell)
    widgets = {"application/vnd.jupyter.widget-state+json": {"state": {}}}
    kernel = {"name": "python3", "display_name": "Python 3 (ipykernel)", "language": "python"}
    metadata = {"kernelspec": kernel, "widgets": widgets, **metadata}
    return {"cells": made, "metadata": metadata, "nbformat": 4, "nbformat_minor": 5}


class Stage:
    """A course's folder with one notebook, 05, and what its learner does in it."""

    def __init__(self, root):
        self.root, self.work = root, root / "work"
        self.path = self.work / NAME
        (root / "notebooks" / "images").mkdir(parents=True)

    def course(self, *cells, name=NAME):
        """Publish a version of the course's notebook."""
        text = json.dumps(notebook(*cells))
        (self.root / "notebooks" / name).write_text(text, encoding="utf-8")

    def do(self, *words):
        tool.main(list(words), self.root)

    def read(self, path=None):
        return json.loads((path or self.path).read_text(encoding="utf-8"))

    def write(self, nb, path=None):
        (path or self.path).write_text(json.dumps(nb), encoding="utf-8")

    def cells(self, path=None):
        return [(c["id"], "".join(c["source"])) for c in self.read(path)["cells"]]

    def sources(self, path=None):
        return [source for _, source in self.cells(path)]

    def edit(self, **sources):
        """Change cells of the copy, by id."""
        nb = self.read()
        for cell in nb["cells"]:
            cell["source"] = sources.get(cell["id"], cell["source"])
        self.write(nb)

    def put(self, place, *sources):
        """Add cells to the copy before the cell with this place, as an editor would."""
        nb = self.read()
        for n, source in enumerate(sources):
            cell = notebook((f"new-{place}-{n}", source))["cells"][0]
            nb["cells"].insert(place + n, cell)
        self.write(nb)

    def files(self):
        return sorted(path.name for path in self.work.glob("*.ipynb"))


@pytest.fixture
def stage(tmp_path, monkeypatch):
    monkeypatch.setattr(tool, "trust", lambda paths: list(paths))  # signs in the user's own files
    monkeypatch.setattr(tool.server, "running", lambda root: None)
    stage = Stage(tmp_path / "mein Kürs")
    stage.course(*COURSE)
    stage.do("prepare")
    return stage


def updated(stage, *cells):
    """The sources of the copy after an update to these cells."""
    stage.course(*cells)
    stage.do("update")
    return stage.sources()


# ---- a copy --------------------------------------------------------------------------------------


def test_copy_has_the_cells_and_nothing_of_a_run(stage):
    assert stage.cells() == list(COURSE)
    code = [cell for cell in stage.read()["cells"] if cell["cell_type"] == "code"]
    assert all(cell["outputs"] == [] and cell["execution_count"] is None for cell in code)
    assert "widgets" not in stage.read()["metadata"]


def test_copy_holds_nothing_of_what_the_speaker_says():
    nb = notebook(*COURSE)
    for cell in nb["cells"]:
        cell["metadata"] = {"slide": {"say": "The answer is 5."}, "tags": ["kept"]}
        cell["source"] = "".join(cell["source"])
    cells = json.loads(tool.copy_of(nb))["cells"]
    assert {tuple(cell["metadata"]) for cell in cells} == {("tags",)}


def test_copy_is_a_valid_notebook_that_opening_does_not_change(stage):
    nbformat.validate(nbformat.read(stage.path, as_version=4))
    assert stage.read()["metadata"]["language_info"] == tool.language_info()


def test_prepare_never_touches_a_copy(stage):
    stage.edit(stub=ANSWER)
    before = stage.path.read_bytes()
    stage.course(TITLE, END)
    stage.do("prepare")
    assert stage.path.read_bytes() == before


def test_prepare_says_what_the_course_has_changed(stage, capsys):
    capsys.readouterr()
    stage.do("prepare")
    assert capsys.readouterr().out == ""
    stage.course(TITLE, END)
    stage.do("prepare")
    said = capsys.readouterr().out
    assert "changed in 05_where" in said
    assert "update" in said


def test_other_outputs_are_no_change(stage, capsys):
    nb = notebook(*COURSE)
    nb["cells"][1] |= {"outputs": [], "metadata": {"tags": ["x"]}}
    stage.write(nb, stage.root / "notebooks" / NAME)
    capsys.readouterr()
    stage.do("prepare")
    assert capsys.readouterr().out == ""


def test_renamed_copy_is_the_learners_and_a_new_one_is_made(stage):
    stage.edit(stub=ANSWER)
    mine = stage.path.rename(stage.work / "mine.ipynb")
    before = mine.read_bytes()
    stage.do("prepare")
    updated(stage, TITLE, END)
    assert mine.read_bytes() == before
    assert stage.files() == [NAME, "mine.ipynb"]


def test_new_notebook_of_the_course_is_copied(stage):
    stage.course(TITLE, name="06_next.ipynb")
    stage.do("prepare")
    assert stage.files() == [NAME, "06_next.ipynb"]


def test_pictures_lie_where_the_links_lead(stage):
    picture = stage.root / "notebooks" / "images" / "bell.png"
    picture.write_bytes(b"one")
    stage.do("prepare")
    picture.write_bytes(b"two")
    stage.do("prepare")
    assert (stage.work / "images" / "bell.png").read_bytes() == b"two"


# ---- an update -----------------------------------------------------------------------------------


def test_answer_takes_the_place_of_the_stub(stage):
    stage.edit(stub=ANSWER)
    new = ("new", "print('a new cell')")
    assert updated(stage, TITLE, new, SETUP, STUB, HINT, GUESS, END) == [
        TITLE[1], new[1], SETUP[1], ANSWER, HINT[1], GUESS[1], END[1]
    ]  # fmt: skip


def test_old_copy_is_kept_under_todays_name(stage):
    stage.edit(stub=ANSWER)
    before = stage.path.read_bytes()
    updated(stage, *COURSE, ("new", "1"))
    updated(stage, *COURSE, ("new", "2"))
    old = [f"05_where_{TODAY}.ipynb", f"05_where_{TODAY}_2.ipynb"]
    assert stage.files() == sorted([NAME, *old])
    assert (stage.work / old[0]).read_bytes() == before


def test_copy_that_nobody_began_leaves_no_old_one(stage):
    updated(stage, TITLE, END)
    assert stage.files() == [NAME]
    assert stage.sources() == [TITLE[1], END[1]]


def test_run_copy_is_kept_for_its_outputs(stage):
    nb = stage.read()
    nb["cells"][1]["execution_count"] = 1
    stage.write(nb)
    updated(stage, TITLE, END)
    assert len(stage.files()) == 2


def test_second_update_finds_nothing_to_do(stage, capsys):
    stage.edit(stub=ANSWER)
    updated(stage, *COURSE, ("new", "1"))
    before = stage.path.read_bytes()
    capsys.readouterr()
    stage.do("update")
    assert "up to date with the course" in capsys.readouterr().out
    assert stage.path.read_bytes() == before


def test_update_after_update_still_knows_the_answer(stage):
    stage.edit(stub=ANSWER)
    updated(stage, *COURSE, ("new", "1"))
    assert ANSWER in updated(stage, TITLE, STUB)


def test_untouched_stub_becomes_the_new_one(stage):
    anew = ("stub", 'def layer(x, eps):\n    return ...\n\n\ncheck("5.2", layer)')
    stage.edit(guess='my_guess = 3\n\ncheck("5.3", my_guess)')
    assert updated(stage, TITLE, anew, GUESS) == [
        TITLE[1], anew[1], 'my_guess = 3\n\ncheck("5.3", my_guess)'
    ]  # fmt: skip


def test_answer_to_a_changed_stub_is_kept_and_said(stage, capsys):
    stage.edit(stub=ANSWER)
    anew = ("stub", 'def layer(x, eps):\n    return ...\n\n\ncheck("5.2", layer)')
    assert updated(stage, TITLE, anew) == [TITLE[1], ANSWER]
    assert "changed the cell of 5.2" in capsys.readouterr().out


def test_answer_follows_its_number_to_another_cell(stage):
    stage.edit(stub=ANSWER)
    assert updated(stage, TITLE, GUESS, ("elsewhere", STUB[1])) == [TITLE[1], GUESS[1], ANSWER]


@pytest.mark.parametrize("first", ["stub", "check"], ids=["head keeps its id", "tail keeps it"])
@pytest.mark.parametrize("anew", [False, True], ids=["stub as before", "stub changed"])
def test_answer_split_into_two_cells_stays_whole(stage, first, anew):
    function, call = "def layer(x):\n    return x - x.mean(0)", 'check("5.2", layer)'
    if first == "stub":
        stage.edit(stub=function)
        stage.put(3, call)
    else:
        stage.edit(stub=call)
        stage.put(2, function)
    stub = ("stub", STUB[1] + "  # anew") if anew else STUB
    assert updated(stage, TITLE, SETUP, stub, END) == [TITLE[1], SETUP[1], function, call, END[1]]


def test_several_cells_with_one_number_stay_together(stage):
    stage.edit(stub=ANSWER)
    stage.put(3, ANSWER + "  # again")
    assert updated(stage, TITLE, STUB, END) == [TITLE[1], ANSWER, ANSWER + "  # again", END[1]]


def test_added_cells_follow_the_cell_that_they_followed(stage):
    stage.put(6, "# my last note")
    stage.put(2, "scratch = 1", "# my note")
    stage.put(0, "# first of all")
    assert updated(stage, ("new", "0"), *COURSE) == [
        "# first of all", "0", TITLE[1], SETUP[1], "scratch = 1", "# my note",
        STUB[1], HINT[1], GUESS[1], END[1], "# my last note",
    ]  # fmt: skip


def test_empty_cells_are_not_carried(stage):
    stage.put(6, "", "  \n")
    assert updated(stage, *COURSE, ("new", "1"))[-2:] == [END[1], "1"]


def test_changed_cell_of_the_course_stays_where_the_course_left_it(stage):
    stage.edit(setup="import numpy as np\nimport scipy")
    assert updated(stage, *COURSE, ("new", "1"))[1] == "import numpy as np\nimport scipy"


def test_cell_that_both_have_changed_is_the_courses_and_said(stage, capsys):
    stage.edit(setup="import scipy")
    assert updated(stage, TITLE, ("setup", "import numpy")) == [TITLE[1], "import numpy"]
    assert "import scipy" in capsys.readouterr().out
    assert "import scipy" in stage.sources(stage.work / f"05_where_{TODAY}.ipynb")


def test_changed_cell_that_the_course_dropped_stays(stage):
    stage.edit(setup="import scipy")
    assert updated(stage, TITLE, END) == [TITLE[1], "import scipy", END[1]]


def test_answer_that_is_no_longer_asked_stands_at_the_end(stage, capsys):
    stage.edit(stub=ANSWER)
    got = updated(stage, TITLE, END)
    assert got[:2] + got[3:] == [TITLE[1], END[1], ANSWER]
    assert "no longer asks" in got[2]
    assert "no longer asked: 5.2" in capsys.readouterr().out
    assert updated(stage, TITLE, ("new", "1"), END)[-2:] == got[-2:]
    assert updated(stage, TITLE, STUB, END) == [TITLE[1], ANSWER, END[1]]  # asked again


@pytest.mark.parametrize("newline", ["\n", "\r\n"], ids=["LF", "CRLF"])
@pytest.mark.parametrize("mark", ["", "\ufeff"], ids=["", "BOM"])
def test_windows_line_ends_are_no_change(stage, newline, mark):
    stage.edit(stub=ANSWER)
    nb = stage.read()
    for cell in nb["cells"]:
        cell["source"] = "".join(cell["source"]).replace("\n", newline)
    text = mark + json.dumps(nb, indent=1).replace("\n", newline)
    stage.path.write_bytes(text.encode())
    assert updated(stage, TITLE, STUB, GUESS) == [TITLE[1], ANSWER, GUESS[1]]


@pytest.mark.parametrize("note", [None, 7, {"made_from": "x"}, {"made_from": ["a b c"]}])
def test_copy_of_unknown_origin_keeps_its_answers(stage, note):
    stage.edit(stub=ANSWER, setup="import scipy")
    stage.put(2, "# my note")
    nb = stage.read()
    nb["metadata"]["bnlib"] = note
    stage.write(nb)
    assert updated(stage, *COURSE) == [
        TITLE[1], SETUP[1], "# my note", ANSWER, HINT[1], GUESS[1], END[1]
    ]  # fmt: skip


def test_cells_that_an_editor_renamed_are_known_by_their_source(stage):
    stage.edit(stub=ANSWER)
    nb = stage.read()
    for n, cell in enumerate(nb["cells"]):
        cell["id"] = f"other-{n}"
    stage.write(nb)
    assert updated(stage, *COURSE, ("new", "1")) == [
        TITLE[1], SETUP[1], ANSWER, HINT[1], GUESS[1], END[1], "1"
    ]  # fmt: skip


def test_cells_without_ids_are_known_by_their_source(stage):
    stage.edit(stub=ANSWER)
    nb = stage.read()
    for cell in nb["cells"]:
        cell.pop("id")
    stage.write(nb | {"nbformat_minor": 4})
    assert updated(stage, TITLE, STUB, END) == [TITLE[1], ANSWER, END[1]]


def test_updated_copy_is_valid_and_clean(stage):
    stage.edit(stub=ANSWER)
    stage.put(2, "scratch = 1", "# my note")
    updated(stage, *COURSE, ("new", "1"))
    nbformat.validate(nbformat.read(stage.path, as_version=4))
    assert not any(cell.get("outputs") for cell in stage.read()["cells"])


def test_copy_written_back_by_an_open_lab_is_updated_again(stage):
    """Save, Overwrite: the old version with one more answer lies where the new one was put."""
    stage.edit(stub=ANSWER)
    open_in_lab = stage.read()
    updated(stage, *COURSE, ("new", "1"))
    open_in_lab["cells"][4]["source"] = 'my_guess = 3\n\ncheck("5.3", my_guess)'
    stage.write(open_in_lab)
    stage.do("update")
    assert stage.sources()[2::2] == [ANSWER, 'my_guess = 3\n\ncheck("5.3", my_guess)', "1"]


def test_named_notebook_alone_is_updated(stage):
    stage.course(*COURSE, name="06_next.ipynb")
    stage.do("prepare")
    for name in (NAME, "06_next.ipynb"):
        stage.course(TITLE, END, name=name)
    stage.do("update", "6")
    assert stage.sources() == [source for _, source in COURSE]
    assert stage.sources(stage.work / "06_next.ipynb") == [TITLE[1], END[1]]


def test_notebook_open_in_a_lab_is_said(stage, capsys, monkeypatch):
    monkeypatch.setattr(tool.server, "running", lambda root: {"a": "server"})
    monkeypatch.setattr(tool.server, "open_files", lambda info: {f"work/{NAME}"})
    updated(stage, TITLE, END)
    assert f"JupyterLab has {NAME} open" in capsys.readouterr().out


# ---- what can be wrong ---------------------------------------------------------------------------

BROKEN = ["", "{", "[]", '{"cells": [1]}', '{"cells": [{"source": null}]}', "<<<<<<< HEAD\n{}"]


@pytest.mark.parametrize("command", ["prepare", "update"])
@pytest.mark.parametrize("text", [*BROKEN, "\x00\x00"])
def test_broken_copy_stays_and_is_said(stage, capsys, command, text):
    stage.path.write_text(text)
    stage.course(TITLE, END)
    stage.do(command)
    assert stage.path.read_text() == text
    said = capsys.readouterr().out
    assert "cannot be read" in said
    assert "fresh NB=05" in said


@pytest.mark.parametrize("text", BROKEN)
def test_damaged_notebook_of_the_course_harms_no_copy(stage, capsys, text):
    stage.edit(stub=ANSWER)
    before = stage.path.read_bytes()
    (stage.root / "notebooks" / NAME).write_text(text)
    for words in (["prepare"], ["update"]):
        stage.do(*words)
    assert "is damaged" in capsys.readouterr().out
    with pytest.raises(SystemExit, match="damaged"):
        stage.do("fresh", "05")
    assert stage.path.read_bytes() == before


def test_failed_write_changes_nothing(stage, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    stage.edit(stub=ANSWER)
    before = stage.path.read_bytes()
    stage.course(TITLE, END)
    for module, name in ((shutil, "copy2"), (tool.os, "replace")):
        with monkeypatch.context() as patch:
            patch.setattr(module, name, full)
            with pytest.raises(SystemExit, match="No space left"):
                stage.do("update")
        assert stage.path.read_bytes() == before
        assert [path.name for path in stage.work.iterdir() if path.is_file()] == [NAME]


def test_nothing_else_in_work_is_touched(stage):
    layer = stage.work / "my_layer" / "batch_norm.py"
    layer.parent.mkdir()
    layer.write_text("mine")
    (stage.work / "notes.ipynb").write_text("not even a notebook")
    updated(stage, TITLE, END)
    stage.do("fresh", "05")
    assert layer.read_text() == "mine"
    assert (stage.work / "notes.ipynb").read_text() == "not even a notebook"


# ---- afresh --------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["05", "5", "05_where", "work/05_where.ipynb"])
def test_fresh_starts_over_and_keeps_the_old_copy(stage, name):
    stage.edit(stub=ANSWER)
    before = stage.path.read_bytes()
    stage.do("fresh", name)
    assert stage.cells() == list(COURSE)
    assert (stage.work / f"05_where_{TODAY}.ipynb").read_bytes() == before


def test_a_notebook_may_be_named_as_make_names_it(stage):
    stage.edit(stub=ANSWER)
    stage.do("fresh", "NB=05")
    assert stage.cells() == list(COURSE)


def test_fresh_puts_a_broken_copy_aside(stage):
    stage.path.write_text("{")
    stage.do("fresh", "05")
    assert stage.cells() == list(COURSE)
    assert (stage.work / f"05_where_{TODAY}.ipynb").read_text() == "{"


def test_fresh_of_a_copy_that_nobody_began_leaves_no_old_one(stage):
    stage.do("fresh", "05")
    assert stage.files() == [NAME]


def test_fresh_makes_a_copy_that_is_missing(stage):
    stage.path.unlink()
    stage.do("fresh", "05")
    assert stage.cells() == list(COURSE)
    assert stage.files() == [NAME]


def test_fresh_asks_which(stage):
    with pytest.raises(SystemExit, match="fresh NB=05"):
        stage.do("fresh")


@pytest.mark.parametrize("command", ["update", "fresh"])
def test_unknown_notebook_is_one_line(stage, command):
    with pytest.raises(SystemExit, match="no notebook '77'"):
        stage.do(command, "77")


# ---- signed --------------------------------------------------------------------------------------


def test_trust_signs(tmp_path, monkeypatch):
    monkeypatch.setenv("JUPYTER_DATA_DIR", str(tmp_path / "data"))
    path = tmp_path / NAME
    path.write_text(json.dumps(notebook(*COURSE)), encoding="utf-8")
    tool.trust([path])
    notary = nbformat.sign.NotebookNotary()
    assert notary.check_signature(nbformat.read(path, as_version=4))
    notary.store.close()


def test_every_link_of_the_course_leads_somewhere_from_a_copy(tmp_path, monkeypatch):
    monkeypatch.setattr(tool, "trust", lambda paths: list(paths))
    shutil.copytree(ROOT / "notebooks", tmp_path / "notebooks")
    tool.main(["prepare"], tmp_path)
    for path in sorted((tmp_path / "work").glob("*.ipynb")):
        cells = tool.read(path)["cells"]
        prose = [cell["source"] for cell in cells if cell["cell_type"] == "markdown"]
        text = re.sub(r"```.*?```|`[^`\n]*`|\$[^$]*\$", "", "\n".join(prose), flags=re.DOTALL)
        for target in re.findall(r"\]\(([^)#\s]+)", text):
            if "://" not in target:
                inside = target.removeprefix("../")  # work/ lies where notebooks/ does
                place = ROOT if inside != target else tmp_path / "work"
                assert (place / inside).exists(), f"{path.name}: {target}"


def test_course_has_no_exercise_that_two_cells_ask():
    """An answer finds its place by the number of its check."""
    for path in sorted((ROOT / "notebooks").glob("*.ipynb")):
        found = [number for cell in tool.read(path)["cells"] for number in tool.numbers(cell)]
        assert len(found) == len(set(found)), path.name
        assert found, path.name
