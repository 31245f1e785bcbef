"""Which module feeds which: a model's data flow in evaluation mode, found by torch.fx.

torch.fx runs the model's code once on symbols. What it sees holds for every input if no input
takes another way. So the source of all code that runs is read, too: its branches may depend on
attributes of modules, and on nothing that an input decides. A module whose code does otherwise,
or does not run on symbols, becomes a black box to the modules around it.
"""

import ast
import collections
import functools
import gc
import inspect
import linecache
import sys
import warnings
import weakref
from typing import NamedTuple

import torch
import torch.fx
from torch.nn.modules.batchnorm import _BatchNorm


class Flow(NamedTuple):
    """What a model does, as far as it could be found out.

    calls       {module: [node, ...]}, its every call
    module_of   {node: module}, the same the other way round
    stored      nodes whose value something holds on to after the run
    training    batch norms that were in training mode when called, or afterwards
    read        ids of the parameters and buffers that code reads by name
    boxes       {black box: why it is one}
    """

    calls: dict
    module_of: dict
    stored: set
    training: set
    read: set
    boxes: dict


def data_flow(model):
    """The Flow of a model. Its code runs on symbols, so give a copy, in evaluation mode."""
    flow = Flow(collections.defaultdict(list), {}, set(), set(), set(), {})
    while model not in flow.boxes:
        tracer = _Tracer(flow)
        try:
            graph = _follow(model, tracer)
        except _CannotFollow as failure:
            flow.boxes[failure.module] = failure.why
            continue
        for node in graph.nodes:
            if node.op == "call_module":
                module = model.get_submodule(node.target)
                flow.calls[module].append(node)
                flow.module_of[node] = module
        flow.stored.update(tracer.held())
        flow.training.update(module for module in model.modules() if _trains(module))
        break
    return flow


class _CannotFollow(Exception):
    def __init__(self, module, error):
        lines = str(error).strip().splitlines()
        self.module, self.why = module, lines[0][:120] if lines else type(error).__name__


def _follow(model, tracer):
    if "forward" in vars(model):  # torch.fx would look at the class's
        raise _CannotFollow(model, "its forward was replaced")
    before, collecting = sys.getprofile(), gc.isenabled()
    gc.disable()  # what it frees may run code, which would be taken for the model's
    sys.setprofile(tracer.look_at)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            graph = tracer.trace(model)
    except Exception as error:  # whatever code may raise when symbols stand for tensors
        raise tracer.refusal or _CannotFollow(tracer.failed_in or model, error) from error
    finally:
        sys.setprofile(before if callable(before) else None)  # Python 3.11's cProfile is not
        if collecting:
            gc.enable()
    if tracer.refusal:
        raise tracer.refusal
    return graph


class _Tracer(torch.fx.Tracer):
    """torch.fx's tracer, which also sees what code runs, what is read and what fails."""

    def __init__(self, flow):
        super().__init__()
        self.flow, self.symbols = flow, []
        self.running, self.failed_in, self.refusal, self.checks = [], None, None, {}

    def look_at(self, frame, event, _):
        """What sys.setprofile wants: it hears of every Python function that starts."""
        if event != "call" or self.refusal or _is_trusted(frame):
            return
        code = frame.f_code
        modules = (n for n, v in frame.f_locals.items() if isinstance(v, torch.nn.Module))
        source = "".join(linecache.getlines(code.co_filename, frame.f_globals))
        try:
            self.checks[code] = _read(code, frozenset(modules), source)
        except _OtherWays as why:
            self.refusal = _CannotFollow(self.running[-1] if self.running else self.root, why)

    def to_bool(self, obj):
        """Let checks of the input pass: where they fail, an error ends the model's run."""
        frame = sys._getframe(2)  # of the code that asks; between is Proxy.__bool__
        answer = self.checks.get(frame.f_code, {}).get(frame.f_lineno)
        return super().to_bool(obj) if answer is None else answer

    def is_leaf_module(self, m, module_qualified_name):
        if isinstance(m, _BatchNorm) or m in self.flow.boxes:
            return True
        leaf = super().is_leaf_module(m, module_qualified_name)
        if leaf and any(m.children()):
            self.flow.boxes[m] = "it is torch's own and counts as one operation"
        return leaf

    def call_module(self, m, forward, args, kwargs):
        if _trains(m):
            self.flow.training.add(m)
        self.running.append(m)
        try:
            return super().call_module(m, forward, args, kwargs)
        except Exception:
            self.failed_in = self.failed_in or m  # the innermost comes first
            raise
        finally:
            self.running.pop()

    def getattr(self, attr, attr_val, parameter_proxy_cache):
        if isinstance(attr_val, torch.Tensor):
            self.flow.read.add(id(attr_val))
        return super().getattr(attr, attr_val, parameter_proxy_cache)

    def proxy(self, node):
        symbol = super().proxy(node)
        self.symbols.append((node, weakref.ref(symbol)))
        return symbol

    def held(self):
        if any(symbol() is not None for _, symbol in self.symbols):
            gc.collect()  # what only cycles hold is nobody's; half a second in a large process
        return [node for node, symbol in self.symbols if symbol() is not None]


def _trains(module):
    return isinstance(module, _BatchNorm) and module.training


# ---- reading functions

# what these give depends on nothing but what they are given
PURE = set("all any bool enumerate getattr hasattr int isinstance len list max min range".split())
PURE |= set("reversed set sorted str tuple type zip get items keys values".split())


class _OtherWays(Exception):
    """For another input a function might go another way."""


TRUSTED = {"torch", *sys.stdlib_module_names}


def _is_trusted(frame):
    """Is it torch's, Python's or our own code, or read as a part of the function around it?"""
    module = frame.f_globals.get("__name__", "")
    ours = module.startswith(("bnlib.torch.", "namedtuple_"))  # the latter is Python's
    part = frame.f_code.co_name in ("<genexpr>", "<listcomp>", "<setcomp>", "<dictcomp>")
    if module == "functools":  # dispatches by type for the user's code
        return _is_trusted(frame.f_back)
    return part or ours or module.partition(".")[0] in TRUSTED


@functools.cache
def _read(code, modules, source):
    """Raise _OtherWays unless the function goes one way, whatever tensors it is given.

    modules     the names of its arguments that are modules

    Returns {line: answer} for its checks of the input, `assert ...` and `if ...: raise ...`: what
    a symbol has to say there so that the function goes on.
    """
    name, start = code.co_name, code.co_firstlineno
    functions = [f for f in _functions(source) if _first_line(f) == start]
    if not functions:
        raise _OtherWays(f"the source of {name} is not at hand")
    nodes = [node for function in functions for node in ast.walk(function)]
    inputs = {*code.co_varnames[: _argument_count(code)], *code.co_freevars} - modules
    unknown = _all_unknown(inputs, {*code.co_varnames, *code.co_cellvars} - modules, nodes)
    answers, within_checks = {}, set()
    for node in nodes:
        tests = []
        match node:
            case ast.Assert(test=test) | ast.If(test=test, body=[ast.Raise()], orelse=[]):
                inner = list(ast.walk(test))
                within_checks.update(inner)
                turns = sum(isinstance(n, (ast.Not, ast.NotIn)) for n in inner)
                answer = isinstance(node, ast.Assert) ^ turns % 2
                answers |= dict.fromkeys(range(test.lineno, test.end_lineno + 1), bool(answer))
            case ast.If(test=test) | ast.While(test=test) | ast.IfExp(test=test):
                tests = [test]
            case ast.BoolOp(values=[*tests, _]) | ast.comprehension(ifs=tests):
                pass
            case ast.Call(func=ast.Name(id=asked) | ast.Attribute(attr=asked)) if _asks(asked):
                tests = [node]  # whatever becomes of the answer: ways[torch.is_tensor(x)](x)
            case ast.Try(handlers=[_, *_]) | ast.TryStar() | ast.Match():
                raise _OtherWays(f"{name} may go other ways by {type(node).__name__.lower()}")
            case ast.withitem() if _root(node.context_expr) != "torch" or node.optional_vars:
                raise _OtherWays(f"{name} has a with statement, and not of torch's")
            case ast.Attribute(ctx=ast.Store() | ast.Del()) | ast.Global() | ast.Nonlocal():
                raise _OtherWays(f"{name} changes {ast.unparse(node)}")
        for test in tests:
            if node not in within_checks and not _is_fixed(test, unknown):
                raise _OtherWays(f"{name} may go other ways by {ast.unparse(test)}")
    return answers


def _all_unknown(inputs, own, nodes):
    """The names, some of a function's own ones, whose values an input may decide."""
    # its own list or dictionary may hold whatever a method was given: items.append(x)
    owners = (n.func.value for n in nodes if isinstance(n, ast.Call) and hasattr(n.func, "value"))
    unknown = inputs | (own & {getattr(owner, "id", None) for owner in owners})
    while True:
        more = {
            name.id
            for node in nodes
            for target in getattr(node, "targets", [getattr(node, "target", None)])
            if (value := getattr(node, "iter", None) or getattr(node, "value", None))
            if target and not _is_fixed(value, unknown)
            for name in ast.walk(target)
            if isinstance(name, ast.Name) and isinstance(name.ctx, ast.Store)
        }
        if more <= unknown:
            return unknown
        unknown |= more


def _is_fixed(expression, unknown):
    for node in ast.walk(expression):
        if isinstance(node, ast.Name) and node.id in unknown:
            return False
        if isinstance(node, ast.Call):
            function = node.func
            if getattr(function, "id", getattr(function, "attr", None)) not in PURE:
                return False
    return True


def _asks(function):
    """Does the function, by its name, tell of a value or of torch's state what no symbol tells?"""
    return function.startswith("is_") or function in ("isinstance", "hasattr", "type", "callable")


@functools.lru_cache(8)
def _functions(source):
    try:
        tree = ast.parse(source)
    except SyntaxError:
        return []
    kinds = ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda
    return [node for node in ast.walk(tree) if isinstance(node, kinds)]


def _first_line(function):
    return min(node.lineno for node in (function, *getattr(function, "decorator_list", ())))


def _argument_count(code):
    stars = bool(code.co_flags & inspect.CO_VARARGS) + bool(code.co_flags & inspect.CO_VARKEYWORDS)
    return code.co_argcount + code.co_kwonlyargcount + stars


def _root(expression):
    """The name that a.b(...).c begins with."""
    while isinstance(expression, (ast.Call, ast.Attribute)):
        expression = getattr(expression, "func", None) or expression.value
    return getattr(expression, "id", None)
