"""Execute one chapter in a process of its own: a job on standard input, events on standard output.

The job is one JSON object; every event is one JSON object on a line: ``{"cell": 3, "of": 12, "line": "x = 1"}``
when a cell starts, and at the end ``{"done": true}`` or ``{"error": "…", "traceback": "…"}``.
"""

import ast
import html
import json
import os
import sys
import traceback
import uuid
from pathlib import Path
from typing import Any, TextIO

import nbformat
import papermill
from papermill.clientwrap import PapermillNotebookClient
from papermill.engines import NBClientEngine, papermill_engines
from papermill.exceptions import PapermillExecutionError
from papermill.iorw import load_notebook_node
from papermill.parameterize import parameterize_notebook

INJECTED = "injected-parameters"
UNSEEN = "remove-cell"  # on the page, not in the notebook
ENGINE = "book"
WIDGET_VIEW = "application/vnd.jupyter.widget-view+json"


def emit(events: TextIO, **event: Any) -> None:
    """Write one event."""
    events.write(json.dumps(event) + "\n")
    events.flush()


class ChapterClient(PapermillNotebookClient):
    """nbclient that reports each cell and keeps no widget state.

    With its widget registry nbclient answers messages of `Output` widgets and hangs about one run in four on
    `interact` (nteract/papermill#723, jupyter/nbclient#312). Without it the first picture of an interaction is
    an ordinary output, which is also what a page without a kernel can show.
    """

    def __init__(self, nb_man: Any, events: TextIO, **options: Any) -> None:
        super().__init__(nb_man, **options)
        self.events = events
        self.widget_registry = {}

    def create_kernel_manager(self) -> Any:
        """Give the kernel sockets with a name that nobody else takes.

        Free TCP ports are looked up before the kernel starts, so that any process may take one in between; a kernel
        without its iopub port lives and never answers. Only Linux has sockets without a file, hence without a limit
        on the length of a folder's name.
        """
        manager = super().create_kernel_manager()
        if sys.platform == "linux":
            manager.transport, manager.ip = "ipc", f"@kmgan-{uuid.uuid4()}"
        return manager

    def execute_cell(self, cell: Any, cell_index: int, **options: Any) -> Any:
        """Report the cell, then execute it."""
        before = self.nb.cells[:cell_index]
        # The injected cell does not count: numbers are those of the chapter as its reader has it.
        number = 1 + sum(INJECTED not in other.metadata.get("tags", []) for other in before)
        line = next((text.strip() for text in cell.source.splitlines() if text.strip()), "")
        emit(self.events, cell=number, of=len(self.nb.cells), line=line)
        return super().execute_cell(cell, cell_index, **options)


class ChapterEngine(NBClientEngine):
    """papermill's engine with the client above."""

    @classmethod
    def execute_managed_notebook(  # type: ignore[override]  # papermill passes everything by keyword
        cls, nb_man: Any, kernel_name: str, *, start_timeout: int, execution_timeout: int, events: TextIO, **_: Any
    ) -> Any:
        """Execute the notebook of the manager."""
        client = ChapterClient(
            nb_man, events, kernel_name=kernel_name, timeout=execution_timeout, startup_timeout=start_timeout,
            store_widget_state=False, record_timing=False,
            shutdown_kernel="immediate",  # a cell that ran past its time may not answer a polite request either
        )  # fmt: skip
        return client.execute()


def prepared(source: Path, parameters: dict[str, Any], profile: str) -> nbformat.NotebookNode:
    """Return the chapter with this run's parameters in a cell after its own."""
    notebook = load_notebook_node(str(source))
    if parameters:
        comment = f"This run's parameters (profile {profile})"
        notebook = parameterize_notebook(notebook, parameters, comment=comment)
        for cell in notebook.cells:
            if INJECTED in cell.metadata.get("tags", []):
                cell["id"] = INJECTED  # not a random one: the same build gives the same file
    return notebook


def run_with(cells: list[nbformat.NotebookNode]) -> str:
    """The parameters of a run as one line for the foot of its page; the injected ones come last and count."""
    given = {}
    for statement in ast.parse("\n".join(cell.source for cell in cells)).body:
        if isinstance(statement, ast.AnnAssign | ast.Assign) and statement.value:
            target = statement.target if isinstance(statement, ast.AnnAssign) else statement.targets[0]
            given[ast.unparse(target)] = ast.unparse(statement.value)
    texts = ", ".join(f"<code>{html.escape(f'{name} = {value}')}</code>" for name, value in given.items())
    return f'<p class="run-with">This page was run with {texts}.</p>'


def tidy(path: Path) -> None:
    """Make an executed notebook fit for readers.

    Views of widgets whose kernel has ended go where the same output holds pictures: a reader would see an error in
    their place. In the place of the cells of parameters the page has a line at its foot.
    """
    notebook = nbformat.read(path, as_version=4)
    parameters = [cell for cell in notebook.cells if {"parameters", INJECTED} & set(cell.metadata.get("tags", []))]
    for cell in parameters:
        cell.metadata["tags"] = [*cell.metadata["tags"], UNSEEN]
    if parameters:
        notebook.cells.append(nbformat.v4.new_markdown_cell(run_with(parameters), id="run-with"))
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            if {WIDGET_VIEW, "text/html"} <= set(output.get("data", {})):
                del output.data[WIDGET_VIEW]
    nbformat.write(notebook, path)


def execute(job: dict[str, Any], events: TextIO) -> None:
    """Execute the chapter of a job and report how it ended."""
    papermill_engines.register(ENGINE, ChapterEngine)
    source, output = Path(job["source"]), Path(job["output"])
    try:
        papermill.execute_notebook(
            prepared(source, job["parameters"], job["profile"]),
            str(output),
            engine_name=ENGINE,
            progress_bar=False,
            cwd=str(source.parent),
            start_timeout=job["start_timeout"],
            execution_timeout=job["cell_timeout"],
            events=events,
        )
    except PapermillExecutionError as error:
        message = f"{error.ename}: {error.evalue}".strip(": ")
        emit(events, error=message, traceback="\n".join(error.traceback or []))
    except TimeoutError:
        emit(events, error=f"took longer than {job['cell_timeout']} s", traceback=traceback.format_exc())
    except Exception as error:  # whatever else ends a kernel is this chapter's failure, not the build's
        emit(events, error=f"{type(error).__name__}: {error}", traceback=traceback.format_exc())
    else:
        emit(events, done=True)
    if output.exists():
        tidy(output)


def main() -> None:
    """Read the job, keep standard output for events."""
    job = json.load(sys.stdin)
    # The kernel inherits file descriptor 1, and what C code writes there must not land between the events.
    events = os.fdopen(os.dup(1), "w", encoding="utf8")
    os.dup2(2, 1)
    execute(job, events)


if __name__ == "__main__":
    main()
