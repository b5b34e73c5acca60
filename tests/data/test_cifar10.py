import hashlib
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.datasets import CIFAR10

from kmgan_lib import data
from kmgan_lib.data import readers
from kmgan_lib.errors import UsageError

from .conftest import splits, write_atlas

PER_ATLAS, ATLASES, EXACT = 60, 3, 7  # instead of 1,000, 50 and 1,017
TRAIN = PER_ATLAS * ATLASES
Release = tuple[np.ndarray, np.ndarray]


@pytest.fixture
def release(monkeypatch: pytest.MonkeyPatch) -> Release:
    """Pictures and labels of a tiny CIFAR-10, train then test; its checksums are the ones that are asked for."""
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (TRAIN + 2 * EXACT, 3, 32, 32), dtype=np.uint8)
    for name, value in {"PER_ATLAS": PER_ATLAS, "ATLASES": ATLASES, "EXACT": EXACT}.items():
        monkeypatch.setattr(readers, name, value)
    for name, part in {"TRAIN_SHA256": pixels[:TRAIN], "EXACT_SHA256": pixels[TRAIN : TRAIN + EXACT]}.items():
        monkeypatch.setattr(readers, name, hashlib.sha256(part.tobytes()).hexdigest())
    return pixels, np.arange(len(pixels)) % 10


def write(path: Path, pixels: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atlas(path, pixels.transpose(0, 2, 3, 1), 40, lossless=True)


@pytest.fixture
def shards(tmp_path: Path, release: Release) -> Path:
    pixels, labels = release
    place = tmp_path / "root" / "cifar10"
    for i in range(ATLASES):
        write(place / "train" / f"{i:02d}.webp", pixels[i * PER_ATLAS : (i + 1) * PER_ATLAS])
    write(place / "test" / "exact-0000-1016.webp", pixels[TRAIN : TRAIN + EXACT])
    np.save(place / "labels_train.npy", labels[:TRAIN].astype(np.uint8))
    np.save(place / "labels_test.npy", labels[TRAIN:].astype(np.uint8))
    return place


@pytest.fixture
def batches(tmp_path: Path, release: Release, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Batches as those of the release, whose MD5 are the ones that are asked for."""
    pixels, labels = release
    place = tmp_path / "root" / "cifar-10-batches-py"
    place.mkdir(parents=True)
    parts = [*np.array_split(np.arange(TRAIN), 5), np.arange(TRAIN, len(pixels))]
    written: list[Any] = [{"data": pixels[p].reshape(len(p), -1), "labels": labels[p].tolist()} for p in parts]
    written.append({"label_names": list(data.DATASETS["cifar10"].classes)})
    known = []
    for name, content in zip(readers.BATCHES, written, strict=True):
        (place / name).write_bytes(pickle.dumps(content, protocol=2))
        known.append([name, hashlib.md5((place / name).read_bytes()).hexdigest()])
    monkeypatch.setattr(CIFAR10, "train_list", known[:5])
    monkeypatch.setattr(CIFAR10, "test_list", known[5:6])
    monkeypatch.setattr(CIFAR10, "meta", {**CIFAR10.meta, "md5": known[6][1]})
    return place


def test_shards_are_read_in_order_with_their_labels(shards: Path, release: Release) -> None:
    pixels, labels = (torch.from_numpy(part[: TRAIN + EXACT]) for part in release)
    train, test, both = splits("cifar10", root=shards.parent)
    for images, part in ((train, slice(TRAIN)), (test, slice(TRAIN, None)), (both, slice(None))):
        torch.testing.assert_close((images.tensor, images.labels), (pixels[part], labels[part]), rtol=0, atol=0)
    assert both.classes[0] == "airplane"
    assert train.provenance["sha256"] == readers.TRAIN_SHA256
    assert train.provenance["source"] == "data root, cifar10"
    assert "only the 1,017 images that are exact" in test.provenance["source"]


@pytest.mark.parametrize(("broken", "first"), [("train/01.webp", PER_ATLAS), ("test/exact-0000-1016.webp", TRAIN)])
def test_shards_with_another_pixel_are_refused(shards: Path, release: Release, broken: str, first: int) -> None:
    release[0][first + 3, 1, 2, 3] ^= 1
    write(shards / broken, release[0][first : first + PER_ATLAS])
    with pytest.raises(UsageError, match=r"have SHA-256 .*, not .*get the data again"):
        data.load("cifar10", root=shards.parent, split="all")


def test_a_broken_shard_is_named(shards: Path, tmp_path: Path) -> None:
    Image.new("RGB", (100, 64)).save(tmp_path / "small.webp")
    np.save(tmp_path / "few.npy", np.zeros(TRAIN - 1, np.uint8))
    for name, other in (("train/00.webp", "small.webp"), ("labels_train.npy", "few.npy")):
        whole = (shards / name).read_bytes()
        for content in (b"", b"nothing of the kind", (tmp_path / other).read_bytes()):
            (shards / name).write_bytes(content)
            with pytest.raises(UsageError, match=Path(name).name):
                data.load("cifar10", root=shards.parent, split="all")
        (shards / name).write_bytes(whole)


def test_the_releases_batches_are_read_whole(batches: Path, release: Release) -> None:
    train, _, both = splits("cifar10", root=batches.parent)
    expected = tuple(map(torch.from_numpy, release))
    torch.testing.assert_close((both.tensor, both.labels), expected, rtol=0, atol=0)
    assert both.provenance["source"] == "data root, cifar-10-batches-py"
    assert train.provenance["sha256"] == readers.TRAIN_SHA256  # as from the shards


def test_batches_are_preferred_to_shards_which_need_labels_and_every_atlas(batches: Path, shards: Path) -> None:
    assert batches.parent == shards.parent
    assert data.find("cifar10", root=shards.parent) == ("data root", batches)
    (batches / "batches.meta").unlink()
    assert data.find("cifar10", root=shards.parent) == ("data root", shards)
    (shards / "train" / "02.webp").unlink()
    with pytest.raises(UsageError, match=r"02\.webp is not an atlas"):
        data.load("cifar10", root=shards.parent)
    (shards / "labels_test.npy").unlink()
    assert data.find("cifar10", root=shards.parent) is None


@pytest.mark.parametrize("name", readers.BATCHES)
def test_what_is_not_the_file_of_the_release_is_named(batches: Path, name: str) -> None:
    whole = (batches / name).read_bytes()
    for content in (b"", whole[:-1]):
        (batches / name).write_bytes(content)
        with pytest.raises(UsageError, match=rf"{name} is not the file of the release, whose MD5 is \w+: remove"):
            data.load("cifar10", root=batches.parent)
