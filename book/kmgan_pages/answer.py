"""The answer of the whole book in HTML: first screen, ledger, conclusion, all of it computed from the verdicts."""

import statistics
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path

from kmgan_book import claims, records, report, words
from kmgan_book.claims import FAILS, HOLDS, MARKS, NOT_RUN, PARTLY, UNDECIDED, VERDICTS, Verdict
from kmgan_book.conditions import SCORE, has_failed
from kmgan_book.records import Record
from kmgan_book.report import Html
from kmgan_book.strict import read_yaml
from kmgan_pages import dates

OURS, OTHER, WITHOUT = "mnist/kmgan", "mnist/dcgan-unconditional", "mnist/kmgan-nocenter"
_ELSEWHERE = {"Fashion": "fashion/kmgan", "CIFAR-10": "cifar10-32/kmgan"}
_DRAWN = {"mnist": "digits", "fashion": "garments"}
_WIDTHS = {1: "the paper's width", 0.5: "half the paper's width", 0.25: "a quarter of the paper's width",
           0.125: "an eighth of the paper's width"}  # fmt: skip


def _text(part: str, word: str) -> str:
    """What ``answer.yml`` says where a verdict has this word."""
    texts = read_yaml(records.RESULTS.parent / "answer.yml")[part]
    return texts.get(word, texts["else"])


def _verdicts() -> dict[str, Verdict]:
    return {verdict.claim.name: verdict for verdict in claims.verdicts()}


def _group(preset: str) -> list[Record]:
    """Records of a preset at the largest profile that has any of KM-GAN's on digits."""
    return report.recorded({"": preset}, report.largest(OURS))[""]


def _count(group: Sequence[Record], failed: bool) -> str:
    return f"{sum(has_failed(record) == failed for record in group)} of {len(group)}"


def _middle(group: Sequence[Record]) -> str:
    """The median score of the runs that did not diverge."""
    scores = [record.value(SCORE) for record in group if not record.diverged]
    return words.number(SCORE, [statistics.median(scores)]).removesuffix(" of 10") if scores else "–"


def headline(verdicts: Mapping[str, Verdict]) -> str:
    """The answer in one sentence, by all recorded runs; verdicts count those that their rules name."""
    ours, *others = (records.load(preset, report.largest(preset)) for preset in (OURS, *_ELSEWHERE.values()))
    lost = sum(map(has_failed, ours))
    does = "seldom generates" if 2 * lost > len(ours) else "generates"
    lose = f"{lost} of {len(ours)} runs {'fails' if lost == 1 else 'fail'}"
    compared = _text("compared", verdicts["C14"].word)
    failed = [f"{_count(some, True)} runs on {where}" for where, some in zip(_ELSEWHERE, others, strict=True) if some]
    worse = f"; {words.listed(failed)} fail" if failed else ""
    return f"KM-GAN {does} digits without labels ({lose}){compared}{worse}."


def counted(verdicts: Mapping[str, Verdict]) -> str:
    """How many of the paper's claims, named C and a number, have which verdict."""
    found = [verdict.word for name, verdict in verdicts.items() if name.startswith("C")]
    one = {NOT_RUN: "waits for runs", UNDECIDED: "is undecided"}
    more = {HOLDS: "hold", PARTLY: "hold partly", FAILS: "do not hold", NOT_RUN: "wait for runs",
            UNDECIDED: "are undecided"}  # fmt: skip
    counts = {word: found.count(word) for word in VERDICTS if word in found}
    texts = [f"{n} {(one if n == 1 else more).get(word, word)}" for word, n in counts.items()]
    return f"Of {len(found)} claims of the paper, {words.listed(texts)}."


def _won(verdict: Verdict) -> list[str]:
    """What a method draws better: the data sets on which all conditions for *holds* are met."""
    pairs = zip(verdict.claim.parts["holds"], verdict.parts["holds"], strict=True)
    lost = {condition.given.of.partition("/")[0] for condition, finding in pairs if not finding.true}
    return [drawn for group, drawn in _DRAWN.items() if group not in lost]


def repaired(verdicts: Mapping[str, Verdict]) -> str:
    """What became of the book's own repair, in one sentence; nothing before its first claim is decided."""
    better, why = verdicts["P1"], verdicts["P2"]
    if better.word == FAILS:
        return "This book's repair, KM-GAN+, is not clearly better than DCGAN without labels either."
    if better.word not in (HOLDS, PARTLY):
        return ""
    won = _won(better)
    lost = [drawn for drawn in _DRAWN.values() if drawn not in won]
    reason = _text("reason", why.word)
    if why.word in (HOLDS, PARTLY):
        partly = f"; its clusters are the reason for {words.listed(_won(why))}"
        reason = ", thanks to its clusters" if _won(why) == won else partly
    but = f", but not reliably better {words.listed(lost)}" if lost else ""
    on_photos = {HOLDS: " On CIFAR-10 it is better, too.", FAILS: " On CIFAR-10 it is not clearly better."}
    said = f"This book's repair, KM-GAN+, generates better {words.listed(won)} than DCGAN without labels{reason}{but}."
    return said + on_photos.get(verdicts["P3"].word, "")


def numbers() -> list[tuple[str, str]]:
    """Three numbers with what they are."""
    ours, other, without = (_group(preset) for preset in (OURS, OTHER, WITHOUT))
    real = next((r.metric("classifier_score", "real_value") for r in (*ours, *other) if not r.diverged), None)
    digits = "" if real is None else f"; real digits: {real:.1f}"
    return [
        (f"{_middle(ours)} of 10",
         f"median score of KM-GAN, trained without labels ({_count(ours, False)} runs succeed, seeds 0 to 9)"),
        (f"{_middle(other)} of 10",
         f"median score of DCGAN without labels ({_count(other, False)} runs succeed){digits}"),
        (f"{_count(without, True)} runs", f"of KM-GAN fail without its center loss, {_count(ours, True)} with it"),
    ]  # fmt: skip


def _later() -> str:
    """What became of the seeds of the same preset that no verdict on KM-GAN as it is counts: P4's."""
    later = report.recorded({"": OURS}, report.largest(OURS), seeds=range(10, 30))[""]
    if not later:
        return ""
    devices = escape(", ".join(dict.fromkeys(record.device for record in later)))
    why = '<a href="repair.html#repair-p4">the difference may be chance</a>'
    failed = sum(map(has_failed, later))
    return f" Of {len(later)} later runs ({devices}), {failed} failed; their median score is {_middle(later)}; {why}."


def _link(found: Verdict, text: str) -> str:
    return f'<a href="{found.claim.chapter}.html#verdict-{found.claim.name}">{escape(text)}</a>'


def _item(found: Verdict, text: str, name: str = "") -> str:
    mark = f'<span class="sign {report.anchor(found.word)}" aria-hidden="true">{MARKS[found.word]}</span>'
    return f"<li{name}>{mark}<div>{text}</div></li>"


def _said(text: str) -> str:
    return f'<p class="said">{text}</p>' if text else ""


def first_screen(beside: Html) -> Html:
    """The answer, three numbers with something beside them, and a line per verdict that is given."""
    verdicts = _verdicts()
    given = [v for v in verdicts.values() if not v.waits]
    given.sort(key=lambda v: (v.claim.name[0], VERDICTS.index(v.word)))  # as they are counted above, our own last
    three = "".join(f"<div><b>{escape(b)}</b><small>{escape(s)}</small></div>" for b, s in numbers())
    lines = [_item(v, f"{_link(v, f'{v.claim.name} {v.word}')}. {escape(v.sentence)}") for v in given]
    repair = _said(escape(repaired(verdicts)))
    run = _group(OURS)[0].result
    width = run["preset"].get("width", 1)
    scale = _WIDTHS.get(width, f"{width:g} of the width in the paper")
    caveat = (
        f"Networks have {escape(scale)}, with {run['iterations']:,} iterations per run on MNIST: full-size runs may "
        f'give another answer.{_later()} <a href="verdict.html">All claims, and how they were decided</a>.'
    )
    return Html(
        f'<div class="first-screen"><div class="brief">{summary(repair=False).text}</div>'
        f'<div class="two"><div><div class="numbers">{three}</div><p><small>{caveat}</small></p></div>'
        f'<div class="beside">{beside.text}</div></div>{repair}'
        f'<ul class="verdicts">{"".join(lines)}</ul></div>'
    )


def samples() -> Path:
    """The recorded samples of KM-GAN's first seed."""
    return _group(OURS)[0].samples


def ledger(*names: str) -> Html:
    """These claims of the ledger with their verdicts, and behind a closed heading how each was decided."""
    items, verdicts = "", _verdicts()
    for found in map(verdicts.__getitem__, names):
        claim, text = found.claim, report.verdict_text(found, dates.sentence(found))
        title = f"<p>{claim.name} {_link(found, claim.title)} <small>({escape(claim.section)})</small></p>"
        items += _item(found, title + text, f' id="verdict-{claim.name}"')
    return Html(f'<ul class="verdicts ledger">{items}</ul>')


def summary(repair: bool = True) -> Html:
    """The answer in one sentence, how many claims have which verdict, and what became of the repair."""
    verdicts = _verdicts()
    more = " ".join(filter(None, (counted(verdicts), repaired(verdicts) if repair else "")))
    return Html(_said(f"<strong>{escape(headline(verdicts))}</strong> {escape(more)}"))


def advice() -> Html:
    """Whether we would use it, by the verdicts on images (C14) and on features (C13)."""
    verdicts = _verdicts()
    texts = _text("images", verdicts["C14"].word), _text("features", verdicts["C13"].word)
    return Html(_said(escape(" ".join(texts))))
