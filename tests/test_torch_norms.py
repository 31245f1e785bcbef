"""layer_norm, group_norm, instance_norm and rms_norm of bnlib.torch, against torch's in float64."""

import copy
import subprocess
import sys

import numpy as np
import pytest

torch = pytest.importorskip("torch")

import torch.nn.functional as F  # noqa: E402
from torch.testing import assert_close  # noqa: E402

import bnlib.numpy  # noqa: E402
import bnlib.torch  # noqa: E402

# torch warns of itself
FOLLOWED = pytest.mark.filterwarnings("ignore:.torch.jit.script. is deprecated:DeprecationWarning")
COMPILED = pytest.mark.filterwarnings("ignore:.*should not be instantiated:DeprecationWarning")
MASKED = pytest.mark.filterwarnings("ignore:The PyTorch API of MaskedTensors:UserWarning")
DEVICES = ["cpu"] + (["cuda"] if torch.cuda.is_available() else [])

# test id: (function's name, shape of x, arguments, shape of weight and bias)
CASES = {
    "layer_2d": ("layer_norm", (5, 4), {"normalized_shape": (4,)}, (4,)),
    "layer_3d": ("layer_norm", (2, 3, 4), {"normalized_shape": [4]}, (4,)),
    "layer_two_axes": ("layer_norm", (3, 2, 4), {"normalized_shape": (2, 4)}, (2, 4)),
    "layer_all_axes": ("layer_norm", (2, 4), {"normalized_shape": (2, 4)}, (2, 4)),
    "group_2d": ("group_norm", (3, 6), {"num_groups": 2}, (6,)),
    "group_3d": ("group_norm", (2, 4, 5), {"num_groups": 2}, (4,)),
    "group_4d": ("group_norm", (2, 6, 3, 2), {"num_groups": 3}, (6,)),
    "group_of_all": ("group_norm", (2, 4, 3, 2), {"num_groups": 1}, (4,)),
    "group_of_one": ("group_norm", (2, 3, 2, 2), {"num_groups": 3}, (3,)),
    "instance_3d": ("instance_norm", (2, 3, 5), {}, (3,)),
    "instance_4d": ("instance_norm", (2, 3, 4, 2), {}, (3,)),
    "instance_5d": ("instance_norm", (2, 3, 2, 2, 2), {}, (3,)),
    "rms_2d": ("rms_norm", (5, 4), {"normalized_shape": (4,)}, (4,)),
    "rms_two_axes": ("rms_norm", (3, 2, 4), {"normalized_shape": [2, 4]}, (2, 4)),
}
ALL = pytest.mark.parametrize("case", CASES)
SOME = pytest.mark.parametrize("case", ["layer_3d", "group_4d", "instance_4d", "rms_2d"])
CHANNELS_LAST = {4: torch.channels_last, 5: torch.channels_last_3d}


def draw(case, dtype=torch.float64, device="cpu", seed=0, mean=0.0):
    """Name, x, weight, bias, dy, and the other arguments; rms_norm has no bias: None."""
    name, shape, arguments, parameter_shape = CASES[case]
    generator = torch.Generator().manual_seed(seed)
    shapes = shape, parameter_shape, parameter_shape, shape
    x, weight, bias, dy = (torch.randn(s, generator=generator, dtype=torch.float64) for s in shapes)
    x, weight, bias, dy = (t.to(device, dtype) for t in (3 * x + mean, weight + 2, bias, dy))
    return name, x, weight, None if name == "rms_norm" else bias, dy, arguments


def call(library, name, x, weight, bias, arguments, eps=1e-3):
    """The function of that name; bias None is not passed, since rms_norm has no such argument."""
    more = {} if bias is None else {"bias": bias}
    return getattr(library, name)(x, **arguments, weight=weight, eps=eps, **more)


def doubles(*tensors):
    return tuple(None if t is None else t.double() for t in tensors)


def run(library, name, x, weight, bias, dy, arguments, eps=1e-3):
    """y, dx, dγ and, where there is a bias, dβ."""
    x, weight, bias = (None if t is None else t.clone().requires_grad_() for t in (x, weight, bias))
    leaves = [t for t in (x, weight, bias) if t is not None]
    if (
        library is F
        and name in ("group_norm", "instance_norm")
        and weight is None
        and bias is not None
    ):
        weight = torch.ones_like(bias)  # torch 2.13 has no backward for a bias alone
    y = call(library, name, x, weight, bias, arguments, eps)
    return y.detach(), *torch.autograd.grad(y, leaves, dy)


# ---- results and derivatives


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("given", ["both", "weight", "bias", "none"])
@ALL
def test_results_and_gradients_are_torchs(case, given, device):
    name, x, weight, bias, dy, arguments = draw(case, device=device)
    weight = weight if given in ("both", "weight") else None
    bias = bias if given in ("both", "bias") else None
    drawn = name, x, weight, bias, dy, arguments
    for got, want in zip(run(bnlib.torch, *drawn), run(F, *drawn), strict=True):
        assert_close(got, want, rtol=1e-10, atol=1e-12)


@FOLLOWED
@ALL
def test_gradients_are_right_to_second_order(case):
    name, x, weight, bias, _, arguments = draw(case)

    def f(x, weight, bias=None):
        return call(bnlib.torch, name, x, weight, bias, arguments, eps=0.1)

    leaves = [t.requires_grad_() for t in (x, weight, bias) if t is not None]
    assert torch.autograd.gradcheck(f, leaves, fast_mode=True, check_forward_ad=True)
    assert torch.autograd.gradgradcheck(f, leaves, fast_mode=True)


def textbook(name, x, weight, bias, arguments, eps):
    """The norm in plain operations of torch, whose derivatives autograd makes: the oracle where
    torch's own norms are wrong."""
    if "normalized_shape" in arguments:
        rows = x.flatten(x.dim() - len(arguments["normalized_shape"]))
    else:
        rows = x.reshape(len(x), arguments.get("num_groups", x.shape[1]), -1)
        weight, bias = (v.view(-1, *[1] * (x.dim() - 2)) for v in (weight, bias))
    if name != "rms_norm":
        rows = rows - rows.mean(-1, keepdim=True)
    x_hat = rows / (rows.square().mean(-1, keepdim=True) + eps).sqrt()
    y = x_hat.view(x.shape) * weight
    return y if bias is None else y + bias


@ALL
def test_third_derivatives_are_those_of_the_textbook(case):
    name, x, weight, bias, dy, arguments = draw(case)

    def third(function):
        leaf = x.clone().requires_grad_()
        y = (function(name, leaf, weight, bias, arguments, eps=0.1).pow(3) * dy).sum()
        for direction in (dy, dy.cos(), dy.sin()):
            (g,) = torch.autograd.grad(y, leaf, create_graph=True)
            y = (g * direction).sum()
        return g

    ours = third(lambda *a, **k: call(bnlib.torch, *a, **k))
    assert_close(ours, third(textbook), rtol=1e-9, atol=1e-9)


def test_third_derivatives_of_torchs_layer_norm_are_wrong():
    """The reason for a Function of our own; when this fails, it may go."""
    x, dy = torch.randn(2, 5, dtype=torch.float64), torch.randn(2, 5, dtype=torch.float64)

    def third(function):
        leaf = x.clone().requires_grad_()
        y = (function(leaf) ** 3 * dy).sum()
        for _ in range(3):
            (g,) = torch.autograd.grad(y, leaf, create_graph=True)
            y = (g * dy).sum()
        return g

    ones = torch.ones(5).double()
    arguments = {"normalized_shape": (5,)}
    want = third(lambda x: textbook("layer_norm", x, ones, 0 * ones, arguments, 1e-5))
    assert (third(lambda x: F.layer_norm(x, (5,))) - want).abs().max() > 0.1


@FOLLOWED
@SOME
def test_forward_mode_can_begin_between_forward_and_backward(case):
    from torch.autograd import forward_ad

    name, x, weight, bias, dy, arguments = draw(case)
    y = call(bnlib.torch, name, x.requires_grad_(), weight, bias, arguments)
    (want,) = torch.autograd.grad(y, x, dy, retain_graph=True)
    with forward_ad.dual_level():
        (dx,) = torch.autograd.grad(y, x, forward_ad.make_dual(torch.zeros_like(dy), dy))
        assert_close(forward_ad.unpack_dual(dx).tangent, want, rtol=1e-10, atol=1e-12)


@FOLLOWED
@SOME
def test_torch_func_goes_through(case):
    name, x, weight, bias, dy, arguments = draw(case)
    loss = [
        lambda x, library=library: (call(library, name, x, weight, bias, arguments) * dy).sum()
        for library in (bnlib.torch, F)
    ]
    for transform in (torch.func.grad, torch.func.hessian):
        assert_close(transform(loss[0])(x), transform(loss[1])(x), rtol=1e-8, atol=1e-10)
    many = torch.stack([x, 2 * x, x - 3])
    got, want = (torch.func.vmap(torch.func.grad(f))(many) for f in loss)
    assert_close(got, want, rtol=1e-8, atol=1e-10)


@ALL
def test_values_are_those_of_the_numpy_backend(case):
    name, x, weight, bias, dy, arguments = draw(case)
    if not hasattr(bnlib.numpy, name):
        pytest.skip("not in that backend")
    got = run(bnlib.torch, name, x, weight, bias, dy, arguments)
    if "normalized_shape" in arguments:
        arguments = {"axis": -len(arguments["normalized_shape"])}
    if name == "group_norm":
        arguments = {"groups": arguments["num_groups"]}
    more = {} if bias is None else {"beta": bias.numpy()}
    function, backward = (getattr(bnlib.numpy, name + end) for end in ("", "_backward"))
    y, cache = function(x.numpy(), gamma=weight.numpy(), eps=1e-3, **more, **arguments)
    for a, b in zip(got, (y, *backward(dy.numpy(), cache)), strict=True):
        np.testing.assert_allclose(a.numpy(), b, rtol=1e-10, atol=1e-12)


# ---- numbers and dtypes


@ALL
def test_float32_far_from_zero_keeps_its_digits(case):
    name, x, weight, bias, dy, arguments = draw(case, torch.float32, mean=1e4)
    ours = run(bnlib.torch, name, x, weight, bias, dy, arguments)
    exact = run(F, name, *doubles(x, weight, bias, dy), arguments)
    for got, want in zip(ours, exact, strict=True):
        assert_close(got.double(), want, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("case", ["layer", "group", "instance"])
def test_outliers_where_the_pivot_comes_from_cost_little(case, layout):
    x = 1e4 + torch.randn(2, 8, 96, 96)
    x[:, :, :6] += 1e3
    name, arguments = {
        "layer": ("layer_norm", {"normalized_shape": (8, 96, 96)}),
        "group": ("group_norm", {"num_groups": 2}),
        "instance": ("instance_norm", {}),
    }[case]
    x = x.contiguous(memory_format=layout)
    y, want = (getattr(f, name)(t, **arguments) for f, t in ((bnlib.torch, x), (F, x.double())))
    assert (y.double() - want).abs().max() < 5e-6


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("wide", [False, True], ids=["same", "float32"])
@ALL
def test_half_precision_takes_statistics_in_float32(case, wide, dtype):
    name, x, weight, bias, dy, arguments = draw(case, dtype)
    if wide:
        weight, bias = weight.float(), None if bias is None else bias.float()
    ours = run(bnlib.torch, name, x, weight, bias, dy, arguments)
    exact = run(F, name, *doubles(x, weight, bias, dy), arguments)
    assert [t.dtype for t in ours] == [dtype, dtype, weight.dtype, weight.dtype][: len(ours)]
    half_ulp = torch.finfo(dtype).eps
    for got, want in zip(ours, exact, strict=True):
        assert_close(got.double(), want, rtol=half_ulp, atol=2e-5)


def test_float16_does_not_overflow():
    x = torch.tensor([[60000.0, -60000.0, 50000.0, 0.0]], dtype=torch.float16)
    want = F.layer_norm(x.double(), (4,))
    assert_close(bnlib.torch.layer_norm(x, (4,)).double(), want, rtol=1e-3, atol=1e-3)


@ALL
def test_constant_values_give_the_shift(case):
    name, x, weight, bias, _, arguments = draw(case)
    y, want = (call(a, name, x * 0 + 7.1, weight, bias, arguments) for a in (bnlib.torch, F))
    assert_close(y, want, rtol=1e-10, atol=1e-10)
    assert torch.isfinite(y).all()


def test_nan_stays_with_its_example():
    x = torch.randn(3, 4)
    x[1, 2] = torch.nan
    y = bnlib.torch.layer_norm(x, (4,))
    assert torch.isnan(y).any(1).tolist() == [False, True, False]


@pytest.mark.parametrize(
    ("name", "shape", "arguments"),
    [
        ("layer_norm", (0, 3), {"normalized_shape": (3,)}),
        ("layer_norm", (3, 0), {"normalized_shape": (0,)}),
        ("group_norm", (0, 4), {"num_groups": 2}),
        ("group_norm", (2, 0, 3), {"num_groups": 1}),
        ("group_norm", (2, 4, 0), {"num_groups": 2}),
        ("instance_norm", (0, 4, 3), {}),
        ("instance_norm", (2, 4, 0), {}),
        ("rms_norm", (0, 3), {"normalized_shape": (3,)}),
        ("rms_norm", (3, 0), {"normalized_shape": (0,)}),
    ],
)
def test_nothing_gives_nothing(name, shape, arguments):
    size = shape[1]
    bias = None if name == "rms_norm" else torch.ones(size)
    drawn = torch.ones(shape), torch.ones(size), bias, torch.ones(shape)
    y, dx, *sums = run(bnlib.torch, name, *drawn, arguments)
    assert y.shape == dx.shape == shape
    assert all(total.tolist() == [0.0] * size for total in sums)


# ---- memory


@pytest.mark.parametrize("case", ["group_4d", "instance_4d", "instance_5d"])
def test_channels_last_stays_channels_last(case):
    name, x, weight, bias, dy, arguments = draw(case)
    form = CHANNELS_LAST[x.dim()]
    moved = [x.contiguous(memory_format=form), weight, bias, dy.contiguous(memory_format=form)]
    ours = run(bnlib.torch, name, *moved, arguments)
    assert ours[0].is_contiguous(memory_format=form)
    assert ours[1].is_contiguous(memory_format=form)
    for got, want in zip(ours, run(F, name, x, weight, bias, dy, arguments), strict=True):
        assert_close(got, want, rtol=1e-10, atol=1e-12)


@ALL
def test_any_strides_will_do(case):
    name, x, weight, bias, dy, arguments = draw(case)
    strided = torch.stack([x, -x], dim=-1).transpose(0, -1)[0].movedim(-1, 0)
    assert not strided.is_contiguous()
    assert_close(strided, x)
    upside = dy.transpose(0, 1).contiguous().transpose(0, 1)
    ours = run(bnlib.torch, name, strided, weight, bias, upside, arguments)
    for got, want in zip(ours, run(F, name, x, weight, bias, dy, arguments), strict=True):
        assert_close(got, want, rtol=1e-10, atol=1e-12)


@ALL
def test_x_is_left_alone(case):
    drawn = draw(case)
    tensors = [t for t in drawn[1:5] if t is not None]
    before = copy.deepcopy(tensors)
    run(bnlib.torch, *drawn)
    assert all(torch.equal(a, b) for a, b in zip(tensors, before, strict=True))


# ---- running statistics of instance_norm


@pytest.mark.parametrize("steps", [1, 3])
def test_running_statistics_are_torchs(steps):
    buffers = [(torch.zeros(3).double(), torch.ones(3).double()) for _ in range(2)]
    for step in range(steps):
        _, x, weight, bias, _, _ = draw("instance_4d", seed=step)
        for library, running in zip((bnlib.torch, F), buffers, strict=True):
            library.instance_norm(x, *running, weight, bias, momentum=0.3)
    for got, want in zip(*buffers, strict=True):
        assert_close(got, want, rtol=1e-10, atol=1e-12)


def test_running_statistics_normalize_when_told_to():
    _, x, weight, bias, _, _ = draw("instance_4d")
    arguments = x, torch.rand(3).double(), torch.rand(3).double() + 1, weight, bias, False
    assert_close(bnlib.torch.instance_norm(*arguments), F.instance_norm(*arguments))


@FOLLOWED
def test_running_statistics_follow_under_torch_func():
    _, x, *_ = draw("instance_4d")
    buffers = [(torch.zeros(3).double(), torch.ones(3).double()) for _ in range(2)]
    torch.func.grad(lambda x: bnlib.torch.instance_norm(x, *buffers[0]).pow(3).sum())(x)
    F.instance_norm(x, *buffers[1])
    for got, want in zip(*buffers, strict=True):
        assert_close(got, want, rtol=1e-10, atol=1e-12)


def test_an_empty_batch_leaves_running_statistics_alone():
    mean, var = torch.zeros(3), torch.ones(3)
    bnlib.torch.instance_norm(torch.ones(0, 3, 5), mean, var)
    assert mean.tolist() == [0] * 3
    assert var.tolist() == [1] * 3


# ---- other ways to run


@COMPILED
@SOME
def test_compiles_in_one_graph(case):
    name, x, weight, bias, dy, arguments = draw(case)
    compiled = torch.compile(getattr(bnlib.torch, name), backend="aot_eager", fullgraph=True)

    class Compiled:
        pass

    setattr(Compiled, name, staticmethod(compiled))
    ours = run(Compiled, name, x, weight, bias, dy, arguments)
    for got, want in zip(ours, run(F, name, x, weight, bias, dy, arguments), strict=True):
        assert_close(got, want, rtol=1e-10, atol=1e-12)


@SOME
def test_exports_with_any_number_of_examples(case):
    name, x, weight, bias, _, arguments = draw(case, torch.float32)

    class Layer(torch.nn.Module):
        def forward(self, x):
            return call(bnlib.torch, name, x, weight, bias, arguments)

    dynamic = {"x": {0: torch.export.Dim("n", min=1)}}
    exported = torch.export.export(Layer(), (x,), dynamic_shapes=dynamic).module()
    more = torch.cat([x, x + 1, 2 * x])
    assert_close(exported(more), Layer()(more), rtol=1e-5, atol=1e-6)


@FOLLOWED
@pytest.mark.filterwarnings("ignore:.torch.jit.* is deprecated:DeprecationWarning")
@pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning")  # of torch's own norms
@SOME
def test_a_trace_can_be_saved(case, tmp_path):
    name, x, weight, bias, _, arguments = draw(case, torch.float32)

    def function(x):
        return call(bnlib.torch, name, x, weight, bias, arguments)

    torch.jit.trace(function, (x,)).save(str(tmp_path / "norm.pt"))
    more = torch.cat([x, x + 1])
    assert_close(
        torch.jit.load(str(tmp_path / "norm.pt"))(more), function(more), rtol=1e-5, atol=1e-6
    )


@SOME
def test_the_meta_device_gets_shapes(case):
    name, *drawn, arguments = draw(case, device="meta")
    y, dx, *sums = run(bnlib.torch, name, *drawn, arguments)
    assert y.is_meta
    assert dx.is_meta
    assert y.shape == dx.shape == drawn[0].shape
    assert all(total.shape == drawn[1].shape for total in sums)


FAKE = """
import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from bnlib.torch import group_norm, instance_norm, layer_norm, norms, rms_norm

for slip in ("pass", "v.sum().item()", "v + torch.ones(6)"):
    with FakeTensorMode(), torch.no_grad():
        for dtype in (torch.float32, torch.float16):
            x = torch.randn(4, 6, 3, 3, device="cuda", dtype=dtype)
            last = x.to(memory_format=torch.channels_last)
            v, edge = torch.ones(6, device="cuda"), torch.ones(3, device="cuda")
            for y in (
                layer_norm(x, [3], edge, edge),
                group_norm(x, 2, v, v),
                instance_norm(x, v, v, v, v),
                group_norm(last, 2, v, v),
                instance_norm(last),
            ):
                assert (y.device.type, y.dtype, y.shape) == ("cuda", dtype, x.shape)
            assert y.stride() == last.stride()
            rms_norm(x, [3], edge)
            norms._gradients(x, x, edge, 1e-5, [3], None)
        try:
            exec(slip)
        except Exception:
            print("refused")
        else:
            print("fine")
"""


def test_fake_cuda_tensors_show_no_wait_and_no_second_device():
    """In a process of its own, since a mistake can abort it. Two slips show that it sees them."""
    done = subprocess.run([sys.executable, "-c", FAKE], capture_output=True, text=True)
    assert done.stdout.split() == ["fine", "refused", "refused"], done.stderr


@SOME
def test_autocast_gives_torchs_dtype(case):
    name, x, weight, bias, _, arguments = draw(case, torch.bfloat16)
    for device in ("cpu", *DEVICES[1:]):
        tensors = [None if t is None else t.to(device) for t in (x, weight, bias)]
        with torch.autocast(device, torch.bfloat16):
            got, want = (call(library, name, *tensors, arguments) for library in (bnlib.torch, F))
        assert got.dtype == want.dtype


def test_tensor_subclasses_see_the_call():
    seen = []

    class Watched(torch.Tensor):
        @classmethod
        def __torch_function__(cls, function, types, args=(), kwargs=None):
            seen.append(function)
            return super().__torch_function__(function, types, args, kwargs or {})

    x = torch.randn(2, 4, 3).as_subclass(Watched)
    bnlib.torch.layer_norm(x, (3,))
    bnlib.torch.group_norm(x, 2)
    bnlib.torch.instance_norm(x)
    bnlib.torch.rms_norm(x, (3,))
    assert {bnlib.torch.layer_norm, bnlib.torch.group_norm, bnlib.torch.instance_norm} <= {*seen}
    assert bnlib.torch.rms_norm in seen


# ---- bad input

X = torch.ones(2, 4, 3)


@pytest.mark.parametrize(
    ("name", "arguments", "errors", "text"),
    [
        ("layer_norm", (X, 3), TypeError, "'normalized_shape'.*must be tuple of ints, not int"),
        ("layer_norm", (X, [3.0]), TypeError, r"'normalized_shape\[0\]'.*must be int, not float"),
        ("layer_norm", (X, [[3]]), TypeError, "must be int, not list"),
        ("layer_norm", (X, []), ValueError, "normalized_shape is empty"),
        (
            "layer_norm",
            (X, [4]),
            ValueError,
            r"input has shape \(2, 4, 3\); normalized_shape \(4,\)",
        ),
        ("layer_norm", (X, [9, 2, 4, 3]), ValueError, "needs it to end so"),
        (
            "layer_norm",
            (X, [3], torch.ones(4)),
            ValueError,
            r"weight has shape \(4,\).*needs \(3,\)",
        ),
        ("layer_norm", (X, [3], None, torch.ones(1, 3)), ValueError, r"bias has shape \(1, 3\)"),
        ("layer_norm", (X, [3], 2.0), TypeError, "'weight' must be Tensor, not float"),
        ("layer_norm", (X, [3], torch.ones(3).double()), ValueError, "mixed dtype: weight"),
        ("layer_norm", (X, [3], torch.ones(3, device="meta")), ValueError, "weight is on meta"),
        ("layer_norm", (X.long(), [3]), TypeError, "input has dtype torch.int64"),
        ("layer_norm", ([1.0], [1]), TypeError, "'input'.*must be Tensor, not list"),
        ("layer_norm", (X, [3], None, None, -1.0), ValueError, "eps must be non-negative.*-1.0"),
        ("layer_norm", (X, [3], None, None, "1"), TypeError, "'eps' must be float, not str"),
        ("group_norm", (X, 3), ValueError, r"num_groups is 3; input of shape.*its 4 channels"),
        ("group_norm", (X, 0), ValueError, "num_groups is 0"),
        ("group_norm", (X, 2.0), TypeError, "'num_groups'.*must be int, not float"),
        ("group_norm", (X, True), TypeError, "'num_groups'.*must be int, not bool"),
        ("group_norm", (torch.ones(4), 2), ValueError, "two dimensions or more"),
        ("group_norm", (torch.ones(1, 4), 4), ValueError, "Expected more than 1 value"),
        ("group_norm", (X, 2, torch.ones(2)), ValueError, r"weight has shape \(2,\).*needs \(4,\)"),
        ("group_norm", (X.to(torch.complex64), 2), TypeError, "complex64"),
        ("instance_norm", (X[..., :1],), ValueError, "more than 1 spatial element"),
        ("instance_norm", (X[..., 0],), ValueError, "more than 1 spatial element"),
        ("instance_norm", (X, torch.ones(4)), ValueError, "both be None or neither"),
        ("instance_norm", (X, torch.ones(3), torch.ones(3)), ValueError, "running_mean has shape"),
        ("instance_norm", (X, None, None, torch.ones(3)), ValueError, "weight has shape"),
        ("instance_norm", (X, None, None, None, None, False), ValueError, "must be defined"),
        ("instance_norm", (X, None, None, None, None, True, 2.0), ValueError, "momentum must be"),
        ("instance_norm", (X, None, None, None, None, True, None), TypeError, "not NoneType"),
        ("instance_norm", (X, None, None, None, None, 1), TypeError, "'use_input_stats'.*not int"),
        ("rms_norm", (X, [4]), ValueError, r"input has shape \(2, 4, 3\); normalized_shape"),
        ("rms_norm", (X, [3], torch.ones(4)), ValueError, r"weight has shape \(4,\)"),
        ("rms_norm", (X, [3], None, -1.0), ValueError, "eps must be non-negative, but got -1.0"),
        ("rms_norm", (X.long(), [3]), TypeError, "input has dtype torch.int64"),
    ],
)
def test_bad_input_is_refused(name, arguments, errors, text):
    with pytest.raises(errors, match=text):
        getattr(bnlib.torch, name)(*arguments)


@MASKED
@ALL
def test_masked_input_is_refused(case):
    name, x, weight, bias, _, arguments = draw(case)
    masked = torch.masked.masked_tensor(x, x > 0)
    for input in (masked, np.ma.array(x.numpy(), mask=x.numpy() > 0)):
        with pytest.raises(TypeError, match=f"{name}.*'input'.*Mask"):
            call(bnlib.torch, name, input, weight, bias, arguments)


NUMBERS = [np.float32(0.1), np.float64(0.1), np.int64(0), torch.tensor(0.1), torch.tensor(1)]


@pytest.mark.parametrize("number", NUMBERS, ids=repr)
@ALL
def test_eps_may_be_any_number(case, number):
    name, x, weight, bias, _, arguments = draw(case)
    got, want = (
        call(bnlib.torch, name, x, weight, bias, arguments, eps=n) for n in (number, float(number))
    )
    assert_close(got, want, rtol=0, atol=0)


@pytest.mark.parametrize("number", NUMBERS, ids=repr)
def test_momentum_of_instance_norm_may_be_any_number(number):
    _, x, *_ = draw("instance_4d", torch.float32)
    got, want = ([torch.zeros(3), torch.ones(3)] for _ in range(2))
    bnlib.torch.instance_norm(x, *got, momentum=number)
    bnlib.torch.instance_norm(x, *want, momentum=float(number))
    assert_close(got, want)


@pytest.mark.parametrize("whole", [np.int64, np.int32, torch.tensor])
def test_sizes_may_be_any_whole_numbers(whole):
    assert_close(bnlib.torch.group_norm(X, whole(2)), F.group_norm(X, 2))
    assert_close(bnlib.torch.layer_norm(X, [whole(3)]), F.layer_norm(X, [3]))
    assert_close(bnlib.torch.rms_norm(X, [whole(3)]), F.rms_norm(X, [3]))


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.float16, torch.bfloat16])
def test_eps_none_of_rms_norm_is_torchs(dtype):
    x = (1e-3 * torch.randn(4, 8, dtype=torch.float64)).to(dtype)
    got, want = (library.rms_norm(x, (8,), None, None) for library in (bnlib.torch, F))
    assert_close(got, want)


@pytest.mark.parametrize("case", ["layer_2d", "group_2d"])
def test_what_torch_raises_can_be_caught_as_torchs(case):
    name, x, weight, _, _, arguments = draw(case)
    for function in (getattr(F, name), getattr(bnlib.torch, name)):
        with pytest.raises(RuntimeError):
            function(x, **arguments, weight=weight[:-1])


def test_a_refused_batch_leaves_running_statistics_alone():
    mean, var = torch.zeros(4), torch.ones(4)
    with pytest.raises(ValueError, match="weight has shape"):
        bnlib.torch.instance_norm(X, mean, var, torch.ones(3))
    assert mean.tolist() == [0] * 4
    assert var.tolist() == [1] * 4


def test_a_batch_of_gradients_goes_back_at_once():
    x, weight = torch.randn(256, 128, requires_grad=True), torch.rand(128, requires_grad=True)
    y, dys = bnlib.torch.layer_norm(x, [128], weight), torch.randn(2, 256, 128)
    together = torch.autograd.grad(y, (x, weight), dys, retain_graph=True, is_grads_batched=True)
    for i, dy in enumerate(dys):
        alone = torch.autograd.grad(y, (x, weight), dy, retain_graph=True)
        for one, all_of_them in zip(alone, together, strict=True):
            torch.testing.assert_close(all_of_them[i], one, rtol=1e-4, atol=1e-4)


def test_autocast_does_not_round_the_sums_of_backward():
    x, weight = torch.randn(256, 512, requires_grad=True), torch.rand(512, requires_grad=True)
    dy = torch.randn(256, 512)
    want = torch.autograd.grad(F.layer_norm(x, [512], weight), (x, weight), dy)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = torch.autograd.grad(bnlib.torch.layer_norm(x, [512], weight), (x, weight), dy)
    for one, other in zip(found, want, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-4)
