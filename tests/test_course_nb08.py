"""Notebook 08: plots and explorer draw the stored runs, measures and verdicts count them."""

import re

import numpy as np
import pytest
from matplotlib.lines import Line2D
from numpy.testing import assert_allclose

import bnlib.numpy as bn
from bnlib.course import check, nb08
from bnlib.course.kit.runs import stored_runs
from bnlib.course.nb08.measures import at_best_rate, status


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


def test_unit_moves_begin_at_zero():
    bands = np.sort(np.random.default_rng(0).normal(size=(2, 4, 3, 8)), axis=2)
    axes = nb08.plot_unit_moves([0, 1000, 2000, 3000], bands)
    fourth = axes[0].lines[1]  # every fourth unit is drawn
    assert_allclose(fourth.get_ydata(), bands[0, 1:, 1, 4] - bands[0, 1, 1, 4])
    assert_allclose([line.get_ydata()[0] for line in axes[1].lines], 0)


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


def test_leads_put_each_seed_on_its_side():
    (ax,) = nb08.plot_leads({"points": {"a": [0.5, -0.2, 0.3]}})
    behind, ahead = ax.lines[2:]
    assert_allclose(behind.get_xdata(), [-0.2])
    assert_allclose(ahead.get_xdata(), [0.5, 0.3])
    assert behind.get_marker() != ahead.get_marker()


def test_leads_draw_the_mean():
    (ax,) = nb08.plot_leads({"points": {"a": [0.5, -0.2, 0.3]}})
    assert_allclose(ax.lines[1].get_xdata(), [0.2])


def test_means_over_rates_leave_out_who_never_arrived():
    steps = np.array([[[1.0, 3.0], [5.0, np.nan], [np.nan, np.nan]]] * 2)
    ax = nb08.plot_means_over_rates([0.1, 1, 10], steps)
    assert_allclose(ax.lines[0].get_ydata(), [2, 5, np.nan])


def test_two_maps_frame_both_nets():
    without, with_bn = np.array([[0.9, 0.1]]), np.array([[0.9, 0.9]])
    ax = nb08.plot_two_maps(without, with_bn, rates=[0.1, 1], stds=[0.1])
    assert {line.get_color() for line in ax.lines} == {"#0072B2", "#D55E00"}


# ── measures ────────────────────────────────────────────────────────────────────────────────────


def test_steps_to_is_the_first_reading():
    accuracy = np.array([[0.1, 0.9, 0.2], [0.1, 0.2, 0.3]])
    assert_allclose(nb08.steps_to(0.85, accuracy, np.array([0, 5, 10])), [5, np.nan])


def test_best_rate_is_never_one_that_a_seed_did_not_reach():
    values = np.array([[30.0, 40.0], [10.0, np.nan], [50.0, 60.0]])
    assert_allclose(at_best_rate(values, lowest=True), [30, 40])


def test_best_rate_is_chosen_by_the_mean():
    assert_allclose(at_best_rate(np.array([[0.9, 0.1], [0.6, 0.6]])), [0.6, 0.6])


@pytest.mark.parametrize(
    ("effects", "unit", "verdict"),
    [
        ([2.0, 3.0], "times", "reproduced"),
        ([1.9, 3.0], "times", "direction only"),
        ([0.9, 3.0], "times", "not at this size"),
        ([0.9, 0.5], "times", "opposite here"),
        ([1.0, 4.0], "points", "reproduced"),
        ([0.0, 4.0], "points", "not at this size"),
        ([-0.1, -4.0], "points", "opposite here"),
        ([0.04, 0.2], "nats", "direction only"),
    ],
)
def test_status_is_that_of_the_worst_seed(effects, unit, verdict):
    assert status(effects, unit) == verdict


def test_sayings_are_one_number_a_seed(runs):
    for row in nb08.sayings(runs):
        for effects in row.effects:
            assert effects is None or (len(effects) in (3, 6) and np.isfinite(effects).all())


def test_verdicts_say_the_same_in_both_forms(runs):
    table = nb08.verdicts(nb08.sayings(runs))
    cells = re.sub(r"<[^>]+>", " ", table.html).split()
    assert cells == table.plain.split()


def test_dropout_nets_are_at_the_rate_that_is_named(runs):
    (best,) = (v for k, v in nb08.dropout_nets(runs).items() if k.startswith("BN, Dropout 0.2"))
    assert_allclose(best, runs["dropout_accuracy"][0, 4, 1, 1, :, 0])  # rate 30
    at_3 = nb08.dropout_nets(runs, rate=3)
    assert_allclose(at_3["neither"], runs["dropout_accuracy"][0, 2, 0, 0, :, 0])


def test_gains_are_of_the_stored_runs(runs):
    many = runs["dropout_accuracy"][1, 2, :, 0, :, 0]  # 8,000 digits, rate 3 is best for both
    assert_allclose(nb08.dropout_gains(runs)["BN alone, 8,000 digits"], many[1] - many[0])


def test_held_lengths_stay_and_the_last_layer_is_left_alone():
    rng = np.random.default_rng(0)
    hidden, last = bn.Linear(5, 4, rng=rng), bn.Linear(4, 3, rng=rng)
    net, length = bn.Sequential(hidden, bn.Sigmoid(), last), np.linalg.norm(hidden.weight)
    shorten = nb08.hold_lengths(net)
    hidden.weight *= 3
    last.weight *= 3
    before = last.weight.copy()
    shorten(1, net, 0.0)
    assert_allclose(np.linalg.norm(hidden.weight), length, rtol=1e-6)
    assert_allclose(last.weight, before)


def test_price_of_a_step_is_that_of_the_second_net():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(120, 5)).astype(np.float32), rng.integers(0, 3, 120)

    def net(width):
        return bn.Sequential(bn.Linear(5, width, rng=rng), bn.Linear(width, 3, rng=rng))

    assert nb08.price_of_a_step([lambda: net(2), lambda: net(2000)], x, y, steps=30, rounds=2) > 1


@pytest.mark.parametrize("answer", [(10, 3), (0.3, 3), (10, 0), 10], ids=repr)
def test_check_sends_another_point_to_where_runs_are_missing(answer):
    assert "some of the three runs have a number and some have none" in check("8.5", answer).text


def test_figure1_shows_the_marks_of_both_nets_in_its_legend(runs):
    live = np.array([50, 100]), np.full((2, 2), 0.5)
    left, _ = nb08.plot_figure1(runs["figure1_steps"], runs["figure1_accuracy"][0], live=live)
    marks = [line.get_marker() for line in left.figure.legends[0].findobj(Line2D)]
    assert {"o", "s"} <= {*marks}
