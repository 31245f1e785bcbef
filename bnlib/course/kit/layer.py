"""The course's own layer, written as a learner would: what mine() gives where there is none yet.

These are the solutions of the build exercises, notebooks 03 to 07. A later one uses the ones
before it, which is why they stand together and not in the rooms.
"""

import numpy as np

import bnlib.numpy as bn


def normalize(x, eps):
    mu_B = x.mean(axis=0)
    var_B = ((x - mu_B) ** 2).mean(axis=0)
    return (x - mu_B) / np.sqrt(var_B + eps)


def batch_norm(x, gamma, beta, eps):
    rows = x
    if x.ndim == 4:  # (N, C, H, W): one row for each place of each image
        N, C, H, W = x.shape
        rows = x.transpose(0, 2, 3, 1).reshape(-1, C)

    c = rows - rows.mean(axis=0)
    s = np.sqrt((c**2).mean(axis=0) + eps)
    x_hat = c / s
    y = gamma * x_hat + beta

    if x.ndim == 4:
        y = y.reshape(N, H, W, C).transpose(0, 3, 1, 2)
    return y, {"c": c, "s": s, "x_hat": x_hat, "gamma": gamma}


def through_scale(dy, x_hat, gamma):
    dx_hat = gamma * dy
    dgamma = (dy * x_hat).sum(axis=0)  # one gamma served all examples: their shares add up
    dbeta = dy.sum(axis=0)
    return dx_hat, dgamma, dbeta


def through_quotient(dx_hat, c, s):
    dc = dx_hat / s
    ds = (dx_hat * -c / s**2).sum(axis=0)  # one s served all examples
    return dc, ds


def through_variance(ds, c, s):
    dvar_B = ds / (2 * s)
    return dvar_B * 2 * c / len(c)  # one c_j moves the mean of the squares by 2 c_j / m


def through_centring(dc):
    return dc - dc.mean(axis=0)


def batch_norm_backward(dy, cache):
    rows = dy
    if dy.ndim == 4:  # rows first, as on the way forward
        N, C, H, W = dy.shape
        rows = dy.transpose(0, 2, 3, 1).reshape(-1, C)

    dx_hat, dgamma, dbeta = through_scale(rows, cache["x_hat"], cache["gamma"])
    direct, ds = through_quotient(dx_hat, cache["c"], cache["s"])
    dx = through_centring(direct + through_variance(ds, cache["c"], cache["s"]))

    if dy.ndim == 4:
        dx = dx.reshape(N, H, W, C).transpose(0, 3, 1, 2)
    return dx, dgamma, dbeta


def dx_in_one_line(dy, x_hat, gamma, s):
    return gamma / s * (dy - dy.mean(axis=0) - x_hat * (dy * x_hat).mean(axis=0))


class BatchNorm(bn.Layer):
    def __init__(self, num_features, eps=1e-5, momentum=0.1):
        self.gamma, self.beta = np.ones(num_features), np.zeros(num_features)
        self.running_mean, self.running_var = np.zeros(num_features), np.ones(num_features)
        self.num_batches_tracked = 0
        self.eps, self.momentum = eps, momentum

    def forward(self, x):
        axes = (0,) if x.ndim == 2 else (0, 2, 3)
        if self.training:
            m = x.size // x.shape[1]
            if m == 1:
                raise ValueError(f"x has shape {x.shape}: one value per channel has no variance")
            y, self.cache = batch_norm(x, self.gamma, self.beta, self.eps)
            self.num_batches_tracked += 1
            weight = 1 / self.num_batches_tracked if self.momentum is None else self.momentum
            unbiased = x.var(axis=axes) * m / (m - 1)
            self.running_mean = (1 - weight) * self.running_mean + weight * x.mean(axis=axes)
            self.running_var = (1 - weight) * self.running_var + weight * unbiased
        else:
            shape = [1, -1] + [1] * (x.ndim - 2)  # one number per channel, lined up with x
            mean, var = self.running_mean.reshape(shape), self.running_var.reshape(shape)
            self.x_hat = (x - mean) / np.sqrt(var + self.eps)
            y = self.gamma.reshape(shape) * self.x_hat + self.beta.reshape(shape)
        return y.astype(x.dtype)

    def backward(self, dy):
        if self.training:
            dx, self.dgamma, self.dbeta = batch_norm_backward(dy, self.cache)
        else:
            axes = (0,) if dy.ndim == 2 else (0, 2, 3)
            self.dgamma, self.dbeta = (dy * self.x_hat).sum(axis=axes), dy.sum(axis=axes)
            slope = self.gamma / np.sqrt(self.running_var + self.eps)
            dx = dy * slope.reshape([1, -1] + [1] * (dy.ndim - 2))
        return dx.astype(dy.dtype)

    def parameters(self):
        return {"gamma": self.gamma, "beta": self.beta}

    def gradients(self):
        return {"gamma": self.dgamma, "beta": self.dbeta}
