"""The commands about many runs, `kmgan sweep` and `kmgan records`, and what they print."""

import json
from pathlib import Path

import pytest
from rich.console import Console, RenderableType

from kmgan_book import claims, records, tables
from kmgan_book.claims import Needed
from kmgan_book.records import Record
from kmgan_book.sweep import Outcome

from ..conftest import Command, MadeUp


def shown(what: RenderableType) -> str:
    console = Console(width=160, no_color=True)
    with console.capture() as capture:
        console.print(what)
    return capture.get()


def outcome(record: Record, status: str = "completed", error: str = "") -> Outcome:
    run = Needed(record.result["preset"]["name"], record.result["profile"], record.seed)
    return Outcome(run, record.directory, status, error, record.result)


def rows(table: RenderableType) -> dict[str, list[str]]:
    """The cells behind the first of each row, by the first."""
    lines = [[cell.strip() for cell in line.split("│")[1:-1]] for line in shown(table).splitlines()]
    return {first: others for first, *others in filter(None, lines)}


def test_runs_are_rows_with_dashes_for_what_is_not_there_beside_the_paper_s(made_up: MadeUp, tmp_path: Path) -> None:
    record = made_up(tmp_path, score=8.123, classifier_score__last_weights_value=7.5, class_frequency__value=0.07)
    empty = Outcome(Needed("mnist/dcgan", "paper", 3), tmp_path, "failed", "no data", {})
    assert tables.line(outcome(record)) == "mnist/kmgan quick seed 0: completed, classifier score 8.12"
    assert tables.line(empty) == "mnist/dcgan paper seed 3: failed (no data)"
    assert rows(tables.outcomes([outcome(record), empty])) == {
        "mnist/kmgan seed 0": ["completed", "8.12", "7.50", "7.0%", "1.5"],
        "mnist/dcgan seed 3": ["failed", "–", "–", "–", "–"],
    }
    made_up(tmp_path, "cifar10-32/kmgan", score=5.5)
    made_up(tmp_path, "cifar10-32/wgan", score=None)
    for table in (
        tables.recorded("cifar10-32/*", "quick", results=tmp_path),
        tables.outcomes([outcome(r, r.result["status"]) for r in records.everything(results=tmp_path)]),
    ):
        assert "paper: Inception Score" in shown(table)
        assert rows(table)["cifar10-32/kmgan seed 0"] == ["completed", "5.50", "–", "–", "1.5", "5.39 ± 0.05"]
        assert rows(table)["cifar10-32/wgan seed 0"][-1] == "3.82 ± 0.06"
    assert "mnist/kmgan seed 0" not in rows(tables.recorded("cifar10-32/*", "quick", results=tmp_path))


@pytest.fixture
def results(made_up: MadeUp, tmp_path: Path) -> Path:
    for seed in range(10):
        made_up(tmp_path / "results", seed=seed)
        made_up(tmp_path / "results", "mnist/kmgan-nocenter", seed=seed, score=None)
    return tmp_path / "results"


def test_the_ledger_shows_every_verdict_its_reasons_and_what_is_missing(kmgan: Command, results: Path) -> None:
    status, out, err = kmgan("records", "--results", str(results))
    assert (status, err) == (0, "")
    lines = out.splitlines()
    names = [claim.name for claim in claims.load()]
    assert [line.split()[0] for line in lines[: len(names)]] == names
    assert lines[1].startswith("C2   holds  ")
    assert any(
        line.startswith("   yes  (for) all of the runs of mnist/kmgan-nocenter fail: 10 of 10 (") for line in lines
    )
    missing = "kmgan sweep --profile quick --only mnist/kmgan-clip --seeds 0,1,2,3,4,5,6,7,8,9"
    assert f"   {missing}" in lines
    assert kmgan(*missing.split()[1:], "--results", str(results), "--print")[1].count("\n") == 10, "it plans just that"


def test_records_are_listed_and_unsound_ones_are_a_failure_in_one_line(kmgan: Command, results: Path) -> None:
    assert "mnist/kmgan-nocenter" in kmgan("records", "table", "mnist/*", "--results", str(results))[1]
    status, out, err = kmgan("records", "check", "--results", str(results))
    assert (status, "20 records in" in out, err) == (0, True, "")
    (results / "notes.txt").write_text("mine")
    (results / "mnist" / "kmgan" / "quick-seed1" / "history.csv").unlink()
    status, out, err = kmgan("records", "check", "--results", str(results))
    assert (status, out, err.count("\n")) == (1, "", 1)
    assert "notes.txt: no file of a record" in err
    assert "mnist/kmgan/quick-seed1: has no history.csv" in err


def test_a_run_is_added(kmgan: Command, made_up: MadeUp, tmp_path: Path) -> None:
    record = made_up(tmp_path / "made")
    config = {key: record.result[key] for key in ("preset", "profile", "seed")}
    (record.directory / "config.json").write_text(json.dumps(config))
    status, out, err = kmgan("records", "add", str(record.directory), "--results", "results")
    assert (status, out.strip(), err) == (0, "results/mnist/kmgan/quick-seed0", "")
    assert [found.result for found in records.everything(results=Path("results"))] == [record.result]


def test_print_shows_one_command_a_run_and_does_nothing(kmgan: Command) -> None:
    words = ["sweep", "--profile", "smoke", "--only", "digits/kmgan", "--only", "digits/dcgan", "--seeds", "4, 2"]
    status, out, err = kmgan(*words, "--data-root", "my data", "--results", "r", "--device", "cpu", "--print")
    assert (status, err) == (0, "")
    rest = "--data-root 'my data' --results r --device cpu"
    assert out.splitlines() == [
        f"kmgan sweep --profile smoke --only {preset} --seeds {seed} {rest}"
        for seed in (4, 2) for preset in ("digits/kmgan", "digits/dcgan")
    ]  # fmt: skip
    assert kmgan(*words, "--print")[1].splitlines()[0].endswith("--only digits/kmgan --seeds 4")
    assert list(Path().iterdir()) == []


def test_a_sweep_does_what_is_not_recorded_and_a_run_that_cannot_begin_is_a_failure_that_says_why(
    kmgan: Command, made_up: MadeUp
) -> None:
    made_up(Path("recorded"), "digits/kmgan")
    status, out, err = kmgan("sweep", "--only", "digits/kmgan", "--results", "recorded")
    assert (status, err) == (0, "")
    assert out.startswith("nothing to do")
    assert not Path("runs").exists()
    status, out, err = kmgan("sweep", "--only", "mnist/kmgan", "--data-root", "nowhere", "--results", "results")
    assert (status, err.count("\n")) == (1, 1)
    assert "1 of 1 runs failed" in err
    assert "mnist/kmgan quick seed 0: failed (kmgan: no mnist" in out.replace("\n", " ")
    assert "Ways to get it" in Path("runs/mnist/kmgan/quick-seed0.log").read_text()
    assert not Path("results").exists()
