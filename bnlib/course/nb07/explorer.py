"""Notebook 07: a running mean chases the truth, quickly or calmly but never both."""

from types import SimpleNamespace

import numpy as np

from bnlib.course.kit.explorer import Explorer, Slider
from bnlib.course.kit.style import COLORS


class RunningEstimate(Explorer):
    """Momentum and number of updates → the running mean on its way from 0.

    means   (T,) batch means of one unit, in the order of training
    truth   the mean over the whole data set
    """

    title = "A running mean chases the truth"
    alt = (
        "Batch means as scattered dots around a dashed line, the true mean. A curve, the running "
        "mean, starts at zero and approaches the line: fast and rough for a high momentum, slow "
        "and smooth for a low one. Updates not made yet are left blank."
    )
    controls = (
        Slider("momentum", "momentum", values=(0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0), value=0.1),
        Slider("updates", "updates made", low=1, high=200, step=1, value=60),
    )
    size = (9.2, 4.4)

    def __init__(self, means, truth, **values):
        self.means, self.truth = np.asarray(means)[:200], float(truth)
        super().__init__(**values)

    def draw(self, fig):
        ax = fig.subplots()
        steps = np.arange(1, len(self.means) + 1)
        truth = {"color": COLORS["black"], "linestyle": "--", "linewidth": 2}
        ax.axhline(self.truth, label="mean of all digits", **truth)
        (dots,) = ax.plot(
            steps, self.means, color=COLORS["sky"], marker="o", markersize=4, linestyle="none",
            label="batch means",
        )  # fmt: skip
        (curve,) = ax.plot([], [], color=COLORS["vermillion"], linestyle="-", label="running mean")
        low, high = min(self.means.min(), 0), max(self.means.max(), 0)
        ax.set(xlim=(-2, 203), ylim=(low - 0.25 * (high - low), high + 0.25 * (high - low)))
        ax.set(xlabel="updates", ylabel="mean of the unit's $x$ (no unit)")
        ax.legend(loc="upper left", ncols=3)
        return SimpleNamespace(dots=dots, curve=curve, title=ax.set_title("momentum"))

    def update(self, art, momentum, updates):
        running = np.zeros(updates + 1)
        for t in range(updates):
            running[t + 1] = (1 - momentum) * running[t] + momentum * self.means[t]
        steps = np.arange(updates + 1)
        left = (1 - momentum) ** updates
        left = f"{100 * left:.1f} %" if left >= 0.001 or left == 0 else "less than 0.1 %"
        art.title.set_text(f"Momentum {momentum:g}: the start value weighs {left}")
        art.dots.set_data(steps[1:], self.means[:updates])
        art.curve.set_data(steps, running)
        return (
            f"After {updates} updates with momentum {momentum:g}: running mean {running[-1]:.3f}, "
            f"truth {self.truth:.3f}. The start value still weighs {left}."
        ).replace("-", "\N{MINUS SIGN}")
