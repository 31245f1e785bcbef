"""The rubric of notebook 16: what a report on thirty layers must show, point by point."""

import copy
import math

import numpy as np
import torch

import bnlib.torch as bt
from bnlib.course.kit.rubric import Point
from bnlib.course.nb16 import nets

CHANCE, GOOD = 0.2, 0.8  # at most, at least: shares of the test digits
GROWTH = {"sigmoid": 1.065, "ReLU": math.pi / (math.pi - 1)}  # measured; derived in notebook 13
SLIPS = {  # which power of the growth was handed in: what to say
    -1: "Turn it around: from the last layer to the first it grows.",
    0.5: "It looks like the length itself; the squared length is asked for.",
    -0.5: "Turn it around, and take squared lengths.",
}
ASK = "Is it one factor for each layer, from a fresh net with BN in training mode?"
LIMITS = ("not", "no", "only", "never", "nor", "neither", "without", "whether", "one", "cannot")


# ── reading what was written ────────────────────────────────────────────────────────────────────


def _fault_of_table(table, what, keys, seeds=1):
    """What is wrong with a dict {key: accuracies}; "" where nothing is."""
    if not isinstance(table, dict) or not table:
        return f"{what} is to be a dict with entries, {{{keys}: accuracies}}."
    for key, values in table.items():
        shares = _shares(values)
        if shares is None or not shares.size:
            return f"{what}, `{key}`: a list of accuracies is expected, one a seed."
        if not ((shares >= 0) & (shares <= 1)).all():
            return f"{what}, `{key}`: accuracies are shares from 0 to 1."
        if shares.size < seeds:
            return f"{what}, `{key}`: {shares.size} of {seeds} seeds. Run the others, too."
    return ""


def _shares(values):
    try:
        found = np.atleast_1d(np.asarray(values, float))
    except (TypeError, ValueError):
        return None
    return found if found.ndim == 1 and np.isfinite(found).all() else None


def _mean(values):
    return float(_shares(values).mean())


def _fault_of_sentence(text, name, most=80):
    words = text.split() if isinstance(text, str) else None
    if words is None:
        return f"`{name}` is to be a sentence, in quotes."
    if not 8 <= len(words) <= most:
        return f"`{name}` has {len(words)} words; write one sentence of 8 to {most}."
    return ""


def _net(report):
    """The net that was handed in, and a fault where it is none."""
    net = report["net"]
    if not isinstance(net, torch.nn.Module):
        return None, "`net` is to be the trained net itself."
    return copy.deepcopy(net).eval(), ""


def _test_digits(net):
    *_, x_test, y_test = nets.digits(next(net.parameters()).device)
    return x_test, y_test


def _accuracy(net):
    return bt.evaluate(net, *_test_digits(net))[1]


# ── the points ──────────────────────────────────────────────────────────────────────────────────


def plain_stays_at_chance(report):
    table = report["plain"]
    fault = _fault_of_table(table, "`plain`", "(first weights, rate)")
    if fault:
        return fault
    rates = {}
    for key in table:
        if not isinstance(key, tuple) or len(key) != 2:
            return (
                f"`plain`: a key names first weights and rate, (first weights, rate); not `{key}`."
            )
        rates.setdefault(key[0], set()).add(key[1])
    if sum(len(tried) >= 3 for tried in rates.values()) < 2:
        listed = ", ".join(f"{len(tried)} with {name}" for name, tried in rates.items())
        return (
            f"Three rates for each of two kinds of first weights are asked for; you have {listed}."
        )
    best = max(table, key=lambda key: max(_shares(table[key])))
    top = max(_shares(table[best]))
    if top >= CHANCE:
        return (
            f"`{best}` reads {top:.2f}, more than guessing: is it thirty sigmoid layers without a "
            "norm and without a residual branch?"
        )
    return ""


def _routes(report, least=1):
    routes = report["routes"]
    if not isinstance(routes, dict) or not routes:
        return "`routes` is to be a dict, {name of the route: {rate: accuracies}}."
    for name, table in routes.items():
        if fault := _fault_of_table(table, f"`routes`, “{name}”", "rate", least):
            return fault
    return ""


def rates_and_seeds(report):
    if fault := _routes(report):
        return fault
    table = report["routes"].get("BN")
    if table is None:
        return "`routes` has no entry `BN`: the net with your own layer."
    if fault := _fault_of_table(table, "BN", "rate", seeds=3):
        return fault
    if len(table) < 3:
        return f"BN: {len(table)} of 3 rates. One rate says little about a net."
    worst = max(min(_shares(values)) for values in table.values())
    if worst < GOOD:
        return (
            f"At no rate do all seeds of BN read {GOOD}; the best of the worst reads {worst:.2f}. "
            "Try rates between yours, and read by recomputed statistics."
        )
    return ""


def best_rate_inside(report):
    if fault := _routes(report):
        return fault
    for name, table in report["routes"].items():
        rates = sorted(table)
        if len(rates) < 3:
            return f"“{name}”: {len(rates)} of 3 rates."
        best = max(rates, key=lambda rate: _mean(table[rate]))
        if best in (rates[0], rates[-1]):
            end = "largest" if best == rates[-1] else "smallest"
            other = "larger" if best == rates[-1] else "smaller"
            return (
                f"“{name}” reads most at {best:g}, the {end} rate that you tried. Try a {other} "
                "one: the best may lie beyond."
            )
    return ""


def second_route(report):
    if fault := _routes(report):
        return fault
    routes, price = report["routes"], report["price"]
    if len(routes) < 2:
        return "One route is there. A second one is asked for, to compare it with."
    if not isinstance(price, dict):
        return "`price` is to be a dict, {name of the route: seconds a run}."
    for name in routes:
        seconds = _shares(price.get(name))
        if seconds is None or not (seconds > 0).all():
            return f"What does a run of “{name}” cost? `price` wants its seconds."
    return ""


def choice_with_reason(report):
    if fault := _fault_of_sentence(report["choice"], "choice") or _routes(report):
        return fault
    text = report["choice"].casefold()
    if not any(str(name).casefold() in text for name in report["routes"]):
        return f"`choice` names none of your routes: {', '.join(map(str, report['routes']))}."
    if not any(char.isdigit() for char in text):
        return "`choice` gives no number. Which of your measurements is the reason?"
    return ""


def own_layer_reads(report):
    net, fault = _net(report)
    if fault:
        return fault
    sigmoids = sum(isinstance(layer, torch.nn.Sigmoid) for layer in net.modules())
    norms = nets.norms_of(net)
    if sigmoids < nets.DEPTH:
        return f"Your net has {sigmoids} sigmoid layers; thirty are asked for."
    if len(norms) < nets.DEPTH:
        return (
            f"{len(norms)} of its layers have running statistics; each of the thirty is to have BN."
        )
    homes = {type(norm).__module__ for norm in norms}
    if any(home.startswith(("torch.", "bnlib.torch")) for home in homes):
        return (
            f"Its norms are {type(norms[0]).__name__} of a library. Put your own layer there, and "
            "hand in the net as it was trained, not the converted copy."
        )
    share = _accuracy(net)
    if share < GOOD:
        return (
            f"In evaluation mode your net reads {share:.2f} of the test digits; {GOOD} is asked "
            "for. Were its statistics recomputed? Is its rate the best that you found?"
        )
    return ""


def read_by_recomputed(report):
    net, fault = _net(report)
    if fault:
        return fault
    read = report["read"]
    shares = (
        [_shares(read.get(k)) for k in ("running", "recomputed")] if isinstance(read, dict) else []
    )
    if not shares or any(s is None or s.size != 1 or not 0 <= s[0] <= 1 for s in shares):
        return '`read` is to be {"running": share, "recomputed": share}, two numbers from 0 to 1.'
    again = _accuracy(nets.with_statistics(net, nets.digits(next(net.parameters()).device)[0]))
    said = shares[1][0]
    if abs(again - said) > 0.02:
        return (
            f"With statistics recomputed by this check your net reads {again:.2f}, and you report "
            f"{said:.2f}. Recompute, with the parameters as they are now, and read again."
        )
    return ""


def _same_answers(net, other, x):
    """What differs between two nets' answers in evaluation mode; "" where nothing does."""
    with torch.no_grad():
        wish, got = net(x), other(x)
    if got.shape != wish.shape:
        return f"gives outputs of shape {tuple(got.shape)}; the net gives {tuple(wish.shape)}"
    gap = (got - wish).abs().max().item()
    return "" if gap < 1e-3 else f"gives other outputs than the net, by up to {gap:.2g}"


def fused_gives_the_same(report):
    net, fault = _net(report)
    if fault:
        return fault
    fused = report["fused"]
    if not isinstance(fused, torch.nn.Module):
        return "`fused` is to be the net that `fuse` returns."
    fused = copy.deepcopy(fused).eval()
    left = len(nets.norms_of(fused))
    if left:
        return (
            f"{left} layers with running statistics are left in it. `fuse` knows the libraries' "
            "layers, not yours: give it `nets.with_known_norms(net)`, and print its report."
        )
    said = _same_answers(net, fused, _test_digits(net)[0][:500])
    return f"`fused` {said}: was it made from another net, or before recomputing?" if said else ""


def exported_gives_the_same(report):
    net, fault = _net(report)
    if fault:
        return fault
    program = report["exported"]
    if not isinstance(program, torch.export.ExportedProgram):
        return "`exported` is to be what `torch.export.export` returns."
    x = _test_digits(net)[0]
    for size in (7, 1):
        try:
            said = _same_answers(net, program.module(), x[:size])
        except Exception:
            return (
                f"It does not take a batch of {size}. Say with `dynamic_shapes` that the size of "
                "the batch is free, and export the net in evaluation mode."
            )
        if said:
            return f"`exported` {said}: was the net in evaluation mode when you exported it?"
    return ""


def growth_of_gradients(report):
    growth = report["growth"]
    if not isinstance(growth, dict) or set(growth) != set(GROWTH):
        return '`growth` is to be {"sigmoid": factor, "ReLU": factor}.'
    for name, wish in GROWTH.items():
        found = _shares(growth[name])
        if found is None or found.size != 1 or found[0] <= 0:
            return f"`growth`, {name}: one positive number is expected."
        if abs(found[0] / wish - 1) > 0.08:
            said = next((s for p, s in SLIPS.items() if abs(found[0] / wish**p - 1) < 0.05), ASK)
            return f"{name}: {found[0]:.2f} is not what this check measures. {said}"
    return ""


def relu_and_why(report):
    table = report["relu"]
    if not isinstance(table, dict) or not {"He", "BN"} <= set(table):
        return '`relu` is to be {"He": {rate: accuracies}, "BN": {rate: accuracies}}.'
    for name in ("He", "BN"):
        if fault := _fault_of_table(table[name], f"`relu`, {name}", "rate", seeds=3):
            return fault
        if len(table[name]) < 2:
            return f"`relu`, {name}: one rate. Each net is to have a choice: try two or more."
    if fault := _fault_of_sentence(report["why"], "why"):
        return fault
    if "gradient" not in report["why"].casefold():
        return "`why` is to name what you measured: the gradients, layer by layer."
    return ""


def what_was_not_shown(report):
    if fault := _fault_of_sentence(report["not_shown"], "not_shown", most=60):
        return fault
    words = {word.strip(".,;:()“”\"'").casefold() for word in report["not_shown"].split()}
    if not words & set(LIMITS):
        return "This says what was shown. Say what your runs leave open: which nets, data, steps?"
    return ""


POINTS = [
    Point(
        "without help the net stays at chance",
        ["plain"],
        "Train it at three rates from each of two kinds of first weights: "
        "`{(first weights, rate): accuracies}`.",
        plain_stays_at_chance,
    ),
    Point(
        "BN at three rates, three seeds each",
        ["routes"],
        'Fill `routes["BN"]` with `{rate: accuracies}` of nets with your own layer.',
        rates_and_seeds,
    ),
    Point(
        "each route at a rate that lies between others",
        ["routes"],
        "Try rates until the best one is neither the smallest nor the largest.",
        best_rate_inside,
    ),
    Point(
        "a second route, and what each costs",
        ["routes", "price"],
        "Add another route to `routes`, and the seconds a run of each to `price`.",
        second_route,
    ),
    Point(
        "your choice, with a number as its reason",
        ["choice", "routes"],
        "Write in one sentence which route you would take, and why.",
        choice_with_reason,
    ),
    Point(
        "a net with your own layer that reads 0.8 or more",
        ["net"],
        "Hand in a trained net of thirty sigmoid layers, its statistics recomputed.",
        own_layer_reads,
    ),
    Point(
        "read by recomputed statistics",
        ["read", "net"],
        "Read that net twice, by its running averages and by recomputed statistics.",
        read_by_recomputed,
    ),
    Point(
        "fused: no norm is left, the answers are the same",
        ["fused", "net"],
        "Fold every BN into the Linear before it.",
        fused_gives_the_same,
    ),
    Point(
        "exported for a batch of any size",
        ["exported", "net"],
        "Export the net with `torch.export`, in evaluation mode.",
        exported_gives_the_same,
    ),
    Point(
        "how gradients grow from layer to layer",
        ["growth"],
        "Measure the growth of the squared gradient per layer, with BN: for sigmoid and for ReLU.",
        growth_of_gradients,
    ),
    Point(
        "ReLU: BN against He's weights, and why",
        ["relu", "why"],
        "Compare both at two rates or more, three seeds each, and explain what you see.",
        relu_and_why,
    ),
    Point(
        "what was not shown",
        ["not_shown"],
        "Write the sentence that keeps a reader from believing too much.",
        what_was_not_shown,
    ),
]
