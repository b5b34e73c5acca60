"""What holds for every registered method: it trains on grey and colour pictures, resumes exactly, can be loaded."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor
from torch.utils import _pytree

from kmgan_lib import load_generator, methods, presets, train
from kmgan_lib.errors import UsageError
from kmgan_lib.methods import Method
from kmgan_lib.methods.randomness import draw_noise
from kmgan_lib.training.checkpoint import load_checkpoint
from kmgan_lib.training.run import Run

Quick = Callable[..., Run]
TABLE_4 = [
    "kmgan", "reduced", "dcgan", "wgan", "wgan_gp", "mix_wgan", "improved_gan", "ali", "mbgan", "mlgan", "sngan",
    "kmgan_plus",
]  # fmt: skip
SMALL: dict[str, Any] = {
    "batch": 8, "iterations": 5, "checkpoint_every": 2, "snapshots": 1, "width": 0.125, "feature_dim": 12, "k": 3,
    "init_images": 24, "components": 2, "burst": 2, "critic_updates": 2, "kernels": 4, "z_dim": 10,
    "cluster_images": 24, "recluster_every": 2,
}  # fmt: skip


@pytest.fixture(scope="module")
def album(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twenty-four coloured pictures of 32x32 pixels."""
    folder, random = tmp_path_factory.mktemp("album"), np.random.default_rng(0)
    for i in range(24):
        picture = np.tile(random.integers(0, 256, 3), (32, 32, 1))
        picture[8 + i % 8 : 24, 8:24] = random.integers(0, 256, 3)
        Image.fromarray(picture.astype(np.uint8)).save(folder / f"{i:02d}.png")
    return folder


def small(preset: str, **changes: Any) -> dict[str, Any]:
    """The small settings that this preset has."""
    known = presets.resolve(preset, **{k: v for k, v in changes.items() if k == "method"}).fields()
    return {**{k: v for k, v in SMALL.items() if k in known}, **changes}


class Stopped(Exception):
    """What a run dies of here."""


def same(a: Any, b: Any) -> bool:
    """Bit for bit, wall-clock seconds aside."""
    (flat_a, tree_a), (flat_b, tree_b) = (_pytree.tree_flatten({**t, "seconds": 0}) for t in (a, b))
    return tree_a == tree_b and all(
        torch.equal(x, y) if isinstance(x, Tensor) else x == y for x, y in zip(flat_a, flat_b, strict=True)
    )


def test_every_row_of_table_4_is_there() -> None:
    assert set(TABLE_4) == {kind.name for kind in presets.METHODS.values()}
    table_4 = ["mbgan", "mlgan-clip", "dcgan", "mix_wgan", "improved_gan", "ali", "wgan", "kmgan"]
    assert {f"cifar10/{row}" for row in table_4} <= set(presets.PRESETS)
    shared = [n for n in presets.PRESETS if n.split("/")[1] in TABLE_4 and not n.startswith("synthetic")]
    groups = ("digits", "mnist", "fashion", "cifar10", "cifar10-32", "celeba")
    assert set(shared) == {f"{group}/{name}" for group in groups for name in TABLE_4}


VARIANTS: list[tuple[str, dict[str, Any]]] = [
    *((name, {}) for name in TABLE_4),
    ("kmgan", {"grouping": "random"}),
    ("reduced", {"repulsion": True, "fake_targets": "real"}),
    ("mlgan", {"clip": 0.01}),
    ("kmgan_plus", {"embedding": "centers", "loss": "hinge", "norm": "spectral", "center_loss": 0.1}),
    ("kmgan_plus", {"grouping": "partition"}), ("kmgan_plus", {"grouping": "none"}),
]  # fmt: skip


@pytest.mark.parametrize(("name", "changes"), VARIANTS, ids=str)
def test_it_trains_and_resumes_exactly_and_its_generator_loads(
    quick: Quick, tmp_path: Path, name: str, changes: dict[str, Any]
) -> None:
    preset = f"digits/{name}"
    settings = small(preset, **changes)

    def stop(iteration: int, method: Method) -> None:
        if iteration == 3:
            raise Stopped

    whole = quick(tmp_path / "whole", preset, **settings)
    assert whole.result["status"] == "completed"
    with pytest.raises(Stopped):
        quick(tmp_path / "parts", preset, **{**settings, "snapshots": 5}, callback=stop)
    assert load_checkpoint(tmp_path / "parts", "cpu")["iteration"] == 2
    quick(tmp_path / "parts", preset, resume=True, **settings)
    assert same(*(load_checkpoint(tmp_path / part, "cpu") for part in ("whole", "parts")))
    assert torch.equal(*(load_generator(tmp_path / part).sample(4) for part in ("whole", "parts")))


@pytest.mark.parametrize("name", TABLE_4)
def test_it_trains_on_a_folder_of_colour_pictures(quick: Quick, album: Path, tmp_path: Path, name: str) -> None:
    run = quick(tmp_path / "run", f"folder:{album}", **small(f"folder:{album}", method=name, iterations=2))
    samples, size = load_generator(tmp_path / "run").sample(4), run.preset.image_size
    assert samples.shape == (4, 3, size, size)
    assert torch.isfinite(samples).all()
    assert 0 <= samples.min() < samples.max() <= 1


@pytest.mark.long
@pytest.mark.parametrize("group", ["digits", "cifar10-32"])
@pytest.mark.parametrize("name", TABLE_4)
def test_two_hundred_iterations_are_finite_and_resume_exactly(tmp_path: Path, name: str, group: str) -> None:
    """At the size of the profile smoke, on real digits and on the drawn shapes that stand in for CIFAR-10."""

    def stop(iteration: int, method: Method) -> None:
        if iteration >= 160:
            raise Stopped

    settings: dict[str, Any] = {"profile": "smoke", "device": "cpu", "iterations": 200, "checkpoint_every": 100}
    if name == "mix_wgan":  # two generators and two discriminators; every iteration updates them all
        settings |= {"components": 2}
    whole = train(f"{group}/{name}", out=tmp_path / "whole", snapshots=1, **settings)
    assert whole.result["status"] == "completed"
    assert all(np.isfinite(value) for row in whole.history for value in row.values())
    with pytest.raises(Stopped):
        train(f"{group}/{name}", out=tmp_path / "parts", snapshots=5, callback=stop, **settings)
    train(f"{group}/{name}", out=tmp_path / "parts", resume=True, snapshots=1, **settings)
    assert same(*(load_checkpoint(tmp_path / part, "cpu") for part in ("whole", "parts")))


NETWORKS = [f"{g}/{m}" for g in ("cifar10", "cifar10-32", "celeba") for m in ("kmgan", "dcgan", "ali", "mix_wgan")]


@pytest.mark.parametrize("name", [*NETWORKS, "cifar10/dcgan-conditional", "celeba/generalized", "celeba/reduced"])
def test_one_step_on_the_networks_of_tables_3_and_5(name: str) -> None:
    settings = {**small(name, batch=4, width=0.01), "iterations": 1}
    method = methods.create(presets.resolve(name, "smoke", **settings))
    p, count = method.preset, method.batches_per_step(0)
    shape = (p.channels, p.image_size, p.image_size)
    method.setup(torch.randint(256, (24, *shape)).byte())
    noise = draw_noise(p, 4 * count, torch.Generator().manual_seed(0))
    losses = method.step(torch.rand(4 * count, *shape), torch.randint(10, (4 * count,)), noise)
    assert all(torch.isfinite(v) and v.shape == () and not v.requires_grad for v in losses.values())
    assert method.features(torch.randint(256, (5, *shape)).byte(), torch.arange(5)).ndim == 2


@pytest.mark.parametrize("name", [name for name in TABLE_4 if name != "dcgan"])
def test_no_unconditional_method_looks_at_labels(name: str) -> None:
    """Labels that no network could use change nothing."""
    with pytest.raises(UsageError, match="needs method dcgan"):
        presets.resolve(f"digits/{name}", conditional=True)
    results = []
    for label in (0, -(10**9)):
        method = methods.create(presets.resolve(f"digits/{name}", "smoke", **small(f"digits/{name}")), seed=1)
        method.setup(torch.arange(24 * 784).remainder(251).view(24, 1, 28, 28).byte())
        count, generator = 8 * method.batches_per_step(0), torch.Generator().manual_seed(0)
        images = torch.rand(count, 1, 28, 28, generator=generator)
        results.append(method.step(images, torch.full((count,), label), draw_noise(method.preset, count, generator)))
    assert results[0] == results[1]


def test_a_step_takes_the_batches_that_its_method_asks_for(
    quick: Quick, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kind: Any = methods.method(presets.PRESETS["digits/wgan"].method)
    taken, step = [], kind.step

    def watched(self: Any, images: Tensor, labels: Tensor, noise: Tensor) -> Any:
        assert len(images) == len(labels) == len(noise)
        taken.append(len(images))
        return step(self, images, labels, noise)

    monkeypatch.setattr(kind, "step", watched)
    settings = small("digits/wgan", iterations=27, burst=3, batch=4, checkpoint_every=27)
    run = quick(tmp_path / "run", "digits/wgan", **settings)
    assert taken == [12] * 25 + [8] * 2
    images = run.result["images_per_second"] * run.result["wall_seconds"]
    assert images == pytest.approx(sum(taken), rel=0.1)


def test_wgan_updates_its_critic_as_often_as_its_code() -> None:
    method = methods.create(presets.resolve("digits/wgan", "smoke", width=0.01))
    counts = [method.batches_per_step(i) for i in range(1001)]
    assert counts == [100 if i < 25 or i % 500 == 0 else 5 for i in range(1001)]


def test_every_method_updates_g_as_often_as_the_others_but_in_the_profile_that_only_tries_paths() -> None:
    lengths = {p: [presets.resolve(f"mnist/{m}", p).iterations for m in TABLE_4] for p in presets.PROFILES}
    assert set(lengths["quick"]) == {10_000}
    assert set(lengths["long"]) == set(lengths["paper"]) == {27_325}
    assert min(lengths["smoke"]) >= 1
