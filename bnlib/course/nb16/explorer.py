"""Notebook 16: how deep, which activation, which route; and what comes out of it."""

from types import SimpleNamespace

import numpy as np

from bnlib.course.kit.explorer import Choice, Explorer, Slider
from bnlib.course.kit.plots import apart
from bnlib.course.nb16.plots import LOOKS, SAID
from bnlib.course.nb16.runs import curve_of

ROUTES = {said: name for name, said in SAID.items()}
SHORT = SAID | {"residual": "residual", "centred": "centred", "torch's weights": "torch's",
                "scaled weights": "Xavier's, He's"}  # fmt: skip
GAP = 0.065  # between two names at the ends of lines, in shares of digits


class Routes(Explorer):
    """Depth × activation × route → accuracy along training, from stored runs.

    runs  what stored_runs() returns
    """

    title = "Which route leads through?"
    alt = (
        "Left, test accuracy against training steps for five routes, the chosen one in bold, each "
        "named at its right end. Right, test accuracy after 200 steps against the number of layers."
    )
    size = (9.8, 4.2)
    controls = (
        Slider("depth", "layers", values=(5, 10, 20, 30, 50), value=30),
        Choice("activation", "activation", ("sigmoid", "tanh", "ReLU")),
        Choice("route", "route", tuple(ROUTES), "torch's weights"),
    )

    def __init__(self, runs, **values):
        self.steps, self.depths = runs["curves_steps"], runs["depths"]
        self.found = {
            (depth, activation, name): curve_of(runs, depth, activation, name)
            for depth in self.depths.tolist()
            for activation in runs["activations"].tolist()
            for name in SAID
        }
        super().__init__(**values)

    def draw(self, fig):
        left, right = fig.subplots(1, 2)
        art = SimpleNamespace(curves={}, depths={}, names=[])
        for ax, lines, x in ((left, art.curves, self.steps), (right, art.depths, self.depths)):
            for name in SAID:
                (lines[name],) = ax.plot(x, np.zeros(len(x)), color="#bbbbbb", linestyle="-",
                                         linewidth=1.4)  # fmt: skip
            names = {
                name: ax.annotate(short, (x[-1], 0), (12, 0), textcoords="offset points",
                                  va="center", fontsize=13, annotation_clip=False)
                for name, short in SHORT.items()
            }  # fmt: skip
            art.names.append((names, lines))
            ax.set_ylim(0, 1)
        (art.seeds,) = left.plot([], [], linestyle="none", markersize=6)
        (art.bold,) = left.plot([], [], linewidth=3)
        (art.bold_depths,) = right.plot([], [], linewidth=3)
        (art.dot,) = right.plot([], [], marker="o", markersize=16, color="none",
                                markeredgecolor="black", markeredgewidth=2.4)  # fmt: skip
        left.set(xlabel="training step", ylabel="share of test digits right", xlim=(0, 208))
        right.set(xlabel="layers", xlim=(0, 53))
        right.set_xticks(self.depths)
        return art

    def update(self, art, depth, activation, route):
        name = ROUTES[route]
        for other in SAID:
            art.curves[other].set_ydata(self._curve(depth, activation, other))
            art.depths[other].set_ydata(self._by_depth(activation, other))
        rate, accuracy = self.found[depth, activation, name]
        look, curve = LOOKS[name], self._curve(depth, activation, name)
        art.seeds.set_data(np.tile(self.steps, len(accuracy)), accuracy.ravel())
        art.seeds.set(color=look["color"], marker=look["marker"])
        art.bold.set_data(self.steps, curve)
        art.bold_depths.set_data(self.depths, self._by_depth(activation, name))
        for line in (art.bold, art.bold_depths):
            line.set(color=look["color"], linestyle=look["linestyle"], marker=look["marker"])
        art.dot.set_data([depth], [curve[-1]])
        for names, lines in art.names:
            ends = apart([lines[other].get_ydata()[-1] for other in names], GAP)
            for (other, text), end in zip(names.items(), ends, strict=True):
                text.xy = text.xy[0], end
                text.set_color("black" if other == name else "#666666")
        best = max(SAID, key=lambda other: self._curve(depth, activation, other)[-1])
        return (
            f"{depth} layers of {activation}, {route}: {curve[-1]:.2f} after {self.steps[-1]} "
            f"steps at rate {rate:g}, the better of two. Of the five routes {SAID[best]} reads "
            f"most, {self._curve(depth, activation, best)[-1]:.2f}."
        )

    def _curve(self, depth, activation, name):
        return self.found[depth, activation, name][1].mean(axis=0)

    def _by_depth(self, activation, name):
        return [self._curve(depth, activation, name)[-1] for depth in self.depths.tolist()]
