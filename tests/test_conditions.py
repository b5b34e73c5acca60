from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from kmgan_lib import conditions
from kmgan_lib.errors import UsageError
from kmgan_lib.records import Record

SCORE = "classifier_score.value"


def group(*scores: float | None, seeds: list[int] | None = None, other: float = 1.0) -> list[Record]:
    """Records with these classifier scores; None diverged."""
    made = []
    for seed, score in zip(seeds or range(len(scores)), scores, strict=True):
        measures = {} if score is None else {"classifier_score": {"value": score, "other": other}}
        status = "diverged" if score is None else "completed"
        made.append(Record(Path("nowhere"), {"seed": seed, "status": status, "metrics": measures}))
    return made


def found(kind: str, groups: dict[str, list[Record]], **arguments: Any) -> tuple[bool, str]:
    condition = {kind: arguments}
    assert {preset for preset, _ in conditions.reads(condition)} <= set(groups)
    finding = conditions.find(condition, groups)
    return finding.true, finding.text


def holds(kind: str, groups: dict[str, list[Record]], **arguments: Any) -> bool:
    return found(kind, groups, **arguments)[0]


@pytest.mark.parametrize(
    ("scores", "every_one", "no_one"),
    [((8, 9), False, True), ((1, 9), False, False), ((1, 2.99), True, False), ((None, 2), True, False),
     ((None, 9), False, False), ((3,), False, True)],
)  # fmt: skip
def test_a_run_fails_below_three_or_if_it_diverged(
    scores: tuple[float | None, ...], every_one: bool, no_one: bool
) -> None:
    groups = {"a": group(*scores)}
    assert holds("failures", groups, of="a", are="all") == every_one
    assert holds("failures", groups, of="a", are="none") == no_one


def test_fewer_failures_compares_shares_not_numbers() -> None:
    few, many = group(1, 9, 9, 9), group(1, 9)
    assert holds("fewer_failures", {"a": few, "b": many}, of="a", than="b")
    assert not holds("fewer_failures", {"a": many, "b": few}, of="a", than="b")
    assert not holds("fewer_failures", {"a": few, "b": few}, of="a", than="b")
    assert found("fewer_failures", {"a": few, "b": many}, of="a", than="b")[1].endswith(": 0.25, 0.50")


def test_every_seed_must_be_within_the_bound_and_a_diverged_one_never_is() -> None:
    arguments = {"of": "a", "measure": SCORE}
    assert found("every", {"a": group(7, 8)}, **arguments, above=6) == (
        True, "classifier_score.value of a above 6 in every seed: 7, 8",
    )  # fmt: skip
    assert not holds("every", {"a": group(5, 8)}, **arguments, above=6)
    assert not holds("every", {"a": group(6)}, **arguments, above=6)
    assert holds("every", {"a": group(5, 6)}, **arguments, below=7)
    assert not holds("every", {"a": group(5, None)}, **arguments, below=7)
    assert found("every", {"a": group(None)}, **arguments, above=0)[1].endswith("none")


def test_the_mean_leaves_diverged_seeds_out() -> None:
    arguments = {"of": "a", "measure": SCORE}
    assert holds("mean", {"a": group(7, None, 9)}, **arguments, above=7.9)
    assert not holds("mean", {"a": group(7, None, 9)}, **arguments, below=8)
    assert not holds("mean", {"a": group(None)}, **arguments, above=0)
    assert not holds("mean", {"a": group(None)}, **arguments, below=9)


def test_a_mean_is_compared_with_another_times_and_plus() -> None:
    groups = {"a": group(8, 8), "b": group(8, 9)}
    arguments = {"of": "a", "measure": SCORE}
    assert not holds("mean", groups, **arguments, above={"of": "b"})
    assert holds("mean", groups, **arguments, above={"of": "b", "times": 0.9})
    assert holds("mean", groups, **arguments, above={"of": "b", "plus": -0.6})
    assert not holds("mean", groups, **arguments, above={"of": "b", "plus": -0.4})
    true, text = found("mean", groups, **arguments, below={"of": "b", "times": 2, "plus": 1})
    assert true
    assert text == "mean classifier_score.value of a below 2 times that of b +1, 18: 8"
    assert not holds("mean", groups | {"b": group(None)}, **arguments, above={"of": "b"})


def test_a_mean_is_compared_with_another_measure_of_the_same_runs() -> None:
    bound = {"of": "a", "measure": "classifier_score.other"}
    assert holds("mean", {"a": group(8, other=7)}, of="a", measure=SCORE, above=bound)
    assert not holds("mean", {"a": group(8, other=9)}, of="a", measure=SCORE, above=bound)


def test_a_difference_holds_if_its_interval_lies_beyond_the_bound() -> None:
    arguments = {"of": "a", "less": "b", "measure": SCORE}
    clear, mixed = {"a": group(8, 9, 8.5), "b": group(5, 6.1, 5.4)}, {"a": group(8, 5, 9), "b": group(7, 6, 8)}
    assert holds("difference", clear, **arguments, above=0)
    assert not holds("difference", clear, **arguments, above=3)
    assert holds("difference", clear, **arguments, below=4)
    assert not holds("difference", mixed, **arguments, above=0)
    assert not holds("difference", mixed, **arguments, below=0)


def test_a_difference_is_of_common_seeds_that_ended() -> None:
    arguments = {"of": "a", "less": "b", "measure": SCORE, "above": 0}
    groups = {"a": group(9, 5, 9.1, seeds=[4, 1, 2]), "b": group(6, None, 6, 99, seeds=[2, 1, 4, 7])}
    true, text = found("difference", groups, **arguments)
    assert true
    assert "3.05 (95 % interval" in text
    true, text = found("difference", groups | {"b": group(6, None, seeds=[4, 1])}, **arguments)
    assert not true
    assert text.endswith("fewer than two common seeds")


PAIRS = st.lists(st.tuples(st.floats(-10, 10), st.floats(-10, 10)), min_size=2, max_size=8)


@given(PAIRS)
def test_the_interval_is_the_one_of_the_paired_t_test(pairs: list[tuple[float, float]]) -> None:
    a, b = ([pair[i] for pair in pairs] for i in (0, 1))
    mean, low, high = conditions.difference(a, b)
    assert low <= mean <= high
    if np.ptp(np.subtract(a, b)) > 1e-6:
        interval = stats.ttest_rel(a, b).confidence_interval(0.95)
        assert (low, high) == pytest.approx((interval.low, interval.high), rel=1e-6, abs=1e-6)


@pytest.mark.parametrize(("a", "b"), [([1.0], [2.0]), ([1.0, 2.0], [1.0]), ([], [])])
def test_a_difference_needs_pairs(a: list[float], b: list[float]) -> None:
    with pytest.raises(ValueError, match="at least two"):
        conditions.difference(a, b)


def test_history_is_read_as_the_mean_over_its_rows(tmp_path: Path) -> None:
    (tmp_path / "history.csv").write_text("iteration,center_step\n1,1\n2,0\n")
    record = Record(tmp_path, {"seed": 0, "status": "completed", "metrics": {}})
    assert record.has("history.center_step")
    assert not record.has("history.other")
    assert holds("every", {"a": [record]}, of="a", measure="history.center_step", above=0.4)
    assert not holds("every", {"a": [record]}, of="a", measure="history.center_step", above=0.6)


@pytest.mark.parametrize("value", [None, "8.5", True, float("nan"), float("inf"), [8]], ids=str)
def test_what_is_no_number_counts_as_missing(value: Any) -> None:
    record = Record(Path(), {"seed": 0, "status": "completed", "metrics": {"classifier_score": {"value": value}}})
    assert not record.has(SCORE)


BAD = {
    "no mapping": ("failures", "one kind and its arguments"),
    "two kinds": ({"failures": {"of": "a", "are": "all"}, "every": {}}, "one kind"),
    "unknown": ({"most": {"of": "a"}}, "unknown condition most"),
    "no arguments": ({"failures": None}, "failures needs are, of"),
    "an argument missing": ({"every": {"of": "a", "above": 1}}, "every needs measure, of"),
    "an argument too many": ({"failures": {"of": "a", "are": "all", "above": 1}}, "failures knows no above"),
    "another word": ({"failures": {"of": "a", "are": "some"}}, "all or none"),
    "no bound": ({"every": {"of": "a", "measure": SCORE}}, "one of above, below"),
    "two bounds": ({"every": {"of": "a", "measure": SCORE, "above": 1, "below": 2}}, "one of above, below"),
    "text as a bound": ({"every": {"of": "a", "measure": SCORE, "above": "6"}}, "must be a number"),
    "NaN as a bound": ({"every": {"of": "a", "measure": SCORE, "above": float("nan")}}, "must be a number"),
    "another mean, of every": ({"every": {"of": "a", "measure": SCORE, "above": {"of": "b"}}}, "must be a number"),
    "another mean of nothing": ({"mean": {"of": "a", "measure": SCORE, "above": {"times": 2}}}, "{of, measure"),
    "times text": ({"mean": {"of": "a", "measure": SCORE, "above": {"of": "b", "times": "2"}}}, "times=2"),
    "a number as a measure": ({"every": {"of": "a", "measure": 5, "above": 1}}, "measure=5"),
    "a measure without its key": ({"every": {"of": "a", "measure": "classifier_score", "above": 1}}, "name and a key"),
}


@pytest.mark.parametrize(("condition", "message"), BAD.values(), ids=BAD.keys())
def test_a_condition_that_makes_no_sense_is_refused(condition: Any, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        list(conditions.reads(condition))
