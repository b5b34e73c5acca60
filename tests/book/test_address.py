"""The first cell of a chapter fetches the library where there is none, and the address stands everywhere alike."""

import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
import yaml

from book.tools import address, profiles
from book.tools.execute import PROJECT
from kmgan_lib.errors import UsageError

from .conftest import MakeBook

CHAPTERS = profiles.chapters(PROJECT)
URL = "https://github.com/someone/kmgan"


def test_every_chapter_begins_with_the_cell() -> None:
    expected = address.CELL.format(address=address.configured(PROJECT))
    for path in CHAPTERS.values():
        first = next(c for c in nbformat.read(path, as_version=4).cells if c.cell_type == "code")
        assert (first.id, first.source) == (address.ID, expected), "make address writes it"


def test_the_address_is_written_everywhere_and_again(make_book: MakeBook) -> None:
    root = make_book({"one": ["1 + 1"]})
    shutil.copy2(PROJECT / "CITATION.cff", root)
    for url in ("https://github.com/first/owner", URL, None):
        address.write(root, url)
    config = yaml.safe_load((root / "_config.yml").read_text(encoding="utf8"))
    assert config["repository"] == {"url": URL, "branch": "main"}
    assert yaml.safe_load((root / "CITATION.cff").read_text(encoding="utf8"))["repository-code"] == URL
    cells = nbformat.read(root / "book" / "one.ipynb", as_version=4).cells
    assert [cell.id for cell in cells].count(address.ID) == 1
    assert cells[1].source == address.CELL.format(address=URL)
    with pytest.raises(UsageError, match=r"^github\.com/x is not of the form https://github\.com/owner/name$"):
        address.write(root, "github.com/x")


def with_library(folder: Path) -> Path:
    """Make a folder a checkout with a library that says where it is, and no more."""
    (folder / "kmgan_lib").mkdir(parents=True)
    (folder / "kmgan_lib" / "__init__.py").write_text("print('library of', __path__[0])\n", encoding="utf8")
    return folder


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """Return a folder of installed packages: a torch, and a pip that says what it is asked for."""
    for name, content in (("torch", ""), ("pip", "import sys; print('pip', *sys.argv[1:])\n")):
        package = tmp_path / "site" / name
        package.mkdir(parents=True)
        (package / "__init__.py").touch()
        (package / "__main__.py").write_text(content, encoding="utf8")
    return tmp_path / "site"


def run_cell(folder: Path, site: Path, url: str = "", path: str = "") -> tuple[str, str]:
    """Run the first cell, and an import; -S leaves out what is installed, as where there is Jupyter only."""
    folder.mkdir(exist_ok=True)
    command = [sys.executable, "-S", "-c", f"{address.CELL.format(address=url)}\nimport kmgan_lib"]
    environment = {"PATH": path, "PYTHONPATH": str(site)}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    return done.stdout, done.stderr


def test_the_cell_fetches_what_is_missing_and_what_it_needs_once(tmp_path: Path, site: Path) -> None:
    git = shutil.which("git")
    assert git is not None
    repository = with_library(tmp_path / "repository")
    name = ["-c", "user.name=x", "-c", "user.email=x@example.org"]
    for command in (["init", "--quiet"], ["add", "."], [*name, "commit", "--quiet", "-m", "one"]):
        subprocess.run([git, "-C", str(repository), *command], check=True, capture_output=True)
    clone = tmp_path / "content" / "kmgan-book"
    asked = f"pip install --quiet -e {clone} -e {clone / 'book'}\nlibrary of {clone / 'kmgan_lib'}\n"
    assert run_cell(tmp_path / "content", site, repository.as_uri(), str(Path(git).parent)) == (asked, "")
    # the next chapter: no git and no pip
    assert run_cell(tmp_path / "content", site, repository.as_uri()) == (f"library of {clone / 'kmgan_lib'}\n", "")


def test_the_cell_takes_the_checkout_above_the_chapter_and_leaves_an_installed_library_alone(
    tmp_path: Path, site: Path
) -> None:
    checkout = with_library(tmp_path / "checkout")
    for folder in (checkout, checkout / "book"):
        assert run_cell(folder, site, "https://never.asked") == (f"library of {checkout / 'kmgan_lib'}\n", "")
    with_library(site)
    assert run_cell(checkout / "book", site, "https://never.asked") == (f"library of {site / 'kmgan_lib'}\n", "")


def test_the_cell_says_what_to_install(tmp_path: Path, site: Path) -> None:
    last = run_cell(tmp_path / "away", site)[1].splitlines()[-1]
    assert last.startswith("ModuleNotFoundError: this kernel lacks the library: ")
    assert f"`{sys.executable} -m pip install -e . -e ./book`" in last
