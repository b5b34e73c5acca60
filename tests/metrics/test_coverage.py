import pytest
import torch
from torch import Tensor
from torch_fidelity.metric_prc import prc_features_to_metric

from kmgan_lib.metrics import coverage_scores


def rows(n: int, d: int, seed: int, shift: float = 0.0) -> Tensor:
    return torch.randn(n, d, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) + shift


def naive(real: Tensor, fake: Tensor, k: int) -> dict[str, float]:
    """The four definitions with loops."""

    def radius(points: Tensor, i: int) -> float:
        return sorted(float((points[i] - p).norm()) for j, p in enumerate(points) if j != i)[k - 1]

    real_radii, fake_radii = ([radius(points, i) for i in range(len(points))] for points in (real, fake))
    n, m = len(real), len(fake)
    in_real = [[float((real[i] - fake[j]).norm()) <= real_radii[i] for i in range(n)] for j in range(m)]
    in_fake = [[float((real[i] - fake[j]).norm()) <= fake_radii[j] for j in range(m)] for i in range(n)]
    return {
        "precision": sum(map(any, in_real)) / m,
        "recall": sum(map(any, in_fake)) / n,
        "density": sum(map(sum, in_real)) / (k * m),
        "coverage": sum(map(any, zip(*in_real, strict=True))) / n,
    }


@pytest.mark.parametrize(("n", "m", "k", "shift"), [(20, 20, 3, 0), (25, 15, 5, 1.0), (12, 30, 1, 2.0)])
def test_scores_are_their_definitions(n: int, m: int, k: int, shift: float) -> None:
    real, fake = rows(n, 3, 0), rows(m, 3, 1, shift)
    assert coverage_scores(real, fake, k) == pytest.approx(naive(real, fake, k))


def test_precision_and_recall_agree_with_torch_fidelity_in_several_chunks() -> None:
    real, fake = rows(1500, 8, 0), rows(1200, 8, 1, 0.3)
    expected = prc_features_to_metric(fake, real, prc_neighborhood=5, verbose=False)
    scores = coverage_scores(real, fake)
    assert scores["precision"] == pytest.approx(expected["precision"], abs=1e-3)
    assert scores["recall"] == pytest.approx(expected["recall"], abs=1e-3)


def test_features_that_cannot_be_compared_are_refused() -> None:
    with pytest.raises(ValueError, match="must be equal in d"):
        coverage_scores(torch.zeros(9, 3), torch.zeros(9, 4))
    with pytest.raises(ValueError, match="k=5 neighbours"):
        coverage_scores(torch.zeros(9, 3), torch.zeros(5, 3))
