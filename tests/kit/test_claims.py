"""The ledger: how a verdict follows from records, the verdicts of the book, and since when a rule stands."""

import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from kmgan_book import claims, records, report, tables
from kmgan_book.claims import FAILS, HOLDS, NOT_RUN, UNDECIDED, UNTESTABLE, RunSpec
from kmgan_lib import presets
from kmgan_lib.errors import UsageError
from kmgan_lib.metrics import METRICS
from kmgan_pages import dates

from ..conftest import MadeUp
from .conftest import Patch, commit

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


def judged(results: Path, **changes: Any) -> claims.Verdict:
    """The verdict on a claim like the one above."""
    (verdict,) = claims.verdicts(ledger(results, X1={**ENTRY, **changes}), results=results)
    return verdict


@pytest.fixture
def results(made_up: MadeUp, tmp_path: Path) -> Callable[..., Path]:
    """Return a function that makes up records with these scores, of the seeds from 0 on."""

    def make(*scores: float | None, **options: Any) -> Path:
        for seed, score in enumerate(scores):
            made_up(tmp_path, seed=seed, score=score, **options)
        return tmp_path

    return make


def test_an_undecided_claim_says_what_would_decide_it(results: Callable[..., Path]) -> None:
    folder, texts = results(9.0, 5.0), {"eye": "The images are grey.", "before": "It held before."}
    for decides, outlook in ((12, "About 12 seeds of each preset would decide it."), (None, "The seeds disagree, ")):
        verdict = judged(folder, **texts, decides=decides)
        assert verdict.strength.startswith(f"2 quick runs. {outlook}")
        box = report.verdict_text(verdict)
        assert all(text in box for text in (outlook, *texts.values(), "No (for): ", "No (against): "))
        assert verdict.strength in tables.ledger([verdict])


def test_what_cannot_be_tested_whatever_is_missing_waits_for_no_run(made_up: MadeUp, tmp_path: Path) -> None:
    entry = {**ENTRY, "needs": {"mnist/kmgan": [0, 1], "mnist/dcgan": [0]}, "gate": GATE}
    entry["beside"] = [{"count": {"of": "mnist/dcgan", "failed": True, "all": True}}]
    made_up(tmp_path, seed=0, score=3.5)
    assert judged(tmp_path, **entry).word == NOT_RUN
    made_up(tmp_path, seed=1, score=3.5)
    verdict = judged(tmp_path, **entry)
    assert (verdict.word, verdict.waits, len(verdict.missing)) == (UNTESTABLE, False, 1)
    assert verdict.strength == "2 quick runs. The other 1 that the rule asks for could not change it."
    assert claims.missing_runs("quick", ledger(tmp_path, X1=entry), results=tmp_path) == []
    reached = [{"mean": {"of": "mnist/kmgan", "measure": "classifier_score.value", "above": 3}}]
    verdict = judged(tmp_path, **{**entry, "gate": reached})
    assert (verdict.word, len(verdict.missing)) == (NOT_RUN, 1)


def test_a_missing_seed_or_measure_is_not_yet_run_and_named_with_its_command(results: Callable[..., Path]) -> None:
    folder = results(9.0)
    verdict = judged(folder)
    assert (verdict.word, verdict.profile, verdict.findings) == (NOT_RUN, "quick", {})
    assert verdict.sentence == "Waits for 1 of 2 runs: mnist/kmgan (1)."
    assert verdict.commands == ["kmgan sweep --profile quick --only mnist/kmgan --seeds 1"]
    assert verdict.missing == [RunSpec("mnist/kmgan", "quick", 1)]
    rule = [{"every": {"of": "mnist/kmgan", "measure": "interpolation.largest_step", "below": 0.2}}]
    assert [needed.seed for needed in judged(folder, holds=rule).missing] == [0, 1]
    shutil.rmtree(records.place("mnist/kmgan", "quick", 0, results=folder))
    results(None, None)  # diverged, they have no measures and are not missing
    assert judged(folder, holds=rule).word == UNTESTABLE


def test_only_the_seeds_that_a_rule_names_count(results: Callable[..., Path]) -> None:
    beside = [{"count": {"of": "mnist/kmgan", "failed": True, "all": True}}]  # is shown and decides nothing
    folder = results(5.0, 9.0, 9.0)
    verdict = judged(folder, needs={"mnist/kmgan": [1, 2]}, beside=beside)
    assert (verdict.word, [record.seed for record in verdict.records]) == (HOLDS, [1, 2])
    assert [finding.true for finding, role in verdict.findings.items() if "beside" in role] == [False]
    assert judged(folder, needs={"mnist/kmgan": [0, 1, 2]}).word == UNDECIDED


def test_the_paper_s_scale_decides_as_soon_as_it_is_complete(made_up: MadeUp, results: Callable[..., Path]) -> None:
    folder = results(9.0, 9.0)
    made_up(folder, seed=0, profile="paper", score=5.0)
    assert judged(folder).word == HOLDS
    made_up(folder, seed=1, profile="paper", score=5.0)
    verdict = judged(folder)
    assert (verdict.word, verdict.profile) == (FAILS, "paper")
    assert {record.result["profile"] for record in verdict.records} == {"paper"}
    path = ledger(folder, X1={**ENTRY, "profiles": ["long"]})
    assert claims.verdicts(path, results=folder)[0].word == NOT_RUN
    assert [len(claims.missing_runs(profile, path, results=folder)) for profile in claims.PROFILES] == [0, 2, 0]


GROUPED = {
    "groups": {"quick": "cifar10-32", "paper": "cifar10"}, "needs": {"*/kmgan": [0]},
    "holds": [{"every": {"of": "*/kmgan", "measure": "classifier_score.value", "above": 8}}],
    "fails": [{"every": {"of": "*/kmgan", "measure": "classifier_score.value", "below": 6}}],
    "partly": [], "untestable": [],
}  # fmt: skip


def test_a_star_stands_for_the_profile_s_group(made_up: MadeUp, tmp_path: Path) -> None:
    path = ledger(tmp_path, X1={**ENTRY, **GROUPED})
    (claim,) = claims.load(path)
    assert claims.verdict(claim, results=tmp_path).missing == [RunSpec("cifar10-32/kmgan", "quick", 0)]
    assert claims.missing_runs("paper", path, results=tmp_path) == [RunSpec("cifar10/kmgan", "paper", 0)]
    assert claims.measures_of("cifar10/kmgan", "paper", [claim]) == ["classifier_score"]
    assert claims.measures_of("cifar10/kmgan", "quick", [claim]) == []
    made_up(tmp_path, "cifar10-32/kmgan", score=9.0)
    verdict = claims.verdict(claim, results=tmp_path)
    assert verdict.word == HOLDS
    assert "cifar10-32/kmgan" in verdict.parts["holds"][0].text


def test_the_book_s_ledger_reads_what_its_presets_have_and_keeps_rules_that_changed() -> None:
    found = claims.load()
    assert [claim.name for claim in found] == [*(f"C{i + 1}" for i in range(15)), "P1", "P2", "P3", "P4"]
    for claim in found:
        assert claim.before or claim.name in ("C13", "P1", "P2", "P3")
        # A field that is indented too far becomes a part of the text above it.
        assert not re.search(r"\n|\b\w+: [\d[{]", claim.rule + claim.before + claim.eye + claim.flips), claim.name
        for preset, measure in claim.measures():
            name = measure.partition(".")[0]
            own = [presets.PRESETS[claim.preset(preset, profile)] for profile in claim.profiles]
            assert name == "history" or all(map(METRICS[name].applies, own))


EVERY = {"every": {"of": "mnist/dcgan", "measure": "classifier_score.value", "above": 8}}
BAD: list[tuple[dict[str, Any], str]] = [
    ({"colour": "red"}, "colour=red: Extra"), ({"rule": ""}, "rule="), ({"holds": []}, "holds: List"),
    ({"section": 3.1}, "section=3.1: Input should be a valid string"), ({"partly": 5}, "partly=5: "),
    ({"flips": 3}, "flips=3: "), ({"decides": 2.5}, "decides=2.5: "), ({"chapter": "a/b"}, "chapter=a/b: "),
    ({"calls": {"mnist/dcgan": "D"}}, "mnist/dcgan is not in needs"),
    ({"profiles": ["huge"]}, "profiles.0=huge: String should match pattern '^(paper|long|quick)$'"),
    ({"profiles": []}, "profiles: List"), ({**GROUPED, "profiles": ["long"]}, "stands for at long"),
    ({"needs": ["mnist/kmgan"]}, "needs: "), ({"needs": {"mnist/kmgan": []}}, "needs.mnist/kmgan: List"),
    ({"needs": {"mnist/kmgan": [-1]}}, "needs.mnist/kmgan.0=-1: "), ({"needs": {5: [0]}}, "needs.5=5: "),
    ({"needs": {"mnist/kmgann": [0]}}, "unknown preset mnist/kmgann"),
    ({**GROUPED, "needs": {"*/nothing": [0]}}, "preset cifar10/nothing"),
    ({**GROUPED, "groups": {}}, "*/kmgan needs groups"), ({"groups": {"huge": "mnist"}}, "groups.huge=huge: "),
    ({"holds": [{"most": {}}]}, "holds.0.most: Extra"), ({"holds": [EVERY]}, "mnist/dcgan, which needs does not list"),
    ({"says": {"maybe": "x"}}, "says.maybe=maybe: "), ({"says": ["x"]}, "says: "),
    ({"says": {"holds": "{median mnist/kmgan x.y}"}}, "says holds: {median mnist/kmgan x.y}: the rule"),
]  # fmt: skip


def test_a_claim_that_makes_no_sense_and_a_file_that_is_no_ledger_are_named(tmp_path: Path) -> None:
    for changes, message in BAD:
        path = ledger(tmp_path, X1=ENTRY, X2={**ENTRY, **changes})
        with pytest.raises(UsageError, match=f"^ledger.yml, X2: .*{re.escape(message)}.*$"):
            claims.load(path)
    path = tmp_path / "ledger.yml"
    for text in (b"", b"- a\n", b"X1: [\n", b"X1: 2020-13-45\n", b"\x00", b"X1: \xff\xfe", b"X1: 5"):
        path.write_bytes(text)
        with pytest.raises(UsageError, match=f"^({path}|ledger.yml, X1: a claim must be).*$"):
            claims.load(path)


def test_a_rule_is_as_old_as_what_decides_and_runs_are_counted_from_there(tmp_path: Path, monkeypatch: Patch) -> None:
    record = tmp_path / "book" / "results" / "mnist" / "kmgan" / "quick-seed0"
    record.mkdir(parents=True)
    path = tmp_path / "book" / "claims.yml"
    monkeypatch.setattr(dates, "LEDGER", path)
    rules = ({**ENTRY, "needs": {"mnist/kmgan": [9]}}, ENTRY, {**ENTRY, "rule": "The same in other words."}, ENTRY)

    def commit_rule(at: int) -> str:
        path.write_text(yaml.safe_dump({"X1": rules[at]}))
        return commit(tmp_path, at)

    old, new, _ = map(commit_rule, range(3))

    def said(code: str) -> str:
        for cached in (dates.rules, dates._commits, dates._recordings):
            cached.cache_clear()
        (claim,) = claims.load(path)
        run = claims.Record(directory=record, result={"commit": code, "seed": 0})
        return dates.sentence(claims.Verdict(claim, claims.HOLDS, "quick", {}, [], {"mnist/kmgan": [run]}))

    assert said(new) == "The rule has stood unchanged since 14 November 2023, 23:13 UTC."
    (record / "result.json").write_text("{}")
    commit_rule(3)
    assert "recorded from 15 November 2023, 01:13 UTC" in said(new)
    assert said(new[:12]).endswith("; 1 of 1 were trained with code that contains it.")
    assert said(old[:12]).endswith("; 0 of 1 were trained with code that contains it.")
    shutil.rmtree(tmp_path / ".git")
    assert said(new) == ""
    dates.rules.cache_clear()
