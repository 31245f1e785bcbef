"""Numbers and labels as a text says them: for what stands in place of a picture."""

import numpy as np

SPOKEN = {  # what labels set in LaTeX, as plain characters
    r"\hat{x}": "x̂", r"\hat x": "x̂", r"\kappa": "κ", r"\eta": "η", r"\lambda": "λ",
    r"\gamma": "γ", r"\beta": "β", r"\varepsilon": "ε", r"\sigma": "σ", r"\mu": "μ",
    r"\mathcal{B}": "B", r"\propto": "∝", r"\partial": "∂", r"\sqrt": "√", r"\|": "‖",
    r"\,": " ", "^2": "²", "{": "", "}": "", "$": "", "\n": " ",
}  # fmt: skip


def spoken(label):
    r"""A label of a plot as it is said: its LaTeX as plain characters.

    >>> spoken(r"spread of $\mu_\mathcal{B}$ (in $\sigma$)")
    'spread of μ_B (in σ)'
    """
    for written, said in SPOKEN.items():
        label = label.replace(written, said)
    return " ".join(label.split())


def number(value, digits=2, least=0):
    """A number as a text says it: so many digits that count, a real minus, no exponent.

    least  what is nearer to 0, but not 0, is "nearly 0": rounding alone, which differs by machine

    >>> number(0.12345), number(-1234.5), number(3e-6), number(2.0), number(1e-9, least=1e-5)
    ('0.12', '−1,200', '0.000003', '2', 'nearly 0')
    """
    value = float(value)
    if not np.isfinite(value):
        return "NaN" if np.isnan(value) else "infinity" if value > 0 else "minus infinity"
    if value == 0:
        return "0"
    if abs(value) < least:
        return "nearly 0"
    places = digits - 1 - int(np.floor(np.log10(abs(value))))
    text = f"{round(value, places) + 0.0:,.{max(places, 0)}f}"
    text = text.rstrip("0").rstrip(".") if "." in text else text
    return text.replace("-", "\N{MINUS SIGN}")


def span(values, digits=2):
    """The smallest and the largest of some numbers: "1 to 3", or one number where they agree.

    >>> span([3, 1, 2]), span([0.5, 0.5])
    ('1 to 3', '0.5')
    """
    values = np.asarray(values, float)
    ends = [number(end, digits) for end in (np.nanmin(values), np.nanmax(values))]
    return ends[0] if ends[0] == ends[1] else " to ".join(ends)


def from_to(values, digits=2):
    """Where some numbers lie: "from 1 to 3", or "at 0.5" where both ends are written alike.

    >>> from_to([3, 1, 2]), from_to([0.998, 1.002])
    ('from 1 to 3', 'at 1')
    """
    ends = span(values, digits)
    return f"from {ends}" if " to " in ends else f"at {ends}"


def listing(things):
    """Texts in a row: "a", "a and b", "a, b and c"."""
    *first, last = map(str, things)
    return f"{', '.join(first)} and {last}" if first else last
