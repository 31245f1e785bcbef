"""The stored training runs: what the file holds, that the script makes it, and how it is found."""

import hashlib
import io
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import numpy as np
import pytest

import bnlib.numpy as bn
from bnlib.course.kit.runs import reader, stored_runs
from bnlib.data import as_features, mnist10k

ROOT = Path(__file__).resolve().parents[1]
SCRIPT = ROOT / "data" / "build_figure1_runs.py"

spec = spec_from_file_location("build_figure1_runs", SCRIPT)
build = module_from_spec(spec)
spec.loader.exec_module(build)


@pytest.fixture
def runs():
    return stored_runs()


def test_the_curves_have_a_value_for_each_step(runs):
    assert runs["figure1_accuracy"].shape[-1] == len(runs["figure1_steps"])
    assert runs["figure1_bands"].shape[3:] == (len(runs["figure1_band_steps"]), 3, 100)
    assert runs["curves_accuracy"].shape[-1] == len(runs["curves_steps"])
    assert runs["deep_accuracy"].shape[-1] == len(runs["curves_steps"])


def test_accuracies_are_shares(runs):
    for name in runs:
        if name.endswith(("accuracy", "fitted")):
            assert runs[name].min() >= 0
            assert runs[name].max() <= 1


def test_the_readmes_picture_tells_no_more_than_the_runs(runs):
    steps, accuracy = runs["figure1_steps"], runs["figure1_accuracy"][0]  # rate 0.1
    without, with_bn = steps[(accuracy >= 0.88).argmax(axis=-1)]
    assert with_bn.max() <= 500
    assert without.min() >= 2000


def test_percentiles_are_in_order(runs):
    assert (np.diff(runs["figure1_bands"].astype(np.float64), axis=-2) >= 0).all()


def test_arrays_are_read_only(runs):
    with pytest.raises(ValueError, match="read-only"):
        runs["seeds"][0] = 7


@pytest.mark.parametrize("net", [0, 1], ids=["without", "with"])
def test_a_short_run_repeats_the_stored_one(runs, net):
    arguments = build.parts()["figure1"][1][3 * net]  # rate 0.1, seed 0
    short = build.train(**arguments | {"checkpoints": (0, 50, 100), "bands": (0, 100)})
    stored = runs["figure1_accuracy"][0, net, 0, :3]
    np.testing.assert_allclose(short["accuracy"], stored, atol=0.03)
    bands = runs["figure1_bands"][0, net, 0, [0, 2]].astype(np.float64)
    np.testing.assert_allclose(short["bands"].astype(np.float64), bands, atol=0.05)


def test_net_places_the_layer():
    def kinds(place):
        return [type(layer).__name__ for layer in build.net(place, 0, depth=1).layers]

    assert kinds("none") == ["Linear", "Sigmoid", "Linear"]
    assert kinds("before") == ["Linear", "BatchNorm", "Sigmoid", "Linear"]
    assert kinds("after") == ["Linear", "Sigmoid", "BatchNorm", "Linear"]


def test_unit_percentiles_are_of_the_last_sigmoids_inputs():
    model, digits = build.net("before", 0), as_features(mnist10k().x_test[:100])
    before = {name: array.copy() for name, array in model.parameters().items()}
    found = build.unit_percentiles(model, digits)
    hidden = model[:-2].train()(digits)  # everything before the last sigmoid
    np.testing.assert_allclose(found, np.percentile(hidden, (15, 50, 85), axis=0), atol=1e-5)
    assert all((model.parameters()[name] == array).all() for name, array in before.items())


def test_unit_percentiles_leave_running_statistics_alone():
    model = build.net("before", 0)
    build.unit_percentiles(model, as_features(mnist10k().x_test[:100]))
    norms = [layer for layer in model.layers if isinstance(layer, bn.BatchNorm)]
    assert all((norm.running_mean == 0).all() for norm in norms)


def test_measure_shapes_a_part(capsys):
    def arguments(place, seed):
        return {"place": place, "seed": seed, "rate": 0.1, "checkpoints": (0, 2), "examples": 120}

    part = build.grid((("none", "before"), (0, 1, 2)), arguments, keep=("accuracy", "finite"))
    arrays = build.storing.measure({"tiny": part}, build.train_one)
    assert arrays["tiny_accuracy"].shape == (2, 3, 2)
    assert arrays["tiny_finite"].all()
    assert "tiny: 6 runs" in capsys.readouterr().out


def test_a_lost_run_is_marked():
    lost = build.train("none", 0, 1e4, (0, 20), examples=120, activation="relu", std="he")
    assert lost["finite"].tolist() == [True, False]


def test_held_lengths_change_the_run_but_not_its_beginning():
    free, held = (
        build.train("before", 0, 30.0, (0, 1, 30), examples=600, held=held)["accuracy"]
        for held in (False, True)
    )
    np.testing.assert_allclose(free[0], held[0])
    assert free[2] != held[2]


def test_only_repeats_the_named_part(tmp_path, monkeypatch, capsys):
    output = tmp_path / "runs.npz"
    output.write_bytes((ROOT / "data" / "figure1_runs.npz").read_bytes())
    monkeypatch.setattr(build, "BRAKE_RATES", (1.0,))
    monkeypatch.setattr(build.storing, "ProcessPoolExecutor", InThisProcess)
    monkeypatch.setattr(build, "train_one", lambda arguments: {"accuracy": np.zeros(7)})
    build.main(["--only", "brake", "--output", str(output)])
    with np.load(output) as made:
        assert made["brake_accuracy"].shape == (2, 1, 3, 7)
        assert (made["map_accuracy"] == stored_runs()["map_accuracy"]).all()


class InThisProcess:
    """Stands for ProcessPoolExecutor."""

    def __init__(self, *arguments):
        self.map = map

    def __enter__(self):
        return self

    def __exit__(self, *about):
        return None


def test_pack_is_an_npz_without_a_clock():
    arrays = {"a": np.arange(3), "b": np.ones((2, 2), np.float16)}
    assert build.storing.pack(arrays) == build.storing.pack(arrays)
    with np.load(io.BytesIO(build.storing.pack(arrays))) as file:
        assert all((file[name] == array).all() for name, array in arrays.items())


def test_a_missing_file_names_the_remedy(tmp_path, monkeypatch):
    monkeypatch.setenv("BNLIB_DATA", str(tmp_path))
    stored_runs.cache_clear()
    try:
        with pytest.raises(FileNotFoundError, match="unset it"):
            stored_runs()
    finally:
        stored_runs.cache_clear()


# ---- all files of stored runs, and what their scripts share

NAMES = ["figure1", "10", "11", "12", "13", "14", "16"]


@pytest.fixture(scope="module", params=NAMES)
def stored(request, data_script):
    """What a script would run (name of a part -> shape, runs, keep), its axes, and the file."""
    script, told = data_script(f"build_{request.param}_runs"), {}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(script.storing, "repeat", lambda *given: told.update(given=given))
        script.main([])
    _, output, described, _, constants, _ = told["given"]
    return output, described, constants, reader(request.param)()


def test_each_file_holds_what_its_script_makes(stored):
    _, described, constants, runs = stored
    names = {f"{part}_{key}" for part, (_, _, keep) in described.items() for key in keep}
    assert set(runs) == names | set(constants)


def test_each_stored_array_has_its_grid(stored):
    _, described, _, runs = stored
    for part, (shape, each, keep) in described.items():
        assert len(each) == np.prod(shape)
        for key in keep:
            assert runs[f"{part}_{key}"].shape[: len(shape)] == shape


def test_stored_axes_are_the_scripts(stored):
    _, _, constants, runs = stored
    for name, values in constants.items():
        np.testing.assert_array_equal(runs[name], values)


def test_stored_arrays_are_read_only(stored):
    for array in stored[-1].values():
        with pytest.raises(ValueError, match="read-only"):
            array[...] = 0


def test_each_file_is_the_one_that_the_readme_names(stored):
    raw = stored[0].read_bytes()
    readme = (ROOT / "data" / "README.md").read_text(encoding="utf-8")
    assert hashlib.sha256(raw).hexdigest() in readme
    assert f"({len(raw):,} bytes)" in readme


def test_repeating_one_part_keeps_the_others(data_script, tmp_path, capsys):
    storing = data_script("storing")
    runs = {
        "a": ((2, 1), [{"accuracy": 0.1}, {"accuracy": 0.2}], ("accuracy",)),
        "b": ((1,), [{"loss": 3.0, "left": 0}], ("loss",)),
    }
    output, constants = tmp_path / "x.npz", {"a_rates": np.array([1.0, 2.0])}
    storing.repeat("A test.", output, runs, dict, constants, ["--jobs", "1"])
    runs["b"] = ((1,), [{"loss": 4.0}], ("loss",))
    storing.repeat("A test.", output, runs, dict, constants, ["--jobs", "1", "--only", "b"])
    with np.load(output) as file:
        assert file.files == ["a_rates", "a_accuracy", "b_loss"]
        assert file["a_accuracy"].tolist() == [[0.1], [0.2]]
        assert file["b_loss"].tolist() == [4.0]
    assert "b: 1 runs" in capsys.readouterr().out


def test_over_grids_describes_each_point():
    storing = build.storing
    runs = storing.over_grids({"a": (((1, 2), (0, 1, 3)), lambda x, y: x * y, ("accuracy",))})
    assert runs == {"a": ((2, 3), [0, 1, 3, 0, 2, 6], ("accuracy",))}
