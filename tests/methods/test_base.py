"""What all methods have from their base; and a tenth one takes one file, the worked example of the book."""

import importlib
import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from kmgan_lib import load_generator, methods, presets
from kmgan_lib.errors import UsageError
from kmgan_lib.methods.base import draw_noise

from ..conftest import Command, Quick, same_weights


def make(name: str, seed: int = 0, **changes: Any) -> methods.Method:
    return methods.create(presets.resolve(name, "smoke", width=0.125, batch=8, **changes), seed=seed)


@pytest.mark.parametrize("name", ["synthetic/kmgan", "digits/dcgan"])
def test_the_seed_alone_fixes_the_initial_weights_and_randomness_outside_is_left_alone(name: str) -> None:
    torch.manual_seed(1)
    one = make(name, 3)
    torch.manual_seed(2)
    before = torch.get_rng_state()
    two, other = make(name, 3), make(name, 4)
    two.eval_generator()
    shape = (20, 100) if name.startswith("synthetic") else (20, 1, 28, 28)
    images = torch.rand(shape, generator=torch.Generator())
    two.features(images, torch.zeros(20, dtype=torch.int64) if two.classes else None)
    assert torch.equal(torch.get_rng_state(), before)
    assert same_weights(one, two)
    for net, different in zip(one.children(), other.children(), strict=True):
        assert not same_weights(net, different) or not list(net.parameters())


@pytest.mark.parametrize("count", [8, 9, 16, 17, 5])
def test_batches_cover_the_data_once_and_never_hold_a_single_image(count: int) -> None:
    method = make("digits/kmgan")
    images = torch.arange(count, dtype=torch.uint8)[:, None, None, None].expand(-1, 1, 28, 28)
    parts = list(method.batches(images))
    assert min(len(part) for part in parts) >= 2
    assert (torch.cat(parts)[:, 0, 0, 0] * 255).round().tolist() == list(range(count))


@pytest.mark.parametrize("name", [*(f"digits/{name}" for name in sorted(presets.METHODS)), "synthetic/kmgan"])
def test_features_do_not_depend_on_the_order_of_the_rows(name: str) -> None:
    """Data sets are sorted by class, and batch statistics of one class alone lack the variance between classes.

    Asking for features leaves D as it was.
    """
    method = make(name, **({"k": 3} if "kmgan" in name or "reduced" in name else {}))
    shape = (100,) if name.startswith("synthetic") else (1, 28, 28)
    generator = torch.Generator().manual_seed(0)
    classes = torch.rand(3, *shape, generator=generator)
    points = (classes.repeat_interleave(700, 0) + torch.rand(2100, *shape, generator=generator)) / 2
    images = points if name.startswith("synthetic") else (points * 255).byte()
    labels = torch.arange(3).repeat_interleave(700) if method.classes else None
    order = torch.randperm(len(images), generator=generator)
    state = {k: v.clone() for k, v in method.discriminator_net.state_dict().items()}
    mixed = method.features(images[order], None if labels is None else labels[order])
    torch.testing.assert_close(method.features(images, labels)[order], mixed, rtol=1e-4, atol=1e-5)
    assert mixed.shape == (2100, method.discriminator_net.feature_dim)
    assert not mixed.requires_grad
    assert all(torch.equal(v, state[k]) for k, v in method.discriminator_net.state_dict().items())


@pytest.mark.parametrize("name", ["digits/kmgan", "digits/wgan_gp", "digits/mix_wgan"])
def test_a_checkpoint_of_a_gpu_is_taken_over(name: str, caplog: pytest.LogCaptureFixture) -> None:
    """A CUDA generator's state has 16 bytes, a CPU's 5,056."""
    method, other = make(name), make(name, seed=1)
    state: dict[str, Any] = method.state_dict()
    state["_extra_state"]["rng"] = torch.arange(16, dtype=torch.uint8)
    for saved in state["_extra_state"]["optimisers"].values():
        for group in saved["param_groups"]:
            group["capturable"] = True
    other.load_state_dict(state)
    assert "another kind of device" in caplog.text
    groups = [group for optimiser in other.optimisers().values() for group in optimiser.param_groups]
    assert not any(group["capturable"] for group in groups), "of the checkpoint's device, not of this one"
    assert same_weights(method.generator_net, other.generator_net)


def test_the_frozen_generator_is_a_copy_that_is_the_same_every_time() -> None:
    method = make("digits/dcgan", conditional=True)
    one, two = method.eval_generator(), method.eval_generator()
    assert (one.training, method.generator_net.training) == (False, True)
    assert all(map(torch.equal, one.state_dict().values(), two.state_dict().values()))
    with torch.no_grad():
        next(one.parameters()).add_(1)
    assert not same_weights(one, method.generator_net)


@pytest.mark.parametrize("average", [0.0, 0.2, 0.9])
def test_samples_come_from_the_average_of_g_by_its_formula_or_from_the_last_weights(average: float) -> None:
    method, generator = make("synthetic/dcgan", average=average), torch.Generator().manual_seed(0)
    expected = [p.clone() for p in method.generator_net.parameters()]
    for n in range(1, 8):
        images = torch.rand(8, 100, generator=generator)
        method.step(images, None, draw_noise(method.preset, 8, generator))
        method.update_average(n)
        decay = min(average, n / (n + 10))
        last = list(method.generator_net.parameters())
        expected = [decay * a + (1 - decay) * b.detach() for a, b in zip(expected, last, strict=True)]
    assert (method.average_net is None) == (average == 0)
    for a, b in zip(method.eval_generator().parameters(), expected, strict=True):
        torch.testing.assert_close(a, b)
    assert same_weights(method.eval_generator(averaged=False), method.generator_net)


@pytest.mark.parametrize("distribution", ["uniform", "normal"])
def test_noise_is_fixed_by_its_generator(distribution: str) -> None:
    preset = presets.resolve("digits/kmgan", z_distribution=distribution, z_dim=7)
    one, two = (draw_noise(preset, 50, torch.Generator().manual_seed(3)) for _ in range(2))
    assert one.shape == (50, 7)
    assert torch.equal(one, two)
    assert one.min() < 0 < one.max()
    assert (one.abs().max() <= 1) == (distribution == "uniform")
    many = draw_noise(preset, 4000, torch.Generator().manual_seed(3))
    assert many.std().item() == pytest.approx(1 if distribution == "normal" else 3**-0.5, abs=0.02)


PAGE = Path(__file__).resolve().parents[2] / "book" / "new_method.md"


@pytest.fixture
def example(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """The page's file, imported as a reader would import it."""
    (code,) = re.findall(r"^```python\n(\"\"\".*?)^```", PAGE.read_text(encoding="utf8"), re.MULTILINE | re.DOTALL)
    (tmp_path / "lsgan.py").write_text(code, encoding="utf8")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    assert len(presets.PRESETS)  # the library's methods come first
    before = dict(presets.METHODS)
    yield importlib.import_module("lsgan")
    del sys.modules["lsgan"]
    for name in set(presets.METHODS) - set(before):
        del presets.METHODS[name]


def test_the_worked_example_trains_on_digits_and_resumes(example: Any, quick: Quick, tmp_path: Path) -> None:
    run = quick(tmp_path / "run", "digits/lsgan", iterations=10, decay=0.3)
    assert isinstance(run.method, example.LSGAN)
    assert run.preset.decay == 0.3
    run = quick(tmp_path / "run", "digits/lsgan", iterations=20, decay=0.3, resume=True)
    assert (run.result["status"], run.result["iterations"]) == ("completed", 20)
    assert run.history[-1]["loss_d"] < run.history[0]["loss_d"]
    assert load_generator(run.directory).sample(2).shape == (2, 1, 28, 28)


def test_the_worked_example_is_listed_and_its_option_is_checked_and_its_own(example: Any, kmgan: Command) -> None:
    assert "mnist/lsgan" in kmgan("list")[1]
    assert "decay" in kmgan("list", "mnist/lsgan")[1]
    assert presets.resolve("mnist/lsgan", decay="0.5").decay == 0.5
    with pytest.raises(UsageError, match=r"decay=.*must be less than 1"):
        presets.resolve("mnist/lsgan", decay=1.5)
    for name, key in (("mnist/kmgan", "decay"), ("mnist/lsgan", "k"), ("mnist/dcgan", "components")):
        with pytest.raises(UsageError, match=f"unknown key {key}"):
            presets.resolve(name, "quick", **{key: 1})


def test_what_an_unknown_method_wrote_says_so(example: Any) -> None:
    fields = presets.resolve("mnist/lsgan").as_dict()
    assert presets.from_dict(fields) == presets.resolve("mnist/lsgan")
    del presets.METHODS["lsgan"]
    with pytest.raises(UsageError, match="is not imported"):
        presets.from_dict(fields)


def test_a_folder_is_trained_by_any_method() -> None:
    preset = presets.resolve("folder:album", method="wgan", clip="0.1")
    assert (preset.method, preset.clip, preset.dataset) == ("wgan", 0.1, "folder:album")
    assert not presets.resolve("folder:album", method="dcgan").conditional
    with pytest.raises(UsageError, match=r"unknown method wgam; did you mean wgan\?"):
        presets.resolve("folder:album", method="wgam")
    with pytest.raises(UsageError, match="unknown key method"):
        presets.resolve("mnist/kmgan", method="wgan")


def test_step_sizes_are_those_that_the_tuning_chose() -> None:
    path = Path(__file__).resolve().parents[2] / "benchmarks" / "results" / "tuning.json"
    found = json.loads(path.read_text(encoding="utf8"))
    assert all(run["seed"] >= 100 for run in found["runs"])  # seeds that no verdict uses
    chosen = [(profile, *item) for profile, rates in found["chosen"].items() for item in rates.items()]
    for profile, name, rate in chosen:
        runs = [run for run in found["runs"] if (run["preset"], run["profile"], run["changes"]) == (name, profile, [])]
        assert {run["rate"] for run in runs} >= {1e-4, 2e-4, 5e-4, 1e-3}, name
        assert presets.PRESETS[name].learning_rate == rate, name
        assert {run["hash"] for run in runs if run["rate"] == rate} == {presets.PRESETS[name].hash}, name
        for other in ("mnist/", "fashion/"), ("cifar10-32/", "cifar10/"):
            assert presets.PRESETS[name.replace(*other)].learning_rate == rate
