"""Small tests of a batch norm, each asking one thing: test(layer_class) -> True or False.

TESTS maps what a test asks to the test. `passes` runs one on one layer, `hunt` all on all, which
gives the matrix.
"""

import warnings

import torch

import bnlib.torch as bt
from bnlib.course.nb15.layers import SUSPECTS
from bnlib.data import as_features, mnist10k
from bnlib.progress import progress

# ── what everybody writes first ─────────────────────────────────────────────────────────────────


def mean_0_variance_1(layer_class, rows=64):
    y = layer_class(3)(1.5 * torch.randn(rows, 3) + 5)
    return close(y.mean(0), 0, 0.01) and close(y.std(0, correction=0), 1, 0.01)


# ── the output ──────────────────────────────────────────────────────────────────────────────────


def output_of_rows(layer_class):
    return same_output(layer_class, draw(8, 3))


def output_of_images(layer_class):
    return same_output(layer_class, draw(4, 3, 5, 2))


# ── the gradient ────────────────────────────────────────────────────────────────────────────────


def gradient_of_sum(layer_class):
    x = draw(6, 3).requires_grad_()
    layer_class(3).double()(x).sum().backward()
    return close(x.grad, 0)


def gradcheck(layer_class):
    x = draw(6, 3).requires_grad_()
    layer = layer_class(3).double()
    return torch.autograd.gradcheck(layer, (x,), raise_exception=False)


# ── what it remembers, and when ─────────────────────────────────────────────────────────────────


def after_two_steps(layer_class):
    """Running statistics after two steps of training, by the formula; no graph hangs on them."""
    layer, linear = layer_class(3), torch.nn.Linear(3, 3)
    mean, var = torch.zeros(3), torch.ones(3)
    for _ in range(2):
        x = linear(3 * torch.randn(4, 3) + 2)
        layer(x).pow(3).sum().backward()
        mean = 0.9 * mean + 0.1 * x.detach().mean(0)
        var = 0.9 * var + 0.1 * x.detach().var(0)  # the unbiased one
    if layer.running_mean.requires_grad:
        return False
    return close(layer.running_mean, mean) and close(layer.running_var, var, 1e-4)


def after_200_batches(layer_class):
    """Tolerances that no luck exceeds: the estimates spread from batch to batch."""
    layer = layer_class(3)
    for _ in range(200):
        layer(2 * torch.randn(256, 3) + 3)
    return close(layer.running_mean, 3, 0.5) and close(layer.running_var / 4, 1, 0.3)


def fresh_in_evaluation(layer_class):
    """A fresh layer leaves everything as it is in evaluation mode."""
    x = 2 * torch.randn(8, 3) + 1
    return close(layer_class(3).eval()(x), x, 1e-3)


def one_row_alone(layer_class):
    """In evaluation mode the rest of the batch makes no difference."""
    layer = layer_class(3)
    layer(2 * torch.randn(64, 3) + 1)
    layer.eval()
    x = torch.randn(5, 3)
    return close(layer(x)[:1], layer(x[:1]))


def evaluation_changes_nothing(layer_class):
    layer = layer_class(3)
    layer(torch.randn(8, 3))
    layer.eval()
    before = layer.running_mean.clone(), layer.running_var.clone()
    layer(torch.randn(8, 3) + 5)
    return close(layer.running_mean, before[0]) and close(layer.running_var, before[1])


# ── what nobody asks first ──────────────────────────────────────────────────────────────────────


def float32_far_from_zero(layer_class):
    return keeps_digits(layer_class, torch.randn(64, 3) + 10_000)


def bfloat16_far_from_zero(layer_class):
    return keeps_digits(layer_class, (torch.randn(512, 3) + 100).bfloat16())


def float16_far_from_zero(layer_class):
    return keeps_digits(layer_class, (torch.randn(512, 3) + 2000).half())


def refuses_one_value(layer_class):
    try:
        layer_class(3)(torch.randn(1, 3))
    except ValueError:
        return True
    return False


def names_in_state_dict(layer_class):
    return set(layer_class(3).state_dict()) == set(torch.nn.BatchNorm1d(3).state_dict())


def moves_along(layer_class):
    """.double() moves the statistics, as .to("cuda") would."""
    layer = layer_class(3).double()
    return layer.running_mean.dtype == layer.running_var.dtype == torch.float64


TESTS = {
    "mean 0, variance 1": mean_0_variance_1,
    "output of rows": output_of_rows,
    "output of images": output_of_images,
    "gradient of y.sum()": gradient_of_sum,
    "gradcheck": gradcheck,
    "after two steps": after_two_steps,
    "after 200 batches": after_200_batches,
    "fresh, evaluation": fresh_in_evaluation,
    "one row alone": one_row_alone,
    "evaluation changes nothing": evaluation_changes_nothing,
    "float32 around 10,000": float32_far_from_zero,
    "bfloat16 around 100": bfloat16_far_from_zero,
    "float16 around 2,000": float16_far_from_zero,
    "refuses one value": refuses_one_value,
    "names in state_dict": names_in_state_dict,
    "moves along": moves_along,
}


# ── what they share ─────────────────────────────────────────────────────────────────────────────


def draw(*shape):
    """float64 data: channels with means and spreads of their own, one of them small beside ε's
    root, and rows, images and pixels that differ."""
    x = torch.randn(*shape, dtype=torch.float64)
    for axis in range(2, len(shape)):
        x = x + torch.randn([n if i in (1, axis) else 1 for i, n in enumerate(shape)]).double()
    sizes = [1, -1] + [1] * (len(shape) - 2)
    spread = torch.tensor([2.0, 0.5, 0.01], dtype=torch.float64).view(sizes)
    return spread * (x + torch.tensor([1.0, -2.0, 3.0]).view(sizes))


def same_output(layer_class, x):
    """Is the layer's output the formula's, with random γ and β?"""
    layer = layer_class(3).double()
    with torch.no_grad():
        layer.weight.uniform_(0.5, 2)
        layer.bias.uniform_(-1, 1)
    rows = x.transpose(0, 1).flatten(1)  # (C, m)
    mean, var = rows.mean(1, keepdim=True), rows.var(1, correction=0, keepdim=True)
    x_hat = (rows - mean) / (var + layer.eps).sqrt()
    y = layer(x).transpose(0, 1).flatten(1)
    return close(y, layer.weight[:, None] * x_hat + layer.bias[:, None], 1e-7)


def keeps_digits(layer_class, x):
    """Is x̂ of data far from zero as good as its format allows?"""
    wide = x.double()
    x_hat = (wide - wide.mean(0)) / (wide.var(0, correction=0) + 1e-5).sqrt()
    return close(layer_class(3)(x).double(), x_hat, 0.05)


def close(a, b, apart=1e-6):
    """Is no value of a further from b than that? NaN is."""
    return bool(((a - b).detach().abs() <= apart).all())


# ── one net each, and all tests on all layers ───────────────────────────────────────────────────

READS = 0.85  # the share of the test digits that a right layer's net reads, and more
TRAINING = "reads digits"


def accuracies(layers, *, lr=0.3, steps=150, seed=0):
    """{name: share of the test digits read} by a net of three Linear layers with two such layers.

    layers  {name: layer class}; all nets have the same first weights and batches
    """
    data, found = mnist10k(), {}
    x_train, x_test = (torch.tensor(as_features(x)) for x in (data.x_train, data.x_test))
    y_train, y_test = (torch.tensor(y) for y in (data.y_train, data.y_test))
    with progress(len(layers)) as show:
        for name, layer_class in layers.items():
            torch.manual_seed(seed)
            net = three_layers(layer_class)
            options = {"batch_size": 60, "rng": seed, "lr": lr, "progress": False}
            history = bt.fit(net, x_train, y_train, steps=steps, **options)
            found[name] = bt.evaluate(net, x_test, y_test)[1]
            show(len(found), history.loss[-1])
    return found


def three_layers(layer_class):
    layers = []
    for width in (784, 100):
        linear = torch.nn.Linear(width, 100, bias=False)
        layers += [linear, layer_class(100), torch.nn.ReLU()]
    return torch.nn.Sequential(*layers, torch.nn.Linear(100, 10))


def passes(test, layer_class, seed=0):
    """Does the layer pass the test? A test that stops with an error has found something, too."""
    torch.manual_seed(seed)
    try:
        with warnings.catch_warnings(action="ignore"):
            return bool(test(layer_class))
    except Exception:
        return False


def takes_images(module_class, batch_norm_2d):
    """A module for rows, which takes images, too: by batch_norm_2d(x, a layer for rows)."""

    class TakesImages(module_class):
        def forward(self, x):
            by_rows = super().forward
            return batch_norm_2d(x, by_rows) if x.ndim == 4 else by_rows(x)

    return TakesImages


def variance_after_one_value(module_class):
    """running_var of a fresh module for rows after one row in training mode, (3,)."""
    module = module_class(3)
    with warnings.catch_warnings(action="ignore"):  # torch warns of the variance of one value
        module(torch.tensor([[1.0, 2.0, 3.0]]))
    return module.running_var


def hunt(tests, layers=SUSPECTS, seed=0):
    """{name of test: names of the layers that it refuses}, in the layers' order.

    tests   {name: test}, or a test
    layers  {name: layer class}
    """
    if callable(tests):
        return hunt({"": tests}, layers, seed)[""]
    return {
        name: [who for who, layer_class in layers.items() if not passes(test, layer_class, seed)]
        for name, test in tests.items()
    }


# Seconds for all nineteen, measured once, on one thread: the explorer's and the stored outputs'.
# Only their ratios matter, and those roughly.
SECONDS = {
    "mean 0, variance 1": 0.009,
    TRAINING: 5.1,
    "output of rows": 0.010,
    "output of images": 0.0105,
    "gradient of y.sum()": 0.011,
    "gradcheck": 0.21,
    "after two steps": 0.022,
    "after 200 batches": 0.49,
    "fresh, evaluation": 0.0055,
    "one row alone": 0.0105,
    "evaluation changes nothing": 0.0085,
    "float32 around 10,000": 0.0085,
    "bfloat16 around 100": 0.012,
    "float16 around 2,000": 0.012,
    "refuses one value": 0.004,
    "names in state_dict": 0.005,
    "moves along": 0.004,
}

SEVEN = (
    "output of images",
    "gradcheck",
    "after two steps",
    "fresh, evaluation",
    "float16 around 2,000",
    "refuses one value",
    "names in state_dict",
)
