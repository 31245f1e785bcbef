"""The stored training runs that notebooks show beside their live ones."""

import functools
import os
from pathlib import Path
from types import MappingProxyType

import numpy as np

FILE_NAME = "figure1_runs.npz"


@functools.lru_cache(maxsize=1)
def stored_runs():
    """Return the arrays of data/figure1_runs.npz by name, read-only.

    data/README.md says what each array is, data/build_figure1_runs.py makes them again. Like
    `mnist10k`, this looks into the folder that the environment variable BNLIB_DATA names, else
    beside the package. Raises FileNotFoundError that says where it looked.
    """
    if folder := os.environ.get("BNLIB_DATA"):
        places = [Path(folder)]
    else:
        package = Path(__file__).resolve().parents[1]
        places = [package / "_data", package.parent / "data"]  # in a wheel, in a checkout
    for place in places:
        if (place / FILE_NAME).is_file():
            break
    else:
        raise FileNotFoundError(
            f"{places[-1] / FILE_NAME} is missing. In the course's folder, run: "
            f"git checkout -- data/{FILE_NAME} (or repeat the runs, which takes half an "
            "hour: python data/build_figure1_runs.py)."
        )
    with np.load(place / FILE_NAME, allow_pickle=False) as file:
        arrays = {name: file[name] for name in file.files}
    for array in arrays.values():
        array.flags.writeable = False
    return MappingProxyType(arrays)
