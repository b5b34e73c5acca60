"""The README's ledger is that of the records."""

from __future__ import annotations

import pytest

from book.tools import readme
from book.tools.execute import PROJECT
from kmgan_book import claims


def test_the_readme_shows_the_ledger_of_the_records() -> None:
    text = (PROJECT / "README.md").read_text(encoding="utf8")
    assert readme.with_ledger(text) == text, "`make readme` writes it anew"
    for verdict in claims.verdicts():
        (line,) = [line for line in text.splitlines() if line.startswith(f"| {verdict.claim.name} |")]
        assert f" | **{verdict.word}** | " in line
        assert verdict.claim.paper in line


def test_a_readme_without_the_marks_is_left_alone() -> None:
    with pytest.raises(ValueError, match="needs the lines"):
        readme.with_ledger("# A book\n")
