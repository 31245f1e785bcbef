"""Your own layer: what a learner wrote and a check passed is kept, and used from then on.

keep("batch_norm", answer)  called by the check of a build exercise once the answer is right
mine("batch_norm")          in later cells and notebooks: the learner's, else the course's own
progress()                  which exercises are solved

Kept answers are plain Python files, work/my_layer/batch_norm.py and so on, each in one piece: the
imports, constants and helper functions that the answer uses stand in it, so that it runs in any
notebook. Where there is no work folder (CI, a notebook opened straight from notebooks/), nothing
is written, and mine() gives the course's own everywhere.
"""

import ast
import builtins
import importlib
import inspect
import json
import linecache
import os
import symtable
import textwrap
from contextlib import suppress
from pathlib import Path
from types import FunctionType, ModuleType

from bnlib.course.kit import asking
from bnlib.course.kit.exercises import PredictionExercise
from bnlib.course.kit.markup import Rich, to_html, to_plain

CONSTANTS = (int, float, complex, str, bytes, bool, type(None))
SOLVED = "solved.json"


class NotKept(Exception):
    """The answer cannot stand alone; the text says why."""


# ── where ───────────────────────────────────────────────────────────────────────────────────────


def work_folder():
    """The folder of the learner's copies, or None: BNLIB_WORK names it, else we are in it.

    A kernel starts in its notebook's folder; the learner's is called work and lies beside
    notebooks/.
    """
    if named := os.environ.get("BNLIB_WORK"):
        return Path(named)
    here = Path.cwd()
    for folder in (here, *here.parents):
        if folder.name == "work" and (folder.parent / "notebooks").is_dir():
            return folder
    return None


def _file(name):
    folder = work_folder()
    return folder / "my_layer" / f"{name}.py" if folder else None


def _written_as(path):
    return f"{path.parent.parent.name}/my_layer/{path.name}"


# ── keep ────────────────────────────────────────────────────────────────────────────────────────


def keep(name, answer):
    """Write a right answer into the work folder, with all that it needs.

    name    str, under which mine() finds it: that of the function or class to be written
    answer  the learner's function or class

    Returns a sentence for the verdict, "" where there is no work folder. Never raises: an answer
    that cannot stand alone is reported and not kept. What was kept before is replaced only by a
    file that passes the same check when it is read back.
    """
    path = _file(name)
    if path is None:
        return ""
    try:
        text = in_one_piece(name, answer)
        fault = _fault(name, load(name, text, str(path)))
        if fault:
            raise NotKept(f"read back from its file, it no longer passes: {fault}")
        path.parent.mkdir(parents=True, exist_ok=True)
        draft = path.with_suffix(".new")
        draft.write_text(text, encoding="utf-8")
        draft.replace(path)  # whole or not at all
    except NotKept as why:
        return f"It is not kept for later notebooks: {why}"
    except OSError as error:
        return f"It could not be kept for later notebooks: {error.strerror}."
    linecache.checkcache(str(path))
    return f"It is kept in `{_written_as(path)}`; from now on the course uses yours."


def in_one_piece(name, answer):
    """The source of a function or class, after the source of everything that it refers to.

    Modules become imports, numbers and strings are written out, functions and classes written in
    the notebook are copied. Raises NotKept naming what can be none of these, such as an array.
    """
    imports, pieces, seen = [], [], {}
    _collect(name, answer, imports, pieces, seen)
    if answer.__name__ != name:
        pieces.append(f"{name} = {answer.__name__}")
    head = f'"""{name}: written by you, kept by the course. Change it and it is used as changed."""'
    return "\n\n\n".join([head, "\n".join(dict.fromkeys(imports)), *pieces]).strip() + "\n"


def _collect(name, thing, imports, pieces, seen):
    """Append what `thing` needs, then its own source; `seen` holds what stands there already."""
    seen[thing.__name__] = thing
    source, names, namespace = _source_of(thing)
    for used in names:
        if used not in namespace or used in seen or hasattr(builtins, used):
            continue
        value = namespace[used]
        seen[used] = value
        if isinstance(value, ModuleType):
            imports.append(f"import {value.__name__} as {used}")
        elif isinstance(value, CONSTANTS) or _is_tuple_of_constants(value):
            pieces.append(f"{used} = {value!r}")
        elif home := _importable(value):
            imports.append(f"from {home[0]} import {home[1]} as {used}")
        elif isinstance(value, FunctionType | type):
            _collect(used, value, imports, pieces, seen)
            if value.__name__ != used:
                pieces.append(f"{used} = {value.__name__}")
        else:
            raise NotKept(
                f"it uses `{used}`, {_a(type(value).__name__)} of this notebook. Pass it as an "
                "argument, or make it inside."
            )
    pieces.append(source)


def _source_of(thing):
    """(source, names that it looks up, namespace in which it does) of a function or class."""
    if isinstance(thing, type):
        functions = [f for f in vars(thing).values() if inspect.isfunction(inspect.unwrap(f))]
        functions = [inspect.unwrap(f) for f in functions]
    else:
        functions = [inspect.unwrap(thing)] if callable(thing) else []
    functions = [f for f in functions if isinstance(f, FunctionType)]
    if not functions:
        raise NotKept(_unreadable(thing))
    code = functions[0].__code__
    text = "".join(linecache.getlines(code.co_filename))
    wanted = ast.ClassDef if isinstance(thing, type) else ast.FunctionDef
    try:
        tree = ast.parse(text)
    except SyntaxError:
        tree = ast.Module(body=[])
    found = [
        node
        for node in ast.walk(tree)
        if isinstance(node, wanted)
        and node.name == thing.__name__
        and min([node.lineno, *(d.lineno for d in node.decorator_list)])
        <= code.co_firstlineno
        <= node.end_lineno
    ]
    if not found:
        raise NotKept(_unreadable(thing))
    node = found[0]
    first = min([node.lineno, *(d.lineno for d in node.decorator_list)])
    source = textwrap.dedent("\n".join(text.splitlines()[first - 1 : node.end_lineno]))
    return source, _globals_of(source), functions[0].__globals__


def _unreadable(thing):
    name = getattr(thing, "__name__", "it")
    return f"the source of `{name}` cannot be read; write it with `def` or `class` in a cell."


def _globals_of(source):
    """The names that a function or class looks up outside itself: not its own variables, which may
    be called like an array of the notebook."""
    module = symtable.symtable(source, "answer", "exec")
    names = {s.get_name() for s in module.get_symbols() if s.is_referenced()}  # bases, defaults
    tables = list(module.get_children())
    while tables:
        table = tables.pop()
        tables += table.get_children()
        names |= {s.get_name() for s in table.get_symbols() if s.is_global()}
    return sorted(names)


def _importable(value):
    """(module, name) from which any notebook gets the same object, or None."""
    module, name = getattr(value, "__module__", None), getattr(value, "__name__", None)
    if not module or not name or module == "__main__" or module.startswith("my_layer"):
        return None
    with suppress(Exception):
        if getattr(importlib.import_module(module), name, None) is value:
            return module, name
    return None


def _is_tuple_of_constants(value):
    return isinstance(value, tuple) and all(isinstance(part, CONSTANTS) for part in value)


def _a(kind):
    return f"{'an' if kind[0] in 'aeiou' or kind == 'ndarray' else 'a'} {kind}"


# ── mine ────────────────────────────────────────────────────────────────────────────────────────


def mine(name):
    """The learner's own function or class of that name; the course's own where there is none.

    name  str, such as "batch_norm": what a build exercise asks for

    Prints one line that says whose it is. A kept answer that no longer passes its check (the file
    may be edited) is left aside, with the reason. Raises LookupError for a name that no exercise
    asks for.
    """
    exercise = _exercise(name)
    path = _file(name)
    if path is None or not path.is_file():
        print(f"{name}: the course's own (yours comes from exercise {exercise.id})")
        return exercise.solution
    try:
        own = load(name, path.read_text(encoding="utf-8"), str(path))
        fault = _fault(name, own)
    except Exception as error:
        fault = f"{type(error).__name__}: {error}"
    if fault:
        print(f"{name}: the course's own, since {_written_as(path)} does not pass: {fault}")
        return exercise.solution
    print(f"{name}: yours, from {_written_as(path)}")
    return own


def load(name, text, filename):
    """The object of that name that a file's text defines."""
    linecache.checkcache(filename)
    if filename not in linecache.cache:  # a draft: its source must be found for error messages
        linecache.cache[filename] = (len(text), None, text.splitlines(keepends=True), filename)
    namespace = {"__name__": f"my_layer.{name}", "__file__": filename}
    exec(compile(text, filename, "exec"), namespace)
    if name not in namespace:
        raise NotKept(f"it defines no `{name}`.")
    return namespace[name]


def _exercise(name):
    """The build exercise that asks for this name."""
    known = []
    for number in asking.notebooks():
        for exercise in asking.exercises_of(number).values():
            if keeps := getattr(exercise, "keeps", None):
                if keeps == name:
                    return exercise
                known.append(keeps)
    raise LookupError(f"{name!r} is no part of your own layer; there are: {', '.join(known)}")


def _fault(name, answer):
    """ "" when the answer passes its exercise, else what the verdict says."""
    verdict = _exercise(name).check(answer)
    return "" if verdict.passed else to_plain(verdict.text)


# ── progress ────────────────────────────────────────────────────────────────────────────────────

_solved_here = set()  # where there is no work folder: those of this session


def record(number):
    """Remember that an exercise was solved."""
    _solved_here.add(number)
    if folder := work_folder():
        with suppress(OSError):  # a full disk must not spoil a right answer
            path = folder / "my_layer" / SOLVED
            path.parent.mkdir(parents=True, exist_ok=True)
            draft = path.with_suffix(".new")
            draft.write_text(json.dumps(sorted(solved(), key=_order)), encoding="utf-8")
            draft.replace(path)


def solved():
    """The numbers of the exercises that were solved, as a set of str."""
    folder = work_folder()
    kept = []
    if folder:
        with suppress(OSError, ValueError):
            kept = json.loads((folder / "my_layer" / SOLVED).read_text(encoding="utf-8"))
    return _solved_here | {number for number in kept if isinstance(number, str)}


def tally():
    """{number of a notebook: (exercises solved, exercises asked)}, two lists of numbers.

    Predictions do not count: a wrong guess is no fault.
    """
    found, done = {}, solved()
    for number in asking.notebooks():
        known = asking.exercises_of(number).values()
        asked = [e.id for e in known if not isinstance(e, PredictionExercise)]
        if asked:
            found[number] = [name for name in asked if name in done], asked
    return found


def progress():
    """One line a notebook: which of its exercises are solved. Never required."""
    lines = []
    for number, (right, asked) in tally().items():
        names = f": {', '.join(right)}" if right else ""
        lines.append(f"{number}   {len(right)} of {len(asked)} solved{names}")
    return Rich("\n".join(lines), "<br>".join(to_html(line) for line in lines))


def _order(number):
    return tuple(int(part) for part in number.split("."))
