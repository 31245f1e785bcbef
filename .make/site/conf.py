"""What Sphinx needs to know (.make/website.py copies this folder and adds the pages)."""

import re

project = "Batch Normalization, from first principles"
author = "the bnlib authors"
copyright = "2026, the bnlib authors. Text and figures: CC BY 4.0; code: MIT"
language = "en"

extensions = ["myst_parser", "sphinx.ext.mathjax", "sphinx.ext.autodoc"]
source_suffix = {".md": "markdown", ".rst": "restructuredtext"}
exclude_patterns = ["_doctrees"]
suppress_warnings = ["myst.header"]  # a notebook's cells need not go down one level at a time

# Markdown as JupyterLab reads it: formulas, and nothing of MyST's own that a text may hold.
myst_enable_extensions = ["amsmath", "dollarmath"]
myst_dmath_double_inline = True
myst_disable_syntax = ["myst_block_break", "myst_line_comment", "myst_role"]

html_theme = "sphinx_book_theme"
html_title = "Batch Normalization"
html_favicon = "_static/icon.svg"
html_static_path = ["_static"]
html_css_files = ["explorer.css", "course.css"]
html_js_files = [("explorer.js", {"defer": "defer"}), ("course.js", {"defer": "defer"})]
html_copy_source = False
html_domain_indices = False
html_last_updated_fmt = None
html_theme_options = {
    "home_page_in_toc": True,
    "navbar_persistent": [],  # the search stands in the sidebar
    "navigation_with_keys": False,  # the arrow keys move explorers
    "show_toc_level": 2,
    "use_download_button": False,
}

html_context = {"default_mode": "auto"}

mathjax_path = "mathjax/tex-chtml.js"  # in _static; see .make/vendor.py
mathjax3_config = {
    "tex": {"inlineMath": [["\\(", "\\)"], ["$", "$"]]},
    "options": {"enableMenu": False},
}

autodoc_member_order = "bysource"
autodoc_typehints = "none"
toc_object_entries_show_parents = "hide"

COLUMNS = re.compile(r"\S.*? {2,}\S")  # name, two spaces or more, what it is


def escaped(row):
    """A row of plain text, in which `names` are code, as reStructuredText."""
    pieces = re.split(r"`([^`]+)`", row)  # odd places hold code
    pieces[::2] = [re.sub(r"([\\*`|_])", r"\\\1", piece) for piece in pieces[::2]]
    pieces[1::2] = [f"``{piece}``\\ " for piece in pieces[1::2]]
    return "".join(pieces).strip()


def as_restructured_text(app, what, name, obj, options, lines):
    """Our docstrings are plain text with columns: show them so; prose flows, examples stay."""
    paragraphs, result = "\n".join(lines).strip("\n").split("\n\n"), []
    for paragraph in paragraphs:
        rows = paragraph.split("\n")
        example = next((i for i, row in enumerate(rows) if row.lstrip().startswith(">>>")), None)
        if example is not None:
            rows, code = rows[:example], rows[example:]
        else:
            code = []
        if any(COLUMNS.match(row.strip()) or row.startswith(" ") for row in rows):
            result += [".. code-block:: text", "", *("    " + row for row in rows), ""]
        elif rows:
            result += [*map(escaped, rows), ""]
        if code:
            result += [".. code-block:: pycon", "", *("    " + row for row in code), ""]
    lines[:] = result


def setup(app):
    app.connect("autodoc-process-docstring", as_restructured_text)
