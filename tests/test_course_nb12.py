"""Notebook 12: its processes end whatever happens, its nets do what the page says, its runs are
the script's, its pictures are true.

BNLIB_REPEATS=20 starts and kills processes 20 times in a row instead of twice.
"""

import ast
import inspect
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.distributed as dist
from numpy.testing import assert_allclose
from torch import nn
from torch.nn.functional import cross_entropy

import bnlib.torch as bt
from bnlib.course import nb12
from bnlib.course.kit.asking import find
from bnlib.course.nb12 import exercises, nets, processes
from bnlib.course.nb12.processes import RankDied, RanksHang, launch

ROOT = Path(__file__).resolve().parents[1]
REPEATS = int(os.environ.get("BNLIB_REPEATS", 2))
LINUX = sys.platform.startswith("linux")
torch.set_num_threads(1)


def cells():
    """The source of each cell of the notebook."""
    raw = (ROOT / "notebooks" / "12_many_devices.ipynb").read_text(encoding="utf-8")
    return ["".join(cell["source"]) for cell in json.loads(raw)["cells"]]


# ── processes ───────────────────────────────────────────────────────────────────────────────────

ENDS = 'import os, signal, sys, time\nrank = int(os.environ["RANK"])\n'
WAITS = "time.sleep(300)\n"  # a rank that waits for another
CONNECTED = """
import datetime, os, signal, time, torch, torch.distributed as dist
dist.init_process_group("gloo", timeout=datetime.timedelta(seconds=300))
rank = dist.get_rank()
"""
MEETS = "dist.all_reduce(torch.ones(1))\n"


def listening(port=None):
    """Where this process listens, and where anybody does at the port: Linux's own list."""
    inodes = set()
    for fd in os.listdir("/proc/self/fd"):
        try:
            inodes.add(os.readlink(f"/proc/self/fd/{fd}").strip("socket:[]"))
        except OSError:
            pass  # closed meanwhile
    rows = []
    for name in ("tcp", "tcp6"):
        with open(f"/proc/net/{name}") as file:
            rows += [row for line in file if (row := line.split())[3] == "0A"]  # 0A: it listens
    return [row[1] for row in rows if row[9] in inodes or row[1].endswith(f":{port}")]


def gone(pid):
    """Has the process ended? One that nobody has asked for its exit code yet has, too."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    if not LINUX:
        return False
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


@pytest.fixture
def started(monkeypatch):
    """The processes that launch() has started, as they come."""
    found, start = [], processes._start

    def kept(*args):
        found.append(start(*args))
        return found[-1]

    monkeypatch.setattr(processes, "_start", kept)
    return found


@pytest.fixture
def port(monkeypatch):
    """The port at which the last launch met: [number]."""
    seen, store = [], processes._store

    def kept():
        made = store()
        seen[:] = [made.port]
        return made

    monkeypatch.setattr(processes, "_store", kept)
    return seen


def closed(port):
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) != 0


def test_launch_sets_what_torchrun_sets():
    names = ["RANK", "LOCAL_RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE", "MASTER_ADDR"]
    found = launch(f"import os; print(*[os.environ[name] for name in {names}])", 3)
    assert [rank.printed.split() for rank in found] == [
        [str(rank), str(rank), "3", "3", "127.0.0.1"] for rank in range(3)
    ]


@pytest.mark.parametrize(("gpus", "wanted"), [(4, "nccl"), (3, "gloo")])
def test_the_notebooks_script_asks_for_one_gpu_a_rank_of_this_machine(monkeypatch, gpus, wanted):
    (start,) = (c for c in cells() if c.startswith('start = """'))
    chosen, told = [], {"RANK": 5, "WORLD_SIZE": 8, "LOCAL_RANK": 1, "LOCAL_WORLD_SIZE": 4}
    for name, value in told.items():
        monkeypatch.setenv(name, str(value))
    monkeypatch.setattr(torch.cuda, "device_count", lambda: gpus)
    monkeypatch.setattr(dist, "init_process_group", chosen.append)
    exec(ast.literal_eval(start.partition("= ")[2]), {})
    assert chosen == [wanted]


def test_launch_brings_back_what_each_rank_saved():
    script = ENDS + (
        'import torch\ngiven = torch.load("given.pt", weights_only=False)\n'
        'if rank: torch.save(given["x"] + rank, f"rank{rank}.pt")\n'
    )
    saved = [rank.saved for rank in launch(script, 2, x=torch.ones(2))]
    assert saved[0] is None
    assert saved[1].tolist() == [2, 2]


@pytest.mark.skipif(not LINUX, reason="reads Linux's own list")
def test_ranks_meet_on_this_machine_alone():
    """No rank listens but at 127.0.0.1, nor does anybody at the port where they meet."""
    script = CONNECTED + MEETS + inspect.getsource(listening) + (
        'found = listening(f"{int(os.environ[\'MASTER_PORT\']):04X}")\n'
        'torch.save(found, f"rank{rank}.pt")\n'
    ) + MEETS  # fmt: skip
    for rank in launch(script, 2):
        assert len(rank.saved) >= 2  # its own, and the launcher's
        assert {place.split(":")[0] for place in rank.saved} == {"0100007F"}  # 127.0.0.1


@pytest.mark.skipif(not LINUX, reason="reads Linux's own list")
def test_listening_sees_a_port_that_is_open():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        mine = f"0100007F:{listener.getsockname()[1]:04X}"
        assert mine in listening()
    assert mine not in listening()


def test_a_killed_rank_is_named_and_the_others_are_ended(port, started):
    script = CONNECTED + (
        'print("to be killed" if rank == 1 else "waits")\n'
        "if rank == 1: os.kill(os.getpid(), signal.SIGKILL)\n"
    ) + MEETS  # fmt: skip
    with pytest.raises(RankDied) as died:
        launch(script, 2, seconds=200)
    assert died.value.rank == 1
    assert "rank 1 of 2 died (killed by SIGKILL); the others were ended" in str(died.value)
    assert "to be killed" in died.value.printed
    assert all(gone(process.pid) for process in started)
    assert closed(port[0])


def test_a_rank_with_an_error_is_named_with_its_last_words(started):
    script = ENDS + 'if rank == 2: raise ValueError("no digits")\n' + WAITS
    with pytest.raises(RankDied, match="rank 2 of 3 died") as died:
        launch(script, 3)
    assert str(died.value).endswith("ValueError: no digits")
    assert all(gone(process.pid) for process in started)


def hang(script, ranks, last_line, limits):
    """Launch a script that hangs; with more time if no rank got to that line."""
    for seconds in limits:
        start = time.monotonic()
        with pytest.raises(RanksHang) as hanging:
            launch(script, ranks, seconds=seconds)
        assert time.monotonic() - start < seconds + 15
        if last_line in str(hanging.value):
            break
    return hanging.value


def test_ranks_that_hang_in_a_collective_are_ended_in_time(port, started):
    script = CONNECTED + "if rank == 1: time.sleep(300)\n" + MEETS
    hanging = hang(script, 2, MEETS.strip(), (4, 40, 120))
    assert hanging.ranks == [0, 1]
    assert "rank 0 at line 6, `dist.all_reduce(torch.ones(1))`" in str(hanging)
    assert all(gone(process.pid) for process in started)
    assert closed(port[0])


def test_ranks_that_hang_say_where():
    script = ENDS + f"def wait():\n    {WAITS}if rank == 0:\n    wait()\nif rank == 2:\n    {WAITS}"
    said = str(hang(script, 3, "line 8", (1, 10, 60)))
    assert "rank 0 at line 4, `time.sleep(300)`; rank 2 at line 8, `time.sleep(300)`" in said
    assert said.startswith("not done after ")


def test_a_rank_that_leaves_early_lets_the_others_finish():
    found = launch(ENDS + 'if rank: time.sleep(0.3)\nprint("done")\n', 2)
    assert [rank.printed for rank in found] == ["done\n", "done\n"]


@pytest.fixture
def launcher(tmp_path):
    """Another process that launches two ranks which wait: (process, the ranks' ids)."""
    script = ENDS + (
        f"with open(os.path.join({str(tmp_path)!r}, str(rank)), 'w') as file:\n"
        "    file.write(str(os.getpid()))\n"
    ) + WAITS  # fmt: skip
    code = f"from bnlib.course.nb12.processes import launch; launch({script!r}, 2)"
    process = subprocess.Popen(
        [sys.executable, "-c", code], env=os.environ | {"PYTHONPATH": str(ROOT)},
        stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    files = [tmp_path / str(rank) for rank in range(2)]
    wait_for(lambda: all(file.exists() and file.read_text() for file in files))
    yield process, [int(file.read_text()) for file in files]
    process.kill()
    process.communicate()


def test_ranks_end_when_the_launcher_is_killed(launcher):
    process, ranks = launcher
    assert not any(map(gone, ranks))
    process.kill()
    wait_for(lambda: all(map(gone, ranks)))


@pytest.mark.skipif(os.name != "posix", reason="sends a signal")
def test_ranks_end_on_ctrl_c(launcher):
    process, ranks = launcher
    process.send_signal(signal.SIGINT)
    assert "KeyboardInterrupt" in process.communicate(timeout=300)[1]
    assert all(map(gone, ranks))


def wait_for(condition, seconds=300):
    limit = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < limit
        time.sleep(0.05)


def test_much_output_stops_no_rank():
    found = launch('print("x" * 1_000_000)', 2)
    assert [len(rank.printed) for rank in found] == [1_000_001] * 2


@pytest.mark.parametrize("ranks", [0, -1, 1.5, "2"])
def test_impossible_numbers_of_ranks_raise(ranks):
    with pytest.raises(ValueError, match="ranks is"):
        launch("", ranks)


def test_nothing_is_left_behind_run_after_run(port, started, tmp_path, monkeypatch):
    """Runs that end well, with a death and with a hang, one after the other; see REPEATS."""
    monkeypatch.setattr(processes.tempfile, "tempdir", str(tmp_path))
    before = listening() if LINUX else []
    for _ in range(REPEATS):
        launch(CONNECTED + MEETS, 2)
        assert closed(port[0])
        for script, seconds, error in [
            (ENDS + "if rank: os._exit(3)\n" + WAITS, 200, RankDied),
            (ENDS + WAITS, 1.0, RanksHang),
        ]:
            with pytest.raises(error):
                launch(script, 2, seconds=seconds)
            assert closed(port[0])
        assert not list(tmp_path.iterdir())
    assert len(started) == 6 * REPEATS
    assert all(gone(process.pid) for process in started)
    assert (listening() if LINUX else []) == before


# ── what travels ────────────────────────────────────────────────────────────────────────────────

COUNTED = """
import torch, torch.distributed as dist
dist.init_process_group("gloo")
sent = []
def counted(function):
    def call(*args, **kwargs):
        tensor = args[1] if function is gather else args[0]
        sent.append(tensor.numel() * tensor.element_size())
        return function(*args, **kwargs)
    return call
gather, reduce = dist.all_gather, dist.all_reduce
dist.all_gather, dist.all_reduce = counted(gather), counted(reduce)
model = torch.load("given.pt", weights_only=False)["model"]
model(torch.randn(4, 1, 28, 28)).sum().backward()
torch.save(sent, f"rank{dist.get_rank()}.pt")
"""


def test_bytes_of_synchronizing_are_those_that_are_sent():
    model = bt.SyncBatchNorm.convert_sync_batchnorm(nets.net("conv"))
    sent = launch(COUNTED, 2, model=model)[0].saved
    assert len(sent) == 2 * len(nets.WIDTHS)
    assert sum(sent) == nets.bytes_of_synchronizing(model) == 2100


def test_bytes_of_gradients_count_every_parameter():
    assert nets.bytes_of_gradients(nn.Linear(3, 4)) == 4 * 16


# ── nets ────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def images():
    return torch.randn(12, 1, 28, 28, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("kind", nets.NETS)
@pytest.mark.parametrize("devices", [1, 3])
def test_net_reads_digits(kind, devices, images):
    model = nets.net(kind, devices)
    assert model(images).shape == (12, 10)
    assert nets.kind_of(model) == kind


def test_nets_of_one_seed_have_the_same_weights():
    one, many = (nets.net(devices=k, seed=3).state_dict() for k in (1, 4))
    assert list(one) == list(many)
    assert all(torch.equal(one[name], many[name]) for name in one)


def test_net_without_norm_has_biases(images):
    assert not nets.norms_of(nets.net("conv", norm=False))
    assert all(layer.bias is not None for layer in nets.net(norm=False) if hasattr(layer, "bias"))


@pytest.mark.parametrize(("kind", "shape"), [(nets.Ghost1d, ()), (nets.Ghost2d, (5, 2))])
def test_ghost_normalizes_each_share_by_itself(kind, shape):
    x = torch.randn(12, 3, *shape, dtype=torch.float64)
    wanted = [nn.functional.batch_norm(part, None, None, training=True) for part in x.split(4)]
    assert_allclose(kind(3, 3).double()(x).detach(), torch.cat(wanted), atol=1e-10)


def test_ghost_keeps_the_first_shares_statistics():
    x = torch.randn(12, 3)
    ghost, first = nets.Ghost1d(3, 3), nn.BatchNorm1d(3)
    ghost(x)
    first(x[:4])
    assert_allclose(ghost.running_mean, first.running_mean, atol=1e-6)
    assert_allclose(ghost.running_var, first.running_var, atol=1e-6)


def test_with_statistics_reads_a_ghost_net_by_all(images):
    model, ten = nets.net(devices=3), images[:10]
    model(ten)
    read = nets.with_statistics(model, ten.repeat(5, 1, 1, 1))  # one batch of 50
    assert type(nets.norms_of(read)[0]) is bt.BatchNorm1d
    assert torch.equal(*(nets.parameters_of(m.state_dict()) for m in (read, model)))
    wanted = model[:2](ten).mean(0).detach()
    assert_allclose(nets.norms_of(read)[0].running_mean, wanted, atol=1e-5)


def test_accumulated_gradient_without_norm_is_that_of_the_whole(images):
    model, y = nets.net(norm=False).double(), torch.arange(12) % 10
    whole, parts = (nets.gradient(model, images.double(), y, k) for k in (1, 3))
    assert_allclose(parts, whole, atol=1e-12)


def test_gradient_matches_autograd(images):
    model, y = nets.net().double(), torch.arange(12) % 10
    found = nets.gradient(model, images.double(), y)
    wanted = torch.autograd.grad(cross_entropy(model(images.double()), y), [*model.parameters()])
    assert_allclose(found, torch.cat([g.flatten() for g in wanted]), atol=1e-12)


def test_pairs_hold_a_small_and_a_large_digit():
    y = torch.tensor([7, 1, 0, 5, 9, 2, 3])
    pairs, labels = nets.pairs_by_class(y[:, None] * 10, y)
    assert labels.tolist() == [[1, 7], [0, 5], [2, 9]]
    assert torch.equal(pairs[..., 0], 10 * labels)


def test_halves_gives_first_ones_first():
    pairs = torch.arange(6).view(3, 2, 1)
    assert nets.Halves(nn.Identity())(pairs).flatten().tolist() == [0, 2, 4, 1, 3, 5]
    labels = torch.tensor([[0, 1], [0, 1], [0, 1]])
    logits = torch.tensor([[9.0, 0]] * 3 + [[0, 9.0]] * 3)
    assert nets.loss_of_halves(logits, labels) < 0.01


# ── exercises ───────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("cuts", [[5, 7], [4, 0, 1, 7], [12]], ids=str)
def test_combine_is_the_joint_batch(cuts):
    x = torch.randn(12, 3, dtype=torch.float64) + torch.arange(12)[:, None]
    m, mean, M2 = exercises.combine([exercises._triple(part) for part in x.split(cuts)])
    assert m == 12
    assert_allclose(mean, x.mean(0))
    assert_allclose(M2 / m, x.var(0, correction=0))


def test_combine_can_be_combined_again():
    x = torch.randn(12, 3, dtype=torch.float64)
    triples = [exercises._triple(part) for part in x.split(3)]
    twice = exercises.combine([exercises.combine(triples[:2]), exercises.combine(triples[2:])])
    for a, b in zip(twice, exercises.combine(triples), strict=True):
        assert_allclose(a, b)


def test_combine_through_squares_of_means_is_told_where_it_fails():
    def through_squares(shares):
        m = sum(share[0] for share in shares)
        mean = sum(m_k * mean_k for m_k, mean_k, _ in shares) / m
        return m, mean, sum(M2 + m_k * mean_k**2 for m_k, mean_k, M2 in shares) - m * mean**2

    assert "mean 10,000" in find("12.1").check(through_squares).text


def test_bytes_a_step_agree_with_the_nets():
    model = nn.Sequential(*[bt.BatchNorm1d(C) for C in (64, 128, 256)])
    assert exercises.bytes_a_step() == nets.bytes_of_synchronizing(model)


def test_weighted_shares_add_up_to_the_joint_mean():
    loss, rows = torch.randn(16), [13, 3]
    of_ranks = [exercises.weighted(p.mean(), rows, i) for i, p in enumerate(loss.split(rows))]
    assert_allclose(sum(of_ranks) / 2, loss.mean(), rtol=1e-5)


@pytest.mark.parametrize(
    ("cuts", "far", "word"),
    [
        ([4, 4], 0, "same weight"),
        ([6, 2], 0, "one share is empty"),
        ([6, 0, 2], 0, "far from 0"),
    ],
)
def test_weak_tests_of_a_layer_are_told_what_slips_through(cuts, far, word):
    def test(normalize):
        x = torch.randn(8, 3) + far
        x[:2] += 3
        wanted = bt.batch_norm(x, None, None, training=True)
        return torch.allclose(torch.cat(normalize(x.split(cuts))), wanted, atol=0.01)

    verdict = find("12.5").check(test)
    assert verdict.status == "not yet"
    assert word in verdict.text


def test_shares_far_apart_are_told_that_they_hide_the_fault():
    def test(normalize):
        x = torch.randn(12, 3) + 1000 + 100 * torch.arange(4).repeat_interleave(3)[:, None]
        wanted = bt.batch_norm(x, None, None, training=True)
        return torch.allclose(torch.cat(normalize(x.split([5, 0, 4, 3]))), wanted, atol=0.01)

    assert "compared with the spread of the whole batch" in find("12.5").check(test).text


# ── pictures and the explorer ───────────────────────────────────────────────────────────────────


@pytest.fixture
def runs():
    return nb12.stored_runs()


def test_share_means_are_drawn_where_they_are(rng):
    values = rng.normal(size=16)
    ax = nb12.plot_shares(values, devices=4)
    dots = next(line for line in ax.lines if line.get_marker() == "o")
    assert_allclose(dots.get_xdata(), values.reshape(4, 4).mean(axis=1))
    assert_allclose(ax.lines[0].get_xdata(), values.mean())


def test_devices_plot_draws_the_medians(runs):
    mlp, conv = (nb12.at_best_rate(runs, kind) for kind in ("mlp", "conv"))
    axes = nb12.plot_devices(mlp, conv, runs["batches"], runs["devices"])
    for line, values in zip(axes[0].lines, mlp, strict=True):
        assert_allclose(line.get_ydata(), np.median(values, axis=-1))


def test_at_best_rate_takes_the_highest_median():
    accuracy = np.zeros((1, 2, 2, 3, 1))
    accuracy[0, 0, 1], accuracy[0, 1, 0] = 0.5, 0.7
    found = nb12.at_best_rate({"mlp_accuracy": accuracy}, "mlp")
    assert found[..., 0].tolist() == [[0.5, 0.7]]


def test_lost_to_two_is_one_device_less_the_most_devices():
    accuracy = np.zeros((1, 2, 1, 3, 2))
    accuracy[0, 0], accuracy[0, 1, ..., 1] = 0.9, 0.7
    runs = {"longer_accuracy": accuracy, "longer_steps": np.array([500, 2000])}
    assert_allclose(nb12.lost_to_two(runs, "longer"), [[0.9] * 3, [0.2] * 3])


@pytest.mark.parametrize("devices", [1, 8])
@pytest.mark.parametrize("net", ["MLP", "convolutional net"])
def test_explorer_tells_the_medians_of_the_runs(runs, rng, devices, net):
    explorer = nb12.ManyDevices(runs, rng.normal(size=(4, 64)), devices=devices, net=net, batch=16)
    kind = {"MLP": "mlp"}.get(net, "conv")
    middle = np.median(nb12.at_best_rate(runs, kind), axis=-1)[0, [1, 2, 4, 8].index(devices)]
    assert f"{middle:.2f} of the test digits" in explorer.state_text
    assert f"{16 // devices} digits" in explorer.state_text


def test_every_figure_says_what_it_shows(runs, rng):
    mlp, conv = (nb12.at_best_rate(runs, kind) for kind in ("mlp", "conv"))
    for thing in (
        nb12.plot_shares(rng.normal(size=16)),
        nb12.plot_points_lost({"MLP": np.array([[0.1, 0.2]])}, {"MLP": [500]}),
        nb12.plot_strips(nb12.split_at_best_rate(runs), xlabel="share"),
        *nb12.plot_devices(mlp, conv, runs["batches"], runs["devices"]),
    ):
        assert re.search(r"\d", thing.bn_alt)


# ── stored runs ─────────────────────────────────────────────────────────────────────────────────


@pytest.fixture(scope="module")
def build(data_script):
    return data_script("build_12_runs")


def test_short_runs_repeat_the_stored_ones(build, runs):
    short = build.train("conv", 16, 8, 0.3, seed=0, steps=(100,))
    assert_allclose(short["accuracy"][0], runs["conv_accuracy"][0, 3, 0, 0, 0], atol=0.08)
    assert_allclose(  # the MLP of longer runs is, at first, that of the short ones
        runs["longer_accuracy"][0, ..., 0], runs["mlp_accuracy"][0, [0, 3], ..., 0], atol=0.03
    )
    split = build.train_split("by class", "not synchronized", 0.1, seed=0, steps=(60,))
    assert_allclose(split["running"][0], runs["split_running"][1, 0, 0, 0, 0], atol=0.05)
