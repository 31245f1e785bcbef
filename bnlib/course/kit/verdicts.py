"""Verdict: one kind sentence that names one thing, as text and as HTML."""

import html

from bnlib.course.kit.markup import CSS, Rich, to_html, to_plain

STATUS = {  # status: (what is read out, CSS class); a sign and a word, never colour alone
    "right": ("✓ Right.", "bn-right"),
    "not yet": ("✗ Not yet.", "bn-notyet"),
    "not attempted": ("○ Not attempted yet.", "bn-noted"),
    "noted": ("✎ Noted.", "bn-noted"),
    "settled": ("→ Settled.", "bn-noted"),
    "broken": ("⚠ The check itself failed.", "bn-notyet"),
}


class Verdict(Rich):
    """The answer to an answer.

    status  a key of STATUS: "right", "not yet", "not attempted", "noted", "settled", "broken"
    text    the sentence, with the marks of bnlib.course.markup
    passed  True when the status is "right"
    """

    def __init__(self, status, text, label=""):
        sign, css = STATUS[status]
        self.status, self.text, self.passed = status, text, status == "right"
        head = f"{label} " if label else ""
        super().__init__(
            f"{head}{sign} {to_plain(text)}".rstrip(),
            f'{CSS}<div class="bn {css}" role="status">{html.escape(head)}'
            f"<strong>{sign}</strong> {to_html(text)}</div>",
        )


def one_line(error):
    text = " ".join(str(error).split()).replace("`", "'")
    text = text if len(text) <= 160 else text[:157] + "…"
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
