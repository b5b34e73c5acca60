"""Files of data sets: MNIST's format, CIFAR-10's release, CelebA's photographs, and atlases of the last two.

``read_...(place, split)`` gives images (n, c, h, w) as uint8, labels (n,) as int64 or None, and a remark for the
provenance, from a folder that holds the files of a list here. A `UsageError` names the file that cannot be read or is
not what it should be.
"""

import contextlib
import csv
import gzip
import hashlib
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from kmgan_lib.caller import progress
from kmgan_lib.errors import UsageError
from kmgan_lib.files import first_line

AGAIN = "remove it and get the data again"
FORMATS = ("JPEG", "PNG", "WEBP")  # whatever a file is called, Pillow opens nothing else


@contextlib.contextmanager
def _expecting(path: Path, what: str) -> Iterator[None]:
    """Whatever goes wrong in the block means that the file is not what it should be."""
    try:
        yield
    except Exception as error:  # Pillow, NumPy and gzip raise many kinds for a broken file
        reason = first_line(error).replace(str(path), path.name)
        raise UsageError(f"{path} is not {what} ({reason}): {AGAIN}") from None


def _parts(split: str) -> tuple[str, ...]:
    return ("train", "test") if split == "all" else (split,)


def _classes(labels: np.ndarray, count: int) -> Tensor:
    """Labels (n,) of ten classes as int64; a `ValueError` if they are not, or not so many."""
    if labels.shape != (count,) or labels.dtype.kind not in "iu" or not ((labels >= 0) & (labels < 10)).all():
        raise ValueError(f"labels must be {count} whole numbers from 0 to 9")
    return torch.from_numpy(labels.astype(np.int64))


def _atlas(path: Path, out: np.ndarray, columns: int) -> None:
    """The first tiles of an atlas, row by row, into ``out`` (n, 3, s, s)."""
    side = out.shape[-1]
    with _expecting(path, f"an atlas of {side}x{side} tiles"), Image.open(path, formats=FORMATS) as picture:
        grid = np.asarray(picture.convert("RGB"))
        tiles = grid.reshape(-1, side, columns, side, 3).transpose(0, 2, 4, 1, 3).reshape(-1, 3, side, side)
        out[:] = tiles[: len(out)]


# MNIST and Fashion-MNIST

IDX_LARGEST = 1 << 28  # bytes, five times MNIST: no more is unpacked, whatever a file holds
IDX_PREFIX = {"train": "train", "test": "t10k"}
IDX_FILES = tuple(f"{p}-{kind}-ubyte*" for p in IDX_PREFIX.values() for kind in ("images-idx3", "labels-idx1"))


def _idx(path: Path, shape: tuple[int, ...]) -> np.ndarray:
    """The bytes, n of the given shape, of a file of big-endian header words, then bytes; plain or gzipped."""
    path = path if path.is_file() else path.with_suffix(".gz")
    with _expecting(path, f"a whole IDX file of {'28x28 images' if shape else 'labels'}"):
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            content = file.read(IDX_LARGEST)
        magic, count, *sides = np.frombuffer(content, ">u4", 2 + len(shape)).tolist()
        if magic != 0x801 + len(shape) or tuple(sides) != shape:
            raise ValueError("another header")
        return np.frombuffer(content, np.uint8, offset=8 + 4 * len(shape)).reshape(count, *shape)


def read_idx(place: Path, split: str) -> tuple[Tensor, Tensor, str]:
    """MNIST or Fashion-MNIST, 60,000 and 10,000 images."""
    images, labels = [], []
    for prefix in (IDX_PREFIX[part] for part in _parts(split)):
        pixels, listed = _idx(place / f"{prefix}-images-idx3-ubyte", (28, 28)), place / f"{prefix}-labels-idx1-ubyte"
        digits = _idx(listed, ())
        with _expecting(listed, "the labels of its images"):
            labels.append(_classes(digits, len(pixels)))
        images.append(torch.from_numpy(pixels[:, None].copy()))
    return torch.cat(images), torch.cat(labels), ""


# CIFAR-10 (Krizhevsky, 2009)

BATCHES = (*(f"data_batch_{i}" for i in range(1, 6)), "test_batch", "batches.meta")
COLUMNS, PER_ATLAS, ATLASES = 40, 1000, 50
EXACT = 1017  # test images that the atlases hold without loss
EXACT_FILE = "exact-0000-1016.webp"
CIFAR_FILES = ("labels_train.npy", "labels_test.npy", f"test/{EXACT_FILE}", "train/*.webp")
ONLY_EXACT = "of the test set only the 1,017 images that are exact"
# Of the images as rows of 3,072 bytes, channel by channel, which is how the release has them.
TRAIN_SHA256 = "9d5c2eddadb0deff02c14c350c0385aab7b1d5ff1edfeb4997c8dc8644960111"
EXACT_SHA256 = "2c64b81a519186681be7080da632757a9e060e16b6a4bfe963ef342b6ba0f15c"


def read_batches(place: Path, split: str) -> tuple[Tensor, Tensor, str]:
    """The release, ``cifar-10-batches-py``: 50,000 and 10,000 images.

    Its files are pickles, which can run code: torchvision opens them, after all have the MD5 of the release.
    """
    from torchvision.datasets import CIFAR10
    from torchvision.datasets.utils import check_integrity

    for name, md5 in (*CIFAR10.train_list, *CIFAR10.test_list, (CIFAR10.meta["filename"], CIFAR10.meta["md5"])):
        if not check_integrity(place / name, md5):
            raise UsageError(f"{place / name} is not the file of the release, whose MD5 is {md5}: {AGAIN}")
    parts = [CIFAR10(place.parent, train=part == "train") for part in _parts(split)]
    pixels = np.concatenate([part.data.transpose(0, 3, 1, 2) for part in parts])
    labels = [label for part in parts for label in part.targets]
    return torch.from_numpy(np.ascontiguousarray(pixels)), torch.tensor(labels), ""


def read_cifar_atlases(place: Path, split: str) -> tuple[Tensor, Tensor, str]:
    """The compact copy: lossless atlases of 1,000 images, 40 to a row, and labels as ``.npy``.

    ``test`` is the 1,017 images that the copy has exactly. The others are there as JPEG only, on which a classifier
    loses ten points, so they are not read.
    """
    pixels, labels = [], []
    for part in _parts(split):
        files = [place / "train" / f"{i:02d}.webp" for i in range(ATLASES)]
        each, expected = PER_ATLAS, TRAIN_SHA256
        if part == "test":
            files, each, expected = [place / "test" / EXACT_FILE], EXACT, EXACT_SHA256
        images = np.empty((len(files) * each, 3, 32, 32), np.uint8)
        for i, path in enumerate(files):
            _atlas(path, images[i * each : (i + 1) * each], COLUMNS)
        found = hashlib.sha256(images.data).hexdigest()
        if found != expected:
            raise UsageError(f"{place}: {part} images have SHA-256 {found:.12}..., not {expected:.12}...: {AGAIN}")
        path = place / f"labels_{part}.npy"
        with _expecting(path, "the labels of the images"):
            labels.append(_classes(np.load(path, allow_pickle=False)[: len(images)], len(images)))
        pixels.append(torch.from_numpy(images))
    return torch.cat(pixels), torch.cat(labels), ONLY_EXACT if "test" in _parts(split) else ""


# CelebA (Liu et al., 2015): attributes and identities, but no classes

FACE, CROP, FACE_COLUMNS = 64, 108, 25
PHOTOGRAPHS, FACE_ATLASES = ("list_eval_partition.txt", "img_align_celeba"), ("index.csv",)  # what is there
PARTITIONS = {"train": ("train",), "test": ("test",), "all": ("train", "valid", "test")}
CODES = {"0": "train", "1": "valid", "2": "test"}  # of list_eval_partition.txt


def _inside(name: str) -> str:
    """The name, if it is one of a file of the list's own folder, not of one elsewhere on the machine."""
    if name == ".." or Path(name).name != name or "\\" in name:
        raise ValueError(f"{name[:40]!r} is no file of the folder")
    return name


def _decoded(jobs: list[tuple[Path, int]], read: Callable[[Path, np.ndarray], None], listed: Path) -> Tensor:
    """All faces of files with so many each, read in threads: Pillow decodes without Python's lock."""
    if not jobs:
        raise UsageError(f"{listed} names no images of this split: {AGAIN}")
    ends = np.cumsum([n for _, n in jobs])
    pixels = np.empty((ends[-1], 3, FACE, FACE), np.uint8)
    todo = [(path, pixels[end - n : end]) for (path, n), end in zip(jobs, ends, strict=True)]
    with ThreadPoolExecutor() as pool:
        list(progress(pool.map(lambda job: read(*job), todo), "reading faces", len(todo)))
    return torch.from_numpy(pixels)


def _photograph(path: Path, out: np.ndarray) -> None:
    with _expecting(path, "a photograph"), Image.open(path, formats=FORMATS) as picture:
        left, top = (picture.width - CROP) // 2, (picture.height - CROP) // 2
        face = picture.convert("RGB").crop((left, top, left + CROP, top + CROP))
        out[0] = np.asarray(face.resize((FACE, FACE), Image.Resampling.BILINEAR)).transpose(2, 0, 1)


def read_photographs(place: Path, split: str) -> tuple[Tensor, None, str]:
    """Torchvision's layout: ``celeba/img_align_celeba/*.jpg`` and ``celeba/list_eval_partition.txt``.

    The central 108x108 pixels, resized to 64x64 with Pillow's bilinear filter, as DCGAN's code does (readings, row 43).
    162,770 and 19,962 images in the order of the list, or all 202,599 (2.5 GB) with the 19,867 of the valid partition
    between them.
    """
    listed, names = place / "list_eval_partition.txt", []
    with _expecting(listed, "the list of partitions"):
        for line in filter(str.strip, listed.read_text(encoding="utf8").splitlines()):
            name, code = line.split()
            names.append((CODES[code], _inside(name)))
    jobs = [(place / "img_align_celeba" / name, 1) for wanted in PARTITIONS[split] for p, name in names if p == wanted]
    return _decoded(jobs, _photograph, listed), None, "central 108x108 pixels, resized to 64x64"


def read_face_atlases(place: Path, split: str) -> tuple[Tensor, None, str]:
    """The compact copy: JPEG atlases of up to 1,000 faces, 25 to a row, and ``index.csv``.

    The faces are the central 178x178 pixels at 64x64, so they show more than the crop of 108 does, and they are a part
    of the data set: the remark says both.
    """
    index = place / "index.csv"
    with _expecting(index, "the index of the atlases"), index.open(newline="", encoding="utf8") as file:
        counts = Counter((row["partition"], _inside(row["shard"])) for row in csv.DictReader(file))
        order = [(part, shard) for wanted in PARTITIONS[split] for part, shard in sorted(counts) if part == wanted]
    jobs = [(place / shard, counts[part, shard]) for part, shard in order]
    faces = _decoded(jobs, lambda path, out: _atlas(path, out, FACE_COLUMNS), index)
    return faces, None, f"central 178x178, not the 108 crop; a part of the data set, {len(faces):,} images"
