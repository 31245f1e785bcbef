"""Notebook 11: its nets do what the page says, its runs are the script's, its pictures are true."""

import importlib.util
import json
import logging
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from numpy.testing import assert_allclose

import bnlib.torch as bt
from bnlib import course
from bnlib.course import nb11
from bnlib.course.kit.asking import find
from bnlib.course.nb11 import exercises, nets, shipping
from bnlib.course.nb11.plots import momentum_names

ROOT = Path(__file__).resolve().parents[1]
needs_onnx = pytest.mark.skipif(
    any(importlib.util.find_spec(name) is None for name in shipping.PACKAGES),
    reason="the extra `onnx` is not installed",
)


@pytest.fixture(scope="module")
def build(data_script):
    return data_script("build_11_runs")


@pytest.fixture
def runs():
    return nb11.stored_runs()


@pytest.fixture
def images():
    return torch.rand(70, 1, 28, 28, generator=torch.Generator().manual_seed(1))


@pytest.fixture
def labels():
    return torch.arange(70) % 10


@pytest.fixture
def net():
    return nets.with_random_statistics(nets.conv_net())


# ── nets ────────────────────────────────────────────────────────────────────────────────────────


def test_conv_net_is_that_of_notebook_10():
    from bnlib.course.nb10 import nets as other

    ours, theirs = nets.conv_net(), other.conv_net("N, H, W")
    assert [p.shape for p in ours.parameters()] == [p.shape for p in theirs.parameters()]


def test_recomputed_is_a_copy(images):
    model = nets.conv_net()
    other = nets.recomputed(model, images)
    assert (nets.norms_of(model)[0].running_mean == 0).all()
    assert (nets.norms_of(other)[0].running_mean != 0).all()


@pytest.mark.parametrize("kind", [{}, {"bias": False, "groups": 2}, {"stride": 2}], ids=str)
def test_folded_by_matches_the_pair(kind):
    pair = nets.random_pair(torch.nn.Conv2d(4, 6, 3, **kind))
    folded = nets.folded_by(exercises.fold_conv, pair)
    u = torch.randn(5, 4, 7, 6, dtype=torch.float64)
    assert_allclose(folded(u).detach(), pair(u).detach(), atol=1e-12)
    assert not nets.norms_of(folded)
    assert len(nets.norms_of(pair)) == 1


def test_folded_by_matches_fuse_on_the_net(net, images):
    folded, fused = nets.folded_by(exercises.fold_conv, net), bt.fuse(net)
    assert_allclose(folded(images).detach(), fused(images).detach(), rtol=1e-4, atol=1e-4)


def test_rounded_to_many_bits_is_the_net(net, images):
    assert_allclose(nets.rounded(net, 20)(images).detach(), net(images).detach(), atol=1e-2)


@pytest.mark.parametrize("per_channel", [False, True])
@pytest.mark.parametrize("bits", [8, 3])
def test_rounded_leaves_so_many_values(net, bits, per_channel):
    weight = nets.convs_of(nets.rounded(net, bits, per_channel))[2].weight
    values = max(len(row.unique()) for row in weight) if per_channel else len(weight.unique())
    assert values <= 2**bits - 1


def test_rounded_per_channel_agrees_with_the_exercise(net):
    codes, scale = exercises.to_int8(nets.convs_of(net)[1].weight)
    rounded = nets.convs_of(nets.rounded(net))[1].weight
    assert_allclose((codes * scale.view(-1, 1, 1, 1)).detach(), rounded.detach(), atol=1e-6)


@pytest.mark.parametrize("per_channel", [False, True])
def test_rounded_keeps_a_channel_of_zeros(net, per_channel):
    with torch.no_grad():
        nets.convs_of(net)[1].weight[3] = 0
    weight = nets.convs_of(nets.rounded(net, 8, per_channel))[1].weight
    assert weight.isfinite().all()
    assert (weight[3] == 0).all()


def test_fuse_leaves_the_norm_behind_the_sum(images):
    residual = nets.with_random_statistics(nets.Residual())
    fused = bt.fuse(residual)
    assert list(fused.fusion_report.left) == ["norm3"]
    assert_allclose(fused(images).detach(), residual(images).detach(), atol=1e-4)


def test_along_training_keeps_torchs_running_averages(images, labels):
    model, accuracy, means = nets.along_training(
        images, labels, images, labels, (3, 6), momenta=(0.1, None)
    )
    kept = nets.norms_of(model)[-1].running_mean[list(nets.WATCHED)]
    assert_allclose(means[0, -1], kept, atol=1e-6)  # the model's own momentum is 0.1
    assert accuracy.shape == (3, 2)
    assert means.shape == (3, 2, 3)


def test_along_training_trains_as_fit_does(images, labels):
    model, _, _ = nets.along_training(images, labels, images, labels, (2, 4))
    other = nets.conv_net()
    bt.fit(other, images, labels, steps=4, batch_size=60, rng=0, lr=nets.RATE, progress=False)
    for one, two in zip(model.state_dict().values(), other.state_dict().values(), strict=True):
        assert_allclose(one, two)
    assert bt.fuse(model).fusion_report.left == {}  # no hook is left behind


@pytest.mark.parametrize("way", nets.WAYS)
def test_tuned_moves_only_what_its_name_says(net, images, labels, way, monkeypatch):
    monkeypatch.setitem(nets.TUNING_STEPS, 32, 3)
    tuned = nets.tuned(net, images, labels, way, 0.01)
    mean, was = (nets.norms_of(model)[0].running_mean for model in (tuned, net))
    fresh = nets.norms_of(nets.recomputed(net, images))[0].running_mean
    assert torch.equal(mean, was) == (way == "frozen")
    if way == "recomputed, then frozen":
        assert_allclose(mean, fresh, atol=1e-5)
    assert not torch.equal(tuned[0].weight, net[0].weight)


@pytest.mark.parametrize(
    ("name", "left"),
    [
        ("A", ("move", "move", True, False)),
        ("B", ("move", "rest", True, False)),
        ("C", ("none", "move", True, True)),
        ("D", ("rest", "move", True, False)),
    ],
)
def test_colleagues_leave_the_traces_that_tell_them_apart(net, images, labels, name, left):
    assert nets.traces(net, images, labels, nets.COLLEAGUES[name]) == left


def test_freeze_leaves_no_trace(net, images, labels):
    left = nets.traces(net, images, labels, nets.freeze)
    assert left == ("rest", "move", False, False)


@pytest.mark.parametrize(("momentum", "end"), [(0.1, 9.75), (0.01, 8.0), (0.001, 2.1875)])
def test_a_bfloat16_running_mean_stalls(momentum, end):
    assert nets.running_mean_of(10.0, momentum, torch.bfloat16, 3000)[-1] == end


# ── shipping ────────────────────────────────────────────────────────────────────────────────────


def exported(model):
    example = torch.zeros(4, 1, 28, 28)
    with shipping.quiet():
        return torch.onnx.export(
            model, (example,), dynamic_shapes=({0: torch.export.Dim("N")},), verbose=False
        )


@needs_onnx
def test_onnx_of_the_fused_net_holds_no_batch_norm(net, images, capfd):
    fused = exported(bt.fuse(net))
    assert set(shipping.kinds(fused)) <= {"Conv", "Relu", "ReduceMean", "Reshape", "Gemm"}
    run = shipping.onnx_runtime(fused)
    assert_allclose(run(images), net(images).detach(), rtol=1e-3, atol=1e-3)
    assert capfd.readouterr() == ("", "")  # nothing is logged


@needs_onnx
def test_quiet_prints_what_concerns_the_model(net, capsys):
    level = logging.getLogger("torch.onnx").level
    exported(net.train())
    assert capsys.readouterr().out == "Warning: Exporting a model while it is in training mode\n"
    assert logging.getLogger("torch.onnx").level == level


@needs_onnx
def test_int8_answers_nearly_as_the_net(net, images):
    run = shipping.onnx_runtime(shipping.to_int8(exported(bt.fuse(net)), images))
    y = net(images).detach()
    assert (run(images) - y).abs().mean() < 0.1 * y.std()


def test_milliseconds_tells_slow_from_fast():
    functions = {"once": torch.sin, "often": lambda x: [torch.sin(x) for _ in range(50)]}
    found = shipping.milliseconds(functions, torch.zeros(1000), rounds=5)
    assert found["often"] > 5 * found["once"]


def test_size_of_counts_what_is_saved(net, images):
    sizes = [
        shipping.size_of(torch.export.export(net, (example,)))
        for example in (images[:2], images[:2].clone())
    ]
    assert sizes[0] - sizes[1] == pytest.approx(68 * 784 * 4, rel=0.05)


def test_without_onnx_the_notebook_runs(monkeypatch, capsys):
    """Every code cell, where the packages for ONNX cannot be found; training is cut short, so that
    claims are not asked, and no pixel is drawn."""
    monkeypatch.setattr(FigureCanvasAgg, "draw", FigureCanvasAgg.get_renderer)
    find_spec, fit = importlib.util.find_spec, bt.fit
    monkeypatch.setattr(
        importlib.util, "find_spec",
        lambda name, *rest: None if name in shipping.PACKAGES else find_spec(name, *rest),
    )  # fmt: skip
    for name in shipping.PACKAGES:
        monkeypatch.setitem(sys.modules, name, None)  # import raises

    def short(model, x, y, *, steps, callback=None, **rest):
        fit(model, x, y, steps=2, **rest)
        if callback:
            callback(steps, model, 0.0)

    monkeypatch.setattr(bt, "fit", short)
    monkeypatch.setattr(course, "claim", lambda text, holds: None)
    notebook = json.loads((ROOT / "notebooks" / "11_shipping_it.ipynb").read_text("utf-8"))
    cells = ["".join(c["source"]) for c in notebook["cells"] if c["cell_type"] == "code"]
    names = {}
    for cell in cells:
        exec(cell, names)
    said = capsys.readouterr().out
    assert said.count("Not run here: onnx, onnxscript, onnxruntime not installed") >= 6


# ── exercises ───────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("bias", [True, False])
def test_fold_conv_matches_torchs_own(bias):
    conv, norm = torch.nn.Conv2d(2, 6, 3, bias=bias), torch.nn.BatchNorm2d(6)
    nets.with_random_statistics(norm)
    fused = torch.nn.utils.fusion.fuse_conv_bn_eval(conv.eval(), norm)
    weight, new_bias = exercises.fold_conv(
        conv.weight, conv.bias, norm.weight, norm.bias, norm.running_mean, norm.running_var,
        norm.eps,
    )  # fmt: skip
    assert_allclose(weight.detach(), fused.weight.detach(), rtol=1e-5, atol=1e-6)
    assert_allclose(new_bias.detach(), fused.bias.detach(), rtol=1e-5, atol=1e-6)


def test_to_int8_is_within_half_a_step():
    weight = torch.randn(5, 3, 3, 3)
    codes, scale = exercises.to_int8(weight)
    left = (codes * scale.view(-1, 1, 1, 1) - weight).abs().amax((1, 2, 3))
    assert (left <= 0.5001 * scale).all()
    assert codes.dtype == torch.int8
    assert (codes.abs().amax((1, 2, 3)) == 127).all()


@pytest.mark.parametrize("change", [lambda x: x, torch.nan_to_num], ids=["NaN", "0"])
def test_a_channel_of_zeros_is_named(change):
    def without_care(weight):
        codes, scale = exercises._zero_by_zero(weight)
        return change(codes), scale

    assert "a channel whose weights are all 0" in find("11.4").check(without_care).text


@pytest.mark.parametrize(
    ("test", "word"),
    [
        (exercises._asks_twice, "training mode"),
        (exercises._other_order, "training mode"),
        (exercises._equal_rows, "training mode"),
        (lambda run: True, "training mode"),
    ],
)
def test_weak_tests_are_told_what_slips_through(test, word):
    verdict = find("11.3").check(test)
    assert verdict.status == "not yet"
    assert f"{word} slips through" in verdict.text


def test_an_exact_comparison_may_not_pass_the_test():
    def one_row_in_two_companies(run):
        x = torch.randn(8, 3, 6, 5)
        other = torch.cat([x[:1], torch.randn(3, 3, 6, 5)])
        return torch.allclose(run(x)[0], run(other)[0], atol=1e-4)

    assert find("11.3").check(one_row_in_two_companies).status == "right"


# ── pictures and the explorer ───────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("momentum", ["0.1", "0.01", "plain average"])
def test_explorer_tells_the_numbers_of_the_runs(runs, momentum):
    explorer = nb11.WhereItStopped(runs, step=120, momentum=momentum)
    i, at = momentum_names(runs).index(momentum), runs["steps"].tolist().index(120)
    stored, fresh = runs["along_accuracy"][0, [i, -1], at]
    assert f"Stopped at step 120: {stored:.2f} of" in explorer.state_text
    assert f"{fresh:.2f} with recomputed" in explorer.state_text


def test_explorer_and_still_twin_draw_the_same(runs):
    left, right = nb11.plot_stopped(runs, step=200, momentum="0.01")
    assert_allclose(left.lines[1].get_ydata(), runs["along_accuracy"][0, 1])
    assert_allclose(right.lines[1].get_ydata(), runs["along_means"][0, 1, :20, 0])


def test_the_slider_stands_at_every_step_of_the_runs(runs):
    assert nb11.WhereItStopped.controls[0].values == tuple(runs["steps"].tolist())
    assert nb11.WhereItStopped.controls[1].options == momentum_names(runs)


def test_at_best_rate_is_the_best_median():
    by_rate = np.array([[0.5, 0.9, 0.5], [0.6, 0.7, 0.6]])
    assert nb11.at_best_rate(by_rate).tolist() == [0.6, 0.7, 0.6]


def test_every_figure_says_what_it_shows(runs):
    error = np.ones((4, 5))
    error[1:-1, 1:-1] = 0
    steps, accuracy = runs["steps"], runs["along_accuracy"]
    before = list(np.moveaxis(runs["tuning_before"], 1, 0))
    shifts = runs["shifts"].tolist()
    ways = [nb11.tuned_by_way(runs, shift, 2) for shift in shifts]
    stall = {0.1: [nets.running_mean_of(10.0, 0.1, torch.bfloat16, 50)] * 2}
    drawn = [
        nb11.plot_border(error),
        nb11.plot_bits(runs["bits"], runs["along_bits"]),
        nb11.plot_stall(stall),
        *nb11.plot_readings(steps, accuracy[:, 0], accuracy[:, -1], live=([200], [0.9], [0.95])),
        *nb11.plot_stopped(runs),
        *nb11.plot_tuning(runs["tuning_rates"], ways, before, titles=shifts),
    ]
    assert all(any(char.isdigit() for char in ax.bn_alt) for ax in drawn)
    assert (
        "9.75 and 9.9" in nb11.plot_stall({0.1: [np.array([0, 9.75]), np.array([0, 9.9])]}).bn_alt
    )
    assert "At the border 1; inside at most 0" in drawn[0].bn_alt


# ── stored runs ─────────────────────────────────────────────────────────────────────────────────


def test_each_array_has_its_grid(build, runs):
    steps, bits = len(build.STEPS), len(build.BITS)
    shapes = {
        "along_accuracy": (5, 4, steps), "along_means": (5, 4, steps, 3),
        "along_bits": (5, 2, 2, bits), "tuning_before": (3, 3, 2),
        "tuning_accuracy": (3, 3, 2, 3, len(build.TUNING_RATES), 2),
    }  # fmt: skip
    assert {name: runs[name].shape for name in shapes} == shapes


def test_a_short_run_repeats_the_stored_one(runs):
    _, accuracy, means = nets.along_training(*nets.digits(), (50,), seed=0)
    assert_allclose(accuracy[-1], runs["along_accuracy"][0, -1, 4], atol=0.06)
    assert_allclose(means[-1, 0], runs["along_means"][0, -1, 4], atol=0.1)
