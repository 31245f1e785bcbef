"""show: a figure in the notebook, with the text that stands for it where it cannot be seen."""

import base64
import html
import io
import struct
import sys
import zlib

import numpy as np
from PIL import Image

from bnlib.course.kit.markup import to_html, to_plain
from bnlib.course.kit.style import CARD, DPI, SHARPNESS
from bnlib.course.kit.words import spoken

SHORTEST_ALT = 20  # characters: "a plot" describes nothing


def described(thing, text):
    """Record what a picture shows, for who cannot see it; show() reads it. Returns the thing.

    thing  Figure, Axes or array of Axes. What an Axes shows is joined with the other Axes of its
           figure, unless the Figure (or the array, which is all of it) has a text of its own.
    text   str: what is drawn, its numbers computed from what is drawn
    """
    from matplotlib.axes import Axes

    text = " ".join(text.split())
    if text[:3].isalpha():  # a word, not a symbol
        text = text[0].upper() + text[1:]
    (thing if isinstance(thing, Axes) else figure_of(thing)).bn_alt = text
    return thing


def description(figure):
    """What described() recorded for a figure, its title first; "" where there is nothing."""
    fig = figure_of(figure)
    texts = [text for ax in fig.axes if (text := getattr(ax, "bn_alt", ""))]
    text = getattr(fig, "bn_alt", "") or " ".join(texts)
    title = fig.get_suptitle() or (fig.axes[0].get_title(loc="left") if len(texts) == 1 else "")
    return f"“{spoken(title)}”. {text}" if title and text else text


def show(figure, alt=None, caption=None, *, width=None):
    """Display a figure with the text that stands for it where it cannot be seen.

    figure   matplotlib Figure or Axes, or an array of Axes
    alt      str, at least a sentence: what a person who cannot see the picture needs to know;
             the course's own plots bring theirs
    caption  str or None, shown below; `code`, *stress* and $formulas$ are set
    width    displayed width in CSS pixels; by default the figure's own

    Returns None. The cell gets two outputs: the picture as PNG, which every viewer of notebooks
    shows, and below it the caption and the text, which JupyterLab does not read out from a PNG.
    Raises TypeError when figure is no figure, ValueError when there is no text or too short a one.
    """
    from IPython.display import display

    for data, metadata in picture(figure, alt, caption, width=width):
        display(data, metadata=metadata, raw=True)


def picture(figure, alt=None, caption=None, *, width=None):
    """What show displays: two pairs (data by MIME type, metadata). Arguments and errors as there.

    Both plain texts begin with "Figure: ", by which tests/nbval_sanitize.cfg knows them.
    """
    fig = figure_of(figure)
    alt = checked_alt(description(fig) if alt is None else alt)
    png = png_bytes(fig, framed=True)
    _close_pyplot(fig)
    width = round(width or fig.get_figwidth() * DPI)
    below = f"<p>{to_html(caption)}</p>" if caption else ""
    below += "<details><summary>What this figure shows</summary>"
    below += f"<p>{html.escape(alt, quote=False)}</p></details>"
    plain = f"Figure: {to_plain(caption)}" if caption else "Figure: its text stands above."
    return [
        (
            {"image/png": base64.b64encode(png).decode(), "text/plain": f"Figure: {alt}"},
            {"image/png": {"alt": alt, "width": width}},
        ),
        ({"text/html": below, "text/plain": plain}, {}),
    ]


def checked_alt(alt):
    """The alt text on one line. Raises ValueError when it says too little."""
    if not isinstance(alt, str):
        raise ValueError(f"alt is {alt!r}; it must be a sentence that stands for the picture")
    alt = " ".join(alt.split())
    if not alt:
        raise ValueError("alt is empty, and this figure brings no text: write what it shows")
    if len(alt) < SHORTEST_ALT or " " not in alt:
        raise ValueError(
            f"alt is {alt!r}, {len(alt)} characters; write what a person who cannot see the "
            f"picture needs to know, at least {SHORTEST_ALT} characters"
        )
    return alt


def figure_of(thing):
    """The Figure that an Axes, a SubFigure, an array of Axes or a Figure belongs to."""
    from matplotlib.figure import Figure

    if isinstance(thing, np.ndarray | list | tuple) and len(thing):
        return figure_of(np.asarray(thing, dtype=object).ravel()[0])
    for _ in range(8):  # Axes → SubFigure → … → Figure
        if isinstance(thing, Figure):
            return thing
        thing = getattr(thing, "figure", None)
    raise TypeError("figure must be a matplotlib Figure or Axes, such as a plots function returns")


def png_bytes(fig, sharpness=SHARPNESS, framed=False):
    """The figure as PNG, sharpness × DPI pixels an inch, its bytes a function of its pixels.

    It is made for speed; .make/notebooks.py stores it smaller.

    framed  draws a line around it, one CSS pixel wide: on a dark page a figure is a white card
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    canvas, dpi = FigureCanvasAgg(fig), fig.dpi
    try:
        fig.dpi = DPI * sharpness
        canvas.draw()
        pixels = np.array(canvas.buffer_rgba())
    finally:
        fig.dpi = dpi
    if framed:
        pixels = np.pad(
            pixels[sharpness:-sharpness, sharpness:-sharpness],
            ((sharpness, sharpness), (sharpness, sharpness), (0, 0)),
            constant_values=int(CARD[1:3], 16),  # a grey: red, green and blue alike
        )
        pixels[..., 3] = 255
    if pixels[..., 3].min() < 255:
        pixels[..., :3], pixels[..., 3] = on_white(pixels), 255
    return fast_png(pixels, level=4)


def fast_png(pixels, level=1):
    """(H, W, 4) uint8 → PNG bytes in a tenth of the usual time: row differences, light zip."""
    height, width = pixels.shape[:2]
    rgb = pixels[:, :, :3].reshape(height, -1)
    rows = np.empty((height, 1 + 3 * width), np.uint8)
    rows[:, 0] = 2  # PNG's filter "up": each row minus the one above
    rows[0, 1:] = rgb[0]
    np.subtract(rgb[1:], rgb[:-1], out=rows[1:, 1:])
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in [(b"IHDR", header), (b"IDAT", zlib.compress(rows, level)), (b"IEND", b"")]
    )


def small_png(pixels):
    """(H, W, 4) uint8 RGBA on white → PNG bytes; a palette where the eye cannot tell."""
    flat = on_white(pixels)
    exact = np.asarray(flat, np.int16)
    for colors, worst in ((32, 16), (64, 20), (256, 24)):
        few = flat.quantize(colors, Image.Quantize.MEDIANCUT, kmeans=2, dither=Image.Dither.NONE)
        error = np.abs(exact - np.asarray(few.convert("RGB"), np.int16))
        if error.mean() < 0.3 and np.quantile(error, 0.999) <= worst:  # of 255
            return _encode(few)
    return _encode(flat)


def on_white(pixels):
    """(H, W, 4) uint8 RGBA as an RGB image that lies on white."""
    image = Image.fromarray(pixels)
    flat = Image.new("RGB", image.size, "white")
    flat.paste(image, mask=image.getchannel("A"))
    return flat


def _encode(image):
    stream = io.BytesIO()
    image.save(stream, "png", optimize=True)
    return stream.getvalue()


def _close_pyplot(fig):
    """A pyplot figure that was shown here must not be shown again at the cell's end."""
    pyplot = sys.modules.get("matplotlib.pyplot")
    if pyplot is not None and getattr(fig, "number", None) in pyplot.get_fignums():
        pyplot.close(fig)
