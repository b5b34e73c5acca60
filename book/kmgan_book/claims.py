"""The ledger of claims: what the paper says, the rule that decides, and the verdict that follows from the records."""

import shlex
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Annotated, NamedTuple, Self

from pydantic import AfterValidator, Field, ValidationError, model_validator

from kmgan_book import records, words
from kmgan_book.conditions import Condition, Finding, Test
from kmgan_book.records import Record
from kmgan_book.strict import Strict, complaint, read_yaml
from kmgan_lib import presets
from kmgan_lib.errors import UsageError

LEDGER = records.RESULTS.parent / "claims.yml"
# The lists of conditions in the order in which they are checked, and what each is called beside its findings.
PARTS = {
    "gate": "needed for a test", "untestable": "untestable if", "holds": "for", "partly": "partly for",
    "fails": "against", "beside": "beside",
}  # fmt: skip
HOLDS, PARTLY, FAILS, UNDECIDED, UNTESTABLE = words.OUTCOMES.values()
NOT_RUN = "not yet run"
VERDICTS = (*words.OUTCOMES.values(), NOT_RUN)
MARKS: dict[str, str] = dict(zip(VERDICTS, "✓≈✗??…", strict=True))

PROFILES = ("paper", "long", "quick")  # the largest one whose records are complete decides
Profile = Annotated[str, Field(pattern=f"^({'|'.join(PROFILES)})$")]
Outcome = Annotated[str, Field(pattern=f"^({'|'.join(words.OUTCOMES)})$")]
Text = Annotated[str, Field(min_length=1)]
Name = Annotated[str, Field(pattern="^[A-Za-z0-9_-]+$")]  # a part of an address on the page
Seeds = dict[str, Annotated[list[Annotated[int, Field(ge=0)]], Field(min_length=1)]]  # by preset
Conditions = list[Condition]


class RunSpec(NamedTuple):
    """One run that a claim needs."""

    preset: str
    profile: str
    seed: int


def command_of(preset: str, profile: str, seeds: Iterable[int], **options: object) -> str:
    """The command that makes the records of a preset, with options of ``kmgan sweep`` that are not None."""
    given = {"profile": profile, "only": preset, "seeds": ",".join(map(str, seeds)), **options}
    words = [(f"--{key.replace('_', '-')}", str(value)) for key, value in given.items() if value is not None]
    return shlex.join(["kmgan", "sweep", *chain.from_iterable(words)])


def _in_order(profiles: Iterable[str]) -> list[str]:
    return [profile for profile in PROFILES if profile in profiles]


class Claim(Strict):
    """One entry of ``claims.yml``; that file explains the fields."""

    name: Name
    title: Text
    quote: Text
    section: Text
    paper: Text
    chapter: Name
    measure: Text
    rule: Text
    needs: Annotated[Seeds, Field(min_length=1)]
    groups: dict[Profile, str] = Field({})
    profiles: Annotated[list[Profile], Field(min_length=1), AfterValidator(_in_order)] = Field(
        default_factory=lambda given: _in_order(given["groups"] or PROFILES)
    )
    decides: Annotated[int, Field(gt=0)] | None = None
    gate: Conditions = Field([])
    untestable: Conditions = Field([])
    holds: Annotated[Conditions, Field(min_length=1)]
    partly: Conditions = Field([])
    fails: Annotated[Conditions, Field(min_length=1)]
    beside: Conditions = Field([])
    before: str = ""
    eye: str = ""
    flips: str = ""
    says: dict[Outcome, str] = Field({})
    calls: dict[str, str] = Field({})

    @property
    def parts(self) -> dict[str, list[Condition]]:
        """The lists of conditions, in the order in which they are checked."""
        return {part: getattr(self, part) for part in PARTS}

    def preset(self, name: str, profile: str) -> str:
        """A preset's name with the profile's group in the place of ``*``."""
        return name.replace("*", self.groups[profile]) if name.startswith("*/") else name

    def runs(self, profile: str) -> list[RunSpec]:
        """All runs that the claim needs at a profile."""
        return [RunSpec(self.preset(name, profile), profile, s) for name, seeds in self.needs.items() for s in seeds]

    def measures(self) -> Iterator[tuple[str, str]]:
        """Pairs of a preset's name, as the ledger writes it, and a measure that the rule reads of it."""
        return (pair for listed in self.parts.values() for condition in listed for pair in condition.reads())

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        for problem in self._problems():
            raise ValueError(problem)
        return self

    def _problems(self) -> Iterator[str]:
        yield from (f"{preset} is not in needs" for preset in self.calls if preset not in self.needs)
        if self.groups and (extra := set(self.profiles) - self.groups.keys()):
            yield f"groups must say what * stands for at {min(extra)}"
        if not self.groups and (starred := [preset for preset in self.needs if preset.startswith("*/")]):
            yield f"{starred[0]} needs groups, which say what * stands for"
        runs = [run for profile in self.profiles for run in self.runs(profile)]
        yield from (f"unknown preset {run.preset} in needs" for run in runs if run.preset not in presets.PRESETS)
        used = set(self.measures())
        unlisted = sorted(preset for preset, _ in used if preset not in self.needs)
        yield from (f"a condition reads {preset}, which needs does not list" for preset in unlisted)
        for outcome, sentence in self.says.items():
            yield from (f"says {outcome}: {wrong}" for wrong in words.complaints(sentence, used))


def load(path: Path = LEDGER) -> list[Claim]:
    """Read the ledger; a `UsageError` names the claim and what is wrong with it."""
    entries = read_yaml(path)
    if not isinstance(entries, dict) or not entries:
        raise UsageError(f"{path} has no claims: it must map their names to entries")
    claims = []
    for name, entry in entries.items():
        if not isinstance(entry, dict):
            raise UsageError(f"{path.name}, {name}: a claim must be a mapping")
        try:
            claims.append(Claim.model_validate({**entry, "name": str(name)}))
        except ValidationError as error:
            raise UsageError(f"{path.name}, {name}: {complaint(error)}") from None
    return claims


@dataclass(frozen=True)
class Verdict:
    """What the records say about a claim.

    Missing runs have no record, or one that lacks a measure; a claim that cannot be tested whatever they show is judged
    without them.
    """

    claim: Claim
    word: str  # of `VERDICTS`
    profile: str  # of the records that decided, or that are missing
    parts: Mapping[str, Sequence[Finding]]  # for each list of the rule, as in `PARTS`, the findings on its conditions
    missing: list[RunSpec]
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
        """Each condition of the rule with what was found, and its role in the rule."""
        roles: dict[Finding, list[str]] = {}
        for part, listed in self.parts.items():
            for finding in listed:
                roles.setdefault(finding, []).append(PARTS[part])
        return {finding: ", ".join(words) for finding, words in roles.items()}

    @property
    def sentence(self) -> str:
        """The verdict in English, with its numbers; for a claim not yet run, what it waits for."""
        claim = self.claim
        if self.waits:
            called = {claim.preset(name, self.profile): claim.calls.get(name, name) for name in claim.needs}
            counts = Counter(called[needed.preset] for needed in self.missing)
            return words.waiting(counts, len(claim.runs(self.profile)))
        outcome = next(outcome for outcome, word in words.OUTCOMES.items() if word == self.word)
        template = claim.says.get(outcome, f"{claim.title}: {self.word}.")
        systems = {"unready": self._not_met("gate"), "unmet": self._not_met("holds")}
        return words.fill(template, self.found, systems)

    @property
    def commands(self) -> list[str]:
        """The commands that make what is missing, one per preset."""
        seeds = {each.preset: [run.seed for run in self.missing if run.preset == each.preset] for each in self.missing}
        return [command_of(preset, self.profile, which) for preset, which in seeds.items()]

    @property
    def strength(self) -> str:
        """How many runs a verdict rests on, and what would change it; empty for a claim not yet run."""
        if self.waits:
            return ""
        turns = self.claim.flips if self.word in (HOLDS, PARTLY, FAILS) else ""
        if self.word == UNDECIDED and self.claim.decides is None:
            turns = "The seeds disagree, and by this rule more of them would not decide."
        elif self.word == UNDECIDED:
            turns = f"About {self.claim.decides} seeds of each preset would decide it."
        if self.missing:
            turns = f"The other {len(self.missing)} that the rule asks for could not change it."
        return f"{len(self.records)} {self.profile} runs." + (f" {turns}" if turns else "")

    def _not_met(self, part: str) -> list[str]:
        """The systems that unmet conditions are about: those compared with, or else those measured."""
        found = zip(self.claim.parts[part], self.parts.get(part, ()), strict=False)
        unmet = [condition.given for condition, finding in found if not finding.true]
        return [self.claim.calls.get(test.system, test.system) for test in unmet if isinstance(test, Test)]


def judge(claim: Claim, profile: str, *, results: Path = records.RESULTS) -> Verdict:
    """The verdict on a claim from the records at one profile."""
    found, missing, reads = dict[str, list[Record]](), list[RunSpec](), set(claim.measures())
    for name, seeds in claim.needs.items():
        preset = claim.preset(name, profile)
        group = [record for record in records.load(preset, profile, results=results) if record.seed in seeds]
        found[name] = [r for r in group if r.diverged or all(r.has(measure) for of, measure in reads if of == name)]
        there = {record.seed for record in found[name]}
        missing += [RunSpec(preset, profile, seed) for seed in seeds if seed not in there]

    def met(condition: Condition) -> Finding:
        finding = condition.evaluate(found)
        return finding._replace(text=finding.text.replace("*/", f"{claim.groups.get(profile)}/"))

    lacks = {needed.preset for needed in missing}
    parts = {
        part: [met(condition) for condition in listed]
        for part, listed in claim.parts.items()
        if not lacks & {claim.preset(name, profile) for each in listed for name, _ in each.reads()}
    }
    word = _word(parts)
    if missing and word != UNTESTABLE:
        word, parts = NOT_RUN, {}
    return Verdict(claim, word, profile, parts, missing, found)


def _word(parts: Mapping[str, Sequence[Finding]]) -> str:
    """The first word whose conditions are all met; if the gate is not met, there is nothing to compare."""
    if not all(finding.true for finding in parts.get("gate", ())):
        return UNTESTABLE
    order = ("untestable", "holds", "partly", "fails")
    met = (part for part in order if parts.get(part) and all(finding.true for finding in parts[part]))
    return words.OUTCOMES[next(met, "undecided")]


def verdict(claim: Claim, *, results: Path = records.RESULTS) -> Verdict:
    """The verdict at the largest profile whose records are complete; else what is missing at the smallest."""
    tried = [judge(claim, profile, results=results) for profile in claim.profiles]
    return next((verdict for verdict in tried if not verdict.waits), tried[-1])


def verdicts(path: Path = LEDGER, *, results: Path = records.RESULTS) -> list[Verdict]:
    """The verdicts on all claims of the ledger, in its order."""
    return [verdict(claim, results=results) for claim in load(path)]


def missing_runs(profile: str, path: Path = LEDGER, *, results: Path = records.RESULTS) -> list[RunSpec]:
    """Runs that the ledger still lacks at a profile: first those that more claims wait for, or nearly decide."""
    waiting: dict[RunSpec, list[int]] = {}
    for claim in (claim for claim in load(path) if profile in claim.profiles):
        found = judge(claim, profile, results=results)
        for needed in found.missing if found.waits else ():
            waiting.setdefault(needed, []).append(len(found.missing))
    return sorted(waiting, key=lambda needed: (-len(waiting[needed]), min(waiting[needed]), needed.seed))


def measures_of(preset: str, profile: str, ledger: Iterable[Claim]) -> list[str]:
    """Measures beyond the quick ones that the ledger reads of a preset, to be taken when its record is made."""
    reads = (
        measure.partition(".")[0]
        for claim in ledger if profile in claim.profiles
        for name, measure in claim.measures() if claim.preset(name, profile) == preset
    )  # fmt: skip
    return [name for name in dict.fromkeys(reads) if name != "history"]
