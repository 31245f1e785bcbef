"""The website as a reader has it: built from the notebooks, opened in headless Chromium.

SITE_NOTEBOOKS="03 05" builds and looks at these alone. Every page is visited once as a wide light
page, once as a dark one and once on a phone; what was seen is in `seen`, and the tests read it.
"""

import functools
import http.server
import itertools
import os
import re
import subprocess
import sys
import threading
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urldefrag, urljoin

import pytest

ROOT = Path(__file__).resolve().parents[2]
SITE = ROOT / ".out" / "site"
PHONE = 390  # CSS pixels

FACTS = """() => ({
  headings: [...document.querySelectorAll("h1, h2, h3, h4, h5, h6")]
    .filter((h) => h.checkVisibility()).map((h) => Number(h.tagName[1])),
  silent: [...document.images].filter((i) => !i.alt.trim()).map((i) => i.src),
  formulas: document.querySelectorAll("mjx-container").length,
  raw: [...document.querySelectorAll(".mathjax_process, .math")]
    .filter((node) => /\\$[^$]+\\$|\\\\\\(/.test(node.innerText)).map((node) => node.innerText),
})"""
AXE = """async () => (await axe.run({resultTypes: ["violations"], preload: false})).violations
  .filter((v) => ["serious", "critical"].includes(v.impact))
  .map((v) => `${v.id}: ${v.nodes.length} × ${v.nodes[0].html.slice(0, 150)}`)"""
WHOLE = """() => [...document.images].every((image) => {
  image.loading = "eager";
  return image.complete;
})"""
DARK = "document.documentElement.dataset.theme === 'dark'"
TYPESET = "() => !window.MathJax?.startup?.promise || MathJax.startup.promise.then(() => true)"


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *words):
        pass


@pytest.fixture(scope="session")
def built():
    """The folder of the site, built now."""
    pytest.importorskip("sphinx", reason="the extra `site` is not installed")
    names = os.environ.get("SITE_NOTEBOOKS", "").split()
    command = [sys.executable, ROOT / ".make" / "website.py", *names]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return SITE


@pytest.fixture(scope="session")
def address(built):
    """Where a server shows the site: not at its root, as on a code host's pages."""
    handler = functools.partial(Quiet, directory=built.parent)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/{built.name}/"
    server.shutdown()
    server.server_close()


def pages(built):
    return sorted(path.relative_to(built).as_posix() for path in built.rglob("*.html"))


def visit(context, url, **options):
    """Open an address: (the page, what it asked for, what went wrong)."""
    page = context.browser.new_page(**options)
    asked, wrong = {}, []
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("console", lambda m: wrong.append(m.text) if m.type == "error" else None)
    page.on("requestfailed", lambda request: wrong.append(f"failed: {request.url}"))
    page.on("request", lambda request: asked.setdefault(request.url, 0))
    page.on("response", lambda r: asked.update({r.url: int(r.headers.get("content-length", 0))}))
    page.goto(url)
    page.evaluate(TYPESET)
    return page, asked, wrong


@pytest.fixture(scope="session")
def seen(context, built, address, axe):
    """{page: what was seen there}"""
    found = {}
    for name in pages(built):
        page, asked, wrong = visit(context, address + name)
        page.wait_for_function(WHOLE)
        facts = page.evaluate(FACTS) | {"asked": dict(asked), "wrong": wrong}
        page.add_script_tag(content=axe)
        page.add_style_tag(content="* { transition: none !important }")  # colours on their way
        facts["axe"] = page.evaluate(AXE)
        page.emulate_media(color_scheme="dark")
        page.wait_for_function(DARK)
        facts["axe, dark"] = page.evaluate(AXE)
        page.emulate_media(color_scheme="light")
        page.set_viewport_size({"width": PHONE, "height": 800})
        facts["width"] = page.evaluate("document.documentElement.scrollWidth")
        found[name] = facts
        page.close()
    return found


def faults(seen, what):
    """{page: what is not empty there}"""
    return {name: facts[what] for name, facts in seen.items() if facts[what]}


# ---------------------------------------------------------------- every page


def test_no_request_leaves_the_address(seen, address):
    strange = {
        name: [url for url in facts["asked"] if not url.startswith((address, "data:", "blob:"))]
        for name, facts in seen.items()
    }
    assert {name: urls for name, urls in strange.items() if urls} == {}


def test_nothing_goes_wrong(seen):
    assert faults(seen, "wrong") == {}


def test_axe_finds_nothing_serious(seen):
    assert faults(seen, "axe") == {}


def test_dark_pages_can_be_read(seen):
    assert faults(seen, "axe, dark") == {}


def test_headings_go_down_one_level_at_a_time(seen):
    jumps = {}
    for name, facts in seen.items():
        levels = facts["headings"]
        steps = itertools.pairwise(levels)
        if levels[:1] != [1] or levels.count(1) != 1 or any(b > a + 1 for a, b in steps):
            jumps[name] = levels
    assert jumps == {}


def test_every_picture_has_a_text(seen):
    assert faults(seen, "silent") == {}


def test_no_page_is_wider_than_a_phone(seen):
    assert {name: f["width"] for name, f in seen.items() if f["width"] > PHONE} == {}


def test_page_weighs_less_than_3_MB_before_its_frames(seen):
    weights = {
        name: sum(size for url, size in facts["asked"].items() if "/frames/" not in url)
        for name, facts in seen.items()
    }
    assert {name: weight for name, weight in weights.items() if weight > 3e6} == {}
    assert max(weights.values()) > 1e6  # sizes were seen


def test_formulas_are_typeset(seen):
    assert faults(seen, "raw") == {}
    notebooks = {name: facts["formulas"] for name, facts in seen.items() if name[:2].isdigit()}
    assert sum(notebooks.values()) > 10 * len(notebooks)


# ---------------------------------------------------------------- links


class Links(HTMLParser):
    def __init__(self, text):
        super().__init__()
        self.targets, self.names = [], set()
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        self.targets += [attributes[key] for key in ("href", "src") if attributes.get(key)]
        self.names |= {attributes[key] for key in ("id", "name") if attributes.get(key)}


def test_every_link_inside_leads_somewhere(built):
    if os.environ.get("SITE_NOTEBOOKS"):
        pytest.skip("notebooks were left out")
    found = {name: Links((built / name).read_text(encoding="utf-8")) for name in pages(built)}
    dead = []
    for name, links in found.items():
        for target in links.targets:
            if re.match(r"[a-z]+:", target):
                continue
            path, anchor = urldefrag(urljoin(name, unquote(target)))
            path = path.partition("?")[0] or name
            if not (built / path).is_file():
                dead.append(f"{name}: {target}")
            elif anchor and path in found and anchor not in found[path].names:
                dead.append(f"{name}: {target}")
    assert dead == []


# ---------------------------------------------------------------- explorers


@pytest.fixture(scope="session")
def with_explorer(built):
    return next(n for n in pages(built) if 'class="bn-frames"' in (built / n).read_text("utf-8"))


@pytest.mark.parametrize("from_disk", [False, True], ids=["served", "from disk"])
def test_explorer_moves_by_keyboard_and_says_so(context, built, address, with_explorer, from_disk):
    url = (built / with_explorer).as_uri() if from_disk else address + with_explorer
    page, _, wrong = visit(context, url)
    place = page.locator(".bn-explorer").first
    slider, sentence = place.locator("input[type=range]").first, place.locator(".bn-state")
    picture, said = place.locator("img").get_attribute("src"), sentence.inner_text()
    slider.focus()
    page.keyboard.press("ArrowLeft")
    assert sentence.inner_text() != said
    assert sentence.get_attribute("role") == "status"
    assert place.locator("img").get_attribute("src") != picture
    page.wait_for_function("document.querySelector('.bn-explorer img').naturalWidth > 0")
    page.keyboard.press("ArrowRight")
    assert sentence.inner_text() == said
    assert wrong == []
    page.close()


def test_frames_are_fetched_when_they_are_wanted(context, address, with_explorer):
    page, asked, _ = visit(context, address + with_explorer)
    page.wait_for_function(WHOLE)
    before = {url for url in asked if "/frames/" in url}
    assert len(before) == page.locator(".bn-explorer").count()
    with page.expect_request("**/frames/**"):
        page.locator(".bn-explorer input[type=range]").first.press("ArrowLeft")
    assert len({url for url in asked if "/frames/" in url}) > len(before)
    page.close()


def test_frames_stay_within_their_limits(built):
    for folder in (built / "frames").iterdir():
        sizes = [picture.stat().st_size for picture in folder.glob("*.webp")]
        assert len(sizes) <= 300, folder.name
        assert sum(sizes) <= 2_500_000, folder.name


def test_explorer_without_scripts_is_a_picture_with_a_text(context, address, with_explorer):
    page = context.browser.new_page(java_script_enabled=False)
    page.goto(address + with_explorer)
    still = page.locator(".bn-frames > img").first
    assert still.get_attribute("alt")
    assert page.locator(".bn-frames > p").count() >= 2
    page.close()


# ---------------------------------------------------------------- what else a reader does


@pytest.mark.parametrize("from_disk", [False, True], ids=["served", "from disk"])
def test_search_finds_a_word(context, built, address, from_disk):
    where = (built / "search.html").as_uri() if from_disk else f"{address}search.html"
    page, _, wrong = visit(context, f"{where}?q=variance")
    page.wait_for_selector("#search-results li a")
    assert wrong == []
    page.close()


def test_page_from_the_disk_is_whole(context, built, with_explorer):
    page, asked, wrong = visit(context, (built / with_explorer).as_uri())
    assert wrong == []
    assert [url for url in asked if not url.startswith(("file:", "data:", "blob:"))] == []
    assert page.locator("mjx-container").count() > 10
    page.close()


def test_quiz_answers_where_it_is_asked(context, address, with_explorer):
    page, _, _ = visit(context, address + with_explorer)
    option = page.locator(".bn-option").first
    assert not option.locator("p").is_visible()
    option.locator("summary").press("Enter")
    assert re.match("✓ Right|✗ No", option.locator("p").inner_text())
    page.close()


def test_paper_shows_the_text_alone(context, address, with_explorer):
    page, _, _ = visit(context, address + with_explorer)
    page.emulate_media(media="print")
    assert not page.locator(".bd-sidebar-primary").is_visible()
    assert not page.locator(".bn-controls").first.is_visible()
    assert page.locator(".bn-state").first.is_visible()
    page.close()
