"""The precision that a device trains in."""

from __future__ import annotations

import pytest
import torch

from kmgan_lib import presets
from kmgan_lib.training import run

CPU = torch.device("cpu")


def test_bf16_is_chosen_where_it_was_found_as_good_and_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, has_bf16, expected in (
        ("mnist/dcgan-carpedm20", True, "bf16"), ("mnist/dcgan-carpedm20", False, "float32"),
        ("mnist/dcgan", True, "float32"), ("mnist/kmgan", True, "float32"), ("mnist/wgan", True, "float32"),
    ):  # fmt: skip
        monkeypatch.setattr(run, "has_bf16", lambda _, has=has_bf16: has)
        settled = run.resolve_precision(presets.resolve(name, "paper"), CPU)
        assert settled == presets.resolve(name, "paper", precision=expected)
        for asked in ("float32", "bf16"):
            preset = presets.resolve(name, "paper", precision=asked)
            assert run.resolve_precision(preset, CPU) == preset
