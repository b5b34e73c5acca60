"""Drawings of clothes for the garments: 28x28 grey on black, worn upright, symmetric about the middle."""

from __future__ import annotations

import torch
from torch import Tensor

from kmgan_lib.data.drawing import Canvas, Dice, Number, Point, box, ellipse, polygon, segment

SIZE = 28
FAR = -3.0  # where half an outline is closed, on the other side of the axis of symmetry


def cloth(canvas: Canvas, dice: Dice, pattern: float) -> tuple[Tensor, Tensor]:
    """Grey values (n, h, w) of a cloth, with folds and, with this probability, a pattern; and its tone (n, 1, 1)."""
    tone = dice.uniform(0.3, 0.95)
    folds = 1 + dice.uniform(0.02, 0.1) * dice.noise(SIZE, 4, 12) + 0.03 * dice.grain(SIZE)
    _plain, across, down, plaid, dots = dice.choice(1 - pattern, *(pattern / 4,) * 4)
    step, strength = dice.uniform(0.22, 0.5), dice.uniform(0.3, 0.7)
    wave_y = (torch.sin(canvas.y * (6.28 / step)) > 0).float()
    wave_x = (torch.sin(canvas.x * (6.28 / step)) > 0).float()
    spots = dice.grain(SIZE).clamp(0, 1)
    dark = across * wave_y + down * wave_x + plaid * (wave_x + wave_y) / 2 + dots * spots
    return (tone * folds * (1 - strength * dark)).clamp(0.08, 1), tone


def sew(canvas: Canvas, distance: Tensor, fabric: Tensor, seam: Number = 0.35) -> None:
    """Lay a piece of cloth, rounder towards its edges, with a dark seam."""
    shade = 1 - 0.3 * (1 + distance / 0.2).clamp(0, 1) ** 2
    canvas.paint(distance, fabric * shade)
    canvas.paint(distance.abs() - 0.02, 0.05, seam)


def sleeves(
    canvas: Canvas, fabric: Tensor, shoulder: Point, armpit: Point, wrist: Point, width: Number, shown: Number = 1.0
) -> None:
    """Two sleeves from the shoulder to the wrist; ``shown`` is their opacity."""
    x, y = canvas.x.abs(), canvas.y
    (sx, sy), (ax, ay), (wx, wy) = shoulder, armpit, wrist
    distance = polygon(x, y, [(sx - 0.12, sy - 0.03), (sx, sy), (wx + width, wy), (wx - width, wy + 0.05), (ax, ay)])
    canvas.paint(distance - 0.02, fabric * 0.86, shown)
    canvas.paint((distance - 0.02).abs() - 0.02, 0.05, 0.3 * shown)
    # the cuff
    canvas.paint(torch.maximum(segment(x, y, (wx - width, wy), (wx + width, wy - 0.03), 0.035), distance), 0.1,
                 0.4 * shown)  # fmt: skip


def bodice(
    canvas: Canvas, fabric: Tensor, top: Number, neck: Point, shoulder: Point, armpit: Point, waist: Point, hem: Point
) -> Tensor:
    """Front of a top with an open neck of this half width and depth; gives its distance."""
    x, y = canvas.x.abs(), canvas.y
    nw, depth = neck
    outline = [
        (FAR, top + depth), (nw * 0.35, top + depth * 0.95), (nw * 0.8, top + depth * 0.6), (nw, top), shoulder, armpit,
        waist, hem, (FAR, hem[1]),
    ]  # fmt: skip
    distance = polygon(x + 0 * nw, y, outline)
    sew(canvas, distance, fabric)
    return distance


def tshirt(dice: Dice) -> Tensor:
    """A T-shirt, or a top without sleeves; some are printed."""
    canvas = Canvas(torch.zeros(dice.n, 1, SIZE, SIZE))
    fabric, tone = cloth(canvas, dice, 0.35)
    wide, top = dice.uniform(0.36, 0.5), dice.uniform(-0.92, -0.82)
    shoulder, armpit = (wide + dice.uniform(0.0, 0.1), top + dice.uniform(0.1, 0.2)), (wide, dice.uniform(-0.35, -0.22))
    reach, sleeved = dice.uniform(0.16, 0.34), dice.chance(0.85)
    sleeves(
        canvas, fabric, shoulder, armpit, (shoulder[0] + reach, armpit[1] + dice.uniform(-0.05, 0.12)), 0.1, sleeved
    )
    hem = (wide + dice.uniform(-0.03, 0.1), dice.uniform(0.78, 0.93))
    neck = (dice.uniform(0.16, 0.3), dice.uniform(0.1, 0.4))
    shoulder = (shoulder[0] - 0.18 * (1 - sleeved), shoulder[1])
    distance = bodice(canvas, fabric, top, neck, shoulder, armpit, (wide - dice.uniform(0.0, 0.06), 0.2), hem)
    printed = dice.chance(0.4)
    motif = box(
        canvas.x, canvas.y, (0.0, dice.uniform(-0.15, 0.1)), (dice.uniform(0.12, 0.28), dice.uniform(0.08, 0.3))
    )
    ink = (1 - tone).clamp(0.1, 0.9) + 0.2 * dice.grain(SIZE)
    canvas.paint(torch.maximum(motif, distance + 0.05), ink.clamp(0, 1), printed * 0.8)
    return canvas.bytes()


def trouser(dice: Dice) -> Tensor:
    """Two legs, a waistband and, on some, a crease."""
    canvas = Canvas(torch.zeros(dice.n, 1, SIZE, SIZE))
    fabric, _ = cloth(canvas, dice, 0.15)
    x, y = canvas.x.abs(), canvas.y
    waist, hip = dice.uniform(0.22, 0.32), dice.uniform(0.3, 0.42)
    crotch, end = dice.uniform(-0.5, -0.2), dice.uniform(0.6, 0.97)
    inner = dice.uniform(0.05, 0.2)
    outer = inner + dice.uniform(0.14, 0.28)
    knee = (hip + outer) / 2 - dice.uniform(0.0, 0.08)
    distance = polygon(
        x + 0 * waist, y,
        [(FAR, -0.94), (waist, -0.94), (hip, crotch - 0.15), (knee, 0.2), (outer, end), (inner, end), (0.015, crotch),
         (FAR, crotch)],
    )  # fmt: skip
    sew(canvas, distance, fabric)
    middle = (hip + inner) / 2
    crease = segment(x, y, (middle, crotch + 0.1), ((inner + outer) / 2, end), 0.02)
    canvas.paint(torch.maximum(crease, distance), 1.0, dice.uniform(0.0, 0.3))
    canvas.paint(torch.maximum((y + 0.84).abs() - 0.02 + 0 * x, distance), 0.05, 0.5)  # the waistband
    canvas.paint(torch.maximum(segment(canvas.x, y, (0.0, -0.94), (0.0, crotch), 0.015), distance), 0.05, 0.5)
    return canvas.bytes()


def pullover(dice: Dice) -> Tensor:
    """Long sleeves and a ribbed hem; some have a band or a high collar."""
    canvas = Canvas(torch.zeros(dice.n, 1, SIZE, SIZE))
    fabric, tone = cloth(canvas, dice, 0.25)
    wide, top = dice.uniform(0.38, 0.48), dice.uniform(-0.82, -0.72)
    shoulder, armpit = (wide + 0.02, top + dice.uniform(0.12, 0.2)), (wide, dice.uniform(-0.3, -0.15))
    wrist = (wide + dice.uniform(0.2, 0.36), dice.uniform(0.5, 0.78))
    sleeves(canvas, fabric, shoulder, armpit, wrist, dice.uniform(0.09, 0.13))
    hem = (wide + dice.uniform(-0.08, 0.06), dice.uniform(0.72, 0.88))
    neck = (dice.uniform(0.15, 0.24), dice.uniform(0.06, 0.18))
    distance = bodice(canvas, fabric, top, neck, shoulder, armpit, (wide, 0.3), hem)
    knit = (torch.sin(canvas.x * 75) > 0).float() * 0.3 + 0.15
    canvas.paint(torch.maximum(hem[1] - 0.13 - canvas.y, distance), 0.05, knit)  # ribs of the hem
    band = (canvas.y - dice.uniform(-0.3, 0.2)).abs() - dice.uniform(0.06, 0.2)
    canvas.paint(torch.maximum(band, distance), (1.1 - tone), dice.chance(0.25) * 0.7)
    rolled = ellipse(canvas.x, canvas.y, (0.0, top + 0.02), (neck[0], neck[1] + 0.03)).abs() - 0.045
    canvas.paint(rolled, tone * 0.8, 0.8)
    tall = box(canvas.x, canvas.y, (0.0, top - 0.05), (neck[0], 0.14), 0.04)
    canvas.paint(tall, fabric * 0.75, dice.chance(0.25))
    return canvas.bytes()


def dress(dice: Dice) -> Tensor:
    """Narrow above and flared below, with or without sleeves."""
    canvas = Canvas(torch.zeros(dice.n, 1, SIZE, SIZE))
    fabric, _ = cloth(canvas, dice, 0.35)
    chest, top = dice.uniform(0.2, 0.28), dice.uniform(-0.97, -0.9)
    waist, waist_y = chest * dice.uniform(0.72, 1.0), dice.uniform(-0.3, -0.1)
    hem = (chest + dice.uniform(-0.02, 0.32), dice.uniform(0.8, 0.97))
    shoulder, armpit = (chest * dice.uniform(0.75, 1.1), top + dice.uniform(0.02, 0.08)), (chest, -0.55)
    _none, short, long = dice.choice(0.55, 0.28, 0.17)
    outer = (shoulder[0] + 0.15 + 0.1 * long, -0.6 + 0.62 * long)
    sleeves(canvas, fabric, shoulder, armpit, outer, 0.07, short + long)
    neck = (shoulder[0] * dice.uniform(0.5, 0.8), dice.uniform(0.08, 0.32))
    distance = bodice(canvas, fabric, top, neck, shoulder, armpit, (waist, waist_y), hem)
    canvas.paint(torch.maximum((canvas.y - waist_y).abs() - 0.03, distance), 0.05, dice.chance(0.5) * 0.6)
    for place in (-0.5, 0.1, 0.6):  # the skirt's folds
        fold = segment(canvas.x, canvas.y, (waist * place, waist_y + 0.1), (hem[0] * place, hem[1]), 0.02)
        canvas.paint(torch.maximum(fold, distance), 0.05, 0.3)
    return canvas.bytes()


def coat(dice: Dice) -> Tensor:
    """Long sleeves, lapels, a front that opens, pockets; some have a belt."""
    canvas = Canvas(torch.zeros(dice.n, 1, SIZE, SIZE))
    fabric, tone = cloth(canvas, dice, 0.1)
    x, y = canvas.x.abs(), canvas.y
    wide, top = dice.uniform(0.38, 0.5), dice.uniform(-0.92, -0.84)
    shoulder, armpit = (wide, top + dice.uniform(0.14, 0.22)), (wide - 0.02, -0.3)
    wrist = (wide + dice.uniform(0.14, 0.26), dice.uniform(0.5, 0.74))
    sleeves(canvas, fabric, shoulder, armpit, wrist, dice.uniform(0.1, 0.14))
    hem = (wide + dice.uniform(-0.02, 0.08), dice.uniform(0.85, 0.96))
    deep = dice.uniform(0.3, 0.75)
    distance = bodice(canvas, fabric, top, (0.16, deep), shoulder, armpit, (wide - 0.04, 0.2), hem)
    lapel = polygon(
        x + 0 * wide, y, [(0.1, top - 0.04), (0.24, top + 0.06), (0.26, top + deep * 0.6), (0.0, top + deep)]
    )
    canvas.paint(lapel, fabric * 0.7)
    canvas.paint(lapel.abs() - 0.015, 0.03, 0.6)
    opening = segment(canvas.x, y, (0.0, top + deep), (0.0, hem[1]), dice.uniform(0.015, 0.05))
    canvas.paint(opening, 0.02, 0.85)
    for place in (0.15, 0.45, 0.7):
        canvas.paint(ellipse(canvas.x, y, (0.09, place), (0.035, 0.035)), 1 - tone, 0.7)
    pocket = segment(x, y, (wide * 0.4, 0.42), (wide * 0.8, 0.36), 0.022)
    canvas.paint(torch.maximum(pocket, distance), 0.03, dice.chance(0.7) * 0.7)
    canvas.paint(torch.maximum((y - 0.15).abs() - 0.045, distance), 0.1, dice.chance(0.25) * 0.8)  # a belt
    return canvas.bytes()


def shirt(dice: Dice) -> Tensor:
    """A collar, a placket with buttons; the sleeves are long or short."""
    canvas = Canvas(torch.zeros(dice.n, 1, SIZE, SIZE))
    fabric, tone = cloth(canvas, dice, 0.6)
    x, y = canvas.x.abs(), canvas.y
    wide, top = dice.uniform(0.36, 0.46), dice.uniform(-0.88, -0.78)
    shoulder, armpit = (wide + 0.02, top + dice.uniform(0.12, 0.18)), (wide, dice.uniform(-0.32, -0.2))
    long = dice.chance(0.65)
    wrist = (wide + 0.24 + dice.uniform(-0.05, 0.05), -0.12 + long * dice.uniform(0.6, 0.85))
    sleeves(canvas, fabric, shoulder, armpit, wrist, 0.1)
    hem = (wide + dice.uniform(-0.03, 0.06), dice.uniform(0.8, 0.93))
    distance = bodice(canvas, fabric, top, (0.15, 0.16), shoulder, armpit, (wide - dice.uniform(0, 0.05), 0.2), hem)
    placket = segment(canvas.x, y, (0.0, top + 0.18), (0.0, hem[1] - 0.02), 0.045)
    canvas.paint(torch.maximum(placket, distance), (tone * 1.25).clamp(0, 1), 0.8)
    canvas.paint(placket.abs() - 0.012, 0.05, 0.4)
    for i in range(5):
        canvas.paint(ellipse(canvas.x, y, (0.0, -0.45 + 0.27 * i), (0.03, 0.03)), 0.0, 0.9)
    collar = polygon(x + 0 * wide, y, [(0.02, top + 0.16), (0.13, top - 0.09), (0.22, top + 0.02), (0.14, top + 0.25)])
    canvas.paint(collar, (tone * 1.3).clamp(0, 1))
    canvas.paint(collar.abs() - 0.015, 0.03, 0.7)
    pocket = box(canvas.x, y, (0.22, -0.22), (0.09, 0.1))
    canvas.paint(pocket.abs() - 0.015, 0.05, dice.chance(0.4) * 0.7)
    return canvas.bytes()
