"""show: a figure in the notebook, with the text that stands for it where it cannot be seen."""

import base64
import html
import io
import sys

import numpy as np
from PIL import Image

from bnlib.course.kit.markup import Rich, to_html
from bnlib.course.kit.style import DPI, SHARPNESS

SHORTEST_ALT = 20  # characters: "a plot" describes nothing


def show(figure, alt, caption=None, *, width=None):
    """Display a figure with its alternative text.

    figure   matplotlib Figure or Axes, or an array of Axes
    alt      str, at least a sentence: what a person who cannot see the picture needs to know
    caption  str or None, shown below; `code`, *stress* and $formulas$ are set
    width    displayed width in CSS pixels; by default the figure's own

    Returns None; the picture goes to the cell's output (HTML, and the alt text as plain text).
    Raises TypeError when figure is no figure, ValueError when alt is missing or too short.
    """
    from IPython.display import display

    display(picture(figure, alt, caption, width=width))


def picture(figure, alt, caption=None, *, width=None):
    """What show displays, as an object. Arguments and errors as in show."""
    fig = figure_of(figure)
    alt = checked_alt(alt)
    png = png_bytes(fig)
    _close_pyplot(fig)
    width = round(width or fig.get_figwidth() * DPI)
    below = f"<figcaption>{to_html(caption)}</figcaption>" if caption else ""
    source = base64.b64encode(png).decode()
    return Rich(
        alt if not caption else f"{alt}\n{caption}",
        '<figure style="margin:.4em 0">'
        f'<img alt="{html.escape(alt)}" width="{width}" '
        'style="max-width:100%;height:auto;background:#fff" '
        f'src="data:image/png;base64,{source}">{below}</figure>',
    )


def checked_alt(alt):
    """The alt text on one line. Raises ValueError when it says too little."""
    if not isinstance(alt, str):
        raise ValueError(f"alt is {alt!r}; it must be a sentence that stands for the picture")
    alt = " ".join(alt.split())
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


def png_bytes(fig, sharpness=SHARPNESS):
    """The figure as PNG, sharpness × DPI pixels an inch, its bytes a function of its pixels."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    canvas, dpi = FigureCanvasAgg(fig), fig.dpi
    try:
        fig.dpi = DPI * sharpness
        canvas.draw()
        pixels = np.array(canvas.buffer_rgba())
    finally:
        fig.dpi = dpi
    return small_png(pixels)


def small_png(pixels):
    """(H, W, 4) uint8 RGBA on white → PNG bytes; a palette where the eye cannot tell."""
    image = Image.fromarray(pixels)
    flat = Image.new("RGB", image.size, "white")
    flat.paste(image, mask=image.getchannel("A"))
    exact = np.asarray(flat, np.int16)
    for colors, worst in ((64, 16), (256, 24)):
        few = flat.quantize(colors, Image.Quantize.MEDIANCUT, kmeans=2, dither=Image.Dither.NONE)
        error = np.abs(exact - np.asarray(few.convert("RGB"), np.int16))
        if error.mean() < 0.3 and np.quantile(error, 0.999) <= worst:  # of 255
            return _encode(few)
    return _encode(flat)


def _encode(image):
    stream = io.BytesIO()
    image.save(stream, "png", optimize=True)
    return stream.getvalue()


def _close_pyplot(fig):
    """A pyplot figure that was shown here must not be shown again at the cell's end."""
    pyplot = sys.modules.get("matplotlib.pyplot")
    if pyplot is not None and getattr(fig, "number", None) in pyplot.get_fignums():
        pyplot.close(fig)
