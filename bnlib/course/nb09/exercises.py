"""Exercises and quiz of notebook 09, from NumPy to torch. torch is imported where it is used."""

import numpy as np

from bnlib.course.kit.exercises import (
    FunctionExercise,
    PredictionExercise,
    ValueExercise,
    WrongTurn,
)
from bnlib.course.kit.properties import normalized, order_changes_nothing
from bnlib.course.kit.quiz import Question

# ── 9.2 ─────────────────────────────────────────────────────────────────────────────────────────


def normalize(x, eps):
    mu_B = x.mean(dim=(0, 2, 3), keepdim=True)
    var_B = x.var(dim=(0, 2, 3), keepdim=True, correction=0)  # torch divides by m − 1 otherwise
    return (x - mu_B) / (var_B + eps).sqrt()


def _images(rng):
    import torch

    N = rng.integers(6, 11)
    scale = rng.permutation([0.1, *rng.uniform(0.5, 2, size=2)])  # one variance below eps
    x = rng.normal(size=(N, 3, 2, 5)) + rng.normal(size=(N, 1, 1, 1))
    x = x * scale.reshape(1, 3, 1, 1) + rng.uniform(-3, 3, size=(1, 3, 1, 1))
    return torch.tensor(x), rng.uniform(0.05, 0.2)


def _unbiased_here(x, eps):
    mean = x.mean(dim=(0, 2, 3), keepdim=True)
    return (x - mean) / (x.var(dim=(0, 2, 3), keepdim=True) + eps).sqrt()


# ── 9.3 ─────────────────────────────────────────────────────────────────────────────────────────


def statistics(x):
    x = x.float()  # first widen, then add
    mu_B = x.mean(dim=0)
    return mu_B, ((x - mu_B) ** 2).mean(dim=0)


def _half(rng):
    import torch

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


# ── 9.4 ─────────────────────────────────────────────────────────────────────────────────────────


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
    FunctionExercise(
        id="9.2",
        title="Normalize images in torch",
        solution=normalize,
        inputs=_images,
        statistics_axis=(0, 2, 3),
        properties=(normalized(axis=(0, 2, 3)), order_changes_nothing()),
        autograd=True,
        hint=(
            "As in NumPy, with `dim` for `axis` and `keepdim` for `keepdims`.",
            "`torch.var` divides by $m-1$ unless you say `correction=0`.",
        ),
        praise="And autograd gets its gradient for nothing.",
        wrong_turns=[
            WrongTurn(
                "torch.var's m − 1",
                _unbiased_here,
                "`torch.var` and `torch.std` divide by $m-1$ unless told otherwise: pass "
                "`correction=0`.",
            ),
        ],
    ),
    FunctionExercise(
        id="9.3",
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
                "Your mean is rounded to bfloat16: torch adds in float32, but hands back the "
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
        id="9.4",
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
            "everything that forward computed": "That costs memory: $\\hat{x}$ follows from $x$, "
            "the mean and $1/s$.",
            "what backward uses, and no more": "$x$ and two numbers per channel are enough.",
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
