"""nbgrader in an environment of its own, .out/nbgrader: it brings another server than ours.

usage: python .make/grader.py COMMAND …     run nbgrader, say: generate_assignment 05_where_it_goes

It marks in the course's own environment: the kernel python3 that it finds is this Python.
"""

import json
import os
import shutil
import subprocess
import sys
import venv
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
import install

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / ".out" / "nbgrader"
VERSION = "0.9.6"


def environment():
    """Install nbgrader where it is not there yet; returns its program. Raises install.Trouble."""
    scripts = FOLDER / ("Scripts" if os.name == "nt" else "bin")
    note = FOLDER / "version"
    with install.only_one(install.Venv()):
        if not (note.is_file() and note.read_text() == VERSION):
            shutil.rmtree(FOLDER, ignore_errors=True)
            install.say("installing nbgrader into .out/nbgrader (once)")
            venv.create(FOLDER)
            command = [sys.executable, "-m", "uv", "pip", "install", "--compile-bytecode"]
            command += ["--python", str(scripts / "python"), f"nbgrader=={VERSION}"]
            here = install.Venv()
            here.python = sys.executable
            code, output = install.run(command, install.installer_environment(here))
            if code:
                raise install.trouble(here, output)
            note.write_text(VERSION)
    return scripts / "nbgrader"


def settings(folder):
    """The environment variables with which nbgrader runs: its own files lie in `folder`, and the
    kernel python3 is this Python with this checkout's bnlib."""
    kernel = folder / "data" / "kernels" / "python3"
    kernel.mkdir(parents=True, exist_ok=True)
    spec = {
        "argv": [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"],
        "display_name": "Python 3",
        "language": "python",
        "env": {"PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"},
    }
    (kernel / "kernel.json").write_text(json.dumps(spec), encoding="utf-8")
    own = {
        "JUPYTER_PATH": folder / "data",
        "JUPYTER_CONFIG_DIR": folder / "config",
        "JUPYTER_DATA_DIR": folder / "data",
        "JUPYTER_RUNTIME_DIR": folder / "runtime",
        "IPYTHONDIR": folder / "ipython",
    }
    program = environment()
    own["PATH"] = f"{program.parent}{os.pathsep}{os.environ.get('PATH', '')}"
    return program, {**os.environ, **{name: str(value) for name, value in own.items()}}


def nbgrader(words, course, folder):
    """Run nbgrader in a course's folder; returns all that it printed. Raises RuntimeError."""
    program, env = settings(folder)
    done = subprocess.run(
        [program, *words], cwd=course, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        encoding="utf-8", check=False,
    )  # fmt: skip
    if done.returncode:
        raise RuntimeError(f"nbgrader {' '.join(words)}:\n{done.stdout[-3000:]}")
    return done.stdout


if __name__ == "__main__":
    print(nbgrader(sys.argv[1:], Path.cwd(), ROOT / ".out" / "nbgrader-files"), end="")
