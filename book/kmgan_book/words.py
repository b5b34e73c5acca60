"""Verdicts in English: sentences of the ledger with fields that the records fill.

A field is written ``{median mnist/kmgan classifier_score.value}``: how several seeds become one text (`HOW`), then the
preset, then a measure that the claim's rule reads of it. ``{median alive ...}`` leaves failed runs out,
``{failed PRESET}`` says how many of how many runs failed, ``{runs PRESET}`` how many there are. ``{unready}`` and
``{unmet}`` name the systems that do not meet a gate, or the conditions for *holds*.
"""

import math
import re
import statistics
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence

from kmgan_book.conditions import SCORE, Found, has_failed

# What the ledger calls a verdict, and the verdict in words.
OUTCOMES = {
    "holds": "holds", "partly": "holds partly", "fails": "does not hold", "undecided": "undecided",
    "untestable": "cannot be tested at this scale",
}  # fmt: skip
SYSTEMS = ("unready", "unmet")
HOW: dict[str, Callable[[list[float]], list[float]]] = {
    "median": lambda values: [statistics.median(values)], "least": lambda values: [min(values)],
    "most": lambda values: [max(values)], "range": lambda values: [min(values), max(values)],
}  # fmt: skip
# For a measure, or one of its numbers: the factor it is multiplied by, the decimals printed, and the unit.
FORMS: dict[str, tuple[float, int, str]] = {
    "classifier_score": (1, 1, " of 10"), "classifier_frechet": (1, 1, ""), "fid768": (1, 2, ""),
    "clustering": (1, 2, ""), "class_frequency": (100, 1, "%"), "interpolation": (1, 2, ""),
    "interpolation.largest_step": (100, 0, "%"), "memorisation": (1, 2, " times"), "centers": (1, 0, ""),
    "kmeans_cost": (1, 1, " times"), "history.center_step": (100, 1, "%"),
}  # fmt: skip
_FIELD = re.compile(r"\{([^{}]*)\}")


def complaints(sentence: str, reads: Collection[tuple[str, str]]) -> Iterator[str]:
    """What is wrong with a sentence: invalid fields, or fields that ask for what the rule does not read.

    `reads` are presets and their measures, as the claim's rule reads them.
    """
    if set("{}") & set(_FIELD.sub("", sentence)):
        yield "an unmatched brace"
    for text in _FIELD.findall(sentence):
        if wrong := _wrong_field(text, reads):
            yield f"{{{text}}}: {wrong}"


def _wrong_field(text: str, reads: Collection[tuple[str, str]]) -> str:
    what, *rest = text.split() or [""]
    if what in SYSTEMS and not rest:
        return ""
    if what not in (*HOW, "failed", "runs"):
        return f"starts with {', '.join([*HOW, 'failed', 'runs'])}, or is unready or unmet"
    alive = what in HOW and rest[:1] == ["alive"]
    preset, *measures = rest[alive:] or [""]
    presets = sorted({preset for preset, _ in reads})
    if not preset or len(measures) != (what in HOW):
        return f"{what} needs a preset" + (" and a measure" if what in HOW else "")
    if preset not in presets:
        return f"the rule does not read {preset} (it reads {', '.join(presets)})"
    measures += [SCORE] * (alive or what == "failed")
    unread = [measure for measure in measures if (preset, measure) not in reads]
    return f"the rule does not read {unread[0]} of {preset}" if unread else ""


def fill(sentence: str, found: Found, systems: Mapping[str, Sequence[str]]) -> str:
    """A sentence with its fields filled; runs that diverged have no numbers and are counted.

    `found` maps presets, as the ledger names them, to their records, and `systems` maps each of `SYSTEMS` to the names
    of the systems that it stands for.
    """

    def value(match: re.Match[str]) -> str:
        what, *rest = match[1].split()
        if what in SYSTEMS:
            return listed(systems[what])
        alive = rest[0] == "alive"
        group = [record for record in found[rest[alive]] if not (alive and has_failed(record))]
        if what == "runs":
            return str(len(group))
        if what == "failed":
            return f"{sum(map(has_failed, group))} of {len(group)}"
        values = [record.value(rest[-1]) for record in group if not record.diverged]
        values = [value for value in values if math.isfinite(value)]
        lost = len(group) - len(values)
        text = number(rest[-1], HOW[what](values)) if values else "none"
        return text + (f" ({lost} diverged)" if values and lost else "")

    return _FIELD.sub(value, sentence)


def number(measure: str, values: Sequence[float]) -> str:
    """One number, or the ends of a range, with the measure's unit: ``8.4 of 10``, ``5.7 to 13.8%``."""
    name, _, key = measure.partition(".")
    times, decimals, unit = FORMS.get(f"{name}.{key}", FORMS.get(name, (1, 2, "")))
    texts = [f"{times * value:,.{0 if decimals == 1 and abs(times * value) >= 100 else decimals}f}" for value in values]
    return " to ".join(dict.fromkeys(texts)) + unit


def listed(names: Sequence[str], most: int = 20) -> str:
    """``A``, ``A and B``, ``A, B and 3 more``."""
    shown = list(dict.fromkeys(names))
    if len(shown) > most:
        shown = [*shown[:most], f"{len(shown) - most} more"]
    return " and ".join([", ".join(shown[:-1]), shown[-1]] if len(shown) > 1 else shown)


def waiting(missing: Mapping[str, int], wanted: int) -> str:
    """What a claim waits for: systems with their numbers of missing runs, and how many runs it needs in all."""
    systems = [f"{name} ({count})" for name, count in missing.items()]
    return f"Waits for {sum(missing.values())} of {wanted} runs: {listed(systems, most=3)}."
