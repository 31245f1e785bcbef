"""The passes over memory that batch norm is made of, written twice.

Each takes and gives whole batches (N, C, ...) and per-channel vectors (C,):

moments(x)                    forward, 1st half: c = x − pivot; pivot, mean of c, var_B
scale_shift(c, a, b)          forward, 2nd half: c·a + b
gradient_sums(dy, x, pivot)   backward, 1st half: c = x − pivot; Σ dy and Σ dy·c
combine(c, dy, q, k, a)       backward, 2nd half: c·q + k + dy·a
line(x, pivot, a, b)          evaluation: (x − pivot)·a + b

`plain` is for every device, for torch.compile, and for derivatives of derivatives: whole-batch
operations that autograd can follow. `blocked` gives the same results on a CPU in about half the
time: it works in place, block by block, so that a block stays in the cache between two
operations. It may overwrite the c that it is given.

What lies between the passes, arithmetic on vectors of C numbers, is in _formulas.py, once.
"""

import functools
import types

import torch

from bnlib.torch._checks import statistics_dtype

BLOCK = 1 << 18  # elements: 1 MB of float32, about a core's own cache
FEW = 128  # values per channel; up to here any of them is a good enough pivot
NEIGHBOURS = 16  # rows that a compiled sum adds up first


def per_channel(v, x):
    """(C,) -> (1, C, 1, ...), to line up with the channels of x. (N, C) needs no such view."""
    return v if x.dim() == 2 else v.view((1, -1) + (1,) * (x.dim() - 2))


def values_per_channel(x):
    """m of the paper: N for (N, C), N·H·W for (N, C, H, W)."""
    return x.numel() // x.shape[1]


def channel_sum(x, dtype=None):
    """Σ over everything but the channels: (N, C, ...) -> (C,)."""
    return x.sum(batch_axes(x), dtype=dtype)


def batch_axes(x):
    """Every axis but the channels."""
    return 0 if x.dim() == 2 else [0, *range(2, x.dim())]


def first_value(x):
    """One value of each channel, to line up with the channels of x."""
    if x.dim() == 2:
        return x.select(0, 0)  # x[0], which takes longer
    for axis in batch_axes(x):
        x = x.narrow(axis, 0, 1)
    return x


def cast(tensor, dtype):
    """tensor.to(dtype), which leaves no trace in an exported graph where it does nothing."""
    return tensor if tensor.dtype == dtype else tensor.to(dtype)


def memory_format(x):
    """NCHW or channels-last: whichever the strides of x are, or are nearer to."""
    if x.is_contiguous() or x.dim() not in (4, 5) or x.stride(1) != 1:
        return torch.contiguous_format
    return torch.channels_last if x.dim() == 4 else torch.channels_last_3d


def dense(x, like=None):
    """x in the memory format of `like`, or in its own: no copy where it is so already."""
    if like is None and x.is_contiguous():  # the commonest case, and no more calls than needed
        return x
    layout = memory_format(x if like is None else like)
    return x if x.is_contiguous(memory_format=layout) else x.clone(memory_format=layout)


def early_mean(x):
    """A pivot: the mean of the batch's first sixteenth, which costs next to no pass over memory.

    Whatever the data, it is within √15 standard deviations of the mean of all, so that the
    squares of x − pivot lose four bits at the worst.
    """
    if not torch.compiler.is_exporting():  # an export must hold for any batch size
        x = x.narrow(0, 0, (x.shape[0] + 15) // 16)
    pivot = _sum_for(x)(x, statistics_dtype(x.dtype)) / values_per_channel(x)
    if torch.compiler.is_compiling():
        # A GPU's compiler makes one rounding of x − Σ/n where both stand in one kernel, and two in
        # the backward, which is given the quotient: delta, and with it dγ, would be wrong by the
        # quotient's last digit. A comparison stands between them.
        largest = torch.finfo(pivot.dtype).max
        pivot = pivot.clamp(-largest, largest)
    return pivot


def near_mean(x):
    """A pivot for any batch: early_mean, or, where a channel has few values, the first of them.

    Even an outlier lies within √m deviations of the mean (Samuelson's inequality), which costs
    float32 next to nothing up to FEW. And a value is the same number however often it is looked up,
    where a sum may come out in its last digit by another order: torch.compile may compute a pivot
    of few values once more in the backward, and delta belongs to the first.
    """
    if torch.compiler.is_exporting() or values_per_channel(x) > FEW:
        return early_mean(x)
    return cast(first_value(x).reshape(-1), statistics_dtype(x.dtype))


def moments_of_sums(sum_c, sum_cc, m):
    """Mean and biased variance of c. The clamp is for channels where all is rounding error."""
    delta = sum_c / m
    return delta, torch.addcmul(sum_cc, delta, sum_c, value=-1).clamp_min(0) / m


def scale_shift(c, a, b, out):
    """c·a + b into `out`; a and b are per_channel, b may be None."""
    if b is None:
        return torch.mul(c, a, out=out)
    if c.stride(1) == 1:  # channels are the inner loop: one operation; else it does not vectorize
        return torch.addcmul(b, c, a, out=out)
    return torch.mul(c, a, out=out).add_(b)


# ---- plain: one text for every device


def _sum_for(x):
    """The channel_sum that suits the memory format of x."""
    columns = x.is_cpu and (x.dim() == 2 or not x.is_contiguous())
    if columns and torch.compiler.is_compiling() and not torch.compiler.is_exporting():
        return _compiled_column_sum
    return channel_sum


def _compiled_column_sum(x, dtype=None):
    """channel_sum for Inductor on a CPU, whose loop walks down each column of (M, C): slow where
    the rows come from memory. So NEIGHBOURS rows are added up first, which lie in the cache
    together and which Inductor unrolls. Twice, as sums of sums round less."""
    rows = x if x.dim() == 2 else x.movedim(1, -1).reshape(-1, x.shape[1])
    for _ in range(2):
        if rows.shape[0] % NEIGHBOURS == 0:
            rows = rows.view(-1, NEIGHBOURS, rows.shape[1]).sum(1, dtype=dtype)
    return rows.sum(0, dtype=dtype)


def _plain_moments(x):
    m, total = values_per_channel(x), _sum_for(x)
    # y does not depend on the pivot, so derivatives need not run through it
    pivot = near_mean(x.detach())
    c = x - per_channel(pivot, x)
    if x.is_cpu or torch.compiler.is_compiling():
        return c, pivot, *moments_of_sums(total(c), total(c * c), m)
    # one kernel on a GPU; on a CPU this would take 20 times as long as the sums
    var, delta = torch.var_mean(c, batch_axes(c), correction=0)
    return c, pivot, delta, var


def _plain_scale_shift(c, a, b):
    return torch.addcmul(per_channel(b, c), c, per_channel(a, c))


def _plain_gradient_sums(dy, x, pivot):
    c, total = x - per_channel(pivot, x), _sum_for(x)
    products = dy * c
    if total is _compiled_column_sum:
        # dy itself, in words that make Inductor sum it in the loop of the products, which has dy at
        # hand: alone it would be another pass over memory
        dy = torch.where(c == c, dy, dy)
    return c, total(dy, c.dtype), total(products)


def _plain_combine(c, dy, q, k, a):
    dx = torch.addcmul(per_channel(k, c), c, per_channel(q, c))
    return torch.addcmul(dx, dy.to(c.dtype), per_channel(a, c))


def _plain_line(x, pivot, a, b):
    return _plain_scale_shift(x - per_channel(pivot, x), a, b)


plain = types.SimpleNamespace(
    moments=_plain_moments,
    scale_shift=_plain_scale_shift,
    gradient_sums=_plain_gradient_sums,
    combine=_plain_combine,
    line=_plain_line,
)


# ---- blocked: the same on a CPU, in place and in blocks of whole samples


def _blocks(*tensors):
    """The tensors, cut alike into blocks of about BLOCK elements."""
    samples = max(1, BLOCK * len(tensors[0]) // tensors[0].numel())
    if len(tensors[0]) <= samples:
        return (tensors,)
    return zip(*(t.split(samples) for t in tensors), strict=True)


def _total(parts):
    return functools.reduce(torch.add, parts)


def _blocked_moments(x):
    m, pivot = values_per_channel(x), early_mean(x)
    p, c = per_channel(pivot, x), torch.empty_like(x, dtype=pivot.dtype)
    sums, squares = [], []
    for x_block, c_block in _blocks(x, c):
        torch.sub(x_block, p, out=c_block)
        sums.append(channel_sum(c_block))
        squares.append(channel_sum(c_block * c_block))
    return c, pivot, *moments_of_sums(_total(sums), _total(squares), m)


def _blocked_scale_shift(c, a, b):
    a, b = per_channel(a, c), per_channel(b, c)
    for (c_block,) in _blocks(c):
        scale_shift(c_block, a, b, out=c_block)
    return c


def _blocked_gradient_sums(dy, x, pivot):
    p, c = per_channel(pivot, x), torch.empty_like(x, dtype=pivot.dtype)
    sums, products = [], []
    for dy_block, x_block, c_block in _blocks(dy, x, c):
        torch.sub(x_block, p, out=c_block)
        sums.append(channel_sum(dy_block, c.dtype))
        products.append(channel_sum(c_block * dy_block))
    return c, _total(sums), _total(products)


def _blocked_combine(c, dy, q, k, a):
    q, k, a = (per_channel(v, c) for v in (q, k, a))
    for c_block, dy_block in _blocks(c, dy):
        scale_shift(c_block, q, k, out=c_block).addcmul_(dy_block, a)
    return c


def _blocked_line(x, pivot, a, b):
    p, a, b = (per_channel(v, x) for v in (pivot, a, b))
    y = torch.empty_like(x, dtype=pivot.dtype)
    for x_block, y_block in _blocks(x, y):
        scale_shift(torch.sub(x_block, p, out=y_block), a, b, out=y_block)
    return y


blocked = types.SimpleNamespace(
    moments=_blocked_moments,
    scale_shift=_blocked_scale_shift,
    gradient_sums=_blocked_gradient_sums,
    combine=_blocked_combine,
    line=_blocked_line,
)


def passes_for(x):
    """`blocked` on a CPU, `plain` elsewhere and under torch.compile and torch.export."""
    return blocked if x.is_cpu and not torch.compiler.is_compiling() else plain
