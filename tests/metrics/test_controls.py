"""Generators that must not pass for good ones, and real images, which must: what the measures of Section 4.5 tell."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from kmgan_lib import data, methods
from kmgan_lib.generator import Generator
from kmgan_lib.metrics import Judge, line_scores, measures, memorisation_scores
from kmgan_lib.metrics.evaluation import Subject
from kmgan_lib.training.run import Run


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
    return methods.create(run.preset, device=torch.device("cpu"), seed=1).frozen_generator()


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


@pytest.fixture
def passed(pictures: Run, digits_judge: Judge) -> Callable[..., dict[str, bool]]:
    """Return a function that says which of the four conditions a generator meets."""
    real = data.load("digits", split="all").tensor.flatten(1) / 255

    def conditions(make: Callable[[Run, Tensor], nn.Module]) -> dict[str, bool]:
        subject = Subject(pictures, None)
        subject.__dict__["judge"] = digits_judge
        subject.__dict__["generator"] = Generator(make(pictures, real), pictures.preset)
        lines, copies = measures.interpolation(subject), measures.memorisation(subject)
        return {
            "steady": lines["largest_step"] < 0.2, "various": lines["span"] > 0.5, "valid": lines["validity"] < 1.5,
            "new": copies["ratio"] > 0.5,
        }  # fmt: skip

    return conditions


@pytest.mark.parametrize(
    ("make", "fails"),
    [
        (untrained, {"various", "valid"}), (collapsed, {"various", "new"}), (noise, {"valid"}),
        (memorising, {"steady", "new"}), (principal, set()),
    ],
    ids=lambda value: value.__name__ if callable(value) else None,
)  # fmt: skip
def test_each_bad_generator_is_told_by_its_own_fault(
    passed: Callable[..., dict[str, bool]], make: Callable[[Run, Tensor], nn.Module], fails: set[str]
) -> None:
    assert {name for name, met in passed(make).items() if not met} == fails


def test_real_images_pass_what_does_not_need_an_interpolation() -> None:
    mixed = data.load("digits", split="all").tensor[torch.randperm(1797, generator=torch.Generator().manual_seed(0))]
    real, held_out, start, middle, end = mixed[:1000], mixed[1000:1200], *mixed[1200:1797].chunk(3)
    scores = line_scores(start, middle, end, real, held_out)
    assert scores["span"] == pytest.approx(1, abs=0.1)
    assert scores["validity"] == pytest.approx(1, abs=0.1)
    assert memorisation_scores(middle, real, held_out, real)["ratio"] == pytest.approx(1, abs=0.1)
