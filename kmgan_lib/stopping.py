"""Stopping in good order: what Ctrl-C and SIGTERM, which clusters send, do to a loop that must not be cut."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator


@contextlib.contextmanager
def interruptible() -> Iterator[list[int]]:
    """Within the block the first Ctrl-C, or SIGTERM, only fills the list: an iteration is never cut in the middle."""
    received: list[int] = []
    if threading.current_thread() is not threading.main_thread():
        yield received
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def restore() -> None:
        for number, handler in before.items():
            if signal.getsignal(number) is note:
                signal.signal(number, handler)

    def note(number: int, _: object) -> None:
        received.append(number)
        restore()  # a second one stops at once

    for number in before:
        signal.signal(number, note)
    try:
        yield received
    finally:
        restore()


def ignore_termination() -> None:
    """From here on SIGTERM does nothing, for a process that ends anyway and still has to say why."""
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, signal.SIG_IGN)


@contextlib.contextmanager
def terminated_as_interrupted() -> Iterator[None]:
    """Within the block SIGTERM is a KeyboardInterrupt, so that a process which has others to stop does that first."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
