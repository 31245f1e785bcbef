"""Make the course's website in .out/site, from the notebooks as they are stored (make site).

usage: python .make/website.py              the whole site
       python .make/website.py 03 05        with these notebooks alone (to try something)

Each notebook becomes a page in Markdown, from which Sphinx makes HTML; nothing of it is executed.
Figures become files with their alternative texts; hints, solutions and quizzes, which a stored
notebook does not hold, come from the rooms and are folded; explorers become frames, drawn by
.make/frames.py, that explorer.js plays. The pages load nothing from elsewhere, and open from the
disk as well.

BNLIB_REPOSITORY or GITHUB_REPOSITORY, as owner/name on GitHub, gives the links "open in Binder" and
"open in Colab", and colab/, copies that install bnlib first (the workflow pushes them to a branch
`colab`). Needs the extra `site`; the functions that turn notebooks into pages need `course` alone.
"""

import ast
import base64
import copy
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
from pathlib import Path
from typing import NamedTuple
from urllib.parse import unquote

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # this checkout's bnlib
sys.path.insert(0, str(Path(__file__).resolve().parent))
import vendor
from frames import WIDGET, NotDrawn, frames_of, joined

ROOT = Path(__file__).resolve().parent.parent
NOTEBOOKS = ROOT / "notebooks"
SITE = ROOT / ".make" / "site"  # what is written by hand: conf.py, course.css, library/
SOURCE = ROOT / ".out" / "site-source"  # what Sphinx reads
OUT = ROOT / ".out" / "site"
LIBRARY = ("reference", "numpy", "torch", "data", "course")
WORDS_A_MINUTE = 150  # of a text with formulas, by a reader who learnt English second
TYPESET = "mathjax_process"  # the class by which MathJax finds formulas in HTML that is ours


# ---- notebooks -----------------------------------------------------------------------------------


class Notebook(NamedTuple):
    path: Path
    cells: list

    @property
    def name(self):
        return self.path.stem

    @property
    def number(self):
        return self.path.name[:2]

    @property
    def prose(self):
        return [joined(c["source"]) for c in self.cells if c["cell_type"] == "markdown"]

    @property
    def title(self):
        return next(re.finditer(r"^# (.+)$", "\n".join(self.prose), re.MULTILINE))[1]


def read(path):
    return Notebook(path, json.loads(path.read_text(encoding="utf-8"))["cells"])


def course_map():
    """The README's table: (part, its name, its tools, [(number, name, question)])."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\|(.*)\|(.*)\|(.*)\|$", text.split("## The course")[1], re.MULTILINE)
    parts = [("", "", "", [])]
    for first, second, third in ([cell.strip() for cell in row] for row in rows):
        plain = re.sub(r"\[(.*?)\]\(.*?\)", r"\1", second)
        if first.startswith("**"):
            parts.append((first.strip("* "), plain.strip("* "), third.strip("* "), []))
        elif re.match(r"\d\d ", plain):
            parts[-1][3].append((plain[:2], plain[3:], third))
    return parts


def reading_minutes(prose):
    """How long it takes to read a notebook's text, folded parts left out; whole minutes."""
    text = re.sub(r"<details>.*?</details>", "", "\n".join(prose), flags=re.DOTALL)
    return max(1, round(len(text.split()) / WORDS_A_MINUTE))


# ---- links ---------------------------------------------------------------------------------------

LINK = re.compile(r"(?<!!)\[((?:[^\]\[]|\[[^\]]*\])*)\]\(([^)\s]+)\)")


def label(name, anchor):
    """The name of a place on the site: a notebook, and what stands behind # in a link to it."""
    return re.sub(r"\W+", "-", f"{name[:2]}-{unquote(anchor)}").lower()


def linked_places(notebooks):
    """{(notebook's name, anchor)} that links of these notebooks lead to."""
    found = set()
    for notebook in notebooks:
        for text in notebook.prose:
            for _, target in LINK.findall(text):
                path, _, anchor = target.partition("#")
                if anchor and (not path or path.endswith(".ipynb")):
                    found.add((Path(path).stem if path else notebook.name, unquote(anchor)))
    return found


def site_link(match, name, repository):
    """A link of a notebook as the site has it. Where it has no such page: on GitHub, else text."""
    text, target = match[1], match[2]
    path, _, anchor = target.partition("#")
    if "://" in target or target.startswith("mailto:"):
        return match[0]
    if anchor and (not path or path.endswith(".ipynb")):
        return f"[{text}](#{label(path or name, anchor)})"
    pages = {"../README.md": "index.md", "../data/README.md": "digits.md"}
    if path in pages or path.endswith(".ipynb"):
        return f"[{text}]({pages.get(path) or Path(path).stem + '.md'})"
    inside = (NOTEBOOKS / path).resolve()
    if inside.parent == NOTEBOOKS and inside.suffix == ".md":
        return f"[{text}]({path})"
    return on_github(match, inside, repository)


def on_github(match, path, repository):
    """A link to a file of the repository, or its text alone; what is no link stays as it is."""
    if not path.exists() or not path.is_relative_to(ROOT):
        return match[0]
    if not repository:
        return match[1]
    kind = "tree" if path.is_dir() else "blob"
    address = path.relative_to(ROOT).as_posix()
    return f"[{match[1]}](https://github.com/{repository}/{kind}/HEAD/{address})"


# ---- a cell becomes Markdown ---------------------------------------------------------------------


def raw(text):
    """HTML as a block of a page's Markdown."""
    fence = "`" * max(3, *(len(run) + 1 for run in re.findall("`+", text)), 3)
    return f"{fence}{{raw}} html\n{text}\n{fence}"


def code_block(source):
    fence = "`" * max(3, *(len(run) + 1 for run in re.findall("`+", source)), 3)
    return f"{fence}{{code-block}} ipython3\n{source}\n{fence}"


def prose(cell, name, places, repository):
    """A Markdown cell, with names for what links lead to."""
    text = LINK.sub(lambda m: site_link(m, name, repository), joined(cell["source"]))
    named = []
    if (name, f"cell-id={cell.get('id')}") in places:
        named.append(f"({label(name, 'cell-id=' + cell['id'])})=")
    lines = []
    for line in text.split("\n"):
        heading = re.match(r"#+ +(.+?) *$", line)
        anchor = heading and re.sub(r"[*`]", "", heading[1]).replace(" ", "-")
        if heading and (name, anchor) in places:
            lines.append(f"({label(name, anchor)})=")
        lines.append(line)
    return "\n".join([*named, *lines])


def highlighted(code):
    from pygments import highlight
    from pygments.formatters import HtmlFormatter
    from pygments.lexers import PythonLexer

    return highlight(code, PythonLexer(), HtmlFormatter(wrapcode=True)).strip()


def coloured(text):
    """HTML whose listings are highlighted as those of the page's cells."""
    return re.sub(
        r"<pre><code>(.*?)</code></pre>",
        lambda m: highlighted(html.unescape(m[1])),
        text,
        flags=re.DOTALL,
    )


def folded(parts):
    """[(label, HTML)] as <details>, each of them inside the one before it."""
    (name, inside), *more = parts
    rest = folded(more) if more else ""
    return (
        f'<details class="bn-folded {TYPESET}"><summary>{html.escape(name)}</summary>\n'
        f"{coloured(inside)}{rest}</details>"
    )


def without_style(text):
    return re.sub(r"<style>.*?</style>", "", text, flags=re.DOTALL)


def settled(exercise):
    """What settle tells, folded; where only the notebook's run knows the number: why it is so."""
    from bnlib.course.kit.markup import to_html

    name = f"The answer to {exercise.id}"
    view = exercise.settle()
    inside = dict(getattr(view, "parts", ())).get(name)
    if inside is None:
        inside = f"<p>What was measured stands above. {to_html(exercise.note)}</p>"
    inside = re.sub(r"You wrote no guess\. ", "", without_style(inside))
    return folded([(name, inside)])


def quiz_page(notebook):
    """A notebook's quiz: options that say why they are right or wrong when they are opened."""
    import importlib

    from bnlib.course.kit.markup import to_html

    questions = importlib.import_module(f"bnlib.course.nb{notebook}.exercises").QUIZ
    lines = [
        f'<div class="bn-quiz {TYPESET}">',
        "<p><strong>Quiz.</strong> Open an option: it says why it is right or not.</p>",
    ]
    for number, question in enumerate(questions, 1):
        lines += [f"<p><strong>{number}.</strong> {to_html(question.text)}</p>"]
        for i, (option, said, right) in enumerate(question.shuffled()):
            mark = "✓ Right." if right else "✗ No."
            lines += [
                f'<details class="bn-option"><summary>{"abcdefgh"[i]}) {to_html(option)}</summary>',
                f"<p><strong>{mark}</strong> {to_html(said)}</p></details>",
            ]
    return "\n".join([*lines, "</div>"])


ASKS = re.compile(r"""\b(hint|solution|settle|quiz|model_report)\(\s*["']([\w.]+)["']""")
# what a stored cell says of a learner's own work: on a page nobody attempts or solves anything
OF_A_LEARNER = re.compile(r"Not attempted yet|^\d+ (?: +\d+ )?of \d+ (?:exercises )?solved")


def told(source):
    """What the widgets behind hint, solution, settle, quiz and model_report hold, as HTML."""
    from bnlib.course.kit.asking import find

    pages = []
    for action, number in ASKS.findall(source):
        if action == "hint":
            pages.append(folded(find(number).show_hint().parts))
        elif action == "solution":
            pages.append(folded(find(number).show_solution().parts))
        elif action == "settle":
            pages.append(settled(find(number)))
        elif action == "model_report":
            from bnlib.course.nb16 import model_report

            pages.append(folded(model_report(number).parts))
        else:
            pages.append(quiz_page(number))
    return pages


def figure(data, metadata, address):
    """A stored picture as an <img> with its alternative text, as wide as the notebook shows it."""
    width, height = struct.unpack(">II", data[16:24])  # PNG: in its first block
    shown = metadata.get("width") or width
    alt = html.escape(metadata.get("alt", ""), quote=True)
    size = f'width="{shown}" height="{round(shown * height / width)}"'
    return f'<p class="bn-figure"><img src="{address}" alt="{alt}" {size} loading="lazy"></p>'


def explorer(folder, address):
    """An explorer's frames: data for explorer.js, and a still picture where there is no script."""
    page = json.loads((folder / "page.json").read_text(encoding="utf-8"))
    page["pictures"] = [f"{address}/{name}" for name in page["pictures"]]
    spec, start, data = (
        page["spec"],
        page["start"],
        json.dumps(page, ensure_ascii=False).replace("</", "<\\/"),
    )
    return "\n".join([
        '<div class="bn-frames">',
        f'<script type="application/json">{data}</script>',
        f"<p><strong>{html.escape(spec['title'])}</strong></p>",
        f'<img src="{page["pictures"][start]}" alt="{html.escape(spec["alt"], quote=True)}" '
        f'width="{spec["width"]}" height="{spec["height"]}" loading="lazy">',
        f"<p>{html.escape(page['sentences'][start])}</p>",
        "</div>",
    ])  # fmt: skip


class Page:
    """One notebook on its way to a page: its Markdown, and the files that the page shows."""

    def __init__(self, notebook, places=frozenset(), repository=None, frames=None):
        self.notebook, self.places, self.repository = notebook, places, repository
        self.frames = frames or {}  # place of a cell: folder of its explorer's frames
        self.files = {}  # address on the site: bytes, or a folder to copy

    def markdown(self):
        blocks = []
        for place, cell in enumerate(self.notebook.cells):
            if cell["cell_type"] == "markdown":
                blocks.append(prose(cell, self.notebook.name, self.places, self.repository))
                if place == 0:
                    blocks.append(raw(bar(self.notebook, self.repository)))
            elif cell["cell_type"] == "code":
                blocks += self.code(place, cell)
        return "\n\n".join(blocks) + "\n"

    def code(self, place, cell):
        source = joined(cell["source"])
        only_asks = all(
            isinstance(node, ast.Expr) and ASKS.match(ast.unparse(node.value))
            for node in ast.parse(source).body
        )
        outputs = [self.output(place, source, one) for one in cell.get("outputs", ())]
        shown = [text for text in outputs if text]
        return ([] if only_asks else [code_block(source)]) + list(map(raw, shown))

    def output(self, place, source, output):
        data = output.get("data", {})
        plain = joined(output.get("text") or data.get("text/plain", ""))
        if WIDGET in data:
            if plain.startswith("Explorer “"):
                if place not in self.frames:
                    return f'<pre class="bn-output">{html.escape(plain)}</pre>'
                folder = self.frames[place]
                address = f"frames/{self.notebook.number}-{folder.name}"
                self.files[address] = folder
                return explorer(folder, address)
            return "\n".join(told(source))
        if "image/png" in data:
            address = f"figures/{self.notebook.number}-{place}-{len(self.files)}.png"
            picture = base64.b64decode(joined(data["image/png"]))
            self.files[address] = picture
            metadata = output.get("metadata", {}).get("image/png", {})
            return figure(picture, metadata, address)
        if "text/html" in data:
            text = coloured(without_style(joined(data["text/html"])))
            if OF_A_LEARNER.search(plain) or re.fullmatch(r"[\d,]+ steps", plain):
                return ""  # nor is anything under way
            text = text.replace("<table>", '<table class="table">')
            return f'<div class="bn-html {TYPESET}">{text}</div>'
        return f'<pre class="bn-output">{html.escape(plain.rstrip())}</pre>' if plain else ""


def bar(notebook, repository):
    """Where a notebook can be run, and how long it takes to read."""
    links = []
    if repository:
        path = f"notebooks/{notebook.path.name}"
        links += [
            f'<a href="{binder(repository, path)}">Open in Binder</a>',
            f'<a href="{colab(repository, notebook.path.name)}">Open in Colab</a>',
        ]
    links += [
        f'<a href="notebooks/{notebook.path.name}" download>Download this notebook</a>',
        f"<span>{reading_minutes(notebook.prose)} minutes to read</span>",
        "<span>Nothing runs here: results are stored.</span>",
    ]
    return '<p class="bn-bar">' + "\n".join(links) + "</p>"


def binder(repository, path):
    return f"https://mybinder.org/v2/gh/{repository}/HEAD?urlpath=lab/tree/{path}"


def colab(repository, file):
    return f"https://colab.research.google.com/github/{repository}/blob/colab/{file}"


# ---- pages that are no notebook ------------------------------------------------------------------


def front_page(notebooks):
    """The map of the course, from the README's table."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    title, intro, *_ = readme.split("\n\n")
    picture = re.search(r"!\[([^\]]*)\]\(notebooks/(images/[^)]*)\)", readme)
    known, parts = {notebook.number: notebook for notebook in notebooks}, course_map()
    listed = {number for *_, rows in parts for number, *_ in rows}
    for number in sorted(known.keys() - listed):
        parts[-1][3].append((number, known[number].name[3:].replace("_", " "), ""))
    lines = [title, "", intro, ""]
    if picture:
        lines += [f"![{' '.join(picture[1].split())}]({picture[2]})", ""]
    lines += [
        "**To read and play**, start at the first notebook below: nothing needs to be installed.",
        "Hints, solutions and the answers to quizzes are folded; explorers can be moved, by the",
        "arrow keys too. **To write your own layer**, run the notebooks: the README of their",
        "repository says how. On these pages nothing runs: below its code stands what a cell gave.",
        "",
        "## The map of the course",
        "",
    ]
    tree = []
    for part, name, tools, rows in parts:
        rows = [row for row in rows if row[0] in known]
        if not rows:
            continue
        caption = f"{part} {name}" if part else "Before you start"
        lines += [f"### {f'Part {part}: {name}' if part else caption}", ""]
        lines += [f"*{tools}*", ""] if tools else []
        lines += ["| | notebook | the question it answers | minutes | builds on |"]
        lines += ["|---|---|---|---|---|"]
        for number, short, question in rows:
            notebook = known[number]
            needs = ", ".join(f"[{n}]({known[n].name}.md)" for n in needed(notebook) if n in known)
            minutes = alone(notebook) or "–"
            lines += [
                f"| {number} | [{short}]({notebook.name}.md) | {question} | {minutes} | {needs} |"
            ]
        pages = [f"{number} {short} <{known[number].name}>" for number, short, _ in rows]
        tree += ["```{toctree}", ":hidden:", f":caption: {caption}", "", *pages, "```", ""]
        lines += [""]
    guides = [path.stem for path in sorted(NOTEBOOKS.glob("*.md"))]
    more = [*guides, "Words <words>", "The digits <digits>", "What has changed <changes>"]
    library = ["The library <library/index>"]
    library += [f"bnlib.{name} <library/{name}>" for name in LIBRARY]
    for caption, pages in [("To look up", more), ("To call", library)]:
        tree += ["```{toctree}", ":hidden:", f":caption: {caption}", "", *pages, "```", ""]
    return "\n".join([*lines, *tree])


def needed(notebook):
    """The numbers of the notebooks that its opening says it needs."""
    line = re.search(r"\*\*You need:?\*\*:?(.*?)(?:\n\n|$)", notebook.prose[0], re.DOTALL)
    found = re.findall(r"\]\((\d\d)_\w+\.ipynb", line[1]) if line else []
    return list(dict.fromkeys(found))


def alone(notebook):
    """The minutes that its opening announces for who works alone, or None."""
    line = re.search(r"\*\*Time:?\*\*:? *(\d+) minutes", notebook.prose[0])
    return int(line[1]) if line else None


def words_page(notebooks, places, repository):
    """The glossary: those cells of notebook 00 that hold its tables."""
    start = next((n for n in notebooks if n.number == "00"), None)
    names = {notebook.number: notebook.name for notebook in notebooks}

    def linked(match):
        level, title, number = match.groups()
        return f"{level} [{title}]({names[number]}.md)" if number in names else match[0]

    blocks = ["# Words, and where they are explained"]
    for cell in start.cells if start else ():
        text = joined(cell["source"])
        if cell["cell_type"] == "markdown" and "| word | meaning |" in text:
            text = prose(cell, start.name, places, repository)
            text = re.sub(r"^(#+) Words.*$", "", text, flags=re.MULTILINE)
            blocks.append(re.sub(r"^(#+) (Notebook (\d\d).*)$", linked, text, flags=re.MULTILINE))
    return "\n\n".join(blocks) + "\n"


def plain_page(path, repository):
    """A Markdown file of the repository; its links lead to pages of the site or to GitHub."""

    def link(match):
        text, target = match[1], match[2]
        if "://" in target or target.startswith("#"):
            return match[0]
        inside = (path.parent / target.partition("#")[0]).resolve()
        if inside.parent == NOTEBOOKS and inside.suffix in (".ipynb", ".md"):
            return f"[{text}]({inside.stem}.md)"
        return on_github(match, inside, repository)

    return one_title(LINK.sub(link, path.read_text(encoding="utf-8")))


def one_title(text):
    """Markdown with one heading of the first level: what comes under a further one goes down."""
    pieces, titles = re.split(r"^(```.*?^```|#+ )", text, flags=re.MULTILINE | re.DOTALL), 0
    for i, piece in enumerate(pieces):
        titles += piece == "# "
        if i % 2 and piece.startswith("#") and titles > 1:
            pieces[i] = "#" + piece
    return "".join(pieces)


# ---- notebooks to take away ----------------------------------------------------------------------


def for_colab(notebook, repository):
    """A notebook for Colab: no outputs, a first cell that installs bnlib, links that work there."""

    def link(match):
        text, target = match[1], match[2]
        path = target.partition("#")[0]
        if path.endswith(".ipynb"):
            return f"[{text}]({colab(repository, path)})"
        if path and "://" not in target:
            return on_github(match, (NOTEBOOKS / path).resolve(), repository)
        return match[0]

    stored = json.loads(notebook.path.read_text(encoding="utf-8"))
    cells = []
    for cell in copy.deepcopy(stored["cells"]):
        cell["source"] = joined(cell["source"])
        if cell["cell_type"] == "code":
            cell |= {"outputs": [], "execution_count": None}
        else:
            cell["source"] = LINK.sub(link, cell["source"])
        cells.append(cell)
    install = (
        "# On Colab: the course's library, and what its explorers need\n"
        f'%pip install --quiet anywidget "bnlib @ git+https://github.com/{repository}"'
    )
    first = {"cell_type": "code", "id": "install", "metadata": {}, "outputs": []}
    cells.insert(1, {**first, "execution_count": None, "source": install})
    metadata = {key: value for key, value in stored["metadata"].items() if key != "widgets"}
    return json.dumps(
        {**stored, "cells": cells, "metadata": metadata}, ensure_ascii=False, indent=1
    )


# ---- the whole -----------------------------------------------------------------------------------


def repository():
    """owner/name on GitHub, where the environment tells it."""
    name = os.environ.get("BNLIB_REPOSITORY") or os.environ.get("GITHUB_REPOSITORY") or ""
    if name and not re.fullmatch(r"[\w.-]+/[\w.-]+", name):
        sys.exit(f"bnlib: BNLIB_REPOSITORY is {name!r}; it must be owner/name, as on GitHub")
    return name or None


def explorer_script():
    """explorer.js for pages: no module, for a page from the disk may load none."""
    code = (ROOT / "bnlib/course/kit/explorer.js").read_text(encoding="utf-8")
    body, export, _ = code.partition("export default { render, play };")
    if not export:
        raise ValueError("explorer.js does not end with `export default { render, play };`")
    return f"(() => {{\n{body}\nplay(document);\n}})();\n"


def write(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    if isinstance(content, Path):
        shutil.copytree(content, path, ignore=shutil.ignore_patterns("page.json"))
    elif isinstance(content, bytes):
        path.write_bytes(content)
    else:
        path.write_text(content, encoding="utf-8", newline="\n")


def write_sources(notebooks, where):
    """Write what Sphinx reads; returns the files that go onto the site as they are."""
    shutil.rmtree(SOURCE, ignore_errors=True)
    shutil.copytree(SITE, SOURCE, ignore=shutil.ignore_patterns("__pycache__"))
    if (NOTEBOOKS / "images").is_dir():
        shutil.copytree(NOTEBOOKS / "images", SOURCE / "images")
    places, files = linked_places(notebooks), {".nojekyll": ""}
    with ThreadPoolExecutor(min(4, os.cpu_count() or 1)) as pool:
        drawn = list(pool.map(lambda notebook: frames_of(notebook.path), notebooks))
    for notebook, frames in zip(notebooks, drawn, strict=True):
        words = {p for p in places if p[0].startswith("00") and p[1].startswith("cell-id=words")}
        page = Page(notebook, places - words, where, frames)
        write(SOURCE / f"{notebook.name}.md", page.markdown())
        files |= page.files
        files[f"notebooks/{notebook.path.name}"] = notebook.path.read_bytes()
        if where:
            files[f"colab/{notebook.path.name}"] = for_colab(notebook, where)
    write(SOURCE / "index.md", front_page(notebooks))
    write(SOURCE / "words.md", words_page(notebooks, places, where))
    write(SOURCE / "digits.md", plain_page(ROOT / "data" / "README.md", where))
    write(SOURCE / "changes.md", plain_page(ROOT / "CHANGELOG.md", where))
    for path in NOTEBOOKS.glob("*.md"):
        write(SOURCE / path.name, plain_page(path, where))
    static = SOURCE / "_static"
    write(static / "explorer.js", explorer_script())
    write(static / "explorer.css", (ROOT / "bnlib/course/kit/explorer.css").read_bytes())
    mathjax = vendor.fetch("mathjax") / "es5"
    for part in ("output/chtml/fonts/woff-v2", "input/tex/extensions"):
        shutil.copytree(mathjax / part, static / "mathjax" / part)
    shutil.copy(mathjax / "tex-chtml.js", static / "mathjax")
    return files


def clear_up():
    """Take from the site what the theme brings and no page needs; 1.6 MB of each page's weight."""
    icons = re.compile(r'^ *<script defer src="[^"]*/fontawesome\.js.*?</script>\n', re.MULTILINE)
    for path in OUT.rglob("*.html"):
        text = path.read_text(encoding="utf-8")
        write(path, icons.sub("", text))  # icons come from a font, this is for others
    for pattern in (".buildinfo", "objects.inv", "**/*.map", "_static/*.html", "**/fontawesome.js"):
        for path in OUT.glob(pattern):
            path.unlink()
    shutil.rmtree(OUT / "_sources", ignore_errors=True)


def main(names=()):
    began, where = time.monotonic(), repository()
    notebooks = [read(path) for path in sorted(NOTEBOOKS.glob("[0-9][0-9]_*.ipynb"))]
    if names:
        notebooks = [n for n in notebooks if any(n.path.name.startswith(name) for name in names)]
    if not notebooks:
        sys.exit(f"bnlib: no notebook is named {' '.join(names)}")
    try:
        files = write_sources(notebooks, where)
    except (vendor.Missing, NotDrawn) as trouble:
        sys.exit(f"bnlib: {trouble}")
    shutil.rmtree(OUT, ignore_errors=True)
    strict = [] if names else ["--fail-on-warning", "--keep-going"]
    command = [sys.executable, "-m", "sphinx", "--quiet", *strict, "-d", SOURCE / "_doctrees"]
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path[:2]), "MPLBACKEND": "agg"}
    done = subprocess.call([*map(str, command), str(SOURCE), str(OUT)], env=env)
    if done:
        sys.exit(done)
    for address, content in files.items():
        write(OUT / address, content)
    clear_up()
    print(f"bnlib: {len(notebooks)} notebooks in {time.monotonic() - began:.0f} s: open")
    print(f"  {OUT / 'index.html'}")


if __name__ == "__main__":
    main(sys.argv[1:])
