"""The room of notebook 13: its nets, what it measures down the net and of gradients, its runs."""

import copy
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose

import bnlib.torch as bt
from bnlib.course import nb13
from bnlib.course.kit.asking import exercises_of
from bnlib.course.nb13 import depth, exercises, nets
from bnlib.course.nb13.plots import largest_that_lowers
from bnlib.data import as_features, mnist10k

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def build(data_script):
    return data_script("build_13_runs")


@pytest.fixture(scope="module")
def runs():
    return nb13.stored_runs()


@pytest.fixture
def batch():
    x, y, _, _ = nets.digits()
    return x[:40], y[:40]


# ── the nets and the parts of BN ────────────────────────────────────────────────────────────────


def test_norms_start_from_the_same_weights():
    plain, with_bn = nets.mlp(None, "ReLU", seed=3), nets.mlp(bt.BatchNorm1d, "ReLU", seed=3)
    for one, other in zip(nets.linears(plain), nets.linears(with_bn), strict=True):
        assert torch.equal(one.weight, other.weight)


def test_a_hidden_linear_has_a_bias_only_without_norm():
    assert all(layer.bias is None for layer in nets.linears(nets.mlp(bt.BatchNorm1d))[:-1])
    assert all(layer.bias is not None for layer in nets.linears(nets.mlp(None)))


def test_scale_multiplies_the_hidden_weights_alone():
    one, other = nets.mlp(bt.BatchNorm1d), nets.mlp(bt.BatchNorm1d, scale=0.1)
    assert_allclose(other[0].weight.detach(), 0.1 * one[0].weight.detach(), rtol=1e-6)
    assert torch.equal(one[-1].weight, other[-1].weight)


def test_a_part_with_the_whole_line_is_batch_norm():
    x = torch.randn(12, 5, dtype=torch.float64, requires_grad=True)
    whole = nets.layer_of(lambda x, mean, var: (x - mean) / (var + 1e-5) ** 0.5)(5).double()
    dy = torch.randn(12, 5, dtype=torch.float64)
    (dx,) = torch.autograd.grad(whole(x), x, dy)
    oracle = torch.nn.BatchNorm1d(5).double()
    (wanted,) = torch.autograd.grad(oracle(x), x, dy)
    assert_allclose(dx, wanted, atol=1e-12)
    assert_allclose(whole.running_mean, oracle.running_mean, atol=1e-12)


@pytest.mark.parametrize("name", ["mean detached", "variance detached", "both detached"])
def test_detached_parts_give_batch_norms_output_and_another_gradient(name):
    x = torch.randn(12, 5, dtype=torch.float64, requires_grad=True)
    layer, oracle = nets.NORMS[name](5).double(), torch.nn.BatchNorm1d(5).double()
    assert_allclose(layer(x).detach(), oracle(x).detach(), atol=1e-12)
    dy = torch.randn(12, 5, dtype=torch.float64)
    (dx,), (wanted,) = (torch.autograd.grad(norm(x), x, dy) for norm in (layer, oracle))
    assert (dx - wanted).abs().max() > 0.01


def test_with_statistics_are_those_of_the_digits(batch):
    x, _ = batch
    model = nets.mlp(bt.BatchNorm1d, "ReLU")
    read = nets.with_statistics(model, x)
    assert not read.training
    assert model.training
    assert_allclose(read(x).detach(), model(x).detach(), atol=0.05)  # but for m / (m − 1)
    first = model[0](x)
    assert_allclose(read[1].running_mean, first.mean(dim=0).detach(), atol=1e-6)


@pytest.mark.parametrize("norm", nets.NORMS)
def test_with_statistics_takes_every_norm_and_leaves_the_net_alone(norm, batch):
    model = nets.mlp(nets.NORMS[norm])
    before = copy.deepcopy(model.state_dict())
    read = nets.with_statistics(model, batch[0])
    assert torch.equal(read(batch[0]), read(batch[0]))  # no noise
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())


def test_watch_inputs_keeps_training_alone(batch):
    model = nets.mlp(None)
    seen = nets.watch_inputs(model)
    model(batch[0])
    model.eval()(batch[0])
    assert len(seen) == 1
    x = model[:-2](batch[0])[:, 0]
    assert_allclose(seen[0], (x.mean().item(), x.std().item()), rtol=1e-5)


# ── the gradient's shift ────────────────────────────────────────────────────────────────────────


def test_below_gives_the_gradients_of_autograd(batch):
    model = nets.mlp(bt.BatchNorm1d, "ReLU").double()
    x, y = batch[0].double(), batch[1]
    at = nets.Below(model, 2, x, y)
    of_below, of_own = at.gradients(at.below, at.own)
    torch.nn.functional.cross_entropy(model(x), y).backward()
    assert_allclose(of_own, nets.linears(model)[2].weight.grad, atol=1e-12)
    own = [p.grad.flatten() for layer in model[:6] for p in layer.parameters()]
    assert_allclose(of_below, torch.cat(own), atol=1e-12)


def test_below_leaves_the_net_alone(batch):
    model = nets.mlp(bt.BatchNorm1d, "ReLU")
    before = copy.deepcopy(model.state_dict())
    nets.shift(model, *batch, exercises.before_and_after, rate=0.1)
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())


def test_rates_that_move_move_each_weight_matrix_by_the_share(batch):
    at = nets.Below(nets.mlp(bt.BatchNorm1d, "ReLU"), 2, *batch)
    step = at.rates_that_move(0.01) * at.gradients(at.below, at.own)[0]
    first = at.below[: 784 * 100]
    assert_allclose((step[: 784 * 100].norm() / first.norm()).item(), 0.01, rtol=1e-4)
    assert (step[784 * 100 : 784 * 100 + 200] == 0).all()  # γ and β of the first norm


def test_nothing_moved_is_no_shift(batch):
    model = nets.mlp(None, "ReLU")
    change, cosine = nets.shift(model, *batch, exercises.before_and_after, rate=0.0)
    assert_allclose([change, cosine], [0, 1], atol=1e-5)


@pytest.mark.parametrize("norm", [None, bt.BatchNorm1d])
def test_near_loss_1_is_near_it_and_says_how_near(norm):
    x, y, _, _ = nets.digits()
    model, loss = nets.near_loss_1(norm, x, y, seed=5)
    assert_allclose(loss, torch.nn.functional.cross_entropy(model(x[:200]), y[:200]).item())
    assert abs(loss - 1) < 0.15


def test_loss_after_one_step_is_that_of_the_step(batch):
    model = nets.mlp(None, "ReLU")
    (ratio,) = nets.loss_after_one_step(model, *batch, [0.02])
    before = torch.nn.functional.cross_entropy(model(batch[0]), batch[1])
    optimizer = torch.optim.SGD(model.parameters(), 0.02)
    before.backward()
    optimizer.step()
    after = torch.nn.functional.cross_entropy(model(batch[0]), batch[1])
    assert_allclose(ratio, (after / before).item(), rtol=1e-5)


def test_largest_that_lowers_is_the_last_below_one():
    rates = np.array([0.1, 1.0, 10.0])
    found = largest_that_lowers(rates, np.array([[0.9, 0.8, 2.0], [0.9, 1.2, 0.7]]))
    assert found.tolist() == [1.0, 10.0]


# ── down the net ────────────────────────────────────────────────────────────────────────────────


def _digits(m=24):
    return as_features(mnist10k().x_train[:m])


@pytest.mark.parametrize("norm", depth.AXES)
@pytest.mark.parametrize("activation", depth.ACTIVATIONS)
def test_down_the_net_matches_autograd(activation, norm):
    digits, width, layers = _digits(), 16, 4
    cosines, gradients = depth.down_the_net(digits, layers, activation, norm, width=width)
    acts = {"ReLU": torch.relu, "|x|": torch.abs, "tanh": torch.tanh, "sigmoid": torch.sigmoid}
    z, inputs = torch.tensor(digits, dtype=torch.float64), []
    gain = depth.ACTIVATIONS[activation][2]
    for draw in depth._draws(784, width, layers, 0):
        x = z @ (torch.tensor(draw, dtype=torch.float64) * (gain / len(draw)) ** 0.5)
        inputs.append(x.requires_grad_() if not inputs else x)
        if norm == "BN":
            x = torch.nn.functional.batch_norm(x, None, None, training=True, eps=1e-12)
        if norm == "LN":
            x = torch.nn.functional.layer_norm(x, (width,), eps=1e-12)
        z = acts.get(activation, lambda x: x)(x)
    dz = np.random.default_rng([0, 1]).standard_normal(tuple(z.shape), dtype=np.float32)
    found = torch.autograd.grad(z, inputs, torch.tensor(dz, dtype=torch.float64))
    lengths = np.array([g.norm().item() for g in found])
    assert_allclose(gradients, lengths / lengths[-1], rtol=1e-3)
    pairs = torch.nn.functional.cosine_similarity(z[:, None], z[None], dim=2)
    mean = pairs[~torch.eye(len(z), dtype=bool)].mean().item()
    assert_allclose(cosines[-1], mean, atol=1e-4)


@pytest.mark.parametrize(
    ("activation", "cosine", "factor"),
    [
        ("ReLU", 1 / np.pi, np.pi / (np.pi - 1)),
        ("|x|", 2 / np.pi, np.pi / (np.pi - 2)),
        ("linear", 0, 1),
    ],
)
def test_wide_net_is_as_derived(activation, cosine, factor):
    assert_allclose(depth.in_a_wide_net(activation), (cosine, factor), atol=1e-9)


@pytest.mark.parametrize("activation", depth.ACTIVATIONS)
def test_wide_net_is_the_mean_over_many_normal_numbers(activation):
    g, slope, _ = depth.ACTIVATIONS[activation]
    x = np.random.default_rng(0).normal(size=1_000_000)
    share = g(x).mean() ** 2 / (g(x) ** 2).mean()
    factor = (slope(x) ** 2).mean() / g(x).var()
    assert_allclose(depth.in_a_wide_net(activation), (share, factor), atol=0.01)


def test_factor_per_layer_of_a_steady_growth():
    gradients = 1.5 ** (np.arange(12)[::-1] / 2)
    assert_allclose(depth.factor_per_layer(gradients), 1.5)


# ── residual nets and lengths ───────────────────────────────────────────────────────────────────


def test_variances_are_those_on_the_way(batch):
    model = nets.residual_net(3, norm=bt.BatchNorm1d, width=16)
    found = nets.variances(model, batch[0], 3)
    assert_allclose(found[0], model[0](batch[0]).var(dim=0, correction=0).mean().item(), rtol=1e-5)
    assert_allclose(found[3], model[:4](batch[0]).var(dim=0, correction=0).mean().item(), rtol=1e-5)


def test_skip_init_is_the_net_without_blocks_at_the_start(batch):
    model = nets.residual_net(3, block=nets.SkipInit, width=16)
    without = torch.nn.Sequential(model[0], *model[-2:])
    assert torch.equal(model(batch[0]), without(batch[0]))


def test_hold_lengths_brings_them_back(batch):
    model = nets.mlp(bt.BatchNorm1d, "ReLU")
    hold, before = nets.hold_lengths(model), [w.norm().item() for w in nets.hidden_weights(model)]
    bt.fit(model, *batch, steps=1, batch_size=40, rng=0, progress=False, callback=hold,
           optimizer=nets.two_rates(model, 100.0))  # fmt: skip
    assert_allclose([w.norm().item() for w in nets.hidden_weights(model)], before, rtol=1e-5)


def test_turning_measures_the_angle(batch):
    model = nets.mlp(bt.BatchNorm1d, "ReLU")
    turning, before = nets.Turning(model), model[0].weight.detach().clone()
    bt.fit(model, *batch, steps=1, batch_size=40, rng=0, progress=False, callback=turning, lr=1.0)
    now = model[0].weight.detach()
    cosine = torch.nn.functional.cosine_similarity(before.flatten(), now.flatten(), dim=0)
    assert_allclose(turning.angles[0][0], np.arccos(cosine.item()), rtol=0.02)
    assert_allclose(turning.cosines[0], np.zeros(6), atol=1e-4)


def test_decayed_leaves_gamma_and_beta_alone_unless_told():
    model = nets.mlp(bt.BatchNorm1d)
    for scales in (False, True):
        weights, rest = nets.decayed(model, 0.1, 0.01, scales=scales).param_groups
        assert weights["weight_decay"] == 0.01
        assert len(weights["params"]) == 4
        assert rest["weight_decay"] == (0.01 if scales else 0.0)


# ── exercises ───────────────────────────────────────────────────────────────────────────────────


def test_noise_of_the_stored_runs_is_the_exercises():
    torch.manual_seed(1)
    ours = nets.Noisy(4)(torch.randn(6, 4))
    torch.manual_seed(1)
    theirs = exercises.NoisyBatchNorm(bt.BatchNorm1d(4))(torch.randn(6, 4))
    assert torch.equal(ours, theirs)


def test_noise_drawn_in_float32_passes():
    class Noisy(torch.nn.Module):
        def __init__(self, norm):
            super().__init__()
            self.norm = norm

        def forward(self, x):
            y, D = self.norm(x), x.shape[1]
            if not self.training:
                return y
            return y * torch.empty(D).uniform_(0.5, 1.5) + torch.empty(D).uniform_(-1, 1)

    for _ in range(5):
        assert exercises_of("13")["13.1"].check(Noisy).passed


def test_own_module_can_be_made_noisy():
    noisy = exercises.NoisyBatchNorm(exercises_of("09")["9.3"].solution(4))
    x = torch.randn(8, 4)
    assert not torch.equal(noisy(x), noisy(x))
    noisy.eval()
    assert torch.equal(noisy(x), noisy(x))


def test_abs_is_derived_as_the_room_computes_it():
    assert_allclose(exercises.cosine_and_factor(), depth.in_a_wide_net("|x|"))


# ── pictures and the explorer ───────────────────────────────────────────────────────────────────


def test_every_figure_says_what_it_shows(runs):
    down = depth.down_the_net(_digits(), 5)
    equal = runs["equal_change"]
    arms = {"BN": runs["brake_accuracy"][1]}
    figures = [
        *nb13.plot_drift({"noisy BN": np.ones((9, 2)), "with BN": np.ones((9, 2))}),
        *nb13.plot_shift({"here": equal[..., 2]}, runs["equal_nets"].tolist()),
        nb13.plot_one_step(runs["step_rates"], {"with BN": runs["step_loss"][0, 1]}),
        *nb13.plot_down({"with BN": down}, cosine=0.3, factor=1.5),
        nb13.plot_variances({"with BN": np.arange(1.0, 9)}, slope=1.0),
        *nb13.plot_rates(runs["brake_rates"], {"": arms}),
        nb13.plot_turning({"a": np.ones((40, 3))}, 0.1),
    ]
    for ax in figures:
        assert any(char.isdigit() for char in ax.bn_alt)


def test_explorer_tells_what_down_the_net_gives():
    digits = _digits(256)
    explorer = nb13.DownTheNet(digits, depth=10, activation="tanh", norm="LN", batch=16)
    cosines, gradients = depth.down_the_net(digits[:16], 10, "tanh", "LN")
    assert f"{cosines[-1]:.2f} after layer 10" in explorer.state_text
    assert f"{gradients[1] / gradients[-1]:.1f} times" in explorer.state_text
    explorer.close()


# ── stored runs ─────────────────────────────────────────────────────────────────────────────────


def test_a_short_run_repeats_the_stored_one(build, runs):
    found = build.measure_one("parts", ("sigmoid, weights 0.1", "variance detached", 0.3, 0))
    assert_allclose(found["accuracy"], runs["parts_accuracy"][0, 6, 2, 0], atol=0.05)


def test_at_best_rate_takes_the_rate_with_the_best_median():
    accuracy = np.array([[0.1, 0.2, 0.9], [0.5, 0.6, 0.4]])  # (rates, seeds)
    assert nb13.best_rate(accuracy) == 1
    assert nb13.at_best_rate(accuracy).tolist() == [0.5, 0.6, 0.4]
    assert nb13.at_best_rate(accuracy, 10 * accuracy).tolist() == [5, 6, 4]
