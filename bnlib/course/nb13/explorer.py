"""Notebook 13: down the net, before training."""

import functools
from types import SimpleNamespace

import numpy as np

from bnlib.course.kit.explorer import Choice, Explorer, Slider
from bnlib.course.nb13.depth import ACTIVATIONS, down_the_net, in_a_wide_net
from bnlib.course.nb13.plots import LOOKS

DEEPEST = 30
LOWEST, HIGHEST = 1e-6, 1e6  # of the gradients that are drawn
NORMS = {"no norm": "none", "BN": "BN", "LN": "LN"}


class DownTheNet(Explorer):
    """Depth, activation, norm, batch → cosine of two digits by layer, gradient by layer.

    digits  (N, 784) array, at least as many as the largest batch
    """

    title = "Down the net, before training"
    alt = (
        "Two panels over the layers of a fresh net with 200 units a layer. Left, the mean cosine "
        "between two digits after each layer; right, on a logarithmic axis, the length of the "
        "gradient in units of the last layer's. Dotted: what Batch Normalization gives in a very "
        "wide net."
    )
    size = (8.4, 3.5)
    controls = (
        Slider("depth", "layers", values=(5, 10, 20, 30), value=30),
        Choice("activation", "activation", tuple(ACTIVATIONS)),
        Choice("norm", "norm", tuple(NORMS)),
        Slider("batch", "batch size m", values=(16, 64, 256), value=64),
    )

    def __init__(self, digits, **values):
        self.digits = np.asarray(digits, np.float32)
        self.measure = functools.lru_cache(maxsize=64)(self._measure)
        super().__init__(**values)

    def _measure(self, depth, activation, norm, batch):
        return down_the_net(self.digits[:batch], depth, activation, NORMS[norm])

    def draw(self, fig):
        left, right = fig.subplots(1, 2)
        lines = [ax.plot([], [], linewidth=3, markevery=4)[0] for ax in (left, right)]
        theory = [ax.plot([], [], color="#444444", linestyle=":", linewidth=2)[0]
                  for ax in (left, right)]  # fmt: skip
        left.set(xlabel="layer", ylabel="cosine between two digits", ylim=(-0.15, 1.05))
        right.set(xlabel="layer", ylabel="gradient, last layer = 1", yscale="log",
                  ylim=(LOWEST, HIGHEST))  # fmt: skip
        for ax in (left, right):
            ax.set_xlim(0, DEEPEST + 1)
        return SimpleNamespace(lines=lines, theory=theory)

    def update(self, art, depth, activation, norm, batch):
        cosines, gradients = self.measure(depth, activation, norm, batch)
        layers = np.arange(1, depth + 1)
        cosine, factor = in_a_wide_net(activation)
        expected = factor ** ((depth - layers) / 2)
        heights = cosines, gradients
        wide = np.full(depth, cosine), expected
        for line, dots, height, line_of_theory in zip(
            art.lines, art.theory, heights, wide, strict=True
        ):
            within = (height >= LOWEST) & (height <= HIGHEST) if line is art.lines[1] else True
            line.set_data(layers, np.where(within, height, np.nan))
            line.set(**LOOKS[NORMS[norm]])
            dots.set_data(layers, line_of_theory)
        grown = gradients[1] / gradients[-1]
        return (
            f"{depth} layers, {activation}, {norm}, {batch} digits: two digits have a cosine of "
            f"{cosines[0]:.2f} after layer 1 and of {cosines[-1]:.2f} after layer {depth}. "
            f"The gradient in layer 2 is {_times(grown)} that of layer {depth}."
        )


def _times(ratio):
    """A ratio in words: "12 times", "0.3 of", "less than a millionth of"."""
    if ratio < 1e-6:
        return "less than a millionth of"
    if ratio < 0.95:
        return f"{ratio:.1g} of"
    return f"{ratio:,.0f} times" if ratio >= 9.5 else f"{ratio:.1f} times"
