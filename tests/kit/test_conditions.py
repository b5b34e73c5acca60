"""The conditions of the ledger: what each says of records, what is no condition, and the exact tests behind them."""

import itertools
import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kmgan_book import conditions, seeds, vocabulary
from kmgan_book.records import Record
from kmgan_lib.errors import UsageError

SCORE, F = "classifier_score.value", "classifier_frechet.value"


def group(
    *scores: float | None, measure: str = SCORE, seeds: list[int] | None = None, other: float = 1.0
) -> list[Record]:
    """Records with these numbers, by default classifier scores; None diverged."""
    made = []
    name, _, key = measure.partition(".")
    for seed, score in zip(seeds or range(len(scores)), scores, strict=True):
        measures = {} if score is None else {name: {key: score, "other": other}}
        status = "diverged" if score is None else "completed"
        made.append(Record(Path("nowhere"), {"seed": seed, "status": status, "metrics": measures}))
    return made


def found(condition: dict[str, Any], **groups: list[Record]) -> tuple[bool, str]:
    assert {preset for preset, _ in vocabulary.reads(condition)} <= set(groups)
    finding = conditions.find(condition, groups)
    return finding.true, finding.text


def holds(condition: dict[str, Any], **groups: list[Record]) -> bool:
    return found(condition, **groups)[0]


@pytest.mark.parametrize(
    ("scores", "failed"), [((8, 9), 0), ((1, 9), 1), ((1, 2.99), 2), ((None, 2), 2), ((None, 9), 1), ((3, 3), 0)]
)
def test_a_run_fails_below_three_or_if_it_diverged(scores: tuple[float | None, ...], failed: int) -> None:
    a = group(*scores)
    for count in range(3):
        assert holds({"count": {"of": "a", "failed": True, "at_least": count}}, a=a) == (failed >= count)
        assert holds({"count": {"of": "a", "failed": True, "at_most": count}}, a=a) == (failed <= count)
        assert holds({"count": {"of": "a", "failed": False, "at_least": count}}, a=a) == (2 - failed >= count)
    assert holds({"count": {"of": "a", "failed": True, "all": True}}, a=a) == (failed == 2)
    assert holds({"count": {"of": "a", "failed": False, "all": True}}, a=a) == (failed == 0)


def test_a_count_shows_every_score() -> None:
    text = found({"count": {"of": "a", "failed": True, "at_most": 1}}, a=group(1, None, 8.5))[1]
    assert text == "at most 1 of the runs of a fail: 2 of 3 (scores 1, diverged, 8.5)"


def test_failing_more_often_is_fishers_exact_test() -> None:
    condition = {"fails_more": {"of": "a", "than": "b"}}
    none, four = group(*[9.0] * 10), group(*[1.0] * 4, *[9.0] * 6)
    true, text = found(condition, a=four, b=none)
    assert true
    assert text == "a fails more often than b: 4 of 10 and 0 of 10, p = 0.043 (Fisher, one-sided)"
    assert not holds(condition, a=none, b=four)
    assert not holds(condition, a=group(*[None] * 3, *[9.0] * 7), b=none)
    assert holds({"not": condition}, a=none, b=four)


def test_a_gap_of_rates_is_newcombe_s_interval() -> None:
    none, two = group(*[9.0] * 10), group(1, None, *[9.0] * 8)
    true, text = found({"rate_gap": {"of": "a", "less": "b", "below": 0.3}}, a=none, b=none)
    assert true
    assert text.startswith(
        "failure rate of a minus that of b below 0.3: 0 of 10 and 0 of 10, 95 % interval -0.28 to 0.28"
    )
    assert not holds({"rate_gap": {"of": "a", "less": "b", "below": 0.3}}, a=two, b=none)
    assert holds({"rate_gap": {"of": "a", "less": "b", "above": 0.5}}, a=group(*[1.0] * 10), b=none)


def test_every_seed_must_be_within_the_bound_and_a_diverged_one_never_is() -> None:
    def every(*scores: float | None, **bound: Any) -> tuple[bool, str]:
        return found({"every": {"of": "a", "measure": SCORE, **bound}}, a=group(*scores))

    assert every(7, 8, above=6) == (True, "classifier_score.value of a above 6 in every seed: 7, 8")
    assert not every(5, 8, above=6)[0]
    assert not every(6, above=6)[0]
    assert every(5, 6, below=7)[0]
    assert every(5, None, below=7) == (False, "classifier_score.value of a below 7 in every seed: 5, diverged")
    assert not every(above=0)[0]
    assert not every(None, above=-1e9)[0]


def test_alive_leaves_failed_seeds_out_but_not_all_of_them() -> None:
    condition = {"every": {"of": "a", "measure": SCORE, "above": 6, "alive": True}}
    assert found(condition, a=group(7, 1, None)) == (
        True, "classifier_score.value of a above 6 in every seed that did not fail: 7 (2 of 3 failed and are left out)",
    )  # fmt: skip
    assert not holds(condition, a=group(7, 5, 1))
    assert not holds(condition, a=group(1, None))


def test_a_bound_is_the_mean_of_others_or_another_number_of_the_same_record() -> None:
    def every(*scores: float | None, others: list[Record], **bound: Any) -> tuple[bool, str]:
        return found({"every": {"of": "a", "measure": SCORE, "above": bound}}, a=group(*scores, other=6), b=others)

    assert every(8, 9, others=group(7, 8), of="b") == (
        True, "classifier_score.value of a above the mean of b (7.5) in every seed: 8, 9",
    )  # fmt: skip
    assert not every(8, 7, others=group(7, 8), of="b")[0]
    assert every(8, 7, others=group(7, 8), of="b", times=0.5, plus=3)[0]
    assert not every(8, others=group(7, None), of="b")[0], "a diverged run is nothing to be better than"
    assert every(8, 7, others=[], measure="classifier_score.other")[0]
    assert not every(8, 5, others=[], measure="classifier_score.other")[0]
    assert every(8, 7, others=group(5, other=5), of="b", measure="classifier_score.other")[0]


def test_a_mean_reaches_a_level_and_no_diverged_run_is_left_out() -> None:
    def mean(*scores: float | None, **bound: Any) -> tuple[bool, str]:
        return found({"mean": {"of": "a", "measure": SCORE, **bound}}, a=group(*scores, other=7))

    assert mean(6, 9, above=7) == (True, "mean classifier_score.value of a above 7: 7.5 (6, 9)")
    assert not mean(6, 8, above=7)[0]
    assert not mean(9, None, above=7)[0]
    assert not mean(1, None, below=7)[0]
    assert mean(6, 9, above={"measure": "classifier_score.other"}) == (
        True, "mean classifier_score.value of a above its classifier_score.other (7): 7.5 (6, 9)",
    )  # fmt: skip


def paired(a: list[Record], b: list[Record], measure: str = SCORE, **arguments: Any) -> tuple[bool, str]:
    return found({"paired": {"of": "a", "against": "b", "measure": measure, **arguments}}, a=a, b=b)


def test_pairs_are_of_common_seeds_and_five_that_agree_decide() -> None:
    a, b = group(5, 6, 7, 8, 9), group(9, 8, 7, 6, 5, 99, seeds=[4, 3, 2, 1, 0, 7])
    assert not paired(a, b, higher=True)[0]
    true, text = paired(a, b, higher=True, plus=-0.5)
    assert true
    assert text.startswith(
        "classifier_score.value of a higher than that of b plus -0.5: seed 0 5 and 5, seed 1 6 and 6, "
    )
    assert text.endswith(", seed 4 9 and 9; p = 0.031 (exact test of 5 pairs)")
    assert not paired(a, b, lower=True, plus=-0.5)[0]
    assert paired(a, b, lower=True, plus=0.5)[0]
    assert not paired(a, b, lower=True, plus=0.5, level=0.025)[0], "five pairs reach 0.031"
    assert not paired(group(9, 9, 9, 9), group(1, 1, 1, 1), higher=True)[0], "four pairs cannot"
    assert paired(a, group(1, seeds=[77]), higher=True)[1].endswith("no common seed; p = 1 (exact test of 0 pairs)")


def test_of_distances_logarithms_are_compared() -> None:
    """By differences the fifth pair would outweigh the others; its quotient does not."""
    a, b = group(1, 1, 1, 1, 1, 1, 120, measure=F), group(*[3] * 6, 100, measure=F)
    true, text = paired(a, b, F, lower=True)
    assert true
    assert text.endswith("(exact test of 7 pairs, of logarithms)")
    assert not paired(group(1, 1, 1, 1, 1, 1, 120), group(*[3] * 6, 100), SCORE, lower=True)[0]
    assert paired(group(*[12.4] * 5, measure=F), group(*[10] * 5, measure=F), F, lower=True, times=1.25)[0]
    assert not paired(group(*[12.6] * 5, measure=F), group(*[10] * 5, measure=F), F, lower=True, times=1.25)[0]
    assert paired(group(*[0] * 5, measure=F), group(*[1] * 5, measure=F), F, lower=True)[0]


@pytest.mark.parametrize(("kind", "seeds"), [("paired", 5), ("ranks", 3)])
def test_a_diverged_run_is_the_worst_there_is_not_left_out(kind: str, seeds: int) -> None:
    def compared(ours: float | None, theirs: float | None, measure: str, way: str) -> bool:
        a, b = (group(*[value] * (seeds - 1), last, measure=measure) for value, last in ((2.0, ours), (3.0, theirs)))
        return holds({kind: {"of": "a", "against": "b", "measure": measure, way: True}}, a=a, b=b)

    assert compared(2, 3, F, "lower")
    assert compared(2, None, F, "lower")  # theirs diverged: worse
    assert compared(2, 3, SCORE, "lower")
    assert compared(None, 3, SCORE, "lower")  # of a score the worst is the lowest
    assert not compared(None, 3, F, "lower")
    assert not compared(None, None, F, "higher")
    worst = group(*[None] * seeds)
    condition = {kind: {"of": "a", "against": "b", "measure": F, "higher": True}}
    assert holds(condition, a=worst, b=group(*[3] * seeds, measure=F))
    assert not holds(condition, a=worst, b=worst), "all diverged: a tie"


def test_ranks_need_no_pairs_and_three_against_three_decide() -> None:
    condition = {"ranks": {"of": "a", "against": "b", "measure": F, "lower": True, "times": 1.25}}
    true, text = found(condition, a=group(1, 2, 3, measure=F), b=group(4, 5, 6, measure=F, seeds=[7, 8, 9]))
    assert true
    assert text.startswith(
        "classifier_frechet.value of a lower than 1.25 times that of b: 1, 2, 3 and 4, 5, 6; p = 0.05"
    )
    assert text.endswith("(exact test of ranks, 3 against 3)")
    assert not holds(condition, a=group(1, 2, 5.1, measure=F), b=group(4, 5, 6, measure=F))
    assert not holds(condition, a=group(1, 2, measure=F), b=group(4, 5, 6, measure=F))
    assert holds(
        {"ranks": {**condition["ranks"], "times": 2}}, a=group(1, 2, 7.9, measure=F), b=group(4, 5, 6, measure=F)
    )


def test_conditions_are_joined() -> None:
    yes, no = ({"every": {"of": "a", "measure": SCORE, "above": bound}} for bound in (5, 9))
    a = group(7)
    assert [holds({"any": both}, a=a) for both in ([yes, no], [no, yes], [no, no])] == [True, True, False]
    assert [holds({"all": both}, a=a) for both in ([yes, no], [yes, yes])] == [False, True]
    assert found({"not": no}, a=a) == (True, "not so: classifier_score.value of a above 9 in every seed: 7")
    assert holds({"any": [{"all": [yes, no]}, {"not": no}]}, a=a)
    assert found({"any": [no, yes]}, a=a)[1].count("; or ") == 1


def test_history_is_read_as_the_mean_over_its_rows(tmp_path: Path) -> None:
    (tmp_path / "history.csv").write_text("iteration,center_step\n1,1\n2,0\n")
    record = Record(tmp_path, {"seed": 0, "status": "completed", "metrics": {}})
    assert record.has("history.center_step")
    assert not record.has("history.other")
    for above, true in ((0.4, True), (0.6, False)):
        assert holds({"every": {"of": "a", "measure": "history.center_step", "above": above}}, a=[record]) == true


def test_of_a_list_the_least_and_the_largest_are_read() -> None:
    values = {"frequency": [0.1, 0.2, 0.05], "empty": [], "words": ["a"]}
    record = Record(Path(), {"seed": 0, "status": "completed", "metrics": {"class_frequency": values}})
    assert record.value("class_frequency.frequency.min") == 0.05
    assert record.value("class_frequency.frequency.max") == 0.2
    assert not any(record.has(f"class_frequency.{key}") for key in ("frequency", "empty.min", "words.max", "no.min"))
    with pytest.raises(KeyError, match=r"class_frequency\.no"):
        record.value("class_frequency.no")


@pytest.mark.parametrize("value", [None, "8.5", True, float("nan"), float("inf"), [8]], ids=str)
def test_what_is_no_number_counts_as_missing(value: Any) -> None:
    record = Record(Path(), {"seed": 0, "status": "completed", "metrics": {"classifier_score": {"value": value}}})
    assert not record.has(SCORE)


def test_what_a_condition_reads() -> None:
    condition = {"any": [
        {"every": {"of": "a", "measure": "x.y", "below": {"of": "b", "measure": "x.z"}, "alive": True}},
        {"not": {"paired": {"of": "c", "against": "d", "measure": F, "lower": True}}},
        {"mean": {"of": "e", "measure": "x.y", "below": {"measure": "x.z.max"}}},
        {"fails_more": {"of": "f", "than": "g"}},
    ]}  # fmt: skip
    assert set(vocabulary.reads(condition)) == {
        ("a", "x.y"), ("a", SCORE), ("b", "x.z"), ("c", F), ("d", F), ("e", "x.y"), ("e", "x.z.max"), ("f", SCORE),
        ("g", SCORE),
    }  # fmt: skip


def bad(kind: str, **arguments: Any) -> dict[str, Any]:
    return {kind: {"of": "a", **arguments}}


BAD: list[tuple[Any, str]] = [
    ("count", "one kind and its arguments"), ({**bad("count"), **bad("every")}, "one kind"),
    (bad("most"), "unknown condition most"), ({"count": None}, "count needs failed, of"),
    (bad("every", above=1), "every needs measure, of"),
    (bad("fails_more", than="b", above=1), "fails_more knows no above"),
    (bad("count", failed="all", all=True), "failed=all must be true or false"),
    (bad("count", failed=True), "count needs one of all, at_least, at_most"),
    (bad("count", failed=True, at_most=1.5), "at_most=1.5 must be a whole number"),
    (bad("count", failed=True, all=False), "all=False must be true"),
    (bad("every", measure=SCORE, above=1, alive=False), "alive=False must be true"),
    (bad("every", measure=SCORE), "one of above, below"),
    (bad("every", measure=SCORE, above=1, below=2), "one of above"),
    (bad("every", measure=SCORE, above="6"), "above=6 must be a number"),
    (bad("every", measure=SCORE, above=float("nan")), "must be a number"),
    (bad("mean", measure=SCORE, above=10**400), "must be a number"),
    (bad("mean", measure=SCORE, above={"times": 2}), "{of, measure"),
    (bad("mean", measure=SCORE, above={"of": "b", "times": "2"}), "times=2 must be a number above 0"),
    (bad("rate_gap", less="b", above={"of": "b"}), "must be a number"), (bad("every", measure=5, above=1), "measure=5"),
    (bad("every", measure="classifier_score", above=1), "name and a key"),
    (bad("every", measure="a.b.mean", above=1), "name and a key"),
    (bad("paired", against="b", measure=SCORE), "one of higher, lower"),
    (bad("ranks", against="b", measure=SCORE, lower=True, higher=True), "one of higher, lower"),
    (bad("ranks", against="b", measure=SCORE, lower=True, times=0), "times=0 must be"),
    (bad("paired", against="b", measure=SCORE, lower=True, level=1), "level=1 must be"),
    ({"any": bad("count")}, "any needs a list"), ({"all": []}, "all needs a list"),
    ({"any": [{"not": bad("most")}]}, "unknown condition most"),
]  # fmt: skip


def test_a_condition_that_makes_no_sense_is_refused() -> None:
    for condition, message in BAD:
        with pytest.raises(UsageError, match=message):
            list(vocabulary.reads(condition))


INF = math.inf
SMALL = st.integers(-3, 3).map(float)  # few values, so that there are ties


def test_fishers_test_is_the_tail_of_the_hypergeometric_distribution() -> None:
    tail = math.comb(10, 4) * math.comb(10, 0) / math.comb(20, 4)
    assert seeds.fails_more(4, 10, 0, 10) == pytest.approx(tail) == pytest.approx(0.0433, abs=1e-4)
    assert seeds.fails_more(3, 10, 0, 10) > 0.1
    assert seeds.fails_more(0, 10, 0, 10) == seeds.fails_more(10, 10, 10, 10) == 1
    assert seeds.fails_more(0, 10, 4, 10) == pytest.approx(1)


def test_newcombe_s_interval_is_his_published_one() -> None:
    """Newcombe (1998), Table II, method 10: 56 of 70 against 48 of 80, and none of 10 against none of 20."""
    assert seeds.rate_gap(56, 70, 48, 80) == pytest.approx((0.0524, 0.3339), abs=5e-5)
    assert seeds.rate_gap(0, 10, 0, 20) == pytest.approx((-0.1611, 0.2775), abs=5e-5)
    low, high = seeds.rate_gap(2, 10, 5, 10)
    assert seeds.rate_gap(5, 10, 2, 10) == pytest.approx((-high, -low))


@pytest.mark.parametrize(
    ("gaps", "p"),
    [([-1.0] * 5, 1 / 32), ([-1, -2, -3, -4, 0.5], 2 / 32), ([-1, -1, -1], 1 / 8), ([1.0] * 5, 1), ([0, 0, 0], 1),
     ([-1], 1), ([], 1), ([-1, -1, -1, -1, INF], 17 / 32), ([-1, -1, -1, -1, -INF], 1 / 32), ([-INF, 1], 1 / 2)],
)  # fmt: skip
def test_signs_are_flipped_exactly(gaps: list[float], p: float) -> None:
    assert seeds.sign_flip(gaps) == pytest.approx(p)


@given(st.lists(SMALL | st.floats(-10, 10), min_size=2, max_size=7))
def test_sign_flips_are_counted_one_by_one(gaps: list[float]) -> None:
    found = sum(gaps) + 1e-9
    sums = [
        sum(s * g for s, g in zip(signs, gaps, strict=True)) for signs in itertools.product((1, -1), repeat=len(gaps))
    ]
    assert seeds.sign_flip(gaps) == pytest.approx(sum(total <= found for total in sums) / len(sums))


@pytest.mark.parametrize(
    ("values", "others", "p"),
    [([1, 2, 3], [4, 5, 6], 0.05), ([1, 1, 1], [4, 4, INF], 0.05), ([1, 1, 1], [1, 1, 1], 1), ([1], [4, 5, 6], 1),
     ([1, 2, INF], [4, 5, INF], 5 / 20), ([4, 5, 6], [1, 2, 3], 1)],
)  # fmt: skip
def test_ranks_are_dealt_exactly(values: list[float], others: list[float], p: float) -> None:
    assert seeds.ranks(values, others) == pytest.approx(p)
    assert (seeds.ranks(values, others) <= 0.05) == (p <= 0.05)


@given(st.lists(SMALL, min_size=2, max_size=4), st.lists(SMALL, min_size=2, max_size=4))
def test_ranks_are_counted_one_by_one(values: list[float], others: list[float]) -> None:
    pooled = [*values, *others]
    rank = [sum(x < y for x in pooled) + sum(x == y for x in pooled) / 2 for y in pooled]
    found = sum(rank[: len(values)])
    sums = [sum(chosen) for chosen in itertools.combinations(rank, len(values))]
    assert seeds.ranks(values, others) == pytest.approx(sum(total <= found for total in sums) / len(sums))
