"""Figures with two images: one as drawn, and one for phones, narrow and with panels below each other."""

import base64
import copy
import io
import textwrap
import warnings
from typing import Any, cast

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.gridspec import GridSpec

from kmgan_book import PHONE

WIDTH, LABEL, AXIS, BADGE = 3.6, 20, 26, 54  # inches, and characters of a line
LINE = 0.15  # inches, of a label


class PageFigure(Figure):
    """A figure whose output in a notebook has a second image, for narrow pages.

    `phone` is a figure drawn for phones; without one the layout is rearranged automatically.
    """

    phone: Figure | None = None

    def __getstate__(self) -> dict[str, Any]:
        state = cast("dict[str, Any]", super().__getstate__())
        state.pop("_restore_to_pylab", None)  # a copy is not pyplot's current figure
        return state

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        buffer = io.BytesIO()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # too little room for a label is seen on the page, not in the output
            (self.phone or narrow(self)).savefig(buffer, format="webp", dpi=140, pil_kwargs={"quality": 65})
        return {PHONE: base64.b64encode(buffer.getvalue()).decode()}


def narrow(figure: Figure) -> Figure:
    """A copy of a figure, as wide as a phone: a row of panels becomes a column, long labels and badges are wrapped."""
    figure = copy.deepcopy(figure)
    width, height = figure.get_size_inches()
    panels = [(ax, spec) for ax in figure.axes if (spec := ax.get_subplotspec()) is not None]
    rows, columns = panels[0][1].get_gridspec().get_geometry() if panels else (1, 1)
    across = 2 if columns > 3 and all(ax.get_aspect() != "auto" for ax, _ in panels) else 1
    if rows == 1 and panels:
        heights = [_height(ax, height, WIDTH / across, columns) for ax, _ in panels[::across]]
        grid = GridSpec(len(heights), across, figure=figure, height_ratios=heights)
        for index, (ax, _) in enumerate(panels):
            ax.set_subplotspec(grid[index // across, index % across])
        height = sum(heights)
    elif columns > 1:
        height *= WIDTH / width
    for ax in figure.axes:
        names = [label.get_text() for label in ax.get_yticklabels()]
        if any(len(name) > LABEL and "$" not in name for name in names):
            names = [textwrap.fill(name, LABEL) for name in names]
            ax.set_yticks(ax.get_yticks(), names)
            height += LINE * len(names) * max(0, max(name.count("\n") for name in names) - 1)  # two lines have room
        ax.set_xlabel(textwrap.fill(ax.get_xlabel(), AXIS))
    for legend in list(figure.legends):
        texts = [text.get_text() for text in legend.get_texts()]
        handles = [handle for handle in legend.legend_handles if handle is not None]
        figure.legends.remove(legend)
        figure.legend(handles, texts, frameon=False, loc="outside upper left", fontsize=9)
        height += 0.18 * len(texts)
    provenance = figure.get_supxlabel()
    if provenance:
        lines = textwrap.wrap(provenance, BADGE)
        figure.supxlabel("\n".join(lines), fontsize=8)
        height += LINE * len(lines)
    figure.set_size_inches(WIDTH, height)
    return figure


def _height(ax: Axes, height: float, width: float, columns: int) -> float:
    """The height of a panel: images and planes keep their shape, one of several panels of curves gets lower."""
    if ax.get_aspect() != "auto":
        (left, right), (bottom, top) = ax.get_xlim(), ax.get_ylim()
        return width * abs(top - bottom) / abs(right - left) + 0.4  # for the title
    return height if columns == 1 else min(height, 2.2)
