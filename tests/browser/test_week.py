"""A learner's week with `make lab`: open, answer, save, update the course, go on."""

import json
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
NAME = "00_start_here.ipynb"
ANSWER = "def feature_means(x):\n    return x.mean(axis=0)\n\n\ncheck('0.2', feature_means)"
NEW = "print('new in the course')"


class Course:
    """A clone of the course, in a folder whose name is no plain word, and its commands."""

    def __init__(self, root, home):
        self.root, self.process = root, None
        for name in (".make", "bnlib", "data"):
            shutil.copytree(ROOT / name, root / name, ignore=shutil.ignore_patterns("__pycache__"))
        nb = json.loads((ROOT / "notebooks" / NAME).read_text(encoding="utf-8"))
        del nb["metadata"]["language_info"]  # as this Python would have stored it
        (root / "notebooks").mkdir()
        (root / "notebooks" / NAME).write_text(json.dumps(nb), encoding="utf-8")
        names = ("CONFIG_DIR", "DATA_DIR", "RUNTIME_DIR")
        folders = {f"JUPYTER_{name}": home / name for name in names}
        folders |= {"IPYTHONDIR": home / "ipython", "JUPYTERLAB_SETTINGS_DIR": home / "settings"}
        folders |= {"JUPYTERLAB_WORKSPACES_DIR": home / "workspaces"}
        path = os.pathsep.join(filter(None, [str(root), os.environ.get("PYTHONPATH")]))
        self.env = os.environ | {name: str(folder) for name, folder in folders.items()}
        self.env |= {"PYTHONPATH": path, "CI": "1", "MAKELEVEL": "1", "PYTHONUTF8": "1"}
        self.env["PATH"] = str(home)  # a newcomer has no Node.js, and JupyterLab could say so
        self.log = home / "log"
        self.make("notebooks.py", "normalise", "00")

    def command(self, script, *words):
        return [sys.executable, str(self.root / ".make" / script), *words]

    def make(self, script, *words):
        """Run a command to its end; returns what it printed."""
        command = self.command(script, *words)
        done = subprocess.run(command, env=self.env, capture_output=True, encoding="utf-8")
        assert (done.returncode, done.stderr) == (0, "")
        return done.stdout

    def start(self):
        """Start JupyterLab; returns the address that it prints."""
        command = self.command("lab.py", "--LabApp.expose_app_in_browser=True")
        with self.log.open("w") as log:
            self.process = subprocess.Popen(command, env=self.env, stdout=log, stderr=log)
        end = time.monotonic() + 60
        while time.monotonic() < end and self.process.poll() is None:
            if found := re.search(r"http://\S+", self.said()):
                return found[0]
            time.sleep(0.1)
        pytest.fail(f"JupyterLab did not start:\n{self.said()}", pytrace=False)

    def said(self):
        return self.log.read_text(encoding="utf-8")

    def publish(self, place, source):
        """Add a cell to the course's notebook, as the next version of it would have."""
        path = self.root / "notebooks" / NAME
        nb = json.loads(path.read_text(encoding="utf-8"))
        cell = {"cell_type": "code", "id": f"new-{place}", "metadata": {}, "outputs": []}
        nb["cells"].insert(place, {**cell, "execution_count": None, "source": source})
        path.write_text(json.dumps(nb), encoding="utf-8")

    def copy(self):
        return json.loads((self.root / "work" / NAME).read_text(encoding="utf-8"))


@pytest.fixture
def course(tmp_path):
    (tmp_path / "home").mkdir()
    course = Course(tmp_path / "mein Kürs", tmp_path / "home")
    yield course
    if course.process and course.process.poll() is None:
        course.process.terminate()
        course.process.wait(20)


SHUT_DOWN = "async () => window.jupyterapp.shell.currentWidget.context.sessionContext.shutdown()"


def state(page):
    """Is the open notebook modified, are all its cells trusted, and what are its sources?"""
    return page.page.evaluate("""() => {
      const { model } = window.jupyterapp.shell.currentWidget.context;
      const cells = [...model.cells];
      return {
        dirty: model.dirty,
        trusted: cells.every(cell => cell.type !== 'code' || cell.trusted),
        sources: cells.map(cell => cell.sharedModel.getSource()),
      };
    }""")


def write(page, old, new):
    """Put a text in the place of a cell's: the first one in which `old` stands."""
    page.page.evaluate(
        """([old, text]) => {
      const { model } = window.jupyterapp.shell.currentWidget.context;
      [...model.cells].find(cell => cell.sharedModel.getSource().includes(old))
        .sharedModel.setSource(text);
    }""",
        [old, new],
    )


def verdict(page, number):
    """What the check of an exercise has answered, as plain text."""
    return page.page.evaluate(
        """number => {
      const { model } = window.jupyterapp.shell.currentWidget.context;
      const cell = [...model.cells].find(cell => new RegExp(`check\\\\(.${number}`)
        .test(cell.sharedModel.getSource()));
      return JSON.stringify(cell.sharedModel.getOutputs());
    }""",
        number,
    )


def save(page):
    page._ask("async () => { await window.jupyterapp.commands.execute('docmanager:save'); }")


def reload(page):
    """File, Reload Notebook from Disk; a notebook that counts as modified is asked about."""
    asked = state(page)["dirty"]
    page.page.evaluate("""() => {
      window.reloaded = false;
      window.jupyterapp.commands.execute('docmanager:reload')
        .then(() => { window.reloaded = true; });
    }""")
    if asked:
        page.page.get_by_role("dialog").get_by_role("button", name="Reload").click()
    page.page.wait_for_function("() => window.reloaded")


def characters_a_line(page):
    """Characters in a line of the longest paragraph that is shown."""
    return page.page.evaluate("""() => {
      const all = [...document.querySelectorAll('.jp-RenderedMarkdown p')];
      const p = all.sort((a, b) => b.textContent.length - a.textContent.length)[0];
      const lines = p.clientHeight / parseFloat(getComputedStyle(p).lineHeight);
      return p.textContent.length / lines;
    }""")


def test_week(course, page_on):
    """One visit, for opening and running is the slow part."""
    address = course.start()
    page = page_on(address.partition("/lab/")[0])

    # Monday: a fresh copy is not spoiled, not modified by looking at it, and trusted.
    page.open(address)
    page.show_all()
    page.page.wait_for_timeout(2000)
    seen = state(page)
    assert (seen["dirty"], seen["trusted"]) == (False, True)
    assert page.page.locator(".jp-OutputArea-output").count() == 0
    assert 75 < characters_a_line(page) < 100

    # The course's own notebook shows all that it holds, and cannot be changed by looking at it.
    page.open(f"notebooks/{NAME}")
    page.show_all()
    assert page.broken_pictures() == []
    assert state(page)["trusted"]
    assert page.page.get_by_text("Read-only").count()

    # An answer, saved with the pictures of the explorers.
    page.open(f"work/{NAME}")
    write(page, 'check("0.2"', ANSWER)
    assert page.run_all() == []
    assert "Right" in verdict(page, "0.2")
    save(page)
    saved = course.copy()["metadata"]["widgets"]["application/vnd.jupyter.widget-state+json"]
    assert saved["state"]

    # Tuesday: its kernel has ended, its pictures have not.
    page._ask(SHUT_DOWN)
    page.open(f"work/{NAME}")
    page.show_all()
    assert state(page)["trusted"]
    assert page.broken_pictures() == []
    assert page.page.get_by_text("Error displaying widget").count() == 0

    # A second make lab, after a pull.
    course.publish(3, NEW)
    said = course.make("lab.py")
    assert "has changed in 00_start_here" in said
    assert f"already runs here: {address}" in said

    # The update, with the notebook open: reload, and all is there.
    assert "open: there, choose File, Reload" in course.make("copies.py", "update")
    reload(page)
    assert {NEW, ANSWER} <= set(state(page)["sources"])
    assert page.run_all() == []
    assert "Right" in verdict(page, "0.2")
    save(page)

    # The same with something not saved: Save, Overwrite, update again.
    course.publish(5, NEW + "  # once more")
    write(page, 'check("0.1"', 'my_guess = 3\n\ncheck("0.1", my_guess)')
    course.make("copies.py", "update")
    page.page.evaluate("() => { window.jupyterapp.commands.execute('docmanager:save'); }")
    page.page.get_by_role("button", name="Overwrite").click()
    page.page.wait_for_function("() => !window.jupyterapp.shell.currentWidget.context.model.dirty")
    course.make("copies.py", "update")
    reload(page)
    sources = set(state(page)["sources"])
    assert {NEW, NEW + "  # once more", ANSWER, 'my_guess = 3\n\ncheck("0.1", my_guess)'} <= sources

    assert page.problems == []
    page.close()
    assert len(list((course.root / "work").glob("*.ipynb"))) == 4  # three old ones
    assert "is stopped" in course.make("lab.py", "stop")
    assert course.process.wait(20) == 0
    others = [line for line in course.said().splitlines() if not line.startswith("bnlib: ")]
    assert not others, "\n".join(others)  # of no use to a newcomer
