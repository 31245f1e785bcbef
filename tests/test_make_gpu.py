"""make gpu: what it asks of a machine, how it fares where something is missing, what it reports.

No GPU is needed: the device is a parameter, and what only CUDA has is played by stand-ins.
"""

import contextlib
import importlib.util
import json
import subprocess
import sys
import types
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")
ROOT = Path(__file__).resolve().parent.parent


def load(path):
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


gpu = load(ROOT / ".make" / "gpu.py")
bench = load(ROOT / "tests" / "benchmarks" / "bench_device.py")


@pytest.fixture
def out(tmp_path, monkeypatch):
    """The folder for the results: one with a space and an umlaut in its name."""
    folder = tmp_path / "mein Kürs"
    monkeypatch.setenv("OUT", str(folder))
    return folder


# ---------------------------------------------------------------- what is here


def test_without_a_gpu_nothing_is_run(out, monkeypatch, capsys):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert gpu.main([]) == 0
    assert "nothing was run" in capsys.readouterr().out
    assert not out.exists()


def test_torch_that_is_too_old_is_refused(monkeypatch):
    monkeypatch.setattr(torch, "__version__", "2.8.1+cu128")
    text, status = gpu.why_not("cpu")
    assert "torch 2.8.1+cu128 is too old, 2.9 is needed" in text
    assert status == 1


def test_older_torch_is_named_with_what_it_lacks(monkeypatch):
    monkeypatch.setattr(gpu, "installed", {"torch": "2.11.0+cu130"}.get)
    notes = list(gpu.shortfalls())
    assert any(n.startswith("torch 2.11.0+cu130 is older than pyproject.toml asks") for n in notes)
    assert any(n.startswith("anywidget is not installed") for n in notes)


def test_newer_versions_have_no_shortfall(monkeypatch):
    monkeypatch.setattr(gpu, "installed", lambda name: "99.1")
    assert list(gpu.shortfalls()) == []


@pytest.mark.parametrize(
    ("version", "numbers"),
    [("2.11.0+cu130", (2, 11, 0)), ("2.13.0a0+git1", (2, 13, 0)), ("3.1", (3, 1))],
)
def test_release_reads_versions(version, numbers):
    assert gpu.release(version) == numbers


# ---------------------------------------------------------------- the parts


def test_limits_add_up_to_less_than_eight_minutes():
    assert sum(gpu.LIMITS.values()) < 8 * 60 - 20
    assert gpu.LIMITS.keys() == gpu.PARTS.keys()


def test_program_that_hangs_is_ended(tmp_path):
    script = "import time\nprint('began', flush=True)\ntime.sleep(60)"
    status, seconds = gpu.limited([sys.executable, "-c", script], tmp_path / "log.txt", 2)
    assert status is None
    assert seconds < 20
    assert gpu.last_line(tmp_path / "log.txt") == "began"


@pytest.mark.parametrize(("part", "package"), [("tests", "pytest"), ("notebooks", "matplotlib")])
def test_part_whose_package_is_missing_is_left_out(out, monkeypatch, capsys, part, package):
    there = gpu.installed
    monkeypatch.setattr(gpu, "installed", lambda name: None if name == package else there(name))
    assert gpu.main(["--device", "cpu", "--parts", part]) == 0
    assert f"– {part}: left out, {package} is not installed" in capsys.readouterr().out


def test_tests_part_counts_and_names_what_failed(out, monkeypatch, capsys):
    tests = out.parent / "tests"
    tests.mkdir()
    (tests / "test_torch_a.py").write_text(
        "import pytest\n\n"
        "@pytest.mark.parametrize('device', ['cpu', 'other'])\n"
        "@pytest.mark.parametrize('n', [1, 2])\n"
        "def test_one(device, n):\n    assert n == 1, 'no two'\n"
    )
    (tests / "test_torch_b.py").write_text("import a_package_that_is_not_there\n")
    monkeypatch.setattr(gpu, "ROOT", out.parent)
    (out.parent / "pyproject.toml").write_text((ROOT / "pyproject.toml").read_text("utf-8"))
    assert gpu.main(["--device", "cpu", "--parts", "tests"]) == 1
    found = json.loads((out / "gpu.json").read_text("utf-8"))["parts"]["tests"]
    assert found["passed"] == 1
    assert sorted("no two" in line for line in found["failed"].values()) == [False, True]
    assert "no two" in capsys.readouterr().out


def test_benchmark_part_rehearses_on_the_cpu(out, monkeypatch, capsys):
    limited = gpu.limited
    monkeypatch.setattr(gpu, "limited", lambda c, *rest: limited([*c, "--no-compile"], *rest))
    assert gpu.main(["--device", "cpu", "--parts", "benchmark"]) == 0
    printed = capsys.readouterr().out
    assert "REHEARSAL" in printed
    assert "(4, 8, 5, 5) bfloat16 channels last" in printed
    report = json.loads((out / "gpu.json").read_text("utf-8"))
    assert report["rehearsal"] is True
    assert len(report["parts"]["benchmark"]["rows"]) == 4


def test_cells_go_on_after_an_error():
    cells = [(1, "x = 1\nprint('✓ one')"), (2, "x / 0\nprint('✓ two')"), (5, "print('✓ x is', x)")]
    report = gpu.run_cells(cells)
    assert report == {
        "cells": 3,
        "claims": 2,
        "failed": {"cell 2": "ZeroDivisionError: division by zero"},
    }


def test_notebooks_part_runs_each_and_names_the_cell_that_failed(out, monkeypatch, capsys):
    def write(name, *sources):
        cells = [{"cell_type": "code", "source": [s]} for s in sources]
        (out.parent / name).write_text(json.dumps({"cells": cells}))

    use = "# torch.cuda.is_available\n"
    write("21_a.ipynb", use + "print('✓ one')", "print('✓ two')")
    write("22_b.ipynb", use + "1 / 0", "print('✓ three')")
    write("23_c.ipynb", "print('✓ on no device')")
    write("24_d.ipynb", use + "import os\nos._exit(3)")
    monkeypatch.setattr(gpu, "NOTEBOOKS", out.parent)
    assert gpu.main(["--device", "cpu", "--parts", "notebooks"]) == 1
    found = json.loads((out / "gpu.json").read_text("utf-8"))["parts"]["notebooks"]
    assert found["claims"] == 3
    assert found["failed"].keys() == {"22, cell 0", "24"}
    assert "ZeroDivisionError" in capsys.readouterr().out


def test_notebooks_that_look_for_a_gpu_are_those_of_torch():
    assert [path.name[:2] for path in gpu.on_devices()][:2] == ["09", "10"]


def test_explorer_needs_no_jupyter():
    """In a process of its own, where IPython, anywidget and traitlets cannot be found."""
    code = f"""
import importlib.util, sys
spec = importlib.util.spec_from_file_location("gpu", {str(ROOT / ".make" / "gpu.py")!r})
gpu = importlib.util.module_from_spec(spec)
spec.loader.exec_module(gpu)
find = importlib.util.find_spec
importlib.util.find_spec = lambda name: None if name in ("IPython", "anywidget") else find(name)
gpu.stand_in_for_jupyter()
from bnlib.course import nb09, show
print(nb09.HalfPrecision())
show(nb09.plot_half_precision(mean=100, format="bfloat16"), alt="dots on a line across another")
"""
    env = {**gpu.os.environ, **gpu.ENVIRONMENT}
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "sums kept in" in done.stdout


# ---------------------------------------------------------------- the benchmark


@pytest.mark.parametrize("last", [False, True], ids=["NCHW", "channels last"])
@pytest.mark.parametrize("dtype", bench.DTYPES)
def test_errors_see_a_wrong_result(dtype, last):
    leaves, dy = bench.batch((4, 9, 3, 3), dtype, last, "cpu")
    steps, _ = bench.candidates(leaves, dy, graphs=False, compiled=False)
    right = steps[bench.EAGER]
    wrong = lambda: [t * 1.1 for t in right()]  # noqa: E731
    found = bench.errors({"right": right, "wrong": wrong}, leaves, dy)
    assert found["right"] <= bench.ACCURATE[dtype]
    assert found[bench.ON_CPU] <= bench.ACCURATE[dtype]
    assert found["wrong"] > 0.05


def test_rows_have_the_layout_that_they_name():
    for shape, dtype, last in bench.rows([(4, 3, 2, 2), (5, 3)]):
        (x, _, _), dy = bench.batch(shape, dtype, last, "cpu")
        assert x.dtype == dy.dtype == bench.DTYPES[dtype]
        assert all((t.stride(1) == 1) == (last or t.dim() == 2) for t in (x, dy))


def test_graph_of_warms_up_captures_once_and_replays(monkeypatch):
    said = []

    @contextlib.contextmanager
    def during(what):
        said.append(f"begin {what}")
        yield
        said.append(f"end {what}")

    def stream(name):
        return types.SimpleNamespace(
            name=name, wait_stream=lambda other: said.append(f"{name} waits for {other.name}")
        )

    cuda = types.SimpleNamespace(
        Stream=lambda: stream("side"),
        current_stream=lambda: stream("main"),
        stream=lambda chosen: during(chosen.name),
        CUDAGraph=lambda: types.SimpleNamespace(replay=lambda: said.append("replay")),
        graph=lambda graph: during("capture"),
    )
    monkeypatch.setattr(torch, "cuda", cuda)
    replay = bench.graph_of(lambda: said.append("step") or "results")
    warm_up = ["side waits for main", "begin side", *3 * ["step"], "end side"]
    assert said == [*warm_up, "main waits for side", "begin capture", "step", "end capture"]
    assert replay() == "results"
    assert said[-2:] == ["end capture", "replay"]


def test_device_seconds_are_those_between_two_events(monkeypatch):
    moments = iter([10.0, 16.0])

    class Event:
        def __init__(self, enable_timing):
            assert enable_timing

        def record(self):
            self.at = next(moments)

        def synchronize(self):
            self.reached = True

        def elapsed_time(self, end):
            assert end.reached
            return end.at - self.at  # milliseconds

    monkeypatch.setattr(torch.cuda, "Event", Event)
    calls = []
    assert bench.device_seconds(lambda: calls.append(1), 3) == 0.006
    assert len(calls) == 3


def test_capture_that_fails_leaves_the_other_candidates(monkeypatch):
    def refuse(step):
        raise RuntimeError("operation not permitted when stream is capturing\nand more")

    monkeypatch.setattr(bench, "graph_of", refuse)
    leaves, dy = bench.batch((5, 3), "float32", False, "cpu")
    steps, missing = bench.candidates(leaves, dy, graphs=True, compiled=False)
    assert list(steps) == [bench.NATIVE, bench.EAGER]
    assert missing[bench.GRAPH].endswith("operation not permitted when stream is capturing")


def test_goals_tell_fast_from_slow_and_right_from_wrong():
    def row(size, eager, error):
        return {
            "bytes": size,
            "dtype": "float32",
            "ratio": {bench.NATIVE: 1.0, bench.EAGER: eager},
            "errors": {bench.EAGER: error, bench.ON_CPU: 1e-7},
        }

    small_is_slow = [row(1000, 9.0, 1e-7), row(20e6, 1.2, 1e-7)]
    assert all(holds for _, holds in bench.goals({"rows": small_is_slow}))
    slow_and_wrong = [row(20e6, 1.4, 1e-4)]
    assert not any(holds for _, holds in bench.goals({"rows": slow_and_wrong}))
