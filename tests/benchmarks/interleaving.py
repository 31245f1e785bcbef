"""How the benchmarks time: all candidates take turns in one process, in a rotating order.

So another program on the machine disturbs all of them alike. Each sample comes after an untimed
call; what counts is the median.
"""

import gc
import statistics
import time


def thread_seconds(function, repeats=1):
    """CPU time that the calling thread spends on so many calls."""
    begin = time.thread_time()
    for _ in range(repeats):
        function()
    return time.thread_time() - begin


def device_seconds(function, repeats=1):
    """Time between two events on the GPU's stream, one before and one after so many calls."""
    import torch

    begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    begin.record()
    for _ in range(repeats):
        function()
    end.record()
    end.synchronize()
    return begin.elapsed_time(end) / 1000  # it counts milliseconds


def interleave(functions, seconds, *, at_least=5, sample=3e-3, timed=thread_seconds):
    """Name -> median seconds of a call, all functions taking turns for about `seconds` each."""
    repeats, samples = {}, {name: [] for name in functions}
    for name, function in functions.items():
        timed(function, 2)
        start = time.perf_counter()
        timed(function)
        repeats[name] = max(1, min(2000, int(sample / max(time.perf_counter() - start, 1e-7))))
    names = list(functions)
    gc.collect()
    gc.disable()
    try:
        start, turn = time.perf_counter(), 0
        while turn < at_least or time.perf_counter() - start < seconds * len(names):
            first = turn % len(names)
            for name in names[first:] + names[:first]:
                functions[name]()
                samples[name].append(timed(functions[name], repeats[name]) / repeats[name])
            turn += 1
    finally:
        gc.enable()
    return {name: statistics.median(times) for name, times in samples.items()}


def forward_and_backward(function, leaves, dy):
    """A function without arguments: y, dx, dγ and dβ of a batch norm, called as torch.nn's.

    leaves      x, γ and β, with channels on axis 1
    """
    import torch

    def step():
        y = function(leaves[0], None, None, *leaves[1:], True)
        return y, *torch.autograd.grad(y, leaves, dy)

    return step


def reason(error):
    """One line on why something did not work, in words that fit below a table."""
    first, *more = [" ".join(line.split()) for line in str(error).split("\n") if line.strip()] or [
        ""
    ]
    text = f"{first} {more[0]}" if first.endswith(":") and more else first
    name = type(error).__name__
    return (text if text.startswith(name) else f"{name}: {text}")[:160]


def why_not_compiled(step):
    """Compile a step by running it once. Returns None, or why that is not possible here."""
    import torch

    try:
        step()
    except Exception as error:
        found = reason(error)
        folder = torch.__path__[0]
        if " " in folder:
            found += f" (torch does not quote the spaces of {folder!r} for its compiler)"
        return found
    return None
