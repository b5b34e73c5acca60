"""Many runs, one process each: planned, trained, measured and recorded, those that the ledger lacks first."""

import contextlib
import fnmatch
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed, wait
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kmgan_book import claims, records
from kmgan_book.claims import RunSpec
from kmgan_lib import files, presets
from kmgan_lib.errors import DirectoryInUse, UsageError, shorten
from kmgan_lib.training.run import Run

RUNS = Path("runs")
GRACE = 120.0  # seconds that a run has to write its checkpoint when the time is up
INTERRUPTED = 130  # exit status


def seconds(text: str) -> float:
    """Seconds of a time such as ``90s``, ``25m`` or ``3h``; raises `UsageError` for anything else."""
    with contextlib.suppress(ValueError):
        amount = float(text[:-1]) * {"s": 1, "m": 60, "h": 3600}.get(text[-1:], 0)
        if 0 < amount < float("inf"):
            return amount
    raise UsageError(f"{text}: write a time as 90s, 25m or 3h")


def shard_of(text: str) -> tuple[int, int]:
    """Numbers i and n of a shard ``i/n``, the i-th of n parts; raises `UsageError` for anything else."""
    first, _, count = text.partition("/")
    if not (first.isdecimal() and count.isdecimal() and len(text) < 20 and 1 <= int(first) <= int(count)):
        raise UsageError(f"--shard {shorten(text)}: write i/n, such as 1/8 to 8/8")
    return int(first), int(count)


def planned(
    profile: str, *, only: Sequence[str] = (), seeds: Sequence[int] | None = None, results: Path = records.RESULTS,
    shard: tuple[int, int] = (1, 1),
) -> list[RunSpec]:  # fmt: skip
    """The runs that a sweep has to do, the most valuable first.

    These are the presets whose names match `only`, such as ``cifar10/*``, with `seeds` (0 by default); without
    patterns, what the ledger of claims lacks, with these seeds if any are given. Runs that have a record in `results`
    are left out, unless the ledger reads a measure that the record lacks.

    A shard (i, n) is the i-th of n parts. The runs that there would be without any record are dealt to the parts in
    turn, so that each machine's part stays the same while others record theirs.
    """
    i, n = shard
    if n > 1:
        whole = planned(profile, only=only, seeds=seeds, results=results / "none")
        part = set(whole[i - 1 :: n])
        return [run for run in planned(profile, only=only, seeds=seeds, results=results) if run in part]
    if profile not in presets.PROFILES:
        raise UsageError(f"unknown profile {profile} (one of {', '.join(presets.PROFILES)})")
    for seed in seeds or ():
        if not 0 <= seed < 2**31:
            raise UsageError(f"seed={seed} must be between 0 and {2**31 - 1}")
    lacking = claims.missing_runs(profile, results=results)
    if not only:
        return [run for run in lacking if seeds is None or run.seed in seeds]
    matching = {pattern: fnmatch.filter(presets.PRESETS, pattern) for pattern in only}
    for pattern in (pattern for pattern, names in matching.items() if not names):
        raise UsageError(f"no preset matches {pattern} (`kmgan list` shows all)")
    names = [name for found in matching.values() for name in found]
    runs = dict.fromkeys(RunSpec(name, profile, seed) for seed in seeds or (0,) for name in names)
    recorded = {run for run in runs if records.place(*run, results=results).exists()}
    return [run for run in runs if run not in recorded - set(lacking)]


@dataclass
class Outcome:
    """How one run in its `directory` ended, with the content of ``result.json``, empty if there is none.

    The status is ``completed``, ``diverged``, ``failed`` (with the reason in ``error``), ``unfinished``: the time was
    up, or ``taken``: another process is doing it, or has recorded it (``error`` says which).
    """

    run: RunSpec
    directory: Path
    status: str
    error: str
    result: dict[str, Any]


def read_result(directory: Path) -> dict[str, Any]:
    """``result.json``; empty if it is missing, or garbled, which the run's own process will report."""
    with contextlib.suppress(UsageError):
        return files.read_json(directory / files.RESULT)
    return {}


def missing_measures(measures: Sequence[str], result: Mapping[str, Any]) -> list[str]:
    """Those of the measures that the result does not have."""
    return [name for name in measures if name not in result.get("metrics", {})]


class _Children:
    """Processes of the library; none starts any more once `stop` was called."""

    def __init__(self, threads: int, data_root: Path | None):
        self.environment = {"OMP_NUM_THREADS": str(threads), **os.environ, "KMGAN_PROGRESS": "0"}
        self.data = ["--data-root", str(data_root)] if data_root else []
        self.begun, self.stopped, self.gate = list[subprocess.Popen[bytes]](), False, threading.Lock()

    def run(self, log: Path, *words: str) -> int:
        """The exit status of a command, which writes to the log."""
        with self.gate, log.open("ab") as file:
            if self.stopped:
                return INTERRUPTED
            process = subprocess.Popen(
                [sys.executable, "-m", "kmgan_lib", *words, *self.data], stdin=subprocess.DEVNULL, stdout=file,
                stderr=file, env=self.environment, start_new_session=True,
            )  # fmt: skip
            self.begun.append(process)
        return process.wait()

    def stop(self) -> None:
        """Ask all processes to write a checkpoint and end. A process that is still starting up just ends.

        SIGINT would not do: a process that a shell started in the background ignores it until training handles it.
        """
        with self.gate:
            self.stopped = True
        for process in self.begun:
            process.terminate()

    def outcome(self, run: RunSpec, measures: Sequence[str], directory: Path, device: str) -> Outcome:
        """The outcome of a run: training, then the measures that the ledger needs beyond those of every training."""
        log = directory.with_name(f"{directory.name}.log")
        words = ["--profile", run.profile, "--seed", str(run.seed), "--out", str(directory), "--device", device]
        code = self.run(log, "train", run.preset, *words, "--resume")
        missing = missing_measures(measures, read_result(directory))
        if not code and missing:
            code = self.run(log, "evaluate", str(directory), *(word for name in missing for word in ("--only", name)))
        result = read_result(directory)
        status = result.get("status", "")
        if status == "diverged" or (status == "completed" and not code and not missing_measures(measures, result)):
            return Outcome(run, directory, status, "", result)
        if self.stopped or code in (INTERRUPTED, -signal.SIGINT, -signal.SIGTERM):
            return Outcome(run, directory, "unfinished", "", result)
        lines = log.read_text("utf8", "replace").strip().splitlines() or [f"exit status {code}"]
        if code == DirectoryInUse.status:
            return Outcome(run, directory, "taken", lines[-1].removeprefix("kmgan: "), result)
        return Outcome(run, directory, "failed", f"ended by signal {-code}" if code < 0 else lines[-1], result)


def sweep(
    plan: Sequence[RunSpec], *, runs: Path = RUNS, results: Path | None = records.RESULTS, jobs: int = 1,
    budget: float = float("inf"), device: str = "auto", data_root: Path | None = None,
    report: Callable[[Outcome], None] = lambda _: None,
) -> list[Outcome]:  # fmt: skip
    """Train, measure and record the runs of a plan, one process each, and report how each ended.

    A run that was begun before continues from its checkpoint, and one that another process is doing, or has done since,
    is left to it: sweeps may share their folders. When the `budget` in seconds is up, nothing new starts, and what is
    running writes a checkpoint and stops; the same sweep can continue it later.

    Run directories and logs go to `runs`, records to `results`, if any. The CPU's cores are divided among `jobs`
    simultaneous runs; `device` and `data_root` are as in `kmgan_lib.train`.
    """
    if jobs < 1:
        raise UsageError(f"jobs={jobs} must be at least 1")
    ledger, outcomes = claims.load(), dict[Future[Outcome], Outcome]()
    children = _Children(max(1, (os.cpu_count() or 1) // jobs), data_root)

    def do(run: RunSpec) -> Outcome:
        directory = records.place(*run, results=runs)
        directory.parent.mkdir(parents=True, exist_ok=True)
        measures = claims.measures_of(run.preset, run.profile, ledger)
        try:
            with files.held(directory.with_name(f".{directory.name}.lock")):
                done = {} if results is None else read_result(records.place(*run, results=results))
                if done.get("status") == "diverged" or (done and not missing_measures(measures, done)):
                    return Outcome(run, directory, "taken", "it is recorded already, by another process maybe", done)
                outcome = children.outcome(run, measures, directory, device)
                trained = outcome.status == "failed" and outcome.result.get("metrics")  # it only lacks a measure
                if results is not None and (trained or outcome.status in ("completed", "diverged")):
                    records.save(Run.open(directory), results=results)
                return outcome
        except DirectoryInUse as error:
            return Outcome(run, directory, "taken", str(error), {})

    def tell(ended: Iterable[Future[Outcome]]) -> None:
        for each in ended:
            if each not in outcomes:
                outcomes[each] = each.result()
                report(outcomes[each])

    with contextlib.ExitStack() as stack:
        if threading.current_thread() is threading.main_thread():  # SIGTERM acts like Ctrl-C: it stops the runs first
            before = signal.signal(signal.SIGTERM, signal.default_int_handler)
            stack.callback(signal.signal, signal.SIGTERM, before)
        pool = stack.enter_context(ThreadPoolExecutor(jobs))
        waiting = list[Future[Outcome]]()
        try:
            waiting.extend(pool.submit(do, run) for run in plan)
            with contextlib.suppress(TimeoutError):
                tell(as_completed(waiting, min(budget, threading.TIMEOUT_MAX / 2)))
        finally:
            begun = [each for each in waiting if not each.cancel()]
            try:
                children.stop()
                wait(begun, GRACE)
            finally:  # the grace period is over, or a second signal came: nothing is left behind
                for process in children.begun:
                    process.kill()
        tell(begun)
    return list(outcomes.values())
