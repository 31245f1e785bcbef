"""The decks as a lecturer has them: built from the notebooks, opened from the disk in Chromium.

SLIDES_NOTEBOOKS="03 05" builds and looks at these alone; SLIDES_OPTIONS="--stills" draws no
explorer.
Every deck is opened once as large as a slide and once larger; what was seen is in `seen`, and the
tests read it.
"""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
OUT = ROOT / ".out" / "slides"
SIZES = {"1280×720": (1280, 720), "1920×1080": (1920, 1080)}
SMALLEST, LOWEST = 24, 200  # a letter's size and a picture's height in pixels, on 1280×720

# Every slide before its fragments and after them: what reaches over the edge of its box, which
# letters are small, which pictures are low. Measured as it is seen: a slide may be scaled up.
MEASURE = """([smallest, lowest]) => {
  const found = { outside: [], small: [], low: [] };
  const scale = innerWidth / 1280, named = (node) =>
    `${node.tagName.toLowerCase()}.${node.getAttribute("class") ?? ""}`;
  const steps = Reveal.getSlides().flatMap((slide, i) =>
    slide.querySelector(".fragment") ? [[i, -1], [i, 99]] : [[i, -1]]);
  for (const [i, fragment] of steps) {
    Reveal.slide(i, 0, fragment);
    const slide = Reveal.getCurrentSlide(), body = slide.querySelector(".body");
    const here = `slide ${i + 1}: `, whole = slide.getBoundingClientRect();
    const inside = (box, node, what) => {
      const { left, right, top, bottom } = node.getBoundingClientRect();
      const over = Math.max(box.left - left, right - box.right, box.top - top, bottom - box.bottom);
      if (over > 1) found.outside.push(`${here}${named(node)} by ${Math.round(over)} px, ${what}`);
    };
    if (Math.abs(whole.width - innerWidth) > 1 || Math.abs(whole.height - innerHeight) > 1)
      found.outside.push(`${here}the slide is ${whole.width} × ${whole.height}`);
    const stage = body.getBoundingClientRect();
    const unseen = ".notes, .notes *, .unseen, .unseen *, svg *";
    for (const node of slide.querySelectorAll(`:not(${unseen})`)) {
      if (!node.checkVisibility()) continue;
      if (getComputedStyle(node).display === "inline" && !node.matches("svg, img")) continue;
      if (body.contains(node) && node !== body && !node.matches(".course"))
        inside(stage, node, "its place");
      else inside(whole, node, "the slide");
      const { scrollHeight, scrollWidth, clientHeight, clientWidth } = node;
      if (clientHeight && !node.matches("svg, img, input") &&
          (scrollHeight > clientHeight + 2 || scrollWidth > clientWidth + 2))
        found.outside.push(`${here}${named(node)} holds more than it shows`);
    }
    if (slide.scrollHeight > slide.clientHeight || slide.scrollWidth > slide.clientWidth)
      found.outside.push(`${here}scrolls`);
    const letters = document.createTreeWalker(slide, NodeFilter.SHOW_TEXT);
    for (let text; (text = letters.nextNode());) {
      const parent = text.parentElement;
      if (!text.data.trim() || parent.closest(".notes, .unseen, svg, script, style")) continue;
      if (!parent.checkVisibility()) continue;
      const zoom = whole.width / slide.offsetWidth;
      const size = parseFloat(getComputedStyle(parent).fontSize) * zoom;
      if (size < smallest * scale - 0.1)
        found.small.push(`${here}${text.data.trim().slice(0, 40)}: ${size} px`);
    }
    for (const image of slide.querySelectorAll("img")) {
      const { width, height } = image.getBoundingClientRect();
      const high = Math.min(height, (width * image.naturalHeight) / image.naturalWidth);
      if (!(high >= lowest * scale)) found.low.push(`${here}${Math.round(high)} px high`);
    }
  }
  found.outside = [...new Set(found.outside)];
  found.small = [...new Set(found.small)];
  found.low = [...new Set(found.low)];
  return found;
}"""
FACTS = """() => ({
  slides: Reveal.getTotalSlides(),
  silent: [...document.images].filter((i) => !i.alt.trim()).length,
  raw: [...document.querySelectorAll("section")].map((s) => s.innerText)
    .filter((text) => /\\$[^$\\n]+\\$|\\\\frac|[\\ue000\\ue001]/.test(text)),
  notes: [...document.querySelectorAll("section")].filter((s) => s.querySelector(".notes")).length,
})"""
# axe sees what is shown: show all slides, one below the other.
ALL = """.reveal .slides { position: static !important; transform: none !important; }
.reveal .slides > section { display: flex !important; position: relative !important;
  opacity: 1 !important; visibility: visible !important; }
html, body, .reveal, .reveal-viewport { height: auto !important; overflow: visible !important; }
.fragment { opacity: 1 !important; visibility: visible !important; }"""
AXE = """async () => {
  for (const slide of document.querySelectorAll(".slides > section")) {
    slide.removeAttribute("hidden");
    slide.removeAttribute("aria-hidden");
  }
  return (await axe.run({ resultTypes: ["violations"], preload: false })).violations
    .filter((v) => ["serious", "critical"].includes(v.impact))
    .map((v) => `${v.id}: ${v.nodes.length} × ${v.nodes[0].html.slice(0, 150)}`);
}"""


@pytest.fixture(scope="session")
def decks(chromium):
    """The pages of the decks, built now, PDFs too."""
    names = os.environ.get("SLIDES_NOTEBOOKS", "").split()
    options = os.environ.get("SLIDES_OPTIONS", "").split()
    command = [sys.executable, ROOT / ".make" / "slides.py", *names, *options]
    env = {**os.environ, "CHROMIUM": chromium}
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return sorted(OUT.glob("[0-9][0-9]_*.html"))


def visit(context, path, size=(1280, 720), query=""):
    """Open a deck from the disk: (the page, what it asked for, what went wrong)."""
    page = context.browser.new_page(viewport={"width": size[0], "height": size[1]})
    asked, wrong = [], []
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("console", lambda m: wrong.append(m.text) if m.type == "error" else None)
    page.on("requestfailed", lambda request: wrong.append(f"failed: {request.url}"))
    page.on("request", lambda request: asked.append(request.url))
    page.goto(path.as_uri() + query)
    page.wait_for_function("() => window.ready")
    return page, asked, wrong


def go_to(page, selector):
    """Show the first slide that has such a thing; is there one?"""
    script = """(selector) => {
      const slide = document.querySelector(selector)?.closest("section");
      if (slide) Reveal.slide(Reveal.getSlides().indexOf(slide));
      return Boolean(slide);
    }"""
    return page.evaluate(script, selector)


def move_explorer(page):
    """Press arrow keys on a deck's first explorer; what does not go as it should, as lines."""
    if not go_to(page, ".bn-explorer"):
        return []
    trouble, place = [], page.locator(".bn-explorer").first
    sentence, picture = place.locator(".bn-state"), place.locator("img")
    number = page.evaluate("Reveal.getIndices().h")
    control = place.locator("input:visible").first
    kind = control.get_attribute("type")
    before = [sentence.inner_text(), picture.get_attribute("src")]
    control.focus()
    for key in ("Space",) if kind == "checkbox" else ("ArrowLeft", "ArrowRight", "ArrowRight"):
        page.keyboard.press(key)
        if [sentence.inner_text(), picture.get_attribute("src")] != before:
            break
    else:
        trouble.append("neither sentence nor picture follows the keys")
    if sentence.get_attribute("role") != "status":
        trouble.append("the sentence is no status")
    if page.evaluate("Reveal.getIndices().h") != number:
        trouble.append("the keys of the explorer turned the slide")
    page.keyboard.press("PageDown")
    for _ in range(9):  # its fragments
        page.keyboard.press("PageDown")
    if page.evaluate("Reveal.getIndices().h") == number:
        trouble.append("Page Down does not leave the explorer")
    return trouble


def count_votes(page):
    """Count on a deck's first tally by keys and clicks: {letter: votes} after coming back."""
    if not go_to(page, ".tally"):
        return None
    for key in ("a", "a", "b", "Shift+A"):
        page.keyboard.press(key)
    page.locator(".present [data-letter=B] [data-step='1']").click()
    page.keyboard.press("Space")
    page.keyboard.press("ArrowLeft")
    rows = page.locator(".tally").first.locator("li").all()[:2]
    return [int(row.locator("output").inner_text()) for row in rows]


@pytest.fixture(scope="session")
def seen(context, decks, axe):
    """{(deck, size): what was seen there}"""
    found = {}
    for path in decks:
        for name, size in SIZES.items():
            page, asked, wrong = visit(context, path, size)
            facts = page.evaluate(MEASURE, [SMALLEST, LOWEST]) | page.evaluate(FACTS)
            if name == "1280×720":
                facts["votes"], facts["explorer"] = count_votes(page), move_explorer(page)
                page.add_style_tag(content=ALL)
                page.add_script_tag(content=axe)
                facts["axe"] = page.evaluate(AXE)
            found[path.stem, name] = facts | {"asked": asked, "wrong": wrong}
            page.close()
    return found


def faults(seen, what):
    """{(deck, size): what is not empty there}"""
    return {key: facts[what] for key, facts in seen.items() if facts.get(what)}


# ---------------------------------------------------------------- every slide of every deck


def test_nothing_reaches_over_the_edge_of_a_slide(seen):
    assert faults(seen, "outside") == {}


def test_letters_can_be_read_from_the_back_row(seen):
    assert faults(seen, "small") == {}


def test_pictures_are_large(seen):
    assert faults(seen, "low") == {}


def test_formulas_are_typeset(seen):
    assert faults(seen, "raw") == {}


def test_every_picture_has_a_text(seen):
    assert faults(seen, "silent") == {}


def test_every_slide_has_notes(seen):
    assert {
        key: f["slides"] - f["notes"] for key, f in seen.items() if f["slides"] != f["notes"]
    } == {}


def test_no_request_leaves_the_disk(seen):
    strange = {
        key: [url for url in facts["asked"] if not url.startswith(("file:", "data:", "blob:"))]
        for key, facts in seen.items()
    }
    assert {key: urls for key, urls in strange.items() if urls} == {}


def test_nothing_goes_wrong(seen):
    assert faults(seen, "wrong") == {}


def test_axe_finds_nothing_serious(seen):
    assert faults(seen, "axe") == {}


def test_votes_are_counted_and_kept(seen):
    counted = {key: facts["votes"] for key, facts in seen.items() if facts.get("votes")}
    assert counted
    assert {key: votes for key, votes in counted.items() if votes != [1, 2]} == {}


def test_explorers_answer_to_their_own_keys(seen):
    assert faults(seen, "explorer") == {}


@pytest.mark.skipif("--no-pdf" in os.environ.get("SLIDES_OPTIONS", ""), reason="no PDFs were made")
def test_pdf_has_a_page_for_each_slide(seen, decks):
    for path in decks:
        pages = len(re.findall(rb"/Type\s*/Page\b", path.with_suffix(".pdf").read_bytes()))
        assert pages == seen[path.stem, "1280×720"]["slides"], path.stem


# ---------------------------------------------------------------- what a lecturer does


def test_ready_to_print_means_that_all_pages_are_laid_out(context, decks):
    page = context.browser.new_page()
    page.add_init_script(  # reveal.js waits for frames before it lays the pages out
        "const next = requestAnimationFrame;"
        "window.requestAnimationFrame = (f) => setTimeout(next, 500, f);"
    )
    page.goto(decks[0].as_uri() + "?print-pdf")
    page.wait_for_function("() => window.ready")
    laid_out, slides = page.evaluate(
        """() => [".pdf-page", ".slides section"].map((s) => document.querySelectorAll(s).length)"""
    )
    page.close()
    assert laid_out == slides


def test_bars_in_formulas_are_cut_to_length(context, decks):
    script = """() => [...document.querySelectorAll(".formula svg svg")]
      .filter((part) => getComputedStyle(part).overflow === "visible").length"""
    for path in decks:
        page, *_ = visit(context, path)
        assert page.evaluate(script) == 0, path.stem
        page.close()


def test_votes_survive_a_reload(context, decks):
    page, _, _ = visit(context, next(p for p in decks if "tally" in p.read_text("utf-8")))
    go_to(page, ".tally")
    page.keyboard.press("b")
    page.reload()
    page.wait_for_function("() => window.ready")
    go_to(page, ".tally")
    assert page.locator(".tally [data-letter=B] output").first.inner_text() == "1"
    page.close()


def test_speaker_sees_notes_and_minutes(context, decks):
    page, *_ = visit(context, decks[0])
    with page.expect_popup() as popup:
        page.keyboard.press("s")
    notes = popup.value.locator(".speaker-controls-notes .value")
    notes.get_by_text("Say", exact=True).wait_for()
    first = notes.inner_text()
    assert re.search(r"0–[\d.]+ of \d+ minutes", first)
    page.keyboard.press("End")
    popup.value.wait_for_function(
        "(first) => document.querySelector('.speaker-controls-notes .value').innerText !== first",
        arg=first,
    )
    popup.value.close()
    page.close()


def test_index_leads_to_every_deck(context, decks):
    page = context.browser.new_page()
    page.goto((OUT / "index.html").as_uri())
    targets = page.eval_on_selector_all("td a", "links => links.map(a => a.getAttribute('href'))")
    assert {path.name for path in decks} <= set(targets)
    assert {path.with_suffix(".pdf").name for path in decks} <= set(targets)
    page.close()


def test_measuring_sees_a_slide_that_is_too_full(context, decks):
    page, _, _ = visit(context, decks[0])
    page.evaluate("""() => {
      const text = document.createElement("p");
      text.textContent = "much too much ".repeat(200);
      text.style.fontSize = "23px";
      document.querySelectorAll("section .body")[1].append(text);
    }""")
    found = page.evaluate(MEASURE, [SMALLEST, LOWEST])
    assert [line for line in found["outside"] if line.startswith("slide 2: p.")]
    assert [line for line in found["small"] if line.startswith("slide 2: much")]
    page.close()
