"""The precision that a device trains in."""

from __future__ import annotations

import pytest
import torch

from kmgan_lib import presets
from kmgan_lib.training import machine

CPU = torch.device("cpu")


@pytest.mark.parametrize(
    ("name", "has_bf16", "expected"),
    [
        ("mnist/dcgan-carpedm20", True, "bf16"), ("mnist/dcgan-carpedm20", False, "float32"),
        ("mnist/dcgan", True, "float32"), ("mnist/kmgan", True, "float32"),
        ("mnist/wgan", True, "float32"),
    ],
)  # fmt: skip
def test_bf16_is_chosen_where_it_was_found_as_good_and_is_there(
    name: str, has_bf16: bool, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(machine, "has_bf16", lambda _: has_bf16)
    settled = machine.resolve_precision(presets.resolve(name, "paper"), CPU)
    assert settled.precision == expected
    assert settled == presets.resolve(name, "paper", precision=expected)


@pytest.mark.parametrize("precision", ["float32", "bf16"])
def test_a_precision_that_is_asked_for_is_kept(precision: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for has_bf16 in (True, False):
        preset = presets.resolve("mnist/kmgan", "paper", precision=precision)
        monkeypatch.setattr(machine, "has_bf16", lambda _, has=has_bf16: has)
        assert machine.resolve_precision(preset, CPU) == preset
