"""Open JupyterLab on the learner's own copies (make lab), and say in one line where it is.

Runs under .venv's Python. Words after the script's name go on to JupyterLab, for instance
--ip=0.0.0.0 in a container or --port=9000. Two are our own:
    --course    open the course's own notebooks, for those who write them (else they are read-only)
    stop        end the JupyterLab that runs here

Beside this file, jupyterlab/ holds what our JupyterLab does differently: overrides.json (default
settings; the learner's own weigh more), custom/custom.css (the width of a line of prose), and
kernels/python3: this Python's kernel, whatever else is called so on this machine, without its log.
"""

import json
import os
import secrets
import sys
import threading
import time
import webbrowser
from pathlib import Path

from jupyter_core.paths import jupyter_config_dir, jupyter_runtime_dir

sys.path.insert(0, str(Path(__file__).resolve().parent))
import copies
import server

ROOT = copies.ROOT
START = "00_start_here.ipynb"
OURS = Path(__file__).resolve().parent / "jupyterlab"
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


def settings(folder="work"):
    """What our JupyterLab does differently, wherever it runs: options by name, few log lines."""
    styles = [Path(jupyter_config_dir()) / "custom", OURS / "custom"]  # the learner's own first
    chosen = {
        "ServerApp.root_dir": ROOT,
        "ServerApp.log_level": "ERROR",  # its warnings (no Node.js, …) ask nothing of a learner
        "LabApp.log_level": "ERROR",
        "LabApp.news_url": None,
        "LabApp.app_settings_dir": OURS,
        "LabApp.custom_css": True,
        "ServerApp.tornado_settings": {"static_custom_path": [str(style) for style in styles]},
        "LabApp.check_for_updates_class": "jupyterlab.NeverCheckForUpdate",
    }
    if folder == "work":
        chosen["ServerApp.contents_manager_class"] = "contents.LearnersFiles"
    return chosen


def options(words, token, browser, root_user, folder="work"):
    """What JupyterLab is started with: the first notebook, our settings, and whose it is."""
    all_settings = {
        **settings(folder),
        "IdentityProvider.token": token,  # seen by this process only
        "JupyterApp.answer_yes": True,  # one Ctrl-C is enough
    }
    chosen = [f"{folder}/{START}", *(f"--{name}={value}" for name, value in all_settings.items())]
    chosen += [] if browser else ["--no-browser"]
    chosen += ["--allow-root"] if root_user else []
    return [*chosen, *words]


def go_there():
    """Into the course's folder, where a notebook's path counts from; our kernel comes first."""
    found = [str(OURS), os.environ.get("JUPYTER_PATH")]
    os.environ["JUPYTER_PATH"] = os.pathsep.join(filter(None, found))
    os.chdir(ROOT)


def announce(note, browser, folder="work"):
    """Wait until the server has written down where it is, then print the address."""
    while True:
        try:
            info = json.loads(note.read_text(encoding="utf-8"))
            break
        except (OSError, ValueError):
            time.sleep(0.1)
    lead = "the course is open at" if browser else "open this address in a browser:"
    copies.say(f"{lead} {address(info, folder)}   (Ctrl-C stops JupyterLab)")


def address(info, folder="work"):
    return f"{info['url']}lab/tree/{folder}/{START}?token={info['token']}"


def stop():
    gone = server.stop(ROOT)
    copies.say(
        {True: "JupyterLab is stopped", None: "no JupyterLab runs here"}.get(
            gone, "JupyterLab does not answer: end it with Ctrl-C in its window"
        )
    )


def main(words):
    from jupyterlab.labapp import LabApp

    if words == ["stop"]:
        return stop()
    folder = "notebooks" if "--course" in words else "work"
    words = [word for word in words if word != "--course"]
    if folder == "work":
        copies.main(["prepare"])
    browser = has_browser() and "--no-browser" not in words
    if info := server.running(ROOT):
        there = address(info, folder)
        copies.say(f"JupyterLab already runs here: {there}   ({copies.MAKE} stop ends it)")
        return browser and webbrowser.open(there)
    copies.trust(sorted((ROOT / "notebooks").glob("*.ipynb")))
    root_user = hasattr(os, "geteuid") and os.geteuid() == 0
    if root_user:
        copies.say("you are root: starting JupyterLab with --allow-root, without which it refuses")
    token = os.environ.get("JUPYTER_TOKEN") or secrets.token_hex(16)
    note = Path(jupyter_runtime_dir()) / f"jpserver-{os.getpid()}.json"
    note.unlink(missing_ok=True)  # of an older process that had the same number
    threading.Thread(target=announce, args=(note, browser, folder), daemon=True).start()
    go_there()
    LabApp.launch_instance(options(words, token, browser, root_user, folder))


if __name__ == "__main__":
    main(sys.argv[1:])
