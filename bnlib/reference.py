"""Batch Normalization as the paper writes it (Ioffe & Szegedy 2015, arXiv:1502.03167).

Each formula stands here once, in the paper's letters and without a speed trick. Operators,
`.mean`, `.sum` and `.reshape` are all it uses, so the one text serves NumPy arrays and torch
tensors (autograd included). Channels lie on axis 1: x is (N, D), (N, C, L) or (N, C, H, W), and
whatever belongs to a channel (gamma, beta, mu_B, var_B, running values) has shape (D,) or (C,).

For work that has to be fast, or channels on another axis: bnlib.numpy and bnlib.torch.
"""


def batch_axes(x):
    """The axes that a mini-batch's statistics run over: every axis but the channels.

    >>> import numpy as np
    >>> batch_axes(np.zeros((60, 100))), batch_axes(np.zeros((60, 3, 28, 28)))
    ((0,), (0, 2, 3))
    """
    unmasked(x, "x")
    if x.ndim < 2:
        raise ValueError(
            f"x has shape {tuple(x.shape)}; it needs (N, D), (N, C, L) or (N, C, H, W)"
        )
    return (0, *range(2, x.ndim))


def unmasked(v, name):
    """Raise TypeError for a masked array: its masked values would be counted among the m."""
    if hasattr(v, "mask"):
        raise TypeError(f"{name} is a masked array; expected values throughout")


def values_per_channel(x):
    """m: how many values each channel averages over, N for (N, D), N·H·W for (N, C, H, W)."""
    m = 1
    for axis in batch_axes(x):
        m *= x.shape[axis]
    return m


def per_channel(v, x, name="v"):
    """Reshape v from (C,) to (1, C, 1, …), so that it lines up with the channels of x.

    Raises ValueError, with `name` in it, when v does not hold one value per channel.
    """
    batch_axes(x)
    unmasked(v, name)
    if tuple(v.shape) != (x.shape[1],):
        raise ValueError(
            f"{name} has shape {tuple(v.shape)}; x of shape {tuple(x.shape)} needs ({x.shape[1]},)"
        )
    return v.reshape((1, -1) + (1,) * (x.ndim - 2))


def batch_statistics(x):
    """The mini-batch mean and variance of each channel (Algorithm 1, lines 1 and 2).

    Returns mu_B, var_B, each (C,). var_B divides by m: it is the biased one.
    Raises ValueError when there is nothing to compare, one value per channel (m == 1).

    >>> import numpy as np
    >>> batch_statistics(np.array([[1.0, 10.0], [3.0, 10.0]]))
    (array([ 2., 10.]), array([1., 0.]))
    """
    if values_per_channel(x) < 2:
        raise ValueError(f"x has shape {tuple(x.shape)}; a variance needs 2 values per channel")
    mu_B = x.mean(axis=batch_axes(x))
    var_B = ((x - per_channel(mu_B, x)) ** 2).mean(axis=batch_axes(x))
    return mu_B, var_B


def normalize(x, mu, var, eps=1e-5):
    """x_hat: each channel of x moved to mean 0 and scaled to variance 1 (Algorithm 1, line 3).

    mu, var     (C,), the statistics to use: the mini-batch's, or the population's
    eps         added to var inside the square root; has the units of x squared

    >>> import numpy as np
    >>> normalize(np.array([[1.0], [3.0]]), np.array([2.0]), np.array([1.0]), eps=0.0).tolist()
    [[-1.0], [1.0]]
    """
    return (x - per_channel(mu, x, "mu")) / (per_channel(var, x, "var") + eps) ** 0.5


def batch_norm(x, gamma, beta, eps=1e-5):
    """Normalize each channel over its mini-batch, then scale and shift (Algorithm 1).

    x           (N, D), (N, C, L) or (N, C, H, W) floating array, NumPy or torch
    gamma       (C,) scale
    beta        (C,) shift
    eps         added to var_B inside the square root; 0 is allowed, as in a hand calculation

    Returns y, shaped like x. Raises ValueError when x has one value per channel (m == 1) or
    gamma or beta does not hold one value per channel.

    >>> import numpy as np
    >>> batch_norm(np.array([[1.0], [3.0]]), gamma=np.ones(1), beta=np.zeros(1), eps=0.0)
    array([[-1.],
           [ 1.]])
    """
    mu_B, var_B = batch_statistics(x)
    x_hat = normalize(x, mu_B, var_B, eps)
    return per_channel(gamma, x, "gamma") * x_hat + per_channel(beta, x, "beta")


def batch_norm_backward(dy, x, gamma, eps=1e-5):
    """Carry the loss's gradient through batch_norm, one chain-rule step a line (section 3).

    dy          ∂ℓ/∂y, shaped like x
    x, gamma, eps   what batch_norm was called with

    Returns dx, dgamma, dbeta: ∂ℓ/∂x shaped like x, ∂ℓ/∂γ and ∂ℓ/∂β (C,).

    >>> import numpy as np
    >>> dy, x = np.ones((2, 1)), np.array([[1.0], [3.0]])
    >>> [v.tolist() for v in batch_norm_backward(dy, x, np.ones(1), eps=0.0)]
    [[[0.0], [0.0]], [0.0], [2.0]]
    """
    unmasked(dy, "dy")
    axes, m = batch_axes(x), values_per_channel(x)
    mu_B, var_B = batch_statistics(x)
    x_hat = normalize(x, mu_B, var_B, eps)
    x_mu = x - per_channel(mu_B, x)

    dx_hat = dy * per_channel(gamma, x, "gamma")
    dvar_B = (dx_hat * x_mu).sum(axis=axes) * -0.5 * (var_B + eps) ** -1.5
    dmu_B = -dx_hat.sum(axis=axes) / (var_B + eps) ** 0.5 + dvar_B * (-2 * x_mu).sum(axis=axes) / m
    dx = (
        dx_hat / per_channel((var_B + eps) ** 0.5, x)
        + per_channel(dvar_B, x) * 2 * x_mu / m  # x moves the variance,
        + per_channel(dmu_B, x) / m  # and the mean
    )
    dgamma = (dy * x_hat).sum(axis=axes)
    dbeta = dy.sum(axis=axes)
    return dx, dgamma, dbeta


def update_running(running_mean, running_var, mu_B, var_B, m, momentum=0.1):
    """Follow the statistics with a moving average, as PyTorch does.

    running_mean, running_var, mu_B, var_B      (C,)
    m           values per channel behind mu_B and var_B, at least 2
    momentum    the weight of the new value, 0..1 (Keras and Flax: the weight of the old one)

    Returns the new running_mean and running_var. The variance that enters is the unbiased one,
    var_B · m/(m − 1), which is what Algorithm 2 averages too.

    >>> import numpy as np
    >>> update_running(np.zeros(1), np.ones(1), np.array([10.0]), np.array([2.0]), m=5)
    (array([1.]), array([1.15]))
    """
    running_mean = (1 - momentum) * running_mean + momentum * mu_B
    running_var = (1 - momentum) * running_var + momentum * var_B * m / (m - 1)
    return running_mean, running_var


def population_statistics(batches):
    """E[x] and Var[x] from several training mini-batches (Algorithm 2, line 10).

    batches     an iterable of arrays like x, each with m > 1 values per channel

    Returns mean, var, each (C,): the average of mu_B, and of the unbiased var_B · m/(m − 1).
    Raises ValueError when there is no batch.

    >>> import numpy as np
    >>> population_statistics([np.array([[1.0], [3.0]]), np.array([[5.0], [7.0]])])
    (array([4.]), array([2.]))
    """
    count, mean, var = 0, 0, 0
    for x in batches:
        m = values_per_channel(x)
        mu_B, var_B = batch_statistics(x)
        count, mean, var = count + 1, mean + mu_B, var + var_B * m / (m - 1)
    if count == 0:
        raise ValueError("batches is empty; population statistics need at least one mini-batch")
    return mean / count, var / count


def batch_norm_inference(x, gamma, beta, mean, var, eps=1e-5):
    """Batch norm once training is over: a fixed line per channel (Algorithm 2, line 11).

    mean, var   (C,), from population_statistics or the running averages; x may be a batch of one

    >>> import numpy as np
    >>> one = np.ones(1)
    >>> batch_norm_inference(np.array([[7.0]]), 3 * one, one, mean=5 * one, var=4 * one, eps=0.0)
    array([[4.]])
    """
    a = per_channel(gamma, x, "gamma") / (per_channel(var, x, "var") + eps) ** 0.5
    return a * x + (per_channel(beta, x, "beta") - a * per_channel(mean, x, "mean"))
