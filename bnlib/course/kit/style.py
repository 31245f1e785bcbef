"""One look for every picture of the course, readable from the back row of a lecture hall."""

import matplotlib as mpl
import numpy as np
from cycler import cycler

DPI = 100  # a figure 8 inches wide is shown 800 CSS pixels wide
SHARPNESS = 2  # and drawn with two real pixels per CSS pixel, for screens that have them

# Okabe and Ito's colours, seen apart by the colour-blind; dark ones first, for thin lines on white.
COLORS = {
    "blue": "#0072B2",
    "vermillion": "#D55E00",
    "green": "#009E73",
    "purple": "#CC79A7",
    "orange": "#E69F00",
    "sky": "#56B4E9",
    "black": "#000000",
}
# The second channel: never tell two curves or two bars apart by colour alone.
LINESTYLES = ["-", (0, (5, 1.5)), (0, (1, 1.2)), (0, (6, 1.5, 1, 1.5)), (0, (9, 2)), "-", "-"]
MARKERS = ["o", "s", "^", "D", "v", "P", "X"]
HATCHES = ["", "///", "\\\\\\", "...", "xx", "--", "++"]
CARD = "#767676"  # the line around every picture: 3 to 1 and more against white and dark pages

# The nets that the course compares look alike in every picture: plot(x, y, **NETS["with BN"]).
NETS = {
    "without BN": {"color": COLORS["vermillion"], "linestyle": "-", "marker": "o"},
    "with BN": {"color": COLORS["blue"], "linestyle": (0, (5, 1.5)), "marker": "s"},
}
# What is none of these nets, such as two momenta, has looks that differ from theirs in everything.
OTHERS = [
    {"color": COLORS["purple"], "linestyle": LINESTYLES[3], "marker": "D"},
    {"color": COLORS["orange"], "linestyle": LINESTYLES[4], "marker": "v"},
    {"color": COLORS["green"], "linestyle": (0, (4, 1, 1, 1, 1, 1)), "marker": "P"},
]
_AFTER = {"color": COLORS["green"], "linestyle": (0, (1, 1.2)), "marker": "^"}
_KNOWN = {  # the names that a net goes by in a legend
    **NETS,
    "no BN": NETS["without BN"],
    "before": NETS["with BN"],
    "after": _AFTER,  # BN after the activation
}

_MORE = [  # where three others are not enough
    {"color": COLORS["black"], "linestyle": (0, (2, 1)), "marker": "X"},
    {"color": COLORS["sky"], "linestyle": (0, (7, 1, 2, 1)), "marker": "*"},
]

RC = {
    "figure.figsize": (8.0, 4.5),
    "figure.dpi": DPI,
    "figure.facecolor": "white",
    "figure.constrained_layout.use": True,
    "figure.constrained_layout.h_pad": 0.08,  # room between the drawing and the line around it
    "figure.constrained_layout.w_pad": 0.08,
    "savefig.dpi": DPI * SHARPNESS,
    "savefig.facecolor": "white",
    "font.family": ["DejaVu Sans"],  # ships with matplotlib: the same letters on every machine
    "font.size": 14,
    "mathtext.fontset": "dejavusans",
    "axes.titlesize": 15,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.titlepad": 10,
    "axes.labelsize": 14,
    "xtick.labelsize": 13,
    "ytick.labelsize": 13,
    "legend.fontsize": 13,
    "legend.frameon": True,
    "legend.framealpha": 0.85,
    "legend.edgecolor": "none",
    "axes.prop_cycle": cycler(color=list(COLORS.values())) + cycler(linestyle=LINESTYLES),
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#444444",
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#d9d9d9",
    "grid.linewidth": 0.8,
    "lines.linewidth": 2.4,
    "lines.markersize": 7,
    "patch.edgecolor": "white",
    "hatch.linewidth": 1.2,
    "image.cmap": "cividis",
    "image.interpolation": "nearest",
    "axes.unicode_minus": True,
    "axes.formatter.useoffset": False,
    "svg.hashsalt": "bnlib",
}


def look(label, i=0):
    """How a curve is drawn: a net by its name, others by their place i in the legend.

    Returns a dict of color, linestyle and marker.
    """
    others = [*OTHERS, *_MORE]
    return dict(_KNOWN.get(label) or others[i % len(others)])


def use_course_style():
    """Give this notebook the course's look: figures (the learner's own, too) and printed arrays.

    Returns None. Sets matplotlib.rcParams, NumPy's print options (4 digits, no 1e-05 notation)
    and, in a notebook, sharp inline figures whose bytes depend on the drawing alone.
    """
    mpl.rcParams.update(RC)
    np.set_printoptions(precision=4, suppress=True)
    try:
        from IPython import get_ipython
        from matplotlib_inline.backend_inline import set_matplotlib_formats
    except ImportError:  # a bare Python: there is no notebook to prepare
        return
    shell = get_ipython()
    if shell is not None and hasattr(shell, "kernel"):
        set_matplotlib_formats("retina", metadata={"Software": None})
