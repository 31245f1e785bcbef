"""Explorers: sliders beside a live picture and a sentence that says what it shows."""

from bnlib.course.explorers.base import Choice, Explorer, Slider, Switch
from bnlib.course.explorers.batch_means import BatchMeans

__all__ = ["BatchMeans", "Choice", "Explorer", "Slider", "Switch"]
