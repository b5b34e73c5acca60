"""The run directory: atomic files, checkpoints without pickled code, the generator as safetensors."""

from __future__ import annotations

import contextlib
import json
import math
import os
import shlex
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from kmgan_lib.errors import RunFailed, UsageError

CHECKPOINT = "checkpoint.pt"
PREVIOUS = "checkpoint-previous.pt"
CONFIG = "config.json"
GENERATOR = "generator.safetensors"
HISTORY = "history.csv"
RESULT = "result.json"
SHEET = "kmgan: a sheet of samples"  # the software of such pictures, in EXIF: no images to train on
KEYS = {"format", "iteration", "seconds", "method", "batches", "history"}  # of a checkpoint


def first_line(error: BaseException) -> str:
    """What an error says, in one line; its kind where it says nothing."""
    return (getattr(error, "strerror", None) or f"{error}".strip() or type(error).__name__).splitlines()[0]


def expanded(path: str | Path) -> Path:
    """The path with ``~`` as the home folder; as it is where nobody has that name."""
    return Path(os.path.expanduser(path))  # Path's own raises for an unknown name


def write_atomically(path: Path, write: Callable[[Path], object]) -> None:
    """Write a file beside its place and move it there when it is whole, so that no reader ever sees half of it.

    Parameters
    ----------
    path : Path
        The final place; its folder is made if need be.
    write : callable
        Writes the whole content to the path it is given.
    """
    partial = path.with_name(f".{path.name}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        partial.touch()
        mode = partial.stat().st_mode  # as the umask has it: safetensors makes files for their owner alone
        write(partial)
        with contextlib.suppress(OSError):  # disks without such modes
            partial.chmod(mode)
        with partial.open("r+b") as file:  # Windows flushes nothing that was opened for reading
            os.fsync(file.fileno())
        os.replace(partial, path)
    except Exception as error:  # torch and safetensors have errors of their own for a full disk
        raise RunFailed(f"{path} could not be written ({first_line(error)}); a previous one is kept") from error
    finally:
        with contextlib.suppress(OSError):
            partial.unlink(missing_ok=True)


def finite(content: Any) -> Any:
    """The content with None for every NaN and infinity, which JSON does not have; of dictionaries, lists and tuples."""
    if isinstance(content, dict):
        return {key: finite(value) for key, value in content.items()}
    if isinstance(content, (list, tuple)):
        return [finite(value) for value in content]
    return None if isinstance(content, float) and not math.isfinite(content) else content


def as_json(content: dict[str, Any], indent: int | None = 2) -> str:
    """One line, or many, of JSON that every reader takes."""
    return json.dumps(finite(content), indent=indent, allow_nan=False) + "\n"


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Write a dictionary as readable JSON, atomically."""
    write_atomically(path, lambda p: p.write_text(as_json(content), encoding="utf-8"))


def read_json(path: Path) -> dict[str, Any]:
    """Read a dictionary; a `UsageError` names a file that is missing or garbled."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UsageError(f"{path.parent} is not a run: it has no {path.name}") from None
    except (OSError, ValueError, RecursionError) as error:
        raise UsageError(f"{path} cannot be read ({first_line(error)})") from None
    if not isinstance(content, dict):
        raise UsageError(f"{path} cannot be read (it holds no dictionary)")
    return content


def save_checkpoint(directory: Path, state: dict[str, Any]) -> None:
    """Write ``checkpoint.pt`` atomically and keep the one before as ``checkpoint-previous.pt``.

    Parameters
    ----------
    directory : Path
        Run directory.
    state : dict
        Tensors, numbers, strings and containers of them; nothing else, so that it loads with ``weights_only=True``.
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

    Raises
    ------
    UsageError
        If the file is truncated, garbled or holds anything but plain data. The message offers the checkpoint before it,
        if that one is whole.
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
