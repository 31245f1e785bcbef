"""Measure what each notebook takes of a machine: for planning a class on one server.

    make bench ARGS="--kernels"             all notebooks, about six minutes
    make bench ARGS="--kernels 03 12"       these alone

Prints for each notebook, run from its first cell to its last in a fresh kernel with one thread:

start    seconds from starting the kernel to its first answer
set-up   seconds that the first code cell takes: the imports
run      seconds of all the cells, and CPU seconds of them (with the processes that they start)
MB       memory that the kernel holds after the set-up, at the end, and at most (with the processes
         that it starts), as PSS: a page that several processes share counts as a part for each. One
         process that has read the same files keeps running beside it, as in a class others would.

Writes the same to .out/kernels.json. Linux alone: memory is read from /proc.
"""

import json
import subprocess
import sys
import threading
import time
from pathlib import Path

import nbformat
import psutil
from jupyter_client import KernelManager
from jupyter_client.kernelspec import KernelSpec

ROOT = Path(__file__).resolve().parents[2]
NOTEBOOKS = ROOT / "notebooks"
NEIGHBOUR = "import bnlib.course, matplotlib.pyplot, torch; import sys; sys.stdin.read()"
TICK = 0.1  # seconds from one look at the memory to the next


class ThisPython(KernelManager):
    """Whatever kernels are installed elsewhere, the one meant is that of this interpreter."""

    @property
    def kernel_spec(self):
        from ipykernel.kernelspec import get_kernel_dict

        return KernelSpec(**get_kernel_dict())


def megabytes(process):
    """PSS of a process and all that it has started, in MB."""
    total = 0
    for one in [process, *process.children(recursive=True)]:
        try:
            total += one.memory_full_info().pss
        except psutil.NoSuchProcess:
            continue  # it has ended since we asked for the list
    return total / 1e6


class Peak(threading.Thread):
    """Looks at a process's memory, over and over, until it is told to stop."""

    def __init__(self, process):
        super().__init__(daemon=True)
        self.process, self.most, self.done = process, 0.0, threading.Event()

    def run(self):
        while not self.done.wait(TICK):
            try:
                self.most = max(self.most, megabytes(self.process))
            except psutil.NoSuchProcess:
                return

    def stop(self):
        self.done.set()
        self.join()
        return self.most


def cpu_seconds(process):
    """CPU seconds of a process, and of the ones it has started that have ended."""
    times = process.cpu_times()
    return times.user + times.system + times.children_user + times.children_system


def execute(client, source, limit=300):
    """One cell; an error in it ends the benchmark."""
    reply = client.execute_interactive(source, output_hook=lambda message: None, timeout=limit)
    if reply["content"]["status"] != "ok":
        raise RuntimeError(f"{reply['content'].get('evalue')} in the cell\n{source}")


def measure(path):
    """A notebook's figures: dict with start, setup, run, cpu (seconds); ready, end, most (MB)."""
    cells = [c.source for c in nbformat.read(path, 4).cells if c.cell_type == "code"]
    manager, began = ThisPython(), time.perf_counter()
    manager.start_kernel(cwd=str(NOTEBOOKS), extra_arguments=["--log-level=CRITICAL"])
    try:
        client = manager.client()
        client.start_channels()
        client.wait_for_ready(timeout=60)
        execute(client, "0")
        found = {"start": time.perf_counter() - began}
        process = psutil.Process(manager.provisioner.process.pid)
        began, before, peak = time.perf_counter(), cpu_seconds(process), Peak(process)
        execute(client, cells[0])
        found |= {"setup": time.perf_counter() - began, "ready": megabytes(process)}
        peak.start()
        for source in cells[1:]:
            execute(client, source)
        found |= {"run": time.perf_counter() - began, "cpu": cpu_seconds(process) - before}
        found["end"] = megabytes(process)
        found["most"] = max(peak.stop(), found["ready"], found["end"])
        client.stop_channels()
    finally:
        manager.shutdown_kernel(now=True)
    return found


def main(names=(), out=ROOT / ".out"):
    """Measure, print a line for each notebook as it ends, and write kernels.json to `out`."""
    wanted = [name.zfill(2) for name in names]
    paths = sorted(NOTEBOOKS.glob("[0-9][0-9]_*.ipynb"))
    paths = [path for path in paths if not wanted or path.name[:2] in wanted]
    if not paths:
        sys.exit(f"no notebook is named {' '.join(names)}: give numbers, such as 03 12")
    if not Path("/proc/self/smaps_rollup").exists():
        sys.exit("memory is read from /proc, which this system has not: Linux alone")
    neighbour = subprocess.Popen([sys.executable, "-c", NEIGHBOUR], stdin=subprocess.PIPE, cwd=ROOT)
    print("notebook  start  set-up  run  (CPU) s     MB ready   end  most", flush=True)
    report = {}
    try:
        for path in paths:
            row = report[path.name[:2]] = measure(path)
            print(
                f"{path.name[:2]}       {row['start']:6.1f} {row['setup']:7.1f} {row['run']:5.0f}"
                f" {row['cpu']:6.0f}      {row['ready']:7.0f} {row['end']:5.0f} {row['most']:5.0f}",
                flush=True,
            )
    finally:
        neighbour.stdin.close()
        neighbour.wait()
    out.mkdir(exist_ok=True)
    (out / "kernels.json").write_text(json.dumps(report, indent=1))
    print(f"\nalso in {out.name}/kernels.json")
    return report


if __name__ == "__main__":
    main(sys.argv[1:])
