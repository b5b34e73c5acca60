import json
import shutil
from pathlib import Path

import pytest
import torch

from kmgan_lib import data, methods
from kmgan_lib.errors import UsageError
from kmgan_lib.generator import Generator
from kmgan_lib.metrics import (
    METRICS,
    Judge,
    applicable,
    classifier,
    evaluate,
    frechet_distance,
    inception_score,
    judge,
    measures,
)
from kmgan_lib.metrics.subject import SAMPLE_SEED
from kmgan_lib.training.run import Run, restore

from ..conftest import Quick

QUICK = [
    "classifier_score", "classifier_frechet", "class_frequency", "within_class", "coverage", "clustering", "centers",
    "interpolation",
]  # fmt: skip


@pytest.fixture
def digits_run(pictures: Run, tmp_path: Path) -> Run:
    """A copy of the digits run, read from its files."""
    shutil.copytree(pictures.directory, tmp_path / "digits")
    return Run.open(tmp_path / "digits")


@pytest.mark.usefixtures("digits_judge")
def test_a_run_on_digits_is_measured_after_training_and_keeps_its_results_one_line_each(digits_run: Run) -> None:
    results = json.loads(json.dumps(evaluate(digits_run)))
    kept = json.loads((digits_run.directory / "result.json").read_text())
    assert kept["metrics"] == results
    assert Run.open(digits_run.directory).result == kept
    lines = [json.loads(line) for line in (digits_run.directory / "metrics.jsonl").read_text().splitlines()]
    assert lines == [{"metric": name, **result} for name, result in results.items()]
    for result in results.values():
        assert {"value", "samples", "seconds", "extractor"} <= set(result)
        assert result["extractor"]["name"]
    assert list(results) == QUICK
    score = results["classifier_score"]
    assert 8 < score["real_value"] <= 10  # thirty images a split cannot be balanced
    assert (score["samples"], score["real_samples"]) == (60, 297)
    frequency = results["class_frequency"]
    assert frequency["value"] == min(frequency["frequency"])
    assert frequency["corrected_least"] == min(frequency["corrected"])
    distance = results["classifier_frechet"]
    assert 0 < distance["real_value"] < distance["value"]
    assert (distance["samples"], distance["reference_samples"], distance["real_samples"]) == (60, 297, 60)
    assert distance["untrained_value"] > distance["real_value"]
    assert results["within_class"]["value"] == results["within_class"]["within"] >= 0
    assert (results["coverage"]["samples"], results["coverage"]["k"]) == (60, 5)
    assert results["clustering"]["samples"] == 1797
    assert 0.5 < results["clustering"]["raw_nmi"] < 1  # of K-Means on the digits' pixels


@pytest.mark.usefixtures("digits_judge")
def test_the_other_measures_of_a_run_on_digits(digits_run: Run, caplog: pytest.LogCaptureFixture) -> None:
    results = evaluate(digits_run, everything=True)
    assert set(results) == {*QUICK, "memorisation", "kmeans_cost"}
    assert len(caplog.records) == 3  # without Inception
    assert results["coverage"]["real_coverage"] > results["coverage"]["coverage"]
    memorised = results["memorisation"]
    assert len(memorised["nearest"]) == len(memorised["features"]["nearest"]) == memorised["samples"] == 64
    assert (memorised["training_samples"], memorised["unseen"]) == (1797, False)
    assert 0 < memorised["smallest"] <= memorised["value"]
    moved = results["interpolation"]
    assert moved["steady_step"] <= moved["value"] == moved["largest_step"] <= 1
    assert (moved["real_samples"], moved["held_out_samples"], moved["unseen"]) == (1617, 180, False)
    cost = results["kmeans_cost"]
    assert cost["value"] == pytest.approx(cost["pixel_milliseconds"] / cost["feature_milliseconds"])
    assert (cost["pixels"], cost["feature_dim"]) == (784, digits_run.preset.feature_dim)


def test_a_synthetic_run_is_measured_against_its_four_classes(quick: Quick, tmp_path: Path) -> None:
    run = quick(tmp_path / "run", iterations=5)
    results, reopened = evaluate(run), evaluate(Run.open(run.directory))
    assert list(results) == ["clustering", "centers"]
    assert (results["clustering"]["k"], results["clustering"]["samples"]) == (4, 10_000)
    assert reopened["clustering"]["nmi"] == pytest.approx(results["clustering"]["nmi"])


@pytest.mark.usefixtures("digits_judge")
def test_measuring_is_the_same_every_time_and_adds_to_what_is_there(
    digits_run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(measures.FREQUENCY_SAMPLES, "digits", 50)  # Fashion-MNIST has a number of its own
    before = torch.get_rng_state()
    one = evaluate(digits_run, only=["class_frequency"])
    assert torch.equal(before, torch.get_rng_state())
    two = evaluate(Run.open(digits_run.directory), only=["classifier_score", "class_frequency"])
    assert one["class_frequency"]["frequency"] == two["class_frequency"]["frequency"]
    assert one["class_frequency"]["samples"] == 50
    kept = json.loads((digits_run.directory / "result.json").read_text())
    assert set(kept["metrics"]) == {"classifier_score", "class_frequency"}


def test_only_measures_that_make_sense_apply(quick: Quick, pictures: Run, tmp_path: Path) -> None:
    assert applicable(pictures) == list(METRICS)
    conditional = quick(tmp_path / "dcgan", "digits/dcgan", iterations=1, snapshots=1)
    assert conditional.preset.conditional
    without = {"clustering", "centers", "kmeans_cost"}
    assert applicable(conditional) == [name for name in METRICS if name not in without]
    with pytest.raises(UsageError, match=r"no sense for digits/dcgan .*needs known classes, and a D"):
        evaluate(conditional, only=["clustering"])


def test_a_run_on_a_stand_in_is_judged_by_the_stand_in(
    quick: Quick, digits_judge: Judge, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = quick(tmp_path / "run", "mnist/kmgan", iterations=1, snapshots=1)
    monkeypatch.setenv("KMGAN_CACHE", str(tmp_path))
    monkeypatch.setattr(classifier, "_fit", lambda *_: digits_judge.net)
    results = evaluate(run, only=["class_frequency", "clustering"])
    judge.cache_clear()
    extractor = results["class_frequency"]["extractor"]
    assert extractor["name"] == "mnist classifier v1 (of test images)"
    assert results["clustering"]["samples"] == 2_000


def test_levels_of_a_run_are_those_of_its_last_and_its_first_weights(digits_run: Run, digits_judge: Judge) -> None:
    results = evaluate(digits_run, only=["classifier_score", "classifier_frechet"])
    preset, device = digits_run.preset, torch.device("cpu")
    reference = digits_judge.features(data.load("digits", split="test").tensor)
    trained, untrained = restore(digits_run), methods.create(preset, device=device, seed=digits_run.seed)
    for key, method in {"last_weights_value": trained, "untrained_value": untrained}.items():
        generator = Generator(method.frozen_generator(averaged=False), preset)
        features = digits_judge.features(generator.sample(60, SAMPLE_SEED))
        score = inception_score(digits_judge.classify(features))[0]
        assert results["classifier_score"][key] == pytest.approx(score, rel=1e-5)
        assert results["classifier_frechet"][key] == pytest.approx(frechet_distance(features, reference), rel=1e-5)


@pytest.mark.usefixtures("digits_judge")
def test_unseen_images_are_those_that_a_run_on_the_training_images_did_not_see(quick: Quick, tmp_path: Path) -> None:
    run = quick(tmp_path / "run", "digits/kmgan", iterations=1, snapshots=1, split="train")
    results = evaluate(run, only=["memorisation", "interpolation"])
    assert [r["unseen"] for r in results.values()] == [True, True]
    memorised = results["memorisation"]
    assert (memorised["training_samples"], memorised["held_out_samples"]) == (1500, 297)
