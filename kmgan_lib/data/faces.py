"""Faces of known factors, 64x64 RGB, drawn by this project: the stand-in for CelebA.

A face is a function of ten numbers, so that the smoothness of an interpolation can be measured against the truth.
"""

from __future__ import annotations

import functools

import torch
from torch import Tensor

from kmgan_lib.data.drawing import AT_ONCE, Canvas, Number, box, ellipse, ramp, segment
from kmgan_lib.data.images import Images
from kmgan_lib.errors import UsageError

SIZE = 64
COUNTS = {"train": 4_000, "test": 1_000}
# All in [0, 1]: hair from black over brown and red to blond and from short to long; from serious to laughing; glasses
# from none to there; head turned left, straight ahead (0.5), turned right; skin from light to dark; face from narrow to
# wide; light from the left or from the right; colour of the ground; colour of the clothes.
FACTORS = (
    "hair_colour", "hair_length", "smile", "glasses", "angle", "skin", "width", "light", "ground", "clothes",
)  # fmt: skip
TURN = 0.4  # radians at the ends of the angle
HAIR = [(0.07, 0.06, 0.07), (0.25, 0.15, 0.09), (0.48, 0.22, 0.1), (0.72, 0.52, 0.26), (0.9, 0.78, 0.52)]
SKIN = [(1.0, 0.86, 0.77), (0.93, 0.74, 0.6), (0.78, 0.56, 0.4), (0.54, 0.36, 0.25), (0.38, 0.25, 0.18)]
HUES = [
    (0.62, 0.3, 0.28), (0.72, 0.6, 0.4), (0.36, 0.5, 0.36), (0.33, 0.5, 0.58), (0.3, 0.34, 0.55), (0.5, 0.38, 0.52),
    (0.8, 0.8, 0.78),
]  # fmt: skip


def draw_factors(seed: int, n: int) -> Tensor:
    """Factors of n random faces: uniform, but for the glasses, which three in ten wear and the others do not.

    Parameters
    ----------
    seed : int
        Fixes them.
    n : int
        Number of faces.

    Returns
    -------
    Tensor
        (n, 10) in [0, 1], in the order of `FACTORS`.
    """
    factors = torch.rand(n, len(FACTORS), generator=torch.Generator().manual_seed(seed))
    glasses = FACTORS.index("glasses")
    factors[:, glasses] = (factors[:, glasses] < 0.3).float()
    return factors


class _Head:
    """Places on a head that is turned: a point of the upright head and its depth, as seen from the front."""

    def __init__(self, angle: Tensor):
        turn = (2 * angle - 1) * TURN
        self.cosine, self.sine = turn.cos(), turn.sin()

    def at(self, x: Number, depth: float) -> Tensor:
        """Horizontal place of the point."""
        return x * self.cosine + depth * self.sine

    def narrowed(self, x: float, depth: float) -> Tensor:
        """Factor by which the turn narrows what lies there on the round head."""
        radius = (x * x + depth * depth) ** 0.5
        return ((depth * self.cosine - x * self.sine) / radius).clamp(0.25, 1) / (depth / radius)


def _hair_behind(canvas: Canvas, head: _Head, wide: Tensor, length: Tensor, hair: Tensor) -> None:
    x, y = canvas.x, canvas.y
    middle, end = head.at(0.0, -0.12), -0.25 + 1.15 * length
    crown = ellipse(x, y, (middle, -0.22), (wide + 0.13, 0.64))
    half = wide + 0.1 + 0.05 * length
    fall = box(x, y, (middle, (end - 0.3) / 2), (half, (end + 0.3).clamp_min(0.02) / 2), 0.16)
    strands = 1 + 0.12 * torch.sin((x - middle) * 42 + 3 * y)
    canvas.paint(torch.minimum(crown, fall), hair * 0.72 * strands.unsqueeze(1))


def _eyes(canvas: Canvas, head: _Head, skin: Tensor, hair: Tensor, smile: Tensor) -> None:
    x, y = canvas.x, canvas.y
    for side in (-1.0, 1.0):
        cx, narrow = head.at(side * 0.235, 0.38), head.narrowed(side * 0.235, 0.38)
        half, tall = 0.105 * narrow, 0.058 - 0.014 * smile
        canvas.paint(ellipse(x, y, (cx, -0.1), (half * 1.45, 0.1)), skin * 0.8, 0.5, soft=3.0)  # the socket
        white = ellipse(x, y, (cx, -0.1), (half, tall))
        canvas.paint(white, 0.95)
        gaze = cx + 0.02 * head.sine
        canvas.paint(torch.maximum(ellipse(x, y, (gaze, -0.1), (0.054 * narrow, 0.056)), white), hair * 0.25 + 0.1)
        canvas.paint(ellipse(x, y, (gaze + 0.015, -0.118), (0.016, 0.016)), 1.0, 0.8)
        lid = torch.maximum(white.abs() - 0.018, y + 0.1)
        canvas.paint(lid, skin * 0.25, 0.9)
        brow = y + 0.245 + 0.02 * smile - 2.9 * (x - cx) ** 2
        arch = torch.maximum(brow.abs() - 0.026, (x - cx).abs() - half * 1.35)
        canvas.paint(arch, hair * 0.6, 0.85)


def _nose(canvas: Canvas, head: _Head, skin: Tensor, light: Tensor) -> None:
    x, y = canvas.x, canvas.y
    root, tip = head.at(0.0, 0.4), head.at(0.0, 0.56)
    bridge = segment(x, y, (root, -0.08), (tip, 0.14), 0.035)
    canvas.paint(bridge, (skin * 1.1 + 0.03).clamp(0, 1), 0.6, soft=3.0)
    shade = segment(x, y, (root - light * 0.07, -0.05), (tip - light * 0.085, 0.14), 0.025)
    canvas.paint(shade, skin * 0.7, 0.55, soft=3.0)
    canvas.paint(ellipse(x, y, (tip, 0.155), (0.1, 0.062)), skin * 0.97, 0.9, soft=2.5)
    for side in (-1.0, 1.0):
        canvas.paint(ellipse(x, y, (head.at(side * 0.05, 0.5), 0.19), (0.028, 0.017)), skin * 0.4, 0.8)


def _mouth(canvas: Canvas, head: _Head, skin: Tensor, smile: Tensor) -> None:
    y = canvas.y
    centre = head.at(0.0, 0.44)
    half = (0.15 + 0.075 * smile) * head.narrowed(0.0, 0.44)
    across = (canvas.x - centre) / half
    arc = across**2
    corners = (0.19 * smile - 0.05) * arc  # the corners of a smile rise
    opening = 0.11 * (2 * smile - 0.7).clamp(0, 1) * (1 - arc).clamp_min(0)
    inside = across.abs() * half - half
    upper, lower = 0.42 - corners - 0.25 * opening, 0.42 - corners + 0.9 * opening
    lips = 0.036 * (1 - arc).clamp_min(0) ** 0.5
    red = skin * torch.tensor([0.86, 0.55, 0.54]).view(1, 3, 1, 1)
    canvas.paint(torch.maximum(torch.maximum(upper - lips - y, y - lower - 1.4 * lips), inside), red)
    gap = torch.maximum(torch.maximum(upper - y, y - lower), inside)
    canvas.paint(gap - 0.008, skin * 0.22)
    teeth = torch.maximum(gap + 0.008, y - upper - 0.7 * (lower - upper))
    canvas.paint(teeth, 0.94, (opening * 30).clamp(0, 1))
    for side in (-1.0, 1.0):  # the folds of a smile
        fold = segment(canvas.x, y, (head.at(side * 0.17, 0.4), 0.2), (head.at(side * 0.275, 0.34), 0.37), 0.012)
        canvas.paint(fold, skin * 0.62, 0.55 * smile, soft=2.0)


def _hair_before(canvas: Canvas, head: _Head, wide: Tensor, length: Tensor, hair: Tensor) -> None:
    """Fringe and temples: what of the crown lies above a hairline that rises from both sides to a parting."""
    x, y = canvas.x, canvas.y
    crown = ellipse(x, y, (head.at(0.0, -0.02), -0.24), (wide + 0.1, 0.6))
    part = head.at(-0.12, 0.36)
    line = -0.44 + 0.75 * (x - part) ** 2 + 0.16 * (x - part).abs() - 0.06 * (1 - length)
    front = torch.maximum(crown, (y - line) * 0.8)
    strands = 1 + 0.1 * torch.sin((x - part).abs() * 46 - 14 * y) + 0.25 * torch.exp(-(((y + 0.68) / 0.09) ** 2))
    canvas.paint(front, (hair * strands.unsqueeze(1)).clamp(0, 1))
    end = -0.2 + 1.05 * length
    for side in (-1.0, 1.0):  # locks beside the face
        lock = segment(
            x, y, (head.at(side * (wide + 0.02), -0.02), -0.35), (head.at(side * (wide + 0.08), -0.08), end), 0.085
        )
        canvas.paint(lock, (hair * 0.92 * strands.unsqueeze(1)).clamp(0, 1), ((length - 0.15) * 5).clamp(0, 1))


def _glasses(canvas: Canvas, head: _Head, wide: Tensor, shown: Tensor) -> None:
    x, y = canvas.x, canvas.y
    for side in (-1.0, 1.0):
        cx, narrow = head.at(side * 0.24, 0.44), head.narrowed(side * 0.24, 0.44)
        lens = box(x, y, (cx, -0.085), (0.175 * narrow, 0.135), 0.09)
        canvas.paint(lens, 1.0, 0.1 * shown)
        canvas.paint(lens.abs() - 0.02, 0.06, shown)
        start, end = head.at(side * 0.41, 0.42), head.at(side * (wide + 0.01), 0.05)
        canvas.paint(segment(x, y, (start, -0.12), (end, -0.12), 0.02), 0.06, shown)
    bridge = segment(x, y, (head.at(-0.07, 0.5), -0.11), (head.at(0.07, 0.5), -0.11), 0.02)
    canvas.paint(bridge, 0.06, shown)


def _portrait(factors: Tensor) -> Tensor:
    values = dict(zip(FACTORS, factors.view(-1, len(FACTORS), 1, 1).unbind(1), strict=True))
    hair, skin = ramp(values["hair_colour"], HAIR), ramp(values["skin"], SKIN)
    cloth, ground = ramp(values["clothes"], HUES), ramp(values["ground"], HUES)
    head, light, length = _Head(values["angle"]), 2 * values["light"] - 1, values["hair_length"]
    wide = 0.39 + 0.11 * values["width"]
    canvas = Canvas(torch.zeros(len(factors), 3, SIZE, SIZE))
    x, y = canvas.x, canvas.y
    canvas.pixels = ground * (0.95 - 0.25 * y + 0.15 * light * x).unsqueeze(1).clamp(0.3, 1.3)
    _hair_behind(canvas, head, wide, length, hair)
    bust = canvas.rows(0.3, 1.0)
    shirt = ellipse(x, bust.y, (0.0, 1.2), (0.86, 0.4))
    bust.paint(shirt, cloth * (0.85 + 0.2 * light * x).unsqueeze(1))
    throat = head.at(0.0, 0.05)
    bust.paint(box(x, bust.y, (throat, 0.68), (0.2, 0.28), 0.08), skin * 0.72)
    bust.paint(ellipse(x, bust.y, (throat, 0.93), (0.24, 0.12)), skin * 0.8)
    for side in (-1.0, 1.0):
        strip = canvas.rows(-0.3, 0.3)
        ear = ellipse(x, strip.y, (head.at(side * (wide + 0.01), 0.0), -0.02), (0.07, 0.13))
        strip.paint(ear, skin * 0.82)
    middle = head.at(0.0, 0.07)
    skull = ellipse(x, y, (middle, -0.1), (wide, 0.6))
    jaw = ellipse(x, y, (head.at(0.0, 0.14), 0.22), (wide * 0.8, 0.5))
    face = torch.minimum(skull, jaw)
    # A round head under a light from one side; the cheeks a little red.
    round_x = (x - middle) / wide
    shade = 1 - 0.3 * (round_x.clamp(-1, 1) ** 2) + 0.16 * light * round_x - 0.1 * (y - 0.3).clamp_min(0)
    canvas.paint(face, (skin * shade.unsqueeze(1)).clamp(0, 1))
    for side in (-1.0, 1.0):
        strip = canvas.rows(0.0, 0.45)
        cheek = ellipse(x, strip.y, (head.at(side * 0.27, 0.34), 0.2), (0.11, 0.08))
        strip.paint(cheek, skin * torch.tensor([1.0, 0.78, 0.76]).view(1, 3, 1, 1), 0.3, soft=6.0)
    _eyes(canvas.rows(-0.45, 0.1), head, skin, hair, values["smile"])
    _nose(canvas.rows(-0.2, 0.4), head, skin, light)
    _mouth(canvas.rows(0.1, 0.7), head, skin, values["smile"])
    _hair_before(canvas, head, wide, length, hair)
    _glasses(canvas.rows(-0.3, 0.15), head, wide, values["glasses"])
    return canvas.bytes()


def faces(factors: Tensor) -> Tensor:
    """Draw the faces of these factors.

    Parameters
    ----------
    factors : Tensor
        (n, 10) in [0, 1], in the order of `FACTORS`, such as `draw_factors` gives. Glasses between 0 and 1 are
        transparent.

    Returns
    -------
    Tensor
        Pictures (n, 3, 64, 64) uint8, which the factors alone decide and which follow them continuously.

    Raises
    ------
    UsageError
        If the factors have another shape or leave [0, 1].
    """
    if factors.ndim != 2 or factors.shape[1] != len(FACTORS):
        raise UsageError(f"factors {tuple(factors.shape)} must be (n, {len(FACTORS)}): {', '.join(FACTORS)}")
    if len(factors) and not (factors.min() >= 0 and factors.max() <= 1):
        raise UsageError("factors must lie in [0, 1]")
    pictures = torch.empty(len(factors), 3, SIZE, SIZE, dtype=torch.uint8)
    n = AT_ONCE // SIZE**2
    for part, target in zip(factors.float().split(n), pictures.split(n), strict=True):
        target.copy_(_portrait(part))
    return pictures


@functools.cache
def drawn_faces(split: str = "train") -> Images:
    """Random faces; their factors are ``draw_factors(seed, n)`` with seed 0 for train and 1 for test.

    Parameters
    ----------
    split : {"train", "test"}
        4,000 or 1,000 pictures.

    Returns
    -------
    Images
        RGB pictures (n, 3, 64, 64) without labels, whose provenance calls them a stand-in for ``celeba``.
    """
    seed = list(COUNTS).index(split)
    return Images.create(
        faces(draw_factors(seed, COUNTS[split])), None, name="celeba", kind="stand-in", split=split,
        source=f"drawn faces, seed {seed}",
    )  # fmt: skip
