"""The ledger of claims: what the paper says, the rule that decides, and the verdict that follows from the records."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from kmgan_book import conditions, records, vocabulary
from kmgan_book.conditions import Finding
from kmgan_book.records import Record
from kmgan_lib import presets
from kmgan_lib.errors import UsageError

LEDGER = records.RESULTS.parent / "claims.yml"
PROFILES = ("paper", "long", "quick")  # the largest one whose records are complete decides
HOLDS, PARTLY, FAILS, UNDECIDED = "holds", "holds partly", "does not hold", "undecided"
UNTESTABLE, NOT_RUN = "cannot be tested at this scale", "not yet run"
VERDICTS = (HOLDS, PARTLY, FAILS, UNDECIDED, UNTESTABLE, NOT_RUN)
# The lists of conditions in the order in which they are looked at, and what each is called beside its findings.
PARTS = {
    "gate": "needed for a test", "untestable": "untestable if", "holds": "for", "partly": "partly for",
    "fails": "against", "beside": "beside",
}  # fmt: skip
_TEXTS = ("title", "quote", "section", "paper", "chapter", "measure", "rule")
_NAME = re.compile(r"[A-Za-z0-9_-]+")  # a part of an address on the page


@dataclass(frozen=True)
class Needed:
    """One run that a claim needs.

    Attributes
    ----------
    preset, profile : str
    seed : int
    """

    preset: str
    profile: str
    seed: int

    @property
    def command(self) -> str:
        """The command that makes its record."""
        return f"kmgan sweep --profile {self.profile} --only {self.preset} --seeds {self.seed}"


@dataclass(frozen=True)
class Claim:
    """One entry of ``claims.yml``; that file explains the fields."""

    name: str
    title: str
    quote: str
    section: str
    paper: str
    chapter: str
    measure: str
    rule: str
    needs: Mapping[str, Sequence[int]]
    parts: Mapping[str, Sequence[Mapping[str, Any]]]
    profiles: Sequence[str] = PROFILES
    groups: Mapping[str, str] = field(default_factory=dict)
    decides: int | None = None
    before: str = ""
    eye: str = ""

    def preset(self, name: str, profile: str) -> str:
        """A preset's name with the profile's group in the place of ``*``."""
        return name.replace("*", self.groups[profile]) if name.startswith("*/") else name

    def runs(self, profile: str) -> list[Needed]:
        """All runs that the claim needs at a profile."""
        return [Needed(self.preset(name, profile), profile, s) for name, seeds in self.needs.items() for s in seeds]

    def measures(self) -> Iterator[tuple[str, str]]:
        """Pairs of a preset's name, as it stands in the ledger, and a measure that the rule reads of it."""
        for condition in (condition for listed in self.parts.values() for condition in listed):
            yield from vocabulary.reads(condition)


@dataclass(frozen=True)
class Verdict:
    """What the records say of a claim.

    Attributes
    ----------
    claim : Claim
    word : str
        One of `VERDICTS`.
    profile : str
        The profile of the records that decided, or that are missing.
    parts : mapping
        Each list of the rule, as in `PARTS`, to what was found of its conditions.
    missing : list of Needed
        Runs without a record, or whose record lacks a measure.
    records : list of Record
        What the verdict was computed from.
    """

    claim: Claim
    word: str
    profile: str
    parts: Mapping[str, Sequence[Finding]]
    missing: list[Needed]
    records: list[Record]

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
    def decisive(self) -> list[str]:
        """What decided: of a gate what is not reached, else the conditions that its word names."""
        if self.missing:
            return [f"{len(self.missing)} of the runs that it needs are missing"]
        closed = [f"not reached: {finding.text}" for finding in self.parts["gate"] if not finding.true]
        part = {UNTESTABLE: "untestable", FAILS: "fails", PARTLY: "partly"}.get(self.word, "holds")
        texts = closed or [finding.text for finding in self.parts[part]]
        if self.word == PARTLY:
            texts += [f"but not: {finding.text}" for finding in self.parts["holds"] if not finding.true]
        return texts + ([self.outlook] if self.outlook else [])


def _refuse(place: str, text: str) -> UsageError:
    return UsageError(f"{place}: {text}")


def _claim(name: str, entry: Any, path: Path) -> Claim:
    place = f"{path.name}, {name}"
    if not isinstance(entry, dict):
        raise _refuse(place, "a claim is a mapping")
    if not _NAME.fullmatch(name):
        raise _refuse(place, "a claim's name is of letters, digits, - and _")
    known = {*_TEXTS, *PARTS, "needs", "groups", "profiles", "decides", "before", "eye"}
    for key in entry:
        if key not in known:
            raise _refuse(place, f"unknown key {key} (one of {', '.join(sorted(known))})")
    for key in (*_TEXTS, "needs", "holds", "fails"):
        if not entry.get(key):
            raise _refuse(place, f"{key} is missing")
    for key in (*_TEXTS, "before", "eye"):
        if not isinstance(entry.get(key, ""), str):
            raise _refuse(place, f"{key} must be text (put it into quotes)")
    if not _NAME.fullmatch(entry["chapter"]):
        raise _refuse(place, "chapter is the name of a page, of letters, digits, - and _")
    for key in PARTS:
        if not isinstance(entry.get(key, []), list):
            raise _refuse(place, f"{key} must be a list of conditions")
    decides = entry.get("decides")
    if decides is not None and not (type(decides) is int and decides > 0):
        raise _refuse(place, "decides is a number of seeds")
    groups = entry.get("groups", {})
    if not isinstance(groups, dict) or not all(p in PROFILES and isinstance(g, str) for p, g in groups.items()):
        raise _refuse(place, f"groups maps profiles ({', '.join(PROFILES)}) to groups")
    possible = list(groups or PROFILES)
    profiles = entry.get("profiles", possible)
    if not isinstance(profiles, list) or not profiles or not all(profile in possible for profile in profiles):
        raise _refuse(place, f"profiles lists some of {', '.join(possible)}")
    needs = entry["needs"]
    if not isinstance(needs, dict):
        raise _refuse(place, "needs maps presets to seeds, such as mnist/kmgan: [0, 1, 2]")
    for preset, seeds in needs.items():
        if not isinstance(seeds, list) or not seeds or not all(type(seed) is int and seed >= 0 for seed in seeds):
            raise _refuse(place, f"the seeds of {preset} must be a list of whole numbers")
        if str(preset).startswith("*/") and not groups:
            raise _refuse(place, f"{preset} needs groups, which say what * stands for")
    claim = Claim(
        name=name, **{key: entry[key] for key in _TEXTS}, needs={str(preset): seeds for preset, seeds in needs.items()},
        parts={key: tuple(entry.get(key, ())) for key in PARTS}, groups=groups, decides=decides,
        profiles=tuple(profile for profile in PROFILES if profile in profiles),
        before=entry.get("before", ""), eye=entry.get("eye", ""),
    )  # fmt: skip
    for profile in claim.profiles:
        for needed in claim.runs(profile):
            if needed.preset not in presets.PRESETS:
                raise _refuse(place, f"unknown preset {needed.preset} in needs")
    try:
        used = {preset for preset, _ in claim.measures()}
    except UsageError as error:
        raise _refuse(place, str(error)) from None
    for preset in sorted(used - set(claim.needs)):
        raise _refuse(place, f"a condition reads {preset}, which needs does not list")
    return claim


def load(path: Path = LEDGER) -> list[Claim]:
    """Read the ledger; a `UsageError` names the claim and what is wrong with it."""
    try:
        entries = yaml.safe_load(path.read_text(encoding="utf8"))
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}") from None
    except Exception as error:  # besides its own error PyYAML has others, such as KeyError for `!!bool x`
        raise UsageError(f"{path} is not YAML: {' '.join(str(error).split())}") from None
    if not isinstance(entries, dict) or not entries:
        raise UsageError(f"{path} has no claims: it maps their names to entries")
    return [_claim(str(name), entry, path) for name, entry in entries.items()]


def judge(claim: Claim, profile: str, *, results: Path = records.RESULTS) -> Verdict:
    """The verdict on a claim from the records at one profile.

    Parameters
    ----------
    claim : Claim
    profile : str
    results : Path
        Folder of all records.
    """
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
    everything = [record for group in found.values() for record in group]
    if missing:
        return Verdict(claim, NOT_RUN, profile, {}, missing, everything)

    def met(condition: Mapping[str, Any]) -> Finding:
        finding = conditions.find(condition, found)
        return Finding(finding.true, finding.text.replace("*/", f"{claim.groups.get(profile)}/"))

    parts = {part: [met(condition) for condition in listed] for part, listed in claim.parts.items()}
    return Verdict(claim, _word(parts), profile, parts, [], everything)


def _word(parts: Mapping[str, Sequence[Finding]]) -> str:
    """The first word whose conditions are all met; without a system at its level there is nothing to compare."""
    if not all(finding.true for finding in parts["gate"]):
        return UNTESTABLE
    words = {"untestable": UNTESTABLE, "holds": HOLDS, "partly": PARTLY, "fails": FAILS}
    met = (word for part, word in words.items() if parts[part] and all(finding.true for finding in parts[part]))
    return next(met, UNDECIDED)


def verdict(claim: Claim, *, results: Path = records.RESULTS) -> Verdict:
    """The verdict at the largest profile whose records are complete; else what is missing at the smallest."""
    tried = [judge(claim, profile, results=results) for profile in claim.profiles]
    return next((verdict for verdict in tried if not verdict.missing), tried[-1])


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
        missing = judge(claim, profile, results=results).missing
        for needed in missing:
            waiting.setdefault(needed, []).append(len(missing))

    def value(needed: Needed) -> tuple[int, int, int]:
        return -len(waiting[needed]), min(waiting[needed]), needed.seed

    return sorted(waiting, key=value)


def measures_of(preset: str, profile: str, path: Path = LEDGER) -> list[str]:
    """Measures beyond the quick ones that the ledger reads of a preset, for whoever makes its record."""
    names = dict.fromkeys(
        measure.partition(".")[0]
        for claim in load(path)
        if profile in claim.profiles
        for name, measure in claim.measures()
        if claim.preset(name, profile) == preset
    )
    return [name for name in names if name != "history"]
