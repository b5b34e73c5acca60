"""No step reads a tensor to the host or makes a shape that depends on data: what a CUDA graph cannot capture."""

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from kmgan_lib import presets

from ..conftest import random_batch, small_method

FORBIDDEN = (
    "_local_scalar_dense", "item", "is_nonzero", "equal", "nonzero", "masked_select", "_unique", "_unique2",
    "unique_dim", "unique_consecutive", "bincount", "histc", "repeat_interleave.Tensor", "allclose",
)  # fmt: skip


class HostReads(TorchDispatchMode):
    """Collects the names of operators that wait for the device."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func._schema.name.removeprefix("aten::")
        overload = f"{name}.{func._overloadname}"
        if name in FORBIDDEN or overload in FORBIDDEN or self._masks(name, args):
            self.found.append(overload)
        return func(*args, **(kwargs or {}))

    @staticmethod
    def _masks(name: str, args: Any) -> bool:
        """Whether an index is a mask, whose true entries somebody has to count."""
        if name not in ("index", "index_put", "index_put_", "_index_put_impl_", "_unsafe_index"):
            return False
        return any(isinstance(i, Tensor) and i.dtype in (torch.bool, torch.uint8) for i in args[1])


EVERY = [f"digits/{name}" for name in sorted(presets.METHODS)] + ["synthetic/kmgan", "cifar10-32/kmgan"]
VARIANTS: list[tuple[str, dict[str, Any]]] = [
    *((name, {}) for name in EVERY),
    *(("digits/kmgan", {"center_gate": gate, "d_round": 2.0}) for gate in ("floor", "start_step", "stop_step")),
    *(("digits/kmgan", {"center_update": rule}) for rule in ("counts", "counts100", "ema", "recluster")),
    ("digits/kmgan", {"grouping": "random"}), ("digits/kmgan", {"fresh": True, "fake_labels": "own"}),
    ("digits/kmgan-true", {"k": 10}), ("digits/kmgan-generalized", {"clip": 0.01}),
    ("digits/kmgan", {"center_loss": False}), ("digits/reduced-fair", {}), ("digits/dcgan-unconditional", {}),
    ("digits/mlgan", {"clip": 0.01}), ("digits/dcgan", {"precision": "bf16"}), ("digits/kmgan", {"precision": "bf16"}),
    ("digits/kmgan_plus-random", {}), ("digits/kmgan_plus", {"embedding": "centers", "center_loss": 0.1}),
]  # fmt: skip


@pytest.mark.parametrize(("name", "changes"), VARIANTS, ids=str)
def test_a_step_never_waits_for_the_device(name: str, changes: dict[str, Any]) -> None:
    method = small_method(name, **changes)
    batch = random_batch(method)
    method.step(*batch)  # optimisers make their state
    with HostReads() as reads:
        method.step(*batch)
    assert reads.found == []


def test_the_check_finds_what_waits() -> None:
    waits = [
        lambda x: x.sum().item(), lambda x: bool(x.sum() > 0), lambda x: x[x > 0], lambda x: x.nonzero(),
        lambda x: x.unique(), lambda x: x.long().bincount(minlength=3), lambda x: torch.equal(x, x),
        lambda x: torch.where(x > 0), lambda x: torch.nn.functional.one_hot(x.long(), 5),
    ]  # fmt: skip
    for read in waits:
        with HostReads() as reads:
            read(torch.arange(4.0))
        assert reads.found
