"""The conditions of the ledger: what each says of records, what is no condition, and the exact tests behind them."""

import itertools
import math
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from scipy import stats

from kmgan_book import seeds
from kmgan_book.conditions import Condition
from kmgan_book.records import Record
from kmgan_book.strict import complaint

from .conftest import record

SCORE, F = "classifier_score.value", "classifier_frechet.value"


def group(*scores: float | None, measure: str = SCORE, seeds: list[int] | None = None) -> list[Record]:
    """Records with these numbers, by default classifier scores; None diverged. Another number of each is 6."""
    other = f"{measure.partition('.')[0]}.other"
    places = zip(seeds or range(len(scores)), scores, strict=True)
    return [record(seed, {measure: score, other: 6}) for seed, score in places]


def found(written: dict[str, Any], **groups: list[Record]) -> tuple[bool, str]:
    condition = Condition.model_validate(written)
    assert condition.model_dump(exclude_unset=True, by_alias=True) == written
    assert {preset for preset, _ in condition.reads()} <= set(groups)
    return condition.evaluate(groups)


def of_a(kind: str, **arguments: Any) -> dict[str, Any]:
    return {kind: {"of": "a", **arguments}}


A, B = "classifier_score.value of a", "classifier_frechet.value of a"
NINE, ONE = [9.0] * 10, [1.0] * 4 + [9.0] * 6
every, mean = partial(of_a, "every", measure=SCORE), partial(of_a, "mean", measure=SCORE)
versus = partial(of_a, against="b", measure=SCORE)
fail, succeed = partial(of_a, "count", failed=True), partial(of_a, "count", failed=False)
FAILS_MORE, GAP = of_a("fails_more", than="b"), of_a("rate_gap", less="b", below=0.3)
YES, NO = every(above=5), every(above=9)
# A condition, the scores of a and b, whether it is met, and what it says where that matters.
SAID: list[tuple[dict[str, Any], list[Any], list[Any], bool, str]] = [
    (fail(at_most=1), [1, None, 8.5], [], False, "at most 1 of the runs of a fail: 2 of 3 (scores 1, diverged, 8.5)"),
    (fail(all=True), [1, 2.99, None], [], True, ""), (fail(all=True), [1, 3], [], False, ""),
    (fail(at_least=1), [3, 2.99], [], True, ""), (fail(at_least=2), [3, 2.99], [], False, ""),
    (succeed(at_least=1), [3, 2.99], [], True, ""), (succeed(at_most=0), [3, 2.99], [], False, ""),
    (FAILS_MORE, ONE, NINE, True, "a fails more often than b: 4 of 10 and 0 of 10, p = 0.0433 (Fisher, one-sided)"),
    (FAILS_MORE, [None] * 3 + NINE[3:], NINE, False, ""), ({"not": FAILS_MORE}, NINE, ONE, True, ""),
    (GAP, NINE, NINE, True,
     "failure rate of a minus that of b below 0.3: 0 of 10 and 0 of 10, 95 % interval -0.28 to 0.28 (Newcombe)"),
    (GAP, [1, None, *NINE[2:]], NINE, False, ""),
    # every seed, within a bound: a diverged one never is
    (every(above=6), [7, 8], [], True, f"{A} above 6 in every seed: 7, 8"), (every(above=6), [6, 8], [], False, ""),
    (every(below=7), [5, 6], [], True, ""), (every(above=0), [], [], False, ""),
    (every(below=7), [5, None], [], False, f"{A} below 7 in every seed: 5, diverged"),
    (every(above=6, alive=True), [7, 1, None], [], True,
     f"{A} above 6 in every seed that did not fail: 7 (2 of 3 failed and are left out)"),
    (every(above=6, alive=True), [1, None], [], False, ""),
    # a bound that is the mean of others, or another number of the same record, which is 6
    (every(above={"of": "b"}), [8, 9], [7, 8], True, f"{A} above the mean of b (7.5) in every seed: 8, 9"),
    (every(above={"of": "b"}), [8, 7], [7, 8], False, ""), (every(above={"of": "b"}), [8], [7, None], False, ""),
    (every(above={"measure": "classifier_score.other"}), [8, 5], [], False, ""),
    # a mean, of which no diverged run is left out
    (mean(above=7), [9, None], [], False, ""), (mean(below=7), [1, None], [], False, ""),
    (mean(above={"measure": "classifier_score.other"}), [6, 9], [], True,
     f"mean {A} above its classifier_score.other (6): 7.5 (6, 9)"),
    # pairs of a seed: five that agree decide, of distances by their logarithms
    (versus("paired", higher=True), [5, 6], [5, 5], False,
     f"{A} higher than that of b: seed 0 5 and 5, seed 1 6 and 5; p = 0.5 (exact test of 2 pairs)"),
    (versus("paired", higher=True, plus=-0.5), [5, 6, 7, 8, 9], [5, 6, 7, 8, 9], True, ""),
    (versus("paired", lower=True, plus=0.5), [5, 6, 7, 8, 9], [5, 6, 7, 8, 9], True, ""),
    (versus("paired", lower=True, plus=0.5, level=0.025), [5, 6, 7, 8, 9], [5, 6, 7, 8, 9], False, ""),  # p is 0.031
    (versus("paired", higher=True), [9] * 4, [1] * 4, False, ""),
    (versus("paired", measure=F, lower=True), [1] * 6 + [120], [3] * 6 + [100], True, ""),
    (versus("paired", lower=True), [1] * 6 + [120], [3] * 6 + [100], False, ""),
    (versus("paired", measure=F, lower=True, times=1.25), [12.6] * 5, [10] * 5, False, ""),
    # ranks need no pairs: three against three decide
    (versus("ranks", measure=F, lower=True, times=1.25), [1, 2, 3], [4, 5, 6], True,
     f"{B} lower than 1.25 times that of b: 1, 2, 3 and 4, 5, 6; p = 0.05 (exact test of ranks, 3 against 3)"),
    (versus("ranks", measure=F, lower=True, times=1.25), [1, 2, 5.1], [4, 5, 6], False, ""),
    (versus("ranks", measure=F, lower=True, times=2), [1, 2, 7.9], [4, 5, 6], True, ""),
    ({"any": [NO, NO]}, [7], [], False, ""), ({"all": [YES, NO]}, [7], [], False, ""),
    ({"any": [{"all": [YES, NO]}, {"all": [YES, YES]}]}, [7], [], True, ""),
    ({"any": [NO, YES]}, [7], [], True, f"{A} above 9 in every seed: 7; or {A} above 5 in every seed: 7"),
]  # fmt: skip


def test_each_condition_is_met_where_it_should_be_and_says_by_which_numbers() -> None:
    for condition, a, b, true, text in SAID:
        measure = F if F in str(condition) else SCORE
        groups = {"a": group(*a, measure=measure), "b": group(*b, measure=measure)}
        met, said = found(condition, **groups)
        assert met == true, said
        assert text in ("", said)


def test_pairs_are_of_common_seeds() -> None:
    a, b = group(5, 6, 7, 8, 9), group(9, 8, 7, 6, 5, 99, seeds=[4, 3, 2, 1, 0, 7])
    assert found(versus("paired", higher=True, plus=-0.5), a=a, b=b)[0]
    said = found(versus("paired", higher=True), a=a, b=group(1, seeds=[77]))[1]
    assert said.endswith("no common seed; p = 1 (exact test of 0 pairs)")


@pytest.mark.parametrize(("kind", "seeds"), [("paired", 5), ("ranks", 3)])
def test_a_diverged_run_is_the_worst_there_is_not_left_out(kind: str, seeds: int) -> None:
    for ours, theirs, measure, way, true in (
        (2, 3, F, "lower", True), (2, None, F, "lower", True),  # theirs diverged: worse
        (2, 3, SCORE, "lower", True), (None, 3, SCORE, "lower", True),  # of a score the worst is the lowest
        (None, 3, F, "lower", False), (None, None, F, "higher", False),
    ):  # fmt: skip
        a, b = (group(*[value] * (seeds - 1), last, measure=measure) for value, last in ((2.0, ours), (3.0, theirs)))
        assert found(versus(kind, measure=measure, **{way: True}), a=a, b=b)[0] == true
    worst = group(*[None] * seeds)
    assert found(versus(kind, measure=F, higher=True), a=worst, b=group(*[3] * seeds, measure=F))[0]
    assert not found(versus(kind, measure=F, higher=True), a=worst, b=worst)[0], "all diverged: a tie"


def test_a_value_is_a_number_the_end_of_a_list_or_the_mean_of_a_history(tmp_path: Path) -> None:
    (tmp_path / "history.csv").write_text("iteration,center_step\n1,1\n2,0\n")
    values = {"list": [0.1, 0.2, 0.05], "empty": [], "words": ["a"], "text": "8.5", "true": True, "nan": math.nan}
    made = Record(tmp_path, {"seed": 0, "status": "completed", "metrics": {"a": values}})
    found = [made.value(measure) for measure in ("history.center_step", "a.list.min", "a.list.max")]
    assert found == [0.5, 0.05, 0.2]
    wrong = ("list", "empty.min", "words.max", "no.min", "text", "true", "nan")
    assert not any(made.has(measure) for measure in ("history.other", *(f"a.{key}" for key in wrong)))
    with pytest.raises(KeyError, match=r"a\.no"):
        made.value("a.no")


def test_what_a_condition_reads() -> None:
    condition = Condition.model_validate({"any": [
        {"every": {"of": "a", "measure": "x.y", "below": {"of": "b"}, "alive": True}},
        {"not": {"paired": {"of": "c", "against": "d", "measure": F, "lower": True}}},
        {"mean": {"of": "e", "measure": "x.y", "below": {"measure": "x.z.max"}}},
        {"all": [{"fails_more": {"of": "f", "than": "g"}}, {"rate_gap": {"of": "f", "less": "h", "above": 0}}]},
    ]})  # fmt: skip
    assert set(condition.reads()) == {
        ("a", "x.y"), ("a", SCORE), ("b", "x.y"), ("c", F), ("d", F), ("e", "x.y"), ("e", "x.z.max"), ("f", SCORE),
        ("g", SCORE), ("h", SCORE),
    }  # fmt: skip


BAD: list[tuple[Any, str]] = [
    ("count", "=count: "), ({}, "needs one of count, fails_more, rate_gap, every, mean, paired, ranks, any, all, not"),
    ({**YES, **FAILS_MORE}, "needs one of count"), ({"count": None}, "needs one of"),
    (of_a("fails_more", than="b", above=1), "fails_more.above=1: Extra"),
    (of_a("rate_gap", less="b", above={"of": "b"}), "rate_gap.above: "),
    (of_a("count"), "count.failed: Field required"), (of_a("count", failed="all", all=True), "count.failed=all: "),
    (fail(), "count: needs one of all, at_least, at_most"), (fail(at_most=1.5), "at_most=1.5: "),
    (fail(all=False), "all=False: "), (every(), "every: needs one of above, below"),
    (every(above=1, below=2), "every: needs one of above, below"), (every(measure=5, above=1), "measure=5"),
    (every(measure="a.b.mean", above=1), "measure=a.b.mean: must be a name and a key"),
    (every(above=float("nan")), "every.above.float=nan: "), (mean(above={}), "needs one of of, measure"),
    (versus("ranks", lower=True, higher=True), "ranks: needs one of higher, lower"),
    (versus("paired", lower=True, level=1), "paired.level=1: "),
    (versus("paired", lower=True, times=0), "paired.times=0: "),
    ({"all": []}, "all: List"), ({"any": [{"not": of_a("most")}]}, "any.0.not.most: Extra"),
]  # fmt: skip


def test_a_condition_that_makes_no_sense_is_refused_in_one_line() -> None:
    for written, message in BAD:
        with pytest.raises(ValidationError) as caught:
            Condition.model_validate(written)
        said = complaint(caught.value)
        assert message in said
        assert "\n" not in said


INF = math.inf
SMALL = st.integers(-3, 3).map(float)  # few values, so that there are ties


def test_newcombe_s_interval_is_his_published_one() -> None:
    """Newcombe (1998), Table II, method 10: 56 of 70 against 48 of 80, and none of 10 against none of 20."""
    assert seeds.rate_gap(56, 70, 48, 80) == pytest.approx((0.0524, 0.3339), abs=5e-5)
    assert seeds.rate_gap(0, 10, 0, 20) == pytest.approx((-0.1611, 0.2775), abs=5e-5)
    low, high = seeds.rate_gap(2, 10, 5, 10)
    assert seeds.rate_gap(5, 10, 2, 10) == pytest.approx((-high, -low))


def test_exact_tests_know_runs_that_diverged_and_too_few_of_them() -> None:
    for gaps, p in (([-1], 1), ([], 1), ([-1] * 4 + [INF], 17 / 32), ([-1] * 4 + [-INF], 1 / 32), ([-INF, 1], 1 / 2)):
        assert seeds.sign_flip(gaps) == pytest.approx(p)
    three = [4.0, 5.0, 6.0]
    for values, others, p in (([1, 2, 3], three, 0.05), ([1, 2, INF], [4, 5, INF], 5 / 20), ([1], three, 1)):
        assert seeds.ranks(values, others) == pytest.approx(p)
    assert seeds.ranks([1, 2, 3], three) <= 0.05, "it decides"


@given(st.lists(SMALL | st.integers(-9999, 9999).map(lambda n: n / 1000), min_size=2, max_size=7))
def test_sign_flips_are_counted_one_by_one(gaps: list[float]) -> None:
    sums = np.array(list(itertools.product((1, -1), repeat=len(gaps)))) @ gaps
    assert seeds.sign_flip(gaps) == pytest.approx(np.mean(sums <= sum(gaps) + 1e-9))


@given(st.lists(SMALL, min_size=2, max_size=4), st.lists(SMALL, min_size=2, max_size=4))
def test_ranks_are_counted_one_by_one(values: list[float], others: list[float]) -> None:
    rank = stats.rankdata([*values, *others])
    sums = [sum(chosen) for chosen in itertools.combinations(rank, len(values))]  # the first is the one that was found
    assert seeds.ranks(values, others) == pytest.approx(np.mean(np.array(sums) <= sums[0]))
