"""Swap a model's batch norms for ours, and make a trained model ready for use.

convert                 torch.nn's batch norms become ours
"""

import torch

from bnlib.torch.modules import BatchNorm1d, BatchNorm2d, BatchNorm3d

OURS = {
    torch.nn.BatchNorm1d: BatchNorm1d,
    torch.nn.BatchNorm2d: BatchNorm2d,
    torch.nn.BatchNorm3d: BatchNorm3d,
}


def convert(model):
    """Replace the computation of every torch.nn batch norm in the model by ours.

    model   a torch.nn.Module; torch.nn.BatchNorm1d/2d/3d in it, itself included, become
            bnlib.torch's classes of the same name. Lazy ones become ours at their first batch;
            subclasses have code of their own and stay what they are

    Works in place: the modules, parameters and buffers are the same objects as before, so that an
    optimizer, hooks, a module used in two places, modes, devices and dtypes need no care.
    Returns the model. Raises TypeError when it is no torch.nn.Module.

    >>> model = torch.nn.Sequential(torch.nn.Conv2d(1, 8, 3), torch.nn.BatchNorm2d(8))
    >>> isinstance(convert(model)[1], BatchNorm2d)
    True
    """
    _check_module(model)
    for module in model.modules():
        kind = type(module)
        if kind in OURS:
            module.__class__ = OURS[kind]
        elif getattr(kind, "cls_to_become", None) in OURS:
            module.cls_to_become = OURS[kind.cls_to_become]
    return model


def _check_module(model):
    if not isinstance(model, torch.nn.Module):
        raise TypeError(f"model is of type {type(model).__name__}; expected a torch.nn.Module")
