import pytest
import torch
from torch import Tensor
from torch_fidelity.metric_fid import fid_features_to_statistics, fid_statistics_to_metric
from torch_fidelity.metric_kid import kid_features_to_metric

from kmgan_lib.metrics import frechet_distance, kernel_distance


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


def test_features_that_cannot_be_compared_and_subsets_that_cannot_be_drawn_are_refused() -> None:
    for a, b in (((5, 3), (5, 4)), ((5,), (5,)), ((1, 3), (5, 3)), ((5, 3), (0, 3))):
        for distance in (frechet_distance, kernel_distance):
            with pytest.raises(ValueError, match=r"features|rows"):
                distance(torch.zeros(a), torch.zeros(b))
    for subsets, size in ((1, 6), (0, 5), (1, 1)):
        with pytest.raises(ValueError, match=f"{subsets} subsets of {size} rows"):
            kernel_distance(torch.zeros(5, 2), torch.zeros(9, 2), subsets, size)
