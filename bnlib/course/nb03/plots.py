"""Plots of notebook 03: what a mini-batch tells about the data set it was drawn from."""

import numpy as np

from bnlib.course.kit.figures import described
from bnlib.course.kit.plots import figure
from bnlib.course.kit.style import COLORS, look
from bnlib.course.kit.words import from_to, listing, number, span

_LAW = {"color": COLORS["black"], "linestyle": "--", "linewidth": 2.2, "marker": ""}


def plot_batch_means(values, means, *, m, unit, law=False, ax=None):
    """Single values and means of m of them, as densities on one axis.

    values  (N,) one unit's value for each example
    means   (K,) the means of K batches of m
    unit    the unit's number
    law     True: the bell of deviation σ/√m, which independent values would give, dashed
    """
    ax = figure()[1] if ax is None else ax
    centre, sigma = values.mean(), values.std()
    single = np.linspace(centre - 4 * sigma, centre + 4 * sigma, 61)
    narrow = np.linspace(centre - 4 * means.std(), centre + 4 * means.std(), 25)
    ax.hist(values, single, density=True, color=COLORS["sky"], label="single digits")
    ax.hist(
        means,
        narrow,
        density=True,
        color=COLORS["vermillion"],
        hatch="///",
        label=f"means of batches of {m}",
    )
    told = ""
    if law:
        width = sigma / np.sqrt(m)
        at = np.linspace(centre - 4 * width, centre + 4 * width, 200)
        bell = np.exp(-(((at - centre) / width) ** 2) / 2) / (width * np.sqrt(2 * np.pi))
        ax.plot(at, bell, **_LAW, label="the law's bell")
        told = f" A dashed line shows the bell that the law predicts, of deviation {number(width)}."
    ax.set(xlabel=f"$x$ of unit {unit}", ylabel="density (no unit)")
    ax.set_title(f"Single digits, and means of {m}")
    ax.legend(loc="upper right")
    return described(
        ax,
        f"Two histograms on one axis. The {len(values):,} values of one unit form a wide bell "
        f"around {number(centre)}, of deviation {number(sigma)}; the means of {len(means):,} "
        f"batches of {m} form a narrow one around {number(means.mean())}, of deviation "
        f"{number(means.std())}.{told}",
    )


def plot_spread_law(sizes, spreads, *, population, ax=None):
    """Spread of the batch mean against the batch size, with the law for independent draws.

    sizes       (S,) batch sizes m
    spreads     (S, D) standard deviation of the batch mean, in units of each feature's sigma
    population  how many examples the batches are drawn from, without replacement
    """
    ax = figure()[1] if ax is None else ax
    sizes, spreads = np.asarray(sizes), np.asarray(spreads)
    m = np.geomspace(sizes[0], sizes[-1], 200)
    ax.loglog(m, 1 / np.sqrt(m), **_LAW, label=r"$1/\sqrt{m}$")
    ax.loglog(
        m,
        np.sqrt((1 - m / population) / m),
        color=COLORS["blue"],
        linestyle="-",
        label=rf"$\sqrt{{(1 - m/{population})/m}}$",
    )
    ax.loglog(
        np.repeat(sizes, spreads.shape[1]),
        spreads.ravel(),
        marker="o",
        markersize=5,
        linestyle="none",
        alpha=0.5,
        color=COLORS["orange"],
        label=f"each of {spreads.shape[1]} units",
    )
    _plain_ticks(ax, sizes)
    ticks = [0.02, 0.05, 0.1, 0.2, 0.5]
    ax.set_yticks(ticks, [str(t) for t in ticks])
    ax.set(xlabel="batch size $m$", ylabel=r"spread of $\mu_\mathcal{B}$ (in $\sigma$)")
    ax.set_title("Spread of the batch mean, 100 units")
    ax.legend(loc="lower left")
    ratios = np.median(spreads, axis=1) * np.sqrt(sizes)
    return described(
        ax,
        f"Spread of the batch mean, in σ, against the batch size, {span(sizes, 4)}, both axes "
        f"logarithmic. The dots of {spreads.shape[1]} units lie around the straight line 1/√m: "
        f"their middle is {number(ratios[0])} times it at {sizes[0]} and {number(ratios[-1])} "
        f"times it at {sizes[-1]:,}, as a second curve says for batches drawn from "
        f"{population:,} without replacement.",
    )


def plot_biased_variance(sizes, seen, *, ax=None):
    """Average batch variance, as it is and corrected by m/(m − 1).

    sizes  (S,) batch sizes m
    seen   (S,) average of var_B, as a fraction of the true variance
    """
    ax = figure()[1] if ax is None else ax
    sizes, seen = np.asarray(sizes), np.asarray(seen)
    m = np.geomspace(sizes[0], sizes[-1], 200)
    ax.semilogx(m, (m - 1) / m, **_LAW, label="$(m-1)/m$")
    unbiased = seen * sizes / (sizes - 1)
    marks = {"linestyle": "none", "markersize": 9}
    label = r"biased, $\sigma^2_\mathcal{B}$"
    ax.semilogx(sizes, seen, **look("", 1) | marks, label=label)
    label = r"unbiased, $\frac{m}{m-1}\sigma^2_\mathcal{B}$"
    ax.semilogx(sizes, unbiased, **look("", 0) | marks, label=label)
    _plain_ticks(ax, sizes)
    ax.set(xlabel="batch size $m$", ylabel=r"average batch variance (in $\sigma^2$)", ylim=(0, 1.2))
    ax.set_title("Share of the variance that a batch sees")
    ax.legend(loc="lower right")
    places = [0, len(sizes) // 3, len(sizes) - 1]
    return described(
        ax,
        f"Average batch variance, in σ², against the batch size. The dots follow the curve "
        f"(m − 1)/m: {listing(f'{number(seen[i])} at {sizes[i]}' for i in places)}. Multiplied by "
        f"m/(m − 1) they lie {from_to(unbiased)}.",
    )


def plot_eps(s, inside, outside, *, eps, ax=None):
    """What ε leaves of a feature's spread, inside the root and outside it.

    s                standard deviation of x
    inside, outside  standard deviation of x_hat, shaped like s
    """
    ax = figure()[1] if ax is None else ax
    ax.semilogx(s, inside, color=COLORS["blue"], linestyle="-")
    ax.semilogx(s, outside, color=COLORS["vermillion"], linestyle="--")
    root = np.sqrt(eps)
    ax.axvline(root, color="#666666", linestyle=":", linewidth=1.8)
    ax.annotate(
        r"$\sqrt{\varepsilon}$",
        (root, 0.03),
        xytext=(6, 0),
        textcoords="offset points",
        fontsize=15,
    )
    ax.annotate(
        r"inside: $\sigma/\sqrt{\sigma^2+\varepsilon}$",
        (root, 2**-0.5),
        xytext=(16, -8),
        textcoords="offset points",
        color=COLORS["blue"],
    )
    ax.annotate(
        r"outside: $\sigma/(\sigma+\varepsilon)$",
        (1.2e-5, 0.42),
        xytext=(0, 0),
        textcoords="offset points",
        color=COLORS["vermillion"],
    )
    ax.set(xlabel=r"standard deviation of $x$, $\sigma$ (units of $x$)", ylim=(0, 1.1))
    ax.set_ylabel(r"standard deviation of $\hat{x}$")
    ax.set_title(r"$\varepsilon$ inside and outside the root")
    halves = (s[np.searchsorted(kept, 0.5)] for kept in (inside, outside))
    inner, outer = map(number, halves)
    return described(
        ax,
        f"Standard deviation of x̂ against that of x, {span(s)}, a logarithmic axis, for "
        f"ε = {number(eps)}. Both curves rise from near 0 to 1: with ε inside the root one half is "
        f"reached at {inner}, near √ε = {number(root)}, which a dotted line marks; with ε outside "
        f"the root at {outer}.",
    )


def plot_in_batches(x_hats, *, exact, ax=None):
    """One example's x_hat in many batches, a cloud for each batch size.

    x_hats  dict batch size -> (K,) values of x_hat
    exact   its x_hat under the statistics of the whole data set
    """
    ax = figure()[1] if ax is None else ax
    rng = np.random.default_rng(0)  # sideways jitter only
    for place, values in enumerate(x_hats.values()):
        ax.plot(
            place + rng.uniform(-0.3, 0.3, len(values)),
            values,
            marker="o",
            markersize=3.5,
            linestyle="none",
            alpha=0.4,
            color=COLORS["blue"],
        )
    ax.axhline(exact, **_LAW)
    ax.annotate(
        f"all digits:\n{exact:.2f}".replace("-", "\N{MINUS SIGN}"),
        (len(x_hats) - 0.55, exact),
        xytext=(4, 0),
        textcoords="offset points",
        va="center",
        fontsize=13,
        annotation_clip=False,
    )
    ax.set_xticks(range(len(x_hats)), [str(m) for m in x_hats])
    ax.set_xlim(-0.5, len(x_hats) - 0.5)
    ax.set(xlabel="batch size $m$", ylabel=r"$\hat{x}$ of one and the same digit")
    ax.set_title(r"The $\hat{x}$ of one digit in 400 batches")
    clouds = (
        f"{from_to(np.percentile(values, (5, 95)))} for m = {m}" for m, values in x_hats.items()
    )
    return described(
        ax,
        f"One digit's x̂ in {len(next(iter(x_hats.values())))} batches, a cloud of dots for each "
        f"batch size; nine in ten lie {listing(clouds)}. A dashed line is its x̂ over all "
        f"digits, {number(exact)}.",
    )


def _plain_ticks(ax, sizes):
    ax.set_xticks(sizes, [str(m) for m in sizes])
    ax.minorticks_off()
