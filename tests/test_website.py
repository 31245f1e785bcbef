"""The website's pages before Sphinx: what becomes of a notebook's cells, links and explorers."""

import hashlib
import html
import importlib
import io
import json
import re
import subprocess
import tarfile
from pathlib import Path

import nbformat
import pytest
from loading import load

ROOT = Path(__file__).resolve().parent.parent
STORED = sorted((ROOT / "notebooks").glob("[0-9][0-9]_*.ipynb"))


site, drawn, vendor = load("website"), load("frames"), load("vendor")


def outputs(path):
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    return [output for cell in cells for output in cell.get("outputs", ())]


@pytest.fixture(scope="module", params=STORED, ids=lambda path: path.stem)
def page(request):
    """(the stored notebook, its Page, the page's Markdown), without frames."""
    page = site.Page(site.read(request.param))
    return request.param, page, page.markdown()


# ---------------------------------------------------------------- a notebook's page


def test_page_shows_every_stored_figure_with_its_text(page):
    path, made, text = page
    pictures = [o for o in outputs(path) if "image/png" in o.get("data", {})]
    alts = re.findall(r'<p class="bn-figure"><img src="([^"]+)" alt="([^"]+)"', text)
    assert [html.unescape(alt) for _, alt in alts] == [
        output["metadata"]["image/png"]["alt"] for output in pictures
    ]
    assert all(made.files[address][:4] == b"\x89PNG" for address, _ in alts)


def test_page_asks_nobody_to_run_a_cell_in_order_to_read(page):
    assert not re.search("run this cell to open it|Not attempted yet", page[2])


def test_page_counts_nobodys_solved_exercises(page):
    assert not re.search(r"\d of \d+ (exercises )?solved", page[2])


def test_page_folds_what_a_kernel_would_tell(page):
    path, _, text = page
    stored = [site.joined(o.get("data", {}).get("text/plain", "")) for o in outputs(path)]
    folded = r"((?:Hint for|Solution of|The answer to|Report) [\w.]+): run"
    names = re.findall(folded, "\n".join(stored))
    assert names
    for name in names:
        assert f"<summary>{name}</summary>" in text


def test_page_highlights_every_listing(page):
    assert "<pre><code>" not in page[2]


def test_page_holds_the_whole_quiz(page):
    path, _, text = page
    from bnlib.course.kit.markup import to_html

    room = importlib.import_module(f"bnlib.course.nb{path.name[:2]}.exercises")
    for question in room.QUIZ:
        for option, said in question.options.items():
            assert f") {to_html(option)}</summary>" in text
            assert to_html(said) in text


def test_solution_on_a_page_is_the_tested_source(page):
    path, _, text = page
    room = importlib.import_module(f"bnlib.course.nb{path.name[:2]}.exercises")
    plain = html.unescape(re.sub(r"<[^>]+>", "", text))
    asked = set(re.findall(r"Solution of ([\d.]+)", text))
    sources = [one._source() for one in room.EXERCISES if one.id in asked]
    assert [source for source in sources if source not in plain] == []


def test_every_place_that_a_link_leads_to_is_on_a_page():
    notebooks = [site.read(path) for path in STORED]
    there = {notebook.name for notebook in notebooks}
    places = {place for place in site.linked_places(notebooks) if place[0] in there}
    text = "\n".join(
        site.prose(cell, notebook.name, places, None)
        for notebook in notebooks
        for cell in notebook.cells
        if cell["cell_type"] == "markdown"
    )
    named = set(re.findall(r"^\(([\w-]+)\)=$", text, re.MULTILINE))
    assert {site.label(*place) for place in places} == named
    assert set(re.findall(r"\]\(#([\w-]+)\)", text)) >= named


def test_map_has_every_notebook():
    text = site.front_page([site.read(path) for path in STORED])
    assert [path.stem for path in STORED if f"]({path.stem}.md)" not in text] == []
    assert [path.stem for path in STORED if f"<{path.stem}>" not in text] == []


def test_map_has_a_notebook_that_the_readme_does_not_list():
    other = site.Notebook(Path("99_one_more.ipynb"), site.read(STORED[0]).cells)
    assert "| 99 | [one more](99_one_more.md) |" in site.front_page([other])


def test_map_says_minutes_and_what_a_notebook_builds_on():
    text = site.front_page([site.read(path) for path in STORED])
    row = next(line for line in text.split("\n") if line.startswith("| 05 "))
    assert "(03_mini_batch_statistics.md)" in row
    assert re.search(r"\| \d\d \| \[", row)


# ---------------------------------------------------------------- links


def linked(text, repository=None):
    return site.LINK.sub(lambda m: site.site_link(m, "05_where_it_goes", repository), text)


@pytest.mark.parametrize(
    ("written", "on_the_site"),
    [
        ("[03](03_mini.ipynb)", "[03](03_mini.md)"),
        ("[m](03_mini.ipynb#The-law)", "[m](#03-the-law)"),
        ("[m](03_mini.ipynb#The%20law)", "[m](#03-the-law)"),
        ("[unit](00_start_here.ipynb#cell-id=words-01)", "[unit](#00-cell-id-words-01)"),
        ("[above](#Play:-step-through)", "[above](#05-play-step-through)"),
        ("[README](../README.md)", "[README](index.md)"),
        ("[data](../data/README.md)", "[data](digits.md)"),
        ("[paper](https://arxiv.org/abs/1502.03167)", "[paper](https://arxiv.org/abs/1502.03167)"),
        ("[the script](../data/build_10_runs.py)", "the script"),
        ("![a picture](images/readme.png)", "![a picture](images/readme.png)"),
        ("$E[x](y)$ and `a[0](b)`", "$E[x](y)$ and `a[0](b)`"),
    ],
)
def test_link_leads_to_where_the_site_has_it(written, on_the_site):
    assert linked(written) == on_the_site


def test_link_into_the_repository_leads_to_github_where_its_name_is_known():
    found = linked("[the script](../data/build_10_runs.py)", "someone/bn")
    assert found == "[the script](https://github.com/someone/bn/blob/HEAD/data/build_10_runs.py)"


def test_page_of_a_text_has_one_title():
    text = "# A\n\n## b\n\n```sh\n# a comment\n```\n\n# C\n\n## d\n"
    assert site.one_title(text) == text.replace("## d", "### d").replace("# C", "## C")


def test_bar_says_that_nothing_runs_on_a_page():
    assert "Nothing runs here" in site.bar(site.read(STORED[0]), None)


def test_bar_offers_only_what_is_there():
    notebook = site.read(STORED[0])
    assert "binder" not in site.bar(notebook, None)
    assert "download" in site.bar(notebook, None)
    both = site.bar(notebook, "someone/bn")
    assert f"mybinder.org/v2/gh/someone/bn/HEAD?urlpath=lab/tree/notebooks/{STORED[0].name}" in both
    assert f"colab.research.google.com/github/someone/bn/blob/colab/{STORED[0].name}" in both


@pytest.mark.parametrize("name", ["bn", "https://github.com/someone/bn", 'a/b"><script>'])
def test_repository_is_an_owner_and_a_name(monkeypatch, name):
    monkeypatch.setenv("BNLIB_REPOSITORY", name)
    with pytest.raises(SystemExit, match="owner/name"):
        site.repository()


# ---------------------------------------------------------------- for Colab


@pytest.mark.parametrize("path", STORED, ids=lambda path: path.stem)
def test_colab_copy_installs_the_library_first(path):
    nb = nbformat.reads(site.for_colab(site.read(path), "someone/bn"), as_version=4)
    nbformat.validate(nb)
    first = next(cell for cell in nb.cells if cell.cell_type == "code")
    assert "bnlib @ git+https://github.com/someone/bn" in first.source
    assert all(not cell.outputs for cell in nb.cells if cell.cell_type == "code")
    prose = "\n".join(cell.source for cell in nb.cells if cell.cell_type == "markdown")
    assert re.findall(r"(?<!!)\[[^\]]*\]\((?!https?:|#|mailto:)[^)]*\)", prose) == []


# ---------------------------------------------------------------- explorers


A_LINE = """
from bnlib.course import claim
from bnlib.course.kit.explorer import Explorer, Slider

class Line(Explorer):
    title, alt = "A line", "A straight line through the origin."
    controls, size = (Slider("a", "slope", 0, 2, 1, 1),), (2.0, 1.0)

    def draw(self, fig):
        return fig.subplots().plot([0, 1], [0, 1])[0]

    def update(self, line, a):
        line.set_ydata([0, a])
        return f"The slope is {a:g}."

claim("nothing is judged here", False)
"""


def explorer_notebook(said):
    """Cells that make an explorer, and a stored output that has it say something."""
    data = {site.WIDGET: {}, "text/plain": said}
    return [
        {"cell_type": "code", "source": A_LINE, "outputs": []},
        {"cell_type": "code", "source": "Line()", "outputs": [{"data": data}]},
    ]


@pytest.fixture
def untouched(monkeypatch):
    """What run_to_explorers stops from judging and drawing comes back after the test."""
    import bnlib.course

    for name in drawn.IDLE:
        monkeypatch.setattr(bnlib.course, name, getattr(bnlib.course, name))


@pytest.mark.usefixtures("untouched")
def test_cells_run_up_to_the_explorer_without_being_judged():
    found = drawn.run_to_explorers(explorer_notebook("Explorer “A line”: The slope is 1."))
    assert found[1].values == {"a": 1}


@pytest.mark.usefixtures("untouched")
def test_explorer_that_says_something_else_than_the_notebook_is_refused():
    with pytest.raises(ValueError, match=r"the notebook stores 'Explorer “Other”: no\.'"):
        drawn.run_to_explorers(explorer_notebook("Explorer “Other”: no."))


def test_fingerprint_changes_with_the_cells():
    cells = explorer_notebook("Explorer “Other”: no.")
    before = drawn.fingerprint("00", cells)
    assert drawn.fingerprint("00", cells) == before
    cells[0]["source"] += "\n# changed"
    assert drawn.fingerprint("00", cells) != before


def test_page_of_an_explorer_stands_without_a_script(tmp_path):
    page = {
        "spec": {"title": "A </script> line", "alt": "A line.", "width": 300, "height": 200},
        "raw": {},
        "start": 1,
        "sentences": ["flat", "steep & long"],
        "pictures": ["0.webp", "1.webp"],
    }
    (tmp_path / "page.json").write_text(json.dumps(page))
    text = site.explorer(tmp_path, "frames/03-Line")
    data = re.search(r'<script type="application/json">(.*?)</script>', text, re.DOTALL)[1]
    assert json.loads(data)["pictures"] == ["frames/03-Line/0.webp", "frames/03-Line/1.webp"]
    assert '<img src="frames/03-Line/1.webp" alt="A line." width="300" height="200"' in text
    assert "<p>steep &amp; long</p>" in text


def test_explorer_script_is_no_module():
    script = site.explorer_script()
    assert not re.search(r"^\s*(export|import)\b", script, re.MULTILINE)
    assert "play(document)" in script


# ---------------------------------------------------------------- packages of JavaScript


@pytest.fixture
def registry(monkeypatch):
    """A registry with one small package; returns the list of what was asked of it."""
    asked, stream = [], io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:gz") as tar:
        info = tarfile.TarInfo("package/small.js")
        info.size = 2
        tar.addfile(info, io.BytesIO(b"1;"))

    def run(command, cwd, **options):
        asked.append(command[2])
        (cwd / "small-1.0.0.tgz").write_bytes(stream.getvalue())
        return subprocess.CompletedProcess(command, 0, "", "")

    monkeypatch.setattr(vendor.subprocess, "run", run)
    monkeypatch.setattr(vendor.shutil, "which", lambda name, path=None: "npm")
    checksum = hashlib.sha256(stream.getvalue()).hexdigest()
    monkeypatch.setattr(vendor, "PACKAGES", {"small": ("1.0.0", checksum)})
    return asked


def test_fetch_asks_once(registry, tmp_path):
    first, second = vendor.fetch("small", tmp_path), vendor.fetch("small", tmp_path)
    assert first == second == tmp_path / "small-1.0.0"
    assert (first / "small.js").read_text() == "1;"
    assert registry == ["small@1.0.0"]


def test_fetch_refuses_what_has_another_checksum(registry, tmp_path, monkeypatch):
    monkeypatch.setattr(vendor, "PACKAGES", {"small": ("1.0.0", "0" * 64)})
    with pytest.raises(vendor.Missing, match="came with checksum"):
        vendor.fetch("small", tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_fetch_says_what_is_missing(registry, tmp_path, monkeypatch):
    monkeypatch.setattr(vendor.shutil, "which", lambda name, path=None: None)
    with pytest.raises(vendor.Missing, match=r"install Node\.js, or the extra `site`"):
        vendor.fetch("small", tmp_path)


def test_fetch_of_a_package_that_is_not_ours_names_ours():
    with pytest.raises(vendor.Missing, match="jquery is no package of ours; there are axe-core"):
        vendor.fetch("jquery")
