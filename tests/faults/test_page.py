"""The page about faults: every test that it names is there."""

import ast
import re
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "book" / "faults.md").read_text(encoding="utf8")
NAMED = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", PAGE)


def test_every_test_that_the_page_names_is_there() -> None:
    for file, name in NAMED:
        tree = ast.parse((ROOT / file).read_text(encoding="utf8"))
        assert name in {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}, f"{file}::{name}"


def test_every_row_names_a_test() -> None:
    rows = [line for line in PAGE.splitlines() if line.startswith("| ") and not line.startswith("| Fault ")]
    assert len(rows) >= 20
    assert [row for row in rows if not re.search(r"`tests/[\w/]+\.py::\w+`", row)] == []


def test_the_page_is_in_the_book() -> None:
    assert {"file": "book/faults"} in sections(yaml.safe_load((ROOT / "_toc.yml").read_text(encoding="utf8")))


def sections(contents: Any) -> list[Any]:
    """Return all entries of a table of contents, those of inner sections too."""
    inner = [entry for key in ("parts", "chapters", "sections") for entry in contents.get(key, ())]
    return inner + [below for entry in inner for below in sections(entry)]
