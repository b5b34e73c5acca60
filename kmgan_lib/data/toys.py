"""Data that come with the library: points (Section 4.1), digits of scikit-learn, test images, and drawn stand-ins."""

import functools
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from numpy.random import Generator
from torch import Tensor
from torch.nn import functional as F

from kmgan_lib.data.images import EMBEDDED, Images
from kmgan_lib.data.readers import read_idx

MEANS = 10.0 * torch.tensor([[1.0, 1.0], [0.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
DEVIATION, POINTS_PER_CLASS = 1.5, 2_500
TEST_COUNT = 297  # of scikit-learn's digits
HELD_OUT = 5  # one in so many embedded images is for tests
COUNTS = {"train": 2_000, "test": 500}  # of the drawn ones
CORNERS = {"triangle": 3, "square": 4, "pentagon": 5, "hexagon": 6, "disc": 90}
PETALS = {"propeller": 2, "trefoil": 3, "quatrefoil": 4, "cinquefoil": 5, "star": 8}
SHAPES = (*CORNERS, *PETALS)


def hidden_points(seed: int = 0, points_per_class: int = POINTS_PER_CLASS) -> tuple[Tensor, Tensor]:
    """The hidden two-dimensional structure (Fig. 2a): points h (n, 2) and their classes (n,).

    Means and scale are those of DCN's data generator (Yang et al., 2017). The two standard deviations of a class have
    the geometric mean 1.5; they are stretched by a random factor of at most 1.5 and turned by a random angle (ours).
    """
    generator = torch.Generator().manual_seed(seed)
    points = []
    for mean in MEANS:
        stretch = 1 + 0.5 * torch.rand((), generator=generator)
        angle = torch.pi * torch.rand((), generator=generator)
        turn = torch.stack([angle.cos(), -angle.sin(), angle.sin(), angle.cos()]).view(2, 2)
        scale = DEVIATION * torch.stack([stretch, 1 / stretch])
        points.append(mean + (torch.randn(points_per_class, 2, generator=generator) * scale) @ turn.T)
    return torch.cat(points), torch.arange(4).repeat_interleave(points_per_class)


def synthetic(seed: int = 0, points_per_class: int = POINTS_PER_CLASS) -> Images:
    r"""The observed points :math:`x = \sigma(W_2\,\sigma(W_1 h)) \in \mathbb{R}^{100}` (n, 100), and their classes.

    The mapping is Table 2's (FC 10 sigmoid, FC 100 sigmoid) with standard normal weights and no biases, as in DCN.
    """
    points, labels = hidden_points(seed, points_per_class)
    generator = torch.Generator().manual_seed(seed + 1_000_003)
    hidden = torch.sigmoid(points @ torch.randn(2, 10, generator=generator))
    mapped = torch.sigmoid(hidden @ torch.randn(10, 100, generator=generator))
    source = f"four Gaussians mapped by M of Table 2, seed {seed}"
    return Images.create(mapped, labels, classes="ABCD", name="synthetic", kind="synthetic", split="all", source=source)


def digits(split: str = "train") -> Images:
    """Real 8x8 digits (UCI), enlarged to 20x20, centered on 28x28; ``test`` is the last 297, by other writers."""
    from sklearn.datasets import load_digits

    bunch = load_digits()
    small = torch.tensor(bunch.images, dtype=torch.float32).unsqueeze(1) / 16  # pyright: ignore[reportAttributeAccessIssue]
    large = F.interpolate(small, size=20, mode="bicubic", align_corners=False).clamp(0, 1)
    tensor = F.pad((large * 255).round().to(torch.uint8), (4, 4, 4, 4))
    labels = torch.tensor(bunch.target, dtype=torch.int64)  # pyright: ignore[reportAttributeAccessIssue]
    part = {"train": slice(None, -TEST_COUNT), "test": slice(-TEST_COUNT, None), "all": slice(None)}[split]
    names = {"name": "digits", "kind": "real", "source": "scikit-learn's 8x8 digits, enlarged to 28x28"}
    return Images.create(tensor[part], labels[part], classes="0123456789", split=split, **names)


def embedded(name: str, classes: tuple[str, ...], split: str = "train") -> Images:
    """The 10,000 test images of MNIST or Fashion-MNIST (n, 1, 28, 28), every fifth for tests, the rest for training."""
    tensor, labels, _ = read_idx(Path(__file__).parent / "embedded" / name, "test")
    held_out = torch.arange(len(labels)) % HELD_OUT == HELD_OUT - 1
    part = {"train": ~held_out, "test": held_out, "all": slice(None)}[split]
    provenance = {"name": name, "kind": "real", "source": EMBEDDED, "split": "test"}
    return Images.create(tensor[part], labels[part], classes=classes, **provenance)


def _painted(images: np.ndarray, depth: np.ndarray, colours: np.ndarray) -> np.ndarray:
    """Images (n, 3, s, s) painted with colors (n, 3) where the depth (n, s, s), in half sides, is positive."""
    opaque = np.clip(0.5 + images.shape[-1] / 2 * depth, 0, 1)[:, None]
    return images + opaque.astype(np.float32) * (colours[:, :, None, None].astype(np.float32) - images)


def _canvas(colours: np.ndarray, side: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Images (n, 3, s, s) of one color each, and the coordinates of their pixels, from -1 to 1."""
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
        train, test = (_drawn(draw, part) for part in COUNTS)
        return torch.cat([train[0], test[0]]), torch.cat([train[1], test[1]])
    labels, random = np.arange(COUNTS[split]) % len(SHAPES), np.random.default_rng(list(COUNTS).index(split))
    parts = [draw(some, random) for some in np.split(labels, len(labels) // 500)]
    return torch.from_numpy(np.concatenate(parts).clip(0, 255).astype(np.uint8)), torch.from_numpy(labels)


def shapes(split: str = "train") -> Images:
    """Ten colored shapes, 32x32 RGB, equally many of each: the stand-in for CIFAR-10. ``split`` as for `load`."""
    names = {"name": "cifar10", "kind": "stand-in", "source": "drawn coloured shapes"}
    return Images.create(*_drawn(_shapes, split), classes=SHAPES, split=split, **names)


def faces(split: str = "train") -> Images:
    """Faces of random hair, skin, smile, glasses, turn and width, 64x64 RGB: the stand-in for CelebA."""
    names = {"name": "celeba", "kind": "stand-in", "source": "drawn faces"}
    return Images.create(_drawn(_faces, split)[0], None, split=split, **names)
