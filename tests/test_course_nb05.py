"""Notebook 05: its nets, what it measures on them, and the check of the layer that is built."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

import bnlib.numpy as bn
from bnlib.course import check, nb05
from bnlib.course.nb05.exercises import hidden_layer as right_builder

DIGITS = np.random.default_rng(0).random((120, 784)).astype(np.float32)
LABELS = np.arange(120) % 10


def norms(net):
    return [layer for layer in net if isinstance(layer, bn.BatchNorm)]


def test_sigmoid_net_puts_bn_where_the_words_say():
    kinds = [type(layer).__name__ for layer in nb05.sigmoid_net("before after before", seed=0)]
    before, after = (["BatchNorm", "Sigmoid"], ["Sigmoid", "BatchNorm"])
    hidden = [kind.replace("_PartlyFrozen", "BatchNorm") for kind in kinds]
    assert hidden[1:3] == before
    assert hidden[4:6] == after
    assert hidden[7:9] == before


def test_sigmoid_net_has_a_bias_only_where_bn_comes_after():
    net = nb05.sigmoid_net("before after before", seed=0)
    assert [layer.bias is None for layer in net if isinstance(layer, bn.Linear)] == [
        True, False, True, False,
    ]  # fmt: skip


@pytest.mark.parametrize("frozen", [["gamma"], ["beta"], ["gamma", "beta"]], ids=str)
def test_sigmoid_net_freezes_what_is_named_in_the_last_bn_alone(frozen):
    net = nb05.sigmoid_net("after after after", 0, frozen)
    bn.fit(net, DIGITS, LABELS, steps=2, batch_size=60, rng=0, lr=0.5, progress=False)
    first, _, last = norms(net)
    start = {"gamma": 1.0, "beta": 0.0}
    for name, value in start.items():
        assert (getattr(first, name) != value).any()
        assert (getattr(last, name) == value).all() == (name in frozen)


def test_curves_are_one_row_per_seed():
    def train(net, seed):
        return bn.fit(
            net, DIGITS, LABELS, steps=2, batch_size=60, rng=seed, lr=0.1, progress=False,
            x_test=DIGITS, y_test=LABELS, eval_every=1,
        )  # fmt: skip

    kinds = {"one": lambda seed: nb05.sigmoid_net("before before before", seed)}
    assert nb05.curves(kinds, train, seeds=range(3))["one"].shape == (3, 2)


def test_last_lengths_end_at_the_lengths_of_the_trained_net():
    net = nb05.sigmoid_net("before before after", 0)
    beta, weight = nb05.last_lengths(net, DIGITS, LABELS, steps=3, rate=0.5, seed=0)
    assert beta.shape == weight.shape == (3,)
    assert_allclose(beta[-1], np.linalg.norm(norms(net)[-1].beta))
    assert_allclose(weight[-1], np.linalg.norm(net[-1].weight))


def test_around_relu_gives_both_sides_of_the_same_relu():
    before, after = nb05.around_relu(DIGITS, LABELS, seeds=range(2), steps=(1, 3))
    for step in (1, 3):
        assert before[step].shape == (120, 200)
        assert_allclose(after[step], np.maximum(before[step], 0))
    assert (before[1] != before[3]).any()


def test_skewness_of_an_exponential_is_two_and_of_a_bell_nothing():
    rng = np.random.default_rng(0)
    v = np.stack([rng.exponential(3.0, 200_000), rng.normal(5.0, 2.0, 200_000)], axis=1)
    assert_allclose(nb05.skewness(v), [2, 0], atol=0.1)


def test_change_of_shape_does_not_see_mean_deviation_or_order():
    v = np.random.default_rng(0).exponential(size=(500, 3))
    assert_allclose(nb05.change_of_shape(v, 7 * v[::-1] - 4), 0, atol=1e-12)
    assert (nb05.change_of_shape(v, v**2) > 0.1).all()


def test_a_unit_that_never_varies_has_no_shape():
    v = np.zeros((50, 1))
    assert np.isnan(nb05.skewness(v)).all()
    assert np.isnan(nb05.change_of_shape(v, v)).all()


def test_one_rate_draws_equal_seeds_side_by_side():
    ax = nb05.plot_one_rate({"before": np.full(3, 0.9), "after": np.full(3, 0.1)}, rate=3)
    before, after = (line.get_xdata() for line in ax.lines)
    assert len(set(before)) == len(set(after)) == 3
    assert max(before) < 0.5 < min(after)


def test_check_says_that_a_class_is_no_layer():
    def hidden_layer(n_in, n_out, rng, place="before"):
        return [bn.Linear(n_in, n_out, rng=rng, bias=False), bn.BatchNorm(n_out), bn.ReLU]

    assert "ReLU()" in check("5.1", hidden_layer).text


def test_check_wants_the_weights_from_rng():
    def hidden_layer(n_in, n_out, rng, place="before"):
        return right_builder(n_in, n_out, np.random.default_rng(0), place)

    assert "the same for every `rng`" in check("5.1", hidden_layer).text


def test_check_wants_the_bias_where_relu_cuts():
    def hidden_layer(n_in, n_out, rng, place="before"):
        relu, layers = bn.ReLU(), [bn.Linear(n_in, n_out, rng=rng, bias=place == "none")]
        norm = [] if place == "none" else [bn.BatchNorm(n_out)]
        return [*layers, *norm, relu] if place == "before" else [*layers, relu, *norm]

    assert 'missing from "after"' in check("5.1", hidden_layer).text
