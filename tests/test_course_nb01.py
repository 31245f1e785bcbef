"""What notebook 01 computes beside its own lines, against slower or other ways to it."""

from copy import deepcopy

import numpy as np
import pytest

import bnlib.numpy as bn
from bnlib.course import nb01
from bnlib.course.kit.figures import description


def net_of(depth, seed=0, width=5):
    rng = np.random.default_rng(seed)
    layers = []
    for _ in range(depth):
        layers += [bn.Linear(width, width, rng=rng, init=1.0, dtype=np.float64), bn.Sigmoid()]
    return bn.Sequential(*layers, bn.Linear(width, 3, rng=rng, init=1.0, dtype=np.float64))


@pytest.fixture
def digits():
    return np.random.default_rng(1).uniform(size=(40, 5))


def mean_x_of_layer_3(net, digits):
    net(digits)
    return net.inputs[5].mean()


def test_slope_matches_finite_differences():
    x = np.linspace(-5, 5, 11)
    steps = (1 / (1 + np.exp(-x - 1e-5)) - 1 / (1 + np.exp(-x + 1e-5))) / 2e-5
    np.testing.assert_allclose(nb01.slope(x), steps, atol=1e-9)


def test_parts_of_drift_gives_all_to_its_own_weights_when_they_alone_change(digits):
    before = net_of(3)
    after = deepcopy(before)
    after[4].weight += 0.3
    together, own, below = nb01.parts_of_drift(before, after, digits)
    moved = mean_x_of_layer_3(after, digits) - mean_x_of_layer_3(before, digits)
    np.testing.assert_allclose([together, own, below], [moved, moved, 0], atol=1e-12)


def test_parts_of_drift_gives_all_to_the_layers_below_when_they_alone_change(digits):
    before = net_of(3)
    after = deepcopy(before)
    after[0].weight += 0.3
    after[2].bias -= 0.5
    together, own, below = nb01.parts_of_drift(before, after, digits)
    moved = mean_x_of_layer_3(after, digits) - mean_x_of_layer_3(before, digits)
    np.testing.assert_allclose([together, own, below], [moved, 0, moved], atol=1e-12)


def test_relative_change_is_one_number_per_linear_layer():
    before = net_of(3)
    after = deepcopy(before)
    after[2].weight *= 1.5
    np.testing.assert_allclose(nb01.relative_change(before, after), [0, 0.5, 0, 0], atol=1e-12)


def test_kept_compares_the_outputs_of_the_last_layer_with_the_first(digits):
    net = net_of(2)
    net(digits)
    first, last = (np.median(net.inputs[i].std(axis=0)) for i in (2, 4))  # z: what Linear gets
    assert nb01.kept([net.inputs[1], net.inputs[3]]) == pytest.approx(last / first)


def test_by_setting_reads_rows_as_scales_and_columns_as_rates():
    table = np.arange(6).reshape(2, 3)
    assert nb01.by_setting(table, [0.1, 1.0], [1, 3, 10])[1.0, 3.0] == 4


def test_with_a_fault_spoils_the_layer_that_the_exercise_names():
    sound, faulty = net_of(6), nb01.with_a_fault(net_of(6))
    ratios = [np.abs(faulty[i].weight / sound[i].weight).mean() for i in range(0, 13, 2)]
    np.testing.assert_allclose(ratios, [1, 1, 1, 0.1, 1, 1, 1], rtol=1e-6)


def test_plot_layer_drift_ends_where_it_is_told_to():
    x = np.random.default_rng(2).normal(size=(6, 7, 8))
    axes = nb01.plot_layer_drift(np.arange(0, 300, 50), [x, x], until=200)
    assert len(axes) == 2
    assert "training step, 0 to 200." in description(axes)


def test_plot_by_layer_says_every_value():
    text = description(nb01.plot_by_layer({"sound": [0.1, 0.02, 0.3]}, ylabel="gradient"))
    assert "Sound: 0.1, 0.02 and 0.3." in text or "sound: 0.1, 0.02 and 0.3." in text
