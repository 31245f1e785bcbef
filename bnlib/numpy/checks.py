"""What the normalizations ask of their arguments; each error names what came and what was expected.

The checks run at every step of every net, so the usual case takes each in a few comparisons.
"""

import math
import numbers
import operator

import numpy as np

# The dtype that the work is done in; a float16 batch is worked on in float32.
WORK = {np.dtype(t): np.dtype(w) for t, w in (("e", "f"), ("f", "f"), ("d", "d"))}


def check_array(name, v):
    """v as an array; a masked one is refused, for its mask would be lost without a word."""
    if type(v) is np.ndarray:
        return v
    if isinstance(v, np.ma.MaskedArray):
        raise TypeError(
            f"{name} is a masked array; expected values throughout: "
            "fill the masked ones (filled), or leave their rows out"
        )
    return np.asarray(v)


def check_floating(name, dtype):
    """dtype is float16, float32 or float64, in any byte order."""
    if dtype not in WORK and dtype.newbyteorder("=") not in WORK:
        raise TypeError(f"{name} has dtype {dtype}; expected float16, float32 or float64")


def check_integer(name, value):
    """value as an int."""
    try:
        return operator.index(value)
    except TypeError:
        raise TypeError(f"{name} is {value!r}; expected an integer") from None


def check_real(name, value):
    """value, a real number of any type or an array without axes, as a float."""
    number = value.item() if getattr(value, "ndim", None) == 0 else value
    if not isinstance(number, numbers.Real):
        raise TypeError(f"{name} is {value!r}; expected a real number")
    return float(number)


def check_flag(name, value):
    """value as a bool: True and False of any type, 1 and 0."""
    if value is True or value is False:
        return value
    number = value.item() if getattr(value, "ndim", None) == 0 else value
    if not isinstance(number, numbers.Real) or number not in (0, 1):
        raise TypeError(f"{name} is {value!r}; expected True or False")
    return bool(number)


def check_eps(eps, *, positive):
    """eps as a float: positive where it guards a square root, else zero or more."""
    number = eps if type(eps) is float else check_real("eps", eps)
    if not 0 <= number < math.inf or (positive and number == 0):
        wish = "a positive number in training" if positive else "zero or a positive number"
        raise ValueError(f"eps is {eps}; expected {wish}")
    return number


def check_momentum(momentum):
    """momentum as a float, 0 to 1."""
    number = momentum if type(momentum) is float else check_real("momentum", momentum)
    if not 0 <= number <= 1:
        raise ValueError(f"momentum is {momentum}; expected 0 to 1, the weight of the new value")
    return number


def check_axis(shape, axis, least=2):
    """axis as a number from 0 on, of a shape with at least so many axes."""
    axis, ndim = check_integer("axis", axis), len(shape)
    if ndim < least:
        raise ValueError(f"x has shape {shape}; expected two or more dimensions")
    if not -ndim <= axis < ndim:
        raise ValueError(f"axis is {axis}; x of shape {shape} has axes {-ndim} to {ndim - 1}")
    return axis % ndim


def check_parameter(name, v, x, shape, axis=1):
    """v as an array of this shape, of x's dtype (float16 x: float32 too)."""
    v = check_array(name, v)
    if v.shape != shape:
        where = "" if axis == 1 else f" with channels on axis {axis}"
        raise ValueError(f"{name} has shape {v.shape}; x of shape {x.shape}{where} needs {shape}")
    if v.dtype is not x.dtype and v.dtype != x.dtype:
        given, wanted = v.dtype.newbyteorder("="), x.dtype.newbyteorder("=")
        half = wanted == np.float16
        if given != wanted and not (half and given == np.float32):
            wish = "float16 or float32" if half else wanted
            raise TypeError(f"{name} has dtype {given}; x is {wanted} and needs {wish}")
    return v


def check_running(mean, var, x, shape, axis, training):
    """Both running arrays are there and fit; training can write to them."""
    for name, v in (("running_mean", mean), ("running_var", var)):
        if v is None:
            if not training:
                raise ValueError(f"{name} is None; eval mode (training=False) normalizes with it")
            raise ValueError(f"{name} is None and its partner is not; give both or neither")
        if not isinstance(v, np.ndarray):
            raise TypeError(f"{name} is a {type(v).__name__}; expected a NumPy array")
        check_parameter(name, v, x, shape, axis)
        if training and not v.flags.writeable:
            raise ValueError(f"{name} is read-only; training updates it in place")


def check_like(name, a, shape, dtype):
    """a as an array of the shape and dtype that x had."""
    a = check_array(name, a)
    if a.shape != shape:
        raise ValueError(f"{name} has shape {a.shape}; x has {shape} and they must agree")
    if a.dtype != dtype and a.dtype.newbyteorder("=") != dtype:
        raise TypeError(f"{name} has dtype {a.dtype}; x is {dtype} and they must agree")
    return a
