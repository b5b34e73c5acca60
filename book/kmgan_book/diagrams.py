"""Drawings of the method, and small computations that show why it behaves as it does."""

from __future__ import annotations

from typing import Any

import matplotlib.pyplot as plt
import seaborn as sns
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch

from kmgan_book.palette import PALETTE, RC


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
