"""Plots of notebook 02: gradient descent on a quadratic loss, and what the inputs make of it."""

import numpy as np

from bnlib.course.kit.figures import described
from bnlib.course.kit.plots import figure, plot_curves, rate_axis
from bnlib.course.kit.style import COLORS, HATCHES, look
from bnlib.course.kit.words import from_to, listing, number, span, spoken

PATH = {"color": COLORS["black"], "linestyle": "-", "marker": "o"}
BEST = {"color": COLORS["orange"], "markeredgecolor": "black", "marker": "*", "zorder": 3}
_ANGLE = np.linspace(0, 2 * np.pi, 181)
_CIRCLE = np.stack([np.cos(_ANGLE), np.sin(_ANGLE)])  # (2, 181)


def ellipse(H, level):
    """The points e with ½ eᵀ H e = level, where a quadratic loss is that much above its minimum.

    H      (2, 2) symmetric, both eigenvalues above 0
    level  0 or more

    Returns (2, 181), a closed curve.
    """
    eigenvalues, directions = np.linalg.eigh(H)
    return directions @ (np.sqrt(2 * level / eigenvalues)[:, None] * _CIRCLE)


def plot_descents(cases, *, axes=None):
    """Two or more descents side by side, on the contours of their quadratic losses.

    cases  dict label -> (H, path): H (2, 2), and path (T, 2), the distances of the visited weights
           from the best ones

    Returns the array of Axes.
    """
    if axes is None:
        _, axes = figure(1, len(cases), size=(8.6, 4.0))
    axes, told = np.atleast_1d(axes), []
    for ax, (label, (H, path)) in zip(axes, cases.items(), strict=True):
        path = np.asarray(path, float)
        start = 0.5 * path[0] @ H @ path[0]
        reach = 1.25 * np.abs(path).max()
        for share in (2.0, 1.0, 1 / 2, 1 / 5, 1 / 20):
            ax.plot(*ellipse(H, share * start), color="#9a9a9a", linewidth=1.0, linestyle="-")
        ax.plot(path[:, 0], path[:, 1], **PATH, markersize=5, linewidth=1.6)
        ax.plot(0, 0, **BEST, markersize=18, linestyle="none")
        ax.annotate(
            "start",
            path[0],
            xytext=(0, -16),
            textcoords="offset points",
            ha="center",
            fontsize=13,
            bbox={"facecolor": "white", "edgecolor": "none", "pad": 1},  # over the contours
        )
        ax.set(xlim=(-reach, reach), ylim=(-reach, reach), title=label)
        ax.set_xlabel("$w_1$ minus its best value")
        ax.grid(False)
        stretch = np.linalg.cond(H) ** 0.5
        left = np.linalg.norm(path, axis=1) / np.linalg.norm(path[0])
        told.append(
            f"{spoken(label)}: contours {number(stretch)} times as long as wide; the first step "
            f"leaves {number(100 * left[1])} % of the distance, all {len(path) - 1} leave "
            f"{number(100 * left[-1], least=0.01)} %."
        )
    axes[0].set_ylabel("$w_2$ minus its best value")
    described(
        axes,
        f"{len(axes)} descents over the contours of a loss in two weights, a dot for each step "
        f"and a star at the best weights. {' '.join(told)}",
    )
    return axes


def plot_steps_law(kappa, steps, kappa_hat, steps_hat, *, law, ax=None):
    """Steps to converge against the condition number, before and after standardizing.

    kappa, steps      (K,) of the features as they are
    kappa_hat, steps_hat  (K,) of the same features standardized
    law               steps per unit of kappa that theory predicts
    """
    ax = figure()[1] if ax is None else ax
    line = np.array([1.0, 1.3 * np.max(kappa)])
    ax.loglog(line, law * line, color=COLORS["black"], linestyle="--", label=rf"{law:.1f} $\kappa$")
    marks = {"linestyle": "none", "markersize": 9}
    ax.loglog(kappa, steps, **look("", 1) | marks, label="as they are")
    ax.loglog(kappa_hat, steps_hat, **look("", 0) | marks, label="standardized")
    ticks = [1, 3, 10, 30, 100, 300, 1000, 3000]
    ax.set_xticks([t for t in ticks if t < line[1]], [f"{t:,}" for t in ticks if t < line[1]])
    ax.set_yticks(ticks, [f"{t:,}" for t in ticks])
    ax.minorticks_off()
    ax.set(xlim=(0.9, line[1]), ylim=(0.8, 1.5 * law * np.max(kappa)))
    ax.set_xlabel(r"condition number $\kappa$ (no unit)")
    ax.set_ylabel("steps to 1 % of the distance")
    ax.set_title(r"Steps against $\kappa$, both axes logarithmic")
    ax.legend(loc="upper left")
    return described(
        ax,
        f"Steps to converge against the condition number κ, both axes logarithmic, with the line "
        f"{law:.1f} κ. As they are: κ {from_to(kappa)}, {span(steps)} steps, "
        f"{span(np.divide(steps, kappa))} per unit of κ. Standardized: κ {from_to(kappa_hat)}, "
        f"{span(steps_hat)} steps.",
    )


def plot_rate_sweep(rates, scores, *, ylabel, ax=None, title=None):
    """What training reaches, against its learning rate, for several cases.

    rates   (R,) learning rates
    scores  dict label -> (seeds, R): the median is drawn, and the band that holds all seeds
    """
    ax = figure(size=(8.6, 4.2))[1] if ax is None else ax
    plot_curves(rates, scores, xlabel=r"learning rate $\eta$", ylabel=ylabel, ax=ax, title=title)
    rate_axis(ax, rates)
    ax.legend(loc="center left", bbox_to_anchor=(1.0, 0.5))
    middles = {label: np.median(runs, axis=0) for label, runs in scores.items()}
    best = (
        f"{label}: best at {number(rates[m.argmax()])}, {number(m.max())}; {number(m[0])} at the "
        f"lowest rate, {number(m[-1])} at the highest."
        for label, m in middles.items()
    )
    return described(
        ax,
        f"{spoken(ylabel)} against the learning rate, {span(rates)}, a logarithmic axis; medians "
        f"and a band that holds all seeds. {' '.join(best)}",
    )


def plot_spectra(spectra, *, ax=None, largest=300):
    """Eigenvalues in falling order, one curve for each way to prepare the inputs.

    spectra  dict label -> (D,) eigenvalues, largest first
    largest  how many of them are drawn
    """
    ax = figure()[1] if ax is None else ax
    for i, (label, eigenvalues) in enumerate(spectra.items()):
        rank = np.arange(1, 1 + min(largest, len(eigenvalues)))
        ax.loglog(
            rank,
            eigenvalues[: len(rank)],
            **look(label, i),
            markevery=[0, 1, 2, 4, 9, 29, 99, 299],
            label=label,
        )
    ax.set_xticks([1, 3, 10, 30, 100, 300], ["1", "3", "10", "30", "100", "300"])
    ax.set_yticks([0.01, 0.1, 1, 10], ["0.01", "0.1", "1", "10"])
    ax.minorticks_off()
    ax.set(xlabel="rank of the eigenvalue", ylabel=r"eigenvalue $\lambda$ of $H$")
    ax.set_title("Eigenvalues of $H$, largest first")
    ax.legend(loc="lower left")
    ranks = [rank for rank in (1, 2, 10, 100) if rank <= largest]
    told = (
        f"{label}: {listing(f'{number(values[rank - 1])} at rank {rank}' for rank in ranks)}."
        for label, values in spectra.items()
    )
    return described(
        ax, f"Eigenvalues of H against their rank, both axes logarithmic. {' '.join(told)}"
    )


def plot_test_statistics(accuracies, *, ax=None):
    """Test accuracy of one net, its test set prepared in different ways, as bars.

    accuracies  dict label -> share of right answers, 0..1
    """
    ax = figure(size=(8.4, 4.2))[1] if ax is None else ax
    shares = np.array(list(accuracies.values()))
    places = np.arange(len(shares))[::-1]
    for i, (place, share) in enumerate(zip(places, shares, strict=True)):
        color = COLORS["blue"] if i == 0 else COLORS["orange"]
        ax.barh(place, share, height=0.7, color=color, hatch=HATCHES[0 if i == 0 else 1])
        ax.text(share + 0.015, place, f"{100 * share:.0f} %", va="center", fontsize=14)
    ax.set_yticks(places, list(accuracies))
    ax.set_xticks([0, 0.25, 0.5, 0.75, 1.0], ["0", "25 %", "50 %", "75 %", "100 %"])
    ax.set(xlim=(0, 1.08), xlabel="test accuracy (share of 2,000 digits)")
    ax.grid(axis="y", visible=False)
    ax.set_title("One net, its test digits prepared in five ways")
    bars = (f"{spoken(label)} {100 * share:.0f} %" for label, share in accuracies.items())
    return described(ax, f"Bars of test accuracy by whose statistics were used: {listing(bars)}.")
