"""bnlib.torch.SyncBatchNorm: several processes with a share each equal one with the whole batch.

One further process runs this file as a script: it starts the workers, 2 and 4 of them, connected by
gloo on this machine, and each writes down what it got. The tests compare that with
torch.nn.functional.batch_norm and autograd on the joint batch, in float64.
"""

import copy
import os
import socket
import subprocess
import sys

import pytest

torch = pytest.importorskip("torch")

import torch.distributed as dist  # noqa: E402
from torch import nn  # noqa: E402
from torch.nn import functional as F  # noqa: E402

import bnlib.torch  # noqa: E402
from bnlib.torch import SyncBatchNorm  # noqa: E402

torch.set_num_threads(1)

pytestmark = pytest.mark.skipif(
    not (dist.is_available() and dist.is_gloo_available()), reason="torch was built without gloo"
)

SHARES = {"uneven": (5, 3), "empty": (4, 0, 1, 7)}
CASES = {
    "rows": ((3,), torch.float64, 0.0, {}),
    "images": ((3, 4, 2), torch.float64, 5.0, {"momentum": None}),
    "bare": ((3, 2), torch.float64, 0.0, {"affine": False, "track_running_stats": False}),
    "far": ((3, 4, 2), torch.float32, 1e4, {}),
    "half": ((3, 4, 2), torch.bfloat16, 1.0, {}),
}


def joint_batches(case, total):
    """Three batches x with gradients dy, the same in each process."""
    shape, dtype, mean, _ = CASES[case]
    generator = torch.Generator().manual_seed(0)
    for _ in range(3):
        x, dy = torch.randn(2, total, *shape, generator=generator, dtype=torch.float64)
        yield (2 * x + mean).to(dtype), dy.to(dtype)


def layer_of(case):
    _, dtype, _, options = CASES[case]
    layer = SyncBatchNorm(3, dtype=None if dtype == torch.bfloat16 else dtype, **options)
    with torch.no_grad():
        for parameter, values in zip(layer.parameters(), ([0.5, -1, 2], [1, 2, 3]), strict=False):
            parameter.copy_(torch.tensor(values))
    return layer


def net(kind):
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 6), kind(6), nn.Tanh(), nn.Linear(6, 2)).double()


def net_data(total):
    generator = torch.Generator().manual_seed(1)
    return torch.randn(3, total, 4, generator=generator, dtype=torch.float64)


# ---- what the workers do


def share_of(t, rank, shares):
    start = sum(shares[:rank])
    return t[start : start + shares[rank]]


def shares_of_a_batch(rank, shares, case):
    layer, kept = layer_of(case), []
    for x, dy in joint_batches(case, sum(shares)):
        layer.zero_grad()
        x = share_of(x, rank, shares).clone().requires_grad_()
        y = layer(x)
        y.backward(share_of(dy, rank, shares))
        kept.append([y.detach(), x.grad, *(p.grad.clone() for p in layer.parameters())])
    return {"steps": kept, "state": layer.state_dict()}


def channels_last(rank, shares):
    x = torch.randn(shares[rank], 3, 4, 4).contiguous(memory_format=torch.channels_last)
    return SyncBatchNorm(3)(x).is_contiguous(memory_format=torch.channels_last)


def data_parallel(rank, shares):
    model = SyncBatchNorm.convert_sync_batchnorm(net(nn.BatchNorm1d))
    model = nn.parallel.DistributedDataParallel(model)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for batch in net_data(sum(shares)):
        optimizer.zero_grad()
        # DistributedDataParallel averages over the processes
        loss = model(share_of(batch, rank, shares)).square().sum() * len(shares) / sum(shares)
        loss.backward()
        optimizer.step()
    return model.module.state_dict()


def in_two_groups(rank, shares):
    groups = [dist.new_group([0, 1]), dist.new_group([2, 3])]
    layer = SyncBatchNorm(3, process_group=groups[rank // 2])
    x = next(joint_batches("rows", 8))[0].float()
    return layer(x[2 * rank : 2 * rank + 2]).detach()


def one_value_in_all(rank, shares):
    layer = SyncBatchNorm(3)
    try:
        layer(torch.randn(int(rank == 0), 3))
    except ValueError as error:
        return str(error), layer.state_dict()


def nothing_in_all(rank, shares):
    layer = SyncBatchNorm(3)
    layer(torch.empty(0, 3)).sum().backward()
    return layer.running_mean, layer.running_var, layer.weight.grad


def one_process_in_evaluation(rank, shares):
    return None if rank else SyncBatchNorm(3).eval()(torch.ones(2, 3))


def work(rank, name, folder):
    torch.set_num_threads(1)
    shares, results = SHARES[name], {}
    dist.init_process_group(
        "gloo", init_method=f"file://{folder}/{name}", rank=rank, world_size=len(shares)
    )
    for case in CASES:
        results[case] = shares_of_a_batch(rank, shares, case)
    tasks = [channels_last, data_parallel, one_value_in_all, nothing_in_all]
    tasks += [one_process_in_evaluation] + ([in_two_groups] if len(shares) == 4 else [])
    for task in tasks:
        results[task.__name__] = task(rank, shares)
    dist.barrier()
    dist.destroy_process_group()
    torch.save(results, os.path.join(folder, f"{name}-{rank}.pt"))


def main(folder):
    import torch._dynamo  # DistributedDataParallel's: imported once, before the processes part

    # a fork costs no second import of torch; nothing here has started a thread yet
    method = "fork" if sys.platform == "linux" else "spawn"
    for name, shares in SHARES.items():
        torch.multiprocessing.start_processes(
            work, args=(name, folder), nprocs=len(shares), start_method=method
        )


# ---- what the tests ask


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """results[name][rank]: what each worker of SHARES[name] wrote down."""
    folder = tmp_path_factory.mktemp("workers")
    done = subprocess.run(
        [sys.executable, __file__, str(folder)],
        capture_output=True,
        text=True,
        timeout=300,
        env={**os.environ, "OMP_NUM_THREADS": "1", **loopback()},
    )
    assert done.returncode == 0, done.stderr
    return {
        name: [torch.load(folder / f"{name}-{rank}.pt") for rank in range(len(shares))]
        for name, shares in SHARES.items()
    }


def loopback():
    """Keep gloo on this machine, where it can be told to."""
    names = [name for _, name in socket.if_nameindex()] if hasattr(socket, "if_nameindex") else []
    here = [name for name in names if name in ("lo", "lo0")]
    return {"GLOO_SOCKET_IFNAME": here[0]} if here else {}


def one_process(case, total):
    """torch's own batch norm on the joint batch, in float64: results of each step, buffers."""
    layer = layer_of(case).double()
    plain = nn.BatchNorm1d(3, eps=layer.eps, momentum=layer.momentum, affine=layer.affine,
                           track_running_stats=layer.track_running_stats).double()  # fmt: skip
    plain.load_state_dict(layer.state_dict())
    plain._check_input_dim = lambda x: None
    steps = []
    for x, dy in joint_batches(case, total):
        plain.zero_grad()
        x = x.double().requires_grad_()
        y = plain(x)
        y.backward(dy.double())
        steps.append([y.detach(), x.grad, *(p.grad.clone() for p in plain.parameters())])
    return steps, plain.state_dict()


TOLERANCE = {torch.float64: 1e-10, torch.float32: 1e-5, torch.bfloat16: 0.04}


@pytest.mark.parametrize("name", SHARES)
@pytest.mark.parametrize("case", CASES)
def test_shares_equal_one_process_on_the_joint_batch(results, name, case):
    steps, state = one_process(case, sum(SHARES[name]))
    tolerance = TOLERANCE[CASES[case][1]]
    shares = [r[case] for r in results[name]]
    for i, (y, dx, *parameters) in enumerate(steps):
        of_all = [share["steps"][i] for share in shares]
        got = [torch.cat([s[k] for s in of_all]).double() for k in (0, 1)]
        got += [sum(s[k].double() for s in of_all) for k in range(2, 2 + len(parameters))]
        for a, b in zip(got, [y, dx, *parameters], strict=True):
            torch.testing.assert_close(a, b, rtol=tolerance, atol=tolerance)
    for share in shares:
        assert list(share["state"]) == list(state)
        for key, value in state.items():
            rtol = max(tolerance, 1e-7) if tolerance < 0.01 else 1e-5
            torch.testing.assert_close(
                share["state"][key].double(), value.double(), rtol=rtol, atol=tolerance
            )


def test_shares_on_their_own_do_not():
    steps, _ = one_process("rows", 8)
    x, _ = next(joint_batches("rows", 8))
    layer = layer_of("rows")
    with pytest.raises(AssertionError):
        torch.testing.assert_close(torch.cat([layer(x[:5]), layer(x[5:])]), steps[0][0])


@pytest.mark.parametrize("name", SHARES)
def test_far_from_zero_float32_keeps_its_digits(results, name):
    steps, _ = one_process("far", sum(SHARES[name]))
    for i, (y, dx, *_) in enumerate(steps):
        for k, want in enumerate((y, dx)):
            got = torch.cat([r["far"]["steps"][i][k] for r in results[name]])
            assert (got.double() - want).abs().max() < 5e-6


@pytest.mark.parametrize("name", SHARES)
def test_data_parallel_training_equals_one_process(results, name):
    shares = SHARES[name]
    model = net(nn.BatchNorm1d)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for batch in net_data(sum(shares)):
        optimizer.zero_grad()
        (model(batch).square().sum() / sum(shares)).backward()
        optimizer.step()
    for result in results[name]:
        for key, value in model.state_dict().items():
            torch.testing.assert_close(result["data_parallel"][key], value, rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("name", SHARES)
def test_one_value_in_all_shares_is_refused_by_each_and_changes_nothing(results, name):
    for result in results[name]:
        text, state = result["one_value_in_all"]
        assert text.startswith("Expected more than 1 value per channel when training")
        assert not state["running_mean"].any()
        assert state["num_batches_tracked"] == 0


@pytest.mark.parametrize("name", SHARES)
def test_empty_shares_alone_leave_the_statistics(results, name):
    for result in results[name]:
        mean, var, gradient = result["nothing_in_all"]
        assert torch.equal(mean, torch.zeros(3))
        assert torch.equal(var, torch.ones(3))
        assert torch.equal(gradient, torch.zeros(3))


def test_a_process_group_shares_within_itself_only(results):
    x = next(joint_batches("rows", 8))[0].float()
    want = torch.cat([F.batch_norm(half, None, None, training=True) for half in x.split(4)])
    got = torch.cat([r["in_two_groups"] for r in results["empty"]])
    torch.testing.assert_close(got, want, rtol=1e-5, atol=1e-5)


def test_channels_last_stays(results):
    assert all(result["channels_last"] for rows in results.values() for result in rows)


def test_evaluation_asks_no_other_process(results):
    y = results["uneven"][0]["one_process_in_evaluation"]
    torch.testing.assert_close(y, torch.ones(2, 3), rtol=1e-4, atol=1e-4)


# ---- in one process


def test_alone_it_is_plain_batch_norm():
    layer, plain = SyncBatchNorm(3), nn.BatchNorm2d(3)
    x = torch.randn(4, 3, 5, 5)
    torch.testing.assert_close(layer(x), plain(x), rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(layer.running_var, plain.running_var)


def test_constructor_is_torchs():
    import inspect

    ours, theirs = (inspect.signature(k.__init__) for k in (SyncBatchNorm, nn.SyncBatchNorm))
    assert list(ours.parameters) == list(theirs.parameters)
    assert repr(SyncBatchNorm(3, momentum=None)) == repr(nn.SyncBatchNorm(3, momentum=None))


def test_distributed_data_parallel_would_refuse_a_subclass_of_torchs():
    assert not issubclass(SyncBatchNorm, nn.SyncBatchNorm)
    assert issubclass(SyncBatchNorm, nn.modules.batchnorm._BatchNorm)


def test_checkpoints_load_both_ways():
    ours, theirs = SyncBatchNorm(3), nn.SyncBatchNorm(3)
    ours(torch.randn(5, 3))
    theirs.load_state_dict(ours.state_dict())
    ours.load_state_dict(theirs.state_dict())
    assert torch.equal(ours.running_var, theirs.running_var)


@pytest.mark.parametrize(
    ("shape", "words"), [((3,), "expected at least 2D input"), ((4, 0), "should be non-zero")]
)
def test_errors_are_torchs(shape, words):
    texts = []
    for kind in (SyncBatchNorm, nn.SyncBatchNorm):
        with pytest.raises(ValueError, match=words) as refusal:
            kind(3)(torch.randn(shape))
        texts.append(str(refusal.value))
    assert texts[0] == texts[1]


def test_convert_sync_batchnorm_keeps_what_the_model_knows():
    model = nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3, momentum=None, eps=1e-3), nn.ReLU())
    model(torch.randn(5, 4))
    twin, parameters = copy.deepcopy(model), list(model.parameters())
    converted = SyncBatchNorm.convert_sync_batchnorm(model.eval())
    assert converted is model
    assert type(model[1]) is SyncBatchNorm
    assert (model[1].momentum, model[1].eps, model[1].training) == (None, 1e-3, False)
    assert all(a is b for a, b in zip(parameters, model.parameters(), strict=True))
    x = torch.randn(5, 4)
    torch.testing.assert_close(model(x), twin.eval()(x), rtol=1e-5, atol=1e-5)


def test_convert_sync_batchnorm_takes_a_layer_ours_and_torchs():
    for layer in (bnlib.torch.BatchNorm2d(3), nn.BatchNorm3d(3), nn.SyncBatchNorm(3)):
        assert type(SyncBatchNorm.convert_sync_batchnorm(layer)) is SyncBatchNorm


def test_convert_sync_batchnorm_leaves_subclasses_alone():
    class Activated(nn.BatchNorm1d):
        def forward(self, input):
            return super().forward(input).relu()

    model, x = nn.Sequential(Activated(3), nn.BatchNorm1d(3)), torch.randn(5, 3)
    want = copy.deepcopy(model)(x)
    with pytest.warns(UserWarning, match=r"not synchronized, .*: Activated '0'$"):
        SyncBatchNorm.convert_sync_batchnorm(model)
    assert [type(layer) for layer in model] == [Activated, SyncBatchNorm]
    torch.testing.assert_close(model(x), want, rtol=1e-5, atol=1e-5)


def test_convert_sync_batchnorm_leaves_lazy_layers_to_their_first_batch():
    layer = nn.LazyBatchNorm1d()
    assert type(SyncBatchNorm.convert_sync_batchnorm(layer)) is nn.LazyBatchNorm1d
    layer(torch.randn(5, 3))
    assert type(layer) is SyncBatchNorm
    assert layer.process_group is None


if __name__ == "__main__":
    main(sys.argv[1])
