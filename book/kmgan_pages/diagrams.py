"""Drawings of the method and of features, and small computations that show why the method behaves as it does."""

from collections.abc import Mapping, Sequence
from typing import cast

import matplotlib.pyplot as plt
import numpy as np
import seaborn as sns
import torch
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch
from torch import Tensor

from kmgan_book.figures import PALETTE, RC, SPARE, badge, canvas, colors, panel
from kmgan_book.phone import PageFigure
from kmgan_book.records import Record
from kmgan_lib import losses
from kmgan_pages.teaching import descend

CORNERS = torch.tensor([[-1.0, -1.0], [-1.0, 1.0], [1.0, -1.0], [1.0, 1.0]])

# Each box: text and color; then, for pages and for phones, left edge, row and width.
_TEXTS = {
    "x": ("real batch\n$x$", 0), "z": ("noise\n$z$", 1), "G": ("generator\n$G$", 1), "D": ("discriminator\n$D$", 2),
    "f": ("$f = D(x)$", 0), "c": ("K-Means:\n$c$, $\\hat c$", 3), "g": ("$g = D(G(z))$", 1),
    "LD": ("$L_D$ (5)\nmoves $D$", 2), "LC": ("$L_{center}$ (4)\nmoves $D$, $G$", 3), "LG": ("$L_G$ (6)\nmoves $G$", 1),
}  # fmt: skip
_ARROWS = ("x>D", "z>G", "G>D", "D>f", "D>g", "f>c", "g>c", "f>LD", "c>LC", "g>LG")
_WIDE = {
    "x": (0, 2, 1.2), "z": (0, 0, 1.2), "G": (1.8, 0, 1.2), "D": (3.5, 1, 1.5), "f": (5.6, 2, 1.6), "c": (5.6, 1, 1.6),
    "g": (5.6, 0, 1.6), "LD": (7.9, 2, 1.6), "LC": (7.9, 1, 1.6), "LG": (7.9, 0, 1.6),
}  # fmt: skip
_TALL = {
    "x": (0, 4, 1.3), "z": (1.7, 4, 0.8), "G": (2.9, 4, 1.2), "D": (1.2, 3, 1.7), "f": (0, 2, 1.4), "g": (2.5, 2, 1.6),
    "c": (1.3, 1, 1.5), "LD": (0, 0, 1.25), "LC": (1.4, 0, 1.3), "LG": (2.85, 0, 1.25),
}  # fmt: skip


def framework() -> Figure:
    """The framework of KM-GAN, after Fig. 1: one batch, four steps."""
    figure = _framework(_WIDE, 7.0, 3.0)
    figure.phone = _framework(_TALL, 3.6, 4.6)
    plt.close(figure.phone)
    return figure


def _framework(boxes: Mapping[str, tuple[float, float, float]], width: float, height: float) -> PageFigure:
    """Boxes in rows 1.35 apart, with arrows between those edges that face each other."""
    sns.set_theme(style="white", rc=RC)
    figure, ax = plt.subplots(figsize=(width, height), FigureClass=PageFigure)
    ax.set_axis_off()
    palette = sns.color_palette(PALETTE)
    patches = {}
    for name, (left, row, wide) in boxes.items():
        text, color = _TEXTS[name][0], palette[_TEXTS[name][1]]
        style = {"boxstyle": "round,pad=0.05", "facecolor": to_rgba(color, 0.18), "edgecolor": color}
        patches[name] = ax.add_patch(FancyBboxPatch((left, 1.35 * row), wide, 0.8, **style))
        ax.text(left + wide / 2, 1.35 * row + 0.4, text, ha="center", va="center", fontsize=9)
    for start, end in (arrow.split(">") for arrow in _ARROWS):
        middles = [(boxes[name][0] + boxes[name][2] / 2, 1.35 * boxes[name][1] + 0.4) for name in (start, end)]
        ends = {"patchA": patches[start], "patchB": patches[end], "shrinkA": 2, "shrinkB": 2}
        ax.add_patch(FancyArrowPatch(*middles, arrowstyle="-|>", mutation_scale=10, color="0.35", **ends))
    ax.autoscale_view()
    return cast("PageFigure", figure)


def equal_center_loss() -> Figure:
    """Two arrangements of generated clusters, one good, one collapsed, with the same center loss, Eq. (4)."""
    labels = torch.arange(4).repeat(16)
    noise = torch.randn(64, 2, generator=torch.Generator().manual_seed(0))
    noise = 0.18 * (noise - noise.mean(0))
    real = CORNERS[labels] + noise
    figure, axes = canvas(1, 2, 6.6, 3.5, sharex=True, sharey=True)
    paint_real, paint_fake = colors(["K-Means", "DCGAN"])
    for ax, spread, name in zip(axes[0], (1.0, 0.0), ("matched", "collapsed"), strict=True):
        fake_centers = spread * CORNERS + torch.tensor([0.3, 0.1])
        fake = fake_centers[labels] + noise
        groups = real, fake, labels, labels, CORNERS, fake_centers
        printed, apart = (losses.center_loss(*groups, per_cluster=each) for each in (False, True))
        sides = (real, CORNERS, paint_real, "real"), (fake, fake_centers, paint_fake, "generated")
        for points, centers, color, who in sides:
            ax.scatter(*points.T, s=9, color=color, alpha=0.6, linewidths=0, label=who)
            ax.scatter(*centers.T, s=70, color=color, marker="X", edgecolors="white")
        ax.set_title(f"{name}: Eq. (4) {printed:.2f},\ncenter by center {apart:.2f}")
        ax.set(xticks=[], yticks=[], aspect="equal")
    axes[0, 0].legend(frameon=False, loc="center")
    return figure


def constant_discriminator(records: Sequence[Record], provenance: str) -> Figure:
    """What becomes of features when D's loss has no push, and the loss of recorded runs of Algorithm 2 as printed."""
    figure, axes = canvas(1, 2, 7.0, 2.8)
    left, right = axes[0]
    for (name, push), color in zip({"with the push of Eq. (5)": 1.0, "without it": 0.0}.items(), SPARE, strict=False):
        left.plot(_spread(push), label=name, color=color)
    left.set(title="spread of the features", xlabel="step", yscale="log")
    left.legend(frameon=False)
    for record in records:
        rows = [(row["iteration"], row["loss_d"]) for row in record.history]
        right.plot(*zip(*rows, strict=True), color=colors(["pixels"])[0], alpha=0.8)
    right.set(title="$L_D$ of recorded runs", xlabel="iteration", yscale="symlog")
    sns.despine(figure)
    return badge(figure, provenance)


def _spread(push: float) -> list[float]:
    """Standard deviation of linear features of real points, step by step, as D's loss falls."""
    generator = torch.Generator().manual_seed(0)
    groups = torch.randn(10, 20, generator=generator)
    labels = torch.arange(64) % 10
    real, fake = (groups[labels] + 0.5 * torch.randn(64, 20, generator=generator) for _ in range(2))
    weights = (torch.randn(20, 5, generator=generator) / 20**0.5).requires_grad_()
    adam = torch.optim.Adam([weights], lr=0.02)
    spreads = []
    for _ in range(150):
        f, g, c = real @ weights, fake @ weights, groups @ weights
        spreads.append(f.std(0).mean().item())
        descend(adam, losses.block_norm(f - c[labels]) - push * losses.block_norm(g - c[labels]))
    return spreads


def pair_terms() -> Figure:
    """The pair terms of Eq. (7) against one factor on all features, where real and generated ones are alike."""
    real, fake = torch.randn(2, 256, 100, generator=torch.Generator().manual_seed(0)).relu()
    factors = torch.linspace(0, 1.5, 16)
    figure, ax = panel(5.2, 2.8)
    readings: dict[str, losses.PairReduction] = {"mean over ordered pairs": "mean", "over unordered pairs": "pairs"}
    for (name, reduction), color in zip(readings.items(), SPARE, strict=False):
        intra, inter = (
            torch.stack([distance(s * real, s * fake, reduction=reduction) for s in factors])
            for distance in (losses.intra_distance, losses.inter_distance)
        )
        ax.plot(factors, intra - inter, label=name, color=color)
    ax.set(xlabel="factor on all features", title="$L_{intra} - L_{inter}$")
    ax.legend(frameon=False)
    sns.despine(figure)
    return figure


def feature_moments(rows: Mapping[str, Mapping[str, Tensor]], labels: Tensor, provenance: str) -> Figure:
    """Two-dimensional features at several moments of training (Fig. 2b to 2e), a row a method.

    `rows` maps the method to a mapping from the moment's title to features (n, 2); `labels` (n,) color the points, of
    which each panel draws at most a thousand.
    """
    columns = max(len(moments) for moments in rows.values())
    figure, axes = canvas(len(rows), columns, 7.0, 1.5 * len(rows) + 0.4)
    chosen = np.random.default_rng(0).permutation(len(labels))[:1_000]
    colours = np.asarray(sns.color_palette(PALETTE))[labels.cpu().numpy()[chosen]]
    for line, (name, moments) in zip(axes, rows.items(), strict=True):
        for ax, (moment, features) in zip(line, moments.items(), strict=False):
            x, y = features.cpu().numpy()[chosen].T
            ax.scatter(x, y, s=3, c=colours, alpha=0.6, linewidths=0, rasterized=True)
            ax.set_title(moment.removeprefix("iteration "), fontsize=9)
            ax.set(xticks=[], yticks=[])
        line[0].set_ylabel(name)
    return badge(figure, provenance)


def points(positions: Tensor, labels: Tensor, names: Sequence[str], provenance: str, *, title: str = "") -> Figure:
    """Points (n, 2) coloured by class (Fig. 2a)."""
    figure, ax = panel(4.2, 3.8)
    for index, name in enumerate(names):
        ax.scatter(*positions[labels == index].cpu().T, s=3, alpha=0.5, linewidths=0, label=name, rasterized=True)
    ax.set(title=title, aspect="equal")
    ax.legend(markerscale=4, frameon=False, title="class", loc="center left", bbox_to_anchor=(1, 0.5))
    return badge(figure, provenance)
