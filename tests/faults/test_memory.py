"""Memory that runs out."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from kmgan_lib.errors import RunFailed
from kmgan_lib.methods import KMGAN
from kmgan_lib.training.checkpoint import CHECKPOINT, load_checkpoint

from ..conftest import Command, Quick

ON_THE_CPU = "[enforce fail at alloc_cpu.cpp:114] data. DefaultCPUAllocator: can't allocate memory: you tried"
ON_THE_GPU = "CUDA out of memory. Tried to allocate 20 MiB"
ERRORS = [torch.OutOfMemoryError(ON_THE_GPU), RuntimeError(ON_THE_CPU), MemoryError()]


@pytest.fixture
def memory(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Return a function that lets memory hold so many images a batch, from an iteration on."""
    step = KMGAN.step

    def holds(images: int, error: Exception, after: int = 0) -> None:
        def limited(self: KMGAN, batch: Any, *others: Any) -> Any:
            if len(batch) > images and self.iteration >= after:
                raise error
            return step(self, batch, *others)

        monkeypatch.setattr(KMGAN, "step", limited)

    return holds


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
def test_the_line_names_a_smaller_batch(kmgan: Command, memory: Callable[..., None], error: Exception) -> None:
    memory(20, error)
    words = ["train", "synthetic/kmgan", "--profile", "smoke", "--device", "cpu", "--set", "init_images=100"]
    status, out, err = kmgan(*words, "--set", "batch=64")
    assert (status, out) == (1, "")
    assert err.splitlines()[-1] == "kmgan: out of memory with batch=64: try --set batch=32"
    assert kmgan(*words, "--set", "batch=16", "--set", "iterations=2")[0] == 0


def test_where_no_smaller_batch_is_left_the_line_says_so(
    quick: Quick, memory: Callable[..., None], tmp_path: Path
) -> None:
    memory(1, ERRORS[0])
    with pytest.raises(RunFailed, match="out of memory with batch=3: use another --device or --profile"):
        quick(tmp_path / "run", batch=3)
    memory(1, RuntimeError("shapes cannot be multiplied"))
    with pytest.raises(RuntimeError, match="shapes cannot"):  # other errors stay what they are
        quick(tmp_path / "other")


def test_the_checkpoint_of_before_stays_and_resumes(quick: Quick, memory: Callable[..., None], tmp_path: Path) -> None:
    memory(8, ERRORS[0], after=10)
    with pytest.raises(RunFailed, match="batch=16: try --set batch=8; the last checkpoint is kept"):
        quick(tmp_path / "run")
    assert load_checkpoint(tmp_path / "run", "cpu")["iteration"] == 7
    assert (tmp_path / "run" / CHECKPOINT).exists()
    memory(16, ERRORS[0])
    assert quick(tmp_path / "run", resume=True).result["status"] == "completed"
