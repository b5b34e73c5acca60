from pathlib import Path

import pytest
import torch
from torch import Tensor

from kmgan_lib.generator import Generator
from kmgan_lib.metrics import measures
from kmgan_lib.metrics.subject import Subject
from kmgan_lib.training.run import Run

from ..conftest import Quick


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
