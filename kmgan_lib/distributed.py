r"""One training on several devices, by PyTorch's own engine: ``torchrun --nproc-per-node N -m kmgan_lib train ...``.

Every process (rank) holds all weights, the data and the same random generators, so it knows the whole batch. Inside a
step `apart` runs a network on this rank's rows only and joins the outputs of all ranks: a method sees the features of
the whole batch, and its losses, clusters and centers are those of one process, whatever their formula. Batch
normalisation inside takes the statistics of all ranks' rows. With :math:`L_r` the loss that rank r computes, all of
them equal, a step descends :math:`\frac1N \sum_r L_r`; this is what the backward pass of `gather` and
`average_gradients` make of it.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterable, Iterator
from datetime import timedelta
from typing import Any, TypeVar

import torch
from torch import Tensor, distributed, nn
from torch.distributed import PrefixStore, TCPStore  # pyright: ignore[reportPrivateImportUsage]
from torch.distributed.rendezvous import rendezvous

from kmgan_lib import shared_memory
from kmgan_lib.checkpoint import first_line
from kmgan_lib.errors import RunFailed, UsageError
from kmgan_lib.shared_memory import SharedMemory

T = TypeVar("T")
PATIENCE = timedelta(seconds=25)  # within a step: a rank that is silent for longer is lost
LONG = timedelta(hours=2)  # while rank 0 alone reads, downloads or writes
LARGE = 1 << 16  # numbers of a tensor that is worth a reduction of its own
OWN = "_kmgan_own_rows"  # attribute of the whole
WHOLE, SHARED, INSIDE = "whole", "shared", "inside"

_group: Any = None  # of the collectives within a step
_memory: SharedMemory | None = None  # in their place where all ranks are on the CPUs of one machine
_joins = 0
_mode, _count = WHOLE, 0


def launched() -> bool:
    """Whether torchrun started this process as one of several."""
    return os.environ.get("WORLD_SIZE", "1") != "1"


def rank() -> int:
    """Number of this process, 0 for the only one."""
    return int(os.environ.get("RANK", "0")) if launched() else 0


def world() -> int:
    """Number of processes that train together; 1 outside `joined`."""
    return distributed.get_world_size() if _group is not None else 1


@contextlib.contextmanager
def joined(device: torch.device) -> Iterator[None]:
    """Within the block the processes of torchrun train together; alone, nothing happens.

    Parameters
    ----------
    device : torch.device
        This rank's: collectives go through NCCL on GPUs and through gloo on CPUs.
    """
    global _group, _joins, _memory
    if not launched():
        yield
        return
    backend = "nccl" if device.type == "cuda" else "gloo"
    if backend == "nccl":
        torch.cuda.set_device(device)
    try:
        try:
            store, number, count = next(rendezvous("env://"))
        except (ValueError, RuntimeError) as error:  # what torchrun sets is not there, or nobody answers
            raise UsageError(
                f"WORLD_SIZE is {os.environ['WORLD_SIZE']}, but the others cannot be reached ({first_line(error)}): "
                "start them all with torchrun, or unset WORLD_SIZE"
            ) from error
        _joins += 1  # a second training in the same processes must not find the addresses of the first
        distributed.init_process_group(
            backend, store=PrefixStore(f"kmgan/{_joins}", store), rank=number, world_size=count,
            timeout=LONG, device_id=device if backend == "nccl" else None,
        )  # fmt: skip
        _group = distributed.new_group(timeout=PATIENCE, backend=backend)
        if backend == "gloo" and os.environ.get("LOCAL_WORLD_SIZE") == str(count) and shared_memory.possible():
            _memory = _opened_memory()
        yield
    finally:
        _group = _memory = None
        if distributed.is_initialized():
            distributed.destroy_process_group()


def _opened_memory() -> SharedMemory | None:
    """The memory that all ranks share; None if one of them cannot open it."""
    process, file = from_rank_zero(lambda: (os.getpid(), shared_memory.create(world())))
    memory = None
    if file is not None:
        with contextlib.suppress(OSError):
            memory = shared_memory.mapped(process, file)
    everywhere = not any_of(memory is None)
    if rank() == 0 and file is not None:
        os.close(file)  # all have theirs
    if memory is None or not everywhere:
        return None
    return SharedMemory(memory, rank=rank(), world=world(), patience=PATIENCE)


def local_device(name: str) -> str:
    """``auto`` and ``cuda`` as the GPU of this rank on its machine; other names as they are."""
    if launched() and (name == "cuda" or (name == "auto" and torch.cuda.is_available())):
        return f"cuda:{os.environ.get('LOCAL_RANK', '0')}"
    return name


@contextlib.contextmanager
def _lost() -> Iterator[None]:
    """One clear line for whatever a backend says when a rank is gone."""
    try:
        yield
    except RuntimeError as error:
        raise RunFailed(
            f"lost contact with another worker ({first_line(error)[:120]}); the last checkpoint is kept, and the same "
            "command with --resume continues from it"
        ) from error


def collected(tensor: Tensor) -> Tensor:
    """The tensors (...) of all ranks, which have one shape, as one (ranks, ...); without a gradient."""
    with _lost():
        if _memory is not None:
            return _memory.gather(tensor)
        parts = tensor.new_empty((world(), *tensor.shape))
        distributed.all_gather(list(parts), tensor.contiguous(), group=_group)
        return parts


def total(tensor: Tensor) -> Tensor:
    """Sum over the ranks, the same to the last bit on all of them; a large tensor is overwritten."""
    if tensor.numel() < LARGE:
        return collected(tensor).sum(0)  # half the time of a reduction, which waits more often
    with _lost():
        if _memory is not None:
            _memory.sum_(tensor)
        else:
            distributed.all_reduce(tensor, group=_group)
    return tensor


class _Gather(torch.autograd.Function):
    """Rows of all ranks, each in its place. The gradient of a rank's rows is the sum of what all ranks make of them."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor, count: int) -> Tensor:
        ctx.mine, counts = share(count, rank()), row_counts(count)
        most = max(counts)
        if len(rows) < most:
            rows = torch.cat([rows, rows.new_zeros((most - len(rows), *rows.shape[1:]))])
        maps = rows.ndim == 4  # sent as they lie: channels last
        parts = collected(rows.permute(0, 2, 3, 1) if maps else rows)
        if count == world() * most:
            whole = parts.flatten(0, 1)
        else:
            whole = torch.cat([part[:n] for part, n in zip(parts, counts, strict=True)])
        return whole.permute(0, 3, 1, 2) if maps else whole

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        return total(gradients[0].clone(memory_format=torch.contiguous_format))[ctx.mine], None


def share(count: int, number: int) -> slice:
    """The rows of a batch that a rank works on."""
    return slice(count * number // world(), count * (number + 1) // world())


def row_counts(count: int) -> list[int]:
    """Number of rows in the `share` of each rank."""
    return [part.stop - part.start for part in (share(count, r) for r in range(world()))]


def gather(rows: Tensor, count: int) -> Tensor:
    """The rows of all ranks (count, ...), of which this rank has its `share` (n, ...); differentiable."""
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
    return _as(SHARED if world() > 1 else WHOLE)


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
    if _mode != SHARED or count < world():
        with _as(WHOLE):
            return run(*inputs)
    with _as(INSIDE, count):
        rows = run(*(None if x is None else _own(x, count) for x in inputs))
    whole = gather(rows, count)
    setattr(whole, OWN, rows)
    return whole


def _own(whole: Tensor, count: int) -> Tensor:
    """Rows of this rank, as `apart` made them if it did, so that gradients find their way back without an exchange."""
    return getattr(whole, OWN, whole[share(count, rank())])


def average_gradients(parameters: Iterable[nn.Parameter]) -> None:
    """Replace the gradients by their means over the ranks."""
    if _mode != SHARED:
        return
    gradients = [p.grad for p in parameters if p.grad is not None]
    dense = [_dense(g) if g.numel() >= LARGE else None for g in gradients]
    large = [g for g in dense if g is not None]
    with _lost():  # large ones where they lie
        if _memory is not None:
            for g in large:
                _memory.sum_(g, 1 / world())
        else:  # and all at once
            works = [distributed.all_reduce(g, group=_group, async_op=True) for g in large]
            for g, work in zip(large, works, strict=True):
                work.wait()  # pyright: ignore[reportOptionalMemberAccess]
                g.div_(world())
    others = [g for g, view in zip(gradients, dense, strict=True) if view is None]
    if others:
        flat = total(torch.cat([g.flatten() for g in others])).div_(world())
        for g, mean in zip(others, flat.split([g.numel() for g in others]), strict=True):
            g.copy_(mean.view(g.shape))


def _dense(tensor: Tensor) -> Tensor | None:
    """A contiguous view of a tensor in either memory format; None for any other."""
    views = [tensor, tensor.permute(0, 2, 3, 1)] if tensor.ndim == 4 else [tensor]
    return next((view for view in views if view.is_contiguous()), None)


def _tensors(state: Any) -> Iterator[Tensor]:
    if isinstance(state, Tensor):
        yield state
    elif isinstance(state, dict):
        for part in state.values():
            yield from _tensors(part)


def align(state: dict[str, Any]) -> None:
    """Overwrite the tensors of a state, in place, by those of rank 0, so that all ranks begin equal to the last bit."""
    if world() > 1:
        on_gpus = distributed.get_backend() == "nccl"  # which leaves random states and the like to the CPU
        for tensor in (t for t in _tensors(state) if t.is_cuda == on_gpus):
            dense = tensor.contiguous()
            with _lost():
                distributed.broadcast(dense, 0, group=_group)
            tensor.copy_(dense)


def from_rank_zero(make: Callable[[], T]) -> T:
    """What rank 0 makes, on all ranks; its `UsageError` or `RunFailed` too. The result is pickled."""
    if world() == 1:
        return make()
    answer: list[Any] = [None, None]
    if rank() == 0:
        try:
            answer[0] = make()
        except (UsageError, RunFailed) as error:
            answer[1] = error
    with _lost():
        distributed.broadcast_object_list(answer, 0)
    if answer[1] is not None:
        raise answer[1]
    return answer[0]


def rank_zero_first(make: Callable[[], T]) -> T:
    """What each rank makes for itself, once rank 0 has made it: it downloads what the others then find."""
    made: list[T] = []
    from_rank_zero(lambda: made.append(make()))
    return made[0] if made else make()


def any_of(flag: bool) -> bool:
    """Whether the flag is set on any rank."""
    return bool(max(_everywhere(flag))) if world() > 1 else flag


def _everywhere(value: Any) -> list[Any]:
    values: list[Any] = [None] * world()
    with _lost():
        distributed.all_gather_object(values, value)
    return values


def wait() -> None:
    """Wait until every rank is here."""
    any_of(False)


def first_to_speak() -> bool:
    """Whether this process should print the error that ends the run, so that it stands there once."""
    if not launched():
        return True
    try:
        address, port = os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"])
        store = TCPStore(address, port, is_master=False, timeout=timedelta(seconds=5))
        return store.add(f"kmgan/spoken/{os.environ.get('TORCHELASTIC_RESTART_COUNT', 0)}", 1) == 1
    except (KeyError, ValueError, RuntimeError):  # the store went with its process
        return True
