from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from kmgan_lib.data.synthetic import synthetic
from kmgan_lib.metrics import center_scores, mode_scores


def blobs(centers: Tensor, each: int = 50, noise: float = 0.1) -> Tensor:
    points = centers.repeat_interleave(each, 0)
    return points + noise * torch.randn(points.shape, generator=torch.Generator().manual_seed(0))


def test_centers_of_clusters_that_are_there() -> None:
    centers = 3 * torch.eye(4)
    scores = center_scores(centers, blobs(centers))
    assert (scores["distinct"], scores["used"]) == (4, 4)
    assert scores["entropy"] == pytest.approx(math.log(4))
    assert scores["evenness"] == pytest.approx(1)
    assert scores["distance"] == pytest.approx(scores["smallest_distance"])
    # |3 e_i - 3 e_j| = 3 sqrt 2, and the spread of the corners is 3 sqrt(3/4).
    assert scores["distance"] == pytest.approx(math.sqrt(2) / math.sqrt(0.75), rel=0.02)


@pytest.mark.parametrize("scale", [1e-6, 1, 1e4])
def test_the_scale_of_the_features_does_not_matter(scale: float) -> None:
    centers = torch.randn(5, 3, generator=torch.Generator().manual_seed(1))
    plain, scaled = center_scores(centers, blobs(centers)), center_scores(centers * scale, blobs(centers) * scale)
    assert scaled.pop("spread") == pytest.approx(scale * plain.pop("spread"), rel=1e-4)
    assert scaled == pytest.approx(plain, rel=1e-4)


def test_centers_that_became_one() -> None:
    features = torch.randn(500, 3, generator=torch.Generator().manual_seed(0))
    centers = features[:1] + 0.01 * torch.randn(6, 3, generator=torch.Generator().manual_seed(1))
    assert center_scores(centers, features)["distinct"] == 1
    assert center_scores(centers, features, tolerance=1e-6)["distinct"] == 6


def test_a_chain_of_close_centers_is_one_group() -> None:
    features = torch.tensor([[-1.0], [1.0]])  # spread 1
    centers = torch.tensor([[0.0], [0.09], [0.18], [0.5]])
    assert center_scores(centers, features)["distinct"] == 2


@pytest.mark.parametrize("k", [1, 4])
def test_features_that_never_vary(k: int) -> None:
    scores = center_scores(torch.zeros(k, 2), torch.zeros(9, 2))
    assert (scores["spread"], scores["distance"], scores["distinct"], scores["used"]) == (0, 0, 1, 1)
    assert (scores["entropy"], scores["evenness"]) == (0, 0)


def test_modes_of_the_synthetic_mixture() -> None:
    data = synthetic(points_per_class=300)
    assert data.labels is not None
    again = synthetic(points_per_class=300).tensor[::2]
    whole = mode_scores(again, data.tensor, data.labels)
    assert (whole["modes"], whole["near_data"]) == (4, 1)
    assert whole["share"] == pytest.approx([0.25] * 4)
    half = mode_scores(data.tensor[:600] + 1e-4, data.tensor, data.labels)
    assert half["modes"] == 2
    assert half["share"] == pytest.approx([0.5, 0.5, 0, 0], abs=0.01)
    far = mode_scores(data.tensor[:10] + 5, data.tensor, data.labels)
    assert far["near_data"] == 0


def test_a_class_needs_one_percent() -> None:
    real, labels = torch.tensor([[0.0], [1.0]]), torch.tensor([0, 1])
    assert mode_scores(torch.tensor([[0.0]] * 99 + [[1.0]]), real, labels)["modes"] == 2
    assert mode_scores(torch.tensor([[0.0]] * 100 + [[1.0]]), real, labels)["modes"] == 1
