"""What takes the place of data that are not at hand: real test images that come with the library, and drawings."""

import functools
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from numpy.random import Generator
from torch import Tensor

from kmgan_lib.data.images import EMBEDDED, Images
from kmgan_lib.data.readers import read_idx

HELD_OUT = 5  # of so many embedded images one is for tests
COUNTS = {"train": 2_000, "test": 500}  # of the drawn ones
CORNERS = {"triangle": 3, "square": 4, "pentagon": 5, "hexagon": 6, "disc": 90}
PETALS = {"propeller": 2, "trefoil": 3, "quatrefoil": 4, "cinquefoil": 5, "star": 8}
SHAPES = (*CORNERS, *PETALS)


def embedded(name: str, classes: tuple[str, ...], split: str = "train") -> Images:
    """The 10,000 test images of MNIST or Fashion-MNIST, unchanged: grey, (n, 1, 28, 28).

    Every fifth image is for tests, the others are to train on. They are real, and the provenance says that they are of
    the ``test`` split, embedded.
    """
    tensor, labels, _ = read_idx(Path(__file__).parent / "embedded" / name, "test")
    held_out = torch.arange(len(labels)) % HELD_OUT == HELD_OUT - 1
    part = {"train": ~held_out, "test": held_out, "all": torch.ones_like(held_out)}[split]
    return Images.create(
        tensor[part], labels[part], classes=classes, name=name, kind="real", source=EMBEDDED, split="test"
    )


def _painted(images: np.ndarray, depth: np.ndarray, colours: np.ndarray) -> np.ndarray:
    """Images (n, 3, s, s) with colours (n, 3) where the depth (n, s, s), 1 for half a side, is positive."""
    opaque = np.clip(0.5 + images.shape[-1] / 2 * depth, 0, 1)[:, None]
    return images + opaque.astype(np.float32) * (colours[:, :, None, None].astype(np.float32) - images)


def _canvas(colours: np.ndarray, side: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Images (n, 3, s, s) of one colour each, and the coordinates of their pixels, from -1 to 1."""
    y, x = np.mgrid[-1 : 1 : side * 1j, -1 : 1 : side * 1j].astype(np.float32)
    return np.tile(colours[:, :, None, None].astype(np.float32), (1, 1, side, side)), x, y


def _shapes(labels: np.ndarray, random: Generator) -> np.ndarray:
    ground, away = random.integers(0, 256, (len(labels), 3)), random.integers(80, 176, (len(labels), 3))
    size, left, top, turn = random.uniform(-0.3, 0.3, (4, len(labels), 1, 1))
    images, x, y = _canvas(ground, 32)
    far, angle = np.hypot(x - left, y - top), np.arctan2(x - left, top - y) + turn
    corners = np.array([*CORNERS.values(), *PETALS.values()])[labels, None, None]
    polygon = np.cos(np.pi / corners) / np.cos(angle % (2 * np.pi / corners) - np.pi / corners)
    edge = np.where(labels[:, None, None] < len(CORNERS), polygon, 0.65 + 0.35 * np.cos(corners * angle))
    return _painted(images, (0.6 + size / 3) * edge - far, (ground + away) % 256)


def _faces(labels: np.ndarray, random: Generator) -> np.ndarray:
    tan, hair, smile, glasses, turn, width = random.random((6, len(labels), 1, 1), np.float32)
    skin, locks = np.array((250, 214, 190)) - 110 * tan[:, 0], np.array((235, 190, 110)) * hair[:, 0]
    images, x, y = _canvas(np.tile((120.0, 140, 160), (len(labels), 1)), 64)
    side = 0.3 * (turn - 0.5)

    def ellipse(left: np.ndarray | float, top: float, a: np.ndarray | float, b: float) -> np.ndarray:
        return (1 - ((x - left) / a) ** 2 - ((y - top) / b) ** 2) * b / 2

    images = _painted(images, ellipse(0 * tan, 1.2, 0.9, 0.55), np.array([(70, 90, 150)]))
    images = _painted(images, ellipse(0, -0.15, 0.57 + 0.15 * width, 0.75), locks)
    images = _painted(images, ellipse(0.3 * side, 0.05, 0.45 + 0.15 * width, 0.65), skin)
    for eye in (side - 0.22, side + 0.22):
        frame = np.where(glasses > 0.5, 0.02 - np.abs(ellipse(eye, -0.05, 0.17, 0.14)), -1)
        images = _painted(images, frame, np.array([[20]]))
        images = _painted(images, ellipse(eye, -0.05, 0.09, 0.06), np.array([[250]]))
        images = _painted(images, ellipse(eye + side / 8, -0.05, 0.045, 0.05), np.array([[40]]))
    bow = 0.38 + (0.2 * smile - 0.06) * (1 - ((x - side) / 0.22) ** 2)
    mouth = np.where(np.abs(x - side) < 0.22, 0.04 - np.abs(y - bow), -1)
    return _painted(images, mouth, np.array([(170, 60, 70)]))


@functools.cache
def _drawn(draw: Callable[[np.ndarray, Generator], np.ndarray], split: str) -> tuple[Tensor, Tensor]:
    if split == "all":
        images, labels = zip(*(_drawn(draw, part) for part in COUNTS), strict=True)
        return torch.cat(images), torch.cat(labels)
    labels, random = np.arange(COUNTS[split]) % len(SHAPES), np.random.default_rng(list(COUNTS).index(split))
    parts = [draw(some, random) for some in np.split(labels, len(labels) // 500)]
    return torch.from_numpy(np.concatenate(parts).clip(0, 255).astype(np.uint8)), torch.from_numpy(labels)


def shapes(split: str = "train") -> Images:
    """Ten coloured shapes, 32x32 RGB, as many of each: the stand-in for CIFAR-10. ``split`` as for `load`."""
    drawn, source = _drawn(_shapes, split), "drawn coloured shapes"
    return Images.create(*drawn, classes=SHAPES, name="cifar10", kind="stand-in", source=source, split=split)


def faces(split: str = "train") -> Images:
    """Faces of random hair, skin, smile, glasses, turn and width, 64x64 RGB: the stand-in for CelebA."""
    tensor, _ = _drawn(_faces, split)
    return Images.create(tensor, None, name="celeba", kind="stand-in", source="drawn faces", split=split)
