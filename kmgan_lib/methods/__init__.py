"""Training methods, one file per method or family, each a `base.Method`; all are imported here."""

import importlib
import pkgutil

import torch

from kmgan_lib.config import Preset
from kmgan_lib.errors import unknown
from kmgan_lib.methods.base import METHODS, Method
from kmgan_lib.methods.dcgan import DCGAN
from kmgan_lib.methods.kmgan import KMGAN

__all__ = ["DCGAN", "KMGAN", "METHODS", "Method", "create", "method"]

for _file in pkgutil.iter_modules(__path__):
    importlib.import_module(f"{__name__}.{_file.name}")


def method(name: str) -> type[Method]:
    """The registered method of this name."""
    if name not in METHODS:
        raise unknown("method", name, METHODS)
    return METHODS[name]


def create(preset: Preset, *, device: torch.device | str = "cpu", seed: int = 0) -> Method:
    """The method that a preset names, its networks initialized from the seed and placed on the device."""
    return method(preset.method)(preset, device=torch.device(device), seed=seed)
