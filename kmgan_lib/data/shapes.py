"""Coloured shapes in ten classes, 32x32 RGB, drawn by this project: the stand-in for CIFAR-10."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable

import torch
from torch import Tensor

from kmgan_lib.data.drawing import Canvas, Dice, Point, box, drawn_classes, ellipse, polygon, turned
from kmgan_lib.data.images import Images

SIZE = 32
COUNTS = {"train": 10_000, "test": 2_000}
Shape = Callable[[Tensor, Tensor, Dice], Tensor]


def _around(corners: int, radii: tuple[float, ...], start: float = -math.pi / 2) -> list[Point]:
    """Corners on circles of these radii in turn."""
    angles = [start + 2 * math.pi * i / corners for i in range(corners)]
    return [(radii[i % len(radii)] * math.cos(a), radii[i % len(radii)] * math.sin(a)) for i, a in enumerate(angles)]


def _disc(x: Tensor, y: Tensor, dice: Dice) -> Tensor:
    return ellipse(x, y, (0.0, 0.0), (0.9, 0.9))


def _ring(x: Tensor, y: Tensor, dice: Dice) -> Tensor:
    thickness = dice.uniform(0.14, 0.24)
    return ellipse(x, y, (0.0, 0.0), (0.76, 0.76)).abs() - thickness


def _square(x: Tensor, y: Tensor, dice: Dice) -> Tensor:
    return box(x, y, (0.0, 0.0), (0.74, 0.74), 0.05)


def _triangle(x: Tensor, y: Tensor, dice: Dice) -> Tensor:
    return polygon(x, y + 0.1, _around(3, (0.95,))) - 0.05


def _star(x: Tensor, y: Tensor, dice: Dice) -> Tensor:
    return polygon(x, y, _around(10, (1.05, 0.42)))


def _cross(x: Tensor, y: Tensor, dice: Dice) -> Tensor:
    arm = dice.uniform(0.2, 0.32)
    return torch.minimum(box(x, y, (0.0, 0.0), (0.92, arm)), box(x, y, (0.0, 0.0), (arm, 0.92)))


def _stripes(x: Tensor, y: Tensor, dice: Dice) -> Tensor:
    period = dice.uniform(0.52, 0.68)
    bars = ((y + period / 2).remainder(period) - period / 2).abs() - period * 0.27
    return torch.maximum(bars, box(x, y, (0.0, 0.0), (0.9, period * 1.27)))  # three


def _checker(x: Tensor, y: Tensor, dice: Dice) -> Tensor:
    side = 0.46
    odd = ((x / side).floor() + (y / side).floor()).remainder(2) > 0.5
    border = torch.minimum(*(side / 2 - (v.remainder(side) - side / 2).abs() for v in (x, y)))
    return torch.maximum(torch.where(odd, -border, border), box(x, y, (0.0, 0.0), (1.9 * side, 1.9 * side)))  # 4 x 4


def _crescent(x: Tensor, y: Tensor, dice: Dice) -> Tensor:
    bite = dice.uniform(0.36, 0.5)
    return torch.maximum(ellipse(x, y, (0.0, 0.0), (0.9, 0.9)), -ellipse(x, y, (bite, 0.0), (0.72, 0.72)))


def _heart(x: Tensor, y: Tensor, dice: Dice) -> Tensor:
    """After I. Quilez, "2D distance functions": two round lobes over a square that stands on its corner."""
    px, py = x.abs() / 1.55, 0.58 - y / 1.55
    lobe = ((px - 0.25) ** 2 + (py - 0.75) ** 2).sqrt() - math.sqrt(2) / 4
    foot = 0.5 * (px + py).clamp_min(0)
    tip = torch.minimum(px**2 + (py - 1) ** 2, (px - foot) ** 2 + (py - foot) ** 2).sqrt() * (px - py).sign()
    return torch.where(px + py > 1, lobe, tip) * 1.55


SHAPES: dict[str, Shape] = {
    "disc": _disc, "ring": _ring, "square": _square, "triangle": _triangle, "star": _star, "cross": _cross,
    "stripes": _stripes, "checker": _checker, "crescent": _crescent, "heart": _heart,
}  # fmt: skip
CLASSES = tuple(SHAPES)
# Half the range of the turn: beyond it a shape would look like itself, or like another.
TURNS = {"square": 0.35, "cross": 0.35, "triangle": 0.5, "heart": 0.5, "checker": 0.35}


def _plane(canvas: Canvas, dice: Dice, first: Tensor, second: Tensor) -> Tensor:
    """A gradient between two colours in a random direction, (n, 3, h, w)."""
    along, _ = turned(canvas.x, canvas.y, (0.0, 0.0), dice.uniform(-math.pi, math.pi))
    part = (0.5 + 0.5 * along).clamp(0, 1).unsqueeze(1)
    return first + part * (second - first)


def _draw(name: str, dice: Dice) -> Tensor:
    canvas = Canvas(torch.zeros(dice.n, 3, SIZE, SIZE))
    ground, colour = dice.colour(), dice.colour()
    # A shape must be seen: its brightness is moved away from that of its ground.
    grey, own = ground.mean(1, keepdim=True), colour.mean(1, keepdim=True)
    far = torch.where(grey < 0.5, 0.28 - (own - grey), -0.28 - (own - grey))
    colour = torch.where((own - grey).abs() < 0.28, colour + far, colour).clamp(0, 1)
    ground = (ground * 0.8 + 0.1).clamp(0, 1)
    canvas.pixels = _plane(canvas, dice, ground, (ground + 0.5 * (dice.colour() - 0.5)).clamp(0, 1))
    soft, fine = dice.noise(SIZE, 4, 4), dice.noise(SIZE, 14, 14)
    texture = dice.uniform(0.0, 0.07) * soft + dice.uniform(0.0, 0.05) * fine
    canvas.pixels = canvas.pixels + texture.unsqueeze(1)
    scale = dice.uniform(0.55, 0.84)
    place = ((0.95 - scale) * dice.uniform(-1, 1), (0.95 - scale) * dice.uniform(-1, 1))
    turn = TURNS.get(name, math.pi) * dice.uniform(-1, 1)
    x, y = turned(canvas.x, canvas.y, place, turn)
    before = dice.generator.get_state()
    distance = SHAPES[name](x / scale, y / scale, dice) * scale
    # The shadow falls down and to the right, whatever the turn.
    dice.generator.set_state(before)
    sx, sy = turned(canvas.x - 0.1, canvas.y - 0.12, place, turn)
    canvas.paint(SHAPES[name](sx / scale, sy / scale, dice) * scale, 0.0, dice.uniform(0.15, 0.45), soft=4.0)
    light = _plane(canvas, dice, colour * 0.78, (colour * 1.2 + 0.06).clamp(0, 1))
    rim = (1 + distance / 0.18).clamp(0, 1).unsqueeze(1)  # darker towards the edge, as a round body is
    canvas.paint(distance, light * (1 - 0.3 * rim**2) + 0.02 * fine.unsqueeze(1))
    canvas.pixels = canvas.pixels + 0.012 * dice.grain(SIZE).unsqueeze(1)
    return canvas.bytes()


@functools.cache
def shapes(split: str = "train") -> Images:
    """Ten shapes of random colour, place, size and turn, with a shadow, on graded and textured grounds.

    Parameters
    ----------
    split : {"train", "test"}
        10,000 or 2,000 pictures, from different seeds, as many of each class.

    Returns
    -------
    Images
        RGB pictures (n, 3, 32, 32) whose provenance calls them a stand-in for ``cifar10``.
    """
    seed = list(COUNTS).index(split)
    draw = [functools.partial(_draw, name) for name in SHAPES]
    tensor, labels = drawn_classes(draw, COUNTS[split], seed, (3, SIZE, SIZE))
    return Images.create(
        tensor, labels, classes=CLASSES, name="cifar10", kind="stand-in", split=split,
        source=f"drawn coloured shapes, seed {seed}",
    )  # fmt: skip
