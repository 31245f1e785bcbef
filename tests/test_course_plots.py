"""Plots draw the numbers they were given, label both axes, and refuse what does not fit."""

import re
from itertools import pairwise
from pathlib import Path

import matplotlib
import numpy as np
import pytest
from numpy.testing import assert_allclose

from bnlib.course import kit
from bnlib.course.kit import plots
from bnlib.course.kit.figures import description
from bnlib.course.kit.style import NETS, look, use_course_style
from bnlib.course.nb03.plots import plot_biased_variance

LABELS = {"xlabel": "step t", "ylabel": "loss (nats)"}
T = np.arange(20)


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def test_figure_is_not_pyplots():
    import matplotlib.pyplot as plt

    before = plt.get_fignums()
    fig, ax = plots.figure()
    assert plt.get_fignums() == before
    assert ax.figure is fig


def test_figure_gives_a_grid():
    fig, axes = plots.figure(2, 3, (9, 5))
    assert axes.shape == (2, 3)
    assert tuple(fig.get_size_inches()) == (9, 5)


def test_histograms_are_densities_over_shared_bins(rng):
    ax = plots.plot_histograms(rng.normal(size=100), rng.normal(size=(30, 10)),
                               labels=["a", "b"], xlabel="x (σ)", bins=12)  # fmt: skip
    outlines = [p for p in ax.patches if p.get_label() in ("a", "b")]
    edges = [patch.get_data().edges for patch in outlines]
    assert_allclose(edges[0], edges[1])
    for patch in outlines:
        data = patch.get_data()
        assert_allclose(np.sum(data.values * np.diff(data.edges)), 1.0)


def test_histograms_differ_by_more_than_color(rng):
    ax = plots.plot_histograms(*rng.normal(size=(3, 50)), labels=list("abc"), xlabel="x (σ)")
    outlines = [p for p in ax.patches if p.get_label() in ("a", "b", "c")]
    assert len({(str(p.get_linestyle()), p.get_hatch()) for p in outlines}) == 3


def test_curves_with_seeds_show_median_and_band(rng):
    runs = rng.normal(size=(5, 20))
    ax = plots.plot_curves(T, {"BN": runs}, **LABELS)
    assert_allclose(ax.lines[0].get_ydata(), np.median(runs, axis=0))
    band = ax.collections[0].get_paths()[0].vertices
    assert_allclose((band[:, 1].min(), band[:, 1].max()), (runs.min(), runs.max()))


def test_curves_differ_by_more_than_color():
    ax = plots.plot_curves(T, {name: T * k for k, name in enumerate("abcde")}, **LABELS)
    assert len({(str(line.get_linestyle()), line.get_marker()) for line in ax.lines}) == 5


def test_curves_draw_reference_lines():
    ax = plots.plot_curves(T, {"a": T}, marks={"chance": 2.3}, **LABELS)
    assert_allclose(ax.lines[1].get_ydata(), 2.3)
    assert [text.get_text() for text in ax.texts] == ["chance"]


def test_heatmap_writes_every_number_and_survives_nan():
    values = np.array([[0.1, np.nan, 0.3], [0.4, 0.5, 0.6]])
    ax = plots.plot_heatmap(values, rows=[1, 2], cols="abc", zlabel="accuracy", **LABELS)
    assert [t.get_text() for t in ax.texts] == ["0.10", "NaN", "0.30", "0.40", "0.50", "0.60"]


def test_digits_are_drawn_once_each_with_their_labels(rng):
    ax = plots.plot_digits(rng.random((12, 784)), labels=range(12), cols=5)
    assert len(ax.images) == 12
    assert [t.get_text() for t in ax.texts] == [str(k) for k in range(12)]


CALLS = {
    "histograms": lambda **k: plots.plot_histograms(T, labels=["a"], xlabel="x (σ)", **k),
    "curves": lambda **k: plots.plot_curves(T, {"a": T}, **LABELS, **k),
    "heatmap": lambda **k: plots.plot_heatmap(
        np.eye(2), rows="ab", cols="cd", zlabel="z", **LABELS, **k
    ),
}


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_plot_draws_on_the_given_axes_with_the_given_title(call):
    _, axes = plots.figure(1, 2)
    ax = call(ax=axes[1], title="What it shows")
    assert ax is axes[1]
    assert ax.get_title(loc="left") + ax.get_title() == "What it shows"


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_plot_labels_both_axes(call):
    ax = call()
    assert ax.get_xlabel()
    assert ax.get_ylabel()


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_plot_says_what_it_shows(call):
    assert len(description(call())) > 40


def test_curves_are_told_with_their_heights_and_marks():
    curves = {"a": np.array([[0.0, 0.5, 1.0], [0.0, 0.7, 3.0]])}
    ax = plots.plot_curves([0, 10, 20], curves, marks={"chance": 0.1}, **LABELS)
    assert description(ax) == (
        "Loss (nats) against step t. a: 0 at 0, 0.6 at 10 and 2 at 20, median of 2 runs. "
        "A dotted line at 0.1: chance."
    )


def test_map_tells_which_cells_are_framed():
    accuracy = np.array([[0.1, 0.9, 0.2], [0.3, 0.9, 0.95]])
    ax = plots.plot_accuracy_map(accuracy, rates=[0.1, 1, 10], stds=[0.01, 0.1], other=0 * accuracy)
    assert "3 of 6, from 0.01 to 0.1 in the weights and 1 to 10 in the rate" in description(ax)
    assert "other net's: none of 6" in description(ax)


def test_net_looks_the_same_under_each_of_its_names():
    ax = plots.plot_curves(T, {"x": T, "with BN": T, "without BN": 2 * T}, **LABELS)
    drawn = [(line.get_color(), line.get_marker()) for line in ax.lines]
    assert drawn[1:] == [(NETS[n]["color"], NETS[n]["marker"]) for n in ("with BN", "without BN")]
    assert look("no BN") == NETS["without BN"]
    assert look("before") == NETS["with BN"]


def test_look_of_what_is_no_net_has_no_color_of_a_net():
    reserved = {style["color"] for style in NETS.values()}
    assert not reserved & {look("sigmoid", i)["color"] for i in range(7)}


@pytest.mark.parametrize("panels", [1, 2, 3])
@pytest.mark.parametrize("rates", [(1, 3, 10, 30), (0.01, 0.02, 0.05, 0.1, 0.3, 1, 2, 5, 10, 30)])
def test_rate_axis_ticks_every_rate_and_labels_what_fits(rates, panels):
    with matplotlib.rc_context():
        use_course_style()
        fig, axes = plots.figure(1, panels, size=(9.0, 3.9))
        for ax in np.atleast_1d(axes):
            ax.plot(rates, rates)
            plots.rate_axis(ax, rates)
        fig.canvas.draw()
        assert_allclose(ax.get_xticks(), rates)
        assert not len(ax.get_xticks(minor=True))
        boxes = [t.get_window_extent() for t in ax.get_xticklabels() if t.get_text()]
        assert len(boxes) >= 3
        assert all(a.x1 < b.x0 for a, b in pairwise(boxes))


def test_text_is_a_sentence_where_both_ends_are_written_alike():
    sizes = np.array([2, 4, 8])
    assert "they lie at 1." in description(plot_biased_variance(sizes, (sizes - 1) / sizes))
    assert "they lie from 0.5 to 1." in description(plot_biased_variance([2, 4], [0.25, 0.75]))


def test_no_text_says_from_or_between_before_one_number():
    rooms = Path(kit.__file__).parents[1]
    for path in rooms.rglob("*.py"):
        assert not re.search(r"\b(from|between) \{span\(", path.read_text("utf-8")), path.name


MISFITS = {
    "labels": (lambda: plots.plot_histograms(T, T, labels=["a"], xlabel="x"), "1 labels for 2"),
    "curve": (lambda: plots.plot_curves(T, {"a": T[:3]}, **LABELS), r"shape \(3,\)"),
    "heatmap": (
        lambda: plots.plot_heatmap(np.eye(2), rows="a", cols="cd", zlabel="z", **LABELS),
        "1 rows and 2 cols",
    ),
    "digits": (lambda: plots.plot_digits(np.zeros((2, 28, 28)), labels=[1]), "1 labels for 2"),
}


@pytest.mark.parametrize(("call", "message"), MISFITS.values(), ids=MISFITS)
def test_plot_refuses_what_does_not_fit(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_legend_below_shows_the_outline_of_each_marker_once():
    fig, ax = plots.figure()
    (line,) = ax.plot(T, T)
    legend = plots.legend_below(fig, [line], ["a"], ncols=2, live=["s", "^", "s"])
    assert [text.get_text() for text in legend.get_texts()] == ["a", "black: run here"]
    markers = [drawn.get_marker() for drawn in legend.findobj(type(line))]
    assert [m for m in markers if m in ("s", "^")] == ["s", "^"]


def test_legend_below_without_live_runs_says_nothing_of_them():
    fig, ax = plots.figure()
    legend = plots.legend_below(fig, ax.plot(T, T), ["a"], ncols=2)
    assert [text.get_text() for text in legend.get_texts()] == ["a"]


def test_apart_moves_only_what_would_touch():
    moved = plots.apart([0.9, 0.2, 0.21, 0.12], 0.05)
    assert_allclose(moved, [0.9, 0.18, 0.23, 0.12])


def test_apart_keeps_the_gap_and_the_order(rng):
    heights = rng.random(9)
    moved = plots.apart(heights, 0.08)
    assert (np.argsort(moved) == np.argsort(heights)).all()
    assert np.diff(np.sort(moved)).min() > 0.08 - 1e-9
