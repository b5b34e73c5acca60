"""What the command line prints of many runs: outcomes, records, the ledger, and the paper's Table 4 beside ours."""

from __future__ import annotations

import fnmatch
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Group
from rich.table import Column, Table

from kmgan_book import records
from kmgan_book.claims import MARKS, NOT_RUN, Verdict
from kmgan_book.plan import TABLE_4
from kmgan_book.sweep import Outcome
from kmgan_lib import presets
from kmgan_lib.data.images import stands_in
from kmgan_lib.errors import UsageError


def _number(result: dict[str, Any], measure: str, key: str, form: str) -> str:
    value = result.get("metrics", {}).get(measure, {}).get(key)
    return format(value, form) if type(value) in (int, float) else "–"


def _runs(found: Sequence[tuple[str, int, str, dict[str, Any]]]) -> Group:
    """A row a run, of preset, seed, status and result; where rows of Table 4 are among them, that table too."""
    numbers = ("classifier score", "of the last weights", "rarest class", "minutes")
    table = Table(Column("run", no_wrap=True), "status", *(Column(name, justify="right") for name in numbers))
    for name, seed, status, result in found:
        table.add_row(
            f"{name} seed {seed}", status, _number(result, "classifier_score", "value", ".2f"),
            _number(result, "classifier_score", "last_weights_value", ".2f"),
            _number(result, "class_frequency", "value", ".1%"),
            f"{result['wall_seconds'] / 60:.1f}" if "wall_seconds" in result else "–",
        )  # fmt: skip
    # Of each row the first seed; the chapter has the means.
    ours = {name: result for name, _, _, result in sorted(found, key=lambda run: -run[1]) if name.startswith("cifar10")}
    return Group(table, *_table_4(ours))


def line(outcome: Outcome) -> str:
    """One run that ended, in one line."""
    name = f"{outcome.run.preset} {outcome.run.profile} seed {outcome.run.seed}"
    score = _number(outcome.result, "classifier_score", "value", ".2f")
    scored = f", classifier score {score}" if score != "–" else ""
    return f"{name}: {outcome.status}{scored}{f' ({outcome.error})' if outcome.error else ''}"


def outcomes(found: Sequence[Outcome]) -> Group:
    """All runs of a sweep; where rows of Table 4 are among them, that table too."""
    return _runs([(each.run.preset, each.run.seed, each.status, each.result) for each in found])


def _table_4(results: dict[str, dict[str, Any]]) -> list[Table]:
    tables = []
    for group in dict.fromkeys(name.partition("/")[0] for name in results):
        rows = [(row, results[f"{group}/{name}"]) for row, name, *_ in TABLE_4 if f"{group}/{name}" in results]
        if not rows:
            continue
        scores = [result.get("metrics", {}).get("classifier_score", {}) for _, result in rows]
        judge = next((name for s in scores if (name := s.get("extractor", {}).get("name"))), "a classifier")
        source = next((result["data"] for _, result in rows if "data" in result), {"kind": "real"})
        table = Table(
            "row of Table 4", Column("paper: Inception Score", justify="right"),
            Column(f"ours: classifier score of {judge}" + (", stand-in data" if stands_in(source) else ""),
                   justify="right"),
            title=f"{group}: the two columns have different extractors, so only the order of rows compares",
        )  # fmt: skip
        paper = {row: f"{score:.2f}" + (f" ± {spread:.2f}" if spread else "") for row, _, score, spread in TABLE_4}
        for (row, result), score in zip(rows, scores, strict=True):
            spread = f" ± {score['std']:.2f}" if type(score.get("std")) in (int, float) else ""
            ours = f"{score['value']:.2f}{spread}" if "value" in score else str(result.get("status", "failed"))
            table.add_row(row, paper[row], ours)
        tables.append(table)
    return tables


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
