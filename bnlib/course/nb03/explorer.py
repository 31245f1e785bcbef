"""Notebook 03: how far the mean of a mini-batch strays, for any batch size and unit."""

from types import SimpleNamespace

import numpy as np

from bnlib.course.kit.explorer import Explorer, Slider
from bnlib.course.kit.style import COLORS

BATCHES = 400  # drawn afresh for each batch size
SIZES = (2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 60, 100, 150, 250, 400, 600, 1000, 1500, 2000)


class BatchMeans(Explorer):
    """Batch size and unit → the bell of batch means, and its place on the 1/√m line.

    h    (N, D) layer outputs, one row per example, N > 2000
    """

    title = "How far does a batch mean stray?"
    alt = (
        "Left, a histogram of the means of 400 batches, in units of sigma around the true mean, "
        "with the bell that the law predicts. Right, the spread of those means against the batch "
        "size on logarithmic axes, a dot on the line one over root m."
    )
    size = (9.4, 4.2)

    def __init__(self, h, **values):
        self.z = (h - h.mean(axis=0)) / h.std(axis=0)  # in units of sigma
        self.controls = (
            Slider("m", "batch size m", values=SIZES, value=8),
            Slider(
                "unit", "unit", low=0, high=h.shape[1] - 1, step=1, value=min(7, h.shape[1] - 1)
            ),
        )
        super().__init__(**values)

    def means(self, m, unit):
        """(400,) means of mini-batches of m, epoch after epoch; the same draw for the same m."""
        rng, z = np.random.default_rng(m), self.z[:, unit]
        per_epoch = len(z) // m
        epochs = [
            rng.permutation(z)[: per_epoch * m].reshape(per_epoch, m).mean(axis=1)
            for _ in range(-(-BATCHES // per_epoch))
        ]
        return np.concatenate(epochs)[:BATCHES]

    def draw(self, fig):
        left, right = fig.subplots(1, 2, width_ratios=[1.25, 1])
        edges = np.linspace(-2, 2, 121)
        bars = left.stairs(np.zeros(120), edges, fill=True, color=COLORS["sky"])
        (bell,) = left.plot(edges, 0 * edges, color=COLORS["black"], linestyle="--", linewidth=2)
        left.set(xlim=(-2, 2), ylim=(0, 1.15), yticks=[])
        left.set_xlabel(r"$(\mu_\mathcal{B} - \mu)\,/\,\sigma$")
        left.set_ylabel("how often (tallest = 1)")
        left.set_title("means of 400 batches")
        m = np.geomspace(2, 2000, 50)
        right.loglog(m, 1 / np.sqrt(m), color=COLORS["black"], linestyle="--", linewidth=2)
        right.annotate(
            r"$1/\sqrt{m}$", (250, 250**-0.5), xytext=(4, 10), textcoords="offset points"
        )
        (dot,) = right.plot([8], [0.3], marker="o", markersize=12, color=COLORS["orange"])
        right.set_xticks([2, 8, 60, 400, 2000], ["2", "8", "60", "400", "2000"])
        right.set_yticks([0.02, 0.05, 0.1, 0.2, 0.5], ["0.02", "0.05", "0.1", "0.2", "0.5"])
        right.minorticks_off()
        right.set(xlabel="batch size $m$", ylim=(0.015, 1))
        right.set_title(r"spread (in $\sigma$)")
        return SimpleNamespace(bars=bars, bell=bell, dot=dot)

    def update(self, art, m, unit):
        means = self.means(m, unit)
        spread, law = means.std(), 1 / np.sqrt(m)
        edges = np.linspace(-4 * law, 4 * law, 33)
        heights = np.histogram(means, edges)[0] / (BATCHES * np.diff(edges)[0])
        top = 1 / (law * np.sqrt(2 * np.pi))
        art.bars.set_data(heights / top, edges)
        x = np.linspace(-4 * law, 4 * law, 121)
        art.bell.set_data(x, np.exp(-0.5 * (x / law) ** 2))
        art.dot.set_data([m], [spread])
        return (
            f"Batches of {m}, unit {unit}: the means spread by {spread:.3f} σ; 1/√{m} is {law:.3f}."
        )
