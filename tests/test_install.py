"""The installer behind make: nothing is installed here, every program it calls is played."""

import errno
import importlib.util
import json
import os
import re
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


def load(name):
    """A script of .make/, which is no package, as a module."""
    spec = importlib.util.spec_from_file_location(name, ROOT / ".make" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


# ---------------------------------------------------------------- a stage for the installer

NO_NETWORK = """\
error: Request failed after 3 retries in 7.1s
  cause: Failed to fetch: https://index.example/simple/numpy/
  cause: dns error
  cause: failed to lookup address information: Name or service not known
"""
DISK_FULL = """\
error: Failed to install: numpy-2.4.6-cp311-cp311-manylinux_2_28_x86_64.whl (numpy==2.4.6)
  cause: failed to copy file: No space left on device (os error 28)
"""
NO_WHEEL = """\
  × No solution found when resolving dependencies:
  ╰─▶ Because torch==2.13.0 has no wheels with a matching Python ABI tag, we can conclude that
      your requirements are unsatisfiable.
"""


class Stage:
    """A project folder, and a `run` that answers in place of venv, pip and uv."""

    def __init__(self, install, root):
        self.install, self.root = install, root
        self.venv = install.Venv(root)
        self.calls = []  # (what, command, environment)
        self.answers = {}  # what: a list of (status, output) or exceptions, taken in turn
        for name in ("pyproject.toml", "constraints.txt", ".make/install.py"):
            (root / name).parent.mkdir(exist_ok=True)
            (root / name).write_text(name)

    def run(self, command, env=None, cwd=None, show=False):
        what = self.what(command)
        self.calls.append((what, command, env))
        answer = self.answers.get(what) or [(0, "")]
        answer = answer.pop(0)
        if isinstance(answer, BaseException):
            raise answer
        if what == "create" and answer[0] == 0:
            self.make_by_hand()
        return answer

    @staticmethod
    def what(command):
        words = " ".join(map(str, command))
        for what, sign in [
            ("create", "-m venv"),
            ("packages with uv", "uv pip install"),
            ("settings", "pip config list"),
            ("uv", "constraints.txt uv"),
            ("packages with pip", "-m pip install --compile"),
            ("bootstrap pip", "ensurepip"),
            ("does it run", "version_info"),
            ("fonts", "font_manager"),
        ]:
            if sign in words:
                return what
        raise AssertionError(f"nobody should run: {words}")

    def make_by_hand(self):
        self.venv.python.parent.mkdir(parents=True, exist_ok=True)
        self.venv.python.touch()

    def ensure(self, *extras):
        """Ask for the extras; returns what was run for them."""
        self.calls.clear()
        self.install.ensure(set(extras), self.venv)
        return self.ran()

    def ran(self):
        return [what for what, _, _ in self.calls]

    def command(self, what):
        return next(" ".join(command) for name, command, _ in self.calls if name == what)

    def environment(self, what):
        return next(env for name, _, env in self.calls if name == what)


@pytest.fixture
def install(monkeypatch):
    for name in list(os.environ):
        if name.startswith(("PIP_", "UV_")) or name in ("BNLIB_TORCH", "SSL_CERT_FILE"):
            monkeypatch.delenv(name)
    return load("install")


@pytest.fixture
def stage(install, tmp_path, monkeypatch):
    stage = Stage(install, tmp_path)
    monkeypatch.setattr(install, "run", stage.run)
    return stage


# ---------------------------------------------------------------- installing once


def test_first_call_makes_venv_then_installs(stage):
    ran = stage.ensure("torch", "course")
    assert ran == ["create", "settings", "uv", "packages with uv", "fonts"]


def test_install_asks_for_the_extras_at_the_tested_versions(stage):
    stage.ensure("course", "torch")
    assert "-c constraints.txt -e .[course,torch]" in stage.command("packages with uv")
    assert stage.environment("packages with uv")["UV_BUILD_CONSTRAINT"] == "constraints.txt"


def test_second_call_starts_no_program(stage):
    stage.ensure("torch", "course")
    assert stage.ensure("torch", "course") == []
    assert stage.ensure("course") == []


def test_more_extras_are_added_to_what_is_there(stage):
    stage.ensure("course")
    assert "create" not in stage.ensure("test")
    assert ".[course,test]" in stage.command("packages with uv")


@pytest.mark.parametrize("name", ["pyproject.toml", "constraints.txt", ".make/install.py"])
def test_changed_file_installs_again_without_a_new_venv(stage, name):
    stage.ensure("course")
    (stage.root / name).write_text("changed")
    assert stage.ensure("course") == ["settings", "uv", "packages with uv", "fonts"]


# ---------------------------------------------------------------- finishing what was broken off


@pytest.mark.parametrize("broken_off", ["create", "uv", "packages with uv", "fonts"])
def test_interrupted_install_is_started_afresh(stage, broken_off, capsys):
    stage.answers[broken_off] = [KeyboardInterrupt()]
    with pytest.raises(KeyboardInterrupt):
        stage.ensure("course")
    assert stage.ensure("course") == ["create", "settings", "uv", "packages with uv", "fonts"]
    assert "was not finished" in capsys.readouterr().out
    assert stage.ensure("course") == []


def test_failed_install_is_not_taken_for_done(stage):
    stage.answers["packages with uv"] = [(2, DISK_FULL)]
    with pytest.raises(stage.install.Trouble):
        stage.ensure("course")
    assert "packages with uv" in stage.ensure("course")


def test_stamp_without_the_end_of_the_install_does_not_count(stage):
    stage.ensure("course")
    stage.venv.busy.touch()
    assert "create" in stage.ensure("course")


@pytest.mark.parametrize("stamp", ["", "{", "[]", "null", "\x00\x00"])
def test_damaged_stamp_does_not_count(stage, stamp):
    stage.ensure("course")
    stage.venv.ready.write_text(stamp)
    assert "packages with uv" in stage.ensure("course")


def test_without_network_what_was_installed_before_stays(stage):
    stage.ensure("course")
    stage.answers["packages with uv"] = [(2, NO_NETWORK)]
    with pytest.raises(stage.install.Trouble):
        stage.ensure("test")
    assert stage.ensure("course") == []


def test_full_disk_leaves_nothing_to_rely_on(stage):
    stage.ensure("course")
    stage.answers["packages with uv"] = [(2, DISK_FULL)]
    with pytest.raises(stage.install.Trouble):
        stage.ensure("test")
    assert "create" in stage.ensure("course")


# ---------------------------------------------------------------- a venv that does not fit


def test_removed_interpreter_makes_venv_afresh(stage):
    stage.ensure("course")
    stage.venv.python.unlink()
    assert "create" in stage.ensure("course")


def test_moved_folder_makes_venv_afresh(stage, tmp_path_factory):
    stage.ensure("course")
    moved = tmp_path_factory.mktemp("elsewhere") / "course"
    shutil.copytree(stage.root, moved)
    stage.root, stage.venv = moved, stage.install.Venv(moved)
    assert "create" in stage.ensure("course")


def test_other_python_makes_venv_afresh(stage, monkeypatch):
    stage.ensure("course")
    monkeypatch.setattr(stage.install, "python_version", lambda: "3.99")
    assert "create" in stage.ensure("course")


def test_half_made_venv_is_replaced(stage):
    (stage.venv.path / "lib").mkdir(parents=True)
    stage.answers["does it run"] = [(127, "No such file or directory")]
    assert "create" in stage.ensure("course")
    assert not (stage.venv.path / "lib").exists()


def test_venv_made_by_hand_is_used_and_kept(stage):
    stage.make_by_hand()
    assert "create" not in stage.ensure("course")
    stage.answers["packages with uv"] = [KeyboardInterrupt()]
    with pytest.raises(KeyboardInterrupt):
        stage.ensure("test")
    assert "create" not in stage.ensure("test")
    assert "--reinstall" in stage.command("packages with uv")  # half a package may lie there


def test_clean_keeps_a_venv_made_by_hand(stage, monkeypatch):
    run = load("run")
    monkeypatch.setattr(run, "ROOT", stage.root)
    monkeypatch.setattr(run.install, "ROOT", stage.root)
    monkeypatch.setattr(run.install, "Venv", lambda: stage.venv)
    stage.make_by_hand()
    run.clean()
    assert stage.venv.python.exists()
    shutil.rmtree(stage.venv.path)
    stage.ensure("course")
    run.clean()
    assert not stage.venv.path.exists()


# ---------------------------------------------------------------- two at a time


def test_lock_lets_one_process_in(install, tmp_path):
    with (tmp_path / "lock").open("a+") as mine, (tmp_path / "lock").open("a+") as yours:
        assert install.grab(mine)
        assert not install.grab(yours)


def test_lock_ends_with_its_process(install, tmp_path):
    with (tmp_path / "lock").open("a+") as gone:
        assert install.grab(gone)
    with (tmp_path / "lock").open("a+") as mine:
        assert install.grab(mine)


def test_waiting_process_says_so_and_then_finds_all_done(stage, monkeypatch, capsys):
    stage.ensure("course")
    stamp = stage.venv.ready.read_text()
    stage.venv.ready.unlink()

    def other_process_finishes(seconds):
        stage.venv.ready.write_text(stamp)

    tries = iter([False, True])
    monkeypatch.setattr(stage.install, "grab", lambda file: next(tries))
    monkeypatch.setattr(stage.install.time, "sleep", other_process_finishes)
    assert stage.ensure("course") == []
    assert "another make" in capsys.readouterr().out


# ---------------------------------------------------------------- one clear line

OUTPUTS = {
    "full disk, uv": (DISK_FULL, "free about"),
    "full disk, pip": ("ERROR: [Errno 28] No space left on device", "free about"),
    "full disk, Windows": ("There is not enough space on the disk. (os error 112)", "free about"),
    "quota": ("OSError: [Errno 122] Disk quota exceeded", "free about"),
    "no network, uv": (NO_NETWORK, "check the network"),
    "no network, pip": (
        "WARNING: Retrying after connection broken by 'NewConnectionError(...)': /simple/uv/\n"
        "ERROR: Could not find a version that satisfies the requirement uv (from versions: none)",
        "check the network",
    ),
    "no proxy": ("ProxyError('Cannot connect to proxy.', OSError(111))", "HTTPS_PROXY"),
    "certificate": ("invalid peer certificate: UnknownIssuer", "SSL_CERT_FILE"),
    "no wheel": (NO_WHEEL, "PYTHON=python3.12"),
    "file in use": ("failed to remove file: Access is denied. (os error 5)", "close what uses it"),
    "unknown": ("boom\nerror: the roof fell in\n", "the roof fell in"),
    "nothing said": ("", "install.log"),
}


@pytest.mark.parametrize(("output", "advice"), OUTPUTS.values(), ids=OUTPUTS)
def test_trouble_is_one_line_that_says_what_to_do(stage, output, advice):
    stage.answers["packages with uv"] = [(1, output)] * 3
    with pytest.raises(stage.install.Trouble, match=re.escape(advice)) as caught:
        stage.ensure("course")
    assert "\n" not in str(caught.value)
    log = stage.root / ".out" / "install.log"
    assert log.read_text(encoding="utf-8") == output


def test_full_disk_under_our_own_hands_is_one_line(stage, monkeypatch):
    def write(path, text):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))

    monkeypatch.setattr(stage.venv, "write", write)
    with pytest.raises(stage.install.Trouble, match="the disk is full"):
        stage.ensure("course")


@pytest.mark.parametrize("module", ["venv", "ensurepip"])
def test_missing_venv_module_names_the_package(stage, monkeypatch, module):
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(stage.install.Trouble, match=r"apt install python3\.\d+-venv"):
        stage.ensure("course")
    assert stage.ran() == []


def test_failed_venv_is_one_line(stage):
    stage.answers["create"] = [(1, "Error: [Errno 28] No space left on device: '.venv/bin'")]
    with pytest.raises(stage.install.Trouble, match="the disk is full"):
        stage.ensure("course")


def test_main_prints_one_line_and_fails(monkeypatch, capsys):
    run = load("run")

    def no_luck(extras):
        raise run.install.Trouble("the disk is full: free some.")

    monkeypatch.setattr(run.install, "ensure", no_luck)
    monkeypatch.setattr(run.signal, "signal", lambda *_: None)
    assert run.main(["test"]) == 1
    assert capsys.readouterr().err == "bnlib: the disk is full: free some.\n"


def test_main_stopped_by_ctrl_c_prints_no_traceback(monkeypatch, capsys):
    run = load("run")

    def stopped(extras):
        raise KeyboardInterrupt

    monkeypatch.setattr(run.install, "ensure", stopped)
    monkeypatch.setattr(run.signal, "signal", lambda *_: None)
    assert run.main(["test"]) == 130
    assert "stopped" in capsys.readouterr().err


def test_real_program_gives_status_and_output(install):
    code = "import sys; print('é'); print('two', file=sys.stderr); sys.exit(3)"
    status, output = install.run([sys.executable, "-X", "utf8", "-c", code])
    assert status == 3
    assert set(output.split()) == {"é", "two"}


def test_absent_program_gives_127(install):
    assert install.run(["there-is-no-such-program"])[0] == 127


# ---------------------------------------------------------------- where packages come from


def test_pip_settings_reach_uv(stage):
    settings = [
        "global.extra-index-url='file:///mirror/simple\\nfile:///other/simple'",
        "global.find-links='/old/wheels'",
        "global.index-url='https://mirror.example/simple'",
        ":env:.find-links='/wheels /more'",
        ":env:.cert='/etc/certificates.pem'",
    ]
    stage.answers["settings"] = [(0, "\n".join(settings))]
    stage.ensure("torch")
    env = stage.environment("packages with uv")
    assert env["UV_FIND_LINKS"] == "/wheels,/more"
    assert env["UV_DEFAULT_INDEX"] == "https://mirror.example/simple"
    assert env["UV_INDEX"] == "file:///mirror/simple file:///other/simple"
    assert env["UV_INDEX_STRATEGY"] == "unsafe-best-match"
    assert env["SSL_CERT_FILE"] == "/etc/certificates.pem"


def test_settings_made_for_uv_win(stage, monkeypatch):
    monkeypatch.setenv("UV_FIND_LINKS", "/mine")
    stage.answers["settings"] = [(0, "global.find-links='/wheels'")]
    stage.ensure("course")
    assert stage.environment("packages with uv")["UV_FIND_LINKS"] == "/mine"


def test_active_environment_does_not_leak_into_the_install(stage, monkeypatch):
    monkeypatch.setenv("VIRTUAL_ENV", "/another/venv")
    monkeypatch.setenv("PYTHONPATH", "/another/lib")
    stage.ensure("course")
    assert not {"VIRTUAL_ENV", "PYTHONPATH"} & set(stage.environment("packages with uv"))


@pytest.mark.parametrize(
    ("platform", "build"), [("linux", "auto"), ("win32", "auto"), ("darwin", "")]
)
def test_torch_comes_from_its_own_index(stage, monkeypatch, platform, build):
    monkeypatch.setattr(stage.install.sys, "platform", platform)
    stage.ensure("torch")
    found = re.findall(r"--torch-backend (\w+)", stage.command("packages with uv"))
    assert found == ([build] if build else [])


def test_torch_on_disk_is_taken(stage, monkeypatch, tmp_path):
    (tmp_path / "torch-2.13.0+cpu-cp311-cp311-linux_x86_64.whl").touch()
    monkeypatch.setenv("UV_FIND_LINKS", str(tmp_path))
    stage.ensure("torch")
    assert "--torch-backend" not in stage.command("packages with uv")


def test_own_package_index_is_trusted_with_torch(stage):
    stage.answers["settings"] = [(0, "global.index-url='https://mirror.example/simple'")]
    stage.ensure("torch")
    assert "--torch-backend" not in stage.command("packages with uv")


def test_chosen_torch_build_is_asked_for(stage, monkeypatch):
    monkeypatch.setenv("BNLIB_TORCH", "cu126")
    stage.ensure("torch")
    assert "--torch-backend cu126" in stage.command("packages with uv")


def test_other_torch_build_replaces_the_one_there(stage, monkeypatch):
    monkeypatch.setattr(stage.install.sys, "platform", "linux")
    stage.ensure("torch")
    monkeypatch.setenv("BNLIB_TORCH", "cu126")
    stage.ensure("torch")
    assert "--reinstall-package torch" in stage.command("packages with uv")
    assert stage.ensure("torch") == []
    monkeypatch.delenv("BNLIB_TORCH")
    assert stage.ensure("torch") == []


@pytest.mark.parametrize(
    ("outputs", "builds"),
    [
        ([NO_NETWORK], ["auto", "index"]),
        ([NO_WHEEL], ["auto", "cpu"]),
        ([NO_WHEEL, NO_WHEEL], ["auto", "cpu", "index"]),
    ],
    ids=["index out of reach", "no build for this GPU", "no build at all"],
)
def test_torch_index_that_does_not_help_is_left(stage, monkeypatch, capsys, outputs, builds):
    monkeypatch.setattr(stage.install.sys, "platform", "linux")
    stage.answers["packages with uv"] = [*((2, output) for output in outputs), (0, "")]
    stage.ensure("torch")
    commands = [" ".join(c) for what, c, _ in stage.calls if what == "packages with uv"]
    asked = [re.findall(r"--torch-backend (\w+)", command) for command in commands]
    assert asked == [[build] if build != "index" else [] for build in builds]
    assert capsys.readouterr().out.count("torch's own package index") == len(outputs)


def test_chosen_torch_build_is_never_swapped(stage, monkeypatch):
    monkeypatch.setenv("BNLIB_TORCH", "cu126")
    stage.answers["packages with uv"] = [(2, NO_NETWORK)]
    with pytest.raises(stage.install.Trouble, match="network"):
        stage.ensure("torch")
    assert stage.ran().count("packages with uv") == 1


def test_pip_stands_in_for_uv(stage):
    stage.answers["uv"] = [(1, "ERROR: No matching distribution found for uv")]
    assert "packages with pip" in stage.ensure("course")
    assert "-c constraints.txt -e .[course]" in stage.command("packages with pip")


def test_pip_is_not_tried_without_network(stage):
    stage.answers["uv"] = [(1, "NewConnectionError: Name or service not known")]
    with pytest.raises(stage.install.Trouble, match="check the network"):
        stage.ensure("course")
    assert "packages with pip" not in stage.ran()


# ---------------------------------------------------------------- finding a Python

needs_sh = pytest.mark.skipif(
    os.name == "nt" or not shutil.which("sh"), reason="plays Pythons with shell scripts"
)


def find_python(folder, pythons, **variables):
    """Run python.sh where only these Pythons are to be had; returns what it did."""
    bin_folder = folder / "bin"
    bin_folder.mkdir(exist_ok=True)
    for name, (version, status) in pythons.items():
        # says whether its version fits the condition that python.sh puts to it
        script = f"""#!/bin/sh
[ {status} = 0 ] || exit {status}
[ "$1" = -c ] || {{ echo "{name} $*"; exit 0; }}
exec "{sys.executable}" -c "import sys; sys.version_info = {version}; $2"
"""
        (bin_folder / name).write_text(script)
        (bin_folder / name).chmod(stat.S_IRWXU)
    return subprocess.run(
        [shutil.which("sh"), str(ROOT / ".make" / "python.sh"), "script.py", "two words"],
        cwd=folder,
        env={"PATH": str(bin_folder), **variables},
        capture_output=True,
        text=True,
        check=False,
    )


@needs_sh
@pytest.mark.parametrize(
    ("pythons", "chosen"),
    [
        ({"python3": ((3, 12), 0), "python3.13": ((3, 13), 0)}, "python3"),
        ({"python3": ((3, 9), 0), "python3.11": ((3, 11), 0)}, "python3.11"),
        ({"python3": ((3, 15), 0), "python3.12": ((3, 12), 0)}, "python3.12"),
        ({"python3": ((3, 15), 0)}, "python3"),
        ({"python3": ((3, 13), 127), "python": ((3, 11), 0)}, "python"),
        ({"py": ((3, 13), 0)}, "py -3.13"),
    ],
    ids=["usual one", "too old", "newer than tested", "newer alone", "stub", "Windows launcher"],
)
def test_python_is_found(tmp_path, pythons, chosen):
    if chosen.startswith("py "):  # the launcher's first word is a version, which we skip
        script = '#!/bin/sh\n[ "$2" = -c ] && exit 0\necho "py $*"\n'
        (tmp_path / "bin").mkdir()
        (tmp_path / "bin" / "py").write_text(script)
        (tmp_path / "bin" / "py").chmod(stat.S_IRWXU)
        pythons = {}
    done = find_python(tmp_path, pythons)
    assert done.stdout == f"{chosen} script.py two words\n"


@needs_sh
@pytest.mark.parametrize("pythons", [{}, {"python3": ((3, 10), 0)}], ids=["none", "too old"])
def test_no_python_is_one_line(tmp_path, pythons):
    done = find_python(tmp_path, pythons)
    assert done.returncode == 1
    assert "install one" in done.stderr
    assert done.stderr.count("\n") == 1


@needs_sh
def test_named_python_is_taken(tmp_path):
    pythons = {"python3": ((3, 12), 0), "my python": ((3, 13), 0)}
    done = find_python(tmp_path, pythons, PYTHON=str(tmp_path / "bin" / "my python"))
    assert done.stdout.startswith("my python script.py")


@needs_sh
def test_named_python_that_does_not_fit_is_refused(tmp_path):
    done = find_python(tmp_path, {"python3": ((3, 9), 0)}, PYTHON="python3")
    assert done.returncode == 1
    assert "PYTHON=python3" in done.stderr


@needs_sh
def test_python_that_made_venv_is_taken_again(tmp_path):
    pythons = {"python3": ((3, 12), 0), "earlier": ((3, 11), 0)}
    note = tmp_path / ".venv" / ".bnlib" / "python"
    note.parent.mkdir(parents=True)
    note.write_text(f"{tmp_path / 'bin' / 'earlier'}\n")
    assert find_python(tmp_path, pythons).stdout.startswith("earlier script.py")
    note.write_text("/removed/python\n")
    assert find_python(tmp_path, pythons).stdout.startswith("python3 script.py")


# ---------------------------------------------------------------- targets


def test_makefile_and_script_have_the_same_targets():
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = re.search(r"^TARGETS := (.*)$", makefile, re.MULTILINE)
    assert set(targets[1].split()) == set(load("run").TARGETS)


def test_every_target_says_what_it_does(capsys):
    run = load("run")
    run.show_help()
    lines = capsys.readouterr().out.splitlines()[1:]
    assert len(lines) == len(run.TARGETS)
    assert all(len(line.split()) > 2 for line in lines)


def test_extras_of_every_target_exist():
    import tomllib

    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    asked = set().union(*(extras or set() for _, extras in load("run").TARGETS.values()))
    assert asked <= set(project["optional-dependencies"])


def test_tests_run_on_one_thread_unless_told_otherwise(monkeypatch):
    run = load("run")
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setenv("OPENBLAS_NUM_THREADS", "2")
    env = run.quiet_environment()
    assert (env["OMP_NUM_THREADS"], env["OPENBLAS_NUM_THREADS"]) == ("1", "2")


# ---------------------------------------------------------------- make lab


@pytest.mark.parametrize(
    ("env", "platform", "expected"),
    [
        ({"DISPLAY": ":0"}, "linux", True),
        ({}, "linux", False),
        ({"DISPLAY": ":0", "CI": "true"}, "linux", False),
        ({}, "darwin", True),
        ({"SSH_CONNECTION": "…"}, "darwin", False),
        ({}, "win32", True),
        ({"BROWSER": "firefox"}, "linux", True),
    ],
    ids=["desktop", "no screen", "CI", "Mac", "Mac over ssh", "Windows", "named browser"],
)
def test_browser_is_opened_only_where_there_is_one(monkeypatch, env, platform, expected):
    lab = load("lab")
    monkeypatch.setattr(lab.webbrowser, "get", lambda: object())
    assert lab.has_browser(env, platform) is expected


def test_browser_in_the_terminal_does_not_count(monkeypatch):
    lab = load("lab")
    monkeypatch.setattr(lab.webbrowser, "get", lambda: lab.webbrowser.GenericBrowser("w3m"))
    assert not lab.has_browser({"DISPLAY": ":0"}, "linux")


def test_lab_opens_the_first_notebook():
    options = load("lab").options([], "secret", browser=True, root_user=False)
    assert options[0] == "notebooks/00_start_here.ipynb"
    assert not {"--no-browser", "--allow-root"} & set(options)


def test_lab_without_browser_prints_the_address(tmp_path, capsys):
    lab = load("lab")
    note = tmp_path / "jpserver-1.json"
    note.write_text(json.dumps({"url": "http://localhost:8889/"}))
    lab.announce(note, "secret", browser=False)
    address = "http://localhost:8889/lab/tree/notebooks/00_start_here.ipynb?token=secret"
    assert address in capsys.readouterr().out


def test_lab_as_root_is_allowed():
    assert "--allow-root" in load("lab").options(["--port=9"], "s", browser=False, root_user=True)
