"""What a result differs by, in words: the first thing that is wrong, named."""

import warnings
from numbers import Number

import numpy as np

AXES = {2: ("example", "feature"), 3: ("example", "channel", "place")}
AXES[4] = ("example", "channel", "row", "column")


def describe_difference(
    name, result, expected, *, axis=None, has_eps=False, rtol=1e-6, words=None, tell=True
):
    """One sentence on the first thing wrong: type, shape, NaN, sign, factor, offset, mean,
    deviation, ε, then the largest error. result is any object; expected an array or a number.

    words  {size: word}: what an axis of that size holds, such as {5: "feature"}
    tell   False when expected is the answer itself, and no value of it may be told
    """
    words = words or {}
    want = as_array(expected)
    got = as_array(result)
    if want is None:
        if isinstance(result, list) and isinstance(expected, list):
            lacks = [f"`{v}`" for v in expected if v not in result]
            if lacks:
                return f"{capital(name)}: {lacks[0]} is missing."
        return f"{capital(name)}: {describe(result)} is not what is expected."
    if got is None:
        kind = "one number" if want.shape == () else f"an array of shape {want.shape}"
        return f"{capital(name)} is {describe(result)}; {kind} is expected."
    if got.shape != want.shape:
        has, wish = (_one_for_each(a.shape, words) for a in (got, want))
        if has and wish:
            return f"{capital(name)} has {has}; {wish} is expected."
        advice = ""
        if got.T.shape == want.shape:
            advice = " Transposed, it would fit."
        elif got.ndim < want.ndim and got.size == want.size:
            advice = (
                " All its values are there, with axes joined into one: undo the steps that joined "
                "them, in the reverse order."
            )
        elif got.ndim < want.ndim:
            advice = " Which axis is lost, and should it be?"
        elif sorted(got.shape) == sorted(want.shape):
            advice = " The axes stand in another order: transpose them; `reshape` would mix values."
        elif got.size == want.size:
            advice = " The number of values is right, their layout is not."
        return f"{capital(name)} has {_shape(got)}; {_shape(want)} is expected.{advice}"
    bad = ~np.isfinite(got) & np.isfinite(want)
    if bad.any():
        what = "NaN" if np.isnan(got[bad]).any() else "infinite"
        count = (
            f": {bad.sum()} of {got.size} values are {what}" if got.size > 1 else f", but {what}"
        )
        return f"{capital(name)} is not finite{count}. Is there a division by zero?"
    got, want = got.astype(float), want.astype(float)
    scale = np.abs(want).max() or 1.0
    near = max(rtol, 1e-5)

    def close(a, b):
        return np.abs(a - b).max() <= near * scale

    if close(got, -want):
        return f"{capital(name)} has the right size but the opposite sign."
    if want.size > 2:
        big = np.abs(want) > 1e-3 * scale
        factor = float(np.median(got[big] / want[big]))
        if np.abs(got).max() <= 1e-9 * scale:
            return f"{capital(name)} is zero everywhere."
        if np.isfinite(factor) and abs(factor - 1) > 1e-4 and close(got, factor * want):
            return f"{capital(name)} is {_times(factor)} what it should be, everywhere alike."
        offset = float(np.median(got - want))
        if abs(offset) > 1e-4 * scale and close(got, want + offset):
            more = "large" if offset > 0 else "small"
            return f"{capital(name)} is too {more} by {abs(offset):.3g}, everywhere alike."
    if has_eps and np.abs(got - want).max() < 5e-3 * scale:
        return (
            f"{capital(name)} is right to {_digits(got, want, scale)} digits; what is left is of "
            "ε’s size. Is `eps` added, once, to the variance, inside the root?"
        )
    if axis is not None and want.ndim > np.max(axis):
        fault = _statistics(name, got, want, axis, near, words)
        if fault:
            return fault
    place = np.unravel_index(np.abs(got - want).argmax(), want.shape)
    lead = "mean and deviation are right, but " if axis is not None else ""
    if not tell:
        right = int((np.abs(got - want) <= near * scale).sum())
        count = f": {right} of its {want.size} values are right" if want.size > 1 else ""
        return f"{capital(name)} is not right yet{count}."
    where = f" ({spot(place, want.shape, words)})" if place else ""
    a, b = apart(got[place], want[place])
    return (
        f"{capital(lead + name)} is off by up to {np.abs(got - want).max():.2g}: "
        f"{a} instead of {b}{where}."
    )


def _statistics(name, got, want, axis, near, words):
    """Mean, then deviation, over the axis; None when both are right."""
    means, wished = got.mean(axis), want.mean(axis)
    spread, wish = got.std(axis), want.std(axis)
    size = max(np.abs(wish).max(), 1e-12)
    where = f"over axis {axis}" if np.ndim(axis) == 0 else f"over axes {tuple(axis)}"
    worst = np.unravel_index(np.abs(means - wished).argmax(), means.shape)
    if np.abs(means - wished).max() > 1e3 * near * size:
        at = f", {spot(worst, means.shape, words)}," if worst else ""
        a, b = apart(means[worst], wished[worst], size)
        return f"Look at the mean first: {where}{at} {name} has mean {a}; {b} is expected."
    big = wish > 1e-6 * size
    ratio = np.atleast_1d(spread / np.where(big, wish, 1))[np.atleast_1d(big)]
    if len(ratio) and np.abs(ratio - 1).max() > 1e3 * near:
        worst = float(ratio[np.abs(np.log(np.maximum(ratio, 1e-300))).argmax()])
        how = f"{worst:.3g} times too large" if worst > 1 else f"{_inverse(worst)} times too small"
        return f"The mean is right; the standard deviation of {name} is {how}."
    return None


def axis_words(inputs, names=()):
    """{size: word} for the axes of the first array among the inputs that has two to four: no two
    sizes of an exercise's input are equal, so a size tells which axis it is.

    >>> axis_words([np.zeros((6, 4)), 0.1])
    {6: 'example', 4: 'feature'}
    """
    for shape in shapes_in(inputs):
        known = names or AXES.get(len(shape), ())
        if len(shape) > 1 and len(known) == len(shape):
            return dict(zip(shape, known, strict=True))
    return {}


def shapes_in(inputs):
    """The shapes of all arrays in the inputs, also in lists and dicts, as they come."""
    for value in inputs:
        if isinstance(value, list | tuple | dict):
            yield from shapes_in(value.values() if isinstance(value, dict) else value)
        elif getattr(value, "shape", ()):
            yield tuple(map(int, value.shape))


def spot(place, shape, words):
    """Where an index points: "example 3, feature 2", or "at [3, 2]" where no words are known."""
    known = [words.get(size) for size in shape]
    if None in known or len(set(known)) < len(known):
        return f"at [{', '.join(map(str, place))}]"
    return ", ".join(f"{word} {i}" for word, i in zip(known, place, strict=True))


def _one_for_each(shape, words):
    """ "one value for each channel and row (shape (4, 3))"; "" where a size has no word, and for a
    shape like the whole input's, which needs none."""
    known = [words.get(size) for size in shape]
    if None in known or len(set(known)) < len(known) or len(known) > 3:
        return ""
    if not known:
        return "one number for all"
    each = f"{', '.join(known[:-1])} and {known[-1]}" if len(known) > 1 else known[0]
    return f"one value for each {each} (shape {shape})"


def apart(a, b, scale=None):
    """Two numbers in as many digits as it takes to tell them apart; what is zero but for rounding
    is written 0.

    >>> apart(200.2, 200.2004)
    ('200.2', '200.2004')
    """
    scale = max(abs(a), abs(b)) if scale is None else scale
    a, b = (0.0 if abs(v) < 1e-9 * scale else float(v) for v in (a, b))
    for digits in range(3, 17):
        shown = f"{a:.{digits}g}", f"{b:.{digits}g}"
        if shown[0] != shown[1]:
            break
    return shown


def too_far(got, want, unit):
    unit = f" {unit}" if unit else ""
    if got * want < 0:
        return f"{got:.4g}{unit} has the wrong sign."
    more = "large" if abs(got) > abs(want) else "small"
    small, large = sorted((abs(got), abs(want)))
    ratio = large / small if small else np.inf
    far = (
        "" if ratio < 2 or not want else "by more than a factor of two" if ratio < 10 else "by far"
    )
    far = "by a little" if ratio < 1.1 else far
    shown = f"{got:,.0f}" if got == round(got) else f"{got:.4g}"
    return f"{shown}{unit} is too {more} {far}".rstrip() + "."


def as_array(value):
    """value as a numeric array, or None when it is none; torch tensors without importing torch,
    and numbers of other kinds (Fraction, Decimal) as floats."""
    try:
        if hasattr(value, "detach"):
            value = value.detach().cpu()
            value = (value.float() if str(value.dtype) == "torch.bfloat16" else value).numpy()
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            array = np.asarray(value)
            if array.dtype == object and array.size and all(map(_is_number, array.flat)):
                array = array.astype(float)
    except Exception:
        return None
    return array if array.dtype.kind in "biuf" else None


def _is_number(value):
    return isinstance(value, Number) and not isinstance(value, complex)  # Decimal is a Number


def like(value, wanted):
    """value in the structure of wanted, where nothing but the wrapping differs: two stacked
    results that unpack, one number in an array of one."""
    if isinstance(wanted, tuple) and len(getattr(value, "shape", ())) and len(value) == len(wanted):
        return tuple(value)
    if not isinstance(wanted, tuple | dict):
        want, got = as_array(wanted), as_array(value)
        if want is not None and got is not None and want.shape == () and got.size == 1:
            return value.reshape(()) if hasattr(value, "reshape") else got.reshape(())
    return value


def same(got, want, rtol, atol):
    """Equal in structure, shape and, within the tolerances, in value; NaN equals NaN."""
    got = like(got, want)
    if isinstance(want, tuple):
        return (
            isinstance(got, tuple | list)
            and len(got) == len(want)
            and all(same(g, w, rtol, atol) for g, w in zip(got, want, strict=True))
        )
    if isinstance(want, dict):
        return isinstance(got, dict) and all(
            key in got and same(got[key], value, rtol, atol) for key, value in want.items()
        )
    g, w = as_array(got), as_array(want)
    if w is None:
        return g is None and type(got) is type(want) and _equal(got, want)
    if g is None or g.shape != w.shape:
        return False
    with np.errstate(all="ignore"):
        return bool(np.allclose(g, w, rtol=rtol, atol=atol, equal_nan=True))


def _equal(a, b):
    try:
        return bool(a == b) or not isinstance(a, str | int | float | list | dict | type(None))
    except Exception:  # objects that cannot be compared, e.g. a generator's copy
        return True


# ── the precision of an answer ──────────────────────────────────────────────────────────────────

HALF = {"float16": 2.0**-10, "bfloat16": 2.0**-7}
SINGLE = float(np.finfo(np.float32).eps)


def precision(got, want, noise, rtol, atol):
    """How finely got agrees with want: "" to the tolerances, "float32", "float16" or "bfloat16"
    where it is off by no more than computing in that format leaves; None where by more.

    noise  how far the solution itself moves when it computes in float32 (an array like want)
    """
    if same(got, want, rtol, atol):
        return ""
    got = like(got, want)
    g, w = as_array(got), as_array(want)
    if g is None or w is None or g.shape != w.shape or w.dtype.kind != "f":
        return None
    if not (np.isfinite(g).all() and np.isfinite(w).all() and w.size):
        return None
    error, scale = np.abs(g.astype(float) - w).max(), np.abs(w).max()
    slack = min(8 * float(np.max(noise)) + 16 * SINGLE * scale, 1e-3 * scale)
    if error <= slack:
        return "float32"
    half = str(getattr(got, "dtype", "")).removeprefix("torch.")
    if half in HALF and error <= 2 * HALF[half] * scale:
        return half
    return None


def narrowed(value):
    """value with its float64 arrays and tensors in float32, to see what that costs."""
    if isinstance(value, tuple | list):
        return type(value)(narrowed(v) for v in value)
    if isinstance(value, dict):
        return {key: narrowed(v) for key, v in value.items()}
    if hasattr(value, "detach"):
        return value.float() if str(value.dtype) == "torch.float64" else value
    if isinstance(value, np.ndarray) and value.dtype == np.float64:
        return value.astype(np.float32)
    return value


def describe(value):
    array = as_array(value)
    if value is None:
        return "None"
    if array is not None and not isinstance(value, str | bytes):
        return f"{array.item():.4g}" if array.shape == () else f"an array of {_shape(array)}"
    if isinstance(value, str):
        text = value if len(value) <= 40 else value[:39] + "…"
        return f"the string `{text!r}`".replace("``", "`")
    if callable(value):
        return "a function"
    kind = type(value).__name__
    return f"{'an' if kind[0] in 'aeiou' else 'a'} {kind}"


def _shape(array):
    return "one number" if array.shape == () else f"shape {array.shape}"


def _times(factor):
    if factor < 0:
        return f"{factor:.4g} times"
    if abs(factor) < 1 and abs(1 / factor - round(1 / factor)) < 1e-3:
        return f"1/{round(1 / factor)} of"
    return f"{factor:.4g} times"


def _inverse(ratio):
    return f"{1 / ratio:.3g}" if ratio > 1e-12 else "infinitely many"


def _digits(got, want, scale):
    worst = np.abs(got - want).max() / scale
    return max(1, int(-np.log10(max(worst, 1e-16))))


def listed(names):
    return f"{names[0]} is" if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]} are"


def capital(text):
    return text[:1].upper() + text[1:]
