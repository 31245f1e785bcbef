"""Swap a model's batch norms for ours, and make a trained model ready for use.

convert, revert         torch.nn's batch norms become ours, and the way back
fuse                    each batch norm goes into the layer beside it
recompute_statistics    E[x] and Var[x] of the whole training set in place of running averages
"""

import collections
import copy
import dataclasses
import itertools

import torch
import torch.fx
from torch.nn.modules.batchnorm import _BatchNorm

from bnlib.data import as_rows
from bnlib.torch._flow import data_flow
from bnlib.torch.distributed import SyncBatchNorm
from bnlib.torch.modules import BatchNorm1d, BatchNorm2d, BatchNorm3d
from bnlib.torch.training import to_tensor

OURS = {
    torch.nn.SyncBatchNorm: SyncBatchNorm,
    torch.nn.BatchNorm1d: BatchNorm1d,
    torch.nn.BatchNorm2d: BatchNorm2d,
    torch.nn.BatchNorm3d: BatchNorm3d,
}


def convert(model):
    """Replace the computation of every torch.nn batch norm in the model by ours.

    model   a torch.nn.Module; torch.nn.BatchNorm1d/2d/3d and SyncBatchNorm in it, itself
            included, become bnlib.torch's classes of the same name. Lazy ones become ours at
            their first batch; subclasses have code of their own and stay what they are

    Works in place: the modules, parameters and buffers are the same objects as before, so that an
    optimizer, hooks, a module used in two places, modes, devices and dtypes need no care.
    Returns the model. Raises TypeError when it is no torch.nn.Module.

    torch.compile, torch.export, torch.fx and FX quantization take ours as they take torch.nn's;
    torch.jit.script and torch.jit.trace put torch's own operation in our formulas' place. A tool
    that goes by exact type, such as torch.ao.quantization.fuse_modules ("did not find fuser
    method"), does not know ours: call revert before it.

    >>> model = torch.nn.Sequential(torch.nn.Conv2d(1, 8, 3), torch.nn.BatchNorm2d(8))
    >>> isinstance(convert(model)[1], BatchNorm2d)
    True
    """
    return _with_classes(model, OURS)


def revert(model):
    """The way back from convert: every batch norm of ours in the model becomes torch.nn's.

    model   a torch.nn.Module; bnlib.torch's BatchNorm1d/2d/3d and SyncBatchNorm in it, itself
            included, become torch.nn's classes of the same name; subclasses stay what they are

    Works in place, as convert does. Returns the model. Raises TypeError when it is no
    torch.nn.Module.

    >>> model = torch.nn.Sequential(torch.nn.Conv2d(1, 8, 3), BatchNorm2d(8)).eval()
    >>> fused = torch.ao.quantization.fuse_modules(revert(model), [["0", "1"]])
    >>> fused[1]
    Identity()
    """
    return _with_classes(model, {ours: torchs for torchs, ours in OURS.items()})


def _with_classes(model, new):
    _check_module(model)
    for module in model.modules():
        kind = type(module)
        if kind in new:
            module.__class__ = new[kind]
        elif getattr(module, "cls_to_become", None) in new:  # a lazy one's
            module.cls_to_become = new[module.cls_to_become]
    return model


# ---- fuse

FOLDABLE = {*OURS, *OURS.values()}
CONVOLUTIONS = {torch.nn.Conv1d: 3, torch.nn.Conv2d: 4, torch.nn.Conv3d: 5}
TRANSPOSED = {
    torch.nn.ConvTranspose1d: 3,
    torch.nn.ConvTranspose2d: 4,
    torch.nn.ConvTranspose3d: 5,
}
DIMENSIONS = {torch.nn.Linear: 2, **CONVOLUTIONS, **TRANSPOSED}  # where channels come second


def fuse(model):
    """A copy of the model for evaluation, each batch norm folded into the layer beside it.

    In evaluation mode batch norm is y = a·x + b per channel, with a = γ/√(Var[x] + ε) and
    b = β − a·E[x] (Algorithm 2, line 11). A Linear, Conv1d/2d/3d or ConvTranspose1d/2d/3d right
    before it takes a into its weight and b into its bias, which it gets if it has none; so does
    a Linear right after it. In the batch norm's place stays a FoldedBatchNorm, which hands its
    input on.

    model   a torch.nn.Module in either mode; it is not changed

    Returns the copy, in evaluation mode; `print(copy.fusion_report)` tells which batch norms were
    folded into what, and which were left as they are and why. Its outputs are the model's up to
    rounding. Left alone is all that might change a result: a layer whose output something else
    uses or keeps, a batch norm with several inputs or in training mode all the same, parameters
    that other code reads, hooks and subclasses. So is all inside a module whose code torch.fx
    cannot follow, or that may go another way for another input: where an if, while, and, or, try
    or match asks for more than attributes of modules, or anything asks for a type or for the
    state of torch (isinstance, torch.is_tensor, torch.is_grad_enabled). Where you know that such
    code uses its parts as wholes only, fuse them one by one:
    `model.features = fuse(model.features)`.

    Two things are taken for granted. Attributes of modules stay what they are now: after changing
    a switch, fuse the model again. And a module uses no other modules than those inside it. A
    Linear and a BatchNorm1d side by side are taken to see (N, D), where they mean the same axis;
    given three dimensions, the fused model raises ValueError.

    Raises TypeError when model is no torch.nn.Module, and ValueError when a lazy layer has not
    seen its first batch.

    >>> model = torch.nn.Sequential(
    ...     torch.nn.Linear(4, 3), torch.nn.BatchNorm1d(3), torch.nn.ReLU(), torch.nn.BatchNorm1d(3)
    ... )
    >>> fused = fuse(model)
    >>> fused[1]
    FoldedBatchNorm(into='0')
    >>> print(fused.fusion_report)
    1 of 2 batch norms folded
      1 into 0
    left as they are
      3: its input comes from ReLU '2'
    """
    _check_module(model)
    if any(torch.nn.parameter.is_lazy(p) for p in model.parameters()):
        raise ValueError(
            "model has parameters without a shape; expected one batch through it first"
        )
    fused, folded, left = copy.deepcopy(model).eval(), {}, {}
    plan = _Plan(copy.deepcopy(model).eval())
    for name, norm in plan.batch_norms():
        try:
            layer, fold = plan.partner(norm)
            into = plan.names[layer]
            fold(fused.get_submodule(name), fused.get_submodule(into), into)
            folded[name] = into
        except _LeftAlone as why:
            left[name] = str(why)
    fused.fusion_report = FusionReport(folded, left)
    return fused


@dataclasses.dataclass(frozen=True)
class FusionReport:
    """What fuse did. print() makes it readable.

    folded  {batch norm: layer}, both by their names in model.named_modules()
    left    {batch norm: why it was left as it was}
    """

    folded: dict[str, str]
    left: dict[str, str]

    def __str__(self):
        lines = [f"{len(self.folded)} of {len(self.folded) + len(self.left)} batch norms folded"]
        lines += [f"  {name} into {layer}" for name, layer in self.folded.items()]
        lines += ["left as they are"] if self.left else []
        return "\n".join(lines + [f"  {name}: {why}" for name, why in self.left.items()])


class FoldedBatchNorm(torch.nn.Module):
    """What fuse leaves in the place of a batch norm: it hands its input on.

    A Linear and a Conv1d take input of several shapes, and only for one of them the batch norm's
    channels were the layer's. Another, which the batch norm may have refused too, raises
    ValueError here.
    """

    def forward(self, input):
        return _check_dimensions(input, self.dimensions, self.into)

    def extra_repr(self):
        return f"into={self.into!r}"


@torch.fx.wrap  # one operation to those who trace a fused model
def _check_dimensions(input, dimensions: int, into: str):  # in words that TorchScript knows
    if input.dim() != dimensions:
        shape = ", ".join([str(size) for size in input.shape])
        raise ValueError(
            f"input has shape ({shape}); this batch norm was folded into '{into}', "
            f"which is exact for {dimensions} dimensions only"
        )
    return input


class _LeftAlone(Exception):
    """Why a batch norm is not folded."""


class _Plan:
    """Which batch norm of a model can go into which layer."""

    def __init__(self, model):
        self.flow = data_flow(model)
        self.names = {module: name for name, module in model.named_modules()}
        self.modules = {name: module for module, name in self.names.items()}
        everywhere = model.named_modules(remove_duplicate=False)
        self.times_registered = collections.Counter(module for _, module in everywhere)

    def batch_norms(self):
        return [(n, m) for n, m in self.modules.items() if isinstance(m, _BatchNorm)]

    def partner(self, norm):
        """The layer that takes the batch norm, and the function that folds it; or _LeftAlone."""
        if type(norm) not in FOLDABLE:
            raise _LeftAlone(f"{type(norm).__name__} may have code of its own")
        if norm.running_mean is None or norm.running_var is None:
            raise _LeftAlone("it has no running statistics")
        if norm in self.flow.training:
            raise _LeftAlone("it stays in training mode")
        self._check_nothing_interferes(norm, "it")
        if not self.flow.calls[norm]:
            raise _LeftAlone(self._why_not_seen(norm))
        try:
            return self._layer_before(norm), _fold_into_layer_before
        except _LeftAlone as why:
            linear = self._linear_after(norm)
            if linear is None:
                raise
            try:
                self._check_layer(norm, linear, linear.in_features)
            except _LeftAlone as why_not_after:
                raise _LeftAlone(f"{why}; {why_not_after}") from None
            return linear, _fold_into_linear_after

    def _layer_before(self, norm):
        sources = [_only_input(node) for node in self.flow.calls[norm]]
        layers = {self.flow.module_of.get(source) for source in sources}
        layer = layers.pop()
        if layers or type(layer) not in DIMENSIONS:
            where = sorted({self._describe(source) for source in sources})
            raise _LeftAlone(f"its input comes from {' and from '.join(where)}")
        is_linear = isinstance(layer, torch.nn.Linear)
        self._check_layer(norm, layer, layer.out_features if is_linear else layer.out_channels)
        for node in self.flow.calls[layer]:
            users = [self.flow.module_of.get(user) for user in node.users]
            if users != [norm] or node in self.flow.stored:
                raise _LeftAlone(f"the output of {self._title(layer)} is used elsewhere, too")
        return layer

    def _linear_after(self, norm):
        """The Linear that is all that uses the batch norm's output, and uses nothing else.

        It comes at once: what lies between might change in place what the batch norm was given.
        """
        calls = self.flow.calls[norm]
        linear = self.flow.module_of.get(calls[0].next)
        if (
            type(linear) is not torch.nn.Linear
            or [n.next for n in calls] != self.flow.calls[linear]
        ):
            return None
        alone = ([*n.users] == [n.next] and _only_input(n.next) is n for n in calls)
        return linear if all(alone) and not self.flow.stored.intersection(calls) else None

    def _check_layer(self, norm, layer, channels):
        self._check_nothing_interferes(layer, self._title(layer))
        if not _takes(norm, DIMENSIONS[type(layer)]):
            raise _LeftAlone(
                f"a {type(norm).__name__} and {self._title(layer)} mean different axes"
            )
        if norm.num_features != channels:
            raise _LeftAlone(
                f"it has {norm.num_features} channels, {self._title(layer)} {channels}"
            )
        inside_one = self._containers(norm) ^ self._containers(layer)
        if any(_has_hooks(container) for container in inside_one):
            raise _LeftAlone(f"a module around it or around {self._title(layer)} has hooks")

    def _check_nothing_interferes(self, module, it):
        if _has_hooks(module):
            raise _LeftAlone(f"{it} has hooks")
        if "forward" in vars(module):
            raise _LeftAlone(f"{it} had its forward replaced")
        tensors = [*module.parameters(), *module.buffers()]
        if any(id(tensor) in self.flow.read for tensor in tensors):
            raise _LeftAlone(f"other code reads the parameters or buffers that {it} has")
        if self.flow.boxes and self.times_registered[module] > 1:
            raise _LeftAlone(f"{it} is shared, and {self._boxes(self.flow.boxes)}")

    def _why_not_seen(self, norm):
        around = [m for m in self._containers(norm) | {norm} if m in self.flow.boxes]
        return self._boxes(around) if around else "evaluation does not use it"

    def _boxes(self, boxes):
        box = max(boxes, key=lambda box: len(self.names[box]))
        return f"torch.fx cannot follow {type(box).__name__}.forward ({self.flow.boxes[box]})"

    def _containers(self, module):
        """The modules around it."""
        parts = self.names[module].split(".")
        return {self.modules[".".join(parts[:i])] for i in range(len(parts))}

    def _title(self, module):
        return f"{type(module).__name__} '{self.names[module]}'"

    def _describe(self, node):
        if node is None:
            return "more than one tensor"
        if node in self.flow.module_of:
            return self._title(self.flow.module_of[node])
        if node.op == "placeholder":
            return "the input"
        return f"{getattr(node.target, '__name__', node.target)}()"


def _only_input(node):
    """The node that a module is called with, or None if it gets anything else."""
    given = [*node.args, *node.kwargs.values()]
    return given[0] if len(given) == 1 and isinstance(given[0], torch.fx.Node) else None


def _takes(norm, dimensions):
    """Can the batch norm be given a batch of so many dimensions?"""
    for kind, known in ((1, (2, 3)), (2, (4,)), (3, (5,))):
        if isinstance(norm, getattr(torch.nn, f"BatchNorm{kind}d")):
            return dimensions in known
    return True  # SyncBatchNorm


def _has_hooks(module):
    hooks = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
    return any(getattr(module, name) for name in hooks)


# torch.nn.utils.fusion has this for some layers; not for a grouped ConvTranspose, a Linear before
# a batch norm without parameters, or one after a batch norm, and in float16 it rounds twice.


def _fold_into_layer_before(norm, layer, into):
    """a·(W·x + c) + b = (a·W)·x + (a·c + b)"""
    a, b = _slope_and_offset(norm)
    weight = layer.weight.detach().to(a.dtype)
    if type(layer) in TRANSPOSED:  # (in, out / groups, ...): each group has outputs of its own
        groups = weight.unflatten(0, (layer.groups, -1))
        scale = a.view(layer.groups, 1, -1, *[1] * (weight.dim() - 2))
        weight = (groups * scale).flatten(0, 1)
    else:
        weight = weight * a.view(-1, *[1] * (weight.dim() - 1))
    bias = b if layer.bias is None else a * layer.bias.detach() + b
    _replace(norm, layer, weight, bias, into)


def _fold_into_linear_after(norm, linear, into):
    """W·(a·x + b) + c = (W·a)·x + (W·b + c)"""
    a, b = _slope_and_offset(norm)
    weight = linear.weight.detach().to(a.dtype)
    bias = weight @ b if linear.bias is None else weight @ b + linear.bias.detach()
    _replace(norm, linear, weight * a, bias, into)


def _slope_and_offset(norm):
    """a and b of y = a·x + b."""
    wide = _wide(norm.running_var)
    mean, var = norm.running_mean.to(wide), norm.running_var.to(wide)
    a = torch.rsqrt(var + norm.eps)
    a = a if norm.weight is None else a * norm.weight.detach()
    return a, -a * mean if norm.bias is None else norm.bias.detach() - a * mean


def _replace(norm, layer, weight, bias, into):
    """Give the layer its new parameters, and let the batch norm do nothing from now on."""
    old, dtype = layer.weight, layer.weight.dtype
    new = weight.to(dtype), bias.to(dtype)
    for exact, rounded in zip((weight, bias), new, strict=True):
        if not exact.is_meta and bool((exact.isfinite() & ~rounded.isfinite()).any()):
            raise _LeftAlone(f"'{into}' would overflow {dtype}")
    learns_bias = old.requires_grad if layer.bias is None else layer.bias.requires_grad
    layer.weight = torch.nn.Parameter(new[0], requires_grad=old.requires_grad)
    layer.bias = torch.nn.Parameter(new[1], requires_grad=learns_bias)
    # the same object, since the model may hold it in more than one place
    norm.__class__ = FoldedBatchNorm
    norm._parameters.clear()
    norm._buffers.clear()
    norm.into, norm.dimensions = into, DIMENSIONS[type(layer)]


# ---- recompute_statistics


def recompute_statistics(model, batches):
    """Replace the running statistics by averages over mini-batches, all with the same weight.

    Running averages remember the last few batches, seen with parameters that have changed since.
    This is Algorithm 2, line 10, with the parameters as they are now: E[x] = E_B[μ_B] and
    Var[x] = E_B[m/(m−1)·σ²_B], where each batch norm sees what the ones before it make of the
    same batch. Dropout and the like are off meanwhile, as when the statistics will be used.

    model    a torch.nn.Module; torch.nn's batch norms and ours in it get new statistics
    batches  an iterable of inputs, tensors or arrays, or of tuples that begin with one, as a
             DataLoader or minibatches(x, y, ...) gives them; best of the size trained on. They
             go to the device of the model's first parameter

    A layer used several times in a batch gets the average of its uses; one that is not used keeps
    its statistics. num_batches_tracked becomes the number of batches that counted. Modes and
    momenta are afterwards as they were. When anything raises on the way, the old statistics stand.

    Returns the number of batches. Raises TypeError for a model or batches of another kind, and
    ValueError when there was no batch, or no batch norm with running statistics was used.

    Ioffe & Szegedy 2015, Algorithm 2; called precise BN by Wu & Johnson 2021, arXiv:2105.07576.
    >>> model = torch.nn.BatchNorm1d(1)
    >>> recompute_statistics(model, [torch.tensor([[1.0], [3.0]]), torch.tensor([[4.0], [8.0]])])
    2
    >>> model.running_mean.item(), model.running_var.item()
    (4.0, 5.0)
    """
    _check_module(model)
    if hasattr(batches, "__array__"):  # tensors, arrays, tables
        raise TypeError(
            f"batches is one tensor or array, a {type(batches).__name__}; expected an iterable of "
            "batches, such as x.split(64)"
        )
    norms = [m for m in model.modules() if isinstance(m, _BatchNorm) and m.running_mean is not None]
    if not norms:
        raise ValueError("model has no batch norm with running statistics; expected one or more")
    where = next(itertools.chain(model.parameters(), model.buffers())).device
    modes = {module: module.training for module in model.modules()}
    averages, count = [_Average(norm) for norm in norms], 0
    try:
        model.eval()
        for average in averages:
            average.begin()
        with torch.no_grad():
            for batch in batches:
                model(to_tensor(_input_of(batch), where))
                count += 1
                for average in averages:
                    average.take()
    finally:
        for average in averages:
            average.end()
        for module, training in modes.items():
            module.training = training
    if count == 0:
        raise ValueError("batches is empty; expected one batch or more")
    if not any([average.write() for average in averages]):
        raise ValueError("no batch norm was used; expected a model that runs its batch norms")
    return count


def _input_of(batch):
    first = batch[0] if isinstance(batch, (tuple, list)) and batch else batch
    if isinstance(first, torch.Tensor):
        return first
    if not hasattr(first, "__array__"):
        raise TypeError(
            f"batches holds a {type(batch).__name__}; "
            "expected tensors or arrays, or tuples that begin with one"
        )
    return as_rows("a batch", first)


class _Average:
    """The average of one layer's batch statistics; its own are out of reach until the end."""

    BUFFERS = ("running_mean", "running_var", "num_batches_tracked")

    def __init__(self, norm):
        self.norm, self.momentum = norm, norm.momentum
        self.kept = {name: norm._buffers[name] for name in self.BUFFERS}
        mean = norm.running_mean
        self.scratch = {
            "running_mean": torch.zeros_like(mean),
            "running_var": torch.zeros_like(mean),
            "num_batches_tracked": torch.zeros((), dtype=torch.long, device=mean.device),
        }
        self.sums = [torch.zeros_like(mean, dtype=_wide(mean)) for _ in range(2)]
        self.batches = self.scratch["num_batches_tracked"].clone()

    def begin(self):
        self.norm.training = True
        self.norm.momentum = None  # the plain average, here over the layer's uses in one batch
        self.norm._buffers.update(self.scratch)

    def take(self):
        *statistics, uses = self.scratch.values()
        for total, statistic in zip(self.sums, statistics, strict=True):
            total += statistic
        self.batches += uses > 0
        for buffer in self.scratch.values():
            buffer.zero_()

    def end(self):
        self.norm.momentum = self.momentum
        self.norm._buffers.update(self.kept)

    def write(self):
        """Set the layer's statistics, if it was used. Was it?"""
        if not self.batches:
            return False
        mean, var, count = self.kept.values()
        with torch.no_grad():
            for kept, total in ((mean, self.sums[0]), (var, self.sums[1])):
                kept.copy_(total / self.batches)
            if count is not None:
                count.copy_(self.batches)
        return True


def _wide(tensor):
    """The most accurate dtype that the tensor's device has."""
    return torch.float32 if tensor.device.type == "mps" else torch.float64


def _check_module(model):
    if not isinstance(model, torch.nn.Module):
        raise TypeError(f"model is of type {type(model).__name__}; expected a torch.nn.Module")
