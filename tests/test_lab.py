"""What make lab starts (.make/lab.py), and what runs already (.make/server.py)."""

import json
import sys
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from loading import load

ROOT = Path(__file__).resolve().parents[1]


lab = load("lab")
server = lab.server


# ---- a browser -----------------------------------------------------------------------------------


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
    monkeypatch.setattr(lab.webbrowser, "get", lambda: object())
    assert lab.has_browser(env, platform) is expected


def test_browser_in_the_terminal_does_not_count(monkeypatch):
    monkeypatch.setattr(lab.webbrowser, "get", lambda: lab.webbrowser.GenericBrowser("w3m"))
    assert not lab.has_browser({"DISPLAY": ":0"}, "linux")


# ---- what is started -----------------------------------------------------------------------------


def test_lab_opens_the_learners_first_notebook():
    options = lab.options([], "secret", browser=True, root_user=False)
    assert options[0] == "work/00_start_here.ipynb"
    assert not {"--no-browser", "--allow-root"} & set(options)


def test_lab_as_root_is_allowed():
    assert "--allow-root" in lab.options(["--port=9"], "s", browser=False, root_user=True)


def test_words_of_the_user_come_last():
    assert lab.options(["--port=9"], "s", browser=False, root_user=True)[-1] == "--port=9"


def test_every_option_is_one_that_jupyterlab_knows():
    from jupyter_server.auth import IdentityProvider
    from jupyter_server.serverapp import ServerApp
    from jupyterlab.labapp import LabApp

    known = {cls.__name__: cls.class_trait_names() for cls in (LabApp, *ServerApp.classes)}
    known["ServerApp"] = ServerApp.class_trait_names()
    known |= {"JupyterApp": known["ServerApp"], "IdentityProvider": IdentityProvider.class_traits()}
    for option in lab.options([], "secret", browser=True, root_user=False)[1:]:
        owner, _, name = option.removeprefix("--").partition("=")[0].partition(".")
        assert name in known[owner], option


def test_settings_are_ones_that_the_extensions_know():
    """Their own schemas, where this Python's JupyterLab keeps them."""
    from jupyter_core.paths import ENV_JUPYTER_PATH

    found = 0
    for plugin, settings in json.loads((lab.OURS / "overrides.json").read_text()).items():
        package, _, name = plugin.partition(":")
        for place in ("lab/schemas", f"labextensions/{package}/schemas"):
            path = Path(ENV_JUPYTER_PATH[0]) / place / package / f"{name}.json"
            if path.exists():
                known = json.loads(path.read_text(encoding="utf-8"))["properties"]
                assert set(settings) <= set(known), plugin
                found += 1
    assert found in (0, 2)  # 0: JupyterLab lies elsewhere


@pytest.mark.parametrize(
    ("path", "writable"),
    [
        ("work/05.ipynb", True),
        ("README.md", True),
        ("notebooks/05.ipynb", False),
        ("/notebooks/05.ipynb", False),
        ("work/notebooks.ipynb", True),
    ],
)
def test_the_courses_notebooks_are_read_only(tmp_path, path, writable):
    for folder in ("work", "notebooks"):
        (tmp_path / folder).mkdir()
    (tmp_path / path.strip("/")).touch()
    files = load("contents").LearnersFiles(root_dir=str(tmp_path))
    assert files.is_writable(path) is writable


def test_authors_may_write_them():
    learner = lab.options([], "s", browser=True, root_user=False)
    author = lab.options([], "s", browser=True, root_user=False, folder="notebooks")
    assert [word for word in learner if "contents_manager_class" in word]
    assert not [word for word in author if "contents_manager_class" in word]
    assert author[0] == "notebooks/00_start_here.ipynb"


# ---- where it is ---------------------------------------------------------------------------------


def test_lab_without_browser_prints_the_address(tmp_path, capsys):
    note = tmp_path / "jpserver-1.json"
    note.write_text(json.dumps({"url": "http://localhost:8889/", "token": "secret"}))
    lab.announce(note, browser=False)
    address = "http://localhost:8889/lab/tree/work/00_start_here.ipynb?token=secret"
    assert address in capsys.readouterr().out


@pytest.fixture
def played(tmp_path, monkeypatch):
    """A server that answers as Jupyter's does: its note of itself."""
    answers = {"/api/status": {}, "/api/sessions": [{"path": "work/05.ipynb"}, {}]}

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            right = self.headers["Authorization"] == "token secret"
            self.send_response(200 if right and self.path in answers else 403)
            self.end_headers()
            self.wfile.write(json.dumps(answers.get(self.path)).encode())

        def do_POST(self):
            self.send_response(200)
            self.end_headers()
            if self.path == "/api/shutdown":
                answers.clear()

        def log_message(self, *_):
            pass

    http = HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=http.serve_forever, daemon=True).start()
    note = {"pid": lab.os.getpid(), "url": f"http://127.0.0.1:{http.server_port}/"}
    note |= {"token": "secret", "port": http.server_port, "hostname": "127.0.0.1"}
    note |= {"root_dir": str(tmp_path)}
    monkeypatch.setenv("JUPYTER_RUNTIME_DIR", str(tmp_path))
    yield note
    http.shutdown()
    http.server_close()


def write(note, **changes):
    (Path(note["root_dir"]) / "jpserver-1.json").write_text(json.dumps(note | changes))


def test_running_server_is_found(played, tmp_path, monkeypatch):
    monkeypatch.setenv("http_proxy", "http://192.0.2.1:9")  # which leads nowhere
    write(played)
    assert server.running(tmp_path)["token"] == "secret"
    assert "work/05.ipynb" in server.open_files(played)


def test_server_on_every_address_is_found(played, tmp_path):
    write(played, hostname="0.0.0.0", url=f"http://no-such-name.invalid:{played['port']}/")
    assert server.running(tmp_path)


@pytest.mark.parametrize(
    "changes",
    [{"root_dir": "/"}, {"root_dir": "/gone"}, {"token": "other"}],
    ids=["another folder", "a removed folder", "another process"],
)
def test_other_server_is_not_ours(played, tmp_path, changes):
    (tmp_path / "jpserver-1.json").write_text(json.dumps(played | changes))
    assert server.running(tmp_path) is None


def test_stop_ends_the_server(played, tmp_path):
    write(played)
    assert server.stop(tmp_path) is True
    assert server.stop(tmp_path) is None


def test_second_lab_says_where_the_first_is(played, tmp_path, monkeypatch, capsys):
    write(played)
    monkeypatch.setattr(lab, "ROOT", tmp_path)
    monkeypatch.setattr(lab.copies, "main", lambda words: None)
    monkeypatch.setattr(lab, "has_browser", lambda: False)
    lab.main([])
    said = capsys.readouterr().out
    assert f"{played['url']}lab/tree/work/00_start_here.ipynb?token=secret" in said
    assert "stop ends it" in said


def test_kernel_is_this_python_whatever_else_is_called_so(tmp_path, monkeypatch):
    from jupyter_client import KernelManager

    other = tmp_path / "kernels" / "python3"
    other.mkdir(parents=True)
    (other / "kernel.json").write_text('{"argv": ["/another/python"], "display_name": "other"}')
    monkeypatch.setenv("JUPYTER_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("JUPYTER_PATH", str(lab.OURS))
    manager = KernelManager(kernel_name="python3")
    assert manager.format_kernel_cmd()[0] == sys.executable
    assert manager.kernel_spec.display_name == "Python 3 (ipykernel)"  # what notebooks store
