"""No step waits for the device or has a shape that depends on data, as CUDA graphs demand, or needs float64."""

import copy
import logging
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from kmgan_lib import presets
from kmgan_lib.training.graph import Stepper

from ..conftest import random_batch, small_method

FORBIDDEN = (
    "_local_scalar_dense", "item", "is_nonzero", "equal", "nonzero", "masked_select", "_unique", "_unique2",
    "unique_dim", "unique_consecutive", "bincount", "histc", "repeat_interleave.Tensor", "allclose",
)  # fmt: skip


class Watch(TorchDispatchMode):
    """Collects the names of operators that wait for the device, and of those that make numbers in float64."""

    def __init__(self) -> None:
        super().__init__()
        self.waits: list[str] = []
        self.doubles: list[str] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func._schema.name.removeprefix("aten::")
        overload = f"{name}.{func._overloadname}"
        if name in FORBIDDEN or overload in FORBIDDEN or self._masks(name, args):
            self.waits.append(overload)
        result = func(*args, **(kwargs or {}))
        if any(isinstance(leaf, Tensor) and leaf.dtype == torch.float64 for leaf in tree_leaves(result)):
            self.doubles.append(overload)
        return result

    @staticmethod
    def _masks(name: str, args: Any) -> bool:
        """Whether an index is a mask, whose true entries somebody has to count."""
        if name not in ("index", "index_put", "index_put_", "_index_put_impl_", "_unsafe_index"):
            return False
        return any(isinstance(i, Tensor) and i.dtype in (torch.bool, torch.uint8) for i in args[1])


EVERY = [f"digits/{name}" for name in sorted(presets.METHODS)] + ["synthetic/kmgan", "cifar10-32/kmgan"]
NETWORKS = [f"{g}/{m}" for g in ("cifar10", "cifar10-32", "celeba") for m in ("kmgan", "dcgan", "ali", "mix_wgan")]
NETWORKS += ["cifar10/dcgan-conditional", "celeba/generalized", "celeba/reduced"]  # of Tables 3 and 5
VARIANTS: list[tuple[str, dict[str, Any]]] = [
    *((name, {}) for name in EVERY), *((name, {"batch": 4, "width": 0.01}) for name in NETWORKS),
    *(("digits/kmgan", {"center_gate": gate, "d_round": 2.0}) for gate in ("floor", "start_step", "stop_step")),
    *(("digits/kmgan", {"center_update": rule}) for rule in ("counts", "counts100", "ema", "recluster")),
    ("digits/kmgan", {"grouping": "random"}), ("digits/kmgan", {"fresh": True, "fake_labels": "own"}),
    ("digits/kmgan-true", {"k": 10}), ("digits/kmgan-generalized", {"clip": 0.01}),
    ("digits/kmgan", {"center_loss": False}), ("digits/reduced-fair", {}), ("digits/dcgan-unconditional", {}),
    ("digits/mlgan", {"clip": 0.01}), ("digits/dcgan", {"precision": "bf16"}), ("digits/kmgan", {"precision": "bf16"}),
    ("digits/kmgan_plus-random", {}), ("digits/kmgan_plus", {"embedding": "centers", "center_loss": 0.1}),
]  # fmt: skip


@pytest.mark.parametrize(("name", "changes"), VARIANTS, ids=str)
def test_a_step_never_waits_for_the_device_and_nothing_needs_float64(name: str, changes: dict[str, Any]) -> None:
    with Watch() as watch:
        method = small_method(name, **changes)
        batch = random_batch(method)
        method.step(*batch)  # optimisers make their state
        watch.waits.clear()
        losses = method.step(*batch)
        method.update_average(1)
    assert (watch.waits, watch.doubles) == ([], [])
    assert all(bool(loss.isfinite()) and loss.shape == () and not loss.requires_grad for loss in losses.values())
    assert method.features(batch[0], batch[1]).ndim == 2


def test_the_check_finds_what_waits_and_float64() -> None:
    waits = [
        lambda x: x.sum().item(), lambda x: bool(x.sum() > 0), lambda x: x[x > 0], lambda x: x.nonzero(),
        lambda x: x.unique(), lambda x: x.long().bincount(minlength=3), lambda x: torch.equal(x, x),
        lambda x: torch.where(x > 0), lambda x: torch.nn.functional.one_hot(x.long(), 5),
    ]  # fmt: skip
    for read in waits:
        with Watch() as watch:
            read(torch.arange(4.0))
        assert watch.waits
        assert not watch.doubles
    with Watch() as watch:
        torch.ones(2).double()
    assert watch.doubles


@pytest.mark.parametrize("name", sorted(presets.METHODS))
def test_steps_from_static_inputs_are_the_steps(name: str) -> None:
    """No step keeps or changes its inputs, and none takes anything else from outside that changes."""
    plain = small_method(f"digits/{name}")
    method = copy.deepcopy(plain)
    inputs = random_batch(method)
    for seed in range(3):
        for mine, new in zip(inputs, random_batch(method, seed), strict=True):
            mine.copy_(new)
        assert method.step(*inputs) == plain.step(*random_batch(plain, seed))
        assert all(map(torch.equal, inputs, random_batch(method, seed)))


def test_the_decision_is_the_devices(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    method = small_method("digits/kmgan")
    assert Stepper(method).reason == "CUDA graphs need a CUDA device"
    assert not caplog.records
    method.device = torch.device("cuda")
    assert Stepper(method).reason is None
    monkeypatch.setattr("kmgan_lib.distributed.world_size", lambda: 2)
    with caplog.at_level(logging.WARNING):
        Stepper(method)
    assert "no CUDA graph: several devices" in caplog.text


def test_a_failed_capture_is_announced_and_the_run_goes_on(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:

    def refuse() -> None:
        raise RuntimeError("no capture here\nand a long story")

    method = small_method("digits/kmgan")
    plain = copy.deepcopy(method)
    method.device = torch.device("cuda")
    stepper = Stepper(method)
    method.device = torch.device("cpu")
    monkeypatch.setattr(stepper, "_on_side_stream", method.step)
    monkeypatch.setattr(torch.cuda, "CUDAGraph", refuse)
    for seed in range(6):
        assert stepper(*random_batch(method, seed)) == plain.step(*random_batch(plain, seed))
    assert "the capture failed (no capture here)" in (stepper.reason or "")
    assert caplog.text.count("no CUDA graph") == 1
