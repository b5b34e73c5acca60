"""Each claim can hold, hold partly and fail by planted records; its sentences are English that the records fill."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from kmgan_book import claims, words
from kmgan_book.claims import FAILS, HOLDS, PARTLY, Claim, Verdict
from kmgan_lib.errors import UsageError

from .conftest import record, verdict_on

CLAIMS = {claim.name: claim for claim in claims.load()}
SCORE, F, FID = "classifier_score.value", "classifier_frechet.value", "fid768.value"
NMI, RAW = "clustering.nmi", "clustering.raw_nmi"
LEAST, MOST, HIGH, LOW = (f"class_frequency.{key}" for key in ("frequency.min", "frequency.max", "high.min", "low.max"))
JUMP, SPAN, NEAR = (f"interpolation.{key}" for key in ("largest_step", "span", "validity"))
COPY = "memorisation.ratio"
STEP, USED, COST = "history.center_step", "centers.used", "kmeans_cost.ratio"

# Numbers of a preset: one for all seeds, or one a seed; None diverged.
Numbers = Mapping[str, Any]
Plant = Mapping[str, Numbers]
LEVEL: Numbers = {FID: 2.0, "fid768.blurred": 5.0, "fid768.noisy": 6.0}
TEN_FAIL, ONE_FAILS, FOUR_FAIL = ([1.0] * k + [9.0] * (10 - k) for k in (10, 1, 4))
ROWS = ("dcgan", "wgan", "mix_wgan", "improved_gan", "ali", "mbgan", "mlgan-clip", "wgan_gp", "sngan")
FACES, TWENTY, DCGAN = "celeba/generalized", "celeba/generalized-k20", "mnist/dcgan-unconditional"
OURS, PLUS, CLOTHES = "mnist/kmgan", "mnist/kmgan_plus", "fashion/kmgan"
HELDOUT, PRINTED, WIDE = "mnist/kmgan-heldout", "mnist/kmgan-printed", "mnist/kmgan-printed-1024"
# What makes a claim hold, and what is changed for it to hold partly, where it can, and not at all.
PLANTS: dict[str, tuple[Plant, Plant | None, Plant]] = {
    "C1": ({"synthetic/kmgan": {NMI: 0.9, RAW: 0.7}, "synthetic/dcgan": {NMI: 0.5}},
           {"synthetic/kmgan": {NMI: 0.6}}, {"synthetic/kmgan": {NMI: 0.5}}),
    "C2": ({OURS: {SCORE: ONE_FAILS}, "mnist/kmgan-nocenter": {SCORE: TEN_FAIL}},
           {"mnist/kmgan-nocenter": {SCORE: [1.0] * 9 + [9.0]}}, {"mnist/kmgan-nocenter": {SCORE: 9.0}}),
    "C3": ({OURS: {SCORE: 8.0, F: 10.0}, "mnist/kmgan-pixels": {SCORE: 1.0, F: 100.0}, "mnist/reduced": {SCORE: 1.0}},
           {"mnist/kmgan-pixels": {SCORE: [1.0, 1.0, 1.0, 1.0, 8.0]}}, {"mnist/kmgan-pixels": {F: 10.0}}),
    "C4": ({OURS: {SCORE: FOUR_FAIL}, "mnist/kmgan-clip": {SCORE: 9.0}},
           None, {OURS: {SCORE: ONE_FAILS}, "mnist/kmgan-clip": {SCORE: TEN_FAIL}}),
    "C5": ({CLOTHES: {SCORE: [1.0, 8.0, 8.0, 8.0, None], LEAST: [0.0, 0.07, 0.07, 0.07, 0], MOST: 0.13, HIGH: 0.08,
                      LOW: 0.12}, "fashion/dcgan": {SCORE: 8.0, LEAST: 0.09, MOST: 0.11}},
           {CLOTHES: {MOST: 0.19}}, {CLOTHES: {LEAST: 0.01, HIGH: 0.02}}),
    "C6": ({"*/kmgan": {SCORE: 5.0, F: 10.0}, **{f"*/{row}": {SCORE: 5.0, F: 11.0} for row in ROWS}},
           {"*/ali": {F: 9.0}}, {"*/kmgan": {SCORE: 1.0, F: 90.0}}),
    "C7": ({FACES: LEVEL, "celeba/dcgan": LEVEL}, {FACES: {FID: 3.0}}, {FACES: {FID: 5.5}}),
    "C8": ({HELDOUT: {SCORE: 8.0, JUMP: 0.1, SPAN: 0.9, NEAR: 1.2, COPY: 1.0}},
           {HELDOUT: {NEAR: 1.6}}, {HELDOUT: {SPAN: 0.0}}),
    "C9": ({FACES: {**LEVEL, USED: 1}, TWENTY: {**LEVEL, USED: 1}},
           {TWENTY: {USED: 4}}, {FACES: {USED: 9}, TWENTY: {USED: 18}}),
    "C10": ({OURS: {F: 12.0}, "mnist/kmgan-true": {SCORE: 8.0, F: 11.0}, "mnist/kmgan-partition": {F: 30.0},
             "mnist/kmgan-pixels": {F: 15.0}, "mnist/kmgan-told": {F: 8.0}},
            {"mnist/kmgan-partition": {F: 12.0}}, {OURS: {F: 20.0}}),
    "C11": ({OURS: {COST: 4.0}, FACES: {COST: 40.0}}, {OURS: {COST: 1.2}}, {FACES: {COST: 1.2}}),
    "C12": ({PRINTED: {SCORE: 8.0, STEP: 0.0}, WIDE: {SCORE: 8.0, STEP: 0.5}},
            {WIDE: {SCORE: [8.0, 8.0, 8.0, 8.0, 1.0]}}, {WIDE: {STEP: 0.0}}),
    "C13": ({OURS: {NMI: 0.6, RAW: 0.5}, DCGAN: {SCORE: 8.0, NMI: 0.3}}, {OURS: {NMI: 0.45}}, {DCGAN: {NMI: 0.6}}),
    "C14": ({OURS: {F: 12.0}, CLOTHES: {F: 12.0}, DCGAN: {SCORE: 8.0, F: 12.0},
             "fashion/dcgan-unconditional": {SCORE: 6.0, F: 12.0}},
            {CLOTHES: {F: 30.0}}, {OURS: {F: 30.0}, CLOTHES: {F: 30.0}}),
    "C15": ({"*/kmgan": {SCORE: 5.0, F: 10.0}, "*/dcgan": {SCORE: 5.0, F: 11.0}},
            None, {"*/kmgan": {SCORE: 1.0, F: 90.0}}),
    "P1": ({PLUS: {F: 8.0}, "fashion/kmgan_plus": {F: 8.0}, DCGAN: {SCORE: 8.0, F: 12.0},
            "fashion/dcgan-unconditional": {SCORE: 6.0, F: 12.0}},
           {"fashion/kmgan_plus": {F: 12.0}}, {PLUS: {F: 12.0}, "fashion/kmgan_plus": {F: 12.0}}),
    "P2": ({PLUS: {F: 8.0}, "fashion/kmgan_plus": {F: 8.0}, "mnist/sngan": {SCORE: 8.0, F: 20.0},
            "mnist/kmgan_plus-random": {SCORE: 8.0, F: 12.0}, "fashion/sngan": {SCORE: 6.0, F: 20.0},
            "fashion/kmgan_plus-random": {SCORE: 6.0, F: 12.0}},
           {"fashion/sngan": {F: 8.0}}, {PLUS: {F: 12.0}, "fashion/kmgan_plus": {F: 12.0}}),
    "P3": ({"*/kmgan_plus": {F: 8.0}, "*/kmgan_plus-random": {F: 12.0}, "*/dcgan": {SCORE: 5.0, F: 12.0}},
           {"*/kmgan_plus-random": {F: 8.0}}, {"*/kmgan_plus": {F: 12.0}}),
    "P4": ({"mnist/kmgan-centerd": {F: 8.0}, OURS: {F: 12.0}, "fashion/kmgan-centerd": {SCORE: 6.0, F: 8.0},
            CLOTHES: {F: 12.0}},
           {"fashion/kmgan-centerd": {SCORE: 4.0}},
           {"mnist/kmgan-centerd": {F: 12.0}, "fashion/kmgan-centerd": {F: 12.0}}),
}  # fmt: skip


def planted(claim: Claim, base: Plant, changes: Plant) -> Verdict:
    """The verdict from records of all runs that a claim needs, with these numbers."""
    found = {}
    for name, seeds in claim.needs.items():
        measures = {**base[name], **changes.get(name, {})}
        found[name] = [
            record(seed, {m: v[place % len(v)] if isinstance(v, list) else v for m, v in measures.items()})
            for place, seed in enumerate(seeds)
        ]
    return verdict_on(claim, found)


@pytest.mark.parametrize("name", CLAIMS)
def test_each_claim_holds_partly_holds_and_fails_by_planted_records_and_says_so_in_english(name: str) -> None:
    claim, (base, partly, fails) = CLAIMS[name], PLANTS[name]
    assert (partly is None) == (not claim.parts["partly"])
    for word, changes in ((HOLDS, {}), (PARTLY, partly), (FAILS, fails)):
        if changes is not None:
            verdict = planted(claim, base, changes)
            assert verdict.word == word, verdict.findings
            assert english(verdict.sentence)
            assert claim.flips in verdict.strength
            against = [finding.true for finding in verdict.parts["fails"]]
            assert not (word == HOLDS and all(against)), "the same records for and against"
    for sentence in claim.says.values():
        assert english(words.fill(sentence, planted(claim, base, {}).found, {"unready": ["DCGAN"], "unmet": ["WGAN"]}))


UNITS = r"\d (of \d|times|runs)|\d%|NMI|distance|none of"
PRESET_OR_MEASURE = r"\w+/\w+|[a-z]+_\w+|[a-z_]+\.[a-z_]+|[{}*]|nan|inf\b|diverged of"


def english(sentence: str) -> bool:
    """A sentence of at most 40 words for a reader: numbers with their units, no name of a preset or a measure."""
    assert re.search(PRESET_OR_MEASURE, sentence) is None, sentence
    assert re.search(UNITS, sentence), sentence
    assert len(sentence.split()) <= 40, f"{len(sentence.split())} words: {sentence}"
    return sentence[0].isupper() and sentence.endswith(".")


def test_each_outcome_has_its_sentence_each_system_its_name_and_a_claim_that_waits_says_for_what(
    tmp_path: Path,
) -> None:
    lists = {"untestable": ("gate", "untestable"), "undecided": ("holds",)}
    for claim in CLAIMS.values():
        possible = [each for each in words.OUTCOMES if any(claim.parts[part] for part in lists.get(each, (each,)))]
        assert list(claim.says) == possible
        assert set(claim.calls) == set(claim.needs)
        assert claim.flips
        verdict = claims.verdict(claim, results=tmp_path)
        runs = len(claim.runs(verdict.profile))
        assert verdict.sentence.startswith(f"Waits for {runs} of {runs} runs: {next(iter(claim.calls.values()))} (")
        assert english(verdict.sentence)


READS = {("mnist/kmgan", SCORE), ("mnist/dcgan", "clustering.nmi")}
NONE: dict[str, list[str]] = {"unready": [], "unmet": []}


def test_a_wrong_field_is_one_line() -> None:
    for field, complaint in (
        ("{}", "starts with median, least, most, range, failed, runs, or is unready or unmet"),
        ("{median mnist/kmgan}", "median needs a preset and a measure"),
        ("{failed mnist/kmgan classifier_score.value}", "failed needs a preset"),
        ("{median mnist/kmgan-clip classifier_score.value}", "does not read mnist/kmgan-clip"),
        ("{failed mnist/dcgan}", "does not read classifier_score.value of mnist/dcgan"),
        ("{median alive mnist/dcgan clustering.nmi}", "does not read classifier_score.value of mnist/dcgan"),
        ("{runs mnist/kmgan", "a brace without"),
    ):
        with pytest.raises(UsageError, match=complaint.replace(".", r"\.")):
            words.check(f"It scores {field}.", READS)


def test_numbers_of_several_seeds_become_one_text_and_diverged_runs_have_none() -> None:
    group = [record(seed, {SCORE: score}) for seed, score in enumerate((8.5, 9.0, 1.0))]
    for field, text in {
        "median": "8.5 of 10", "least": "1.0 of 10", "most": "9.0 of 10", "range": "1.0 to 9.0 of 10",
        "range alive": "8.5 to 9.0 of 10",
    }.items():  # fmt: skip
        sentence = f"{{{field} mnist/kmgan {SCORE}}}; {{failed mnist/kmgan}} fail, {{runs mnist/kmgan}} ran."
        words.check(sentence, READS)
        assert words.fill(sentence, {"mnist/kmgan": group}, NONE) == f"{text}; 1 of 3 fail, 3 ran."
    diverged = record(3, {SCORE: None})
    for runs, text in (([group[0], diverged], "8.5 of 10 (1 diverged)"), ([diverged], "none")):
        assert words.fill(f"{{range mnist/kmgan {SCORE}}}", {"mnist/kmgan": runs}, NONE) == text


def test_numbers_have_the_decimals_and_the_unit_of_their_measure_and_systems_are_listed() -> None:
    for measure, numbers, text in (
        (LEAST, [0.0588, 0.1], "5.9 to 10.0%"), (NMI, [0.5], "0.50"), (F, [12.88, 1055.4], "12.9 to 1,055"),
        (COST, [4.0, 4.04], "4.0 times"), (JUMP, [0.1], "10%"), (SPAN, [0.1], "0.10"), (USED, [1], "1"),
    ):  # fmt: skip
        assert words.number(measure, numbers) == text
    said = [words.listed(names) for names in ([], ["A"], ["A", "B", "A"], list("ABC"))]
    assert said == ["", "A", "A and B", "A, B and C"]
    waits = words.waiting({"A": 1, "B": 2, "C": 1, "D": 4}, 9)
    assert waits == "Waits for 8 of 9 runs: A (1), B (2), C (1) and 1 more."


def test_the_ledger_refuses_wrong_sentences(tmp_path: Path) -> None:
    entry = yaml.safe_load(claims.LEDGER.read_text(encoding="utf8"))["C2"]
    path = tmp_path / "ledger.yml"
    for changes, complaint in (
        ({"says": {"holds": "{median mnist/kmgan x.y}"}}, "ledger.yml, C2: says holds: {median mnist/kmgan x.y}: the"),
        ({"says": {"maybe": "x"}}, "says maps some of holds, partly, fails, undecided, untestable to texts"),
        ({"calls": {"mnist/dcgan": "D"}}, "calls maps some of mnist/kmgan, mnist/"), ({"flips": 3}, "flips must be"),
    ):  # fmt: skip
        path.write_text(yaml.safe_dump({"C2": {**entry, **changes}}))
        with pytest.raises(UsageError, match=re.escape(complaint)):
            claims.load(path)
