"""Notebook 02's own explorer and plots: they say and draw what gradient descent does."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

from bnlib.course import nb02
from bnlib.course.nb02.exercises import EXERCISES
from bnlib.course.nb02.experiments import own_statistics, sweep_rates, train_longer
from bnlib.course.nb02.explorer import Descent
from bnlib.course.nb02.plots import ellipse
from bnlib.data import as_features, mnist10k


@pytest.fixture(scope="module")
def explorer():
    return Descent()


def sentence(explorer, **values):
    explorer.set(**{"rate": 0.07, "scale": 5, "correlation": 0} | values)
    return explorer.state_text


def test_ellipse_is_a_contour():
    H = np.array([[2.0, 0.9], [0.9, 1.0]])
    e = ellipse(H, 3.0)
    assert_allclose(0.5 * np.einsum("it,ij,jt->t", e, H, e), 3.0)


def test_path_takes_gradient_steps():
    H = Descent.hessian(scale=3, correlation=0.6)
    path = Descent.path(H, rate=0.1)
    assert_allclose(path[1:], path[:-1] - 0.1 * path[:-1] @ H)


def test_hessian_is_that_of_such_features():
    rng = np.random.default_rng(0)
    u, v = rng.standard_normal((2, 400_000))
    x = np.column_stack([u, 5 * (0.6 * u + 0.8 * v)])
    assert_allclose(x.T @ x / len(x), Descent.hessian(scale=5, correlation=0.6), rtol=0.02)


def test_rate_past_the_limit_diverges(explorer):
    assert "diverges" in sentence(explorer, rate=0.1, scale=5)


def test_rate_at_the_limit_swings_for_ever(explorer):
    assert "Exactly on the edge" in sentence(explorer, rate=0.02, scale=10)


def test_rate_below_the_limit_converges(explorer):
    assert "is left after 62 steps" in sentence(explorer, rate=0.07, scale=5)


def test_slow_descent_says_what_is_left(explorer):
    assert "After 100 steps 20 % of the distance" in sentence(explorer, rate=0.015, scale=10)


def test_standardized_features_need_one_step(explorer):
    assert "left after 1 step." in sentence(explorer, rate=1.0, scale=1)


def test_correlation_raises_the_condition_number(explorer):
    assert "κ = 19;" in sentence(explorer, rate=1.0, scale=1, correlation=0.9)


@pytest.mark.parametrize("rate", [0.001, 2.1])
@pytest.mark.parametrize("scale", [1, 10])
@pytest.mark.parametrize("correlation", [0, 0.95])
def test_corners_can_be_drawn(explorer, rate, scale, correlation):
    assert "κ" in sentence(explorer, rate=rate, scale=scale, correlation=correlation)


def test_descents_draw_each_path():
    path = np.array([[-2.0, 1.0], [-1.0, 0.5], [0.0, 0.1]])
    axes = nb02.plot_descents({"one": (np.eye(2), path), "two": (2 * np.eye(2), path / 2)})
    drawn = [[line.get_xydata() for line in ax.lines if line.get_marker() == "o"] for ax in axes]
    assert_allclose(drawn, [[path], [path / 2]])


def test_steps_law_draws_the_line_and_both_sets():
    kappa, steps = np.array([1.0, 10.0, 100.0]), np.array([3, 45, 460])
    ax = nb02.plot_steps_law(kappa, steps, kappa / 100, steps / 100, law=4.6)
    law, raw, standardized = (line.get_xydata() for line in ax.lines)
    assert_allclose(law[:, 1], 4.6 * law[:, 0])
    assert_allclose(raw, np.column_stack([kappa, steps]))
    assert_allclose(standardized, np.column_stack([kappa, steps]) / 100)


def test_spectra_differ_by_more_than_color():
    ax = nb02.plot_spectra({name: np.geomspace(k, 0.01, 784) for k, name in enumerate("abc", 1)})
    assert len({(str(line.get_linestyle()), line.get_marker()) for line in ax.lines}) == 3


def test_rate_sweep_labels_each_rate():
    ax = nb02.plot_rate_sweep([0.01, 0.1, 1], {"a": np.ones((2, 3))}, ylabel="accuracy")
    assert [tick.get_text() for tick in ax.get_xticklabels()] == ["0.01", "0.1", "1"]


def test_statistics_bars_write_their_share():
    ax = nb02.plot_test_statistics({"training set's": 0.92, "own": 0.094})
    assert [text.get_text() for text in ax.texts] == ["92 %", "9 %"]
    assert_allclose([bar.get_width() for bar in ax.patches], [0.92, 0.094])


def test_own_statistics_standardize_each_group():
    x = np.random.default_rng(0).normal(5, 3, size=(6, 4))
    x_hat = own_statistics(x, [np.array([0, 2, 4]), np.array([1, 3, 5])])
    assert_allclose(x_hat[::2].mean(axis=0), 0, atol=1e-12)
    assert_allclose(x_hat[1::2].std(axis=0), 1)


def test_own_statistics_of_one_row_are_zero():
    x = np.random.default_rng(0).normal(5, 3, size=(3, 4))
    assert (own_statistics(x, np.arange(3).reshape(3, 1)) == 0).all()


@pytest.fixture(scope="module")
def raw_digits():
    data = mnist10k()
    return {"raw": (as_features(data.x_train), as_features(data.x_test))}, data


def test_sweep_rates_scores_each_seed_and_rate(raw_digits):
    scores = sweep_rates(*raw_digits, rates=[0.001, 0.3], seeds=(0, 1), steps=50)["raw"]
    assert scores.shape == (2, 2)
    assert (scores[:, 1] > scores[:, 0]).all()


def test_train_longer_gives_the_net_of_the_first_seed(raw_digits):
    inputs, data = raw_digits
    curves, nets = train_longer(inputs, data, rates={"raw": 0.3}, seeds=(0, 1), steps=50)
    right = nets["raw"](inputs["raw"][1]).argmax(axis=1) == data.y_test
    assert curves["raw"].shape == (2, 2)
    assert_allclose(right.mean(), curves["raw"][0, -1])


def test_a_test_of_training_alone_lets_wrong_ones_slip_through():
    def is_right(standardizer):
        x = np.random.default_rng(0).normal(5, 3, size=(50, 4))
        x_hat_train, _ = standardizer(x, x + 1)
        return bool(np.allclose(x_hat_train.mean(axis=0), 0))

    verdict = next(e for e in EXERCISES if e.id == "2.6").check(is_right)
    assert not verdict.passed
    assert "test set by its own mean" in verdict.text
