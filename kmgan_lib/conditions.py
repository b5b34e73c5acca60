"""The conditions of the ledger's rules: a small fixed vocabulary, so that a rule is data and runs no code."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import stats

from kmgan_lib.errors import UsageError
from kmgan_lib.records import Record

SCORE = "classifier_score.value"
FAILED = 3.0  # a classifier score below this, of 10, is a failed run: less than a third of what is possible
Found = Mapping[str, Sequence[Record]]


@dataclass(frozen=True)
class Finding:
    """A condition and whether the records meet it.

    Attributes
    ----------
    true : bool
    text : str
        The condition in words, with the numbers that decided.
    """

    true: bool
    text: str


def has_failed(record: Record) -> bool:
    """Whether a run diverged or has a classifier score below `FAILED`."""
    return record.diverged or record.value(SCORE) < FAILED


def difference(a: Sequence[float], b: Sequence[float]) -> tuple[float, float, float]:
    """Mean of the paired differences a - b over seeds and its 95 % interval (Student's t).

    Parameters
    ----------
    a, b : sequence of float
        Values of the same seeds in the same order, at least two.

    Returns
    -------
    mean, low, high : float
    """
    if len(a) != len(b) or len(a) < 2:
        raise ValueError(f"{len(a)} and {len(b)} values: paired differences need equally many seeds, at least two")
    gaps = np.asarray(a) - np.asarray(b)
    half = float(stats.t.ppf(0.975, len(gaps) - 1) * stats.sem(gaps))
    return float(gaps.mean()), float(gaps.mean()) - half, float(gaps.mean()) + half


def find(condition: Mapping[str, Any], found: Found) -> Finding:
    """Whether records meet a condition.

    Parameters
    ----------
    condition : mapping
        One entry of ``holds``, ``partly`` or ``untestable`` in ``claims.yml``, which explains the vocabulary.
    found : mapping
        Preset, as the ledger names it, to its records.

    Returns
    -------
    Finding
    """
    (kind, arguments), *_ = condition.items()
    return KINDS[kind](arguments, found)


def reads(condition: Any) -> Iterator[tuple[str, str]]:
    """Pairs of preset and measure that a condition reads; a `UsageError` says what is wrong with the condition."""
    if not isinstance(condition, dict) or len(condition) != 1:
        raise UsageError(f"{condition}: a condition is one kind and its arguments")
    (kind, arguments), *_ = condition.items()
    if kind not in KINDS:
        raise UsageError(f"unknown condition {kind} (one of {', '.join(KINDS)})")
    if not isinstance(arguments, dict) or not arguments.keys() >= _NEEDED[kind]:
        raise UsageError(f"{kind} needs {', '.join(sorted(_NEEDED[kind]))}")
    for key in arguments:
        if key not in _NEEDED[kind] | (_BOUNDS if kind in _BOUNDED else set()):
            raise UsageError(f"{kind} knows no {key}")
    if kind == "failures" and arguments["are"] not in ("all", "none"):
        raise UsageError("failures: are must be all or none")
    if kind in _BOUNDED:
        yield from _reads_bound(kind, arguments)
    measure = _measure(kind, arguments.get("measure", SCORE))
    yield from ((str(arguments[key]), measure) for key in ("of", "than", "less") if key in arguments)


def _measure(kind: str, name: Any) -> str:
    if not isinstance(name, str) or not all(name.partition(".")):
        raise UsageError(f"{kind}: measure={name} must be a name and a key, such as {SCORE}")
    return name


def _is_number(value: Any) -> bool:
    return type(value) in (int, float) and math.isfinite(value)


def _reads_bound(kind: str, arguments: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    bounds = [key for key in ("above", "below") if key in arguments]
    if len(bounds) != 1:
        raise UsageError(f"{kind} needs one of above, below")
    bound = arguments[bounds[0]]
    if kind == "mean" and isinstance(bound, dict):
        if "of" not in bound or set(bound) - {"of", "measure", "times", "plus"}:
            raise UsageError(f"mean: {bounds[0]} is a number, or {{of, measure, times, plus}}")
        for key in ("times", "plus"):
            if not _is_number(bound.get(key, 0)):
                raise UsageError(f"mean: {key}={bound[key]} must be a number")
        yield str(bound["of"]), _measure(kind, bound.get("measure", arguments["measure"]))
    elif not _is_number(bound):
        raise UsageError(f"{kind}: {bounds[0]}={bound} must be a number")


def _values(name: str, measure: str, found: Found) -> list[float]:
    return [record.value(measure) for record in found[name] if not record.diverged]


def _listed(values: Sequence[float]) -> str:
    return ", ".join(f"{value:.3g}" for value in values) or "none"


def _bound(arguments: Mapping[str, Any]) -> tuple[str, Any]:
    word = "above" if "above" in arguments else "below"
    return word, arguments[word]


def _within(value: float, word: str, bound: float) -> bool:
    return value > bound if word == "above" else value < bound


def _failures(arguments: Mapping[str, Any], found: Found) -> Finding:
    group = found[arguments["of"]]
    count = sum(has_failed(record) for record in group)
    true = count == len(group) if arguments["are"] == "all" else count == 0
    return Finding(true, f"{arguments['are']} of {arguments['of']} fail: {count} of {len(group)} seeds")


def _fewer_failures(arguments: Mapping[str, Any], found: Found) -> Finding:
    of, than = (found[arguments[key]] for key in ("of", "than"))
    few, many = (sum(has_failed(record) for record in group) / len(group) for group in (of, than))
    return Finding(few < many, f"{arguments['of']} fails less often than {arguments['than']}: {few:.2f}, {many:.2f}")


def _every(arguments: Mapping[str, Any], found: Found) -> Finding:
    word, bound = _bound(arguments)
    group, measure = found[arguments["of"]], arguments["measure"]
    true = all(not record.diverged and _within(record.value(measure), word, bound) for record in group)
    values = _listed(_values(arguments["of"], measure, found))
    return Finding(true, f"{measure} of {arguments['of']} {word} {bound:g} in every seed: {values}")


def _mean(arguments: Mapping[str, Any], found: Found) -> Finding:
    word, bound = _bound(arguments)
    of, measure = arguments["of"], arguments["measure"]
    mine = _values(of, measure, found)
    if isinstance(bound, dict):
        other = _values(bound["of"], bound.get("measure", measure), found)
        times, plus = bound.get("times", 1), bound.get("plus", 0)
        limit = times * float(np.mean(other)) + plus if other else float("nan")
        other_name = f" {bound['measure']}" if "measure" in bound else ""
        factor, extra = f"{times:g} times " if times != 1 else "", f" {plus:+g}" if plus else ""
        against = f"{factor}that of {bound['of']}{other_name}{extra}, {limit:.3g}"
    else:
        limit, against = float(bound), f"{bound:g}"
    mean = float(np.mean(mine)) if mine else float("nan")
    return Finding(_within(mean, word, limit), f"mean {measure} of {of} {word} {against}: {mean:.3g}")


def _difference(arguments: Mapping[str, Any], found: Found) -> Finding:
    word, bound = _bound(arguments)
    measure = arguments["measure"]
    ours, theirs = (
        {record.seed: record.value(measure) for record in found[arguments[key]] if not record.diverged}
        for key in ("of", "less")
    )
    common = sorted(ours.keys() & theirs.keys())
    text = f"{measure} of {arguments['of']} less {arguments['less']} {word} {bound:g}"
    if len(common) < 2:
        return Finding(False, f"{text}: fewer than two common seeds")
    mean, low, high = difference([ours[seed] for seed in common], [theirs[seed] for seed in common])
    edge = low if word == "above" else high
    return Finding(_within(edge, word, bound), f"{text}: {mean:.3g} (95 % interval {low:.3g} to {high:.3g})")


KINDS: dict[str, Callable[[Mapping[str, Any], Found], Finding]] = {
    "failures": _failures, "fewer_failures": _fewer_failures, "every": _every, "mean": _mean,
    "difference": _difference,
}  # fmt: skip
_BOUNDED = {"every", "mean", "difference"}
_BOUNDS = {"above", "below"}
_NEEDED = {
    "failures": {"of", "are"}, "fewer_failures": {"of", "than"}, "every": {"of", "measure"}, "mean": {"of", "measure"},
    "difference": {"of", "less", "measure"},
}  # fmt: skip
