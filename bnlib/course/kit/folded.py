"""Folded: a hint, a solution or an answer behind a button, told by the kernel when it is opened."""

from bnlib.course.kit.asked import Asked, browser_code
from bnlib.course.kit.markup import to_html, to_plain


class Folded(Asked):
    """One text or several behind buttons, opened one after the other.

    name   str, what is folded: "Hint for 3.2"
    parts  list of (label of the button, HTML behind it)
    lead   str, a sentence above the buttons, with the marks of kit.markup

    A stored notebook says that running the cell opens it. html holds all parts, for pages that fold
    by themselves; status and passed are as a Verdict has them.
    """

    _esm = browser_code("folded.js")
    status, passed = "folded", False

    def __init__(self, name, parts, lead=""):
        self.name, self.parts = name, parts
        super().__init__(
            to_html(lead),
            [("", [label for label, _ in parts])],
            [[html for _, html in parts]],
            f"{f'{to_plain(lead)} ' if lead else ''}{name}: run this cell to open it.",
        )

    @property
    def html(self):
        return "".join(html for _, html in self.parts)
