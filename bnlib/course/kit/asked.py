"""Asked: what the kernel tells only when it is asked to, and a stored notebook never holds.

What a notebook stores is a button and a sentence. The text behind the button travels to the browser
when the button is pressed. So no page that shows notebooks without a kernel, whatever it does to
closed elements and to styles, can tell an answer before it was asked for.
"""

import re
from pathlib import Path

import traitlets

from bnlib.course.kit.widget import Widget

HERE = Path(__file__).parent


class Asked(Widget):
    """Groups of buttons; pressing one brings its text from the kernel.

    lead    HTML above the groups
    groups  list of (HTML above the buttons, list of their labels)
    told    a list for each group, HTML for each label: kept here until it is asked for
    plain   str, what stands in a notebook that nobody runs

    A subclass says in _esm how a group looks: browser_code("its.js"), which defines layout.
    """

    _spec = traitlets.Dict().tag(sync=True)
    _asked = traitlets.List(traitlets.Unicode()).tag(sync=True)  # "group.label", by the browser
    _told = traitlets.Dict().tag(sync=True)  # "group.label" -> HTML, by the kernel

    def __init__(self, lead, groups, told, plain):
        self.plain = plain
        self._answers = {
            f"{g}.{i}": html for g, texts in enumerate(told) for i, html in enumerate(texts)
        }
        super().__init__()
        groups = [{"text": text, "labels": labels} for text, labels in groups]
        self._spec = {"lead": lead, "groups": groups}
        self.observe(self._tell, "_asked")

    def _tell(self, change):
        known = (key for key in change.new if key in self._answers)
        self._told = {key: self._answers[key] for key in known}

    def __repr__(self):
        return self.plain


def browser_code(name):
    """asked.js and one more file, without comments and indents: every widget stores its own."""
    code = "".join((HERE / file).read_text(encoding="utf-8") for file in ("asked.js", name))
    return re.sub(r"^\s+|^//.*\n|\s+// .*$", "", code, flags=re.MULTILINE)
