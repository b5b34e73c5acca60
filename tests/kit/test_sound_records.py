"""Whether records are sound."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kmgan_book import records

from ..conftest import MadeUp

PLACE = "mnist/kmgan/quick-seed0"


@pytest.fixture
def results(made_up: MadeUp, tmp_path: Path) -> Path:
    """Three sound records: on pictures, diverged, and on points."""
    made_up(tmp_path / "results")
    made_up(tmp_path / "results", seed=1, score=None)
    made_up(tmp_path / "results", "synthetic/kmgan", profile="paper", clustering__nmi=0.5)
    return tmp_path / "results"


def test_the_records_of_the_book_are_sound() -> None:
    assert records.check() == []


def test_sound_records_have_nothing_wrong(results: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert records.check(results=results) == []
    assert records.check(results=tmp_path / "nowhere") == []
    monkeypatch.setattr(records, "MOST_BYTES", 1_000)
    (line,) = records.check(results=results)
    assert "MB of records are more than 0 MB" in line


def rewritten(change: Callable[[dict[str, Any]], Any]) -> Callable[[Path], None]:
    """Return a function that changes the result of a record."""

    def damage(place: Path) -> None:
        result = json.loads((place / "result.json").read_text())
        change(result)
        (place / "result.json").write_text(json.dumps(result))

    return damage


def put(*keys: str, value: Any) -> Callable[[Path], None]:
    def change(result: dict[str, Any]) -> None:
        for key in keys[:-1]:
            result = result[key]
        result[keys[-1]] = value

    return rewritten(change)


def text(name: str, content: str) -> Callable[[Path], None]:
    def damage(place: Path) -> None:
        (place / name).write_text(content)

    return damage


DAMAGES: dict[str, tuple[Callable[[Path], Any], str]] = {
    "a field is missing": (rewritten(lambda r: r.pop("device")), f"{PLACE}: lacks device"),
    "another seed": (put("seed", value=7), f"{PLACE}: says that it is mnist/kmgan/quick-seed7"),
    "another place": (lambda p: p.rename(p.with_name("paper-seed0")), "mnist/kmgan/paper-seed0: says that it is"),
    "another hash": (put("preset_hash", value="0" * 12), f"{PLACE}: its preset is not the one of its hash"),
    "another algorithm": (put("preset", "k", value=11), "was trained with another k than the preset has now"),
    "a preset that is gone": (put("preset", "name", value="mnist/gone"), "there is no such preset"),
    "NaN": (put("metrics", "classifier_score", "value", value=float("nan")), "classifier_score is nan"),
    "infinity": (put("metrics", "classifier_score", "std", value=float("inf")), "classifier_score.std is inf"),
    "text as a value": (put("metrics", "classifier_score", "value", value="8.5"), "is '8.5', which is no number"),
    "a measure that is none": (put("metrics", "fid", value=5), "no sensible fid"),
    "a measure without samples": (put("metrics", "fid", value={"value": 5, "seconds": 1}), "fid lacks samples, extr"),
    "measures as a list": (put("metrics", value=[]), "no sensible metrics"),
    "a preset as text": (put("preset", value="mnist/kmgan"), "no sensible preset"),
    "no measures": (put("metrics", value={}), f"{PLACE}: has no measures"),
    "unfinished": (put("status", value="running"), f"{PLACE}: status running"),
    "diverged nowhere": (put("status", value="diverged"), "does not say where it diverged"),
    "data without a checksum": (put("data", value={"name": "mnist"}), "which data (sha256)"),
    "no history": (lambda p: (p / "history.csv").unlink(), f"{PLACE}: has no history.csv"),
    "an empty history": (text("history.csv", "iteration,seconds\n"), f"{PLACE}: has no history.csv"),
    "a garbled history": (text("history.csv", "iteration\nmany\n"), "history.csv cannot be read"),
    "no samples": (lambda p: (p / "samples.webp").unlink(), f"{PLACE}: has no samples.webp"),
    "no result": (lambda p: (p / "result.json").unlink(), "it has no result.json"),
    "no JSON": (text("result.json", "{"), "result.json cannot be read"),
    "a stray file": (text("notes.txt", "mine"), f"{PLACE}/notes.txt: no file of a record"),
    "a file elsewhere": (lambda p: (p.parent / "result.json").write_text("{}"), "mnist/kmgan/result.json: no file"),
}


@pytest.mark.parametrize(("damage", "message"), DAMAGES.values(), ids=DAMAGES.keys())
def test_what_is_wrong_with_a_record_is_named(results: Path, damage: Callable[[Path], Any], message: str) -> None:
    damage(results / PLACE)
    found = records.check(results=results)
    assert any(message in line for line in found), found
    assert all("\n" not in line and "seed1" not in line and "synthetic" not in line for line in found)
