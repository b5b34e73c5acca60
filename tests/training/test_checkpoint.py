from __future__ import annotations

import contextlib
import errno
import resource
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from kmgan_lib.errors import RunFailed, UsageError
from kmgan_lib.files import read_json, write_atomically, write_json
from kmgan_lib.training.checkpoint import CHECKPOINT, KEYS, load_checkpoint, save_checkpoint


def names(folder: Path) -> list[str]:
    return sorted(p.name for p in folder.iterdir())


def test_a_file_is_written_whole_and_its_folder_made(tmp_path: Path) -> None:
    path = tmp_path / "new" / "folder" / "x.txt"
    write_atomically(path, lambda p: p.write_text("whole"))
    assert path.read_text() == "whole"
    assert names(path.parent) == ["x.txt"]


@pytest.mark.parametrize(
    ("error", "raised", "message"),
    [(RuntimeError("failed"), RuntimeError, "failed"), (KeyboardInterrupt(), KeyboardInterrupt, "^$"),
     (OSError(errno.ENOSPC, "No space"), RunFailed, r"x\.txt could not be written \(No space\)")],
    ids=repr,
)  # fmt: skip
def test_a_writer_that_fails_half_way_leaves_the_old_file_alone(
    tmp_path: Path, error: BaseException, raised: type[BaseException], message: str
) -> None:
    path = tmp_path / "x.txt"
    path.write_text("old")

    def fail(partial: Path) -> None:
        assert partial.parent == path.parent  # os.replace is atomic on one file system only
        partial.write_text("hal")
        assert path.read_text() == "old"
        raise error

    with pytest.raises(raised, match=message):
        write_atomically(path, fail)
    assert path.read_text() == "old"
    assert names(tmp_path) == ["x.txt"]


@contextlib.contextmanager
def no_file_longer_than(size: int) -> Iterator[None]:
    """What a full disk does to every writer, whatever it is written in."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("writer", ["torch", "safetensors", "plain"])
def test_no_writer_loses_the_old_file_to_a_full_disk(tmp_path: Path, writer: str) -> None:
    path = tmp_path / CHECKPOINT
    path.write_text("old")
    tensors = {"weights": torch.ones(100_000)}
    writers: dict[str, Callable[[Path], object]] = {
        "torch": lambda p: torch.save(tensors, p),
        "safetensors": lambda p: save_file(tensors, p),
        "plain": lambda p: p.write_bytes(bytes(100_000)),
    }
    with no_file_longer_than(50_000), pytest.raises(RunFailed, match="could not be written"):
        write_atomically(path, writers[writer])
    assert path.read_text() == "old"
    assert names(tmp_path) == [CHECKPOINT]


def test_a_folder_in_the_way_of_a_file_is_a_failed_run(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(RunFailed, match="could not be written"):
        write_atomically(tmp_path / "file" / "x.txt", lambda p: p.write_text("x"))


def test_json_goes_both_ways(tmp_path: Path) -> None:
    content = {"ä": [1, 2.5, None], "nested": {"deep": True}}
    write_json(tmp_path / "x.json", content)
    assert read_json(tmp_path / "x.json") == content


def test_garbled_json_is_an_error_that_names_the_file(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"is not a run: it has no x\.json"):
        read_json(tmp_path / "x.json")
    for text in ("", "{", "[1, 2]", "3", "\x00\xff"):
        (tmp_path / "x.json").write_text(text, encoding="latin-1")
        with pytest.raises(UsageError, match=r"x\.json cannot be read"):
            read_json(tmp_path / "x.json")


def test_a_checkpoint_keeps_tensors_exactly(tmp_path: Path) -> None:
    tensors = {"weights": torch.randn(4, 3), "rng": torch.get_rng_state()}
    save_checkpoint(tmp_path, {**dict.fromkeys(KEYS, 3), "method": tensors})
    loaded = load_checkpoint(tmp_path, "cpu")
    assert loaded["iteration"] == 3
    for name, tensor in tensors.items():
        assert torch.equal(loaded["method"][name], tensor)


def test_a_truncated_checkpoint_is_refused_in_one_line(tmp_path: Path) -> None:
    save_checkpoint(tmp_path, {**dict.fromkeys(KEYS, 3), "method": {"weights": torch.randn(100)}})
    whole = (tmp_path / CHECKPOINT).read_bytes()
    for share in (0.0, 0.3, 0.9):
        (tmp_path / CHECKPOINT).write_bytes(whole[: int(share * len(whole))])
        with pytest.raises(UsageError, match="remove it to start this run anew") as caught:
            load_checkpoint(tmp_path, "cpu")
        assert "\n" not in str(caught.value)
