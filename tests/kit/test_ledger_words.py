"""Every word of every claim can come out of planted records, in a sentence whose fields the records fill."""

import itertools
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from kmgan_book import claims, words
from kmgan_book.claims import FAILS, HOLDS, PARTLY, UNDECIDED, UNTESTABLE, Claim

from ..conftest import MadeUp
from .conftest import record, verdict_on

CLAIMS = {claim.name: claim for claim in claims.load()}
SCORE, F, FID = "classifier_score.value", "classifier_frechet.value", "fid768.value"
NMI, RAW = "clustering.nmi", "clustering.raw_nmi"
LEAST, MOST, HIGH, LOW = (f"class_frequency.{key}" for key in ("frequency.min", "frequency.max", "high.min", "low.max"))
JUMP, SPAN, NEAR = (f"interpolation.{key}" for key in ("largest_step", "span", "validity"))
COPY = "memorisation.ratio"
STEP, USED, COST = "history.center_step", "centers.used", "kmeans_cost.ratio"

# Numbers of a preset: one for all seeds, or one a seed; None diverged. All presets have `HEALTHY` ones first, then what
# is planted for *holds*, then what another word changes. Of a preset both/x first the numbers for mnist/x and fashion/x
# alike, then those of its own.
Numbers = Mapping[str, Any]
Plant = Mapping[str, Numbers]
HEALTHY: Numbers = {SCORE: 8.0, FID: 2.0, "fid768.blurred": 5.0, "fid768.noisy": 6.0}
MIXED = [10.0, 10.0, 10.0, 20.0, 20.0]  # against 12: some seeds lower, some higher
TEN_FAIL, ONE_FAILS, TWO_FAIL, FOUR_FAIL = ([1.0] * k + [9.0] * (10 - k) for k in (10, 1, 2, 4))
ROWS = ("dcgan", "wgan", "mix_wgan", "improved_gan", "ali", "mbgan", "mlgan-clip", "wgan_gp", "sngan")
FACES, TWENTY, DCGAN = "celeba/generalized", "celeba/generalized-k20", "mnist/dcgan-unconditional"
PLUS = "both/kmgan_plus"
HELDOUT, PRINTED, WIDE = "mnist/kmgan-heldout", "mnist/kmgan-printed", "mnist/kmgan-printed-1024"


def kmgan(measure: str, value: Any) -> Plant:
    return {"mnist/kmgan": {measure: value}}


PLANTS: dict[str, dict[str, Plant]] = {
    "C1": {
        HOLDS: {"synthetic/kmgan": {NMI: 0.9, RAW: 0.7}, "synthetic/dcgan": {NMI: 0.5}},
        PARTLY: {"synthetic/kmgan": {NMI: 0.6}}, FAILS: {"synthetic/kmgan": {NMI: 0.5}},
        UNDECIDED: {"synthetic/kmgan": {NMI: [0.9, 0.4, 0.7, 0.3, 0.6]}},
    },
    "C2": {
        HOLDS: {"mnist/kmgan": {SCORE: ONE_FAILS}, "mnist/kmgan-nocenter": {SCORE: TEN_FAIL}},
        PARTLY: {"mnist/kmgan-nocenter": {SCORE: [1.0] * 9 + [9.0]}}, UNDECIDED: kmgan(SCORE, TWO_FAIL),
        FAILS: {"mnist/kmgan-nocenter": {SCORE: 9.0}},
    },
    "C3": {
        HOLDS: {"mnist/kmgan": {F: 10.0}, "mnist/kmgan-pixels": {SCORE: 1.0, F: 100.0}, "mnist/reduced": {SCORE: 1.0}},
        PARTLY: {"mnist/kmgan-pixels": {SCORE: [1.0, 1.0, 1.0, 1.0, 8.0]}}, UNTESTABLE: kmgan(SCORE, 6.0),
        FAILS: {"mnist/kmgan-pixels": {F: 10.0}},
        UNDECIDED: {"mnist/kmgan": {F: [7, 7, 9, 9, 13]}, "mnist/kmgan-pixels": {F: 10.0}},
    },
    "C4": {
        HOLDS: kmgan(SCORE, FOUR_FAIL), UNTESTABLE: kmgan(SCORE, 9.0), UNDECIDED: kmgan(SCORE, TWO_FAIL),
        FAILS: {"mnist/kmgan": {SCORE: ONE_FAILS}, "mnist/kmgan-clip": {SCORE: TEN_FAIL}},
    },
    "C5": {
        HOLDS: {"fashion/kmgan": {SCORE: [1.0, 8.0, 8.0, 8.0, None], LEAST: [0.0, 0.07, 0.07, 0.07, 0], MOST: 0.13,
                                  HIGH: 0.08, LOW: 0.12}, "fashion/dcgan": {LEAST: 0.09, MOST: 0.11}},
        PARTLY: {"fashion/kmgan": {MOST: 0.19}}, UNTESTABLE: {"fashion/dcgan": {LEAST: [0.09, 0.09, 0.06]}},
        FAILS: {"fashion/kmgan": {LEAST: 0.01, HIGH: 0.02}}, UNDECIDED: {"fashion/kmgan": {SCORE: [1, 1, 1, 8, 8]}},
    },
    "C6": {
        HOLDS: {"*/kmgan": {F: 10.0}, **{f"*/{row}": {F: 11.0} for row in ROWS}}, PARTLY: {"*/ali": {F: 9.0}},
        UNTESTABLE: {"*/mix_wgan": {SCORE: 2.0}}, FAILS: {"*/kmgan": {SCORE: 1.0, F: 90.0}},
        UNDECIDED: {"*/kmgan": {F: [10, 10, 14]}},
    },
    "C7": {
        HOLDS: {}, PARTLY: {FACES: {FID: 3.0}}, UNTESTABLE: {"celeba/dcgan": {FID: 7.0}}, FAILS: {FACES: {FID: 5.5}},
        UNDECIDED: {FACES: {FID: [2, 4, 4.5]}},
    },
    "C8": {
        HOLDS: {HELDOUT: {JUMP: 0.1, SPAN: 0.9, NEAR: 1.2, COPY: 1.0}}, PARTLY: {HELDOUT: {NEAR: 1.6}},
        FAILS: {HELDOUT: {SPAN: 0.0}}, UNDECIDED: {HELDOUT: {SPAN: [1, 1, 0]}},
    },
    "C9": {
        HOLDS: {FACES: {USED: 1}, TWENTY: {USED: 1}}, PARTLY: {TWENTY: {USED: 4}}, UNTESTABLE: {FACES: {FID: 7.0}},
        FAILS: {FACES: {USED: 9}, TWENTY: {USED: 18}}, UNDECIDED: {FACES: {USED: 2}},
    },
    "C10": {
        HOLDS: {"mnist/kmgan": {F: 12.0}, "mnist/kmgan-true": {F: 11.0}, "mnist/kmgan-partition": {F: 30.0},
                "mnist/kmgan-pixels": {F: 15.0}, "mnist/kmgan-told": {F: 8.0}},
        PARTLY: {"mnist/kmgan-partition": {F: 12.0}}, UNTESTABLE: {"mnist/kmgan-true": {SCORE: 5.0}},
        FAILS: kmgan(F, 20.0), UNDECIDED: {"mnist/kmgan": {F: MIXED}, "mnist/kmgan-true": {F: 12.0}},
    },
    "C11": {
        HOLDS: {"mnist/kmgan": {COST: 4.0}, FACES: {COST: 40.0}}, PARTLY: kmgan(COST, 1.2), FAILS: {FACES: {COST: 1.2}},
        UNDECIDED: {FACES: {COST: [1.2, 2.0]}},
    },
    "C12": {
        HOLDS: {PRINTED: {STEP: 0.0}, WIDE: {STEP: 0.5}}, PARTLY: {WIDE: {SCORE: [8.0, 8.0, 8.0, 8.0, 1.0]}},
        FAILS: {WIDE: {STEP: 0.0}}, UNDECIDED: {WIDE: {STEP: [0.5, 0.5, 0.5, 0.5, 0.0]}},
    },
    "C13": {
        HOLDS: {"mnist/kmgan": {NMI: 0.6, RAW: 0.5}, DCGAN: {NMI: 0.3}}, PARTLY: kmgan(NMI, 0.45),
        UNTESTABLE: {DCGAN: {SCORE: 5.0}}, FAILS: {DCGAN: {NMI: 0.6}}, UNDECIDED: kmgan(NMI, [0.9, 0.9, 0.2, 0.4, 0.4]),
    },
    "C14": {
        HOLDS: {"both/kmgan": {F: 12.0}, "both/dcgan-unconditional": {F: 12.0}}, PARTLY: {"fashion/kmgan": {F: 30.0}},
        UNTESTABLE: {"fashion/dcgan-unconditional": {SCORE: 4.0}}, FAILS: {"both/kmgan": {F: 30.0}},
        UNDECIDED: {"both/kmgan": {F: MIXED}},
    },
    "C15": {
        HOLDS: {"*/kmgan": {F: 10.0}, "*/dcgan": {F: 11.0}}, UNTESTABLE: {"*/dcgan": {SCORE: 3.0}},
        FAILS: {"*/kmgan": {SCORE: 1.0, F: 90.0}}, UNDECIDED: {"*/kmgan": {F: [10, 10, 14]}},
    },
    "P1": {
        HOLDS: {PLUS: {F: 8.0}, "both/dcgan-unconditional": {F: 12.0}}, PARTLY: {"fashion/kmgan_plus": {F: 12.0}},
        UNTESTABLE: {DCGAN: {SCORE: 6.0}}, FAILS: {PLUS: {F: 12.0}}, UNDECIDED: {PLUS: {F: [7, 7, 9, 12, 20]}},
    },
    "P2": {
        HOLDS: {PLUS: {F: 8.0}, "both/sngan": {F: 20.0}, "both/kmgan_plus-random": {F: 12.0}},
        PARTLY: {"fashion/sngan": {F: 8.0}}, UNTESTABLE: {"fashion/sngan": {SCORE: 4.0}}, FAILS: {PLUS: {F: 12.0}},
        UNDECIDED: {"mnist/kmgan_plus": {F: 9.0}, "both/sngan": {F: 9.0}, "fashion/sngan": {F: 8.0}},
    },
    "P3": {
        HOLDS: {"*/kmgan_plus": {F: 8.0}, "*/kmgan_plus-random": {F: 12.0}, "*/dcgan": {F: 12.0}},
        PARTLY: {"*/kmgan_plus-random": {F: 8.0}}, UNTESTABLE: {"*/dcgan": {SCORE: 3.0}},
        FAILS: {"*/kmgan_plus": {F: 12.0}}, UNDECIDED: {"*/kmgan_plus": {F: [8.0, 8.0, 13.0]}},
    },
    "P4": {
        HOLDS: {"both/kmgan-centerd": {SCORE: 6.0, F: 8.0}, "both/kmgan": {F: 12.0}},
        PARTLY: {"fashion/kmgan-centerd": {SCORE: 4.0}}, FAILS: {"both/kmgan-centerd": {F: 12.0}},
        UNDECIDED: {"both/kmgan-centerd": {F: [6, 8, 11, 14, 20]}},
    },
}  # fmt: skip


@pytest.mark.parametrize(
    ("name", "word"), [(name, word) for name, words in PLANTS.items() for word in words], ids=lambda text: text
)
def test_each_word_of_each_claim_comes_out_of_planted_records(name: str, word: str) -> None:
    claim, plants = CLAIMS[name], (PLANTS[name][HOLDS], PLANTS[name][word])
    found = {}
    for preset, seeds in claim.needs.items():
        numbers = dict(HEALTHY)
        for plant, name in itertools.product(plants, (f"both/{preset.partition('/')[2]}", preset)):
            numbers |= plant.get(name, {})
        found[preset] = [
            record(seed, {m: v[place % len(v)] if isinstance(v, list) else v for m, v in numbers.items()})
            for place, seed in enumerate(seeds)
        ]
    verdict = verdict_on(claim, found)
    assert verdict.word == word, verdict.findings
    assert english(verdict.sentence)
    against = [finding.true for finding in verdict.parts["fails"]]
    assert not (word == HOLDS and all(against)), "the same records for and against"
    assert (re.search("would (not )?decide", verdict.strength) is not None) == (word == UNDECIDED)
    assert (claim.flips in verdict.strength) == (word in (HOLDS, PARTLY, FAILS))


UNITS = r"\d (of \d|times|runs)|\d%|NMI|distance|none of"
PRESET_OR_MEASURE = r"\w+/\w+|[a-z]+_\w+|[a-z_]+\.[a-z_]+|[{}*]|nan|inf\b|diverged of"


def english(sentence: str) -> bool:
    """A sentence of at most 40 words for a reader: numbers with their units, no name of a preset or a measure."""
    assert re.search(PRESET_OR_MEASURE, sentence) is None, sentence
    assert re.search(UNITS, sentence), sentence
    assert len(sentence.split()) <= 40, f"{len(sentence.split())} words: {sentence}"
    return sentence[0].isupper() and sentence.endswith(".")


def outcomes(claim: Claim) -> list[str]:
    """Those of the ledger's outcomes that the lists of conditions can lead to."""
    lists = {"untestable": ("gate", "untestable"), "undecided": ("holds",)}
    return [each for each in words.OUTCOMES if any(claim.parts[part] for part in lists.get(each, (each,)))]


def test_each_outcome_has_its_sentence_and_a_claim_that_waits_says_for_what(tmp_path: Path) -> None:
    for claim in CLAIMS.values():
        assert list(claim.says) == outcomes(claim)
        assert set(claim.calls) == set(claim.needs)
        assert claim.flips
        assert len(set(claim.says.values())) == len(claim.says)
        verdict = claims.verdict(claim, results=tmp_path)
        runs = len(claim.runs(verdict.profile))
        assert verdict.sentence.startswith(f"Waits for {runs} of {runs} runs: {next(iter(claim.calls.values()))} (")
        assert english(verdict.sentence)
        assert len(verdict.sentence) < 180


def test_every_word_that_the_ledger_can_give_is_planted() -> None:
    assert {name: set(words) for name, words in PLANTS.items()} == {
        name: {words.OUTCOMES[outcome] for outcome in outcomes(claim)} for name, claim in CLAIMS.items()
    }


READS = {("mnist/kmgan", SCORE), ("mnist/dcgan", "clustering.nmi")}
NONE: dict[str, list[str]] = {"unready": [], "unmet": []}


def test_a_wrong_field_is_named() -> None:
    for field, complaint in (
        ("{}", "{}: starts with median, least, most, range, failed, runs, or is unready or unmet"),
        ("{__class__}", "starts with"), ("{mode mnist/kmgan classifier_score.value}", "starts with median"),
        ("{median mnist/kmgan}", "median needs a preset and a measure"), ("{runs}", "runs needs a preset"),
        ("{failed mnist/kmgan classifier_score.value}", "failed needs a preset"),
        ("{median mnist/kmgan-clip classifier_score.value}", "does not read mnist/kmgan-clip"),
        ("{median mnist/kmgan clustering.nmi}", "does not read clustering.nmi of mnist/kmgan"),
        ("{failed mnist/dcgan}", "does not read classifier_score.value of mnist/dcgan"),
        ("{median alive mnist/dcgan clustering.nmi}", "does not read classifier_score.value of mnist/dcgan"),
        ("{runs mnist/kmgan", "unmatched brace"), ("runs}", "unmatched brace"),
        ("{{runs mnist/kmgan}}", "unmatched brace"),
    ):  # fmt: skip
        found = list(words.complaints(f"It scores {field}.", READS))
        assert len(found) == 1, field
        assert complaint in found[0]


def test_numbers_of_several_seeds_become_one_text_and_diverged_runs_have_none(made_up: MadeUp, tmp_path: Path) -> None:
    group = [made_up(tmp_path, seed=seed, score=score) for seed, score in enumerate((8.5, 9.0, 1.0))]
    for field, text in {
        "median": "8.5 of 10", "least": "1.0 of 10", "most": "9.0 of 10", "range": "1.0 to 9.0 of 10",
        "range alive": "8.5 to 9.0 of 10",
    }.items():  # fmt: skip
        sentence = f"It scores {{{field} mnist/kmgan {SCORE}}}; {{failed mnist/kmgan}} fail, {{runs mnist/kmgan}} ran."
        assert list(words.complaints(sentence, READS)) == []
        said = words.fill(sentence, {"mnist/kmgan": group}, NONE)
        assert said == f"It scores {text}; 1 of 3 fail, 3 ran."
    diverged = made_up(tmp_path, seed=3, score=None)
    for runs, text in (([group[0], diverged], "8.5 of 10 (1 diverged)"), ([diverged], "none")):
        assert words.fill(f"{{range mnist/kmgan {SCORE}}}", {"mnist/kmgan": runs}, NONE) == text


def test_numbers_have_the_decimals_and_the_unit_of_their_measure_and_systems_are_listed() -> None:
    for measure, numbers, text in (
        ("class_frequency.frequency.min", [0.0588, 0.1], "5.9 to 10.0%"), ("clustering.nmi", [0.5], "0.50"),
        ("classifier_frechet.value", [12.88, 1055.4], "12.9 to 1,055"), ("kmeans_cost.ratio", [4.0, 4.04], "4.0 times"),
        ("interpolation.largest_step", [0.1], "10%"), ("interpolation.span", [0.1], "0.10"), ("centers.used", [1], "1"),
        ("history.center_step", [0.0, 0.125], "0.0 to 12.5%"), ("fid768.value", [1.5], "1.50"),
    ):  # fmt: skip
        assert words.number(measure, numbers) == text
    said = [words.listed(names) for names in ([], ["A"], ["A", "B", "A"], list("ABC"))]
    assert said == ["", "A", "A and B", "A, B and C"]
    waits = words.waiting({"A": 1, "B": 2, "C": 1, "D": 4}, 9)
    assert waits == "Waits for 8 of 9 runs: A (1), B (2), C (1) and 1 more."
