"""The ledger of claims: what the paper says, the rule that decides, and the verdict that follows from the records."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kmgan_book import conditions, records, vocabulary, words
from kmgan_book.conditions import Finding
from kmgan_book.entries import LEDGER, PARTS, PROFILES, Claim, Needed, command_of, load
from kmgan_book.records import Record

__all__ = [
    "LEDGER", "PARTS", "PROFILES", "VERDICTS", "Claim", "Needed", "Verdict", "judge", "lacking", "load", "measures_of",
    "verdict", "verdicts",
]  # fmt: skip
HOLDS, PARTLY, FAILS, UNDECIDED = "holds", "holds partly", "does not hold", "undecided"
UNTESTABLE, NOT_RUN = "cannot be tested at this scale", "not yet run"
VERDICTS = (HOLDS, PARTLY, FAILS, UNDECIDED, UNTESTABLE, NOT_RUN)
MARKS: dict[str, str] = dict(zip(VERDICTS, "✓≈✗??…", strict=True))
_OUTCOMES: dict[str, str] = dict(zip((HOLDS, PARTLY, FAILS, UNDECIDED, UNTESTABLE), words.OUTCOMES, strict=True))


@dataclass(frozen=True)
class Verdict:
    """What the records say of a claim.

    Runs are missing that have no record, or whose record lacks a measure; a claim that cannot be tested whatever they
    show is judged without them.
    """

    claim: Claim
    word: str  # of `VERDICTS`
    profile: str  # of the records that decided, or that are missing
    parts: Mapping[str, Sequence[Finding]]  # of each list of the rule, as in `PARTS`, what was found of its conditions
    missing: list[Needed]
    found: Mapping[str, Sequence[Record]]  # by preset, as the ledger names it: what the verdict was computed from

    @property
    def waits(self) -> bool:
        """Whether there is no verdict before the missing runs are recorded."""
        return self.word == NOT_RUN

    @property
    def records(self) -> list[Record]:
        """What the verdict was computed from."""
        return [record for group in self.found.values() for record in group]

    @property
    def findings(self) -> dict[Finding, str]:
        """Each condition of the rule with what was found, and what it is there for."""
        roles: dict[Finding, list[str]] = {}
        for part, listed in self.parts.items():
            for finding in listed:
                roles.setdefault(finding, []).append(PARTS[part])
        return {finding: ", ".join(words) for finding, words in roles.items()}

    @property
    def outlook(self) -> str:
        """Of an undecided claim what would decide it."""
        if self.word != UNDECIDED:
            return ""
        if self.claim.decides is None:
            return "The seeds disagree, and by this rule more of them would not decide."
        return f"About {self.claim.decides} seeds of each preset would decide it."

    @property
    def sentence(self) -> str:
        """The verdict in English, with its numbers; of a claim that was not yet run, what it waits for."""
        if self.waits:
            called = {self.claim.preset(name, self.profile): self.claim.called(name) for name in self.claim.needs}
            counts = Counter(called[needed.preset] for needed in self.missing)
            return words.waiting(counts, len(self.claim.runs(self.profile)))
        template = self.claim.says.get(_OUTCOMES[self.word], f"{self.claim.title}: {self.word}.")
        systems = {"unready": self._not_met("gate"), "unmet": self._not_met("holds")}
        return words.fill(template, self.found, systems)

    @property
    def commands(self) -> list[str]:
        """The commands that make what is missing, one per preset."""
        seeds: dict[str, list[int]] = {}
        for needed in self.missing:
            seeds.setdefault(needed.preset, []).append(needed.seed)
        return [command_of(preset, self.profile, which) for preset, which in seeds.items()]

    @property
    def strength(self) -> str:
        """How many runs a verdict rests on, and what would change it; of a claim that was not yet run, nothing."""
        if self.waits:
            return ""
        turns = self.claim.flips if self.word in (HOLDS, PARTLY, FAILS) else self.outlook
        if self.missing:
            turns = f"The other {len(self.missing)} that the rule asks for could not change it."
        return f"{len(self.records)} {self.profile} runs." + (f" {turns}" if turns else "")

    def _not_met(self, part: str) -> list[str]:
        """The systems that conditions which are not met speak of: what is compared with, or else what is measured."""
        pairs = zip(self.claim.parts[part], self.parts.get(part, ()), strict=False)
        names = []
        for condition, _ in (pair for pair in pairs if not pair[1].true):
            for arguments in (a for a in condition.values() if isinstance(a, dict)):
                bound = arguments.get("below", arguments.get("above"))
                other = bound.get("of") if isinstance(bound, dict) else None
                name = arguments.get("against") or other or arguments.get("of")
                names += [self.claim.called(name)] if name else []
        return names


def judge(claim: Claim, profile: str, *, results: Path = records.RESULTS) -> Verdict:
    """The verdict on a claim from the records at one profile."""
    found: dict[str, list[Record]] = {}
    missing: list[Needed] = []
    wanted: dict[str, set[str]] = {}
    for name, measure in claim.measures():
        wanted.setdefault(name, set()).add(measure)
    for name, seeds in claim.needs.items():
        preset = claim.preset(name, profile)
        group = records.load(preset, profile, results=results)
        group = [r for r in group if r.diverged or all(r.has(m) for m in wanted.get(name, ()))]
        found[name] = group
        there = {record.seed for record in group}
        missing += [Needed(preset, profile, seed) for seed in seeds if seed not in there]

    def met(condition: Mapping[str, Any]) -> Finding:
        finding = conditions.find(condition, found)
        return Finding(finding.true, finding.text.replace("*/", f"{claim.groups.get(profile)}/"))

    lacks = {needed.preset for needed in missing}
    parts = {
        part: [met(condition) for condition in listed]
        for part, listed in claim.parts.items()
        if not lacks & {claim.preset(name, profile) for each in listed for name, _ in vocabulary.reads(each)}
    }
    if missing and _word(parts) != UNTESTABLE:
        return Verdict(claim, NOT_RUN, profile, {}, missing, found)
    return Verdict(claim, _word(parts), profile, parts, missing, found)


def _word(parts: Mapping[str, Sequence[Finding]]) -> str:
    """The first word whose conditions are all met; without a system at its level there is nothing to compare."""
    if not all(finding.true for finding in parts.get("gate", ())):
        return UNTESTABLE
    words = {"untestable": UNTESTABLE, "holds": HOLDS, "partly": PARTLY, "fails": FAILS}
    met = (word for part, word in words.items() if parts.get(part) and all(finding.true for finding in parts[part]))
    return next(met, UNDECIDED)


def verdict(claim: Claim, *, results: Path = records.RESULTS) -> Verdict:
    """The verdict at the largest profile whose records are complete; else what is missing at the smallest."""
    tried = [judge(claim, profile, results=results) for profile in claim.profiles]
    return next((verdict for verdict in tried if not verdict.waits), tried[-1])


def verdicts(path: Path = LEDGER, *, results: Path = records.RESULTS) -> list[Verdict]:
    """The verdicts on all claims of the ledger, in its order."""
    return [verdict(claim, results=results) for claim in load(path)]


def lacking(profile: str, path: Path = LEDGER, *, results: Path = records.RESULTS) -> list[Needed]:
    """Runs that the ledger still lacks at a profile, the most valuable first.

    First those that more claims wait for, then those of the claims that are nearest to a verdict, then lower seeds.
    """
    waiting: dict[Needed, list[int]] = {}
    for claim in load(path):
        if profile not in claim.profiles:
            continue
        found = judge(claim, profile, results=results)
        for needed in found.missing if found.waits else ():
            waiting.setdefault(needed, []).append(len(found.missing))

    def value(needed: Needed) -> tuple[int, int, int]:
        return -len(waiting[needed]), min(waiting[needed]), needed.seed

    return sorted(waiting, key=value)


def measures_of(preset: str, profile: str, path: Path = LEDGER) -> list[str]:
    """Measures beyond the quick ones that the ledger reads of a preset, for whoever makes its record."""
    reads = (
        measure.partition(".")[0]
        for claim in load(path) if profile in claim.profiles
        for name, measure in claim.measures() if claim.preset(name, profile) == preset
    )  # fmt: skip
    return [name for name in dict.fromkeys(reads) if name != "history"]
