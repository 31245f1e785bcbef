"""What a learner handed in, before its result is judged: is it a stub, can it be called, and what
do its exceptions mean?"""

import ast
import contextlib
import dis
import inspect
import io
import re
import textwrap
import warnings

import numpy as np

from bnlib.course.kit.differences import describe


def refuse_uncallable(answer, solution):
    if callable(answer):
        return None
    return (
        f"The check wants your function itself, and got {describe(answer)}: pass "
        f"`{solution.__name__}`, without parentheses."
    )


IN_PLACE = (
    "Your function changes its input in place: whoever called it still needs those numbers. Work "
    "on new arrays (`x = x - mean`, not `x -= mean`)."
)


def is_stub(answer):
    """Is this an untouched stub: nothing but a docstring, `...`, `pass`, a `return` of nothing, or
    `raise NotImplementedError`? A class is one when its forward is, or else all its methods."""
    if isinstance(answer, type):
        classes = [c for c in answer.__mro__ if c.__module__ == answer.__module__][::-1]
        own = {n: getattr(v, "__func__", v) for c in classes for n, v in vars(c).items()}
        own = {n: v for n, v in own.items() if inspect.isfunction(v)}  # static ones, too
        asked = [own["forward"]] if "forward" in own else own.values()
        return all(map(is_stub, asked)) and answer.__module__ != "builtins"
    try:
        with warnings.catch_warnings(action="ignore"):  # of what stands in the learner's cell
            tree = ast.parse(textwrap.dedent(inspect.getsource(answer))).body[0]
    except (OSError, TypeError, SyntaxError, IndexError):
        return _is_stub_code(answer)
    if not isinstance(tree, ast.FunctionDef) or tree.name != answer.__name__:
        return _is_stub_code(answer)
    return any(map(_is_hole, ast.walk(tree))) or all(map(_is_idle, tree.body))


def _is_idle(statement):
    if isinstance(statement, ast.Raise):
        return "NotImplementedError" in ast.unparse(statement)
    value = getattr(statement, "value", None)
    if isinstance(statement, ast.Return):
        return value is None or _is_nothing(value)
    return isinstance(statement, ast.Pass) or isinstance(value, ast.Constant)


def _is_nothing(value):
    return isinstance(value, ast.Constant) and value.value in (None, Ellipsis)


def _is_hole(node):
    """`...` where a value is wanted; not the one of x[..., 0]."""
    value = getattr(node, "value", None)
    hole = isinstance(value, ast.Constant) and value.value is Ellipsis
    return hole and isinstance(node, ast.Assign | ast.Return)


def _is_stub_code(answer):
    """As is_stub, from the compiled code, where there is no source to read."""
    code = getattr(answer, "__code__", None)
    if code is None:
        return False
    idle = {"RESUME", "NOP", "LOAD_CONST", "RETURN_VALUE", "RETURN_CONST", "PUSH_NULL", "PRECALL",
            "LOAD_GLOBAL", "CALL", "RAISE_VARARGS", "POP_TOP"}  # fmt: skip
    steps = list(dis.get_instructions(code))
    if not all(isinstance(c, str) or c in (None, Ellipsis) for c in code.co_consts):
        return False
    return {*code.co_names} <= {"NotImplementedError"} and all(s.opname in idle for s in steps)


def asserts(function):
    try:
        return "assert" in inspect.getsource(function)
    except (OSError, TypeError):
        return False


def frozen(value):
    """value as it is now: a running mean may go on changing."""
    if hasattr(value, "detach"):
        return value.detach().clone()
    if isinstance(value, tuple | list):
        return type(value)(map(frozen, value))
    return value.copy() if isinstance(value, np.ndarray) else value


def refuse_arguments(answer, solution, inputs):
    try:
        inspect.signature(answer).bind(*inputs)
    except TypeError:
        names = list(inspect.signature(solution).parameters)[: len(inputs)]
        return (
            f"Your function cannot take these arguments: it is called with {len(inputs)}, "
            f"`({', '.join(names)})`."
        )
    except ValueError:  # built-in functions may have no signature
        return None
    return None


@contextlib.contextmanager
def quiet(prints=False):
    """The learner's warnings are not the lesson: a verdict says what matters. What the answer
    prints is shown for one run, not for the many that a check makes."""
    with contextlib.ExitStack() as stack:
        stack.enter_context(warnings.catch_warnings(action="ignore"))
        stack.enter_context(np.errstate(all="ignore"))
        if not prints:
            stack.enter_context(contextlib.redirect_stdout(io.StringIO()))
        yield


def advice(error, words=None):
    """A hint at what the exception usually means here."""
    text = str(error)
    if isinstance(error, NameError):
        return "Is a name misspelt, or defined in a cell that was not run?"
    if isinstance(error, AttributeError) and "has no attribute" in text:
        return "Is a name misspelt, or not set yet?"
    if isinstance(error, TypeError) and "object is not callable" in text:
        return "Something before parentheses is no function: is a `*` missing?"
    if "broadcast" in text or "must match the size of tensor" in text:
        return _shapes(text, words or {})
    if "matmul" in text or "cannot be multiplied" in text:
        return (
            "In `a @ b` the last size of `a` must be the first of `b`. Are the two exchanged, or "
            "must one be transposed?"
        )
    if isinstance(error, TypeError) and "NoneType" in text:
        return (
            "Something is None there: an argument that may be None, or the result of a function "
            "that returns nothing."
        )
    if isinstance(error, RecursionError):
        return "It calls itself without an end."
    return "Call it by hand in a new cell, on a small array, to look inside."


def _shapes(text, words):
    """Which of two shapes that do not fit lies along the wrong axis. NumPy says "(8,5) (8,)", torch
    "The size of tensor a (5) must match the size of tensor b (8) at non-singleton dimension 1"."""
    keep = "`keepdim=True`" if "tensor" in text else "`keepdims=True`"
    found = _in_numpy(text) or _in_torch(text, words)
    if found is None:
        return (
            "Shapes are lined up from the right, and each pair of sizes must be equal, or one of "
            f"them 1. Was an axis lost that {keep} would keep, or put in where it should not be?"
        )
    shape, size, lies = found
    if words.get(size) == "example":
        return (
            "One of them has one value for each example: it was taken over the wrong axis. Each "
            "feature has a value of its own, taken over the examples, axis 0."
        )
    belongs, last = shape.index(size), len(shape) - 1
    usual = {0: "row", last: "column"}
    word, where = (words.get(shape[i], usual.get(i, "place")) for i in (belongs, lies))
    if belongs == last:
        how = f"Leave out the axis behind it: shape `({size},)` fits."
    elif last == 1:
        how = "Make it a column, `[:, None]` or `reshape(-1, 1)`."
    else:
        how = f"Keep the axes with {keep}, or `reshape` it."
    return (
        f"One of them has one value for each {word}, but shapes are lined up from the right, and "
        f"so it lies along the {where}s. {how}"
    )


def _in_numpy(text):
    """(the larger shape, the size, the axis along which it lies) of a shape that has one size only
    beside ones, and belongs to another axis of the larger one; None where that is not so."""
    shapes = re.findall(r"\([\d, ]+\)", text)
    shapes = [tuple(int(size) for size in re.findall(r"\d+", shape)) for shape in shapes]
    if len(shapes) != 2:
        return None
    for one, shape in (shapes, shapes[::-1]):
        sizes = [(size, at - len(one)) for at, size in enumerate(one) if size != 1]
        if len(sizes) == 1 and len(one) <= len(shape) and sizes[0][0] in shape:
            return shape, sizes[0][0], sizes[0][1] % len(shape)
    return None


def _in_torch(text, words):
    """The same, of the two sizes that torch names, where the axes are those of `words`."""
    sizes = [int(size) for size in re.findall(r"tensor \w \((\d+)\)", text)]
    at, shape = re.search(r"dimension (\d+)", text), tuple(words)
    if len(sizes) != 2 or at is None or int(at[1]) >= len(shape):
        return None
    lies = int(at[1])
    size = next((size for size in sizes if size != shape[lies]), None)
    return (shape, size, lies) if size in shape and shape[lies] in sizes else None
