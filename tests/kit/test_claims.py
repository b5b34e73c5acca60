"""The ledger: how a verdict follows from records, and the verdicts of the book."""

from __future__ import annotations

import copy
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from kmgan_book import claims, records, report, seeds, tables, vocabulary
from kmgan_book.claims import FAILS, HOLDS, NOT_RUN, PARTLY, UNDECIDED, UNTESTABLE, VERDICTS, Needed
from kmgan_book.records import Record
from kmgan_lib import presets
from kmgan_lib.errors import UsageError
from kmgan_lib.metrics import METRICS

MadeUp = Callable[..., Record]
ENTRY: dict[str, Any] = {
    "title": "It works", "quote": "it works", "section": "4", "paper": "no number", "chapter": "intro",
    "measure": "a score", "rule": "Holds if it works.", "needs": {"mnist/kmgan": [0, 1]},
    "holds": [{"every": {"of": "mnist/kmgan", "measure": "classifier_score.value", "above": 8}}],
    "partly": [{"every": {"of": "mnist/kmgan", "measure": "classifier_score.value", "above": 6}}],
    "fails": [{"every": {"of": "mnist/kmgan", "measure": "classifier_score.value", "below": 6}}],
    "untestable": [{"count": {"of": "mnist/kmgan", "failed": True, "all": True}}],
}  # fmt: skip
GATE = [{"mean": {"of": "mnist/kmgan", "measure": "classifier_score.value", "above": 4}}]


def ledger(folder: Path, **entries: Any) -> Path:
    path = folder / "ledger.yml"
    path.write_text(yaml.safe_dump(entries, sort_keys=False))
    return path


def word(results: Path, **changes: Any) -> str:
    path = ledger(results, X1={**ENTRY, **changes})
    return claims.verdicts(path, results=results)[0].word


# The verdicts


@pytest.mark.parametrize(
    ("scores", "expected"),
    [((9.0, 8.5), HOLDS), ((9.0, 7.0), PARTLY), ((5.0, 4.0), FAILS), ((9.0, 5.0), UNDECIDED), ((9.0, None), UNDECIDED),
     ((2.0, None), UNTESTABLE)],
)  # fmt: skip
def test_the_first_rule_whose_conditions_all_hold_decides(
    made_up: MadeUp, tmp_path: Path, scores: tuple[float | None, ...], expected: str
) -> None:
    for seed, score in enumerate(scores):
        made_up(tmp_path, seed=seed, score=score)
    assert word(tmp_path) == expected


def test_without_partly_and_without_evidence_against_a_claim_is_undecided(made_up: MadeUp, tmp_path: Path) -> None:
    for seed in (0, 1):
        made_up(tmp_path, seed=seed, score=7.0)
    assert word(tmp_path) == PARTLY
    assert word(tmp_path, partly=[]) == UNDECIDED


@pytest.mark.parametrize(("score", "expected"), [(9.0, HOLDS), (5.0, FAILS), (3.5, UNTESTABLE)])
def test_behind_a_gate_that_is_not_reached_nothing_is_judged(
    made_up: MadeUp, tmp_path: Path, score: float, expected: str
) -> None:
    for seed in (0, 1):
        made_up(tmp_path, seed=seed, score=score)
    (verdict,) = claims.verdicts(ledger(tmp_path, X1={**ENTRY, "gate": GATE}), results=tmp_path)
    assert verdict.word == expected
    assert verdict.parts["gate"][0].true == (expected != UNTESTABLE)


def test_an_undecided_claim_says_what_would_decide_it(
    made_up: MadeUp, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for seed, score in enumerate((9.0, 5.0)):
        made_up(tmp_path, seed=seed, score=score)
    texts = {"eye": "The images are grey.", "before": "It held before."}
    monkeypatch.setattr(records, "RESULTS", tmp_path)
    for decides, outlook in ((12, "About 12 seeds of each preset would decide it."), (None, "The seeds disagree, ")):
        (verdict,) = claims.verdicts(ledger(tmp_path, X1={**ENTRY, **texts, "decides": decides}), results=tmp_path)
        assert verdict.outlook.startswith(outlook)
        assert verdict.strength == f"2 quick runs. {verdict.outlook}"
        monkeypatch.setattr(claims, "load", lambda *_, claim=verdict.claim: [claim])
        monkeypatch.setattr(claims, "verdict", lambda *_, verdict=verdict: verdict)
        box = report.verdict("X1").text
        assert all(text in box for text in (outlook, *texts.values(), "No (for): ", "No (against): "))
        assert verdict.outlook in tables.ledger([verdict])
        monkeypatch.undo()


def test_what_stands_beside_is_shown_and_decides_nothing(made_up: MadeUp, tmp_path: Path) -> None:
    for seed in (0, 1):
        made_up(tmp_path, seed=seed, score=9.0)
    beside = [{"count": {"of": "mnist/kmgan", "failed": True, "all": True}}]
    (verdict,) = claims.verdicts(ledger(tmp_path, X1={**ENTRY, "beside": beside}), results=tmp_path)
    assert verdict.word == HOLDS
    assert [finding.true for finding, role in verdict.findings.items() if "beside" in role] == [False]


def test_what_cannot_be_tested_whatever_is_missing_waits_for_no_run(made_up: MadeUp, tmp_path: Path) -> None:
    entry = {**ENTRY, "needs": {"mnist/kmgan": [0, 1], "mnist/dcgan": [0]}, "gate": GATE}
    entry["beside"] = [{"count": {"of": "mnist/dcgan", "failed": True, "all": True}}]
    made_up(tmp_path, seed=0, score=3.5)
    (verdict,) = claims.verdicts(ledger(tmp_path, X1=entry), results=tmp_path)
    assert verdict.word == NOT_RUN
    made_up(tmp_path, seed=1, score=3.5)
    (verdict,) = claims.verdicts(ledger(tmp_path, X1=entry), results=tmp_path)
    assert (verdict.word, verdict.waits, len(verdict.missing)) == (UNTESTABLE, False, 1)
    assert verdict.strength == "2 quick runs. The other 1 that the rule asks for could not change it."
    assert claims.lacking("quick", ledger(tmp_path, X1=entry), results=tmp_path) == []
    reached = {**entry, "gate": [{"mean": {"of": "mnist/kmgan", "measure": "classifier_score.value", "above": 3}}]}
    (verdict,) = claims.verdicts(ledger(tmp_path, X1=reached), results=tmp_path)
    assert (verdict.word, len(verdict.missing)) == (NOT_RUN, 1)


def test_a_missing_seed_is_not_yet_run_and_named_with_its_command(made_up: MadeUp, tmp_path: Path) -> None:
    made_up(tmp_path, seed=0)
    (verdict,) = claims.verdicts(ledger(tmp_path, X1=ENTRY), results=tmp_path)
    assert (verdict.word, verdict.profile, verdict.findings) == (NOT_RUN, "quick", {})
    assert verdict.sentence == "Waits for 1 of 2 runs: mnist/kmgan (1)."
    assert verdict.commands == ["kmgan sweep --profile quick --only mnist/kmgan --seeds 1"]
    assert verdict.missing == [Needed("mnist/kmgan", "quick", 1)]
    assert verdict.missing[0].command == "kmgan sweep --profile quick --only mnist/kmgan --seeds 1"
    assert [record.seed for record in verdict.records] == [0]


def test_a_record_without_the_measure_is_missing_unless_it_diverged(made_up: MadeUp, tmp_path: Path) -> None:
    rule = [{"every": {"of": "mnist/kmgan", "measure": "interpolation.largest_step", "below": 0.2}}]
    made_up(tmp_path, seed=0)
    made_up(tmp_path, seed=1, score=None)
    (verdict,) = claims.verdicts(ledger(tmp_path, X1={**ENTRY, "holds": rule}), results=tmp_path)
    assert [needed.seed for needed in verdict.missing] == [0]
    shutil.rmtree(records.place("mnist/kmgan", "quick", 0, results=tmp_path))
    made_up(tmp_path, seed=0, interpolation__largest_step=0.1)
    assert word(tmp_path, holds=rule) == UNDECIDED


def test_every_record_counts_not_only_the_seeds_that_are_needed(made_up: MadeUp, tmp_path: Path) -> None:
    for seed in (0, 1):
        made_up(tmp_path, seed=seed, score=9.0)
    assert word(tmp_path) == HOLDS
    made_up(tmp_path, seed=12, score=5.0)
    assert word(tmp_path) == UNDECIDED


def test_the_paper_s_scale_decides_as_soon_as_it_is_complete(made_up: MadeUp, tmp_path: Path) -> None:
    for seed in (0, 1):
        made_up(tmp_path, seed=seed, score=9.0)
    made_up(tmp_path, seed=0, profile="paper", score=5.0)
    assert word(tmp_path) == HOLDS
    made_up(tmp_path, seed=1, profile="paper", score=5.0)
    (verdict,) = claims.verdicts(ledger(tmp_path, X1=ENTRY), results=tmp_path)
    assert (verdict.word, verdict.profile) == (FAILS, "paper")
    assert {record.result["profile"] for record in verdict.records} == {"paper"}


GROUPED = {
    "groups": {"quick": "cifar10-32", "paper": "cifar10"}, "needs": {"*/kmgan": [0]},
    "holds": [{"every": {"of": "*/kmgan", "measure": "classifier_score.value", "above": 8}}],
    "fails": [{"every": {"of": "*/kmgan", "measure": "classifier_score.value", "below": 6}}],
    "partly": [], "untestable": [],
}  # fmt: skip


def test_profiles_say_whose_records_can_decide(made_up: MadeUp, tmp_path: Path) -> None:
    path = ledger(tmp_path, X1={**ENTRY, "profiles": ["paper"]})
    for seed in (0, 1):
        made_up(tmp_path, seed=seed, score=9.0)
    assert claims.lacking("quick", path, results=tmp_path) == []
    assert [needed.profile for needed in claims.lacking("paper", path, results=tmp_path)] == ["paper", "paper"]
    assert claims.measures_of("mnist/kmgan", "quick", path) == []
    assert claims.verdicts(path, results=tmp_path)[0].word == NOT_RUN


def test_a_star_stands_for_the_profile_s_group(made_up: MadeUp, tmp_path: Path) -> None:
    path = ledger(tmp_path, X1={**ENTRY, **GROUPED})
    (claim,) = claims.load(path)
    assert claims.verdict(claim, results=tmp_path).missing == [Needed("cifar10-32/kmgan", "quick", 0)]
    assert claims.lacking("paper", path, results=tmp_path) == [Needed("cifar10/kmgan", "paper", 0)]
    assert claims.lacking("smoke", path, results=tmp_path) == []
    assert claims.measures_of("cifar10/kmgan", "paper", path) == ["classifier_score"]
    assert claims.measures_of("cifar10/kmgan", "quick", path) == []
    made_up(tmp_path, "cifar10-32/kmgan", score=9.0)
    verdict = claims.verdict(claim, results=tmp_path)
    assert verdict.word == HOLDS
    assert "cifar10-32/kmgan" in verdict.parts["holds"][0].text


def test_a_claim_with_one_group_is_judged_at_its_profile_only(made_up: MadeUp, tmp_path: Path) -> None:
    (claim,) = claims.load(ledger(tmp_path, X1={**ENTRY, **GROUPED, "groups": {"paper": "cifar10"}}))
    made_up(tmp_path, "cifar10/kmgan", score=9.0)
    verdict = claims.verdict(claim, results=tmp_path)
    assert (verdict.word, verdict.missing) == (NOT_RUN, [Needed("cifar10/kmgan", "paper", 0)])


def test_what_most_claims_wait_for_is_lacking_first(made_up: MadeUp, tmp_path: Path) -> None:
    def entry(needs: dict[str, list[int]]) -> dict[str, Any]:
        return {**ENTRY, "needs": {**needs, "mnist/kmgan": [0]}, "partly": [], "untestable": []}

    many = entry({"mnist/dcgan": [0, 1, 2]})
    path = ledger(tmp_path, A=many, B=entry({"mnist/kmgan-k1": [5]}), C=entry({"mnist/dcgan": [1]}))
    found = [(run.preset, run.seed) for run in claims.lacking("quick", path, results=tmp_path)]
    assert found == [
        ("mnist/kmgan", 0), ("mnist/dcgan", 1), ("mnist/kmgan-k1", 5), ("mnist/dcgan", 0), ("mnist/dcgan", 2),
    ]  # fmt: skip
    made_up(tmp_path)
    assert len(claims.lacking("quick", path, results=tmp_path)) == 4


# The book's ledger


def test_the_book_s_ledger_has_fourteen_claims_of_the_paper_and_two_of_its_own_and_reads_what_it_needs() -> None:
    found = claims.load()
    assert [claim.name for claim in found] == [*(f"C{i + 1}" for i in range(14)), "P1", "P2"]
    for claim in found:
        assert claim.chapter.isidentifier()
        assert claim.before or claim.name in ("C13", "C14", "P1", "P2"), "a rule that changed keeps its older form"
        for profile in claim.profiles:
            assert all(needed.preset in presets.PRESETS for needed in claim.runs(profile))
        for preset, measure in claim.measures():
            assert preset in claim.needs
            name = measure.partition(".")[0]
            assert name == "history" or all(
                METRICS[name].applies(presets.PRESETS[claim.preset(preset, profile)]) for profile in claim.profiles
            )


def test_every_verdict_of_the_book_is_a_known_word_with_its_reasons() -> None:
    for verdict in claims.verdicts():
        assert verdict.word in VERDICTS
        assert verdict.waits == (verdict.word == NOT_RUN) == (not verdict.findings)
        assert not verdict.missing or verdict.word in (NOT_RUN, UNTESTABLE)
        assert all(finding.text for finding in verdict.findings)


def failed(profile: str, preset: str) -> tuple[int, int] | None:
    """How many of how many runs failed, by the plain files; None if one of ten seeds is missing."""
    found = {}
    for path in (records.RESULTS / preset).glob(f"{profile}-seed*/result.json"):
        result = json.loads(path.read_text())
        diverged = result["status"] == "diverged"
        found[result["seed"]] = diverged or result["metrics"]["classifier_score"]["value"] < 3
    return (sum(found.values()), len(found)) if set(range(10)) <= set(found) else None


def test_the_verdicts_on_c2_and_c4_follow_from_the_files_of_the_book() -> None:
    verdicts = {verdict.claim.name: verdict for verdict in claims.verdicts()}
    for name, other in (("C2", "mnist/kmgan-nocenter"), ("C4", "mnist/kmgan-clip")):
        sets = {profile: (failed(profile, "mnist/kmgan"), failed(profile, other)) for profile in claims.PROFILES}
        complete = [(profile, a, b) for profile, (a, b) in sets.items() if a and b]
        if not complete:
            settled = name == "C4" and any(a == (0, 10) for _, a, _ in ((p, a, b) for p, (a, b) in sets.items()))
            assert verdicts[name].word == (UNTESTABLE if settled else NOT_RUN)
            continue
        profile, (ours, n), (theirs, m) = complete[0]
        if name == "C2":
            more, high = seeds.fails_more(theirs, m, ours, n) < 0.05, seeds.rate_gap(theirs, m, ours, n)[1]
            expected = (
                HOLDS if theirs == m and ours <= 1 else PARTLY if theirs < m and more
                else FAILS if not more and high < 0.3 else UNDECIDED
            )  # fmt: skip
        else:
            fewer, more = seeds.fails_more(ours, n, theirs, m) < 0.05, seeds.fails_more(theirs, m, ours, n) < 0.05
            against = more or seeds.rate_gap(ours, n, theirs, m)[1] < 0.1
            expected = UNTESTABLE if ours == 0 else HOLDS if fewer else FAILS if against else UNDECIDED
        assert (verdicts[name].word, verdicts[name].profile) == (expected, profile)


def test_anyone_can_disagree_by_adding_a_record(
    made_up: MadeUp, kmgan: Callable[..., tuple[int, str, str]], tmp_path: Path
) -> None:
    results = tmp_path / "results"
    shutil.copytree(records.RESULTS, results)

    def said(name: str) -> str:
        status, out, err = kmgan("records", "ledger", "--results", str(results))
        assert (status, err) == (0, "")
        return next(line for line in out.splitlines() if line.startswith(f"{name} "))

    for preset in ("mnist/kmgan", "mnist/kmgan-clip"):  # here nothing fails
        shutil.rmtree(results / preset)
        for seed in range(10):
            made_up(results, preset, seed)
    assert f" {UNTESTABLE} " in said("C4")
    for seed in range(10, 20):  # here are ten unclipped runs that do
        made_up(results, "mnist/kmgan", seed, score=None)
    assert records.check(results=results) == []
    assert f" {HOLDS} " in said("C4")


# What is no ledger


def changed(**changes: Any) -> dict[str, Any]:
    entry = {**copy.deepcopy(ENTRY), **changes}
    return {key: value for key, value in entry.items() if value is not ...}


EVERY = {"every": {"of": "mnist/dcgan", "measure": "classifier_score.value", "above": 8}}
BAD = {
    "no mapping": ("it works", "a claim is a mapping"),
    "unknown key": (changed(colour="red"), "unknown key colour"),
    "no rule": (changed(rule=...), "rule is missing"),
    "an empty rule": (changed(holds=[]), "holds is missing"),
    "no needs": (changed(needs=...), "needs is missing"),
    "a number as text": (changed(section=3.1), "section must be text (put it into quotes)"),
    "nothing that speaks against it": (changed(fails=...), "fails is missing"),
    "conditions that are no list": (changed(partly=5), "partly must be a list"),
    "a condition that is no list": (changed(holds={"count": {}}), "holds must be a list"),
    "half a seed": (changed(decides=2.5), "decides is a number of seeds"),
    "no seed": (changed(decides=0), "decides is a number of seeds"),
    "a number as older form": (changed(before=5), "before must be text"),
    "unknown profile": (changed(profiles=["huge"]), "profiles lists some of paper, long, quick"),
    "no profile": (changed(profiles=[]), "profiles lists some of"),
    "a list as profile": (changed(**GROUPED | {"profiles": [["quick"]]}), "profiles lists some of quick, paper"),
    "a profile without a group": (changed(**GROUPED | {"profiles": ["long"]}), "profiles lists some of quick, paper"),
    "needs without seeds": (changed(needs=["mnist/kmgan"]), "needs maps presets to seeds"),
    "seeds that are none": (changed(needs={"mnist/kmgan": [-1]}), "the seeds of mnist/kmgan"),
    "unknown preset": (changed(needs={"mnist/kmgann": [0]}), "unknown preset mnist/kmgann"),
    "a number as preset": (changed(needs={5: [0]}), "unknown preset 5"),
    "unknown preset of a group": (changed(**GROUPED | {"needs": {"*/nothing": [0]}}), "preset cifar10/nothing"),
    "a star without groups": (changed(**GROUPED | {"groups": {}}), "*/kmgan needs groups"),
    "groups of no profile": (changed(groups={"huge": "mnist"}), "groups maps profiles"),
    "groups that are numbers": (changed(groups={"quick": 5}), "groups maps profiles"),
    "unknown condition": (changed(holds=[{"most": {}}]), "unknown condition most"),
    "no condition": (changed(holds=["it works"]), "one kind and its arguments"),
    "a preset that is not needed": (changed(holds=[EVERY]), "reads mnist/dcgan, which needs does not list"),
    "not needed, in a bound": (
        changed(holds=[{"mean": {"of": "mnist/kmgan", "measure": "a.b", "above": {"of": "mnist/dcgan"}}}]),
        "reads mnist/dcgan",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("entry", "message"), BAD.values(), ids=BAD.keys())
def test_a_claim_that_makes_no_sense_is_named(tmp_path: Path, entry: Any, message: str) -> None:
    with pytest.raises(UsageError) as error:
        claims.load(ledger(tmp_path, X1=ENTRY, X2=entry))
    assert str(error.value).startswith("ledger.yml, X2: ")
    assert message in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "text",
    ["", "- a\n", "5\n", "X1: [\n", "a: b: c\n", "X1: 2020-13-45\n", "\x00",
     "X1: !!python/object/apply:os.system ['touch was-here']\n", "X1: !!python/name:os.system\n"],
)  # fmt: skip
def test_a_file_that_is_no_ledger_is_named_and_runs_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "ledger.yml"
    path.write_text(text)
    with pytest.raises(UsageError) as error:
        claims.load(path)
    assert str(error.value).startswith(str(path))
    assert "\n" not in str(error.value)
    assert [p.name for p in tmp_path.iterdir()] == ["ledger.yml"]


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"nowhere.yml: No such file"):
        claims.load(tmp_path / "nowhere.yml")
    (tmp_path / "latin.yml").write_bytes(b"X1: \xff\xfe\xfa")
    with pytest.raises(UsageError, match=r"latin.yml is not YAML"):
        claims.load(tmp_path / "latin.yml")


def test_the_vocabulary_of_the_ledger_is_explained_where_it_is_written() -> None:
    head = claims.LEDGER.read_text(encoding="utf8").partition("\nC1:")[0]
    assert all(f"{kind}:" in head for kind in vocabulary.KINDS)
    assert all(f"#   {part} " in head or f", {part}" in head for part in claims.PARTS)
