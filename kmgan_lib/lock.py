"""One process at a time in a run directory: a lock that the kernel frees however its process ends.

Where there are no such locks (Windows, some network disks) everything goes on without.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path

from kmgan_lib.errors import RunFailed, UsageError

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None

LOCK = ".lock"
IN_USE = "is in use by"
PATIENCE = 0.2  # seconds: somebody who only looks holds the lock for a moment
UNKNOWN_HERE = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL)


class Taken(UsageError):
    """Another process works there. Exit status 2; nothing was written."""


@contextlib.contextmanager
def held(path: Path) -> Iterator[None]:
    """Keep others out while the block runs.

    Parameters
    ----------
    path : Path
        A run directory, whose ``.lock`` is taken; or a lock file of any name. The file is gone afterwards. One that a
        killed process left behind keeps nobody out.

    Raises
    ------
    Taken
        If another process, or another thread of this one, is in such a block; the message says who.
    """
    path = path / LOCK if path.is_dir() else path
    file = _locked(path)
    if file is None:
        yield
        return
    try:
        yield
    finally:
        with contextlib.suppress(OSError):
            path.unlink()  # before it is free: who opened this file and waits finds that it is not the one at its place
        os.close(file)


def holder(path: Path) -> str | None:
    """Who works there, such as ``process 123 on host since 2026-01-31 12:00``; None if nobody does."""
    path = path / LOCK if path.is_dir() else path
    if fcntl is None:
        return None
    try:
        file = os.open(path, os.O_RDONLY)
    except OSError:
        return None
    try:
        fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return _who(path)
    except OSError:
        return None
    finally:
        os.close(file)
    return None


def _locked(path: Path) -> int | None:
    """The lock file, open and locked; None where there are no locks."""
    if fcntl is None:
        return None
    until = time.monotonic() + PATIENCE
    while True:
        try:
            file = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        except OSError as error:
            raise RunFailed(f"{path} could not be written ({error.strerror})") from error
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if _is_at(file, path):
                _sign(file)
                return file
            os.close(file)  # its last owner has just removed it: take the new one
        except BlockingIOError:
            os.close(file)
            if time.monotonic() > until:
                raise Taken(
                    f"{path.parent if path.name == LOCK else path} {IN_USE} {_who(path)}: wait for its end, or work in "
                    "another folder"
                ) from None
            time.sleep(PATIENCE / 10)
        except OSError as error:
            os.close(file)
            if error.errno not in UNKNOWN_HERE:
                raise
            return None


def _is_at(file: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(file), path.stat())
    except FileNotFoundError:
        return False


def _sign(file: int) -> None:
    now = time.strftime("%Y-%m-%d %H:%M")
    note = json.dumps({"process": os.getpid(), "host": socket.gethostname(), "since": now})
    with contextlib.suppress(OSError):  # a full disk: the lock holds without a name on it
        os.ftruncate(file, 0)
        os.write(file, note.encode())


def _who(path: Path) -> str:
    try:
        note = json.loads(path.read_text("utf8"))
        return f"process {int(note['process'])} on {note['host']} since {note['since']}"
    except (OSError, ValueError, KeyError, TypeError):
        return "another process"
