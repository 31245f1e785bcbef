"""Time and check bnlib.torch's batch norm on a GPU against PyTorch's own.

    make gpu                                           this, the device tests and notebooks
    python tests/benchmarks/bench_device.py            this alone
    python tests/benchmarks/bench_device.py --device cpu --small    a rehearsal without a GPU

Each row is one shape, dtype and memory format, forward and backward in training mode. Candidates:
torch's batch norm and ours, each called as it is and replayed from a CUDA graph, and ours under
torch.compile. They take turns (interleaving.py), timed by events on the GPU's stream; ratios are
ratios of medians.

GB/s counts the five arrays that must move at least: forward reads x and writes y, backward reads
x and dy and writes dx; beside it is the share of what a plain copy reaches here. Whoever must read
x and dy twice, as batch norm must where they do not fit into a cache, moves eight: 62 % of the
copy's speed is then the most there is.

Errors are those of y and dx in eight channels, against float64 on the CPU, in parts of the largest
value; beside them is what bnlib.torch does on the CPU with the same numbers. float32 data has
mean 1e4 and deviation 1, bfloat16 data mean 3 and deviation 2.

The results go to a JSON file, written afresh after every row, and to the screen as a table.
"""

import argparse
import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import torch
from interleaving import (
    device_seconds,
    forward_and_backward,
    interleave,
    reason,
    thread_seconds,
    why_not_compiled,
)

from bnlib.torch import batch_norm

OUT = Path(__file__).resolve().parents[2] / ".out"

# What the goals ask for comes first: a run that is cut short has it.
SHAPES = [(32, 64, 56, 56), (256, 64, 56, 56), (4096, 1024), (65536, 1024), (60, 100)]
SMALL_SHAPES = [(4, 8, 5, 5)]
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}
LARGE = 16e6  # bytes of x from which the goals for the times hold
# The goals for errors, in parts of the largest value: bnlib.torch's on the CPU (5e-6 for values
# about 5); and two units in bfloat16's last place.
ACCURATE = {"float32": 1e-6, "bfloat16": 2**-7}

NATIVE, EAGER, COMPILED = "torch native", "bnlib.torch", "bnlib.torch, compiled"
NATIVE_GRAPH, GRAPH = "torch native, graph", "bnlib.torch, graph"
CANDIDATES = (NATIVE, NATIVE_GRAPH, EAGER, GRAPH, COMPILED)
ON_CPU = "bnlib.torch on the CPU"


def rows(shapes):
    """(shape, dtype's name, channels last or not) of each row."""
    return [
        (shape, dtype, last)
        for shape in shapes
        for last in ((False, True) if len(shape) == 4 else (False,))
        for dtype in DTYPES
    ]


def batch(shape, dtype, last, device):
    """x, γ and β to differentiate, and dy: x and dy in `dtype`, drawn on the device itself."""
    mean, std = (1e4, 1.0) if dtype == "float32" else (3.0, 2.0)
    form = torch.channels_last if last else torch.contiguous_format

    def normal(seed):
        empty = torch.empty(shape, device=device, memory_format=form)
        return empty.normal_(generator=torch.Generator(device).manual_seed(seed))

    x, dy = normal(1).mul_(std).add_(mean).to(DTYPES[dtype]), normal(2).to(DTYPES[dtype])
    generator = torch.Generator().manual_seed(0)
    gamma = torch.rand(shape[1], generator=generator).add_(0.5).to(device)
    beta = torch.randn(shape[1], generator=generator).to(device)
    return [t.requires_grad_() for t in (x, gamma, beta)], dy


def graph_of(step):
    """The step, captured as a CUDA graph: calling it replays the graph into the same tensors."""
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):  # to warm up; not on the stream that others use
        for _ in range(3):
            step()
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        results = step()

    def replay():
        graph.replay()
        return results

    return replay


def candidates(leaves, dy, *, graphs, compiled):
    """(name -> a function that runs one forward and backward pass, name -> why there is none)."""
    steps = {
        NATIVE: forward_and_backward(torch.nn.functional.batch_norm, leaves, dy),
        EAGER: forward_and_backward(batch_norm, leaves, dy),
    }
    missing = {}
    if graphs:
        for name, eager in ((NATIVE_GRAPH, NATIVE), (GRAPH, EAGER)):
            try:
                steps[name] = graph_of(steps[eager])
            except Exception as error:
                missing[name] = reason(error)
    else:
        missing |= dict.fromkeys((NATIVE_GRAPH, GRAPH), "CUDA graphs need a GPU")
    if compiled:
        torch.compiler.reset()  # a graph for this shape alone
        step = forward_and_backward(torch.compile(batch_norm, fullgraph=True), leaves, dy)
        why = why_not_compiled(step)
        if why:
            missing[COMPILED] = why
        else:
            steps[COMPILED] = step
    return {name: steps[name] for name in CANDIDATES if name in steps}, missing


def errors(steps, leaves, dy):
    """Name -> largest error of y and dx in parts of their largest value, in eight channels."""
    channels = leaves[0].shape[1]
    some = torch.arange(0, channels, -(-channels // 8))

    def on_cpu(function, dtype=None):
        """Results of the same numbers there, in their own dtypes or in this one, as float64."""
        x, gamma, beta = leaves[0][:, some], leaves[1][some], leaves[2][some]
        x, gamma, beta, part_of_dy = (
            t.detach().to("cpu", dtype or t.dtype) for t in (x, gamma, beta, dy[:, some])
        )
        parts = [t.requires_grad_() for t in (x, gamma, beta)]
        return [t.detach().double() for t in forward_and_backward(function, parts, part_of_dy)()]

    want = on_cpu(torch.nn.functional.batch_norm, torch.float64)[:2]

    def error(got):
        pairs = zip(got, want, strict=True)
        return max(((g - w).abs().max() / w.abs().max()).item() for g, w in pairs)

    found = {}
    for name, step in steps.items():
        results = step()[:2]
        found[name] = error([t.detach()[:, some].cpu().double() for t in results])
    return found | {ON_CPU: error(on_cpu(batch_norm)[:2])}


def measure(shape, dtype, last, device, seconds, *, compiled=True, graphs=True):
    """One row: microseconds, ratios, GB/s and errors of each candidate."""
    leaves, dy = batch(shape, dtype, last, device)
    steps, missing = candidates(leaves, dy, graphs=graphs, compiled=compiled)
    timed = device_seconds if device == "cuda" else thread_seconds
    found = errors(steps, leaves, dy)
    times = interleave(steps, seconds, timed=timed)
    size = leaves[0].numel() * leaves[0].element_size()
    return {
        "shape": list(shape),
        "dtype": dtype,
        "channels last": last,
        "bytes": size,
        "microseconds": {name: 1e6 * t for name, t in times.items()},
        "ratio": {name: t / times[NATIVE] for name, t in times.items()},
        "GB/s": {name: 5 * size / t / 1e9 for name, t in times.items()},
        "errors": found,
        "missing": missing,
    }


def copy_speed(device, size):
    """GB/s of a copy within the device's memory, bytes read and bytes written."""
    source = torch.ones(size, dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    timed = device_seconds if device == "cuda" else thread_seconds
    copy = {"copy": lambda: target.copy_(source)}
    return 2 * size / interleave(copy, 0.3, timed=timed)["copy"] / 1e9


def machine(device):
    """What the figures belong to."""
    about = {"torch": torch.__version__, "device": "the CPU"}
    if device == "cuda":
        card = torch.cuda.get_device_properties(0)
        about |= {
            "device": card.name,
            "memory, GB": card.total_memory / 1e9,
            "multiprocessors": card.multi_processor_count,
            "CUDA": torch.version.cuda,
        }
    return about


def goals(report):
    """(text, holds) for each goal that the report has figures for."""
    found = []

    def goal(text, values, bound):
        if values:
            value = max(values)
            found.append((f"{text}: {value:.3g} (goal ≤ {bound:g})", bool(value <= bound)))

    large = [row["ratio"] for row in report["rows"] if row["bytes"] >= LARGE]
    goal("bnlib.torch, slowest of ≥ 16 MB", [r[EAGER] for r in large], 1.3)
    goal("compiled, slowest of ≥ 16 MB", [r[COMPILED] for r in large if COMPILED in r], 1.05)
    for dtype in DTYPES:
        parts = [row["errors"] for row in report["rows"] if row["dtype"] == dtype]
        ours = [error[n] for error in parts for n in (EAGER, GRAPH, COMPILED) if n in error]
        goal(f"bnlib.torch's error, {dtype}", ours, ACCURATE[dtype])
    return found


def name_of(row):
    shape = "(" + ", ".join(map(str, row["shape"])) + ")"
    return f"{shape} {row['dtype']}" + (" channels last" if row["channels last"] else "")


def table(report):
    """The report as text, no line wider than 132 characters."""
    about, rows = report["machine"], report["rows"]
    copy = report["copy, GB/s"]
    lines = [
        f"forward and backward on {about['device']}, torch {about['torch']}; "
        f"a copy moves {copy:.0f} GB/s",
        f"{'':42}{'native':>10}{'graph':>8}{'bnlib':>8}{'graph':>8}{'compiled':>10}"
        f"{'bnlib, GB/s':>18}{'compiled, GB/s':>18}",
    ]
    for row in rows:
        ratio, speed = row["ratio"], row["GB/s"]
        cells = [f"{ratio[name]:.2f} ×" if name in ratio else "none" for name in CANDIDATES[1:]]
        rates = [
            f"{speed[name]:.0f} ({speed[name] / copy:.0%})" if name in speed else "none"
            for name in (EAGER, COMPILED)
        ]
        lines.append(
            f"{name_of(row):42}{row['microseconds'][NATIVE]:>7.0f} µs"
            + "".join(f"{cell:>{w}}" for cell, w in zip(cells, (8, 8, 8, 10), strict=True))
            + "".join(f"{rate:>18}" for rate in rates)
        )
    lines += [
        "",
        "largest error of y and dx against float64, in parts of the largest value",
        f"{'':42}"
        + "".join(f"{name:>15}" for name in ("native", "bnlib", "graph", "compiled"))
        + f"{'bnlib, on CPU':>15}",
    ]
    for row in rows:
        names = (NATIVE, EAGER, GRAPH, COMPILED, ON_CPU)
        cells = [f"{row['errors'][n]:.1e}" if n in row["errors"] else "none" for n in names]
        lines.append(f"{name_of(row):42}" + "".join(f"{cell:>15}" for cell in cells))
    for name in CANDIDATES:
        why = next((row["missing"][name] for row in rows if name in row["missing"]), None)
        lines += [f"no {name}: {why}"] if why else []
    lines += [f"{name}: {why}" for name, why in report["failed rows"].items()]
    lines += ["", "goals"]
    lines += [f"    {'✓' if holds else '✗'} {text}" for text, holds in goals(report)]
    return "\n".join(lines)


def parse(arguments):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", choices=["cuda", "cpu"], default="cuda")
    parser.add_argument("--into", type=Path, default=OUT / "bench_device.json")
    parser.add_argument("--seconds", type=float, default=0.4, help="for each candidate of a row")
    parser.add_argument("--small", action="store_true", help="small shapes, for a rehearsal")
    parser.add_argument("--no-compile", action="store_true", help="leave torch.compile out")
    return parser.parse_args(arguments)


def main(arguments=None):
    """Measure, print, and write the report after each row."""
    options = parse(arguments)
    if options.device == "cuda" and not torch.cuda.is_available():
        sys.exit("this torch sees no GPU; --device cpu --small rehearses without one")
    torch.set_num_threads(1)
    compiled = not options.no_compile
    report = {
        "machine": machine(options.device),
        "copy, GB/s": copy_speed(options.device, 1 << (20 if options.small else 30)),
        "rows": [],
        "failed rows": {},
    }
    options.into.parent.mkdir(parents=True, exist_ok=True)
    for shape, dtype, last in rows(SMALL_SHAPES if options.small else SHAPES):
        print(f"measuring {shape} {dtype} …", file=sys.stderr, flush=True)
        try:
            row = measure(
                *(shape, dtype, last, options.device, options.seconds),
                compiled=compiled,
                graphs=options.device == "cuda",
            )
            compiled = compiled and COMPILED not in row["missing"]  # one try is enough
            report["rows"].append(row)
        except Exception as error:  # a card with too little memory, say: the others may still fit
            report["failed rows"][f"{shape} {dtype}{' channels last' * last}"] = reason(error)
        report["goals"] = [{"goal": text, "holds": holds} for text, holds in goals(report)]
        options.into.write_text(json.dumps(report, indent=1, ensure_ascii=False), encoding="utf-8")
    print(table(report))
    return 1 if report["failed rows"] else 0


if __name__ == "__main__":
    sys.exit(main())
