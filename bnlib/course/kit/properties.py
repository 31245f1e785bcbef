"""What a right answer keeps, whatever the numbers are, and the smallest input on which it does not.

An exercise lists properties; a check tries them before it compares numbers. Each names the
arguments it works on, by the names in the solution's signature, and, where an answer returns
several things, the one it is about (`of`).
"""

import inspect
import itertools
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from bnlib.course.kit.differences import apart, as_array, spot

NEAR = 1e-3  # relative: coarse enough for float32 inside, fine enough for each known slip
PATIENCE = 0.5  # seconds to look for a smaller input


@dataclass(frozen=True)
class Property:
    """name: a few words, for tests; test: function (run, inputs, words) -> None, or a sentence.

    run     function (of=None, **inputs) -> the answer's result, or its part `of`, as an array;
            None where the answer gives no such array
    inputs  {argument: value}
    words   {size: word} of the axes, for `spot`
    """

    name: str
    test: Callable


def normalized(x="x", eps="eps", axis=0, of=None):
    """Over the axis, the result has mean 0 and variance σ²/(σ² + ε) = 1 − ε/(σ² + ε)."""

    def test(run, inputs, words):
        y, given = run(of, **inputs), as_array(inputs[x])
        if y is None or y.shape != given.shape:
            return None
        mean, var = y.mean(axis), y.var(axis)
        wish = given.var(axis)
        wish = wish / (wish + inputs.get(eps, 0))
        at = np.unravel_index(np.abs(mean).argmax(), mean.shape)
        if abs(mean[at]) > NEAR:
            return f"{_of(at, mean, words)} has mean {mean[at]:.3g}, not 0."
        at = np.unravel_index(np.abs(var - wish).argmax(), var.shape)
        if abs(var[at] - wish[at]) > NEAR * wish[at]:
            got, want = apart(var[at], wish[at])
            rule = "$\\sigma^2/(\\sigma^2+\\varepsilon)$ = " if eps in inputs else ""
            return f"{_of(at, mean, words)} has variance {got}, not {rule}{want}."
        return None

    return Property("mean 0 and variance 1 − ε/(σ² + ε)", test)


def shift_changes_nothing(x="x", of=None):
    """The same number added to all values changes no result."""

    def test(run, inputs, words):
        moved = {**inputs, x: inputs[x] + 3}
        return _differs(run(of, **inputs), run(of, **moved), f"adding 3 to all of `{x}`", words)

    return Property("a shift changes nothing", test)


def scale_changes_nothing(x="x", eps="eps", of=None):
    """A factor on all values (and its square on ε) changes no result."""

    def test(run, inputs, words):
        larger = {**inputs, x: inputs[x] * 4}
        if eps in inputs:
            larger[eps] = inputs[eps] * 16
        with_eps = f" (and `{eps}` 16 times as large)" if eps in inputs else ""
        change = f"making `{x}` 4 times as large{with_eps}"
        return _differs(run(of, **inputs), run(of, **larger), change, words)

    return Property("a factor changes nothing", test)


def order_changes_nothing(x="x", also=(), of=None):
    """The examples in another order give the same results, in that order (or the same, where the
    result has no axis of examples). also: other arguments with an axis of examples."""

    def test(run, inputs, words):
        m = len(inputs[x])
        order = [*range(1, m), 0]
        moved = {**inputs, **{name: inputs[name][order] for name in (x, *also)}}
        before, after = run(of, **inputs), run(of, **moved)
        if before is None or after is None or before.shape != after.shape:
            return None
        if before.ndim and len(before) == m:
            before = before[order]
        return _differs(before, after, "putting the examples in another order", words)

    return Property("the order of the examples changes nothing but the order", test)


def each_example_alone(x="x", of=None):
    """An example gets the same result alone as in company (inference mode)."""

    def test(run, inputs, words):
        together, alone = run(of, **inputs), run(of, **{**inputs, x: inputs[x][:1]})
        if together is None or alone is None or not (together.ndim and alone.ndim):
            return None
        change = "giving the first example alone, without the others,"
        return _differs(together[0], alone[0], change, words)

    return Property("each example alone", test)


def equation(name, sides, says, of=None):
    """sides: function (result, **inputs) -> two arrays that must be equal. says: the sentence,
    with {left}, {right} and {where} for the two values, and where, of the worst place."""

    def test(run, inputs, words):
        result = run(of, **inputs)
        if result is None:
            return None
        try:
            left, right = (np.asarray(side, dtype=float) for side in sides(result, **inputs))
        except (ValueError, IndexError):  # a wrong shape is told elsewhere
            return None
        if left.shape != right.shape or not np.isfinite(left).all():
            return None
        scale = max(np.abs(result).max(), np.abs(right).max(), 1e-30)
        at = np.unravel_index(np.abs(left - right).argmax(), left.shape)
        if abs(left[at] - right[at]) <= NEAR * scale:
            return None
        got, want = apart(left[at], right[at], scale)
        where = spot(at, left.shape, words) if left.shape else ""
        return says.format(left=got, right=want, where=where)

    return Property(name, test)


def sums_to_zero(axis=0, of=None):
    """The gradients of a feature add up to 0: moving all its x alike changes no y."""
    return equation(
        "Σ dx = 0",
        lambda dx, **_: (dx.sum(axis), 0 * dx.sum(axis)),
        "the gradients of {where} add up to {left}. They must add up to 0: moving all x of a "
        "feature alike changes no y.",
        of,
    )


def orthogonal_to_x_hat(x_hat, scale, eps_share, axis=0, dy="dy", of=None):
    """Σ dx·x̂ is 0 but for ε: γ/s · ε/(σ² + ε) · Σ dy·x̂, since scaling x changes y by ε alone.

    x_hat, scale, eps_share  functions (**inputs) -> x̂, γ/s, ε/(σ² + ε)
    """
    return equation(
        "Σ dx·x̂ = 0, but for ε",
        lambda dx, **inputs: (
            (dx * x_hat(**inputs)).sum(axis),
            scale(**inputs)
            * eps_share(**inputs)
            * (as_array(inputs[dy]) * x_hat(**inputs)).sum(axis),
        ),
        "$\\sum dx\\,\\hat{{x}}$ of {where} is {left}. But for ε (which leaves {right} here) it "
        "must be 0: making all distances from the mean larger changes no y.",
        of,
    )


def _of(at, array, words):
    return f"{spot(at, array.shape, words)} of your result" if at else "your result"


def _differs(before, after, change, words):
    if before is None or after is None or before.shape != after.shape or not before.size:
        return None
    scale = np.abs(before).max() or 1.0
    gap = np.abs(before - after)
    if not np.isfinite(gap).all() or gap.max() <= NEAR * scale:
        return None
    at = np.unravel_index(gap.argmax(), gap.shape)
    old, new = apart(before[at], after[at], scale)
    where = f" ({spot(at, gap.shape, words)})" if gap.size > 1 else ""
    return f"{change} changes your result from {old} to {new}{where}; it should change nothing."


# ── the smallest input ──────────────────────────────────────────────────────────────────────────


def first_broken(properties, run, sound, inputs, words):
    """(property, sentence, the smallest inputs found) of the first property that an answer breaks.

    run, sound  the answer and the solution, as Property.test calls them
    """
    for kept in properties:
        says = _safely(kept, run, inputs, words)
        if says and not _safely(kept, sound, inputs, words):
            small = _smallest(kept, run, sound, inputs)
            return kept, _safely(kept, run, small, _words(inputs, small, words)) or says, small
    return None


def _safely(kept, run, inputs, words):
    try:
        with np.errstate(all="ignore"):
            return kept.test(run, inputs, words)
    except Exception:  # an answer that stops on this input is told elsewhere
        return None


def _smallest(kept, run, sound, inputs):
    """Fewer examples, fewer features, rounder numbers, as long as the property stays broken."""
    stop = time.monotonic() + PATIENCE

    def shows(small):
        try:
            return _safely(kept, run, small, {}) and not _safely(kept, sound, small, {})
        except Exception:
            return False

    for change in itertools.chain(_fewer(inputs), ROUND):
        small = change(inputs)
        if time.monotonic() < stop and shows(small):
            inputs = small
    return inputs


def _fewer(inputs):
    """Cuts of one size after the other, in all arguments at once: no two sizes are equal. Two
    examples at least: one alone has no statistics."""
    shapes = [getattr(value, "shape", ()) for value in inputs.values()]
    batch = next((shape[0] for shape in shapes if len(shape) > 1), None)
    for size in sorted({d for shape in shapes for d in shape}, reverse=True):
        for few in (1, 2, 3):  # once one of them shows it, no axis has this size any more
            if (2 if size == batch else 1) <= few < size:
                yield lambda given, size=size, few=few: {
                    name: _cut(value, size, few) for name, value in given.items()
                }


def _cut(value, size, few):
    shape = getattr(value, "shape", ())
    index = tuple(slice(few if d == size else None) for d in shape)
    return value[index] if size in shape else value


def _rounder(factor, digits):
    """All values in round numbers, larger by a factor where they would round to 0."""

    def rounded(inputs):
        found = {}
        for name, value in inputs.items():
            if isinstance(value, float):
                found[name] = round(value, 1) or value
            elif isinstance(value, np.ndarray) and value.dtype.kind == "f":
                found[name] = (factor * value).round(digits) + 0.0  # no −0
            else:
                found[name] = value
        return found

    return rounded


ROUND = (_rounder(3, 1), _rounder(1, 1), _rounder(1, 0))  # the roundest that shows it comes last


def _words(inputs, small, words):
    """The words of the axes, by the sizes that are left."""
    found = {}
    for name, value in inputs.items():
        shapes = getattr(value, "shape", ()), getattr(small[name], "shape", ())
        for old, new in zip(*shapes, strict=True):
            found.setdefault(new, words.get(old))
            if found[new] != words.get(old):
                found[new] = None  # two axes have become one size
    return {size: word for size, word in found.items() if word}


def written(inputs, width=90):
    """The inputs as one would type them, or "" where that is long."""
    shown = []
    for name, value in inputs.items():
        array = as_array(value)
        if array is None:
            return ""
        text = "[" + ", ".join(map(str, array.tolist())) + "]" if array.ndim else f"{array:.3g}"
        shown.append(f"{name} = {text.replace('.0,', ',').replace('.0]', ']')}")
    text = ", ".join(shown)
    return f"`{text}`" if len(text) <= width else ""


def parameters_of(function, skip=0):
    return list(inspect.signature(function).parameters)[skip:]
