"""Exact tests of few seeds, against published numbers and against counting all arrangements one by one."""

import itertools
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kmgan_book import seeds

INF = math.inf
SMALL = st.integers(-3, 3).map(float)  # few values, so that there are ties


def test_fishers_test_is_the_tail_of_the_hypergeometric_distribution() -> None:
    tail = math.comb(10, 4) * math.comb(10, 0) / math.comb(20, 4)
    assert seeds.fails_more(4, 10, 0, 10) == pytest.approx(tail) == pytest.approx(0.0433, abs=1e-4)
    assert seeds.fails_more(3, 10, 0, 10) > 0.1
    assert seeds.fails_more(0, 10, 0, 10) == seeds.fails_more(10, 10, 10, 10) == 1
    assert seeds.fails_more(0, 10, 4, 10) == pytest.approx(1)


def test_newcombe_s_interval_is_his_published_one() -> None:
    """Newcombe (1998), Table II, method 10: 56 of 70 against 48 of 80, and none of 10 against none of 20."""
    assert seeds.rate_gap(56, 70, 48, 80) == pytest.approx((0.0524, 0.3339), abs=5e-5)
    assert seeds.rate_gap(0, 10, 0, 20) == pytest.approx((-0.1611, 0.2775), abs=5e-5)
    low, high = seeds.rate_gap(2, 10, 5, 10)
    assert seeds.rate_gap(5, 10, 2, 10) == pytest.approx((-high, -low))


@pytest.mark.parametrize(
    ("gaps", "p"),
    [([-1.0] * 5, 1 / 32), ([-1, -2, -3, -4, 0.5], 2 / 32), ([-1, -1, -1], 1 / 8), ([1.0] * 5, 1), ([0, 0, 0], 1),
     ([-1], 1), ([], 1), ([-1, -1, -1, -1, INF], 17 / 32), ([-1, -1, -1, -1, -INF], 1 / 32), ([-INF, 1], 1 / 2)],
)  # fmt: skip
def test_signs_are_flipped_exactly(gaps: list[float], p: float) -> None:
    assert seeds.sign_flip(gaps) == pytest.approx(p)


@given(st.lists(SMALL | st.floats(-10, 10), min_size=2, max_size=7))
def test_sign_flips_are_counted_one_by_one(gaps: list[float]) -> None:
    found = sum(gaps) + 1e-9
    sums = [
        sum(s * g for s, g in zip(signs, gaps, strict=True)) for signs in itertools.product((1, -1), repeat=len(gaps))
    ]
    assert seeds.sign_flip(gaps) == pytest.approx(sum(total <= found for total in sums) / len(sums))


@pytest.mark.parametrize(
    ("values", "others", "p"),
    [([1, 2, 3], [4, 5, 6], 0.05), ([1, 1, 1], [4, 4, INF], 0.05), ([1, 1, 1], [1, 1, 1], 1), ([1], [4, 5, 6], 1),
     ([1, 2, INF], [4, 5, INF], 5 / 20), ([4, 5, 6], [1, 2, 3], 1)],
)  # fmt: skip
def test_ranks_are_dealt_exactly(values: list[float], others: list[float], p: float) -> None:
    assert seeds.ranks(values, others) == pytest.approx(p)
    assert (seeds.ranks(values, others) <= 0.05) == (p <= 0.05)


@given(st.lists(SMALL, min_size=2, max_size=4), st.lists(SMALL, min_size=2, max_size=4))
def test_ranks_are_counted_one_by_one(values: list[float], others: list[float]) -> None:
    pooled = [*values, *others]
    rank = [sum(x < y for x in pooled) + sum(x == y for x in pooled) / 2 for y in pooled]
    found = sum(rank[: len(values)])
    sums = [sum(chosen) for chosen in itertools.combinations(rank, len(values))]
    assert seeds.ranks(values, others) == pytest.approx(sum(total <= found for total in sums) / len(sums))
