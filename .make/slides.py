"""Make a deck for a lecture hall of each notebook, in .out/slides (make slides).

usage: python .make/slides.py                all decks, the index and the PDFs
       python .make/slides.py 03 05          these alone (to try something)
                              --stills       explorers that were not drawn yet stand still
                              --no-pdf       no PDFs

What a deck shows stands in the metadata of a notebook's cells, under `slide`: an entry, or a list
of entries where one cell makes several slides (READ below lists the keys; CONTRIBUTING.md tells how
a deck is written). Nothing is executed. reveal.js shows the slides, MathJax typesets the formulas
while the deck is made, explorers are frames drawn by .make/frames.py; the pages load nothing from
elsewhere, and open from the disk. faults() says what is wrong with a deck, before any browser sees
it.
"""

import base64
import html
import json
import os
import re
import shutil
import struct
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # this checkout's bnlib
sys.path.insert(0, str(Path(__file__).resolve().parent))
import chromium
import vendor
from frames import WIDGET, NotDrawn, explorer_cells, frames_of, joined
from website import (
    explorer,
    explorer_script,
    highlighted,
    read,
    without_style,
    write,
)

ROOT = Path(__file__).resolve().parent.parent
NOTEBOOKS = ROOT / "notebooks"
HAND = ROOT / ".make" / "slides"  # what is written by hand: deck.css, deck.js, formulas.js
OUT = ROOT / ".out" / "slides"

WIDTH, HEIGHT = 1280, 720  # of a slide, in CSS pixels; deck.css and deck.js say the same
LETTERS = "ABCDEF"  # of the options of a vote; deck.js knows these keys
MOST_WORDS, MOST_CODE, SLIDES = 40, 8, (20, 26)
LONGEST_LINE = 76  # characters of code in a line of 24 px
READ = {  # the keys of an entry: what they hold
    "type": "slide (begins a slide), part (stands on it), fragment (appears on it), skip",
    "text": "Markdown; a Markdown cell without it stands on the slide whole",
    "figure": "is the cell's figure or explorer shown? if nothing is said: on its last entry",
    "code": "[first, last] line of the cell's code that is shown",
    "output": "is what the cell has printed shown?",
    "vote": "the options of a vote; a slide for the tally follows",
    "minutes": "of the slide, on its first entry, as the three below",
    "say": "what the speaker says",
    "ask": "what the speaker asks the hall",
    "hear": "what the hall usually answers, and the reply",
}
OPENS = ("minutes", "say", "ask", "hear", "vote")  # only where a slide begins
TYPES = ("slide", "part", "fragment", "skip")
HELPERS = re.compile(
    r"\b(check|claim|hint|progress|quiz|settle|solution|use_course_style)\("
    r"|^(from bnlib\.course import|import|from) ",
    re.MULTILINE,
)


# ---- a notebook's cells become slides ------------------------------------------------------------


@dataclass
class Block:
    """One thing on a slide."""

    kind: str  # text, figure, explorer, code, output, vote or tally
    content: object  # Markdown, an output, lines of code or a list of options
    fragment: bool = False
    place: int = 0  # of the cell in its notebook


@dataclass
class Slide:
    cell: str  # the cell that it begins with
    entry: dict  # with the speaker's notes
    heading: str = ""
    level: int = 2
    blocks: list = field(default_factory=list)

    def of(self, *kinds):
        return [block for block in self.blocks if block.kind in kinds]

    @property
    def words(self):
        texts = [self.heading, *(block.content for block in self.of("text"))]
        return words("\n".join([*texts, *(o for b in self.of("vote", "tally") for o in b.content)]))

    @property
    def is_tally(self):
        return bool(self.of("tally"))


def words(text):
    """How many words a reader meets in Markdown; a formula is one."""
    text = re.sub(r"\$\$.+?\$\$|\$[^$]+\$", " F ", text, flags=re.DOTALL)
    text = re.sub(r"!?\[([^\]]*)\]\([^)]*\)", r"\1", text)
    text = re.sub(r"<[^>]+>", " ", text)
    return len(re.findall(r"[^\s#*_`|>—–·:\-]+", text))


def entries_of(cell):
    """The entries in a cell's metadata, as a list."""
    entries = cell["metadata"].get("slide", [])
    return entries if isinstance(entries, list) else [entries]


def shown(cell, entry, last):
    """The figure or explorer that an entry shows, as [(kind, output)]."""
    if not entry.get("figure", last):
        return []
    found = []
    for output in cell.get("outputs", ()):
        data = output.get("data", {})
        if "image/png" in data:
            found.append(("figure", output))
        elif WIDGET in data and joined(data.get("text/plain", "")).startswith("Explorer “"):
            found.append(("explorer", output))
    return found


def printed(cell):
    """What a cell has printed, tables among it: its outputs that are neither picture nor widget."""
    return [
        output
        for output in cell.get("outputs", ())
        if not {"image/png", WIDGET} & set(output.get("data", {}))
        and plain(output)
        and not joined(output.get("data", {}).get("text/html", "")).startswith("<details")
    ]


def fitting(line):
    """A line of code, without its comment where both are too long for a slide."""
    return line if len(line) <= LONGEST_LINE else re.sub(r" +# .*", "", line)


def plain(output):
    """What an output says, as text, without the lines of claims."""
    text = joined(output.get("text") or output.get("data", {}).get("text/plain", ""))
    return "\n".join(line for line in text.split("\n") if not line.startswith("✓ ")).rstrip()


def slides_of(cells):
    """The slides of a notebook's cells, the tallies among them. Entries are as they should be."""
    slides, tally = [], None

    def close():
        nonlocal tally
        if tally:
            slides.append(tally)
            tally = None

    for place, cell in enumerate(cells):
        entries = [entry for entry in entries_of(cell) if entry["type"] != "skip"]
        for number, entry in enumerate(entries):
            if entry["type"] == "slide" or not slides:
                close()
                slides.append(Slide(cell.get("id", str(place)), entry))
            slide, fragment = slides[-1], entry["type"] == "fragment"
            source = joined(cell["source"])
            text = entry.get("text", source if cell["cell_type"] == "markdown" else "")
            if entry is slide.entry:
                head = re.match(r"\s*(#{1,2}) +(.+?) *(\n|$)", text)
                if head:
                    slide.level, slide.heading = len(head[1]), head[2]
                    text = text[head.end() :]
            if text.strip():
                slide.blocks.append(Block("text", text.strip(), fragment, place))
            if "code" in entry:
                first, last = entry["code"]
                lines = map(fitting, source.split("\n")[first - 1 : last])
                slide.blocks.append(Block("code", list(lines), fragment, place))
            for kind, output in shown(cell, entry, number == len(entries) - 1):
                slide.blocks.append(Block(kind, output, fragment, place))
            if entry.get("output"):
                slide.blocks.append(Block("output", printed(cell), fragment, place))
            if "vote" in entry:
                slide.blocks.append(Block("vote", entry["vote"], place=place))
                tally = Slide(slide.cell, slide.entry, slide.heading, 2)
                tally.blocks.append(Block("tally", entry["vote"], place=place))
    close()
    return slides


def planned_minutes(cells):
    """The minutes that a notebook's plan for lecturers announces, or None."""
    for cell in cells:
        found = re.search(r"For lecturers: a plan of (\d+) minutes", joined(cell["source"]))
        if found:
            return int(found[1])
    return None


# ---- is a deck as it should be? ------------------------------------------------------------------


def entry_faults(cell):
    """What is wrong with the entries of one cell, each as a line."""
    entries, code = entries_of(cell), cell["cell_type"] == "code"
    for entry in entries:
        kind = entry.get("type")
        if unknown := set(entry) - set(READ):
            yield f"unknown keys: {', '.join(sorted(unknown))}"
        if kind not in TYPES:
            yield f"type is {kind!r}; it must be one of {', '.join(TYPES)}"
            continue
        if kind == "skip" and set(entry) != {"type"}:
            yield "says skip, and has further keys"
        if kind != "slide" and (late := [key for key in OPENS if key in entry]):
            yield f"{', '.join(late)} belong to the entry that begins a slide"
        if not code and (alien := {"code", "output", "figure"} & set(entry)):
            yield f"a Markdown cell has no {', '.join(sorted(alien))}"
        if "code" in entry:
            lines = joined(cell["source"]).split("\n")
            span = entry["code"]
            if not (len(span) == 2 and 1 <= span[0] <= span[1] <= len(lines)):
                yield f"code is {span}; the cell has lines 1 to {len(lines)}"
            elif HELPERS.search("\n".join(lines[span[0] - 1 : span[1]])):
                yield "code shows set-up, a check or a claim"
        if entry.get("figure") and not shown(cell, entry, True):
            yield "figure is true, and the cell has none"
        if entry.get("output"):
            texts = [plain(output) for output in printed(cell)]
            if not texts:
                yield "output is true, and the cell has printed nothing but claims"
            if any("Not attempted yet" in text for text in texts):
                yield "output shows a check"
        if "vote" in entry and not 2 <= len(entry["vote"]) <= len(LETTERS):
            yield f"a vote has 2 to {len(LETTERS)} options, not {len(entry['vote'])}"
        if sum(bool(shown(cell, e, n == len(entries) - 1)) for n, e in enumerate(entries)) > 1:
            yield "the cell's figure is shown twice"
            return


def faults(cells):
    """What is wrong with a notebook's deck: a list of lines, empty where all is well."""
    found = [f"{c.get('id')}: {fault}" for c in cells for fault in entry_faults(c)]
    if found:
        return found  # the rest reads entries that are as they should be
    slides = slides_of(cells)
    if not slides:
        return ["no cell has an entry `slide` in its metadata"]
    for number, slide in enumerate(slides, 1):
        here, media = f"slide {number} ({slide.cell})", slide.of("figure", "explorer")
        if not slide.heading:
            found.append(f"{here} has no heading")
        if slide.words > MOST_WORDS:
            found.append(f"{here} has {slide.words} words; {MOST_WORDS} can be read")
        lines = sum(len(block.content) for block in slide.of("code"))
        if lines > MOST_CODE:
            found.append(f"{here} has {lines} lines of code; {MOST_CODE} can be read")
        if len(media) > 1:
            found.append(f"{here} has {len(media)} figures")
        if not slide.is_tally and not slide.entry.get("minutes", 0) > 0:
            found.append(f"{here} has no minutes")
        if words(slide.entry.get("say", "")) < 5:
            found.append(f"{here} has nothing to say in its notes")
        if slide.is_tally and number == len(slides):
            found.append(f"{here} is a vote, and no slide answers it")
    if slides[0].level != 1 or any(slide.level == 1 for slide in slides[1:]):
        found.append("the first slide alone has a title (#); the others have headings (##)")
    minutes = sum(s.entry.get("minutes", 0) for s in slides if not s.is_tally)
    least = SLIDES[0] if minutes >= 30 else 1  # 00 is a short one
    if not least <= len(slides) <= SLIDES[1]:
        found.append(f"{len(slides)} slides with the tallies; {least} to {SLIDES[1]} fit")
    planned = planned_minutes(cells)
    if planned is not None and minutes != planned:
        found.append(f"{minutes:g} minutes; the plan has {planned}")
    return found


# ---- Markdown and formulas become HTML -----------------------------------------------------------


class Formulas:
    """Collects formulas as marks in HTML, has MathJax typeset all at once, puts them in."""

    def __init__(self):
        self.known = {}  # (TeX, is it displayed?): number

    def mark(self, tex, display):
        return f"\ue000{self.known.setdefault((tex.strip(), display), len(self.known))}\ue001"

    def typeset(self):
        """Run MathJax; returns a function that puts the formulas into HTML with marks."""
        node = shutil.which("node") or shutil.which("node", path=str(Path(sys.executable).parent))
        if node is None:
            raise vendor.Missing(
                "formulas are typeset with Node.js: install it, or the extra `site`"
            )
        command = [node, HAND / "formulas.js", vendor.fetch("mathjax")]
        done = subprocess.run(
            list(map(str, command)),
            input=json.dumps(list(self.known)),
            capture_output=True,
            encoding="utf-8",
            check=False,
        )
        if done.returncode:
            raise vendor.Missing(f"MathJax: {done.stderr.strip()[-500:]}")
        pictures = json.loads(done.stdout)
        return lambda text: re.sub("\ue000(\\d+)\ue001", lambda m: pictures[int(m[1])], text)

    def in_html(self, text):
        """HTML that is ours, with $…$ in it."""
        return re.sub(r"\$([^$<>]+)\$", lambda m: self.mark(html.unescape(m[1]), False), text)


def markdown(formulas):
    """A function from Markdown, read as JupyterLab reads it, to HTML with marks for formulas."""
    from nbconvert.filters.markdown_mistune import IPythonRenderer, MarkdownWithMath

    class Renderer(IPythonRenderer):
        def inline_math(self, body):
            return formulas.mark(body, False)

        def block_math(self, body):
            return formulas.mark(body, True)

        def latex_environment(self, name, body):
            return formulas.mark(f"\\begin{{{name}}}{body}\\end{{{name}}}", True)

        def link(self, text, url, title=None):
            return text  # nobody clicks in a hall

    def convert(text):
        made = MarkdownWithMath(Renderer(escape=False, exclude_anchor_links=True)).render(text)
        return made.strip()

    return convert


# ---- how a slide is laid out ---------------------------------------------------------------------
# A slide is WIDTH × HEIGHT; a figure or an explorer takes what its text leaves. Two layouts are
# tried on paper, and the one with the larger picture is taken.

INNER, TEXT_BESIDE, PANEL = 1168, 350, 350  # widths in pixels: within the margins, left columns
SIZES = (42, 39, 36, 33, 30, 28)  # of a slide without a picture
LETTER, LINE = 0.53, 1.35  # an average letter's width and a line's height, in font sizes


def height_of(text, size, width):
    """About how many pixels a text takes, set in a size within a width."""
    plain = re.sub(r"\$\$.+?\$\$", "FFFFFFFF\n\n", text, flags=re.DOTALL)
    plain = re.sub(r"\$[^$]+\$", "FFFF", plain)
    lines = [line.strip(" |") for line in plain.split("\n") if line.strip(" |-:")]
    a_line = width / (LETTER * size)
    return sum(-(-len(line) // a_line) * LINE * size + 0.4 * size for line in lines)


def room(slide):
    """The pixels of height that heading and margins leave."""
    return HEIGHT - 40 - 64 - height_of(slide.heading, 44, INNER)


def picture_area(width, height, ratio):
    """The pixels of a picture of a ratio (width / height) in a box, 0 where there is none."""
    if min(width, height) <= 0:
        return 0
    return min(width, height * ratio) ** 2 / ratio


def code_lines(slide):
    """The lines of code, and of what was printed, on a slide: a list for each block."""
    printed = (plain(output).split("\n") for b in slide.of("output") for output in b.content)
    return [*(block.content for block in slide.of("code")), *printed]


def code_size(slide):
    """The largest size in which code and print keep their lines: 24 to 32."""
    longest = max((len(line) for lines in code_lines(slide) for line in lines), default=0)
    many = sum(map(len, code_lines(slide))) > 8
    return max(24, min(26 if many else 32, int((INNER - 50) / 0.602 / max(longest, 1))))


def size_of(slide):
    """The largest size in which the text of a slide without a picture leaves some air."""
    tall, rows = room(slide), [o for b in slide.of("vote", "tally") for o in b.content]
    tall -= sum(1.4 * code_size(slide) * len(lines) + 60 for lines in code_lines(slide))
    for size in SIZES:
        high = sum(height_of(b.content, size, INNER) + 0.7 * size for b in slide.of("text"))
        extra, least = (38, 96) if slide.is_tally else (16, 72)  # pixels of a row
        high += sum(max(least, height_of(row, size, INNER - 380) + extra) for row in rows)
        if high < (0.9 if rows else 0.8) * tall:
            break
    return size


def beside(slide, ratio):
    """Does a figure become larger with the text at its left than with the text above and below?"""
    text = "\n".join(block.content for block in slide.of("text"))
    if slide.of("vote"):
        return True  # options need a column of their own
    if not text:
        return False
    tall = room(slide)
    if height_of(text, 28, TEXT_BESIDE) > tall:
        return False
    left = picture_area(INNER - TEXT_BESIDE - 36, tall, ratio)
    return left > picture_area(INNER, tall - height_of(text, 28, INNER), ratio)


def panel_beside(slide, page):
    """Does an explorer's picture become larger with the controls at its left than above it?"""
    spec, sentence = page["spec"], max(page["sentences"], key=len)
    controls = [c for c in spec["controls"] if c["kind"] != "range" or c["high"] > c["low"]]
    choices = [c for c in controls if c["kind"] == "choice"]
    text = "\n".join(block.content for block in slide.of("text"))
    tall, ratio = room(slide) - height_of(text, 28, INNER), spec["width"] / spec["height"]
    panel = sum(88 for c in controls if c["kind"] == "range")
    panel += sum(44 for c in controls if c["kind"] == "switch")
    panel += sum(44 * (1 + len(c["texts"])) for c in choices)
    if panel + height_of(sentence, 24, PANEL) > tall:
        return False
    left = picture_area(INNER - PANEL - 32, tall, ratio)
    above = 48 * (len(choices) + -(-(len(controls) - len(choices)) // 2)) + 20
    return left > picture_area(INNER, tall - above - height_of(sentence, 24, INNER), ratio)


# ---- a deck --------------------------------------------------------------------------------------


class Deck:
    """One notebook on its way to a deck: its page, and the files that the page shows."""

    def __init__(self, notebook, formulas, frames=None, stills=None):
        self.notebook, self.frames, self.stills = notebook, frames or {}, stills or {}
        self.slides, self.formulas = slides_of(notebook.cells), formulas
        self.markdown = markdown(formulas)
        self.files = {}  # address in .out/slides: bytes, or a folder to copy
        self.title = self.slides[0].heading
        self.minutes = sum(s.entry.get("minutes", 0) for s in self.slides if not s.is_tally)

    def line(self, text):
        """Markdown without the paragraph around it."""
        return re.sub(r"^<p>(.*)</p>$", r"\1", self.markdown(text), flags=re.DOTALL)

    def page(self):
        """The deck's HTML, with marks for formulas."""
        template = (HAND / "deck.html").read_text(encoding="utf-8")
        sections, so_far = [], 0
        for number, slide in enumerate(self.slides, 1):
            sections.append(self.section(number, slide, so_far))
            so_far += 0 if slide.is_tally else slide.entry["minutes"]
        title = html.escape(f"{self.notebook.number} · {re.sub('[$*`]', '', self.title)}")
        return template.replace("{title}", title).replace("{slides}", "\n".join(sections))

    def section(self, number, slide, so_far):
        kinds, style = {block.kind for block in slide.blocks}, ""
        names, blocks = ["slide"], [self.block(slide, block, number) for block in slide.blocks]
        if slide.level == 1:
            names.append("title")
            blocks.insert(0, f'<p class="course">Batch Normalization · {self.notebook.number}</p>')
        if not kinds & {"figure", "explorer"}:
            names.append("words")
            style = f' style="--size: {size_of(slide)}px; --code: {code_size(slide)}px"'
        if slide.of("figure") and beside(slide, self.ratio(slide.of("figure")[0].content)):
            names.append("beside")
            style = ' style="--beside: 430px"' if slide.of("vote") else ""
            media = [b for b in blocks if b.startswith("<figure")]
            texts = [b for b in blocks if b not in media]
            blocks = ['<div class="texts">', *texts, "</div>", *media]
        level = 1 if slide.level == 1 else 2
        timing = slide.entry["minutes"] * 60 * (0.5 if slide.of("vote", "tally") else 1)
        return "\n".join([
            f'<section class="{" ".join(names)}" data-timing="{round(timing)}"{style}>',
            f"<h{level}>{self.line(slide.heading)}</h{level}>",
            '<div class="body">',
            *blocks,
            "</div>",
            f'<p class="number">{number} / {len(self.slides)}</p>',
            self.notes(slide, so_far),
            "</section>",
        ])  # fmt: skip

    def notes(self, slide, so_far):
        """The speaker's notes; reveal.js shows them in the speaker's window (key s)."""
        minutes = slide.entry["minutes"]
        when = f"{so_far:g}–{so_far + minutes:g} of {self.minutes:g} minutes"
        if slide.is_tally:
            so_far -= minutes  # the vote has counted them
            *letters, last = LETTERS[: len(slide.blocks[0].content)]
            when = f"until {so_far + minutes:g} of {self.minutes:g} minutes"
            said = {
                "say": f"Count hands: press {', '.join(letters)} or {last}, or click +, for each "
                "voice; with Shift, or −, take one back. Do not tell the answer yet."
            }
        else:
            said = slide.entry
        parts = [f"<p><b>{when}</b></p>"]
        for key, name in (("say", "Say"), ("ask", "Ask"), ("hear", "They answer")):
            if said.get(key):
                parts.append(f"<h4>{name}</h4>{self.markdown(said[key])}")
        return f'<aside class="notes">{"".join(parts)}</aside>'

    # -- blocks

    def block(self, slide, block, number):
        made = getattr(self, block.kind)(slide, block, number)
        if not block.fragment:
            return made
        return re.sub(r'^<(\w+) class="', r'<\1 class="fragment ', made)

    def text(self, slide, block, number):
        return f'<div class="text">{self.markdown(block.content)}</div>'

    def code(self, slide, block, number):
        lines = block.content
        indent = min(len(x) - len(x.lstrip()) for x in lines if x.strip())
        made = highlighted("\n".join(line[indent:] for line in lines))
        return f'<div class="code">{made}</div>'

    def figure(self, slide, block, number):
        address = f"figures/{self.notebook.number}-{number}.png"
        self.files[address] = base64.b64decode(joined(block.content["data"]["image/png"]))
        alt = block.content.get("metadata", {}).get("image/png", {}).get("alt", "")
        return f'<figure class="picture"><img src="{address}" alt="{html.escape(alt)}"></figure>'

    @staticmethod
    def ratio(output):
        width, height = struct.unpack(
            ">II", base64.b64decode(joined(output["data"]["image/png"]))[16:24]
        )
        return width / height

    def explorer(self, slide, block, number):
        if block.place not in self.frames:
            said = joined(block.content["data"]["text/plain"])
            address = f"figures/{self.notebook.number}-{number}.png"
            self.files[address] = self.stills[block.place]
            picture = f'<img src="{address}" alt="{html.escape(said)}">'
            sentence = html.escape(said.partition("”: ")[2])
            return f'<div class="still"><div class="picture">{picture}</div><p>{sentence}</p></div>'
        folder = self.frames[block.place]
        address = f"frames/{self.notebook.number}-{folder.name}"
        self.files[address] = folder
        page = json.loads((folder / "page.json").read_text(encoding="utf-8"))
        longest = max(page["sentences"], key=len).replace("\\", "\\\\").replace('"', '\\"')
        where = "left" if panel_beside(slide, page) else "above"
        # The longest sentence, unseen, keeps the place for all: the picture does not jump.
        style = html.escape(f'--longest: "{longest}"')
        return (
            f'<div class="play panel-{where}" data-prevent-swipe style="{style}">'
            f"{explorer(folder, address)}</div>"
        )

    def output(self, slide, block, number):
        parts = []
        for output in block.content:
            data = output.get("data", {})
            if "text/html" in data:
                parts.append(self.formulas.in_html(without_style(joined(data["text/html"]))))
            else:
                parts.append(f"<pre>{html.escape(plain(output))}</pre>")
        return f'<div class="printed">{"".join(parts)}</div>'

    def vote(self, slide, block, number):
        rows = [
            f'<li><b>{letter}</b><span class="option">{self.line(option)}</span></li>'
            for letter, option in zip(LETTERS, block.content, strict=False)
        ]
        return f'<ol class="vote">{"".join(rows)}</ol>'

    def tally(self, slide, block, number):
        rows = []
        for letter, option in zip(LETTERS, block.content, strict=False):
            rows.append(
                f'<li data-letter="{letter}"><b>{letter}</b>'
                f'<span class="option">{self.line(option)}<i></i></span>'
                f'<output aria-label="votes for {letter}">0</output>'
                f'<button type="button" data-step="-1" aria-label="one less for {letter}">−'
                "</button>"
                f'<button type="button" data-step="1" aria-label="one more for {letter}">+</button>'
                "</li>"
            )
        key = f"{self.notebook.name}/{number}"
        return f'<ol class="vote tally" data-key="{html.escape(key)}">{"".join(rows)}</ol>'


def stored_picture(notebook_path, place):
    """The picture that a notebook keeps of the explorer in a cell."""
    nb = json.loads(notebook_path.read_text(encoding="utf-8"))
    state = nb["metadata"]["widgets"]["application/vnd.jupyter.widget-state+json"]["state"]
    for output in nb["cells"][place]["outputs"]:
        model = output.get("data", {}).get(WIDGET, {}).get("model_id")
        for buffer in state.get(model, {}).get("buffers", ()):
            if buffer["path"] == ["_picture"]:
                return base64.b64decode(buffer["data"])
    raise NotDrawn(f"{notebook_path.name} keeps no picture of the explorer in cell {place}")


# ---- the whole -----------------------------------------------------------------------------------


def index(decks):
    """The page that leads to the decks."""
    rows = [
        f'<tr><td>{deck.notebook.number}</td><td><a href="{deck.notebook.name}.html">'
        f"{deck.line(deck.title)}</a></td><td>{len(deck.slides)}</td><td>{deck.minutes:g}</td>"
        f'<td><a href="{deck.notebook.name}.pdf">PDF<span class="unseen"> of {deck.notebook.number}'
        "</span></a></td></tr>"
        for deck in decks
    ]
    template = (HAND / "index.html").read_text(encoding="utf-8")
    return template.replace("{rows}", "\n".join(rows))


def write_assets():
    """What all decks share: reveal.js, the look, the letters."""
    import matplotlib

    reveal = vendor.fetch("reveal.js")
    for source in ("dist/reveal.js", "dist/reveal.css", "plugin/notes/notes.js"):
        write(OUT / "assets" / Path(source).name, (reveal / source).read_bytes())
    write(OUT / "assets" / "LICENSE-reveal.txt", (reveal / "LICENSE").read_bytes())
    fonts = Path(matplotlib.get_data_path()) / "fonts" / "ttf"
    for name in ("Sans", "Sans-Bold", "Sans-Oblique", "SansMono"):
        file = f"DejaVu{name}.ttf"
        write(OUT / "assets" / file, (fonts / file).read_bytes())
    write(OUT / "assets" / "LICENSE-DejaVu.txt", (fonts / "LICENSE_DEJAVU").read_bytes())
    for name in ("deck.css", "deck.js"):
        write(OUT / "assets" / name, (HAND / name).read_bytes())
    write(OUT / "assets" / "explorer.js", explorer_script())
    write(OUT / "assets" / "explorer.css", (ROOT / "bnlib/course/kit/explorer.css").read_bytes())


def pictures_of(notebook, stills):
    """(frames, stills) of a notebook's explorers: {place of a cell: folder}, {place: PNG}."""
    wanted = {b.place for s in slides_of(notebook.cells) for b in s.of("explorer")}
    if not wanted:
        return {}, {}
    if stills:
        drawn = frames_of(notebook.path, draw=False)
        left = [place for place in explorer_cells(notebook.cells) if place not in drawn]
        return drawn, {place: stored_picture(notebook.path, place) for place in left}
    return frames_of(notebook.path), {}


def build(notebooks, stills=False):
    """Write decks, their files and the index; returns the decks."""
    wrong = {n.name: faults(n.cells) for n in notebooks}
    for name, lines in wrong.items():
        for line in lines:
            print(f"bnlib: {name}: {line}", file=sys.stderr)
    with ThreadPoolExecutor(min(4, os.cpu_count() or 1)) as pool:
        pictures = list(pool.map(lambda n: pictures_of(n, stills), notebooks))
    formulas = Formulas()
    decks = [Deck(n, formulas, *p) for n, p in zip(notebooks, pictures, strict=True)]
    pages = {f"{deck.notebook.name}.html": deck.page() for deck in decks}
    pages["index.html"] = index(decks)
    typeset = formulas.typeset()
    shutil.rmtree(OUT, ignore_errors=True)
    write_assets()
    for address, text in pages.items():
        write(OUT / address, typeset(text))
    for deck in decks:
        for address, content in deck.files.items():
            write(OUT / address, content)
    return decks


def main(words=()):
    began, options = time.monotonic(), {word for word in words if word.startswith("--")}
    if unknown := options - {"--stills", "--no-pdf"}:
        sys.exit(f"bnlib: unknown option {' '.join(sorted(unknown))}\n\n{__doc__}")
    names = [word for word in words if word not in options]
    notebooks = [read(path) for path in sorted(NOTEBOOKS.glob("[0-9][0-9]_*.ipynb"))]
    if names:
        notebooks = [n for n in notebooks if any(n.path.name.startswith(name) for name in names)]
    if not notebooks:
        sys.exit(f"bnlib: no notebook is named {' '.join(names)}")
    if bare := [n.name for n in notebooks if not any(map(entries_of, n.cells))]:
        sys.exit(f"bnlib: no cell of {', '.join(bare)} has an entry `slide` in its metadata")
    try:
        decks = build(notebooks, "--stills" in options)
        print(f"bnlib: {len(decks)} decks in {time.monotonic() - began:.0f} s: open")
        print(f"  {OUT / 'index.html'}")
        if "--no-pdf" not in options:
            chromium.print_pages(
                {OUT / f"{d.notebook.name}.html": OUT / f"{d.notebook.name}.pdf" for d in decks}
            )
            print(f"bnlib: PDFs of them after {time.monotonic() - began:.0f} s")
    except (vendor.Missing, NotDrawn, chromium.Missing) as trouble:
        sys.exit(f"bnlib: {trouble}")


if __name__ == "__main__":
    main(sys.argv[1:])
