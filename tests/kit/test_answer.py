"""The answer of the book: sentences that fit whatever the verdicts become."""

from __future__ import annotations

import re
from types import SimpleNamespace
from typing import Any

import pytest

from kmgan_book import answer, claims
from kmgan_book.claims import FAILS, HOLDS, NOT_RUN, PARTLY, UNDECIDED, UNTESTABLE, VERDICTS
from kmgan_book.report import Html

BESIDE = Html("<em>beside</em>")


def verdicts(*words: str) -> dict[str, Any]:
    """All claims of the book; the first have these words, in turn."""
    found = {}
    for place, claim in enumerate(claims.load()):
        word = words[place % len(words)]
        found[claim.name] = SimpleNamespace(
            claim=claim, word=word, sentence="It scores 8.0 of 10.", waits=word == NOT_RUN
        )
    return found


def text(html: Html) -> str:
    return re.sub(r"<[^>]*>", "", html.text)


@pytest.mark.parametrize(
    ("word", "end"),
    [(HOLDS, ", as well as a DCGAN without labels does."), (FAILS, ", but less well than a DCGAN without labels."),
     (PARTLY, ", on one data set of two as well as a DCGAN without labels does."), (UNDECIDED, " is undecided."),
     (UNTESTABLE, " is not shown yet."), (NOT_RUN, " is not shown yet.")],
)  # fmt: skip
def test_the_headline_follows_the_runs_and_the_comparison(monkeypatch: pytest.MonkeyPatch, word: str, end: str) -> None:
    for failed, begin in ((0, "in 4 of 4 runs"), (2, "in 2 of 4 runs"), (3, "in only 1 of 4 runs")):
        monkeypatch.setattr(answer, "_group", lambda _, failed=failed: list(range(4 - failed)) + [-1] * failed)
        monkeypatch.setattr(answer, "has_failed", lambda record: record < 0)
        said = answer.headline(verdicts(word))
        assert said.startswith(f"KM-GAN draws digits without labels {begin}")
        assert said.endswith(end)
        assert "\n" not in said


def test_claims_are_counted_by_verdict() -> None:
    many = sum(name.startswith("C") for name in verdicts(HOLDS))
    assert answer.counted(verdicts(HOLDS)) == f"Of {many} claims of the paper, {many} hold."
    said = answer.counted(verdicts(*VERDICTS))
    assert sum(map(int, re.findall(r"\d+", said)[1:])) == many
    assert "1 holds" in answer.counted({"C1": verdicts(HOLDS)["C1"], "P1": verdicts(HOLDS)["C2"]})


def test_the_repair_is_one_sentence_once_it_is_decided() -> None:
    for better in VERDICTS:
        for why in VERDICTS:
            both: dict[str, Any] = {"P1": SimpleNamespace(word=better), "P2": SimpleNamespace(word=why)}
            said = answer.repaired(both)
            assert bool(said) == (better in (HOLDS, PARTLY, FAILS))
            assert said.count(".") == bool(said)
            assert ("random partition" in said) == (better in (HOLDS, PARTLY) and why == FAILS)


@pytest.mark.parametrize("word", VERDICTS)
def test_the_screen_and_the_conclusion_fit_every_verdict(monkeypatch: pytest.MonkeyPatch, word: str) -> None:
    monkeypatch.setattr(answer, "_verdicts", lambda: verdicts(word))
    screen, said = answer.first_screen(BESIDE), text(answer.said("C2", "C4"))
    assert BESIDE.text in screen.text
    assert screen.text.count("<li") == (0 if word == NOT_RUN else len(claims.load()))
    assert said == ("C2 and C4 wait for runs." if word == NOT_RUN else
                    f"It scores 8.0 of 10 (C2 {word}). It scores 8.0 of 10 (C4 {word}).")  # fmt: skip
    assert len(text(answer.advice()).split()) > 10


def test_three_numbers_have_units() -> None:
    for number, what in answer.numbers():
        assert re.fullmatch(r"[\d.]+ of \d+( runs)?", number)
        assert what


def test_each_claim_of_the_ledger_is_a_line_with_its_verdict() -> None:
    shown = answer.ledger().text
    for verdict in claims.verdicts():
        assert f'<li id="verdict-{verdict.claim.name}">' in shown
    assert shown.count("<details") == shown.count("</details>") == len(claims.load())
