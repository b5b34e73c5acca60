"""Weights and moments in common memory: here of one process, whose part is all. Several: `test_distributed`."""

from __future__ import annotations

import copy
import os
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from kmgan_lib import distributed, shared_memory, shared_update
from kmgan_lib.errors import RunFailed
from kmgan_lib.methods.parts import clamp
from kmgan_lib.shared_memory import SharedMemory

pytestmark = pytest.mark.skipif(not shared_memory.possible(), reason="this machine has no such memory")
OPTIMISERS: dict[str, Callable[..., torch.optim.Optimizer]] = {
    "adam": lambda p: torch.optim.Adam(p, 0.01, fused=True),
    "amsgrad": lambda p: torch.optim.Adam(p, 0.01, amsgrad=True),
    "rmsprop": lambda p: torch.optim.RMSprop(p, 0.01, foreach=True),
    "sgd": lambda p: torch.optim.SGD([{"params": p[:1]}, {"params": p[1:], "lr": 0.001}], 0.01, momentum=0.9),
}


@pytest.fixture(autouse=True)
def memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if this process were one of a machine's."""
    file = shared_memory.create(shared_memory.size(1))
    assert file is not None
    mapped = shared_memory.mapped(os.getpid(), file)
    os.close(file)
    monkeypatch.setattr(distributed, "_memory", SharedMemory(mapped, rank=0, world=1, patience=timedelta(seconds=5)))
    monkeypatch.setattr(distributed, "LARGE", 20)


def network() -> nn.Sequential:
    """Large and small parameters, the former in two memory formats."""
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.Linear(16, 5), nn.BatchNorm1d(5))
    return net.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]


def large(net: nn.Sequential) -> list[Tensor]:
    return [net[0].weight, net[2].weight]  # pyright: ignore[reportReturnType]


def learn(net: nn.Module, optimiser: torch.optim.Optimizer, steps: int, *, shared: bool) -> None:
    for _ in range(steps):
        (shared_update.zero_grad if shared else torch.optim.Optimizer.zero_grad)(optimiser)
        net(torch.linspace(-1, 1, 6 * 48).view(6, 3, 4, 4)).square().sum().backward()
        (shared_update.step if shared else lambda o: o.step())(optimiser)


def assert_same(net: nn.Module, other: nn.Module, *states: dict[str, Any]) -> None:
    for a, b in zip(net.parameters(), other.parameters(), strict=True):
        torch.testing.assert_close(a, b)
        assert a.stride() == b.stride()
    mine, theirs = ([v for s in state["state"].values() for v in s.values()] for state in states)
    torch.testing.assert_close(mine, theirs)


@pytest.mark.parametrize("name", OPTIMISERS)
def test_weights_and_moments_are_those_of_the_whole_optimiser(name: str) -> None:
    plain, shared = network(), network()
    optimisers = [OPTIMISERS[name](list(net.parameters())) for net in (plain, shared)]
    shared_update.put_in_common(optimisers[1:])
    assert [shared_update.is_in_common(p) for p in shared.parameters()] == [True, False, True, False, False, False]
    for steps in (1, 3):
        learn(plain, optimisers[0], steps, shared=False)
        learn(shared, optimisers[1], steps, shared=True)
        assert_same(plain, shared, *(o.state_dict() for o in optimisers))


def test_a_loaded_state_is_taken_over() -> None:
    plain, shared = network(), network()
    optimisers = [OPTIMISERS["adam"](list(net.parameters())) for net in (plain, shared)]
    learn(plain, optimisers[0], 3, shared=False)
    shared_update.put_in_common(optimisers[1:])
    learn(shared, optimisers[1], 5, shared=True)
    shared.load_state_dict(plain.state_dict())
    optimisers[1].load_state_dict(copy.deepcopy(optimisers[0].state_dict()))
    for net, optimiser, in_common in zip((plain, shared), optimisers, (False, True), strict=True):
        learn(net, optimiser, 2, shared=in_common)
    assert_same(plain, shared, *(o.state_dict() for o in optimisers))


def test_a_gradient_that_lies_in_another_order_is_understood() -> None:
    # Not with the fused Adam, which itself takes such gradients in a wrong order.
    plain, shared = network(), network()
    optimisers = [OPTIMISERS["amsgrad"](list(net.parameters())) for net in (plain, shared)]
    shared_update.put_in_common(optimisers[1:])
    for net in (plain, shared):
        weight = large(net)[0]
        weight.grad = torch.arange(108.0).view(4, 3, 3, 3)
        assert weight.grad.stride() != weight.stride()
    optimisers[0].step()
    shared_update.step(optimisers[1])
    assert_same(plain, shared, *(o.state_dict() for o in optimisers))


def test_a_product_joins_the_gradient_and_is_forgotten_with_it() -> None:
    net = network()
    optimiser, weight = torch.optim.SGD(net.parameters(), 1.0), large(net)[1]
    shared_update.put_in_common([optimiser])
    before, (left, right) = weight.detach().clone(), (torch.rand(5, 7), torch.rand(7, 16))
    shared_update.add_gradient(weight, left, right)
    shared_update.zero_grad(optimiser)
    shared_update.add_gradient(weight, left, right)
    shared_update.add_gradient(weight, left, right)
    weight.grad = torch.ones(5, 16)
    shared_update.step(optimiser)
    torch.testing.assert_close(weight.detach(), before - 2 * left @ right - 1)
    shared_update.step(optimiser)  # what was added has gone into the weights, what is in `grad` stays, as ever
    torch.testing.assert_close(weight.detach(), before - 2 * left @ right - 2)


def test_a_skipped_step_moves_nothing() -> None:
    net = network()
    optimiser = OPTIMISERS["adam"](list(net.parameters()))
    shared_update.put_in_common([optimiser])
    learn(net, optimiser, 2, shared=True)
    before = [p.detach().clone() for p in net.parameters()]
    optimiser.found_inf = torch.ones(())  # pyright: ignore[reportAttributeAccessIssue]
    learn(net, optimiser, 1, shared=True)
    assert all(torch.equal(p, b) for p, b in zip(net.parameters(), before, strict=True))


def test_two_optimisers_of_the_same_weights_and_clipping_see_one_memory() -> None:
    net = network()
    one, two = (OPTIMISERS[name](list(net.parameters())) for name in ("adam", "rmsprop"))
    shared_update.put_in_common([one, two])
    places = [p.data_ptr() for p in net.parameters()]
    learn(net, one, 1, shared=True)
    learn(net, two, 1, shared=True)
    clamp(list(net.parameters()), 0.01)
    assert all(float(p.detach().abs().max()) <= 0.01 for p in net.parameters())
    assert places == [p.data_ptr() for p in net.parameters()]


def test_after_parting_everything_is_private_and_training_goes_on() -> None:
    plain, shared = network(), network()
    optimisers = [OPTIMISERS["adam"](list(net.parameters())) for net in (plain, shared)]
    shared_update.put_in_common(optimisers[1:])
    learn(shared, optimisers[1], 2, shared=True)
    there = [p.data_ptr() for p in large(shared)]
    shared_update.part_ways(optimisers[1:])
    assert not any(map(shared_update.is_in_common, shared.parameters()))
    assert not set(there) & {p.data_ptr() for p in shared.parameters()}
    learn(shared, optimisers[1], 2, shared=False)
    learn(plain, optimisers[0], 4, shared=False)
    assert_same(plain, shared, *(o.state_dict() for o in optimisers))


def test_without_room_weights_stay_private_and_moments_end_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    net = network()
    optimiser = OPTIMISERS["adam"](list(net.parameters()))
    with monkeypatch.context() as patch:
        patch.setattr(shared_memory, "create", lambda size: None)
        shared_update.put_in_common([optimiser])
        assert not any(map(shared_update.is_in_common, net.parameters()))
        learn(net, optimiser, 1, shared=True)  # as between machines
    shared_update.put_in_common([fresh := OPTIMISERS["adam"](list(net.parameters()))])
    monkeypatch.setattr(shared_memory, "create", lambda size: None)
    with pytest.raises(RunFailed, match="no memory that processes can share is left: free some"):
        learn(net, fresh, 1, shared=True)


def test_a_copy_of_a_network_is_private() -> None:
    net = network()
    shared_update.put_in_common([OPTIMISERS["adam"](list(net.parameters()))])
    twin = copy.deepcopy(net)
    assert not any(map(shared_update.is_in_common, twin.parameters()))
    assert F.mse_loss(large(twin)[0], large(net)[0]) == 0
    assert large(twin)[0].data_ptr() != large(net)[0].data_ptr()
