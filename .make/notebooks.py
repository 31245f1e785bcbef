"""Execute the course's notebooks, and keep their files a function of their sources and results.

usage: python .make/notebooks.py run [03 …]        execute in place, then normalise
       python .make/notebooks.py check [03 …]      execute in memory; fail where a byte would change
       python .make/notebooks.py normalise [03 …]  normalise in place, without executing

A notebook is named by its number, by the start of its file name, or by its path; without a name,
all of notebooks/ are meant. Each runs in a fresh kernel of the Python that runs this script, in its
own folder. A notebook with an error in it is reported and left as it was.
"""

import argparse
import asyncio
import base64
import difflib
import hashlib
import io
import itertools
import json
import os
import platform
import re
import sys
import tempfile
import time
from pathlib import Path

import nbformat

ROOT = Path(__file__).resolve().parents[1]
NOTEBOOKS = ROOT / "notebooks"
TIMEOUT = 300  # seconds a cell may take; a whole notebook should take less than 45

# Sums depend in their last digits on the order in which a processor adds, and hundreds of training
# steps amplify that until a curve looks different. So the files are made with the arithmetic that
# every x86-64 processor of the last ten years has: one thread, AVX2 and no more. Readers run them
# with what they have; the claims leave room for that (BNLIB_ARITHMETIC in tests/test_notebooks.py).
ENVIRONMENT = {
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "VECLIB_MAXIMUM_THREADS": "1",
    "PYDEVD_DISABLE_FILE_VALIDATION": "1",  # a debugger's warning that has no place in a cell
}
AVX512 = "X86_V4 AVX512_ICL AVX512_SPR AVX512F AVX512CD AVX512_SKX AVX512_CLX AVX512_CNL"
PINNED = platform.machine() in ("x86_64", "AMD64")
if PINNED:
    ENVIRONMENT |= {
        "OPENBLAS_CORETYPE": "Haswell",
        "NPY_DISABLE_CPU_FEATURES": AVX512,
        "ATEN_CPU_CAPABILITY": "avx2",
        "ONEDNN_MAX_CPU_ISA": "AVX2",
        "MKL_ENABLE_INSTRUCTIONS": "AVX2",
    }
OTHER_ARITHMETIC = {
    "OMP_NUM_THREADS": "2",
    "OPENBLAS_NUM_THREADS": "2",
    "MKL_NUM_THREADS": "2",
}
if PINNED:
    OTHER_ARITHMETIC |= {
        "OPENBLAS_CORETYPE": "Sandybridge",
        "NPY_DISABLE_CPU_FEATURES": f"{AVX512} X86_V3 FMA3 AVX2",
        "ATEN_CPU_CAPABILITY": "default",
        "ONEDNN_MAX_CPU_ISA": "SSE41",
    }

KERNELSPEC = {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"}
KEPT_CELL_METADATA = ("slide", "slideshow", "tags")
KEPT_METADATA = ("authors", "title")
WIDGET_STATE = "application/vnd.jupyter.widget-state+json"
WIDGET_VIEW = "application/vnd.jupyter.widget-view+json"
LINKS = (
    "LinkModel",
    "DirectionalLinkModel",
)  # refer to the widgets that they join, not the reverse


class CellFailed(Exception):
    """A cell raised; the text names the cell and carries its error."""


# ---- normalise -----------------------------------------------------------------------------------


def normalise(text):
    """Return a notebook's text with everything gone that changes though its results do not.

    text  str, a notebook file of format 4

    Timings, trust and user-interface marks are dropped; slide types, tags and outputs stay. Cells
    keep the ids they have, so that a new cell renames no other; widgets are named 1, 2, … in the
    order in which outputs refer to them; widgets that no output refers to are dropped. The version
    of Python is that of the last run. normalise(normalise(t)) == normalise(t).
    """
    nb = json.loads(text)
    nb["nbformat_minor"] = 5
    name_cells(nb["cells"])
    nb = nbformat.reads(json.dumps(nb), as_version=4)
    for cell in nb.cells:
        _normalise_cell(cell)
    widgets = nb.metadata.get("widgets", {}).get(WIDGET_STATE, {}).get("state", {})
    version = nb.metadata.get("language_info", {}).get("version")
    nb.metadata = {key: nb.metadata[key] for key in KEPT_METADATA if key in nb.metadata}
    nb.metadata["kernelspec"] = KERNELSPEC
    nb.metadata["language_info"] = language_info(version)
    order = widget_order(nb.cells, widgets)
    if order:
        state = {key: _normalise_widget(widgets[key]) for key in order}
        view = {"state": state, "version_major": 2, "version_minor": 0}
        nb.metadata["widgets"] = {WIDGET_STATE: view}
    text = nbformat.writes(nbformat.from_dict(nb), version=4)
    if order:
        new = {key: f"{number:032x}" for number, key in enumerate(order, 1)}
        text = re.sub("|".join(map(re.escape, order)), lambda found: new[found[0]], text)
    # Keys were sorted before they were renamed: write once more.
    nb = nbformat.reads(text, as_version=4)
    nbformat.validate(nb)
    return nbformat.writes(nb, version=4).rstrip("\n") + "\n"


def name_cells(cells):
    """Give an id to each cell that has none of its own; the others keep theirs.

    cells  list of a notebook's cells (dicts), changed in place

    The id follows from the cell's source, so that it is the same wherever it is made.
    """
    taken = {cell.get("id") for cell in cells}
    valid = re.compile(r"[\w-]{1,64}", re.ASCII)
    seen = set()
    for cell in cells:
        if cell.get("id") in seen or not valid.fullmatch(str(cell.get("id") or "")):
            text = cell["cell_type"] + "".join(cell["source"])
            hashes = (hashlib.sha256(f"{text}{n}".encode()).hexdigest() for n in itertools.count())
            cell["id"] = next(h[:8] for h in hashes if h[:8] not in taken | seen)
        seen.add(cell["id"])


def language_info(version=None):
    """Return what this Python's kernel says of its language: all that JupyterLab would write.

    version  str, a version of Python to put in place of this one's
    """
    from ipykernel.ipkernel import IPythonKernel

    return IPythonKernel.language_info | ({"version": version} if version else {})


def _normalise_cell(cell):
    metadata = {key: cell.metadata[key] for key in KEPT_CELL_METADATA if cell.metadata.get(key)}
    if metadata.get("slideshow", {}).get("slide_type", "-") in ("-", ""):
        metadata.pop("slideshow", None)
    cell.metadata = metadata
    if cell.cell_type == "code":
        cell.outputs = _join_streams(cell.outputs)
        for output in cell.outputs:
            if "metadata" in output:
                output.metadata = {
                    k: v for k, v in output.metadata.items() if v and k in output.data
                }


def _join_streams(outputs):
    """Join what one stream printed: how it was cut into messages depends on the clock."""
    joined = []
    for output in outputs:
        last = joined[-1] if joined else None
        if last and output.output_type == last.output_type == "stream" and output.name == last.name:
            last.text += output.text
        else:
            joined.append(output)
    for output in joined:
        if output.output_type == "stream":
            output.text = _as_seen(output.text)
    return joined


def _as_seen(text):
    """What a terminal shows of a text: a carriage return starts its line again (progress bars)."""
    lines = text.replace("\r\n", "\n").split("\n")
    return "\n".join(line.rstrip("\r").rpartition("\r")[2] for line in lines)


def widget_order(cells, widgets):
    """Return the keys of the widgets that outputs show or need, in the order of first reference.

    cells    a notebook's cells
    widgets  dict of widget states by key
    """
    order = []

    def walk(key):
        if key in widgets and key not in order:
            order.append(key)
            for reference in references(widgets[key]):
                walk(reference)

    for cell in cells:
        for output in cell.get("outputs", []):
            if view := output.get("data", {}).get(WIDGET_VIEW):
                walk(view["model_id"])
    links = [key for key in widgets if widgets[key].get("model_name") in LINKS and key not in order]
    links = [key for key in links if all(end in order for end in references(widgets[key]))]
    for key in sorted(links, key=lambda k: [order.index(end) for end in references(widgets[k])]):
        walk(key)
    return order


def with_small_pictures(text):
    """Return a notebook's text with every PNG a third of its size: some figures have a palette.

    text  str, a notebook file whose pictures were drawn for speed
    """
    nb = json.loads(text)
    for cell in nb["cells"]:
        for output in cell.get("outputs", []):
            if "image/png" in output.get("data", {}):
                output["data"]["image/png"] = _small_picture(output["data"]["image/png"])
    for widget in nb["metadata"].get("widgets", {}).get(WIDGET_STATE, {}).get("state", {}).values():
        for buffer in widget.get("buffers", []):
            buffer["data"] = _small_picture(buffer["data"])
    return normalise(json.dumps(nb))


def _small_picture(data):
    """The same picture as small_png() writes it, in base64; anything else stays as it is."""
    import numpy as np
    from PIL import Image

    from bnlib.course.kit.figures import small_png

    raw = base64.b64decode("".join(data))
    if not raw.startswith(b"\x89PNG"):
        return data
    pixels = np.asarray(Image.open(io.BytesIO(raw)).convert("RGBA"))
    return base64.b64encode(small_png(pixels)).decode()


def references(widget):
    """Return the keys of the widgets that a widget's state refers to, in the state's own order."""
    return re.findall(r"\bIPY_MODEL_(\w+)", json.dumps(widget.get("state", {}), sort_keys=True))


def _normalise_widget(widget):
    """Sort its buffers, and drop the lines of layouts and styles that say nothing (most do)."""
    if "buffers" in widget:
        widget["buffers"] = sorted(widget["buffers"], key=lambda buffer: buffer["path"])
    if widget["model_name"].endswith(("LayoutModel", "StyleModel")):
        widget["state"] = {k: v for k, v in widget["state"].items() if v is not None}
    return widget


# ---- execute -------------------------------------------------------------------------------------


def execute(nb, folder=NOTEBOOKS, timeout=TIMEOUT, environment=ENVIRONMENT):
    """Run every code cell of a notebook in a fresh kernel of this Python.

    nb           the notebook (nbformat); left as it is
    folder       the kernel's working folder
    timeout      seconds that one cell may take
    environment  dict of environment variables for the kernel, over those of this process

    Returns an executed copy. Raises CellFailed when a cell raises or takes too long.
    """
    import ipykernel.kernelspec
    from jupyter_client import AsyncKernelManager
    from jupyter_client.kernelspec import KernelSpec
    from nbclient import NotebookClient
    from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError

    class ThisPython(AsyncKernelManager):
        """Whatever kernels are installed elsewhere, the one meant is that of this interpreter."""

        kernel_spec = KernelSpec(**ipykernel.kernelspec.get_kernel_dict())

    nb = nbformat.from_dict(json.loads(json.dumps(nb)))
    nb.metadata.pop("widgets", None)
    for cell in nb.cells:
        if cell.cell_type == "code":
            cell.execution_count, cell.outputs = None, []
    client = NotebookClient(
        nb,
        kernel_manager_class=ThisPython,
        timeout=timeout,
        resources={"metadata": {"path": str(folder)}},
    )
    client.log.setLevel("ERROR")
    with tempfile.TemporaryDirectory() as profile:  # nobody's start-up files
        env = os.environ | environment | {"IPYTHONDIR": profile}
        # What the kernel itself writes to stderr is about the kernel; a cell's stderr is an output.
        with (Path(profile) / "log").open("w+") as log:
            try:
                asyncio.run(client.async_execute(env=env, stderr=log))
            except CellExecutionError as error:
                raise CellFailed(_describe_failure(nb, error)) from None
            except CellTimeoutError:
                number, cell = _last_started(nb)
                what = f"cell {number} takes longer than {timeout} s"
                raise CellFailed(f"{what}:\n{_indent(cell.source)}") from None
            except (DeadKernelError, AssertionError) as error:
                # nbclient takes Ctrl-C for itself, ends the kernel, and stumbles over that.
                if hasattr(client, "_async_cleanup_kernel_future"):
                    raise KeyboardInterrupt from None
                log.seek(0)
                raise CellFailed(f"{_describe_failure(nb, error)}\n{_indent(log.read())}") from None
    return nb


def _describe_failure(nb, error):
    """Say which cell failed, with its source and its error."""
    number, cell = _last_started(nb)
    for output in cell.get("outputs", []):
        if output.output_type == "error":
            trace = re.sub(r"\x1b\[[0-9;]*m", "", "\n".join(output.traceback))
            return f"cell {number}:\n{_indent(cell.source)}\n\n{_indent(trace)}"
    return f"in cell {number}: {type(error).__name__}: {error}"


def _last_started(nb):
    """Return (number, cell) of the cell that ran last, the first one when none was started."""
    started = [(n, c) for n, c in enumerate(nb.cells, 1) if c.get("execution_count")]
    return started[-1] if started else (1, nb.cells[0])


def _indent(text):
    return "\n".join(f"    {line}" for line in text.splitlines())


def first_difference(old, new):
    """Say in which cell two normalised notebooks first differ, and how; "" when they do not.

    old, new  str, the files' texts
    """
    if old == new:
        return ""
    old, new = json.loads(old), json.loads(new)
    for number, (before, after) in enumerate(zip(old["cells"], new["cells"], strict=False), 1):
        if before != after:
            return f"cell {number} differs:\n{_diff(before, after)}"
    if len(old["cells"]) != len(new["cells"]):
        return f"{len(old['cells'])} cells before, {len(new['cells'])} after"
    return f"the notebook's metadata differ:\n{_diff(old['metadata'], new['metadata'])}"


def _diff(before, after):
    texts = [
        json.dumps(part, indent=1, ensure_ascii=False).splitlines() for part in (before, after)
    ]
    lines = difflib.unified_diff(*texts, "before", "after", lineterm="", n=2)
    return _indent("\n".join(line[:200] for line, _ in zip(lines, range(40), strict=False)))


# ---- the command ---------------------------------------------------------------------------------


def find(names, folder=NOTEBOOKS):
    """Return the paths of the notebooks that are meant; all of the folder when names is empty."""
    everything = sorted(folder.glob("*.ipynb"))
    chosen = []
    for name in names:
        found = [Path(name)] if Path(name).is_file() else []
        found = found or [path for path in everything if path.name.startswith(name)]
        if not found:
            raise SystemExit(f"notebooks: no notebook {name!r} in {folder}")
        chosen += found
    return chosen if names else everything


def run(path):
    """Execute and normalise a notebook in place. Returns a line that says what came of it."""
    old = path.read_text(encoding="utf-8")
    new = executed(path, old)
    if new != old:
        path.write_text(new, encoding="utf-8", newline="\n")
    return "unchanged" if new == old else "written"


def check(path):
    """Execute a notebook in memory. Raises CellFailed when its file would change.

    Outputs of cells with the tag nbval-ignore-output (timings, mostly) may differ, and so may the
    version of Python.
    """
    old = path.read_text(encoding="utf-8")
    new = executed(path, old)
    if difference := first_difference(_without_varying(old), _without_varying(new)):
        raise CellFailed(difference)
    return "the same bytes" if old == new else "the same, but for outputs that are marked to vary"


def _without_varying(text):
    nb = json.loads(text)
    nb["metadata"]["language_info"].pop("version", None)
    for cell in nb["cells"]:
        if "nbval-ignore-output" in cell["metadata"].get("tags", []):
            cell["outputs"] = []
    return json.dumps(nb)


def normalise_file(path):
    """Normalise a notebook in place."""
    old = path.read_text(encoding="utf-8")
    new = normalise(old)
    if new != old:
        path.write_text(new, encoding="utf-8", newline="\n")
    return "unchanged" if new == old else "written"


def executed(path, text, environment=ENVIRONMENT, small=True):
    """Return the text of a notebook file as a fresh execution makes it.

    small  False leaves its pictures three times as large: where nobody stores them
    """
    nb = nbformat.reads(normalise(text), as_version=4)
    nb = execute(nb, path.resolve().parent, environment=environment)
    text = normalise(nbformat.writes(nb))
    return with_small_pictures(text) if small else text


def main(arguments=None):
    commands = {"run": run, "check": check, "normalise": normalise_file}
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("command", choices=commands)
    parser.add_argument("notebook", nargs="*")
    options = parser.parse_args(arguments)
    failed = 0
    for path in find(options.notebook):
        start = time.perf_counter()
        try:
            outcome = commands[options.command](path)
        except CellFailed as error:
            failed += 1
            print(f"{path.name}: FAILED, {error}\n", flush=True)
            continue
        seconds, size = time.perf_counter() - start, path.stat().st_size / 1000
        print(f"{path.name}: {outcome}, {seconds:.1f} s, {size:.0f} kB", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit("notebooks: stopped; the notebook at work was left as it was")
