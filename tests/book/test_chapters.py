"""A chapter's first cell, its parameters and its profiles: what is wrong is said in one line before anything runs."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import nbformat
import papermill
import pytest
import yaml

from book.tools import address, profiles
from book.tools.execute import PROJECT
from kmgan_lib.errors import UsageError

from ..kit.conftest import commit
from .conftest import Build, MakeBook, write_chapter

CHAPTERS = profiles.chapters(PROJECT)
URL = "https://github.com/someone/kmgan"


def test_every_chapter_is_there_and_begins_with_the_cell() -> None:
    expected = address.CELL.format(address=address.configured(PROJECT))
    assert {chapter for chapter, _ in CHANGED} == set(CHAPTERS) == {path.stem for path in BOOK.glob("*.ipynb")}
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
    repository = with_library(tmp_path / "repository")
    commit(repository)
    clone = tmp_path / "content" / "kmgan-book"
    asked = f"pip install --quiet -e {clone} -e {clone / 'book'}\nlibrary of {clone / 'kmgan_lib'}\n"
    assert run_cell(tmp_path / "content", site, repository.as_uri(), os.environ["PATH"]) == (asked, "")
    # the next chapter: no git and no pip
    assert run_cell(tmp_path / "content", site, repository.as_uri()) == (f"library of {clone / 'kmgan_lib'}\n", "")


def test_the_cell_takes_the_checkout_above_or_an_installed_library_or_says_what_to_install(
    tmp_path: Path, site: Path
) -> None:
    last = run_cell(tmp_path / "away", site)[1].splitlines()[-1]
    assert last.startswith("ModuleNotFoundError: this kernel lacks the library: ")
    assert f"`{sys.executable} -m pip install -e . -e ./book`" in last
    checkout = with_library(tmp_path / "checkout")
    for folder in (checkout, checkout / "book"):
        assert run_cell(folder, site, "https://never.asked") == (f"library of {checkout / 'kmgan_lib'}\n", "")
    with_library(site)
    assert run_cell(checkout / "book", site, "https://never.asked") == (f"library of {site / 'kmgan_lib'}\n", "")


def test_wrong_requests_and_settings_stop_the_build(make_book: MakeBook, build: Build) -> None:
    root = make_book({"one": ["print(size)"]})
    for words, said in (
        (["--profile", "smok"], "unknown profile 'smok'; did you mean 'smoke'?"),
        (["--only", "oen"], "unknown chapter 'oen'; did you mean 'one'?"),
        (["--only", "status"], "unknown chapter 'status' (there are: one)"),
    ):
        assert build(root, *words) == (2, "", f"book: {said}\n")
    settings = (root / "book" / "profiles.yml").read_text(encoding="utf8")
    for right, wrong, said in (
        ("chapters: {}", "chapters: {one: {sise: 4}}", "chapter 'one' has no parameter 'sise'; did you mean 'size'?"),
        ("chapters: {}", "chapters: {'on': {size: 4}}", "unknown chapter 'on'; did you mean 'one'?"),
        ("chapters: {}", "chapters: {one: {size: true}}", "chapter 'one', parameter 'size' is True, needs int"),
        ("workers: 2", "workers: soon", "workers must be a whole number of at least 1, not 'soon'"),
    ):
        assert right in settings
        (root / "book" / "profiles.yml").write_text(settings.replace(right, wrong), encoding="utf8")
        status, out, err = build(root)
        assert (status, out, err.count("\n")) == (2, "", 1)
        assert said in err
    assert not (root / "build").exists()


def test_parameters_cell(tmp_path: Path) -> None:
    for source, said in (
        (None, "has 0 cells tagged 'parameters', needs exactly one"),
        ("size = 3  # how much", "line 1: expected `name: type = literal  # comment`"),
        ("size: int = 3", "parameter 'size' needs a comment on its line"),
        ("size: int = 2 + 2  # sum", "the value of 'size' is not a literal"),
        ("size: int = 0.5  # how much", "'size' is 0.5, which is not int"),
        ("size: list[int] = [0, '1']  # which", "'size' is [0, '1'], which is not list[int]"),
        ("size: int = 3  # k = 10 in the paper", "papermill cannot read parameter 'size'"),
    ):
        write_chapter(tmp_path / "one.ipynb", parameters=source)
        with pytest.raises(UsageError, match=f"^one: .*{re.escape(said)}"):
            profiles.parameters(tmp_path / "one.ipynb")


def test_chapters_in_the_order_of_the_contents(tmp_path: Path) -> None:
    (tmp_path / "_toc.yml").write_text(
        "root: b\nparts: [{caption: c, chapters: [{file: a, sections: [{file: c}]}, {file: page}]}]", encoding="utf8"
    )
    for name in "abc":
        (tmp_path / f"{name}.ipynb").touch()
    assert list(profiles.chapters(tmp_path)) == ["b", "a", "c"]


BOOK = Path(__file__).resolve().parents[2] / "book"
CHANGED: list[tuple[str, dict[str, Any]]] = [
    ("intro", {"dataset": "fashion", "iterations": 30, "seed": 1}), ("primer", {"seed": 1}),
    ("method", {"seed": 5, "k": 7, "d": 2, "b": 12}), ("synthetic", {"seed": 3}),
    ("pixels", {"dataset": "fashion", "k": 5, "seed": 1}), ("clipping", {"dataset": "fashion", "seed": 1}),
    ("fashion", {"dataset": "digits", "k": 5, "seed": 1}), ("cifar10", {"group": "cifar10", "seed": 1}),
    ("baselines", {"dataset": "digits", "method": "sngan", "seed": 1}),
    ("celeba", {"lambda_pair": 1.0, "k": 5, "seed": 1}),
    ("ablations", {"dataset": "fashion", "k": 5, "d_round": 100.0, "lambda_pair": 2.0, "clip": 1.0, "iterations": 40}),
    ("ablations", {"dataset": "digits", "grouping": "random", "iterations": 40, "seed": 2}), ("speed", {"seed": 1}),
    ("own_images", {"k": 5, "image_size": 28, "iterations": 20, "seed": 1}), ("verdict", {}), ("evidence", {}),
    ("repair", {"dataset": "fashion", "k": 5, "iterations": 40, "seed": 1}),
]  # fmt: skip


@pytest.mark.long
@pytest.mark.filterwarnings("ignore")  # of papermill and the notebook client
@pytest.mark.parametrize(("chapter", "changes"), CHANGED, ids=lambda value: value if isinstance(value, str) else "")
def test_a_chapter_runs_with_other_parameters(tmp_path: Path, chapter: str, changes: dict[str, Any]) -> None:
    os.environ["PYDEVD_DISABLE_FILE_VALIDATION"] = "1"
    papermill.execute_notebook(
        BOOK / f"{chapter}.ipynb", tmp_path / "out.ipynb", parameters={"profile": "smoke", **changes},
        kernel_name="python3", cwd=BOOK, progress_bar=False,
    )  # fmt: skip
