"""The conditions of the ledger's rules: a small fixed vocabulary, so that a rule is data and runs no code.

`find` says whether records meet a condition, `simple` and `reads` whether it is one, and what it reads of records.
"""

import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from kmgan_book import seeds
from kmgan_book.records import Record
from kmgan_lib.errors import UsageError

SCORE = "classifier_score.value"
FAILED = 3.0  # a classifier score below this, of 10, is a failed run: less than a third of what is possible
LEVEL = 0.05  # of the one-sided tests, where a condition names no `level`
# Of these lower is better, and of two the quotient counts, not the difference. Of all other measures higher is better.
DISTANCES = ("classifier_frechet", "fid", "fid768")
Found = Mapping[str, Sequence[Record]]
Arguments = Mapping[str, Any]


@dataclass(frozen=True)
class Finding:
    """A condition in words, with the numbers that decided, and whether the records meet it."""

    true: bool
    text: str


def has_failed(record: Record) -> bool:
    """Whether a run diverged or has a classifier score below `FAILED`; without one it cannot fail by it."""
    return record.diverged or (record.has(SCORE) and record.value(SCORE) < FAILED)


def rounded(score: float, digits: int) -> str:
    """A classifier score as text; one that failed by a hair is not rounded up to `FAILED`."""
    text = f"{score:.{digits}f}"
    return text if (float(text) < FAILED) == (score < FAILED) else f"{score - 0.5 * 10**-digits:.{digits}f}"


def find(condition: Mapping[str, Any], found: Found) -> Finding:
    """Whether records meet a condition: one entry of a claim's lists in ``claims.yml``, which explains the vocabulary.

    `found` maps presets, as the ledger names them, to their records.
    """
    (kind, arguments), *_ = condition.items()
    if kind == "not":
        inner = find(arguments, found)
        return Finding(not inner.true, f"not so: {inner.text}")
    if kind in _JOINED:
        is_met, word = _JOINED[kind]
        parts = [find(part, found) for part in arguments]
        return Finding(is_met(part.true for part in parts), word.join(part.text for part in parts))
    return _FIND[kind](arguments, found)


def _value(record: Record, measure: str) -> float:
    """A number of a record; of a diverged run the worst that there is."""
    if record.diverged:
        return math.inf if measure.partition(".")[0] in DISTANCES else -math.inf
    return record.value(measure)


def _values(group: Sequence[Record], measure: str) -> list[float]:
    return [_value(record, measure) for record in group]


def _said(value: float) -> str:
    return (f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}") if math.isfinite(value) else "diverged"


def _listed(values: Sequence[float]) -> str:
    return ", ".join(_said(value) for value in values) or "none"


def _within(value: float, word: str, bound: float) -> bool:
    if not (math.isfinite(value) and math.isfinite(bound)):
        return False  # a diverged run meets no bound, and nothing is met by being better than one
    return value > bound if word == "above" else value < bound


def _scaled(arguments: Arguments, name: str) -> str:
    """``1.25 times NAME plus 0.1``, as far as there is a factor or a summand."""
    times, plus = arguments.get("times", 1), arguments.get("plus", 0)
    return (f"{times:g} times " if times != 1 else "") + name + (f" plus {plus:g}" if plus else "")


def _limit(arguments: Arguments, value: float) -> float:
    return arguments.get("times", 1) * value + arguments.get("plus", 0)


def _limits(arguments: Arguments, group: Sequence[Record], found: Found) -> tuple[str, list[float], str]:
    """Whether a bound is ``above`` or ``below``, what it is for each record of a group, and what it is in words."""
    word = "above" if "above" in arguments else "below"
    bound = arguments[word]
    if not isinstance(bound, dict):
        return word, [float(bound)] * len(group), f"{bound:g}"
    measure = bound.get("measure", arguments["measure"])
    if "of" not in bound:
        return word, [_limit(bound, value) for value in _values(group, measure)], _scaled(bound, f"its {measure}")
    other = f"{measure} " if "measure" in bound else ""
    mean = _limit(bound, _mean(_values(found[bound["of"]], measure)))
    return word, [mean] * len(group), _scaled(bound, f"the mean {other}of {bound['of']}")


def _against(arguments: Arguments, word: str, name: str, limits: Sequence[float]) -> str:
    """A bound with its numbers: ``below its clustering.raw_nmi (0.5, 0.51)``."""
    numbers = f" ({_listed(list(dict.fromkeys(limits)))})" if isinstance(arguments[word], dict) else ""
    return f"{word} {name}{numbers}"


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else math.nan


def _find_count(arguments: Arguments, found: Found) -> Finding:
    group, failed = found[arguments["of"]], arguments["failed"]
    count = sum(has_failed(record) == failed for record in group)
    what = f"runs of {arguments['of']} {'fail' if failed else 'do not fail'}"
    counted = f"{count} of {len(group)} (scores {_listed(_values(group, SCORE))})"
    kind = next(key for key in ("all", "at_least", "at_most") if key in arguments)
    bound = len(group) if kind == "all" else arguments[kind]
    much = "all" if kind == "all" else f"{kind.replace('_', ' ')} {bound}"
    return Finding(count <= bound if kind == "at_most" else count >= bound, f"{much} of the {what}: {counted}")


def _failures(arguments: Arguments, found: Found, other: str) -> tuple[list[int], str]:
    """How many runs fail, of how many, of both presets; and the same in words."""
    groups = found[arguments["of"]], found[arguments[other]]
    counts = [count for group in groups for count in (sum(map(has_failed, group)), len(group))]
    return counts, "{} of {} and {} of {}".format(*counts)


def _find_fails_more(arguments: Arguments, found: Found) -> Finding:
    counts, counted = _failures(arguments, found, "than")
    p = seeds.fails_more(*counts)
    text = f"{arguments['of']} fails more often than {arguments['than']}: {counted}, p = {p:.3g} (Fisher, one-sided)"
    return Finding(p < LEVEL, text)


def _find_rate_gap(arguments: Arguments, found: Found) -> Finding:
    counts, counted = _failures(arguments, found, "less")
    low, high = seeds.rate_gap(*counts)
    word, limit = ("above", low) if "above" in arguments else ("below", high)
    bound = arguments[word]
    what = f"failure rate of {arguments['of']} minus that of {arguments['less']} {word} {bound:g}"
    return Finding(_within(limit, word, bound), f"{what}: {counted}, 95 % interval {low:.2f} to {high:.2f} (Newcombe)")


def _find_every(arguments: Arguments, found: Found) -> Finding:
    everyone, measure, alive = found[arguments["of"]], arguments["measure"], arguments.get("alive")
    group = [record for record in everyone if not (alive and has_failed(record))]
    word, limits, name = _limits(arguments, group, found)
    values, against = _values(group, measure), _against(arguments, word, name, limits)
    true = bool(group) and all(_within(v, word, limit) for v, limit in zip(values, limits, strict=True))
    which = "seed that did not fail" if alive else "seed"
    text = f"{measure} of {arguments['of']} {against} in every {which}: {_listed(values)}"
    left = len(everyone) - len(group)
    return Finding(true, text + (f" ({left} of {len(everyone)} failed and are left out)" if left else ""))


def _find_mean(arguments: Arguments, found: Found) -> Finding:
    group, measure = found[arguments["of"]], arguments["measure"]
    word, limits, name = _limits(arguments, group, found)
    values, limit = _values(group, measure), _mean(limits)
    mean, against = _mean(values), _against(arguments, word, name, [limit])
    text = f"mean {measure} of {arguments['of']} {against}: {_said(mean)} ({_listed(values)})"
    return Finding(_within(mean, word, limit), text)


def _compared(arguments: Arguments) -> tuple[str, bool, str]:
    """In words what is tested, whether that is *lower*, and the measure."""
    lower, measure = "lower" in arguments, arguments["measure"]
    other = _scaled(arguments, f"that of {arguments['against']}")
    return f"{measure} of {arguments['of']} {'lower' if lower else 'higher'} than {other}", lower, measure


def _gap(value: float, other: float, measure: str, arguments: Arguments) -> float:
    """By how much a value is above its limit; of distances the logarithm of the quotient. Two that diverged tie."""
    limit = _limit(arguments, other)
    if value == limit:
        return 0.0
    if measure.partition(".")[0] not in DISTANCES:
        return value - limit
    a, b = (math.log(x) if x > 0 else -math.inf for x in (value, limit))
    return a - b if a != b else 0.0


def _find_paired(arguments: Arguments, found: Found) -> Finding:
    what, lower, measure = _compared(arguments)
    ours, theirs = ({r.seed: _value(r, measure) for r in found[arguments[key]]} for key in ("of", "against"))
    pairs = {seed: (ours[seed], theirs[seed]) for seed in sorted(ours.keys() & theirs.keys())}
    gaps = [_gap(*pair, measure, arguments) for pair in pairs.values()]
    p = seeds.sign_flip(gaps if lower else [-gap for gap in gaps])
    logs = ", of logarithms" if measure.partition(".")[0] in DISTANCES else ""
    listed = ", ".join(f"seed {seed} {_said(a)} and {_said(b)}" for seed, (a, b) in pairs.items()) or "no common seed"
    text = f"{what}: {listed}; p = {p:.3g} (exact test of {len(pairs)} pairs{logs})"
    return Finding(p <= arguments.get("level", LEVEL), text)


def _find_ranks(arguments: Arguments, found: Found) -> Finding:
    what, lower, measure = _compared(arguments)
    ours, theirs = (_values(found[arguments[key]], measure) for key in ("of", "against"))
    limits = [_limit(arguments, value) for value in theirs]
    p = seeds.ranks(ours, limits) if lower else seeds.ranks(limits, ours)
    numbers = f"{len(ours)} against {len(theirs)}"
    text = f"{what}: {_listed(ours)} and {_listed(theirs)}; p = {p:.3g} (exact test of ranks, {numbers})"
    return Finding(p <= arguments.get("level", LEVEL), text)


_FIND: dict[str, Callable[[Arguments, Found], Finding]] = {
    "count": _find_count, "fails_more": _find_fails_more, "rate_gap": _find_rate_gap, "every": _find_every,
    "mean": _find_mean, "paired": _find_paired, "ranks": _find_ranks,
}  # fmt: skip
_JOINED: dict[str, tuple[Callable[..., bool], str]] = {"any": (any, "; or "), "all": (all, "; and ")}

# Whether a condition is one.
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
KINDS = (*_KINDS, *_JOINED, "not")
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
