"""Start a script as several processes that know of each other, as torchrun does on one machine.

Imported where torch is there: from bnlib.course.nb12.processes import launch.
"""

import os
import queue
import re
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist

SCRIPT = "script.py"
WORKER = Path(__file__).with_name("_rank.py")
ROOT = Path(__file__).resolve().parents[3]  # where bnlib lies
LAST = 8  # lines of what a dead rank printed are shown


class RankDied(RuntimeError):
    """A rank ended with an error, so that the others were ended, too.

    rank     which one was the first
    printed  str, all that it printed, its traceback included
    """

    def __init__(self, rank, ranks, code, printed):
        last = "\n".join(printed.rstrip().splitlines()[-LAST:])
        said = f"It printed last:\n{last}" if last else "It printed nothing."
        super().__init__(
            f"rank {rank} of {ranks} died ({_cause(code)}); the others were ended. {said}"
        )
        self.rank, self.printed = rank, printed


class RanksHang(TimeoutError):
    """Some ranks did not end in time, so that all were ended. ranks: which ones"""

    def __init__(self, where, seconds):
        places = "; ".join(f"rank {rank} {place}" for rank, place in where.items())
        super().__init__(f"not done after {seconds:g} s, all ranks were ended: {places}")
        self.ranks = [*where]


@dataclass(frozen=True)
class Rank:
    """What a rank left: saved, by torch.save(…, f"rank{rank}.pt") or None; printed, a str."""

    saved: Any
    printed: str


def launch(script, ranks, *, seconds=240, **given):
    """Run a script in several processes at once and bring back what each of them saved.

    script   str, the text of a Python program
    ranks    how many processes; they are numbered from 0
    seconds  after which all are ended
    given    what the script finds in "given.pt", by name

    Each process finds RANK, WORLD_SIZE, LOCAL_RANK, MASTER_ADDR and MASTER_PORT in its environment,
    as from torchrun, so that torch.distributed.init_process_group() asks for nothing more. Its
    folder is a temporary one that all ranks share; in it a rank may save "rank0.pt", "rank1.pt", ….
    The processes meet at a free port of 127.0.0.1, which this process holds, as torchrun does.

    Nothing stays behind: when a rank dies, when the time is over, on Ctrl-C and when this process
    is killed, every rank ends.

    Returns a list of Rank. Raises RankDied with what the first dead rank printed, and RanksHang
    (a TimeoutError) with the line at which each rank stood.

    >>> found = launch("import os; print(os.environ['RANK'], os.environ['WORLD_SIZE'])", 2)
    >>> [rank.printed for rank in found]
    ['0 2\\n', '1 2\\n']
    """
    if not isinstance(ranks, int) or ranks < 1:
        raise ValueError(f"ranks is {ranks!r}; expected a whole number from 1 on")
    with tempfile.TemporaryDirectory(prefix="bnlib-", ignore_cleanup_errors=True) as folder:
        folder = Path(folder)
        (folder / SCRIPT).write_text(script, encoding="utf-8")
        torch.save(given, folder / "given.pt")
        store, processes = _store(), []
        try:
            for rank in range(ranks):
                processes.append(_start(rank, ranks, store.port, folder, seconds))
            _wait(processes, folder, seconds)
        finally:
            for process in processes:
                process.kill()
                process.stdin.close()
            for process in processes:
                process.wait()
            store = None  # closes the port: no traceback keeps it open
        return [Rank(_saved(folder, rank), _printed(folder, rank)) for rank in range(ranks)]


def _store():
    """Where the ranks meet, on a free port of this machine alone; closed when it is let go."""
    if os.name != "posix":  # there torch takes no socket from outside
        return dist.TCPStore(
            "127.0.0.1", 0, is_master=True, wait_for_workers=False, use_libuv=False
        )
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(128)
        port = listener.getsockname()[1]
        return dist.TCPStore(
            "127.0.0.1", port, is_master=True, wait_for_workers=False,
            master_listen_fd=listener.detach(),
        )  # fmt: skip


def _start(rank, ranks, port, folder, seconds):
    """A process that runs the script as this rank; what it prints goes to a file."""
    environment = os.environ | {
        "RANK": str(rank), "LOCAL_RANK": str(rank),
        "WORLD_SIZE": str(ranks), "LOCAL_WORLD_SIZE": str(ranks),
        "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port),
        "TORCHELASTIC_USE_AGENT_STORE": "True",  # the launcher holds the port
        "TORCHELASTIC_RESTART_COUNT": "0",
        "USE_LIBUV": str(int(os.name == "posix")),
        "OMP_NUM_THREADS": "1",
        "PYTHONUNBUFFERED": "1", "PYTHONIOENCODING": "utf-8",
        "PYTHONPATH": os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")])),
        **loopback(),
    }  # fmt: skip
    command = [sys.executable, str(WORKER), SCRIPT, str(0.9 * seconds)]
    with open(folder / f"rank{rank}.txt", "wb") as printed:
        return subprocess.Popen(
            command, cwd=folder, env=environment,
            stdin=subprocess.PIPE, stdout=printed, stderr=subprocess.STDOUT,
        )  # fmt: skip


def loopback():
    """Keep gloo and NCCL on this machine, where they can be told to."""
    names = [name for _, name in socket.if_nameindex()] if hasattr(socket, "if_nameindex") else []
    here = [name for name in names if name in ("lo", "lo0")]
    return {"GLOO_SOCKET_IFNAME": here[0], "NCCL_SOCKET_IFNAME": here[0]} if here else {}


def _wait(processes, folder, seconds):
    """Return when all have ended well; raise at the first that did not, or when time is over."""
    ended = queue.SimpleQueue()  # (rank, exit code), in the order in which they end

    def watch(rank, process):
        ended.put((rank, process.wait()))

    for rank, process in enumerate(processes):
        threading.Thread(target=watch, args=(rank, process), daemon=True).start()
    running, limit = dict(enumerate(processes)), time.monotonic() + seconds
    while running:
        try:
            rank, code = ended.get(timeout=max(0, limit - time.monotonic()))
        except queue.Empty:
            where = {rank: _place(_printed(folder, rank), folder) for rank in running}
            raise RanksHang(where, seconds) from None
        if code:
            raise RankDied(rank, len(processes), code, _printed(folder, rank))
        del running[rank]


def _printed(folder, rank):
    return (folder / f"rank{rank}.txt").read_text(encoding="utf-8", errors="replace")


def _saved(folder, rank):
    file = folder / f"rank{rank}.pt"
    return torch.load(file, weights_only=False) if file.is_file() else None


def _place(printed, folder):
    """Where a rank that hangs stood, from the lines that faulthandler printed."""
    numbers = re.findall(rf'File "{SCRIPT}", line (\d+)', printed.rpartition("Timeout (")[2])
    if not numbers:
        return "had not come to a line of the script"
    here = numbers[0]  # the most recent call comes first
    line = (folder / SCRIPT).read_text(encoding="utf-8").splitlines()[int(here) - 1]
    return f"at line {here}, `{line.strip()}`"


def _cause(code):
    """An exit code in words; a negative one is the signal that ended the process."""
    if code >= 0:
        return f"exit code {code}"
    try:
        return f"killed by {signal.Signals(-code).name}"
    except ValueError:
        return f"killed by signal {-code}"
