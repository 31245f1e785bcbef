"""What stands behind the make targets; without make:  python .make/run.py TARGET [NB=03 …]

Standard library only. Each target first has .make/install.py put into .venv what it needs, then
hands over to the program that does the work. Three variables are read: ARGS goes on to that
program, NB names a notebook ("03"), and .make/install.py reads BNLIB_TORCH.
"""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import subprocess
import sys
from pathlib import Path

if sys.version_info < (3, 11):  # noqa: UP036 (run by hand, this may be any Python)
    sys.exit("bnlib: this Python is too old: start this with Python 3.11 or newer.")

sys.dont_write_bytecode = True
sys.path.insert(0, str(Path(__file__).resolve().parent))
import install  # noqa: E402 (beside this file, in a folder that is no package)

ROOT = install.ROOT
COURSE = {"torch", "course", "onnx"}
PAGES = {"site", "slides"}  # site, decks and handouts: one install for all three

# Each test process runs on one thread: there are as many processes as cores, and sums come out
# in the same order everywhere.
ONE_THREAD = {
    f"{library}_NUM_THREADS": "1" for library in ("OMP", "OPENBLAS", "MKL", "VECLIB_MAXIMUM")
}


def lab(python):
    """open JupyterLab on your own copies of the notebooks, in work/"""
    hand_over([python, ".make/lab.py", *arguments()])


def stop(python):
    """end the JupyterLab that make lab has started"""
    hand_over([python, ".make/lab.py", "stop"])


def update(python):
    """take your copies along with a changed course, answers and all (one of them: NB=03)"""
    hand_over([python, ".make/copies.py", "update", *notebook()])


def fresh(python):
    """start a notebook afresh, say NB=03; your copy stays under a dated name"""
    hand_over([python, ".make/copies.py", "fresh", *notebook()])


def test(python):
    """run the unit tests and every notebook, in parallel"""
    command = [python, "-m", "pytest", "-m", "not browser and not nbgrader", "-n", str(cores())]
    command += ["--ignore=tests/browser", "--dist", "loadfile", "--no-loadscope-reorder"]
    longest_first = ["tests/test_learner.py", "tests/test_notebooks.py", "tests", "bnlib"]
    hand_over([*command, *arguments(), *longest_first], quiet_environment())


def browser(python):
    """run every notebook in a real JupyterLab, and look at website and decks, in Chromium"""
    command = [python, "-m", "pytest", "-m", "browser and not hub", *arguments(), "tests/browser"]
    hand_over(command, quiet_environment())


def hub(python):
    """let three learners work on one JupyterHub at once, in headless Chromium"""
    command = [python, "-m", "pytest", "-m", "hub", *arguments(), "tests/browser"]
    hand_over(command, quiet_environment())


def bench(python):
    """time bnlib against PyTorch on this machine"""
    hand_over([python, "tests/benchmarks/bench.py", *arguments()], quiet_environment())


def gpu(python):
    """prove bnlib on this machine's GPU: tests, times, notebooks"""
    hand_over([python, ".make/gpu.py", *arguments()])


def notebooks(python):
    """execute and normalise the notebooks (one of them: NB=03)"""
    command = [python, ".make/notebooks.py", "run", *notebook(), *arguments()]
    hand_over(command, quiet_environment())


def site(python):
    """make the course's website in .out/site (some notebooks alone: ARGS="03 05")"""
    fetch_scripts(python)
    hand_over([python, ".make/website.py", *arguments()], quiet_environment())


def handout(python):
    """make a class's handouts in .out/handout: notebooks, PDFs, nbgrader, exam questions"""
    fetch_scripts(python)
    hand_over([python, ".make/handout.py", *notebook(), *arguments()], quiet_environment())


def grade(python):
    """have nbgrader mark solved, untouched and wrong copies of every notebook"""
    command = [python, "-m", "pytest", "-m", "nbgrader", "-n", str(cores()), "--dist", "loadgroup"]
    hand_over([*command, *arguments(), "tests/test_grading.py"], quiet_environment())


def slides(python):
    """make the decks for a lecture hall in .out/slides (some alone: ARGS="03 05")"""
    fetch_scripts(python)
    hand_over([python, ".make/slides.py", *arguments()], quiet_environment())


def data(python):
    """rebuild data/mnist10k.npz from its source, byte for byte"""
    hand_over([python, "data/build_mnist10k.py", *arguments()])


def lint(python):
    """check style and layout of code and notebooks with ruff"""
    check = subprocess.call([python, "-m", "ruff", "check", *arguments()], cwd=ROOT)
    layout = subprocess.call([python, "-m", "ruff", "format", "--check"], cwd=ROOT)
    sys.exit(check or layout)


def constraints(python):
    """bring constraints.txt up to date (for maintainers)"""
    hand_over([python, ".make/constraints.py"])


def clean():
    """delete .venv and everything else that make has made"""
    venv = install.Venv()
    if venv.made_by_hand():
        install.say(".venv was made by hand and stays")
    elif venv.path.exists():
        venv.remove()
    for name in (".out", ".pytest_cache", ".ruff_cache", ".hypothesis", "build", "dist"):
        shutil.rmtree(ROOT / name, ignore_errors=True)
    for folder in ("bnlib", "tests", "notebooks", ".make"):
        for name in ("__pycache__", ".ipynb_checkpoints"):
            for path in (ROOT / folder).rglob(name):
                shutil.rmtree(path, ignore_errors=True)


def show_help():
    """print this list"""
    print("make TARGET, where TARGET is one of")
    for name, (action, _) in TARGETS.items():
        print(f"  {name:<11} {action.__doc__}")


TARGETS = {  # name: what it does, and the extras of pyproject.toml that it needs
    "lab": (lab, COURSE),
    "update": (update, COURSE),
    "fresh": (fresh, COURSE),
    "stop": (stop, COURSE),
    "test": (test, COURSE | {"test"}),
    "browser": (browser, COURSE | PAGES | {"test", "browser"}),
    "hub": (hub, COURSE | {"test", "browser", "hub"}),
    "bench": (bench, COURSE | {"test"}),
    "gpu": (gpu, COURSE | {"test"}),
    "notebooks": (notebooks, COURSE | {"test"}),
    "site": (site, COURSE | PAGES),
    "slides": (slides, COURSE | PAGES),
    "handout": (handout, COURSE | PAGES),
    "grade": (grade, COURSE | {"test"}),
    "data": (data, set()),
    "lint": (lint, {"lint"}),
    "constraints": (constraints, set()),
    "clean": (clean, None),
    "help": (show_help, None),
}


def fetch_scripts(python):
    """Fetch what any of our pages carries with it, so that none of them asks for a network later.

    What cannot be had is told by the program that needs it.
    """
    command = [python, ".make/vendor.py"]
    subprocess.call(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def arguments():
    """The words in ARGS, for the program behind the target."""
    return shlex.split(os.environ.get("ARGS", ""))


def notebook():
    """The notebook that NB names, for the program behind the target; none where it is not set."""
    return [os.environ["NB"]] if os.environ.get("NB") else []


def cores():
    """How many processes to run: one for each core that we may use, at most eight."""
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return max(1, min(usable or 1, 8))


def quiet_environment():
    """One thread a process; and an IPython profile of our own, whose history needs no file."""
    ipython = ROOT / ".out" / "ipython"
    profile = ipython / "profile_default"
    profile.mkdir(parents=True, exist_ok=True)
    (profile / "ipython_config.py").write_text("get_config().HistoryManager.enabled = False\n")
    chosen = {name: os.environ[name] for name in ONE_THREAD if name in os.environ}
    return {**ONE_THREAD, **chosen, "IPYTHONDIR": str(ipython)}


def hand_over(command, changes=()):
    """Let the program take this one's place (on Windows: run it, then end with its status)."""
    command = [str(word) for word in command]
    env = {**os.environ, **dict(changes)}
    os.chdir(ROOT)
    sys.stdout.flush()
    if os.name != "nt":
        os.execve(command[0], command, env)
    sys.exit(subprocess.call(command, env=env))


def main(words):
    settings = dict(word.split("=", 1) for word in words[1:] if "=" in word)  # as make takes them
    if len(words) != 1 + len(settings) or words[0] not in TARGETS:
        show_help()
        return 2
    os.environ.update(settings)
    action, extras = TARGETS[words[0]]
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that an install is cleaned up
    try:
        if extras is None:
            return action()
        return action(str(install.ensure(extras)))
    except install.Trouble as trouble:
        print(f"bnlib: {trouble}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nbnlib: stopped; the same command goes on from here.", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
