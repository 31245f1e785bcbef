"""Exercises and quiz of notebook 06, the backward pass."""

import itertools
from functools import partial

import numpy as np

import bnlib.numpy as bn
from bnlib.course.kit.exercises import (
    FunctionExercise,
    PredictionExercise,
    TestExercise,
    WrongTurn,
)
from bnlib.course.kit.faults import Term, backward_terms
from bnlib.course.kit.layer import (
    batch_norm,
    batch_norm_backward,
    dx_in_one_line,
    through_centring,
    through_quotient,
    through_scale,
    through_variance,
)
from bnlib.course.kit.quiz import Question
from bnlib.course.nb06.experiments import dx_without

# ── the nodes: 6.2 to 6.5 ───────────────────────────────────────────────────────────────────────


def _scale_inputs(rng):
    return rng.normal(0.3, 1, size=(7, 4)), rng.normal(size=(7, 4)), rng.uniform(1.5, 3, size=4)


def _quotient_inputs(rng):
    c = rng.normal(size=(7, 4)) * rng.uniform(0.5, 2, size=4)
    return rng.normal(0.3, 1, size=(7, 4)), c - c.mean(axis=0), rng.uniform(1.2, 3, size=4)


def _variance_inputs(rng):
    dx_hat, c, s = _quotient_inputs(rng)
    return dx_hat.sum(axis=0) + 1, c, s


# ── 6.6 ─────────────────────────────────────────────────────────────────────────────────────────


def is_right(backward):
    rng = np.random.default_rng(0)
    x, dy = rng.normal(3.0, 2.0, size=(5, 2)), rng.normal(size=(5, 2))
    gamma, beta, eps, h = np.array([0.5, 2.0]), np.zeros(2), 0.1, 1e-4

    def loss(x):
        return (dy * bn.batch_norm(x, gamma, beta, eps=eps)[0]).sum()

    slopes = np.empty_like(x)
    for place in np.ndindex(x.shape):
        step = np.zeros_like(x)
        step[place] = h
        slopes[place] = (loss(x + step) - loss(x - step)) / (2 * h)
    return bool(np.allclose(backward(dy, x, gamma, eps), slopes, rtol=0, atol=1e-6))


_dx = partial(dx_without, ())


def _dx_by_nodes(dy, x, gamma, eps):
    c = x - x.mean(axis=0)
    s = np.sqrt((c**2).mean(axis=0) + eps)
    direct, ds = through_quotient(gamma * dy, c, s)
    return through_centring(direct + through_variance(ds, c, s))


def _dx_of_the_library(dy, x, gamma, eps):
    return bn.batch_norm_backward(dy, bn.batch_norm(x, gamma, gamma * 0, eps=eps)[1])[0]


def _dx_one_feature_at_a_time(dy, x, gamma, eps):
    columns = [_dx(dy[:, j : j + 1], x[:, j : j + 1], gamma[j], eps) for j in range(x.shape[1])]
    return np.concatenate(columns, axis=1)


def _dx_zero(dy, x, gamma, eps):
    return np.zeros_like(x)


# ── 6.7 ─────────────────────────────────────────────────────────────────────────────────────────


def _rows_or_images(rng):
    shape = (9, 4) if rng.random() < 0.5 else (5, 4, 3, 2)
    x = rng.normal(rng.uniform(-3, 3), rng.uniform(0.5, 2), size=shape)
    return rng.normal(0.3, 1, size=shape), batch_norm(
        x, rng.uniform(1.5, 3, size=4), np.zeros(4), 0.1
    )[1]


def _by_means(dy, cache):
    rows = np.moveaxis(dy, 1, -1).reshape(-1, dy.shape[1])
    x_hat, slope = cache["x_hat"], cache["gamma"] / cache["s"]
    dgamma, dbeta, m = np.einsum("mc,mc->c", rows, x_hat), rows.sum(axis=0), len(rows)
    dx = slope / m * (m * rows - dbeta - x_hat * dgamma)
    return np.moveaxis(dx.reshape(np.moveaxis(dy, 1, -1).shape), -1, 1), dgamma, dbeta


def _reshaped_without_transpose(dy, cache):
    if dy.ndim == 2:
        return batch_norm_backward(dy, cache)
    dx, dgamma, dbeta = batch_norm_backward(dy.reshape(-1, dy.shape[1]), cache)
    return dx.reshape(dy.shape), dgamma, dbeta


def _back_without_transpose(dy, cache):
    dx, dgamma, dbeta = batch_norm_backward(dy, cache)
    if dy.ndim == 4:
        dx = dx.transpose(0, 2, 3, 1).reshape(dy.shape)
    return dx, dgamma, dbeta


# ── 6.8 ─────────────────────────────────────────────────────────────────────────────────────────


def _one_line_inputs(rng):
    x = rng.normal(size=(7, 4)) * rng.uniform(0.5, 2, size=4) + rng.uniform(-3, 3, size=4)
    gamma, eps = rng.uniform(1.5, 3, size=4), rng.uniform(0.05, 0.2)
    cache = batch_norm(x, gamma, np.zeros(4), eps)[1]
    return rng.normal(0.3, 1, size=(7, 4)), cache["x_hat"], cache["gamma"], cache["s"]


def _terms(dy, cache):
    """The three terms of dx, in the shape of dy."""
    rows = dy if dy.ndim == 2 else dy.transpose(0, 2, 3, 1).reshape(-1, dy.shape[1])

    def shaped(value):
        value = np.broadcast_to(value, rows.shape)
        if dy.ndim == 2:
            return value
        N, C, H, W = dy.shape
        return value.reshape(N, H, W, C).transpose(0, 3, 1, 2)

    terms = backward_terms(rows, cache["x_hat"], cache["gamma"] / cache["s"])
    return [
        Term(term.name, shaped(term.value), {k: shaped(v) for k, v in term.wrong.items()})
        for term in terms
    ]


# ── 6.9 ─────────────────────────────────────────────────────────────────────────────────────────


def stored_backward(dy, x, gamma, mean, var, eps):
    s = np.sqrt(var + eps)  # a constant in both cases: nothing comes back through it
    if mean is None:  # the batch's own mean: one more way, from each example to all
        x_hat = (x - x.mean(axis=0)) / s
        dx = gamma / s * (dy - dy.mean(axis=0))
    else:
        x_hat = (x - mean) / s
        dx = gamma / s * dy
    return dx, (dy * x_hat).sum(axis=0), dy.sum(axis=0)


def _stored_inputs(rng):
    N = rng.integers(5, 8)
    x = rng.normal(rng.uniform(1, 3, 3), rng.uniform(0.5, 2, 3), size=(N, 3))
    mean, var = rng.uniform(-1, 1, size=3), rng.uniform(0.5, 4, size=3)
    dy, gamma = rng.normal(0.5, 1, size=(N, 3)), rng.uniform(1.5, 3, size=3) * [1, -1, 1]
    return dy, x, gamma, mean, var, rng.uniform(0.05, 0.2)


def _both_cases(function, dy, x, gamma, mean, var, eps):
    """What the function gives with a stored mean, then with the batch's own."""
    pair = [function(dy, x, gamma, m, var, eps) for m in (mean, None)]
    for result in pair:
        if result is None or result is Ellipsis:
            return None
        if not isinstance(result, tuple | list) or len(result) != 3:
            raise TypeError("three results are expected: dx, dgamma, dbeta")
    return tuple(part for result in pair for part in result)


def _case(mean=False, variance=False, whole=False):
    """One case's gradients: with the mean's and the variance's share removed where it says so; or
    as if the batch had decided on both statistics."""

    def gradients(dy, x, gamma, mean_, var, eps):
        if whole:
            return batch_norm_backward(dy, batch_norm(x, gamma, np.zeros_like(gamma), eps)[1])
        s = np.sqrt(var + eps)
        x_hat = (x - (x.mean(axis=0) if mean_ is None else mean_)) / s
        dx = dy - mean * dy.mean(axis=0) - variance * x_hat * (dy * x_hat).mean(axis=0)
        return gamma / s * dx, (dy * x_hat).sum(axis=0), dy.sum(axis=0)

    return gradients


WITH_STORED = {  # what is done where `mean` is stored, and what a learner reads
    "no share": (_case(), "With a stored mean all is right."),
    "the mean's": (
        _case(mean=True),
        "With a stored mean you subtract the mean of `dy`: that is the share of a mean computed "
        "from this batch, and here it is a stored number.",
    ),
    "the variance's": (
        _case(variance=True),
        "With a stored mean you remove the variance's share; but no $x_j$ moves a stored `var`.",
    ),
    "both": (
        _case(mean=True, variance=True),
        "With a stored mean you remove the shares of mean and variance. Both are stored numbers "
        "there: nothing comes back through a constant.",
    ),
    "the batch's": (
        _case(whole=True),
        "With a stored mean you go back through the batch's own mean and variance, as in training. "
        "The layer used two stored numbers instead.",
    ),
}
WITH_OWN = {  # and where it is the batch's own
    "the mean's": (_case(mean=True), "With `mean=None` all is right."),
    "no share": (
        _case(),
        "With `mean=None` each $x_j$ also moves the batch's mean, and so every $\\hat{x}$: a way "
        "is missing.",
    ),
    "the variance's": (
        _case(variance=True),
        "With `mean=None` it is the *mean* that the batch decides, not the variance.",
    ),
    "both": (
        _case(mean=True, variance=True),
        "With `mean=None` you also remove the variance's share; but `var` is a stored number in "
        "both cases.",
    ),
    "the batch's": (
        _case(whole=True),
        "With `mean=None` you go back through the batch's own variance as well; the layer divided "
        "by the stored `var` in both cases.",
    ),
}


def _either(stored, own):
    def gradients(dy, x, gamma, mean, var, eps):
        return (own if mean is None else stored)(dy, x, gamma, mean, var, eps)

    return gradients


def _wrong_cases():
    """What is done in one case, with what is done in the other; what is right is said first."""
    for stored, own in itertools.product(WITH_STORED, WITH_OWN):
        (gradients, says), (others, more) = WITH_STORED[stored], WITH_OWN[own]
        if (stored, own) != ("no share", "the mean's"):
            text = f"{more} {says}" if own == "the mean's" else f"{says} {more}"
            yield WrongTurn(f"{stored}, then {own}", _either(gradients, others), text)


def _batch_x_hat(dy, x, gamma, mean, var, eps):
    dx, _, dbeta = stored_backward(dy, x, gamma, mean, var, eps)
    return dx, (dy * (x - x.mean(axis=0)) / np.sqrt(x.var(axis=0) + eps)).sum(axis=0), dbeta


def _batch_deviation(dy, x, gamma, mean, var, eps):
    return stored_backward(dy, x, gamma, mean, x.var(axis=0), eps)


def _none_as_zero(dy, x, gamma, mean, var, eps):
    return stored_backward(dy, x, gamma, np.zeros(3) if mean is None else mean, var, eps)


EXERCISES = [
    PredictionExercise(
        id="6.1",
        title="One example moves",
        choices=("only the first moves", "all move up", "first up, the others down on average"),
        answer="first up, the others down on average",
        wrong_turns=[
            WrongTurn(
                "only the first",
                "only the first moves",
                "The mean of the batch has moved, and every x̂ is measured from it.",
            ),
            WrongTurn(
                "all up",
                "all move up",
                "They cannot: the $\\hat{x}$ of a batch always add up to 0. What one gains, the "
                "others lose.",
            ),
        ],
        hint="What do the $\\hat{x}$ of a batch add up to, before and after?",
        praise="They add up to 0 before and after, so what one gains the others lose together; a "
        "single one of them may still go up.",
        note="The $\\hat{x}$ of a batch add up to 0 before and after: what one gains, the others "
        "lose together. A single one may still go up, when the batch as a whole widens.",
    ),
    FunctionExercise(
        id="6.2",
        title="Back through the scale",
        keeps="through_scale",
        solution=through_scale,
        inputs=_scale_inputs,
        returns=("dx_hat", "dgamma", "dbeta"),
        hint=(
            "Three inputs meet in this node. Multiply what arrives by the slope for each of them.",
            "`gamma` has shape $(D,)$: it served $m$ examples, and gets $m$ contributions. What "
            "happens to them?",
        ),
        praise="A gradient has the shape of its value, and a shared value collects.",
        wrong_turns=[
            WrongTurn(
                "mean for sum in dgamma and dbeta",
                lambda dy, x_hat, gamma: (gamma * dy, (dy * x_hat).mean(axis=0), dy.mean(axis=0)),
                "`dx_hat` is right. The contributions to $\\gamma$ and $\\beta$ are added up, not "
                "averaged: each example's share counts whole.",
            ),
            WrongTurn(
                "dgamma from gamma",
                lambda dy, x_hat, gamma: (gamma * dy, (dy * gamma).sum(axis=0), dy.sum(axis=0)),
                "The slope of $y = \\gamma\\hat{x} + \\beta$ for $\\gamma$ is $\\hat{x}$; you "
                "took the one for $\\hat{x}$.",
            ),
            WrongTurn(
                "x_hat instead of gamma",
                lambda dy, x_hat, gamma: (x_hat * dy, (dy * x_hat).sum(axis=0), dy.sum(axis=0)),
                "`dx_hat`: the slope for $\\hat{x}$ is $\\gamma$.",
            ),
        ],
    ),
    FunctionExercise(
        id="6.3",
        title="Back through the quotient",
        keeps="through_quotient",
        solution=through_quotient,
        inputs=_quotient_inputs,
        returns=("dc", "ds"),
        hint=(
            "For `dc` each example is on its own. For `ds` look at the shape: $(D,)$.",
            "$-\\frac{1}{s^2}\\sum_i d\\hat{x}_i\\,c_i$, for each feature.",
        ),
        praise="The farther an example is from the mean, the more it adds to ds.",
        wrong_turns=[
            WrongTurn(
                "plus for minus",
                lambda dx_hat, c, s: (dx_hat / s, (dx_hat * c / s**2).sum(axis=0)),
                "`dc` is right. `ds` has the wrong sign: a larger $s$ makes $\\hat{x}$ smaller.",
            ),
            WrongTurn(
                "s not squared",
                lambda dx_hat, c, s: (dx_hat / s, -(dx_hat * c / s).sum(axis=0)),
                "`dc` is right. The slope of $c/s$ for $s$ is $-c/s^2$: a factor $1/s$ is missing.",
            ),
            WrongTurn(
                "mean for sum",
                lambda dx_hat, c, s: (dx_hat / s, -(dx_hat * c / s**2).mean(axis=0)),
                "`dc` is right. One $s$ serves all examples: their contributions to `ds` are added "
                "up, not averaged.",
            ),
            WrongTurn(
                "not summed",
                lambda dx_hat, c, s: (dx_hat / s, -dx_hat * c / s**2),
                "`dc` is right. `ds` still has one row for each example; one $s$ serves them "
                "all, so their contributions are added.",
            ),
        ],
    ),
    FunctionExercise(
        id="6.4",
        title="Back through the root and the variance",
        keeps="through_variance",
        solution=through_variance,
        inputs=_variance_inputs,
        hint=(
            "Two nodes: first `dvar_B`, from $s = \\sqrt{\\sigma^2 + \\varepsilon}$; its slope is "
            "$1/(2s)$.",
            "In $\\frac1m\\sum_i c_i^2$ only one term holds $c_j$. Its slope is $2c_j/m$.",
        ),
        praise="Every example gets its share in proportion to its distance from the mean.",
        wrong_turns=[
            WrongTurn(
                "1/m forgotten",
                lambda ds, c, s: ds / (2 * s) * 2 * c,
                "The variance is a *mean* of squares: one $c_j$ moves it by $2c_j/m$, not $2c_j$.",
            ),
            WrongTurn(
                "root forgotten",
                lambda ds, c, s: ds * 2 * c / len(c),
                "The root's slope, $1/(2s)$, is missing between $s$ and the variance.",
            ),
            WrongTurn(
                "2 of the root forgotten",
                lambda ds, c, s: ds / s * 2 * c / len(c),
                "Twice what it should be: the slope of a root is $1/(2s)$.",
            ),
            WrongTurn(
                "2 of the square forgotten",
                lambda ds, c, s: ds / (2 * s) * c / len(c),
                "Half of what it should be: the slope of $c^2$ is $2c$.",
            ),
            WrongTurn(
                "c forgotten",
                lambda ds, c, s: ds / (2 * s) * 2 / len(c) * np.ones_like(c),
                "Every example gets the same share from you. One that lies far out moves the "
                "variance more.",
            ),
        ],
    ),
    FunctionExercise(
        id="6.5",
        title="Back through centring",
        keeps="through_centring",
        solution=through_centring,
        inputs=lambda rng: (rng.normal(0.5, 1.0, size=(6, 3)),),
        hint=(
            "$x_j$ is in $c_j$ with slope 1, and in the mean with slope $1/m$. The mean is in "
            "every $c_i$ with slope −1.",
            "The second way gives $-\\frac1m\\sum_i dc_i$ to each example.",
        ),
        praise="Subtracting a mean forward subtracts a mean backward.",
        wrong_turns=[
            WrongTurn(
                "the mean as a constant",
                lambda dc: dc,
                "You take the mean as a constant. It moves when $x_j$ moves, and carries that to "
                "every $c_i$.",
            ),
            WrongTurn(
                "only the own share",
                lambda dc: dc * (1 - 1 / len(dc)),
                "You count what $x_j$ does to its own $c_j$ through the mean; it does the same to "
                "all the other $c_i$.",
            ),
            WrongTurn(
                "sum instead of mean",
                lambda dc: dc - dc.sum(axis=0),
                "The mean passes on only a share $1/m$ of each move: subtract the mean of `dc`, "
                "not its sum.",
            ),
            WrongTurn(
                "mean added",
                lambda dc: dc + dc.mean(axis=0),
                "The mean enters $c$ with a minus sign, and keeps it on the way back.",
            ),
            WrongTurn(
                "mean over the features",
                lambda dc: dc - dc.mean(axis=1, keepdims=True),
                "Your mean runs over the features. The examples share a mean: `axis=0`.",
            ),
        ],
    ),
    TestExercise(
        id="6.6",
        title="Write the test",
        solution=is_right,
        right={
            "the closed form": _dx,
            "the walk, node by node": _dx_by_nodes,
            "bnlib's": _dx_of_the_library,
            "one feature at a time": _dx_one_feature_at_a_time,
        },
        wrong=[
            WrongTurn(
                "constants",
                partial(dx_without, ("mean", "variance")),
                "A function passes your test that takes both statistics as constants.",
            ),
            WrongTurn(
                "no variance term",
                partial(dx_without, "variance"),
                "One passes your test that lacks the term through the variance. Is your `dy` "
                "random, or the same for all examples?",
            ),
            WrongTurn(
                "no mean term",
                partial(dx_without, "mean"),
                "One passes your test that lacks the term through the mean.",
            ),
            WrongTurn(
                "no gamma",
                partial(dx_without, "gamma"),
                "One passes your test that lacks $\\gamma$. Which $\\gamma$ do you try it with?",
            ),
            WrongTurn(
                "no eps",
                partial(dx_without, "eps"),
                "One passes your test that lacks $\\varepsilon$. How large is yours, beside the "
                "variance of your `x`?",
            ),
            WrongTurn(
                "always 0",
                _dx_zero,
                "One passes your test that always answers 0. Is 0 the right answer for your "
                "inputs?",
            ),
        ],
        hint=(
            "Which loss? A plain sum of $y$ never changes, so its gradient is 0. Weigh the entries "
            "of $y$ with random numbers: `(dy * y).sum()`.",
            "Choose a γ other than 1, an ε that is not tiny (0.1, say), and five examples or more; "
            "compare every entry of `dx` with its slope.",
            "For each place: `x` with that entry up by `h`, and down; the difference of the losses "
            "over `2 * h`. Then `np.allclose`.",
        ),
        praise="This test finds all six mistakes.",
    ),
    FunctionExercise(
        id="6.7",
        title="The whole backward pass",
        keeps="batch_norm_backward",
        solution=batch_norm_backward,
        variants=(_by_means,),
        inputs=_rows_or_images,
        returns=("dx", "dgamma", "dbeta"),
        terms=_terms,
        terms_of="dx",
        hint=(
            "Rows first: call the nodes in the order of the walk, and add both shares of `dc`.",
            "Images: `dy.transpose(0, 2, 3, 1).reshape(-1, C)` makes the rows; the two steps are "
            "undone in the reverse order.",
        ),
        praise="The layer goes both ways now, for rows and for images.",
        wrong_turns=[
            WrongTurn(
                "reshape without transpose",
                _reshaped_without_transpose,
                "Rows are right. For images `reshape(-1, C)` alone mixes channels and places: the "
                "channel must be the last axis first (`transpose(0, 2, 3, 1)`).",
            ),
            WrongTurn(
                "back by reshape alone",
                _back_without_transpose,
                "Rows are right. On the way back to an image the rows have shape $(N, H, W, C)$ "
                "first; then the channel goes to its place.",
            ),
        ],
    ),
    FunctionExercise(
        id="6.8",
        title="In one line",
        keeps="dx_in_one_line",
        solution=dx_in_one_line,
        inputs=_one_line_inputs,
        terms=lambda dy, x_hat, gamma, s: backward_terms(dy, x_hat, gamma / s),
        hint=(
            "Node 2 gives $\\frac{\\gamma}{s}\\,dy$ to $c$. On its way through nodes 3 and 4, "
            "$ds$ is "
            "multiplied by $\\frac{1}{2s}\\cdot\\frac{2c}{m} = \\frac{\\hat x}{m}$. Add the two.",
            "Centring subtracts the mean over the batch. Which of the two terms of $dc$ has a mean "
            "that is not 0?",
            "$\\hat{x}$ has mean 0, and $\\overline{dy\\,\\hat{x}}$ is one number a feature. So "
            "only `dy` loses its mean.",
        ),
        praise="Itself, minus the mean's share, minus the variance's share.",
    ),
    FunctionExercise(
        id="6.9",
        title="When statistics really are constants",
        solution=stored_backward,
        inputs=_stored_inputs,
        call=_both_cases,
        returns=(
            "`dx` with a stored mean",
            "`dgamma` with a stored mean",
            "`dbeta` with a stored mean",
            "`dx` with the batch's mean",
            "`dgamma` with the batch's mean",
            "`dbeta` with the batch's mean",
        ),
        hint=(
            "Draw the graph of $y = \\gamma\\,(x - \\mathrm{mean}) / \\sqrt{\\mathrm{var} + "
            "\\varepsilon} + \\beta$ twice. Which boxes depend on $x$ in each case?",
            "With both stored it is a straight line: what is its slope? With the batch's mean, "
            "node 5 is back, and nodes 3 and 4 are not.",
            "`dgamma` collects `dy` times the $\\hat{x}$ of the forward pass: compute it with the "
            "same mean and the same `var`.",
        ),
        praise="A constant sends nothing back. With both stored each example keeps its gradient, "
        "times the slope of a line; a mean of the batch takes its share out.",
        wrong_turns=[
            *_wrong_cases(),
            WrongTurn(
                "the batch's x̂ in dgamma",
                _batch_x_hat,
                "Your `dx` is right. `dgamma` needs the $\\hat{x}$ of *this* forward pass: with "
                "the stored `var`, and with `mean` where it is given.",
            ),
            WrongTurn(
                "the batch's variance",
                _batch_deviation,
                "You divide by the deviation of the batch. The layer divided by "
                "$\\sqrt{\\mathrm{var} + \\varepsilon}$, with the stored `var`.",
            ),
            WrongTurn(
                "None taken as 0",
                _none_as_zero,
                "With a stored mean all is right. `mean=None` does not mean 0: the layer takes the "
                "mean of the batch then.",
            ),
        ],
    ),
]

QUIZ = [
    Question(
        "The loss is the plain sum of all $y$. What is $\\partial\\ell/\\partial x$?",
        {
            "All ones": "That is $\\partial\\ell/\\partial y$.",
            "γ/s": "Only if the statistics were constants.",
            "Zero": "The $y$ of a channel add up to $m\\beta$ whatever $x$ is. A gradient check "
            "with this loss does not see a missing $\\gamma$ or a missing variance term.",
        },
        correct=2,
    ),
    Question(
        "In training mode, $\\partial\\ell/\\partial x$ of a channel always adds up to …",
        {
            "0": "Moving all $x$ alike changes no $y$.",
            "$\\partial\\ell/\\partial\\beta$": "That is the sum of $\\partial\\ell/\\partial y$.",
            "γ": "γ scales the gradient; it does not shift it.",
        },
        correct=0,
    ),
    Question(
        "Your backward pass takes the statistics as constants. What will you see in training?",
        {
            "Nothing: the two terms are small": "The mean's takes out a part of the gradient that "
            "otherwise moves the weights for nothing.",
            "A slower fall of the loss, and biases that grow": "The update has a part that the "
            "next forward pass undoes. The paper warned of it.",
            "NaN at the first step": "It may come to that at high rates, but not at once.",
        },
        correct=1,
    ),
    Question(
        "A finite-difference check with $h = 10^{-12}$ shows an error of 1 %. The likely cause:",
        {
            "A missing term in the gradient": "It would show at $h = 10^{-5}$ just as well.",
            "Rounding": "The two losses agree in almost all their digits, and what is left of "
            "their difference is noise.",
            "The step is too large (truncation)": "The third derivative, which a "
            "central difference ignores, spoils a *large* step.",
        },
        correct=1,
    ),
]
