"""Notebook 04: what γ and β do to the input of a sigmoid, and to what comes out of it."""

from types import SimpleNamespace

import numpy as np

from bnlib.course.kit.explorer import Explorer, Slider
from bnlib.course.kit.style import COLORS
from bnlib.course.nb04.plots import SATURATED, sigmoid, straightness

INPUTS = np.linspace(-12, 12, 121)  # edges of the bins of y
OUTPUTS = np.linspace(0, 1, 41)  # and of sigmoid(y)


class GammaBeta(Explorer):
    """γ, β and the unit → the histogram of y over the sigmoid, and of sigmoid(y).

    h    (N, D) layer outputs, one row per example; each unit is normalized over all N
    """

    title = "What do γ and β do to a sigmoid?"
    alt = (
        "Left, the sigmoid curve with its tangent at zero, over a histogram of its inputs y. "
        "Right, a histogram of the sigmoid's outputs between 0 and 1."
    )
    size = (9.4, 4.2)

    def __init__(self, h, **values):
        self.x_hat = (h - h.mean(axis=0)) / h.std(axis=0)
        self.controls = (
            Slider("gamma", "scale γ", -6.0, 6.0, 0.25, 1.0),
            Slider("beta", "shift β", -6.0, 6.0, 0.25, 0.0),
            Slider("unit", "unit", 0, h.shape[1] - 1, 1, min(7, h.shape[1] - 1)),
        )
        super().__init__(**values)

    def draw(self, fig):
        left, right = fig.subplots(1, 2, width_ratios=[1.6, 1])
        bars = {"fill": True, "facecolor": COLORS["sky"], "edgecolor": "white", "linewidth": 0.4}
        inputs = left.stairs(np.zeros(120), INPUTS, **bars)
        y, near = np.linspace(-12, 12, 241), np.array([-2.0, 2.0])
        paper = {"facecolor": "white", "edgecolor": "none", "alpha": 0.8, "pad": 1.5}
        lines = [  # they move with the bars: drawn once, the bars would cover them
            *left.plot(y, sigmoid(y), color=COLORS["black"], linestyle="-"),
            *left.plot(near, 0.5 + near / 4, color=COLORS["vermillion"], linestyle="--"),
            left.text(3.6, 0.86, "sigmoid", bbox=paper),
            left.text(-2.6, 0.14, "tangent", ha="right", color=COLORS["vermillion"], bbox=paper),
        ]
        left.set(xlim=(-12, 12), ylim=(0, 1.04), xlabel=r"$y = \gamma\hat{x} + \beta$")
        left.set_ylabel("sigmoid (line)\nhow often (tallest bar = 1)")
        left.set_title("into the sigmoid")
        outputs = right.stairs(
            np.zeros(40), OUTPUTS, **{**bars, "facecolor": COLORS["orange"], "hatch": "///"}
        )
        right.set(xlim=(0, 1), ylim=(0, 1.04), yticks=[], xlabel="sigmoid(y)")
        right.set_ylabel("how often (tallest bar = 1)")
        right.set_title("out of it")
        return SimpleNamespace(inputs=inputs, outputs=outputs, lines=lines)

    def update(self, art, gamma, beta, unit):
        y = gamma * self.x_hat[:, unit] + beta
        out = sigmoid(y)
        art.inputs.set_data(_heights(y, INPUTS), INPUTS)
        art.outputs.set_data(_heights(out, OUTPUTS), OUTPUTS)
        mean = round(float(y.mean()), 2) + 0.0  # no minus before a zero
        state = f"γ = {gamma:g}, β = {beta:g}: y has mean {mean:.2f}, deviation {y.std():.2f}. "
        state = state.replace("-", "\N{MINUS SIGN}")
        if gamma == 0:
            return state + f"Every digit gives {out[0]:.2f}: the unit tells them apart no longer."
        flat = np.mean(np.minimum(out, 1 - out) < SATURATED)
        return state + (
            f"A straight line explains {straightness(y):.0%} of the sigmoid's output; "
            f"{flat:.0%} of the digits end within {SATURATED} of 0 or 1."
        )


def _heights(values, edges):
    """Counts, the tallest bar scaled to 1; values outside count in the outermost bins."""
    counts = np.histogram(np.clip(values, edges[0], edges[-1]), edges)[0]
    return counts / counts.max()
