from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from kmgan_lib.metrics import line_scores, step_scores

# Steps of an interpolation


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


def test_step_scores_are_means_over_lines() -> None:
    both = torch.cat([line(0, 1, 2, 3, 4), line(0, 0, 0, 4, 4)], dim=1)
    assert step_scores(both)["largest_step"] == pytest.approx((1 / 4 + 1) / 2)


@given(st.integers(2, 12), st.integers(1, 4), st.integers(0, 1000))
def test_a_largest_step_is_between_even_and_all_and_no_way_is_shorter_than_straight(n: int, d: int, seed: int) -> None:
    frames = torch.randn(n, 3, d, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    scores = step_scores(frames)
    assert 1 / (n - 1) - 1e-9 <= scores["largest_step"] <= 1 + 1e-9
    assert scores["detour"] >= 1 - 1e-9
    assert step_scores(5 * frames.flip(0) + 1) == {key: pytest.approx(value) for key, value in scores.items()}


@pytest.mark.parametrize("n", [0, 1])
def test_a_step_needs_two_pictures(n: int) -> None:
    with pytest.raises(ValueError, match=r"must have t > 1"):
        step_scores(torch.zeros(n, 2, 3))


# Ends and middle of an interpolation


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


def test_lines_need_a_start_a_middle_and_an_end() -> None:
    one, two = images(1, 0), images(2, 0)
    with pytest.raises(ValueError, match="must be equal in n"):
        line_scores(two, two, one, two, two)
    with pytest.raises(ValueError, match="must have h > 0"):
        line_scores(two, two, two, two, two[:0])
