"""What the measures compare with, and how a judge looks at pictures of another size."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from kmgan_lib.data import Images
from kmgan_lib.data.images import resized
from kmgan_lib.metrics import Judge, subject
from kmgan_lib.metrics.subject import Subject, chosen
from kmgan_lib.training.run import Run


def judge(side: int | None) -> Judge:
    """A judge of 32x32 pictures whose features are their means over patches."""
    net = nn.Sequential(nn.AvgPool2d(8), nn.Flatten(), nn.Linear(48, 10)).requires_grad_(False)
    return Judge(net, "cifar10", 0.5, tuple("abcdefghij"), "real", "a judge", side=side)


def noise(side: int) -> Tensor:
    generator = torch.Generator().manual_seed(side)
    return torch.randint(0, 256, (5, 3, side, side), generator=generator, dtype=torch.uint8)


@pytest.mark.parametrize("side", [16, 32, 64])
def test_a_judge_sees_pictures_at_the_size_that_it_knows(side: int) -> None:
    pictures = noise(side)
    seen = judge(32).features(pictures)
    whole_bytes = judge(None).features(resized(pictures, 32))
    torch.testing.assert_close(seen, whole_bytes, atol=0 if side == 32 else 2e-3, rtol=0)
    assert torch.equal(seen, judge(32).features(pictures / 255))


def test_a_judge_is_copied_to_another_device_and_stays_where_it_is_on_its_own(digits_judge: Judge) -> None:
    assert digits_judge.side == 28
    assert digits_judge.to(torch.device("cpu")) is digits_judge
    moved = digits_judge.to(torch.device("meta"))
    assert (moved.device.type, digits_judge.device.type) == ("meta", "cpu")
    assert moved.describe() == digits_judge.describe()


def test_networks_run_where_the_run_was_trained(
    pictures: Run, digits_judge: Judge, monkeypatch: pytest.MonkeyPatch
) -> None:
    del digits_judge
    assert pictures.method is not None
    assert Subject(pictures, None).device == pictures.method.device
    asked: list[str] = []
    monkeypatch.setattr(subject, "pick_device", lambda name: asked.append(name) or torch.device("meta"))
    other = Subject(Run.open(pictures.directory), None)
    assert (other.device.type, other.judge.device.type) == ("meta", "meta")
    assert asked == ["auto"]


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_measures_are_the_same_on_a_gpu(pictures: Run, digits_judge: Judge) -> None:
    there, here = Subject(Run.open(pictures.directory), None), Subject(Run.open(pictures.directory), None)
    here.__dict__["device"] = torch.device("cpu")
    assert (there.judge.device.type, there.method.device.type, there.generator.device.type) == ("cuda",) * 3
    for kind in ("fake", "last", "untrained"):
        assert there.features(kind).device.type == "cpu"
        torch.testing.assert_close(there.features(kind), here.features(kind), atol=0.02, rtol=0.02)  # TF32
    assert digits_judge.device.type == "cpu"


@pytest.fixture
def compared(pictures: Run, monkeypatch: pytest.MonkeyPatch) -> Callable[[int, int], Subject]:
    """Return a function that makes a subject with this many training and test images, each of its own grey."""
    monkeypatch.setattr(subject, "REFERENCE", 10)

    def make(train: int, test: int) -> Subject:
        made = Subject(pictures, None)
        for split, n, first in (("train", train, 0), ("test", test, 100)):
            grey = torch.arange(first, first + n, dtype=torch.uint8).reshape(-1, 1, 1, 1).expand(-1, 1, 28, 28)
            made._loaded[split] = Images(grey, None)
        flat = nn.Sequential(nn.AvgPool2d(28), nn.Flatten(), nn.Identity())
        made.__dict__["judge"] = Judge(flat, "digits", 1.0, (), "real", "its grey")
        made.__dict__["samples"] = torch.zeros(30, 1)
        return made

    return make


def greys(features: Tensor) -> list[int]:
    return sorted((255 * features).round().int().flatten().tolist())


@pytest.mark.parametrize(("train", "test"), [(30, 5), (30, 20), (19, 3)])
def test_enough_test_images_are_the_reference_or_those_that_there_are(
    compared: Callable[[int, int], Subject], train: int, test: int
) -> None:
    made = compared(train, test)
    assert made.reference == "test"
    assert greys(made.features("reference")) == list(range(100, 100 + test))


def test_with_few_test_images_it_is_other_training_images_than_those_compared_with_them(
    compared: Callable[[int, int], Subject],
) -> None:
    made = compared(30, 4)
    assert made.reference == "train"
    reference, train = greys(made.features("reference")), greys(made.features("train"))
    assert len(reference) == len(train) == 10
    assert set(reference) & set(train) == set()
    assert max(reference + train) < 100


def test_a_choice_is_fixed_and_without_repetition() -> None:
    rows = torch.arange(20)
    assert torch.equal(chosen(rows, 7), chosen(rows, 20)[:7])
    assert sorted(chosen(rows, 50).tolist()) == list(range(20))
