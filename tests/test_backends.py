"""Both backends, on every device here, meet the same numbers and the same oracle.

What one backend alone promises is tested in test_numpy_*.py and test_torch_*.py. The shapes come
in two sizes, because each backend takes another path for small batches.
"""

import numpy as np
import pytest
from numpy.testing import assert_allclose

SHAPES = pytest.mark.parametrize(
    ("shape", "axis"),
    [
        ((6, 4), 1),
        ((4, 3, 6), 1),
        ((4, 3, 5, 5), 1),
        ((2, 3, 2, 3, 2), 1),
        ((4, 5, 5, 3), -1),
        ((600, 70), 1),
        ((9, 5, 30, 33), 1),
        ((9, 40, 31, 5), -1),
        ((260, 12, 16), 1),
    ],
    ids=lambda v: "x".join(map(str, v)) if isinstance(v, tuple) else f"axis{v}",
)
MODES = pytest.mark.parametrize("training", [True, False], ids=["train", "eval"])
SIZES = pytest.mark.parametrize("rows", [8, 3000], ids=["small", "large"])
TOLERANCE = {
    np.float64: {"rtol": 1e-9, "atol": 1e-10},
    np.float32: {"rtol": 2e-5, "atol": 1e-5},
    np.float16: {"rtol": 2e-3, "atol": 2e-3},
}


@pytest.fixture(params=[np.float64, np.float32, np.float16], ids=lambda t: t.__name__)
def dtype(request, backend):
    if not backend.supports(request.param):
        pytest.skip("not on this device")
    return request.param


@pytest.fixture
def float64(backend):
    """The finest dtype that the device has, with its tolerance."""
    dtype = np.float64 if backend.supports(np.float64) else np.float32
    return dtype, TOLERANCE[dtype]


def assert_results_close(got, want, *, rtol, atol, sums=1.0):
    """Every field of two Results; dgamma and dbeta are sums, with an error of their own size."""
    for name, ours, theirs in zip(want._fields, got, want, strict=True):
        scale = sums if name in ("dgamma", "dbeta") else 1.0
        assert_allclose(ours, theirs, rtol=rtol, atol=scale * atol, err_msg=name)


@SHAPES
@MODES
def test_step_matches_torch(backend, dtype, draw, oracle, shape, axis, training):
    batch = draw(shape, axis=axis, dtype=dtype)
    got = backend.batch_norm(batch, training=training, axis=axis)
    want = oracle(batch, training=training, axis=axis)
    assert got.y.dtype == got.dx.dtype == dtype
    assert_results_close(got, want, **TOLERANCE[dtype], sums=(batch.x.size / shape[axis]) ** 0.5)


@SHAPES
def test_running_statistics_match_torch_after_several_steps(
    backend, float64, draw, oracle, shape, axis
):
    dtype, tolerance = float64
    ours = theirs = draw(shape, axis=axis, dtype=dtype)
    for seed in range(4):
        batch = draw(shape, axis=axis, dtype=dtype, seed=seed, mean=seed)
        steps = (
            backend.batch_norm(ours._replace(x=batch.x), momentum=0.3, axis=axis),
            oracle(theirs._replace(x=batch.x), momentum=0.3, axis=axis),
        )
        ours, theirs = (
            old._replace(running_mean=new.running_mean, running_var=new.running_var)
            for old, new in zip((ours, theirs), steps, strict=True)
        )
    assert_allclose(ours.running_mean, theirs.running_mean, **tolerance)
    assert_allclose(ours.running_var, theirs.running_var, **tolerance)
    in_evaluation = {"training": False, "axis": axis}
    assert_allclose(
        backend.batch_norm(ours, **in_evaluation).y, oracle(theirs, **in_evaluation).y, **tolerance
    )


@SIZES
@pytest.mark.parametrize("momentum", [0.0, 0.25, 1.0])
@pytest.mark.parametrize("eps", [1e-8, 0.5])
def test_momentum_and_eps_mean_what_torchs_do(backend, float64, draw, oracle, rows, momentum, eps):
    dtype, tolerance = float64
    batch = draw((rows, 12), dtype=dtype)
    options = {"momentum": momentum, "eps": eps}
    assert_results_close(
        backend.batch_norm(batch, **options), oracle(batch, **options), **tolerance, sums=rows**0.5
    )


@SIZES
def test_eps_alone_counts_where_the_variance_is_small(backend, float64, draw, oracle, rows):
    """With var_B ≈ ε a wrong place for ε shows in every digit."""
    dtype, _ = float64
    batch = draw((rows, 12), dtype=dtype, std=1e-2)
    got, want = backend.batch_norm(batch, eps=1e-4), oracle(batch, eps=1e-4)
    assert_allclose(got.y, want.y, rtol=1e-5, atol=1e-5)
    assert_allclose(got.dx, want.dx, rtol=1e-4, atol=1e-4 * abs(want.dx).max())


@SIZES
@MODES
def test_training_alone_changes_the_running_statistics(backend, draw, rows, training):
    batch = draw((rows, 12), dtype=np.float32)
    got = backend.batch_norm(batch, training=training)
    kept = (got.running_mean == batch.running_mean).all() and (
        got.running_var == batch.running_var
    ).all()
    assert kept == (not training)


@SIZES
def test_two_values_per_channel(backend, float64, draw, oracle, rows):
    dtype, tolerance = float64
    batch = draw((2, 6 * rows), dtype=dtype)
    got, want = backend.batch_norm(batch), oracle(batch)
    assert_allclose(got.y, want.y, **tolerance)
    assert_allclose(got.running_var, want.running_var, **tolerance)


@SIZES
def test_zero_gamma_gives_beta_and_no_dx(backend, draw, rows):
    batch = draw((rows, 12), dtype=np.float32)
    got = backend.batch_norm(batch._replace(gamma=np.zeros(12, np.float32)))
    assert_allclose(got.y, np.broadcast_to(batch.beta, (rows, 12)), atol=1e-6)
    assert (got.dx == 0).all()
    assert (got.dgamma != 0).all()


@SIZES
@pytest.mark.parametrize("value", [0.0, 3.0, -1e4, 1e-40], ids=str)
def test_constant_channels_give_beta(backend, draw, rows, value):
    batch = draw((rows, 12), dtype=np.float32)
    got = backend.batch_norm(batch._replace(x=np.full((rows, 12), value, np.float32)))
    assert_allclose(got.y, np.broadcast_to(batch.beta, (rows, 12)), atol=1e-5)
    assert np.isfinite(got.dx).all()


@pytest.mark.parametrize(
    ("shape", "axis"),
    [((60, 100), 1), ((4096, 64), 1), ((32, 16, 28, 28), 1), ((16, 28, 28, 32), -1)],
    ids=["60x100", "4096x64", "NCHW", "channels-last"],
)
def test_float32_at_mean_1e4_keeps_its_accuracy(backend, draw, oracle, rng, shape, axis):
    batch = draw(shape, axis=axis, dtype=np.float32)
    batch = batch._replace(x=(1e4 + rng.normal(size=shape)).astype(np.float32))
    got, want = backend.batch_norm(batch, axis=axis), oracle(batch, axis=axis)
    assert_allclose(got.y, want.y, atol=5e-6, rtol=0)
    assert_allclose(got.dx, want.dx, atol=5e-6, rtol=0)


@SIZES
@MODES
def test_float16_squares_beyond_its_range(backend, draw, oracle, rows, training):
    batch = draw((rows, 12), dtype=np.float16, std=3000)
    got, want = (f(batch, training=training) for f in (backend.batch_norm, oracle))
    if training:
        assert_allclose(got.y, want.y, **TOLERANCE[np.float16])
    assert_allclose(got.running_var, want.running_var, rtol=1e-3)


@SIZES
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf], ids=str)
def test_bad_values_spoil_their_channel_alone(backend, draw, oracle, rows, bad):
    batch = draw((rows, 12), dtype=np.float32)
    want = oracle(batch)
    batch.x[4, 1] = bad
    got = backend.batch_norm(batch)
    others = np.arange(12) != 1
    assert np.isnan(got.y[:, 1]).all()
    assert np.isnan(got.dx[:, 1]).all()
    assert_allclose(got.y[:, others], want.y[:, others], **TOLERANCE[np.float32])
    assert_allclose(got.dx[:, others], want.dx[:, others], **TOLERANCE[np.float32])


@MODES
@pytest.mark.parametrize(
    "shape", [(0, 3), (0, 3, 4), (2, 3, 0), (3, 0), (1, 0), (3, 0, 4), (0, 0, 4)], ids=str
)
def test_batch_of_no_values_has_empty_results_and_changes_nothing(backend, draw, shape, training):
    """torch's rule for no examples; of no channels torch makes an IndexError."""
    batch = draw(shape, dtype=np.float32)
    got = backend.batch_norm(batch, training=training)
    assert got.y.shape == got.dx.shape == shape
    assert got.dgamma.tolist() == got.dbeta.tolist() == [0] * shape[1]
    assert (got.running_mean == batch.running_mean).all()
    assert (got.running_var == batch.running_var).all()


@SIZES
@pytest.mark.parametrize("exponent", [-15, -5, 5, 15])
def test_any_magnitude(backend, draw, oracle, rows, exponent):
    batch = draw((rows, 12), dtype=np.float32)
    batch = batch._replace(x=batch.x * np.float32(10.0**exponent))
    got, want = backend.batch_norm(batch), oracle(batch)
    scale = max(abs(want.y).max(), 1e-30)
    assert_allclose(got.y / scale, want.y / scale, atol=1e-5)


# ---- the layers


class NumpyLayer:
    """bnlib.numpy.BatchNorm, as these tests see a layer."""

    def __init__(self, backend, features, dtype, **options):
        from bnlib.numpy import BatchNorm

        self.layer = BatchNorm(features, dtype=dtype, **options)

    def step(self, x, dy):
        y = self.layer(x)
        return y, self.layer.backward(dy), self.layer.dgamma, self.layer.dbeta

    def state(self):
        layer = self.layer
        return layer.running_mean, layer.running_var, layer.num_batches_tracked

    def eval(self):
        self.layer.eval()


class TorchLayer:
    """A module like torch.nn.BatchNorm1d, as these tests see a layer."""

    def __init__(self, backend, features, dtype, module=None, **options):
        import torch

        import bnlib.torch

        self.backend = backend
        kind = torch.float64 if dtype == np.float64 else torch.float32
        module = module or bnlib.torch.BatchNorm1d
        self.layer = module(features, **options).to(backend.device, kind)

    def step(self, x, dy):
        import torch

        x = self.backend.array(x).requires_grad_()
        y = self.layer(x)
        parameters = tuple(self.layer.parameters())
        gradients = torch.autograd.grad(y, (x, *parameters), self.backend.array(dy))
        return tuple(map(self.backend.numpy, (y, *gradients)))

    def state(self):
        layer = self.layer
        return tuple(
            self.backend.numpy(t)
            for t in (layer.running_mean, layer.running_var, layer.num_batches_tracked)
        )

    def eval(self):
        self.layer.eval()


def torch_module(backend, features, dtype, **options):
    """torch's own, on the same device: what both are to equal."""
    import torch

    like_torch = backend if backend.is_torch else type(backend)("torch")
    return TorchLayer(like_torch, features, dtype, torch.nn.BatchNorm1d, **options)


@SIZES
@pytest.mark.parametrize("momentum", [0.1, None], ids=str)
def test_layer_equals_torchs_module_over_several_steps(backend, float64, rng, rows, momentum):
    dtype, tolerance = float64
    pytest.importorskip("torch")
    make = TorchLayer if backend.is_torch else NumpyLayer
    layers = [f(backend, 12, dtype, momentum=momentum) for f in (make, torch_module)]
    for step in range(4):
        x, dy = rng.normal(step, 2, size=(2, rows, 12)).astype(dtype)
        ours, theirs = (layer.step(x, dy) for layer in layers)
        for got, want in zip(ours, theirs, strict=True):
            assert_allclose(got, want, rtol=tolerance["rtol"], atol=rows**0.5 * tolerance["atol"])
    for got, want in zip(layers[0].state(), layers[1].state(), strict=True):
        assert_allclose(got, want, **tolerance)
    before = layers[0].state()[2].copy() if backend.is_torch else layers[0].state()[2]
    for layer in layers:
        layer.eval()
    one = x[:1]
    assert_allclose(layers[0].step(one, dy[:1])[0], layers[1].step(one, dy[:1])[0], **tolerance)
    assert layers[0].state()[2] == before


def test_results_helper_fails_on_each_wrong_field(draw, oracle):
    want = oracle(draw((5, 3)))
    for field in want._fields:
        wrong = want._replace(**{field: getattr(want, field) * 1.001})
        with pytest.raises(AssertionError, match=field):
            assert_results_close(wrong, want, **TOLERANCE[np.float64])
