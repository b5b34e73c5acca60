"""Copies, coverage and steps by their definitions; and by them generators that must not pass for good ones."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from jaxtyping import TypeCheckError
from sklearn.neighbors import NearestNeighbors
from torch import Tensor, nn
from torch_fidelity.metric_prc import prc_features_to_metric

from kmgan_lib import data, methods
from kmgan_lib.generator import Generator
from kmgan_lib.metrics import (
    Classifier,
    coverage_scores,
    line_scores,
    measures,
    memorisation_scores,
    nearest_neighbours,
    step_scores,
)
from kmgan_lib.metrics.evaluation import Evaluation
from kmgan_lib.training.run import Run


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


@pytest.mark.parametrize(
    ("n", "m", "k", "shift"), [(20, 20, 3, 0), (25, 15, 5, 1.0), (12, 30, 1, 2.0), (700, 600, 5, 0.3)]
)
def test_scores_are_their_definitions_and_those_of_torch_fidelity(n: int, m: int, k: int, shift: float) -> None:
    real, fake = rows(n, 3, 0), rows(m, 3, 1, shift)
    scores = coverage_scores(real, fake, k)
    radii = (real[:, None] - real).norm(dim=2).sort(1).values[:, k, None]  # the nearest is the row itself
    inside = ((real[:, None] - fake).norm(dim=2) <= radii).double()
    assert scores["density"] == pytest.approx(inside.sum().item() / (k * m))
    assert scores["coverage"] == pytest.approx(inside.amax(1).mean().item())
    expected = prc_features_to_metric(fake, real, prc_neighborhood=k, verbose=False)
    assert scores["precision"] == pytest.approx(expected["precision"])
    assert scores["recall"] == pytest.approx(expected["recall"])


def test_copies_are_in_closed_balls_wherever_the_features_lie() -> None:
    real = rows(300, 64, 0)
    for there in (real, real + 1e7):  # a ball holds its center and the five nearest, the farthest on its edge
        assert coverage_scores(there, there) == {"precision": 1, "recall": 1, "density": 1.2, "coverage": 1}
    few = real[:5].repeat(20, 1)  # balls without extent
    assert coverage_scores(few, few) == {"precision": 1, "recall": 1, "density": 4, "coverage": 1}
    assert coverage_scores(few, few + 1)["precision"] == 0


def line(*places: float) -> Tensor:
    """One line of pictures with two pixels, along a diagonal."""
    return torch.tensor(places, dtype=torch.float64).reshape(-1, 1, 1).expand(-1, 1, 2)


@pytest.mark.parametrize(
    ("places", "largest", "detour"),
    [((0, 1, 2, 3, 4), 1 / 4, 1), ((0, 0, 0, 4, 4), 1, 1), ((0, 3, 4), 3 / 4, 1), ((0, 2, 1, 3), 2 / 5, 5 / 3),
     ((5, 5, 5, 5), 1 / 3, 1), ((0, 1, 0), 1 / 2, 1), ((7, 1), 1, 1)],
    ids=["steady", "a jump", "a larger step", "there and back", "standing still", "a circle", "two pictures"],
)  # fmt: skip
def test_the_largest_step_is_its_share_of_all(places: tuple[float, ...], largest: float, detour: float) -> None:
    scores = step_scores(line(*places))
    assert scores == {"largest_step": pytest.approx(largest), "detour": pytest.approx(detour)}
    steady = line(*torch.linspace(0, 9, len(places)).tolist())
    both = step_scores(torch.cat([line(*places), steady], dim=1))  # means over lines
    assert both["largest_step"] == pytest.approx((largest + 1 / (len(places) - 1)) / 2)


def images(n: int, seed: int) -> Tensor:
    return torch.rand(n, 1, 2, 2, generator=torch.Generator().manual_seed(seed))


def test_span_and_validity_are_their_definitions() -> None:
    start, middle, end, real, held_out = (images(n, seed) for seed, n in enumerate((6, 6, 6, 9, 4)))
    scores = line_scores(start, middle, end, real, held_out)
    apart = [(a - b).flatten(1).norm(dim=1).mean().item() for a, b in ((start, end), (real[:4], held_out))]
    near = [(rows[:, None] - real).flatten(2).norm(dim=2).amin(1).mean().item() for rows in (middle, held_out)]
    assert scores["span"] == pytest.approx(apart[0] / apart[1], rel=1e-5)
    assert scores["validity"] == pytest.approx(near[0] / near[1], rel=1e-5)
    copies, bytes_ = real[:4], (real * 255).byte()  # which are of one scale
    scores = line_scores(copies, copies, copies, bytes_, held_out)
    assert scores == pytest.approx({"span": 0, "validity": 0}, abs=0.01)


def test_rows_that_cannot_be_compared_are_refused() -> None:
    with pytest.raises(TypeCheckError, match="parameter 'training'"):
        nearest_neighbours(torch.zeros(2, 3), torch.zeros(5, 4))
    with pytest.raises(TypeCheckError, match="parameter 'fake_features'"):
        coverage_scores(torch.zeros(9, 3), torch.zeros(9, 4))
    with pytest.raises(ValueError, match="k=5 neighbors need more than 5 rows"):
        coverage_scores(torch.zeros(9, 3), torch.zeros(5, 3))
    same, other = torch.zeros(3, 2), torch.zeros(3, 3)
    with pytest.raises(TypeCheckError, match="parameter 'middle'"):
        line_scores(same, other, same, same, same)


class Drawing(nn.Module):
    """A generator of 28x28 images that is a function of the noise."""

    def __init__(self, draw: Callable[[Tensor], Tensor]):
        super().__init__()
        self.draw, self.place = draw, nn.Parameter(torch.zeros(1))

    def forward(self, noise: Tensor, labels: Tensor | None = None) -> Tensor:
        return self.draw(noise).view(-1, 1, 28, 28)


def directions(rows: int, columns: int = 784) -> Tensor:
    return torch.randn(rows, columns, generator=torch.Generator().manual_seed(0))


def untrained(run: Run, real: Tensor) -> nn.Module:
    return methods.create(run.preset, device=torch.device("cpu"), seed=1).eval_generator()


def collapsed(run: Run, real: Tensor) -> nn.Module:
    return Drawing(lambda z: (real[7] + 0.003 * z @ directions(z.shape[1])).clamp(0, 1))


def noise(run: Run, real: Tensor) -> nn.Module:
    return Drawing(lambda z: (z @ directions(z.shape[1])).sigmoid())


def memorising(run: Run, real: Tensor) -> nn.Module:
    """The training image whose place in the space of noise is nearest."""
    places = torch.rand(len(real), run.preset.z_dim, generator=torch.Generator().manual_seed(0)) * 2 - 1
    return Drawing(lambda z: real[torch.cdist(z, places).argmin(1)])


def principal(run: Run, real: Tensor) -> nn.Module:
    """The first twenty principal components: smooth, various, not memorised, if blurred."""
    centered = real - real.mean(0)
    _, scale, axes = torch.linalg.svd(centered, full_matrices=False)
    deviations = scale[:20, None] * axes[:20] / len(real) ** 0.5
    return Drawing(lambda z: (real.mean(0) + 3**0.5 * z[:, :20] @ deviations).clamp(0, 1))  # z is uniform in [-1, 1]


@pytest.mark.parametrize(
    ("make", "fails"),
    [
        (untrained, {"various", "valid"}), (collapsed, {"various", "new"}), (noise, {"valid"}),
        (memorising, {"steady", "new"}), (principal, set()),
    ],
    ids=lambda value: value.__name__ if callable(value) else None,
)  # fmt: skip
def test_a_bad_generator_is_told_by_its_own_fault(
    pictures: Run, digits_classifier: Classifier, make: Any, fails: set[str]
) -> None:
    evaluation = Evaluation(pictures, None)
    evaluation.__dict__["classifier"] = digits_classifier
    real = data.load("digits", split="all").tensor.flatten(1) / 255
    evaluation.__dict__["generator"] = Generator(make(pictures, real), pictures.preset)
    lines, copies = measures.interpolation(evaluation), measures.memorisation(evaluation)
    passed = {
        "steady": lines["largest_step"] < 0.2, "various": lines["span"] > 0.5, "valid": lines["validity"] < 1.5,
        "new": copies["ratio"] > 0.5,
    }  # fmt: skip
    assert {name for name, met in passed.items() if not met} == fails
