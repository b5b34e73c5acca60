"""kill -9 and full disks, at any moment: the run goes on from its last checkpoint and ends as if nothing had been."""

import random
import signal
import time
from pathlib import Path

import pytest

from kmgan_lib.training.run import CHECKPOINT, load_checkpoint

from .conftest import TINY, assert_same_files, goes_on_as, words
from .forks import Forks

KILLED = -signal.SIGKILL
LAST_MOMENT = 25  # of the writing; in a run of this size there are about ninety


@pytest.mark.parametrize(
    ("kills", "least"), [pytest.param(10, 1, marks=pytest.mark.long), pytest.param(200, 50, marks=pytest.mark.fuzz)]
)
def test_killed_again_and_again_runs_end_bit_for_bit_as_they_would_have(
    forks: Forks, whole: Path, tmp_path: Path, kills: int, least: int
) -> None:
    dice = random.Random(kills)
    begun = time.monotonic()
    forks.run(train={**TINY, "out": str(tmp_path / "timed")})
    seconds = time.monotonic() - begun
    done = writing = finished = 0
    while done < kills or finished == 0:
        out = tmp_path / f"run{finished}"
        job = {"train": {**TINY, "out": str(out), "resume": True}}
        if done < kills and dice.random() < 0.5:
            ended = forks.run(**job, die_at=dice.randint(1, LAST_MOMENT), share=dice.random())
            writing += ended.status == KILLED
        else:
            ended = forks.wait(forks.start(**job), dice.uniform(0, seconds / 2) if done < kills else None)
        if ended.status == KILLED:
            done += 1
        else:
            assert ended.status == 0, ended.said
            assert_same_files(out, whole)
            finished += 1
    assert writing >= least  # kills within a write


def test_killed_while_a_checkpoint_is_written_and_on_a_full_disk_the_one_before_stays(
    forks: Forks, whole: Path, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    assert forks.run(train={**TINY, "out": str(out)}, die_writing=3, share=0.5).status == KILLED
    before = (out / CHECKPOINT).read_bytes()
    assert (out / ".checkpoint.pt.part").stat().st_size < len(before)
    assert load_checkpoint(out, "cpu")["iteration"] == 4
    assert (out / ".lock").exists()  # which keeps nobody out
    full = forks.run(cli=words(out), limit=len(before) // 2)
    assert (full.status, full.said.count("\n")) == (1, 1)
    assert full.said.startswith(f"kmgan: {out / CHECKPOINT} could not be written")
    assert (out / CHECKPOINT).read_bytes() == before
    goes_on_as(whole, forks, out)
