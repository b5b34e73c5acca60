"""Tables and sentences: every number comes from the runs that are passed in."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats

from kmgan_lib import report
from kmgan_lib.records import Record


def record(seed: int, nmi: float | None, status: str = "completed") -> Record:
    result: dict[str, Any] = {
        "seed": seed, "status": status, "profile": "quick", "device": "CPU", "commit": "abc",
        "data": {"kind": "real", "name": "mnist"}, "metrics": {} if nmi is None else {"clustering": {"nmi": nmi}},
    }  # fmt: skip
    return Record(Path("nowhere"), result)


def test_values_leave_out_runs_without_the_measure() -> None:
    assert report.values([record(0, 0.5), record(1, None, "diverged")], report.NMI) == [0.5]


@pytest.mark.parametrize(
    ("numbers", "text"), [([], "–"), ([0.5], "0.50"), ([0.25, 0.75], "0.50 (0.25 to 0.75)")], ids=["none", "one", "two"]
)
def test_span_prints_mean_and_range(numbers: list[float], text: str) -> None:
    assert report.span(numbers) == text


def test_failures_count_the_seeds_below_the_bound() -> None:
    assert report.failures([1.0, report.FAILED, 8.0]) == "1 of 3 seeds"


def test_difference_is_the_paired_t_interval_of_scipy() -> None:
    a, b = [0.5, 0.7, 0.4, 0.9], [0.2, 0.6, 0.5, 0.3]
    low, high = stats.ttest_rel(a, b).confidence_interval(0.95)
    assert report.difference(a, b) == pytest.approx((np.mean(a) - np.mean(b), low, high))


def test_difference_needs_the_same_seeds_at_least_two() -> None:
    for a, b in [([1.0], [1.0]), ([1.0, 2.0], [1.0])]:
        with pytest.raises(ValueError, match="paired differences need"):
            report.difference(a, b)


@pytest.mark.parametrize(
    ("a", "sentence"), [([1.0, 1.1, 1.2], "up"), ([-1.0, -1.1, -1.2], "down"), ([-1.0, 1.0, 0.1], "level")]
)
def test_the_sentence_follows_from_the_interval_over_common_seeds(a: list[float], sentence: str) -> None:
    ours = [record(seed, value) for seed, value in enumerate(a)]
    theirs = [record(seed, 0.0) for seed in (3, 2, 1, 0)]
    texts = {"higher": "up", "lower": "down", "equal": "level"}
    assert report.compared(ours, theirs, report.NMI, **texts) == sentence
    assert "Fewer than two seeds" in report.compared(ours, theirs[:1], report.NMI, **texts)


def test_table_counts_seeds_and_diverged_runs_and_says_what_is_missing() -> None:
    groups = {"one": [record(0, 0.5), record(1, None, "diverged")], "two": []}
    text = report.table(groups, {"NMI": report.NMI}, "recorded · quick")._repr_html_()
    assert "<td>2, 1 diverged</td><td>0.50</td>" in text
    assert "not yet recorded" in text
    assert 'class="badge-recorded"' in text


def test_html_of_names_is_escaped() -> None:
    text = report.table({"<b>": [record(0, 0.5)]}, {"<i>": report.NMI}, "live · <u>")._repr_html_()
    assert not any(tag in text for tag in ("<b>", "<i>", "<u>"))
    assert "<script>" not in report.we_found("<script>", "live")._repr_html_()


def test_the_badge_of_records_names_seeds_device_and_commit() -> None:
    groups = {"a": [record(0, 0.1), record(1, 0.2)], "b": [record(1, 0.3)]}
    assert report.made_by(groups) == "recorded · quick · mnist · 2 seeds · CPU · commit abc"
    assert report.made_by({"a": []}) == "not yet recorded"
