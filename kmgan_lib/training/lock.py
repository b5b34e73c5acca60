"""One process at a time in a run directory, by a lock that the system frees however its process ends."""

import contextlib
import errno
from collections.abc import Iterator
from pathlib import Path

from filelock import FileLock, Timeout

from kmgan_lib.errors import DirectoryInUse, RunFailed

LOCK = ".lock"
UNSUPPORTED = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL)  # some network disks: go on without


@contextlib.contextmanager
def held(path: Path) -> Iterator[None]:
    """Keep others out of a run directory, by its ``.lock``, or by a lock file of any name, while the block runs.

    A file that a killed process left behind keeps nobody out. A `DirectoryInUse` if others are in such a block.
    """
    file = path / LOCK if path.is_dir() else path
    lock = FileLock(file)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise DirectoryInUse(f"{path} is in use by another process: wait for its end, or name another one") from None
    except OSError as error:
        if error.errno not in UNSUPPORTED:
            raise RunFailed(f"{file} could not be written ({error.strerror})") from error
    try:
        yield
    finally:
        if lock.is_locked:
            with contextlib.suppress(OSError):
                file.unlink()  # before it is free: filelock notices that a file it waited for is gone
        lock.release()
