import dataclasses
import gzip
import hashlib
import importlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

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


# IDX files

GOOD = idx_bytes(np.zeros((2, 28, 28)))
HUGE = (2**32 - 1).to_bytes(4, "big")
BROKEN = {
    "empty": b"", "wrong magic": b"\x00\x00\x0d" + GOOD[3:], "another format": b"\x89PNG\r\n\x1a\n" * 5,
    "ends in its header": GOOD[:10], "truncated": GOOD[:-5], "longer than its header": GOOD + b"x",
    "labels": idx_bytes(np.zeros(2)), "another size": idx_bytes(np.zeros((2, 27, 28))),
    "a header that promises too much": GOOD[:4] + HUGE + GOOD[8:],
    "a header that promises too much of nothing": GOOD[:4] + bytes(4) + HUGE * 2,
}  # fmt: skip


@pytest.mark.parametrize("content", BROKEN.values(), ids=BROKEN.keys())
def test_a_broken_idx_file_is_named_with_the_reason(tmp_path: Path, content: bytes) -> None:
    for path, written in ((tmp_path / "x-ubyte", content), (tmp_path / "x-ubyte.gz", gzip.compress(content))):
        path.write_bytes(written)
        with pytest.raises(UsageError, match=r"is not a whole IDX file of 28x28 images \(.+\): remove it") as caught:
            readers._idx(path, (28, 28))
        assert str(path) in str(caught.value)
        assert "\n" not in str(caught.value)


def test_a_truncated_gzip_file_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, whole = tmp_path / "x-ubyte.gz", gzip.compress(GOOD, mtime=0)
    contents = [whole[:-cut] for cut in (1, 5, 12, 25)]
    for position in (0, 1, 2, 12, 20, 30, -8, -7, -1):  # not gzip's time stamp: nobody reads it
        garbled = bytearray(whole)
        garbled[position] ^= 0xFF
        contents.append(bytes(garbled))
    for content in contents:
        path.write_bytes(content)
        with pytest.raises(UsageError, match=r"x-ubyte\.gz"):
            readers._idx(path, (28, 28))
    path.write_bytes(whole)
    monkeypatch.setattr(readers, "IDX_LARGEST", len(GOOD) - 1)  # and none is unpacked without end
    with pytest.raises(UsageError, match=r"x-ubyte\.gz"):
        readers._idx(path, (28, 28))


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


def test_provenance_says_what_the_data_are_and_names_no_machine(tmp_path: Path) -> None:
    write_mnist(tmp_path / "MNIST" / "raw")
    images = data.load("mnist", root=tmp_path, split="all")
    expected = {"name": "mnist", "kind": "real", "split": "all", "count": 10, "source": "data root, MNIST/raw"}
    assert expected.items() <= images.provenance.items()
    assert images.provenance["sha256"] == hashlib.sha256(images.tensor.numpy().tobytes()).hexdigest()
    assert str(tmp_path) not in str(images.provenance)


def test_the_environment_names_the_data_root_and_an_argument_outdoes_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_mnist(tmp_path / "one" / "MNIST" / "raw", train=6)
    write_mnist(tmp_path / "two" / "MNIST" / "raw", train=5)
    monkeypatch.setenv("KMGAN_DATA", str(tmp_path / "one"))
    assert len(data.load("mnist")) == 6
    assert len(data.load("mnist", root=tmp_path / "two")) == 5
    monkeypatch.setenv("HOME", str(tmp_path))
    assert len(data.load("mnist", root="~/two")) == 5


@pytest.mark.parametrize("name", ["mnist", "fashion", "cifar10"])
def test_a_root_without_the_data_is_an_error_with_ways_out(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    loader = importlib.import_module("kmgan_lib.data.load")  # the package's name `load` is the function
    monkeypatch.setattr(loader, "fetch", lambda _: pytest.fail("a wrong root must not be hidden"))
    with pytest.raises(UsageError) as caught:
        data.load(name, root=tmp_path, standin="never")
    message = str(caught.value)
    assert "\n" not in message
    assert message.startswith(f"no {name} under {tmp_path}")
    for way in ("--data-root or KMGAN_DATA names a folder", "torchvision can download", "--profile smoke"):
        assert way in message


def test_labels_and_images_that_do_not_belong_together_are_refused(tmp_path: Path) -> None:
    raw = tmp_path / "MNIST" / "raw"
    write_mnist(raw)
    for labels in (np.arange(5), np.arange(5, 11)):  # one too few, and one that is no digit
        (raw / "train-labels-idx1-ubyte").write_bytes(idx_bytes(labels))
        with pytest.raises(UsageError, match=r"train-labels-idx1-ubyte is not the labels of its images \("):
            data.load("mnist", root=tmp_path)


def test_an_incomplete_folder_is_not_the_data_set(tmp_path: Path) -> None:
    write_mnist(tmp_path / "MNIST" / "raw")
    (tmp_path / "MNIST" / "raw" / "t10k-labels-idx1-ubyte").unlink()
    assert data.find("mnist", root=tmp_path) is None


def test_unknown_words_are_refused() -> None:
    wrong: dict[str, Any] = {
        "unknown data set imagenet": {"name": "imagenet"}, "split=valid": {"name": "digits", "split": "valid"},
        "standin=maybe": {"name": "digits", "standin": "maybe"},
    }  # fmt: skip
    for said, arguments in wrong.items():
        with pytest.raises(UsageError, match=said):
            data.load(**arguments)


def test_real_data_go_before_a_stand_in_unless_it_is_asked_for(tmp_path: Path) -> None:
    write_mnist(tmp_path / "MNIST" / "raw")
    counts = {s: len(data.load("mnist", root=tmp_path, standin=s)) for s in ("auto", "always", "never")}
    assert counts == {"auto": 6, "always": 8_000, "never": 6}


def test_digits_are_real_grey_28_by_28_and_split_by_writers() -> None:
    train, test = digits("train"), digits("test")
    assert (len(train), len(test)) == (1500, 297)
    for part in (train, test):
        assert part.tensor.dtype == torch.uint8
        assert part.tensor.shape[1:] == (1, 28, 28)
        assert part.labels is not None
        assert sorted(set(part.labels.tolist())) == list(range(10))
        assert not part.tensor[:, :, :4].any()  # MNIST's margin
        assert part.tensor.amax((1, 2, 3)).min() > 200
    assert train.provenance["kind"] == "real"
    assert train.provenance["sha256"] != test.provenance["sha256"]


def test_synthetic_points_are_ten_thousand_in_four_known_classes() -> None:
    images = data.load("synthetic")
    assert images.tensor.shape == (10_000, 100)
    assert images.labels is not None
    assert torch.bincount(images.labels).tolist() == [2500] * 4
    assert images.provenance["kind"] == "synthetic"
    assert len(images.classes) == 4


def test_synthetic_points_are_the_mapping_of_table_2_by_hand() -> None:
    images = synthetic(seed=3, points_per_class=5)
    hidden, _ = hidden_points(3, 5)
    generator = torch.Generator().manual_seed(3 + 1_000_003)
    w1, w2 = (torch.randn(*shape, generator=generator).double() for shape in ((2, 10), (10, 100)))

    def sigmoid(x: Tensor) -> Tensor:
        return 1 / (1 + torch.exp(-x))

    for i, h in enumerate(hidden.double()):
        first = torch.stack([sigmoid(sum(h[j] * w1[j, n] for j in range(2))) for n in range(10)])  # pyright: ignore
        expected = [float(sigmoid((first * w2[:, n]).sum())) for n in range(100)]
        assert images.tensor[i].tolist() == pytest.approx(expected, abs=1e-5)


def test_synthetic_points_are_fixed_by_their_seed_alone() -> None:
    torch.manual_seed(5)
    first = synthetic(1, 50)
    torch.manual_seed(6)
    assert torch.equal(first.tensor, synthetic(1, 50).tensor)
    assert not torch.equal(first.tensor, synthetic(2, 50).tensor)


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


class Downloader:
    """torchvision's MNIST: it writes some files, then perhaps fails."""

    error: Exception | None = None

    def __init__(self, root: Path, download: bool):
        assert download
        write_mnist(Path(root) / "MNIST" / "raw")
        if self.error is not None:
            raise self.error


@pytest.fixture
def downloader(monkeypatch: pytest.MonkeyPatch) -> type[Downloader]:
    from torchvision import datasets

    fake = type("Fake", (Downloader,), {})
    monkeypatch.setattr(datasets, "MNIST", fake)
    return fake


def test_a_download_lands_in_the_cache_and_is_found_there(tmp_path: Path, downloader: type[Downloader]) -> None:
    images = data.load("mnist", standin="never")
    assert images.provenance["source"] == "download, MNIST/raw"
    assert data.find("mnist") == ("download", tmp_path / "cache" / "data" / "MNIST" / "raw")
    downloader.error = RuntimeError("the second time nothing may be downloaded")
    assert len(data.load("mnist", standin="never")) == 6


def test_a_failed_download_is_one_line(downloader: type[Downloader]) -> None:
    downloader.error = RuntimeError("Error downloading\nno mirror answers")
    with pytest.raises(UsageError, match=r"mnist could not be downloaded \(Error downloading\)\. Ways to get it"):
        data.load("mnist", standin="never")


def test_no_download_where_it_is_not_wanted(downloader: type[Downloader]) -> None:
    downloader.error = AssertionError("no download was asked for")
    with pytest.raises(UsageError, match="no mnist on this machine"):
        data.load("mnist", download=False, standin="never")


def test_to_unit_scales_pictures_and_leaves_points_alone() -> None:
    assert to_unit(torch.tensor([0, 51, 255], dtype=torch.uint8)).tolist() == pytest.approx([0, 0.2, 1])
    points = torch.tensor([-3.0, 300.0])
    assert torch.equal(to_unit(points), points)


def test_resizing_is_bilinear_between_the_centres_of_pixels() -> None:
    corners = torch.tensor([[0, 80], [160, 240]], dtype=torch.uint8).view(1, 1, 2, 2)
    assert resized(corners, 4)[0, 0].tolist() == [
        [0, 20, 60, 80], [40, 60, 100, 120], [120, 140, 180, 200], [160, 180, 220, 240]
    ]  # fmt: skip
    flat = torch.full((3, 3, 8, 8), 77, dtype=torch.uint8)
    assert torch.equal(resized(flat, 13), torch.full((3, 3, 13, 13), 77, dtype=torch.uint8))


def test_smaller_pictures_take_every_pixel_into_account() -> None:
    checker = (torch.arange(16).view(-1, 1) + torch.arange(16)) % 2 * 254
    small = resized(checker.to(torch.uint8).view(1, 1, 16, 16), 4)
    assert ((small.int() - 127).abs() <= 2)[..., 1:-1, 1:-1].all()


def test_resizing_in_pieces_gives_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    pictures = torch.randint(0, 256, (7, 3, 6, 6), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    whole = resized(pictures, 12)
    assert whole.shape == (7, 3, 12, 12)
    assert whole.dtype == torch.uint8
    monkeypatch.setattr(container, "RESIZED_AT_ONCE", 2)
    assert torch.equal(resized(pictures, 12), whole)
    assert resized(pictures, 6) is pictures


def test_load_resizes_and_the_provenance_says_so() -> None:
    native, large = data.load("digits"), data.load("digits", image_size=56)
    assert data.load("digits", image_size=28).provenance == native.provenance
    assert large.tensor.shape == (1500, 1, 56, 56)
    assert torch.equal(large.tensor, resized(native.tensor, 56))
    assert large.provenance["source"].endswith("resized from 28 to 56 pixels (bilinear)")
    assert large.provenance["sha256"] == hashlib.sha256(large.tensor.numpy().tobytes()).hexdigest()
    assert large.labels is native.labels or torch.equal(large.labels, native.labels)  # pyright: ignore
    assert large.classes == native.classes
    assert data.load("synthetic", image_size=1).tensor.shape == (10_000, 100)


# Images in memory

BYTES = torch.randint(0, 256, (6, 3, 8, 8), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)


@pytest.mark.parametrize(
    "images",
    [
        BYTES.numpy(), BYTES / 255, (BYTES / 255).double(), (BYTES / 255).numpy(), (BYTES / 255).requires_grad_(),
        BYTES.permute(0, 2, 3, 1).contiguous().permute(0, 3, 1, 2),
    ],
    ids=range(6),
)  # fmt: skip
def test_the_same_images_are_the_same_data_in_any_form(images: Any) -> None:
    found, expected = data.load(images, labels=np.arange(6)), data.load(BYTES)
    assert found.tensor.equal(BYTES)
    assert found.tensor.is_contiguous()
    assert found.provenance["sha256"] == expected.provenance["sha256"]
    assert found.provenance["name"] == f"images:{found.provenance['sha256'][:12]}"
    assert (found.provenance["kind"], found.provenance["count"], found.provenance["split"]) == ("images", 6, "all")
    assert found.labels is not None
    assert found.labels.dtype == torch.int64
    assert expected.labels is None
    assert data.load(images, image_size=4).tensor.shape == (6, 3, 4, 4)


@pytest.mark.parametrize(
    ("images", "labels", "message"),
    [
        (BYTES[0], None, r"images are .*\(3, 8, 8\)"), (BYTES.permute(0, 2, 3, 1), None, r"images are .*\(6, 8, 8"),
        (BYTES[:0], None, r"images are .*\(0, 3, 8, 8\)"), (BYTES[..., :5], None, r"images are .*\(6, 3, 8, 5\)"),
        (BYTES.int(), None, "images are torch.int32"), (BYTES / 255 * 2 - 1, None, "float in"),
        ([[1, 2], [3]], None, "images are a list"), (None, None, "images are a NoneType"),
        (BYTES, [0] * 5, "labels"), (BYTES, [0.5] * 6, "labels"), (BYTES, [-1] * 6, "labels"),
    ],
    ids=range(11),
)  # fmt: skip
def test_other_things_are_one_line(images: Any, labels: Any, message: str) -> None:
    with pytest.raises(UsageError, match=message) as caught:
        data.load(images, labels=labels)
    assert "\n" not in str(caught.value)
