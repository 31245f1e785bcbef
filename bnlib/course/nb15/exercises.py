"""Exercises and quiz of notebook 15, find the bug."""

from dataclasses import dataclass

import numpy as np
import torch

from bnlib.course.kit.differences import as_array
from bnlib.course.kit.exercises import (
    FunctionExercise,
    PredictionExercise,
    ValueExercise,
    WrongTurn,
)
from bnlib.course.kit.quiz import Question
from bnlib.course.nb15 import hunting
from bnlib.course.nb15.hunting import HuntExercise, Turn, missed
from bnlib.course.nb15.layers import WRONG_IN
from bnlib.course.nb15.listings import LISTINGS
from bnlib.course.nb15.trials import SEVEN, TESTS, passes

OUTPUT, GRADIENT, MEMORY = ("".join(WRONG_IN[w]) for w in ("output", "gradient", "memory"))
EPS, PIXEL, IMAGE, LESS_ONE, RUNNING, GAMMA_BETA = OUTPUT
BIASED, SWAPPED, FROM_ZERO, STUCK, FLAG, FOLLOWS = MEMORY

# ── 15.2 ────────────────────────────────────────────────────────────────────────────────────────


def output_is_right(layer_class):
    layer = layer_class(3, eps=0.1).double()  # an ε that can be seen
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([1.5, -0.7, 2.0]))
        layer.bias.copy_(torch.tensor([0.3, -1.0, 0.8]))
    x = 2 * torch.randn(4, 3, 5, 2, dtype=torch.float64) + 3
    mean = x.mean((0, 2, 3), keepdim=True)
    var = x.var((0, 2, 3), correction=0, keepdim=True)
    x_hat = (x - mean) / (var + 0.1).sqrt()
    y = layer.weight.view(3, 1, 1) * x_hat + layer.bias.view(3, 1, 1)
    return torch.allclose(layer(x), y)


def _output_test(x, *, gamma_beta=True, atol=1e-6, eps=0.1, train=True, dtype=torch.float64):
    """A test that compares the outputs of x with torch's formula."""

    def test(layer_class):
        layer = layer_class(3, eps=eps).to(dtype).train(train)
        if gamma_beta:
            with torch.no_grad():
                layer.weight.copy_(torch.tensor([1.5, -0.7, 2.0]))
                layer.bias.copy_(torch.tensor([0.3, -1.0, 0.8]))
        data = x().to(dtype)
        y = torch.nn.functional.batch_norm(
            data, layer.running_mean.to(dtype) if not train else None,
            layer.running_var.to(dtype) if not train else None,
            layer.weight, layer.bias, training=train, eps=eps,
        )  # fmt: skip
        return torch.allclose(layer(data), y, rtol=0, atol=atol)

    return test


def _sets_in_place(layer_class):
    layer_class(3).weight.fill_(2.0)
    return True


def _images():
    return 2 * torch.randn(4, 3, 5, 2) + 3


def _flat_images():
    return (2 * torch.randn(40, 3, 1, 1) + 3).expand(40, 3, 5, 2)


# ── 15.3 ────────────────────────────────────────────────────────────────────────────────────────


def gradient_is_right(layer_class):
    layer = layer_class(3).double()
    x = torch.randn(5, 3, dtype=torch.float64, requires_grad=True)
    return torch.autograd.gradcheck(layer, x, raise_exception=False)


def _gradient_test(rows=5, dtype=torch.float64, loss=None, of="x", apart=1e-6):
    """A test that compares a gradient with torch's."""

    def test(layer_class):
        grads = []
        x = torch.randn(rows, 3, dtype=dtype)
        dy = torch.randn(rows, 3, dtype=dtype)
        for kind in (layer_class, torch.nn.BatchNorm1d):
            layer, leaf = kind(3).to(dtype), x.clone().requires_grad_(of == "x")
            y = layer(leaf)
            {"sum": y, "squares": y**2}.get(loss, y * dy).sum().backward()
            grads.append(leaf.grad if of == "x" else layer.weight.grad)
        return torch.allclose(*grads, rtol=0, atol=apart)

    return test


def _gradcheck_in_float32(layer_class):
    x = torch.randn(5, 3, requires_grad=True)
    return torch.autograd.gradcheck(layer_class(3), x, raise_exception=False)


# ── 15.4 ────────────────────────────────────────────────────────────────────────────────────────


def memory_is_right(layer_class):
    layer, theirs = layer_class(3), torch.nn.BatchNorm1d(3)
    for _ in range(2):
        x = 2 * torch.randn(4, 3) + 3  # few rows: m / (m - 1) can be seen
        layer.train()(x), theirs.train()(x)
        for _ in range(2):  # asked twice: the first answer must change nothing
            if not torch.allclose(layer.eval()(x), theirs.eval()(x), atol=1e-4):
                return False
    return True


def _memory_test(updates=2, rows=4, apart=1e-4, mean=3, spread=2, evaluate=2, no_grad=False,
                 back=True):  # fmt: skip
    """A test that compares what is remembered, and the outputs in evaluation, with torch's."""

    def test(layer_class):
        layer, theirs = layer_class(3), torch.nn.BatchNorm1d(3)
        for _ in range(updates):
            x = spread * torch.randn(rows, 3) + mean
            if not torch.allclose(layer(x), theirs(x), atol=1e-4):
                return False
        for kept in ("running_mean", "running_var"):
            if not torch.allclose(getattr(layer, kept), getattr(theirs, kept), atol=apart):
                return False
        for _ in range(evaluate):
            with torch.set_grad_enabled(not no_grad):
                if not torch.allclose(layer.eval()(x), theirs.eval()(x), atol=apart):
                    return False
        return back or torch.allclose(layer(x), theirs.train()(x), atol=1e-4)

    return test


def _asks_training(layer_class):
    layer, x = layer_class(3), 2 * torch.randn(4, 3) + 3
    theirs = torch.nn.BatchNorm1d(3)
    layer(x), theirs(x)
    same = torch.allclose(layer.running_var, theirs.running_var, atol=1e-4)
    return same and layer.eval().training is False


def _asks_twice(layer_class):
    layer, theirs, x = layer_class(3), torch.nn.BatchNorm1d(3), 2 * torch.randn(4, 3) + 3
    layer(x), theirs(x)
    same = torch.allclose(layer.running_var, theirs.running_var, atol=1e-4)
    return same and torch.allclose(layer.eval()(x), layer(x), atol=1e-4)


def _towards_the_truth(layer_class):
    layer = layer_class(3)
    for _ in range(200):
        layer(2 * torch.randn(64, 3) + 3)
    close = (layer.running_mean - 3).abs().max() < 1 and (layer.running_var - 4).abs().max() < 3
    before = layer.running_mean.clone()
    layer.eval()(torch.randn(8, 3))
    return bool(close) and torch.equal(before, layer.running_mean)


def _leaves_gradients_off(layer_class):
    torch.set_grad_enabled(False)
    return memory_is_right(layer_class)


# ── 15.5 ────────────────────────────────────────────────────────────────────────────────────────


def cheapest(caught, seconds):
    best, least = None, np.inf
    for ticked in np.ndindex(*[2] * len(seconds)):  # every set of tests
        ticked = np.array(ticked, dtype=bool)
        nothing_dark = caught[:, ticked].any(axis=1).all()
        if nothing_dark and seconds[ticked].sum() < least:
            best, least = ticked, seconds[ticked].sum()
    return best


def _matrix(rng):
    """(11, 7): bugs × tests, such that the cheapest set, the smallest and greed's are four."""
    while True:
        caught = (rng.random((11, 7)) < 0.35).astype(int)
        seconds = rng.uniform(0.1, 1, size=7).round(2)
        if not caught.any(axis=1).all() or len(set(seconds)) < 7:
            continue
        found = []
        for way in (_most_first, _cheapest_first, _all, _tried_at_once, _fewest):
            found.append(tuple(way(caught, seconds)))
            if len(set(found)) < len(found):
                break
        else:
            return caught, seconds


def _tried_at_once(caught, seconds):
    """cheapest, without a loop."""
    sets = np.indices([2] * len(seconds)).reshape(len(seconds), -1).T.astype(bool)
    found = (np.asarray(caught, bool)[:, None] & sets).any(axis=2).all(axis=0)
    return sets[np.argmin(np.where(found, sets @ seconds, np.inf))]


def _all(caught, seconds):
    return np.ones(len(seconds), dtype=bool)


def _fewest(caught, seconds):
    return _tried_at_once(caught, 1 + 1e-3 * seconds)


def _greedily(worth):
    def pick(caught, seconds):
        ticked, dark = np.zeros(len(seconds), dtype=bool), np.ones(len(caught), dtype=bool)
        while dark.any():
            ticked[np.argmax(worth(caught[dark].sum(axis=0), seconds))] = True
            dark = ~np.asarray(caught)[:, ticked].any(axis=1)
        return ticked

    return pick


_most_first = _greedily(lambda found, seconds: found - 1e-3 * seconds)
_cheapest_first = _greedily(lambda found, seconds: -seconds - 1e3 * (found == 0))


# ── 15.6 ────────────────────────────────────────────────────────────────────────────────────────


def reviews():
    unbiased_twice, batch_until_tracked, pivot, no_grad, narrow, with_graph = 1, 4, 0, 2, 5, 3
    return np.array([unbiased_twice, batch_until_tracked, pivot, no_grad, narrow, with_graph])


@dataclass(frozen=True, kw_only=True)
class ReviewExercise(ValueExercise):
    """The number of a test for each listing, 0 where it is right: judged by running the tests."""

    def _judge(self, answer, rng):
        numbers = as_array(answer)
        wish = f"{len(LISTINGS)} whole numbers from 0 to {len(SEVEN)}"
        if callable(answer) and not hasattr(answer, "shape"):
            answer, fault = self._value_of(answer)
            return fault or self._judge(answer, rng)
        if (
            numbers is None or numbers.shape != (len(LISTINGS),) or numbers.dtype.kind not in "iuf"
            or not np.isin(numbers, range(len(SEVEN) + 1)).all()
        ):  # fmt: skip
            return self.verdict("not yet", f"Write a list of {wish}, one a listing.")
        faults = [_fault(k, int(n)) for k, n in enumerate(numbers, 1)]
        for turn in self.wrong_turns:
            if np.array_equal(numbers, turn.wrong):
                return self.verdict("not yet", turn.verdict)
        wrong = [fault for fault in faults if fault]
        if not wrong:
            return self.verdict("right", self.praise)
        right = len(faults) - len(wrong)
        return self.verdict("not yet", f"{wrong[0]} ({right} of {len(faults)} are right.)")


def _fault(k, number):
    """What is wrong with test `number` for listing k, "" where it finds it."""
    layer_class = LISTINGS[k - 1]
    if number == 0:
        refused = any(not passes(TESTS[name], layer_class) for name in SEVEN)
        return f"Listing {k} is not right: one of the seven refuses it." if refused else ""
    name = SEVEN[number - 1]
    return f"Listing {k} passes test {number}, {name}." if passes(TESTS[name], layer_class) else ""


EXERCISES = [
    PredictionExercise(
        id="15.1",
        title="How many does it find?",
        low=0,
        high=19,
        unit="of 19",
        atol=0.5,
        factor=1.01,
        hint="Everybody who writes a layer looks at its output first. Which mistakes are still "
        "there afterwards?",
        praise="A mistake that this test finds is found by whoever makes it; what is left to be "
        "reviewed are the others.",
        note="The test looks where everybody looks. A layer with a wrong mean or no root does not "
        "survive its author's first look, so hardly any is on our list.",
        wrong_turns=[
            WrongTurn(
                "none",
                0,
                "There is one whose author cannot have looked at a batch with a mean far from 0.",
            ),
            WrongTurn(
                "a few",
                (2, 5),
                "That would be a fair guess for mistakes at random. These are mistakes that "
                "survive their author's first look, and this is that look.",
            ),
            WrongTurn(
                "many",
                (6, 19),
                "Mean 0 and variance 1 is what BN is about, so it seems a strong test. But "
                "gradients, memory, modes, formats and $\\gamma$, $\\beta$ are not asked.",
            ),
        ],
    ),
    HuntExercise(
        id="15.2",
        title="Six wrong outputs",
        solution=output_is_right,
        keeps="output_is_right",
        wanted=OUTPUT,
        hint=(
            "Write the formula out, or take `torch.nn.functional.batch_norm` as the measure, and "
            "compare every value of the output in `float64`. Which inputs could make a wrong layer "
            "look right?",
            "Images, whose pixels differ; $\\gamma$ and $\\beta$ that are not 1 and 0; a mean far "
            "from 0. And make the layer with an ε that can be seen: `layer_class(3, eps=0.1)`.",
            "`layer = layer_class(3, eps=0.1).double()`, `x = 2 * torch.randn(4, 3, 5, 2, "
            "dtype=torch.float64) + 3`, new values for `layer.weight` and `layer.bias` under "
            "`torch.no_grad()`, and one `torch.allclose`.",
        ),
        praise="Six of nineteen, by one comparison on an awkward input.",
        wrong_turns=[
            Turn(
                "a parameter set outside no_grad",
                _sets_in_place,
                "A parameter is changed in place and without a gradient: "
                "`with torch.no_grad(): layer.weight.copy_(…)`.",
                hunting.changes_a_parameter,
            ),
            Turn(
                "in float32",
                _output_test(_images, dtype=torch.float32, atol=1e-9),
                "It works in `float32`, where two right layers agree to six digits. Compare in "
                "`float64`, by `.double()` for layer and data, or less strictly.",
                hunting.wrong_format,
            ),
            Turn(
                "asked in evaluation mode",
                _output_test(_images, train=False),
                "You ask in evaluation mode only. These six are wrong in training mode.",
                hunting.never_trained,
            ),
            Turn(
                "γ = 1, β = 0",
                _output_test(_images, gamma_beta=False),
                "In every call γ is 1 and β is 0, where a fresh layer starts. There two formulas "
                "that differ can agree: give both other values.",
                missed(GAMMA_BETA, hunting.at_one_and_zero),
            ),
            Turn(
                "rows only",
                _output_test(lambda: 2 * torch.randn(6, 3) + 3),
                "You show it rows only. What can go wrong when images $(N, C, H, W)$ come?",
                missed(PIXEL + IMAGE, hunting.no_images),
            ),
            Turn(
                "equal pixels",
                _output_test(_flat_images),
                "All pixels of your images are equal: then it makes no difference which of them "
                "share a mean.",
                missed(PIXEL + IMAGE, hunting.equal_pixels),
            ),
            Turn(
                "data with mean 0",
                _output_test(lambda: torch.randn(2000, 3, 2, 4), atol=0.2),
                "Your data have mean 0 and variance 1, like a fresh layer's statistics: who uses "
                "the wrong statistics is not seen. Move and stretch the data.",
                missed(RUNNING, hunting.standard_data),
            ),
            Turn(
                "tolerance 1e-2",
                _output_test(_images, atol=3e-2, eps=1e-5),
                "Your test also takes an output that is off by 0.3 %. Two right computations in "
                "`float64` agree to ten digits and more: be as strict as that.",
                missed(EPS + LESS_ONE, lambda w: w.rough),
            ),
            Turn(
                "ε too small to see",
                _output_test(_images, atol=2e-5, eps=1e-5),
                "Your data's variance is so large that ε does not count. Make the layer with a "
                "larger one, `eps=0.1`, or the data small.",
                missed(EPS, hunting.eps_too_small_to_see),
            ),
        ],
    ),
    HuntExercise(
        id="15.3",
        title="Two wrong gradients",
        solution=gradient_is_right,
        keeps="gradient_is_right",
        wanted=GRADIENT,
        besides={"A layer whose gradient is 0 slips through.": hunting.NoGradient},
        hint=(
            "Both give the right output. What does `torch.autograd.gradcheck` of notebook 09 need "
            "to be trusted: which format, how many rows?",
            "`float64`, and more than two rows. `gradcheck(layer, x, raise_exception=False)` "
            "answers True or False; `x` must have `requires_grad=True`.",
        ),
        praise="Finite differences know nothing of how the layer is written.",
        wrong_turns=[
            Turn(
                "y.sum()",
                _gradient_test(loss="sum"),
                "Your gradient from above is the same for all values, as that of `y.sum()` is. "
                "Then the true gradient is 0 whatever $x$ is: take a random one.",
                hunting.constant_from_above,
            ),
            Turn(
                "N = 2",
                _gradient_test(rows=2, apart=1e-2),
                "Your batch has two rows. There $\\hat x$ is −1 and 1, nearly whatever comes in, "
                "and the true gradient is nearly 0: take four rows or more.",
                hunting.two_rows,
                always=True,
            ),
            Turn(
                "a loss whose gradient vanishes",
                _gradient_test(loss="squares", apart=1e-3),
                "The true gradient of your loss is nearly 0: at γ = 1 and β = 0 the sum of $y^2$, "
                "too, is the same whatever comes in. Take a random gradient from above.",
                hunting.vanishing,
            ),
            Turn(
                "gradient of γ",
                _gradient_test(of="weight"),
                "You ask for the gradients of γ and β; those are right. Ask for that of $x$.",
                hunting.not_for_x,
            ),
            Turn(
                "output only",
                output_is_right,
                "You differentiate nothing, and the outputs of both are right.",
                hunting.never_differentiated,
            ),
            Turn(
                "in float32",
                _gradcheck_in_float32,
                "It works in `float32`. Finite differences divide a tiny difference by a tiny "
                "step, and 7 digits are too few for that: `.double()`, for layer and data.",
                hunting.wrong_format,
            ),
            Turn(
                "tolerance",
                _gradient_test(apart=10.0),
                "The gradients are compared too roughly. In `float64`, right ones agree to six "
                "digits and more.",
                lambda w: bool(w.asked_back),
            ),
        ],
    ),
    HuntExercise(
        id="15.4",
        title="Six wrong memories",
        solution=memory_is_right,
        keeps="memory_is_right",
        wanted=MEMORY,
        hint=(
            "Two questions, one after the other: what does the layer know after *one* small batch, "
            "and what does it do with that in evaluation mode, asked twice?",
            "Train a `torch.nn.BatchNorm1d` beside it on the same two batches of four rows, with "
            "mean and spread far from 0 and 1, and compare outputs after `.eval()`.",
            "Do not switch gradients off for evaluation, compare the outputs twice in a row, and "
            "call `.train()` before the next batch.",
        ),
        praise="Few rows, few steps, and every question asked of the output.",
        wrong_turns=[
            Turn(
                "forgets to go back to training",
                _memory_test(back=False),
                "After `.eval()` a layer stays in evaluation mode until `.train()` is called: your "
                "test asks it for training's output there.",
                hunting.stays_in_evaluation,
            ),
            Turn(
                "checks .training",
                _asks_training,
                "Your test never asks for an output in evaluation mode. `.training` says what was "
                "asked of the layer; what it does, its output says.",
                hunting.never_evaluated,
            ),
            Turn(
                "gradients off",
                _memory_test(no_grad=True),
                "You evaluate with gradients switched off only. Evaluation mode must hold with "
                "gradients on, too.",
                missed(FLAG, hunting.evaluated_without_gradients),
            ),
            Turn(
                "200 updates",
                _towards_the_truth,
                "After so many updates every estimate is near the truth, whatever it is blended "
                "with. Look after one batch or two.",
                missed(BIASED + SWAPPED + FROM_ZERO, hunting.many_updates),
            ),
            Turn(
                "a large batch",
                _memory_test(rows=400, apart=3e-2),
                "Your batches are large: $m/(m-1)$ is nearly 1, and who forgets it is not seen. "
                "Take four rows.",
                missed(BIASED, hunting.many_rows),
            ),
            Turn(
                "data like a fresh layer's",
                _memory_test(mean=0, spread=1, apart=0.2, rows=20),
                "Your data have mean 0 and variance 1, which is what a fresh layer believes: what "
                "it learns from them is not seen. Move and stretch them.",
                missed(MEMORY, hunting.standard_data),
            ),
            Turn(
                "asks only whether it stays the same",
                _asks_twice,
                "In evaluation mode you ask whether the output stays as it is. Ask, too, whether "
                "it is the one that the running statistics give.",
                missed(STUCK + FLAG, lambda w: bool(w.calls(training=False))),
            ),
        ],
    ),
    FunctionExercise(
        id="15.5",
        title="The cheapest set of tests",
        solution=cheapest,
        inputs=_matrix,
        keeps="cheapest",
        variants=(_tried_at_once,),
        axes=("bug", "test"),
        hint=(
            "With $T$ tests there are $2^T$ sets. For ten tests that is a thousand: try all.",
            "`for ticked in np.ndindex(*[2] * T)` gives every row of zeros and ones; "
            "`caught[:, ticked].any(axis=1)` says which bugs are found, once `ticked` is an array "
            "of bools.",
            "Keep the set with the least `seconds[ticked].sum()` among those with "
            "`.any(axis=1).all()`.",
        ),
        praise="For ten tests trying all sets is fast. For fifty it is not, and one takes a set "
        "that is good enough.",
        wrong_turns=[
            WrongTurn(
                "all tests",
                _all,
                "You run all tests. That leaves no bug dark, but a subset would do for less.",
            ),
            WrongTurn(
                "fewest",
                _fewest,
                "That is the set with the fewest tests. The seconds are asked: two cheap tests may "
                "cost less than one.",
            ),
            WrongTurn(
                "greedy",
                _most_first,
                "You take the test that finds most of what is left, again and again. That is "
                "greedy: it leaves nothing dark, but a cheaper set is there.",
            ),
            WrongTurn(
                "cheapest first",
                _cheapest_first,
                "You take the cheapest test that finds anything new, again and again. Each choice "
                "is cheap, and together they are not.",
            ),
        ],
    ),
    ReviewExercise(
        id="15.6",
        title="Six listings",
        solution=reviews,
        hint=(
            "Go through one question after the other: which variance divides by what? What does "
            "the gradient pass through? What is kept, and with what hanging on it? In which mode "
            "is which statistic used? In which format are the sums?",
            "One of the six only looks wrong: it centres before it squares.",
            "Two of the faults are in lines that also stand in right layers: look at where "
            "`torch.no_grad()` begins and ends, and at which condition chooses the mode.",
        ),
        praise="Five faults found and a right layer left in peace.",
        note="1: `torch.var_mean` divides by $m-1$, right for the running variance alone. 2: as "
        "long as nothing was tracked, evaluation mode uses the batch, and remembers it. 3 is "
        "right: $E[c^2] - E[c]^2$ loses no digits once $c$ is centred. 4: statistics made under "
        "`no_grad` are constants to the gradient. 5: nothing widens 16-bit data. 6: the running "
        "statistics carry the graph of every step along.",
        wrong_turns=[
            WrongTurn(
                "all right",
                [0] * 6,
                "So all six are right? One of them is. The other five would be refused by one of "
                "the seven tests.",
            ),
            WrongTurn(
                "the right one accused of losing digits",
                [1, 4, 5, 2, 5, 3],
                "Five of six are right. Listing 3 is in order: its data are centred before they "
                "are squared, so that no digits are lost.",
            ),
            WrongTurn(
                "graph for gradient",
                [1, 4, 0, 2, 5, 2],
                "Five of six are right. Listing 6 has the right gradient: the output does not "
                "depend on what is remembered. What grows there from step to step?",
            ),
        ],
    ),
]

QUIZ = [
    Question(
        "A layer passes `gradcheck`. What is shown?",
        {
            "its output is right": "A layer that gives $2x$ passes it, too.",
            "its gradient belongs to its output": "No more: the output may be another one.",
            "it trains as torch.nn's does": "Only if its output and its memory are right, too.",
        },
        correct=1,
    ),
    Question(
        "Why is `y.sum().backward()` a poor test of BN's $dx$?",
        {
            "the true gradient is 0": "The sum of $\\hat x$ is 0 whatever comes in, so every $x$ "
            "gives the same loss.",
            "the sum is too large": "Its size does not matter.",
            "it differentiates γ only": "It differentiates all of them; that of $x$ is 0.",
        },
        correct=0,
    ),
    Question(
        "Running statistics are best compared after …",
        {
            "two hundred large batches": "By then they are near the truth whatever the momentum, "
            "and $m/(m-1)$ is nearly 1.",
            "a whole training": "A net learns with wrong running statistics, too.",
            "one or two batches of four rows": "There the start value, momentum and $m/(m-1)$ all "
            "show.",
        },
        correct=2,
    ),
    Question(
        "A test refuses a wrong layer, and also `torch.nn`'s. It is …",
        {
            "a false alarm, and useless": "It would refuse everything; what it says about the "
            "wrong layer is worth nothing.",
            "strict, and useful": "Strict tests still accept what is right.",
            "a miss": "A miss is a wrong layer that passes.",
        },
        correct=0,
    ),
    Question(
        "“Our test finds all bugs on our list.” What do you ask?",
        {
            "How long does it run?": "Good to know, but it says nothing of what it finds.",
            "Who wrote the list, and how?": "A test's power is measured on a list: on another list "
            "it is another number.",
            "In which language?": "Bugs of BN look alike in all of them.",
        },
        correct=1,
    ),
]
