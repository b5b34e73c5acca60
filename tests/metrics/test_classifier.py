import hashlib
import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import nn

from kmgan_lib import data
from kmgan_lib.data.images import resized
from kmgan_lib.errors import UsageError
from kmgan_lib.metrics import Classifier, classifier, load_classifier

from ..conftest import same_weights


def test_the_classifier_of_digits_is_right_nine_times_in_ten(digits_classifier: Classifier) -> None:
    test = data.load("digits", split="test")
    assert test.labels is not None
    right = digits_classifier.probabilities(test.tensor).argmax(1) == test.labels
    assert digits_classifier.accuracy > 0.9
    assert right.double().mean().item() == pytest.approx(digits_classifier.accuracy)
    assert digits_classifier.classes == tuple("0123456789")
    described = digits_classifier.describe()
    assert described["name"].startswith("digits classifier")
    assert described["data"] == "real"
    assert described["test_accuracy"] == pytest.approx(digits_classifier.accuracy, abs=1e-4)
    assert "train_accuracy" not in described


def test_features_stand_before_the_last_layer_and_bytes_are_as_good_as_numbers(digits_classifier: Classifier) -> None:
    pictures = data.load("digits", split="test").tensor[:20]
    probabilities, features = digits_classifier.probabilities(pictures), digits_classifier.features(pictures)
    assert (probabilities.shape, features.shape) == ((20, 10), (20, 128))
    assert torch.equal(digits_classifier.classify(features), probabilities)
    torch.testing.assert_close(probabilities, digits_classifier.net(pictures / 255).softmax(1))
    torch.testing.assert_close(probabilities, digits_classifier.probabilities(pictures / 255))


def test_a_second_classifier_comes_from_the_cache_and_a_garbled_one_is_trained_again_with_a_warning(
    digits_classifier: Classifier, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    load_classifier.cache_clear()
    monkeypatch.setattr(classifier, "_fit", lambda *_: pytest.fail("it is in the cache"))
    again = load_classifier("digits")
    pictures = data.load("digits", split="test").tensor[:20]
    assert torch.equal(again.probabilities(pictures), digits_classifier.probabilities(pictures))
    assert not caplog.records
    (good,) = (cache / "judges").glob("digits-*.safetensors")
    bad = tmp_path / "judges" / good.name
    bad.parent.mkdir()
    bad.write_bytes(good.read_bytes()[:1000])
    monkeypatch.setenv("KMGAN_CACHE", str(tmp_path))
    monkeypatch.setattr(classifier, "_fit", lambda *_: digits_classifier.net)
    load_classifier.cache_clear()
    with caplog.at_level(logging.WARNING):
        again = load_classifier("digits")
    assert again.accuracy == pytest.approx(digits_classifier.accuracy)
    (record,) = caplog.records
    assert "training the classifier again" in record.getMessage()
    load_classifier.cache_clear()
    monkeypatch.setattr(classifier, "_fit", lambda *_: pytest.fail("it was mended"))
    assert load_classifier("digits").accuracy == again.accuracy
    load_classifier.cache_clear()


def test_training_is_fixed_and_leaves_the_global_randomness_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(classifier, "MIN_STEPS", 2)
    images = data.load("digits")
    small = data.Images(images.tensor[:300], images.labels[:300], {}, images.classes)  # pyright: ignore
    before = torch.get_rng_state()
    one, two = (classifier._fit(small, 1) for _ in range(2))
    assert torch.equal(before, torch.get_rng_state())
    assert same_weights(one, two)
    with pytest.raises(UsageError, match="folder:x has no classes to judge by"):
        load_classifier("folder:x")


def cifar10(split: str, kind: str = "real") -> data.Images:
    generator = torch.Generator().manual_seed(len(split))
    tensor = torch.randint(0, 256, (40, 3, 32, 32), generator=generator, dtype=torch.uint8)
    labels, classes = torch.arange(40) % 10, tuple("abcdefghij")
    return data.Images.create(tensor, labels, classes=classes, name="cifar10", kind=kind, split=split)


def saved(folder: Path, content: object) -> Path:
    """Write a file whose name ends in the beginning of its SHA-256, as the published one does."""
    folder.mkdir(parents=True, exist_ok=True)
    torch.save(content, folder / "file")
    digest = hashlib.sha256((folder / "file").read_bytes()).hexdigest()
    return (folder / "file").rename(folder / f"resnet-{digest[:8]}.th")


def random_resnet() -> tuple[nn.Sequential, dict[str, object]]:
    """A ResNet of random weights, and what is in its file."""
    torch.manual_seed(0)
    net = classifier.resnet(56).eval()
    return net, {"state_dict": {f"module.{k}": v for k, v in net.state_dict().items()}, "best_prec1": 1.0}


@pytest.fixture
def data_root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A data root with a ResNet of random weights that passes for the published one, and invented CIFAR-10."""
    path = saved(tmp_path / "root" / "classifiers", random_resnet()[1])
    monkeypatch.setattr(classifier, "RESNET", f"classifiers/{path.name}")
    monkeypatch.setattr(data, "load", lambda *_, split="train", **__: cifar10(split))
    monkeypatch.setenv("KMGAN_CACHE", str(tmp_path / "cache"))
    load_classifier.cache_clear()
    yield tmp_path / "root"
    load_classifier.cache_clear()


def test_the_pretrained_classifier_is_for_real_data_alone(data_root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(classifier, "_fit", lambda train, _: classifier._network(train).eval())
    assert load_classifier("cifar10").name == "cifar10 classifier v1"
    assert load_classifier("cifar10", data_root=str(data_root)).name.startswith("cifar10 ResNet-56 (resnet-")
    load_classifier.cache_clear()
    monkeypatch.setattr(data, "load", lambda *_, split="train", **__: cifar10(split, "stand-in"))
    assert load_classifier("cifar10", data_root=str(data_root)).name == "cifar10 classifier v1"


def test_the_pretrained_classifier_is_measured_once(data_root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = load_classifier("cifar10", data_root=str(data_root))
    pictures = cifar10("test")
    assert found.features(pictures.tensor).shape == (40, 64)
    right = found.probabilities(pictures.tensor).argmax(1) == pictures.labels
    assert found.accuracy == right.double().mean().item()
    load_classifier.cache_clear()
    monkeypatch.setattr(Classifier, "right", lambda *_: pytest.fail("it is in the cache"))
    assert load_classifier("cifar10", data_root=str(data_root)).accuracy == found.accuracy
    (kept,) = (data_root.parent / "cache" / "judges").iterdir()
    monkeypatch.setattr(Classifier, "right", lambda *_: 0.5)
    for garbled in ('{"accuracy": null}', '{"acc'):
        kept.write_text(garbled, encoding="utf8")
        load_classifier.cache_clear()
        assert load_classifier("cifar10", data_root=str(data_root)).accuracy == 0.5


def test_a_recipe_of_its_own_is_for_the_real_data_set_only(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("KMGAN_CACHE", str(tmp_path))
    asked: list[int] = []
    monkeypatch.setattr(classifier, "_fit", lambda train, n: asked.append(n) or classifier._network(train).eval())
    images = [cifar10("train", kind) for kind in ("real", "stand-in")]
    real, standin = (classifier._trained(i, i, "fashion") for i in images)
    assert asked == [classifier.RECIPES["fashion"][1], classifier.RECIPE[1]]
    assert real.name == f"fashion classifier v{classifier.RECIPES['fashion'][0]}"
    assert "train_accuracy" in real.describe()
    assert standin.name == "fashion classifier v1"
    again = classifier._trained(images[0], images[0], "fashion")
    assert (again.accuracy, again.train_accuracy) == (real.accuracy, real.train_accuracy)
    assert len(asked) == 2


@pytest.mark.parametrize("side", [16, 32, 64])
def test_a_classifier_sees_pictures_at_the_size_that_it_knows(side: int) -> None:
    net = nn.Sequential(nn.AvgPool2d(8), nn.Flatten(), nn.Linear(48, 10))  # features are means over patches
    made = Classifier(net, tuple("abcdefghij"), 32, "real", "a classifier")
    generator = torch.Generator().manual_seed(side)
    pictures = torch.randint(0, 256, (5, 3, side, side), generator=generator, dtype=torch.uint8)
    seen = made.features(pictures)
    torch.testing.assert_close(seen, made.features(resized(pictures, 32)), atol=0 if side == 32 else 2e-3, rtol=0)
    assert torch.equal(seen, made.features(pictures / 255))


def test_a_classifier_is_copied_to_another_device_and_stays_where_it_is_on_its_own(
    digits_classifier: Classifier,
) -> None:
    assert digits_classifier.side == 28
    assert digits_classifier.to(torch.device("cpu")) is digits_classifier
    moved = digits_classifier.to(torch.device("meta"))
    assert (moved.device.type, digits_classifier.device.type) == ("meta", "cpu")
    assert moved.describe() == digits_classifier.describe()


def test_a_resnet56_has_the_published_size_and_names_and_its_weights_are_read(tmp_path: Path) -> None:
    net = classifier.resnet(56)
    assert sum(p.numel() for p in net.parameters()) == 853_018  # 0.85 M in Table 6 of He et al.
    names = set(net.state_dict())
    assert {"conv1.weight", "bn1.running_var", "layer1.8.conv2.weight", "layer3.0.bn1.bias", "linear.bias"} <= names
    assert not [name for name in names if "normalise" in name]
    source, content = random_resnet()
    net = classifier.load_resnet56(saved(tmp_path, content))
    images = torch.rand(3, 3, 32, 32)
    with torch.no_grad():
        assert torch.equal(net(images), source(images))
        features = net[:-1](images)
        assert features.shape == (3, 64)
        assert torch.equal(net[-1](features), source(images))


def test_the_shortcut_takes_every_second_pixel_and_adds_empty_channels() -> None:
    block = classifier._block(4, 8).eval()
    torch.nn.init.zeros_(block.get_parameter("bn2.weight"))  # only the shortcut is left
    x = torch.rand(2, 4, 6, 6)
    with torch.no_grad():
        out = block(x)
    assert torch.equal(out[:, 2:6], x[:, :, ::2, ::2])
    assert out[:, :2].abs().sum() + out[:, 6:].abs().sum() == 0


def test_another_file_and_a_damaged_one_are_refused(tmp_path: Path) -> None:
    for content in ({"state_dict": {}}, {}, "text"):
        path = saved(tmp_path, content)
        with pytest.raises(UsageError, match="is not the ResNet-56 it should be"):
            classifier.load_resnet56(path)
        path.write_bytes(path.read_bytes()[:-1])
        with pytest.raises(UsageError, match="SHA-256"):
            classifier.load_resnet56(path)
