"""Notebook 01: what the digits have become by the time they reach each layer of a deep net."""

from itertools import pairwise
from types import SimpleNamespace

import numpy as np

from bnlib.course.kit.explorer import Explorer, Slider
from bnlib.course.kit.style import COLORS

DEEPEST = 8
STDS = (0.003, 0.01, 0.02, 0.03, 0.05, 0.1, 0.2, 0.3, 0.5, 1.0, 2.0, 3.0)
EDGES = np.linspace(0, 1, 41)
FLOOR = 1e-7  # of the lower panel
SATURATED = 1 / (1 + np.exp(-4)) - 0.5  # |x| > 4: the slope is below a tenth of its best


class LayerHistograms(Explorer):
    """Scale of the weights and depth → histogram of every layer's outputs z, before training.

    digits  (N, D) features, one row per digit; a few hundred rows are enough
    """

    title = "What reaches layer 3, or layer 8?"
    alt = (
        "Above, one histogram for each hidden layer, of the outputs z of its hundred sigmoids, "
        "between 0 and 1. Below, for each layer on a logarithmic axis, how much a unit's output "
        "differs from digit to digit, and how steep its sigmoid is where it stands."
    )
    size = (9.6, 5.2)

    def __init__(self, digits, **values):
        rng = np.random.default_rng(1)
        digits = np.asarray(digits, np.float64)  # what fades sinks below float32's rounding
        widths = [digits.shape[1]] + [100] * DEEPEST
        weights = [rng.standard_normal(shape) for shape in pairwise(widths)]
        self.first, self.weights = digits @ weights[0], weights[1:]  # scaled by std when drawn
        self.controls = (
            Slider("std", "standard deviation of the weights", values=STDS, value=0.1),
            Slider("depth", "hidden layers", low=1, high=DEEPEST, step=1, value=3),
        )
        super().__init__(**values)

    def outputs(self, std, depth):
        """depth arrays (N, 100): the outputs z of each hidden layer, biases 0."""
        outputs = [_sigmoid(std * self.first)]
        for weight in self.weights[: depth - 1]:
            outputs.append(_sigmoid(std * (outputs[-1] @ weight)))
        return outputs

    def draw(self, fig):
        grid = fig.add_gridspec(2, DEEPEST, height_ratios=[1, 1.25])
        bars = []
        for layer in range(DEEPEST):
            ax = fig.add_subplot(grid[0, layer])
            bars.append(ax.stairs(np.zeros(40), EDGES, fill=True, color=COLORS["sky"]))
            ax.set(xlim=(-0.03, 1.03), ylim=(0, 1.05), yticks=[])
            ax.set_title(f"layer {layer + 1}", fontsize=13, loc="center", weight="normal")
            ax.set_xticks([0, 1], ["0", "1"] if layer == 0 else ["", ""])
            ax.grid(False)
        below = fig.add_subplot(grid[1, :])
        style = {"linewidth": 2.2, "markersize": 9}
        (spread,) = below.semilogy(
            [1],
            [1],
            "o-",
            color=COLORS["blue"],
            label="spread of z between digits (standard deviation)",
            **style,
        )
        (slope,) = below.semilogy(
            [1], [1], "s--", color=COLORS["vermillion"], label="slope dz/dx (at most 1/4)", **style
        )
        below.set(xlim=(0.5, DEEPEST + 0.5), ylim=(FLOOR, 2))
        below.set_xlabel("hidden layer (above: histogram of its outputs z, from 0 to 1)")
        below.set_yticks([1e-6, 1e-4, 1e-2, 1], ["0.000001", "0.0001", "0.01", "1"])
        below.minorticks_off()
        below.legend(loc="lower left")
        return SimpleNamespace(bars=bars, spread=spread, slope=slope)

    def update(self, art, std, depth):
        outputs = self.outputs(std, depth)
        for layer in range(DEEPEST):
            heights = np.zeros(40)
            if layer < depth:
                bins = np.minimum((outputs[layer].ravel() * 40).astype(np.intp), 39)
                heights = np.bincount(bins, minlength=40)
            art.bars[layer].set_data(heights / max(heights.max(), 1))
        spread = [np.median(z.std(axis=0)) for z in outputs]
        slope = [(z * (1 - z)).mean() for z in outputs]
        layers = np.arange(1, depth + 1)
        art.spread.set_data(layers, np.maximum(spread, 1.3 * FLOOR))
        art.slope.set_data(layers, np.maximum(slope, 1.3 * FLOOR))
        saturated = np.mean(np.abs(outputs[-1] - 0.5) > SATURATED)
        return (
            f"Weights of {std:g}, layer {depth}: from digit to digit a unit's output differs by "
            f"{_plain(spread[-1])}; its slope is {slope[-1]:.3f} on average, and {saturated:.0%} "
            "of the units are saturated."
        )


def _sigmoid(x):
    return 1 / (1 + np.exp(np.minimum(-x, 80)))


def _plain(value):
    """A small number without an exponent, two digits."""
    if value < FLOOR:
        return "less than 0.0000001"
    digits = max(2, 1 - int(np.floor(np.log10(value))))
    return f"{value:.{digits}f}"
