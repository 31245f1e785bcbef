"""The deep nets of notebook 16: thirty layers, ways to make them train, and what to measure.

Imported where torch is there: from bnlib.course.nb16 import nets.
"""

import contextlib
import copy
import io
import logging
import math
import warnings

import torch
from torch import nn

import bnlib.torch as bt
from bnlib.course.kit.nets import digit_rows, norms_of, with_known_norms

digits = digit_rows

DEPTH, WIDTH = 30, 64
BATCH, STEPS = 60, 300
ACTIVATIONS = {"sigmoid": nn.Sigmoid, "tanh": nn.Tanh, "ReLU": nn.ReLU}
AT_ZERO = {"sigmoid": 0.5, "tanh": 0.0, "ReLU": 0.0}  # what each gives for x = 0
GAINS = {"sigmoid": 4.0, "tanh": 1.0, "ReLU": math.sqrt(2)}  # one over the slope at 0; ReLU: He's
WEIGHTS = ("torch", "Xavier", "He", "centred")
NORMS = {
    "BN": bt.BatchNorm1d,
    "LN": nn.LayerNorm,
    "RMS": nn.RMSNorm,
}


def deep_net(norm=None, *, activation="sigmoid", weights="torch", output=None, depth=DEPTH, seed=0):
    """depth times Linear, norm, activation, each 64 units wide; then a Linear to ten outputs.

    norm     a key of NORMS, a class or function (units) -> layer, or None for a net without
    weights  "torch": as torch draws them, uniform with variance 1/(3n) for n inputs; "Xavier":
             normal, 2/(n + 64); "He": normal, 2/n; "centred": orthogonal times one over the
             activation's slope at 0, with biases that take away what it gives at 0. But for torch's
             own, biases start at 0 where they are not centred
    output   the output layer's: "He" draws it normal with variance 1/n, all else is torch's. By
             default as weights say

    A Linear has a bias only where no norm follows.
    """
    if weights not in WEIGHTS:
        raise ValueError(f"weights is {weights!r}; expected one of {', '.join(WEIGHTS)}")
    torch.manual_seed(seed)
    make, layers, width = NORMS.get(norm, norm), [], 784
    for place in range(depth):
        linear = nn.Linear(width, WIDTH, bias=make is None)
        _draw(linear, weights, activation, first=place == 0)
        layers += [linear, *([make(WIDTH)] if make else []), ACTIVATIONS[activation]()]
        width = WIDTH
    last = nn.Linear(width, 10)
    if (output or weights) == "He":  # no ReLU follows: variance 1/n
        nn.init.normal_(last.weight, 0, math.sqrt(1 / width))
        nn.init.zeros_(last.bias)
    return nn.Sequential(*layers, last)


@torch.no_grad()
def _draw(linear, weights, activation, first):
    n = linear.in_features
    if weights == "torch":
        return
    if weights == "centred":
        nn.init.orthogonal_(linear.weight, GAINS[activation])
    else:
        variance = 2 / (n + WIDTH) if weights == "Xavier" else 2 / n
        linear.weight.normal_(0, math.sqrt(variance))
    if linear.bias is not None:
        linear.bias.zero_()
        if weights == "centred" and not first:
            linear.bias -= AT_ZERO[activation] * linear.weight.sum(1)


class Block(nn.Module):
    """h + α·(g(Wh + b) − g(0)): with α = 0 at the start, the input handed on."""

    def __init__(self, activation):
        super().__init__()
        self.linear, self.activation = nn.Linear(WIDTH, WIDTH), ACTIVATIONS[activation]()
        self.at_zero, self.alpha = AT_ZERO[activation], nn.Parameter(torch.zeros(()))

    def forward(self, h):
        return h + self.alpha * (self.activation(self.linear(h)) - self.at_zero)


def residual_net(*, activation="sigmoid", depth=DEPTH, seed=0):
    """A Linear, depth − 1 blocks with α = 0, an activation, and a Linear to ten outputs."""
    torch.manual_seed(seed)
    blocks = [Block(activation) for _ in range(depth - 1)]
    last = ACTIVATIONS[activation](), nn.Linear(WIDTH, 10)
    return nn.Sequential(nn.Linear(784, WIDTH), *blocks, *last)


# ── train and read ──────────────────────────────────────────────────────────────────────────────


def optimizer_of(model, name, rate):
    """SGD or Adam by name, for all of a model's parameters."""
    return {"SGD": torch.optim.SGD, "Adam": torch.optim.Adam}[name](model.parameters(), rate)


def with_statistics(model, x):
    """A copy whose running statistics are recomputed on the first 1,200 digits x, 60 at a time."""
    known = with_known_norms(model)
    if norms_of(known):
        bt.recompute_statistics(known, x[:1200].split(BATCH))
    model = copy.deepcopy(model)
    model.load_state_dict(known.state_dict())
    return model


# ── what goes on inside ─────────────────────────────────────────────────────────────────────────


def _outputs(model, x):
    """The outputs of a Sequential's activations, one after the other, in training mode."""
    kinds = tuple(ACTIVATIONS.values())
    found, value = [], x
    for layer in model:
        value = layer(value)
        if isinstance(layer, kinds):
            found.append(value)
    return found, value


@torch.no_grad()
def spread_by_layer(model, x):
    """(depth,) how far digits are apart: per layer, the deviation over the digits x of each unit's
    output, root mean square over the units. In training mode, in float64."""
    found, _ = _outputs(copy.deepcopy(model).double().train(), x.double())
    return torch.stack([z.var(0, correction=0).mean().sqrt() for z in found]).cpu().numpy()


def distinct_rows(model, x):
    """(depth,) how many different outputs a layer has for the rows of x, in their own format."""
    found, _ = _outputs(copy.deepcopy(model).train(), x)
    return [len(torch.unique(z, dim=0)) for z in found]


def gradient_by_layer(model, x, y):
    """(depth,) the squared length of the loss's gradient by each activation's output, first to
    last, for one batch in training mode. The model stays as it is."""
    found, outputs = _outputs(copy.deepcopy(model).train(), x)
    loss = nn.functional.cross_entropy(outputs, y)
    gradients = torch.autograd.grad(loss, found)
    return torch.stack([(g.double() ** 2).sum() for g in gradients]).cpu().numpy()


def fresh_gradients(x, y, seed=0):
    """gradient_by_layer of fresh nets: with BN for each activation, and with ReLU from He's
    weights without BN. A dict, its keys those of plots.LOOKS."""
    nets = {
        f"{name}, BN": deep_net("BN", activation=name, seed=seed)
        for name in ("sigmoid", "tanh", "ReLU")
    }
    nets["ReLU, He's weights, no BN"] = deep_net(activation="ReLU", weights="He", seed=seed)
    return {name: gradient_by_layer(net, x, y) for name, net in nets.items()}


# ── out of Python ───────────────────────────────────────────────────────────────────────────────


def answers_in_onnx_runtime(model, x):
    """(N, 10): what ONNX Runtime makes of pixels x (N, 784), an array.

    The model is folded and exported in evaluation mode, for a batch of any size. None where
    onnxruntime, or onnxscript, with which torch exports, is not installed.
    """
    try:
        import onnxruntime
        import onnxscript  # noqa: F401
    except ImportError:
        return None
    model, x = bt.fuse(with_known_norms(model)).cpu(), x.cpu()
    log = logging.getLogger("torch.onnx")
    before = log.level
    log.setLevel(logging.ERROR)  # that torchvision is not there
    try:
        with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings(action="ignore"):
            program = torch.onnx.export(
                model, (x[:2].clone(),), dynamo=True, verbose=False,
                dynamic_shapes=({0: torch.export.Dim("N")},),
            )  # fmt: skip
    finally:
        log.setLevel(before)
    session = onnxruntime.InferenceSession(
        program.model_proto.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    (outputs,) = session.run(None, {session.get_inputs()[0].name: x.numpy()})
    return outputs
