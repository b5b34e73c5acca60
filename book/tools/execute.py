"""Execute the chapters of a profile with papermill, a few at a time, and keep the results."""

import ast
import asyncio
import hashlib
import html
import json
import os
import shutil
import sys
import tempfile
import time
import traceback
import uuid
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import nbformat
import papermill
from jupyter_core.utils import ensure_event_loop
from papermill.clientwrap import PapermillNotebookClient
from papermill.engines import NBClientEngine, papermill_engines
from papermill.exceptions import PapermillExecutionError
from rich.console import Console
from rich.progress import Progress

from book.tools.profiles import Profile, tagged

PROJECT = Path(__file__).resolve().parents[2]
INJECTED = "injected-parameters"
UNSEEN = "remove-cell"  # on the page, not in the notebook
WIDGET_VIEW = "application/vnd.jupyter.widget-view+json"


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
    """Return how the kept executed copy of a chapter was made, or None if there is none."""
    note = folder / "executed" / f"{chapter}.json"
    return Outcome(**json.loads(note.read_text(encoding="utf8"))) if note.exists() else None


class ChapterEngine(NBClientEngine):
    """papermill's engine with two changes.

    Its client has no registry of widgets. With one, nbclient answers messages of `Output` widgets and hangs in about
    one run in four on `interact` (nteract/papermill#723, jupyter/nbclient#312). Without one, the first picture of an
    interaction is an ordinary output, which is also what a page without a kernel can show.

    Its kernel has sockets with a unique name. Free TCP ports are looked up before a kernel starts, so that any process
    may take one in between; a kernel without its iopub port stays alive and never answers. Only Linux has sockets
    without a file, hence without a limit on the length of a folder's name.
    """

    @classmethod
    def execute_managed_notebook(  # type: ignore[override]  # papermill passes everything by keyword
        cls, nb_man: Any, kernel_name: str, *, options: dict[str, Any], process: dict[str, Any], kernels: list[Any],
        **_: Any,
    ) -> Any:  # fmt: skip
        """Execute the manager's notebook with a client of these options and a kernel, which is added to ``kernels``.

        ``process`` says how the kernel is started.
        """
        client = PapermillNotebookClient(nb_man, kernel_name=kernel_name, **options)
        client.widget_registry = {}
        manager: Any = client.create_kernel_manager()
        if sys.platform == "linux":
            manager.transport, manager.ip = "ipc", f"@kmgan-{uuid.uuid4()}"
        kernels.append(manager)
        return client.execute(**process)


papermill_engines.register("book", ChapterEngine)


def environment(workers: int) -> dict[str, str]:
    """Return the environment of the kernels: cores divided among them, byte code kept."""
    values = {key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"}
    threads = str(max(1, (os.cpu_count() or 1) // workers))
    values |= dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), threads)
    values["KMGAN_PROGRESS"] = "0"  # progress bars are for people who wait, not for pages
    # The debugger that Jupyter offers warns about frozen modules on each start.
    values["PYDEVD_DISABLE_FILE_VALIDATION"] = "1"
    return values


def run_with(cells: list[nbformat.NotebookNode]) -> str:
    """The parameters of a run as one line for the foot of its page; injected ones come last and override."""
    given = {}
    for statement in ast.parse("\n".join(cell.source for cell in cells)).body:
        if isinstance(statement, ast.AnnAssign | ast.Assign) and statement.value:
            target = statement.target if isinstance(statement, ast.AnnAssign) else statement.targets[0]
            given[ast.unparse(target)] = ast.unparse(statement.value)
    texts = ", ".join(f"<code>{html.escape(f'{name} = {value}')}</code>" for name, value in given.items())
    return f'<p class="run-with">This page was run with {texts}.</p>'


def tidy(path: Path) -> None:
    """Make an executed notebook fit for readers.

    Views of widgets whose kernel has ended are removed if the same output holds pictures: a reader would see an error
    in their place. Instead of the cells of parameters the page has a line at its foot.
    """
    notebook = nbformat.read(path, as_version=4)
    injected = tagged(notebook, INJECTED)
    for cell in injected:
        cell["id"] = INJECTED  # not random: the same build gives the same file
    if parameters := tagged(notebook, "parameters") + injected:
        for cell in parameters:
            cell.metadata["tags"] = [*cell.metadata["tags"], UNSEEN]
        notebook.cells.append(nbformat.v4.new_markdown_cell(run_with(parameters), id="run-with"))
    for output in (output for cell in notebook.cells for output in cell.get("outputs", [])):
        if {WIDGET_VIEW, "text/html"} <= set(output.get("data", {})):
            del output.data[WIDGET_VIEW]
    nbformat.write(notebook, path)


class Runner:
    """Executes chapters into ``folder``: ``executed/`` holds the good copies, ``failed/`` the others."""

    def __init__(self, folder: Path, profile: Profile, console: Console) -> None:
        self.folder = folder
        self.profile = profile
        self.console = console
        self.environment: dict[str, str] = {}
        self.kernels: list[Any] = []
        # On a terminal one progress bar per chapter; elsewhere (a CI log) only the lines printed below.
        self.progress = Progress(console=console, transient=True, disable=not console.is_terminal)

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
            try:
                return list(pool.map(self.chapter, sources))
            except KeyboardInterrupt:
                for manager in self.kernels:  # their threads end with them
                    if process := getattr(manager.provisioner, "process", None):
                        process.kill()
                raise

    def chapter(self, source: Path) -> Outcome:
        """Execute one chapter, keep the result and say how it ended."""
        name, parameters = source.stem, self.profile.chapters[source.stem]
        running, failed = self.folder / "running" / source.name, self.folder / "failed" / source.name
        running.unlink(missing_ok=True)
        if not self.console.is_terminal:
            self.say(f"  {name:<14} started")
        began = time.monotonic()
        failure, report = self._execute(source, running, parameters)
        if running.exists():
            tidy(running)
        outcome = Outcome(
            chapter=name,
            seconds=round(time.monotonic() - began, 1),
            finished=datetime.now(UTC).isoformat(timespec="seconds"),
            fingerprint=fingerprint(source, parameters),
            parameters=parameters,
            failure=failure,
        )
        if failure is None:
            # Whole or not at all: a build killed here leaves nothing that the next one cannot read.
            note = running.with_suffix(".json")
            note.write_text(json.dumps(asdict(outcome), indent=1), encoding="utf8")
            running.replace(self.folder / "executed" / running.name)
            note.replace(self.folder / "executed" / note.name)
            failed.unlink(missing_ok=True)
            failed.with_suffix(".txt").unlink(missing_ok=True)
            self.say(f"  {name:<14} done    {outcome.seconds:6.1f} s", style="green")
        else:
            if running.exists():
                shutil.move(running, failed)
            failed.with_suffix(".txt").write_text(f"{name}: {failure}\n\n{report}\n", encoding="utf8")
            self.say(f"  {name:<14} FAILED  {outcome.seconds:6.1f} s  {' '.join(failure.split())}", style="red")
            self.say(f"  {'':<14} its notebook: {failed}, the traceback: {failed.with_suffix('.txt')}")
        return outcome

    def _execute(self, source: Path, running: Path, parameters: dict[str, Any]) -> tuple[str | None, str]:
        """Run a chapter into ``running``; return where and how it failed, if it did, and the traceback."""
        reached, injected = "before its first cell", 0
        task = self.progress.add_task(source.stem, total=len(nbformat.read(source, as_version=4).cells))

        def reach(cell: nbformat.NotebookNode, cell_index: int) -> None:
            nonlocal reached, injected
            # The injected cell does not count: cells are numbered as in the chapter that its reader has.
            injected += INJECTED in cell.metadata.get("tags", [])
            reached = f"cell {cell_index + 1 - injected} ({cell.source.strip().splitlines()[0]})"
            self.progress.update(task, completed=cell_index)

        log = running.with_suffix(".log")
        with (
            # A kernel that is killed removes none of its own files.
            tempfile.TemporaryDirectory(prefix="kmgan-", ignore_cleanup_errors=True) as scratch,
            log.open("wb") as written,
            asyncio.Runner(loop_factory=ensure_event_loop) as runner,
        ):
            runner.get_loop()  # used by nbclient, and closed with whatever an ended kernel left pending
            options = {
                "startup_timeout": self.profile.start_timeout, "timeout": self.profile.cell_timeout,
                "shutdown_kernel": "immediate",  # after a timeout a cell may not answer a polite request either
                "store_widget_state": False, "record_timing": False, "on_cell_execute": reach,
            }  # fmt: skip
            variables = {**self.environment, "TMPDIR": scratch}
            process = {"cwd": str(source.parent), "env": variables, "stdout": written, "stderr": written}
            try:
                papermill.execute_notebook(
                    source, running, parameters, engine_name="book", progress_bar=False,
                    options=options, process=process, kernels=self.kernels,
                )  # fmt: skip
                failure, report = None, ""
            except PapermillExecutionError as error:
                failure, report = f"{error.ename}: {error.evalue}".strip(": "), "\n".join(error.traceback or [])
            except TimeoutError:
                failure, report = f"took longer than {self.profile.cell_timeout} s", traceback.format_exc()
            except Exception as error:  # whatever else ends a kernel is this chapter's failure, not the build's
                failure, report = f"{type(error).__name__}: {error}", traceback.format_exc() + log.read_text("utf8")
        self.progress.remove_task(task)
        return failure and f"{reached}: {failure}", report
