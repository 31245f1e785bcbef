"""quiz: questions whose every option answers when it is opened.

Plain HTML disclosures: they work with the keyboard and a screen reader, in JupyterLab with or
without a kernel, on a static page and in the slides, and typeset formulas; on paper the questions
and options read whole, and the plain text ends with the key.
"""

import importlib
from collections.abc import Sequence
from dataclasses import dataclass

from bnlib.course.kit.markup import CSS, Rich, to_html, to_plain


@dataclass(frozen=True)
class Question:
    """One question with exactly one right option.

    text      str, with the marks of bnlib.course.markup
    options   dict option -> feedback, one sentence each, shown when that option is opened
    correct   the place of the right option, from 0
    """

    text: str
    options: dict
    correct: int

    def __post_init__(self):
        if len(self.options) < 2:
            raise ValueError(f"{self.text!r} has {len(self.options)} options; it needs two or more")
        if not 0 <= self.correct < len(self.options):
            raise ValueError(f"correct is {self.correct}; there are {len(self.options)} options")
        for option, feedback in self.options.items():
            if not str(feedback).strip():
                raise ValueError(f"option {option!r} of {self.text!r} has no feedback")


def quiz(notebook):
    """The quiz of a notebook, such as "03": questions, options, and feedback for each option.

    Returns an object that a cell's last line displays. An unknown notebook gets a sentence.
    """
    try:
        module = importlib.import_module(f"bnlib.course.nb{int(notebook):02d}.exercises")
        return render(module.QUIZ, f"{int(notebook):02d}")
    except (ModuleNotFoundError, AttributeError, TypeError, ValueError):
        text = f"There is no quiz for notebook {notebook!r}."
        return Rich(text, f"<p>{to_html(text)}</p>")


def render(questions: Sequence[Question], notebook):
    """Several questions as one displayed object."""
    plain, items, key = [], [], []
    for number, question in enumerate(questions, 1):
        plain.append(f"{number}. {to_plain(question.text)}")
        options = ""
        for i, (option, feedback) in enumerate(question.options.items()):
            letter = chr(ord("a") + i)
            right = i == question.correct
            sign, css = ("✓ Right.", "bn-yes") if right else ("✗ No.", "bn-no")
            if right:
                key.append(f"{number} {letter}")
            plain.append(f"   {letter}) {to_plain(option)}")
            options += (
                f'<details name="quiz-{notebook}-{number}"><summary>{letter}) {to_html(option)}'
                f'</summary><p class="{css}"><strong>{sign}</strong> {to_html(feedback)}</p>'
                "</details>"
            )
        items.append(f"<li><p>{to_html(question.text)}</p>{options}</li>")
    plain.append(f"Key: {', '.join(key)}")
    return Rich(
        "\n".join(plain),
        f'{CSS}<div class="bn bn-quiz"><p><strong>Quiz.</strong> Open the answer you would give; '
        f"it tells you why it is right or wrong.</p><ol>{''.join(items)}</ol></div>",
    )
