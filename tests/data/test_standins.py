"""The drawn stand-ins for Fashion-MNIST, CIFAR-10 and CelebA."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable

import pytest
import torch

from kmgan_lib import data
from kmgan_lib.data import Images, garments, shapes
from kmgan_lib.metrics import classifier

STANDINS = {"fashion": (garments.garments, (1, 28, 28)), "cifar10": (shapes.shapes, (3, 32, 32))}


@pytest.mark.parametrize("name", STANDINS)
@pytest.mark.parametrize(("split", "count"), [("train", 10_000), ("test", 2_000)])
def test_they_have_the_form_of_what_they_stand_for(name: str, split: str, count: int) -> None:
    draw, shape = STANDINS[name]
    images = draw(split)
    assert images.tensor.shape == (count, *shape)
    assert images.tensor.dtype == torch.uint8
    assert images.labels is not None
    assert torch.bincount(images.labels).tolist() == [count // 10] * 10
    assert len(images.classes) == 10
    expected = {"name": name, "kind": "stand-in", "split": split, "count": count}
    assert expected.items() <= images.provenance.items()


def test_garments_have_the_classes_of_fashion_mnist_on_black() -> None:
    images = garments.garments("test")
    assert images.classes == data.DATASETS["fashion"].classes
    assert images.classes[0] == "T-shirt/top"
    assert images.classes[9] == "Ankle boot"
    corners = images.tensor[:, 0, [0, 0, 27, 27], [0, 27, 0, 27]]
    assert (corners == 0).double().mean() > 0.97
    shown = (images.tensor > 40).double().mean((1, 2, 3))
    assert shown.min() > 0.04
    assert shown.max() < 0.8


def test_shapes_are_named_as_shapes_not_as_the_classes_of_cifar10() -> None:
    assert shapes.shapes("test").classes == tuple(shapes.SHAPES)
    assert not set(shapes.SHAPES) & set(data.DATASETS["cifar10"].classes)


@pytest.mark.parametrize("draw", [garments.garments, shapes.shapes])
def test_train_and_test_are_different_pictures(draw: Callable[[str], Images]) -> None:
    train, test = draw("train").tensor.flatten(1), draw("test").tensor.flatten(1)
    known = {bytes(row) for row in train.numpy()}
    assert len(known) == len(train)
    assert not known & {bytes(row) for row in test.numpy()}


def test_garments_are_told_apart_by_their_mean_pictures() -> None:
    train, test = garments.garments("train"), garments.garments("test")
    assert train.labels is not None
    pictures = train.tensor.flatten(1).float()
    means = torch.stack([pictures[train.labels == k].mean(0) for k in range(10)])
    nearest = torch.cdist(test.tensor.flatten(1).float(), means).argmin(1)
    assert (nearest == test.labels).double().mean() > 0.65


def test_shapes_are_told_apart_by_the_judge(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(classifier, "MIN_STEPS", 1)  # with one epoch a third of its usual training
    train, test = shapes.shapes("train"), shapes.shapes("test")
    net = classifier._fit(train, classifier.Recipe(epochs=1))
    judge = classifier.Judge(net, "cifar10", 0.0, train.classes, "stand-in", "short")
    assert train.classes == tuple(shapes.SHAPES)
    assert (judge.probabilities(test.tensor).argmax(1) == test.labels).double().mean() > 0.6


def test_every_process_draws_the_same() -> None:
    code = (
        "import torch; torch.manual_seed(9)\n"
        "from kmgan_lib.data import faces, garments, shapes\n"
        "for draw in (garments.garments, shapes.shapes, faces.drawn_faces): print(draw('test').provenance['sha256'])\n"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    from kmgan_lib.data.faces import drawn_faces

    assert out == [draw("test").provenance["sha256"] for draw in (garments.garments, shapes.shapes, drawn_faces)]


@pytest.mark.parametrize("name", ["fashion", "cifar10", "celeba"])
def test_load_gives_them_where_they_are_asked_for_or_nothing_else_is_found(
    name: str, tmp_path: object, caplog: pytest.LogCaptureFixture
) -> None:
    asked = data.load(name, standin="always", split="test")
    assert asked.provenance["kind"] == "stand-in"
    assert not caplog.records
    instead = data.load(name, root=str(tmp_path), standin="auto", split="test")
    assert instead.provenance == asked.provenance
    assert f"{name}: using the stand-in" in caplog.text


def test_all_is_train_and_test() -> None:
    both = data.load("celeba", standin="always", split="all")
    train, test = (data.load("celeba", standin="always", split=s) for s in ("train", "test"))
    assert torch.equal(both.tensor, torch.cat([train.tensor, test.tensor]))
    assert both.labels is None
    assert both.provenance["kind"] == "stand-in"
