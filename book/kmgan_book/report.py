"""Tables, boxes and sentences of the book, computed from runs and records, so that no number is typed by hand."""

import base64
import io
import re
from collections.abc import Container, Iterable, Mapping, Sequence
from html import escape
from typing import Any

import numpy as np
from PIL import Image

from kmgan_book import claims, records
from kmgan_book.conditions import FAILED
from kmgan_book.records import Record
from kmgan_book.sweep import Outcome
from kmgan_lib.training.run import Run

SEEDS = range(10)  # what pages compare; a rule that asks for other seeds shows its own
# A column of a table: measure and key in result.json, and how many decimals to print, or the form of a number.
Column = tuple[str, str, int | str]
SCORE: Column = ("classifier_score", "value", 2)
LAST_WEIGHTS: Column = ("classifier_score", "last_weights_value", 2)
FRECHET: Column = ("classifier_frechet", "value", 1)
LAST_FRECHET: Column = ("classifier_frechet", "last_weights_value", 1)
WITHIN: Column = ("within_class", "value", 2)
COVERAGE: Column = ("coverage", "coverage", 2)
RAREST: Column = ("class_frequency", "value", ".1%")
NMI: Column = ("clustering", "nmi", 2)
ACCURACY: Column = ("clustering", "accuracy", 2)
# Table 4 of the paper: row, preset behind the slash, Inception Score and its spread (none printed for ALI).
TABLE_4: tuple[tuple[str, str, float, float | None], ...] = (
    ("MBGAN", "mbgan", 4.27, 0.07), ("MLGAN-clipping", "mlgan-clip", 5.23, 0.29), ("DCGAN", "dcgan", 5.37, 0.06),
    ("MIX + WGAN", "mix_wgan", 4.04, 0.07), ("Improved GANs", "improved_gan", 4.36, 0.04), ("ALI", "ali", 4.79, None),
    ("Wasserstein GANs", "wgan", 3.82, 0.06), ("KM-GAN", "kmgan", 5.39, 0.05),
)  # fmt: skip


class Html:
    """A piece of HTML that Jupyter shows as it is."""

    def __init__(self, text: str):
        self.text = text

    def _repr_html_(self) -> str:
        return self.text


def data_url(image: Image.Image | bytes, **options: Any) -> str:
    """A data URL that contains a whole image, given as an image to encode or as a file's bytes."""
    if isinstance(image, Image.Image):
        buffer = io.BytesIO()
        image.save(buffer, format="WEBP", **options)
        image = buffer.getvalue()
    return f"data:image/webp;base64,{base64.b64encode(image).decode()}"


def badge_html(text: str) -> str:
    """The badge of a result, as HTML: what produced it, and whether it is recorded or live."""
    kind = "badge-live" if text.startswith("live") else "badge-recorded"
    return f'<span class="{kind}">{escape(text)}</span>'


def we_found(text: str, provenance: str) -> Html:
    """A *We found* box: text with computed numbers, and the badge of what they were computed from."""
    return Html(
        '<div class="admonition we-found"><p class="admonition-title">We found</p>'
        f"<p>{escape(text)}</p><p>{badge_html(provenance)}</p></div>"
    )


def anchor(word: str) -> str:
    """The class of a verdict's word on the page."""
    own = {claims.HOLDS: "holds", claims.PARTLY: "partly", claims.FAILS: "fails"}
    return f"verdict-{own.get(word, 'open')}"


def _rich(text: str) -> str:
    """Text as HTML, with code between backticks."""
    return re.sub("`([^`]+)`", r"<code>\1</code>", escape(text))


def verdict_text(found: claims.Verdict, when: str = "") -> str:
    """The verdict in a word and a sentence, what it rests on, and, folded, how (and when) it was decided."""
    claim = found.claim
    beside = (("By eye", claim.eye), ("Before", claim.before), ("When", when))
    more = "".join(f"<p><em>{name}:</em> {_rich(text)}</p>" for name, text in beside if text)
    lines = [
        f"{'Yes' if finding.true else 'No'} ({escape(role)}): {escape(finding.text)}"
        for finding, role in found.findings.items()
    ]
    made = ""
    if found.waits:
        made = "<p>The missing records are made by</p>"
        lines = [f"<code>{escape(command)}</code>" for command in found.commands]
    return (
        f'<p><span class="verdict {anchor(found.word)}">{escape(found.word)}</span> {escape(found.sentence)}</p>'
        f'<p class="strength">{escape(found.strength)}</p>'
        f'<details class="decided"><summary>How this {"will be" if found.waits else "was"} decided</summary>'
        f"<p><em>{_rich(claim.rule)}</em></p>{made}<ul>{''.join(f'<li>{line}</li>' for line in lines)}</ul>"
        f"{more}<p>{badge_html(records.badge(found.records))}</p></details>"
    )


def verdict(name: str) -> Html:
    """The box with the verdict on one claim of the ledger."""
    claim = {claim.name: claim for claim in claims.load()}[name]
    return Html(
        f'<div class="admonition we-found" id="verdict-{name}"><p class="admonition-title">Verdict on {name}: '
        f"{escape(claim.title)}</p>{verdict_text(claims.verdict(claim))}</div>"
    )


def printed(mean: float, spread: float | None) -> str:
    """A score as the paper prints it."""
    return f"{mean:.2f}" + (f" ± {spread:.2f}" if spread else "")


def table_4() -> Html:
    """The paper's Table 4 with our scores beside its Inception Scores; the extractors differ, and the table says so."""
    rows, everything, others = [], [], (FRECHET, COVERAGE)
    for row, name, paper, spread in TABLE_4:
        found = records.load(f"cifar10-32/{name}", "long")
        everything += found
        scores = values(found, SCORE)
        failed = f", {sum(score < FAILED for score in scores)} failed" if scores else ""
        count = f"{len(found)}{failed}" if found else "not yet recorded"
        rows.append(
            [escape(row), printed(paper, spread), _cell(found, SCORE), count, *(_cell(found, c) for c in others)]
        )
    if everything:
        begun = [_cell(everything, (column[0], "untrained_value", column[2])) for column in (SCORE, FRECHET)]
        rows.append(["untrained", "–", begun[0], "", begun[1], "–"])
    heads = ["", "paper: Inception Score", "ours: classifier score", "seeds", "ours: Fréchet distance", "coverage"]
    return Html(f"{html_table(heads, rows)}<p>{badge_html(records.badge(everything))}</p>")


def html_table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table of HTML cells; a column in which no row has a value is left out."""
    kept = [i for i in range(len(heads)) if i == 0 or any(row[i] not in ("–", "") for row in rows)] if rows else []
    head = "".join(f"<th>{heads[i]}</th>" if heads[i] else "<td></td>" for i in kept)
    body = "".join("<tr>" + "".join(f"<td>{row[i]}</td>" for i in kept) + "</tr>" for row in rows)
    return f'<table class="dataframe"><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>' if rows else ""


def _cell(group: Sequence[Record | Run], column: Column) -> str:
    """A mean with its range below it, as HTML; and below that the number of seeds, if some lack the measure."""
    numbers = values(group, column)
    if not numbers:
        return "–"
    mean, low, high = _texts(numbers, column[2])
    notes = [f"{low} to {high}"] if low != high else []
    completed = sum(run.result["status"] != "diverged" for run in group)
    if len(numbers) < completed and column[1] != "untrained_value":
        notes.append(f"{len(numbers)} of {completed} seeds")
    return "<br>".join([escape(mean), *(f'<span class="range">{escape(note)}</span>' for note in notes)])


def values(group: Iterable[Record | Run | Outcome], column: Column) -> list[float]:
    """One number for each run of a group; runs without this measure are left out."""
    measure, key, _ = column
    found = [run.result.get("metrics", {}).get(measure, {}).get(key) for run in group]
    return [float(value) for value in found if value is not None]


def span(numbers: Sequence[float], form: int | str = 2) -> str:
    """Mean and range, ``8.21 (8.05 to 8.40)``; a single number by itself; a dash for none.

    `form` is the number of decimals, a format such as ``.1%``, or ``p`` for p-values.
    """
    if len(numbers) == 0:
        return "–"
    mean, low, high = _texts(numbers, form)
    return mean if len(numbers) == 1 else f"{mean} ({low} to {high})"


def _texts(numbers: Sequence[float], form: int | str) -> list[str]:
    """Mean, least and largest number in the form of `span`."""
    code = ".3f" if form == "p" else form if isinstance(form, str) else f".{form}f"
    three = float(np.mean(numbers)), min(numbers), max(numbers)
    return ["< 0.001" if form == "p" and value < 0.001 else format(value, code) for value in three]


def failures(scores: Sequence[float]) -> str:
    """How many of the seeds have a classifier score below `FAILED`, ``1 of 3 seeds``."""
    return f"{sum(score < FAILED for score in scores)} of {len(scores)} seeds"


def table(groups: Mapping[str, Sequence[Record | Run]], columns: Mapping[str, Column], provenance: str) -> Html:
    """One line per group of runs: how many seeds, how many diverged, and mean (range) of each column.

    If the runs have measures of their untrained generators, the last line shows these. Empty groups are named
    below the table as not yet recorded; a column in which no group has a value is left out.
    """
    rows = []
    for name, group in groups.items():
        if group:
            diverged = sum(run.result["status"] == "diverged" for run in group)
            count = f"{len(group)}" + (f", {diverged} diverged" if diverged else "")
            rows.append([escape(name), count, *(_cell(group, column) for column in columns.values())])
    members = [run for group in groups.values() for run in group]
    begun = [
        _cell(members, (name, "untrained_value", form)) if key == "value" else "–"
        for name, key, form in columns.values()
    ]
    if set(begun) - {"–"}:
        rows.append(["untrained", "", *begun])
    missing = "; ".join(escape(name) for name, group in groups.items() if not group)
    waits = f"<p>Not yet recorded: {missing}.</p>" if missing else ""
    means = '<span class="range">means and ranges</span>'
    body = html_table([means, *map(escape, ["seeds", *columns])], rows)
    return Html(f"{body}{waits}<p>{badge_html(provenance)}</p>")


def recorded(
    presets: Mapping[str, str], profile: str = "quick", *, seeds: Container[int] = SEEDS
) -> dict[str, list[Record]]:
    """Records of several presets with these seeds: legend to preset becomes legend to records."""
    return {
        legend: [record for record in records.load(preset, profile) if record.seed in seeds]
        for legend, preset in presets.items()
    }


def largest(preset: str) -> str:
    """The largest profile at which there are records of a preset."""
    return next((profile for profile in claims.PROFILES if records.load(preset, profile)), "quick")


def larger(presets: Mapping[str, str], columns: Mapping[str, Column]) -> Html:
    """`table` of the presets, by legend, that have records at a larger profile than `quick`, if any have."""
    parts = (
        f"<p>At the profile <code>{profile}</code>:</p>{table(found, columns, provenance(found)).text}"
        for profile in claims.PROFILES[: claims.PROFILES.index("quick")]
        if (found := {legend: group for legend, group in recorded(presets, profile).items() if group})
    )
    return Html("".join(parts))


def provenance(groups: Mapping[str, Sequence[Any]]) -> str:
    """One badge for everything in ``groups``: for all records together, or for the live runs."""
    members = [run for group in groups.values() for run in group]
    return next((run.label for run in members if isinstance(run, Run)), None) or records.badge(members)
