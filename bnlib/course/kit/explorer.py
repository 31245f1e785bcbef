"""Explorer: controls, one live picture, and one sentence that says what it shows.

The picture is drawn here, in Python; only its moving artists are redrawn on a change, so that a
key press reaches the screen in under a tenth of a second. The controls are the browser's own
(range, radio, checkbox), with names that a screen reader reads: ipywidgets' sliders have none.
"""

from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import traitlets
from matplotlib.artist import Artist
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from bnlib.course.kit.figures import checked_alt, described, fast_png
from bnlib.course.kit.style import DPI, SHARPNESS
from bnlib.course.kit.widget import Widget

_HERE = Path(__file__).parent


@dataclass(frozen=True)
class Slider:
    """A slider over a range, or over listed values (for powers of two, rates, anything uneven).

    name    the argument of update() that it sets
    label   str shown beside it, with the symbol: "batch size m"
    low, high, step  the range; or
    values  the listed values, in order
    value   where it stands at first
    unit    str after the number
    digits  decimals shown; listed values are shown with format(value, "g") unless digits is given
    """

    name: str
    label: str
    low: float | None = None
    high: float | None = None
    step: float | None = None
    value: float | None = None
    values: tuple = ()
    unit: str = ""
    digits: int | None = None

    def __post_init__(self):
        ranged = None not in (self.low, self.high, self.step)
        if ranged == bool(len(self.values)):
            raise ValueError(f"slider {self.name!r}: give either low, high and step, or values")
        for name in ("low", "high", "step", "value"):
            object.__setattr__(self, name, _plain(getattr(self, name)))
        object.__setattr__(self, "values", tuple(_plain(value) for value in self.values))
        start = self.value if self.value is not None else (self.low if ranged else self.values[0])
        object.__setattr__(self, "value", start)
        self.encode(start)

    def encode(self, value):
        """What the browser's control holds. Raises ValueError when the slider has no such value."""
        if self.values:
            if value not in self.values:
                raise ValueError(f"{self.name} is {value!r}; it must be one of {self.values}")
            return self.values.index(value)
        if not self.low <= value <= self.high:
            raise ValueError(f"{self.name} is {value!r}; it must lie in {self.low}..{self.high}")
        return float(value)

    def decode(self, raw):
        if self.values:
            return self.values[min(max(int(raw), 0), len(self.values) - 1)]
        value = min(max(float(raw), self.low), self.high)
        if all(isinstance(part, int) for part in (self.low, self.high, self.step)):
            return round(value)
        return round(value, 10)

    def all_values(self):
        """Every value that it can stand at, in order."""
        if self.values:
            return self.values
        steps = round((self.high - self.low) / self.step)
        return tuple(self.decode(self.low + i * self.step) for i in range(steps + 1))

    def spec(self):
        unit = f" {self.unit}" if self.unit else ""
        if self.values:
            form = "g" if self.digits is None else f".{self.digits}f"
            texts = [f"{v:{form}}{unit}" if not isinstance(v, str) else v for v in self.values]
            return {"kind": "range", "low": 0, "high": len(texts) - 1, "step": 1, "texts": texts}
        digits = _decimals(self.step) if self.digits is None else self.digits
        return {
            "kind": "range", "low": self.low, "high": self.high, "step": self.step,
            "digits": digits, "unit": unit,
        }  # fmt: skip


@dataclass(frozen=True)
class Choice:
    """A choice among a few words, as radio buttons."""

    name: str
    label: str
    options: tuple
    value: str | None = None

    def __post_init__(self):
        object.__setattr__(self, "options", tuple(self.options))
        start = self.options[0] if self.value is None else self.value
        object.__setattr__(self, "value", start)
        self.encode(start)

    def encode(self, value):
        if value not in self.options:
            raise ValueError(f"{self.name} is {value!r}; it must be one of {self.options}")
        return self.options.index(value)

    def decode(self, raw):
        return self.options[min(max(int(raw), 0), len(self.options) - 1)]

    def all_values(self):
        return self.options

    def spec(self):
        return {"kind": "choice", "texts": [str(option) for option in self.options]}


@dataclass(frozen=True)
class Switch:
    """An on/off switch, as a checkbox."""

    name: str
    label: str
    value: bool = False

    def encode(self, value):
        return bool(value)

    def decode(self, raw):
        return bool(raw)

    def all_values(self):
        return False, True

    def spec(self):
        return {"kind": "switch"}


class Explorer(Widget):
    """Base of the explorers. A subclass names four things and writes two methods:

    title     str, shown above and read out as the widget's name
    alt       str, what the picture is, for who cannot see it (the state is said by the sentence)
    controls  tuple of Slider, Choice, Switch
    size      (width, height) in inches, 100 CSS pixels each

    draw(fig) -> SimpleNamespace     draws everything once; the namespace holds the moving artists
                                     (and lists of them), under names of your choice
    update(art, **values) -> str     moves them to the controls' values; returns the sentence

    Keep axis limits fixed: where update changes them, everything is drawn afresh, which is slow.
    Data go through __init__: set them before super().__init__(). Give values there to start from
    others: Explorer(m=32).
    """

    title = ""
    alt = ""
    controls = ()
    size = (8.0, 4.5)

    _esm = (_HERE / "explorer.js").read_text(encoding="utf-8")
    _css = (_HERE / "explorer.css").read_text(encoding="utf-8")
    _spec = traitlets.Dict().tag(sync=True)
    _raw = traitlets.Dict().tag(sync=True)
    _picture = traitlets.Bytes().tag(sync=True)
    _text = traitlets.Unicode().tag(sync=True)
    _ratio = traitlets.Float(float(SHARPNESS)).tag(sync=True)  # screen pixels per CSS pixel

    def __init__(self, **values):
        known = {control.name: control for control in self.controls}
        unknown = set(values) - set(known)
        if unknown:
            raise TypeError(f"{type(self).__name__} has no control {sorted(unknown)[0]!r}; "
                            f"it has {', '.join(known)}")  # fmt: skip
        super().__init__()
        self._spec = {
            "title": self.title,
            "alt": checked_alt(self.alt),
            "width": round(self.size[0] * DPI),
            "height": round(self.size[1] * DPI),
            "controls": [{"name": c.name, "label": c.label, **c.spec()} for c in self.controls],
        }
        self._raw = {n: c.encode(values.get(n, c.value)) for n, c in known.items()}
        self._live = _Live(self)
        self._text, pixels = self._live.frame(self.values)
        self._picture = fast_png(pixels)
        self.observe(self._refresh, "_raw")
        self.observe(self._sharpen, "_ratio")

    def draw(self, fig):
        raise NotImplementedError(f"{type(self).__name__} must define draw(fig)")

    def update(self, art, **values):
        raise NotImplementedError(f"{type(self).__name__} must define update(art, **values)")

    @property
    def values(self):
        """The controls' values, by name."""
        return {c.name: c.decode(self._raw.get(c.name, c.encode(c.value))) for c in self.controls}

    @property
    def state_text(self):
        """The sentence below the picture."""
        return self._text

    def set(self, **values):
        """Move controls from Python: set(m=64)."""
        known = {control.name: control for control in self.controls}
        self._raw = {**self._raw, **{n: known[n].encode(v) for n, v in values.items()}}

    def still(self, **values):
        """The same picture as a Figure for show(), at the given values (else the present ones).

        What stands for it where it cannot be seen is the explorer's alt and the state's sentence.
        """
        known = {control.name: control for control in self.controls}
        for name, value in values.items():
            known[name].encode(value)
        fig = Figure(figsize=self.size, dpi=DPI, layout="constrained")
        art = self.draw(fig)
        state = self.update(art, **{**self.values, **values})
        return described(fig, f"{self.alt} {state}")

    def close(self):
        """Leave the page, and let go of the figure: its pixels are most of an explorer's memory."""
        super().close()
        self._live = None

    def _refresh(self, change):
        try:
            text, pixels = self._live.frame(self.values)
        except Exception as error:  # nobody sees a traceback in a callback: say it in the widget
            self._text = f"This explorer stopped: {type(error).__name__}: {error}"
            raise
        with self.hold_sync():
            self._text = text
            self._picture = fast_png(pixels)

    def _sharpen(self, change):
        """A screen told its resolution: draw that many pixels from now on, and no more."""
        self._live = _Live(self, min(max(change.new, 1.0), SHARPNESS))
        self._live.frame(self.values)

    def __repr__(self):
        return f"Explorer “{self.title}”: {self._text}"


class _Live:
    """A figure of which only the moving artists are redrawn over a stored background."""

    def __init__(self, explorer, sharpness=SHARPNESS):
        self.explorer = explorer
        self.fig = Figure(figsize=explorer.size, dpi=DPI * sharpness, layout="constrained")
        self.canvas = FigureCanvasAgg(self.fig)
        self.art = explorer.draw(self.fig)
        self.background = self.limits = None

    def frame(self, values):
        """(sentence, (H, W, 4) uint8 pixels; a view that the next frame overwrites)."""
        text = self.explorer.update(self.art, **values)
        moving = list(_artists(vars(self.art).values()))
        for artist in moving:
            artist.set_animated(True)
        limits = [(ax.get_xlim(), ax.get_ylim()) for ax in self.fig.axes]
        if self.background is None or limits != self.limits:
            self.canvas.draw()
            self.fig.set_layout_engine("none")  # laid out once: the axes must not jump
            self.background = self.canvas.copy_from_bbox(self.fig.bbox)
            self.limits = limits
        self.canvas.restore_region(self.background)
        renderer = self.canvas.get_renderer()
        for artist in sorted(moving, key=lambda artist: artist.get_zorder()):
            artist.draw(renderer)
        return str(text), np.asarray(self.canvas.buffer_rgba())


def _artists(things):
    for thing in things:
        if isinstance(thing, Artist):
            yield thing
        elif isinstance(thing, dict | SimpleNamespace):
            yield from _artists((thing if isinstance(thing, dict) else vars(thing)).values())
        elif isinstance(thing, list | tuple | np.ndarray):
            yield from _artists(thing)


def _plain(value):
    """NumPy's numbers as Python's, which travel as JSON."""
    return value.item() if isinstance(value, np.generic) else value


def _decimals(step):
    text = f"{step:.10f}".rstrip("0")
    return len(text.split(".")[1])
