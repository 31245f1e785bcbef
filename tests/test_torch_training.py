"""fit and evaluate of bnlib.torch: the interface and the numbers of bnlib.numpy's."""

import copy
import signal

import numpy as np
import pytest
from numpy.testing import assert_allclose

torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402

import bnlib.numpy  # noqa: E402
from bnlib.data import as_features, minibatches, mnist10k  # noqa: E402
from bnlib.torch import (  # noqa: E402
    BatchNorm1d,
    evaluate,
    fit,
    last_history,
    recompute_statistics,
)

OPTIONS = {"steps": 30, "batch_size": 20, "rng": 1, "lr": 0.1, "progress": False}
DEVICES = ["cpu"]
DEVICES += ["cuda"] if torch.cuda.is_available() else []
DEVICES += ["mps"] if torch.backends.mps.is_available() else []


def net(seed=0, dropout=0.0):
    torch.manual_seed(seed)
    linear = nn.Linear(4, 8, bias=False), nn.Linear(8, 3)
    return nn.Sequential(linear[0], BatchNorm1d(8), nn.ReLU(), nn.Dropout(dropout), linear[1])


@pytest.fixture
def arrays(rng):
    """Three well-separated clouds: x (90, 4) float32, y (90,)."""
    y = np.repeat(np.arange(3), 30)
    x = rng.normal(size=(90, 4)) + 4 * rng.normal(size=(3, 4))[y]
    return x.astype(np.float32), y


@pytest.fixture
def data(arrays):
    return tuple(torch.from_numpy(a) for a in arrays)


def assert_same_state(a, b):
    for (name, x), y in zip(a.state_dict().items(), b.state_dict().values(), strict=True):
        assert torch.equal(x, y), name


def test_assert_same_state_sees_a_difference():
    a, b = net(), net()
    assert_same_state(a, b)
    b[1].running_var[3] += 1e-6
    with pytest.raises(AssertionError, match="running_var"):
        assert_same_state(a, b)


# ---- the loop


def test_fit_equals_the_loop_one_would_write(data):
    model, by_hand = net(), net()
    history = fit(model, *data, **OPTIONS)
    optimizer, losses = torch.optim.SGD(by_hand.parameters(), lr=0.1), []
    rng = np.random.default_rng(1)
    while len(losses) < 30:
        for x, y in minibatches(*data, 20, rng):
            loss = nn.functional.cross_entropy(by_hand(x), y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
    assert history.loss.tolist() == losses[:30]


@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_fit_takes_the_steps_of_numpys(arrays, momentum):
    """The same weights, data and seed: the same losses, parameters and running statistics."""
    x, y = arrays
    rng = np.random.default_rng(0)
    theirs = bnlib.numpy.Sequential(
        bnlib.numpy.Linear(4, 8, rng=rng, bias=False),
        bnlib.numpy.BatchNorm(8),
        bnlib.numpy.ReLU(),
        bnlib.numpy.Linear(8, 3, rng=rng),
    )
    ours = nn.Sequential(nn.Linear(4, 8, bias=False), BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 3))
    with torch.no_grad():
        ours[0].weight.copy_(torch.from_numpy(theirs[0].weight.T))
        ours[3].weight.copy_(torch.from_numpy(theirs[3].weight.T))
        ours[3].bias.copy_(torch.from_numpy(theirs[3].bias))
    options = OPTIONS | {"lr": None, "x_test": x, "y_test": y, "eval_every": 10}
    want = bnlib.numpy.fit(theirs, x, y, **options, optimizer=bnlib.numpy.SGD(0.1, momentum))
    optimizer = torch.optim.SGD(ours.parameters(), lr=0.1, momentum=momentum)
    got = fit(ours, x, y, **options, optimizer=optimizer)
    for name in ("loss", "eval_steps", "test_loss", "test_accuracy"):
        assert_allclose(getattr(got, name), getattr(want, name), rtol=1e-3)
    assert_allclose(ours[3].weight.detach().numpy().T, theirs[3].weight, rtol=1e-3, atol=1e-5)
    assert_allclose(ours[1].running_var.numpy(), theirs[1].running_var, rtol=1e-3)


def test_fit_twice_gives_the_same_bits(data):
    a, b = net(), net()
    assert fit(a, *data, **OPTIONS).loss.tolist() == fit(b, *data, **OPTIONS).loss.tolist()
    assert_same_state(a, b)


def test_arrays_and_tensors_are_the_same_to_fit(arrays, data):
    for array in arrays:
        array.flags.writeable = False  # as those of mnist10k are
    a, b = net(), net()
    fit(a, *arrays, **OPTIONS, x_test=arrays[0], y_test=arrays[1])
    fit(b, *data, **OPTIONS)
    assert_same_state(a, b)


@pytest.mark.parametrize("device", DEVICES)
def test_fit_trains_on_the_device(data, device):
    model = net()
    history = fit(model, *data, **OPTIONS, device=device, x_test=data[0], y_test=data[1])
    assert all(p.device.type == device for p in model.parameters())
    assert history.test_accuracy[-1] > 0.9
    assert isinstance(history.loss, np.ndarray)
    assert history.loss.dtype == np.float64


def test_fit_stays_on_the_models_device(data):
    model = net().to("meta")
    with pytest.raises((RuntimeError, NotImplementedError)):  # losses cannot leave it
        fit(model, *data, **OPTIONS)
    assert model[0].weight.device.type == "meta"


def test_evaluation_does_not_change_the_training(data):
    states = []
    for options in ({}, {"x_test": data[0], "y_test": data[1], "eval_every": 1}):
        model = net(dropout=0.3)
        fit(model, *data, **OPTIONS, **options)
        states.append(model)
    assert_same_state(*states)


def test_history_has_one_loss_a_step_and_its_evaluations(data):
    x, y = data
    history = fit(net(), x, y, **OPTIONS, x_test=x, y_test=y, eval_every=8)
    assert history.steps.tolist() == list(range(1, 31))
    assert history.eval_steps.tolist() == [8, 16, 24, 30]
    assert len(history.test_loss) == len(history.test_accuracy) == 4
    assert type(history) is bnlib.numpy.History
    assert repr(history) == "History(30 steps, 4 evaluations)"


def test_no_steps_give_empty_arrays(data):
    history = fit(net(), *data, **OPTIONS | {"steps": 0})
    assert len(history.loss) == len(history.eval_steps) == 0


def test_history_evaluates_as_evaluate_does(data):
    model = net()
    history = fit(model, *data, **OPTIONS, x_test=data[0], y_test=data[1])
    assert (history.test_loss[-1], history.test_accuracy[-1]) == evaluate(model, *data)


def test_fit_works_under_no_grad(data):
    model = net()
    with torch.no_grad():
        fit(model, *data, **OPTIONS)
    assert_same_state(model, (twin := net(), fit(twin, *data, **OPTIONS))[0])


# ---- modes, callback, loss


def test_a_model_in_evaluation_mode_is_trained_and_put_back(data):
    model, modes = net().eval(), []
    fit(model, *data, **OPTIONS, callback=lambda *_: modes.append(model[1].training))
    assert modes == [True] * 30
    assert not any(module.training for module in model.modules())


def test_frozen_parts_stay_frozen(data):
    model = net()
    model[1].eval()
    before = model[1].running_mean.clone()
    fit(model, *data, **OPTIONS, x_test=data[0], y_test=data[1], eval_every=10)
    assert torch.equal(model[1].running_mean, before)
    assert model.training
    assert not model[1].training


def test_evaluate_restores_every_mode_even_on_error(data):
    model = net()
    model[1].eval()
    with pytest.raises(RuntimeError):
        evaluate(model, torch.ones(3, 5), torch.ones(3))
    assert [m.training for m in model] == [True, False, True, True, True]


def test_callback_sees_the_gradients_and_can_stop(data):
    seen = []

    def callback(step, model, loss):
        seen.append((step, model[0].weight.grad is not None, loss))
        return step == 4

    history = fit(net(), *data, **OPTIONS, callback=callback, x_test=data[0], y_test=data[1])
    assert seen == [(i + 1, True, loss) for i, loss in enumerate(history.loss.tolist())]
    assert len(seen) == 4
    assert history.eval_steps.tolist() == [4]
    assert not history.interrupted


def test_progress_callable_sees_floats(data):
    seen = []
    history = fit(net(), *data, **OPTIONS | {"progress": lambda *a: seen.append(a)})
    assert seen == [(i + 1, 30, loss) for i, loss in enumerate(history.loss.tolist())]


def test_the_progress_line_takes_the_devices_numbers(data, monkeypatch):
    import io
    import sys

    from bnlib import progress

    screen = io.StringIO()
    screen.isatty = lambda: True
    monkeypatch.setattr(sys, "stderr", screen)
    monkeypatch.setattr(progress, "INTERVAL", 0.0)
    history = fit(net(), *data, **OPTIONS | {"progress": True})
    assert f"30 of 30 steps, loss {history.loss[-1]:.4g}" in screen.getvalue()


def test_own_loss_function_fits_a_line(rng):
    x = rng.normal(size=(200, 3))
    y = x @ np.array([[1.0], [-2.0], [0.5]])
    model = nn.Linear(3, 1).double()
    options = OPTIONS | {"steps": 200, "loss_function": nn.functional.mse_loss}
    history = fit(model, x, y, **options, x_test=x, y_test=y)
    assert_allclose(model.weight.detach().numpy()[0], [1, -2, 0.5], atol=1e-4)
    assert np.isnan(history.test_accuracy[-1])


def test_divergence_is_recorded(data):
    history = fit(net(), *data, **OPTIONS | {"lr": 1e30}, x_test=data[0], y_test=data[1])
    assert history.diverged
    assert len(history.loss) == 30


def test_accuracy_counts_every_label(rng):
    pixels = rng.integers(0, 3, (4, 5, 5))
    logits = np.eye(3)[pixels].transpose(0, 3, 1, 2)
    assert evaluate(nn.Identity(), logits, pixels)[1] == 1


def test_evaluate_does_not_care_about_its_batches(data):
    model = net()
    assert_allclose(evaluate(model, *data, batch_size=7), evaluate(model, *data), rtol=1e-6)


# ---- rows by position


@pytest.mark.parametrize("kind", ["by label", "pandas"])
def test_fit_takes_rows_by_position(arrays, table, kind):
    model, twin = net(), net()
    tables = [table(kind, a) for a in arrays]
    history = fit(model, *tables, **OPTIONS, x_test=tables[0], y_test=tables[1])
    want = fit(twin, *arrays, **OPTIONS, x_test=arrays[0], y_test=arrays[1])
    assert_same_state(model, twin)
    assert history.test_loss.tolist() == want.test_loss.tolist()


@pytest.mark.parametrize("kind", ["list", "by label", "pandas"])
def test_evaluate_takes_rows_by_position(arrays, table, kind):
    x, y = arrays
    model = net()
    got = evaluate(model, x, table(kind, y), batch_size=40)
    assert got == evaluate(model, x, y, batch_size=40)


@pytest.mark.parametrize("turn", [lambda a: a[::-1], lambda a: a.astype(a.dtype.newbyteorder())])
def test_evaluate_takes_arrays_that_torch_does_not(arrays, turn):
    model, turned = net(), [turn(a) for a in arrays]
    assert_allclose(evaluate(model, *turned), evaluate(model, *arrays), rtol=1e-6)


def test_fit_refuses_masked_arrays(arrays):
    x = np.ma.masked_greater(arrays[0], 2)
    with pytest.raises(TypeError, match="x is a masked array; expected values throughout"):
        fit(net(), x, arrays[1], **OPTIONS)


@pytest.mark.parametrize("kind", ["numpy", "by label", "pandas"])
def test_recompute_statistics_takes_minibatches_of_what_fit_takes(arrays, table, kind):
    models, rngs = (net(), net()), [np.random.default_rng(0) for _ in range(2)]
    x, y = arrays if kind == "numpy" else (table(kind, a) for a in arrays)
    assert recompute_statistics(models[0], minibatches(x, y, 20, rngs[0])) == 4
    tensors = map(torch.from_numpy, arrays)
    recompute_statistics(models[1], minibatches(*tensors, 20, rngs[1]))
    assert_same_state(*models)


def test_recompute_statistics_takes_batches_that_are_tables(arrays, table):
    models = net(), net()
    recompute_statistics(models[0], [table("by label", arrays[0])])
    recompute_statistics(models[1], [torch.from_numpy(arrays[0])])
    assert_same_state(*models)


@pytest.mark.parametrize("kind", ["numpy", "by label", "pandas"])
def test_recompute_statistics_refuses_one_array_for_batches(arrays, table, kind):
    x = arrays[0] if kind == "numpy" else table(kind, arrays[0])
    with pytest.raises(TypeError, match=r"batches is one tensor or array, a .*; expected an"):
        recompute_statistics(net(), x)


# ---- optimizers


def test_fit_refuses_an_optimizer_of_another_model(data):
    model, before = net(), net()
    optimizer = torch.optim.SGD(net(1).parameters(), lr=0.1)
    with pytest.raises(ValueError, match=r"SGD, trains none of the model's parameters"):
        fit(model, *data, **OPTIONS | {"lr": None, "optimizer": optimizer})
    assert_same_state(model, before)


def test_fit_refuses_an_optimizer_of_frozen_parameters(data):
    model = net()
    model[0].requires_grad_(False)
    optimizer = torch.optim.SGD(model[0].parameters(), lr=0.1)
    with pytest.raises(ValueError, match=r"it holds other ones, or frozen ones"):
        fit(model, *data, **OPTIONS | {"lr": None, "optimizer": optimizer})


def test_fit_takes_an_optimizer_of_some_parameters(data):
    model, before = net(), net()
    optimizer = torch.optim.SGD(model[4].parameters(), lr=0.1)
    fit(model, *data, **OPTIONS | {"lr": None, "optimizer": optimizer})
    assert torch.equal(model[0].weight, before[0].weight)
    assert not torch.equal(model[4].weight, before[4].weight)


def test_fit_refuses_an_optimizer_that_needs_a_closure(data):
    model = net()
    options = OPTIONS | {"lr": None, "optimizer": torch.optim.LBFGS(model.parameters())}
    with pytest.raises(TypeError, match=r"lbfgs\.LBFGS, whose step needs a closure; expected one"):
        fit(model, *data, **options)


@pytest.mark.parametrize("name", ["Adam", "AdamW", "RMSprop", "Adagrad", "Rprop", "ASGD", "NAdam"])
def test_fit_takes_torchs_other_optimizers(data, name):
    model = net()
    optimizer = getattr(torch.optim, name)(model.parameters(), lr=0.01)
    torch.optim.lr_scheduler.StepLR(optimizer, 10)  # it wraps optimizer.step
    assert len(fit(model, *data, **OPTIONS | {"lr": None, "optimizer": optimizer}).loss) == 30


# ---- interrupts


def stopped_fit(*args, **options):
    """The KeyboardInterrupt that fit ends with."""
    with pytest.raises(KeyboardInterrupt) as caught:
        fit(*args, **options)
    return caught.value


def test_one_ctrl_c_ends_the_loop_around_fit(data):
    started = []

    def race():
        for lr in (0.1, 0.2, 0.3):
            started.append(lr)
            fit(net(), *data, **OPTIONS | {"lr": lr}, callback=press_at_7)

    with pytest.raises(KeyboardInterrupt):
        race()
    assert started == [0.1]
    assert len(last_history().loss) == 7


def press_at_7(step, model, loss):
    if step == 7:
        signal.raise_signal(signal.SIGINT)


def test_ctrl_c_keeps_what_was_learnt(data):
    interrupted, whole = net().eval(), net()
    options = OPTIONS | {"callback": press_at_7, "x_test": data[0], "y_test": data[1]}
    history = stopped_fit(interrupted, *data, **options).history
    fit(whole, *data, **OPTIONS | {"steps": 7})
    assert history.interrupted
    assert len(history.loss) == 7
    assert history.eval_steps.tolist() == [7]
    assert not interrupted.training
    assert_same_state(interrupted, whole)


def test_ctrl_c_inside_a_step_finishes_the_step(data):
    def press(module, gradients):
        if next(presses):
            signal.raise_signal(signal.SIGINT)

    presses = iter([False] * 4 + [True] + [False] * 99)
    interrupted, whole = net(), net()
    interrupted[4].register_full_backward_pre_hook(press)
    history = stopped_fit(interrupted, *data, **OPTIONS).history
    fit(whole, *data, **OPTIONS | {"steps": 5})
    assert history.interrupted
    assert len(history.loss) == 5
    assert_same_state(interrupted, whole)


# ---- bad arguments


@pytest.mark.parametrize(
    ("change", "error", "text"),
    [
        ({"lr": None}, ValueError, "lr and optimizer: give exactly one"),
        ({"x_test": np.ones((2, 4))}, ValueError, "x_test and y_test: one is None"),
        ({"eval_every": 0}, ValueError, "eval_every is 0; a whole number, 1 or more"),
        ({"steps": -1}, ValueError, "steps is -1; a whole number, 0 or more"),
        ({"rng": None}, TypeError, "rng is None; expected a seed"),
        ({"batch_size": 91}, ValueError, "batch_size"),
        ({"y": np.zeros(89, int)}, ValueError, "x has 90 rows, y has 89; expected as many"),
        ({"lr": -1.0}, ValueError, "learning rate"),
        (
            {"lr": None, "optimizer": bnlib.numpy.SGD(0.1)},
            TypeError,
            r"bnlib\.numpy\.training\.SGD; expected a torch\.optim\.Optimizer",
        ),
        (
            {"x_test": np.ones((2, 4)), "y_test": np.ones(3)},
            ValueError,
            "x_test has 2 rows, y_test has 3; expected as many",
        ),
        (
            {"loss_function": lambda outputs, y: (outputs.sum(), outputs)},
            TypeError,
            "loss_function returned a tuple; expected a tensor",
        ),
        (
            {"loss_function": lambda outputs, y: outputs},
            TypeError,
            r"returned a Tensor of shape \(20, 3\)",
        ),
    ],
)
def test_fit_bad_argument_raises_and_learns_nothing(data, change, error, text):
    model = net().train()
    before = copy.deepcopy(list(model.parameters()))
    arguments = OPTIONS | {"x": data[0], "y": data[1]} | change
    with pytest.raises(error, match=text):
        fit(model, **arguments)
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), before, strict=True))


def test_fit_takes_modules_only(data):
    with pytest.raises(TypeError, match=r"model is of type function.*torch\.nn\.Module"):
        fit(lambda x: x, *data, **OPTIONS)


def test_evaluate_refuses_nothing_and_uneven_rows():
    for x, y in ((torch.ones(0, 4), torch.ones(0)), (torch.ones(2, 4), torch.ones(3))):
        with pytest.raises(ValueError, match=f"x has {len(x)} rows, y has {len(y)}; expected"):
            evaluate(net(), x, y)


# ---- real data


@pytest.mark.parametrize("device", DEVICES)
def test_a_net_with_our_batch_norm_learns_mnist(device):
    digits = mnist10k()
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(784, 64), BatchNorm1d(64), nn.ReLU(), nn.Linear(64, 10))
    history = fit(
        model,
        as_features(digits.x_train),
        digits.y_train,
        **OPTIONS | {"steps": 150, "batch_size": 64, "lr": 0.5},
        x_test=as_features(digits.x_test),
        y_test=digits.y_test,
        device=device,
    )
    assert history.test_accuracy[-1] > 0.9
