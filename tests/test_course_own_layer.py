"""Your own layer: what passed is kept whole, found again, and never broken by what lies there."""

from types import SimpleNamespace

import pytest
from IPython.core.interactiveshell import InteractiveShell

from bnlib.course.kit import own_layer
from bnlib.course.kit.own_layer import NotKept, in_one_piece, keep, mine


def double(x):
    return 2 * x


@pytest.fixture
def shell():
    """A notebook's shell: cells run in it are found by their source as in a kernel."""
    shell = InteractiveShell()
    yield shell
    shell.history_manager.end_session()


@pytest.fixture
def work(tmp_path, monkeypatch):
    folder = tmp_path / "mein Kürs" / "work"
    folder.mkdir(parents=True)
    monkeypatch.setenv("BNLIB_WORK", str(folder))
    return folder


@pytest.fixture(autouse=True)
def exercise(monkeypatch):
    """One build exercise, which asks for `double`."""

    def check(answer):
        try:
            right = answer(4) == 8
        except Exception as error:
            return SimpleNamespace(passed=False, text=f"it stopped with {error}")
        return SimpleNamespace(passed=right, text="" if right else "4 does not give 8.")

    made = SimpleNamespace(id="9.1", keeps="double", solution=double, check=check)
    monkeypatch.setattr(own_layer, "_exercise", lambda name: made)


def run(shell, *cells):
    for cell in cells:
        shell.run_cell(cell).raise_error()
    return shell.user_ns


def test_kept_answer_is_found_again(shell, work, capsys):
    ns = run(shell, "def double(x):\n    return x + x")
    assert "work/my_layer/double.py" in keep("double", ns["double"])
    assert mine("double")(4) == 8
    assert mine("double") is not double
    assert capsys.readouterr().out.startswith("double: yours")


def test_kept_answer_brings_what_it_uses(shell, work):
    ns = run(
        shell,
        "import numpy as np\nfrom math import floor\nTWO = 2.0\nSHAPE = (3, 'a')",
        "def helper(x):\n    return np.asarray(x) * TWO\n",
        "def double(x):\n    assert SHAPE\n    return floor(helper(x))",
    )
    keep("double", ns["double"])
    own = mine("double")
    assert own(4) == 8
    assert own.__globals__["TWO"] == 2.0


def test_kept_class_brings_its_base(shell, work):
    ns = run(
        shell,
        "class Base:\n    def __call__(self, x):\n        return x\n",
        "class double(Base):\n    def __new__(cls, x):\n        return 2 * x\n",
    )
    keep("double", ns["double"])
    assert mine("double").__mro__[1].__name__ == "Base"


def test_answer_of_another_name_is_kept_under_its_own(shell, work):
    ns = run(shell, "def twice(x):\n    return 2 * x")
    keep("double", ns["twice"])
    assert mine("double").__name__ == "twice"


def test_last_of_two_definitions_in_a_cell_is_kept(shell, work):
    ns = run(shell, "def double(x):\n    return 0\n\ndef double(x):\n    return 2 * x")
    assert "0" not in in_one_piece("double", ns["double"])


def test_kept_answer_may_build_on_an_earlier_one(shell, work):
    ns = run(shell, "def double(x):\n    return 2 * x")
    keep("double", ns["double"])
    first = mine("double")
    ns = run(shell, "def quadruple(x):\n    return base(base(x))")
    ns["base"] = first
    text = in_one_piece("quadruple", ns["quadruple"])
    assert "return 2 * x" in text
    assert own_layer.load("quadruple", text, "q.py")(1) == 4


def test_answer_may_build_on_the_course_s_own(shell):
    ns = run(shell, "from bnlib.numpy import batch_norm as bn\ndef f(x):\n    return bn(x)[0]")
    assert "import batch_norm as bn" in in_one_piece("f", ns["f"])


def test_answer_that_uses_data_is_not_kept(shell, work):
    ns = run(
        shell, "import numpy as np\ntable = np.ones(9)\ndef double(x):\n    return 2 * x * table[0]"
    )
    assert "`table`, an ndarray of this notebook" in keep("double", ns["double"])
    assert not (work / "my_layer" / "double.py").exists()


def test_lambda_is_not_kept(shell):
    ns = run(shell, "double = lambda x: 2 * x")
    with pytest.raises(NotKept, match="with `def` or `class`"):
        in_one_piece("double", ns["double"])


def test_answer_that_fails_when_read_back_keeps_the_old_file(shell, work):
    keep("double", run(shell, "def double(x):\n    return 2 * x")["double"])
    before = (work / "my_layer" / "double.py").read_bytes()
    assert "no longer passes" in keep(
        "double", run(shell, "def double(x):\n    return 3")["double"]
    )
    assert (work / "my_layer" / "double.py").read_bytes() == before


def test_full_disk_is_said(shell, work):
    (work / "my_layer").write_text("a file in the way")
    assert "could not be kept" in keep(
        "double", run(shell, "def double(x):\n    return 2 * x")["double"]
    )


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("def double(x:", "SyntaxError"),
        ("x = 1", "defines no"),
        ("def double(x):\n    return 3", "8."),
    ],
    ids=["unreadable", "empty", "wrong"],
)
def test_spoiled_file_is_left_aside_with_its_reason(work, capsys, text, why):
    (work / "my_layer").mkdir()
    (work / "my_layer" / "double.py").write_text(text)
    assert mine("double") is double
    assert why in capsys.readouterr().out
    assert (work / "my_layer" / "double.py").read_text() == text


def test_without_a_work_folder_nothing_is_written(shell, tmp_path, monkeypatch, capsys):
    monkeypatch.delenv("BNLIB_WORK", raising=False)
    monkeypatch.chdir(tmp_path)
    assert keep("double", run(shell, "def double(x):\n    return 2 * x")["double"]) == ""
    assert mine("double") is double
    assert capsys.readouterr().out == "double: the course's own (yours comes from exercise 9.1)\n"
    assert list(tmp_path.iterdir()) == []


def test_work_folder_is_known_by_its_place(tmp_path, monkeypatch):
    (tmp_path / "notebooks").mkdir()
    (tmp_path / "work" / "sub").mkdir(parents=True)
    monkeypatch.delenv("BNLIB_WORK", raising=False)
    monkeypatch.chdir(tmp_path / "work" / "sub")
    assert own_layer.work_folder() == tmp_path / "work"


def test_error_in_kept_code_shows_its_line(shell, work):
    ns = run(
        shell, "def double(x):\n    if x == 5:\n        raise ValueError('five')\n    return 2 * x"
    )
    keep("double", ns["double"])
    import traceback

    try:
        mine("double")(5)
    except ValueError:
        assert "raise ValueError('five')" in traceback.format_exc()


def test_solved_exercises_are_remembered(work, monkeypatch):
    monkeypatch.setattr(own_layer, "_solved_here", set())
    own_layer.record("3.10")
    own_layer.record("3.2")
    monkeypatch.setattr(own_layer, "_solved_here", set())
    assert own_layer.solved() == {"3.2", "3.10"}
    assert (work / "my_layer" / "solved.json").read_text() == '["3.2", "3.10"]'


def test_a_spoiled_record_is_no_trouble(work):
    (work / "my_layer").mkdir()
    (work / "my_layer" / "solved.json").write_text("{")
    own_layer.record("3.2")
    assert "3.2" in own_layer.solved()
