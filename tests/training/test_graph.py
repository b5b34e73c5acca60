import copy
import logging

import pytest
import torch

from kmgan_lib import presets
from kmgan_lib.training.graph import Stepper, reason_not_captured

from ..conftest import random_batch, small_method


@pytest.mark.parametrize("name", sorted(presets.METHODS))
def test_steps_from_static_inputs_are_the_steps(name: str) -> None:
    """No step keeps or changes its inputs, and none takes anything else from outside that changes."""
    plain = small_method(f"digits/{name}")
    method = copy.deepcopy(plain)
    inputs = random_batch(method)
    for seed in range(3):
        for mine, new in zip(inputs, random_batch(method, seed), strict=True):
            mine.copy_(new)
        assert method.step(*inputs) == plain.step(*random_batch(plain, seed))
        assert all(map(torch.equal, inputs, random_batch(method, seed)))


def test_the_decision_is_the_devices(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    method = small_method("digits/kmgan")
    assert Stepper(method).reason == "CUDA graphs need a CUDA device"
    assert not caplog.records
    method.device = torch.device("cuda")
    assert reason_not_captured(method) is None
    monkeypatch.setattr("kmgan_lib.distributed.world_size", lambda: 2)
    with caplog.at_level(logging.WARNING):
        Stepper(method)
    assert "no CUDA graph: several devices" in caplog.text


def test_a_failed_capture_is_announced_and_the_run_goes_on(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:

    def refuse() -> None:
        raise RuntimeError("no capture here\nand a long story")

    method = small_method("digits/kmgan")
    plain = copy.deepcopy(method)
    method.device = torch.device("cuda")
    stepper = Stepper(method)
    method.device = torch.device("cpu")
    monkeypatch.setattr(stepper, "_on_side_stream", method.step)
    monkeypatch.setattr(torch.cuda, "CUDAGraph", refuse)
    for seed in range(6):
        assert stepper(*random_batch(method, seed)) == plain.step(*random_batch(plain, seed))
    assert "the capture failed (no capture here)" in (stepper.reason or "")
    assert caplog.text.count("no CUDA graph") == 1
