"""The JupyterLab that runs on the course's folder: is there one, where, and how does it end?"""

import json
import time
import urllib.request
from pathlib import Path
from urllib.parse import urlsplit

NOBODY = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # no proxy to ourselves
ANYWHERE = ("", "*", "0.0.0.0", "::")


def running(root):
    """What the Jupyter server that shows this folder says of itself (a dict); None without one."""
    from jupyter_server.serverapp import list_running_servers

    for info in list_running_servers():
        try:
            here = Path(info["root_dir"]).samefile(root)
        except OSError:
            continue
        if here and ask(info, "api/status") is not None:
            return info
    return None


def ask(info, path, method="GET"):
    """The server's answer; None when it gives none (its number may be another process's now)."""
    url = urlsplit(info["url"])
    host = f"127.0.0.1:{info['port']}" if info["hostname"] in ANYWHERE else url.netloc
    request = urllib.request.Request(
        url._replace(netloc=host).geturl() + path,
        method=method,
        data=b"" if method == "POST" else None,
        headers={"Authorization": f"token {info['token']}"},
    )
    try:
        with NOBODY.open(request, timeout=5) as answer:
            return json.loads(answer.read() or b"{}")
    except (OSError, ValueError):
        return None


def open_files(info):
    """Paths, from the server's folder, of the notebooks that have a kernel."""
    return {session.get("path") for session in (ask(info, "api/sessions") or [])} if info else set()


def stop(root, patience=15):
    """End the server; True when it is gone, None when there was none."""
    info = running(root)
    if info is None:
        return None
    ask(info, "api/shutdown", "POST")
    end = time.monotonic() + patience
    while time.monotonic() < end:
        if ask(info, "api/status") is None:
            return True
        time.sleep(0.1)
    return False
