"""Exercises and quiz of notebook 08, what Batch Normalization buys."""

import numpy as np

from bnlib.course.exercises import FunctionExercise, PredictionExercise, ValueExercise, WrongTurn
from bnlib.course.quiz import Question

# ── 8.3 ─────────────────────────────────────────────────────────────────────────────────────────


def steps_to_reach(steps, accuracy, target):
    reached = accuracy >= target
    return float(steps[reached.argmax()]) if reached.any() else np.nan


def _curves(rng):
    """A rising, bumpy curve that dips below the target again; one in three never gets there."""
    steps = np.cumsum(rng.integers(1, 5, size=30)) * 10
    accuracy = np.round(np.linspace(0.1, 0.8, 30) + rng.uniform(-0.06, 0.06, size=30), 2)
    target = float(accuracy[14])  # met exactly at least once
    first = int((accuracy >= target).argmax())
    accuracy[first + 1] = target - 0.05
    return steps, accuracy, target


def _never(answer, rng):
    steps, accuracy, _ = _curves(rng)
    try:
        result = answer(steps, accuracy, 0.95)
    except Exception as error:
        return (
            "It is right where the target is reached; where it never is, your function stops with "
            f"`{type(error).__name__}`. Return `np.nan` there."
        )
    if result is None or not np.isscalar(result) or not np.isnan(result):
        return (
            "It is right where the target is reached. Where it never is, return `np.nan`: "
            "`argmax` of nothing but False is 0, which looks like a very fast net."
        )
    return None


# ── 8.4 ─────────────────────────────────────────────────────────────────────────────────────────


def fair_gain(without, with_bn):
    def at_its_best_rate(accuracy):
        return accuracy[accuracy.mean(axis=1).argmax()]  # chosen on the mean, one row for all seeds

    return at_its_best_rate(with_bn) - at_its_best_rate(without)


def _two_tables(rng):
    """(rates, seeds): different best rates, and single lucky seeds elsewhere."""
    rates, seeds = 5, 4
    tables = []
    for best in rng.permutation([1, 3]):
        table = 0.6 + rng.uniform(0, 0.04, size=(rates, seeds))
        table[best] += 0.1
        lucky = (best + 1) % rates
        table[lucky, rng.integers(seeds)] += 0.25  # one lucky seed: its mean stays below the best
        tables.append(table)
    return tuple(tables)


def _lucky(without, with_bn):
    return with_bn.max(axis=0) - without.max(axis=0)


def _same_rate(without, with_bn):
    return (with_bn - without)[with_bn.mean(axis=1).argmax()]


def _rate_of_the_other(without, with_bn):
    return (with_bn - without)[without.mean(axis=1).argmax()]


# ── 8.5 ─────────────────────────────────────────────────────────────────────────────────────────


def seconds_gained():
    return 7 / 1.4


EXERCISES = [
    PredictionExercise(
        id="8.1",
        title="Who ends ahead?",
        choices=("with BN", "without", "neither"),
        answer="without",
        hint="Both nets fit all 8,000 digits long before the end. What can still differ?",
        wrong_turns=[
            WrongTurn(
                "as in the paper",
                "with BN",
                "So it was in the paper, on the full set of 60,000. Here both nets have learned "
                "their 8,000 digits by heart well before the end, and learning sooner is no "
                "advantage any more.",
            ),
            WrongTurn(
                "a tie",
                "neither",
                "Nearly: it is a few tenths of a point. But the order is the same in every seed.",
            ),
        ],
        praise="By a few tenths of a point, and in every seed.",
        note="Both nets have learned their 8,000 digits by heart well before the end; learning "
        "sooner is no advantage any more.",
    ),
    PredictionExercise(
        id="8.2",
        title="Which rate can it bear?",
        low=0.1,
        high=10_000.0,
        factor=1.6,
        hint="Recall from notebook 04: the weights before BN may be of any size.",
        wrong_turns=[
            WrongTurn(
                "the same",
                (0.5, 1.5),
                "The cliff does move. Long weights shrink the gradient, and a large step makes "
                "long weights: BN brakes by itself.",
            ),
            WrongTurn(
                "anything goes",
                (100.0, 10_000.0),
                "The output layer has no BN behind it, nor have $\\gamma$ and $\\beta$. They "
                "meet their cliff, only later.",
            ),
        ],
        praise="The weights before BN brake by themselves; those after it do not.",
        note="Long weights shrink the gradient, and a large step makes long weights: before BN "
        "they brake by themselves. The output layer, $\\gamma$ and $\\beta$ do not.",
    ),
    FunctionExercise(
        id="8.3",
        title="When did it get there?",
        solution=steps_to_reach,
        inputs=_curves,
        also=[_never],
        hint=(
            "`accuracy >= target` is an array of True and False. Where is its first True?",
            "`argmax` gives the place of the first True, and 0 when there is none: ask `any` "
            "before.",
        ),
        praise="Also for a net that never gets there, which is the case to remember.",
        wrong_turns=[
            WrongTurn(
                "the place, not the step",
                lambda steps, accuracy, target: float((accuracy >= target).argmax()),
                "You return the place in the array; look up the step at that place.",
            ),
            WrongTurn(
                "larger, not equal",
                lambda steps, accuracy, target: float(steps[(accuracy > target).argmax()]),
                "Equal counts: at the target it has reached the target.",
            ),
            WrongTurn(
                "the last time it was below",
                lambda steps, accuracy, target: float(
                    steps[len(steps) - (accuracy < target)[::-1].argmax()]
                    if (accuracy < target)[::-1].argmax()
                    else np.nan
                ),
                "You return where it stays above for good. The *first* time is asked for.",
            ),
            WrongTurn(
                "the best",
                lambda steps, accuracy, target: float(steps[accuracy.argmax()]),
                "You return where accuracy is best; the target is met earlier.",
            ),
            WrongTurn(
                "how many",
                lambda steps, accuracy, target: float((accuracy >= target).sum()),
                "You count how often the target is met. Where is it met first?",
            ),
        ],
    ),
    FunctionExercise(
        id="8.4",
        title="A fair comparison",
        solution=fair_gain,
        inputs=_two_tables,
        hint=(
            "Two nets, two best rates. On what do you choose a rate, when there are several seeds?",
            "`accuracy.mean(axis=1).argmax()` is the row of the best rate.",
        ),
        praise="Each net at its own best rate, and the rate chosen on all seeds together.",
        wrong_turns=[
            WrongTurn(
                "each seed its own rate",
                _lucky,
                "You let every seed choose its own rate, so one lucky run decides. Choose the rate "
                "on the mean over the seeds.",
            ),
            WrongTurn(
                "both at BN's rate",
                _same_rate,
                "You compare both at the rate that suits the net *with* BN. The other may be tuned "
                "as well.",
            ),
            WrongTurn(
                "both at the other's rate",
                _rate_of_the_other,
                "You compare both at the rate that suits the net *without* BN. The other may be "
                "tuned as well.",
            ),
            WrongTurn(
                "turned round",
                lambda without, with_bn: fair_gain(with_bn, without),
                "The sign is turned round: positive should mean that BN gains.",
            ),
            WrongTurn(
                "averaged over the rates",
                lambda without, with_bn: with_bn.mean(axis=0) - without.mean(axis=0),
                "You average over all rates, good and bad. Nobody trains at an average rate.",
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
        "In our Dropout test BN did not raise the accuracy. What may we say?",
        {
            "BN does not regularize": "We saw one small net on 500 digits. That is no proof for "
            "all nets.",
            "The effect is not to be seen in this net, at this size": "Yes, and that is the whole "
            "statement.",
            "The paper is wrong": "It speaks of a net with millions of weights and pictures.",
        },
        correct=1,
    ),
    Question(
        "What does BN keep fixed in a layer's inputs during training?",
        {
            "Mean and variance: 0 and 1": "Of $\\hat{x}$, yes. The sigmoid sees $\\gamma\\hat{x} + "
            "\\beta$, and those are learned.",
            "Nothing: it only moves them": "The weights below cannot move them any more.",
            "Mean $\\beta$ and deviation $\\gamma$, whatever the weights below do": "Yes: two "
            "numbers per unit decide, and they move slowly.",
        },
        correct=2,
    ),
]
