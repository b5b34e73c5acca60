import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import optimize
from sklearn import metrics as sk

from kmgan_lib.metrics import class_frequency, corrected_frequency
from kmgan_lib.metrics.scores import confusion_matrix


def labels(counts: list[int]) -> torch.Tensor:
    return torch.arange(len(counts), dtype=torch.int64).repeat_interleave(torch.tensor(counts, dtype=torch.int64))


def test_shares_chi2_and_intervals_by_hand() -> None:
    result = class_frequency(labels([10, 20, 30]), 3)
    assert result["frequency"] == pytest.approx([1 / 6, 1 / 3, 1 / 2])
    assert result["chi2"] == pytest.approx((10**2 + 0 + 10**2) / 20)
    assert result["p"] == pytest.approx(math.exp(-10 / 2))  # two degrees of freedom: the tail is exponential
    result = class_frequency(labels([15, 5]), 3)  # a textbook's Wilson interval of 15 of 20
    assert (result["low"][0], result["high"][0]) == pytest.approx((0.5313, 0.8881), abs=1e-4)
    assert result["frequency"][2] == 0


def test_the_confusion_matrix_is_scikit_learns() -> None:
    generator = torch.Generator().manual_seed(0)
    truth, predicted = (torch.randint(4, (200,), generator=generator) for _ in range(2))
    expected = sk.confusion_matrix(truth.numpy(), predicted.numpy(), labels=range(5))
    assert confusion_matrix(truth, predicted, 5).tolist() == expected.tolist()


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


def test_what_cannot_be_counted_or_corrected_is_refused() -> None:
    with pytest.raises(ValueError, match="labels"):
        class_frequency(torch.tensor([], dtype=torch.int64), 3)
    with pytest.raises(ValueError, match="1 classes without real images"):
        corrected_frequency(labels([1, 1]), torch.tensor([[3, 1], [0, 0]]))
