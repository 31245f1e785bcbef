"""claim: it prints what holds, stops at what does not, and takes nothing but one bool."""

import numpy as np
import pytest
import torch

from bnlib.course import claim

HOLDS = {
    "bool": True,
    "numpy scalar": np.float64(1) < 2,
    "0-d array": np.array(True),
    "torch scalar": torch.tensor(1.0) < 2,
}
NO_BOOL = {
    "array": np.array([True, True]),
    "one-element array": np.array([True]),
    "torch vector": torch.tensor([True]),
    "integer": 1,
    "0-d integer": np.array(1),
    "float scalar": np.float64(1.0),
    "string": "yes",
    "None": None,
    "list": [True],
    "function": len,
}


@pytest.mark.parametrize("condition", HOLDS.values(), ids=HOLDS)
def test_claim_prints_the_sentence(condition, capsys):
    claim("one is less than two", condition)
    assert capsys.readouterr().out == "✓ one is less than two\n"


@pytest.mark.parametrize("condition", HOLDS.values(), ids=HOLDS)
def test_claim_raises_naming_the_sentence(condition, capsys):
    false = ~condition if hasattr(condition, "dtype") else not condition
    with pytest.raises(AssertionError, match="two is less than one"):
        claim("two is less than one", false)
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("condition", NO_BOOL.values(), ids=NO_BOOL)
def test_claim_refuses_what_is_no_bool(condition):
    with pytest.raises(TypeError, match="condition"):
        claim("all is well", condition)


@pytest.mark.parametrize("text", ["", "  \n"])
def test_claim_refuses_an_empty_sentence(text):
    with pytest.raises(ValueError, match="text is empty"):
        claim(text, True)


def test_claim_refuses_a_condition_in_the_place_of_the_sentence():
    with pytest.raises(TypeError, match="text"):
        claim(True, "two is less than one")
