"""Frames: an explorer's pictures for a page without a kernel, and the page that plays them."""

import io
import itertools
import math
from types import SimpleNamespace

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from PIL import Image

from bnlib.course.kit.explorer import Choice, Explorer, Slider, Switch, _Live
from bnlib.course.kit.frames import AT_MOST, frames, thinned


class Line(Explorer):
    title = "A line and its slope"
    alt = "A straight line through the origin."
    controls = (
        Slider("slope", "slope a", -2.0, 2.0, 0.5, 1.0, unit="m/s"),
        Slider("m", "size m", values=(1, 4, 16), value=4),
        Choice("look", "drawn", ("solid", "dashed")),
        Switch("thick", "thick", False),
    )
    size = (3.0, 2.0)

    def draw(self, fig):
        ax = fig.subplots()
        ax.set(xlim=(0, 1), ylim=(-2, 2))
        return SimpleNamespace(line=ax.plot([0, 1], [0, 1])[0], dots=ax.plot([], [], "k.")[0])

    def update(self, art, slope, m, look, thick):
        art.line.set(ydata=[0, slope], linestyle="-" if look == "solid" else "--")
        art.line.set_linewidth(1 + 3 * thick)
        xs = np.linspace(0, 1, m)
        art.dots.set_data(xs, slope * xs)
        return f"The slope is {slope:g} m/s, {look}, with {m} points."


def kept(explorer, at_most):
    return thinned(explorer.controls, explorer.values, at_most)


def test_frames_are_every_combination_where_there_is_room():
    found = frames(Line())
    assert len(found.pictures) == len(found.sentences) == 9 * 3 * 2 * 2
    assert found.raw == {"slope": 6, "m": 1, "look": 0, "thick": False}


def test_frame_is_the_picture_and_the_sentence_at_its_values():
    line = Line()
    found = frames(line)
    combinations = list(itertools.product(*kept(line, 300)))
    number = combinations.index((-1.5, 16, "dashed", True))
    values = dict(zip(("slope", "m", "look", "thick"), combinations[number], strict=True))
    text, pixels = _Live(line, sharpness=1).frame(values)
    assert found.sentences[number] == text
    picture = np.asarray(Image.open(io.BytesIO(found.pictures[number])))
    assert_array_equal(picture, pixels[:, :, :3])


@pytest.mark.parametrize("at_most", [107, 50, 20, 8, 4])
def test_thinned_keeps_ends_start_and_choices(at_most):
    slope, m, look, grow = kept(Line(), at_most)
    assert math.prod(map(len, (slope, m, look, grow))) <= at_most
    assert 1.0 in slope
    assert 4 in m
    assert (look, grow) == (("solid", "dashed"), (False, True))
    if len(slope) > 2:
        assert {slope[0], slope[-1]} == {-2.0, 2.0}
    assert list(slope) == sorted(set(slope))


def test_choices_stay_whole_even_where_that_is_too_many():
    assert [len(values) for values in kept(Line(), 1)] == [1, 1, 2, 2]
    assert len(frames(Line(), at_most=1).pictures) == 4


def test_frames_stay_within_their_bytes():
    whole = sum(map(len, frames(Line()).pictures))
    found = frames(Line(), size=whole // 3)
    assert sum(map(len, found.pictures)) <= whole // 3
    assert len(found.pictures) >= 16


def test_frames_end_where_nothing_can_be_left_out():
    assert len(frames(Line(), size=1).pictures) == 4


def test_pictures_get_fewer_colors_where_nothing_can_be_left_out():
    whole = frames(Line(), at_most=1).pictures
    few = frames(Line(), at_most=1, size=int(0.9 * sum(map(len, whole)))).pictures
    assert len(few) == len(whole)
    assert sum(map(len, few)) <= 0.9 * sum(map(len, whole))
    before, after = (
        np.asarray(Image.open(io.BytesIO(pictures[0])).convert("RGB"), float)
        for pictures in (whole, few)
    )
    assert np.abs(before - after).mean() < 2  # of 255


def test_texts_of_a_thinned_slider_are_those_that_the_explorer_shows():
    slope = frames(Line(), at_most=20).spec["controls"][0]
    assert slope["texts"][0] == "-2.0 m/s"
    assert slope["high"] == len(slope["texts"]) - 1


def test_frames_leave_the_explorer_where_it_is():
    line = Line(slope=-0.5)
    frames(line, at_most=20)
    assert line.values["slope"] == -0.5


@pytest.mark.parametrize("at_most", [300, 20])
def test_start_is_the_frame_that_the_explorer_shows(at_most):
    line = Line(slope=-0.5, look="dashed", thick=True)
    found = frames(line, at_most=at_most)
    assert found.sentences[found.start] == line._text


def test_at_most_below_one_raises():
    with pytest.raises(ValueError, match="at_most is 0"):
        frames(Line(), at_most=0)


def test_page_data_holds_addresses_in_place_of_pictures():
    data = frames(Line(), at_most=20).page_data("line/{}.webp".format)
    assert data["pictures"][3] == "line/3.webp"
    assert data.keys() == {"spec", "raw", "start", "sentences", "pictures"}
    assert AT_MOST == 300
