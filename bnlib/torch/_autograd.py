"""What the norms have to know of autograd, torch.func, torch.compile and torch.export."""

import torch
from torch.autograd import forward_ad

from bnlib.torch._formulas import cast


def by_hand():
    """Can autograd take a backward of our own? torch.func and forward mode follow the formulas
    operation by operation instead, which is right at every depth of nesting, where a Function's
    own jvp is not (torch 2.13); so does torch.export, whose graphs then hold operations only."""
    return not (
        torch._C._are_functorch_transforms_active()
        or forward_ad._current_level >= 0
        or torch.compiler.is_exporting()
    )


def unobserved(dy):
    """Will nothing differentiate or batch what a backward does with dy now? Then it may work in
    place, and by kernels whose own derivatives are wrong."""
    return torch.compiler.is_compiling() or not (
        torch.is_grad_enabled()  # create_graph=True
        or forward_ad._current_level >= 0
        or not torch._C._has_storage(dy)  # a wrapper of vmap's or torch.func's
    )


def follow(running, batch, momentum):
    """running = (1 − momentum)·running + momentum·batch, in place; momentum also a 0-d tensor."""
    if torch._C._are_functorch_transforms_active():
        _Follow.apply(running, batch.detach(), momentum)
    else:
        # a tensor that is weighed by lerp_ has to match; a number would make a GPU's host wait
        weight = momentum.to(running) if isinstance(momentum, torch.Tensor) else momentum
        running.lerp_(cast(batch.detach(), running.dtype), weight)


class _Follow(torch.autograd.Function):
    """`follow` under torch.func, which refuses to let a plain operation change a buffer from
    outside; a Function sees the numbers behind the wrappers."""

    generate_vmap_rule = True

    @staticmethod
    def forward(running, batch, momentum):
        # vmap has no rule for lerp_
        running.mul_(1 - momentum).add_(momentum * cast(batch, running.dtype))
        return batch.new_zeros(())

    @staticmethod
    def setup_context(ctx, inputs, output):
        pass
