"""The benchmark runs, compares equal things, and reads its own figures right. It times nothing."""

import json
import subprocess
import sys
import time
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_allclose

torch = pytest.importorskip("torch")


def load(name):
    """A script of benchmarks/, as a module."""
    spec = spec_from_file_location(name, Path(__file__).parent / "benchmarks" / f"{name}.py")
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


bench = load("bench")
interleaving = sys.modules["interleaving"]  # which bench imports


def test_quick_run_writes_table_json_and_picture(tmp_path, capsys):
    bench.main(["--quick", "--rows", "0", "--seconds", "0.001"], out=tmp_path)
    printed = capsys.readouterr().out
    report = json.loads((tmp_path / "bench.json").read_text())
    assert "(60, 100)" in printed
    assert report["rows"][0]["ratio"][bench.NATIVE] == 1
    assert all(goal["goal"] in printed for goal in report["goals"])
    assert (tmp_path / "bench.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(("shape", "axis"), [((6, 5), 1), ((4, 3, 5, 5), 1), ((4, 5, 5, 3), -1)])
def test_candidates_compute_the_same(shape, axis):
    functions, _ = bench.candidates(shape, axis, compiled=False)
    results = {}
    for name, function in functions.items():
        y, dx, dgamma, dbeta = (
            np.asarray(a.detach() if hasattr(a, "detach") else a) for a in function()
        )
        if name in (bench.NATIVE, bench.EAGER):
            y, dx = (np.moveaxis(a, 1, axis) for a in (y, dx))
        results[name] = y.reshape(shape), dx.reshape(shape), dgamma, dbeta
    for name in functions:
        for got, want in zip(results[name], results[bench.NATIVE], strict=True):
            assert_allclose(got, want, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("folder", ["/a/mein Kurs/torch", "/a/torch"], ids=["space", "plain"])
def test_where_compiling_fails_the_table_says_so_and_goes_on(tmp_path, capsys, monkeypatch, folder):
    def refuse(function, **options):
        def compiled(*args):
            raise RuntimeError("C++ compile error\n" + 40 * "a dump\n")

        return compiled

    monkeypatch.setattr(torch, "compile", refuse)
    monkeypatch.setattr(torch, "__path__", [folder])
    monkeypatch.setattr(bench, "training_steps", lambda seconds: report({})["training"])
    monkeypatch.setattr(bench, "accuracy", lambda: report({})["accuracy"])
    bench.main(["--rows", "0", "1", "--seconds", "0.001"], out=tmp_path)
    printed = capsys.readouterr().out
    row = next(line for line in printed.splitlines() if line.startswith("(256, 512)"))
    assert "not possible" in row
    assert "not possible here: RuntimeError: C++ compile error" in printed
    assert "a dump" not in printed
    assert (repr(folder) in printed) == (" " in folder)


def report(ratio):
    rows = [
        {"shape": list(shape), "axis": axis, "ratio": {bench.NATIVE: 1.0, **ratio}}
        for shape, axis in bench.ROWS
    ]
    step = {"numpy with BN": 1.3, "numpy without": 1.0, "torch with BN": 3.0, "torch without": 2.0}
    return {
        "rows": rows,
        "training": step,
        "accuracy": {bench.NUMPY: 1e-6, bench.EAGER: 1e-6},
    }


@pytest.mark.parametrize(("factor", "all_hold"), [(0.4, True), (4.0, False)], ids=["fast", "slow"])
def test_goals_tell_fast_from_slow(factor, all_hold):
    fast = {bench.TEXTBOOK: 2.0, bench.NUMPY: factor, bench.EAGER: 1.0, bench.COMPILED: 0.7}
    found = bench.goals(report(fast))
    assert len(found) == 12
    assert all(holds for _, holds in found) == all_hold


def test_interleave_sees_which_is_slower():
    small, large = np.ones(1000), np.ones(1_000_000)
    times = bench.interleave({"small": small.sum, "large": large.sum}, seconds=0.01)
    assert times["large"] > 20 * times["small"]


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("C++ error\n\na dump", "RuntimeError: C++ error"),
        ("inductor raised:\nC++ error\n\na dump", "RuntimeError: inductor raised: C++ error"),
        ("RuntimeError: twice", "RuntimeError: twice"),
        ("", "RuntimeError: "),
    ],
)
def test_reason_is_the_line_that_says_something(text, line):
    assert interleaving.reason(RuntimeError(text)) == line


# ---- what a notebook takes of a machine ----------------------------------------------------------

IDLE = "import sys; print('there', flush=True); sys.stdin.read()"
HOLDS_200_MB = f"held = bytearray(b'.') * 200_000_000\n{IDLE}"
BURNS = "import time\nwhile time.process_time() < 1: pass\n" + IDLE


@pytest.fixture(scope="module")
def kernels():
    psutil = pytest.importorskip("psutil")
    if not Path("/proc/self/smaps_rollup").exists():
        pytest.skip("memory is read from /proc")
    return load("bench_kernels"), psutil


def figure(of, psutil, code, within=None):
    """What a function reads of a process that has run this code (inside another one)."""
    command = [sys.executable, "-c", within or code, *([code] if within else [])]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        process.stdout.readline()
        return of(psutil.Process(process.pid))


STARTS_ONE = "import subprocess, sys; subprocess.run([sys.executable, '-c', sys.argv[1]])"


@pytest.mark.parametrize("within", [None, STARTS_ONE], ids=["itself", "what it starts"])
def test_megabytes_sees_what_a_process_holds(kernels, within):
    bench_kernels, psutil = kernels
    full = figure(bench_kernels.megabytes, psutil, HOLDS_200_MB, within)
    assert full - figure(bench_kernels.megabytes, psutil, IDLE, within) == pytest.approx(200, abs=8)


HOLDS_FOR_A_WHILE = """
import sys
for held in (b"", bytearray(b".") * 200_000_000, b""):
    print("there", flush=True)
    sys.stdin.readline()
"""


def test_peak_remembers_what_was_held_for_a_while(kernels):
    bench_kernels, psutil = kernels
    command, pipes = [sys.executable, "-c", HOLDS_FOR_A_WHILE], {"stdin": -1, "stdout": -1}
    with subprocess.Popen(command, text=True, bufsize=1, **pipes) as process:
        peak = bench_kernels.Peak(psutil.Process(process.pid))
        peak.start()
        end = time.monotonic() + 20
        process.stdin.write("\n")
        while peak.most < 200 and time.monotonic() < end:
            time.sleep(0.01)
        process.stdin.write("\n")
        assert peak.stop() > 200


def test_cpu_seconds_are_counted(kernels):
    bench_kernels, psutil = kernels
    assert 0.9 < figure(bench_kernels.cpu_seconds, psutil, BURNS) < 2


def test_kernels_names_a_notebook_that_is_not_there(kernels):
    with pytest.raises(SystemExit, match="no notebook is named 99"):
        kernels[0].main(["99"])
