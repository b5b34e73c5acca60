"""Replays: what is recorded of a run's snapshots, and what the page gets of it."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from kmgan_book import replay
from kmgan_lib import presets
from kmgan_lib.errors import UsageError
from kmgan_lib.training.run import Run

RECORDED = sorted(path.stem for path in replay.REPLAYS.glob("*.json"))
SIDE = 5 * 29 - 1


def run(folder: Path, seed: int = 0, frames: int = 7) -> Run:
    """A finished run whose snapshots are of one gray each."""
    (folder / "samples").mkdir(parents=True)
    for index in range(frames):
        level = np.full((231, 231, 3), 30 * index, np.uint8)
        Image.fromarray(level).save(folder / "samples" / f"{10 * (index + 1):06d}.png")
    history = [{"iteration": float(step), "loss_d": -step, "loss_g": 1 / step} for step in range(1, 71)]
    result = {"commit": "abcdefghij", "device": "CPU", "data": {"kind": "real", "name": "mnist"}}
    return Run(folder, presets.resolve("mnist/kmgan", "quick", iterations=70), "quick", seed, result, history)


def test_the_image_has_every_snapshot_and_the_file_beside_it_the_curves(tmp_path: Path) -> None:
    path = replay.record(run(tmp_path / "run"), replays=tmp_path)
    assert path.name == "mnist-kmgan-seed0.webp"
    with Image.open(path) as sprite:
        levels = np.asarray(sprite.convert("L"))[SIDE // 2 :: SIDE, SIDE // 2 :: SIDE].flatten()[:7]
    assert np.abs(levels - 30.0 * np.arange(7)).max() < 4
    told = json.loads(path.with_suffix(".json").read_text())
    assert told["frames"] == [10, 20, 30, 40, 50, 60, 70]
    assert told["history"]["loss_d"][-1] == -70
    assert (told["commit"], told["seed"], told["score"]) == ("abcdefg", 0, None)
    text = replay.replay({"<b>": "mnist-kmgan-seed0"}, caption="c", replays=tmp_path).text
    assert "recorded · quick · mnist · seed 0 · CPU · commit abcdefg" in text
    assert "<b>" not in text
    assert "loss of D: −70 to −1" in text
    assert "background-position:0% 100%" in text  # the last of seven frames, six a row


def test_replays_beside_each_other_need_frames_of_the_same_iterations(tmp_path: Path) -> None:
    for seed, frames in enumerate((7, 6)):
        replay.record(run(tmp_path / str(seed), seed, frames), replays=tmp_path)
    with pytest.raises(UsageError, match="same iterations"):
        replay.replay({"a": "mnist-kmgan-seed0", "b": "mnist-kmgan-seed1"}, caption="", replays=tmp_path)
    with pytest.raises(UsageError, match="snapshots=30"):
        replay.record(run(tmp_path / "few", 2, 1), replays=tmp_path)


@pytest.mark.parametrize("name", RECORDED)
def test_recorded_replays_are_small_and_whole(name: str) -> None:
    told, image = replay.load(name), replay.REPLAYS / f"{name}.webp"
    assert image.stat().st_size < 250_000
    with Image.open(image) as sprite:
        assert sprite.width % replay.ACROSS == 0
    assert len(told["frames"]) == 30
    assert told["frames"][-1] == told["iterations"]
    assert re.fullmatch("[0-9a-f]{7}", told["commit"])
