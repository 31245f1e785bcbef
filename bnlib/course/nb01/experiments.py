"""What notebook 01 computes beside its own lines: what moved in a layer, what is left after six."""

import numpy as np

import bnlib.numpy as bn


def sigmoid(x):
    return (1 + np.tanh(x / 2)) / 2  # exp(-x) would overflow for large -x


def slope(x):
    """How steep the sigmoid is at x, 0..1/4."""
    return sigmoid(x) * (1 - sigmoid(x))


def spread(x):
    """How much a unit differs from digit to digit: the median over the units, x (N, D)."""
    return float(np.median(x.std(axis=0)))


def saturated(x):
    """The share of numbers with |x| > 4."""
    return float(np.mean(np.abs(x) > 4))


def parts_of_drift(before, after, digits):
    """Why the mean x of hidden layer 3 moved between two copies of a net, in three numbers.

    before, after  nets of three hidden layers of sigmoids, one a later copy of the other

    Returns (together, own, below): how far the mean moved; how far when layer 3 alone takes its
    new weights and biases; and when the layers below it alone take theirs.
    """
    z_old, z_new = (_hidden_2(net, digits) for net in (before, after))
    start = _layer_3(before, z_old)
    together, own, below = _layer_3(after, z_new), _layer_3(after, z_old), _layer_3(before, z_new)
    return together - start, own - start, below - start


def _hidden_2(net, digits):
    net(digits)
    return net.inputs[4]  # what the third Linear is given


def _layer_3(net, z):
    return float((z @ net[4].weight + net[4].bias).mean())


def relative_change(before, after):
    """|change of W| / |W| of each Linear layer between two copies of a net."""
    pairs = [(a.weight, b.weight) for a, b in zip(before, after, strict=True) if _linear(a)]
    return [float(np.linalg.norm(new - old) / np.linalg.norm(old)) for old, new in pairs]


def _linear(layer):
    return isinstance(layer, bn.Linear)


def kept(xs):
    """What z of the last hidden layer differs between digits, as a share of the first layer's."""
    return spread(sigmoid(xs[-1])) / spread(sigmoid(xs[0]))


def wide_net(seed, units=200):
    """784 pixels, one hidden layer of sigmoids, 10 outputs; weights of 0.1."""
    rng = np.random.default_rng(seed)
    hidden, outputs = (784, units), (units, 10)
    return bn.Sequential(
        bn.Linear(*hidden, rng=rng, init=0.1), bn.Sigmoid(), bn.Linear(*outputs, rng=rng, init=0.1)
    )


def count(net):
    """How many numbers a net learns."""
    return sum(p.size for p in net.parameters().values())


def by_setting(table, stds, rates):
    """The map as a dict: (std, rate) -> what table (stds, rates, …) holds there."""
    return {
        (float(std), float(rate)): table[i, j]
        for i, std in enumerate(stds)
        for j, rate in enumerate(rates)
    }


def with_a_fault(net):
    """Spoil one hidden layer of a net of six, and give the net back (exercise 1.7)."""
    net[6].weight *= np.float32(0.1)
    return net
