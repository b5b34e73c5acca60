"""Children of a process that has imported torch once (`warm`), to be killed, starved or stopped."""

import io
import itertools
import json
import multiprocessing
import os
import resource
import runpy
import signal
import sys
import time
from dataclasses import dataclass
from multiprocessing import forkserver
from pathlib import Path
from typing import Any
from unittest import mock


@dataclass(frozen=True)
class Ended:
    """How a child ended: its exit status, or minus the signal that killed it; and what it wrote."""

    status: int
    said: str


class Forks:
    """Starts and ends children; what they write goes to files in a folder.

    A job has one of ``train`` (arguments of `kmgan_lib.train`), ``cli`` (words behind ``kmgan``) and ``sweep``, and
    faults: ``limit`` (no file may be longer), ``slow`` (seconds more for a step), ``die_at`` (of all moments at which a
    checkpoint is half written or a file changes its name, the one at which the child kills itself), ``die_writing``
    (the checkpoint within whose write it does), ``share`` (of a half-written file that is on the disk by then).
    """

    def __init__(self, folder: Path) -> None:
        self.folder, self.children = folder, dict[int, Any]()
        path = os.pathsep.join([str(Path(__file__).parent), *sys.path])
        with mock.patch.dict(os.environ, PYTHONPATH=path, CUDA_VISIBLE_DEVICES=""):
            forkserver.set_forkserver_preload(["warm"])
            forkserver.ensure_running()

    def start(self, **job: Any) -> int:
        """Start a child; its process number."""
        said = self.folder / str(len(self.children))
        child = multiprocessing.get_context("forkserver").Process(
            target=runpy.run_path, args=(__file__, {"given": (job, said)}, "__main__")
        )
        child.start()
        assert child.pid is not None
        self.children[child.pid] = child, said
        return child.pid

    def wait(self, pid: int, kill_after: float | None = None) -> Ended:
        """Wait for the end of a child, which is killed after so many seconds."""
        child, said = self.children[pid]
        if kill_after is not None:
            time.sleep(kill_after)
            child.kill()
        child.join()
        return Ended(child.exitcode, said.read_text() if said.exists() else "")

    def run(self, **job: Any) -> Ended:
        return self.wait(self.start(**job))


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


def do(job: dict[str, Any], said: Path) -> None:
    """What a child does; an exception is its exit status 1, and the parent reads of it."""
    file = os.open(said, os.O_WRONLY | os.O_CREAT)
    os.dup2(file, 1)
    os.dup2(file, 2)
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

        main(job["cli"])
    elif "sweep" in job:
        from kmgan_book import sweep
        from kmgan_book.claims import RunSpec

        given = job["sweep"]
        sys.executable = given["executable"]
        plan = [RunSpec(*run) for run in given["plan"]]
        outcomes = sweep.sweep(plan, runs=Path(given["runs"]), results=Path(given["results"]))
        print(json.dumps([[o.run.preset, o.run.seed, o.status, o.error] for o in outcomes]))
    else:
        from kmgan_lib import train

        train(**{"profile": "smoke", "device": "cpu", **job["train"]})


if __name__ == "__main__":
    try:
        do(*globals()["given"])
    except KeyboardInterrupt:
        sys.exit(130)
