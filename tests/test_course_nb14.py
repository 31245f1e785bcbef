"""Notebook 14: its norms and nets do what the page says, its runs are the script's."""

from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal

import bnlib.numpy as bn
import bnlib.torch as bt
from bnlib.course import nb14
from bnlib.course.kit.asking import find
from bnlib.course.nb14 import exercises, nets
from bnlib.course.nb14.explorer import GRID, WAYS
from bnlib.course.nb14.plots import HOLLOW, STYLES, shares_mean_with_marked

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def build(data_script):
    return data_script("build_14_runs")


@pytest.fixture
def runs():
    return nb14.stored_runs()


@pytest.fixture
def images():
    return torch.randn(6, 1, 28, 28, generator=torch.Generator().manual_seed(1))


def random(*shape, seed=0):
    return torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


# ── norms ───────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("shape", [(6, 3), (5, 3, 4, 2)], ids=["rows", "images"])
def test_batch_renorm_matches_numpys(shape):
    layer = nets.BatchRenorm(3, warm=1).double()
    layer.steps = 1  # bounds open
    mean, var = np.zeros(3), np.ones(3)
    for seed in range(3):
        x = 2 * random(*shape, seed=seed) + 1
        wanted, _ = bn.batch_renorm(x.numpy(), None, None, mean, var)
        assert_allclose(layer(x).detach(), wanted, atol=1e-10)
    assert_allclose(layer.running_mean, mean, atol=1e-10)
    assert_allclose(layer.running_var, var, atol=1e-10)


def test_batch_renorm_gradient_matches_numpys():
    layer = nets.BatchRenorm(3, warm=1).double()
    layer.steps = 1
    x, dy = random(6, 3).requires_grad_(), random(6, 3, seed=1)
    (dx,) = torch.autograd.grad(layer(x), x, dy)
    _, cache = bn.batch_renorm(x.detach().numpy(), None, None, np.zeros(3), np.ones(3))
    assert_allclose(dx, bn.batch_renorm_backward(dy.numpy(), cache)[0], atol=1e-10)


def test_batch_renorm_begins_as_batch_norm():
    x = 3 * random(6, 3) + 2
    y = nets.BatchRenorm(3).double()(x)
    assert_allclose(y.detach(), bt.batch_norm(x, None, None, training=True), atol=1e-10)


def test_rms_of_example_matches_torch():
    x = random(4, 3, 5, 2)
    wanted = torch.nn.functional.rms_norm(x, x.shape[1:], eps=1e-5)
    assert_allclose(nets.RMSOfExample(3).double()(x).detach(), wanted, atol=1e-10)


def test_dynamic_tanh_is_its_formula():
    layer, x = nets.DynamicTanh(3).double(), random(4, 3, 5, 2)
    with torch.no_grad():
        layer.alpha += 0.2
        layer.weight += torch.arange(3)
    wanted = torch.arange(1, 4).view(-1, 1, 1) * torch.tanh(layer.alpha * x)
    assert_allclose(layer(x).detach(), wanted.detach(), atol=1e-7)


def test_standardized_weights_have_mean_0_and_variance_1_over_fan_in():
    weight = nets.standardized(3 * random(4, 3, 5, 5) + 1, eps=0)
    assert_allclose(weight.mean((1, 2, 3)), np.zeros(4), atol=1e-12)
    assert_allclose(weight.var((1, 2, 3), correction=0), np.full(4, 1 / 75), rtol=1e-9)


def test_last_axis_norms_features_that_lie_last():
    x = random(4, 6, 5)
    y = nets.NORMS_LAST["BN"](5).double()(x)
    assert_allclose(y.detach().mean((0, 1)), np.zeros(5), atol=1e-12)


@pytest.mark.parametrize(
    ("name", "axes", "centred"),
    [("batch_norm", (0, 2, 3), True), ("rms_norm", (1, 2, 3), False)],
)
def test_differences_are_those_between_norms(name, axes, centred):
    right = nets.differences(name, exercises.normalize_over, axes, 1e-5, centred)
    wrong = nets.differences(name, exercises.normalize_over, (2, 3), 1e-5, centred)
    assert max(right.values()) < 1e-10
    assert min(wrong.values()) > 0.1


def test_group_norm_by_hand_has_the_libraries_gradients():
    found = nets.differences("group_norm", lambda x, g, b: exercises.group_norm(x, 2, g, b, 1e-5))
    assert max(found.values()) < 1e-10
    wrong = nets.differences("group_norm", lambda x, g, b: exercises.group_norm(x, 3, g, b, 1e-5))
    assert min(wrong.values()) > 0.1


# ── nets ────────────────────────────────────────────────────────────────────────────────────────

MAKERS = {
    "mlp": (nets.mlp, nets.NORMS_1D), "conv": (nets.conv_net, nets.NORMS_2D),
    "residual": (nets.residual_net, nets.NORMS_1D),
    "transformer": (nets.Transformer, nets.NORMS_LAST),
}  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "norm"), [(kind, norm) for kind, (_, norms) in MAKERS.items() for norm in norms]
)
def test_nets_read_images_with_each_norm(kind, norm, images):
    make, norms = MAKERS[kind]
    assert make(norms[norm])(images).shape == (6, 10)


@pytest.mark.parametrize("name", nets.REPLACEMENTS)
def test_replacements_read_images(name, images):
    assert nets.REPLACEMENTS[name](0)(images).shape == (6, 10)


@pytest.mark.parametrize("norm", ["none", "LN", "BN", "BN per step"])
def test_recurrent_net_reads_sequences_of_any_length(norm, images):
    model = nets.Recurrent(norm)
    assert model(images).shape == (6, 10)
    longer = nets.blank_first(images.flatten(1, 2), 20)[:, None]
    assert model.eval()(longer).shape == (6, 10)


def test_own_group_norm_matches_torchs(images):
    own = nets.OwnGroupNorm(exercises.group_norm, 8)
    x = nets.conv_net()[0](images)
    assert_allclose(own(x).detach(), torch.nn.GroupNorm(2, 8)(x).detach(), atol=1e-5)


def test_before_norms_is_what_they_get(images):
    model, seen = nets.conv_net(bt.BatchNorm2d).eval(), []
    model[4].register_forward_pre_hook(lambda layer, given: seen.append(given[0].detach()))
    model(images)
    assert_allclose(nets.before_norms(model, images)[1], seen[0], atol=1e-6)


def test_accuracy_by_batch_leaves_the_model_alone(images):
    model = nets.conv_net(bt.BatchNorm2d).eval()
    nets.accuracy_by_batch(model, images, torch.arange(6), 3)
    assert not model.training
    assert (nets.batch_norms(model)[0].running_mean == 0).all()


def test_accuracy_by_batch_uses_the_batchs_statistics(images):
    model = nets.conv_net(bt.BatchNorm2d)
    said = torch.cat([model(part).argmax(1) for part in images.split(2)])
    assert nets.accuracy_by_batch(model, images, said, 2) == 1


def test_corners_are_the_batchs_own(images):
    layer = torch.nn.Sequential(nets.conv_net()[0], bt.BatchNorm2d(8))
    found = nets.corners(layer, images, 1, size=3)
    assert_allclose(found[1], layer(images[3:])[1, :, 0, 0].detach(), atol=1e-6)


def test_gradient_of_first_is_that_of_its_loss_alone(images):
    conv, y = nets.conv_net(), torch.arange(6)
    found = nets.gradient_of_first(conv, images, y)
    torch.nn.functional.cross_entropy(conv(images[:1]), y[:1]).backward()
    assert_allclose(found, conv[0].weight.grad, atol=1e-6)


def test_gradient_of_first_leaves_the_model_alone(images):
    model = nets.conv_net(bt.BatchNorm2d).eval()
    nets.gradient_of_first(model, images, torch.arange(6))
    assert not model.training
    assert (nets.batch_norms(model)[0].running_mean == 0).all()


@pytest.mark.parametrize("part", ["mlp", "replacements", "residual", "transformer"])
def test_each_norm_has_a_look_of_its_own(runs, part):
    looks = [
        (STYLES[name]["color"], STYLES[name]["marker"]) for name in nb14.by_norm(runs, part, 0)
    ]
    assert len(set(looks)) == len(looks)


def test_each_norm_of_the_longest_list_has_a_colour_or_a_fill_of_its_own(runs):
    names = nb14.by_norm(runs, "replacements", 1)
    looks = {(STYLES[name]["color"], name in HOLLOW) for name in names}
    assert len(looks) == len(names) == 9


def test_batches_hold_so_many_classes():
    y = np.arange(600) % 10
    batches = nets.batches_of_classes(y, 2, 40, np.random.default_rng(0))
    labels = [y[next(batches)] for _ in range(20)]
    assert {len(set(found.tolist())) for found in labels} == {2}
    assert len({tuple(set(found.tolist())) for found in labels}) > 5


def test_clipped_sgd_takes_steps_of_bounded_length():
    weight = torch.nn.Parameter(torch.zeros(3))
    optimizer = nets.ClippedSGD([weight], 0.5)
    weight.grad = torch.tensor([30.0, 0.0, 40.0])
    optimizer.step()
    assert_allclose(weight.detach(), [-0.3, 0, -0.4], atol=1e-5)


def test_light_stays_between_0_and_1(images):
    x = images.sigmoid()
    changed = nets.in_other_light(x, contrast=0.5, brightness=0.4, noise=0.3)
    assert changed.min() >= 0
    assert changed.max() <= 1
    assert_array_equal(nets.in_other_light(x), x)


def test_moved_brings_the_ink_down():
    x = torch.zeros(1, 1, 28, 28)
    x[0, 0, 10, 12] = 1
    assert nets.moved(x, 3)[0, 0, 13, 12] == 1


def test_blurred_keeps_the_ink_inside():
    x = torch.zeros(1, 1, 28, 28)
    x[0, 0, 10, 12] = 1
    assert_allclose(nets.blurred(x)[0, 0, 8:13, 10:15], np.full((5, 5), 0.04), atol=1e-7)


# ── exercises ───────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("test", "word"),
    [
        (exercises._others_alone, "over all steps"),
        (exercises._future_alone, "other sequences"),
        (lambda layer: True, "over sequences and steps"),
    ],
)
def test_weak_tests_are_told_what_slips_through(test, word):
    verdict = find("14.5").check(test)
    assert verdict.status == "not yet"
    assert word in verdict.text


def test_a_test_that_forbids_its_own_past_is_a_false_alarm():
    def alone(layer):
        x = torch.randn(4, 6, 5)
        changed = x.clone()
        changed[0, :2] += 1
        return torch.allclose(layer(changed)[0, :3], layer(x)[0, :3])

    assert "False alarm" in find("14.5").check(alone).text


def test_transformers_of_one_token_at_a_time_keep_to_their_past():
    for name, clean in (("LN", True), ("RMS", True), ("DyT", True), ("BN", False)):
        block = nets.TransformerBlock(5, nets.NORMS_LAST[name], causal=True, heads=1)
        assert exercises.sees_only_its_past(block) == clean


# ── pictures and the explorer ───────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(("name", "count"), [("BN", 9), ("LN", 12), ("IN", 3), ("GN", 6)])
def test_sets_fill_the_values_that_share_a_mean(name, count):
    assert shares_mean_with_marked(name).sum() == count


def test_explorer_says_the_stored_medians(runs):
    explorer = nb14.OtherLight(runs, contrast=0.6, brightness=0.2, noise=0.1)
    where = [grid.index(v) for grid, v in zip(GRID, (0.6, 0.2, 0.1), strict=True)]
    found = np.median(runs["light_grid"][:, *where], axis=0)
    assert f"BN, stored {found[0]:.2f}" in explorer.state_text
    assert f"GN {found[3]:.2f}" in explorer.state_text


def test_explorers_grid_is_the_stored_one(runs):
    stored = (runs["contrasts"], runs["brightnesses"], runs["noises"])
    for grid, values in zip(GRID, stored, strict=True):
        assert_allclose(grid, values)
    assert set(WAYS) <= set(runs["ways"].tolist())


def test_at_best_rate_takes_the_rate_with_the_best_median():
    accuracy = np.array([[[0.1, 0.9, 0.2], [0.5, 0.4, 0.3]]])  # (1, rates, seeds)
    assert_array_equal(nb14.at_best_rate(accuracy), [[0.5, 0.4, 0.3]])


def test_runs_are_told_by_norm(runs):
    assert {name: v.shape for name, v in nb14.longer(runs).items()} == {"BN": (3, 3), "GN": (3, 3)}
    assert set(nb14.of_classes(runs)) == {10, 2, 1}
    by_rate = runs["sequences_accuracy"][1]  # LN: (rate, seed, blanks)
    best = np.median(by_rate[..., 0], axis=1).argmax()
    assert_array_equal(nb14.after_blanks(runs)[20]["LN"], by_rate[best, :, 2])


def test_every_figure_says_what_it_shows(runs):
    mlp = nb14.by_norm(runs, "mlp", 0)
    figures = [
        *nb14.plot_sets(),
        *nb14.plot_sizes({"MLP": (runs["mlp_sizes"], mlp)}),
        nb14.plot_table(np.eye(2), ["a", "b"], ["c", "d"]),
        *nb14.plot_strips({"left": {"BN": np.array([0.25, 0.75])}}, live=[("left", "BN", 0.5)]),
    ]
    for thing in figures:
        assert any(char.isdigit() for char in thing.bn_alt)


# ── stored runs ─────────────────────────────────────────────────────────────────────────────────


def test_a_short_run_repeats_the_stored_one(build, runs):
    again = build.train_one(("mlp", "LN", 2, 0, 0))["accuracy"][0]
    assert_allclose(again, runs["mlp_accuracy"][1, 0, 0, 0, 0], atol=0.06)
