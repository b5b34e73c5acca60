"""Fields of frozen dataclasses that carry their source, their choices and their bounds, and how a value is read."""

import dataclasses
import difflib
import os
import types
import typing
from collections.abc import Iterable
from pathlib import PurePath
from typing import Any

from kmgan_lib.errors import UsageError

LONGEST = 80  # characters of a value in a message
OWN = ("folder:", "images:")  # beginnings of the names of data of one's own
MOST = 1_000_000_000  # no count reaches it, and no machine has room for so many of anything
Name = str | PurePath
_WORDS = {int: "a whole number", float: "a number", bool: "true or false", str: "a word"}


def field(
    default: Any, source: str, text: str, choices: tuple[str, ...] = (), *, above: float | None = None,
    least: float | None = None, below: float | None = None, later: bool = False,
) -> Any:  # fmt: skip
    """A dataclass field with its default and what readers and checks need to know of it.

    ``source`` is an equation, table, section, row of the readings or other code ("ours" where nothing decides),
    ``text`` the meaning, ``choices`` all allowed words, if they are few. A number is greater than ``above``, at least
    ``least`` and less than ``below``, a whole number also less than `MOST`. A field may be None if it is annotated so.
    Records may be older than a ``later`` field: at its default it leaves a preset's hash alone, and files may lack it.
    """
    metadata = {
        "source": source, "text": text, "choices": choices, "above": above, "least": least, "below": below,
        "later": later,
    }  # fmt: skip
    return dataclasses.field(default=default, metadata=metadata)


def shown(value: Any) -> str:
    """A value as a message says it: in one line, and not the whole of a long one."""
    try:
        text = " ".join(str(value).split())
    except ValueError:  # Python writes no whole number of more than 4,300 digits
        return "a number of thousands of digits"
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}..."


def word(key: str, name: Any) -> str:
    """A name from text, or from a path, as which people write ``dataset/method``; else a `UsageError` that names it."""
    if isinstance(name, PurePath):
        return name.as_posix()
    if not isinstance(name, str):
        raise UsageError(f"{key}={shown(name)} must be a name in text")
    return name


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """``; did you mean X?`` for a word close to a known one, else nothing."""
    close = difflib.get_close_matches(word, list(known), 1)
    return f"; did you mean {close[0]}?" if close else ""


def meant(word: str, presets: Iterable[str]) -> str:
    """``; did you mean X?`` for a word that is no preset: what is there as a folder or file was meant as images."""
    return f"; did you mean folder:{shown(word)}?" if os.path.exists(word) else did_you_mean(word, presets)


def convert(owner: type, key: str, value: Any) -> Any:
    """Value of a dataclass's field from Python or from the text behind ``--set key=``.

    A `UsageError` if the value is not of the field's type.
    """
    kind, optional = typing.get_type_hints(owner)[key], False
    if isinstance(kind, types.UnionType):
        kind, optional = typing.get_args(kind)[0], True
    if optional and (value is None or (isinstance(value, str) and value.lower() == "none")):
        return None
    text = next(f for f in dataclasses.fields(owner) if f.name == key).metadata["text"]
    wrong = UsageError(f"{key}={shown(value)}: {key} must be {_WORDS[kind]} ({text})")
    if kind is bool:
        word = shown(value).lower()
        if word not in ("true", "false"):
            raise wrong
        return word == "true"
    if isinstance(value, bool) or (not isinstance(value, str) and kind is str):
        raise wrong
    try:
        number = kind(value)
    except (TypeError, ValueError, OverflowError):
        raise wrong from None
    if kind is int and isinstance(value, float) and value != number:
        raise wrong
    return number


def check(instance: Any) -> None:
    """Reject values outside their field's choices and bounds, naming the field and what it must be."""
    for f in dataclasses.fields(instance):
        value, known = getattr(instance, f.name), f.metadata
        choices = known.get("choices", ())
        if choices and value not in choices:
            near = did_you_mean(shown(value), choices)
            raise UsageError(f"{f.name}={shown(value)} is unknown{near} (one of {', '.join(choices)})")
        if not isinstance(value, (int, float)):
            continue
        if not abs(value) < float("inf"):
            raise UsageError(f"{f.name}={value} is not a finite number")
        above, least, below = known["above"], known["least"], known["below"]
        if below is None and type(value) is int:
            below = MOST
        if above is not None and value <= above:
            raise UsageError(f"{f.name}={shown(value)} must be greater than {above}")
        if least is not None and value < least:
            raise UsageError(f"{f.name}={shown(value)} must be at least {least}")
        if below is not None and value >= below:
            raise UsageError(f"{f.name}={shown(value)} must be less than {below:,}")
