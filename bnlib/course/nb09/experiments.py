"""What notebook 09 computes beside its own lines: gradients of several ways, and a broken one."""

import numpy as np
import torch


def broken_function(*, unbiased=False, term=True, mean=True, scale=True, mean_of_beta=False):
    """Batch norm of (m, D) as an autograd Function that goes one wrong way."""

    class Broken(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x, gamma, beta, eps):
            s = (x.var(dim=0, correction=int(unbiased)) + eps).sqrt()
            x_hat = (x - x.mean(dim=0)) / s
            ctx.save_for_backward(x_hat, s, gamma)
            return gamma * x_hat + beta

        @staticmethod
        def backward(ctx, dy):
            x_hat, s, gamma = ctx.saved_tensors
            dx = dy - mean * dy.mean(dim=0) - term * x_hat * (dy * x_hat).mean(dim=0)
            dbeta = dy.mean(dim=0) if mean_of_beta else dy.sum(dim=0)
            return (gamma if scale else 1) / s * dx, (dy * x_hat).sum(dim=0), dbeta, None

    return Broken


TermMissing = broken_function(term=False)  # the term through the variance


def y_and_gradients(function, inputs, dy):
    """[y, dx, dgamma, dbeta] of function(x, gamma, beta), as NumPy arrays."""
    leaves = [tensor.detach().clone().requires_grad_() for tensor in inputs]
    y = function(*leaves)
    y.backward(dy)
    return [t.detach().cpu().numpy() for t in (y, *(leaf.grad for leaf in leaves))]


def in_training(batch_norm):
    """batch_norm(x, mean, var, weight, bias, training=…) as a function of x, gamma and beta."""
    return lambda x, gamma, beta: batch_norm(x, None, None, gamma, beta, training=True)


def all_close(these, those, atol):
    """Equal arrays, one by one, to within atol."""
    return all(np.allclose(a, b, rtol=0, atol=atol) for a, b in zip(these, those, strict=True))


def buffers_agree(model, other, atol):
    """Do two models hold the same buffers, to within atol (absolute and relative)?"""
    pairs = zip(model.buffers(), other.buffers(), strict=True)
    return all(bool(((a - b).abs() <= atol * (1 + b.abs())).all()) for a, b in pairs)
