"""Exercises and quiz of notebook 17, asked most."""

from copy import deepcopy

import numpy as np
import torch
from torch import nn

import bnlib.torch as bt
from bnlib.course.kit.exercises import (
    PredictionExercise,
    TestExercise,
    ValueExercise,
    WrongTurn,
)
from bnlib.course.kit.quiz import Question

# ── 17.2 ────────────────────────────────────────────────────────────────────────────────────────


def ported():
    momentum = 1 - 0.9  # the weight of the new value
    eps = 1e-3  # it belongs to the layer: 1e-5 would be another function
    running_var = 4.0  # evaluation uses what is stored, as it is stored
    return [momentum, eps, running_var]


# ── 17.3 ────────────────────────────────────────────────────────────────────────────────────────


def two_readings():
    late = {1: "high", 2: "low", 3: "high", 4: "high"}
    shifted = {1: "high", 2: "low", 3: "low", 4: "high"}  # its own mean and variance mend it
    overfitted = {1: "high", 2: "low", 3: "low", 4: "low"}
    pairs = [(i, j) for i in range(1, 5) for j in range(i + 1, 5)]
    for i, j in pairs:
        seen = {(cause[i], cause[j]) for cause in (late, shifted, overfitted)}
        if len(seen) == 3:  # three causes, three outcomes
            return [i, j]


# ── 17.4 ────────────────────────────────────────────────────────────────────────────────────────


def diagnoses():
    # A  its momentum is 0.99: the stored statistics are those of the last four digits
    # B  num_batches_tracked is 0, every running mean 0: the statistics were never loaded
    # C  30 batches at momentum 0.01: the start value still weighs three quarters
    # D  print(model): Linear, ReLU, BN. The numbers are those of a net with BN before ReLU
    # E  one running variance is NaN
    return [4, 14, 1, 7, 13]


# ── 17.5 ────────────────────────────────────────────────────────────────────────────────────────


def is_ready(make_model):
    model, rows = make_model()
    if any(module.training for module in model.modules()):
        return False  # some layer would use the batch's statistics
    with torch.no_grad():
        stored = model(rows)
        of_batch = deepcopy(model).train()(rows)
    return (stored - of_batch).abs().mean().item() < 0.3  # False with NaN, too


def _made(fault=None, norm=nn.BatchNorm1d, momentum=0.1, rounds=4):
    """A function that makes (model in eval mode, 500 rows such as it was trained on).

    fault   function (model, norms, rows) that spoils it, or None
    rounds  how often it has seen the 1,500 rows, in batches of 100
    """

    def make_model():
        with torch.device("cpu"):
            draw = torch.Generator().manual_seed(17)
            rows = 2 * torch.rand(1500, 30, generator=draw) + torch.rand(30, generator=draw)
            model = nn.Sequential(
                nn.Linear(30, 40, bias=False), norm(40), nn.ReLU(),
                nn.Linear(40, 40, bias=False), norm(40), nn.ReLU(), nn.Linear(40, 10),
            )  # fmt: skip
            with torch.no_grad():
                for parameter in model.parameters():
                    start, spread = (0.0, 0.18) if parameter.ndim > 1 else (1.0, 0.1)
                    noise = torch.randn(parameter.shape, generator=draw)
                    parameter.copy_(start + spread * noise)
                norms = [layer for layer in model if isinstance(layer, nn.BatchNorm1d)]
                for layer in norms:
                    layer.momentum = momentum
                for batch in rows.split(100) * rounds:
                    model(batch)
                model.eval()
                if fault:
                    fault(model, norms, rows)
        return model, rows[:500]

    return make_model


def _in_training_mode(model, norms, rows):
    model.train()


def _one_in_training_mode(model, norms, rows):
    norms[1].train()


def _never_loaded(model, norms, rows):
    for layer in norms:
        layer.reset_running_stats()


def _one_never_loaded(model, norms, rows):
    norms[1].reset_running_stats()


def _spoiled(model, norms, rows):
    norms[0].running_var[3] = float("nan")


def _recomputed(model, norms, rows):
    bt.recompute_statistics(model, rows.split(100))


def _of_other_light(model, norms, rows):
    bt.recompute_statistics(model, (rows + 1.0).split(100))


def _modes_alone(make_model):
    model, _ = make_model()
    return not any(module.training for module in model.modules())


def _top_mode_and_counter(make_model):
    model, _ = make_model()
    counts = [v for name, v in model.named_buffers() if name.endswith("num_batches_tracked")]
    return not model.training and all(count > 0 for count in counts)


def _finite_answers(make_model):
    model, rows = make_model()
    return bool(torch.isfinite(model(rows)).all()) and _modes_alone(make_model)


EXERCISES = [
    PredictionExercise(
        id="17.1",
        title="How long does it take to heal?",
        choices=("one", "about 7", "about 70", "it never does"),
        hint="What is 0.9 times infinity? And NaN plus something?",
        praise="An average keeps a part of all that it ever took in, and no part of infinity is "
        "finite.",
        note="$0.9 \\cdot \\infty = \\infty$, and $0.9 \\cdot \\mathrm{NaN} = \\mathrm{NaN}$: a "
        "running average never forgets these two. Start the statistics afresh, or recompute them.",
        wrong_turns=[
            WrongTurn(
                "one",
                "one",
                "With momentum 1 one batch would replace the old value. Here nine tenths of it "
                "stay, and nine tenths of NaN are NaN.",
            ),
            WrongTurn(
                "half-life of 0.1",
                "about 7",
                "After 7 batches a *number* weighs less than one half. NaN does not get lighter.",
            ),
            WrongTurn(
                "half-life of 0.01",
                "about 70",
                "However often you multiply infinity by 0.9, it stays infinity.",
            ),
        ],
    ),
    ValueExercise(
        id="17.2",
        title="From Keras to PyTorch",
        solution=ported,
        rtol=1e-6,
        entries=("`momentum`", "`eps`", "`running_var`"),
        hint=(
            "Which of the three says how training goes on, and which ones are part of what the "
            "layer computes in `eval()`?",
            "In `eval()` both libraries divide by $\\sqrt{\\mathrm{Var}[x] + \\varepsilon}$ with "
            "the stored variance. Does it matter there how it was estimated?",
        ),
        praise="Whatever was stored is used as it is stored, with the $\\varepsilon$ of the net "
        "that it was trained in. The momentum alone is turned around, and evaluation does not use "
        "it.",
        note="Batch for batch the two do not train alike: Keras blends in the biased variance, "
        "PyTorch the unbiased one, which is 5/4 of it at $m = 5$.",
        wrong_turns=[
            WrongTurn(
                "momentum as it is",
                np.array([0.9, 1e-3, 4.0]),
                "$\\varepsilon$ and the variance are right. Whose value does PyTorch's momentum "
                "weigh, the old one or the new one?",
            ),
            WrongTurn(
                "made unbiased",
                np.array([0.1, 1e-3, 4.0 * 5 / 4]),
                "Momentum and $\\varepsilon$ are right. With that variance `eval()` would give "
                "other answers than Keras: what was stored is used as it is.",
            ),
            WrongTurn(
                "made biased once more",
                np.array([0.1, 1e-3, 4.0 * 4 / 5]),
                "Momentum and $\\varepsilon$ are right. Keras keeps the biased variance already, "
                "and `eval()` uses it as it is.",
            ),
            WrongTurn(
                "torch's own eps",
                np.array([0.1, 1e-5, 4.0]),
                "Momentum and variance are right. 1e-5 is PyTorch's default; the net was trained "
                "with another $\\varepsilon$.",
            ),
        ],
    ),
    ValueExercise(
        id="17.3",
        title="Two readings that decide",
        solution=two_readings,
        rtol=0,
        hint=(
            "Make a table: a row for each cause, a column for each reading. What would you see, "
            "high or low?",
            "A reading that is the same for all three causes tells nothing. Two of the four are "
            "such.",
        ),
        praise="Late statistics are repaired by the training set; data brighter or paler than it "
        "by their own statistics alone (moved or turned pictures are not repaired: they look like "
        "overfitting here); an overfitted net by neither.",
        wrong_turns=[
            WrongTurn(
                "the other way round",
                np.array([4, 3]),
                "These are the two. Write the smaller number first.",
            ),
            WrongTurn(
                "the two that never change",
                np.array([1, 2]),
                "Reading 1 is high and reading 2 is low whatever the cause: these two tell "
                "nothing that you did not know.",
            ),
            WrongTurn(
                "training set and its statistics",
                np.array([1, 3]),
                "Reading 3 finds late statistics; reading 1 is high whatever the cause. Shifted "
                "data and overfitting still look alike: what would repair one of them?",
            ),
            WrongTurn(
                "before and after recomputing on the training set",
                np.array([2, 3]),
                "Reading 3 finds late statistics; reading 2 is low whatever the cause. Shifted "
                "data and overfitting still look alike: what would repair one of them?",
            ),
            WrongTurn(
                "each set by its own statistics",
                np.array([1, 4]),
                "Reading 4 finds overfitting; reading 1 is high whatever the cause. Late "
                "statistics and shifted data still look alike: what repairs the one alone?",
            ),
            WrongTurn(
                "before and after recomputing on the validation set",
                np.array([2, 4]),
                "Reading 4 finds overfitting; reading 2 is low whatever the cause. Late "
                "statistics and shifted data still look alike: what repairs the one alone?",
            ),
        ],
    ),
    ValueExercise(
        id="17.4",
        title="Five patients",
        solution=diagnoses,
        rtol=0,
        entries=("A", "B", "C", "D", "E"),
        hint=(
            "Print each net and look at its order of layers and its momentum; then at "
            "`num_batches_tracked`, `running_mean` and `running_var` of each BN.",
            "Two of them are about momentum. One took in few batches; the other took in many, and "
            "forgot nearly all of them.",
        ),
        praise="Each of them can be repaired without training (C, stopped after 30 steps, would "
        "gain from more of it). A table of such readings belongs in every mail that asks for "
        "help.",
        wrong_turns=[
            WrongTurn(
                "A and C exchanged",
                np.array([1, 14, 4, 7, 13]),
                "B, D and E are right. Which of A and C has seen few batches, and which many?",
            ),
            WrongTurn(
                "B and C exchanged",
                np.array([4, 1, 14, 7, 13]),
                "A, D and E are right. Late is not never: how many batches did each of B and C "
                "count?",
            ),
            WrongTurn(
                "A as late",
                np.array([1, 14, 1, 7, 13]),
                "B, C, D and E are right. A counted 301 batches: the statistics are not late, but "
                "how many of those batches do they remember?",
            ),
            WrongTurn(
                "C as momentum",
                np.array([4, 14, 4, 7, 13]),
                "A, B, D and E are right. C's momentum is that of Keras and Flax, and would be "
                "fine in a longer training.",
            ),
            WrongTurn(
                "D as late",
                np.array([4, 14, 1, 1, 13]),
                "A, B, C and E are right. D counted 300 batches at momentum 0.1. Print it beside "
                "`model`.",
            ),
            WrongTurn(
                "D as never loaded",
                np.array([4, 14, 1, 14, 13]),
                "A, B, C and E are right. D has statistics, of 300 batches. Print it beside "
                "`model`.",
            ),
        ],
    ),
    TestExercise(
        id="17.5",
        title="Is it ready to ship?",
        solution=is_ready,
        right={
            "running averages": _made(),
            "momentum 0.01, statistics recomputed": _made(_recomputed, momentum=0.01),
            "LayerNorm instead of BN": _made(norm=nn.LayerNorm),
        },
        wrong=[
            WrongTurn(
                "in training mode",
                _made(_in_training_mode),
                "A net in training mode slips through.",
            ),
            WrongTurn(
                "one layer in training mode",
                _made(_one_in_training_mode),
                "A net slips through in which a single layer is in training mode: "
                "`model.training` is that of the outermost module.",
            ),
            WrongTurn(
                "never loaded",
                _made(_never_loaded),
                "A net slips through whose statistics were never loaded.",
            ),
            WrongTurn(
                "one never loaded",
                _made(_one_never_loaded),
                "A net slips through in which one layer's statistics were never loaded.",
            ),
            WrongTurn(
                "NaN in a channel",
                _made(_spoiled),
                "A net slips through in which one running variance is NaN.",
            ),
            WrongTurn(
                "statistics of other data",
                _made(_of_other_light),
                "A net slips through whose statistics are finite, and those of other data. What "
                "do your 500 rows say about it?",
            ),
            WrongTurn(
                "too few batches",
                _made(momentum=0.01, rounds=1),
                "A net slips through whose statistics are still close to their start values: they "
                "came too late.",
            ),
        ],
        hint=(
            "Which mode must each module be in? `model.modules()` gives all of them.",
            "You have 500 rows. If the stored statistics are right, how much does the output "
            "change when a copy of the net uses the statistics of these rows instead?",
            "Compare `model(rows)` with `deepcopy(model).train()(rows)`. A comparison such as "
            "`difference < 0.3` is False for NaN.",
        ),
        praise="No label and no training, and seven ways of shipping a wrong net are found.",
    ),
]

QUIZ = [
    Question(
        "Good in `train()`, bad in `eval()`. What do you read first?",
        {
            "the training set in `eval()`": "If it is read badly, too, the stored statistics are "
            "wrong; if not, look at the data.",
            "the test set in `train()`, and ship that": "Then each answer depends on who else is "
            "in the batch.",
            "the loss, with a smaller rate": "The rate does not change what `eval()` does with "
            "stored statistics.",
        },
        correct=0,
    ),
    Question(
        "Which of these stops a BN's running mean in PyTorch?",
        {
            "`requires_grad_(False)`": "It stops γ and β. The running mean has no gradient anyway.",
            "`torch.no_grad()` around the forward pass": "No gradient is recorded; in `train()` "
            "the average moves all the same.",
            "`.eval()` on the layer": "In this mode it uses the stored numbers, and changes none.",
        },
        correct=2,
    ),
    Question(
        "Four parts of 16 examples, gradients added up. For BN this is …",
        {
            "a batch of 64": "The gradients are averaged over 64, the statistics over 16.",
            "four batches of 16, and one step": "Each part is normalized by itself, and the "
            "running averages move four times.",
            "a batch of 64 if the rate is divided by 4": "No rate changes whose mean is taken.",
        },
        correct=1,
    ),
    Question(
        "`load_state_dict(saved, strict=False)` raised nothing. So …",
        {
            "everything was loaded": "Even if no key fits, it raises nothing.",
            "the shapes were right where keys fit": "A wrong shape is refused even so. What was "
            "missing is in the value that it returns.",
            "running statistics were recomputed": "Nothing is recomputed by loading.",
        },
        correct=1,
    ),
    Question(
        "Someone proposes a larger ε against NaN in `eval()`. When does it help?",
        {
            "if the running variance is NaN": "NaN plus ε is NaN.",
            "if the input is infinite": "Infinity divided by anything finite is infinite.",
            "if a variance plus ε is 0 or less": "Such as a variance that was rounded below 0. "
            "The cause is hidden by it, and not repaired.",
        },
        correct=2,
    ),
    Question(
        "You may keep one habit from this notebook. Which finds the most of the faults above?",
        {
            "asking whether a row alone gets the answer that it gets in a batch": "It finds a "
            "forgotten `eval()`. Late or lost statistics give the same wrong answer twice.",
            "comparing `eval()` with `train()` on training data": "Late, lost, spoiled or foreign "
            "statistics: all make the two differ.",
            "training for longer": "It cures late statistics, and hides the rest.",
        },
        correct=1,
    ),
]
