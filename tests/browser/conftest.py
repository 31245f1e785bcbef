"""One JupyterLab for the session, in headless Chromium: what a learner meets after `make lab`.

chromium    where the browser is (CHROMIUM names another one), or a skip that says what to install
lab         a page on that server: open a notebook, run it, look at it, press keys
axe         the accessibility rules of axe-core, fetched once from the npm registry into .out/

The server works on a copy of notebooks/, so that nothing here writes into the checkout.
"""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / ".make"))
import vendor  # noqa: E402 (beside what stands behind make, in a folder that is no package)
from chromium import ARGUMENTS, find  # noqa: E402

START_UP = 60  # seconds that the server may take


def pytest_collection_modifyitems(items):
    """All tests here are marked, so that none of them starts a browser in `make test`."""
    for item in items:
        if Path(item.path).parent == Path(__file__).parent:
            item.add_marker(pytest.mark.browser)


# ---- the browser and the server ------------------------------------------------------------------


@pytest.fixture(scope="session")
def chromium():
    pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    path = find()
    if path is None:
        pytest.skip("no Chromium found: install Chromium or Chrome, or set CHROMIUM to its path")
    return path


@pytest.fixture(scope="session")
def context(chromium):
    """One browser context for all tests: JupyterLab is several megabytes, cached once."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=ARGUMENTS)
        yield browser.new_context(viewport={"width": 1280, "height": 900})
        browser.close()


@pytest.fixture(scope="session")
def served(tmp_path_factory):
    """The folder that the server shows: a copy of the course's notebooks."""
    folder = tmp_path_factory.mktemp("served")
    shutil.copytree(ROOT / "notebooks", folder, dirs_exist_ok=True)
    return folder


@pytest.fixture(scope="session")
def server(served, tmp_path_factory):
    """Address of a JupyterLab with nobody's settings, whose kernel is this Python's."""
    from ipykernel.kernelspec import write_kernel_spec

    home = tmp_path_factory.mktemp("jupyter")
    write_kernel_spec(home / "data" / "kernels" / "python3")
    notification = home / "settings" / "@jupyterlab" / "apputils-extension"
    notification.mkdir(parents=True)
    quiet = {"fetchNews": "false", "checkForUpdates": False}  # no news, no question about news
    (notification / "notification.jupyterlab-settings").write_text(json.dumps(quiet))
    widgets = home / "settings" / "@jupyter-widgets" / "jupyterlab-manager"
    widgets.mkdir(parents=True)  # as make lab has it: what a widget shows is saved with it
    (widgets / "plugin.jupyterlab-settings").write_text(json.dumps({"saveState": True}))
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root"]
    command += ["--ip=127.0.0.1", f"--port={port}", "--ServerApp.port_retries=0"]
    command += ["--IdentityProvider.token=", "--ServerApp.password="]
    command += [f"--ServerApp.root_dir={served}", "--LabApp.expose_app_in_browser=True"]
    # Should this process be killed, its kernels and the server end by themselves.
    command += ["--MappingKernelManager.cull_idle_timeout=600"]
    command += ["--MappingKernelManager.cull_connected=True"]
    command += ["--ServerApp.shutdown_no_activity_timeout=900"]
    folders = {
        "JUPYTER_CONFIG_DIR": home / "config",
        "JUPYTER_DATA_DIR": home / "data",
        "JUPYTER_RUNTIME_DIR": home / "runtime",
        "JUPYTERLAB_SETTINGS_DIR": home / "settings",
        "JUPYTERLAB_WORKSPACES_DIR": home / "workspaces",
        "IPYTHONDIR": home / "ipython",
    }
    env = os.environ | {name: str(path) for name, path in folders.items()}
    log = home / "log"
    with log.open("w") as stream:
        process = subprocess.Popen(
            command, env=env, cwd=home, stdout=stream, stderr=stream, start_new_session=True
        )
    address = f"http://127.0.0.1:{port}"
    try:
        wait_for(address + "/api/status", process, log)
        yield address
    finally:
        stop(process)


def wait_for(address, process, log):
    """Return when the server answers. Fails with its log when it ends or takes too long."""
    end = time.monotonic() + START_UP
    while time.monotonic() < end and process.poll() is None:
        try:
            urllib.request.urlopen(address, timeout=1)
            return
        except OSError:
            time.sleep(0.1)
    pytest.fail(f"JupyterLab did not start:\n{log.read_text()[-3000:]}", pytrace=False)


def stop(process):
    """End the server and the kernels that it started."""
    if process.poll() is not None:
        return
    if os.name == "nt":
        process.terminate()
    else:
        os.killpg(process.pid, signal.SIGTERM)
    try:
        process.wait(20)
    except subprocess.TimeoutExpired:
        process.kill()


# ---- a page --------------------------------------------------------------------------------------

OPEN = """async () => {
  const app = window.jupyterapp;
  await app.restored;
  const context = app.shell.currentWidget.context;
  await context.ready;
  await context.sessionContext.ready;
}"""

RUN_ALL = """async () => {
  const app = window.jupyterapp;
  await app.commands.execute('notebook:run-all-cells');
  const cells = app.shell.currentWidget.content.model.sharedModel.cells;
  return cells.flatMap((cell, i) => cell.cell_type !== 'code' ? [] :
    cell.execution_count === null ? [`cell ${i + 1} was not run`] :
    cell.getOutputs().filter(output => output.output_type === 'error')
      .map(output => `cell ${i + 1}: ${output.ename}: ${output.evalue}`));
}"""

# JupyterLab makes a cell's elements when the cell first comes into view.
SHOW_ALL = """async () => {
  const notebook = window.jupyterapp.shell.currentWidget.content;
  for (const [i, cell] of notebook.widgets.entries()) {
    await notebook.scrollToItem(i);
    await cell.ready;
  }
  await notebook.scrollToItem(0);
}"""

SAVE = "async () => window.jupyterapp.commands.execute('docmanager:save')"

RUN_CELL = """async () => {
  const app = window.jupyterapp, notebook = app.shell.currentWidget.content;
  const cells = notebook.model.sharedModel.cells;
  notebook.activeCellIndex = cells.findIndex((cell) => cell.source.includes(SOURCE));
  await app.commands.execute('notebook:run-cell');
}"""

LIVING = """async () => {
  const kernel = window.jupyterapp.shell.currentWidget.context.sessionContext.session.kernel;
  const reply = await kernel.requestCommInfo({ target_name: 'jupyter.widget' });
  return Object.keys(reply.content.comms).length;
}"""

THEME = "async () => window.jupyterapp.commands.execute('apputils:change-theme', { theme: NAME })"

SHUT_DOWN = "async () => window.jupyterapp.shell.currentWidget?.context.sessionContext.shutdown()"

# From the key going down to the picture that follows it being on screen, in milliseconds.
WATCH = """root => {
  root.time = 0;
  let pressed;
  root.addEventListener('keydown', () => { pressed = performance.now(); },
    { capture: true, once: true });
  root.addEventListener('load', () => requestAnimationFrame(() => setTimeout(() => {
    root.time = performance.now() - pressed;
  })), { capture: true, once: true });
}"""


class LabPage:
    """A notebook in JupyterLab. `problems` holds what went wrong unasked."""

    def __init__(self, page, address):
        self.page, self.address, self.problems = page, address, []
        inside = (address, address.replace("http", "ws", 1), "data:", "blob:", "about:")
        page.on("pageerror", lambda error: self.problems.append(f"page error: {str(error)[:300]}"))
        page.on("request", lambda request: self._note(request.url, inside))
        page.on("websocket", lambda socket: self._note(socket.url, inside))

    def _note(self, url, inside):
        if not url.startswith(inside):
            self.problems.append(f"a request leaves this machine: {url[:200]}")

    def open(self, name):
        """Open a notebook of the served folder (or an address); wait until its kernel is there."""
        address = name if "://" in name else f"{self.address}/doc/tree/{name}"
        self.page.goto(address)
        ready = "() => window.jupyterapp?.shell?.currentWidget?.context?.isReady"
        self.page.wait_for_function(ready, timeout=60_000)
        self._ask(OPEN)

    def _ask(self, script, seconds=60):
        """The value of an async JavaScript function. Raises when it takes longer."""
        return self.page.evaluate(
            f"""() => Promise.race([({script})(), new Promise((_, fail) => setTimeout(
                () => fail(new Error('no answer in {seconds} s')), {1000 * seconds}))])"""
        )

    def run_all(self):
        """Run every cell; returns a list of the cells that raised or were not run."""
        return self._ask(RUN_ALL, seconds=300)

    def run_cell(self, source):
        """Run the first cell whose source holds this text."""
        return self._ask(RUN_CELL.replace("SOURCE", json.dumps(source)))

    def living_widgets(self):
        """How many widgets the kernel keeps."""
        return self._ask(LIVING)

    def next_day(self, name):
        """Save, end the kernel, leave the page, and open the notebook again."""
        self._ask(SAVE)
        self._ask(SHUT_DOWN)
        self.page.goto("about:blank")
        self.open(name)
        self.show_all()
        self.page.locator(".bn-explorer").first.wait_for()  # what was saved has been restored

    def theme(self, name):
        """Change to "JupyterLab Dark" or "JupyterLab Light"."""
        self._ask(THEME.replace("NAME", json.dumps(name)))
        self.page.wait_for_timeout(1000)

    def show_all(self):
        """Scroll to every cell, so that all of them are in the page, and let pictures load."""
        self._ask(SHOW_ALL)
        self.page.wait_for_timeout(500)

    def broken_pictures(self):
        """Alternative texts of the pictures in the page that show nothing."""
        return self.page.evaluate(
            "() => [...document.querySelectorAll('.jp-Notebook img')]"
            ".filter(image => !image.naturalWidth).map(image => image.alt || image.src)"
        )

    def explorers(self):
        """The explorers in the page, as locators, in order. Call show_all first."""
        return self.page.locator(".bn-explorer").all()

    def controls(self, explorer):
        """What the keyboard can set in an explorer: its sliders, radio groups and checkboxes."""
        rows = explorer.locator(".bn-controls > *").all()
        return [row.locator("input:not([type=radio]), input:checked").first for row in rows]

    def tab_to(self, explorer, control, at_most=40):
        """Walk from the cell that holds an explorer to one of its controls, by the Tab key alone.

        Raises AssertionError when the control is not reached.
        """
        explorer.evaluate("root => root.closest('.jp-Cell').focus()")
        for _ in range(at_most):
            self.page.keyboard.press("Tab")
            if control.evaluate("node => node === document.activeElement"):
                return
        raise AssertionError(f"the Tab key did not reach the control in {at_most} steps")

    def press(self, explorer, control, key, patience=5):
        """Press a key on a control; returns the milliseconds until the new picture is seen.

        Raises AssertionError when none came within `patience` seconds.
        """
        from playwright.sync_api import TimeoutError

        explorer.evaluate(WATCH)
        control.focus()
        self.page.keyboard.press(key)
        root = explorer.element_handle()
        try:
            self.page.wait_for_function("root => root.time", arg=root, timeout=1000 * patience)
        except TimeoutError:
            raise AssertionError(f"{key} brought no new picture in {patience} s") from None
        return explorer.evaluate("root => root.time")

    def pixels(self, locator):
        """What an element looks like now, as PNG bytes."""
        return locator.screenshot(animations="disabled")

    def faults(self, axe, *selectors):
        """Serious and critical accessibility faults within elements, by the rules of axe-core."""
        self.page.evaluate(axe)
        found = self.page.evaluate(
            "async selectors => (await axe.run({ include: selectors.map(s => [s]) },"
            " { resultTypes: ['violations'] })).violations",
            list(selectors),
        )
        return [
            f"{fault['impact']}: {fault['help']} ({fault['id']}): {node['html'][:200]}"
            for fault in found
            if fault["impact"] in ("serious", "critical")
            for node in fault["nodes"]
        ]

    def screenshots(self, folder, height=2400):
        """Save the whole notebook as pictures of at most `height` pixels each, for people."""
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        self.page.set_viewport_size({"width": 1280, "height": height})
        self.page.keyboard.press("Escape")
        self.page.wait_for_timeout(500)
        scroller = self.page.locator(".jp-WindowedPanel-outer").first
        top, end, number = 0, 1, 0
        while top < end:
            scroller.evaluate("(node, top) => { node.scrollTop = top; }", top)
            self.page.wait_for_timeout(300)
            number += 1
            scroller.screenshot(path=folder / f"{number:02}.png")
            step, end = scroller.evaluate("node => [node.clientHeight, node.scrollHeight]")
            top += step

    def close(self):
        self._ask(SHUT_DOWN)
        self.page.close()


@pytest.fixture(scope="session")
def page_on(context):
    """A function that opens a fresh page on the server at an address; who calls it closes it."""
    return lambda address: LabPage(context.new_page(), address)


@pytest.fixture(scope="session")
def new_page(server, page_on):
    """A function that opens a fresh page on the server; who calls it closes it."""
    return lambda: page_on(server)


@pytest.fixture
def lab(new_page):
    """A fresh page on the server, its kernel ended afterwards."""
    page = new_page()
    yield page
    page.close()


@pytest.fixture(scope="session")
def axe():
    """The text of axe-core 4, from the npm registry; kept in .out/, which git ignores."""
    try:
        folder = vendor.fetch("axe-core")
    except vendor.Missing as missing:
        pytest.skip(str(missing))
    return (folder / "axe.min.js").read_text(encoding="utf-8")
