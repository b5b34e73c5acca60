"""Checkpoints: written atomically, and read without running code."""

import zipfile
from pathlib import Path
from typing import Any

import torch

from kmgan_lib.errors import UsageError
from kmgan_lib.files import first_line, write_atomically

CHECKPOINT = "checkpoint.pt"
FORMAT = 2  # 1 had each network of a method for itself
KEYS = {"format", "iteration", "seconds", "method", "batches", "history"}


def save_checkpoint(directory: Path, state: dict[str, Any]) -> None:
    """Write ``checkpoint.pt`` atomically: tensors, numbers, strings and containers of them, nothing else."""
    write_atomically(directory / CHECKPOINT, lambda path: torch.save(state, path))


def load_checkpoint(directory: Path, device: torch.device | str) -> dict[str, Any]:
    """Read ``checkpoint.pt``, running no code of it; a `UsageError` if it is garbled or holds other than plain data."""
    path = directory / CHECKPOINT
    try:
        with zipfile.ZipFile(path) as archive:  # torch.load compares no checksums: a flipped bit would be a weight
            damaged = archive.testzip()
        if damaged is not None:
            raise ValueError(f"the checksum of {damaged} in it is wrong")
        state = torch.load(path, map_location=device, weights_only=True)
        if not isinstance(state, dict) or set(state) != KEYS:
            raise ValueError("it holds something else")
        if state["format"] == FORMAT:
            return state
        raise ValueError("another version of kmgan wrote it")
    except Exception as error:  # torch.load raises many kinds for a broken file, all of them meaning this
        why = first_line(error)[:200]
        raise UsageError(f"{path} is not a usable checkpoint ({why}); remove it to start this run anew") from error
