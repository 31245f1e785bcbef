"""Pages to print: a notebook's cells, or a Markdown text, as HTML, and PDFs of them by Chromium.

with printer() as print_pdf:  print_pdf(html, path, footer="05") writes a PDF and returns its pages.
Formulas are typeset by the vendored MathJax; nothing is loaded from a network. Needs the extra
`course` (nbconvert's Markdown is JupyterLab's), and playwright for the printing.
"""

import contextlib
import html
import re
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
import chromium
import vendor
from frames import joined
from website import highlighted, without_style

CSS = Path(__file__).resolve().parent / "handout" / "paper.css"
ASKS = re.compile(r'\s*((hint|solution|settle|quiz|check)\("[\d.]+".*\)\s*)+')
SHOWN = r"\$\$.*?\$\$"  # a formula on lines of its own
FORMULA = re.compile(rf"{SHOWN}|(\(?)\$[^$]+\$([.,;:?!)]*)", re.DOTALL)  # with its marks
LEADS = re.compile(  # a paragraph that belongs to what follows
    r"<p>(?=<strong>(?:Exercise \d|[^<]*</strong></p>)|(?:(?!</?p>).)*:(?:</\w+>)*</p>)", re.DOTALL
)
ENDS = re.compile(r"<p>(?=<strong>(?:Next|Back to))")
STEPS = re.compile(r"[\d,]+ steps")  # what is left of a bar that showed progress
MATHJAX = """<script>MathJax = {tex: {inlineMath: [["$", "$"], ["\\\\(", "\\\\)"]],
packages: {"[-]": ["noerrors", "noundefined"]}},
options: {enableMenu: false, a11y: {inTabOrder: false}}};</script><script src="%s"></script>"""


# ---- HTML ----------------------------------------------------------------------------------------


def markdown(text):
    """Markdown as JupyterLab shows it; formulas stay $…$. Links inside the course lose their
    address, for on paper they lead nowhere; what is folded is open."""
    from nbconvert.filters.markdown_mistune import markdown2html_mistune

    text = text.replace("⏩", "▶▶")  # few fonts have it
    text = re.sub(r"</summary>[ \t]*\n?(?!\n)", "</summary>\n\n", text)  # what is folded is
    text = re.sub(r"(?<!\n)\n?</details>", "\n\n</details>", text)  # Markdown, too
    page = str(markdown2html_mistune(text))
    page = re.sub(r'<a class="anchor-link".*?</a>', "", page)
    page = re.sub(r'<a href="(?!https?://)[^"]*">(.*?)</a>', r"\1", page, flags=re.DOTALL)
    page = FORMULA.sub(
        lambda m: f"<span class='whole'>{m[0]}</span>" if m[1] or m[2] else m[0], page
    )
    page = ENDS.sub("<p class='ends'>", LEADS.sub("<p class='leads'>", page))
    return page.replace("<details>", "<details open>")


def code(source):
    return highlighted(source) if source.strip() else ""


def output(found):
    """One stored output as HTML; "" where paper can show nothing."""
    data = found.get("data", {})
    text = joined(data.get("text/plain", ""))
    if found["output_type"] == "stream":
        return f"<pre class='out'>{html.escape(joined(found['text']).rstrip())}</pre>"
    if "image/png" in data:
        about = found["metadata"].get("image/png", {})
        alt = html.escape(about.get("alt", text), quote=True)
        width = f' width="{about["width"]}"' if about.get("width") else ""
        picture = joined(data["image/png"]).strip()
        return f'<img src="data:image/png;base64,{picture}" alt="{alt}"{width}>'
    if STEPS.fullmatch(text):
        return ""
    if text.startswith("Explorer “"):
        return f"<p class='play'>▶ {html.escape(text)} <em>Move it in the notebook.</em></p>"
    if "text/html" in data and not text.startswith("Figure: its text"):
        return f"<div class='out'>{without_style(joined(data['text/html']))}</div>"
    if "text/html" not in data and "application/vnd.jupyter.widget-view+json" not in data:
        return f"<pre class='out'>{html.escape(text)}</pre>"
    return ""


def cell(one):
    """A cell as HTML. Of a cell that asks or counts the code alone: the rest is for the screen."""
    source = joined(one["source"])
    kind = one.get("metadata", {}).get("bnlib", "")
    if one["cell_type"] == "markdown":
        text = markdown(source)
        return f'<div class="{kind}">{text}</div>' if kind else text
    if ASKS.fullmatch(source):
        return ""
    asks = re.search(r"^(check|progress|certificate)\(", source, re.MULTILINE)
    outputs = [] if asks else [output(found) for found in one.get("outputs", ())]
    claims = re.search(r"^claim\(", source, re.MULTILINE)
    name = " class='answer'" if asks else " class='claims'" if claims else ""
    return f"<div{name}>{code(source)}{''.join(outputs)}</div>"


def page(title, body, kind=""):
    """A whole HTML page, which needs no other file but MathJax."""
    from pygments.formatters import HtmlFormatter

    script = (vendor.fetch("mathjax") / "es5" / "tex-chtml.js").as_uri()
    style = HtmlFormatter(style="bw").get_style_defs(".highlight") + CSS.read_text("utf-8")
    return (
        f"<!DOCTYPE html><html lang='en'><head><meta charset='utf-8'><title>{html.escape(title)}"
        f"</title><style>{style}</style>{MATHJAX % script}</head>"
        f"<body class='{kind}'>{body}</body></html>"
    )


def notebook(title, cells, kind):
    return page(title, "\n".join(cell(one) for one in cells), kind)


BOARDS = re.compile(r"^(?:#+ +|\*\*)(?=(left|middle|right)\b)", re.IGNORECASE | re.MULTILINE)


def board(title, text):
    """A plan of the board: what stands left, in the middle and right stands side by side, as in the
    hall. A part begins with a heading or a bold line whose first word says where."""
    places = list(BOARDS.finditer(text))
    columns = {"left": "", "middle": "", "right": ""}
    ends = [*(place.start() for place in places[1:]), len(text)]
    for one, end in zip(places, ends, strict=False):
        part = text[one.start() : end]
        columns[one[1].lower()] += markdown(part)
    head = markdown(text[: places[0].start()] if places else text)
    used = [part for part in columns.values() if part]
    shares = [400 + len(re.sub("<.*?>", "", part)) for part in used]  # of the width
    widths = " ".join(f"minmax(min-content, {share}fr)" for share in shares)
    parts = "".join(f"<section>{part}</section>" for part in used)
    grid = f"<div class='columns' style='grid-template-columns: {widths}'>{parts}</div>"
    return page(title, head + grid, "board")


# ---- PDF -----------------------------------------------------------------------------------------

READY = "() => MathJax.startup.promise.then(() => document.fonts.ready).then(() => true)"
ERRORS = """() => {
  const bad = [...document.querySelectorAll("mjx-merror")].map((e) => e.dataset.mjxError || "?");
  for (const code of document.querySelectorAll("pre, code, mjx-container, script, style")) {
    code.dataset.text = "";  // what may hold a dollar
  }
  const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walk.nextNode()) {
    const { parentElement, data } = walk.currentNode;
    if (data.includes("$") && !parentElement.closest("[data-text]")) bad.push(data);
  }
  return bad;
}"""
FOOT = """<div style="font: 8px sans-serif; width: 100%; margin: 0 16mm; display: flex;
justify-content: space-between"><span>TITLE</span><span><span class="pageNumber"></span> /
<span class="totalPages"></span></span></div>"""
ACROSS = {"width": 1001, "height": 672}  # CSS pixels of an A4 page laid across, within MARGIN
SCALES = (1.35, 1.25, 1.15, 1.07, 1.0, 0.93, 0.86, 0.8, 0.74, 0.68)
FITS = """(height) => document.body.scrollHeight <= height
  && document.documentElement.scrollWidth <= innerWidth
  && [...document.querySelectorAll("section")].every((section) => {
    const end = section.getBoundingClientRect().right - 8;
    return [...section.querySelectorAll(":not(mjx-assistive-mml, mjx-assistive-mml *)")]
      .every((part) => part.getBoundingClientRect().right <= end);
  })"""
MARGIN = {"top": "15mm", "bottom": "17mm", "left": "16mm", "right": "16mm"}


@contextlib.contextmanager
def printer():
    """Yields print_pdf(html, path, title, one_page=False) -> number of pages; A4 (one page: laid
    across). Raises chromium.Missing; print_pdf raises ValueError where a formula is wrong."""
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        raise chromium.Missing("playwright is not installed: install the extra `slides`") from None
    path = chromium.find()
    if path is None:
        raise chromium.Missing("no Chromium found: install it, or set CHROMIUM to its path")
    arguments = [*chromium.ARGUMENTS, "--allow-file-access-from-files"]
    with sync_playwright() as playwright, tempfile.TemporaryDirectory() as folder:
        browser = playwright.chromium.launch(executable_path=path, args=arguments)
        tab = browser.new_context(offline=True).new_page()

        def print_pdf(text, target, title, one_page=False):
            source = Path(folder) / "page.html"
            source.write_text(text, encoding="utf-8")
            tab.goto(source.as_uri())
            tab.wait_for_function(READY)
            if wrong := tab.evaluate(ERRORS):
                raise ValueError(f"{title}: formulas that MathJax does not take: {wrong}")
            target.parent.mkdir(parents=True, exist_ok=True)
            options = {"path": str(target), "format": "A4", "margin": MARGIN, "outline": True,
                       "tagged": True}  # fmt: skip
            if not one_page:
                foot = FOOT.replace("TITLE", html.escape(title))
                tab.pdf(display_header_footer=True, header_template="<span></span>",
                        footer_template=foot, **options)  # fmt: skip
                return pages(target)
            scale = next((scale for scale in SCALES if fits(tab, scale)), SCALES[-1])
            tab.pdf(landscape=True, scale=scale, **{**options, "outline": False})
            return pages(target)

        yield print_pdf
        browser.close()


def fits(tab, scale):
    """Does what a tab shows fit on one page laid across, printed at this scale?"""
    size = {name: int(pixels / scale) for name, pixels in ACROSS.items()}
    tab.set_viewport_size(size)
    return tab.evaluate(FITS, size["height"])


def pages(path):
    """How many pages a PDF has that Chromium wrote: it lists them uncompressed."""
    return len(re.findall(rb"/Type\s*/Page\b(?!s)", path.read_bytes()))
