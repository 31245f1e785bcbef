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


@functools.lru_cache(maxsize=1)
def stored_runs():
    """Return the arrays of data/figure1_runs.npz by name, read-only, as `read_runs` does.

    data/README.md says what each array is, data/build_figure1_runs.py makes them again.
    """
    return read_runs("figure1_runs.npz", rebuild="build_figure1_runs.py")
