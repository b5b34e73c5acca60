"""The answer of the book and its tables: sentences that fit whatever the verdicts become, numbers of the runs."""

import itertools
import json
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from kmgan_book import claims, records, report
from kmgan_book.claims import FAILS, HOLDS, NOT_RUN, PARTLY, UNDECIDED, UNTESTABLE, VERDICTS
from kmgan_book.conditions import Finding
from kmgan_book.report import Html
from kmgan_pages import answer

from .conftest import record

BESIDE = Html("<em>beside</em>")
CLAIMS = {claim.name: claim for claim in claims.load()}


def judged(name: str, word: str, *met: str) -> Any:
    """A verdict on a claim, with the conditions for *holds* met on these data sets, or on all."""
    parts = [Finding(not met or each.given.of.partition("/")[0] in met, "") for each in CLAIMS[name].parts["holds"]]
    return SimpleNamespace(
        claim=CLAIMS[name], word=word, sentence="It scores 8.0 of 10.", waits=word == NOT_RUN, parts={"holds": parts}
    )


def verdicts(*words: str) -> dict[str, Any]:
    """All claims of the book; the first have these words, in turn."""
    return {name: judged(name, word) for name, word in zip(CLAIMS, itertools.cycle(words), strict=False)}


def text(html: Html) -> str:
    return re.sub(r"<[^>]*>", "", html.text)


@pytest.mark.parametrize(
    ("word", "end"),
    [(HOLDS, ", as well as a DCGAN without labels does."), (FAILS, ", but less well than a DCGAN without labels."),
     (PARTLY, ", on one data set of two as well as a DCGAN without labels does."), (UNDECIDED, " is undecided."),
     (UNTESTABLE, " is not shown yet."), (NOT_RUN, " is not shown yet.")],
)  # fmt: skip
def test_the_headline_follows_the_runs_and_the_comparison(monkeypatch: pytest.MonkeyPatch, word: str, end: str) -> None:
    runs: dict[str, list[int]] = {"fashion/kmgan": [], "cifar10-32/kmgan": []}
    monkeypatch.setattr(report, "largest", lambda _: "quick")
    monkeypatch.setattr(records, "load", lambda preset, _: runs[preset])
    monkeypatch.setattr(answer, "has_failed", lambda record: record < 0)
    for ours, begin in (
        ([1, 1], "generates digits without labels (0 of 2 runs fail)"),
        ([1, -1], "generates digits without labels (1 of 2 runs fails)"),
        ([1, -1, -1], "seldom generates digits without labels (2 of 3 runs fail)"),
    ):
        runs["mnist/kmgan"] = ours
        said = answer.headline(verdicts(word))
        assert said.startswith(f"KM-GAN {begin}")
        assert said.endswith(end)
    runs |= {"fashion/kmgan": [1, -1], "cifar10-32/kmgan": [-1, -1, 1]}
    assert answer.headline(verdicts(word)).endswith("; 1 of 2 runs on Fashion and 2 of 3 runs on CIFAR-10 fail.")


def test_claims_are_counted_by_verdict() -> None:
    many = sum(name.startswith("C") for name in verdicts(HOLDS))
    assert answer.counted(verdicts(HOLDS)) == f"Of {many} claims of the paper, {many} hold."
    assert sum(map(int, re.findall(r"\d+", answer.counted(verdicts(*VERDICTS)))[1:])) == many
    assert "1 holds" in answer.counted({"C1": verdicts(HOLDS)["C1"], "P1": verdicts(HOLDS)["C2"]})


def test_the_repair_is_one_sentence_once_it_is_decided() -> None:
    for better, drawn, why, thanks, photos, end in (
        (UNDECIDED, [], HOLDS, [], HOLDS, None),
        (FAILS, [], HOLDS, [], HOLDS, "is not clearly better than DCGAN without labels either."),
        (PARTLY, ["fashion"], PARTLY, ["fashion"], FAILS,
         "generates better garments than DCGAN without labels, thanks to its clusters, but not reliably better digits. "
         "On CIFAR-10 it is not clearly better."),
        (HOLDS, [], PARTLY, ["mnist"], HOLDS,
         "generates better digits and garments than DCGAN without labels; its clusters are the reason for digits. On "
         "CIFAR-10 it is better, too."),
        (PARTLY, ["mnist"], FAILS, [], UNDECIDED,
         "generates better digits than DCGAN without labels; a random partition in place of its clusters does as well, "
         "but not reliably better garments."),
    ):  # fmt: skip
        decided = {"P1": judged("P1", better, *drawn), "P2": judged("P2", why, *thanks), "P3": judged("P3", photos)}
        assert answer.repaired(decided) == (f"This book's repair, KM-GAN+, {end}" if end else "")


def test_the_screen_and_the_advice_fit_every_verdict(monkeypatch: pytest.MonkeyPatch) -> None:
    for word in VERDICTS:
        monkeypatch.setattr(answer, "_verdicts", lambda word=word: verdicts(word))
        screen = answer.first_screen(BESIDE)
        assert BESIDE.text in screen.text
        assert "Of 20 later runs (" in screen.text
        assert screen.text.count("<li") == (0 if word == NOT_RUN else len(CLAIMS))
        assert len(text(answer.advice()).split()) > 10


def test_three_numbers_have_units_and_each_claim_of_the_ledger_is_once_on_the_page_of_verdicts() -> None:
    for number, what in answer.numbers():
        assert re.fullmatch(r"[\d.]+ of \d+( runs)?", number)
        assert what
    page = (Path(records.RESULTS).parent / "verdict.ipynb").read_text(encoding="utf8")
    cells = ["".join(cell["source"]) for cell in json.loads(page)["cells"]]
    calls = re.findall(r"answer\.ledger\((.*?)\)", "\n".join(cells))
    names = re.findall(r"\w+", " ".join(calls))
    assert sorted(names) == sorted(CLAIMS)
    shown = answer.ledger(*names).text
    assert all(f'<li id="verdict-{name}">' in shown for name in names)
    assert shown.count("<details") == shown.count("</details>") == len(names)


def test_numbers_have_a_mean_a_range_and_decimals_a_format_or_are_p_values() -> None:
    spans = {(): "–", (0.5,): "0.50", (0.25, 0.75): "0.50 (0.25 to 0.75)"}
    assert {numbers: report.span(numbers) for numbers in spans} == spans
    assert report.span([0.1234], ".1%") == "12.3%"
    assert [report.span([p], "p") for p in (0.0004, 0.25)] == ["< 0.001", "0.250"]
    assert report.failures([1.0, report.FAILED, 8.0]) == "1 of 3 seeds"


def test_table_counts_seeds_and_diverged_runs_and_says_what_is_missing() -> None:
    half, fifth, most = (record(0, {"clustering.nmi": nmi}) for nmi in (0.5, 0.2, 0.4))
    groups = {"one": [half, record(1, {"clustering.nmi": None})], "two": [], "three": [fifth, most]}
    columns = {"NMI": report.NMI, "score": report.SCORE, "share": ("clustering", "nmi", ".0%")}
    text = report.table(groups, columns, "recorded · quick")._repr_html_()
    assert "<td>2, 1 diverged</td><td>0.50</td><td>50%</td>" in text
    assert '<td>0.30<br><span class="range">0.20 to 0.40</span></td>' in text
    assert "score" not in text  # nobody has one
    some = report.table({"one": [half, most, record(2, {})]}, {"NMI": report.NMI}, "recorded")
    assert '0.45<br><span class="range">0.40 to 0.50</span><br><span class="range">2 of 3 seeds</span>' in some.text
    assert "<p>Not yet recorded: two.</p>" in text
    assert 'class="badge-recorded"' in text
