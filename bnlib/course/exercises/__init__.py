"""check, hint, solution and settle for the notebooks; the kinds of exercise for their modules."""

from bnlib.course.exercises.machinery import (
    FunctionExercise,
    PredictionExercise,
    ValueExercise,
    Verdict,
    WrongTurn,
    check,
    exercises_of,
    hint,
    notebooks,
    settle,
    solution,
)

__all__ = [
    "FunctionExercise",
    "PredictionExercise",
    "ValueExercise",
    "Verdict",
    "WrongTurn",
    "check",
    "exercises_of",
    "hint",
    "notebooks",
    "settle",
    "solution",
]
