"""batch_renorm of bnlib.numpy, against its definition in torch, where r and d are detached."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

from bnlib.numpy import batch_norm, batch_norm_backward, batch_renorm, batch_renorm_backward

EXACT = {"rtol": 1e-9, "atol": 1e-10}
SHAPES = pytest.mark.parametrize(
    ("shape", "axis"),
    [((8, 5), 1), ((4, 3, 5, 5), 1), ((4, 5, 5, 3), -1), ((600, 70), 1)],
    ids=["N-D", "N-C-H-W", "channels-last", "large"],
)


def ours(batch, **options):
    x, gamma, beta, dy, mean, var = (np.array(a) for a in batch)
    y, cache = batch_renorm(x, gamma, beta, mean, var, **options)
    return y, *batch_renorm_backward(dy, cache), mean, var


def theirs(batch, *, r_max=3.0, d_max=5.0, axis=1, eps=1e-5):
    """The paper's Algorithm 1 in torch, float64, with autograd."""
    torch = pytest.importorskip("torch")
    x, gamma, beta, dy, mean, var = (torch.from_numpy(np.array(a, float)) for a in batch)
    leaves = [t.requires_grad_() for t in (x, gamma, beta)]
    rows = x.movedim(axis, -1).reshape(-1, len(gamma))
    mu_B, var_B = rows.mean(0), rows.var(0, correction=0)
    sigma_B, sigma = (var_B + eps).sqrt(), (var + eps).sqrt()
    r = (sigma_B / sigma).clamp(1 / r_max, r_max).detach()
    d = ((mu_B - mean) / sigma).clamp(-d_max, d_max).detach()
    y = (gamma * ((rows - mu_B) / sigma_B * r + d) + beta).reshape(x.movedim(axis, -1).shape)
    y = y.movedim(-1, axis)
    gradients = torch.autograd.grad(y, leaves, dy)
    return [t.detach().numpy() for t in (y, *gradients)]


@SHAPES
@pytest.mark.parametrize("bounds", [(1.2, 0.3), (1e9, 1e9)], ids=["clipped", "free"])
def test_batch_renorm_matches_its_definition(draw, shape, axis, bounds):
    batch = draw(shape, axis=axis)
    bounds = dict(zip(("r_max", "d_max"), bounds, strict=True))
    got, want = ours(batch, axis=axis, **bounds), theirs(batch, axis=axis, **bounds)
    for a, b in zip(got[:4], want, strict=True):
        assert_allclose(a, b, **EXACT)


@SHAPES
def test_running_statistics_move_as_batch_norms_do(draw, oracle, shape, axis):
    batch = draw(shape, axis=axis)
    got, want = ours(batch, axis=axis), oracle(batch, axis=axis)
    assert_allclose(got[4], want.running_mean, **EXACT)
    assert_allclose(got[5], want.running_var, **EXACT)


@SHAPES
def test_evaluation_is_batch_norms(draw, oracle, shape, axis):
    batch = draw(shape, axis=axis)
    got, want = (f(batch, training=False, axis=axis) for f in (ours, oracle))
    for a, b in zip(got, want, strict=True):
        assert_allclose(a, b, **EXACT)


def test_without_bounds_training_gives_what_evaluation_gives(draw):
    batch = draw((8, 5))
    trained = ours(batch, r_max=1e9, d_max=1e9)[0]
    assert_allclose(trained, ours(batch, training=False)[0], **EXACT)


def test_with_closed_bounds_it_is_batch_norm(draw):
    batch = draw((8, 5))
    y, cache = batch_norm(batch.x, batch.gamma, batch.beta)
    got = ours(batch, r_max=1, d_max=0)
    for a, b in zip(got[:4], (y, *batch_norm_backward(batch.dy, cache)), strict=True):
        assert_allclose(a, b, **EXACT)


def test_float16_works_in_float32(draw):
    batch = draw((64, 5), dtype=np.float16)
    got, want = ours(batch), theirs(batch)
    assert got[0].dtype == got[1].dtype == np.float16
    for a, b in zip(got[:2], want[:2], strict=True):
        assert_allclose(a, b, rtol=3e-3, atol=3e-3)


@pytest.mark.parametrize(
    ("change", "error", "text"),
    [
        ({"r_max": 0.5}, ValueError, "r_max is 0.5; expected 1 or more"),
        ({"d_max": -1}, ValueError, "d_max is -1; expected 0 or more"),
        ({"d_max": None}, TypeError, "d_max is None; expected a real number"),
        ({"running_mean": None}, ValueError, "running_mean is None; batch renormalization"),
        ({"gamma": np.ones(4)}, ValueError, r"gamma has shape \(4,\)"),
        ({"eps": 0.0}, ValueError, "eps is 0.0; expected a positive number"),
        ({"momentum": 2}, ValueError, "momentum is 2; expected 0 to 1"),
    ],
)
def test_bad_input_is_refused_and_nothing_changed(draw, change, error, text):
    batch = draw((8, 5))
    arguments = batch._asdict() | change
    arguments.pop("dy")
    with pytest.raises(error, match=text):
        batch_renorm(**arguments)
    fresh = draw((8, 5))
    assert (batch.running_mean == fresh.running_mean).all()
    assert (batch.running_var == fresh.running_var).all()


def test_another_cache_is_refused(draw):
    batch = draw((8, 5))
    with pytest.raises(
        TypeError, match="cache is batch_norm's; expected what batch_renorm returned"
    ):
        batch_renorm_backward(batch.dy, batch_norm(batch.x)[1])
