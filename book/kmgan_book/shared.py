"""Folders that several sweeps share: where a run lies, and what others have finished there."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from kmgan_book import records
from kmgan_book.claims import Needed
from kmgan_lib import files
from kmgan_lib.errors import UsageError


def place_of(run: Needed, runs: Path) -> Path:
    """The directory of a run below the folder of all runs."""
    return runs / run.preset / f"{run.profile}-seed{run.seed}"


def read_result(directory: Path) -> dict[str, Any]:
    """``result.json``; nothing where there is none, or a garbled one, of which the run's own process will complain."""
    with contextlib.suppress(UsageError):
        return files.read_json(directory / files.RESULT)
    return {}


class Others:
    """What other processes finish from now on, by a look at results before and after.

    Parameters
    ----------
    plan : sequence of Needed
    runs : Path
        Folder of the run directories.
    results : Path or None
        Folder of the records, if these count too.
    """

    def __init__(self, plan: Sequence[Needed], runs: Path, results: Path | None):
        self.runs, self.results = runs, results
        self.before = {run: [self._seen(place) for place in self._places(run)] for run in plan}

    def _places(self, run: Needed) -> list[Path]:
        places = [place_of(run, self.runs)]
        if self.results is not None:
            places.append(records.place(run.preset, run.profile, run.seed, results=self.results))
        return places

    def _seen(self, place: Path) -> tuple[int, int] | None:
        path = place / files.RESULT
        return (path.stat().st_mtime_ns, path.stat().st_size) if path.exists() else None

    def result(self, run: Needed) -> dict[str, Any] | None:
        """The result that one of them has made of this run since, or None."""
        for place, before in zip(self._places(run), self.before[run], strict=True):
            result = read_result(place)
            if self._seen(place) != before and (result.get("metrics") or result.get("status") == "diverged"):
                return result
        return None
