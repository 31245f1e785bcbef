"""bnlib.reference: the textbook, held to torch's own float64 batch norm and to finite differences.

Every test runs once on NumPy arrays and once on torch tensors: the text is one.
"""

import ast
import inspect

import numpy as np
import pytest
from numpy.testing import assert_allclose

from bnlib import reference

SHAPES = pytest.mark.parametrize(
    "shape",
    [(8, 5), (4, 3, 6), (4, 3, 5, 5), (2, 3, 2, 2, 2), (2, 4)],
    ids=["N-D", "N-C-L", "N-C-H-W", "five-axes", "m-is-2"],
)
EXACT = {"rtol": 1e-10, "atol": 1e-12}


@pytest.fixture
def arrays(backend):
    """A Batch's arrays on the backend, float64 where the device has it."""
    if not backend.supports(np.float64):
        pytest.skip("no float64 on this device")

    def convert(batch):
        return batch._make(backend.array(a) for a in batch)

    return convert


@SHAPES
def test_batch_norm_matches_torch(backend, arrays, draw, oracle, shape):
    batch = draw(shape)
    x, gamma, beta, *_ = arrays(batch)
    y = reference.batch_norm(x, gamma, beta)
    assert_allclose(backend.numpy(y), oracle(batch).y, **EXACT)


@SHAPES
def test_batch_norm_backward_matches_autograd(backend, arrays, draw, oracle, shape):
    batch = draw(shape)
    x, gamma, _, dy, *_ = arrays(batch)
    got = reference.batch_norm_backward(dy, x, gamma)
    want = oracle(batch)
    for ours, theirs in zip(got, (want.dx, want.dgamma, want.dbeta), strict=True):
        assert_allclose(backend.numpy(ours), theirs, rtol=1e-8, atol=1e-10)


def test_batch_norm_backward_matches_finite_differences(draw):
    x, gamma, beta, dy, *_ = draw((5, 3))

    def loss(x, gamma, beta):
        return (reference.batch_norm(x, gamma, beta) * dy).sum()

    got = reference.batch_norm_backward(dy, x, gamma)
    for which, analytic in enumerate(got):
        numeric = np.zeros_like(analytic)
        for i in np.ndindex(analytic.shape):
            shifted = []
            for step in (1e-6, -1e-6):
                inputs = [x.copy(), gamma.copy(), beta.copy()]
                inputs[which][i] += step
                shifted.append(loss(*inputs))
            numeric[i] = (shifted[0] - shifted[1]) / 2e-6
        assert_allclose(analytic, numeric, rtol=1e-6, atol=1e-7)


@SHAPES
def test_update_running_matches_torch(backend, arrays, draw, oracle, shape):
    batch = draw(shape)
    x, _, _, _, mean, var = arrays(batch)
    mu_B, var_B = reference.batch_statistics(x)
    m = reference.values_per_channel(x)
    mean, var = reference.update_running(mean, var, mu_B, var_B, m, momentum=0.3)
    want = oracle(batch, momentum=0.3)
    assert_allclose(backend.numpy(mean), want.running_mean, **EXACT)
    assert_allclose(backend.numpy(var), want.running_var, **EXACT)


@SHAPES
def test_batch_norm_inference_matches_torch(backend, arrays, draw, oracle, shape):
    batch = draw(shape)
    x, gamma, beta, _, mean, var = arrays(batch)
    y = reference.batch_norm_inference(x, gamma, beta, mean, var)
    assert_allclose(backend.numpy(y), oracle(batch, training=False).y, **EXACT)


def test_batch_norm_is_differentiable_by_autograd(draw, oracle):
    torch = pytest.importorskip("torch")
    batch = draw((4, 3, 5))
    x, gamma, beta, dy = (torch.from_numpy(a).requires_grad_() for a in batch[:4])
    (dx,) = torch.autograd.grad(reference.batch_norm(x, gamma, beta), x, dy)
    assert_allclose(dx.numpy(), oracle(batch).dx, **EXACT)


def test_population_statistics_are_those_of_the_data(rng):
    data = rng.normal(3.0, 2.0, size=(60_000, 4))
    mean, var = reference.population_statistics(np.split(data, 1000))
    assert_allclose(mean, data.mean(axis=0), rtol=1e-12)
    assert_allclose(var, data.var(axis=0, ddof=1), rtol=2e-3)


def test_population_variance_is_unbiased_at_m_2(rng):
    _, var = reference.population_statistics(rng.normal(size=(20_000, 2, 3)))
    assert_allclose(var, 1.0, rtol=0.05)  # the biased average would be 0.5


def test_population_statistics_of_no_batch_raise():
    with pytest.raises(ValueError, match="at least one mini-batch"):
        reference.population_statistics([])


def test_zero_eps_is_allowed(draw):
    x, gamma, beta, *_ = draw((8, 5))
    y = reference.batch_norm(x, gamma, beta, eps=0.0)
    assert_allclose(y.std(axis=0), abs(gamma), rtol=1e-12)


@pytest.mark.parametrize(
    ("shapes", "text"),
    [
        (((8, 5), (4,), (5,)), r"gamma has shape \(4,\); x of shape \(8, 5\) needs \(5,\)"),
        (((8, 5), (5,), (5, 1)), r"beta has shape \(5, 1\); x of shape \(8, 5\) needs \(5,\)"),
        (((8,), (8,), (8,)), r"x has shape \(8,\); it needs \(N, D\)"),
        (((1, 5), (5,), (5,)), r"x has shape \(1, 5\); a variance needs 2 values per channel"),
    ],
    ids=["gamma", "beta", "one-axis", "one-value"],
)
def test_wrong_shape_raises(backend, shapes, text):
    with pytest.raises(ValueError, match=text):
        reference.batch_norm(*(backend.array(np.ones(s, np.float32)) for s in shapes))


@pytest.mark.parametrize("name", ["x", "gamma", "beta"])
def test_masked_array_is_refused(draw, name):
    arguments = {n: getattr(draw((8, 5)), n) for n in ("x", "gamma", "beta")}
    arguments[name] = np.ma.masked_greater(arguments[name], 0)
    with pytest.raises(TypeError, match=f"{name} is a masked array; expected values throughout"):
        reference.batch_norm(**arguments)


def test_masked_dy_is_refused(draw):
    x, gamma, _, dy, *_ = draw((8, 5))
    with pytest.raises(TypeError, match="dy is a masked array"):
        reference.batch_norm_backward(np.ma.masked_greater(dy, 0), x, gamma)


def test_inference_takes_a_batch_of_one():
    one = np.ones((1,))
    assert reference.batch_norm_inference(np.array([[3.0]]), one, one, one, one, eps=0.0) == 3.0


def test_reference_imports_nothing():
    tree = ast.parse(inspect.getsource(reference))
    assert not [n for n in ast.walk(tree) if isinstance(n, ast.Import | ast.ImportFrom)]


def test_reference_uses_only_what_both_libraries_share():
    tree = ast.parse(inspect.getsource(reference))
    called = {
        n.func.attr
        for n in ast.walk(tree)
        if isinstance(n, ast.Call) and isinstance(n.func, ast.Attribute)
    }
    assert called == {"mean", "sum", "reshape"}
