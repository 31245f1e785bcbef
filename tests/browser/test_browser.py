"""Every notebook in a real JupyterLab: it runs, its explorers move, and nobody is kept out."""

import io
import statistics
from pathlib import Path

import nbformat
import numpy as np
import pytest

Image = pytest.importorskip("PIL.Image")

ROOT = Path(__file__).resolve().parents[2]
NAMES = sorted(path.name for path in (ROOT / "notebooks").glob("*.ipynb"))
SCREENSHOTS = ROOT / ".out" / "screenshots"
OURS = (".bn", ".bn-explorer", ".bn-asked", ".jp-RenderedHTML", ".jp-RenderedMarkdown")
SILENCE = "Run → Run All Above Selected Cell"
PRESSES = 10
SLOWEST = 1000  # milliseconds from key to picture; the aim is 100, and a busy machine is slower


@pytest.mark.parametrize("name", NAMES)
def test_notebook(lab, axe, name, capsys):
    """One visit, as a learner makes it; it is long because opening and running is the slow part."""
    stem = name.removesuffix(".ipynb")
    lab.open(name)
    lab.show_all()
    assert lab.broken_pictures() == [], "as stored, before anything was run"
    assert not lab.page.locator(".bn-asked").count(), "a notebook opened first is not trusted"
    if name[:2] != "00":
        assert lab.page.get_by_text("run this cell to open it").count() > 5
    assert lab.run_all() == []
    lab.show_all()
    assert lab.broken_pictures() == []

    explorers = lab.explorers()
    assert explorers or stem.startswith("00"), "no explorer is shown"
    for explorer in explorers:
        title, picture = explorer.locator(".bn-title").text_content(), explorer.locator("img")
        sentence = explorer.locator("[aria-live]")
        times, sentences = [], {sentence.text_content()}
        for control in lab.controls(explorer):
            lab.tab_to(explorer, control)
            forth, back = keys_of(control)
            before = lab.pixels(picture)
            times.append(lab.press(explorer, control, forth))
            lab.page.wait_for_timeout(100)
            assert differ(before, lab.pixels(picture)), f"{title}: the picture did not change"
            sentences.add(sentence.text_content())
            if control.get_attribute("type") == "range":
                keys = [back, forth] * (PRESSES // 2)
                times += [lab.press(explorer, control, key) for key in keys]
        assert len(sentences) > 1, f"{title}: the sentence never changed"
        median = statistics.median(times)
        with capsys.disabled():
            print(f"\n{stem}: “{title}”: key to picture {median:.0f} ms (median of {len(times)})")
        assert median < SLOWEST

    assert lab.faults(axe, *present(lab, OURS)) == []
    lab.screenshots(SCREENSHOTS / stem)
    assert lab.problems == []


AGAIN = """async () => window.jupyterapp.commands.execute('rendermime:handle-local-link',
  { path: '00_start_here.ipynb', id: '#cell-id=words-03' })"""
IN_SIGHT = """heading => {
  const { top, bottom } = heading.getBoundingClientRect();
  return top > 0 && bottom < window.innerHeight;
}"""


def test_a_word_leads_to_the_glossary(lab):
    """To the words of notebook 03, when 00 is open, as it is after `make lab`.

    A notebook that a link opens is shown from its top: JupyterLab scrolls before it has drawn it.
    """
    lab.open("03_mini_batch_statistics.ipynb")
    lab.page.get_by_role("link", name="batch", exact=True).first.click()
    words = lab.page.get_by_role("heading", name="Notebook 03: the statistics of a mini-batch")
    words.wait_for(timeout=60_000)
    lab._ask(AGAIN)
    lab.page.wait_for_function(IN_SIGHT, arg=words.element_handle())
    assert lab.problems == []


@pytest.fixture(scope="module")
def chapter(new_page):
    """Notebook 03, run once, for the tests that look at one thing each."""
    page = new_page()
    page.open("03_mini_batch_statistics.ipynb")
    assert page.run_all() == []
    page.show_all()
    yield page
    page.close()


def test_hint_comes_when_it_is_asked(chapter):
    """By keyboard alone; read out as a button that opens; its formulas typeset."""
    button = chapter.page.get_by_role("button", name="Hint for 3.5")
    panel = chapter.page.locator(f"id={button.get_attribute('aria-controls')}")
    assert button.get_attribute("aria-expanded") == "false"
    assert panel.text_content() == ""
    button.focus()
    chapter.page.keyboard.press("Enter")
    chapter.page.wait_for_function(
        "button => button.ariaExpanded === 'true'", arg=button.element_handle()
    )
    assert panel.is_visible()
    assert len(panel.text_content()) > 30
    panel.locator("mjx-container").first.wait_for()
    assert "$" not in panel.text_content()
    chapter.page.keyboard.press("Enter")
    assert button.get_attribute("aria-expanded") == "false"
    assert not panel.is_visible()


def test_hints_come_one_after_the_other(chapter):
    chapter.page.get_by_role("button", name="Hint for 3.2").click()
    chapter.page.get_by_role("button", name="One more hint").first.click()
    assert chapter.page.get_by_role("button", name="Hint for 3.2").is_visible()


def test_quiz_answers_when_an_option_is_chosen(chapter):
    quiz = chapter.page.locator(".bn-asked").last
    group = quiz.get_by_role("group").first
    answer = quiz.get_by_role("status").first
    assert answer.text_content() == ""
    said = []
    for button in group.get_by_role("button").all():
        button.click()
        chapter.page.wait_for_function(
            "([node, before]) => node.textContent && node.textContent !== before",
            arg=[answer.element_handle(), (said or [""])[-1]],
        )
        said.append(answer.text_content())
        assert button.get_attribute("aria-pressed") == "true"
    assert sum("✓ Right." in text for text in said) == 1
    assert sum("✗ No." in text for text in said) == len(said) - 1


def test_what_is_asked_is_open_to_all(chapter, axe):
    for theme in ("JupyterLab Dark", "JupyterLab Light"):
        chapter.theme(theme)
        assert chapter.faults(axe, *present(chapter, OURS)) == [], theme
        assert dull_borders(chapter) == [], theme


def test_dull_border_is_seen(broken):
    assert dull_borders(broken) == [".bn: contrast 1.4"]


def dull_borders(lab):
    """Our cards whose border stands out less than 3 to 1 from the page."""
    return lab.page.evaluate("""() => {
      const color = (text) => text.match(/[\\d.]+/g).map(Number);
      const luminance = (rgb) => rgb.slice(0, 3).map((c) => c / 255)
        .map((c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4))
        .reduce((sum, c, i) => sum + [0.2126, 0.7152, 0.0722][i] * c, 0);
      const ground = (node) => {
        const found = color(getComputedStyle(node).backgroundColor);
        return found.length === 4 && !found[3] ? ground(node.parentElement) : found;
      };
      const dull = new Set();
      for (const name of ['.bn', '.bn-explorer', '.bn-asked'])
        for (const node of document.querySelectorAll(name))
          for (const side of ['Left', 'Right']) {
            const pair = [color(getComputedStyle(node)[`border${side}Color`]),
              ground(node.parentElement)].map(luminance).sort();
            const contrast = (pair[1] + 0.05) / (pair[0] + 0.05);
            if (contrast < 3) dull.add(`${name}: contrast ${contrast.toFixed(1)}`);
          }
      return [...dull];
    }""")


def test_cells_run_again_leave_no_widget_behind(chapter):
    before = chapter.living_widgets()
    for source in ("nb03.BatchMeans(", 'hint("3.2")', "quiz("):
        chapter.run_cell(source)
    assert chapter.living_widgets() == before


def test_second_day(lab):
    """Saved, the kernel ended, opened again: the last picture stands, and it says what to do."""
    name = "03_mini_batch_statistics.ipynb"
    lab.open(name)
    assert lab.run_all() == []
    lab.show_all()
    explorer = lab.explorers()[0]
    lab.press(explorer, lab.controls(explorer)[-1], "ArrowLeft")
    lab.page.wait_for_timeout(500)
    sentence = explorer.locator(".bn-state").text_content()
    lab.next_day(name)
    assert lab.broken_pictures() == []
    assert not lab.page.get_by_text("Error displaying widget").count()
    explorer = lab.explorers()[0]
    assert explorer.locator(".bn-state").text_content() == sentence
    control = lab.controls(explorer)[-1]
    control.focus()
    lab.page.keyboard.press("ArrowRight")
    explorer.get_by_text(SILENCE).wait_for(timeout=8000)
    asked = lab.page.locator(".bn-asked").first
    asked.get_by_role("button").first.click()
    asked.get_by_text(SILENCE).wait_for(timeout=8000)
    assert lab.run_all() == []
    lab.show_all()
    explorer = lab.explorers()[0]
    lab.press(explorer, lab.controls(explorer)[-1], "ArrowLeft")
    assert lab.problems == []


def keys_of(control):
    """The key that changes a control, and the one that takes the change back."""
    kind = control.get_attribute("type")
    if kind == "checkbox":
        return "Space", "Space"
    if kind == "radio":
        return "ArrowDown", "ArrowUp"
    at_end = control.evaluate("node => node.value === node.max")
    return ("ArrowLeft", "ArrowRight") if at_end else ("ArrowRight", "ArrowLeft")


def present(lab, selectors):
    """Those of the selectors that the page has elements for: axe refuses the others."""
    return [selector for selector in selectors if lab.page.locator(selector).count()]


def differ(before, after):
    """Whether two PNG files show different pixels."""
    images = [
        np.asarray(Image.open(io.BytesIO(raw)).convert("RGB"), int) for raw in (before, after)
    ]
    return images[0].shape != images[1].shape or np.abs(images[0] - images[1]).max() > 8


# ---- the helpers, shown to fail ------------------------------------------------------------------

BROKEN = [  # what cells show; the last cell raises
    '<img alt="A picture that is far away" src="http://192.0.2.1/x.png">',
    '<script>setTimeout(() => { throw new Error("a page error"); })</script>',
    '<img alt="A broken picture" src="data:image/png;base64,AAAA">',
    '<div class="bn" style="border:1px solid #ddd"><input type=range></div>',
    '<div class="bn-explorer"><input type=range aria-label="dead"><img alt="Still"></div>',
    '<div class="bn-explorer"><input type=range aria-label="far" tabindex=-1></div>',
]


@pytest.fixture(scope="module")
def broken(new_page, served):
    """A page with a notebook that has every fault we look for; errors: what its run returned."""
    sources = [f"from IPython.display import HTML\nHTML({shown!r})" for shown in BROKEN]
    cells = [nbformat.v4.new_code_cell(source) for source in [*sources, "raise ValueError('oh')"]]
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    nb = nbformat.v4.new_notebook(cells=cells, metadata={"kernelspec": kernel})
    nbformat.write(nb, served / "broken.ipynb")
    page = new_page()
    page.open("broken.ipynb")
    page.errors = page.run_all()
    page.show_all()
    yield page
    page.close()


def test_an_error_in_a_cell_is_seen(broken):
    assert broken.errors == ["cell 7: ValueError: oh"]


def test_a_request_that_leaves_the_machine_is_seen(broken):
    assert any("http://192.0.2.1/x.png" in problem for problem in broken.problems)


def test_a_page_error_is_seen(broken):
    assert any("a page error" in problem for problem in broken.problems)


def test_a_broken_picture_is_seen(broken):
    assert "A broken picture" in broken.broken_pictures()


def test_axe_sees_a_slider_without_a_name(broken, axe):
    assert any("(label)" in fault for fault in broken.faults(axe, ".bn"))


def test_a_slider_that_does_nothing_is_seen(broken):
    explorer = broken.explorers()[0]
    with pytest.raises(AssertionError, match="brought no new picture"):
        broken.press(explorer, explorer.locator("input"), "ArrowRight", patience=1)


def test_a_slider_out_of_the_keyboards_reach_is_seen(broken):
    explorer = broken.explorers()[1]
    with pytest.raises(AssertionError, match="did not reach the control"):
        broken.tab_to(explorer, explorer.locator("input"), at_most=5)


def test_differ_sees_one_bar_and_not_a_shade():
    plain = Image.new("RGB", (60, 40), "white")
    bar, shade = plain.copy(), Image.new("RGB", (60, 40), (252, 252, 252))
    bar.paste((0, 114, 178), (10, 10, 14, 40))
    raws = []
    for image in (plain, bar, shade):
        stream = io.BytesIO()
        image.save(stream, "png")
        raws.append(stream.getvalue())
    assert differ(raws[0], raws[1])
    assert not differ(raws[0], raws[2])
    assert not differ(raws[0], raws[0])
