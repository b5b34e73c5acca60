"""A process that has imported torch once and forks a child for each job, to be killed, starved or stopped.

Run as a script it is that process: jobs come in as lines of JSON, answers go out. `Forks` is the other end.
"""

import io
import itertools
import json
import os
import resource
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Ended:
    """How a child ended: its exit status, or minus the signal that killed it; and what it wrote."""

    status: int
    said: str


class Forks:
    """Starts and ends children; one at a time is waited for.

    A job has one of ``train`` (arguments of `kmgan_lib.train`), ``cli`` (words behind ``kmgan``) and ``sweep``, and
    faults: ``limit`` (no file may be longer), ``slow`` (seconds more for a step), ``die_at`` (of all moments at which a
    checkpoint is half written or a file changes its name, the one at which the child kills itself), ``die_writing``
    (the checkpoint within whose write it does), ``share`` (of a half-written file that is on the disk by then).
    """

    def __init__(self) -> None:
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path]), "CUDA_VISIBLE_DEVICES": ""}
        pipes: Any = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        self.server: Any = subprocess.Popen([sys.executable, __file__], env=environment, **pipes)

    def _ask(self, **question: Any) -> Any:
        self.server.stdin.write(json.dumps(question) + "\n")
        self.server.stdin.flush()
        return json.loads(self.server.stdout.readline())

    def start(self, **job: Any) -> int:
        """Start a child; its process number."""
        return self._ask(start=job)

    def wait(self, pid: int, kill_after: float | None = None) -> Ended:
        """Wait for the end of a child, which is killed after so many seconds."""
        if kill_after is not None:
            time.sleep(kill_after)
            os.kill(pid, signal.SIGKILL)  # nobody else has the number of one that has ended by then: it waits for us
        return Ended(*self._ask(wait=pid))

    def run(self, **job: Any) -> Ended:
        return self.wait(self.start(**job))

    def close(self) -> None:
        self.server.stdin.close()
        self.server.wait()
        self.server.stdout.close()


def fragile(die_at: int, die_writing: int, share: float) -> None:
    """Make this process die at a moment of its writing, or within the write of a checkpoint, counted from 1."""
    import torch

    moments, checkpoints = itertools.count(1), itertools.count(1)
    save, write, replace = torch.save, Path.write_bytes, os.replace

    def die() -> None:
        os.kill(os.getpid(), signal.SIGKILL)  # as a machine without power: nothing is tidied up

    def saving(state: Any, path: Any) -> None:
        if next(moments) == die_at or next(checkpoints) == die_writing:
            whole = io.BytesIO()
            save(state, whole)
            write(Path(path), whole.getvalue()[: int(share * whole.tell())])
            die()
        save(state, path)

    def replacing(*paths: Any) -> None:
        if next(moments) == die_at:
            die()
        replace(*paths)
        if next(moments) == die_at:
            die()

    torch.save, os.replace = saving, replacing  # pyright: ignore[reportAttributeAccessIssue]


def do(job: dict[str, Any]) -> int:
    """The exit status of a job."""
    if "slow" in job:  # so that a signal finds the process at work
        from kmgan_lib.methods import KMGAN

        step: Any = KMGAN.step
        KMGAN.step = lambda *given: time.sleep(job["slow"]) or step(*given)  # pyright: ignore[reportAttributeAccessIssue]
    if "share" in job:
        fragile(job.get("die_at", 0), job.get("die_writing", 0), job["share"])
    if "limit" in job:
        resource.setrlimit(resource.RLIMIT_FSIZE, (job["limit"], job["limit"]))
    if "cli" in job:
        from kmgan_lib.cli import main

        try:
            main(job["cli"])
        except SystemExit as end:
            return int(str(end.code))
    elif "sweep" in job:
        from kmgan_book import sweep
        from kmgan_book.claims import Needed

        given = job["sweep"]
        sys.executable = given["executable"]
        plan = [Needed(*run) for run in given["plan"]]
        outcomes = sweep.sweep(plan, runs=Path(given["runs"]), results=given["results"] and Path(given["results"]))
        print(json.dumps([[o.run.preset, o.run.seed, o.status, o.error] for o in outcomes]))
    else:
        from kmgan_lib import train

        train(**{"profile": "smoke", "device": "cpu", **job["train"]})
    return 0


def child(job: dict[str, Any], said: Path) -> None:
    """Never returns."""
    status = 99
    try:
        file = os.open(said, os.O_WRONLY | os.O_CREAT)
        os.dup2(file, 1)
        os.dup2(file, 2)
        status = do(job)
    except KeyboardInterrupt:
        status = 130
    except BaseException:  # whatever it is, the parent hears of it
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


def serve(place: Path) -> None:
    import torch

    torch.set_num_threads(1)  # threads do not survive a fork
    import kmgan_book.sweep  # noqa: F401
    from kmgan_lib import train
    from kmgan_lib.methods import base

    base.NORM_BATCHES = 2  # of every checkpoint's generator; most of the time of a run as short as these
    # A first run loads what PyTorch loads when it is first needed: once here, not in every child. It starts no threads.
    sizes: dict[str, Any] = {"batch": 8, "iterations": 2, "snapshots": 1, "width": 0.125, "init_images": 60}
    train("digits/kmgan", profile="smoke", device="cpu", out=place / "first", **sizes)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for line in sys.stdin:
        question = json.loads(line)
        if "start" in question:
            answer = os.fork()
            if answer == 0:
                child(question["start"], place / str(os.getpid()))
        else:
            said = place / str(question["wait"])
            status = os.waitpid(question["wait"], 0)[1]
            answer = [os.waitstatus_to_exitcode(status), said.read_text() if said.exists() else ""]
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        serve(Path(folder))
