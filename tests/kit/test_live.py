"""What moves in the page: explorers, and scripts that compute or play, by Node against Python; and replays."""

import base64
import copy
import itertools
import json
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from kmgan_book import STATIC, claims, conditions, explore, records, replays, report
from kmgan_book.claims import Claim, Verdict
from kmgan_book.conditions import SCORE, Condition
from kmgan_book.explore import WIDGET, Explorer, FeatureRecorder, frames_html, training_frames
from kmgan_book.records import Record
from kmgan_lib import data, presets
from kmgan_lib.errors import UsageError
from kmgan_lib.generator import load_generator
from kmgan_lib.metrics import Classifier
from kmgan_lib.training.run import Run
from kmgan_pages import live, thresholds

from ..conftest import Quick
from .conftest import put_in, record, verdict_on

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
    assert "Same noise. No generator was kept for: none." in html
    assert len(html) < 700_000
    with pytest.raises(UsageError, match="same noise"):
        live.generator(report.recorded({"digits": "mnist/kmgan", "faces": "celeba/generalized"}))
    with pytest.raises(UsageError, match="generators of images"):
        live.generator(report.recorded({"points": "synthetic/kmgan"}))
    assert live.generator({"digits": []}).text == "<p>No generator was kept for: digits.</p>"


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
    path = replays.keep(run(tmp_path / "run"), replays=tmp_path)
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
    replays.keep(run(tmp_path / "other", 1, 6), replays=tmp_path)
    with pytest.raises(UsageError, match="same iterations"):
        live.replay({"a": "mnist-kmgan-seed0", "b": "mnist-kmgan-seed1"}, caption="", replays=tmp_path)
    with pytest.raises(UsageError, match="snapshots=30"):
        replays.keep(run(tmp_path / "few", 2, 1), replays=tmp_path)
    for recorded in replays.REPLAYS.glob("*.json"):
        told = json.loads(recorded.read_text(encoding="utf8"))
        assert recorded.with_suffix(".webp").stat().st_size < 250_000
        assert (len(told["frames"]), told["frames"][-1]) == (30, told["iterations"])


JUDGE = """
const { judge, turned, stretches } = require(process.argv[1]);
const cases = JSON.parse(require("fs").readFileSync(0, "utf8"));
console.log(JSON.stringify(cases.map(({ rule, knob }) => ({
  word: judge(turned(rule, knob, knob.value)), stretches: stretches(rule, knob),
}))));
"""


def by_python(verdict: Verdict, rule: dict[str, Any], knob: dict[str, Any], number: float) -> str:
    """The verdict of the rule with another number, by the ledger's own code."""
    tree = {name: copy.deepcopy(rule[name]) for name in ("parts", "failed", "level")}
    for place in knob["paths"]:
        put_in(tree, place, number)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(conditions, "FAILED", tree["failed"])
        patch.setattr(conditions, "LEVEL", tree["level"])
        parts = {part: [Condition(**each) for each in listed] for part, listed in tree["parts"].items()}
        return verdict_on(verdict.claim.model_copy(update=parts), verdict.found).word


def invented(claim: Claim, seed: int) -> Verdict:
    """A verdict on a claim of the ledger from records whose numbers are drawn, some of them diverged."""
    random = np.random.default_rng(seed)
    found = dict[str, list[Record]]()
    for name, seeds in claim.needs.items():
        found[name] = []
        for number in seeds:
            numbers: dict[str, Any] = {SCORE: round(random.uniform(1, 10), 2)}
            for of, measure in claim.measures():
                if of == name and measure != SCORE:
                    least = round(random.uniform(0, 0.3), 3)
                    numbers[measure] = least + 0.05 if measure.endswith(".max") else least
            found[name].append(record(number, numbers if random.random() < 0.9 else {SCORE: None}))
    return verdict_on(claim, found)


@needs_node
def test_every_rule_is_judged_alike_and_flips_where_the_page_says() -> None:
    recorded = [verdict for verdict in claims.verdicts() if not verdict.missing]
    drawn = [invented(claim, seed) for claim in claims.load() for seed in range(6)]
    assert recorded
    assert len({verdict.word for verdict in drawn}) >= 4
    cases = []
    for verdict in (*recorded, *drawn):
        rule = thresholds.rule(verdict)
        assert rule["knobs"]
        assert not any("." in knob["label"].replace("’s", "") for knob in rule["knobs"]), "every limit has a name"
        cases += [(verdict, {"rule": rule, "knob": knob}) for knob in rule["knobs"]]
    answers = by_node(JUDGE, "thresholds.js", [case for _, case in cases])
    for (verdict, case), answer in zip(cases, answers, strict=True):
        rule, knob, stretches = case["rule"], case["knob"], answer["stretches"]
        assert answer["word"] == verdict.word == by_python(verdict, rule, knob, knob["value"])
        assert (stretches[0][0], stretches[-1][1]) == (knob["low"], knob["high"])
        for (_, end, before), (_, _, after) in itertools.pairwise(stretches):
            near = (knob["high"] - knob["low"]) * 1e-6
            sides = (end - 1, end) if knob["whole"] else (end - near, end + near)
            assert [by_python(verdict, rule, knob, side) for side in sides] == [before, after]


def test_claims_that_wait_for_runs_have_no_sliders() -> None:
    claim = claims.load()[0]
    waiting = Verdict(claim, claims.NOT_RUN, "quick", {}, claim.runs("quick"), {})
    assert thresholds.figure([waiting]).text == "<p>No claim is decided yet.</p>"


MAKE = {
    "clusters": "explore.explore_clusters(run)",
    "interpolation": "explore.explore_interpolation(run.generator, run.label)",
    "classes": "explore.explore_classes(run)",
    "gate": "explore.explore_gate(run.history, run.label)",
}


@pytest.fixture(scope="module")
def finished(pictures: Run, digits_classifier: Classifier) -> Run:
    """A run from its directory, with the classifier in the cache."""
    return Run.open(pictures.directory)


@pytest.mark.parametrize("name", MAKE)
def test_without_a_kernel_there_are_images_and_with_one_a_widget_that_reacts_at_once(finished: Run, name: str) -> None:
    explorer: Explorer = eval(MAKE[name], {"explore": explore, "run": finished})
    frames = re.findall(r"<img [^>]*>", explorer.html)
    assert len(frames) == len(explorer.frames) >= 4
    assert sum("hidden" not in frame for frame in frames) == 1
    assert len(explorer.html) < 400_000
    bundle = explorer._repr_mimebundle_()
    assert bundle["text/html"] == explorer.html
    assert bundle[WIDGET]["model_id"] == explorer.widget.model_id
    (slider, *_), shown = explorer.widget.children[:-1], explorer.widget.children[-1]
    before, begun = shown.value, time.process_time()
    slider.set_state({"index": 3})  # what a message of the browser does
    assert time.process_time() - begun < 1
    assert 'src="data:image/webp;base64,' in shown.value
    assert shown.value != before


def test_the_gate_counts_the_steps_and_needs_no_ipywidgets(monkeypatch: pytest.MonkeyPatch) -> None:
    history = [{"iteration": float(step), "loss_center": float(step)} for step in range(1, 11)]
    explorer = explore.explore_gate(history, "live · smoke · digits · seed 0")
    (axes,) = explorer.draw(d_round=7.0).axes
    assert axes.get_title().endswith("30% of the center steps are taken")
    with pytest.raises(UsageError, match="no center loss"):
        explore.explore_gate([{"iteration": 1.0, "loss_d": 1.0}], "live")
    monkeypatch.setitem(sys.modules, "ipywidgets", None)
    assert list(explorer._repr_mimebundle_()) == ["text/plain", "text/html"]


def test_a_training_with_what_it_has_kept(quick: Quick, tmp_path: Path) -> None:
    kept = FeatureRecorder(data.load("digits"), most=100)
    run = quick(tmp_path / "run", "digits/kmgan", iterations=4, callback=kept)
    assert list(kept.features) == list(kept.centers) == [0, 2, 4]
    assert kept.features[4].shape == (100, 20)
    of_points = FeatureRecorder(data.load("synthetic"), most=100)
    points = quick(tmp_path / "points", callback=of_points)  # of which there are no samples
    html, other = training_frames(run, kept).text, training_frames(points, of_points).text
    assert re.findall(r'data-label="([^"]*)"', html) == ["iteration 2", "iteration 4"]
    assert re.findall(r'data-label="([^"]*)"', other) == ["iteration 0", "iteration 10", "iteration 20"]
    assert "samples, features and losses" in html
    assert len(html) < 300_000


@pytest.mark.parametrize(("poster", "shown", "figure"), [(None, 2, '-frames" data-autoplay>'), (1, 1, '-frames">')])
def test_frames_show_one_image_without_javascript(poster: int | None, shown: int, figure: str) -> None:
    html = frames_html([b"one", b"two", b"three"], ["a", "b", "c"], "A cloud", poster=poster)
    images = re.findall(r"<img [^>]*>", html)
    assert ["hidden" in image for image in images] == [place != shown for place in range(3)]
    assert f"data:image/webp;base64,{base64.b64encode(b'one').decode()}" in images[0]
    assert 'alt="A cloud: c"' in images[2]
    assert re.search(rf'<input type="range" min="0" max="2" value="{shown}" [^>]*hidden>', html)
    assert f"<output>{'abc'[shown]}</output>" in html
    assert figure in html  # only the last plays by itself
