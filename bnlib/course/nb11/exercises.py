"""Exercises and quiz of notebook 11, shipping it."""

import numpy as np
import torch

import bnlib.torch as bt
from bnlib.course.kit.exercises import (
    FunctionExercise,
    PredictionExercise,
    TestExercise,
    ValueExercise,
    WrongTurn,
)
from bnlib.course.kit.quiz import Question

# ── 11.1 ────────────────────────────────────────────────────────────────────────────────────────


def fold_conv(weight, bias, gamma, beta, mean, var, eps):
    a = gamma / (var + eps) ** 0.5  # (K,): one slope for each output channel
    if bias is None:
        bias = 0 * mean
    return weight * a.reshape(-1, 1, 1, 1), a * (bias - mean) + beta


def _fold_in_one(weight, bias, gamma, beta, mean, var, eps):
    a = gamma / torch.sqrt(var + eps)
    b = beta - a * mean
    new_bias = b if bias is None else b + a * bias
    return torch.einsum("kcij,k->kcij", weight, a), new_bias


def _conv_and_norm(rng):
    """A convolution of 6 channels and the statistics behind it; with a bias or without."""
    weight = rng.normal(size=(6, 2, 3, 5))
    bias = torch.tensor(rng.normal(size=6)) if rng.random() < 0.5 else None
    gamma = rng.uniform(0.5, 2, size=6) * np.where(rng.random(6) < 0.5, -1, 1)
    beta, mean, var = rng.normal(size=6), rng.normal(size=6), rng.uniform(0.2, 3, size=6)
    tensors = [torch.tensor(v) for v in (weight, gamma, beta, mean, var)]
    return tensors[0], bias, *tensors[1:], rng.uniform(0.05, 0.2)


def _zero(bias, like):
    return 0 * like if bias is None else bias


def _on_the_input_channels(weight, bias, gamma, beta, mean, var, eps):
    a = gamma / (var + eps) ** 0.5
    few = a[: weight.shape[1]].reshape(1, -1, 1, 1)
    return weight * few, a * (_zero(bias, mean) - mean) + beta


def _bias_not_scaled(weight, bias, gamma, beta, mean, var, eps):
    a = gamma / (var + eps) ** 0.5
    return weight * a.reshape(-1, 1, 1, 1), _zero(bias, mean) + beta - a * mean


def _bias_dropped(weight, bias, gamma, beta, mean, var, eps):
    a = gamma / (var + eps) ** 0.5
    return weight * a.reshape(-1, 1, 1, 1), beta - a * mean


def _mean_not_scaled(weight, bias, gamma, beta, mean, var, eps):
    a = gamma / (var + eps) ** 0.5
    return weight * a.reshape(-1, 1, 1, 1), a * _zero(bias, mean) - mean + beta


def _eps_forgotten(weight, bias, gamma, beta, mean, var, eps):
    return fold_conv(weight, bias, gamma, beta, mean, var, 0.0)


def _eps_outside(weight, bias, gamma, beta, mean, var, eps):
    a = gamma / (var**0.5 + eps)
    return weight * a.reshape(-1, 1, 1, 1), a * (_zero(bias, mean) - mean) + beta


def _variance(weight, bias, gamma, beta, mean, var, eps):
    a = gamma / (var + eps)
    return weight * a.reshape(-1, 1, 1, 1), a * (_zero(bias, mean) - mean) + beta


# ── 11.3 ────────────────────────────────────────────────────────────────────────────────────────


def answers_alone(run):
    x = torch.randn(8, 3, 6, 5)
    return torch.allclose(run(x)[:1], run(x[:1]), atol=1e-4)


class _Net(torch.nn.Module):
    """Convolution, batch norm, ReLU, batch norm, mean over the places, Linear."""

    def __init__(self, norm=torch.nn.BatchNorm2d):
        super().__init__()
        self.conv, self.one = torch.nn.Conv2d(3, 6, 3), norm(6)
        self.other, self.last = norm(6), torch.nn.Linear(6, 4)
        with torch.no_grad():
            for number, tensor in enumerate([*self.parameters(), *self.buffers()]):
                if tensor.is_floating_point():
                    draw = torch.Generator().manual_seed(number)
                    tensor.copy_(0.5 + torch.rand(tensor.shape, generator=draw))
                    if tensor.ndim > 1:
                        tensor -= 1

    def forward(self, x):
        x = torch.relu(self.one(self.conv(x)))
        return self.last(self.other(x).mean((2, 3)))


def _running(change=lambda net: None, seen=lambda x: x, norm=torch.nn.BatchNorm2d):
    """A file that was exported from a net after a change: a function of images alone."""
    net = _Net(norm).eval()
    change(net)

    @torch.no_grad()
    def run(x):
        return net(seen(torch.as_tensor(x, dtype=torch.float32)))

    return run


def _train(net):
    net.train()
    for layer in (net.one, net.other):
        layer.momentum = 0.0


def _train_last(net):
    net.other.train()
    net.other.momentum = 0.0


def _mean_of_the_batch(net):
    def forward(x):
        layer = net.one
        mean = x.mean((0, 2, 3))
        y = (x - mean.view(-1, 1, 1)) / (layer.running_var + layer.eps).view(-1, 1, 1) ** 0.5
        return layer.weight.view(-1, 1, 1) * y + layer.bias.view(-1, 1, 1)

    net.one.forward = forward


def _standardized(x):
    """Inputs that are standardized with the batch's own statistics before the net sees them."""
    return (x - x.mean()) / (x.std() + 1e-5)


def _asks_twice(run):
    x = torch.randn(8, 3, 6, 5)
    return torch.allclose(run(x), run(x))


def _other_order(run):
    x = torch.randn(8, 3, 6, 5)
    return torch.allclose(run(x).flip(0), run(x.flip(0)), atol=1e-4)


def _equal_rows(run):
    x = torch.randn(1, 3, 6, 5).repeat(8, 1, 1, 1)
    return torch.allclose(run(x)[:1], run(x[:1]), atol=1e-4)


def _same_class(run):
    x = torch.randn(8, 3, 6, 5)
    return bool((run(x)[:1].argmax(1) == run(x[:1]).argmax(1)).all())


# ── 11.4 ────────────────────────────────────────────────────────────────────────────────────────


def to_int8(weight):
    scale = weight.abs().amax(dim=(1, 2, 3)) / 127  # (K,): one for each output channel
    scale = torch.where(scale == 0, 1, scale)  # a channel of zeros
    codes = (weight / scale.reshape(-1, 1, 1, 1)).round()
    return codes.to(torch.int8), scale


def _int8_by_rows(weight):
    rows = weight.flatten(1)
    scale = rows.abs().max(dim=1).values / 127
    scale[scale == 0] = 1
    return (rows / scale[:, None]).round().reshape(weight.shape), scale


def _weights(rng):
    """(6, 2, 3, 5), whose channels differ in size, and whose largest value is often negative; one
    channel is zeros, as after folding γ = 0."""
    size = rng.uniform(0.2, 3, size=(6, 1, 1, 1))
    weight = size * rng.normal(-0.3, 1, size=(6, 2, 3, 5))
    weight[:, 0, 1, 2] = -1.3 * np.abs(weight).max((1, 2, 3))
    weight[rng.integers(6)] = 0
    return (torch.tensor(weight),)


def _coded(weight, scale):
    scale = torch.where(scale == 0, 1, scale)
    return (weight / scale.reshape(-1, 1, 1, 1)).round().clamp(-128, 127), scale


def _one_scale(weight):
    return _coded(weight, (weight.abs().max() / 127).repeat(len(weight)))


def _per_input_channel(weight):
    scale = weight.abs().amax(dim=(0, 2, 3)) / 127
    return (weight / scale.reshape(1, -1, 1, 1)).round(), scale


def _over_128(weight):
    return _coded(weight, weight.abs().amax(dim=(1, 2, 3)) / 128)


def _without_abs(weight):
    return _coded(weight, weight.amax(dim=(1, 2, 3)) / 127)


def _cut_off(weight):
    scale = to_int8(weight)[1]
    return (weight / scale.reshape(-1, 1, 1, 1)).trunc(), scale


def _inverse_scale(weight):
    codes, scale = to_int8(weight)
    return codes, 1 / scale


def _rounded_first(weight):
    scale = to_int8(weight)[1]
    return weight.round() / scale.reshape(-1, 1, 1, 1), scale


def _zero_by_zero(weight):
    scale = weight.abs().amax(dim=(1, 2, 3)) / 127
    return (weight / scale.reshape(-1, 1, 1, 1)).round(), scale


def _scale_left_at_0(weight):
    return to_int8(weight)[0], _zero_by_zero(weight)[1]


# ── 11.5 ────────────────────────────────────────────────────────────────────────────────────────


def causes():
    """Statistics that move with γ and β at rest: the parameters were frozen, and they alone (1).
    All moves: the layers were training again (3). Nothing is kept, so that answers depend on the
    batch even in evaluation mode (4). Statistics at rest, and the batch normalizes (2)."""
    return np.array([3, 1, 4, 2])


CONV = ("output channel", "input channel", "row", "column")  # the axes of its weights

EXERCISES = [
    FunctionExercise(
        id="11.1",
        title="Fold into a convolution",
        keeps="fold_conv",
        solution=fold_conv,
        inputs=_conv_and_norm,
        axes=CONV,
        returns=("weight", "bias"),
        variants=(_fold_in_one,),
        hint=(
            "Write the layer in evaluation mode as $y = a\\,x + b$ per channel. What are $a$ and "
            "$b$, and what is $a\\,(W * u + c) + b$?",
            "The slope of output channel $k$ multiplies all weights `weight[k]`: which shape must "
            "`a` have for that? The old bias goes through the slope, too.",
            "`a.reshape(-1, 1, 1, 1)`; the new bias is $a\\,(c - \\mathrm{E}[x]) + \\beta$, with "
            "$c = 0$ where there was none.",
        ),
        praise="The layer is gone from the net, and no answer changes.",
        wrong_turns=[
            WrongTurn(
                "on the input channels",
                _on_the_input_channels,
                "You multiply along the second axis of `weight`, the input channels. The slope "
                "belongs to what comes out: the first axis.",
            ),
            WrongTurn(
                "old bias not scaled",
                _bias_not_scaled,
                "`weight` is right. The old bias goes through the layer like the rest: it must be "
                "multiplied by the slope, too.",
            ),
            WrongTurn(
                "old bias dropped",
                _bias_dropped,
                "`weight` is right. In `bias` you drop the bias that the convolution had. (It is "
                "redundant in training; here the stored mean contains it.)",
            ),
            WrongTurn(
                "mean not scaled",
                _mean_not_scaled,
                "`weight` is right. In `bias` the mean is subtracted before the slope multiplies: "
                "it must be multiplied by the slope, too.",
            ),
            WrongTurn("ε forgotten", _eps_forgotten, "Your slope lacks ε under the root."),
            WrongTurn(
                "ε outside the root",
                _eps_outside,
                "In your slope ε stands outside the root; it must be added to the variance.",
            ),
            WrongTurn(
                "variance, not its root",
                _variance,
                "You divide by the variance; the slope has its root.",
            ),
        ],
    ),
    PredictionExercise(
        id="11.2",
        title="BN before a convolution",
        choices=("exact", "wrong at the border", "wrong everywhere"),
        hint="Inside, every output sees nine values that have gone through BN. What does an output "
        "at the border see?",
        praise="The blank border is put around the image after BN, and is 0 there. Folded, it is "
        "put around the image before BN, and 0 means something else.",
        note="The border is put around what BN gives, and is 0 there. In the folded net it is put "
        "around BN's input: its zeros pass through the folded weights as if BN had made $b$ of "
        "them. Inside no output touches the border.",
        wrong_turns=[
            WrongTurn(
                "exact",
                "exact",
                "It is exact where no output touches the border. The zeros there come after BN in "
                "one net, and before it in the other.",
            ),
            WrongTurn(
                "wrong everywhere",
                "wrong everywhere",
                "The algebra is right, so the inside agrees. Only the zeros of the border stand in "
                "another place: after BN in one net, before it in the other.",
            ),
        ],
    ),
    TestExercise(
        id="11.3",
        title="One line that finds it",
        keeps="answers_alone",
        solution=answers_alone,
        right={
            "a net in evaluation mode": _running(),
            "another one": _running(norm=bt.BatchNorm2d),
        },
        wrong=[
            WrongTurn(
                "training mode",
                _running(_train),
                "A file that was exported in training mode slips through. What may the answer for "
                "an image not depend on?",
            ),
            WrongTurn(
                "training mode in one layer",
                _running(_train_last),
                "A file slips through in which one layer of two was in training mode. Compare the "
                "outputs themselves, not the class that is read, and let the images differ.",
            ),
            WrongTurn(
                "batch mean",
                _running(_mean_of_the_batch),
                "A file slips through whose first layer subtracts the mean of the batch.",
            ),
            WrongTurn(
                "standardized by the batch",
                _running(seen=_standardized),
                "A file slips through that standardizes its input by the batch it is given.",
            ),
        ],
        hint=(
            "You have nothing but answers: you cannot ask the file for its mode. Which answers "
            "should be equal in evaluation mode, and are not in training mode?",
            "Ask for one image twice: in a batch of different images, and by itself.",
            "`run(x)[:1]` and `run(x[:1])`, compared with a tolerance such as `atol=1e-4`.",
        ),
        praise="No weights, no labels, no access to the model: two calls tell.",
    ),
    FunctionExercise(
        id="11.4",
        title="Eight bits, by hand",
        keeps="to_int8",
        solution=to_int8,
        inputs=_weights,
        axes=CONV,
        returns=("codes", "scale"),
        steps=("scale", "codes"),
        variants=(_int8_by_rows,),
        coarsest="float32",
        hint=(
            "The largest $|w|$ of a channel shall become 127 or −127. Which scale does that?",
            "`weight.abs().amax(dim=…) / 127` over all axes but the first, 1 in place of 0; then "
            "divide, and round.",
        ),
        praise="Rounding moves a weight by half a step at most: 0.4 % of its channel's largest.",
        wrong_turns=[
            WrongTurn(
                "one scale",
                _one_scale,
                "You have one scale for the whole tensor. Each output channel gets its own.",
            ),
            WrongTurn(
                "per input channel",
                _per_input_channel,
                "Your scales belong to the input channels; take one for each output channel, the "
                "first axis.",
            ),
            WrongTurn(
                "over 128",
                _over_128,
                "You divide by 128. The codes from −127 to 127 are used, so that the range is the "
                "same on both sides.",
            ),
            WrongTurn(
                "without abs",
                _without_abs,
                "You take the largest weight. The one farthest from 0 counts, and it may be "
                "negative.",
            ),
            WrongTurn(
                "cut off",
                _cut_off,
                "`scale` is right. Your codes are cut off toward 0; round them to the nearest.",
            ),
            WrongTurn(
                "rounded first",
                _rounded_first,
                "`scale` is right. You round before you divide by the scale; round the quotient.",
            ),
            WrongTurn(
                "inverse",
                _inverse_scale,
                "Your scale is upside down: codes times scale should give the weights back.",
            ),
            WrongTurn(
                "0/0",
                _zero_by_zero,
                "All is right but a channel whose weights are all 0: its scale is 0 in your "
                "answer, and 0/0 is NaN. Give it the scale 1.",
            ),
            WrongTurn(
                "scale 0",
                _scale_left_at_0,
                "All is right but the scale of a channel whose weights are all 0: yours is 0. Give "
                "it the scale 1.",
            ),
        ],
    ),
    ValueExercise(
        id="11.5",
        title="Four ways that do not freeze",
        solution=causes,
        rtol=0,
        entries=("A", "B", "C", "D"),
        hint=(
            "Begin with the row in which answers depend on the batch even in evaluation mode: what "
            "must be missing there?",
            "`requires_grad` concerns what an optimizer changes. Are the statistics among it? And "
            "which of the four ways leaves no trace at all?",
        ),
        praise="Freezing needs one thing that survives: the layers in evaluation mode, after every "
        "`train()`.",
        note="A: everything moves, as if nothing had been done: `train()` undid `eval()` (3). B: γ "
        "and β rest, the statistics move: no gradient changes them (1). C: nothing is kept, so "
        "that evaluation mode uses the batch, too (4). D: the statistics rest, but in training the "
        "batch normalizes all the same (2).",
        wrong_turns=[
            WrongTurn(
                "2 and 4 exchanged",
                np.array([3, 1, 2, 4]),
                "A and B are right. In evaluation mode a layer without statistics of its own can "
                "only use the batch's: which row shows that?",
            ),
            WrongTurn(
                "1 and 3 exchanged",
                np.array([1, 3, 4, 2]),
                "C and D are right. `requires_grad_(False)` keeps γ and β where they are: in which "
                "row do they rest?",
            ),
            WrongTurn(
                "1 and 2 exchanged",
                np.array([3, 2, 4, 1]),
                "A and C are right. With a momentum of 0 the running averages do not move. In "
                "which row do the statistics rest?",
            ),
            WrongTurn(
                "all in the order of the list",
                np.array([1, 2, 3, 4]),
                "That is the order of the list. Begin with C: what do its answers depend on in "
                "evaluation mode?",
            ),
        ],
    ),
]

QUIZ = [
    Question(
        "In evaluation mode BN behind a convolution can be folded into it, since it is …",
        {
            "linear per channel, with fixed numbers": "$y = ax + b$, and so is the convolution "
            "linear in its input.",
            "small": "In training mode it is as small, and cannot be folded.",
            "followed by a ReLU": "What follows does not matter.",
        },
        correct=0,
    ),
    Question(
        "Which BN does `fuse` leave alone in a residual block?",
        {
            "the one behind the addition": "Its input comes from two layers; there is none whose "
            "output it alone uses.",
            "the first one": "It stands behind a convolution whose output nothing else uses.",
            "all of them": "Where a convolution stands right before, it is folded.",
        },
        correct=0,
    ),
    Question(
        "A file gives 97 % in batches of 60 and 5 % for single digits. What happened?",
        {
            "It was exported in training mode": "The statistics of the batch are built in; one "
            "digit is a batch of its own.",
            "It was rounded to 8 bits": "Rounding does not ask how many digits come at once.",
            "Single digits are harder": "They are the same digits.",
        },
        correct=0,
    ),
    Question(
        "`for p in bn.parameters(): p.requires_grad_(False)`, then training. What moves?",
        {
            "nothing": "Running averages are no parameters.",
            "the running mean and variance": "They are buffers, updated by every forward pass in "
            "training mode.",
            "γ and β": "These two are what you froze.",
        },
        correct=1,
    ),
    Question(
        "You averaged the weights of a whole training run (SWA). Before you measure, …",
        {
            "recompute the statistics": "The stored ones belong to other weights. "
            "`update_bn` or `recompute_statistics` does it.",
            "average the statistics, too": "An average of the statistics of many nets is not the "
            "statistics of the averaged net.",
            "train on": "That changes the weights that you averaged.",
        },
        correct=0,
    ),
]
