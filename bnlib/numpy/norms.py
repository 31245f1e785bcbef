"""Layer, group, instance and RMS normalization in NumPy: batch normalization's relatives.

All four normalize rows of values that lie together in memory; only what makes a row differs:

    layer_norm, rms_norm    (R, K)              one example's features, or any trailing axes
    group_norm              (N·G, C/G·L)        one example's channels of one group
    instance_norm           (N·C, L)            one channel of one example

No example meets another, so there are no running statistics, and training and evaluation are
one and the same. The scale and shift that follow are batch_norm's: one gamma and beta a channel
(layer_norm, rms_norm: a feature); rms_norm takes no mean off and has no beta. How it is worked
out is in bnlib.numpy.core.
"""

import functools
import math

import numpy as np

from bnlib.numpy.checks import (
    check_array,
    check_axis,
    check_eps,
    check_floating,
    check_integer,
    check_parameter,
)
from bnlib.numpy.core import Plan, backward, forward
from bnlib.numpy.walk import Rows, walk_over


def layer_norm(x, gamma=None, beta=None, *, eps=1e-5, axis=-1):
    """Normalize each example over its features, then scale and shift.

    x           floating array; the axes from `axis` to the last are normalized together
    gamma, beta arrays of shape x.shape[axis:]; None stands for ones and zeros
    eps         added to the variance inside the square root, zero or more

    Returns y, cache. Raises TypeError and ValueError as batch_norm does.
    Ba, Kiros & Hinton 2016, arXiv:1607.06450.
    >>> import numpy as np
    >>> y, cache = layer_norm(np.array([[1.0, 3.0], [10.0, 30.0]]))
    >>> y.round(3)
    array([[-1.,  1.],
           [-1.,  1.]])
    """
    return _norm(_feature_plan, "layer_norm", x, gamma, beta, eps, axis)


def layer_norm_backward(dy, cache):
    """Carry the gradient of the loss back through layer_norm.

    dy          ∂ℓ/∂y, shaped like y and of its dtype
    cache       what layer_norm returned beside y

    Returns dx, dgamma, dbeta, the latter two also where there was no gamma or beta.
    Raises TypeError and ValueError when dy or cache does not fit.

    With dx̂ = γ·dy and means over each row, dx = (dx̂ − mean(dx̂) − x̂ · mean(dx̂·x̂)) / σ:
    batch_norm's formula, with other values sharing a mean.
    >>> import numpy as np
    >>> y, cache = layer_norm(np.array([[1.0, 2.0, 6.0]]))
    >>> dx, dgamma, dbeta = layer_norm_backward(np.array([[1.0, 0.0, 0.0]]), cache)
    >>> dx.round(3), dgamma.round(3), dbeta
    (array([[ 0.176, -0.22 ,  0.044]]), array([-0.926,  0.   ,  0.   ]), array([1., 0., 0.]))
    """
    return _norm_backward(dy, cache, "layer_norm")


def rms_norm(x, gamma=None, *, eps=1e-5, axis=-1):
    """Divide each example's features by their root mean square, then scale: no mean is taken off.

    x           floating array; the axes from `axis` to the last are normalized together
    gamma       array of shape x.shape[axis:]; None stands for ones
    eps         added to the mean square inside the root, zero or more; torch's default is the
                distance from 1 to the next number of the dtype

    Returns y, cache. Raises TypeError and ValueError as batch_norm does.
    Zhang & Sennrich 2019, arXiv:1910.07467, equation 4.
    >>> import numpy as np
    >>> y, cache = rms_norm(np.array([[3.0, 4.0], [30.0, 40.0]]))
    >>> y.round(3)
    array([[0.849, 1.131],
           [0.849, 1.131]])
    """
    return _norm(_feature_plan, "rms_norm", x, gamma, None, eps, axis)


def rms_norm_backward(dy, cache):
    """Carry the gradient of the loss back through rms_norm.

    dy          ∂ℓ/∂y, shaped like y and of its dtype
    cache       what rms_norm returned beside y

    Returns dx, dgamma, the latter also where there was no gamma. Raises as layer_norm_backward;
    its formula without mean(dx̂), for x has no way to y through a mean.
    >>> import numpy as np
    >>> y, cache = rms_norm(np.array([[3.0, 4.0]]))
    >>> dx, dgamma = rms_norm_backward(np.array([[1.0, 0.0]]), cache)
    >>> dx.round(3), dgamma.round(3)
    (array([[ 0.181, -0.136]]), array([0.849, 0.   ]))
    """
    return _norm_backward(dy, cache, "rms_norm")[:2]


def group_norm(x, groups, gamma=None, beta=None, *, eps=1e-5, axis=1):
    """Normalize each group of channels of each example, then scale and shift each channel.

    x           floating array of two or more dimensions, examples first
    groups      how many; they divide the channels evenly
    gamma, beta (C,); None stands for ones and zeros
    eps         added to the variance inside the square root, zero or more
    axis        where the channels lie: 1 as in (N, C, H, W), -1 for channels last

    Returns y, cache. Raises TypeError and ValueError as batch_norm does.
    Wu & He 2018, arXiv:1803.08494.
    >>> import numpy as np
    >>> y, cache = group_norm(np.array([[1.0, 3.0, 10.0, 30.0]]), groups=2)
    >>> y.round(3)
    array([[-1.,  1., -1.,  1.]])
    """
    groups = check_integer("groups", groups)
    return _norm(_group_plan, "group_norm", x, gamma, beta, eps, axis, groups)


def group_norm_backward(dy, cache):
    """Carry the gradient of the loss back through group_norm; see layer_norm_backward.

    >>> import numpy as np
    >>> y, cache = group_norm(np.array([[1.0, 3.0, 5.0, 5.0]]), groups=2, eps=1.0)
    >>> dx, dgamma, dbeta = group_norm_backward(np.array([[1.0, 0.0, 1.0, 0.0]]), cache)
    >>> dx.round(3)
    array([[ 0.177, -0.177,  0.5  , -0.5  ]])
    """
    return _norm_backward(dy, cache, "group_norm")


def instance_norm(x, gamma=None, beta=None, *, eps=1e-5, axis=1):
    """Normalize each channel of each example, then scale and shift: group_norm with C groups.

    x           floating array, (N, C, L) or (N, C, H, W)
    gamma, beta (C,); None stands for ones and zeros
    eps         added to the variance inside the square root, zero or more
    axis        where the channels lie: 1 as in (N, C, H, W), -1 for channels last

    Returns y, cache. Raises TypeError and ValueError as batch_norm does.
    Ulyanov, Vedaldi & Lempitsky 2016, arXiv:1607.08022.
    >>> import numpy as np
    >>> y, cache = instance_norm(np.array([[[1.0, 3.0], [10.0, 30.0]]]))
    >>> y.round(3)
    array([[[-1.,  1.],
            [-1.,  1.]]])
    """
    return _norm(_group_plan, "instance_norm", x, gamma, beta, eps, axis)


def instance_norm_backward(dy, cache):
    """Carry the gradient of the loss back through instance_norm; see layer_norm_backward.

    >>> import numpy as np
    >>> y, cache = instance_norm(np.array([[[1.0, 3.0], [5.0, 5.0]]]), eps=1.0)
    >>> dx, dgamma, dbeta = instance_norm_backward(np.array([[[1.0, 0.0], [1.0, 0.0]]]), cache)
    >>> dx.round(3), dgamma.round(3), dbeta
    (array([[[ 0.177, -0.177],
            [ 0.5  , -0.5  ]]]), array([-0.707,  0.   ]), array([1., 1.]))
    """
    return _norm_backward(dy, cache, "instance_norm")


@np.errstate(all="ignore")
def _norm(make_plan, norm, x, gamma, beta, eps, axis, *groups):
    """y and the cache of this norm, by the plan for x."""
    x = check_array("x", x)
    check_floating("x", x.dtype)
    plan = make_plan(norm, x.shape, x.dtype, check_integer("axis", axis), *groups)
    gamma, beta = (
        None if v is None else check_parameter(name, v, x, plan.parameter_shape).ravel()
        for name, v in (("gamma", gamma), ("beta", beta))
    )
    eps = check_eps(eps, positive=False)
    if plan.centred and plan.by.m == 1 and x.size:
        raise ValueError(f"x has shape {x.shape}, 1 value(s) to a mean; at least 2 are needed")
    return forward(x, gamma, beta, eps, plan)


_norm_backward = np.errstate(all="ignore")(backward)


@functools.lru_cache(maxsize=256)
def _feature_plan(norm, shape, dtype, axis):
    """The plan of a norm over the axes from `axis` on; its parameters have the rows' shape."""
    axis = check_axis(shape, axis, least=1)
    features = shape[axis:]
    R, K = math.prod(shape[:axis]), math.prod(features)
    ways = functools.partial(_by_row, K, R, K, 1)
    return Plan(norm, shape, dtype, features, ways, centred=norm != "rms_norm")


@functools.lru_cache(maxsize=256)
def _group_plan(norm, shape, dtype, axis, groups=None):
    """The plan of a norm over groups of channels of each example; None: each channel alone."""
    axis = check_axis(shape, axis)
    if axis == 0:
        raise ValueError(f"axis is 0; x of shape {shape} has its examples there")
    N, C = shape[0], shape[axis]
    groups = max(C, 1) if groups is None else groups
    if groups < 1 or C % groups:
        raise ValueError(f"groups is {groups}; it must divide the {C} channels of x evenly")
    L = math.prod(n for i, n in enumerate(shape) if i not in (0, axis))
    ways = functools.partial(_by_row, C // groups * L, N, C, L)
    return Plan(norm, shape, dtype, (C,), ways, axis=axis, to=None if axis == 1 else 1)


def _by_row(m, B, C, L, work):
    """What averages m values that lie together, and the walk over the parameters."""
    return Rows(m, work), walk_over(B, C, L, work)
