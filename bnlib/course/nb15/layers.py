"""Nineteen wrong batch norms behind one interface, and three right ones. All generic, all ours.

Every class is made as `layer_class(num_features, eps=1e-5, momentum=0.1)`, takes (N, C) and
(N, C, H, W), and has torch.nn's names. Each wrong one differs from `Textbook` in one thing. In the
notebook they go by a letter: SUSPECTS says which, NAMES is told after the hunt.
"""

import torch

import bnlib.torch as bt


class Textbook(torch.nn.Module):
    """Batch norm as the 2015 paper has it, in plain torch; its hooks are what the others change."""

    def __init__(self, num_features, eps=1e-5, momentum=0.1):
        super().__init__()
        self.eps, self.momentum = eps, momentum
        self.weight = torch.nn.Parameter(torch.ones(num_features))
        self.bias = torch.nn.Parameter(torch.zeros(num_features))
        self.register_buffer("running_mean", torch.zeros(num_features))
        self.register_buffer("running_var", torch.ones(num_features))
        self.register_buffer("num_batches_tracked", torch.tensor(0))

    def forward(self, x):
        wide = x.float() if x.dtype in (torch.float16, torch.bfloat16) else x  # widen, then add
        if self.in_training():
            self.refuse(x)
            mean, var = self.statistics(wide)
            self.follow(wide)
        else:
            mean, var = self.running_mean, self.running_var
        x_hat = self.normalize(wide, as_channels(mean, x), as_channels(var, x))
        gamma, beta = as_channels(self.weight, x), as_channels(self.bias, x)
        return self.affine(x_hat, gamma, beta).to(x.dtype)

    # ── the hooks ──

    def in_training(self):
        return self.training

    def refuse(self, x):
        if values_per_channel(x) == 1:
            raise ValueError(f"one value per channel in training: x has shape {tuple(x.shape)}")

    def statistics(self, x):
        return moments(x)

    @torch.no_grad()
    def follow(self, x):
        """Take the batch into the running statistics."""
        for kept, new in zip((self.running_mean, self.running_var), self.blended(x), strict=True):
            kept.copy_(new)
        self.num_batches_tracked += 1

    def blended(self, x):
        """The running statistics as they are after this batch."""
        mean, var = moments(x)
        var = self.entering(var, values_per_channel(x))
        return self.blend(self.running_mean, mean), self.blend(self.running_var, var)

    def blend(self, old, new):
        return (1 - self.momentum) * old + self.momentum * new.to(old.dtype)

    def entering(self, var, m):
        return var * m / max(m - 1, 1)

    def normalize(self, x, mean, var):
        return (x - mean) / (var + self.eps).sqrt()

    def affine(self, x_hat, gamma, beta):
        return gamma * x_hat + beta


def axes_of(x):
    return [0, *range(2, x.ndim)]


def values_per_channel(x):
    return x.numel() // x.shape[1]


def moments(x, axes=None):
    """Mean and biased variance over the axes, which stay as axes of length 1 where they are named;
    by default one number per channel."""
    keep, over = axes is not None, axes_of(x) if axes is None else axes
    mean = x.mean(over, keepdim=True)
    var = ((x - mean) ** 2).mean(over, keepdim=True)
    return (mean, var) if keep else (mean.flatten(), var.flatten())


def as_channels(v, x):
    """One number per channel, shaped to go with x; what has x's axes already stays as it is."""
    return v if v.ndim == x.ndim else v.view(1, -1, *[1] * (x.ndim - 2))


# ── wrong in the output ─────────────────────────────────────────────────────────────────────────


class _EpsOutside(Textbook):
    def normalize(self, x, mean, var):
        return (x - mean) / (var.sqrt() + self.eps)


class _PerPixel(Textbook):
    def statistics(self, x):
        return moments(x, [0])


class _PerImage(Textbook):
    def statistics(self, x):
        return moments(x, [2, 3]) if x.ndim == 4 else moments(x)


class _UnbiasedForward(Textbook):
    def statistics(self, x):
        mean, var = moments(x)
        m = values_per_channel(x)
        return mean, var * m / (m - 1)


class _RunningInTraining(Textbook):
    @torch.no_grad()
    def statistics(self, x):
        return self.blended(x)


class _GammaTimesBeta(Textbook):
    def affine(self, x_hat, gamma, beta):
        return gamma * (x_hat + beta)


# ── wrong in the gradient ───────────────────────────────────────────────────────────────────────


class _Detached(Textbook):
    def statistics(self, x):
        return moments(x.detach())


class _VarianceDetached(Textbook):
    def statistics(self, x):
        mean, var = moments(x)
        return mean, var.detach()


# ── wrong in what it remembers, or when ─────────────────────────────────────────────────────────


class _BiasedRunning(Textbook):
    def entering(self, var, m):
        return var


class _MomentumSwapped(Textbook):
    def blend(self, old, new):
        return self.momentum * old + (1 - self.momentum) * new.to(old.dtype)


class _VarianceFromZero(Textbook):
    def __init__(self, num_features, eps=1e-5, momentum=0.1):
        super().__init__(num_features, eps, momentum)
        self.running_var.zero_()


class _AlwaysTraining(Textbook):
    def in_training(self):
        return True


class _ModeOfGradients(Textbook):
    def in_training(self):
        return torch.is_grad_enabled()


class _FollowsInEvaluation(Textbook):
    def forward(self, x):
        if not self.training:
            self.follow(x)
        return super().forward(x)


# ── wrong in what nobody asks first ─────────────────────────────────────────────────────────────


class _SquareOfMean(Textbook):
    def statistics(self, x):
        over = axes_of(x)
        return x.mean(over), (x * x).mean(over) - x.mean(over) ** 2


class _HalfSums(Textbook):
    def forward(self, x):
        self._narrow = x.dtype
        return super().forward(x)

    def statistics(self, x):
        if self._narrow not in (torch.float16, torch.bfloat16):
            return moments(x)
        rows = x.to(self._narrow).transpose(0, 1).flatten(1).T
        mean = added_up(rows) / len(rows)
        return mean.float(), (added_up((rows - mean) ** 2) / len(rows)).float()


class _TakesOneValue(Textbook):
    def refuse(self, x):
        pass


class _PlainAttributes(Textbook):
    def __init__(self, num_features, eps=1e-5, momentum=0.1):
        super().__init__(num_features, eps, momentum)
        for name in list(self._buffers):
            value = self._buffers.pop(name)
            setattr(self, name, value)


class _KeepsTheGraph(Textbook):
    def follow(self, x):
        self.running_mean, self.running_var = self.blended(x)
        self.num_batches_tracked += 1


def added_up(rows):
    """The sum of the rows, one after the other, each sum rounded to their format."""
    total = torch.zeros_like(rows[0])
    for row in rows:
        total = total + row
    return total


# ── the line-up ─────────────────────────────────────────────────────────────────────────────────

KINDS = {  # where they are wrong -> the classes, with what is told of them after the hunt
    "output": {
        _EpsOutside: "ε outside the root",
        _PerPixel: "one mean per pixel",
        _PerImage: "one mean per image and channel",
        _UnbiasedForward: "divides by m − 1 in the forward pass",
        _RunningInTraining: "training mode normalizes by the running statistics",
        _GammaTimesBeta: "γ(x̂ + β) instead of γx̂ + β",
    },
    "gradient": {
        _Detached: "mean and variance detached from the gradient",
        _VarianceDetached: "the variance alone detached",
    },
    "memory": {
        _BiasedRunning: "running variance biased",
        _MomentumSwapped: "momentum the other way round",
        _VarianceFromZero: "running variance starts at 0",
        _AlwaysTraining: "eval() ignored",
        _ModeOfGradients: "mode taken from torch.is_grad_enabled()",
        _FollowsInEvaluation: "statistics followed in evaluation mode, too",
    },
    "use": {
        _SquareOfMean: "variance as E[x²] − E[x]²",
        _HalfSums: "16-bit data summed in 16 bits",
        _TakesOneValue: "one value per channel accepted",
        _PlainAttributes: "statistics are plain attributes, no buffers",
        _KeepsTheGraph: "running statistics keep the graph",
    },
}
_CLASSES = [kind for classes in KINDS.values() for kind in classes]
_LETTERS = dict(zip(_CLASSES, "QDMHBKSEOJCRGLAPFNI", strict=True))
SUSPECTS = {letter: kind for kind, letter in sorted(_LETTERS.items(), key=lambda pair: pair[1])}
NAMES = {_LETTERS[k]: said for classes in KINDS.values() for k, said in classes.items()}
WRONG_IN = {where: [_LETTERS[k] for k in classes] for where, classes in KINDS.items()}
for _letter, _class in SUSPECTS.items():
    _class.__name__ = _class.__qualname__ = f"Suspect{_letter}"


class _Torchs(torch.nn.BatchNorm2d):
    """torch.nn's, for rows and images alike."""

    def _check_input_dim(self, input):
        pass


class _Bnlibs(bt.BatchNorm2d):
    """bnlib.torch's, for rows and images alike."""

    def _check_input_dim(self, input):
        pass


RIGHT = {"torch.nn": _Torchs, "bnlib.torch": _Bnlibs, "a textbook's": Textbook}


# ── four more, which the first test that everybody writes does find ─────────────────────────────


class _OverFeatures(Textbook):
    def statistics(self, x):
        return moments(x, [1])


class _NoRoot(Textbook):
    def normalize(self, x, mean, var):
        return (x - mean) / (var + self.eps)


class _MeanKept(Textbook):
    def normalize(self, x, mean, var):
        return x / (var + self.eps).sqrt()


class _LargeEps(Textbook):
    def normalize(self, x, mean, var):
        return (x - mean) / (var + 0.1).sqrt()


FIRST_LOOK = {
    "means over the features": _OverFeatures,
    "root forgotten": _NoRoot,
    "mean not subtracted": _MeanKept,
    "ε of 0.1": _LargeEps,
}
