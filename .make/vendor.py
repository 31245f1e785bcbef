"""Packages of JavaScript that our pages carry with them, fetched once from the npm registry.

usage: python .make/vendor.py              fetch all of them
       python .make/vendor.py mathjax      fetch one

fetch(name) gives the folder of an unpacked package in .out/vendor, which git ignores; once it is
there no network is needed. npm does the fetching: the one on the PATH, else the one that the
extra `site` brings. What came is compared with the checksum below before anything is unpacked.
"""

import hashlib
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

VENDOR = Path(__file__).resolve().parent.parent / ".out" / "vendor"
PACKAGES = {  # name: version, SHA-256 of what `npm pack NAME@VERSION` gives
    "axe-core": ("4.10.3", "0f2b4d7dcdf7d1219df8d1959ad68e565f51d14c3f0d88bb71cd59abeb956292"),
    "mathjax": ("3.2.2", "1b9c0a1c44df864e915690558e72adb9cc5203360daefd385084ced3b6c64c09"),
    "reveal.js": ("5.2.1", "359b575dd51bbda32f89b2fd4c7dc46ad7389a805572158916c29252f7a27333"),
}


class Missing(Exception):
    """Why a package is not to be had, in one line."""


def fetch(name, into=VENDOR):
    """The folder of a package, fetched where it is not there yet. Raises Missing."""
    if name not in PACKAGES:
        raise Missing(f"{name} is no package of ours; there are {', '.join(PACKAGES)}")
    version, checksum = PACKAGES[name]
    folder = into / f"{name}-{version}"
    if folder.is_dir():
        return folder
    into.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=into) as place:
        place = Path(place)
        tarball = pack(name, version, place)
        found = hashlib.sha256(tarball.read_bytes()).hexdigest()
        if found != checksum:
            raise Missing(f"{name} {version} came with checksum {found}, not with {checksum}")
        with tarfile.open(tarball) as tar:
            safely = {"filter": "data"} if hasattr(tarfile, "data_filter") else {}  # from 3.11.4 on
            tar.extractall(place, **safely)
        (place / "package").rename(folder)  # in one step: a folder that is there is whole
    return folder


def pack(name, version, place):
    """Have npm put a package's tarball into a folder; its path. Raises Missing."""
    npm = shutil.which("npm") or shutil.which("npm", path=str(Path(sys.executable).parent))
    if npm is None:
        raise Missing(f"{name} is fetched with npm: install Node.js, or the extra `site`")
    command = [npm, "pack", f"{name}@{version}", "--silent"]
    done = subprocess.run(command, cwd=place, capture_output=True, text=True, check=False)
    tarballs = list(place.glob("*.tgz"))
    if done.returncode or not tarballs:
        why = " ".join((done.stderr or done.stdout).split())[:300]
        raise Missing(f"npm could not fetch {name} {version}: {why or 'is there a network?'}")
    return tarballs[0]


def main(names):
    try:
        for name in names or PACKAGES:
            print(fetch(name))
    except Missing as missing:
        sys.exit(f"bnlib: {missing}")


if __name__ == "__main__":
    main(sys.argv[1:])
