"""Processes that train together, by PyTorch's own engine: ``torchrun --nproc-per-node N -m kmgan_lib train ...``.

How they join, what they tell each other and how one of them is missed. What each does of a step: `kmgan_lib.shares`,
and of an update: `kmgan_lib.shared_update`.
"""

from __future__ import annotations

import contextlib
import mmap
import os
from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta
from typing import Any, TypeVar

import torch
from torch import Tensor, distributed
from torch.distributed import PrefixStore, TCPStore  # pyright: ignore[reportPrivateImportUsage]
from torch.distributed.rendezvous import rendezvous

from kmgan_lib import shared_memory
from kmgan_lib.checkpoint import first_line
from kmgan_lib.errors import RunFailed, UsageError
from kmgan_lib.shared_memory import SharedMemory
from kmgan_lib.stopping import ignore_termination

T = TypeVar("T")
PATIENCE = timedelta(seconds=25)  # within a step: a rank that is silent for longer is lost
LONG = timedelta(hours=2)  # while rank 0 alone reads, downloads or writes
LARGE = 1 << 16  # numbers of a tensor that is worth a reduction of its own

_group: Any = None  # of the collectives within a step
_memory: SharedMemory | None = None  # in their place where all ranks are on the CPUs of one machine
_joins = 0


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
            _memory = _exchange()
        yield
    finally:
        _group = _memory = None
        if distributed.is_initialized():
            distributed.destroy_process_group()


def _exchange() -> SharedMemory | None:
    """Through which the ranks of this machine exchange tensors; None if there is no memory for it."""
    memory = _opened(shared_memory.size(world()))
    return None if memory is None else SharedMemory(memory, rank=rank(), world=world(), patience=PATIENCE)


def _opened(size: int) -> mmap.mmap | None:
    """New memory of so many bytes that all ranks share; None, everywhere, if one of them cannot open it."""
    process, file = from_rank_zero(lambda: (os.getpid(), shared_memory.create(size)))
    memory = None
    if file is not None:
        with contextlib.suppress(OSError):
            memory = shared_memory.mapped(process, file)
    everywhere = not any_of(memory is None)
    if rank() == 0 and file is not None:
        os.close(file)  # all have theirs
    return memory if everywhere else None


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
        ignore_termination()  # which torchrun sends to those that are left, perhaps before they have said this line
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


def mean_(tensors: Sequence[Tensor]) -> None:
    """Overwrite tensors by their means over the ranks."""
    large, others = [numbers(t) for t in tensors if is_large(t)], [t for t in tensors if not is_large(t)]
    with _lost():  # large ones where they lie
        if _memory is not None:
            for t in large:
                _memory.sum_(t, 1 / world())
        else:  # and all at once
            works = [distributed.all_reduce(t, group=_group, async_op=True) for t in large]
            for t, work in zip(large, works, strict=True):
                work.wait()  # pyright: ignore[reportOptionalMemberAccess]
                t.div_(world())
    if others:
        flat = total(torch.cat([t.flatten() for t in others])).div_(world())
        for t, mean in zip(others, flat.split([t.numel() for t in others]), strict=True):
            t.copy_(mean.view(t.shape))


def is_large(tensor: Tensor) -> bool:
    """Whether a tensor is worth an exchange of its own: it has many numbers, without gaps, in either memory format."""
    return tensor.numel() >= LARGE and _dense(tensor) is not None


def numbers(tensor: Tensor) -> Tensor:
    """The numbers (n,) of a tensor without gaps, in the order of its memory; a view."""
    dense = _dense(tensor)
    assert dense is not None
    return dense.view(-1)


def _dense(tensor: Tensor) -> Tensor | None:
    """A contiguous view of a tensor in either memory format; None for any other."""
    views = [tensor, tensor.permute(0, 2, 3, 1)] if tensor.ndim == 4 else [tensor]
    return next((view for view in views if view.is_contiguous()), None)


def on_one_machine() -> bool:
    """Whether the ranks have common memory."""
    return _memory is not None


def mean_rows_(tensor: Tensor) -> None:
    """Overwrite the `share` of this rank of a dense tensor (n, ...) by the mean over the ranks; the rest stays."""
    assert _memory is not None
    with _lost():
        _memory.mean_rows_(numbers(tensor).view(len(tensor), -1))


def share(count: int, number: int | None = None) -> slice:
    """The rows, of so many, that a rank works on; by default this one."""
    return shared_memory.share(count, rank() if number is None else number, world())


def in_common(likes: Sequence[Tensor]) -> list[Tensor] | None:
    """New dense tensors like these in memory that all ranks share; None if there is none to be had."""
    if _memory is None or not likes:
        return None if _memory is None else []
    edges = [0]
    for like in likes:
        lines = -(-like.numel() * like.element_size() // shared_memory.LINE)
        edges.append(edges[-1] + lines * shared_memory.LINE)
    memory = _opened(edges[-1])
    if memory is None:
        return None
    flat = [
        torch.frombuffer(memory, dtype=like.dtype, count=like.numel(), offset=offset)
        for like, offset in zip(likes, edges, strict=False)
    ]
    return [there.as_strided(like.shape, like.stride()) for there, like in zip(flat, likes, strict=True)]


def meet() -> None:
    """Wait until every rank of this machine is here and what they wrote in common memory can be read."""
    if _memory is not None:
        with _lost():
            _memory.meet()


def _tensors(state: Any) -> Iterator[Tensor]:
    if isinstance(state, Tensor):
        yield state
    elif isinstance(state, dict):
        for value in state.values():
            yield from _tensors(value)


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
