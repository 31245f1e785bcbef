"""The room of notebook 00, start here: what it draws, asks and lets play."""

from bnlib.course.nb00.explorer import FirstLook

__all__ = [
    "FirstLook",
]
