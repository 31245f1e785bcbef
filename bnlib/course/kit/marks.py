"""Marks: what an answer gets where a class is marked (make handout), by the check itself."""

import contextlib
import io
import warnings

import numpy as np

from bnlib.course.kit.asking import find


def marks(number, answer=None, of=None):
    """Print the verdict on an answer, and return its marks, a float.

    number  the exercise's, such as "5.1"
    answer  what check() takes
    of      the marks of a right answer; None: what the exercise is worth

    All marks where the answer is right, a part (exercises.py) for a mistake that the check knows,
    none for another one or an untouched stub. The inputs are the same each time. Raises LookupError
    when there is no such exercise. nbgrader takes the number that a cell displays as its mark, and
    gives none to a cell that writes to stderr: what an answer writes there, or warns, is left out.

    >>> marks("5.2", 784 * 100 + 200)
    5.2 Count the parameters: ✓ Right. A hundred more than the plain layer, whose bias has become β.
    3.0
    >>> marks("5.2", ...)
    5.2 Count the parameters: ○ Not attempted yet. Replace ... by your answer
    and run this cell again.
    0.0
    """
    exercise = find(number)
    of = exercise.worth if of is None else of
    with warnings.catch_warnings(), contextlib.redirect_stderr(io.StringIO()):
        warnings.simplefilter("ignore")
        verdict, share = exercise.graded(answer, np.random.default_rng(0))
    print(verdict.plain)
    return int(2 * of * share + 1e-9) / 2  # whole and half marks; 15/22 of 11 are 7.5, not 7
