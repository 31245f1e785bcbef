"""What training has in common in both backends: the loop, its History, and a Ctrl-C that waits.

The backends' own fit functions say what one update and one evaluation are.
"""

import contextlib
import dataclasses
import itertools
import operator
import signal
import threading
import types

import numpy as np

from bnlib.data import minibatches
from bnlib.progress import progress as progress_display


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


def check_fit(*, steps, rng, lr, optimizer, x_test, y_test, eval_every):
    """Raise ValueError or TypeError when these arguments of fit do not fit together."""
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


def endless_minibatches(x, y, batch_size, rng):
    """Pass after pass of minibatches; the first is made now, so that bad sizes raise here."""
    rng = np.random.default_rng(rng)
    first = minibatches(x, y, batch_size, rng)
    later = (minibatches(x, y, batch_size, rng) for _ in itertools.count())
    return itertools.chain(first, itertools.chain.from_iterable(later))


def run(batches, loss, update, evaluate, *, eval_every, progress, callback):
    """Make len(loss) updates, or fewer where a callback or Ctrl-C ends it.

    batches     iterator of (x_batch, y_batch)
    loss        (steps,) array or tensor; the loop writes the losses into it
    update      update(x_batch, y_batch) -> loss of the batch, before its update
    evaluate    evaluate() -> (loss, accuracy), run after every eval_every steps and the last;
                or None
    callback    callback(step, loss), a true return value ends training; or None

    Returns the number of updates made, evaluations [(step, loss, accuracy), ...], and whether a
    Ctrl-C ended it.
    """
    steps, done, evaluations = len(loss), 0, []
    ended = steps == 0
    with progress_display(steps, progress) as show, _interrupts_between_steps() as stop:
        while not ended:
            loss[done] = update(*next(batches))
            done += 1
            try:
                show(done, loss[done - 1])
                ended = callback is not None and bool(callback(done, loss[done - 1]))
            except KeyboardInterrupt:
                stop.requested = True
            ended = ended or stop.requested or done == steps
            due = ended or (eval_every is not None and done % eval_every == 0)
            if evaluate is not None and due:
                evaluations.append((done, *evaluate()))
    return done, evaluations, stop.requested


def history(loss, evaluations, interrupted):
    """A History from what `run` gave."""
    at, test_loss, test_accuracy = np.array(evaluations, dtype=float).reshape(-1, 3).T
    return History(loss, at.astype(int), test_loss, test_accuracy, interrupted)


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
