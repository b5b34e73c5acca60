"""Two orders of the same names, side by side."""

from __future__ import annotations

from collections.abc import Mapping

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from kmgan_book.figures import _canvas, _nothing, badge
from kmgan_book.palette import colors


def slopes(pairs: Mapping[str, tuple[float, float]], left: str, right: str, made_by: str) -> Figure:
    """A line a name from its rank by one number to its rank by another; the highest is at the top on both sides.

    Parameters
    ----------
    pairs : mapping
        Name to its two numbers.
    left, right : str
        What the numbers are.
    made_by : str
        The badge.
    """
    if not pairs:
        return _nothing(made_by)
    figure, axes = _canvas(1, 1, 5.2, 0.34 * len(pairs) + 1.2)
    ax: Axes = axes[0, 0]
    order = [sorted(pairs, key=lambda name: -pairs[name][side]) for side in (0, 1)]
    for name, color in zip(pairs, colors(pairs), strict=True):
        start, end = (names.index(name) for names in order)
        ax.plot([0, 1], [start, end], color=color, marker="o")
        ax.text(-0.04, start, f"{name} {pairs[name][0]:.2f}", ha="right", va="center")
        ax.text(1.04, end, f"{pairs[name][1]:.2f} {name}", ha="left", va="center")
    ax.set(xlim=(-1.3, 2.3), ylim=(len(pairs) - 0.5, -1.2))
    ax.text(0, -0.9, left, ha="right")
    ax.text(1, -0.9, right, ha="left")
    ax.set_axis_off()
    return badge(figure, made_by)
