"""What the command line prints about many runs: outcomes and records beside the paper's scores, and the ledger."""

import fnmatch
from collections.abc import Iterable, Sequence
from pathlib import Path

from rich.table import Column, Table

from kmgan_book import records, report
from kmgan_book.claims import MARKS, NOT_RUN, RunSpec, Verdict
from kmgan_book.sweep import Outcome
from kmgan_lib import presets
from kmgan_lib.errors import UsageError

_NUMBERS = {
    "classifier score": report.SCORE, "of the last weights": report.LAST_WEIGHTS, "rarest class": report.RAREST,
}  # fmt: skip


def outcomes(found: Iterable[Outcome]) -> Table:
    """One row per run, with the paper's Inception Score if Table 4 has the system.

    That score has another extractor, so only the order of rows can be compared.
    """
    paper = {preset: report.printed(mean, spread) for _, preset, mean, spread in report.TABLE_4}
    rows = []
    for each in found:
        numbers = (report.span(report.values([each], column), column[2]) for column in _NUMBERS.values())
        minutes = f"{each.result['wall_seconds'] / 60:.1f}" if "wall_seconds" in each.result else "–"
        group, _, preset = each.run.preset.partition("/")
        inception = paper.get(preset, "") if group.startswith("cifar10") else ""
        rows.append((f"{each.run.preset} seed {each.run.seed}", each.status, *numbers, minutes, inception))
    heads = [*_NUMBERS, "minutes"] + ["paper: Inception Score"] * any(row[-1] for row in rows)
    table = Table(Column("run", no_wrap=True), "status", *(Column(head, justify="right") for head in heads))
    for row in rows:
        table.add_row(*row[: len(heads) + 2])
    return table


def line(outcome: Outcome) -> str:
    """One line about a run that ended."""
    name = f"{outcome.run.preset} {outcome.run.profile} seed {outcome.run.seed}"
    scores = report.values([outcome], report.SCORE)
    scored = f", classifier score {report.span(scores)}" if scores else ""
    return f"{name}: {outcome.status}{scored}{f' ({outcome.error})' if outcome.error else ''}"


def recorded(pattern: str, profile: str, *, results: Path = records.RESULTS) -> Table:
    """The records of the presets that match a pattern, at one profile."""
    if profile not in presets.PROFILES:
        raise UsageError(f"unknown profile {profile} (one of {', '.join(presets.PROFILES)})")
    found = [
        Outcome(RunSpec(name, profile, record.seed), record.directory, record.result["status"], "", record.result)
        for record in records.all_records(results=results)
        if fnmatch.fnmatchcase(name := record.result["preset"]["name"], pattern) and record.result["profile"] == profile
    ]
    if not found:
        raise UsageError(f"no {profile} record matches {pattern}: `kmgan records table` shows all")
    return outcomes(found)


def ledger(verdicts: Sequence[Verdict]) -> str:
    """The verdicts, one per line; then each in a sentence with what decided it, or the commands for missing runs."""
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
    """The ledger as a list for the README: one line per verdict, and one for all claims that wait for runs."""
    lines = [f"- {MARKS[v.word]} **{v.claim.name} {v.word}.** {v.sentence}" for v in verdicts if not v.waits]
    wait = [v.claim.name for v in verdicts if v.waits]
    return "\n".join(lines + ([f"- {MARKS[NOT_RUN]} Waiting for runs: {', '.join(wait)}."] if wait else []))
