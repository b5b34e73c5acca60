from __future__ import annotations

import hashlib
import json
import logging
from pathlib import Path

import pytest
import torch

from kmgan_lib import data
from kmgan_lib.errors import UsageError
from kmgan_lib.metrics import Judge, classifier, judge, resnet


def files(cache: Path) -> list[Path]:
    return sorted((cache / "judges").glob("digits-*.safetensors"))


def test_the_judge_of_digits_is_right_nine_times_in_ten(digits_judge: Judge) -> None:
    test = data.load("digits", split="test")
    assert test.labels is not None
    right = digits_judge.probabilities(test.tensor).argmax(1) == test.labels
    assert digits_judge.accuracy > 0.9
    assert right.double().mean().item() == pytest.approx(digits_judge.accuracy)
    assert digits_judge.classes == tuple("0123456789")


def test_probabilities_are_the_same_for_bytes_and_for_numbers(digits_judge: Judge) -> None:
    pictures = data.load("digits", split="test").tensor[:20]
    probabilities = digits_judge.probabilities(pictures)
    assert probabilities.shape == (20, 10)
    torch.testing.assert_close(probabilities.sum(1), torch.ones(20))
    torch.testing.assert_close(probabilities, digits_judge.probabilities(pictures / 255))


def test_features_stand_before_the_last_layer(digits_judge: Judge) -> None:
    pictures = data.load("digits", split="test").tensor[:20]
    features = digits_judge.features(pictures)
    assert features.shape == (20, 128)
    assert torch.equal(digits_judge.classify(features), digits_judge.probabilities(pictures))
    torch.testing.assert_close(digits_judge.probabilities(pictures), digits_judge.net(pictures / 255).softmax(1))


def test_a_reported_number_names_its_extractor(digits_judge: Judge) -> None:
    described = digits_judge.describe()
    assert described["name"].startswith("digits classifier")
    assert described["data"] == "real"
    assert described["test_accuracy"] == pytest.approx(digits_judge.accuracy, abs=1e-4)
    assert "train_accuracy" not in described


def test_a_second_judge_comes_from_the_cache(
    digits_judge: Judge, cache: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    assert len(files(cache)) == 1
    judge.cache_clear()
    monkeypatch.setattr(classifier, "_fit", lambda *_: pytest.fail("it is in the cache"))
    again = judge("digits")
    assert again is not digits_judge
    assert again.accuracy == digits_judge.accuracy
    pictures = data.load("digits", split="test").tensor[:20]
    assert torch.equal(again.probabilities(pictures), digits_judge.probabilities(pictures))
    assert not caplog.records


@pytest.mark.parametrize("damage", ["truncated", "empty", "pickled"])
def test_a_garbled_judge_is_trained_again_with_a_warning(
    digits_judge: Judge,
    cache: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    damage: str,
) -> None:
    (good,) = files(cache)
    bad = tmp_path / "judges" / good.name
    bad.parent.mkdir()
    bad.write_bytes({"truncated": good.read_bytes()[:1000], "empty": b"", "pickled": b"\x80\x04."}[damage])
    monkeypatch.setenv("KMGAN_CACHE", str(tmp_path))
    monkeypatch.setattr(classifier, "_fit", lambda *_: digits_judge.net)
    judge.cache_clear()
    with caplog.at_level(logging.WARNING):
        again = judge("digits")
    assert again.accuracy == pytest.approx(digits_judge.accuracy)
    (record,) = caplog.records
    assert "training the classifier again" in record.getMessage()
    assert str(bad) in record.getMessage()
    judge.cache_clear()
    monkeypatch.setattr(classifier, "_fit", lambda *_: pytest.fail("it was mended"))
    assert judge("digits").accuracy == again.accuracy
    judge.cache_clear()


def test_training_is_fixed_and_leaves_the_global_randomness_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(classifier, "MIN_STEPS", 2)
    images = data.load("digits")
    small = data.Images(images.tensor[:300], images.labels[:300], {}, images.classes)  # pyright: ignore
    before = torch.get_rng_state()
    one, two = (classifier._fit(small, 1) for _ in range(2))
    assert torch.equal(before, torch.get_rng_state())
    for a, b in zip(one.parameters(), two.parameters(), strict=True):
        assert torch.equal(a, b)


@pytest.mark.parametrize("name", ["synthetic", "folder:x", "imagenet"])
def test_data_without_classes_have_no_judge(name: str) -> None:
    with pytest.raises(UsageError, match=f"{name} has no classes to judge by"):
        judge(name)


def cifar10(split: str, kind: str = "real") -> data.Images:
    generator = torch.Generator().manual_seed(len(split))
    tensor = torch.randint(0, 256, (40, 3, 32, 32), generator=generator, dtype=torch.uint8)
    labels, classes = torch.arange(40) % 10, tuple("abcdefghij")
    return data.Images.create(tensor, labels, classes=classes, name="cifar10", kind=kind, split=split)


@pytest.fixture
def data_root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A data root with a ResNet of random weights that passes for the published one, and invented CIFAR-10."""
    torch.manual_seed(0)
    path = tmp_path / "root" / resnet.FILE
    path.parent.mkdir(parents=True)
    net = resnet.resnet(56)
    torch.save({"state_dict": {f"module.{k}": v for k, v in net.state_dict().items()}, "best_prec1": 1.0}, path)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    path = path.rename(path.with_name(f"resnet-{digest[:8]}.th"))
    monkeypatch.setitem(classifier.PRETRAINED, "cifar10", f"classifiers/{path.name}")
    monkeypatch.setitem(data.DATASETS, "cifar10", data.Dataset("cifar10", classes=tuple("abcdefghij")))
    monkeypatch.setenv("KMGAN_CACHE", str(tmp_path / "cache"))
    judge.cache_clear()
    return tmp_path / "root"


def test_the_pretrained_judge_is_taken_where_it_is_found(data_root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(data, "load", lambda *_, split="train", **__: cifar10(split))
    monkeypatch.setattr(classifier, "_fit", lambda *_: pytest.fail("there is a pretrained one"))
    found = judge("cifar10", data_root=str(data_root))
    assert found.describe()["name"].startswith("cifar10 ResNet-56 (resnet-")
    pictures = cifar10("test")
    assert found.features(pictures.tensor).shape == (40, 64)
    right = found.probabilities(pictures.tensor).argmax(1) == pictures.labels
    assert found.accuracy == right.double().mean().item()
    judge.cache_clear()
    monkeypatch.setattr(classifier, "_accuracy", lambda *_: pytest.fail("it is in the cache"))
    assert judge("cifar10", data_root=str(data_root)).accuracy == found.accuracy
    (kept,) = (data_root.parent / "cache" / "judges").iterdir()
    monkeypatch.setattr(classifier, "_accuracy", lambda *_: 0.5)
    for garbled in ("{}", '{"accuracy": null}', '{"acc', "[]"):
        kept.write_text(garbled, encoding="utf8")
        judge.cache_clear()
        assert judge("cifar10", data_root=str(data_root)).accuracy == 0.5
        assert json.loads(kept.read_text(encoding="utf8")) == {"accuracy": 0.5}
    judge.cache_clear()


@pytest.mark.parametrize("why", ["a stand-in", "no root"])
def test_otherwise_the_judge_is_trained(data_root: Path, monkeypatch: pytest.MonkeyPatch, why: str) -> None:
    kind = "stand-in" if why == "a stand-in" else "real"
    monkeypatch.setattr(data, "load", lambda *_, split="train", **__: cifar10(split, kind))
    monkeypatch.setattr(classifier, "MIN_STEPS", 1)
    monkeypatch.setattr(classifier, "BATCH", 20)
    trained = judge("cifar10", data_root=str(data_root) if why == "a stand-in" else None)
    assert trained.describe()["name"] == "cifar10 classifier v1"
    assert trained.features(cifar10("test").tensor).shape == (40, 128)
    judge.cache_clear()


def test_a_recipe_of_its_own_is_for_the_real_data_set_only(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("KMGAN_CACHE", str(tmp_path))
    asked: list[int] = []

    def fit(train: data.Images, epochs: int) -> torch.nn.Sequential:
        asked.append(epochs)
        return classifier._network(train.tensor.shape[1], train.tensor.shape[2], 10).eval()

    monkeypatch.setattr(classifier, "_fit", fit)
    images = [data.Images.create(cifar10(s).tensor[:, :1], cifar10(s).labels, classes=tuple("0123456789"), kind=kind)
              for s, kind in (("train", "real"), ("train", "stand-in"))]  # fmt: skip
    real, standin = (classifier._trained(i, i, "fashion") for i in images)
    assert asked == [classifier.RECIPES["fashion"][1], classifier.RECIPE[1]]
    assert real.name == f"fashion classifier v{classifier.RECIPES['fashion'][0]}"
    assert "train_accuracy" in real.describe()
    assert standin.name == "fashion classifier v1"
    assert classifier._trained(images[0], images[0], "mnist").name == "mnist classifier v1"
    again = classifier._trained(images[0], images[0], "fashion")
    assert (again.accuracy, again.train_accuracy) == (real.accuracy, real.train_accuracy)
    assert len(asked) == 3
