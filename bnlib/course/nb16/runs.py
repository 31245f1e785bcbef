"""The stored training runs of notebook 16."""

import numpy as np

from bnlib.course.kit.runs import reader

stored_runs = reader("16")


def at_best_rate(accuracy):
    """(seeds, readings) of (rates, seeds, readings): the rate whose mean at the end is highest."""
    return accuracy[best_rate(accuracy)]


def best_rate(accuracy):
    """The place of that rate."""
    return int(accuracy[..., -1].mean(axis=1).argmax())


def relu_at_best_rates(runs, steps=800):
    """A net of thirty ReLU layers -> (seeds,) accuracy after so many steps, at its better rate."""
    end = runs["relu_steps"].tolist().index(steps) + 1
    pairs = zip(runs["relu"].tolist(), runs["relu_accuracy"][..., :end], strict=True)
    return {name: at_best_rate(accuracy)[:, -1] for name, accuracy in pairs}


def plain_by_net(runs):
    """Net and optimizer, such as "LN, Adam" -> (rates · seeds,) accuracy after 300 steps."""
    return {
        f"{name}, {optimizer}": runs["plain_accuracy"][i, j].ravel()
        for i, name in enumerate(runs["plain"].tolist())
        for j, optimizer in enumerate(runs["plain_optimizers"].tolist())
    }


def route_of(runs, name, steps):
    """(rates, accuracy (rates, seeds)) of "BN", "centred" or "residual" after so many steps."""
    place = runs["routes"].tolist().index(name)
    reading = runs["routes_steps"].tolist().index(steps)
    return runs["routes_rates"][place], runs["routes_accuracy"][place, ..., reading]


def best_means(runs, steps):
    """Route -> its mean accuracy over the seeds after so many steps, at its best rate."""
    routes = runs["routes"].tolist()
    return {name: float(route_of(runs, name, steps)[1].mean(axis=1).max()) for name in routes}


def curve_of(runs, depth, activation, route):
    """(rate, (seeds, readings)) of a net of the explorer, at its best rate of three.

    The readings stand at runs["curves_steps"].
    """
    d, a, r = (
        runs[name].tolist().index(value)
        for name, value in (("depths", depth), ("activations", activation), ("curves", route))
    )
    accuracy = runs["curves_accuracy"][d, a, r]
    return float(runs["curves_rates"][r, best_rate(accuracy)]), np.array(at_best_rate(accuracy))


def relu_runs(name, steps=800):
    """{rate: [accuracy per seed]} of a net of thirty ReLU layers after so many steps."""
    runs = stored_runs()
    place, reading = runs["relu"].tolist().index(name), runs["relu_steps"].tolist().index(steps)
    pairs = zip(runs["relu_rates"][place], runs["relu_accuracy"][place], strict=True)
    return {float(rate): accuracy[:, reading].tolist() for rate, accuracy in pairs}
