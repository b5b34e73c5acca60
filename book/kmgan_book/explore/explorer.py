"""A figure that follows sliders where there is a kernel, and a row of images with one slider where there is none."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from matplotlib.figure import Figure

from kmgan_book import STATIC
from kmgan_book.explore.drawing import encoded
from kmgan_book.report import webp

if TYPE_CHECKING:
    from ipywidgets import VBox

WIDGET = "application/vnd.jupyter.widget-view+json"


# One figure carries all it needs, so that it works in a page, in Jupyter and in an exported notebook alike. The script
# starts every figure that has not been started; the slider's keys, touch and screen reader names are the browser's.
_STYLE, _SCRIPT = ((STATIC / name).read_text(encoding="utf8") for name in ("frames.css", "frames.js"))


def frames_html(
    images: list[bytes], labels: list[str], alt: str, *, poster: int | None = None, chart: bool = False
) -> str:
    """A figure, as HTML with its own style and script, that shows one of several images in WebP, chosen by a slider.

    Readers move through the frames with the slider, its arrow keys, by dragging across the image, or with a button
    that plays them (hidden from readers who ask for less motion). Without JavaScript, and in print before anything was
    moved, the image number `poster` shows; without one the last, and the frames play once when they are seen.

    A frame's label, such as ``"iteration 500"``, is shown beside the slider; with `alt` it is read to screen readers.
    A `chart` is of dark lines on white, which a dark page turns round.
    """
    if not images or len(images) != len(labels):
        raise ValueError(f"frames_html needs one label for each image; got {len(images)} and {len(labels)}")
    last = len(images) - 1
    first = last if poster is None else poster
    frames = "\n".join(
        f'<img src="{webp(image)}" alt="{escape(f"{alt}: {label}")}"'
        f' data-label="{escape(label)}"{"" if index == first else " hidden"}>'
        for index, (image, label) in enumerate(zip(images, labels, strict=True))
    )
    kind, autoplay = " chart" if chart else "", " data-autoplay" if poster is None else ""
    return (
        f'<style>\n{_STYLE}</style>\n<figure class="kmgan-frames{kind}"{autoplay}>\n{frames}\n<figcaption>'
        f'<button type="button" hidden>Play</button>'
        f'<input type="range" min="0" max="{last}" value="{first}" aria-label="{escape(alt)}" hidden>'
        f"<output>{escape(labels[first])}</output></figcaption>\n</figure>\n<script>{{\n{_SCRIPT}}}</script>"
    )


@dataclass(frozen=True)
class Control:
    """A slider: the argument that it sets, its label, the values it can take and the first of them."""

    name: str
    label: str
    values: Sequence[Any]
    start: Any


@dataclass
class Explorer:
    """A function that draws a figure, and sliders for its arguments.

    In Jupyter it shows as an ipywidget. Everywhere else (a page, an executed notebook, nbviewer, papermill, or where
    ipywidgets is not installed) it shows as images drawn beforehand, with a slider in plain HTML. The one with the
    first value of every control shows first.
    """

    draw: Callable[..., Figure]  # takes a keyword argument for each control, and well under a second
    controls: Sequence[Control]
    frames: Mapping[str, Mapping[str, Any]]  # label to arguments, in an order that a slider can have
    alt: str  # what the figure shows, for readers who do not see it
    chart: bool = True  # as in `frames_html`

    @functools.cached_property
    def widget(self) -> VBox:
        """The ipywidget: its children are one slider per control, and the image."""
        import ipywidgets

        sliders = {
            control.name: ipywidgets.SelectionSlider(
                options=[(f"{value:,}", value) for value in control.values],
                value=control.start,
                description=control.label,
                continuous_update=False,
                layout={"width": "30rem", "max_width": "100%"},
            )
            for control in self.controls
        }
        picture = ipywidgets.HTML()

        def show(_: object = None) -> None:
            chosen = {name: slider.value for name, slider in sliders.items()}
            shown = escape(", ".join(f"{name} {value}" for name, value in chosen.items()))
            picture.value = f'<img src="{webp(encoded(self.draw(**chosen)))}" alt="{escape(self.alt)}: {shown}">'

        for slider in sliders.values():
            slider.observe(show, "value")
        show()
        return ipywidgets.VBox([*sliders.values(), picture])

    @functools.cached_property
    def html(self) -> str:
        """The images that show without a kernel."""
        drawn = [encoded(self.draw(**arguments)) for arguments in self.frames.values()]
        start = {control.name: control.start for control in self.controls}
        poster = list(self.frames.values()).index(start)
        return frames_html(drawn, list(self.frames), self.alt, poster=poster, chart=self.chart)

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, Any]:
        bundle: dict[str, Any] = {"text/plain": self.alt, "text/html": self.html}
        if find_spec("ipywidgets") is not None:
            bundle[WIDGET] = {"version_major": 2, "version_minor": 0, "model_id": self.widget.model_id}
        return bundle
