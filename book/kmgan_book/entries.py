"""One entry of the ledger of claims, and what is wrong with it where it is none."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from kmgan_book import records, vocabulary, words
from kmgan_lib import presets
from kmgan_lib.errors import UsageError

LEDGER = records.RESULTS.parent / "claims.yml"
PROFILES = ("paper", "long", "quick")  # the largest one whose records are complete decides
# The lists of conditions in the order in which they are looked at, and what each is called beside its findings.
PARTS = {
    "gate": "needed for a test", "untestable": "untestable if", "holds": "for", "partly": "partly for",
    "fails": "against", "beside": "beside",
}  # fmt: skip
_TEXTS = ("title", "quote", "section", "paper", "chapter", "measure", "rule")
_MAY = ("before", "eye", "flips")
_NAME = re.compile(r"[A-Za-z0-9_-]+")  # a part of an address on the page


class Needed(NamedTuple):
    """One run that a claim needs."""

    preset: str
    profile: str
    seed: int


def command_of(preset: str, profile: str, seeds: Iterable[int]) -> str:
    """The command that makes the records of a preset."""
    return f"kmgan sweep --profile {profile} --only {preset} --seeds {','.join(map(str, seeds))}"


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
    flips: str = ""
    says: Mapping[str, str] = field(default_factory=dict)
    calls: Mapping[str, str] = field(default_factory=dict)

    def called(self, name: str) -> str:
        """What a reader calls a preset."""
        return self.calls.get(name, name)

    @property
    def outcomes(self) -> list[str]:
        """Those of `words.OUTCOMES` that the lists of conditions can lead to."""
        lists = {"untestable": ("gate", "untestable"), "undecided": ("holds",)}
        return [o for o in words.OUTCOMES if any(self.parts[part] for part in lists.get(o, (o,)))]

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


def _claim(name: str, entry: Any, path: Path) -> Claim:
    def need(true: object, text: str) -> None:
        if not true:
            raise UsageError(f"{path.name}, {name}: {text}")

    need(isinstance(entry, dict), "a claim is a mapping")
    need(_NAME.fullmatch(name), "a claim's name is of letters, digits, - and _")
    known = {*_TEXTS, *_MAY, *PARTS, "needs", "groups", "profiles", "decides", "says", "calls"}
    for key in entry:
        need(key in known, f"unknown key {key} (one of {', '.join(sorted(known))})")
    for key in (*_TEXTS, "needs", "holds", "fails"):
        need(entry.get(key), f"{key} is missing")
    for key in (*_TEXTS, *_MAY):
        need(isinstance(entry.get(key, ""), str), f"{key} must be text (put it into quotes)")
    need(_NAME.fullmatch(entry["chapter"]), "chapter is the name of a page, of letters, digits, - and _")
    for key in PARTS:
        need(isinstance(entry.get(key, []), list), f"{key} must be a list of conditions")
    decides, needs = entry.get("decides"), entry["needs"]
    need(decides is None or (type(decides) is int and decides > 0), "decides is a number of seeds")
    need(isinstance(needs, dict), "needs maps presets to seeds, such as mnist/kmgan: [0, 1, 2]")
    for key, allowed, kind in (
        ("groups", PROFILES, "groups"), ("says", words.OUTCOMES, "texts"), ("calls", needs, "texts"),
    ):  # fmt: skip
        texts = entry.get(key, {})
        are_texts = isinstance(texts, dict) and all(n in allowed and isinstance(t, str) for n, t in texts.items())
        need(are_texts, f"{key} maps some of {', '.join(map(str, allowed))} to {kind}")
    groups = entry.get("groups", {})
    possible = list(groups or PROFILES)
    profiles = entry.get("profiles", possible)
    some = isinstance(profiles, list) and profiles and all(profile in possible for profile in profiles)
    need(some, f"profiles lists some of {', '.join(possible)}")
    for preset, seeds in needs.items():
        whole = isinstance(seeds, list) and seeds and all(type(seed) is int and seed >= 0 for seed in seeds)
        need(whole, f"the seeds of {preset} must be a list of whole numbers")
        need(groups or not str(preset).startswith("*/"), f"{preset} needs groups, which say what * stands for")
    given = {key: entry[key] for key in entry if key not in PARTS} | {
        "name": name, "needs": {str(preset): seeds for preset, seeds in needs.items()},
        "parts": {key: tuple(entry.get(key, ())) for key in PARTS},
        "profiles": tuple(profile for profile in PROFILES if profile in profiles),
    }  # fmt: skip
    claim = Claim(**given)
    for needed in (needed for profile in claim.profiles for needed in claim.runs(profile)):
        need(needed.preset in presets.PRESETS, f"unknown preset {needed.preset} in needs")
    where, used = "", set[tuple[str, str]]()
    try:
        used.update(claim.measures())
        for outcome, sentence in claim.says.items():
            where = f"says {outcome}: "
            words.check(sentence, used)
    except UsageError as error:
        need(False, f"{where}{error}")
    for preset, _ in sorted(used):
        need(preset in claim.needs, f"a condition reads {preset}, which needs does not list")
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
