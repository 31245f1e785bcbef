"""The handouts on paper: a notebook and the plans of the board, printed by headless Chromium.

HANDOUT_NOTEBOOKS="03 05" prints these; without it one notebook is printed.
"""

import concurrent.futures
import os
import re
from pathlib import Path

import pytest
from loading import load

ROOT = Path(__file__).resolve().parents[2]
NAMES = os.environ.get("HANDOUT_NOTEBOOKS", "05").split()


def aside(function, *words):
    """Call it in a thread of its own: playwright starts once a thread, and the context of the other
    browser tests has it in this one."""
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        return pool.submit(function, *words).result()


handout = load("handout")
paper = handout.paper
BOARDS = sorted((handout.SOURCES / "boards").glob("*.md"))


@pytest.fixture(scope="module")
def printed(chromium, tmp_path_factory):
    """The folder with the PDFs of some notebooks, and what was complained of."""
    out = tmp_path_factory.mktemp("print")
    pairs = handout.copies.pairs(ROOT, NAMES)
    courses = {path: handout.copies.read(path) for path, _ in pairs}
    _, wrong = aside(handout.print_all, courses, out)
    return out / "print", wrong


def test_prints_each_notebook_for_learners_and_for_instructors(printed):
    folder, wrong = printed
    assert not wrong
    for name in NAMES:
        learners, instructors = (
            paper.pages(next(folder.glob(f"{name}_*{ending}.pdf")))
            for ending in ("[!d]", "_instructor")
        )
        assert 5 < learners < instructors < 60


def test_pdfs_name_no_place_on_this_machine(printed):
    folder, _ = printed
    for path in folder.glob("*.pdf"):
        assert not re.search(rb"/URI\s*\(file:", path.read_bytes())


def test_every_board_fits_on_a_page(chromium, tmp_path):
    def all_boards():
        with paper.printer() as print_pdf:
            return {
                path.stem: print_pdf(
                    paper.board("Board", path.read_text(encoding="utf-8")),
                    tmp_path / f"{path.stem}.pdf", "", one_page=True,
                )
                for path in BOARDS
            }  # fmt: skip

    found = aside(all_boards)
    assert found == dict.fromkeys([path.stem for path in BOARDS], 1)
    assert len(found) == 18


def test_a_board_too_long_is_found(chromium, tmp_path):
    def too_long():
        with paper.printer() as print_pdf:
            text = paper.board("Board", "**Left**\n\n" + "A line.\n\n" * 120)
            return print_pdf(text, tmp_path / "long.pdf", "", one_page=True)

    assert aside(too_long) > 1


@pytest.mark.parametrize("formula", ["$\\frac{1$", "$\\nosuchname$", "$x_1_2$"])
def test_a_wrong_formula_is_found(chromium, tmp_path, formula):
    def wrong():
        with paper.printer() as print_pdf:
            print_pdf(paper.board("Board", formula), tmp_path / "wrong.pdf", "this board")

    with pytest.raises(ValueError, match="this board: formulas that MathJax does not take"):
        aside(wrong)
