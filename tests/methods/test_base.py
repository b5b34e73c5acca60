from __future__ import annotations

from typing import Any

import pytest
import torch

from kmgan_lib import methods, presets
from kmgan_lib.methods.base import frozen
from kmgan_lib.methods.randomness import draw_noise, set_rng


def make(name: str, seed: int = 0, **changes: Any) -> methods.Method:
    return methods.create(presets.resolve(name, "smoke", width=0.125, batch=8, **changes), seed=seed)


@pytest.mark.parametrize("name", ["synthetic/kmgan", "digits/dcgan"])
def test_the_seed_alone_fixes_the_initial_weights_and_randomness_outside_is_left_alone(name: str) -> None:
    torch.manual_seed(1)
    one = make(name, 3)
    torch.manual_seed(2)
    before = torch.get_rng_state()
    two, other = make(name, 3), make(name, 4)
    two.frozen_generator()
    shape = (20, 100) if name.startswith("synthetic") else (20, 1, 28, 28)
    images = torch.rand(shape, generator=torch.Generator())
    two.features(images, torch.zeros(20, dtype=torch.int64) if two.classes else None)
    assert torch.equal(torch.get_rng_state(), before)
    for key, net in one.networks().items():
        first = torch.cat([p.flatten() for p in net.parameters()])
        assert torch.equal(first, torch.cat([p.flatten() for p in two.networks()[key].parameters()]))
        assert not torch.equal(first, torch.cat([p.flatten() for p in other.networks()[key].parameters()]))


@pytest.mark.parametrize("count", [8, 9, 16, 17, 5])
def test_batches_cover_the_data_once_and_never_hold_a_single_image(count: int) -> None:
    method = make("digits/kmgan")
    images = torch.arange(count, dtype=torch.uint8)[:, None, None, None].expand(-1, 1, 28, 28)
    parts = list(method.batches(images))
    assert min(len(part) for part in parts) >= 2
    assert (torch.cat(parts)[:, 0, 0, 0] * 255).round().tolist() == list(range(count))


@pytest.mark.parametrize("name", ["digits/kmgan", "synthetic/kmgan", "digits/dcgan"])
def test_features_are_one_row_an_image_and_change_nothing(name: str) -> None:
    method = make(name)
    images = torch.rand(600, 100) if name.startswith("synthetic") else torch.randint(256, (600, 1, 28, 28)).byte()
    labels = torch.randint(10, (600,)) if method.classes else None
    state = {k: v.clone() for k, v in method.discriminator_net.state_dict().items()}
    features = method.features(images, labels)
    assert features.shape == (600, method.discriminator_net.feature_dim)
    assert not features.requires_grad
    assert all(torch.equal(v, state[k]) for k, v in method.discriminator_net.state_dict().items())
    torch.testing.assert_close(features, method.features(images, labels))


@pytest.mark.parametrize("name", [*(f"digits/{name}" for name in sorted(presets.METHODS)), "synthetic/kmgan"])
def test_features_do_not_depend_on_the_order_of_the_rows(name: str) -> None:
    """Data sets are sorted by class, and batch statistics of one class alone lack the variance between classes."""
    method = make(name, **({"k": 3} if "kmgan" in name or "reduced" in name else {}))
    shape = (100,) if name.startswith("synthetic") else (1, 28, 28)
    generator = torch.Generator().manual_seed(0)
    classes = torch.rand(3, *shape, generator=generator)
    points = (classes.repeat_interleave(700, 0) + torch.rand(2100, *shape, generator=generator)) / 2
    images = points if name.startswith("synthetic") else (points * 255).byte()
    labels = torch.arange(3).repeat_interleave(700) if method.classes else None
    order = torch.randperm(len(images), generator=generator)
    mixed = method.features(images[order], None if labels is None else labels[order])
    torch.testing.assert_close(method.features(images, labels)[order], mixed, rtol=1e-4, atol=1e-5)


def test_a_random_state_of_another_kind_of_device_seeds_and_says_so(caplog: pytest.LogCaptureFixture) -> None:
    """A CUDA generator's state has 16 bytes, a CPU's 5,056."""
    one, two = (torch.Generator().manual_seed(seed) for seed in (1, 2))
    set_rng(two, one.get_state())
    assert torch.equal(torch.rand(3, generator=one), torch.rand(3, generator=two))
    assert not caplog.records
    foreign = torch.arange(16, dtype=torch.uint8)
    for generator in (one, two):
        set_rng(generator, foreign)
    assert "another kind of device" in caplog.text
    assert torch.equal(torch.rand(3, generator=one), torch.rand(3, generator=two))


@pytest.mark.parametrize("name", ["digits/kmgan", "digits/wgan_gp", "digits/mix_wgan"])
def test_a_checkpoint_of_a_gpu_is_taken_over(name: str) -> None:
    method, other = make(name), make(name, seed=1)
    state: dict[str, Any] = method.state_dict() | {"rng": torch.arange(16, dtype=torch.uint8)}
    for saved in state["optimisers"].values():
        for group in saved["param_groups"]:
            group["capturable"] = True
    other.load_state_dict(state)
    groups = [group for optimiser in other.optimisers().values() for group in optimiser.param_groups]
    assert not any(group["capturable"] for group in groups), "of the checkpoint's device, not of this one"
    for a, b in zip(method.generator_net.parameters(), other.generator_net.parameters(), strict=True):
        assert torch.equal(a, b)


def test_the_frozen_generator_is_a_copy_that_is_the_same_every_time() -> None:
    method = make("digits/dcgan", conditional=True)
    one, two = method.frozen_generator(), method.frozen_generator()
    assert not one.training
    for a, b in zip(one.state_dict().values(), two.state_dict().values(), strict=True):
        assert torch.equal(a, b)
    with torch.no_grad():
        next(one.parameters()).add_(1)
    assert not torch.equal(next(one.parameters()), next(method.generator_net.parameters()))
    assert method.generator_net.training


def step(method: methods.Method, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    images = torch.rand(8, 100, generator=generator)
    method.step(images, None, draw_noise(method.preset, 8, generator))


@pytest.mark.parametrize("average", [0.2, 0.9])
def test_the_average_of_g_follows_its_formula(average: float) -> None:
    method = make("synthetic/dcgan", average=average)
    expected = [p.clone() for p in method.generator_net.parameters()]
    for n in range(1, 8):
        step(method, n)
        method.update_average(n)
        decay = min(average, n / (n + 10))
        last = list(method.generator_net.parameters())
        expected = [decay * a + (1 - decay) * b.detach() for a, b in zip(expected, last, strict=True)]
    for name, net in {"averaged": method.average_net, "frozen": method.frozen_generator()}.items():
        assert net is not None, name
        for a, b in zip(net.parameters(), expected, strict=True):
            torch.testing.assert_close(a, b)


def test_without_an_average_samples_come_from_the_last_weights() -> None:
    without, averaged = make("synthetic/dcgan", average=0), make("synthetic/dcgan", average=0.9)
    for n in range(1, 4):
        for method in (without, averaged):
            step(method, n)
            method.update_average(n)
    assert without.average_net is None
    last = list(without.frozen_generator().parameters())
    for a, b in zip(last, without.generator_net.parameters(), strict=True):
        assert torch.equal(a, b)
    for a, b in zip(last, averaged.frozen_generator(averaged=False).parameters(), strict=True):
        assert torch.equal(a, b)


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


def test_frozen_lets_gradients_through_and_not_in_and_always_thaws() -> None:
    layer = torch.nn.Linear(2, 1)
    x = torch.ones(1, 2, requires_grad=True)
    with frozen(layer):
        layer(x).sum().backward()
    assert x.grad is not None
    assert layer.weight.grad is None
    with pytest.raises(ZeroDivisionError), frozen(layer):
        raise ZeroDivisionError
    assert all(p.requires_grad for p in layer.parameters())
