from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch

from kmgan_book.explore import Moments, interpolation_frames, training_frames
from kmgan_book.explore.drawing import Projection
from kmgan_lib import data
from kmgan_lib.errors import UsageError
from kmgan_lib.training.run import Run

from ...conftest import Quick


def labels(html: str) -> list[str]:
    return re.findall(r'data-label="([^"]*)"', html)


def test_a_training_with_samples_features_and_losses(quick: Quick, tmp_path: Path) -> None:
    kept = Moments(data.load("digits"), most=100)
    run = quick(tmp_path / "run", "digits/kmgan", iterations=4, callback=kept)
    assert list(kept.features) == list(kept.centers) == [0, 2, 4]
    assert kept.features[4].shape == (100, 20)
    html = training_frames(run, kept).text
    assert labels(html) == ["iteration 2", "iteration 4"]
    assert "samples, features and losses" in html
    assert len(html) < 300_000


def test_a_training_of_points_has_no_samples(quick: Quick, tmp_path: Path) -> None:
    kept = Moments(data.load("synthetic"), most=100)
    run = quick(tmp_path / "run", callback=kept)
    assert labels(training_frames(run, kept).text) == ["iteration 0", "iteration 10", "iteration 20"]
    with pytest.raises(UsageError, match="no samples to move through"):
        training_frames(run)


def test_a_run_from_its_directory(pictures: Run) -> None:
    assert labels(training_frames(Run.open(pictures.directory)).text) == ["iteration 20", "iteration 40"]


def test_an_interpolation(pictures: Run) -> None:
    html = interpolation_frames(pictures.generator, pictures.label, steps=3).text
    assert labels(html) == ["β = 1.00", "β = 0.50", "β = 0.00"]


def test_the_plane_keeps_the_largest_distances() -> None:
    points = torch.randn(50, 2, generator=torch.Generator().manual_seed(0))
    wide = torch.cat([torch.zeros(50, 3), points], dim=1)
    assert torch.allclose(torch.pdist(Projection(wide)(wide)), torch.pdist(points), atol=1e-5)
    assert Projection(points)(points) is points
