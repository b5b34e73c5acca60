import pytest
import torch
from torch import Tensor

from kmgan_lib.metrics import line_scores, step_scores


def line(*places: float) -> Tensor:
    """One line of pictures with two pixels, along a diagonal."""
    return torch.tensor(places, dtype=torch.float64).reshape(-1, 1, 1).expand(-1, 1, 2)


@pytest.mark.parametrize(
    ("places", "largest", "detour"),
    [
        ((0, 1, 2, 3, 4), 1 / 4, 1),
        ((0, 0, 0, 4, 4), 1, 1),
        ((0, 3, 4), 3 / 4, 1),
        ((0, 2, 1, 3), 2 / 5, 5 / 3),
        ((5, 5, 5, 5), 1 / 3, 1),
        ((0, 1, 0), 1 / 2, 1),
        ((7, 1), 1, 1),
    ],
    ids=["steady", "a jump", "a larger step", "there and back", "standing still", "a circle", "two pictures"],
)
def test_the_largest_step_is_its_share_of_the_whole_way(
    places: tuple[float, ...], largest: float, detour: float
) -> None:
    scores = step_scores(line(*places))
    assert scores == {"largest_step": pytest.approx(largest), "detour": pytest.approx(detour)}
    steady = line(*torch.linspace(0, 9, len(places)).tolist())
    both = step_scores(torch.cat([line(*places), steady], dim=1))  # means over lines
    assert both["largest_step"] == pytest.approx((largest + 1 / (len(places) - 1)) / 2)


def images(n: int, seed: int) -> Tensor:
    return torch.rand(n, 1, 2, 2, generator=torch.Generator().manual_seed(seed))


def test_span_and_validity_are_their_definitions() -> None:
    start, middle, end, real, held_out = (images(n, seed) for seed, n in enumerate((6, 6, 6, 9, 4)))

    def mean(values: list[float]) -> float:
        return sum(values) / len(values)

    def nearest(rows: Tensor) -> float:
        return mean([min(float((row - r).norm()) for r in real) for row in rows])

    ends = mean([float((a - b).norm()) for a, b in zip(start, end, strict=True)])
    pairs = mean([float((real[i] - held_out[i]).norm()) for i in range(4)])
    scores = line_scores(start, middle, end, real, held_out)
    assert scores["span"] == pytest.approx(ends / pairs, rel=1e-5)
    assert scores["validity"] == pytest.approx(nearest(middle) / nearest(held_out), rel=1e-5)


def test_bytes_and_numbers_are_of_one_scale_and_copies_are_at_no_distance() -> None:
    real = (images(20, 0) * 255).round().byte()
    held_out = images(10, 1)
    scores = line_scores(real[:3] / 255, real[3:6] / 255, real[:3] / 255, real, held_out)
    assert scores == {"span": 0, "validity": pytest.approx(0, abs=1e-5)}
