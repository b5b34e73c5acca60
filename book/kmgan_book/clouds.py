"""Figures of points on a plane: features of two dimensions, colored by class."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import seaborn as sns
from matplotlib.figure import Figure
from torch import Tensor

from kmgan_book.figures import _canvas, badge
from kmgan_book.palette import PALETTE


def feature_moments(
    rows: Mapping[str, Mapping[str, Tensor]], labels: Tensor, made_by: str, *, most: int = 1_000
) -> Figure:
    """Two-dimensional features at several moments of training (Fig. 2b to 2e), a row a method.

    `rows` maps the method to a mapping from the moment's title to features (n, 2); `labels` (n,) color the points, of
    which each panel draws at most `most`.
    """
    columns = max(len(moments) for moments in rows.values())
    figure, axes = _canvas(len(rows), columns, 7.0, 1.5 * len(rows) + 0.4)
    chosen = np.random.default_rng(0).permutation(len(labels))[:most]
    colours = np.asarray(sns.color_palette(PALETTE))[labels.cpu().numpy()[chosen]]
    for line, (name, moments) in zip(axes, rows.items(), strict=True):
        for ax, (moment, features) in zip(line, moments.items(), strict=False):
            x, y = features.cpu().numpy()[chosen].T
            ax.scatter(x, y, s=3, c=colours, alpha=0.6, linewidths=0, rasterized=True)
            ax.set_title(moment.removeprefix("iteration "), fontsize=9)
            ax.set(xticks=[], yticks=[])
        line[0].set_ylabel(name)
    return badge(figure, made_by)


def points(positions: Tensor, labels: Tensor, names: Sequence[str], made_by: str, *, title: str = "") -> Figure:
    """Points (n, 2) coloured by class (Fig. 2a)."""
    figure, axes = _canvas(1, 1, 4.2, 3.8)
    x, y = positions.cpu().numpy().T
    for index, name in enumerate(names):
        mine = labels.cpu().numpy() == index
        axes[0, 0].scatter(x[mine], y[mine], s=3, alpha=0.5, linewidths=0, label=name, rasterized=True)
    axes[0, 0].set(title=title, aspect="equal")
    axes[0, 0].legend(markerscale=4, frameon=False, title="class", loc="center left", bbox_to_anchor=(1, 0.5))
    return badge(figure, made_by)
