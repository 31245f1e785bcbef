"""The room of notebook 08, what it buys: what it measures, draws, asks and lets play."""

from bnlib.course.kit.plots import plot_accuracy_map
from bnlib.course.nb08.explorer import LearningRates
from bnlib.course.nb08.measures import (
    at_best_rate,
    before_against_after,
    dropout_gains,
    good_scales,
    highest_rates,
    hold_lengths,
    lead_at_the_end,
    mean_and_error,
    price_of_a_step,
    sayings,
    shift_of_units,
    steps_to,
    steps_to_good,
    times_sooner,
    times_sooner_late,
    verdicts,
)
from bnlib.course.nb08.plots import (
    plot_figure1,
    plot_leads,
    plot_means_over_rates,
    plot_over_rates,
    plot_shares,
    plot_unit_moves,
)

__all__ = [
    "LearningRates",
    "at_best_rate",
    "before_against_after",
    "dropout_gains",
    "good_scales",
    "highest_rates",
    "hold_lengths",
    "lead_at_the_end",
    "mean_and_error",
    "plot_accuracy_map",
    "plot_figure1",
    "plot_leads",
    "plot_means_over_rates",
    "plot_over_rates",
    "plot_shares",
    "plot_unit_moves",
    "price_of_a_step",
    "sayings",
    "shift_of_units",
    "steps_to",
    "steps_to_good",
    "times_sooner",
    "times_sooner_late",
    "verdicts",
]
