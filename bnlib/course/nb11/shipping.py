"""Export of a net, and what runs it: torch.export, ONNX and ONNX Runtime, 8-bit integers.

onnx, onnxscript and onnxruntime are the extra `onnx`; they are imported where they are used, so
that notebook 11 runs without them.
"""

import collections
import contextlib
import importlib.util
import io
import logging
import math
import tempfile
import time
import warnings
from pathlib import Path

import torch

PACKAGES = ("onnx", "onnxscript", "onnxruntime")


def has_onnx():
    """Are the packages for ONNX here? Where they are not, it says so, and the cell is left out."""
    missing = [name for name in PACKAGES if importlib.util.find_spec(name) is None]
    if missing:
        print(
            f"Not run here: {', '.join(missing)} not installed (the extra `onnx`). "
            "The rest of the notebook does not need it."
        )
    return not missing


@contextlib.contextmanager
def quiet():
    """Without what the exporter and the quantizer log about their own insides.

    A warning that concerns the model is printed, in one line.
    """
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "onnxscript", "onnx_ir", "root")]
    before = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            yield
    finally:
        for logger, level in zip(loggers, before, strict=True):
            logger.setLevel(level)
    for warning in caught:
        if warning.category is UserWarning:
            print("Warning:", str(warning.message).partition(". ")[0])


def kinds(program):
    """{kind of node: how many} of an exported ONNX program, or of torch.export's."""
    if hasattr(program, "model_proto"):
        names = [node.op_type for node in program.model_proto.graph.node]
    else:
        targets = [str(node.target) for node in program.graph.nodes]
        names = [name.split(".")[1] for name in targets if name.startswith("aten.")]
    return dict(collections.Counter(names))


def onnx_runtime(program, threads=1):
    """A function of a batch, tensor -> tensor, that has ONNX Runtime answer on the processor.

    program  what torch.onnx.export returns, or the bytes of an ONNX file
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = threads
    options.log_severity_level = 3  # errors alone
    raw = program if isinstance(program, bytes) else program.model_proto.SerializeToString()
    session = onnxruntime.InferenceSession(raw, options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    return lambda x: torch.from_numpy(session.run(None, {name: x.cpu().numpy()})[0])


def to_int8(program, x, per_channel=True):
    """The bytes of an ONNX file whose weights and activations are 8-bit integers.

    x  images by which the ranges of the activations are measured
    """
    from onnxruntime import quantization

    name = program.model_proto.graph.input[0].name

    class Images(quantization.CalibrationDataReader):
        def __init__(self):
            self.batches = iter([{name: part.cpu().numpy()} for part in x.split(50)])

        def get_next(self):
            return next(self.batches, None)

    with tempfile.TemporaryDirectory() as folder, quiet():
        one, other = Path(folder, "float.onnx"), Path(folder, "int8.onnx")
        one.write_bytes(program.model_proto.SerializeToString())
        quantization.quantize_static(one, other, Images(), per_channel=per_channel)
        return other.read_bytes()


def size_of(exported):
    """How many bytes torch.export.save writes."""
    file = io.BytesIO()
    torch.export.save(exported, file)
    return len(file.getvalue())


@torch.no_grad()
def milliseconds(functions, x, rounds=30):
    """{name: ms of the fastest of so many calls function(x)}.

    They are called in turn, and the fastest call is the one that nothing else disturbed.
    """
    fastest = dict.fromkeys(functions, math.inf)
    for _ in range(rounds):
        for name, function in functions.items():
            start = time.perf_counter()
            function(x)
            fastest[name] = min(fastest[name], 1000 * (time.perf_counter() - start))
    return fastest
