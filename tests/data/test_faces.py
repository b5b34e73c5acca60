from __future__ import annotations

import pytest
import torch
from torch import Tensor

from kmgan_lib.data import faces
from kmgan_lib.errors import UsageError

INDEX = {name: i for i, name in enumerate(faces.FACTORS)}


def middle(**values: float) -> Tensor:
    """The factors of one middling face, with some changed."""
    factors = torch.full((1, len(faces.FACTORS)), 0.5)
    factors[0, INDEX["glasses"]] = 0
    for name, value in values.items():
        factors[0, INDEX[name]] = value
    return factors


def drawn(**values: float) -> Tensor:
    return faces.faces(middle(**values))[0].float()


def test_factors_are_known_for_every_face_of_the_stand_in() -> None:
    for split, seed in (("train", 0), ("test", 1)):
        images = faces.drawn_faces(split)
        factors = faces.draw_factors(seed, faces.COUNTS[split])
        assert images.labels is None
        assert len(images) == len(factors) == faces.COUNTS[split]
        assert torch.equal(faces.faces(factors[:40]), images.tensor[:40])


def test_random_factors_fill_their_range_and_three_in_ten_wear_glasses() -> None:
    factors = faces.draw_factors(3, 4000)
    assert factors.shape == (4000, len(faces.FACTORS))
    assert torch.equal(factors, faces.draw_factors(3, 4000))
    glasses = factors[:, INDEX["glasses"]]
    assert set(glasses.tolist()) == {0.0, 1.0}
    assert glasses.mean().item() == pytest.approx(0.3, abs=0.03)
    others = factors[:, [i for i in range(len(faces.FACTORS)) if i != INDEX["glasses"]]]
    assert others.mean(0).tolist() == pytest.approx([0.5] * 9, abs=0.03)
    assert others.min() >= 0
    assert others.max() <= 1


@pytest.mark.parametrize("name", faces.FACTORS)
def test_every_factor_is_seen_and_changes_the_face_continuously(name: str) -> None:
    steps = torch.cat([middle(**{name: i / 100}) for i in range(101)])
    pictures = faces.faces(steps).float()
    whole = (pictures[-1] - pictures[0]).abs().mean()
    assert whole > 1.5
    jumps = (pictures[1:] - pictures[:-1]).abs().mean((1, 2, 3))
    assert jumps.max() < max(0.12 * float(whole), 0.9)


def test_a_face_is_decided_by_its_factors_alone() -> None:
    factors = faces.draw_factors(0, 40)
    together = faces.faces(factors)
    torch.manual_seed(1)
    alone = torch.cat([faces.faces(row.unsqueeze(0)) for row in factors])
    assert (together.int() - alone.int()).abs().max() <= 1
    assert together.shape == (40, 3, 64, 64)
    assert together.dtype == torch.uint8


def test_factors_change_what_they_are_called_after() -> None:
    hair, cheek = (slice(None), 6, 32), (slice(None), 38, 26)
    assert drawn(hair_colour=1.0)[hair].mean() > drawn(hair_colour=0.0)[hair].mean() + 60
    assert drawn(skin=0.0)[cheek].mean() > drawn(skin=1.0)[cheek].mean() + 60
    change = {name: (drawn(**{name: 1.0}) - drawn(**{name: 0.0})).abs().mean(0) for name in faces.FACTORS}
    rows = {name: float((c.sum(1) * torch.arange(64)).sum() / c.sum()) for name, c in change.items()}
    assert 24 < rows["glasses"] < 34  # on the eyes
    assert 35 < rows["smile"] < 50  # on the mouth, and a little on the eyes
    assert rows["hair_length"] > 32
    assert rows["clothes"] > 52


def test_a_head_turns_to_the_side_that_the_angle_says() -> None:
    places = []
    for angle in (0.0, 0.5, 1.0):
        change = (drawn(angle=angle, glasses=1.0) - drawn(angle=angle)).abs().mean((0, 1))
        places.append(float((change * (torch.arange(64) - 31.5)).sum() / change.sum()))
    assert places[0] < -2
    assert places[1] == pytest.approx(0, abs=0.5)
    assert places[2] > 2


@pytest.mark.parametrize(
    "factors", [torch.zeros(10), torch.zeros(2, 9), torch.zeros(1, 10) - 0.1, torch.ones(1, 10) * 2]
)
def test_other_factors_are_refused(factors: Tensor) -> None:
    with pytest.raises(UsageError, match="factors"):
        faces.faces(factors)


def test_no_faces_are_no_pictures() -> None:
    assert faces.faces(torch.zeros(0, 10)).shape == (0, 3, 64, 64)
