"""Notebook 08's plots and explorer: they draw the stored runs, and say when a net was lost."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

from bnlib.course import nb08
from bnlib.course.kit.runs import stored_runs


@pytest.fixture(scope="module")
def runs():
    return stored_runs()


@pytest.fixture
def explorer(runs):
    return nb08.LearningRates(runs)


def test_explorer_tells_the_medians_of_the_runs(explorer, runs):
    explorer.set(rate=10.0, kind="sigmoid")
    at_10 = runs["curves_accuracy"][0, :, list(runs["curves_rates"]).index(10.0), :, -1]
    without, with_bn = np.median(at_10, axis=-1)
    assert f"after 3,000 steps {without:.2f} and {with_bn:.2f}" in explorer.state_text


def test_explorer_says_in_how_many_seeds_the_loss_was_lost(explorer):
    explorer.set(rate=3.0, kind="ReLU")
    assert "NaN without BN in 3 of 3 seeds" in explorer.state_text
    assert "NaN with BN" not in explorer.state_text


def test_explorer_draws_every_seed(explorer, runs):
    lines = explorer.still(rate=1.0, kind="ReLU").axes[0].lines
    drawn = np.array([line.get_ydata() for line in lines])
    rate = list(runs["curves_rates"]).index(1.0)
    assert_allclose(drawn, runs["curves_accuracy"][1, :, rate, :, 1:].reshape(6, -1))


def test_figure1_draws_the_median_and_the_live_run():
    steps, accuracy = np.array([0, 50, 1000]), np.linspace(0, 0.9, 18).reshape(2, 3, 3)
    live = np.array([50, 100]), np.array([[0.1, 0.2], [0.7, 0.8]])
    left, right = nb08.plot_figure1(steps, accuracy, live=live)
    assert_allclose(left.lines[0].get_ydata(), accuracy[0, 1])
    assert_allclose(left.lines[1].get_ydata(), live[1][0])
    assert_allclose(right.lines[1].get_ydata(), accuracy[1, 1])


def test_unit_bands_are_the_medians_over_the_units():
    bands = np.sort(np.random.default_rng(0).normal(size=(2, 4, 3, 8)), axis=2)
    axes = nb08.plot_unit_bands(np.arange(4), bands)
    assert_allclose(axes[1].lines[-1].get_ydata(), np.median(bands[1, :, 1], axis=1))
    assert_allclose(axes[0].lines[1].get_ydata(), bands[0, :, 1, 4])  # every fourth unit


def test_over_rates_joins_medians_and_breaks_where_a_seed_has_none():
    values = np.array([[1.0, 2.0, 4.0], [2.0, np.nan, 8.0], [3.0, 3.0, 9.0]])
    (ax,) = nb08.plot_over_rates([0.1, 1, 10], {"one": {"a": values}}, ylabel="steps")
    assert_allclose(ax.lines[-1].get_ydata(), [2, np.nan, 3])
    assert_allclose([line.get_ydata() for line in ax.lines[:3]], values.T)


def test_over_rates_tells_nets_apart_without_color():
    nets = {name: np.ones((2, 3)) for name in "abc"}
    (ax,) = nb08.plot_over_rates([1, 10], {"one": nets}, ylabel="steps")
    assert (
        len({line.get_marker() for line in ax.lines if line.get_marker() not in ("", "None")}) == 3
    )


def test_shares_mark_nets_with_batch_norm_by_shape():
    ax = nb08.plot_shares({"neither": [0.8, 0.9], "BN, Dropout 0.2": [0.7, 0.9]})
    bars, marks = ax.lines[::2], ax.lines[1::2]
    assert marks[0].get_marker() != marks[1].get_marker()
    assert_allclose([bar.get_xdata()[0] for bar in bars], [0.85, 0.8])
