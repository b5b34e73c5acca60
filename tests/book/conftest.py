"""Tiny books in a temporary folder: chapters without torch, built by the project's own tools."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nbformat
import pytest
import yaml

from book.tools.__main__ import main
from book.tools.execute import PROJECT

PARAMETERS = "size: int = 3  # how much\nname: str = 'a'  # of what"
MakeBook = Callable[..., Path]
Build = Callable[..., tuple[int, str, str]]


def write_chapter(path: Path, *sources: str, parameters: str | None = PARAMETERS) -> None:
    """Write a notebook with a title, the parameters cell and code cells."""
    cells = [nbformat.v4.new_markdown_cell(f"# {path.stem}")]
    if parameters is not None:
        cells.append(nbformat.v4.new_code_cell(parameters, metadata={"tags": ["parameters"]}))
    cells += [nbformat.v4.new_code_cell(source) for source in sources]
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    nbformat.write(nbformat.v4.new_notebook(cells=cells, metadata={"kernelspec": kernel}), path)


@pytest.fixture
def make_book(tmp_path: Path) -> MakeBook:
    """Return a function that writes a book of chapters with these code cells."""

    def make(chapters: dict[str, list[str]], profile: dict[str, Any] | None = None, **settings: Any) -> Path:
        root = tmp_path / "project"
        (root / "book").mkdir(parents=True)
        shutil.copytree(PROJECT / "book" / "tools", root / "book" / "tools")
        shutil.copytree(PROJECT / "book" / "_static", root / "book" / "_static")
        for name in ("_config.yml", "book/references.bib"):
            shutil.copy2(PROJECT / name, root / name)
        first, *others = [f"book/{name}" for name in chapters]
        toc = {
            "format": "jb-book",
            "root": first,
            "chapters": [{"file": page} for page in [*others, "book/status"]],
        }
        (root / "_toc.yml").write_text(yaml.safe_dump(toc), encoding="utf8")
        (root / "book" / "status.md").write_text("# Status\n", encoding="utf8")
        smoke = {"workers": 2, "cell_timeout": 60, "start_timeout": 60, "chapters": profile or {}, **settings}
        (root / "book" / "profiles.yml").write_text(yaml.safe_dump({"smoke": smoke}), encoding="utf8")
        for name, sources in chapters.items():
            write_chapter(root / "book" / f"{name}.ipynb", *sources)
        return root

    return make


@pytest.fixture
def build(capsys: pytest.CaptureFixture[str]) -> Build:
    """Return a function that builds a book and gives exit status, output and errors."""

    def run(root: Path, *options: str) -> tuple[int, str, str]:
        status = main(["--root", str(root), *options])
        captured = capsys.readouterr()
        return status, captured.out, captured.err

    return run
