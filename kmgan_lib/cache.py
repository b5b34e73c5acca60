"""The folder of downloads and trained classifiers. Nothing in it is needed: what cannot be kept is made again."""

from __future__ import annotations

import atexit
import functools
import logging
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

from kmgan_lib.errors import RunFailed
from kmgan_lib.files import first_line, write_atomically

log = logging.getLogger(__name__)


def cache_root() -> Path:
    """``$KMGAN_CACHE``, else ``kmgan`` in the user's cache folder; a user without a home has one for this process."""
    base = os.environ.get("KMGAN_CACHE")
    try:
        return Path(base or Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache", "kmgan")).expanduser()
    except RuntimeError:
        return _for_this_process()


@functools.cache
def _for_this_process() -> Path:
    place = tempfile.mkdtemp(prefix="kmgan-")
    atexit.register(shutil.rmtree, place, ignore_errors=True)
    log.warning("no home folder: what is downloaded or trained is not kept; KMGAN_CACHE names a folder for it")
    return Path(place)


def writable(folder: Path) -> bool:
    """Whether a folder of the cache, made if need be, can be written to; if not, that is a warning."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()
    except OSError as error:
        log.warning("%s cannot be written (%s); KMGAN_CACHE names another folder", folder, first_line(error))
        return False
    return True


def keep(path: Path, write: Callable[[Path], object]) -> None:
    """`write_atomically` into the cache; where it cannot be written, as another user's, that is a warning."""
    try:
        write_atomically(path, write)
    except RunFailed as error:
        log.warning("%s; KMGAN_CACHE names another folder", str(error).partition(";")[0])
