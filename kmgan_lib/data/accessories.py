"""Drawings of footwear and bags for the garments: 28x28 grey on black, shoes from the side with their toes left."""

from __future__ import annotations

import itertools

import torch
from torch import Tensor

from kmgan_lib.data.clothes import FAR, SIZE, cloth, sew
from kmgan_lib.data.drawing import Canvas, Dice, Point, box, ellipse, polygon, rounded, segment


def sandal(dice: Dice) -> Tensor:
    """Straps are bands over the shape of a foot, on a sole that may rise to a heel."""
    canvas = Canvas(torch.zeros(dice.n, 1, SIZE, SIZE))
    fabric, _ = cloth(canvas, dice, 0.0)
    x, y = canvas.x, canvas.y
    heel, thick = dice.uniform(0.12, 0.6) * dice.chance(0.65), dice.uniform(0.04, 0.08)
    floor, toe, back = 0.35 + 0.4 * heel + dice.uniform(-0.05, 0.1), -dice.uniform(0.84, 0.93), dice.uniform(0.7, 0.86)
    ball, raised = toe + 0.55, floor - heel
    rise = raised - dice.uniform(0.42, 0.58)  # height of the strap round the ankle
    top = floor - dice.uniform(0.36, 0.48)  # and of those over the toes
    foot = polygon(
        x + 0 * back, y,
        rounded([
            (toe, floor), (toe + 0.12, top + 0.1), (ball - 0.1, top), (back - 0.5, (top + rise) / 2 - 0.02),
            (back - 0.4, rise - 0.1), (back - 0.02, rise - 0.1), (back, raised - 0.2), (back, raised),
            (back - 0.35, raised), (ball, floor),
        ], 2),
    )  # fmt: skip
    width, lean = dice.uniform(0.06, 0.11), dice.uniform(-0.45, 0.1)
    toes = (x - ball + 0.18 - lean * (floor - y)).abs() - dice.uniform(0.15, 0.32)
    middle = (x - ball - 0.34 - lean * (floor - y)).abs() - width
    instep = segment(x, y, (ball - 0.1, top + 0.1), (back - 0.3, rise), width)
    crossing = segment(x, y, (ball - 0.1, floor - 0.1), (back - 0.1, rise), width)
    # An ankle strap hangs on something: a counter at the heel, a strap along the instep or one across the foot.
    ankle, (counter, along, across) = dice.chance(0.8), dice.choice(0.5, 0.25, 0.25)
    for band, shown in (
        (torch.maximum(x - back - 0.1, back - 0.16 - x), ankle * counter),
        (instep, ankle * along), (crossing, ankle * across), ((y - rise).abs() - width + 0 * x, ankle),
        (middle, dice.chance(0.4)), (toes, 1.0),
    ):  # fmt: skip
        piece = torch.maximum(band, foot)
        canvas.paint(piece, fabric * (1 - 0.3 * (1 + piece / 0.15).clamp(0, 1) ** 2), shown)
        canvas.paint(piece.abs() - 0.015, 0.05, 0.3 * shown)
    slim = dice.uniform(0.03, 0.1) + (1 - heel / 0.6) * 0.06
    stem = polygon(
        x + 0 * back, y,
        [(back - 0.26, raised), (back, raised), (back - 0.02, floor + thick), (back - 0.04 - 2 * slim, floor + thick)],
    )  # fmt: skip
    canvas.paint(stem, fabric * 0.6, (heel > 0).float())
    wedge = polygon(x + 0 * back, y, [(ball, floor), (back - 0.35, raised), (back, raised), (back, floor + thick)])
    canvas.paint(wedge, fabric * 0.7, dice.chance(0.3))
    line = [(toe, floor), (ball, floor), (back - 0.35, raised), (back, raised)]
    sole = torch.stack([segment(x, y, a, b, thick) for a, b in itertools.pairwise(line)]).amin(0)
    canvas.paint(sole, (fabric * dice.uniform(0.5, 1.3)).clamp(0.15, 1))
    return canvas.bytes()


def sneaker(dice: Dice) -> Tensor:
    """Low, with laces and a thick sole; some have stripes."""
    canvas = Canvas(torch.zeros(dice.n, 1, SIZE, SIZE))
    fabric, tone = cloth(canvas, dice, 0.0)
    x, y = canvas.x, canvas.y
    floor, back, toe = dice.uniform(0.36, 0.5), dice.uniform(0.84, 0.94), -dice.uniform(0.88, 0.95)
    collar = floor - dice.uniform(0.62, 0.82)
    low = floor - dice.uniform(0.26, 0.36)  # the toe cap
    opening = dice.uniform(0.2, 0.34)
    outline: list[Point] = [
        (toe + 0.02, floor), (toe, (low + floor) / 2), (toe + 0.25, low), (-0.25, low - 0.1),
        (opening - 0.12, collar + 0.08), (opening, collar), ((opening + back) / 2, collar + 0.13),
        (back - 0.08, collar - 0.02), (back, floor - 0.25), (back, floor), (0.0, floor + 0.02),
    ]  # fmt: skip
    upper = polygon(x + 0 * back, y, rounded(outline, 2))
    sew(canvas, upper, fabric)
    cap = torch.maximum(upper, x - toe - dice.uniform(0.25, 0.45))
    canvas.paint(cap, (tone * dice.uniform(0.6, 1.4)).clamp(0, 1), dice.chance(0.5) * 0.8)
    heel = torch.maximum(upper, back - dice.uniform(0.2, 0.35) - x)
    canvas.paint(heel, (tone * dice.uniform(0.5, 1.3)).clamp(0, 1), dice.chance(0.5) * 0.8)
    for i in range(3):  # laces
        px, py = -0.32 + 0.15 * i, low - 0.06 + (collar - low) * (0.12 + 0.22 * i)
        canvas.paint(segment(x, y, (px, py), (px + 0.12, py + 0.13), 0.025), (1.15 - tone).clamp(0, 1), 0.9)
    stripe, sweep, _none = dice.choice(0.35, 0.35, 0.3)
    for i in range(3):
        px = -0.05 + 0.14 * i
        canvas.paint(segment(x, y, (px + 0.12, collar + 0.3), (px, floor - 0.08), 0.03), 1.1 - tone, stripe * 0.8)
    canvas.paint(segment(x, y, (-0.2, floor - 0.12), (back - 0.25, collar + 0.3), 0.045), 1.1 - tone, sweep * 0.8)
    thick = dice.uniform(0.06, 0.13)
    sole = box(x, y, ((toe + back) / 2, floor + thick - 0.03), ((back - toe) / 2, thick), 0.07)
    canvas.paint(sole, (tone * dice.uniform(0.5, 1.5) + 0.1).clamp(0.2, 1))
    canvas.paint((y - floor + 0.03).abs() - 0.012 + 0 * x, 0.05, 0.6 * canvas.cover(upper))
    return canvas.bytes()


def bag(dice: Dice) -> Tensor:
    """A body with a handle, and a flap, a zip or panels."""
    canvas = Canvas(torch.zeros(dice.n, 1, SIZE, SIZE))
    fabric, tone = cloth(canvas, dice, 0.2)
    x, y = canvas.x.abs(), canvas.y
    half, tall = dice.uniform(0.55, 0.92), dice.uniform(0.32, 0.58)
    bottom = dice.uniform(0.7, 0.92)
    top = bottom - 2 * tall
    slant = dice.uniform(0.7, 1.05)
    strap = dice.uniform(0.03, 0.06)
    reach, rise = half * dice.uniform(0.35, 0.75), (top + 0.96).clamp_min(0.15) * dice.uniform(0.6, 1.0)
    arch = ellipse(canvas.x, y, (0.0, top), (reach, rise)).abs() - strap
    canvas.paint(torch.maximum(arch, y - top - 0.1), fabric * 0.8)
    body = polygon(
        x + 0 * half, y, [(FAR, top), (half * slant, top), (half, bottom - 0.1), (half - 0.08, bottom), (FAR, bottom)]
    )
    sew(canvas, body - 0.03, fabric)
    flap = torch.maximum(y - top - tall * dice.uniform(0.4, 1.1), body)
    has_flap, zipped, panels = dice.choice(0.4, 0.35, 0.25)
    canvas.paint(flap, fabric * 0.75, has_flap)
    canvas.paint(flap.abs() - 0.015, 0.03, has_flap * 0.7)
    canvas.paint(box(canvas.x, y, (0.0, top + tall * 0.75), (0.07, 0.07)), 1.1 - tone, has_flap * 0.9)
    canvas.paint(torch.maximum((y - top - 0.12).abs() - 0.015, body), 0.03, zipped * 0.8)
    canvas.paint(torch.maximum((x - half * 0.5).abs() - 0.03, body), 0.05, panels * 0.6)
    canvas.paint(
        box(canvas.x, y, (0.0, bottom - tall * 0.6), (half * 0.5, tall * 0.35)).abs() - 0.015, 0.05, zipped * 0.6
    )
    return canvas.bytes()


def boot(dice: Dice) -> Tensor:
    """A shaft over the ankle, with laces, a zip or a strap, flat or with a heel."""
    canvas = Canvas(torch.zeros(dice.n, 1, SIZE, SIZE))
    fabric, tone = cloth(canvas, dice, 0.0)
    x, y = canvas.x, canvas.y
    heel = dice.uniform(0.0, 0.3) * dice.chance(0.7)
    floor, back, toe = dice.uniform(0.76, 0.88), dice.uniform(0.66, 0.84), -dice.uniform(0.76, 0.92)
    top, front = -dice.uniform(0.75, 0.95), dice.uniform(-0.12, 0.08)
    low = floor - dice.uniform(0.3, 0.42)
    sole_y = floor - heel
    outline: list[Point] = [
        (toe, floor), (toe + 0.02, low + 0.12), (toe + 0.3, low - 0.04), (front - 0.12, low - 0.24),
        (front, low - 0.55), (front - 0.02, top), (back, top + 0.03), (back - 0.05, low - 0.4),
        (back + 0.04, sole_y - 0.15), (back, sole_y), (back - 0.35, sole_y + 0.02), (toe + 0.6, floor),
    ]  # fmt: skip
    boot = polygon(x + 0 * back, y, rounded(outline, 2))
    sew(canvas, boot, fabric)
    laced, zipped, strapped, _plain = dice.choice(0.35, 0.2, 0.2, 0.25)
    for i in range(5):
        py = top + 0.22 + (low - 0.2 - top) * 0.17 * i
        canvas.paint(
            segment(x, y, (front - 0.04, py), (front + 0.16, py + 0.03), 0.025), (1.1 - tone).clamp(0, 1), laced * 0.9
        )
    canvas.paint(
        segment(x, y, ((front + back) / 2, top), ((front + back) / 2 + 0.04, floor - 0.3), 0.02), 0.03, zipped * 0.8
    )
    belt = segment(x, y, (front - 0.2, low - 0.2), (back, low - 0.1), 0.05)
    canvas.paint(torch.maximum(belt, boot), tone * 0.5, strapped * 0.9)
    thick = dice.uniform(0.035, 0.08)
    sole = torch.minimum(segment(x, y, (toe, floor), (toe + 0.62, floor), thick),
                         segment(x, y, (toe + 0.62, floor), (back - 0.35, sole_y + 0.02), thick))  # fmt: skip
    block = polygon(
        x + 0 * back,
        y,
        [(back - 0.35, sole_y), (back, sole_y), (back - 0.03, floor + thick), (back - 0.28, floor + thick)],
    )
    dark = (tone * dice.uniform(0.3, 0.9)).clamp(0.12, 1)
    canvas.paint(torch.minimum(sole, block), dark)
    return canvas.bytes()
