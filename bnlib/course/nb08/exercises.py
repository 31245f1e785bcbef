"""Exercises and quiz of notebook 08, what Batch Normalization buys."""

import numpy as np

from bnlib.course.kit.exercises import (
    FunctionExercise,
    PredictionExercise,
    ValueExercise,
    WrongTurn,
)
from bnlib.course.kit.quiz import Question

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


def _two_tables(rng):
    """(rates, seeds). What each rate scores on the first two seeds | on the others:

    best      .75 .69 | .60   the right choice: the highest mean of two
    steady    .70 .70 | .71   the choice of whoever takes the minimum, or looks at a third seed
    lucky     .80 .60 | .64   … of whoever looks at the first seed alone, or takes the maximum
    second    .60 .79 | .66   … at the second alone
    even      .68 .68 | .78   … at all five
    late      .50 .50 | .85   … at the others alone
    """
    r = rng.permutation(10)
    tables = []
    for best, steady, lucky, second, even, late in (r[[1, 0, 6, 7, 8, 9]], r[:6]):  # without, with
        table = np.full((10, 5), 0.6)
        table[best, :2] = 0.75, 0.69
        table[steady] = [0.705, 0.705, 0.71, 0.71, 0.71]
        table[lucky] = [0.80, 0.60, 0.64, 0.64, 0.64]
        table[second] = [0.60, 0.79, 0.66, 0.66, 0.66]
        table[even] = [0.68, 0.68, 0.70, 0.82, 0.82]
        table[late] = [0.50, 0.50, 0.85, 0.85, 0.85]
        tables.append(table + rng.uniform(0, 0.004, size=table.shape))
    return tuple(tables)


def _chosen_by(look):
    """Each net at the rate whose look at the accuracies, row by row, is highest."""

    def gain(without, with_bn):
        def at_its_best_rate(accuracy):
            return accuracy[look(accuracy).argmax(), 2:]

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


def seconds_gained():
    return 7 / 1.4


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
        title="Which rate can it bear?",
        low=0.1,
        high=10_000.0,
        factor=2.1,
        hint="Recall from notebook 04: the weights before BN may be of any size.",
        wrong_turns=[
            WrongTurn(
                "the same",
                (0.5, 1.5),
                "The cliff does move. Long weights shrink the gradient, and a large step makes "
                "long weights: with BN, the step brakes by itself.",
            ),
            WrongTurn(
                "less",
                (0.1, 0.5),
                "The other way: with BN long weights get short gradients, and that bears a larger "
                "rate.",
            ),
            WrongTurn(
                "too far",
                (13.0, 100.0),
                "A little too far: the weights before BN would bear it, the output layer does not.",
            ),
            WrongTurn(
                "anything goes",
                (100.0, 10_000.0),
                "The output layer has no BN after it, nor have $\\gamma$ and $\\beta$. They "
                "meet their cliff, only later.",
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
        praise="To halve an error takes four times as many seeds. So small gains are dear.",
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
            "`accuracy[:, :2].mean(axis=1).argmax()` is the row that is best on the first two "
            "seeds.",
        ),
        praise="Each net at its own best rate, measured on seeds that had no say in the choice.",
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
                "chosen on one seed",
                _chosen_by(lambda accuracy: accuracy[:, 0]),
                "A single good seed decides in yours: you look at the first seed alone, or at the "
                "larger of the two. Take the mean over the first two.",
            ),
            WrongTurn(
                "chosen on the other seed",
                _chosen_by(lambda accuracy: accuracy[:, 1]),
                "You let the second seed choose alone. Take the mean over the first two.",
            ),
            WrongTurn(
                "chosen on three seeds",
                _chosen_by(lambda accuracy: accuracy[:, :3].mean(axis=1)),
                "A third seed has a say in your choice (or you take the smaller of the first two). "
                "Choose by the mean of the first two: columns `:2`.",
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
        title="Steps are not seconds",
        solution=seconds_gained,
        rtol=0.01,
        hint="How long does the net with BN take, if the other takes 7 hours?",
        praise="A seventh of the steps at 1.4 times the price: a fifth of the time.",
        wrong_turns=[
            WrongTurn("multiplied", 9.8, "A dearer step makes BN slower, not faster: divide."),
            WrongTurn("steps only", 7.0, "Those are steps. Each of them takes 1.4 times as long."),
            WrongTurn(
                "upside down",
                1.4 / 7,
                "That is its share of the time: how many times is it faster?",
            ),
            WrongTurn("subtracted", 5.6, "Factors are divided, not subtracted."),
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
            "3.3 of the paper).",
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
