"""The norms of rows in bnlib.numpy, against torch and finite differences.

NORMS has an entry for each: what it is called with, torch's own, and shapes to try.
"""

from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose

import bnlib.numpy as bn
from bnlib.numpy import batch_norm, group_norm, instance_norm, layer_norm, layer_norm_backward

EXACT = {"rtol": 1e-9, "atol": 1e-10}


class Norm(NamedTuple):
    torch: object  # (F, x, eps, *parameters, **options) -> y, channels on axis 1
    cases: list  # (shape, options)
    parameters: tuple = ("gamma", "beta")
    by_feature: bool = False  # parameters of shape x.shape[axis:], not (C,)


FEATURES = [
    ((6, 5), {}),
    ((3, 4, 6), {}),
    ((3, 4, 6), {"axis": 1}),
    ((3, 4, 6), {"axis": 0}),
    ((1000, 600), {}),
]
NORMS = {
    "layer_norm": Norm(
        lambda F, x, eps, gamma, beta, axis=-1: F.layer_norm(x, gamma.shape, gamma, beta, eps),
        FEATURES,
        by_feature=True,
    ),
    "rms_norm": Norm(
        lambda F, x, eps, gamma, axis=-1: F.rms_norm(x, gamma.shape, gamma, eps),
        [*FEATURES, ((5, 1), {})],
        parameters=("gamma",),
        by_feature=True,
    ),
    "group_norm": Norm(
        lambda F, x, eps, gamma, beta, groups: F.group_norm(x, groups, gamma, beta, eps),
        [
            ((4, 6), {"groups": 2}),
            ((3, 6, 5, 5), {"groups": 3}),
            ((3, 6, 5, 5), {"groups": 1}),
            ((5, 12, 60, 70), {"groups": 4}),
            ((3, 5, 5, 6), {"groups": 3, "axis": -1}),
        ],
    ),
    "instance_norm": Norm(
        lambda F, x, eps, gamma, beta: F.instance_norm(x, None, None, gamma, beta, eps=eps),
        [((3, 4, 6), {}), ((3, 4, 5, 5), {}), ((3, 5, 5, 4), {"axis": -1})],
    ),
}
EACH = pytest.mark.parametrize("name", NORMS)
CASES = [(name, *case) for name, norm in NORMS.items() for case in norm.cases]
EVERY = pytest.mark.parametrize(
    ("name", "shape", "options"),
    CASES,
    ids=[
        "-".join([n, "x".join(map(str, s)), *(f"{k}{v}" for k, v in o.items())])
        for n, s, o in CASES
    ],
)


def drawn(rng, name, shape, options, dtype=np.float64):
    """x, dy and the parameters, of the right shapes."""
    norm = NORMS[name]
    axis = options.get("axis", -1 if norm.by_feature else 1)
    size = shape[axis:] if norm.by_feature else (shape[axis],)
    parameters = {
        "gamma": rng.uniform(0.5, 2, size) * rng.choice([-1, 1], size),
        "beta": rng.normal(size=size),
    }
    x = rng.normal(size=shape) * 2 + rng.normal(size=(*shape[:-1], 1))
    arrays = x, rng.normal(size=shape), *(parameters[p] for p in norm.parameters)
    return [a.astype(dtype) for a in arrays]


def call(name, options, x, *parameters, eps=1e-5):
    named = dict(zip(NORMS[name].parameters, parameters, strict=True))
    return getattr(bn, name)(x, **named, eps=eps, **options)


def ours(name, options, x, dy, *parameters, eps=1e-5):
    y, cache = call(name, options, x, *parameters, eps=eps)
    return y, *getattr(bn, f"{name}_backward")(dy, cache)


def theirs(name, options, x, dy, *parameters, eps=1e-5):
    """torch's own in float64, with autograd."""
    torch = pytest.importorskip("torch")
    norm, options = NORMS[name], dict(options)
    leaves = [torch.from_numpy(np.array(a, float)).requires_grad_() for a in (x, *parameters)]
    x, parameters = leaves[0], leaves[1:]
    if norm.by_feature:
        y = norm.torch(torch.nn.functional, x, eps, *parameters)
    else:
        axis = options.pop("axis", 1)
        x = x.movedim(axis, 1)
        y = norm.torch(torch.nn.functional, x, eps, *parameters, **options).movedim(1, axis)
    grads = torch.autograd.grad(y, leaves, torch.from_numpy(np.array(dy, float)))
    return [t.detach().numpy() for t in (y, *grads)]


@EVERY
def test_norm_matches_torch(rng, name, shape, options):
    arrays = drawn(rng, name, shape, options)
    for got, want in zip(ours(name, options, *arrays), theirs(name, options, *arrays), strict=True):
        assert_allclose(got, want, **EXACT)


@EVERY
def test_norm_in_float32_matches_float64(rng, name, shape, options):
    arrays = drawn(rng, name, shape, options, np.float32)
    for got, want in zip(ours(name, options, *arrays), theirs(name, options, *arrays), strict=True):
        assert got.dtype == np.float32
        assert_allclose(got, want, rtol=1e-4, atol=2e-5)


def groups(name, of):
    return {"groups": of} if name == "group_norm" else {}


@EACH
def test_norm_at_mean_1e4_keeps_its_accuracy(rng, name):
    options = groups(name, 4)
    x, *others = drawn(rng, name, (8, 16, 400), options, np.float32)
    x = (1e4 + rng.normal(size=x.shape)).astype(np.float32)
    got, want = (f(name, options, x, *others) for f in (ours, theirs))
    assert_allclose(got[0], want[0], atol=5e-6, rtol=0)
    assert_allclose(got[1], want[1], atol=5e-6, rtol=0)


@EACH
def test_squares_beyond_float32_are_summed_all_the_same(rng, name):
    options = groups(name, 2)
    x, *others = drawn(rng, name, (3, 4, 50), options, np.float32)
    x *= np.float32(1e25)
    assert_allclose(
        ours(name, options, x, *others)[0], theirs(name, options, x, *others)[0], atol=1e-5
    )


@EACH
def test_norm_gradients_match_finite_differences(rng, name):
    options = groups(name, 2)
    x, dy, *parameters = drawn(rng, name, (2, 4, 3), options)
    inputs, analytic = [x, *parameters], ours(name, options, x, dy, *parameters)[1:]

    def loss(*inputs):
        return (call(name, options, *inputs)[0] * dy).sum()

    for which, gradient in enumerate(analytic):
        for i in np.ndindex(gradient.shape):
            up, down = [a.copy() for a in inputs], [a.copy() for a in inputs]
            up[which][i] += 1e-6
            down[which][i] -= 1e-6
            assert_allclose(gradient[i], (loss(*up) - loss(*down)) / 2e-6, rtol=1e-5, atol=1e-7)


@EACH
def test_norm_without_parameters_has_their_gradients(rng, name):
    options = groups(name, 2)
    x, dy, *parameters = drawn(rng, name, (2, 4, 3), options)
    y, cache = getattr(bn, name)(x, **options)
    gradients = getattr(bn, f"{name}_backward")(dy, cache)
    parameters = [np.full_like(p, i == 0) for i, p in enumerate(parameters)]  # ones and zeros
    for got, want in zip((y, *gradients), theirs(name, options, x, dy, *parameters), strict=True):
        assert_allclose(got, want, **EXACT)


def test_rms_norm_of_centred_rows_is_layer_norm(rng):
    x = rng.normal(size=(4, 30))
    x -= x.mean(axis=1, keepdims=True)
    assert_allclose(bn.rms_norm(x)[0], layer_norm(x)[0], **EXACT)


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
    arrays = drawn(rng, "group_norm", (3, 4, 5), {"groups": 2})
    before = [a.copy() for a in arrays]
    ours("group_norm", {"groups": 2}, *arrays)
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


EMPTY = pytest.mark.parametrize(
    "shape", [(0, 4, 3), (2, 0, 3), (2, 4, 0), (0, 4, 1), (0, 0, 0)], ids=str
)


@EACH
@EMPTY
def test_norm_of_no_values_is_empty_and_its_gradients_are_zero(rng, name, shape):
    options = groups(name, 1 if shape[1] == 0 else 4)
    y, dx, *gradients = ours(name, options, *drawn(rng, name, shape, options))
    assert y.shape == dx.shape == shape
    for got, parameter in zip(gradients, drawn(rng, name, shape, options)[2:], strict=True):
        assert got.shape == parameter.shape
        assert (got == 0).all()


@EACH
def test_norm_refuses_masked_arrays(rng, name):
    options = groups(name, 2)
    x, dy, *parameters = drawn(rng, name, (3, 4, 5), options)
    _, cache = call(name, options, x, *parameters)
    with pytest.raises(TypeError, match="x is a masked array; expected values throughout"):
        call(name, options, np.ma.masked_greater(x, 1), *parameters)
    with pytest.raises(TypeError, match="gamma is a masked array"):
        call(name, options, x, np.ma.array(parameters[0]), *parameters[1:])
    with pytest.raises(TypeError, match="dy is a masked array"):
        getattr(bn, f"{name}_backward")(np.ma.array(dy), cache)


@EACH
@pytest.mark.parametrize("other", [*NORMS, "batch_norm"])
def test_backward_takes_its_own_norms_cache_alone(name, other):
    x = np.arange(12.0).reshape(2, 2, 3)
    _, cache = getattr(bn, other)(x, **groups(other, 2))
    if other == name:
        assert getattr(bn, f"{name}_backward")(x, cache)[0].shape == x.shape
        return
    with pytest.raises(TypeError, match=f"cache is {other}'s; expected what {name} returned"):
        getattr(bn, f"{name}_backward")(x, cache)


@pytest.mark.parametrize("two", [np.int64(2), np.uint8(2), np.array(2)], ids=repr)
def test_group_norm_takes_any_integer(rng, two):
    x = rng.normal(size=(3, 4, 5))
    assert (group_norm(x, two)[0] == group_norm(x, 2)[0]).all()


@EACH
@pytest.mark.parametrize("half", [np.float16(0.5), np.float64(0.5), np.array(0.5)], ids=repr)
def test_norm_takes_any_real_eps(rng, name, half):
    options = groups(name, 2)
    x, _, *parameters = drawn(rng, name, (3, 4, 5), options, np.float32)
    y, _ = call(name, options, x, *parameters, eps=half)
    assert y.dtype == np.float32
    assert (y == call(name, options, x, *parameters, eps=0.5)[0]).all()


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
        (lambda: layer_norm(X, eps=None), TypeError, "eps is None; expected a real number"),
        (lambda: bn.rms_norm(X, eps="small"), TypeError, "eps is 'small'; expected a real number"),
        (lambda: bn.rms_norm(X, eps=-1), ValueError, "eps is -1; expected zero or a positive"),
        (lambda: bn.rms_norm(X, np.ones(6)), ValueError, r"gamma has shape \(6,\); .* \(5,\)"),
    ],
)
def test_bad_input_is_refused(call, error, text):
    with pytest.raises(error, match=text):
        call()
