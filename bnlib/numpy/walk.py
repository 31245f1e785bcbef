"""How to walk over a batch so that NumPy and BLAS run at the speed of the processor's cache.

A contiguous batch of B samples of C channels of L values is cut into blocks of whole samples,
and each block is seen as rows. Four things make the walk fast; together they are worth a factor
of two to four over `x.mean(axis)`, `x.var(axis)` and `x * a[:, None, None]`:

- a block of about 2 MiB stays in the cache for all passes over it;
- sums over a block go to BLAS as a product with a vector of ones;
- a value per channel is spread once to a row of its own length. Rows of more than 4096 elements
  are the point: NumPy copies shorter ones through its iterator's buffer, at half the speed;
- sums of blocks are added in float64, which costs nothing (there are few) and keeps every digit.

What shares a mean is a channel of the Walk for batch norm, and Rows for the other norms, whose
parameters are the Walk's channels all the same. Columns is a batch too small to be walked over.
"""

import functools
import itertools
import math
import threading

import numpy as np

BLOCK_BYTES = 1 << 21
ROOM_BYTES = 2 * BLOCK_BYTES
MIN_ROW = np.getbufsize() // 2 + 1  # 4097: from here on NumPy does not copy a row
SMALL = 1 << 14  # up to so many elements the whole batch is one row
LONG = 64  # values per channel from which BLAS adds up each channel's run by itself
MAX_RUN = 4096  # and no more than these at a time


_memory = threading.local()


class Columns:
    """Columns of (m, C) values, so few that to walk over them would cost more than it saves."""

    def __init__(self, m, C, dtype):
        self.shape, self.m, self.dtype = (m, C), m, dtype
        self.weights = np.full(m, 1 / max(m, 1), dtype)  # weights.dot(x) are the means
        self.count = np.array(m, dtype)  # NumPy is twice as fast with it as with Python's number


class Rows:
    """Averages over each row of m values that lie together, beside a Walk over their parameters.

    A block of the walk holds whole rows, so the means of its rows belong to it alone.
    """

    def __init__(self, m, dtype):
        self.m, self.dtype = m, dtype
        self.weights = np.full(m, 1 / max(m, 1), dtype)  # rows.dot(weights) are the means

    def see(self, block):
        """The walk's block as (rows, m)."""
        return block.reshape(-1, self.m)

    def spread(self, v):
        """v, one value per row, in a shape that meets the rows."""
        return v[:, None]

    def mean(self, rows):
        """The mean of each row."""
        return rows.dot(self.weights)

    def mean_product(self, one, two):
        """The mean of one · two of each row."""
        return np.vecdot(one, two) * self.weights[0]


@functools.lru_cache(maxsize=256)
def walk_over(B, C, L, dtype):
    """The Walk over contiguous arrays of B·C·L elements of this dtype."""
    return Walk(B, C, L, dtype)


class Walk:
    """A cut of (B, C, L) into blocks, and what is done with a block."""

    def __init__(self, B, C, L, dtype):
        self.C, self.L, self.dtype = C, L, dtype
        self.m = B * L  # values per channel
        sample = C * L
        self.samples = _samples_in_a_row(B, sample)
        width = self.samples * sample
        whole = B - B % max(self.samples, 1)
        step = self.samples * max(1, BLOCK_BYTES // dtype.itemsize // max(width, 1))
        cuts = [*range(0, whole, max(step, 1)), whole]
        cuts += [B] if whole < B else []  # the last B % samples are one short row
        ends = [cut * sample for cut in cuts]
        self.blocks = [(i, j, min(width, j - i)) for i, j in itertools.pairwise(ends) if i < j]
        rows = max(((j - i) // width for i, j, width in self.blocks), default=0)
        self.run = _run_length(L)
        self.parts = L // self.run  # what a channel has left of its L values after the runs
        self.ones = np.ones(self.run if self.run > 1 else rows, dtype)
        samples = self.samples
        if self.run > 1:  # there the rows of a block are not added up first
            samples *= max(rows, 1)
        self.weights = np.full(samples, 1 / max(self.m, 1), dtype)

    def split(self, a):
        """The blocks of a contiguous array, as (rows, width) views."""
        if len(self.blocks) == 1:
            return [a.reshape(-1, self.blocks[0][2])]
        flat = a.reshape(-1)
        return [flat[i:j].reshape(-1, width) for i, j, width in self.blocks]

    def spread(self, v):
        """v, one value per channel, as a row that fits the rows of a block.

        A short block takes the beginning of it: row[:block.shape[1]].
        """
        if self.L == 1:
            row = np.empty((self.samples, self.C), self.dtype)
            row[...] = v
        else:
            row = np.empty((self.samples, self.C, self.L), self.dtype)
            row[...] = v[:, None]
        return row.reshape(-1)

    def mean(self, block):
        """A block's part in the mean of each channel, (C,): its sum over m.

        Several short sums, one on the other, round less than a long one.
        """
        if self.run > 1:
            return self._over_samples(block.reshape(-1, self.run).dot(self.ones))
        return self._over_samples(block if len(block) == 1 else self.ones[: len(block)].dot(block))

    def mean_product(self, one, two):
        """A block's part in the mean of one · two of each channel, (C,)."""
        if self.run > 1:
            products = np.vecdot(one.reshape(-1, self.run), two.reshape(-1, self.run))
            return self._over_samples(products)
        return self.mean(np.multiply(one, two, scratch(one.shape, self.dtype)))

    def _over_samples(self, sums):
        samples = sums.reshape(-1, self.C * self.parts)
        means = self.weights[: len(samples)].dot(samples)
        return means if self.parts == 1 else means.reshape(self.C, self.parts).sum(axis=1)


def scratch(shape, dtype):
    """Room of this shape that the next call will overwrite; each thread has its own.

    A fresh array would be new memory at every call, and the system takes its time to hand it out.
    """
    size = math.prod(shape) * dtype.itemsize
    if size > ROOM_BYTES:
        return np.empty(shape, dtype)
    if not hasattr(_memory, "room"):
        _memory.room = np.empty(ROOM_BYTES, np.uint8)
    return _memory.room[:size].view(dtype).reshape(shape)


def total(parts):
    """The sum of the blocks' parts: one as it is, more of them in float64."""
    return parts[0] if len(parts) == 1 else np.sum(parts, axis=0, dtype=np.float64)


def _samples_in_a_row(B, sample):
    """How many samples make a row long enough, if possible so that no short row is left."""
    if B * sample <= SMALL:
        return B  # one row is all
    least = min(B, -(-MIN_ROW // sample))
    return next((n for n in range(least, min(4 * least, B) + 1) if B % n == 0), least)


def _run_length(L):
    """How many neighbouring values of a channel BLAS adds up by itself; 1: too few to be worth it.

    Longer runs are cut where L has a divisor for it: float32 loses digits along the way.
    """
    if L < LONG:
        return 1
    return next((n for n in range(min(L, MAX_RUN), LONG - 1, -1) if L % n == 0), L)
