"""The conditions of the ledger's rules: a small fixed vocabulary, so that a rule is data and runs no code."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from kmgan_book import seeds
from kmgan_book.records import Record

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


def _bound(arguments: Arguments) -> tuple[str, Any]:
    word = "above" if "above" in arguments else "below"
    return word, arguments[word]


def _within(value: float, word: str, bound: float) -> bool:
    if not (math.isfinite(value) and math.isfinite(bound)):
        return False  # a diverged run meets no bound, and nothing is met by being better than one
    return value > bound if word == "above" else value < bound


def _scaled(arguments: Arguments, name: str) -> str:
    """``1.25 times NAME plus 0.1``, as far as there is a factor or a summand."""
    times, plus = arguments.get("times", 1), arguments.get("plus", 0)
    return (f"{times:g} times " if times != 1 else "") + name + (f" plus {plus:g}" if plus else "")


def _limits(arguments: Arguments, group: Sequence[Record], found: Found) -> tuple[list[float], str]:
    """The bound of each record of a group, and what it is in words, without its numbers."""
    _, bound = _bound(arguments)
    if not isinstance(bound, dict):
        return [float(bound)] * len(group), f"{bound:g}"
    measure, times, plus = bound.get("measure", arguments["measure"]), bound.get("times", 1), bound.get("plus", 0)
    if "of" not in bound:
        return [times * value + plus for value in _values(group, measure)], _scaled(bound, f"its {measure}")
    mean = times * _mean(_values(found[bound["of"]], measure)) + plus
    other = f"{measure} " if "measure" in bound else ""
    return [mean] * len(group), _scaled(bound, f"the mean {other}of {bound['of']}")


def _against(arguments: Arguments, name: str, limits: Sequence[float]) -> str:
    """A bound with its numbers: ``its clustering.raw_nmi (0.5, 0.51)``."""
    numbers = isinstance(_bound(arguments)[1], dict)
    return f"{name} ({_listed(list(dict.fromkeys(limits)))})" if numbers else name


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
    word, bound = _bound(arguments)
    counts, counted = _failures(arguments, found, "less")
    low, high = seeds.rate_gap(*counts)
    what = f"failure rate of {arguments['of']} minus that of {arguments['less']} {word} {bound:g}"
    text = f"{what}: {counted}, 95 % interval {low:.2f} to {high:.2f} (Newcombe)"
    return Finding(low > bound if word == "above" else high < bound, text)


def _find_every(arguments: Arguments, found: Found) -> Finding:
    word, _ = _bound(arguments)
    everyone, measure = found[arguments["of"]], arguments["measure"]
    group = [record for record in everyone if not (arguments.get("alive") and has_failed(record))]
    limits, name = _limits(arguments, group, found)
    values, against = _values(group, measure), _against(arguments, name, limits)
    true = bool(group) and all(_within(v, word, limit) for v, limit in zip(values, limits, strict=True))
    which = "seed that did not fail" if arguments.get("alive") else "seed"
    text = f"{measure} of {arguments['of']} {word} {against} in every {which}: {_listed(values)}"
    left = len(everyone) - len(group)
    return Finding(true, text + (f" ({left} of {len(everyone)} failed and are left out)" if left else ""))


def _find_mean(arguments: Arguments, found: Found) -> Finding:
    word, _ = _bound(arguments)
    group, measure = found[arguments["of"]], arguments["measure"]
    limits, name = _limits(arguments, group, found)
    values, limit = _values(group, measure), _mean(limits)
    mean, against = _mean(values), _against(arguments, name, [limit])
    text = f"mean {measure} of {arguments['of']} {word} {against}: {_said(mean)} ({_listed(values)})"
    return Finding(_within(mean, word, limit), text)


def _compared(arguments: Arguments) -> tuple[str, bool, str]:
    """In words what is tested, whether that is *lower*, and the measure."""
    lower, measure = "lower" in arguments, arguments["measure"]
    other = _scaled(arguments, f"that of {arguments['against']}")
    return f"{measure} of {arguments['of']} {'lower' if lower else 'higher'} than {other}", lower, measure


def _gap(value: float, other: float, measure: str, arguments: Arguments) -> float:
    """By how much a value is above its limit; of distances the logarithm of the quotient. Two that diverged tie."""
    limit = arguments.get("times", 1) * other + arguments.get("plus", 0)
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
    limits = [arguments.get("times", 1) * value + arguments.get("plus", 0) for value in theirs]
    p = seeds.ranks(ours, limits) if lower else seeds.ranks(limits, ours)
    numbers = f"{len(ours)} against {len(theirs)}"
    text = f"{what}: {_listed(ours)} and {_listed(theirs)}; p = {p:.3g} (exact test of ranks, {numbers})"
    return Finding(p <= arguments.get("level", LEVEL), text)


_FIND: dict[str, Callable[[Arguments, Found], Finding]] = {
    "count": _find_count, "fails_more": _find_fails_more, "rate_gap": _find_rate_gap, "every": _find_every,
    "mean": _find_mean, "paired": _find_paired, "ranks": _find_ranks,
}  # fmt: skip
_JOINED: dict[str, tuple[Callable[..., bool], str]] = {"any": (any, "; or "), "all": (all, "; and ")}
