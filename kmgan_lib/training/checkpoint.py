"""Checkpoints: written atomically, read without running code, and the one before kept."""

import contextlib
import os
import shlex
import shutil
import zipfile
from pathlib import Path
from typing import Any

import torch

from kmgan_lib.errors import UsageError
from kmgan_lib.files import first_line, write_atomically

CHECKPOINT = "checkpoint.pt"
PREVIOUS = "checkpoint-previous.pt"
KEYS = {"format", "iteration", "seconds", "method", "batches", "history"}


def save_checkpoint(directory: Path, state: dict[str, Any]) -> None:
    """Write ``checkpoint.pt`` atomically and keep the one before as ``checkpoint-previous.pt``.

    The state holds tensors, numbers, strings and containers of them, nothing else: so it loads with
    ``weights_only=True``.
    """

    def write(path: Path) -> None:
        torch.save(state, path)
        _keep_previous(directory)

    write_atomically(directory / CHECKPOINT, write)


def _keep_previous(directory: Path) -> None:
    """A second name for ``checkpoint.pt``, which stays where it is; a copy on disks without links."""
    path, kept = directory / CHECKPOINT, directory / PREVIOUS
    partial = kept.with_name(f".{PREVIOUS}.part")
    if not path.exists():
        return
    with contextlib.suppress(OSError):  # a disk without room for a copy: the new checkpoint is worth more
        try:
            partial.unlink(missing_ok=True)
            try:
                os.link(path, partial)
            except OSError:
                shutil.copyfile(path, partial)
            os.replace(partial, kept)
        finally:
            partial.unlink(missing_ok=True)  # two names of one file: then replacing does nothing


def has_checkpoint(directory: Path) -> bool:
    """Whether there is a checkpoint, or at least the one before, for a run to go on from."""
    return (directory / CHECKPOINT).exists() or (directory / PREVIOUS).exists()


def load_checkpoint(directory: Path, device: torch.device | str) -> dict[str, Any]:
    """Read ``checkpoint.pt`` without running any code that it may carry.

    A `UsageError` if the file is truncated, garbled or holds anything but plain data. The message offers the checkpoint
    before it, if that one is whole.
    """
    path, previous = directory / CHECKPOINT, directory / PREVIOUS
    try:
        return _read_checkpoint(path, device)
    except Exception as error:  # torch.load raises many kinds for a broken file, all of them meaning this
        wrong = f"{path} is not a usable checkpoint ({first_line(error)[:200]})"
        if not previous.exists():
            raise UsageError(f"{wrong}; remove it to start this run anew") from error
        try:
            iteration = _read_checkpoint(previous, "cpu")["iteration"]
        except Exception as second:
            raise UsageError(
                f"{wrong}, nor is {PREVIOUS} beside it ({first_line(second)[:200]}); remove both to start this run anew"
            ) from error
        move = shlex.join(["mv", str(previous), str(path)])
        raise UsageError(
            f"{wrong}; the one before it, of iteration {iteration}, is: `{move}`, then --resume"
        ) from error


def _read_checkpoint(path: Path, device: torch.device | str) -> dict[str, Any]:
    # torch.load compares no checksums: a flipped bit would come through as a weight.
    with zipfile.ZipFile(path) as archive:
        damaged = archive.testzip()
    if damaged is not None:
        raise ValueError(f"the checksum of {damaged} in it is wrong")
    state = torch.load(path, map_location=device, weights_only=True)
    if not isinstance(state, dict) or set(state) != KEYS:
        raise ValueError("it holds something else")
    return state
