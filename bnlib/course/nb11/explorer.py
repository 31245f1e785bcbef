"""Notebook 11: the step where training stopped, and the momentum of the running averages."""

from bnlib.course.kit.explorer import Choice, Explorer, Slider
from bnlib.course.nb11.plots import draw_stopped, set_stopped

STEPS = tuple(range(10, 401, 10))


class WhereItStopped(Explorer):
    """The step where training stopped × momentum → accuracy with running averages and with
    recomputed statistics, and three channels' running means against the truth; from stored runs.

    runs  what stored_runs() returns
    """

    title = "Where training stopped"
    alt = (
        "Left, test accuracy against the step where training stopped, with the running averages "
        "and with recomputed statistics, a mark on each at the chosen step. Right, three channels' "
        "running means in the last layer up to that step, and the true means, dotted."
    )
    size = (8.8, 3.5)
    controls = (
        Slider("step", "training stopped at step", values=STEPS, value=200),
        Choice("momentum", "momentum", ("0.1", "0.01", "plain average")),
    )

    def __init__(self, runs, **values):
        self.runs = runs
        super().__init__(**values)

    def draw(self, fig):
        return draw_stopped(fig, self.runs)

    def update(self, art, step, momentum):
        stored, recomputed = set_stopped(art, self.runs, step, momentum)
        named = momentum if momentum.startswith("plain") else f"momentum {momentum}"
        return (
            f"Stopped at step {step}: {stored:.2f} of the test digits read with the running "
            f"averages ({named}), {recomputed:.2f} with recomputed statistics."
        )
