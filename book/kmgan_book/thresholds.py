"""Move the threshold: the rules of the ledger with the values that decide them, for a script in the page."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from html import escape
from typing import Any

from kmgan_book import conditions, report, words
from kmgan_book.claims import VERDICTS, Verdict
from kmgan_book.conditions import SCORE
from kmgan_book.report import Html, anchor
from kmgan_lib.errors import UsageError

WORDS = dict(zip(words.OUTCOMES, VERDICTS, strict=False))  # all but *not yet run*
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
_KEYS = ("label", "value", "paths", "whole", "low", "high")
_MARGINS = {"times": "factor on the other's", "plus": "lead over the other's"}
_TESTS = {"fails_more", "paired", "ranks"}
_FAILURES = {"count", "fails_more", "rate_gap"}
Path = list[str | int]


def name_of(measure: str) -> str:
    """A measure in words, for the label of a slider."""
    first, *_, last = measure.split(".")
    return next(NAMES[name] for name in (measure, f"{first}.{last}", first) if name in NAMES)


def _walk(condition: Mapping[str, Any], path: Path) -> Iterator[tuple[str, Mapping[str, Any], Path]]:
    """Every simple condition with its arguments and where they are."""
    (kind, arguments), *_ = condition.items()
    if kind == "not":
        yield from _walk(arguments, [*path, kind])
    elif kind in ("any", "all"):
        for index, part in enumerate(arguments):
            yield from _walk(part, [*path, kind, index])
    else:
        yield kind, arguments, [*path, kind]


def _numbers(kind: str, arguments: Mapping[str, Any]) -> Iterator[tuple[str, float, Path]]:
    """The numbers of a simple condition: what each is, in words, its value, and where it is among the arguments."""
    measure = arguments.get("measure", "")
    for key in ("above", "below"):
        bound = arguments.get(key)
        if isinstance(bound, Mapping):
            for part in {"times", "plus"} & bound.keys():
                yield f"{_MARGINS[part]} {name_of(measure)}", bound[part], [key, part]
        elif bound is not None:
            yield "difference of the failure rates" if kind == "rate_gap" else name_of(measure), bound, [key]
    for key in {"times", "plus"} & arguments.keys():
        yield f"{_MARGINS[key]} {name_of(measure)}", arguments[key], [key]
    if "level" in arguments:
        yield "level of the tests, p", arguments["level"], ["level"]
    for key in {"at_least", "at_most"} & arguments.keys():
        runs = f"runs that {'fail' if arguments['failed'] else 'succeed'}"
        yield f"{runs}, {key.replace('_', ' ')}", arguments[key], [key]


def _found(verdict: Verdict) -> dict[str, list[dict[str, Any]]]:
    """The values that the rule reads of each preset's records."""
    found: dict[str, list[dict[str, Any]]] = {name: [] for name in verdict.claim.needs}
    for name, group in found.items():
        read = sorted({SCORE, *(measure for of, measure in verdict.claim.measures() if of == name)})
        for r in verdict.found[name]:
            values = {} if r.diverged else {measure: r.value(measure) for measure in read if r.has(measure)}
            group.append({"seed": r.seed, "diverged": r.diverged, "values": values})
    return found


def _knob(label: str, value: float, *paths: Path) -> dict[str, Any]:
    """A number that can be moved; `paths` are its places."""
    return {"label": label, "value": value, "paths": list(paths), "whole": False, "measures": set[str]()}


def _range(knob: Mapping[str, Any], found: Mapping[str, Sequence[Any]]) -> tuple[float, float]:
    """How far a number can be moved: over the values that it is compared with, and a good way beyond itself."""
    if knob["whole"]:
        return 0, max(len(group) for group in found.values())
    values = (record["values"] for group in found.values() for record in group)
    seen = [each[measure] for each in values for measure in knob["measures"] if measure in each]
    return min(knob["value"] / 2, *seen, 2 * knob["value"]), max(2 * knob["value"], *seen, knob["value"] / 2)


def rule(verdict: Verdict) -> dict[str, Any]:
    """A claim's rule as ``thresholds.js`` reads it; a `UsageError` if records are missing.

    ``parts`` are the conditions of the ledger, ``found`` maps presets to the values of their records, then come
    ``failed`` and ``level``; ``knobs`` are the numbers that a reader can move, each with its places in all of these.
    """
    if verdict.missing:
        raise UsageError(f"{verdict.claim.name} is not yet run: there is nothing to move")
    parts = {part: listed for part, listed in verdict.claim.parts.items() if part in ("gate", *WORDS)}
    found, knobs = _found(verdict), dict[tuple[str, float], dict[str, Any]]()
    kinds = set[str]()
    for part, listed in parts.items():
        for index, condition in enumerate(listed):
            for kind, arguments, path in _walk(condition, ["parts", part, index]):
                kinds.add(kind)
                for label, value, where in _numbers(kind, arguments):
                    needed = f"{label} (needed for a test)" if part == "gate" else label
                    knob = knobs.setdefault((needed, value), _knob(needed, value))
                    knob["paths"].append([*path, *where])
                    knob["whole"] |= where[0] in ("at_least", "at_most")
                    if where in (["above"], ["below"]) and "measure" in arguments:
                        knob["measures"].add(arguments["measure"])
    for knob in knobs.values():
        knob["low"], knob["high"] = _range(knob, found)
    listed = list(knobs.values())
    if kinds & _FAILURES:
        listed.append(_knob("score below which a run fails", conditions.FAILED, ["failed"]) | {"low": 1, "high": 9.5})
    if kinds & _TESTS:
        listed.append(_knob("level of the tests, p", conditions.LEVEL, ["level"]) | {"low": 0.001, "high": 0.3})
    movable = [{key: each[key] for key in _KEYS} for each in listed]
    return {
        "parts": parts, "found": found, "failed": conditions.FAILED, "level": conditions.LEVEL, "knobs": movable,
        "words": WORDS, "marks": {word: anchor(word) for word in WORDS.values()},
    }  # fmt: skip


def figure(verdicts: Sequence[Verdict]) -> Html:
    """A slider for each number of each rule, for the claims whose records are complete; the first claim is open.

    Without JavaScript only the verdicts show. Numbers that change nothing in their range are named in one line.
    """
    figures = [
        report.live(
            "thresholds",
            f"<details{'' if index else ' open'}>"
            f"<summary>{escape(each.claim.name)}: {escape(each.claim.title)}</summary>"
            f'<p class="live-still">Verdict: {escape(each.word)}.</p><div class="live-knobs"></div></details>',
            rule(each),
        )
        for index, each in enumerate(each for each in verdicts if not each.missing)
    ]
    last = report.script("thresholds.js") if figures else "<p>No claim is decided yet.</p>"
    return Html("\n".join([*figures, last]))
