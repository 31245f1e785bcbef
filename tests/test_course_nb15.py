"""Notebook 15: each suspect is wrong in one thing, each small test finds what the matrix says, and
the check names what a learner's test never asked."""

import time

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose

from bnlib.course import nb15
from bnlib.course.kit.asking import find
from bnlib.course.kit.figures import description
from bnlib.course.nb15 import exercises, hunting, layers, listings, trials
from bnlib.course.nb15.hunting import HuntExercise
from bnlib.course.nb15.layers import KINDS, NAMES, RIGHT, SUSPECTS, WRONG_IN, Textbook

HUNTS = {e.id: e for e in exercises.EXERCISES if isinstance(e, HuntExercise)}
MATRIX = {  # what each test finds, from three seeds; the notebook measures it again
    "mean 0, variance 1": "B",
    "output of rows": "BHKQ",
    "output of images": "BDHKMQ",
    "gradient of y.sum()": "BS",
    "gradcheck": "BES",
    "after two steps": "CIJO",
    "after 200 batches": "",
    "fresh, evaluation": "CGLR",
    "one row alone": "GLR",
    "evaluation changes nothing": "GLR",
    "float32 around 10,000": "AB",
    "bfloat16 around 100": "BP",
    "float16 around 2,000": "ABP",
    "refuses one value": "F",
    "names in state_dict": "N",
    "moves along": "N",
}
each_suspect = pytest.mark.parametrize("letter", SUSPECTS)


def images(seed=0, dtype=torch.float64):
    return torch.randn(4, 3, 5, 2, generator=torch.Generator().manual_seed(seed), dtype=dtype)


# ── the line-up ─────────────────────────────────────────────────────────────────────────────────


def test_there_are_nineteen_suspects():
    assert list(SUSPECTS) == list("ABCDEFGHIJKLMNOPQRS")
    assert sorted(NAMES) == sorted(SUSPECTS)
    assert len(set(NAMES.values())) == 19


@each_suspect
def test_suspect_tells_no_name(letter):
    layer = SUSPECTS[letter](3)
    assert repr(layer) == type(layer).__qualname__ + "()" == f"Suspect{letter}()"
    assert type(layer).__doc__ is None


def test_letters_tell_no_order():
    """Neither the kinds nor the faults of a kind stand in the order of the letters."""
    for letters in WRONG_IN.values():
        assert letters != sorted(letters) or len(letters) < 3
    assert [x for letters in WRONG_IN.values() for x in letters] != sorted(SUSPECTS)


@pytest.mark.parametrize("make", RIGHT.values(), ids=list(RIGHT))
@pytest.mark.parametrize("shape", [(6, 3), (4, 3, 5, 2)], ids=str)
def test_right_layers_match_torch(make, shape):
    x, layer = torch.randn(shape, dtype=torch.float64), make(3).double()
    theirs = (torch.nn.BatchNorm1d if len(shape) == 2 else torch.nn.BatchNorm2d)(3).double()
    for _ in range(3):
        assert_allclose(layer(x).detach(), theirs(x).detach(), atol=1e-10)
    assert_allclose(layer.running_var, theirs.running_var, atol=1e-10)
    assert_allclose(layer.eval()(x).detach(), theirs.eval()(x).detach(), atol=1e-10)


@pytest.mark.parametrize("where", [w for w in WRONG_IN if w != "output"])
def test_only_the_first_six_have_a_wrong_output(where):
    for letter in WRONG_IN[where]:
        layer, x = SUSPECTS[letter](3), images()
        assert_allclose(layer(x).detach(), Textbook(3)(x).detach(), atol=1e-6)


def test_the_six_have_a_wrong_output():
    for letter in WRONG_IN["output"]:
        layer, textbook = (kind(3, eps=0.1).double() for kind in (SUSPECTS[letter], Textbook))
        for each in (layer, textbook):
            torch.nn.init.constant_(each.weight, 2.0)
            torch.nn.init.constant_(each.bias, 0.5)
        assert not torch.allclose(layer(images()), textbook(images()), atol=1e-4)


@each_suspect
def test_suspect_overrides_one_thing(letter):
    kind = SUSPECTS[letter]
    changed = {name for name in vars(kind) if callable(getattr(kind, name, None))} - {"__init__"}
    assert len(changed) <= (2 if "16-bit" in NAMES[letter] else 1)


def test_kinds_hold_all_classes_once():
    assert sum(len(classes) for classes in KINDS.values()) == len(set(SUSPECTS.values())) == 19


# ── small tests ─────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_matrix_is_what_it_was(seed):
    assert {t: "".join(who) for t, who in nb15.hunt(nb15.TESTS, seed=seed).items()} == MATRIX


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_no_test_raises_a_false_alarm(seed):
    assert not any(nb15.hunt(nb15.TESTS, RIGHT, seed).values())


def test_seven_leave_nobody_in_the_dark_and_six_do():
    assert not nb15.still_dark(MATRIX, nb15.SEVEN)
    assert all(nb15.still_dark(MATRIX, set(nb15.SEVEN) - {test}) for test in nb15.SEVEN)


def test_complete_sets_are_all_there_are():
    """By hand: only three tests find R, only two find N, and the other five are fixed."""
    sets = nb15.complete_sets(MATRIX, 7)
    assert len(set(map(frozenset, sets))) == len(sets) == 6
    assert set(nb15.SEVEN) in map(set, sets)
    assert not nb15.complete_sets(MATRIX, 6)


def test_first_look_mistakes_are_found_at_a_first_look():
    for seed in range(5):
        assert len(nb15.hunt(trials.mean_0_variance_1, nb15.FIRST_LOOK, seed)) == 4


def test_a_test_that_stops_has_found_something():
    assert nb15.hunt(lambda layer_class: 1 / 0, {"x": Textbook}) == ["x"]


def test_training_finds_the_detached_one():
    few = {"S": SUSPECTS["S"], "E": SUSPECTS["E"], "right": Textbook}
    share = nb15.accuracies(few, seed=3)
    assert share["S"] < trials.READS < min(share["E"], share["right"])


def test_seconds_are_told_for_each_test():
    assert set(nb15.SECONDS) == {*nb15.TESTS, nb15.TRAINING}
    assert set(nb15.SEVEN) <= set(nb15.TESTS)


def test_training_costs_several_times_what_the_seven_cost():
    def seconds(run):
        start = time.process_time()
        run()
        return time.process_time() - start

    one, seven = {"right": Textbook}, {name: nb15.TESTS[name] for name in nb15.SEVEN}
    nb15.accuracies(one, steps=1)  # reads the digits
    assert seconds(lambda: nb15.accuracies(one)) > 3 * seconds(lambda: nb15.hunt(seven, one))


def test_module_for_rows_takes_images_as_torch_does():
    own = nb15.takes_images(find("9.3").solution, find("10.1").solution)(3).double()
    theirs = torch.nn.BatchNorm2d(3).double()
    assert_allclose(own(images()).detach(), theirs(images()).detach(), atol=1e-12)
    assert_allclose(own.running_var, theirs.running_var, atol=1e-12)
    assert set(own.state_dict()) == set(theirs.state_dict())


def test_the_two_repairs_make_the_module_of_09_pass_all_seven():
    """A ValueError for one value per channel, and 16-bit data widened first: 9.3 takes it."""

    class Mended(find("9.3").solution):
        def forward(self, x):
            if self.training and len(x) == 1:
                raise ValueError("one value per channel")
            if x.dtype in (torch.float16, torch.bfloat16):
                return super().forward(x.float()).to(x.dtype)
            return super().forward(x)

    own = nb15.takes_images(Mended, find("10.1").solution)
    assert all(nb15.passes(nb15.TESTS[name], own) for name in nb15.SEVEN)
    assert find("9.3").check(Mended).passed


def test_variance_after_one_value_is_nan_in_the_module_of_09():
    assert nb15.variance_after_one_value(find("9.3").solution).isnan().all()
    assert nb15.variance_after_one_value(SUSPECTS["F"]).isfinite().all()


# ── checks of what learners write ───────────────────────────────────────────────────────────────


@pytest.mark.parametrize("number", HUNTS)
def test_solution_of_a_hunt_passes(number):
    for _ in range(3):
        assert HUNTS[number].check(HUNTS[number].solution).passed


TURNS = {f"{e.id}-{turn.name}": (e, turn) for e in HUNTS.values() for turn in e.wrong_turns}


@pytest.mark.parametrize(("exercise", "turn"), TURNS.values(), ids=list(TURNS))
def test_wrong_turn_of_a_hunt_is_named(exercise, turn):
    for _ in range(2):
        verdict = exercise.check(turn.wrong)
        assert verdict.status == "not yet"
        assert verdict.text.endswith(turn.verdict)
        assert len(verdict.text) < 400


@pytest.mark.parametrize("number", HUNTS)
def test_a_test_that_accepts_all_is_told_who_slips_through(number):
    text = HUNTS[number].check(lambda layer_class: True).text
    letters = sorted(HUNTS[number].wanted)
    assert text.startswith(f"Suspects {', '.join(letters[:-1])} and {letters[-1]} slip through.")
    assert not any(name in text for name in NAMES.values())


@pytest.mark.parametrize("number", HUNTS)
def test_a_test_that_refuses_all_is_a_false_alarm(number):
    assert "False alarm" in HUNTS[number].check(lambda layer_class: False).text


def leaves_gradients_off(layer_class):
    torch.set_grad_enabled(False)
    return exercises.memory_is_right(layer_class)


def leaves_another_format(layer_class):
    torch.set_default_dtype(torch.float64)
    return exercises.output_is_right(layer_class)


@pytest.mark.parametrize(
    ("number", "test", "word"),
    [
        ("15.4", leaves_gradients_off, "gradients switched off"),
        ("15.2", leaves_another_format, "another default format"),
    ],
)
def test_what_a_test_leaves_behind_is_named_and_set_back(number, test, word):
    assert word in HUNTS[number].check(test).text
    assert torch.is_grad_enabled()
    assert torch.get_default_dtype() == torch.float32


def test_layer_without_gradient_has_the_right_output_and_none():
    x = images().requires_grad_()
    layer = hunting.NoGradient(3).double()
    layer(x).backward(torch.randn(4, 3, 5, 2))
    assert_allclose(layer(x).detach(), Textbook(3).double()(x).detach(), atol=1e-12)
    assert_allclose(x.grad, np.zeros((4, 3, 5, 2)))


def test_spy_is_a_right_layer():
    kind = type("Layer", (hunting._Spy,), {"notes": [], "modes": []})
    assert not any(name for name, who in nb15.hunt(nb15.TESTS, {"spy": kind}).items() if who)
    assert kind.notes


# ── the cheapest set ────────────────────────────────────────────────────────────────────────────


def test_cheapest_is_cheaper_than_greed_and_leaves_nothing_dark():
    for seed in range(5):
        caught, seconds = exercises._matrix(np.random.default_rng(seed))
        best = exercises.cheapest(caught, seconds)
        greedy = exercises._most_first(caught, seconds)
        assert caught[:, best].any(axis=1).all()
        assert seconds[best].sum() < seconds[greedy].sum()


def test_as_array_has_a_row_for_each_suspect():
    table = nb15.as_array(MATRIX)
    assert table.shape == (19, 16)
    assert table.sum(axis=0).tolist() == [len(who) for who in MATRIX.values()]


# ── listings ────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("seed", [0, 1])
def test_each_wrong_listing_is_refused_by_exactly_one_of_the_seven(seed):
    for kind, number in zip(listings.LISTINGS, exercises.reviews(), strict=True):
        seven = {name: nb15.TESTS[name] for name in nb15.SEVEN}
        refused = [
            i for i, who in enumerate(nb15.hunt(seven, {"x": kind}, seed).values(), 1) if who
        ]
        assert refused == ([number] if number else [])


def test_the_right_listing_matches_torch():
    layer, theirs = listings.LISTINGS[2](3).double(), torch.nn.BatchNorm2d(3).double()
    for seed in range(3):
        x = images(seed) + 50
        assert_allclose(layer(x).detach(), theirs(x).detach(), atol=1e-10)
    assert_allclose(layer.running_var, theirs.running_var, atol=1e-10)


@pytest.mark.parametrize("number", range(1, 7))
def test_listing_shows_the_code_that_runs(number):
    shown = str(nb15.listing(number))
    assert shown.startswith(f"# listing {number}\ndef forward(self, x):")
    assert shown.count("\n") <= 13
    assert max(map(len, shown.splitlines())) <= 96


@pytest.mark.parametrize(
    ("answer", "word"),
    [
        ([1, 4, 0, 2, 5, 0], "Listing 6 is not right"),
        ([2, 4, 0, 2, 5, 3], "Listing 1 passes test 2, gradcheck. (5 of 6 are right.)"),
        ([1, 2, 3], "a list of 6 whole numbers"),
        ([1, 4, 0, 2, 5, 9], "from 0 to 7"),
        ("gradcheck", "a list of 6"),
    ],
    ids=str,
)
def test_review_names_the_first_listing_judged_wrongly(answer, word):
    assert word in find("15.6").check(answer).text


# ── pictures and the explorer ───────────────────────────────────────────────────────────────────


def test_matrix_figure_draws_a_dot_a_find():
    ax = nb15.plot_matrix(MATRIX)
    dots = sum(len(line.get_xdata()) for line in ax.lines if line.get_marker() == "o")
    assert dots == sum(map(len, MATRIX.values()))
    assert "gradcheck: B, E and S" in description(ax)
    assert "after 200 batches: none" in description(ax)


def test_explorer_counts_what_the_ticked_tests_find():
    explorer = nb15.WhoIsDark({**MATRIX, nb15.TRAINING: "S"})
    assert explorer.state_text.startswith("1 test, 0.009 seconds for all nineteen: 1 of 19 found")
    explorer.set(test_1=True, test_0=True)
    assert "7 of 19 found" in explorer.state_text
    explorer.set(**{f"test_{i}": True for i in range(1, 8)}, test_0=False)
    assert "19 of 19 found; nobody stays in the dark" in explorer.state_text


def test_explorer_has_few_enough_states_to_draw_them_all():
    assert np.prod([len(c.all_values()) for c in nb15.WhoIsDark.controls]) <= 300


def test_explorer_and_layers_share_the_order_of_columns():
    assert nb15.plots.LETTERS == [x for letters in layers.WRONG_IN.values() for x in letters]
