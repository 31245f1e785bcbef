"""pyproject.toml, constraints.txt, environment.yml and the workflow tell the same story."""

import re
import sys
import tomllib
from importlib import metadata
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).resolve().parent.parent
CONDA_NAMES = {"torch": "pytorch", "matplotlib": "matplotlib-base"}  # what conda-forge calls them
SUPPORTED = ["3.11", "3.12", "3.13"]


def read(name):
    return (ROOT / name).read_text(encoding="utf-8")


PROJECT = tomllib.loads(read("pyproject.toml"))["project"]
EXTRAS = PROJECT["optional-dependencies"]
ENVIRONMENT = yaml.safe_load(read("environment.yml"))
PINS = [line for line in read("constraints.txt").splitlines() if not line.startswith("#")]


def requirements(*extras):
    """The packages that pyproject.toml asks for, without those of bnlib's own extras."""
    lines = PROJECT["dependencies"] + [line for extra in extras for line in EXTRAS[extra]]
    return [Requirement(line) for line in lines if not line.startswith("bnlib[")]


def conda_specs():
    """environment.yml's packages: {name: version bounds}."""
    lines = [line for line in ENVIRONMENT["dependencies"] if isinstance(line, str)]
    return {name: bounds for name, _, bounds in (line.partition(" ") for line in lines)}


# ---------------------------------------------------------------- constraints.txt


def test_pins_are_exact_versions_for_every_platform():
    assert [line for line in PINS if not re.fullmatch(r"[a-z0-9-]+==[0-9][0-9a-z.]*", line)] == []


def test_every_package_is_pinned_once():
    names = [line.partition("==")[0] for line in PINS]
    assert names == sorted(set(names))


def test_torch_is_the_version_that_the_figures_were_made_with():
    assert "torch==2.13.0" in PINS


@pytest.mark.parametrize("requirement", requirements(*EXTRAS), ids=str)
def test_pin_satisfies_lower_bound(requirement):
    pins = dict(line.split("==") for line in PINS)
    assert Version(pins[requirement.name]) in requirement.specifier


@pytest.mark.parametrize("requirement", requirements(*EXTRAS), ids=str)
def test_requirement_is_a_lower_bound_alone(requirement):
    assert [clause.operator for clause in requirement.specifier] == [">="]


def dependency_closure(*extras):
    """Names of all packages that these extras bring here, by the metadata of what is installed."""
    waiting, found = {canonicalize_name(r.name) for r in requirements(*extras)}, set()
    while waiting:
        name = waiting.pop()
        found.add(name)
        for line in metadata.requires(name) or []:
            needed = Requirement(line)
            if needed.marker is None or needed.marker.evaluate({"extra": ""}):
                waiting |= {canonicalize_name(needed.name)} - found
    return found


def test_everything_that_the_course_brings_is_pinned():
    for_gpus = re.compile(r"(nvidia|cuda)-|triton$|pytorch-triton")  # differ with torch's build
    brought = dependency_closure("torch", "course", "onnx")
    names = {name for name in brought if not for_gpus.match(name)}
    assert names <= {line.partition("==")[0] for line in PINS}


# ---------------------------------------------------------------- environment.yml


def test_environment_holds_the_bounds_of_pyproject():
    course = {
        CONDA_NAMES.get(requirement.name, requirement.name): str(requirement.specifier)
        for requirement in requirements("torch", "course", "onnx")
    }
    assert conda_specs() == {"python": ">=3.11,<3.14", "pip": "", **course}


def test_environment_takes_conda_forge_alone():
    assert ENVIRONMENT["channels"] == ["conda-forge", "nodefaults"]
    assert set(ENVIRONMENT) == {"name", "channels", "dependencies"}


def test_environment_installs_bnlib_itself():
    pip = [line for line in ENVIRONMENT["dependencies"] if isinstance(line, dict)]
    assert pip == [{"pip": ["-e ."]}]


@pytest.mark.parametrize("line", [f"{name} {bounds}" for name, bounds in conda_specs().items()])
def test_conda_can_read_the_line(line):
    rattler = pytest.importorskip("rattler")
    assert rattler.MatchSpec(line.strip(), strict=True).name is not None


# ---------------------------------------------------------------- Python


def test_python_versions_agree():
    assert PROJECT["requires-python"] == f">={SUPPORTED[0]}"
    assert f"(3, {SUPPORTED[0][2:]}) <= sys.version_info" in read(".make/python.sh")
    newest = int(SUPPORTED[-1][2:])
    assert f"sys.version_info < (3, {newest + 1})" in read(".make/python.sh")
    assert conda_specs()["python"] == f">={SUPPORTED[0]},<3.{newest + 1}"


def test_bare_install_needs_numpy_alone():
    assert [Requirement(line).name for line in PROJECT["dependencies"]] == ["numpy"]


# ---------------------------------------------------------------- what people and CI run


def workflow():
    return yaml.safe_load(read(".github/workflows/test.yml"))


def test_workflow_runs_make_on_every_system_and_python():
    job = workflow()["jobs"]["test"]
    matrix = job["strategy"]["matrix"]
    assert [system.partition("-")[0] for system in matrix["os"]] == ["ubuntu", "macos", "windows"]
    assert matrix["python"] == SUPPORTED
    assert job["steps"][-1] == {"run": "make test"}


@pytest.mark.parametrize("job", ["lint", "browser", "hub"])
def test_workflow_calls_the_same_targets(job):
    assert {"run": f"make {job}"} in workflow()["jobs"][job]["steps"]


def pages_workflow():
    return yaml.safe_load(read(".github/workflows/pages.yml"))["jobs"]


def test_pages_workflow_publishes_what_make_site_makes():
    steps = pages_workflow()["build"]["steps"]
    assert {"run": "make site"} in steps
    paths = [step["with"]["path"] for step in steps if "upload" in step.get("uses", "")]
    assert paths == [".out/site", ".out/site/colab"]


def test_pages_workflow_may_write_only_where_it_must():
    assert "permissions" not in pages_workflow()["build"]
    assert pages_workflow()["deploy"]["permissions"] == {"pages": "write", "id-token": "write"}
    assert pages_workflow()["colab"]["permissions"] == {"contents": "write"}


def test_ci_runs_the_test_command_of_the_readme():
    assert read(".ci/run").splitlines()[-1] == "course test"  # by make, where there is one
    assert re.search(r"^make test\b", read("README.md"), re.MULTILINE)


def test_readme_gives_the_plain_pip_lines():
    assert 'pip install -c constraints.txt -e ".[torch,course,onnx]"' in read("README.md")


@pytest.mark.parametrize(
    "name", ["constraints.txt", "pyproject.toml", "environment.yml", "README.md", ".ci/run"]
)
def test_no_package_index_is_named(name):
    assert not re.search(r"https?://\S*(simple|whl|wheels)\b|--(extra-)?index", read(name))


def test_this_python_is_supported():
    assert Version(".".join(map(str, sys.version_info[:2]))) >= Version(SUPPORTED[0])


PAGES = ["README.md", "CONTRIBUTING.md", "CHANGELOG.md", "data/README.md", ".make/hub/README.md"]
PAGES += ["notebooks/for_lecturers.md", "notebooks/12_real_clusters.md"]


@pytest.mark.parametrize("page", PAGES)
def test_links_into_the_repository_lead_somewhere(page):
    targets = re.findall(r"\]\(([^)#]+)", read(page))
    inside = [target for target in targets if "://" not in target]
    assert [target for target in inside if not (ROOT / page).parent.joinpath(target).exists()] == []


def test_every_notebook_is_linked_in_the_readme():
    notebooks = sorted(path.name for path in (ROOT / "notebooks").glob("*.ipynb"))
    assert [name for name in notebooks if f"(notebooks/{name})" not in read("README.md")] == []
