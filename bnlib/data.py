"""Data for the course: ten thousand real digits that ship with it, and small synthetic sets.

Nothing here downloads anything. Random sets take a `numpy.random.Generator`, so every draw is
repeatable. This module needs NumPy alone and imports nothing else of bnlib.
"""

import hashlib
import io
import os
import sys
import zipfile
import zlib
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np

__all__ = [
    "Mnist",
    "Regression",
    "as_features",
    "data_file",
    "make_activations",
    "make_two_scales",
    "minibatches",
    "mnist10k",
]

FILE_NAME = "mnist10k.npz"
FILE_SIZE = 1_619_269
FILE_SHA256 = "c66ee8b75613799fa3496aa825d401c053457917011ab12686285c906a3015f1"
ARRAYS_SHA256 = "0cd1c68ceede7756100261599c90c122d328b82119626ebba5c82491eb517ff8"
N_TRAIN = 8_000


class Mnist(NamedTuple):
    """10,000 handwritten digits, split once and for all.

    x_train  (8000, 28, 28) uint8, 0 is paper and 255 is ink      y_train  (8000,) int64 in 0..9
    x_test   (2000, 28, 28) uint8, the same                       y_test   (2000,) int64 in 0..9

    >>> digits = mnist10k()
    >>> isinstance(digits, Mnist), digits.y_test.shape
    (True, (2000,))
    """

    x_train: np.ndarray
    y_train: np.ndarray
    x_test: np.ndarray
    y_test: np.ndarray


class Regression(NamedTuple):
    """A regression set and the line that made it: y = x @ w + noise.

    x  (N, D) float64      y  (N,) float64      w  (D,) float64, the weights to be found

    >>> line = make_two_scales(np.random.default_rng(0), n=50)
    >>> isinstance(line, Regression), line.w
    (True, array([1. , 0.1]))
    """

    x: np.ndarray
    y: np.ndarray
    w: np.ndarray


def mnist10k() -> Mnist:
    """Return the course's MNIST digits, read from disk once and kept in memory.

    Returns Mnist(x_train, y_train, x_test, y_test): images (8000, 28, 28) and (2000, 28, 28)
    uint8, labels (8000,) and (2000,) int64. All ten digits are in both parts. The arrays are
    shared by every caller and read-only: copy one before changing it.

    The environment variable BNLIB_DATA names a folder to read mnist10k.npz from instead.

    Raises FileNotFoundError when the file is missing and ValueError when it is not the file that
    the course was written on (its SHA-256 differs); both say how to get it back.

    Source, licence and checksums: data/README.md.
    >>> digits = mnist10k()
    >>> digits.x_train.shape, digits.x_test.shape, digits.y_train[:4].tolist()
    ((8000, 28, 28), (2000, 28, 28), [1, 7, 7, 8])
    """
    return _load(data_file(FILE_NAME))


def as_features(images, dtype=np.float32):
    """Flatten images into rows of features between 0 and 1.

    images  (N, H, W) uint8, values 0..255
    dtype   floating dtype of the result

    Returns (N, H·W) of `dtype`: a new array, so it may be changed. Raises TypeError when images
    are not uint8 (they may have been scaled already) or dtype is not floating, ValueError when
    images do not have three axes.

    >>> as_features(np.full((2, 28, 28), 51, np.uint8)).shape
    (2, 784)
    >>> as_features(np.array([[[0, 51], [204, 255]]], np.uint8), np.float64)
    array([[0. , 0.2, 0.8, 1. ]])
    """
    images = np.asarray(images)
    if images.dtype != np.uint8:
        raise TypeError(
            f"images has dtype {images.dtype}; uint8 values 0..255 are expected "
            "(features that lie in 0..1 already need no second scaling)"
        )
    if images.ndim != 3:
        raise ValueError(f"images has shape {images.shape}; (N, H, W) is expected")
    dtype = np.dtype(dtype)
    if not np.issubdtype(dtype, np.floating):
        raise TypeError(f"dtype is {dtype}; a floating dtype such as float32 is expected")
    return images.reshape(len(images), -1).astype(dtype) / dtype.type(255)


def minibatches(x, y, batch_size, rng, *, drop_last=True) -> Iterator[tuple]:
    """Iterate over x and y once, in a fresh random order, `batch_size` rows at a time.

    x, y        N rows each, by position: row i of both belongs together. Arrays, tensors, or what
                NumPy makes arrays of: lists, the tables and columns of pandas, whose labels of
                rows do not count
    batch_size  rows per mini-batch, 1..N
    rng         numpy.random.Generator; the order is drawn from it when this function is called
    drop_last   leave out the last batch when it would be smaller (a batch of one row has no
                variance, so Batch Normalization cannot train on it)

    Yields (x_batch, y_batch), copies of batch_size rows: tensors of tensors, arrays of all else.
    Raises ValueError when x and y differ in length, have no rows, or batch_size is not in 1..N,
    TypeError when rng is not a Generator or x or y no array can be made of.

    >>> x = np.arange(5.0)
    >>> [len(x_batch) for x_batch, _ in minibatches(x, x, 2, np.random.default_rng(0))]
    [2, 2]
    >>> rows = minibatches(x, x, 2, np.random.default_rng(0), drop_last=False)
    >>> sorted(np.concatenate([x_batch for x_batch, _ in rows]).tolist())
    [0.0, 1.0, 2.0, 3.0, 4.0]
    """
    x, y = paired_rows(x, y)
    n = len(x)
    batch_size = whole_number("batch_size", batch_size, 1, n)
    order = _generator(rng).permutation(n)
    stop = n - n % batch_size if drop_last else n
    picks = (order[i : i + batch_size] for i in range(0, stop, batch_size))
    return ((x[pick], y[pick]) for pick in picks)


def make_two_scales(rng, n=100, scale=10.0, *, mean=(0.0, 0.0), noise=0.1) -> Regression:
    """Draw a linear regression whose second feature is `scale` times as wide as its first.

    rng    numpy.random.Generator
    n      rows, 2 or more
    scale  standard deviation of the second feature; the first one's is 1
    mean   the means of the two features
    noise  standard deviation of what is added to y

    Returns Regression(x (n, 2), y (n,), w (2,)) with w = (1, 1/scale): both features move y
    equally far, and only their units differ. Raises ValueError when n < 2, scale <= 0, noise < 0
    or mean is not two numbers, TypeError when rng is not a Generator.

    >>> x, y, w = make_two_scales(np.random.default_rng(0), n=10_000, scale=20.0)
    >>> x.std(axis=0).round()
    array([ 1., 20.])
    >>> (x * w).std(axis=0).round(1)
    array([1., 1.])
    """
    n = whole_number("n", n, 2)
    mean = np.asarray(mean, dtype=np.float64)
    if mean.shape != (2,):
        raise ValueError(f"mean has shape {mean.shape}; two numbers are expected")
    if not (np.isfinite(scale) and scale > 0):
        raise ValueError(f"scale is {scale!r}; a finite number above 0 is expected")
    if not (np.isfinite(noise) and noise >= 0):
        raise ValueError(f"noise is {noise!r}; a finite number, 0 or more, is expected")
    w = np.array([1.0, 1.0 / scale])
    x = mean + _generator(rng).standard_normal((n, 2)) * np.array([1.0, scale])
    y = x @ w + noise * rng.standard_normal(n)
    return Regression(x, y, w)


def make_activations(rng, n, mean, std, dtype=np.float64):
    """Draw the inputs of a layer: n rows, each column with a mean and a deviation of its own.

    rng    numpy.random.Generator
    n      rows, 1 or more
    mean   (D,) or a number: the mean of each column
    std    (D,) or a number, 0 or more: the standard deviation of each column
    dtype  floating dtype of the result; the draw itself is made in float64

    Returns (n, D) of `dtype`, normally distributed, columns independent. Raises ValueError when
    mean and std do not agree in length or a std is negative, TypeError when rng is not a Generator.

    >>> x = make_activations(np.random.default_rng(0), 10_000, mean=[0, 5], std=[1, 3])
    >>> x.mean(axis=0).round(1) + 0.0, x.std(axis=0).round(1)
    (array([0., 5.]), array([1., 3.]))
    """
    n = whole_number("n", n, 1)
    mean, std = np.atleast_1d(np.asarray(mean, float)), np.atleast_1d(np.asarray(std, float))
    if mean.ndim != 1 or std.ndim != 1 or 1 < mean.size != std.size > 1:
        raise ValueError(
            f"mean has shape {mean.shape} and std {std.shape}; one number per column is expected"
        )
    if not (std >= 0).all():
        raise ValueError(f"std is {std}; numbers that are 0 or more are expected")
    shape = (n, max(mean.size, std.size))
    return (mean + std * _generator(rng).standard_normal(shape)).astype(dtype)


def paired_rows(x, y, x_name="x", y_name="y"):
    """Return x and y with rows that go by position, or say what is wrong with them."""
    x, y = as_rows(x_name, x), as_rows(y_name, y)
    if len(x) != len(y) or len(x) == 0:
        raise ValueError(
            f"{x_name} has {len(x)} rows, {y_name} has {len(y)}; expected as many, one or more"
        )
    return x, y


def as_rows(name, a):
    """Return a as it is where a[i] is row i, else as an array: a[i] of a Series goes by label."""
    if isinstance(a, np.ma.MaskedArray):
        raise TypeError(
            f"{name} is a masked array; expected values throughout: "
            "fill the masked ones (filled), or leave their rows out"
        )
    tensor = getattr(sys.modules.get("torch"), "Tensor", np.ndarray)  # this module needs no torch
    kind = type(a).__name__
    if not isinstance(a, (np.ndarray, tensor)):
        try:
            a = np.asarray(a)
        except (TypeError, ValueError, RuntimeError) as error:
            raise TypeError(f"{name} is a {kind} that NumPy makes no array of: {error}") from error
        if a.dtype == object:
            raise TypeError(f"{name} is a {kind} of which NumPy makes objects; expected numbers")
    if a.ndim == 0:
        raise TypeError(f"{name} is a {kind} with no axis; expected rows")
    return a


def _generator(rng):
    if not isinstance(rng, np.random.Generator):
        raise TypeError(
            f"rng is of type {type(rng).__name__}; "
            "a numpy.random.Generator is expected, such as np.random.default_rng(0)"
        )
    return rng


def whole_number(name, value, low, high=None):
    """Return value as an int, or say which argument is not a whole number in low..high."""
    wanted = "a whole number, " + (f"{low} or more" if high is None else f"{low} to {high}")
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, (int, np.integer)):
        raise TypeError(f"{name} is {value!r}; {wanted}, is expected")
    if value < low or (high is not None and value > high):
        raise ValueError(f"{name} is {value}; {wanted}, is expected")
    return int(value)


# ---- the file ------------------------------------------------------------------------------------


def arrays_sha256(images, labels):
    """SHA-256 of the pixels and then the labels: what the file says, however it was compressed.

    images  (N, 28, 28) uint8
    labels  (N,) uint8
    """
    digest = hashlib.sha256(np.ascontiguousarray(images, np.uint8))
    digest.update(np.ascontiguousarray(labels, np.uint8))
    return digest.hexdigest()


def data_file(name, rebuild="build_mnist10k.py"):
    """Where a file of data/ lies: in the folder that BNLIB_DATA names, else beside the package.

    name     such as "mnist10k.npz"
    rebuild  the script of data/ that makes it

    Raises FileNotFoundError that says where it looked and how to get the file back.
    """
    if folder := os.environ.get("BNLIB_DATA"):
        places = [Path(folder)]
    else:
        package = Path(__file__).resolve().parent
        places = [package / "_data", package.parent / "data"]  # in a wheel, in a checkout
    for place in places:
        if (place / name).is_file():
            return place / name
    missing = places[-1] / name
    raise FileNotFoundError(f"{missing} is missing. {_remedy(missing, rebuild)}")


def _remedy(path, rebuild="build_mnist10k.py"):
    if os.environ.get("BNLIB_DATA"):
        return (
            f"The environment variable BNLIB_DATA is {os.environ['BNLIB_DATA']!r}: unset it, "
            f"or copy the course's data/{path.name} into that folder."
        )
    if (path.parent / rebuild).is_file():
        return (
            f"In the course's folder, run: git checkout -- data/{path.name} "
            f"(or rebuild it: python data/{rebuild})."
        )
    return "Install the package again: python -m pip install --force-reinstall --no-deps bnlib"


@lru_cache(maxsize=1)
def _load(path):
    raw = path.read_bytes()
    images, labels = _decode(raw, path)
    labels = labels.astype(np.int64)
    images.flags.writeable = labels.flags.writeable = False
    return Mnist(images[:N_TRAIN], labels[:N_TRAIN], images[N_TRAIN:], labels[N_TRAIN:])


def _decode(raw, path):
    """Return (images, labels) from the file's bytes, once they are known to be the right ones.

    Another zlib packs the same digits into other bytes: a file whose own checksum differs still
    counts when the arrays in it have theirs.
    """
    is_original = hashlib.sha256(raw).hexdigest() == FILE_SHA256
    try:
        with np.load(io.BytesIO(raw), allow_pickle=False) as file:
            images, labels = file["images"], file["labels"]
        if is_original or arrays_sha256(images, labels) == ARRAYS_SHA256:
            return images, labels
        what = f"{path} was altered: it can be read, but the digits in it are not the course's."
    except (ValueError, TypeError, KeyError, OSError, EOFError, zipfile.BadZipFile, zlib.error):
        if len(raw) < FILE_SIZE:
            what = f"{path} is cut short: {len(raw):,} bytes of {FILE_SIZE:,} are there."
        else:
            what = f"{path} was altered: it is no longer a file of arrays that NumPy can read."
    raise ValueError(f"{what} {_remedy(path)}") from None
