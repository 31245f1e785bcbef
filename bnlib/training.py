"""What training has in common in both backends: the loop, its History, and an orderly stop.

The backends' own fit functions say what one update and one evaluation are.
"""

import contextlib
import dataclasses
import functools
import itertools
import signal
import threading
import types

import numpy as np

from bnlib.data import minibatches, paired_rows, whole_number
from bnlib.progress import progress as progress_display


@dataclasses.dataclass(frozen=True, repr=False, eq=False)
class History:
    """What fit saw. A loss that is not finite is recorded like any other.

    loss            (steps,) training loss of each mini-batch, before its update, in nats
    eval_steps      (k,) the steps after which the test set was evaluated
    test_loss, test_accuracy
                    (k,) mean loss in nats, and the share 0..1 of test labels guessed right
    interrupted     True when Ctrl-C or the notebook's stop button ended training early

    >>> two = History(np.array([2.3, np.inf]), np.array([2]), np.array([np.nan]), np.array([0.1]))
    >>> two, two.steps, two.diverged
    (History(2 steps, 1 evaluations), array([1, 2]), True)
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


_last = None


def last_history():
    """The History of the latest fit of either backend, also of one that was stopped; or None.

    >>> from bnlib.numpy import Linear, fit
    >>> model, x, y = Linear(2, 2, rng=np.random.default_rng(0)), np.eye(2, dtype="f"), [0, 1]
    >>> history = fit(model, x, y, steps=3, batch_size=2, rng=0, lr=0.1)
    >>> last_history() is history
    True
    """
    return _last


def check_fit(*, steps, rng, lr, optimizer, x_test, y_test, eval_every):
    """Raise ValueError or TypeError when these arguments of fit do not fit together.

    Returns the test set, rows by position, as (x_test, y_test), or None where there is none.
    """
    if (lr is None) == (optimizer is None):
        raise ValueError("lr and optimizer: give exactly one of the two")
    if (x_test is None) != (y_test is None):
        raise ValueError("x_test and y_test: one is None; give both or neither")
    if eval_every is not None:
        whole_number("eval_every", eval_every, 1)
    whole_number("steps", steps, 0)
    if rng is None:
        raise TypeError("rng is None; expected a seed or np.random.default_rng(seed)")
    return None if x_test is None else paired_rows(x_test, y_test, "x_test", "y_test")


def endless_minibatches(x, y, batch_size, rng):
    """Pass after pass of minibatches; the first is made now, so that bad sizes raise here."""
    rng = np.random.default_rng(rng)
    first = minibatches(x, y, batch_size, rng)
    later = (minibatches(x, y, batch_size, rng) for _ in itertools.count())
    return itertools.chain(first, itertools.chain.from_iterable(later))


def run(batches, loss, update, evaluate, *, eval_every, progress, callback, to_numpy=np.asarray):
    """Make len(loss) updates, or fewer where a callback or Ctrl-C ends it.

    batches     iterator of (x_batch, y_batch)
    loss        (steps,) array or tensor; the loop writes the losses into it
    update      update(x_batch, y_batch) -> loss of the batch, before its update
    evaluate    evaluate() -> (loss, accuracy), run after every eval_every steps and the last;
                or None
    callback    callback(step, loss), a true return value ends training; or None
    to_numpy    to_numpy(part of loss) -> a float64 array

    Returns a History. A Ctrl-C ends the loop after its step and is then raised, so that it also
    ends what called fit; the History so far is its attribute `history`, and last_history().
    """
    global _last
    steps, done, evaluations = len(loss), 0, []
    ended, updating = steps == 0, False
    stop = types.SimpleNamespace(requested=False)
    try:
        with progress_display(steps, progress) as show, _interrupts_between_steps(stop):
            while not ended:
                batch, updating = next(batches), True
                loss[done] = update(*batch)
                done, updating = done + 1, False
                try:
                    show(done, loss[done - 1])
                    ended = callback is not None and bool(callback(done, loss[done - 1]))
                except KeyboardInterrupt:
                    stop.requested = True
                ended = ended or stop.requested or done == steps
                due = ended or (eval_every is not None and done % eval_every == 0)
                if evaluate is not None and due:
                    evaluations.append((done, *evaluate()))
    except KeyboardInterrupt:  # a second one, which did not wait for the end of the step
        stop.requested = True
    at, test_loss, test_accuracy = np.array(evaluations, dtype=float).reshape(-1, 3).T
    losses = to_numpy(loss[:done])
    _last = History(losses, at.astype(int), test_loss, test_accuracy, stop.requested)
    if stop.requested:
        raise _stopped(_last, steps, updating)
    return _last


def _stopped(history, steps, updating):
    """The KeyboardInterrupt of a run that was stopped: one line in a notebook, and the History.

    No class of its own: only of KeyboardInterrupt itself does Python die as a shell's loop expects.
    """
    done = len(history.loss)
    where = f"in the middle of step {done + 1:,}" if updating else f"after {done:,}"
    text = (
        f"Stopped {where} of {steps:,} steps. The model keeps what it learnt; "
        "bnlib.training.last_history() has the losses up to here."
    )
    error = KeyboardInterrupt(text)
    error.history = history
    error._render_traceback_ = functools.partial(list, [text])  # IPython calls it for the lines
    return error


@contextlib.contextmanager
def _interrupts_between_steps(stop):
    """Hold back the first Ctrl-C: set `stop.requested` and let the loop finish its step.

    So no update is left half done. Signals reach the main thread alone, hence the early exit.
    """
    before = signal.getsignal(signal.SIGINT)
    if threading.current_thread() is not threading.main_thread() or not callable(before):
        yield
        return

    def handler(number, frame):
        if stop.requested:
            before(number, frame)
        stop.requested = True

    signal.signal(signal.SIGINT, handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
