"""What each profile gives to each chapter, checked against the chapters before anything runs.

papermill only warns about a parameter that a notebook does not have and then runs with the default, so a
mistyped name would go unseen. Here it is an error, for every profile in the file and not only the one asked for.
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
import yaml

SCALARS: dict[str, tuple[type, ...]] = {"bool": (bool,), "int": (int,), "float": (int, float), "str": (str,)}
SETTINGS = ("cell_timeout", "start_timeout", "workers")


class WrongUse(Exception):
    """A request or a file that cannot be carried out as written; its text is one line."""


@dataclass(frozen=True)
class Profile:
    """How the chapters run: how many at once, how long a cell may take (seconds), and their parameters."""

    name: str
    workers: int
    cell_timeout: int
    start_timeout: int
    chapters: dict[str, dict[str, Any]]


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return "; did you mean 'x'?" for the nearest known name, or the list of all where none is near."""
    names = list(known)
    near = difflib.get_close_matches(name, names, n=1)
    if near:
        return f"; did you mean {near[0]!r}?"
    return f" (there are: {', '.join(names)})" if names else ""


def _read(path: Path) -> Any:
    """Return what a YAML file holds, plain data only; say in one line why it cannot be read."""
    try:
        return yaml.safe_load(path.read_text(encoding="utf8"))
    except Exception as error:  # besides its own error PyYAML has others, such as KeyError for `!!bool x`
        raise WrongUse(f"{path.name}: {' '.join(str(error).split())}") from None


def chapters(root: Path) -> dict[str, Path]:
    """Return the notebooks that ``_toc.yml`` names, in its order, by their stem."""

    def pages(node: Any) -> Iterator[str]:
        if isinstance(node, dict):
            for key, value in node.items():
                if key in ("root", "file"):
                    yield str(value)
                else:
                    yield from pages(value)
        elif isinstance(node, list):
            for item in node:
                yield from pages(item)

    notebooks = (root / f"{page.removesuffix('.ipynb')}.ipynb" for page in pages(_read(root / "_toc.yml")))
    return {path.stem: path for path in notebooks if path.is_file()}


def fits(value: Any, annotation: str) -> bool:
    """Tell whether a literal has the annotated type: a scalar of ``SCALARS`` or a list of one."""
    if annotation.startswith("list[") and annotation.endswith("]"):
        return isinstance(value, list) and all(fits(item, annotation[5:-1]) for item in value)
    # bool is a subclass of int, but `true` for a number is a slip.
    if isinstance(value, bool):
        return annotation == "bool"
    return isinstance(value, SCALARS.get(annotation, ()))


def parameters(path: Path) -> dict[str, str]:
    """Return the types of a chapter's parameters; exactly one tagged cell, each line `name: type = literal  # why`."""
    notebook = nbformat.read(path, as_version=4)
    cells = [cell for cell in notebook.cells if "parameters" in cell.metadata.get("tags", [])]
    chapter = path.stem
    if len(cells) != 1:
        raise WrongUse(f"{chapter}: has {len(cells)} cells tagged 'parameters', needs exactly one")
    try:
        statements = ast.parse(cells[0].source).body
    except SyntaxError as error:
        raise WrongUse(f"{chapter}: parameters cell, line {error.lineno}: {error.msg}") from None
    except (ValueError, RecursionError, MemoryError):  # half a character, or brackets without end
        raise WrongUse(f"{chapter}: parameters cell: it is no Python") from None
    found: dict[str, str] = {}
    for statement in statements:
        where = f"{chapter}: parameters cell, line {statement.lineno}"
        if not (isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name) and statement.value):
            raise WrongUse(f"{where}: expected `name: type = literal  # comment`")
        name, annotation = statement.target.id, ast.unparse(statement.annotation)
        try:
            default = ast.literal_eval(statement.value)
        except (ValueError, TypeError, RecursionError, MemoryError):
            raise WrongUse(f"{where}: the value of {name!r} is not a literal") from None
        if not fits(default, annotation):
            raise WrongUse(f"{where}: {name!r} is {default!r}, which is not {annotation} (bool, int, float, str, list)")
        found[name] = annotation
    # papermill reads the cell line by line and may see less than Python does; what it misses it cannot set.
    logging.getLogger("papermill").setLevel(logging.ERROR)
    seen = papermill.inspect_notebook(str(path))
    for name in found:
        if name not in seen:
            raise WrongUse(f"{chapter}: papermill cannot read parameter {name!r}: one line each, no '=' in the comment")
        if not seen[name]["help"]:
            raise WrongUse(f"{chapter}: parameter {name!r} needs a comment on its line")
    return found


def _profile(name: str, entry: Any, known: dict[str, dict[str, str]]) -> Profile:
    """Turn one entry of the file into a profile, or say what is wrong with it."""

    def need(true: bool, text: str) -> None:
        if not true:
            raise WrongUse(f"profiles.yml: {name}: {text}")

    need(isinstance(entry, dict), "expected settings and chapters")
    for key in entry:
        suggestion = did_you_mean(str(key), [*SETTINGS, "chapters"])
        need(key in (*SETTINGS, "chapters"), f"unknown setting {key!r}{suggestion}")
    for key in SETTINGS:
        whole = fits(entry.get(key), "int") and entry[key] >= 1
        need(whole, f"{key} must be a whole number of at least 1, not {entry.get(key)!r}")
    given: dict[str, dict[str, Any]] = entry.get("chapters") or {}
    need(isinstance(given, dict), "chapters must be names of chapters, each with parameters")
    for chapter, values in given.items():
        need(chapter in known, f"unknown chapter {chapter!r}{did_you_mean(str(chapter), known)}")
        need(isinstance(values or {}, dict), f"chapter {chapter!r} needs parameters, not {values!r}")
        types = known[chapter]
        for key, value in (values or {}).items():
            need(key in types, f"chapter {chapter!r} has no parameter {key!r}{did_you_mean(str(key), types)}")
            need(fits(value, types[key]), f"chapter {chapter!r}, parameter {key!r} is {value!r}, needs {types[key]}")
    settings = {key: entry[key] for key in SETTINGS}
    return Profile(name=name, chapters={chapter: given.get(chapter) or {} for chapter in known}, **settings)


def load(root: Path, name: str) -> Profile:
    """Return the profile of this name after checking the whole of ``book/profiles.yml``."""
    known = {chapter: parameters(path) for chapter, path in chapters(root).items()}
    entries = _read(root / "book" / "profiles.yml")
    if not isinstance(entries, dict) or not all(isinstance(key, str) for key in entries):
        raise WrongUse("profiles.yml: expected names of profiles, each with settings and chapters")
    if name not in entries:
        raise WrongUse(f"unknown profile {name!r}{did_you_mean(name, entries)}")
    return {key: _profile(key, entry, known) for key, entry in entries.items()}[name]
