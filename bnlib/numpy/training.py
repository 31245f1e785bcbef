"""Training in NumPy: stochastic gradient descent, evaluation, and fit."""

import numpy as np

from bnlib.data import paired_rows, whole_number
from bnlib.numpy.layers import Linear, Sequential, check_number, softmax_cross_entropy
from bnlib.training import check_fit, endless_minibatches, run


class SGD:
    """Stochastic gradient descent: v = momentum · v + gradient, then parameter −= lr · v.

    lr          step size, zero or more; may be changed between steps
    momentum    in [0, 1); 0 is plain gradient descent. Each parameter of each model has a v of its
                own, which starts at 0

    Raises ValueError and TypeError for other numbers and what is none.

    >>> import numpy as np
    >>> from bnlib.numpy import Linear
    >>> layer = Linear(1, 1, rng=np.random.default_rng(0), init=0.0, dtype=np.float64)
    >>> optimizer, before = SGD(lr=0.5, momentum=0.9), layer.weight.copy()
    >>> y = layer(np.ones((1, 1)))
    >>> dx = layer.backward(np.ones((1, 1)))  # the gradient of the weight is 1
    >>> for _ in range(2):
    ...     optimizer.step(layer)
    ...     print((layer.weight - before).item())
    -0.5
    -1.45
    """

    def __init__(self, lr, momentum=0.0):
        check_number("lr", lr, lambda v: v >= 0, "zero or more")
        check_number("momentum", momentum, lambda v: 0 <= v < 1, "a number in [0, 1)")
        self.lr, self.momentum = lr, momentum
        self._velocity = {}  # (name, id of the parameter) -> (the parameter, its v)

    def step(self, model):
        """Change the model's parameters in place by its gradients of the last backward call."""
        gradients = model.gradients()
        for name, parameter in model.parameters().items():
            change = gradients[name]
            if self.momentum:
                # An array in two layers has a v for each: they add up to that of the summed
                # gradient. The parameter is kept too, so that no other one can get its id.
                key = name, id(parameter)
                _, velocity = self._velocity.get(key, (None, 0))
                change = velocity * self.momentum + change
                self._velocity[key] = parameter, change
            parameter -= self.lr * change

    def __setstate__(self, state):
        """A copy that was made together with its model goes on with the model's copy."""
        self.__dict__.update(state)
        pairs = self._velocity.items()
        self._velocity = {(name, id(kept[0])): kept for (name, _), kept in pairs}

    def __repr__(self):
        return f"SGD(lr={self.lr}" + (f", momentum={self.momentum})" if self.momentum else ")")


def evaluate(model, x, y, *, batch_size=1000, loss_function=softmax_cross_entropy):
    """The mean loss and the accuracy of the model on x, y, in evaluation mode.

    x, y            N rows each, by position: arrays, or what NumPy makes arrays of
    batch_size      rows at a time
    loss_function   loss_function(outputs, y_batch) -> (the batch's mean loss, anything)

    Returns loss, accuracy: accuracy is the share 0..1 of rows whose largest output is at the
    label y, or NaN where y holds no integer labels. The model's mode is as before afterwards.
    Raises ValueError when there is no row, or not the same number in x and y.

    >>> from bnlib.numpy import Sequential
    >>> loss, accuracy = evaluate(Sequential(), [[0.0, 5.0], [5.0, 0.0], [0.0, 5.0]], [1, 0, 0])
    >>> round(accuracy, 2)
    0.67
    """
    x, y = map(np.asarray, paired_rows(x, y))
    batch_size = whole_number("batch_size", batch_size, 1)
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
    x, y            training set, N rows each, by position: arrays, or what NumPy makes arrays of
                    (lists, pandas); y holds (N,) integer labels, or whatever
                    loss_function(outputs, y) -> (loss, gradient) takes
    steps           how many updates
    batch_size      rows per update; the rows are shuffled once per pass over x, and the last
                    N % batch_size of a pass are left out
    rng             numpy.random.Generator or seed for the shuffling. The same model, data and
                    seed give the same bits; minibatches(x, y, batch_size, rng) gives these batches
    lr, optimizer   one of the two: a step size for plain SGD, or an SGD; its momentum goes on
                    from an earlier fit of the same model
    x_test, y_test  evaluated in evaluation mode after every eval_every steps and after the last
    progress        True: a bar in a notebook or on a terminal; False: none; or a callable
                    progress(step, steps, loss)
    callback        callback(step, model, loss) after each update, when model.inputs still holds
                    this mini-batch's activations; a true return value ends training

    Ctrl-C (in a notebook: stop) ends training after the running step, and a second one at once.
    The model keeps what it learnt, and the KeyboardInterrupt goes on to end the cell or script
    too; the History so far is last_history(), or to who catches the exception, its `history`.
    A loss that becomes infinite or NaN is recorded, and training goes on; NumPy's floating-point
    warnings are silenced meanwhile.

    Returns a History. Raises ValueError and TypeError when the arguments do not fit together.

    >>> import numpy as np
    >>> from bnlib.numpy import Linear
    >>> rng = np.random.default_rng(0)
    >>> y = rng.integers(0, 2, 60)
    >>> x = y[:, None] + 0.1 * rng.normal(size=(60, 3))
    >>> model = Linear(3, 2, rng=rng, dtype=np.float64)
    >>> history = fit(model, x, y, steps=50, batch_size=20, rng=0, lr=1.0, x_test=x, y_test=y)
    >>> history
    History(50 steps, 1 evaluations)
    >>> bool(history.loss[0] > history.loss[-1]), history.test_accuracy
    (True, array([1.]))
    """
    test_set = check_fit(
        steps=steps,
        rng=rng,
        lr=lr,
        optimizer=optimizer,
        x_test=x_test,
        y_test=y_test,
        eval_every=eval_every,
    )
    if optimizer is None:
        optimizer = SGD(lr)
    elif not hasattr(optimizer, "step") or hasattr(optimizer, "param_groups"):  # torch's have these
        kind = f"{type(optimizer).__module__}.{type(optimizer).__qualname__}"
        raise TypeError(f"optimizer is of type {kind}; expected a bnlib.numpy.SGD")
    if not model.parameters():
        raise ValueError(f"model has no parameters; fit has nothing to train in {model!r}")
    x, y = map(np.asarray, paired_rows(x, y))
    batches = endless_minibatches(x, y, batch_size, rng)
    spared = {"input_gradient": False} if isinstance(model, Linear | Sequential) else {}

    def update(x_batch, y_batch):
        loss, doutputs = loss_function(model(x_batch), y_batch)
        model.backward(doutputs, **spared)
        optimizer.step(model)
        return loss

    def test():
        return evaluate(model, *test_set, loss_function=loss_function)

    was_training = model.training
    model.train()
    try:
        with np.errstate(all="ignore"):
            return run(
                batches,
                np.empty(steps),
                update,
                None if test_set is None else test,
                eval_every=eval_every,
                progress=progress,
                callback=callback and (lambda step, loss: callback(step, model, loss)),
            )
    finally:
        if not was_training:
            model.eval()
