"""The verdicts that the page computes, by Node, against Python's."""

import copy
import dataclasses
import functools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from kmgan_book import claims, conditions, thresholds
from kmgan_book.claims import Claim, Verdict
from kmgan_book.records import Record

from .test_live import by_node, needs_node

JUDGE = """
const { judge, turned, stretches } = require(process.argv[1]);
const cases = JSON.parse(require("fs").readFileSync(0, "utf8"));
console.log(JSON.stringify(cases.map(({ rule, knob, numbers }) => ({
  words: numbers.map((number) => judge(turned(rule, knob, number))), stretches: stretches(rule, knob),
}))));
"""


def replaced(tree: Any, path: Sequence[str | int], number: float) -> None:
    """Write a number into nested lists and dictionaries."""
    *way, last = path
    functools.reduce(lambda inner, key: inner[key], way, tree)[last] = number


def by_python(verdict: Verdict, found: Mapping[str, Sequence[Record]], knob: dict[str, Any], number: float) -> str:
    """The verdict of the rule with another number, by the ledger's own code."""
    tree = {"parts": copy.deepcopy(dict(verdict.claim.parts)), "failed": conditions.FAILED, "level": conditions.LEVEL}
    for path in knob["paths"]:
        replaced(tree, path, number)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(conditions, "FAILED", tree["failed"])
        patch.setattr(conditions, "LEVEL", tree["level"])
        parts = {part: [conditions.find(each, found) for each in listed] for part, listed in tree["parts"].items()}
        return claims._word(parts)


def invented(claim: Claim, seed: int) -> tuple[Verdict, dict[str, list[Record]]]:
    """A verdict on a claim of the ledger from records whose numbers are drawn, some of them diverged."""
    random = np.random.default_rng(seed)
    profile, found = claim.profiles[-1], dict[str, list[Record]]()
    for name, seeds in claim.needs.items():
        preset = claim.preset(name, profile)
        found[name] = []
        for number in seeds:
            metrics: dict[str, Any] = {"classifier_score": {"value": round(random.uniform(1, 10), 2)}}
            for of, measure in claim.measures():
                if of == name and not measure.startswith("history"):
                    kind, _, key = measure.partition(".")
                    value = round(random.uniform(0, 10 if kind == "classifier_score" else 0.3), 3)
                    key, _, end = key.partition(".")
                    metrics.setdefault(kind, {})[key] = [value, value + 0.05] if end else value
            status = "diverged" if random.random() < 0.1 else "completed"
            record = Record(directory=Path("nowhere"), result={"preset": {"name": preset}, "seed": number,
                            "status": status, "metrics": metrics})  # fmt: skip
            record.__dict__["history"] = [{"center_step": random.choice([0, 0.005, 0.5])}]
            found[name].append(record)
    parts = {part: [conditions.find(each, found) for each in listed] for part, listed in claim.parts.items()}
    return Verdict(claim, claims._word(parts), profile, parts, [], found), found


@needs_node
def test_every_rule_is_judged_alike() -> None:
    cases, expected = [], []
    for claim in claims.load():
        for seed in range(6):
            verdict, found = invented(claim, seed)
            rule = thresholds.rule(verdict)
            for knob in rule["knobs"]:
                low, high = knob["low"], knob["high"]
                numbers = [low, high] if knob["whole"] else [0.7 * low + 0.3 * high, 0.2 * low + 0.8 * high]
                cases.append({"rule": rule, "knob": knob, "numbers": [knob["value"], *numbers]})
                expected.append([by_python(verdict, found, knob, number) for number in cases[-1]["numbers"]])
                assert expected[-1][0] == verdict.word
    answers = by_node(JUDGE, "thresholds.js", cases)
    assert [answer["words"] for answer in answers] == expected
    assert len({word for words in expected for word in words}) >= 4
    for case, answer in zip(cases, answers, strict=True):
        stretches, knob = answer["stretches"], case["knob"]
        assert stretches[0][0] == knob["low"]
        assert stretches[-1][1] == knob["high"]


@needs_node
def test_the_recorded_verdicts_flip_where_the_page_says() -> None:
    decided = [(verdict, thresholds.rule(verdict)) for verdict in claims.verdicts() if not verdict.missing]
    knobs = [(verdict, rule, knob) for verdict, rule in decided for knob in rule["knobs"]]
    assert knobs
    cases = [{"rule": rule, "knob": knob, "numbers": [knob["value"]]} for _, rule, knob in knobs]
    for (verdict, _, knob), answer in zip(knobs, by_node(JUDGE, "thresholds.js", cases), strict=True):
        assert answer["words"] == [verdict.word]
        for (_, end, before), (_, _, after) in zip(answer["stretches"], answer["stretches"][1:], strict=False):
            near = (knob["high"] - knob["low"]) * 1e-6
            sides = (end - 1, end) if knob["whole"] else (end - near, end + near)
            assert [by_python(verdict, verdict.found, knob, side) for side in sides] == [before, after]


def test_every_limit_has_a_name() -> None:
    for claim in claims.load():
        verdict, _ = invented(claim, 0)
        labels = [knob["label"] for knob in thresholds.rule(verdict)["knobs"]]
        assert labels
        assert not any("." in label.replace("’s", "") for label in labels)


def test_claims_that_wait_for_runs_have_no_sliders() -> None:
    claim = claims.load()[0]
    waiting = Verdict(claim, claims.NOT_RUN, "quick", {}, claim.runs("quick"), {})
    assert thresholds.figure([waiting]).text == "<p>No claim is decided yet.</p>"
    with pytest.raises(thresholds.UsageError, match="nothing to move"):
        thresholds.rule(dataclasses.replace(waiting))
