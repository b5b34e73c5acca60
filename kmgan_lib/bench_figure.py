"""The figure of a speed report."""

from __future__ import annotations

from typing import Any

import matplotlib.pyplot as plt
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from kmgan_lib.figures import PALETTE, RC, badge


def _bars(ax: Axes, values: dict[str, float], title: str, form: str) -> None:
    bars = ax.barh(list(values), list(values.values()), color=sns.color_palette(PALETTE)[0])
    ax.bar_label(bars, fmt=form, padding=3, fontsize=8)
    ax.invert_yaxis()
    ax.margins(x=0.18)
    ax.tick_params(axis="y", labelsize=8)
    ax.set_title(title)


def speed(report: dict[str, Any]) -> Figure:
    """What `kmgan_lib.bench.measure` found: speed of each method, against the plain loop, and the growth of K-Means.

    Parameters
    ----------
    report : dict
        As `kmgan bench` writes it. Sections that were not measured have no panel.

    Returns
    -------
    Figure
    """
    sections = [name for name in ("methods", "plain", "growth") if report.get(name)]
    sns.set_theme(style="ticks", palette=PALETTE, rc=RC)
    count = max(1, len(sections))
    figure, axes = plt.subplots(1, count, figsize=(4.6 * count, 4.4), squeeze=False)
    for ax, name in zip(axes.flat, sections, strict=False):
        results = report[name]
        if name == "methods":
            _bars(ax, {n: r["images_per_second"] for n, r in results.items()}, "Images a second", "%.0f")
        elif name == "plain":
            _bars(ax, {n: r["speed"] for n, r in results.items()}, "Speed, the plain loop being 1", "%.2f")
        else:
            for variable, points in results.items():
                first, begun = points[0]
                ax.plot([n / first for n, _ in points], [s / begun for _, s in points], marker="o", label=variable)
            ax.set(xscale="log", yscale="log", title="K-Means", xlabel="size, relative", ylabel="time, relative")
            ax.legend(title="growing")
    sns.despine(figure)
    device, commit = report["device"], report["commit"] or "no commit"
    return badge(figure, f"recorded · {report['profile']} · {device} · {commit}")
