"""Built pages: what loads, how much it weighs, what is folded, what a phone gets, and that the book prints."""

import ast
import base64
import hashlib
import io
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from docutils import nodes
from PIL import Image

from book.tools import browser, offline, page_parts, pdf, render
from book.tools.execute import PROJECT
from kmgan_book import phone

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


@pytest.mark.parametrize(("profile", "opened"), [("smoke", False), ("quick", True), ("", True)])
def test_the_section_to_be_run_is_folded_under_smoke(tmp_path: Path, profile: str, opened: bool) -> None:
    cell = {"metadata": {"tags": ["injected-parameters"]}, "source": ["# x\n", f'profile = "{profile}"']}
    (tmp_path / "one.ipynb").write_text(json.dumps({"cells": [cell] if profile else []}), encoding="utf8")
    doctree = nodes.document(None, None)  # pyright: ignore[reportArgumentType]
    for title in ("Why", page_parts.RUN):
        doctree += nodes.section("", nodes.title("", title), nodes.paragraph("", "text"))
    app: Any = SimpleNamespace(srcdir=tmp_path, env=SimpleNamespace(docname="one"))
    page_parts.fold(app, doctree)
    why, run = doctree.findall(nodes.section)
    assert len(why) == 2
    assert [type(child) for child in run] == [nodes.title, nodes.raw, nodes.paragraph, nodes.raw]
    assert ("<details" in run[1].astext(), " open>" in run[1].astext()) == (True, opened)
    assert run[-1].astext() == "</details>"


def test_a_page_shows_a_phone_the_second_image_of_a_figure(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    Image.effect_noise((200, 100), 50).convert("RGBA").save(buffer, "PNG")
    first, second = buffer.getvalue(), b"second"
    light = render.lighter(first)
    assert len(light) < 0.8 * len(first)
    name = hashlib.sha256(light).hexdigest()
    data = {kind: base64.b64encode(each).decode() for kind, each in (("image/png", first), (phone.PHONE, second))}
    (tmp_path / "book").mkdir()
    cells = [{"cell_type": "markdown"}, {"outputs": [{"data": data}, {"name": "stdout"}]}]
    chapter = tmp_path / "book" / "a.ipynb"
    chapter.write_text(json.dumps({"cells": cells}), encoding="utf8")
    render.take_phone_images(chapter, tmp_path / render.PHONES)
    assert phone.PHONE not in chapter.read_text(encoding="utf8")
    (tmp_path / "_images").mkdir()
    page, other = tmp_path / "a.html", f'<img src="_images/{"0" * 64}.png">'
    page.write_text(f'<img alt="x" src="_images/{name}.png" class="y">{other}', encoding="utf8")
    app: Any = SimpleNamespace(srcdir=tmp_path, outdir=tmp_path, builder=SimpleNamespace(name="html"))
    page_parts.finish(app, None)
    assert page.read_text(encoding="utf8") == (
        f'<picture><source media="(max-width: 40rem)" srcset="_images/{name}.webp">'
        f'<img alt="x" src="_images/{name}.png" class="y"></picture>{other}'
    )
    assert (tmp_path / "_images" / f"{name}.webp").read_bytes() == second
