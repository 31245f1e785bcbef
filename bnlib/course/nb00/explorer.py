"""Notebook 00: whatever brightness and contrast do to a picture, standardizing it undoes."""

from types import SimpleNamespace

import numpy as np

from bnlib.course.kit.explorer import Explorer, Slider
from bnlib.course.kit.style import COLORS


class FirstLook(Explorer):
    """Contrast and brightness → a digit and its pixel values, as they come and standardized.

    digit   (28, 28) image, grey levels 0..255
    """

    title = "What survives a change of light?"
    alt = (
        "Above, a handwritten digit whose contrast and brightness follow the sliders, and a "
        "histogram of its pixel values that stretches and shifts. Below, the same digit "
        "standardized, and its histogram."
    )
    controls = (
        Slider("contrast", "contrast a", low=0.2, high=2.0, step=0.1, value=1.0),
        Slider("brightness", "brightness b", low=-1.0, high=1.0, step=0.1, value=0.0),
    )
    size = (9.0, 5.2)

    def __init__(self, digit, **values):
        self.x = digit / 255.0
        super().__init__(**values)

    def draw(self, fig):
        art = SimpleNamespace()
        axes = fig.subplots(2, 2, width_ratios=[1, 2.4])
        rows = (
            (
                "as it comes: $a\\,x + b$",
                "vermillion",
                (-0.2, 1.2),
                (-1.2, 3.2),
            ),
            ("standardized: $(x - \\mu)\\,/\\,\\sigma$", "blue", (-2.5, 2.5), (-2.2, 5.2)),
        )
        art.pictures, art.bars = [], []
        for (image, histogram), (title, color, light, span) in zip(axes, rows, strict=True):
            art.pictures.append(image.imshow(self.x, cmap="gray_r", vmin=light[0], vmax=light[1]))
            image.set_axis_off()
            edges = np.linspace(*span, 89)
            bars = histogram.stairs(0 * edges[1:], edges, fill=True, color=COLORS[color])
            art.bars.append(bars)
            histogram.set(xlim=span, ylim=(0, 260), ylabel="pixels (cut at 260)", title=title)
        axes[0, 1].set_xlabel("pixel value")
        axes[1, 1].set_xlabel("pixel value minus mean, divided by deviation")
        return art

    def update(self, art, contrast, brightness):
        x = contrast * self.x + brightness
        x_hat = (x - x.mean()) / x.std()
        for values, picture, bars in zip((x, x_hat), art.pictures, art.bars, strict=True):
            picture.set_data(values)
            edges = bars.get_data().edges
            bars.set_data(np.minimum(np.histogram(values, edges)[0], 260), edges)
        return (
            f"Contrast {contrast:.1f}, brightness {brightness:+.1f}: the pixels have mean "
            f"{x.mean():.2f} and deviation {x.std():.2f}. Standardized: mean "
            f"{abs(x_hat.mean()):.2f} and deviation {x_hat.std():.2f}."
        ).replace("-", "\N{MINUS SIGN}")
