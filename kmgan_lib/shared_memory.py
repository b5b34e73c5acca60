"""Exchanges between processes of one machine through memory that all of them see.

Within an iteration the processes that train together meet some seventy times with a few kilobytes each, and three
times with all gradients. Through gloo's sockets such a meeting takes a quarter of a millisecond, and gradients travel
at a gigabyte a second; through shared memory it takes some microseconds, and gradients travel as fast as memory is.
What is updated there: `kmgan_lib.shared_update`.
"""

from __future__ import annotations

import mmap
import os
import platform
import sys
import time
from datetime import timedelta
from pathlib import Path

import torch
from torch import Tensor

SLOT = 1 << 18  # bytes that a process shows at a time: several of them stay in a core's cache
LINE = 64  # bytes of a cache line, so that processes do not write side by side
LOOKS = 2_000  # for the others before this process sleeps; they take a tenth of a millisecond
NAP, DOZE = 20e-6, 0.05  # seconds of a first sleep; waited so long, it sleeps a thousandth and asks who is still there


def possible() -> bool:
    """Whether this machine can do it: Linux, and processors that show their writes in order, as x86 does."""
    return sys.platform == "linux" and platform.machine() == "x86_64"


def create(size: int) -> int | None:
    """Memory of so many bytes that has no name and goes with its last user; None if there is none to be had."""
    file = os.memfd_create("kmgan")
    try:
        os.posix_fallocate(file, 0, size)  # now, since a page that is not there later would kill a process
    except OSError:
        os.close(file)
        return None
    return file


def mapped(process: int, file: int) -> mmap.mmap:
    """The memory that a process of this machine has made by `create`, of which it says its number and descriptor."""
    with open(f"/proc/{process}/fd/{file}", "r+b") as memory:
        return mmap.mmap(memory.fileno(), 0)


def size(world: int) -> int:
    """Bytes that so many processes need for their exchanges."""
    return LINE * world + 2 * world * SLOT


def share(count: int, number: int, world: int) -> slice:
    """The rows, of so many, that one of several processes works on; the last has as many as any."""
    return slice(count * number // world, count * (number + 1) // world)


class SharedMemory:
    """What one process does in the memory that all of them have `mapped`.

    Parameters
    ----------
    memory : mmap
    rank, world : int
    patience : timedelta
        A process that is silent for longer is lost.

    Notes
    -----
    Every process has a counter and two slots. An exchange is: write into a slot, raise the counter, wait for the
    counters of the others, read their slots. The next one uses the other slots: whoever reaches the one after next has
    seen that all have begun the next, so that nobody reads this one's any more.
    """

    def __init__(self, memory: mmap.mmap, *, rank: int, world: int, patience: timedelta):
        self.rank, self.world, self.patience = rank, world, patience.total_seconds()
        self._counters = memoryview(memory)[: LINE * world].cast("q")
        slots = torch.frombuffer(memory, dtype=torch.uint8, offset=LINE * world)
        self._slots = slots.view(2, world, SLOT)
        # With fewer cores than processes those that wait would keep the others from coming.
        self._looks = LOOKS if len(os.sched_getaffinity(0)) >= world else 0
        self._views: dict[tuple[int, torch.dtype, torch.Size], Tensor] = {}  # a network has few shapes
        self._turn = self._exchange = 0
        self._processes = [0] * world  # a number that is always there
        self._processes = [int(number) for number in self.gather(torch.tensor([os.getpid()]))]

    def gather(self, mine: Tensor) -> Tensor:
        """The tensors (...) of all processes, which have one shape and type, as one (processes, ...)."""
        parts = mine.new_empty((self.world, *mine.shape))
        if mine.numel() * mine.element_size() <= SLOT:
            parts.copy_(self._shown_by_all(mine))
            return parts
        length = SLOT // mine.element_size()
        received = parts.view(self.world, -1).split(length, 1)
        for piece, there in zip(mine.contiguous().view(-1).split(length), received, strict=True):
            there.copy_(self._shown_by_all(piece))
        return parts

    def _shown_by_all(self, mine: Tensor) -> Tensor:
        """As `gather`, for what goes into a slot: a view that is good until the exchange after next."""
        slots = self._next_slots(mine.dtype, mine.shape)
        slots[self.rank].copy_(mine)
        self.meet()
        return slots

    def sum_(self, tensor: Tensor, scale: float = 1.0) -> None:
        """Overwrite a contiguous tensor by the sum over the processes, the same to the last bit on all, times a scale.

        Each process adds up its part of every slot, and takes the other parts from where they were added up.
        """
        for piece in tensor.view(-1).split(SLOT // tensor.element_size()):
            slots = self._next_slots(piece.dtype, piece.shape)
            slots[self.rank].copy_(piece)
            self.meet()
            mine = slots[:, share(len(piece), self.rank, self.world)]
            for other in mine[1:]:
                mine[0].add_(other)
            if scale != 1:
                mine[0].mul_(scale)
            self.meet()
            piece.copy_(slots[0])

    def mean_rows_(self, matrix: Tensor) -> None:
        """Overwrite this process's `share` of the rows (n, m) of a contiguous tensor by their mean over the processes.

        The other rows stay as they are.
        """
        shares = [matrix[share(len(matrix), r, self.world)].view(-1) for r in range(self.world)]
        others = [r for r in range(self.world) if r != self.rank]
        length = SLOT // (self.world * matrix.element_size())
        for start in range(0, len(shares[-1]), length):  # the last one is the longest
            pieces = [part[start : start + length] for part in shares]
            slots = self._next_slots(matrix.dtype, torch.Size((self.world, length)))
            for r in others:
                slots[self.rank, r, : len(pieces[r])].copy_(pieces[r])
            self.meet()
            mine = pieces[self.rank]
            for r in others:
                mine.add_(slots[r, self.rank, : len(mine)])
            mine.div_(self.world)

    def _next_slots(self, dtype: torch.dtype, shape: torch.Size) -> Tensor:
        """The slots (processes, ...) of the next exchange, as tensors of a type and shape."""
        self._exchange += 1
        key = self._exchange % 2, dtype, shape
        if key not in self._views:
            count = dtype.itemsize * shape.numel()
            self._views[key] = self._slots[key[0], :, :count].view(dtype).view(self.world, *shape)
        return self._views[key]

    def meet(self) -> None:
        """Show what was written, and wait until the others have shown theirs."""
        self._turn += 1
        self._counters[self.rank * LINE // 8] = self._turn
        for r in range(self.world):
            looks = self._looks
            while not self._has_come(r):
                looks -= 1
                if looks < 0:
                    self._sleep(r)

    def _has_come(self, r: int) -> bool:
        return self._counters[r * LINE // 8] >= self._turn

    def _sleep(self, r: int) -> None:
        """Wait without a core for a process that takes long; a `RuntimeError` if it is gone, or too long silent."""
        begun = time.monotonic()
        while not self._has_come(r):
            waited = time.monotonic() - begun
            time.sleep(NAP if waited < DOZE else 0.001)
            if waited < DOZE:
                continue
            if not Path("/proc", str(self._processes[r] or os.getpid())).exists() and not self._has_come(r):
                raise RuntimeError(f"rank {r} has ended")
            if waited > self.patience:
                raise RuntimeError(f"rank {r} has been silent for {self.patience:g} seconds")
