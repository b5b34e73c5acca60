"""Move the threshold: the rules of the ledger with the values that decide them, for a script in the page."""

from collections.abc import Iterator, Mapping, Sequence
from html import escape
from typing import Any

from kmgan_book import conditions, words
from kmgan_book.claims import Verdict
from kmgan_book.conditions import SCORE
from kmgan_book.report import Html, anchor
from kmgan_pages import moving, script

# What a limit is a limit of.
NAMES = {
    "classifier_score": "classifier score", "classifier_frechet": "Fréchet distance", "clustering": "NMI",
    "class_frequency.min": "share of the rarest class", "class_frequency.max": "share of the most frequent class",
    "fid768": "Fréchet distance on 768 features",
    "interpolation.largest_step": "largest step of an interpolation", "interpolation.span": "distance of its ends",
    "interpolation.validity": "distance of its middle from real images",
    "memorisation.ratio": "distance from training images", "centers.used": "centers in use",
    "kmeans_cost.ratio": "time of K-Means on pixels over that on features",
    "history.center_step": "share of iterations with a center step",
}  # fmt: skip
_TESTS = {"fails_more", "paired", "ranks"}
_FAILURES = {"count", "fails_more", "rate_gap"}
Place = tuple[str | int, ...]  # keys and indexes that lead to a part of a rule


def name_of(measure: str) -> str:
    """A measure in words, for the label of a slider."""
    first, *_, last = measure.split(".")
    return next(NAMES[name] for name in (measure, f"{first}.{last}", first) if name in NAMES)


def _simple(condition: Mapping[str, Any], path: Place) -> Iterator[tuple[str, Mapping[str, Any], Place]]:
    """Kind and arguments of every simple condition in one, and where they are."""
    ((kind, given),) = condition.items()
    if kind == "not":
        yield from _simple(given, (*path, kind))
    elif isinstance(given, list):
        for index, part in enumerate(given):
            yield from _simple(part, (*path, kind, index))
    else:
        yield kind, given, (*path, kind)


def _numbers(kind: str, arguments: Mapping[str, Any]) -> Iterator[tuple[str, float, str]]:
    """The numbers of a simple condition: what each is, in words, its value, and its key."""
    name = "difference of the failure rates" if kind == "rate_gap" else name_of(arguments.get("measure", SCORE))
    runs = f"runs that {'fail' if arguments.get('failed') else 'succeed'}"
    labels = {
        "above": name, "below": name, "times": f"factor on the other's {name}", "plus": f"lead over the other's {name}",
        "level": "level of the tests, p", "at_least": f"{runs}, at least", "at_most": f"{runs}, at most",
    }  # fmt: skip
    for key, label in labels.items():
        if isinstance(arguments.get(key), int | float):
            yield label, arguments[key], key


def _found(verdict: Verdict) -> dict[str, list[dict[str, Any]]]:
    """The values that the rule reads of each preset's records."""
    found: dict[str, list[dict[str, Any]]] = {name: [] for name in verdict.claim.needs}
    for name, group in found.items():
        read = sorted({SCORE, *(measure for of, measure in verdict.claim.measures() if of == name)})
        for r in verdict.found[name]:
            values = {} if r.diverged else {measure: r.value(measure) for measure in read if r.has(measure)}
            group.append({"seed": r.seed, "diverged": r.diverged, "values": values})
    return found


def rule(verdict: Verdict) -> dict[str, Any]:
    """A claim's rule, of which no record is missing, as ``thresholds.js`` reads it.

    ``parts`` are the conditions of the ledger, ``found`` maps presets to the values of their records, then come
    ``failed`` and ``level``; ``knobs`` are the numbers that a reader can move, each with its places in all of these.
    """
    parts = {
        part: [condition.model_dump(exclude_unset=True, by_alias=True) for condition in listed]
        for part, listed in verdict.claim.parts.items()
        if part in ("gate", *words.OUTCOMES)
    }
    found, kinds = _found(verdict), set[str]()
    # What each number is, and where it is used: its place, whether it is a number of runs, and the measure it bounds.
    uses = dict[tuple[str, float], list[tuple[Place, bool, str]]]()
    for part, listed in parts.items():
        for index, condition in enumerate(listed):
            for kind, arguments, path in _simple(condition, ("parts", part, index)):
                kinds.add(kind)
                for label, value, key in _numbers(kind, arguments):
                    needed = f"{label} (needed for a test)" if part == "gate" else label
                    measure = arguments.get("measure", "") if key in ("above", "below") else ""
                    use = (*path, key), key in ("at_least", "at_most"), measure
                    uses.setdefault((needed, value), []).append(use)
    knobs, values = [], [record["values"] for group in found.values() for record in group]
    for (label, value), places in uses.items():
        paths, whole = [path for path, *_ in places], any(whole for _, whole, _ in places)
        low, high = 0, max(map(len, found.values()))
        if not whole:  # over the values that it is compared with, and a good way beyond itself
            seen = [each[measure] for each in values for *_, measure in places if measure in each]
            low, high = min(value / 2, 2 * value, *seen), max(value / 2, 2 * value, *seen)
        knobs.append((label, value, paths, whole, low, high))
    if kinds & _FAILURES:
        knobs.append(("score below which a run fails", conditions.FAILED, [["failed"]], False, 1, 9.5))
    if kinds & _TESTS:
        knobs.append(("level of the tests, p", conditions.LEVEL, [["level"]], False, 0.001, 0.3))
    keys = ("label", "value", "paths", "whole", "low", "high")
    return {
        "parts": parts, "found": found, "failed": conditions.FAILED, "level": conditions.LEVEL,
        "knobs": [dict(zip(keys, knob, strict=True)) for knob in knobs],
        "words": words.OUTCOMES, "marks": {word: anchor(word) for word in words.OUTCOMES.values()},
    }  # fmt: skip


def figure(verdicts: Sequence[Verdict]) -> Html:
    """A slider for each number of each rule, for the claims whose records are complete; the first claim is open.

    Without JavaScript only the verdicts show. Numbers that change nothing in their range are named in one line.
    """
    figures = [
        moving(
            "thresholds",
            f"<details{'' if index else ' open'}>"
            f"<summary>{escape(each.claim.name)}: {escape(each.claim.title)}</summary>"
            f'<p class="live-still">Verdict: {escape(each.word)}.</p><div class="live-knobs"></div></details>',
            rule(each),
        )
        for index, each in enumerate(each for each in verdicts if not each.missing)
    ]
    last = script("thresholds.js") if figures else "<p>No claim is decided yet.</p>"
    return Html("\n".join([*figures, last]))
