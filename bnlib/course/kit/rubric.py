"""A rubric: a report is handed in, and each of its points is judged by itself.

A notebook lists a RubricExercise among its exercises. The learner fills a dict, entry by entry, and
its check says of every point whether it is not attempted, missing or met, and what to do next.

>>> def long_enough(report):
...     return "" if len(report["why"].split()) > 2 else "Write a whole sentence."
>>> def our_report():
...     return {"why": "It was measured."}
>>> rubric = RubricExercise(
...     id="98.1", title="Report", hint="Begin.", solution=our_report,
...     points=[Point("a reason", ["why"], "Write down why.", long_enough)],
... )
>>> rubric.check({"why": ...})
98.1 Report: ○ Not attempted yet. 0 of 1 points met.
○ not attempted: a reason. Write down why.
>>> rubric.check({"why": "Because."})
98.1 Report: ✗ Not yet. 0 of 1 points met.
✗ missing: a reason. Write a whole sentence.
>>> rubric.check({"why": "It was seen twice."})
98.1 Report: ✓ Right. 1 of 1 points met.
✓ met: a reason.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from bnlib.course.kit.answers import quiet
from bnlib.course.kit.differences import describe
from bnlib.course.kit.exercises import Exercise
from bnlib.course.kit.markup import to_html, to_plain
from bnlib.course.kit.verdicts import Verdict, one_line

SIGNS = {"not attempted": "○", "missing": "✗", "met": "✓"}


@dataclass(frozen=True)
class Point:
    """One point of a rubric.

    name   a few words: what is asked for
    keys   the entries of the report that it reads, first the one that is its own
    do     what to do, for who has not begun
    judge  function (report) -> "" where the point is met, else a sentence that says what to do. It
           is called once all of `keys` are filled; when it raises, the error is said
    """

    name: str
    keys: Sequence[str]
    do: str
    judge: Callable


@dataclass(frozen=True, kw_only=True)
class RubricExercise(Exercise):
    """The learner hands in a report, a dict; its points are judged one by one.

    points    the Points, in the order in which they are shown; each weighs the same
    solution  a named function without arguments that returns a report; its source is shown
    """

    points: Sequence[Point]
    solution: Callable

    minutes = 90

    @property
    def worth(self):
        return len(self.points)

    def _share(self, answer, verdict):
        met = [state == "met" for state in getattr(verdict, "states", {}).values()]
        return sum(met) / len(self.points)

    @property
    def keys(self):
        """The entries of a report, in the order of the points that read them."""
        return list(dict.fromkeys(key for point in self.points for key in point.keys))

    def not_attempted(self):
        return self._judge({}, None)

    def _judge(self, answer, rng):
        if not isinstance(answer, dict):
            return self.verdict(
                "not yet",
                f"The check wants your report, a dict, and got {describe(answer)}.",
            )
        unknown = [key for key in answer if key not in self.keys]
        if unknown:
            return self.verdict(
                "not yet",
                f"The report has no entry {describe(unknown[0])}; it has "
                f"{', '.join(f'`{key}`' for key in self.keys)}.",
            )
        return RubricVerdict(
            self.label, [(point, *state_of(point, answer)) for point in self.points]
        )


def state_of(point, report):
    """(state, what to do) of one point: "not attempted", "missing" or "met"."""
    empty = [key for key in point.keys if report.get(key, ...) is ... or report[key] is None]
    if point.keys[0] in empty:
        return "not attempted", point.do
    if empty:
        return "missing", f"`{empty[0]}` is still to be filled in. {point.do}"
    try:
        with quiet():
            said = point.judge(report)
    except Exception as error:
        return "missing", f"Judging it stopped with `{one_line(error)}`. {point.do}"
    return ("missing", said) if said else ("met", "")


class RubricVerdict(Verdict):
    """A Verdict with a line for each point.

    states  {name of the point: "not attempted", "missing" or "met"}
    """

    def __init__(self, label, judged):
        self.states = {point.name: state for point, state, _ in judged}
        met = sum(state == "met" for state in self.states.values())
        begun = any(state != "not attempted" for state in self.states.values())
        status = "right" if met == len(judged) else "not yet" if begun else "not attempted"
        super().__init__(status, f"{met} of {len(judged)} points met.", label)
        self.plain += "".join(
            f"\n{SIGNS[state]} {state}: {to_plain(point.name)}. {to_plain(said)}".rstrip()
            for point, state, said in judged
        )
        rows = "\n".join(
            f"<p>{SIGNS[state]} <strong>{state}:</strong> {to_html(point.name)}. "
            f"{to_html(said)}</p>"
            for point, state, said in judged
        )
        self.html = self.html.removesuffix("</div>") + f"\n{rows}</div>"
