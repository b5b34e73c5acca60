"""Built pages, also in a real browser: what loads, what is shown, what keys, fingers and screen readers find."""

import ast
from pathlib import Path
from typing import Any

import pytest

from book.tools import browser, offline, page_parts, pdf, render
from book.tools.execute import PROJECT
from book.tools.render import PAGES
from kmgan_book.explore import frames_html

from .conftest import CONTRAST, MakeBook, Open, Patch, drag, swipe, violations

SITE = PROJECT / PAGES
NO_BOOK = pytest.param("", marks=pytest.mark.skip(reason="there is no built book: make book"))
ALL = sorted(str(page.relative_to(SITE)) for page in SITE.rglob("*.html") if "_static" not in page.parts)
CODE = [page for page in ALL if page.startswith("_modules")]
READ = [page for page in ALL if page not in CODE and page != "index.html"]  # the index only leads on
# On a page of tens of thousands of elements, which take a minute, the first sections stand for the others.
MANY, FEW = 10_000, {"include": [[".bd-sidebar-primary"], [".bd-article section section:nth-of-type(-n+2)"]]}
PICTURE = b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR\x00\x00\x00\x01\x00\x00\x00\x01\x08\x06\x00\x00\x00\x1f\x15\xc4\x89"

# Equations, code, tables and boxes that end outside the text and not in something that scrolls.
CUT = """() => {
    const text = document.querySelector(".bd-article"), end = text.getBoundingClientRect().right + 1.5;
    const scrolls = (one) =>
        one !== text && (/auto|scroll/.test(getComputedStyle(one).overflowX) || scrolls(one.parentElement));
    return [...text.querySelectorAll(":is(table, pre, mjx-container, .admonition, .verdict, img, canvas)")]
        .filter((one) => one.offsetParent && !one.closest("mjx-assistive-mml, .full-width"))
        .filter((one) => one.getBoundingClientRect().right > end && !scrolls(one.parentElement))
        .map((one) => `${one.tagName} ${one.className} ${one.textContent.slice(0, 40)}`);
}"""


@pytest.mark.parametrize("name", READ or [NO_BOOK])
def test_a_page_for_everyone(open_page: Open, name: str) -> None:
    page = open_page(SITE / name)
    assert page.locator('meta[property="og:image"]').count() == 1
    assert page.locator(".tag_parameters, .tag_injected-parameters").count() == 0
    if (SITE / "_sources" / name).with_suffix(".ipynb").exists():  # parameters stand at the foot
        assert page.locator("p.run-with code").count() > 0
    unset = page.evaluate(
        """async () => {
            if (window.MathJax?.startup) await MathJax.startup.promise;
            const formulas = [...document.querySelectorAll(".math:is(span, div)")];
            return formulas.filter((one) => !one.querySelector("mjx-container") || one.querySelector("mjx-merror"))
                .map((one) => one.textContent);
        }"""
    )
    assert unset == []
    part = FEW if page.evaluate("document.querySelectorAll('*').length") > MANY else None
    assert violations(page, context=part) == []
    page.emulate_media(color_scheme="dark")
    page.wait_for_function("document.documentElement.dataset.theme === 'dark'")
    # Colours fade from one theme to the other.
    page.wait_for_function("!document.getAnimations().some((one) => one instanceof CSSTransition)")
    assert violations(page, CONTRAST, part) == []
    for width in (1920, 768, 390):
        page.set_viewport_size({"width": width, "height": 844})
        wide = page.evaluate("document.documentElement.scrollWidth")
        assert wide <= width, f"{wide} pixels wide on a screen of {width}"
        assert not name.startswith("book/") or page.evaluate(CUT) == [], width


@pytest.mark.skipif("book/intro.html" not in ALL, reason="there is no built book: make book")
def test_the_answer_is_on_the_first_screen(open_page: Open) -> None:
    page = open_page(SITE / "book" / "intro.html")
    for width, height, fold in ((1280, 900, 600), (390, 844, 800)):
        page.set_viewport_size({"width": width, "height": height})
        for part in ("brief", "numbers"):
            box = page.locator(f".first-screen .{part}").bounding_box()
            assert box["y"] + box["height"] < fold
        assert page.locator(".first-screen canvas").first.is_visible()


@pytest.mark.skipif(not ALL, reason="there is no built book: make book")
def test_pages_are_light_and_search_and_code_work_without_a_network(open_page: Open, chromium: Any) -> None:
    assert list(offline.too_large(SITE)) == []
    open_page(SITE / CODE[0])  # pages of code differ in their code alone
    page = chromium.new_page()
    page.goto((SITE / "search.html").as_uri() + "?q=centers")
    found = "() => document.querySelector('#search-results').innerText.toLowerCase().includes('the method')"
    page.wait_for_function(found, timeout=10_000)  # the list grows a result at a time
    page.close()


def shown(page: Any) -> tuple[str, list[str]]:
    """Return the label beside the slider and the labels of the visible pictures."""
    visible = page.evaluate(
        "[...document.querySelectorAll('img')].filter((i) => i.checkVisibility()).map((i) => i.alt)"
    )
    return page.locator("output").inner_text(), visible


def test_frames_follow_keys_a_finger_and_a_mouse_and_play(open_page: Open, tmp_path: Path) -> None:
    html = frames_html([PICTURE] * 3, ["one", "two", "three"], "A cloud", poster=2)  # which does not play by itself
    # The pictures are empty: give them a size that a finger can cross.
    style = "<style>img{width:300px!important;height:200px}</style>"
    (tmp_path / "frames.html").write_text(f'<!doctype html><html lang="en"><title>x</title>{html}{style}', "utf8")
    frames = open_page(tmp_path / "frames.html")
    assert shown(frames) == ("three", ["A cloud: three"])
    box = frames.locator("img:not([hidden])").bounding_box()
    swipe(frames, box, 0.9, 0.5)
    assert shown(frames) == ("two", ["A cloud: two"])
    drag(frames, box, 0.9, 0.1)
    assert shown(frames) == ("one", ["A cloud: one"])
    frames.press("input", "End")
    frames.press("input", "ArrowLeft")
    assert shown(frames) == ("two", ["A cloud: two"])
    assert frames.locator("input").get_attribute("aria-valuetext") == "two"
    frames.press("input", "End")
    frames.click("button")  # at the end it begins anew
    assert shown(frames)[0] == "one"
    frames.wait_for_function("document.querySelector('output').value === 'three'")
    frames.emulate_media(media="print")
    assert not frames.locator("input").is_visible()
    assert shown(frames) == ("three", ["A cloud: three"])


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


def test_a_page_weighs_what_it_shows_and_what_is_too_large_is_named(tmp_path: Path, monkeypatch: Patch) -> None:
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
    page = root / "book" / "one.ipynb"
    page.write_text(page.read_text(encoding="utf8").replace('"parameters"', '"hide-input"'), encoding="utf8")
    render.stage(root, root / "build" / "book" / "smoke", "# Status\n")
    pdf.make(root, "smoke")
    assert (root / pdf.PDF).read_bytes().startswith(b"%PDF")


def test_bare_code_has_no_docstring_no_decorator_and_no_types() -> None:
    module = 'class A:\n    @staticmethod\n    def f(x: int) -> int:\n        """Say."""\n        return x\n'
    assert page_parts.bare(module, "A.f") == "def f(x):\n    return x"
    source = (PROJECT / "kmgan_lib" / "losses.py").read_text(encoding="utf8")
    ast.parse(page_parts.bare(source, "center_loss"))
