"""kill -9, at any moment: the run goes on from its last checkpoint and ends as if nothing had been."""

import random
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from kmgan_lib.training.checkpoint import load_checkpoint

from .conftest import TINY, Whole, assert_same_files
from .forks import Forks

KILLED = -signal.SIGKILL
LAST_MOMENT = 25  # of the writing; in a run of this size there are about ninety


def kill_and_resume(forks: Forks, whole: Whole, place: Path, kills: int, seed: int) -> tuple[int, int, int]:
    """Kill runs until there were so many kills.

    Returns the number of kills, of those within a write, and of the runs that came to their end and were compared.
    """
    dice = random.Random(seed)
    done = writing = finished = 0
    while done < kills or finished == 0:
        out = place / f"run{finished}"
        job = {"train": {**TINY, "out": str(out), "resume": True}}
        if done < kills and dice.random() < 0.5:
            ended = forks.run(**job, die_at=dice.randint(1, LAST_MOMENT), share=dice.random())
            writing += ended.status == KILLED
        else:
            ended = forks.wait(forks.start(**job), dice.uniform(0, whole.seconds / 2) if done < kills else None)
        if ended.status == KILLED:
            done += 1
            continue
        assert ended.status == 0, ended.said
        assert_same_files(out, whole.out)
        finished += 1
    return done, writing, finished


@pytest.mark.long
def test_killed_ten_times_a_run_ends_bit_for_bit_as_it_would_have(forks: Forks, whole: Whole, tmp_path: Path) -> None:
    kills, writing, finished = kill_and_resume(forks, whole, tmp_path, kills=10, seed=0)
    assert kills == 10
    assert writing >= 1
    assert finished >= 1


@pytest.mark.fuzz
def test_killed_two_hundred_times_runs_end_bit_for_bit_as_they_would_have(
    forks: Forks, whole: Whole, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    begun = time.monotonic()
    kills, writing, finished = kill_and_resume(forks, whole, tmp_path, kills=200, seed=1)
    record_property("kills", kills)
    print(f"{kills} kills, {writing} of them within a write; {finished} runs; {time.monotonic() - begun:.0f} s")
    assert kills >= 200
    assert writing >= 50
    assert finished >= 2


@pytest.mark.parametrize("share", [0.5, *(pytest.param(share, marks=pytest.mark.long) for share in (0.0, 0.99))])
def test_killed_while_a_checkpoint_is_written_the_one_before_stays(
    forks: Forks, whole: Whole, tmp_path: Path, share: float
) -> None:
    out = tmp_path / "run"
    job = {"train": {**TINY, "out": str(out), "resume": True}}
    assert forks.run(**job, die_writing=3, share=share).status == KILLED
    assert (out / ".checkpoint.pt.part").stat().st_size < (out / "checkpoint.pt").stat().st_size
    assert load_checkpoint(out, "cpu")["iteration"] == 4
    assert forks.run(**job).status == 0
    assert_same_files(out, whole.out)
