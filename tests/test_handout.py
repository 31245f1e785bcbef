"""What a class is given: notebooks, marks, assignments, exam questions and pages to print."""

import html
import itertools
import random
import re
import sys
from pathlib import Path

import nbformat
import numpy as np
import pytest
import torch
from loading import load

from bnlib.course.kit.asking import exercises_of, find, notebooks
from bnlib.course.kit.exercises import PredictionExercise, TestExercise, ValueExercise
from bnlib.course.kit.marks import marks
from bnlib.course.kit.markup import to_plain
from bnlib.course.kit.verdicts import Verdict

ROOT = Path(__file__).resolve().parent.parent
NOTEBOOKS = sorted((ROOT / "notebooks").glob("[0-9][0-9]_*.ipynb"))


handout, questions, paper, answers = map(load, ("handout", "questions", "paper", "answers"))
deck = load("slides")
each_notebook = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)


def cells_of(path):
    return handout.copies.read(path)["cells"]


# ---------------------------------------------------------------- the notebooks


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """The folder with all notebooks of the handouts."""
    out = tmp_path_factory.mktemp("handout")
    handout.write_notebooks({path: handout.copies.read(path) for path in NOTEBOOKS}, out)
    return out


def opened(written, kind, path):
    inside = f"{path.stem}/{path.name}" if kind == "nbgrader/source" else path.name
    nb = nbformat.read(written / kind / inside, as_version=4)
    nbformat.validate(nb)
    return nb


@each_notebook
def test_students_get_no_lecturers_cells_and_no_outputs(written, path):
    nb = opened(written, "student", path)
    assert not any("For lecturers" in cell.source for cell in nb.cells)
    assert not any({"slide", "slideshow"} & cell.metadata.keys() for cell in nb.cells)
    assert not any(cell.get("outputs") for cell in nb.cells)
    notes = sum(handout.is_for_lecturers(cell) for cell in cells_of(path))
    assert len(nb.cells) == len(cells_of(path)) - notes


def test_a_plan_for_lecturers_is_known_whatever_its_place_in_the_deck():
    text = "<details><summary>For lecturers: a plan of 40 minutes</summary></details>"
    for metadata in ({}, {"slideshow": {"slide_type": "skip"}}, {"slide": {"type": "skip"}}):
        plan = {"cell_type": "markdown", "id": "plan", "metadata": metadata, "source": text}
        assert handout.for_students([plan]) == []


def test_students_get_nothing_of_the_deck():
    slide = {"slide": [{"type": "slide", "say": "Ask first."}], "tags": ["figure-varies"]}
    cell = {"cell_type": "markdown", "id": "one", "metadata": slide, "source": "## One"}
    (found,) = handout.for_students([cell])
    assert found["metadata"] == {"tags": ["figure-varies"]}
    assert cell["metadata"] == slide  # the instructor's keeps it


@each_notebook
def test_students_read_the_marks_of_every_exercise(written, path):
    text = "\n".join(cell.source for cell in opened(written, "student", path).cells)
    for number, exercise in exercises_of(path.name[:2]).items():
        assert re.search(
            rf"\*\*Exercise {re.escape(number)}[^*]*\*\* \*\({exercise.worth} mark", text
        ), number


@each_notebook
def test_instructors_read_what_to_say_to_every_wrong_turn(written, path):
    text = "\n".join(cell.source for cell in opened(written, "instructor", path).cells)
    said = handout.NUMBERS.sub(" ", text)  # many that differ in numbers alone are said once
    for exercise in exercises_of(path.name[:2]).values():
        for turn in [*exercise.wrong_turns, *getattr(exercise, "wrong", ())]:
            assert handout.NUMBERS.sub(" ", handout.one_line(turn.verdict)) in said
        assert exercise._source() in text
    assert "Open questions" in text


@each_notebook
def test_instructors_table_adds_up(path):
    text = handout.table_of_marks(cells_of(path))
    total = re.search(r"\| \*\*all\*\* \|.*\*\*(\d+)\*\* \| \*\*(\d+)\*\* \|", text)
    exercises = exercises_of(path.name[:2]).values()
    assert int(total[1]) == sum(e.worth for e in exercises)
    assert int(total[2]) == sum(e.minutes for e in exercises)


@each_notebook
def test_assignment_marks_every_exercise_once(written, path):
    nb = opened(written, "nbgrader/source", path)
    points = {
        re.search(r'marks\("([\d.]+)"', cell.source)[1]: cell.metadata.nbgrader.points
        for cell in nb.cells
        if cell.metadata.get("nbgrader", {}).get("grade")
    }
    assert points == {n: e.worth for n, e in exercises_of(path.name[:2]).items()}
    names = [c.metadata.nbgrader.grade_id for c in nb.cells if "nbgrader" in c.metadata]
    assert len(set(names)) == len(names) == 2 * len(points)


@each_notebook
def test_assignment_shows_no_solution_outside_its_marks(written, path):
    for cell in opened(written, "nbgrader/source", path).cells:
        assert not re.match(r'solution\("', cell.source)
        outside = re.sub(r"### BEGIN SOLUTION.*?### END SOLUTION", "", cell.source, flags=re.DOTALL)
        if "BEGIN SOLUTION" in cell.source:
            assert "..." in outside
            assert outside.count("check(") == 1


# ---------------------------------------------------------------- marks

SAID = Verdict("right", "Right.")


def test_marks_are_all_for_a_right_answer_and_half_for_a_known_wrong_turn(capsys):
    exercise = find("3.4")
    assert marks("3.4", exercise.solution) == exercise.worth
    assert marks("3.4", exercise.wrong_turns[0].wrong, of=10) == 5
    assert to_plain(exercise.wrong_turns[0].verdict) in capsys.readouterr().out


def test_marks_half_a_slip_that_nobody_wrote_down():
    def normalize(x, eps):
        return (x - x.mean(axis=0)) / (x.std(axis=0, ddof=1) ** 2 + eps) ** 0.5

    assert marks("3.2", normalize) == find("3.2").worth / 2


@pytest.mark.parametrize("answer", [None, ..., "x", lambda *a: 0.0, lambda *a: 1 / 0])
def test_marks_are_none_for_what_is_no_answer(answer):
    assert [marks(number, answer) for number in ("3.2", "5.1", "7.2", "9.4")] == [0, 0, 0, 0]


def test_marks_of_a_test_are_the_share_of_wrong_layers_that_it_finds():
    exercise = find("10.6")

    def finds_only_the_first(layer):
        return layer is not exercise.wrong[0].wrong

    assert marks("10.6", finds_only_the_first, of=len(exercise.wrong)) == 1
    assert marks("10.6", lambda layer: True) == 0
    assert marks("10.6", lambda layer: False) == 0


def test_marks_lose_no_half_by_rounding(monkeypatch):
    exercise = find("3.4")
    for of, n in ((11, 22), (22, 22), (23, 23), (6, 9)):
        for k in range(n + 1):
            monkeypatch.setattr(type(exercise), "graded", lambda *_, k=k, n=n: (SAID, k / n))
            assert marks("3.4", None, of=of) == 2 * of * k // n / 2


def test_marks_count_a_guess_at_a_measurement_and_judge_an_answer():
    guess, thought = find("5.3"), find("5.4")
    assert (guess.answer, thought.answer) == (None, "other rates")
    assert [marks("5.3", choice) for choice in guess.choices] == [guess.worth] * 3
    assert marks("5.3", "neither of them") == 0
    assert marks("5.4", "other rates") == thought.worth
    assert marks("5.4", "more seeds") == thought.worth / 2


def test_marks_write_nothing_to_stderr(capsys):
    def absorb(gamma, beta, weight, bias):
        print("on the wrong stream", file=sys.stderr)
        np.log(-np.ones(2))
        return weight, bias

    marks("5.5", absorb)
    assert capsys.readouterr().err == ""


def test_building_weighs_more_than_guessing():
    everything = [e for n in notebooks() for e in exercises_of(n).values()]
    guesses = max(e.worth for e in everything if isinstance(e, PredictionExercise))
    values = {e.worth for e in everything if isinstance(e, ValueExercise)}
    builds = min(e.worth for e in everything if hasattr(e, "inputs") or isinstance(e, TestExercise))
    assert guesses < min(values) <= max(values) < builds


# ---------------------------------------------------------------- the exam questions

SEEDS = range(1, 41)


def test_bank_has_forty_questions_from_nearly_all_notebooks():
    for seed in SEEDS:
        bank = questions.bank(seed)
        assert (len(bank), sum(question.marks for question in bank)) == (40, 68)
        assert len({question.notebook for question in bank}) >= 14
        assert len({question.text for question in bank}) == 40


def test_bank_draws_the_same_numbers_for_a_seed_and_others_for_another():
    assert questions.moodle(questions.bank(3)) == questions.moodle(questions.bank(3))
    texts = [{q.text for q in questions.bank(seed)} for seed in (3, 4)]
    assert len(texts[0] & texts[1]) < 20


def test_wrong_turns_of_a_number_are_never_taken_for_right():
    for seed in SEEDS:
        for question in questions.numerical(seed):
            right, *wrong = question.answers
            assert wrong, question.name
            for answer in wrong:
                assert abs(answer.text - right.text) > right.tolerance + answer.tolerance


def test_wrong_turns_of_a_number_are_told_apart():
    for seed in range(1, 201):
        for _, name, _, function in questions.NUMBERS:
            text, value, _, wrong = function(random.Random(f"{seed} {name}"))
            found = [(value, "right"), *wrong]
            for (one, said), (two, says) in itertools.combinations(found, 2):
                near = questions.room_for(one) + questions.room_for(two)
                assert said == says or abs(one - two) > near, text


def test_half_marks_are_for_questions_of_more_than_one_step():
    for question in questions.bank(1):
        wrong = {answer.share for answer in question.answers if answer.share < 100}
        if question.kind in ("numerical", "shortanswer"):
            assert wrong == {questions.HALF if question.marks > 1 else 0}, question.name


def test_whole_numbers_have_no_room():
    for seed in SEEDS:
        for question in questions.numerical(seed):
            for answer in question.answers:
                whole = abs(answer.text - round(answer.text)) < 1e-9
                assert (answer.tolerance == 0) == whole, question.name


@pytest.mark.parametrize(
    "text",
    [
        "The same, but the five hundred images came in on the day of the zeros",  # which same?
        "A net with this layer reads 93 % of the digits.",
        "A test set did not find the bug.",
        "The kit says that all twelve points are met.",
        "Another data set has four times the",
        "At the rate that suits each net, BN changes $|G - G'|/|G|$ …",
        "Sigmoids, BN after the last of them, rate 3: the net does not learn. What was enough",
        "Two standardized features have correlation 0.95.",  # asked with a number
        "What does `eval()` do to gradients?",  # gives an answer in words away
    ],
)
def test_bank_leaves_out_what_does_not_stand_alone_or_is_asked_twice(text):
    assert not questions.stands_alone(text)
    assert not any(q.text.startswith(text) for seed in SEEDS for q in questions.bank(seed))


def test_bank_may_draw_what_says_you_and_four():
    assert questions.stands_alone("Your net has BN. Four devices share a batch.")


def test_every_notebook_has_something_to_draw_from():
    for number in range(1, 18):
        quiz = questions.room(f"{number:02d}").QUIZ
        assert any(questions.stands_alone(question.text) for question in quiz), number
    for path in NOTEBOOKS[10:17]:
        asked = questions.open_questions(cells_of(path))
        assert any(questions.stands_alone(text) for text, _ in asked), path.name


def matches(pattern, given):
    """Does Moodle take what was given for this answer? A * stands for anything."""
    parts = map(re.escape, pattern.split("*"))
    return re.fullmatch(".*".join(parts), given, re.IGNORECASE) is not None


@pytest.mark.parametrize(
    ("name", "given", "share"),
    [
        ("the axes of BN for images", "(0, 2, 3)", 100),
        ("the axes of BN for images", "(0,2,3)", 100),
        ("the axes of BN for images", "(0, -2, -1)", 100),
        ("the axes of BN for images", "(1,2,3)", 0),
        ("the axes of BN for images", "(0, 1, 2, 3)", 0),
        ("the switch to running statistics", "model.eval", 100),
        ("the switch to running statistics", "net.eval()", 100),
        ("the switch to running statistics", "net.train(mode=False)", 100),
        ("the switch to running statistics", "model.train()", 0),
        ("the switch to running statistics", "torch.no_grad()", 0),
    ],
)
def test_words_are_taken_as_they_are_written(name, given, share):
    (question,) = (q for q in questions.in_words() if q.name == name)
    found = next((a for a in question.answers if matches(a.text, given)), None)
    assert found is not None or given == "(0, 1, 2, 3)"
    assert (found.share if found else 0) == share


def test_essays_tell_the_reader_how_to_mark():
    bank = questions.bank(1)
    essays = [question for question in bank if question.kind == "essay"]
    assert {question.marks for question in essays} == {4}
    assert questions.markdown(bank, answers=True).count(questions.ESSAY) == len(essays) == 3
    assert questions.moodle(bank).count(questions.ESSAY) == 3
    assert questions.ESSAY not in questions.markdown(bank, answers=False)


def number_of(name, seed):
    (question,) = (q for q in questions.numerical(seed) if q.name == name)
    found = re.findall(r"-?\d+\.?\d*", question.text.replace("\\hat{x} = (1, -1, 1, -1)", ""))
    return [float(text) for text in found], question.right[0].text


@pytest.mark.parametrize("seed", range(1, 9))
def test_dx_by_hand_is_autograds(seed):
    (s, _eps, gamma, *dy, _one), value = number_of("dx by hand", seed)
    x = torch.tensor([s, -s, s, -s], dtype=torch.float64, requires_grad=True)
    weight = torch.tensor([gamma], dtype=torch.float64)
    y = torch.nn.functional.batch_norm(x[:, None], None, None, weight, training=True, eps=1e-12)
    (y[:, 0] * torch.tensor(dy, dtype=torch.float64)).sum().backward()
    assert float(x.grad[0]) == pytest.approx(value, abs=1e-6)


@pytest.mark.parametrize("seed", range(1, 9))
def test_joint_variance_is_that_of_the_values(seed):
    (one, two, mean, other, var, more), value = number_of("the variance of a joint batch", seed)
    first = mean + var**0.5 * np.resize([1.0, -1.0], int(one))
    second = other + more**0.5 * np.resize([1.0, -1.0], int(two))
    assert np.concatenate([first, second]).var() == pytest.approx(value)


@pytest.mark.parametrize("seed", range(1, 9))
def test_running_mean_is_torchs(seed):
    (_start, p, target, k), value = number_of("a running mean on its way", seed)
    layer = torch.nn.BatchNorm1d(1, momentum=p)
    for _ in range(int(k)):
        layer(torch.tensor([[target - 1], [target + 1]]))
    assert float(layer.running_mean) == pytest.approx(value, rel=1e-5)


@pytest.mark.parametrize("seed", range(1, 9))
def test_counts_are_those_of_torchs_layers(seed):
    (n_in, n_out, _year), value = number_of("count what is learned", seed)
    net = torch.nn.Sequential(
        torch.nn.Linear(int(n_in), int(n_out), bias=False), torch.nn.BatchNorm1d(int(n_out))
    )
    assert sum(p.numel() for p in net.parameters()) == value
    (k, _k, c_in, c_out), value = number_of("count a convolution and its BN", seed)
    conv = torch.nn.Conv2d(int(c_in), int(c_out), int(k), bias=False)
    norm = torch.nn.BatchNorm2d(int(c_out))
    assert sum(p.numel() for part in (conv, norm) for p in part.parameters()) == value


@pytest.mark.parametrize("seed", range(1, 9))
def test_folded_bias_answers_the_same(seed):
    (b, mean, var, gamma, beta, _eps), value = number_of("fold into the bias", seed)
    assert (b - mean) / var**0.5 * gamma + beta == pytest.approx(value)


@pytest.mark.parametrize("seed", range(1, 9))
def test_lone_pixel_is_that_of_a_batch(seed):
    (m,), value = number_of("the lone pixel", seed)
    x = np.zeros(int(m))
    x[0] = 0.7
    assert (x[0] - x.mean()) / x.std() == pytest.approx(value)


@pytest.mark.parametrize("seed", range(1, 9))
def test_condition_number_is_numpys(seed):
    (rho, *_), value = number_of("condition number from a correlation", seed)
    assert np.linalg.cond([[1, rho], [rho, 1]]) == pytest.approx(value)


@pytest.mark.parametrize("seed", range(1, 9))
def test_neighbours_are_those_of_torch(seed):
    (question,) = (q for q in questions.numerical(seed) if q.name.startswith("neighbours"))
    kind = getattr(torch, question.text.split()[0])
    start = torch.tensor(float(re.search(r"above ([\d,]+)", question.text)[1].replace(",", "")))
    steps = torch.arange(0.25, 40, 0.25)
    after = (start + steps).to(kind).float()
    assert float(after[after > start].min() - start) == question.right[0].text


def test_markdown_hands_out_no_answer():
    bank = questions.bank(2)
    text, told = questions.markdown(bank, answers=False), questions.markdown(bank, answers=True)
    assert "✓" not in text
    assert not any(question.why in text for question in bank if len(question.why) > 25)
    assert all(question.why in told for question in bank if question.kind != "multichoice")


# ---------------------------------------------------------------- Moodle


def test_moodle_takes_the_file():
    for seed in SEEDS:
        assert questions.faults(questions.moodle(questions.bank(seed))) == []


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('<?xml version="1.0" encoding="UTF-8"?>', "\n", "first characters"),
        ('type="numerical"', 'type="number"', "type 'number'"),
        ('fraction="50"', 'fraction="55"', "a share"),
        ('fraction="100"', 'fraction="50"', "no answer gets all"),
        ("<single>true", "<single>yes", "<single> is 'yes'"),
        ("<usecase>0</usecase>", "<case>0</case>", "<case> is not read"),
        ('format="html"', 'format="htm"', "format 'htm'"),
        ("<defaultgrade>", "<defaultgrade>x", "<defaultgrade> is no number"),
        ("$course$/top", "top", "category"),
    ],
)
def test_check_of_moodles_format_finds_a_fault(old, new, said):
    good = questions.moodle(questions.bank(1))
    assert old in good
    assert said in " ".join(questions.faults(good.replace(old, new)))


def test_check_of_moodles_format_wants_numbers_and_tolerances():
    good = questions.moodle(questions.bank(1))
    assert "needs a tolerance" in " ".join(
        questions.faults(re.sub(r"<tolerance>.*?</tolerance>", "", good))
    )
    bad = re.sub(r"(moodle_auto_format\">\s*<text>)[\d.]+", r"\1about four", good)
    assert "is no number" in " ".join(questions.faults(bad))


def test_formulas_are_written_as_moodle_reads_them():
    assert questions.for_moodle("is $a < b$ & `x`?") == r"is \(a &lt; b\) &amp; <code>x</code>?"


# ---------------------------------------------------------------- paper


@each_notebook
def test_paper_shows_every_figure_and_leads_to_no_file(path, monkeypatch, tmp_path):
    monkeypatch.setattr(paper.vendor, "fetch", lambda name: tmp_path)
    cells = handout.for_print(handout.for_students(cells_of(path)))
    page = paper.notebook("title", cells, "")
    outputs = [output for cell in cells for output in cell.get("outputs", ())]
    pictures = sum("image/png" in output.get("data", {}) for output in outputs)
    assert len(re.findall(r'<img src="data:image/png[^>]*alt="[^"]+"', page)) >= pictures
    assert not re.findall(r'<a [^>]*href="(?!https?://)[^"]*"', page)
    assert "run this cell to open it" not in page
    assert "Not attempted yet" not in page


@each_notebook
def test_paper_for_students_asks_the_quiz_and_answers_none(path):
    (asked,) = filter(None, map(handout.quiz_on_paper, cells_of(path)))
    assert asked in handout.for_print(handout.for_students(cells_of(path)))
    for question in questions.room(path.name[:2]).QUIZ:
        assert handout.one_line(question.text) in asked["source"]
        for option, said in question.options.items():
            assert handout.one_line(option) in asked["source"]
            assert handout.one_line(said) not in asked["source"]


def test_paper_opens_what_is_folded_and_reads_it_as_markdown():
    for text in ("<details><summary>A</summary>a *b* [c](d.ipynb)</details>",
                 "<details><summary>A</summary>\n\na *b* [c](d.ipynb)\n\n</details>"):  # fmt: skip
        page = paper.markdown(text)
        assert page.startswith("<details open><summary>A</summary>")
        assert "<p>a <em>b</em> c</p>" in page


def test_paper_keeps_a_heading_an_exercise_and_a_colon_with_what_follows():
    for text in ("**Hints**", "**Exercise 1.2.** Do.", "So it is:", "As `a` is *so*:"):
        assert paper.markdown(text).startswith("<p class='leads'>"), text
    assert paper.markdown("**1.** Why?\n\nb:").startswith("<p><strong>1.")
    assert paper.markdown("**Next:** 02").startswith("<p class='ends'>")


def test_paper_keeps_marks_with_their_formula_behind_a_shown_one():
    page = paper.markdown("$$a = b$$\n\nWith $c$, $d$ and ($e$ or $f$).")
    assert re.findall("<span class='whole'>(.*?)</span>", page) == ["$c$,", "($e$", "$f$)."]


def test_paper_keeps_the_cell_of_an_answer_on_a_page():
    cell = {"cell_type": "code", "source": 'x = ...\ncheck("1.1", x)', "outputs": []}
    assert paper.cell(cell).startswith("<div class='answer'>")


def test_paper_leaves_out_bars_and_what_a_screen_counts():
    shown = {"output_type": "display_data", "metadata": {}, "data": {"text/plain": "1,000 steps"}}
    assert paper.output({**shown, "data": {"text/html": "<b/>", **shown["data"]}}) == ""
    counted = {"output_type": "stream", "text": "00 0 of 1 solved"}
    cell = {"cell_type": "code", "source": "progress()", "outputs": [counted]}
    assert "solved" not in paper.cell(cell)


@each_notebook
def test_paper_has_a_glyph_for_every_letter(path):
    from fontTools.ttLib import TTFont
    from matplotlib import get_data_path

    known = TTFont(f"{get_data_path()}/fonts/ttf/DejaVuSans.ttf").getBestCmap()
    for cells in (handout.for_print(cells_of(path)), handout.for_instructors(cells_of(path))):
        page = html.unescape("".join(map(paper.cell, cells)))
        assert {letter for letter in page if ord(letter) not in known} <= {"\n"}


def test_table_of_marks_takes_a_title_with_bars():
    (path,) = [path for path in NOTEBOOKS if path.name.startswith("13")]
    page = paper.markdown(handout.table_of_marks(cells_of(path)))
    assert "<td>Again, for |x|</td>" in page


def test_slips_that_differ_in_a_name_are_said_once():
    said = list(handout.together(["No `a`.", "No `b`.", "Swap `a` and `b`.", "No `c`."]))
    assert said == ["No `a`. (The same of `b`, `c`.)", "Swap `a` and `b`."]


def test_model_reports_are_printed_and_their_marks_for_instructors_alone():
    (path,) = [path for path in NOTEBOOKS if path.name.startswith("16")]
    page = str(handout.for_print(cells_of(path)))
    assert all(f"**Report {letter}**" in page for letter in "ABC")
    assert "Its marks" not in page
    assert str(handout.for_instructors(cells_of(path))).count("Its marks") == 3


def test_board_stands_side_by_side(monkeypatch, tmp_path):
    monkeypatch.setattr(paper.vendor, "fetch", lambda name: tmp_path)
    text = "**Left**\n\n$a$\n\n**Middle, first**\n\nb\n\n**Right**\n\nc\n\n**Middle, then**\n\nd"
    page = paper.board("Board", text)
    sections = re.findall(r"<section>(.*?)</section>", page, re.DOTALL)
    assert [re.sub(r"<.*?>|\s", "", part) for part in sections] == [
        "Left$a$", "Middle,firstbMiddle,thend", "Rightc",
    ]  # fmt: skip


@each_notebook
def test_every_lecture_has_a_plan_of_its_board(path):
    text = (handout.SOURCES / "boards" / f"{path.name[:2]}.md").read_text(encoding="utf-8")
    places = [place[1].lower() for place in paper.BOARDS.finditer(text)]
    assert list(dict.fromkeys(places)) == ["left", "middle", "right"]


def rows_of_the_lecture():
    """[(from, to, decks, titles)] of the plan of one lecture."""
    text = (ROOT / "notebooks" / "for_lecturers.md").read_text(encoding="utf-8")
    row = r"^\| (\d+)–(\d+) \| ([\d, ]+) \| ([^|]*) \|"
    for start, end, decks, slides in re.findall(row, text, re.MULTILINE):
        yield int(start), int(end), decks.split(", "), re.findall("“([^”]+)”", slides)


def named(title, decks):
    """The slides of some decks whose title begins with these words."""
    found = [
        slide
        for path in NOTEBOOKS
        if path.name[:2] in decks
        for slide in deck.slides_of(cells_of(path))
    ]
    return [s for s in found if s.heading.startswith(title) and not s.is_tally]


def test_one_lecture_has_time_for_every_slide_that_it_names():
    rows = list(rows_of_the_lecture())
    assert [start for start, *_ in rows] + [45] == [0] + [end for _, end, *_ in rows]
    for start, end, decks, titles in rows:
        slides = [named(title, decks) for title in titles]
        assert [len(found) for found in slides] == [1] * len(titles), titles
        assert sum(found[0].entry["minutes"] for found in slides) <= end - start, titles


@each_notebook
def test_demonstration_names_slides_and_explorers_that_exist(path):
    guide = (ROOT / "notebooks" / "for_lecturers.md").read_text(encoding="utf-8")
    part = guide.split(f"### {path.name[:2]} · ")[1].split("### ")[0]
    (told,) = re.findall(r"^\*\*The one demonstration\.\*\* (.+)$", part, re.MULTILINE)
    explorers = re.findall("Explorer “([^”]+)”", path.read_text(encoding="utf-8"))
    for name in re.findall('"([^"]+)"', told):
        assert name in explorers or len(named(name, [path.name[:2]])) == 1, name


@each_notebook
def test_board_is_wiped_before_a_slide_of_its_deck(path):
    text = (handout.SOURCES / "boards" / f"{path.name[:2]}.md").read_text(encoding="utf-8")
    for title in re.findall(r'^\*Wipe [^\n]* before "([^"]+)"', text, re.MULTILINE):
        assert len(named(title, [path.name[:2]])) == 1, title


def test_without_a_browser_it_says_what_to_install(monkeypatch):
    monkeypatch.setattr(paper.chromium, "find", lambda: None)
    pytest.importorskip("playwright", reason="playwright is not installed")
    with pytest.raises(paper.chromium.Missing, match="install it"), paper.printer():
        pass
