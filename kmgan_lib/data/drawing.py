"""What the drawn stand-ins share: signed distances, a canvas that paints many pictures at once, and random numbers.

All pictures of a batch are drawn together. A parameter has the shape (n, 1, 1), one number a picture, and a distance
(n, h, w). Coordinates run from -1 to 1 over the picture, y downwards; distances are negative inside. Edges are
antialiased by their distance, so that no picture is drawn larger than it is kept.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

Number = Tensor | float
Point = tuple[Number, Number]
AT_ONCE = 1 << 16  # pixels drawn together: a few planes of them stay in the processor's cache


class Dice:
    """Random numbers for n pictures, from one generator."""

    def __init__(self, n: int, generator: torch.Generator):
        self.n, self.generator = n, generator

    def uniform(self, low: float, high: float) -> Tensor:
        """One number a picture, (n, 1, 1)."""
        return low + (high - low) * torch.rand(self.n, 1, 1, generator=self.generator)

    def chance(self, probability: float) -> Tensor:
        """1 with this probability, else 0, (n, 1, 1)."""
        return (torch.rand(self.n, 1, 1, generator=self.generator) < probability).float()

    def choice(self, *weights: float) -> list[Tensor]:
        """One 0-or-1 switch (n, 1, 1) for each weight, of which exactly one is on."""
        drawn = torch.multinomial(torch.tensor(weights), self.n, replacement=True, generator=self.generator)
        return [(drawn == i).float().view(-1, 1, 1) for i in range(len(weights))]

    def colour(self, low: float = 0.0, high: float = 1.0) -> Tensor:
        """A colour a picture, (n, 3, 1, 1)."""
        return low + (high - low) * torch.rand(self.n, 3, 1, 1, generator=self.generator)

    def noise(self, size: int, rows: int, columns: int) -> Tensor:
        """A smooth random field (n, size, size) of about unit variance, with this number of hills."""
        coarse = torch.randn(self.n, 1, rows, columns, generator=self.generator)
        return F.interpolate(coarse, (size, size), mode="bicubic", align_corners=False).squeeze(1)

    def grain(self, size: int) -> Tensor:
        """Independent noise at every pixel, (n, size, size), of unit variance."""
        return torch.randn(self.n, size, size, generator=self.generator)


class Canvas:
    """Pictures (n, c, h, w) in [0, 1] that are painted over, layer by layer."""

    def __init__(self, pixels: Tensor):
        self.pixels = pixels
        self.size = pixels.shape[-1]
        centres = (torch.arange(self.size) + 0.5) * (2 / self.size) - 1
        self.x, self.y = centres.view(1, 1, -1), centres.view(1, -1, 1)

    def rows(self, top: float, bottom: float) -> Canvas:
        """A strip of the same pictures between two heights: what is small is painted there, and faster."""
        first, last = (round((v + 1) / 2 * self.size) for v in (top, bottom))
        strip = copy.copy(self)
        strip.pixels, strip.y = self.pixels[:, :, first:last], self.y[:, first:last]
        return strip

    def cover(self, distance: Tensor, soft: float = 1.0) -> Tensor:
        """Share of each pixel (n, h, w) that lies inside; the edge is ``soft`` pixels wide."""
        return (0.5 - distance * (self.size / (2 * soft))).clamp_(0, 1)

    def paint(self, distance: Tensor, colour: Number, opacity: Number = 1.0, soft: float = 1.0) -> None:
        """Lay a colour (a number, (n, h, w) grey or (n, 3, h, w)) over the inside of a distance."""
        self.blend(self.cover(distance, soft) * opacity, colour)

    def blend(self, alpha: Tensor, colour: Number) -> None:
        """Lay a colour over the pictures with this opacity (n, h, w)."""
        if isinstance(colour, Tensor) and colour.ndim == 3:
            colour = colour.unsqueeze(1)
        self.pixels.lerp_(torch.as_tensor(colour), alpha.unsqueeze(1))

    def bytes(self) -> Tensor:
        """The pictures as uint8."""
        return (self.pixels.clamp(0, 1) * 255).round().to(torch.uint8)


def ellipse(x: Tensor, y: Tensor, centre: Point, radii: Point) -> Tensor:
    """Distance to an ellipse; exact for discs, and near the edge for others."""
    px, py = (x - centre[0]) / radii[0], (y - centre[1]) / radii[1]
    k = (px**2 + py**2).sqrt()
    slope = ((px / radii[0]) ** 2 + (py / radii[1]) ** 2).sqrt().clamp_min(1e-4)
    return k * (k - 1) / slope


def box(x: Tensor, y: Tensor, centre: Point, half: Point, radius: Number = 0.0) -> Tensor:
    """Distance to a rectangle of these half sides, with rounded corners."""
    dx, dy = (x - centre[0]).abs() - half[0] + radius, (y - centre[1]).abs() - half[1] + radius
    outside = (dx.clamp_min(0) ** 2 + dy.clamp_min(0) ** 2).sqrt()
    return outside + torch.maximum(dx, dy).clamp_max(0) - radius


def segment(x: Tensor, y: Tensor, a: Point, b: Point, radius: Number) -> Tensor:
    """Distance to a thick line with round ends."""
    bx, by = b[0] - a[0], b[1] - a[1]
    px, py = x - a[0], y - a[1]
    along = ((px * bx + py * by) / (bx * bx + by * by + 1e-9)).clamp(0, 1)
    return ((px - bx * along) ** 2 + (py - by * along) ** 2).sqrt() - radius


def polygon(x: Tensor, y: Tensor, points: Sequence[Point]) -> Tensor:
    """Distance to a polygon, convex or not (after I. Quilez, "2D distance functions")."""
    squared: Tensor | None = None
    inside: Tensor | None = None
    for (ax, ay), (bx, by) in zip(points, [*points[1:], points[0]], strict=True):
        ex, ey = bx - ax, by - ay
        wx, wy = x - ax, y - ay
        along = ((wx * ex + wy * ey) / (ex * ex + ey * ey + 1e-9)).clamp(0, 1)
        near = (wx - ex * along) ** 2 + (wy - ey * along) ** 2
        squared = near if squared is None else torch.minimum(squared, near)
        side = ex * wy - ey * wx > 0
        above, below = y >= ay, y < by
        crossed = (above & below & side) | ~(above | below | side)
        inside = crossed if inside is None else inside ^ crossed
    assert squared is not None
    assert inside is not None
    return torch.where(inside, -squared.sqrt(), squared.sqrt())


def rounded(points: Sequence[Point], steps: int = 3) -> list[Point]:
    """A smooth closed outline through all points (Catmull-Rom), with ``steps`` corners for each."""
    n, out = len(points), []
    for i in range(n):
        p0, p1, p2, p3 = (points[(i + j) % n] for j in (-1, 0, 1, 2))
        for step in range(steps):
            t = step / steps
            weights = (
                (-t + 2 * t**2 - t**3) / 2, (2 - 5 * t**2 + 3 * t**3) / 2, (t + 4 * t**2 - 3 * t**3) / 2,
                (t**3 - t**2) / 2,
            )  # fmt: skip
            corner = [sum(w * p[axis] for w, p in zip(weights, (p0, p1, p2, p3), strict=True)) for axis in (0, 1)]
            out.append((corner[0], corner[1]))
    return out


def turned(x: Tensor, y: Tensor, centre: Point, angle: Number) -> tuple[Tensor, Tensor]:
    """Coordinates seen from a centre and turned by an angle in radians."""
    angle = torch.as_tensor(angle)
    cosine, sine = angle.cos(), angle.sin()
    px, py = x - centre[0], y - centre[1]
    return px * cosine + py * sine, py * cosine - px * sine


def ramp(t: Tensor, stops: Sequence[Sequence[float]]) -> Tensor:
    """Colours (n, 3, 1, 1) at places t (n, 1, 1) in [0, 1] of a ramp through evenly spaced RGB stops."""
    colours = torch.tensor(stops)
    place = t.flatten().clamp(0, 1) * (len(stops) - 1)
    low = place.floor().long().clamp_max(len(stops) - 2)
    part = (place - low).unsqueeze(1)
    return (colours[low] * (1 - part) + colours[low + 1] * part).view(-1, 3, 1, 1)


def drawn_classes(
    draw: Sequence[Callable[[Dice], Tensor]], count: int, seed: int, shape: tuple[int, int, int]
) -> tuple[Tensor, Tensor]:
    """Pictures of all classes, the same number of each, in random order.

    Parameters
    ----------
    draw : sequence of callables
        One a class: ``draw(dice)`` gives uint8 pictures (n, c, h, w) for ``dice.n`` pictures.
    count : int
        Number of pictures, a multiple of the number of classes.
    seed : int
        Fixes everything.
    shape : tuple of int
        c, h and w.

    Returns
    -------
    pictures : Tensor
        (count, c, h, w) uint8.
    labels : Tensor
        (count,) int64.
    """
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(len(draw)).repeat(count // len(draw))[torch.randperm(count, generator=generator)]
    pictures = torch.empty(count, *shape, dtype=torch.uint8)
    for label, one in enumerate(draw):
        for places in (labels == label).nonzero().squeeze(1).split(AT_ONCE // (shape[1] * shape[2])):
            pictures[places] = one(Dice(len(places), generator))
    return pictures, labels
