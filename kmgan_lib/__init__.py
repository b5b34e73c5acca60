"""KM-GAN (label-removed GANs with K-Means) in PyTorch.

``kmgan_lib.train`` trains a preset, and ``kmgan_lib.load_generator`` loads the trained generator. Names are resolved on
first use, so that importing the package is fast.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kmgan_lib.generator import Generator, load_generator
    from kmgan_lib.training.run import Run
    from kmgan_lib.training.trainer import train

__version__ = "0.1.0"
__all__ = ["Generator", "Run", "__version__", "load_generator", "train"]

_HOMES = {"train": "training.trainer", "Run": "training.run", "load_generator": "generator", "Generator": "generator"}
_MODULES = ("centers", "data", "errors", "losses", "methods", "metrics", "models", "presets")


def __getattr__(name: str) -> Any:
    if name not in (*_HOMES, *_MODULES):
        raise AttributeError(f"module 'kmgan_lib' has no attribute {name!r}")
    module = importlib.import_module(f"kmgan_lib.{_HOMES.get(name, name)}")
    return getattr(module, name) if name in _HOMES else module


def __dir__() -> list[str]:
    return [*__all__, *_MODULES]
