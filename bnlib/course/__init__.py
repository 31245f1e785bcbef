"""What the notebooks show and ask: claims, figures, plots, explorers, exercises, quizzes.

claim("text", condition)       a sentence, proved where it stands
use_course_style()             one look for figures and printed arrays
show(ax, alt="…")              a figure with its alternative text
plots, explorers               pictures, still and live
check, hint, solution, settle  exercises that answer back
quiz("03")                     questions with feedback
stored_runs()                  the long training runs behind notebooks 01 and 08

Needs the extra `course`: matplotlib, ipywidgets and anywidget.
"""

from bnlib.course import explorers, plots
from bnlib.course.claims import claim
from bnlib.course.exercises import check, hint, settle, solution
from bnlib.course.figures import show
from bnlib.course.quiz import quiz
from bnlib.course.runs import stored_runs
from bnlib.course.style import use_course_style

__all__ = [
    "check",
    "claim",
    "explorers",
    "hint",
    "plots",
    "quiz",
    "settle",
    "show",
    "solution",
    "stored_runs",
    "use_course_style",
]
