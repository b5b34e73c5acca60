"""Fields of frozen dataclasses that carry their source, their choices and their bounds, and how a value is read."""

import contextlib
import dataclasses
import difflib
import operator
import typing
from collections.abc import Iterable
from typing import Any

from kmgan_lib.errors import UsageError

LONGEST = 80  # characters of a value in a message
OWN = ("folder:", "images:")  # beginnings of the names of data of one's own
MOST = 1_000_000_000  # no count reaches it, and no machine has room for so many of anything
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
    bounds = {"above": above, "least": least, "below": below}
    metadata = {"source": source, "text": text, "choices": choices, "later": later, **bounds}
    return dataclasses.field(default=default, metadata=metadata)


def shown(value: Any) -> str:
    """A value as a message says it: in one line, and not the whole of a long one."""
    text = " ".join(str(value).split())
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}..."


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """``; did you mean X?`` for a word close to a known one, else nothing."""
    close = difflib.get_close_matches(word, list(known), 1)
    return f"; did you mean {close[0]}?" if close else ""


def convert(owner: type, key: str, value: Any) -> Any:
    """Value of a dataclass's field from Python or from the text behind ``--set key=``; else a `UsageError`."""
    hint = typing.get_type_hints(owner)[key]
    kind, *optional = typing.get_args(hint) or (hint,)
    said = str(value).lower() if isinstance(value, (str, bool)) else value
    if optional and said in (None, "none"):
        return None
    if kind is bool and said in ("true", "false"):
        return said == "true"
    if kind is not bool and not isinstance(value, bool) and (kind is not str or isinstance(value, str)):
        with contextlib.suppress(TypeError, ValueError, OverflowError):
            number = kind(value)
            if kind is not int or not isinstance(value, float) or value == number:
                return number
    text = next(f for f in dataclasses.fields(owner) if f.name == key).metadata["text"]
    raise UsageError(f"{key}={shown(value)}: {key} must be {_WORDS[kind]} ({text})")


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
        least, above, below = known["least"], known["above"], known["below"] or (MOST if type(value) is int else None)
        for bound, fits, text in (
            (above, operator.gt, "greater than"), (least, operator.ge, "at least"), (below, operator.lt, "less than"),
        ):  # fmt: skip
            if bound is not None and not fits(value, bound):
                raise UsageError(f"{f.name}={shown(value)} must be {text} {bound:,}")
