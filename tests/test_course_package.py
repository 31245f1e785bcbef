"""The course's front door: what it offers, and what it must not drag in."""

import importlib
import re
import subprocess
import sys
from pathlib import Path

import pytest

from bnlib import course
from bnlib.course.kit.asking import notebooks


def test_all_names_exist():
    assert all(hasattr(course, name) for name in course.__all__)
    assert sorted(course.__all__) == course.__all__


@pytest.mark.parametrize("number", notebooks())
def test_room_lists_what_it_offers(number):
    room = importlib.import_module(f"bnlib.course.nb{number}")
    assert all(hasattr(room, name) for name in room.__all__)
    assert sorted(room.__all__) == room.__all__


def test_import_brings_neither_torch_nor_pyplot():
    code = (
        "import sys, bnlib.course; "
        "print([m for m in ('torch', 'matplotlib.pyplot') if m in sys.modules])"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


ROOMS = sorted(Path(course.__file__).parent.glob("*/*.py"))


@pytest.mark.parametrize("path", ROOMS, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_arrows_run_one_way(path):
    """notebooks → nbXX → kit → backends: a room knows no other room, the kit knows none."""
    known = set(re.findall(r"^\s*(?:from|import) bnlib\.course(?:\.(\w+)| import (\w+))",
                           path.read_text("utf-8"), re.MULTILINE))  # fmt: skip
    known = {name for pair in known for name in pair if name}
    assert known <= {"kit", path.parent.name}


@pytest.mark.parametrize("path", ROOMS, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_plots_do_not_know_explorers(path):
    if path.name == "plots.py":
        assert not re.search(r"bnlib\.course\.\w+\.explorer", path.read_text("utf-8"))
