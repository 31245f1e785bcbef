"""Exercises and quiz of notebook 00: how the course's exercises work, on two easy ones."""

import numpy as np

from bnlib.course.kit.exercises import FunctionExercise, PredictionExercise, WrongTurn
from bnlib.course.kit.quiz import Question


def feature_means(x):
    return x.mean(axis=0)


def _table(rng):
    return (rng.normal(rng.uniform(-5, 5, size=3), 2.0, size=(rng.integers(5, 12), 3)),)


EXERCISES = [
    PredictionExercise(
        id="0.1",
        title="What does contrast change?",
        choices=("nothing", "the mean", "the deviation", "both"),
        answer="nothing",
        hint="Doubling every pixel doubles the mean and the deviation. What is left of the factor "
        "after you subtract one and divide by the other?",
        praise="Factor and shift both cancel, and that is the idea the whole course is built on.",
        note="With $x' = ax + b$ and $a > 0$, the mean becomes $a\\mu + b$ and the deviation "
        "$a\\sigma$, so $(x' - \\mu')/\\sigma' = (x - \\mu)/\\sigma$: both $a$ and $b$ cancel.",
    ),
    FunctionExercise(
        id="0.2",
        title="One mean per feature",
        solution=feature_means,
        inputs=_table,
        hint=(
            "`x` has one row per example and one column per feature. You want one number for each "
            "column.",
            "`x.mean(axis=...)` averages along one axis: the axis that disappears.",
        ),
        praise="That is all the NumPy that the first notebooks need.",
        wrong_turns=[
            WrongTurn(
                "one mean per example",
                lambda x: x.mean(axis=1),
                "You got one number per example: the average ran along the rows. Let it run down "
                "the columns.",
            ),
            WrongTurn(
                "one mean for everything",
                lambda x: x.mean(),
                "You got one number for the whole table. Name the axis over which to average.",
            ),
            WrongTurn(
                "sum",
                lambda x: x.sum(axis=0),
                "Those are the sums of the columns: divide by the number of examples.",
            ),
            WrongTurn(
                "divided by the number of features",
                lambda x: x.sum(axis=0) / x.shape[1],
                "You divide by the number of features, `x.shape[1]`; the examples are what you "
                "averaged over.",
            ),
            WrongTurn(
                "median",
                lambda x: np.median(x, axis=0),
                "Those are the medians. The mean is the sum divided by the count.",
            ),
        ],
    ),
]

QUIZ = [
    Question(
        "A cell prints `✓ both agree`. What does the tick stand for?",
        {
            "The author saw it once": "Then it would be a sentence in the text.",
            "The cell computed it, just now, on this machine": "And it would have stopped with an "
            "error otherwise. In CI every such line is proved again.",
            "The cell ran without an error": "More than that: a condition was computed, and it "
            "was true.",
        },
        correct=1,
    ),
    Question(
        "You run all cells, and exercise 3.2 says *not attempted yet*. What went wrong?",
        {
            "Nothing": "An untouched exercise is no error, so *Run all* always gets to the end.",
            "The check is broken": "It is waiting for your code in place of the dots.",
            "I must restart the kernel": "No need: write your code and run that one cell.",
        },
        correct=0,
    ),
]
