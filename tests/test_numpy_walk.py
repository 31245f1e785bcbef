"""bnlib.numpy.walk: every cut of a batch gives the sums that NumPy gives, each value once."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose

from bnlib.numpy import batchnorm, blocks, walk
from bnlib.numpy.walk import Walk, total

FORMS = st.tuples(st.integers(1, 40), st.integers(1, 6), st.integers(1, 30))


@pytest.fixture(scope="module")
def tiny_blocks():
    """Constants so small that small batches have many blocks, short rows and cut runs."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {"BLOCK_BYTES": 400, "MIN_ROW": 20, "SMALL": 30}.items():
            patch.setattr(walk, name, value)
        patch.setattr(walk, "LONG", 5)
        patch.setattr(walk, "MAX_RUN", 8)
        patch.setattr(batchnorm, "SHORT", 0)
        batchnorm.batch_plan.cache_clear()
        walk.walk_over.cache_clear()
        yield
    batchnorm.batch_plan.cache_clear()
    walk.walk_over.cache_clear()


@given(form=FORMS)
@settings(max_examples=200, deadline=None)
def test_blocks_hold_every_value_once(tiny_blocks, form):
    a = np.arange(float(np.prod(form))).reshape(form)
    blocks = Walk(*form, a.dtype).split(a)
    assert np.concatenate([b.ravel() for b in blocks]).tolist() == a.ravel().tolist()
    assert all(np.shares_memory(b, a) for b in blocks)


@given(form=FORMS)
@settings(max_examples=200, deadline=None)
def test_means_of_blocks_add_up_to_the_mean(tiny_blocks, form):
    a, b = np.random.default_rng(0).normal(size=(2, *form))
    w = Walk(*form, a.dtype)
    pairs = zip(w.split(a), w.split(b), strict=True)
    assert_allclose(total([w.mean(x) for x in w.split(a)]), a.mean(axis=(0, 2)), atol=1e-12)
    got = total([w.mean_product(x, y) for x, y in pairs])
    assert_allclose(got, (a * b).mean(axis=(0, 2)), atol=1e-12)


@given(form=FORMS)
@settings(max_examples=200, deadline=None)
def test_spread_row_meets_each_channel(tiny_blocks, form):
    a = np.random.default_rng(0).normal(size=form)
    v = np.arange(1.0, form[1] + 1)
    w = Walk(*form, a.dtype)
    row, want = w.spread(v), a * v[:, None]
    for x in w.split(a):
        np.multiply(x, row[: x.shape[1]], x)
    assert (a == want).all()


@given(
    shape=st.lists(st.integers(2, 9), min_size=2, max_size=4).map(tuple),
    axis=st.sampled_from([1, -1]),
    mean=st.sampled_from([0.0, 1.0, 1e3]),
    dtype=st.sampled_from([np.float32, np.float64]),
    drift=st.booleans(),
)
@settings(max_examples=200, deadline=None)
def test_batch_norm_in_many_blocks_matches_torch(
    tiny_blocks, draw, oracle, shape, axis, mean, dtype, drift
):
    batch = draw(shape, axis=axis, mean=mean, dtype=dtype)
    if drift:
        batch.x[shape[0] // 2 :] += 50  # the first block's mean is a bad pivot
    want = oracle(batch, axis=axis)
    y, cache = batchnorm.batch_norm(batch.x, batch.gamma, batch.beta, axis=axis)
    dx, dgamma, dbeta = batchnorm.batch_norm_backward(batch.dy, cache)
    assert isinstance(cache.plan.by, Walk)
    tolerance = 1e-9 if dtype == np.float64 else 2e-5
    m = batch.x.size / shape[axis]
    assert_allclose(y, want.y, atol=tolerance)
    steepest = abs(batch.gamma / cache.statistics.std).max() * abs(batch.dy).max()
    assert_allclose(dx / steepest, want.dx / steepest, atol=tolerance)
    assert_allclose(dgamma / m, want.dgamma / m, atol=tolerance)
    assert_allclose(dbeta / m, want.dbeta / m, atol=tolerance)


def test_bad_pivot_is_replaced(rng):
    x = np.ones((256, 3, 4000), np.float32)  # the first rows say nothing about the others
    x[2:] = 1e4 + rng.normal(size=(254, 3, 4000))
    w = Walk(*x.shape, x.dtype)
    xs, cs = w.split(x), w.split(np.empty_like(x))
    assert_allclose(blocks.first_pivot(xs, w), 1, rtol=1e-6)
    found = blocks.measure(xs, cs, w, 1e-5)
    wide = x.astype(float)
    assert_allclose(found.mean, wide.mean(axis=(0, 2)), rtol=1e-7)
    assert_allclose(found.var, wide.var(axis=(0, 2)), rtol=1e-6)


def test_an_empty_batch_has_no_blocks():
    assert Walk(0, 3, 5, np.dtype(float)).blocks == []
