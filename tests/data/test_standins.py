"""What takes the place of data that are not at hand: embedded test images, and drawings."""

import dataclasses
import hashlib
import re
from pathlib import Path

import pytest
import torch
from torchvision.datasets import MNIST, FashionMNIST

from kmgan_lib import data
from kmgan_lib.data import toys
from kmgan_lib.training.run import data_label

from .conftest import splits

EMBEDDED = Path(toys.__file__).parent / "embedded"
DRAWN = {"cifar10": (3, 32, 32), "celeba": (3, 64, 64)}


@pytest.mark.parametrize(("name", "known"), [("mnist", MNIST), ("fashion", FashionMNIST)])
def test_embedded_images_are_the_published_ones_and_say_which_they_are(name: str, known: type[MNIST]) -> None:
    published = {file: md5 for file, md5 in known.resources if file.startswith("t10k")}
    readme = (EMBEDDED / "README.md").read_text(encoding="utf8")
    assert {path.name for path in (EMBEDDED / name).iterdir()} == set(published)
    for file, md5 in published.items():
        content = (EMBEDDED / name / file).read_bytes()
        assert hashlib.md5(content).hexdigest() == md5
        assert {md5, hashlib.sha256(content).hexdigest()} <= set(re.findall(r"\w+", readme))
    train, test, both = splits(name, standin="always")
    assert [len(part) for part in (train, test, both)] == [8_000, 2_000, 10_000]
    assert both.tensor.shape == (10_000, 1, 28, 28)
    assert both.classes == data.DATASETS[name].classes
    assert torch.bincount(torch.as_tensor(both.labels)).min() > 890
    assert torch.equal(both.tensor[4::5], test.tensor)
    assert not {bytes(i) for i in train.tensor.numpy()} & {bytes(i) for i in test.tensor.numpy()}
    expected = {"name": name, "kind": "real", "source": "embedded", "split": "test", "count": 10_000}
    assert expected.items() <= both.provenance.items()


def test_badges_name_the_data() -> None:
    for kind, source, label in (
        ("real", "data root, MNIST/raw", "mnist"), ("real", "embedded", "mnist (10,000 test images)"),
        ("real", "embedded, resized from 28 to 32 pixels", "mnist (10,000 test images)"),
        ("stand-in", "drawn faces", "stand-in for mnist"),
    ):  # fmt: skip
        assert data_label({"name": "mnist", "kind": kind, "source": source, "count": 10_000}) == label


def test_drawn_images_have_the_form_of_what_they_stand_for_and_classes_of_their_own() -> None:
    for name, shape in DRAWN.items():
        train, test, both = splits(name, standin="always")
        assert both.tensor.shape == (2_500, *shape)
        assert both.tensor.dtype == torch.uint8
        assert torch.equal(both.tensor, torch.cat([train.tensor, test.tensor]))
        assert len({bytes(i) for i in both.tensor.numpy()}) == 2_500  # no two alike, so train and test share none
        assert both.provenance["kind"] == "stand-in"
        toys._drawn.cache_clear()
        assert data.load(name, standin="always", split="test").provenance == test.provenance
    shapes = toys.shapes("test")
    assert shapes.classes == toys.SHAPES
    assert not set(toys.SHAPES) & set(data.DATASETS["cifar10"].classes)
    assert torch.bincount(torch.as_tensor(shapes.labels)).tolist() == [50] * 10
    assert toys.faces("test").labels is None


@pytest.mark.parametrize("name", ["mnist", "fashion", "cifar10", "celeba"])
def test_load_gives_them_where_they_are_asked_for_or_nothing_else_is_found(
    name: str, tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(data.DATASETS, name, dataclasses.replace(data.DATASETS[name], package=""))
    asked = data.load(name, standin="always", split="test")
    assert not caplog.records
    instead = data.load(name, root=tmp_path, standin="auto", split="test")
    assert instead.provenance == asked.provenance
    assert f"{name}: using {data.DATASETS[name].standin_text} instead (no {name} under {tmp_path}" in caplog.text
