"""Notebook 02: gradient descent on two weights, for any step size and any pair of features."""

from types import SimpleNamespace

import numpy as np

from bnlib.course.kit.explorer import Explorer, Slider
from bnlib.course.kit.style import COLORS
from bnlib.course.nb02.plots import BEST, PATH, ellipse

STEPS = 100
START = np.array([-2.0, 1.0])  # where the weights start, seen from the best ones
SHARES = (4.0, 1.0, 1 / 4, 1 / 16, 1 / 64)  # contours, as shares of the loss at the start
FAR = 1e4  # distance at which a diverging path is cut off
RATES = (
    *(0.001, 0.0015, 0.002, 0.003, 0.005, 0.007, 0.01, 0.015, 0.02, 0.03, 0.05, 0.07),
    *(0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.7, 1.0, 1.5, 1.9, 2.1),
)


class Descent(Explorer):
    """Learning rate, feature scale and correlation → the path on the contours.

    The loss of a linear regression with two centred features: the first has deviation 1, the
    second `scale`, so H = [[1, ρ·scale], [ρ·scale, scale²]].
    """

    title = "One learning rate for two weights"
    alt = (
        "Left, the path of gradient descent over the contours of the loss in two weights, the "
        "minimum in the middle. Right, the distance from the minimum against the step on a "
        "logarithmic axis, with a line at one percent of the start."
    )
    controls = (
        Slider("rate", "learning rate η", values=RATES, value=0.07),
        Slider("scale", "σ of feature 2", values=(1, 1.5, 2, 3, 4, 5, 7, 10), value=5),
        Slider("correlation", "correlation ρ", values=(0, 0.3, 0.6, 0.8, 0.9, 0.95), value=0),
    )
    size = (9.4, 4.2)

    @staticmethod
    def hessian(scale, correlation):
        """H, the mean of xᵀx over the rows x: (2, 2)."""
        return np.array([[1.0, correlation * scale], [correlation * scale, scale**2]])

    @staticmethod
    def path(H, rate):
        """Distances from the best weights after each step, while the picture can show them."""
        e, path = START, [START]
        for _ in range(STEPS):
            e = e - rate * (H @ e)
            path.append(e)
            if np.abs(e).max() > FAR:
                break
        return np.array(path)

    def draw(self, fig):
        left, right = fig.subplots(1, 2, width_ratios=[1.3, 1])
        thin = {"color": "#8a8a8a", "linewidth": 1.1, "linestyle": "-"}
        contours = [left.plot([], [], **thin)[0] for _ in SHARES]
        (path,) = left.plot([], [], **PATH, markersize=4.5, linewidth=1.2)
        left.plot(0, 0, **BEST, markersize=18, linestyle="none")
        left.annotate(
            "start", START, xytext=(-7, 5), textcoords="offset points", ha="right", fontsize=13
        )
        left.set(xlim=(-3.1, 3.1), ylim=(-2.2, 2.2))
        left.set_aspect("equal")  # so that steps leave the contours at right angles, as they do
        left.set(xlabel="$w_1$ minus its best value", ylabel="$w_2$ minus its best value")
        left.set_title("path of the two weights")
        left.grid(False)
        (left_over,) = right.semilogy([0, 1], [1, 1], color=COLORS["blue"], linestyle="-")
        right.axhline(0.01, color="#444444", linestyle=":", linewidth=1.8)
        right.set(xlim=(0, STEPS), ylim=(1e-4, 1e2), xlabel="step")
        right.set_yticks([1e-4, 1e-2, 1, 100], ["0.01 %", "1 %", "start", "×100"])
        right.minorticks_off()
        right.set_title("distance from the best")
        return SimpleNamespace(contours=contours, path=path, left_over=left_over)

    def update(self, art, rate, scale, correlation):
        H = self.hessian(scale, correlation)
        path = self.path(H, rate)
        level = 0.5 * START @ H @ START
        for line, share in zip(art.contours, SHARES, strict=True):
            line.set_data(*ellipse(H, share * level))
        art.path.set_data(np.clip(path, -50, 50).T)
        left_over = np.linalg.norm(path, axis=1) / np.linalg.norm(START)
        art.left_over.set_data(np.arange(len(path)), np.maximum(left_over, 1e-9))
        low, high = np.linalg.eigvalsh(H)
        return (
            f"η = {rate:g}. Eigenvalues {low:.3g} and {high:.3g}, κ = {high / low:.3g}; "
            f"stable below {2 / high:.3g}. {self.outcome(left_over, rate * high)}"
        )

    @staticmethod
    def outcome(left_over, steepest):
        """One sentence; left_over is the distance in shares of its start, steepest is η·λ_max."""
        if steepest > 2 + 1e-9:
            return "The steep direction grows with every step: it diverges."
        if steepest > 2 - 1e-9:
            return "Exactly on the edge: the steep direction swings for ever."
        if left_over[-1] < 0.01:
            steps = int(np.argmax(left_over < 0.01))
            return f"Under 1 % of the distance is left after {steps} step{'s' * (steps > 1)}."
        return f"After {STEPS} steps {100 * left_over[-1]:.0f} % of the distance is left."
