from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from kmgan_lib.metrics import inception_score


def random_probabilities(n: int, c: int, seed: int = 0) -> Tensor:
    return torch.randn(n, c, generator=torch.Generator().manual_seed(seed)).mul(3).softmax(1)


def naive_score(probabilities: Tensor, splits: int) -> tuple[float, float]:
    """Eq. (8) with loops, one split after the other."""
    n, scores = len(probabilities), []
    bounds = [0]
    for i in range(splits):
        bounds.append(bounds[-1] + n // splits + (i < n % splits))
    for start, end in itertools.pairwise(bounds):
        rows = probabilities[start:end].double().tolist()
        marginal = [sum(column) / len(rows) for column in zip(*rows, strict=True)]
        divergences = [sum(p * math.log(p / q) for p, q in zip(row, marginal, strict=True) if p > 0) for row in rows]
        scores.append(math.exp(sum(divergences) / len(rows)))
    return float(np.mean(scores)), float(np.std(scores))


@pytest.mark.parametrize(("n", "c", "splits"), [(50, 10, 10), (53, 4, 10), (7, 3, 1), (10, 2, 10)])
def test_score_is_equation_8(n: int, c: int, splits: int) -> None:
    probabilities = random_probabilities(n, c)
    assert inception_score(probabilities, splits) == pytest.approx(naive_score(probabilities, splits))


def test_images_that_say_nothing_score_one() -> None:
    assert inception_score(torch.full((40, 10), 0.1)) == pytest.approx((1, 0))


def test_one_class_however_sure_scores_one() -> None:
    assert inception_score(torch.eye(10)[torch.zeros(40, dtype=torch.int64)]) == pytest.approx((1, 0))


@pytest.mark.parametrize("c", [2, 10])
def test_sure_and_balanced_images_score_the_number_of_classes(c: int) -> None:
    assert inception_score(torch.eye(c).repeat(10, 1)) == pytest.approx((c, 0))


def test_a_missing_class_lowers_the_best_score_by_one() -> None:
    assert inception_score(torch.eye(10)[:9].repeat(10, 1))[0] == pytest.approx(9)


@given(n=st.integers(1, 30), c=st.integers(2, 8), seed=st.integers(0, 1000))
def test_score_lies_between_one_and_the_number_of_classes(n: int, c: int, seed: int) -> None:
    mean, std = inception_score(random_probabilities(n, c, seed), splits=1)
    assert 1 - 1e-9 <= mean <= c
    assert std == 0


@pytest.mark.parametrize(("n", "splits"), [(9, 10), (0, 1), (5, 0)])
def test_fewer_rows_than_splits_are_refused(n: int, splits: int) -> None:
    with pytest.raises(ValueError, match=f"{splits} splits"):
        inception_score(torch.full((n, 2), 0.5), splits)
