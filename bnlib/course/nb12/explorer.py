"""Notebook 12: a joint batch, cut into the shares of 1 to 8 devices, and what it costs."""

from types import SimpleNamespace

import numpy as np

from bnlib.course.kit.explorer import Choice, Explorer, Slider
from bnlib.course.kit.words import number, span
from bnlib.course.nb12.plots import draw_accuracy, draw_shares, move_shares
from bnlib.course.nb12.runs import at_best_rate

KINDS = {"MLP": "mlp", "convolutional net": "conv"}


class ManyDevices(Explorer):
    """Devices × joint batch → each share's mean beside the joint mean, accuracy from stored runs.

    runs    what stored_runs() returns
    values  (batches, 64) x of one unit, for some batches of digits
    """

    title = "Many devices"
    alt = (
        "Left, one unit's values for the digits of a batch, a row for each rank's share, with the "
        "share's mean as a dot and the mean of the joint batch as a dashed line. Right, test "
        "accuracy against digits per device, not synchronized, a line for each joint batch; a "
        "ring marks the choice."
    )
    size = (9.8, 4.6)
    controls = (
        Slider("devices", "devices", values=(1, 2, 4, 8), value=4),
        Slider("batch", "joint batch", values=(16, 32, 64), value=16, unit="digits"),
        Choice("net", "accuracy of", tuple(KINDS)),
        Slider("draw", "another batch", 1, 4, 1, 1),
    )

    def __init__(self, runs, values, **start):
        self.batches, self.devices = runs["batches"], runs["devices"]
        self.accuracy = {name: at_best_rate(runs, kind) for name, kind in KINDS.items()}
        self.drawn = np.asarray(values, float)
        super().__init__(**start)

    def draw(self, fig):
        left, right = fig.subplots(1, 2, width_ratios=[1.25, 1])
        shares = draw_shares(left, self.drawn)
        fig.legend(*left.get_legend_handles_labels(), loc="outside lower left", ncols=3)
        draw_accuracy(right, self.accuracy["MLP"], self.batches, self.devices)
        lines = right.get_lines()
        for band in list(right.collections):
            band.remove()
        right.set_ylabel("share of test digits right")
        right.legend(loc="lower right")
        (ring,) = right.plot([2], [0.6], marker="o", markersize=17, color="none",
                             markeredgecolor="black", markeredgewidth=2.4, zorder=5)  # fmt: skip
        return SimpleNamespace(shares=list(shares), lines=list(lines), ring=ring)

    def update(self, art, devices, batch, net, draw):
        middle = np.median(self.accuracy[net], axis=-1)  # (batches, devices)
        for line, values in zip(art.lines, middle, strict=True):
            line.set_ydata(values)
        place = self.batches.tolist().index(batch), self.devices.tolist().index(devices)
        each = batch // devices
        art.ring.set_data([each], [middle[place]])
        values = self.drawn[draw - 1][:batch]
        means = move_shares(art.shares, values, devices)
        whose = (
            f"1 device with {each} digits: its mean is that of the joint batch, "
            if devices == 1
            else f"{devices} devices with {each} digits each: their means reach from "
            f"{span(means)}, that of the joint batch is "
        )
        return f"{whose}{number(values.mean())}. {middle[place]:.2f} of the test digits are read."
