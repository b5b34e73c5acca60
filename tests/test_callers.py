"""What callers hand in and get back."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

import kmgan_lib
from kmgan_lib import methods, presets
from kmgan_lib.errors import UsageError
from kmgan_lib.generator import Generator

from .conftest import random_batch, small_method


def test_a_generator_gives_ordinary_tensors_and_refuses_noise_and_labels_of_another_shape() -> None:
    preset = presets.resolve("digits/dcgan", "smoke", width=0.125)
    generator = Generator(methods.create(preset).frozen_generator(), preset)
    for images in (generator.sample(2), generator.interpolate(0, 1, 2)):
        images.mul_(0.5)  # ordinary tensors, which may be changed in place and trained with
        assert not images.is_inference()
        assert not images.requires_grad
    for noise in (torch.rand(3, 5), torch.rand(100), torch.rand(3, 1, 100)):
        with pytest.raises(UsageError, match=r"^noise "):
            generator.images(noise)
    assert torch.equal(generator.images(generator.noise(3), torch.arange(3)), generator.sample(3))
    for labels in ([0, 1], [0, 1, 10], [0, 1, -1], [[0], [1], [2]]):
        with pytest.raises(UsageError, match=r"^labels "):
            generator.images(generator.noise(3), torch.tensor(labels))
    assert generator.images(generator.noise(3)[:0]).shape == (0, 1, 28, 28)


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
    with _WithoutFloat64():
        trained = small_method(f"digits/{method}")
        losses = trained.step(*random_batch(trained))
        trained.update_average(1)
    assert all(bool(loss.isfinite()) for loss in losses.values())


def test_the_advice_for_few_images_works(tmp_path: Path) -> None:
    images = torch.zeros(2, 3, 16, 16, dtype=torch.uint8)
    settings: dict[str, Any] = {"profile": "smoke", "device": "cpu", "width": 0.125, "k": 1, "iterations": 1}
    with pytest.raises(UsageError, match=r"1 image\): a training needs at least two$"):
        kmgan_lib.train(images=images[:1], out=tmp_path / "run", **settings)
    with pytest.raises(UsageError, match="batch=") as caught:
        kmgan_lib.train(images=images, out=tmp_path / "run", **settings)
    batch = int(str(caught.value).rpartition("batch=")[2])
    run = kmgan_lib.train(images=images, out=tmp_path / "run", **settings, batch=batch)
    assert run.result["status"] == "completed"
