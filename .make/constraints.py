"""Write constraints.txt anew with the newest versions that fit together (make constraints).

One version of each package for Linux, macOS and Windows, Python 3.11 to 3.13: uv resolves for all
of them at once, and HELD keeps back the few whose newest release has left one of them behind.
Afterwards: make test, and a line in CHANGELOG.md.
"""

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
HELD = {
    "torch": "==2.13.0",  # the course's figures and timings were made with it
    "numpy": "<2.5",  # 2.5 and those of the next three need Python 3.12 or newer
    "contourpy": "<1.4",
    "networkx": "<3.7",
    "sphinx": "<9.1",
    "soupsieve": "<3",  # 3 and up need Python 3.11.5; Debian 12 has 3.11.2
}
TOOLS = ["uv", "hatchling", "editables"]  # what installs and builds bnlib itself
FOR_GPUS = re.compile(r"(nvidia|cuda)-|triton\b")  # come with torch's own builds, one set for each

HEAD = """\
# The exact versions that we test, for every platform: pip install -c constraints.txt -e .[course]
# Written by `make constraints`. The lower bounds in pyproject.toml are tried out with
# `uv pip install --resolution lowest-direct -e .[torch,course,onnx,test]` and the same tests.
"""


def main():
    wishes = [*TOOLS, *(name + version for name, version in HELD.items())]
    command = [sys.executable, "-m", "uv", "pip", "compile", "--universal", "--python-version=3.11"]
    command += ["--quiet", "--no-annotate", "--no-header", "--all-extras", "pyproject.toml", "-"]
    done = subprocess.run(
        command, cwd=ROOT, input="\n".join(wishes), capture_output=True, text=True, check=False
    )
    if done.returncode:
        sys.exit(f"bnlib: uv could not resolve the packages: {done.stderr.strip()}")
    pins = {}
    for line in done.stdout.splitlines():
        name, version = re.match(r"([\w.-]+)==([\w.!]+)", line).groups()
        if not FOR_GPUS.match(name) and pins.setdefault(name, version) != version:
            sys.exit(f"bnlib: {name} has two versions, {pins[name]} and {version}: add it to HELD")
    text = "".join(f"{name}=={version}\n" for name, version in sorted(pins.items()))
    (ROOT / "constraints.txt").write_text(HEAD + text, encoding="utf-8", newline="\n")
    print(f"constraints.txt holds {len(pins)} packages")


if __name__ == "__main__":
    main()
