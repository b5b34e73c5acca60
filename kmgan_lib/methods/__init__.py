"""Training methods, one file each, all under the protocol of `kmgan_lib.methods.base.Method`."""

from __future__ import annotations

import torch

from kmgan_lib.methods.base import Method
from kmgan_lib.methods.dcgan import DCGAN
from kmgan_lib.methods.kmgan import KMGAN
from kmgan_lib.presets import Preset

METHODS: dict[str, type[Method]] = {"kmgan": KMGAN, "dcgan": DCGAN}

__all__ = ["DCGAN", "KMGAN", "METHODS", "Method", "create"]


def create(preset: Preset, *, device: torch.device | str = "cpu", seed: int = 0) -> Method:
    """The method that a preset names, its networks initialised from the seed and placed on the device."""
    return METHODS[preset.method](preset, device=torch.device(device), seed=seed)
