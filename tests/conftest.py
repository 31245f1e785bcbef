"""What the tests share: the backend fixture, random batches, and an independent oracle.

backend     parametrized: `numpy`, `torch`, then `cuda` or `mps` where this machine has one.
            `-k numpy` or `-k cuda` picks one of them.
draw        draws one Batch in NumPy, so that every backend meets the same numbers
oracle      torch.nn.functional.batch_norm and autograd, in float64, on the CPU

A test of both backends reads

    def test_dx_matches_torch(backend, draw, oracle):
        batch = draw((4, 3, 5, 5))
        want = oracle(batch)
        got = backend.batch_norm(batch)
        assert_allclose(got.dx, want.dx, rtol=1e-10, atol=1e-12)
"""

import dataclasses
import gc
import importlib.util
import sys
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

sys.path.append(str(Path(__file__).resolve().parent / "support"))  # what test files import


class Batch(NamedTuple):
    """What one batch-normalization step takes: NumPy arrays, gamma ≠ 1, beta ≠ 0, random dy."""

    x: np.ndarray
    gamma: np.ndarray
    beta: np.ndarray
    dy: np.ndarray
    running_mean: np.ndarray
    running_var: np.ndarray


class Result(NamedTuple):
    """What it gives: NumPy arrays."""

    y: np.ndarray
    dx: np.ndarray
    dgamma: np.ndarray
    dbeta: np.ndarray
    running_mean: np.ndarray
    running_var: np.ndarray


def draw_batch(shape, *, seed=0, dtype=np.float64, axis=1, mean=0.0, std=1.0):
    """A Batch whose x is normal(mean, std), rounded to dtype; channels lie on `axis`.

    The parameters and running arrays are float32 where x is float16, else of x's dtype, and
    every channel has a scale and a mean of its own, so that no mixed-up channel goes unseen.
    """
    rng = np.random.default_rng(seed)
    channels = shape[axis]
    per_channel = [1] * len(shape)
    per_channel[axis] = channels
    spread = std * rng.uniform(0.5, 2.0, per_channel)
    centre = mean + std * rng.normal(size=per_channel)
    parameter = np.float32 if np.dtype(dtype) == np.float16 else dtype
    return Batch(
        x=(centre + spread * rng.normal(size=shape)).astype(dtype),
        gamma=(rng.uniform(0.5, 2.0, channels) * rng.choice([-1, 1], channels)).astype(parameter),
        beta=rng.normal(size=channels).astype(parameter),
        dy=rng.normal(size=shape).astype(dtype),
        running_mean=rng.normal(size=channels).astype(parameter),
        running_var=rng.uniform(0.5, 2.0, channels).astype(parameter),
    )


def torch_oracle(batch, *, training=True, momentum=0.1, eps=1e-5, axis=1):
    """The float64 result of torch's own batch norm: forward, autograd, buffers after the call."""
    import torch

    x, gamma, beta, dy, mean, var = (
        torch.from_numpy(np.array(a, dtype=np.float64, order="C")) for a in batch
    )
    for leaf in (x, gamma, beta):
        leaf.requires_grad_()
    y = torch.nn.functional.batch_norm(
        x.movedim(axis, 1), mean, var, gamma, beta, training, momentum, eps
    ).movedim(1, axis)
    dx, dgamma, dbeta = torch.autograd.grad(y, (x, gamma, beta), dy)
    return Result(*(t.detach().numpy() for t in (y, dx, dgamma, dbeta, mean, var)))


@dataclasses.dataclass(frozen=True)
class Backend:
    """One of bnlib's backends on one device, behind one interface."""

    name: str  # the test id: numpy, torch, cuda, mps

    @property
    def is_torch(self):
        return self.name != "numpy"

    @property
    def device(self):
        """The device's name for torch: "cpu", "cuda" or "mps"."""
        return {"numpy": "cpu", "torch": "cpu"}.get(self.name, self.name)

    def supports(self, dtype):
        """Apple's GPUs have no float64."""
        return not (self.name == "mps" and np.dtype(dtype) == np.float64)

    def array(self, values):
        """A NumPy array as this backend's own: a fresh copy, on its device."""
        values = np.array(values, order="C")
        if not self.is_torch:
            return values
        import torch

        return torch.from_numpy(values).to(self.device)

    def numpy(self, values):
        """Back to NumPy."""
        return values.detach().cpu().numpy() if self.is_torch else np.asarray(values)

    def batch_norm(self, batch, *, training=True, momentum=0.1, eps=1e-5, axis=1):
        """One forward and one backward step of bnlib's batch_norm: a Result in NumPy.

        The batch itself stays as it is; the buffers after the step are in the Result.
        """
        if not self.is_torch:
            import bnlib.numpy

            x, gamma, beta, dy, mean, var = (np.array(a) for a in batch)
            y, cache = bnlib.numpy.batch_norm(
                x, gamma, beta, mean, var, training=training, momentum=momentum, eps=eps, axis=axis
            )
            return Result(y, *bnlib.numpy.batch_norm_backward(dy, cache), mean, var)

        import torch

        import bnlib.torch

        x, gamma, beta, dy, mean, var = (self.array(a) for a in batch)
        for leaf in (x, gamma, beta):
            leaf.requires_grad_()
        y = bnlib.torch.batch_norm(
            x.movedim(axis, 1), mean, var, gamma, beta, training, momentum, eps
        ).movedim(1, axis)
        grads = torch.autograd.grad(y, (x, gamma, beta), dy)
        return Result(*(self.numpy(t) for t in (y, *grads, mean, var)))


def _backends():
    names = ["numpy"]
    try:
        import torch
    except ImportError:
        return [
            Backend("numpy"),
            pytest.param(Backend("torch"), marks=pytest.mark.skip("no torch")),
        ]
    torch.set_num_threads(1)
    names += ["torch"]
    names += ["cuda"] if torch.cuda.is_available() else []
    names += ["mps"] if torch.backends.mps.is_available() else []
    return [Backend(name) for name in names]


def pytest_generate_tests(metafunc):
    """Parametrize `backend` here and not in the fixture: only such tests wait for torch."""
    if "backend" in metafunc.fixturenames:
        metafunc.parametrize("backend", _backends(), ids=lambda b: b.name)


@pytest.fixture(scope="session")
def draw():
    """draw(shape, *, seed=0, dtype=float64, axis=1, mean=0.0, std=1.0) -> Batch"""
    return draw_batch


@pytest.fixture(scope="session")
def oracle():
    """oracle(batch, *, training=True, momentum=0.1, eps=1e-5, axis=1) -> Result, float64"""
    pytest.importorskip("torch")
    return torch_oracle


@pytest.fixture
def rng():
    """A generator of its own for each test, always with the same seed."""
    return np.random.default_rng(0)


class ByLabel:
    """As a pandas Series whose index runs backwards: a[i] is the row labelled i."""

    def __init__(self, values):
        self.values = values

    def __len__(self):
        return len(self.values)

    def __getitem__(self, labels):
        return self.values[::-1][labels]

    def __array__(self, dtype=None, copy=None):
        return np.array(self.values, dtype)


@pytest.fixture
def table():
    """table(kind, array): its rows as a list, by label, as a table of pandas or a tensor."""

    def make(kind, a):
        if kind == "list":
            return a.tolist()
        if kind == "by label":
            return ByLabel(a)
        if kind == "torch":
            return pytest.importorskip("torch").from_numpy(a)
        pandas = pytest.importorskip("pandas")
        return (pandas.Series if a.ndim == 1 else pandas.DataFrame)(a, index=range(len(a))[::-1])

    return make


def pytest_collection_finish():
    """Ten thousand tests and the packages they need stay: no collection of garbage looks at them.

    fuse(), for one, asks for a collection, which took half a second before each of its tests.
    """
    gc.collect()
    gc.freeze()


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
    """Under --dist loadfile, treat each notebook's fresh run as a file: it takes as long as one."""
    if config.getvalue("dist") != "loadfile":
        return None
    from xdist.scheduler import LoadFileScheduling

    class Scheduling(LoadFileScheduling):
        def _split_scope(self, nodeid):
            _, _, case = nodeid.partition("::test_fresh_run[")
            return case.split("-")[0] if case else super()._split_scope(nodeid)

    return Scheduling(config, log)


@pytest.fixture(scope="session")
def data_script():
    """data_script("build_10_runs"): a script of data/, imported. They import each other."""

    def load(name):
        folder = Path(__file__).resolve().parents[1] / "data"
        path = list(sys.path)
        spec = importlib.util.spec_from_file_location(name, folder / f"{name}.py")
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        sys.path[:] = path
        return module

    return load
