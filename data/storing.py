"""What the scripts that repeat stored runs share: their options, their processes, their file.

A script gives `repeat` its runs, part by part: name -> (shape of the grid, a list with what
describes each run, which measurements to keep).
"""

import argparse
import io
import multiprocessing
import os
import time
import zipfile
from concurrent.futures import ProcessPoolExecutor
from itertools import product
from pathlib import Path

import numpy as np


def over_grids(parts):
    """The runs of parts given as name -> (axes, a function of a point of their grid, keep)."""
    return {
        name: (tuple(map(len, axes)), [run(*point) for point in product(*axes)], keep)
        for name, (axes, run, keep) in parts.items()
    }


def measure(runs, run_one, run_all=map):
    """Run all parts, through run_all(run_one, what describes each run).

    Returns name of the part and the measurement -> array; its first axes are those of the grid.
    """
    arrays, start = {}, time.monotonic()
    for name, (shape, described, keep) in runs.items():
        results = list(run_all(run_one, described))
        for key in keep:
            stacked = np.stack([result[key] for result in results])
            arrays[f"{name}_{key}"] = stacked.reshape(*shape, *stacked.shape[1:])
        print(f"{name}: {len(results)} runs, {time.monotonic() - start:.0f} s", flush=True)
    return arrays


def repeat(doc, output, runs, run_one, constants, arguments=None):
    """The command line of a script: run its parts, or those that --only names, and store them.

    constants  name -> array, stored beside the measurements, before them
    """
    parser = argparse.ArgumentParser(
        description=doc, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, metavar="N")
    parser.add_argument("--only", nargs="+", choices=runs, default=list(runs), metavar="PART")
    parser.add_argument("--output", type=Path, default=output, metavar="FILE")
    options = parser.parse_args(arguments)
    for name in ("OMP", "OPENBLAS", "MKL", "VECLIB_MAXIMUM"):
        os.environ[f"{name}_NUM_THREADS"] = "1"  # small products are fastest on one thread
    names = [f"{part}_{key}" for part, (_, _, keep) in runs.items() for key in keep]
    arrays = {}
    if set(options.only) < set(runs) and options.output.exists():
        with np.load(options.output) as file:
            arrays = {name: file[name] for name in names if name in file.files}
    with ProcessPoolExecutor(options.jobs, multiprocessing.get_context("spawn")) as pool:
        arrays |= measure({name: runs[name] for name in options.only}, run_one, pool.map)
    stored = {name: arrays[name] for name in names if name in arrays}
    options.output.write_bytes(pack(constants | stored))
    print(f"{options.output}: {options.output.stat().st_size:,} bytes")


def pack(arrays):
    """Return an .npz file's bytes that depend on the arrays (and on zlib) alone: no clock in it."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, array in arrays.items():
            entry = zipfile.ZipInfo(f"{name}.npy", date_time=(1980, 1, 1, 0, 0, 0))
            entry.compress_type, entry.create_system = zipfile.ZIP_DEFLATED, 3
            entry.external_attr = 0o644 << 16
            body = io.BytesIO()
            np.lib.format.write_array(body, array, version=(1, 0), allow_pickle=False)
            archive.writestr(entry, body.getvalue(), compresslevel=9)
    return file.getvalue()
