"""Records: what is kept of a run, whether it is sound, and what `kmgan sweep` and `kmgan records` print."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from rich.table import Table

from kmgan_book import claims, records, tables
from kmgan_book.claims import RunSpec
from kmgan_book.records import Record
from kmgan_book.sweep import Outcome
from kmgan_lib import presets
from kmgan_lib.errors import UsageError
from kmgan_lib.training.run import Run

from ..conftest import Command, MadeUp, Quick
from .conftest import Patch, put_in

METRICS = {"clustering": {"value": 0.5, "nmi": 0.5}}


@pytest.fixture(scope="module")
def digits(quick: Quick, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A finished run of the preset's own algorithm, without measures."""
    own = presets.PRESETS["digits/kmgan"]
    same = {"batch": own.batch, "init_images": own.init_images, "feature_dim": own.feature_dim}
    return quick(tmp_path_factory.mktemp("digits") / "run", "digits/kmgan", iterations=2, snapshots=2, **same)


def measured(run: Run, **changes: Any) -> Run:
    """The same run with made-up measures."""
    result = {**run.result, "metrics": METRICS, **changes}
    return Run(run.directory, run.preset, run.profile, changes.get("seed", run.seed), result, run.history)


def test_a_record_is_result_history_generator_and_last_grid_of_its_run(digits: Run, tmp_path: Path) -> None:
    record = records.save(measured(digits), results=tmp_path)
    place = tmp_path / "digits" / "kmgan" / "smoke-seed0"
    assert record.directory == place
    assert sorted(p.name for p in place.iterdir()) == sorted(records.FILES)
    assert json.loads((place / "result.json").read_text()) == record.result == {**digits.result, "metrics": METRICS}
    assert (place / "history.csv").read_bytes() == (digits.directory / "history.csv").read_bytes()
    assert record.metric("clustering") == record.metric("clustering", "nmi") == 0.5
    with Image.open(record.samples) as grid, Image.open(digits.directory / "samples" / "000002.png") as last:
        assert (grid.format, grid.size) == ("WEBP", last.size)
    assert record.samples.stat().st_size < 100_000


def test_records_load_by_seed_and_profile_with_their_badge(digits: Run, tmp_path: Path) -> None:
    assert records.badge([]) == "not yet recorded"
    for seed in (10, 2, 0):
        records.save(measured(digits, seed=seed, device="a GPU", commit="abc"), results=tmp_path)
    found = records.load("digits/kmgan", "smoke", results=tmp_path)
    assert [record.seed for record in found] == [0, 2, 10]
    assert records.load("digits/kmgan", "quick", results=tmp_path) == []
    assert records.badge(found[:1]) == "recorded · smoke · digits · seed 0 · a GPU · commit abc"
    assert records.badge(found) == "recorded · smoke · digits · 3 seeds · a GPU · commit abc"
    found[2].result["data"] = {**found[2].result["data"], "name": "synthetic"}
    assert records.badge(found) == "recorded · smoke · digits, synthetic · 3 seeds · a GPU · commit abc"
    (found[0].directory / "result.json").write_text("{}")
    with pytest.raises(UsageError, match="is not a record: preset: Field required"):
        records.load("digits/kmgan", "smoke", results=tmp_path)


def test_what_is_not_the_result_of_a_preset_is_no_record(digits: Run, tmp_path: Path) -> None:
    finished = {**digits.result, "metrics": METRICS}
    own: tuple[tuple[str, dict[str, Any], dict[str, Any], str], ...] = (
        ("digits/kmgan", {}, {}, "not finished"), ("digits/kmgan", {}, digits.result, "not evaluated yet"),
        ("folder:album", {}, finished, "images of your own"),
        ("digits/kmgan", {"per_cluster": True}, finished, "per_cluster"),
    )  # fmt: skip
    for preset, changes, result, message in own:
        run = Run(digits.directory, presets.resolve(preset, "smoke", **changes), "smoke", 0, result, [])
        with pytest.raises(UsageError, match=message):
            records.save(run, results=tmp_path / "results")
    assert not (tmp_path / "results").exists()
    diverged = measured(digits, status="diverged", diverged_at=3, metrics={})
    assert records.save(diverged, results=tmp_path).result["diverged_at"] == 3


PLACE = "mnist/kmgan/quick-seed0"


@pytest.fixture
def results(made_up: MadeUp, tmp_path: Path) -> Path:
    """Three sound records: on pictures, diverged, and on points."""
    made_up(tmp_path / "results")
    made_up(tmp_path / "results", seed=1, score=None)
    made_up(tmp_path / "results", "synthetic/kmgan", profile="paper", clustering__nmi=0.5)
    return tmp_path / "results"


def test_sound_records_as_those_of_the_book_have_nothing_wrong(results: Path, monkeypatch: Patch) -> None:
    assert records.check() == records.check(results=results) == []
    monkeypatch.setattr(records, "MOST_BYTES", 1_000)
    (line,) = records.check(results=results)
    assert "MB of records are more than 0 MB" in line


def put(*keys: str, value: Any = ...) -> Callable[[Path], None]:
    """Return a function that changes a part of a record's result, or removes it."""

    def damage(place: Path) -> None:
        result = json.loads((place / "result.json").read_text())
        put_in(result, keys, value)
        (place / "result.json").write_text(json.dumps(result))

    return damage


def text(name: str, content: str) -> Callable[[Path], object]:
    return lambda place: (place / name).write_text(content)


DAMAGES: dict[str, tuple[Callable[[Path], Any], str]] = {
    "a field is missing": (put("device"), f"{PLACE}/result.json is not a record: device: Field required"),
    "another seed": (put("seed", value=7), f"{PLACE}: says that it is mnist/kmgan/quick-seed7"),
    "another place": (lambda p: p.rename(p.with_name("paper-seed0")), "mnist/kmgan/paper-seed0: says that it is"),
    "another hash": (put("preset_hash", value="0" * 12), f"{PLACE}: its preset is not the one of its hash"),
    "another algorithm": (put("preset", "k", value=11), "was trained with another k than the preset has now"),
    "a preset that is gone": (put("preset", "name", value="mnist/gone"), "there is no such preset"),
    "NaN": (put("metrics", "classifier_score", "value", value=float("nan")), "classifier_score is nan"),
    "infinity": (put("metrics", "classifier_score", "std", value=float("inf")), "classifier_score.std is inf"),
    "text as a value": (put("metrics", "classifier_score", "value", value="8.5"), "classifier_score.value=8.5: Input"),
    "a measure without samples": (put("metrics", "fid", value={"value": 5, "seconds": 1}), "fid lacks samples, extr"),
    "measures as a list": (put("metrics", value=[]), "metrics: Input"),
    "no measures": (put("metrics", value={}), f"{PLACE}: has no measures"),
    "unfinished": (put("status", value="running"), f"{PLACE}: status running"),
    "diverged nowhere": (put("status", value="diverged"), "does not say where it diverged"),
    "data without a checksum": (put("data", value={"name": "mnist"}), "which data (sha256)"),
    "an empty history": (text("history.csv", "iteration,seconds\n"), f"{PLACE}: has no history.csv"),
    "a garbled history": (text("history.csv", "iteration\nmany\n"), "history.csv cannot be read"),
    "no samples": (lambda p: (p / "samples.webp").unlink(), f"{PLACE}: has no samples.webp"),
    "no result": (lambda p: (p / "result.json").unlink(), "it has no result.json"),
    "no JSON": (text("result.json", "{"), "result.json cannot be read"),
    "a stray file": (text("notes.txt", "mine"), f"{PLACE}/notes.txt: not a file of a record"),
    "a file elsewhere": (lambda p: (p.parent / "result.json").write_text("{}"), "mnist/kmgan/result.json: not a file"),
}


@pytest.mark.parametrize("what", DAMAGES)
def test_what_is_wrong_with_a_record_is_named(results: Path, what: str) -> None:
    damage, message = DAMAGES[what]
    damage(results / PLACE)
    found = records.check(results=results)
    assert any(message in line for line in found), found
    assert all("\n" not in line and "seed1" not in line and "synthetic" not in line for line in found)


def outcome(record: Record) -> Outcome:
    run = RunSpec(record.result["preset"]["name"], record.result["profile"], record.seed)
    return Outcome(run, record.directory, record.result["status"], "", record.result)


def rows(table: Table) -> dict[str, list[Any]]:
    """The head and the rows, each by its first cell."""
    columns = ([each.header, *each.cells] for each in table.columns)
    return {first: others for first, *others in zip(*columns, strict=True)}


def test_runs_are_rows_with_dashes_for_what_is_not_there_beside_the_paper_s(made_up: MadeUp, tmp_path: Path) -> None:
    record = made_up(tmp_path, score=8.123, classifier_score__last_weights_value=7.5, class_frequency__value=0.07)
    empty = Outcome(RunSpec("mnist/dcgan", "paper", 3), tmp_path, "failed", "no data", {})
    assert tables.line(outcome(record)) == "mnist/kmgan quick seed 0: completed, classifier score 8.12"
    assert tables.line(empty) == "mnist/dcgan paper seed 3: failed (no data)"
    assert rows(tables.outcomes([outcome(record), empty])) == {
        "run": ["status", "classifier score", "of the last weights", "rarest class", "minutes"],
        "mnist/kmgan seed 0": ["completed", "8.12", "7.50", "7.0%", "1.5"],
        "mnist/dcgan seed 3": ["failed", "–", "–", "–", "–"],
    }
    made_up(tmp_path, "cifar10-32/kmgan", score=5.5)
    made_up(tmp_path, "cifar10-32/wgan", score=None)
    for table in (
        tables.recorded("cifar10-32/*", "quick", results=tmp_path),
        tables.outcomes([outcome(r) for r in records.all_records(results=tmp_path)]),
    ):
        assert rows(table)["run"][-1] == "paper: Inception Score"
        assert rows(table)["cifar10-32/kmgan seed 0"] == ["completed", "5.50", "–", "–", "1.5", "5.39 ± 0.05"]
        assert rows(table)["cifar10-32/wgan seed 0"][-1] == "3.82 ± 0.06"
    assert "mnist/kmgan seed 0" not in rows(tables.recorded("cifar10-32/*", "quick", results=tmp_path))


@pytest.fixture
def twenty(made_up: MadeUp, tmp_path: Path) -> Path:
    for seed in range(10):
        made_up(tmp_path / "results", seed=seed)
        made_up(tmp_path / "results", "mnist/kmgan-nocenter", seed=seed, score=None)
    return tmp_path / "results"


def test_the_ledger_shows_every_verdict_its_reasons_and_what_is_missing(kmgan: Command, twenty: Path) -> None:
    status, out, err = kmgan("records", "--results", str(twenty))
    assert (status, err) == (0, "")
    lines = out.splitlines()
    names = [claim.name for claim in claims.load()]
    assert [line.split()[0] for line in lines[: len(names)]] == names
    assert lines[1].startswith("C2   holds  ")
    assert "   yes  (for) all of the runs of mnist/kmgan-nocenter fail: 10 of 10 (" in out
    missing = "kmgan sweep --profile quick --only mnist/kmgan-clip --seeds 0,1,2,3,4,5,6,7,8,9"
    assert f"   {missing}" in lines
    assert kmgan(*missing.split()[1:], "--results", str(twenty), "--print")[1].count("\n") == 10, "it plans just that"


def test_records_are_listed_and_unsound_ones_are_a_failure_in_one_line(kmgan: Command, twenty: Path) -> None:
    assert "mnist/kmgan-nocenter" in kmgan("records", "table", "mnist/*", "--results", str(twenty))[1]
    status, out, err = kmgan("records", "check", "--results", str(twenty))
    assert (status, "20 records in" in out, err) == (0, True, "")
    (twenty / "notes.txt").write_text("mine")
    (twenty / "mnist" / "kmgan" / "quick-seed1" / "history.csv").unlink()
    status, out, err = kmgan("records", "check", "--results", str(twenty))
    assert (status, out, err.count("\n")) == (1, "", 1)
    assert "notes.txt: not a file of a record" in err
    assert "mnist/kmgan/quick-seed1: has no history.csv" in err


def test_a_run_is_added(kmgan: Command, made_up: MadeUp, tmp_path: Path) -> None:
    record = made_up(tmp_path / "made")
    config = {key: record.result[key] for key in ("preset", "profile", "seed")}
    (record.directory / "config.json").write_text(json.dumps(config))
    status, out, err = kmgan("records", "add", str(record.directory), "--results", "results")
    assert (status, out.strip(), err) == (0, "results/mnist/kmgan/quick-seed0", "")
    assert [found.result for found in records.all_records(results=Path("results"))] == [record.result]


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


def test_a_sweep_does_what_is_not_recorded_and_says_why_a_run_cannot_begin(kmgan: Command, made_up: MadeUp) -> None:
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
