"""Notebook 15: tick tests, and see which suspects stay in the dark."""

from types import SimpleNamespace

from matplotlib.patches import Rectangle

from bnlib.course.kit.explorer import Explorer, Switch
from bnlib.course.kit.style import COLORS
from bnlib.course.kit.words import number
from bnlib.course.nb15.plots import LETTERS, draw_frame, still_dark
from bnlib.course.nb15.trials import SECONDS, SEVEN, TRAINING

FIRST = "mean 0, variance 1"
NAMES = {f"test_{i}": test for i, test in enumerate((TRAINING, *SEVEN))}


class WhoIsDark(Explorer):
    """Tests ticked → which suspects nobody finds, and the seconds for all nineteen.

    caught  {test: letters of the suspects that it finds}, with the tests that can be ticked and
            "mean 0, variance 1", which is always run
    """

    title = "Who stays in the dark?"
    alt = (
        "A row of dots for each test, one for each of the nineteen suspects that it finds; rows "
        "that are not ticked are faint. Below, a box for each suspect, black where no ticked test "
        "finds it."
    )
    size = (9.8, 4.6)
    controls = tuple(Switch(name, test) for name, test in NAMES.items())

    def __init__(self, caught, **values):
        self.caught = caught
        super().__init__(**values)

    def draw(self, fig):
        ax = fig.subplots()
        tests = [FIRST, *NAMES.values()]
        at = draw_frame(ax, tests)
        ax.set_ylim(len(tests) + 0.9, -0.5)
        rows, boxes, signs = {}, {}, {}
        for row, test in enumerate(tests):
            letters = self.caught[test]
            (rows[test],) = ax.plot(
                [at[x] for x in letters], [row] * len(letters), "o", linestyle="none", markersize=10
            )
        for letter, x in at.items():
            boxes[letter] = ax.add_patch(
                Rectangle(
                    (x - 0.42, len(tests) - 0.15), 0.84, 0.9, edgecolor="black", linewidth=1.2
                )
            )
            signs[letter] = ax.text(x, len(tests) + 0.3, letter, ha="center", va="center",
                                    fontsize=13, weight="bold", zorder=5)  # fmt: skip
        ax.set_yticks([*range(len(tests)), len(tests) + 0.3], [*tests, "in the dark: black"])
        return SimpleNamespace(rows=rows, boxes=boxes, signs=signs)

    def update(self, art, **ticks):
        ticked = [FIRST, *(test for name, test in NAMES.items() if ticks[name])]
        for test, dots in art.rows.items():
            on = test in ticked
            dots.set(color=COLORS["blue"] if on else "#a0a0a0", marker="o" if on else ".")
        dark = still_dark(self.caught, ticked)
        for letter in LETTERS:
            art.boxes[letter].set_facecolor("black" if letter in dark else "white")
            art.signs[letter].set_color("white" if letter in dark else "black")
        seconds = sum(SECONDS[test] for test in ticked)
        tests = f"{len(ticked)} tests" if len(ticked) > 1 else "1 test"
        left = f"in the dark: {', '.join(dark)}" if dark else "nobody stays in the dark"
        return (
            f"{tests}, {number(seconds)} seconds for all nineteen: "
            f"{len(LETTERS) - len(dark)} of {len(LETTERS)} found; {left}."
        )
