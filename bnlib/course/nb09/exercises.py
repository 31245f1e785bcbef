"""Exercises and quiz of notebook 09, from NumPy to torch."""

import numpy as np
import torch

import bnlib.torch as bt
from bnlib.course.kit.exercises import (
    ClassExercise,
    FunctionExercise,
    PredictionExercise,
    Refused,
    TestExercise,
    ValueExercise,
    WrongTurn,
)
from bnlib.course.kit.quiz import Question
from bnlib.course.nb09.experiments import TermMissing, broken_function

# ── 9.2 ─────────────────────────────────────────────────────────────────────────────────────────


class BatchNormFunction(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, gamma, beta, eps):
        s = (x.var(dim=0, correction=0) + eps).sqrt()  # torch divides by m − 1 otherwise
        x_hat = (x - x.mean(dim=0)) / s
        ctx.save_for_backward(x_hat, s, gamma)
        return gamma * x_hat + beta

    @staticmethod
    def backward(ctx, dy):
        x_hat, s, gamma = ctx.saved_tensors
        dgamma, dbeta = (dy * x_hat).sum(dim=0), dy.sum(dim=0)
        dx = gamma / s * (dy - dy.mean(dim=0) - x_hat * (dy * x_hat).mean(dim=0))
        return dx, dgamma, dbeta, None  # eps is a number: it has no gradient


def _there_and_back(function, x, gamma, beta, dy, eps):
    """The output and the three gradients, and what gradcheck says."""
    leaves = [tensor.clone().requires_grad_() for tensor in (x, gamma, beta)]
    y = function.apply(*leaves, eps)
    yield "the output", y.detach()
    y.backward(dy)
    for name, leaf in zip(("x", "`gamma`", "`beta`"), leaves, strict=True):
        yield f"the gradient of {name}", leaf.grad
    few = [leaf.detach()[:5].clone().requires_grad_() for leaf in leaves[:1]] + leaves[1:]
    agrees = torch.autograd.gradcheck(function.apply, (*few, eps), raise_exception=False)
    yield "what `gradcheck` says (True or False)", float(agrees)


def _rows(rng):
    m = rng.integers(6, 10)
    x = rng.normal(size=(m, 4)) * rng.uniform(0.5, 2, size=4) + rng.uniform(-3, 3, size=4)
    gamma, beta = rng.uniform(1.5, 3, size=4) * [1, -1, 1, -1], rng.normal(size=4)
    dy = rng.normal(0.3, 1, size=(m, 4))
    return *(torch.tensor(v) for v in (x, gamma, beta, dy)), rng.uniform(0.05, 0.2)


# ── 9.3 ─────────────────────────────────────────────────────────────────────────────────────────

STATISTICS = ("running_mean", "running_var")


class BatchNormModule(torch.nn.Module):
    def __init__(self, num_features, eps=1e-5, momentum=0.1):
        super().__init__()
        self.eps, self.momentum = eps, momentum
        self.weight = torch.nn.Parameter(torch.ones(num_features))  # gamma
        self.bias = torch.nn.Parameter(torch.zeros(num_features))  # beta
        self.register_buffer("running_mean", torch.zeros(num_features))
        self.register_buffer("running_var", torch.ones(num_features))
        self.register_buffer("num_batches_tracked", torch.tensor(0))

    def forward(self, x):
        if not self.training:
            x_hat = (x - self.running_mean) / (self.running_var + self.eps).sqrt()
            return self.weight * x_hat + self.bias
        with torch.no_grad():  # the running statistics are no part of the gradient
            self.num_batches_tracked += 1
            self.running_mean.lerp_(x.mean(dim=0), self.momentum)
            self.running_var.lerp_(x.var(dim=0), self.momentum)  # the unbiased one
        return BatchNormFunction.apply(x, self.weight, self.bias, self.eps)


def _has_its_buffers(module):
    """torch.nn's buffers, in its shapes: without them no checkpoint can be loaded."""
    state = module.state_dict()
    names = (*STATISTICS, "num_batches_tracked")
    missing = [name for name in names if name not in state]
    if missing:
        raise Refused(
            f"`{'`, `'.join(missing)}` missing from `state_dict()`: a plain attribute is neither "
            "saved nor moved to a GPU; `register_buffer` sees to both."
        )
    counter = state["num_batches_tracked"]
    if counter.shape != ():
        raise Refused(
            f"`num_batches_tracked` has shape {tuple(counter.shape)}. It is one number, of shape "
            "(), as in torch.nn, or a checkpoint cannot be loaded: `torch.tensor(0)`."
        )
    if counter.is_floating_point():
        raise Refused(
            "`num_batches_tracked` is a floating-point number, so `.half()` changes its format, "
            "and float16 counts to 2,048 and no further. It must be a whole one, of dtype int64: "
            "`torch.tensor(0)`."
        )


def _life_of_a_module(module_class, batches, digit, eps):
    """Trained, asked, saved and loaded both ways, and moved to another format."""
    module = module_class(4, eps=eps).double()
    _has_its_buffers(module)
    yield "the names in `state_dict()`", tuple(sorted(module.state_dict()))
    yield "the names of `parameters()`", tuple(n for n, _ in module.named_parameters())
    with torch.no_grad():
        module.weight.copy_(torch.tensor([1.5, -0.7, 2.0, 0.4]))
        module.bias.copy_(torch.tensor([0.3, -1.2, 0.8, 2.1]))
    for number, batch in enumerate(batches, 1):
        yield f"the output of batch {number} in training mode", module(batch).detach()
        yield f"`running_mean` after {number} batches", module.running_mean
        yield f"`running_var` after {number} batches", module.running_var
    yield "`num_batches_tracked` after two batches", module.num_batches_tracked
    module.eval()
    yield "the output of one example in inference mode", module(digit).detach()
    yield "`running_mean` after inference mode (nothing is to change there)", module.running_mean
    theirs = torch.nn.BatchNorm1d(4, eps=eps).double()
    theirs.load_state_dict(module.state_dict(), strict=False)  # its names were compared
    yield "the answer of torch.nn's layer with your checkpoint", theirs.eval()(digit).detach()
    theirs.train()(batches[1])
    module.load_state_dict(theirs.state_dict(), strict=False)
    yield "your answer with torch.nn's checkpoint", module(digit).detach()


def _is_your_own(module_class, rng):
    if issubclass(module_class, torch.nn.modules.batchnorm._BatchNorm):
        return (
            "That is the library's module, or one built on it. Write your own: it will be compared "
            "with these."
        )
    return None


def _keeps_no_graph(module_class, rng):
    module = module_class(4)
    module(torch.tensor(rng.normal(size=(6, 4)), dtype=torch.float32, requires_grad=True))
    inside = [name for name, buffer in module.named_buffers() if buffer.requires_grad]
    if inside:
        return (
            f"After a batch that needs a gradient, `{'` and `'.join(inside)}` "
            f"{'needs' if len(inside) == 1 else 'need'} one, too: each batch's graph hangs on the "
            "one before it and is never freed, and the net cannot be copied. Update the buffers "
            "under `torch.no_grad()`."
        )
    return None


def _module_inputs(rng):
    m = rng.integers(6, 10)
    scale, centre = rng.uniform(0.5, 2, size=4), rng.uniform(-3, 3, size=4)
    batches = [torch.tensor(rng.normal(size=(m, 4)) * scale + centre) for _ in range(2)]
    return batches, torch.tensor(rng.normal(size=(1, 4)) * scale + centre), rng.uniform(0.05, 0.2)


def _broken_module(*, unbiased_batch=False, biased=False, swapped=False, plain=False, late=False,
                   half_gradient=False, no_affine=False, no_eps=False):  # fmt: skip
    """A BatchNormModule that goes one wrong way."""

    class Broken(BatchNormModule):
        def __init__(self, num_features, eps=1e-5, momentum=0.1):
            super().__init__(num_features, eps, 1 - momentum if swapped else momentum)
            if no_eps:
                self.eps = 1e-5
            if plain:  # attributes, not buffers: they are not saved
                for name in STATISTICS:
                    setattr(self, name, self._buffers.pop(name))

        def forward(self, x):
            if plain:  # a module that stops would be found by any test, in float64 or float32
                for name in STATISTICS:
                    setattr(self, name, getattr(self, name).to(x))
            before = self.running_var.clone()
            if no_affine:
                y = super().forward(x)
                return (y - self.bias) / self.weight
            if half_gradient and self.training:
                super().forward(x)  # for the running statistics
                return TermMissing.apply(x, self.weight, self.bias, self.eps)
            if not self.training:
                if late:
                    self.running_mean.lerp_(x.mean(dim=0), self.momentum)
                return super().forward(x)
            y = super().forward(x)
            if biased:
                self.running_var.copy_(before.lerp(x.var(dim=0, correction=0), self.momentum))
            if unbiased_batch:
                y = (y - self.bias) * ((len(x) - 1) / len(x)) ** 0.5 + self.bias
            return y

    return Broken


# ── 9.4 ─────────────────────────────────────────────────────────────────────────────────────────


def is_right(module_class):
    torch.manual_seed(0)
    ours, theirs = (kind(3, eps=0.1).double() for kind in (module_class, torch.nn.BatchNorm1d))
    with torch.no_grad():
        for module in (ours, theirs):  # at 1 and 0 a forgotten weight or bias would hide
            module.weight.copy_(torch.tensor([1.5, -0.7, 2.0]))
            module.bias.copy_(torch.tensor([0.3, -1.0, 0.8]))
    for _ in range(3):
        x, dy = torch.randn(2, 5, 3, dtype=torch.float64)
        found = []
        for module in (ours, theirs):
            leaf = (2 * x + 4).requires_grad_()
            y = module(leaf)
            y.backward(dy)
            found += [y, leaf.grad]
        if not torch.allclose(found[0], found[2]) or not torch.allclose(found[1], found[3]):
            return False
    if set(ours.state_dict()) != set(theirs.state_dict()):
        return False
    for _ in range(2):  # asked twice in inference mode: the first must change nothing
        if not torch.allclose(ours.eval()(x), theirs.eval()(x)):
            return False
    return True


# ── 9.5 ─────────────────────────────────────────────────────────────────────────────────────────


def statistics(x):
    x = x.float()  # first widen, then add
    mu_B = x.mean(dim=0)
    return mu_B, ((x - mu_B) ** 2).mean(dim=0)


def _half(rng):
    return (torch.tensor(rng.normal(200.0, 1.0, size=(64, 3))).to(torch.bfloat16),)


def _statistics_in_half(x):
    mu_B = x.mean(dim=0)
    return mu_B, ((x - mu_B) ** 2).mean(dim=0)


def _widened_late(x):
    return x.mean(dim=0).float(), x.var(dim=0, correction=0).float()


def _in_float32(answer, rng):
    kinds = {str(getattr(v, "dtype", type(v).__name__)) for v in answer(*_half(rng))}
    kinds = {kind.removeprefix("torch.") for kind in kinds}
    if kinds != {"float32"}:
        return f"The numbers are right, but come as {', '.join(sorted(kinds))}; return float32."
    return None


def _unbiased(x):
    return x.float().mean(dim=0), x.float().var(dim=0)


def _mean_narrowed(x):
    mu_B = x.float().mean(dim=0)
    return mu_B, ((x.float() - mu_B.to(x.dtype).float()) ** 2).mean(dim=0)


# ── 9.6 ─────────────────────────────────────────────────────────────────────────────────────────


def gap_of_bfloat16_at_256():
    # bfloat16 keeps 7 bits after the leading one: between 2^k and 2^(k+1) its numbers are 2^(k−7)
    # apart, and 256 is 2^8.
    return 2.0 ** (8 - 7)


EXERCISES = [
    PredictionExercise(
        id="9.1",
        title="Sums in half precision",
        choices=("fine", "some digits lost", "NaN"),
        answer="NaN",
        hint="The largest float16 is 65,504. What do 512 values near 300 add up to?",
        praise="512 · 300 is 153,600, more than float16 can hold: infinity, and then NaN.",
        note="512 values near 300 add up to 153,600. The largest float16 is 65,504, so the sum is "
        "infinite, and $x - \\infty$ over infinity is NaN.",
        wrong_turns=[
            WrongTurn(
                "fine",
                "fine",
                "The values fit, their sum does not: 512 · 300 is 153,600, and float16 ends at "
                "65,504.",
            ),
            WrongTurn(
                "some digits lost",
                "some digits lost",
                "That is what happens to the data. The *sum*, 153,600, is beyond float16's 65,504.",
            ),
        ],
    ),
    ClassExercise(
        id="9.2",
        title="A Function of your own",
        keeps="BatchNormFunction",
        solution=BatchNormFunction,
        scenario=_there_and_back,
        inputs=_rows,
        hint=(
            "`forward` is your `normalize`, a scale and a shift, in torch. `torch.var` divides by "
            "$m-1$ unless you say `correction=0`.",
            "Which of its numbers does your one line of exercise 6.8 need? Save those: "
            "`ctx.save_for_backward(x_hat, s, gamma)`.",
            "`backward` returns one gradient for each input of `forward`, in order; for `eps`, a "
            "plain number, it is `None`.",
        ),
        praise="PyTorch calls your two halves now as if they were its own.",
        wrong_turns=[
            WrongTurn(
                "torch.var's m − 1",
                broken_function(unbiased=True),
                "`torch.var` and `torch.std` divide by $m-1$ unless told otherwise: pass "
                "`correction=0`.",
            ),
            WrongTurn(
                "no term through the variance",
                TermMissing,
                "The output is right. In the gradient of x the term through the variance is "
                "missing.",
            ),
            WrongTurn(
                "no term through the mean",
                broken_function(mean=False),
                "The output is right. In the gradient of x the term through the mean is missing.",
            ),
            WrongTurn(
                "no gamma",
                broken_function(scale=False),
                "The output is right. In the gradient of x the factor $\\gamma$ is missing.",
            ),
            WrongTurn(
                "mean for beta",
                broken_function(mean_of_beta=True),
                "The gradient of `beta` is the *sum* of `dy` over the examples, not its mean.",
            ),
        ],
    ),
    ClassExercise(
        id="9.3",
        title="A module with a memory",
        keeps="BatchNormModule",
        solution=BatchNormModule,
        scenario=_life_of_a_module,
        inputs=_module_inputs,
        also=(_is_your_own, _keeps_no_graph),
        hint=(
            "Two `torch.nn.Parameter`, called `weight` and `bias` as in torch.nn, and three "
            'buffers: `register_buffer("running_mean", …)`, `running_var`, '
            "`num_batches_tracked`, which starts as `torch.tensor(0)`.",
            "Training: update the buffers under `torch.no_grad()`, the variance with the unbiased "
            "one, `x.var(dim=0)`; then `BatchNormFunction.apply(x, self.weight, self.bias, "
            "self.eps)`.",
            "Inference: a straight line from the buffers. Nothing changes.",
        ),
        praise="Its checkpoints can be loaded in both directions.",
        wrong_turns=[
            WrongTurn(
                "unbiased for the batch",
                _broken_module(unbiased_batch=True),
                "The batch is normalized with the unbiased variance. Only the running variance "
                "takes that one.",
            ),
            WrongTurn(
                "biased running variance",
                _broken_module(biased=True),
                "`running_mean` is right. `running_var` takes in the biased variance; torch.nn "
                "keeps the unbiased one.",
            ),
            WrongTurn(
                "momentum the other way round",
                _broken_module(swapped=True),
                "Your `momentum` weighs the old value. In PyTorch it weighs the new one.",
            ),
            WrongTurn(
                "updates in inference mode",
                _broken_module(late=True),
                "Your module goes on updating `running_mean` in inference mode: there the stored "
                "numbers are used, and stay.",
            ),
        ],
    ),
    TestExercise(
        id="9.4",
        title="Write the test",
        solution=is_right,
        right={
            "torch.nn.BatchNorm1d": torch.nn.BatchNorm1d,
            "bnlib.torch.BatchNorm1d": bt.BatchNorm1d,
            "the course's own": BatchNormModule,
        },
        wrong=[
            WrongTurn(
                "unbiased for the batch",
                _broken_module(unbiased_batch=True),
                "A module passes your test that normalizes the batch with the unbiased variance.",
            ),
            WrongTurn(
                "biased running variance",
                _broken_module(biased=True),
                "A module passes your test whose running variance is the biased one. How many "
                "examples has your batch?",
            ),
            WrongTurn(
                "momentum the other way round",
                _broken_module(swapped=True),
                "A module passes your test whose momentum weighs the old value. Do you look at it "
                "after training, in inference mode?",
            ),
            WrongTurn(
                "attributes instead of buffers",
                _broken_module(plain=True),
                "A module passes your test that saves no running statistics. What does a "
                "checkpoint "
                "hold?",
            ),
            WrongTurn(
                "updates in inference mode",
                _broken_module(late=True),
                "A module passes your test that goes on learning statistics in inference mode. "
                "Ask it "
                "the same twice.",
            ),
            WrongTurn(
                "half a gradient",
                _broken_module(half_gradient=True),
                "A module passes your test whose gradient lacks the term through the variance. "
                "Does your test call `backward`, with a random gradient from above?",
            ),
            WrongTurn(
                "weight and bias ignored",
                _broken_module(no_affine=True),
                "A module passes your test that ignores `weight` and `bias`. At 1 and 0 that does "
                "not "
                "show.",
            ),
            WrongTurn(
                "eps ignored",
                _broken_module(no_eps=True),
                "A module passes your test that ignores `eps`. Which `eps` do you make it with?",
            ),
        ],
        hint=(
            "Take `torch.nn.BatchNorm1d` as the measure: train both on the same few batches, then "
            "compare outputs in both modes, the gradient of the input, and the names in "
            "`state_dict()`.",
            "Small batches show the factor $m/(m-1)$; inference twice in a row shows what should "
            "not change.",
        ),
        praise="Eight faults, caught by one short test.",
    ),
    FunctionExercise(
        id="9.5",
        title="Statistics of half-precision data",
        solution=statistics,
        inputs=_half,
        returns=("mu_B", "var_B"),
        rtol=1e-5,
        coarsest="float32",
        also=[_in_float32],
        hint=(
            "Which operation must come first, the mean or the change of format?",
            "`x = x.float()` at the top, and nothing else changes.",
        ),
        praise="The data stay small, the sums are kept wide.",
        wrong_turns=[
            WrongTurn(
                "all in bfloat16",
                _statistics_in_half,
                "Your mean is rounded to bfloat16: torch adds in float32, but returns the "
                "format it was given. Widen first: `x = x.float()`.",
            ),
            WrongTurn(
                "widened after rounding",
                _widened_late,
                "You widen after the rounding has happened. Widen first: `x = x.float()`.",
            ),
            WrongTurn(
                "unbiased",
                _unbiased,
                "`mu_B` is right. Your `var_B` divides by $m-1$, as `torch.var` does unless told "
                "otherwise.",
            ),
            WrongTurn(
                "mean narrowed again",
                _mean_narrowed,
                "`mu_B` is right, but you rounded it back to bfloat16 before you measured the "
                "distances from it.",
            ),
        ],
    ),
    ValueExercise(
        id="9.6",
        title="Gaps in bfloat16",
        solution=gap_of_bfloat16_at_256,
        rtol=1e-6,
        hint=(
            "bfloat16 stores 7 bits after the leading one. How many steps lie between 256 and 512?",
            "$2^7 = 128$ steps for a distance of 256.",
        ),
        praise="Data with deviation 1 around 256 have a handful of values left, such as 254, 255, "
        "256, 258: a mean needs more room.",
        wrong_turns=[
            WrongTurn("float16", 0.25, "That is float16, which keeps 10 bits."),
            WrongTurn(
                "just above 1",
                2.0**-7,
                "That is the gap just above 1. It doubles with every power of two, and 256 is "
                "$2^8$.",
            ),
            WrongTurn("one bit too many", 1.0, "That would take 8 stored bits; bfloat16 has 7."),
            WrongTurn(
                "float32",
                float(np.spacing(np.float32(256))),
                "That is float32. bfloat16 has its range, not its precision.",
            ),
        ],
    ),
]

QUIZ = [
    Question(
        "Your `autograd.Function` must save for the backward pass …",
        {
            "everything that forward computed": "That costs memory: $x$, the mean and $y$ are not "
            "needed once $\\hat{x}$ and $s$ are saved.",
            "what backward uses, and no more": "$\\hat{x}$, and $s$ and γ per channel, are enough.",
            "only the output $y$": "From $y$ one gets $\\hat{x}$ back only where γ is not 0.",
        },
        correct=1,
    ),
    Question(
        "`torch.var(x)` and `np.var(x)` differ by …",
        {
            "nothing": "They divide by $m-1$ and by $m$.",
            "the factor $m/(m-1)$": "torch's is the unbiased one.",
            "the number format": "Even in the same format.",
        },
        correct=1,
    ),
    Question(
        "Under mixed precision, which of these stay in `float32`?",
        {
            "the activations": "They are what half precision saves memory on.",
            "the statistics, γ and β": "Small, and every activation passes through them.",
            "nothing": "Sums over thousands of values do not survive half precision.",
        },
        correct=1,
    ),
    Question(
        "A gradient check of the new Function in `float32` shows an error of $10^{-3}$. What next?",
        {
            "Search for the missing term": "Perhaps; but first measure where rounding cannot hide.",
            "Check again in `float64`": "`gradcheck` wants float64: there a wrong term stands out.",
            "Raise the tolerance": "Then the check can no longer fail.",
        },
        correct=1,
    ),
]
