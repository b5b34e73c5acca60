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

from kmgan_lib.data import celeba, cifar10, idx
from kmgan_lib.data.files import SUFFIXES
from kmgan_lib.data.folder import folder
from kmgan_lib.data.images import Images
from kmgan_lib.errors import UsageError

from .conftest import JUNK, WORDS, Watch, cases, damaged, refused

HUGE = st.sampled_from([0, 1, 28, 255, 2**16, 2**31 - 1, 2**32 - 1])
PIXELS = np.arange(7 * 4 * 4, dtype=np.uint8).reshape(7, 4, 4)


def idx_bytes(pixels: np.ndarray) -> bytes:
    shape = b"".join(n.to_bytes(4, "big") for n in pixels.shape)
    return bytes((0, 0, 8, pixels.ndim)) + shape + pixels.tobytes()


@cases(30, damaged(idx_bytes(PIXELS), header=16), st.sampled_from(["images-idx3-ubyte", "images-idx3-ubyte.gz"]))
def test_an_idx_file(tmp_path: Path, content: bytes, name: str) -> None:
    path = tmp_path / name
    path.write_bytes(gzip.compress(content) if name.endswith("gz") else content)
    found = refused(lambda: idx.read_idx(path), path)
    if not isinstance(found, UsageError):
        assert found[0].numel() <= len(content)


@cases(20, damaged(gzip.compress(idx_bytes(PIXELS))))
def test_a_gzipped_idx_file_that_was_damaged_when_packed(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "x-ubyte.gz"
    path.write_bytes(content)
    refused(lambda: idx.read_idx(path), path)


@cases(20, st.lists(HUGE, min_size=1, max_size=4), st.integers(0, 300))
def test_an_idx_header_may_promise_anything(tmp_path: Path, shape: list[int], held: int) -> None:
    header = bytes((0, 0, 8, len(shape))) + b"".join(n.to_bytes(4, "big") for n in shape)
    path = tmp_path / "x-ubyte.gz"
    path.write_bytes(gzip.compress(header + bytes(held)))
    refused(lambda: idx.read_idx(path), path)


@cases(15, *[damaged(idx_bytes(a), header=16) for a in (PIXELS, PIXELS[:, 0, 0])])
def test_images_and_labels_of_mnist(tmp_path: Path, images: bytes, labels: bytes) -> None:
    for split in ("train", "t10k"):
        (tmp_path / f"{split}-images-idx3-ubyte").write_bytes(images)
        (tmp_path / f"{split}-labels-idx1-ubyte").write_bytes(labels)
    found = refused(lambda: idx.read(tmp_path, "all"), tmp_path)
    if not isinstance(found, UsageError):
        assert len(found[0]) == len(found[1])


# CIFAR-10

TINY = np.arange(2 * 3072, dtype=np.uint8).reshape(2, 3072)
BATCH = {"data": TINY, "labels": [3, 9]}


@pytest.fixture
def batches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Six batches whose checksums are the ones that are asked for, so that labels are looked at, too."""
    monkeypatch.setattr(cifar10, "TRAIN_SHA256", hashlib.sha256(TINY.tobytes() * 5).hexdigest())
    monkeypatch.setattr(cifar10, "EXACT_SHA256", hashlib.sha256(TINY.tobytes()).hexdigest())
    for name in [*cifar10.BATCHES["train"], "test_batch"]:
        (tmp_path / name).write_bytes(pickle.dumps(BATCH, protocol=2))
    return tmp_path


def read_batches(place: Path) -> None:
    found = refused(lambda: cifar10.read_batches(place, "all"), place)
    if not isinstance(found, UsageError):
        pixels, labels, _ = found
        assert pixels.shape == (12, 3, 32, 32)
        assert len(labels) == 12
        assert set(labels.tolist()) <= set(range(10))


@pytest.mark.parametrize("protocol", [0, 1, 2, 4, 5])
@cases(15, st.data())
def test_a_batch_of_cifar(batches: Path, protocol: int, data: st.DataObject) -> None:
    (batches / "data_batch_1").write_bytes(data.draw(damaged(pickle.dumps(BATCH, protocol=protocol), header=300)))
    read_batches(batches)


@cases(20, JUNK, st.sampled_from(["data", "labels", "both", "all"]))
def test_a_batch_of_anything(batches: Path, junk: Any, where: str) -> None:
    content = junk if where == "all" else {**BATCH, **dict.fromkeys(BATCH if where == "both" else [where], junk)}
    (batches / "test_batch").write_bytes(pickle.dumps(content))
    read_batches(batches)


@cases(15, st.sampled_from(["u1", "i8", "f4", "S3", "U2", "?", "c8", "M8[s]", "V4"]), st.integers(0, 3), HUGE)
def test_a_batch_of_arrays_of_any_type(batches: Path, kind: str, rank: int, number: int) -> None:
    array = np.zeros((2,) * rank, np.dtype(kind))
    for content in ({**BATCH, "data": array}, {**BATCH, "labels": array}, {**BATCH, "labels": [number, 0]}):
        (batches / "data_batch_2").write_bytes(pickle.dumps(content, protocol=2))
        read_batches(batches)


CALLS = [
    ("posix", "system"), ("os", "mkdir"), ("builtins", "eval"), ("builtins", "exec"), ("builtins", "__import__"),
    ("subprocess", "Popen"), ("numpy", "load"), ("numpy", "fromfile"), ("numpy.core.multiarray", "fromstring"),
    ("_codecs", "decode"), ("_codecs", "encode"), ("numpy", "ndarray"), ("numpy", "dtype"), ("operator", "attrgetter"),
    ("numpy._core.multiarray", "_reconstruct"), ("copyreg", "_reconstructor"), ("torch", "load"), ("pickle", "loads"),
    ("kmgan_lib.data.cifar10", "np.lib.format.open_memmap"),
]  # fmt: skip


@cases(25, st.sampled_from(CALLS), st.lists(st.sampled_from(["touch evil", "evil", "w", 7, 10**12]), max_size=3))
def test_a_batch_that_calls_something(
    batches: Path, watch: Watch, call: tuple[str, str], arguments: list[str | int]
) -> None:
    words = "".join(f"V{a}\n" if isinstance(a, str) else f"I{a}\n" for a in arguments)
    bomb = f"c{call[0]}\n{call[1]}\n({words}tR.".encode()
    (batches / "data_batch_3").write_bytes(bomb)
    watch.seen.clear()
    assert isinstance(refused(lambda: cifar10.read_batches(batches, "all"), batches), UsageError)
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
    for name, value in {"ATLASES": 1, "PER_ATLAS": 40, "EXACT": 40}.items():
        monkeypatch.setattr(cifar10, name, value)
    monkeypatch.setattr(cifar10, "_check", lambda *_: None)
    atlas = encoded((40 * 32, 32), "WEBP")
    for name in ("train/00.webp", f"test/{cifar10.EXACT_FILE}"):
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
    found = refused(lambda: cifar10.read_shards(shards, "all"), shards)
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
    refused(lambda: cifar10.read_shards(shards, "train"), shards)


# CelebA

INDEX = b"shard,position,partition,source_image\na.jpg,0,train,1.jpg\na.jpg,1,train,2.jpg\nb.jpg,0,test,3.jpg\n"
ATLAS = encoded((25 * 64, 64), "JPEG")


@cases(20, damaged(INDEX, header=len(INDEX)) | WORDS.map(lambda w: INDEX.replace(b"b.jpg", w.encode())))
def test_the_index_of_the_shards_of_celeba(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "index.csv").write_bytes(content)
    for name in ("a.jpg", "b.jpg"):
        (tmp_path / name).write_bytes(ATLAS)
    there = refused(lambda: celeba.complete_shards(tmp_path), tmp_path)
    if there is True:
        refused(lambda: celeba.read_shards(tmp_path, "all"), tmp_path)


@cases(15, damaged(ATLAS, header=200))
def test_atlases_of_celeba(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "index.csv").write_bytes(INDEX)
    (tmp_path / "a.jpg").write_bytes(content)
    (tmp_path / "b.jpg").write_bytes(ATLAS)
    refused(lambda: celeba.read_shards(tmp_path, "all"), tmp_path)


LIST = b"000001.jpg 0\n000002.jpg 2\n000003.jpg 1\n"


@cases(25, damaged(LIST, header=len(LIST)), damaged(encoded((178, 218), "JPEG"), header=200) | st.just(b""))
def test_photographs_of_celeba(tmp_path: Path, listed: bytes, content: bytes) -> None:
    (tmp_path / "img_align_celeba").mkdir(exist_ok=True)
    (tmp_path / "list_eval_partition.txt").write_bytes(listed)
    for number in (1, 2, 3):
        (tmp_path / "img_align_celeba" / f"{number:06d}.jpg").write_bytes(content or encoded((178, 218), "JPEG"))
    refused(lambda: celeba.read_photographs(tmp_path, "all"), tmp_path)


@pytest.mark.parametrize("name", ["/etc/hostname", "../secret.jpg", "..", "a/b.jpg", "a\\b.jpg"])
def test_lists_of_celeba_name_files_of_their_folder_alone(tmp_path: Path, name: str) -> None:
    (tmp_path / "img_align_celeba").mkdir()
    (tmp_path / "list_eval_partition.txt").write_text(f"{name} 0\n")
    (tmp_path / "secret.jpg").write_bytes(encoded((178, 218), "JPEG"))
    with pytest.raises(UsageError, match="is no line of it"):
        celeba.read_photographs(tmp_path, "train")
    (tmp_path / "index.csv").write_text(f"shard,partition\nx/{name},train\n")
    if "a" not in name[:1]:
        with pytest.raises(UsageError, match="is not the index"):
            celeba.read_shards(tmp_path, "train")


# Pictures of one's own


def saved(kind: str, mode: str = "RGB", **options: Any) -> bytes:
    buffer = io.BytesIO()
    Image.new(mode, (9, 5)).save(buffer, kind, **options)
    return buffer.getvalue()


def array(**named: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, **named) if named else np.save(buffer, np.zeros((3, 9, 5), np.uint8))
    return buffer.getvalue()


OWN = [
    saved("PNG"), saved("PNG", "I;16"), saved("PNG", "LA"), saved("PNG", "P", transparency=0), saved("JPEG"),
    saved("WEBP"), saved("BMP"), saved("GIF", "P"), saved("TIFF"), saved("TIFF", "F"), saved("TIFF", "I"), saved("PPM"),
    saved("TIFF", compression="tiff_lzw"), saved("JPEG2000"), saved("TGA"),
    array(), array(x=np.zeros((3, 9, 5), np.uint8), y=np.zeros(3)),
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
