"""Built pages: what loads, how much it weighs, what is folded, what a phone gets, and that the book prints."""

import ast
from pathlib import Path

import pytest

from book.tools import browser, offline, page_parts, pdf, render
from book.tools.execute import PROJECT

from .conftest import MakeBook

LOADS = (
    '<script src="https://cdn.example/x.js"></script>', '<script src="//cdn.example/x.js"></script>',
    '<script>const s = document.createElement("script"); s.src = "https://cdn.example/x.js";</script>',
    '<script type="module">import { x } from "https://cdn.example/x.mjs";</script>',
    '<script>require(["https://cdn.example/x.js"])</script>',
    '<link rel="stylesheet" href="https://cdn.example/x.css">', '<img src="http://cdn.example/x.png">',
    '<img srcset="a.png 1x, https://cdn.example/x.png 2x">', '<p style="background: url(https://cdn.example/x.png)">',
    '<style>@import "https://cdn.example/x.css";</style>', '<iframe src="https://cdn.example/"></iframe>',
    '<svg><image xlink:href="https://cdn.example/x.png"/></svg>',
)  # fmt: skip
FINE = (
    '<a href="https://example.org">a link</a><link rel="canonical" href="https://example.org/page.html">'
    '<link rel="stylesheet" href="x.css"><img src="data:image/png;base64,//8="><script src="_static/x.js"></script>'
    '<svg xmlns="http://www.w3.org/2000/svg"></svg><script>const page = "https://example.org";</script>'
    '<meta http-equiv="refresh" content="0; url=book/intro.html">'
)


def test_what_loads_from_another_host_is_found(tmp_path: Path) -> None:
    for html in LOADS:
        (tmp_path / "page.html").write_text(html, encoding="utf8")
        (found,) = offline.external_loads(tmp_path)
        assert found.startswith("page.html: ")
        assert "cdn.example" in found
    (tmp_path / "page.html").write_text(FINE, encoding="utf8")
    assert list(offline.external_loads(tmp_path)) == []
    (tmp_path / "x.css").write_text('/* url(https://a.example) */ @import url("https://b.example/x.css");', "utf8")
    assert list(offline.external_loads(tmp_path)) == ["x.css: https://b.example/x.css"]


def test_a_page_weighs_what_it_shows_and_what_is_too_large_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a picture.png").write_bytes(bytes(1_000_000))
    html = '<img src="a%20picture.png"><img src="a%20picture.png"><img src="data:,x"><script src="x.js"></script>'
    (tmp_path / "page.html").write_text(html, encoding="utf8")
    (tmp_path / "x.js").write_bytes(bytes(3_000_000))
    assert offline.weight(tmp_path / "page.html") == 1_000_000 + len(html)
    assert list(offline.too_large(tmp_path)) == []
    monkeypatch.setattr(offline, "PAGE", 900_000)
    monkeypatch.setattr(offline, "SITE", 3_000_000)
    assert list(offline.too_large(tmp_path)) == [
        "page.html: 1.0 MB with its pictures, at most 1", "the whole book: 4.0 MB, at most 3",
    ]  # fmt: skip


@pytest.mark.long
@pytest.mark.skipif(browser.chromium() is None, reason="no Chromium: apt-get install chromium")
def test_the_book_is_printed(make_book: MakeBook) -> None:
    root = make_book({"one": ["1 + 1"]})
    hidden = (root / "book" / "one.ipynb").read_text(encoding="utf8").replace('"parameters"', '"hide-input"')
    (root / "book" / "one.ipynb").write_text(hidden, encoding="utf8")
    render.stage(root, root / "build" / "book" / "smoke", "# Status\n")
    pdf.make(root, "smoke")
    assert (root / pdf.PDF).read_bytes().startswith(b"%PDF")


def test_bare_code_has_no_docstring_no_decorator_and_no_types() -> None:
    module = 'class A:\n    @staticmethod\n    def f(x: int) -> int:\n        """Say."""\n        return x\n'
    assert page_parts.bare(module, "A.f") == "def f(x):\n    return x"
    source = (PROJECT / "kmgan_lib" / "losses.py").read_text(encoding="utf8")
    ast.parse(page_parts.bare(source, "center_loss"))
