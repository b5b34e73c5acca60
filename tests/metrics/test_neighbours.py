import pytest
import torch
from jaxtyping import TypeCheckError
from sklearn.neighbors import NearestNeighbors
from torch import Tensor
from torch_fidelity.metric_prc import prc_features_to_metric

from kmgan_lib.metrics import coverage_scores, line_scores, memorisation_scores, nearest_neighbours, step_scores


def rows(n: int, d: int, seed: int, shift: float = 0.0) -> Tensor:
    return torch.randn(n, d, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) + shift


@pytest.mark.parametrize("chunk", [1, 7, 1000])
def test_neighbours_are_those_of_scikit_learn(chunk: int) -> None:
    samples, training = rows(23, 5, 0), rows(50, 5, 1)
    expected, where = NearestNeighbors(n_neighbors=1).fit(training.numpy()).kneighbors(samples.numpy())
    distances, indices = nearest_neighbours(samples, training, chunk)
    torch.testing.assert_close(distances, torch.from_numpy(expected[:, 0]))
    assert indices.tolist() == where[:, 0].tolist()


def test_a_copy_is_at_distance_zero_and_a_tie_goes_to_the_first() -> None:
    training = rows(30, 4, 0).repeat(2, 1) + 1000  # far from the origin
    distances, indices = nearest_neighbours(training[10:12], training, chunk=8)
    assert distances.tolist() == pytest.approx([0, 0], abs=1e-4)
    assert indices.tolist() == [10, 11]
    pictures = torch.tensor([[[[0, 255]]], [[[255, 255]]]], dtype=torch.uint8)
    distances, indices = nearest_neighbours(torch.zeros(1, 1, 1, 2, dtype=torch.uint8), pictures)
    assert (distances.item(), indices.item()) == (pytest.approx(1), 0)  # bytes are numbers from black to white


def test_copies_are_told_from_unseen_images() -> None:
    training, held_out, new = (rows(n, 6, seed) for n, seed in ((500, 0), (200, 1), (64, 2)))
    fresh = memorisation_scores(new, training, held_out, training)
    copied = memorisation_scores(training[100:164] + 1e-3, training, held_out, training)
    assert 0.8 < fresh["ratio"] < 1.25
    assert fresh["closer_than_real"] < 0.1
    assert copied["ratio"] < 0.01
    assert copied["closer_than_real"] == 1
    assert copied["nearest"] == list(range(100, 164))


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


def test_precision_and_recall_agree_with_torch_fidelity() -> None:
    real, fake = rows(700, 8, 0), rows(600, 8, 1, 0.3)
    expected = prc_features_to_metric(fake, real, prc_neighborhood=5, verbose=False)
    scores = coverage_scores(real, fake)
    assert scores["precision"] == pytest.approx(expected["precision"], abs=2e-3)
    assert scores["recall"] == pytest.approx(expected["recall"], abs=2e-3)


def line(*places: float) -> Tensor:
    """One line of pictures with two pixels, along a diagonal."""
    return torch.tensor(places, dtype=torch.float64).reshape(-1, 1, 1).expand(-1, 1, 2)


@pytest.mark.parametrize(
    ("places", "largest", "detour"),
    [((0, 1, 2, 3, 4), 1 / 4, 1), ((0, 0, 0, 4, 4), 1, 1), ((0, 3, 4), 3 / 4, 1), ((0, 2, 1, 3), 2 / 5, 5 / 3),
     ((5, 5, 5, 5), 1 / 3, 1), ((0, 1, 0), 1 / 2, 1), ((7, 1), 1, 1)],
    ids=["steady", "a jump", "a larger step", "there and back", "standing still", "a circle", "two pictures"],
)  # fmt: skip
def test_the_largest_step_is_its_share_of_the_whole_way(
    places: tuple[float, ...], largest: float, detour: float
) -> None:
    scores = step_scores(line(*places))
    assert scores == {"largest_step": pytest.approx(largest), "detour": pytest.approx(detour)}
    steady = line(*torch.linspace(0, 9, len(places)).tolist())
    both = step_scores(torch.cat([line(*places), steady], dim=1))  # means over lines
    assert both["largest_step"] == pytest.approx((largest + 1 / (len(places) - 1)) / 2)


def images(n: int, seed: int) -> Tensor:
    return torch.rand(n, 1, 2, 2, generator=torch.Generator().manual_seed(seed))


def test_span_and_validity_are_their_definitions() -> None:
    start, middle, end, real, held_out = (images(n, seed) for seed, n in enumerate((6, 6, 6, 9, 4)))

    def mean(values: list[float]) -> float:
        return sum(values) / len(values)

    def nearest(rows: Tensor) -> float:
        return mean([min(float((row - r).norm()) for r in real) for row in rows])

    ends = mean([float((a - b).norm()) for a, b in zip(start, end, strict=True)])
    pairs = mean([float((real[i] - held_out[i]).norm()) for i in range(4)])
    scores = line_scores(start, middle, end, real, held_out)
    assert scores["span"] == pytest.approx(ends / pairs, rel=1e-5)
    assert scores["validity"] == pytest.approx(nearest(middle) / nearest(held_out), rel=1e-5)


def test_bytes_and_numbers_are_of_one_scale_and_copies_are_at_no_distance() -> None:
    real = (images(20, 0) * 255).round().byte()
    held_out = images(10, 1)
    scores = line_scores(real[:3] / 255, real[3:6] / 255, real[:3] / 255, real, held_out)
    assert scores == {"span": 0, "validity": pytest.approx(0, abs=1e-5)}


def test_rows_that_cannot_be_compared_are_refused() -> None:
    with pytest.raises(TypeCheckError, match="parameter 'training'"):
        nearest_neighbours(torch.zeros(2, 3), torch.zeros(5, 4))
    with pytest.raises(TypeCheckError, match="parameter 'fake_features'"):
        coverage_scores(torch.zeros(9, 3), torch.zeros(9, 4))
    with pytest.raises(ValueError, match="k=5 neighbours need more than 5 rows"):
        coverage_scores(torch.zeros(9, 3), torch.zeros(5, 3))
    same, other = torch.zeros(3, 2), torch.zeros(3, 3)
    with pytest.raises(TypeCheckError, match="parameter 'middle'"):
        line_scores(same, other, same, same, same)
