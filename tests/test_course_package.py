"""The course's front door: what it offers, and what it must not drag in."""

import subprocess
import sys

from bnlib import course


def test_all_names_exist():
    assert all(hasattr(course, name) for name in course.__all__)
    assert sorted(course.__all__) == course.__all__


def test_plots_and_explorers_list_what_they_offer():
    for module in (course.plots, course.explorers):
        assert all(callable(getattr(module, name)) for name in module.__all__)


def test_import_brings_neither_torch_nor_pyplot():
    code = (
        "import sys, bnlib.course; "
        "print([m for m in ('torch', 'matplotlib.pyplot') if m in sys.modules])"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"
