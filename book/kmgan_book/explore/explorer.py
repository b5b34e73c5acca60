"""A figure that follows sliders where there is a kernel, and a row of images with one slider where there is none."""

from __future__ import annotations

import base64
import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from matplotlib.figure import Figure

from kmgan_book.explore.drawing import encoded
from kmgan_book.explore.frames import frames_html

if TYPE_CHECKING:
    from ipywidgets import VBox

WIDGET = "application/vnd.jupyter.widget-view+json"


@dataclass(frozen=True)
class Control:
    """A slider: the argument that it sets, its label, the values it can take and the first of them."""

    name: str
    label: str
    values: Sequence[Any]
    start: Any


class Explorer:
    """A function that draws a figure, and sliders for its arguments.

    In Jupyter it shows as an ipywidget. Everywhere else (a page, an executed notebook, nbviewer, papermill, or where
    ipywidgets is not installed) it shows as images drawn beforehand, with a slider in plain HTML.

    Parameters
    ----------
    draw : callable
        Takes one keyword argument per control and returns a figure, in well under a second.
    controls : sequence of Control
    frames : mapping
        What shows without a kernel: label to arguments of ``draw``, in an order that a slider can have. The one with
        the first value of every control shows first.
    alt : str
        What the figure shows, for readers who do not see it.
    """

    def __init__(
        self,
        draw: Callable[..., Figure],
        controls: Sequence[Control],
        frames: Mapping[str, Mapping[str, Any]],
        alt: str,
    ):
        self.draw, self.controls, self.frames, self.alt = draw, controls, frames, alt

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
            data = base64.b64encode(encoded(self.draw(**chosen))).decode()
            picture.value = f'<img src="data:image/webp;base64,{data}" alt="{escape(self.alt)}: {shown}">'

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
        return frames_html(drawn, list(self.frames), self.alt, poster=poster)

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, Any]:
        bundle: dict[str, Any] = {"text/plain": self.alt, "text/html": self.html}
        if find_spec("ipywidgets") is not None:
            bundle[WIDGET] = {"version_major": 2, "version_minor": 0, "model_id": self.widget.model_id}
        return bundle
