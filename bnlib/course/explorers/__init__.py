"""Explorers: sliders beside a live picture and a sentence that says what it shows."""

from bnlib.course.explorers.base import Choice, Explorer, Slider, Switch
from bnlib.course.explorers.batch_means import BatchMeans
from bnlib.course.explorers.descent import Descent
from bnlib.course.explorers.first_look import FirstLook
from bnlib.course.explorers.gamma_beta import GammaBeta
from bnlib.course.explorers.half_precision import HalfPrecision
from bnlib.course.explorers.layer_flow import LayerFlow
from bnlib.course.explorers.layer_histograms import LayerHistograms
from bnlib.course.explorers.learning_rates import LearningRates
from bnlib.course.explorers.nudge import Nudge
from bnlib.course.explorers.running_estimate import RunningEstimate

__all__ = [
    "BatchMeans",
    "Choice",
    "Descent",
    "Explorer",
    "FirstLook",
    "GammaBeta",
    "HalfPrecision",
    "LayerFlow",
    "LayerHistograms",
    "LearningRates",
    "Nudge",
    "RunningEstimate",
    "Slider",
    "Switch",
]
