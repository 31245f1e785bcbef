"""bnlib.torch.convert, fuse and recompute_statistics."""

import contextlib
import copy
import functools
import gc
import pickle
import re
import sys

import pytest

torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402

import bnlib.torch  # noqa: E402
from bnlib.torch import _flow as flow  # noqa: E402
from bnlib.torch import convert, fuse, recompute_statistics, revert  # noqa: E402
from bnlib.torch.deploy import FoldedBatchNorm  # noqa: E402

KINDS = ["BatchNorm1d", "BatchNorm2d", "BatchNorm3d", "SyncBatchNorm"]
BATCH_NORM = nn.modules.batchnorm._BatchNorm


def trained(model, seed=0):
    """The model with parameters and statistics that no two channels share, in float64."""
    generator = torch.Generator().manual_seed(seed)
    for name, tensor in model.double().state_dict().items():
        if tensor.is_floating_point():
            values = torch.randn(tensor.shape, generator=generator, dtype=torch.float64)
            tensor.copy_(values.abs() + 0.5 if name.endswith("running_var") else values)
    return model


# ---- convert


@pytest.mark.parametrize("kind", KINDS)
def test_convert_replaces_the_root(kind):
    assert type(convert(getattr(nn, kind)(3))) is getattr(bnlib.torch, kind)


def test_convert_replaces_at_every_depth_in_place():
    model = nn.Sequential(
        nn.BatchNorm2d(3), nn.ModuleDict({"a": nn.ModuleList([nn.BatchNorm1d(3)])})
    )
    assert convert(model) is model
    kinds = [type(m) for m in model.modules() if isinstance(m, BATCH_NORM)]
    assert kinds == [bnlib.torch.BatchNorm2d, bnlib.torch.BatchNorm1d]


def test_convert_keeps_the_tensors():
    layer = nn.BatchNorm2d(3)
    before = dict(layer.named_parameters()) | dict(layer.named_buffers())
    after = dict(convert(layer).named_parameters()) | dict(layer.named_buffers())
    assert before.keys() == after.keys()
    assert all(before[name] is after[name] for name in before)


def test_convert_keeps_sharing():
    shared = nn.BatchNorm1d(3)
    model = convert(nn.Sequential(shared, nn.ReLU(), shared))
    assert model[0] is model[2]


def test_convert_keeps_settings_modes_and_hooks():
    layer = nn.BatchNorm1d(3, eps=1e-3, momentum=None, affine=False, dtype=torch.float64).eval()
    calls = []
    layer.register_forward_hook(lambda *_: calls.append(1))
    repr_before = repr(layer)
    convert(layer)(torch.randn(4, 3, dtype=torch.float64))
    assert calls == [1]
    assert repr(layer) == repr_before
    assert not layer.training
    assert layer.running_mean.dtype == torch.float64


def test_convert_keeps_the_device():
    layer = convert(nn.BatchNorm2d(3, device="meta"))
    assert layer.weight.device.type == layer.running_mean.device.type == "meta"


@pytest.mark.parametrize("training", [True, False])
def test_convert_does_not_change_results(training):
    model = trained(nn.Sequential(nn.Conv2d(2, 3, 3), nn.BatchNorm2d(3), nn.ReLU()))
    model.train(training)
    ours, x = convert(copy.deepcopy(model)), torch.randn(4, 2, 6, 6, dtype=torch.float64)
    torch.testing.assert_close(ours(x), model(x), rtol=1e-10, atol=1e-12)
    for name, tensor in model.state_dict().items():
        torch.testing.assert_close(ours.state_dict()[name], tensor, rtol=1e-10, atol=1e-12)


def test_convert_leaves_subclasses_alone():
    class Own(nn.BatchNorm1d):
        def forward(self, input):
            return input

    assert type(convert(nn.Sequential(Own(3)))[0]) is Own


def test_convert_twice_is_convert_once():
    assert type(convert(convert(nn.BatchNorm1d(3)))) is bnlib.torch.BatchNorm1d


def test_lazy_ones_become_ours_at_the_first_batch():
    model = convert(nn.Sequential(nn.LazyBatchNorm2d()))
    assert model(torch.randn(4, 3, 2, 2)).shape == (4, 3, 2, 2)
    assert type(model[0]) is bnlib.torch.BatchNorm2d


def test_a_converted_model_copies_and_pickles():
    model = convert(nn.Sequential(nn.BatchNorm1d(3)))
    for twin in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        assert type(twin[0]) is bnlib.torch.BatchNorm1d


def test_convert_refuses_what_is_no_module():
    with pytest.raises(TypeError, match=r"model is of type function.*torch\.nn\.Module"):
        convert(lambda x: x)


@pytest.mark.parametrize("kind", KINDS)
def test_revert_is_the_way_back(kind):
    layer = getattr(nn, kind)(3)
    state, attributes = layer.state_dict(), set(vars(layer))
    assert type(revert(convert(layer))) is getattr(nn, kind)
    assert set(vars(layer)) == attributes
    assert all(layer.state_dict()[name].data_ptr() == t.data_ptr() for name, t in state.items())


def test_revert_takes_lazy_ones_and_leaves_subclasses():
    class Own(bnlib.torch.BatchNorm2d):
        pass

    model = revert(convert(nn.Sequential(nn.LazyBatchNorm2d(), Own(3))))
    model(torch.randn(4, 3, 2, 2))
    assert [type(m) for m in model] == [nn.BatchNorm2d, Own]


def test_revert_refuses_what_is_no_module():
    with pytest.raises(TypeError, match=r"model is of type int.*torch\.nn\.Module"):
        revert(3)


@pytest.mark.parametrize("training", [True, False])
def test_a_reverted_model_suits_tools_that_go_by_type(training):
    layers = nn.Conv2d(2, 3, 3), nn.BatchNorm2d(3), nn.ReLU()
    model, names = convert(nn.Sequential(*layers)).train(training), [["0", "1", "2"]]
    fuse_modules = torch.ao.quantization.fuse_modules
    fuse_modules = torch.ao.quantization.fuse_modules_qat if training else fuse_modules
    with pytest.raises(AssertionError, match="did not find fuser method"):
        fuse_modules(model, names)
    assert type(fuse_modules(revert(model), names)[1]) is nn.Identity


# ---- fuse


def fused_equals(model, x):
    """Fuse a copy of the trained model; hold its output to the model's own. Returns the fused."""
    trained(model).train()
    before = copy.deepcopy(model.state_dict())
    fused = fuse(model)
    assert model.training
    for name, tensor in before.items():
        torch.testing.assert_close(model.state_dict()[name], tensor, rtol=0, atol=0)
    want, got = copy.deepcopy(model).eval()(x), fused(x)
    torch.testing.assert_close(got, want, rtol=1e-10, atol=1e-10)
    return fused


def left(fused):
    """The only reason why a batch norm was left alone."""
    (why,) = fused.fusion_report.left.values()
    return why


def randn(*shape):
    return torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


def test_fused_equals_sees_a_wrong_slope(monkeypatch):
    right = bnlib.torch.deploy._slope_and_offset
    monkeypatch.setattr(
        bnlib.torch.deploy,
        "_slope_and_offset",
        lambda norm: (right(norm)[0] * 1.001, right(norm)[1]),
    )
    with pytest.raises(AssertionError, match="not close"):
        fused_equals(nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3)), randn(5, 4))


LAYERS = {
    "Linear": (nn.Linear, (), (5, 4)),
    "Conv1d": (nn.Conv1d, (3,), (2, 4, 7)),
    "Conv2d": (nn.Conv2d, (3,), (2, 4, 6, 6)),
    "Conv3d": (nn.Conv3d, (2,), (2, 4, 4, 4, 4)),
    "ConvTranspose1d": (nn.ConvTranspose1d, (3,), (2, 4, 7)),
    "ConvTranspose2d": (nn.ConvTranspose2d, (3,), (2, 4, 5, 5)),
    "ConvTranspose3d": (nn.ConvTranspose3d, (2,), (2, 4, 3, 3, 3)),
}
NORMS = {2: nn.BatchNorm1d, 3: nn.BatchNorm1d, 4: nn.BatchNorm2d, 5: nn.BatchNorm3d}


def layer_and_norm(name, bias=True, affine=True, **options):
    kind, kernel, shape = LAYERS[name]
    layer = kind(4, 6, *kernel, bias=bias, **options)
    return nn.Sequential(layer, NORMS[len(shape)](6, eps=0.1, affine=affine)), randn(*shape)


@pytest.mark.parametrize("affine", [True, False], ids=["affine", "plain"])
@pytest.mark.parametrize("bias", [True, False], ids=["bias", "no-bias"])
@pytest.mark.parametrize("name", LAYERS)
def test_fuse_folds_into_the_layer_before(name, bias, affine):
    model, x = layer_and_norm(name, bias, affine)
    fused = fused_equals(model, x)
    assert fused.fusion_report.folded == {"1": "0"}
    assert type(fused[1]) is FoldedBatchNorm


@pytest.mark.parametrize("name", [name for name in LAYERS if name.startswith("Conv")])
def test_fuse_folds_into_grouped_layers(name):
    model, x = layer_and_norm(name, groups=2, stride=2, padding=1)
    assert fused_equals(model, x).fusion_report.left == {}


def test_fuse_folds_whatever_the_padding():
    model, x = layer_and_norm("Conv2d", padding=1, padding_mode="reflect", dilation=2)
    assert fused_equals(model, x).fusion_report.left == {}


@pytest.mark.parametrize("kind", ["ours", "synchronized"])
def test_fuse_folds_our_batch_norms_too(kind):
    model, x = layer_and_norm("Conv2d")
    if kind == "synchronized":
        model[1] = nn.SyncBatchNorm(6)
    assert fused_equals(convert(model), x).fusion_report.folded == {"1": "0"}


@pytest.mark.parametrize("bias", [True, False], ids=["bias", "no-bias"])
def test_fuse_folds_into_the_linear_after(bias):
    model = nn.Sequential(nn.ReLU(), nn.BatchNorm1d(4), nn.Linear(4, 3, bias=bias))
    assert fused_equals(model, randn(5, 4)).fusion_report.folded == {"1": "2"}


def test_fuse_folds_two_into_one_linear():
    model = nn.Sequential(nn.BatchNorm1d(4), nn.Linear(4, 3), nn.BatchNorm1d(3))
    assert fused_equals(model, randn(5, 4)).fusion_report.folded == {"0": "1", "2": "1"}


def test_fuse_leaves_no_batch_norm_before_a_convolution():
    model = nn.Sequential(nn.BatchNorm2d(2), nn.Conv2d(2, 3, 3, padding=1))
    assert left(fused_equals(model, randn(2, 2, 5, 5))) == "its input comes from the input"


class Block(nn.Module):
    """A residual block."""

    def __init__(self, channels, shortcut):
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)
        self.shortcut = shortcut

    def forward(self, x):
        h = torch.relu(self.bn1(self.conv1(x)))
        return torch.relu(self.bn2(self.conv2(h)) + self.shortcut(x))


def test_fuse_folds_a_residual_net():
    shortcut = nn.Sequential(nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3))
    model = nn.Sequential(Block(3, nn.Identity()), Block(3, shortcut))
    report = fused_equals(model, randn(2, 3, 6, 6)).fusion_report
    assert len(report.folded) == 5
    assert report.left == {}


class TorchvisionBlock(nn.Module):
    """As the well-known residual nets are written."""

    def __init__(self, channels, downsample=None):
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(channels, channels, 1), nn.BatchNorm2d(channels)
        self.relu, self.downsample = nn.ReLU(inplace=True), downsample

    def forward(self, x):
        identity = x
        out = self.relu(self.bn1(self.conv1(x)))
        if self.downsample is not None:
            identity = self.downsample(x)
        out += identity
        return self.relu(out)


class TorchvisionNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = nn.ModuleList(
            [
                TorchvisionBlock(2),
                TorchvisionBlock(2, nn.Sequential(nn.Conv2d(2, 2, 1), nn.BatchNorm2d(2))),
            ]
        )
        self.convs = nn.ModuleList(nn.Conv2d(2, 2, 1) for _ in range(2))
        self.bns = nn.ModuleList(nn.BatchNorm2d(2) for _ in range(2))
        self.drop = 0.5

    def forward(self, x):
        for layer in self.layers:
            x = layer(x)
        for i, (conv, bn) in enumerate(zip(self.convs, self.bns)):  # noqa: B905
            x = bn(conv(x))
            if i < len(self.convs) - 1:
                x = nn.functional.relu(x)
        if self.drop > 0 and isinstance(self.convs, nn.ModuleList):
            x = nn.functional.dropout(x, self.drop, self.training)
        return torch.flatten(x, 1)


def test_fuse_follows_branches_that_attributes_decide():
    report = fused_equals(TorchvisionNet(), randn(2, 2, 6, 6)).fusion_report
    assert len(report.folded) == 5
    assert report.left == {}


class Net(nn.Module):
    """A convolution, a batch norm, and the forward that a test gives."""

    def __init__(self, forward, **modules):
        super().__init__()
        self.conv, self.bn = nn.Conv2d(2, 2, 3, padding=1), nn.BatchNorm2d(2)
        for name, module in modules.items():
            self.add_module(name, module)
        self.run = forward

    def forward(self, x):
        return self.run(self, x)


@pytest.mark.parametrize(
    ("forward", "reason"),
    [
        (lambda m, x: (c := m.conv(x)) + m.bn(c), "output of Conv2d 'conv' is used elsewhere"),
        (lambda m, x: m.bn(c := m.conv(x)).relu() + c.mean(), "used elsewhere"),
        (lambda m, x: (m.bn(c := m.conv(x)), c), "used elsewhere"),
        (lambda m, x: m.bn(m.conv(x)) + m.conv(x), "used elsewhere"),
        (lambda m, x: m.bn(m.conv(m.conv(x))), "used elsewhere"),
        (lambda m, x: m.bn(m.conv(x)) + m.bn(x), "comes from Conv2d 'conv' and from the input"),
        (lambda m, x: m.bn(m.conv(x) * 2), r"comes from mul\(\)"),
        (lambda m, x: m.bn(m.conv(x).view(x.shape)), r"comes from view\(\)"),
        (lambda m, x: m.bn(m.conv(x).relu_()), r"comes from relu_\(\)"),
        (lambda m, x: m.bn(m.conv(x)) + m.conv.weight.sum(), "other code reads"),
        (lambda m, x: m.bn(m.conv(x)) * m.bn.running_var.mean(), "other code reads"),
        (lambda m, x: m.bn.forward(m.conv(x)), "cannot follow Net.forward"),
        (lambda m, x: m.conv(x), "evaluation does not use it"),
        (lambda m, x: m.bn(m.conv(x)) if m.training else m.conv(x), "evaluation does not use it"),
        (
            lambda m, x: m.bn(m.conv(x)) if x.sum() > 99 else m.conv(x),
            r"other ways by x.sum\(\) > 99",
        ),
        (lambda m, x: m.conv(x) if len(x) > 9 else m.bn(m.conv(x)), "torch.fx cannot follow Net"),
    ],
)
def test_fuse_leaves_alone_what_is_used_elsewhere(forward, reason):
    fused = fused_equals(Net(forward), randn(2, 2, 5, 5))
    assert fused.fusion_report.folded == {}
    assert re.search(reason, left(fused))


@pytest.mark.parametrize(
    "forward",
    [
        lambda m, x: m.bn(input=m.conv(input=x)),
        lambda m, x: m.bn(m.conv(x)) + m.bn(m.conv(-x)),
        lambda m, x: m.bn(m.conv(x)) if m.run is not None else m.conv(x),
        lambda m, x: [x := layer(x) for i, layer in enumerate((m.conv, m.bn)) if i >= 0][-1],
    ],
    ids=["keywords", "twice the same", "by an attribute", "by a fixed number"],
)
def test_fuse_folds_where_every_use_is_the_pair(forward):
    fused = fused_equals(Net(forward), randn(2, 2, 5, 5))
    assert fused.fusion_report.folded == {"bn": "conv"}


def test_fuse_leaves_a_layer_with_two_batch_norms_alone():
    model = Net(lambda m, x: m.bn(m.conv(x)) + m.other(m.conv(x)), other=nn.BatchNorm2d(2))
    assert fused_equals(model, randn(2, 2, 5, 5)).fusion_report.folded == {}


def test_fuse_survives_checks_of_the_input():
    def forward(m, x):
        assert x.dim() in (4, 5), "images"
        assert not x.is_complex()
        if x.shape[1] != 2 or x.dim() < 3:
            raise ValueError("two channels")
        if not x.is_floating_point():
            raise TypeError("floats")
        if x.dim() not in (4, 5):
            raise ValueError("images")
        return m.bn(m.conv(x))

    assert fused_equals(Net(forward), randn(2, 2, 5, 5)).fusion_report.left == {}


def test_fuse_leaves_alone_what_an_optional_argument_decides():
    class Optional(Net):
        def forward(self, x, raw=False):
            h = self.conv(x)
            return h if raw else self.bn(h)

    assert "other ways by raw" in left(fused_equals(Optional(None), randn(2, 2, 5, 5)))


def by_type(m, x):
    c = m.conv(x[0] if isinstance(x, list) else x)
    return m.bn(c) + c if isinstance(x, list) else m.bn(c)


def by_is_tensor(m, x):
    c = m.conv(x)
    return m.bn(c) + c if torch.is_tensor(x) else m.bn(c)


def by_gradients(m, x):
    c = m.conv(x)
    return m.bn(c) + c if not torch.is_grad_enabled() else m.bn(c)


def by_a_name_of_its_own(m, x):
    c, flags = m.conv(x), []
    flags.append(torch.is_tensor(x))
    total = m.bn(c)
    for flag in flags:
        seen = flag
        if seen:
            total = total + c
    return total


def by_an_error(m, x):
    c = m.conv(x)
    try:
        return m.bn(c) + c * int(x.abs().max() > 0)
    except TypeError:
        return m.bn(c)


def by_a_suppressed_error(m, x):
    c, y = m.conv(x), 0
    with contextlib.suppress(TypeError):
        y = c * int(x.abs().max() > 0)
    return m.bn(c) + y


def by_a_pattern(m, x):
    c = m.conv(x)
    match x:
        case torch.Tensor():
            return m.bn(c) + c
        case _:
            return m.bn(c)


def by_a_short_circuit(m, x):
    c = m.conv(x)
    kept = torch.is_tensor(x) and c
    return m.bn(c) + kept


def by_a_function(m, x):
    return by_is_tensor(m, x)


def by_a_closure(m, x):
    seen = torch.is_tensor(x)

    def combined(c):
        return m.bn(c) + c if seen else m.bn(c)

    return combined(m.conv(x))


def by_an_index(m, x):
    c = m.conv(x)
    return (m.bn, lambda c: m.bn(c) + c)[torch.is_tensor(x)](c)


def by_a_range(m, x):
    c, y = m.conv(x), 0
    for _ in range(hasattr(x, "storage")):
        y = c
    return m.bn(c) + y


@functools.singledispatch
def by_dispatch(c, m):
    return m.bn(c)


@by_dispatch.register
def _(c: torch.Tensor, m):
    return m.bn(c) + c


def by_dispatched_functions(m, x):
    return by_dispatch(m.conv(x), m)


def by_its_own_count(m, x):
    c = m.conv(x)
    m.calls = getattr(m, "calls", 0) + 1
    return m.bn(c) + c if m.calls > 1 else m.bn(c)


@pytest.mark.parametrize(
    "forward",
    [
        by_type,
        by_is_tensor,
        by_gradients,
        by_a_name_of_its_own,
        by_an_error,
        by_a_suppressed_error,
        by_a_pattern,
        by_a_short_circuit,
        by_a_function,
        by_a_closure,
        by_an_index,
        by_a_range,
        by_dispatched_functions,
        by_its_own_count,
    ],
)
def test_fuse_leaves_alone_what_may_go_another_way(forward):
    fused = fused_equals(Net(forward), randn(2, 2, 5, 5))
    assert "cannot follow Net.forward" in left(fused)


def test_fuse_leaves_alone_code_whose_source_is_not_at_hand():
    exec("def forward(m, x):\n    return m.bn(m.conv(x))", names := {})
    assert "source of forward is not at hand" in left(fuse(Net(names["forward"])))


KEPT = []


@pytest.mark.parametrize(
    "keep",
    [
        lambda m, c: m.acts.append(c),
        lambda m, c: m.acts.append([c]),
        lambda m, c: setattr(m, "last", c),
        lambda m, c: m.table.update(last=c),
        lambda m, c: KEPT.append(c),
        lambda m, c: m.acts.append(lambda: c),
    ],
    ids=["list", "nested", "attribute", "dictionary", "global", "function"],
)
def test_fuse_leaves_alone_what_is_kept(keep):
    def forward(m, x):
        keep(m, c := m.conv(x))
        return m.bn(c)

    model = Net(forward)
    model.acts, model.table = [], {}
    assert "used elsewhere" in left(fused_equals(model, randn(2, 2, 5, 5)))


def test_fuse_leaves_alone_what_an_attribute_keeps():
    def forward(m, x):
        m.last = m.conv(x)
        return m.bn(m.last)

    assert "forward changes m.last" in left(fused_equals(Net(forward), randn(2, 2, 5, 5)))


def test_fuse_leaves_alone_what_is_kept_before_a_linear():
    class Keeping(nn.Module):
        def __init__(self):
            super().__init__()
            self.bn, self.linear, self.acts = nn.BatchNorm1d(4), nn.Linear(4, 3), []

        def forward(self, x):
            self.acts.append(y := self.bn(x))
            return self.linear(y)

    assert left(fused_equals(Keeping(), randn(5, 4))) == "its input comes from the input"


def test_fuse_leaves_alone_what_changes_before_the_linear():
    class InPlace(nn.Module):
        def __init__(self):
            super().__init__()
            self.bn, self.linear = nn.BatchNorm1d(4), nn.Linear(4, 3)

        def forward(self, x):
            h = x.relu()
            y = self.bn(h)
            h.add_(1)  # which is what a folded batch norm would hand on
            return self.linear(y)

    assert "comes from relu" in left(fused_equals(InPlace(), randn(5, 4)))


class AlwaysTraining(Net):
    def train(self, mode=True):
        super().train(mode)
        self.bn.train()
        return self


def switched_on(m, x):
    m.bn.train()
    return m.bn(m.conv(x))


def switched_on_for_a_while(m, x):
    y = m.bn.train()(m.conv(x))
    m.bn.eval()
    return y


def switched_on_for_later(m, x):
    y = m.bn(m.conv(x))
    m.bn.train()
    return y


@pytest.mark.parametrize(
    "model",
    [
        AlwaysTraining(lambda m, x: m.bn(m.conv(x))),
        Net(switched_on),
        Net(switched_on_for_a_while),
        Net(switched_on_for_later),
    ],
    ids=["always", "at the call", "for the call", "after the call"],
)
def test_fuse_leaves_alone_what_stays_in_training_mode(model):
    assert left(fused_equals(model, randn(2, 2, 5, 5))) == "it stays in training mode"


def test_fuse_leaves_alone_what_is_set_to_training_mode():
    def forward(m, x):
        m.bn.training = True
        return m.bn(m.conv(x))

    assert "stays in training mode" in left(fused_equals(Net(forward), randn(2, 2, 5, 5)))


def test_fuse_leaves_alone_what_is_inside_torchs_own_modules():
    layer = nn.TransformerEncoderLayer(4, 2, 8, batch_first=True)
    layer.norm1 = nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(3))
    assert "cannot follow TransformerEncoderLayer" in left(fuse(nn.Sequential(layer)))


def test_fuse_finds_modules_kept_in_a_plain_list():
    def forward(m, x):
        for layer in m.steps:
            x = layer(x)
        return x

    model = Net(forward)
    model.steps = [model.conv, model.bn]
    assert fused_equals(model, randn(2, 2, 5, 5)).fusion_report.folded == {"bn": "conv"}


def test_fuse_leaves_hooks_their_values():
    for hooked in ("0", "1", "1.0"):
        model = nn.Sequential(nn.Conv2d(2, 2, 1), nn.Sequential(nn.BatchNorm2d(2)))
        model.get_submodule(hooked).register_forward_hook(lambda *_: None)
        assert "has hooks" in left(fused_equals(model, randn(2, 2, 5, 5)))


def test_fuse_leaves_parametrized_layers_alone():
    model, x = layer_and_norm("Conv2d")
    nn.utils.parametrizations.weight_norm(model[0])
    assert "ParametrizedConv2d" in left(fused_equals(model, x))


def test_fuse_leaves_a_replaced_forward_alone():
    model, x = layer_and_norm("Linear")
    model[0].forward = lambda x: x.new_ones(5, 6)
    assert "forward replaced" in left(fused_equals(model, x))


def test_fuse_leaves_subclasses_alone():
    class Twice(nn.BatchNorm2d):
        def forward(self, input):
            return 2 * super().forward(input)

    model = nn.Sequential(nn.Conv2d(2, 2, 1), Twice(2))
    assert "Twice" in left(fused_equals(model, randn(2, 2, 5, 5)))


def test_fuse_leaves_batch_statistics_alone():
    model = nn.Sequential(nn.Conv2d(2, 2, 1), nn.BatchNorm2d(2, track_running_stats=False))
    assert left(fused_equals(model, randn(2, 2, 5, 5))) == "it has no running statistics"


def test_fuse_keeps_tied_weights_apart():
    model = nn.Sequential(nn.Linear(3, 3), nn.BatchNorm1d(3), nn.Linear(3, 3))
    model[2].weight = model[0].weight
    assert fused_equals(model, randn(4, 3)).fusion_report.folded == {"1": "0"}


def test_fuse_leaves_other_axes_alone():
    model = nn.Sequential(nn.Linear(5, 3), nn.BatchNorm2d(3))
    assert "different axes" in left(fused_equals(model, randn(2, 3, 3, 5)))
    model = nn.Sequential(nn.Linear(5, 3), nn.BatchNorm1d(4))
    assert "it has 4 channels, Linear '0' 3" in left(fused_equals(model, randn(2, 4, 5)))


def test_a_folded_linear_refuses_what_means_another_axis():
    fused = fuse(nn.Sequential(nn.Linear(5, 3), nn.BatchNorm1d(3)))
    with pytest.raises(ValueError, match=r"\(2, 3, 3\).*folded into '0'.*2 dimensions only"):
        fused(torch.randn(2, 3, 5))


class LenNet(nn.Module):
    """Something that torch.fx cannot follow, around parts that it can."""

    def __init__(self):
        super().__init__()
        self.features = nn.Sequential(nn.Conv2d(2, 3, 3), nn.BatchNorm2d(3), nn.ReLU())
        self.head = nn.Linear(48, 2)

    def forward(self, x):
        return self.head(self.features(x).view(len(x), -1))


def test_fuse_folds_around_code_that_cannot_be_traced():
    model = nn.Sequential(LenNet(), nn.BatchNorm1d(2), nn.Linear(2, 3), nn.BatchNorm1d(3))
    report = fused_equals(model, randn(4, 2, 6, 6)).fusion_report
    assert report.folded == {"1": "2", "3": "2"}
    assert "cannot follow LenNet.forward ('len' is not" in report.left["0.features.1"]


def test_fuse_takes_a_part_of_code_that_cannot_be_traced():
    model, x = trained(LenNet()).eval(), randn(4, 2, 6, 6)
    want = model(x)
    model.features = fuse(model.features)
    assert type(model.features[1]) is FoldedBatchNorm
    torch.testing.assert_close(model(x), want, rtol=1e-10, atol=1e-10)


class Collect(LenNet):
    """Its features are used one by one: the outcome of the convolution is part of the result."""

    def forward(self, x):
        seen = []
        for layer in self.features[: len(x)]:
            x = layer(x)
            seen.append(x)
        return seen


def test_fuse_leaves_layers_alone_that_untraceable_code_takes_one_by_one():
    assert "cannot follow Collect" in left(fused_equals(Collect(), randn(4, 2, 6, 6)))


class HandOn(LenNet):
    """Leaves the work to code elsewhere."""

    def forward(self, x):
        return one_by_one(self, x)


def one_by_one(model, x):
    first = model.features[0](x)
    return model.features[1](first) + first * len(x)


def test_fuse_leaves_layers_alone_that_go_to_code_elsewhere():
    assert "cannot follow HandOn" in left(fused_equals(HandOn(), randn(4, 2, 6, 6)))


class Holder(nn.Module):
    """Calls its layer out of torch.fx's sight."""

    def __init__(self, layer):
        super().__init__()
        self.layer = layer

    def forward(self, x):
        return self.layer(x) * len(x)


def test_fuse_leaves_layers_alone_that_untraceable_code_shares():
    conv = nn.Conv2d(2, 2, 1)
    model = nn.Sequential(conv, nn.BatchNorm2d(2), Holder(conv))
    assert "Conv2d '0' is shared" in left(fused_equals(model, randn(4, 2, 3, 3)))


def test_fuse_draws_no_conclusion_from_endless_branching():
    def forward(m, x):
        while x.sum() > 1:
            x = x / 2
        return m.bn(m.conv(x))

    assert "other ways by x.sum() > 1" in left(fused_equals(Net(forward), randn(2, 2, 5, 5)))


def test_fuse_of_a_lone_batch_norm():
    assert left(fused_equals(nn.BatchNorm1d(3), randn(4, 3))) != ""


@pytest.mark.parametrize("seed", range(10))
def test_fuse_keeps_the_results_of_random_nets(seed):
    draw = torch.Generator().manual_seed(seed)

    def pick(n):
        return int(torch.randint(n, (), generator=draw))

    makers = [
        lambda: nn.Conv2d(4, 4, 3, padding=1, groups=1 + pick(2), bias=bool(pick(2))),
        lambda: nn.ConvTranspose2d(4, 4, 3, padding=1, groups=1 + pick(2)),
        lambda: nn.BatchNorm2d(4, affine=bool(pick(2))),
        lambda: nn.ReLU(inplace=bool(pick(2))),
        lambda: Block(4, nn.Identity()),
        lambda: nn.Linear(4, 4),
    ]
    layers = [makers[pick(len(makers))]() for _ in range(8)]
    layers += [layers[pick(8)] for _ in range(2)]  # used twice
    fused_equals(nn.Sequential(*layers), randn(2, 4, 4, 4))


def test_fuse_keeps_half_precision_where_it_fits():
    model, x = layer_and_norm("Linear")
    fused = fuse(trained(model).half())
    assert fused[0].weight.dtype == torch.float16
    want = copy.deepcopy(model).double().eval()(x)
    torch.testing.assert_close(fused(x.half()).double(), want, rtol=2e-2, atol=2e-2)


def test_fuse_leaves_alone_what_would_overflow():
    model = nn.Sequential(nn.Linear(4, 6), nn.BatchNorm1d(6)).half()
    model[0].weight.data.fill_(30000.0)
    model[1].weight.data.fill_(30000.0)
    assert left(fuse(model)) == "'0' would overflow torch.float16"


def test_fuse_works_without_numbers():
    assert fuse(layer_and_norm("Conv2d")[0].to("meta")).fusion_report.folded == {"1": "0"}


def test_fuse_keeps_what_may_be_trained():
    model, _ = layer_and_norm("Linear", bias=False)
    model[0].weight.requires_grad_(False)
    assert not any(p.requires_grad for p in fuse(model).parameters())


def test_a_fused_model_copies_pickles_and_traces():
    model, x = layer_and_norm("Linear")
    fused = fused_equals(model, x)
    for twin in (
        copy.deepcopy(fused),
        pickle.loads(pickle.dumps(fused)),
        torch.fx.symbolic_trace(fused),
    ):
        torch.testing.assert_close(twin(x), fused(x), rtol=0, atol=0)


@pytest.mark.filterwarnings("ignore:.*torch.jit.*is deprecated:DeprecationWarning")
@pytest.mark.parametrize("how", ["script", "trace"])
def test_a_fused_model_becomes_torchscript(how):
    model, x = layer_and_norm("Linear")
    fused = fused_equals(nn.Sequential(*model, nn.ReLU(), bnlib.torch.BatchNorm1d(6)), x)
    compiled = torch.jit.script(fused) if how == "script" else torch.jit.trace(fused, x)
    torch.testing.assert_close(compiled(x), fused(x))
    if how == "script":
        with pytest.raises(torch.jit.Error, match=r"\(2, 3, 6\).*folded into '0'"):
            compiled(randn(2, 3, 4))


def test_a_fused_model_fuses_again():
    fused = fuse(nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3), LenNet()))
    fused[1] = nn.Sequential(fused[1], nn.Linear(3, 4), nn.BatchNorm1d(4))
    assert fuse(fused).fusion_report.folded == {"1.2": "1.1"}


def test_fuse_gives_a_profiler_back_its_function():
    def profiler(*_):
        pass

    sys.setprofile(profiler)
    try:
        fuse(nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3)))
        assert sys.getprofile() is profiler
    finally:
        sys.setprofile(None)


def test_fuse_frees_the_batch_norm():
    assert set(fuse(layer_and_norm("Linear")[0]).state_dict()) == {"0.weight", "0.bias"}


def test_fuse_refuses_what_it_cannot_copy_or_know():
    with pytest.raises(TypeError, match=r"model is of type int.*torch\.nn\.Module"):
        fuse(3)
    with pytest.raises(ValueError, match="one batch through it first"):
        fuse(nn.Sequential(nn.LazyLinear(3)))


# ---- recompute_statistics


def small_net():
    layers = nn.Conv2d(2, 3, 3), nn.BatchNorm2d(3), nn.Dropout(), nn.Flatten(), nn.Linear(12, 4)
    return trained(nn.Sequential(*layers, nn.BatchNorm1d(4, momentum=None)))


def some_batches(count=3, size=5):
    return list(randn(count, size, 2, 4, 4))


@pytest.mark.parametrize("own", [False, True], ids=["torch", "ours"])
def test_statistics_are_averages_over_batches(own):
    model, batches = small_net(), some_batches()
    model = convert(model) if own else model
    assert recompute_statistics(model, batches) == 3
    inputs = [model[0](x) for x in batches]
    normalized = [
        nn.functional.batch_norm(x, None, None, *model[1].parameters(), True) for x in inputs
    ]
    for layer, seen in (
        (model[1], inputs),
        (model[5], [model[4](x.flatten(1)) for x in normalized]),
    ):
        axes = [0, *range(2, seen[0].dim())]
        mean = sum(x.mean(axes) for x in seen) / 3
        var = sum(x.var(axes, correction=1) for x in seen) / 3
        torch.testing.assert_close(layer.running_mean, mean, rtol=1e-10, atol=1e-12)
        torch.testing.assert_close(layer.running_var, var, rtol=1e-10, atol=1e-12)
        assert layer.num_batches_tracked == 3


def test_every_batch_has_the_same_weight():
    model = nn.BatchNorm1d(1)
    recompute_statistics(model, [torch.tensor([[0.0], [0.0]]), torch.tensor([[3.0]] * 6)])
    assert model.running_mean.item() == 1.5


def test_old_statistics_do_not_matter():
    model, twin = small_net(), small_net()
    twin[1].running_mean.fill_(99)
    for net in (model, twin):
        recompute_statistics(net, some_batches())
    for a, b in zip(model.buffers(), twin.buffers(), strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=0)


def test_tuples_and_generators_of_batches_count():
    model, twin = small_net(), small_net()
    recompute_statistics(model, some_batches())
    assert recompute_statistics(twin, ((x, "labels") for x in some_batches())) == 3
    torch.testing.assert_close(twin[5].running_var, model[5].running_var, rtol=0, atol=0)


def test_a_layer_used_twice_averages_its_uses():
    shared, shift = nn.BatchNorm1d(1, affine=False), nn.Linear(1, 1)
    nn.init.ones_(shift.weight)
    nn.init.constant_(shift.bias, 10.0)
    recompute_statistics(nn.Sequential(shared, shift, shared), [torch.tensor([[1.0], [3.0]])])
    torch.testing.assert_close(shared.running_mean, torch.tensor([6.0]))
    assert shared.num_batches_tracked == 1


def test_an_unused_layer_keeps_its_statistics():
    model = Net(lambda m, x: m.bn(x), unused=nn.BatchNorm2d(2)).double()
    before = copy.deepcopy(model.unused.state_dict())
    recompute_statistics(model, some_batches())
    for name, tensor in before.items():
        assert torch.equal(model.unused.state_dict()[name], tensor)


def test_modes_momenta_and_buffer_objects_stay():
    model = small_net().train()
    model[1].eval()
    before = [(m.training, getattr(m, "momentum", 0)) for m in model.modules()]
    buffers = list(model.buffers())
    recompute_statistics(model, some_batches())
    assert [(m.training, getattr(m, "momentum", 0)) for m in model.modules()] == before
    assert all(a is b for a, b in zip(model.buffers(), buffers, strict=True))


@pytest.mark.parametrize("bad", [torch.zeros(1), torch.zeros(5, 9, 4, 4), "text", None])
def test_statistics_survive_an_error(bad):
    model = small_net().train()
    before = copy.deepcopy(model.state_dict())
    settings = [(m.training, getattr(m, "momentum", 0)) for m in model.modules()]
    with pytest.raises((RuntimeError, TypeError)):
        recompute_statistics(model, [*some_batches(), bad])
    for name, tensor in before.items():
        assert torch.equal(model.state_dict()[name], tensor)
    assert [(m.training, getattr(m, "momentum", 0)) for m in model.modules()] == settings


def test_no_gradient_is_recorded():
    model = small_net()
    recompute_statistics(model, some_batches())
    assert not any(buffer.requires_grad for buffer in model.buffers())
    assert all(p.grad is None for p in model.parameters())


def test_checkpoints_without_a_count_work():
    model = nn.BatchNorm1d(1)
    model.num_batches_tracked = None
    assert recompute_statistics(model, [torch.tensor([[1.0], [3.0]])]) == 1
    assert model.num_batches_tracked is None
    assert model.running_mean.item() == 2


def test_many_batches_far_from_zero_lose_no_digits():
    model = nn.BatchNorm1d(1)
    offsets = (0.25 * (i % 2) for i in range(501))
    recompute_statistics(model, (torch.tensor([[9999.0], [10001.0]]) + o for o in offsets))
    assert model.running_mean.item() == pytest.approx(10000 + 0.25 * 250 / 501, abs=6e-4)


@pytest.mark.parametrize(
    ("model", "batches", "error", "text"),
    [
        (nn.BatchNorm1d(2), [], ValueError, "batches is empty"),
        (nn.Linear(2, 2), [torch.ones(3, 2)], ValueError, "no batch norm with running statistics"),
        (nn.BatchNorm1d(2), torch.ones(3, 2), TypeError, r"one tensor.*x.split\(64\)"),
        (nn.BatchNorm1d(2), [{"x": 3}], TypeError, "holds a dict; expected tensors"),
        (nn.BatchNorm1d(2), [torch.ones(1, 2)], ValueError, "more than 1 value per channel"),
        (Net(lambda m, x: x), [torch.ones(1, 2)], ValueError, "no batch norm was used"),
        (len, [torch.ones(1, 2)], TypeError, "expected a torch.nn.Module"),
    ],
)
def test_recompute_statistics_refuses(model, batches, error, text):
    with pytest.raises(error, match=text):
        recompute_statistics(model, batches)


def test_fuse_is_not_misled_by_what_the_garbage_collector_runs(monkeypatch):
    """A generator in a cycle, left in the middle, runs on when it is collected."""

    def scan(text):
        at = 0
        try:
            while at < len(text):
                yield (at := at + 1)
        finally:
            at = len(text) if text else 0

    def litter():
        scanner = [scan("abc")]
        scanner.append(scanner)
        next(scanner[0])

    def trace(self, *args, **named):
        gc.set_threshold(1)  # from here on every new object would set it off
        return torch.fx.Tracer.trace(self, *args, **named)

    monkeypatch.setattr(flow._Tracer, "trace", trace, raising=False)
    threshold = gc.get_threshold()
    gc.set_threshold(1_000_000)
    try:
        litter()
        assert fuse(nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3))).fusion_report.folded
    finally:
        gc.set_threshold(*threshold)
