"""Exercises and quiz of notebook 07, inference mode."""

import numpy as np

import bnlib.numpy as bn
from bnlib.course.kit.exercises import (
    ClassExercise,
    FunctionExercise,
    PredictionExercise,
    ValueExercise,
    WrongTurn,
)
from bnlib.course.kit.layer import BatchNorm, batch_norm, batch_norm_backward
from bnlib.course.kit.quiz import Question

# ── 7.2 ─────────────────────────────────────────────────────────────────────────────────────────


def _life_of_a_layer(layer_class, batches, digit, dy, eps):
    """What happens to a layer: trained, asked, trained on, with momentum None and 0."""
    layer = layer_class(batches[0].shape[1], eps=eps)
    layer.gamma[:] = GAMMA  # at 1 and 0 mistakes would hide
    layer.beta[:] = BETA
    yield "the output of the first batch", layer(batches[0])
    yield "`running_mean` after one batch", layer.running_mean
    yield "`running_var` after one batch", layer.running_var
    layer(batches[1])
    yield "`running_mean` after two batches", layer.running_mean
    yield "`running_var` after two batches", layer.running_var
    yield "`num_batches_tracked` after two batches", layer.num_batches_tracked
    yield "`backward` in training mode", layer.backward(dy)
    yield "`dgamma` in training mode", layer.dgamma
    yield "`dbeta` in training mode", layer.dbeta
    layer.eval()
    yield "the output of a batch in inference mode", layer(batches[0])
    yield "the output of one example in inference mode", layer(digit)
    yield "`running_mean` after inference mode (nothing is to change there)", layer.running_mean
    layer(batches[1])
    yield "`backward` in inference mode", layer.backward(dy)
    yield "`dgamma` in inference mode", layer.dgamma
    plain = layer_class(batches[0].shape[1], eps=eps, momentum=None)
    for batch in batches:
        plain(batch)
    yield "`running_mean` with `momentum=None`, after two batches", plain.running_mean
    yield "`running_var` with `momentum=None`, after two batches", plain.running_var
    still = layer_class(batches[0].shape[1], eps=eps, momentum=0.0)
    still(batches[0])
    yield "`running_mean` with `momentum=0` (the new value weighs 0)", still.running_mean


GAMMA, BETA = np.array([1.5, -0.7, 2.0, 0.4]), np.array([0.3, -1.2, 0.8, 2.1])


def _layer_inputs(rng):
    shape = (9, 4) if rng.random() < 0.5 else (5, 4, 3, 2)
    line_up = (1, -1) + (1,) * (len(shape) - 2)
    scale = rng.uniform(0.5, 2, size=4).reshape(line_up)
    centre = rng.uniform(-3, 3, size=4).reshape(line_up)
    batches = [rng.normal(size=shape) * scale + centre for _ in range(2)]
    digit = rng.normal(size=(1, *shape[1:])) * scale + centre
    return batches, digit, rng.normal(0.3, 1, size=shape), rng.uniform(0.05, 0.2)


def _is_your_own(layer_class, rng):
    if issubclass(layer_class, bn.BatchNorm):
        return (
            "That is the library's layer, or one built on it. Write your own: it will be compared "
            "with that one."
        )
    return None


def _refuses_one_value(layer_class, rng):
    layer = layer_class(4)
    try:
        layer(rng.normal(size=(1, 4)))
    except ValueError:
        if np.any(layer.running_mean) or layer.num_batches_tracked:
            return (
                "A batch of one is refused, but too late: `running_mean` or "
                "`num_batches_tracked` has changed already."
            )
        return None
    return (
        "In training mode a batch of one value per channel has variance 0, whatever it is: raise a "
        "`ValueError`."
    )


def _keeps_the_dtype(layer_class, rng):
    layer, (x, dy) = layer_class(4), rng.normal(size=(2, 6, 4)).astype(np.float32)
    y = layer(x)
    if y.dtype != np.float32:
        return (
            f"A float32 batch comes out as {y.dtype}; the next layer wants the type that came in: "
            "`y.astype(x.dtype)`."
        )
    dx = layer.backward(dy)
    if dx.dtype != np.float32:
        return (
            f"A float32 `dy` comes back as a `dx` of {dx.dtype}; the layer before wants the type "
            "that came in: `dx.astype(dy.dtype)`."
        )
    return None


class _MomentumSwapped(BatchNorm):
    def __init__(self, num_features, eps=1e-5, momentum=0.1):
        super().__init__(num_features, eps, None if momentum is None else 1 - momentum)


class _Biased(BatchNorm):
    def forward(self, x):
        before = self.running_var
        y = super().forward(x)
        if self.training:
            axes = (0,) if x.ndim == 2 else (0, 2, 3)
            weight = 1 / self.num_batches_tracked if self.momentum is None else self.momentum
            self.running_var = (1 - weight) * before + weight * x.var(axis=axes)
        return y


class _Keras(_MomentumSwapped, _Biased):  # momentum weighs the old value, the variance is biased
    pass


class _UnbiasedForTheBatch(BatchNorm):
    def forward(self, x):
        if not self.training:
            return super().forward(x)
        m = x.size // x.shape[1]
        y = super().forward(x)
        shape = [1, -1] + [1] * (x.ndim - 2)
        return (y - self.beta.reshape(shape)) * np.sqrt((m - 1) / m) + self.beta.reshape(shape)


class _UpdatesInEval(BatchNorm):
    def forward(self, x):
        y = super().forward(x)
        if not self.training:
            axes = (0,) if x.ndim == 2 else (0, 2, 3)
            self.running_mean = 0.9 * self.running_mean + 0.1 * x.mean(axis=axes)
        return y


class _StartsAtZero(BatchNorm):
    def __init__(self, *arguments, **named):
        super().__init__(*arguments, **named)
        self.running_var = np.zeros_like(self.running_var)


class _BatchStatisticsInEval(BatchNorm):
    def forward(self, x):
        if self.training:
            return super().forward(x)
        super().forward(x)
        return batch_norm(x, self.gamma, self.beta, self.eps)[0]


class _BackwardKnowsOneMode(BatchNorm):
    def backward(self, dy):
        dx, self.dgamma, self.dbeta = batch_norm_backward(dy, self.cache)
        return dx


class _DxThroughTheBatch(BatchNorm):
    def backward(self, dy):
        dx = super().backward(dy)  # keeps the right dgamma and dbeta
        return dx if self.training else batch_norm_backward(dy, self.cache)[0]


class _DxThroughStoredStatistics(BatchNorm):
    def backward(self, dy):
        dx = super().backward(dy)
        if self.training:
            return dx
        axes, shape = ((0,), (1, -1)) if dy.ndim == 2 else ((0, 2, 3), (1, -1, 1, 1))
        along = (dy * self.x_hat).mean(axis=axes).reshape(shape)
        slope = (self.gamma / np.sqrt(self.running_var + self.eps)).reshape(shape)
        return slope * (dy - dy.mean(axis=axes).reshape(shape) - self.x_hat * along)


class _NoneIsTheDefault(BatchNorm):
    def __init__(self, num_features, eps=1e-5, momentum=0.1):
        super().__init__(num_features, eps, 0.1 if momentum is None else momentum)


class _ZeroIsNone(BatchNorm):
    def forward(self, x):
        kept, self.momentum = self.momentum, self.momentum or None
        try:
            return super().forward(x)
        finally:
            self.momentum = kept


# ── 7.4 ─────────────────────────────────────────────────────────────────────────────────────────


def causes():
    # A: fine on its own training set in both modes, and on test batches that bring their own
    #    statistics. Only the stored ones do not fit the test pictures: they have shifted.
    # B: wrong in eval() on the very set it was trained on: the stored statistics are not there yet.
    # C: every reading in eval() is fine; the bad one was taken in train(), in small batches.
    return np.array([3, 2, 1])


# ── 7.5 ─────────────────────────────────────────────────────────────────────────────────────────


def fold(weight, bias, gamma, beta, mean, var, eps):
    slope = gamma / np.sqrt(var + eps)
    return weight * slope, (bias - mean) * slope + beta


def _layer(rng):
    D, K = 5, 3
    return (
        rng.normal(size=(D, K)), rng.normal(size=K), rng.uniform(0.5, 2, size=K),
        rng.normal(size=K), rng.normal(size=K), rng.uniform(0.5, 2, size=K), rng.uniform(0.05, 0.2),
    )  # fmt: skip


def _fold_bias_unscaled(weight, bias, gamma, beta, mean, var, eps):
    slope = gamma / np.sqrt(var + eps)
    return weight * slope, bias - mean * slope + beta


def _fold_no_bias(weight, bias, gamma, beta, mean, var, eps):
    return fold(weight, np.zeros_like(bias), gamma, beta, mean, var, eps)


def _fold_no_beta(weight, bias, gamma, beta, mean, var, eps):
    return fold(weight, bias, gamma, np.zeros_like(beta), mean, var, eps)


def _fold_variance(weight, bias, gamma, beta, mean, var, eps):
    slope = gamma / (var + eps)
    return weight * slope, (bias - mean) * slope + beta


def _fold_eps_outside(weight, bias, gamma, beta, mean, var, eps):
    slope = gamma / (np.sqrt(var) + eps)
    return weight * slope, (bias - mean) * slope + beta


def _fold_no_mean(weight, bias, gamma, beta, mean, var, eps):
    return fold(weight, bias, gamma, beta, np.zeros_like(mean), var, eps)


# ── 7.6 ─────────────────────────────────────────────────────────────────────────────────────────


def updates_until_one_percent():
    # The start value weighs (1 − 0.1)^t. It falls below 1/100 when t > log(0.01)/log(0.9) = 43.7.
    return int(np.ceil(np.log(0.01) / np.log(0.9)))


EXERCISES = [
    PredictionExercise(
        id="7.1",
        title="A batch of one",
        choices=("its usual answer", "always the same answer", "NaN"),
        answer="always the same answer",
        hint="What is $x - \\mu_\\mathcal{B}$ when the batch is one example?",
        praise="Every $\\hat{x}$ is 0, so what leaves the layer is β, whatever came in.",
        note="With one example $x = \\mu_\\mathcal{B}$, so every $\\hat{x}$ is 0 and the layer's "
        "output is β, whatever came in. ($\\varepsilon$ saves it from 0/0.)",
        wrong_turns=[
            WrongTurn(
                "NaN",
                "NaN",
                "Without $\\varepsilon$ it would be 0/0. With it, 0 over a small number is 0.",
            ),
            WrongTurn(
                "its usual answer",
                "its usual answer",
                "The example is its own mean, so nothing of it is left: every $\\hat{x}$ is 0.",
            ),
        ],
    ),
    ClassExercise(
        id="7.2",
        title="The layer as a class",
        keeps="BatchNorm",
        solution=BatchNorm,
        scenario=_life_of_a_layer,
        inputs=_layer_inputs,
        also=(_is_your_own, _refuses_one_value, _keeps_the_dtype),
        hint=(
            "List what the object must remember between two calls: two parameters, two running "
            "arrays, a counter, and what `backward` needs of the last `forward`.",
            "Training: `y, self.cache = batch_norm(x, …)`, then the counter, then the two running "
            "arrays, the variance times $m/(m-1)$. The weight of the new value is `momentum`, or "
            "1 over the counter where `momentum` is None.",
            "Inference: a straight line per channel. For images the numbers per channel must be "
            "lined up: `reshape(1, -1, 1, 1)`. `backward` then multiplies by the slope.",
        ),
        praise="A whole layer: it trains, it answers for one example, and it goes back both ways.",
        wrong_turns=[
            WrongTurn(
                "Keras altogether",
                _Keras,
                "Your running statistics follow Keras and Flax: `momentum` weighs the old value, "
                "and the variance is biased. Here it is the other way round, twice.",
            ),
            WrongTurn(
                "momentum the other way round",
                _MomentumSwapped,
                "Your `momentum` weighs the old value, as in Keras and Flax. Here it weighs the "
                "new one.",
            ),
            WrongTurn(
                "biased variance kept",
                _Biased,
                "`running_mean` is right. Your `running_var` takes in the biased variance; the "
                "running one averages $\\frac{m}{m-1}\\sigma^2_\\mathcal{B}$.",
            ),
            WrongTurn(
                "unbiased variance for the batch",
                _UnbiasedForTheBatch,
                "You normalize the batch with the unbiased variance. The batch itself is divided "
                "by the biased one; only the running variance takes the unbiased one.",
            ),
            WrongTurn(
                "updates in inference mode",
                _UpdatesInEval,
                "Your layer goes on updating `running_mean` in inference mode: there the stored "
                "numbers are used, and stay.",
            ),
            WrongTurn(
                "running variance from 0",
                _StartsAtZero,
                "Your `running_var` starts at 0. It starts at 1, so that a fresh layer in "
                "inference mode changes nothing (but for ε).",
            ),
            WrongTurn(
                "batch statistics in inference mode",
                _BatchStatisticsInEval,
                "In inference mode your layer still uses the statistics of the batch: the stored "
                "numbers wait for their use.",
            ),
            WrongTurn(
                "one backward for both modes",
                _BackwardKnowsOneMode,
                "In inference mode your `backward` still goes through the statistics of the last "
                "training batch. There they are stored numbers, constants: exercise 6.9.",
            ),
            WrongTurn(
                "dx through the batch in inference mode",
                _DxThroughTheBatch,
                "`dgamma` and `dbeta` are right. In inference mode your `dx` still goes through "
                "the batch's statistics; there they are constants (exercise 6.9).",
            ),
            WrongTurn(
                "training's formula with stored numbers",
                _DxThroughStoredStatistics,
                "In inference mode your `backward` still removes the mean's and the variance's "
                "share, as in training. There both are constants: a straight line, exercise 6.9.",
            ),
            WrongTurn(
                "momentum=None as the default",
                _NoneIsTheDefault,
                "With `momentum=None` all batches so far weigh alike: the weight of the new one is "
                "1 over `num_batches_tracked`.",
            ),
            WrongTurn(
                "momentum=0 as None",
                _ZeroIsNone,
                "You take `momentum=0` for None, as `momentum or …` does. 0 is a weight like any "
                "other: the old value stays. Ask whether `momentum is None`.",
            ),
        ],
    ),
    PredictionExercise(
        id="7.3",
        title="What new statistics cannot repair",
        choices=("half contrast", "+0.5", "+0.5, cut at 1", "negative"),
        answer="negative",
        hint="Which of the four can be written as $u \\mapsto ku + t$ with $k > 0$?",
        praise="A factor below 0 turns every $\\hat{x}$ round, and no statistics turn it back.",
        note="Half contrast and brightness are $u \\mapsto ku + t$ with $k > 0$: mean and variance "
        "take that out. Cutting at 1 is not, but it touches few pixels that matter. A negative has "
        "$k = -1$: every $\\hat{x}$ changes its sign.",
        wrong_turns=[
            WrongTurn(
                "cut at 1",
                "+0.5, cut at 1",
                "Cut pixels are lost, indeed; but what is left of the strokes still stands out.",
            ),
            WrongTurn(
                "half contrast",
                "half contrast",
                "Half the contrast halves mean and deviation, and normalizing divides by it.",
            ),
            WrongTurn(
                "+0.5",
                "+0.5",
                "A constant is added to every pixel, so to every mean, which is subtracted.",
            ),
        ],
    ),
    ValueExercise(
        id="7.4",
        title="Find the cause",
        solution=causes,
        rtol=0,
        entries=("A", "B", "C"),
        because={
            ("A", 1): "A's low reading was taken in `eval()`: nothing was forgotten there.",
            ("A", 2): "A's stored statistics fit its own training set, 94 % in `eval()`: they did "
            "not come too late. What do they not fit?",
            ("B", 1): "B's low readings were taken in `eval()`: nothing was forgotten there.",
            ("B", 3): "B fails in `eval()` on the very set that it was trained on, and that has "
            "not shifted.",
            ("C", 2): "C reads 95 % of its training set in `eval()`: its statistics are there. In "
            "which mode was its low reading taken?",
            ("C", 3): "C's test set reads well in `eval()`; only small batches in `train()` do "
            "not.",
        },
        hint=(
            "Go column by column. Which statistics does each reading use: the batch's, or the "
            "stored ones?",
            "Stored statistics that fail on the training set itself cannot be a matter of the test "
            "data.",
        ),
        praise="First read the training set in both modes: where `eval()` falls, the stored "
        "statistics came too late. Where it does not, do the same on the test set: where `eval()` "
        "falls there, the data have shifted.",
        wrong_turns=[
            WrongTurn(
                "A and B exchanged",
                np.array([2, 3, 1]),
                "C is right. Look at the *training* set in `eval()`: whose stored statistics fail "
                "even there?",
            ),
            WrongTurn(
                "A as eval forgotten",
                np.array([1, 2, 3]),
                "B is right. A's low reading was taken in `eval()`: nothing was forgotten there.",
            ),
            WrongTurn(
                "C as shift",
                np.array([3, 2, 3]),
                "A and B are right. C's test set reads well in `eval()`; only small batches in "
                "`train()` do not.",
            ),
        ],
    ),
    FunctionExercise(
        id="7.5",
        keeps="fold",
        title="Fold the layer away",
        solution=fold,
        inputs=_layer,
        axes=("input", "unit"),  # of W
        returns=("weight", "bias"),
        hint=(
            "With $x = uW + b$, write $\\gamma\\,(x - \\mathrm{E}[x])/"
            "\\sqrt{\\mathrm{Var}[x]+\\varepsilon} + \\beta$ as $uW' + b'$.",
            "Every output has one slope, `gamma / np.sqrt(var + eps)`; it multiplies a *column* of "
            "`weight`.",
        ),
        praise="The layer is gone, and no output has changed.",
        wrong_turns=[
            WrongTurn(
                "bias not scaled",
                _fold_bias_unscaled,
                "`weight` is right. In your `bias`, `b` itself must be multiplied by the slope, "
                "too: it goes through the normalization like the rest.",
            ),
            WrongTurn(
                "bias forgotten",
                _fold_no_bias,
                "`weight` is right. Your `bias` forgets the bias that the linear layer had.",
            ),
            WrongTurn(
                "β forgotten",
                _fold_no_beta,
                "`weight` is right. Your `bias` forgets β.",
            ),
            WrongTurn(
                "variance, not its root",
                _fold_variance,
                "You divide by the variance; the slope has its square root.",
            ),
            WrongTurn(
                "ε outside",
                _fold_eps_outside,
                "Your `eps` stands outside the root: it must be added to the variance.",
            ),
            WrongTurn(
                "mean forgotten",
                _fold_no_mean,
                "`weight` is right. Your `bias` forgets to subtract the running mean.",
            ),
        ],
    ),
    ValueExercise(
        id="7.6",
        title="How long does the start value count?",
        solution=updates_until_one_percent,
        rtol=0.0,
        atol=0.5,
        unit="updates",
        hint=(
            "After one update the start value weighs 0.9, after two 0.9 · 0.9.",
            "Solve $0.9^t = 0.01$ with logarithms, and round up.",
        ),
        praise="And after ten updates it still weighs $0.9^{10} = 0.35$.",
        wrong_turns=[
            WrongTurn(
                "1/momentum",
                10,
                "After 10 updates the start value still weighs $0.9^{10}$, about a third.",
            ),
            WrongTurn(
                "momentum is the weight of the old value",
                2,
                "That would be $0.1^t$: momentum as the weight of the *old* value. Here the old "
                "value weighs 0.9.",
            ),
            WrongTurn("1 % means 100", 100, "After 100 updates it weighs far less: $0.9^{100}$."),
            WrongTurn(
                "rounded down",
                43,
                "Just short: $0.9^{43}$ is still a little above 1 %.",
            ),
        ],
    ),
]

QUIZ = [
    Question(
        "A model answers the same picture differently in different batches. Why?",
        {
            "Its weights are random": "Then the answer would not depend on the batch.",
            "It is still in training mode": "The batch's own statistics are in use: call `eval()`.",
            "Dropout": "It would differ even for the same batch; here the rest of the batch "
            "decides.",
        },
        correct=1,
    ),
    Question(
        "Keras' `momentum=0.99` is PyTorch's …",
        {
            "`momentum=0.99`": "PyTorch weighs the new value, Keras the old one.",
            "`momentum=0.01`": "One minus it.",
            "`momentum=None`": "That averages all batches alike.",
        },
        correct=1,
    ),
    Question(
        "What does `eval()` do to gradients?",
        {
            "It switches them off": "That is `torch.no_grad()`.",
            "Nothing: they flow, along a straight line": "The statistics are constants then.",
            "It freezes γ and β": "They still get gradients.",
        },
        correct=1,
    ),
    Question(
        "The test images are darker than the training images, and errors soar. A cheap repair?",
        {
            "Use training mode with batches of one": "Then every answer is the same.",
            "Re-estimate the running statistics on unlabelled test images": "No label is needed, "
            "and a change of brightness or contrast is undone but for ε, while no pixel is cut "
            "off.",
            "Raise ε": "That changes what counts as silent, not where the mean lies.",
        },
        correct=1,
    ),
]
