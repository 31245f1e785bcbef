"""Time bnlib's batch normalization against PyTorch's own, on this machine.

    make bench                            the whole table, a few minutes
    make bench ARGS="--quick"             fewer rounds, nothing compiled
    make bench ARGS="--rows 0 3"          some rows only
    make bench ARGS="--kernels"           what each notebook takes of a machine: bench_kernels.py

Prints a table of ratios (CPU time over that of torch.nn.functional.batch_norm, forward and
backward, float32, one thread; below 1 is faster than torch), the cost of a training step of the
2015 paper's Figure 1 net, the accuracy at mean 1e4, and which goals hold. Writes the same to
.out/bench.json and a picture to .out/bench.png.

How it measures: interleaving.py says it; the CPU time of the thread counts; ratios are ratios of
medians. glibc is told to keep freed memory: otherwise large outputs are returned to the system and
faulted in again at every call. Where torch.compile cannot work, its column says so.
"""

import argparse
import itertools
import json
import math
import os
import platform
import statistics
import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent))
from interleaving import forward_and_backward, interleave, why_not_compiled

ROOT = Path(__file__).resolve().parents[2]
OUT = ROOT / ".out"

# Seven rows are the goals' rows; the others are for the curious.
ROWS = [
    ((60, 100), 1),
    ((256, 512), 1),
    ((4096, 1024), 1),
    ((32, 64, 56, 56), 1),
    ((128, 32, 28, 28), 1),
    ((16, 256, 14, 14), 1),
    ((32, 56, 56, 64), -1),
    ((128, 28, 28, 32), -1),
    ((16, 14, 14, 256), -1),
]
GOAL_ROWS = ROWS[:7]

ENVIRONMENT = {
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "MALLOC_TRIM_THRESHOLD_": "4000000000",
    "MALLOC_MMAP_THRESHOLD_": "4000000000",
}

NATIVE, TEXTBOOK = "torch native", "textbook NumPy"
NUMPY, EAGER, COMPILED = "bnlib.numpy", "bnlib.torch", "bnlib.torch, compiled"
CANDIDATES = (TEXTBOOK, NUMPY, EAGER, COMPILED)


# ---- what is compared


def textbook_forward(x, gamma, beta, eps=1e-5):
    """Batch norm as NumPy courses usually write it, for any layout with channels on axis 1."""
    axes = (0, *range(2, x.ndim))
    shape = (1, -1) + (1,) * (x.ndim - 2)
    mean = x.mean(axis=axes, keepdims=True)
    std = np.sqrt(x.var(axis=axes, keepdims=True) + eps)
    x_hat = (x - mean) / std
    return gamma.reshape(shape) * x_hat + beta.reshape(shape), (x_hat, std, axes, shape)


def textbook_backward(dy, gamma, cache):
    """Its usual backward pass."""
    x_hat, std, axes, shape = cache
    dx_hat = dy * gamma.reshape(shape)
    mean = dx_hat.mean(axis=axes, keepdims=True)
    dx = (dx_hat - mean - x_hat * (dx_hat * x_hat).mean(axis=axes, keepdims=True)) / std
    return dx, (dy * x_hat).sum(axis=axes), dy.sum(axis=axes)


def candidates(shape, axis, *, compiled=True, mean=3.0, std=2.0):
    """Name -> a function that runs one forward and one backward pass."""
    import torch

    import bnlib.numpy
    import bnlib.torch

    rng = np.random.default_rng(0)
    C = shape[axis]
    x = (mean + std * rng.standard_normal(shape)).astype(np.float32)
    dy = rng.standard_normal(shape).astype(np.float32)
    gamma = rng.uniform(0.5, 1.5, C).astype(np.float32)
    beta = rng.standard_normal(C).astype(np.float32)
    # For torch, channels last is a memory format; the textbook sees the same batch as (m, C).
    dy_t = torch.from_numpy(dy).movedim(axis, 1)
    leaves = [torch.from_numpy(x).movedim(axis, 1), *map(torch.from_numpy, (gamma, beta))]
    leaves = [leaf.requires_grad_() for leaf in leaves]
    x_2d, dy_2d = (a if axis == 1 else a.reshape(-1, C) for a in (x, dy))

    def torch_step(function):
        return forward_and_backward(function, leaves, dy_t)

    def textbook():
        y, cache = textbook_forward(x_2d, gamma, beta)
        return y, *textbook_backward(dy_2d, gamma, cache)

    def ours():
        y, cache = bnlib.numpy.batch_norm(x, gamma, beta, axis=axis)
        return y, *bnlib.numpy.batch_norm_backward(dy, cache)

    functions = {
        NATIVE: torch_step(torch.nn.functional.batch_norm),
        TEXTBOOK: textbook,
        NUMPY: ours,
        EAGER: torch_step(bnlib.torch.batch_norm),
    }
    if compiled:
        torch.compiler.reset()
        functions[COMPILED] = torch_step(torch.compile(bnlib.torch.batch_norm, fullgraph=True))
    return functions, x


# ---- one row, one net, one comparison


def measure(shape, axis, seconds, *, compiled=True):
    """One row of the table: microseconds and ratios of each candidate.

    Where there is no compiling, "not compiled" says why.
    """
    functions, x = candidates(shape, axis, compiled=compiled)
    why = why_not_compiled(functions[COMPILED]) if compiled else None
    if why:
        del functions[COMPILED]
    y = np.empty_like(x)
    times = interleave(functions | {"copy": lambda: np.copyto(y, x)}, seconds)
    # Forward reads x and writes y, backward reads x and dy and writes dx: five arrays at least,
    # where a copy moves two.
    limit = 2.5 * times.pop("copy")
    return {
        "shape": list(shape),
        "axis": axis,
        "microseconds": {name: 1e6 * t for name, t in times.items()},
        "ratio": {name: t / times[NATIVE] for name, t in times.items()},
        "over_memory_limit": {name: t / limit for name, t in times.items()},
        **({"not compiled": why} if why else {}),
    }


def training_steps(seconds, steps=50):
    """Microseconds of a training step of Figure 1's net: three sigmoid layers of 100 units."""
    import torch

    import bnlib.numpy as bn
    from bnlib.data import as_features, minibatches, mnist10k

    digits = mnist10k()
    x, y = as_features(digits.x_train), digits.y_train
    x_t, y_t = torch.from_numpy(x), torch.from_numpy(np.array(y))
    sizes = (784, 100, 100, 100)

    def numpy_net(batch_norm):
        rng = np.random.default_rng(0)
        layers = []
        for inputs, outputs in itertools.pairwise(sizes):
            layers.append(bn.Linear(inputs, outputs, rng=rng, init=0.1, bias=not batch_norm))
            layers += [bn.BatchNorm(outputs)] if batch_norm else []
            layers.append(bn.Sigmoid())
        return bn.Sequential(*layers, bn.Linear(100, 10, rng=rng, init=0.1))

    def torch_net(batch_norm):
        layers = []
        for inputs, outputs in itertools.pairwise(sizes):
            layers.append(torch.nn.Linear(inputs, outputs, bias=not batch_norm))
            layers += [torch.nn.BatchNorm1d(outputs)] if batch_norm else []
            layers.append(torch.nn.Sigmoid())
        return torch.nn.Sequential(*layers, torch.nn.Linear(100, 10))

    def numpy_loop(model):
        options = {"steps": steps, "batch_size": 60, "rng": 0, "lr": 0.5, "progress": False}
        return lambda: bn.fit(model, x, y, **options)

    def torch_loop(model):
        optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
        loss_function = torch.nn.CrossEntropyLoss()

        def loop():
            rng = np.random.default_rng(0)
            rows = np.arange(len(y))
            for (pick, _), _ in zip(minibatches(rows, rows, 60, rng), range(steps), strict=False):
                pick = torch.from_numpy(pick)
                loss = loss_function(model(x_t[pick]), y_t[pick])
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()

        return loop

    loops = {
        "numpy with BN": numpy_loop(numpy_net(True)),
        "numpy without": numpy_loop(numpy_net(False)),
        "torch with BN": torch_loop(torch_net(True)),
        "torch without": torch_loop(torch_net(False)),
    }
    return {name: 1e6 * t / steps for name, t in interleave(loops, seconds).items()}


def accuracy(shape=(4096, 64)):
    """The largest error of y and dx against float64, for float32 data of mean 1e4, deviation 1."""
    import torch

    functions, x = candidates(shape, 1, compiled=False, mean=1e4, std=1.0)
    rng = np.random.default_rng(0)
    rng.standard_normal(shape)  # candidates() draws x, dy, gamma in this order
    dy = rng.standard_normal(shape).astype(np.float32)
    gamma = rng.uniform(0.5, 1.5, shape[1]).astype(np.float32)
    leaf = torch.from_numpy(x.astype(np.float64)).requires_grad_()
    y = torch.nn.functional.batch_norm(
        leaf, None, None, torch.from_numpy(gamma.astype(float)), None, True
    )
    (want,) = torch.autograd.grad(y, leaf, torch.from_numpy(dy.astype(np.float64)))
    want = want.numpy()
    return {name: float(abs(np.asarray(f()[1]) - want).max()) for name, f in functions.items()}


# ---- the goals, and how they are shown


def goals(report):
    """(text, holds) for each goal that the report has figures for."""
    ratio = {(tuple(r["shape"]), r["axis"]): r["ratio"] for r in report["rows"]}
    ours = {row: ratio[row][NUMPY] for row in GOAL_ROWS if row in ratio}
    found = []

    def goal(text, value, bound):
        found.append((f"{text}: {value:.2f} (goal ≤ {bound:g})", bool(value <= bound)))

    if len(ours) == len(GOAL_ROWS):
        mean = math.exp(statistics.mean(math.log(r) for r in ours.values()))
        goal("bnlib.numpy, geometric mean of the seven rows", mean, 0.95)
        goal("bnlib.numpy, slowest row", max(ours.values()), 1.5)
        least = min(ratio[row][TEXTBOOK] / ours[row] for row in ours)
        found.append(
            (f"bnlib.numpy over the textbook, least: {least:.2f} (goal ≥ 1.7)", least >= 1.7)
        )
    if GOAL_ROWS[0] in ours:
        goal("bnlib.numpy, (60, 100)", ours[GOAL_ROWS[0]], 0.45)
    images = [r for (shape, axis), r in ratio.items() if len(shape) == 4 and axis == 1]
    flat = [r for (shape, axis), r in ratio.items() if axis == -1 or shape == (4096, 1024)]
    if images:
        goal("bnlib.torch, NCHW, slowest", max(r[EAGER] for r in images), 1.25)
    goal("bnlib.torch, slowest row", max(r[EAGER] for r in ratio.values()), 2.5)
    images, flat = ([r[COMPILED] for r in rows if COMPILED in r] for rows in (images, flat))
    if images:
        goal("compiled, NCHW, slowest", max(images), 0.75)
    if flat:
        goal("compiled, large 2-D and channels last", max(flat), 1.2)
    if "accuracy" in report:
        for name in (NUMPY, EAGER):
            value = report["accuracy"][name]
            found.append(
                (f"{name}, error of dx at mean 1e4: {value:.1e} (goal ≤ 5e-6)", value <= 5e-6)
            )
    if "training" in report:
        step = report["training"]
        goal("a BN training step over torch's", step["numpy with BN"] / step["torch with BN"], 0.6)
        goal("what BN adds to a step", step["numpy with BN"] / step["numpy without"] - 1, 0.35)
    return found


def name_of(row):
    shape = "(" + ", ".join(map(str, row["shape"])) + ")"
    return shape + (" channels last" if row["axis"] == -1 else "")


def table(report):
    """The report as text."""
    why = next((row["not compiled"] for row in report["rows"] if "not compiled" in row), None)
    names = [name for name in CANDIDATES if why or name in report["rows"][0]["ratio"]]
    lines = [
        f"forward and backward, float32, one thread; {report['machine']}",
        f"{'shape':32} {NATIVE:>13}"
        + "".join(f"{name:>23}" for name in names)
        + f"{NUMPY + ' / memory limit':>28}",
    ]
    for row in report["rows"]:
        ratio = row["ratio"]
        cells = "".join(
            f"{ratio[name]:>21.2f} ×" if name in ratio else f"{'not possible':>23}"
            for name in names
        )
        limit = row["over_memory_limit"][NUMPY]
        native = row["microseconds"][NATIVE]
        lines.append(f"{name_of(row):32} {native:>10.0f} µs{cells}{limit:>26.1f} ×")
    if why:
        lines += ["", f"torch.compile is not possible here: {why}"]
    if "training" in report:
        lines += ["", "one training step of Figure 1's net, batch of 60"]
        lines += [f"    {name:16} {t:7.0f} µs" for name, t in report["training"].items()]
    if "accuracy" in report:
        lines += ["", "largest error of dx, float32 data of mean 1e4 and deviation 1"]
        lines += [f"    {name:16} {e:9.1e}" for name, e in report["accuracy"].items()]
    lines += ["", "goals"]
    lines += [f"    {'✓' if holds else '✗'} {text}" for text, holds in goals(report)]
    return "\n".join(lines)


def plot(report, path):
    """A mark for each candidate and row: its time over torch's."""
    from matplotlib import color_sequences
    from matplotlib.figure import Figure

    rows = report["rows"]
    names = [name for name in CANDIDATES if name in rows[0]["ratio"]]
    figure = Figure(figsize=(9, 1.2 + 0.5 * len(rows)), layout="constrained")
    axes = figure.subplots()
    for name, colour, marker in zip(names, color_sequences["okabe_ito"], "sodv", strict=False):
        ratios = [row["ratio"][name] for row in rows]
        axes.plot(ratios, range(len(rows)), marker, color=colour, label=name, markersize=8)
    axes.axvline(1, color="0.4", linewidth=1)
    axes.set_xscale("log", base=2)
    axes.xaxis.set_major_formatter("{x:g}")
    axes.set_xlabel("CPU time, forward and backward, over torch.nn.functional.batch_norm's")
    axes.set_yticks(range(len(rows)), [name_of(row) for row in rows])
    axes.invert_yaxis()
    axes.grid(axis="x", color="0.9")
    figure.legend(loc="outside upper center", ncols=len(names), frameon=False)
    figure.savefig(path, dpi=150)


def machine():
    """What the figures belong to: processor, versions."""
    import torch

    processor = platform.processor() or platform.machine()
    information = Path("/proc/cpuinfo")
    if information.exists():
        named = [line for line in information.read_text().splitlines() if "model name" in line]
        processor = named[0].split(":")[1].strip() if named else processor
    return f"{processor}, NumPy {np.__version__}, torch {torch.__version__}"


def parse(arguments):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="fewer rounds, nothing compiled")
    parser.add_argument("--rows", type=int, nargs="+", choices=range(len(ROWS)), metavar="ROW")
    parser.add_argument("--seconds", type=float, help="for each candidate of a row (1)")
    parser.add_argument("--no-compile", action="store_true", help="leave torch.compile out")
    options = parser.parse_args(arguments)
    options.seconds = options.seconds or (0.15 if options.quick else 1.0)
    options.compile = not (options.quick or options.no_compile)
    options.rows = options.rows or range(len(ROWS))
    return options


def main(arguments=None, out=OUT):
    """Measure, print, and write bench.json and bench.png to the folder `out`."""
    options = parse(arguments)
    import torch

    torch.set_num_threads(1)
    report = {"machine": machine(), "rows": []}
    for i in options.rows:
        shape, axis = ROWS[i]
        print(f"measuring {shape} …", file=sys.stderr, flush=True)
        row = measure(shape, axis, options.seconds, compiled=options.compile)
        options.compile = options.compile and "not compiled" not in row  # one try is enough
        report["rows"].append(row)
    report["training"] = training_steps(options.seconds)
    report["accuracy"] = accuracy()
    report["goals"] = [{"goal": text, "holds": holds} for text, holds in goals(report)]
    print(table(report))
    out.mkdir(exist_ok=True)
    (out / "bench.json").write_text(json.dumps(report, indent=1, ensure_ascii=False))
    plot(report, out / "bench.png")
    print(f"\nalso in {out.name}/bench.json and {out.name}/bench.png")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--kernels"]:  # kernels run as a class's do, without ENVIRONMENT
        import bench_kernels

        bench_kernels.main(sys.argv[2:])
        sys.exit()
    if any(os.environ.get(name) != value for name, value in ENVIRONMENT.items()):
        os.environ.update(ENVIRONMENT)  # read when a process starts: begin once more
        os.execv(sys.executable, [sys.executable, *sys.argv])
    sys.path.insert(0, str(ROOT))
    main()
