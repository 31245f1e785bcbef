"""Plots of notebook 17: which question answers which symptom, and the walk from check to check."""

from types import SimpleNamespace

from matplotlib.patches import FancyArrowPatch, FancyBboxPatch

from bnlib.course.kit.figures import described
from bnlib.course.kit.plots import figure
from bnlib.course.kit.style import COLORS
from bnlib.course.kit.words import listing
from bnlib.course.nb17.symptoms import QUESTIONS, STEPS, SYMPTOMS


def questions_of(symptom):
    """The numbers of the questions that a symptom may lead to, in the order of the looks."""
    found = [number for look in SYMPTOMS[symptom] for number in look.questions]
    return list(dict.fromkeys(found))


def named(numbers):
    """Question numbers in words: "question 1", "questions 1, 4 and 20"."""
    return f"question{'s' * (len(numbers) > 1)} {listing(numbers)}"


def plot_symptoms():
    """Symptoms against the questions that explain them, a dot where they meet. Returns the Axes."""
    numbers = sorted({n for symptom in SYMPTOMS for n in questions_of(symptom)})
    _, ax = figure(size=(10.4, 5.2))
    for row, symptom in enumerate(SYMPTOMS):
        columns = [numbers.index(n) for n in questions_of(symptom)]
        ax.plot(columns, [row] * len(columns), "o", color=COLORS["blue"], markersize=13)
    ax.set_yticks(range(len(SYMPTOMS)), list(SYMPTOMS))
    ax.set_xticks(
        range(len(numbers)), [f"{n}  {QUESTIONS[n]}" for n in numbers], rotation=40, ha="right"
    )
    ax.set(xlim=(-0.6, len(numbers) - 0.4), ylim=(len(SYMPTOMS) - 0.4, -0.6))
    ax.set(xlabel="question", ylabel="symptom")
    told = [f"{symptom}: {named(questions_of(symptom))}." for symptom in SYMPTOMS]
    return described(ax, f"Symptoms against the questions that explain them. {' '.join(told)}")


def draw_walk(ax):
    """The boxes and arrows of a walk; returns the moving artists: checks, causes, boxes."""
    art = SimpleNamespace(checks=[], causes=[], boxes=[], ways=[])
    for step in range(STEPS):
        y = -1.25 * step
        for left, width, texts in ((0, 5.3, art.checks), (6.5, 4.7, art.causes)):
            box = FancyBboxPatch((left, y - 0.42), width, 0.84, boxstyle="round,pad=0.03",
                                 linewidth=1.6, zorder=2)  # fmt: skip
            art.boxes.append(ax.add_patch(box))
            texts.append(
                ax.text(left + width / 2, y, "", ha="center", va="center", fontsize=13, zorder=4)
            )
        arrow = {"arrowstyle": "-|>", "mutation_scale": 18, "color": "#444444", "zorder": 1}
        ax.add_patch(FancyArrowPatch((5.35, y), (6.45, y), linewidth=1.8, **arrow))
        ax.text(5.85, y + 0.1, "yes", ha="center", va="bottom", fontsize=13)
        if step:
            start, end = (2.65, y + 1.25 - 0.46), (2.65, y + 0.46)
            ax.add_patch(FancyArrowPatch(start, end, linewidth=1.8, **arrow))
            ax.text(2.8, y + 0.63, "no", ha="left", va="center", fontsize=13)
    ax.set(xlim=(-0.1, 11.3), ylim=(-1.25 * (STEPS - 1) - 0.55, 0.55))
    ax.set_axis_off()
    return art


def move_walk(art, symptom, step):
    """Write a symptom's looks into the boxes, and mark the step (from 1) that is taken."""
    for i, look in enumerate(SYMPTOMS[symptom]):
        art.checks[i].set_text(f"{i + 1}.  {look.check}")
        art.causes[i].set_text(f"{look.cause}\n→ {named(look.questions)}")
        for box in art.boxes[2 * i : 2 * i + 2]:
            here = i + 1 == step
            box.set(facecolor="#cfe6f5" if here else "white", edgecolor="black" if here else "#999")
            box.set_linewidth(3.0 if here else 1.2)
