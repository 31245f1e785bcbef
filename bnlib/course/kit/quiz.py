"""quiz: questions whose every option says why it is right or wrong once it is chosen.

The feedback comes from the kernel, so that no stored notebook tells the key. Options stand in an
order drawn from the question's own words: the same everywhere, and no letter is the likely one.
"""

import hashlib
import importlib
from collections.abc import Sequence
from dataclasses import dataclass

from bnlib.course.kit.asked import Asked, browser_code
from bnlib.course.kit.markup import Rich, to_html, to_plain


@dataclass(frozen=True)
class Question:
    """One question with exactly one right option.

    text      str, with the marks of bnlib.course.kit.markup
    options   dict option -> feedback, one sentence each, shown when that option is chosen
    correct   the place of the right option in this dict, from 0
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

    def shuffled(self):
        """[(option, feedback, is it right)] in the order in which they are shown."""
        right = list(self.options)[self.correct]
        rows = [(option, said, option == right) for option, said in self.options.items()]
        return sorted(
            rows, key=lambda row: hashlib.sha256(f"{self.text}{row[0]}".encode()).digest()
        )


class Quiz(Asked):
    """Several questions as one displayed object. questions  a sequence of Question"""

    _esm = browser_code("quiz.js")

    def __init__(self, questions: Sequence[Question]):
        plain, groups, told = [], [], []
        for number, question in enumerate(questions, 1):
            rows = question.shuffled()
            plain.append(f"{number}. {to_plain(question.text)}")
            plain += [f"   {'abcdefgh'[i]}) {to_plain(row[0])}" for i, row in enumerate(rows)]
            groups.append((to_html(question.text), [to_html(option) for option, *_ in rows]))
            told.append([
                f"<strong>{'✓ Right.' if right else '✗ No.'}</strong> {to_html(feedback)}"
                for _, feedback, right in rows
            ])  # fmt: skip
        lead = "<strong>Quiz.</strong> Press a letter: you read why it is right or not."
        super().__init__(lead, groups, told, "\n".join(plain))


def quiz(notebook):
    """The quiz of a notebook, such as "03": questions, options, and feedback for each option.

    Returns an object that a cell's last line displays. An unknown notebook gets a sentence.
    """
    try:
        module = importlib.import_module(f"bnlib.course.nb{int(notebook):02d}.exercises")
        return Quiz(module.QUIZ)
    except (ModuleNotFoundError, AttributeError, TypeError, ValueError):
        text = f"There is no quiz for notebook {notebook!r}."
        return Rich(text, f"<p>{to_html(text)}</p>")
