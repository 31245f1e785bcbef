"""What the normalizations ask of their arguments; each error names what came and what was expected.

The checks run at every step of every net, so the usual case takes each in a few comparisons.
"""

import math
import numbers
import operator

import numpy as np

# The dtype that the work is done in; a float16 batch is worked on in float32.
WORK = {np.dtype(t): np.dtype(w) for t, w in (("e", "f"), ("f", "f"), ("d", "d"))}


def floating(name, dtype):
    """dtype is float16, float32 or float64, in any byte order."""
    if dtype not in WORK and dtype.newbyteorder("=") not in WORK:
        raise TypeError(f"{name} has dtype {dtype}; expected float16, float32 or float64")


def integer(name, value):
    """value as an int."""
    try:
        return operator.index(value)
    except TypeError:
        raise TypeError(f"{name} is {value!r}; expected an integer") from None


def channel_axis(shape, axis):
    """The int axis as a number from 0 on."""
    ndim = len(shape)
    if ndim < 2:
        raise ValueError(f"x has shape {shape}; expected two or more dimensions")
    if not -ndim <= axis < ndim:
        raise ValueError(f"axis is {axis}; x of shape {shape} has axes {-ndim} to {ndim - 1}")
    return axis % ndim


def per_channel(name, v, x, axis=1):
    """v as an array with one value per channel of x, of x's dtype (float16 x: float32 too)."""
    v = np.asarray(v)
    if v.shape != (x.shape[axis],):
        where = "" if axis == 1 else f" with channels on axis {axis}"
        raise ValueError(
            f"{name} has shape {v.shape}; x of shape {x.shape}{where} needs ({x.shape[axis]},)"
        )
    return v if v.dtype is x.dtype else same_dtype(name, v, x)


def same_dtype(name, v, x):
    """v, when it has x's dtype, or float32 beside a float16 x."""
    if v.dtype != x.dtype:
        given, wanted = v.dtype.newbyteorder("="), x.dtype.newbyteorder("=")
        half = wanted == np.float16
        if given != wanted and not (half and given == np.float32):
            wish = "float16 or float32" if half else wanted
            raise TypeError(f"{name} has dtype {given}; x is {wanted} and needs {wish}")
    return v


def running_pair(mean, var, x, axis, training):
    """Both running arrays are there and fit; training can write to them."""
    for name, v in (("running_mean", mean), ("running_var", var)):
        if v is None:
            if not training:
                raise ValueError(f"{name} is None; eval mode (training=False) normalizes with it")
            raise ValueError(f"{name} is None and its partner is not; give both or neither")
        if not isinstance(v, np.ndarray):
            raise TypeError(f"{name} is a {type(v).__name__}; expected a NumPy array")
        per_channel(name, v, x, axis)
        if training and not v.flags.writeable:
            raise ValueError(f"{name} is read-only; training updates it in place")


def epsilon(eps, *, positive):
    """eps is a real number, positive where it guards a square root, else zero or more."""
    if type(eps) is not float:
        real("eps", eps)
    if not 0 <= eps < math.inf or (positive and eps == 0):
        wish = "a positive number in training" if positive else "zero or a positive number"
        raise ValueError(f"eps is {eps}; expected {wish}")


def weight_of_the_new(momentum):
    """momentum is a real number from 0 to 1."""
    if type(momentum) is not float:
        real("momentum", momentum)
    if not 0 <= momentum <= 1:
        raise ValueError(f"momentum is {momentum}; expected 0 to 1, the weight of the new value")


def real(name, value):
    """value is a float, an int or another real number."""
    if not isinstance(value, numbers.Real):
        raise TypeError(f"{name} is {value!r}; expected a real number")


def like(name, a, shape, dtype):
    """a as an array of the shape and dtype that x had."""
    a = np.asarray(a)
    if a.shape != shape:
        raise ValueError(f"{name} has shape {a.shape}; x has {shape} and they must agree")
    if a.dtype != dtype and a.dtype.newbyteorder("=") != dtype:
        raise TypeError(f"{name} has dtype {a.dtype}; x is {dtype} and they must agree")
    return a
