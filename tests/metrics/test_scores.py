import itertools
import math

import numpy as np
import pytest
import torch
from torch import Tensor

from kmgan_lib.metrics import inception_score


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
    probabilities = torch.randn(n, c, generator=torch.Generator().manual_seed(0)).mul(3).softmax(1)
    assert inception_score(probabilities, splits) == pytest.approx(naive_score(probabilities, splits))


def test_sure_images_score_the_number_of_their_classes_and_fewer_than_splits_are_refused() -> None:
    assert inception_score(torch.eye(10).repeat(10, 1)) == pytest.approx((10, 0))
    for n, splits in ((9, 10), (0, 1), (5, 0)):
        with pytest.raises(ValueError, match=f"{splits} splits"):
            inception_score(torch.full((n, 2), 0.5), splits)
