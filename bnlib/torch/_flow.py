"""Which module feeds which: a model's data flow in evaluation mode, found by torch.fx.

torch.fx runs the model's code once on symbols. Code may branch, so here it runs once for each
way through, and for optional arguments left out and given. A module whose code does not run on
symbols (int(x.sum()), len(x), ...) becomes a black box to the modules around it, and what lies
inside is looked at by itself if the box's source does nothing with it but call it.
"""

import ast
import collections
import inspect
import textwrap
import warnings
from typing import NamedTuple

import torch
import torch.fx
from torch.fx.proxy import TraceError
from torch.nn.modules.batchnorm import _BatchNorm

MAX_BRANCHES = 12  # on one way through a module
MAX_WAYS = 64


class Flow(NamedTuple):
    """What a model does, as far as it could be found out.

    calls       {module: [node, ...]}, its every call on every way through the model
    module_of   {node: module}, the same the other way round
    read        ids of the parameters and buffers that code reads by name
    boxes       {black box: why it is one}
    """

    calls: dict
    module_of: dict
    read: set
    boxes: dict


def data_flow(model):
    """The Flow of a model. Its code runs on symbols, so give a copy, in evaluation mode."""
    flow = Flow(collections.defaultdict(list), {}, set(), {})
    _look_at(model, flow)
    return flow


def _look_at(region, flow):
    opaque, ways = set(), None
    while ways is None:
        try:
            ways = _all_ways(region, opaque, flow.read)
        except _CannotTrace as failure:
            flow.boxes[failure.module] = failure.why
            if failure.module is region or failure.module in opaque:
                ways, opaque = [], {region}
            opaque.add(failure.module)
    for way in ways:
        for node in way.nodes:
            if node.op == "call_module":
                module = region.get_submodule(node.target)
                flow.calls[module].append(node)
                flow.module_of[node] = module
    for box in opaque:
        for name, child in box.named_children():
            if any(child.children()) and _is_only_called(box, name):
                _look_at(child, flow)


def _all_ways(region, opaque, read):
    """One graph for each way through the region's code that reaches an end."""
    if "forward" in vars(region):  # torch.fx would look at the class's
        raise _CannotTrace(region, "its forward was replaced")
    parameters = inspect.signature(type(region).forward).parameters.values()
    defaults = {p.name: p.default for p in parameters if p.default is not p.empty}
    pending = [([], defaults), ([], None)] if defaults else [([], None)]
    graphs, tried = [], 0
    while pending:
        decisions, concrete = pending.pop()
        tracer = _Tracer(opaque, decisions, read)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # that a default cannot be asserted
                graphs.append(tracer.trace(region, concrete))
        except Exception as error:  # whatever code may raise when symbols stand for tensors
            if not _is_refusal(error):
                raise _CannotTrace(tracer.failed_in or region, error) from error
        for i in range(len(decisions), len(tracer.decided)):
            pending.append(([*tracer.decided[:i], not tracer.decided[i]], concrete))
        tried += 1
        if tried + len(pending) > MAX_WAYS:
            raise _CannotTrace(region, "there are too many ways through its code")
    if not graphs:
        raise _CannotTrace(region, "every way through its code ends in an error")
    return graphs


def _is_refusal(error):
    """Does the model itself raise this, about its input? Then the way ends there."""
    return isinstance(error, (AssertionError, ValueError)) and not isinstance(error, TraceError)


class _CannotTrace(Exception):
    def __init__(self, module, error):
        lines = str(error).strip().splitlines()
        self.module, self.why = module, lines[0][:120] if lines else type(error).__name__
        super().__init__(self.why)


class _Tracer(torch.fx.Tracer):
    """torch.fx's tracer, which takes given branches and sees what is read and what fails."""

    def __init__(self, opaque, decisions, read):
        super().__init__()
        self.opaque, self.decisions, self.read = opaque, decisions, read
        self.decided, self.failed_in = [], None

    def to_bool(self, obj):
        """Take the branch that is next in `decisions`; True after the last."""
        at = len(self.decided)
        if at >= MAX_BRANCHES:
            raise TraceError("too many branches depend on data")
        self.decided.append(self.decisions[at] if at < len(self.decisions) else True)
        return self.decided[-1]

    def is_leaf_module(self, m, module_qualified_name):
        if m in self.opaque or isinstance(m, _BatchNorm):
            return True
        if any(isinstance(inner, _BatchNorm) for inner in m.modules()):
            return False  # a container of torch.nn's around code of the user's
        return super().is_leaf_module(m, module_qualified_name)

    def call_module(self, m, forward, args, kwargs):
        try:
            return super().call_module(m, forward, args, kwargs)
        except Exception:
            self.failed_in = self.failed_in or m  # the innermost comes first
            raise

    def getattr(self, attr, attr_val, parameter_proxy_cache):
        if isinstance(attr_val, torch.Tensor):
            self.read.add(id(attr_val))
        return super().getattr(attr, attr_val, parameter_proxy_cache)


_WAYS_TO_ANY_MODULE = {
    "__dict__",
    "_modules",
    "apply",
    "children",
    "get_submodule",
    "modules",
    "named_children",
    "named_modules",
}


def _is_only_called(box, name):
    """Does the source of the box's class use the child `name` in calls self.name(...) only?"""
    kinds = set(type(box).__mro__) - {torch.nn.Sequential, torch.nn.Module, object}
    return all(_calls_only(kind, name) for kind in kinds)


def _calls_only(kind, name):
    try:
        (definition,) = ast.parse(textwrap.dedent(inspect.getsource(kind))).body
    except (OSError, TypeError, SyntaxError):
        return False
    methods = [m for m in definition.body if getattr(m, "name", None) != "__init__"]
    nodes = [node for method in methods for node in ast.walk(method)]
    called = {id(node.func) for node in nodes if isinstance(node, ast.Call)}
    owners = {id(node.value) for node in nodes if isinstance(node, ast.Attribute)}
    for node in nodes:
        if isinstance(node, ast.Attribute):
            if node.attr in _WAYS_TO_ANY_MODULE:
                return False
            if node.attr == name and id(node) not in called:
                return False
        if isinstance(node, ast.Name) and node.id in ("getattr", "vars"):
            return False
        if isinstance(node, ast.Name) and node.id == "self" and id(node) not in owners:
            return False  # handed on, to code that could do anything with it
    return True
