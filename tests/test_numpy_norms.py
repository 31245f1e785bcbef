"""layer_norm, group_norm and instance_norm of bnlib.numpy, against torch and finite differences."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose

from bnlib.numpy import (
    batch_norm,
    group_norm,
    group_norm_backward,
    instance_norm,
    instance_norm_backward,
    layer_norm,
    layer_norm_backward,
)

EXACT = {"rtol": 1e-9, "atol": 1e-10}
CASES = [
    ("layer", (6, 5), {}),
    ("layer", (3, 4, 6), {}),
    ("layer", (3, 4, 6), {"axis": 1}),
    ("layer", (3, 4, 6), {"axis": 0}),
    ("layer", (1000, 600), {}),
    ("group", (4, 6), {"groups": 2}),
    ("group", (3, 6, 5, 5), {"groups": 3}),
    ("group", (3, 6, 5, 5), {"groups": 1}),
    ("group", (5, 12, 60, 70), {"groups": 4}),
    ("group", (3, 5, 5, 6), {"groups": 3, "axis": -1}),
    ("instance", (3, 4, 6), {}),
    ("instance", (3, 4, 5, 5), {}),
    ("instance", (3, 5, 5, 4), {"axis": -1}),
]
NORMS = pytest.mark.parametrize(
    ("name", "shape", "options"),
    CASES,
    ids=[
        "-".join([n, "x".join(map(str, s)), *(f"{k}{v}" for k, v in o.items())])
        for n, s, o in CASES
    ],
)
FORWARD = {"layer": layer_norm, "group": group_norm, "instance": instance_norm}
BACKWARD = {
    "layer": layer_norm_backward,
    "group": group_norm_backward,
    "instance": instance_norm_backward,
}


def drawn(rng, name, shape, options, dtype=np.float64):
    """x, gamma, beta, dy of the right shapes."""
    features = shape[options.get("axis", -1) :] if name == "layer" else ()
    parameters = features if name == "layer" else (shape[options.get("axis", 1)],)
    return (
        (rng.normal(size=shape) * 2 + rng.normal(size=(*shape[:-1], 1))).astype(dtype),
        (rng.uniform(0.5, 2, parameters) * rng.choice([-1, 1], parameters)).astype(dtype),
        rng.normal(size=parameters).astype(dtype),
        rng.normal(size=shape).astype(dtype),
    )


def ours(name, options, x, gamma, beta, dy, eps=1e-5):
    y, cache = FORWARD[name](x, gamma=gamma, beta=beta, eps=eps, **options)
    return y, *BACKWARD[name](dy, cache)


def theirs(name, options, x, gamma, beta, dy, eps=1e-5):
    """torch's own in float64, with autograd."""
    torch = pytest.importorskip("torch")
    F = torch.nn.functional
    leaves = [torch.from_numpy(np.array(a, float)).requires_grad_() for a in (x, gamma, beta)]
    x, gamma, beta = leaves
    axis = options.get("axis", 1)
    if name == "layer":
        y = F.layer_norm(x, gamma.shape, gamma, beta, eps)
    elif name == "group":
        y = F.group_norm(x.movedim(axis, 1), options["groups"], gamma, beta, eps).movedim(1, axis)
    else:
        y = F.instance_norm(x.movedim(axis, 1), None, None, gamma, beta, eps=eps).movedim(1, axis)
    grads = torch.autograd.grad(y, leaves, torch.from_numpy(np.array(dy, float)))
    return [t.detach().numpy() for t in (y, *grads)]


@NORMS
def test_norm_matches_torch(rng, name, shape, options):
    arrays = drawn(rng, name, shape, options)
    for got, want in zip(ours(name, options, *arrays), theirs(name, options, *arrays), strict=True):
        assert_allclose(got, want, **EXACT)


@NORMS
def test_norm_in_float32_matches_float64(rng, name, shape, options):
    arrays = drawn(rng, name, shape, options, np.float32)
    for got, want in zip(ours(name, options, *arrays), theirs(name, options, *arrays), strict=True):
        assert got.dtype == np.float32
        assert_allclose(got, want, rtol=1e-4, atol=2e-5)


@pytest.mark.parametrize("name", FORWARD)
def test_norm_at_mean_1e4_keeps_its_accuracy(rng, name):
    options = {"groups": 4} if name == "group" else {}
    x, gamma, beta, dy = drawn(rng, name, (8, 16, 400), options, np.float32)
    x = (1e4 + rng.normal(size=x.shape)).astype(np.float32)
    got, want = (f(name, options, x, gamma, beta, dy) for f in (ours, theirs))
    assert_allclose(got[0], want[0], atol=5e-6, rtol=0)
    assert_allclose(got[1], want[1], atol=5e-6, rtol=0)


@pytest.mark.parametrize("name", FORWARD)
def test_norm_gradients_match_finite_differences(rng, name):
    options = {"groups": 2} if name == "group" else {}
    x, gamma, beta, dy = drawn(rng, name, (2, 4, 3), options)
    inputs, analytic = [x, gamma, beta], ours(name, options, x, gamma, beta, dy)[1:]

    def loss(x, gamma, beta):
        return (FORWARD[name](x, gamma=gamma, beta=beta, **options)[0] * dy).sum()

    for which, gradient in enumerate(analytic):
        for i in np.ndindex(gradient.shape):
            up, down = [a.copy() for a in inputs], [a.copy() for a in inputs]
            up[which][i] += 1e-6
            down[which][i] -= 1e-6
            assert_allclose(gradient[i], (loss(*up) - loss(*down)) / 2e-6, rtol=1e-5, atol=1e-7)


def test_instance_norm_is_batch_norm_of_a_batch_of_one(rng):
    x = rng.normal(size=(1, 3, 5, 5))
    assert_allclose(instance_norm(x)[0], batch_norm(x)[0], **EXACT)


def test_group_norm_of_one_group_is_layer_norm(rng):
    x = rng.normal(size=(4, 3, 5, 5))
    assert_allclose(group_norm(x, 1)[0], layer_norm(x, axis=1)[0], **EXACT)


def test_no_example_meets_another(rng):
    x = rng.normal(size=(4, 6, 5))
    whole = group_norm(x, 3)[0]
    for i in range(4):
        assert_allclose(group_norm(x[i : i + 1], 3)[0], whole[i : i + 1], **EXACT)


def test_float16_works_in_float32(rng):
    x = (60_000 * rng.choice([-1, 1], size=(4, 64))).astype(np.float16)
    y, cache = layer_norm(x, np.ones(64, np.float32))
    dx, dgamma, _ = layer_norm_backward(y, cache)
    assert y.dtype == dx.dtype == np.float16
    assert dgamma.dtype == np.float32
    wide = x.astype(float)
    want = (wide - wide.mean(axis=1, keepdims=True)) / wide.std(axis=1, keepdims=True)
    assert_allclose(y, want, rtol=2e-3)


def test_inputs_are_left_alone(rng):
    arrays = drawn(rng, "group", (3, 4, 5), {"groups": 2})
    before = [a.copy() for a in arrays]
    ours("group", {"groups": 2}, *arrays)
    for now, then in zip(arrays, before, strict=True):
        assert (now == then).all()


@given(
    shape=st.lists(st.integers(1, 5), min_size=2, max_size=4).map(tuple),
    groups=st.integers(1, 4),
    last=st.booleans(),
    transposed=st.booleans(),
    swapped=st.booleans(),
)
@settings(max_examples=60, deadline=None)
def test_group_norm_in_any_layout_matches_its_definition(shape, groups, last, transposed, swapped):
    shape = (shape[0], shape[1] * groups, *shape[2:], 2)
    x = np.random.default_rng(len(shape)).normal(size=shape)
    rows = x.reshape(shape[0], groups, -1)
    want = (rows - rows.mean(-1, keepdims=True)) / np.sqrt(rows.var(-1, keepdims=True) + 1e-5)
    want = want.reshape(shape)
    if transposed:
        x = np.asfortranarray(x)
    if swapped:
        x = x.astype(">f8")
    if last:
        x, want = np.moveaxis(x, 1, -1), np.moveaxis(want, 1, -1)
    y, _ = group_norm(x, groups, axis=-1 if last else 1)
    assert y.dtype == np.float64
    assert_allclose(y, want, **EXACT)


X = np.ones((4, 6, 5))


@pytest.mark.parametrize(
    ("call", "error", "text"),
    [
        (lambda: group_norm(X, 4), ValueError, "groups is 4; it must divide the 6 channels"),
        (lambda: group_norm(X, 0), ValueError, "groups is 0; it must divide"),
        (lambda: group_norm(X, 2.0), TypeError, "groups is 2.0; expected an integer"),
        (lambda: group_norm(X, 2, axis=0), ValueError, "axis is 0; x of shape .* its examples"),
        (lambda: group_norm(X[0, 0], 2), ValueError, r"x has shape \(5,\); expected two or more"),
        (lambda: group_norm(X, 2, np.ones(5)), ValueError, r"gamma has shape \(5,\); x of shape"),
        (lambda: group_norm(X[..., :1], 6), ValueError, r"1 value\(s\) to a mean; at least 2"),
        (lambda: instance_norm(X[..., :1]), ValueError, r"1 value\(s\) to a mean; at least 2"),
        (lambda: instance_norm(X, eps=-1), ValueError, "eps is -1; expected zero or a positive"),
        (lambda: layer_norm(X.astype(int)), TypeError, "x has dtype int64; expected float16"),
        (lambda: layer_norm(X, axis=3), ValueError, "axis is 3; x of shape .* has axes -3 to 2"),
        (lambda: layer_norm(X, np.ones(6)), ValueError, r"gamma has shape \(6,\); .* needs \(5,\)"),
        (
            lambda: layer_norm(X, beta=np.ones(5, np.float32)),
            TypeError,
            "beta has dtype float32; x is float64 and needs float64",
        ),
        (
            lambda: layer_norm_backward(X[:2], layer_norm(X)[1]),
            ValueError,
            r"dy has shape \(2, 6, 5\); x has \(4, 6, 5\)",
        ),
        (lambda: layer_norm_backward(X, None), TypeError, "cache is a NoneType; expected what"),
    ],
)
def test_bad_input_is_refused(call, error, text):
    with pytest.raises(error, match=text):
        call()
