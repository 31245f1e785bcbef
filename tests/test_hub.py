"""The recipe for a class on one machine (.make/hub), as far as it goes without a hub.

With one, and three learners in Chromium: tests/browser/test_hub.py (make hub).
"""

import json
import re
import subprocess
import sys
import tomllib
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
HUB = ROOT / ".make" / "hub"


def load(path):
    """A script of .make/, which is no package, as a module."""
    spec = spec_from_file_location(f"hub_{path.stem}", path)
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


# ---- the image -----------------------------------------------------------------------------------

DOCKERFILE = (HUB / "Dockerfile").read_text(encoding="utf-8")


def test_image_installs_extras_that_exist():
    words = re.search(r"\.make/install\.py ([\w ]+)", DOCKERFILE)[1].split()
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert {"torch", "course", "onnx", "hub"} == set(words) <= set(project["optional-dependencies"])


def test_image_starts_what_lies_in_the_repository():
    there = re.findall(r"(?:/opt/bnlib/|(?<=\s))(\.make/[\w./]+)", DOCKERFILE)
    assert len(there) >= 3
    assert [path for path in there if not (ROOT / path).exists()] == []


def test_image_does_not_run_as_root():
    assert re.findall(r"^USER (\w+)", DOCKERFILE, re.MULTILINE)[-1] != "root"


def test_every_package_of_the_proxy_is_pinned_by_a_checksum():
    packages = json.loads((HUB / "package-lock.json").read_text(encoding="utf-8"))["packages"]
    asked = json.loads((HUB / "package.json").read_text(encoding="utf-8"))["dependencies"]
    assert packages.pop("")["dependencies"] == asked
    assert [name for name, package in packages.items() if "integrity" not in package] == []
    assert not any("resolved" in package for package in packages.values())  # no registry is named


def test_by_hand_the_installer_says_trouble_in_one_line(tmp_path):
    (tmp_path / ".make").mkdir()
    text = (ROOT / ".make" / "install.py").read_text(encoding="utf-8")
    (tmp_path / ".make" / "install.py").write_text(text, encoding="utf-8")
    (tmp_path / ".venv").mkdir()  # made by other means, and nothing in it
    for name in ("pyproject.toml", "constraints.txt"):
        (tmp_path / name).touch()
    done = subprocess.run(
        [sys.executable, ".make/install.py", "torch"], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 1
    assert re.fullmatch(r"bnlib: .*\.venv.*\n", done.stderr)


# ---- the hub's config ----------------------------------------------------------------------------


@pytest.fixture
def config(monkeypatch, tmp_path):
    """A function: the hub's config under these settings, BNLIB_HUB_… without its first words."""
    loader = pytest.importorskip("traitlets.config").PyFileConfigLoader

    def load_config(**settings):
        for name in ("SPAWNER", "AUTHENTICATOR", "USERS", "ADDRESS", "MEMORY"):
            monkeypatch.delenv(f"BNLIB_HUB_{name}", raising=False)
        for name, value in {"STATE": str(tmp_path / "state"), **settings}.items():
            monkeypatch.setenv(f"BNLIB_HUB_{name}", value)
        return loader(str(HUB / "jupyterhub_config.py")).load_config()

    monkeypatch.setattr(sys, "path", [str(HUB), *sys.path])
    import proxy

    monkeypatch.setattr(proxy, "command", lambda: ["proxy"])
    yield load_config
    del sys.modules["proxy"]


def test_class_comes_by_name(config):
    read = config(USERS="ada carl\nemmy")
    assert read.Authenticator.allowed_users == {"ada", "carl", "emmy"}
    assert read.Authenticator.allow_all is False


def test_dummy_is_for_this_machine_alone(config):
    local = config(AUTHENTICATOR="dummy", ADDRESS="http://127.0.0.1:9000")
    assert local.JupyterHub.authenticator_class == "dummy"
    with pytest.raises(ValueError, match=r"only at http://127\.0\.0\.1"):
        config(AUTHENTICATOR="dummy", ADDRESS="http://0.0.0.0:9000")


@pytest.mark.parametrize("spawner", ["docker", "simple"])
def test_learners_have_limits_and_one_thread(config, spawner):
    read = config(SPAWNER=spawner, MEMORY="3G")
    assert (read.Spawner.mem_limit, read.Spawner.cpu_limit) == ("3G", 2)
    assert read.Spawner.environment["OMP_NUM_THREADS"] == "1"


def test_a_choice_that_there_is_not_is_named(config):
    with pytest.raises(ValueError, match="BNLIB_HUB_SPAWNER is 'sudo'; it may be docker or simple"):
        config(SPAWNER="sudo")


# ---- a learner's server --------------------------------------------------------------------------


class Puller:
    """In place of nbgitpuller's: makes a clone, or fails."""

    def __init__(self, course, clone, branch):
        self.course, self.clone = course, Path(clone)

    def pull(self):
        if self.course == "gone":
            raise OSError("no route to host")
        (self.clone / ".make").mkdir(parents=True)
        (self.clone / ".make" / "lab.py").touch()
        yield "Cloning into bnlib\n"


@pytest.fixture
def learner(monkeypatch):
    pull = type(sys)("nbgitpuller.pull")
    pull.GitPuller = Puller
    monkeypatch.setitem(sys.modules, "nbgitpuller", type(sys)("nbgitpuller"))
    monkeypatch.setitem(sys.modules, "nbgitpuller.pull", pull)
    return load(HUB / "learner.py")


def test_clone_stays_where_the_course_is_not_to_be_reached(learner, tmp_path, capsys):
    learner.bring(tmp_path, "here")
    learner.bring(tmp_path, "gone")
    assert "stays as it is: OSError('no route to host')" in capsys.readouterr().err


def test_without_a_course_there_is_no_server(learner, tmp_path):
    with pytest.raises(SystemExit, match="could not be cloned from gone"):
        learner.bring(tmp_path, "gone")


class Copies:
    """In place of copies.py: says what it is given."""

    Unreadable = type("Unreadable", (Exception,), {})

    def __init__(self, root, *lines):
        (root / "work").mkdir(exist_ok=True)
        self.ROOT, self.lines = root, lines

    def update(self):
        for line in self.lines:
            print(f"bnlib: {line}")


def test_learner_is_told_what_has_changed(learner, tmp_path):
    learner.take_along(Copies(tmp_path, "work/03.ipynb is up to date, with your answers to 3.2"))
    told = (tmp_path / "work" / "what_has_changed.txt").read_text(encoding="utf-8")
    assert "\nwork/03.ipynb is up to date, with your answers to 3.2\n" in told


def test_where_nothing_has_changed_nothing_is_told(learner, tmp_path):
    learner.take_along(Copies(tmp_path, "your copies are up to date with the course"))
    assert list((tmp_path / "work").iterdir()) == []
