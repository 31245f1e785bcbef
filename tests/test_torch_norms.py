"""layer_norm, group_norm and instance_norm of bnlib.torch, against torch's own in float64."""

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
}
ALL = pytest.mark.parametrize("case", CASES)
CHANNELS_LAST = {4: torch.channels_last, 5: torch.channels_last_3d}


def draw(case, dtype=torch.float64, device="cpu", seed=0, mean=0.0):
    """Name, x, weight, bias, dy, and the other arguments."""
    name, shape, arguments, parameter_shape = CASES[case]
    generator = torch.Generator().manual_seed(seed)
    shapes = shape, parameter_shape, parameter_shape, shape
    x, weight, bias, dy = (torch.randn(s, generator=generator, dtype=torch.float64) for s in shapes)
    tensors = (t.to(device, dtype) for t in (3 * x + mean, weight + 2, bias, dy))
    return name, *tensors, arguments


def run(library, name, x, weight, bias, dy, arguments, eps=1e-3):
    """y, dx, dγ and dβ."""
    x, weight, bias = (None if t is None else t.clone().requires_grad_() for t in (x, weight, bias))
    leaves = [t for t in (x, weight, bias) if t is not None]
    if library is F and name == "group_norm" and weight is None and bias is not None:
        weight = torch.ones_like(bias)  # torch 2.13 has no backward for a bias alone
    y = getattr(library, name)(x, **arguments, weight=weight, bias=bias, eps=eps)
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
    function = getattr(bnlib.torch, name)

    def f(x, weight, bias):
        return function(x, **arguments, weight=weight, bias=bias, eps=0.1)

    leaves = [t.requires_grad_() for t in (x, weight, bias)]
    assert torch.autograd.gradcheck(f, leaves, fast_mode=True, check_forward_ad=True)
    assert torch.autograd.gradgradcheck(f, leaves, fast_mode=True)


@FOLLOWED
@pytest.mark.parametrize("case", ["layer_3d", "group_4d", "instance_4d"])
def test_torch_func_goes_through(case):
    name, x, weight, bias, dy, arguments = draw(case)
    loss = [
        lambda x, library=library: (
            getattr(library, name)(x, **arguments, weight=weight, bias=bias) * dy
        ).sum()
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
    got = run(bnlib.torch, name, x, weight, bias, dy, arguments)
    if name == "layer_norm":
        arguments = {"axis": -len(arguments["normalized_shape"])}
    if name == "group_norm":
        arguments = {"groups": arguments["num_groups"]}
    function = getattr(bnlib.numpy, name)
    y, cache = function(x.numpy(), gamma=weight.numpy(), beta=bias.numpy(), eps=1e-3, **arguments)
    want = y, *getattr(bnlib.numpy, name + "_backward")(dy.numpy(), cache)
    for a, b in zip(got, want, strict=True):
        np.testing.assert_allclose(a.numpy(), b, rtol=1e-10, atol=1e-12)


# ---- numbers and dtypes


@ALL
def test_float32_far_from_zero_keeps_its_digits(case):
    name, x, weight, bias, dy, arguments = draw(case, torch.float32, mean=1e4)
    ours = run(bnlib.torch, name, x, weight, bias, dy, arguments)
    exact = run(F, name, *(t.double() for t in (x, weight, bias, dy)), arguments)
    for got, want in zip(ours, exact, strict=True):
        assert_close(got.double(), want, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("wide", [False, True], ids=["same", "float32"])
@ALL
def test_half_precision_takes_statistics_in_float32(case, wide, dtype):
    name, x, weight, bias, dy, arguments = draw(case, dtype)
    weight, bias = (t.float() if wide else t for t in (weight, bias))
    ours = run(bnlib.torch, name, x, weight, bias, dy, arguments)
    exact = run(F, name, *(t.double() for t in (x, weight, bias, dy)), arguments)
    assert [t.dtype for t in ours] == [dtype, dtype, weight.dtype, bias.dtype]
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
    y = getattr(bnlib.torch, name)(x * 0 + 7.1, **arguments, weight=weight, bias=bias)
    want = getattr(F, name)(x * 0 + 7.1, **arguments, weight=weight, bias=bias)
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
    ],
)
def test_nothing_gives_nothing(name, shape, arguments):
    size = shape[1]
    drawn = torch.ones(shape), torch.ones(size), torch.ones(size), torch.ones(shape)
    y, dx, dgamma, dbeta = run(bnlib.torch, name, *drawn, arguments)
    assert y.shape == dx.shape == shape
    assert dgamma.tolist() == dbeta.tolist() == [0.0] * size


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
    before = copy.deepcopy(drawn[1:5])
    run(bnlib.torch, *drawn)
    assert all(torch.equal(a, b) for a, b in zip(drawn[1:5], before, strict=True))


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
@pytest.mark.parametrize("case", ["layer_3d", "group_4d", "instance_4d"])
def test_compiles_in_one_graph(case):
    name, x, weight, bias, dy, arguments = draw(case)
    compiled = torch.compile(getattr(bnlib.torch, name), backend="aot_eager", fullgraph=True)

    class Compiled:
        pass

    setattr(Compiled, name, staticmethod(compiled))
    ours = run(Compiled, name, x, weight, bias, dy, arguments)
    for got, want in zip(ours, run(F, name, x, weight, bias, dy, arguments), strict=True):
        assert_close(got, want, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("case", ["layer_3d", "group_4d", "instance_4d"])
def test_the_meta_device_gets_shapes(case):
    name, *drawn, arguments = draw(case, device="meta")
    y, dx, dgamma, dbeta = run(bnlib.torch, name, *drawn, arguments)
    assert y.is_meta
    assert dx.is_meta
    assert y.shape == dx.shape == drawn[0].shape
    assert dgamma.shape == dbeta.shape == drawn[1].shape


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


@pytest.mark.parametrize("case", ["layer_3d", "group_4d", "instance_4d"])
def test_autocast_gives_torchs_dtype(case):
    name, x, weight, bias, _, arguments = draw(case, torch.bfloat16)
    for device in ("cpu", *DEVICES[1:]):
        tensors = [t.to(device) for t in (x, weight, bias)]
        with torch.autocast(device, torch.bfloat16):
            got, want = (
                getattr(f, name)(tensors[0], **arguments, weight=tensors[1], bias=tensors[2])
                for f in (bnlib.torch, F)
            )
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
    assert {bnlib.torch.layer_norm, bnlib.torch.group_norm, bnlib.torch.instance_norm} <= {*seen}


# ---- bad input

X = torch.ones(2, 4, 3)


@pytest.mark.parametrize(
    ("name", "arguments", "errors", "text"),
    [
        ("layer_norm", (X, 3), TypeError, "'normalized_shape'.*must be tuple of ints, not int"),
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
    ],
)
def test_bad_input_is_refused(name, arguments, errors, text):
    with pytest.raises(errors, match=text):
        getattr(bnlib.torch, name)(*arguments)


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
