"""FID and KID between two folders."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch_fidelity
from PIL import Image
from torch import Tensor
from torch_fidelity.feature_extractor_base import FeatureExtractorBase

from kmgan_lib.data import load
from kmgan_lib.errors import UsageError
from kmgan_lib.metrics import inception, inception_measures
from kmgan_lib.metrics.compare import compare_folders
from kmgan_lib.metrics.inception import Weights

MEANS = "kmgan-test-means"


class Means(FeatureExtractorBase):
    """Means of quarters of the images: in them an FID is known by hand."""

    def __init__(self, name: str, features_list: list[str], **options: Any):
        super().__init__(name, features_list)

    @staticmethod
    def get_provided_features_list() -> tuple[str, ...]:
        return "768", "2048", "logits_unbiased"

    @staticmethod
    def get_default_feature_layer_for_metric(metric: str) -> str:
        return {"isc": "logits_unbiased"}.get(metric, "2048")

    def forward(self, input: Tensor) -> tuple[Tensor, ...]:  # noqa: A002 - the name that the base class gives it
        means = torch.nn.functional.adaptive_avg_pool2d(input.float() / 255, 2).flatten(1)
        return tuple(means if name == "2048" else means[:, :3] for name in self.features_list)


@pytest.fixture(autouse=True, scope="module")
def _registered() -> None:
    torch_fidelity.register_feature_extractor(MEANS, Means)


@pytest.fixture(autouse=True)
def _pretended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inception, "EXTRACTOR", MEANS)
    monkeypatch.setattr(inception, "find_weights", lambda *_, **__: Weights(tmp_path / "weights", "0" * 64, full=True))


def folder(place: Path, sides: list[tuple[int, int]], seed: int = 0, shift: int = 0) -> Path:
    """Smooth random images (width, height) of these sizes."""
    place.mkdir()
    noise = np.random.default_rng(seed)
    for i, side in enumerate(sides):
        image = Image.fromarray(noise.integers(0, 200, (2, 2, 3), dtype=np.uint8) + np.uint8(shift))
        image.resize(side, Image.Resampling.NEAREST).save(place / f"{i:03d}.png")
    return place


def test_the_numbers_are_those_of_torch_fidelity(tmp_path: Path) -> None:
    a, b = folder(tmp_path / "a", [(16, 16)] * 40), folder(tmp_path / "b", [(16, 16)] * 60, seed=1, shift=30)
    found = compare_folders(a, b)
    one, two = (load(f"folder:{place}", image_size=16).tensor for place in (a, b))
    ours = inception_measures(one, two, extractor=MEANS, weights=tmp_path / "weights")
    assert {key: found[key] for key in ("fid", "kid", "kid_std")} == {
        key: ours[key] for key in ("fid", "kid", "kid_std")
    }
    direct = torch_fidelity.calculate_metrics(
        input1=str(a), input2=str(b), fid=True, feature_extractor=MEANS, cuda=False, cache=False, verbose=False,
        save_cpu_ram=True,
    )  # fmt: skip
    assert found["fid"] == pytest.approx(direct["frechet_inception_distance"], rel=1e-6)
    assert (found["image_size"], found["images"], found["resized"]) == (16, [40, 60], [0, 0])


def test_a_folder_and_itself_are_no_distance_apart(tmp_path: Path) -> None:
    a = folder(tmp_path / "a", [(16, 16)] * 40)
    assert compare_folders(a, a)["fid"] == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize(
    ("one", "two", "asked", "size", "resized"),
    [
        ([(16, 16)] * 20, [(40, 30)] * 20, None, 16, [0, 20]),
        ([(40, 30)] * 20, [(16, 16)] * 20, None, 16, [20, 0]),
        ([(32, 24)] * 20, [(32, 24)] * 20, None, 24, [20, 20]),
        ([(16, 16)] * 19 + [(5, 5)], [(20, 20)] * 20, None, 16, [1, 20]),
        ([(16, 16)] * 20, [(40, 30)] * 20, 8, 8, [20, 20]),
        ([(400, 350)] * 20, [(400, 350)] * 20, None, 299, [20, 20]),
    ],
    ids=range(6),
)
def test_images_are_resized_to_the_smaller_ones(
    tmp_path: Path, one: list[Any], two: list[Any], asked: int | None, size: int, resized: list[int]
) -> None:
    a, b = folder(tmp_path / "a", one), folder(tmp_path / "b", two, seed=1)
    found = compare_folders(a, b, image_size=asked)
    assert (found["image_size"], found["resized"]) == (size, resized)


def test_the_command_says_what_was_resized(
    tmp_path: Path, kmgan: Callable[..., tuple[int, str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    a, b = folder(tmp_path / "a", [(16, 16)] * 20), folder(tmp_path / "b", [(40, 30)] * 20, seed=1)
    status, out, err = kmgan("compare", str(a), str(b))
    assert (status, err) == (0, "")
    lines = out.splitlines()
    assert lines[0] == f"{a}: 20 images, all of them 16x16"
    assert lines[1] == f"{b}: 20 images, 20 of them cut to the central square and resized to 16x16"
    assert lines[2].startswith("FID ")
    assert lines[3].startswith("KID ")
    assert "resizes to 299x299" in lines[4]
    assert kmgan("compare", str(a), str(b), "--layer", "768", "--size", "8")[1].splitlines()[2].startswith("FID768 ")
    for words, message in (
        (["compare", str(a), "nowhere"], "no such folder"),
        (["compare", str(a), str(b), "--layer", "7"], "--layer 7"),
        (["compare", str(a), str(b), "--size", "0"], "image_size=0"),
        (["compare", str(a), str(folder(tmp_path / "few", [(8, 8)] * 5))], "at least 10"),
    ):
        status, out, err = kmgan(*words)
        assert (status, out) == (2, "")
        assert message in err


def test_without_weights_the_command_says_how_to_get_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    monkeypatch.setenv("KMGAN_CACHE", str(tmp_path / "cache"))
    a = folder(tmp_path / "a", [(16, 16)] * 20)
    with pytest.raises(UsageError, match="no weights of the 2015 Inception network"):
        compare_folders(a, a)
