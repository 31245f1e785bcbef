"""The other layers of Part I: Linear, Sigmoid, ReLU, Dropout, Sequential, and the loss.

Every layer is called on a batch and keeps what its backward pass needs; `backward(dy)` belongs
to the last call, returns dx, and leaves the parameters' gradients in the layer. `parameters()`
and `gradients()` give both by name. Layers are made in training mode; train() and eval() switch.
"""

import math
import numbers

import numpy as np

from bnlib.data import whole_number

_GAINS = {"xavier": lambda i, o: 2 / (i + o), "he": lambda i, o: 2 / i, "lecun": lambda i, o: 1 / i}


class Layer:
    """The base of all layers: subclasses add forward(x) and backward(dy), and their parameters.

    >>> class Double(Layer):
    ...     def forward(self, x):
    ...         return 2 * x
    ...
    ...     def backward(self, dy):
    ...         return 2 * dy
    >>> Sequential(Double(), Double())(3.0)
    12.0
    """

    training = True

    def __call__(self, x):
        return self.forward(x)

    def train(self):
        """Switch to training mode. Returns the layer."""
        self.training = True
        return self

    def eval(self):
        """Switch to evaluation mode. Returns the layer."""
        self.training = False
        return self

    def parameters(self):
        """What an optimizer may change in place, by name."""
        return {}

    def gradients(self):
        """The gradients of the last backward call, by the names of parameters()."""
        return {}

    def __repr__(self):
        return f"{type(self).__name__}()"


class Linear(Layer):
    """y = x @ weight + bias.

    in_features, out_features   x is (N, in_features), y is (N, out_features)
    rng         the numpy.random.Generator that draws the weights; the same seed, the same layer
    init        their law, normal with mean 0 and variance
                "xavier": 2 / (in + out), Glorot & Bengio 2010; "he": 2 / in, He et al. 2015;
                "lecun": 1 / in, LeCun et al. 1998; a number: its square
    bias        False: no bias, as before a batch norm, whose beta replaces it
    dtype       float32 or float64, of the parameters and of x

    weight (in, out) and bias (out,), which starts at 0; torch's weight is the transpose.
    Raises ValueError and TypeError that say what was expected.

    >>> import numpy as np
    >>> layer = Linear(3, 2, rng=np.random.default_rng(0))
    >>> layer(np.ones((5, 3), np.float32)).shape
    (5, 2)
    """

    def __init__(
        self, in_features, out_features, *, rng, init="xavier", bias=True, dtype=np.float32
    ):
        for name, count in (("in_features", in_features), ("out_features", out_features)):
            whole_number(name, count, 1)
        if not isinstance(rng, np.random.Generator):
            raise TypeError(f"rng is a {type(rng).__name__}; expected np.random.default_rng(seed)")
        dtype = np.dtype(dtype)
        if dtype not in (np.float32, np.float64):
            raise TypeError(f"dtype is {dtype}; expected float32 or float64")
        std = _standard_deviation(init, in_features, out_features)
        self.in_features, self.out_features, self.init = in_features, out_features, init
        self.weight = (std * rng.standard_normal((in_features, out_features))).astype(dtype)
        self.bias = np.zeros(out_features, dtype) if bias else None
        self.dweight = self.dbias = self._x = None

    def forward(self, x):
        """(N, in_features) -> (N, out_features)."""
        x = np.asarray(x)
        if x.ndim != 2 or x.shape[1] != self.in_features:
            raise ValueError(f"x has shape {x.shape}; {self!r} needs (N, {self.in_features})")
        if x.dtype != self.weight.dtype:
            raise TypeError(
                f"x has dtype {x.dtype}; the layer is {self.weight.dtype}: convert x with "
                f"astype, or make the layer with dtype=np.{x.dtype}"
            )
        self._x = x
        y = x @ self.weight
        if self.bias is not None:
            y += self.bias
        return y

    def backward(self, dy, *, input_gradient=True):
        """Return dx, or None where the first layer of a net need not know it."""
        x = need(self._x)
        self.dweight = x.T @ dy
        if self.bias is not None:
            self.dbias = dy.sum(axis=0)
        return dy @ self.weight.T if input_gradient else None

    def parameters(self):
        return {"weight": self.weight} | ({} if self.bias is None else {"bias": self.bias})

    def gradients(self):
        return {"weight": self.dweight} | ({} if self.bias is None else {"bias": self.dbias})

    def __repr__(self):
        bias = ", bias=False" if self.bias is None else ""
        return f"Linear({self.in_features}, {self.out_features}{bias})"


class Sigmoid(Layer):
    """y = 1 / (1 + exp(-x)).

    >>> import numpy as np
    >>> Sigmoid()(np.array([-1e9, 0.0, 1e9]))
    array([0. , 0.5, 1. ])
    """

    _y = None

    @np.errstate(over="ignore")  # exp(-x) may become infinite, and then y = 0 is right
    def forward(self, x):
        y = np.exp(-x)
        y += 1
        self._y = np.divide(1, y, y)
        return self._y

    def backward(self, dy):
        y = need(self._y)
        return dy * y * (1 - y)


class ReLU(Layer):
    """y = max(x, 0); NaN stays NaN, and the slope at 0 is taken as 0.

    >>> import numpy as np
    >>> layer = ReLU()
    >>> layer(np.array([-1.0, 0.0, 2.0])), layer.backward(np.ones(3))
    (array([0., 0., 2.]), array([0., 0., 1.]))
    """

    _y = None

    def forward(self, x):
        self._y = np.maximum(x, 0)
        return self._y

    def backward(self, dy):
        return dy * (need(self._y) > 0)


class Dropout(Layer):
    """Set each value to 0 with probability p and scale the others by 1 / (1 - p), in training.

    p       in [0, 1)
    rng     the numpy.random.Generator that draws the masks

    In evaluation mode x passes through unchanged. Srivastava et al. 2014, in its inverted form.

    >>> import numpy as np
    >>> layer = Dropout(0.5, rng=np.random.default_rng(0))
    >>> layer(np.ones(6)), layer.eval()(np.ones(6))
    (array([2., 0., 0., 0., 2., 2.]), array([1., 1., 1., 1., 1., 1.]))
    """

    def __init__(self, p, *, rng):
        check_number("p", p, lambda p: 0 <= p < 1, "a probability in [0, 1)")
        if not isinstance(rng, np.random.Generator):
            raise TypeError(f"rng is a {type(rng).__name__}; expected np.random.default_rng(seed)")
        self.p, self.rng, self._mask = p, rng, None

    def forward(self, x):
        if not self.training or self.p == 0:
            self._mask = x.dtype.type(1)
            return x
        self._mask = (self.rng.random(x.shape) >= self.p) * x.dtype.type(1 / (1 - self.p))
        return x * self._mask

    def backward(self, dy):
        return dy * need(self._mask)

    def __repr__(self):
        return f"Dropout({self.p})"


class Sequential(Layer):
    """Layers one after the other.

    model(x) runs them; model.inputs[i] is then what went into layer i and model.output what came
    out of the last, for a look inside. model[i] is layer i, a slice is a Sequential of the same
    layers, len(model) counts them. Parameters are named "0.weight", "1.gamma" and so on.

    A layer keeps what its last call was given, for its backward, so each has one place in a net,
    the Sequentials in it included: ValueError names two places of one layer, here, in train()
    and in backward, for `model.layers` may be changed. TypeError for what is no Layer.

    >>> import numpy as np
    >>> model = Sequential(Linear(3, 2, rng=np.random.default_rng(0)), ReLU())
    >>> y = model(np.ones((5, 3), np.float32))
    >>> [h.shape for h in model.inputs], list(model.parameters())
    ([(5, 3), (5, 2)], ['0.weight', '0.bias'])
    """

    def __init__(self, *layers):
        for i, layer in enumerate(layers):
            if not isinstance(layer, Layer):
                raise TypeError(f"layer {i} is a {type(layer).__name__}; expected a Layer")
        self.layers = list(layers)
        self.inputs, self.output = [], None
        self._check_places()

    def forward(self, x):
        inputs = []
        for layer in self.layers:
            inputs.append(x)
            x = layer(x)
        self.inputs, self.output = inputs, x
        return x

    def backward(self, dy, *, input_gradient=True):
        """Return dx; with input_gradient=False a Linear in front is spared computing it."""
        self._check_places()
        for layer in reversed(self.layers[1:]):
            dy = layer.backward(dy)
        for first in self.layers[:1]:
            if isinstance(first, Linear | Sequential):
                return first.backward(dy, input_gradient=input_gradient)
            dy = first.backward(dy)
        return dy

    def train(self):
        self._check_places()
        for layer in self.layers:
            layer.train()
        return super().train()

    def eval(self):
        for layer in self.layers:
            layer.eval()
        return super().eval()

    def parameters(self):
        return self._named("parameters")

    def gradients(self):
        return self._named("gradients")

    def _named(self, method):
        return {
            f"{i}.{name}": array
            for i, layer in enumerate(self.layers)
            for name, array in getattr(layer, method)().items()
        }

    def _check_places(self):
        """Each layer has one place: a second call would overwrite what the first one kept."""
        first = {}
        for place, layer in _places(self.layers):
            if first.setdefault(id(layer), place) is not place:
                one, two = ("".join(f"[{i}]" for i in p) for p in (first[id(layer)], place))
                raise ValueError(
                    f"layers{one} and layers{two} are the same {type(layer).__name__} object; "
                    "expected a layer of its own at each place, for each keeps its last input"
                )

    def __getitem__(self, i):
        return Sequential(*self.layers[i]) if isinstance(i, slice) else self.layers[i]

    def __len__(self):
        return len(self.layers)

    def __repr__(self):
        lines = (f"    {i}: {layer!r}" for i, layer in enumerate(self.layers))
        return "\n".join(["Sequential(", *lines, ")"])


def softmax_cross_entropy(logits, labels):
    """The mean of −log softmax(logits)[label] over the batch, and its gradient.

    logits      (N, K) floating array
    labels      (N,) integers, 0 to K − 1

    Returns loss, a float in nats, and dlogits, shaped like logits. Guessing evenly gives log K.
    Raises ValueError when the shapes or a label do not fit, TypeError for labels not integer.

    >>> import numpy as np
    >>> loss, dlogits = softmax_cross_entropy(np.zeros((4, 10)), np.array([1, 2, 3, 4]))
    >>> round(loss, 4), round(float(np.log(10)), 4)
    (2.3026, 2.3026)
    """
    logits, labels = np.asarray(logits), np.asarray(labels)
    if logits.ndim != 2 or labels.shape != logits.shape[:1] or not len(labels):
        raise ValueError(
            f"logits have shape {logits.shape} and labels {labels.shape}; expected (N, K) and (N,)"
        )
    if labels.dtype.kind not in "iu":
        raise TypeError(f"labels have dtype {labels.dtype}; expected integers")
    N, K = logits.shape
    if labels.min() < 0 or labels.max() >= K:
        raise ValueError(f"labels run from {labels.min()} to {labels.max()}; expected 0 to {K - 1}")
    rows = np.arange(N)
    shifted = logits - logits.max(axis=1, keepdims=True)  # exp cannot overflow now
    p = np.exp(shifted)
    total = p.sum(axis=1, keepdims=True)
    loss = float((np.log(total[:, 0]) - shifted[rows, labels]).mean())
    p /= total
    p[rows, labels] -= 1
    p /= N
    return loss, p


def _places(layers, outer=()):
    """((0,), layer), ((1,), Sequential), ((1, 0), layer in it), … of a list of layers."""
    for i, layer in enumerate(layers):
        yield (place := (*outer, i)), layer
        if isinstance(layer, Sequential):
            yield from _places(layer.layers, place)


def check_number(name, value, fits, wish):
    """Raise TypeError or ValueError when value is no real number, or not one that fits."""
    if not isinstance(value, numbers.Real):
        raise TypeError(f"{name} is {value!r}; expected {wish}")
    if not fits(value):
        raise ValueError(f"{name} is {value}; expected {wish}")


def _standard_deviation(init, in_features, out_features):
    if isinstance(init, str):
        if init not in _GAINS:
            raise ValueError(f"init is {init!r}; expected one of {', '.join(_GAINS)}, or a number")
        return math.sqrt(_GAINS[init](in_features, out_features))
    if not (np.isreal(init) and 0 <= init < math.inf):
        raise ValueError(f"init is {init}; expected a standard deviation, zero or more")
    return float(init)


def need(kept):
    """What forward kept for backward, or RuntimeError when there was no forward call."""
    if kept is None:
        raise RuntimeError("backward before forward: call the layer on a batch first")
    return kept
