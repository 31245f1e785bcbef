"""bnlib.torch.BatchNorm1d, 2d and 3d against torch.nn's: state, modes, checkpoints, tools."""

import copy
import inspect
import io
import pickle

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402
from torch.ao.quantization import quantize_fx  # noqa: E402
from torch.utils.checkpoint import checkpoint  # noqa: E402

import bnlib.torch  # noqa: E402

torch.set_num_threads(1)

SHAPES = {"BatchNorm1d": (5, 3), "BatchNorm2d": (4, 3, 5, 2), "BatchNorm3d": (3, 3, 2, 3, 2)}
OPTIONS = [
    {},
    {"momentum": None},
    {"momentum": 0.3, "eps": 1e-2},
    {"affine": False},
    pytest.param(
        {"bias": False},
        marks=pytest.mark.skipif(
            "bias" not in inspect.signature(nn.BatchNorm1d).parameters,
            reason="this torch's batch norms cannot leave out the bias",
        ),
    ),
    {"track_running_stats": False},
    {"momentum": None, "affine": False, "track_running_stats": False},
]
KINDS = pytest.mark.parametrize("kind", SHAPES)
DEVICES = [
    "cpu",
    *(["cuda"] if torch.cuda.is_available() else []),
    *(["mps"] if torch.backends.mps.is_available() else []),
]


def pair(kind, **options):
    """Our module and torch.nn's with the same parameters, no two channels alike."""
    ours, theirs = getattr(bnlib.torch, kind)(3, **options), getattr(nn, kind)(3, **options)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in theirs.parameters():
            parameter.copy_(torch.randn(3, generator=generator))
    ours.load_state_dict(theirs.state_dict())
    return ours, theirs


def batches(kind, count=3, **options):
    generator = torch.Generator().manual_seed(1)
    for _ in range(count):
        yield torch.randn(SHAPES[kind], generator=generator) * 3 + 2


def assert_same_state(ours, theirs, rtol=1e-5):
    ours, theirs = ours.state_dict(), theirs.state_dict()
    assert list(ours) == list(theirs)
    for name, value in theirs.items():
        assert ours[name].dtype == value.dtype
        torch.testing.assert_close(ours[name].cpu(), value, rtol=rtol, atol=1e-6)


def test_assert_same_state_fails_on_a_wrong_value():
    ours, theirs = pair("BatchNorm1d")
    ours(torch.randn(5, 3))
    with pytest.raises(AssertionError):
        assert_same_state(ours, theirs)


# ---- the same as torch.nn's


@pytest.mark.parametrize("kind", [*SHAPES, "SyncBatchNorm"])
def test_torch_whose_batch_norms_know_no_bias_will_do(monkeypatch, kind):
    """torch 2.11 and older: what they would refuse is passed on only where it says something."""
    init = nn.modules.batchnorm._BatchNorm.__init__

    def older(self, features, eps, momentum, affine, track, device=None, dtype=None):
        init(self, features, eps, momentum, affine, track, device, dtype)

    monkeypatch.setattr(nn.modules.batchnorm._BatchNorm, "__init__", older)
    layer = getattr(bnlib.torch, kind)(3)
    assert layer.bias.shape == (3,)


@KINDS
@pytest.mark.parametrize("options", OPTIONS, ids=str)
@pytest.mark.parametrize("device", DEVICES)
def test_training_and_evaluation_match_torch(kind, options, device):
    ours, theirs = pair(kind, **options)
    ours.to(device)
    for x in batches(kind):
        torch.testing.assert_close(ours(x.to(device)).cpu(), theirs(x), rtol=1e-5, atol=1e-5)
    assert_same_state(ours, theirs)
    ours.eval(), theirs.eval()
    torch.testing.assert_close(ours(x.to(device)).cpu(), theirs(x), rtol=1e-5, atol=1e-5)
    assert_same_state(ours, theirs)


def test_three_dimensions_match_torch_in_1d():
    ours, theirs = pair("BatchNorm1d")
    x = torch.randn(4, 3, 6)
    torch.testing.assert_close(ours(x), theirs(x), rtol=1e-5, atol=1e-5)


@KINDS
def test_gradients_match_torch(kind):
    ours, theirs = pair(kind)
    (x,) = batches(kind, 1)
    dy = torch.randn_like(x)
    grads = []
    for layer in (ours, theirs):
        leaf = x.clone().requires_grad_()
        layer(leaf).backward(dy)
        grads.append((leaf.grad, layer.weight.grad, layer.bias.grad))
    for a, b in zip(*grads, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)


@KINDS
@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_representation_is_torchs(kind, options):
    ours, theirs = pair(kind, **options)
    assert repr(ours) == repr(theirs)


@KINDS
def test_it_is_a_batch_norm_to_every_tool(kind):
    ours, theirs = pair(kind)
    assert isinstance(ours, type(theirs))
    assert isinstance(ours, nn.modules.batchnorm._BatchNorm)


def test_a_cumulative_average_is_the_mean_of_the_batches():
    layer = bnlib.torch.BatchNorm1d(3, momentum=None)
    seen = list(batches("BatchNorm1d", 5))
    for x in seen:
        layer(x)
    torch.testing.assert_close(layer.running_mean, torch.stack([x.mean(0) for x in seen]).mean(0))
    torch.testing.assert_close(layer.running_var, torch.stack([x.var(0) for x in seen]).mean(0))
    assert layer.num_batches_tracked == 5


def test_frozen_statistics_in_training_mode_match_torch():
    ours, theirs = pair("BatchNorm1d")
    for layer in (ours, theirs):
        layer.track_running_stats = False  # training then normalizes, but follows nothing
    (x,) = batches("BatchNorm1d", 1)
    torch.testing.assert_close(ours(x), theirs(x), rtol=1e-5, atol=1e-5)
    assert_same_state(ours, theirs)


# ---- errors


@pytest.mark.parametrize(
    ("kind", "shape"),
    [
        ("BatchNorm1d", (3,)),
        ("BatchNorm1d", (2, 3, 4, 4)),
        ("BatchNorm2d", (2, 3)),
        ("BatchNorm2d", (3, 4, 4)),
        ("BatchNorm3d", (2, 3, 4, 4)),
        ("BatchNorm1d", (1, 3)),
        ("BatchNorm2d", (1, 3, 1, 1)),
        ("BatchNorm1d", (4, 5)),
    ],
)
def test_errors_are_torchs(kind, shape):
    ours, theirs = pair(kind)
    with pytest.raises((ValueError, RuntimeError)) as refusal:
        theirs(torch.randn(shape))
    with pytest.raises(type(refusal.value)) as ours_refusal:
        ours(torch.randn(shape))
    assert str(ours_refusal.value).startswith(str(refusal.value))
    assert isinstance(ours_refusal.value, ValueError)


@pytest.mark.parametrize("momentum", [0.1, None])
@pytest.mark.parametrize("shape", [(1, 3), (4, 5)], ids=str)
def test_a_refused_batch_changes_nothing(momentum, shape):
    layer = bnlib.torch.BatchNorm1d(3, momentum=momentum)
    before = copy.deepcopy(layer)
    with pytest.raises(ValueError, match=r"Expected more than 1 value|should contain 5 elements"):
        layer(torch.randn(shape))
    assert_same_state(layer, before)


def test_a_momentum_outside_0_to_1_is_refused_at_the_first_batch():
    layer = bnlib.torch.BatchNorm1d(3, momentum=1.5)
    with pytest.raises(ValueError, match=r"between 0 and 1, but got 1\.5"):
        layer(torch.randn(5, 3))


# ---- numbers


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("momentum", np.float32(0.25)),
        ("momentum", torch.tensor(0.25)),
        ("momentum", 0),
        ("eps", np.float32(0.25)),
        ("eps", np.array(0.25)),
        ("eps", torch.tensor(0.25, dtype=torch.float64)),
        ("eps", 1),
    ],
    ids=repr,
)
@pytest.mark.parametrize("when", ["built", "set later"])
def test_a_number_is_whatever_holds_one(name, value, when):
    ours, theirs = pair("BatchNorm1d", **{name: value if when == "built" else 0.75})
    setattr(theirs, name, float(value))
    if when == "set later":
        setattr(ours, name, value)
    x = torch.randn(5, 3)
    torch.testing.assert_close(ours(x), theirs(x), rtol=1e-5, atol=1e-5)
    assert_same_state(ours, theirs)


@pytest.mark.parametrize("count", [np.int64(3), torch.tensor(3)], ids=repr)
def test_num_features_is_whatever_holds_a_whole_number(count):
    layer = bnlib.torch.BatchNorm1d(count)
    assert type(layer.num_features) is int
    assert layer.weight.shape == (3,)


@pytest.mark.parametrize("training", [1, np.True_, 0, np.False_], ids=repr)
def test_a_mode_is_whatever_is_true_or_false(training):
    ours, theirs = pair("BatchNorm1d")
    ours.training, theirs.training = training, bool(training)
    x = torch.randn(5, 3)
    torch.testing.assert_close(ours(x), theirs(x), rtol=1e-5, atol=1e-5)
    assert_same_state(ours, theirs)


REFUSED = [
    ((2.5,), {}, TypeError, r"num_features is 2\.5; expected a whole number"),
    (("3",), {}, TypeError, r"num_features is '3'; expected a whole number"),
    ((None,), {}, TypeError, r"num_features is None; expected a whole number"),
    ((torch.ones(2),), {}, TypeError, r"num_features is tensor.*; expected a whole number"),
    ((-1,), {}, ValueError, r"num_features is -1; expected a whole number, 0 or more"),
    ((3,), {"eps": None}, TypeError, r"eps is None; expected a number"),
    ((3,), {"eps": "1e-5"}, TypeError, r"eps is '1e-5'; expected a number"),
    ((3,), {"momentum": "high"}, TypeError, r"momentum is 'high'; expected a number"),
    ((3,), {"momentum": 1j}, TypeError, r"momentum is 1j; expected a number"),
    ((3,), {"momentum": np.ones(1)}, TypeError, r"momentum is array.*; expected a number"),
]


@pytest.mark.parametrize("kind", [*SHAPES, "SyncBatchNorm"])
@pytest.mark.parametrize(("args", "options", "error", "text"), REFUSED, ids=lambda v: str(v)[:20])
def test_a_layer_is_built_from_numbers_only(kind, args, options, error, text):
    with pytest.raises(error, match=text):
        getattr(bnlib.torch, kind)(*args, **options)


@pytest.mark.parametrize("name", ["eps", "momentum"])
def test_a_setting_that_is_no_number_any_more_is_refused_before_anything_changes(name):
    layer = bnlib.torch.BatchNorm1d(3)
    before = copy.deepcopy(layer)
    setattr(layer, name, "0.1")
    with pytest.raises(TypeError, match=f"{name} is '0.1'; expected a number"):
        layer(torch.randn(5, 3))
    assert_same_state(layer, before)


# ---- checkpoints and copies


@KINDS
@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_checkpoints_load_both_ways(kind, options):
    ours, theirs = pair(kind, **options)
    for x in batches(kind):
        theirs(x)
    ours.load_state_dict(theirs.state_dict())
    assert_same_state(ours, theirs)
    for x in batches(kind):
        ours(x)
    theirs.load_state_dict(ours.state_dict())
    assert_same_state(ours, theirs)


def test_a_file_written_by_torch_loads():
    ours, theirs = pair("BatchNorm2d")
    theirs(next(batches("BatchNorm2d")))
    file = io.BytesIO()
    torch.save(theirs.state_dict(), file)
    file.seek(0)
    ours.load_state_dict(torch.load(file, weights_only=True))
    assert_same_state(ours, theirs)


def test_an_old_checkpoint_without_num_batches_tracked_loads():
    ours, theirs = pair("BatchNorm2d")
    theirs(next(batches("BatchNorm2d")))
    old = {k: v for k, v in theirs.state_dict().items() if k != "num_batches_tracked"}
    ours.load_state_dict(old)
    torch.testing.assert_close(ours.running_var, theirs.running_var)
    assert ours.num_batches_tracked == 0


def test_a_new_checkpoint_without_num_batches_tracked_is_refused_as_in_torch():
    ours, theirs = pair("BatchNorm2d")
    for layer in (theirs, ours):
        state = layer.state_dict()
        del state["num_batches_tracked"]
        with pytest.raises(RuntimeError, match="num_batches_tracked"):
            layer.load_state_dict(state)


@pytest.mark.parametrize(
    "copied",
    [copy.copy, copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))],
    ids=["copy", "deepcopy", "pickle"],
)
def test_copies_go_on_alike(copied):
    layer, _ = pair("BatchNorm2d")
    first, second = batches("BatchNorm2d", 2)
    layer(first)
    twin = copied(layer)
    assert type(twin) is bnlib.torch.BatchNorm2d
    assert_same_state(twin, layer)
    if copied is not copy.copy:  # whose buffers are the same tensors
        twin(second)
        assert not torch.equal(twin.running_mean, layer.running_mean)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16, torch.bfloat16], ids=str)
def test_to_a_dtype_matches_torch(dtype):
    ours, theirs = (layer.to(dtype) for layer in pair("BatchNorm2d"))
    (x,) = (x.to(dtype) for x in batches("BatchNorm2d", 1))
    y, want = ours(x), theirs(x)
    assert y.dtype == want.dtype
    torch.testing.assert_close(y, want, rtol=4 * torch.finfo(dtype).eps, atol=0.02)
    eps = torch.finfo(dtype).eps
    torch.testing.assert_close(ours.running_var, theirs.running_var, rtol=2 * eps, atol=2 * eps)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
def test_low_precision_input_meets_float32_parameters(dtype):
    ours, theirs = pair("BatchNorm2d")
    (x,) = (x.to(dtype) for x in batches("BatchNorm2d", 1))
    torch.testing.assert_close(ours(x), theirs(x), rtol=1e-2, atol=1e-2)
    assert_same_state(ours, theirs)


def test_on_the_meta_device_and_materialized():
    layer = bnlib.torch.BatchNorm2d(3, device="meta")
    assert layer(torch.empty(4, 3, 5, 5, device="meta")).is_meta
    layer.to_empty(device="cpu").reset_parameters()
    assert_same_state(layer, nn.BatchNorm2d(3))


# ---- tools


def net(kind):
    return nn.Sequential(nn.Linear(4, 3), kind(3, momentum=None), nn.ReLU(), nn.Linear(3, 2))


def test_a_net_trains_to_the_same_weights():
    ours, theirs = net(bnlib.torch.BatchNorm1d), net(nn.BatchNorm1d)
    ours.load_state_dict(theirs.state_dict())
    x, labels = torch.randn(40, 4), torch.arange(40) % 2
    for model in (ours, theirs):
        optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
        for start in range(0, 40, 8):
            optimizer.zero_grad()
            part = slice(start, start + 8)
            nn.functional.cross_entropy(model(x[part]), labels[part]).backward()
            optimizer.step()
    assert_same_state(ours, theirs, rtol=1e-4)


@pytest.mark.filterwarnings("ignore:.* should not be instantiated:DeprecationWarning")
def test_a_net_compiles_into_one_graph():
    model = net(bnlib.torch.BatchNorm1d)
    twin, x = copy.deepcopy(model), torch.randn(8, 4)
    torch._dynamo.reset()
    compiled = torch.compile(model, fullgraph=True, backend="aot_eager")
    for _ in range(2):
        y, want = compiled(x), twin(x)
        torch.testing.assert_close(y, want)
        y.sum().backward(), want.sum().backward()
    assert_same_state(model, twin)
    torch.testing.assert_close(model[0].weight.grad, twin[0].weight.grad)
    torch._dynamo.reset()


@pytest.mark.parametrize("training", [True, False], ids=["training", "eval"])
def test_a_net_exports(training):
    model = net(bnlib.torch.BatchNorm1d).train(training)
    exported = torch.export.export(copy.deepcopy(model), (torch.randn(8, 4),)).module()
    x = torch.randn(8, 4)
    torch.testing.assert_close(exported(x), model(x))
    assert_same_state(exported, model)


def test_functional_call_and_per_sample_gradients_match_torch():
    def gradients(kind):
        model = net(kind).eval()
        model.load_state_dict(state)
        values = {k: v.detach() for k, v in model.named_parameters()}

        def loss(values, x):
            return torch.func.functional_call(model, values, (x[None],)).square().sum()

        return torch.func.vmap(torch.func.grad(loss), in_dims=(None, 0))(values, x)

    state, x = net(nn.BatchNorm1d).state_dict(), torch.randn(6, 4)
    want = gradients(nn.BatchNorm1d)
    for name, got in gradients(bnlib.torch.BatchNorm1d).items():
        torch.testing.assert_close(got, want[name], rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("momentum", [0.1, None])
def test_activation_checkpointing_matches_torch(momentum):
    ours, theirs = pair("BatchNorm1d", momentum=momentum)
    (x,) = batches("BatchNorm1d", 1)
    for layer in (ours, theirs):  # the second run ends where the last tensor is at hand
        checkpoint(layer, x, use_reentrant=False).sum().backward()
    assert ours.num_batches_tracked == 2
    assert_same_state(ours, theirs)


@KINDS
def test_symbolic_tracing_sees_one_operation(kind):
    model = nn.Sequential(nn.ReLU(), getattr(bnlib.torch, kind)(3))
    traced, (x,) = torch.fx.symbolic_trace(model), batches(kind, 1)
    assert [node.target for node in traced.graph.nodes if node.op == "call_module"] == ["0", "1"]
    torch.testing.assert_close(traced(x), copy.deepcopy(model)(x))
    assert traced.eval().get_submodule("1") is model[1]
    assert not model[1].training


@pytest.mark.parametrize("kind", [*SHAPES, "SyncBatchNorm"])
def test_symbolic_tracing_takes_a_layer_alone(kind):
    layer = getattr(bnlib.torch, kind)(3)
    traced, (x,) = torch.fx.symbolic_trace(layer), batches("BatchNorm1d", 1)
    x = x if kind in ("BatchNorm1d", "SyncBatchNorm") else next(batches(kind))
    twin = copy.deepcopy(layer)
    torch.testing.assert_close(traced(x), twin(x))
    assert_same_state(layer, twin)


def script(module, x):
    return torch.jit.script(module)


TORCHSCRIPT = pytest.mark.parametrize("compiled", [script, torch.jit.trace])


@pytest.mark.filterwarnings("ignore:.*torch.jit.*is deprecated:DeprecationWarning")
@pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning")  # in training torch's warn, too
@TORCHSCRIPT
@KINDS
def test_torchscript_trains_and_is_saved_as_torchs(kind, compiled):
    results = []
    for layer in pair(kind, momentum=0.3):
        first, second = batches(kind, 2)
        file = io.BytesIO()
        torch.jit.save(compiled(layer, first), file)
        file.seek(0)
        loaded = torch.jit.load(file)
        y = loaded(second)
        y.square().sum().backward()
        results.append([y, *(p.grad for p in loaded.parameters()), *loaded.buffers()])
    torch.testing.assert_close(*results)


@pytest.mark.filterwarnings("ignore:.*torch.jit.*is deprecated:DeprecationWarning")
@TORCHSCRIPT
@KINDS
def test_torchscript_takes_evaluation_without_a_warning(kind, compiled):
    layer, (x,) = pair(kind)[0].eval(), batches(kind, 1)
    torch.testing.assert_close(compiled(layer, x)(x), layer(x))


@pytest.mark.filterwarnings("ignore:.*torch.jit.*is deprecated:DeprecationWarning")
def test_a_trace_of_the_function_keeps_one_operation():
    def step(x, mean, var):
        return bnlib.torch.batch_norm(x, mean, var)

    x, mean, var = torch.randn(5, 3), torch.randn(3), torch.rand(3)
    traced = torch.jit.trace(step, (x, mean, var))
    assert "aten::batch_norm" in str(traced.graph)
    torch.testing.assert_close(traced(x + 1, mean, var), step(x + 1, mean, var))


@pytest.mark.filterwarnings("ignore:.*deprecated", "ignore:.*reduce_range:UserWarning")
def test_fx_quantization_takes_ours():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(2, 3, 3), bnlib.torch.BatchNorm2d(3), nn.Conv2d(3, 2, 1))
    x, mapping = torch.randn(16, 2, 6, 6), torch.ao.quantization.QConfigMapping()
    model(x)
    mapping.set_global(torch.ao.quantization.default_qconfig)
    prepared = quantize_fx.prepare_fx(model.eval(), mapping, (x,))
    prepared(x)
    quantized = quantize_fx.convert_fx(prepared)
    torch.testing.assert_close(quantized(x), model(x), rtol=0, atol=0.1)
    assert "quantized" in type(quantized.get_submodule("0")).__module__


def test_hooks_fire():
    layer, seen = bnlib.torch.BatchNorm1d(3), []
    layer.register_forward_hook(lambda module, args, output: seen.append(output.shape))
    layer(torch.randn(5, 3))
    assert seen == [(5, 3)]


def test_every_public_name_is_documented_and_exported():
    assert sorted(bnlib.torch.__all__) == bnlib.torch.__all__
    for name in bnlib.torch.__all__:
        assert getattr(bnlib.torch, name).__doc__
