"""The errors that end a command; the command line turns them into one line and an exit status."""

import contextlib
import difflib
import os
from collections.abc import Iterable
from datetime import timedelta
from typing import Any

LONGEST = 80  # characters of a value in a message


class UsageError(ValueError):
    """Wrong use: an unknown name, a wrong value, missing data. Exit status 2; nothing was written."""

    status = 2

    def __init__(self, text: str):
        super().__init__(" ".join(text.splitlines()))


class DirectoryInUse(UsageError):
    """Another process is using the run directory. Exit status 3; nothing was written."""

    status = 3


class RunFailed(RuntimeError):
    """A run that started but could not finish. Exit status 1; what was good is kept."""

    status = 1


class Diverged(RunFailed):
    """A loss stopped being finite; the last good checkpoint is kept and the run is recorded as ``diverged``."""


def shorten(value: Any) -> str:
    """A value for an error message: on one line, and cut if it is long."""
    text = " ".join(str(value).split())
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}..."


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """``; did you mean X?`` for a word close to a known one, else nothing."""
    close = difflib.get_close_matches(word, list(known), 1)
    return f"; did you mean {close[0]}?" if close else ""


def unknown(what: str, name: str, known: Iterable[str], hint: str = "") -> UsageError:
    """A `UsageError` for an unknown name; it lists the known ones if there is no other hint."""
    choice = hint or f"one of {', '.join(known)}"
    return UsageError(f"unknown {what} {shorten(name)}{did_you_mean(name, known)} ({choice})")


def first_to_report() -> bool:
    """Whether this process should print the error that ends a run, so that several processes print it once."""
    if os.environ.get("WORLD_SIZE", "1") == "1":
        return True
    from torch.distributed import TCPStore  # pyright: ignore[reportPrivateImportUsage]

    with contextlib.suppress(KeyError, ValueError, RuntimeError):  # the store ended with its process
        port, timeout = int(os.environ["MASTER_PORT"]), timedelta(seconds=5)
        store = TCPStore(os.environ["MASTER_ADDR"], port, is_master=False, timeout=timeout)
        return store.add(f"kmgan/reported/{os.environ.get('TORCHELASTIC_RESTART_COUNT', 0)}", 1) == 1
    return True
