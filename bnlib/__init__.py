"""Batch Normalization from first principles: the library behind the course.

Three texts of the same layer, each held to the others and to PyTorch by the tests:

bnlib.reference   Algorithm 1, its backward pass and Algorithm 2 as the paper writes them,
                  one text for NumPy arrays and torch tensors
bnlib.numpy       the NumPy backend, with the small layers and the training loop of Part I
bnlib.torch       the torch backend, drop-in for torch.nn's, on any device

bnlib.data        ten thousand real MNIST digits, shipped with the course
bnlib.course      what the notebooks show and ask: claims, plots, explorers, exercises

Importing bnlib imports none of them, and needs neither torch nor matplotlib.
"""

__version__ = "1.0.0"
