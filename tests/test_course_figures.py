"""show: what reaches the page is the picture, its alternative text, and bytes that repeat."""

import base64
import io
import re
from html.parser import HTMLParser

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from bnlib.course import show, use_course_style
from bnlib.course.kit import plots
from bnlib.course.kit.figures import figure_of, picture, png_bytes, small_png
from bnlib.course.kit.style import COLORS, HATCHES, LINESTYLES, MARKERS

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


def tags(html):
    found = []

    class Parser(HTMLParser):
        def handle_starttag(self, tag, attrs):
            found.append((tag, dict(attrs)))

    Parser().feed(html)
    return found


def image_of(html):
    [attributes] = [attributes for tag, attributes in tags(html) if tag == "img"]
    data = re.fullmatch(r"data:image/png;base64,(.+)", attributes["src"]).group(1)
    return attributes, base64.b64decode(data)


def test_bundle_holds_the_picture_and_its_text():
    bundle = picture(drawn(), ALT)._repr_mimebundle_()
    attributes, png = image_of(bundle["text/html"])
    assert bundle["text/plain"] == attributes["alt"] == ALT
    assert Image.open(io.BytesIO(png)).size == (800, 600)
    assert attributes["width"] == "400"


def test_show_displays_and_returns_nothing(capsys):
    assert show(drawn(), alt=ALT) is None
    assert ALT in capsys.readouterr().out


@pytest.mark.parametrize("alt", [None, "", "a plot", "   " * 20, "x" * 40, 7], ids=repr)
def test_missing_or_empty_alt_text_raises(alt):
    with pytest.raises(ValueError, match="alt is"):
        picture(drawn(), alt)


def test_alt_text_is_escaped():
    alt = 'The value at x < 3 & y is "large" <script>'
    html = picture(drawn(), alt).html
    assert image_of(html)[0]["alt"] == alt
    assert "<script>" not in html


def test_caption_stands_below_with_its_marks():
    bundle = picture(drawn(), ALT, "The `x` of $a < b$")._repr_mimebundle_()
    assert "<figcaption>The <code>x</code> of $a &lt; b$</figcaption>" in bundle["text/html"]
    assert bundle["text/plain"].endswith("The `x` of $a < b$")


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
    assert len(png_bytes(ax.figure)) < 40_000


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


@pytest.mark.parametrize("color", [c for c in COLORS if c not in ("orange", "sky", "purple")])
def test_leading_colors_stand_out_from_white(color):
    red, green, blue = (
        c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4
        for c in mpl.colors.to_rgb(COLORS[color])
    )
    luminance = 0.2126 * red + 0.7152 * green + 0.0722 * blue
    assert 1.05 / (luminance + 0.05) >= 3.0  # WCAG 2.1, 1.4.11: graphical objects
