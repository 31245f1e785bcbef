"""SGD, evaluate and fit of bnlib.numpy, the progress display, and a net that learns MNIST."""

import copy
import io
import os
import pickle
import re
import signal
import subprocess
import sys
import threading
import types

import numpy as np
import pytest
from numpy.testing import assert_allclose

from bnlib import progress
from bnlib.data import as_features, minibatches, mnist10k
from bnlib.numpy import (
    SGD,
    BatchNorm,
    Dropout,
    Linear,
    ReLU,
    Sequential,
    Sigmoid,
    evaluate,
    fit,
    last_history,
    softmax_cross_entropy,
)


def net(seed=0, *, dropout=0.0):
    rng = np.random.default_rng(seed)
    return Sequential(
        Linear(4, 8, rng=rng, bias=False),
        BatchNorm(8),
        ReLU(),
        Dropout(dropout, rng=rng),
        Linear(8, 3, rng=rng),
    )


@pytest.fixture
def data(rng):
    """Three well-separated clouds: x (90, 4) float32, y (90,)."""
    y = np.repeat(np.arange(3), 30)
    x = rng.normal(size=(90, 4)) + 4 * rng.normal(size=(3, 4))[y]
    return x.astype(np.float32), y


OPTIONS = {"steps": 30, "batch_size": 20, "rng": 1, "lr": 0.1, "progress": False}


def state(model):
    """Everything that training changes, as one dict of copies."""
    buffers = {
        f"{i}.{name}": getattr(layer, name)
        for i, layer in enumerate(model)
        if isinstance(layer, BatchNorm)
        for name in ("running_mean", "running_var", "num_batches_tracked")
    }
    return {name: np.copy(a) for name, a in (model.parameters() | buffers).items()}


def assert_same_state(one, two):
    for name, array in state(one).items():
        assert (array == state(two)[name]).all(), name


# ---- SGD


@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_sgd_matches_torch(rng, momentum):
    torch = pytest.importorskip("torch")
    layer = Linear(3, 2, rng=rng, dtype=np.float64)
    theirs = torch.from_numpy(layer.weight.copy()).requires_grad_()
    ours, optimizer = SGD(0.1, momentum), torch.optim.SGD([theirs], 0.1, momentum)
    for _ in range(4):
        layer.dweight, layer.dbias = rng.normal(size=(3, 2)), np.zeros(2)
        theirs.grad = torch.from_numpy(layer.dweight)
        ours.step(layer)
        optimizer.step()
    assert_allclose(layer.weight, theirs.detach(), rtol=1e-12)


def test_sgd_writes_in_place_and_leaves_gradients_alone(rng):
    layer = Linear(3, 2, rng=rng)
    weight = layer.weight
    layer.dweight, layer.dbias = np.ones((3, 2), np.float32), np.ones(2, np.float32)
    optimizer = SGD(0.1, momentum=0.5)
    optimizer.step(layer)
    optimizer.step(layer)
    assert layer.weight is weight
    assert (layer.dweight == 1).all()


@pytest.mark.parametrize(
    ("arguments", "error", "text"),
    [
        ((-1,), ValueError, "lr is -1; expected zero or more"),
        ((np.nan,), ValueError, "lr is nan"),
        (("0.1",), TypeError, "lr is '0.1'; expected zero or more"),
        ((0.1, 1.0), ValueError, r"momentum is 1.0; expected a number in \[0, 1\)"),
        ((0.1, None), TypeError, "momentum is None; expected"),
    ],
)
def test_sgd_bad_argument_raises(arguments, error, text):
    with pytest.raises(error, match=text):
        SGD(*arguments)


def layer_with_gradients(seed, value=1.0):
    layer = Linear(3, 2, rng=np.random.default_rng(seed), dtype=np.float64)
    layer.dweight, layer.dbias = np.full((3, 2), value), np.full(2, value)
    return layer


def test_sgd_starts_a_second_model_without_the_firsts_momentum():
    shared, fresh = SGD(0.1, momentum=0.9), SGD(0.1, momentum=0.9)
    one, two, twin = (layer_with_gradients(seed) for seed in (0, 1, 1))
    shared.step(one)
    shared.step(two)
    fresh.step(twin)
    assert (two.weight == twin.weight).all()


def test_sgd_keeps_the_momenta_of_two_models_apart():
    shared, own = SGD(0.1, momentum=0.9), [SGD(0.1, momentum=0.9) for _ in range(2)]
    layers, twins = ([layer_with_gradients(s, 1.0 + s) for s in (0, 1)] for _ in range(2))
    for _ in range(3):
        for layer, twin, optimizer in zip(layers, twins, own, strict=True):
            shared.step(layer)
            optimizer.step(twin)
    assert all((a.weight == b.weight).all() for a, b in zip(layers, twins, strict=True))


def test_sgd_forgets_nothing_of_an_array_that_two_layers_hold():
    torch = pytest.importorskip("torch")
    one, two = layer_with_gradients(0, 1.0), layer_with_gradients(1, 2.0)
    two.weight = one.weight
    leaf = torch.from_numpy(one.weight.copy()).requires_grad_()
    leaf.grad = torch.full((3, 2), 3.0, dtype=torch.float64)
    ours, theirs = SGD(0.1, momentum=0.9), torch.optim.SGD([leaf], 0.1, 0.9)
    for _ in range(3):
        ours.step(Sequential(one, two))
        theirs.step()
    assert_allclose(one.weight, leaf.detach(), rtol=1e-12)


@pytest.mark.parametrize(
    "duplicate", [copy.deepcopy, lambda pair: pickle.loads(pickle.dumps(pair))]
)
def test_sgd_copied_with_its_model_goes_on(duplicate):
    layer, optimizer = layer_with_gradients(0), SGD(0.1, momentum=0.9)
    optimizer.step(layer)
    twin, its_optimizer = duplicate((layer, optimizer))
    optimizer.step(layer)
    its_optimizer.step(twin)
    assert (layer.weight == twin.weight).all()


# ---- fit


def test_fit_equals_the_loop_one_would_write(data):
    x, y = data
    by_fit, by_hand = net(), net()
    history = fit(by_fit, x, y, **OPTIONS)
    rng, losses = np.random.default_rng(1), []
    while len(losses) < 30:
        for x_batch, y_batch in minibatches(x, y, 20, rng):
            if len(losses) == 30:
                break
            loss, dlogits = softmax_cross_entropy(by_hand(x_batch), y_batch)
            by_hand.backward(dlogits)
            SGD(0.1).step(by_hand)
            losses.append(loss)
    assert history.loss.tolist() == losses
    assert_same_state(by_fit, by_hand)


def test_fit_twice_gives_the_same_bits(data):
    models = [net(dropout=0.3), net(dropout=0.3)]
    histories = [fit(m, *data, **OPTIONS, x_test=data[0], y_test=data[1]) for m in models]
    assert_same_state(*models)
    for name in ("loss", "eval_steps", "test_loss", "test_accuracy"):
        assert (getattr(histories[0], name) == getattr(histories[1], name)).all()


def test_fit_in_two_halves_with_one_rng_goes_on_with_fresh_passes(data):
    rng = np.random.default_rng(1)
    model = net()
    first = fit(model, *data, **OPTIONS | {"rng": rng})
    second = fit(model, *data, **OPTIONS | {"rng": rng})
    assert second.loss.mean() < first.loss.mean()


def test_evaluation_does_not_change_the_training(data):
    plain, watched = net(dropout=0.3), net(dropout=0.3)
    fit(plain, *data, **OPTIONS)
    fit(watched, *data, **OPTIONS, x_test=data[0], y_test=data[1], eval_every=1)
    assert_same_state(plain, watched)


def test_history_has_one_loss_a_step_and_its_evaluations(data):
    x, y = data
    history = fit(net(), x, y, **OPTIONS, x_test=x, y_test=y, eval_every=8)
    assert history.steps.tolist() == list(range(1, 31))
    assert history.eval_steps.tolist() == [8, 16, 24, 30]
    assert len(history.loss) == 30
    assert len(history.test_loss) == len(history.test_accuracy) == 4
    assert history.test_accuracy[-1] > 0.9
    assert not history.interrupted
    assert not history.diverged
    assert repr(history) == "History(30 steps, 4 evaluations)"


def test_fit_without_test_set_or_steps_gives_empty_arrays(data):
    history = fit(net(), *data, **OPTIONS | {"steps": 0})
    assert len(history.loss) == len(history.eval_steps) == len(history.test_accuracy) == 0


def test_history_evaluates_as_evaluate_does(data):
    x, y = data
    model = net()
    history = fit(model, x, y, **OPTIONS, x_test=x, y_test=y)
    assert (history.test_loss[-1], history.test_accuracy[-1]) == evaluate(model, x, y)


@pytest.mark.parametrize("mode", ["train", "eval"])
def test_fit_trains_in_train_mode_and_restores_the_mode(data, mode):
    model, modes = getattr(net(), mode)(), []
    fit(model, *data, **OPTIONS, callback=lambda *_: modes.append(model[1].training))
    assert modes == [True] * 30
    assert model.training == (mode == "train")
    assert model[1].training == (mode == "train")


def test_callback_sees_the_activations_and_can_stop(data):
    seen = []

    def callback(step, model, loss):
        seen.append((step, [h.shape for h in model.inputs], loss))
        return step == 4

    history = fit(net(), *data, **OPTIONS, callback=callback, x_test=data[0], y_test=data[1])
    assert [step for step, _, _ in seen] == [1, 2, 3, 4]
    assert seen[0][1] == [(20, 4), (20, 8), (20, 8), (20, 8), (20, 8)]
    assert [loss for _, _, loss in seen] == history.loss.tolist()
    assert history.eval_steps.tolist() == [4]
    assert not history.interrupted


def test_learning_rate_may_change_on_the_way(data):
    optimizer = SGD(0.1)
    options = OPTIONS | {"lr": None, "optimizer": optimizer}
    model = net()
    weights = []

    def callback(step, model, loss):
        optimizer.lr = 0.0
        weights.append(model[0].weight.copy())

    fit(model, *data, **options, callback=callback)
    assert (weights[0] == weights[-1]).all()


def test_own_loss_function_fits_a_line(rng):
    x = rng.normal(size=(200, 3))
    y = x @ np.array([[1.0], [-2.0], [0.5]])

    def squared(outputs, y):
        error = outputs - y
        return float((error**2).mean()), 2 * error / len(error)

    model = Linear(3, 1, rng=rng, dtype=np.float64)
    history = fit(
        model,
        x,
        y,
        **OPTIONS | {"steps": 200},
        loss_function=squared,
        x_test=x,
        y_test=y,
    )
    assert_allclose(model.weight[:, 0], [1, -2, 0.5], atol=1e-4)
    assert history.test_loss[-1] < 1e-6
    assert np.isnan(history.test_accuracy[-1])


def test_divergence_is_recorded_without_a_warning(data, capsys):
    history = fit(net(), *data, **OPTIONS | {"lr": 1e30}, x_test=data[0], y_test=data[1])
    assert history.diverged
    assert np.isnan(history.loss[-1])
    assert len(history.loss) == 30
    assert capsys.readouterr().err == ""


# ---- rows by position


@pytest.mark.parametrize("kind", ["by label", "pandas", "torch"])
def test_fit_takes_rows_by_position(data, table, kind):
    model, twin = net(), net()
    tables = [table(kind, a) for a in data]
    history = fit(model, *tables, **OPTIONS, x_test=tables[0], y_test=tables[1])
    want = fit(twin, *data, **OPTIONS, x_test=data[0], y_test=data[1])
    assert_same_state(model, twin)
    assert history.test_loss.tolist() == want.test_loss.tolist()


@pytest.mark.parametrize("kind", ["list", "by label", "pandas", "torch"])
def test_evaluate_takes_rows_by_position(data, table, kind):
    x, y = data
    model = net()
    got = evaluate(model, x, table(kind, y), batch_size=40)
    assert got == evaluate(model, x, y, batch_size=40)


@pytest.mark.parametrize(
    ("x", "y", "error", "text"),
    [
        (np.ones((0, 4)), [], ValueError, "x has 0 rows, y has 0; expected as many, one or more"),
        (np.ones((2, 4)), [1], ValueError, "x has 2 rows, y has 1; expected as many"),
        (np.ma.masked_less([[0, 1]], 1), [1], TypeError, "x is a masked array"),
    ],
)
def test_evaluate_bad_rows_raise(x, y, error, text):
    with pytest.raises(error, match=text):
        evaluate(net(), x, y)


# ---- interrupts


def press_ctrl_c(at):
    def callback(step, model, loss):
        if step == at:
            signal.raise_signal(signal.SIGINT)

    return callback


def stopped_fit(*args, **options):
    """The KeyboardInterrupt that fit ends with."""
    with pytest.raises(KeyboardInterrupt) as caught:
        fit(*args, **options)
    return caught.value


def test_ctrl_c_keeps_what_was_learnt(data):
    interrupted, whole = net(), net()
    history = stopped_fit(
        interrupted, *data, **OPTIONS, callback=press_ctrl_c(7), x_test=data[0], y_test=data[1]
    ).history
    fit(whole, *data, **OPTIONS | {"steps": 7})
    assert history.interrupted
    assert len(history.loss) == 7
    assert history.eval_steps.tolist() == [7]
    assert repr(history) == "History(7 steps, 1 evaluations, interrupted)"
    assert_same_state(interrupted, whole)


@pytest.mark.parametrize("place", ["forward", "backward", "update"])
def test_ctrl_c_inside_a_step_finishes_the_step(data, place):
    """A signal that comes at the worst moment leaves no half-done update."""
    presses = iter([False] * 4 + [True] + [False] * 99)

    class Impatient(ReLU):
        def forward(self, x):
            if place == "forward" and next(presses):
                signal.raise_signal(signal.SIGINT)
            return super().forward(x)

        def backward(self, dy):
            if place == "backward" and next(presses):
                signal.raise_signal(signal.SIGINT)
            return super().backward(dy)

        def gradients(self):
            if place == "update" and next(presses):
                signal.raise_signal(signal.SIGINT)
            return {}

    interrupted, whole = net(), net()
    interrupted.layers[2] = Impatient()
    history = stopped_fit(interrupted, *data, **OPTIONS).history
    fit(whole, *data, **OPTIONS | {"steps": 5})
    assert history.interrupted
    assert len(history.loss) == 5
    assert_same_state(interrupted, whole)


def test_a_keyboard_interrupt_of_the_callback_counts(data):
    def callback(step, model, loss):
        raise KeyboardInterrupt

    history = stopped_fit(net(), *data, **OPTIONS, callback=callback).history
    assert history.interrupted
    assert len(history.loss) == 1


def test_one_ctrl_c_ends_the_loop_around_fit(data):
    started = []

    def race():
        for lr in (0.1, 0.2, 0.3):
            started.append(lr)
            fit(net(), *data, **OPTIONS | {"lr": lr}, callback=press_ctrl_c(2))

    with pytest.raises(KeyboardInterrupt):
        race()
    assert started == [0.1]


def test_one_ctrl_c_ends_a_fit_and_the_one_around_it(data):
    def inner(step, model, loss):
        fit(net(), *data, **OPTIONS, callback=press_ctrl_c(2))

    assert len(stopped_fit(net(), *data, **OPTIONS, callback=inner).history.loss) == 1


def test_ctrl_c_in_the_last_step_is_not_lost(data):
    error = stopped_fit(net(), *data, **OPTIONS | {"steps": 3}, callback=press_ctrl_c(3))
    assert str(error).startswith("Stopped after 3 of 3 steps.")


def test_last_history_is_that_of_the_latest_fit_stopped_or_not(data):
    assert stopped_fit(net(), *data, **OPTIONS, callback=press_ctrl_c(7)).history is last_history()
    assert len(last_history().loss) == 7
    assert fit(net(), *data, **OPTIONS) is last_history()


def test_ctrl_c_says_in_one_line_where_things_are(data):
    error = stopped_fit(net(), *data, **OPTIONS, callback=press_ctrl_c(7))
    line = (
        "Stopped after 7 of 30 steps. The model keeps what it learnt; "
        "bnlib.training.last_history() has the losses up to here."
    )
    assert str(error) == line
    assert error._render_traceback_() == [line]


@pytest.mark.skipif(os.name != "posix", reason="exit by a signal is POSIX's")
def test_ctrl_c_ends_a_script_as_a_shell_expects():
    """By the signal: after an exit with status 1, a loop of the shell would start the next one."""
    code = """
import signal
import numpy as np
from bnlib.numpy import Linear, fit
model = Linear(2, 2, rng=np.random.default_rng(0), dtype=np.float64)
press = lambda *_: signal.raise_signal(signal.SIGINT)
fit(model, np.eye(2), [0, 1], steps=9, batch_size=2, rng=0, lr=0.1, callback=press)
"""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    done = subprocess.run([sys.executable, "-c", code], env=environment, stderr=subprocess.PIPE)
    assert done.returncode == -signal.SIGINT
    assert b"KeyboardInterrupt: Stopped after 1 of 9 steps." in done.stderr


def test_the_second_ctrl_c_is_raised_at_once(data):
    class Stuck(ReLU):
        def forward(self, x):
            signal.raise_signal(signal.SIGINT)
            signal.raise_signal(signal.SIGINT)
            raise AssertionError("the second one did not come through")

    model = net().eval()
    model.layers[2] = Stuck()
    error = stopped_fit(model, *data, **OPTIONS)
    assert str(error).startswith("Stopped in the middle of step 1 of 30 steps.")
    assert len(error.history.loss) == 0
    assert not model.training


def test_the_signal_handler_is_put_back(data):
    before = signal.getsignal(signal.SIGINT)
    stopped_fit(net(), *data, **OPTIONS, callback=press_ctrl_c(2))
    assert signal.getsignal(signal.SIGINT) is before


def test_fit_works_in_another_thread(data):
    histories = []
    thread = threading.Thread(target=lambda: histories.append(fit(net(), *data, **OPTIONS)))
    thread.start()
    thread.join()
    assert histories[0].loss.tolist() == fit(net(), *data, **OPTIONS).loss.tolist()


# ---- bad arguments


@pytest.mark.parametrize(
    ("change", "error", "text"),
    [
        ({"lr": None}, ValueError, "lr and optimizer: give exactly one"),
        ({"optimizer": SGD(0.1)}, ValueError, "lr and optimizer: give exactly one"),
        ({"x_test": np.ones((2, 4))}, ValueError, "x_test and y_test: one is None"),
        ({"eval_every": 0}, ValueError, "eval_every is 0; a whole number, 1 or more"),
        ({"steps": -1}, ValueError, "steps is -1; a whole number, 0 or more"),
        ({"rng": None}, TypeError, "rng is None; expected a seed"),
        ({"batch_size": 91}, ValueError, "batch_size"),
        ({"y": np.zeros(89, int)}, ValueError, "x has 90 rows, y has 89; expected as many"),
        (
            {"x_test": np.ones((2, 4)), "y_test": np.ones(3)},
            ValueError,
            "x_test has 2 rows, y_test has 3; expected as many",
        ),
        ({"steps": 2.5}, TypeError, "steps is 2.5; a whole number, 0 or more"),
        (
            {"lr": None, "optimizer": "sgd"},
            TypeError,
            r"optimizer is of type builtins\.str; expected a bnlib\.numpy\.SGD",
        ),
    ],
    ids=lambda v: "-".join(v) if isinstance(v, dict) else "",
)
def test_fit_bad_argument_raises_and_changes_nothing(data, change, error, text):
    model = net()
    before = state(model)
    arguments = OPTIONS | {"x": data[0], "y": data[1]} | change
    with pytest.raises(error, match=text):
        fit(model, **arguments)
    for name, array in state(model).items():
        assert (array == before[name]).all()


def test_fit_refuses_torchs_optimizer(data):
    torch = pytest.importorskip("torch")
    theirs = torch.optim.SGD([torch.ones(1)], 0.1)
    with pytest.raises(
        TypeError, match=r"optimizer is of type torch.*expected a bnlib\.numpy\.SGD"
    ):
        fit(net(), *data, **OPTIONS | {"lr": None, "optimizer": theirs})


def test_fit_refuses_a_model_without_parameters(data):
    with pytest.raises(ValueError, match="model has no parameters; fit has nothing to train"):
        fit(Sequential(ReLU()), *data, **OPTIONS)


# ---- the progress display


def test_progress_callable_sees_every_step(data):
    seen = []
    history = fit(net(), *data, **OPTIONS | {"progress": lambda *a: seen.append(a)})
    assert seen == [(i + 1, 30, loss) for i, loss in enumerate(history.loss)]


def test_progress_is_silent_where_nobody_looks(data, capsys):
    fit(net(), *data, **OPTIONS | {"progress": True})
    assert capsys.readouterr() == ("", "")


def test_progress_on_a_terminal_wipes_its_line(monkeypatch):
    screen = io.StringIO()
    screen.isatty = lambda: True
    monkeypatch.setattr(sys, "stderr", screen)
    monkeypatch.setattr(progress, "INTERVAL", 0.0)
    with progress.progress(4) as update:
        update(2, 0.5)
    assert "████████████░░░░░░░░░░░░ 2 of 4 steps, loss 0.5" in screen.getvalue()
    assert screen.getvalue().endswith("\r\x1b[2K")


class Screen(io.StringIO):
    """A terminal that keeps what it is sent; characters that it cannot show raise an error."""

    def __init__(self, encoding, columns=80):
        super().__init__()
        self._encoding, self.columns = encoding, columns

    encoding = property(lambda self: self._encoding)

    def isatty(self):
        return True

    def fileno(self):
        return -self.columns  # see the fixture `screen`

    def write(self, text):
        text.encode(self.encoding or "utf-8")
        return super().write(text)

    def lines(self):
        return self.getvalue().split("\r\x1b[2K")[1:-1]


@pytest.fixture
def screen(monkeypatch):
    """screen(encoding, columns): a terminal in place of stderr, updated at every step."""

    def size(number):
        return os.terminal_size((-number, 24))

    def make(encoding="utf-8", columns=80):
        monkeypatch.setattr(sys, "stderr", Screen(encoding, columns))
        monkeypatch.setattr(os, "get_terminal_size", size)
        monkeypatch.setattr(progress, "INTERVAL", 0.0)
        return sys.stderr

    return make


def run_bar(steps):
    with progress.progress(steps) as update:
        for step in range(1, steps + 1):
            update(step, 0.5)


@pytest.mark.parametrize("columns", [1, 2, 5, 12, 24, 30, 31, 36, 50, 80])
def test_progress_stays_on_one_line_of_a_narrow_terminal(screen, columns):
    terminal = screen(columns=columns)
    run_bar(1234)
    assert len(terminal.lines()) == 1234
    assert max(map(len, terminal.lines())) < max(columns, 2)  # a full line may wrap already


def test_progress_drops_first_the_bar_then_the_words(screen):
    shown = {}
    for columns in (80, 40, 30, 12):
        terminal = screen(columns=columns)
        run_bar(20)
        shown[columns] = terminal.lines()[9]
    assert shown == {
        80: "████████████░░░░░░░░░░░░ 10 of 20 steps, loss 0.5",
        40: "███████░░░░░░░ 10 of 20 steps, loss 0.5",
        30: "10 of 20 steps, loss 0.5",
        12: "10/20",
    }


def test_progress_follows_a_terminal_that_is_made_narrower(screen):
    terminal = screen(columns=80)
    with progress.progress(4) as update:
        update(1, 0.5)
        terminal.columns = 30
        update(2, 0.5)
    assert [len(line) < 30 for line in terminal.lines()] == [False, True]


@pytest.mark.parametrize(
    ("encoding", "bar"),
    [
        ("utf-8", "████████████░░░░░░░░░░░░"),
        ("cp437", "████████████░░░░░░░░░░░░"),
        ("latin-1", "############............"),
        ("ascii", "############............"),
        ("cp1252", "############............"),
        ("no such", "############............"),
        (None, "████████████░░░░░░░░░░░░"),
    ],
)
def test_progress_sends_what_the_terminal_can_show(screen, monkeypatch, encoding, bar):
    monkeypatch.setattr(Screen, "write", io.StringIO.write)
    terminal = screen(encoding)
    run_bar(2)
    assert terminal.lines()[0] == f"{bar} 1 of 2 steps, loss 0.5"


def test_progress_takes_the_size_of_the_real_terminal(monkeypatch):
    """Of stderr, where the line goes: stdout may be a file, COLUMNS another size."""
    pty, fcntl, termios = map(pytest.importorskip, ("pty", "fcntl", "termios"))
    reader, number = pty.openpty()
    fcntl.ioctl(number, termios.TIOCSWINSZ, np.array([24, 20, 0, 0], np.uint16).tobytes())
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setattr(progress, "INTERVAL", 0.0)
    with os.fdopen(number, "w", encoding="latin-1") as terminal:
        monkeypatch.setattr(sys, "stderr", terminal)
        run_bar(3)
        monkeypatch.undo()
        print("the end", file=terminal, flush=True)
        sent = ""
        while not sent.endswith("\n"):  # one read may return only a part of what was written
            sent += os.read(reader, 4096).decode()
    os.close(reader)
    assert re.split("\r\x1b\\[2K", sent) == ["", "1/3", "2/3", "3/3", "the end\r\n"]


CELL = """
from bnlib import progress
progress.INTERVAL = 0.0
with progress.progress({steps}, {show}) as update:
    for step in range(1, {last} + 1):
        update(step, 0.5)
"""

PRESSED = """
import signal, numpy as np
import bnlib.numpy as bn
model = bn.Linear(2, 2, rng=np.random.default_rng(0), dtype=np.float64)
def press(step, model, loss):
    if step == 7:
        signal.raise_signal(signal.SIGINT)
started = []
for rate in (0.1, 0.2, 0.3):
    started.append(rate)
    bn.fit(model, np.eye(2), [0, 1], steps=30, batch_size=2, rng=0, lr=rate, callback=press)
"""


@pytest.fixture(scope="module")
def cell_outputs():
    """Name -> the outputs that the cell has after nbclient ran it, as in a committed notebook."""
    nbclient, nbformat = pytest.importorskip("nbclient"), pytest.importorskip("nbformat")
    cells = {
        "done": CELL.format(steps=20, show=True, last=20),
        "stopped": CELL.format(steps=2000, show=True, last=7),
        "off": CELL.format(steps=20, show=False, last=20),
        "pressed": PRESSED,
        "afterwards": "print(started, bn.last_history())",
    }
    notebook = nbformat.v4.new_notebook(
        cells=[nbformat.v4.new_code_cell(c) for c in cells.values()]
    )
    notebook.metadata.kernelspec = {"name": "python3", "display_name": "", "language": "python"}
    notebook.cells[3].metadata.tags = ["raises-exception"]
    nbclient.NotebookClient(notebook, timeout=120).execute()
    return dict(zip(cells, (cell.outputs for cell in notebook.cells), strict=True))


@pytest.mark.parametrize(
    ("cell", "text"), [("done", "20 steps"), ("stopped", "stopped after 7 of 2,000 steps")]
)
def test_progress_in_a_notebook_leaves_no_trace_of_the_run(cell_outputs, cell, text):
    (output,) = cell_outputs[cell]
    assert output.data == {"text/plain": text, "text/html": f"<div>{text}</div>"}


def test_progress_false_leaves_nothing_in_a_notebook(cell_outputs):
    assert cell_outputs["off"] == []


def test_stop_in_a_notebook_ends_the_cell_in_one_line(cell_outputs):
    bar, error = cell_outputs["pressed"]
    assert bar.data["text/plain"] == "stopped after 7 of 30 steps"
    assert (error.output_type, error.ename) == ("error", "KeyboardInterrupt")
    assert error.traceback == [error.evalue]
    assert error.evalue.startswith("Stopped after 7 of 30 steps. The model keeps what it learnt;")


def test_stop_in_a_notebook_leaves_the_history(cell_outputs):
    (output,) = cell_outputs["afterwards"]
    assert output.text == "[0.1] History(7 steps, 0 evaluations, interrupted)\n"


def test_progress_in_a_notebook_begins_as_it_ends(monkeypatch):
    """nbval compares the first display of a cell with the stored, last one."""
    IPython = pytest.importorskip("IPython")
    shown = []

    class Handle:
        def update(self, bundle, raw):
            shown.append(bundle)

    def display(bundle, raw, display_id):
        shown.append(bundle)
        return Handle()

    monkeypatch.setattr(IPython, "get_ipython", lambda: types.SimpleNamespace(kernel=object()))
    monkeypatch.setattr(IPython.display, "display", display)
    monkeypatch.setattr(progress, "INTERVAL", 0.0)
    with progress.progress(20) as update:
        for step in range(1, 21):
            update(step, 0.5)
    assert shown[0] == shown[-1]
    assert shown[7]["text/plain"] == "7 of 20 steps, loss 0.5"
    assert '<progress value="7" max="20"' in shown[7]["text/html"]


# ---- the package, and real data


@pytest.mark.parametrize("module", ["bnlib.numpy", "bnlib.reference", "bnlib.progress"])
def test_importing_needs_numpy_alone(module):
    code = f"import sys, {module}; print({{'torch', 'IPython', 'matplotlib'}} & set(sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "set()\n"


def mnist_net(batch_norm, seed):
    rng = np.random.default_rng(seed)
    layers = []
    for inputs, outputs in ((784, 100), (100, 100), (100, 100)):
        layers += [Linear(inputs, outputs, rng=rng, init=0.1, bias=not batch_norm)]
        layers += [BatchNorm(outputs)] if batch_norm else []
        layers += [Sigmoid()]
    return Sequential(*layers, Linear(100, 10, rng=rng, init=0.1))


def test_batch_norm_learns_mnist_sooner():
    digits = mnist10k()
    x, x_test = as_features(digits.x_train), as_features(digits.x_test)
    accuracy = {}
    for batch_norm in (True, False):
        history = fit(
            mnist_net(batch_norm, seed=0),
            x,
            digits.y_train,
            steps=250,
            batch_size=60,
            rng=0,
            lr=0.5,
            x_test=x_test,
            y_test=digits.y_test,
        )
        accuracy[batch_norm] = history.test_accuracy[-1]
    assert accuracy[True] > 0.85
    assert accuracy[True] > accuracy[False] + 0.1
