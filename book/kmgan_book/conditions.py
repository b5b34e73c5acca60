"""The conditions of the ledger's rules: a small fixed vocabulary, so that a rule is data and runs no code.

``claims.yml`` explains each kind.
"""

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, Literal, NamedTuple

import numpy as np
from pydantic import AfterValidator, Field
from scipy import stats

from kmgan_book import seeds
from kmgan_book.records import Record
from kmgan_book.strict import Strict

SCORE = "classifier_score.value"
FAILED = 3.0  # a classifier score below this, of 10, is a failed run: less than a third of what is possible
LEVEL = 0.05  # of the one-sided tests, where a condition names no `level`
# For these lower is better, and two are compared by quotient, not difference. For all others higher is better.
DISTANCES = ("classifier_frechet", "fid", "fid768")
Found = Mapping[str, Sequence[Record]]  # by preset, as the ledger names it


class Finding(NamedTuple):
    """A condition in words, with the numbers that decided, and whether the records meet it."""

    true: bool
    text: str


def has_failed(record: Record) -> bool:
    """Whether a run diverged or has a classifier score below `FAILED`; without one it cannot fail by it."""
    return record.diverged or (record.has(SCORE) and record.value(SCORE) < FAILED)


def _is_distance(measure: str) -> bool:
    return measure.partition(".")[0] in DISTANCES


def _values(group: Sequence[Record], measure: str) -> list[float]:
    """A number for each record; for a diverged run the worst possible one."""
    worst = math.inf if _is_distance(measure) else -math.inf
    return [worst if record.diverged else record.value(measure) for record in group]


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else math.nan


def _said(value: float) -> str:
    return (f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}") if math.isfinite(value) else "diverged"


def _listed(values: Sequence[float]) -> str:
    return ", ".join(_said(value) for value in values) or "none"


def _within(value: float, word: str, bound: float) -> bool:
    """Whether a value is above or below a bound; if either is infinite, as for a diverged run, it is not."""
    return math.isfinite(value) and math.isfinite(bound) and (value > bound if word == "above" else value < bound)


def _measure(text: str) -> str:
    if not re.fullmatch(r"[^.]+\.[^.]+(\.(min|max))?", text, re.DOTALL):
        raise ValueError(f"must be a name and a key, such as {SCORE}")
    return text


Measure = Annotated[str, AfterValidator(_measure)]
Whole = Annotated[int, Field(ge=0)]


class _Limit(Strict):
    """The mean over another preset, or another number of the same record."""

    one_of = "of", "measure"
    of: str | None = None
    measure: Measure | None = None


class Test(Strict):
    """A condition that is not composed of others."""

    of: str

    @property
    def limit(self) -> _Limit | None:
        """What bounds a measure, unless the bound is a number."""
        return self.given if self.one_of and isinstance(self.given, _Limit) else None

    @property
    def system(self) -> str:
        """The preset that it is about: the one compared with, or else the one measured."""
        return getattr(self, "against", None) or getattr(self.limit, "of", None) or self.of

    def reads(self) -> Iterator[tuple[str, str]]:
        """Pairs of a preset and a measure of it."""
        fields = dict(self)
        measure = fields.get("measure", SCORE)
        yield from ((fields[key], measure) for key in ("of", "than", "less", "against") if key in fields)
        if self.limit:
            yield self.limit.of or self.of, self.limit.measure or measure
        if fields.get("alive"):
            yield self.of, SCORE


class _Count(Test):
    one_of = "all", "at_least", "at_most"
    failed: bool
    at_least: Whole | None = None
    at_most: Whole | None = None
    all: Literal[True] | None = None

    def evaluate(self, found: Found) -> Finding:
        group = found[self.of]
        count = sum(has_failed(record) == self.failed for record in group)
        bound = len(group) if self.all else self.given
        much = "all" if self.all else f"{self.way.replace('_', ' ')} {bound}"
        what = f"runs of {self.of} {'fail' if self.failed else 'do not fail'}"
        counted = f"{count} of {len(group)} (scores {_listed(_values(group, SCORE))})"
        true = count <= bound if self.way == "at_most" else count >= bound
        return Finding(true, f"{much} of the {what}: {counted}")


def _failures(*groups: Sequence[Record]) -> tuple[list[tuple[int, int]], str]:
    """How many runs fail, of how many, of both groups; and the same in words."""
    counts = [(sum(map(has_failed, group)), len(group)) for group in groups]
    return counts, " and ".join(f"{failed} of {runs}" for failed, runs in counts)


class _FailsMore(Test):
    than: str

    def evaluate(self, found: Found) -> Finding:
        counts, counted = _failures(found[self.of], found[self.than])
        test: Any = stats.fisher_exact([[failed, runs - failed] for failed, runs in counts], "greater")
        text = f"{self.of} fails more often than {self.than}: {counted}, p = {test.pvalue:.3g} (Fisher, one-sided)"
        return Finding(bool(test.pvalue < LEVEL), text)


class _RateGap(Test):
    one_of = "above", "below"
    less: str
    above: float | None = None
    below: float | None = None

    def evaluate(self, found: Found) -> Finding:
        counts, counted = _failures(found[self.of], found[self.less])
        low, high = seeds.rate_gap(*counts[0], *counts[1])
        what = f"failure rate of {self.of} minus that of {self.less} {self.way} {self.given:g}"
        true = _within(low if self.above is not None else high, self.way, self.given)
        return Finding(true, f"{what}: {counted}, 95 % interval {low:.2f} to {high:.2f} (Newcombe)")


class _Bounded(Test):
    one_of = "above", "below"
    measure: Measure
    above: float | _Limit | None = None
    below: float | _Limit | None = None

    def limits(self, group: Sequence[Record], found: Found) -> tuple[list[float], str]:
        """The limit for each record of a group, and its description."""
        if not self.limit:
            return [self.given] * len(group), f"{self.given:g}"
        if other := self.limit.of:
            return [_mean(_values(found[other], self.measure))] * len(group), f"the mean of {other}"
        return _values(group, str(self.limit.measure)), f"its {self.limit.measure}"

    def _against(self, name: str, limits: Sequence[float]) -> str:
        """A limit with its numbers: ``below its clustering.raw_nmi (0.5, 0.51)``."""
        numbers = f" ({_listed(list(dict.fromkeys(limits)))})" if self.limit else ""
        return f"{self.way} {name}{numbers}"


class _Every(_Bounded):
    alive: Literal[True] | None = None

    def evaluate(self, found: Found) -> Finding:
        everyone = found[self.of]
        group = [record for record in everyone if not (self.alive and has_failed(record))]
        values, (limits, name) = _values(group, self.measure), self.limits(group, found)
        true = bool(group) and all(_within(v, self.way, limit) for v, limit in zip(values, limits, strict=True))
        which = "seed that did not fail" if self.alive else "seed"
        text = f"{self.measure} of {self.of} {self._against(name, limits)} in every {which}: {_listed(values)}"
        left = len(everyone) - len(group)
        return Finding(true, text + (f" ({left} of {len(everyone)} failed and are left out)" if left else ""))


class _Mean(_Bounded):
    def evaluate(self, found: Found) -> Finding:
        group = found[self.of]
        values, (limits, name) = _values(group, self.measure), self.limits(group, found)
        mean, limit = _mean(values), _mean(limits)
        text = f"mean {self.measure} of {self.of} {self._against(name, [limit])}: {_said(mean)} ({_listed(values)})"
        return Finding(_within(mean, self.way, limit), text)


class _Compared(Test):
    one_of = "higher", "lower"
    against: str
    measure: Measure
    lower: Literal[True] | None = None
    higher: Literal[True] | None = None
    times: Annotated[float, Field(gt=0)] = 1
    plus: float = 0
    level: Annotated[float, Field(gt=0, lt=1)] | None = None

    def scaled(self, value: float) -> float:
        return self.times * value + self.plus

    def finding(self, p: float, numbers: str) -> Finding:
        factor, summand = f"{self.times:g} times " * (self.times != 1), f" plus {self.plus:g}" * (self.plus != 0)
        what = f"{self.measure} of {self.of} {self.way} than {factor}that of {self.against}{summand}"
        return Finding(p <= (self.level or LEVEL), f"{what}: {numbers}")


class _Paired(_Compared):
    def evaluate(self, found: Found) -> Finding:
        both = [{record.seed: record for record in found[preset]} for preset in (self.of, self.against)]
        common = sorted(both[0].keys() & both[1].keys())
        a, b = (_values([group[seed] for seed in common], self.measure) for group in both)
        gaps = self._gaps(a, [self.scaled(value) for value in b])
        p = seeds.sign_flip(gaps if self.lower else -gaps)
        logs = ", of logarithms" if _is_distance(self.measure) else ""
        pairs = zip(common, map(_said, a), map(_said, b), strict=True)
        listed = ", ".join(f"seed {seed} {ours} and {theirs}" for seed, ours, theirs in pairs)
        test = f"exact test of {len(common)} pairs{logs}"
        return self.finding(p, f"{listed or 'no common seed'}; p = {p:.3g} ({test})")

    def _gaps(self, values: Sequence[float], limits: Sequence[float]) -> np.ndarray:
        """By how much values exceed their limits; for distances, logarithms of quotients. Two diverged runs tie."""
        pairs = np.asarray([values, limits], float)
        with np.errstate(divide="ignore", invalid="ignore"):
            a, b = np.log(np.maximum(pairs, 0)) if _is_distance(self.measure) else pairs
            return np.where(a == b, 0, a - b)


class _Ranks(_Compared):
    def evaluate(self, found: Found) -> Finding:
        a, b = (_values(found[preset], self.measure) for preset in (self.of, self.against))
        limits = [self.scaled(value) for value in b]
        p = seeds.ranks(a, limits) if self.lower else seeds.ranks(limits, a)
        test = f"exact test of ranks, {len(a)} against {len(b)}"
        return self.finding(p, f"{_listed(a)} and {_listed(b)}; p = {p:.3g} ({test})")


class Condition(Strict):
    """One condition: a test; other conditions, of which one or all must be met; or one that must not be met."""

    one_of = "count", "fails_more", "rate_gap", "every", "mean", "paired", "ranks", "any", "all", "not_"
    count: _Count | None = None
    fails_more: _FailsMore | None = None
    rate_gap: _RateGap | None = None
    every: _Every | None = None
    mean: _Mean | None = None
    paired: _Paired | None = None
    ranks: _Ranks | None = None
    any: Annotated[list["Condition"], Field(min_length=1)] | None = None
    all: Annotated[list["Condition"], Field(min_length=1)] | None = None
    not_: "Condition | None" = Field(None, alias="not")

    @property
    def inner(self) -> Sequence[Any]:
        """The test or the conditions that it consists of."""
        return self.any or self.all or [self.given]

    def reads(self) -> Iterator[tuple[str, str]]:
        """Pairs of a preset and a measure of it, over all its tests."""
        return (pair for part in self.inner for pair in part.reads())

    def evaluate(self, found: Found) -> Finding:
        """Whether the records meet it."""
        parts = [part.evaluate(found) for part in self.inner]
        if self.not_:
            return Finding(not parts[0].true, f"not so: {parts[0].text}")
        is_met, word = (any, "; or ") if self.any else (all, "; and ")
        return Finding(is_met(part.true for part in parts), word.join(part.text for part in parts))
