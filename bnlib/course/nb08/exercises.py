"""Exercises and quiz of notebook 08, what Batch Normalization buys."""

import numpy as np

from bnlib.course import nb08
from bnlib.course.kit.exercises import (
    FunctionExercise,
    PredictionExercise,
    ValueExercise,
    WrongTurn,
)
from bnlib.course.kit.quiz import Question
from bnlib.course.kit.runs import stored_runs

# ── 8.3 ─────────────────────────────────────────────────────────────────────────────────────────


def seeds_needed(gains):
    # The mean exceeds 2·std/√n as soon as n > (2·std/mean)².
    return int((2 * gains.std(ddof=1) / gains.mean()) ** 2) + 1


def _gains(rng):
    """Some gains whose mean is small beside their spread: from about 10 to 100 seeds are needed."""
    gains = rng.normal(size=rng.integers(4, 8))
    return ((gains - gains.mean()) / gains.std() + rng.uniform(0.25, 0.6),)


# ── 8.4 ─────────────────────────────────────────────────────────────────────────────────────────


def fair_gain(without, with_bn):
    def at_its_best_rate(accuracy):
        best = accuracy[:, :2].mean(axis=1).argmax()  # chosen on two seeds
        return accuracy[best, 2:]  # measured on the others

    return at_its_best_rate(with_bn) - at_its_best_rate(without)


# What a rate adds to 0.6 in the first three seeds, and in the others. Each choice but the right one
# falls for another row.
_RATES = {
    "the mean of the first two": (0.12, 0.08, 0.0, 0.0),
    "the first seed": (0.17, 0.0, 0.01, 0.01),
    "the second, or the larger of the two": (0.0, 0.18, 0.02, 0.02),
    "the smaller of the two": (0.09, 0.09, -0.05, 0.03),
    "the median of three": (0.095, 0.08, 0.20, 0.0),
    "the mean of three": (0.09, 0.085, 0.26, -0.2),
    "the mean of all": (0.05, 0.05, 0.23, 0.23),
    "the mean of the others": (-0.1, -0.1, 0.25, 0.25),
    "none": (-0.2, -0.2, -0.2, -0.2),
}


def _two_tables(rng):
    """(rates, seeds), (rates, seeds): whatever chooses a net's rate, each choice is another row."""
    rows = np.array(list(_RATES.values()))
    seeds = rng.integers(5, 8)
    rows = np.hstack([rows, np.repeat(rows[:, 3:], seeds - 4, axis=1)])
    order = rng.permutation(len(rows))
    tables = rows[order], rows[np.roll(order, rng.integers(1, len(rows)))]
    return tuple(0.6 + table + rng.uniform(0, 0.004, table.shape) for table in tables)


def _chosen_by(rule):
    """The right measurement, after a choice by rule((rates, seeds)) -> (rates,)."""

    def gain(without, with_bn):
        def at_its_best_rate(accuracy):
            return accuracy[rule(accuracy).argmax(), 2:]

        return at_its_best_rate(with_bn) - at_its_best_rate(without)

    return gain


def _largest_gain(without, with_bn):
    gain = with_bn - without
    return gain[gain[:, :2].mean(axis=1).argmax(), 2:]


def _measured_on_the_same(without, with_bn):
    def at_its_best_rate(accuracy):
        return accuracy[accuracy[:, :2].mean(axis=1).argmax(), :2]

    return at_its_best_rate(with_bn) - at_its_best_rate(without)


def _measured_on_all(without, with_bn):
    def at_its_best_rate(accuracy):
        return accuracy[accuracy[:, :2].mean(axis=1).argmax()]

    return at_its_best_rate(with_bn) - at_its_best_rate(without)


def _rate_of(chooser):
    """Both nets at the rate that suits one of them: 0 the net without BN, 1 the one with it."""

    def gain(without, with_bn):
        best = (without, with_bn)[chooser][:, :2].mean(axis=1).argmax()
        return (with_bn - without)[best, 2:]

    return gain


# ── 8.5 ─────────────────────────────────────────────────────────────────────────────────────────


def doubtful_point():
    runs = stored_runs()
    steps = nb08.steps_to(0.85, runs["larger_accuracy"], runs["curves_steps"])
    arrived = np.isfinite(steps).sum(axis=2)  # (2 nets, rates): how many of the three seeds
    ((net, rate),) = np.argwhere((arrived > 0) & (arrived < 3))
    return runs["curves_rates"][rate], arrived[net, rate]


EXERCISES = [
    PredictionExercise(
        id="8.1",
        title="Who ends ahead?",
        choices=("with BN", "without BN", "neither"),
        answer="neither",
        hint="Both nets know their 8,000 digits by heart before the end. What can still differ?",
        wrong_turns=[
            WrongTurn(
                "as in the paper",
                "with BN",
                "So it was in the paper, on the full set of 60,000. With 8,000 digits both nets "
                "have time to learn them by heart, and having learned sooner probably no "
                "longer helps.",
            ),
            WrongTurn(
                "the late one wins",
                "without BN",
                "At a rate of 1, yes. At this one the order depends on the seed.",
            ),
        ],
        praise="Less than a point apart, and which one leads depends on the seed.",
        note="Both nets have time to learn their 8,000 digits by heart; having learned sooner "
        "probably no longer helps.",
    ),
    PredictionExercise(
        id="8.2",
        title="How large may the rate be?",
        low=0.1,
        high=10_000.0,
        factor=2.1,
        hint="Recall from notebook 04: the weights before BN may be of any size.",
        wrong_turns=[
            WrongTurn(
                "the same",
                (0.5, 1.5),
                "The largest rate does grow. Long weights shrink the gradient, and a large step "
                "makes long weights: with BN a step that is too large brakes the next ones.",
            ),
            WrongTurn(
                "less",
                (0.1, 0.5),
                "The other way: with BN long weights get short gradients, and that allows a larger "
                "rate.",
            ),
            WrongTurn(
                "too far",
                (13.0, 100.0),
                "A little too far. The output layer has no BN after it, and so no such brake.",
            ),
            WrongTurn(
                "anything goes",
                (100.0, 10_000.0),
                "The output layer has no BN after it, nor have $\\gamma$ and $\\beta$: from some "
                "rate on nothing is learned with BN, too.",
            ),
        ],
        praise="Between three and ten, as far as the rates tried can tell.",
        note="The rates tried are coarse: it lies between three and ten.",
    ),
    FunctionExercise(
        id="8.3",
        title="How many seeds?",
        solution=seeds_needed,
        inputs=_gains,
        hint=(
            "Write down the condition: mean > 2 · standard error. Where does $n$ stand in it?",
            "Solve for $n$: it must be greater than $(2\\,\\mathrm{std}/\\mathrm{mean})^2$. Which "
            "is the first whole number beyond that?",
        ),
        praise="To halve an error takes four times as many seeds. So small gains are hard to "
        "prove.",
        wrong_turns=[
            WrongTurn(
                "one standard error",
                lambda gains: int((gains.std(ddof=1) / gains.mean()) ** 2) + 1,
                "Those are enough for *one* standard error; two are asked for.",
            ),
            WrongTurn(
                "not squared",
                lambda gains: int(2 * gains.std(ddof=1) / gains.mean()) + 1,
                "The error falls as $1/\\sqrt{n}$, so the number of seeds grows with the *square*.",
            ),
            WrongTurn(
                "the factor not squared",
                lambda gains: int(2 * (gains.std(ddof=1) / gains.mean()) ** 2) + 1,
                "The 2 is inside the square as well: two standard errors take four times as many "
                "seeds as one.",
            ),
            WrongTurn(
                "rounded down",
                lambda gains: int((2 * gains.std(ddof=1) / gains.mean()) ** 2),
                "With so many the mean is not yet *more* than two standard errors: one seed more.",
            ),
            WrongTurn(
                "not whole",
                lambda gains: (2 * gains.std(ddof=1) / gains.mean()) ** 2,
                "That is the bound. Seeds come in whole numbers: the first one beyond it.",
            ),
            WrongTurn(
                "seeds still to run",
                lambda gains: int((2 * gains.std(ddof=1) / gains.mean()) ** 2) + 1 - len(gains),
                "You subtract the seeds that you have. The number of all is asked for.",
            ),
            WrongTurn(
                "the error as it is now",
                lambda gains: (
                    int((2 * gains.std(ddof=1) / np.sqrt(len(gains)) / gains.mean()) ** 2) + 1
                ),
                "You divide by $\\sqrt n$ of the seeds that you have. The $n$ to be found stands "
                "there.",
            ),
        ],
    ),
    FunctionExercise(
        id="8.4",
        title="A fair comparison",
        solution=fair_gain,
        inputs=_two_tables,
        axes=("rate", "seed"),
        hint=(
            "Two nets, so two rates to choose. Which columns may you look at when you choose?",
            "`.mean(axis=1)` makes one number of each row, and `.argmax()` finds the largest row. "
            "Which columns go into the mean, and which come out of that row?",
        ),
        praise="Each net at its own best rate, measured on seeds that were not used for the "
        "choice.",
        note="The best of twelve rates is in part the luckiest. Fresh seeds take the luck out.",
        wrong_turns=[
            WrongTurn(
                "chosen on all",
                _chosen_by(lambda accuracy: accuracy.mean(axis=1)),
                "You let all seeds choose the rate. Then the winner is in part the luckiest, and "
                "you measure its luck: choose on the first two only.",
            ),
            WrongTurn(
                "measured on the seeds that chose",
                _measured_on_the_same,
                "You measure on the two seeds that chose the rate. Their luck is in the number: "
                "measure on the others.",
            ),
            WrongTurn(
                "measured on all seeds",
                _measured_on_all,
                "The two seeds that chose are among those that you measure. Leave them out.",
            ),
            WrongTurn(
                "chosen on the others",
                _chosen_by(lambda accuracy: accuracy[:, 2:].mean(axis=1)),
                "You let the *other* seeds choose. Those are for measuring: choose on the first "
                "two.",
            ),
            WrongTurn(
                "chosen on the first seed",
                _chosen_by(lambda accuracy: accuracy[:, 0]),
                "Only the first seed had a say in your choice. Two may choose: take their mean.",
            ),
            WrongTurn(
                "chosen by the larger of the two",
                _chosen_by(lambda accuracy: accuracy[:, :2].max(axis=1)),
                "One lucky seed decides your choice: it falls to the rate with the best *single* "
                "result. Take the mean of the first two.",
            ),
            WrongTurn(
                "chosen by the smaller of the two",
                _chosen_by(lambda accuracy: accuracy[:, :2].min(axis=1)),
                "You choose by the *worse* of the two seeds. Take their mean.",
            ),
            WrongTurn(
                "chosen on three",
                _chosen_by(lambda accuracy: accuracy[:, :3].mean(axis=1)),
                "The third seed, with index 2, had a say in your choice: `:2` ends before it.",
            ),
            WrongTurn(
                "by the median of three",
                _chosen_by(lambda accuracy: np.median(accuracy[:, :3], axis=1)),
                "Your median sees the third seed, which is for measuring. Take the mean of the "
                "first two.",
            ),
            WrongTurn(
                "one rate, by the gain",
                _largest_gain,
                "You chose one rate for both nets, by the gain. Choose one for each net, by its "
                "own accuracy.",
            ),
            WrongTurn(
                "both at BN's rate",
                _rate_of(1),
                "You compare both at the rate that suits the net *with* BN. The other may be tuned "
                "as well.",
            ),
            WrongTurn(
                "both at the other's rate",
                _rate_of(0),
                "You compare both at the rate that suits the net *without* BN. The other may be "
                "tuned as well.",
            ),
            WrongTurn(
                "turned round",
                lambda without, with_bn: fair_gain(with_bn, without),
                "The sign is turned round: positive should mean that BN gains.",
            ),
            WrongTurn(
                "one number",
                lambda without, with_bn: fair_gain(without, with_bn).mean(),
                "You average over the seeds. Keep them: their spread says what the gain is worth.",
            ),
        ],
    ),
    ValueExercise(
        id="8.5",
        title="What is wrong with this figure?",
        solution=doubtful_point,
        hint=(
            "A mean needs numbers. What becomes of a run that never reads 85 of 100?",
            "`nb08.steps_to` gives NaN for such a run. How many of the three values of each rate "
            "are numbers? `np.isfinite` tells.",
        ),
        praise="One run stands for three: the two that had not arrived after 3,000 steps are left "
        "out of the mean, so the point lies too low, and looks as sure as the others.",
        note="A mean over those that arrived leaves out the slowest. Draw every seed, or break the "
        "line where one is missing.",
        wrong_turns=[
            WrongTurn(
                "the rate alone",
                0.01,
                "That is the rate. How many runs stand behind its point? Write both: (rate, runs).",
            ),
            WrongTurn(
                "those that are missing",
                (0.01, 2),
                "That is the rate. But two are the runs that are *missing* from its point.",
            ),
            WrongTurn(
                "three runs",
                (0.01, 3),
                "That is the rate. But not all three of its runs reached 85 of 100.",
            ),
            WrongTurn(
                "turned round",
                (1, 0.01),
                "The other way round: first the rate, then the number of runs.",
            ),
            WrongTurn(
                "the other end of the curve",
                (30.0, 3),
                "At rate 30 all three runs get there with BN; they are slow, and the point is "
                "honest.",
            ),
            WrongTurn(
                "where no run arrives",
                (50.0, 0),
                "At 50 no run gets there, so no point is drawn, and none misleads.",
            ),
        ],
    ),
]

QUIZ = [
    Question(
        "Two nets at the same learning rate: the one with BN is far ahead. What follows?",
        {
            "BN trains faster": "At that rate. The other net may have a better one.",
            "Nothing yet: compare each at its own best rate": "Yes. Choose each rate on the mean "
            "over several seeds.",
            "The rate is too small for BN": "It may be too small for the net without.",
        },
        correct=1,
    ),
    Question(
        "Why does a net with BN stand a learning rate at which the other learns nothing?",
        {
            "BN makes gradients smaller": "Not as such. Only those of long weights.",
            "Long weights before BN get small gradients, so a step too large brakes the next": "Yes"
            ": $\\mathrm{BN}(aWu) = \\mathrm{BN}(Wu)$, and the gradient is divided by $a$ (section "
            "3.3 of the paper). With the lengths held fixed, our net hardly learns at rate 30.",
            "Its inputs never change": "They do: $\\gamma$ and $\\beta$ are learned.",
        },
        correct=1,
    ),
    Question(
        "In our Dropout test BN gained less than two standard errors in accuracy. What may we say "
        "of the accuracy?",
        {
            "BN does not regularize": "It was ahead on average, and one small net on 500 digits "
            "proves nothing for all nets.",
            "Six seeds of this net cannot tell": "Yes, and that is the whole statement.",
            "The paper is wrong": "It speaks of a net with millions of weights and pictures.",
        },
        correct=1,
    ),
    Question(
        "With BN before it, what are mean and deviation of a sigmoid's input over a batch?",
        {
            "0 and 1": "Of $\\hat{x}$, yes. The sigmoid sees $\\gamma\\hat{x} + \\beta$, and those "
            "are learned.",
            "Whatever the weights below make them": "Those cannot move them any more.",
            "$\\beta$ and $|\\gamma|$, whatever the weights below do": "Yes: two numbers per unit "
            "decide, and they move slowly.",
        },
        correct=2,
    ),
]
