"""show: what reaches the page is the picture, its alternative text, and bytes that repeat."""

import base64
import io
import re
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from bnlib.course import show, use_course_style
from bnlib.course.kit import plots
from bnlib.course.kit.figures import (
    described,
    description,
    fast_png,
    figure_of,
    picture,
    png_bytes,
    small_png,
)
from bnlib.course.kit.markup import CSS
from bnlib.course.kit.style import CARD, COLORS, HATCHES, LINESTYLES, MARKERS, NETS, OTHERS

ALT = "A line that rises from 1 to 3."


@pytest.fixture(autouse=True)
def _style():
    printing = np.get_printoptions()
    with mpl.rc_context():
        use_course_style()
        yield
    np.set_printoptions(**printing)


def drawn(color="blue"):
    fig = Figure(figsize=(4, 3), layout="constrained")
    fig.subplots().plot([1, 2, 3], color=COLORS[color])
    return fig


def png_in(shown):
    return base64.b64decode(shown[0][0]["image/png"])


def test_picture_is_an_output_of_its_own_with_its_text():
    (data, metadata), _ = picture(drawn(), ALT)
    assert data.keys() == {"image/png", "text/plain"}
    assert data["text/plain"] == f"Figure: {ALT}"
    assert metadata == {"image/png": {"alt": ALT, "width": 400}}
    assert Image.open(io.BytesIO(png_in(picture(drawn(), ALT)))).size == (800, 600)


def test_text_stands_folded_below_the_picture():
    _, (data, _) = picture(drawn(), "x < 3 & <script>alert</script>")
    assert data["text/html"] == (
        "<details><summary>What this figure shows</summary>"
        "<p>x &lt; 3 &amp; &lt;script&gt;alert&lt;/script&gt;</p></details>"
    )


def test_caption_stands_before_it_with_its_marks():
    _, (data, _) = picture(drawn(), ALT, "The `x` of $a < b$")
    assert data["text/html"].startswith("<p>The <code>x</code> of $a &lt; b$</p><details>")
    assert data["text/plain"] == "Figure: The x of $a < b$"


def test_show_displays_and_returns_nothing(capsys):
    assert show(drawn(), alt=ALT) is None
    assert ALT in capsys.readouterr().out


@pytest.mark.parametrize("alt", ["", "a plot", "   " * 20, "x" * 40, 7], ids=repr)
def test_empty_alt_text_raises(alt):
    with pytest.raises(ValueError, match="alt is"):
        picture(drawn(), alt)


def test_figure_without_any_text_raises():
    with pytest.raises(ValueError, match="this figure brings no text"):
        picture(drawn())


def test_figure_brings_its_own_text():
    fig = drawn()
    assert described(fig.axes[0], f"  {ALT}\n ") is fig.axes[0]
    assert description(fig) == ALT
    assert picture(fig)[0][1]["image/png"]["alt"] == ALT
    assert picture(fig, "A text that a reader wrote.")[0][1]["image/png"]["alt"].startswith(
        "A text"
    )


def test_texts_of_several_axes_are_joined_unless_the_figure_has_its_own():
    fig = Figure()
    for ax, text in zip(fig.subplots(1, 2), ("Left falls.", "Right rises."), strict=True):
        described(ax, text)
    assert description(fig) == "Left falls. Right rises."
    described(fig.axes, "Both move.")
    assert description(fig) == "Both move."


def test_title_is_said_too():
    fig = drawn()
    described(fig.axes[0], ALT).set_title(r"It rises with $\kappa$")
    assert description(fig) == f"“It rises with κ”. {ALT}"


def test_line_around_the_picture_stands_out_on_white_and_on_dark():
    image = Image.open(io.BytesIO(png_in(picture(drawn(), ALT)))).convert("RGB")
    edges = {image.getpixel(at) for at in ((0, 0), (799, 599), (1, 300), (400, 598))}
    assert edges == {(118, 118, 118)}
    assert image.getpixel((2, 2)) == (255, 255, 255)


def test_same_drawing_gives_same_bytes():
    assert png_bytes(drawn()) == png_bytes(drawn())


def test_other_drawing_gives_other_bytes():
    assert png_bytes(drawn("blue")) != png_bytes(drawn("vermillion"))


def test_png_carries_no_date_and_no_software():
    assert Image.open(io.BytesIO(png_bytes(drawn()))).info.keys() <= {"dpi", "transparency"}


def test_drawing_twice_leaves_the_figure_as_it_was():
    fig = drawn()
    first, dpi = png_bytes(fig), fig.dpi
    assert fig.dpi == dpi
    assert png_bytes(fig) == first


def test_fast_png_is_exact():
    image = np.random.default_rng(0).integers(0, 256, (37, 53, 4), np.uint8)
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(fast_png(image)))), image[..., :3])


def test_what_is_seen_through_lies_on_white():
    fig = drawn()
    fig.set_facecolor("none")
    seen, white = (np.asarray(Image.open(io.BytesIO(png_bytes(f))), int) for f in (fig, drawn()))
    assert np.abs(seen - white).max() <= 2


def test_small_png_keeps_flat_pictures_exact():
    pixels = np.full((40, 60, 4), 255, np.uint8)
    pixels[10:20, 10:20] = (0, 114, 178, 255)
    assert np.array_equal(
        np.asarray(Image.open(io.BytesIO(small_png(pixels))).convert("RGBA")), pixels
    )


def test_small_png_keeps_photographs_close():
    pixels = np.random.default_rng(0).integers(0, 256, (40, 60, 4), np.uint8)
    pixels[..., 3] = 255
    back = np.asarray(Image.open(io.BytesIO(small_png(pixels))).convert("RGB"), int)
    assert np.abs(back - pixels[..., :3]).max() == 0


def test_usual_plot_is_small():
    rng = np.random.default_rng(0)
    ax = plots.plot_histograms(rng.normal(size=999), labels=["x"], xlabel="x (no unit)", title="T")
    drawn_fast = png_bytes(ax.figure)
    assert len(drawn_fast) < 90_000
    pixels = np.asarray(Image.open(io.BytesIO(drawn_fast)).convert("RGBA"))
    assert len(small_png(pixels)) < 40_000


def test_axes_arrays_and_subfigures_lead_to_the_figure():
    fig = Figure()
    part = fig.subfigures(1, 2)[0]
    axes = part.subplots(2, 2)
    assert figure_of(axes) is figure_of(axes[0, 0]) is figure_of(part) is figure_of(fig) is fig


@pytest.mark.parametrize("thing", [None, 3, "fig", [], np.zeros(3)], ids=repr)
def test_no_figure_raises(thing):
    with pytest.raises(TypeError, match="figure"):
        picture(thing, ALT)


def test_pyplot_figure_is_not_shown_twice():
    import matplotlib.pyplot as plt

    plt.switch_backend("agg")
    fig, ax = plt.subplots()
    picture(ax, ALT)
    assert fig.number not in plt.get_fignums()


def test_style_sets_fonts_for_the_back_row():
    assert mpl.rcParams["font.size"] >= 14
    assert np.array2string(np.array([1e-6, 0.123456])) == "[0.     0.1235]"


def test_every_color_has_a_second_channel():
    for channel in (LINESTYLES, MARKERS, HATCHES):
        assert len(channel) == len(COLORS)
    looks = {(str(line), marker) for line, marker in zip(LINESTYLES, MARKERS, strict=True)}
    assert len(looks) == len(COLORS)


def test_each_net_has_one_look_of_three_channels():
    looks = [(look["color"], str(look["linestyle"]), look["marker"]) for look in NETS.values()]
    assert looks[0] == (COLORS["vermillion"], "-", "o")
    for channel in zip(*looks, strict=True):
        assert len(set(channel)) == len(NETS)


def test_other_things_differ_from_the_nets_in_everything():
    looks = [*NETS.values(), *OTHERS]
    for key in ("color", "linestyle", "marker"):
        assert len({str(look[key]) for look in looks}) == len(looks)


def contrast(color, ground):
    """WCAG 2.1's contrast of two colours, 1 to 21."""

    def luminance(color):
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4
                  for c in mpl.colors.to_rgb(color)]  # fmt: skip
        return np.dot([0.2126, 0.7152, 0.0722], linear)

    low, high = sorted((luminance(color), luminance(ground)))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("color", [c for c in COLORS if c not in ("orange", "sky", "purple")])
def test_leading_colors_stand_out_from_white(color):
    assert contrast(COLORS[color], "white") >= 3.0  # 1.4.11: graphical objects


KIT = Path(picture.__code__.co_filename).parent
GROUNDS = ["#ffffff", "#111111", "#212121"]  # JupyterLab's pages: light, dark, and dark's panels


@pytest.mark.parametrize("ground", GROUNDS)
def test_borders_and_status_colors_stand_out_in_both_themes(ground):
    files = [CSS, *((KIT / name).read_text() for name in ("explorer.css", "asked.js"))]
    used = {c for text in files for c in re.findall(r"(?:border|outline)[^;}]*(#\w{6})", text)}
    assert {CARD.lower(), "#009e73", "#d55e00", "#0072b2"} == {c.lower() for c in used}
    assert min(contrast(color, ground) for color in used) >= 3.0


@pytest.mark.parametrize("name", ["explorer.css", "asked.js", "markup.py"])
def test_text_and_ground_are_set_together(name):
    """A host page that sets neither, or one of them, must not make a text unreadable."""
    text = (KIT / name).read_text()
    assert len(re.findall(r"color: ?var\(--jp-content-font-color1, ?#1a1a1a\)", text)) == 1
    assert len(re.findall(r"background: ?var\(--jp-layout-color0, ?#fff\)", text)) == 1
