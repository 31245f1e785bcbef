"""Exercises and quiz of notebook 12, more than one device."""

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

# ── 12.1 ────────────────────────────────────────────────────────────────────────────────────────


def combine(shares):
    m = sum(m_k for m_k, mean_k, M2_k in shares)
    mean = sum(m_k * mean_k for m_k, mean_k, M2_k in shares) / m
    within = sum(M2_k for m_k, mean_k, M2_k in shares)
    between = sum(m_k * (mean_k - mean) ** 2 for m_k, mean_k, M2_k in shares)
    return m, mean, within + between


def _combine_stacked(shares):
    m = torch.tensor([float(share[0]) for share in shares], dtype=shares[0][1].dtype)[:, None]
    mean, M2 = (torch.stack([share[i] for share in shares]) for i in (1, 2))
    joint = (m * mean).sum(0) / m.sum()
    return m.sum(), joint, (M2 + m * (mean - joint) ** 2).sum(0)


def _combine_one_after_the_other(shares):
    m, mean, M2 = shares[0]
    for m_k, mean_k, M2_k in shares[1:]:
        if m_k:
            gap = mean_k - mean
            M2 = M2 + M2_k + gap**2 * m * m_k / (m + m_k)
            mean = mean + gap * m_k / (m + m_k)
            m = m + m_k
    return m, mean, M2


def _triple(x):
    """(m, mean, M2) of rows (m, C); an empty share sends zeros."""
    mean = x.mean(0) if len(x) else x.new_zeros(x.shape[1])
    return len(x), mean, ((x - mean) ** 2).sum(0)


def _shares(rng):
    """The triples of four or five shares of different size and mean; one of them is empty."""
    rows = [*rng.permutation(range(2, 9))[: rng.integers(3, 5)], 0]
    found = []
    for m in rng.permutation(rows):
        x = rng.normal(size=(m, 3)) * rng.uniform(0.5, 2, 3) + rng.normal(size=3)
        found.append(_triple(torch.tensor(x)))
    return (found,)


def _far_from_zero(combine, rng):
    """Data at mean 1e4 in float32: a sentence where the digits are lost."""
    x = torch.tensor(rng.normal(size=(24, 3)) + 1e4).float()
    m, _, M2 = combine([_triple(part) for part in x.split([9, 4, 11])])
    wanted = x.double().var(0, correction=0)
    if not torch.allclose(torch.as_tensor(M2).double() / m, wanted, rtol=0.05):
        return (
            "Right near 0. But for float32 data with mean 10,000 and variance 1 your variance is "
            "off by more than 5 %: squares of means are 100,000,000 there, and float32 keeps seven "
            "digits. Square differences of means instead."
        )
    return None


def _equal_weights(shares):
    m = combine(shares)[0]
    plain = sum(mean_k for _, mean_k, _ in shares) / len(shares)
    M2 = sum(M2_k + m_k * (mean_k - plain) ** 2 for m_k, mean_k, M2_k in shares)
    return m, plain, M2


def _within_alone(shares):
    m, mean, _ = combine(shares)
    return m, mean, sum(M2_k for _, _, M2_k in shares)


def _unweighted_between(shares):
    m, mean, _ = combine(shares)
    return m, mean, sum(M2_k + (mean_k - mean) ** 2 for _, mean_k, M2_k in shares)


def _variance_returned(shares):
    m, mean, M2 = combine(shares)
    return m, mean, M2 / m


# ── 12.3 ────────────────────────────────────────────────────────────────────────────────────────


def bytes_a_step():
    channels = [64, 128, 256]
    forward = sum(3 * C + 1 for C in channels)  # numbers
    backward = sum(2 * C for C in channels)
    return 4 * (forward + backward)


# ── 12.4 ────────────────────────────────────────────────────────────────────────────────────────


def weighted(loss, rows, rank):
    share = rows[rank] / sum(rows)  # this rank's part of the joint batch
    ranks = len(rows)
    return loss * share * ranks  # DDP divides by the number of ranks


def _loss_and_rows(rng):
    rows = [int(m) for m in rng.permutation(range(2, 12))[: rng.integers(3, 6)]]
    return float(rng.uniform(0.5, 3)), rows, int(rng.integers(len(rows)))


# ── 12.5 ────────────────────────────────────────────────────────────────────────────────────────


def normalizes_as_one(normalize):
    x = torch.randn(10, 3) + 10_000  # far from 0, in float32
    x[:3] += 5  # shares with different means
    shares = x.split([3, 0, 5, 2])  # of different size, one empty
    y = torch.cat(list(normalize(shares)))
    wanted = bt.batch_norm(x.double(), None, None, training=True)
    return torch.allclose(y.double(), wanted, atol=0.01)


def _back_to_shares(y, shares):
    return list(y.split([len(share) for share in shares]))


def _on_the_joint_batch(shares):
    return _back_to_shares(bt.batch_norm(torch.cat(shares), None, None, training=True), shares)


def _by(statistics, dtype=torch.float64):
    """A normalize(shares) that takes its (mean, var) from the shares' triples."""

    def normalize(shares):
        mean, var = statistics([_triple(share.to(dtype)) for share in shares])
        return [
            ((share.to(dtype) - mean) / (var + 1e-5) ** 0.5).to(share.dtype) for share in shares
        ]

    return normalize


def _of_combine(shares):
    m, mean, M2 = combine(shares)
    return mean, M2 / m


def _of_average_variances(shares):
    m, mean, _ = combine(shares)
    return mean, sum(M2_k for _, _, M2_k in shares) / m


def _of_equal_weights(shares):
    """As if every share that is not empty had the same number of rows."""
    return _of_combine([(1, mean_k, M2_k / m_k) for m_k, mean_k, M2_k in shares if m_k])


def _each_alone(shares):
    return [
        bt.batch_norm(share, None, None, training=True)
        if len(share) > 1
        else torch.zeros_like(share)
        for share in shares
    ]


def _squares(shares):
    """Sums of x and x² over all shares, in the data's own format."""
    m = sum(len(share) for share in shares)
    mean = sum(share.sum(0) for share in shares) / m
    var = sum((share**2).sum(0) for share in shares) / m - mean**2
    return [(share - mean) / (var.clamp_min(0) + 1e-5) ** 0.5 for share in shares]


def _no_empty_share(shares):
    if any(len(share) == 0 for share in shares):
        return [share * float("nan") for share in shares]
    return _on_the_joint_batch(shares)


EXERCISES = [
    FunctionExercise(
        id="12.1",
        title="Combine the shares",
        keeps="combine",
        solution=combine,
        inputs=_shares,
        returns=("m", "mean", "M2"),
        variants=(_combine_stacked, _combine_one_after_the_other),
        also=(_far_from_zero,),
        hint=(
            "The joint mean is a mean over all rows. A share with twice as many rows counts twice.",
            "A row's distance from the joint mean is its distance from its share's mean plus the "
            "distance between the two means. Summed over a share, the product of the two is 0.",
            "So `M2` is the sum of two parts: that of the shares' own `M2_k`, and that of "
            "`m_k` times the squared distance of `mean_k` from the joint mean.",
        ),
        praise="Three numbers a channel are all that a share has to tell, and the result is such a "
        "triple again.",
        wrong_turns=[
            WrongTurn(
                "equal weights",
                _equal_weights,
                "Your mean is the plain average of the shares' means. A share with more rows "
                "counts for more; an empty one for nothing.",
            ),
            WrongTurn(
                "within alone",
                _within_alone,
                "Your `m` and `mean` are right. `M2` adds up what lies within the shares; what "
                "lies between their means is missing.",
            ),
            WrongTurn(
                "between not weighted",
                _unweighted_between,
                "Your `m` and `mean` are right. In `M2` the distance of a share's mean counts once "
                "for each of its rows.",
            ),
            WrongTurn(
                "variance returned",
                _variance_returned,
                "Your `m` and `mean` are right. The third number is a variance; return the sum of "
                "squares, so that the result can be combined again.",
            ),
        ],
    ),
    PredictionExercise(
        id="12.2",
        title="Whose running statistics?",
        choices=("rank 0's", "the mean of both", "the joint batch's"),
        hint="Gradients are averaged over the ranks. Running statistics are no gradients: what "
        "does DistributedDataParallel do with buffers before each forward pass?",
        praise="The gradients are averaged, the buffers are not: before each forward pass every "
        "rank gets those of rank 0.",
        note="The gradients are averaged, the buffers are not: before each forward pass every rank "
        "gets those of rank 0, and what the others had gathered is overwritten.",
        wrong_turns=[
            WrongTurn(
                "the mean of both",
                "the mean of both",
                "That is what happens to gradients. Buffers are copied from rank 0 before each "
                "forward pass, and what rank 1 had gathered is overwritten.",
            ),
            WrongTurn(
                "the joint batch's",
                "the joint batch's",
                "No process has seen the joint batch, and nothing tells one of the other's "
                "activations. Buffers are copied from rank 0 before each forward pass.",
            ),
        ],
    ),
    ValueExercise(
        id="12.3",
        title="What does it send?",
        solution=bytes_a_step,
        rtol=1e-9,
        unit="bytes",
        hint=(
            "Count numbers first, layer by layer. On the way forward: how many for a layer with 64 "
            "channels? The count of rows is one number for the whole layer.",
            "Forward $3 \\cdot 64 + 1$ numbers, backward $2 \\cdot 64$; a number in float32 has "
            "four bytes.",
        ),
        praise="The size of the batch is nowhere in it, nor that of the maps.",
        wrong_turns=[
            WrongTurn(
                "forward only", 5388, "That is the way forward. Going back, there are two sums."
            ),
            WrongTurn("backward only", 3584, "That is the way back. What goes forward?"),
            WrongTurn("numbers", 2243, "These are numbers; a float32 has four bytes."),
            WrongTurn("no count", 8960, "Nearly: each layer sends its count of rows, too."),
            WrongTurn(
                "twice",
                17944,
                "Twice too much: count what one rank hands over, and four bytes for a float32.",
            ),
            WrongTurn(
                "two a channel",
                7180,
                "You count two numbers a channel on the way forward, a mean and an `M2`. bnlib's "
                "layer sends the mean in two parts.",
            ),
        ],
    ),
    FunctionExercise(
        id="12.4",
        title="Shares of different size",
        keeps="weighted",
        solution=weighted,
        inputs=_loss_and_rows,
        hint=(
            "The mean loss of the joint batch is a sum over the ranks: each rank's mean loss times "
            "its part of the rows.",
            "DistributedDataParallel adds the gradients of all ranks and then divides by the "
            "number of ranks. Your factor has to undo this division.",
        ),
        praise="With equal shares the factor is 1, and that is why nobody misses it there.",
        wrong_turns=[
            WrongTurn(
                "share alone",
                lambda loss, rows, rank: loss * rows[rank] / sum(rows),
                "The weight is right, but DistributedDataParallel divides by the number of ranks "
                "once more.",
            ),
            WrongTurn(
                "sum of the share",
                lambda loss, rows, rank: loss * rows[rank],
                "That is the sum over the share's rows; the mean over the joint batch is wanted, "
                "after a division by the number of ranks.",
            ),
            WrongTurn(
                "unchanged",
                lambda loss, rows, rank: loss,
                "Unchanged, every share has the same weight, and a row of a small share counts "
                "for more than one of a large share.",
            ),
            WrongTurn(
                "upside down",
                lambda loss, rows, rank: loss * sum(rows) / (rows[rank] * len(rows)),
                "Upside down: a share with more rows weighs more.",
            ),
        ],
    ),
    TestExercise(
        id="12.5",
        title="A test for many",
        solution=normalizes_as_one,
        right={
            "one process on the joint batch": _on_the_joint_batch,
            "shares combined": _by(_of_combine),
        },
        wrong=[
            WrongTurn(
                "each alone",
                _each_alone,
                "Shares that are each normalized by themselves slip through. What should the "
                "outputs of all shares together be equal to?",
            ),
            WrongTurn(
                "variances averaged",
                _by(_of_average_variances),
                "A layer slips through that averages the shares' variances. When does that matter? "
                "When the shares' means differ.",
            ),
            WrongTurn(
                "equal weights",
                _by(_of_equal_weights),
                "A layer slips through that gives every share the same weight. With which shares "
                "does it show?",
            ),
            WrongTurn(
                "no empty share",
                _no_empty_share,
                "A layer slips through that gives NaN as soon as one share is empty, as the last "
                "one may be.",
            ),
            WrongTurn(
                "squares",
                _squares,
                "A layer slips through that takes the variance from sums of $x$ and $x^2$. "
                "Notebook 03 showed where that fails: far from 0, in float32.",
            ),
        ],
        hint=(
            "`torch.cat(list(normalize(shares)))` is the output for the joint batch. With what do "
            "you compare it?",
            "Choose shares that are as unequal as they can be: in size, in mean; and one of them "
            "empty.",
            "`x.split([3, 0, 5, 2])` cuts ten rows. Put the data far from 0 (`+ 10_000`, in "
            "float32), compute what is wanted in float64, and allow for rounding (`atol=0.01`).",
        ),
        praise="Unequal sizes, unequal means, an empty share, far from 0: four things that equal "
        "random shares hide.",
    ),
]

QUIZ = [
    Question(
        "Eight devices with 4 digits each train with DistributedDataParallel and BatchNorm1d. A "
        "digit is normalized with the statistics of …",
        {
            "4 digits": "Each process normalizes its own share.",
            "32 digits": "Only with SyncBatchNorm: DistributedDataParallel averages gradients, "
            "and no activations.",
            "one digit": "That would be layer normalization.",
        },
        correct=0,
    ),
    Question(
        "Two shares of equal size have variance 1 each, and the means 0 and 2. The variance of the "
        "joint batch is …",
        {
            "1": "That is the average of the variances; the means differ, too.",
            "2": "1 within the shares, and 1 between their means, which lie 1 from the joint one.",
            "5": "The means lie 1, not 2, from the joint mean.",
        },
        correct=1,
    ),
    Question(
        "What does synchronizing a layer cost?",
        {
            "As much as the gradients": "A few percent of them: five numbers a channel.",
            "Mostly the waiting, once forward and once back": "The messages are small; each of "
            "them is a meeting of all ranks.",
            "More, the larger the batch is": "What is sent does not depend on the batch.",
        },
        correct=1,
    ),
    Question(
        "You accumulate gradients over 4 batches of 16 before each step. For Batch Normalization "
        "this is …",
        {
            "a batch of 64": "The gradients add up; the statistics were those of 16.",
            "four batches of 16": "As on four devices that do not synchronize.",
            "no batch at all": "Each of the four is normalized in training mode.",
        },
        correct=1,
    ),
    Question(
        "After unsynchronized training in which rank 0 saw other digits than the other ranks, the "
        "saved statistics …",
        {
            "are rank 0's alone": "Recompute them on digits of all kinds before you measure.",
            "are the average over the ranks": "Buffers are not averaged.",
            "do no harm in evaluation mode": "Evaluation mode is where they are used.",
        },
        correct=0,
    ),
]
