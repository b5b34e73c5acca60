r"""One step shared out: every rank runs the networks on its share of the rows, and all see what comes out.

Every process (rank) sees all weights, the data and the same random generators, so it knows the whole batch. Inside a
step `apart` runs a network on this rank's rows only and joins the outputs of all ranks: a method sees the features of
the whole batch, and its losses, clusters and centers are those of one process, whatever their formula. Batch
normalisation inside takes the statistics of all ranks' rows. With :math:`L_r` the loss that rank r computes, all of
them equal, a step descends :math:`\frac1N \sum_r L_r`; this is what the backward pass of `gather` and
`update` make of it.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.optim import Optimizer

from kmgan_lib import distributed, shared_update

OWN = "_kmgan_own_rows"  # attribute of the whole
WHOLE, SHARED, INSIDE = "whole", "shared", "inside"

_mode, _count = WHOLE, 0


class _Gather(torch.autograd.Function):
    """Rows of all ranks, each in its place. The gradient of a rank's rows is the sum of what all ranks make of them."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor, count: int) -> Tensor:
        ctx.mine = distributed.share(count)
        maps = rows.ndim == 4  # sent as they lie: channels last
        whole = rows_of_all(rows.permute(0, 2, 3, 1) if maps else rows, count)
        return whole.permute(0, 3, 1, 2) if maps else whole

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        return distributed.total(gradients[0].clone(memory_format=torch.contiguous_format))[ctx.mine], None


def row_counts(count: int) -> list[int]:
    """Number of rows, of so many, in the share of each rank."""
    return [part.stop - part.start for part in (distributed.share(count, r) for r in range(distributed.world()))]


def rows_of_all(rows: Tensor, count: int) -> Tensor:
    """The rows of all ranks (count, ...), of which this rank has its share (n, ...); without a gradient."""
    counts = row_counts(count)
    most = max(counts)
    if len(rows) < most:
        rows = torch.cat([rows, rows.new_zeros((most - len(rows), *rows.shape[1:]))])
    parts = distributed.collected(rows)
    if count == distributed.world() * most:
        return parts.flatten(0, 1)
    return torch.cat([part[:n] for part, n in zip(parts, counts, strict=True)])


def columns_of_all(columns: Tensor, width: int) -> Tensor:
    """The rows (n, width) of this rank, when every rank has its share of the columns (count, m) for the rows of all."""
    counts = row_counts(width)
    if columns.shape[1] < max(counts):
        columns = F.pad(columns, (0, max(counts) - columns.shape[1]))
    parts = distributed.collected(columns)[:, distributed.share(len(columns))]
    return torch.cat([part[:, :m] for part, m in zip(parts, counts, strict=True)], 1)


def gather(rows: Tensor, count: int) -> Tensor:
    """As `rows_of_all`, differentiable."""
    return _Gather.apply(rows, count)  # pyright: ignore[reportReturnType]


@contextlib.contextmanager
def _as(mode: str, count: int = 0) -> Iterator[None]:
    global _mode, _count
    before, (_mode, _count) = (_mode, _count), (mode, count)
    try:
        yield
    finally:
        _mode, _count = before


def shared_rows() -> int:
    """Within the forward pass of a network on a share of the rows: how many the ranks have between them. Else 0."""
    return _count


def sharing() -> contextlib.AbstractContextManager[None]:
    """Within the block `apart` splits batches among the ranks."""
    return _as(SHARED if distributed.world() > 1 else WHOLE)


def whole() -> contextlib.AbstractContextManager[None]:
    """Within the block every rank does all of the work itself."""
    return _as(WHOLE)


def apart(run: Callable[..., Tensor], *inputs: Tensor | None) -> Tensor:
    """``run(*inputs)``, each rank on its share of the rows, and the outputs of all ranks joined.

    Parameters
    ----------
    run : callable
        Rows in, as many rows (n, ...) out.
    *inputs : Tensor or None, (b, ...)
        The whole batch, the same on every rank. Batches of fewer rows than ranks are not split.
    """
    count = next(len(x) for x in inputs if x is not None)
    if _mode != SHARED or count < distributed.world():
        with _as(WHOLE):
            return run(*inputs)
    with _as(INSIDE, count):
        rows = run(*(None if x is None else _own(x, count) for x in inputs))
    whole = gather(rows, count)
    setattr(whole, OWN, rows)
    return whole


def _own(whole: Tensor, count: int) -> Tensor:
    """Rows of this rank, as `apart` made them if it did, so that gradients find their way back without an exchange."""
    return getattr(whole, OWN, whole[distributed.share(count)])


def update(optimiser: Optimizer) -> None:
    """``optimiser.step()``, by the mean gradients of all ranks where each has those of its share."""
    if _mode == SHARED:
        shared_update.step(optimiser)
    else:
        optimiser.step()
