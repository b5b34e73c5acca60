"""The ways in which a command ends badly; the command line turns them into one line and an exit status."""

import contextlib
import os
from datetime import timedelta


class UsageError(ValueError):
    """Wrong use: an unknown name, a wrong value, data that is not there. Exit status 2; nothing was written.

    Its text is one line, whatever the names in it hold.
    """

    status = 2

    def __init__(self, text: str):
        super().__init__(" ".join(text.splitlines()))


class DirectoryInUse(UsageError):
    """Another process works in the run directory. Exit status 3; nothing was written."""

    status = 3


class RunFailed(RuntimeError):
    """A run that began and could not end well. Exit status 1; what was good is kept."""

    status = 1


class Diverged(RunFailed):
    """A loss stopped being finite; the last good checkpoint is kept and the run is recorded as ``diverged``."""


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
