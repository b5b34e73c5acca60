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

from kmgan_lib.errors import DirectoryInUse, UsageError
from kmgan_lib.metrics import evaluate
from kmgan_lib.training import run as run_module
from kmgan_lib.training.checkpoint import CHECKPOINT, load_checkpoint
from kmgan_lib.training.lock import held
from kmgan_lib.training.run import Run

from ..conftest import MadeUp, Quick
from .conftest import TINY, Whole, assert_same_files
from .forks import Forks
from .test_disk import words


def wait_for(path: Path) -> None:
    until = time.monotonic() + 60
    while not path.exists():
        assert time.monotonic() < until
        time.sleep(0.01)


@pytest.fixture
def training(forks: Forks, tmp_path: Path) -> Any:
    """A run in `tmp_path`/run that is being trained, slowly, by another process: its number."""
    pid = forks.start(train={**TINY, "out": str(tmp_path / "run")}, slow=1.0)
    wait_for(tmp_path / "run" / CHECKPOINT)
    return pid


def test_a_second_training_is_refused(forks: Forks, whole: Whole, training: int, tmp_path: Path) -> None:
    out = tmp_path / "run"
    second = forks.run(cli=words(out))
    assert second.status == 3
    assert second.said == f"kmgan: {out} is in use by another process: wait for its end, or name another one\n"
    third = forks.run(cli=[word for word in words(out) if word != "--resume"])
    assert (third.status, third.said) == (3, second.said)
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
    assert forks.run(train={**TINY, "out": str(out), "resume": True}).status == 0
    assert_same_files(out, whole.out)


def test_what_a_killed_process_leaves_behind_keeps_nobody_out(
    forks: Forks, whole: Whole, training: int, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    assert forks.wait(training, kill_after=0).status == -signal.SIGKILL
    assert (out / ".lock").exists()
    assert forks.run(train={**TINY, "out": str(out), "resume": True}).status == 0
    assert_same_files(out, whole.out)


def test_a_folder_with_a_lock_left_behind_is_empty(quick: Quick, tmp_path: Path) -> None:
    for resume in (True, False):
        out = tmp_path / str(resume)
        out.mkdir()
        (out / ".lock").write_text("{")
        (out / ".config.json.part").write_text("{")
        assert quick(out, iterations=2, resume=resume).result["iterations"] == 2


def test_a_run_that_was_begun_between_look_and_lock_is_not_overwritten(
    quick: Quick, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    choose = run_module._run_dir

    def late(*arguments: Any) -> Path:
        directory = choose(*arguments)
        directory.mkdir()
        (directory / "history.csv").write_text("another's")
        return directory

    monkeypatch.setattr(run_module, "_run_dir", late)
    with pytest.raises(UsageError, match="is not empty"):
        quick(tmp_path / "run", iterations=1)
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["history.csv"]
    assert (tmp_path / "run" / "history.csv").read_text() == "another's"


def test_a_run_is_measured_by_one_process_at_a_time_and_nothing_measured_is_lost(quick: Quick, tmp_path: Path) -> None:
    run = quick(tmp_path / "run")
    before = (run.directory / "result.json").read_bytes()
    with held(run.directory), pytest.raises(DirectoryInUse):
        evaluate(run)
    assert (run.directory / "result.json").read_bytes() == before
    other = Run.open(run.directory)
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


@pytest.fixture
def job(made_up: MadeUp, tmp_path: Path) -> Callable[..., dict[str, Any]]:
    """Return a function that plans a sweep in which a script stands for Python.

    It notes that a training began and does what is said; MADE and $seed name a run that was made up, $out its place.
    """

    made = tmp_path / "made" / "digits" / "kmgan"

    def plan(seeds: int, train: str, **others: Any) -> dict[str, Any]:
        for seed in range(seeds):
            record = made_up(made.parents[1], "digits/kmgan", profile="smoke", seed=seed)
            config = {key: record.result[key] for key in ("preset", "profile", "seed")}
            (record.directory / "config.json").write_text(json.dumps(config))
        python = tmp_path / "python"
        python.write_text(
            f'#!/bin/sh\nwhile [ $# -gt 0 ]; do case "$1" in --out) out=$2;; --seed) seed=$2;; esac; shift; done\n'
            f'echo "$seed" >> {tmp_path / "begun"}\n{train.replace("MADE", str(made))}\n'
        )
        python.chmod(0o755)
        runs = [["digits/kmgan", "smoke", seed] for seed in range(seeds)]
        return {"plan": runs, "runs": str(tmp_path / "runs"), "results": str(tmp_path / "results"),
                "executable": str(python), **others}  # fmt: skip

    return plan


Job = Callable[..., dict[str, Any]]
COPY = 'cp -r MADE/smoke-seed"$seed" "$out"'


def test_two_sweeps_over_the_same_plan_do_no_run_twice(forks: Forks, job: Job, tmp_path: Path) -> None:
    sweep = job(6, f"while [ ! -e {tmp_path / 'go'} ]; do sleep 0.05; done; {COPY}")
    pids = [forks.start(sweep=sweep) for _ in range(2)]
    while not (tmp_path / "begun").exists() or len((tmp_path / "begun").read_text().split()) < 2:
        time.sleep(0.02)
    (tmp_path / "go").touch()
    ended = [forks.wait(pid) for pid in pids]
    assert [end.status for end in ended] == [0, 0], ended
    assert sorted((tmp_path / "begun").read_text().split()) == list("012345")
    outcomes = [(seed, status) for end in ended for _, seed, status, _ in json.loads(end.said)]
    assert sorted(outcomes) == sorted([(s, "completed") for s in range(6)] + [(s, "taken") for s in range(6)])
    assert len(list((tmp_path / "results").glob("digits/kmgan/*/result.json"))) == 6


def test_a_run_that_somebody_trains_by_hand_is_taken_and_the_sweep_goes_on(
    forks: Forks, job: Job, tmp_path: Path
) -> None:
    (tmp_path / "runs" / "digits" / "kmgan" / "smoke-seed0").mkdir(parents=True)
    refusal = "kmgan: somebody else trains it: wait"
    ended = forks.run(sweep=job(2, f'[ "$seed" = 0 ] && echo "{refusal}" && exit 3; {COPY}'))
    assert json.loads(ended.said) == [
        ["digits/kmgan", 0, "taken", refusal.removeprefix("kmgan: ")], ["digits/kmgan", 1, "completed", ""],
    ]  # fmt: skip


def test_a_sweep_that_is_terminated_stops_its_runs_first(forks: Forks, job: Job, tmp_path: Path) -> None:
    train = f"trap 'touch {tmp_path / 'stopped'}; exit 130' TERM; while true; do sleep 0.05; done"
    pid = forks.start(sweep=job(1, train, results=None))
    wait_for(tmp_path / "begun")
    time.sleep(0.5)
    os.kill(pid, signal.SIGTERM)
    assert forks.wait(pid).status == 130
    assert (tmp_path / "stopped").exists()


@pytest.mark.long
def test_a_sweep_that_is_terminated_twice_leaves_no_run_behind(forks: Forks, job: Job, tmp_path: Path) -> None:
    """As ``timeout`` does it: it tells its process and then the whole group."""
    train = f"trap '' TERM; echo $$ > {tmp_path / 'pid'}; while true; do sleep 0.05; done"
    pid = forks.start(sweep=job(1, train, results=None))
    wait_for(tmp_path / "begun")
    time.sleep(0.5)
    run = int((tmp_path / "pid").read_text())
    for _ in range(2):
        os.kill(pid, signal.SIGTERM)
        time.sleep(0.5)
    assert forks.wait(pid).status == 130
    time.sleep(0.2)
    with pytest.raises(ProcessLookupError):
        os.kill(run, 0)
