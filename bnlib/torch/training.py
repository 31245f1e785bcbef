"""Training in torch: evaluation and fit, on any device, with bnlib.numpy's interface."""

import contextlib
import inspect
import itertools

import numpy as np
import torch
import torch.nn.functional as F

from bnlib.data import paired_rows, whole_number
from bnlib.training import check_fit, endless_minibatches, run


def evaluate(model, x, y, *, batch_size=1000, loss_function=F.cross_entropy):
    """The mean loss and the accuracy of the model on x, y, in evaluation mode.

    x, y            N rows each, by position: tensors, arrays or what NumPy makes arrays of; batch
                    by batch they go to the device of the model's first parameter
    batch_size      rows at a time
    loss_function   loss_function(outputs, y_batch) -> the batch's mean loss, a tensor

    Returns loss, accuracy, two floats: accuracy is the share 0..1 of labels at which
    outputs.argmax(1) is right, or NaN where y holds no integers. Each module's mode is as before
    afterwards. Raises ValueError when there is no row, or not the same number in x and y.

    >>> logits = torch.tensor([[0.0, 5.0], [5.0, 0.0], [0.0, 5.0]])
    >>> loss, accuracy = evaluate(torch.nn.Identity(), logits, [1, 0, 0])
    >>> round(accuracy, 2)
    0.67
    """
    x, y = paired_rows(x, y)
    batch_size = whole_number("batch_size", batch_size, 1)
    where = _device_of(model)
    loss, correct, labels = 0.0, 0.0, 0
    with _mode(model, False), torch.no_grad():
        for i in range(0, len(x), batch_size):
            targets = to_tensor(y[i : i + batch_size], where)
            outputs = model(to_tensor(x[i : i + batch_size], where))
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
    x, y            training set, N rows each, by position: tensors, arrays or what NumPy makes
                    arrays of (lists, pandas); y holds (N,) int64 labels, or whatever
                    loss_function(outputs, y) -> mean loss, a tensor, takes. They stay where they
                    are, and each mini-batch goes to the model's device: put both there before,
                    and nothing travels
    steps           how many updates
    batch_size      rows per update; the rows are shuffled once per pass over x, and the last
                    N % batch_size of a pass are left out
    rng             numpy.random.Generator or seed for the shuffling: the batches are
                    bnlib.numpy.fit's and those of minibatches(x, y, batch_size, rng). What the
                    model itself draws (Dropout) comes from torch.manual_seed
    lr, optimizer   one of the two: a step size for plain SGD, or a torch.optim.Optimizer that
                    holds all or some of the model's parameters
    x_test, y_test  evaluated in evaluation mode after every eval_every steps and after the last
    progress        True: a bar in a notebook or on a terminal; False: none; or a callable
                    progress(step, steps, loss)
    callback        callback(step, model, loss) after each update, when the parameters' .grad
                    still holds this mini-batch's gradient; a true return value ends training
    device          where to train, such as "cuda"; the model is moved there and stays. None: where
                    the model's first parameter is

    Ctrl-C (in a notebook: stop) ends training after the running step, and a second one at once.
    The model keeps what it learnt, and the KeyboardInterrupt goes on to end the cell or script
    too; the History so far is last_history(), or to who catches the exception, its `history`.
    A loss that becomes infinite or NaN is recorded, and training goes on. Losses stay on the
    device until the end, so that it need not wait for the host, unless progress or callback are
    functions, which get them as floats.

    Returns a bnlib.training.History of NumPy arrays. Raises ValueError and TypeError when the
    arguments do not fit together, the optimizer trains none of the model's parameters, or its
    step needs a closure (LBFGS).

    >>> x, y = torch.randn(60, 4), torch.arange(60) % 3
    >>> fit(torch.nn.Linear(4, 3), x, y, steps=5, batch_size=20, rng=0, lr=0.1)
    History(5 steps, 0 evaluations)
    """
    if not isinstance(model, torch.nn.Module):
        raise TypeError(f"model is of type {type(model).__name__}; expected a torch.nn.Module")
    test_set = check_fit(
        steps=steps,
        rng=rng,
        lr=lr,
        optimizer=optimizer,
        x_test=x_test,
        y_test=y_test,
        eval_every=eval_every,
    )
    if optimizer is not None:
        _check_optimizer(optimizer, model)
    x, y = paired_rows(x, y)
    batches = endless_minibatches(x, y, batch_size, rng)
    if optimizer is None:
        optimizer = torch.optim.SGD(model.parameters(), lr)
    if device is not None:
        model.to(device)
    where = _device_of(model)

    def update(x_batch, y_batch):
        outputs = model(to_tensor(x_batch, where))
        loss = _scalar(loss_function(outputs, to_tensor(y_batch, where)))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss.detach()

    def test():
        return evaluate(model, *test_set, loss_function=loss_function)

    dtype = torch.float32 if where.type == "mps" else torch.float64
    losses = torch.empty(steps, dtype=dtype, device=where)
    with _mode(model, True), torch.enable_grad():
        return run(
            batches,
            losses,
            update,
            None if test_set is None else test,
            eval_every=eval_every,
            progress=_with_floats(progress) if callable(progress) else progress,
            callback=callback and (lambda step, loss: callback(step, model, loss.item())),
            to_numpy=lambda loss: loss.cpu().double().numpy(),
        )


def _check_optimizer(optimizer, model):
    """The optimizer is torch's, takes steps by itself, and trains something of the model."""
    kind = f"{type(optimizer).__module__}.{type(optimizer).__qualname__}"
    if not isinstance(optimizer, torch.optim.Optimizer):
        raise TypeError(f"optimizer is of type {kind}; expected a torch.optim.Optimizer")
    try:
        # the class's own step: schedulers put a wrapper of another signature over the object's
        inspect.signature(type(optimizer).step).bind(optimizer)
    except TypeError:
        raise TypeError(
            f"optimizer is of type {kind}, whose step needs a closure; "
            "expected one whose step() needs none, such as torch.optim.SGD"
        ) from None
    held = {id(p) for group in optimizer.param_groups for p in group["params"] if p.requires_grad}
    if not any(id(p) in held for p in model.parameters()):
        raise ValueError(
            f"optimizer, of type {kind}, trains none of the model's parameters: it holds other "
            "ones, or frozen ones; expected one made with model.parameters(), or some of them"
        )


def _with_floats(progress):
    return lambda step, steps, loss: progress(step, steps, loss.item())


def _device_of(model):
    tensor = next(itertools.chain(model.parameters(), model.buffers()), None)
    return torch.device("cpu") if tensor is None else tensor.device


def to_tensor(batch, device):
    """A batch of rows, tensor or NumPy array, on the device."""
    if not isinstance(batch, torch.Tensor):
        dtype = batch.dtype.newbyteorder("=")
        if not batch.flags.writeable or batch.dtype != dtype or min(batch.strides, default=0) < 0:
            batch = batch.astype(dtype)  # a copy that torch takes
        batch = torch.from_numpy(batch)
    return batch.to(device, non_blocking=True)


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
