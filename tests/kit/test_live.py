"""What scripts of the page compute or play, by Node against Python: generators, thresholds; and replays."""

import copy
import functools
import json
import re
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from kmgan_book import STATIC, claims, conditions, live, records, report, thresholds
from kmgan_book.claims import Claim, Verdict
from kmgan_book.records import Record
from kmgan_lib import presets
from kmgan_lib.errors import UsageError
from kmgan_lib.generator import load_generator
from kmgan_lib.training.run import Run

NODE = shutil.which("node")
needs_node = pytest.mark.skipif(NODE is None, reason="no Node: apt-get install nodejs")
RUN = """
const { read, generate } = require(process.argv[1]);
const { network, noise, labels } = JSON.parse(require("fs").readFileSync(0, "utf8"));
const ready = read(network);
console.log(JSON.stringify(noise.map((z, i) => Array.from(generate(ready, Float32Array.from(z), labels[i])))));
"""


def by_node(code: str, name: str, given: Any) -> Any:
    """What a script that requires a file of the book answers."""
    assert NODE is not None
    command = [NODE, "-e", code, str(STATIC / name)]
    done = subprocess.run(command, input=json.dumps(given), capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@needs_node
def test_the_page_draws_what_pytorch_draws() -> None:
    for preset in ("mnist/kmgan", "mnist/dcgan", "celeba/dcgan-table5", "cifar10-32/kmgan"):
        recorded = [record for profile in ("quick", "long") for record in records.load(preset, profile)]
        generator = load_generator(next(record.generator for record in recorded if record.generator.is_file()))
        noise = generator.noise(3, 7)
        labels = torch.arange(3) % max(generator.classes, 1)
        given = {"network": live.exported(generator), "noise": noise.tolist(), "labels": labels.tolist()}
        drawn = np.array(by_node(RUN, "generator.js", given))
        expected = generator.images(noise, labels).flatten(1).numpy()
        assert expected.std() > 0.05
        np.testing.assert_allclose(drawn, expected, atol=1e-4)


def test_generators_beside_each_other_have_the_same_noise() -> None:
    groups = report.recorded({"<K-Means>": "mnist/kmgan", "one cluster": "mnist/kmgan-k1", "none": "mnist/unheard-of"})
    html = live.generator(groups, caption="Same noise.", images=4)._repr_html_()
    (given,) = re.findall(r'<script type="application/json">(.*?)</script>', html)
    assert len(json.loads(given)["networks"]) == html.count("<canvas") == html.count("data:image/webp") == 2
    assert "&lt;K-Means&gt;" in html
    assert "<K-Means>" not in html
    assert "Same noise. No generator was kept of: none." in html
    assert "http" not in html
    assert len(html) < 700_000


def test_what_cannot_be_shown_together_is_refused() -> None:
    with pytest.raises(UsageError, match="same noise"):
        live.generator(report.recorded({"digits": "mnist/kmgan", "faces": "celeba/generalized"}))
    with pytest.raises(UsageError, match="generators of images"):
        live.generator(report.recorded({"points": "synthetic/kmgan"}))
    assert live.generator({"digits": []}).text == "<p>No generator was kept of: digits.</p>"


SIDE = 5 * 29 - 1


def run(folder: Path, seed: int = 0, frames: int = 7) -> Run:
    """A finished run whose snapshots are of one gray each."""
    (folder / "samples").mkdir(parents=True)
    for index in range(frames):
        level = np.full((231, 231, 3), 30 * index, np.uint8)
        Image.fromarray(level).save(folder / "samples" / f"{10 * (index + 1):06d}.png")
    history = [{"iteration": float(step), "loss_d": -step, "loss_g": 1 / step} for step in range(1, 71)]
    result = {"commit": "abcdefghij", "device": "CPU", "data": {"kind": "real", "name": "mnist"}}
    return Run(folder, presets.resolve("mnist/kmgan", "quick", iterations=70), "quick", seed, result, history)


def test_the_image_has_every_snapshot_and_the_file_beside_it_the_curves(tmp_path: Path) -> None:
    path = live.keep_replay(run(tmp_path / "run"), replays=tmp_path)
    assert path.name == "mnist-kmgan-seed0.webp"
    with Image.open(path) as sprite:
        levels = np.asarray(sprite.convert("L"))[SIDE // 2 :: SIDE, SIDE // 2 :: SIDE].flatten()[:7]
    assert np.abs(levels - 30.0 * np.arange(7)).max() < 4
    told = json.loads(path.with_suffix(".json").read_text())
    assert told["frames"] == [10, 20, 30, 40, 50, 60, 70]
    assert told["history"]["loss_d"][-1] == -70
    assert (told["commit"], told["seed"], told["score"]) == ("abcdefg", 0, None)
    text = live.replay({"<b>": "mnist-kmgan-seed0"}, caption="c", replays=tmp_path).text
    assert "recorded · quick · mnist · seed 0 · CPU · commit abcdefg" in text
    assert "<b>" not in text
    assert "loss of D<tspan>: −70 to −1" in text
    assert "background-position:0% 100%" in text  # the last of seven frames, six a row


def test_replays_beside_each_other_need_frames_of_the_same_iterations(tmp_path: Path) -> None:
    for seed, frames in enumerate((7, 6)):
        live.keep_replay(run(tmp_path / str(seed), seed, frames), replays=tmp_path)
    with pytest.raises(UsageError, match="same iterations"):
        live.replay({"a": "mnist-kmgan-seed0", "b": "mnist-kmgan-seed1"}, caption="", replays=tmp_path)
    with pytest.raises(UsageError, match="snapshots=30"):
        live.keep_replay(run(tmp_path / "few", 2, 1), replays=tmp_path)


def test_recorded_replays_are_small_and_whole() -> None:
    for path in live.REPLAYS.glob("*.json"):
        told, image = json.loads(path.read_text(encoding="utf8")), path.with_suffix(".webp")
        assert image.stat().st_size < 250_000
        with Image.open(image) as sprite:
            assert sprite.width % live.ACROSS == 0
        assert len(told["frames"]) == 30
        assert told["frames"][-1] == told["iterations"]
        assert re.fullmatch("[0-9a-f]{7}", told["commit"])


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
            labels = [knob["label"] for knob in rule["knobs"]]
            assert labels
            assert not any("." in label.replace("’s", "") for label in labels), "every limit has a name"
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
    verdicts = claims.verdicts()
    assert all(verdict.waits == (not verdict.findings) and verdict.word in claims.VERDICTS for verdict in verdicts)
    decided = [(verdict, thresholds.rule(verdict)) for verdict in verdicts if not verdict.missing]
    knobs = [(verdict, rule, knob) for verdict, rule in decided for knob in rule["knobs"]]
    assert knobs
    cases = [{"rule": rule, "knob": knob, "numbers": [knob["value"]]} for _, rule, knob in knobs]
    for (verdict, _, knob), answer in zip(knobs, by_node(JUDGE, "thresholds.js", cases), strict=True):
        assert answer["words"] == [verdict.word]
        for (_, end, before), (_, _, after) in zip(answer["stretches"], answer["stretches"][1:], strict=False):
            near = (knob["high"] - knob["low"]) * 1e-6
            sides = (end - 1, end) if knob["whole"] else (end - near, end + near)
            assert [by_python(verdict, verdict.found, knob, side) for side in sides] == [before, after]


def test_claims_that_wait_for_runs_have_no_sliders() -> None:
    claim = claims.load()[0]
    waiting = Verdict(claim, claims.NOT_RUN, "quick", {}, claim.runs("quick"), {})
    assert thresholds.figure([waiting]).text == "<p>No claim is decided yet.</p>"
