"""Drawings of the method, and small computations that show why it behaves as it does."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import matplotlib.pyplot as plt
import seaborn as sns
import torch
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch

from kmgan_book.figures import badge
from kmgan_book.palette import PALETTE, RC, SPARE, colors
from kmgan_book.records import Record
from kmgan_lib import losses


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


def equal_center_loss() -> Figure:
    """Two arrangements of generated clusters, one good, one collapsed, with the same center loss, Eq. (4)."""
    corners = torch.tensor([[-1.0, -1.0], [-1.0, 1.0], [1.0, -1.0], [1.0, 1.0]])
    labels = torch.arange(4).repeat(16)
    noise = torch.randn(64, 2, generator=torch.Generator().manual_seed(0))
    noise = 0.18 * (noise - noise.mean(0))
    shift = torch.tensor([0.3, 0.1])
    real = corners[labels] + noise
    sns.set_theme(style="ticks", rc=RC)
    figure, axes = plt.subplots(1, 2, figsize=(6.6, 3.5), sharex=True, sharey=True)
    paint_real, paint_fake = colors(["K-Means", "DCGAN"])
    for ax, spread, name in zip(axes, (1.0, 0.0), ("matched", "collapsed"), strict=True):
        fake_centers = spread * corners + shift
        fake = fake_centers[labels] + noise
        groups = real, fake, labels, labels, corners, fake_centers
        printed, apart = (losses.center_loss(*groups, per_cluster=each) for each in (False, True))
        for points, centers, color, who in (
            (real, corners, paint_real, "real"),
            (fake, fake_centers, paint_fake, "generated"),
        ):
            ax.scatter(*points.T, s=9, color=color, alpha=0.6, linewidths=0, label=who)
            ax.scatter(*centers.T, s=70, color=color, marker="X", edgecolors="white")
        ax.set_title(f"{name}: Eq. (4) {printed:.2f},\ncenter by center {apart:.2f}")
        ax.set(xticks=[], yticks=[], aspect="equal")
    axes[0].legend(frameon=False, loc="center")
    return figure


def constant_discriminator(records: Sequence[Record], made_by: str) -> Figure:
    """What becomes of features when D's loss has no push, and the loss of recorded runs of Algorithm 2.

    Parameters
    ----------
    records : sequence of Record
        Of Algorithm 2 as printed.
    made_by : str
        Their badge.
    """
    sns.set_theme(style="ticks", rc=RC)
    figure, (left, right) = plt.subplots(1, 2, figsize=(7.0, 2.8))
    for (name, push), color in zip({"with the push of Eq. (5)": 1.0, "without it": 0.0}.items(), SPARE, strict=False):
        left.plot(_spread(push), label=name, color=color)
    left.set(title="spread of the features", xlabel="step", yscale="log")
    left.legend(frameon=False)
    for record in records:
        rows = [(row["iteration"], row["loss_d"]) for row in record.history]
        right.plot(*zip(*rows, strict=True), color=colors(["pixels"])[0], alpha=0.8)
    right.set(title="$L_D$ of recorded runs", xlabel="iteration", yscale="symlog")
    sns.despine(figure)
    return badge(figure, made_by)


def _spread(push: float, steps: int = 150) -> list[float]:
    """Standard deviation of linear features of real points, step by step, as D's loss falls."""
    generator = torch.Generator().manual_seed(0)
    groups = torch.randn(10, 20, generator=generator)
    labels = torch.arange(64) % 10
    real, fake = (groups[labels] + 0.5 * torch.randn(64, 20, generator=generator) for _ in range(2))
    weights = (torch.randn(20, 5, generator=generator) / 20**0.5).requires_grad_()
    adam = torch.optim.Adam([weights], lr=0.02)
    spreads = []
    for _ in range(steps):
        f, g, c = real @ weights, fake @ weights, groups @ weights
        spreads.append(f.std(0).mean().item())
        loss = losses.block_norm(f - c[labels]) - push * losses.block_norm(g - c[labels])
        adam.zero_grad()
        loss.backward()
        adam.step()
    return spreads


def pair_terms() -> Figure:
    """The pair terms of Eq. (7) against one factor on all features, where real and generated ones are alike."""
    real, fake = torch.randn(2, 256, 100, generator=torch.Generator().manual_seed(0)).relu()
    factors = torch.linspace(0, 1.5, 16)
    sns.set_theme(style="ticks", rc=RC)
    figure, ax = plt.subplots(figsize=(5.2, 2.8))
    readings = {"mean over ordered pairs": "mean", "over unordered pairs": "pairs"}
    for (name, reduction), color in zip(readings.items(), SPARE, strict=False):
        values = [
            losses.intra_distance(s * real, s * fake, reduction=reduction)
            - losses.inter_distance(s * real, s * fake, reduction=reduction)
            for s in factors
        ]
        ax.plot(factors, values, label=name, color=color)
    ax.set(xlabel="factor on all features", title="$L_{intra} - L_{inter}$")
    ax.legend(frameon=False)
    sns.despine(figure)
    return figure
