""".make/notebooks.py: a notebook's bytes follow from its sources and results alone."""

import base64
import io
import json
import os
import random
import sys
from pathlib import Path

import nbformat
import numpy as np
import pytest
from loading import load
from PIL import Image

from bnlib.course.kit.figures import fast_png

ROOT = Path(__file__).resolve().parents[1]
WIDGET_STATE = "application/vnd.jupyter.widget-state+json"
WIDGET_VIEW = "application/vnd.jupyter.widget-view+json"
v4 = nbformat.v4

tool = load("notebooks")


def text_of(*cells, **metadata):
    nb = v4.new_notebook(cells=list(cells), metadata=metadata)
    for number, cell in enumerate(nb.cells, 1):
        cell.id = f"cell-{number}"  # nbformat's are random
    return nbformat.writes(nb)


def normalised(*cells, **metadata):
    return json.loads(tool.normalise(text_of(*cells, **metadata)))


def stream(text, name="stdout"):
    return v4.new_output("stream", text=text, name=name)


def code(source="pass", *outputs, **metadata):
    return v4.new_code_cell(source, outputs=list(outputs), metadata=metadata, execution_count=1)


# ---- normalise -----------------------------------------------------------------------------------


def test_normalise_is_a_fixed_point():
    once = tool.normalise(text_of(v4.new_markdown_cell("# Title"), code("1", stream("a\n"))))
    assert tool.normalise(once) == once
    assert once.endswith("}\n")
    assert not once.endswith("\n\n")


def ids(*cells):
    """The ids that cells, given as (id or None, source), have after normalising."""
    nb = json.loads(text_of(*(code(source) for _, source in cells)))
    for cell, (name, _) in zip(nb["cells"], cells, strict=True):
        cell["id"] = name
        if name is None:
            cell.pop("id")
    nb["nbformat_minor"] = 4 if None in dict(cells) else 5
    once = tool.normalise(json.dumps(nb))
    assert tool.normalise(once) == once
    return [cell["id"] for cell in json.loads(once)["cells"]]


def test_a_new_cell_renames_no_other():
    names = ["cell-07", "x" * 64, "3f-Z_"]
    assert ids(*((name, f"source of {name}") for name in names)) == names


@pytest.mark.parametrize("bad", [None, "", "two words", "x" * 65, "é", "line\n"])
def test_a_cell_without_an_id_gets_one_that_follows_from_its_source(bad):
    (name,) = ids((bad, "b"))
    assert ids(("first", "a"), (bad, "b"), ("last", "b")) == ["first", name, "last"]


def test_cells_with_one_id_or_one_source_get_their_own():
    found = ids(("same", "b"), ("same", "b"), ("same", "b"), (None, "b"))
    assert found[0] == "same"
    assert len(set(found)) == 4


def test_slides_and_tags_stay_and_marks_of_an_editor_go():
    kept = {"slideshow": {"slide_type": "slide"}, "tags": ["nbval-ignore-output"]}
    gone = {"trusted": True, "execution": {"iopub.status.idle": "2024"}, "scrolled": True}
    assert normalised(code(**kept, **gone))["cells"][0]["metadata"] == kept


@pytest.mark.parametrize("slide_type", ["-", ""])
def test_a_slide_type_that_says_nothing_goes(slide_type):
    cell = code(slideshow={"slide_type": slide_type}, tags=[])
    assert normalised(cell)["cells"][0]["metadata"] == {}


def test_language_is_stored_as_the_kernel_tells_it():
    """So that JupyterLab, which writes it when it opens a notebook, changes nothing."""
    metadata = normalised(code(), language_info={"name": "python"}, vscode={"x": 1})["metadata"]
    assert metadata["language_info"]["version"] == sys.version.split()[0]
    assert metadata["language_info"]["codemirror_mode"] == {"name": "ipython", "version": 3}
    assert set(metadata) == {"kernelspec", "language_info"}


def test_version_of_python_is_that_of_the_last_run():
    version = {"name": "python", "version": "3.99.1"}
    assert normalised(code(), language_info=version)["metadata"]["language_info"]["version"] == (
        "3.99.1"
    )


def test_a_stream_is_one_output_however_it_was_cut():
    cut = normalised(code("x", stream("a\n"), stream("b"), stream("c\n")))
    assert cut == normalised(code("x", stream("a\nb"), stream("c\n")))
    assert len(cut["cells"][0]["outputs"]) == 1


def test_streams_of_two_names_stay_apart():
    outputs = normalised(code("x", stream("a\n"), stream("b\n", "stderr")))["cells"][0]["outputs"]
    assert [o["name"] for o in outputs] == ["stdout", "stderr"]


@pytest.mark.parametrize(
    ("printed", "seen"),
    [
        ("\r10 %\r99 %\n", "99 %\n"),
        ("a\r\nb\n", "a\nb\n"),
        ("done\r", "done"),
        ("one\ntwo\rTWO\nthree", "one\nTWO\nthree"),
    ],
)
def test_a_progress_bar_is_stored_as_it_looks_at_the_end(printed, seen):
    outputs = normalised(code("x", stream(printed)))["cells"][0]["outputs"]
    assert "".join(outputs[0]["text"]) == seen


def notebook_with_widgets(seed):
    """A box with a slider and its layout, a link between two of them, and a widget nobody shows."""
    rng = random.Random(seed)
    box, slider, label, layout, link, lonely = (f"{rng.getrandbits(128):032x}" for _ in range(6))

    def model(name, **state):
        return {
            "model_name": name,
            "model_module": "m",
            "model_module_version": "1",
            "state": state,
        }

    state = {
        box: model("VBoxModel", children=[f"IPY_MODEL_{slider}", f"IPY_MODEL_{label}"]),
        slider: model("IntSliderModel", layout=f"IPY_MODEL_{layout}", value=3),
        label: model("LabelModel", value="text", tooltip=None),
        layout: model("LayoutModel", width="80px", height=None),
        link: model(
            "LinkModel",
            source=[f"IPY_MODEL_{slider}", "value"],
            target=[f"IPY_MODEL_{label}", "value"],
        ),
        lonely: model("IntTextModel", value=1),
    }
    state[slider]["buffers"] = [{"path": [p], "data": p, "encoding": "base64"} for p in "ba"]
    entries = list(state.items())
    rng.shuffle(entries)
    view = v4.new_output("display_data", data={WIDGET_VIEW: {"model_id": box}})
    widgets = {WIDGET_STATE: {"state": dict(entries), "version_major": 2, "version_minor": 0}}
    return text_of(code("box", view), widgets=widgets)


def widgets_of(text):
    return json.loads(text)["metadata"]["widgets"][WIDGET_STATE]["state"]


def test_the_random_names_of_widgets_leave_no_trace():
    assert notebook_with_widgets(1) != notebook_with_widgets(2)
    assert tool.normalise(notebook_with_widgets(1)) == tool.normalise(notebook_with_widgets(2))


def test_normalise_is_a_fixed_point_with_widgets():
    once = tool.normalise(notebook_with_widgets(3))
    assert tool.normalise(once) == once


def test_widgets_are_counted_from_the_one_that_is_shown():
    text = tool.normalise(notebook_with_widgets(1))
    shown = json.loads(text)["cells"][0]["outputs"][0]["data"][WIDGET_VIEW]["model_id"]
    names = [widgets_of(text)[key]["model_name"] for key in sorted(widgets_of(text))]
    assert shown == f"{1:032x}"
    assert names == ["VBoxModel", "IntSliderModel", "LayoutModel", "LabelModel", "LinkModel"]


def test_a_layout_keeps_what_it_sets_and_other_widgets_keep_all():
    states = {
        w["model_name"]: w["state"]
        for w in widgets_of(tool.normalise(notebook_with_widgets(1))).values()
    }
    assert states["LayoutModel"] == {"width": "80px"}
    assert states["LabelModel"] == {"value": "text", "tooltip": None}


def test_buffers_are_sorted():
    slider = widgets_of(tool.normalise(notebook_with_widgets(1)))[f"{2:032x}"]
    assert [buffer["path"] for buffer in slider["buffers"]] == [["a"], ["b"]]


def test_widgets_that_no_output_shows_are_dropped():
    text = text_of(code(), widgets=json.loads(notebook_with_widgets(1))["metadata"]["widgets"])
    assert "widgets" not in json.loads(tool.normalise(text))["metadata"]


# ---- pictures ------------------------------------------------------------------------------------


def test_pictures_are_stored_small_and_look_the_same():
    pixels = np.full((300, 400, 4), 255, np.uint8)
    pixels[100:200, 50:350] = np.random.default_rng(0).choice([0, 99, 255], (100, 300, 1))
    pixels[..., 3] = 255
    fast = base64.b64encode(fast_png(pixels)).decode()
    key, kind = "c0ffee" * 5, {"model_name": "M", "model_module": "m", "model_module_version": "1"}
    buffers = [{"path": ["p"], "data": fast, "encoding": "base64"}]
    state = {key: {**kind, "state": {}, "buffers": buffers}}
    outputs = [v4.new_output("display_data", data={"image/png": fast}),
               v4.new_output("display_data", data={WIDGET_VIEW: {"model_id": key}})]  # fmt: skip
    text = text_of(code("show", *outputs), widgets={WIDGET_STATE: {"state": state}})
    stored = tool.with_small_pictures(tool.normalise(text))
    (shown, _), (widget,) = json.loads(stored)["cells"][0]["outputs"], widgets_of(stored).values()
    for small in ("".join(shown["data"]["image/png"]), widget["buffers"][0]["data"]):
        assert len(small) < 0.7 * len(fast)
        image = Image.open(io.BytesIO(base64.b64decode(small)))
        assert np.array_equal(np.asarray(image.convert("RGBA")), pixels)


# ---- what differs --------------------------------------------------------------------------------


def test_first_difference_names_the_cell_and_both_texts():
    old, new = (tool.normalise(text_of(code("a"), code("b", stream(x)))) for x in ("1\n", "2\n"))
    said = tool.first_difference(old, new)
    assert said.startswith("cell 2 differs")
    assert '-    "1\\n"' in said
    assert '+    "2\\n"' in said


def test_first_difference_of_the_same_is_empty():
    assert (
        tool.first_difference(tool.normalise(text_of(code())), tool.normalise(text_of(code())))
        == ""
    )


def test_first_difference_sees_a_missing_cell_and_other_metadata():
    one, two = tool.normalise(text_of(code())), tool.normalise(text_of(code(), code()))
    assert tool.first_difference(one, two) == "1 cells before, 2 after"
    assert "metadata" in tool.first_difference(one, tool.normalise(text_of(code(), title="x")))


# ---- finding and executing -----------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path):
    for name in ("03_a.ipynb", "04_b.ipynb"):
        (tmp_path / name).write_text(text_of(code()), encoding="utf-8")
    return tmp_path


@pytest.mark.parametrize(
    ("names", "found"),
    [(["04"], ["04_b"]), ([], ["03_a", "04_b"]), (["04_b", "03"], ["04_b", "03_a"])],
)
def test_find_takes_numbers_and_names(folder, names, found):
    assert [path.stem for path in tool.find(names, folder)] == found


def test_find_takes_a_path(folder):
    assert tool.find([str(folder / "03_a.ipynb")]) == [folder / "03_a.ipynb"]


def test_find_names_what_is_not_there(folder):
    with pytest.raises(SystemExit, match="no notebook '77'"):
        tool.find(["77"], folder)


def test_run_executes_here_and_check_agrees(tmp_path, monkeypatch):
    """One kernel's start for several claims: it is the slow part."""
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    source = (
        "import os, sys\n"
        "print(sys.executable, os.getcwd(), os.environ['OMP_NUM_THREADS'], sep='\\n')"
    )
    path = tmp_path / "03_a.ipynb"
    path.write_text(text_of(v4.new_markdown_cell("a"), code(source), code("_ = 1\n2 + 3")))
    assert tool.run(path) == "written"
    printed, result = (c["outputs"][0] for c in json.loads(path.read_text())["cells"][1:])
    python, here, threads = "".join(printed["text"]).splitlines()
    assert os.path.samefile(python, sys.executable)
    assert os.path.samefile(here, tmp_path)
    assert threads == "1"
    assert result["data"]["text/plain"] == ["5"]
    assert tool.check(path) == "the same bytes"
    stored = json.loads(path.read_text())["metadata"]["language_info"]
    assert stored == tool.language_info()  # that of the kernel that ran it
    path.write_text(path.read_text().replace(stored["version"], "3.99.1"))
    assert tool.check(path).startswith("the same, but")


def test_check_fails_where_a_result_would_change(tmp_path, capsys):
    path = tmp_path / "03_a.ipynb"
    path.write_text(tool.normalise(text_of(code("print(2)", stream("3\n")))))
    before = path.read_bytes()
    assert tool.main(["check", str(path)]) == 1
    assert "FAILED, cell 1 differs" in capsys.readouterr().out
    assert path.read_bytes() == before


def test_check_lets_a_marked_output_vary(tmp_path):
    path = tmp_path / "03_a.ipynb"
    cell = code("print(2)", stream("3\n"), tags=["nbval-ignore-output"])
    path.write_text(tool.normalise(text_of(cell)), encoding="utf-8")
    assert tool.check(path).startswith("the same, but for outputs")


def test_an_error_is_reported_and_the_file_left_alone(tmp_path, capsys):
    path = tmp_path / "03_a.ipynb"
    path.write_text(text_of(v4.new_markdown_cell("a"), code("x = 1"), code("x / 0")))
    before = path.read_bytes()
    assert tool.main(["run", str(path)]) == 1
    said = capsys.readouterr().out
    assert "FAILED, cell 3:" in said
    assert "ZeroDivisionError" in said
    assert "\x1b" not in said
    assert path.read_bytes() == before


def test_a_kernel_that_dies_is_reported(tmp_path, capsys):
    path = tmp_path / "03_a.ipynb"
    path.write_text(text_of(code("import os\nos._exit(1)")))
    assert tool.main(["run", str(path)]) == 1
    assert "in cell 1: DeadKernelError" in capsys.readouterr().out


def test_a_cell_that_takes_too_long_is_reported():
    nb = nbformat.reads(text_of(code("import time\ntime.sleep(60)")), as_version=4)
    with pytest.raises(tool.CellFailed, match="cell 1 takes longer than 1 s"):
        tool.execute(nb, timeout=1)


def test_normalise_writes_only_what_changed(tmp_path):
    path = tmp_path / "03_a.ipynb"
    path.write_text(text_of(code(trusted=True)))
    assert tool.normalise_file(path) == "written"
    assert tool.normalise_file(path) == "unchanged"
