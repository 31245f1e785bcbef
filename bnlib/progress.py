"""A progress display that leaves nothing behind that differs from run to run.

In a notebook it is one live line with a bar; when the work is done, the cell shows again the
line it began with ("2,000 steps"), so a committed notebook re-runs to the same bytes. On a
terminal it is one line on stderr, cut to the terminal's width and made of characters that it
has, wiped at the end. Anywhere else it is silent.
"""

import contextlib
import html
import os
import shutil
import sys
import time

INTERVAL = 0.1  # seconds between two updates: smooth to the eye, cheap for the browser


@contextlib.contextmanager
def progress(steps, show=True):
    """Yield update(step, loss), to be called after each of `steps` steps.

    show    True: show what fits the place; False: nothing; a callable: call
            show(step, steps, loss) after every step instead

    >>> with progress(2, show=lambda step, steps, loss: print(f"{step}/{steps}")) as update:
    ...     update(1, 0.5)
    ...     update(2, 0.25)
    1/2
    2/2
    """
    if callable(show):
        yield lambda step, loss: show(step, steps, loss)
        return
    display = _display(steps) if show else None
    if display is None:
        yield lambda step, loss: None
        return
    state = {"step": 0, "next": time.monotonic() + INTERVAL}

    def update(step, loss):
        state["step"] = step
        now = time.monotonic()
        if now >= state["next"]:
            state["next"] = now + INTERVAL
            display.update(step, loss)

    try:
        yield update
    finally:
        display.finish(state["step"])


def _display(steps):
    ipython = sys.modules.get("IPython")  # present where a notebook runs us; never imported here
    shell = ipython.get_ipython() if ipython else None
    if getattr(shell, "kernel", None) is not None:
        return _NotebookLine(steps)
    return _TerminalLine(steps) if sys.stderr is not None and sys.stderr.isatty() else None


class _NotebookLine:
    def __init__(self, steps):
        from IPython.display import display

        self.steps = steps
        self.handle = display(self._bundle(f"{steps:,} steps"), raw=True, display_id=True)

    def _bundle(self, text, bar=""):
        return {"text/plain": text, "text/html": f"<div>{bar}{html.escape(text)}</div>"}

    def update(self, step, loss):
        bar = f'<progress value="{step}" max="{self.steps}" aria-label="training"></progress> '
        text = f"{step:,} of {self.steps:,} steps, loss {loss:.4g}"
        self.handle.update(self._bundle(text, bar), raw=True)

    def finish(self, step):
        done = step == self.steps
        text = (
            f"{self.steps:,} steps" if done else f"stopped after {step:,} of {self.steps:,} steps"
        )
        self.handle.update(self._bundle(text), raw=True)


class _TerminalLine:
    BAR, LEAST = 24, 6  # characters of a whole bar, and of the shortest that is worth showing

    def __init__(self, steps):
        self.steps = steps

    def update(self, step, loss):
        text = f"{step:,} of {self.steps:,} steps, loss {loss:.4g}"
        room = _columns(sys.stderr) - 1  # a full line is where some terminals begin a new one
        width = min(self.BAR, room - len(text) - 1)
        if width >= self.LEAST:
            full, empty = "█░" if _can_show("█░", sys.stderr) else "#."
            done = step * width // max(self.steps, 1)
            text = f"{full * done}{empty * (width - done)} {text}"
        elif len(text) > room:
            text = f"{step}/{self.steps}"[:room]
        print(f"\r\x1b[2K{text}", end="", file=sys.stderr, flush=True)

    def finish(self, step):
        print("\r\x1b[2K", end="", file=sys.stderr, flush=True)


def _columns(stream):
    """The terminal's width now; where it cannot be asked, what COLUMNS says, or 80."""
    try:
        columns = os.get_terminal_size(stream.fileno()).columns
    except (AttributeError, OSError, ValueError):
        columns = 0
    return columns or shutil.get_terminal_size().columns


def _can_show(text, stream):
    try:
        text.encode(getattr(stream, "encoding", None) or "utf-8")
    except (UnicodeError, LookupError):
        return False
    return True
