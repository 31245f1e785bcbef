"""bnlib.torch.batch_norm against torch.nn.functional.batch_norm, autograd and finite differences.

Every result is compared with torch's own in float64, on the CPU and on each device there is.
"""

import itertools
import re
import subprocess
import sys
import textwrap

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from torch.autograd.gradcheck import GradcheckError  # noqa: E402
from torch.nn import functional as F  # noqa: E402

import bnlib.reference  # noqa: E402
from bnlib.torch import _passes, batch_norm, batchnorm  # noqa: E402

torch.set_num_threads(1)

DEVICES = [
    "cpu",
    *(["cuda"] if torch.cuda.is_available() else []),
    *(["mps"] if torch.backends.mps.is_available() else []),
]
SHAPES = [(5, 3), (4, 3, 6), (4, 3, 5, 2), (2, 3, 2, 3, 2)]
RTOL = {torch.float64: 1e-10, torch.float32: 1e-5}
# Warnings that torch 2.13 gives about its own inner work
JIT = pytest.mark.filterwarnings("ignore:.torch.jit.script. is deprecated:DeprecationWarning")
DYNAMO = pytest.mark.filterwarnings("ignore:.* should not be instantiated:DeprecationWarning")


@pytest.fixture(params=DEVICES)
def device(request):
    return request.param


@pytest.fixture(params=["small", "blocked", "plain", "kernel"])
def path(request, monkeypatch):
    """Each way to the same result, with blocks so small that there are several of them; on a GPU
    all but the last are what torch.compile makes its kernels of."""
    monkeypatch.setattr(batchnorm, "takes_kernel", lambda x: request.param == "kernel")
    if request.param != "small":
        monkeypatch.setattr(batchnorm, "SMALL", 0)
    monkeypatch.setattr(_passes, "BLOCK", 16)
    if request.param == "plain":
        monkeypatch.setattr(batchnorm, "passes_for", lambda x: _passes.plain)
    return request.param


def leaves(shape, dtype=torch.float64, *, device="cpu", channels_last=False, seed=0, mean=1.0):
    """x, weight, bias to differentiate, running_mean, running_var, dy; every channel its own."""
    rng = np.random.default_rng(seed)
    channels = shape[1]
    scale = rng.uniform(0.5, 2, channels).reshape((1, -1) + (1,) * (len(shape) - 2))
    arrays = [
        mean + scale * (rng.normal(size=shape) + rng.normal(size=scale.shape)),
        rng.uniform(0.5, 2, channels) * rng.choice([-1, 1], channels),
        rng.normal(size=channels),
        rng.normal(size=channels),
        rng.uniform(0.5, 2, channels),
        rng.normal(size=shape),
    ]
    x, *vectors, dy = (torch.from_numpy(a).to(dtype).to(device) for a in arrays)
    if channels_last:
        x, dy = (t.contiguous(memory_format=torch.channels_last) for t in (x, dy))
    for leaf in (x, *vectors[:2]):
        leaf.requires_grad_()
    return x, *vectors, dy


def run(function, x, weight, bias, mean, var, dy, training=True, momentum=0.1, eps=1e-5):
    """y, the gradients of what there is to differentiate, and the buffers after the call."""
    mean, var = (None if v is None else v.clone() for v in (mean, var))
    y = function(x, mean, var, weight, bias, training, momentum, eps)
    wanted = [t for t in (x, weight, bias) if t is not None]
    return y, *torch.autograd.grad(y, wanted, dy), mean, var


def assert_same(got, want, rtol, atol=None):
    """Values alike, compared in float64; shapes and Nones the same."""
    for a, b in zip(got, want, strict=True):
        assert (a is None) == (b is None)
        if a is not None:
            a, b = (t.detach().cpu().double() for t in (a, b))
            torch.testing.assert_close(a, b, rtol=rtol, atol=rtol if atol is None else atol)


@pytest.mark.parametrize("slip", [1, 2, 5])
def test_assert_same_fails_on_a_wrong_value(slip):
    want = run(F.batch_norm, *leaves((5, 3)))
    got = [t if i != slip else t * (1 + 1e-6) for i, t in enumerate(want)]
    with pytest.raises(AssertionError):
        assert_same(got, want, rtol=1e-10)


# ---- results


@pytest.mark.parametrize("training", [True, False], ids=["training", "eval"])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=["float64", "float32"])
def test_batch_norm_matches_torch(device, path, shape, training, dtype):
    if device == "mps" and dtype == torch.float64:
        pytest.skip("mps has no float64")
    got = run(batch_norm, *leaves(shape, dtype, device=device), training=training)
    want = run(F.batch_norm, *leaves(shape), training=training)
    assert_same(got, want, RTOL[dtype])


@pytest.mark.parametrize("training", [True, False], ids=["training", "eval"])
def test_batch_norm_matches_torch_channels_last(device, path, training):
    arguments = leaves((4, 3, 5, 2), device=device, channels_last=True)
    got = run(batch_norm, *arguments, training=training)
    assert_same(got, run(F.batch_norm, *arguments, training=training), 1e-10)


@pytest.mark.parametrize(
    ("weight", "bias", "buffers"),
    [(False, False, True), (True, False, False), (False, True, True), (True, True, False)],
)
def test_batch_norm_matches_torch_where_arguments_are_none(device, path, weight, bias, buffers):
    given = [True, weight, bias, buffers, buffers, True]

    def arguments(device):
        drawn = leaves((6, 3, 4), device=device)
        return [t if there else None for t, there in zip(drawn, given, strict=True)]

    # torch's on the CPU: on a GPU torch 2.13 has no backward for a bias alone
    assert_same(run(batch_norm, *arguments(device)), run(F.batch_norm, *arguments("cpu")), 1e-10)


@pytest.mark.parametrize("momentum", [0.0, 0.3, 1.0])
def test_running_statistics_match_torch_over_several_steps(device, path, momentum):
    ours, theirs = ([torch.zeros(3, device=d), torch.ones(3, device=d)] for d in (device, "cpu"))
    for step in range(4):
        x = leaves((5, 3, 2), torch.float32, seed=step)[0].detach()
        batch_norm(x.to(device), *ours, training=True, momentum=momentum)
        F.batch_norm(x, *theirs, training=True, momentum=momentum)
    assert_same(ours, theirs, 1e-5)


def test_evaluation_leaves_the_buffers_alone(path):
    x, weight, bias, mean, var, _ = leaves((5, 3))
    before = mean.clone(), var.clone()
    batch_norm(x, mean, var, weight, bias, training=False)
    assert_same((mean, var), before, 0)


def test_input_stays_as_it_is(device, path):
    x, weight, bias, mean, var, dy = leaves((4, 3, 5), device=device)
    before = x.detach().clone(), dy.clone()
    run(batch_norm, x, weight, bias, mean, var, dy)
    assert_same((x, dy), before, 0)


@pytest.mark.parametrize("wanted", list(itertools.product([0, 1], repeat=3))[1:], ids=str)
def test_each_gradient_can_be_had_alone(path, wanted):
    x, weight, bias, _, _, dy = leaves((4, 3, 5))
    for leaf, want in zip((x, weight, bias), wanted, strict=True):
        leaf.requires_grad_(bool(want))
    asked = [t for t in (x, weight, bias) if t.requires_grad]
    for training in (True, False):
        mean, var = torch.zeros(3).double(), torch.ones(3).double()
        got, want = (
            torch.autograd.grad(f(x, mean, var, weight, bias, training), asked, dy)
            for f in (batch_norm, F.batch_norm)
        )
        assert_same(got, want, 1e-10)


def test_a_gradient_of_one_number_expanded_is_taken(path):
    for f in (batch_norm, F.batch_norm):
        x, weight, bias, *_ = leaves((4, 3, 5, 2), channels_last=True)
        f(x, None, None, weight, bias, True).sum().backward()
        assert_same((weight.grad, bias.grad), (torch.zeros(3), torch.full((3,), 40.0)), 1e-9)


@pytest.mark.parametrize("shape", [(0, 3), (2, 3, 0), (0, 3, 4, 4)], ids=str)
@pytest.mark.parametrize("training", [True, False], ids=["training", "eval"])
def test_an_empty_batch_changes_nothing(shape, training):
    arguments = leaves(shape)
    got = run(batch_norm, *arguments, training=training)
    assert_same(got, run(F.batch_norm, *arguments, training=training), 0)
    assert got[0].grad_fn is not None


def test_weight_may_have_another_shape_as_in_torch():
    x, weight, bias, mean, var, dy = leaves((5, 3))
    want = run(F.batch_norm, x, weight, bias, mean, var, dy)
    wide = weight.detach().view(1, 3).requires_grad_()
    got = run(batch_norm, x, wide, bias, mean, var, dy)
    assert got[2].shape == (1, 3)  # where torch's backward stumbles
    assert_same(got, [t.view(1, 3) if i == 2 else t for i, t in enumerate(want)], 1e-10)


def test_positions_and_defaults_are_torchs():
    import inspect

    ours, theirs = (inspect.signature(f).parameters for f in (batch_norm, F.batch_norm))
    assert [(p.name, p.default) for p in ours.values()] == [
        (p.name, p.default) for p in theirs.values()
    ]


def test_the_text_of_reference_says_the_same(path):
    x, weight, bias, *_, dy = leaves((4, 3, 5))
    y = batch_norm(x, None, None, weight, bias, True)
    want = bnlib.reference.batch_norm(x, weight, bias)
    grads, wanted = (torch.autograd.grad(v, (x, weight, bias), dy) for v in (y, want))
    assert_same((y, *grads), (want, *wanted), 1e-10)


# ---- memory formats


@pytest.mark.parametrize("training", [True, False], ids=["training", "eval"])
@pytest.mark.parametrize(
    "layout",
    [
        lambda t: t,
        lambda t: t.contiguous(memory_format=torch.channels_last),
        lambda t: t.repeat(2, 1, 1, 1)[::2],
        lambda t: t.contiguous(memory_format=torch.channels_last).repeat(2, 1, 1, 1)[::2],
        lambda t: t.permute(0, 2, 3, 1).contiguous().permute(0, 3, 1, 2)[:, :, 1:],
        lambda t: t.permute(3, 2, 1, 0).contiguous().permute(3, 2, 1, 0),
        lambda t: t[:1].expand(4, -1, -1, -1),
    ],
    ids=[
        "nchw",
        "channels-last",
        "strided",
        "strided-last",
        "cropped-last",
        "reversed",
        "expanded",
    ],
)
def test_memory_format_is_torchs(path, training, layout):
    x = layout(leaves((4, 3, 5, 2))[0].detach()).requires_grad_()
    dy = torch.randn(x.shape, dtype=x.dtype)
    for gradient in (dy, dy.contiguous(memory_format=torch.channels_last)):
        got, want = (
            run(
                f,
                x,
                None,
                None,
                torch.zeros(3).double(),
                torch.ones(3).double(),
                gradient,
                training,
            )
            for f in (batch_norm, F.batch_norm)
        )
        assert_same(got, want, 1e-10)
        assert [t.stride() for t in got[:2]] == [t.stride() for t in want[:2]]


def test_memory_format_is_torchs_in_3d(path):
    x = leaves((2, 3, 2, 3, 2))[0].detach().contiguous(memory_format=torch.channels_last_3d)
    y = batch_norm(x, None, None, training=True)
    assert y.stride() == F.batch_norm(x, None, None, training=True).stride()


# ---- derivatives


@JIT
@pytest.mark.parametrize("training", [True, False], ids=["training", "eval"])
@pytest.mark.parametrize("shape", [(4, 2), (3, 2, 2, 2)], ids=str)
def test_derivatives_match_finite_differences(path, shape, training):
    x, weight, bias, mean, var, _ = leaves(shape)

    def function(*leaves):
        return batch_norm(leaves[0], mean, var, *leaves[1:], training, 0.0)

    arguments = x, weight, bias
    batched = {"check_batched_grad": True, "check_batched_forward_grad": True}
    assert torch.autograd.gradcheck(function, arguments, check_forward_ad=True, **batched)
    assert torch.autograd.gradgradcheck(function, arguments, check_fwd_over_rev=True)


def test_derivatives_fail_the_check_when_the_statistics_are_taken_as_constants():
    x, weight, bias, *_ = leaves((4, 2))

    def function(x):
        constants = x.detach().mean(0), x.detach().var(0, correction=0)
        return batch_norm(x, *constants, weight, bias)

    with pytest.raises(GradcheckError):
        torch.autograd.gradcheck(function, x)


def test_third_derivatives_match_torch(device, path):
    def third(function):
        x, weight, *_ = leaves((3, 2), device=device)
        y = function(x, None, None, weight, None, True).pow(3).sum()
        for _ in range(3):
            (g,) = torch.autograd.grad(y, x, create_graph=True)
            y = (g * torch.arange(-1, 1, 1 / 3).to(g).view(3, 2)).sum()
        return (g,)

    assert_same(
        third(batch_norm),
        third(lambda x, m, v, w, b, t: bnlib.reference.batch_norm(x, w, 0 * w)),
        1e-8,
    )


def test_a_gradient_penalty_trains_the_weight(device, path):
    def penalty(function):
        x, weight, bias, mean, var, dy = leaves((6, 3), torch.float32, device=device)
        y = function(x, mean, var, weight, bias, True)
        (dx,) = torch.autograd.grad(y, x, dy, create_graph=True)
        dx.square().sum().backward()
        return x.grad, weight.grad

    assert_same(penalty(batch_norm), penalty(F.batch_norm), 1e-4)


def functions_of(function, training):
    """Scalar and whole results of x, for torch.func to transform."""
    _, weight, bias, mean, var, _ = (t.detach() for t in leaves((5, 3)))

    def whole(x, weight=weight):
        return function(x, mean.clone(), var.clone(), weight, bias, training)

    return whole, lambda x, *more: whole(x, *more).pow(3).sum()


@JIT
@pytest.mark.parametrize("training", [True, False], ids=["training", "eval"])
def test_torch_func_matches_torch(training):
    results = []
    for function in (batch_norm, F.batch_norm):
        whole, scalar = functions_of(function, training)
        xs = torch.stack([leaves((5, 3), seed=s)[0].detach() for s in range(2)])
        weights = torch.stack([leaves((5, 3), seed=s)[1].detach() for s in range(2)])
        tangent = leaves((5, 3), seed=3)[0].detach()
        func = torch.func
        results.append(
            (
                func.grad(scalar)(xs[0]),
                func.hessian(scalar)(xs[0]),
                func.jacrev(func.jacrev(scalar))(xs[0]),
                *func.jvp(whole, (xs[0],), (tangent,)),
                func.jvp(func.grad(scalar), (xs[0],), (tangent,))[1],
                func.vjp(scalar, xs[0])[1](torch.ones(()).double())[0],
            )
        )
        if not training:
            results[-1] += (
                func.vmap(whole)(xs),
                func.vmap(whole)(xs, weights),
                func.vmap(whole, in_dims=(None, 0))(xs[0], weights),
                func.vmap(func.grad(scalar, argnums=(0, 1)))(xs, weights)[1],
            )
    assert_same(*results, 1e-9)


@JIT
def test_vmap_in_training_matches_torch():
    def results(function):
        xs = torch.stack([leaves((5, 3), seed=s)[0].detach() for s in range(2)])
        weights, means, variances = (
            torch.stack([leaves((5, 3), seed=s)[i].detach() for s in range(2)]) for i in (1, 3, 4)
        )

        def free(x, weight):
            return function(x, None, None, weight, training=True)

        def tracked(x, mean, var):
            return function(x, mean, var, training=True)

        vmap, grad = torch.func.vmap, torch.func.grad
        return (
            vmap(free)(xs, weights),
            vmap(free, in_dims=(1, None), out_dims=1)(xs.transpose(0, 1), weights[0]),
            vmap(free, in_dims=(None, 0))(xs[0], weights),
            vmap(grad(lambda x, w: free(x, w).pow(3).sum()))(xs, weights),
            vmap(tracked)(xs, means, variances),
            means,
            variances,
        )

    assert_same(results(batch_norm), results(F.batch_norm), 1e-9)


def test_vmap_refuses_to_mix_batches_in_one_buffer():
    mean, var = torch.zeros(3), torch.ones(3)
    for function in (batch_norm, F.batch_norm):
        with pytest.raises(RuntimeError):
            torch.func.vmap(lambda x: function(x, mean, var, training=True))(torch.randn(2, 5, 3))  # noqa: B023
    assert_same((mean, var), (torch.zeros(3), torch.ones(3)), 0)


@JIT
@pytest.mark.parametrize("transform", ["grad", "jvp"])
def test_buffers_are_updated_under_torch_func(transform):
    def after(function):
        mean, var = torch.zeros(3).double(), torch.ones(3).double()
        x = leaves((5, 3))[0].detach()

        def scalar(x):
            return function(x, mean, var, training=True).pow(3).sum()

        if transform == "grad":
            torch.func.grad(scalar)(x)
        else:
            torch.func.jvp(scalar, (x,), (x,))
        return mean, var

    assert_same(after(batch_norm), after(F.batch_norm), 1e-12)


@JIT
def test_forward_mode_leaves_no_tangent_in_the_buffers():
    from torch.autograd import forward_ad

    x, mean, var = leaves((5, 3))[0].detach(), torch.zeros(3).double(), torch.ones(3).double()
    with forward_ad.dual_level():
        batch_norm(forward_ad.make_dual(x, x), mean, var, training=True)
        assert forward_ad.unpack_dual(mean).tangent is None
        assert forward_ad.unpack_dual(var).tangent is None


@JIT
@pytest.mark.parametrize("training", [True, False], ids=["training", "eval"])
def test_forward_mode_can_begin_between_forward_and_backward(path, training):
    from torch.autograd import forward_ad

    x, weight, bias, mean, var, dy = leaves((4, 3, 5))
    y = batch_norm(x, mean, var, weight, bias, training)
    (want,) = torch.autograd.grad(y, x, dy, retain_graph=True)
    with forward_ad.dual_level():
        (dx,) = torch.autograd.grad(y, x, forward_ad.make_dual(torch.zeros_like(dy), dy))
        assert_same((forward_ad.unpack_dual(dx).tangent,), (want,), 1e-10)


@JIT
def test_nested_forward_mode_is_right_where_torchs_own_is_not():
    _, scalar = functions_of(batch_norm, True)
    x, u, v = (leaves((5, 3), seed=s)[0].detach() for s in range(3))
    func = torch.func
    hessian = torch.autograd.functional.hessian(scalar, x)
    along = torch.einsum("ij,ijkl,kl", u, hessian, v)
    twice = func.jvp(lambda x: func.jvp(scalar, (x,), (v,))[1], (x,), (u,))[1]
    mixed = func.grad(lambda x: func.jvp(scalar, (x,), (v,))[1])(x)
    assert_same((twice, (mixed * u).sum()), (along, along), 1e-9)


# ---- dtypes

LOW = [torch.float16, torch.bfloat16]


@pytest.mark.parametrize("training", [True, False], ids=["training", "eval"])
@pytest.mark.parametrize("parameters", ["same", "float32"])
@pytest.mark.parametrize("dtype", LOW, ids=str)
def test_low_precision_matches_torch(device, path, dtype, parameters, training):
    x, weight, bias, mean, var, dy = leaves((6, 3, 4), torch.float32, device=device)
    kept = dtype if parameters == "same" else torch.float32
    low = [x.detach().to(dtype).requires_grad_()]
    low += [t.detach().to(kept).requires_grad_() for t in (weight, bias)]
    low += [t.to(kept) for t in (mean, var)] + [dy.to(dtype)]
    got, native = (run(f, *low, training=training) for f in (batch_norm, F.batch_norm))
    assert [t.dtype for t in got] == [t.dtype for t in native]
    exact = [t.detach().double() for t in low]  # native's dγ may be four roundings off on a GPU
    want = run(
        F.batch_norm, *[t.requires_grad_(i < 3) for i, t in enumerate(exact)], training=training
    )
    assert_same(got, want, torch.finfo(dtype).eps * 4)


@pytest.mark.parametrize("dtype", LOW, ids=str)
def test_low_precision_takes_its_statistics_in_float32(device, path, dtype):
    if (device, path) == ("cpu", "kernel"):
        pytest.skip("the CPU's kernel adds up in half precision, the GPU's does not")
    x = (torch.randn(4096, 2) + 100).to(device, dtype)
    mean, var = torch.zeros(2, 2, device=device)
    batch_norm(x, mean, var, training=True, momentum=1.0)
    want = x.double().mean(0), x.double().var(0)
    assert_same((mean, var), want, 1e-5)


def test_float16_does_not_overflow_where_squares_would(path):
    x = torch.tensor([[60000.0], [-60000.0], [30000.0], [0.0]]).half()
    y = batch_norm(x, None, None, training=True)
    assert_same((y,), (F.batch_norm(x.double(), None, None, training=True),), 1e-3)


def test_bfloat16_buffers_take_one_rounding_a_step():
    x, *_, mean, var, _ = leaves((64, 3), torch.float32)
    exact = [mean.clone(), var.clone()]
    batch_norm(x.bfloat16().float(), *exact, training=True)
    rounded = [mean.bfloat16(), var.bfloat16()]
    batch_norm(x.bfloat16(), *rounded, training=True)
    assert_same(rounded, exact, torch.finfo(torch.bfloat16).eps)


def test_autocast_takes_half_inputs_with_float32_parameters():
    x, weight, bias, mean, var, _ = leaves((6, 3, 4), torch.float32)
    results = []
    for function in (batch_norm, F.batch_norm):
        with torch.autocast("cpu", dtype=torch.bfloat16):
            y = function(x.bfloat16(), mean.clone(), var.clone(), weight, bias, True)
            y32 = function(x, mean.clone(), var.clone(), weight, bias, True)
        y.float().pow(2).sum().backward()
        results.append((y, y32, x.grad, weight.grad))
        x.grad = weight.grad = None
    assert [t.dtype for t in results[0]] == [t.dtype for t in results[1]]
    assert_same(results[0][:2], results[1][:2], 0.03)
    assert_same(results[0][1:2], results[1][1:2], 1e-5)


# ---- accuracy and hard numbers


@pytest.mark.parametrize("channels_last", [False, True], ids=["nchw", "channels-last"])
@pytest.mark.parametrize("shape", [(4096, 4), (60, 100), (16, 4, 28, 28), (2, 5, 9)], ids=str)
def test_float32_keeps_its_digits_at_mean_1e4(device, path, shape, channels_last):
    if channels_last and len(shape) != 4:
        pytest.skip("channels-last has four dimensions")
    low = leaves(shape, torch.float32, device=device, channels_last=channels_last, mean=1e4)
    exact = [t.detach().cpu().double() for t in low]
    for leaf in exact[:3]:
        leaf.requires_grad_()
    got, want = run(batch_norm, *low), run(F.batch_norm, *exact)
    for a, b in zip(got[:2], want[:2], strict=True):
        # the CPU's kernel, which is taken here in place of the GPU's, adds up more coarsely
        bound = 2e-5 if (device, path) == ("cpu", "kernel") else 5e-6
        assert (a.cpu().double() - b).abs().max() < bound


def test_float32_loses_little_to_the_worst_pivot(path):
    x = torch.randn(64, 3, 4)
    x[:4] = 1e3  # every value that the pivot comes from is an outlier
    x[0, :, 0] = 3e3
    y = batch_norm(x, None, None, training=True)
    assert_same((y,), (F.batch_norm(x.double(), None, None, training=True),), 5e-6)


@pytest.mark.parametrize("shape", [(1 << 15, 2), (2048, 8), (64, 64, 16, 16)], ids=str)
def test_an_outlier_in_first_place_costs_a_long_channel_nothing(shape):
    x = torch.randn(shape)
    x[0] = 100 if len(shape) == 2 else 0
    if len(shape) == 4:
        x[0, :, 0, 0] = 100
    dy, exact = torch.randn(shape) + 1, x.double().requires_grad_()
    x.requires_grad_()
    (dx,) = torch.autograd.grad(batch_norm(x, None, None, training=True), x, dy)
    y = F.batch_norm(exact, None, None, training=True)
    (want,) = torch.autograd.grad(y, exact, dy.double())
    assert (dx - want).abs().max() < 5e-6 * want.abs().max()


@pytest.mark.parametrize("value", [0.0, 5.0, 1e4, -3e7, 1e-40], ids=str)
def test_a_constant_channel_gives_beta(path, value):
    x = torch.full((50, 3, 4), value, requires_grad=True)
    _, weight, bias, *_ = leaves((5, 3), torch.float32)
    y = batch_norm(x, None, None, weight, bias, True)
    assert_same((y,), (bias.view(1, 3, 1).expand_as(y),), 1e-4)
    dy = torch.randn_like(x)
    (dx,) = torch.autograd.grad(y, x, dy)
    want = (dy - dy.mean((0, 2), keepdim=True)) * weight.view(1, 3, 1) / 1e-5**0.5
    assert_same((dx,), (want,), 1e-3)


def test_a_variance_that_rounding_made_negative_is_zero():
    delta, var = _passes.moments_of_sums(torch.tensor([30000.0]), torch.tensor([8999999.0]), 100)
    assert_same((delta, var), (torch.tensor([300.0]), torch.zeros(1)), 1e-6)


def test_two_values_per_channel(device, path):
    arguments = leaves((2, 3), device=device)
    assert_same(run(batch_norm, *arguments), run(F.batch_norm, *arguments), 1e-9)


def test_zero_gamma_gives_beta_and_no_dx_but_dgamma(device, path):
    x, weight, bias, mean, var, dy = leaves((5, 3), device=device)
    arguments = x, (weight * 0).detach().requires_grad_(), bias, mean, var, dy
    got = run(batch_norm, *arguments)
    assert_same(got, run(F.batch_norm, *arguments), 1e-10)
    assert not got[1].any()
    assert got[2].all()


@pytest.mark.parametrize("poison", [float("nan"), float("inf"), -float("inf")], ids=str)
def test_nan_and_inf_stay_in_their_channel(device, path, poison):
    x, weight, bias, mean, var, dy = leaves((40, 3), torch.float32, device=device)
    with torch.no_grad():
        x[7, 1] = poison
    got, want = (run(f, x, weight, bias, mean, var, dy) for f in (batch_norm, F.batch_norm))
    clean = [0, 2]
    assert got[0][:, 1].isnan().all()
    assert got[1][:, 1].isnan().all()
    assert got[2][1].isnan()
    assert got[5][1].isnan()
    assert_same([got[0][:, clean], got[1][:, clean]], [want[0][:, clean], want[1][:, clean]], 1e-5)


@pytest.mark.parametrize("scale", [1e-30, 1e-3, 1e8, 1e15], ids=str)
def test_any_magnitude_matches_torch(path, scale):
    x, weight, bias, mean, var, dy = leaves((9, 3, 2))
    arguments = (x * scale).detach().requires_grad_(), weight, bias, mean, var, dy
    got, want = (run(f, *arguments) for f in (batch_norm, F.batch_norm))
    for a, b in zip(got, want, strict=True):
        assert_same((a,), (b,), 1e-8, atol=1e-8 * b.abs().max().item())


# ---- errors


def call(function, **changes):
    arguments = {
        "input": torch.randn(4, 3),
        "running_mean": torch.zeros(3),
        "running_var": torch.ones(3),
        "weight": torch.ones(3),
        "bias": torch.zeros(3),
        "training": True,
        **changes,
    }
    return function(**arguments), arguments


TORCHS = (RuntimeError, ValueError, TypeError, AttributeError, IndexError)
REFUSED = {
    "one value": {"input": torch.randn(1, 3)},
    "one pixel": {"input": torch.randn(1, 3, 1, 1)},
    "one example of no channels": {"input": torch.randn(1, 0)},
    "eps zero": {"eps": 0},
    "eps negative": {"eps": -1e-5},
    "eps negative in eval": {"eps": -1.0, "training": False},
    "no mean": {"running_mean": None},
    "no var": {"running_var": None},
    "no mean in eval": {"running_mean": None, "running_var": None, "training": False},
    "no var in eval": {"running_var": None, "training": False},
    "short mean": {"running_mean": torch.zeros(2)},
    "long var": {"running_var": torch.ones(4)},
    "short weight": {"weight": torch.ones(2)},
    "long bias": {"bias": torch.ones(4)},
    "integers": {"input": torch.ones(4, 3, dtype=torch.long)},
    "booleans": {"input": torch.ones(4, 3, dtype=torch.bool)},
    "complex": {"input": torch.ones(4, 3, dtype=torch.complex64)},
    "training a number": {"training": 1},
    "momentum none": {"momentum": None},
    "momentum text": {"momentum": "a"},
}
REFUSED_OTHERWISE = {  # torch refuses these too, in words of its own
    "eps text": ({"eps": "a"}, "argument 'eps' must be float, not str"),
    "eps none": ({"eps": None}, "argument 'eps' must be float, not NoneType"),
    "eps of two numbers": ({"eps": torch.ones(2)}, "argument 'eps' must be float, not Tensor"),
    "one dimension": ({"input": torch.randn(3)}, "input has shape (3,)"),
    "no dimension": ({"input": torch.tensor(1.0)}, "input has shape ()"),
    "a list": ({"input": [[1.0]]}, "argument 'input' (position 1) must be Tensor, not list"),
    "mean a list": ({"running_mean": [0, 0, 0]}, "argument 'running_mean' must be Tensor"),
    "mean of two dimensions": (
        {"running_mean": torch.zeros(1, 3)},
        "running_mean has shape (1, 3)",
    ),
    "double weight": ({"weight": torch.ones(3).double()}, "weight has dtype torch.float64"),
    "double bias": ({"bias": torch.ones(3).double()}, "bias has dtype torch.float64"),
    "half mean": ({"running_mean": torch.ones(3).half()}, "running_mean has dtype torch.float16"),
    "float weight": ({"input": torch.randn(4, 3).double()}, "torch.float64 needs torch.float64"),
    "other half": (
        {"input": torch.randn(4, 3).half(), "weight": torch.ones(3).bfloat16()},
        "input of torch.float16 needs torch.float16 or torch.float32",
    ),
    "weight elsewhere": ({"weight": torch.ones(3, device="meta")}, "weight is on meta"),
    "mean to differentiate": (
        {"running_mean": torch.zeros(3, requires_grad=True)},
        "is not differentiable with respect to argument 'running_mean'",
    ),
}


@pytest.mark.parametrize("changes", REFUSED.values(), ids=REFUSED)
def test_errors_are_torchs(changes):
    with pytest.raises(TORCHS) as theirs:
        call(F.batch_norm, **changes)
    words = str(theirs.value).splitlines()[0]
    with pytest.raises(type(theirs.value), match=re.escape(words)) as ours:
        call(batch_norm, **changes)
    assert isinstance(ours.value, ValueError | TypeError)


@pytest.mark.parametrize(("changes", "words"), REFUSED_OTHERWISE.values(), ids=REFUSED_OTHERWISE)
def test_other_errors_name_the_argument(changes, words):
    with pytest.raises(TORCHS):
        call(F.batch_norm, **changes)
    with pytest.raises((ValueError, TypeError), match=re.escape(words)):
        call(batch_norm, **changes)


NUMBERS = [np.float32(0.25), np.float64(0.25), np.int64(1), torch.tensor(0.25), torch.tensor(1)]


@pytest.mark.parametrize("number", NUMBERS, ids=repr)
def test_momentum_and_eps_may_be_any_numbers(path, number):
    x, weight, bias, mean, var, dy = leaves((5, 3), torch.float32)
    got, want = (
        run(batch_norm, x, weight, bias, mean, var, dy, True, n, n) for n in (number, float(number))
    )
    assert_same(got, want, 1e-6)


@pytest.mark.filterwarnings("ignore:The PyTorch API of MaskedTensors:UserWarning")
def test_a_masked_input_is_refused():
    x = torch.masked.masked_tensor(torch.ones(4, 3), torch.eye(4, 3) == 0)
    with pytest.raises(TypeError, match="'input' is a MaskedTensor; masks are not honoured"):
        batch_norm(x, None, None, training=True)


@pytest.mark.parametrize("momentum", [-0.1, 1.1, float("nan"), float("inf")], ids=str)
def test_momentum_outside_0_to_1_is_refused_though_torch_takes_it(momentum):
    call(F.batch_norm, momentum=momentum)
    with pytest.raises(ValueError, match="momentum must be between 0 and 1, but got"):
        call(batch_norm, momentum=momentum)


@pytest.mark.parametrize("name", ["running_mean", "running_var", "weight", "bias"])
def test_a_refused_call_changes_nothing(name):
    for value in (torch.ones(2), torch.ones(3).half(), torch.ones(3, device="meta")):
        buffers = {"running_mean": torch.zeros(3), "running_var": torch.ones(3)}
        with pytest.raises(ValueError, match=name):
            call(batch_norm, **{**buffers, name: value})
        assert_same(buffers.values(), (torch.zeros(3), torch.ones(3)), 0)


def test_zero_eps_is_taken_in_evaluation():
    y, arguments = call(batch_norm, eps=0.0, training=False)
    assert_same((y,), (arguments["input"],), 1e-6)


# ---- torch.compile, torch.export, tracing


@pytest.fixture
def fresh_dynamo():
    torch._dynamo.reset()
    yield
    torch._dynamo.reset()


@DYNAMO
@pytest.mark.parametrize("training", [True, False], ids=["training", "eval"])
def test_compiles_into_one_graph(fresh_dynamo, training):
    def step(x, mean, var, weight, bias):
        return batch_norm(x * 1, mean, var, weight, bias, training)

    compiled = torch.compile(step, fullgraph=True, backend="aot_eager")
    for shape, channels_last in [((32, 3), False), ((4, 3, 4, 2), True)]:
        arguments = leaves(shape, channels_last=channels_last)

        def function(x, mean, var, weight, bias, *_):
            return compiled(x, mean, var, weight, bias)

        got = run(function, *arguments)
        want = run(F.batch_norm, *arguments, training=training)
        assert_same(got, want, 1e-10)
        assert got[0].stride() == want[0].stride()


@DYNAMO
def test_compiled_sizes_share_a_few_graphs(fresh_dynamo):
    from torch._dynamo.testing import CompileCounter

    counter = CompileCounter()
    compiled = torch.compile(
        lambda x: batch_norm(x, None, None, training=True), fullgraph=True, backend=counter
    )
    for size in (32, 5, 48, 100, 16, 7, 64, 33):
        x = leaves((size, 3))[0].detach()
        assert_same((compiled(x),), (F.batch_norm(x, None, None, training=True),), 1e-10)
    assert counter.frame_count <= 4


@pytest.mark.parametrize("rows", [512, 32, 17])
@pytest.mark.parametrize("channels", [3, 100, 300])
def test_compiled_column_sum_is_the_sum(rows, channels):
    x = torch.randn(rows, channels, dtype=torch.float64)
    image = x.view(rows, 1, 1, channels).permute(0, 3, 1, 2)
    for t in (x, image):
        assert_same((_passes._compiled_column_sum(t),), (x.sum(0),), 1e-12)
    assert _passes._compiled_column_sum(x.half(), torch.float32).dtype == torch.float32


class Layer(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.tensor([1.0, -2.0, 0.5]))
        self.register_buffer("mean", torch.zeros(3))
        self.register_buffer("var", torch.ones(3))

    def forward(self, x):
        return batch_norm(x, self.mean, self.var, self.weight, None, self.training)


@pytest.mark.parametrize("training", [True, False], ids=["training", "eval"])
def test_exports_with_any_batch_size(training):
    dynamic = {"x": {0: torch.export.Dim("n", min=1)}}
    example, x = torch.randn(4, 3, 5), torch.randn(37, 3, 5)
    program = torch.export.export(Layer().train(training), (example,), dynamic_shapes=dynamic)
    layer, exported = Layer().train(training), program.module()
    assert_same((exported(x),), (layer(x),), 1e-5)
    buffers = dict(exported.named_buffers())
    assert_same((buffers["mean"], buffers["var"]), (layer.mean, layer.var), 1e-6)


def test_fx_traces_it_as_one_call():
    graph = torch.fx.symbolic_trace(
        lambda x: batch_norm(x, None, None, training=True, momentum=0.2) + 1
    )
    assert next(n.target for n in graph.graph.nodes if n.op == "call_function") is batch_norm
    x = torch.randn(5, 3)
    assert_same((graph(x),), (batch_norm(x, None, None, training=True) + 1,), 0)


# ---- devices without a device


def test_meta_tensors_get_shapes_and_gradients():
    arguments = [
        t.detach().to("meta").requires_grad_(i < 3) for i, t in enumerate(leaves((4, 3, 5)))
    ]
    for training in (True, False):
        y, dx, dweight, dbias, *_ = run(batch_norm, *arguments, training=training)
        assert y.is_meta
        assert (y.shape, dx.shape, dweight.shape, dbias.shape) == ((4, 3, 5), (4, 3, 5), (3,), (3,))


FAKE = """
    import torch
    from torch._subclasses.fake_tensor import FakeTensorMode
    from bnlib.torch import BatchNorm2d, _formulas, _passes, batch_norm, batchnorm

    real, batchnorm.takes_kernel = batchnorm.takes_kernel, lambda x: False

    def check(x, y):
        assert (y.device.type, y.dtype, y.stride()) == ("cuda", x.dtype, x.stride())

    def training(x, dy, weight, bias, mean, var):
        check(x, batch_norm(x, mean, var, weight, bias, True))
        y, pivot, delta, biased, invstd = _formulas.forward(x, weight, bias, 1e-5)
        check(x, _formulas.backward(dy, x, weight, pivot, delta, invstd)[0])

    def evaluation(x, dy, weight, bias, mean, var):
        check(x, batch_norm(x, mean, var, weight, bias, False))
        check(x, _formulas.backward_in_evaluation(dy, x, weight, mean, var, 1e-5)[0])

    def module(x, *_):
        layer = BatchNorm2d(3, momentum=None, device="cuda")
        for _ in range(2):
            check(x, layer(x.view(4, 3, *x.shape[2:], *[1] * (4 - x.dim()))).view_as(x))

    def kernel(x, dy, weight, bias, *_):  # without buffers, which torch's stand-in would fill
        batchnorm.takes_kernel = real
        assert real(x)
        check(x, batch_norm(x, None, None, weight, bias, True))

    def a_wait(x, dy, weight, *_):
        weight.sum().item()

    def a_second_device(x, dy, weight, *_):
        weight + torch.ones(3)

    for use in (training, evaluation, module, kernel, a_wait, a_second_device):
        try:
            for dtype in (torch.float32, torch.float16):
                with FakeTensorMode(), torch.no_grad():
                    image = torch.randn(4, 3, 6, 6, device="cuda", dtype=dtype)
                    last = torch.empty_like(image, memory_format=torch.channels_last)
                    for x in (image, last, torch.randn(4, 3, device="cuda", dtype=dtype)):
                        assert _passes.passes_for(x) is _passes.plain
                        use(x, torch.randn_like(x), *[torch.ones(3, device="cuda")] * 4)
            print(use.__name__, "ok")
        except Exception as error:
            print(use.__name__, type(error).__name__, str(error).splitlines()[:1])
"""


@pytest.fixture(scope="module")
def on_fake_cuda():
    """What each use of fake CUDA tensors came to, in a process that a mistake there may abort."""
    code = textwrap.dedent(FAKE)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return dict(line.split(" ", 1) for line in done.stdout.splitlines())


@pytest.mark.parametrize("use", ["training", "evaluation", "module", "kernel"])
def test_fake_cuda_tensors_show_no_wait_and_no_second_device(on_fake_cuda, use):
    assert on_fake_cuda[use] == "ok"


@pytest.mark.parametrize("slip", ["a_wait", "a_second_device"])
def test_fake_cuda_tensors_show_a_slip(on_fake_cuda, slip):
    assert on_fake_cuda[slip] != "ok"


@pytest.mark.skipif("cuda" not in DEVICES, reason="no CUDA device")
def test_cuda_graphs_capture_a_step():
    arguments = leaves((8, 3, 4, 4), torch.float32, device="cuda")
    # of leaves of their own: autograd's nodes for these must not belong to the default stream
    want = run(batch_norm, *leaves((8, 3, 4, 4), torch.float32, device="cuda"))
    stream = torch.cuda.Stream()
    with torch.cuda.stream(stream):
        for _ in range(3):
            run(batch_norm, *arguments)
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        got = run(batch_norm, *arguments)
    graph.replay()
    torch.cuda.synchronize()
    assert_same(got, want, 1e-5)
