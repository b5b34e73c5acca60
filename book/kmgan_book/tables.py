"""What the command line prints of many runs: outcomes, records, the ledger, and the paper's Table 4 beside ours."""

import fnmatch
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from rich.console import Group
from rich.table import Column, Table

from kmgan_book import records
from kmgan_book.claims import MARKS, NOT_RUN, Verdict
from kmgan_book.report import TABLE_4
from kmgan_book.sweep import Outcome
from kmgan_lib import presets
from kmgan_lib.data.images import stands_in
from kmgan_lib.errors import UsageError

# Columns of numbers: measure, key and form.
_NUMBERS = {
    "classifier score": ("classifier_score", "value", ".2f"),
    "of the last weights": ("classifier_score", "last_weights_value", ".2f"),
    "rarest class": ("class_frequency", "value", ".1%"),
}


def _number(result: dict[str, Any], measure: str, key: str, form: str) -> str:
    value = result.get("metrics", {}).get(measure, {}).get(key)
    return format(value, form) if type(value) in (int, float) else "–"


def _runs(found: Sequence[tuple[str, int, str, dict[str, Any]]]) -> Group:
    """A row a run, of preset, seed, status and result; where rows of Table 4 are among them, that table too."""
    heads = (*_NUMBERS, "minutes")
    table = Table(Column("run", no_wrap=True), "status", *(Column(head, justify="right") for head in heads))
    for name, seed, status, result in found:
        numbers = (_number(result, *each) for each in _NUMBERS.values())
        minutes = f"{result['wall_seconds'] / 60:.1f}" if "wall_seconds" in result else "–"
        table.add_row(f"{name} seed {seed}", status, *numbers, minutes)
    # Of each row the first seed; the chapter has the means.
    ours = {name: result for name, _, _, result in sorted(found, key=lambda run: -run[1]) if name.startswith("cifar10")}
    return Group(table, *_table_4(ours))


def line(outcome: Outcome) -> str:
    """One run that ended, in one line."""
    name = f"{outcome.run.preset} {outcome.run.profile} seed {outcome.run.seed}"
    score = _number(outcome.result, *_NUMBERS["classifier score"])
    scored = f", classifier score {score}" if score != "–" else ""
    return f"{name}: {outcome.status}{scored}{f' ({outcome.error})' if outcome.error else ''}"


def outcomes(found: Sequence[Outcome]) -> Group:
    """All runs of a sweep; where rows of Table 4 are among them, that table too."""
    return _runs([(each.run.preset, each.run.seed, each.status, each.result) for each in found])


def _table_4(results: dict[str, dict[str, Any]]) -> Iterator[Table]:
    for group in dict.fromkeys(name.partition("/")[0] for name in results):
        lines = [(line, found) for line in TABLE_4 if (found := results.get(f"{group}/{line[1]}")) is not None]
        scores = [found.get("metrics", {}).get("classifier_score", {}) for _, found in lines]
        judge = next((name for s in scores if (name := s.get("extractor", {}).get("name"))), "a classifier")
        source = next((found["data"] for _, found in lines if "data" in found), {"kind": "real"})
        ours = f"ours: classifier score of {judge}" + (", stand-in data" if stands_in(source) else "")
        heads = (Column(head, justify="right") for head in ("paper: Inception Score", ours))
        title = f"{group}: the two columns have different extractors, so only the order of rows compares"
        table = Table("row of Table 4", *heads, title=title)
        for ((row, _, paper, spread), found), score in zip(lines, scores, strict=True):
            own = f" ± {score['std']:.2f}" if type(score.get("std")) in (int, float) else ""
            reached = f"{score['value']:.2f}{own}" if "value" in score else str(found.get("status", "failed"))
            table.add_row(row, f"{paper:.2f}" + (f" ± {spread:.2f}" if spread else ""), reached)
        if lines:
            yield table


def recorded(pattern: str, profile: str, *, results: Path = records.RESULTS) -> Group:
    """The records of the presets that match a pattern, at one profile."""
    if profile not in presets.PROFILES:
        raise UsageError(f"unknown profile {profile} (one of {', '.join(presets.PROFILES)})")
    found = [
        (result["preset"]["name"], result["seed"], result["status"], result)
        for result in (record.result for record in records.everything(results=results))
        if fnmatch.fnmatchcase(result["preset"]["name"], pattern) and result["profile"] == profile
    ]
    if not found:
        raise UsageError(f"no {profile} record matches {pattern}: `kmgan records table` shows all")
    return _runs(found)


def ledger(verdicts: Sequence[Verdict]) -> str:
    """The verdicts, a line each; then each in a sentence with what decided it, or the commands for what is missing."""
    lines = [f"{v.claim.name:4} {v.word:30} {v.claim.title}" for v in verdicts]
    for verdict in verdicts:
        claim = verdict.claim
        lines += ["", f"{claim.name} {verdict.word}: {claim.title}", f"   {verdict.sentence}"]
        texts = {"": verdict.strength, "Rule: ": claim.rule, "By eye: ": claim.eye}
        lines += [f"   {name}{text}" for name, text in texts.items() if text]
        lines += [
            f"   {'yes' if finding.true else 'no':4} ({role}) {finding.text}"
            for finding, role in verdict.findings.items()
        ]
        lines += [f"   {command}" for command in verdict.commands]
    return "\n".join(lines)


def markdown(verdicts: Sequence[Verdict]) -> str:
    """The ledger as a list for the README: a line per verdict that is given, and one for all that wait for runs."""
    lines = [f"- {MARKS[v.word]} **{v.claim.name} {v.word}.** {v.sentence}" for v in verdicts if not v.waits]
    wait = [v.claim.name for v in verdicts if v.waits]
    return "\n".join(lines + ([f"- {MARKS[NOT_RUN]} Waiting for runs: {', '.join(wait)}."] if wait else []))
