"""What public functions ask of their arguments, said by the argument's name instead of by the operation that fails.

Of tensors only shapes and types are looked at, never values, so nothing waits for the device.
"""

import contextlib
import functools
import inspect
import operator
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor

from kmgan_lib.errors import UsageError
from kmgan_lib.fields import shown

Function = TypeVar("Function", bound=Callable[..., Any])
KINDS = {
    "float": (Tensor.is_floating_point, "floating-point numbers"),
    "real": (lambda tensor: not tensor.is_complex(), "real numbers"),
    "int64": (lambda tensor: tensor.dtype == torch.int64, "int64"),
    "uint8": (lambda tensor: tensor.dtype == torch.uint8, "uint8"),
}


def tensors(**specifications: str) -> Callable[[Function], Function]:
    """Decorate a function: arguments must be tensors of these shapes and kinds, else it raises a `ValueError`.

    Each has a kind, one of `KINDS`, and its sizes, as in ``"float n d"``: equal letters are equal sizes in all
    arguments, ``...`` stands for one or more further sizes, equal in all of them, and ``n>1`` asks for more than that.
    """

    def decorate(function: Function) -> Function:
        names = list(inspect.signature(function).parameters)

        @functools.wraps(function)
        def checked(*arguments: Any, **named: Any) -> Any:
            given = dict(zip(names, arguments, strict=False)) | named
            sizes: dict[str, tuple[str, Any]] = {}
            for name, specification in specifications.items():
                if name in given:
                    _check(name, given[name], *specification.split(), sizes=sizes)
            return function(*arguments, **named)

        return checked  # pyright: ignore[reportReturnType]

    return decorate


def _check(name: str, tensor: Tensor, kind: str, *letters: str, sizes: dict[str, tuple[str, Any]]) -> None:
    is_kind, text = KINDS[kind]
    described = f"{name} {tuple(tensor.shape)} of {str(tensor.dtype).removeprefix('torch.')}"
    fits = tensor.ndim >= len(letters) if letters[-1] == "..." else tensor.ndim == len(letters)
    if not fits or not is_kind(tensor):
        raise ValueError(f"{described} must be ({', '.join(w.partition('>')[0] for w in letters)}) of {text}")
    for i, word in enumerate(letters):
        letter, _, least = word.partition(">")
        size = tuple(tensor.shape[i:]) if word == "..." else tensor.shape[i]
        if least and tensor.shape[i] <= int(least):
            raise ValueError(f"{described} must have {letter} > {least}")
        if sizes.setdefault(letter, (described, size))[1] != size:
            raise ValueError(f"{sizes[letter][0]} and {described} must be equal in {letter}")


def common(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """Both at one precision, at least single: distances are not there for less, and would lose too much."""
    kind = torch.promote_types(torch.promote_types(a.dtype, b.dtype), torch.float32)
    return a.to(kind), b.to(kind)


def whole(name: str, number: Any) -> int:
    """A whole number of Python, NumPy or PyTorch; anything else, 3.0 and "3" too, is a `UsageError` that names it."""
    with contextlib.suppress(TypeError, ValueError, RuntimeError):
        if not isinstance(number, bool):
            return operator.index(number)
    raise UsageError(f"{name}={shown(repr(number))} must be a whole number")


def at_least(least: int, **named: int) -> None:
    """Refuse numbers below the least, and what is no whole number, by a `ValueError`."""
    for name, number in named.items():
        if whole(name, number) < least:
            raise ValueError(f"{name}={number} must be at least {least}")


def one_of(allowed: Iterable[str], **named: str) -> None:
    """Refuse other words than these, by a `ValueError`."""
    for name, word in named.items():
        if word not in allowed:
            raise ValueError(f"{name} is {word!r}; it must be one of {', '.join(allowed)}")


def classes(count: int, **named: Tensor) -> None:
    """Refuse labels that are not in 0 ... count - 1, by a `ValueError`. Waits for the device."""
    for name, labels in named.items():
        if len(labels) and not 0 <= int(labels.min()) <= int(labels.max()) < count:
            raise ValueError(f"{name} must lie between 0 and {count - 1}")


def seed(number: int) -> int:
    """The seed, if a generator can have it; else a `ValueError`."""
    if not 0 <= whole("seed", number) < 2**63:
        raise UsageError("a seed is a whole number from 0 to 2**63 - 1")
    return operator.index(number)


def path(name: str, place: Any) -> Path:
    """A path from text or a path; anything else is a `UsageError` that names it."""
    try:
        return Path(place)
    except TypeError:
        raise UsageError(f"{name}={shown(place)} must be a path") from None
