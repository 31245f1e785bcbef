"""Notebook 14: digits in other light, and how well each way to read them does."""

from types import SimpleNamespace

import numpy as np

from bnlib.course.kit.explorer import Explorer, Slider
from bnlib.course.kit.style import COLORS, HATCHES
from bnlib.data import as_features, mnist10k

WAYS = {  # in the stored order -> what the picture calls them
    "stored": "BN, stored",
    "batch of 10": "BN, a batch of 10",
    "recomputed": "BN, recomputed",
    "GN": "GN",
}
GRID = (1.0, 0.8, 0.6, 0.4, 0.2), (0.0, 0.1, 0.2, 0.3, 0.4), (0.0, 0.1, 0.2, 0.3, 0.4)


class OtherLight(Explorer):
    """Contrast, brightness and noise → four digits, and accuracy for each way to read them.

    runs   what stored_runs() returns
    """

    title = "Other light"
    alt = (
        "Left, four test digits in the light that is chosen. Right, a bar for each way to read "
        "such digits: the share of 500 test digits that is read rightly, the median of three nets."
    )
    size = (9.6, 3.6)
    controls = (
        Slider("contrast", "contrast ×", values=GRID[0]),
        Slider("brightness", "brightness +", values=GRID[1]),
        Slider("noise", "noise", values=GRID[2]),
    )

    def __init__(self, runs, **values):
        images = as_features(mnist10k().x_test[:4]).reshape(4, 28, 28)
        self.digits = np.block([[images[0], images[1]], [images[2], images[3]]])
        self.grain = np.random.default_rng(0).normal(size=self.digits.shape)
        ways = [runs["ways"].tolist().index(way) for way in WAYS]
        self.medians = np.median(runs["light_grid"], axis=0)[..., ways]
        super().__init__(**values)

    def draw(self, fig):
        left, right = fig.subplots(1, 2, width_ratios=[1, 1.7])
        picture = left.imshow(self.digits, cmap="gray", vmin=0, vmax=1)
        left.set(xticks=[], yticks=[])
        left.grid(False)
        bars = right.barh(range(4), [1] * 4, color=[COLORS["blue"]] * 3 + [COLORS["green"]])
        for bar, hatch in zip(bars, HATCHES, strict=False):
            bar.set_hatch(hatch)
        texts = [right.text(0, row, "", va="center", fontsize=14) for row in range(4)]
        right.set_yticks(range(4), list(WAYS.values()))
        right.set(xlim=(0, 1.12), ylim=(3.6, -0.6), xlabel="share of digits right")
        right.set_xticks(np.linspace(0, 1, 6))
        return SimpleNamespace(picture=picture, bars=list(bars), texts=texts)

    def update(self, art, contrast, brightness, noise):
        seen = contrast * self.digits + brightness + noise * self.grain
        art.picture.set_data(seen.clip(0, 1))
        at = tuple(
            grid.index(v) for grid, v in zip(GRID, (contrast, brightness, noise), strict=True)
        )
        shares = self.medians[at]
        for bar, text, share in zip(art.bars, art.texts, shares, strict=True):
            bar.set_width(share)
            text.set_x(share + 0.015)
            text.set_text(f"{share:.2f}")
        read = ", ".join(f"{name} {v:.2f}" for name, v in zip(WAYS.values(), shares, strict=True))
        return f"Contrast × {contrast:g}, brightness + {brightness:g}, noise {noise:g}: {read}."
