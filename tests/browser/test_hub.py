"""Three learners on one JupyterHub (.make/hub), each in a browser of their own, at the same time.

The hub has the config that a class's hub has, with processes in place of containers. Nothing
leaves this machine. When the tests end, or this process does, the hub ends and all that it started.
"""

import asyncio
import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from unittest import mock

import pytest

pytestmark = [
    pytest.mark.hub,
    pytest.mark.skipif(sys.platform != "linux", reason="a hub's memory is read from /proc"),
]

ROOT = Path(__file__).resolve().parents[2]
HUB = ROOT / ".make" / "hub"
NAME = "03_mini_batch_statistics.ipynb"
SETUP, EXERCISE = "use_course_style()", 'check("3.2", normalize)'
NEW = "print('new in the course')"
SAVE = "async () => { await window.jupyterapp.commands.execute('docmanager:save'); }"
ANSWERS = {  # three learners, three ways to be right
    "ada": "(x - x.mean(axis=0)) / np.sqrt(x.var(axis=0) + eps)",
    "carl": "(x - np.mean(x, 0)) * (np.var(x, 0) + eps) ** -0.5",
    "emmy": "(x - x.sum(0) / len(x)) / (((x - x.mean(0)) ** 2).mean(0) + eps) ** 0.5",
}
# What this adds to the course's config: the tests look into JupyterLab, and should they be killed,
# standard input ends, and so does the hub.
CONFIG = """
load_subconfig({config!r})
c.Spawner.args.append("--LabApp.expose_app_in_browser=True")

import os, signal, sys, threading
def wait():
    sys.stdin.read()
    os.kill(os.getpid(), signal.SIGTERM)
threading.Thread(target=wait, daemon=True).start()
"""


def git(folder, *words):
    name = ["-c", "user.name=course", "-c", "user.email=course@localhost"]
    subprocess.run(["git", *name, *words], cwd=folder, check=True, capture_output=True)


def three_free_ports():
    """The first of three ports in a row that are free now."""
    for first in range(20000, 30000, 3):
        try:
            for port in range(first, first + 3):
                with socket.socket() as probe:
                    probe.bind(("127.0.0.1", port))
            return first
        except OSError:
            continue
    pytest.fail("no three free ports in a row")


class Hub:
    """A course in a git repository, and a hub that brings it to learners."""

    def __init__(self, place):
        psutil = pytest.importorskip("psutil")
        pytest.importorskip("jupyterhub", reason="the extra `hub` is not installed")
        self.course, self.state, self.log = place / "course", place / "state", place / "log"
        for name in (".make", "bnlib", "data", "notebooks"):
            ignore = shutil.ignore_patterns("__pycache__")
            shutil.copytree(ROOT / name, self.course / name, ignore=ignore)
        shutil.copy(ROOT / ".gitignore", self.course)
        git(self.course, "init", "--initial-branch=main")
        self.commit("The course")
        config = place / "config.py"
        config.write_text(CONFIG.format(config=str(HUB / "jupyterhub_config.py")))
        self.address = f"http://127.0.0.1:{three_free_ports()}"
        env = os.environ | {
            "BNLIB_HUB_SPAWNER": "simple",
            "BNLIB_HUB_AUTHENTICATOR": "dummy",
            "BNLIB_HUB_ADDRESS": self.address,
            "BNLIB_HUB_STATE": str(self.state),
            "BNLIB_COURSE": str(self.course),
            "HOME": str(place),  # nobody's git settings
        }
        command = [sys.executable, "-m", "jupyterhub", "-f", str(config)]
        with self.log.open("w") as log:
            pipes = {"stdin": subprocess.PIPE, "stdout": log, "stderr": log}
            self.process = subprocess.Popen(command, env=env, cwd=place, **pipes)
        self.seen = {}  # all processes that we have seen, by number and start
        self.tree = psutil.Process(self.process.pid)

    def wait(self):
        """Return when the hub answers. Fails with its log when it ends or takes too long."""
        end = time.monotonic() + 60
        while time.monotonic() < end and self.process.poll() is None:
            try:
                urllib.request.urlopen(f"{self.address}/hub/health", timeout=1)
                return
            except OSError:
                time.sleep(0.1)
        pytest.fail(f"the hub did not start:\n{self.log.read_text()[-3000:]}", pytrace=False)

    def commit(self, message):
        git(self.course, "add", "--all")
        git(self.course, "commit", "--message", message)

    def publish(self, source):
        """Put a cell into the course's notebook before the exercise, as its author would."""
        path = self.course / "notebooks" / NAME
        nb = json.loads(path.read_text(encoding="utf-8"))
        place = next(i for i, cell in enumerate(nb["cells"]) if EXERCISE in "".join(cell["source"]))
        cell = {"cell_type": "code", "id": "new", "metadata": {}, "outputs": []}
        nb["cells"].insert(place, {**cell, "execution_count": None, "source": source})
        path.write_text(json.dumps(nb), encoding="utf-8")
        self.commit("A new cell")

    def home(self, learner):
        return self.state / "homes" / learner / "bnlib"

    def processes(self):
        """The hub and all that it has started, as they are now."""
        found = [self.tree, *self.tree.children(recursive=True)]
        self.seen |= {(one.pid, one.create_time()): one for one in found}
        return found

    def memory(self):
        """PSS in MB of each learner's server and kernels: {name: (server, kernels)}."""
        found = {}
        for one in self.processes():
            env = one.environ()
            if (name := env.get("JUPYTERHUB_USER")) and "sh" not in one.name():
                kernel = "ipykernel_launcher" in one.cmdline()
                pss = one.memory_full_info().pss / 1e6
                server, kernels = found.get(name, (0, 0))
                found[name] = (server, kernels + pss) if kernel else (server + pss, kernels)
        return found

    def end(self):
        """End the hub as a system would; returns what is left of its processes after that."""
        if self.process.poll() is None:
            self.processes()
            self.process.terminate()
            self.process.wait(60)
        self.process.stdin.close()
        end = time.monotonic() + 10
        while (left := [one for one in self.seen.values() if one.is_running()]) and (
            time.monotonic() < end
        ):
            time.sleep(0.1)
        return left


class Learner:
    """One learner's browser."""

    def __init__(self, page, hub, name):
        self.lab, self.page, self.hub, self.name = page, page.page, hub, name

    def log_in(self):
        """Give a name; the hub begins to start a server, and this does not wait for it."""
        self.page.goto(f"{self.hub.address}/hub/login")
        self.page.get_by_label("Username").fill(self.name)
        self.page.get_by_label("Password").fill("any")
        self.page.get_by_role("button", name="Sign in").click()

    def arrive(self):
        """Wait until JupyterLab is open on the learner's first notebook, then open ours."""
        ready = "() => window.jupyterapp?.shell?.currentWidget?.context?.isReady"
        self.page.wait_for_function(ready, timeout=180_000)
        assert self.page.url.endswith(f"/user/{self.name}/lab/tree/work/00_start_here.ipynb")
        self.lab.address = f"{self.hub.address}/user/{self.name}"
        self.lab.open(f"work/{NAME}")

    def begin(self):
        self.lab.run_cell(SETUP)

    def solve(self):
        """Type an answer in place of the stub, and run it as one does: Shift and Enter."""
        self.page.evaluate(
            """async (text) => {
              const notebook = window.jupyterapp.shell.currentWidget.content;
              const cells = notebook.model.sharedModel.cells;
              const place = cells.findIndex(cell => cell.source.includes(text));
              notebook.activeCellIndex = place;
              await notebook.scrollToItem(place, 'start');
            }""",
            EXERCISE,
        )
        self.page.locator(".jp-Notebook .jp-mod-active .cm-content").click()
        self.page.keyboard.press("Control+a")
        answer = f"def normalize(x, eps): return {ANSWERS[self.name]}\n\n{EXERCISE}"
        self.page.keyboard.insert_text(answer)
        self.page.keyboard.press("Shift+Enter")

    def verdict(self):
        """What the check says, as the page shows it."""
        cell = self.page.locator(".jp-CodeCell", has_text="3.2").filter(has_text="def normalize")
        verdict = cell.locator(".jp-OutputArea-output")
        verdict.wait_for(timeout=60_000)
        return verdict.inner_text()

    def save(self):
        self.lab._ask(SAVE)

    def status(self, path):
        """The status with which the hub answers this learner's browser."""
        return self.page.request.get(f"{self.hub.address}/{path}").status

    def restart(self):
        """Stop My Server, and start it again, on the hub's own page."""
        self.page.goto(f"{self.hub.address}/hub/home")
        self.page.get_by_role("button", name="Stop My Server").click()
        start = self.page.get_by_role("button", name="Start My Server")
        start.wait_for(timeout=60_000)
        start.click()


@pytest.fixture(scope="module")
def hub(tmp_path_factory, chromium):
    hub = Hub(tmp_path_factory.mktemp("hub"))
    yield hub
    for one in hub.end():
        one.kill()


@pytest.fixture(scope="module")
def learners(hub, context, page_on):
    """Three learners who have all solved the exercise, each on a server of their own."""
    hub.wait()
    rooms = [context.browser.new_context(viewport={"width": 1280, "height": 900}) for _ in ANSWERS]
    pages = [page_on(hub.address, room) for room in rooms]
    learners = [Learner(page, hub, name) for page, name in zip(pages, ANSWERS, strict=True)]
    for step in ("log_in", "arrive", "begin", "solve", "verdict", "save"):
        for learner in learners:
            getattr(learner, step)()
    hub.processes()
    yield dict(zip(ANSWERS, learners, strict=True))
    for room in rooms:
        room.close()


def test_three_learners_are_right_at_once(hub, learners):
    assert len(hub.memory()) == 3
    for learner in learners.values():
        assert "✓ Right" in learner.verdict()
        assert learner.lab.problems == []


def test_an_answer_is_seen_by_its_learner_alone(hub, learners):
    for name in learners:
        text = (hub.home(name) / "work" / NAME).read_text(encoding="utf-8")
        assert [other for other in ANSWERS if ANSWERS[other] in text] == [name]
        kept = (hub.home(name) / "work" / "my_layer" / "normalize.py").read_text(encoding="utf-8")
        assert ANSWERS[name] in kept
    path = f"api/contents/work/{NAME}"
    seen = {name: learners["ada"].status(f"user/{name}/{path}") for name in learners}
    assert (seen["ada"], {seen["carl"], seen["emmy"]} & {200}) == (200, set())


def test_a_learner_fits_into_the_limit(hub, learners, capsys):
    memory = hub.memory()
    with capsys.disabled():
        for name, (server, kernels) in memory.items():
            print(f"\n{name}: server {server:.0f} MB, kernels {kernels:.0f} MB", end="")
        rest = sum(one.memory_full_info().pss for one in hub.processes()) / 1e6
        print(f"\nhub, proxy, idle-culler: {rest - sum(map(sum, memory.values())):.0f} MB")
    assert max(server for server, _ in memory.values()) < 200  # the README's 131, with room
    assert max(map(sum, memory.values())) < 2000


def test_an_update_keeps_the_answer(hub, learners):
    ada = learners["ada"]
    hub.publish(NEW)
    ada.restart()
    ada.arrive()
    sources = ada.page.evaluate(
        "() => [...window.jupyterapp.shell.currentWidget.context.model.cells]"
        ".map(cell => cell.sharedModel.getSource())"
    )
    assert NEW in sources
    assert sum(ANSWERS["ada"] in source for source in sources) == 1
    told = (hub.home("ada") / "work" / "what_has_changed.txt").read_text(encoding="utf-8")
    assert "with your answers to 3.2" in told
    ada.begin()
    ada.lab.run_cell(ANSWERS["ada"])
    assert "✓ Right" in ada.verdict()


def test_when_the_hub_ends_nothing_is_left(hub, learners):
    hub.processes()
    assert len(hub.seen) > 8
    assert hub.end() == []


# ---- the image's config, as far as it can be looked at without Docker ----------------------------


@pytest.fixture
def config(monkeypatch, tmp_path):
    """A function: the hub's config with one of its spawners."""
    from traitlets.config import PyFileConfigLoader

    def load(spawner):
        monkeypatch.setattr(sys, "path", list(sys.path))
        monkeypatch.setenv("BNLIB_HUB_SPAWNER", spawner)
        monkeypatch.setenv("BNLIB_HUB_STATE", str(tmp_path))
        return PyFileConfigLoader(str(HUB / "jupyterhub_config.py")).load_config()

    return load


@pytest.mark.parametrize("spawner", ["docker", "simple"])
def test_every_setting_is_one_that_the_hub_knows(config, spawner):
    from dockerspawner import DockerSpawner
    from firstuseauthenticator import FirstUseAuthenticator
    from jupyterhub.app import JupyterHub
    from jupyterhub.proxy import ConfigurableHTTPProxy
    from jupyterhub.spawner import SimpleLocalProcessSpawner

    classes = {DockerSpawner, SimpleLocalProcessSpawner, FirstUseAuthenticator}
    classes |= {JupyterHub, ConfigurableHTTPProxy}
    known = {base.__name__: base for one in classes for base in one.__mro__}
    for owner, settings in config(spawner).items():
        for name in settings:
            assert name in known[owner].class_trait_names(), f"{owner}.{name}"


def test_docker_is_asked_for_the_limits(config, monkeypatch):
    """What would go to Docker to make a learner's container."""
    from docker.types import HostConfig
    from dockerspawner import DockerSpawner

    asked = {}

    async def docker(method, **words):
        asked.update(words)
        return {}

    client = mock.MagicMock(create_host_config=partial(HostConfig, version="1.44"))
    monkeypatch.setattr(DockerSpawner, "client", client)
    monkeypatch.setattr(DockerSpawner, "get_env", lambda self: self.environment)
    nobody = {"user": mock.MagicMock(), "hub": mock.MagicMock()}
    spawner = DockerSpawner(config=config("docker"), **nobody)
    monkeypatch.setattr(spawner, "docker", docker)
    with ThreadPoolExecutor() as thread:  # the browser's own loop may run in this one
        thread.submit(asyncio.run, spawner.create_object()).result()
    limits = asked["host_config"]
    assert limits["Memory"] == 2 * 2**30
    assert limits["CpuQuota"] == 2 * limits["CpuPeriod"]
    assert limits["PidsLimit"] == 512
    assert asked["command"][:2] == [sys.executable, str(HUB / "learner.py")]
    assert asked["environment"]["OMP_NUM_THREADS"] == "1"
