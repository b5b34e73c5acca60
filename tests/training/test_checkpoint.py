import contextlib
import errno
import resource
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from kmgan_lib.errors import RunFailed, UsageError
from kmgan_lib.files import write_atomically
from kmgan_lib.training.run import CHECKPOINT, KEYS, load_checkpoint


def names(folder: Path) -> list[str]:
    return sorted(p.name for p in folder.iterdir())


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


TENSORS = {"weights": torch.ones(100_000)}
WRITERS: dict[str, Callable[[Path], object]] = {
    "torch": lambda path: torch.save(TENSORS, path),
    "safetensors": lambda path: save_file(TENSORS, path),
    "plain": lambda path: path.write_bytes(bytes(100_000)),
}


@pytest.mark.parametrize("writer", WRITERS)
def test_no_writer_loses_the_old_file_to_a_full_disk(tmp_path: Path, writer: str) -> None:
    path = tmp_path / CHECKPOINT
    path.write_text("old")
    with no_file_longer_than(50_000), pytest.raises(RunFailed, match="could not be written"):
        write_atomically(path, WRITERS[writer])
    assert path.read_text() == "old"
    assert names(tmp_path) == [CHECKPOINT]
    with pytest.raises(RunFailed, match="could not be written"):
        write_atomically(path / "below a file" / CHECKPOINT, WRITERS[writer])
    write_atomically(tmp_path / "new" / "folder" / CHECKPOINT, WRITERS[writer])
    assert names(tmp_path / "new" / "folder") == [CHECKPOINT]


def test_a_file_of_torch_that_is_no_checkpoint_is_refused(tmp_path: Path) -> None:
    torch.save({"something": "else"}, tmp_path / CHECKPOINT)
    with pytest.raises(UsageError, match="not a usable checkpoint"):
        load_checkpoint(tmp_path, "cpu")
    torch.save(dict.fromkeys(KEYS, 1), tmp_path / CHECKPOINT)
    with pytest.raises(UsageError, match=r"another version of kmgan wrote it\); remove it to start this run anew$"):
        load_checkpoint(tmp_path, "cpu")
