"""Memory that runs out."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from kmgan_lib.errors import RunFailed
from kmgan_lib.methods import KMGAN
from kmgan_lib.training.run import load_checkpoint

from ..conftest import Quick

ON_THE_CPU = "[enforce fail at alloc_cpu.cpp:114] data. DefaultCPUAllocator: can't allocate memory: you tried"
ON_THE_GPU = "CUDA out of memory. Tried to allocate 20 MiB"
ERRORS = [torch.OutOfMemoryError(ON_THE_GPU), RuntimeError(ON_THE_CPU), MemoryError()]
Memory = Callable[[Exception, int], None]


@pytest.fixture
def memory(monkeypatch: pytest.MonkeyPatch) -> Memory:
    """Return a function that lets memory run out at an iteration."""
    step = KMGAN.step

    def runs_out(error: Exception, at: int) -> None:
        def limited(self: KMGAN, *batch: Any) -> Any:
            if self.step_count == at:
                raise error
            return step(self, *batch)

        monkeypatch.setattr(KMGAN, "step", limited)

    return runs_out


def test_the_line_names_a_smaller_batch(quick: Quick, memory: Memory, tmp_path: Path) -> None:
    cases = [(error, 64, "try --set batch=32") for error in ERRORS]
    cases.append((ERRORS[0], 3, "use another --device or --profile"))
    for number, (error, batch, advice) in enumerate(cases):
        memory(error, 0)
        with pytest.raises(RunFailed, match=f"^out of memory with batch={batch}: {advice}$"):
            quick(tmp_path / str(number), batch=batch)
    memory(RuntimeError("shapes cannot be multiplied"), 0)
    with pytest.raises(RuntimeError, match="shapes cannot"):  # other errors stay what they are
        quick(tmp_path / "other")


def test_the_checkpoint_of_before_stays_and_resumes(quick: Quick, memory: Memory, tmp_path: Path) -> None:
    memory(ERRORS[0], 10)
    with pytest.raises(RunFailed, match="batch=16: try --set batch=8; the last checkpoint is kept"):
        quick(tmp_path / "run")
    assert load_checkpoint(tmp_path / "run", "cpu")["iteration"] == 7
    memory(ERRORS[0], -1)
    assert quick(tmp_path / "run", resume=True).result["status"] == "completed"
