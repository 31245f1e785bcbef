"""The layers of bnlib.numpy, against torch and finite differences."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

from bnlib.numpy import (
    BatchNorm,
    Dropout,
    Layer,
    Linear,
    ReLU,
    Sequential,
    Sigmoid,
    softmax_cross_entropy,
)

EXACT = {"rtol": 1e-10, "atol": 1e-12}


def torch():
    return pytest.importorskip("torch")


def net(rng, dtype=np.float64):
    return Sequential(
        Linear(6, 5, rng=rng, bias=False, dtype=dtype),
        BatchNorm(5, dtype=dtype),
        Sigmoid(),
        Linear(5, 4, rng=rng, init="he", dtype=dtype),
        ReLU(),
        Linear(4, 3, rng=rng, dtype=dtype),
    )


# ---- Linear


def test_linear_matches_torch(rng):
    layer = Linear(4, 3, rng=rng, dtype=np.float64)
    layer.bias[:] = rng.normal(size=3)
    x, dy = rng.normal(size=(5, 4)), rng.normal(size=(5, 3))
    leaves = [torch().from_numpy(a).requires_grad_() for a in (x, layer.weight.T, layer.bias)]
    y = torch().nn.functional.linear(*leaves)
    dx, dweight, dbias = torch().autograd.grad(y, leaves, torch().from_numpy(dy))
    assert_allclose(layer(x), y.detach(), **EXACT)
    assert_allclose(layer.backward(dy), dx, **EXACT)
    assert_allclose(layer.dweight, dweight.T, **EXACT)
    assert_allclose(layer.dbias, dbias, **EXACT)


@pytest.mark.parametrize(
    ("init", "std"),
    [("xavier", (2 / 500) ** 0.5), ("he", (2 / 300) ** 0.5), ("lecun", 300**-0.5), (0.02, 0.02)],
)
def test_linear_init_has_the_deviation_of_the_literature(rng, init, std):
    weight = Linear(300, 200, rng=rng, init=init).weight
    assert_allclose(weight.std(), std, rtol=0.02)
    assert abs(weight.mean()) < 5 * std / weight.size**0.5


def test_linear_same_seed_same_weights_in_both_dtypes():
    one, two = (
        Linear(4, 3, rng=np.random.default_rng(7), dtype=t).weight for t in (np.float32, np.float64)
    )
    assert (one == two.astype(np.float32)).all()


def test_linear_without_input_gradient_still_has_its_own(rng):
    layer = Linear(4, 3, rng=rng, dtype=np.float64)
    layer(rng.normal(size=(5, 4)))
    assert layer.backward(np.ones((5, 3)), input_gradient=False) is None
    assert layer.dweight.shape == (4, 3)


@pytest.mark.parametrize(
    ("arguments", "error", "text"),
    [
        ({"in_features": 0}, ValueError, "in_features is 0; a whole number, 1 or more"),
        ({"out_features": -1}, ValueError, "out_features is -1; a whole number"),
        ({"in_features": 2.5}, TypeError, "in_features is 2.5; a whole number, 1 or more"),
        ({"rng": 3}, TypeError, r"rng is a int; expected np.random.default_rng\(seed\)"),
        ({"init": "kaiming"}, ValueError, "init is 'kaiming'; expected one of xavier, he, lecun"),
        ({"init": -1.0}, ValueError, "init is -1.0; expected a standard deviation"),
        ({"dtype": np.int32}, TypeError, "dtype is int32; expected float32 or float64"),
    ],
    ids=["in", "out", "fraction", "rng", "init-name", "init-number", "dtype"],
)
def test_linear_bad_argument_raises(rng, arguments, error, text):
    arguments = {"in_features": 4, "out_features": 3, "rng": rng} | arguments
    with pytest.raises(error, match=text):
        Linear(arguments.pop("in_features"), arguments.pop("out_features"), **arguments)


@pytest.mark.parametrize(
    ("x", "error", "text"),
    [
        (np.ones((2, 5), np.float32), ValueError, r"x has shape \(2, 5\); Linear\(4, 3\) needs"),
        (np.ones((2, 2, 2), np.float32), ValueError, r"x has shape \(2, 2, 2\)"),
        (np.ones((2, 4)), TypeError, "x has dtype float64; the layer is float32"),
        (np.ones((2, 4), np.uint8), TypeError, "x has dtype uint8; the layer is float32"),
    ],
    ids=["columns", "axes", "float64", "uint8"],
)
def test_linear_bad_input_raises(rng, x, error, text):
    with pytest.raises(error, match=text):
        Linear(4, 3, rng=rng)(x)


# ---- activations


@pytest.mark.parametrize("name", ["Sigmoid", "ReLU"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_activation_matches_torch(rng, name, dtype):
    layer, theirs = {"Sigmoid": Sigmoid, "ReLU": ReLU}[name](), getattr(torch().nn, name)()
    x, dy = (rng.normal(size=(2, 50, 7)) * 4).astype(dtype)
    xt = torch().from_numpy(x).requires_grad_()
    y = theirs(xt)
    (dx,) = torch().autograd.grad(y, xt, torch().from_numpy(dy))
    rtol = 1e-6 if dtype == np.float32 else 1e-12
    assert_allclose(layer(x), y.detach(), rtol=rtol)
    assert_allclose(layer.backward(dy), dx, rtol=100 * rtol, atol=rtol)
    assert layer(x).dtype == layer.backward(dy).dtype == dtype


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_sigmoid_is_quiet_and_right_at_the_ends(dtype):
    x = np.array([-np.inf, -1e4, -50, 0, 50, 1e4, np.inf], dtype)
    with np.errstate(all="raise", under="ignore"):
        y = Sigmoid()(x)
    assert_allclose(y, [0, 0, np.exp(-50.0), 0.5, 1, 1, 1], rtol=1e-5, atol=1e-36)


def test_nan_passes_through_the_activations():
    x = np.array([np.nan, 1.0])
    assert np.isnan(Sigmoid()(x)).tolist() == np.isnan(ReLU()(x)).tolist() == [True, False]


def test_relu_slope_at_zero_is_zero():
    layer = ReLU()
    layer(np.array([-1.0, 0.0, 2.0]))
    assert layer.backward(np.ones(3)).tolist() == [0, 0, 1]


# ---- Dropout


def test_dropout_keeps_the_mean_and_drops_a_share_of_p(rng):
    y = Dropout(0.3, rng=rng)(np.ones((400, 500), np.float32))
    assert_allclose((y == 0).mean(), 0.3, atol=0.01)
    assert_allclose(y.mean(), 1, atol=0.01)
    assert y.dtype == np.float32


def test_dropout_backward_uses_the_mask_of_its_forward(rng):
    layer = Dropout(0.5, rng=rng)
    x = np.ones((20, 20))
    y = layer(x)
    assert (layer.backward(x) == y).all()


def test_dropout_passes_everything_in_eval_mode(rng):
    layer = Dropout(0.5, rng=rng).eval()
    x = rng.normal(size=(5, 4)).astype(np.float32)
    assert (layer(x) == x).all()
    assert (layer.backward(x) == x).all()
    assert layer.backward(x).dtype == np.float32


def test_dropout_same_seed_same_mask():
    masks = [Dropout(0.5, rng=np.random.default_rng(1))(np.ones(100)) for _ in range(2)]
    assert (masks[0] == masks[1]).all()


@pytest.mark.parametrize("p", [-0.1, 1, np.nan])
def test_dropout_bad_p_raises(rng, p):
    with pytest.raises(ValueError, match=r"expected a probability in \[0, 1\)"):
        Dropout(p, rng=rng)


def test_dropout_p_that_is_no_number_raises(rng):
    with pytest.raises(TypeError, match=r"p is '0.5'; expected a probability in \[0, 1\)"):
        Dropout("0.5", rng=rng)


# ---- Sequential


def test_sequential_gradients_match_finite_differences(rng):
    model = net(rng)
    x, labels = rng.normal(size=(7, 6)), rng.integers(0, 3, 7)
    _, dlogits = softmax_cross_entropy(model(x), labels)
    dx = model.backward(dlogits)

    def loss():
        return softmax_cross_entropy(model(x), labels)[0]

    checked = {**model.parameters(), "x": x}
    analytic = {**model.gradients(), "x": dx}
    assert len(checked) == 8
    for name, array in checked.items():
        for i in list(np.ndindex(array.shape))[:6]:
            kept = array[i]
            array[i] = kept + 1e-6
            up = loss()
            array[i] = kept - 1e-6
            down = loss()
            array[i] = kept
            assert_allclose(analytic[name][i], (up - down) / 2e-6, rtol=1e-5, atol=1e-8)


def test_sequential_records_the_input_of_each_layer(rng):
    model = net(rng)
    x = rng.normal(size=(7, 6))
    y = model(x)
    assert model.inputs[0] is x
    assert model.output is y
    for layer, before, after in zip(model, model.inputs, [*model.inputs[1:], y], strict=True):
        assert_allclose(layer(before), after)


def test_sequential_train_and_eval_reach_every_layer(rng):
    model = Sequential(net(rng), Dropout(0.5, rng=rng))
    assert model.eval() is model
    assert not any(layer.training for layer in [model, *model, *model[0]])
    assert model.train() is model
    assert all(layer.training for layer in [model, *model, *model[0]])


def test_sequential_parameters_are_the_live_arrays(rng):
    model = net(rng)
    assert list(model.parameters()) == [
        "0.weight",
        "1.gamma",
        "1.beta",
        "3.weight",
        "3.bias",
        "5.weight",
        "5.bias",
    ]
    assert model.parameters()["1.gamma"] is model[1].gamma


def test_sequential_slice_shares_its_layers(rng):
    model = net(rng)
    assert len(model) == 6
    assert model[1:3][0] is model[1]
    assert model[-1] is model.layers[5]


def test_sequential_without_layers_passes_everything(rng):
    x = rng.normal(size=(2, 3))
    assert Sequential()(x) is x
    assert Sequential().backward(x) is x


@pytest.mark.parametrize("first", ["linear", "nested", "relu"])
def test_sequential_spares_the_input_gradient(rng, first):
    linear = Linear(3, 2, rng=rng, dtype=np.float64)
    front = {"linear": linear, "nested": Sequential(linear), "relu": ReLU()}[first]
    model = Sequential(front, ReLU())
    y = model(rng.normal(size=(4, 3)))
    dx = model.backward(np.ones_like(y), input_gradient=False)
    assert (dx is None) == (first != "relu")


def test_sequential_refuses_what_is_no_layer():
    with pytest.raises(TypeError, match="layer 1 is a function; expected a Layer"):
        Sequential(ReLU(), lambda x: x)


def test_sequential_refuses_a_layer_at_two_places(rng):
    act = ReLU()
    with pytest.raises(ValueError, match=r"layers\[0\] and layers\[2\] are the same ReLU object"):
        Sequential(act, Linear(2, 2, rng=rng), act)


def test_sequential_refuses_a_layer_at_two_places_of_nested_ones(rng):
    act = ReLU()
    with pytest.raises(
        ValueError, match=r"layers\[0\]\[1\] and layers\[1\]\[0\]\[0\] are the same"
    ):
        Sequential(Sequential(Sigmoid(), act), Sequential(Sequential(act)))


@pytest.mark.parametrize("call", [Sequential.train, lambda m: m.backward(np.ones(3))])
def test_sequential_refuses_a_layer_that_was_put_at_a_second_place(call):
    model = Sequential(Sequential(ReLU()), Sigmoid())
    model(np.ones(3))
    model.layers[1] = model[0][0]
    with pytest.raises(ValueError, match=r"layers\[0\]\[0\] and layers\[1\] are the same ReLU"):
        call(model)


def test_two_sequentials_may_share_a_layer(rng):
    act, x = ReLU(), rng.normal(size=4)
    assert_allclose(Sequential(act, Sigmoid())(x), Sigmoid()(Sequential(act)(x)))


def test_reprs_read_like_the_constructors(rng):
    model = Sequential(Linear(4, 3, rng=rng, bias=False), ReLU(), Dropout(0.5, rng=rng))
    assert repr(model).splitlines() == [
        "Sequential(",
        "    0: Linear(4, 3, bias=False)",
        "    1: ReLU()",
        "    2: Dropout(0.5)",
        ")",
    ]


@pytest.mark.parametrize("make", [Sigmoid, ReLU, lambda: Dropout(0.5, rng=np.random.default_rng())])
def test_backward_before_forward_raises(make):
    with pytest.raises(RuntimeError, match="backward before forward"):
        make().backward(np.ones(3))


def test_linear_backward_before_forward_raises(rng):
    with pytest.raises(RuntimeError, match="backward before forward"):
        Linear(4, 3, rng=rng).backward(np.ones((2, 3)))


def test_own_layer_joins_a_sequential(rng):
    class Double(Layer):
        def forward(self, x):
            return 2 * x

        def backward(self, dy):
            return 2 * dy

    model = Sequential(Double(), Double())
    assert model(np.ones(3)).tolist() == model.backward(np.ones(3)).tolist() == [4, 4, 4]


# ---- the loss


def test_softmax_cross_entropy_matches_torch(rng):
    logits, labels = 5 * rng.normal(size=(8, 10)), rng.integers(0, 10, 8)
    leaf = torch().from_numpy(logits).requires_grad_()
    want = torch().nn.functional.cross_entropy(leaf, torch().from_numpy(labels))
    loss, dlogits = softmax_cross_entropy(logits, labels)
    assert_allclose(loss, want.item(), **EXACT)
    assert_allclose(dlogits, torch().autograd.grad(want, leaf)[0], **EXACT)


def test_softmax_cross_entropy_survives_huge_logits():
    with np.errstate(all="raise", under="ignore"):
        loss, dlogits = softmax_cross_entropy(
            np.array([[1e30, 0.0], [0.0, -1e30]]), np.array([0, 0])
        )
    assert loss == 0
    assert (dlogits == 0).all()


def test_softmax_cross_entropy_keeps_float32_and_its_inputs(rng):
    logits, labels = rng.normal(size=(4, 3)).astype(np.float32), np.array([0, 1, 2, 0])
    before = logits.copy()
    loss, dlogits = softmax_cross_entropy(logits, labels)
    assert isinstance(loss, float)
    assert dlogits.dtype == np.float32
    assert (logits == before).all()


@pytest.mark.parametrize(
    ("logits", "labels", "error", "text"),
    [
        (np.ones((4, 3)), np.zeros(3, int), ValueError, r"logits have shape \(4, 3\) and labels"),
        (np.ones(3), np.zeros(3, int), ValueError, r"logits have shape \(3,\)"),
        (np.ones((0, 3)), np.zeros(0, int), ValueError, r"logits have shape \(0, 3\)"),
        (np.ones((2, 3)), np.array([0, 3]), ValueError, "labels run from 0 to 3; expected 0 to 2"),
        (np.ones((2, 3)), np.array([-1, 0]), ValueError, "labels run from -1 to 0"),
        (np.ones((2, 3)), np.zeros(2), TypeError, "labels have dtype float64; expected integers"),
    ],
    ids=["lengths", "one-axis", "empty", "too-large", "negative", "floats"],
)
def test_softmax_cross_entropy_bad_input_raises(logits, labels, error, text):
    with pytest.raises(error, match=text):
        softmax_cross_entropy(logits, labels)
