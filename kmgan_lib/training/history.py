"""The history of a run, ``history.csv``: means of its losses."""

import csv
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from kmgan_lib import files
from kmgan_lib.errors import UsageError

NEVER = 2**62  # an iteration that no run reaches


def read_history(directory: Path) -> list[dict[str, float]]:
    """Rows of ``history.csv``; an empty list if there is none yet, a `UsageError` if it cannot be read."""
    path = directory / files.HISTORY
    if not path.exists():
        return []
    try:
        header, *rows = list(csv.reader(path.read_text(encoding="utf8").splitlines())) or [["iteration"]]
        if "iteration" not in header:
            raise ValueError("it has no column iteration")
        # A row torn by a kill or a full disk is shorter; its iterations were not finished.
        return [dict(zip(header, map(float, row), strict=True)) for row in rows if len(row) == len(header)]
    except (OSError, ValueError, csv.Error) as error:
        raise UsageError(f"{path} cannot be read ({files.first_line(error)})") from None


def _append(path: Path, rows: list[dict[str, float]]) -> None:
    with path.open("a", newline="", encoding="utf8") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        if file.tell() == 0:
            writer.writeheader()
        writer.writerows({**row, "iteration": int(row["iteration"])} for row in rows)


class History:
    """Window means of the losses, kept on the device until a row is written; and the first iteration that failed."""

    def __init__(self, directory: Path, device: torch.device):
        self.path = directory / files.HISTORY
        self.names: list[str] = []
        self.sums, self.count = torch.zeros(0, device=device), 0
        self.first_bad = torch.full((), NEVER, device=device)

    def add(self, iteration: int, losses: dict[str, Tensor]) -> None:
        """Add the losses of one iteration; never waits for the device."""
        stacked = torch.stack(list(losses.values()))
        self.sums = self.sums + stacked if self.count else stacked
        self.names, self.count = list(losses), self.count + 1
        self.first_bad.clamp_(max=torch.where(stacked.isfinite().all(), NEVER, iteration))

    def bad_iteration(self) -> int | None:
        """The first iteration with a loss that is not finite, if any. Waits for the device."""
        return first if (first := int(self.first_bad)) < NEVER else None

    def write(self, iteration: int, seconds: float, *, to_file: bool = True) -> dict[str, float]:
        """Append the means since the last row and start over; ``to_file`` on one rank only. Waits for the device."""
        means = dict(zip(self.names, (self.sums / self.count).tolist(), strict=True))
        row = {"iteration": iteration, "seconds": round(seconds, 3), **means}
        if to_file:
            _append(self.path, [row])
        self.count = 0
        return row

    def truncate(self, iteration: int) -> None:
        """Drop rows of iterations that a resumed run will do again."""
        rows = read_history(self.path.parent) if iteration else []
        if kept := [row for row in rows if row["iteration"] <= iteration]:
            files.write_atomically(self.path, lambda path: _append(path, kept))
        else:
            self.path.unlink(missing_ok=True)

    def state_dict(self) -> dict[str, Any]:
        """The unfinished window."""
        return {"sums": dict(zip(self.names, self.sums, strict=True)), "count": self.count}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore `state_dict`."""
        self.names, self.count = list(state["sums"]), state["count"]
        self.sums = torch.stack(list(state["sums"].values()))
