"""Prove bnlib on a GPU (make gpu): its tests, its times and the notebooks that use one, in eight
minutes.

usage: python .make/gpu.py                    on the GPU; without one nothing is run
       python .make/gpu.py --device cpu       a rehearsal without a GPU, at small sizes
       python .make/gpu.py --parts tests      some of: tests benchmark notebooks

Needs Python 3.11, torch 2.9 and NumPy, wherever they are installed; neither make nor .venv nor a
network nor Jupyter. Without pytest the tests are left out, without matplotlib the notebooks, and
what is older than pyproject.toml asks for is named. Each part is a process of its own with a limit
to its time, so that one that hangs or dies leaves the others standing.

Writes gpu.json, and what each part printed, to .out/, or to the folder in OUT where that is set.
Exit status: 0 where all that ran went well, and where there is no GPU; 1 otherwise. A goal for the
times that is missed is reported and is no failure.
"""

from __future__ import annotations

import argparse
import contextlib
import datetime
import importlib.metadata
import importlib.util
import io
import json
import os
import re
import signal
import subprocess
import sys
import time
import traceback
import types
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

if sys.version_info < (3, 11):  # noqa: UP036 (run by hand, this may be any Python)
    sys.exit("bnlib: this Python is too old: start this with Python 3.11 or newer.")

import tomllib

sys.dont_write_bytecode = True
ROOT = Path(__file__).resolve().parent.parent
BENCHMARK = ROOT / "tests" / "benchmarks" / "bench_device.py"
NOTEBOOKS = ROOT / "notebooks"

OLDEST_TORCH = (2, 9)
LIMITS = {"tests": 120, "benchmark": 140, "notebooks": 195}  # seconds: together under eight minutes
TESTS = ["test_backends.py", "test_reference.py", "test_torch_*.py"]  # those that go to each device

# Threads as in make test; and this checkout's bnlib, whichever is installed.
ENVIRONMENT = {
    **{f"{library}_NUM_THREADS": "1" for library in ("OMP", "OPENBLAS", "MKL")},
    "PYTHONDONTWRITEBYTECODE": "1",
    "PYTHONPATH": os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")])),
    "PYTHONUTF8": "1",
}


def say(text):
    print(f"bnlib: {text}", flush=True)


# ---- what is here


def release(version):
    """The numbers of a version: "2.11.0+cu130" is (2, 11, 0)."""
    return tuple(map(int, re.match(r"\d+(?:\.\d+)*", version)[0].split(".")))


def installed(name):
    """The version of a package, or None."""
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def shortfalls():
    """One line for each package that is older than pyproject.toml asks for, or not there."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"]
    for line in project["dependencies"] + extras["torch"] + extras["course"] + extras["test"]:
        name, _, bound = line.partition(">=")
        if name not in USED:
            continue
        found = installed(name)
        if found is None:
            yield f"{name} is not installed: {USED[name]}"
        elif release(found) < release(bound):
            yield f"{name} {found} is older than pyproject.toml asks for ({bound}): {USED[name]}"


# What this script needs each package for; or what an older one lacks.
USED = {
    "torch": "tests of what it does not have yet, such as BatchNorm2d(bias=False), are left out",
    "numpy": "what it lacks may fail below",
    "matplotlib": "the notebooks draw with it",
    "pillow": "their pictures need it",
    "anywidget": "their explorers are drawn without controls",
    "pytest": "it runs the device tests",
    "hypothesis": "tests that need it are left out",
}


def why_not(device):
    """Why nothing can be run here, and the exit status that this means; or None."""
    for name in ("numpy", "torch"):
        if importlib.util.find_spec(name) is None:
            return f"this Python ({sys.executable}) has no {name}: nothing was run.", 1
    import torch

    if release(torch.__version__) < OLDEST_TORCH:
        oldest = ".".join(map(str, OLDEST_TORCH))
        return f"torch {torch.__version__} is too old, {oldest} is needed: nothing was run.", 1
    if device == "cuda" and not torch.cuda.is_available():
        built = torch.version.cuda or torch.version.hip
        why = "sees no GPU here" if built else "is a build without GPUs"
        return f"torch {torch.__version__} {why}: nothing was run.", 0
    return None


# ---- the parts: each gives a report with "ok" (True, False, or None where it was left out)


def run_tests(device, out, rehearsal):
    """pytest, for the tests that name the device."""
    if not installed("pytest"):
        return {"ok": None, "why": "pytest is not installed"}
    report, log = out / "gpu-tests.xml", out / "gpu-tests.txt"
    report.unlink(missing_ok=True)
    files = sorted(path for name in TESTS for path in (ROOT / "tests").glob(name))
    command = [sys.executable, "-m", "pytest", "-q", "-k", device, "-p", "no:cacheprovider"]
    # Warnings are errors where the versions are those that we test: not here.
    command += ["-W", "default", "--tb=short", "--continue-on-collection-errors"]
    status, seconds = limited([*command, f"--junitxml={report}", *files], log, LIMITS["tests"])
    result = {"ok": status == 0, "seconds": seconds}
    if report.exists():
        return result | counts(report)
    text = log.read_text(encoding="utf-8", errors="replace")
    reached = re.findall(r"\[ *(\d+)%\]", text)
    why = f"stopped after {seconds:.0f} s" if status is None else f"ended with status {status}"
    return result | {"why": f"{why}, at {reached[-1] if reached else 0} %"}


def counts(report):
    """What a JUnit file says: how many tests passed, were skipped, failed; and which."""
    import xml.etree.ElementTree as ElementTree

    cases = list(ElementTree.parse(report).iter("testcase"))
    failed = [case for case in cases if case.find("failure") is not None]
    failed += [case for case in cases if case.find("error") is not None]
    skipped = [case for case in cases if case.find("skipped") is not None]
    first = {f"{case.get('classname')}::{case.get('name')}": first_line(case) for case in failed}
    passed = len(cases) - len(failed) - len(skipped)
    return {"passed": passed, "skipped": len(skipped), "failed": first}


def first_line(case):
    """What went wrong in a test, in one line."""
    wrong = case.find("failure") if case.find("failure") is not None else case.find("error")
    return (wrong.get("message") or wrong.text or "").strip().split("\n")[0][:200]


def run_benchmark(device, out, rehearsal):
    """tests/benchmarks/bench_device.py"""
    report, log = out / "gpu-benchmark.json", out / "gpu-benchmark.txt"
    report.unlink(missing_ok=True)
    command = [sys.executable, BENCHMARK, "--device", device, "--into", report]
    command += ["--small", "--seconds", "0.02"] if rehearsal else []
    status, seconds = limited(command, log, LIMITS["benchmark"])
    result = {"ok": status == 0, "seconds": seconds}
    if status is None:
        result["why"] = f"stopped after {seconds:.0f} s, with the rows that were done by then"
    if not report.exists():
        return {"why": f"ended with status {status}: {last_line(log)}"} | result
    return result | json.loads(report.read_text(encoding="utf-8"))


def on_devices():
    """The notebooks from 09 on that look for a GPU; 00 does, but asks for all of Jupyter."""
    return [
        path
        for path in sorted(NOTEBOOKS.glob("*.ipynb"))
        if path.name >= "09" and "torch.cuda.is_available" in path.read_text(encoding="utf-8")
    ]


def run_notebooks(device, out, rehearsal):
    """Their code cells, each notebook's in a plain process of its own."""
    for name in ("matplotlib", "pillow"):
        if not installed(name):
            return {"ok": None, "why": f"{name} is not installed"}
    start = time.monotonic()

    def run(path):
        number = path.name[:2]
        report, log = out / f"gpu-notebook-{number}.json", out / f"gpu-notebook-{number}.txt"
        report.unlink(missing_ok=True)
        left = LIMITS["notebooks"] - (time.monotonic() - start)
        if left < 1:
            return 0, {number: "not begun: the time was up"}
        command = [sys.executable, Path(__file__).resolve(), "--cells-of", path, "--into", report]
        status, seconds = limited(command, log, left)
        if not report.exists():
            why = f"stopped after {seconds:.0f} s" if status is None else last_line(log)
            return 0, {number: why}
        found = json.loads(report.read_text(encoding="utf-8"))
        failed = {f"{number}, {cell}": why for cell, why in found["failed"].items()}
        return found["claims"], failed or ({} if status == 0 else {number: last_line(log)})

    # Side by side: each keeps one core busy, and the GPU hardly.
    with ThreadPoolExecutor(max(1, min(4, (os.cpu_count() or 1) // 2))) as pool:
        results = list(pool.map(run, on_devices()))
    failed = {where: why for _, one in results for where, why in one.items()}
    claims = sum(number for number, _ in results)
    seconds = time.monotonic() - start
    return {"ok": not failed, "seconds": seconds, "claims": claims, "failed": failed}


PARTS = {"tests": run_tests, "benchmark": run_benchmark, "notebooks": run_notebooks}


def limited(command, log, seconds):
    """Run a program with its output in a file: (exit status, or None where it ran out of time;
    seconds). Its own programs, a compiler's workers say, end with it."""
    start = time.monotonic()
    with open(log, "w", encoding="utf-8") as output:
        process = subprocess.Popen(
            [str(word) for word in command],
            cwd=ROOT,
            env={**os.environ, **ENVIRONMENT},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=os.name != "nt",
        )
        try:
            status = process.wait(seconds)
        except subprocess.TimeoutExpired:
            status = None
        finally:
            if os.name == "nt":
                process.kill()
            else:
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    return status, time.monotonic() - start


def last_line(log):
    lines = log.read_text(encoding="utf-8", errors="replace").split("\n")
    return next((line.strip() for line in reversed(lines) if line.strip()), "it printed nothing")


# ---- a notebook without Jupyter


def stand_in_for_jupyter():
    """Modules that answer for IPython and anywidget where they are missing.

    What is displayed is printed; an explorer draws its picture, and has no controls.
    """

    def module(name, **members):
        made = sys.modules[name] = types.ModuleType(name)
        vars(made).update(members)

    class Trait:
        def __init__(self, *default):
            pass

        def tag(self, **options):
            return self

    class Widget:
        layout = types.SimpleNamespace(close=lambda: None)

        def observe(self, *what):
            pass

        def close(self):
            pass

    def print_text(thing, raw=False, **options):
        print(thing.get("text/plain", "") if raw else thing)

    if importlib.util.find_spec("IPython") is None:
        module("IPython", get_ipython=lambda: None, version_info=(9, 0))  # matplotlib asks
        module("IPython.display", display=print_text)
    if importlib.util.find_spec("anywidget") is None:
        module("anywidget", AnyWidget=Widget)
        module(
            "traitlets",
            **dict.fromkeys(("Dict", "List", "Bytes", "Unicode", "Float", "Bool", "Int"), Trait),
        )


def run_cells(sources):
    """Execute code cells one after the other, on after an error: a report of what they proved."""
    namespace, claims, failed = {"__name__": "__main__"}, [], {}
    for number, source in sources:
        printed = io.StringIO()
        try:
            with contextlib.redirect_stdout(printed):
                exec(compile(source, f"cell {number}", "exec"), namespace)
        except Exception as error:
            traceback.print_exc()
            failed[f"cell {number}"] = f"{type(error).__name__}: {error}".split("\n")[0][:200]
        print(printed.getvalue(), end="", flush=True)
        claims += re.findall("^✓ (.*)", printed.getvalue(), re.MULTILINE)
    return {"cells": len(sources), "claims": len(claims), "failed": failed}


def notebook_cells(path, into):
    """The process behind run_notebooks."""
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    sources = [
        (number, "".join(cell["source"]))
        for number, cell in enumerate(cells)
        if cell["cell_type"] == "code"
    ]
    stand_in_for_jupyter()
    os.chdir(path.parent)
    report = run_cells(sources)
    into.write_text(json.dumps(report, ensure_ascii=False), encoding="utf-8")
    return 1 if report["failed"] else 0


# ---- the whole, and how it is shown


def summary(report):
    """The report as text."""
    rehearsal = "REHEARSAL on the CPU, at small sizes: no figure below is a GPU's\n"
    lines = [rehearsal] if report["rehearsal"] else []
    benchmark = report["parts"].get("benchmark", {})
    if benchmark.get("rows"):
        lines += [load_benchmark().table(benchmark), ""]
    for name, part in report["parts"].items():
        mark = {True: "✓", False: "✗", None: "–"}[part["ok"]]
        words = [f"{part['seconds']:.0f} s"] if "seconds" in part else ["left out"]
        words += [
            f"{part[what]} {what}" for what in ("passed", "skipped", "claims") if what in part
        ]
        words += [f"{len(part['rows'])} rows"] if "rows" in part else []
        words += [f"{len(part['failed'])} failed"] if part.get("failed") else []
        words += [part["why"]] if "why" in part else []
        lines.append(f"{mark} {name}: {', '.join(words)}")
        lines += [
            f"    {where}: {what}" for where, what in list(part.get("failed", {}).items())[:20]
        ]
    lines += [f"note: {note}" for note in report["notes"]]
    return "\n".join(lines)


def load_benchmark():
    spec = importlib.util.spec_from_file_location("bench_device", BENCHMARK)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", choices=["cuda", "cpu"], default="cuda")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--cells-of", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--into", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.cells_of:
        return notebook_cells(options.cells_of, options.into)
    nothing = why_not(options.device)
    if nothing:
        say(nothing[0])
        return nothing[1]
    out = Path(os.environ.get("OUT") or ROOT / ".out").resolve()
    out.mkdir(parents=True, exist_ok=True)
    rehearsal = options.device == "cpu"
    report = {
        "rehearsal": rehearsal,
        "began": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "python": sys.version.split()[0],
        "versions": {name: installed(name) for name in USED},
        "notes": list(shortfalls()),
        "parts": {},
    }
    for name in options.parts:
        say(f"{name} on {options.device}, at most {LIMITS[name]} s …")
        report["parts"][name] = PARTS[name](options.device, out, rehearsal)
        text = json.dumps(report, indent=1, ensure_ascii=False)
        (out / "gpu.json").write_text(text, encoding="utf-8")
    print(summary(report))
    print(f"\nalso in {out / 'gpu.json'}, and what each part printed beside it")
    return 1 if any(part["ok"] is False for part in report["parts"].values()) else 0


if __name__ == "__main__":
    with contextlib.suppress(AttributeError):
        sys.stdout.reconfigure(encoding="utf-8", errors="replace")
    sys.exit(main())
