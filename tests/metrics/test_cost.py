from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

from kmgan_lib.generator import Generator
from kmgan_lib.metrics import measures
from kmgan_lib.metrics.subject import Subject
from kmgan_lib.training.run import Run

Quick = Callable[..., Run]


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The widths that are looked at, in turn; a look at one takes as many seconds as it has columns."""
    seen: list[int] = []
    now = 0.0

    def tick() -> float:
        return now

    def assign(features: Tensor, centers: Tensor) -> Tensor:
        nonlocal now
        now += features.shape[1] / 2  # real and generated rows
        seen.append(features.shape[1])
        return torch.cdist(features, centers).argmin(1)

    monkeypatch.setattr(measures, "assign", assign)
    monkeypatch.setattr(measures.time, "perf_counter", tick)
    return seen


def rows(width: int) -> Tensor:
    return torch.rand(6, width, generator=torch.Generator().manual_seed(width))


def test_spaces_take_turns_and_the_first_turn_does_not_count(steps: list[int]) -> None:
    assert measures.kmeans_seconds([rows(2), rows(10)], k=3, repeats=4) == [2, 10]
    assert steps == [2, 2, 10, 10] * 5


@pytest.mark.usefixtures("steps")
def test_more_centers_than_rows_and_batches_that_stay_as_they_were() -> None:
    batch = rows(4)
    before = batch.clone()
    assert measures.kmeans_seconds([batch], k=9, repeats=1) == [4]
    assert torch.equal(batch, before)


def test_the_real_clock_gives_positive_times() -> None:
    few, many = measures.kmeans_seconds([rows(2), torch.rand(64, 50_000)], k=10, repeats=5)
    assert 0 < few < many


def test_the_cost_of_a_run_is_on_its_own_features_and_leaves_the_method_alone(pictures: Run) -> None:
    assert pictures.method is not None
    before = {name: value.clone() for name, value in pictures.method.discriminator_net.state_dict().items()}
    result = measures.kmeans_cost(Subject(pictures, None))
    assert result["ratio"] == result["value"] > 0
    assert (result["k"], result["batch"], result["pixels"]) == (10, 16, 784)
    assert result["extractor"] == {"name": "cpu"}
    after = pictures.method.discriminator_net.state_dict()
    assert all(torch.equal(value, after[name]) for name, value in before.items())


def test_a_conditional_generator_interpolates_within_a_class(
    quick: Quick, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(measures, "LINES", 12)
    asked: list[Tensor] = []
    images = Generator.images

    def spy(generator: Generator, noise: Tensor, labels: Tensor | None = None) -> Tensor:
        assert labels is not None
        asked.append(labels)
        return images(generator, noise, labels)

    run = quick(tmp_path / "run", "digits/dcgan", iterations=1, snapshots=1)
    monkeypatch.setattr(Generator, "images", spy)
    result = measures.interpolation(Subject(run, None))
    assert result["samples"] == 12
    assert len(asked) == measures.STEPS + 2  # and the middle
    assert all(labels.tolist() == [*range(10), 0, 1] for labels in asked)
