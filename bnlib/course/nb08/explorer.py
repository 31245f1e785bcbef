"""Notebook 08: the same net with and without Batch Normalization, at any learning rate."""

from types import SimpleNamespace

import numpy as np

from bnlib.course.kit.explorer import Choice, Explorer, Slider
from bnlib.course.kit.plots import rate_axis
from bnlib.course.kit.style import COLORS, NETS

KINDS = ("sigmoid", "ReLU")


class LearningRates(Explorer):
    """Learning rate and activation → accuracy over 3,000 steps, three seeds, from stored runs.

    runs  what stored_runs() returns
    """

    title = "How fast may it go?"
    alt = (
        "Left, test accuracy against training step on a logarithmic axis, three seeds without "
        "Batch Normalization and three with it. Right, the accuracy reached after 3,000 steps "
        "against the learning rate, with a line at the chosen rate."
    )
    size = (8.6, 3.8)

    def __init__(self, runs, **values):
        self.rates = [float(rate) for rate in runs["curves_rates"]]
        self.steps = runs["curves_steps"][1:]  # without step 0, which a logarithm cannot show
        self.accuracy = runs["curves_accuracy"][..., 1:]  # (kind, net, rate, seed, step)
        self.finite = runs["curves_finite"][..., 1:]
        self.controls = (
            Slider("rate", "learning rate", values=tuple(self.rates), value=1.0),
            Choice("kind", "activation", KINDS),
        )
        super().__init__(**values)

    def draw(self, fig):
        left, right = fig.subplots(1, 2, width_ratios=[1.25, 1], sharey=True)
        curves, dots = [], []
        for label, style in NETS.items():
            for seed in range(self.accuracy.shape[3]):
                (line,) = left.plot(
                    self.steps, 0 * self.steps, linewidth=1.8, **style | {"marker": ""}
                )
                line.set_label(label if seed == 0 else "_")
                curves.append(line)
            (dot,) = right.plot([1], [0], markersize=7, linewidth=1.5, label=label, **style)
            dots.append(dot)
        left.set_xscale("log")
        left.set_xticks([30, 100, 300, 1000, 3000], ["30", "100", "300", "1,000", "3,000"])
        left.minorticks_off()
        left.set(xlabel="training step", ylabel="share of test digits right", ylim=(0, 1))
        left.set_title("three seeds each")
        right.set(xlabel="learning rate", xlim=(min(self.rates) * 0.8, max(self.rates) * 1.25))
        rate_axis(right, self.rates)
        right.set_title("after 3,000 steps")
        here = right.axvline(1.0, color=COLORS["black"], linestyle=":", linewidth=2)
        fig.legend(*right.get_legend_handles_labels(), loc="outside lower center", ncols=2)
        return SimpleNamespace(curves=curves, dots=dots, here=here)

    def update(self, art, rate, kind):
        k, r = KINDS.index(kind), self.rates.index(rate)
        accuracy = self.accuracy[k]  # (net, rate, seed, step)
        for line, values in zip(
            art.curves, accuracy[:, r].reshape(-1, len(self.steps)), strict=True
        ):
            line.set_ydata(values)
        for dot, values in zip(art.dots, np.median(accuracy[..., -1], axis=-1), strict=True):
            dot.set_data(self.rates, values)
        art.here.set_xdata([rate, rate])
        early = list(self.steps).index(250)
        first, last = (np.median(accuracy[:, r, :, step], axis=-1) for step in (early, -1))
        text = (
            f"{kind}, rate {rate:g}: after 250 steps {first[0]:.2f} without BN and {first[1]:.2f} "
            f"with it; after 3,000 steps {last[0]:.2f} and {last[1]:.2f}."
        )
        for label, finite in zip(NETS, self.finite[k, :, r], strict=True):
            if lost := int((~finite[:, -1]).sum()):
                text += f" The loss became NaN {label} in {lost} of {len(finite)} seeds."
        return text
