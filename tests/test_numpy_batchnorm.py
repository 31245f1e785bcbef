"""bnlib.numpy.batch_norm and BatchNorm, held to torch in float64 and to finite differences."""

import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose

import bnlib.numpy
from bnlib.numpy import BatchNorm, batch_norm, batch_norm_backward

SHAPES = pytest.mark.parametrize(
    ("shape", "axis"),
    [
        ((8, 5), 1),
        ((4, 3, 6), 1),
        ((4, 3, 5, 5), 1),
        ((2, 3, 2, 2, 2), 1),
        ((4, 5, 5, 3), -1),
        ((3, 20), 0),
        ((4, 6, 3, 2), 2),
        ((2, 4), 1),
        ((1, 3, 2), 1),
        ((60, 100), 1),
        ((6, 5, 1), 1),
        ((1100, 512), 1),
        ((9, 5, 410, 30), 1),
        ((9, 95, 70, 9), -1),
    ],
    ids=lambda v: "x".join(map(str, v)) if isinstance(v, tuple) else f"axis{v}",
)
EXACT = {"rtol": 1e-9, "atol": 1e-11}
HALF = {"rtol": 2e-3, "atol": 2e-3}  # float16 has 11 bits


def step(batch, **options):
    """Forward and backward of bnlib.numpy on copies of the batch: a tuple like conftest.Result."""
    x, gamma, beta, dy, mean, var = (np.array(a) for a in batch)
    y, cache = batch_norm(x, gamma, beta, mean, var, **options)
    return y, *batch_norm_backward(dy, cache), mean, var


def assert_results_close(got, want, **tolerance):
    for name, ours, theirs in zip(type(want)._fields, got, want, strict=True):
        assert_allclose(ours, theirs, err_msg=name, **tolerance)


# ---- equal to torch


@SHAPES
@pytest.mark.parametrize("training", [True, False], ids=["train", "eval"])
def test_batch_norm_matches_torch(draw, oracle, shape, axis, training):
    batch = draw(shape, axis=axis)
    got = step(batch, training=training, axis=axis)
    assert_results_close(got, oracle(batch, training=training, axis=axis), **EXACT)


@SHAPES
def test_float32_matches_float64(draw, oracle, shape, axis):
    batch = draw(shape, axis=axis, dtype=np.float32)
    assert_results_close(step(batch, axis=axis), oracle(batch, axis=axis), rtol=2e-5, atol=1e-5)


@pytest.mark.parametrize("momentum", [0.0, 0.1, 0.7, 1.0])
def test_running_statistics_match_torch(draw, oracle, momentum):
    batch = draw((6, 4, 3))
    assert_results_close(step(batch, momentum=momentum), oracle(batch, momentum=momentum), **EXACT)


@pytest.mark.parametrize("eps", [1e-8, 0.5])
def test_eps_matches_torch(draw, oracle, eps):
    batch = draw((6, 4, 3))
    assert_results_close(step(batch, eps=eps), oracle(batch, eps=eps), **EXACT)


def test_zero_eps_in_eval_mode_matches_torch(draw, oracle):
    batch = draw((6, 4))
    got, want = step(batch, training=False, eps=0.0), oracle(batch, training=False, eps=0.0)
    assert_results_close(got, want, **EXACT)


@pytest.mark.parametrize("training", [True, False], ids=["train", "eval"])
def test_dx_dgamma_dbeta_match_finite_differences(draw, training):
    x, gamma, beta, dy, mean, var = draw((4, 3, 2))
    inputs = (x, gamma, beta)
    options = {"training": training, "momentum": 0.0}

    def loss(*inputs):
        return (batch_norm(*inputs, mean, var, **options)[0] * dy).sum()

    got = batch_norm_backward(dy, batch_norm(*inputs, mean, var, **options)[1])
    for which, analytic in enumerate(got):
        for i in np.ndindex(analytic.shape):
            up, down = [a.copy() for a in inputs], [a.copy() for a in inputs]
            up[which][i] += 1e-6
            down[which][i] -= 1e-6
            numeric = (loss(*up) - loss(*down)) / 2e-6
            assert_allclose(analytic[i], numeric, rtol=1e-6, atol=1e-7)


def test_none_gamma_and_beta_stand_for_ones_and_zeros(draw, oracle):
    batch = draw((5, 3))
    batch = batch._replace(gamma=np.ones(3), beta=np.zeros(3))
    y, cache = batch_norm(batch.x)
    want = oracle(batch)
    assert_allclose(y, want.y, **EXACT)
    assert_allclose(batch_norm_backward(batch.dy, cache)[1], want.dgamma, **EXACT)


def test_cache_holds_the_batch_statistics(draw):
    x = draw((6, 4, 3)).x
    _, cache = batch_norm(x)
    found = cache.statistics
    assert_allclose(found.mean, x.mean(axis=(0, 2)), rtol=1e-12)
    assert_allclose(found.var, x.var(axis=(0, 2)), rtol=1e-12)
    assert_allclose(found.std, np.sqrt(found.var + 1e-5), rtol=1e-12)


def test_backward_uses_the_gamma_of_its_forward(draw, oracle):
    batch = draw((5, 3))
    gamma = batch.gamma.copy()
    _, cache = batch_norm(batch.x, gamma, batch.beta)
    gamma[:] = np.nan  # an optimizer that writes in place
    assert_allclose(batch_norm_backward(batch.dy, cache)[0], oracle(batch).dx, **EXACT)


def test_backward_uses_the_running_values_of_its_forward(draw, oracle):
    batch = draw((5, 3))
    mean, var = batch.running_mean.copy(), batch.running_var.copy()
    _, cache = batch_norm(batch.x, batch.gamma, batch.beta, mean, var, training=False)
    mean[:] = var[:] = np.nan
    got, want = batch_norm_backward(batch.dy, cache), oracle(batch, training=False)
    assert_allclose(got[0], want.dx, **EXACT)
    assert_allclose(got[1], want.dgamma, **EXACT)


@pytest.mark.parametrize("training", [True, False], ids=["train", "eval"])
def test_inputs_are_left_alone(draw, training):
    batch = draw((5, 3, 2))
    before = [a.copy() for a in batch]
    copies = batch.running_mean.copy(), batch.running_var.copy()
    _, cache = batch_norm(batch.x, batch.gamma, batch.beta, *copies, training=training)
    batch_norm_backward(batch.dy, cache)
    for now, then in zip(batch, before, strict=True):
        assert (now == then).all()


def test_eval_mode_leaves_the_running_statistics_alone(draw):
    batch = draw((5, 3))
    *_, mean, var = step(batch, training=False)
    assert (mean == batch.running_mean).all()
    assert (var == batch.running_var).all()


# ---- any shape, axis, dtype, layout, magnitude

BATCHES = st.fixed_dictionaries(
    {
        "shape": st.lists(st.integers(1, 6), min_size=2, max_size=5).map(tuple),
        "axis": st.integers(-5, 4),
        "seed": st.integers(0, 2**32 - 1),
        "order": st.permutations(range(5)),
        "flip": st.lists(st.booleans(), min_size=5, max_size=5),
        "spread": st.booleans(),
        "byteorder": st.sampled_from("<>"),
    }
)


def awkward(a, order, flip, spread, byteorder):
    """a again, in another memory order, with negative or wide strides, in any byte order."""
    order = [i for i in order if i < a.ndim]
    out = np.ascontiguousarray(a.transpose(order)).transpose(np.argsort(order))
    if spread:
        wide = np.full(tuple(2 * n for n in out.shape), np.nan, a.dtype)
        every_other = tuple(slice(None, None, 2) for _ in out.shape)
        wide[every_other] = out
        out = wide[every_other]
    turned = tuple(slice(None, None, -1) if f else slice(None) for f in flip[: a.ndim])
    out = np.array(out[turned], copy=True, order="K")[turned] if any(flip) else out
    return out.astype(out.dtype.newbyteorder(byteorder), order="K")


@given(case=BATCHES, training=st.booleans(), dtype=st.sampled_from([np.float64, np.float32]))
@settings(max_examples=150, deadline=None)
def test_any_layout_gives_the_same_result(draw, case, training, dtype):
    shape, axis = case["shape"], case["axis"] % len(case["shape"])
    if np.prod(shape) // shape[axis] < 2:
        shape = tuple(n if i == axis else n + 1 for i, n in enumerate(shape))
    batch = draw(shape, seed=case["seed"], axis=axis, dtype=dtype)
    layout = [case[k] for k in ("order", "flip", "spread", "byteorder")]
    strange = batch._make(awkward(a, *layout) for a in batch)
    for plain, same in zip(batch, strange, strict=True):
        assert (plain == same).all()
    want = step(batch, training=training, axis=axis)
    got = step(strange, training=training, axis=axis - len(shape))
    for ours, theirs in zip(got, want, strict=True):
        assert ours.dtype == theirs.dtype.newbyteorder(ours.dtype.byteorder)
        assert_allclose(ours, theirs, rtol=1e-5, atol=1e-5)


@given(case=BATCHES, training=st.booleans(), exponent=st.integers(-18, 18))
@settings(max_examples=100, deadline=None)
def test_any_shape_axis_and_magnitude_matches_torch(draw, oracle, case, training, exponent):
    shape, axis = case["shape"], case["axis"] % len(case["shape"])
    if np.prod(shape) // shape[axis] < 2:
        shape = tuple(n if i == axis else n + 1 for i, n in enumerate(shape))
    batch = draw(shape, seed=case["seed"], axis=axis, dtype=np.float32)
    batch = batch._replace(x=batch.x * np.float32(10.0**exponent))
    got = step(batch, training=training, axis=axis)
    want = oracle(batch, training=training, axis=axis)
    # What cancels sets the size of the error: with two values per channel dx is all but zero.
    m = batch.x.size / len(batch.gamma)
    steepest = abs(dx_without_statistics(batch, want, training, axis)).max()
    scales = {"dx": steepest, "dgamma": m * abs(batch.dy).max(), "dbeta": m * abs(batch.dy).max()}
    for name, ours, theirs in zip(want._fields, got, want, strict=True):
        scale = max(scales.get(name, 1e-30), abs(theirs).max())
        assert_allclose(ours / scale, theirs / scale, atol=1e-5, rtol=0, err_msg=name)


def dx_without_statistics(batch, want, training, axis):
    """gamma / std · dy, the part of dx that does not cancel; in eval mode the whole of it."""
    x = np.moveaxis(batch.x.astype(float), axis, -1)
    var = x.var(axis=tuple(range(x.ndim - 1))) if training else batch.running_var
    return batch.gamma / np.sqrt(var + 1e-5) * np.moveaxis(batch.dy, axis, -1)


def test_fortran_order_matches_c_order(draw, oracle):
    batch = draw((4, 3, 5, 5))
    batch = batch._replace(x=np.asfortranarray(batch.x))
    assert_results_close(step(batch), oracle(batch), **EXACT)


def test_channels_last_memory_in_channels_first_shape(draw, oracle):
    batch = draw((4, 3, 5, 5))
    x = np.ascontiguousarray(batch.x.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2)
    assert_results_close(step(batch._replace(x=x)), oracle(batch), **EXACT)


def test_y_and_dx_are_native_and_shaped_like_x(draw):
    batch = draw((4, 3, 5), dtype=">f4")
    y, dx, *_ = step(batch)
    assert y.dtype == dx.dtype == np.float32
    assert y.shape == dx.shape == batch.x.shape


def test_running_arrays_may_be_strided_views(draw, oracle):
    batch = draw((8, 5))
    wide = np.zeros((5, 2))
    wide[:, 0] = batch.running_mean
    batch_norm(batch.x, None, None, wide[:, 0], batch.running_var.copy())
    assert_allclose(wide[:, 0], oracle(batch).running_mean, **EXACT)
    assert (wide[:, 1] == 0).all()


# ---- numerics


@pytest.mark.parametrize(
    ("shape", "axis"),
    [((60, 100), 1), ((4096, 64), 1), ((32, 16, 28, 28), 1), ((16, 28, 28, 32), -1)],
    ids=["60x100", "4096x64", "NCHW", "channels-last"],
)
def test_float32_at_mean_1e4_keeps_its_accuracy(rng, oracle, draw, shape, axis):
    batch = draw(shape, axis=axis, dtype=np.float32)
    batch = batch._replace(x=(1e4 + rng.normal(size=shape)).astype(np.float32))
    got, want = step(batch, axis=axis), oracle(batch, axis=axis)
    assert_allclose(got[0], want.y, atol=5e-6, rtol=0)
    assert_allclose(got[1], want.dx, atol=5e-6, rtol=0)


def test_first_rows_far_from_the_rest_keep_the_accuracy(rng, oracle, draw):
    batch = draw((8192, 128), dtype=np.float32)
    x = rng.normal(size=(8192, 128)).astype(np.float32)
    x[4096:] += 1e3  # a mean taken from the first block would be a bad pivot
    batch = batch._replace(x=x)
    got, want = step(batch), oracle(batch)
    assert_allclose(got[0], want.y, atol=5e-6, rtol=0)
    assert_allclose(got[1], want.dx, atol=5e-6, rtol=0)


@pytest.mark.parametrize("value", [0.0, 3.0, -1e4, 1e30, 1e-40], ids=str)
@pytest.mark.parametrize("shape", [(8, 3), (300, 700)], ids=["small", "large"])
def test_constant_channels_give_beta(value, shape):
    x = np.full(shape, value, np.float32)
    beta = np.linspace(-2, 2, shape[1], dtype=np.float32)
    y, cache = batch_norm(x, np.full(shape[1], 2, np.float32), beta)
    assert_allclose(y, np.broadcast_to(beta, shape), atol=1e-6)
    assert np.isfinite(batch_norm_backward(np.ones_like(x), cache)[0]).all()


def test_two_values_per_channel_become_plus_and_minus_one():
    y, _ = batch_norm(np.array([[1.0, 7.0], [3.0, -7.0]]), eps=1e-12)
    assert_allclose(y, [[-1, 1], [1, -1]], atol=1e-10)


def test_zero_gamma_gives_beta_and_no_dx(draw):
    batch = draw((6, 3))
    y, dx, dgamma, *_ = step(batch._replace(gamma=np.zeros(3)))
    assert_allclose(y, np.broadcast_to(batch.beta, (6, 3)), atol=0)
    assert (dx == 0).all()
    assert (dgamma != 0).all()


def test_denormal_input_is_centred_exactly():
    tiny = np.finfo(np.float32).smallest_subnormal
    y, _ = batch_norm(tiny * np.array([[100.0], [300.0]], np.float32), eps=1e-5)
    assert_allclose(y, float(tiny) * np.array([[-100], [100]]) / np.sqrt(1e-5), rtol=1e-4)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf], ids=str)
@pytest.mark.parametrize("shape", [(6, 3), (300, 600)], ids=["small", "large"])
def test_bad_values_spoil_their_channel_alone(bad, shape, draw):
    batch = draw(shape)
    want = step(batch)
    batch.x[4, 1] = bad
    got = step(batch)
    others = np.arange(shape[1]) != 1
    for ours, theirs in zip(got, want, strict=True):
        assert_allclose(ours[..., others], theirs[..., others], **EXACT)
    y, dx, dgamma, _, mean, var = (a[..., 1] for a in got)
    assert np.isnan([*y, *dx, dgamma, var]).all()
    assert not np.isfinite(mean)


@pytest.mark.parametrize("parameter", [np.float16, np.float32])
@pytest.mark.parametrize("training", [True, False], ids=["train", "eval"])
def test_float16_works_in_float32(draw, oracle, parameter, training):
    batch = draw((64, 3, 4), dtype=np.float16)
    half = batch._make(
        a.astype(parameter) if a.ndim == 1 else a for a in batch
    )  # parameters of either dtype
    y, dx, dgamma, dbeta, mean, var = step(half, training=training)
    assert y.dtype == dx.dtype == np.float16
    assert dgamma.dtype == dbeta.dtype == mean.dtype == var.dtype == parameter
    assert_results_close((y, dx, dgamma, dbeta, mean, var), oracle(half, training=training), **HALF)


def test_float16_sums_beyond_its_range():
    x = np.full((4, 2), 60_000, np.float16)
    x[::2] = -60_000  # squares overflow float16, and so would their sum
    y, _ = batch_norm(x)
    assert_allclose(y, np.sign(x), rtol=1e-3)


def test_float16_output_overflows_to_infinity():
    x = np.array([[1.0], [-1.0]], np.float16)
    y, _ = batch_norm(x, np.full(1, 1e6, np.float32))
    assert_allclose(y, [[np.inf], [-np.inf]])


def test_squares_beyond_float32_are_summed_all_the_same(rng, draw, oracle):
    batch = draw((300, 500), dtype=np.float32)
    batch = batch._replace(x=(1e25 * rng.normal(size=(300, 500))).astype(np.float32))
    assert_allclose(step(batch)[0], oracle(batch).y, atol=5e-6)


def test_numpy_stays_quiet_and_its_settings_stay_as_they_were(draw):
    with np.errstate(all="raise"):
        before = np.geterr()
        batch_norm(np.array([[np.inf], [1.0]]))
        assert np.geterr() == before


# ---- bad input: refused, and nothing changed

X = np.arange(12.0).reshape(4, 3)
REFUSED = [
    ("integers", {"x": X.astype(int)}, TypeError, "x has dtype int64; expected float16, float32"),
    ("complex", {"x": X + 0j}, TypeError, "x has dtype complex128; expected float16, float32"),
    ("objects", {"x": X.astype(object)}, TypeError, "x has dtype object; expected float16"),
    ("one-axis", {"x": X[0]}, ValueError, r"x has shape \(3,\); expected two or more dimensions"),
    ("m-1", {"x": X[:1]}, ValueError, r"x has shape \(1, 3\), 1 value\(s\) per channel; training"),
    ("axis", {"axis": 2}, ValueError, r"axis is 2; x of shape \(4, 3\) has axes -2 to 1"),
    ("axis-type", {"axis": 1.0}, TypeError, "axis is 1.0; expected an integer"),
    ("axes", {"axis": (0, 1)}, TypeError, r"axis is \(0, 1\); expected an integer"),
    (
        "gamma",
        {"gamma": np.ones(4)},
        ValueError,
        r"gamma has shape \(4,\); x of shape \(4, 3\) needs \(3,\)",
    ),
    ("beta", {"beta": np.ones((3, 1))}, ValueError, r"beta has shape \(3, 1\); x of shape"),
    (
        "last-axis",
        {"x": np.ones((2, 3, 4, 5)), "gamma": np.ones(3), "axis": -1},
        ValueError,
        r"gamma has shape \(3,\); x of shape \(2, 3, 4, 5\) with channels on axis 3 needs \(5,\)",
    ),
    (
        "gamma-dtype",
        {"gamma": np.ones(3, np.float32)},
        TypeError,
        "gamma has dtype float32; x is float64 and needs float64",
    ),
    (
        "half-gamma-dtype",
        {"x": X.astype(np.float16), "gamma": np.ones(3)},
        TypeError,
        "gamma has dtype float64; x is float16 and needs float16 or float32",
    ),
    ("mean-shape", {"running_mean": np.ones(2)}, ValueError, r"running_mean has shape \(2,\); x"),
    (
        "var-dtype",
        {"running_var": np.ones(3, int)},
        TypeError,
        "running_var has dtype int64; x is float64",
    ),
    (
        "mean-list",
        {"running_mean": [0.0] * 3},
        TypeError,
        "running_mean is a list; expected a NumPy array",
    ),
    ("mean-alone", {"running_var": None}, ValueError, "running_var is None and its partner is not"),
    ("var-alone", {"running_mean": None}, ValueError, "running_mean is None and its partner is"),
    ("eps-0", {"eps": 0.0}, ValueError, "eps is 0.0; expected a positive number in training"),
    ("eps-below-0", {"eps": -1e-5}, ValueError, "eps is -1e-05; expected a positive number"),
    ("eps-nan", {"eps": np.nan}, ValueError, "eps is nan; expected a positive number"),
    ("eps-none", {"eps": None}, TypeError, "eps is None; expected a real number"),
    ("momentum-above-1", {"momentum": 1.1}, ValueError, "momentum is 1.1; expected 0 to 1"),
    ("momentum-below-0", {"momentum": -0.1}, ValueError, "momentum is -0.1; expected 0 to 1"),
    ("momentum-none", {"momentum": None}, TypeError, "momentum is None; expected a real number"),
    (
        "eval-without-mean",
        {"running_mean": None, "running_var": None, "training": False},
        ValueError,
        r"running_mean is None; eval mode \(training=False\) normalizes with it",
    ),
    (
        "eval-eps-below-0",
        {"eps": -1e-5, "training": False},
        ValueError,
        "eps is -1e-05; expected zero or a positive number",
    ),
]


@pytest.mark.parametrize(
    ("change", "error", "text"), [case[1:] for case in REFUSED], ids=[case[0] for case in REFUSED]
)
def test_bad_input_is_refused_and_nothing_changed(change, error, text):
    arguments = {
        "x": X,
        "gamma": None,
        "beta": None,
        "running_mean": np.zeros(3, X.dtype),
        "running_var": np.ones(3, X.dtype),
    } | change
    if arguments["x"].dtype == np.float16:
        arguments["running_mean"] = arguments["running_var"] = None
    before = {k: v.copy() for k, v in arguments.items() if isinstance(v, np.ndarray)}
    with pytest.raises(error, match=text):
        batch_norm(**arguments)
    for name, array in before.items():
        assert (arguments[name] == array).all()


@pytest.mark.parametrize("name", ["running_mean", "running_var"])
def test_read_only_running_array_is_refused_and_nothing_changed(name):
    running = {"running_mean": np.zeros(3), "running_var": np.ones(3)}
    running[name].setflags(write=False)
    with pytest.raises(ValueError, match=f"{name} is read-only; training updates it in place"):
        batch_norm(X, **running)
    assert (running["running_mean"] == 0).all()
    assert (running["running_var"] == 1).all()


def test_eval_mode_takes_read_only_running_arrays():
    mean, var = np.zeros(3), np.ones(3)
    mean.setflags(write=False)
    batch_norm(X, running_mean=mean, running_var=var, training=False)


def test_eval_mode_takes_a_batch_of_one_and_of_none():
    for rows in (1, 0):
        y, cache = batch_norm(
            X[:rows], running_mean=np.zeros(3), running_var=np.ones(3), training=False
        )
        assert y.shape == batch_norm_backward(y, cache)[0].shape == (rows, 3)


@pytest.mark.parametrize(
    ("dy", "error", "text"),
    [
        (np.ones((4, 2)), ValueError, r"dy has shape \(4, 2\); x has \(4, 3\) and they must agree"),
        (np.ones((4, 3), np.float32), TypeError, "dy has dtype float32; x is float64"),
    ],
    ids=["shape", "dtype"],
)
def test_bad_dy_is_refused(dy, error, text):
    with pytest.raises(error, match=text):
        batch_norm_backward(dy, batch_norm(X)[1])


@pytest.mark.parametrize("name", ["x", "gamma", "beta", "running_mean", "running_var"])
def test_masked_array_is_refused_and_nothing_changed(draw, name):
    batch = draw((8, 3))
    arguments = batch._asdict() | {name: np.ma.masked_greater(getattr(batch, name), 0)}
    arguments.pop("dy")
    with pytest.raises(TypeError, match=f"{name} is a masked array; expected values throughout"):
        batch_norm(**arguments)
    assert (batch.running_mean == draw((8, 3)).running_mean).all()


def test_masked_dy_is_refused(draw):
    batch = draw((8, 3))
    with pytest.raises(TypeError, match="dy is a masked array"):
        batch_norm_backward(np.ma.masked_greater(batch.dy, 0), batch_norm(batch.x)[1])


@pytest.mark.parametrize("shape", [(6, 4), (300, 70)], ids=["small", "large"])
@pytest.mark.parametrize(
    "half", [np.float16(0.5), np.float64(0.5), np.array(0.5)], ids=["float16", "float64", "0-d"]
)
def test_any_real_momentum_and_eps_is_taken(draw, shape, half):
    batch = draw(shape, dtype=np.float32)
    got, want = (step(batch, momentum=v, eps=v) for v in (half, 0.5))
    for ours, theirs in zip(got, want, strict=True):
        assert ours.dtype == np.float32
        assert (ours == theirs).all()


def test_a_tensor_without_axes_is_a_number(draw):
    torch = pytest.importorskip("torch")
    batch = draw((6, 4))
    got, want = (step(batch, momentum=v, eps=v) for v in (torch.tensor(0.5), 0.5))
    for ours, theirs in zip(got, want, strict=True):
        assert (ours == theirs).all()


@pytest.mark.parametrize("flag", [1, np.True_, np.array(True), 0, np.False_], ids=repr)
def test_any_truth_value_is_a_mode(draw, flag):
    batch = draw((6, 4))
    for ours, theirs in zip(
        step(batch, training=flag), step(batch, training=bool(flag)), strict=True
    ):
        assert (ours == theirs).all()


@pytest.mark.parametrize("flag", ["False", None, 2, [True]], ids=repr)
def test_what_is_no_truth_value_is_no_mode(flag):
    with pytest.raises(TypeError, match=r"training is .*; expected True or False"):
        batch_norm(X, running_mean=np.zeros(3), running_var=np.ones(3), training=flag)


def test_a_cache_of_another_making_is_refused():
    with pytest.raises(TypeError, match="cache is a tuple; expected what batch_norm returned"):
        batch_norm_backward(X, (X, None))
    with pytest.raises(TypeError, match="cache is layer_norm's; expected what batch_norm returned"):
        batch_norm_backward(X, bnlib.numpy.layer_norm(X)[1])


# ---- the layer


def test_layer_matches_torch_module_over_several_steps(rng):
    torch = pytest.importorskip("torch")
    ours, theirs = BatchNorm(4, dtype=np.float64), torch.nn.BatchNorm1d(4, dtype=torch.float64)
    for name, ours_now, theirs_now in (
        ("gamma", ours.gamma, theirs.weight),
        ("beta", ours.beta, theirs.bias),
    ):
        start = rng.normal(size=4) + (name == "gamma")
        ours_now[:] = start
        theirs_now.data = torch.from_numpy(start.copy())
    for _ in range(5):
        x, dy = rng.normal(3, 2, size=(2, 7, 4))
        xt = torch.from_numpy(x).requires_grad_()
        theirs.zero_grad()
        yt = theirs(xt)
        yt.backward(torch.from_numpy(dy))
        assert_allclose(ours(x), yt.detach(), **EXACT)
        assert_allclose(ours.backward(dy), xt.grad, **EXACT)
        assert_allclose(ours.dgamma, theirs.weight.grad, **EXACT)
        assert_allclose(ours.dbeta, theirs.bias.grad, **EXACT)
    assert_allclose(ours.running_mean, theirs.running_mean, **EXACT)
    assert_allclose(ours.running_var, theirs.running_var, **EXACT)
    assert ours.num_batches_tracked == theirs.num_batches_tracked == 5
    ours.eval(), theirs.eval()
    assert_allclose(ours(x[:1]), theirs(torch.from_numpy(x[:1])).detach(), **EXACT)


def test_layer_momentum_none_averages_all_batches(rng):
    layer = BatchNorm(3, momentum=None, dtype=np.float64)
    batches = rng.normal(2, 3, size=(6, 10, 3))
    for x in batches:
        layer(x)
    assert_allclose(layer.running_mean, batches.mean(axis=(0, 1)), rtol=1e-12)
    assert_allclose(layer.running_var, batches.var(axis=1, ddof=1).mean(axis=0), rtol=1e-12)


def test_layer_eval_counts_and_changes_nothing(rng):
    layer = BatchNorm(3, dtype=np.float64).eval()
    y = layer(rng.normal(size=(4, 3)) + 5)
    assert layer.num_batches_tracked == 0
    assert (layer.running_mean == 0).all()
    assert y.mean() > 4


def test_layer_refused_batch_changes_nothing():
    layer = BatchNorm(3, momentum=None)
    with pytest.raises(ValueError, match="1 value"):
        layer(np.ones((1, 3), np.float32))
    assert layer.num_batches_tracked == 0
    assert (layer.running_var == 1).all()


def test_layer_without_affine_has_no_parameters(rng):
    layer = BatchNorm(3, affine=False)
    layer(rng.normal(size=(4, 3)).astype(np.float32))
    layer.backward(np.ones((4, 3), np.float32))
    assert layer.gamma is layer.beta is layer.dgamma is layer.dbeta is None
    assert layer.parameters() == layer.gradients() == {}


@pytest.mark.parametrize("affine", [True, False], ids=["affine", "plain"])
def test_layer_without_dtype_works_in_float64_too(draw, oracle, affine):
    batch = draw((8, 3), mean=2.0)
    batch = batch._replace(
        gamma=np.ones(3), beta=np.zeros(3), running_mean=np.zeros(3), running_var=np.ones(3)
    )
    layer, want = BatchNorm(3, affine=affine), oracle(batch)
    assert_allclose(layer(batch.x), want.y, **EXACT)
    assert_allclose(layer.backward(batch.dy), want.dx, **EXACT)
    assert_allclose(layer.running_mean, want.running_mean, rtol=1e-6)
    assert_allclose(layer.running_var, want.running_var, rtol=1e-6)


def test_layer_without_dtype_keeps_its_arrays_and_the_dtype_of_x(rng):
    layer = BatchNorm(3)
    gamma, mean = layer.gamma, layer.running_mean
    for dtype in (np.float64, np.float32, np.float16):
        assert layer(rng.normal(size=(8, 3)).astype(dtype)).dtype == dtype
    assert layer.gamma is gamma
    assert layer.running_mean is mean
    assert gamma.dtype == mean.dtype == np.float32
    assert layer.eval()(rng.normal(size=(8, 3))).dtype == np.float64


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_layer_of_a_dtype_refuses_another(rng, dtype):
    other = np.float64 if dtype == np.float32 else np.float32
    with pytest.raises(TypeError, match="gamma has dtype"):
        BatchNorm(3, dtype=dtype)(rng.normal(size=(8, 3)).astype(other))


def test_layer_learns_from_float64_data(rng):
    model = bnlib.numpy.Sequential(BatchNorm(3))
    x = rng.normal(5, 1, size=(60, 3))
    bnlib.numpy.fit(
        model, x, x.argmax(axis=1), steps=20, batch_size=30, rng=0, lr=0.5, progress=False
    )
    assert (model[0].gamma > 1).all()


def test_layer_of_a_refused_float64_batch_changes_nothing():
    layer = BatchNorm(3)
    with pytest.raises(ValueError, match="1 value"):
        layer(np.ones((1, 3)))
    assert layer.num_batches_tracked == 0
    assert (layer.running_var == 1).all()


def test_layer_takes_any_numbers(rng):
    x = rng.normal(size=(8, 3)).astype(np.float32)
    plain = BatchNorm(3, eps=0.5, momentum=0.25)
    layer = BatchNorm(np.int64(3), eps=np.float32(0.5), momentum=np.float32(0.25))
    assert (layer(x) == plain(x)).all()
    assert (layer.running_mean == plain.running_mean).all()
    assert repr(layer) == repr(plain)


def test_layer_channels_last_equals_channels_first(rng):
    first, last = BatchNorm(3, dtype=np.float64), BatchNorm(3, axis=-1, dtype=np.float64)
    x = rng.normal(size=(4, 3, 5, 5))
    assert_allclose(last(x.transpose(0, 2, 3, 1)), first(x).transpose(0, 2, 3, 1), **EXACT)


@pytest.mark.parametrize("shape", [(8, 3), (300, 70)], ids=["small", "large"])
def test_layer_pickled_after_a_forward_can_go_back(draw, shape):
    batch = draw(shape)
    layer = BatchNorm(shape[1], dtype=np.float64)
    layer(batch.x)
    copied = pickle.loads(pickle.dumps(layer))
    assert (copied.backward(batch.dy) == layer.backward(batch.dy)).all()


def test_layer_backward_before_forward_raises():
    with pytest.raises(RuntimeError, match="backward before forward"):
        BatchNorm(3).backward(np.ones((4, 3), np.float32))


@pytest.mark.parametrize(
    ("arguments", "error", "text"),
    [
        ({"num_features": 0}, ValueError, "num_features is 0; expected at least 1"),
        ({"num_features": 2.5}, TypeError, "num_features is 2.5; expected an integer"),
        ({"num_features": "3"}, TypeError, "num_features is '3'; expected an integer"),
        ({"num_features": 2, "eps": None}, TypeError, "eps is None; expected a real number"),
        ({"num_features": 2, "momentum": "0"}, TypeError, "momentum is '0'; expected a real"),
        ({"num_features": 2, "axis": 1.5}, TypeError, "axis is 1.5; expected an integer"),
        ({"num_features": 2, "affine": "no"}, TypeError, "affine is 'no'; expected True or False"),
        ({"num_features": 2, "eps": 0}, ValueError, "eps is 0; expected a positive number"),
        ({"num_features": 2, "momentum": 2}, ValueError, "momentum is 2; expected 0 to 1"),
        ({"num_features": 2, "dtype": int}, TypeError, "dtype is int64; expected float32"),
    ],
    ids=lambda v: "-".join(v) if isinstance(v, dict) else "",
)
def test_layer_bad_argument_raises(arguments, error, text):
    with pytest.raises(error, match=text):
        BatchNorm(**arguments)


def test_layer_repr_shows_what_differs_from_the_default():
    assert repr(BatchNorm(3)) == "BatchNorm(3, eps=1e-05, momentum=0.1)"
    text = "BatchNorm(3, eps=1e-05, momentum=None, affine=False, axis=-1)"
    assert repr(BatchNorm(3, momentum=None, affine=False, axis=-1)) == text


# ---- the module, and the helpers themselves


def test_all_names_exist_and_are_complete():
    public = {name for name in vars(bnlib.numpy) if not name.startswith("_")}
    modules = {name for name in public if type(getattr(bnlib.numpy, name)).__name__ == "module"}
    assert public - modules == set(bnlib.numpy.__all__)


def test_results_helper_fails_on_a_wrong_result(draw, oracle):
    want = oracle(draw((5, 3)))
    for field in want._fields:
        wrong = want._replace(**{field: getattr(want, field) * 1.001})
        with pytest.raises(AssertionError, match=field):
            assert_results_close(wrong, want, **EXACT)


def test_awkward_helper_changes_the_memory_and_not_the_values(rng):
    a = rng.normal(size=(3, 4))
    b = awkward(a, [1, 0, 2, 3, 4], [True, False, True, True, True], True, ">")
    assert (a == b).all()
    assert b.strides != a.strides or b.dtype != a.dtype


@pytest.mark.parametrize("shape", [(60, 100), (128, 3), (5461, 3), (8192, 2)], ids=str)
def test_an_outlier_in_the_first_row_costs_few_digits(shape, rng):
    x = rng.standard_normal(shape).astype(np.float32)
    x[0] = 100
    mean, var = np.zeros(shape[1], np.float32), np.ones(shape[1], np.float32)
    y, cache = batch_norm(x, running_mean=mean, running_var=var, momentum=1.0)
    dy = rng.standard_normal(shape).astype(np.float32) + 1
    dx = batch_norm_backward(dy, cache)[0]
    exact, exact_cache = batch_norm(x.astype(np.float64))
    want = batch_norm_backward(dy.astype(np.float64), exact_cache)[0]
    assert np.abs(y - exact).max() < 2e-6 * np.abs(exact).max()
    assert np.abs(dx - want).max() < 2e-5 * np.abs(want).max()
    assert_allclose(mean, x.mean(axis=0, dtype=np.float64), rtol=1e-4)


def test_the_type_of_an_earlier_momentum_does_not_matter(rng):
    x = rng.standard_normal((70_000, 1)).astype(np.float32)

    def running_var(momentum):
        mean, var = np.zeros(1, np.float32), np.ones(1, np.float32)
        batch_norm(x, running_mean=mean, running_var=var, momentum=momentum)
        return var

    assert_allclose(running_var(np.float16(0.25)), running_var(0.25))


def test_layer_counts_a_batch_of_no_examples_and_learns_nothing():
    layer = BatchNorm(3)
    assert layer(np.zeros((0, 3), np.float32)).shape == (0, 3)
    assert layer.num_batches_tracked == 1
    assert (layer.running_mean == 0).all()
    assert (layer.running_var == 1).all()
