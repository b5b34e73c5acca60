"""Files: atomic writes, JSON, the file names and lock of a run directory, and a cache that may be emptied."""

import contextlib
import errno
import json
import logging
import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from kmgan_lib.errors import DirectoryInUse, RunFailed, UsageError

log = logging.getLogger(__name__)
CONFIG, GENERATOR, HISTORY, RESULT = "config.json", "generator.safetensors", "history.csv", "result.json"
NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL)  # some network disks: continue without a lock


def first_line(error: BaseException) -> str:
    """The first line of an error's message; its type if it has none."""
    return (getattr(error, "strerror", None) or f"{error}".strip() or type(error).__name__).splitlines()[0]


def expanded(path: str | Path) -> Path:
    """The path with ``~`` expanded, a `UsageError` for a user without home; ``~name`` of an unknown user is kept."""
    place = Path(os.path.expanduser(path))  # Path's own raises for an unknown name
    if place.parts[:1] == ("~",):
        raise UsageError(f"{path}: this user has no home folder: write the whole path")
    return place


def write_atomically(path: Path, write: Callable[[Path], object], *, shared: bool = False) -> None:
    """Let ``write`` make a temporary file beside the path, then rename it; others may write a ``shared`` one too."""
    partial = path.with_name(f".{path.name}.{os.getpid()}.part" if shared else f".{path.name}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        partial.unlink(missing_ok=True)  # left by a killed process: some writers append
        write(partial)
        with partial.open("r+b") as file:  # Windows flushes nothing that was opened for reading
            os.fsync(file.fileno())
        os.replace(partial, path)
    except Exception as error:  # torch and safetensors have errors of their own for a full disk
        raise RunFailed(f"{path} could not be written ({first_line(error)}); a previous one is kept") from error
    finally:
        with contextlib.suppress(OSError):
            partial.unlink(missing_ok=True)


def finite(content: Any) -> Any:
    """The content as JSON stores it, with None for NaN and infinity, which JSON lacks."""
    return json.loads(json.dumps(content), parse_constant=lambda _: None)


def as_json(content: dict[str, Any], indent: int | None = 2) -> str:
    """JSON that every parser accepts, indented or on one line."""
    return json.dumps(finite(content), indent=indent) + "\n"


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Write a dictionary as JSON, atomically."""
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


@contextlib.contextmanager
def held(path: Path) -> Iterator[None]:
    """Hold the lock of a run directory, or another lock file; `DirectoryInUse` if another process holds it."""
    file = path / ".lock" if path.is_dir() else path
    lock = FileLock(file)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise DirectoryInUse(f"{path} is in use by another process: wait for its end, or name another one") from None
    except OSError as error:
        if error.errno not in NO_LOCKS:
            raise RunFailed(f"{file} could not be written ({error.strerror})") from error
    try:
        yield
    finally:
        if lock.is_locked:
            with contextlib.suppress(OSError):
                file.unlink()  # before it is free: filelock notices that a file it waited for is gone
        lock.release()


def cache_root() -> Path:
    """``$KMGAN_CACHE``, else ``kmgan`` in the user's cache folder; a temporary folder for a user without a home."""
    try:
        return expanded(os.environ.get("KMGAN_CACHE") or Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache", "kmgan"))
    except UsageError:
        return Path(tempfile.gettempdir(), f"kmgan-{getattr(os, 'getuid', int)()}")


def keep(path: Path, write: Callable[[Path], object]) -> None:
    """`write_atomically` into the cache; a warning if that fails."""
    try:
        write_atomically(path, write, shared=True)
    except RunFailed as error:
        log.warning("%s; set KMGAN_CACHE to another folder", error)
