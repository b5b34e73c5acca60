"""The parameters that each profile gives to each chapter, checked against the chapters before anything runs.

papermill only warns about a parameter that a notebook does not have and then runs with the default, so a
mistyped name would go unnoticed. Here it is an error, for every profile in the file and not only the one asked for.
"""

import ast
import difflib
import logging
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nbformat
import papermill

from kmgan_book.strict import read_yaml
from kmgan_lib.errors import UsageError

SCALARS: dict[str, tuple[type, ...]] = {"bool": (bool,), "int": (int,), "float": (int, float), "str": (str,)}
SETTINGS = ("cell_timeout", "start_timeout", "workers")


@dataclass(frozen=True)
class Profile:
    """How the chapters run: how many at once, how long a cell may take (seconds), and their parameters."""

    name: str
    workers: int
    cell_timeout: int
    start_timeout: int
    chapters: dict[str, dict[str, Any]]


def did_you_mean(name: object, known: Iterable[str]) -> str:
    """Return "; did you mean 'x'?" for the nearest known name, or the list of all if none is near."""
    names = list(known)
    if near := difflib.get_close_matches(str(name), names, n=1):
        return f"; did you mean {near[0]!r}?"
    return f" (there are: {', '.join(names)})" if names else ""


def need(true: bool, text: str) -> None:
    """Raise a `UsageError` with this text if something is not true."""
    if not true:
        raise UsageError(text)


def chapters(root: Path) -> dict[str, Path]:
    """Return the notebooks that ``_toc.yml`` names, in its order, by their stem."""

    def pages(node: Any) -> Iterator[str]:
        entries = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
        for key, value in entries:
            yield from [str(value)] if key in ("root", "file") else pages(value)

    notebooks = (root / f"{page.removesuffix('.ipynb')}.ipynb" for page in pages(read_yaml(root / "_toc.yml")))
    return {path.stem: path for path in notebooks if path.is_file()}


def tagged(notebook: nbformat.NotebookNode, tag: str) -> list[nbformat.NotebookNode]:
    """Return the cells of a notebook that have a tag."""
    return [cell for cell in notebook.cells if tag in cell.metadata.get("tags", [])]


def fits(value: Any, annotation: str) -> bool:
    """Tell whether a literal has the annotated type: a scalar of ``SCALARS`` or a list of one."""
    if annotation.startswith("list[") and annotation.endswith("]"):
        return isinstance(value, list) and all(fits(item, annotation[5:-1]) for item in value)
    # bool is a subclass of int, but `true` for a number is a mistake.
    if isinstance(value, bool):
        return annotation == "bool"
    return isinstance(value, SCALARS.get(annotation, ()))


def parameters(path: Path) -> dict[str, str]:
    """Return the types of a chapter's parameters; exactly one tagged cell, each line `name: type = literal  # why`."""
    cells = tagged(nbformat.read(path, as_version=4), "parameters")
    need(len(cells) == 1, f"{path.stem}: has {len(cells)} cells tagged 'parameters', needs exactly one")
    try:
        statements = ast.parse(cells[0].source).body
    except (SyntaxError, ValueError, RecursionError, MemoryError):  # half a character, or brackets without end
        raise UsageError(f"{path.stem}: its parameters cell is not valid Python") from None
    # papermill reads the cell line by line and may see less than Python does; it cannot set what it misses.
    logging.getLogger("papermill").setLevel(logging.ERROR)
    seen = papermill.inspect_notebook(str(path))
    found: dict[str, str] = {}
    for statement in statements:
        where = f"{path.stem}: parameters cell, line {statement.lineno}"
        if not (isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name) and statement.value):
            raise UsageError(f"{where}: expected `name: type = literal  # comment`")
        name, annotation = statement.target.id, ast.unparse(statement.annotation)
        try:
            default = ast.literal_eval(statement.value)
        except (ValueError, TypeError, RecursionError, MemoryError):
            raise UsageError(f"{where}: the value of {name!r} is not a literal") from None
        need(fits(default, annotation), f"{where}: {name!r} is {default!r}, which is not {annotation}")
        need(name in seen, f"{where}: papermill cannot read parameter {name!r}: one line each, no '=' in the comment")
        need(bool(seen[name]["help"]), f"{where}: parameter {name!r} needs a comment on its line")
        found[name] = annotation
    return found


def _profile(name: str, entry: Any, known: dict[str, dict[str, str]]) -> Profile:
    """Turn one entry of the file into a profile, or say what is wrong with it."""
    where = f"profiles.yml: {name}"
    need(isinstance(entry, dict), f"{where}: expected settings and chapters")
    for key in entry:
        near = did_you_mean(key, [*SETTINGS, "chapters"])
        need(key in (*SETTINGS, "chapters"), f"{where}: unknown setting {key!r}{near}")
    for key in SETTINGS:
        whole = fits(entry.get(key), "int") and entry[key] >= 1
        need(whole, f"{where}: {key} must be a whole number of at least 1, not {entry.get(key)!r}")
    given: dict[str, dict[str, Any]] = entry.get("chapters") or {}
    need(isinstance(given, dict), f"{where}: chapters must be names of chapters, each with parameters")
    for chapter, values in given.items():
        need(chapter in known, f"{where}: unknown chapter {chapter!r}{did_you_mean(chapter, known)}")
        need(isinstance(values or {}, dict), f"{where}: chapter {chapter!r} needs parameters, not {values!r}")
        types = known[chapter]
        for key, value in (values or {}).items():
            need(key in types, f"{where}: chapter {chapter!r} has no parameter {key!r}{did_you_mean(key, types)}")
            right = fits(value, types[key])
            need(right, f"{where}: chapter {chapter!r}, parameter {key!r} is {value!r}, needs {types[key]}")
    settings = {key: entry[key] for key in SETTINGS}
    return Profile(name=name, chapters={chapter: given.get(chapter) or {} for chapter in known}, **settings)


def load(root: Path, name: str) -> Profile:
    """Return the profile of this name after checking the whole of ``book/profiles.yml``."""
    known = {chapter: parameters(path) for chapter, path in chapters(root).items()}
    entries = read_yaml(root / "book" / "profiles.yml")
    names = isinstance(entries, dict) and all(isinstance(key, str) for key in entries)
    need(names, "profiles.yml: expected names of profiles, each with settings and chapters")
    need(name in entries, f"unknown profile {name!r}{did_you_mean(name, entries)}")
    return {key: _profile(key, entry, known) for key, entry in entries.items()}[name]
