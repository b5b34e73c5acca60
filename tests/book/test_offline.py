"""Built pages: nothing is fetched from another host, no page is too large, and the book prints."""

import sys
from pathlib import Path

import pytest

from book.tools import browser, limits, offline, pdf, render

from .conftest import MakeBook

LOADS = (
    '<script src="https://cdn.example/x.js"></script>', '<script src="//cdn.example/x.js"></script>',
    '<script>const s = document.createElement("script"); s.src = "https://cdn.example/x.js";</script>',
    '<script type="module">import { x } from "https://cdn.example/x.mjs";</script>',
    '<script>require(["https://cdn.example/x.js"])</script>',
    '<link rel="stylesheet" href="https://cdn.example/x.css">', '<link rel="preconnect" href="https://cdn.example">',
    '<img src="http://cdn.example/x.png">', '<img srcset="a.png 1x, https://cdn.example/x.png 2x">',
    '<p style="background: url(https://cdn.example/x.png)">x</p>',
    '<style>@import "https://cdn.example/x.css";</style>',
    '<style>@font-face { src: url("//cdn.example/x.woff2"); }</style>',
    '<iframe src="https://cdn.example/"></iframe>', '<svg><image xlink:href="https://cdn.example/x.png"/></svg>',
    '<meta http-equiv="refresh" content="0; url=https://cdn.example/">',
)  # fmt: skip


def test_found_in_pages(tmp_path: Path) -> None:
    for html in LOADS:
        (tmp_path / "page.html").write_text(html, encoding="utf8")
        (found,) = offline.external_loads(tmp_path)
        assert found.startswith("page.html: ")
        assert "cdn.example" in found


def test_found_in_style_sheets(tmp_path: Path) -> None:
    (tmp_path / "x.css").write_text('/* url(https://a.example) */ @import url("https://b.example/x.css");', "utf8")
    assert list(offline.external_loads(tmp_path)) == ["x.css: https://b.example/x.css"]


def test_what_is_fine(tmp_path: Path) -> None:
    (tmp_path / "page.html").write_text(
        '<a href="https://example.org">a link</a><link rel="canonical" href="https://example.org/page.html">'
        '<link rel="stylesheet" href="x.css"><img src="data:image/png;base64,//8="><script src="_static/x.js"></script>'
        '<svg xmlns="http://www.w3.org/2000/svg"></svg><script>const page = "https://example.org";</script>'
        '<meta http-equiv="refresh" content="0; url=book/intro.html">',
        encoding="utf8",
    )
    (tmp_path / "x.css").write_text("a { background: url(x.png) }", encoding="utf8")
    assert list(offline.external_loads(tmp_path)) == []


def test_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys, "argv", ["offline", str(tmp_path)])
    assert offline.main() == 0
    (tmp_path / "page.html").write_text('<script src="https://cdn.example/x.js"></script>', encoding="utf8")
    assert offline.main() == 1
    assert capsys.readouterr().err == "page.html: script src https://cdn.example/x.js\n"


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


def test_what_is_missing_is_said_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(browser, "chromium", lambda: None)
    assert pdf.main(["--root", str(tmp_path)]) == 2
    assert capsys.readouterr().err == "pdf: needs Chromium, for example Debian's package: apt-get install chromium\n"
    monkeypatch.setattr(browser, "chromium", lambda: "chromium")
    assert pdf.main(["--root", str(tmp_path), "--profile", "quick"]) == 2
    assert capsys.readouterr().err == "pdf: no book of profile quick yet: make book PROFILE=quick\n"


@pytest.mark.skipif(browser.chromium() is None, reason="no Chromium: apt-get install chromium")
def test_the_book_is_printed(make_book: MakeBook) -> None:
    root = make_book({"one": ["1 + 1"]})
    hidden = (root / "book" / "one.ipynb").read_text(encoding="utf8").replace('"parameters"', '"hide-input"')
    (root / "book" / "one.ipynb").write_text(hidden, encoding="utf8")
    render.stage(root, root / "build" / "book" / "smoke", "# Status\n")
    assert pdf.main(["--root", str(root)]) == 0
    assert (root / pdf.PDF).read_bytes().startswith(b"%PDF")
