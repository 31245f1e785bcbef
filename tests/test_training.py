"""SGD, evaluate and fit of bnlib.numpy, the progress display, and a net that learns MNIST."""

import io
import os
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
    ("arguments", "text"),
    [((-1,), "lr is -1"), ((np.nan,), "lr is nan"), ((0.1, 1.0), r"momentum is 1.0; expected")],
)
def test_sgd_bad_argument_raises(arguments, text):
    with pytest.raises(ValueError, match=text):
        SGD(*arguments)


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


# ---- interrupts


def press_ctrl_c(at):
    def callback(step, model, loss):
        if step == at:
            signal.raise_signal(signal.SIGINT)

    return callback


def test_ctrl_c_keeps_what_was_learnt(data):
    interrupted, whole = net(), net()
    history = fit(
        interrupted, *data, **OPTIONS, callback=press_ctrl_c(7), x_test=data[0], y_test=data[1]
    )
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

        def parameters(self):
            if place == "update" and next(presses):
                signal.raise_signal(signal.SIGINT)
            return {}

    interrupted, whole = net(), net()
    interrupted.layers[2] = Impatient()
    history = fit(interrupted, *data, **OPTIONS)
    fit(whole, *data, **OPTIONS | {"steps": 5})
    assert history.interrupted
    assert len(history.loss) == 5
    assert_same_state(interrupted, whole)


def test_a_keyboard_interrupt_of_the_callback_counts(data):
    def callback(step, model, loss):
        raise KeyboardInterrupt

    history = fit(net(), *data, **OPTIONS, callback=callback)
    assert history.interrupted
    assert len(history.loss) == 1


def test_the_second_ctrl_c_is_raised_at_once(data):
    class Stuck(ReLU):
        def forward(self, x):
            signal.raise_signal(signal.SIGINT)
            signal.raise_signal(signal.SIGINT)
            raise AssertionError("the second one did not come through")

    model = net().eval()
    model.layers[2] = Stuck()
    with pytest.raises(KeyboardInterrupt):
        fit(model, *data, **OPTIONS)
    assert not model.training


def test_the_signal_handler_is_put_back(data):
    before = signal.getsignal(signal.SIGINT)
    fit(net(), *data, **OPTIONS, callback=press_ctrl_c(2))
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
        ({"eval_every": 0}, ValueError, "eval_every is 0; expected at least 1"),
        ({"steps": -1}, ValueError, "steps is -1; expected zero or more"),
        ({"rng": None}, TypeError, "rng is None; expected a seed"),
        ({"batch_size": 91}, ValueError, "batch_size"),
        ({"y": np.zeros(89, int)}, ValueError, "y has 89 rows"),
    ],
    ids=["no-lr", "both", "x-test", "eval-every", "steps", "rng", "batch-size", "lengths"],
)
def test_fit_bad_argument_raises_and_changes_nothing(data, change, error, text):
    model = net()
    before = state(model)
    arguments = OPTIONS | {"x": data[0], "y": data[1]} | change
    with pytest.raises(error, match=text):
        fit(model, **arguments)
    for name, array in state(model).items():
        assert (array == before[name]).all()


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


CELL = """
from bnlib import progress
progress.INTERVAL = 0.0
with progress.progress({steps}, {show}) as update:
    for step in range(1, {last} + 1):
        update(step, 0.5)
"""


@pytest.fixture(scope="module")
def cell_outputs():
    """Name -> the outputs that the cell has after nbclient ran it, as in a committed notebook."""
    nbclient, nbformat = pytest.importorskip("nbclient"), pytest.importorskip("nbformat")
    cells = {
        "done": CELL.format(steps=20, show=True, last=20),
        "stopped": CELL.format(steps=2000, show=True, last=7),
        "off": CELL.format(steps=20, show=False, last=20),
    }
    notebook = nbformat.v4.new_notebook(
        cells=[nbformat.v4.new_code_cell(c) for c in cells.values()]
    )
    notebook.metadata.kernelspec = {"name": "python3", "display_name": "", "language": "python"}
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
