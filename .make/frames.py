"""Draw the frames of a notebook's explorers: what they show on a page without a kernel.

usage: python .make/frames.py 03 …      into .out/frames/03/, where they are not there yet

A notebook's code cells run in one plain process, up to its last explorer. What would only display
or judge (show, check, claim, …) does nothing. The explorer must say what the stored notebook says.
For each explorer there is a folder named by its class: 0.webp, 1.webp, … and page.json, which
explorer.js plays. Drawn again when the cells, bnlib or the stored runs have changed.
"""

import ast
import contextlib
import hashlib
import io
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
NOTEBOOKS = ROOT / "notebooks"
FRAMES = ROOT / ".out" / "frames"
WIDGET = "application/vnd.jupyter.widget-view+json"
IDLE = ("check", "claim", "hint", "progress", "quiz", "settle", "show", "solution")


class NotDrawn(Exception):
    """A notebook whose cells did not run as far as its explorers; the text holds the error."""


def joined(text):
    """A notebook stores a text as one string or as a list of lines."""
    return text if isinstance(text, str) else "".join(text)


def explorer_cells(cells):
    """{place of a cell: what its explorer says} in a notebook's list of cells."""
    found = {}
    for place, cell in enumerate(cells):
        for output in cell.get("outputs", ()):
            data = output.get("data", {})
            text = joined(data.get("text/plain", ""))
            if WIDGET in data and text.startswith("Explorer “"):
                found[place] = text
    return found


def fingerprint(number, cells):
    """Changes when the frames may: with the cells, bnlib and the data, other rooms left out."""
    digest = hashlib.sha256()
    stored = explorer_cells(cells)
    for cell in cells[: max(stored, default=-1) + 1]:
        if cell["cell_type"] == "code":
            digest.update(joined(cell["source"]).encode() + b"\0")
    digest.update(json.dumps(stored).encode())
    rooms = re.compile(rf"nb(?!{number})\d\d$")
    sources = [Path(__file__), *(ROOT / "bnlib").rglob("*.py"), *(ROOT / "data").glob("*.npz")]
    for path in sorted(sources):
        if not any(rooms.match(part) for part in path.parts):
            digest.update(path.relative_to(ROOT).as_posix().encode() + path.read_bytes())
    return digest.hexdigest()


def run_to_explorers(cells):
    """Execute a notebook's cells as far as its last explorer: {place: explorer}."""
    import bnlib.course

    for name in IDLE:
        setattr(bnlib.course, name, lambda *words, **options: None)
    stored, namespace, found = explorer_cells(cells), {"__name__": "__main__"}, {}
    for place, cell in enumerate(cells[: max(stored) + 1]):
        if cell["cell_type"] != "code":
            continue
        tree = ast.parse(joined(cell["source"]))
        last = tree.body.pop() if place in stored else None
        with contextlib.redirect_stdout(io.StringIO()):
            exec(compile(tree, f"cell {place}", "exec"), namespace)
            if last is not None:
                value = eval(
                    compile(ast.Expression(last.value), f"cell {place}", "eval"), namespace
                )
                found[place] = value
        if last is not None and repr(found[place]) != stored[place]:
            raise ValueError(
                f"cell {place} makes an explorer that says {found[place]!r}; "
                f"the notebook stores {stored[place]!r}: run `make notebooks` first"
            )
    return found


def draw(number, path, folder):
    """The process behind frames_of: run one notebook, write its explorers' frames."""
    from bnlib.course.kit.frames import frames

    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    os.chdir(NOTEBOOKS)
    order = []
    for place, explorer in run_to_explorers(cells).items():
        name = type(explorer).__name__
        name += f"-{place}" if any(other["name"] == name for other in order) else ""
        order.append({"cell": place, "name": name})
        found, into = frames(explorer), folder / name
        into.mkdir(parents=True)
        for i, picture in enumerate(found.pictures):
            (into / f"{i}.webp").write_bytes(picture)
        page = json.dumps(found.page_data("{}.webp".format), ensure_ascii=False)
        (into / "page.json").write_text(page, encoding="utf-8")
    (folder / "order.json").write_text(json.dumps(order), encoding="utf-8")


def frames_of(path, into=FRAMES, draw=True):
    """The frames of a notebook's explorers: {place of the cell: folder}; drawn where need be.

    draw=False draws nothing: {} where they were not drawn since the notebook changed.
    """
    number = path.name[:2]
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    if not explorer_cells(cells):
        return {}
    folder, key = into / number, fingerprint(number, cells)
    note = folder / "key"
    if not (note.is_file() and note.read_text() == key):
        if not draw:
            return {}
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        env = {**os.environ, "MPLBACKEND": "agg", "OMP_NUM_THREADS": "1", "PYTHONUTF8": "1"}
        env["PYTHONPATH"] = os.pathsep.join(filter(None, [str(ROOT), env.get("PYTHONPATH")]))
        command = [sys.executable, __file__, "--draw", number, str(path), str(folder)]
        done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
        if done.returncode:
            raise NotDrawn(f"the explorers of {path.name} were not drawn:\n{done.stderr}")
        note.write_text(key)
    order = json.loads((folder / "order.json").read_text(encoding="utf-8"))
    return {entry["cell"]: folder / entry["name"] for entry in order}


def main(words):
    if words[:1] == ["--draw"]:
        return draw(words[1], Path(words[2]), Path(words[3]))
    for word in words or ["[0-9][0-9]"]:
        for path in sorted(NOTEBOOKS.glob(f"{word}*.ipynb")):
            for folder in frames_of(path).values():
                pictures = list(folder.glob("*.webp"))
                size = sum(picture.stat().st_size for picture in pictures)
                print(f"{path.name[:2]} {folder.name}: {len(pictures)} frames, {size / 1e6:.2f} MB")


if __name__ == "__main__":
    main(sys.argv[1:])
