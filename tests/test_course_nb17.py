"""Notebook 17: every question stands by itself, and leads to where its answer is explained."""

import json
import re
from pathlib import Path

import matplotlib
import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose

from bnlib.course import nb17
from bnlib.course.kit.asking import find
from bnlib.course.nb17 import exercises, nets

NOTEBOOK = Path(__file__).resolve().parents[1] / "notebooks" / "17_asked_most.ipynb"
CELLS = json.loads(NOTEBOOK.read_text("utf-8"))["cells"]
SOURCES = {cell["id"]: "".join(cell["source"]) for cell in CELLS}
SET_UP = ("nb17-setup", "nb17-device", "nb17-data")
NUMBERS = range(1, 21)


def code_of(number):
    """The code cells of one question, in order."""
    return [
        "".join(cell["source"])
        for cell in CELLS
        if cell["cell_type"] == "code" and cell["id"].startswith(f"nb17-q{number:02}")
    ]


def linked(text):
    """The numbers of the other notebooks that a text links to."""
    return set(re.findall(r"\]\((\d\d)_\w+\.ipynb", text))


# ── the page ────────────────────────────────────────────────────────────────────────────────────


def test_questions_are_numbered_from_1_to_20():
    headings = re.findall(r"^## (\d+)\. ", "\n".join(SOURCES.values()), re.MULTILINE)
    assert headings == [str(number) for number in NUMBERS]
    assert list(nb17.QUESTIONS) == list(NUMBERS)


@pytest.mark.parametrize("number", NUMBERS)
def test_a_question_begins_with_its_situation(number):
    _, situation, *_ = SOURCES[f"nb17-q{number:02}"].split("\n\n")
    assert re.fullmatch(r"\*.+\*", situation)


@pytest.mark.parametrize("number", NUMBERS)
def test_a_question_is_shown_by_code_with_claims(number):
    assert "\n".join(code_of(number)).count("claim(") >= 2


@pytest.mark.parametrize("number", NUMBERS)
def test_an_answer_is_short_and_leads_on(number):
    answer = SOURCES[f"nb17-q{number:02}-answer"]
    assert len(re.sub(r"\]\([^)]*\)", "]", answer).split()) <= 110
    assert linked(answer[answer.index("→") :])


@pytest.mark.parametrize("number", NUMBERS)
def test_the_table_names_the_notebooks_that_the_answer_links_to(number):
    row = re.search(rf"^\| {number} \|.*\| ([\d, ]+) \|$", SOURCES["nb17-table"], re.MULTILINE)
    assert set(row[1].split(", ")) == linked(SOURCES[f"nb17-q{number:02}-answer"])


@pytest.fixture(scope="module")
def set_up():
    """What the set-up cells leave behind; matplotlib's and torch's settings come back."""
    space, threads = {}, torch.get_num_threads()
    with matplotlib.rc_context():
        for name in SET_UP:
            exec(SOURCES[name], space)
    yield space
    torch.set_default_device(None)
    torch.set_num_threads(threads)


@pytest.mark.parametrize("number", NUMBERS)
def test_a_question_stands_by_itself(number, set_up, capsys):
    before = {name: value.clone() for name, value in set_up["model"].state_dict().items()}
    space = dict(set_up)
    for code in code_of(number):
        exec(code, space)
    assert "✓" in capsys.readouterr().out
    for name, value in set_up["model"].state_dict().items():
        assert torch.equal(value, before[name])


# ── symptoms ────────────────────────────────────────────────────────────────────────────────────

LOOKS = [look for looks in nb17.SYMPTOMS.values() for look in looks]


@pytest.mark.parametrize("symptom", nb17.SYMPTOMS)
def test_each_symptom_has_as_many_looks_as_the_slider(symptom):
    assert len(nb17.SYMPTOMS[symptom]) == len(nb17.WhereToLook.controls[1].all_values())


@pytest.mark.parametrize("look", LOOKS, ids=lambda look: look.check)
def test_a_look_is_a_question_and_leads_to_questions_of_the_notebook(look):
    assert look.check.endswith("?")
    assert look.questions
    assert set(look.questions) <= set(NUMBERS)


def test_questions_of_lists_each_question_once():
    assert nb17.questions_of("a frozen layer changes") == [3, 12]


def test_symptoms_plot_has_a_dot_for_each_question():
    ax = nb17.plot_symptoms()
    shown = [label.get_text().split()[0] for label in ax.get_xticklabels()]
    for line, symptom in zip(ax.lines, nb17.SYMPTOMS, strict=True):
        assert [int(shown[x]) for x in line.get_xdata()] == nb17.questions_of(symptom)
        assert symptom in ax.bn_alt


def test_explorer_says_the_look_that_is_marked():
    explorer = nb17.WhereToLook(symptom="NaN", step=3)
    look = nb17.SYMPTOMS["NaN"][2]
    assert f"Look 3: {look.check} If yes: {look.cause} (question 18)" in explorer.state_text


def test_explorers_texts_stay_inside_their_boxes():
    explorer = nb17.WhereToLook()
    art, renderer = explorer._live.art, explorer._live.canvas.get_renderer()
    for symptom in nb17.SYMPTOMS:
        explorer.set(symptom=symptom)
        for texts, side in ((art.checks, 0), (art.causes, 1)):
            for text, box in zip(texts, art.boxes[side::2], strict=True):
                inner, outer = (a.get_window_extent(renderer) for a in (text, box))
                assert outer.x0 < inner.x0
                assert inner.x1 < outer.x1


# ── nets ────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture(scope="module")
def healthy():
    return nets.train(nets.net(), steps=60)


def test_with_bn_after_swaps_each_pair_and_keeps_the_numbers(healthy):
    kinds = [type(layer).__name__ for layer in nets.with_bn_after(healthy)]
    assert kinds == ["Linear", "ReLU", "BatchNorm1d"] * 4 + ["Linear"]
    assert type(healthy[1]) is torch.nn.BatchNorm1d
    for one, other in zip(nets.norms_of(healthy), nets.norms_of(nets.with_bn_after(healthy)),
                          strict=True):  # fmt: skip
        assert torch.equal(one.running_var, other.running_var)


@pytest.mark.parametrize("mode", ["train", "eval"])
def test_share_right_leaves_the_net_alone(healthy, mode):
    _, _, x_test, y_test = nets.digits()
    before = healthy[1].running_mean.clone()
    share = nets.share_right(healthy, x_test, y_test, mode)
    assert 0.5 < share < 1
    assert torch.equal(healthy[1].running_mean, before)


def test_gradient_over_one_part_is_autograds():
    x_train, y_train, _, _ = nets.digits()
    model = nets.net(norm=torch.nn.LayerNorm)
    loss = torch.nn.functional.cross_entropy(model(x_train[:12]), y_train[:12])
    wanted = torch.cat([g.flatten() for g in torch.autograd.grad(loss, [*model.parameters()])])
    for size in (12, 5):
        parts = nets.gradient(model, x_train[:12], y_train[:12], size)
        assert_allclose(parts, wanted, atol=1e-6)


def test_each_patient_has_its_fault_and_no_other(healthy):
    order = {"A": (0.99, 301), "B": (0.1, 0), "C": (0.01, 30), "D": (0.1, 60), "E": (0.1, 60)}
    patients = nets.patients(healthy)
    for name, model in patients.items():
        found = [(norm.momentum, int(norm.num_batches_tracked)) for norm in nets.norms_of(model)]
        assert found == [order[name]] * 4
        assert not any(module.training for module in model.modules())
        finite = all(v.isfinite().all() for v in model.state_dict().values())
        assert finite == (name != "E")
    assert all((norm.running_mean == 0).all() for norm in nets.norms_of(patients["B"]))
    assert type(patients["D"][1]) is torch.nn.ReLU


# ── exercises ───────────────────────────────────────────────────────────────────────────────────


def test_two_readings_are_the_only_pair_that_decides():
    assert exercises.two_readings() == [2, 3]
    for turn in find("17.3").wrong_turns[1:]:
        assert sorted(turn.wrong) != [2, 3]


def test_ported_layer_answers_like_keras_in_evaluation():
    """Keras: γ(x − moving_mean)/√(moving_variance + ε) + β."""
    momentum, eps, var = exercises.ported()
    layer = torch.nn.BatchNorm1d(1, eps=eps, momentum=momentum).double().eval()
    layer.running_var.fill_(var)
    assert_allclose(layer(torch.tensor([[3.0]]).double()).item(), 3 / np.sqrt(4 + 0.001))
    layer.train()(torch.tensor([[9.0], [11.0]]).double())
    assert_allclose(layer.running_mean.item(), 0.9 * 0 + (1 - 0.9) * 10)


@pytest.mark.parametrize("wrong", find("17.5").wrong, ids=lambda turn: turn.name)
def test_a_net_that_is_not_ready_differs_from_one_that_is(wrong):
    (ready, rows), (model, same_rows) = exercises._made()(), wrong.wrong()
    assert torch.equal(rows, same_rows)
    modes = [module.training for module in model.modules()]
    assert any(modes) or not torch.allclose(ready(rows), model(rows), atol=0.1)


@pytest.mark.parametrize(
    ("test", "slips", "caught"),
    [
        (exercises._modes_alone, "never loaded", 2),
        (exercises._top_mode_and_counter, "a single layer is in training mode", 3),
        (exercises._finite_answers, "never loaded", 3),
        (lambda make_model: True, "in training mode", 0),
    ],
)
def test_weak_checks_are_told_what_slips_through(test, slips, caught):
    verdict = find("17.5").check(test)
    assert verdict.status == "not yet"
    assert slips in verdict.text
    assert f"catches {caught} of 7" in verdict.text


def test_a_check_of_the_counter_alone_raises_a_false_alarm():
    def has_counted(make_model):
        names = [name for name, _ in make_model()[0].named_buffers()]
        return any("num_batches_tracked" in name for name in names)

    assert "False alarm" in find("17.5").check(has_counted).text
