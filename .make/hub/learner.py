"""A learner's server on a JupyterHub: their own clone of the course, and JupyterLab on it.

The hub starts this script in place of jupyterhub-singleuser, as the learner (Spawner.cmd), and it
becomes that program; words after its name are for it. At each start

- nbgitpuller clones the course into ~/bnlib, or takes the clone along to the course's newest text;
- .make/copies.py of that clone makes the learner's copies in work/, and takes those along that are
  behind, answers and all; what it says of that is added to work/what_has_changed.txt;
- the server becomes the one of `make lab`: its settings, its kernel, work/ to write in. Kernels
  import the clone's bnlib, so that notebooks and library are of one age.

Where the course cannot be reached, the clone stays as it is and the server starts all the same.

BNLIB_COURSE    address or folder of the git repository (the one that holds this file)
BNLIB_BRANCH    its branch (the one that it calls its default)
"""

import contextlib
import datetime
import io
import os
import sys
from pathlib import Path

COURSE = Path(__file__).resolve().parents[2].as_uri()  # of a path, git would copy all history
UP_TO_DATE = "your copies are up to date"


def bring(clone, course, branch=None):
    """Clone the course, or take a clone along. Raises SystemExit where there is none at the end."""
    from nbgitpuller.pull import GitPuller

    try:
        for line in GitPuller(course, str(clone), branch=branch).pull():
            print(line.rstrip(), file=sys.stderr)
    except Exception as error:  # its own, git's, a lock of a moment ago: the learner works on
        print(f"bnlib: {clone} stays as it is: {error!r}", file=sys.stderr)
    if not (clone / ".make" / "lab.py").exists():
        sys.exit(f"bnlib: the course could not be cloned from {course}")


def take_along(copies):
    """Bring the learner's copies up to date; tell them so in a file that stands beside these."""
    said = io.StringIO()
    try:
        with contextlib.redirect_stdout(said):
            copies.update()
    except (OSError, copies.Unreadable) as error:
        said.write(f"work/ stays as it is: {error}\n")
    lines = [line.removeprefix("bnlib: ") for line in said.getvalue().splitlines()]
    lines = [line for line in lines if not line.startswith(UP_TO_DATE)]
    if lines:
        with (copies.ROOT / "work" / "what_has_changed.txt").open("a", encoding="utf-8") as file:
            file.write("\n".join([f"{datetime.date.today()}", *lines, "", ""]))


def main(words):
    os.environ["BNLIB_MAKE"] = "python .make/copies.py"
    clone = Path.home() / "bnlib"
    bring(clone, os.environ.get("BNLIB_COURSE") or COURSE, os.environ.get("BNLIB_BRANCH") or None)

    sys.path.insert(0, str(clone / ".make"))
    import copies
    import lab

    take_along(copies)
    copies.trust(sorted((clone / "notebooks").glob("*.ipynb")))
    lab.go_there()
    os.environ["PYTHONPATH"] = os.pathsep.join(
        filter(None, [str(clone), os.environ.get("PYTHONPATH")])
    )
    from jupyterhub.singleuser import main as serve

    settings = [f"--{name}={value}" for name, value in lab.settings().items()]
    settings += ["--allow-root"] if os.geteuid() == 0 else []  # a hub in a container, tried as root
    sys.argv = ["jupyterhub-singleuser", *settings, *words]
    serve()


if __name__ == "__main__":
    main(sys.argv[1:])
