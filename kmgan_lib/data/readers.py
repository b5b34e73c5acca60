"""Files of data sets: MNIST's format, CIFAR-10's release, CelebA's photographs, and atlases of the last two.

``read_...(place, split)`` returns images (n, c, h, w) as uint8, labels (n,) as int64 or None, and a remark for the
provenance, from a folder with the files listed here. A `UsageError` names a file that is not as it should be.
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

from kmgan_lib.errors import UsageError
from kmgan_lib.files import first_line
from kmgan_lib.progress import progress

AGAIN = "remove it and get the data again"
FORMATS = ("JPEG", "PNG", "WEBP")  # Pillow opens nothing else, whatever a file's name
PARTS = {"train": ("train",), "test": ("test",), "all": ("train", "test")}


@contextlib.contextmanager
def _expecting(path: Path, what: str) -> Iterator[None]:
    """Any error in the block means that the file is not what it should be."""
    try:
        yield
    except Exception as error:  # Pillow, NumPy and gzip raise many kinds of error for a broken file
        reason = first_line(error).replace(str(path), path.name)
        raise UsageError(f"{path} is not {what} ({reason}): {AGAIN}") from None


def _classes(labels: np.ndarray, count: int) -> Tensor:
    """Labels (n,) of ten classes as int64; a `ValueError` if they are anything else, or not ``count`` of them."""
    if labels.shape != (count,) or labels.dtype.kind not in "iu" or not ((labels >= 0) & (labels < 10)).all():
        raise ValueError(f"labels must be {count} whole numbers from 0 to 9")
    return torch.from_numpy(labels.astype(np.int64))


def _decoded(jobs: list[tuple[Path, int]], side: int, read: Callable[[Path, np.ndarray], None]) -> Tensor:
    """Images (n, 3, side, side) of files with so many images each, read in threads: Pillow releases Python's lock."""
    ends = np.cumsum([n for _, n in jobs])
    pixels = np.empty((ends[-1], 3, side, side), np.uint8)
    todo = [(path, pixels[end - n : end]) for (path, n), end in zip(jobs, ends, strict=True)]
    with ThreadPoolExecutor() as pool:
        list(progress(pool.map(lambda job: read(*job), todo), "reading images", len(todo)))
    return torch.from_numpy(pixels)


def _atlas(path: Path, out: np.ndarray) -> None:
    """The first tiles of an atlas, row by row, into ``out`` (n, 3, s, s)."""
    side = out.shape[-1]
    with _expecting(path, f"an atlas of {side}x{side} tiles"), Image.open(path, formats=FORMATS) as picture:
        rows = np.asarray(picture.convert("RGB")).reshape(-1, side, picture.width // side, side, 3)
        tiles = rows.transpose(0, 2, 4, 1, 3).reshape(-1, 3, side, side)
        out[:] = tiles[: len(out)].reshape(out.shape)


# MNIST and Fashion-MNIST

IDX_LARGEST = 1 << 28  # bytes, five times MNIST: no file is unpacked any further
IDX_PREFIX = {"train": "train", "test": "t10k"}
IDX_FILES = tuple(f"{p}-{kind}-ubyte*" for p in IDX_PREFIX.values() for kind in ("images-idx3", "labels-idx1"))


def _idx(path: Path, shape: tuple[int, ...]) -> np.ndarray:
    """The bytes (n, *shape) of an IDX file, big-endian header words followed by bytes; plain or gzipped."""
    path = path if path.is_file() else path.with_suffix(".gz")
    with _expecting(path, f"a whole IDX file of {'28x28 images' if shape else 'labels'}"):
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            content = file.read(IDX_LARGEST)
        magic, count, *sides = np.frombuffer(content, ">u4", 2 + len(shape)).tolist()
        if magic != 0x801 + len(shape) or tuple(sides) != shape:
            raise ValueError("its header is wrong")
        return np.frombuffer(content, np.uint8, offset=8 + 4 * len(shape)).reshape(count, *shape)


def read_idx(place: Path, split: str) -> tuple[Tensor, Tensor, str]:
    """MNIST or Fashion-MNIST, 60,000 and 10,000 images."""
    images, labels = [], []
    for prefix in (IDX_PREFIX[part] for part in PARTS[split]):
        pixels, listed = _idx(place / f"{prefix}-images-idx3-ubyte", (28, 28)), place / f"{prefix}-labels-idx1-ubyte"
        digits = _idx(listed, ())
        with _expecting(listed, "the labels of its images"):
            labels.append(_classes(digits, len(pixels)))
        images.append(pixels)
    return torch.from_numpy(np.concatenate(images)[:, None]), torch.cat(labels), ""


# CIFAR-10 (Krizhevsky, 2009)

BATCHES = (*(f"data_batch_{i}" for i in range(1, 6)), "test_batch", "batches.meta")
PER_ATLAS, ATLASES = 1000, 50
EXACT, EXACT_FILE = 1017, "test/exact-0000-1016.webp"  # test images that the atlases hold without loss
CIFAR_FILES = ("labels_train.npy", "labels_test.npy", EXACT_FILE, "train/*.webp")
# Of the images as rows of 3,072 bytes, channel by channel, as in the release.
TRAIN_SHA256 = "9d5c2eddadb0deff02c14c350c0385aab7b1d5ff1edfeb4997c8dc8644960111"
EXACT_SHA256 = "2c64b81a519186681be7080da632757a9e060e16b6a4bfe963ef342b6ba0f15c"


def read_batches(place: Path, split: str) -> tuple[Tensor, Tensor, str]:
    """The release, 50,000 and 10,000 images: pickles, which can run code, so their MD5 must be that of the release."""
    from torchvision.datasets import CIFAR10
    from torchvision.datasets.utils import check_integrity

    for name, md5 in (*CIFAR10.train_list, *CIFAR10.test_list, (CIFAR10.meta["filename"], CIFAR10.meta["md5"])):
        if not check_integrity(place / name, md5):
            raise UsageError(f"{place / name} is not the file of the release, whose MD5 is {md5}: {AGAIN}")
    parts = [CIFAR10(place.parent, train=part == "train") for part in PARTS[split]]
    pixels = torch.from_numpy(np.concatenate([part.data for part in parts])).permute(0, 3, 1, 2).contiguous()
    return pixels, torch.tensor([label for part in parts for label in part.targets]), ""


def read_cifar_atlases(place: Path, split: str) -> tuple[Tensor, Tensor, str]:
    """The compact copy: lossless atlases of 1,000 images, 1,017 of the test set, and labels as ``.npy``."""
    pixels, labels = [], []
    for part in PARTS[split]:
        jobs, expected = [(place / EXACT_FILE, EXACT)], EXACT_SHA256
        if part == "train":
            jobs, expected = [(place / f"train/{i:02d}.webp", PER_ATLAS) for i in range(ATLASES)], TRAIN_SHA256
        pixels.append(_decoded(jobs, 32, _atlas))
        found = hashlib.sha256(pixels[-1].numpy().data).hexdigest()
        if found != expected:
            raise UsageError(f"{place}: {part} images have SHA-256 {found:.12}..., not {expected:.12}...: {AGAIN}")
        path, count = place / f"labels_{part}.npy", len(pixels[-1])
        with _expecting(path, "the labels of the images"):
            labels.append(_classes(np.load(path, allow_pickle=False)[:count], count))
    remark = "" if split == "train" else " (of the test set only the 1,017 images that are exact)"
    return torch.cat(pixels), torch.cat(labels), remark


# CelebA (Liu et al., 2015): attributes and identities, but no classes

FACE, CROP = 64, 108
PHOTOGRAPHS, FACE_ATLASES = ("list_eval_partition.txt", "img_align_celeba"), ("index.csv",)  # what is there
PARTITIONS = {**PARTS, "all": ("train", "valid", "test")}
CODES = {"0": "train", "1": "valid", "2": "test"}  # of list_eval_partition.txt


def _inside(name: str) -> str:
    """The name, if it is that of a file in the list's own folder; a `ValueError` if it leads elsewhere."""
    if name == ".." or Path(name).name != name or "\\" in name:
        raise ValueError(f"{name[:40]!r} is not a file of this folder")
    return name


def _faces(
    listed: Path, split: str, files: list[tuple[str, Path, int]], read: Callable[[Path, np.ndarray], None]
) -> Tensor:
    """The faces of a split, partition by partition, from files listed with their partition and count."""
    jobs = [(path, count) for wanted in PARTITIONS[split] for part, path, count in files if part == wanted]
    if not jobs:
        raise UsageError(f"{listed} names no images of this split: {AGAIN}")
    return _decoded(jobs, FACE, read)


def _photograph(path: Path, out: np.ndarray) -> None:
    with _expecting(path, "a photograph"), Image.open(path, formats=FORMATS) as picture:
        left, top = (picture.width - CROP) // 2, (picture.height - CROP) // 2
        face = picture.convert("RGB").crop((left, top, left + CROP, top + CROP))
        out[0] = np.asarray(face.resize((FACE, FACE), Image.Resampling.BILINEAR)).transpose(2, 0, 1)


def read_photographs(place: Path, split: str) -> tuple[Tensor, None, str]:
    """Torchvision's layout; the central 108x108 pixels at 64x64 by Pillow's bilinear filter (readings, row 43)."""
    listed, photographs = place / "list_eval_partition.txt", place / "img_align_celeba"
    with _expecting(listed, "the list of partitions"):
        rows = [line.split() for line in listed.read_text(encoding="utf8").splitlines() if line.strip()]
        files = [(CODES[code], photographs / _inside(name), 1) for name, code in rows]
    return _faces(listed, split, files, _photograph), None, " (central 108x108 pixels, resized to 64x64)"


def read_face_atlases(place: Path, split: str) -> tuple[Tensor, None, str]:
    """The compact copy, a part of the data set: JPEG atlases of the central 178x178 pixels at 64x64."""
    index = place / "index.csv"
    with _expecting(index, "the index of the atlases"), index.open(newline="", encoding="utf8") as file:
        counts = Counter((row["partition"], _inside(row["shard"])) for row in csv.DictReader(file))
        files = [(part, place / shard, count) for (part, shard), count in sorted(counts.items())]
    faces = _faces(index, split, files, _atlas)
    return faces, None, f" (central 178x178, not the 108 crop; a part of the data set, {len(faces):,} images)"
