"""Exercises and quiz of notebook 05, where the layer goes."""

import numpy as np

import bnlib.numpy as bn
from bnlib.course.kit.exercises import (
    FunctionExercise,
    PredictionExercise,
    ValueExercise,
    WrongTurn,
)
from bnlib.course.kit.quiz import Question

# ── 5.1 ─────────────────────────────────────────────────────────────────────────────────────────


def hidden_layer(n_in, n_out, rng, place="before"):
    if place == "before":  # the mean, straight after it, would take a bias out again
        return [bn.Linear(n_in, n_out, rng=rng, bias=False), bn.BatchNorm(n_out), bn.ReLU()]
    layers = [bn.Linear(n_in, n_out, rng=rng), bn.ReLU()]  # the bias decides where ReLU cuts
    return [*layers, bn.BatchNorm(n_out)] if place == "after" else layers


def _layer_inputs(rng):
    N, n_in, n_out = rng.integers(10, 14), rng.integers(6, 9), rng.integers(3, 6)
    u = rng.normal(rng.uniform(-2, 2, n_in), 1.0, (N, n_in)).astype(np.float32)
    weight, bias = rng.normal(size=(n_in, n_out)), rng.normal(size=n_out)
    gamma = rng.uniform(0.5, 2.0, n_out) * np.resize([1.0, -1.0], n_out)
    return int(n_in), int(n_out), u, weight, bias, gamma, rng.uniform(0.2, 0.8, n_out)


PLACES = ("before", "after", "none")


def _run(hidden_layer, n_in, n_out, u, weight, bias, gamma, beta):
    """Build each of the three layers, give it these parameters, and send u through."""
    given = {"weight": weight, "bias": bias, "gamma": gamma, "beta": beta}
    found = ()
    for place in PLACES:
        layers = hidden_layer(n_in, n_out, np.random.default_rng(0), place)
        if layers is None or layers is Ellipsis:
            return None
        found += _learned_and_output(layers, given, u)
    return found


def _learned_and_output(layers, given, u):
    if isinstance(layers, bn.Layer) and not isinstance(layers, bn.Sequential):
        raise TypeError(f"it returned one {type(layers).__name__}, not a list of layers")
    layers = list(layers)
    for layer in layers:
        if not isinstance(layer, bn.Layer):
            name = layer.__name__ if isinstance(layer, type) else type(layer).__name__
            raise TypeError(
                f"{name} in the list is not a layer; a layer is made by a call: {name}()"
            )
    for layer in layers:
        for name, parameter in layer.parameters().items():
            if name in given and parameter.shape == given[name].shape:
                parameter[...] = given[name]
    learned = sum(p.size for layer in layers for p in layer.parameters().values())
    return learned, bn.Sequential(*layers)(u)


def _draws_from_rng(hidden_layer, rng):
    first, again, other = (
        np.concatenate(
            [
                parameter.ravel()
                for layer in hidden_layer(6, 4, np.random.default_rng(seed))
                for parameter in layer.parameters().values()
            ]
        )
        for seed in (0, 0, 1)
    )
    if not np.array_equal(first, again):
        return "Two layers from the same `rng` seed have different weights: draw from `rng` alone."
    if np.array_equal(first, other):
        return "The weights are the same for every `rng`: hand the one that you get to `bn.Linear`."
    return None


def _built(biases="after none", swapped=False, without=None, first=False):
    """A wrong builder: a bias where `biases` says so, places swapped, a layer left out or moved."""

    def hidden_layer(n_in, n_out, rng, place="before"):
        linear = bn.Linear(n_in, n_out, rng=rng, bias=place in biases)
        norm, relu = bn.BatchNorm(n_in if first else n_out), bn.ReLU()
        if place == "none":
            layers = [linear, relu]
        elif first and place == "before":
            layers = [norm, linear, relu]
        elif (place == "before") != swapped:
            layers = [linear, norm, relu]
        else:
            layers = [linear, relu, bn.BatchNorm(n_out)]
        return [layer for layer in layers if type(layer) is not without]

    return hidden_layer


def _always_before(n_in, n_out, rng, place="before"):
    return [bn.Linear(n_in, n_out, rng=rng, bias=False), bn.BatchNorm(n_out), bn.ReLU()]


# ── 5.2 ─────────────────────────────────────────────────────────────────────────────────────────


def parameters():
    weights = 784 * 100  # no bias: β does its work
    gamma_and_beta = 2 * 100
    return weights + gamma_and_beta


# ── 5.5 ─────────────────────────────────────────────────────────────────────────────────────────


def absorb(gamma, beta, weight, bias):
    # (γ x̂ + β) W + b = x̂ (γ W) + (β W + b): feature d of x̂ meets row d of W
    return gamma[:, None] * weight, beta @ weight + bias


def _absorb_inputs(rng):
    D, K = rng.integers(5, 8), rng.integers(3, 5)
    gamma = rng.uniform(0.5, 2.0, D) * np.resize([1.0, -1.0], D)
    return gamma, rng.normal(size=D), rng.normal(size=(D, K)), rng.normal(size=K)


# ── 5.7 ─────────────────────────────────────────────────────────────────────────────────────────


def share_passed():
    # γ x̂ + β > 0 where x̂ > −β/γ = 1. 68.27 % of a bell lie within one deviation of its centre, so
    # half of the rest lies beyond it on one side.
    return (1 - 0.6827) / 2


EXERCISES = [
    FunctionExercise(
        id="5.1",
        title="A hidden layer",
        keeps="hidden_layer",
        solution=hidden_layer,
        inputs=_layer_inputs,
        call=_run,
        returns=tuple(
            f"the {what} of {place!r}"
            for place in PLACES
            for what in ("number of learned parameters", "output")
        ),
        also=(_draws_from_rng,),
        hint=(
            "A list of two or three layers, in the order in which the formula applies them, from "
            "the inside out. Read `bn.Linear?` for what it takes.",
            "Add 5 to $uW$. In which of the three formulas is $z$ the same as before? What stands "
            "between the bias and the mean that would take it out?",
            "`rng=rng` in each `bn.Linear`, so that the caller decides on the weights; and "
            "`bias=False` in one of the three.",
        ),
        praise="From now on this function builds the networks.",
        wrong_turns=[
            WrongTurn(
                "bias kept everywhere",
                _built("before after none"),
                'The outputs are right. In "before" there is a parameter more than needed: a bias '
                "in front of BN, which takes it out again (notebook 04).",
            ),
            WrongTurn(
                "bias nowhere",
                _built(""),
                'A bias is missing from "none" and from "after". Add 5 to $uW$ there: ReLU cuts '
                "elsewhere, and $z$ changes.",
            ),
            WrongTurn(
                "no bias where there is a BN",
                _built("none"),
                'A bias is missing from "after": ReLU stands between it and BN, and where ReLU '
                "cuts no mean can undo.",
            ),
            WrongTurn(
                "bias in before, not in after",
                _built("before none"),
                "The bias is in the wrong one of the two layers with BN: where does the mean "
                "follow straight after it?",
            ),
            WrongTurn(
                "before and after exchanged",
                _built("before none", swapped=True),
                '"before" and "after" are exchanged: they say where BN stands, seen from the '
                "activation.",
            ),
            WrongTurn(
                "before and after exchanged, with the other's bias",
                _built("after none", swapped=True),
                'You normalize after ReLU in "before": in $g(\\mathrm{BN}(\\dots))$ it is last.',
            ),
            WrongTurn(
                "the input normalized",
                _built(first=True),
                'In "before" you normalize the layer\'s input $u$. The paper normalizes what the '
                "linear layer gives.",
            ),
            WrongTurn(
                "always before",
                _always_before,
                "Your function builds the same layer for every `place`.",
            ),
            WrongTurn("no BN", _built(without=bn.BatchNorm), "Batch Normalization is missing."),
            WrongTurn("no ReLU", _built(without=bn.ReLU), "The activation is missing: ReLU."),
        ],
    ),
    ValueExercise(
        id="5.2",
        title="Count the parameters",
        solution=parameters,
        rtol=0.0,
        atol=0.5,
        hint=(
            "The linear layer needs no bias when BN follows. What do γ and β add, per feature?",
            "784 · 100 weights, 100 γ, 100 β.",
        ),
        praise="A hundred more than the plain layer, whose bias has become β.",
        wrong_turns=[
            WrongTurn(
                "bias kept",
                78_700,
                "You kept the bias. The mean takes it out again; β does its work.",
            ),
            WrongTurn(
                "running statistics counted",
                78_800,
                "You counted the running mean and variance. They are stored, but not learned.",
            ),
            WrongTurn(
                "weights only",
                78_400,
                "Those are the weights. γ and β are learned, too: one of each per output.",
            ),
            WrongTurn(
                "the plain layer",
                78_500,
                "That is the plain layer with its bias. Where are γ and β?",
            ),
            WrongTurn(
                "one γ and one β",
                78_402,
                "γ and β are vectors: one of each per feature.",
            ),
            WrongTurn(
                "γ and β per input",
                784 * 100 + 2 * 784,
                "γ and β belong to the layer's 100 outputs, not to its 784 inputs.",
            ),
        ],
    ),
    PredictionExercise(
        id="5.3",
        title="Before or after?",
        choices=("before", "after", "about equal"),
        hint="The paper argues for *before*. An argument is not a measurement.",
        note="At this size, with ReLU, the two are less than a point apart in the middle seed; "
        "both learn sooner than none.",
        praise="Less than a point apart in the middle seed; both learn sooner than none.",
        wrong_turns=[
            WrongTurn(
                "before",
                "before",
                "What the paper says about the values is true here, too; but at this rate and this "
                "size it makes no difference of a point.",
            ),
            WrongTurn(
                "after",
                "after",
                "With sigmoids *after* is indeed ahead at moderate rates, as you will see. With "
                "ReLU the gap here is less than a point, too small for three seeds.",
            ),
        ],
    ),
    PredictionExercise(
        id="5.4",
        title="What is wrong with this figure?",
        choices=("more seeds", "more steps", "more test digits", "other rates"),
        answer="other rates",
        hint="Which of the four could show the two nets in another order? How far are the marks "
        "of one net apart, and how far are the two nets?",
        praise="One rate is one point of a curve, and at that point one of them may not learn.",
        note="The marks of one net lie within a few points and the two nets eighty apart, so "
        "neither seeds nor test digits will change the order. More steps would still speak of "
        "one rate only; and in a net like this one the lengths of $\\beta$ and $W$ run away, as "
        "you will see. But the rate was chosen by somebody, and it suits one of the two nets. A "
        "fair comparison gives each net its own best rate.",
        wrong_turns=[
            WrongTurn(
                "more seeds",
                "more seeds",
                "Three seeds of three agree, and the gap is far larger than their spread.",
            ),
            WrongTurn(
                "more steps",
                "more steps",
                "More steps would still speak of this one rate only, and they would hardly help: "
                "in a net like this one the lengths of $\\beta$ and $W$ run away, as you will see.",
            ),
            WrongTurn(
                "more test digits",
                "more test digits",
                "2,000 digits give a share to a point or two. The gap is eighty points.",
            ),
        ],
    ),
    FunctionExercise(
        id="5.5",
        title="γ and β in front of a linear layer",
        solution=absorb,
        inputs=_absorb_inputs,
        returns=("weight", "bias"),
        hint=(
            "Write $(\\gamma\\hat{x} + \\beta)W + b$ out, and collect what multiplies $\\hat{x}$.",
            "$\\gamma$ multiplies the features of $\\hat{x}$, which meet the *rows* of $W$. The "
            "constant part is $\\beta W + b$.",
            "`gamma[:, None]` has one row per feature.",
        ),
        praise="So behind the activation γ and β add nothing to what the net can compute.",
        wrong_turns=[
            WrongTurn(
                "bias without beta",
                lambda gamma, beta, weight, bias: (gamma[:, None] * weight, bias),
                "`weight` is right. What does $\\beta$ add, once it has gone through $W$?",
            ),
            WrongTurn(
                "beta through the new weight",
                lambda gamma, beta, weight, bias: (
                    gamma[:, None] * weight,
                    beta @ (gamma[:, None] * weight) + bias,
                ),
                "`weight` is right. $\\beta$ is added after $\\gamma$ has multiplied: it goes "
                "through $W$ alone.",
            ),
            WrongTurn(
                "divided by gamma",
                lambda gamma, beta, weight, bias: (weight / gamma[:, None], beta @ weight + bias),
                "You divide by $\\gamma$. The new layer has to *do* its work: multiply.",
            ),
        ],
    ),
    PredictionExercise(
        id="5.6",
        title="Which one breaks it?",
        choices=("gamma", "beta", "either of them", "neither alone"),
        hint="Write out the step on $W$ for $z = \\gamma\\hat{x} + \\beta$. Over the batch, the "
        "$\\hat{x}$ have mean 0. Which part is the same for all examples, so that the steps on it "
        "add up?",
        praise="β is the same for every example, and so it shifts all of them at once.",
        note="With β frozen at 0 the net learns; with γ frozen at 1 it guesses as before. β is the "
        "same for every example: what the output layer gets wrong on average, β and W both "
        "correct, each with a step as long as the other is large.",
        wrong_turns=[
            WrongTurn(
                "gamma",
                "gamma",
                "The scale is what most people suspect, and we did, too. Frozen, it saves no seed.",
            ),
            WrongTurn(
                "either",
                "either of them",
                "One of the two freezes is enough, the other changes nothing.",
            ),
            WrongTurn(
                "neither alone",
                "neither alone",
                "One of the two is enough by itself.",
            ),
        ],
    ),
    ValueExercise(
        id="5.7",
        title="How much passes ReLU?",
        solution=share_passed,
        rtol=0.05,
        hint=(
            "ReLU passes what is above 0. Where is $\\gamma\\hat{x} + \\beta$ above 0?",
            "Where $\\hat{x} > 1$. 68 % of a bell lie within one deviation on either side; what is "
            "left on one side?",
        ),
        praise="So γ and β decide how sparse a layer is, whatever the weights are.",
        wrong_turns=[
            WrongTurn(
                "the other side",
                0.841,
                "That is the share that is *cut*: below one deviation.",
            ),
            WrongTurn(
                "both tails",
                0.317,
                "That is both tails. ReLU passes only the upper one.",
            ),
            WrongTurn("in percent", 16.0, "Give a share between 0 and 1, not percent."),
            WrongTurn("half", 0.5, "Half passes when β is 0. Here the bell is shifted down."),
        ],
    ),
]

QUIZ = [
    Question(
        "The 2015 paper puts Batch Normalization …",
        {
            "on the layer's input, before the weights": "It discusses that, and decides otherwise.",
            "between the weights and the activation": "$g(\\mathrm{BN}(uW))$, section 3.2.",
            "after the activation": "Common in later practice, but not the paper's choice.",
        },
        correct=1,
    ),
    Question(
        "Its reason is that …",
        {
            "$uW$ is more symmetric than $u$": "So mean and variance say more about it.",
            "it is cheaper there": "The cost is the same.",
            "ReLU has no gradient at 0": "That plays no part.",
        },
        correct=0,
    ),
    Question(
        "Which box follows Linear with `bias=False` for good reason?",
        {
            "ReLU": "Without a bias, it could not choose where to cut.",
            "BatchNorm": "It takes out any constant, and has β instead.",
            "Softmax": "A bias per class is useful there.",
        },
        correct=1,
    ),
    Question(
        "On MNIST, with ReLU, at rate 0.1, this notebook found *before* and *after* …",
        {
            "far apart": "Look at the picture again: the bands overlap.",
            "about equal, both ahead of none": "Say what was measured, not what was expected.",
            "both behind none": "Both learned sooner than the net without.",
        },
        correct=1,
    ),
    Question(
        "Sigmoids, BN after the last of them, rate 3: the net does not learn. What was enough for "
        "it to learn?",
        {
            "Freezing γ": "It did not learn in any seed.",
            "Freezing β": "β and the weights behind it no longer enlarge each other's steps.",
            "More steps": "The lengths grow without end from the first steps on.",
        },
        correct=1,
    ),
]
