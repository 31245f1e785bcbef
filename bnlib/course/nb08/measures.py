"""What notebook 08 measures of the stored runs, one number a seed, and the verdicts upon it.

The runs are the arrays of stored_runs(). Wherever a result has two nets, the first is the one
without Batch Normalization; differences and factors are positive where they speak for the saying.
"""

import time
from dataclasses import dataclass

import numpy as np

import bnlib.numpy as bn
from bnlib.course.kit.markup import Rich

GOOD = 0.85  # the share of test digits that counts as "learned"
KINDS = ("sigmoid, weights 0.1", "sigmoid, weights 0.3", "ReLU")


def steps_to(target, accuracy, steps):
    """The first reading with at least that accuracy; NaN where none has it.

    accuracy  (..., T) shares, read after the (T,) steps

    >>> steps_to(0.85, np.array([[0.1, 0.9, 0.8], [0.1, 0.2, 0.3]]), np.array([0, 50, 100]))
    array([50., nan])
    """
    reached = accuracy >= target
    return np.where(reached.any(axis=-1), steps[reached.argmax(axis=-1)], np.nan)


def at_best_rate(values, lowest=False):
    """The row whose mean over the seeds is the highest, or the lowest; rows with a NaN never win.

    values  (rates, seeds); returns (seeds,)

    >>> at_best_rate(np.array([[0.7, 0.9], [0.9, 0.9], [np.nan, 1.0]]))
    array([0.9, 0.9])
    """
    means = values.mean(axis=1)
    if lowest:
        return values[np.where(np.isnan(means), np.inf, means).argmin()]
    return values[np.where(np.isnan(means), -np.inf, means).argmax()]


def highest_rates(runs):
    """The largest rate that still reads GOOD after 3,000 steps: (2 kinds, 2 nets, 3 seeds)."""
    good = runs["curves_accuracy"][..., -1] >= GOOD  # (kinds, nets, rates, seeds)
    return np.where(good, runs["curves_rates"][:, None], 0).max(axis=2)


def steps_to_good(runs):
    """Steps to GOOD, read every five steps: dict kind -> (2 nets, 13 rates, 6 seeds)."""
    steps = steps_to(GOOD, runs["early_accuracy"], runs["early_steps"])
    return dict(zip(KINDS, steps, strict=True))


def times_sooner(runs):
    """How many times fewer steps to GOOD, each net at its best rate: dict kind -> (6 seeds,)."""
    return {kind: _ratio(steps) for kind, steps in steps_to_good(runs).items()}


def times_sooner_at(runs, rate):
    """How many times sooner, both at one rate: sigmoids from weights of 0.1: (3 seeds,)."""
    at_rate = runs["curves_accuracy"][0][:, list(runs["curves_rates"]).index(rate)]
    without, with_bn = steps_to(GOOD, at_rate, runs["curves_steps"])
    return without / with_bn


def times_sooner_coarse(runs, target):
    """The same to any target, from readings 25 to 250 steps apart: dict kind -> (3 seeds,)."""
    sigmoid, relu = runs["curves_accuracy"]
    curves = dict(zip(KINDS, (sigmoid, runs["larger_accuracy"], relu), strict=True))
    return {k: _ratio(steps_to(target, a, runs["curves_steps"])) for k, a in curves.items()}


def _ratio(steps):
    without, with_bn = (at_best_rate(net, lowest=True) for net in steps)
    return without / with_bn


def good_scales(runs, rate=3):
    """At how many of the seven scales of first weights 1,000 steps suffice: (2 nets, 3 seeds)."""
    good = runs["map_accuracy"][..., 0] >= GOOD  # (nets, scales, rates, seeds)
    return good[:, :, runs["map_rates"] == rate].sum(axis=(1, 2))


def lead_at_the_end(runs):
    """With minus without, mean over the steps after 40,000: (rates 0.1 and 1, 3 seeds)."""
    end = runs["figure1_accuracy"][..., runs["figure1_steps"] > 40_000].mean(axis=-1)
    return end[:, 1] - end[:, 0]


def relu_lead(runs):
    """With minus without after 3,000 steps, each at its best rate, ReLU: (3 seeds,)."""
    without, with_bn = (at_best_rate(net[..., -1]) for net in runs["curves_accuracy"][1])
    return with_bn - without


def shift_of_units(runs, first=1000):
    """How far the middle unit goes from step `first` to the end: (2 nets, 3 seeds).

    The distance between its medians over the digits, in half-widths of its final band; rate 0.1.
    """
    bands = runs["figure1_bands"][0].astype(float)  # (nets, seeds, steps, 3 percentiles, units)
    start = list(runs["figure1_band_steps"]).index(first)
    half_width = (bands[:, :, -1, 2] - bands[:, :, -1, 0]) / 2
    shift = np.abs(bands[:, :, -1, 1] - bands[:, :, start, 1])
    return np.median(shift / half_width, axis=-1)


def growth_of_bands(runs, first=1000):
    """How many times as wide the typical unit's 15th-to-85th band gets: (2 nets, 3 seeds)."""
    bands = runs["figure1_bands"][0].astype(float)
    width = np.median(bands[..., 2, :] - bands[..., 0, :], axis=-1)  # (nets, seeds, steps)
    return width[..., -1] / width[..., list(runs["figure1_band_steps"]).index(first)]


def dropout_gains(runs):
    """What BN alone, Dropout alone, and Dropout with BN gain: dict name -> (6 seeds,).

    Every net at its best rate. Accuracies are shares, losses in nats (positive: the loss falls).
    """
    accuracy, loss = runs["dropout_accuracy"][..., 0], runs["dropout_test_loss"]
    few, many = (_best_of(size) for size in accuracy)  # (2 nets, 3 p, seeds) each
    few_loss, many_loss = (_best_of(size, lowest=True) for size in loss)
    dropout, on_top = (net[net.mean(axis=1).argmax()] - net[0] for net in few)
    return {
        "BN alone": few[1, 0] - few[0, 0],
        "Dropout alone": dropout,
        "Dropout, with BN": on_top,
        "Dropout gains less": dropout - on_top,
        "BN alone, loss": few_loss[0, 0] - few_loss[1, 0],
        "Dropout 0.2 with BN, loss": few_loss[1, 0] - few_loss[1, 1],
        "BN alone, 8,000 digits": many[1, 0] - many[0, 0],
        "BN alone, loss, 8,000 digits": many_loss[0, 0] - many_loss[1, 0],
    }


def gains_of_bn(runs):
    """What BN alone gains, for plot_leads: dict of the two measures, each a dict of the sizes."""
    gains = dropout_gains(runs)
    few, many = "500 digits", "8,000 digits"
    return {
        "gain in accuracy (points)": {
            few: 100 * gains["BN alone"],
            many: 100 * gains["BN alone, 8,000 digits"],
        },
        "fall of the test loss (nats)": {
            few: gains["BN alone, loss"],
            many: gains["BN alone, loss, 8,000 digits"],
        },
    }


def dropout_nets(runs, rate=None):
    """Accuracy after 500 digits of the six nets: dict label -> (6 seeds,).

    rate  one for all; by default each net has its best one, and its label says which
    """
    few, rates = runs["dropout_accuracy"][0, ..., 0], runs["dropout_rates"]
    nets = {}
    for q, p in enumerate(runs["dropout_probabilities"]):
        for net, name in enumerate(("", "BN")):
            label = ", ".join(filter(None, (name, p and f"Dropout {p:g}"))) or "neither"
            if rate is None:
                best = few[:, net, q].mean(axis=1).argmax()
                nets[f"{label}, rate {rates[best]:g}"] = few[best, net, q]
            else:
                nets[label] = few[list(rates).index(rate), net, q]
    return nets


def _best_of(size, lowest=False):
    """(rates, nets, p, seeds) -> (nets, p, seeds), each net and p at its best rate."""
    return np.array(
        [[at_best_rate(size[:, n, q], lowest) for q in range(size.shape[2])] for n in range(2)]
    )


def before_against_after(runs):
    """Leads in accuracy at the best rates, factors of the highest rate: (2 kinds, 3 seeds) each."""
    place = runs["place_accuracy"][..., -1]  # (kinds, places, rates, seeds)
    lead = [at_best_rate(kind[1]) - at_best_rate(kind[2]) for kind in place]
    highest = np.where(place >= GOOD, runs["place_rates"][:, None], 0).max(axis=2)
    return np.array(lead), highest[:, 1] / highest[:, 2]


def mean_and_error(gains):
    """The mean over the seeds and its standard error, in points (hundredths).

    >>> mean_and_error(np.array([0.01, 0.02, 0.03])).round(2)
    array([2.  , 0.58])
    """
    gains = np.asarray(gains, float)
    return 100 * np.array([gains.mean(), gains.std(ddof=1) / np.sqrt(len(gains))])


# ── verdicts ────────────────────────────────────────────────────────────────────────────────────

MARGINS = {"times": 2.0, "points": 1.0, "nats": 0.05}
STATUSES = ("reproduced", "direction only", "not at this size", "opposite here")


@dataclass(frozen=True)
class Saying:
    """One row of the table of verdicts.

    text     what is said, in a few words
    effects  per activation, one number a seed: (sigmoid, ReLU); None where it was not measured
    unit     "times" (a factor: 1 says nothing), "points" (of accuracy) or "nats" (of loss)
    """

    text: str
    effects: tuple
    unit: str

    @property
    def statuses(self):
        return tuple(e if e is None else status(e, self.unit) for e in self.effects)


def status(effects, unit):
    """The verdict over the seeds: one of STATUSES.

    effects  (seeds,) numbers that speak for the saying above 0; above 1 where the unit is "times"

    >>> status([3.0, 2.5, 4.0], "times"), status([1.2, -0.4, 0.9], "points")
    ('reproduced', 'not at this size')
    """
    nothing = 1 if unit == "times" else 0
    worst, best = np.min(effects), np.max(effects)
    if worst >= MARGINS[unit]:
        return "reproduced"
    if worst > nothing:
        return "direction only"
    return "opposite here" if best < nothing else "not at this size"


def sayings(runs):
    """The rows of the table of verdicts, all from the stored runs."""
    rates, gains = highest_rates(runs), dropout_gains(runs)
    scales, moved = good_scales(runs), shift_of_units(runs)
    more_accurate, higher_rates = before_against_after(runs)
    early, late = times_sooner(runs), times_sooner_coarse(runs, 0.93)
    fairest = KINDS[1:]  # sigmoids from weights of 0.3, and ReLU
    only_sigmoids = {  # saying: (effects, unit)
        "first weights matter less": (scales[1] / scales[0], "times"),
        "stable inputs": (moved[0] / moved[1], "times"),
        "500 digits: more accurate": (100 * gains["BN alone"], "points"),
        "500 digits: lower test loss": (gains["BN alone, loss"], "nats"),
        "500 digits: Dropout gains less": (100 * gains["Dropout gains less"], "points"),
        "8,000 digits: more accurate": (100 * gains["BN alone, 8,000 digits"], "points"),
        "8,000 digits: lower test loss": (gains["BN alone, loss, 8,000 digits"], "nats"),
    }
    return [
        Saying("sooner to 0.85", tuple(early[kind] for kind in fairest), "times"),
        Saying("sooner to 0.93", tuple(late[kind] for kind in fairest), "times"),
        Saying("ends higher", (100 * lead_at_the_end(runs)[1], 100 * relu_lead(runs)), "points"),
        Saying("higher rates", tuple(rates[:, 1] / rates[:, 0]), "times"),
        *(Saying(text, (e, None), unit) for text, (e, unit) in only_sigmoids.items()),
        Saying("before: more accurate than after", tuple(100 * more_accurate), "points"),
        Saying("before: higher rates than after", tuple(higher_rates), "times"),
    ]


def verdicts(rows):
    """The table of verdicts: what is said, the worst and best seed, and the word for it.

    rows  list of Saying. Displayed as an HTML table, and as text with the same content.
    """
    head = ("what is said", "sigmoid", "ReLU")
    body = [(row.text, *(_cell(e, row.unit) for e in row.effects)) for row in rows]
    widths = [max(map(len, column)) for column in zip(head, *body, strict=True)]
    lines = []
    for line in (head, *body):
        padded = (cell.ljust(width) for cell, width in zip(line, widths, strict=True))
        lines.append("  ".join(padded).rstrip())
    heads = _row(f'<th scope="col" style="text-align:left">{cell}</th>' for cell in head)
    rows = [_row(f'<td style="text-align:left">{c}</td>' for c in line) for line in body]
    table = f"<table><thead>{heads}</thead><tbody>{''.join(rows)}</tbody></table>"
    return Rich("\n".join(lines), table)


def _row(cells):
    return f"<tr>{''.join(cells)}</tr>"


def _cell(effects, unit):
    """Such as "reproduced (2.5 to 2.9 times)"."""
    if effects is None:
        return "not measured"
    low, high = (_number(end, 2 if unit == "nats" else 1) for end in (min(effects), max(effects)))
    span = low if low == high else f"{low} to {high}"
    return f"{status(effects, unit)} ({span} {unit})"


def _number(value, digits):
    """Rounded, without a trailing .0, and with a minus sign for the eye."""
    text = f"{value:.{digits}f}".removesuffix(".0")
    return "0" if text == "-0" else text.replace("-", "\N{MINUS SIGN}")


# ── measured here ───────────────────────────────────────────────────────────────────────────────


def price_of_a_step(make_nets, x, y, steps=150, rounds=5):
    """How many times as long a training step of the second net takes as one of the first.

    make_nets  two functions without arguments, each returning a new net
    x, y       training examples

    CPU time, the quickest of some rounds in turn. Returns a float.
    """
    quickest = [np.inf, np.inf]
    for _ in range(rounds):
        for i, make in enumerate(make_nets):
            net, begin = make(), time.process_time()
            bn.fit(net, x, y, steps=steps, batch_size=60, rng=0, lr=0.1, progress=False)
            quickest[i] = min(quickest[i], time.process_time() - begin)
    return quickest[1] / quickest[0]


def hold_lengths(net):
    """A callback for bn.fit: after every step each hidden layer's weights get their first length.

    The length is the root of the sum of squares; the last layer is left alone.
    """
    hidden = [layer for layer in net.layers[:-1] if isinstance(layer, bn.Linear)]
    lengths = [np.linalg.norm(layer.weight) for layer in hidden]

    def shorten(step, net, loss):
        for layer, length in zip(hidden, lengths, strict=True):
            layer.weight *= length / np.linalg.norm(layer.weight)

    return shorten
