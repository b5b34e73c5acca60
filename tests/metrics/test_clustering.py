import itertools
import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from jaxtyping import TypeCheckError
from sklearn import metrics as sk
from torch import Tensor

from kmgan_lib.metrics import center_scores, clustering_scores, kmeans_labels, within_class_scores


@given(pairs=st.lists(st.tuples(st.integers(0, 3), st.integers(0, 4)), min_size=1, max_size=30))
def test_scores_agree_with_scikit_learn_and_a_search_of_all_matchings(pairs: list[tuple[int, int]]) -> None:
    truth, clusters = (torch.tensor(column) for column in zip(*pairs, strict=True))
    scores = clustering_scores(truth, clusters)
    assert scores["nmi"] == pytest.approx(sk.normalized_mutual_info_score(truth.numpy(), clusters.numpy()))
    assert scores["ari"] == pytest.approx(sk.adjusted_rand_score(truth.numpy(), clusters.numpy()))
    matchings = itertools.permutations(range(5))
    best = max(sum(match[c] == t for t, c in pairs) for match in matchings)
    assert scores["accuracy"] == pytest.approx(best / len(pairs))
    majorities = sum(max(pairs.count((t, c)) for t in range(4)) for c in range(5))
    assert scores["purity"] == pytest.approx(majorities / len(pairs))


def test_kmeans_finds_clusters_that_are_there() -> None:
    truth = torch.arange(4).repeat_interleave(30)
    features = torch.eye(4)[truth] * 10 + torch.randn(120, 4, generator=torch.Generator().manual_seed(0))
    labels = kmeans_labels(features, 4)
    assert labels.dtype == torch.int64
    assert clustering_scores(truth, labels)["accuracy"] == 1
    assert torch.equal(labels, kmeans_labels(features, 4))


@pytest.mark.parametrize(("distinct", "n"), [(1, 1), (1, 5), (1, 500), (2, 6), (2, 500)])
def test_fewer_distinct_features_than_clusters_are_that_many_without_a_warning(distinct: int, n: int) -> None:
    # Saturated sigmoids: every feature sits in one of few corners.
    features = torch.tensor([[0.7, 1.0], [0.0, 1.0]])[torch.arange(n) % distinct]
    assert len(set(kmeans_labels(features, 4).tolist())) == distinct


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
    for scale in (1e-6, 1e4):  # which does not matter
        scaled = center_scores(centers * scale, blobs(centers) * scale)
        assert scaled == pytest.approx({**scores, "spread": scale * scores["spread"]}, rel=1e-4)


def test_centers_that_became_one_and_features_that_never_vary() -> None:
    features = torch.randn(500, 3, generator=torch.Generator().manual_seed(0))
    centers = features[:1] + 0.01 * torch.randn(6, 3, generator=torch.Generator().manual_seed(1))
    assert center_scores(centers, features)["distinct"] == 1
    assert center_scores(centers, features, tolerance=1e-6)["distinct"] == 6
    chain, features = torch.tensor([[0.0], [0.09], [0.18], [0.5]]), torch.tensor([[-1.0], [1.0]])  # spread 1
    assert center_scores(chain, features)["distinct"] == 2
    scores = center_scores(torch.zeros(4, 2), torch.zeros(9, 2))
    assert (scores["spread"], scores["distance"], scores["distinct"], scores["used"]) == (0, 0, 1, 1)
    assert (scores["entropy"], scores["evenness"]) == (0, 0)


def test_a_center_that_lost_its_features_is_distinct_but_not_used() -> None:
    centers = torch.tensor([[0.0], [1.0], [50.0]])
    features = torch.tensor([0.0] * 594 + [1.0] * 400 + [50.0] * 6).unsqueeze(1)
    scores = center_scores(centers, features)  # 0.6 % are nearest to the third
    assert (scores["used"], scores["distinct"], scores["least_share"]) == (2, 3, 0.01)
    assert center_scores(centers, torch.cat([features, torch.full((5, 1), 50.0)]))["used"] == 3
    many = torch.arange(200.0).unsqueeze(1)  # 0.5 % each is an equal share of two hundred
    assert center_scores(many, many)["used"] == 200


def naive_within(images: Tensor, labels: Tensor, real: Tensor, real_labels: Tensor) -> list[float]:
    """The ratios of all classes, pixel by pixel."""

    def variance(rows: Tensor) -> float:
        return sum(float(pixel.var()) for pixel in rows.flatten(1).T)

    return [variance(images[labels == c]) / variance(real[real_labels == c]) for c in range(int(labels.max()) + 1)]


def drawn(n: int, spread: float, seed: int) -> tuple[Tensor, Tensor]:
    """Images of three classes, whose means differ."""
    labels = torch.arange(n) % 3
    noise = torch.randn(n, 1, 2, 2, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return 0.3 * labels.view(-1, 1, 1, 1) + spread * noise, labels


def test_variety_within_classes_is_its_definition() -> None:
    (images, labels), (real, real_labels) = drawn(30, 0.02, 0), drawn(40, 0.05, 1)
    scores = within_class_scores(images, labels, real, real_labels)
    expected = naive_within(images, labels, real, real_labels)
    assert scores["ratios"] == pytest.approx(expected)
    assert scores["within"] == pytest.approx(sum(expected) / 3)
    assert (scores["smallest"], scores["present"]) == (pytest.approx(min(expected)), 3)


def test_one_picture_a_class_has_no_variety_and_real_images_have_all_of_it() -> None:
    real, labels = drawn(3000, 0.05, 0)
    assert within_class_scores(real[:3].repeat(20, 1, 1, 1), labels[:60], real, labels)["within"] == pytest.approx(0)
    more, more_labels = drawn(3000, 0.05, 1)
    assert within_class_scores(more, more_labels, real, labels)["within"] == pytest.approx(1, abs=0.1)
    bytes_ = (real.clamp(0, 1) * 255).round().byte()
    assert within_class_scores(bytes_, labels, real.clamp(0, 1), labels)["within"] == pytest.approx(1, abs=0.01)


def test_a_class_that_is_hardly_there_is_left_out() -> None:
    real, labels = drawn(900, 0.05, 0)
    few = torch.cat([torch.zeros(500, dtype=torch.int64), torch.ones(4, dtype=torch.int64)])
    scores = within_class_scores(real[: len(few)], few, real, labels)
    assert (scores["present"], scores["ratios"][1:]) == (1, [None, None])
    none = within_class_scores(real[:1], labels[:1], real, labels)
    assert (none["within"], none["smallest"], none["present"]) == (0, 0, 0)


def test_labels_that_cannot_be_compared_and_features_that_are_not_there_are_refused() -> None:
    none, three = (torch.zeros(n, dtype=torch.int64) for n in (0, 3))
    with pytest.raises(ValueError, match="no labels"):
        clustering_scores(none, none)
    with pytest.raises(TypeCheckError, match="parameter 'cluster_labels'"):
        clustering_scores(three, three[:2])
    for centers, features in ((0, 3), (3, 0)):
        with pytest.raises(ValueError, match="no centers, or no features"):
            center_scores(torch.zeros(centers, 2), torch.zeros(features, 2))
    with pytest.raises(TypeCheckError, match="parameter 'labels'"):
        within_class_scores(torch.zeros(4, 1, 2, 2), three, torch.zeros(3, 1, 2, 2), three)
    with pytest.raises(ValueError, match="finite"):
        kmeans_labels(torch.full((4, 2), torch.nan), 2)
