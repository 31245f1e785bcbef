"""What a result differs by, in words: the first thing that is wrong, named."""

import warnings

import numpy as np


def describe_difference(name, result, expected, *, axis=None, has_eps=False, rtol=1e-6):
    """One sentence on the first thing wrong: type, shape, NaN, sign, factor, offset, mean,
    deviation, ε, then the largest error. result is any object; expected an array or a number."""
    want = as_array(expected)
    got = as_array(result)
    if got is None:
        kind = "one number" if want.shape == () else f"an array of shape {want.shape}"
        return f"{capital(name)} is {describe(result)}; {kind} is expected."
    if got.shape != want.shape:
        advice = ""
        if got.T.shape == want.shape:
            advice = " Transposed, it would fit."
        elif got.ndim < want.ndim:
            advice = " Which axis is lost, and should it be?"
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
        if not got.any():
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
        fault = _statistics(name, got, want, axis, near)
        if fault:
            return fault
    place = np.unravel_index(np.abs(got - want).argmax(), want.shape)
    where = f" at [{', '.join(map(str, place))}]" if place else ""
    values = f"{got[place]:.4g} instead of {want[place]:.4g}"
    lead = "mean and deviation are right, but " if axis is not None else ""
    return (
        f"{capital(lead + name)} is off by up to {np.abs(got - want).max():.2g}: {values}{where}."
    )


def _statistics(name, got, want, axis, near):
    """Mean, then deviation, over the axis; None when both are right."""
    means, wished = got.mean(axis), want.mean(axis)
    spread, wish = got.std(axis), want.std(axis)
    size = max(np.abs(wish).max(), 1e-12)
    where = f"over axis {axis}" if np.ndim(axis) == 0 else f"over axes {tuple(axis)}"
    worst = np.unravel_index(np.abs(means - wished).argmax(), means.shape)
    if np.abs(means - wished).max() > 1e3 * near * size:
        at = f", channel {worst[0]}," if worst else ""
        return (
            f"Look at the mean first: {where}{at} {name} has mean {_short(means[worst], size)}; "
            f"{_short(wished[worst], size)} is expected."
        )
    big = wish > 1e-6 * size
    ratio = np.atleast_1d(spread / np.where(big, wish, 1))[np.atleast_1d(big)]
    if len(ratio) and np.abs(ratio - 1).max() > 1e3 * near:
        worst = float(ratio[np.abs(np.log(np.maximum(ratio, 1e-300))).argmax()])
        how = f"{worst:.3g} times too large" if worst > 1 else f"{_inverse(worst)} times too small"
        return f"The mean is right; the standard deviation of {name} is {how}."
    return None


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
    """value as a numeric array, or None when it is none; torch tensors without importing torch."""
    try:
        if hasattr(value, "detach"):
            value = value.detach().cpu()
            value = (value.float() if str(value.dtype) == "torch.bfloat16" else value).numpy()
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            array = np.asarray(value)
    except Exception:
        return None
    return array if array.dtype.kind in "biuf" else None


def same(got, want, rtol, atol):
    """Equal in structure, shape and, within the tolerances, in value; NaN equals NaN."""
    if isinstance(want, tuple):
        return (
            isinstance(got, tuple | list)
            and len(got) == len(want)
            and all(same(g, w, rtol, atol) for g, w in zip(got, want, strict=True))
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


def _short(value, scale):
    """Three digits; what is zero but for rounding is written 0."""
    return "0" if abs(value) < 1e-9 * scale else f"{value:.3g}"


def _inverse(ratio):
    return f"{1 / ratio:.3g}" if ratio > 1e-12 else "infinitely many"


def _digits(got, want, scale):
    worst = np.abs(got - want).max() / scale
    return max(1, int(-np.log10(max(worst, 1e-16))))


def listed(names):
    return f"{names[0]} is" if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]} are"


def capital(text):
    return text[:1].upper() + text[1:]
