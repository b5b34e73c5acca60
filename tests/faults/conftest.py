"""One process for all tests of faults: it imports torch once, and its children are killed."""

from pathlib import Path
from typing import Any

import pytest

from ..training.test_trainer import assert_same_run
from .forks import Forks

TINY: dict[str, Any] = {
    "preset": "digits/kmgan", "batch": 8, "iterations": 16, "checkpoint_every": 2, "snapshots": 2, "width": 0.125,
    "init_images": 60, "feature_dim": 10,
}  # fmt: skip


@pytest.fixture(scope="session")
def forks(tmp_path_factory: pytest.TempPathFactory) -> Forks:
    return Forks(tmp_path_factory.mktemp("forks"))


@pytest.fixture(scope="session")
def whole(forks: Forks, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that nothing disturbed."""
    out = tmp_path_factory.mktemp("whole") / "run"
    ended = forks.run(train={**TINY, "out": str(out)})
    assert ended.status == 0, ended.said
    return out


def words(out: Path) -> list[str]:
    """``kmgan train`` of the tiny run."""
    settings = [f"--set={key}={value}" for key, value in TINY.items() if key != "preset"]
    return ["train", TINY["preset"], "--profile", "smoke", "--device", "cpu", "--out", str(out), "--resume", *settings]


def goes_on_as(whole: Path, forks: Forks, out: Path) -> None:
    """A run that was ended goes on to where the one that nothing disturbed came."""
    ended = forks.run(train={**TINY, "out": str(out), "resume": True})
    assert ended.status == 0, ended.said
    assert_same_files(out, whole)


def assert_same_files(a: Path, b: Path) -> None:
    """Two finished runs, bit for bit, but for what time it was."""
    names = [sorted(str(p.relative_to(place)) for p in place.rglob("*") if p.is_file()) for place in (a, b)]
    assert names[0] == names[1]
    assert_same_run(a, b)
    for name in [name for name in names[0] if name.endswith(".png")]:
        assert (a / name).read_bytes() == (b / name).read_bytes(), name
