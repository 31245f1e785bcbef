"""Six forward passes to be reviewed by eye. Which of them are right, the tests say."""

import inspect
import textwrap

import torch

from bnlib.course.kit.markup import Rich
from bnlib.course.nb15.layers import Textbook, as_channels, axes_of, values_per_channel


def wide(x):
    """16-bit data as float32, other data as they are."""
    return x.float() if x.dtype in (torch.float16, torch.bfloat16) else x


class _Listing(Textbook):
    """What all six have, and what is right in all of them."""

    @torch.no_grad()
    def remember(self, mean, var):
        self.running_mean.lerp_(mean.to(self.running_mean.dtype), self.momentum)
        self.running_var.lerp_(var.to(self.running_var.dtype), self.momentum)
        self.num_batches_tracked += 1


class _One(_Listing):
    def forward(self, x):
        mean, var = self.running_mean, self.running_var
        if self.training:
            self.refuse(x)
            var, mean = torch.var_mean(wide(x), axes_of(x))
            self.remember(mean, var)
        x_hat = (wide(x) - as_channels(mean, x)) / as_channels(var + self.eps, x).sqrt()
        y = as_channels(self.weight, x) * x_hat + as_channels(self.bias, x)
        return y.to(x.dtype)


class _Two(_Listing):
    def forward(self, x):
        m = values_per_channel(x)
        if self.training or self.num_batches_tracked == 0:
            self.refuse(x)
            var, mean = torch.var_mean(wide(x), axes_of(x), correction=0)
            self.remember(mean, var * m / (m - 1))
        else:
            mean, var = self.running_mean, self.running_var
        scale = self.weight / (var + self.eps).sqrt()
        c = wide(x) - as_channels(mean, x)
        return (as_channels(scale, x) * c + as_channels(self.bias, x)).to(x.dtype)


class _Three(_Listing):
    def forward(self, x):
        mean, var = self.running_mean, self.running_var
        if self.training:
            self.refuse(x)
            mean = wide(x).mean(axes_of(x))
            c = wide(x) - as_channels(mean, x)
            var = (c * c).mean(axes_of(x)) - c.mean(axes_of(x)) ** 2
            self.remember(mean, var / (1 - 1 / values_per_channel(x)))
        scale = as_channels(self.weight * (var + self.eps) ** -0.5, x)
        y = scale * (wide(x) - as_channels(mean, x)) + as_channels(self.bias, x)
        return y.to(x.dtype)


class _Four(_Listing):
    def forward(self, x):
        m, mean, var = values_per_channel(x), self.running_mean, self.running_var
        if self.training:
            self.refuse(x)
            with torch.no_grad():
                var, mean = torch.var_mean(wide(x), axes_of(x), correction=0)
                self.remember(mean, var * m / (m - 1))
        x_hat = (wide(x) - as_channels(mean, x)) / as_channels(var + self.eps, x).sqrt()
        y = as_channels(self.weight, x) * x_hat + as_channels(self.bias, x)
        return y.to(x.dtype)


class _Five(_Listing):
    def forward(self, x):
        m, mean, var = values_per_channel(x), self.running_mean, self.running_var
        if self.training:
            self.refuse(x)
            mean = x.mean(axes_of(x))
            var = ((x - as_channels(mean, x)) ** 2).mean(axes_of(x))
            self.remember(mean, var * m / (m - 1))
        x_hat = (x - as_channels(mean, x)) / as_channels(var + self.eps, x).sqrt()
        y = as_channels(self.weight, x) * x_hat + as_channels(self.bias, x)
        return y.to(x.dtype)


class _Six(_Listing):
    def forward(self, x):
        m, k = values_per_channel(x), self.momentum
        mean, var = self.running_mean, self.running_var
        if self.training:
            self.refuse(x)
            var, mean = torch.var_mean(wide(x), axes_of(x), correction=0)
            self.running_mean = (1 - k) * self.running_mean + k * mean
            self.running_var = (1 - k) * self.running_var + k * var * m / (m - 1)
            self.num_batches_tracked += 1
        x_hat = (wide(x) - as_channels(mean, x)) / as_channels(var + self.eps, x).sqrt()
        y = as_channels(self.weight, x) * x_hat + as_channels(self.bias, x)
        return y.to(x.dtype)


LISTINGS = [_One, _Two, _Three, _Four, _Five, _Six]


def listing(number):
    """The forward pass of listing 1 … 6, as text."""
    text = textwrap.dedent(inspect.getsource(LISTINGS[number - 1].forward)).rstrip()
    text = f"# listing {number}\n{text}"
    escaped = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return Rich(text, f"<pre><code>{escaped}</code></pre>")
