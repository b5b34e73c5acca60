"""How the commands print: whole names, and whole lines where nobody watches."""

import logging
import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Column, Table

console = Console(markup=False, emoji=False)  # names and paths stand as they are, brackets and colons too
DataRoot = Annotated[Path | None, typer.Option(help="Folder with the data sets; by default $KMGAN_DATA.")]


def prepare() -> None:
    """Make standard output take everything, and every line stay one where it goes into a pipe or a file."""
    logging.basicConfig(level=logging.WARNING, format="%(levelname)-8s %(message)s")
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # without UTF-8 there is no ±
            stream.reconfigure(errors="backslashreplace")  # pyright: ignore[reportAttributeAccessIssue]
    if not console.is_terminal:
        console.width = 10_000


def say(text: object) -> None:
    """One line; the terminal breaks it, so that a path copied from there is whole."""
    console.print(str(text), highlight=False, soft_wrap=True)


def table(first: str, *others: str, **options: Any) -> Table:
    """A table that cuts no name: the first column stays whole, the others are wrapped."""
    return Table(Column(first, no_wrap=True), *(Column(name, overflow="fold") for name in others), **options)
