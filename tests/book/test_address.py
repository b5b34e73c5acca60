"""The first cell of a chapter fetches the library where there is none, and the address stands everywhere alike."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
import yaml

from book.tools import address, page_parts, profiles
from book.tools.execute import PROJECT

from .conftest import MakeBook

CHAPTERS = profiles.chapters(PROJECT)
URL = "https://github.com/someone/kmgan"


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_every_chapter_begins_with_the_cell(chapter: str) -> None:
    first = next(c for c in nbformat.read(CHAPTERS[chapter], as_version=4).cells if c.cell_type == "code")
    expected = address.CELL.format(address=address.configured(PROJECT))
    assert (first.id, first.source) == (address.ID, expected), "make address writes it"


def test_the_address_is_written_everywhere_and_again(make_book: MakeBook) -> None:
    root = make_book({"one": ["1 + 1"]})
    shutil.copy2(PROJECT / "CITATION.cff", root)
    for url in ("https://github.com/first/owner", URL, None):
        assert address.main(["--root", str(root), *([url] if url else [])]) == 0
    config = yaml.safe_load((root / "_config.yml").read_text(encoding="utf8"))
    assert config["repository"] == {"url": URL, "branch": "main"}
    assert yaml.safe_load((root / "CITATION.cff").read_text(encoding="utf8"))["repository-code"] == URL
    cells = nbformat.read(root / "book" / "one.ipynb", as_version=4).cells
    assert [cell.id for cell in cells].count(address.ID) == 1
    assert cells[1].source == address.CELL.format(address=URL)


def test_a_wrong_address_is_refused(make_book: MakeBook, capsys: pytest.CaptureFixture[str]) -> None:
    root = make_book({"one": ["1 + 1"]})
    assert address.main(["--root", str(root), "github.com/x"]) == 2
    assert capsys.readouterr().err == "address: github.com/x is not of the form https://github.com/owner/name\n"


def test_github_knows_the_address(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GITHUB_REPOSITORY", raising=False)
    assert page_parts.address("") == ""
    monkeypatch.setenv("GITHUB_REPOSITORY", "fork/kmgan")
    monkeypatch.setenv("GITHUB_SERVER_URL", "https://github.com")
    assert page_parts.address("") == "https://github.com/fork/kmgan"
    assert page_parts.address(URL) == URL


def python(*options: str, code: str, folder: Path, path: str) -> subprocess.CompletedProcess[str]:
    """Run code where only ``path`` has programs."""
    return subprocess.run(
        [sys.executable, *options, "-c", code],
        cwd=folder,
        env={"PATH": path},
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_cell_fetches_what_is_missing_and_only_that(tmp_path: Path) -> None:
    git = shutil.which("git")
    assert git is not None
    repository = tmp_path / "repository"
    (repository / "kmgan_lib").mkdir(parents=True)
    (repository / "kmgan_lib" / "__init__.py").write_text("here = True\n", encoding="utf8")
    name = ["-c", "user.name=x", "-c", "user.email=x@example.org"]
    for command in (["init", "--quiet"], ["add", "."], [*name, "commit", "--quiet", "-m", "one"]):
        subprocess.run([git, "-C", str(repository), *command], check=True, capture_output=True)
    cell = address.CELL.format(address=repository.as_uri())
    # Without site-packages there is no library, as on a machine that has only Jupyter.
    fetched = python(
        "-S", code=f"{cell}\nimport kmgan_lib; print(kmgan_lib.here)", folder=tmp_path, path=str(Path(git).parent)
    )
    assert (fetched.stdout, fetched.stderr) == ("True\n", "")
    # Where it is installed there is nothing to run: no git would be found.
    (tmp_path / "kmgan_lib.py").write_text("", encoding="utf8")
    assert python("-S", code=cell, folder=tmp_path, path="").returncode == 0
