import pytest
import torch
from sklearn.neighbors import NearestNeighbors
from torch import Tensor

from kmgan_lib.metrics import memorisation_scores, nearest_neighbours
from kmgan_lib.metrics.neighbours import kth_distances


def rows(n: int, d: int, seed: int) -> Tensor:
    return torch.randn(n, d, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("chunk", [1, 7, 1000])
def test_neighbours_are_those_of_scikit_learn(chunk: int) -> None:
    samples, training = rows(23, 5, 0), rows(50, 5, 1)
    expected, where = NearestNeighbors(n_neighbors=1).fit(training.numpy()).kneighbors(samples.numpy())
    distances, indices = nearest_neighbours(samples, training, chunk)
    torch.testing.assert_close(distances, torch.from_numpy(expected[:, 0]).double(), rtol=1e-5, atol=1e-6)
    assert indices.tolist() == where[:, 0].tolist()


def test_a_copy_is_at_distance_zero_and_a_tie_goes_to_the_first() -> None:
    training = rows(30, 4, 0).repeat(2, 1) + 1000  # far from the origin
    distances, indices = nearest_neighbours(training[10:12], training, chunk=8)
    assert distances.tolist() == pytest.approx([0, 0], abs=1e-4)
    assert indices.tolist() == [10, 11]
    pictures = torch.tensor([[[[0, 255]]], [[[255, 255]]]], dtype=torch.uint8)
    distances, indices = nearest_neighbours(torch.zeros(1, 1, 1, 2, dtype=torch.uint8), pictures)
    assert (distances.item(), indices.item()) == (pytest.approx(1), 0)  # bytes are numbers from black to white


@pytest.mark.parametrize("k", [1, 3])
def test_kth_distances_leave_a_row_itself_out(k: int) -> None:
    points = rows(40, 3, 0)
    expected, _ = NearestNeighbors(n_neighbors=k + 1).fit(points.numpy()).kneighbors(points.numpy())
    found = kth_distances(points, k)
    torch.testing.assert_close(found, torch.from_numpy(expected[:, k]).double(), rtol=1e-5, atol=1e-6)
    assert kth_distances(torch.ones(3, 2), 1).tolist() == [0, 0, 0]


def test_copies_are_told_from_unseen_images() -> None:
    training, held_out, new = (rows(n, 6, seed) for n, seed in ((500, 0), (200, 1), (64, 2)))
    fresh = memorisation_scores(new, training, held_out, training)
    copied = memorisation_scores(training[100:164] + 1e-3, training, held_out, training)
    assert 0.8 < fresh["ratio"] < 1.25  # pyright: ignore[reportOperatorIssue]
    assert fresh["closer_than_real"] < 0.1  # pyright: ignore[reportOperatorIssue]
    assert copied["ratio"] < 0.01  # pyright: ignore[reportOperatorIssue]
    assert copied["closer_than_real"] == 1
    assert copied["nearest"] == list(range(100, 164))


@pytest.mark.parametrize("shape", [(0, 3), (5, 4)], ids=str)
def test_rows_that_cannot_be_compared_are_refused(shape: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match=r"must (be equal in|have m > 0)"):
        nearest_neighbours(torch.zeros(2, 3), torch.zeros(shape))
    with pytest.raises(ValueError, match="k=5 neighbours need more than 5 rows"):
        kth_distances(torch.zeros(5, 3), 5)
