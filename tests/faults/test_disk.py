"""A disk without room, and files that came to harm on it."""

from pathlib import Path
from typing import Any

import pytest
import torch

from kmgan_book.records import load
from kmgan_lib import load_generator
from kmgan_lib.errors import UsageError
from kmgan_lib.files import GENERATOR
from kmgan_lib.training.run import CHECKPOINT, FORMAT, KEYS, Run, load_checkpoint, save_checkpoint

from ..conftest import MadeUp, Quick, Stopped, contents, stop_at
from .conftest import TINY, goes_on_as
from .forks import Forks


def words(out: Path) -> list[str]:
    """``kmgan train`` of the tiny run."""
    settings = [f"--set={key}={value}" for key, value in TINY.items() if key != "preset"]
    return ["train", TINY["preset"], "--profile", "smoke", "--device", "cpu", "--out", str(out), "--resume", *settings]


@pytest.mark.long
def test_a_full_disk_is_one_line_and_the_run_goes_on_when_there_is_room(
    forks: Forks, whole: Path, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    forks.run(train={**TINY, "out": str(out)}, die_writing=3, share=0.5)
    before = (out / CHECKPOINT).read_bytes()
    full = forks.run(cli=words(out), limit=len(before) // 2)
    assert full.status == 1
    assert full.said.count("\n") == 1
    assert full.said.startswith(f"kmgan: {out / CHECKPOINT} could not be written")
    assert (out / CHECKPOINT).read_bytes() == before
    goes_on_as(whole, forks, out)


def harmed(whole: bytes) -> list[bytes]:
    """The content of a file that was cut, that is empty, and of which one bit is wrong."""
    half = len(whole) // 2
    return [whole[:half], b"", whole[:half] + bytes([whole[half] ^ 1]) + whole[half + 1 :]]


def test_a_broken_checkpoint_is_refused_and_the_run_stays_as_it_is(quick: Quick, tmp_path: Path) -> None:
    out = quick(tmp_path / "run", iterations=14).directory
    for content in harmed((out / CHECKPOINT).read_bytes()):
        (out / CHECKPOINT).write_bytes(content)
        before = contents(out)
        with pytest.raises(UsageError, match=r"^.*not a usable checkpoint.*remove it to start this run anew$"):
            quick(out, resume=True)
        assert contents(out) == before


def test_the_checkpoint_is_at_its_place_at_every_moment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save, seen, kept = torch.save, [], {**dict.fromkeys(KEYS, 0), "format": FORMAT}

    def watching(state: Any, path: Path) -> None:
        save(state, path)
        seen.append(load_checkpoint(tmp_path, "cpu")["iteration"])

    save_checkpoint(tmp_path, {**kept, "iteration": 1})
    monkeypatch.setattr(torch, "save", watching)
    for iteration in (2, 3):
        save_checkpoint(tmp_path, {**kept, "iteration": iteration})
    assert seen == [1, 2]
    assert [p.name for p in tmp_path.iterdir()] == [CHECKPOINT]


def test_a_run_that_goes_on_has_no_result_until_its_end(quick: Quick, tmp_path: Path) -> None:
    # Killed after its last checkpoint it would pass for finished, with the result of the shorter run.
    quick(tmp_path / "run", iterations=7)
    with pytest.raises(Stopped):
        quick(tmp_path / "run", callback=stop_at(20), resume=True)
    assert not (tmp_path / "run" / "result.json").exists()


def test_a_broken_generator_is_named(pictures: Run, tmp_path: Path) -> None:
    path = tmp_path / GENERATOR
    for content in harmed((pictures.directory / GENERATOR).read_bytes()):
        path.write_bytes(content)
        with pytest.raises(UsageError, match=r"^.*generator\.safetensors is not.*$"):
            load_generator(path)


def test_a_broken_history_is_named(made_up: MadeUp, tmp_path: Path) -> None:
    record = made_up(tmp_path, "digits/kmgan")
    for content in (b"iteration,loss\n1,zero\n", b"iteration,loss\n1,2\n\x00\x01,\xff\n", b"loss\n1\n"):
        (record.directory / "history.csv").write_bytes(content)
        (found,) = load("digits/kmgan", "quick", results=tmp_path)
        with pytest.raises(UsageError, match=r"^.*history\.csv cannot be read.*$"):
            _ = found.history
