"""The kit finds by itself what is wrong with an answer: on classic exercises of this course, built
here, so that a room may change its own. The rooms' exercises: test_course_rooms.py."""

import dataclasses
import re
import subprocess
import sys

import numpy as np
import pytest
import torch

from bnlib.course.kit import properties
from bnlib.course.kit.answers import is_stub
from bnlib.course.kit.asking import exercises_of
from bnlib.course.kit.differences import apart, narrowed
from bnlib.course.kit.exercises import (
    ClassExercise,
    FunctionExercise,
    TestExercise,
    WrongTurn,
)
from bnlib.course.kit.faults import Term, backward_terms
from bnlib.course.kit.slips import slips


def says(exercise, answer, seed=0):
    verdict = exercise.check(answer, np.random.default_rng(seed))
    assert verdict.status != "broken", verdict
    return verdict


# ── the exercises ───────────────────────────────────────────────────────────────────────────────


def feature_means(x):
    return x.mean(axis=0)


def image_statistics(x):
    mu_B = x.mean(axis=(0, 2, 3))
    distance = x - mu_B.reshape(1, -1, 1, 1)
    return mu_B, (distance**2).mean(axis=(0, 2, 3))


def normalize(x, eps):
    mu_B = x.mean(axis=0)
    var_B = ((x - mu_B) ** 2).mean(axis=0)
    return (x - mu_B) / np.sqrt(var_B + eps)


def combine(m_1, mu_1, var_1, m_2, mu_2, var_2):
    m = m_1 + m_2
    mu = (m_1 * mu_1 + m_2 * mu_2) / m
    within = (m_1 * var_1 + m_2 * var_2) / m
    between = (m_1 * (mu_1 - mu) ** 2 + m_2 * (mu_2 - mu) ** 2) / m
    return mu, within + between


def batch_norm(x, gamma, beta, eps):
    axes = (0, 2, 3)
    mu_B = x.mean(axis=axes, keepdims=True)
    var_B = ((x - mu_B) ** 2).mean(axis=axes, keepdims=True)
    x_hat = (x - mu_B) / np.sqrt(var_B + eps)
    return gamma.reshape(1, -1, 1, 1) * x_hat + beta.reshape(1, -1, 1, 1)


def undo(y, gamma, beta, mu_B, var_B, eps):
    x_hat = (y - beta) / gamma
    return x_hat * np.sqrt(var_B + eps) + mu_B


def parameter_gradients(dy, x_hat):
    dgamma = (dy * x_hat).sum(axis=(0, 2, 3))
    dbeta = dy.sum(axis=(0, 2, 3))
    return dgamma, dbeta


def layer(x, weight, gamma, beta, eps):
    h = x @ weight
    h_hat = (h - h.mean(axis=0)) / np.sqrt(h.var(axis=0) + eps)
    return np.maximum(gamma * h_hat + beta, 0)


def center_backward(dy):
    return dy - dy.mean(axis=0)


def batch_norm_backward(dy, x, gamma, eps):
    s = np.sqrt(x.var(axis=0) + eps)
    x_hat = (x - x.mean(axis=0)) / s
    return gamma / s * (dy - dy.mean(axis=0) - x_hat * (dy * x_hat).mean(axis=0))


def eval_backward(dy, gamma, running_var, eps):
    return dy * gamma / np.sqrt(running_var + eps)


def update_running(running_mean, running_var, x, momentum):
    m = len(x)
    mean = (1 - momentum) * running_mean + momentum * x.mean(axis=0)
    var = (1 - momentum) * running_var + momentum * x.var(axis=0) * m / (m - 1)
    return mean, var


def fold(weight, bias, gamma, beta, mean, var, eps):
    slope = gamma / np.sqrt(var + eps)
    return weight * slope, (bias - mean) * slope + beta


def in_torch(x, eps):
    mu_B = x.mean(dim=(0, 2, 3), keepdim=True)
    var_B = x.var(dim=(0, 2, 3), keepdim=True, correction=0)
    return (x - mu_B) / (var_B + eps).sqrt()


def of_half(x):
    x = x.float()
    mu_B = x.mean(dim=0)
    return mu_B, ((x - mu_B) ** 2).mean(dim=0)


def drawn(rng, D, *places):
    """(N, D, …), features of their own scale and centre, one with a variance below eps."""
    line_up = (D,) + (1,) * len(places)
    scale = rng.permutation([0.1, *rng.uniform(0.5, 3.0, size=D - 1)]).reshape(line_up)
    x = rng.normal(size=(rng.integers(7, 12), D, *places))
    return x * scale + rng.uniform(-3, 3, size=D).reshape(line_up)


def signed(rng, D):
    return rng.uniform(0.5, 2.0, D) * rng.permutation(np.resize([1.0, -1.0], D))


def some_eps(rng):
    return rng.uniform(0.05, 0.2)


def rows_to_undo(rng):
    x, gamma, beta, eps = drawn(rng, 5), signed(rng, 5), signed(rng, 5), some_eps(rng)
    mean, var = x.mean(axis=0), x.var(axis=0)
    return gamma * (x - mean) / np.sqrt(var + eps) + beta, gamma, beta, mean, var, eps


def two_parts(rng):
    sizes = rng.permutation([5, 11])
    parts = [rng.normal(rng.normal(size=3) * 2, rng.uniform(0.5, 2), (m, 3)) for m in sizes]
    return tuple(v for part in parts for v in (len(part), part.mean(axis=0), part.var(axis=0)))


def dy_and_x_hat(rng):
    x = drawn(rng, 4, 3, 5)
    return rng.normal(0.3, 1, x.shape), batch_norm(x, np.ones(4), np.zeros(4), 1e-5)


def to_go_back(rng):
    x = drawn(rng, 4)
    return rng.normal(size=x.shape), x, 2 * signed(rng, 4), some_eps(rng)


def x_hat_of(x, eps, **_):
    return (x - x.mean(axis=0)) / np.sqrt(x.var(axis=0) + eps)


def slope_of(x, gamma, eps, **_):
    return gamma / np.sqrt(x.var(axis=0) + eps)


def eps_share(x, eps, **_):
    return eps / (x.var(axis=0) + eps)


def center_terms(dy):
    own = "You count what $x_j$ does to its own $y_j$; it does the same to all the other."
    return [
        Term("the own term", dy),
        Term("the term through the mean", -dy.mean(axis=0) + 0 * dy, {
            own: -dy / len(dy),
            "Your mean runs over the features.": -dy.mean(axis=1, keepdims=True)}),
    ]  # fmt: skip


def exercise(solution, inputs, **more):
    return FunctionExercise(
        id="98.1", title="t", hint="h", solution=solution, inputs=inputs, **more
    )


CLASSIC = {
    "feature_means": exercise(feature_means, lambda rng: (drawn(rng, 3),)),
    "image_statistics": exercise(
        image_statistics, lambda rng: (drawn(rng, 4, 3, 5),), returns=("mu_B", "var_B")
    ),
    "normalize": exercise(
        normalize,
        lambda rng: (drawn(rng, 5), some_eps(rng)),
        statistics_axis=0,
        properties=(
            properties.normalized(),
            properties.shift_changes_nothing(),
            properties.scale_changes_nothing(),
            properties.order_changes_nothing(),
        ),
    ),
    "combine": exercise(combine, two_parts, returns=("mu", "var")),
    "batch_norm": exercise(
        batch_norm,
        lambda rng: (drawn(rng, 4, 3, 5), signed(rng, 4), signed(rng, 4), some_eps(rng)),
        statistics_axis=(0, 2, 3),
        properties=(properties.shift_changes_nothing(), properties.order_changes_nothing()),
    ),
    "undo": exercise(undo, rows_to_undo, statistics_axis=0),
    "parameter_gradients": exercise(
        parameter_gradients, dy_and_x_hat, returns=("dgamma", "dbeta")
    ),
    "layer": exercise(
        layer,
        lambda rng: (drawn(rng, 5), rng.normal(size=(5, 3)), signed(rng, 3), signed(rng, 3),
                     some_eps(rng)),
    ),
    "center_backward": exercise(
        center_backward,
        lambda rng: (rng.normal(0.5, 1.0, size=(rng.integers(6, 11), 3)),),
        terms=center_terms,
        properties=(properties.sums_to_zero(),),
    ),
    "batch_norm_backward": exercise(
        batch_norm_backward,
        to_go_back,
        terms=lambda dy, x, g, eps: backward_terms(dy, x_hat_of(x, eps), slope_of(x, g, eps)),
        properties=(
            properties.sums_to_zero(),
            properties.orthogonal_to_x_hat(x_hat_of, slope_of, eps_share),
        ),
    ),
    "eval_backward": exercise(
        eval_backward,
        lambda rng: (drawn(rng, 3), signed(rng, 3), rng.uniform(0.5, 4, 3), some_eps(rng)),
        properties=(properties.each_example_alone("dy"),),
    ),
    "update_running": exercise(
        update_running,
        lambda rng: (rng.normal(size=3), rng.uniform(0.5, 2, 3), drawn(rng, 3),
                     rng.uniform(0.12, 0.35)),
        returns=("running_mean", "running_var"),
    ),
    "fold": exercise(
        fold,
        lambda rng: (rng.normal(size=(5, 3)), rng.normal(size=3), signed(rng, 3),
                     rng.normal(size=3), rng.normal(size=3), rng.uniform(0.5, 2, 3),
                     some_eps(rng)),
        returns=("weight", "bias"),
    ),
    "in_torch": exercise(
        in_torch,
        lambda rng: (torch.tensor(drawn(rng, 3, 2, 5)), some_eps(rng)),
        statistics_axis=(0, 2, 3),
        properties=(properties.normalized(axis=(0, 2, 3)), properties.order_changes_nothing()),
        autograd=True,
    ),
    "of_half": exercise(
        of_half,
        lambda rng: (torch.tensor(rng.normal(200, 1, (64, 3)), dtype=torch.bfloat16),),
        returns=("mu_B", "var_B"),
        rtol=1e-5,
        coarsest="float32",
    ),
}  # fmt: skip


# ── what is right passes ────────────────────────────────────────────────────────────────────────


def in_float32(solution):
    return lambda *args: solution(*narrowed(args))


@pytest.mark.parametrize("key", ["normalize", "batch_norm", "undo", "layer", "batch_norm_backward"])
def test_precision_of_the_answer_is_told(key):
    """Those that ask whether eps is added once were the ones to refuse float32."""
    exercise = CLASSIC[key]
    assert "seven digits of float32" in says(exercise, in_float32(exercise.solution)).text
    assert "digits" not in says(exercise, exercise.solution).text


def test_half_precision_is_judged_by_its_own_digits():
    def in_bfloat16(x, eps):
        x = torch.tensor(x, dtype=torch.bfloat16)
        mean = x.mean(dim=0)
        return (x - mean) / (x.var(dim=0, correction=0) + eps).sqrt()

    centred = dataclasses.replace(CLASSIC["normalize"], inputs=lambda rng: (
        rng.normal(size=(9, 5)), 0.1))  # fmt: skip
    assert "two digits of bfloat16" in says(centred, in_bfloat16).text


# hand-written: loops, einsum, another order of the steps


def statistics_in_loops(x):
    N, C, H, W = x.shape
    mean, var = np.zeros(C), np.zeros(C)
    for c in range(C):
        for v in x[:, c].ravel():
            mean[c] += v / (N * H * W)
        for v in x[:, c].ravel():
            var[c] += (v - mean[c]) ** 2 / (N * H * W)
    return mean, var


def batch_norm_by_einsum(x, gamma, beta, eps):
    m = x.size // x.shape[1]
    c = x - np.einsum("nchw->c", x)[:, None, None] / m
    s = np.sqrt(np.einsum("nchw,nchw->c", c, c) / m + eps)
    return np.einsum("nchw,c->nchw", c, gamma / s) + beta[:, None, None]


def backward_by_the_chain(dy, x, gamma, eps):
    m, c = len(x), x - x.mean(axis=0)
    s = np.sqrt((c**2).mean(axis=0) + eps)
    dx_hat = dy * gamma
    dvar = (dx_hat * c).sum(axis=0) * -0.5 * s**-3
    dmean = -(dx_hat / s).sum(axis=0) + dvar * -2 * c.mean(axis=0)
    return dx_hat / s + dvar * 2 * c / m + dmean / m


def backward_by_autograd(dy, x, gamma, eps):
    t = torch.tensor(x, requires_grad=True)
    y = torch.nn.functional.batch_norm(
        t, None, None, torch.tensor(gamma), torch.zeros(len(gamma), dtype=t.dtype), True, 0, eps
    )
    y.backward(torch.tensor(dy))
    return t.grad


def in_the_room(identifier):
    """The variants that the course's own exercise lists."""
    return exercises_of(identifier.split(".")[0])[identifier].variants


VARIANTS = {
    "feature_means": [
        lambda x: [sum(column) / len(column) for column in x.T],
        lambda x: np.ones(len(x)) @ x / len(x),
    ],
    "image_statistics": [statistics_in_loops, *in_the_room("3.3")],
    "normalize": in_the_room("3.2"),
    "batch_norm": [batch_norm_by_einsum],
    "undo": [lambda y, g, b, mu, var, eps: (y - b) * ((var + eps) ** 0.5 / g) + mu],
    "parameter_gradients": in_the_room("4.3"),
    "center_backward": [lambda dy: (np.eye(len(dy)) - 1 / len(dy)) @ dy],
    "batch_norm_backward": [backward_by_the_chain, backward_by_autograd],
    "update_running": [
        lambda a, v, x, m: (a + m * (x.mean(0) - a), v + m * (x.var(0, ddof=1) - v))
    ],
    "in_torch": [
        lambda x, eps: torch.nn.functional.batch_norm(x, None, None, training=True, eps=eps)
    ],
    "of_half": [
        lambda x: (x.float().mean(0), x.float().var(0, correction=0)),
        lambda x: np.stack([x.float().numpy().mean(0), x.float().numpy().var(0)]),
    ],
}  # fmt: skip


@pytest.mark.parametrize(
    ("key", "answer"),
    [pytest.param(k, f, id=f"{k}-{i}") for k, many in VARIANTS.items() for i, f in enumerate(many)],
)
def test_answer_written_otherwise_passes(key, answer):
    for seed in range(3):
        assert says(CLASSIC[key], answer, seed).passed


# ── what is wrong gets its own sentence ─────────────────────────────────────────────────────────


def normalize_with(mean=0, var=0, root=lambda v, eps: np.sqrt(v + eps)):
    """normalize with other axes (of mean and variance) or another root."""

    def answer(x, eps):
        over = {"keepdims": True}
        return (x - x.mean(axis=mean, **over)) / root(x.var(axis=var, **over), eps)

    return answer


def images_with(axes=(0, 2, 3), gamma=1, place="after"):
    def answer(x, g, b, eps):
        g, b = g.reshape(1, -1, 1, 1), b.reshape(1, -1, 1, 1)
        mean, var = x.mean(axis=axes, keepdims=True), x.var(axis=axes, keepdims=True)
        x_hat = (x - mean) / np.sqrt(var + eps)
        return g * (x_hat + b) if place == "before" else g**gamma * x_hat + b

    return answer


def reshaped_images(x, g, b, eps):
    rows = x.reshape(x.shape[1], -1)
    x_hat = (rows - rows.mean(1, keepdims=True)) / np.sqrt(rows.var(1, keepdims=True) + eps)
    return (x_hat * g[:, None] + b[:, None]).reshape(x.shape)


def reshaped_statistics(x):
    rows = x.reshape(-1, x.shape[1])
    return rows.mean(axis=0), rows.var(axis=0)


def backward_with(own=1, mean=lambda v: v.mean(0), through_variance=lambda v: v.mean(0), power=1,
                  gamma=1, variance=lambda x, eps: x.var(0) + eps):  # fmt: skip
    def answer(dy, x, g, eps):
        s = np.sqrt(variance(x, eps))
        x_hat = (x - x.mean(axis=0)) / s
        terms = own * dy - mean(dy) - x_hat * through_variance(dy * x_hat)
        return g**gamma / s**power * terms

    return answer


def nothing(v):
    return 0 * v


PLANTED = {  # exercise: {mistake: (answer, words of the verdict)}
    "feature_means": {
        "a number for m": (lambda x: x.sum(axis=0) / 8, "divides by 8 whatever the size"),
    },
    "image_statistics": {
        "m − 1": (lambda x: (x.mean((0, 2, 3)), x.var((0, 2, 3), ddof=1)),
                  "`mu_B` is right. Your variance divides by $m-1$"),
        "deviation": (lambda x: (x.mean((0, 2, 3)), x.std((0, 2, 3))), "standard deviation where"),
        "everything": (lambda x: (x.mean(), x.var()), "everything, the channels too"),
        "reshape": (reshaped_statistics, "`reshape` alone mixes the channels"),
        "rows and columns": (lambda x: (x.mean((0, 2)), x.var((0, 2))),
                             "one value for each channel and column"),
    },
    "normalize": {
        "axis 1": (normalize_with(1, 1), "over the features of each example"),
        "axis 1 without keepdims": (lambda x, eps: x - x.mean(axis=1), "over the wrong axis"),
        "one global": (normalize_with(None, None), "over everything at once"),
        "m − 1": (normalize_with(root=lambda v, eps: np.sqrt(v * 9 / 8 + eps)), "variance"),
        "unbiased": (lambda x, eps: (x - x.mean(0)) / np.sqrt(x.var(0, ddof=1) + eps), "$m-1$"),
        "outside": (normalize_with(root=lambda v, eps: np.sqrt(v) + eps), "outside the root"),
        "no eps": (normalize_with(root=lambda v, eps: np.sqrt(v)), "when `eps` changes"),
        "max": (normalize_with(root=lambda v, eps: np.sqrt(np.maximum(v, eps))),
                "the larger of the variance and `eps`"),
        "its own eps": (normalize_with(root=lambda v, eps: np.sqrt(v + 1e-5)),
                        "You use 1e-05 whatever `eps` is"),
        "eps twice": (normalize_with(root=lambda v, eps: np.sqrt(v + 2 * eps)), "`eps` twice"),
        "eps in and out": (normalize_with(root=lambda v, eps: np.sqrt(v + eps) + eps),
                           "as well as inside"),
        "variance": (normalize_with(root=lambda v, eps: v + eps), "divide by its square root"),
        "not centred": (lambda x, eps: x / np.sqrt(x.var(0) + eps), "mean was not subtracted"),
        "two slips": (lambda x, eps: (x - x.mean(0)) / (x.std(0, ddof=1) + eps), "Two things."),
        "transposed": (lambda x, eps: normalize(x, eps).T, "is transposed"),
        "reversed": (lambda x, eps: normalize(x, eps)[::-1], "examples"),
        "× 2": (lambda x, eps: 2 * normalize(x, eps), "2 times what it should be"),
        "× σ": (lambda x, eps: x - x.mean(0), "divided"),
        "constant": (lambda x, eps: 0 * x, "the same whatever comes in"),
    },
    "combine": {
        "m − 1": (lambda a, b, c, d, e, f: (
            (r := combine(a, b, c, d, e, f))[0], r[1] * (a + d) / (a + d - 1)),
            "$m/(m-1)$ times"),
    },
    "batch_norm": {
        "the examples only": (images_with(0), "over the examples only"),
        "each image": (images_with((2, 3)), "*instance* normalization"),
        "the channels": (images_with((1, 2, 3)), "*layer* normalization"),
        "everything": (images_with(None), "over everything, the channels too"),
        "γ(x̂ + β)": (images_with(place="before"), "shift first and then scale"),
        "no γ": (images_with(gamma=0), "when `gamma` changes"),
        "γ twice": (images_with(gamma=2), "`gamma` is in it twice"),
        "swapped": (lambda x, g, b, eps: images_with()(x, b, g, eps), "exchanged `gamma` and"),
        "no β": (lambda x, g, b, eps: images_with()(x, g, 0 * b, eps), "when `beta` changes"),
        "x̂": (lambda x, g, b, eps: images_with()(x, g**0, 0 * b, eps), "`x_hat`, a step on"),
        "reshape": (reshaped_images, "mixes the channels"),
        "no keepdims": (lambda x, g, b, eps: x - x.mean(axis=(0, 2, 3)),
                        "one value for each channel, but shapes are lined up from the right"),
        "flat γ": (lambda x, g, b, eps: g * x, "one value for each channel"),
    },
    "undo": {
        "only y divided": (lambda y, g, b, mu, v, eps: (y / g - b) * np.sqrt(v + eps) + mu,
                           "Only `y` is divided in yours: `beta` must be, too"),
        "no mean": (lambda y, g, b, mu, v, eps: (y - b) / g * np.sqrt(v + eps), "when `mu_B`"),
        "x̂": (lambda y, g, b, mu, v, eps: (y - b) / g, "`x_hat`, a step on the way"),
        "no root": (lambda y, g, b, mu, v, eps: (y - b) / g * (v + eps) + mu, "root is missing"),
    },
    "parameter_gradients": {
        "order": (lambda dy, h: parameter_gradients(dy, h)[::-1], "another order"),
        "the examples": (lambda dy, h: ((dy * h).sum(0), dy.sum(0)), "sum over the examples only"),
    },
    "layer": {
        "m − 1": (lambda x, w, g, b, eps: np.maximum(g * ((h := x @ w) - h.mean(0)) / np.sqrt(
            h.var(0, ddof=1) + eps) + b, 0), "$m-1$"),
        "no ReLU": (lambda x, w, g, b, eps: g * ((h := x @ w) - h.mean(0)) / np.sqrt(
            h.var(0) + eps) + b, "activation is missing"),
    },
    "center_backward": {
        "own share": (lambda dy: dy - dy / len(dy), "the same to all the other"),
        "sum": (lambda dy: dy - dy.sum(0), "a sum where a mean belongs"),
        "added": (lambda dy: dy + dy.mean(0), "through the mean has the wrong sign"),
        "features": (lambda dy: dy - dy.mean(1, keepdims=True), "runs over the features"),
    },
    "batch_norm_backward": {
        "constants": (backward_with(mean=nothing, through_variance=nothing),
                      "the term through the mean and the term through the variance"),
        "no γ": (backward_with(gamma=0), "when `gamma` changes"),
        "no mean term": (backward_with(mean=nothing), "The term through the mean is missing."),
        "no variance term": (backward_with(through_variance=nothing),
                             "The term through the variance is missing."),
        "no own term": (backward_with(own=0), "own term $dy$ is missing"),
        "sums": (backward_with(1, lambda v: v.sum(0), lambda v: v.sum(0)),
                 "the factor $1/m$ is missing"),
        "sum in the variance term": (backward_with(through_variance=lambda v: v.sum(0)),
                                     "The term through the variance is $m$ times"),
        "not summed": (backward_with(through_variance=lambda v: v / len(v)),
                       "is not summed over the batch"),
        "mean not summed": (backward_with(mean=lambda v: v / len(v)), "`dy` is not summed"),
        "sign": (backward_with(through_variance=lambda v: -v.mean(0)), "has the wrong sign"),
        "factor 2": (backward_with(through_variance=lambda v: 2 * v.mean(0)), "is 2 times"),
        "no eps": (backward_with(variance=lambda x, eps: x.var(0)), "when `eps` changes"),
        "m − 1": (backward_with(variance=lambda x, eps: x.var(0, ddof=1) + eps), "$m-1$"),
        "outside": (backward_with(variance=lambda x, eps: (x.std(0) + eps) ** 2), "outside"),
        "γ twice": (backward_with(gamma=2), "`gamma`"),
        "s twice": (backward_with(power=2), "`s` once too often"),
    },
    "eval_backward": {
        "no γ": (lambda dy, g, v, eps: dy / np.sqrt(v + eps), "when `gamma` changes"),
        "outside": (lambda dy, g, v, eps: dy * g / (np.sqrt(v) + eps), "outside the root"),
        "variance": (lambda dy, g, v, eps: dy * g / (v + eps), "divide by its square root"),
    },
    "update_running": {
        "Keras's momentum": (lambda a, v, x, m: update_running(a, v, x, 1 - m),
                             "weighs the old value"),
        "biased": (lambda a, v, x, m: ((1 - m) * a + m * x.mean(0), (1 - m) * v + m * x.var(0)),
                   "`running_mean` is right. You take in the biased variance"),
        "torch's default": (lambda a, v, x, m: update_running(a, v, x, 0.1),
                            "You use 0.1 whatever `momentum` is"),
    },
    "fold": {
        "bias not scaled": (lambda w, c, g, b, mu, v, eps: (w * (s := g / np.sqrt(v + eps)),
                                                            c - mu * s + b), "`bias` must be, too"),
        "no β": (lambda w, c, g, b, mu, v, eps: fold(w, c, g, 0 * b, mu, v,
                                                                          eps), "when `beta`"),
    },
}  # fmt: skip


@pytest.mark.parametrize(
    ("key", "answer", "words"),
    [
        pytest.param(key, *planted, id=f"{key}-{name}")
        for key, many in PLANTED.items()
        for name, planted in many.items()
    ],
)
def test_planted_mistake_gets_its_sentence(key, answer, words):
    for seed in range(3):
        verdict = says(CLASSIC[key], answer, seed)
        assert verdict.status == "not yet"
        assert words in verdict.text, verdict.text


def test_slips_are_planted_in_each_known_way():
    kinds = {slip.kind for slip in slips(CLASSIC["batch_norm"].solution)}
    assert kinds > {"axis", "keepdims", "mean or sum", "divisor", "root", "eps", "centre", "term",
                    "sign", "place", "factor", "twice", "inverse", "swapped"}  # fmt: skip


def test_solution_without_source_has_no_slips():
    space = {}
    exec("def f(x):\n    return x.mean(axis=0)", space)
    assert slips(space["f"]) == ()


def test_word_of_the_solution_alone_is_called_so():
    text = [slip.says for slip in slips(CLASSIC["combine"].solution)]
    assert "What the solution calls `between` is not added." in text


def rows_first(x, eps):
    rows = x if x.ndim == 2 else x.transpose(0, 2, 3, 1).reshape(-1, x.shape[1])
    y = normalize(rows, eps)
    if x.ndim == 4:
        N, C, H, W = x.shape
        y = y.reshape(N, H, W, C).transpose(0, 3, 1, 2)
    return y


def reshape_only(x, eps):
    return normalize(x.reshape(-1, x.shape[1]), eps).reshape(x.shape)


ROWS_OR_IMAGES = exercise(
    rows_first,
    lambda rng: (drawn(rng, 4) if rng.random() < 0.5 else drawn(rng, 4, 3, 5), some_eps(rng)),
)


def test_rows_and_images_are_both_tried():
    assert says(ROWS_OR_IMAGES, rows_first).passed
    for seed in range(40):
        assert not says(ROWS_OR_IMAGES, lambda x, eps: normalize(x, eps), seed).passed


def test_answer_right_for_rows_alone_is_told_what_images_lack():
    text = says(ROWS_OR_IMAGES, reshape_only).text
    assert text.startswith("Your function is right for an input of shape (")
    assert "`reshape` alone mixes the channels" in text


# torch: what autograd sees


def statistics_of(x):
    over = {"dim": (0, 2, 3), "keepdim": True}
    return x.mean(**over), x.var(correction=0, **over)


def in_numpy(x, eps):
    mean, var = statistics_of(x)
    y = (x.numpy() - mean.numpy()) / np.sqrt(var.numpy() + eps)
    return torch.tensor(y)


def detached_statistics(x, eps):
    mean, var = (v.detach() for v in statistics_of(x))
    return (x - mean) / (var + eps).sqrt()


def detached_variance(x, eps):
    mean, var = statistics_of(x)
    return (x - mean) / (var.detach() + eps).sqrt()


@torch.no_grad()
def without_gradient(x, eps):
    return in_torch(x, eps)


def without_keepdim(x, eps):
    return (x - x.mean(dim=(0, 2, 3))) / (x.var(dim=(0, 2, 3), correction=0) + eps).sqrt()


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (in_numpy, "autograd cannot follow"),
        (detached_statistics, "cut off from the graph"),
        (detached_variance, "`var_B` is cut off from the graph"),
        (without_gradient, "no gradient"),
        (without_keepdim, "for each channel"),
    ],
    ids=lambda v: getattr(v, "__name__", ""),
)
def test_answer_that_leaves_the_graph_is_told(answer, words):
    for seed in range(8):
        verdict = says(CLASSIC["in_torch"], answer, seed)
        assert verdict.status == "not yet"
        assert words in verdict.text


# ── no stub is right, no bug is a stub ──────────────────────────────────────────────────────────


def dots(*args): ...


def hole(*args):
    mean = ...
    return mean


def test_not_implemented_inside_an_answer_is_a_bug():
    def unfinished(x, eps):
        mean = x.mean(axis=0)
        if mean.any():
            raise NotImplementedError("later")
        return mean

    verdict = says(CLASSIC["normalize"], unfinished)
    assert verdict.status == "not yet"
    assert "stopped with `NotImplementedError: later`" in verdict.text


def test_dots_left_behind_do_not_hide_a_bug():
    def answer(x, eps):
        ...
        return x.meen(axis=0)

    assert "stopped with `AttributeError" in says(CLASSIC["normalize"], answer).text


def test_error_that_speaks_of_an_ellipsis_is_no_stub():
    def answer(x, eps):
        return np.einsum("...c,...c->c", x, x)

    assert "stopped with `ValueError" in says(CLASSIC["normalize"], answer).text


def test_missing_return_is_told_where_dots_are_an_index():
    def answer(x, eps):
        x[..., 0] - x.mean()

    assert "is a `return` missing" in says(CLASSIC["normalize"], answer).text


def test_stub_without_source_is_seen():
    space = {}
    exec("def f(x):\n    raise NotImplementedError\ndef g(x):\n    return len(x)", space)
    assert is_stub(space["f"])
    assert not is_stub(space["g"])


def test_half_written_answer_warns_of_nothing():
    code = "import bnlib.course; exec('def f(x):\\n    return ...(x) + 2(x) + ...[0]')"
    ran = subprocess.run([sys.executable, "-W", "default", "-c", code], capture_output=True,
                         text=True, check=True)  # fmt: skip
    assert "SyntaxWarning" not in ran.stderr


# ── properties ──────────────────────────────────────────────────────────────────────────────────


def mean_centred(x, eps):
    return x - x.mean(axis=0)


def first_row_centred(x, eps):
    return normalize(x - x[0], eps) + np.linspace(0, 0.1, len(x))[:, None]


def running_answer(x, eps):
    return np.tanh(x)


KEPT = {  # property: (answer that keeps it, answer that breaks it, words)
    properties.normalized(): (normalize, mean_centred, "feature 0 of your result has variance"),
    properties.shift_changes_nothing(): (mean_centred, running_answer, "adding 3 to all of `x`"),
    properties.scale_changes_nothing(): (normalize, mean_centred, "`x` 4 times as large"),
    properties.order_changes_nothing(): (running_answer, first_row_centred, "in another order"),
    properties.each_example_alone(): (running_answer, mean_centred, "example alone"),
    properties.sums_to_zero(): (mean_centred, running_answer, "They must add up to 0"),
}


@pytest.mark.parametrize(("kept", "answers"), KEPT.items(), ids=lambda v: getattr(v, "name", ""))
def test_broken_property_is_shown_on_a_small_input(kept, answers):
    keeps, breaks, words = answers
    case = exercise(keeps, lambda rng: (rng.normal(size=(9, 4)) * 3 + 1, 0.1), properties=[kept])
    assert says(case, keeps).passed
    text = says(case, breaks).text
    assert words in text
    shown = re.match(r"With `x = (\[.*?\]), eps = 0.1`", text)
    assert shown, text
    assert len(re.findall(r"-?[\d.]+", shown[1])) <= 3
    assert "at [" not in text


def test_property_comes_before_the_cause():
    text = says(CLASSIC["normalize"], lambda x, eps: (x - x.mean(0)) / (x.std(0) + eps)).text
    assert text.startswith("With `x = ")
    assert text.endswith("it must be added to the variance, before the root is taken.")


def test_answer_that_remembers_is_told():
    calls = []

    def answer(x, eps):
        calls.append(1)
        return normalize(x, eps) * (1 if len(calls) <= 4 else 2)

    forgetful = dataclasses.replace(CLASSIC["normalize"], properties=())
    assert "Called a second time" in says(forgetful, answer).text


def test_numbers_are_written_until_they_differ():
    assert apart(200.2, 200.2004) == ("200.2", "200.2004")


# ── steps, caches ───────────────────────────────────────────────────────────────────────────────


def with_cache(x, gamma, beta, eps):
    mu_B = x.mean(axis=0)
    s = np.sqrt(((x - mu_B) ** 2).mean(axis=0) + eps)
    x_hat = (x - mu_B) / s
    return gamma * x_hat + beta, {"mu_B": mu_B, "s": s, "x_hat": x_hat}


CACHE = FunctionExercise(
    id="98.2", title="t", solution=with_cache, hint="h", returns=("y", "cache"),
    steps=("mu_B", "s", "x_hat", "y"),
    inputs=lambda rng: (rng.normal(size=(9, 4)), rng.normal(size=4), rng.normal(size=4), 0.1),
)  # fmt: skip


def test_further_keys_of_a_cache_are_welcome():
    def answer(x, gamma, beta, eps):
        y, cache = with_cache(x, gamma, beta, eps)
        return [y, cache | {"mine": 3}]

    assert says(CACHE, answer).passed


def test_first_wrong_step_is_named_and_its_cause():
    def answer(x, gamma, beta, eps):
        s = x.std(axis=0) + eps
        return 0 * x, {"mu_B": x.mean(axis=0), "s": s, "x_hat": x / s}

    assert says(CACHE, answer).text.startswith("`mu_B` is right. Your `eps` stands outside")


def test_missing_key_is_named():
    text = says(CACHE, lambda x, *rest: (x, {"mu_B": 0, "s": 1})).text
    assert text == "`cache` has no `x_hat`; its keys are `mu_B`, `s`."


def test_missing_cache_is_asked_for():
    text = says(CACHE, lambda *args: with_cache(*args)[0]).text
    assert "a tuple of 2: (y, cache)" in text


# ── classes ─────────────────────────────────────────────────────────────────────────────────────


class BatchNorm:
    """As notebook 07 asks for it."""

    def __init__(self, num_features, eps=1e-5, momentum=0.1):
        self.eps, self.momentum, self.training = eps, momentum, True
        self.gamma, self.beta = np.ones(num_features), np.zeros(num_features)
        self.running_mean, self.running_var = np.zeros(num_features), np.ones(num_features)
        self.num_batches_tracked = 0

    def __call__(self, x):
        if not self.training:
            return self.normalized(x, self.running_mean, self.running_var)
        mean, var = x.mean(axis=0), x.var(axis=0)
        m = len(x)
        self.num_batches_tracked += 1
        weight = 1 / self.num_batches_tracked if self.momentum is None else self.momentum
        self.running_mean = (1 - weight) * self.running_mean + weight * mean
        self.running_var = (1 - weight) * self.running_var + weight * var * m / (m - 1)
        return self.normalized(x, mean, var)

    def normalized(self, x, mean, var):
        self.s = np.sqrt(var + self.eps)
        self.x_hat = (x - mean) / self.s
        return self.gamma * self.x_hat + self.beta

    def backward(self, dy):
        self.dgamma, self.dbeta = (dy * self.x_hat).sum(axis=0), dy.sum(axis=0)
        if not self.training:
            return dy * self.gamma / self.s
        share = self.x_hat * (dy * self.x_hat).mean(axis=0)
        return self.gamma / self.s * (dy - dy.mean(axis=0) - share)

    def train(self):
        self.training = True

    def eval(self):
        self.training = False


def life(layer_class, first, second, dy, eps, momentum):
    layer = layer_class(first.shape[1], eps=eps, momentum=momentum)
    yield "the running mean of a new layer", layer.running_mean
    layer.gamma, layer.beta = layer.gamma * 2, layer.beta - 1
    yield "the output of the first batch", layer(first)
    yield "the gradient of the first batch", layer.backward(dy)
    yield "the running mean after one batch", layer.running_mean
    yield "the running variance after one batch", layer.running_var
    layer(second)
    yield "the running mean after two batches", layer.running_mean
    layer.eval()
    yield "the output in inference mode", layer(second[:1])
    yield "the running mean after inference", layer.running_mean
    layer.train()
    yield "the output back in training mode", layer(second)
    average = layer_class(first.shape[1], momentum=None)
    average(first), average(second)
    yield "the running mean with momentum=None", average.running_mean


def two_batches(rng):
    first, second = (rng.normal(rng.normal(size=3), 2, size=(m, 3)) for m in (7, 11))
    return first, second, rng.normal(size=(7, 3)), rng.uniform(0.05, 0.2), rng.uniform(0.1, 0.35)


LAYER = ClassExercise(
    id="98.3", title="The layer", solution=BatchNorm, scenario=life, inputs=two_batches, hint="h"
)


class Biased(BatchNorm):
    def __call__(self, x):
        m = len(x)
        old, first = self.running_var, self.num_batches_tracked
        y = super().__call__(x)
        if self.num_batches_tracked > first and self.momentum:
            self.running_var = (1 - self.momentum) * old + self.momentum * x.var(axis=0)
        return y + 0 * m


class AlwaysTraining(BatchNorm):
    def eval(self):
        pass


class StaysInEval(BatchNorm):
    def train(self):
        pass


class LearnsInEval(BatchNorm):
    def __call__(self, x):
        y = super().__call__(x)
        if not self.training:
            self.running_mean = self.running_mean + 0.1 * x.mean(axis=0)
        return y


class NoMomentumNone(BatchNorm):
    def __call__(self, x):
        weight = 1 - self.momentum
        return weight * super().__call__(x) / weight


class EpsWrittenIn(BatchNorm):
    def __init__(self, num_features, eps=1e-5, momentum=0.1):
        super().__init__(num_features, 1e-5, momentum)


class Keras(BatchNorm):
    def __init__(self, num_features, eps=1e-5, momentum=0.1):
        super().__init__(num_features, eps, None if momentum is None else 1 - momentum)


class NoRunning(BatchNorm):
    def __init__(self, num_features, eps=1e-5, momentum=0.1):
        super().__init__(num_features, eps, momentum)
        del self.running_mean


class Constants(BatchNorm):
    def backward(self, dy):
        return self.gamma / self.s * dy


class NothingYet:
    def __init__(self, num_features, eps=1e-5, momentum=0.1): ...

    def __call__(self, x):
        raise NotImplementedError


LIVES = {
    Biased: "The first 4 steps are right. You take in the biased variance",
    AlwaysTraining: "The output in inference mode",
    StaysInEval: "The output back in training mode",
    LearnsInEval: "The running mean after inference",
    NoMomentumNone: "on the way to the running mean with momentum=None, with `TypeError",
    EpsWrittenIn: "`eps`",
    Keras: "Your `momentum` weighs the old value",
    NoRunning: "stopped at the first step with `AttributeError",
    Constants: "the gradient of the first batch",
}


def test_class_that_is_right_passes():
    for seed in range(3):
        assert says(LAYER, BatchNorm, seed).passed


def test_class_like_torch_passes():
    class OfTorch(torch.nn.BatchNorm1d):
        def __init__(self, num_features, eps=1e-5, momentum=0.1):
            super().__init__(num_features, eps, momentum, dtype=torch.float64)

        gamma = property(lambda self: self.weight.detach().numpy())
        beta = property(lambda self: self.bias.detach().numpy())

        @gamma.setter
        def gamma(self, value):
            self.weight.data = torch.tensor(value)

        @beta.setter
        def beta(self, value):
            self.bias.data = torch.tensor(value)

        def forward(self, x):
            self.x = torch.tensor(x, requires_grad=True)
            self.y = super().forward(self.x)
            return self.y

        def backward(self, dy):
            self.y.backward(torch.tensor(dy))
            return self.x.grad

    assert says(LAYER, OfTorch).passed


@pytest.mark.parametrize(
    ("answer", "words"), LIVES.items(), ids=lambda v: getattr(v, "__name__", "")
)
def test_first_wrong_step_of_a_class_is_named(answer, words):
    verdict = says(LAYER, answer)
    assert verdict.status == "not yet"
    assert words.lower() in verdict.text.lower(), verdict.text


def test_class_that_is_a_stub_is_not_attempted():
    assert says(LAYER, NothingYet).status == "not attempted"


@pytest.mark.parametrize("answer", [BatchNorm(3), 3, dots, "x", dict, None], ids=range(6))
def test_what_is_no_such_class_gets_a_kind_verdict(answer):
    assert says(LAYER, answer).status in ("not yet", "not attempted")


# torch: a Function and a Module


class OwnFunction(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, gamma, beta, eps):
        s = (x.var(dim=0, correction=0) + eps).sqrt()
        x_hat = (x - x.mean(dim=0)) / s
        ctx.save_for_backward(x_hat, gamma / s)
        return gamma * x_hat + beta

    @staticmethod
    def backward(ctx, dy):
        x_hat, slope = ctx.saved_tensors
        share = x_hat * (dy * x_hat).mean(dim=0)
        return slope * (dy - dy.mean(dim=0) - share), (dy * x_hat).sum(dim=0), dy.sum(dim=0), None


class OneTermMissing(OwnFunction):
    @staticmethod
    def backward(ctx, dy):
        x_hat, slope = ctx.saved_tensors
        return slope * (dy - dy.mean(dim=0)), (dy * x_hat).sum(dim=0), dy.sum(dim=0), None


class NoFunctionYet(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, gamma, beta, eps): ...


def applied(function, x, gamma, beta, dy, eps):
    given = [v.clone().requires_grad_() for v in (x, gamma, beta)]
    y = function.apply(*given, eps)
    yield "the output", y
    y.backward(dy)
    yield "dx", given[0].grad
    yield "dgamma", given[1].grad
    right = torch.autograd.gradcheck(function.apply, (*given, eps), raise_exception=False)
    yield "gradcheck's answer", right


def tensors(rng):
    x, gamma, beta, dy = (torch.tensor(rng.normal(size=n)) for n in ((7, 3), 3, 3, (7, 3)))
    return x, gamma, beta, dy, 0.1


FUNCTION = ClassExercise(
    id="98.5", title="A Function", solution=OwnFunction, scenario=applied, inputs=tensors, hint="h"
)


class OwnModule(torch.nn.Module):
    def __init__(self, num_features, eps=1e-5):
        super().__init__()
        self.eps = eps
        self.weight = torch.nn.Parameter(torch.ones(num_features))
        self.bias = torch.nn.Parameter(torch.zeros(num_features))
        self.register_buffer("running_mean", torch.zeros(num_features))
        self.register_buffer("running_var", torch.ones(num_features))
        self.register_buffer("num_batches_tracked", torch.tensor(0))

    def forward(self, x):
        return OwnFunction.apply(x, self.weight, self.bias, self.eps)


class NoBuffer(OwnModule):
    def __init__(self, num_features, eps=1e-5):
        super().__init__(num_features, eps)
        del self.num_batches_tracked
        self.num_batches_tracked = 0


def loaded(module, x):
    own, theirs = module(3), torch.nn.BatchNorm1d(3)
    yield "the names in its state_dict", sorted(own.state_dict())
    theirs.load_state_dict(own.state_dict())
    own.load_state_dict(theirs.state_dict())
    yield "the output after loading", own(x)


MODULE = ClassExercise(
    id="98.6", title="A Module", solution=OwnModule, scenario=loaded, hint="h",
    inputs=lambda rng: (torch.tensor(rng.normal(size=(7, 3)), dtype=torch.float32),),
)  # fmt: skip


def test_torch_classes_pass_and_fail_at_the_step_that_differs():
    assert says(FUNCTION, OwnFunction).passed
    text = says(FUNCTION, OneTermMissing).text
    assert text == "The output is right. What the solution calls `share` is not subtracted."
    assert says(FUNCTION, NoFunctionYet).status == "not attempted"
    assert says(MODULE, OwnModule).passed
    text = says(MODULE, NoBuffer).text
    assert text == "The names in its state_dict: `num_batches_tracked` is missing."


def test_prints_of_an_answer_are_shown_once(capsys):
    def answer(x, eps):
        print("here")
        return normalize(x, eps)

    assert says(CLASSIC["normalize"], answer).passed
    assert capsys.readouterr().out == "here\n"


# ── tests that a learner writes ─────────────────────────────────────────────────────────────────


def has_mean_0_and_variance_1(layer):
    x = np.random.default_rng(0).normal(5, 3, size=(50, 2))
    y = layer(x)
    return np.allclose(y.mean(axis=0), 0, atol=1e-5) and np.allclose(y.var(axis=0), 1, atol=1e-3)


def unbiased_layer(x):
    return (x - x.mean(axis=0)) / x.std(axis=0, ddof=1)


def whole_table(x):
    return (x - x.mean()) / x.std()


TEST = TestExercise(
    id="98.4",
    title="Write the test",
    hint="h",
    solution=has_mean_0_and_variance_1,
    right={
        "with ε": lambda x: normalize(x, 1e-5),
        "in float32": lambda x: normalize(x.astype(np.float32), np.float32(1e-5)),
    },
    wrong=[
        WrongTurn("m − 1", unbiased_layer, "One that divides by $m-1$ slips through."),
        WrongTurn("one mean", whole_table, "One with one mean for all features slips through."),
    ],
)


def asserting(layer):
    y = layer(np.random.default_rng(0).normal(5, 3, size=(50, 2)))
    assert abs(y.mean(axis=0)).max() < 1e-4
    assert abs(y.var(axis=0) - 1).max() < 1e-3


def unlucky(layer, calls=[]):  # noqa: B006
    calls.append(1)
    return has_mean_0_and_variance_1(layer) or len(calls) % 3 == 0


TESTED = {
    "exact": (lambda layer: bool((layer(np.eye(4)).var(axis=0) == 1).all()), "False alarm"),
    "only the mean": (
        lambda layer: np.allclose(layer(np.eye(4)).mean(axis=0), 0, atol=1e-6),
        "One that divides by $m-1$ slips through. (Your test catches 0 of 2.)",
    ),
    "always": (lambda layer: True, "divides by $m-1$ slips through"),
    "luck": (unlucky, "slips through"),
    "number": (lambda layer: 3, "returns 3; it should return True or False"),
    "nothing": (lambda layer: print(end=""), "returns None; it should"),
    "stops": (lambda layer: layer(3, 4, 5), "stopped with `TypeError"),
    "no test": (has_mean_0_and_variance_1(whole_table), "wants your function itself"),
    "no argument": (lambda: True, "cannot take these arguments"),
}  # fmt: skip


@pytest.mark.parametrize("test", [has_mean_0_and_variance_1, asserting])
def test_test_that_tells_right_from_wrong_passes(test):
    assert says(TEST, test).passed


@pytest.mark.parametrize(("test", "words"), TESTED.values(), ids=list(TESTED))
def test_test_that_does_not_is_told_why(test, words):
    verdict = says(TEST, test)
    assert verdict.status == "not yet"
    assert words in verdict.text


@pytest.mark.parametrize("test", [dots, hole, None])
def test_test_not_written_is_not_attempted(test):
    assert says(TEST, test).status == "not attempted"
