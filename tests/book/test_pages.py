"""The pages in a real browser: what loads, what is shown, what keys, fingers and screen readers find."""

from pathlib import Path
from typing import Any

import pytest

from book.tools import offline
from book.tools.execute import PROJECT
from book.tools.render import PAGES
from kmgan_book.explore import frames_html

from .conftest import Open

axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="no axe: pip install 'kmgan[dev]'")

SITE = PROJECT / PAGES
NO_BOOK = pytest.param("", marks=pytest.mark.skip(reason="there is no built book: make book"))
ALL = sorted(str(page.relative_to(SITE)) for page in SITE.rglob("*.html") if "_static" not in page.parts)
CODE = [page for page in ALL if page.startswith("_modules")]
READ = [page for page in ALL if page not in CODE and page != "index.html"]  # the index only leads on
WCAG = {"runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa"], "resultTypes": ["violations"], "preload": False}
# On a page of tens of thousands of elements, which take a minute, the first sections stand for the others.
MANY, FEW = 10_000, {"include": [[".bd-sidebar-primary"], [".bd-article section section:nth-of-type(-n+2)"]]}
CONTRAST = {**WCAG, "runOnly": ["color-contrast"]}
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


def violations(page: Any, options: dict[str, Any]) -> list[str]:
    """Return what axe finds: rule, element and what is wrong."""
    context = FEW if page.evaluate("document.querySelectorAll('*').length") > MANY else None
    found = axe.Axe().run(page, context=context, options=options).response["violations"]
    return [f"{rule['id']}: {node['html'][:200]}" for rule in found for node in rule["nodes"]]


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
    assert violations(page, WCAG) == []
    page.emulate_media(color_scheme="dark")
    page.wait_for_function("document.documentElement.dataset.theme === 'dark'")
    page.wait_for_timeout(400)  # colours fade from one theme to the other
    assert violations(page, CONTRAST) == []
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
        ends = page.evaluate(
            """["brief", "numbers"].map((name) =>
                document.querySelector(`.first-screen .${name}`).getBoundingClientRect().bottom + scrollY)"""
        )
        assert max(ends) < fold
        first = page.evaluate("document.querySelector('.bd-article .cell').getBoundingClientRect().top + scrollY")
        assert first < ends[0], "no cell stands above the answer"
        assert page.locator(".first-screen canvas").first.is_visible()
        wide = page.evaluate("Math.max(...[...document.querySelectorAll('.first-screen *')].map((e) => e.scrollWidth))")
        assert wide <= width


@pytest.mark.skipif(not CODE, reason="there is no built book: make book")
def test_pages_of_code_load(open_page: Open) -> None:
    for name in {CODE[0], CODE[len(CODE) // 2], CODE[-1]}:  # they differ in their code alone
        open_page(SITE / name).close()


@pytest.mark.skipif(not ALL, reason="there is no built book: make book")
def test_pages_are_light() -> None:
    assert list(offline.too_large(SITE)) == []


@pytest.mark.skipif(not ALL, reason="there is no built book: make book")
def test_search_finds_without_a_network(chromium: Any) -> None:
    page = chromium.new_page()
    page.goto((SITE / "search.html").as_uri() + "?q=centers")
    page.wait_for_selector("#search-results li a")
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
    right, middle, left = (box["x"] + share * box["width"] for share in (0.9, 0.5, 0.1))
    y = box["y"] + box["height"] / 2
    touch = frames.context.new_cdp_session(frames)
    touch.send("Input.dispatchTouchEvent", {"type": "touchStart", "touchPoints": [{"x": right, "y": y}]})
    for x in (right - 20, middle + 20, middle):
        touch.send("Input.dispatchTouchEvent", {"type": "touchMove", "touchPoints": [{"x": x, "y": y}]})
    touch.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
    assert shown(frames) == ("two", ["A cloud: two"])
    frames.mouse.move(right, y)
    frames.mouse.down()
    frames.mouse.move(left, y, steps=4)
    frames.mouse.up()
    assert shown(frames) == ("one", ["A cloud: one"])
    frames.focus("input")
    frames.keyboard.press("End")
    frames.keyboard.press("ArrowLeft")
    assert shown(frames) == ("two", ["A cloud: two"])
    assert frames.locator("input").get_attribute("aria-valuetext") == "two"
    frames.keyboard.press("End")
    frames.click("button")  # at the end it begins anew
    assert shown(frames)[0] == "one"
    frames.wait_for_function("document.querySelector('output').value === 'three'")
    frames.emulate_media(media="print")
    assert not frames.locator("input").is_visible()
    assert shown(frames) == ("three", ["A cloud: three"])
