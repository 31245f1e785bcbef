"""What notebook 06 computes beside its own lines: the walk, the comparisons, the dropped terms."""

from types import MappingProxyType

import numpy as np

import bnlib.numpy as bn
from bnlib.progress import progress

NODES = ("through_scale", "through_quotient", "through_variance", "through_centring")
ROWS = 20  # steps that one point of a curve averages


def moves_of_x_hat(x, nudge, eps=1e-5):
    """How much each x̂ of a batch of one unit, x (m,), moves when example 1 moves by nudge."""
    moved = x.copy()
    moved[0] += nudge
    before, after = ((v - v.mean()) / np.sqrt(v.var() + eps) for v in (x, moved))
    return after - before


def x_hat_slopes(x, eps, h=1e-6):
    """∂x̂_i/∂x_j of one unit, x (m,), by central differences: (m, m)."""

    def x_hat(x):
        return (x - x.mean()) / np.sqrt(x.var() + eps)

    columns = [(x_hat(x + h * e) - x_hat(x - h * e)) / (2 * h) for e in np.eye(len(x))]
    return np.stack(columns, axis=1)


def walk_back(nodes, dy, c, s, x_hat, gamma):
    """The gradient at each node of the graph of one feature, by the four functions in nodes.

    nodes    functions under the names NODES, in this order, each for (m, D) and (D,) arrays
    dy, c, x_hat  (m,); s, gamma  numbers

    Returns a dict node -> gradient, as plot_backward_graph takes it.
    """
    through_scale, through_quotient, through_variance, through_centring = nodes
    column = [np.asarray(v, float)[:, None] for v in (dy, c, x_hat)]
    dy_, c_, x_hat_ = column
    s_, gamma_ = np.array([float(s)]), np.array([float(gamma)])
    dx_hat, _, _ = through_scale(dy_, x_hat_, gamma_)
    direct, ds = through_quotient(dx_hat, c_, s_)
    dc = direct + through_variance(ds, c_, s_)
    dx = through_centring(dc)
    found = {"x": dx, "mu_B": -dc.sum(axis=0), "c": dc, "var_B": ds / (2 * s_), "s": ds}
    found |= {"x_hat": dx_hat, "y": dy_}
    return {name: np.asarray(value).reshape(-1) for name, value in found.items()}


def by_autograd(dy, x, gamma, beta, eps):
    """(dx, dgamma, dbeta) of torch.nn.functional.batch_norm, as NumPy arrays."""
    import torch

    leaves = [torch.tensor(a, requires_grad=True) for a in (x, gamma, beta)]
    y = torch.nn.functional.batch_norm(
        leaves[0], None, None, leaves[1], leaves[2], training=True, eps=eps
    )
    y.backward(torch.tensor(dy))
    return tuple(leaf.grad.numpy() for leaf in leaves)


def all_close(these, those, atol=1e-11):
    """Equal arrays, one by one, to within atol."""
    return all(np.allclose(a, b, rtol=0, atol=atol) for a, b in zip(these, those, strict=True))


def autograd_agrees(dx, x, gamma, beta, eps, dy=(1.0, 0.0, 2.0)):
    """Does PyTorch find the same dx for one feature?"""
    dy, x = np.array(dy)[:, None], np.asarray(x, float)[:, None]
    found, *_ = by_autograd(dy, x, np.array([gamma]), np.array([beta]), eps)
    return bool(np.allclose(dx, found.reshape(-1), rtol=0, atol=1e-12))


def dx_without(lost, dy, x, gamma, eps):
    """dx of rows (m, D) by a backward pass that lacks what `lost` names: "mean" and "variance",
    their terms, "gamma" or "eps"; one of them, or a tuple of several.

    >>> dx_without(("mean", "variance", "eps"), np.ones((2, 1)), np.array([[1.0], [5.0]]), 6.0, 9.0)
    array([[3.],
           [3.]])
    """
    s = np.sqrt(x.var(axis=0) + (0.0 if "eps" in lost else eps))
    x_hat = (x - x.mean(axis=0)) / s
    dx = dy if "mean" in lost else dy - dy.mean(axis=0)
    if "variance" not in lost:
        dx = dx - x_hat * (dy * x_hat).mean(axis=0)
    return dx / s if "gamma" in lost else dx * (gamma / s)


def own_layer(forward, backward, eps=1e-5):
    """A kind of layer for bn.Sequential out of batch_norm and batch_norm_backward; training only.

    forward   forward(x, gamma, beta, eps) -> y, cache
    backward  backward(dy, cache) -> dx, dgamma, dbeta
    """

    class OwnLayer(bn.Layer):
        def __init__(self, num_features):
            self.gamma, self.beta = np.ones(num_features), np.zeros(num_features)

        def forward(self, x):
            y, self.cache = forward(np.asarray(x, float), self.gamma, self.beta, eps)
            return y.astype(x.dtype)

        def backward(self, dy):
            dx, self.dgamma, self.dbeta = backward(np.asarray(dy, float), self.cache)
            return dx.astype(dy.dtype)

        def parameters(self):
            return {"gamma": self.gamma, "beta": self.beta}

        def gradients(self):
            return {"gamma": self.dgamma, "beta": self.dbeta}

    return OwnLayer


class _Dropping(bn.BatchNorm):
    """A batch norm whose backward pass may take one or both statistics as constants."""

    mean_is_constant = variance_is_constant = False

    def forward(self, x):
        self.s = np.sqrt(x.var(axis=0) + self.eps)
        self.x_hat = (x - x.mean(axis=0)) / self.s
        return super().forward(x)

    def backward(self, dy):
        super().backward(dy)  # for dgamma and dbeta, which are right
        dx = dy if self.mean_is_constant else dy - dy.mean(axis=0)
        if not self.variance_is_constant:
            dx = dx - self.x_hat * (dy * self.x_hat).mean(axis=0)
        return dx * (self.gamma / self.s)


class _MeanConstant(_Dropping):
    mean_is_constant = True


class _VarianceConstant(_Dropping):
    variance_is_constant = True


class _BothConstant(_Dropping):
    mean_is_constant = variance_is_constant = True


GRADIENTS = MappingProxyType({
    "full gradient": _Dropping,
    "variance as a constant": _VarianceConstant,
    "mean as a constant": _MeanConstant,
    "both as constants": _BothConstant,
})  # fmt: skip


def train_with_dropped_terms(x, y, *, rates, seeds, steps):
    """The same net of two hidden layers of 100, trained with each of GRADIENTS.

    Returns a dict label -> (loss, length): the training loss, and the length of the bias before
    the first normalization, each (rates, seeds, steps / 20), a mean over 20 steps.
    """

    def train(kind, rate, seed):
        weights, lengths = np.random.default_rng(seed), []
        first = bn.Linear(784, 100, rng=weights)
        second = [bn.Linear(100, 100, rng=weights), kind(100), bn.ReLU()]
        last = bn.Linear(100, 10, rng=weights)
        model = bn.Sequential(first, kind(100), bn.ReLU(), *second, last)
        history = bn.fit(
            model, x, y, steps=steps, batch_size=60, rng=seed, lr=rate, progress=False,
            callback=lambda *_: lengths.append(np.linalg.norm(first.bias)),
        )  # fmt: skip
        return history.loss, np.array(lengths)

    shape, done = (len(rates), len(seeds), steps // ROWS), 0
    found = {label: np.empty((2, *shape)) for label in GRADIENTS}
    with progress(len(GRADIENTS) * len(rates) * len(seeds)) as show:
        for label, kind in GRADIENTS.items():
            for place in np.ndindex(shape[:2]):
                curves = train(kind, rates[place[0]], seeds[place[1]])
                for target, curve in zip(found[label], curves, strict=True):
                    target[place] = curve.reshape(-1, ROWS).mean(axis=1)
                done += 1
                show(done, found[label][0][place][-1])
    return {label: tuple(pair) for label, pair in found.items()}
