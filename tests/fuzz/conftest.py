"""Fuzzing: made-up input in large numbers, of which only documented errors may come out.

`make test` tries a few cases of each test, the same ones every time. `make fuzz` sets KMGAN_FUZZ to the number of cases
that must be tried at the least: every test tries more of them, and other ones each time, by a seed that is printed.
"""

import functools
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kmgan_lib.errors import UsageError

LEAST = int(os.environ.get("KMGAN_FUZZ", "0"))
TIMES = 7 if LEAST else 1  # how many more cases a test tries in a long run
tried: list[str] = []


def cases(number: int, *drawn: st.SearchStrategy[Any], **named: st.SearchStrategy[Any]) -> Callable[..., Any]:
    """Hypothesis' ``given`` with a number of cases of its own, which are counted."""

    def decorate(test: Callable[..., None]) -> Callable[..., None]:
        @functools.wraps(test)
        def counted(*arguments: Any, **keywords: Any) -> None:
            test(*arguments, **keywords)
            tried.append(test.__name__)

        checks = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
        limits = settings(max_examples=number * TIMES, suppress_health_check=checks)
        return limits(given(*drawn, **named)(counted))

    return decorate


def pytest_sessionfinish(session: pytest.Session) -> None:
    if LEAST:
        print(f"\nfuzzing: {len(tried):,} cases of at least {LEAST:,}")
    if len(tried) < LEAST and session.exitstatus == pytest.ExitCode.OK:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def refused(call: Callable[[], Any], *names: object, error: type[Exception] = UsageError) -> Any:
    """What a call returns, or the one error that it may end with, in one line with all the names."""
    try:
        return call()
    except error as raised:
        text = str(raised)
        assert text
        assert "\n" not in text
        for name in names:
            assert str(name) in text
        return raised


@st.composite
def damaged(draw: st.DrawFn, whole: bytes, header: int = 64) -> bytes:
    """A file that something happened to: cut, bits flipped, bytes inserted or overwritten (mostly early ones)."""
    way = draw(st.sampled_from(("cut", "flip", "write", "insert")))
    early = st.integers(0, max(0, min(header, len(whole)) - 1))
    place = draw(early | st.integers(0, max(0, len(whole) - 1)))
    if way == "cut":
        return whole[:place]
    if way == "insert":
        return whole[:place] + draw(st.binary(min_size=1, max_size=12)) + whole[place:]
    if way == "write":
        huge = st.sampled_from([b"\xff" * 4, b"\x7f" + b"\xff" * 7, b"\xff" * 8, bytes(8), b"\x00\x00\x00\x80"])
        new = draw(huge | st.binary(min_size=1, max_size=12))
        return whole[:place] + new + whole[place + len(new) :]
    changed = bytearray(whole)
    for _ in range(draw(st.integers(1, 4))):
        if changed:
            changed[draw(early | st.integers(0, len(changed) - 1))] ^= draw(st.integers(1, 255))
    return bytes(changed)


# Words that a mistaken or a malicious person writes, for any option or field.
NASTY = (
    "", " ", "0", "1", "-1", "2.5", "1e999", "nan", "-inf", "none", "true", "9" * 30, "9" * 5000, "1_000", "٣", "=",
    "a=b", "--", "-", "../..", "~", "/proc/x", "/dev/null/x", "x" * 300, "a/b/c", "a\nb", "'; touch evil; '",
    "$(touch evil)", "{0.__class__}", "%s%n", "*", "[", "[/x]", "[red]", ":smile:", "folder:", "folder:.", "cuda:99",
    "meta", "cpu:7", "{}", "None", "é", "🎲", "seed", "method",
)  # fmt: skip
WORDS = st.sampled_from(NASTY) | st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=12)
NUMBERS = st.integers() | st.integers(-2, 300) | st.floats() | st.sampled_from([2**31, 2**63, 10**20, -(10**400)])
JUNK = st.recursive(
    st.none() | st.booleans() | NUMBERS | WORDS | st.binary(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS, inner, max_size=3), max_leaves=4,
)  # fmt: skip


STARTS = ("subprocess.Popen", "os.system", "os.exec", "os.posix_spawn", "socket.connect")
WRITES = ("os.mkdir", "os.remove", "os.rename", "os.rmdir", "os.symlink", "os.link", "os.chmod", "os.truncate")


class Watch:
    """Notes what is written, moved, removed or started while it looks."""

    def __init__(self) -> None:
        self.looking = False
        self.seen: list[tuple[str, str]] = []

    def __call__(self, event: str, arguments: tuple[Any, ...]) -> None:
        if not self.looking or isinstance((*arguments, None)[0], int):  # a file that was noted when it was opened
            return
        to_write = event == "open" and isinstance(arguments[2], int) and arguments[2] & (os.O_WRONLY | os.O_RDWR)
        if event in STARTS:
            self.seen.append((event, str(arguments[0])))
        elif event in WRITES or to_write:
            self.seen.append((event, os.path.realpath(os.fsdecode(arguments[event == "os.rename"]))))

    def outside(self, folder: Path) -> list[tuple[str, str]]:
        """What was done elsewhere than in a folder, byte code of a module's first import aside."""
        mine = str(folder.resolve())
        return [(event, path) for event, path in self.seen if not path.startswith(mine) and "__pycache__" not in path]


_WATCH = Watch()
sys.addaudithook(_WATCH)


@pytest.fixture
def watch() -> Iterator[Watch]:
    _WATCH.seen.clear()
    _WATCH.looking = True
    yield _WATCH
    _WATCH.looking = False
