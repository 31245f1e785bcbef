"""Notebook 05: step through a layer, with batch normalization nowhere, before or after ReLU."""

from types import SimpleNamespace

import numpy as np

from bnlib.course.kit.explorer import Choice, Explorer, Slider
from bnlib.course.kit.style import COLORS

PLACES = {
    "no BN": ("Linear", "ReLU"),
    "BN before ReLU": ("Linear", "BatchNorm", "ReLU"),
    "BN after ReLU": ("Linear", "ReLU", "BatchNorm"),
}
SPAN = 5.0


class LayerFlow(Explorer):
    """Placement, size of the weights and stage → what leaves each box, as histograms.

    u        (N, D) inputs
    weight   (D, K) weights of the linear layer
    """

    title = "Step through a layer"
    places = tuple(PLACES)
    alt = (
        "Four histograms from left to right, joined by the names of the boxes between them: the "
        "input, and what leaves each box of the layer. The last box reached is drawn dark. With "
        "larger weights the histograms widen, except where batch normalization has passed."
    )
    controls = (
        Choice("place", "placement", options=tuple(PLACES), value="BN before ReLU"),
        Slider("gain", "weights times", values=(0.1, 0.2, 0.5, 1, 2, 5, 10), value=1),
        Slider("stage", "stage", low=0, high=3, step=1, value=3),
    )
    size = (10.4, 3.6)

    def __init__(self, u, weight, **values):
        self.u, self.x = u, u @ weight
        super().__init__(**values)

    def stages(self, place, gain):
        """[(name, values)], the input first."""
        flow, values = [("input", self.u)], gain * self.x
        flow.append(("Linear", values))
        for name in PLACES[place][1:]:
            if name == "ReLU":
                values = np.maximum(values, 0)
            else:
                values = (values - values.mean(axis=0)) / np.sqrt(values.var(axis=0) + 1e-5)
            flow.append((name, values))
        return flow

    def draw(self, fig):
        art = SimpleNamespace(bars=[], names=[])
        self.edges = np.linspace(-SPAN, SPAN, 61)
        for ax in fig.subplots(1, 4, sharey=True):
            art.bars.append(ax.stairs(np.zeros(60), self.edges, fill=True, color=COLORS["blue"]))
            ax.set(xlim=(-SPAN, SPAN), ylim=(0, 1.3), yticks=[], xlabel="value")
            ax.set_xticks([-4, 0, 4])
            ax.set_ylabel("how often" if ax is fig.axes[0] else "")
            art.names.append(ax.text(0, 1.17, "", ha="center", va="center", fontsize=14,
                                     weight="bold"))  # fmt: skip
        return art

    def update(self, art, place, gain, stage):
        flow = self.stages(place, gain)
        stage = min(stage, len(flow) - 1)
        for i, (bars, name) in enumerate(zip(art.bars, art.names, strict=True)):
            reached = i <= stage
            heights = np.zeros(60)
            if reached:
                heights = np.histogram(flow[i][1], self.edges)[0].astype(float)
                heights = np.minimum(heights / np.sort(heights)[-2], 1.05)  # zeros are cut off
            bars.set_data(heights, self.edges)
            bars.set_facecolor(COLORS["blue"] if i == stage else COLORS["sky"])
            arrow = "" if i == 0 else "\N{RIGHTWARDS ARROW} "
            name.set_text(f"{arrow}{flow[i][0]}" if reached else "")
        name, values = flow[stage]
        mean, deviation = np.median(values.mean(axis=0)), np.median(values.std(axis=0))
        text = (
            f"{place}, weights times {gain:g}, after {stage} of {len(flow) - 1} boxes: what leaves "
            f"{'the ' if stage == 0 else ''}{name} has mean {mean:.2f} and deviation "
            f"{deviation:.2f} (the median unit); {np.mean(values == 0):.0%} of the values are 0."
        )
        return text.replace("-0.00", "0.00").replace("-", "\N{MINUS SIGN}")
