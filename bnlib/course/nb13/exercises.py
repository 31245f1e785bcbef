"""Exercises and quiz of notebook 13, why does it work?"""

import copy

import numpy as np
import torch

from bnlib.course.kit.exercises import (
    ClassExercise,
    FunctionExercise,
    PredictionExercise,
    ValueExercise,
    WrongTurn,
)
from bnlib.course.kit.quiz import Question

# ── 13.1 ────────────────────────────────────────────────────────────────────────────────────────


class NoisyBatchNorm(torch.nn.Module):
    def __init__(self, norm):
        super().__init__()
        self.norm = norm

    def forward(self, x):
        y = self.norm(x)
        if self.training:
            shift = 2 * torch.rand_like(y[0]) - 1  # (D,): one number a unit, -1 to 1
            scale = 0.5 + torch.rand_like(y[0])  # 0.5 to 1.5
            y = scale * y + shift
        return y


def _rows(rng):
    m = int(rng.integers(7, 11))
    x = rng.normal(size=(m, 4)) * rng.uniform(0.5, 2, size=4) + rng.uniform(-3, 3, size=4)
    return (torch.tensor(x),)


def _life_of_a_noisy_layer(noisy_class, x):
    """What of it does not depend on what it drew."""
    norm = torch.nn.BatchNorm1d(4).double()
    with torch.no_grad():
        norm.weight.copy_(torch.tensor([1.5, -0.7, 2.0, 0.4]))
        norm.bias.copy_(torch.tensor([0.3, -1.2, 0.8, 2.1]))
    torch.manual_seed(int(x.abs().sum() * 1000) % 1000)
    layer = noisy_class(norm)
    y = copy.deepcopy(norm)(x).detach()
    outs = torch.stack([_as_tensor(layer(x)).double() for _ in range(400)])  # (400, m, 4)
    if outs.shape[1:] != y.shape:
        yield "the output in training mode", outs[0]
        return
    c = y - y.mean(dim=0)
    scales = (outs * c).sum(dim=1) / (c**2).sum(dim=0)  # (400, 4)
    shifts = outs.mean(dim=1) - scales * y.mean(dim=0)
    rest = (outs - scales[:, None] * y - shifts[:, None]).abs().max()
    yield (
        "how far the output is from a scaled and shifted output of the norm",
        rest.round(decimals=4),
    )
    yield "the smallest and the largest scale in 400 steps", _ends(scales)
    yield "the smallest and the largest shift in 400 steps", _ends(shifts)
    yield (
        "how many shifts differ in 400 steps and 4 units (counted up to 1,500)",
        float(min(len(torch.unique(shifts.round(decimals=9))), 1500)),  # float32 may draw one twice
    )
    yield "the mean of the shifts, to one half", (2 * shifts.mean()).round()
    layer.eval()
    yield "the output in evaluation mode", _as_tensor(layer(x)) - copy.deepcopy(norm).eval()(x)
    yield "the number of learned numbers", float(sum(p.numel() for p in layer.parameters()))


def _as_tensor(value):
    return value.detach() if isinstance(value, torch.Tensor) else torch.as_tensor(value)


def _ends(values):
    return torch.stack([values.min(), values.max()]).round(decimals=1)


def _noisy(draw, *, before=False, always=False, once=False):
    """A NoisyBatchNorm that goes one wrong way: draw(y) -> (scale, shift)."""

    class NoisyBatchNorm(torch.nn.Module):
        def __init__(self, norm):
            super().__init__()
            self.norm, self.drawn = norm, None

        def forward(self, x):
            if before:
                scale, shift = draw(x) if self.training else (1, 0)
                return self.norm(scale * x + shift)
            y = self.norm(x)
            if not (self.training or always):
                return y
            if self.drawn is None or not once:
                self.drawn = draw(y)
            scale, shift = self.drawn
            return scale * y + shift

    return NoisyBatchNorm


def _right_draw(y):
    return 0.5 + torch.rand_like(y[0]), 2 * torch.rand_like(y[0]) - 1


def _one_for_all(y):
    return 0.5 + torch.rand_like(y[0, 0]), 2 * torch.rand_like(y[0, 0]) - 1


# ── 13.2 ────────────────────────────────────────────────────────────────────────────────────────


def before_and_after(gradients, below, own, rate):
    g_below, G = gradients(below, own)
    _, G_after = gradients(below - rate * g_below, own)
    return G, G_after


def _two_layers(rng):
    """Gradients of a net of two layers, the weights of both, and a rate."""
    N = int(rng.integers(7, 10))
    u, wanted = rng.normal(size=(N, 5)), rng.normal(size=(N, 3))

    def gradients(below, own):
        z = np.tanh(u @ below)
        error = (z @ own - wanted) / N
        return u.T @ (error @ own.T * (1 - z**2)), z.T @ error

    return gradients, rng.normal(size=(5, 4)), rng.normal(size=(4, 3)), rng.uniform(0.4, 0.9)


def _all_move(gradients, below, own, rate):
    g_below, G = gradients(below, own)
    return G, gradients(below - rate * g_below, own - rate * G)[1]


def _own_moves(gradients, below, own, rate):
    _, G = gradients(below, own)
    return G, gradients(below, own - rate * G)[1]


def _uphill(gradients, below, own, rate):
    g_below, G = gradients(below, own)
    return G, gradients(below + rate * g_below, own)[1]


def _of_below(gradients, below, own, rate):
    g_below, _ = gradients(below, own)
    return g_below, gradients(below - rate * g_below, own)[0]


def _rate_forgotten(gradients, below, own, rate):
    g_below, G = gradients(below, own)
    return G, gradients(below - g_below, own)[1]


# ── 13.3 ────────────────────────────────────────────────────────────────────────────────────────


def cosine_and_factor():
    mean, square = np.sqrt(2 / np.pi), 1.0  # E|x̂| and E|x̂|² for a normal x̂ with variance 1
    steep = 1.0  # the slope is −1 or 1
    cosine = mean**2 / square  # 2/π
    factor = steep / (square - mean**2)  # π/(π−2)
    return np.array([cosine, factor])


# ── 13.4 ────────────────────────────────────────────────────────────────────────────────────────


class SkipInit(torch.nn.Module):
    def __init__(self, branch):
        super().__init__()
        self.branch = branch
        self.alpha = torch.nn.Parameter(torch.zeros(()))  # one number for the whole branch

    def forward(self, x):
        return x + self.alpha * self.branch(x)


def _life_of_a_block(block_class, x, dy):
    torch.manual_seed(3)
    branch = torch.nn.Sequential(torch.nn.ReLU(), torch.nn.Linear(4, 4)).double()
    block = block_class(branch)
    x = x.clone().requires_grad_()
    yield "the output before training", _as_tensor(block(x))
    mine = [p for p in block.parameters() if not any(p is q for q in branch.parameters())]
    yield "how many numbers the block learns beside its branch", float(sum(p.numel() for p in mine))
    if not mine:
        return
    out = block(x)
    out.backward(dy)
    yield "the gradient of alpha", mine[0].grad.reshape(())
    yield "the gradient of x before training", x.grad
    with torch.no_grad():
        mine[0].fill_(-0.7)
    yield "the output at alpha = -0.7", _as_tensor(block(x))


def _rows_and_gradient(rng):
    (x,) = _rows(rng)
    return x, torch.tensor(rng.normal(size=tuple(x.shape)))


class _PlainNumber(torch.nn.Module):
    def __init__(self, branch):
        super().__init__()
        self.branch, self.alpha = branch, torch.zeros((), requires_grad=True)

    def forward(self, x):
        return x + self.alpha * self.branch(x)


class _FromOne(SkipInit):
    def __init__(self, branch):
        super().__init__(branch)
        self.alpha = torch.nn.Parameter(torch.ones(()))


class _OverAll(SkipInit):
    def forward(self, x):
        return self.alpha * (x + self.branch(x))


class _WithoutSkip(SkipInit):
    def forward(self, x):
        return self.alpha * self.branch(x)


EXERCISES = [
    ClassExercise(
        id="13.1",
        title="Put the drift back",
        keeps="NoisyBatchNorm",
        solution=NoisyBatchNorm,
        scenario=_life_of_a_noisy_layer,
        inputs=_rows,
        hint=(
            "In `forward`, run `self.norm` first. Noise that comes *before* BN has no effect: why?",
            "`torch.rand_like(y[0])` draws one number from 0 to 1 for each unit. Stretch and move "
            "it to the ranges that are asked for.",
            "`self.training` says in which mode the layer is. Without noise in evaluation mode.",
        ),
        praise="Every unit's input jumps now, anew at every step.",
        wrong_turns=[
            WrongTurn(
                "noise before the norm",
                _noisy(_right_draw, before=True),
                "Your noise comes before the norm, and the norm takes it out again: "
                "$\\mathrm{BN}(ax+b) = \\mathrm{BN}(x)$ for each unit. Put it on what the "
                "norm gives.",
            ),
            WrongTurn(
                "one number for each value",
                _noisy(lambda y: (0.5 + torch.rand_like(y), 2 * torch.rand_like(y) - 1)),
                "Each value gets noise of its own, so the mean of a unit hardly moves. Drift is "
                "one shift and one scale per unit, the same for all rows of the batch.",
            ),
            WrongTurn(
                "one number for all units",
                _noisy(_one_for_all),
                "All units get the same shift. Draw one per unit.",
            ),
            WrongTurn(
                "drawn once",
                _noisy(_right_draw, once=True),
                "Your noise is drawn once and then stays: $\\beta$ and $\\gamma$ learn to undo it. "
                "Draw anew at every step.",
            ),
            WrongTurn(
                "noise in evaluation mode, too",
                _noisy(_right_draw, always=True),
                "In training mode all is right. In evaluation mode there must be no noise.",
            ),
            WrongTurn(
                "no shift",
                _noisy(lambda y: (0.5 + torch.rand_like(y[0]), 0)),
                "You scale, but do not shift.",
            ),
            WrongTurn(
                "no scale",
                _noisy(lambda y: (1, 2 * torch.rand_like(y[0]) - 1)),
                "You shift, but do not scale.",
            ),
            WrongTurn(
                "shifts upwards only",
                _noisy(lambda y: (0.5 + torch.rand_like(y[0]), torch.rand_like(y[0]))),
                "Your shifts lie between 0 and 1; they should lie between −1 and 1.",
            ),
            WrongTurn(
                "scale and shift exchanged",
                _noisy(lambda y: _right_draw(y)[::-1]),
                "You have exchanged the two: the scale lies between 0.5 and 1.5, the shift between "
                "−1 and 1.",
            ),
        ],
    ),
    FunctionExercise(
        id="13.2",
        title="The gradient, before and after",
        keeps="before_and_after",
        solution=before_and_after,
        returns=("G", "G_after"),
        inputs=_two_layers,
        hint=(
            "Two calls of `gradients`. Which of its two results is $G$?",
            "Between the calls only what is below moves, against *its* gradient.",
        ),
        praise="The same batch, the same layer: what has changed is what the layers below did.",
        wrong_turns=[
            WrongTurn(
                "all layers move",
                _all_move,
                "You move the layer itself, too. Then a part of the change is its own doing: leave "
                "`own` where it is.",
            ),
            WrongTurn(
                "the layer itself moves",
                _own_moves,
                "You move the layer itself. The question is what the layers *below* do to it.",
            ),
            WrongTurn("uphill", _uphill, "You move what is below up its gradient, not down."),
            WrongTurn(
                "the gradient of what is below",
                _of_below,
                "These are the gradients of what is *below*. $G$ is that of the layer itself, the "
                "second result.",
            ),
            WrongTurn(
                "rate forgotten", _rate_forgotten, "You move by the whole gradient, without `rate`."
            ),
        ],
    ),
    ValueExercise(
        id="13.3",
        title="Again, for |x|",
        solution=cosine_and_factor,
        rtol=6e-3,
        entries=("the cosine", "the growth of the squared gradient"),
        hint=(
            "You need three means over a normal $\\hat x$ with mean 0 and variance 1: that of "
            "$g$, of $g^2$ and of $g'^2$. Two of them are easy here.",
            "$|\\hat x|$ is ReLU of $\\hat x$ plus ReLU of $-\\hat x$, so its mean is twice "
            "$1/\\sqrt{2\\pi}$.",
            "$E[g]^2 = 2/\\pi$, $E[g^2] = E[g'^2] = 1$.",
        ),
        praise="No unit is ever silent, and still it is worse: $|x|$ gives all digits more in "
        "common than ReLU does.",
        wrong_turns=[
            WrongTurn(
                "ReLU's",
                (1 / np.pi, np.pi / (np.pi - 1)),
                "These are ReLU's numbers. Here $E[g]$ is twice as large.",
            ),
            WrongTurn(
                "half of the slopes",
                (2 / np.pi, 0.5 / (1 - 2 / np.pi)),
                "The cosine is right. The slope of $|x|$ is 1 or −1 everywhere: its square has the "
                "mean 1, not ½.",
            ),
            WrongTurn(
                "half of the squares",
                (4 / np.pi, 1 / (0.5 - 2 / np.pi)),
                "A cosine above 1? $|\\hat x|^2 = \\hat x^2$ has the mean 1: nothing is cut off.",
            ),
            WrongTurn(
                "the length's factor",
                (2 / np.pi, (np.pi / (np.pi - 2)) ** 0.5),
                "The cosine is right. The second number is that of the *squared* gradient; you "
                "give the length's.",
            ),
            WrongTurn(
                "what is not shared",
                (1 - 2 / np.pi, np.pi / 2),
                "You have exchanged what all digits share with what they do not share.",
            ),
        ],
    ),
    ClassExercise(
        id="13.4",
        title="A block that begins as nothing",
        keeps="SkipInit",
        solution=SkipInit,
        scenario=_life_of_a_block,
        inputs=_rows_and_gradient,
        hint=(
            "One number more than the branch has: which class makes torch train it?",
            "`self.alpha = torch.nn.Parameter(torch.zeros(()))`",
        ),
        praise="At the start the whole net is its first and its last layer; each block comes in as "
        "far as it helps.",
        wrong_turns=[
            WrongTurn(
                "no parameter",
                _PlainNumber,
                "Your `alpha` is a plain tensor: `parameters()` does not list it, so no optimizer "
                "will ever move it. Make it a `torch.nn.Parameter`.",
            ),
            WrongTurn(
                "starts at 1",
                _FromOne,
                "Your block starts as $x$ plus the whole branch. SkipInit's `alpha` starts at 0.",
            ),
            WrongTurn(
                "alpha over all",
                _OverAll,
                "Your `alpha` multiplies $x$, too, so the block starts by passing on nothing.",
            ),
            WrongTurn(
                "no skip",
                _WithoutSkip,
                "The $x +$ is missing: your block starts by passing on nothing.",
            ),
        ],
    ),
    PredictionExercise(
        id="13.5",
        title="Which part does it?",
        choices=("centring alone", "scaling alone", "both", "neither"),
        hint="Sigmoids are never negative. What does that mean for the inputs of the next layer, "
        "and what does each of the two parts do with it when the rate is high?",
        note="Sigmoids are never negative, so all digits have a large part in common, and a large "
        "rate moves all digits at once along it. Centring takes this part out; dividing by "
        "the deviation makes it only larger.",
        wrong_turns=[
            WrongTurn(
                "scaling alone",
                "scaling alone",
                "Many say so, since it is the scale that fades in a deep net of sigmoids. But what "
                "is divided by its small deviation and not centred has a huge mean.",
            ),
            WrongTurn(
                "both",
                "both",
                "Half of it. What is divided by its small deviation and not centred has a huge "
                "mean.",
            ),
            WrongTurn(
                "neither",
                "neither",
                "They do not share the work equally: one of them nearly does it alone.",
            ),
        ],
    ),
]

QUIZ = [
    Question(
        "Noise that makes each unit's input jump at every step, put behind BN, makes the "
        "sigmoid net …",
        {
            "learn like the one without BN": "That would be expected if such jumps were the "
            "harm. It reads as much as with BN.",
            "learn like the one with BN": "So jumps of this size do little harm. A drift that "
            "keeps its direction was not tried.",
            "diverge": "It reads as much as with BN.",
        },
        correct=1,
    ),
    Question(
        "At the rate that suits each net, BN changes $|G - G'|/|G|$ …",
        {
            "always downwards": "In some of our nets it goes up.",
            "in no clear way": "At an equal relative movement, once the loss is 1 or below, it is "
            "smaller; but with BN the best rates are mostly larger.",
            "always upwards": "In some of our nets it goes down.",
        },
        correct=1,
    ),
    Question(
        "A net shows the cosine 1.000 between $G$ and $G'$. Before you call it free of shift, "
        "look at …",
        {
            "its loss": "A net that does not move has no shift, and learns nothing.",
            "its depth": "Depth does not tell whether it moves.",
            "its biases": "They tell little. Is it learning at all?",
        },
        correct=0,
    ),
    Question(
        "Thirty ReLU layers with BN, before training. Which is true?",
        {
            "activations and gradients both keep their size": "The activations do. The squared "
            "gradient grows by 1.47 a layer.",
            "digits stay apart, and gradients grow on the way down": "Both for one reason: "
            "centring takes out what the digits share, and the rest is stretched.",
            "digits become alike": "That is the net without BN.",
        },
        correct=1,
    ),
    Question(
        "With weight decay λ and rate η the weights before BN end at a length at which a step "
        "turns them by about …",
        {
            "2ηλ": "That is the square.",
            "√(2ηλ)": "The growth by Pythagoras and the shrinking by decay are equal there.",
            "an angle that depends on the loss": "The loss sets the length at which it happens.",
        },
        correct=1,
    ),
]
