from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from kmgan_lib.metrics import class_frequency

Z = 1.959963984540054


def labels(counts: list[int]) -> torch.Tensor:
    return torch.arange(len(counts)).repeat_interleave(torch.tensor(counts))


def wilson_ends(count: int, n: int) -> tuple[float, float]:
    """Both p at which |count/n - p| is exactly Z standard errors of p: the roots of a quadratic, by bisection."""

    def excess(p: float) -> float:
        return abs(count / n - p) - Z * math.sqrt(p * (1 - p) / n)

    def root(inside: float, outside: float) -> float:
        for _ in range(200):
            middle = (inside + outside) / 2
            inside, outside = (inside, middle) if excess(middle) > 0 else (middle, outside)
        return inside

    share = count / n
    inside = min(max(share, 1e-12), 1 - 1e-12)
    return (0.0 if count == 0 else root(inside, 0.0)), (1.0 if count == n else root(inside, 1.0))


def test_shares_and_chi2_by_hand() -> None:
    result = class_frequency(labels([10, 20, 30]), 3)
    assert result["frequency"] == pytest.approx([1 / 6, 1 / 3, 1 / 2])
    assert result["chi2"] == pytest.approx((10**2 + 0 + 10**2) / 20)
    assert result["p"] == pytest.approx(math.exp(-10 / 2))  # two degrees of freedom: the tail is exponential


def test_equal_shares_fit_perfectly() -> None:
    result = class_frequency(labels([7] * 10), 10)
    assert (result["chi2"], result["p"]) == (0, 1)


@pytest.mark.parametrize("counts", [[0, 5, 5], [1, 99], [10, 0], [2500, 2600, 2400]], ids=str)
def test_intervals_are_wilsons(counts: list[int]) -> None:
    result = class_frequency(labels(counts), len(counts))
    for i, count in enumerate(counts):
        low, high = wilson_ends(count, sum(counts))
        assert result["low"][i] == pytest.approx(low, abs=1e-9)
        assert result["high"][i] == pytest.approx(high, abs=1e-9)


def test_a_textbook_interval() -> None:
    # 15 of 20: (0.531, 0.888)
    result = class_frequency(labels([15, 5]), 2)
    assert (result["low"][0], result["high"][0]) == pytest.approx((0.5313, 0.8881), abs=1e-4)


@given(counts=st.lists(st.integers(0, 50), min_size=2, max_size=10).filter(any))
def test_intervals_hold_their_shares_and_shares_sum_to_one(counts: list[int]) -> None:
    result = class_frequency(labels(counts), len(counts))
    assert sum(result["frequency"]) == pytest.approx(1)
    for low, share, high in zip(result["low"], result["frequency"], result["high"], strict=True):
        assert 0 <= low <= share + 1e-12
        assert share - 1e-12 <= high <= 1


def test_a_class_that_never_occurs_is_counted() -> None:
    assert class_frequency(torch.tensor([0, 0, 1]), 4)["frequency"] == pytest.approx([2 / 3, 1 / 3, 0, 0])


@pytest.mark.parametrize("bad", [[], [0, 3], [-1, 0]], ids=str)
def test_labels_that_are_none_are_refused(bad: list[int]) -> None:
    with pytest.raises(ValueError, match="labels"):
        class_frequency(torch.tensor(bad, dtype=torch.int64), 3)
