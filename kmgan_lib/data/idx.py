"""MNIST's file format: big-endian header words, then bytes; plain or gzipped, read in place."""

from __future__ import annotations

import gzip
import hashlib
import math
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from kmgan_lib.errors import UsageError

MAX_BYTES = 1 << 31  # a header that promises more is garbled, not a picture set


def read_idx(path: Path) -> tuple[Tensor, str]:
    """Read one IDX file of unsigned bytes.

    Parameters
    ----------
    path : Path
        ``...-ubyte`` or ``...-ubyte.gz``.

    Returns
    -------
    tensor : Tensor
        uint8, of the shape that the header gives.
    sha256 : str
        Checksum of the unpacked file.

    Raises
    ------
    UsageError
        If the file is not IDX, or shorter or longer than its header says.
    """
    hint = "remove the file and get the data again"
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            raw = file.read(MAX_BYTES)
    except (OSError, EOFError, gzip.zlib.error) as error:  # pyright: ignore[reportAttributeAccessIssue]
        raise UsageError(f"{path} cannot be read ({error}): {hint}") from None
    if len(raw) < 4 or raw[:3] != b"\x00\x00\x08" or not 1 <= raw[3] <= 4:
        raise UsageError(f"{path} is not an IDX file of unsigned bytes: {hint}")
    header = 4 + 4 * raw[3]
    if len(raw) < header:
        raise UsageError(f"{path} ends within its header: {hint}")
    shape = [int.from_bytes(raw[i : i + 4], "big") for i in range(4, header, 4)]
    if len(raw) - header != math.prod(shape):
        raise UsageError(f"{path} holds {len(raw) - header} bytes where its header promises {math.prod(shape)}: {hint}")
    data = np.frombuffer(raw, np.uint8, offset=header).reshape(shape)
    return torch.from_numpy(data.copy()), hashlib.sha256(raw).hexdigest()


def _files(place: Path) -> dict[str, Path] | None:
    found = {}
    for split, prefix in (("train", "train"), ("test", "t10k")):
        for kind in ("images-idx3", "labels-idx1"):
            candidates = [place / f"{prefix}-{kind}-ubyte{suffix}" for suffix in ("", ".gz")]
            path = next((c for c in candidates if c.is_file()), None)
            if path is None:
                return None
            found[f"{split}-{kind[:6]}"] = path
    return found


def complete(place: Path) -> bool:
    """Whether a folder holds the four files of MNIST or Fashion-MNIST."""
    return _files(place) is not None


def read(place: Path, split: str) -> tuple[Tensor, Tensor, str]:
    """Grey pictures (n, 1, h, w) as uint8, labels (n,) as int64, and nothing to remark, of a `complete` folder."""
    files = _files(place)
    assert files is not None
    tensors, labels = [], []
    for part in ("train", "test") if split == "all" else (split,):
        tensors.append(read_idx(files[f"{part}-images"])[0])
        labels.append(read_idx(files[f"{part}-labels"])[0])
        if tensors[-1].ndim != 3 or labels[-1].shape != tensors[-1].shape[:1]:
            raise UsageError(
                f"{place}: the {part} images {tuple(tensors[-1].shape)} and labels {tuple(labels[-1].shape)} do not "
                "belong together: get the data again"
            )
    return torch.cat(tensors).unsqueeze(1), torch.cat(labels).long(), ""
