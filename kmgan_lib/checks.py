"""What public functions ask of tensors, said by the argument's name instead of by the operation that fails first.

Of tensors only shapes and types are looked at, never values, so nothing waits for the device.
"""

from __future__ import annotations

import contextlib
import operator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from kmgan_lib.errors import UsageError
from kmgan_lib.fields import shown


def _described(name: str, tensor: Tensor) -> str:
    return f"{name} {tuple(tensor.shape)} of {str(tensor.dtype).removeprefix('torch.')}"


def matrices(**named: Tensor) -> None:
    """Refuse anything but matrices (n, d) of floating-point numbers with equally many columns, by a `ValueError`."""
    for name, tensor in named.items():
        if tensor.ndim != 2 or not tensor.is_floating_point():
            raise ValueError(f"{_described(name, tensor)} must be a matrix of floating-point numbers")
    if len({tensor.shape[1] for tensor in named.values()}) > 1:
        raise ValueError(f"{' and '.join(_described(*pair) for pair in named.items())} must have equally many columns")


def common(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """Both at one precision, at least single: distances are not there for less, and would lose too much."""
    kind = torch.promote_types(torch.promote_types(a.dtype, b.dtype), torch.float32)
    return a.to(kind), b.to(kind)


def alike(**named: Tensor) -> None:
    """Refuse matrices that differ in shape, by a `ValueError`."""
    matrices(**named)
    if len({tensor.shape for tensor in named.values()}) > 1:
        raise ValueError(f"{' and '.join(_described(*pair) for pair in named.items())} must be of one shape")


def rows(**named: Tensor) -> None:
    """Refuse anything but rows (n, ...) of real numbers, such as pictures or features, of one shape each."""
    for name, tensor in named.items():
        if tensor.ndim < 2 or tensor.is_complex():
            raise ValueError(f"{_described(name, tensor)} must be rows (n, ...) of real numbers")
    if len({tensor.shape[1:] for tensor in named.values()}) > 1:
        raise ValueError(f"{' and '.join(_described(*pair) for pair in named.items())} must have rows of one shape")


def labels(count: int | None = None, **named: Tensor) -> None:
    """Refuse anything but vectors (n,) of int64, and with a count any other length, by a `ValueError`."""
    for name, tensor in named.items():
        if tensor.ndim != 1 or tensor.dtype != torch.int64:
            raise ValueError(f"{_described(name, tensor)} must be a vector of int64")
        if count is not None and len(tensor) != count:
            raise ValueError(f"{_described(name, tensor)} must have {count} entries")


def whole(name: str, number: Any) -> int:
    """A whole number of Python, NumPy or PyTorch; anything else, 3.0 and "3" too, is a `UsageError` that names it."""
    truth = isinstance(number, bool) or (isinstance(number, Tensor) and number.dtype == torch.bool)
    with contextlib.suppress(TypeError, ValueError, RuntimeError):
        if not truth:
            return operator.index(number)
    said = repr(number) if isinstance(number, str) else number  # '3' is no number, and must not look like one
    raise UsageError(f"{name}={shown(said)} must be a whole number")


def path(name: str, place: Any) -> Path:
    """A path from text or a path; anything else is a `UsageError` that names it."""
    try:
        found = Path(place)
    except TypeError:
        raise UsageError(f"{name}={shown(place)} must be a path") from None
    if "\0" in str(found):  # no system has such a file
        raise UsageError(f"{name}={shown(repr(place))} must be a path")
    return found


def at_least(least: int, **named: int) -> None:
    """Refuse numbers below the least, and what is no whole number, by a `ValueError`."""
    for name, number in named.items():
        if whole(name, number) < least:
            raise ValueError(f"{name}={number} must be at least {least}")


def seed(number: int) -> int:
    """The seed, if a generator can have it; else a `ValueError`."""
    number = whole("seed", number)
    if not 0 <= number < 2**63:
        raise ValueError("a seed is a whole number from 0 to 2**63 - 1")
    return number
