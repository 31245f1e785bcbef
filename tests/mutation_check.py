"""Plant classic batch-norm bugs one at a time, and show that the tests catch every one.

    python tests/mutation_check.py                  all of them, some minutes
    python tests/mutation_check.py --only torch     those whose backend or name holds the word
    python tests/mutation_check.py --jobs 4

Each bug is one change of text in a copy of the repository, where the narrow tests of that
backend then run. A bug is caught when a test fails; that the tests pass in an unchanged copy is
checked first. Prints a table, writes .out/mutations.json, and ends with 1 when a bug survived.

The bugs are those that hand-written batch norms have had: statistics with the wrong divisor, an
inverted momentum, ε outside the root, gradients that forget a path, buffers that stay behind.
"""

import argparse
import concurrent.futures
import dataclasses
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
COPIED = ("bnlib", "tests", "pyproject.toml", "data")

NUMPY, TORCH, REFERENCE = "numpy", "torch", "reference"
# What runs for each backend: the shared tests first, for they catch most.
TESTS = {
    NUMPY: (
        ["tests/test_backends.py", "-k", "numpy-"],
        ["tests/test_numpy_batchnorm.py", "tests/test_numpy_walk.py", "tests/test_numpy_norms.py"],
    ),
    TORCH: (
        ["tests/test_backends.py", "-k", "torch-"],
        ["tests/test_torch_batchnorm.py", "tests/test_torch_norms.py"],
    ),
    REFERENCE: (["tests/test_reference.py"],),
}


@dataclasses.dataclass(frozen=True)
class Mutant:
    """One planted bug: `old`, which stands once in `file`, becomes `new`."""

    backend: str
    name: str
    file: str
    old: str
    new: str

    def source(self, root=ROOT):
        return (root / self.file).read_text(encoding="utf-8")

    def fits(self, root=ROOT):
        """The text to change is there, once."""
        return self.source(root).count(self.old) == 1

    def plant(self, root):
        text = self.source(root).replace(self.old, self.new)
        (root / self.file).write_text(text, encoding="utf-8")


BATCH, BLOCKS, CHECKS = (f"bnlib/numpy/{name}.py" for name in ("batchnorm", "blocks", "checks"))


def numpy(name, old, new, file="bnlib/numpy/core.py"):
    return Mutant(NUMPY, name, file, old, new)


def torch(name, old, new, file="bnlib/torch/_formulas.py"):
    return Mutant(TORCH, name, file, old, new)


def reference(name, old, new):
    return Mutant(REFERENCE, name, "bnlib/reference.py", old, new)


MUTANTS = [
    # ---- NumPy, the short path of small batches
    numpy(
        "unbiased variance in the batch (short)",
        "        var = mean(y)\n",
        "        var = mean(y) * len(x) / (len(x) - 1)\n",
    ),
    numpy(
        "E[x²] − E[x]² (short)",
        "        var = mean(y)\n",
        "        var = np.maximum(mean(x * x) - mean(x) ** 2, 0)\n",
    ),
    numpy(
        "ε outside the root (short)",
        "    std = np.sqrt(var + eps)\n    if plan",
        "    std = np.sqrt(var) + eps\n    if plan",
    ),
    numpy("pivot taken for the mean (short)", "        c -= delta  #", "        #"),
    numpy("β forgotten (short)", "        y += beta\n", "        pass\n"),
    numpy(
        "γ missing in dx (short)",
        "mean_x_hat_dy / std, mean_dy, cache.slope, dx)",
        "mean_x_hat_dy / std, mean_dy, 1 / std, dx)",
    ),
    numpy(
        "mean taken as constant (short)",
        "mean_x_hat_dy / std, mean_dy, cache",
        "mean_x_hat_dy / std, None, cache",
    ),
    numpy(
        "variance taken as constant (short)",
        "gradient(c, dy, mean_x_hat_dy / std,",
        "gradient(c, dy, 0 * std,",
    ),
    numpy(
        "statistics detached (short)",
        "    if cache.training:\n        gradient(c",
        "    if False:\n        gradient(c",
    ),
    numpy(
        "1/m missing in dx (short)",
        "mean_x_hat_dy / std, mean_dy, cache",
        "mean_x_hat_dy / std, mean_dy * by.count, cache",
    ),
    numpy(
        "dγ with x in place of x̂ (short)",
        "mean_x_hat_dy * by.count,",
        "mean_x_hat_dy * std * by.count,",
    ),
    numpy("dβ a mean, not a sum (short)", " mean_dy * by.count\n", " mean_dy\n"),
    numpy("input changed in place (short)", "c = x - pivot\n", "c = np.subtract(x, pivot, x)\n"),
    # ---- NumPy, block by block
    numpy(
        "unbiased variance in the batch",
        "var = np.maximum(mean_square - square, 0)",
        "var = np.maximum(mean_square - square, 0) * by.m / (by.m - 1)",
        BLOCKS,
    ),
    numpy(
        "E[x²] − E[x]²",
        "return not np.count_nonzero(square > 9.0 * var)",
        "return True",
        BLOCKS,
    ),
    numpy(
        "a bad pivot kept",
        "        if _is_near(square, var + eps):\n",
        "        if True:\n",
        BLOCKS,
    ),
    numpy(
        "squares beyond float32 kept",
        "if by.dtype != FLOAT64 and math",
        "if False and math",
        BLOCKS,
    ),
    numpy(
        "ε outside the root",
        "    return Statistics(pivot, delta, var, np.sqrt(var + eps))",
        "    return Statistics(pivot, delta, var, np.sqrt(var) + eps)",
        BLOCKS,
    ),
    numpy("β forgotten", "by.spread(b - found.delta * a)", "by.spread(-found.delta * a)", BLOCKS),
    numpy(
        "mean without what the pivot missed",
        "by.spread(b - found.delta * a)",
        "by.spread(b + 0 * a)",
        BLOCKS,
    ),
    numpy(
        "γ missing in dx",
        "k_row[:width], cache.slope[:width], out)",
        "k_row[:width], by.spread(1 / std)[:width], out)",
    ),
    numpy(
        "mean taken as constant",
        "by.spread(mean_dy - q * delta)",
        "by.spread(-q * delta)",
    ),
    numpy(
        "variance taken as constant",
        "        q = mean_x_hat_dy / std\n",
        "        q = 0 * mean_x_hat_dy\n",
    ),
    numpy(
        "statistics detached",
        "    if cache.training:\n        q =",
        "    if False:\n        q =",
    ),
    numpy(
        "1/m missing in dx",
        "        q = mean_x_hat_dy / std\n",
        "        q = mean_x_hat_dy / std * by.m\n",
    ),
    numpy("dγ not centred", "(total(products) - delta * mean_dy)", "(total(products))"),
    numpy("dβ a mean, not a sum", "mean_dy * by.m\n", "mean_dy\n"),
    numpy(
        "the last short row left out",
        "        cuts += [B] if whole < B else []",
        "        # cuts",
        "bnlib/numpy/walk.py",
    ),
    numpy(
        "half precision summed in half",
        '("e", "f"), ("f", "f")',
        '("e", "e"), ("f", "f")',
        CHECKS,
    ),
    # ---- NumPy, modes and buffers
    numpy(
        "running variance biased",
        "1 - momentum, momentum, momentum * m / (m - 1)",
        "1 - momentum, momentum, momentum",
        BATCH,
    ),
    numpy(
        "momentum inverted",
        "    running_mean *= old\n    running_mean += new * found.mean\n",
        "    running_mean *= new\n    running_mean += old * found.mean\n",
        BATCH,
    ),
    numpy(
        "running mean not updated",
        "    running_mean += new * found.mean\n",
        "    running_mean += new * running_mean\n",
        BATCH,
    ),
    numpy(
        "buffers replaced, not updated in place",
        "    running_var *= old\n",
        "    running_var = running_var * old\n",
        BATCH,
    ),
    numpy(
        "buffers updated in evaluation",
        "    if training and running_mean is not None:\n        follow(",
        "    if running_mean is not None:\n        follow(",
        BATCH,
    ),
    numpy(
        "buffers updated by a batch of no values",
        "    if cache.kept.size == 0:\n        return\n",
        "",
        BATCH,
    ),
    numpy(
        "evaluation by batch statistics",
        "None if training else (running_mean, running_var))",
        "None)",
        BATCH,
    ),
    numpy(
        "wrong axis: channels last taken as first",
        "    axis = check_axis(shape, axis)\n    before",
        "    axis = 1\n    before",
        BATCH,
    ),
    numpy(
        "one value per channel accepted",
        "    if training and plan.over.m == 1:",
        "    if False:",
        BATCH,
    ),
    numpy(
        "momentum=None as a fixed momentum",
        "momentum = 1 / (self.num_batches_tracked + 1)",
        "momentum = 0.1",
        BATCH,
    ),
    numpy(
        "batches counted in evaluation",
        "self.num_batches_tracked += bool(self.training)",
        "self.num_batches_tracked += 1",
        BATCH,
    ),
    numpy(
        "running values of a float64 batch lost",
        "            self.running_mean[:], self.running_var[:] = arrays[2:]\n",
        "            pass\n",
        BATCH,
    ),
    numpy(
        "momentum above 1 accepted",
        "    if not 0 <= number <= 1:",
        "    if not 0 <= number:",
        CHECKS,
    ),
    numpy(
        "mixed dtypes accepted",
        "        if given != wanted and",
        "        if False and given != wanted and",
        CHECKS,
    ),
    numpy(
        "masks dropped",
        "    if isinstance(v, np.ma.MaskedArray):",
        "    if False:",
        CHECKS,
    ),
    # ---- NumPy, the other norms
    numpy(
        "variance of a row taken as constant",
        "by.spread(by.mean_product(h, d)), k,",
        "by.spread(0 * by.mean(h)), k,",
    ),
    numpy(
        "mean of a row taken as constant",
        "by.spread(by.mean(d)) if plan.centred else None",
        "None",
    ),
    numpy(
        "a mean taken off dx where none was off x",
        "by.spread(by.mean(d)) if plan.centred else None",
        "by.spread(by.mean(d))",
    ),
    numpy(
        "rms_norm takes the mean off",
        'centred=norm != "rms_norm")',
        "centred=True)",
        "bnlib/numpy/norms.py",
    ),
    numpy(
        "γ missing in dx of the other norms",
        "        if slope is not None:  # dx_hat",
        "        if False:  # dx_hat",
    ),
    numpy(
        "groups of every G-th channel",
        "_by_row, C // groups * L,",
        "_by_row, groups * L,",
        "bnlib/numpy/norms.py",
    ),
    numpy(
        "another norm's cache accepted",
        "if not isinstance(cache, Cache) or cache.plan.norm != norm:",
        "if not isinstance(cache, Cache):",
    ),
    # ---- torch, small batches
    torch(
        "unbiased variance in the batch (small)",
        ".add_(sum_cc, alpha=one_over_m)",
        ".add_(sum_cc, alpha=1 / (values_per_channel(c) - 1))",
    ),
    torch(
        "no pivot (small)",
        "    c = x - pivot\n",
        "    c = x - 0 * pivot\n",
    ),
    torch(
        "mean not taken off (small)",
        "    c.sub_(sum_c, alpha=one_over_m)",
        "    pass",
    ),
    torch(
        "ε outside the root (small)",
        "torch.full_like(sum_cc, eps).add_(sum_cc, alpha=one_over_m).rsqrt_()",
        "1 / ((sum_cc * one_over_m).sqrt() + eps)",
    ),
    torch("γ missing in dx (small)", "out=sums).mul_(a)", "out=sums).mul_(invstd)"),
    torch(
        "1/m missing in dx (small)",
        "alpha=1 / values_per_channel(dy), out=sums",
        "alpha=1, out=sums",
    ),
    torch(
        "mean taken as constant (small)",
        "scale_shift(c, invstd * dgamma, dbeta,",
        "scale_shift(c, invstd * dgamma, 0 * dbeta,",
    ),
    torch(
        "variance taken as constant (small)",
        "scale_shift(c, invstd * dgamma, dbeta,",
        "scale_shift(c, 0 * dgamma, dbeta,",
    ),
    torch("running variance biased (small)", "(sum_cc / (m - 1))", "(sum_cc / m)"),
    torch(
        "running mean without what the pivot missed (small)",
        "torch.add(pivot, sum_c, alpha=1 / m).view(-1)",
        "pivot.reshape(-1)",
    ),
    # ---- torch, the long path
    torch(
        "unbiased variance in the batch",
        ".clamp_min(0) / m\n",
        ".clamp_min(0) / (m - 1)\n",
        "bnlib/torch/_passes.py",
    ),
    torch(
        "E[x²] − E[x]²",
        "(x, statistics_dtype(x.dtype)) / values_per_channel(x)\n",
        "(x, statistics_dtype(x.dtype)) * 0\n",
        "bnlib/torch/_passes.py",
    ),
    torch(
        "ε outside the root",
        "    invstd = torch.rsqrt(var + eps)\n    a = slope(invstd, weight)\n    y =",
        "    invstd = 1 / (torch.sqrt(var) + eps)\n    a = slope(invstd, weight)\n    y =",
    ),
    torch("β forgotten", "torch.addcmul(vector(bias, a), a, delta, value=-1)", "a * -delta"),
    torch(
        "γ missing in dx",
        "    a = slope(invstd, weight)\n    minus",
        "    a = invstd\n    minus",
    ),
    torch(
        "1/m missing in dx",
        "    minus_a_over_m = -one_over_m * a\n",
        "    minus_a_over_m = -a\n",
    ),
    torch(
        "mean taken as constant",
        "torch.addcmul(minus_a_over_m * dbeta, q, delta, value=-1)",
        "-q * delta",
    ),
    torch(
        "variance taken as constant",
        "minus_a_over_m * invstd * invstd * sum_dy_xmu",
        "0 * sum_dy_xmu",
    ),
    torch(
        "dγ with x in place of x̂",
        "return dx, sum_dy_xmu * invstd, dbeta",
        "return dx, sum_dy_xmu, dbeta",
    ),
    torch(
        "dγ not centred",
        "torch.addcmul(sum_dy_c, delta, dbeta, value=-1)",
        "sum_dy_c + 0 * delta",
    ),
    torch(
        "half precision summed in half",
        "return torch.float32 if dtype in HALF else dtype",
        "return dtype",
        "bnlib/torch/_checks.py",
    ),
    torch(
        "input changed in place",
        "        torch.sub(x_block, p, out=c_block)\n        sums.append(channel_sum(c_block))\n",
        "        c_block.copy_(x_block.sub_(p))\n        sums.append(channel_sum(c_block))\n",
        "bnlib/torch/_passes.py",
    ),
    # ---- torch, modes, buffers, derivatives
    torch(
        "running variance biased",
        "pivot + delta, var * (m / (m - 1))\n",
        "pivot + delta, var\n",
        "bnlib/torch/batchnorm.py",
    ),
    torch(
        "momentum inverted",
        "running.lerp_(cast(batch.detach(), running.dtype), weight)",
        "running.lerp_(cast(batch.detach(), running.dtype), 1 - weight)",
        "bnlib/torch/_autograd.py",
    ),
    torch(
        "running mean not updated",
        "            follow(running_mean, mean, momentum)\n",
        "",
        "bnlib/torch/batchnorm.py",
    ),
    torch(
        "running mean without what the pivot missed",
        "mean, unbiased = pivot + delta,",
        "mean, unbiased = pivot,",
        "bnlib/torch/batchnorm.py",
    ),
    torch(
        "evaluation by batch statistics",
        "    if training:\n        return _TrainingMode",
        "    if True:\n        return _TrainingMode",
        "bnlib/torch/batchnorm.py",
    ),
    torch(
        "ε outside the root in evaluation",
        "    a = slope(torch.rsqrt(cast(var, dtype) + eps), weight)\n",
        "    a = slope(1 / (torch.sqrt(cast(var, dtype)) + eps), weight)\n",
    ),
    torch(
        "γ missing in dx of evaluation",
        "dy * per_channel(slope(invstd, weight), x)",
        "dy * per_channel(invstd, x)",
    ),
    torch(
        "second derivatives with the statistics as constants",
        "    return torch.compiler.is_compiling() or not (",
        "    return True or not (",
        "bnlib/torch/_autograd.py",
    ),
    torch(
        "wrong axes: one example's own statistics",
        "    return 0 if x.dim() == 2 else [0, *range(2, x.dim())]\n",
        "    return 1 if x.dim() == 2 else [1, *range(2, x.dim())]\n",
        "bnlib/torch/_passes.py",
    ),
    torch(
        "momentum=None as a fixed momentum",
        "momentum = self.num_batches_tracked.to(mean.dtype).reciprocal()",
        "momentum = 0.1",
        "bnlib/torch/modules.py",
    ),
    torch(
        "batches never counted",
        "            self.num_batches_tracked.add_(1)\n",
        "            pass\n",
        "bnlib/torch/modules.py",
    ),
    # ---- torch, the other norms
    torch(
        "layer norm not centred",
        "        c = x - pivot\n        y, mean",
        "        c = x - 0 * pivot\n        y, mean",
        "bnlib/torch/norms.py",
    ),
    torch(
        "group norm not centred",
        "    pivot = _group_pivots(x, groups)\n",
        "    pivot = 0 * _group_pivots(x, groups)\n",
        "bnlib/torch/norms.py",
    ),
    torch(
        "derivatives of the other norms' backward by torch's kernel",
        "        if unobserved(dy):\n",
        "        if True:\n",
        "bnlib/torch/norms.py",
    ),
    torch(
        "γ missing in dx of the other norms",
        "_affine(dy, *_lined_up(gamma, None, x, groups))",
        "_affine(dy, None, None)",
        "bnlib/torch/norms.py",
    ),
    torch(
        "dγ without x̂ in the other norms",
        "terms = dy * x_hat.reshape(x.shape), dy",
        "terms = dy, dy",
        "bnlib/torch/norms.py",
    ),
    torch(
        "running variance of instance norm biased",
        "var.mean(0) * (values / (values - 1))",
        "var.mean(0)",
        "bnlib/torch/norms.py",
    ),
    torch(
        "running mean of instance norm without the pivot's miss",
        "return pivot.flatten(1) + mean, ",
        "return pivot.flatten(1), ",
        "bnlib/torch/norms.py",
    ),
    torch(
        "mean square taken as constant (RMS)",
        "x.square().mean(",
        "x.detach().square().mean(",
        "bnlib/torch/norms.py",
    ),
    torch(
        "ε outside the root (RMS)",
        "x * torch.rsqrt(mean_square + eps)",
        "x / (mean_square.sqrt() + eps)",
        "bnlib/torch/norms.py",
    ),
    # ---- the textbook
    reference(
        "unbiased variance in the batch",
        "** 2).mean(axis=batch_axes(x))",
        "** 2).sum(axis=batch_axes(x)) / (values_per_channel(x) - 1)",
    ),
    reference(
        "ε outside the root",
        '"var") + eps) ** 0.5\n\n\ndef batch_norm(',
        '"var")) ** 0.5 + eps\n\n\ndef batch_norm(',
    ),
    reference("wrong axes", "return (0, *range(2, x.ndim))", "return (0,)"),
    reference(
        "mean taken as constant",
        "        + per_channel(dmu_B, x) / m  # and the mean\n",
        "",
    ),
    reference(
        "variance taken as constant",
        "        + per_channel(dvar_B, x) * 2 * x_mu / m  # x moves the variance,\n",
        "",
    ),
    reference("γ missing in dx", 'dx_hat = dy * per_channel(gamma, x, "gamma")', "dx_hat = dy"),
    reference("1/m missing in dx", "+ per_channel(dmu_B, x) / m", "+ per_channel(dmu_B, x)"),
    reference(
        "running variance biased",
        "running_var + momentum * var_B * m / (m - 1)",
        "running_var + momentum * var_B",
    ),
    reference(
        "momentum inverted",
        "running_mean = (1 - momentum) * running_mean + momentum * mu_B",
        "running_mean = momentum * running_mean + (1 - momentum) * mu_B",
    ),
    reference(
        "population variance biased",
        "var + var_B * m / (m - 1)",
        "var + var_B",
    ),
    reference(
        "inference without the mean",
        '- a * per_channel(mean, x, "mean")',
        '- 0 * a * per_channel(mean, x, "mean")',
    ),
]


def run_tests(root, targets):
    """(caught, what): whether a test failed, and which; None when no test ran or pytest broke."""
    command = [sys.executable, "-m", "pytest", "-x", "-q", "--tb=no", "-p", "no:cacheprovider"]
    environment = os.environ | {
        "PYTHONPATH": str(root),
        "PYTHONDONTWRITEBYTECODE": "1",
        "OMP_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
    }
    done = subprocess.run(
        [*command, *targets], cwd=root, env=environment, capture_output=True, text=True
    )
    lines = [line for line in done.stdout.splitlines() if line.startswith(("FAILED", "ERROR"))]
    what = lines[0].split(" - ")[0].split("::", 1)[-1] if lines else ""
    if done.returncode in (0, 1):
        return done.returncode == 1, what
    return None, what or done.stdout[-400:] + done.stderr[-400:]


def copy_to(folder):
    """The parts of the repository that the tests need."""
    for name in COPIED:
        source = ROOT / name
        if source.is_dir():
            ignore = shutil.ignore_patterns("__pycache__", ".hypothesis", "browser")
            shutil.copytree(source, folder / name, ignore=ignore)
        else:
            shutil.copy(source, folder / name)


def check(mutant):
    """The mutant's row of the table; mutant None: the unchanged copy, which has to pass."""
    start = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        copy_to(root)
        batches = TESTS[mutant.backend] if mutant else [t for all in TESTS.values() for t in all]
        if mutant:
            mutant.plant(root)
        for targets in batches:
            caught, what = run_tests(root, targets)
            if caught is not False:
                break
    return {
        "backend": mutant.backend if mutant else "",
        "bug": mutant.name if mutant else "(none)",
        "caught": caught,
        "by": what,
        "seconds": round(time.perf_counter() - start, 1),
    }


def line(row):
    verdict = {True: "caught", False: "SURVIVED", None: "BROKEN"}[row["caught"]]
    return f"{row['backend']:10} {row['bug']:52} {verdict:9} {row['by'][:70]}"


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", default="", help="those whose backend or name holds this word")
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    options = parser.parse_args(arguments)
    chosen = [m for m in MUTANTS if options.only in f"{m.backend} {m.name}"]
    stale = [m for m in chosen if not m.fits()]
    if stale:
        sys.exit("no longer in the source, or there twice: " + "; ".join(m.name for m in stale))
    unchanged = check(None)
    if unchanged["caught"] is not False:
        sys.exit(f"the tests fail without any bug planted: {unchanged['by']}")
    rows = []
    with concurrent.futures.ThreadPoolExecutor(options.jobs) as pool:
        for row in pool.map(check, chosen):
            rows.append(row)
            print(line(row), flush=True)
    caught = sum(row["caught"] is True for row in rows)
    print(f"\n{caught} of {len(rows)} bugs caught")
    out = ROOT / ".out"
    out.mkdir(exist_ok=True)
    (out / "mutations.json").write_text(json.dumps(rows, indent=1, ensure_ascii=False))
    sys.exit(caught < len(rows))


if __name__ == "__main__":
    main()
