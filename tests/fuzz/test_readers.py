"""Files of data sets from anywhere: read, or refused in one line that names the file."""

from __future__ import annotations

import gzip
import hashlib
import io
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import strategies as st
from PIL import Image

from kmgan_lib.data import readers
from kmgan_lib.data.files import SUFFIXES
from kmgan_lib.data.folder import folder
from kmgan_lib.data.images import Images
from kmgan_lib.errors import UsageError

from .conftest import JUNK, WORDS, Watch, cases, damaged, refused

HUGE = st.sampled_from([0, 1, 28, 255, 2**16, 2**31 - 1, 2**32 - 1])
PIXELS = (np.arange(3 * 28 * 28) % 10).astype(np.uint8).reshape(3, 28, 28)


def idx_bytes(pixels: np.ndarray) -> bytes:
    shape = b"".join(n.to_bytes(4, "big") for n in pixels.shape)
    return bytes((0, 0, 8, pixels.ndim)) + shape + pixels.tobytes()


@cases(30, damaged(idx_bytes(PIXELS), header=16), st.sampled_from(["images-idx3-ubyte", "images-idx3-ubyte.gz"]))
def test_an_idx_file(tmp_path: Path, content: bytes, name: str) -> None:
    path = tmp_path / name
    path.write_bytes(gzip.compress(content) if name.endswith("gz") else content)
    found = refused(lambda: readers._idx(path, (28, 28)), path)
    assert isinstance(found, UsageError) or found.size <= len(content)


@cases(20, damaged(gzip.compress(idx_bytes(PIXELS))))
def test_a_gzipped_idx_file_that_was_damaged_when_packed(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "x-ubyte.gz"
    path.write_bytes(content)
    refused(lambda: readers._idx(path, (28, 28)), path)


@cases(20, st.lists(HUGE, min_size=1, max_size=4), st.integers(0, 300))
def test_an_idx_header_may_promise_anything(tmp_path: Path, shape: list[int], held: int) -> None:
    header = bytes((0, 0, 8, len(shape))) + b"".join(n.to_bytes(4, "big") for n in shape)
    path = tmp_path / "x-ubyte.gz"
    path.write_bytes(gzip.compress(header + bytes(held)))
    for wanted in ((28, 28), ()):
        refused(lambda wanted=wanted: readers._idx(path, wanted), path)


@cases(15, *[damaged(idx_bytes(a), header=16) for a in (PIXELS, PIXELS[:, 0, 0])])
def test_images_and_labels_of_mnist(tmp_path: Path, images: bytes, labels: bytes) -> None:
    for split in ("train", "t10k"):
        (tmp_path / f"{split}-images-idx3-ubyte").write_bytes(images)
        (tmp_path / f"{split}-labels-idx1-ubyte").write_bytes(labels)
    found = refused(lambda: readers.read_idx(tmp_path, "all"), tmp_path)
    if not isinstance(found, UsageError):
        assert len(found[0]) == len(found[1])
        assert set(found[1].tolist()) <= set(range(10))


# CIFAR-10


@cases(20, st.sampled_from(readers.BATCHES), st.binary(max_size=80) | JUNK.map(pickle.dumps))
def test_a_batch_of_anything(tmp_path: Path, watch: Watch, name: str, content: bytes) -> None:
    place = tmp_path / "cifar-10-batches-py"
    place.mkdir(exist_ok=True)
    for other in readers.BATCHES:
        (place / other).write_bytes(content if other == name else b"")
    watch.seen.clear()
    assert isinstance(refused(lambda: readers.read_batches(place, "all"), place), UsageError)
    assert watch.seen == []


def npy(array: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


def encoded(size: tuple[int, int], kind: str) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", size, (200, 10, 90)).save(buffer, kind)
    return buffer.getvalue()


@pytest.fixture
def shards(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    atlas = encoded((40 * 32, 32), "WEBP")
    with Image.open(io.BytesIO(atlas)) as picture:
        tile = np.asarray(picture.convert("RGB"))[:32, :32].transpose(2, 0, 1)  # all are alike
    digest = hashlib.sha256(tile.tobytes() * 40).hexdigest()
    for name, value in {
        "ATLASES": 1,
        "PER_ATLAS": 40,
        "EXACT": 40,
        "TRAIN_SHA256": digest,
        "EXACT_SHA256": digest,
    }.items():
        monkeypatch.setattr(readers, name, value)
    for name in ("train/00.webp", f"test/{readers.EXACT_FILE}"):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).write_bytes(atlas)
    for split in ("train", "test"):
        (tmp_path / f"labels_{split}.npy").write_bytes(npy(np.zeros(40, np.uint8)))
    return tmp_path


LABELS = st.one_of(
    damaged(npy(np.zeros(40, np.uint8)), header=128),
    st.sampled_from([npy(np.zeros(s, k)) for s in (40, 41, 0, (40, 2)) for k in ("u1", "i8", "f8", "U3", "?")]),
    st.sampled_from([npy(np.full(40, 10, "u1")), npy(np.array([{}] * 40)), b"PK\x03\x04",
    b"\x93NUMPY\x01\x00\xff\xff{"]),
    st.builds(
        lambda shape, kind: npy(np.zeros(40, np.uint8)).replace(b"(40,)", shape).replace(b"|u1", kind),
        st.sampled_from([b"(-1,)", b"(10**9,)", b"(9999999999999,)", b"([],)", b"__import__('os')", b"(40"]),
        st.sampled_from([b"|u1", b"|O", b"<f8", b"<M8", b"evil"]),
    ),
)  # fmt: skip


@cases(30, LABELS)
def test_labels_of_the_shards_of_cifar(shards: Path, content: bytes) -> None:
    (shards / "labels_train.npy").write_bytes(content)
    found = refused(lambda: readers.read_cifar_atlases(shards, "all"), shards)
    if not isinstance(found, UsageError):
        assert found[1].shape == (80,)
        assert set(found[1].tolist()) <= set(range(10))


PICTURES = [
    encoded((40 * 32, 32), "WEBP"),
    encoded((64, 64), "WEBP"),
    encoded((40 * 32, 32), "PNG"),
    encoded((7, 3), "GIF"),
]


@cases(20, st.sampled_from(PICTURES).flatmap(lambda whole: damaged(whole, header=40)))
def test_atlases_of_cifar(shards: Path, content: bytes) -> None:
    (shards / "train" / "00.webp").write_bytes(content)
    refused(lambda: readers.read_cifar_atlases(shards, "train"), shards)


# CelebA

INDEX = b"shard,position,partition,source_image\na.jpg,0,train,1.jpg\na.jpg,1,train,2.jpg\nb.jpg,0,test,3.jpg\n"
ATLAS = encoded((25 * 64, 64), "JPEG")


@cases(20, damaged(INDEX, header=len(INDEX)) | WORDS.map(lambda w: INDEX.replace(b"b.jpg", w.encode())))
def test_the_index_of_the_shards_of_celeba(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "index.csv").write_bytes(content)
    for name in ("a.jpg", "b.jpg"):
        (tmp_path / name).write_bytes(ATLAS)
    refused(lambda: readers.read_face_atlases(tmp_path, "all"), tmp_path)


@cases(15, damaged(ATLAS, header=200))
def test_atlases_of_celeba(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "index.csv").write_bytes(INDEX)
    (tmp_path / "a.jpg").write_bytes(content)
    (tmp_path / "b.jpg").write_bytes(ATLAS)
    refused(lambda: readers.read_face_atlases(tmp_path, "all"), tmp_path)


LIST = b"000001.jpg 0\n000002.jpg 2\n000003.jpg 1\n"


@cases(25, damaged(LIST, header=len(LIST)), damaged(encoded((178, 218), "JPEG"), header=200) | st.just(b""))
def test_photographs_of_celeba(tmp_path: Path, listed: bytes, content: bytes) -> None:
    (tmp_path / "img_align_celeba").mkdir(exist_ok=True)
    (tmp_path / "list_eval_partition.txt").write_bytes(listed)
    for number in (1, 2, 3):
        (tmp_path / "img_align_celeba" / f"{number:06d}.jpg").write_bytes(content or encoded((178, 218), "JPEG"))
    refused(lambda: readers.read_photographs(tmp_path, "all"), tmp_path)


@pytest.mark.parametrize("name", ["/etc/hostname", "../secret.jpg", "..", "a/b.jpg", "a\\b.jpg"])
def test_lists_of_celeba_name_files_of_their_folder_alone(tmp_path: Path, name: str) -> None:
    (tmp_path / "img_align_celeba").mkdir()
    (tmp_path / "list_eval_partition.txt").write_text(f"{name} 0\n")
    (tmp_path / "secret.jpg").write_bytes(encoded((178, 218), "JPEG"))
    with pytest.raises(UsageError, match="is no line of it"):
        readers.read_photographs(tmp_path, "train")
    (tmp_path / "index.csv").write_text(f"shard,partition\nx/{name},train\n")
    if "a" not in name[:1]:
        with pytest.raises(UsageError, match="is not the index"):
            readers.read_face_atlases(tmp_path, "train")


# Pictures of one's own


def saved(kind: str, mode: str = "RGB", **options: Any) -> bytes:
    buffer = io.BytesIO()
    Image.new(mode, (9, 5)).save(buffer, kind, **options)
    return buffer.getvalue()


def arrays(*, zipped: bool) -> bytes:
    buffer, images = io.BytesIO(), np.zeros((3, 9, 5), np.uint8)
    np.savez(buffer, x=images, y=np.zeros(3)) if zipped else np.save(buffer, images)
    return buffer.getvalue()


OWN = [
    saved("PNG"), saved("PNG", "I;16"), saved("PNG", "LA"), saved("PNG", "P", transparency=0), saved("JPEG"),
    saved("WEBP"), saved("BMP"), saved("GIF", "P"), saved("TIFF"), saved("TIFF", "F"), saved("TIFF", "I"), saved("PPM"),
    saved("TIFF", compression="tiff_lzw"), saved("JPEG2000"), saved("TGA"),
    arrays(zipped=False), arrays(zipped=True),
]  # fmt: skip


@cases(60, st.sampled_from(OWN).flatmap(lambda whole: damaged(whole, header=60)), st.sampled_from(sorted(SUFFIXES)))
def test_a_folder_of_pictures(tmp_path: Path, content: bytes, suffix: str) -> None:
    place = tmp_path / "mine"
    place.mkdir(exist_ok=True)
    for old in place.iterdir():
        old.unlink()
    (place / f"x{suffix}").write_bytes(content)
    found = refused(lambda: folder(str(place), image_size=8), place)
    if isinstance(found, Images):
        assert found.tensor.shape[1:] == (3, 8, 8)


POSTSCRIPT = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n%%EndComments\n(evil) (w) file closefile\n%%EOF\n"


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".tiff"])
def test_postscript_by_another_name_starts_no_other_program(tmp_path: Path, suffix: str, watch: Watch) -> None:
    (tmp_path / f"x{suffix}").write_bytes(POSTSCRIPT)
    with Image.open(tmp_path / f"x{suffix}") as picture:
        assert picture.format == "EPS"  # what Pillow would do with it
    watch.seen.clear()
    with pytest.raises(UsageError, match="none of the 1 images can be read"):
        folder(str(tmp_path))
    assert [event for event, _ in watch.seen if event == "subprocess.Popen"] == []


NAMES: Callable[[str], bool] = lambda name: name not in ("", ".", "..") and "/" not in name and len(name.encode()) < 200  # noqa: E731


@cases(15, WORDS.filter(NAMES), st.integers(-3, 40), st.sampled_from([-1, 0, 1, 2, 3, 4]))
def test_folders_of_any_name_and_sizes_of_any_kind(tmp_path: Path, name: str, size: int, channels: int) -> None:
    place = tmp_path / name
    place.mkdir(exist_ok=True)
    (place / f"{name}.png").write_bytes(saved("PNG"))
    found = refused(lambda: folder(str(place), image_size=size, channels=channels))
    if isinstance(found, Images):
        assert found.tensor.shape == (1, channels, size, size)
