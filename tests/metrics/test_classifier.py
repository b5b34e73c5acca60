import hashlib
import logging
from pathlib import Path

import pytest
import torch

from kmgan_lib import data
from kmgan_lib.errors import UsageError
from kmgan_lib.metrics import Judge, classifier, judge, resnet

from ..conftest import same_weights


def test_the_judge_of_digits_is_right_nine_times_in_ten(digits_judge: Judge) -> None:
    test = data.load("digits", split="test")
    assert test.labels is not None
    right = digits_judge.probabilities(test.tensor).argmax(1) == test.labels
    assert digits_judge.accuracy > 0.9
    assert right.double().mean().item() == pytest.approx(digits_judge.accuracy)
    assert digits_judge.classes == tuple("0123456789")
    described = digits_judge.describe()
    assert described["name"].startswith("digits classifier")
    assert described["data"] == "real"
    assert described["test_accuracy"] == pytest.approx(digits_judge.accuracy, abs=1e-4)
    assert "train_accuracy" not in described


def test_features_stand_before_the_last_layer_and_bytes_are_as_good_as_numbers(digits_judge: Judge) -> None:
    pictures = data.load("digits", split="test").tensor[:20]
    probabilities, features = digits_judge.probabilities(pictures), digits_judge.features(pictures)
    assert (probabilities.shape, features.shape) == ((20, 10), (20, 128))
    assert torch.equal(digits_judge.classify(features), probabilities)
    torch.testing.assert_close(probabilities, digits_judge.net(pictures / 255).softmax(1))
    torch.testing.assert_close(probabilities, digits_judge.probabilities(pictures / 255))


def test_a_second_judge_comes_from_the_cache_and_a_garbled_one_is_trained_again_with_a_warning(
    digits_judge: Judge, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    judge.cache_clear()
    monkeypatch.setattr(classifier, "_fit", lambda *_: pytest.fail("it is in the cache"))
    again = judge("digits")
    pictures = data.load("digits", split="test").tensor[:20]
    assert torch.equal(again.probabilities(pictures), digits_judge.probabilities(pictures))
    assert not caplog.records
    (good,) = (cache / "judges").glob("digits-*.safetensors")
    bad = tmp_path / "judges" / good.name
    bad.parent.mkdir()
    bad.write_bytes(good.read_bytes()[:1000])
    monkeypatch.setenv("KMGAN_CACHE", str(tmp_path))
    monkeypatch.setattr(classifier, "_fit", lambda *_: digits_judge.net)
    judge.cache_clear()
    with caplog.at_level(logging.WARNING):
        again = judge("digits")
    assert again.accuracy == pytest.approx(digits_judge.accuracy)
    (record,) = caplog.records
    assert "training the classifier again" in record.getMessage()
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
    assert same_weights(one, two)
    with pytest.raises(UsageError, match="folder:x has no classes to judge by"):
        judge("folder:x")


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


@pytest.mark.parametrize(("kind", "name"), [("real", "ResNet-56 (resnet-"), ("stand-in", "classifier v1")])
def test_the_pretrained_judge_is_taken_for_the_real_data_set(
    data_root: Path, monkeypatch: pytest.MonkeyPatch, kind: str, name: str
) -> None:
    monkeypatch.setattr(data, "load", lambda *_, split="train", **__: cifar10(split, kind))
    monkeypatch.setattr(classifier, "_fit", lambda *_: classifier._network(3, 32, 10).eval())
    assert judge("cifar10").name == "cifar10 classifier v1"
    judge.cache_clear()
    assert judge("cifar10", data_root=str(data_root)).name.startswith(f"cifar10 {name}")
    judge.cache_clear()


def test_the_accuracy_of_the_pretrained_judge_is_measured_once(
    data_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(data, "load", lambda *_, split="train", **__: cifar10(split))
    found = judge("cifar10", data_root=str(data_root))
    pictures = cifar10("test")
    assert found.features(pictures.tensor).shape == (40, 64)
    right = found.probabilities(pictures.tensor).argmax(1) == pictures.labels
    assert found.accuracy == right.double().mean().item()
    judge.cache_clear()
    monkeypatch.setattr(classifier, "_accuracy", lambda *_: pytest.fail("it is in the cache"))
    assert judge("cifar10", data_root=str(data_root)).accuracy == found.accuracy
    (kept,) = (data_root.parent / "cache" / "judges").iterdir()
    monkeypatch.setattr(classifier, "_accuracy", lambda *_: 0.5)
    for garbled in ('{"accuracy": null}', '{"acc'):
        kept.write_text(garbled, encoding="utf8")
        judge.cache_clear()
        assert judge("cifar10", data_root=str(data_root)).accuracy == 0.5
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
    again = classifier._trained(images[0], images[0], "fashion")
    assert (again.accuracy, again.train_accuracy) == (real.accuracy, real.train_accuracy)
    assert len(asked) == 2
