"""The check of a test that a learner writes: who slips through, and what the test never asked.

The test is run on a `_Spy`, a right layer that notes what is done with it. A known wrong turn is a
sign in these notes (γ was 1 and β 0 in every call; every gradient from above was constant; …), told
only where somebody slips through whom it would have found.
"""

import contextlib
import functools
from collections.abc import Callable
from dataclasses import dataclass, field
from types import SimpleNamespace

import torch

from bnlib.course.kit.answers import quiet
from bnlib.course.kit.exercises import TestExercise, WrongTurn
from bnlib.course.kit.words import listing
from bnlib.course.nb15.layers import SUSPECTS, Textbook, _Bnlibs, _Torchs


@dataclass(frozen=True)
class Turn(WrongTurn):
    """wrong is a test that takes this turn; sign tells from a Watched that a test did.

    always  told even where nobody slips through: the test is right by luck
    """

    sign: Callable = None
    always: bool = False


class _Spy(Textbook):
    """A right layer; `watch` gives it `notes`, an entry a call, and `modes`, one a change."""

    notes = modes = None

    def train(self, mode=True):
        self.modes.append(mode)
        return super().train(mode)

    def forward(self, x):
        y = super().forward(x)
        note = SimpleNamespace(
            x=x.detach().clone(), gamma=self.weight.detach().clone(), eps=self.eps,
            beta=self.bias.detach().clone(), training=self.training, above=[], dx=[],
            gradients_on=torch.is_grad_enabled(), wants_dx=x.requires_grad,
        )  # fmt: skip
        for tensor, seen in ((y, note.above), (x, note.dx)):
            if tensor.requires_grad:
                tensor.register_hook(functools.partial(_keep, seen))
        self.notes.append(note)
        return y


def _keep(seen, gradient):
    if gradient is not None:  # gradcheck asks for undefined ones, too
        seen.append(gradient.detach().clone())


class NoGradient(Textbook):
    """Its output is right, and the gradient of x is 0."""

    def normalize(self, x, mean, var):
        return super().normalize(x, mean, var).detach() + 0 * x


NO_GRADIENT = {"no gradient": NoGradient}


class _Off(Textbook):
    """Right but for three in a thousand, in the output."""

    def affine(self, x_hat, gamma, beta):
        return 1.003 * super().affine(x_hat, gamma, beta)


@dataclass
class Watched:
    """What a test does.

    passed  the wrong layers that it lets pass
    rough   it takes an output that is off by 0.3 %
    alarm   it refuses a right layer
    left    what it does not set back, in words
    error   with what it stops on a right layer
    """

    notes: list = field(default_factory=list)
    modes: list = field(default_factory=list)
    passed: list = field(default_factory=list)
    rough: bool = False
    alarm: bool = False
    left: str = ""
    error: str = ""

    @property
    def slipped(self):
        """The letters of the suspects among those that pass."""
        return [turn.name for turn in self.passed if turn.name in SUSPECTS]

    def calls(self, training=None):
        return [n for n in self.notes if training is None or n.training == training]

    @property
    def asked_back(self):
        """The calls that were differentiated."""
        return [n for n in self.notes if n.above]


@contextlib.contextmanager
def undisturbed(report=None):
    """Set back what a test may change for all that runs after it, and say what it was."""
    grad, dtype = torch.is_grad_enabled(), torch.get_default_dtype()
    try:
        yield
    finally:
        if report is not None and torch.is_grad_enabled() != grad:
            report.left = "gradients switched off (`torch.set_grad_enabled`)"
        elif report is not None and torch.get_default_dtype() != dtype:
            report.left = "another default format (`torch.set_default_dtype`)"
        torch.set_grad_enabled(grad)
        torch.set_default_dtype(dtype)


@dataclass(frozen=True, kw_only=True)
class HuntExercise(TestExercise):
    """A TestExercise about some of the suspects, which looks at what the test asks.

    wanted  letters of the suspects that the test must find
    besides {sentence: layer class} of other wrong layers that it must find
    wrong_turns  as Turn: tests that take it, and its sign
    """

    wanted: str
    besides: dict = field(default_factory=dict)
    right: dict = field(
        default_factory=lambda: {
            "torch.nn's": _Torchs,
            "bnlib.torch's": _Bnlibs,
            "a textbook's": Textbook,
        }
    )
    wrong: tuple = ()

    def __post_init__(self):
        super().__post_init__()
        wrong = [
            WrongTurn(letter, SUSPECTS[letter], f"Suspect {letter} slips through.")
            for letter in sorted(self.wanted)
        ]
        wrong += [WrongTurn("besides", layer, said) for said, layer in self.besides.items()]
        object.__setattr__(self, "wrong", tuple(wrong))

    def _judge(self, answer, rng):
        verdict = super()._judge(answer, rng)
        if verdict.status not in ("right", "not yet") or not callable(answer):
            return verdict
        watched = self.watch(answer)
        if watched.left:
            return self.verdict(
                "not yet",
                f"Your test leaves {watched.left}: whatever runs after it works differently. Set "
                "it back, or do without it.",
            )
        text = verdict.text
        if watched.passed and text.startswith(watched.passed[0].verdict):
            text = text.replace(watched.passed[0].verdict, _slip(watched), 1)
        for turn in self.wrong_turns:
            if (turn.always or not verdict.passed) and turn.sign(watched):
                said = "Nobody slips through, but only just." if verdict.passed else text
                for guess in ("Does it compare rounded numbers", "Call it by hand"):
                    said = said.split(guess)[0].strip()  # the turn knows better
                return self.verdict("not yet", f"{said} {turn.verdict}")
        return verdict if verdict.passed else self.verdict("not yet", text)

    def watch(self, answer):
        """Run the test on a spy, and see once more who slips through."""
        found = Watched()
        spy = type("Layer", (_Spy,), {"notes": found.notes, "modes": found.modes})
        with undisturbed(found), quiet():
            try:
                answer(spy)
            except (Exception, SystemExit) as error:
                found.error = str(error)
        found.passed = [t for t in self.wrong if self._says(answer, t.wrong)[0] is True]
        found.rough = self._says(answer, _Off)[0] is True
        found.alarm = self._says(answer, Textbook)[0] is not True
        return found

    def _says(self, test, layer):
        with undisturbed():
            return super()._says(test, layer)


def _slip(watched):
    """Who slips through, all at once: the advice may be about any of them."""
    letters = watched.slipped
    if not letters:
        return watched.passed[0].verdict
    many = f"s {listing(letters)} slip" if len(letters) > 1 else f" {letters[0]} slips"
    return f"Suspect{many} through."


# ── signs ───────────────────────────────────────────────────────────────────────────────────────


def missed(letters, sign):
    """The sign, told where one of these suspects slips through."""
    return lambda watched: bool(set(letters) & set(watched.slipped)) and sign(watched)


def at_one_and_zero(watched):
    notes = watched.calls()
    return bool(notes) and all((n.gamma == 1).all() and (n.beta == 0).all() for n in notes)


def no_images(watched):
    return all(n.x.ndim < 4 for n in watched.calls())


def equal_pixels(watched):
    images = [n.x for n in watched.calls() if n.x.ndim == 4]
    return bool(images) and all(torch.equal(x, x[..., :1, :1].expand_as(x)) for x in images)


def standard_data(watched):
    """Every batch has a mean near 0 and a deviation near 1, as a fresh layer's statistics say."""
    return all(
        n.x.double().mean().abs() < 0.4 and 0.6 < n.x.double().std() < 1.6 for n in watched.calls()
    )


def eps_too_small_to_see(watched):
    return all(n.eps < 1e-3 and n.x.double().std() > 0.1 for n in watched.calls())


def never_trained(watched):
    return bool(watched.calls()) and not watched.calls(training=True)


def changes_a_parameter(watched):
    return "leaf Variable" in watched.error or "cannot assign" in watched.error


def never_differentiated(watched):
    return not watched.asked_back


def constant_from_above(watched):
    return bool(watched.asked_back) and all(
        torch.equal(dy, dy.flatten()[0].expand_as(dy))
        for n in watched.asked_back for dy in n.above
    )  # fmt: skip


def vanishing(watched):
    """The true gradient of x is nearly 0, whatever the loss is."""
    found = [dx.abs().max() for n in watched.asked_back for dx in n.dx]
    return bool(found) and max(found) < 1e-2


def not_for_x(watched):
    return bool(watched.asked_back) and not any(n.wants_dx for n in watched.asked_back)


def two_rows(watched):
    return bool(watched.asked_back) and all(len(n.x) == 2 for n in watched.asked_back)


def in_float32(watched):
    notes = watched.asked_back or watched.calls()
    return bool(notes) and all(n.x.dtype != torch.float64 for n in notes)


def many_updates(watched):
    return len(watched.calls(training=True)) >= 30


def many_rows(watched):
    notes = watched.calls(training=True)
    return bool(notes) and all(n.x.numel() // n.x.shape[1] >= 30 for n in notes)


def never_evaluated(watched):
    return not watched.calls(training=False)


def evaluated_without_gradients(watched):
    notes = watched.calls(training=False)
    return bool(notes) and not any(n.gradients_on for n in notes)


def stays_in_evaluation(watched):
    """It was set to evaluation and never back, and a right layer is refused."""
    return watched.alarm and False in watched.modes and True not in watched.modes


def wrong_format(watched):
    """float32 data, and a right layer is refused."""
    return watched.alarm and in_float32(watched)
