"""Sentences of the ledger: what a field may ask for, and what it becomes."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from kmgan_book import claims, words
from kmgan_lib.errors import UsageError

from ..conftest import MadeUp

SCORE = "classifier_score.value"
READS = {("mnist/kmgan", SCORE), ("mnist/dcgan", "clustering.nmi")}
NONE: dict[str, list[str]] = {"unready": [], "unmet": []}


@pytest.mark.parametrize(
    ("field", "complaint"),
    [
        ("{}", "starts with median, least, most, range, failed, runs, or is unready or unmet"),
        ("{mode mnist/kmgan classifier_score.value}", "starts with median"),
        ("{median mnist/kmgan}", "median needs a preset and a measure"),
        ("{failed mnist/kmgan classifier_score.value}", "failed needs a preset"),
        ("{runs}", "runs needs a preset"),
        ("{median mnist/kmgan-clip classifier_score.value}", "does not read mnist/kmgan-clip"),
        ("{median mnist/kmgan clustering.nmi}", "does not read clustering.nmi of mnist/kmgan"),
        ("{failed mnist/dcgan}", "does not read classifier_score.value of mnist/dcgan"),
        ("{median alive mnist/dcgan clustering.nmi}", "does not read classifier_score.value of mnist/dcgan"),
        ("{__class__}", "starts with"), ("{runs mnist/kmgan", "a brace without"), ("runs}", "a brace without"),
        ("{{runs mnist/kmgan}}", "a brace without"),
    ],
)  # fmt: skip
def test_a_wrong_field_is_one_line(field: str, complaint: str) -> None:
    with pytest.raises(UsageError, match=complaint.replace(".", r"\.")) as caught:
        words.check(f"It scores {field}.", READS)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("field", "text"),
    [("median", "8.5 of 10"), ("least", "1.0 of 10"), ("most", "9.0 of 10"), ("range", "1.0 to 9.0 of 10"),
     ("range alive", "8.5 to 9.0 of 10")],
)  # fmt: skip
def test_numbers_of_several_seeds_become_one_text(made_up: MadeUp, tmp_path: Path, field: str, text: str) -> None:
    group = [made_up(tmp_path, seed=seed, score=score) for seed, score in enumerate((8.5, 9.0, 1.0))]
    sentence = f"It scores {{{field} mnist/kmgan {SCORE}}}; {{failed mnist/kmgan}} runs fail, {{runs mnist/kmgan}} ran."
    words.check(sentence, READS)
    said = words.fill(sentence, {"mnist/kmgan": group}, NONE)
    assert said == f"It scores {text}; 1 of 3 runs fail, 3 ran."


def test_diverged_runs_are_counted_and_have_no_number(made_up: MadeUp, tmp_path: Path) -> None:
    group = [made_up(tmp_path, seed=seed, score=score) for seed, score in enumerate((8.5, None))]
    sentence = f"{{range mnist/kmgan {SCORE}}}"
    assert words.fill(sentence, {"mnist/kmgan": group}, NONE) == "8.5 of 10 (1 diverged)"
    assert words.fill(sentence, {"mnist/kmgan": group[1:]}, NONE) == "none"


@pytest.mark.parametrize(
    ("measure", "numbers", "text"),
    [("class_frequency.frequency.min", [0.0588, 0.1], "5.9 to 10.0%"), ("clustering.nmi", [0.5], "0.50"),
     ("classifier_frechet.value", [12.88, 1055.4], "12.9 to 1,055"), ("kmeans_cost.ratio", [4.0, 4.04], "4.0 times"),
     ("interpolation.largest_step", [0.1], "10%"), ("interpolation.span", [0.1], "0.10"), ("centers.used", [1], "1"),
     ("history.center_step", [0.0, 0.125], "0.0 to 12.5%"), ("fid768.value", [1.5], "1.50")],
)  # fmt: skip
def test_numbers_have_the_decimals_and_the_unit_of_their_measure(measure: str, numbers: list[float], text: str) -> None:
    assert words.number(measure, numbers) == text


def test_systems_are_listed() -> None:
    assert [words.listed(names) for names in ([], ["A"], ["A", "B", "A"], list("ABC"))] == [
        "",
        "A",
        "A and B",
        "A, B and C",
    ]
    assert (
        words.waiting({"A": 1, "B": 2, "C": 1, "D": 4}, 9) == "Waits for 8 of 9 runs: A (1), B (2), C (1) and 1 more."
    )


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [({"says": {"holds": "{median mnist/kmgan x.y}"}}, "ledger.yml, C2: says holds: {median mnist/kmgan x.y}: the"),
     ({"says": {"maybe": "x"}}, "says maps some of holds, partly, fails, undecided, untestable to texts"),
     ({"says": ["x"]}, "says maps"), ({"calls": {"mnist/dcgan": "DCGAN"}}, "calls maps some of mnist/kmgan, mnist/"),
     ({"calls": {"mnist/kmgan": 1}}, "calls maps"), ({"flips": 3}, "flips must be text")],
)  # fmt: skip
def test_the_ledger_refuses_wrong_sentences(tmp_path: Path, changes: dict[str, Any], complaint: str) -> None:
    entry = yaml.safe_load(claims.LEDGER.read_text(encoding="utf8"))["C2"]
    path = tmp_path / "ledger.yml"
    path.write_text(yaml.safe_dump({"C2": {**entry, **changes}}))
    with pytest.raises(UsageError) as caught:
        claims.load(path)
    assert complaint in str(caught.value)
    assert "\n" not in str(caught.value)
