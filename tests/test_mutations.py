"""The bugs of mutation_check.py still fit the source. Planting them all takes minutes:
python tests/mutation_check.py."""

import ast
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import pytest

spec = spec_from_file_location("mutation_check", Path(__file__).parent / "mutation_check.py")
check = module_from_spec(spec)
spec.loader.exec_module(check)
EACH = pytest.mark.parametrize("mutant", check.MUTANTS, ids=lambda m: f"{m.backend}: {m.name}")


@EACH
def test_mutant_fits_the_source(mutant):
    assert mutant.fits()


@EACH
def test_mutant_is_python_and_another_program(mutant):
    source = mutant.source()
    mutated = source.replace(mutant.old, mutant.new)
    assert ast.dump(ast.parse(mutated)) != ast.dump(ast.parse(source))


def test_both_backends_get_twenty_bugs():
    for backend in (check.NUMPY, check.TORCH):
        assert sum(m.backend == backend for m in check.MUTANTS) >= 20


def test_names_are_unique():
    names = [(m.backend, m.name) for m in check.MUTANTS]
    assert len(set(names)) == len(names)
