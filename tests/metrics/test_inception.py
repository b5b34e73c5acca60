import json
import math
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
import torch_fidelity
from scipy import ndimage
from torch import Tensor, nn
from torch.utils.data import TensorDataset
from torch_fidelity.feature_extractor_base import FeatureExtractorBase

from kmgan_lib import data
from kmgan_lib.errors import UsageError
from kmgan_lib.metrics import evaluate, frechet_distance, inception, inception_measures
from kmgan_lib.metrics.evaluation import chosen
from kmgan_lib.metrics.inception import FULL_NAME, PART_NAME, Weights, blurred, find_weights, noisy
from kmgan_lib.training.run import Run

TINY, BROKEN = "kmgan-test-tiny", "kmgan-test-broken"


class Tiny(FeatureExtractorBase):
    """A random network of the same outputs as Inception, and of a hundredth of its size."""

    def __init__(self, name: str, features_list: list[str], **options: Any):
        super().__init__(name, features_list)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            self.net = nn.Sequential(nn.Conv2d(3, 12, 5, 2), nn.ReLU(), nn.Conv2d(12, 16, 5, 2), nn.ReLU())
            self.head = nn.Linear(16, 7)

    @staticmethod
    def get_provided_features_list() -> tuple[str, ...]:
        return "768", "2048", "logits_unbiased"

    @staticmethod
    def get_default_feature_layer_for_metric(metric: str) -> str:
        return {"isc": "logits_unbiased"}.get(metric, "2048")

    def forward(self, input: Tensor) -> tuple[Tensor, ...]:  # noqa: A002 - the name that the base class gives it
        assert input.dtype == torch.uint8
        assert input.shape[1] == 3
        deep = self.net((input.float() - 128) / 128).mean((2, 3))
        outputs = {"768": deep[:, :8], "2048": deep, "logits_unbiased": 20 * deep @ self.head.weight.T}
        return tuple(outputs[name] for name in self.features_list)


class Broken(Tiny):
    """Ends after the 768 features, as the truncated file does."""

    def forward(self, input: Tensor) -> tuple[Tensor, ...]:  # noqa: A002
        outputs = super().forward(input)
        return tuple(x if name == "768" else x * torch.nan for name, x in zip(self.features_list, outputs, strict=True))


@pytest.fixture(autouse=True, scope="module")
def _registered() -> None:
    torch_fidelity.register_feature_extractor(TINY, Tiny)
    torch_fidelity.register_feature_extractor(BROKEN, Broken)


class Pictures(TensorDataset):
    def __getitem__(self, index: int) -> Tensor:  # pyright: ignore[reportIncompatibleMethodOverride]
        return self.tensors[0][index]


def noise(n: int, channels: int, seed: int) -> Tensor:
    shape = (n, channels, 16, 16)
    return torch.randint(0, 256, shape, generator=torch.Generator().manual_seed(seed), dtype=torch.uint8)


@pytest.mark.parametrize("channels", [1, 3])
def test_the_whole_path_agrees_with_torch_fidelity(channels: int) -> None:
    fake, real = noise(60, channels, 0), noise(80, channels, 1) // 2
    measured = inception_measures(fake / 255 + 0.001, real, extractor=TINY)  # numbers become bytes by rounding
    expected = torch_fidelity.calculate_metrics(
        input1=Pictures(fake.expand(-1, 3, -1, -1)), input2=Pictures(real.expand(-1, 3, -1, -1)), isc=True, fid=True,
        feature_extractor=TINY, cuda=False, save_cpu_ram=True, cache=False, verbose=False, samples_shuffle=False,
    )  # fmt: skip
    assert measured["inception_score"] == pytest.approx(expected["inception_score_mean"], rel=1e-6)
    assert measured["inception_score_std"] == pytest.approx(expected["inception_score_std"], rel=1e-6)
    assert measured["fid"] == pytest.approx(expected["frechet_inception_distance"], rel=1e-6)
    assert measured["splits"] == 10


def test_features_of_real_pictures_are_kept(cache: Path) -> None:
    fake, real = noise(20, 3, 0), noise(20, 3, 1)
    first = inception_measures(fake, real, extractor=TINY, real_name="kept-for-a-test")
    assert list((cache / "inception" / "features").glob("kept-for-a-test*"))
    # The kept ones are used, whatever is handed in under their name.
    assert inception_measures(fake, fake, extractor=TINY, real_name="kept-for-a-test") == first


def test_no_cache_is_warned_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("KMGAN_CACHE", str(tmp_path / "file" / "cache"))
    measured = inception_measures(noise(20, 3, 0), noise(20, 3, 1), layer="768", extractor=BROKEN, real_name="name")
    assert set(measured) == {"fid", "splits"}
    assert "set KMGAN_CACHE to another folder" in caplog.text


def test_errors_say_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UsageError, match=r"gives NaN: it ends before layer 2048; use fid768"):
        inception_measures(noise(20, 3, 0), noise(20, 3, 1), extractor=BROKEN)
    with pytest.raises(inception.Unavailable, match="9 images"):  # which `evaluate --all` leaves out
        inception_measures(noise(9, 3, 0), noise(20, 3, 1), extractor=TINY)
    monkeypatch.setitem(sys.modules, "torch_fidelity", None)
    with pytest.raises(UsageError, match="pip install torch-fidelity"):
        inception_measures(noise(20, 3, 0), noise(20, 3, 1))


def placed(path: Path, content: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


@pytest.fixture
def known(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A cache folder of its own, and short files that pass for the published ones."""
    monkeypatch.setenv("KMGAN_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("KMGAN_INCEPTION", raising=False)
    # SHA-256 of b"full" and b"part"
    monkeypatch.setattr(inception, "FULL_SHA256", "a18b869b")
    monkeypatch.setattr(inception, "PART_SHA256", "37a68013")
    return tmp_path


def test_weights_are_looked_for_in_three_places(known: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = known / "root"
    with pytest.raises(UsageError, match=r"no weights of the 2015 Inception network.*--inception-weights"):
        find_weights(data_root=root)
    part = placed(root / "inception" / PART_NAME, b"part")
    assert find_weights(data_root=root, full=False) == Weights(part, find_weights(part, full=False).sha256, full=False)
    monkeypatch.setenv("KMGAN_DATA", str(root))
    assert find_weights(full=False).path == part
    full = placed(root / "inception" / FULL_NAME, b"full")
    assert find_weights(full=False).path == full
    mine = placed(known / "mine.pth", b"full")
    monkeypatch.setenv("KMGAN_INCEPTION", str(mine))
    assert find_weights().path == mine
    assert find_weights(full).path == full


def test_weights_that_are_not_the_published_ones_are_refused(known: Path) -> None:
    path = known / "weights.pth"
    with pytest.raises(UsageError, match="No such file"):
        find_weights(path)
    for content, message in (
        (b"other", r"SHA-256 [0-9a-f]{8}\.\.\., not [0-9a-f]{8}"),
        (b"part", "ends after.*fid768"),
    ):
        with pytest.raises(UsageError, match=message):
            find_weights(placed(path, content))


def test_a_run_is_measured_by_inception(pictures: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = Run.open(shutil.copytree(pictures.directory, tmp_path / "run"))
    weights = Weights(tmp_path / "weights", "0" * 64, full=True)
    monkeypatch.setattr(inception, "EXTRACTOR", TINY)
    monkeypatch.setattr(inception, "find_weights", lambda *_, **__: weights)
    monkeypatch.setenv("KMGAN_CACHE", str(tmp_path))
    results = evaluate(run, only=["inception_score", "fid", "fid768"])
    seen = evaluate(run, only=["fid"])["fid"]
    assert seen["value"] == results["fid"]["value"]
    assert {r["layer"] for r in results.values()} == {"768", "2048"}
    assert results["inception_score"]["splits"] == 10
    assert (seen["samples"], seen["reference_samples"], seen["reference"]) == (60, 60, "all")
    assert seen["extractor"]["weights_sha256"] == "0" * 12
    assert "blurred" not in seen
    kept = json.loads((run.directory / "result.json").read_text())["metrics"]
    assert {"inception_score", "fid", "fid768"} <= set(kept)

    mixed, net, levels = chosen(data.load("digits", split="all").tensor, 120), Tiny(TINY, ["768"]), results["fid768"]
    others = mixed[60:]
    with torch.no_grad():
        reference, *features = (
            net(images.expand(-1, 3, -1, -1))[0] for images in (mixed[:60], others, blurred(others), noisy(others))
        )
    for key, found in zip(("real_value", "blurred", "noisy"), features, strict=True):
        assert levels[key] == pytest.approx(frechet_distance(found, reference), rel=1e-3, abs=1e-6)
    assert (levels["real_samples"], levels["reference_samples"]) == (60, 60)
    assert levels["real_value"] < min(levels["blurred"], levels["noisy"])


@pytest.mark.parametrize("size", [16, 28])
def test_blur_is_a_convolution_that_grows_with_the_image_and_mirrors_it_at_its_edges(size: int) -> None:
    generator = torch.Generator().manual_seed(size)
    images = torch.randint(0, 256, (2, 3, size, size), generator=generator, dtype=torch.uint8)
    deviation = 1.5 * size / 64
    pixels = images[1, 2].float().numpy()
    expected = ndimage.gaussian_filter(pixels, deviation, mode="mirror", radius=math.ceil(3 * deviation))
    found = blurred(images)
    assert found.dtype == torch.uint8
    torch.testing.assert_close(found[1, 2].float(), torch.from_numpy(expected), atol=0.51, rtol=0)


def test_noise_has_its_deviation_and_is_the_same_every_time() -> None:
    grey = torch.full((4, 3, 64, 64), 128, dtype=torch.uint8)
    noise = (noisy(grey).double() - 128) / 255
    assert noise.std().item() == pytest.approx(0.1, rel=0.02)
    assert noise.mean().item() == pytest.approx(0, abs=0.002)
    assert torch.equal(noisy(grey), noisy(grey))
    assert not torch.equal(noise[0], noise[1])
    black = noisy(torch.zeros_like(grey))
    assert (black == 0).double().mean().item() == pytest.approx(0.5, abs=0.02)  # cut to the range
