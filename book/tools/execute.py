"""Execute the chapters of a profile, a few at a time, and keep what came out."""

import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import nbformat
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from book.tools.profiles import Profile

PROJECT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Outcome:
    """How one chapter's execution went; kept beside its executed copy."""

    chapter: str
    seconds: float
    finished: str
    fingerprint: str
    parameters: dict[str, Any]
    failure: str | None = None


def fingerprint(source: Path, parameters: dict[str, Any]) -> str:
    """Return a hash of what a chapter's outputs depend on: its cells and its parameters."""
    notebook = nbformat.read(source, as_version=4)
    text = json.dumps([[cell.source for cell in notebook.cells], parameters], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def last_outcome(folder: Path, chapter: str) -> Outcome | None:
    """Return how the kept executed copy of a chapter was made, or None where there is none."""
    note = folder / "executed" / f"{chapter}.json"
    if not note.exists():
        return None
    return Outcome(**json.loads(note.read_text(encoding="utf8")))


def environment(workers: int) -> dict[str, str]:
    """Return the environment of the kernels: cores shared out among them, byte code kept."""
    values = {key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"}
    threads = str(max(1, (os.cpu_count() or 1) // workers))
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        values[name] = threads
    values["KMGAN_PROGRESS"] = "0"  # bars are for people who wait, not for pages
    # The debugger that Jupyter offers warns about frozen modules on each start.
    values["PYDEVD_DISABLE_FILE_VALIDATION"] = "1"
    return values


class Runner:
    """Executes chapters into ``folder``: ``executed/`` holds the good copies, ``failed/`` the others."""

    def __init__(self, folder: Path, profile: Profile, console: Console) -> None:
        self.folder = folder
        self.profile = profile
        self.console = console
        self.environment: dict[str, str] = {}
        # On a terminal a moving bar a chapter; elsewhere (a CI log) only the lines said below.
        columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
        self.progress = Progress(
            *columns, TimeElapsedColumn(), console=console, transient=True, disable=not console.is_terminal
        )

    def say(self, text: str, style: str | None = None) -> None:
        """Print one line as it is, however long."""
        self.console.print(text, style=style, markup=False, highlight=False, soft_wrap=True)

    def run(self, sources: Iterable[Path]) -> list[Outcome]:
        """Execute the chapters; a failure does not stop the others."""
        sources = list(sources)
        workers = min(self.profile.workers, len(sources))
        self.environment = environment(workers)
        for name in ("executed", "failed", "running"):
            (self.folder / name).mkdir(parents=True, exist_ok=True)
        self.say(f"profile {self.profile.name}: executing {len(sources)} chapters, {workers} at a time")
        with self.progress, ThreadPoolExecutor(workers) as pool:
            return list(pool.map(self.chapter, sources))

    def chapter(self, source: Path) -> Outcome:
        """Execute one chapter and file what came out."""
        name, parameters = source.stem, self.profile.chapters[source.stem]
        running = self.folder / "running" / source.name
        running.unlink(missing_ok=True)
        if not self.console.is_terminal:
            self.say(f"  {name:<14} started")
        began = time.monotonic()
        where, error = self._watch(source, running, parameters)
        outcome = Outcome(
            chapter=name,
            seconds=round(time.monotonic() - began, 1),
            finished=datetime.now(UTC).isoformat(timespec="seconds"),
            fingerprint=fingerprint(source, parameters),
            parameters=parameters,
            failure=f"{where}: {error['error']}" if error else None,
        )
        self._file(outcome, running, error)
        return outcome

    def _watch(self, source: Path, running: Path, parameters: dict[str, Any]) -> tuple[str, dict[str, str] | None]:
        """Run the engine's process; return where it got to and, where it failed, its last event."""
        job = {"source": str(source), "output": str(running), "parameters": parameters, "profile": self.profile.name}
        job |= {name: getattr(self.profile, name) for name in ("cell_timeout", "start_timeout")}
        where, last = "before its first cell", {}
        task = self.progress.add_task(source.stem, total=None)
        log = running.with_suffix(".log")
        with (
            # A kernel that is stopped at once removes nothing of its own.
            tempfile.TemporaryDirectory(prefix="kmgan-", ignore_cleanup_errors=True) as scratch,
            log.open("w", encoding="utf8") as stderr,
            subprocess.Popen(
                [sys.executable, "-m", "book.tools.engine"],
                cwd=PROJECT,
                env={**self.environment, "TMPDIR": scratch},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=stderr,
                text=True,
                encoding="utf8",
            ) as process,  # fmt: skip
        ):
            assert process.stdin is not None
            assert process.stdout is not None
            process.stdin.write(json.dumps(job))
            process.stdin.close()
            for text in process.stdout:
                if not text.endswith("\n"):
                    break  # its process was killed within a line
                last = json.loads(text)
                if "cell" in last:
                    where = f"cell {last['cell']} ({last['line']})"
                    self.progress.update(task, completed=last["cell"] - 1, total=last["of"])
        self.progress.remove_task(task)
        if "done" in last:
            return where, None
        if "error" not in last:
            last = {"error": f"its process ended with status {process.returncode}", "traceback": log.read_text("utf8")}
        return where, last

    def _file(self, outcome: Outcome, running: Path, error: dict[str, str] | None) -> None:
        """Put the executed copy where it belongs and say how the chapter ended."""
        name = outcome.chapter
        kept = self.folder / "failed" / running.name
        if error is None:
            # Whole or not at all: a build killed here leaves nothing that the next one cannot read.
            note = running.with_suffix(".json")
            note.write_text(json.dumps(asdict(outcome), indent=1), encoding="utf8")
            running.replace(self.folder / "executed" / running.name)
            note.replace(self.folder / "executed" / f"{name}.json")
            kept.unlink(missing_ok=True)
            kept.with_suffix(".txt").unlink(missing_ok=True)
            self.say(f"  {name:<14} done    {outcome.seconds:6.1f} s", style="green")
            return
        if running.exists():
            shutil.move(running, kept)
        report = kept.with_suffix(".txt")
        report.write_text(f"{name}: {outcome.failure}\n\n{error['traceback']}\n", encoding="utf8")
        summary = " ".join(str(outcome.failure).split())
        self.say(f"  {name:<14} FAILED  {outcome.seconds:6.1f} s  {summary}", style="red")
        self.say(f"  {'':<14} its notebook: {kept}, the traceback: {report}")
