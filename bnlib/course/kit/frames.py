"""Frames: an explorer for a page without a kernel, as pictures over a grid of its controls."""

import io
import itertools
import math
from dataclasses import dataclass

import numpy as np
from PIL import Image

from bnlib.course.kit.explorer import Slider, _Live

AT_MOST = 300  # frames, and bytes of all pictures together: what a page may ask a reader to load
BYTES = 2_500_000


@dataclass(frozen=True)
class Frames:
    """What explorer.js needs in order to play an explorer from pictures.

    spec       as the explorer's own, with the values that are left
    raw        where the controls stand at first
    sentences  one for each combination of the controls' values, the last control's running fastest
    pictures   bytes of a lossless WebP each, in the same order
    """

    spec: dict
    raw: dict
    sentences: list
    pictures: list

    @property
    def start(self):
        """The place of the frame at which the controls stand at first."""
        number = 0
        for control in self.spec["controls"]:
            kind = control["kind"]
            choices = 2 if kind == "switch" else len(control["texts"])
            number = number * choices + int(self.raw[control["name"]])
        return number

    def page_data(self, address):
        """All but the pictures, which the page fetches from address(number) when it wants them."""
        return {
            "spec": self.spec,
            "raw": self.raw,
            "start": self.start,
            "sentences": self.sentences,
            "pictures": [address(i) for i in range(len(self.pictures))],
        }


def frames(explorer, at_most=AT_MOST, size=BYTES):
    """Draw an explorer over a grid of its controls' values: at most so many frames and bytes.

    Sliders are thinned out where there would be more, evenly and from end to end; where they stand
    at first is always among what is left. Choices and switches stay whole: where their pictures
    alone are too many bytes, they get fewer colours. The explorer itself stays where it is.
    """
    if at_most < 1:
        raise ValueError(f"at_most is {at_most}; it must be 1 or more")
    live, drawn = _Live(explorer, sharpness=1), {}

    def frame(values):
        if values not in drawn:
            names = [control.name for control in explorer.controls]
            text, pixels = live.frame(dict(zip(names, values, strict=True)))
            drawn[values] = text, webp(pixels)
        return drawn[values]

    while True:
        grid = thinned(explorer.controls, explorer.values, at_most)
        found = [frame(values) for values in itertools.product(*grid)]
        total = sum(len(picture) for _, picture in found)
        fewer = int(min(len(found) - 1, len(found) * size / total))
        if total <= size or thinned(explorer.controls, explorer.values, fewer) == grid:
            break
        at_most = fewer
    pictures = [picture for _, picture in found]
    for colors in (64, 32, 16):
        if sum(map(len, pictures)) > size:
            pictures = [fewer_colors(picture, colors) for _, picture in found]
    pairs = list(zip(explorer.controls, grid, strict=True))
    return Frames(
        spec={**explorer._spec, "controls": [_left(control, values) for control, values in pairs]},
        raw={c.name: _place(c, values, explorer.values[c.name]) for c, values in pairs},
        sentences=[text for text, _ in found],
        pictures=pictures,
    )


def thinned(controls, start, at_most):
    """The values that each control keeps, so that there are at most so many combinations."""
    counts = [len(control.all_values()) for control in controls]
    sliders = [i for i, control in enumerate(controls) if isinstance(control, Slider)]
    while math.prod(counts) > at_most:
        longest = max(sliders, key=lambda i: counts[i], default=None)
        if longest is None or counts[longest] == 1:
            break
        counts[longest] -= 1
    return [
        _evenly(control.all_values(), count, start[control.name])
        for control, count in zip(controls, counts, strict=True)
    ]


def _evenly(values, count, start):
    """So many of the values, from end to end, one of them where the control stands at first."""
    place = values.index(start)
    if count == 1:
        return (start,)
    kept = np.round(np.linspace(0, len(values) - 1, count)).astype(int)
    kept[np.abs(kept - place).argmin()] = place
    return tuple(values[i] for i in kept)


def _left(control, values):
    """A control's spec with the values that are left: explorer.js hides one that has no choice."""
    spec = {"name": control.name, "label": control.label, **control.spec()}
    if isinstance(control, Slider):
        texts = Slider(
            control.name, control.label, values=values, unit=control.unit, digits=_digits(control)
        ).spec()["texts"]
        spec = {
            "name": control.name, "label": control.label, "kind": "range",
            "low": 0, "high": len(texts) - 1, "step": 1, "texts": texts,
        }  # fmt: skip
    return spec


def _place(control, values, value):
    """What the browser's control holds at a value: a switch holds true or false."""
    return values.index(value) if isinstance(control, Slider) else control.encode(value)


def _digits(slider):
    return slider.digits if slider.values else slider.spec()["digits"]


def webp(pixels):
    """(H, W, 4) uint8 → bytes of a lossless WebP."""
    return _encoded(Image.fromarray(pixels[:, :, :3]))


def fewer_colors(picture, colors):
    """A picture's bytes → those of the same picture in so many colours."""
    image = Image.open(io.BytesIO(picture)).convert("RGB")
    few = image.quantize(colors, Image.Quantize.MEDIANCUT, kmeans=2, dither=Image.Dither.NONE)
    return _encoded(few.convert("RGB"))


def _encoded(image):
    file = io.BytesIO()
    image.save(file, "WEBP", lossless=True, quality=60, method=4)
    return file.getvalue()
