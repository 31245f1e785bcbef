"""Open JupyterLab on the course (make lab), and say in one line where it is.

Runs under .venv's Python. Words after the script's name go on to JupyterLab, for instance
--ip=0.0.0.0 in a container or --port=9000.
"""

import json
import os
import secrets
import sys
import threading
import time
import webbrowser
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
START = "notebooks/00_start_here.ipynb"
IN_THE_TERMINAL = {"www-browser", "links", "elinks", "lynx", "w3m"}


def has_browser(env=os.environ, platform=sys.platform):
    """Is there a browser that this process can open on a screen?"""
    if env.get("CI"):
        return False
    screen = env.get("DISPLAY") or env.get("WAYLAND_DISPLAY") or env.get("BROWSER")
    remote = "SSH_CONNECTION" in env or "SSH_TTY" in env
    if not screen and (remote or platform not in ("darwin", "win32", "cygwin")):
        return False
    try:
        found = webbrowser.get()
    except webbrowser.Error:
        return False
    return Path(getattr(found, "name", "")).name not in IN_THE_TERMINAL


def options(words, token, browser, root_user):
    """What JupyterLab is started with: the course's page, no news from outside, few log lines."""
    settings = {
        "ServerApp.root_dir": ROOT,
        "ServerApp.log_level": "WARN",
        "LabApp.log_level": "WARN",
        "LabApp.news_url": None,
        "LabApp.check_for_updates_class": "jupyterlab.NeverCheckForUpdate",
        "IdentityProvider.token": token,  # seen by this process only
        "JupyterApp.answer_yes": True,  # one Ctrl-C is enough
    }
    chosen = [START, *(f"--{name}={value}" for name, value in settings.items())]
    chosen += [] if browser else ["--no-browser"]
    chosen += ["--allow-root"] if root_user else []
    return [*chosen, *words]


def say(text):
    print(f"bnlib: {text}", flush=True)


def announce(note, token, browser):
    """Wait until the server has written down where it is, then print the address."""
    while True:
        try:
            server = json.loads(note.read_text(encoding="utf-8"))
            break
        except (OSError, ValueError):
            time.sleep(0.1)
    address = f"{server['url']}lab/tree/{START}?token={token}"
    lead = "the course is open at" if browser else "open this address in a browser:"
    say(f"{lead} {address}   (Ctrl-C stops JupyterLab)")


def main(words):
    from jupyter_core.paths import jupyter_runtime_dir
    from jupyterlab.labapp import LabApp

    browser = has_browser() and "--no-browser" not in words
    root_user = hasattr(os, "geteuid") and os.geteuid() == 0
    if root_user:
        say("you are root: starting JupyterLab with --allow-root, without which it refuses")
    token = os.environ.get("JUPYTER_TOKEN") or secrets.token_hex(16)
    note = Path(jupyter_runtime_dir()) / f"jpserver-{os.getpid()}.json"
    note.unlink(missing_ok=True)  # of an older process that had the same number
    threading.Thread(target=announce, args=(note, token, browser), daemon=True).start()
    LabApp.launch_instance(options(words, token, browser, root_user))


if __name__ == "__main__":
    main(sys.argv[1:])
