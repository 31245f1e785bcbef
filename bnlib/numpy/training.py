"""Training in NumPy: stochastic gradient descent, evaluation, and fit."""

import numpy as np

from bnlib.numpy.layers import Linear, Sequential, softmax_cross_entropy
from bnlib.training import check_fit, endless_minibatches, history, run


class SGD:
    """Stochastic gradient descent: v = momentum · v + gradient, then parameter −= lr · v.

    lr          step size, zero or more; may be changed between steps
    momentum    in [0, 1); 0 is plain gradient descent
    """

    def __init__(self, lr, momentum=0.0):
        if not lr >= 0:
            raise ValueError(f"lr is {lr}; expected zero or more")
        if not 0 <= momentum < 1:
            raise ValueError(f"momentum is {momentum}; expected a number in [0, 1)")
        self.lr, self.momentum = lr, momentum
        self._velocity = {}

    def step(self, model):
        """Change the model's parameters in place by its gradients of the last backward call."""
        gradients = model.gradients()
        for name, parameter in model.parameters().items():
            change = gradients[name]
            if self.momentum:
                change = self._velocity.get(name, 0) * self.momentum + change
                self._velocity[name] = change
            parameter -= self.lr * change

    def __repr__(self):
        return f"SGD(lr={self.lr}" + (f", momentum={self.momentum})" if self.momentum else ")")


def evaluate(model, x, y, *, batch_size=1000, loss_function=softmax_cross_entropy):
    """The mean loss and the accuracy of the model on x, y, in evaluation mode.

    Returns loss, accuracy: accuracy is the share 0..1 of rows whose largest output is at the
    label y, or NaN where y holds no integer labels. The model's mode is as before afterwards.
    """
    was_training = model.training
    model.eval()
    loss, correct = 0.0, 0
    try:
        with np.errstate(all="ignore"):
            for i in range(0, len(x), batch_size):
                outputs, labels = model(x[i : i + batch_size]), y[i : i + batch_size]
                loss += loss_function(outputs, labels)[0] * len(labels)
                if labels.dtype.kind in "iu":
                    correct += int((outputs.argmax(axis=1) == labels).sum())
                else:
                    correct = np.nan
    finally:
        if was_training:
            model.train()
    return loss / len(x), correct / len(x)


def fit(
    model,
    x,
    y,
    *,
    steps,
    batch_size,
    rng,
    lr=None,
    optimizer=None,
    loss_function=softmax_cross_entropy,
    x_test=None,
    y_test=None,
    eval_every=None,
    progress=True,
    callback=None,
):
    """Train the model for a number of mini-batch steps.

    model           a layer or Sequential; trained in place, its mode afterwards as before
    x, y            training set, N rows each; y holds (N,) integer labels, or whatever
                    loss_function(outputs, y) -> (loss, gradient) takes
    steps           how many updates
    batch_size      rows per update; the rows are shuffled once per pass over x, and the last
                    N % batch_size of a pass are left out
    rng             numpy.random.Generator or seed for the shuffling. The same model, data and
                    seed give the same bits; minibatches(x, y, batch_size, rng) gives these batches
    lr, optimizer   one of the two: a step size for plain SGD, or an SGD
    x_test, y_test  evaluated in evaluation mode after every eval_every steps and after the last
    progress        True: a bar in a notebook or on a terminal; False: none; or a callable
                    progress(step, steps, loss)
    callback        callback(step, model, loss) after each update, when model.inputs still holds
                    this mini-batch's activations; a true return value ends training

    Ctrl-C (in a notebook: stop) ends training after the running step: the model keeps what it
    learnt and fit returns the History so far. A second one is raised at once. A loss that
    becomes infinite or NaN is recorded, and training goes on; NumPy's floating-point warnings
    are silenced meanwhile.

    Returns a History. Raises ValueError and TypeError when the arguments do not fit together.
    """
    check_fit(
        steps=steps,
        rng=rng,
        lr=lr,
        optimizer=optimizer,
        x_test=x_test,
        y_test=y_test,
        eval_every=eval_every,
    )
    optimizer = SGD(lr) if optimizer is None else optimizer
    batches = endless_minibatches(x, y, batch_size, rng)
    spared = {"input_gradient": False} if isinstance(model, Linear | Sequential) else {}

    def update(x_batch, y_batch):
        loss, doutputs = loss_function(model(x_batch), y_batch)
        model.backward(doutputs, **spared)
        optimizer.step(model)
        return loss

    def test():
        return evaluate(model, x_test, y_test, loss_function=loss_function)

    losses, was_training = np.empty(steps), model.training
    model.train()
    try:
        with np.errstate(all="ignore"):
            done, evaluations, interrupted = run(
                batches,
                losses,
                update,
                None if x_test is None else test,
                eval_every=eval_every,
                progress=progress,
                callback=callback and (lambda step, loss: callback(step, model, loss)),
            )
    finally:
        if not was_training:
            model.eval()
    return history(losses[:done].copy(), evaluations, interrupted)
