from __future__ import annotations

import logging
from pathlib import Path

import pytest
import torch

from kmgan_lib import data
from kmgan_lib.errors import UsageError
from kmgan_lib.metrics import Judge, classifier, judge


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


def test_a_reported_number_names_its_extractor(digits_judge: Judge) -> None:
    described = digits_judge.describe()
    assert described["name"].startswith("digits classifier")
    assert described["data"] == "real"
    assert described["test_accuracy"] == pytest.approx(digits_judge.accuracy, abs=1e-4)


def test_a_second_judge_comes_from_the_cache(
    digits_judge: Judge, cache: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    assert len(files(cache)) == 1
    judge.cache_clear()
    monkeypatch.setattr(classifier, "_fit", lambda _: pytest.fail("it is in the cache"))
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
    monkeypatch.setattr(classifier, "_fit", lambda _: digits_judge.net)
    judge.cache_clear()
    with caplog.at_level(logging.WARNING):
        again = judge("digits")
    assert again.accuracy == pytest.approx(digits_judge.accuracy)
    (record,) = caplog.records
    assert "training the classifier again" in record.getMessage()
    assert str(bad) in record.getMessage()
    judge.cache_clear()
    monkeypatch.setattr(classifier, "_fit", lambda _: pytest.fail("it was mended"))
    assert judge("digits").accuracy == again.accuracy
    judge.cache_clear()


def test_training_is_fixed_and_leaves_the_global_randomness_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(classifier, "MIN_STEPS", 2)
    monkeypatch.setattr(classifier, "EPOCHS", 1)
    images = data.load("digits")
    small = data.Images(images.tensor[:300], images.labels[:300], {}, images.classes)  # pyright: ignore
    before = torch.get_rng_state()
    one, two = (classifier._fit(small) for _ in range(2))
    assert torch.equal(before, torch.get_rng_state())
    for a, b in zip(one.parameters(), two.parameters(), strict=True):
        assert torch.equal(a, b)


@pytest.mark.parametrize("name", ["synthetic", "folder:x", "imagenet"])
def test_data_without_classes_have_no_judge(name: str) -> None:
    with pytest.raises(UsageError, match=f"{name} has no classes to judge by"):
        judge(name)
