"""Training in torch: evaluation and fit, on any device, with bnlib.numpy's interface."""

import contextlib
import itertools

import numpy as np
import torch
import torch.nn.functional as F

from bnlib.training import check_fit, endless_minibatches, history, run


def evaluate(model, x, y, *, batch_size=1000, loss_function=F.cross_entropy):
    """The mean loss and the accuracy of the model on x, y, in evaluation mode.

    x, y            N rows each, tensors or NumPy arrays; batch by batch they go to the device of
                    the model's first parameter
    loss_function   loss_function(outputs, y_batch) -> the batch's mean loss, a tensor

    Returns loss, accuracy, two floats: accuracy is the share 0..1 of labels at which
    outputs.argmax(1) is right, or NaN where y holds no integers. Each module's mode is as before
    afterwards. Raises ValueError when there is no row, or not the same number in x and y.
    """
    _check_rows(x, y, "x", "y")
    where = _device_of(model)
    loss, correct, labels = 0.0, 0.0, 0
    with _mode(model, False), torch.no_grad():
        for i in range(0, len(x), batch_size):
            targets = _to(y[i : i + batch_size], where)
            outputs = model(_to(x[i : i + batch_size], where))
            loss += _scalar(loss_function(outputs, targets)).item() * len(targets)
            if targets.is_floating_point() or targets.is_complex():
                correct = np.nan
            else:
                correct += (outputs.argmax(1) == targets).sum().item()
            labels += targets.numel()
    return loss / len(x), correct / labels


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
    loss_function=F.cross_entropy,
    x_test=None,
    y_test=None,
    eval_every=None,
    progress=True,
    callback=None,
    device=None,
):
    """Train the model for a number of mini-batch steps.

    model           a torch.nn.Module, trained in place. One in evaluation mode is trained in
                    training mode; in one in training mode, parts set to evaluation stay so
                    (frozen batch norms). Every module's mode is as before afterwards
    x, y            training set, N rows each, tensors or NumPy arrays; y holds (N,) int64 labels,
                    or whatever loss_function(outputs, y) -> mean loss, a tensor, takes. They stay
                    where they are, and each mini-batch goes to the model's device: put both there
                    before, and nothing travels
    steps           how many updates
    batch_size      rows per update; the rows are shuffled once per pass over x, and the last
                    N % batch_size of a pass are left out
    rng             numpy.random.Generator or seed for the shuffling: the batches are
                    bnlib.numpy.fit's and those of minibatches(x, y, batch_size, rng). What the
                    model itself draws (Dropout) comes from torch.manual_seed
    lr, optimizer   one of the two: a step size for plain SGD, or a torch.optim.Optimizer
    x_test, y_test  evaluated in evaluation mode after every eval_every steps and after the last
    progress        True: a bar in a notebook or on a terminal; False: none; or a callable
                    progress(step, steps, loss)
    callback        callback(step, model, loss) after each update, when the parameters' .grad
                    still holds this mini-batch's gradient; a true return value ends training
    device          where to train, such as "cuda"; the model is moved there and stays. None: where
                    the model's first parameter is

    Ctrl-C (in a notebook: stop) ends training after the running step: the model keeps what it
    learnt and fit returns the History so far. A second one is raised at once. A loss that
    becomes infinite or NaN is recorded, and training goes on. Losses stay on the device until
    the end, so that it need not wait for the host, unless progress or callback are functions,
    which get them as floats.

    Returns a bnlib.training.History of NumPy arrays. Raises ValueError and TypeError when the
    arguments do not fit together.

    >>> x, y = torch.randn(60, 4), torch.arange(60) % 3
    >>> fit(torch.nn.Linear(4, 3), x, y, steps=5, batch_size=20, rng=0, lr=0.1)
    History(5 steps, 0 evaluations)
    """
    if not isinstance(model, torch.nn.Module):
        raise TypeError(f"model is of type {type(model).__name__}; expected a torch.nn.Module")
    check_fit(
        steps=steps,
        rng=rng,
        lr=lr,
        optimizer=optimizer,
        x_test=x_test,
        y_test=y_test,
        eval_every=eval_every,
    )
    if not isinstance(optimizer, torch.optim.Optimizer | None):
        kind = f"{type(optimizer).__module__}.{type(optimizer).__qualname__}"
        raise TypeError(f"optimizer is of type {kind}; expected a torch.optim.Optimizer")
    if x_test is not None:
        _check_rows(x_test, y_test, "x_test", "y_test")
    batches = endless_minibatches(x, y, batch_size, rng)
    if optimizer is None:
        optimizer = torch.optim.SGD(model.parameters(), lr)
    if device is not None:
        model.to(device)
    where = _device_of(model)

    def update(x_batch, y_batch):
        loss = _scalar(loss_function(model(_to(x_batch, where)), _to(y_batch, where)))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss.detach()

    def test():
        return evaluate(model, x_test, y_test, loss_function=loss_function)

    dtype = torch.float32 if where.type == "mps" else torch.float64
    losses = torch.empty(steps, dtype=dtype, device=where)
    with _mode(model, True), torch.enable_grad():
        done, evaluations, interrupted = run(
            batches,
            losses,
            update,
            None if x_test is None else test,
            eval_every=eval_every,
            progress=_with_floats(progress) if callable(progress) else progress,
            callback=callback and (lambda step, loss: callback(step, model, loss.item())),
        )
    return history(losses[:done].cpu().double().numpy(), evaluations, interrupted)


def _with_floats(progress):
    return lambda step, steps, loss: progress(step, steps, loss.item())


def _device_of(model):
    tensor = next(itertools.chain(model.parameters(), model.buffers()), None)
    return torch.device("cpu") if tensor is None else tensor.device


def _to(batch, device):
    """A batch of rows, tensor or NumPy array, on the device."""
    if not isinstance(batch, torch.Tensor):
        batch = np.asarray(batch)
        batch = torch.from_numpy(batch if batch.flags.writeable else batch.copy())
    return batch.to(device, non_blocking=True)


def _check_rows(x, y, x_name, y_name):
    if len(x) != len(y) or len(x) == 0:
        raise ValueError(
            f"{x_name} has {len(x)} rows, {y_name} has {len(y)}; expected as many, one or more"
        )


def _scalar(loss):
    if not isinstance(loss, torch.Tensor) or loss.numel() != 1:
        kind = type(loss).__name__
        what = f"{kind} of shape {tuple(loss.shape)}" if kind == "Tensor" else kind
        raise TypeError(f"loss_function returned a {what}; expected a tensor with one number")
    return loss.reshape(())


@contextlib.contextmanager
def _mode(model, training):
    """Training or evaluation mode for a while; then every module's own again.

    A model in training mode already is left as it is.
    """
    before = {module: module.training for module in model.modules()}
    if not (training and model.training):
        model.train(training)
    try:
        yield
    finally:
        for module, mode in before.items():
            module.training = mode
