"""Down the net, before training: how alike two digits are layer by layer, and the gradient.

NumPy alone, so that the explorer answers at once.
"""

import functools

import numpy as np

WIDTH = 200
_NODES, _WEIGHTS = np.polynomial.hermite_e.hermegauss(201)  # means over a normal distribution
_WEIGHTS = _WEIGHTS / _WEIGHTS.sum()


def _sigmoid(x):
    return 1 / (1 + np.exp(-x))


# Name -> (g, its slope, the variance of first weights times the number of inputs).
ACTIVATIONS = {
    "ReLU": (lambda x: np.maximum(x, 0), lambda x: (x > 0) * 1.0, 2.0),
    "|x|": (np.abs, np.sign, 1.0),
    "tanh": (np.tanh, lambda x: 1 - np.tanh(x) ** 2, 1.0),
    "sigmoid": (_sigmoid, lambda x: _sigmoid(x) * (1 - _sigmoid(x)), 1.0),
    "linear": (lambda x: x, lambda x: np.ones_like(x), 1.0),
}
AXES = {"none": None, "BN": 0, "LN": 1}


def in_a_wide_net(activation):
    """(cosine, factor) that BN gives in a net so wide that x̂ is normal, by one-unit means.

    cosine  E[g]² / E[g²], between the outputs of two digits
    factor  E[g'²] / Var[g], by which a squared gradient grows a layer on its way down

    >>> np.round(in_a_wide_net("ReLU"), 2)  # 1/π and π/(π−1)
    array([0.32, 1.47])
    """
    g, slope, _ = ACTIVATIONS[activation]
    if activation in ("ReLU", "|x|"):  # the corner at 0: exact, where a sum of points is not
        share = {"ReLU": 1 / np.pi, "|x|": 2 / np.pi}[activation]
        return share, 1 / (1 - share)
    mean, square = (_WEIGHTS @ g(_NODES) ** power for power in (1, 2))
    steep = _WEIGHTS @ slope(_NODES) ** 2
    return mean**2 / square, steep / (square - mean**2)


def mean_cosine(z):
    """The cosine between two rows of z (m, D), mean over all pairs."""
    m = len(z)
    directions = z / np.maximum(np.linalg.norm(z, axis=1, keepdims=True), 1e-30)
    return (np.sum(directions.sum(axis=0) ** 2) - m) / (m * (m - 1))


def down_the_net(digits, depth=30, activation="ReLU", norm="BN", width=WIDTH, seed=0):
    """Send digits through a fresh net, and a random gradient back.

    digits      (m, D): the batch
    norm        "none", "BN" (over the batch) or "LN" (over the units)

    Returns (cosines, gradients), one number a layer: the mean cosine between the outputs z of two
    digits, and the length of the gradient with respect to x, over its length in the last layer.
    """
    g, slope, gain = ACTIVATIONS[activation]
    axis, z = AXES[norm], np.asarray(digits, np.float32)
    draws = _draws(z.shape[1], width, depth, seed)
    weights = [np.float32(np.sqrt(gain / len(draw))) * draw for draw in draws]
    kept, cosines = [], []
    for weight in weights:
        x, s = z @ weight, 1.0
        if axis is not None:
            x = x - x.mean(axis=axis, keepdims=True)
            s = np.sqrt((x**2).mean(axis=axis, keepdims=True) + np.float32(1e-12))
        x_hat = x / s
        kept.append((x_hat, s))
        z = g(x_hat)
        cosines.append(mean_cosine(z))
    dz = np.random.default_rng([seed, 1]).standard_normal(z.shape, dtype=np.float32)
    total, lengths = 1.0, []
    for weight, (x_hat, s) in zip(weights[::-1], kept[::-1], strict=True):
        dx = dz * slope(x_hat)
        if axis is not None:
            along = x_hat * (dx * x_hat).mean(axis=axis, keepdims=True)
            dx = (dx - dx.mean(axis=axis, keepdims=True) - along) / s
        length = float(np.linalg.norm(dx))
        total *= length
        lengths.append(total)
        dz = (dx / np.float32(length)) @ weight.T  # of length 1 again: no number gets too small
    return np.array(cosines), np.array(lengths[::-1]) / lengths[0]


@functools.lru_cache(maxsize=4)
def _draws(inputs, width, depth, seed):
    """Standard normal matrices, one a layer."""
    rng = np.random.default_rng(seed)
    shapes = [(inputs, width)] + [(width, width)] * (depth - 1)
    return [rng.standard_normal(shape, dtype=np.float32) for shape in shapes]


def factor_per_layer(gradients, skip=4):
    """By how much the squared gradient grows a layer, mean over all but `skip` layers at each end.

    gradients  what down_the_net returns
    """
    first, last = gradients[skip], gradients[-1 - skip]
    return (first / last) ** (2 / (len(gradients) - 1 - 2 * skip))
