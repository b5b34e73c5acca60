"""The figures of the book, from live runs or from records. Each has a badge that says which.

A method has one color through the whole book. Backgrounds are opaque, so that axes stay readable on a dark page.
"""

import math
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullLocator
from torch import Tensor

from kmgan_book.conditions import FAILED, has_failed
from kmgan_book.phone import PageFigure
from kmgan_book.records import Record
from kmgan_lib.sheets import sheet
from kmgan_lib.training.run import Run

LIVE, RECORDED = "#1b6e53", "#3d4f8f"
FAILURE = "#c1121f"
LETTERS = 14  # of a badge, per inch
PALETTE = "colorblind"
# Sizes in points of figures at most 7 inches wide, so that a page shows 9 points as about 12 pixels.
RC = {
    "figure.facecolor": "white", "savefig.facecolor": "white", "figure.dpi": 110, "savefig.dpi": 110,
    "font.size": 9, "axes.titlesize": 10, "axes.labelsize": 9.5, "xtick.labelsize": 9, "ytick.labelsize": 9,
    "legend.fontsize": 9, "figure.constrained_layout.use": True,
}  # fmt: skip

# The first of these names found in a legend decides, so variants come before the method that they vary.
COLORS = {
    "no center loss": "#b0529c", "neither": "#b0529c", "never": "#b0529c",
    "clipped to": "#029e73", "told": "#2a9d8f", "true labels": "#56b4e9", "random": "#7a5195", "one cluster": "#7f7f7f",
    "partition": "#a58bc8", "pixels": "#8c6d31", "km-gan+": "#003f5c", "unconditional": "#a65e00",
    "km-gan": "#0173b2", "k-means": "#0173b2", "both, as in": "#0173b2", "floor 0": "#0173b2",
    "sn-gan": "#ca9161", "carpedm20": "#7f5539", "with labels": "#d55e00", "dcgan": "#de8f05", "wgan-gp": "#3f7f4f",
    "mix+wgan": "#66a61e", "mix + wgan": "#66a61e", "wgan": "#1b9e77", "wasserstein": "#1b9e77",
    "improved gan": "#e15f99", "ali": "#5d4e9d", "mbgan": "#17a2b8", "mlgan": "#8d99ae",
}  # fmt: skip
SPARE = ("#bc6c25", "#6b705c", "#8e6c8a", "#4a7c8c", "#a44a3f", "#4a4e69")  # for names not listed above


def known(name: str) -> str | None:
    """The color of the method that a name contains, if any."""
    return next((color for key, color in COLORS.items() if key in name.lower()), None)


def colors(names: Iterable[str]) -> list[str]:
    """The color of each name in a figure: its method's, or a spare one if another name has that already."""
    chosen: list[str] = []
    for name in names:
        own = known(name)
        free = [color for color in SPARE if color not in chosen] or list(SPARE)
        chosen.append(own if own and own not in chosen else free[0])
    return chosen


def canvas(rows: int, columns: int, width: float, height: float, **options: Any) -> tuple[Figure, np.ndarray]:
    """A figure of panels in the book's style, `width` and `height` in inches."""
    sns.set_theme(style="ticks", palette=PALETTE, rc=RC)
    return plt.subplots(rows, columns, figsize=(width, height), squeeze=False, FigureClass=PageFigure, **options)


def panel(width: float, height: float) -> tuple[Figure, Axes]:
    """A figure of one panel."""
    figure, axes = canvas(1, 1, width, height)
    return figure, axes[0, 0]


def badge(figure: Figure, text: str) -> Figure:
    """Write below a figure what produced it: ``live · smoke · ...`` or ``recorded · quick · ...``."""
    colour = RECORDED if text.startswith("recorded") else LIVE
    lines = textwrap.fill(text, max(LETTERS, int(LETTERS * figure.get_size_inches()[0])))
    label = figure.supxlabel(lines, fontsize=8, color="white", x=0.995, ha="right")
    label.set_bbox({"facecolor": colour, "edgecolor": "none", "boxstyle": "round,pad=0.35"})
    return figure


def _nothing(provenance: str) -> Figure:
    """A figure that no page shows, for runs not yet recorded; a printed line says so."""
    figure, _ = panel(1.0, 1.0)
    plt.close(figure)
    print("This figure waits for runs that are not yet recorded.")
    return badge(figure, provenance)


def grids(panels: Mapping[str, Tensor], provenance: str, *, columns: int = 8) -> Figure:
    """Sample sheets side by side, at most three in a row, with `columns` images in a row of each.

    `panels` maps titles to images (n, c, h, w) in [0, 1].
    """
    across = min(3, len(panels))
    rows = math.ceil(len(panels) / across)
    figure, axes = canvas(rows, across, 3.1 * across, 3.3 * rows + 0.25)
    for ax in axes.flat:
        ax.set_axis_off()
    for ax, (title, images) in zip(axes.flat, panels.items(), strict=False):
        ax.imshow(sheet(images, columns=columns), interpolation="nearest")
        ax.set_title(title)
    return badge(figure, provenance)


def every_history(groups: Mapping[str, Sequence[Record | Run]], columns: Mapping[str, str], provenance: str) -> Figure:
    """Training curves, one panel per column of the history, one line per run; failed recorded runs are dashed.

    These are also red, unless several groups have failed runs: then each keeps its group's color. `columns` maps the
    name of a column to its panel's title. A run that lacks the column has no line.
    """
    if not any(groups.values()):
        return _nothing(provenance)
    failed = {name: [isinstance(run, Record) and has_failed(run) for run in group] for name, group in groups.items()}
    several = sum(map(any, failed.values())) > 1
    figure, axes = canvas(1, len(columns), min(7.0, 3.4 * len(columns)), 2.8)
    for ax, (column, title) in zip(axes[0], columns.items(), strict=True):
        for (name, group), color in zip(groups.items(), colors(groups), strict=True):
            good = {"label": name, "color": color, "linewidth": 1.1, "alpha": 0.8}
            bad = {"label": f"{name}, failed", "color": color if several else FAILURE, "linestyle": "--"}
            for run, wrong in zip(group, failed[name], strict=True):
                kept = [(row["iteration"], row[column]) for row in run.history if column in row]
                if kept:
                    ax.plot(*zip(*kept, strict=True), **good | (bad if wrong else {}))
        ax.set(title=title, xlabel="iteration")
        ax.xaxis.set_major_formatter(lambda value, _: f"{value / 1000:g}k" if value else "0")
        ax.locator_params(axis="x", nbins=5)
    handles = {label: line for ax in axes[0] for line, label in zip(*ax.get_legend_handles_labels(), strict=True)}
    figure.legend(handles.values(), handles, frameon=False, ncols=2, loc="outside upper left")
    sns.despine(figure)
    return badge(figure, provenance)


def class_shares(shares: Mapping[str, Mapping[str, Any]], names: Sequence[str], provenance: str) -> Figure:
    """Share of each class among generated images, with 95 % intervals (Fig. 5c).

    `shares` maps legends to results of `kmgan_lib.metrics.class_frequency`, `names` are those of the classes.
    """
    figure, ax = panel(7.0, 3.2)
    wide = 0.8 / len(shares)
    for index, ((name, share), color) in enumerate(zip(shares.items(), colors(shares), strict=True)):
        middle = 100 * np.asarray(share["frequency"])
        error = np.abs(100 * np.asarray([share["low"], share["high"]]) - middle)
        place = np.arange(len(names)) + (index - (len(shares) - 1) / 2) * wide
        ax.bar(place, middle, wide, yerr=error, label=name, color=color, error_kw={"linewidth": 0.8})
    ax.axhline(100 / len(names), color="0.4", linewidth=0.8, linestyle="--")
    ax.set_xticks(range(len(names)), names, rotation=30 if max(map(len, names)) > 3 else 0)
    ax.set(ylabel="share of images, %")
    figure.legend(frameon=False, ncols=min(3, len(shares)), loc="outside upper left")
    sns.despine(figure)
    return badge(figure, provenance)


def shares(runs: Mapping[str, Mapping[str, Any]], names: Sequence[str], provenance: str) -> Figure:
    """Share of each class in percent, one row per run, as numbers on a shade: for more runs than bars can show.

    `runs` and `names` as in `class_shares`.
    """
    if not runs:
        return _nothing(provenance)
    figure, ax = panel(7.0, 0.32 * len(runs) + 1.5)
    percent = 100 * np.asarray([share["frequency"] for share in runs.values()])
    # A square root keeps shares around equality distinguishable, whatever one collapsed run has.
    ax.imshow(np.sqrt(percent), cmap="Blues", vmin=0, vmax=10, aspect="auto")
    for (row, column), value in np.ndenumerate(percent):
        ax.text(column, row, f"{value:.0f}", ha="center", va="center", color="white" if value > 40 else "black")
    ax.set_xticks(range(len(names)), names, rotation=40, ha="right")
    ax.set_yticks(range(len(runs)), list(runs))
    ax.tick_params(length=0)
    return badge(figure, provenance)


def seeds(
    values: Mapping[str, Sequence[float]], label: str, provenance: str, *, lines: Mapping[str, float] | None = None,
    scores: bool = False,
) -> Figure:  # fmt: skip
    """One point per seed, and the mean of each group; failed seeds are ringed in red. Values far apart: log axis.

    `lines` are reference values by name; `scores` says that the values are classifier scores, the lowest of which the
    ledger calls failed.
    """
    figure, ax = panel(6.4, 0.36 * len(values) + 1.2)
    for index, (group, color) in enumerate(zip(values.values(), colors(values), strict=True)):
        edges = [FAILURE if scores and value < FAILED else color for value in group]
        apart = [index + 0.13 * (place % 3 - 1) * (len(group) > 3) for place in range(len(group))]
        ax.scatter(group, apart, s=34, color=color, edgecolors=edges, linewidths=2, alpha=0.8, zorder=3)
        if len(group):
            ax.plot([np.mean(group)] * 2, [index - 0.28, index + 0.28], color="0.2", linewidth=1.5, zorder=2)
        else:
            ax.annotate("not yet recorded", (0.02, index), xycoords=("axes fraction", "data"), color="0.4", va="center")
    for name, value in (lines or {}).items():
        ax.axvline(value, color="0.4", linestyle="--", linewidth=1)
        ax.text(value, -0.72, f"{name} ", color="0.3", va="center", ha="right")
    if scores:
        ax.set_xlim(left=min(0.7, ax.get_xlim()[0]))  # the lowest possible score is 1
        ax.axvline(FAILED, color=FAILURE, linestyle=":", linewidth=1)
        ax.text(FAILED, -0.72, "failed ", color=FAILURE, va="center", ha="right")
    found = [value for group in values.values() for value in group]
    if found and not scores and 0 < 10 * min(found) < max(found):  # else one failed seed hides all differences
        ax.set_xscale("log")
        ax.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        ax.xaxis.set_major_formatter("{x:g}")
        ax.xaxis.set_minor_locator(NullLocator())
        label += ", logarithmic"
    ax.set_yticks(range(len(values)), list(values))
    ax.set_ylim(len(values) - 0.4, -0.95)
    ax.set_xlabel(label)
    ax.grid(axis="x", alpha=0.3)
    sns.despine(figure)
    return badge(figure, provenance)


def bars(values: Mapping[str, float], label: str, provenance: str) -> Figure:
    """One horizontal bar per name, with its value written beside it; in colors if the names are methods."""
    figure, ax = panel(6.4, 0.42 * len(values) + 1.1)
    bar_colors = colors(values) if all(map(known, values)) else "#5b7fa6"
    drawn = ax.barh(list(values), list(values.values()), height=0.6, color=bar_colors)
    ax.bar_label(drawn, [f"{value:.3g}" for value in values.values()], padding=3, fontsize=9)
    ax.set(xlabel=label, xlim=(0, 1.15 * max(values.values())))
    ax.invert_yaxis()
    sns.despine(figure)
    return badge(figure, provenance)


def slopes(pairs: Mapping[str, tuple[float, float]], left: str, right: str, provenance: str) -> Figure:
    """One line per name from its rank by one number to its rank by another; the highest is on top on both sides.

    `pairs` maps a name to its two numbers, `left` and `right` say what they are.
    """
    if not pairs:
        return _nothing(provenance)
    figure, ax = panel(5.2, 0.34 * len(pairs) + 1.2)
    order = [sorted(pairs, key=lambda name: -pairs[name][side]) for side in (0, 1)]
    for name, color in zip(pairs, colors(pairs), strict=True):
        start, end = (names.index(name) for names in order)
        ax.plot([0, 1], [start, end], color=color, marker="o")
        ax.text(-0.08, start, f"{name} {pairs[name][0]:.2f}", ha="right", va="center")
        ax.text(1.08, end, f"{pairs[name][1]:.2f} {name}", ha="left", va="center")
    ax.set(xlim=(-1.7, 2.7), ylim=(len(pairs) - 0.5, -1.2))
    ax.text(0, -0.9, left, ha="right")
    ax.text(1, -0.9, right, ha="left")
    ax.set_axis_off()
    return badge(figure, provenance)
