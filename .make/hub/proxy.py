"""Fetch the proxy that stands in front of the hub: configurable-http-proxy, a program for Node.js.

usage: python .make/hub/proxy.py     say where it is; fetch it with npm where it is not there yet

package-lock.json pins it and all that it brings, each with a checksum that npm holds it to. It
goes to .out/vendor/hub, which git ignores. Node.js and npm are those of the extra `hub`.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
FOLDER = HERE.parents[1] / ".out" / "vendor" / "hub"
LOCK = "package-lock.json"


def environment():
    """Ours, with this Python's programs first: its Node.js is the one that the proxy needs."""
    path = [str(Path(sys.executable).parent), os.environ.get("PATH", "")]
    return {**os.environ, "PATH": os.pathsep.join(path)}


def fetch(folder=FOLDER):
    """The proxy's program. Fetched where it is not there yet, or another one is pinned now."""
    program = folder / "node_modules" / ".bin" / "configurable-http-proxy"
    wanted = (HERE / LOCK).read_bytes()
    if program.exists() and (folder / LOCK).read_bytes() == wanted:
        return program
    env = environment()
    npm = shutil.which("npm", path=env["PATH"])
    if npm is None:
        sys.exit("bnlib: the proxy is fetched with npm: install the extra `hub`")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    shutil.copy(HERE / "package.json", folder)
    (folder / LOCK).write_bytes(wanted)
    command = [npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--silent"]
    done = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, check=False)
    if done.returncode or not program.exists():
        shutil.rmtree(folder)
        why = " ".join((done.stderr or done.stdout).split())[:300]
        sys.exit(f"bnlib: npm could not fetch the proxy: {why or 'is there a network?'}")
    return program


if __name__ == "__main__":
    print(fetch())
