"""What is wrong with profiles and parameters cells is said in one line before anything runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from book.tools import profiles

from .conftest import Build, MakeBook, write_chapter


@pytest.mark.parametrize(
    ("profile", "said"),
    [
        ({"one": {"sise": 4}}, "chapter 'one' has no parameter 'sise'; did you mean 'size'?"),
        ({"on": {"size": 4}}, "unknown chapter 'on'; did you mean 'one'?"),
        ({"one": {"size": "4"}}, "chapter 'one', parameter 'size' is '4', needs int"),
        ({"one": {"size": True}}, "chapter 'one', parameter 'size' is True, needs int"),
        ({"one": {"name": 4}}, "chapter 'one', parameter 'name' is 4, needs str"),
    ],
)
def test_wrong_parameters_stop_the_build(make_book: MakeBook, build: Build, profile: dict[str, Any], said: str) -> None:
    root = make_book({"one": ["print(size)"]}, profile)
    before = sorted(root.rglob("*"))
    status, out, err = build(root)
    assert (status, out) == (2, "")
    assert said in err
    assert err.count("\n") == 1
    assert sorted(root.rglob("*")) == before


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--profile", "smok"], "unknown profile 'smok'; did you mean 'smoke'?"),
        (["--only", "oen"], "unknown chapter 'oen'; did you mean 'one'?"),
        (["--only", "status"], "unknown chapter 'status' (there are: one)"),
    ],
)
def test_wrong_requests_stop_the_build(make_book: MakeBook, build: Build, options: list[str], said: str) -> None:
    root = make_book({"one": ["print(size)"]})
    status, out, err = build(root, *options)
    assert (status, out) == (2, "")
    assert err == f"book: {said}\n"
    assert not (root / "build").exists()


@pytest.mark.parametrize("setting", ["workers", "cell_timeout", "start_timeout"])
def test_settings_are_whole_numbers(make_book: MakeBook, build: Build, setting: str) -> None:
    root = make_book({"one": []}, **{setting: "soon"})
    assert build(root) == (
        2,
        "",
        f"book: profiles.yml: smoke: {setting} must be a whole number of at least 1, not 'soon'\n",
    )


@pytest.mark.parametrize(
    ("source", "said"),
    [
        (None, "has 0 cells tagged 'parameters', needs exactly one"),
        ("size = 3  # how much", "line 1: expected `name: type = literal  # comment`"),
        ("size: int = 3", "parameter 'size' needs a comment on its line"),
        ("size: int = 2 + 2  # sum", "the value of 'size' is not a literal"),
        ("size: int = 0.5  # how much", "'size' is 0.5, which is not int"),
        ("size: int = 3  # k = 10 in the paper", "papermill cannot read parameter 'size'"),
        ("size: int = (", "parameters cell, line 1"),
    ],
)
def test_parameters_cell(tmp_path: Path, source: str | None, said: str) -> None:
    write_chapter(tmp_path / "one.ipynb", parameters=source)
    with pytest.raises(profiles.WrongUse) as caught:
        profiles.parameters(tmp_path / "one.ipynb")
    assert said in str(caught.value)
    assert str(caught.value).startswith("one: ")


@pytest.mark.parametrize(
    ("value", "annotation", "right"),
    [
        (1, "float", True),
        (1.0, "int", False),
        (True, "bool", True),
        (1, "bool", False),
        ([0, 1], "list[int]", True),
        ([0, "1"], "list[int]", False),
        (0, "list[int]", False),
        ("a", "Path", False),
    ],
)
def test_fits(value: Any, annotation: str, right: bool) -> None:
    assert profiles.fits(value, annotation) is right


def test_chapters_in_the_order_of_the_contents(tmp_path: Path) -> None:
    (tmp_path / "_toc.yml").write_text(
        "root: b\nparts: [{caption: c, chapters: [{file: a, sections: [{file: c}]}, {file: page}]}]", encoding="utf8"
    )
    for name in "abc":
        (tmp_path / f"{name}.ipynb").touch()
    assert list(profiles.chapters(tmp_path)) == ["b", "a", "c"]
