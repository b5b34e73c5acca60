"""What holds for every registered method: it trains on grey and colour pictures, resumes exactly, can be loaded."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from kmgan_lib import load_generator, methods, presets, train
from kmgan_lib.training.run import load_checkpoint

from ..conftest import Quick, Stopped, random_batch, small, small_method, stop_at
from ..test_own_images import album
from ..training.test_trainer import assert_same_run

METHODS = sorted(presets.METHODS)
SHORT: dict[str, Any] = {"iterations": 6, "checkpoint_every": 2, "snapshots": 1}
GROUPS = ("digits", "mnist", "fashion", "cifar10", "cifar10-32", "celeba")


@pytest.fixture(scope="module")
def pictures_in_colour(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return album(tmp_path_factory.mktemp("album"), 24)


VARIANTS: list[tuple[str, dict[str, Any]]] = [
    *((f"digits/{name}", {}) for name in METHODS), ("synthetic/dcgan", {}),
    ("digits/kmgan", {"grouping": "random"}), ("digits/reduced", {"repulsion": True, "fake_targets": "real"}),
    ("digits/mlgan", {"clip": 0.01}),
    ("digits/kmgan_plus", {"embedding": "centers", "loss": "hinge", "norm": "spectral", "center_loss": 0.1}),
    ("digits/kmgan_plus", {"grouping": "partition"}), ("digits/kmgan_plus", {"grouping": "none"}),
    ("synthetic/kmgan", {"center_update": "counts", "fresh": True, "fake_labels": "own"}),
    ("synthetic/kmgan", {"center_update": "recluster"}),
    ("synthetic/kmgan", {"center_gate": "start_step", "d_round": 3, "clip": 0.1}),
]  # fmt: skip


@pytest.mark.parametrize(("preset", "changes"), VARIANTS, ids=str)
def test_it_trains_and_resumes_exactly_and_its_generator_loads(
    quick: Quick, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, preset: str, changes: dict[str, Any]
) -> None:
    # three iterations a row: the checkpoint falls into one
    monkeypatch.setattr("kmgan_lib.training.loop.HISTORY_ROWS", 2)
    settings = small(preset, **SHORT, **changes)
    quick(tmp_path / "whole", preset, **settings)
    with pytest.raises(Stopped):
        quick(tmp_path / "parts", preset, **{**settings, "snapshots": 6}, callback=stop_at(3))
    assert load_checkpoint(tmp_path / "parts", "cpu")["iteration"] == 2
    quick(tmp_path / "parts", preset, resume=True, **settings)
    assert_same_run(tmp_path / "whole", tmp_path / "parts")
    assert torch.equal(*(load_generator(tmp_path / part).sample(4) for part in ("whole", "parts")))


@pytest.mark.parametrize("name", METHODS)
def test_it_trains_on_colour_pictures(quick: Quick, pictures_in_colour: Path, tmp_path: Path, name: str) -> None:
    preset = f"folder:{pictures_in_colour}"
    run = quick(tmp_path / "run", preset, **small(preset, method=name, iterations=2, snapshots=1))
    samples, size = load_generator(tmp_path / "run").sample(4), run.preset.image_size
    assert samples.shape == (4, 3, size, size)
    assert torch.isfinite(samples).all()
    assert 0 <= samples.min() < samples.max() <= 1


@pytest.mark.long
@pytest.mark.parametrize("group", ["digits", "cifar10-32"])
@pytest.mark.parametrize("name", METHODS)
def test_two_hundred_iterations_at_the_size_of_smoke_are_finite(tmp_path: Path, name: str, group: str) -> None:
    settings: dict[str, Any] = {"profile": "smoke", "device": "cpu", "iterations": 200, "snapshots": 1}
    if name == "mix_wgan":  # two generators and two discriminators; every iteration updates them all
        settings["components"] = 2
    run = train(f"{group}/{name}", out=tmp_path / "run", **settings)
    assert all(np.isfinite(value) for row in run.history for value in row.values())


@pytest.mark.parametrize("name", [*(name for name in METHODS if name != "dcgan"), "dcgan-unconditional"])
def test_no_unconditional_method_looks_at_labels(name: str) -> None:
    """Labels that no network could use change nothing."""
    results = []
    for label in (0, -(10**9)):
        method = small_method(f"digits/{name}")
        images, labels, noise = random_batch(method)
        results.append(method.step(images, torch.full_like(labels, label), noise))
    assert results[0] == results[1]


def test_a_step_takes_the_batches_asked_for(quick: Quick, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kind: Any = methods.method(presets.PRESETS["digits/wgan"].method)
    taken, step = [], kind.step

    def watched(self: Any, images: Tensor, labels: Tensor, noise: Tensor) -> Any:
        assert len(images) == len(labels) == len(noise)
        taken.append(len(images))
        return step(self, images, labels, noise)

    monkeypatch.setattr(kind, "step", watched)
    settings = small("digits/wgan", iterations=27, burst=3, batch=4, checkpoint_every=27, snapshots=1)
    run = quick(tmp_path / "run", "digits/wgan", **settings)
    assert taken == [12] * 25 + [8] * 2
    images = run.result["images_per_second"] * run.result["wall_seconds"]
    assert images == pytest.approx(sum(taken), rel=0.1)
    # as often as WGAN's own code updates its critic
    method = methods.create(presets.resolve("digits/wgan", "smoke", width=0.01))
    counts = [method.batches_per_step(i) for i in range(1001)]
    assert counts == [100 if i < 25 or i % 500 == 0 else 5 for i in range(1001)]


def test_every_method_is_in_every_group_and_updates_g_as_often_as_the_others() -> None:
    for group in GROUPS:
        assert {f"{group}/{name}" for name in METHODS} <= set(presets.PRESETS)
    for profile in ("quick", "long", "paper"):
        assert len({presets.resolve(f"mnist/{name}", profile).iterations for name in METHODS}) == 1
