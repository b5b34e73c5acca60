"""Processes of one machine see each other's tensors; one that is gone or silent is named. Threads stand in for them."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
import torch
from torch import Tensor

from kmgan_lib import shared_memory
from kmgan_lib.shared_memory import LINE, SharedMemory, share

pytestmark = pytest.mark.skipif(not shared_memory.possible(), reason="gloo does it on this machine")
SLOT = 96  # bytes, so that most tensors take several exchanges


@pytest.fixture(params=[2, 3])
def members(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[SharedMemory]]:
    monkeypatch.setattr(shared_memory, "SLOT", SLOT)
    world = request.param
    file = shared_memory.create(shared_memory.size(world))
    assert file is not None
    maps = [shared_memory.mapped(os.getpid(), file) for _ in range(world)]
    os.close(file)  # the maps hold it
    with ThreadPoolExecutor(world) as pool:
        made = [
            pool.submit(SharedMemory, memory, rank=r, world=world, patience=timedelta(seconds=0.2))
            for r, memory in enumerate(maps)
        ]
        yield [future.result() for future in made]


def everywhere(members: list[SharedMemory], work: Callable[[SharedMemory], Any]) -> list[Any]:
    with ThreadPoolExecutor(len(members)) as pool:
        return list(pool.map(work, members))


def tensor(rank: int, dtype: torch.dtype, shape: tuple[int, ...]) -> Tensor:
    return (torch.rand(shape, generator=torch.Generator().manual_seed(rank)) * 100).to(dtype)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16, torch.int64, torch.uint8, torch.bool])
@pytest.mark.parametrize("shape", [(), (1,), (3, 5), (SLOT,), (7, 3, 11), (2, 0)])
def test_gather_gives_every_tensor_to_all(
    members: list[SharedMemory], dtype: torch.dtype, shape: tuple[int, ...]
) -> None:
    expected = torch.stack([tensor(m.rank, dtype, shape) for m in members])
    for _ in range(3):  # slots are used again
        for found in everywhere(members, lambda m: m.gather(tensor(m.rank, dtype, shape))):
            assert torch.equal(found, expected)


def test_gather_takes_any_order_of_memory(members: list[SharedMemory]) -> None:
    found = everywhere(members, lambda m: m.gather(tensor(m.rank, torch.float32, (5, 9)).T))
    assert torch.equal(found[0], torch.stack([tensor(m.rank, torch.float32, (5, 9)).T for m in members]))


@pytest.mark.parametrize("length", [1, 2, 24, 25, 1000])
@pytest.mark.parametrize("scale", [1.0, 0.5])
def test_sums_are_equal_to_the_last_bit(members: list[SharedMemory], length: int, scale: float) -> None:
    def summed(member: SharedMemory) -> Tensor:
        mine = tensor(member.rank, torch.float32, (length,))
        member.sum_(mine, scale)
        return mine

    found = everywhere(members, summed)
    expected = torch.stack([tensor(m.rank, torch.float64, (length,)) for m in members]).sum(0) * scale
    torch.testing.assert_close(found[0].double(), expected, rtol=1e-5, atol=1e-5)
    assert all(torch.equal(other, found[0]) for other in found[1:])


@pytest.mark.parametrize("shape", [(1, 5), (2, 40), (3, 1), (7, 30), (100, 3)])
def test_every_row_of_a_mean_is_with_one_member(members: list[SharedMemory], shape: tuple[int, int]) -> None:
    def averaged(member: SharedMemory) -> Tensor:
        mine = tensor(member.rank, torch.float32, shape)
        member.mean_rows_(mine)
        return mine

    own = torch.stack([tensor(m.rank, torch.float32, shape) for m in members])
    taken = []
    for r, found in enumerate(everywhere(members, averaged)):
        rows = share(shape[0], r, len(members))
        torch.testing.assert_close(found[rows], own.mean(0)[rows])
        found[rows] = own[r][rows]
        assert torch.equal(found, own[r])  # nothing else was written
        taken += range(shape[0])[rows]
    assert taken == list(range(shape[0]))


def test_many_exchanges_of_changing_kinds_do_not_mix(members: list[SharedMemory]) -> None:
    def mixed(member: SharedMemory) -> list[Tensor]:
        made = []
        for i in range(60):
            mine = torch.full((1 + i * 7 % 50,), float(i + member.rank))
            if i % 3:
                member.sum_(mine)
                made.append(mine)
            else:
                made.append(member.gather(mine))
        return made

    world = len(members)
    for made in everywhere(members, mixed):
        for i, found in enumerate(made):
            expected = [i * world + sum(range(world))] if i % 3 else [i + r for r in range(world)]
            assert found.unique().tolist() == expected


def test_a_member_that_has_ended_is_named(members: list[SharedMemory]) -> None:
    members[0]._processes[1] = 2**22 + 1  # above the numbers that Linux gives
    with pytest.raises(RuntimeError, match="rank 1 has ended"):
        members[0].gather(torch.ones(3))


def test_a_silent_member_is_named(members: list[SharedMemory]) -> None:
    with pytest.raises(RuntimeError, match=r"rank 1 has been silent for 0\.2 seconds"):
        members[0].gather(torch.ones(3))


def test_members_do_not_write_on_one_line_of_a_cache(members: list[SharedMemory]) -> None:
    everywhere(members, lambda m: m.gather(torch.ones(1)))
    assert list(members[0]._counters[:: LINE // 8])[: len(members)] == [2] * len(members)


def test_without_room_there_is_no_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)
    before = len(os.listdir("/proc/self/fd"))
    assert shared_memory.create(1000) is None
    assert len(os.listdir("/proc/self/fd")) == before
