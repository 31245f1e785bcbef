"""Notebook 10: its nets do what the page says, its runs are the script's, its pictures are true."""

from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose

import bnlib.torch as bt
from bnlib.course import nb10
from bnlib.course.kit.asking import find
from bnlib.course.nb09.exercises import BatchNormModule
from bnlib.course.nb10 import exercises, nets
from bnlib.course.nb10.plots import SETS, shares_mean_with_marked

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def build(data_script):
    return data_script("build_10_runs")


@pytest.fixture
def runs():
    return nb10.stored_runs()


@pytest.fixture
def images():
    return torch.randn(6, 1, 28, 28, generator=torch.Generator().manual_seed(1))


# ── nets ────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("norm", [None, *nets.SHARED], ids=str)
def test_conv_net_reads_digits_with_each_norm(norm, images):
    assert nets.conv_net(norm)(images).shape == (6, 10)


def test_conv_net_has_a_bias_only_where_no_norm_follows():
    with_bias = [layer.bias is not None for layer in nets.conv_net() if hasattr(layer, "stride")]
    without = [layer.bias for layer in nets.conv_net("N") if hasattr(layer, "stride")]
    assert all(with_bias)
    assert without == [None] * 5


def test_conv_net_draws_hes_weights():
    weight = nets.conv_net(seed=3)[8].weight  # 32 × 32 × 3 × 3
    assert_allclose(weight.std().item(), (2 / 288) ** 0.5, rtol=0.05)


def test_per_pixel_matches_a_mean_over_the_images():
    x = torch.randn(5, 3, 4, 4)
    y = nets.PerPixel(3, 4)(x)
    assert_allclose(y.detach().mean(0), np.zeros((3, 4, 4)), atol=1e-6)


def test_moved_brings_the_ink_along():
    x = torch.zeros(1, 1, 28, 28)
    x[0, 0, 10, 12] = 1
    assert nets.moved(x, right=3, down=-2)[0, 0, 8, 15] == 1
    assert nets.moved(x, right=4).sum() == 1


def test_moved_loses_what_leaves_the_image():
    x = torch.ones(1, 1, 28, 28)
    assert nets.moved(x, right=4)[..., :4].sum() == 0


def test_effective_number_counts_independent_values():
    x = torch.randn(4000, 2, 4, 4, generator=torch.Generator().manual_seed(0))
    assert_allclose(nets.effective_number(x), [16, 16], rtol=0.15)


def test_effective_number_counts_equal_values_once():
    x = torch.randn(50, 2, 1, 1).expand(50, 2, 4, 4)
    assert_allclose(nets.effective_number(x), [1, 1], rtol=1e-5)


def test_convolved_gives_what_each_batch_norm_gets(images):
    model = nets.conv_net("N, H, W")
    seen = []
    model[7].register_forward_pre_hook(lambda layer, args: seen.append(args[0].detach()))
    model.train()(images)
    assert_allclose(nets.convolved(model, images)[2], seen[0], atol=1e-5)


def test_convolved_leaves_running_statistics_alone(images):
    model = nets.conv_net("N, H, W")
    nets.convolved(model, images)
    assert all((norm.running_mean == 0).all() for norm in nets.norms_of(model))


@pytest.mark.parametrize("norm", ["N, H, W", "N"])
def test_largest_x_hat_is_the_layers_own_output(norm, images):
    model = nets.with_statistics(nets.conv_net(norm), images.repeat(10, 1, 1, 1)).eval()
    x_hat = model[:2](images)  # γ = 1, β = 0
    assert_allclose(nets.largest_x_hat(model, images), x_hat.abs().max().item(), rtol=1e-5)


@pytest.mark.parametrize("which", nets.TRAINED)
def test_optimizer_changes_no_more_numbers_than_it_says(which, images):
    model = nets.conv_net("N, H, W")
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    optimizer, count = nets.optimizer_of(model, which, 0.1)
    torch.nn.functional.cross_entropy(model(images), torch.arange(6)).backward()
    optimizer.step()
    changed = sum((p != before[name]).sum() for name, p in model.named_parameters())
    assert 0.5 * count < changed <= count


def test_pruned_silences_a_share_of_every_layer(images):
    model = nets.conv_net("N, H, W")
    with torch.no_grad():
        for norm in nets.norms_of(model):
            norm.weight.copy_(torch.rand(len(norm.weight)) + 0.1)
    norms = nets.norms_of(nets.pruned(model, 0.25, "smallest"))
    assert [(norm.weight == 0).sum().item() for norm in norms] == [2, 4, 4, 8, 8]
    assert all(norm.weight[norm.weight > 0].min() > 0.1 for norm in norms)
    assert all((norm.weight > 0).all() for norm in nets.norms_of(model))


def test_with_statistics_is_a_copy(images):
    model = nets.conv_net("N, H, W")
    other = nets.with_statistics(model, images.repeat(10, 1, 1, 1))
    assert (nets.norms_of(model)[0].running_mean == 0).all()
    assert (nets.norms_of(other)[0].running_mean != 0).any()


def test_with_statistics_takes_the_learners_module(images):
    class OwnBatchNorm2d(torch.nn.Module):
        def __init__(self, channels, side):
            super().__init__()
            self.norm = BatchNormModule(channels)

        def forward(self, x):
            return exercises.batch_norm_2d(x, self.norm)

    own, ours = nets.conv_net(OwnBatchNorm2d), nets.conv_net("N, H, W")
    many = images.repeat(10, 1, 1, 1)
    read = [nets.with_statistics(net, many).eval()(images) for net in (own, ours)]
    assert_allclose(read[0].detach(), read[1].detach(), atol=1e-4)


def test_same_numbers_sees_a_wrong_layer():
    right = nets.numbers_of(bt.BatchNorm2d(3))
    assert nets.same_numbers(right, nets.numbers_of(torch.nn.BatchNorm2d(3)))
    assert not nets.same_numbers(right, nets.numbers_of(bt.BatchNorm2d(3, momentum=0.2)))
    assert not nets.same_numbers(right, nets.numbers_of(bt.BatchNorm2d(3, eps=1e-3)))


# ── exercises ───────────────────────────────────────────────────────────────────────────────────


def test_convolve_matches_torch():
    u, weight = torch.randn(2, 3, 5, 4), torch.randn(6, 3, 3, 3)
    wanted = torch.nn.functional.conv2d(u, weight, padding=1)
    assert_allclose(exercises.convolve(u, weight.flatten(1)), wanted, atol=1e-5)


def test_batch_norm_2d_matches_torch():
    x = torch.randn(4, 3, 5, 2, dtype=torch.float64)
    by_rows = exercises.batch_norm_2d(x, torch.nn.BatchNorm1d(3).double())
    assert_allclose(by_rows.detach(), torch.nn.BatchNorm2d(3).double()(x).detach(), atol=1e-12)


@pytest.mark.parametrize(
    ("turn", "over"), [(1, (0,)), (2, (0, 3)), (3, (0, 2))], ids=["pixel", "row", "column"]
)
def test_layers_to_be_tested_are_what_their_names_say(turn, over):
    layer = find("10.6").wrong[turn].wrong()
    x = torch.randn(40, 3, 6, 5) + torch.randn(1, 3, 6, 5)
    assert_allclose(layer(x).mean(over), np.zeros_like(x.mean(over)), atol=1e-5)
    fewer = [axis for axis in over if axis != 0] or [1]
    assert layer(x).mean(fewer).abs().max() > 0.1


@pytest.mark.parametrize(
    ("test", "word"),
    [
        (exercises._whole_batch_moved, "per pixel"),
        (exercises._moved_along(2), "per column"),
        (exercises._moved_along(3), "per row"),
        (lambda make_layer: True, "per pixel"),
    ],
)
def test_weak_tests_are_told_what_slips_through(test, word):
    verdict = find("10.6").check(test)
    assert verdict.status == "not yet"
    assert word in verdict.text


def test_a_test_of_the_unmoved_output_is_a_false_alarm():
    def alike(make_layer):
        layer, x = make_layer(), torch.randn(8, 3, 6, 5)
        return torch.allclose(layer(x.roll(1, 2)), layer(x), atol=1e-4)

    assert "False alarm" in find("10.6").check(alike).text


# ── pictures and the explorer ───────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("name", "count"), [("N, H, W", 18), ("N", 3), ("H, W", 6), ("C, H, W", 12), ("none", 0)]
)
def test_block_fills_the_values_that_share_a_mean(name, count):
    assert shares_mean_with_marked(name).sum() == count


def test_block_is_the_mean_that_torch_takes():
    """The filled cells are those that move the marked value's x̂ when they change alone."""
    x = torch.randn(3, 2, 1, 6, dtype=torch.float64, requires_grad=True)
    bt.BatchNorm2d(2).double()(x)[1, 0, 0, 2].backward()
    assert ((x.grad[:, :, 0] != 0).numpy() == shares_mean_with_marked("N, H, W")).all()


def test_moved_plot_draws_the_medians(runs):
    moved = nb10.moved_at_best_rate(runs)
    lines = nb10.plot_moved(moved).lines
    for line, values in zip(lines, moved.values(), strict=True):
        assert_allclose(line.get_ydata(), np.median(values, axis=0))


@pytest.mark.parametrize("mean", SETS.values())
def test_explorer_tells_the_medians_of_the_runs(runs, mean):
    explorer = nb10.WhoseMean(runs, mean=mean, pixels=3)
    name = next(name for name, label in SETS.items() if label == mean)
    middle = np.median(nb10.moved_at_best_rate(runs)[name], axis=0)
    assert f"{middle[3]:.2f} read rightly, {middle[0]:.2f} unmoved" in explorer.state_text


@pytest.mark.parametrize("pixels", [0, 3])
def test_explorer_shows_no_farther_than_the_digits_are_moved(runs, pixels):
    """It opens before exercise 10.3 is settled."""
    explorer = nb10.WhoseMean(runs, pixels=pixels)
    lines = explorer.still(pixels=pixels).axes[1].lines
    assert max(np.max(line.get_xdata()) for line in lines) == pixels


def test_every_figure_says_what_it_shows(runs):
    accuracy = runs["rates_accuracy"][..., -1]
    for thing in (
        nb10.plot_block(),
        nb10.plot_moved(nb10.moved_at_best_rate(runs)),
        nb10.plot_values(runs["values_values"]),
        nb10.plot_strips({"a": np.array([0.25, 0.75])}, xlabel="share"),
    ):
        assert any(char.isdigit() for char in thing.bn_alt)
    for ax in nb10.plot_rates(runs["rates"], accuracy, ["torch", "He"]):
        assert "medians" in ax.bn_alt


# ── stored runs ─────────────────────────────────────────────────────────────────────────────────


def test_a_short_run_repeats_the_stored_one(build, runs):
    short = build.train("N, H, W", 0.3, seed=0, steps=(100,))
    assert_allclose(short["accuracy"][0], runs["rates_accuracy"][1, 1, 4, 0, 0], atol=0.06)
