import shutil
from pathlib import Path

import pytest
import torch

from kmgan_lib.training.history import History, read_history


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
