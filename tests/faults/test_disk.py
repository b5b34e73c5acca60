"""A disk without room, and files that came to harm on it."""

import os
import shutil
import signal
from pathlib import Path
from typing import Any

import pytest

from kmgan_book.records import load
from kmgan_lib import load_generator
from kmgan_lib.errors import UsageError
from kmgan_lib.files import GENERATOR
from kmgan_lib.training.checkpoint import CHECKPOINT, KEYS, PREVIOUS, load_checkpoint, save_checkpoint
from kmgan_lib.training.run import Run

from ..conftest import MadeUp, Quick
from ..training.test_trainer import assert_same_run
from .conftest import TINY, Whole, assert_same_files
from .forks import Forks


def words(out: Path) -> list[str]:
    """``kmgan train`` of the tiny run."""
    settings = [f"--set={key}={value}" for key, value in TINY.items() if key != "preset"]
    return ["train", TINY["preset"], "--profile", "smoke", "--device", "cpu", "--out", str(out), "--resume", *settings]


@pytest.mark.long
def test_a_full_disk_is_one_line_and_the_run_goes_on_when_there_is_room(
    forks: Forks, whole: Whole, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    killed = forks.run(train={**TINY, "out": str(out), "resume": True}, die_writing=3, share=0.5)
    assert killed.status == -signal.SIGKILL
    before = (out / CHECKPOINT).read_bytes()

    full = forks.run(cli=words(out), limit=len(before) // 2)
    assert full.status == 1
    assert full.said.count("\n") == 1
    assert full.said.startswith(f"kmgan: {out / CHECKPOINT} could not be written")
    assert (out / CHECKPOINT).read_bytes() == before

    assert forks.run(train={**TINY, "out": str(out), "resume": True}).status == 0
    assert_same_files(out, whole.out)


def harm(path: Path, how: str) -> None:
    content = bytearray(path.read_bytes())
    if how == "flipped":
        content[len(content) // 2] ^= 1
    path.write_bytes({"cut": content[: len(content) // 2], "empty": b"", "flipped": bytes(content)}[how])


def test_of_a_broken_checkpoint_the_one_before_is_offered_and_resumes_bit_for_bit(quick: Quick, tmp_path: Path) -> None:
    whole, run = quick(tmp_path / "whole"), quick(tmp_path / "run", iterations=14)
    for how in ("cut", "empty", "flipped", "gone"):
        place = Path(shutil.copytree(run.directory, tmp_path / f"a run {how}"))  # spaces, to be quoted
        path = place / CHECKPOINT
        path.unlink() if how == "gone" else harm(path, how)
        with pytest.raises(UsageError, match=r"not a usable checkpoint.*the one before it, of iteration 7") as caught:
            quick(place, resume=True)
        assert "\n" not in str(caught.value)
        command = str(caught.value).split("`")[1]
        assert command == f"mv '{place / PREVIOUS}' '{path}'"
        assert os.system(command) == 0
        quick(place, resume=True)
        assert_same_run(place, whole.directory)


def test_where_both_checkpoints_are_broken_the_line_says_so(quick: Quick, tmp_path: Path) -> None:
    run = quick(tmp_path / "run", iterations=14)
    harm(run.directory / CHECKPOINT, "cut")
    harm(run.directory / PREVIOUS, "flipped")
    with pytest.raises(UsageError, match=r"not a usable checkpoint.*nor is checkpoint-previous.*remove both") as caught:
        quick(run.directory, resume=True)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("links", [True, False], ids=["links", "copies"])
def test_the_checkpoint_is_at_its_place_at_every_moment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, links: bool
) -> None:
    replace, seen = os.replace, []

    def watching(*arguments: Any) -> None:
        replace(*arguments)
        if (tmp_path / CHECKPOINT).exists():
            seen.append(load_checkpoint(tmp_path, "cpu")["iteration"])

    def refused(*_: Any) -> None:
        raise PermissionError

    monkeypatch.setattr(os, "replace", watching)
    if not links:
        monkeypatch.setattr(os, "link", refused)
    for iteration in (1, 2, 3):
        save_checkpoint(tmp_path, {**dict.fromkeys(KEYS, 0), "iteration": iteration})
    assert seen == [1, 1, 2, 2, 3]
    shutil.copy(tmp_path / PREVIOUS, tmp_path / CHECKPOINT)
    assert load_checkpoint(tmp_path, "cpu")["iteration"] == 2
    assert sorted(p.name for p in tmp_path.iterdir()) == [PREVIOUS, CHECKPOINT]


def test_a_run_that_goes_on_has_no_result_until_its_end(quick: Quick, tmp_path: Path) -> None:
    # Killed after its last checkpoint it would pass for finished, with the result of the shorter run.
    class Stopped(Exception):
        pass

    def stop(iteration: int, _: object) -> None:
        if iteration == 20:
            raise Stopped

    quick(tmp_path / "run", iterations=7)
    with pytest.raises(Stopped):
        quick(tmp_path / "run", callback=stop, resume=True)
    assert not (tmp_path / "run" / "result.json").exists()


def test_a_broken_generator_is_named(pictures: Run, tmp_path: Path) -> None:
    path = tmp_path / GENERATOR
    for how in ("cut", "empty", "flipped"):
        shutil.copy(pictures.directory / GENERATOR, path)
        load_generator(path)
        harm(path, how)
        with pytest.raises(UsageError, match=r"generator\.safetensors is not") as caught:
            load_generator(path)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("content", ["iteration,loss\n1,zero\n", "iteration,loss\n1,2\n\x00\x01,\xff\n"])
def test_a_broken_history_is_named(made_up: MadeUp, tmp_path: Path, content: str) -> None:
    record = made_up(tmp_path, "digits/kmgan")
    (record.directory / "history.csv").write_bytes(content.encode("latin-1"))
    (found,) = load("digits/kmgan", "quick", results=tmp_path)
    with pytest.raises(UsageError, match=r"history\.csv cannot be read") as caught:
        _ = found.history
    assert "\n" not in str(caught.value)
