"""Two processes that want the same run directory."""

import errno
import fcntl
import json
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kmgan_lib.errors import DirectoryInUse
from kmgan_lib.files import held
from kmgan_lib.metrics import evaluate
from kmgan_lib.training.run import CHECKPOINT, Run, load_checkpoint

from ..conftest import MadeUp, Quick
from ..kit.conftest import pretended
from .conftest import TINY, goes_on_as, words
from .forks import Ended, Forks


def wait_for(path: Path, words: int = 0) -> None:
    """Wait until a file is there, and has so many words."""
    until = time.monotonic() + 60
    while not path.exists() or len(path.read_bytes().split()) < words:
        assert time.monotonic() < until
        time.sleep(0.01)


def test_a_second_training_is_refused(forks: Forks, whole: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    training = forks.start(train={**TINY, "out": str(out)}, slow=1.0)
    wait_for(out / CHECKPOINT)
    refusal = f"kmgan: {out} is in use by another process: wait for its end, or name another one\n"
    for second in (words(out), [word for word in words(out) if word != "--resume"]):
        assert forks.run(cli=second) == Ended(3, refusal)
    measuring = forks.run(cli=["evaluate", str(out)])
    assert (measuring.status, measuring.said.count("\n")) == (2, 1)

    # SIGTERM, as clusters send it, is a checkpoint and an end.
    reached = load_checkpoint(out, "cpu")["iteration"]
    os.kill(training, signal.SIGTERM)
    ended = forks.wait(training)
    assert ended.status == 130
    assert "--resume continues" in ended.said
    stopped = load_checkpoint(out, "cpu")["iteration"]
    assert reached <= stopped < TINY["iterations"]
    assert f"stopped at iteration {stopped} " in ended.said
    assert not (out / ".lock").exists()
    goes_on_as(whole, forks, out)


def test_a_folder_with_a_lock_left_behind_is_empty(quick: Quick, tmp_path: Path) -> None:
    for resume in (True, False):
        out = tmp_path / str(resume)
        out.mkdir()
        (out / ".lock").write_text("{")
        (out / ".config.json.part").write_text("{")
        assert quick(out, iterations=2, resume=resume).result["iterations"] == 2


def test_a_run_is_measured_by_one_process_at_a_time_and_nothing_measured_is_lost(quick: Quick, tmp_path: Path) -> None:
    run = quick(tmp_path / "run")
    other = Run.open(run.directory)
    with held(run.directory), pytest.raises(DirectoryInUse):
        evaluate(run)
    evaluate(run, only=["centers"])
    evaluate(other, only=["clustering"])
    assert set(Run.open(run.directory).result["metrics"]) == {"centers", "clustering"}


def test_where_there_are_no_locks_everything_goes_on(
    quick: Quick, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: int) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", refuse)
    assert quick(tmp_path / "run", iterations=1).result["iterations"] == 1


Job = Callable[[int, str], dict[str, Any]]


@pytest.fixture
def job(made_up: MadeUp, tmp_path: Path) -> Job:
    """Return a function that plans a sweep in which a script stands for Python and does what is said."""
    places = {"runs": str(tmp_path / "runs"), "results": str(tmp_path / "results")}
    return lambda seeds, train: {
        "plan": [["digits/kmgan", "smoke", seed] for seed in range(seeds)], **places,
        "executable": pretended(made_up, tmp_path, train, seeds=seeds),
    }  # fmt: skip


def test_two_sweeps_over_the_same_plan_do_no_run_twice(forks: Forks, job: Job, tmp_path: Path) -> None:
    sweep = job(6, f"while [ ! -e {tmp_path / 'go'} ]; do sleep 0.05; done; COPY")
    pids = [forks.start(sweep=sweep) for _ in range(2)]
    wait_for(tmp_path / "begun", words=2)
    (tmp_path / "go").touch()
    ended = [forks.wait(pid) for pid in pids]
    assert [end.status for end in ended] == [0, 0], ended
    assert sorted((tmp_path / "begun").read_text().split()) == list("012345")
    outcomes = [(seed, status) for end in ended for _, seed, status, _ in json.loads(end.said)]
    assert sorted(outcomes) == sorted([(s, "completed") for s in range(6)] + [(s, "taken") for s in range(6)])
    assert len(list((tmp_path / "results").glob("digits/kmgan/*/result.json"))) == 6


def test_a_sweep_that_is_terminated_stops_its_runs_first_and_leaves_none_behind_the_second_time(
    forks: Forks, job: Job, tmp_path: Path
) -> None:
    """As ``timeout`` does it: it tells its process and then the whole group."""
    ready, heard = tmp_path / "ready", tmp_path / "heard"
    pid = forks.start(sweep=job(1, f"trap 'touch {heard}' TERM; touch {ready}; while true; do sleep 0.05; done"))
    for told in (ready, heard):
        wait_for(told)
        os.kill(pid, signal.SIGTERM)
    assert forks.wait(pid).status == 130
    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "pid").read_text()), 0)
