"""Explorers: a change redraws picture and sentence; what is saved repeats, byte for byte."""

import gc
import importlib
import io
import json
import os
import sys
import weakref
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from numpy.testing import assert_allclose
from PIL import Image

from bnlib.course import nb10, nb11, nb12, nb14, nb15, nb16, stored_runs
from bnlib.course.kit import widget
from bnlib.course.kit.asking import notebooks
from bnlib.course.kit.explorer import Choice, Explorer, Slider, Switch, _Live
from bnlib.course.kit.figures import description, png_bytes


class Line(Explorer):
    title = "A line and its slope"
    alt = "A straight line through the origin."
    controls = (
        Slider("slope", "slope a", -2.0, 2.0, 0.5, 1.0, unit="m/s"),
        Slider("m", "size m", values=(1, 4, 16), value=4),
        Choice("look", "drawn", ("solid", "dashed")),
        Switch("grow", "let the axes follow", False),
    )
    size = (3.0, 2.0)

    def draw(self, fig):
        ax = fig.subplots()
        ax.set(xlim=(0, 1), ylim=(-2, 2))
        return SimpleNamespace(line=ax.plot([0, 1], [0, 1])[0], dots=[])

    def update(self, art, slope, m, look, grow):
        art.line.set_ydata([0, slope])
        art.line.set_linestyle("-" if look == "solid" else "--")
        art.line.axes.set_ylim(-2 * (1 + grow), 2 * (1 + grow))
        for dot in art.dots:
            dot.remove()
        xs = np.linspace(0, 1, m)
        art.dots = [art.line.axes.plot(x, slope * x, "k.")[0] for x in xs]
        return f"The slope is {slope:g} m/s, {look}, with {m} points."


def pixels(explorer):
    return np.asarray(Image.open(io.BytesIO(explorer._picture)).convert("RGB"), int)


def test_sentence_says_the_state():
    assert Line().state_text == "The slope is 1 m/s, solid, with 4 points."


def test_change_from_the_browser_redraws_picture_and_sentence():
    line = Line()
    before = pixels(line)
    line.set_state({"_raw": {"slope": -1.5, "m": 2, "look": 1, "grow": False}})
    assert line.state_text == "The slope is -1.5 m/s, dashed, with 16 points."
    assert (pixels(line) != before).any()


def test_change_back_gives_the_same_picture_again():
    line = Line()
    line.set(slope=-1.0)
    first = line._picture
    line.set(slope=2.0, m=16, look="dashed")
    line.set(slope=-1.0, m=4, look="solid")
    assert line._picture == first


@pytest.mark.parametrize("values", [{"slope": -2.0}, {"m": 16}, {"look": "dashed"}, {"grow": True}],
                         ids=str)  # fmt: skip
def test_live_picture_equals_one_drawn_afresh(values):
    moved = Line()
    moved.set(**values)
    assert np.abs(pixels(moved) - pixels(Line(**values))).mean() < 0.2  # palette of the first frame


def test_still_equals_the_live_picture():
    line = Line()
    line.set(slope=-1.0)
    drawn = np.asarray(Image.open(io.BytesIO(png_bytes(line.still()))).convert("RGB"), int)
    assert np.abs(drawn - pixels(line)).mean() < 1.0  # a spine lies over, not under, the line


def test_still_says_what_it_is_and_its_state():
    alt = description(Line().still(slope=-1.0))
    assert alt == f"{Line.alt} The slope is -1 m/s, solid, with 4 points."


def test_still_leaves_the_explorer_alone():
    line = Line()
    line.still(slope=-2.0, m=16)
    assert line.values == {"slope": 1.0, "m": 4, "look": "solid", "grow": False}
    assert line.state_text.startswith("The slope is 1 m/s")


def test_screen_of_single_density_gets_a_quarter_of_the_pixels():
    line = Line()
    line.set_state({"_ratio": 1.0})
    line.set(slope=0.5)
    assert pixels(line).shape == (200, 300, 3)


def test_start_values_are_taken():
    assert Line(slope=-0.5, look="dashed").values["slope"] == -0.5


@pytest.mark.parametrize("values", [{"slope": 3.0}, {"m": 5}, {"look": "dotted"}], ids=str)
def test_impossible_values_raise(values):
    name = next(iter(values))
    with pytest.raises(ValueError, match=f"{name} is"):
        Line(**values)
    with pytest.raises(ValueError, match=f"{name} is"):
        Line().still(**values)


def test_unknown_control_raises():
    with pytest.raises(TypeError, match="no control 'speed'"):
        Line(speed=1)


@pytest.mark.parametrize("raw", [{"slope": 99, "m": 99, "look": 9}, {"slope": -99, "m": -9}, {}],
                         ids=str)  # fmt: skip
def test_nonsense_from_the_browser_is_bounded(raw):
    line = Line()
    line.set_state({"_raw": raw})
    assert -2 <= line.values["slope"] <= 2
    assert line.values["m"] in (1, 4, 16)


def test_failure_is_said_in_the_widget():
    class Broken(Line):
        def update(self, art, slope, **values):
            return f"{1 / slope:.1f}"

    broken = Broken()
    with pytest.raises(ZeroDivisionError):
        broken.set(slope=0.0)
    assert "stopped" in broken.state_text


def test_whole_numbers_stay_whole():
    assert Slider("k", "k", 0, 10, 1, 3).decode(7.0) == 7
    assert isinstance(Slider("k", "k", 0, 10, 1, 3).decode(7.0), int)


def test_listed_values_are_written_out():
    assert Slider("m", "m", values=(0.001, 10), unit="s").spec()["texts"] == ["0.001 s", "10 s"]


def test_slider_takes_numpy_numbers():
    sizes = Slider("m", "m", values=2 ** np.arange(3))
    assert [type(value) for value in sizes.values] == [int] * 3
    assert json.dumps(Slider("a", "a", np.float64(0), np.float64(1), np.float64(0.1)).spec())


def test_slider_without_range_or_values_raises():
    with pytest.raises(ValueError, match="either low, high and step, or values"):
        Slider("m", "m")


def test_alt_text_is_required():
    with pytest.raises(ValueError, match="alt is"):
        type("Mute", (Line,), {"alt": ""})()


def test_saved_state_repeats_byte_for_byte():
    first, second = Line(), Line()
    synced = ("_spec", "_raw", "_picture", "_text", "_ratio", "_esm", "_css", "_anywidget_id")
    assert {k: first.get_state()[k] for k in synced} == {k: second.get_state()[k] for k in synced}


def test_plain_text_is_whole_and_names_no_address():
    line = Line()
    data, *_ = line._repr_mimebundle_()
    assert data["text/plain"] == repr(line) == f"Explorer “{line.title}”: {line.state_text}"
    assert "application/vnd.jupyter.widget-view+json" in data


def test_browser_code_loads_nothing():
    for text in (Explorer._esm, Explorer._css):
        assert "http" not in str(text)
        assert "import" not in str(text)


ROOMS = [importlib.import_module(f"bnlib.course.nb{number}") for number in notebooks()]
SHIPPED = [
    thing for room in ROOMS for thing in vars(room).values()
    if isinstance(thing, type) and issubclass(thing, Explorer)
]  # fmt: skip


@pytest.mark.parametrize("kind", [Line, *SHIPPED], ids=lambda kind: kind.__name__)
def test_explorer_describes_itself(kind):
    assert kind.title
    assert len(kind.alt) >= 20
    assert kind.__doc__ or kind is Line


MADE = {  # small data: what counts is that every value can be drawn
    "FirstLook": lambda kind, rng: kind(rng.integers(0, 256, (28, 28))),
    "LayerHistograms": lambda kind, rng: kind(rng.random((60, 20))),
    "Descent": lambda kind, rng: kind(),
    "BatchMeans": lambda kind, rng: kind(rng.normal(size=(2200, 3))),
    "GammaBeta": lambda kind, rng: kind(rng.normal(size=(300, 3))),
    "LayerFlow": lambda kind, rng: kind(rng.random((60, 20)), rng.normal(size=(20, 10))),
    "Nudge": lambda kind, rng: kind(rng.normal(size=40)),
    "RunningEstimate": lambda kind, rng: kind(rng.normal(size=200), 0.1),
    "LearningRates": lambda kind, rng: kind(stored_runs()),
    "HalfPrecision": lambda kind, rng: kind(m=32),
    "WhoseMean": lambda kind, rng: kind(nb10.stored_runs()),
    "WhereToLook": lambda kind, rng: kind(),
    "OtherLight": lambda kind, rng: kind(nb14.stored_runs()),
    "Routes": lambda kind, rng: kind(nb16.stored_runs()),
    "WhoIsDark": lambda kind, rng: kind(dict.fromkeys((*nb15.TESTS, nb15.TRAINING), "BS")),
    "ManyDevices": lambda kind, rng: kind(nb12.stored_runs(), rng.normal(size=(4, 64))),
    "DownTheNet": lambda kind, rng: kind(rng.random((256, 20))),
    "WhereItStopped": lambda kind, rng: kind(nb11.stored_runs()),
}


def drive(explorer):
    """Draw it at every value of every control, the others at their start and at both their ends."""
    live = _Live(explorer, sharpness=0.2)
    ends = [{c.name: c.all_values()[end] for c in explorer.controls} for end in (0, -1)]
    for others in (explorer.values, *ends):
        for control in explorer.controls:
            for value in control.all_values():
                text, _ = live.frame({**others, control.name: value})
                assert len(text) > 20


@pytest.mark.parametrize("kind", [Line, *SHIPPED], ids=lambda kind: kind.__name__)
def test_every_value_of_every_control_can_be_drawn(kind, rng):
    explorer = Line() if kind is Line else MADE[kind.__name__](kind, rng)
    drive(explorer)
    explorer.close()


def test_a_control_that_divides_by_zero_is_found():
    class Planted(Line):
        def update(self, art, slope, **values):
            super().update(art, slope=slope, **values)
            return f"The slope is {slope:g}, its inverse {np.float64(1) / slope:.1f}."

    with pytest.raises((ZeroDivisionError, RuntimeWarning)):
        drive(Planted())


def test_all_values_reach_from_end_to_end():
    slope, m, look, grow = (control.all_values() for control in Line.controls)
    assert slope == (-2.0, -1.5, -1.0, -0.5, 0.0, 0.5, 1.0, 1.5, 2.0)
    assert (m, look, grow) == ((1, 4, 16), ("solid", "dashed"), (False, True))
    assert Slider("k", "k", 0, 3, 1).all_values() == (0, 1, 2, 3)


@pytest.fixture
def run_cell(monkeypatch):
    """run_cell(cell, execution): from now on, widgets are made by this run of this cell."""
    request = {}
    kernel = SimpleNamespace(get_parent=lambda: request)
    monkeypatch.setattr(widget, "get_ipython", lambda: SimpleNamespace(kernel=kernel))
    monkeypatch.setattr(widget, "_LIVING", {})

    def run(cell, execution):
        request.update(metadata={"cellId": cell}, header={"msg_id": execution})

    return run


def test_cell_that_runs_again_closes_its_last_explorers(run_cell):
    run_cell("a", "1")
    first, second = Line(), Line()
    run_cell("b", "2")
    other = Line()
    figure = weakref.ref(first._live.fig)
    run_cell("a", "3")
    Line()
    gc.collect()
    assert figure() is None
    assert [one.comm is None for one in (first, second, other)] == [True, True, False]


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads Linux's own count")
def test_explorer_cell_run_again_costs_no_memory(run_cell):
    def resident():
        gc.collect()
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE")

    class Large(Line):
        size = (9.0, 5.0)

    kept, before = [], []
    for execution in range(9):
        run_cell("a", str(execution))
        kept.append(Large())  # as Out[…] keeps what a cell's last line shows
        before.append(resident())
    assert before[-1] - before[2] < 20e6  # the six that stayed would take 100 MB


def test_closed_explorer_still_draws_stills():
    line = Line()
    line.close()
    assert description(line.still(slope=2.0)).endswith("The slope is 2 m/s, solid, with 4 points.")


@pytest.mark.parametrize("corner", [(-2.0, 1, "solid", True), (2.0, 16, "dashed", False)], ids=str)
def test_corners_of_the_controls_can_be_drawn(corner):
    line = Line(**dict(zip(("slope", "m", "look", "grow"), corner, strict=True)))
    assert f"slope is {corner[0]:g}" in line.state_text


def test_moving_artists_alone_are_redrawn():
    line = Line()
    background = line._live.background
    line.set(slope=-1.0)
    assert line._live.background is background
    line.set(grow=True)
    assert line._live.background is not background


def test_picture_has_the_promised_size():
    assert_allclose(pixels(Line()).shape, (400, 600, 3))
