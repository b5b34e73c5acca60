"""What runs in the page, in a real browser: generators, the loss lab, thresholds and the wall of evidence."""

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kmgan_book import STATIC, claims, records, report
from kmgan_lib.generator import load_generator
from kmgan_pages import gallery, live, thresholds

from .conftest import CONTRAST, WCAG, Open, drag, swipe, violations

STYLE = (
    (STATIC / "kmgan.css").read_text(encoding="utf8")
    + """
body { margin: 8px } [data-theme=dark] { --pst-color-background: #14181e; --pst-color-text-base: #ced6dd }
[data-theme=dark] body { background: #14181e; color: #ced6dd }"""
)
GENERATORS = {"KM-GAN": "mnist/kmgan", "true labels": "mnist/kmgan-true"}
FIGURES: dict[str, Callable[[], report.Html]] = {
    "generators": lambda: live.generator(report.recorded(GENERATORS), images=4), "lab": live.loss_lab,
    "thresholds": lambda: thresholds.figure(claims.verdicts()), "wall": lambda: gallery.wall(records.all_records()),
    "replay": lambda: live.replay({"KM-GAN": "mnist-kmgan-seed0"}, caption=""),
}  # fmt: skip


@functools.cache
def html_of(name: str) -> str:
    return FIGURES[name]().text


@pytest.fixture
def shown(open_page: Open, tmp_path: Path) -> Callable[..., Any]:
    """Return a function that opens a page of one figure in one theme."""

    def show(name: str, theme: str = "light") -> Any:
        path = tmp_path / f"{name}-{theme}.html"
        head = f'<html lang="en" data-theme="{theme}"><meta charset="utf8"><title>x</title><style>{STYLE}</style>'
        view = '<meta name="viewport" content="width=device-width">'
        path.write_text(f"<!doctype html>{head}{view}<main><h1>x</h1>{html_of(name)}</main>", encoding="utf8")
        return open_page(path)

    return show


@pytest.mark.parametrize("name", FIGURES)
def test_a_figure_for_everyone(shown: Callable[..., Any], name: str) -> None:
    for theme, rules in (("light", WCAG), ("dark", CONTRAST)):
        page = shown(name, theme)
        assert violations(page, rules) == []
    page.set_viewport_size({"width": 390, "height": 844})
    assert page.evaluate("document.documentElement.scrollWidth") <= 390


def drawn(page: Any) -> list[str]:
    """What the canvases show."""
    return page.evaluate("[...document.querySelectorAll('canvas')].map((canvas) => canvas.toDataURL())")


def wait_for_the_end(page: Any, last: int) -> None:
    """Wait until a figure has played to its end, by itself."""
    page.wait_for_function(f"document.querySelector('input').value === '{last}'")
    page.wait_for_function("document.querySelector('button').textContent === 'Play'")


def test_generators_follow_keys_mouse_and_finger_and_draw_what_the_record_draws(shown: Callable[..., Any]) -> None:
    page = shown("generators")
    slider = page.locator("input")
    wait_for_the_end(page, 100)
    assert not page.locator("img").count()
    states = [drawn(page)]
    page.press("input", "Home")
    states.append(drawn(page))
    drag(page, page.locator("canvas").first.bounding_box(), 0.1, 0.6)
    assert 40 <= int(slider.input_value()) <= 60
    states.append(drawn(page))
    page.click("text=New noise")
    states.append(drawn(page))
    before = int(slider.input_value())
    swipe(page, page.locator("canvas").last.bounding_box(), 0.2, 0.45)
    assert int(slider.input_value()) > before + 10
    states.append(drawn(page))
    for one in (0, 1):
        assert len({state[one] for state in states}) == len(states)
    page.emulate_media(reduced_motion="reduce")
    page.reload()
    assert slider.input_value() == "0"
    data = "[...document.querySelector('canvas').getContext('2d').getImageData(0, 0, 28, 28).data]"
    generator = load_generator(records.load("mnist/kmgan", "quick")[0].generator)
    expected = generator.images(generator.noise(8, 0).half().float())[0].flatten() * 255
    assert max(abs(a - b) for a, b in zip(page.evaluate(data)[::4], expected.tolist(), strict=True)) < 1


def test_stills_without_javascript(chromium: Any, shown: Callable[..., Any]) -> None:
    for name, still in (("generators", "img"), ("lab", "img"), ("replay", ".replay-frame")):
        page = chromium.new_page(java_script_enabled=False)
        page.goto(shown(name).url)
        assert page.locator(still).first.is_visible()
        assert not page.locator("button").first.is_visible()
        assert name != "replay" or "background-position:100% 100%" in page.locator(still).get_attribute("style")
        page.close()


PLACE = "getComputedStyle(document.querySelector('.replay-frame')).backgroundPosition"


def test_a_replay_plays_once_and_follows_keys_and_mouse(shown: Callable[..., Any]) -> None:
    page = shown("replay")
    slider, output = page.locator("input"), page.locator("output")
    wait_for_the_end(page, 29)
    assert output.inner_text() == "iteration 10,000"
    end = page.evaluate(PLACE)
    page.press("input", "Home")
    assert output.inner_text() == "iteration 333"
    assert page.evaluate(PLACE) != end
    drag(page, page.locator(".replay-frame").bounding_box(), 0.1, 0.6)
    assert 12 <= int(slider.input_value()) <= 17
    page.click("text=Play")
    wait_for_the_end(page, 29)
    page.emulate_media(reduced_motion="reduce")
    page.reload()
    page.wait_for_timeout(500)
    assert slider.input_value() == "29", "without motion it rests at its end"


def value(page: Any, name: str) -> float:
    """A number below the lab's switches."""
    return float(page.locator(f'[data-lab="value-{name}"]').inner_text().replace("−", "-"))


def test_the_lab_is_moved_and_shows_its_points(shown: Callable[..., Any]) -> None:
    page = shown("lab")
    before = value(page, "D")
    drag(page, page.locator(".lab-fake.lab-point").first.bounding_box(), 0.5, 8)
    dragged = value(page, "D")
    assert dragged != before
    page.press("svg", "PageDown")
    for _ in range(8):
        page.keyboard.press("ArrowRight")
    assert "generated feature" in page.locator('[data-lab="chosen"]').inner_text()
    assert value(page, "D") != dragged

    page.click("text=Eq. (4) sees only a sum")
    assert value(page, "center") == 0
    assert value(page, "corresponding") > 2
    page.check('[data-lab="corresponding"]')
    assert page.locator(".lab-arrow").count() > 10

    page.emulate_media(reduced_motion="reduce")
    page.click("text=Without the push")
    assert 0 < value(page, "D") < 0.3
    page.check('[data-lab="push"]')
    assert value(page, "D") < 0


def test_a_threshold_is_moved_and_the_verdict_flips(shown: Callable[..., Any]) -> None:
    page = shown("thresholds")
    page.wait_for_function("!document.querySelector('.live-still')")
    page.evaluate("document.querySelectorAll('details').forEach((one) => (one.open = true))")
    decided = [verdict for verdict in claims.verdicts() if not verdict.missing]
    figures = page.locator("figure")
    assert figures.count() == len(decided)
    words = set()
    for figure, verdict in zip(figures.all(), decided, strict=True):
        for knob in figure.locator(".live-knob").all()[:2]:
            for key in ("Home", "End"):
                knob.locator("input").press(key)
                words.add((verdict.word, knob.locator("output").inner_text().partition(", ")[2]))
            knob.locator("button").click()
            assert knob.locator("output").inner_text().endswith(f", {verdict.word}")
    assert any(before != after for before, after in words), "none flips"


def test_the_wall_is_filtered_and_opened(shown: Callable[..., Any]) -> None:
    page = shown("wall")
    visible = "[...document.querySelectorAll('details')].filter((tile) => tile.checkVisibility()).length"
    names = [record.result["preset"]["name"] for record in records.all_records()]
    assert page.evaluate(visible) == len(names)
    page.select_option("select[name=set]", "fashion")
    fashion = sum(name.startswith("fashion/") for name in names)
    assert page.evaluate(visible) == fashion
    assert page.locator("output").inner_text().startswith(f"{fashion} runs, ")
    page.locator("details:visible summary").first.press("Enter")
    assert "kmgan train fashion/" in page.locator("details[open] dl").inner_text()
