"""What takes the place of data that are not at hand: real test images that come with the library, and drawings.

Pillow draws each image four times as large; shrinking it smooths the edges.
"""

import functools
import math
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.random import Generator
from PIL import Image, ImageDraw
from torch import Tensor

from kmgan_lib.data.images import EMBEDDED, Images
from kmgan_lib.data.readers import read_idx_part

HELD_OUT = 5  # of so many embedded images one is for tests
COUNTS = {"train": 4_000, "test": 1_000}  # of the drawn ones
LARGER = 4
Points = Sequence[tuple[float, float]]
FACTORS = ("hair", "skin", "smile", "glasses", "turn", "width")


def embedded(name: str, classes: tuple[str, ...], split: str = "train") -> Images:
    """The 10,000 test images of MNIST or Fashion-MNIST, unchanged: grey, (n, 1, 28, 28).

    Every fifth image is for tests, the others are to train on. They are real, and the provenance says that they are of
    the ``test`` split, embedded.
    """
    tensor, labels = read_idx_part(Path(__file__).parent / "embedded" / name, "test")
    held_out = torch.arange(len(labels)) % HELD_OUT == HELD_OUT - 1
    part = {"train": ~held_out, "test": held_out, "all": torch.ones_like(held_out)}[split]
    return Images.create(
        tensor[part], labels[part], classes=classes, name=name, kind="real", source=EMBEDDED, split="test"
    )


def _around(corners: int, *radii: float) -> Points:
    angles = [2 * math.pi * i / corners - math.pi / 2 for i in range(corners)]
    return [(radii[i % len(radii)] * math.cos(a), radii[i % len(radii)] * math.sin(a)) for i, a in enumerate(angles)]


SHAPES: dict[str, Points] = {  # outlines in [-1, 1], y downwards
    "disc": _around(40, 0.8), "triangle": _around(3, 0.95), "square": _around(4, 0.9), "pentagon": _around(5, 0.9),
    "star": _around(10, 1.0, 0.4), "spark": _around(8, 1.0, 0.3), "gear": _around(24, 0.9, 0.9, 0.65, 0.65),
    "bar": [(-0.95, -0.25), (0.95, -0.25), (0.95, 0.25), (-0.95, 0.25)],
    "arrow": [(-0.9, -0.25), (0.1, -0.25), (0.1, -0.7), (0.95, 0.0), (0.1, 0.7), (0.1, 0.25), (-0.9, 0.25)],
    "cross": [(0.3, -0.9), (0.3, -0.3), (0.9, -0.3), (0.9, 0.3), (0.3, 0.3), (0.3, 0.9), (-0.3, 0.9), (-0.3, 0.3),
              (-0.9, 0.3), (-0.9, -0.3), (-0.3, -0.3), (-0.3, -0.9)],
}  # fmt: skip


class _Canvas:
    """An image whose coordinates run from -1 to 1."""

    def __init__(self, size: int, ground: tuple[int, ...]):
        self.size, self.image = size, Image.new("RGB", (LARGER * size, LARGER * size), ground)
        self.draw = ImageDraw.Draw(self.image)

    def _pixels(self, points: Points) -> list[tuple[float, float]]:
        half = LARGER * self.size / 2
        return [(half * (1 + x), half * (1 + y)) for x, y in points]

    def polygon(self, points: Points, colour: tuple[int, ...]) -> None:
        self.draw.polygon(self._pixels(points), fill=colour)

    def ellipse(self, x: float, y: float, a: float, b: float, colour: tuple[int, ...] | None, line: int = 0) -> None:
        box = self._pixels([(x - a, y - b), (x + a, y + b)])
        self.draw.ellipse(box, fill=colour, outline=(20, 20, 20) if line else None, width=line)

    def array(self) -> np.ndarray:
        return np.asarray(self.image.resize((self.size, self.size), Image.Resampling.BOX))


def shape(label: int, random: Generator) -> np.ndarray:
    """One of the `SHAPES` (32, 32, 3) of random colours, place, size and turn."""
    ground = tuple(random.integers(0, 256, 3).tolist())
    turn, size = random.uniform(-0.35, 0.35), random.uniform(0.5, 0.85)
    cos, sin, (left, top) = size * math.cos(turn), size * math.sin(turn), random.uniform(size - 1, 1 - size, 2)
    points = [(left + cos * x - sin * y, top + sin * x + cos * y) for x, y in list(SHAPES.values())[label]]
    canvas = _Canvas(32, ground)
    canvas.polygon(points, tuple((c + int(random.integers(80, 176))) % 256 for c in ground))  # far from the ground
    return canvas.array()


def face(factors: Sequence[float]) -> np.ndarray:
    """The face (64, 64, 3) of six factors in [0, 1], in the order of `FACTORS`."""
    hair, tan, smile, glasses, turn, width = factors
    canvas, side, a = _Canvas(64, (120, 140, 160)), 0.3 * (turn - 0.5), 0.45 + 0.15 * width
    skin, locks = tuple(int(v - 110 * tan) for v in (250, 214, 190)), tuple(int(v * hair) for v in (235, 190, 110))
    canvas.ellipse(0, 1.2, 0.9, 0.55, (70, 90, 150))
    canvas.ellipse(0, -0.15, a + 0.12, 0.75, locks)
    canvas.ellipse(0.3 * side, 0.05, a, 0.65, skin)
    for eye in (side - 0.22, side + 0.22):
        canvas.ellipse(eye, -0.05, 0.09, 0.06, (250, 250, 250))
        canvas.ellipse(eye + side / 8, -0.05, 0.045, 0.05, (40, 40, 60))
        if glasses > 0.5:
            canvas.ellipse(eye, -0.05, 0.17, 0.14, None, line=6)
    nose = [(side * 1.2 - 0.05, 0.2), (side * 1.2, -0.02), (side * 1.2 + 0.05, 0.2)]
    canvas.polygon(nose, tuple(c - 25 for c in skin))
    bow = [(side + x, 0.38 + (0.14 * smile - 0.04) * (1 - (x / 0.22) ** 2)) for x in np.linspace(-0.22, 0.22, 9)]
    canvas.polygon([*bow, (side + 0.22, 0.36), (side - 0.22, 0.36)], (170, 60, 70))
    return canvas.array()


def _random_face(_: int, random: Generator) -> np.ndarray:
    return face(random.random(len(FACTORS)).tolist())


@functools.cache
def _drawn(draw: Callable[[int, Generator], np.ndarray], split: str) -> tuple[Tensor, Tensor]:
    random = np.random.default_rng(list(COUNTS).index(split))
    labels = np.arange(COUNTS[split]) % len(SHAPES)
    images = torch.from_numpy(np.stack([draw(int(y), random) for y in labels]))
    return images.permute(0, 3, 1, 2).contiguous(), torch.from_numpy(labels)


def _images(draw: Callable[[int, Generator], np.ndarray], classes: tuple[str, ...], split: str, **known: str) -> Images:
    parts = [_drawn(draw, part) for part in (COUNTS if split == "all" else (split,))]
    tensor, labels = (torch.cat(tensors) for tensors in zip(*parts, strict=True))
    return Images.create(tensor, labels if classes else None, classes=classes, kind="stand-in", split=split, **known)


def shapes(split: str = "train") -> Images:
    """Ten coloured shapes, 32x32 RGB, as many of each: the stand-in for CIFAR-10. ``split`` as for `load`."""
    return _images(shape, tuple(SHAPES), split, name="cifar10", source="drawn coloured shapes")


def faces(split: str = "train") -> Images:
    """Faces of random factors, 64x64 RGB: the stand-in for CelebA. ``split`` as for `load`."""
    return _images(_random_face, (), split, name="celeba", source="drawn faces")
