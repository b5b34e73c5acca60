"""Files of data sets: MNIST's format, CIFAR-10's release, CelebA's photographs, and atlases of the last two.

``read_...(place, split)`` gives images (n, c, h, w) as uint8, labels (n,) as int64 or None, and a remark for the
provenance, from a folder that holds the files of a list here. A `UsageError` names the file that cannot be read or is
not what it should be.
"""

import csv
import gzip
import hashlib
import zlib
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from kmgan_lib.caller import progress
from kmgan_lib.errors import UsageError
from kmgan_lib.files import first_line

AGAIN = "remove it and get the data again"
FORMATS = ("JPEG", "PNG", "WEBP")  # whatever a file is called, Pillow opens nothing else


def _refused(path: Path, what: str, error: Exception) -> UsageError:
    reason = first_line(error).replace(str(path), path.name)
    return UsageError(f"{path} {what} ({reason}): {AGAIN}")


def _parts(split: str) -> tuple[str, ...]:
    return ("train", "test") if split == "all" else (split,)


def _classes(labels: Any) -> np.ndarray:
    """Labels (n,) of ten classes as int64; a `ValueError` if they are none."""
    found = np.asarray(labels)
    if found.ndim != 1 or found.dtype.kind not in "iu" or not ((found >= 0) & (found < 10)).all():
        raise ValueError("labels must be whole numbers from 0 to 9")
    return found.astype(np.int64)


def _atlas(path: Path, out: np.ndarray, columns: int) -> None:
    """The first tiles of an atlas, row by row, into ``out`` (n, 3, s, s)."""
    side = out.shape[-1]
    try:
        with Image.open(path, formats=FORMATS) as picture:
            grid = np.asarray(picture.convert("RGB"))
        tiles = grid.reshape(-1, side, columns, side, 3).transpose(0, 2, 4, 1, 3).reshape(-1, 3, side, side)
        out[:] = tiles[: len(out)]
    except Exception as error:  # Pillow raises many kinds for a broken image, all of them meaning this
        raise _refused(path, f"is not an atlas of {side}x{side} tiles", error) from None


# MNIST and Fashion-MNIST

IDX_LARGEST = 1 << 28  # bytes, five times MNIST: no more is unpacked, whatever a file holds
IDX_PREFIX = {"train": "train", "test": "t10k"}
IDX_FILES = tuple(f"{p}-{kind}-ubyte*" for p in IDX_PREFIX.values() for kind in ("images-idx3", "labels-idx1"))


def _idx_path(place: Path, name: str) -> Path:
    plain = place / f"{name}-ubyte"
    return plain if plain.is_file() else place / f"{name}-ubyte.gz"


def _idx(path: Path, shape: tuple[int, ...]) -> np.ndarray:
    """The bytes, n of the given shape, of a file of big-endian header words, then bytes; plain or gzipped."""
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            content = file.read(IDX_LARGEST)
        magic, count, *sides = np.frombuffer(content, ">u4", 2 + len(shape)).tolist()
        if magic != 0x801 + len(shape) or tuple(sides) != shape:
            raise ValueError("another header")
        return np.frombuffer(content, np.uint8, offset=8 + 4 * len(shape)).reshape(count, *shape)
    except (OSError, EOFError, zlib.error, ValueError) as error:
        raise _refused(path, f"is not a whole IDX file of {'28x28 images' if shape else 'labels'}", error) from None


def read_idx_part(place: Path, split: str) -> tuple[Tensor, Tensor]:
    """Images (n, 1, 28, 28) as uint8 and labels (n,) as int64 of one split, ``train`` or ``test``."""
    images = _idx(_idx_path(place, f"{IDX_PREFIX[split]}-images-idx3"), (28, 28))
    path = _idx_path(place, f"{IDX_PREFIX[split]}-labels-idx1")
    try:
        labels = _classes(_idx(path, ()))
        if len(labels) != len(images):
            raise ValueError(f"{len(labels)} for {len(images)} images")
    except ValueError as error:
        raise _refused(path, "does not hold the labels of its images", error) from None
    return torch.from_numpy(images[:, None].copy()), torch.from_numpy(labels)


def read_idx(place: Path, split: str) -> tuple[Tensor, Tensor, str]:
    """MNIST or Fashion-MNIST, 60,000 and 10,000 images."""
    images, labels = zip(*(read_idx_part(place, part) for part in _parts(split)), strict=True)
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
            raise UsageError(
                f"{place}: the {part} images have SHA-256 {found[:12]}... instead of {expected[:12]}...: {AGAIN}"
            )
        path = place / f"labels_{part}.npy"
        try:
            with path.open("rb") as file:
                labels.append(_classes(np.lib.format.read_array(file, allow_pickle=False)[: len(images)]))
            if len(labels[-1]) != len(images):
                raise ValueError(f"{len(labels[-1])} for {len(images)} images")
        except Exception as error:  # NumPy, too, raises many kinds for a broken header
            raise _refused(path, "does not hold the labels of the images", error) from None
        pixels.append(images)
    remark = ONLY_EXACT if "test" in _parts(split) else ""
    return torch.from_numpy(np.concatenate(pixels)), torch.from_numpy(np.concatenate(labels)), remark


# CelebA (Liu et al., 2015): attributes and identities, but no classes

FACE, CROP, FACE_COLUMNS = 64, 108, 25
PHOTOGRAPHS, FACE_ATLASES = ("list_eval_partition.txt", "img_align_celeba"), ("index.csv",)  # what is there
PARTITIONS = {"train": ("train",), "test": ("test",), "all": ("train", "valid", "test")}
CODES = {"0": "train", "1": "valid", "2": "test"}  # of list_eval_partition.txt


def _inside(name: str) -> bool:
    """Whether a list names a file of its own folder, not one elsewhere on the machine."""
    return name not in ("", ".", "..") and not set(name) & set("\0/\\") and len(name.encode()) < 256


def _decoded(jobs: Iterable[tuple[Path, int]], read: Callable[[Path, np.ndarray], None], listed: Path) -> Tensor:
    """All faces of files with so many each, read in threads: Pillow decodes without Python's lock."""
    jobs = list(jobs)
    if not jobs:
        raise UsageError(f"{listed} names no images of this split: {AGAIN}")
    ends = np.cumsum([n for _, n in jobs])
    pixels = np.empty((ends[-1], 3, FACE, FACE), np.uint8)
    todo = [(path, pixels[end - n : end]) for (path, n), end in zip(jobs, ends, strict=True)]
    with ThreadPoolExecutor() as pool:
        list(progress(pool.map(lambda job: read(*job), todo), "reading faces", len(todo)))
    return torch.from_numpy(pixels)


def _photograph(path: Path, out: np.ndarray) -> None:
    try:
        with Image.open(path, formats=FORMATS) as picture:
            left, top = (picture.width - CROP) // 2, (picture.height - CROP) // 2
            face = picture.convert("RGB").crop((left, top, left + CROP, top + CROP))
    except Exception as error:  # as above
        raise _refused(path, "cannot be read", error) from None
    out[:] = np.asarray(face.resize((FACE, FACE), Image.Resampling.BILINEAR)).transpose(2, 0, 1)


def read_photographs(place: Path, split: str) -> tuple[Tensor, None, str]:
    """Torchvision's layout: ``celeba/img_align_celeba/*.jpg`` and ``celeba/list_eval_partition.txt``.

    The central 108x108 pixels, resized to 64x64 with Pillow's bilinear filter, as DCGAN's code does (readings, row 43).
    162,770 and 19,962 images in the order of the list, or all 202,599 (2.5 GB) with the 19,867 of the valid partition
    between them.
    """
    listed = place / "list_eval_partition.txt"
    names: dict[str, list[str]] = {part: [] for part in CODES.values()}
    try:
        for line in filter(str.strip, listed.read_text(encoding="utf8").splitlines()):
            row = line.split()
            if len(row) != 2 or row[1] not in CODES or not _inside(row[0]):
                raise ValueError(f"{' '.join(row)[:40]!r} is no line of it")
            names[CODES[row[1]]].append(row[0])
    except (OSError, ValueError) as error:
        raise _refused(listed, "is not the list of partitions", error) from None
    jobs = [(place / "img_align_celeba" / name, 1) for part in PARTITIONS[split] for name in names[part]]
    faces = _decoded(jobs, lambda path, out: _photograph(path, out[0]), listed)
    return faces, None, "central 108x108 pixels, resized to 64x64"


def _shards(place: Path) -> dict[str, dict[str, int]]:
    """Images in each atlas, by partition, from the index."""
    counts: dict[str, dict[str, int]] = {part: {} for part in CODES.values()}
    try:
        with (place / "index.csv").open(newline="", encoding="utf8") as file:
            for row in csv.DictReader(file):
                atlases = counts[row["partition"]]
                if not all(map(_inside, (row["shard"] or "").split("/"))):
                    raise ValueError(f"{row['shard']} is no atlas of the folder")
                atlases[row["shard"]] = atlases.get(row["shard"], 0) + 1
    except (OSError, KeyError, ValueError, csv.Error) as error:
        raise UsageError(f"{place / 'index.csv'} is not the index of the atlases ({error!r}): {AGAIN}") from None
    return counts


def read_face_atlases(place: Path, split: str) -> tuple[Tensor, None, str]:
    """The compact copy: JPEG atlases of up to 1,000 faces, 25 to a row, and ``index.csv``.

    The faces are the central 178x178 pixels at 64x64, so they show more than the crop of 108 does, and they are a part
    of the data set: the remark says both.
    """
    counts = _shards(place)
    jobs = [(place / shard, n) for part in PARTITIONS[split] for shard, n in sorted(counts[part].items())]
    faces = _decoded(jobs, lambda path, out: _atlas(path, out, FACE_COLUMNS), place / "index.csv")
    return faces, None, f"central 178x178, not the 108 crop; a part of the data set, {len(faces):,} images"
