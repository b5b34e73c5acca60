"""Training methods, one file each, all under the protocol of `kmgan_lib.methods.base.Method`.

Every file of this folder is imported here and registers what it defines, so a new one needs no mention anywhere.
"""

from __future__ import annotations

import importlib
import pkgutil
from typing import cast

import torch

from kmgan_lib import presets
from kmgan_lib.methods.base import Method
from kmgan_lib.methods.dcgan import DCGAN
from kmgan_lib.methods.kmgan import KMGAN
from kmgan_lib.presets import Preset

__all__ = ["DCGAN", "KMGAN", "Method", "create", "of"]

for _file in pkgutil.iter_modules(__path__):
    importlib.import_module(f"{__name__}.{_file.name}")


def of(preset: Preset) -> type[Method]:
    """The class of the method that a preset names."""
    return cast(type[Method], presets.method(preset.method))


def create(preset: Preset, *, device: torch.device | str = "cpu", seed: int = 0) -> Method:
    """The method that a preset names, its networks initialised from the seed and placed on the device."""
    return of(preset)(preset, device=torch.device(device), seed=seed)
