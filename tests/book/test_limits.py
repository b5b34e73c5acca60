from __future__ import annotations

from pathlib import Path

import pytest

from book.tools import limits


def test_a_page_weighs_what_it_shows(tmp_path: Path) -> None:
    (tmp_path / "a picture.png").write_bytes(bytes(1000))
    html = (
        '<img alt="" src="a%20picture.png"><img src="a%20picture.png"><img src="data:,x"><script src="x.js"></script>'
    )
    (tmp_path / "page.html").write_text(html, encoding="utf8")
    (tmp_path / "x.js").write_bytes(bytes(500))
    assert limits.weight(tmp_path / "page.html") == 1000 + len(html)


def test_what_is_too_large_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "book").mkdir()
    (tmp_path / "book" / "one.html").write_text("x" * 2_000_000, encoding="utf8")
    (tmp_path / "x.woff").write_bytes(bytes(2_000_000))
    assert list(limits.too_large(tmp_path)) == []
    monkeypatch.setattr(limits, "PAGE", 1_000_000)
    monkeypatch.setattr(limits, "SITE", 3_000_000)
    assert list(limits.too_large(tmp_path)) == [
        "book/one.html: 2.0 MB with its pictures, at most 1",
        "the whole book: 4.0 MB, at most 3",
    ]
