"""Training in NumPy: stochastic gradient descent, evaluation, and fit."""

import contextlib
import dataclasses
import itertools
import operator
import signal
import threading
import types

import numpy as np

from bnlib.data import minibatches
from bnlib.numpy.layers import Linear, Sequential, softmax_cross_entropy
from bnlib.progress import progress as progress_display


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


@dataclasses.dataclass(frozen=True, repr=False, eq=False)
class History:
    """What fit saw. A loss that is not finite is recorded like any other.

    loss            (steps,) training loss of each mini-batch, before its update, in nats
    eval_steps      (k,) the steps after which the test set was evaluated
    test_loss, test_accuracy
                    (k,) mean loss in nats, and the share 0..1 of test labels guessed right
    interrupted     True when Ctrl-C or the notebook's stop button ended training early
    """

    loss: np.ndarray
    eval_steps: np.ndarray
    test_loss: np.ndarray
    test_accuracy: np.ndarray
    interrupted: bool = False

    @property
    def steps(self):
        """1, 2, …: the steps that loss belongs to."""
        return np.arange(1, len(self.loss) + 1)

    @property
    def diverged(self):
        """True when some loss was infinite or not a number."""
        return not bool(np.isfinite(self.loss).all())

    def __repr__(self):
        end = ", interrupted" if self.interrupted else ""
        return f"History({len(self.loss)} steps, {len(self.eval_steps)} evaluations{end})"


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
    if (lr is None) == (optimizer is None):
        raise ValueError("lr and optimizer: give exactly one of the two")
    if (x_test is None) != (y_test is None):
        raise ValueError("x_test and y_test: one is None; give both or neither")
    if eval_every is not None and operator.index(eval_every) < 1:
        raise ValueError(f"eval_every is {eval_every}; expected at least 1")
    if operator.index(steps) < 0:
        raise ValueError(f"steps is {steps}; expected zero or more")
    if rng is None:
        raise TypeError("rng is None; expected a seed or np.random.default_rng(seed)")
    optimizer = SGD(lr) if optimizer is None else optimizer
    rng = np.random.default_rng(rng)
    batches = _endless_minibatches(x, y, batch_size, rng)
    spared = {"input_gradient": False} if isinstance(model, Linear | Sequential) else {}

    loss, evaluations = np.empty(steps), []
    done, ended, was_training = 0, steps == 0, model.training
    model.train()
    try:
        with (
            np.errstate(all="ignore"),
            progress_display(steps, progress) as show,
            _interrupts_between_steps() as stop,
        ):
            while not ended:
                x_batch, y_batch = next(batches)
                loss[done], doutputs = loss_function(model(x_batch), y_batch)
                model.backward(doutputs, **spared)
                optimizer.step(model)
                done += 1
                try:
                    show(done, loss[done - 1])
                    ended = callback is not None and bool(callback(done, model, loss[done - 1]))
                except KeyboardInterrupt:
                    stop.requested = True
                ended = ended or stop.requested or done == steps
                due = ended or (eval_every is not None and done % eval_every == 0)
                if x_test is not None and due:
                    result = evaluate(model, x_test, y_test, loss_function=loss_function)
                    evaluations.append((done, *result))
    finally:
        if not was_training:
            model.eval()
    at, test_loss, test_accuracy = np.array(evaluations).reshape(-1, 3).T
    return History(loss[:done].copy(), at.astype(int), test_loss, test_accuracy, stop.requested)


def _endless_minibatches(x, y, batch_size, rng):
    """Pass after pass of minibatches; the first is made now, so that bad sizes raise here."""
    first = minibatches(x, y, batch_size, rng)
    later = (minibatches(x, y, batch_size, rng) for _ in itertools.count())
    return itertools.chain(first, itertools.chain.from_iterable(later))


@contextlib.contextmanager
def _interrupts_between_steps():
    """Hold back the first Ctrl-C: set `requested` and let the loop finish its step.

    So no update is left half done. Signals reach the main thread alone, hence the early exit.
    """
    stop = types.SimpleNamespace(requested=False)
    before = signal.getsignal(signal.SIGINT)
    if threading.current_thread() is not threading.main_thread() or not callable(before):
        yield stop
        return

    def handler(number, frame):
        if stop.requested:
            before(number, frame)
        stop.requested = True

    signal.signal(signal.SIGINT, handler)
    try:
        yield stop
    finally:
        signal.signal(signal.SIGINT, before)
