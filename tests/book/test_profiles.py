"""What is wrong with profiles and parameters cells is said in one line before anything runs."""

import os
import re
from pathlib import Path
from typing import Any

import papermill
import pytest

from book.tools import profiles
from kmgan_lib.errors import UsageError

from .conftest import Build, MakeBook, write_chapter


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


def test_every_chapter_is_there() -> None:
    assert {chapter for chapter, _ in CHANGED} == {path.stem for path in BOOK.glob("*.ipynb")}
