"""Tables and sentences: every number comes from the runs that are passed in."""

from pathlib import Path
from typing import Any

import pytest

from kmgan_book import report
from kmgan_book.records import Record


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


def test_numbers_have_decimals_a_format_or_are_p_values() -> None:
    assert report.span([0.1234], ".1%") == "12.3%"
    assert [report.span([p], "p") for p in (0.0004, 0.25)] == ["< 0.001", "0.250"]


def test_failures_count_the_seeds_below_the_bound() -> None:
    assert report.failures([1.0, report.FAILED, 8.0]) == "1 of 3 seeds"


def test_table_counts_seeds_and_diverged_runs_and_says_what_is_missing() -> None:
    groups = {
        "one": [record(0, 0.5), record(1, None, "diverged")],
        "two": [],
        "three": [record(0, 0.2), record(1, 0.4)],
    }
    columns = {"NMI": report.NMI, "score": report.SCORE, "share": ("clustering", "nmi", ".0%")}
    text = report.table(groups, columns, "recorded · quick")._repr_html_()
    assert "<td>2, 1 diverged</td><td>0.50</td><td>50%</td>" in text
    assert '<td>0.30<br><span class="range">0.20 to 0.40</span></td>' in text
    assert "score" not in text  # nobody has one
    assert "<p>Not yet recorded: two.</p>" in text
    assert 'class="badge-recorded"' in text


def test_html_of_names_is_escaped() -> None:
    text = report.table({"<b>": [record(0, 0.5)]}, {"<i>": report.NMI}, "live · <u>")._repr_html_()
    assert not any(tag in text for tag in ("<b>", "<i>", "<u>"))
    assert "<script>" not in report.we_found("<script>", "live")._repr_html_()


def test_the_badge_of_records_names_seeds_device_and_commit() -> None:
    groups = {"a": [record(0, 0.1), record(1, 0.2)], "b": [record(1, 0.3)]}
    assert report.made_by(groups) == "recorded · quick · mnist · 2 seeds · CPU · commit abc"
    assert report.made_by({"a": []}) == "not yet recorded"
