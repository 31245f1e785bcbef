"""Notebook 17: from a symptom to its likely causes, one look after the other."""

from bnlib.course.kit.explorer import Choice, Explorer, Slider
from bnlib.course.nb17.plots import draw_walk, move_walk, named
from bnlib.course.nb17.symptoms import STEPS, SYMPTOMS


class WhereToLook(Explorer):
    """A symptom × how far you have looked → what to look at next, and the question behind it."""

    title = "Where to look first"
    alt = (
        "Four boxes below each other with a question each, joined by arrows that say no; from each "
        "an arrow that says yes leads to a box with a cause and the number of a question."
    )
    size = (9.6, 4.4)
    controls = (
        Choice("symptom", "what you see", tuple(SYMPTOMS)),
        Slider("step", "look number", values=tuple(range(1, STEPS + 1)), value=1),
    )

    def draw(self, fig):
        return draw_walk(fig.subplots())

    def update(self, art, symptom, step):
        move_walk(art, symptom, step)
        look = SYMPTOMS[symptom][step - 1]
        nothing = "no, four times? Then look outside of BN"
        after = "if no, the next look" if step < STEPS else nothing
        return (
            f"{symptom[0].upper()}{symptom[1:]}. Look {step}: {look.check} If yes: {look.cause} "
            f"({named(look.questions)}); {after}."
        )
