"""Two small computations that show why: what batch normalization hides, and what clusters do for a GAN."""

from collections.abc import Callable, Mapping, Sequence
from typing import cast

import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor, nn
from torch.nn.functional import one_hot

from kmgan_book.figures import _canvas, badge
from kmgan_book.phone import PageFigure
from kmgan_book.primer import CORNERS, DRAWN, FAKE, REAL, Duel, _dots, _points
from kmgan_lib.centers import assign, kmeans_plus_plus, lloyd, share_between
from kmgan_lib.losses import discriminator_loss

ANGLES = torch.arange(8) * torch.pi / 4
GROUPS = 1.5 * torch.stack([ANGLES.cos(), ANGLES.sin()], 1)
# What both networks are told of the points of the groups ``member``.
ARMS: dict[str, Callable[[Tensor], Tensor]] = {
    "no clusters": lambda member: torch.zeros(len(member), 8),
    "at random": lambda member: one_hot(torch.randint(8, (len(member),)), 8).float(),
    "clusters": lambda member: one_hot(member, 8).float(),
}


def _normalized(batch: Tensor) -> Tensor:
    return (batch - batch.mean(0)) / batch.std(0, correction=0)


def normalized(seed: int) -> Figure:
    """Four groups of real features and copies of one generated one, before and behind batch normalization."""
    real = _points(CORNERS.repeat(16, 1), seed, 0.2)
    copies = _points(torch.tensor([[0.4, -0.2]]).repeat(64, 1), seed + 1, 0.03)
    real_behind, copies_behind = _normalized(real), _normalized(copies)
    centers = lloyd(real_behind, kmeans_plus_plus(real_behind, 4, torch.Generator().manual_seed(seed)), 20)
    losses, shares, both = [], [], (real_behind, copies_behind)
    for c in (centers.mean(0, keepdim=True), centers):
        labels = [assign(f, c) for f in both]
        losses.append(discriminator_loss(*both, *(c[y] for y in labels)))
        shares = [share_between(f, y, len(c)) for f, y in zip(both, labels, strict=True)]
    figure, axes = _canvas(1, 2, 7.0, 4.2)
    _plane(axes[0, 0], real, copies, 2.3)
    _plane(axes[0, 1], real_behind, copies_behind, 2.9)
    axes[0, 1].scatter(*centers.T, s=90, color=REAL, marker="X", edgecolors="black", zorder=3, label="four centers")
    axes[0, 1].scatter(0, 0, s=90, color="black", marker="X", edgecolors="white", zorder=3, label="one center")
    axes[0, 0].set_title("features before: a collapsed\ngenerator gives itself away")
    axes[0, 1].set_title(
        f"behind batch normalization: $R^2$ {shares[0]:.2f} and {shares[1]:.2f},\n"
        f"$L_D$ {losses[1]:.1f} with four centers, {abs(losses[0]):.1f} with one".replace("-", "−")
    )
    handles = axes[0, 1].get_legend_handles_labels()
    figure.legend(*handles, frameon=False, ncols=4, loc="outside upper left")
    return badge(figure, DRAWN)


def _plane(ax: Axes, real: Tensor, fake: Tensor, limit: float) -> None:
    _dots(ax, real, REAL, "real")
    _dots(ax, fake, FAKE, "generated", "D")
    ax.set(xlim=(-limit, limit), ylim=(-limit, limit), xticks=[], yticks=[], aspect="equal")


def ring(seed: int, *, seeds: int = 2) -> Figure:
    """The same small GAN on eight groups of points, told nothing, told a random group, and told the group.

    Each is trained with so many `seeds`, of which `seed` is the first.
    """
    drawn = {kind: [_told(kind, own) for own in range(seed, seed + seeds)] for kind in ARMS}
    figure = _ring(drawn, seed, _canvas(seeds, len(ARMS), 7.0, 2.7 * seeds + 0.4))
    figure.phone = _ring(drawn, seed, _canvas(len(ARMS), seeds, 3.6, 2.25 * len(ARMS) + 0.5))
    plt.close(figure.phone)
    return figure


def _ring(drawn: Mapping[str, Sequence[Tensor]], seed: int, canvas: tuple[Figure, np.ndarray]) -> PageFigure:
    figure, axes = canvas
    axes = axes if axes.shape[1] == len(drawn) else axes.T
    for column, (kind, trained) in zip(axes.T, drawn.items(), strict=True):
        for ax, fake, own in zip(column, trained, range(seed, seed + len(trained)), strict=True):
            distance, nearest = torch.cdist(fake, GROUPS).min(1)
            found = torch.bincount(nearest[distance < 0.32], minlength=8)
            reached = int((found > len(fake) / 40).sum())  # with at least a fifth of their share of points
            _plane(ax, _points(GROUPS.repeat(24, 1), own, 0.08), fake, 2.2)
            ax.set_title(f"{kind}: {reached} of 8\ngroups, {int(found.sum()) / len(fake):.0%} of points")
    figure.legend(*axes[0, 0].get_legend_handles_labels(), frameon=False, ncols=2, loc="outside upper left")
    return cast("PageFigure", badge(figure, DRAWN))


def _told(kind: str, seed: int) -> Tensor:
    """Points of a GAN whose two networks are told for each point what its kind says of it."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        duel = Duel(8, 48, nn.ReLU, 0.002)
        for _ in range(700):
            member = torch.randint(8, (64,))
            duel.step(GROUPS[member] + 0.08 * torch.randn(64, 2), ARMS[kind](member))
        with torch.no_grad():
            return duel.generator(torch.cat([torch.randn(240, 2), ARMS[kind](torch.arange(240) % 8)], 1))
