"""What a wrong answer did, found by the kit itself from an exercise's own solution and inputs.

    a step on the way     the result is one of the solution's own locals
    ignored               the result stays as it is when an argument changes
    terms                 a sum of known terms: which is missing, has lost a factor, was not summed
    slips                 the solution with one slip in it gives the same numbers (slips.py)
    relations             square, root, inverse, transposed, reordered, off by a factor with a name
    two slips

cause() tries them in this order and returns the first sentence, or None.
"""

import itertools
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from bnlib.course.kit import slips
from bnlib.course.kit.differences import (
    as_array,
    axis_words,
    capital,
    like,
    listed,
    same,
    shapes_in,
)

NEAR = 1e-4  # relative: answers computed in float32 are recognized, too
PATIENCE = 3.0  # seconds to try slips, where a solution is slow
USUAL = (1e-5, 1e-8, 1e-3, 1e-6, 1e-7, 1e-12, 0.1, 0.9, 0.99, 0.01, 0.999, 1.0, 2.0)


@dataclass(frozen=True)
class Term:
    """One term of a sum that an answer should return.

    name   as a verdict names it: "the term through the mean"
    value  the right term, an array shaped like the result
    wrong  {sentence: what stands there when that mistake was made}
    """

    name: str
    value: Any
    wrong: Mapping = field(default_factory=dict)


def backward_terms(dy, x_hat, scale):
    """The three terms of dx, scale · (dy − mean(dy) − x̂ · mean(dy · x̂)), for rows (m, D);
    scale is γ/s. As Ioffe & Szegedy's chain rule sorts itself (arXiv:1502.03167, section 3)."""
    m = len(dy)
    by_mean, by_variance = -scale * dy.mean(axis=0), -scale * x_hat * (dy * x_hat).mean(axis=0)
    return [
        Term("the example's own term $dy$", scale * dy),
        Term(
            "the term through the mean",
            by_mean + 0 * dy,
            {
                "In the term through the mean, `dy` is not summed over the batch: the mean carries "
                "every example's share.": -scale * dy / m,
                "In the term through the mean, the mean runs over the features; it must run over "
                "the examples, axis 0.": -scale * dy.mean(axis=1, keepdims=True),
            },
        ),
        Term(
            "the term through the variance",
            by_variance,
            {
                "In the term through the variance, $dy\\,\\hat{x}$ is not summed over the batch.": (
                    -scale * x_hat * dy * x_hat / m
                ),
                "In the term through the variance, the factor $\\hat{x}$ before the mean is "
                "missing.": by_variance / np.where(x_hat == 0, 1, x_hat),
                "In the term through the variance, the mean is that of `dy`; it must be that of "
                "$dy\\,\\hat{x}$.": -scale * x_hat * dy.mean(axis=0),
                "In the term through the variance, the mean is that of $dy\\,\\hat{x}$ over the "
                "features; it must run over the examples, axis 0.": (
                    -scale * x_hat * (dy * x_hat).mean(axis=1, keepdims=True)
                ),
            },
        ),
    ]


@dataclass(frozen=True)
class Evidence:
    """An answer and what it gave.

    run       function (candidate, inputs) -> its result: calls an answer or a solution alike
    parts     function (result, expected) -> [(name, value)] in the order in which they are judged,
              or a str that says what is wrong with the structure
    names     the arguments' names
    axes      words for the first array's axes, where the exercise gives some
    """

    answer: Any
    solution: Any
    run: Any
    parts: Any
    names: list
    trials: list
    results: list
    expected: list
    terms: Any = None
    terms_of: str = ""
    axes: Any = ()
    known: dict = field(default_factory=dict)  # what was run before

    def agrees(self, other):
        """Does another candidate give what the answer gave, in every trial?"""
        to_other = to_right = 0.0
        for inputs, result, wish in zip(self.trials, self.results, self.expected, strict=True):
            given = self.of(other, inputs)
            if not alike(result, given):
                return False
            to_other += distance(result, given)
            to_right += distance(result, wish)
        return to_other <= to_right / 8

    def agrees_first(self, other):
        """Is the answer's first wrong part the one that the candidate gives, and was all before it
        right in both?"""
        for inputs, result, wish in zip(self.trials, self.results, self.expected, strict=True):
            mine, right = self.parts(result, wish), self.parts(wish, wish)
            theirs = self.parts(self.of(other, inputs), wish)
            if isinstance(mine, str) or isinstance(theirs, str):
                return False
            for (_, got), (_, want), (_, slip) in zip(mine, right, theirs, strict=True):
                if not alike(got, want):
                    if not alike(got, slip):
                        return False
                    break
                if not alike(slip, want):
                    return False
            else:
                return False
        return True

    def of(self, candidate, inputs):
        """What a candidate gives, or the exception that it raises; run once for each trial."""
        trial = next((i for i, given in enumerate(self.trials) if given is inputs), None)
        ours = trial is not None and candidate is not self.answer
        if ours and (candidate, trial) in self.known:
            return self.known[candidate, trial]
        try:
            result = self.run(candidate, inputs)
        except Exception as error:
            result = error
        if ours:
            self.known[candidate, trial] = result
        return result


def alike(a, b):
    """Equal to float32's precision."""
    if isinstance(a, Exception) or isinstance(b, Exception):
        return False
    if isinstance(b, tuple | dict):
        return same(a, b, NEAR, 1e-9)
    array, other = as_array(a), as_array(b)
    if array is None or other is None or array.shape != other.shape or array.dtype.kind == "b":
        return same(a, b, NEAR, 1e-9)
    return same(a, b, NEAR, NEAR * np.abs(other).max(initial=0) * 0.1)


def distance(a, b):
    """How far apart two results are, relative to the second; infinite where they are not alike in
    structure."""
    a = like(a, b)
    if isinstance(b, dict):
        known = isinstance(a, dict) and b.keys() <= a.keys()
        return max(distance(a[key], b[key]) for key in b) if known else np.inf
    if isinstance(b, tuple):
        known = isinstance(a, tuple | list) and len(a) == len(b)
        return max(map(distance, a, b)) if known else np.inf
    a, b = as_array(a), as_array(b)
    if a is None or b is None or a.shape != b.shape or not b.size:
        return 0.0 if a is b is None else np.inf
    gap = np.abs(a.astype(float) - b.astype(float)).max()
    return float(gap / max(np.abs(b.astype(float)).max(), 1e-30)) if np.isfinite(gap) else np.inf


def cause(evidence):
    """The sentence for what the answer did, or None."""
    for find in (a_step_on_the_way, reordered, ignored, missing_term, slipped, related, two_slips):
        says = find(evidence)
        if says:
            return says
    return None


# ── the result is a step on the way ─────────────────────────────────────────────────────────────


def steps_of(evidence, trial=0):
    """{name: value} of the solution's locals in a trial; {} for classes and the like."""
    function = slips.with_steps(evidence.solution)
    result = evidence.of(function, evidence.trials[trial]) if function else None
    if not (isinstance(result, tuple) and len(result) == 2 and isinstance(result[1], dict)):
        return {}
    return result[1]


def a_step_on_the_way(evidence):
    result = evidence.results[0]
    array = as_array(result)
    if isinstance(evidence.expected[0], tuple | dict) or array is None or array.size < 3:
        return None
    for name, value in steps_of(evidence).items():
        if as_array(value) is not None and alike(result, value):
            if all(alike(r, steps_of(evidence, i).get(name))
                   for i, r in enumerate(evidence.results)):  # fmt: skip
                if name in evidence.names:
                    return f"Your function returns `{name}` as it came."
                whose = "" if name in slips.LETTERS else "what the solution calls "
                return f"That is {whose}`{name}`, a step on the way: what follows it is missing."
    return None


def reordered(evidence):
    """The right results in another order."""
    for result, wish in zip(evidence.results, evidence.expected, strict=True):
        result = like(result, wish)
        if not (isinstance(wish, tuple) and isinstance(result, tuple | list)):
            return None
        if len(result) != len(wish) or not any(
            all(map(alike, order, wish)) for order in itertools.permutations(result)
        ):
            return None
    return "All are right, but in another order."


# ── an argument is ignored ──────────────────────────────────────────────────────────────────────


def ignored(evidence):
    """Which arguments change the first wrong part of the right result, but not the answer's."""
    inputs, result = evidence.trials[0], evidence.results[0]
    at = first_wrong(evidence)
    if at is None:
        return None
    (what, right), (_, given) = (
        evidence.parts(r, evidence.expected[0])[at] for r in (evidence.expected[0], result)
    )
    what = f"Your `{what}`" if what.isidentifier() else capital(quoted(what))
    unused, counted = [], 0
    for place, name in enumerate(evidence.names[: len(inputs)]):
        for spot, changed in _altered(inputs[place]):
            trial = (*inputs[:place], changed, *inputs[place + 1 :])
            wish = evidence.of(evidence.solution, trial)
            if isinstance(wish, Exception) or alike(evidence.parts(wish, wish)[at][1], right):
                continue
            counted += 1
            parts = evidence.parts(evidence.of(evidence.answer, trial), wish)
            if not isinstance(parts, str) and alike(parts[at][1], given):
                unused.append((place, f"{name}{spot}", spot))
    if not unused:
        return None
    if all(spot for *_, spot in unused) and missing_term(evidence):
        return None  # a cache may say a thing twice; a lost term says more
    if len(unused) == counted:
        return f"{_after_what_is_right(evidence)}{what} is the same whatever comes in."
    names = [f"`{name}`" for _, name, _ in unused]
    before = _after_what_is_right(evidence)
    if len(names) == 1 and not unused[0][2]:
        place, name = unused[0][0], names[0]
        number = _written_in(evidence, place)
        if number is not None:
            return f"You use {number:g} whatever {name} is: use the argument {name}."
        by_zero = name == "`eps`" and slips.divides_by_eps(evidence.solution)
        more = slips.BY_ZERO if by_zero else ""
        return f"{before}{what} does not change when {name} changes: you do not use it.{more}"
    if len(names) == 1:
        return f"{before}{what} does not change when {names[0]} changes: you do not use it."
    listed = f"{', '.join(names[:-1])} and {names[-1]}"
    return f"{before}{what} does not change when {listed} change: you do not use them."


def first_wrong(evidence):
    """The place of the first wrong part in the first trial; None when there is none, when the
    structure is wrong, or when that part is no finite array."""
    parts = evidence.parts(evidence.results[0], evidence.expected[0])
    if isinstance(parts, str):
        return None
    right = evidence.parts(evidence.expected[0], evidence.expected[0])
    for at, ((_, got), (_, want)) in enumerate(zip(parts, right, strict=True)):
        if not alike(got, want):
            array = as_array(got)
            return at if array is not None and np.isfinite(array).all() else None
    return None


def _altered(value):
    """(how to name it, value changed): a number, an array, or each entry of a dict in turn."""
    if isinstance(value, Mapping):
        for key, entry in value.items():
            for _, changed in _altered(entry):
                yield f'["{key}"]', {**value, key: changed}
    elif isinstance(value, bool | str) or value is None:
        return
    elif isinstance(value, int | np.integer):
        yield "", value + 3
    elif isinstance(value, float):
        yield "", value * 1.4
    elif isinstance(value, list):
        yield "", [next((c for _, c in _altered(v)), v) for v in value]
    elif hasattr(value, "detach") or (isinstance(value, np.ndarray) and value.dtype.kind == "f"):
        factor = 1.2 + 0.6 * np.random.default_rng(0).random(tuple(value.shape))
        if hasattr(value, "detach"):
            yield "", value * value.new_tensor(factor)
        else:
            yield "", value * factor.astype(value.dtype)


def _written_in(evidence, place):
    """The number that an answer uses in place of an argument, or None."""
    if not isinstance(evidence.trials[0][place], float | int):
        return None

    def with_it(number):
        for inputs, result in zip(evidence.trials, evidence.results, strict=True):
            trial = (*inputs[:place], number, *inputs[place + 1 :])
            if not same(result, evidence.of(evidence.solution, trial), 1e-9, 1e-12):
                return False
        return True

    return None if with_it(0.0) else next((n for n in USUAL if with_it(n)), None)


# ── the terms of a sum ──────────────────────────────────────────────────────────────────────────


def missing_term(evidence):
    """Fit the result by its terms, feature by feature, and read the coefficients."""
    if evidence.terms is None:
        return None
    says = {_term_fault(evidence, trial) for trial in range(len(evidence.trials))}
    return says.pop() if len(says) == 1 else None


def _term_fault(evidence, trial):
    inputs, wish = evidence.trials[trial], evidence.expected[trial]
    parts = evidence.parts(evidence.results[trial], wish)
    if isinstance(parts, str):
        return None
    _, result = next((p for p in parts if p[0] == evidence.terms_of), parts[0])
    result, terms = as_array(result), evidence.terms(*inputs)
    shape = np.shape(terms[0].value)
    if result is None or result.shape != shape or not np.isfinite(result).all():
        return None
    right = [np.broadcast_to(term.value, shape) for term in terms]
    fit = _coefficients(right, result)
    said = None if fit is None else _read(fit, terms, evidence, trial)
    if said:
        return said
    for i, term in enumerate(terms):
        for says, value in term.wrong.items():
            tried = [*right[:i], np.broadcast_to(value, shape), *right[i + 1 :]]
            if alike(result, sum(tried)):
                return says
    return None


def _coefficients(terms, result):
    """(features, terms) coefficients of an exact fit, or None. Features lie on axis 1."""
    columns = [np.moveaxis(t, 1, 0).reshape(t.shape[1], -1) for t in (*terms, result)]
    found = []
    for *parts, wish in zip(*columns, strict=True):
        A = np.stack(parts, axis=1)
        c, *_ = np.linalg.lstsq(A, wish, rcond=None)
        if np.linalg.matrix_rank(A, tol=1e-8) < len(parts):
            return None
        if np.abs(A @ c - wish).max() > NEAR * max(np.abs(wish).max(), np.abs(A).max()):
            return None
        found.append(c)
    return np.array(found)


def _read(fit, terms, evidence, trial):
    """What the coefficients say, which should all be 1."""
    if np.abs(fit - 1).max() < 1e-3:
        return None
    zero = [t.name for t, c in zip(terms, fit.T, strict=True) if np.abs(c).max() < 1e-3]
    if len(zero) == len(terms):
        return None
    kept = [c for t, c in zip(terms, fit.T, strict=True) if t.name not in zero]
    if zero and all(np.abs(c - 1).max() < 1e-3 for c in kept):
        if len(zero) == 1:
            return f"{capital(zero[0])} is missing."
        both = zero == [t.name for t in terms[1:]] and len(terms) == 3
        also = " You take both statistics as constants." if both else ""
        return f"Missing: {' and '.join(zero)}.{also}"
    odd = [(t.name, c) for t, c in zip(terms, fit.T, strict=True) if np.abs(c - 1).max() > 1e-3]
    factors = [factor_with_a_name(c, evidence, trial) for _, c in odd]
    if None in factors or zero or len(odd) == len(terms):
        return None
    if len(set(factors)) == 1 and len(odd) > 1:
        return _factor_says(f"{' and '.join(n for n, _ in odd)} are each", factors[0])
    return _factor_says(f"{odd[0][0]} is", factors[0])


def _factor_says(what, factor):
    """what: "the term … is", or "… and … are each"."""
    if factor == "-1":
        whose = "have the wrong signs" if what.endswith("are each") else "has the wrong sign"
        return f"{capital(what.removesuffix(' is').removesuffix(' are each'))} {whose}."
    more = {
        "$m$": ": a sum where a mean belongs; the factor $1/m$ is missing.",
        "$1/m$": ": is a sum over the batch missing?",
    }.get(factor, ".")
    they = "they" if what.endswith("are each") else "it"
    return f"{capital(what)} {factor} times what {they} should be{more}"


# ── a factor with a name ────────────────────────────────────────────────────────────────────────


def factor_with_a_name(factor, evidence, trial):
    """ "$m$", "1/`s`", "-1" … for a factor (a number, or one for each feature); None if unknown."""
    factor = np.asarray(factor, dtype=float)

    def hits(value):
        try:
            return np.allclose(factor, value, rtol=1e-3, atol=0)
        except ValueError:
            return False

    if hits(-1.0):
        return "-1"
    for name, value in named_values(evidence, trial).items():
        if not np.all(value):
            continue
        for shown, candidate in ((name, value), (f"1/{name}", 1 / value)):
            for sign in ("", "-"):
                if hits(candidate if not sign else -candidate):
                    return sign + shown.replace("1/$m$", "$1/m$").replace("1/$m-1$", "$1/(m-1)$")
    sizes = {n: v for n, v in named_values(evidence, trial).items() if n.startswith(("$m", "the "))}
    for (a, x), (b, y) in itertools.permutations(sizes.items(), 2):
        if y and hits(x / y):
            return f"{a} over {b}".replace("$ over $", "/")
    return None


def named_values(evidence, trial):
    """What an answer is likely to be off by: m, m − 1, 2, ε, the arguments and the steps that hold
    one number for each feature."""
    inputs = evidence.trials[trial]
    words = axis_words(inputs, evidence.axes)
    main = next((shape for shape in shapes_in(inputs) if len(shape) > 1), None)
    found = {}
    if main is not None and (not words or "example" in words.values()):  # else there is no m
        m = int(np.prod([d for axis, d in enumerate(main) if axis != 1]))
        found |= {"$m$": m, "$m-1$": m - 1, "$m/(m-1)$": m / max(m - 1, 1)}
    others = {size: word for size, word in words.items() if size != found.get("$m$")}
    found |= {f"the number of {word}s": size for size, word in others.items()}
    found |= {"2": 2, "10": 10, "100": 100}
    named = dict(zip(evidence.names, inputs, strict=False)) | steps_of(evidence, trial)
    if isinstance(named.get("m"), int) and "$m$" not in found:
        m = named["m"]
        found |= {"$m$": m, "$m-1$": m - 1, "$m/(m-1)$": m / (m - 1)}
    features = main[1] if main is not None else None
    for name, value in named.items():
        array = as_array(value)
        known = name in evidence.names or name in slips.LETTERS - {"m"}
        if array is None or array.dtype.kind == "b" or not known:
            continue
        if array.size in (1, features) and np.all(array != 0):
            found[f"`{name}`"] = array.reshape(-1) if array.size > 1 else float(array.reshape(()))
    squares = {f"{name}²": value**2 for name, value in found.items() if name.startswith("`")}
    roots = {"$\\sqrt{m}$": np.sqrt(found["$m$"])} if "$m$" in found else {}
    return found | squares | roots


# ── slips ───────────────────────────────────────────────────────────────────────────────────────


def slipped(evidence):
    """One slip that gives the same; then one that gives the same first wrong part; then two."""
    known = (*slips.slips(evidence.solution), *_by_rows(evidence))
    stop = time.monotonic() + PATIENCE
    for agrees in (evidence.agrees, evidence.agrees_first):
        for slip in known:
            if agrees(slip.function):
                return _after_what_is_right(evidence) + slip.says
            if time.monotonic() > stop:
                return None
    return None


def two_slips(evidence):
    """Two slips at once: many to try, so it comes last, and only where the shape is right."""
    if isinstance(evidence.solution, type) or not np.isfinite(
        distance(evidence.results[0], evidence.expected[0])
    ):
        return None  # another structure or shape, or not finite: two slips would be a guess
    for slip in slips.pairs(evidence.solution):
        if alike(evidence.results[0], evidence.of(slip.function, evidence.trials[0])):
            if evidence.agrees(slip.function):
                return slip.says
    return None


def _after_what_is_right(evidence):
    parts = evidence.parts(evidence.results[0], evidence.expected[0])
    if isinstance(parts, str):
        return ""
    right = evidence.parts(evidence.expected[0], evidence.expected[0])
    good = []
    for (name, got), (_, want) in zip(parts, right, strict=True):
        if not alike(got, want):
            return right_so_far(good)
        good.append(name)
    return ""


def right_so_far(good):
    """ "`mu` is right. ", for the names of the steps before the first wrong one."""
    good = [quoted(name) for name in good]
    if not good:
        return ""
    if len(good) > 3:
        return f"The first {len(good)} steps are right. "
    return f"{capital(listed(good))} right. "


def quoted(name, otherwise="your result"):
    """A part's name in a sentence: `mu_B`, or the words of a scenario as they stand."""
    return f"`{name}`" if name.isidentifier() else name or otherwise


def _by_rows(evidence):
    """Images made rows by a `reshape` that mixes channels, and made images again."""
    first = evidence.trials[0][0] if evidence.trials[0] else None
    if len(getattr(first, "shape", ())) != 4 or evidence.run is None:
        return

    def mixed(order):
        def function(x, *rest, **more):
            N, C, H, W = x.shape
            shape = (N, C, H, W)
            cut = tuple(shape[i] for i in order)
            back = tuple(int(i) for i in np.argsort(order))

            def back_again(value):
                if getattr(value, "shape", None) != x.shape:
                    return value
                moved = value.permute(order) if hasattr(x, "permute") else value.transpose(order)
                return moved.reshape(x.shape)

            moved = x.reshape(cut)
            moved = moved.permute(back) if hasattr(x, "permute") else moved.transpose(back)
            result = evidence.solution(moved, *rest, **more)
            return tuple(map(back_again, result)) if isinstance(result, tuple) else (
                back_again(result))  # fmt: skip

        return function

    for order in ((1, 0, 2, 3), (0, 2, 3, 1)):
        yield slips.Slip("rows", slips._RESHAPE, mixed(order))


# ── relations ───────────────────────────────────────────────────────────────────────────────────


def related(evidence):
    """What the first wrong part is to the right one."""
    says = {_relation(evidence, trial) for trial in range(len(evidence.trials))}
    return (says.pop() if len(says) == 1 else None) or _number_for_m(evidence)


def _number_for_m(evidence):
    """Off by m over one number that is the same in all trials, while m is not."""
    numbers, sizes = set(), set()
    for trial, (result, wish) in enumerate(zip(evidence.results, evidence.expected, strict=True)):
        got, want = as_array(result), as_array(wish)
        m = named_values(evidence, trial).get("$m$")
        if m is None or got is None or want is None or got.shape != want.shape or not got.any():
            return None
        factor = float(np.median(got[want != 0] / want[want != 0]))
        if not alike(got, factor * want):
            return None
        numbers.add(round(m / factor, 3))
        sizes.add(m)
    if len(numbers) == 1 < len(sizes):
        return (
            f"Your function divides by {numbers.pop():g} whatever the size of the batch is: take "
            "the size from the input."
        )
    return None


def _relation(evidence, trial):
    wish = evidence.expected[trial]
    mine, right = evidence.parts(evidence.results[trial], wish), evidence.parts(wish, wish)
    if isinstance(mine, str):
        return None
    good = []
    for (name, got), (_, want) in zip(mine, right, strict=True):
        if alike(got, want):
            good.append(name)
            continue
        what = quoted(name)
        got, want = as_array(got), as_array(want)
        if got is None or want is None or got.dtype.kind == "b" or want.dtype.kind != "f":
            return None
        says = relation(what, got.astype(float), want) or _off_by(what, got, want, evidence, trial)
        return right_so_far(good) + says if says else None
    return None


def relation(what, got, want):
    """Square, root, inverse, transposed, reordered: a sentence, or None."""
    if got.shape != want.shape:
        if got.ndim > 1 and got.T.shape == want.shape and alike(got.T, want):
            return f"{capital(what)} is transposed; otherwise it is right."
        return None
    if not np.isfinite(got).all() or (want.size > 1 and np.ptp(want) == 0):
        return None
    with np.errstate(all="ignore"):
        for words, value in (
            ("the square of what is asked for", want**2),
            ("the root of what is asked for", np.sqrt(want)),
            ("upside down: one divided by what is asked for", 1 / want),
            ("the absolute value of what is asked for", np.abs(want)),
        ):
            if np.isfinite(value).all() and alike(got, value) and not alike(got, want):
                return f"{capital(what)} is {words}."
    if got.ndim > 1 and alike(np.sort(got, axis=0), np.sort(want, axis=0)):
        return f"{capital(what)} has the right examples in another order."
    if got.size > 3 and alike(np.sort(got, axis=None), np.sort(want, axis=None)):
        how = (
            " A `reshape` keeps the order in memory; to move an axis takes `transpose` or "
            "`np.moveaxis`."
            if got.ndim > 1
            else ""
        )
        return f"{capital(what)} holds the right numbers in the wrong places.{how}"
    return None


def _off_by(what, got, want, evidence, trial):
    """Off by a factor that has a name, everywhere alike or feature by feature."""
    if got.shape != want.shape or not np.isfinite(got).all() or not got.any():
        return None
    big = np.abs(want) > 1e-3 * np.abs(want).max()
    with np.errstate(all="ignore"):
        ratio = np.where(big, got / want, np.nan)
    axes = tuple(a for a in range(want.ndim) if a != 1) if want.ndim > 1 else ()
    for factor in (np.nanmedian(ratio), np.nanmedian(ratio, axis=axes) if axes else ratio):
        spread = np.expand_dims(factor, axes) if axes and np.ndim(factor) else factor
        if alike(got, spread * want):
            name = factor_with_a_name(factor, evidence, trial)
            if name == "-1":
                return f"{capital(what)} has the right size but the opposite sign."
            return f"{capital(what)} is {name} times what it should be." if name else None
    return None
