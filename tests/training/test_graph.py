from __future__ import annotations

import copy
import logging
from typing import Any

import pytest
import torch
from torch import Tensor

from kmgan_lib import methods, presets
from kmgan_lib.methods import Method
from kmgan_lib.methods.randomness import draw_noise
from kmgan_lib.training.graph import Stepper, reason_not_captured

SMALL: dict[str, Any] = {
    "batch": 8, "width": 0.125, "feature_dim": 12, "k": 3, "init_images": 24, "components": 2, "critic_updates": 2,
    "burst": 2, "kernels": 4, "z_dim": 10,
}  # fmt: skip


def make(name: str, **changes: Any) -> Method:
    known = presets.resolve(f"digits/{name}").fields()
    sizes = {k: v for k, v in SMALL.items() if k in known}
    method = methods.create(presets.resolve(f"digits/{name}", **sizes, **changes))
    method.setup(torch.arange(24 * 784).remainder(251).view(24, 1, 28, 28).byte())
    return method


def batch(method: Method, seed: int) -> tuple[Tensor, Tensor, Tensor]:
    count, generator = 8 * method.batches_per_step(100), torch.Generator().manual_seed(seed)
    images = torch.rand(count, 1, 28, 28, generator=generator)
    return images, torch.randint(10, (count,), generator=generator), draw_noise(method.preset, count, generator)


@pytest.mark.parametrize("name", sorted(presets.METHODS))
def test_steps_from_static_inputs_are_the_steps(name: str) -> None:
    """No step keeps or changes its inputs, and none takes anything else from outside that changes."""
    plain = make(name)
    method = copy.deepcopy(plain)
    inputs = [part.clone() for part in batch(method, 0)]
    for seed in range(3):
        for mine, new in zip(inputs, batch(method, seed), strict=True):
            mine.copy_(new)
        assert method.step(*inputs) == plain.step(*batch(plain, seed))
        assert all(map(torch.equal, inputs, batch(method, seed)))


def test_on_the_cpu_steps_run_as_they_are_without_a_word(caplog: pytest.LogCaptureFixture) -> None:
    method = make("kmgan")
    stepper = Stepper(method)
    assert stepper.reason == "CUDA graphs need a CUDA device"
    other = copy.deepcopy(method)
    assert stepper(*batch(method, 0)) == other.step(*batch(other, 0))
    assert not caplog.records


def test_the_decision_is_the_devices_and_the_methods(caplog: pytest.LogCaptureFixture) -> None:
    method, other = make("kmgan"), make("kmgan", center_update="recluster")
    method.device = other.device = torch.device("cuda")
    assert reason_not_captured(method) is None
    assert "now and then" in (reason_not_captured(other) or "")
    with caplog.at_level(logging.WARNING):
        Stepper(other)
    assert "no CUDA graph" in caplog.text


def test_a_failed_capture_is_announced_and_the_run_goes_on(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a machine without CUDA a capture fails by itself; the losses are those of the plain steps all the same."""
    method = make("kmgan")
    plain = copy.deepcopy(method)
    method.device = torch.device("cuda")
    stepper = Stepper(method)
    method.device = torch.device("cpu")
    monkeypatch.setattr(stepper, "_on_side_stream", method.step)
    monkeypatch.setattr(torch.cuda, "CUDAGraph", _refuse)
    for seed in range(6):
        assert stepper(*batch(method, seed)) == plain.step(*batch(plain, seed))
    assert "the capture failed (no capture here)" in (stepper.reason or "")
    assert caplog.text.count("no CUDA graph") == 1


def _refuse() -> None:
    raise RuntimeError("no capture here\nand a long story")
