import dataclasses
import gzip
import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy import special

from kmgan_lib import data
from kmgan_lib.data import images as container
from kmgan_lib.data import readers
from kmgan_lib.data.images import resized, to_unit
from kmgan_lib.data.toys import MEANS, digits, hidden_points, synthetic
from kmgan_lib.errors import UsageError


@pytest.fixture(autouse=True)
def _no_package_and_no_download(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A machine without Debian's package, with an empty cache."""
    monkeypatch.setenv("KMGAN_CACHE", str(tmp_path / "cache"))
    monkeypatch.setitem(data.DATASETS, "fashion", dataclasses.replace(data.DATASETS["fashion"], package=""))


def idx_bytes(array: np.ndarray) -> bytes:
    header = bytes([0, 0, 8, array.ndim]) + b"".join(n.to_bytes(4, "big") for n in array.shape)
    return header + array.astype(np.uint8).tobytes()


def write_mnist(raw: Path, *, zipped: bool = False, train: int = 6, test: int = 4) -> np.ndarray:
    """A tiny MNIST in torchvision's layout; returns all its pictures."""
    raw.mkdir(parents=True)
    pictures = np.random.default_rng(0).integers(0, 256, (train + test, 28, 28), dtype=np.uint8)
    parts = {"train": slice(None, train), "t10k": slice(train, None)}
    for prefix, part in parts.items():
        arrays = {"images-idx3": pictures[part], "labels-idx1": np.arange(train + test)[part] % 10}
        for kind, array in arrays.items():
            content = idx_bytes(array)
            name = f"{prefix}-{kind}-ubyte" + (".gz" if zipped else "")
            (raw / name).write_bytes(gzip.compress(content) if zipped else content)
    return pictures


GOOD = idx_bytes(np.zeros((2, 28, 28)))
HUGE = (2**32 - 1).to_bytes(4, "big")
BROKEN = {
    "empty": b"", "wrong magic": b"\x00\x00\x0d" + GOOD[3:], "another format": b"\x89PNG\r\n\x1a\n" * 5,
    "ends in its header": GOOD[:10], "truncated": GOOD[:-5], "longer than its header": GOOD + b"x",
    "labels": idx_bytes(np.zeros(2)), "another size": idx_bytes(np.zeros((2, 27, 28))),
    "a header that promises too much": GOOD[:4] + HUGE + GOOD[8:],
    "a header that promises too much of nothing": GOOD[:4] + bytes(4) + HUGE * 2,
}  # fmt: skip


def test_a_broken_idx_file_is_named_with_the_reason(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(path: Path, content: bytes) -> None:
        path.write_bytes(content)
        with pytest.raises(UsageError, match=rf"{path} is not a whole IDX file of 28x28 images \(.+\): remove it"):
            readers._idx(path, (28, 28))

    zipped, whole = tmp_path / "x-ubyte.gz", gzip.compress(GOOD, mtime=0)
    for content in BROKEN.values():
        refused(tmp_path / "x-ubyte", content)
        refused(zipped, gzip.compress(content))
    for cut in (1, 5, 12, 25):
        refused(zipped, whole[:-cut])
    for position in (0, 1, 2, 12, 20, 30, len(whole) - 8, len(whole) - 7, len(whole) - 1):  # not the unread time stamp
        refused(zipped, whole[:position] + bytes([whole[position] ^ 0xFF]) + whole[position + 1 :])
    monkeypatch.setattr(readers, "IDX_LARGEST", len(GOOD) - 1)  # and none is unpacked without end
    refused(zipped, whole)


@pytest.mark.parametrize("zipped", [False, True], ids=["plain", "gzip"])
@pytest.mark.parametrize(("name", "folder"), [("mnist", "MNIST"), ("fashion", "FashionMNIST")])
def test_a_data_root_is_read_in_place(tmp_path: Path, name: str, folder: str, zipped: bool) -> None:
    pictures = write_mnist(tmp_path / folder / "raw", zipped=zipped)
    before = sorted(p.name for p in tmp_path.rglob("*"))
    train, test, both = (data.load(name, root=tmp_path, split=split) for split in ("train", "test", "all"))
    assert np.array_equal(train.tensor.numpy(), pictures[:6, None])
    assert np.array_equal(test.tensor.numpy(), pictures[6:, None])
    assert torch.equal(both.tensor, torch.cat([train.tensor, test.tensor]))
    assert both.labels is not None
    assert both.labels.tolist() == list(range(10))
    assert both.labels.dtype == torch.int64
    assert sorted(p.name for p in tmp_path.rglob("*")) == before
    expected = {"name": name, "kind": "real", "split": "all", "count": 10, "source": f"data root, {folder}/raw"}
    assert expected.items() <= both.provenance.items()
    assert both.provenance["sha256"] == hashlib.sha256(both.tensor.numpy().tobytes()).hexdigest()
    assert str(tmp_path) not in str(both.provenance)
    next((tmp_path / folder / "raw").glob("t10k-labels*")).unlink()
    assert data.find(name, root=tmp_path) is None


def test_an_argument_outdoes_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_mnist(tmp_path / "one" / "MNIST" / "raw", train=6)
    write_mnist(tmp_path / "two" / "MNIST" / "raw", train=5)
    monkeypatch.setenv("KMGAN_DATA", str(tmp_path / "one"))
    assert len(data.load("mnist")) == 6
    assert len(data.load("mnist", root=tmp_path / "two")) == 5
    monkeypatch.setenv("HOME", str(tmp_path))
    assert len(data.load("mnist", root="~/two")) == 5
    assert len(data.load("mnist", standin="always")) == 8_000
    assert len(data.load("mnist", standin="auto")) == 6  # real data go before a stand-in


def test_a_root_without_the_data_is_an_error_with_ways_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(data, "fetch", lambda _: pytest.fail("a wrong root must not be hidden"))
    with pytest.raises(UsageError) as caught:
        data.load("fashion", root=tmp_path, standin="never")
    message = str(caught.value)
    assert message.startswith(f"no fashion under {tmp_path}")
    for way in ("set --data-root or KMGAN_DATA to a folder", "torchvision downloads", "--profile smoke"):
        assert way in message


def test_labels_and_images_that_do_not_belong_together_are_refused(tmp_path: Path) -> None:
    raw = tmp_path / "MNIST" / "raw"
    write_mnist(raw)
    for labels in (np.arange(5), np.arange(5, 11)):  # one too few, and one that is no digit
        (raw / "train-labels-idx1-ubyte").write_bytes(idx_bytes(labels))
        with pytest.raises(UsageError, match=r"train-labels-idx1-ubyte is not the labels of its images \("):
            data.load("mnist", root=tmp_path)


def test_digits_are_real_grey_28_by_28_and_split_by_writers() -> None:
    for part, count in (("train", 1500), ("test", 297)):
        images = digits(part)
        assert (images.tensor.dtype, images.tensor.shape) == (torch.uint8, (count, 1, 28, 28))
        assert images.labels is not None
        assert images.labels.unique().tolist() == list(range(10))
        assert not images.tensor[:, :, :4].any()  # MNIST's margin
        assert images.tensor.amax((1, 2, 3)).min() > 200
        assert images.provenance["kind"] == "real"


def test_synthetic_points_are_the_mapping_of_table_2_by_hand() -> None:
    images = synthetic(seed=3, points_per_class=5)
    hidden, _ = hidden_points(3, 5)
    generator = torch.Generator().manual_seed(3 + 1_000_003)
    w1, w2 = (torch.randn(*shape, generator=generator).double().numpy() for shape in ((2, 10), (10, 100)))
    expected = special.expit(special.expit(hidden.double().numpy() @ w1) @ w2)
    np.testing.assert_allclose(images.tensor.numpy(), expected, rtol=0, atol=1e-5)
    assert not torch.equal(images.tensor, synthetic(2, 5).tensor)
    whole = data.load("synthetic")
    assert (whole.tensor.shape, whole.provenance["kind"], len(whole.classes)) == ((10_000, 100), "synthetic", 4)
    assert whole.labels is not None
    assert torch.bincount(whole.labels).tolist() == [2500] * 4


def test_hidden_classes_have_the_means_of_dcn_and_covariances_of_their_own() -> None:
    points, labels = hidden_points(0, 2500)
    covariances = []
    for m, mean in enumerate(MEANS):
        cluster = points[labels == m]
        assert cluster.mean(0).tolist() == pytest.approx(mean.tolist(), abs=0.2)
        covariance = torch.cov(cluster.T)
        # 1.5 is the geometric mean of the two deviations
        assert covariance.det().item() ** 0.25 == pytest.approx(1.5, rel=0.05)
        covariances.append(covariance)
    assert all((covariances[0] - other).abs().max() > 0.3 for other in covariances[1:])


def test_a_download_lands_in_the_cache_or_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(root: Path, download: bool) -> None:
        raise RuntimeError("Error downloading\nno mirror answers")

    monkeypatch.setattr("torchvision.datasets.MNIST", refuse)
    with pytest.raises(UsageError, match=r"mnist cannot be downloaded \(Error downloading\)\. Ways to get it"):
        data.load("mnist", standin="never")
    with pytest.raises(UsageError, match="no mnist on this machine"):
        data.load("mnist", download=False, standin="never")
    monkeypatch.setattr("torchvision.datasets.MNIST", lambda root, download: write_mnist(Path(root) / "MNIST" / "raw"))
    images = data.load("mnist", standin="never")
    assert images.provenance["source"] == "download, MNIST/raw"
    assert data.find("mnist") == ("download", tmp_path / "cache" / "data" / "MNIST" / "raw")
    monkeypatch.setattr("torchvision.datasets.MNIST", refuse)  # the second time nothing is downloaded
    assert len(data.load("mnist", standin="never")) == 6


def test_pictures_are_scaled_and_resized_bilinearly(monkeypatch: pytest.MonkeyPatch) -> None:
    assert to_unit(torch.tensor([0, 51, 255], dtype=torch.uint8)).tolist() == pytest.approx([0, 0.2, 1])
    points = torch.tensor([-3.0, 300.0])
    assert torch.equal(to_unit(points), points)
    corners = torch.tensor([[0, 80], [160, 240]], dtype=torch.uint8).view(1, 1, 2, 2)
    assert resized(corners, 4)[0, 0].tolist() == [
        [0, 20, 60, 80], [40, 60, 100, 120], [120, 140, 180, 200], [160, 180, 220, 240]
    ]  # fmt: skip
    checker = (torch.arange(16).view(-1, 1) + torch.arange(16)) % 2 * 254
    small = resized(checker.to(torch.uint8).view(1, 1, 16, 16), 4)
    assert ((small.int() - 127).abs() <= 2)[..., 1:-1, 1:-1].all()  # every pixel counts
    pictures = torch.randint(0, 256, (7, 3, 6, 6), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    whole = resized(pictures, 12)
    monkeypatch.setattr(container, "RESIZED_AT_ONCE", 2)
    assert torch.equal(resized(pictures, 12), whole)
    assert resized(pictures, 6) is pictures


def test_load_resizes_and_the_provenance_says_so() -> None:
    native, large = data.load("digits"), data.load("digits", image_size=56)
    assert data.load("digits", image_size=28).provenance == native.provenance
    assert large.tensor.shape == (1500, 1, 56, 56)
    assert torch.equal(large.tensor, resized(native.tensor, 56))
    assert large.provenance["source"].endswith("resized from 28 to 56 pixels (bilinear)")
    assert torch.equal(large.labels, native.labels)  # pyright: ignore[reportArgumentType]
    assert large.classes == native.classes
    assert data.load("synthetic", image_size=1).tensor.shape == (10_000, 100)


BYTES = torch.randint(0, 256, (6, 3, 8, 8), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)


def test_the_same_images_are_the_same_data_in_any_form() -> None:
    expected, turned = data.load(BYTES), BYTES.permute(0, 2, 3, 1).contiguous().permute(0, 3, 1, 2)
    assert expected.labels is None
    unit = BYTES / 255
    for images in (BYTES.numpy(), turned, unit, unit.double(), unit.numpy(), unit.clone().requires_grad_()):
        found = data.load(images, labels=np.arange(6))
        assert found.tensor.equal(BYTES)
        assert found.tensor.is_contiguous()
        name = f"images:{expected.provenance['sha256'][:12]}"
        same = {"name": name, "sha256": expected.provenance["sha256"], "kind": "images", "count": 6, "split": "all"}
        assert same.items() <= found.provenance.items()
        assert found.labels is not None
        assert found.labels.dtype == torch.int64
        assert data.load(images, image_size=4).tensor.shape == (6, 3, 4, 4)


def test_other_things_are_one_line() -> None:
    wrong: list[tuple[Any, Any, str]] = [
        (BYTES[0], None, r"images are .*\(3, 8, 8\)"), (BYTES.permute(0, 2, 3, 1), None, r"images are .*\(6, 8, 8"),
        (BYTES[:0], None, r"images are .*\(0, 3, 8, 8\)"), (BYTES[..., :5], None, r"images are .*\(6, 3, 8, 5\)"),
        (BYTES.int(), None, "images are torch.int32"), (BYTES / 255 * 2 - 1, None, "float in"),
        ([[1, 2], [3]], None, "must be numbers"), (None, None, "must be numbers"),
        (BYTES, [0] * 5, "labels"), (BYTES, [0.5] * 6, "labels"), (BYTES, [-1] * 6, "labels"),
    ]  # fmt: skip
    for images, labels, message in wrong:
        with pytest.raises(UsageError, match=message):
            data.load(images, labels=labels)
    with pytest.raises(UsageError, match="image_size=0 must be between 1 and 1024"):
        data.load(BYTES, image_size=0)
