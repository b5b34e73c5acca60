"""CelebA (Liu et al., 2015): the aligned photographs in torchvision's layout, or atlases of ready 64x64 faces."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from tqdm import tqdm

from kmgan_lib.checkpoint import first_line
from kmgan_lib.errors import UsageError

SIDE, CROP, COLUMNS = 64, 108, 25
PARTITIONS = {"train": ("train",), "test": ("test",), "all": ("train", "valid", "test")}
CODES = {"0": "train", "1": "valid", "2": "test"}  # of list_eval_partition.txt
AGAIN = "remove it and get the data again"
FORMATS = ("JPEG", "PNG", "WEBP")


def _decoded(jobs: Iterable[tuple[Path, np.ndarray]], read: Callable[[Path, np.ndarray], None], count: int) -> None:
    """Run ``read(file, out)`` for every job in threads: Pillow decodes without Python's lock."""
    with ThreadPoolExecutor() as pool:
        results = pool.map(lambda job: read(*job), jobs)
        for _ in tqdm(results, "reading faces", count, delay=2, disable=None):
            pass


def complete_photographs(place: Path) -> bool:
    """Whether a folder holds the aligned photographs and the list of their partitions."""
    return (place / "list_eval_partition.txt").is_file() and (place / "img_align_celeba").is_dir()


def _read_photograph(path: Path, out: np.ndarray) -> None:
    try:
        with Image.open(path, formats=FORMATS) as picture:
            left, top = (picture.width - CROP) // 2, (picture.height - CROP) // 2
            face = picture.convert("RGB").crop((left, top, left + CROP, top + CROP))
    except Exception as error:  # Pillow raises many kinds for a broken picture, all of them meaning this
        reason = first_line(error).replace(str(path), path.name)
        raise UsageError(f"{path} cannot be read ({reason}): {AGAIN}") from None
    out[:] = np.asarray(face.resize((SIDE, SIDE), Image.Resampling.BILINEAR)).transpose(2, 0, 1)


def read_photographs(place: Path, split: str) -> tuple[Tensor, None, str]:
    """Read torchvision's layout: ``celeba/img_align_celeba/*.jpg`` and ``celeba/list_eval_partition.txt``.

    The central 108x108 pixels, resized to 64x64 with Pillow's bilinear filter, as DCGAN's code does (readings, row 43).

    Parameters
    ----------
    place : Path
        A `complete_photographs` folder.
    split : {"train", "test", "all"}
        162,770 or 19,962 images, or all 202,599 with the 19,867 of the valid partition between them.

    Returns
    -------
    pictures : Tensor
        (n, 3, 64, 64) uint8, 2.5 GB for all, in the order of the list.
    labels : None
        The data set has attributes and identities, but no classes.
    remark : str
        What the provenance must say.

    Raises
    ------
    UsageError
        If the list names a picture that is missing or cannot be read.
    """
    wanted = PARTITIONS[split]
    listed = place / "list_eval_partition.txt"
    try:
        rows = [line.split() for line in listed.read_text(encoding="utf8").splitlines() if line.strip()]
    except (OSError, ValueError) as error:
        raise UsageError(f"{listed} cannot be read ({first_line(error)}): {AGAIN}") from None
    names: dict[str, list[str]] = {part: [] for part in CODES.values()}
    for row in rows:
        if len(row) != 2 or row[1] not in CODES or not _inside(row[0]):
            raise UsageError(f"{listed}: {' '.join(row)[:40]!r} is no line of it: {AGAIN}")
        names[CODES[row[1]]].append(row[0])
    if not any(names[part] for part in wanted):
        raise UsageError(f"{listed} names no pictures of {split}: {AGAIN}")
    files = [place / "img_align_celeba" / name for part in wanted for name in names[part]]
    pixels = np.empty((len(files), 3, SIDE, SIDE), np.uint8)
    _decoded(zip(files, pixels, strict=True), _read_photograph, len(files))
    return torch.from_numpy(pixels), None, "central 108x108 pixels, resized to 64x64"


def _inside(name: str) -> bool:
    """Whether a list names a file of its own folder, not one elsewhere on the machine."""
    return name not in ("", ".", "..") and not set(name) & set("\0/\\") and len(name.encode()) < 256


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


def complete_shards(place: Path) -> bool:
    """Whether a folder holds the index of the atlases and every atlas that it names."""
    if not (place / "index.csv").is_file():
        return False
    return all((place / shard).is_file() for atlases in _shards(place).values() for shard in atlases)


def _read_atlas(path: Path, out: np.ndarray) -> None:
    try:
        with Image.open(path, formats=FORMATS) as picture:
            grid = np.asarray(picture.convert("RGB"))
        tiles = grid.reshape(-1, SIDE, COLUMNS, SIDE, 3).transpose(0, 2, 4, 1, 3).reshape(-1, 3, SIDE, SIDE)
        out[:] = tiles[: len(out)]
    except Exception as error:  # as above
        reason = first_line(error).replace(str(path), path.name)
        raise UsageError(f"{path} is not an atlas of 64x64 tiles ({reason}): {AGAIN}") from None


def read_shards(place: Path, split: str) -> tuple[Tensor, None, str]:
    """Read the compact copy: JPEG atlases of up to 1,000 faces, 25 to a row, and ``index.csv``.

    Parameters, result and errors are those of `read_photographs`. The faces are the central 178x178 pixels at 64x64,
    so they show more than the crop of 108 does, and they are a part of the data set: the remark says both.
    """
    counts = _shards(place)
    atlases = [(place / shard, n) for part in PARTITIONS[split] for shard, n in sorted(counts[part].items())]
    total = sum(n for _, n in atlases)
    if not total:
        raise UsageError(f"{place / 'index.csv'} names no pictures of {split}: {AGAIN}")
    pixels = np.empty((total, 3, SIDE, SIDE), np.uint8)
    ends = np.cumsum([n for _, n in atlases])
    jobs = [(path, pixels[end - n : end]) for (path, n), end in zip(atlases, ends, strict=True)]
    _decoded(jobs, _read_atlas, len(jobs))
    return (
        torch.from_numpy(pixels),
        None,
        f"central 178x178, not the 108 crop; a part of the data set, {total:,} images",
    )
