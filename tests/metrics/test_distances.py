from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch_fidelity.metric_fid import fid_features_to_statistics, fid_statistics_to_metric
from torch_fidelity.metric_kid import kid_features_to_metric

from kmgan_lib.metrics import frechet_distance, kernel_distance


def features(n: int, d: int, seed: int, *, shift: float = 0.0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    mixed = (
        torch.randn(n, d, generator=generator, dtype=torch.float64) @ torch.randn(d, d, generator=generator).double()
    )
    return mixed + shift


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


def test_frechet_distance_of_normal_distributions_along_the_axes() -> None:
    # Exact means 0 and (3, 4), exact variances 1 and 4: 25 + (1 - 2)^2 + (1 - 2)^2
    square = torch.tensor([[1.0, 1], [1, -1], [-1, 1], [-1, -1]]) * (3 / 4) ** 0.5
    assert frechet_distance(square, 2 * square + torch.tensor([3.0, 4])) == pytest.approx(27)


@pytest.mark.parametrize(("n", "d"), [(50, 4), (5, 20)], ids=["full rank", "singular"])
def test_frechet_distance_of_equal_sets_is_zero(n: int, d: int) -> None:
    a = features(n, d, 0)
    assert frechet_distance(a, a.flip(0)) == pytest.approx(0, abs=1e-9)


def test_frechet_distance_of_features_that_never_vary() -> None:
    assert frechet_distance(torch.zeros(5, 3), torch.ones(7, 3)) == pytest.approx(3)


@pytest.mark.parametrize(("a", "b"), list(PAIRS.values())[:1])
def test_kernel_distance_agrees_with_torch_fidelity(a: Tensor, b: Tensor) -> None:
    # A subset of all rows is the same set in whatever order it is drawn.
    expected = kid_features_to_metric(a, b, kid_subsets=2, kid_subset_size=len(a), verbose=False)
    mean, std = kernel_distance(a, b, subsets=2, subset_size=len(a))
    assert mean == pytest.approx(expected["kernel_inception_distance_mean"], rel=1e-9)
    assert std == pytest.approx(0, abs=1e-9 * abs(mean))


def test_kernel_distance_is_the_formula_in_loops() -> None:
    a, b = features(6, 3, 0), features(6, 3, 1)

    def k(x: Tensor, y: Tensor) -> float:
        return (float(x @ y) / 3 + 1) ** 3

    within = sum(k(f[i], f[j]) for f in (a, b) for i in range(6) for j in range(6) if i != j) / 30
    across = sum(k(x, y) for x in a for y in b) / 36
    assert kernel_distance(a, b, 1, 6)[0] == pytest.approx(within - 2 * across)


def test_kernel_distance_is_unbiased_and_fixed_by_its_seed() -> None:
    generator = torch.Generator().manual_seed(0)
    a, b = (torch.randn(2000, 4, generator=generator) for _ in range(2))
    mean, std = kernel_distance(a, b, 50, 200)
    assert abs(mean) < std
    assert kernel_distance(a, b, 50, 200) == (mean, std)
    assert kernel_distance(a, b, 50, 200, seed=1) != (mean, std)
    assert kernel_distance(a, b + 1, 50, 200)[0] > 10 * std


@pytest.mark.parametrize("distance", [frechet_distance, kernel_distance])
@pytest.mark.parametrize("shapes", [((5, 3), (5, 4)), ((5,), (5,)), ((1, 3), (5, 3)), ((5, 3), (0, 3))], ids=str)
def test_features_that_cannot_be_compared_are_refused(distance: object, shapes: tuple[tuple[int, ...], ...]) -> None:
    with pytest.raises(ValueError, match=r"features|rows"):
        distance(*(torch.zeros(s) for s in shapes))  # pyright: ignore[reportCallIssue]


@pytest.mark.parametrize(("subsets", "size"), [(1, 6), (0, 5), (1, 1)])
def test_subsets_that_cannot_be_drawn_are_refused(subsets: int, size: int) -> None:
    with pytest.raises(ValueError, match=f"{subsets} subsets of {size} rows"):
        kernel_distance(torch.zeros(5, 2), torch.zeros(9, 2), subsets, size)
