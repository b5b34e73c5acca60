"""Shapes and types of arguments, checked by their annotations; never values, so nothing waits for the device."""

import functools
import inspect
from collections.abc import Callable
from typing import Any, TypeVar

import torch
from beartype import BeartypeConf, beartype
from jaxtyping import jaxtyped
from torch import Tensor

typed = jaxtyped(typechecker=beartype(conf=BeartypeConf(is_pep484_tower=True)))
"""Decorate a public function: arguments are of the kinds and shapes of their annotations, else a `TypeError` says
which is not; an int may stand for a float."""

Function = TypeVar("Function", bound=Callable[..., Any])
KINDS = {
    "float": (Tensor.is_floating_point, "floating-point numbers"),
    "real": (lambda tensor: not tensor.is_complex(), "real numbers"),
    "int64": (lambda tensor: tensor.dtype == torch.int64, "int64"),
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
