"""bnlib.torch.convert, fuse and recompute_statistics."""

import copy
import pickle

import pytest

torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402

import bnlib.torch  # noqa: E402
from bnlib.torch import convert  # noqa: E402

KINDS = ["BatchNorm1d", "BatchNorm2d", "BatchNorm3d"]


def trained(model, seed=0):
    """The model with parameters and statistics that no two channels share, in float64."""
    generator = torch.Generator().manual_seed(seed)
    for name, tensor in model.double().state_dict().items():
        if tensor.is_floating_point():
            values = torch.randn(tensor.shape, generator=generator, dtype=torch.float64)
            tensor.copy_(values.abs() + 0.5 if name.endswith("running_var") else values)
    return model


# ---- convert


@pytest.mark.parametrize("kind", KINDS)
def test_convert_replaces_the_root(kind):
    assert type(convert(getattr(nn, kind)(3))) is getattr(bnlib.torch, kind)


def test_convert_replaces_at_every_depth_in_place():
    model = nn.Sequential(
        nn.BatchNorm2d(3), nn.ModuleDict({"a": nn.ModuleList([nn.BatchNorm1d(3)])})
    )
    assert convert(model) is model
    kinds = [type(m) for m in model.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
    assert kinds == [bnlib.torch.BatchNorm2d, bnlib.torch.BatchNorm1d]


def test_convert_keeps_the_tensors():
    layer = nn.BatchNorm2d(3)
    before = dict(layer.named_parameters()) | dict(layer.named_buffers())
    after = dict(convert(layer).named_parameters()) | dict(layer.named_buffers())
    assert before.keys() == after.keys()
    assert all(before[name] is after[name] for name in before)


def test_convert_keeps_sharing():
    shared = nn.BatchNorm1d(3)
    model = convert(nn.Sequential(shared, nn.ReLU(), shared))
    assert model[0] is model[2]


def test_convert_keeps_settings_modes_and_hooks():
    layer = nn.BatchNorm1d(3, eps=1e-3, momentum=None, affine=False, dtype=torch.float64).eval()
    calls = []
    layer.register_forward_hook(lambda *_: calls.append(1))
    repr_before = repr(layer)
    convert(layer)(torch.randn(4, 3, dtype=torch.float64))
    assert calls == [1]
    assert repr(layer) == repr_before
    assert not layer.training
    assert layer.running_mean.dtype == torch.float64


def test_convert_keeps_the_device():
    layer = convert(nn.BatchNorm2d(3, device="meta"))
    assert layer.weight.device.type == layer.running_mean.device.type == "meta"


@pytest.mark.parametrize("training", [True, False])
def test_convert_does_not_change_results(training):
    model = trained(nn.Sequential(nn.Conv2d(2, 3, 3), nn.BatchNorm2d(3), nn.ReLU()))
    model.train(training)
    ours, x = convert(copy.deepcopy(model)), torch.randn(4, 2, 6, 6, dtype=torch.float64)
    torch.testing.assert_close(ours(x), model(x), rtol=1e-10, atol=1e-12)
    for name, tensor in model.state_dict().items():
        torch.testing.assert_close(ours.state_dict()[name], tensor, rtol=1e-10, atol=1e-12)


def test_convert_leaves_subclasses_alone():
    class Own(nn.BatchNorm1d):
        def forward(self, input):
            return input

    assert type(convert(nn.Sequential(Own(3)))[0]) is Own


def test_convert_twice_is_convert_once():
    assert type(convert(convert(nn.BatchNorm1d(3)))) is bnlib.torch.BatchNorm1d


def test_lazy_ones_become_ours_at_the_first_batch():
    model = convert(nn.Sequential(nn.LazyBatchNorm2d()))
    assert model(torch.randn(4, 3, 2, 2)).shape == (4, 3, 2, 2)
    assert type(model[0]) is bnlib.torch.BatchNorm2d


def test_a_converted_model_copies_and_pickles():
    model = convert(nn.Sequential(nn.BatchNorm1d(3)))
    for twin in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        assert type(twin[0]) is bnlib.torch.BatchNorm1d


def test_convert_refuses_what_is_no_module():
    with pytest.raises(TypeError, match=r"model is of type function.*torch\.nn\.Module"):
        convert(lambda x: x)
