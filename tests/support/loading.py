"""Scripts that are in no package, as modules. conftest.py lets every test import this."""

import importlib.util
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def load(name):
    """A script of .make/ by its name, imported anew; sys.path is left as it was."""
    before = list(sys.path)
    spec = importlib.util.spec_from_file_location(f"make_{name}", ROOT / ".make" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    sys.path.insert(0, str(ROOT / ".make"))
    try:
        spec.loader.exec_module(module)
    finally:
        sys.path[:] = before
    return module
