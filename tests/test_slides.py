"""The decks before any browser: what the cells' metadata makes of a notebook."""

import html
import json
import re
from pathlib import Path

import pytest
from loading import load

ROOT = Path(__file__).resolve().parent.parent
STORED = sorted((ROOT / "notebooks").glob("[0-9][0-9]_*.ipynb"))
PICTURE = "iVBORw0KGgoAAAANSUhEUgAAAAIAAAABCAQAAABeK7cBAAAAC0lEQVR42mNk+A8AAQgBAQ4AAAAASUVORK5CYII="


slides = load("slides")


# ---------------------------------------------------------------- the course's decks


@pytest.mark.parametrize("path", STORED, ids=lambda path: path.stem)
def test_deck_is_as_it_should_be(path):
    assert slides.faults(slides.read(path).cells) == []


def entries_of(cell):
    entries = cell["metadata"].get("slide", [])
    return entries if isinstance(entries, list) else [entries]


@pytest.mark.parametrize("path", STORED, ids=lambda path: path.stem)
def test_results_in_a_slides_table_are_what_the_cell_printed(path):
    typed = []
    for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]:
        outputs = [
            o.get("text") or o.get("data", {}).get("text/plain", "")
            for o in cell.get("outputs", [])
        ]
        printed = " ".join("".join(text) for text in outputs)
        known = [float(n) for n in re.findall(r"\d+\.?\d*", printed.replace(",", ""))]
        rows = [r for e in entries_of(cell) for r in e.get("text", "").split("\n") if r[:1] == "|"]
        for number in re.findall(r"(?<![\d.,])\d+\.\d+", " ".join(rows)) if outputs else ():
            same = [x for x in known if round(x, len(number.split(".")[1])) == float(number)]
            if not same or "nbval-ignore-output" in cell["metadata"].get("tags", []):
                typed.append((cell["id"], number))
    assert typed == []  # what a run may change is not typed: say what a claim asserts


@pytest.fixture(scope="module", params=STORED, ids=lambda path: path.stem)
def deck(request):
    """(the deck, its page), explorers standing still."""
    notebook = slides.read(request.param)
    if not any(map(slides.entries_of, notebook.cells)):
        pytest.fail("the notebook has no deck", pytrace=False)
    places = slides.explorer_cells(notebook.cells)
    stills = {place: slides.stored_picture(notebook.path, place) for place in places}
    made = slides.Deck(notebook, slides.Formulas(), stills=stills)
    return made, made.page()


def test_page_has_every_slide_with_notes(deck):
    made, page = deck
    assert page.count("<section") == page.count('<aside class="notes">') == len(made.slides)


def test_minutes_in_the_notes_add_up(deck):
    made, page = deck
    spans = re.findall(r"<b>([\d.]+)–([\d.]+) of ([\d.]+) minutes</b>", page)
    assert [first for first, *_ in spans][1:] == [last for _, last, _ in spans][:-1]
    assert float(spans[0][0]) == 0
    assert {float(spans[-1][1])} == {float(whole) for *_, whole in spans} == {made.minutes}


def test_page_shows_no_claim_no_check_and_no_setup(deck):
    _, page = deck
    code = html.unescape(
        re.sub(r"<[^>]+>", "", "\n".join(re.findall(r"<pre>.*?</pre>", page, re.S)))
    )
    assert not slides.HELPERS.search(code)
    assert not re.search("✓|Not attempted yet", code)


def test_votes_come_before_their_answers(deck):
    made, _ = deck
    for vote, tally in zip(made.slides, made.slides[1:], strict=False):
        asked, counted = vote.of("vote"), tally.of("tally")
        assert [b.content for b in asked] == [b.content for b in counted]
    assert not made.slides[-1].is_tally


def test_page_loads_nothing_from_elsewhere(deck):
    _, page = deck
    assert re.findall(r'(?:src|href)="(?!assets/|figures/|frames/|data:)[^"]*', page) == []


# ---------------------------------------------------------------- each fault is seen


def cell(entry, kind="markdown", source="", outputs=()):
    made = {"cell_type": kind, "id": "x", "source": source, "metadata": {"slide": entry}}
    return made | ({"outputs": list(outputs)} if kind == "code" else {})


def opening(**more):
    return {"type": "slide", "text": "## A", "minutes": 1, "say": "one two three four five"} | more


FIGURE = {"data": {"image/png": PICTURE}, "metadata": {"image/png": {"alt": "a line"}}}
PLAN = "<details><summary>For lecturers: a plan of 9 minutes</summary>"
STREAM = {"output_type": "stream", "text": "3\n✓ it is 3\n"}


@pytest.mark.parametrize(
    ("cells", "fault"),
    [
        ([cell({"type": "slid"})], "type is 'slid'"),
        ([cell(opening(sya=""))], "unknown keys: sya"),
        ([cell({"type": "skip", "text": "no"})], "says skip, and has further keys"),
        ([cell({"type": "part", "minutes": 1})], "minutes belong to the entry that begins"),
        ([cell(opening(figure=True))], "a Markdown cell has no figure"),
        ([cell(opening(figure=True), "code")], "figure is true, and the cell has none"),
        ([cell(opening(code=[1, 3]), "code", "a\nb")], "the cell has lines 1 to 2"),
        ([cell(opening(code=[1, 1]), "code", 'claim("x", y)')], "code shows set-up"),
        ([cell(opening(code=[1, 1]), "code", "import numpy")], "code shows set-up"),
        ([cell(opening(output=True), "code")], "has printed nothing"),
        ([cell(opening(vote=["a"]))], "a vote has 2 to 6 options, not 1"),
        ([cell([opening(figure=True)] * 2, "code", "", [FIGURE])], "shown twice"),
        ([cell(opening(text="no heading"))], "has no heading"),
        ([cell(opening(text="## A\n" + "b " * 40))], "has 41 words; 40 can be read"),
        ([cell(opening(code=[1, 9]), "code", "a\n" * 9)], "has 9 lines of code"),
        ([cell(opening(), "code", "", [FIGURE] * 2)], "has 2 figures"),
        ([cell(opening(minutes=0))], "has no minutes"),
        ([cell(opening(say="so"))], "has nothing to say in its notes"),
        ([cell(opening(vote=["a", "b"]))], "is a vote, and no slide answers it"),
        ([cell(opening())], "the first slide alone has a title"),
        ([cell(opening(minutes=40))], "1 slides with the tallies; 20 to 26 fit"),
        ([cell([], "raw", PLAN), cell(opening())], "the plan has 9"),
        ([cell([])], "no cell has an entry"),
    ],
)  # fmt: skip
def test_fault_is_seen(cells, fault):
    found = slides.faults(cells)
    assert any(fault in line for line in found), found


def test_words_are_those_that_a_reader_meets():
    assert slides.words("## A *b* — c\n\n- $x + y$ and [d e](f.ipynb)\n\n$$a\n= b$$") == 8


def test_what_is_printed_stands_without_claims():
    (output,) = slides.printed(cell({}, "code", "", [STREAM]))
    assert slides.plain(output) == "3"


def test_tally_follows_the_slide_that_asks():
    cells = [
        cell(opening(vote=["a", "b"])),
        cell({"type": "fragment", "text": "c"}),
        cell(opening()),
    ]
    made = slides.slides_of(cells)
    assert [[b.kind for b in slide.blocks] for slide in made] == [["vote", "text"], ["tally"], []]


def test_stills_draw_no_frames(tmp_path):
    path = next(p for p in STORED if slides.explorer_cells(slides.read(p).cells))
    assert slides.frames_of(path, tmp_path, draw=False) == {}
    assert list(tmp_path.iterdir()) == []


def test_long_line_of_code_loses_its_comment():
    assert slides.fitting("x = 1  # " + "a" * 80) == "x = 1"
    assert slides.fitting("x = 1  # a") == "x = 1  # a"


def test_markdown_keeps_formulas_from_being_read_as_marks():
    formulas = slides.Formulas()
    made = slides.markdown(formulas)("a $x_1 < x_2$ and *b*\n\n$$y_1*y_2*$$")
    assert list(formulas.known) == [("x_1 < x_2", False), ("y_1*y_2*", True)]
    assert made == "<p>a \ue0000\ue001 and <em>b</em></p>\n<p>\ue0001\ue001</p>"


def test_link_on_a_slide_is_text():
    assert slides.markdown(slides.Formulas())("[a](b.ipynb)") == "<p>a</p>"


def test_picture_is_largest_beside_a_long_text_and_above_a_short_one():
    long = slides.Slide("x", {}, "A", blocks=[slides.Block("text", "many words " * 12)])
    short = slides.Slide("x", {}, "A", blocks=[slides.Block("text", "few words")])
    assert slides.beside(long, 1.0)
    assert not slides.beside(short, 2.2)
