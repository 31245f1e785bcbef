"""claim: a sentence of the course, checked where it is stated."""

import numpy as np


def claim(text, condition):
    """Print "✓ text" when the condition holds; stop the notebook when it does not.

    text       str, the sentence as the prose states it
    condition  bool, or anything that holds exactly one bool: NumPy scalar, 0-d array, torch scalar

    Returns None. Raises AssertionError naming the text when the condition is False, TypeError when
    the condition is no bool (a whole array, a number, a string would pass by accident: use
    .all(), or compare), ValueError when the text is empty.

    >>> claim("the halves add up to one", 0.5 + 0.5 == 1.0)
    ✓ the halves add up to one
    """
    if not isinstance(text, str):
        raise TypeError(f"text is of type {type(text).__name__}; a claim starts with its sentence")
    if not text.strip():
        raise ValueError("text is empty; a claim needs the sentence that it proves")
    if not _as_bool(condition):
        raise AssertionError(f"✗ {text}")
    print(f"✓ {text}")


def _as_bool(condition):
    """The bool inside a condition; duck-typed, so that torch need not be imported."""
    if isinstance(condition, bool | np.bool_):
        return bool(condition)
    shape, dtype = getattr(condition, "shape", None), getattr(condition, "dtype", None)
    if shape is None:
        raise TypeError(
            f"condition is {condition!r} of type {type(condition).__name__}; "
            "it must be True or False, for instance a comparison"
        )
    if tuple(shape) != () or str(dtype) not in ("bool", "torch.bool"):
        raise TypeError(
            f"condition has shape {tuple(shape)} and dtype {dtype}; it must be one bool: "
            "compare, then .all() or .any()"
        )
    return bool(condition)
