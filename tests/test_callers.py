"""What a caller's process has set does not disturb the library, and the library leaves it as it was."""

import contextlib
import json
from collections.abc import Callable, Iterator
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
from kmgan_lib import centers, data, methods, metrics, presets
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


def weights(run: Run) -> list[torch.Tensor]:
    assert run.method is not None
    return [p.detach() for net in run.method.networks().values() for p in net.parameters()]


@contextlib.contextmanager
def setting(change: Callable[[Any], object], value: Any, before: Any) -> Iterator[None]:
    change(value)
    try:
        yield
    finally:
        change(before)


SETTINGS: dict[str, Callable[[], contextlib.AbstractContextManager[Any]]] = {
    "float64": lambda: setting(torch.set_default_dtype, torch.float64, torch.float32),
    "gradients off": lambda: setting(torch.set_grad_enabled, False, True),
    "inference mode": torch.inference_mode,
    "meta": lambda: setting(torch.set_default_device, "meta", None),
}


@pytest.mark.parametrize("name", SETTINGS)
def test_a_training_is_the_same_whatever_the_caller_has_set(
    quick: Quick, reference: Run, tmp_path: Path, name: str
) -> None:
    def state() -> tuple[Any, ...]:
        modes = torch.is_grad_enabled(), torch.is_inference_mode_enabled()
        return torch.get_default_dtype(), torch.get_default_device(), torch.get_rng_state().sum().item(), *modes

    before = state()
    with SETTINGS[name]():
        inside = state()
        run = quick(tmp_path / "run", "digits/kmgan", iterations=3)
        loaded = kmgan_lib.load_generator(run.directory)
        drawn, line = loaded.sample(2), loaded.interpolate(0, 1, 3)
        with pytest.raises(UsageError, match="unknown preset"):
            kmgan_lib.train("nothing", out=tmp_path / "other")
        assert state() == inside
    assert state() == before
    assert all(torch.equal(a, b) for a, b in zip(weights(run), weights(reference), strict=True))
    expected = kmgan_lib.load_generator(reference.directory)
    assert torch.equal(drawn, expected.sample(2))
    assert torch.equal(line, expected.interpolate(0, 1, 3))


def test_whole_numbers_of_every_library_are_numbers(quick: Quick, generator: Generator, tmp_path: Path) -> None:
    three: Any
    for place, three in enumerate((np.int64(3), np.array(3), torch.tensor(3))):
        run = quick(tmp_path / str(place), seed=three, iterations=three)
        assert json.loads((run.directory / "config.json").read_text())["seed"] == run.result["iterations"] == 3
        assert torch.equal(generator.sample(three, seed=three), generator.sample(3, seed=3))
        assert data.load("digits", image_size=three).tensor.shape[-1] == 3
        features = torch.rand(20, 4, generator=torch.Generator().manual_seed(0))
        assert isinstance(metrics.coverage_scores(features, features, three)["density"], float)


CALLS: dict[str, Callable[[Generator, Any], object]] = {
    "seed": lambda _, x: kmgan_lib.train("synthetic/kmgan", profile="smoke", seed=x, out="run"),
    "n": lambda g, x: g.sample(x), "seed of a sample": lambda g, x: g.sample(2, seed=x),
    "seed of the first end": lambda g, x: g.interpolate(x, 1, 3),
    "seed of the second end": lambda g, x: g.interpolate(0, x, 3), "steps": lambda g, x: g.interpolate(0, 1, x),
    "image_size": lambda _, x: data.load("digits", image_size=x),
    "subsets": lambda _, x: metrics.kernel_distance(torch.rand(9, 2), torch.rand(9, 2), x, 3),
    "subset_size": lambda _, x: metrics.kernel_distance(torch.rand(9, 2), torch.rand(9, 2), 2, x),
    "seed of subsets": lambda _, x: metrics.kernel_distance(torch.rand(9, 2), torch.rand(9, 2), 2, 3, x),
    "splits": lambda _, x: metrics.inception_score(torch.rand(9, 2), x),
    "k": lambda _, x: metrics.coverage_scores(torch.rand(9, 2), torch.rand(9, 2), x),
    "classes": lambda _, x: metrics.class_frequency(torch.zeros(3, dtype=torch.int64), x),
    "k of centers": lambda _, x: centers.kmeans_plus_plus(torch.rand(9, 2), x, torch.Generator()),
}  # fmt: skip


@pytest.mark.parametrize("call", CALLS)
def test_everything_else_is_one_line_that_names_the_argument(
    generator: Generator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    monkeypatch.chdir(tmp_path)
    for wrong in ("3", 3.0, np.float64(3), True, np.bool_(True), [3], None):
        if wrong is None and call == "image_size":  # the images' own size
            continue
        with pytest.raises(UsageError, match=rf"^{call.split()[0]}=.* must be a whole number$"):
            CALLS[call](generator, wrong)
    assert list(tmp_path.iterdir()) == []


def test_samples_are_ordinary_tensors(generator: Generator) -> None:
    for images in (generator.sample(2), generator.interpolate(0, 1, 2)):
        assert not images.is_inference()
        assert not images.requires_grad
        images.mul_(0.5)  # in place
        layer = torch.nn.Linear(28, 1)
        layer(images).sum().backward()  # in a caller's training
        assert layer.weight.grad is not None


def test_noise_may_be_of_any_kind_of_numbers(generator: Generator) -> None:
    noise = generator.noise(3)
    expected = generator.images(noise)
    for same in (noise.numpy(), noise.double(), noise.double().numpy(), noise.tolist(), noise.numpy()[::-1][::-1]):
        assert torch.equal(generator.images(same), expected)
    assert generator.images(np.zeros((2, 100), np.int64)).dtype == torch.float32
    assert generator.images(noise[:0]).shape == (0, 1, 28, 28)


def test_noise_and_labels_of_another_shape_or_kind_are_one_line() -> None:
    preset = presets.resolve("digits/dcgan", "smoke", width=0.125)
    generator = Generator(methods.create(preset).frozen_generator(), preset)
    for noise in (
        torch.rand(3, 5), torch.rand(100), torch.rand(3, 1, 100), np.zeros((3, 101)), "noise", [[1], [1, 2]], None,
        torch.zeros(3, 100, dtype=torch.complex64),
    ):  # fmt: skip
        with pytest.raises(UsageError, match=r"^noise "):
            generator.images(noise)  # pyright: ignore[reportArgumentType]
    assert torch.equal(generator.images(generator.noise(3), np.arange(3)), generator.sample(3))
    for labels in ([0, 1], [0, 1, 10], [0, 1, -1], [0.0, 1.0, 2.0], [[0], [1], [2]], "012"):
        with pytest.raises(UsageError, match=r"^labels "):
            generator.images(generator.noise(3), labels)  # pyright: ignore[reportArgumentType]


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


def test_a_call_that_failed_at_its_start_leaves_room_for_the_next(quick: Quick, tmp_path: Path) -> None:
    def fail(*_: object) -> None:
        raise ArithmeticError("a callback of the user's")

    with pytest.raises(ArithmeticError):
        quick(tmp_path / "run", callback=fail)
    assert (tmp_path / "run" / "config.json").exists()
    assert quick(tmp_path / "run", iterations=2).result["iterations"] == 2
    with pytest.raises(UsageError, match="is not empty"):
        quick(tmp_path / "run", iterations=2)


def test_a_file_of_another_program_is_not_overwritten(quick: Quick, tmp_path: Path) -> None:
    for content in ("{}", "mine", '{"preset": 1}'):
        (tmp_path / "config.json").write_text(content, encoding="utf8")
        with pytest.raises(UsageError, match="is not empty"):
            quick(tmp_path, iterations=2)
        assert (tmp_path / "config.json").read_text(encoding="utf8") == content
