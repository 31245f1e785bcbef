"""SyncBatchNorm: one batch norm over the shares of a mini-batch that several processes hold.

Each process sums up its own share. What travels is four numbers a channel on the way forward
(a pivot, the mean's distance from it, the sum of squares around the mean, a count) and two on
the way back. Every process then knows the statistics of the joint batch and goes on alone.
"""

import warnings

import torch
import torch.distributed as dist
from torch.autograd.function import once_differentiable

from bnlib.torch._checks import check_batch_norm, check_more_than_one, statistics_dtype
from bnlib.torch._formulas import cast, input_gradient, offset, slope
from bnlib.torch._passes import dense, passes_for, values_per_channel
from bnlib.torch.batchnorm import as_inputs, follow, kind, normalize
from bnlib.torch.modules import BatchNorm1d, BatchNorm2d, BatchNorm3d, OwnForward


class SyncBatchNorm(OwnForward, torch.nn.modules.batchnorm._BatchNorm):
    """Drop-in for torch.nn.SyncBatchNorm that also works on a CPU (gloo).

    In training mode the statistics are those of the joint batch, whatever share of it a process
    holds: outputs, gradients of the input and running statistics equal those of one process on
    the whole batch, and the parameters' gradients add up to that process's. A share may be empty,
    shape (0, C, ...); its process must still run backward, since the others wait for it.
    Evaluation mode, one process, or no process group: plain batch norm.

    process_group   the processes that share a batch; None: all of them

    Not a subclass of torch.nn.SyncBatchNorm, which DistributedDataParallel refuses on a CPU.
    It has first derivatives only, torch.compile leaves its graph for it, and TorchScript keeps
    the plain batch norm of one process.

    >>> SyncBatchNorm(1)(torch.tensor([[1.0], [3.0]])).round().tolist()
    [[-1.0], [1.0]]
    """

    def __init__(
        self,
        num_features,
        eps=1e-5,
        momentum=0.1,
        affine=True,
        track_running_stats=True,
        process_group=None,
        device=None,
        dtype=None,
        *,
        bias=True,
    ):
        super().__init__(
            num_features, eps, momentum, affine, track_running_stats, device, dtype, bias=bias
        )
        self.process_group = process_group

    def _check_input_dim(self, input):
        if input.dim() < 2:
            raise ValueError(f"expected at least 2D input (got {input.dim()}D input)")
        if input.shape[1] == 0:
            raise ValueError("SyncBatchNorm number of input channels should be non-zero")

    def _group(self):
        """The group to share statistics with now, or None."""
        if not (self.training and dist.is_available() and dist.is_initialized()):
            return None
        group = self.process_group or dist.group.WORLD
        return group if dist.get_world_size(group) > 1 else None

    def _check(self, *arguments):
        check_batch_norm(*arguments, shared=self._group() is not None)

    def _normalize(self, input, running_mean, running_var, weight, bias, training, momentum, eps):
        arguments = input, running_mean, running_var, weight, bias
        group = self._group()
        if group is None:
            return normalize(*arguments, training, momentum, eps)
        try:
            return _shared(*arguments, momentum, eps, group)
        except ValueError:  # all shares together are one value: the batch does not count
            if running_mean is not None and self.num_batches_tracked is not None:
                self.num_batches_tracked.sub_(1)
            raise

    @classmethod
    def convert_sync_batchnorm(cls, module, process_group=None):
        """Turn every batch norm in the module, and the module itself if it is one, into this class.

        Works in place, so that parameters, buffers, hooks and sharing stay; returns the module.
        torch.nn's classes and bnlib.torch's are turned, lazy ones at their first batch. Subclasses
        of them have code of their own and stay what they are; a warning names them, since nothing
        else would tell that they are not synchronized.

        >>> SyncBatchNorm.convert_sync_batchnorm(torch.nn.Sequential(torch.nn.BatchNorm2d(3)))
        Sequential(
          (0): SyncBatchNorm(3, eps=1e-05, momentum=0.1, affine=True, bias=True,
                             track_running_stats=True)
        )
        """
        left = []
        for name, layer in module.named_modules():
            if type(layer) in KNOWN:
                layer.__class__ = cls
            elif getattr(layer, "cls_to_become", None) in KNOWN:  # a lazy one's
                layer.cls_to_become = cls
            else:
                if isinstance(layer, torch.nn.modules.batchnorm._BatchNorm):
                    left.append(f"{type(layer).__name__} {name!r}")
                continue
            layer.process_group = process_group
        if left:
            warnings.warn(
                f"not synchronized, since it may have code of its own: {', '.join(left)}",
                stacklevel=2,
            )
        return module


KNOWN = {
    torch.nn.BatchNorm1d,
    torch.nn.BatchNorm2d,
    torch.nn.BatchNorm3d,
    torch.nn.SyncBatchNorm,
    BatchNorm1d,
    BatchNorm2d,
    BatchNorm3d,
    SyncBatchNorm,
}


def _shared(input, running_mean, running_var, weight, bias, momentum, eps, group):
    y, mean, var, count = _SharedStatistics.apply(input, weight, bias, eps, group)
    if running_mean is not None:
        for running, batch in ((running_mean, mean), (running_var, var * (count / (count - 1)))):
            # where every share was empty, there is nothing to follow
            follow(running, torch.where(count > 0, batch, running), momentum)
    return y


class _SharedStatistics(torch.autograd.Function):
    @staticmethod
    def forward(ctx, input, weight, bias, eps, group):
        x, passes = dense(input), passes_for(input)
        m, channels = values_per_channel(x), x.shape[1]
        own = x.new_zeros(3 * channels + 1, dtype=statistics_dtype(x.dtype))
        if m > 0:
            c, pivot, delta, var = passes.moments(x)
            torch.cat((pivot, delta, var * m, own.new_full((1,), m)), out=own)
        pivot = own[:channels].clone()
        shares = [torch.empty_like(own) for _ in range(dist.get_world_size(group))]
        dist.all_gather(shares, own, group)
        joint_pivot, joint_delta, var, count = _combine(torch.stack(shares), channels)
        if x.is_cpu and count == 1:  # on a GPU, to look would be to wait
            check_more_than_one(x.new_empty((1, channels)))
        delta = (joint_pivot - pivot) + joint_delta  # the joint mean as seen from our own pivot
        invstd = torch.rsqrt(var + eps)
        a = slope(invstd, weight)
        b = offset(a, delta, bias)
        y = x.clone() if m == 0 else cast(passes.scale_shift(c, a, b), x.dtype)
        mean = joint_pivot + joint_delta
        ctx.mark_non_differentiable(mean, var, count)
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(input, weight, pivot, delta, invstd, count)
        ctx.group, ctx.kinds = group, (kind(weight), kind(bias))
        return y, mean, var, count

    @staticmethod
    @once_differentiable
    def backward(ctx, dy, *_):
        if dy is None:
            return None, None, None, None, None
        x, weight, pivot, delta, invstd, count = ctx.saved_tensors
        x, passes = dense(x), passes_for(x)
        c, dbeta, sum_dy_c = dy, torch.zeros_like(pivot), torch.zeros_like(pivot)
        if x.numel() > 0:
            c, dbeta, sum_dy_c = passes.gradient_sums(dy, x, pivot)
        sum_dy_xmu = torch.addcmul(sum_dy_c, delta, dbeta, value=-1)
        dx = None
        if ctx.needs_input_grad[0]:
            joint = torch.stack((dbeta, sum_dy_xmu))
            dist.all_reduce(joint, group=ctx.group)
            dx = dy
            if x.numel() > 0:
                one_over_m = count.reciprocal()
                dx = input_gradient(c, dy, weight, delta, invstd, *joint, one_over_m, passes)
        # this share's part of the parameters' gradients: the parts add up to the whole
        gradients = as_inputs(dx, sum_dy_xmu * invstd, dbeta, ctx.kinds)
        return *gradients, None, None


def _combine(rows, channels):
    """The joint pivot, delta, var_B and count of shares (processes, 3C + 1); Chan et al. 1983."""
    pivot, delta, squares, count = rows.split((channels, channels, channels, 1), dim=1)
    total = count.sum()
    share = count / total.clamp_min(1)
    joint_pivot = (share * pivot).sum(0)
    delta = (pivot - joint_pivot) + delta  # every mean as seen from the joint pivot
    joint_delta = (share * delta).sum(0)
    var = squares.sum(0) / total.clamp_min(1) + (share * (delta - joint_delta) ** 2).sum(0)
    return joint_pivot, joint_delta, var, total
