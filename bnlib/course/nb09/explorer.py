"""Notebook 09: what statistics kept in half precision make of data far from zero."""

from types import SimpleNamespace

import numpy as np

from bnlib.course.kit.explorer import Choice, Explorer, Slider
from bnlib.course.kit.figures import described
from bnlib.course.kit.plots import figure
from bnlib.course.kit.style import COLORS

MEANS = (0, 1, 3, 10, 30, 100, 300, 1000)
WINDOW = 5.0  # x_hat is drawn from -5 to 5


def x_hat_in(x, dtype):
    """x̂ of x, (m, D) torch tensor, every sum taken and kept in dtype, one row after the other."""
    import torch

    x = x.to(dtype)
    mu = torch.zeros_like(x[0])
    for row in x:
        mu = mu + row
    mu = mu / len(x)
    var = torch.zeros_like(mu)
    for row in x - mu:
        var = var + row * row
    return (x - mu) / torch.sqrt(var / len(x) + 1e-5)


class HalfPrecision(Explorer):
    """Mean of the data, number format of the data and of the statistics → x̂ against the truth.

    m    values per feature
    """

    title = "Where should the sums be kept?"
    alt = (
        "The computed x-hat of each value against the exact one. With statistics in float32 the "
        "dots lie on the diagonal. With statistics in half precision they leave it as the mean of "
        "the data grows, and vanish once the sums overflow."
    )
    controls = (
        Slider("mean", "mean of the data", values=MEANS, value=0),
        Choice("format", "format of the data", options=("float16", "bfloat16")),
        Choice("sums", "sums kept in", options=("the same format", "float32")),
    )
    size = (7.6, 4.8)

    def __init__(self, m=512, **values):
        self.noise = np.random.default_rng(9).standard_normal((m, 4)).astype(np.float32)
        super().__init__(**values)

    def draw(self, fig):
        return self.draw_in(fig.subplots())

    def draw_in(self, ax):
        span = [-WINDOW, WINDOW]
        ax.plot(span, span, color=COLORS["black"], linestyle="--", linewidth=1.8, label="exact")
        (dots,) = ax.plot(
            [], [], color=COLORS["orange"], marker="o", markersize=7, linestyle="none",
            label="computed",
        )  # fmt: skip
        ax.set(xlim=span, ylim=span, xlabel=r"exact $\hat x$", ylabel=r"computed $\hat x$")
        ax.legend(loc="upper left")
        return SimpleNamespace(dots=dots, title=ax.set_title("sums"))

    def update(self, art, mean, format, sums):
        import torch

        half = getattr(torch, format)
        x = torch.tensor(self.noise + np.float32(mean)).to(half)
        exact = x_hat_in(x, torch.float64)
        computed = x_hat_in(x, half if sums == "the same format" else torch.float32)
        error = (computed.double() - exact).abs().max().item()
        art.dots.set_data(exact.flatten().numpy(), computed.flatten().float().numpy())
        art.title.set_text(f"{format} around {mean}, sums in {sums}")
        found = f"are off by up to {error:.2g}" if np.isfinite(error) else "are lost: NaN"
        return f"Data in {format} around {mean}, sums kept in {sums}: the x̂ {found}."


def plot_half_precision(*, mean, format, size=(10.6, 4.6)):
    """Computed against exact x_hat, with the sums kept in 16 bits, and in 32.

    mean    of the data, whose deviation is 1
    format  "float16" or "bfloat16"

    Returns the Figure.
    """
    fig, axes = figure(1, 2, size=size, sharey=True)
    explorer, told = HalfPrecision(), []
    for ax, sums in zip(axes, ("the same format", "float32"), strict=True):
        art = explorer.draw_in(ax)
        told.append(explorer.update(art, mean=mean, format=format, sums=sums))
        ax.set_title(f"Sums in {format if sums == 'the same format' else sums}")
    explorer.close()
    axes[1].set_ylabel("")
    return described(
        fig,
        "Computed against exact x̂, the diagonal dashed, a dot for each value. Left: "
        f"{told[0]} Right: {told[1]}",
    )
