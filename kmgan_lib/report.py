"""Tables and sentences of the book, computed from runs and records so that no number in it is typed by hand."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from scipy import stats

from kmgan_lib import records
from kmgan_lib.records import Record
from kmgan_lib.run import Run

# A column of a table: measure and key in result.json, and how many decimals to print.
Column = tuple[str, str, int]
SCORE: Column = ("classifier_score", "value", 2)
LAST_WEIGHTS: Column = ("classifier_score", "last_weights_value", 2)
RAREST: Column = ("class_frequency", "value", 3)
NMI: Column = ("clustering", "nmi", 2)
ACCURACY: Column = ("clustering", "accuracy", 2)


FAILED = 3.0  # a classifier score below this, of 10, is a failed run: less than a third of what is possible


class Html:
    """A piece of HTML that Jupyter shows as it is."""

    def __init__(self, text: str):
        self.text = text

    def _repr_html_(self) -> str:
        return self.text


def _badge(text: str) -> str:
    kind = "badge-live" if text.startswith("live") else "badge-recorded"
    return f'<span class="{kind}">{html.escape(text)}</span>'


def we_found(text: str, made_by: str) -> Html:
    """A *We found* box: text with numbers that were computed, and the badge of what they were computed from."""
    return Html(
        '<div class="admonition we-found"><p class="admonition-title">We found</p>'
        f"<p>{html.escape(text)}</p><p>{_badge(made_by)}</p></div>"
    )


def values(group: Sequence[Record | Run], column: Column) -> list[float]:
    """One number of each completed run of a group; runs without this measure are left out."""
    measure, key, _ = column
    found = [run.result["metrics"].get(measure, {}).get(key) for run in group]
    return [float(value) for value in found if value is not None]


def span(numbers: Sequence[float], digits: int = 2) -> str:
    """Mean and range, ``8.21 (8.05 to 8.40)``; one number alone as it is; a dash for none."""
    if len(numbers) == 0:
        return "–"
    if len(numbers) == 1:
        return f"{numbers[0]:.{digits}f}"
    return f"{np.mean(numbers):.{digits}f} ({min(numbers):.{digits}f} to {max(numbers):.{digits}f})"


def failures(scores: Sequence[float]) -> str:
    """How many of the seeds have a classifier score below `FAILED`, ``1 of 3 seeds``."""
    return f"{sum(score < FAILED for score in scores)} of {len(scores)} seeds"


def difference(a: Sequence[float], b: Sequence[float]) -> tuple[float, float, float]:
    """Mean of the paired differences a - b over seeds and its 95 % interval (Student's t).

    Parameters
    ----------
    a, b : sequence of float
        Values of the same seeds in the same order, at least two.

    Returns
    -------
    mean, low, high : float
    """
    if len(a) != len(b) or len(a) < 2:
        raise ValueError(f"{len(a)} and {len(b)} values: paired differences need equally many seeds, at least two")
    gaps = np.asarray(a) - np.asarray(b)
    half = float(stats.t.ppf(0.975, len(gaps) - 1) * stats.sem(gaps))
    return float(gaps.mean()), float(gaps.mean()) - half, float(gaps.mean()) + half


def compared(
    a: Sequence[Record | Run], b: Sequence[Record | Run], column: Column, *, higher: str, lower: str, equal: str
) -> str:
    """One of three sentences, by the interval of `difference` over the seeds of both: above 0, below 0, or around it.

    With fewer than two common seeds there is no interval, and a sentence says so.
    """
    ours, theirs = ({run.seed: values([run], column) for run in group} for group in (a, b))
    common = [seed for seed in ours if ours[seed] and theirs.get(seed)]
    if len(common) < 2:
        return "Fewer than two seeds of both are recorded, so nothing can be compared yet. "
    _, low, high = difference([ours[seed][0] for seed in common], [theirs[seed][0] for seed in common])
    return higher if low > 0 else lower if high < 0 else equal


def table(groups: Mapping[str, Sequence[Record | Run]], columns: Mapping[str, Column], made_by: str) -> Html:
    """A line a group of runs: how many seeds, how many diverged, and mean (range) of each column.

    Parameters
    ----------
    groups : mapping
        Name to runs or records; an empty group says that it is not yet recorded.
    columns : mapping
        Heading to what stands below it.
    made_by : str
        The badge.
    """
    heads = "<td></td>" + "".join(f"<th>{html.escape(text)}</th>" for text in ["seeds", *columns])
    lines = []
    for name, group in groups.items():
        diverged = sum(run.result["status"] == "diverged" for run in group)
        count = f"{len(group)}" + (f", {diverged} diverged" if diverged else "") if group else "not yet recorded"
        cells = [html.escape(name), count, *(span(values(group, c), c[2]) for c in columns.values())]
        lines.append("<tr>" + "".join(f"<td>{cell}</td>" for cell in cells) + "</tr>")
    body = f'<table class="dataframe"><thead><tr>{heads}</tr></thead><tbody>{"".join(lines)}</tbody></table>'
    return Html(f"{body}<p>{_badge(made_by)}</p>")


def recorded(presets: Mapping[str, str], profile: str = "quick") -> dict[str, list[Record]]:
    """Records of several presets: legend to preset becomes legend to records."""
    return {legend: records.load(preset, profile) for legend, preset in presets.items()}


def made_by(groups: Mapping[str, Sequence[Any]]) -> str:
    """The badge of everything in ``groups``: of all records together, or of the live runs."""
    members = [run for group in groups.values() for run in group]
    live = [run for run in members if isinstance(run, Run)]
    if live:
        return live[0].label
    return records.badge(members)
