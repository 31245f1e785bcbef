"""Short texts with `code`, **bold** and *stress*, as HTML and as plain text; the outputs' one CSS.

Formulas stay $…$: JupyterLab and our pages typeset them inside HTML outputs.
"""

import html
import re

# JupyterLab's theme variables where there are any (light and dark); elsewhere dark on white, both
# from us: a page that sets one of the two itself must not make our text unreadable. The border's
# colours stand out 3 to 1 from white and from both greys of JupyterLab's dark theme.
CSS = (
    "<style>"
    ".bn{color:var(--jp-content-font-color1,#1a1a1a);font-size:1em;line-height:1.5;"
    "max-width:52em;margin:.3em 0;padding:.45em .9em;border:1px solid #767676;"
    "border-left:.35em solid #767676;background:var(--jp-layout-color0,#fff);border-radius:3px}"
    ".bn.bn p{margin:.3em 0}"
    ".bn-right{border-left-color:#009E73}"
    ".bn-notyet{border-left-color:#D55E00}"
    ".bn-noted{border-left-color:#0072B2}"
    "</style>"
)

_VERBATIM = re.compile(r"(`[^`]+`|\$[^$]+\$)")  # code and formulas: no mark counts inside
_BOLD = re.compile(r"\*\*(\S(?:.*?\S)?)\*\*")
_STRESS = re.compile(r"(?<![\w*])\*(\S(?:[^*]*\S)?)\*(?![\w*])")


def to_html(text):
    """Escape a text and turn its marks into tags; a blank line starts a new line.

    >>> to_html("`x < 0` is *not* **safe**, nor is $a < b^*$")
    '<code>x &lt; 0</code> is <em>not</em> <strong>safe</strong>, nor is $a &lt; b^*$'
    """
    pieces = _VERBATIM.split(text)  # odd places hold code or a formula
    for i, piece in enumerate(pieces):
        if i % 2 and piece.startswith("`"):
            pieces[i] = f"<code>{html.escape(piece[1:-1], quote=False)}</code>"
        elif i % 2:
            pieces[i] = html.escape(piece, quote=False)
        else:
            piece = _BOLD.sub(r"<strong>\1</strong>", html.escape(piece, quote=False))
            pieces[i] = _STRESS.sub(r"<em>\1</em>", piece)
    return "<br>".join(part.strip() for part in re.split(r"\n\s*\n", "".join(pieces)))


def to_plain(text):
    """The same text without the marks; formulas stay as they are.

    >>> to_plain("`x < 0` is *not* **safe**, nor is $a < b^*$")
    'x < 0 is not safe, nor is $a < b^*$'
    """
    pieces = _VERBATIM.split(text)
    for i, piece in enumerate(pieces):
        if i % 2:
            pieces[i] = piece.strip("`")
        else:
            pieces[i] = _STRESS.sub(r"\1", _BOLD.sub(r"\1", piece))
    return "".join(pieces)


class Rich:
    """Something to display: HTML, and plain text with the same content."""

    def __init__(self, plain, html):
        self.plain, self.html = plain, html

    def _repr_mimebundle_(self, include=None, exclude=None):
        return {"text/plain": self.plain, "text/html": self.html}

    def __repr__(self):
        return self.plain
