"""What public functions ask of tensors, said by the argument's name instead of by the operation that fails first.

Only shapes and types are looked at, never values, so nothing waits for the device.
"""

from __future__ import annotations

import torch
from torch import Tensor


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


def at_least(least: int, **named: int) -> None:
    """Refuse numbers below the least, by a `ValueError`."""
    for name, number in named.items():
        if number < least:
            raise ValueError(f"{name}={number} must be at least {least}")


def seed(number: int) -> int:
    """The seed, if a generator can have it; else a `ValueError`."""
    if not 0 <= number < 2**63:
        raise ValueError("a seed is a whole number from 0 to 2**63 - 1")
    return number
