"""Pictures with a slider, in plain HTML: interaction that needs neither a kernel nor another host."""

from __future__ import annotations

import base64
from html import escape

from kmgan_book import STATIC

# One figure carries all it needs, so that it works in a page, in Jupyter and in an exported notebook alike. The script
# starts every figure that has not been started; the slider's keys, touch and screen reader names are the browser's.
_STYLE, _SCRIPT = ((STATIC / name).read_text(encoding="utf8") for name in ("frames.css", "frames.js"))


def frames_html(images: list[bytes], labels: list[str], alt: str, *, poster: int | None = None) -> str:
    """A figure, as HTML with its own style and script, that shows one of several encoded images, chosen by a slider.

    Readers move through the frames with the slider, its arrow keys, by dragging across the image, or with a button
    that plays them (hidden from readers who ask for less motion). Without JavaScript, and in print before anything was
    moved, the poster shows.

    Parameters
    ----------
    images : list of bytes
        In WebP, in order, all of one size; about 20 KB each keeps a page light.
    labels : list of str
        What each frame is, such as ``"iteration 500"``; shown beside the slider and read to screen readers.
    alt : str
        What the images show, for readers who do not see them; each frame's label is added.
    poster : int, optional
        Index of the image that shows first. Without one the last does, and the frames play once when they are seen,
        unless the reader asks for less motion.
    """
    if not images or len(images) != len(labels):
        raise ValueError(f"frames_html needs one label for each image; got {len(images)} and {len(labels)}")
    last = len(images) - 1
    first = last if poster is None else poster
    frames = "\n".join(
        f'<img src="data:image/webp;base64,{base64.b64encode(image).decode()}" alt="{escape(f"{alt}: {label}")}"'
        f' data-label="{escape(label)}"{"" if index == first else " hidden"}>'
        for index, (image, label) in enumerate(zip(images, labels, strict=True))
    )
    autoplay = " data-autoplay" if poster is None else ""
    return (
        f'<style>\n{_STYLE}</style>\n<figure class="kmgan-frames"{autoplay}>\n{frames}\n<figcaption>'
        f'<button type="button" hidden>Play</button>'
        f'<input type="range" min="0" max="{last}" value="{first}" aria-label="{escape(alt)}" hidden>'
        f"<output>{escape(labels[first])}</output></figcaption>\n</figure>\n<script>{{\n{_SCRIPT}}}</script>"
    )
