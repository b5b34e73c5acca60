"""Small computations on points and digits: what GANs and K-Means do, and why clusters help and centers may not."""

from collections.abc import Callable, Mapping, Sequence
from typing import cast

import matplotlib.pyplot as plt
import numpy as np
import seaborn as sns
import torch
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.offsetbox import AnnotationBbox, OffsetImage
from torch import Tensor, nn
from torch.nn.functional import one_hot, softplus

from kmgan_book.figures import PALETTE, badge, canvas
from kmgan_book.phone import PageFigure
from kmgan_book.recorder import Projection
from kmgan_lib import data, methods, presets
from kmgan_lib.centers import assign, kmeans_plus_plus, lloyd, share_between
from kmgan_lib.losses import center_loss, discriminator_loss, generator_loss
from kmgan_pages.diagrams import CORNERS
from kmgan_pages.teaching import descend

REAL, FAKE = "#0173b2", "#d55e00"
ANSWER = LinearSegmentedColormap.from_list("answer", [FAKE, "white", REAL])
DRAWN = "computed when this page was built"
ANGLES = torch.arange(8) * torch.pi / 4
GROUPS = 1.5 * torch.stack([ANGLES.cos(), ANGLES.sin()], 1)
# What both networks are told of the points of the groups ``member``.
ARMS: dict[str, Callable[[Tensor], Tensor]] = {
    "no clusters": lambda member: torch.zeros(len(member), 8),
    "at random": lambda member: one_hot(torch.randint(8, (len(member),)), 8).float(),
    "clusters": lambda member: one_hot(member, 8).float(),
}


def _points(places: Tensor, seed: int, spread: float = 0.25) -> Tensor:
    return places + spread * torch.randn(places.shape, generator=torch.Generator().manual_seed(seed))


def _planes(count: int, limit: float = 1.9) -> tuple[Figure, np.ndarray]:
    figure, axes = canvas(1, count, 7.0, 7.0 / count + 0.65)
    for ax in axes[0]:
        ax.set(xlim=(-limit, limit), ylim=(-limit, limit), xticks=[], yticks=[], aspect="equal")
    return figure, axes[0]


def _dots(ax: Axes, points: Tensor, color: str, name: str = "", marker: str = "o") -> None:
    ax.scatter(*points.T, s=14, color=color, marker=marker, alpha=0.75, linewidths=0, label=name)


def _groups(ax: Axes, real: Tensor, fake: Tensor, centers: Tensor) -> None:
    _dots(ax, real, REAL, "real features")
    _dots(ax, fake, FAKE, "generated features", "D")
    ax.scatter(*centers.T, s=90, color=REAL, marker="X", edgecolors="black", zorder=3, label="real centers")


def _finished(figure: Figure, panel: int = 0, **options: float) -> Figure:
    """With the legend of a panel, and the badge."""
    handles = figure.axes[panel].get_legend_handles_labels()
    figure.legend(*handles, frameon=False, ncols=len(handles[0]), loc="outside upper left", **options)
    return badge(figure, DRAWN)


class Duel:
    """A generator and a discriminator of points of a plane, each told `told` numbers more, with their optimizers."""

    def __init__(self, told: int, width: int, activation: type[nn.Module], rate: float):
        self.generator, self.discriminator = (
            nn.Sequential(nn.Linear(2 + told, width), activation(), nn.Linear(width, width), activation(),
                          nn.Linear(width, outputs))
            for outputs in (2, 1)
        )  # fmt: skip
        networks = (self.discriminator, self.generator)
        self.adams = [torch.optim.Adam(net.parameters(), rate, betas=(0.5, 0.9)) for net in networks]

    def step(self, real: Tensor, told: Tensor, both: bool = True) -> None:
        """One step of D, and of G if both learn, on real points and what both networks are told of each."""
        fake = self.generator(torch.cat([torch.randn(real.shape), told], 1))
        of_real, of_fake = (self.discriminator(torch.cat([x, told], 1)) for x in (real, fake.detach()))
        descend(self.adams[0], softplus(-of_real).mean() + softplus(of_fake).mean())
        if both:
            descend(self.adams[1], softplus(-self.discriminator(torch.cat([fake, told], 1))).mean())


def two_networks(seed: int) -> Figure:
    """A generator and a discriminator on points of a plane: at the start, with D trained alone, and with both.

    `seed` is that of weights, points and noise. The bluer a place, the more D takes it for real.
    """
    line = torch.linspace(-1.9, 1.9, 60)
    places = torch.cartesian_prod(line, line)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        duel, untold = Duel(0, 24, nn.Tanh, 0.005), torch.zeros(128, 0)
        real = torch.stack([torch.linspace(-1.3, 1.3, 128), torch.linspace(-1.3, 1.3, 128).square() - 0.7], 1)
        real += 0.08 * torch.randn(128, 2)
        figure, axes = _planes(3)
        titles = {"at the start": 0, "D alone, 60 steps": 60, "both, 400 steps": 400}
        for ax, (title, steps) in zip(axes, titles.items(), strict=True):
            for _ in range(steps):
                duel.step(real, untold, both=ax is axes[2])
            with torch.no_grad():
                fake = duel.generator(torch.randn(128, 2))
                answer = np.asarray(duel.discriminator(places).sigmoid().view(60, 60).T)
            ax.imshow(answer, extent=(-1.9, 1.9, -1.9, 1.9), origin="lower", cmap=ANSWER, vmin=0, vmax=1, alpha=0.5)
            _dots(ax, real, REAL, "real points")
            _dots(ax, fake, FAKE, "generated points", "D")
            ax.set_title(title)
    return _finished(figure, markerscale=2)


def k_means(seed: int) -> Figure:
    """K-Means on points of a plane: centers anywhere, points assigned, centers moved, and the end."""
    generator = torch.Generator().manual_seed(seed)
    angles = 2 * torch.pi * torch.arange(3) / 3 + 0.4
    places = 1.1 * torch.stack([angles.cos(), angles.sin()], 1)
    points = _points(places.repeat(40, 1), seed, 0.3)
    first = 0.5 * torch.randn(3, 2, generator=generator)
    moved, last = (lloyd(points, first, count) for count in (1, 10))
    colors = sns.color_palette(PALETTE, 3)
    figure, axes = _planes(4, 1.75)
    shown = (
        ("start", None, first), ("assign", assign(points, first), first),
        ("move", assign(points, first), moved), ("after 10 rounds", assign(points, last), last),
    )  # fmt: skip
    for ax, (title, labels, centers) in zip(axes, shown, strict=True):
        paint = ["0.6"] * len(points) if labels is None else [colors[label] for label in labels.tolist()]
        ax.scatter(*points.T, s=9, c=paint, alpha=0.8, linewidths=0)
        ax.scatter(*centers.T, s=80, c=colors, marker="X", edgecolors="black", zorder=3)
        ax.set_title(title)
    for start, end in zip(first.tolist(), moved.tolist(), strict=True):
        axes[2].annotate("", end, start, arrowprops={"arrowstyle": "->", "color": "black"})
    return badge(figure, DRAWN)


def features(seed: int) -> Figure:
    """Where D puts digits after a few iterations of KM-GAN: small images at the place of their features or pixels."""
    digits = data.load("digits")
    preset = presets.resolve("digits/kmgan", "smoke")
    method = methods.create(preset, seed=seed)
    generator = torch.Generator().manual_seed(seed)
    method.setup(digits.tensor)
    for _ in range(40):
        chosen = torch.randint(len(digits.tensor), (preset.batch,), generator=generator)
        noise = 2 * torch.rand(preset.batch, preset.z_dim, generator=generator) - 1
        method.step(digits.tensor[chosen].float() / 255, None, noise)
    shown = digits.tensor[torch.randperm(len(digits.tensor), generator=generator)[:90]]
    figure, axes = canvas(1, 2, 7.0, 3.9)
    parts = {
        "by pixels": shown.flatten(1).float(),
        "by D's features, 40 iterations": method.features(shown, None).detach(),
    }
    for ax, (title, points) in zip(axes[0], parts.items(), strict=True):
        places = Projection(points)(points)
        places = (places - places.mean(0)) / places.std(0)
        for (x, y), image in zip(places.tolist(), shown[:, 0].numpy(), strict=True):
            ink = np.stack([np.zeros_like(image)] * 3 + [image], 2)  # white becomes clear
            ax.add_artist(AnnotationBbox(OffsetImage(ink, zoom=0.55), (x, y), frameon=False))
        ax.set(xlim=(-2.9, 2.9), ylim=(-2.9, 2.9), xticks=[], yticks=[], title=title, aspect="equal")
    return badge(figure, DRAWN)


def _clusters(seed: int) -> tuple[Tensor, Tensor, Tensor]:
    """Real features around four centers, the centers that K-Means finds, and generated features in the middle."""
    real = _points(CORNERS.repeat(12, 1), seed)
    centers = lloyd(real, kmeans_plus_plus(real, 4, torch.Generator().manual_seed(seed)), 20)
    return real, centers, _points(torch.tensor([[0.5, 0.2]]).repeat(24, 1), seed + 1, 0.45)


def pulls(seed: int) -> Figure:
    """The pull of Eq. (6) on each generated feature, and that of the center loss, Eq. (4), on both batches."""
    real, centers, fake = _clusters(seed)
    figure, axes = _planes(2)
    f, g, labels = real.clone().requires_grad_(), fake.clone().requires_grad_(), assign(fake, centers)
    losses = {
        "G's loss, Eq. (6): each to its\nnearest real center": generator_loss(g, centers[labels]),
        "center loss, Eq. (4): both batches\ntowards each other":
            center_loss(f, g, assign(real, centers), labels, centers, centers.clone()),
    }  # fmt: skip
    for ax, (title, loss) in zip(axes, losses.items(), strict=True):
        _groups(ax, real, fake, centers)
        pulls = torch.autograd.grad(loss, (g, f), materialize_grads=True, allow_unused=True)
        longest = max(pull.norm(dim=1).max() for pull in pulls)
        for points, pull, color in zip((fake, real), pulls, (FAKE, REAL), strict=True):
            if pull.any():
                arrows = *points.T, *(-0.45 * pull / longest).T
                ax.quiver(*arrows, color=color, angles="xy", scale_units="xy", scale=1, width=0.006)
        ax.set_title(title)
    return _finished(figure)


def collapse(seed: int) -> Figure:
    """A generator that reaches every center and one that reaches a single one, with the same loss of G."""
    real, centers, _ = _clusters(seed)
    offsets = _points(torch.zeros(24, 2), seed + 2, 0.22)
    groups = {"all centers": torch.arange(24) % 4, "one center": torch.zeros(24, dtype=torch.long)}
    figure, axes = _planes(2)
    for ax, (title, labels) in zip(axes, groups.items(), strict=True):
        fake = centers[labels] + offsets
        found = assign(fake, centers)
        shares = torch.bincount(found, minlength=4) / len(found)
        entropy = -torch.special.xlogy(shares, shares).sum()
        loss = generator_loss(fake, centers[found])
        _groups(ax, real, fake, centers)
        ax.set_title(f"{title}: loss of G {loss:.2f},\nentropy of assignment {abs(entropy):.2f}")
    return _finished(figure)


def _normalized(batch: Tensor) -> Tensor:
    return (batch - batch.mean(0)) / batch.std(0, correction=0)


def normalized(seed: int) -> Figure:
    """Four groups of real features and copies of one generated one, before and after batch normalization."""
    real = _points(CORNERS.repeat(16, 1), seed, 0.2)
    copies = _points(torch.tensor([[0.4, -0.2]]).repeat(64, 1), seed + 1, 0.03)
    real_behind, copies_behind = _normalized(real), _normalized(copies)
    centers = lloyd(real_behind, kmeans_plus_plus(real_behind, 4, torch.Generator().manual_seed(seed)), 20)
    losses, shares, both = [], [], (real_behind, copies_behind)
    for c in (centers.mean(0, keepdim=True), centers):
        labels = [assign(f, c) for f in both]
        losses.append(discriminator_loss(*both, *(c[y] for y in labels)))
        shares = [share_between(f, y, len(c)) for f, y in zip(both, labels, strict=True)]
    figure, axes = canvas(1, 2, 7.0, 4.2)
    _plane(axes[0, 0], real, copies, 2.3)
    _plane(axes[0, 1], real_behind, copies_behind, 2.9)
    axes[0, 1].scatter(*centers.T, s=90, color=REAL, marker="X", edgecolors="black", zorder=3, label="four centers")
    axes[0, 1].scatter(0, 0, s=90, color="black", marker="X", edgecolors="white", zorder=3, label="one center")
    axes[0, 0].set_title("features before: a collapsed\ngenerator gives itself away")
    axes[0, 1].set_title(
        f"after batch normalization: $R^2$ {shares[0]:.2f} and {shares[1]:.2f},\n"
        f"$L_D$ {losses[1]:.1f} with four centers, {abs(losses[0]):.1f} with one".replace("-", "−")
    )
    return _finished(figure, 1)


def _plane(ax: Axes, real: Tensor, fake: Tensor, limit: float) -> None:
    _dots(ax, real, REAL, "real")
    _dots(ax, fake, FAKE, "generated", "D")
    ax.set(xlim=(-limit, limit), ylim=(-limit, limit), xticks=[], yticks=[], aspect="equal")


def ring(seed: int, *, seeds: int = 2) -> Figure:
    """The same small GAN on eight groups of points, told nothing, told a random group, and told the group.

    Each is trained with so many `seeds`, of which `seed` is the first.
    """
    drawn = {kind: [_trained(kind, own) for own in range(seed, seed + seeds)] for kind in ARMS}
    figure = _ring(drawn, seed, canvas(seeds, len(ARMS), 7.0, 2.7 * seeds + 0.4))
    figure.phone = _ring(drawn, seed, canvas(len(ARMS), seeds, 3.6, 2.25 * len(ARMS) + 0.5))
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
    return cast("PageFigure", _finished(figure))


def _trained(kind: str, seed: int) -> Tensor:
    """Points of a GAN whose two networks are told for each point what its kind says of it."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        duel = Duel(8, 48, nn.ReLU, 0.002)
        for _ in range(700):
            member = torch.randint(8, (64,))
            duel.step(GROUPS[member] + 0.08 * torch.randn(64, 2), ARMS[kind](member))
        with torch.no_grad():
            return duel.generator(torch.cat([torch.randn(240, 2), ARMS[kind](torch.arange(240) % 8)], 1))
