"""Exercises and quiz of notebook 14, when it fails."""

import torch

import bnlib.torch as bt
from bnlib.course.kit.exercises import (
    FunctionExercise,
    PredictionExercise,
    TestExercise,
    WrongTurn,
)
from bnlib.course.kit.quiz import Question

# ── 14.1 ────────────────────────────────────────────────────────────────────────────────────────


def normalize_over(x, axes, eps, centred):
    mu = x.mean(axes, keepdim=True) if centred else 0.0
    c = x - mu
    mean_square = (c**2).mean(axes, keepdim=True)
    return c / (mean_square + eps) ** 0.5


def _by_var(x, axes, eps, centred):
    if not centred:
        return x * torch.rsqrt(x.square().mean(axes, keepdim=True) + eps)
    var, mean = torch.var_mean(x, axes, correction=0, keepdim=True)
    return (x - mean) / (var + eps).sqrt()


def _block_and_axes(rng):
    """(5, 3, 2, 4) with a mean of its own for each image and channel; axes; ε; centred or not."""
    x = rng.normal(size=(5, 3, 2, 4)) + rng.normal(size=(5, 3, 1, 1)) + 1
    axes = [(0, 2, 3), (1, 2, 3), (2, 3)][rng.integers(3)]
    return torch.tensor(x), axes, rng.uniform(0.05, 0.2), bool(rng.integers(2))


def _always_centred(x, axes, eps, centred):
    return normalize_over(x, axes, eps, True)


def _never_centred(x, axes, eps, centred):
    return normalize_over(x, axes, eps, False)


def _variance_either_way(x, axes, eps, centred):
    c = x - x.mean(axes, keepdim=True) if centred else x
    return c / (x.var(axes, correction=0, keepdim=True) + eps) ** 0.5


def _by_m_minus_1(x, axes, eps, centred):
    if not centred:
        return normalize_over(x, axes, eps, False)
    return (x - x.mean(axes, keepdim=True)) / (x.var(axes, keepdim=True) + eps) ** 0.5


def _variance_by_m_minus_1(x, axes, eps, centred):
    c = x - x.mean(axes, keepdim=True) if centred else x
    return c / (x.var(axes, keepdim=True) + eps) ** 0.5


def _root_of_the_sum(x, axes, eps, centred):
    c = x - x.mean(axes, keepdim=True) if centred else x
    return c / ((c**2).sum(axes, keepdim=True) + eps) ** 0.5


# ── 14.2 ────────────────────────────────────────────────────────────────────────────────────────


def group_norm(x, groups, gamma, beta, eps):
    N, C, H, W = x.shape
    parts = x.reshape(N, groups, C // groups, H, W)
    c = parts - parts.mean((2, 3, 4), keepdim=True)
    var = (c**2).mean((2, 3, 4), keepdim=True)
    x_hat = (c / (var + eps) ** 0.5).reshape(N, C, H, W)
    return gamma.view(C, 1, 1) * x_hat + beta.view(C, 1, 1)


def _group_norm_by_rows(x, groups, gamma, beta, eps):
    rows = x.reshape(len(x) * groups, -1)
    rows = (rows - rows.mean(1, keepdim=True)) / (
        rows.var(1, correction=0, keepdim=True) + eps
    ) ** 0.5
    return rows.reshape(x.shape) * gamma[None, :, None, None] + beta[None, :, None, None]


def _images_in_groups(rng):
    """(5, 6, 4, 7) whose images and channels all differ, two or three groups, γ ≠ 1, β ≠ 0, ε."""
    x = rng.normal(size=(5, 6, 4, 7)) * rng.uniform(0.5, 2, size=(5, 6, 1, 1))
    x += rng.uniform(-2, 2, size=(5, 6, 1, 1))
    gamma = rng.uniform(0.5, 2, size=6) * rng.choice([-1, 1], size=6)
    beta = rng.uniform(-1, 1, size=6)
    groups = int(rng.integers(2, 4))
    return torch.tensor(x), groups, torch.tensor(gamma), torch.tensor(beta), rng.uniform(0.05, 0.2)


def _interleaved(x, groups, gamma, beta, eps):
    N, C, H, W = x.shape
    parts = x.reshape(N, C // groups, groups, H, W)
    c = parts - parts.mean((1, 3, 4), keepdim=True)
    x_hat = c / ((c**2).mean((1, 3, 4), keepdim=True) + eps) ** 0.5
    return gamma.view(C, 1, 1) * x_hat.reshape(x.shape) + beta.view(C, 1, 1)


def _over_the_batch_too(x, groups, gamma, beta, eps):
    N, C, H, W = x.shape
    parts = x.reshape(N, groups, C // groups, H, W)
    c = parts - parts.mean((0, 2, 3, 4), keepdim=True)
    x_hat = c / ((c**2).mean((0, 2, 3, 4), keepdim=True) + eps) ** 0.5
    return gamma.view(C, 1, 1) * x_hat.reshape(x.shape) + beta.view(C, 1, 1)


def _each_channel(x, groups, gamma, beta, eps):
    return group_norm(x, x.shape[1], gamma, beta, eps)


def _all_channels(x, groups, gamma, beta, eps):
    return group_norm(x, 1, gamma, beta, eps)


def _groups_of_that_size(x, groups, gamma, beta, eps):
    return group_norm(x, x.shape[1] // groups, gamma, beta, eps)


def _places_apart(x, groups, gamma, beta, eps):
    N, C, H, W = x.shape
    parts = x.reshape(N, groups, C // groups, H, W)
    c = parts - parts.mean(2, keepdim=True)
    x_hat = c / ((c**2).mean(2, keepdim=True) + eps) ** 0.5
    return gamma.view(C, 1, 1) * x_hat.reshape(x.shape) + beta.view(C, 1, 1)


# ── 14.4 ────────────────────────────────────────────────────────────────────────────────────────


def r_and_d(x, running_mean, running_var, r_max, d_max, eps):
    sigma_B = (x.var(0, correction=0) + eps) ** 0.5
    sigma = (running_var + eps) ** 0.5
    r = sigma_B / sigma
    d = (x.mean(0) - running_mean) / sigma
    return r.clamp(1 / r_max, r_max), d.clamp(-d_max, d_max)


def _rows_and_running(rng):
    """(m, 4) rows whose statistics lie inside, above and below the bounds; running ones; bounds."""
    m = int(rng.integers(6, 10))
    x = rng.normal(size=(m, 4)) * [0.2, 1.0, 2.0, 6.0] + [4.0, 0.3, -0.3, -9.0]
    mean, var = rng.normal(size=4) * 0.3, rng.uniform(0.7, 1.5, size=4)
    bounds = rng.uniform(1.8, 2.5), rng.uniform(1.5, 2.5)
    return torch.tensor(x), torch.tensor(mean), torch.tensor(var), *bounds, rng.uniform(0.05, 0.2)


def _turned(x, running_mean, running_var, r_max, d_max, eps):
    r, d = r_and_d(x, running_mean, running_var, r_max, d_max, eps)
    return 1 / r, d


def _d_over_the_batchs(x, running_mean, running_var, r_max, d_max, eps):
    sigma_B = (x.var(0, correction=0) + eps) ** 0.5
    r, _ = r_and_d(x, running_mean, running_var, r_max, d_max, eps)
    return r, ((x.mean(0) - running_mean) / sigma_B).clamp(-d_max, d_max)


def _d_not_divided(x, running_mean, running_var, r_max, d_max, eps):
    r, _ = r_and_d(x, running_mean, running_var, r_max, d_max, eps)
    return r, (x.mean(0) - running_mean).clamp(-d_max, d_max)


def _d_turned(x, running_mean, running_var, r_max, d_max, eps):
    r, d = r_and_d(x, running_mean, running_var, r_max, d_max, eps)
    return r, -d


def _upper_bound_alone(x, running_mean, running_var, r_max, d_max, eps):
    r, d = r_and_d(x, running_mean, running_var, 1e9, 1e9, eps)
    return r.clamp(0, r_max), d.clamp(-d_max, d_max)


def _d_upper_bound_alone(x, running_mean, running_var, r_max, d_max, eps):
    r, d = r_and_d(x, running_mean, running_var, r_max, 1e9, eps)
    return r, d.clamp(max=d_max)


def _not_bounded(x, running_mean, running_var, r_max, d_max, eps):
    return r_and_d(x, running_mean, running_var, 1e9, 1e9, eps)


def _variances(x, running_mean, running_var, r_max, d_max, eps):
    var_B, var = x.var(0, correction=0) + eps, running_var + eps
    r, d = var_B / var, (x.mean(0) - running_mean) / var
    return r.clamp(1 / r_max, r_max), d.clamp(-d_max, d_max)


# ── 14.5 ────────────────────────────────────────────────────────────────────────────────────────


def sees_only_its_past(layer):
    x = torch.randn(4, 6, 5)
    changed = x.clone()
    changed[0, 3:] = torch.randn(3, 5)  # what the first sequence has yet to see
    changed[1:] = torch.randn(3, 6, 5)  # all other sequences
    return torch.allclose(layer(changed)[0, :3], layer(x)[0, :3], atol=1e-5)


class _OverSequencesAndSteps(torch.nn.Module):
    """Batch norm over (N, T): one mean per feature."""

    def __init__(self):
        super().__init__()
        self.norm = bt.BatchNorm1d(5)

    def forward(self, x):
        return self.norm(x.transpose(1, 2)).transpose(1, 2)


class _PerStep(torch.nn.Module):
    """A batch norm for each step: it meets the other sequences, at the same step only."""

    def __init__(self):
        super().__init__()
        self.norms = torch.nn.ModuleList([bt.BatchNorm1d(5) for _ in range(6)])

    def forward(self, x):
        return torch.stack([norm(x[:, t]) for t, norm in enumerate(self.norms)], 1)


class _OverSteps(torch.nn.Module):
    """Over the steps of one sequence: it meets that sequence's future only."""

    def forward(self, x):
        return normalize_over(x, (1,), 1e-5, True)


class _OverStepsAndFeatures(torch.nn.Module):
    def forward(self, x):
        return normalize_over(x, (1, 2), 1e-5, True)


class _SoFar(torch.nn.Module):
    """Over the steps so far and all features."""

    def forward(self, x):
        count = torch.arange(1, x.shape[1] + 1).view(-1, 1)
        mean_square = x.square().mean(2, keepdim=True).cumsum(1) / count
        return x / (mean_square + 1e-5) ** 0.5


def _scaled(layer):
    """γ and β away from 1 and 0."""
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter += torch.linspace(-0.4, 0.4, len(parameter))
    return layer


def _future_alone(layer):
    x = torch.randn(4, 6, 5)
    changed = x.clone()
    changed[0, 3:] += 1 + torch.rand(3, 5)
    return torch.allclose(layer(changed)[0, :3], layer(x)[0, :3], atol=1e-5)


def _others_alone(layer):
    x = torch.randn(4, 6, 5)
    changed = x.clone()
    changed[1:] += 1 + torch.rand(3, 6, 5)
    return torch.allclose(layer(changed)[0], layer(x)[0], atol=1e-5)


EXERCISES = [
    FunctionExercise(
        id="14.1",
        title="One function for all of them",
        keeps="normalize_over",
        solution=normalize_over,
        inputs=_block_and_axes,
        variants=(_by_var,),
        hint=(
            "Take the mean over `axes` off first, or nothing. Then divide by the root of the mean "
            "of the squares *of what is left*, over the same axes.",
            "`x.mean(axes, keepdim=True)` keeps the averaged axes with size 1, so that the result "
            "can be subtracted from `x`, whichever axes they are.",
            "After the subtraction, the mean of the squares is the variance where you have "
            "centred, and the mean square where you have not. One formula serves both.",
        ),
        praise="Five norms in one function: they differ in `axes` and in `centred`.",
        wrong_turns=[
            WrongTurn(
                "always centred",
                _always_centred,
                "You take the mean off in both cases. With `centred=False` nothing is taken off.",
            ),
            WrongTurn(
                "never centred",
                _never_centred,
                "With `centred=True` the mean over `axes` has to come off first.",
            ),
            WrongTurn(
                "variance either way",
                _variance_either_way,
                "With `centred=False` you divide by the deviation, which takes the mean off inside "
                "the root. RMS divides by the root of the mean square.",
            ),
            WrongTurn(
                "divided by m − 1",
                _by_m_minus_1,
                "Your variance divides by $m-1$, as `x.var()` does; norms divide by $m$.",
            ),
            WrongTurn(
                "variance by m − 1 either way",
                _variance_by_m_minus_1,
                "`x.var()` takes the mean off inside the root, also with `centred=False`, and it "
                "divides by $m-1$. Take the mean of the squares of what you divide.",
            ),
            WrongTurn(
                "root of the sum",
                _root_of_the_sum,
                "You divide by the root of the *sum* of the squares. It is their mean.",
            ),
        ],
    ),
    FunctionExercise(
        id="14.2",
        title="Group normalization",
        keeps="group_norm",
        solution=group_norm,
        inputs=_images_in_groups,
        variants=(_group_norm_by_rows,),
        hint=(
            "Give the channels two axes: which group, and which channel of the group. Channels of "
            "a group lie side by side.",
            "`x.reshape(N, groups, C // groups, H, W)`. Which three axes share a mean now?",
            "Bring the result back to $(N, C, H, W)$ *before* $\\gamma$ and $\\beta$, which are "
            "one a channel: `gamma.view(C, 1, 1)`.",
        ),
        praise="No mean in it runs over the batch: a batch of one gives the same as a batch of 60.",
        wrong_turns=[
            WrongTurn(
                "interleaved",
                _interleaved,
                "Your groups take every second or third channel. Channels of a group lie side by "
                "side: the axis of the groups comes first, `(N, groups, C // groups, H, W)`.",
            ),
            WrongTurn(
                "over the batch",
                _over_the_batch_too,
                "Your mean runs over the images, too. Each image has its own.",
            ),
            WrongTurn(
                "instance normalization",
                _each_channel,
                "You normalize each channel alone: that is instance normalization.",
            ),
            WrongTurn(
                "layer normalization",
                _all_channels,
                "You normalize all channels of an image together: that is one group.",
            ),
            WrongTurn(
                "groups of that size",
                _groups_of_that_size,
                "You make groups of `groups` channels. `groups` says how many groups there are.",
            ),
            WrongTurn(
                "places apart",
                _places_apart,
                "You have one mean per place. All places of the group's channels share one.",
            ),
        ],
    ),
    PredictionExercise(
        id="14.3",
        title="Batches of two",
        choices=("nowhere", "in the MLP", "in the conv net", "in both"),
        hint="What is m in each of the two nets, layer by layer, when a batch has two digits?",
        praise="m is what counts. Two digits are m = 2 in the MLP; in the convolutional net they "
        "are 392 values in the first layer and still 32 in the last.",
        note="In the MLP a batch of two gives m = 2, and x̂ is a sign. In the convolutional net "
        "m = N·H·W: 392 in the first layer, 32 in the last.",
        wrong_turns=[
            WrongTurn("nowhere", "nowhere", "With m = 2 every x̂ is +1 or −1: look at the MLP."),
            WrongTurn(
                "conv net",
                "in the conv net",
                "There m is N·H·W, and never below 32. The MLP has nothing but the two digits.",
            ),
            WrongTurn(
                "both",
                "in both",
                "In the MLP, yes. In the convolutional net m is N·H·W: 32 and more. (In the paper, "
                "whose training is much longer, it is a convolutional net that falls behind.)",
            ),
        ],
    ),
    FunctionExercise(
        id="14.4",
        title="r and d of batch renormalization",
        keeps="r_and_d",
        solution=r_and_d,
        inputs=_rows_and_running,
        returns=("r", "d"),
        axes=("example", "feature"),
        hint=(
            "Set $\\hat x\\, r + d$ equal to $(x - \\text{running mean})/\\sigma$, put "
            "$x = \\sigma_B \\hat x + \\mu_B$ in, and read off what stands at $\\hat x$, and the "
            "rest.",
            "$r = \\sigma_B/\\sigma$, with $\\varepsilon$ under both roots; $d$ is the distance "
            "of the two means in units of which deviation?",
            "A factor's bounds are $1/r_{max}$ and $r_{max}$, a shift's are $-d_{max}$ and "
            "$d_{max}$: `clamp(low, high)`.",
        ),
        praise="Inside the bounds, training now gives what evaluation will give.",
        wrong_turns=[
            WrongTurn(
                "r inverted",
                _turned,
                "Your r is upside down: $\\hat x$ was divided by the batch's deviation, so r "
                "multiplies by it and divides by the running one.",
            ),
            WrongTurn(
                "d over the batch's deviation",
                _d_over_the_batchs,
                "Your d is in units of the batch's deviation. What comes after it is in units of "
                "the running one.",
            ),
            WrongTurn(
                "d not divided",
                _d_not_divided,
                "Your d has the units of x. Divide it by the running deviation.",
            ),
            WrongTurn(
                "d turned",
                _d_turned,
                "Your d has the wrong sign: a batch whose mean lies above the running one was "
                "moved down too far, and d lifts it.",
            ),
            WrongTurn(
                "r without a lower bound",
                _upper_bound_alone,
                "Your r has no lower bound: it is kept between $1/r_{max}$ and $r_{max}$.",
            ),
            WrongTurn(
                "d without a lower bound",
                _d_upper_bound_alone,
                "Your d has no lower bound: it is kept between $-d_{max}$ and $d_{max}$.",
            ),
            WrongTurn("not bounded", _not_bounded, "r and d are right, but they are not bounded."),
            WrongTurn(
                "variances",
                _variances,
                "You use variances where deviations are meant: take the roots.",
            ),
        ],
    ),
    TestExercise(
        id="14.5",
        title="A test for leaks",
        keeps="sees_only_its_past",
        solution=sees_only_its_past,
        right={
            "torch.nn.LayerNorm": _scaled(torch.nn.LayerNorm(5)),
            "torch.nn.RMSNorm": _scaled(torch.nn.RMSNorm(5)),
            "a norm over the steps so far": _SoFar(),
            "a Linear layer": _scaled(torch.nn.Linear(5, 5)),
        },
        wrong=[
            WrongTurn(
                "over sequences and steps",
                _OverSequencesAndSteps(),
                "Batch normalization over sequences and steps slips through. Change what a step "
                "must not see, and look whether its output stays.",
            ),
            WrongTurn(
                "per step",
                _PerStep(),
                "A batch norm with statistics for each step slips through. Do you change the other "
                "sequences, too?",
            ),
            WrongTurn(
                "over the steps",
                _OverSteps(),
                "A norm over all steps of one sequence slips through. Do you change the same "
                "sequence's later steps, and look at the earlier ones?",
            ),
            WrongTurn(
                "over steps and features",
                _OverStepsAndFeatures(),
                "Layer normalization over steps *and* features slips through: its mean holds the "
                "sequence's future.",
            ),
        ],
        hint=(
            "What may the output at step 2 of sequence 0 depend on? Change everything else.",
            "Clone the input; replace sequence 0 from step 3 on, and all other sequences, by new "
            "random numbers. What must be equal then?",
            "`torch.allclose(layer(changed)[0, :3], layer(x)[0, :3], atol=1e-5)`.",
        ),
        praise="A few lines, no data, and it would have found the leak before any training.",
    ),
]

QUIZ = [
    Question(
        "Which of these layers gives the same output for a batch of 1 as for a batch of 60, in "
        "training mode?",
        {
            "BatchNorm2d": "Its means run over the batch.",
            "GroupNorm": "Its means run inside one image.",
            "batch renormalization": "Its bounds and its gradient still see the batch.",
        },
        correct=1,
    ),
    Question(
        "The camera is new and the images are darker. You have five hundred of them without "
        "labels. Your net has BN. First you try to …",
        {
            "recompute its statistics on them": "It takes seconds, no labels and no gradients; "
            "then measure.",
            "train it again": "Perhaps later: it takes labels and time.",
            "replace BN by GN in the trained net": "Its weights were learned with BN's numbers; "
            "they do not fit.",
        },
        correct=0,
    ),
    Question(
        "The same, but the five hundred images came in on the day of the zeros: all of one class. "
        "Then recomputing …",
        {
            "is as good": "The statistics would hold that class's values in place of all classes'.",
            "costs many points": "It takes off what the class has in common, which is what was to "
            "be recognized.",
            "changes nothing": "It changes every mean and variance.",
        },
        correct=1,
    ),
    Question(
        "A language model that writes one word after the other cannot use BN over its "
        "tokens in training because …",
        {
            "a token's output would depend on later tokens": "Their values are in the mean: the "
            "future leaks into training, and is missing when the model writes.",
            "its batches are too small": "They often hold thousands of tokens.",
            "ReLU does not fit": "Activations have nothing to do with it.",
        },
        correct=0,
    ),
    Question(
        "You convert a trained net from BN to GN for training with private data. Why?",
        {
            "GN is more accurate": "Here it is not.",
            "Each example must have a gradient of its own": "With BN an example changes the "
            "gradients of all others in its batch, and no bound on its own holds.",
            "BN needs labels": "It needs none.",
        },
        correct=1,
    ),
]
