"""Exercises and quiz of notebook 01, the moving target."""

import numpy as np

from bnlib.course.kit.exercises import (
    FunctionExercise,
    PredictionExercise,
    ValueExercise,
    WrongTurn,
)
from bnlib.course.kit.quiz import Question

# ── 1.4 ─────────────────────────────────────────────────────────────────────────────────────────


def saturated_shares(inputs):
    return np.array([(np.abs(x) > 4).mean() for x in inputs])


def _layers(rng):
    spread = rng.uniform(2.5, 5.0, size=3)
    centre = rng.uniform(-2.0, -0.5, size=3)  # off centre: both sides count, but not alike
    return ([rng.normal(c, s, size=(40, 7)) for c, s in zip(centre, spread, strict=True)],)


def _sigmoid(x):
    return 1 / (1 + np.exp(-x))


# ── 1.5 ─────────────────────────────────────────────────────────────────────────────────────────


def spread_of_x(u, s):
    # The terms u_i w_i are independent, so their variances u_i² s² add up.
    return s * np.sqrt((u**2).sum())


def _numbers_and_scale(rng):
    return rng.uniform(0.2, 3.0, size=9), rng.uniform(0.05, 0.5)


# ── 1.6 ─────────────────────────────────────────────────────────────────────────────────────────


def best_factor():
    return (1 / 4) ** 6  # 1/4096


EXERCISES = [
    PredictionExercise(
        id="1.1",
        title="How good after 6,000 digits?",
        low=0.0,
        high=1.0,
        factor=1.3,
        atol=0.04,
        hint="How much does the first layer change in one step, when the error reaches it through "
        "three sigmoids?",
        wrong_turns=[
            WrongTurn(
                "it has seen plenty",
                (0.35, 1.0),
                "6,000 digits would be plenty for a net with one hidden layer. Here the steps go "
                "somewhere else first: read on to see where.",
            ),
            WrongTurn(
                "worse than guessing",
                (0.0, 0.05),
                "Giving the rarest digit every time gets 0.077. To do worse one has to know the "
                "right answer, and avoid it.",
            ),
        ],
        praise="After a hundred steps it has hardly begun.",
        note="The net has hardly begun: it still gives one and the same answer to most digits.",
    ),
    PredictionExercise(
        id="1.2",
        title="Old outputs on new layers",
        choices=("better", "the same", "worse"),
        answer="better",
        hint="Which layers did the gradients of steps 200 to 500 pass through on their way down?",
        wrong_turns=[
            WrongTurn(
                "a moving target must hurt",
                "worse",
                "The hidden layers followed gradients that came down through the output layers of "
                "steps 200 to 500. Those differ from this one, but not so much that it could not "
                "read most of what they made.",
            ),
            WrongTurn(
                "nothing changes",
                "the same",
                "The hidden layers have learned a great deal in these 300 steps, and the old "
                "output layer can read most of it.",
            ),
        ],
        praise="The gradients that moved the hidden layers came down through output layers much "
        "like this one.",
        note="The hidden layers followed gradients that came down through output layers much like "
        "this one, so it can read most of what they made.",
    ),
    PredictionExercise(
        id="1.3",
        title="One line more per layer",
        low=0.0,
        high=1.0,
        factor=1.2,
        atol=0.05,
        hint="Which of the troubles of this notebook is left, when every unit's $x$ varies by 1 "
        "over the digits?",
        wrong_turns=[
            WrongTurn(
                "it cannot help",
                (0.0, 0.3),
                "Six layers kept less than a thousandth of what differs between digits. With the "
                "line, every layer is given numbers that differ by about 1 before its sigmoids, so "
                "the digits reach the outputs, and the error reaches layer 1.",
            ),
            WrongTurn(
                "half the way",
                (0.3, 0.65),
                "It helps by more than that: within 50 steps most digits are read.",
            ),
        ],
        praise="The line brings the digits to the top and the error to the bottom, so the net "
        "learns from the first step.",
        note="In every layer each unit's $x$ now varies by about 1 over the digits of the batch, "
        "whatever the weights: no sigmoid is given nearly the same number for every digit.",
    ),
    FunctionExercise(
        id="1.4",
        title="Count the saturated",
        solution=saturated_shares,
        inputs=_layers,
        hint=(
            "A unit is saturated on either side, at −5 as well as at 5.",
            "`(np.abs(x) > 4)` is an array of True and False; its mean is a share.",
        ),
        praise="At −5 a unit is as stuck as at 5.",
        wrong_turns=[
            WrongTurn(
                "one side only",
                lambda inputs: np.array([(x > 4).mean() for x in inputs]),
                "You count $x > 4$ only. A unit at −5 is stuck as well: take $|x|$.",
            ),
            WrongTurn(
                "a count",
                lambda inputs: np.array([(np.abs(x) > 4).sum() for x in inputs]),
                "You count the units; divide by how many there are to get a share.",
            ),
            WrongTurn(
                "the others",
                lambda inputs: np.array([(np.abs(x) < 4).mean() for x in inputs]),
                "That is the share of units that are *not* saturated.",
            ),
            WrongTurn(
                "all layers in one",
                lambda inputs: (np.abs(np.array(inputs)) > 4).mean(),
                "You average over all layers. Each layer gets a share of its own.",
            ),
            WrongTurn(
                "one share per unit",
                lambda inputs: np.array([(np.abs(x) > 4).mean(axis=0) for x in inputs]),
                "You keep one share per unit. Average over the units of a layer, too.",
            ),
            WrongTurn(
                "none found",
                lambda inputs: np.array([(np.abs(_sigmoid(x)) > 4).mean() for x in inputs]),
                "You find no saturated unit at all. Compare every number of $x$ itself with 4: not "
                "$z = g(x)$, which never leaves 0 to 1, nor an average.",
            ),
        ],
    ),
    FunctionExercise(
        id="1.5",
        title="How far does x spread?",
        solution=spread_of_x,
        inputs=_numbers_and_scale,
        hint=(
            "The variances of independent terms add up. What is the variance of $u_1 w_1$?",
            "$u_1 w_1$ has variance $u_1^2 s^2$.",
        ),
        praise="With a hundred numbers near one half and $s = 0.1$ this is 0.5; and a *change* of "
        "$u$ spreads by the same rule, times the slope.",
        wrong_turns=[
            WrongTurn(
                "added the deviations",
                lambda u, s: s * u.sum(),
                "You add up standard deviations, as if all weights pointed the same way. Add up "
                "variances, then take the root.",
            ),
            WrongTurn(
                "the variance",
                lambda u, s: s**2 * (u**2).sum(),
                "That is the variance of $x$. Its root is asked for.",
            ),
            WrongTurn(
                "forgot u",
                lambda u, s: s * np.sqrt(len(u)),
                "That is right when every $u$ is 1. Larger numbers spread $x$ further.",
            ),
            WrongTurn(
                "n times one term",
                lambda u, s: s * len(u),
                "You multiply one term's spread by their number. Independent signs partly cancel, "
                "so a sum of $n$ terms grows with $\\sqrt{n}$ only.",
            ),
            WrongTurn(
                "the spread of u",
                lambda u, s: s * u.std(),
                "The numbers $u$ are given. Their size counts, not how much they differ.",
            ),
            WrongTurn(
                "u not squared",
                lambda u, s: s * np.sqrt(u.sum()),
                "Scaling a number by $u$ scales its variance by $u^2$, not by $u$.",
            ),
            WrongTurn(
                "a mean instead of a sum",
                lambda u, s: s * np.sqrt((u**2).mean()),
                "You average the squares. $x$ is a sum, so the variances add up and more terms "
                "spread it further.",
            ),
        ],
    ),
    ValueExercise(
        id="1.6",
        title="Six sigmoids",
        solution=best_factor,
        rtol=0.02,
        hint="How steep is a sigmoid at best? And how often does the error meet one?",
        praise="One in 4,096: six layers silence an error, unless the weights make up for it.",
        wrong_turns=[
            WrongTurn(
                "value instead of slope",
                (1 / 2) ** 6,
                "You multiplied six *values* at 0, one half each. The error meets the *slope*.",
            ),
            WrongTurn(
                "added instead of multiplied",
                1 / 24,
                "You divided once by 6 · 4. Each layer divides what the last one left.",
            ),
            WrongTurn(
                "upside down",
                4.0**6,
                "You give how many times smaller it becomes. As a factor it is the inverse.",
            ),
            WrongTurn("one sigmoid", 1 / 4, "That is one sigmoid; there are six."),
            WrongTurn("five layers", (1 / 4) ** 5, "Count again: there are six sigmoids."),
        ],
    ),
    PredictionExercise(
        id="1.7",
        title="Find the fault",
        choices=(
            "layer 3, too small",
            "layer 3, too large",
            "layer 4, too small",
            "layer 4, too large",
        ),
        answer="layer 4, too small",
        hint=(
            "The error comes down from the outputs. Where is the last layer that is as it should "
            "be, and what does the error meet next?",
            "The plot divides by $|W|$. What does that do to a layer whose $W$ is ten times too "
            "small?",
        ),
        wrong_turns=[
            WrongTurn(
                "where the curve is low",
                "layer 3, too small",
                "Then layer 3 itself would stand ten times too *high*, for its gradient is divided "
                "by its own small weights. It stands too low, and so do layers 1 and 2.",
            ),
            WrongTurn(
                "divided by large weights",
                "layer 3, too large",
                "That explains layer 3 alone. Its large weights would pass ten times *more* error "
                "to layers 1 and 2, and these get ten times less.",
            ),
            WrongTurn(
                "the high place is a large weight",
                "layer 4, too large",
                "Divided by large weights, layer 4 would stand too *low*, and the layers below it "
                "would get more error, not less.",
            ),
        ],
        praise="Its gradient is as it should be, but divided by weights ten times too small; and "
        "through these weights a tenth of the error gets to the layers below.",
        note="The gradient of layer 4 is as it should be, but divided by weights ten times too "
        "small. Through these weights a tenth of the error gets to layers 1 to 3; layers 5, 6 and "
        "the outputs lie above them and are not affected.",
    ),
]

QUIZ = [
    Question(
        "A sigmoid unit has $x = 8$ for every digit. What does a training step do to its weights?",
        {
            "A lot: it is far from 0": "How far it should move is one thing; its slope is nearly "
            "0, so hardly any error passes.",
            "Almost nothing": "Yes. The gradient carries the slope as a factor, 0.0003 here.",
            "Nothing at all": "The slope is small, not zero: it moves, but hardly.",
        },
        correct=1,
    ),
    Question(
        "What is internal covariate shift, in the words of 2015?",
        {
            "Training and test digits come from different writers": "That is a covariate shift of "
            "the *data*. Internal means: inside the net.",
            "The distribution of activations changes because the net's own parameters do": "Yes. "
            "The definition does not say which parameters: when layer 3 sank, more than three "
            "quarters came from its own weights and biases. Nor does it say that this harms.",
            "The output layer gets worse when the hidden layers learn": "That is the harm that was "
            "suspected. In our test an old output layer got better.",
        },
        correct=1,
    ),
    Question(
        "First weights of 0.01, eight sigmoid layers. What does the last layer see?",
        {
            "The same for every digit": "Yes: each layer keeps a small fraction of what differs.",
            "Zeros and ones": "That happens with large weights, where sigmoids saturate.",
            "The digits, only smaller": "That would be little help: what is left of them is less "
            "than a number of 32 bits can hold beside one half.",
        },
        correct=0,
    ),
    Question(
        "On the map, the highest learning rate that works is 3. What happens at 10?",
        {
            "It learns a little faster, and less well": "Of 21 runs one gets to 0.32, and the "
            "others learn nothing.",
            "Next to nothing is learned, with any of the seven scales": "Yes. The highest rate "
            "that works stands next to the cliff.",
            "It depends on the first weights": "In the columns to the left it does. Here none of "
            "the seven works.",
        },
        correct=1,
    ),
    Question(
        "Six layers learned with one line of BN each, and did not without. What has this notebook "
        "shown about the reason?",
        {
            "BN stops the drift, and drift was the trouble": "That was not measured: in our test "
            "drift did no harm. Notebook 13 looks at it.",
            "A net with more parameters learns more easily": "BN adds two numbers per unit. A net "
            "of one layer with more parameters than ours learned, and one of six layers did not.",
            "It leaves the reason open": "Yes. That each layer's scale is fixed fits what we saw: "
            "without it digits and errors fade. To show a reason one needs an experiment that "
            "changes this one thing only.",
        },
        correct=2,
    ),
]
