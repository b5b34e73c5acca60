"""Files of a run that are replaced as a whole or not at all, and the history that grows."""

import contextlib
import resource
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from kmgan_lib.errors import RunFailed, UsageError
from kmgan_lib.files import write_atomically
from kmgan_lib.training.history import History, read_history
from kmgan_lib.training.run import CHECKPOINT, KEYS, load_checkpoint


def names(folder: Path) -> list[str]:
    return sorted(p.name for p in folder.iterdir())


@pytest.mark.parametrize("error", [RuntimeError("failed"), KeyboardInterrupt("failed")], ids=repr)
def test_a_writer_that_fails_leaves_the_old_file(tmp_path: Path, error: BaseException) -> None:
    path = tmp_path / "x.txt"
    path.write_text("old")

    def fail(partial: Path) -> None:
        assert partial.parent == path.parent  # os.replace is atomic on one file system only
        partial.write_text("hal")
        assert path.read_text() == "old"
        raise error

    with pytest.raises(type(error), match="failed"):
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
    said = rf"{path} could not be written \(.+\)"
    with no_file_longer_than(50_000), pytest.raises(RunFailed, match=said):
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


@pytest.fixture
def history(tmp_path: Path) -> History:
    return History(tmp_path, torch.device("cpu"))


def add(history: History, *iterations: int) -> None:
    """Losses a = iteration and b = -iteration."""
    for n in iterations:
        history.add(n, {"a": torch.tensor(float(n)), "b": torch.tensor(-float(n))})


def test_rows_are_means_over_the_iterations_since_the_row_before(history: History, tmp_path: Path) -> None:
    add(history, 1, 2, 3)
    assert history.write(3, 0.5) == {"iteration": 3, "seconds": 0.5, "a": 2.0, "b": -2.0}
    add(history, 4, 5)
    history.write(5, 0.75)
    assert read_history(tmp_path) == [
        {"iteration": 3, "seconds": 0.5, "a": 2.0, "b": -2.0},
        {"iteration": 5, "seconds": 0.75, "a": 4.5, "b": -4.5},
    ]


def test_the_first_iteration_that_is_not_finite_is_remembered(tmp_path: Path) -> None:
    for bad in (float("nan"), float("inf"), -float("inf")):
        history = History(tmp_path, torch.device("cpu"))
        add(history, 1, 2)
        assert history.bad_iteration() is None
        history.add(3, {"a": torch.tensor(1.0), "b": torch.tensor(bad)})
        add(history, 4)
        history.add(5, {"a": torch.tensor(bad), "b": torch.tensor(bad)})
        assert history.bad_iteration() == 3


def test_truncate_drops_what_will_be_done_again_and_a_row_torn_by_a_full_disk(history: History, tmp_path: Path) -> None:
    for n in range(1, 6):
        add(history, n)
        history.write(n, n / 10)
    rows = read_history(tmp_path)
    shutil.copy(history.path, tmp_path / ".history.csv.part")  # of a process that was killed while it did this
    history.truncate(3)
    assert read_history(tmp_path) == rows[:3]
    for torn in ("1", "12,0.", "2,0.2"):
        with history.path.open("a") as file:
            file.write(torn)
        history.truncate(11)
        assert read_history(tmp_path) == rows[:3]
    history.path.write_text("itera")  # a run without a checkpoint begins anew, whatever stands there
    history.truncate(0)
    assert read_history(tmp_path) == []
