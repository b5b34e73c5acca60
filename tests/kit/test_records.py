import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from kmgan_book import records
from kmgan_lib import presets
from kmgan_lib.errors import UsageError
from kmgan_lib.training.run import Run

from ..conftest import Quick

METRICS = {"clustering": {"value": 0.5, "nmi": 0.5}}


@pytest.fixture(scope="module")
def points(quick: Quick, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A finished run on synthetic points, of the preset's own algorithm, without measures."""
    own = presets.PRESETS["synthetic/kmgan"]
    sizes = {"batch": own.batch, "init_images": own.init_images, "iterations": 5}
    return quick(tmp_path_factory.mktemp("points") / "run", **sizes)


def measured(run: Run, **changes: Any) -> Run:
    """The same run with made-up measures."""
    result = {**run.result, "metrics": METRICS, **changes}
    return Run(run.directory, run.preset, run.profile, changes.get("seed", run.seed), result, run.history)


def test_a_record_is_the_result_and_the_history_of_its_run(points: Run, tmp_path: Path) -> None:
    record = records.save(measured(points), results=tmp_path)
    place = tmp_path / "synthetic" / "kmgan" / "smoke-seed0"
    assert record.directory == place
    assert sorted(p.name for p in place.iterdir()) == ["generator.safetensors", "history.csv", "result.json"]
    assert json.loads((place / "result.json").read_text()) == record.result == {**points.result, "metrics": METRICS}
    assert (place / "history.csv").read_bytes() == (points.directory / "history.csv").read_bytes()
    assert record.metric("clustering") == record.metric("clustering", "nmi") == 0.5


def test_a_record_of_pictures_keeps_the_last_grid_small(quick: Quick, tmp_path: Path) -> None:
    own = presets.PRESETS["digits/kmgan"]
    same = {"batch": own.batch, "init_images": own.init_images, "feature_dim": own.feature_dim}
    run = quick(tmp_path / "run", "digits/kmgan", iterations=2, snapshots=2, **same)
    record = records.save(measured(run), results=tmp_path / "results")
    with Image.open(record.samples) as grid, Image.open(run.directory / "samples" / "000002.png") as last:
        assert grid.format == "WEBP"
        assert grid.size == last.size
    assert record.samples.stat().st_size < 100_000


def test_records_load_by_seed_and_profile(points: Run, tmp_path: Path) -> None:
    assert records.load("synthetic/kmgan", "smoke", results=tmp_path) == []
    for seed in (10, 2, 0):
        records.save(measured(points, seed=seed), results=tmp_path)
    found = records.load("synthetic/kmgan", "smoke", results=tmp_path)
    assert [record.seed for record in found] == [0, 2, 10]
    assert records.load("synthetic/kmgan", "quick", results=tmp_path) == []
    assert records.load("synthetic/dcgan", "smoke", results=tmp_path) == []


def test_the_badge_names_profile_data_seeds_device_and_commit(points: Run, tmp_path: Path) -> None:
    assert records.badge([]) == "not yet recorded"
    one = records.save(measured(points, device="a GPU", commit="abc"), results=tmp_path)
    two = records.save(measured(points, device="a GPU", commit="abc", seed=1), results=tmp_path)
    assert records.badge([one]) == "recorded · smoke · synthetic · seed 0 · a GPU · commit abc"
    assert records.badge([one, two]) == "recorded · smoke · synthetic · 2 seeds · a GPU · commit abc"


def test_a_run_without_measures_is_no_record_unless_it_diverged(points: Run, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="not evaluated yet"):
        records.save(points, results=tmp_path / "results")
    assert not (tmp_path / "results").exists()
    diverged = measured(points, status="diverged", diverged_at=3, metrics={})
    assert records.save(diverged, results=tmp_path).result["diverged_at"] == 3


def test_what_is_not_the_result_of_a_preset_is_no_record(points: Run, tmp_path: Path) -> None:
    own: tuple[tuple[str, dict[str, Any], bool, str], ...] = (
        ("synthetic/kmgan", {}, False, "not finished"), ("folder:album", {}, True, "images of your own"),
        ("synthetic/kmgan", {"per_cluster": True}, True, "per_cluster"),
    )  # fmt: skip
    for preset, changes, finished, message in own:
        result = {**points.result, "metrics": METRICS} if finished else {}
        run = Run(points.directory, presets.resolve(preset, "smoke", **changes), "smoke", 0, result, [])
        with pytest.raises(UsageError, match=message):
            records.save(run, results=tmp_path / "results")
    assert not (tmp_path / "results").exists()


def test_a_folder_that_lacks_something_is_not_a_record(points: Run, tmp_path: Path) -> None:
    place = records.save(measured(points), results=tmp_path).directory
    result = json.loads((place / "result.json").read_text())
    del result["seed"], result["device"]
    (place / "result.json").write_text(json.dumps(result))
    with pytest.raises(UsageError, match="lacks seed, device: it is not a record"):
        records.load("synthetic/kmgan", "smoke", results=tmp_path)
    shutil.rmtree(place)
    place.mkdir()
    with pytest.raises(UsageError, match="is not a run"):
        records.load("synthetic/kmgan", "smoke", results=tmp_path)
