"""What notebook 04 computes beside its own lines: comparisons, differences, nets by the dozen."""

import numpy as np

import bnlib.numpy as bn
import bnlib.reference as reference
from bnlib.progress import progress


def equals_torch(y, x, gamma, beta, eps, atol=1e-12):
    """Is y what torch.nn.functional.batch_norm gives for the same batch?"""
    import torch

    x, gamma, beta = map(torch.from_numpy, (x, gamma, beta))
    theirs = torch.nn.functional.batch_norm(x, None, None, gamma, beta, training=True, eps=eps)
    return bool(np.allclose(y, theirs.numpy(), rtol=0, atol=atol))


def _loss(x, t, gamma, beta, eps):
    """½ Σ t y², one value a channel: no channel's γ or β reaches another channel."""
    y = reference.batch_norm(x, gamma, beta, eps)
    return (t * y**2).sum(axis=reference.batch_axes(x)) / 2


def dy_and_x_hat(x, t, gamma, beta, eps):
    """∂ℓ/∂y of ℓ = ½ Σ t y², and x̂, both shaped like x."""
    x_hat = reference.batch_norm(x, np.ones_like(gamma), np.zeros_like(beta), eps)
    return t * reference.batch_norm(x, gamma, beta, eps), x_hat


def gradients_by_steps(x, t, gamma, beta, eps, step):
    """dγ and dβ of ℓ = ½ Σ t y² by central differences, each (C,)."""

    def slope(up, down):
        return (_loss(x, t, *up, eps) - _loss(x, t, *down, eps)) / (2 * step)

    return (
        slope((gamma + step, beta), (gamma - step, beta)),
        slope((gamma, beta + step), (gamma, beta - step)),
    )


def layer_with(forward):
    """A kind of bnlib layer whose forward pass in training is forward(x, gamma, beta, eps).

    The running statistics (notebook 07) and the way back (notebook 06) stay bnlib's.
    """

    class Layer(bn.BatchNorm):
        def forward(self, x):
            y = super().forward(x)
            if not self.training:
                return y
            own, _ = forward(np.asarray(x, float), self.gamma, self.beta, self.eps)
            return own.astype(x.dtype)

    return Layer


def accuracies(kinds, train, seeds):
    """The share of test digits that each kind of net reads after training, by seed.

    kinds  dict name -> (learning rate, function seed -> net)
    train  function (net, rate, seed) -> History with test_accuracy

    Returns a dict name -> (seeds,) array.
    """
    found = {name: np.empty(len(seeds)) for name in kinds}
    with progress(len(kinds) * len(seeds)) as show:
        for i, (name, (rate, make)) in enumerate(kinds.items()):
            for j, seed in enumerate(seeds):
                history = train(make(seed), rate, seed)
                found[name][j] = history.test_accuracy[-1]
                show(i * len(seeds) + j + 1, history.loss[-1])
    return found
