"""Notebook 04: its explorer says what is so, its plots draw what they are given."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

from bnlib.course import nb04
from bnlib.course.nb04.plots import sigmoid, straightness


@pytest.fixture
def h():
    """(500, 3) outputs of three units, each with a mean and a deviation of its own."""
    return np.random.default_rng(0).normal([5.0, -2.0, 0.0], [3.0, 0.1, 1.0], (500, 3))


@pytest.fixture
def explorer(h):
    return nb04.GammaBeta(h, unit=1)


def test_straightness_matches_the_residuals_of_a_fitted_line():
    y = 3 * np.random.default_rng(1).standard_normal(400) + 1
    out = sigmoid(y)
    residual = out - np.polyval(np.polyfit(y, out, 1), y)
    assert_allclose(straightness(y), 1 - residual.var() / out.var(), rtol=1e-10)


@pytest.mark.parametrize(("gamma", "beta"), [(1.0, 0.0), (4.0, -1.5), (-2.0, 3.0)])
def test_explorer_says_that_beta_is_the_mean_and_gamma_the_deviation(explorer, gamma, beta):
    explorer.set(gamma=gamma, beta=beta)
    said = explorer.state_text.replace("\N{MINUS SIGN}", "-")
    assert f"mean {beta:.2f}, deviation {abs(gamma):.2f}." in said


def test_explorer_says_that_gamma_zero_silences_the_unit(explorer):
    explorer.set(gamma=0.0, beta=1.0)
    assert "Every digit gives 0.73" in explorer.state_text


def test_explorer_finds_the_sigmoid_straighter_for_a_smaller_gamma(explorer):
    found = []
    for gamma in (0.5, 1.0, 6.0):
        explorer.set(gamma=gamma)
        found.append(int(explorer.state_text.split("explains ")[1].split("%")[0]))
    assert found[0] >= found[1] > found[2]


def test_explorer_counts_the_saturated_digits(h):
    explorer = nb04.GammaBeta(h, gamma=6.0, unit=2)
    out = sigmoid(6 * (h[:, 2] - h[:, 2].mean()) / h[:, 2].std())
    flat = np.mean((out < 0.02) | (out > 0.98))
    assert f"{flat:.0%} of the digits end" in explorer.state_text


def test_a_negative_gamma_mirrors_what_comes_out(explorer):
    def outputs(gamma):
        art = explorer._live.art
        explorer.set(gamma=gamma)
        return art.outputs.get_data().values

    assert_allclose(outputs(2.0), outputs(-2.0)[::-1])


def test_values_outside_of_the_picture_count_in_its_last_bar(explorer):
    explorer.set(gamma=6.0, beta=6.0)
    assert explorer._live.art.inputs.get_data().values[-1] > 0


def test_sigmoid_inputs_has_one_panel_a_setting(h):
    axes = nb04.plot_sigmoid_inputs(h[:, 2], {"a line": (1, 0), "a switch": (4, 0)})
    assert [ax.get_title(loc="left") or ax.get_title() for ax in axes] == ["a line", "a switch"]


def test_weight_scale_draws_the_law_beside_the_gradient():
    a = np.array([0.1, 1.0, 10.0])
    _, right = nb04.plot_weight_scale(a, np.ones(3), np.array([9.0, 1.0, 0.1]))
    law, measured = (line.get_ydata() for line in right.lines)
    assert_allclose(law, [10, 1, 0.1])
    assert_allclose(measured, [9, 1, 0.1])


def test_learned_marks_every_feature_and_the_start():
    ax = nb04.plot_learned({"sigmoid": (np.array([2.0, 3.0]), np.array([-1.0, 0.5]))})
    features, start = (line.get_xydata() for line in ax.lines)
    assert_allclose(features, [[2, -1], [3, 0.5]])
    assert_allclose(start, [[1, 0]])


def test_accuracies_draws_each_seed_and_their_mean():
    ax = nb04.plot_accuracies({"sigmoid, frozen": [0.8, 0.9], "sigmoid, learned": [0.9, 1.0]})
    mean, seeds = ax.lines[0], ax.lines[1]
    assert_allclose(mean.get_xdata(), [0.85])
    assert_allclose(seeds.get_xdata(), [0.8, 0.9])
    assert ax.lines[1].get_marker() != ax.lines[3].get_marker()
