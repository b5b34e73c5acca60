"""What callers hand in and get back."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

import kmgan_lib
from kmgan_lib import data, methods, presets
from kmgan_lib.errors import UsageError
from kmgan_lib.generator import Generator
from kmgan_lib.methods import KMGAN
from kmgan_lib.training.loop import Batches
from kmgan_lib.training.run import Run, pick_device

from .conftest import Quick


@pytest.fixture(scope="module")
def reference(quick: Quick, tmp_path_factory: pytest.TempPathFactory) -> Run:
    return quick(tmp_path_factory.mktemp("reference") / "run", "digits/kmgan", iterations=3)


@pytest.fixture(scope="module")
def generator(reference: Run) -> Generator:
    return reference.generator


def test_samples_are_ordinary_tensors(generator: Generator) -> None:
    for images in (generator.sample(2), generator.interpolate(0, 1, 2)):
        assert not images.is_inference()
        assert not images.requires_grad
        images.mul_(0.5)  # in place
        layer = torch.nn.Linear(28, 1)
        layer(images).sum().backward()  # in a caller's training
        assert layer.weight.grad is not None


def test_noise_and_labels_of_another_shape_are_one_line() -> None:
    preset = presets.resolve("digits/dcgan", "smoke", width=0.125)
    generator = Generator(methods.create(preset).frozen_generator(), preset)
    for noise in (torch.rand(3, 5), torch.rand(100), torch.rand(3, 1, 100)):
        with pytest.raises(UsageError, match=r"^noise "):
            generator.images(noise)
    assert torch.equal(generator.images(generator.noise(3), torch.arange(3)), generator.sample(3))
    for labels in ([0, 1], [0, 1, 10], [0, 1, -1], [[0], [1], [2]]):
        with pytest.raises(UsageError, match=r"^labels "):
            generator.images(generator.noise(3), torch.tensor(labels))
    assert generator.images(generator.noise(3)[:0]).shape == (0, 1, 28, 28)


def test_auto_takes_the_gpu_that_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert pick_device("auto").type == "cpu"
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    assert pick_device("auto").type == "mps"
    with pytest.raises(UsageError, match=r"device cuda:7 is not there \(this machine has auto, cpu,? .*mps\)"):
        pick_device("cuda:7")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert pick_device("auto").type == "cuda"


class _WithoutFloat64(TorchDispatchMode):
    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        for leaf in tree_leaves(result):
            if isinstance(leaf, torch.Tensor) and leaf.dtype == torch.float64:
                raise TypeError(f"{func}: this device has no float64")
        return result


@pytest.mark.parametrize("method", presets.METHODS)
def test_no_method_needs_float64(method: str) -> None:
    with pytest.raises(TypeError, match="no float64"), _WithoutFloat64():
        torch.ones(2).double()
    preset = presets.resolve(f"digits/{method}", "smoke", batch=8, width=0.125)
    images, device = data.load("digits", image_size=preset.image_size), torch.device("cpu")
    with _WithoutFloat64():
        trained = methods.create(preset, device=device, seed=0)
        trained.training_set = images.tensor
        trained.setup(images.tensor)
        batches = Batches(images, preset, device, 0)
        losses = trained.step(*batches.draw(trained.batches_per_step(0)))
        trained.update_average(1)
    assert all(bool(loss.isfinite()) for loss in losses.values())


def test_a_closed_gate_is_closed_on_apples_gpus_too(
    quick: Quick, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    method = quick(tmp_path / "run", "digits/kmgan", iterations=1, d_round=1e9).method
    assert isinstance(method, KMGAN)
    images, labels = torch.rand(4, 1, 28, 28), torch.zeros(4, dtype=torch.int64)
    stepped = []
    monkeypatch.setattr(method.center_adam, "step", lambda *_: stepped.append(1))
    monkeypatch.setattr(method, "device", SimpleNamespace(type="mps"))
    noise = torch.rand(4, method.preset.z_dim)
    for d_round, steps in ((1e9, 0), (-1.0, 1)):
        object.__setattr__(method.options, "d_round", d_round)
        losses = method._center_step(noise, labels, labels, images, images, None, None)
        assert (len(stepped), float(losses["center_step"])) == (steps, steps)


@pytest.mark.parametrize("count", [1, 2])
def test_the_advice_for_few_images_works(tmp_path: Path, count: int) -> None:
    for i in range(count):
        (tmp_path / "album").mkdir(exist_ok=True)
        Image.fromarray(np.full((16, 16, 3), i, np.uint8)).save(tmp_path / "album" / f"{i}.png")
    folder, sizes = f"folder:{tmp_path / 'album'}", {"image_size": 16, "width": 0.125, "iterations": 1, "k": 1}
    common: dict[str, Any] = {"profile": "smoke", "device": "cpu", "out": tmp_path / "run", "snapshots": 1, **sizes}
    with pytest.raises(UsageError) as caught:
        kmgan_lib.train(folder, **common)
    said = str(caught.value)
    if count == 1:
        assert "(1 image): a training needs at least two" in said
        assert "--set" not in said
    else:
        batch = int(said.rpartition("batch=")[2])
        assert kmgan_lib.train(folder, **common, batch=batch).result["status"] == "completed"
