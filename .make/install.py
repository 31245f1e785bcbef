"""Make `.venv` and install the course into it, once: what every make target does first.

Standard library only, for it runs under the system's Python. `ensure(extras)` is all that
`.make/run.py` calls. When nothing has changed it reads one small file and returns.

What it leaves in `.venv/.bnlib/`:
    ready     what was installed, written last and in one piece: no such file, no finished install
    busy      there while an install is under way; where it is found, the last one was interrupted
    adopted   this .venv was made by hand: it is not deleted while its Python starts
    python    the interpreter that made .venv (read by python.sh)
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
import threading
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
    """What went wrong and what to do about it, in one line.

    harmless    nothing was changed yet, so what was installed before still is
    """

    def __init__(self, text, harmless=False):
        super().__init__(text)
        self.harmless = harmless


def say(text):
    print(f"bnlib: {text}", flush=True)


# ---------------------------------------------------------------- what is there


class Venv:
    """The course's virtual environment, and what is known of its state."""

    def __init__(self, root=ROOT):
        self.root = Path(root)
        self.path = self.root / ".venv"
        scripts = "Scripts/python.exe" if os.name == "nt" else "bin/python"
        self.python = self.path / scripts
        notes = self.path / ".bnlib"
        self.ready, self.busy = notes / "ready", notes / "busy"
        self.adopted, self.made_by = notes / "adopted", notes / "python"

    def fingerprint(self):
        """Changes when what should be installed changes."""
        digest = hashlib.sha256()
        for name in ("pyproject.toml", "constraints.txt", ".make/install.py"):
            digest.update((self.root / name).read_bytes())
        return digest.hexdigest()

    def installed(self):
        """The stamp of the last finished install; {} where there is none to rely on."""
        try:
            stamp = json.loads(self.ready.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return stamp if isinstance(stamp, dict) and not self.busy.exists() else {}

    def holds(self, extras):
        """Is everything in place, so that there is nothing to do?"""
        stamp = self.installed()
        return (
            bool(stamp)
            and self.usable(stamp)
            and stamp.get("fingerprint") == self.fingerprint()
            and set(extras) <= set(stamp.get("extras", ()))
            and os.environ.get("BNLIB_TORCH") in (None, "", stamp.get("torch"))
        )

    def usable(self, stamp):
        """Can one build on this environment? Not once its folder or its Python has changed."""
        same_place = stamp.get("root") == str(self.root)
        return same_place and stamp.get("python") == python_version() and self.python.exists()

    def write(self, path, text):
        """Write a note in one piece: readers see the old one or the new one."""
        path.parent.mkdir(parents=True, exist_ok=True)
        draft = path.with_name(path.name + ".new")
        draft.write_text(text, encoding="utf-8")
        os.replace(draft, path)


def python_version():
    return "{}.{}".format(*sys.version_info)


# ---------------------------------------------------------------- the steps


def ensure(extras, venv=None):
    """Have `.venv` hold bnlib with these extras; returns its Python. Raises Trouble."""
    venv = venv or Venv()
    if not venv.holds(extras):
        try:
            with only_one(venv):
                if not venv.holds(extras):  # another make may have finished it meanwhile
                    set_up(venv, extras)
        except OSError as error:
            raise Trouble(advice(venv, str(error))) from error
    return venv.python


def set_up(venv, extras):
    """Bring .venv from whatever state it is in to a finished install."""
    began = time.monotonic()
    stamp, interrupted = venv.installed(), venv.busy.exists()
    made_by_hand = venv.adopted.exists() or (
        venv.path.exists() and not stamp and not interrupted and not venv.made_by.exists()
    )
    if made_by_hand and runs(venv.python):
        venv.write(venv.adopted, "")
        run([str(venv.python), "-m", "ensurepip"])  # some tools make environments without pip
    elif not (stamp and venv.usable(stamp)):
        create(venv, interrupted)
        stamp, interrupted = {}, False

    venv.write(venv.busy, "")
    extras = sorted(set(extras) | set(stamp.get("extras", ())))
    say(f"installing {', '.join(['bnlib', *extras])} into .venv (once; a minute or so)")
    try:
        torch = install(venv, extras, repair=interrupted, had_torch=stamp.get("torch"))
    except Trouble as failure:
        if failure.harmless and stamp:
            venv.busy.unlink()
        raise
    warm_up(venv, extras)
    note = {
        "fingerprint": venv.fingerprint(),
        "extras": extras,
        "torch": torch,
        "root": str(venv.root),
        "python": python_version(),
    }
    venv.write(venv.made_by, base_python() + "\n")
    venv.write(venv.ready, json.dumps(note, indent=1) + "\n")
    venv.busy.unlink()  # only from here on does the stamp count
    say(f"installed in {time.monotonic() - began:.0f} s")


def create(venv, interrupted):
    """Make an empty virtual environment, in place of a broken one if need be."""
    for module in ("venv", "ensurepip"):
        if importlib.util.find_spec(module) is None:
            raise Trouble(
                f"this Python lacks its {module} module: install it (Debian, Ubuntu: sudo apt "
                f"install python{python_version()}-venv), then run the same command again."
            )
    if venv.path.exists():
        why = "the last install was not finished" if interrupted else "it does not fit any more"
        say(f"making .venv afresh: {why}")
        remove(venv)
    venv.write(venv.busy, "")
    code, output = run([base_python(), "-m", "venv", str(venv.path)])
    if code:
        raise Trouble(advice(venv, output))


def install(venv, extras, repair=False, had_torch=None):
    """Install the package with its extras; returns the name of the torch build it asked for."""
    env = installer_environment(venv)
    with_uv = have_uv(venv, env)
    chosen = os.environ.get("BNLIB_TORCH")
    wanted = chosen or had_torch or torch_build(extras, env)
    options = ["--reinstall"] if repair else []
    if had_torch not in (None, wanted):
        options += ["--reinstall-package", "torch"]
    build = wanted
    while True:
        command = uv_command(venv, build, options) if with_uv else pip_command(venv, options)
        code, output = run([*command, *requirements(extras)], env, venv.root, show=True)
        if not code:
            return build
        other = OTHER_BUILD.get((build, kind_of_trouble(output)))
        if chosen or not other or not with_uv:
            break
        say(f"torch's own package index has no {build} build for us: taking BNLIB_TORCH={other}")
        build = other
    # uv has everything at hand before it changes anything
    harmless = with_uv and kind_of_trouble(output) in (UNTRUSTED, OFFLINE, UNFIT)
    raise Trouble(advice(venv, output), harmless)


def requirements(extras):
    """The course itself, editable, at exactly the tested versions."""
    names = f"[{','.join(extras)}]" if extras else ""
    return ["-c", "constraints.txt", "-e", f".{names}"]


def have_uv(venv, env):
    """Install uv, which is many times faster than pip; False where it cannot be had."""
    command = [str(venv.python), "-m", "pip", "install", "--quiet", "--retries", "2"]
    code, output = run([*command, "-c", "constraints.txt", "uv"], env, venv.root)
    if code and kind_of_trouble(output) not in (None, UNFIT):
        raise Trouble(advice(venv, output), harmless=True)  # pip would do no better
    if code:
        say("uv cannot be had here: using pip, which takes longer")
    return not code


def uv_command(venv, build, options):
    command = [str(venv.python), "-m", "uv", "pip", "install"]
    command += ["--python", str(venv.python), "--compile-bytecode", *options]
    return command if build == "index" else [*command, "--torch-backend", build]


def pip_command(venv, options):
    again = ["--force-reinstall"] if options else []
    return [str(venv.python), "-m", "pip", "install", "--compile", *again]


def warm_up(venv, extras):
    """Have matplotlib find the fonts now: in a notebook it would say so in a cell's output."""
    if "course" in extras:
        run([str(venv.python), "-c", "import matplotlib.font_manager"])


# ---------------------------------------------------------------- where packages come from


def installer_environment(venv):
    """The environment for uv and pip: what is set for pip holds for uv too."""
    env = dict(os.environ)
    for name in ("VIRTUAL_ENV", "CONDA_PREFIX", "PYTHONHOME", "PYTHONPATH"):
        env.pop(name, None)
    env.update(PIP_DISABLE_PIP_VERSION_CHECK="1", PIP_REQUIRE_VIRTUALENV="0", NO_COLOR="1")
    env["UV_BUILD_CONSTRAINT"] = "constraints.txt"  # what builds bnlib is pinned, too
    _, output = run([str(venv.python), "-m", "pip", "config", "list"], env)
    setting = {}  # pip prints "global.index-url='…'"; what comes later weighs more
    for key, value in re.findall(r"^(?:global|install|:env:)\.([a-z-]+)='(.*)'$", output, re.M):
        setting[key] = value
    for option, variable, separator in [
        ("find-links", "UV_FIND_LINKS", ","),
        ("index-url", "UV_DEFAULT_INDEX", " "),
        ("extra-index-url", "UV_INDEX", " "),
        ("cert", "SSL_CERT_FILE", " "),
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


# ---------------------------------------------------------------- small tools


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
    """Run a program without input; returns its exit status and all that it printed."""
    try:
        process = subprocess.Popen(
            command,
            env=env,
            cwd=cwd,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            errors="replace",
        )
    except FileNotFoundError as error:
        return 127, str(error)
    lines = []
    reader = threading.Thread(target=lines.extend, args=(process.stdout,), daemon=True)
    reader.start()
    try:
        watch(reader, lines, show and sys.stdout.isatty())
        status = process.wait()
    finally:  # also on Ctrl-C: nothing goes on installing behind our back
        if process.poll() is None:
            process.terminate()
            process.wait()
        reader.join(5)
        process.stdout.close()
    return status, "".join(lines)


def watch(reader, lines, show):
    """Wait for the reader; on a terminal, show the last line and the seconds meanwhile."""
    began = time.monotonic()
    while reader.is_alive():
        reader.join(0.2)
        if show:
            width = shutil.get_terminal_size().columns - 1
            last = lines[-1].strip() if lines else ""
            text = f"  {time.monotonic() - began:3.0f} s  {last}"[:width]
            print(f"\r{text:<{width}}", end="", flush=True)
    if show:
        print("\r" + " " * width + "\r", end="", flush=True)


def runs(python):
    """Does this interpreter start, and is it new enough?"""
    code, _ = run([str(python), "-c", f"import sys; sys.exit(sys.version_info < {OLDEST})"])
    return code == 0


def base_python():
    """The interpreter outside of any virtual environment."""
    return getattr(sys, "_base_executable", None) or sys.executable


def remove(venv):
    if venv.path.is_symlink():
        venv.path.unlink()
    else:
        shutil.rmtree(venv.path)


def kind_of_trouble(output):
    """The place in TROUBLE of what an installer's output tells; None where we do not know it."""
    signs = (re.search(sign, output, re.IGNORECASE) for sign, _ in TROUBLE)
    return next((place for place, found in enumerate(signs) if found), None)


def advice(venv, output):
    """One line on what an installer's output means; the whole output goes to .out/install.log."""
    with contextlib.suppress(OSError):
        (venv.root / ".out").mkdir(exist_ok=True)
        (venv.root / ".out" / "install.log").write_text(output, encoding="utf-8")
    kind = kind_of_trouble(output)
    if kind is not None:
        return TROUBLE[kind][1].format(version=python_version(), system=platform.system())
    errors = [line for line in output.splitlines() if "error" in line.lower()] or [output]
    last = " ".join(errors[-1].split())[:200]
    return f"the install failed ({last}): see .out/install.log, then run the same command again."
