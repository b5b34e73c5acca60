"""Many runs, one process each."""

import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import pytest

from kmgan_book import claims, records, sweep
from kmgan_book.claims import RunSpec
from kmgan_book.records import Record
from kmgan_book.sweep import Outcome
from kmgan_lib.errors import UsageError
from kmgan_lib.training.run import load_checkpoint

from ..conftest import MadeUp
from .conftest import Patch, pretended

Pretend = Callable[..., None]
DIGITS = RunSpec("digits/kmgan", "smoke", 0)


def test_a_time_has_a_unit() -> None:
    known = {"90s": 90, "25m": 1500, "3h": 10800, "0.5h": 1800, "1e2s": 100}
    assert {text: sweep.seconds(text) for text in known} == known
    for text in ("", "5", "m", "-5m", "0s", "infh", "nans", "5d"):
        with pytest.raises(UsageError, match="write a time as 90s, 25m or 3h"):
            sweep.seconds(text)


def test_the_plan_is_what_the_ledger_lacks_or_patterns_name(made_up: MadeUp, tmp_path: Path) -> None:
    plan = sweep.planned("quick", results=tmp_path)
    assert plan == claims.missing_runs("quick", results=tmp_path)
    assert sweep.planned("quick", seeds=[1], results=tmp_path) == [run for run in plan if run.seed == 1]
    named = sweep.planned("smoke", only=["digits/*cgan", "digits/dcgan"], seeds=[3, 1, 3], results=tmp_path)
    assert named == [RunSpec("digits/dcgan", "smoke", seed) for seed in (3, 1)]
    assert sweep.planned("smoke", only=["digits/kmgan"], results=tmp_path) == [DIGITS]

    made_up(tmp_path, "digits/kmgan", seed=1)
    made_up(tmp_path, "mnist/kmgan", seed=1)  # of which the ledger reads more than this record has
    plan = sweep.planned("quick", only=["digits/kmgan", "mnist/kmgan"], seeds=[1, 2], results=tmp_path)
    assert [(run.preset, run.seed) for run in plan] == [("mnist/kmgan", 1), ("digits/kmgan", 2), ("mnist/kmgan", 2)]


@pytest.mark.parametrize("only", [[], ["digits/*"]], ids=["ledger", "patterns"])
def test_the_shards_are_the_whole_and_stay_as_they_are(made_up: MadeUp, tmp_path: Path, only: list[str]) -> None:
    def part(i: int) -> list[RunSpec]:
        return sweep.planned("quick", only=only, seeds=[0, 1], results=tmp_path, shard=(i, 3))

    whole, parts = sweep.planned("quick", only=only, seeds=[0, 1], results=tmp_path), [part(i) for i in (1, 2, 3)]
    assert sorted(whole) == sorted(run for part in parts for run in part)
    assert max(map(len, parts)) - min(map(len, parts)) <= 1
    done = RunSpec("digits/kmgan" if only else "mnist/kmgan-clip", "quick", 0)
    made_up(tmp_path, done.preset)
    assert [set(part(i)) for i in (1, 2, 3)] == [set(before) - {done} for before in parts]


@pytest.fixture
def pretend(made_up: MadeUp, tmp_path: Path, monkeypatch: Patch) -> Pretend:
    """Return a function that says what training and measuring do instead."""
    return lambda *said, **made: monkeypatch.setattr(sys, "executable", pretended(made_up, tmp_path, *said, **made))


def swept(folder: Path, **options: Any) -> Outcome:
    (outcome,) = sweep.sweep([DIGITS], runs=folder / "runs", results=folder / "results", **options)
    return outcome


def recorded(folder: Path) -> list[Record]:
    return records.all_records(results=folder / "results")


@pytest.mark.parametrize(
    ("train", "status", "error"),
    [
        ("echo first; echo kmgan: no data; exit 2", "failed", "kmgan: no data"),
        ("exit 0", "failed", "exit status 0"), ("kill -9 $$", "failed", "ended by signal 9"),
        ("echo kmgan: somebody trains it; exit 3", "taken", "somebody trains it"), ("exit 130", "unfinished", ""),
        ("COPY; exit 1", "diverged", ""), ("COPY; echo done", "completed", ""),
    ],
)  # fmt: skip
def test_a_run_that_ends_well_or_diverges_is_recorded(
    pretend: Pretend, tmp_path: Path, train: str, status: str, error: str
) -> None:
    pretend(train, score=8.0 if status == "completed" else None)
    told: list[Outcome] = []
    outcome = swept(tmp_path, report=told.append)
    assert (outcome.status, outcome.error, told) == (status, error, [outcome])
    assert outcome.directory == tmp_path / "runs" / "digits" / "kmgan" / "smoke-seed0"
    found = {record.result["status"]: record.result for record in recorded(tmp_path)}
    assert found == ({status: outcome.result} if status in ("completed", "diverged") else {})


def test_what_the_ledger_reads_is_measured(pretend: Pretend, tmp_path: Path, monkeypatch: Patch) -> None:
    monkeypatch.setattr(claims, "measures_of", lambda *_: ["classifier_score", "coverage", "fid"])
    pretend("COPY", evaluate="exit 2")
    outcome = swept(tmp_path, data_root=tmp_path)
    words = ["evaluate", str(outcome.directory), "--only", "coverage", "--only", "fid", "--data-root", str(tmp_path)]
    assert (outcome.status, outcome.error) == ("failed", " ".join(words))
    assert len(recorded(tmp_path)) == 1  # the training is not lost; the ledger goes on asking for what is missing


def test_when_the_time_is_up_what_runs_is_stopped(pretend: Pretend, tmp_path: Path, monkeypatch: Patch) -> None:
    monkeypatch.setattr(sweep, "GRACE", 0.3)
    pretend("trap '' TERM; sleep 20")
    runs = [DIGITS, RunSpec("digits/kmgan", "smoke", 1), RunSpec("digits/kmgan", "smoke", 2)]
    begun = time.monotonic()
    outcomes = sweep.sweep(runs, runs=tmp_path / "runs", results=tmp_path / "results", budget=0.1, jobs=2)
    assert time.monotonic() - begun < 15
    assert [(outcome.run.seed, outcome.status) for outcome in outcomes] == [(0, "unfinished"), (1, "unfinished")]
    assert not (tmp_path / "results").exists()


@pytest.mark.long
@pytest.mark.usefixtures("digits_classifier")
def test_a_run_stopped_in_training_goes_on_until_it_is_recorded(tmp_path: Path, monkeypatch: Patch) -> None:
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(sys.path))
    directory = tmp_path / "runs" / "digits" / "kmgan" / "smoke-seed0"

    def until_there_is_a_history(*_: object) -> NoReturn:
        while not (directory / "history.csv").exists():
            time.sleep(0.05)
        raise TimeoutError

    with monkeypatch.context() as patch:
        patch.setattr(sweep, "as_completed", until_there_is_a_history)
        outcome = swept(tmp_path, device="cpu")
    assert (outcome.status, outcome.error, outcome.result) == ("unfinished", "", {})
    assert not (tmp_path / "results").exists()
    reached = load_checkpoint(directory, "cpu")["iteration"]
    assert 0 < reached < 150

    outcome = swept(tmp_path, device="cpu")
    assert (outcome.status, outcome.error) == ("completed", "")
    (record,) = recorded(tmp_path)
    assert record.result == outcome.result
    assert {"classifier_score", "interpolation"} <= set(record.result["metrics"])
    assert [row["iteration"] for row in record.history] == [float(i + 1) for i in range(150)]
    assert sweep.planned("smoke", only=["digits/kmgan"], results=tmp_path / "results") == []
