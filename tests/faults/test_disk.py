"""Files of a run that came to harm on the disk, and memory that runs out."""

from pathlib import Path
from typing import Any

import pytest
import torch

from kmgan_lib import load_generator
from kmgan_lib.errors import RunFailed, UsageError
from kmgan_lib.files import GENERATOR, HISTORY
from kmgan_lib.methods import KMGAN
from kmgan_lib.training.run import CHECKPOINT, Run, load_checkpoint

from ..conftest import Quick, Stopped, contents, stop_at


def harmed(path: Path) -> list[bytes]:
    """The content of a file that was cut, that is empty, and of which one bit is wrong."""
    whole = path.read_bytes()
    half = len(whole) // 2
    return [whole[:half], b"", whole[:half] + bytes([whole[half] ^ 1]) + whole[half + 1 :]]


def test_a_broken_file_is_named_and_the_run_stays_as_it_is(quick: Quick, tmp_path: Path) -> None:
    out = quick(tmp_path / "run", iterations=14).directory
    garbled = [b"iteration,loss\n1,zero\n", b"iteration,loss\n1,2\n\x00\x01,\xff\n", b"loss\n1\n"]
    for name, broken, read, message in (
        (HISTORY, garbled, lambda: Run.open(out).history, r"history\.csv cannot be read.*"),
        (GENERATOR, harmed(out / GENERATOR), lambda: load_generator(out), r"generator\.safetensors is not.*"),
        (CHECKPOINT, harmed(out / CHECKPOINT), lambda: quick(out, resume=True),
         "not a usable checkpoint.*remove it to start this run anew"),
    ):  # fmt: skip
        for content in broken:
            (out / name).write_bytes(content)
            before = contents(out)
            with pytest.raises(UsageError, match=f"^.*{message}$"):
                read()
            assert contents(out) == before


def test_a_run_that_goes_on_has_no_result_until_its_end(quick: Quick, tmp_path: Path) -> None:
    # Killed after its last checkpoint it would pass for finished, with the result of the shorter run.
    quick(tmp_path / "run", iterations=7)
    with pytest.raises(Stopped):
        quick(tmp_path / "run", callback=stop_at(20), resume=True)
    assert not (tmp_path / "run" / "result.json").exists()


NO_MEMORY = torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20 MiB")
ON_THE_CPU = RuntimeError("[enforce fail at alloc_cpu.cpp:114] DefaultCPUAllocator: can't allocate memory: you tried")
OTHER = RuntimeError("shapes cannot be multiplied")


@pytest.mark.parametrize(
    ("error", "at", "batch", "message"),
    [(NO_MEMORY, 10, 16, "^out of memory with batch=16: try --set batch=8; the last checkpoint is kept"),
     (NO_MEMORY, 0, 3, "^out of memory with batch=3: use another --device or --profile$"),
     (ON_THE_CPU, 0, 64, "^out of memory with batch=64: try --set batch=32$"),
     (MemoryError(), 0, 64, "^out of memory with batch=64: try --set batch=32$"), (OTHER, 0, 64, "^shapes cannot")],
)  # fmt: skip
def test_out_of_memory_a_line_names_a_smaller_batch_and_the_run_can_go_on(
    quick: Quick, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception, at: int, batch: int, message: str
) -> None:
    step = KMGAN.step

    def limited(self: KMGAN, *given: Any) -> Any:
        if self.step_count == at:
            raise error
        return step(self, *given)

    with monkeypatch.context() as patch:
        patch.setattr(KMGAN, "step", limited)
        with pytest.raises(RuntimeError if error is OTHER else RunFailed, match=message):
            quick(tmp_path / "run", batch=batch)
    if at:
        assert load_checkpoint(tmp_path / "run", "cpu")["iteration"] == 7
        assert quick(tmp_path / "run", resume=True).result["status"] == "completed"
