import json
import shutil
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from kmgan_lib import data, methods
from kmgan_lib.errors import UsageError
from kmgan_lib.generator import Generator
from kmgan_lib.metrics import METRICS, Classifier, classifier, evaluate, evaluation, load_classifier, measures, scores
from kmgan_lib.metrics.evaluation import SAMPLE_SEED, Evaluation, chosen
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


@pytest.mark.usefixtures("digits_classifier")
def test_a_run_keeps_its_results_one_line_each(digits_run: Run, caplog: pytest.LogCaptureFixture) -> None:
    assert [name for name, m in METRICS.items() if m.quick and m.applies(digits_run.preset)] == QUICK
    results = json.loads(json.dumps(evaluate(digits_run, everything=True)))
    assert set(results) == {*QUICK, "memorisation", "kmeans_cost"}
    left_out = [record.getMessage().split(" is left out")[0] for record in caplog.records]
    assert left_out == ["inception_score", "fid", "fid768"]
    kept = json.loads((digits_run.directory / "result.json").read_text())
    assert kept["metrics"] == results
    assert Run.open(digits_run.directory).result == kept
    lines = [json.loads(line) for line in (digits_run.directory / "metrics.jsonl").read_text().splitlines()]
    assert lines == [{"metric": name, **result} for name, result in results.items()]
    for result in results.values():
        assert {"value", "samples", "seconds", "extractor"} <= set(result)
        assert result["extractor"]["name"]
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
    assert results["coverage"]["real_coverage"] > results["coverage"]["coverage"]
    assert results["clustering"]["samples"] == 1797
    assert 0.5 < results["clustering"]["raw_nmi"] < 1  # of K-Means on the digits' pixels
    memorised = results["memorisation"]
    assert len(memorised["nearest"]) == len(memorised["features"]["nearest"]) == memorised["samples"] == 64
    assert (memorised["training_samples"], memorised["unseen"]) == (1797, False)
    assert 0 < memorised["smallest"] <= memorised["value"]
    moved = results["interpolation"]
    assert moved["steady_step"] <= moved["value"] == moved["largest_step"] <= 1
    assert (moved["real_samples"], moved["held_out_samples"], moved["unseen"]) == (1617, 180, False)
    cost = results["kmeans_cost"]
    assert cost["ratio"] == cost["value"] == pytest.approx(cost["pixel_milliseconds"] / cost["feature_milliseconds"])
    assert (cost["pixels"], cost["feature_dim"]) == (784, digits_run.preset.feature_dim)
    assert (cost["k"], cost["batch"]) == (10, 16)


def test_a_synthetic_run_is_measured_against_its_four_classes(quick: Quick, tmp_path: Path) -> None:
    run = quick(tmp_path / "run", iterations=5)
    results, reopened = evaluate(run), evaluate(Run.open(run.directory))
    assert list(results) == ["clustering", "centers"]
    assert (results["clustering"]["k"], results["clustering"]["samples"]) == (4, 10_000)
    assert reopened["clustering"]["nmi"] == pytest.approx(results["clustering"]["nmi"])


@pytest.mark.usefixtures("digits_classifier")
def test_measuring_repeats_itself_and_adds(digits_run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(measures.FREQUENCY_SAMPLES, "digits", 50)  # Fashion-MNIST has a number of its own
    before = torch.get_rng_state()
    one = evaluate(digits_run, only=["class_frequency"])
    assert torch.equal(before, torch.get_rng_state())
    two = evaluate(Run.open(digits_run.directory), only=["classifier_score", "class_frequency"])
    assert one["class_frequency"]["frequency"] == two["class_frequency"]["frequency"]
    assert one["class_frequency"]["samples"] == 50
    kept = json.loads((digits_run.directory / "result.json").read_text())
    assert set(kept["metrics"]) == {"classifier_score", "class_frequency"}


def test_a_stand_in_judges_itself(
    quick: Quick, digits_classifier: Classifier, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = quick(tmp_path / "run", "mnist/kmgan", iterations=1, snapshots=1)
    monkeypatch.setenv("KMGAN_CACHE", str(tmp_path))
    monkeypatch.setattr(classifier, "_fit", lambda *_: digits_classifier.net)
    results = evaluate(run, only=["class_frequency", "clustering"])
    load_classifier.cache_clear()
    extractor = results["class_frequency"]["extractor"]
    assert extractor["name"] == "mnist classifier v1 (of test images)"
    assert results["clustering"]["samples"] == 2_000


def test_levels_of_a_run_are_those_of_its_last_and_its_first_weights(
    digits_run: Run, digits_classifier: Classifier
) -> None:
    results = evaluate(digits_run, only=["classifier_score", "classifier_frechet"])
    preset, device = digits_run.preset, torch.device("cpu")
    reference = digits_classifier.features(data.load("digits", split="test").tensor)
    trained, untrained = restore(digits_run), methods.create(preset, device=device, seed=digits_run.seed)
    for key, method in {"last_weights_value": trained, "untrained_value": untrained}.items():
        generator = Generator(method.eval_generator(averaged=False), preset)
        features = digits_classifier.features(generator.sample(60, SAMPLE_SEED))
        score = scores.inception_score(digits_classifier.classify(features))[0]
        assert results["classifier_score"][key] == pytest.approx(score, rel=1e-5)
        assert results["classifier_frechet"][key] == pytest.approx(
            scores.frechet_distance(features, reference), rel=1e-5
        )


@pytest.mark.usefixtures("digits_classifier")
def test_unseen_images_are_those_that_a_run_on_the_training_images_did_not_see(quick: Quick, tmp_path: Path) -> None:
    run = quick(tmp_path / "run", "digits/kmgan", iterations=1, snapshots=1, split="train")
    results = evaluate(run, only=["memorisation", "interpolation"])
    assert [r["unseen"] for r in results.values()] == [True, True]
    memorised = results["memorisation"]
    assert (memorised["training_samples"], memorised["held_out_samples"]) == (1500, 297)


def test_the_cost_of_a_run_is_on_its_own_device_and_leaves_the_method_alone(pictures: Run) -> None:
    assert pictures.method is not None
    before = {name: value.clone() for name, value in pictures.method.discriminator_net.state_dict().items()}
    assert measures.kmeans_cost(Evaluation(pictures, None))["extractor"] == {"name": "cpu"}
    after = pictures.method.discriminator_net.state_dict()
    assert all(torch.equal(value, after[name]) for name, value in before.items())


def test_a_conditional_run(quick: Quick, pictures: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only measures that make sense apply, and interpolations stay within a class."""
    run = quick(tmp_path / "dcgan", "digits/dcgan", iterations=1, snapshots=1)
    assert run.preset.conditional
    assert all(measure.applies(pictures.preset) for measure in METRICS.values())
    without = {name for name, measure in METRICS.items() if not measure.applies(run.preset)}
    assert without == {"clustering", "centers", "kmeans_cost"}
    with pytest.raises(UsageError, match=r"no sense for digits/dcgan .*needs classes that D is not given"):
        evaluate(run, only=["clustering"])
    asked: list[Tensor] = []
    images = Generator.images

    def spy(generator: Generator, noise: Tensor, labels: Tensor | None = None) -> Tensor:
        assert labels is not None
        asked.append(labels)
        return images(generator, noise, labels)

    monkeypatch.setattr(measures, "LINES", 12)
    monkeypatch.setattr(Generator, "images", spy)
    result = measures.interpolation(Evaluation(run, None))
    assert result["samples"] == 12
    assert len(asked) == measures.STEPS + 2  # and the middle
    assert all(labels.tolist() == [*range(10), 0, 1] for labels in asked)


def test_networks_run_where_trained(
    pictures: Run, digits_classifier: Classifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    del digits_classifier
    assert pictures.method is not None
    assert Evaluation(pictures, None).device == pictures.method.device
    asked: list[str] = []
    monkeypatch.setattr(evaluation, "pick_device", lambda name: asked.append(name) or torch.device("meta"))
    other = Evaluation(Run.open(pictures.directory), None)
    assert (other.device.type, other.classifier.device.type) == ("meta", "meta")
    assert asked == ["auto"]


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_measures_are_the_same_on_a_gpu(pictures: Run, digits_classifier: Classifier) -> None:
    there, here = Evaluation(Run.open(pictures.directory), None), Evaluation(Run.open(pictures.directory), None)
    here.__dict__["device"] = torch.device("cpu")
    assert (there.classifier.device.type, there.method.device.type, there.generator.device.type) == ("cuda",) * 3
    for kind in ("fake", "last", "untrained"):
        assert there.features(kind).device.type == "cpu"
        torch.testing.assert_close(there.features(kind), here.features(kind), atol=0.02, rtol=0.02)  # TF32
    assert digits_classifier.device.type == "cpu"


def test_the_reference_is_test_images_or_other_training_images(pictures: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(evaluation, "REFERENCE", 10)

    def greys(train: int, test: int, *kinds: str) -> list[list[int]]:
        """Which images the kinds are made of, if every one has a grey of its own, test images from 100 on."""
        made = Evaluation(pictures, None)
        for split, n, first in (("train", train, 0), ("test", test, 100)):
            grey = torch.arange(first, first + n, dtype=torch.uint8).reshape(-1, 1, 1, 1).expand(-1, 1, 28, 28)
            made._made["images", split] = data.Images(grey, None)
        flat = nn.Sequential(nn.AvgPool2d(28), nn.Flatten(), nn.Linear(1, 1))
        made.__dict__["classifier"] = Classifier(flat, (), 28, "real", "its grey")
        made.__dict__["samples"] = torch.zeros(30, 1)
        assert made.reference == kinds[-1]
        return [sorted((255 * made.features(kind)).round().int().flatten().tolist()) for kind in ("reference", *kinds)]

    for train, test in ((30, 5), (30, 20), (19, 3)):
        assert greys(train, test, "test")[0] == list(range(100, 100 + test))
    reference, compared = greys(30, 4, "train")
    assert len(reference) == len(compared) == 10
    assert set(reference) & set(compared) == set()
    assert max(reference + compared) < 100


def test_a_choice_is_fixed_and_without_repetition() -> None:
    rows = torch.arange(20)
    assert torch.equal(chosen(rows, 7), chosen(rows, 20)[:7])
    assert sorted(chosen(rows, 50).tolist()) == list(range(20))
