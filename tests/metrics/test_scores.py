import itertools
import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from jaxtyping import TypeCheckError
from scipy import optimize, stats
from sklearn import metrics as sk
from torch import Tensor
from torch_fidelity.metric_fid import fid_features_to_statistics, fid_statistics_to_metric
from torch_fidelity.metric_kid import kid_features_to_metric

from kmgan_lib.metrics import (
    center_scores,
    class_frequency,
    clustering_scores,
    corrected_frequency,
    frechet_distance,
    inception_score,
    kernel_distance,
    kmeans_labels,
    within_class_scores,
)


@pytest.mark.parametrize(("n", "c", "splits"), [(50, 10, 10), (53, 4, 10), (7, 3, 1), (10, 2, 10)])
def test_score_is_equation_8(n: int, c: int, splits: int) -> None:
    logits = 3 * torch.randn(n, c, generator=torch.Generator().manual_seed(0))
    logits[:, 0] = -torch.inf  # a class that no image is of
    probabilities = logits.softmax(1)
    parts = np.array_split(probabilities.double().numpy(), splits)
    scores = [np.exp(stats.entropy(rows, rows.mean(0, keepdims=True), axis=1).mean()) for rows in parts]
    assert inception_score(probabilities, splits) == pytest.approx((np.mean(scores), np.std(scores)))


def features(n: int, d: int, seed: int, *, shift: float = 0.0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    plain = torch.randn(n, d, generator=generator, dtype=torch.float64)
    return plain @ torch.randn(d, d, generator=generator).double() + shift


PAIRS = {
    "equal sizes": (features(200, 8, 0), features(200, 8, 1, shift=0.3)),
    "unequal sizes": (features(150, 16, 2), features(400, 16, 3)),
    "many features": (features(300, 64, 4), features(300, 64, 5, shift=-1)),
}


@pytest.mark.parametrize(("a", "b"), PAIRS.values(), ids=PAIRS.keys())
def test_frechet_distance_agrees_with_torch_fidelity(a: Tensor, b: Tensor) -> None:
    statistics = (fid_features_to_statistics(f) for f in (a, b))
    expected = fid_statistics_to_metric(*statistics, verbose=False)["frechet_inception_distance"]
    assert frechet_distance(a, b) == pytest.approx(expected, rel=1e-6)
    assert frechet_distance(b, a) == pytest.approx(expected, rel=1e-6)
    assert frechet_distance(a.float(), b.float()) == pytest.approx(expected, rel=1e-4)


def test_frechet_distance_by_hand_and_with_singular_covariances() -> None:
    # Exact means 0 and (3, 4), exact variances 1 and 4: 25 + (1 - 2)^2 + (1 - 2)^2
    square = torch.tensor([[1.0, 1], [1, -1], [-1, 1], [-1, -1]]) * (3 / 4) ** 0.5
    assert frechet_distance(square, 2 * square + torch.tensor([3.0, 4])) == pytest.approx(27)
    a = features(5, 20, 0)
    assert frechet_distance(a, a.flip(0)) == pytest.approx(0, abs=1e-9)
    assert frechet_distance(torch.zeros(5, 3), torch.ones(7, 3)) == pytest.approx(3)


def test_kernel_distance_agrees_with_torch_fidelity() -> None:
    a, b = PAIRS["equal sizes"]
    # A subset of all rows is the same set in whatever order it is drawn.
    expected = kid_features_to_metric(a, b, kid_subsets=2, kid_subset_size=len(a), verbose=False)
    mean, std = kernel_distance(a, b, subsets=2, subset_size=len(a))
    assert mean == pytest.approx(expected["kernel_inception_distance_mean"], rel=1e-9)
    assert std == pytest.approx(0, abs=1e-9 * abs(mean))


def test_kernel_distance_is_unbiased_and_fixed_by_its_seed() -> None:
    generator = torch.Generator().manual_seed(0)
    a, b = (torch.randn(2000, 4, generator=generator) for _ in range(2))
    mean, std = kernel_distance(a, b, 50, 200)
    assert abs(mean) < std
    assert kernel_distance(a, b, 50, 200) == (mean, std)
    assert kernel_distance(a, b, 50, 200, seed=1) != (mean, std)
    assert kernel_distance(a, b + 1, 50, 200)[0] > 10 * std


def labels(counts: list[int]) -> Tensor:
    return torch.arange(len(counts), dtype=torch.int64).repeat_interleave(torch.tensor(counts, dtype=torch.int64))


def test_shares_chi2_and_intervals_by_hand() -> None:
    result = class_frequency(labels([10, 20, 30]), 3)
    assert result["frequency"] == pytest.approx([1 / 6, 1 / 3, 1 / 2])
    assert result["chi2"] == pytest.approx((10**2 + 0 + 10**2) / 20)
    assert result["p"] == pytest.approx(math.exp(-10 / 2))  # two degrees of freedom: the tail is exponential
    result = class_frequency(labels([15, 5]), 3)  # a textbook's Wilson interval of 15 of 20
    assert (result["low"][0], result["high"][0]) == pytest.approx((0.5313, 0.8881), abs=1e-4)
    assert result["frequency"][2] == 0


def test_confused_shares_are_found_again_and_a_perfect_classifier_needs_no_correction() -> None:
    result = corrected_frequency(labels([10, 0, 30, 60]), 50 * torch.eye(4))
    assert result["corrected"] == pytest.approx([0.1, 0, 0.3, 0.6])
    assert result["corrected_low"][1] == result["corrected_high"][1] == 0
    # A quarter of class 0 is taken for class 1: of shares 0.4, 0.6 the classifier sees 0.3, 0.7.
    confusion = torch.tensor([[750, 250], [0, 1000]])
    result = corrected_frequency(labels([300, 700]), confusion)
    assert result["corrected"] == pytest.approx([0.4, 0.6])
    low, high = result["corrected_low"][0], result["corrected_high"][0]
    assert 0.34 < low < 0.38
    assert 0.42 < high < 0.46


@settings(max_examples=10)
@given(seed=st.integers(0, 10_000))
def test_correction_is_the_constrained_least_squares(seed: int) -> None:
    random = np.random.default_rng(seed)
    confusion = random.integers(0, 20, (4, 4)) + 5 * np.eye(4, dtype=int)
    observed = labels(random.integers(0, 30, 4).tolist()) if seed % 2 else labels([5, 0, 0, 1])
    shares = torch.bincount(observed, minlength=4).double().numpy() / len(observed)
    rows = confusion / confusion.sum(1, keepdims=True)
    found = np.array(corrected_frequency(observed, torch.from_numpy(confusion))["corrected"])
    best = optimize.minimize(
        lambda w: np.square(rows.T @ w - shares).sum(), np.full(4, 0.25), method="SLSQP", bounds=[(0, 1)] * 4,
        constraints={"type": "eq", "fun": lambda w: w.sum() - 1}, options={"ftol": 1e-14},
    )  # fmt: skip
    assert found.sum() == pytest.approx(1)
    assert found.min() >= 0
    assert np.square(rows.T @ found - shares).sum() <= best.fun + 1e-7


def test_what_cannot_be_scored_is_refused() -> None:
    two, ones = labels([1, 1]), torch.ones
    calls: list[tuple[Callable[[], object], str]] = [
        (lambda: inception_score(ones(9, 2), 10), "10 splits"), (lambda: inception_score(ones(5, 2), 0), "0 splits"),
        (lambda: frechet_distance(ones(1, 3), ones(5, 3)), "at least 2 images"),
        (lambda: frechet_distance(ones(5, 3), ones(0, 3)), "at least 2 images"),
        (lambda: kernel_distance(ones(5, 2), ones(9, 2), 1, 6), "1 subsets of 6 rows"),
        (lambda: kernel_distance(ones(5, 2), ones(9, 2), 0, 5), "0 subsets of 5 rows"),
        (lambda: kernel_distance(ones(5, 2), ones(9, 2), 1, 1), "1 subsets of 1 rows"),
        (lambda: class_frequency(labels([]), 3), "no labels"),
        (lambda: class_frequency(torch.tensor([0, 3]), 3), "0 to 2"),
        (lambda: corrected_frequency(two, torch.tensor([[3, 1], [0, 0]])), "each"),  # no real images of a class
        (lambda: corrected_frequency(two, torch.tensor([[3, -1], [0, 2]])), "counts"),
        (lambda: frechet_distance(ones(5, 3), ones(5, 4)), "parameter 'features_b'"),
        (lambda: kernel_distance(ones(5), ones(5)), "parameter 'features_a'"),
        (lambda: class_frequency(ones(3), 3), "parameter 'predicted_labels'"),
        (lambda: clustering_scores(two[:0], two[:0]), "no labels"),
        (lambda: clustering_scores(two, two[:1]), "parameter 'cluster_labels'"),
        (lambda: center_scores(ones(0, 2), ones(3, 2)), "no centers, or no features"),
        (lambda: center_scores(ones(3, 2), ones(0, 2)), "no centers, or no features"),
        (lambda: within_class_scores(ones(4, 1, 2, 2), two, ones(2, 1, 2, 2), two), "parameter 'labels'"),
        (lambda: kmeans_labels(torch.full((4, 2), torch.nan), 2), "finite"),
    ]  # fmt: skip
    for call, message in calls:
        with pytest.raises((ValueError, TypeCheckError), match=message):
            call()


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


@pytest.mark.parametrize("rows", [[1e-40, 0, 0, 1], [1e38, 0, 0, 1]], ids=["a hair", "a gulf"])
@pytest.mark.parametrize("kind", [torch.float32, torch.float64])
def test_features_that_differ_by_too_little_for_k_means_give_no_warning(rows: list[float], kind: torch.dtype) -> None:
    labels = kmeans_labels(torch.tensor(rows, dtype=kind).unsqueeze(1), 3)
    assert labels[1] == labels[2]
    assert len(labels.unique()) in (2, 3)


def test_centers_of_clusters_that_are_there() -> None:
    centers = 3 * torch.eye(4)
    points = centers.repeat(50, 1) + 0.1 * torch.randn(200, 4, generator=torch.Generator().manual_seed(0))
    scores = center_scores(centers, points)
    assert (scores["distinct"], scores["used"]) == (4, 4)
    assert scores["entropy"] == pytest.approx(math.log(4))
    assert scores["evenness"] == pytest.approx(1)
    assert scores["distance"] == pytest.approx(scores["smallest_distance"])
    # |3 e_i - 3 e_j| = 3 sqrt 2, and the spread of the corners is 3 sqrt(3/4).
    assert scores["distance"] == pytest.approx(math.sqrt(2) / math.sqrt(0.75), rel=0.02)
    for scale in (1e-6, 1e4):  # which does not matter
        scaled = center_scores(centers * scale, points * scale)
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


def drawn(n: int, spread: float, seed: int) -> tuple[Tensor, Tensor]:
    """Images of three classes, whose means differ."""
    labels = torch.arange(n) % 3
    noise = torch.randn(n, 1, 2, 2, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return 0.3 * labels.view(-1, 1, 1, 1) + spread * noise, labels


def test_variety_within_classes_is_its_definition() -> None:
    (images, labels), (real, real_labels) = drawn(30, 0.02, 0), drawn(40, 0.05, 1)
    scores = within_class_scores(images, labels, real, real_labels)
    variances = [[x[y == c].var(0).sum().item() for c in range(3)] for x, y in ((images, labels), (real, real_labels))]
    expected = [generated / true for generated, true in zip(*variances, strict=True)]
    assert scores["ratios"] == pytest.approx(expected)
    assert scores["within"] == pytest.approx(sum(expected) / 3)
    assert (scores["smallest"], scores["present"]) == (pytest.approx(min(expected)), 3)
    unit = real.clamp(0, 1)
    scores = within_class_scores((unit * 255).round().byte(), real_labels, unit, real_labels)
    assert scores["within"] == pytest.approx(1, abs=0.01)


def test_a_class_that_is_hardly_there_is_left_out() -> None:
    real, labels = drawn(900, 0.05, 0)
    few = torch.cat([torch.zeros(500, dtype=torch.int64), torch.ones(4, dtype=torch.int64)])
    scores = within_class_scores(real[: len(few)], few, real, labels)
    assert (scores["present"], scores["ratios"][1:]) == (1, [None, None])
    none = within_class_scores(real[:1], labels[:1], real, labels)
    assert (none["within"], none["smallest"], none["present"]) == (0, 0, 0)
