"""One update shared out: the ranks of one machine hold large weights in common, and each moves its part of them.

Between processes without common memory all gradients are averaged, and every rank repeats the whole update. On the CPUs
of one machine that costs a tenth of an iteration and more. There large weights and the optimiser's moments lie in
memory that all ranks see: a rank receives the others' gradients of its share of the rows only, moves those rows, and
nothing is sent back. This is the optimiser of ZeRO (Rajbhandari et al., 2020) with one copy of the weights; since Adam
and RMSprop move every number by itself, the weights are those of one process.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from kmgan_lib import distributed
from kmgan_lib.errors import RunFailed

PART = "_kmgan_part"  # attribute of a parameter in common memory: the rows that this rank moves, a view


def put_in_common(optimisers: Iterable[Optimizer]) -> None:
    """Move large parameters, which are equal on all ranks, to common memory, if there is any left."""
    known = dict.fromkeys(p for optimiser in optimisers for p in _parameters(optimiser))  # two may move the same
    new = [p for p in known if not is_in_common(p) and distributed.is_large(p)]
    common = distributed.in_common(new)
    if common is None:
        return
    for p, there in zip(new, common, strict=True):
        part = _part(there)
        part.copy_(_part(p.detach()))
        setattr(p, PART, part)
    distributed.meet()
    for p, there in zip(new, common, strict=True):
        p.data = there


def step(optimiser: Optimizer) -> None:
    """Move the weights by the mean gradients of all ranks; afterwards they are equal to the last bit on all of them.

    Parameters
    ----------
    optimiser : Optimizer
        One that moves every number by itself, such as Adam and RMSprop.
    """
    if not distributed.on_one_machine():
        distributed.mean_([p.grad for p in _parameters(optimiser) if p.grad is not None])
        optimiser.step()
        return
    if optimiser not in _updates:
        _updates[optimiser] = _SharedUpdate(optimiser)
        optimiser.register_load_state_dict_post_hook(_forget)
    _updates[optimiser].step(optimiser)


def zero_grad(optimiser: Optimizer) -> None:
    """``optimiser.zero_grad()``, also for what `add_gradient` has added."""
    optimiser.zero_grad(set_to_none=True)
    for part in parts(_parameters(optimiser)):
        part.grad = None


def is_in_common(parameter: Tensor) -> bool:
    """Whether a parameter lies in memory that all ranks of the machine see."""
    return hasattr(parameter, PART)


def add_gradient(parameter: Tensor, left: Tensor, right: Tensor) -> None:
    """Add to the mean gradient of a weight in common memory: its rows of this rank, (r, n) times (n, m).

    What every rank has computed for itself goes to ``parameter.grad``, as ever, and is averaged later.
    """
    part = getattr(parameter, PART)
    if part.grad is None:
        part.grad = left @ right
    else:
        part.grad.addmm_(left, right)


def parts(parameters: Iterable[Tensor]) -> list[Tensor]:
    """What this rank moves of the parameters: its part of those in common memory, and all of the others."""
    return [getattr(p, PART, p) for p in parameters]


def wait_for(parameters: Iterable[Tensor]) -> None:
    """Wait until every rank has written its `parts` of the parameters, if any of them lies in common memory."""
    if any(map(is_in_common, parameters)):
        distributed.meet()


def part_ways(optimisers: Iterable[Optimizer]) -> None:
    """Undo `put_in_common`: every rank has weights and moments of its own, and can go on without the others."""
    for optimiser in optimisers if distributed.on_one_machine() else ():
        _forget(optimiser)
        for p in (p for p in _parameters(optimiser) if is_in_common(p)):
            p.data = p.data.clone()
            delattr(p, PART)
        for state in optimiser.state.values():
            state.update({key: value.clone() for key, value in state.items() if isinstance(value, Tensor)})


def _forget(optimiser: Optimizer) -> None:
    _updates.pop(optimiser, None)


def _parameters(optimiser: Optimizer) -> list[nn.Parameter]:
    return [p for group in optimiser.param_groups for p in group["params"]]


def _part(whole: Tensor) -> Tensor:
    """The rows (r, m) of this rank of a tensor (n, ...), a view; a matrix, since Adam is slow in channels last."""
    return distributed.numbers(whole).view(len(whole), -1)[distributed.share(len(whole))]


def _as_laid(value: Tensor, like: Tensor) -> Tensor:
    """A tensor whose numbers lie in the order of another's."""
    return value if value.stride() == like.stride() else torch.empty_like(like).copy_(value)


class _SharedUpdate:
    """An optimiser of this rank's parts that stands for one of whole parameters.

    Parameters
    ----------
    optimiser : Optimizer
        Of whole parameters, the large ones in common memory. Its state, if it has one, is taken over; from the first
        step on its moments lie in common memory, too, and are as complete as those of one process.
    """

    def __init__(self, optimiser: Optimizer):
        everything = _parameters(optimiser)
        self._parts = {p: getattr(p, PART) for p in everything if is_in_common(p)}
        groups = [{**g, "params": parts(g["params"])} for g in optimiser.param_groups]
        self._mine = type(optimiser)(groups, **optimiser.defaults)
        for p in everything:
            state = optimiser.state[p]
            if p in self._parts:
                moments = {key: _part(_as_laid(v, p)).clone() for key, v in state.items() if _of_shape(v, p)}
                state = {**state, **moments}
            self._mine.state[parts([p])[0]] = state
        self._unseen = set(self._parts)  # those whose moments are not in common memory

    def step(self, optimiser: Optimizer) -> None:
        gradients = [(p, p.grad) for p in _parameters(optimiser) if p.grad is not None]
        distributed.mean_([gradient for p, gradient in gradients if p not in self._parts])
        for p, gradient in ((p, _as_laid(gradient, p)) for p, gradient in gradients if p in self._parts):
            distributed.mean_rows_(gradient)
            part, mine = self._parts[p], _part(gradient)
            part.grad = mine if part.grad is None else part.grad.add_(mine)
        for group, whole in zip(self._mine.param_groups, optimiser.param_groups, strict=True):
            group.update({key: value for key, value in whole.items() if key != "params"})
        self._mine.found_inf = getattr(optimiser, "found_inf", None)  # pyright: ignore[reportAttributeAccessIssue]
        self._mine.step()
        self._show_moments(optimiser)
        for part in self._parts.values():
            part.grad = None
        distributed.meet()

    def _show_moments(self, optimiser: Optimizer) -> None:
        """Move moments that have come up in the first step to common memory."""
        new = [p for p in self._parts if p in self._unseen and self._mine.state[self._parts[p]]]
        if not new:
            return
        self._unseen -= set(new)
        moments: list[tuple[nn.Parameter, str]] = []
        for p in new:
            state = self._mine.state[self._parts[p]]
            optimiser.state[p].update(state)
            moments += [(p, key) for key, value in state.items() if _of_shape(value, self._parts[p])]
        common = distributed.in_common([p for p, _ in moments])
        if common is None:
            raise RunFailed("no memory that processes can share is left: free some, or train without torchrun")
        for (p, key), there in zip(moments, common, strict=True):
            state = self._mine.state[self._parts[p]]
            part = _part(there)
            part.copy_(state[key])
            state[key], optimiser.state[p][key] = part, there


def _of_shape(value: Any, like: Tensor) -> bool:
    return isinstance(value, Tensor) and value.shape == like.shape


_updates: WeakKeyDictionary[Optimizer, _SharedUpdate] = WeakKeyDictionary()
