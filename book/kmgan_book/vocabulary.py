"""Whether a condition of the ledger is one: its kind, its arguments, and what it reads of the records."""

import re
from collections.abc import Callable, Iterator
from typing import Any

from kmgan_book.conditions import SCORE
from kmgan_lib.errors import UsageError

Place = tuple[str | int, ...]  # keys and indexes that lead to a part of a condition
_MEASURE = re.compile(r"[^.]+\.[^.]+(\.(min|max))?")
# What each kind needs, of what it takes exactly one, and what else it may have. Of a kind that reads a measure,
# above and below may also be another number of the records.
_KINDS = {
    kind: tuple(frozenset(words.split()) for words in parts)
    for kind, parts in {
        "count": ("of failed", "at_least at_most all", ""), "fails_more": ("of than", "", ""),
        "rate_gap": ("of less", "above below", ""), "every": ("of measure", "above below", "alive"),
        "mean": ("of measure", "above below", ""), "paired": ("of against measure", "lower higher", "times plus level"),
        "ranks": ("of against measure", "lower higher", "times plus level"),
    }.items()
}  # fmt: skip
KINDS = (*_KINDS, "any", "all", "not")
_PRESETS = {"of", "than", "less", "against"}


def _is_number(value: Any) -> bool:
    return type(value) in (int, float) and abs(value) < 1e300  # neither NaN nor too large for arithmetic


_CHECKS: dict[str, tuple[Callable[[Any], object], str]] = {
    "measure": (lambda v: isinstance(v, str) and _MEASURE.fullmatch(v), f"a name and a key, such as {SCORE}"),
    "failed": (lambda value: type(value) is bool, "true or false"),
    "times": (lambda value: _is_number(value) and value > 0, "a number above 0"),
    "level": (lambda value: _is_number(value) and 0 < value < 1, "a number between 0 and 1"),
    **dict.fromkeys(("at_least", "at_most"), (lambda v: type(v) is int and v >= 0, "a whole number")),
    **dict.fromkeys(("above", "below", "plus"), (_is_number, "a number")),
    **dict.fromkeys(("all", "alive", "lower", "higher"), (lambda value: value is True, "true")),
}


def simple(condition: Any, path: Place = ()) -> Iterator[tuple[str, Any, Place]]:
    """Kind and arguments of every simple condition in one, and where they are; a `UsageError` where it is none."""
    if not isinstance(condition, dict) or len(condition) != 1:
        raise UsageError(f"{condition}: a condition is one kind and its arguments")
    (kind, arguments), *_ = condition.items()
    if kind not in KINDS:
        raise UsageError(f"unknown condition {kind} (one of {', '.join(KINDS)})")
    if kind == "not":
        yield from simple(arguments, (*path, kind))
    elif kind in ("any", "all"):
        if not isinstance(arguments, list) or not arguments:
            raise UsageError(f"{kind} needs a list of conditions")
        for index, part in enumerate(arguments):
            yield from simple(part, (*path, kind, index))
    else:
        yield kind, arguments, (*path, kind)


def reads(condition: Any) -> Iterator[tuple[str, str]]:
    """Pairs of preset and measure that a condition reads; a `UsageError` says what is wrong with the condition."""
    for kind, arguments, _ in simple(condition):
        yield from _reads_one(kind, arguments)


def _reads_one(kind: str, arguments: Any) -> Iterator[tuple[str, str]]:
    needed, one_of, optional = _KINDS[kind]
    if not isinstance(arguments, dict) or not arguments.keys() >= needed:
        raise UsageError(f"{kind} needs {', '.join(sorted(needed))}")
    for key, value in arguments.items():
        if key not in needed | one_of | optional:
            raise UsageError(f"{kind} knows no {key}")
        inner = {key: value}
        if isinstance(value, dict) and key in ("above", "below") and "measure" in needed:
            inner = value
            if not inner.keys() & {"of", "measure"} or inner.keys() - {"of", "measure", "times", "plus"}:
                raise UsageError(
                    f"{kind}: {key} is a number, or {{of, measure, times, plus}} with one of the first two"
                )
            yield str(inner.get("of", arguments["of"])), inner.get("measure", arguments["measure"])
        for name, given in inner.items():
            if name in _CHECKS and not _CHECKS[name][0](given):
                raise UsageError(f"{kind}: {name}={given} must be {_CHECKS[name][1]}")
    if one_of and len(one_of & arguments.keys()) != 1:
        raise UsageError(f"{kind} needs one of {', '.join(sorted(one_of))}")
    for key in _PRESETS & arguments.keys():
        yield str(arguments[key]), arguments.get("measure", SCORE)
        if "alive" in arguments:
            yield str(arguments[key]), SCORE
