"""What the notebooks show and ask. One notebook, one room: nb05 is what notebook 05 draws and asks.

claim("text", condition)       a sentence, proved where it stands
use_course_style()             one look for figures and printed arrays
show(ax)                       a figure, and the text that stands for it
check, hint, solution, settle  exercises that give feedback; nothing is told before it is asked
quiz("03")                     questions with feedback
mine("batch_norm")             the learner's own layer, else the course's
progress()                     which exercises are solved
certificate("your name")       the same as a page to print
stored_runs()                  the long training runs behind notebooks 01 and 08
nb00, nb01, …                  the rooms, each imported on its own: from bnlib.course import nb05

kit holds what every room uses. Needs the extra `course`: matplotlib, ipywidgets and anywidget.
"""

from bnlib.course.kit.asking import check, hint, settle, solution
from bnlib.course.kit.certificate import certificate
from bnlib.course.kit.claims import claim
from bnlib.course.kit.figures import show
from bnlib.course.kit.own_layer import mine, progress
from bnlib.course.kit.quiz import quiz
from bnlib.course.kit.runs import stored_runs
from bnlib.course.kit.style import use_course_style

__all__ = [
    "certificate",
    "check",
    "claim",
    "hint",
    "mine",
    "progress",
    "quiz",
    "settle",
    "show",
    "solution",
    "stored_runs",
    "use_course_style",
]
