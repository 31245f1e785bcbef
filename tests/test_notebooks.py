"""Each notebook was run, is whole, reads everywhere, tells nothing unasked, and still does it all.

Each check is a function from a Notebook to a list of complaints. It meets every notebook of the
course, then a made-up notebook that has nothing wrong with it, and last that same notebook with one
thing spoiled: no check counts that was not once seen to fail.

Three checks need the notebook to be run again; that happens once per notebook. One of them is
nbval's own comparison, strict, since users run nbval; another looks at what nbval does not, the
pictures.
"""

import base64
import html
import importlib
import io
import itertools
import json
import os
import re
import sys
import urllib.parse
from dataclasses import dataclass, field
from functools import cached_property
from html.parser import HTMLParser
from pathlib import Path

import nbformat
import numpy as np
import pytest
from loading import load

Image = pytest.importorskip("PIL.Image")
nbval = pytest.importorskip("nbval.plugin")
from PIL import ImageChops, ImageDraw, ImageFilter, ImageStat  # noqa: E402

from bnlib.course.kit.asking import exercises_of  # noqa: E402
from bnlib.course.kit.markup import to_html, to_plain  # noqa: E402

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / "notebooks"
SANITIZE = ROOT / "tests" / "nbval_sanitize.cfg"
KEPT = ROOT / ".out" / "figures"  # pictures that were not as expected, for a person to compare
WIDGET_STATE = "application/vnd.jupyter.widget-state+json"
WIDGET_VIEW = "application/vnd.jupyter.widget-view+json"

LARGEST = 650_000  # bytes, some 20,000 of them for what the speaker says
LARGEST_OUTPUT = 120_000  # bytes
LONGEST_SETUP = 9  # lines
LONGEST_CODE = 25  # lines
SHORTEST_ALT = 20  # characters
SLIDE_TYPES = {"slide", "subslide", "fragment", "skip", "notes"}
MOST_SLIDES = 30
HELD = {f"{n:02d}" for n in range(18)}  # notebooks whose glossary links are held

GLOSSARY = "00_start_here.ipynb"
ORDINARY = {"02": {"unit"}, "03": {"units"}}  # words that mean first a degree or a gram there

tool = load("notebooks")


@dataclass(frozen=True)
class Notebook:
    """A notebook file: its name, its text, and the folder that its links start from."""

    name: str
    text: str
    folder: Path = field(default=FOLDER)

    @cached_property
    def nb(self):
        return nbformat.reads(self.text, as_version=4)

    @property
    def number(self):
        return self.name[:2]

    @property
    def code(self):
        """(number of the cell, cell) of each code cell, counted from 1 over all cells."""
        return [(n, c) for n, c in enumerate(self.nb.cells, 1) if c.cell_type == "code"]

    @property
    def prose(self):
        """(number, text) of each Markdown cell, code in it left out."""
        cells = [(n, c) for n, c in enumerate(self.nb.cells, 1) if c.cell_type == "markdown"]
        return [
            (n, re.sub(r"```.*?```|`[^`\n]*`", "", c.source, flags=re.DOTALL)) for n, c in cells
        ]

    @property
    def outputs(self):
        """(number of the cell, output) of each output."""
        return [(n, output) for n, cell in self.code for output in cell.outputs]

    @property
    def widgets(self):
        return self.nb.metadata.get("widgets", {}).get(WIDGET_STATE, {}).get("state", {})


def strings(thing):
    """Every string inside a nested structure, pictures and other binary data left out."""
    if isinstance(thing, str):
        yield re.sub(r"base64,[A-Za-z0-9+/=]{40,}", "base64,", thing)
    elif isinstance(thing, dict):
        for key, value in thing.items():
            if key not in ("buffers", "image/png", "image/jpeg"):
                yield from strings(value)
    elif isinstance(thing, list | tuple):
        for value in thing:
            yield from strings(value)


# ---- was it run, and is the file in order? -------------------------------------------------------


def check_was_run_in_order(notebook):
    counts = [cell.execution_count for _, cell in notebook.code]
    return [] if counts == list(range(1, len(counts) + 1)) else [f"cells were run as {counts}"]


def check_has_no_stored_error(notebook):
    found = [(n, o.ename) for n, o in notebook.outputs if o.output_type == "error"]
    return [f"cell {n} holds a {name}" for n, name in found]


def check_has_no_stderr(notebook):
    streams = [(n, o) for n, o in notebook.outputs if o.output_type == "stream"]
    return [f"cell {n} wrote to stderr: {o.text!r}" for n, o in streams if o.name == "stderr"]


def check_is_normalised(notebook):
    difference = tool.first_difference(notebook.text, tool.normalise(notebook.text))
    if difference or notebook.text != tool.normalise(notebook.text):
        return [f"run: python .make/notebooks.py normalise {notebook.number}\n{difference}"]
    return []


def check_is_small(notebook):
    size = len(notebook.text.encode())
    return [f"{size:,} bytes of at most {LARGEST:,}"] if size > LARGEST else []


def check_names_no_machine(notebook):
    """No path of the machine that it was run on: /home/…, /Users/…, C:\\Users, a kernel's files."""
    places = r"home|root|Users|tmp|private|var|opt|mnt|work|workspace|builds"
    path = re.compile(
        rf"(?<![\w./~<-])/(?:{places})/[\w.]|\b[A-Za-z]:\\+(?:Users|Windows|Program|Temp)|ipykernel_\d"
    )
    found = [(path.search(text), text) for text in strings(notebook.nb)]
    return [f"a machine's path: …{text[m.start() :][:60]!r}" for m, text in found if m]


OUTSIDE = r"(?:https?:|wss?:)?//[\w.-]+\.\w"
LOADS = [  # ways of loading something that lies elsewhere; a link to be followed is none
    rf"<(?:script|img|iframe|audio|video|source|embed|object|link|input|image|use)\b[^>]*?"
    rf"\b(?:src|href|data|srcset|poster)\s*=\s*[\"']?\s*{OUTSIDE}",
    rf"!\[[^\]]*\]\(\s*<?{OUTSIDE}",
    rf"\burl\(\s*[\"']?{OUTSIDE}",
    rf"@import\s+[\"']{OUTSIDE}",
    rf"\b(?:fetch|import|importScripts|WebSocket|EventSource)\s*\(\s*[\"'`]{OUTSIDE}",
    rf"\bfrom\s*[\"']{OUTSIDE}",
]
DOWNLOADS = r"\burlopen\b|\burlretrieve\b|\brequests\.|\bhttpx\.|^\s*[!%]|\bsubprocess\b"


def check_loads_nothing_from_outside(notebook):
    complaints = []
    for text in strings(notebook.nb):
        found = [re.search(pattern, text, re.IGNORECASE) for pattern in LOADS]
        complaints += [f"loads {m[0][:100]!r}" for m in found if m]
    for n, cell in notebook.code:
        if found := re.search(DOWNLOADS, cell.source, re.MULTILINE):
            complaints.append(f"cell {n} reaches out of the notebook: {found[0]!r}")
    return complaints


# ---- does everybody get to see it? ---------------------------------------------------------------


class Tags(HTMLParser):
    """The tags in a piece of HTML, with their attributes, and the text outside of <style>."""

    def __init__(self, html):
        super().__init__()
        self.found, self.text, self.hidden = [], "", False
        self.feed(html)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))
        self.hidden = tag == "style"

    def handle_endtag(self, tag):
        self.hidden = False

    def handle_data(self, data):
        self.text += "" if self.hidden else data


def html_of(output):
    return "".join(output.get("data", {}).get("text/html", ""))


def check_pictures_have_text(notebook):
    """In Markdown an alt; of a figure in its metadata, as text/plain, and in the output after."""
    complaints = []
    for n, text in notebook.prose:
        alts = re.findall(r"!\[([^\]]*)\]\(", text)
        alts += [tag.get("alt") or "" for name, tag in Tags(text).found if name == "img"]
        complaints += [f"cell {n}: picture with alternative text {alt!r}"
                       for alt in alts if len(alt.strip()) < SHORTEST_ALT]  # fmt: skip
    for (n, output), (_, following) in itertools.pairwise([*notebook.outputs, (0, {})]):
        data = output.get("data", {})
        for mime in (mime for mime in data if mime.startswith("image/")):
            alt = output.metadata.get(mime, {}).get("alt", "")
            if len(alt.strip()) < SHORTEST_ALT:
                complaints.append(f"cell {n}: {mime} with alternative text {alt!r}; use show()")
            if data.get("text/plain") != f"Figure: {alt}":
                complaints.append(f"cell {n}: text/plain is not the figure's text")
            if alt not in Tags(html_of(following)).text:  # JupyterLab reads out no PNG's alt
                complaints.append(f"cell {n}: the figure's text does not follow it")
    for key, widget in notebook.widgets.items():
        if pictures_in_widget(widget) and not widget_text(widget, notebook.widgets):
            complaints.append(f"widget {key[-2:]}: a picture with no text that stands for it")
    return complaints


def pictures_in_widget(widget):
    """The PNG files among a widget's binary data."""
    data = [base64.b64decode(buffer["data"]) for buffer in widget.get("buffers", [])]
    return [raw for raw in data if raw.startswith(b"\x89PNG")]


def widget_text(widget, widgets):
    """What stands for a widget's picture: an "alt" in its state, or a text widget beside it."""
    alts = re.findall(r'"alt": "([^"]+)"', json.dumps(widget["state"], ensure_ascii=False))
    key = next(key for key, value in widgets.items() if value is widget)
    boxes = [w for w in widgets.values() if f"IPY_MODEL_{key}" in w["state"].get("children", [])]
    for box in boxes:
        siblings = [widgets[child.removeprefix("IPY_MODEL_")] for child in box["state"]["children"]]
        texts = [s["state"] for s in siblings if s["model_name"] in ("HTMLModel", "LabelModel")]
        alts += [re.sub(r"<[^>]*>", "", state.get("value", "")) for state in texts]
    return [alt for alt in alts if len(alt.strip()) >= SHORTEST_ALT]


NEEDED = {"svg", "input", "button", "script", "img", "iframe", "canvas", "video"}  # or stripped


def check_reads_in_every_viewer(notebook):
    """No viewer must keep a style or open nothing: what is to be read is text, and PNG alone."""
    complaints = []
    for n, output in notebook.outputs:
        mimes, shown = set(output.get("data", {})), Tags(html_of(output))
        if any(mime.startswith("image/") for mime in mimes) and "text/html" in mimes:
            complaints.append(f"cell {n}: text/html hides the picture in the same bundle")
        if WIDGET_VIEW in mimes and not output["data"].get("text/plain", "").strip():
            complaints.append(f"cell {n}: nothing stands where the widget cannot be shown")
        complaints += [f"cell {n}: needs <{tag}>" for tag, _ in shown.found if tag in NEEDED]
        if "text/html" in mimes and not shown.text.strip():
            complaints.append(f"cell {n}: an empty output")
        closed = shown.text.count("What this figure shows")
        if sum(tag == "details" for tag, _ in shown.found) != closed:
            complaints.append(f"cell {n}: <details>, which some viewers show open")
    return complaints


def check_outputs_are_small(notebook):
    sizes = [(n, len(json.dumps(output, ensure_ascii=False).encode()))
             for n, output in notebook.outputs]  # fmt: skip
    sizes += [(f"of widget {key[-2:]}", len(json.dumps(widget).encode()))
              for key, widget in notebook.widgets.items()]  # fmt: skip
    return [f"an output of cell {n} has {size:,} bytes of at most {LARGEST_OUTPUT:,}"
            for n, size in sizes if size > LARGEST_OUTPUT]  # fmt: skip


def check_widgets_keep_their_state(notebook):
    """Without metadata.widgets' state a code host refuses the whole notebook."""
    held = notebook.nb.metadata.get("widgets", {})
    complaints = ["metadata.widgets has no state"] if held and not notebook.widgets else []
    views = [(n, o["data"][WIDGET_VIEW]["model_id"]) for n, o in notebook.outputs
             if WIDGET_VIEW in o.get("data", {})]  # fmt: skip
    return complaints + [f"cell {n}: its widget's state was not saved" for n, key in views
                         if key not in notebook.widgets]  # fmt: skip


def secrets_of(number):
    """What notebook `number` must not tell unasked: hints, solutions, notes, the quiz's feedback.

    Returns [(what, text)], each text as it is written, as HTML, and as plain text.
    """
    found = []
    for name, exercise in exercises_of(number).items():
        hints = [exercise.hint] if isinstance(exercise.hint, str) else exercise.hint
        source = exercise._source()
        body = source[source.find("\n") + 1 :] if "\n" in source else source
        texts = [*hints, exercise.note, body, html.escape(body)]
        found += [(f"exercise {name}", text) for text in texts]
    room = importlib.import_module(f"bnlib.course.nb{number}.exercises")
    for question in room.QUIZ:
        found += [("the quiz", text) for text in question.options.values()]
    forms = [(what, form(text)) for what, text in found for form in (str, to_html, to_plain)]
    return [(what, text) for what, text in forms if len(text) >= 25]  # "Yes." tells nothing


def check_tells_nothing_unasked(notebook):
    held = [*strings([cell.outputs for _, cell in notebook.code]), *strings(notebook.widgets)]
    held = "\n".join(held)
    complaints = {f"{what}: {text[:60]!r} is stored" for what, text in secrets_of(notebook.number)
                  if text in held}  # fmt: skip
    if re.search(r"✓ Right|✗ No\.|^Key:", held, re.MULTILINE):
        complaints.add("the quiz's key is stored")
    told = [key for key, widget in notebook.widgets.items() if widget["state"].get("_told")]
    return [*sorted(complaints), *(f"widget {key[-2:]} was asked and answered" for key in told)]


def check_has_slides(notebook):
    """The same file is the lecture (what its deck shows is tests/test_slides.py's to judge)."""
    types = [c.metadata.get("slideshow", {}).get("slide_type") for c in notebook.nb.cells]
    complaints = [f"cell {n}: {t!r} is no slide type" for n, t in enumerate(types, 1)
                  if t is not None and t not in SLIDE_TYPES]  # fmt: skip
    if types[:1] != ["slide"]:
        complaints.append(f"the first cell is of type {types[0]!r}, not a slide")
    slides = sum(t in ("slide", "subslide") for t in types)
    if not 3 <= slides <= MOST_SLIDES:
        complaints.append(f"{slides} slides; 3 to {MOST_SLIDES} fit a lecture")
    if "notes" not in types:
        complaints.append("no cell is of type 'notes': the speaker has no plan of minutes")
    return complaints


# ---- is it whole? --------------------------------------------------------------------------------


def check_has_one_title(notebook):
    titles = [
        (n, t) for n, text in notebook.prose for t in re.findall(r"^# +(.+)", text, re.MULTILINE)
    ]
    if [n for n, _ in titles] != [1] or not notebook.nb.cells[0].source.startswith("# "):
        return [f"one H1 at the very top is expected; there are {titles}"]
    return []


def check_sets_up_once(notebook):
    n, cell = notebook.code[0]
    lines = sum(bool(line.strip()) for line in cell.source.splitlines())
    complaints = []
    if lines > LONGEST_SETUP:
        complaints.append(
            f"the set-up cell has {lines} lines; at most {LONGEST_SETUP} are expected"
        )
    if "use_course_style()" not in cell.source or "import" not in cell.source:
        complaints.append(f"cell {n}, the first code cell, does not import and use_course_style()")
    return complaints


def check_code_cells_are_short(notebook):
    lengths = [(n, cell.source.count("\n") + 1) for n, cell in notebook.code]
    return [
        f"cell {n} has {k} lines of at most {LONGEST_CODE}" for n, k in lengths if k > LONGEST_CODE
    ]


def check_has_no_list_by_accident(notebook):
    """A line that begins with "1." makes a list, though a sentence was meant to go on."""
    complaints = []
    for n, text in notebook.prose:
        lines = text.splitlines()
        for before, line in itertools.pairwise(lines):
            in_prose = before.strip() and not re.match(r"\s|[-+*>|#]|\d+[.)] ", before)
            if in_prose and re.match(r"\d+[.)] ", line):
                complaints.append(f"cell {n}: a list begins at {line[:40]!r}")
    return complaints


def check_links_lead_somewhere(notebook):
    complaints = []
    for n, text in notebook.prose:
        targets = re.findall(r"\]\(\s*<?([^)\s>]+)", text) + re.findall(r"href=\"([^\"]+)", text)
        for target in targets:
            if re.match(r"(?:https?|mailto|data|attachment):", target):
                continue
            path, _, anchor = urllib.parse.unquote(target).partition("#")
            if path and not (notebook.folder / path).is_file():
                complaints.append(f"cell {n}: {path} is not there")
                continue
            goal = notebook.text if not path else (notebook.folder / path).read_text("utf-8")
            if (
                anchor
                and not (path and not path.endswith(".ipynb"))
                and anchor not in anchors(goal)
            ):
                complaints.append(f"cell {n}: no heading for {target}")
    return complaints


def anchors(text):
    """The names under which JupyterLab, and nbconvert's pages, find headings and cells."""
    cells = [c for c in nbformat.reads(text, as_version=4).cells if c.cell_type == "markdown"]
    headings = [h for c in cells for h in re.findall(r"^#+ +(.+?) *$", c.source, re.MULTILINE)]
    names = {re.sub(r"[*`]", "", heading).replace(" ", "-") for heading in headings}
    return names | {f"cell-id={c.id}" for c in cells}


def glossary(folder):
    """[(cell id, pattern)] of the words that notebook 00 explains, in cells with ids words-01, …

    A row begins with its words, | saturated, saturation | …; formulas among them are not looked
    for. An ending may follow: unit, units; fold, folded.
    """
    cells = nbformat.reads((folder / GLOSSARY).read_text("utf-8"), as_version=4).cells
    patterns = []
    for cell in cells:
        for row in re.findall(r"^\| (.+?) \|", cell.source, re.MULTILINE):
            words = [w.strip() for w in re.sub(r"\$[^$]*\$", "", row).split(",") if w.strip()]
            stems = "|".join(re.escape(w.removesuffix("e")) for w in words)
            if cell.id.startswith("words-") and stems and words != ["word"]:
                stems = rf"\b(?:{stems})(?:e|s|es|d|ed|ing|ation)?\b"
                patterns.append((cell.id, re.compile(stems, re.IGNORECASE)))
    return patterns


def blanked(text):
    """A cell's prose, as long as before, without what holds no word of the field of its own:
    formulas, code, headings, links (but for those to the glossary), the layer's own name."""
    for pattern in (
        r"\$\$[^$]+\$\$|\$[^$\n]+\$|`[^`\n]*`",
        r"^#+ .*$|<[^>\n]*>",
        rf"\[[^\]\n]*\]\((?!{re.escape(GLOSSARY)}#)[^)\n]*\)",
        r"Batch\s+Normalization|batch norm\w*|batch-normalized",
    ):
        text = re.sub(pattern, lambda found: " " * len(found[0]), text, flags=re.MULTILINE)
    return text


def terms_of(notebook):
    """[(number of the cell, blanked text)] of the cells whose terms are linked: not the notes for
    lecturers, nor the references, nor the glossary itself."""
    cells = [(n, c) for n, c in enumerate(notebook.nb.cells, 1) if c.cell_type == "markdown"]
    return [(n, blanked(c.source)) for n, c in cells
            if c.metadata.get("slideshow", {}).get("slide_type") != "notes"
            and not c.source.startswith("## References")]  # fmt: skip


def check_links_its_terms(notebook):
    """Each word of the glossary that the prose uses is linked to it where it first stands."""
    if notebook.number not in HELD - {"00"}:
        return []
    complaints, prose = [], terms_of(notebook)
    for cell, pattern in glossary(notebook.folder):
        link = f"]({GLOSSARY}#cell-id={cell})"
        uses = [(n, word, text) for n, text in prose for word in pattern.finditer(text)]
        linked = [text.startswith(link, word.end()) for _, word, text in uses]
        if uses and uses[0][1][0].lower() in ORDINARY.get(notebook.number, ()):
            linked = [any(linked)]
        if uses and not linked[0]:
            complaints.append(f"cell {uses[0][0]}: {uses[0][1][0]!r} needs {link}")
    return complaints


def whole_prose(notebook):
    return "\n\n".join(text for _, text in notebook.prose)


def whole_code(notebook):
    return "\n\n".join(cell.source for _, cell in notebook.code)


def check_opens_with_aims(notebook):
    opening = notebook.nb.cells[0].source
    wanted = ["You will do", "You will learn", "You need", "minutes"]
    return [f"the opening does not say {w!r}" for w in wanted if w.lower() not in opening.lower()]


def check_has_an_explorer(notebook):
    shown = [n for n, o in notebook.outputs if WIDGET_VIEW in o.get("data", {})]
    if not re.search(r"\bnb\d\d\.[A-Z]\w+\(", whole_code(notebook)) or not shown:
        return ["no explorer is shown"]
    return [] if notebook.widgets else ["the explorer's state was not saved: no picture on paper"]


def check_has_exercises(notebook):
    """Three or more, of this notebook's number, with check, hint and solution; one predicts."""
    code = whole_code(notebook)
    parts = {p: re.findall(rf'\b{p}\("([\d.]+)"', code) for p in ("check", "hint", "solution")}
    own = str(int(notebook.number))
    complaints = [f"{part}({x!r}) is not of notebook {own}" for part, names in parts.items()
                  for x in names if x.split(".")[0] != own]  # fmt: skip
    if len(set(parts["check"])) < 3:
        complaints.append(f"{len(set(parts['check']))} exercises; 3 or more are expected")
    for x in sorted(set(parts["check"])):
        if f"{x}" not in whole_prose(notebook):
            complaints.append(f"exercise {x} is checked and not asked")
    open_ended = set(parts["check"]) - set(parts["solution"])
    if len(set(parts["solution"])) < 3 or set(parts["solution"]) - set(parts["hint"]):
        complaints.append(f"hints and solutions are missing; without a solution: {open_ended}")
    if not re.search(
        r"predict|guess|before you (?:run|go on|look|read)", whole_prose(notebook), re.I
    ):
        complaints.append("nothing asks for a prediction")
    return complaints


def check_closes(notebook):
    """Misconceptions, a summary, a quiz, references, and the way to the next notebook."""
    headings = re.findall(r"^##+ +(.+)", whole_prose(notebook), re.MULTILINE)
    complaints = [
        f"no heading speaks of {wanted}"
        for wanted in ("misconception", "summary", "reference")
        if not any(wanted in heading.lower() for heading in headings)
    ]
    if f'quiz("{notebook.number}")' not in whole_code(notebook):
        complaints.append(f'quiz("{notebook.number}") is missing')
    return complaints


def check_leads_on(notebook):
    last = [text for _, text in notebook.prose][-1]
    following = [n for n in re.findall(r"\((\d\d)_\w+\.ipynb", last) if n > notebook.number]
    return [] if following else ["the last Markdown cell does not link to the next notebook"]


FILE_CHECKS = [
    check_was_run_in_order,
    check_has_no_stored_error,
    check_has_no_stderr,
    check_is_normalised,
    check_is_small,
    check_names_no_machine,
    check_loads_nothing_from_outside,
    check_pictures_have_text,
    check_reads_in_every_viewer,
    check_outputs_are_small,
    check_widgets_keep_their_state,
    check_tells_nothing_unasked,
    check_has_slides,
    check_has_one_title,
    check_sets_up_once,
    check_code_cells_are_short,
    check_has_no_list_by_accident,
    check_links_lead_somewhere,
    check_links_its_terms,
    check_opens_with_aims,
    check_has_an_explorer,
    check_has_exercises,
    check_closes,
    check_leads_on,
]
EXEMPT = {  # 00 shows the way, and has nothing to test yet
    "00": {check_has_an_explorer, check_has_exercises, check_closes, check_opens_with_aims},
}


# ---- does it still do what it shows? -------------------------------------------------------------

# BNLIB_ARITHMETIC=other runs the notebooks as an older processor with two threads would: the texts
# and all figures that are not marked to vary must stay as they are, and every claim must hold.
OTHER = os.environ.get("BNLIB_ARITHMETIC") == "other"
SAME_ARITHMETIC = tool.PINNED and sys.platform == "linux" and not OTHER  # as that of the file

TILE = 8  # pixels
CLEARLY_DIFFERENT = 48  # of 255, averaged over a tile
DIFFERENT_ALL_OVER = 1.5  # of 255, averaged over the picture


def check_says_the_same(notebook, fresh, same_arithmetic=SAME_ARITHMETIC):
    """The texts of a fresh run, explorers' sentences included, are those that the file holds.

    What a figure's text says is measured in the figure: under another arithmetic it may vary.
    """

    def said(cell):
        of_figure = re.compile(r"^Figure: |What this figure shows")
        texts = strings(cell.outputs)
        return [text for text in texts if same_arithmetic or not of_figure.search(text)]

    complaints = []
    for (n, cell), (_, again) in zip(notebook.code, fresh.code, strict=True):
        if "nbval-ignore-output" in cell.metadata.get("tags", []):
            continue
        before, after = said(cell), said(again)
        if before != after:
            pairs = [pair for pair in zip(before, after, strict=False) if pair[0] != pair[1]]
            shown = pairs[0] if pairs else (before, after)
            complaints.append(
                f"cell {n} holds {str(shown[0])[:200]!r}, now {str(shown[1])[:200]!r}"
            )
    if list(strings(notebook.widgets)) != list(strings(fresh.widgets)):
        complaints.append("a widget's state is not what it was")
    return complaints


def check_passes_nbval(notebook, fresh, session):
    """nbval's strict comparison, as users run it: each cell's outputs, in its way of looking."""
    file = nbval.IPyNbFile.from_parent(session, path=notebook.folder / notebook.name)
    file.sanitize_patterns.update(nbval.get_sanitize_patterns(SANITIZE.read_text("utf-8")))
    return [
        f"cell {n}: nbval would fail here: {' '.join(item.comparison_traceback)}"
        for item, (n, again) in zip(file.collect(), fresh.code, strict=True)
        if item.options["check"] and not item.compare_outputs(again.outputs, item.cell.outputs)
    ]


def check_draws_the_same(notebook, fresh, same_arithmetic=SAME_ARITHMETIC):
    """Every picture in the file is what the code draws now.

    Where hundreds of training steps end depends on how a processor rounds. A cell with the tag
    figure-varies says so: under another arithmetic only the size of its pictures counts.
    """
    stored, drawn = pictures(notebook), pictures(fresh)
    if list(stored) != list(drawn):
        return [f"the file holds pictures at {list(stored)}, a fresh run draws at {list(drawn)}"]
    varying = [n for n, c in notebook.code if "figure-varies" in c.metadata.get("tags", [])]
    complaints = []
    for where in stored:
        number = int(where.split()[1].rstrip(","))
        size_only = number in varying and not same_arithmetic
        if difference := picture_difference(stored[where], drawn[where], size_only):
            kept = keep_pictures(notebook.name, where, stored[where], drawn[where])
            complaints.append(f"{where}: {difference}; see {kept}")
    return complaints


def pictures(notebook):
    """Every picture that a notebook holds, as file contents by place, in order."""
    found = {}

    def add(cell, raw):
        number = 1 + sum(place.startswith(f"cell {cell},") for place in found)
        found[f"cell {cell}, picture {number}"] = raw

    def add_from_text(cell, text):
        for data in re.findall(r"data:image/(?:png|jpeg);base64,([A-Za-z0-9+/=\s]+)", text):
            add(cell, base64.b64decode(data))

    for n, cell in notebook.code:
        for output in cell.outputs:
            for mime, content in output.get("data", {}).items():
                if mime in ("image/png", "image/jpeg"):
                    add(n, base64.b64decode(content))
                elif mime == "text/html":
                    add_from_text(n, content)
        for key in tool.widget_order([cell], notebook.widgets):
            for raw in pictures_in_widget(notebook.widgets[key]):
                add(n, raw)
            for value in notebook.widgets[key]["state"].values():
                if isinstance(value, str):
                    add_from_text(n, value)
    return found


def picture_difference(stored, fresh, size_only=False):
    """Say how two pictures differ, "" when nobody would see it.

    Other processors round otherwise, which moves a line by a fraction of a pixel. So both pictures
    are blurred a little, and compared in tiles of 8 by 8 pixels: one changed letter fills a tile or
    two, and a curve that moved by a hundredth of a pixel fills none.
    """
    if stored == fresh:
        return ""
    images = [Image.open(io.BytesIO(raw)).convert("RGB") for raw in (stored, fresh)]
    if images[0].size != images[1].size:
        return f"{images[0].size} pixels in the file, {images[1].size} now"
    if size_only:
        return ""
    errors = ImageChops.difference(*(image.filter(ImageFilter.BoxBlur(1)) for image in images))
    worst = max(most for _, most in errors.getextrema())
    if worst <= CLEARLY_DIFFERENT and sum(ImageStat.Stat(errors).mean) <= DIFFERENT_ALL_OVER:
        return ""  # as nearly always, and what follows takes three times as long
    error = np.asarray(errors).max(axis=2)  # (H, W), the worst of the three colours
    height, width = error.shape
    error = np.pad(error, ((0, -height % TILE), (0, -width % TILE)))
    tiles = error.reshape(error.shape[0] // TILE, TILE, -1, TILE).mean(axis=(1, 3))
    if tiles.max() > CLEARLY_DIFFERENT:
        row, column = (TILE * i for i in np.unravel_index(tiles.argmax(), tiles.shape))
        many = (tiles > CLEARLY_DIFFERENT).sum()
        return f"differs in {many} places, most of all {column} right and {row} down"
    if error.mean() > DIFFERENT_ALL_OVER:
        return f"differs all over, by {error.mean():.1f} of 255"
    return ""


def keep_pictures(name, where, stored, fresh):
    """Save the two pictures where a person can compare them; returns their place."""
    KEPT.mkdir(parents=True, exist_ok=True)
    stem = f"{Path(name).stem}-{re.sub(r'[^a-z0-9]+', '-', where)}"
    (KEPT / f"{stem}-in-file.png").write_bytes(stored)
    (KEPT / f"{stem}-now.png").write_bytes(fresh)
    return f".out/figures/{stem}-*.png"


# ---- the course's notebooks ----------------------------------------------------------------------

PATHS = sorted(FOLDER.glob("*.ipynb"))
NAMES = [path.stem for path in PATHS]
RUNS = {}  # what a fresh run of each notebook gave


@pytest.fixture
def notebook(request):
    path = FOLDER / f"{request.param}.ipynb"
    return Notebook(path.name, path.read_text(encoding="utf-8"))


@pytest.fixture
def fresh(notebook):
    """The notebook, run again. It happens once, and an error is raised each time."""
    if notebook.name not in RUNS:
        try:
            environment = tool.ENVIRONMENT | (tool.OTHER_ARITHMETIC if OTHER else {})
            path = FOLDER / notebook.name
            RUNS[notebook.name] = tool.executed(path, notebook.text, environment, small=False)
        except tool.CellFailed as error:
            RUNS[notebook.name] = error
    if isinstance(RUNS[notebook.name], Exception):
        pytest.fail(f"{notebook.name}: {RUNS[notebook.name]}", pytrace=False)
    return Notebook(notebook.name, RUNS[notebook.name])


def name_of(function):
    return function.__name__.removeprefix("check_")


EXEMPT |= {NAMES[-1][:2]: {check_leads_on}} if NAMES else {}  # nothing follows the last one
FILE_CASES = [(n, c) for n in NAMES for c in FILE_CHECKS if c not in EXEMPT.get(n[:2], ())]


@pytest.mark.parametrize(
    ("notebook", "check"),
    FILE_CASES,
    indirect=["notebook"],
    ids=[f"{name}-{name_of(check)}" for name, check in FILE_CASES],
)
def test_notebook(notebook, check):
    complaints = check(notebook)
    assert not complaints, "\n".join(complaints)


FRESH_CHECKS = [check_passes_nbval, check_says_the_same, check_draws_the_same]


@pytest.mark.parametrize("check", FRESH_CHECKS, ids=name_of)
@pytest.mark.parametrize("notebook", NAMES, indirect=True)
def test_fresh_run(notebook, check, fresh, request):
    session = [request.session] if check is check_passes_nbval else []
    complaints = check(notebook, fresh, *session)
    assert not complaints, "\n".join(complaints)


def test_there_are_notebooks():
    assert NAMES, f"no notebook in {FOLDER}"


# ---- each check, shown to fail -------------------------------------------------------------------


def png(draw=lambda pen: None, size=(400, 260)):
    """A plain figure as PNG: two axes, four bars, a curve, a label, and what draw adds."""
    image = Image.new("RGB", size, "white")
    pen = ImageDraw.Draw(image)
    pen.line([(30, 10), (30, 210), (390, 210)], fill="black", width=2)
    for i, height in enumerate((60, 120, 90, 30)):
        pen.rectangle([40 + 40 * i, 210 - height, 70 + 40 * i, 210], fill="#0072B2")
    curve(pen)
    pen.text((180, 218), "batch size m", fill="black", font_size=26)
    draw(pen)
    stream = io.BytesIO()
    image.save(stream, "png")
    return stream.getvalue()


def curve(pen, lower=0):
    t = np.linspace(0, 1, 60)
    points = np.stack([210 + 170 * t, 190 + lower - 150 * t**2], axis=1)
    pen.line([tuple(point) for point in points], fill="#D55E00", width=3)


def base64_of(raw):
    return base64.b64encode(raw).decode()


ALT = "Four bars of different heights beside a rising curve."
FIGURE = {"image/png": base64_of(png()), "text/plain": f"Figure: {ALT}"}
BELOW = f"<details><summary>What this figure shows</summary><p>{ALT}</p></details>"


def sample():
    """A made-up notebook with nothing wrong with it."""
    v4 = nbformat.v4
    view = {WIDGET_VIEW: {"model_id": "a" * 32, "version_major": 2, "version_minor": 0}}

    def prose(source, slide=None):
        return v4.new_markdown_cell(source, metadata=slides(slide))

    def code(source, outputs=(), slide=None):
        made = [output(o) for o in outputs]
        return v4.new_code_cell(source, outputs=made, metadata=slides(slide))

    def output(shown):
        if isinstance(shown, str):
            return v4.new_output("stream", text=shown)
        about = {"image/png": {"alt": ALT, "width": 400}} if "image/png" in shown else {}
        return v4.new_output("display_data", data=shown, metadata=about)

    def slides(slide):
        return {"slideshow": {"slide_type": slide}} if slide else {}

    exercises = []
    for x in ("3.1", "3.2", "3.3"):
        exercises += [prose(f"**Exercise {x}.** Do it. Guess first."), code(f'check("{x}", ...)')]
        exercises += [code(f'hint("{x}")'), code(f'solution("{x}")', slide="skip")]
    cells = [
        prose(
            "# Measure\n\n**You will do:** one thing.\n\n**You will learn** two.\n\n"
            "**You need:** [this file](03_sample.ipynb#Play).\n\n**Time:** 60 minutes alone.",
            "slide",
        ),
        code("import numpy as np\nuse_course_style()", slide="skip"),
        prose(
            "## Look\n\nWhat does a [unit](00_start_here.ipynb#cell-id=words-01) "
            "[show](https://example.org/paper)?",
            "slide",
        ),
        prose("Five minutes.", "notes"),
        code('show(plot)\nprint("done")', [FIGURE, {"text/html": BELOW}, "done\n"]),
        prose("## Play\n\nMove it.", "slide"),
        code("nb03.Bars()", [view | {"text/plain": "Explorer: a batch of 60."}]),
        *exercises,
        prose("## Misconceptions\n\nNone.", "slide"),
        prose("## Summary\n\nAll.", "slide"),
        code('quiz("03")'),
        prose("## References\n\n**Next:** [04](04_sample.ipynb)"),
    ]
    for count, cell in enumerate((c for c in cells if c.cell_type == "code"), 1):
        cell.execution_count = count
    nb = v4.new_notebook(cells=cells)
    buffer = {"data": base64_of(png()), "encoding": "base64", "path": ["_picture"]}
    widget = {
        "model_module": "anywidget", "model_module_version": "1", "model_name": "AnyModel",
        "state": {"_spec": {"alt": ALT}, "_text": "A batch of 60."}, "buffers": [buffer],
    }  # fmt: skip
    state = {"state": {"a" * 32: widget}, "version_major": 2, "version_minor": 0}
    nb.metadata["widgets"] = {WIDGET_STATE: state}
    return json.loads(tool.normalise(nbformat.writes(nb)))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("notebooks")
    for name in ("03_sample.ipynb", "04_sample.ipynb"):
        (folder / name).write_text(json.dumps(sample()), encoding="utf-8")
    row = nbformat.v4.new_markdown_cell("| unit, $u$ | a number |", id="words-01")
    words = nbformat.v4.new_notebook(cells=[row])
    nbformat.write(words, folder / GLOSSARY)
    return folder


def made(nb, folder=FOLDER):
    """A Notebook of a made-up one; its text as the normalising tool writes it."""
    text = json.dumps(nb, indent=1, sort_keys=True, ensure_ascii=False) + "\n"
    return Notebook("03_sample.ipynb", text, folder)


def source(nb, n, text):
    nb["cells"][n - 1]["source"] = text.splitlines(keepends=True)


def cell(nb, n, **entries):
    nb["cells"][n - 1].update(entries)


def shows(nb, n, text):
    outputs(nb, n, {"output_type": "display_data", "metadata": {}, "data": {"text/html": text}})


def figure(nb, n, png=None, alt=None, plain=None):
    """Change the figure of the cell: its picture, its metadata's alt, its plain text."""
    output = nb["cells"][n - 1]["outputs"][0]
    output["data"]["image/png"] = base64_of(png) if png else output["data"]["image/png"]
    output["data"]["text/plain"] = plain or output["data"]["text/plain"]
    if alt is not None:
        output["metadata"]["image/png"]["alt"] = alt


def pop_output(nb, n, place):
    nb["cells"][n - 1]["outputs"].pop(place)


def bundle(nb, n, mime, content):
    nb["cells"][n - 1]["outputs"][0]["data"][mime] = content


def outputs(nb, n, *made):
    nb["cells"][n - 1]["outputs"] = list(made)


def stream(nb, n, text, name="stdout"):
    outputs(nb, n, {"output_type": "stream", "name": name, "text": text})


def error(nb, n):
    outputs(nb, n, {"output_type": "error", "ename": "ValueError", "evalue": "", "traceback": []})


def metadata(nb, **entries):
    nb["metadata"].update(entries)


def only_widget(nb):
    return next(iter(nb["metadata"]["widgets"][WIDGET_STATE]["state"].values()))


def widget(nb, **entries):
    only_widget(nb)["state"].update(entries)


def no_slides(nb):
    for one in nb["cells"]:
        one["metadata"].pop("slideshow", None)


def many_slides(nb):
    nb["cells"] += [{**nb["cells"][2], "id": f"more-{i}"} for i in range(MOST_SLIDES)]


def no_prediction(nb):
    for n, exercise in ((8, "3.1"), (12, "3.2"), (16, "3.3")):
        source(nb, n, f"**Exercise {exercise}.** Do it.")


ROOM = importlib.import_module("bnlib.course.nb03.exercises")
HINT_KEY_AND_SOURCE = [
    to_html(ROOM.EXERCISES[1].hint if isinstance(ROOM.EXERCISES[1].hint, str)
            else ROOM.EXERCISES[1].hint[-1]),
    f"<pre><code>{html.escape(ROOM.EXERCISES[1]._source())}</code></pre>",
    next(iter(ROOM.QUIZ[1].options.values())),
    "Key: 1 b, 2 b",
]  # fmt: skip
CDN = "//cdn.example.org/x"
FONT = f"<style>a {{ src: url('https:{CDN}') }}</style>"
SPOILED = [  # (check, part of its complaint, what spoils the notebook, arguments)
    (check_was_run_in_order, "None", cell, 5, {"execution_count": None}),
    (check_was_run_in_order, "7", cell, 5, {"execution_count": 7}),
    (check_has_no_stored_error, "ValueError", error, 5),
    (check_has_no_stderr, "stderr", stream, 5, "UserWarning", "stderr"),
    (check_is_normalised, "cell 5 differs", cell, 5, {"id": "two words"}),
    (check_is_normalised, "cell 5 differs", cell, 5, {"metadata": {"trusted": True}}),
    (check_is_normalised, "metadata differ", metadata, {"kernelspec": {"name": "mine"}}),
    (check_is_small, "bytes", stream, 5, "x" * LARGEST),
    (check_names_no_machine, "/home/kim", stream, 5, "read /home/kim/digits"),
    (check_names_no_machine, "/Users/kim", source, 5, "open('/Users/kim/x')"),
    (check_names_no_machine, "C:", stream, 5, r"C:\Users\kim"),
    (check_names_no_machine, "ipykernel", stream, 5, "ipykernel_12/3.py:1"),
    (check_names_no_machine, "/tmp/x", widget, {"_text": "saved as /tmp/x"}),
    (check_loads_nothing_from_outside, "cdn", shows, 5, f'<script async src="https:{CDN}.js">'),
    (check_loads_nothing_from_outside, "cdn", shows, 5, f"<link rel=stylesheet href={CDN}.css>"),
    (check_loads_nothing_from_outside, "url(", shows, 5, FONT),
    (
        check_loads_nothing_from_outside,
        "cdn",
        source,
        3,
        f"![A picture of a bell](https:{CDN}.png)",
    ),
    (check_loads_nothing_from_outside, "cdn", widget, {"_esm": f'import d from "https:{CDN}"'}),
    (check_loads_nothing_from_outside, "urlopen", source, 5, "urlopen(address)"),
    (check_loads_nothing_from_outside, "!", source, 5, "x = 1\n!pip install x"),
    (check_pictures_have_text, "''", figure, 5, {"alt": ""}),
    (check_pictures_have_text, "a plot", figure, 5, {"alt": "a plot"}),
    (check_pictures_have_text, "text/plain", figure, 5, {"plain": "<Figure size 400x250>"}),
    (check_pictures_have_text, "does not follow", pop_output, 5, 1),
    (check_pictures_have_text, "''", source, 3, '<img src="x.png">'),
    (check_pictures_have_text, "plot", source, 3, "![plot](x.png)"),
    (check_pictures_have_text, "widget 01", widget, {"_spec": {}}),
    (check_reads_in_every_viewer, "hides", bundle, 5, "text/html", BELOW),
    (check_reads_in_every_viewer, "widget cannot", bundle, 7, "text/plain", ""),
    (check_reads_in_every_viewer, "<svg>", shows, 5, "<svg><path/></svg> A curve."),
    (check_reads_in_every_viewer, "<input>", shows, 5, "<input type=checkbox> Answer"),
    (
        check_reads_in_every_viewer,
        "empty",
        shows,
        5,
        "<style>p::after {content: 'x'}</style><p></p>",
    ),
    (check_reads_in_every_viewer, "<details>", shows, 5, "<details>The answer</details>"),
    (check_outputs_are_small, "cell 5", stream, 5, "x" * LARGEST_OUTPUT),
    (check_outputs_are_small, "widget 01", widget, {"_text": "x" * LARGEST_OUTPUT}),
    (check_widgets_keep_their_state, "no state", metadata, {"widgets": {WIDGET_STATE: {}}}),
    (check_widgets_keep_their_state, "cell 7", metadata, {"widgets": {}}),
    *((check_tells_nothing_unasked, "stored", stream, 5, told) for told in HINT_KEY_AND_SOURCE),
    (check_tells_nothing_unasked, "stored", widget, {"_answers": HINT_KEY_AND_SOURCE[0]}),
    (check_tells_nothing_unasked, "answered", widget, {"_told": {"0.0": "."}}),
    (check_has_slides, "0 slides", no_slides),
    (check_has_slides, "slides;", many_slides),
    (check_has_slides, "'page'", cell, 3, {"metadata": {"slideshow": {"slide_type": "page"}}}),
    (check_has_slides, "notes", cell, 4, {"metadata": {}}),
    (check_has_one_title, "Second", source, 3, "# Second"),
    (check_has_one_title, "[]", source, 1, "## Small"),
    (check_sets_up_once, "10 lines", source, 2, "import x\nuse_course_style()" + "\nx = 1" * 8),
    (check_sets_up_once, "use_course_style", source, 2, "import x"),
    (check_code_cells_are_short, "26 lines", source, 5, "x = 1" + "\nx = 1" * 25),
    (check_has_no_list_by_accident, "1. To", source, 3, "It has variance\n1. To describe it"),
    (check_links_lead_somewhere, "05_none", source, 3, "[x](05_none.ipynb)"),
    (check_links_lead_somewhere, "Nowhere", source, 3, "[x](04_sample.ipynb#Nowhere)"),
    (
        check_links_lead_somewhere,
        "words-99",
        source,
        3,
        "[x](00_start_here.ipynb#cell-id=words-99)",
    ),
    (check_links_its_terms, "'Units' needs", source, 3, "## Unit\n\n$unit$, `unit`. Units"),
    (
        check_links_its_terms,
        "'unit' needs",
        source,
        3,
        "a unit [unit](00_start_here.ipynb#cell-id=words-01)",
    ),
    (check_opens_with_aims, "You need", source, 1, "# A\n\nYou will do, you will learn. 5 minutes"),
    (check_has_an_explorer, "no explorer", source, 7, "Bars()"),
    (check_has_an_explorer, "no explorer", outputs, 7),
    (check_has_an_explorer, "not saved", metadata, {"widgets": {}}),
    (check_has_exercises, "2 exercises", source, 9, "pass"),
    (check_has_exercises, "not of notebook 3", source, 9, 'check("4.1", x)'),
    (check_has_exercises, "3.1 is checked and not asked", source, 8, "Do it."),
    (check_has_exercises, "without a solution: {'3.1'}", source, 11, "pass"),
    (check_has_exercises, "prediction", no_prediction),
    (check_closes, "misconception", source, 20, "None."),
    (check_closes, "summary", source, 21, "All."),
    (check_closes, "quiz", source, 22, "pass"),
    (check_closes, "reference", source, 23, "Next"),
    (check_leads_on, "next notebook", source, 23, "## References"),
    (check_leads_on, "next notebook", source, 23, "[back](02_sample.ipynb)"),
]


def spoiled(spoil, arguments):
    """The made-up notebook after spoil(nb, *arguments); a dict holds arguments by name."""
    nb = sample()
    named = {k: v for part in arguments if isinstance(part, dict) for k, v in part.items()}
    spoil(nb, *(part for part in arguments if not isinstance(part, dict)), **named)
    return nb


@pytest.mark.parametrize("check", FILE_CHECKS, ids=name_of)
def test_check_passes_a_notebook_that_is_right(check, folder):
    assert check(made(sample(), folder)) == []


@pytest.mark.parametrize("case", SPOILED, ids=lambda case: f"{name_of(case[0])}: {case[1]}")
def test_check_fails_a_spoiled_notebook(case, folder):
    check, says, spoil, *arguments = case
    complaints = check(made(spoiled(spoil, arguments), folder))
    assert complaints
    assert says in "\n".join(complaints)


def test_every_check_was_seen_to_fail():
    checks = {check for name, check in globals().items() if name.startswith("check_")}
    assert checks - set(FRESH_CHECKS) == set(FILE_CHECKS)
    assert {check for check, *_ in SPOILED} == set(FILE_CHECKS)


@pytest.mark.parametrize(
    "text",
    ["see https://arxiv.org/abs/1502.03167", "a/root/b", "mean/var/std", "/ 2", "A/tmp", "N/A"],
)
def test_a_text_that_is_no_path_is_left_alone(text):
    nb = sample()
    stream(nb, 5, text)
    assert check_names_no_machine(made(nb)) == []


# ---- the fresh run's checks, shown to fail -------------------------------------------------------


def stroke(pen):
    pen.line([(210, 190), (380, 40)], fill="#D55E00", width=3)


def wrong_letter(pen):
    pen.rectangle([178, 214, 400, 260], fill="white")
    pen.text((180, 218), "batch size n", fill="black", font_size=26)


def wrong_curve(pen):
    pen.rectangle([205, 30, 390, 208], fill="white")
    pen.line([(210, 190), (380, 40)], fill="#D55E00", width=3)


WRONG = {
    "a curve changed": png(wrong_curve),
    "a bar is missing": png(lambda pen: pen.rectangle([160, 170, 191, 208], fill="white")),
    "a bar is a little taller": png(lambda pen: pen.rectangle([40, 146, 70, 150], fill="#0072B2")),
    "a letter changed": png(wrong_letter),
    "a colour changed": png(lambda pen: pen.rectangle([80, 90, 110, 210], fill="#009E73")),
    "another size": png(size=(410, 260)),
    "an empty picture": png(lambda pen: pen.rectangle([0, 0, 400, 260], fill="white")),
    "all a little darker": png(lambda pen: pen.rectangle([0, 0, 400, 260], fill="#f0f0f0")),
}


@pytest.fixture
def out(monkeypatch, tmp_path):
    """A folder for the doctored pictures, so that they are not kept among the real ones."""
    monkeypatch.setitem(globals(), "KEPT", tmp_path)
    return tmp_path


@pytest.mark.parametrize("wrong", WRONG.values(), ids=WRONG)
def test_a_wrong_figure_fails(wrong, out):
    nb = sample()
    figure(nb, 5, wrong)
    complaints = check_draws_the_same(made(nb), made(sample()))
    assert len(complaints) == 1
    assert complaints[0].startswith("cell 5, picture 1")
    assert len(list(out.rglob("*.png"))) == 2


@pytest.mark.parametrize("wrong", WRONG.values(), ids=WRONG)
def test_a_wrong_picture_in_an_explorer_fails(wrong, out):
    nb = sample()
    only_widget(nb)["buffers"][0]["data"] = base64_of(wrong)
    complaints = check_draws_the_same(made(nb), made(sample()))
    assert len(complaints) == 1
    assert complaints[0].startswith("cell 7, picture 1")


@pytest.mark.parametrize(
    ("tags", "same_arithmetic", "complaints"),
    [(["figure-varies"], False, 0), (["figure-varies"], True, 1), ([], False, 1), ([], True, 1)],
)
def test_a_marked_figure_may_vary_under_another_arithmetic(tags, same_arithmetic, complaints, out):
    nb = sample()
    figure(nb, 5, WRONG["a curve changed"])
    nb["cells"][4]["metadata"]["tags"] = tags
    assert len(check_draws_the_same(made(nb), made(sample()), same_arithmetic)) == complaints


def test_a_marked_figure_keeps_its_size(out):
    nb = sample()
    figure(nb, 5, WRONG["another size"])
    nb["cells"][4]["metadata"]["tags"] = ["figure-varies"]
    assert check_draws_the_same(made(nb), made(sample()), same_arithmetic=False)


def test_a_missing_figure_fails():
    nb = sample()
    nb["cells"][4]["outputs"].pop(0)
    assert "a fresh run draws at" in check_draws_the_same(made(nb), made(sample()))[0]


def test_pictures_are_found_in_every_kind_of_output():
    nb = sample()
    inside = f'<img src="data:image/png;base64,{base64_of(png())}">'
    widget(nb, value=inside)
    bundle(nb, 5, "text/html", inside)
    assert len(pictures(made(nb))) == 4
    assert all(raw == png() for raw in pictures(made(nb)).values())


def test_a_line_moved_by_a_hundredth_of_a_pixel_passes():
    """What another processor's rounding does to a figure."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    def drawn(shift):
        figure = Figure(figsize=(4, 3), dpi=100)
        FigureCanvasAgg(figure)
        t = np.linspace(0, 6, 300)
        figure.subplots().plot(t, np.sin(t) + shift, label="x")
        stream = io.BytesIO()
        figure.savefig(stream, format="png")
        return stream.getvalue()

    assert drawn(0) != drawn(1e-4)
    assert picture_difference(drawn(0), drawn(1e-4)) == ""
    assert picture_difference(drawn(0), drawn(0.1))


def test_fewer_colours_in_the_file_pass():
    """A picture saved with a palette looks the same."""
    stream = io.BytesIO()
    Image.open(io.BytesIO(png())).quantize(64).save(stream, "png")
    assert picture_difference(png(), stream.getvalue()) == ""


def test_the_same_notebook_says_the_same():
    assert check_says_the_same(made(sample()), made(sample())) == []


def test_another_printed_text_fails():
    nb = sample()
    nb["cells"][4]["outputs"][2]["text"] = ["gone\n"]
    assert "cell 5 holds 'gone" in check_says_the_same(made(nb), made(sample()))[0]


def test_another_sentence_of_an_explorer_fails():
    nb = sample()
    widget(nb, _text="A batch of 61.")
    assert check_says_the_same(made(nb), made(sample())) == ["a widget's state is not what it was"]


def test_an_output_marked_as_varying_may_vary():
    nb = sample()
    nb["cells"][4]["outputs"][2]["text"] = ["3.2 ms\n"]
    nb["cells"][4]["metadata"]["tags"] = ["nbval-ignore-output"]
    assert check_says_the_same(made(nb), made(sample())) == []


def test_another_text_of_a_figure_fails_under_the_same_arithmetic_alone():
    nb = sample()
    figure(nb, 5, plain="Figure: Four bars, the tallest of them 0.61.")
    assert "cell 5" in check_says_the_same(made(nb), made(sample()), same_arithmetic=True)[0]
    assert check_says_the_same(made(nb), made(sample()), same_arithmetic=False) == []


def spoil_nothing(nb):
    pass


@pytest.mark.parametrize(
    ("spoil", "arguments", "complaints"),
    [
        (spoil_nothing, [], 0),
        (figure, [5, WRONG["a curve changed"]], 0),  # nbval looks at no picture
        (figure, [5, None, None, "Figure: Four bars, the tallest of them 0.61."], 0),
        (stream, [5, "gone\n"], 1),
        (bundle, [7, "text/plain", "Explorer: a batch of 61."], 1),
        (pop_output, [5, 1], 1),
    ],
)
def test_nbval_compares_as_it_does_for_users(spoil, arguments, complaints, folder, request):
    nb = sample()
    spoil(nb, *arguments)
    stored = made(sample(), folder)
    assert len(check_passes_nbval(stored, made(nb), request.session)) == complaints
