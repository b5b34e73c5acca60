"""The repository's files agree with each other."""

import ast
import graphlib
import importlib.util
import json
import pkgutil
import re
import subprocess
import tomllib
from itertools import chain
from pathlib import Path
from typing import Any

import nbformat
import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from book.tools import profiles

ROOT = Path(__file__).resolve().parents[1]
CHAPTERS = profiles.chapters(ROOT)
# Imports of the library go down this list only, from what comes later to what comes before.
FLOORS = [
    "errors", "checks", "config", "files", "progress", "distributed", "data", "models", "centers",
    "losses", "methods", "presets", "generator", "sheets", "training", "metrics", "cli", "__main__",
]  # fmt: skip
LINES = 6_000  # of the library at most; the number may only fall, unless a method comes in (book/new_method.md)
TARGETS = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(encoding="utf8"), re.MULTILINE))
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf8"))["project"]


def test_environment_is_in_step_with_pyproject() -> None:
    environment = yaml.safe_load((ROOT / "environment.yml").read_text(encoding="utf8"))
    assert environment["channels"] == ["conda-forge"]
    python, pip, installed = environment["dependencies"]
    assert python.startswith(f"python{PROJECT['requires-python']}")
    assert pip == "pip"
    (extras,) = re.findall(r"^-e \.\[(.*)\]$", installed["pip"][0])
    assert extras.split(",") == list(PROJECT["optional-dependencies"])


def test_lock_holds_every_dependency_and_no_address() -> None:
    lines = (ROOT / "requirements.lock").read_text(encoding="utf8").splitlines()
    locked: dict[str, list[str]] = {}
    for line in lines:
        requirement = Requirement(line)
        assert requirement.url is None
        (exact,) = requirement.specifier
        assert exact.operator == "=="
        locked.setdefault(canonicalize_name(requirement.name), []).append(exact.version)
    wanted = [*PROJECT["dependencies"], *chain.from_iterable(PROJECT["optional-dependencies"].values())]
    for requirement in map(Requirement, wanted):
        versions = locked[canonicalize_name(requirement.name)]
        assert all(requirement.specifier.contains(version) for version in versions), requirement


def test_notebooks_are_sources_and_profiles_fit_them() -> None:
    for path in CHAPTERS.values():
        notebook = nbformat.read(path, as_version=4)
        nbformat.validate(notebook)
        assert (notebook.nbformat, notebook.nbformat_minor) == (4, 5)
        assert notebook.metadata.kernelspec.name == "python3"
        code = [cell for cell in notebook.cells if cell.cell_type == "code"]
        assert not any(cell.outputs or cell.execution_count for cell in code)
        assert "profile" in profiles.parameters(path)
    for profile in ("smoke", "quick", "paper"):
        chosen = profiles.load(ROOT, profile)
        assert {given["profile"] for given in chosen.chapters.values()} == {profile}


@pytest.mark.parametrize("page", ["README.md", "book/reproduce.md", ".ci/run", ".github/workflows/ci.yml"])
def test_commands_exist(page: str) -> None:
    text = (ROOT / page).read_text(encoding="utf8")
    # In a sentence a command stands in backticks; else it has its line, with variables, a redirection or a comment.
    inline = re.findall(r"`make ([a-z]+)\b", text)
    lines = re.findall(r"^[\s$-]*(?:run: )?make ([a-z]+)(?: [A-Z_]+=\S+)*(?: 2>.*| +#.*)?$", text, re.MULTILINE)
    commands = {*inline, *lines}
    assert {"book", "test"} <= commands <= TARGETS


def test_files_for_others_follow_their_schema_and_the_container_is_set_up_by_the_makefile() -> None:
    check = pytest.importorskip("check_jsonschema", reason="make setup installs it").main
    for kind, name in (("github-workflows", ".github/workflows/ci.yml"), ("citation-file-format", "CITATION.cff")):
        assert check(["--builtin-schema", f"vendor.{kind}", str(ROOT / name)], standalone_mode=False) == 0
    container = json.loads((ROOT / ".devcontainer" / "devcontainer.json").read_text(encoding="utf8"))
    version = container["image"].rpartition(":")[2]
    assert f"Programming Language :: Python :: {version}" in PROJECT["classifiers"]
    assert container["postCreateCommand"].removeprefix("make ") in TARGETS


def test_no_machine_paths() -> None:
    places = r"(^|[^[:alnum:]_.])/(work|root|home|Users)/"
    command = ["git", "-C", str(ROOT), "grep", "--untracked", "-I", "-n", "-o", "-E", places]
    found = subprocess.run(command, capture_output=True, text=True, check=False)
    if found.returncode > 1:
        pytest.skip("not a git checkout")
    assert found.stdout == ""


def modules() -> dict[str, Path]:
    """Return the library's modules by name, without the package itself, whose names are looked up when first used."""
    paths = {path.relative_to(ROOT).with_suffix(""): path for path in (ROOT / "kmgan_lib").rglob("*.py")}
    names = {".".join(short.parts).removesuffix(".__init__"): path for short, path in paths.items()}
    return {name: path for name, path in names.items() if name != "kmgan_lib"}


def imports(path: Path, known: dict[str, Path]) -> set[str]:
    """Return what a file imports, wherever in it: the modules among ``known``, and the first names of others."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf8"))):
        if isinstance(node, ast.Import):
            found |= {name.name for name in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            inner = {f"{node.module}.{name.name}" for name in node.names} & set(known)
            found |= inner or {node.module}
    return {name if name in known else name.split(".")[0] for name in found}


def test_imports_of_the_library_go_down_never_in_a_circle_and_the_kit_imports_nothing_of_the_pages() -> None:
    known = modules()
    graph = {name: imports(path, known) for name, path in known.items()}
    floor = {name: FLOORS.index(name.split(".")[1]) for name in known}
    up = [f"{a} imports {b}" for a, bs in graph.items() for b in bs & set(known) if floor[a] < floor[b]]
    assert up == []
    tuple(graphlib.TopologicalSorter({a: bs & set(known) for a, bs in graph.items()}).static_order())
    assert [a for a, bs in graph.items() if bs & {"kmgan_book", "kmgan_pages", "book", "benchmarks", "tests"}] == []
    kit = (ROOT / "book" / "kmgan_book").glob("*.py")
    up = {path.name: imports(path, {}) & {"kmgan_pages", "book", "benchmarks", "tests"} for path in kit}
    assert {name: found for name, found in up.items() if found} == {"commands.py": {"benchmarks"}}  # `kmgan bench`


def test_the_library_stays_small_and_files_short() -> None:
    folders = [ROOT / "kmgan_lib", *(ROOT / "book" / name for name in ("kmgan_book", "kmgan_pages", "tools"))]
    sources = chain.from_iterable(folder.rglob("*.py") for folder in folders)
    lengths = {path.relative_to(ROOT): len(path.read_text(encoding="utf8").splitlines()) for path in sources}
    assert {str(path): lines for path, lines in lengths.items() if lines > 300} == {}
    lines = sum(lines for path, lines in lengths.items() if path.parts[0] == "kmgan_lib")
    assert LINES - 500 <= lines <= LINES, "shorten the library, or lower LINES; only a new method may raise it"


def test_the_reference_and_the_way_of_a_batch_name_what_is_there() -> None:
    modules = re.findall(r"automodule:: (\S+)", (ROOT / "book" / "api.md").read_text(encoding="utf8"))
    assert len(modules) > 50
    assert [name for name in modules if importlib.util.find_spec(name) is None] == []
    page = (ROOT / "book" / "new_method.md").read_text(encoding="utf8")
    walk = page.partition("## A batch from the file to the record")[2]
    named = re.findall(r"`(kmgan_(?:lib|book|pages)\.[\w.]+)`", walk)
    assert len(named) > 30
    assert len(re.findall(r"^\d+\. ", walk, re.MULTILINE)) == 20
    assert [name for name in named if not callable(pkgutil.resolve_name(name))] == []


PAGE = (ROOT / "book" / "faults.md").read_text(encoding="utf8")
NAMED = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", PAGE)


def test_the_page_of_faults_is_in_the_book_and_every_row_names_tests_that_are_there() -> None:
    assert re.search(r"file: book/faults$", (ROOT / "_toc.yml").read_text(encoding="utf8"), re.MULTILINE)
    rows = [line for line in PAGE.splitlines() if line.startswith("| ") and not line.startswith("| Fault ")]
    assert len(rows) >= 20
    assert [row for row in rows if not re.search(r"`tests/[\w/]+\.py::\w+`", row)] == []
    bodies = {file: ast.parse((ROOT / file).read_text(encoding="utf8")).body for file in {file for file, _ in NAMED}}
    there = {(file, node.name) for file, body in bodies.items() for node in body if isinstance(node, ast.FunctionDef)}
    assert set(NAMED) - there == set()
