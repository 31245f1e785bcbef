"""The learner's own copies of the notebooks, in work/: made once, and theirs from then on.

usage: python .make/copies.py                make what is missing; say what the course has changed
       python .make/copies.py update [05 …]  bring copies up to date, with the answers in them
       python .make/copies.py fresh 05 …     start a notebook afresh

A copy is a notebook of the course without outputs. Whatever comes in its place, the old copy stays
beside it under a dated name; nothing else in work/ is touched. Which cells of the course a copy was
made from stands in its own metadata: there it stays true when a copy is renamed, restored from a
dated one, or written back by a JupyterLab that had it open, where a list kept beside it would not.
"""

import argparse
import datetime
import hashlib
import json
import os
import re
import shutil
import sys
from collections import defaultdict
from itertools import count
from pathlib import Path
from typing import NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parent))
import server

from notebooks import language_info, name_cells

ROOT = Path(__file__).resolve().parent.parent
MAKE = "make" if "MAKELEVEL" in os.environ else "python .make/run.py"
MAKE = os.environ.get("BNLIB_MAKE", MAKE)  # on a hub nothing is to be installed: this file itself
NOTE = "bnlib"  # what we write down in a copy's metadata
CHECK = re.compile(r"""\bcheck\(\s*["'](\d{1,2}\.\d{1,2})["']""")
NO_LONGER_ASKED = "no-longer-asked"  # id of the heading over answers that have lost their place


class Unreadable(Exception):
    """A file that is no notebook; the text says why."""


# ---- a notebook ----------------------------------------------------------------------------------


def read(path):
    """Return a notebook as a dict. Its cells have ids; a source is one text with plain line ends.

    Raises Unreadable.
    """
    try:
        nb = json.loads(path.read_bytes().decode("utf-8-sig"))
        for cell in nb["cells"]:
            cell["source"] = "".join(cell["source"]).replace("\r\n", "\n")
        name_cells(nb["cells"])
        nb["metadata"] = dict(nb.get("metadata", {}))
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        why = "it is empty" if not path.stat().st_size else " ".join(str(error).split())[:80]
        raise Unreadable(why or type(error).__name__) from error
    return nb


def fingerprint(cell):
    text = f"{cell['cell_type']}\n{cell['source'].rstrip()}"
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:12]


def version(nb):
    """The notebook's cells, each as its id and its fingerprint: a list, for their order counts."""
    return [f"{cell['id']} {fingerprint(cell)}" for cell in nb["cells"]]


def made_from(copy):
    """The version of the course's notebook that a copy was made from; [] where it is unknown."""
    note = copy["metadata"].get(NOTE)
    lines = note.get("made_from") if isinstance(note, dict) else None
    known = isinstance(lines, list) and all(isinstance(x, str) and x.count(" ") == 1 for x in lines)
    return lines if known else []


def numbers(cell):
    """The exercises that a cell checks: "5.2" of check("5.2", layer)."""
    return CHECK.findall(cell["source"]) if cell["cell_type"] == "code" else []


def is_untouched(copy):
    """Is a copy still as it was made, never run and never changed?"""
    ran = any(cell.get("outputs") or cell.get("execution_count") for cell in copy["cells"])
    return not ran and version(copy) == made_from(copy)


# ---- answers into a new version ------------------------------------------------------------------


class Merged(NamedTuple):
    """The cells of an updated copy, and what is to be told about them."""

    cells: list
    answers: list  # numbers of the exercises whose answers were carried over
    asked_anew: list  # those of them whose cell the course has changed
    homeless: list  # those that the course no longer asks
    own: int  # cells that the learner had added or changed elsewhere
    left: list  # cells that both have changed: the course's counts


def merge(copy, course):
    """Put what the learner wrote in `copy` into the newer notebook `course`: a Merged.

    A cell with check("5.2", …) takes the place of the course's cell with that check. A cell that
    the learner added follows the cell that it followed. A cell of the course that the learner
    changed stays, unless the course has changed it too.
    """
    base = dict(line.split(" ") for line in made_from(copy))
    by_print = {mark: name for name, mark in base.items()}
    new = {cell["id"]: cell for cell in course["cells"]}
    place = {}  # where each exercise is asked now
    for cell in course["cells"]:
        for number in numbers(cell):
            place.setdefault(number, cell["id"])

    instead, after, homeless, left = defaultdict(list), defaultdict(list), [], []
    answers, asked_anew, own = [], [], 0
    anchor = None  # the cell of the course that we are behind
    for cell in copy["cells"]:
        name, mark = cell["id"], fingerprint(cell)
        if name not in base and name not in new:  # an editor may have renamed it
            name = by_print.get(mark)
        if name and mark in (base.get(name), fingerprint(new[name]) if name in new else None):
            anchor = name if name in new else anchor
            continue  # as the course wrote it
        asked = numbers(cell)
        target = next((place[number] for number in asked if number in place), None)
        if target is None and name in new and numbers(new[name]):
            target = name  # part of an answer: its check stands in another cell
        if target:
            instead[target].append(cell)
            answers += [number for number in asked if number in place]
            if base and base.get(target) != fingerprint(new[target]):
                asked_anew += asked
            anchor = target
        elif asked:
            homeless.append(cell)
        elif name not in new:
            if cell["source"].strip() and cell["id"] != NO_LONGER_ASKED:
                after[anchor].append(cell)
                own += 1
        elif base.get(name) == fingerprint(new[name]):
            instead[name].append(cell)
            own += 1
            anchor = name
        else:
            left += [cell] if base else []  # without base we cannot tell whose change it is
            anchor = name

    cells = [*after[None]]
    for name, cell in new.items():
        mine = instead[name] or [cell]
        cells += [{**mine[0], "id": name}, *mine[1:], *after[name]]
    if homeless:
        text = "## Answers to exercises that the course no longer asks"
        cells += [{"cell_type": "markdown", "id": NO_LONGER_ASKED, "source": text}, *homeless]
    lost = [number for cell in homeless for number in numbers(cell)]
    return Merged(cells, answers, asked_anew, lost, own, left)


def copy_of(course, cells=None):
    """Return the text of a copy of a notebook of the course, with other cells where given."""
    cells = [{"metadata": {}, **cell} for cell in cells or course["cells"]]
    for cell in cells:
        # What the speaker says on a slide holds answers.
        cell["metadata"] = {key: of for key, of in cell["metadata"].items() if key != "slide"}
        if cell["cell_type"] == "code":
            cell |= {"outputs": [], "execution_count": None}
    name_cells(cells)
    metadata = {key: value for key, value in course["metadata"].items() if key != "widgets"}
    metadata |= {"language_info": language_info(), NOTE: {"made_from": version(course)}}
    nb = {"cells": cells, "metadata": metadata, "nbformat": 4, "nbformat_minor": 5}
    return json.dumps(nb, indent=1, ensure_ascii=False, sort_keys=True) + "\n"


# ---- files ---------------------------------------------------------------------------------------


def put(path, text, keep=True):
    """Write a copy in one piece. With keep, returns the dated name that the old one now has."""
    draft, old = path.with_name(f".{path.name}.new"), None
    try:
        draft.write_text(text, encoding="utf-8", newline="\n")
        if keep and path.exists():
            old = dated(path)
            shutil.copy2(path, old)  # not renamed: at no time is there no copy
        os.replace(draft, path)
    except OSError:
        draft.unlink(missing_ok=True)
        if old:
            old.unlink(missing_ok=True)
        raise
    return old


def dated(path):
    """A name beside `path` that bears today's date and is free."""
    stem = f"{path.stem}_{datetime.date.today()}"
    names = (path.with_name(f"{stem}{f'_{n}' if n > 1 else ''}.ipynb") for n in count(1))
    return next(name for name in names if not name.exists())


def trust(paths):
    """Sign notebooks, so that JupyterLab shows all that is in them. Where it can't, it says so."""
    import nbformat
    from nbformat.sign import NotebookNotary

    notary = NotebookNotary()
    for path in paths:
        notary.sign(nbformat.read(path, as_version=4))


def copy_pictures(root):
    """Put what notebooks show from files beside them into work/ too: links stay as they are."""
    for path in sorted((root / "notebooks").rglob("*")):
        there = root / "work" / path.relative_to(root / "notebooks")
        if path.suffix == ".ipynb" or not path.is_file() or ".ipynb_checkpoints" in path.parts:
            continue
        if not there.is_file() or there.read_bytes() != path.read_bytes():
            there.parent.mkdir(parents=True, exist_ok=True)
            there.write_bytes(path.read_bytes())


# ---- the commands --------------------------------------------------------------------------------


def say(text):
    print(f"bnlib: {text}", flush=True)


def pairs(root, names=()):
    """Yield (notebook of the course, path of its copy) for those named by number or file name."""
    everything = sorted((root / "notebooks").glob("*.ipynb"))
    stems = [Path(name).stem for name in names]
    stems = [stem.zfill(2) if stem.isdigit() else stem for stem in stems]
    for stem, name in zip(stems, names, strict=True):
        if not any(path.stem.startswith(stem) for path in everything):
            raise SystemExit(f"bnlib: there is no notebook {name!r} in notebooks/")
    for path in everything:
        if not names or path.stem.startswith(tuple(stems)):
            yield path, root / "work" / path.name


def look(root, names=()):
    """Return (path of the copy, the course's notebook, the copy or None) of each notebook.

    Those that cannot be read are said and left out.
    """
    found = []
    for source, path in pairs(root, names):
        try:
            course = read(source)
        except Unreadable as error:
            say(f"notebooks/{source.name} is damaged ({error}): git checkout notebooks mends it")
            continue
        try:
            found.append((path, course, read(path) if path.exists() else None))
        except Unreadable as error:
            say(
                f"work/{path.name} cannot be read ({error}) and stays as it is: {MAKE} fresh "
                f"NB={path.name[:2]} keeps it under a dated name and starts afresh"
            )
    return found


def prepare(root=ROOT):
    """Make the copies that are missing, and say which are behind the course."""
    found = look(root)
    make_missing(root, found)
    behind = [path.stem for path, course, copy in found if is_behind(copy, course)]
    if behind:
        say(f"the course has changed in {', '.join(behind)}")
        say(f"your copies are as you left them; {MAKE} update takes them along, answers and all")


def is_behind(copy, course):
    return copy is not None and made_from(copy) != version(course)


def make_missing(root, found):
    copy_pictures(root)
    made = [(path, course) for path, course, copy in found if copy is None]
    for path, course in made:
        path.parent.mkdir(exist_ok=True)
        put(path, copy_of(course))
    trust(path for path, _ in made)
    if made:
        few = ", ".join(path.stem for path, _ in made)
        few = few if len(made) < 3 else f"{len(made)} notebooks"
        say(f"your own copies are in work/ (new: {few}); what you write there is yours")


def update(root=ROOT, names=()):
    """Bring copies up to date with the course; the old ones stay under dated names."""
    found = look(root, names)
    make_missing(root, found)
    behind = [(path, course, copy) for path, course, copy in found if is_behind(copy, course)]
    for path, course, copy in behind:
        merged = merge(copy, course)
        old = put(path, copy_of(course, merged.cells), keep=not is_untouched(copy))
        report(path, old, merged)
    if not behind:
        say("your copies are up to date with the course")
    finish(root, [path for path, _, _ in behind])


def report(path, old, merged):
    """Say what an update did to one copy."""

    def listed(found):
        return ", ".join(dict.fromkeys(found))

    brought = [f"your answers to {listed(merged.answers)}"] if merged.answers else []
    brought += [f"{merged.own} more cell{'s' * (merged.own > 1)} of yours"] if merged.own else []
    brought = f", with {' and '.join(brought)}" if brought else ""
    kept = f"; the old copy is {old.name}" if old else ""
    say(f"work/{path.name} is up to date{brought}{kept}")
    if merged.asked_anew:
        say(f"    the course has changed the cell of {listed(merged.asked_anew)}: check it again")
    if merged.homeless:
        say(f"    no longer asked: {listed(merged.homeless)}; your answer stands at the end")
    for cell in merged.left:
        first = cell["source"].strip().partition("\n")[0][:50]
        say(f"    changed by you and by the course; yours is in the old copy: {first}")


def fresh(root, names):
    """Start notebooks afresh; the old copies stay under dated names."""
    if not names:
        raise SystemExit(f"bnlib: which notebook? For instance: {MAKE} fresh NB=05")
    made = []
    for source, path in pairs(root, names):
        text = copy_of(read(source))
        path.parent.mkdir(exist_ok=True)
        old = put(path, text, keep=not begun_never(path))
        say(f"work/{path.name} is fresh{f'; the old copy is {old.name}' if old else ''}")
        made.append(path)
    finish(root, made)


def begun_never(path):
    try:
        return is_untouched(read(path))
    except (Unreadable, FileNotFoundError):
        return False


def finish(root, written):
    """Sign what was written, and say where a running JupyterLab still shows the old text."""
    trust(written)
    info = server.running(root) if written else None
    shown = server.open_files(info) if info else set()
    names = [path.name for path in written if f"work/{path.name}" in shown]
    if names:
        say(f"JupyterLab has {', '.join(names)} open: there, choose File, Reload … from Disk")
        say("    (something in it is not saved? Save, choose Overwrite, give this command again)")


def main(words=None, root=ROOT):
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("command", nargs="?", choices=("prepare", "update", "fresh"))
    parser.add_argument("notebook", nargs="*")
    options = parser.parse_args(words)
    options.notebook = [name.removeprefix("NB=") for name in options.notebook]  # as make takes it
    try:
        if options.command == "update":
            update(root, options.notebook)
        elif options.command == "fresh":
            fresh(root, options.notebook)
        else:
            prepare(root)
    except OSError as error:
        sys.exit(f"bnlib: work/ could not be written ({error}); what was there is there still")
    except Unreadable as error:
        sys.exit(f"bnlib: that notebook of the course is damaged ({error}): git checkout notebooks")


if __name__ == "__main__":
    main()
