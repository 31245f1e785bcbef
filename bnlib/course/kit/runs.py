"""The stored training runs that notebooks show beside their live ones."""

import functools
from types import MappingProxyType

import numpy as np

from bnlib.data import data_file


def read_runs(file_name, rebuild):
    """Return the arrays of a file in data/ by name, read-only.

    rebuild   the script in data/ that makes the file again

    Like `mnist10k`, this looks into the folder that the environment variable BNLIB_DATA names, else
    beside the package; when it finds nothing, it raises the same FileNotFoundError.
    """
    with np.load(data_file(file_name, rebuild=rebuild), allow_pickle=False) as file:
        arrays = {name: file[name] for name in file.files}
    for array in arrays.values():
        array.flags.writeable = False
    return MappingProxyType(arrays)


def reader(name):
    """The function stored_runs() of the file NAME_runs.npz in data/, which is read once."""

    @functools.lru_cache(maxsize=1)
    def stored_runs():
        return read_runs(f"{name}_runs.npz", rebuild=f"build_{name}_runs.py")

    stored_runs.__doc__ = f"""Return the arrays of data/{name}_runs.npz by name, read-only.

    data/README.md says what each array is, data/build_{name}_runs.py makes them again. Raises
    FileNotFoundError as `read_runs` does.
    """
    return stored_runs


stored_runs = reader("figure1")


def best_rate(accuracy):
    """(…, rates, seeds) -> (…): the place of the rate whose median over the seeds is highest."""
    return np.median(accuracy, axis=-1).argmax(axis=-1)


def at_best_rate(accuracy, values=None):
    """(…, rates, seeds) -> (…, seeds): values (None: the accuracy itself) at the best rate."""
    best = best_rate(accuracy)[..., None, None]
    values = accuracy if values is None else values
    return np.take_along_axis(values, best, axis=-2)[..., 0, :]
