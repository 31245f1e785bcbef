"""The installer behind make: nothing is installed here, every program it calls is played."""

import errno
import importlib.util
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

NO_NETWORK = "error: Failed to fetch: https://index.example/simple/numpy/\n  cause: dns error\n"
DISK_FULL = "error: Failed to install: numpy\n  cause: No space left on device (os error 28)\n"
NO_WHEEL = "  × No solution found when resolving dependencies:\n  ╰─▶ torch has no wheels\n"
SIGNS = {  # what a command is for: words that stand in it
    "create": "-m venv",
    "packages": "uv pip install",
    "settings": "pip config list",
    "uv": "constraints.txt uv",
    "pip": "ensurepip",
    "does it run": "version_info",
    "fonts": "font_manager",
}
AFRESH = ["create", "settings", "uv", "packages", "fonts"]


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
        words = " ".join(map(str, command))
        what = next(what for what, sign in SIGNS.items() if sign in words)
        self.calls.append((what, words, env))
        answer = (self.answers.get(what) or [(0, "")]).pop(0)
        if isinstance(answer, BaseException):
            raise answer
        if what == "create" and answer[0] == 0:
            self.make_by_hand()
        return answer

    def make_by_hand(self):
        self.venv.python.parent.mkdir(parents=True, exist_ok=True)
        self.venv.python.touch()

    def ensure(self, *extras):
        """Ask for the extras; returns what was run for them, without looks at the Python."""
        self.calls.clear()
        self.install.ensure(set(extras), self.venv)
        return [what for what, _, _ in self.calls if what != "does it run"]

    def fails(self, *extras, text=""):
        """Ask for the extras, in vain."""
        with pytest.raises(self.install.Trouble, match=re.escape(text) or None) as caught:
            self.ensure(*extras)
        return str(caught.value)

    def commands(self, what="packages"):
        return [command for name, command, _ in self.calls if name == what]

    def environment(self):
        return next(env for name, _, env in self.calls if name == "packages")


@pytest.fixture
def install(monkeypatch):
    for name in list(os.environ):
        if name.startswith(("PIP_", "UV_", "BNLIB_", "SSL_CERT", "ALL_PROXY")):
            monkeypatch.delenv(name)
    return load("install")


@pytest.fixture
def stage(install, tmp_path, monkeypatch):
    stage = Stage(install, tmp_path)
    monkeypatch.setattr(install, "run", stage.run)
    monkeypatch.setattr(install.sys, "platform", "linux")
    return stage


# ---------------------------------------------------------------- installing once


def test_first_call_makes_venv_then_installs_the_tested_versions(stage):
    assert stage.ensure("torch", "course") == AFRESH
    assert "-c constraints.txt -e .[course,torch]" in stage.commands()[0]
    assert stage.environment()["UV_BUILD_CONSTRAINT"] == "constraints.txt"


def test_second_call_starts_no_program(stage):
    stage.ensure("torch", "course")
    assert stage.ensure("torch", "course") == stage.ensure("course") == stage.calls == []


def test_more_extras_are_added_to_what_is_there(stage):
    stage.ensure("course")
    assert "create" not in stage.ensure("test")
    assert ".[course,test]" in stage.commands()[0]


@pytest.mark.parametrize("name", ["pyproject.toml", "constraints.txt", ".make/install.py"])
def test_changed_file_installs_again_without_a_new_venv(stage, name):
    stage.ensure("course")
    (stage.root / name).write_text("changed")
    assert stage.ensure("course") == AFRESH[1:]


# ---------------------------------------------------------------- what users meet


@pytest.mark.parametrize("broken_off", ["create", "uv", "packages", "fonts"])
def test_interrupted_install_is_started_afresh(stage, broken_off, capsys):
    stage.answers[broken_off] = [KeyboardInterrupt()]
    with pytest.raises(KeyboardInterrupt):
        stage.ensure("course")
    assert stage.ensure("course") == AFRESH
    assert "was not finished" in capsys.readouterr().out
    assert stage.ensure("course") == []


@pytest.mark.parametrize("note", ["", "{", "[]", "null", "\x00\x00"])
def test_damaged_note_does_not_count(stage, note):
    stage.ensure("course")
    stage.venv.note.write_text(note)
    assert stage.ensure("course") == AFRESH


def test_without_network_what_was_installed_before_stays(stage):
    stage.ensure("course")
    stage.answers["packages"] = [(2, NO_NETWORK)]
    stage.fails("test", text="check the network")
    assert stage.ensure("course") == []


def test_full_disk_leaves_nothing_to_rely_on(stage):
    stage.ensure("course")
    stage.answers["packages"] = [(2, DISK_FULL)]
    stage.fails("test", text="the disk is full")
    assert stage.ensure("course") == AFRESH


def test_full_disk_under_our_own_hands_is_one_line(stage, monkeypatch):
    def write(note):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(stage.venv, "write", write)
    stage.fails("course", text="the disk is full")


def test_moved_folder_makes_venv_afresh(stage, tmp_path_factory):
    stage.ensure("course")
    moved = tmp_path_factory.mktemp("elsewhere") / "course"
    shutil.copytree(stage.root, moved)
    stage.root, stage.venv = moved, stage.install.Venv(moved)
    assert stage.ensure("course") == AFRESH


def test_other_python_makes_venv_afresh(stage, monkeypatch):
    stage.ensure("course")
    monkeypatch.setattr(stage.install, "python_version", lambda: "3.99")
    assert stage.ensure("course") == AFRESH


def test_removed_interpreter_makes_venv_afresh(stage):
    stage.ensure("course")
    stage.venv.python.unlink()
    stage.answers["does it run"] = [(127, "No such file")]
    assert stage.ensure("course") == AFRESH


def test_venv_made_by_hand_is_used_and_kept(stage, monkeypatch):
    stage.make_by_hand()
    assert stage.ensure("course") == ["pip", *AFRESH[1:]]
    stage.answers["packages"] = [KeyboardInterrupt()]
    with pytest.raises(KeyboardInterrupt):
        stage.ensure("test")
    assert "create" not in stage.ensure("test")
    assert "--reinstall" in stage.commands()[0]  # half a package may lie there


def test_venv_made_by_hand_that_does_not_start_is_not_deleted(stage):
    stage.make_by_hand()
    stage.answers["does it run"] = [(127, "No such file")]
    stage.fails("course", text="delete it first")
    assert stage.venv.python.exists()


@pytest.mark.parametrize("by_hand", [True, False])
def test_clean_deletes_what_make_has_made_alone(stage, monkeypatch, by_hand):
    run = load("run")
    monkeypatch.setattr(run, "ROOT", stage.root)
    monkeypatch.setattr(run.install, "Venv", lambda: stage.venv)
    answer = stage.root / "work" / "my_layer" / "batch_norm.py"
    answer.parent.mkdir(parents=True)
    answer.touch()
    stage.make_by_hand() if by_hand else stage.ensure("course")
    run.clean()
    assert stage.venv.path.exists() == by_hand
    assert answer.exists()


def test_lock_lets_one_process_in_and_ends_with_it(install, tmp_path):
    with (tmp_path / "lock").open("a+") as mine, (tmp_path / "lock").open("a+") as yours:
        assert install.grab(mine)
        assert not install.grab(yours)
    with (tmp_path / "lock").open("a+") as yours:
        assert install.grab(yours)


def test_waiting_process_says_so_and_then_finds_all_done(stage, monkeypatch, capsys):
    stage.ensure("course")
    note = stage.venv.note.read_text()
    stage.venv.note.unlink()
    tries = iter([False, True])
    monkeypatch.setattr(stage.install, "grab", lambda file: next(tries))
    monkeypatch.setattr(stage.install.time, "sleep", lambda _: stage.venv.note.write_text(note))
    assert stage.ensure("course") == []
    assert "another make" in capsys.readouterr().out


# ---------------------------------------------------------------- one clear line

OUTPUTS = {
    "full disk, pip": ("ERROR: [Errno 28] No space left on device", "free about"),
    "full disk, Windows": ("There is not enough space on the disk. (os error 112)", "free about"),
    "quota": ("OSError: [Errno 122] Disk quota exceeded", "free about"),
    "no network, pip": ("NewConnectionError\nERROR: Could not find a version", "the network"),
    "no proxy": ("ProxyError('Cannot connect to proxy.', OSError(111))", "HTTPS_PROXY"),
    "certificate": ("invalid peer certificate: UnknownIssuer", "SSL_CERT_FILE"),
    "no wheel": (NO_WHEEL, "PYTHON=python3.12"),
    "file in use": ("failed to remove file: Access is denied. (os error 5)", "close what uses it"),
    "unknown": ("boom\nerror: the roof fell in\n", "the roof fell in"),
    "nothing said": ("", "install.log"),
}


@pytest.mark.parametrize(("output", "advice"), OUTPUTS.values(), ids=OUTPUTS)
@pytest.mark.parametrize("what", ["create", "uv", "packages"])
def test_trouble_is_one_line_that_says_what_to_do(stage, what, output, advice):
    stage.answers[what] = [(1, output)] * 3
    assert "\n" not in stage.fails("course", text=advice)
    assert (stage.root / ".out" / "install.log").read_text(encoding="utf-8") == output


@pytest.mark.parametrize("module", ["venv", "ensurepip"])
def test_missing_venv_module_names_the_package(stage, monkeypatch, module):
    monkeypatch.setitem(sys.modules, module, None)
    assert re.search(r"apt install python3\.\d+-venv", stage.fails("course"))
    assert stage.calls == []


@pytest.mark.parametrize(("error", "status"), [(KeyboardInterrupt, 130), (None, 1)])
def test_main_prints_one_line_and_fails(monkeypatch, capsys, error, status):
    run = load("run")

    def no_luck(extras):
        raise error or run.install.Trouble("the disk is full: free some.")

    monkeypatch.setattr(run.install, "ensure", no_luck)
    monkeypatch.setattr(run.signal, "signal", lambda *_: None)
    assert run.main(["test"]) == status
    said = capsys.readouterr().err.strip()
    assert said.startswith("bnlib: stopped" if error else "bnlib: the disk is full")
    assert "\n" not in said


def test_real_program_gives_status_and_output(install):
    code = "import sys; print('é'); print('two', file=sys.stderr); sys.exit(3)"
    status, output = install.run([sys.executable, "-X", "utf8", "-c", code])
    assert (status, set(output.split())) == (3, {"é", "two"})
    assert install.run(["there-is-no-such-program"])[0] == 127


@pytest.mark.skipif(os.name == "nt", reason="sends a signal")
def test_stopped_install_stops_its_program(install, tmp_path):
    """Ctrl-C reaches us while the program runs: it must not go on behind our back."""
    code = f"import install; install.run(['sh', '-c', 'echo; sleep 2; touch {tmp_path}/late'])"
    us = subprocess.Popen([sys.executable, "-c", code], cwd=ROOT / ".make", stderr=subprocess.PIPE)
    with us:
        install.time.sleep(0.7)
        us.send_signal(2)
        us.communicate(timeout=10)
    install.time.sleep(2)
    assert not (tmp_path / "late").exists()


# ---------------------------------------------------------------- where packages come from


def test_pip_settings_reach_uv(stage):
    settings = [
        "global.extra-index-url='file:///mirror/simple\\nfile:///other/simple'",
        "global.find-links='/old/wheels'",
        "global.index-url='https://mirror.example/simple'",
        "global.proxy='http://proxy.example:3128'",
        ":env:.find-links='/wheels /more'",
        ":env:.cert='/etc/certificates.pem'",
    ]
    stage.answers["settings"] = [(0, "\n".join(settings))]
    stage.ensure("torch")
    assert "--torch-backend" not in stage.commands()[0]  # who has an index of his own has torch
    assert (
        stage.environment().items()
        >= {
            "UV_FIND_LINKS": "/wheels,/more",
            "UV_DEFAULT_INDEX": "https://mirror.example/simple",
            "UV_INDEX": "file:///mirror/simple file:///other/simple",
            "UV_INDEX_STRATEGY": "unsafe-best-match",
            "SSL_CERT_FILE": "/etc/certificates.pem",
            "ALL_PROXY": "http://proxy.example:3128",
        }.items()
    )


def test_settings_made_for_uv_win_and_another_environment_does_not_leak(stage, monkeypatch):
    monkeypatch.setenv("UV_FIND_LINKS", "/mine")
    monkeypatch.setenv("VIRTUAL_ENV", "/another/venv")
    monkeypatch.setenv("PYTHONPATH", "/another/lib")
    stage.answers["settings"] = [(0, "global.find-links='/wheels'")]
    stage.ensure("course")
    assert stage.environment()["UV_FIND_LINKS"] == "/mine"
    assert not {"VIRTUAL_ENV", "PYTHONPATH"} & set(stage.environment())


def asked(stage):
    """The builds of torch that were asked for, in turn; "" leaves it to the index."""
    found = [re.findall(r"--torch-backend (\w+)", command) for command in stage.commands()]
    return [build[0] if build else "" for build in found]


def test_torch_comes_from_its_own_index_but_on_a_mac(stage, monkeypatch):
    stage.ensure("torch")
    assert asked(stage) == ["auto"]
    monkeypatch.setattr(stage.install.sys, "platform", "darwin")
    assert stage.install.torch_build(["torch"], {}) == "index"


def test_torch_on_disk_is_taken(stage, monkeypatch, tmp_path):
    (tmp_path / "torch-2.13.0+cpu-cp311-cp311-linux_x86_64.whl").touch()
    monkeypatch.setenv("UV_FIND_LINKS", str(tmp_path))
    stage.ensure("torch")
    assert asked(stage) == [""]


def test_chosen_torch_build_replaces_the_one_there(stage, monkeypatch):
    stage.ensure("torch")
    monkeypatch.setenv("BNLIB_TORCH", "cu126")
    stage.ensure("torch")
    assert asked(stage) == ["cu126"]
    assert "--reinstall-package torch" in stage.commands()[0]
    monkeypatch.delenv("BNLIB_TORCH")
    assert stage.ensure("torch") == []


@pytest.mark.parametrize(
    ("outputs", "builds"),
    [
        ([NO_NETWORK], ["auto", ""]),
        ([NO_WHEEL], ["auto", "cpu"]),
        ([NO_WHEEL, NO_WHEEL], ["auto", "cpu", ""]),
    ],
    ids=["index out of reach", "no build for this GPU", "no build at all"],
)
def test_torch_index_that_does_not_help_is_left(stage, capsys, outputs, builds):
    stage.answers["packages"] = [*((2, output) for output in outputs), (0, "")]
    stage.ensure("torch")
    assert asked(stage) == builds
    assert capsys.readouterr().out.count("torch's own package index") == len(outputs)


def test_chosen_torch_build_is_never_swapped(stage, monkeypatch):
    monkeypatch.setenv("BNLIB_TORCH", "cu126")
    stage.answers["packages"] = [(2, NO_NETWORK)]
    stage.fails("torch", text="network")
    assert asked(stage) == ["cu126"]


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
    note = tmp_path / ".venv" / "pyvenv.cfg"
    note.parent.mkdir()
    note.write_text(f"home = /usr/bin\nexecutable = {tmp_path / 'bin' / 'earlier'}\nversion = 3\n")
    assert find_python(tmp_path, pythons).stdout.startswith("earlier script.py")
    note.write_text("executable = /removed/python\n")
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
