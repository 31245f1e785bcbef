"""Notebook 16: its nets are what the page says, its rubric judges, its reports get their marks."""

import math
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose

import bnlib.torch as bt
from bnlib.course import nb16
from bnlib.course.kit.asking import find
from bnlib.course.nb09.exercises import BatchNormModule
from bnlib.course.nb16 import exercises, nets, reports, rubric

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def build(data_script):
    return data_script("build_16_runs")


@pytest.fixture(scope="module")
def runs():
    return nb16.stored_runs()


@pytest.fixture(scope="module")
def digits():
    return nets.digits()


@pytest.fixture
def few():
    """Pixels and labels of forty made-up digits."""
    draw = torch.Generator().manual_seed(1)
    return torch.rand(40, 784, generator=draw), torch.arange(40) % 10


# ── nets ────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("norm", [None, *nets.NORMS, BatchNormModule], ids=str)
def test_deep_net_has_thirty_layers(norm, few):
    net = nets.deep_net(norm)
    assert net(few[0]).shape == (40, 10)
    assert sum(isinstance(layer, torch.nn.Sigmoid) for layer in net) == 30
    assert (net[0].bias is None) == (norm is not None)


def test_residual_net_hands_its_input_on_at_the_start(few):
    net = nets.residual_net(depth=5)
    first = net[0](few[0])
    assert_allclose(net[:5](few[0]).detach(), first.detach())
    assert sum(isinstance(layer, torch.nn.Sigmoid) for layer in net.modules()) == 5


def test_residual_net_learns_alpha(few):
    net = nets.residual_net(depth=3)
    torch.nn.functional.cross_entropy(net(few[0]), few[1]).backward()
    assert all(block.alpha.grad != 0 for block in net[1:3])


@pytest.mark.parametrize(
    ("weights", "variance"),
    [("torch", 1 / 192), ("Xavier", 2 / 128), ("He", 2 / 64), ("centred", 16 / 64)],
)
def test_first_weights_have_their_variance(weights, variance):
    net = nets.deep_net(weights=weights)
    assert_allclose(net[20].weight.var().item(), variance, rtol=0.1)


def test_centred_weights_start_in_the_middle(few):
    """Where each input is 1/2, x is 0."""
    layer = nets.deep_net(weights="centred")[20]
    assert_allclose(layer(torch.full((1, 64), 0.5)).detach(), np.zeros((1, 64)), atol=1e-5)


def test_unknown_weights_raise():
    with pytest.raises(ValueError, match="weights is 'Kaiming'"):
        nets.deep_net(weights="Kaiming")


def test_with_statistics_keeps_the_learners_layer(few):
    net = nets.deep_net(BatchNormModule, depth=2)
    many = few[0].repeat(6, 1)
    other = nets.with_statistics(net, many)
    assert type(other[1]) is BatchNormModule
    assert (net[1].running_mean == 0).all()
    ours = nets.with_statistics(nets.deep_net("BN", depth=2), many)
    assert_allclose(other.eval()(many).detach(), ours.eval()(many).detach(), atol=1e-5)


def test_known_norms_give_the_same(few):
    net = nets.with_statistics(nets.deep_net(BatchNormModule, depth=3), few[0].repeat(6, 1)).eval()
    known = nets.with_known_norms(net)
    assert isinstance(known[1], bt.BatchNorm1d)
    assert_allclose(known(few[0]).detach(), net(few[0]).detach(), atol=1e-6)


def test_spread_is_the_deviation_over_the_digits(few):
    net = nets.deep_net(depth=2)
    x = few[0].double()
    wish = net.double()[:2](x).detach().var(0, correction=0).mean().sqrt()
    assert_allclose(nets.spread_by_layer(net, x)[0], wish)


def test_gradient_is_autograds(few):
    net = nets.deep_net("BN", depth=3)
    z = net[:6](few[0]).detach().requires_grad_()
    torch.nn.functional.cross_entropy(net[6:](z), few[1]).backward()
    squares = nets.gradient_by_layer(net, *few)
    assert_allclose(squares[1], (z.grad.double() ** 2).sum(), rtol=1e-4)


def test_fresh_gradients_are_those_of_each_net(few):
    squares = nets.fresh_gradients(*few, seed=2)
    he = nets.deep_net(activation="ReLU", weights="He", seed=2)
    assert_allclose(squares["ReLU, He's weights, no BN"], nets.gradient_by_layer(he, *few))
    assert set(squares) <= set(nb16.plots.LOOKS)


def test_measuring_leaves_a_net_alone(few):
    net = nets.deep_net("BN", depth=2)
    nets.spread_by_layer(net, few[0])
    nets.gradient_by_layer(net, *few)
    assert (net[1].running_mean == 0).all()
    assert net[0].weight.grad is None
    assert net[0].weight.dtype == torch.float32


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_onnx_runtime_gives_the_same_answers(few):
    pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    net = nets.with_statistics(nets.deep_net(BatchNormModule, depth=2), few[0].repeat(6, 1)).eval()
    assert_allclose(nets.answers_in_onnx_runtime(net, few[0]), net(few[0]).detach(), atol=1e-4)


def test_without_onnx_runtime_there_is_no_answer(few, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    assert nets.answers_in_onnx_runtime(nets.deep_net(depth=2), few[0]) is None


# ── the rubric ──────────────────────────────────────────────────────────────────────────────────

JUDGES = {point.judge.__name__: point for point in rubric.POINTS}


@pytest.fixture(scope="module")
def handed_in(digits):
    """A trained net with an own layer, and what is made of it."""
    x, y, x_test, y_test = digits
    net = nets.deep_net(BatchNormModule)
    bt.fit(net, x, y, steps=300, batch_size=60, rng=0, lr=0.03, progress=False)
    ready = nets.with_statistics(net, x).eval()
    shares = [bt.evaluate(one, x_test, y_test)[1] for one in (net, ready)]
    any_size = ({0: torch.export.Dim("N")},)
    return {
        "net": ready,
        "read": dict(zip(("running", "recomputed"), shares, strict=True)),
        "fused": bt.fuse(nets.with_known_norms(ready)),
        "exported": torch.export.export(ready, (x_test[:2].clone(),), dynamic_shapes=any_size),
    }


def test_a_full_report_meets_every_point(handed_in):
    verdict = find("16.6").check({**reports.REPORTS["A"].entries(), **handed_in})
    assert verdict.passed, verdict


def test_the_template_asks_for_what_the_rubric_reads():
    import json

    cells = json.loads((ROOT / "notebooks" / "16_capstone.ipynb").read_text("utf-8"))["cells"]
    (source,) = ("".join(c["source"]) for c in cells if c["id"] == "nb16-report")
    keys = find("16.6").keys
    assert all(f'"{key}": ...' in source for key in keys)
    assert source.count("...") == len(keys)


SENTENCE = "On this net the residual route reads 0.90 and takes half the seconds."
SPOILED = [  # (point, entries, part of its sentence)
    ("plain_stays_at_chance", {"plain": {}}, "a dict with entries"),
    ("plain_stays_at_chance", {"plain": {("torch", 1): 0.1}}, "1 with torch"),
    ("plain_stays_at_chance", {"plain": {0.1: 0.1}}, "(first weights, rate)"),
    ("plain_stays_at_chance", {"plain": {("torch", 1): 10}}, "shares from 0 to 1"),
    (
        "plain_stays_at_chance",
        {"plain": {(w, r): [0.1, 0.5 * (w == "b")] for w in "ab" for r in (1, 2, 3)}},
        "reads 0.50, more than guessing",
    ),
    ("rates_and_seeds", {"routes": {"residual": {1: [0.9]}}}, "no entry `BN`"),
    ("rates_and_seeds", {"routes": {"BN": {1: [0.9]}}}, "1 of 3 seeds"),
    ("rates_and_seeds", {"routes": {"BN": {1: [0.9] * 3}}}, "1 of 3 rates"),
    ("rates_and_seeds", {"routes": {"BN": {r: [0.9, 0.9, 0.7] for r in (1, 2, 3)}}}, "reads 0.70"),
    ("best_rate_inside", {"routes": {"BN": {1: [0.9], 2: [0.8], 3: [0.7]}}}, "the smallest rate"),
    ("best_rate_inside", {"routes": {"BN": {1: 0.7, 2: 0.8, 3: 0.9}}}, "Try a larger one"),
    ("best_rate_inside", {"routes": {"BN": {1: 0.7, 2: 0.8}}}, "2 of 3 rates"),
    ("second_route", {"routes": {"BN": {1: 0.9}}, "price": {"BN": 2}}, "A second one"),
    ("second_route", {"routes": {"BN": {1: 0.9}, "x": {1: 0.9}}, "price": {"BN": 2}}, "“x” cost"),
    ("choice_with_reason", {"choice": "BN.", "routes": {"BN": {1: 1}}}, "1 words"),
    ("choice_with_reason", {"choice": SENTENCE, "routes": {"BN": {1: 1}}}, "none of your routes"),
    (
        "choice_with_reason",
        {"choice": "I like the residual one best of all of them", "routes": {"residual": {1: 1}}},
        "gives no number",
    ),
    ("own_layer_reads", {"net": 3}, "the trained net itself"),
    ("own_layer_reads", {"net": nets.deep_net(BatchNormModule, depth=3)}, "3 sigmoid layers"),
    ("own_layer_reads", {"net": nets.deep_net()}, "0 of its layers"),
    ("own_layer_reads", {"net": nets.deep_net("BN")}, "BatchNorm1d of a library"),
    ("own_layer_reads", {"net": nets.deep_net(BatchNormModule)}, "reads 0."),
    ("read_by_recomputed", {"read": 0.9}, '"recomputed": share'),
    ("read_by_recomputed", {"read": {"running": 0.7, "recomputed": 0.7}}, "you report 0.70"),
    ("fused_gives_the_same", {"fused": nets.deep_net("BN")}, "30 layers"),
    ("fused_gives_the_same", {"fused": nets.deep_net()}, "gives other outputs"),
    ("exported_gives_the_same", {"exported": b"bytes"}, "torch.export.export"),
    ("growth_of_gradients", {"growth": 1.47}, '"sigmoid": factor'),
    ("growth_of_gradients", {"growth": {"sigmoid": 1.06, "ReLU": 1.21}}, "squared length"),
    ("growth_of_gradients", {"growth": {"sigmoid": 1.06, "ReLU": 0.68}}, "Turn it around"),
    ("growth_of_gradients", {"growth": {"sigmoid": 1.47, "ReLU": 1.47}}, "sigmoid: 1.47 is not"),
    ("relu_and_why", {"relu": {"He": {}}, "why": ""}, '"BN"'),
    (
        "relu_and_why",
        {"relu": {key: {1: [0.5] * 3} for key in ("He", "BN")}, "why": ""},
        "one rate",
    ),
    (
        "relu_and_why",
        {"relu": {key: {1: [0.5] * 3, 2: [0.5] * 3} for key in ("He", "BN")}, "why": SENTENCE},
        "the gradients, layer by layer",
    ),
    ("what_was_not_shown", {"not_shown": "Nothing."}, "1 words"),
    ("what_was_not_shown", {"not_shown": "BN makes every deep network easy to train and best"},
     "leave open"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "entries", "said"), SPOILED, ids=[f"{n}-{i}" for i, (n, *_) in enumerate(SPOILED)]
)
def test_point_says_what_is_missing(name, entries, said, handed_in):
    assert said in JUDGES[name].judge({**handed_in, **entries})


def test_every_point_was_seen_to_be_missing():
    assert {name for name, *_ in SPOILED} == set(JUDGES)


def test_export_for_one_size_is_missing(handed_in, digits):
    fixed = torch.export.export(handed_in["net"], (digits[2][:7].clone(),))
    said = rubric.exported_gives_the_same({**handed_in, "exported": fixed})
    assert "does not take a batch of 1" in said


def test_export_in_training_mode_is_missing(handed_in, digits):
    net = nets.with_statistics(handed_in["net"], digits[0]).train()
    any_size = ({0: torch.export.Dim("N")},)
    program = torch.export.export(net, (digits[2][:2].clone(),), dynamic_shapes=any_size)
    said = rubric.exported_gives_the_same({**handed_in, "exported": program})
    assert "evaluation mode" in said


def test_judging_leaves_the_net_alone(handed_in):
    net = handed_in["net"].train()
    before = {name: value.clone() for name, value in net.state_dict().items()}
    find("16.6").check(handed_in)
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())
    assert net.training
    net.eval()


def test_growth_is_what_a_fresh_net_shows(digits):
    for name, wish in rubric.GROWTH.items():
        net = nets.deep_net("BN", activation=name, seed=7)
        squares = nets.gradient_by_layer(net, digits[0][:256], digits[1][:256])
        assert_allclose(exercises.growth_per_layer(squares), wish, rtol=0.06)


# ── model reports ───────────────────────────────────────────────────────────────────────────────


def objects_of(report, handed_in, digits):
    """The nets that the author of a model report handed in."""
    if report.norm == "own":
        return handed_in
    net = nets.deep_net(report.norm)
    x, y, *_ = digits
    bt.fit(net, x, y, steps=300, batch_size=60, rng=0, lr=0.03, progress=False)
    return {**handed_in, "net": net.eval(), "fused": bt.fuse(net)}


@pytest.mark.parametrize("letter", reports.REPORTS)
def test_model_report_gets_its_marks(letter, handed_in, digits):
    report = reports.REPORTS[letter]
    objects = objects_of(report, handed_in, digits)
    entries = {**{name: objects[name] for name in report.hands_in}, **report.entries()}
    states = find("16.6").check(entries).states
    missed = {name for name, state in states.items() if state != "met"}
    assert missed == set(report.missed)


@pytest.mark.parametrize("letter", reports.REPORTS)
def test_reader_marks_are_zero_to_two(letter):
    report = reports.REPORTS[letter]
    assert set(report.reader) == set(reports.READER)
    assert all(marks in (0, 1, 2) and why for marks, why in report.reader.values())


def test_model_reports_differ_in_quality():
    totals = [reports.total(report) for report in reports.REPORTS.values()]
    assert totals == sorted(totals, reverse=True)
    assert totals[0] >= 18
    assert 9 <= totals[1] <= 14
    assert totals[2] <= 5


@pytest.mark.parametrize("letter", reports.REPORTS)
def test_marks_stay_folded_until_they_are_asked_for(letter):
    folded = nb16.model_report(letter)
    assert folded.plain.endswith("run this cell to open it.")
    assert f"{reports.total(reports.REPORTS[letter])} of 20" in folded.html


def test_unknown_report_raises():
    with pytest.raises(LookupError, match="there are A, B, C"):
        nb16.model_report("D")


def test_all_points_are_listed():
    text = str(nb16.all_points())
    assert all(point.name in text for point in rubric.POINTS)
    assert all(question in text for question in reports.READER.values())


# ── pictures and the explorer ───────────────────────────────────────────────────────────────────


def test_every_figure_says_what_it_shows(runs):
    falling = 0.5 ** np.arange(30)
    for thing in (
        nb16.plot_spread({"no norm": falling, "with LN": falling}),
        nb16.plot_reached(nb16.plain_by_net(runs), xlabel="share"),
        nb16.plot_gradients({"ReLU, BN": falling}, growth=nb16.GROWTH),
        nb16.plot_relu(runs),
    ):
        assert any(char.isdigit() for char in thing.bn_alt)
    for ax in nb16.plot_routes(runs, live=[("BN", 0.03, 0.9)]):
        assert "means" in ax.bn_alt


def test_gradients_are_drawn_relative_to_the_last_layer():
    ax = nb16.plot_gradients({"ReLU, BN": [8.0, 4.0, 2.0]})
    assert_allclose(ax.lines[0].get_ydata(), [4, 2, 1])


@pytest.mark.parametrize("route", nb16.Routes.controls[2].options)
def test_explorer_tells_the_means_of_the_runs(runs, route):
    explorer = nb16.Routes(runs, depth=20, activation="tanh", route=route)
    name = {said: name for name, said in nb16.plots.SAID.items()}[route]
    rate, accuracy = nb16.runs.curve_of(runs, 20, "tanh", name)
    assert f"{accuracy[:, -1].mean():.2f} after 200 steps at rate {rate:g}" in explorer.state_text
    explorer.close()


def test_explorer_names_each_route_at_the_end_of_its_line(runs):
    for ax in nb16.Routes(runs).still(depth=50, activation="ReLU", route="BN").axes:
        heights = {text.get_text(): text.xy[1] for text in ax.texts}
        ends = sorted(line.get_ydata()[-1] for line in ax.lines[:5])
        assert len(heights) == 5
        assert np.diff(sorted(heights.values())).min() > 0.06
        assert_allclose(sorted(heights.values()), ends, atol=0.07)


def test_report_a_says_the_growth_that_it_fills_in():
    text, entries = reports.REPORTS["A"].text(), reports.REPORTS["A"].entries()
    assert all(f"{growth:.2f} times a {g} layer" in text for g, growth in entries["growth"].items())


def test_spacing_is_float32s():
    assert nb16.FLOAT32_STEP == np.spacing(np.float32(0.5))
    assert_allclose(nb16.GROWTH, 1 / (1 - 1 / math.pi))


def test_best_means_are_the_best_rates(runs):
    rates, accuracy = nb16.route_of(runs, "residual", 900)
    assert nb16.best_means(runs, 900)["residual"] == accuracy[list(rates).index(1)].mean()


def test_relu_runs_are_the_tables_of_one_net(runs):
    table = nb16.relu_runs("He's weights", 400)
    assert list(table) == [0.01, 0.03]
    assert_allclose(max(map(np.mean, table.values())),
                    nb16.relu_at_best_rates(runs, 400)["He's weights"].mean())  # fmt: skip


# ── stored runs ─────────────────────────────────────────────────────────────────────────────────


def test_a_short_run_repeats_the_stored_one(build, runs):
    short = build.train("residual", "torch", 1.0, seed=0, steps=(50,), depth=10)
    place = nb16.runs.best_rate  # at 10 layers, sigmoid: the second rate of the two
    assert place(runs["curves_accuracy"][1, 0, 3]) == 1
    assert_allclose(short["accuracy"][0], runs["curves_accuracy"][1, 0, 3, 1, 0, 1], atol=0.08)
