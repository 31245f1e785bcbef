"""Make `.venv` and install the course into it, once: what every make target does first.

Standard library only, for it runs under the system's Python. `ensure(extras)` is all that
`.make/run.py` calls; by hand it is  python .make/install.py torch course. When nothing has changed
it reads one small file and returns; the rest is uv's work. That file, .venv/.bnlib/state.json, says
what is installed. It is written before an install begins, without "done", and again when it has
ended: by that, one that was broken off is known.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import importlib.util
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
OLDEST = (3, 11)
NEEDED_GB = 2  # what .venv takes with a CPU build of torch, downloads included

# What an installer says, and what its user can do about it. The first match counts.
FULL, UNTRUSTED, OFFLINE, LOCKED, UNFIT = range(5)
TROUBLE = [
    (
        r"No space left on device|os error 28\b|os error 112\b|not enough space|quota exceeded",
        f"the disk is full: free about {NEEDED_GB} GB, then run the same command again.",
    ),
    (
        r"CERTIFICATE_VERIFY_FAILED|invalid peer certificate|certificate verify failed",
        "the package index showed a certificate that this machine does not trust: set "
        "SSL_CERT_FILE to your organisation's certificates, then run the same command again.",
    ),
    (
        r"dns error|failed to lookup address|name resolution|getaddrinfo|NewConnectionError"
        r"|tcp connect error|Connection refused|Network is unreachable|ProxyError|timed out"
        r"|ConnectTimeoutError|Max retries exceeded|error sending request|Failed to fetch"
        r"|network connectivity is disabled",
        "the package index cannot be reached: check the network (behind a proxy, set "
        "HTTPS_PROXY), then run the same command again.",
    ),
    (
        r"Permission denied|Access is denied|os error 13\b|Read-only file system",
        "a file in .venv cannot be written: close what uses it (a running JupyterLab?), check "
        "who owns the folder, then run the same command again.",
    ),
    (
        r"No solution found|No matching distribution|Could not find a version",
        "the tested packages do not all exist for Python {version} on this {system} machine: "
        "try make PYTHON=python3.12 …, or the Conda lines in README.md.",
    ),
]

# Where torch's own index does not help, and nobody chose a build: what to take instead.
OTHER_BUILD = {("auto", UNFIT): "cpu", ("auto", OFFLINE): "index", ("cpu", UNFIT): "index"}


class Trouble(Exception):
    """What went wrong and what to do about it, in one line. `kind`: its place in TROUBLE."""

    def __init__(self, text, kind=None):
        super().__init__(text)
        self.kind = kind


def say(text):
    print(f"bnlib: {text}", flush=True)


class Venv:
    """The course's virtual environment, and what is known of its state."""

    def __init__(self, root=ROOT):
        self.root = Path(root)
        self.path = self.root / ".venv"
        self.python = self.path / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
        self.note = self.path / ".bnlib" / "state.json"

    def read(self):
        """What the note says; {} where there is none, or none to rely on."""
        try:
            note = json.loads(self.note.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return note if isinstance(note, dict) else {}

    def write(self, note):
        """Write the note in one piece: readers see the old one or the new one."""
        draft = self.note.with_suffix(".new")
        draft.parent.mkdir(parents=True, exist_ok=True)
        draft.write_text(json.dumps(note, indent=1) + "\n", encoding="utf-8")
        os.replace(draft, self.note)

    def place(self):
        """What must stay the same under an environment: its folder and its Python."""
        return {"root": str(self.root), "python": python_version()}

    def fingerprint(self):
        """Changes when what should be installed changes."""
        digest = hashlib.sha256()
        for name in ("pyproject.toml", "constraints.txt", ".make/install.py"):
            digest.update((self.root / name).read_bytes())
        return digest.hexdigest()

    def holds(self, extras):
        """Is everything in place, so that there is nothing to do?"""
        note = self.read()
        return (
            bool(note.get("done"))
            and note.items() >= self.place().items()
            and self.python.exists()
            and note.get("fingerprint") == self.fingerprint()
            and set(extras) <= set(note.get("extras", ()))
            and os.environ.get("BNLIB_TORCH") in (None, "", note.get("torch"))
        )

    def made_by_hand(self):
        """Was it there before we came? Then it is used, and never deleted."""
        return self.path.exists() and (not self.note.parent.exists() or "by_hand" in self.read())

    def remove(self):
        self.path.unlink() if self.path.is_symlink() else shutil.rmtree(self.path)


def python_version():
    return "{}.{}".format(*sys.version_info)


def ensure(extras, venv=None):
    """Have `.venv` hold bnlib with these extras; returns its Python. Raises Trouble."""
    venv = venv or Venv()
    try:
        if not venv.holds(extras):
            with only_one(venv):
                if not venv.holds(extras):  # another make may have finished it meanwhile
                    set_up(venv, extras)
    except OSError as error:
        raise trouble(venv, str(error)) from error
    return venv.python


def set_up(venv, extras):
    """Bring .venv from whatever state it is in to a finished install."""
    began, before = time.monotonic(), venv.read()
    by_hand, options = venv.made_by_hand(), []
    if by_hand:
        if not runs(venv.python):
            raise Trouble("the .venv here, made by other means, does not start: delete it first.")
        run([str(venv.python), "-m", "ensurepip"])  # some tools make environments without pip
        options = ["--reinstall"] if before and not before.get("done") else []
    elif not (before.get("done") and before.items() >= venv.place().items() and runs(venv.python)):
        create(venv, "it does not fit any more" if before.get("done") else "it was not finished")
        before = {}
    extras = sorted(set(extras) | set(before.get("extras", ())))
    note = {**venv.place(), "extras": extras, "torch": before.get("torch")}
    note |= {"by_hand": True} if by_hand else {}
    venv.write(note)
    say(f"installing {', '.join(['bnlib', *extras])} into .venv (once; a minute or so)")
    try:
        note["torch"] = install(venv, extras, before.get("torch"), options)
    except Trouble as failure:
        if failure.kind in (UNTRUSTED, OFFLINE, UNFIT) and before:
            venv.write(before)  # uv has everything at hand before it changes anything
        raise
    if "course" in extras:  # have matplotlib find the fonts now: in a notebook it would say so
        run([str(venv.python), "-c", "import matplotlib.font_manager"])
    venv.write({**note, "fingerprint": venv.fingerprint(), "done": True})
    say(f"installed in {time.monotonic() - began:.0f} s")


def create(venv, why):
    """Make an empty virtual environment, in place of a broken one if need be."""
    for module in ("venv", "ensurepip"):
        if importlib.util.find_spec(module) is None:
            raise Trouble(
                f"this Python lacks its {module} module: install it (Debian, Ubuntu: sudo apt "
                f"install python{python_version()}-venv), then run the same command again."
            )
    if venv.path.exists():
        say(f"making .venv afresh: {why}")
        venv.remove()
    venv.write(venv.place())  # not done: should this be broken off, it is known to be ours
    base = getattr(sys, "_base_executable", None) or sys.executable  # outside of any environment
    code, output = run([base, "-m", "venv", str(venv.path)])
    if code:
        raise trouble(venv, output)


def install(venv, extras, had_torch, options):
    """Install the package with its extras; returns the name of the torch build it asked for."""
    env = installer_environment(venv)
    pip = [str(venv.python), "-m", "pip", "install", "--quiet", "--retries", "2"]
    code, output = run([*pip, "-c", "constraints.txt", "uv"], env, venv.root)
    if code:
        raise trouble(venv, output)
    chosen = os.environ.get("BNLIB_TORCH")
    build = chosen or had_torch or torch_build(extras, env)
    if had_torch not in (None, build):
        options = [*options, "--reinstall-package", "torch"]
    course = ["-c", "constraints.txt", "-e", f".[{','.join(extras)}]" if extras else "."]
    while True:
        command = [str(venv.python), "-m", "uv", "pip", "install", "--python", str(venv.python)]
        command += ["--compile-bytecode", *options]
        command += [] if build == "index" else ["--torch-backend", build]
        code, output = run([*command, *course], env, venv.root, show=True)
        if not code:
            return build
        other = None if chosen else OTHER_BUILD.get((build, kind_of_trouble(output)))
        if not other:
            raise trouble(venv, output)
        say(f"torch's own package index has no {build} build for us: taking BNLIB_TORCH={other}")
        build = other


def installer_environment(venv):
    """The environment for uv and pip: what is set for pip holds for uv too."""
    env = dict(os.environ)
    for name in ("VIRTUAL_ENV", "CONDA_PREFIX", "PYTHONHOME", "PYTHONPATH"):
        env.pop(name, None)
    env.update(PIP_DISABLE_PIP_VERSION_CHECK="1", PIP_REQUIRE_VIRTUALENV="0", NO_COLOR="1")
    env["UV_BUILD_CONSTRAINT"] = "constraints.txt"  # what builds bnlib is pinned, too
    _, output = run([str(venv.python), "-m", "pip", "config", "list"], env)
    # pip prints "global.index-url='…'"; what comes later weighs more
    setting = dict(re.findall(r"^(?:global|install|:env:)\.([a-z-]+)='(.*)'$", output, re.M))
    for option, variable, separator in [
        ("find-links", "UV_FIND_LINKS", ","),
        ("index-url", "UV_DEFAULT_INDEX", " "),
        ("extra-index-url", "UV_INDEX", " "),
        ("cert", "SSL_CERT_FILE", " "),
        ("proxy", "ALL_PROXY", " "),
    ]:
        if option in setting:
            env.setdefault(variable, separator.join(setting[option].replace("\\n", " ").split()))
    if "extra-index-url" in setting:  # pip takes the best version of all indexes: so be it
        env.setdefault("UV_INDEX_STRATEGY", "unsafe-best-match")
    return env


def torch_build(extras, env):
    """Which build of torch to ask for: 'auto' (for this machine's GPU, or CPU), or 'index'.

    On Linux the general index's torch brings gigabytes for NVIDIA's GPUs, so we ask torch's own
    index. 'index' leaves it to the general one: on a Mac, whose torch has one build, and where
    this machine is set up to take packages from places of its own.
    """
    own = ("UV_TORCH_BACKEND", "UV_DEFAULT_INDEX", "UV_INDEX_URL")
    links = env.get("UV_FIND_LINKS", "").split(",")
    found = any("://" in link or any(Path(link).glob("torch-*")) for link in links if link)
    given = found or any(env.get(name) for name in own)
    return "index" if "torch" not in extras or given or sys.platform == "darwin" else "auto"


@contextlib.contextmanager
def only_one(venv):
    """Let one process at a time work on .venv; the lock ends with the process that holds it."""
    place = venv.root / ".out"
    place.mkdir(exist_ok=True)
    with (place / "install.lock").open("a+") as file:
        told = False
        while not grab(file):
            if not told:
                say("another make is installing in this folder: waiting for it")
                told = True
            time.sleep(0.2)
        yield


def grab(file):
    """Lock an open file; False when another process has it."""
    try:
        if os.name == "nt":
            import msvcrt

            file.seek(0)
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:  # a file system without locks says neither EAGAIN nor EACCES
        return error.errno not in (errno.EAGAIN, errno.EACCES, errno.EDEADLK)
    return True


def run(command, env=None, cwd=None, show=False):
    """Run a program without input; returns its exit status and all that it printed.

    show  on a terminal, keep its last line in sight
    """
    pipes = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
    text = {"encoding": "utf-8", "errors": "replace"}
    try:
        process = subprocess.Popen(command, env=env, cwd=cwd, **pipes, **text)
    except FileNotFoundError as error:
        return 127, str(error)
    lines, width = [], shutil.get_terminal_size().columns - 1
    show = show and sys.stdout.isatty()
    with process:
        try:
            for line in process.stdout:
                lines.append(line)
                if show:
                    print(f"\r{line.strip()[:width]:<{width}}", end="", flush=True)
        except BaseException:  # Ctrl-C: nothing goes on installing behind our back
            process.terminate()
            raise
    if show:
        print("\r" + " " * width + "\r", end="", flush=True)
    return process.returncode, "".join(lines)


def runs(python):
    """Does this interpreter start, and is it new enough?"""
    code, _ = run([str(python), "-c", f"import sys; sys.exit(sys.version_info < {OLDEST})"])
    return code == 0


def kind_of_trouble(output):
    """The place in TROUBLE of what an installer's output tells; None where we do not know it."""
    signs = (re.search(sign, output, re.IGNORECASE) for sign, _ in TROUBLE)
    return next((place for place, found in enumerate(signs) if found), None)


def trouble(venv, output):
    """A Trouble for what an installer printed; the whole output goes to .out/install.log."""
    with contextlib.suppress(OSError):
        (venv.root / ".out").mkdir(exist_ok=True)
        (venv.root / ".out" / "install.log").write_text(output, encoding="utf-8")
    kind = kind_of_trouble(output)
    if kind is not None:
        text = TROUBLE[kind][1].format(version=python_version(), system=platform.system())
        return Trouble(text, kind)
    errors = [line for line in output.splitlines() if "error" in line.lower()] or [output]
    last = " ".join(errors[-1].split())[:200]
    return Trouble(
        f"the install failed ({last}): see .out/install.log, then run the same command again."
    )


if __name__ == "__main__":
    try:
        ensure(sys.argv[1:])
    except Trouble as failure:
        sys.exit(f"bnlib: {failure}")
