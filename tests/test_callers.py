"""Devices of callers that lack float64 train every method."""

from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from kmgan_lib import presets

from .conftest import random_batch, small_method


class _WithoutFloat64(TorchDispatchMode):
    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        if any(isinstance(leaf, torch.Tensor) and leaf.dtype == torch.float64 for leaf in tree_leaves(result)):
            raise TypeError(f"{func}: this device has no float64")
        return result


def test_no_method_needs_float64() -> None:
    with pytest.raises(TypeError, match="no float64"), _WithoutFloat64():
        torch.ones(2).double()
    for method in presets.METHODS:
        with _WithoutFloat64():
            trained = small_method(f"digits/{method}")
            losses = trained.step(*random_batch(trained))
            trained.update_average(1)
        assert all(bool(loss.isfinite()) for loss in losses.values()), method
