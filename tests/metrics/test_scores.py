import itertools
import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from jaxtyping import TypeCheckError
from scipy import optimize
from torch import Tensor
from torch_fidelity.metric_fid import fid_features_to_statistics, fid_statistics_to_metric
from torch_fidelity.metric_kid import kid_features_to_metric

from kmgan_lib.metrics import class_frequency, corrected_frequency, frechet_distance, inception_score, kernel_distance


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


def test_sure_images_score_the_number_of_their_classes() -> None:
    assert inception_score(torch.eye(10).repeat(10, 1)) == pytest.approx((10, 0))


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


def test_a_perfect_classifier_needs_no_correction() -> None:
    observed = labels([10, 0, 30, 60])
    result = corrected_frequency(observed, 50 * torch.eye(4))
    assert result["corrected"] == pytest.approx([0.1, 0, 0.3, 0.6])
    assert result["corrected_low"][1] == result["corrected_high"][1] == 0


def test_confused_shares_are_found_again() -> None:
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


CALLS: dict[str, tuple[Callable[[], object], str]] = {
    "fewer images than splits": (lambda: inception_score(torch.ones(9, 2), 10), "10 splits"),
    "no split": (lambda: inception_score(torch.ones(5, 2), 0), "0 splits"),
    "one image": (lambda: frechet_distance(torch.ones(1, 3), torch.ones(5, 3)), "at least 2 images"),
    "none": (lambda: frechet_distance(torch.ones(5, 3), torch.ones(0, 3)), "at least 2 images"),
    "too large a subset": (lambda: kernel_distance(torch.ones(5, 2), torch.ones(9, 2), 1, 6), "1 subsets of 6 rows"),
    "no subset": (lambda: kernel_distance(torch.ones(5, 2), torch.ones(9, 2), 0, 5), "0 subsets of 5 rows"),
    "a subset of one": (lambda: kernel_distance(torch.ones(5, 2), torch.ones(9, 2), 1, 1), "1 subsets of 1 rows"),
    "no labels": (lambda: class_frequency(labels([]), 3), "no labels"),
    "a class without real images": (
        lambda: corrected_frequency(labels([1, 1]), torch.tensor([[3, 1], [0, 0]])),
        "each",
    ),
    "no counts": (lambda: corrected_frequency(labels([1, 1]), torch.tensor([[3, -1], [0, 2]])), "counts"),
    "other features": (lambda: frechet_distance(torch.ones(5, 3), torch.ones(5, 4)), "parameter 'features_b'"),
    "rows of one number": (lambda: kernel_distance(torch.ones(5), torch.ones(5)), "parameter 'features_a'"),
    "labels of another type": (lambda: class_frequency(torch.ones(3), 3), "parameter 'predicted_labels'"),
}


@pytest.mark.parametrize("what", CALLS)
def test_what_cannot_be_scored_is_refused(what: str) -> None:
    call, message = CALLS[what]
    with pytest.raises((ValueError, TypeCheckError), match=message):
        call()
