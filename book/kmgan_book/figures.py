"""Every figure of the book, from live runs or from records. Each carries a badge that says which.

Backgrounds are opaque, so that axes stay readable on a dark page.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import seaborn as sns
import torch
from matplotlib.axes import Axes
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch
from PIL import Image
from torch import Tensor

from kmgan_lib.pictures import sheet

LIVE, RECORDED = "#1b6e53", "#3d4f8f"
PALETTE = "colorblind"
RC = {
    "figure.facecolor": "white", "savefig.facecolor": "white", "figure.dpi": 110, "savefig.dpi": 110,
    "axes.titlesize": 11, "axes.labelsize": 10, "figure.constrained_layout.use": True,
}  # fmt: skip


def _canvas(rows: int, columns: int, width: float, height: float, **options: Any) -> tuple[Figure, np.ndarray]:
    sns.set_theme(style="ticks", palette=PALETTE, rc=RC)
    figure, axes = plt.subplots(rows, columns, figsize=(width, height), squeeze=False, **options)
    return figure, axes


def badge(figure: Figure, text: str) -> Figure:
    """Write under a figure what made it: ``live · smoke · ...`` or ``recorded · quick · ...``."""
    colour = RECORDED if text.startswith("recorded") else LIVE
    label = figure.supxlabel(text, fontsize=8, color="white", x=0.995, ha="right")
    label.set_bbox({"facecolor": colour, "edgecolor": "none", "boxstyle": "round,pad=0.35"})
    return figure


def _nothing(made_by: str) -> Figure:
    """What stands where no run is recorded yet."""
    figure, axes = _canvas(1, 1, 6.0, 1.2)
    axes[0, 0].text(0.5, 0.5, "not yet recorded", ha="center", va="center", fontsize=12, color="0.3")
    axes[0, 0].set_axis_off()
    return badge(figure, made_by)


def grids(panels: Mapping[str, Tensor | Path], made_by: str, *, columns: int = 8, across: int = 3) -> Figure:
    """Sample sheets side by side.

    Parameters
    ----------
    panels : mapping
        Title to images (n, c, h, w) in [0, 1], or to the file of a recorded sheet.
    made_by : str
        The badge.
    columns : int
        Images in a row of each sheet.
    across : int
        Sheets in a row of the figure.
    """
    if not panels:
        return _nothing(made_by)
    across = min(across, len(panels))
    rows = math.ceil(len(panels) / across)
    figure, axes = _canvas(rows, across, 3.1 * across, 3.3 * rows + 0.25)
    for ax in axes.flat:
        ax.set_axis_off()
    for ax, (title, images) in zip(axes.flat, panels.items(), strict=False):
        if isinstance(images, Tensor):
            picture = sheet(images, columns=columns)
        else:
            with Image.open(images) as file:
                picture = np.asarray(file.convert("RGB"))
        ax.imshow(picture, interpolation="nearest")
        ax.set_title(title)
    return badge(figure, made_by)


def strips(rows: Sequence[Tensor], made_by: str, *, title: str = "") -> Figure:
    """Rows of images (n, c, h, w), as for interpolations (Fig. 8)."""
    columns = max(len(row) for row in rows)
    picture = sheet(torch.cat(list(rows)), columns=columns)
    height, width = picture.shape[:2]
    figure, axes = _canvas(1, 1, min(8.0, 0.8 * columns), min(8.0, 0.8 * columns) * height / width + 0.7)
    axes[0, 0].imshow(picture, interpolation="nearest")
    axes[0, 0].set_title(title)
    axes[0, 0].set_axis_off()
    return badge(figure, made_by)


def feature_moments(
    rows: Mapping[str, Mapping[str, Tensor]], labels: Tensor, made_by: str, *, most: int = 1_000
) -> Figure:
    """Two-dimensional features at several moments of training (Fig. 2b to 2e).

    Parameters
    ----------
    rows : mapping
        Name of the method to a mapping from the moment's title to features (n, 2).
    labels : Tensor, (n,)
        True classes, which colour the points.
    made_by : str
        The badge.
    most : int
        Points drawn in each panel.
    """
    columns = max(len(moments) for moments in rows.values())
    figure, axes = _canvas(len(rows), columns, 1.75 * columns, 1.85 * len(rows) + 0.3)
    chosen = np.random.default_rng(0).permutation(len(labels))[:most]
    colours = np.asarray(sns.color_palette(PALETTE))[labels.cpu().numpy()[chosen]]
    for line, (name, moments) in zip(axes, rows.items(), strict=True):
        for ax, (moment, features) in zip(line, moments.items(), strict=False):
            x, y = features.cpu().numpy()[chosen].T
            ax.scatter(x, y, s=3, c=colours, alpha=0.6, linewidths=0, rasterized=True)
            ax.set_title(moment, fontsize=9)
            ax.tick_params(labelsize=6)
            ax.locator_params(nbins=3)
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


def histories(runs: Mapping[str, Sequence[Mapping[str, float]]], columns: Mapping[str, str], made_by: str) -> Figure:
    """Curves of training, one panel a column of the history, one line a run.

    Parameters
    ----------
    runs : mapping
        Legend to the rows of a history.
    columns : mapping
        Name of a column to the panel's title. A run that lacks the column has no line.
    made_by : str
        The badge.
    """
    if not runs:
        return _nothing(made_by)
    figure, axes = _canvas(1, len(columns), 3.1 * len(columns), 2.8)
    for ax, (column, title) in zip(axes[0], columns.items(), strict=True):
        for index, (name, rows) in enumerate(runs.items()):
            kept = [(row["iteration"], row[column]) for row in rows if column in row]
            if kept:
                ax.plot(*zip(*kept, strict=True), label=name, color=f"C{index}", linewidth=1.3)
        ax.set(title=title, xlabel="iteration")
    axes[0, 0].legend(frameon=False, fontsize=8)
    sns.despine(figure)
    return badge(figure, made_by)


def class_shares(shares: Mapping[str, Mapping[str, Any]], names: Sequence[str], made_by: str) -> Figure:
    """Share of each class among generated images, with 95 % intervals (Fig. 5c).

    Parameters
    ----------
    shares : mapping
        Legend to a result of `kmgan_lib.metrics.class_frequency`.
    names : sequence of str
        Names of the classes.
    made_by : str
        The badge.
    """
    if not shares:
        return _nothing(made_by)
    figure, axes = _canvas(1, 1, 7.2, 3.0)
    ax: Axes = axes[0, 0]
    wide = 0.8 / len(shares)
    for index, (name, share) in enumerate(shares.items()):
        middle = 100 * np.asarray(share["frequency"])
        error = np.abs(100 * np.asarray([share["low"], share["high"]]) - middle)
        place = np.arange(len(names)) + (index - (len(shares) - 1) / 2) * wide
        ax.bar(place, middle, wide, yerr=error, label=name, error_kw={"linewidth": 0.8})
    ax.axhline(100 / len(names), color="0.4", linewidth=0.8, linestyle="--")
    ax.set_xticks(range(len(names)), names, rotation=30 if max(map(len, names)) > 3 else 0)
    ax.set(ylabel="share of images, %")
    ax.legend(frameon=False, fontsize=8)
    sns.despine(figure)
    return badge(figure, made_by)


def seeds(
    values: Mapping[str, Sequence[float]], label: str, made_by: str, *, lines: Mapping[str, float] | None = None
) -> Figure:
    """One point a seed, and the mean of each group.

    Parameters
    ----------
    values : mapping
        Group to the values of its seeds.
    label : str
        Name of the axis.
    made_by : str
        The badge.
    lines : mapping, optional
        Reference values: name to value.
    """
    figure, axes = _canvas(1, 1, 6.4, 0.45 * len(values) + 1.2)
    ax: Axes = axes[0, 0]
    for index, group in enumerate(values.values()):
        ax.scatter(group, [index] * len(group), s=28, alpha=0.8, zorder=3)
        if len(group):
            ax.plot([np.mean(group)] * 2, [index - 0.28, index + 0.28], color="0.2", linewidth=1.5, zorder=2)
    for name, value in (lines or {}).items():
        ax.axvline(value, color="0.4", linestyle="--", linewidth=1)
        ax.text(value, -0.72, f" {name}", fontsize=8, color="0.3", va="center", ha="right")
    ax.set_yticks(range(len(values)), list(values))
    ax.set_ylim(len(values) - 0.4, -0.95)
    ax.set_xlabel(label)
    ax.grid(axis="x", alpha=0.3)
    sns.despine(figure)
    return badge(figure, made_by)


def bars(values: Mapping[str, float], label: str, made_by: str, *, form: str = "{:.3g}") -> Figure:
    """One horizontal bar a name, with its value written behind it."""
    figure, axes = _canvas(1, 1, 6.4, 0.42 * len(values) + 1.1)
    ax: Axes = axes[0, 0]
    drawn = ax.barh(list(values), list(values.values()), height=0.6, color=[f"C{i}" for i in range(len(values))])
    ax.bar_label(drawn, [form.format(value) for value in values.values()], padding=3, fontsize=9)
    ax.set(xlabel=label, xlim=(0, 1.15 * max(values.values())))
    ax.invert_yaxis()
    sns.despine(figure)
    return badge(figure, made_by)


def framework() -> Figure:
    """The framework of KM-GAN, after Fig. 1: one batch, four steps."""
    sns.set_theme(style="white", rc=RC)
    figure, ax = plt.subplots(figsize=(8.2, 3.5))
    ax.set(xlim=(0, 10), ylim=(0, 4.4))
    ax.set_axis_off()
    colours = sns.color_palette(PALETTE)

    def box(x: float, y: float, width: float, text: str, colour: Any) -> None:
        patch = FancyBboxPatch(
            (x, y), width, 0.8, boxstyle="round,pad=0.06", facecolor=to_rgba(colour, 0.18), edgecolor=colour
        )
        ax.add_patch(patch)
        ax.text(x + width / 2, y + 0.4, text, ha="center", va="center", fontsize=9.5)

    def arrow(start: tuple[float, float], end: tuple[float, float], text: str = "", **style: Any) -> None:
        ax.add_patch(FancyArrowPatch(start, end, arrowstyle="-|>", mutation_scale=11, color="0.3", **style))
        if text:
            ax.text((start[0] + end[0]) / 2, (start[1] + end[1]) / 2 + 0.16, text, ha="center", fontsize=8.5)

    box(0.1, 3.0, 1.3, "real batch\n$x$", colours[0])
    box(0.1, 0.8, 0.9, "noise\n$z$", colours[1])
    box(1.6, 0.8, 1.0, "generator\n$G$", colours[1])
    box(3.4, 1.9, 1.4, "discriminator\n$D$ (features)", colours[2])
    box(5.7, 3.0, 1.5, "$f = D(x)$", colours[0])
    box(5.7, 0.8, 1.5, "$g = D(G(z))$", colours[1])
    box(5.7, 1.9, 1.5, "centers $c$, $\\hat c$", colours[3])
    box(7.8, 3.25, 2.1, "$L_D$  (5)  moves $D$", colours[2])
    box(7.8, 1.9, 2.1, "$L_{center}$  (4)\nmoves $D$ and $G$", colours[3])
    box(7.8, 0.55, 2.1, "$L_G$  (6)  moves $G$", colours[1])
    arrow((1.5, 3.4), (3.5, 2.8))
    arrow((1.08, 1.2), (1.52, 1.2))
    arrow((2.68, 1.2), (3.5, 1.85))
    arrow((4.88, 2.5), (5.62, 3.3))
    arrow((4.88, 2.1), (5.62, 1.3))
    arrow((6.2, 2.94), (6.2, 2.78))
    arrow((6.2, 1.66), (6.2, 1.82))
    ax.text(6.95, 2.82, "K-Means", fontsize=8, color="0.3", va="center")
    arrow((7.28, 3.45), (7.72, 3.6))
    arrow((7.28, 2.3), (7.72, 2.3))
    arrow((7.28, 1.1), (7.72, 0.95))
    return figure
