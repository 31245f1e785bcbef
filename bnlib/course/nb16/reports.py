"""Three reports on thirty layers, of different quality, with their marks: to mark one's own by.

They are ours, written for this page; their numbers are the stored runs'. What the kit's rubric says
of each is tested (tests/test_course_nb16.py).
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from bnlib.course.kit.folded import Folded
from bnlib.course.kit.markup import Rich, to_html
from bnlib.course.nb16.runs import relu_runs, route_of, stored_runs

READER = {  # what no check can judge; two marks each
    "repeatable": "Could a colleague repeat it? Net, digits, steps, rates and seeds are named.",
    "fair": "Is each net compared at its own best rate, and its price counted?",
    "no more than shown": "Does each sentence follow from its numbers, and go no further?",
    "the limit": "Is what was not shown the thing that a reader would otherwise believe?",
}
MOST = 2  # marks for each of them
ALL_OBJECTS = ("net", "read", "fused", "exported")  # what only a trained net can fill


@dataclass(frozen=True, kw_only=True)
class Report:
    """A model report.

    text      function () -> what its author wrote; a blank line begins a paragraph
    entries   function () -> what its author filled into the dict, but for nets
    norm      whose BN its net has: "own", or a key of nets.NORMS
    hands_in  the entries that need a net, of ALL_OBJECTS, which its author filled rightly
    missed    {name of a point of the rubric: why it is not met}
    reader    {key of READER: (marks, why)}
    """

    text: Callable
    entries: Callable
    norm: str = "own"
    hands_in: tuple = ALL_OBJECTS
    missed: dict
    reader: dict


def _table(name, places=None, seeds=None, steps=300):
    """{rate: accuracies} of a route from the stored runs: rates at these places, so many seeds."""
    rates, accuracy = route_of(stored_runs(), name, steps)
    places = range(len(rates)) if places is None else places
    return {float(rates[i]): accuracy[i, :seeds].tolist() for i in places}


def _plain(weights, rates):
    """{(first weights, rate): accuracies} of plain nets with SGD from the stored runs."""
    runs, found = stored_runs(), {}
    for name in weights:
        i = runs["plain"].tolist().index(f"{name}'s weights")
        for rate in rates:
            j = runs["plain_rates"][0].tolist().index(rate)
            found[name, rate] = runs["plain_accuracy"][i, 0, j, :, 0].tolist()
    return found


def _best(table):
    """(rate, accuracies) of a table's rate with the highest mean."""
    return max(table.items(), key=lambda pair: np.mean(pair[1]))


def _said(accuracies):
    return ", ".join(f"{a:.2f}" for a in accuracies)


# ── A, careful ──────────────────────────────────────────────────────────────────────────────────


GROWTH_A = {"sigmoid": 1.06, "ReLU": 1.48}


def _text_a():
    (bn, bn_read), (residual, residual_read) = (_best(_table(n)) for n in ("BN", "residual"))
    he, bn_relu = (_best(relu_runs(n))[1] for n in ("He's weights", "BN, He's weights"))
    ahead = sum(a > b for a, b in zip(he, bn_relu, strict=True))
    return f"""**Question.** Which way makes thirty sigmoid layers of 64 units read digits after 300
steps, and at what price?

**What I did.** 8,000 training digits in batches of 60, plain gradient descent, 300 steps, torch's
first weights, seeds 0 to 2, read on the 2,000 test digits. Statistics recomputed on 1,200 training
digits before each reading of a net with BN.

**What I found.** Without help nothing: two kinds of first weights, rates 0.1, 1 and 10, all below
0.2. With my own BN at rates 0.01, 0.03, 0.1 and 0.3 the best is {bn:g}: {_said(bn_read)}.
A residual net, α = 0 at first, at rates 0.3, 1, 3 and 10: best {residual:g},
{_said(residual_read)}. Both best rates lie inside what I tried.

**Price.** On my machine a run with my BN takes about 3 seconds, a residual run about 1. BN also
keeps 3,840 statistics, and a digit's answer depends on its batch in training.

**Ready for use.** Read by running averages and by recomputed statistics, fused (no norm left, the
same answers) and exported for batches of any size.

**Inside.** The squared gradient grows {GROWTH_A["sigmoid"]:.2f} times a sigmoid layer with BN, and
{GROWTH_A["ReLU"]:.2f} times a ReLU layer; notebook 13 predicts 1.47.

**ReLU.** After 800 steps He's weights read {np.mean(he):.2f} on average, BN
{np.mean(bn_relu):.2f} (six stored seeds, the better of two rates each; He's weights ahead in
{ahead} of 6). The growth of the gradients fits this; I did not prove that it is the reason.

**Not shown.** One data set, one width, 300 steps: not whether the residual net stays ahead in
larger nets, nor whether BN catches up in longer training."""


def _entries_a():
    return {
        "plain": _plain(("torch", "Xavier"), (0.1, 1.0, 10.0)),
        "routes": {"BN": _table("BN"), "residual": _table("residual")},
        "price": {"BN": 3.1, "residual": 1.1},
        "choice": "I take the residual net: it reads as much or more and costs 1.1 seconds, not "
        "3.1.",
        "growth": GROWTH_A,
        "relu": {"He": relu_runs("He's weights"), "BN": relu_runs("BN, He's weights")},
        "why": "With BN the squared gradient grows by 1.47 a ReLU layer, and one rate has to do "
        "for the first and the last; with He's weights it stays. That fits, it is no proof.",
        "not_shown": "One data set, one width, 300 steps: not whether the residual net stays ahead "
        "in larger nets, nor whether BN catches up in longer training.",
    }


# ── B, hasty ────────────────────────────────────────────────────────────────────────────────────


def _text_b():
    table = _table("BN", places=(1, 2, 3))
    found = "; ".join(f"rate {rate:g}: {_said(accuracies)}" for rate, accuracies in table.items())
    return f"""**Question.** Does BN make the deep net train?

**What I did.** Thirty sigmoid layers, batches of 60, 300 steps, three seeds. Rates 0.03, 0.1, 0.3.

**What I found.** Without BN every run stays at chance. With BN: {found}. So BN works, and 0.03 is
its best rate.

**Another way.** A residual net at rate 1, one seed: {_table("residual")[1.0][0]:.2f}. It takes a
third of the time.

**Ready for use.** Fused with `bt.fuse`; the outputs are equal. Export: no time left.

**Inside.** The gradient grows 1.21 times per ReLU layer and 1.03 times per sigmoid layer. Notebook
13 says 1.47, so our nets are better than the theory.

**ReLU.** I ran He's weights and BN at rate 0.1 with two seeds. BN was ahead.

**Not shown.** I tried only one data set and one depth, so it may not hold for other ones."""


def _entries_b():
    return {
        "plain": _plain(("torch", "Xavier"), (0.1, 1.0, 10.0)),
        "routes": {"BN": _table("BN", places=(1, 2, 3)), "residual": _table("residual", (1,), 1)},
        "price": {"BN": 3, "residual": 1},
        "choice": "I choose BN because it reads more than 0.8 and we know it from this course.",
        "read": {"running": 0.5, "recomputed": 0.5},
        "growth": {"sigmoid": 1.03, "ReLU": 1.21},
        "relu": {"He": {0.1: [0.2, 0.1]}, "BN": {0.1: [0.6, 0.6]}},
        "why": ...,
        "not_shown": "I tried only one data set and one depth, so it may not hold for other ones.",
    }


# ── C, promises much ────────────────────────────────────────────────────────────────────────────


def _text_c():
    return f"""Deep networks suffer from internal covariate shift, and Batch Normalization removes
it. I show this with thirty layers.

Without BN the net reads 0.10 (rate 0.1, torch's weights). With `bnlib`'s BN at rate 0.03 it reads
{_table("BN")[0.03][0]:.2f}. This proves that BN is necessary for deep networks and that it solves
the problem of vanishing gradients.

I also fused the BN layers, so the net is now ready for every device. With ReLU it would be even
better, since ReLU is better than the sigmoid.

BN makes every deep network trainable, whatever its depth, activation and data."""


def _entries_c():
    return {
        "plain": {("torch", 0.1): [0.10]},
        "routes": {"BN": _table("BN", places=(1,), seeds=1)},
        "price": ...,
        "choice": "BN is clearly the best method, as everybody knows from practice.",
        "read": ...,
        "exported": ...,
        "growth": ...,
        "relu": ...,
        "not_shown": "BN makes every deep network trainable, whatever its depth, activation and "
        "data.",
    }


REPORTS = {
    "A": Report(
        text=_text_a,
        entries=_entries_a,
        missed={},
        reader={
            "repeatable": (2, "Net, digits, batches, steps, rates, seeds, and how it was read."),
            "fair": (
                2,
                "Each route at its own best rate, with its seconds and what else it costs.",
            ),
            "no more than shown": (2, "“On average”, and how many seeds, where seeds disagree."),
            "the limit": (
                1,
                "Size and steps, yes. That two nets of the same depth are not the same net, so "
                "that BN alone is not what was compared, is missing.",
            ),
        },
    ),
    "B": Report(
        text=_text_b,
        entries=_entries_b,
        hands_in=("net", "fused"),
        missed={
            "each route at a rate that lies between others": "0.03 is the smallest rate tried, and "
            "the residual net has one rate.",
            "read by recomputed statistics": "Both readings are by running averages; recomputed, "
            "the net reads far more.",
            "exported for a batch of any size": "It is not there.",
            "how gradients grow from layer to layer": "1.21 is the growth of the length. Its "
            "square, 1.47, is what notebook 13 predicts: the theory holds.",
            "ReLU: BN against He's weights, and why": "One rate, too large for He's weights, two "
            "seeds, no reason.",
        },
        reader={
            "repeatable": (1, "First weights and the way of reading are missing."),
            "fair": (
                0,
                "One rate for both ReLU nets; one seed of the residual net against nine of BN.",
            ),
            "no more than shown": (
                1,
                "“Better than the theory” is a mistake in units. The rest follows from its "
                "numbers.",
            ),
            "the limit": (2, "Modest and true."),
        },
    ),
    "C": Report(
        text=_text_c,
        entries=_entries_c,
        norm="BN",
        hands_in=("net", "fused"),
        missed={
            "without help the net stays at chance": "One rate from one kind of first weights.",
            "BN at three rates, three seeds each": "One rate, one seed.",
            "each route at a rate that lies between others": "One rate.",
            "a second route, and what each costs": "There is none. So “necessary” cannot be shown.",
            "your choice, with a number as its reason": "“As everybody knows” is no measurement.",
            "a net with your own layer that reads 0.8 or more": "It is the library's layer.",
            "read by recomputed statistics": "Not said how it was read.",
            "exported for a batch of any size": "“Every device”, and nothing was exported.",
            "how gradients grow from layer to layer": "Vanishing gradients are named and not "
            "measured.",
            "ReLU: BN against He's weights, and why": "Nothing was run. With BN it would be worse.",
            "what was not shown": "The last sentence claims what nobody could show.",
        },
        reader={
            "repeatable": (1, "The rates are named, the rest is not."),
            "fair": (0, "There is nothing to compare with."),
            "no more than shown": (
                0,
                "“Proves”, “necessary”, “solves”, “every”: from two runs. A residual net trains "
                "without BN.",
            ),
            "the limit": (0, "There is none."),
        },
    ),
}


# ── to show ─────────────────────────────────────────────────────────────────────────────────────


def _points():
    from bnlib.course.nb16.rubric import POINTS  # it needs torch

    return [point.name for point in POINTS]


def marks(report):
    """(by the checks, by the reader) of a model report."""
    return len(_points()) - len(report.missed), sum(m for m, _ in report.reader.values())


def total(report):
    """All marks of a model report."""
    return sum(marks(report))


def most():
    """The marks that a report can get."""
    return len(_points()) + MOST * len(READER)


def all_points():
    """The twelve points and the four questions, with their marks, to display."""
    lines = [f"{n}. {name} (1 mark)" for n, name in enumerate(_points(), 1)]
    lines += [f"For a reader: {text} (0 to {MOST} marks)" for text in READER.values()]
    lines.append(f"Together {most()} marks.")
    return Rich("\n".join(lines), "".join(f"<p>{to_html(line)}</p>\n" for line in lines))


def model_report(letter):
    """A model report, folded, and behind it its marks. Raises LookupError for an unknown letter."""
    if letter not in REPORTS:
        raise LookupError(f"there is no report {letter!r}; there are {', '.join(REPORTS)}")
    report = REPORTS[letter]
    text = "".join(f"<p>{to_html(part)}</p>" for part in report.text().split("\n\n"))
    by_checks, by_reader = marks(report)
    lines = [f"**{total(report)} of {most()} marks:** {by_checks} of {len(_points())} by the "
             f"checks, {by_reader} of {MOST * len(READER)} by a reader."]  # fmt: skip
    lines += [f"✗ {name}: {why}" for name, why in report.missed.items()]
    lines += [f"{n} of {MOST}, {name}: {why}" for name, (n, why) in report.reader.items()]
    said = "".join(f"<p>{to_html(line)}</p>" for line in lines)
    return Folded(f"Report {letter}", [(f"Report {letter}", text), (f"Its marks ({letter})", said)])
