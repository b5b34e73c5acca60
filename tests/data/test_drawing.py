from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from kmgan_lib.data import drawing
from kmgan_lib.data.drawing import Canvas, Dice, box, ellipse, polygon, ramp, rounded, segment, turned


def at(x: float, y: float) -> tuple[Tensor, Tensor]:
    return torch.tensor([[[x]]]), torch.tensor([[[y]]])


SQUARE = [(-1.0, -1.0), (1.0, -1.0), (1.0, 1.0), (-1.0, 1.0)]
NOTCHED = [(-1.0, -1.0), (1.0, -1.0), (1.0, 1.0), (0.0, 0.0), (-1.0, 1.0)]


@pytest.mark.parametrize(
    ("distance", "expected"),
    [
        (ellipse(*at(3, 4), (0.0, 0.0), (2.0, 2.0)), 3),
        (ellipse(*at(1, 0), (0.0, 0.0), (2.0, 2.0)), -1),
        (ellipse(*at(0, 3), (0.0, 0.0), (5.0, 3.0)), 0),
        (box(*at(4, 5), (0.0, 0.0), (1.0, 1.0)), 5),
        (box(*at(0.5, 0), (0.0, 0.0), (1.0, 1.0)), -0.5),
        (box(*at(1, 1), (0.0, 0.0), (1.0, 1.0), 0.5), 0.5 * math.sqrt(2) - 0.5),
        (segment(*at(0, 2), (-1.0, 0.0), (1.0, 0.0), 0.5), 1.5),
        (segment(*at(4, 4), (-1.0, 0.0), (1.0, 0.0), 1.0), 4),
        (polygon(*at(0, 0.25), SQUARE), -0.75),
        (polygon(*at(3, 0), SQUARE), 2),
        (polygon(*at(4, 5), SQUARE), 5),
        (polygon(*at(0, 0.5), NOTCHED), 0.5 / math.sqrt(2)),  # in the notch
        (polygon(*at(0, -0.5), NOTCHED), -0.5),
        (polygon(*at(0.0, -0.5), NOTCHED[::-1]), -0.5),  # either way round
    ],
)
def test_distances_are_those_of_geometry(distance: Tensor, expected: float) -> None:
    assert distance.item() == pytest.approx(expected, abs=1e-4)


def test_a_painted_disc_has_its_area_and_a_smooth_edge() -> None:
    canvas = Canvas(torch.zeros(1, 1, 64, 64))
    canvas.paint(ellipse(canvas.x, canvas.y, (0.0, 0.0), (0.7, 0.7)), 1.0)
    assert canvas.pixels.mean().item() * 4 == pytest.approx(math.pi * 0.49, rel=0.01)
    assert ((canvas.pixels > 0.01) & (canvas.pixels < 0.99)).sum() > 50
    assert canvas.bytes().dtype == torch.uint8


def test_rows_paint_into_the_same_pictures() -> None:
    canvas = Canvas(torch.zeros(2, 3, 8, 8))
    strip = canvas.rows(-0.5, 0.5)
    strip.paint(box(strip.x, strip.y, (0.0, 0.0), (2.0, 2.0)), torch.full((2, 3, 1, 1), 0.5))
    assert (canvas.pixels[:, :, 2:6] == 0.5).all()
    assert (canvas.pixels[:, :, [0, 1, 6, 7]] == 0).all()
    assert strip.y.flatten().tolist() == canvas.y.flatten()[2:6].tolist()


def test_a_rounded_outline_goes_through_its_points() -> None:
    smooth = rounded(SQUARE, 4)
    assert len(smooth) == 16
    assert [tuple(map(float, p)) for p in smooth[::4]] == SQUARE


def test_turned_coordinates_follow_the_angle() -> None:
    x, y = turned(*at(1, 2), (1.0, 1.0), math.pi / 2)
    assert (x.item(), y.item()) == pytest.approx((1, 0), abs=1e-6)


def test_a_ramp_goes_through_its_stops() -> None:
    stops = [(0.0, 0.0, 0.0), (1.0, 0.5, 0.0), (1.0, 1.0, 1.0)]
    colours = ramp(torch.tensor([0.0, 0.25, 0.5, 1.0]).view(-1, 1, 1), stops)
    assert colours.shape == (4, 3, 1, 1)
    assert colours.flatten(1).tolist() == [[0, 0, 0], [0.5, 0.25, 0], [1, 0.5, 0], [1, 1, 1]]


def test_dice_choose_exactly_one_and_stay_in_range() -> None:
    dice = Dice(500, torch.Generator().manual_seed(0))
    choices = torch.stack(dice.choice(0.5, 0.3, 0.2))
    assert torch.equal(choices.sum(0), torch.ones(500, 1, 1))
    assert choices.mean((1, 2, 3)).tolist() == pytest.approx([0.5, 0.3, 0.2], abs=0.06)
    numbers = dice.uniform(-2, 3)
    assert -2 <= numbers.min() < -1.9
    assert 2.9 < numbers.max() <= 3


def test_classes_are_balanced_shuffled_and_drawn_by_their_own_function(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drawing, "AT_ONCE", 48)  # three pictures of 16 pixels: the last batch is not full

    def constant(value: int) -> drawing.Callable[[Dice], Tensor]:
        return lambda dice: torch.full((dice.n, 1, 4, 4), value, dtype=torch.uint8)

    pictures, labels = drawing.drawn_classes([constant(0), constant(1), constant(2)], 21, 5, (1, 4, 4))
    assert torch.bincount(labels).tolist() == [7, 7, 7]
    assert torch.equal(pictures[:, 0, 0, 0].long(), labels)
    assert labels.tolist() != sorted(labels.tolist())
