"""The room of notebook 17, asked most: what it draws, asks and lets play.

The nets that questions are tried on are in bnlib.course.nb17.nets, which needs torch and is
imported on its own.
"""

from bnlib.course.nb17.explorer import WhereToLook
from bnlib.course.nb17.plots import plot_symptoms, questions_of
from bnlib.course.nb17.symptoms import QUESTIONS, SYMPTOMS

__all__ = ["QUESTIONS", "SYMPTOMS", "WhereToLook", "plot_symptoms", "questions_of"]
