from __future__ import annotations

import base64
import re

import pytest

from kmgan_book.explore import frames_html


def test_frames_show_the_last_picture_without_javascript() -> None:
    html = frames_html([b"one", b"two", b"three"], ["a", "b", "c"], "A cloud", "image/webp")
    pictures = re.findall(r"<img [^>]*>", html)
    assert ["hidden" in picture for picture in pictures] == [True, True, False]
    assert f"data:image/webp;base64,{base64.b64encode(b'one').decode()}" in pictures[0]
    assert 'alt="A cloud: c"' in pictures[2]
    assert re.search(r'<input type="range" min="0" max="2" value="2" [^>]*hidden>', html)
    assert "data-autoplay" in re.search("<figure[^>]*>", html)[0]  # pyright: ignore[reportOptionalSubscript]
    assert "http" not in html


def test_frames_escape_what_is_written() -> None:
    html = frames_html([b"one"], ['<b>"1"</b>'], 'x" onload="y')
    assert "<b>" not in html
    assert 'x" onload' not in html


@pytest.mark.parametrize(("images", "labels"), [([], []), ([b"one"], []), ([b"one"], ["a", "b"])])
def test_frames_need_a_label_each(images: list[bytes], labels: list[str]) -> None:
    with pytest.raises(ValueError, match="one label for each image"):
        frames_html(images, labels, "A cloud")


def test_a_poster_can_be_chosen() -> None:
    html = frames_html([b"one", b"two", b"three"], ["a", "b", "c"], "A cloud", poster=1)
    assert ["hidden" in picture for picture in re.findall(r"<img [^>]*>", html)] == [True, False, True]
    assert 'value="1"' in html
    assert 'class="kmgan-frames">' in html  # it does not play by itself
    assert "<output>b</output>" in html
