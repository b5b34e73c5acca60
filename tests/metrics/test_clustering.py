import itertools

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics as sk

from kmgan_lib.metrics import clustering_scores, kmeans_labels


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


@pytest.mark.parametrize(("distinct", "n"), [(1, 1), (1, 5), (1, 500), (2, 6), (2, 500)])
def test_fewer_distinct_features_than_clusters_are_that_many_without_a_warning(distinct: int, n: int) -> None:
    # Saturated sigmoids: every feature sits in one of few corners.
    features = torch.tensor([[0.7, 1.0], [0.0, 1.0]])[torch.arange(n) % distinct]
    assert len(set(kmeans_labels(features, 4).tolist())) == distinct
