"""CIFAR-10 (Krizhevsky, 2009): torchvision's pickled batches, or compact shards of lossless WebP atlases."""

from __future__ import annotations

import hashlib
import io
import pickle
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from kmgan_lib.checkpoint import first_line
from kmgan_lib.errors import UsageError

CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
SIDE, COLUMNS, PER_ATLAS, ATLASES = 32, 40, 1000, 50
EXACT = 1017  # test images that the shards hold without loss
EXACT_FILE = "exact-0000-1016.webp"
BATCHES = {"train": tuple(f"data_batch_{i}" for i in range(1, 6)), "test": ("test_batch",)}
# Of the images as rows of 3,072 bytes, channel by channel, which is how the release has them.
TRAIN_SHA256 = "9d5c2eddadb0deff02c14c350c0385aab7b1d5ff1edfeb4997c8dc8644960111"
EXACT_SHA256 = "2c64b81a519186681be7080da632757a9e060e16b6a4bfe963ef342b6ba0f15c"
TEST_BATCH_MD5 = "40351d587109b95175f43aff81a1287e"  # of the release's file, as torchvision has it
AGAIN = "remove the folder and get the data again"
ONLY_EXACT = "of the test set only the 1,017 images that are exact"


class _Pickled:
    """An array, or its type, as a pickle describes it: what the file says, and nothing of NumPy is called for it."""

    def __init__(self, *arguments: Any):
        self.arguments = arguments
        self.state: tuple[Any, ...] = ()

    def __setstate__(self, state: Any) -> None:
        self.state = state

    def array(self) -> np.ndarray:
        """The array of bytes that is described."""
        _, shape, kind, columns_first, content = self.state
        if kind.arguments[0] not in ("u1", "|u1"):
            raise ValueError(f"its array is of {kind.arguments[0]}, not of bytes")
        raw = content.encode("latin1") if isinstance(content, str) else content
        return np.frombuffer(raw, np.uint8).reshape(shape, order="F" if columns_first else "C")


def _latin1(text: str, encoding: str) -> bytes:
    if encoding not in ("latin1", "latin-1"):
        raise pickle.UnpicklingError(f"it asks for the encoding {encoding}")
    return text.encode("latin1")


# Python's own unpickler, not the one in C: that one takes the room that a garbled file asks for.
class _Unpickler(pickle._Unpickler):
    """Reads plain data and descriptions of arrays, so that a pickle from elsewhere cannot run code."""

    ALLOWED: ClassVar[dict[tuple[str, str], Any]] = {
        ("numpy", "ndarray"): None, ("numpy", "dtype"): _Pickled, ("_codecs", "encode"): _latin1,
        ("numpy.core.multiarray", "_reconstruct"): _Pickled, ("numpy._core.multiarray", "_reconstruct"): _Pickled,
    }  # fmt: skip

    def find_class(self, module: str, name: str) -> Any:
        """What stands here for the few names that arrays need."""
        if (module, name) not in self.ALLOWED:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}")
        return self.ALLOWED[module, name]


def _check(pixels: np.ndarray, expected: str, what: str, place: Path) -> None:
    found = hashlib.sha256(np.ascontiguousarray(pixels).data).hexdigest()
    if found != expected:
        raise UsageError(f"{place}: the {what} have SHA-256 {found[:12]}... instead of {expected[:12]}...: {AGAIN}")


def _classes(labels: Any) -> np.ndarray:
    """Labels (n,) as int64; a `ValueError` if they are none."""
    found = np.asarray(labels)
    if found.ndim != 1 or (len(found) and found.dtype.kind not in "iu"):
        raise ValueError("its labels are no list of whole numbers")
    if not ((found >= 0) & (found < len(CLASSES))).all():
        raise ValueError("it has labels that are none of the ten classes")
    return found.astype(np.int64)


def _tensors(pixels: np.ndarray, labels: np.ndarray, place: Path) -> tuple[Tensor, Tensor]:
    if len(labels) != len(pixels):
        raise UsageError(f"{place}: {len(pixels)} images and {len(labels)} labels do not belong together: {AGAIN}")
    return torch.from_numpy(pixels), torch.from_numpy(labels)


def _parts(split: str) -> tuple[str, ...]:
    return ("train", "test") if split == "all" else (split,)


def complete_batches(place: Path) -> bool:
    """Whether a folder holds the six batches of the Python release."""
    return all((place / name).is_file() for names in BATCHES.values() for name in names)


def _read_batch(path: Path) -> tuple[np.ndarray, np.ndarray]:
    try:
        batch = _Unpickler(io.BytesIO(path.read_bytes()), encoding="latin1").load()
        return batch["data"].array().reshape(-1, 3, SIDE, SIDE), _classes(batch["labels"])
    except Exception as error:  # an unpickler raises many kinds for a broken file, all of them meaning this
        raise UsageError(f"{path} is not a batch of CIFAR-10 ({first_line(error)}): {AGAIN}") from None


def read_batches(place: Path, split: str) -> tuple[Tensor, Tensor, str]:
    """Read torchvision's layout, ``cifar-10-batches-py``.

    Parameters
    ----------
    place : Path
        A `complete_batches` folder.
    split : {"train", "test", "all"}
        50,000 and 10,000 images. Where ``test_batch`` is not the release's file, as after unpacking the shards, only
        its first 1,017 images are taken, and these must be exact.

    Returns
    -------
    pictures : Tensor
        (n, 3, 32, 32) uint8, in the order of the release.
    labels : Tensor
        (n,) int64.
    remark : str
        What the provenance must say.

    Raises
    ------
    UsageError
        If a file cannot be read, or the images are not those of the release.
    """
    pictures, labels, remark = [], [], ""
    for part in _parts(split):
        batches = [_read_batch(place / name) for name in BATCHES[part]]
        pixels, classes = (np.concatenate(arrays) for arrays in zip(*batches, strict=True))
        if part == "train":
            _check(pixels, TRAIN_SHA256, "training images", place)
        elif hashlib.md5((place / "test_batch").read_bytes(), usedforsecurity=False).hexdigest() != TEST_BATCH_MD5:
            pixels, classes, remark = pixels[:EXACT], classes[:EXACT], ONLY_EXACT
            _check(pixels, EXACT_SHA256, "first 1,017 test images", place)
        for kept, tensor in zip((pictures, labels), _tensors(pixels, classes, place), strict=True):
            kept.append(tensor)
    return torch.cat(pictures), torch.cat(labels), remark


def complete_shards(place: Path) -> bool:
    """Whether a folder holds the atlases and labels of the compact copy."""
    atlases = [f"train/{i:02d}.webp" for i in range(ATLASES)]
    return all((place / f).is_file() for f in ("labels_train.npy", "labels_test.npy", f"test/{EXACT_FILE}", *atlases))


def _read_atlas(path: Path, out: np.ndarray) -> None:
    """The first tiles of an atlas, row by row, into ``out`` (n, 3, 32, 32)."""
    try:
        with Image.open(path, formats=("WEBP",)) as picture:
            grid = np.asarray(picture.convert("RGB"))
        tiles = grid.reshape(-1, SIDE, COLUMNS, SIDE, 3).transpose(0, 2, 4, 1, 3).reshape(-1, 3, SIDE, SIDE)
        out[:] = tiles[: len(out)]
    except Exception as error:  # so does Pillow for a broken picture
        raise UsageError(f"{path} is not an atlas of 32x32 tiles ({first_line(error)}): {AGAIN}") from None


def read_shards(place: Path, split: str) -> tuple[Tensor, Tensor, str]:
    """Read the compact copy: lossless atlases of 1,000 images, 40 to a row, and labels as ``.npy``.

    Parameters, result and errors are those of `read_batches`; ``test`` is the 1,017 images that the copy has exactly.
    The other test images are there as JPEG only, on which a classifier loses ten points, so they are not read.
    """
    count = {"train": PER_ATLAS * ATLASES, "test": EXACT}
    parts = _parts(split)
    pixels = np.empty((sum(count[part] for part in parts), 3, SIDE, SIDE), np.uint8)
    labels = []
    for part in parts:
        if part == "train":
            for i in range(ATLASES):
                _read_atlas(place / "train" / f"{i:02d}.webp", pixels[i * PER_ATLAS : (i + 1) * PER_ATLAS])
            _check(pixels[: count["train"]], TRAIN_SHA256, "training images", place)
        else:
            _read_atlas(place / "test" / EXACT_FILE, pixels[-EXACT:])
            _check(pixels[-EXACT:], EXACT_SHA256, "exact test images", place)
        try:
            with (place / f"labels_{part}.npy").open("rb") as file:
                labels.append(_classes(np.lib.format.read_array(file, allow_pickle=False)[: count[part]]))
        except Exception as error:  # and NumPy for a broken header
            raise UsageError(f"{place}: labels_{part}.npy cannot be read ({first_line(error)}): {AGAIN}") from None
    return *_tensors(pixels, np.concatenate(labels), place), ONLY_EXACT if "test" in parts else ""
