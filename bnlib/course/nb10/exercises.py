"""Exercises and quiz of notebook 10, images."""

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

# ── 10.1 ────────────────────────────────────────────────────────────────────────────────────────


def batch_norm_2d(x, batch_norm):
    N, C, H, W = x.shape
    rows = x.permute(0, 2, 3, 1).reshape(-1, C)  # (N·H·W, C): every place is one more example
    return batch_norm(rows).reshape(N, H, W, C).permute(0, 3, 1, 2)


def _images(rng):
    """(5, 3, 2, 4) whose images, channels and places all differ, and a 1-d batch norm."""
    x = rng.normal(size=(5, 3, 2, 4)) * rng.uniform(0.5, 2, size=(1, 3, 1, 1))
    x += rng.normal(size=(5, 1, 1, 1)) + rng.normal(size=(1, 1, 2, 4))
    x += rng.uniform(-3, 3, size=(1, 3, 1, 1))
    return torch.tensor(x), _one_dimensional(rng)


def _one_dimensional(rng, channels=3):
    """A batch norm of (m, C) rows with γ ≠ 1 and β ≠ 0, which says what else it is given."""
    gamma, beta = torch.tensor(rng.uniform([[0.5], [-1.0]], [[2.0], [1.0]], (2, channels)))

    def batch_norm(rows):
        if rows.ndim != 2 or rows.shape[1] != channels:
            raise ValueError(f"batch_norm takes (m, {channels}) rows; it got {tuple(rows.shape)}")
        scale, shift = gamma.to(rows.dtype), beta.to(rows.dtype)
        return torch.nn.functional.batch_norm(rows, None, None, scale, shift, training=True)

    return batch_norm


def _rows_without_permute(x, batch_norm):
    return batch_norm(x.reshape(-1, x.shape[1])).reshape(x.shape)


def _back_without_permute(x, batch_norm):
    return batch_norm(x.permute(0, 2, 3, 1).reshape(-1, x.shape[1])).reshape(x.shape)


def _left_last(x, batch_norm):
    return batch_norm(x.permute(0, 2, 3, 1).reshape(-1, x.shape[1])).reshape(
        *x.permute(0, 2, 3, 1).shape
    )


def _left_as_rows(x, batch_norm):
    return batch_norm(x.permute(0, 2, 3, 1).reshape(-1, x.shape[1]))


def _each_place(x, batch_norm):
    y = x.clone()
    for h in range(x.shape[2]):
        for w in range(x.shape[3]):
            y[:, :, h, w] = batch_norm(x[:, :, h, w])
    return y


def _each_image(x, batch_norm):
    y = x.clone()
    for n in range(len(x)):
        y[n] = batch_norm(x[n].flatten(1).T).T.reshape(x.shape[1:])
    return y


# ── 10.2 ────────────────────────────────────────────────────────────────────────────────────────


def convolve(u, weight):
    patches = torch.nn.functional.unfold(u, 3, padding=1)  # (N, 9·C, H·W)
    rows = patches.permute(0, 2, 1)  # (N, H·W, 9·C)
    x = rows @ weight.T  # (N, H·W, K): one Linear, at every place
    return x.permute(0, 2, 1).reshape(len(u), len(weight), *u.shape[2:])


def _convolve_columns(u, weight):
    return (weight @ torch.nn.functional.unfold(u, 3, padding=1)).unflatten(2, u.shape[2:])


def _image_and_weights(rng):
    u = torch.tensor(rng.normal(size=(rng.integers(8, 11), 3, 5, 4)))
    return u, torch.tensor(rng.normal(size=(6, 27)))


def _no_padding(u, weight):
    return torch.nn.functional.conv2d(u, weight.reshape(len(weight), -1, 3, 3))


def _places_not_brought_back(u, weight):
    rows = torch.nn.functional.unfold(u, 3, padding=1).transpose(1, 2)
    return (rows @ weight.T).reshape(len(u), len(weight), *u.shape[2:])


def _flipped(u, weight):
    return convolve(u, weight.reshape(-1, 3, 3, 3).flip(2, 3).flatten(1))


def _channels_last_in_the_patch(u, weight):
    return convolve(u, weight.reshape(len(weight), 9, -1).transpose(1, 2).flatten(1))


# ── 10.4 ────────────────────────────────────────────────────────────────────────────────────────


def values_that_count(x):
    of_values = x.var((0, 2, 3), correction=0)
    of_means = x.mean((2, 3)).var(0, correction=0)
    return of_values / of_means


def _alike_within_an_image(rng):
    x = rng.normal(size=(6, 3, 4, 5)) + rng.normal(size=(6, 3, 1, 1))
    return (torch.tensor(x * rng.uniform(0.5, 2, size=(1, 3, 1, 1))),)


def _height_times_width(x):
    return x.new_full((x.shape[1],), x.shape[2] * x.shape[3])


def _inverse(x):
    return 1 / values_that_count(x)


def _deviations(x):
    return values_that_count(x) ** 0.5


def _all_of_the_batch(x):
    return len(x) * values_that_count(x)


def _within(x):
    return x.var((2, 3), correction=0).mean(0) / x.mean((2, 3)).var(0, correction=0)


# ── 10.5 ────────────────────────────────────────────────────────────────────────────────────────


def learned_and_kept():
    weights = 16 * 32 * 3 * 3  # no bias: the mean takes it out
    return np.array([weights + 2 * 32, 2 * 32])  # γ and β are learned, mean and variance kept


# ── 10.6 ────────────────────────────────────────────────────────────────────────────────────────


def treats_places_alike(make_layer):
    layer = make_layer()
    x = torch.randn(8, 3, 6, 5)
    half = x.clone()
    half[:4] = x[:4].roll((2, 1), (2, 3))  # only half of the images move
    y, y_half = layer(x), layer(half)
    return torch.allclose(y_half[:4], y[:4].roll((2, 1), (2, 3)), atol=1e-4)


class _Flattened(torch.nn.Module):
    """One mean for each channel and each index of the kept axes (2: rows, 3: columns)."""

    def __init__(self, kept, affine=False):
        super().__init__()
        self.order = [0, *(axis for axis in (2, 3) if axis not in kept), 1, *kept]
        self.parts = 1 + len(kept)  # axes of a row
        size = 3 * int(np.prod([(6, 5)[axis - 2] for axis in kept]))
        self.norm = torch.nn.BatchNorm1d(size, affine=affine)

    def forward(self, x):
        rows = x.permute(self.order)
        y = self.norm(rows.flatten(-self.parts).flatten(0, -2)).reshape(rows.shape)
        return y.permute(np.argsort(self.order).tolist())


def _maker(layer, *args, **kwargs):
    """A function that makes a layer whose γ and β are no longer 1 and 0, without drawing."""

    def make_layer():
        made = layer(*args, **kwargs)
        with torch.no_grad():
            for parameter in made.parameters():
                parameter += torch.linspace(-0.4, 0.4, len(parameter))
        return made

    return make_layer


def _whole_batch_moved(make_layer):
    layer, x = make_layer(), torch.randn(8, 3, 6, 5)
    return torch.allclose(layer(x.roll((2, 1), (2, 3))), layer(x).roll((2, 1), (2, 3)), atol=1e-4)


def _moved_along(axis):
    """A test that moves half of the batch along one axis only."""

    def test(make_layer):
        layer, x = make_layer(), torch.randn(8, 3, 6, 5)
        half = x.clone()
        half[:4] = x[:4].roll(2, axis)
        return torch.allclose(layer(half)[:4], layer(x)[:4].roll(2, axis), atol=1e-4)

    return test


EXERCISES = [
    FunctionExercise(
        id="10.1",
        title="BatchNorm2d out of your own layer",
        keeps="batch_norm_2d",
        solution=batch_norm_2d,
        inputs=_images,
        statistics_axis=(0, 2, 3),
        hint=(
            "Which axis of $(N, C, H, W)$ has to come last, so that `reshape(-1, C)` gives one row "
            "per place?",
            "`permute(0, 2, 3, 1)` puts the channels last. The rows come back as $(N, H, W, C)$: "
            "which permutation puts the channels in second place again?",
            "`permute(0, 3, 1, 2)`.",
        ),
        praise="Two changes of shape, and the layer that you had is the layer for images.",
        wrong_turns=[
            WrongTurn(
                "rows without permute",
                _rows_without_permute,
                "Your rows mix channels: `reshape` cuts the numbers in the order in which they "
                "lie, and the channels do not lie last. Bring them there with `permute` first.",
            ),
            WrongTurn(
                "back without permute",
                _back_without_permute,
                "Your rows are right. On the way back they are $(N, H, W, C)$: reshape to that, "
                "then `permute` the channels to second place.",
            ),
            WrongTurn(
                "channels left last",
                _left_last,
                "Your numbers are right, with the channels in the last place: `permute` them back.",
            ),
            WrongTurn(
                "left as rows",
                _left_as_rows,
                "Your rows are right; give them the shape of `x` again.",
            ),
            WrongTurn(
                "each place by itself",
                _each_place,
                "You normalize each place by itself: one mean per pixel. All places of a channel "
                "share one mean.",
            ),
            WrongTurn(
                "each image by itself",
                _each_image,
                "You normalize each image by itself: that is instance normalization.",
            ),
        ],
    ),
    FunctionExercise(
        id="10.2",
        title="A convolution is a Linear on patches",
        solution=convolve,
        inputs=_image_and_weights,
        keeps="convolve",
        variants=(_convolve_columns,),
        hint=(
            "`torch.nn.functional.unfold(u, 3, padding=1)` is $(N, 9C, HW)$: each column is the "
            "patch around one place. The weights are $(K, 9C)$: which product gives $K$ numbers "
            "for each column?",
            "`weight @ patches` is $(N, K, HW)$. What is left is to make maps of the places.",
        ),
        praise="One Linear, used at $H \\cdot W$ places.",
        wrong_turns=[
            WrongTurn(
                "no padding",
                _no_padding,
                "Your maps are smaller than the image: `unfold` needs `padding=1`, so that places "
                "at the border have a patch, too.",
            ),
            WrongTurn(
                "places and channels swapped",
                _places_not_brought_back,
                "Your product is $(N, HW, K)$, and you reshape it as if it were $(N, K, HW)$. "
                "Transpose these two axes first.",
            ),
            WrongTurn(
                "flipped",
                _flipped,
                "You turn the weights around, as mathematicians do in a convolution. PyTorch's "
                "does not: multiply the patch as it lies.",
            ),
            WrongTurn(
                "channels last in the patch",
                _channels_last_in_the_patch,
                "A column of `unfold` holds the nine numbers of the first channel, then those of "
                "the next; your weights are in another order. Multiply them as they come.",
            ),
        ],
    ),
    PredictionExercise(
        id="10.3",
        title="Where does one mean per pixel hurt?",
        choices=("nowhere", "on the test digits", "on moved digits", "on both"),
        hint="Every place has its own statistics, learned where training digits have their ink. "
        "Where do test digits have theirs?",
        praise="The test digits have their ink where the training digits have it: a test set drawn "
        "like the training set cannot show what this net has not learned.",
        note="The test digits have their ink where the training digits have it, so a few points "
        "are lost there. Moved digits bring ink to places with the statistics of no ink.",
        wrong_turns=[
            WrongTurn(
                "nowhere",
                "nowhere",
                "A pixel's own statistics fit what that pixel sees in training. Moved ink meets "
                "the statistics of another place.",
            ),
            WrongTurn(
                "on the test digits",
                "on the test digits",
                "There it loses a few points only: test digits have their ink where training "
                "digits have it. Moved digits do not.",
            ),
            WrongTurn(
                "on both",
                "on both",
                "On moved digits, yes. On the test digits it loses a few points only, so a test "
                "set would not have told you.",
            ),
        ],
    ),
    FunctionExercise(
        id="10.4",
        title="How many values of an image count?",
        keeps="values_that_count",
        solution=values_that_count,
        inputs=_alike_within_an_image,
        hint=(
            "You need two variances per channel: that of all its values, and that of its images' "
            "means.",
            "`x.var((0, 2, 3), correction=0)`, and `x.mean((2, 3))` is $(N, C)$: one mean per "
            "image and channel.",
        ),
        praise="16 values that are all alike count as 1; 16 independent ones as 16.",
        wrong_turns=[
            WrongTurn(
                "H·W",
                _height_times_width,
                "That is how many values there are. How many count depends on how alike they are.",
            ),
            WrongTurn("upside down", _inverse, "You have it upside down: all values above means."),
            WrongTurn(
                "deviations",
                _deviations,
                "You divide standard deviations. Variances are what shrinks by $1/n$ in a mean of "
                "$n$ values.",
            ),
            WrongTurn(
                "times N",
                _all_of_the_batch,
                "That is the number for the whole batch; the question is about one image.",
            ),
            WrongTurn(
                "within images",
                _within,
                "Your first variance is taken inside each image, and misses how the images differ. "
                "Take it over all values of the channel.",
            ),
        ],
    ),
    ValueExercise(
        id="10.5",
        title="Count",
        solution=learned_and_kept,
        rtol=1e-9,
        entries=("the count of learned numbers", "the count of statistics"),
        hint=(
            "The weights have the shape (32, 16, 3, 3). Does this convolution need a bias?",
            "Batch norm has two learned numbers per output channel, and keeps two statistics per "
            "output channel, whatever the size of the maps.",
        ),
        praise="The size of the maps is nowhere in it.",
        wrong_turns=[
            WrongTurn(
                "with the bias",
                (4704, 64),
                "You count a bias for the convolution; the mean that follows takes it out.",
            ),
            WrongTurn(
                "per pixel",
                (4608 + 2 * 32 * 196, 2 * 32 * 196),
                "You count $\\gamma$, $\\beta$ and statistics per pixel. They are per channel.",
            ),
            WrongTurn(
                "statistics learned",
                (4736, 64),
                "You count the statistics among the learned numbers. No gradient changes them.",
            ),
            WrongTurn(
                "of the input",
                (4640, 32),
                "You count $\\gamma$ and $\\beta$ per input channel; batch norm stands behind the "
                "convolution, where there are 32.",
            ),
            WrongTurn(
                "batch norm forgotten",
                (4608, 64),
                "These are the weights alone; $\\gamma$ and $\\beta$ are learned, too.",
            ),
        ],
    ),
    TestExercise(
        id="10.6",
        title="A test that finds it",
        solution=treats_places_alike,
        right={
            "bnlib.torch.BatchNorm2d": _maker(bt.BatchNorm2d, 3),
            "torch.nn.BatchNorm2d": _maker(torch.nn.BatchNorm2d, 3),
            "instance normalization": _maker(torch.nn.InstanceNorm2d, 3, affine=True),
        },
        wrong=[
            WrongTurn(
                "per pixel, trained",
                _maker(_Flattened, (2, 3), affine=True),
                "A layer passes your test that has a mean, a $\\gamma$ and a $\\beta$ per pixel. "
                "Which change of the input should a layer pass on that treats all places alike?",
            ),
            WrongTurn(
                "per pixel",
                _maker(_Flattened, (2, 3)),
                "A layer with one mean per pixel passes your test. If all images move, its "
                "statistics "
                "move along, and in inference mode a fresh layer changes nothing: move a part of "
                "the batch, in training mode.",
            ),
            WrongTurn(
                "per row",
                _maker(_Flattened, (2,)),
                "A layer with one mean per row passes your test. Do you move images down, too?",
            ),
            WrongTurn(
                "per column",
                _maker(_Flattened, (3,)),
                "A layer with one mean per column passes your test. Do you move images sideways, "
                "too?",
            ),
        ],
        hint=(
            "Which change of the input should a layer that treats all places alike only pass on? "
            "Use random images: no data, no training.",
            "If all images move together, every pixel's statistics move along, and nothing shows. "
            "What if some images move and the others stay?",
            "`roll` half of the images by some rows and columns, and compare with the `roll`ed "
            "output of the images before.",
        ),
        praise="No digits, no training, and it finds what a test set does not.",
    ),
]

QUIZ = [
    Question(
        "BN for $(N, C, H, W)$ in training takes how many means?",
        {
            "$C$": "One per channel, over $N \\cdot H \\cdot W$ values.",
            "$C \\cdot H \\cdot W$": "That is one per pixel: the bug of this notebook.",
            "$N \\cdot C$": "That is one per image and channel: instance normalization.",
            "$N$": "That is one per image: layer normalization over $C$, $H$ and $W$.",
        },
        correct=0,
    ),
    Question(
        "Why may all places of a channel share one mean?",
        {
            "The same weights made them all": "A convolution is one Linear, used at every place.",
            "Neighbouring pixels are alike": "They often are, but that is a reason why fewer of "
            "them count.",
            "It saves memory": "It does; so would worse choices.",
        },
        correct=0,
    ),
    Question(
        "A net reads the test set nearly as well with one mean per pixel. That shows …",
        {
            "that the two are equally good": "On digits like those trained on. Move them.",
            "that the test set cannot tell them apart": "Its digits lie where the training digits "
            "lie.",
            "that the bug is in the test": "The test measures rightly what it measures.",
        },
        correct=1,
    ),
    Question(
        "Eight images of 4 × 4 places: $m$ = 128. In a trained last layer the statistics are …",
        {
            "as exact as those of 128 independent values": "Only if the 16 values of an image were "
            "independent.",
            "less exact: values of one image are alike": "Here fewer than 8 of the 16 count.",
            "as exact as those of 8 values": "The values of an image are alike, not equal.",
        },
        correct=1,
    ),
    Question(
        "You removed channels from a trained net with BN. Before you measure it, …",
        {
            "recompute the statistics": "The layers behind see other inputs than those that "
            "the running averages remember.",
            "set γ to 1 again": "That changes what the net computes.",
            "nothing: it is in inference mode": "Inference mode uses the old statistics, "
            "which belong to the net before pruning.",
        },
        correct=0,
    ),
]
