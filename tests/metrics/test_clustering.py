from __future__ import annotations

import itertools

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics as sk

from kmgan_lib.metrics import clustering_scores, kmeans_labels

MEASURES = ["nmi", "ari", "accuracy", "purity"]


@pytest.mark.parametrize("permutation", list(itertools.permutations(range(3)))[::2], ids=str)
def test_the_numbers_of_clusters_do_not_matter(permutation: tuple[int, ...]) -> None:
    truth = torch.tensor([0, 0, 0, 1, 1, 2, 2, 2])
    assert clustering_scores(truth, torch.tensor(permutation)[truth]) == pytest.approx(dict.fromkeys(MEASURES, 1.0))


def test_a_case_worked_by_hand() -> None:
    truth, clusters = torch.tensor([0, 0, 0, 0, 1, 1]), torch.tensor([0, 0, 1, 1, 1, 1])
    scores = clustering_scores(truth, clusters)
    # Matching 0 with 0 and 1 with 1 leaves four of six right; the majority of cluster 1 is a tie of two against two.
    assert scores["accuracy"] == pytest.approx(4 / 6)
    assert scores["purity"] == pytest.approx((2 + 2) / 6)


def test_more_clusters_than_classes_are_pure_and_not_accurate() -> None:
    scores = clustering_scores(torch.tensor([0, 0, 1, 1]), torch.tensor([0, 1, 2, 3]))
    assert scores["purity"] == 1
    assert scores["accuracy"] == 0.5


def test_one_cluster_for_all_knows_nothing() -> None:
    scores = clustering_scores(torch.tensor([0, 1, 2, 3] * 5), torch.zeros(20, dtype=torch.int64))
    assert scores == pytest.approx({"nmi": 0, "ari": 0, "accuracy": 0.25, "purity": 0.25})


@given(pairs=st.lists(st.tuples(st.integers(0, 3), st.integers(0, 4)), min_size=1, max_size=30))
def test_scores_agree_with_scikit_learn_and_a_search_of_all_matchings(pairs: list[tuple[int, int]]) -> None:
    truth, clusters = (torch.tensor(column) for column in zip(*pairs, strict=True))
    scores = clustering_scores(truth, clusters)
    assert scores["nmi"] == pytest.approx(sk.normalized_mutual_info_score(truth.numpy(), clusters.numpy()))
    assert scores["ari"] == pytest.approx(sk.adjusted_rand_score(truth.numpy(), clusters.numpy()))
    matchings = itertools.permutations(range(5))
    best = max(sum(match[c] == t for t, c in pairs) for match in matchings)
    assert scores["accuracy"] == pytest.approx(best / len(pairs))
    assert scores["accuracy"] <= scores["purity"] + 1e-12 <= 1 + 2e-12


@pytest.mark.parametrize(("n", "m"), [(3, 2), (0, 0)])
def test_unequal_or_empty_labels_are_refused(n: int, m: int) -> None:
    with pytest.raises(ValueError, match=f"{n} classes and {m} clusters"):
        clustering_scores(torch.zeros(n, dtype=torch.int64), torch.zeros(m, dtype=torch.int64))


def test_kmeans_finds_clusters_that_are_there() -> None:
    truth = torch.arange(4).repeat_interleave(30)
    features = torch.eye(4)[truth] * 10 + torch.randn(120, 4, generator=torch.Generator().manual_seed(0))
    labels = kmeans_labels(features, 4)
    assert labels.dtype == torch.int64
    assert clustering_scores(truth, labels)["accuracy"] == 1
    assert torch.equal(labels, kmeans_labels(features, 4))


@pytest.mark.parametrize("n", [1, 5, 50, 500])
def test_features_that_are_all_equal_are_one_cluster_without_a_warning(n: int) -> None:
    assert kmeans_labels(torch.full((n, 3), 0.7), 4).tolist() == [0] * n


@pytest.mark.parametrize("n", [6, 500])
def test_fewer_distinct_features_than_clusters_are_that_many_without_a_warning(n: int) -> None:
    # Saturated sigmoids: every feature sits in one of two corners.
    features = torch.tensor([[0.0, 1.0], [1.0, 1.0]]).repeat(n // 2, 1)
    assert len(set(kmeans_labels(features, 4).tolist())) == 2
