"""The cells of a notebook that ask, and how they look once they are answered."""

import ast
import inspect
import re
import textwrap

CHECK = re.compile(r'\bcheck\("([\d.]+)", (\w+)\)')


def asked(cell):
    """(number, the name that the answer goes by) of a cell that ends in check("5.2", …), or None"""
    found = CHECK.search("".join(cell["source"])) if cell["cell_type"] == "code" else None
    return found.groups() if found else None


def answer_to(number, name):
    """The text of a right answer, which gives `name` its value: what solution() shows; a guess."""
    from bnlib.course.kit.asking import find
    from bnlib.course.kit.exercises import PredictionExercise, ValueExercise
    from bnlib.course.kit.rubric import RubricExercise

    exercise = find(number)
    if isinstance(exercise, PredictionExercise):
        guess = exercise.answer() if callable(exercise.answer) else exercise.answer
        if guess is None:
            guess = exercise.choices[0] if exercise.choices else exercise.low
        return f"{name} = {guess!r}"
    text = textwrap.dedent(inspect.getsource(exercise.solution)).strip()
    own = exercise.solution.__name__
    if isinstance(exercise, ValueExercise | RubricExercise):
        return f"{text}\n\n\n{name} = {own}()"
    return re.sub(rf"\b{own}\b", name, text)


def around_stub(source):
    """A cell that asks, as three texts: up to its stub, the stub, and what comes after it."""
    _, name = CHECK.search(source).groups()
    (stub,) = (node for node in ast.parse(source).body if _defines(node, name))
    lines = source.splitlines()
    first, last = stub.lineno - 1, stub.end_lineno
    parts = lines[:first], lines[first:last], lines[last:]
    return tuple("\n".join(part) for part in parts)


def answered(source, answer):
    """A cell that asks with an answer in place of its stub."""
    before, _, after = around_stub(source)
    return "\n".join(filter(None, [before, answer, after]))


def _defines(node, name):
    """Does this statement give the name its value: a function, a class or an assignment?"""
    targets = [getattr(target, "id", "") for target in getattr(node, "targets", ())]
    return name in (getattr(node, "name", ""), *targets)
