"""The room of notebook 15, find the bug: nineteen wrong layers, small tests, six listings."""

from bnlib.course.nb15.explorer import WhoIsDark
from bnlib.course.nb15.hunting import NO_GRADIENT
from bnlib.course.nb15.layers import FIRST_LOOK, NAMES, RIGHT, SUSPECTS, WRONG_IN
from bnlib.course.nb15.listings import listing
from bnlib.course.nb15.plots import as_array, complete_sets, plot_matrix, still_dark
from bnlib.course.nb15.trials import (
    SECONDS,
    SEVEN,
    TESTS,
    TRAINING,
    accuracies,
    hunt,
    passes,
    takes_images,
    variance_after_one_value,
)

__all__ = [
    "FIRST_LOOK",
    "NAMES",
    "NO_GRADIENT",
    "RIGHT",
    "SECONDS",
    "SEVEN",
    "SUSPECTS",
    "TESTS",
    "TRAINING",
    "WRONG_IN",
    "WhoIsDark",
    "accuracies",
    "as_array",
    "complete_sets",
    "hunt",
    "listing",
    "passes",
    "plot_matrix",
    "still_dark",
    "takes_images",
    "variance_after_one_value",
]
